//! What was fetched is stored, and read back from where it went: opened again, or compared attribute by attribute and pixel by
//! pixel; a file byte by byte.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::coming::{Coming, Step};
use super::content::{ContentReader, Difference};
use super::instance::{Body, KeyFinder, Kind, Prepared, Proof, opener};
use super::study::Fetched;
use super::workplace::{holds, name};
use super::{Failures, MigrateError, Migration, Place, Summary, Target};
use crate::cipher::Layers;
use crate::dicom::{Status, TransferSyntax, Uid};
use crate::flow::steps::{Step as Point, reached};
use crate::keys::Archive;
use crate::scu::{Failure, FromPieces, FromReader, Instance};
use crate::seal::{DataDigest, Opened, Opener};

/// What an instance has to be when it is read back.
pub(super) struct Expected {
    class: Uid,
    kind: Kind,
    proof: Proof,
    bytes: u64,
    /// Whether it went anywhere.
    is_stored: bool,
}

/// A study that is stored, as far as it is.
pub(super) struct Settled {
    expected: BTreeMap<Uid, Expected>,
    failures: Failures,
}

/// Whoever reads an instance back.
enum Reader {
    /// Opens it again; the digest of the original.
    Sealed(Box<Opener<KeyFinder>>, Box<DataDigest>),
    /// Reads what it says.
    Content(Box<ContentReader>),
}

/// What reading an instance back has shown.
enum Shown {
    /// It is what was stored.
    Same,
    /// It is, but for attributes that the archive may change.
    Accepted,
}

impl Migration {
    /// Stores what waits, one after the other.
    pub(super) async fn settle(&mut self, fetched: Fetched) -> Result<Settled, MigrateError> {
        let Fetched { prepared, mut failures } = fetched;
        let mut expected = BTreeMap::new();
        for mut one in prepared {
            // What is as it should be and where it should be stays there.
            let stays = self.is_back() && matches!(one.kind, Kind::Unchanged | Kind::WithoutPixels);
            let is_gone = matches!(one.body, Body::Memory(_));
            if !stays
                && !is_gone
                && let Err(failure) = self.store(&mut one).await
            {
                failures.add(&one.instance, failure);
                continue;
            }
            let Prepared { class, instance, kind, proof, bytes, .. } = one;
            expected.insert(instance, Expected { class, kind, proof, bytes, is_stored: !stays });
        }
        Ok(Settled { expected, failures })
    }

    /// Stores one instance, whose bytes are gone then.
    pub(super) async fn store(&mut self, prepared: &mut Prepared) -> Result<(), String> {
        self.pace().await;
        let body = std::mem::replace(&mut prepared.body, Body::Memory(VecDeque::new()));
        let Prepared { class, instance, syntax, proof, bytes, .. } = &*prepared;
        let to = match &self.plan.to {
            Target::Archive(place) => &place.node,
            Target::Folder(folder) => {
                let (Body::File(file), &Proof::File(digest)) = (body, proof) else {
                    return Err("it is in no file".to_owned());
                };
                let path = place(folder, instance);
                let named = tokio::task::spawn_blocking(move || name(file, &path, &digest)).await;
                named.map_err(|error| error.to_string())?.map_err(|error| error.to_string())?;
                reached(Point::MigratedStored);
                return Ok(());
            }
        };
        let store =
            Instance { length: Some(*bytes), ..Instance::new(class.clone(), instance.clone(), *syntax) };
        let stored = match body {
            Body::Memory(pieces) => self.pool.store(to, &store, &mut FromPieces(pieces.into_iter())).await,
            Body::File(file) => {
                let opened = file.reopen().map_err(|error| error.to_string())?;
                let mut source = FromReader::new(tokio::fs::File::from_std(opened));
                self.pool.store(to, &store, &mut source).await
            }
        };
        stored.map_err(|failure: Failure| failure.to_string())?;
        reached(Point::MigratedStored);
        Ok(())
    }

    /// Reads everything back that was stored; a study of which an instance is not as it should be is not done.
    pub(super) async fn read_back(
        &mut self,
        study: &Uid,
        listed: &[(Uid, Option<Uid>)],
        settled: Settled,
    ) -> Result<Summary, MigrateError> {
        let Settled { expected, mut failures } = settled;
        let mut summary = Summary::default();
        match self.plan.to.clone() {
            Target::Archive(to) if expected.values().any(|one| one.is_stored) => {
                summary.accepted = self.read_archive(study, &to, &expected, &mut failures).await?;
            }
            Target::Archive(_) => {}
            Target::Folder(folder) => read_folder(folder, &expected, &mut failures).await,
        }
        for one in expected.values() {
            match one.kind {
                Kind::Sealed | Kind::Opened => summary.changed += 1,
                Kind::Unchanged => summary.unchanged += 1,
                Kind::WithoutPixels => summary.without_pixels += 1,
            }
            summary.bytes += if one.is_stored { one.bytes } else { 0 };
        }
        failures.check(listed.len()).map(|()| summary)
    }

    async fn read_archive(
        &self,
        study: &Uid,
        to: &Place,
        expected: &BTreeMap<Uid, Expected>,
        failures: &mut Failures,
    ) -> Result<u64, MigrateError> {
        let mut accepted = 0;
        let classes: BTreeSet<Uid> = expected.values().map(|one| one.class.clone()).collect();
        let classes: Vec<Uid> = classes.into_iter().collect();
        let mut caller = self.call(to, &classes).await?;
        let mut coming = self.ask(&mut caller, to, study).await?;
        let mut seen = BTreeSet::new();
        loop {
            let (instance, syntax) = match coming.next().await? {
                Step::Ended(_) => break,
                Step::Store { instance, syntax, .. } => (instance, syntax),
            };
            if let Some(wanted) = expected.get(&instance).filter(|one| one.is_stored) {
                let read = self.read_one(&mut coming, &wanted.proof, syntax).await?;
                let shown = read.and_then(|reader| reader.finish(&wanted.proof, self.plan.accept_changes));
                match shown {
                    Ok(shown) => {
                        accepted += u64::from(matches!(shown, Shown::Accepted) && !seen.contains(&instance));
                        seen.insert(instance);
                    }
                    Err(why) => {
                        failures.add(&instance, format!("read back, it is not what was stored: {why}"));
                    }
                }
            }
            coming.answer(Status::SUCCESS).await?;
        }
        drop(coming);
        caller.release().await;
        for (instance, _) in
            expected.iter().filter(|(instance, one)| one.is_stored && !seen.contains(*instance))
        {
            if !failures.instances.contains(instance) {
                failures.add(instance, "it was stored, and cannot be read back");
            }
        }
        Ok(accepted)
    }

    /// Reads an instance to its end, whatever becomes of it.
    async fn read_one(
        &self,
        coming: &mut Coming<'_>,
        proof: &Proof,
        syntax: TransferSyntax,
    ) -> Result<Result<Reader, String>, MigrateError> {
        let mut reader = Reader::new(proof, syntax, &self.archive, &self.generators.layers);
        while let Some(piece) = coming.next_data().await? {
            reader = reader.and_then(|mut reader| reader.push(&piece).map(|()| reader));
        }
        Ok(reader)
    }
}

impl Reader {
    fn new(
        proof: &Proof,
        syntax: TransferSyntax,
        archive: &Arc<Archive>,
        layers: &Layers,
    ) -> Result<Self, String> {
        if !matches!(proof, Proof::Original(_)) {
            return Ok(Self::Content(Box::new(ContentReader::new(syntax))));
        }
        let opener = opener(archive, layers, syntax).map_err(|error| error.to_string())?;
        Ok(Self::Sealed(Box::new(opener), Box::default()))
    }

    fn push(&mut self, piece: &[u8]) -> Result<(), String> {
        match self {
            Self::Sealed(opener, digest) => {
                opener.push(piece, &mut |opened| take(digest, &opened)).map_err(|error| error.to_string())
            }
            Self::Content(reader) => reader.push(piece).map_err(|error| error.to_string()),
        }
    }

    fn finish(self, wanted: &Proof, accepts_changes: bool) -> Result<Shown, String> {
        match (self, wanted) {
            (Self::Sealed(opener, mut digest), Proof::Original(original)) => {
                opener.finish(&mut |opened| take(&mut digest, &opened)).map_err(|error| error.to_string())?;
                let is_it = digest.finish() == *original;
                if is_it { Ok(Shown::Same) } else { Err("other bytes come out of it".to_owned()) }
            }
            (Self::Content(reader), Proof::Content(content)) => {
                let found = reader.finish().map_err(|error| error.to_string())?;
                match content.compare(&found) {
                    Ok(()) => Ok(Shown::Same),
                    Err(Difference::Attributes(_)) if accepts_changes => Ok(Shown::Accepted),
                    Err(difference) => Err(difference.to_string()),
                }
            }
            _ => Err("there is nothing to compare it with".to_owned()),
        }
    }
}

#[expect(clippy::unnecessary_wraps, reason = "the shape that the opener asks for")]
fn take(digest: &mut DataDigest, opened: &Opened<'_>) -> io::Result<()> {
    if let Opened::Data(bytes) = opened {
        digest.update(bytes);
    }
    Ok(())
}

/// Files are there, with the bytes that were written.
async fn read_folder(folder: PathBuf, expected: &BTreeMap<Uid, Expected>, failures: &mut Failures) {
    for (instance, one) in expected {
        let Proof::File(digest) = one.proof else {
            failures.add(instance, "it is in no file");
            continue;
        };
        let path = place(&folder, instance);
        match tokio::task::spawn_blocking(move || holds(&path, &digest)).await {
            Ok(Ok(true)) => {}
            Ok(Ok(false)) => failures.add(instance, "its file, read back, has other bytes than were written"),
            Ok(Err(error)) => failures.add(instance, error),
            Err(error) => failures.add(instance, error),
        }
    }
}

/// The file of an instance: named after a digest of its UID, for no UID is a file name.
fn place(folder: &Path, instance: &Uid) -> PathBuf {
    let digest = DataDigest::of(instance.as_str().as_bytes());
    let name = digest.iter().take(16).fold(String::new(), |text, byte| text + &format!("{byte:02x}"));
    folder.join(name).with_extension("dcm")
}
