//! The trial: a gateway, a small archive that plays the PACS, a modality and two viewers, all on this machine.
//!
//! The gateway is the real one, a process of its own with a configuration that can be looked at and used again. What is
//! told in the end was measured: what the archive holds, and what each viewer got.

mod archive;
mod picture;
mod samples;
mod site;
mod viewer;

use std::collections::HashSet;
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::Serialize;

use self::archive::{Archive, Kept};
use self::picture::{Picture, pixel_data};
use self::samples::Sample;
use self::site::{Admin, Site};
use self::viewer::Viewed;
use crate::cipher::Layers;
use crate::dicom::{AeAddress, TransferSyntax, Uid};
use crate::scu::Failure;
use crate::seal::{
    Binding, Claim, KeyId, KeySource, NewSeal, Original, SealError, Sealer, Suite, SystemEntropy, random,
};

/// How long the archive may take to get what was stored.
const FORWARDED_MAX: Duration = Duration::from_secs(30);
/// Runs of pixels that are looked for in what the archive holds.
const RUN_BYTES: usize = 16;

/// Why the trial could not be shown.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// A file or a port.
    #[error("{0}; check the folder (--folder names another one), and what else runs here")]
    Io(#[from] io::Error),
    /// The folder for it has something in it.
    #[error("{} is not empty: give a new folder, or none", .0.display())]
    InUse(PathBuf),
    /// The gateway does not run.
    #[error("{0}: {1}; gateway.log in the demo's folder says more")]
    Gateway(&'static str, String),
    /// An operation failed.
    #[error("{0}: {1}; gateway.log in the demo's folder says more")]
    Peer(&'static str, Failure),
    /// A picture could not be made.
    #[error("a picture cannot be written: {0}; check the disk of the demo's folder")]
    Picture(#[from] png::EncodingError),
}

/// What became of one image.
#[derive(Debug, Clone, Serialize)]
pub struct Shown {
    /// What it is.
    pub image: &'static str,
    /// Its study.
    pub study: String,
    /// Bytes that the modality sent.
    pub sent_bytes: usize,
    /// Milliseconds until the modality had its 0000H.
    pub stored_milliseconds: u128,
    /// Bytes that the archive holds.
    pub archived_bytes: usize,
    /// Whether any run of the pixels can be found in them.
    pub archive_shows_pixels: bool,
    /// Whether the viewer got the very bytes that the modality sent.
    pub viewer_got_the_original: bool,
    /// How the stranger was answered, and how many instances it got.
    pub stranger: (String, usize),
}

impl Shown {
    /// Whether it is as it shall be.
    #[must_use]
    pub fn is_good(&self) -> bool {
        !self.archive_shows_pixels && self.viewer_got_the_original && self.stranger.1 == 0
    }
}

/// A trial that has been shown, and goes on.
pub struct Trial {
    /// Image by image.
    pub shown: Vec<Shown>,
    site: Site,
    archive: Archive,
}

impl Trial {
    /// Where the gateway listens.
    #[must_use]
    pub fn gateway(&self) -> SocketAddr {
        self.site.address
    }

    /// Where its admin page is.
    #[must_use]
    pub fn admin_page(&self) -> String {
        format!("http://{}/", self.site.admin.address)
    }

    /// Who may log in there, with the password.
    #[must_use]
    pub fn admin(&self) -> (&str, &str) {
        (Admin::USER, &self.site.admin.password)
    }

    /// Where the archive behind it listens.
    #[must_use]
    pub fn archive(&self) -> &AeAddress {
        &self.archive.address
    }

    /// Where configuration, log and pictures are.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.site.folder
    }

    /// Whether the gateway still runs.
    pub fn is_running(&mut self) -> bool {
        self.site.is_running()
    }
}

/// Shows everything once, with a word on each step, and leaves it running.
pub async fn show(folder: &Path, tell: &mut impl FnMut(&str)) -> Result<Trial, DemoError> {
    let pictures = folder.join("pictures");
    fs::create_dir_all(&pictures)?;
    tell("starting an archive and the gateway in front of it");
    let archive = Archive::start(&folder.join("archive")).await?;
    let site = Site::start(folder, &archive.address).await?;
    let samples = samples::samples();
    let mut shown = Vec::new();
    for sample in &samples {
        tell(&format!("{}: storing, then retrieving", sample.name));
        shown.push(show_one(sample, &site, &archive, &pictures).await?);
    }
    Ok(Trial { shown, site, archive })
}

async fn show_one(
    sample: &Sample,
    site: &Site,
    archive: &Archive,
    pictures: &Path,
) -> Result<Shown, DemoError> {
    let begun = Instant::now();
    viewer::store(&site.ae(), sample).await.map_err(|failure| DemoError::Peer("a store failed", failure))?;
    let stored_milliseconds = begun.elapsed().as_millis();
    let kept = arrived(archive, sample, site).await?;
    let archived = kept.data_set()?;
    let seen = |viewed: Result<Viewed, Failure>| {
        viewed.map_err(|failure| DemoError::Peer("a retrieval failed", failure))
    };
    let viewer = seen(viewer::get(&site.ae(), "VIEWER", sample).await)?;
    let stranger = seen(viewer::get(&site.ae(), "STRANGER", sample).await)?;
    let got = viewer.instances.first();
    save(pictures, sample, "1-sent", Some((&sample.data_set, sample.instance.transfer_syntax)))?;
    save(pictures, sample, "2-in-the-archive", Some((&archived, kept.transfer_syntax)))?;
    save(pictures, sample, "3-viewed", got.map(|(data_set, syntax)| (data_set.as_slice(), *syntax)))?;
    Ok(Shown {
        image: sample.name,
        study: sample.study.to_string(),
        sent_bytes: sample.data_set.len(),
        stored_milliseconds,
        archived_bytes: archived.len(),
        archive_shows_pixels: shares_pixels(
            &pixel_data(&sample.data_set, sample.instance.transfer_syntax),
            &archived,
        ),
        viewer_got_the_original: got.is_some_and(|(data_set, syntax)| {
            *data_set == sample.data_set && *syntax == sample.instance.transfer_syntax
        }),
        stranger: (stranger.status.to_string(), stranger.instances.len()),
    })
}

/// The instance in the archive, once it is there.
async fn arrived(archive: &Archive, sample: &Sample, site: &Site) -> Result<Kept, DemoError> {
    let end = Instant::now() + FORWARDED_MAX;
    loop {
        if let Some(kept) = archive.find(&sample.instance.instance) {
            return Ok(kept);
        }
        if Instant::now() > end {
            return Err(DemoError::Gateway("an image does not reach the archive", site.last_words()));
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn save(
    folder: &Path,
    sample: &Sample,
    stage: &str,
    image: Option<(&[u8], TransferSyntax)>,
) -> Result<(), DemoError> {
    let Some(picture) = image.and_then(|(data_set, syntax)| Picture::of(data_set, syntax)) else {
        return Ok(());
    };
    let is_word = |letter: char| letter.is_ascii_alphanumeric();
    let name: Vec<&str> =
        sample.name.split(|letter| !is_word(letter)).filter(|word| !word.is_empty()).collect();
    Ok(fs::write(folder.join(format!("{}-{stage}.png", name.join("-"))), picture.png()?)?)
}

/// Whether a run of the original's pixels stands anywhere in other bytes. Runs of few different bytes, as in a black
/// margin, prove nothing and are left out.
fn shares_pixels(pixels: &[u8], other: &[u8]) -> bool {
    let is_telling = |run: &&[u8]| run.iter().collect::<HashSet<_>>().len() > 4;
    let runs: HashSet<&[u8]> = pixels.chunks_exact(RUN_BYTES).filter(is_telling).collect();
    other.windows(RUN_BYTES).any(|window| runs.contains(window))
}

/// A CT slice and what sealing makes of it, each as a PNG: sealed on the spot, under a key that nobody keeps.
pub fn before_and_after() -> Result<(Vec<u8>, Vec<u8>), DemoError> {
    let sample = samples::small();
    let syntax = sample.instance.transfer_syntax;
    let sealed = seal(&sample).map_err(io::Error::other)?;
    let carrier =
        TransferSyntax::by_uid(sealed.1).ok_or_else(|| io::Error::other("an unknown transfer syntax"))?;
    let picture = |data_set: &[u8], syntax| {
        Picture::of(data_set, syntax).ok_or_else(|| io::Error::other("it has no picture"))
    };
    Ok((picture(&sample.data_set, syntax)?.png()?, picture(&sealed.0, carrier)?.png()?))
}

/// The sealed data set, and its transfer syntax.
fn seal(sample: &Sample) -> Result<(Vec<u8>, &'static str), SealError> {
    let Sample { instance, data_set, .. } = sample;
    let transfer_syntax = Uid::parse(instance.transfer_syntax.uid).expect("a UID of the standard's registry");
    let original = Original { transfer_syntax, front_bytes: 0 };
    let binding = Binding {
        suite: Suite::DeepKeyGen,
        key_id: KeyId::new(random()?),
        sop_class: instance.class.clone(),
        sop_instance: instance.instance.clone(),
    };
    let key = SystemEntropy.draw(&binding)?;
    let new = NewSeal { binding, key, key_record: None };
    let layers = Layers::none();
    let mut sealer = Sealer::signed(&original, new, &layers, None, Vec::new(), |_: &Claim| None, None)?;
    sealer.push(data_set)?;
    let (sealed, bytes) = sealer.finish()?;
    Ok((bytes, sealed.transfer_syntax))
}

/// A new folder for a trial, under the system's folder for temporary files, that stays when the trial is over.
pub fn new_folder() -> io::Result<PathBuf> {
    Ok(tempfile::Builder::new().prefix("sealgate-demo-").tempdir()?.keep())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pixels_that_show_are_found_wherever_they_stand() {
        let noise =
            |seed: u32| (0..8192_u32).map(move |at| ((at ^ seed).wrapping_mul(2_654_435_761) >> 24) as u8);
        let original: Vec<u8> = noise(1).collect();
        let other: Vec<u8> = noise(77).collect();
        assert!(!shares_pixels(&original, &other));
        let leaked = [&other[..1001], &original[4096..4128], &other[1001..]].concat();
        assert!(shares_pixels(&original, &leaked));
        assert!(!shares_pixels(&[0; 8192], &[0; 8192]), "black is no image");
    }
}
