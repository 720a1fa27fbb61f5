//! Why somebody may not do something, or not alone.

use std::io;
use std::path::PathBuf;

use super::config::Role;

/// What custody refuses, or fails at.
#[derive(Debug, thiserror::Error)]
pub enum CustodyError {
    /// The settings contradict themselves.
    #[error("roles: {0}")]
    Config(String),
    /// A role is missing.
    #[error("{person} is not {}: ask one of them, or have `roles` changed", words(wanted))]
    NotInRole {
        /// Who asks.
        person: String,
        /// Any of these would do.
        wanted: Vec<Role>,
    },
    /// The one who asked cannot approve as well.
    #[error("{0} asked for it: somebody else has to approve it")]
    SamePerson(String),
    /// No request of that name.
    #[error(
        "there is no request {0} that waits for an approval: `sealgate approve --list` shows those there are"
    )]
    NoRequest(String),
    /// It waited for too long.
    #[error("request {id} was not approved in time, {hours} hours: ask again")]
    Expired {
        /// Its name.
        id: String,
        /// How long it might have waited.
        hours: u32,
    },
    /// It is not what was asked for.
    #[error(
        "request {id} is not what was asked for: its content does not have that name, so it was altered: find out by whom, and ask again"
    )]
    Altered {
        /// Its name.
        id: String,
    },
    /// The file says nothing that can be understood.
    #[error("{} cannot be read as a request: {problem}; remove the file, and ask again", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// The system.
    #[error("{}: {source}; check the disk, and who may write there", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Random bytes.
    #[error("the system gives no random bytes; see what is wrong with the machine's random numbers")]
    NoEntropy,
}

fn words(roles: &[Role]) -> String {
    roles.iter().map(|role| role.words()).collect::<Vec<_>>().join(" or ")
}
