//! `sealgate keys backup`, `restore` and `verify`: copies of the key store, and whether what is there opens.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use super::keys::{Answer, Common, bar_updates, lines, now_unix_seconds, progress};
use crate::keys::store::{KeyStore as _, restore, verify_backup};
use crate::keys::{Config, KeysError, destroy, dual, rotation, signer};

#[derive(Debug, Args)]
pub(super) struct Backup {
    /// The backup; its manifest is the same name with .manifest.json
    file: PathBuf,
    #[command(flatten)]
    pub(super) common: Common,
}

#[derive(Debug, Args)]
pub(super) struct Verify {
    /// Open only so many keys, evenly spread, instead of all
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    sample: Option<u64>,
    /// Verify this backup against its manifest instead of the store
    #[arg(long, value_name = "FILE", conflicts_with = "sample")]
    backup: Option<PathBuf>,
    #[command(flatten)]
    pub(super) common: Common,
}

impl Backup {
    pub(super) fn make(&self, config: &Config) -> Result<Answer, KeysError> {
        let store = config.open_store()?;
        let bar = progress("backing up");
        let manifest = store.backup(&self.file, now_unix_seconds(), &mut bar_updates(&bar))?;
        let (_, checked) = verify_backup(&self.file, &mut bar_updates(&bar))?;
        bar.finish_and_clear();
        let dual = dual::back_up(&config.keyring_path(), &self.file)?;
        let signers = signer::back_up(&config.keyring_path(), &self.file)?;
        let text = format!(
            "Backed up {} keys in {} records to {}, {} dual keys and {} signing keys beside it.\nKeep the key files of {} apart from it: without them it opens \
             nothing.{}",
            manifest.counts.keys,
            manifest.counts.records,
            self.file.display(),
            dual.len(),
            signers.len(),
            config.keyring_path().display(),
            lines(&checked.problems)
        );
        let good = checked.problems.is_empty();
        Ok(Answer {
            good,
            fields: json!({ "manifest": manifest, "dual_keys": dual, "signers": signers, "problems": checked.problems }),
            text,
        })
    }

    pub(super) fn restore(&self, config: &Config) -> Result<Answer, KeysError> {
        let bar = progress("verifying");
        let restored = restore(&self.file, &config.store_path(), now_unix_seconds(), &mut bar_updates(&bar))?;
        bar.finish_and_clear();
        // An older backup has what was destroyed since; the tombstones lie outside of it.
        let again = destroy::reapply(config, &config.open_store()?)?;
        let dual = dual::restore(&config.keyring_path(), &self.file)?;
        let signers = signer::restore(&config.keyring_path(), &self.file)?;
        let before = restored.replaced.as_ref();
        let before =
            before.map_or(String::new(), |path| format!("\nThe store before it is {}.", path.display()));
        let destroyed = match again {
            0 => String::new(),
            _ => format!("\n{again} of them were destroyed before, and are destroyed again."),
        };
        let text = format!(
            "Restored {} keys to {}, {} dual keys and {} signing keys.{before}{destroyed}\n`sealgate keys verify` tries whether they open.",
            restored.manifest.counts.keys,
            config.store_path().display(),
            dual.len(),
            signers.len()
        );
        let fields =
            json!({ "restored": restored, "destroyed_again": again, "dual_keys": dual, "signers": signers });
        Ok(Answer::good(fields, text))
    }
}

impl Verify {
    pub(super) fn run(&self, config: &Config) -> Result<Answer, KeysError> {
        let bar = progress("verifying");
        let mut update = bar_updates(&bar);
        if let Some(backup) = &self.backup {
            let (manifest, report) = verify_backup(backup, &mut update)?;
            let text = format!("Read {} records.{}", report.records, lines(&report.problems));
            let good = report.problems.is_empty();
            return Ok(Answer { good, fields: json!({ "manifest": manifest, "check": report }), text });
        }
        let store = config.open_store()?;
        let mut report = store.check(&mut update)?;
        report.problems.extend(destroy::check(config, &store)?);
        let keyring = config.open_keyring()?;
        let outcome = rotation::verify(&store, &keyring, self.sample, &mut update)?;
        bar.finish_and_clear();
        let text = format!(
            "Read {} records, {} of {} tried do not open.{}{}",
            report.records,
            outcome.failed,
            outcome.done.saturating_add(outcome.failed),
            lines(&report.problems),
            lines(&outcome.failures)
        );
        let good = report.problems.is_empty() && outcome.failed == 0;
        Ok(Answer { good, fields: json!({ "check": report, "open": outcome }), text })
    }
}
