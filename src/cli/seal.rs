//! `sealgate seal`: seals DICOM files into other files, with keys in the archive that the configuration names.

use std::fs::File;
use std::io::{BufReader, BufWriter};

use clap::{Args, ValueEnum};
use serde_json::json;

use super::batch::{Input, Inputs, Outcome, Outputs};
use super::time::now_unix_millis;
use super::{ConfigArgs, Exit, open_archive};
use crate::dicom::Uid;
use crate::flow::Generators;
use crate::keys::store::{Facts, OriginalAttributes};
use crate::keys::{Archive, Binding as KeyBinding, KeysError};
use crate::seal::{
    Binding, Claim, FileError, KeyId, NewSeal, NoEntropy, SealError, Sealed, Suite, random, seal_file_signed,
};

/// Seal DICOM files
#[derive(Debug, Args)]
#[command(after_help = "Example: sealgate seal --out sealed/ studies/\n\n\
    The sealed files are valid DICOM of the same class with the same UIDs. `sealgate open` gives the originals back.")]
pub(super) struct Seal {
    #[command(flatten)]
    inputs: Inputs,
    #[command(flatten)]
    outputs: Outputs,
    /// What to do with files that have no pixels, such as reports
    #[arg(long, value_name = "WHAT", default_value = "refuse")]
    without_pixels: WithoutPixels,
    /// How the files are sealed
    #[arg(long, default_value_t = Suite::DeepKeyGen, value_parser = suite)]
    suite: Suite,
    #[command(flatten)]
    config: ConfigArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum WithoutPixels {
    /// Count them as failed
    Refuse,
    /// Copy them as they are, in clear
    Copy,
    /// Leave them out
    Skip,
}

pub(super) fn suite(name: &str) -> Result<Suite, String> {
    let names = || Suite::ALL.iter().map(|suite| suite.name()).collect::<Vec<_>>().join(", ");
    Suite::from_name(name).ok_or_else(|| format!("it is not one of: {}", names()))
}

/// Why a file was not sealed, on the command's side.
#[derive(Debug, thiserror::Error)]
enum Refused {
    #[error("{0}")]
    Keys(#[from] KeysError),
    #[error(
        "it has no pixels, so there is nothing to seal; --without-pixels says what to do with such files"
    )]
    NoPixels,
}

impl From<NoEntropy> for Refused {
    fn from(error: NoEntropy) -> Self {
        Self::Keys(error.into())
    }
}

impl Seal {
    pub(super) fn run(self) -> Exit {
        let (settings, archive) = match open_archive(&self.config) {
            Ok(opened) => opened,
            Err(exit) => return exit,
        };
        let generators = Generators::start(&settings.keygen, archive.keyring());
        self.inputs.run("sealing", |input| self.seal(input, &generators, &archive))
    }

    fn seal(
        &self,
        input: &Input,
        generators: &Generators,
        archive: &Archive,
    ) -> Result<Outcome, FileError<Refused>> {
        let (suite, key_source) = (self.suite, &generators.key_source);
        let mut writing = self.outputs.begin(input)?;
        let file = File::open(&input.path)?;
        let mut out = BufWriter::with_capacity(256 * 1024, writing.file());
        let mut record = Vec::new();
        let new_seal = |sop_class, sop_instance, study: Option<Uid>| {
            let key_id = KeyId::new(random()?);
            let binding = Binding { suite, key_id, sop_class, sop_instance };
            let key = key_source.draw(&binding)?;
            let for_keys = KeyBinding::from(&binding);
            record = archive.wrap(&key, &for_keys)?;
            let key_record = archive.in_tag(&record, &key, &for_keys, study.as_ref())?;
            Ok(NewSeal { binding, key, key_record })
        };
        let known = |claim: &Claim| {
            let binding = KeyBinding::from(&claim.binding);
            archive
                .find(binding.key_id, claim.key_record.as_deref(), &binding)
                .ok()
                .map(|found| found.content_key)
        };
        let (sealed, binding) =
            match seal_file_signed(file, &mut out, &generators.layers, new_seal, known, archive.signer()) {
                Ok(sealed) => sealed,
                Err(FileError::Seal(SealError::NoPixels)) if self.without_pixels != WithoutPixels::Refuse => {
                    drop(out);
                    return self.pass(input);
                }
                Err(FileError::Seal(SealError::NoPixels)) => return Err(FileError::Key(Refused::NoPixels)),
                Err(error) => return Err(error),
            };
        std::io::Write::flush(&mut out)?;
        drop(out);
        // First the key, then the name: a sealed file that has its name can be opened.
        archive
            .keep(record, KeyBinding::from(&binding), facts(&sealed))
            .map_err(|error| FileError::Key(error.into()))?;
        let path = writing.finish()?;
        Ok(Outcome {
            fields: json!({
                "out": path.display().to_string(), "suite": suite.name(), "key_id": binding.key_id.to_string(),
                "sop_instance": binding.sop_instance, "transfer_syntax": sealed.transfer_syntax, "bytes": sealed.bytes,
            }),
            sentence: format!("sealed with {suite}, key {}", binding.key_id),
        })
    }

    fn pass(&self, input: &Input) -> Result<Outcome, FileError<Refused>> {
        if self.without_pixels == WithoutPixels::Skip {
            let sentence = "left out, it has no pixels".to_owned();
            return Ok(Outcome { fields: json!({ "skipped": true }), sentence });
        }
        let mut writing = self.outputs.begin(input)?;
        std::io::copy(&mut BufReader::new(File::open(&input.path)?), writing.file())?;
        let path = writing.finish()?;
        Ok(Outcome {
            fields: json!({ "out": path.display().to_string(), "copied": true }),
            sentence: "copied in clear, it has no pixels".to_owned(),
        })
    }
}

/// What the key store keeps beside a key.
fn facts(sealed: &Sealed) -> Facts {
    Facts {
        study: sealed.study.clone(),
        series: sealed.series.clone(),
        calling: None,
        sealed_unix_millis: now_unix_millis(),
        attributes: OriginalAttributes::of(sealed.image.as_ref(), sealed.original_syntax.clone()),
    }
}
