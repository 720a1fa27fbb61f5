//! The `sealgate` binary: hands the command line to the library.

use std::process::ExitCode;

use clap::Parser;
use sealgate::cli::Cli;

fn main() -> ExitCode {
    Cli::parse().run().into()
}
