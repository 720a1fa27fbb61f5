//! `sealgate open`: opens sealed files into the originals.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::sync::{Arc, Mutex, PoisonError};

use clap::Args;
use serde_json::json;

use super::batch::{Input, Inputs, Outcome, Outputs};
use super::custody::{self, Office};
use super::{ConfigArgs, Exit, complain, open_archive};
use crate::cipher::{DualKeys, Layers};
use crate::custody::Role;
use crate::dicom::Uid;
use crate::keygen::Engines;
use crate::keys::{Archive, Binding as KeyBinding, KeysError, Source};
use crate::seal::{Changes, Claim, FileError, HeaderMode, SignerKey, open_file};

/// Open sealed DICOM files
#[derive(Debug, Args)]
#[command(after_help = "Example: sealgate open --out originals/ sealed/\n\n\
    What an archive changed since in the patient's or the study's attributes is taken over, and named; with --original \
    every byte is as it was sealed.")]
pub(super) struct Open {
    #[command(flatten)]
    inputs: Inputs,
    #[command(flatten)]
    outputs: Outputs,
    /// Give every byte back as it was sealed, whatever an archive changed in the attributes since
    #[arg(long)]
    original: bool,
    #[command(flatten)]
    config: ConfigArgs,
}

impl Open {
    pub(super) fn run(self) -> Exit {
        match open_archive(&self.config) {
            Ok((settings, archive)) => {
                let ledger = match custody::require(&settings, &[Role::Custodian]) {
                    Ok(()) => Office::of(&settings).ledger,
                    Err(exit) => return exit,
                };
                // No image is opened without a record: that it begins is durable before the first one.
                if let Err(problem) = ledger.uses("open: images are opened at a terminal") {
                    complain(KeysError::from(problem));
                    return Exit::Failed;
                }
                let dual = archive.keyring().dual_keys().unwrap_or_else(|error| {
                    complain(error);
                    DualKeys::default()
                });
                let layers = Layers::new(Arc::new(Engines::new(&settings.keygen))).with_dual(dual);
                let opened = Mutex::default();
                let exit = self.inputs.run("opening", |input| self.open(input, &archive, &layers, &opened));
                let opened = opened.into_inner().unwrap_or_else(PoisonError::into_inner);
                ledger.opened(&opened).unwrap_or_else(complain);
                exit
            }
            Err(exit) => exit,
        }
    }

    fn open(
        &self,
        input: &Input,
        archive: &Archive,
        layers: &Layers,
        done: &Mutex<Vec<Uid>>,
    ) -> Result<Outcome, FileError<KeysError>> {
        let mode = if self.original { HeaderMode::Original } else { HeaderMode::Current };
        let mut writing = self.outputs.begin(input)?;
        let file = File::open(&input.path)?;
        let mut out = BufWriter::with_capacity(256 * 1024, writing.file());
        let (mut source, mut warnings) = (None, Vec::new());
        let opened = open_file(file, &mut out, mode, layers, |claim: &Claim| {
            let binding = KeyBinding::from(&claim.binding);
            let found = archive.find(binding.key_id, claim.key_record.as_deref(), &binding)?;
            source = Some(found.source);
            warnings = found.failures.iter().map(|(place, error)| format!("{place}: {error}")).collect();
            Ok(found.content_key)
        })?;
        out.flush()?;
        drop(out);
        let path = writing.finish()?;
        let place = source.map_or("", Source::name);
        let tags = |tags: &[dicom_core::Tag]| tags.iter().map(ToString::to_string).collect::<Vec<_>>();
        let Changes { changed, added, removed } = &opened.changes;
        let binding = &opened.binding;
        done.lock().unwrap_or_else(PoisonError::into_inner).push(binding.sop_instance.clone());
        let signed_by = opened.signer.map(|signer| signed_by(archive, signer));
        Ok(Outcome {
            fields: json!({
                "out": path.display().to_string(), "key_id": binding.key_id.to_string(), "key_from": source,
                "suite": binding.suite.name(), "signed_by": signed_by, "sop_instance": binding.sop_instance,
                "transfer_syntax": opened.original.transfer_syntax, "warnings": warnings,
                "changed": tags(changed), "added": tags(added), "removed": tags(removed),
            }),
            sentence: format!(
                "opened with the key from {place}{}{}{}",
                signed_by.map_or_else(String::new, |name| format!("; signed by {name}")),
                noted(&warnings),
                in_words(&opened.changes)
            ),
        })
    }
}

/// The gateway that signed, by name where it is known here.
fn signed_by(archive: &Archive, signer: SignerKey) -> String {
    let known = archive.keyring().name_of(signer).ok().flatten();
    known.unwrap_or_else(|| format!("gateway {signer}, which is not known here"))
}

fn noted(warnings: &[String]) -> String {
    warnings.iter().flat_map(|warning| ["; ", warning]).collect()
}

/// What the archive changed, as the end of a sentence.
fn in_words(changes: &Changes) -> String {
    let Changes { changed, added, removed } = changes;
    let part = |verb: &str, tags: &[dicom_core::Tag]| {
        let tags: Vec<_> = tags.iter().map(ToString::to_string).collect();
        if tags.is_empty() { String::new() } else { format!("; {verb} since: {}", tags.join(" ")) }
    };
    part("changed", changed) + &part("added", added) + &part("removed", removed)
}
