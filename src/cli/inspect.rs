//! `sealgate inspect`: says what DICOM files are, which of them are sealed, and whose keys open them.

use std::fs::File;

use clap::Args;
use serde_json::json;

use super::batch::{Inputs, Outcome};
use super::{ConfigArgs, Exit, complain};
use crate::keys::{Archive, Config, Keyring, Opens};
use crate::seal::{self, InspectError, Inspection, Seal, SignatureProblem, SignerKey};
use crate::settings;

/// Say what DICOM files are, and which of them are sealed
#[derive(Debug, Args)]
#[command(after_help = "Example: sealgate inspect --json archive/2026/ | grep '\"sealed\":false'\n\n\
    \"sealed\" is what the pixels claim; only opening them verifies it.")]
pub(super) struct Inspect {
    #[command(flatten)]
    inputs: Inputs,
    #[command(flatten)]
    config: ConfigArgs,
}

impl Inspect {
    pub(super) fn run(self) -> Exit {
        // No secret is needed: who could open an instance stands in clear in its key record.
        let keys = match settings::load(&self.config.source()) {
            Ok(settings) => settings.keys,
            Err(error) => {
                complain(error);
                return Exit::Configuration;
            }
        };
        self.inputs.run("inspecting", |input| {
            let inspection = seal::inspect(File::open(&input.path)?)?;
            let opens = match inspection.seal {
                Seal::Sealed(header) if keys.keyring_path().exists() => {
                    Some(Archive::recipients(&keys, header.key_id, inspection.key_record.as_deref()))
                }
                _ => None,
            };
            let mut outcome = Outcome { fields: fields(&inspection), sentence: sentence(&inspection) };
            if let Some(signature) = &inspection.signature {
                let keyring = Keyring::load(&keys.keyring_path(), &keys.recipients);
                let known = |signer| keyring.as_ref().ok()?.name_of(signer).ok()?;
                let (fields, sentence) = signature_in_words(signature, known);
                outcome.fields["signature"] = fields;
                outcome.sentence += &sentence;
            }
            if let (true, Seal::Sealed(_)) = (keys.require_signature, &inspection.seal) {
                let does = does(&keys, inspection.signature.as_ref());
                outcome.fields["opens_by_signature"] = does.into();
                outcome.sentence +=
                    if does { "" } else { "; is not opened here: `keys.require_signature` is true" };
            }
            match opens {
                Some(Ok(opens)) => {
                    outcome.sentence += &in_words(&opens);
                    outcome.fields["opens_with"] = json!(opens);
                }
                Some(Err(error)) => outcome.sentence.extend(["; its key record: ", &error.to_string()]),
                None => {}
            }
            Ok::<_, InspectError>(outcome)
        })
    }
}

/// Whether its signature is one that is asked for.
fn does(keys: &Config, signature: Option<&Result<SignerKey, SignatureProblem>>) -> bool {
    let trusted = Keyring::load(&keys.keyring_path(), &keys.recipients)
        .and_then(|keyring| keyring.trusted_signers(&keys.signers))
        .unwrap_or_default();
    matches!(signature, Some(Ok(signer)) if trusted.contains(signer))
}

/// Who signed, as fields and as the end of a sentence.
fn signature_in_words(
    signature: &Result<SignerKey, SignatureProblem>,
    known: impl Fn(SignerKey) -> Option<String>,
) -> (serde_json::Value, String) {
    match signature {
        Ok(signer) => {
            let name = known(*signer);
            let words = name.clone().unwrap_or_else(|| format!("gateway {signer}, which is not known here"));
            let fields = json!({ "good": true, "signer": signer.to_string(), "name": name });
            (fields, format!("; signed by {words}"))
        }
        Err(problem) => (json!({ "good": false, "problem": problem.to_string() }), format!("; {problem}")),
    }
}

/// Whose keys open it, as the end of a sentence.
fn in_words(opens: &[Opens]) -> String {
    let mut names: Vec<String> = opens
        .iter()
        .map(|opens| match &opens.ours {
            Some(kek) => format!("{} (key {})", kek.recipient, kek.generation),
            None => format!("a key that is not here ({})", opens.kek),
        })
        .collect();
    names.sort();
    names.dedup();
    if names.is_empty() {
        return "; neither the instance nor the key store has its key".to_owned();
    }
    format!("; opens with {}", names.join(", "))
}

fn fields(found: &Inspection) -> serde_json::Value {
    let image = found.image.as_ref().map(|image| {
        json!({
            "rows": image.rows, "columns": image.columns, "frames": image.frames, "samples": image.samples,
            "bits_allocated": image.bits_allocated, "bits_stored": image.bits_stored,
            "photometric": image.photometric,
        })
    });
    let mut fields = json!({
        "transfer_syntax": found.transfer_syntax, "sop_class": found.sop_class, "sop_instance": found.sop_instance,
        "data_set_bytes": found.data_set_bytes, "image": image, "sealed": matches!(found.seal, Seal::Sealed(_)),
    });
    match found.seal {
        Seal::Sealed(header) => {
            fields["suite"] = header.suite.name().into();
            fields["key_id"] = header.key_id.to_string().into();
            fields["stream_bytes"] = header.stream_bytes.into();
        }
        Seal::Unusable(error) => fields["seal_error"] = error.to_string().into(),
        Seal::NoPixels | Seal::Clear => {}
    }
    fields
}

fn sentence(found: &Inspection) -> String {
    let image = found.image.as_ref().map_or_else(
        || (if found.seal == Seal::NoPixels { "no image" } else { "document" }).to_owned(),
        |image| {
            let frames = if image.frames > 1 { format!(", {} frames", image.frames) } else { String::new() };
            format!(
                "{} x {} {}-bit {}{frames}",
                image.columns, image.rows, image.bits_stored, image.photometric
            )
        },
    );
    let seal = match found.seal {
        Seal::NoPixels => "nothing to seal".to_owned(),
        Seal::Clear => "in clear".to_owned(),
        Seal::Sealed(header) => format!("sealed with {}, key {}", header.suite, header.key_id),
        Seal::Unusable(error) => format!("sealed, but {error}"),
    };
    format!("{image}, {seal}")
}
