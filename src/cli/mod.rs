//! The command line: one file per subcommand, and the exit codes they share.

mod approve;
mod audit;
mod batch;
mod check;
mod custody;
mod demo;
mod echo;
mod evaluate;
mod generator;
mod generator_bench;
mod generator_chaos;
mod generator_study;
mod generator_train;
mod grant;
mod handover;
mod inspect;
mod keys;
mod keys_backup;
mod keys_custody;
mod keys_patient;
mod manual;
mod migrate;
mod open;
mod probe;
mod seal;
mod serve;
mod spool;
mod spool_drain;
mod status;
mod time;
mod tls;
mod users;

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::keys::Archive;
use crate::settings::{self, Settings, Source};
use crate::tls::{Profiles, Server};

/// A DICOM gateway that seals images on the way into the PACS and opens them on the way out.
#[derive(Debug, Parser)]
#[command(version, arg_required_else_help = true, after_help = EXIT_CODES)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

const EXIT_CODES: &str = "Example: sealgate demo\n\n\
    Exit codes: 0 done; 1 it failed, the last line says why; 2 the command line is wrong; \
    3 the configuration is wrong; 4 the peer refused or did not answer; 5 ended before all work in hand was finished; \
    6 the security self-check found something (`check --fail-on`).";

#[derive(Debug, Subcommand)]
enum Command {
    Serve(serve::Serve),
    Audit(audit::AuditCommand),
    Check(check::Check),
    Demo(demo::Demo),
    Echo(echo::Echo),
    Evaluate(evaluate::Evaluate),
    Inspect(inspect::Inspect),
    Keys(keys::Keys),
    Seal(seal::Seal),
    Open(open::Open),
    Probe(probe::Probe),
    Spool(spool::SpoolCommand),
    Status(status::Status),
    Users(users::Users),
    Generator(generator::Generator),
    Grant(grant::GrantCommand),
    Handover(handover::HandoverCommand),
    Approve(approve::Approve),
    Migrate(migrate::Migrate),
    Completions(manual::Completions),
    Manual(manual::Manual),
}

/// How a command ended, as the process's exit code says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Done.
    Done = 0,
    /// It failed.
    Failed = 1,
    /// The configuration is wrong.
    Configuration = 3,
    /// The peer refused, or did not answer.
    Peer = 4,
    /// Ended before all work in hand was finished.
    Unfinished = 5,
    /// The security self-check found what was asked to count as a failure.
    Weak = 6,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// Which configuration a command reads.
#[derive(Debug, Args)]
struct ConfigArgs {
    /// Configuration file; without it /etc/sealgate/gateway.toml, if there is one
    #[arg(short, long, value_name = "FILE", env = "SEALGATE_CONFIG")]
    config: Option<PathBuf>,
    /// Set a key over file and environment, such as `--set log.level=debug`
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = key_value)]
    overrides: Vec<(String, String)>,
}

/// The keyring and key store of a configuration, or the complaint that says why not.
fn open_archive(config: &ConfigArgs) -> Result<(Settings, Archive), Exit> {
    let settings = settings::load(&config.source()).map_err(|error| {
        complain(error);
        Exit::Configuration
    })?;
    match settings.keys.open_archive() {
        Ok(archive) => Ok((settings, archive)),
        Err(error) => {
            complain(format_args!("{error}\n{}", error.advice()));
            Err(Exit::Failed)
        }
    }
}

/// Where a PACS reaches us with what a C-MOVE of a command brings: at the first listener, as it is, or at this address in clear.
fn own_door(
    settings: &Settings,
    profiles: &Profiles,
    listen: Option<SocketAddr>,
) -> (SocketAddr, Option<Server>) {
    let listener = settings.listeners.first();
    let server = listener
        .filter(|_| listen.is_none())
        .and_then(|listener| profiles.server(listener.tls.as_deref()?, listener.asks()));
    let address = listen.or(listener.map(|listener| listener.address)).expect("rules want a listener");
    (address, server)
}

/// Where the configuration is when nobody says.
const DEFAULT_CONFIG: &str = "/etc/sealgate/gateway.toml";

impl ConfigArgs {
    fn source(&self) -> Source {
        let default = || Some(PathBuf::from(DEFAULT_CONFIG)).filter(|path| path.exists());
        Source {
            file: self.config.clone().or_else(default),
            flags: self.overrides.clone(),
            listen: Vec::new(),
        }
    }
}

fn key_value(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("write it as key=value, for example log.level=debug".to_owned()),
    }
}

/// Says on standard error what went wrong.
fn complain(error: impl fmt::Display) {
    eprintln!("sealgate: {error}");
}

impl Cli {
    /// Runs the command that was asked for.
    #[must_use]
    pub fn run(self) -> Exit {
        match self.command {
            Command::Serve(command) => command.run(),
            Command::Audit(command) => command.run(),
            Command::Check(command) => command.run(),
            Command::Demo(command) => command.run(),
            Command::Echo(command) => command.run(),
            Command::Evaluate(command) => command.run(),
            Command::Inspect(command) => command.run(),
            Command::Keys(command) => command.run(),
            Command::Users(command) => command.run(),
            Command::Seal(command) => command.run(),
            Command::Open(command) => command.run(),
            Command::Probe(command) => command.run(),
            Command::Spool(command) => command.run(),
            Command::Status(command) => command.run(),
            Command::Generator(command) => command.run(),
            Command::Grant(command) => command.run(),
            Command::Handover(command) => command.run(),
            Command::Approve(command) => command.run(),
            Command::Migrate(command) => command.run(),
            Command::Completions(command) => command.run(),
            Command::Manual(command) => command.run(),
        }
    }
}
