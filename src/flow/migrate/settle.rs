//! What was fetched is stored, and read back from where it went: opened again, or compared pixel by pixel.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::coming::{Coming, Step};
use super::instance::{Body, Kind, Prepared, digest_pixels, find};
use super::study::Fetched;
use super::{Failures, MigrateError, Migration, Place, Summary, Target};
use crate::cipher::Layers;
use crate::dicom::{Status, TransferSyntax, Uid};
use crate::keys::Archive;
use crate::scu::{Failure, FromPieces, FromReader, Instance};
use crate::seal::scan::{Limits, Scanner};
use crate::seal::{Claim, DataDigest, HeaderMode, Opened, Opener};

/// What an instance has to be when it is read back.
#[derive(Debug, Clone)]
pub(super) struct Expected {
    class: Uid,
    kind: Kind,
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
    Sealed(Box<Opener<KeyFinder>>, DataDigest),
    /// Digests its pixels.
    Opened(Box<Scanner>, DataDigest),
    /// It has come, and that is all that is asked.
    Present,
}

type KeyFinder = Box<dyn FnMut(&Claim) -> Option<crate::seal::ContentKey> + Send>;

impl Migration {
    /// Stores what waits, one after the other.
    pub(super) async fn settle(&mut self, fetched: Fetched) -> Result<Settled, MigrateError> {
        let Fetched { prepared, mut failures } = fetched;
        let mut expected = BTreeMap::new();
        for one in prepared {
            let (class, kind, bytes, instance) =
                (one.class.clone(), one.kind, one.bytes, one.instance.clone());
            // What is as it should be and where it should be stays there.
            let stays = self.is_back() && matches!(kind, Kind::Unchanged | Kind::WithoutPixels);
            let is_gone = matches!(one.body, Body::Memory(_));
            if !stays
                && !is_gone
                && let Err(failure) = self.store(one).await
            {
                failures.add(&instance, failure);
                continue;
            }
            expected.insert(instance, Expected { class, kind, bytes, is_stored: !stays });
        }
        Ok(Settled { expected, failures })
    }

    /// Stores one instance; what it was is given back without its bytes.
    pub(super) async fn store(&mut self, prepared: Prepared) -> Result<Prepared, String> {
        self.pace().await;
        let Prepared { class, instance, syntax, kind, body, bytes } = prepared;
        let done =
            |body| Prepared { class: class.clone(), instance: instance.clone(), syntax, kind, body, bytes };
        let to = match &self.plan.to {
            Target::Archive(place) => &place.node,
            Target::Folder(folder) => {
                let Body::File(file) = body else { return Err("it is in no file".to_owned()) };
                let path = place(folder, &instance);
                let named = tokio::task::spawn_blocking(move || name(file, &path)).await;
                named.map_err(|error| error.to_string())?.map_err(|error| error.to_string())?;
                return Ok(done(Body::Memory(VecDeque::new())));
            }
        };
        let store =
            Instance { length: Some(bytes), ..Instance::new(class.clone(), instance.clone(), syntax) };
        let stored = match body {
            Body::Memory(pieces) => self.pool.store(to, &store, &mut FromPieces(pieces.into_iter())).await,
            Body::File(file) => {
                let opened = file.reopen().map_err(|error| error.to_string())?;
                let mut source = FromReader::new(tokio::fs::File::from_std(opened));
                self.pool.store(to, &store, &mut source).await
            }
        };
        stored.map_err(|failure: Failure| failure.to_string())?;
        Ok(done(Body::Memory(VecDeque::new())))
    }

    /// Reads everything back that was stored; a study of which an instance is not as it should be is not done.
    pub(super) async fn read_back(
        &mut self,
        study: &Uid,
        listed: &[(Uid, Option<Uid>)],
        settled: Settled,
    ) -> Result<Summary, MigrateError> {
        let Settled { expected, mut failures } = settled;
        match self.plan.to.clone() {
            Target::Archive(to) if expected.values().any(|one| one.is_stored) => {
                self.read_archive(study, &to, &expected, &mut failures).await?;
            }
            Target::Archive(_) => {}
            Target::Folder(folder) => read_folder(&folder, &expected, &mut failures),
        }
        let mut summary = Summary::default();
        for one in expected.values() {
            match one.kind {
                Kind::Sealed(_) | Kind::Opened(_) => summary.changed += 1,
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
    ) -> Result<(), MigrateError> {
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
                let read = self.read_one(&mut coming, wanted.kind, syntax).await?;
                match read.and_then(|reader| reader.finish(wanted.kind)) {
                    Ok(()) => {
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
        Ok(())
    }

    /// Reads an instance to its end, whatever becomes of it.
    async fn read_one(
        &self,
        coming: &mut Coming<'_>,
        kind: Kind,
        syntax: TransferSyntax,
    ) -> Result<Result<Reader, String>, MigrateError> {
        let mut reader = Reader::new(kind, syntax, &self.archive, &self.generators.layers);
        while let Some(piece) = coming.next_data().await? {
            reader = reader.and_then(|mut reader| reader.push(&piece).map(|()| reader));
        }
        Ok(reader)
    }
}

impl Reader {
    fn new(
        kind: Kind,
        syntax: TransferSyntax,
        archive: &Arc<Archive>,
        layers: &Layers,
    ) -> Result<Self, String> {
        match kind {
            Kind::Sealed(_) => {
                let archive = Arc::clone(archive);
                let finder: KeyFinder = Box::new(move |claim| find(&archive, claim).ok());
                let syntax = Uid::parse(syntax.uid).expect("the table has good UIDs");
                let opener = Opener::new(&syntax, HeaderMode::Original, layers, None, finder);
                let opener = opener.map_err(|error| error.to_string())?;
                Ok(Self::Sealed(Box::new(opener), DataDigest::default()))
            }
            Kind::Opened(_) => {
                let scanner = Scanner::new(syntax.encoding, Limits::default(), None);
                Ok(Self::Opened(Box::new(scanner), DataDigest::default()))
            }
            Kind::Unchanged | Kind::WithoutPixels => Ok(Self::Present),
        }
    }

    fn push(&mut self, piece: &[u8]) -> Result<(), String> {
        match self {
            Self::Sealed(opener, digest) => {
                opener.push(piece, &mut |opened| take(digest, &opened)).map_err(|error| error.to_string())
            }
            Self::Opened(scanner, digest) => {
                digest_pixels(scanner, digest, piece).map_err(|error| error.to_string())
            }
            Self::Present => Ok(()),
        }
    }

    fn finish(self, wanted: Kind) -> Result<(), String> {
        let found = match self {
            Self::Sealed(opener, mut digest) => {
                opener.finish(&mut |opened| take(&mut digest, &opened)).map_err(|error| error.to_string())?;
                Kind::Sealed(digest.finish())
            }
            Self::Opened(_, digest) => Kind::Opened(digest.finish()),
            Self::Present => return Ok(()),
        };
        if found == wanted { Ok(()) } else { Err("other bytes come out of it".to_owned()) }
    }
}

#[expect(clippy::unnecessary_wraps, reason = "the shape that the opener asks for")]
fn take(digest: &mut DataDigest, opened: &Opened<'_>) -> io::Result<()> {
    if let Opened::Data(bytes) = opened {
        digest.update(bytes);
    }
    Ok(())
}

/// Files are there, and as long as they were written.
fn read_folder(folder: &Path, expected: &BTreeMap<Uid, Expected>, failures: &mut Failures) {
    for (instance, one) in expected {
        match place(folder, instance).metadata() {
            Ok(metadata) if metadata.len() >= one.bytes => {}
            Ok(metadata) => failures.add(instance, format!("its file has {} bytes only", metadata.len())),
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

/// Makes a file durable and gives it its name.
fn name(file: tempfile::NamedTempFile, path: &Path) -> io::Result<()> {
    file.as_file().sync_all()?;
    file.persist(path).map_err(|error| error.error)?;
    let folder = path.parent().unwrap_or(Path::new("."));
    std::fs::File::open(folder)?.sync_all()
}
