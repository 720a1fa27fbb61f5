//! `sealgate demo`: shows on this machine what the gateway does, with a small archive in place of a PACS.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use serde_json::json;
use tokio::runtime::Builder;
use tokio::time::interval;

use super::{Exit, complain};
use crate::demo::{self, DemoError, Shown, Trial};

/// Show on this machine what the gateway does: it needs no PACS, no scanner and no configuration
#[derive(Debug, Args)]
#[command(after_help = "Example: sealgate demo\n\n\
    Starts a gateway and a small archive that plays the PACS, both on loopback, sends real images through, and \
    retrieves them as one who may see them and as one who may not. It stays up until Ctrl-C, so that DICOM tools can be \
    pointed at it. The archive is for trial only.")]
pub(super) struct Demo {
    /// Folder for configuration, keys, archive and pictures: a new or empty one; without it a new temporary one, which stays
    #[arg(long, value_name = "FOLDER")]
    folder: Option<PathBuf>,
    /// End when everything has been shown
    #[arg(long)]
    once: bool,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

impl Demo {
    pub(super) fn run(self) -> Exit {
        let shown = Builder::new_multi_thread().enable_all().build().map_err(DemoError::from);
        match shown.and_then(|runtime| runtime.block_on(self.show())) {
            Ok(exit) => exit,
            Err(error) => {
                complain(error);
                Exit::Failed
            }
        }
    }

    async fn show(self) -> Result<Exit, DemoError> {
        let folder = match &self.folder {
            Some(folder) => empty(folder)?,
            None => demo::new_folder()?,
        };
        let mut tell = |step: &str| {
            if !self.json {
                eprintln!("{step} ...");
            }
        };
        let mut trial = demo::show(&folder, &mut tell).await?;
        if self.json {
            println!("{}", as_json(&trial));
        } else {
            print(&trial);
        }
        let is_good = trial.shown.iter().all(Shown::is_good);
        if !self.once {
            stay(&mut trial).await;
        }
        Ok(if is_good { Exit::Done } else { Exit::Failed })
    }
}

fn empty(folder: &Path) -> Result<PathBuf, DemoError> {
    std::fs::create_dir_all(folder)?;
    if std::fs::read_dir(folder)?.next().is_some() {
        return Err(DemoError::InUse(folder.to_owned()));
    }
    Ok(folder.to_owned())
}

fn as_json(trial: &Trial) -> serde_json::Value {
    let is_good = trial.shown.iter().all(Shown::is_good);
    json!({
        "ok": is_good, "images": trial.shown, "folder": trial.folder(), "gateway": format!("SEALGATE@{}", trial.gateway()),
        "archive": trial.archive(), "admin_page": trial.admin_page(), "admin": trial.admin(),
    })
}

fn print(trial: &Trial) {
    println!();
    println!(
        "{:<29}{:>13}{:>10}   {:<26}{:<24}{:<22}",
        "image", "sent", "stored in", "the archive holds", "the viewer got", "the stranger got"
    );
    for one in &trial.shown {
        let holds = if one.archive_shows_pixels { "PIXELS IN CLEAR" } else { "none of its pixels" };
        let viewed = if one.viewer_got_the_original { "the same bytes" } else { "SOMETHING ELSE" };
        let (status, count) = &one.stranger;
        let stranger = if *count == 0 { format!("nothing ({status})") } else { format!("{count} IMAGES") };
        println!(
            "{:<29}{:>7} bytes{:>7} ms   {:<26}{:<24}{:<22}",
            one.image, one.sent_bytes, one.stored_milliseconds, holds, viewed, stranger
        );
    }
    println!();
    println!("Pictures, configuration and log: {}", trial.folder().display());
}

/// Until Ctrl-C, or until the gateway is gone.
async fn stay(trial: &mut Trial) {
    let (name, password) = trial.admin();
    let (host, port) = (trial.gateway().ip(), trial.gateway().port());
    let study = trial.shown.first().map_or("", |one| one.study.as_str());
    eprintln!(
        "\nIt goes on until Ctrl-C. With DCMTK, from another terminal:\n  \
        storescu -aet MODALITY -aec SEALGATE {host} {port} image.dcm\n  \
        findscu -S -aet VIEWER -aec SEALGATE {host} {port} -k 0008,0052=STUDY -k PatientName -k StudyInstanceUID\n  \
        getscu -S -aet VIEWER -aec SEALGATE {host} {port} -k 0008,0052=STUDY -k StudyInstanceUID={study}\n\
        What the archive holds, past the gateway: {}. It plays the PACS for this trial, and is good for nothing else.\n\n\
        The admin page: {}  name {name}  password {password}",
        trial.archive(),
        trial.admin_page()
    );
    let mut look = interval(Duration::from_secs(1));
    loop {
        tokio::select! {
            _asked = tokio::signal::ctrl_c() => return,
            _ = look.tick() => {
                if !trial.is_running() {
                    complain("the gateway has ended; its log says why");
                    return;
                }
            }
        }
    }
}
