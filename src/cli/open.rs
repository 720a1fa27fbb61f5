//! `sealgate open`: opens sealed files into the originals.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::sync::{Arc, Mutex, PoisonError};

use clap::Args;
use serde_json::json;

use super::batch::{Input, Inputs, Outcome, Outputs};
use super::custody::{self, Office};
use super::{ConfigArgs, Exit, complain, open_archive};
use crate::audit::Instance;
use crate::cipher::{DualKeys, Layers};
use crate::custody::Role;
use crate::dicom::Uid;
use crate::keygen::Engines;
use crate::keys::{Archive, KeysError, Source};
use crate::seal::{Binding, Changes, Claim, FileError, Frame, HeaderMode, SignerKey, open_file, open_frame};

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
    /// Only frame N, the first being 1: its native pixels or its compressed bytes, as FILE.frame-N. The rest is not read
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..), conflicts_with = "original")]
    frame: Option<u32>,
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
                let exit = self.inputs.run("opening", |input| match self.frame {
                    Some(number) => self.frame(number, input, &archive, &layers, &opened),
                    None => self.open(input, &archive, &layers, &opened),
                });
                let opened = opened.into_inner().unwrap_or_else(PoisonError::into_inner);
                for (study, instances) in by_study(&archive, opened) {
                    ledger.opened(study.as_ref(), &instances).unwrap_or_else(complain);
                }
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
        done: &Mutex<Vec<Instance>>,
    ) -> Result<Outcome, FileError<KeysError>> {
        let mode = if self.original { HeaderMode::Original } else { HeaderMode::Current };
        let mut writing = self.outputs.begin(input)?;
        let file = File::open(&input.path)?;
        let mut out = BufWriter::with_capacity(256 * 1024, writing.file());
        let (mut source, mut warnings) = (None, Vec::new());
        let opened = open_file(file, &mut out, mode, layers, |claim: &Claim| {
            let found = archive.find_to_open(claim)?;
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
        done.lock().unwrap_or_else(PoisonError::into_inner).push(instance_of(binding));
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

impl Open {
    /// Opens one frame, and reads no more than that takes.
    fn frame(
        &self,
        number: u32,
        input: &Input,
        archive: &Archive,
        layers: &Layers,
        done: &Mutex<Vec<Instance>>,
    ) -> Result<Outcome, FileError<KeysError>> {
        let name = input.relative.file_name().unwrap_or_default().to_string_lossy();
        let relative = input.relative.with_file_name(format!("{name}.frame-{number}"));
        let mut writing = self.outputs.begin(&Input { path: input.path.clone(), relative })?;
        let find_key = |claim: &Claim| archive.find_to_open(claim).map(|found| found.content_key);
        let frame = open_frame(File::open(&input.path)?, number, layers, find_key)?;
        writing.file().write_all(&frame.bytes)?;
        let path = writing.finish()?;
        let Frame { image, binding, original, chunks_read, chunks, .. } = &frame;
        done.lock().unwrap_or_else(PoisonError::into_inner).push(instance_of(binding));
        // It takes every byte of the stream to know that a signature is good.
        let signed = frame.signer.map(|signer| signed_by(archive, signer));
        Ok(Outcome {
            fields: json!({
                "out": path.display().to_string(), "frame": number, "frames": image.frames, "bytes": frame.bytes.len(),
                "rows": image.rows, "columns": image.columns, "samples": image.samples,
                "bits_allocated": image.bits_allocated, "photometric": image.photometric,
                "key_id": binding.key_id.to_string(), "suite": binding.suite.name(),
                "sop_instance": binding.sop_instance, "transfer_syntax": original.transfer_syntax,
                "claims_to_be_signed_by": signed, "chunks_read": chunks_read, "chunks": chunks,
            }),
            sentence: format!(
                "frame {number} of {}, {} bytes, proven with {chunks_read} of {chunks} chunks{}",
                image.frames,
                frame.bytes.len(),
                signed.map_or_else(String::new, |name| format!("; claims to be signed by {name}"))
            ),
        })
    }
}

/// What stands in the audit trail of an instance that was opened.
fn instance_of(binding: &Binding) -> Instance {
    let (class, uid) = (binding.sop_class.clone(), binding.sop_instance.clone());
    Instance { class, uid, key_id: Some(binding.key_id.to_string()) }
}

/// The instances of each study, as far as the key store knows it: a message of the standard is about one study.
fn by_study(archive: &Archive, instances: Vec<Instance>) -> BTreeMap<Option<Uid>, Vec<Instance>> {
    let mut studies = BTreeMap::<Option<Uid>, Vec<Instance>>::new();
    for instance in instances {
        let study = archive.study_of(&instance.uid).ok().flatten();
        studies.entry(study).or_default().push(instance);
    }
    studies
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
