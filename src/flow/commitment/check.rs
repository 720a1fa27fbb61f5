//! An instance that was read back: opened while it arrives, and compared with what once came from the modality.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::ask::Item;
use crate::dicom::{TransferSyntax, Uid};
use crate::flow::gateway::Gateway;
use crate::flow::ticket::Protection;
use crate::keys::Binding;
use crate::seal::scan::{Event, Limits, ScanError, Scanner};
use crate::seal::{Claim, ContentKey, DataDigest, HeaderMode, OpenError, Opened, Opener};

/// Pieces that wait for the thread.
const PIECES_MAX: usize = 16;

/// What came of comparing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is what was sent.
    Same,
    /// It is not.
    Other(String),
    /// It is another version of the same instance, which came at another time, and opens.
    OtherVersion(String),
    /// It could not be compared here.
    Unchecked(String),
}

/// A comparison under way, on a thread of its own.
pub(super) struct Checker {
    pieces: mpsc::Sender<Bytes>,
    verdict: JoinHandle<Verdict>,
}

impl Checker {
    pub(super) fn start(gateway: &Arc<Gateway>, item: &Item, syntax: TransferSyntax) -> Self {
        let (pieces, receiver) = mpsc::channel(PIECES_MAX);
        let (gateway, item) = (Arc::clone(gateway), item.clone());
        let verdict = tokio::task::spawn_blocking(move || match &item.known.seal {
            Protection::Clear => whole(receiver, syntax),
            Protection::Sealed(key) => {
                opens(receiver, &gateway, &item, syntax, key, item.known.digest.as_deref())
            }
            // Its digest is of the sealed bytes, which a PACS may have written anew.
            Protection::CameSealed(key) => opens(receiver, &gateway, &item, syntax, key, None),
        });
        Self { pieces, verdict }
    }

    pub(super) async fn push(&self, piece: Bytes) {
        // Whoever has its verdict wants no more.
        let _over = self.pieces.send(piece).await;
    }

    pub(super) async fn finish(self) -> Verdict {
        drop(self.pieces);
        self.verdict.await.unwrap_or_else(|_| Verdict::Unchecked("a task of the gateway died".into()))
    }
}

/// Opens it; what comes out is every byte as it came, or it is another instance. Under another key than its own it may be a
/// version that came at another time: that one is as good where it opens to the same bytes.
fn opens(
    mut pieces: mpsc::Receiver<Bytes>,
    gateway: &Gateway,
    item: &Item,
    syntax: TransferSyntax,
    key: &str,
    expected: Option<&[u8]>,
) -> Verdict {
    let mut no_key = None;
    let find_key = |claim: &Claim| -> Option<ContentKey> {
        let binding = Binding::from(&claim.binding);
        let found = gateway.archive.find(binding.key_id, claim.key_record.as_deref(), &binding);
        found.map_err(|error| no_key = Some(error.to_string())).ok().map(|found| found.content_key)
    };
    let syntax = Uid::parse(syntax.uid).expect("the table has good UIDs");
    let mut digest = DataDigest::default();
    let opened = (|| {
        let mut opener = Opener::new(&syntax, HeaderMode::Original, &gateway.layers, None, find_key)?;
        let mut on = |opened: Opened<'_>| {
            if let Opened::Data(bytes) = opened {
                digest.update(bytes);
            }
            Ok(())
        };
        while let Some(piece) = pieces.blocking_recv() {
            opener.push(&piece, &mut on)?;
        }
        opener.finish(&mut on)
    })();
    let opened = match opened {
        Ok(opened) => opened,
        Err(OpenError::NoKey(_)) if no_key.is_some() => {
            return Verdict::Unchecked(format!("its key cannot be had: {}", no_key.unwrap_or_default()));
        }
        Err(error) => return Verdict::Other(format!("what was read back does not open: {error}")),
    };
    if opened.binding.sop_instance != item.reference.instance {
        return Verdict::Other("what was read back is another instance".into());
    }
    let found = opened.binding.key_id.to_string();
    match expected {
        // There is the digest in the sealed stream, which the opener has compared.
        None if found == key => Verdict::Same,
        Some(expected) if expected == digest.finish() => Verdict::Same,
        Some(_) if found == key => Verdict::Other("what was read back opens to other bytes".into()),
        _ => Verdict::OtherVersion(format!(
            "what was read back is another version of the instance, sealed under {found}; this one is under {key}"
        )),
    }
}

/// What has no pixels went in clear, and a PACS may write it anew: that it is whole is all that can be asked.
fn whole(mut pieces: mpsc::Receiver<Bytes>, syntax: TransferSyntax) -> Verdict {
    let mut scanner = Scanner::new(syntax.encoding, Limits::default(), None);
    let scanned = (|| {
        while let Some(piece) = pieces.blocking_recv() {
            scanner.push(&piece, &mut |_: Event<'_>| Ok::<(), ScanError>(()))?;
        }
        scanner.finish()
    })();
    match scanned {
        Ok(()) => Verdict::Same,
        Err(error) => Verdict::Other(format!("what was read back is damaged: {error}")),
    }
}
