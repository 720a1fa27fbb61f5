//! The `sealgate` binary: hands the command line to the library.

use std::process::ExitCode;

use clap::Parser;
use sealgate::cli::Cli;

fn main() -> ExitCode {
    // Before anything secret is in memory; a system that refuses it has no core files to refuse.
    if let Err(error) = sealgate::app::refuse_dumps() {
        eprintln!("sealgate: core dumps cannot be switched off: {error}");
    }
    Cli::parse().run().into()
}
