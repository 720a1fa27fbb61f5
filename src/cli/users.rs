//! `sealgate users`: makes the lines of the users file.

use std::collections::BTreeSet;
use std::io::{self, BufRead, IsTerminal, Read};

use clap::{Args, Subcommand};
use zeroize::Zeroizing;

use super::{Exit, complain};
use crate::identity;
use crate::keys::Passphrase;
use crate::policy::Right;

/// Users who identify themselves with a password
#[derive(Debug, Args)]
#[command(after_help = "Example: sealgate users hash alice")]
pub(super) struct Users {
    #[command(subcommand)]
    command: UsersCommand,
}

#[derive(Debug, Subcommand)]
enum UsersCommand {
    Hash(Hash),
}

/// Print a user's line for the file in identity.users; the password comes from the terminal or from standard input
#[derive(Debug, Args)]
#[command(after_help = "Example: sealgate users hash alice --may find,get,open >> /etc/sealgate/users")]
struct Hash {
    /// The user's name
    name: String,
    /// The only rights that the user may use of those its peer has; without it all of them
    #[arg(long, value_name = "RIGHTS", value_delimiter = ',')]
    may: Option<Vec<String>>,
}

impl Users {
    pub(super) fn run(self) -> Exit {
        let UsersCommand::Hash(command) = self.command;
        match command.line() {
            Ok(line) => {
                println!("{line}");
                Exit::Done
            }
            Err(error) => {
                complain(error);
                Exit::Failed
            }
        }
    }
}

impl Hash {
    fn line(&self) -> Result<String, String> {
        let only: Option<BTreeSet<String>> = self.may.as_ref().map(|words| words.iter().cloned().collect());
        for word in only.iter().flatten() {
            Right::try_from(word.clone())?;
        }
        let password = password().map_err(|error| error.to_string())?;
        identity::hash(&self.name, password.expose_secret(), only.as_ref()).map_err(|error| error.to_string())
    }
}

/// Twice from a terminal, once from anywhere else.
fn password() -> Result<Passphrase, Box<dyn std::error::Error>> {
    if io::stdin().is_terminal() {
        let password = Passphrase::from_prompt("Password: ")?;
        if Passphrase::from_prompt("Once more: ")?.expose_secret() != password.expose_secret() {
            return Err("the two passwords differ".into());
        }
        return Ok(password);
    }
    let mut line = Zeroizing::new(String::with_capacity(1024));
    io::stdin().lock().take(1024).read_line(&mut line)?;
    Ok(Passphrase::new(line.trim_end_matches(['\r', '\n']).to_owned()))
}
