//! `sealgate completions` and `sealgate manual`: what shells and `man` know about the command line, made from itself.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use clap::{Args, Command, CommandFactory};
use clap_complete::Shell;
use clap_mangen::Man;

use super::{Cli, Exit, complain};

/// Print the completions for a shell
#[derive(Debug, Args)]
#[command(after_help = "Example: sealgate completions bash > /etc/bash_completion.d/sealgate\n\n\
    The Debian package brings those for bash, zsh and fish.")]
pub(super) struct Completions {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

/// Write the manual pages into a folder, one for each command
#[derive(Debug, Args)]
#[command(after_help = "Example: sealgate manual --out man/; man man/sealgate-keys-rotate.1")]
pub(super) struct Manual {
    /// The folder; it is made if need be
    #[arg(long, value_name = "FOLDER")]
    out: PathBuf,
}

impl Completions {
    pub(super) fn run(self) -> Exit {
        // Into memory first: clap_complete panics when a pipe is closed in the middle.
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Cli::command(), "sealgate", &mut script);
        done(io::Write::write_all(&mut io::stdout(), &script))
    }
}

impl Manual {
    pub(super) fn run(self) -> Exit {
        let mut command = Cli::command().disable_help_subcommand(true);
        // Names such as `sealgate keys rotate` exist once the tree is built.
        command.build();
        done(fs::create_dir_all(&self.out).and_then(|()| pages(&command, &self.out)))
    }
}

fn pages(command: &Command, folder: &Path) -> io::Result<()> {
    let name = command.get_display_name().unwrap_or_else(|| command.get_name()).to_owned();
    let page = Man::new(command.clone()).title(name.as_str()).date("").manual("Sealgate");
    let mut text = Vec::new();
    page.render(&mut text)?;
    fs::write(folder.join(format!("{name}.1")), text)?;
    command.get_subcommands().try_for_each(|below| pages(below, folder))
}

fn done(result: io::Result<()>) -> Exit {
    match result {
        Ok(()) => Exit::Done,
        Err(error) => {
            complain(error);
            Exit::Failed
        }
    }
}
