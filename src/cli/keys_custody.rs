//! The commands of `sealgate keys` that take more than one person: escrow in shares, legal holds, destruction.

use std::fs;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde_json::json;
use zeroize::Zeroizing;

use super::approve::{ask, now};
use super::custody::Office;
use super::keys::{Answer, Common};
use super::keys_patient::Patient;
use super::time::utc;
use crate::custody::Action;
use crate::dicom::Uid;
use crate::handover::{HandoverError, read_codes, write_codes};
use crate::keys::destroy::{Certificate, Hold, Holds, Reach, Tombstones, parse_key_id};
use crate::keys::escrow::{Package, Quorum, Share, combine, split};
use crate::keys::{Keyring, KeysError, RecipientName, selftest, write_new_file};
use crate::settings::Settings;

/// What is meant, and why.
#[derive(Debug, Args)]
pub(super) struct Meant {
    /// Every key of this study; may be given more than once
    #[arg(long, value_name = "UID")]
    study: Vec<Uid>,
    /// This key, by its id; may be given more than once
    #[arg(long, value_name = "ID", value_parser = key_id)]
    key: Vec<String>,
    #[command(flatten)]
    patient: Patient,
    /// Why; it goes into the audit trail, so name no patient
    #[arg(long, value_name = "TEXT")]
    reason: String,
    #[command(flatten)]
    pub(super) common: Common,
}

#[derive(Debug, Args)]
pub(super) struct Lift {
    /// The hold, by its name
    hold: String,
    /// Why; it goes into the audit trail, so name no patient
    #[arg(long, value_name = "TEXT")]
    reason: String,
    #[command(flatten)]
    pub(super) common: Common,
}

#[derive(Debug, Args)]
pub(super) struct Destroyed {
    /// The certificate of this request alone
    request: Option<String>,
    #[command(flatten)]
    pub(super) common: Common,
}

#[derive(Debug, Subcommand)]
pub(super) enum Escrow {
    /// Make an escrow key whose private half exists in shares only
    #[command(after_help = "Example: sealgate keys escrow split --shares 5 --needed 3 --out escrow/")]
    Split(Split),
    /// Put the shares together: for trying them out, or to open images with the escrow key
    #[command(
        after_help = "Example: sealgate keys escrow combine --drill --package escrow/package.json share-1.json share-2.json share-3.json"
    )]
    Combine(Combine),
}

#[derive(Debug, Args)]
pub(super) struct Split {
    /// Whose key
    #[arg(long, value_name = "NAME", default_value = "escrow")]
    recipient: RecipientName,
    /// How many shares are made
    #[arg(long, value_name = "N", default_value_t = 5)]
    shares: u8,
    /// How many of them open
    #[arg(long, value_name = "M", default_value_t = 3)]
    needed: u8,
    /// A new folder for the package and the shares
    #[arg(long, value_name = "FOLDER")]
    out: PathBuf,
    /// Write the shares as pictures of QR codes to print, instead of files
    #[arg(long)]
    qr: bool,
    #[command(flatten)]
    pub(super) common: Common,
}

#[derive(Debug, Args)]
pub(super) struct Combine {
    /// The shares: files, or pictures of QR codes
    #[arg(required = true)]
    shares: Vec<PathBuf>,
    /// The package that was made with them
    #[arg(long, value_name = "FILE")]
    package: PathBuf,
    /// Only try whether they open it; nothing is written
    #[arg(long)]
    drill: bool,
    #[command(flatten)]
    pub(super) common: Common,
}

fn key_id(text: &str) -> Result<String, String> {
    let known = parse_key_id(text).map(|id| id.to_string());
    known.ok_or_else(|| format!("{text:?} is not the id of a key: 32 hexadecimal digits"))
}

fn reason(text: &str) -> Result<String, KeysError> {
    let text = text.trim();
    let is_good = (1..=200).contains(&text.chars().count()) && !text.chars().any(char::is_control);
    if is_good {
        return Ok(text.to_owned());
    }
    Err(KeysError::Custody("a reason has 1 to 200 characters, without control characters".to_owned()))
}

impl Meant {
    /// The studies that are meant, those of the patient among them.
    fn studies(&self, settings: &Settings) -> Result<Vec<Uid>, KeysError> {
        let mut studies = [self.study.clone(), self.patient.studies(settings)?].concat();
        studies.sort();
        studies.dedup();
        if studies.is_empty() && self.key.is_empty() {
            let problem = "nothing is named: give --study, --key or --patient";
            return Err(KeysError::Destruction(problem.to_owned()));
        }
        Ok(studies)
    }

    /// `keys shred`: asks for it. Nothing is destroyed before a second custodian has approved.
    pub(super) fn shred(&self, settings: &Settings) -> Result<Answer, KeysError> {
        let studies = self.studies(settings)?;
        let office = Office::of(settings);
        let keys = self.key.iter().filter_map(|key| parse_key_id(key)).collect::<Vec<_>>();
        let reach = Reach::of(&settings.keys.open_store()?, &studies, &keys)?;
        Holds::of(&settings.keys).check(&reach)?;
        let action = Action::Shred { studies, keys: self.key.clone(), reason: reason(&self.reason)? };
        let (mut fields, text) = ask(&office, action)?;
        fields["reach"] = json!(reach);
        let text = format!("{} keys are meant. {text}", reach.keys.len());
        Ok(Answer::good(fields, text))
    }

    /// `keys hold`.
    pub(super) fn hold(&self, settings: &Settings) -> Result<Answer, KeysError> {
        let studies = self.studies(settings)?;
        let (office, why) = (Office::of(settings), reason(&self.reason)?);
        let hold = Holds::of(&settings.keys).add(&studies, &self.key, &why, &office.person.name, now())?;
        office.ledger.held(&hold)?;
        let text = format!("Legal hold {} is set: none of it can be destroyed until it is lifted.", hold.id);
        Ok(Answer::good(json!({ "hold": hold }), text))
    }
}

impl Lift {
    pub(super) fn run(&self, settings: &Settings) -> Result<Answer, KeysError> {
        let office = Office::of(settings);
        if !Holds::of(&settings.keys).all()?.iter().any(|hold| hold.id == self.hold) {
            return Err(KeysError::Destruction(format!("there is no legal hold {}", self.hold)));
        }
        let action = Action::LiftHold { hold: self.hold.clone(), reason: reason(&self.reason)? };
        let (fields, text) = ask(&office, action)?;
        Ok(Answer::good(fields, text))
    }
}

/// `keys holds`.
pub(super) fn holds(settings: &Settings) -> Result<Answer, KeysError> {
    let holds = Holds::of(&settings.keys).all()?;
    let line = |hold: &Hold| {
        let what: Vec<String> =
            hold.studies.iter().map(ToString::to_string).chain(hold.keys.iter().cloned()).collect();
        let since = utc(i64::try_from(hold.since_unix_seconds).unwrap_or(i64::MAX));
        format!("{}  since {since} by {}: {}: {}", hold.id, hold.by, hold.reason, what.join(", "))
    };
    let lines: Vec<String> = holds.iter().map(line).collect();
    let text = if lines.is_empty() { "Nothing is on legal hold.".to_owned() } else { lines.join("\n") };
    Ok(Answer::good(json!({ "holds": holds }), text))
}

impl Destroyed {
    pub(super) fn run(&self, settings: &Settings) -> Result<Answer, KeysError> {
        let mut found = Tombstones::of(&settings.keys).certificates()?;
        found.retain(|one| self.request.as_ref().is_none_or(|wanted| one.statement.request == *wanted));
        if let (Some(wanted), true) = (&self.request, found.is_empty()) {
            return Err(KeysError::Destruction(format!("there is no certificate {wanted}")));
        }
        found.sort_by_key(|one| one.statement.destroyed_unix_seconds);
        let line = |certificate: &Certificate| {
            let statement = &certificate.statement;
            let on = utc(i64::try_from(statement.destroyed_unix_seconds).unwrap_or(i64::MAX));
            let good = if certificate.verifies() { "" } else { "  THE SIGNATURE DOES NOT VERIFY" };
            format!(
                "{}  {on}  {} keys, asked by {}, approved by {}: {}{good}",
                statement.request,
                statement.keys.len(),
                statement.requested_by,
                statement.approved_by,
                statement.reason
            )
        };
        let lines: Vec<String> = found.iter().map(line).collect();
        let text = if lines.is_empty() { "Nothing was destroyed.".to_owned() } else { lines.join("\n") };
        let good = found.iter().all(Certificate::verifies);
        Ok(Answer { good, fields: json!({ "certificates": found }), text })
    }
}

impl Escrow {
    pub(super) const fn common(&self) -> &Common {
        match self {
            Self::Split(split) => &split.common,
            Self::Combine(combine) => &combine.common,
        }
    }

    pub(super) fn run(&self, settings: &Settings) -> Result<Answer, KeysError> {
        match self {
            Self::Split(split) => split.run(settings),
            Self::Combine(combine) => combine.run(settings),
        }
    }
}

impl Split {
    fn run(&self, settings: &Settings) -> Result<Answer, KeysError> {
        let quorum = Quorum { needed: self.needed, shares: self.shares };
        quorum.check()?;
        selftest::run()?;
        let config = &settings.keys;
        let mut keyring = Keyring::load(&config.keyring_path(), &config.recipients)?;
        // Before the key is made: a key whose shares cannot be written would be lost.
        if self.out.exists() {
            return Err(KeysError::Exists(self.out.clone()));
        }
        crate::keys::private_folder(&self.out)?;
        let (kek, package, shares) = split(&mut keyring, &self.recipient, quorum, now())?;
        package.save(&self.out.join("package.json"))?;
        for share in &shares {
            let name = self.out.join(format!("share-{}-of-{}", share.number, self.shares));
            if self.qr { draw(share, &name)? } else { share.save(&name.with_extension("json"))? }
        }
        Office::of(settings).ledger.escrow_split(&kek.id, &package.set, self.needed, self.shares)?;
        let text = format!(
            "Made escrow key {} of {} in {} shares, {} of which open it, in {}.\n\
             Give each share to a person of its own and delete it here; the package needs no hiding, keep it with the \
             backups.\nAdd {:?} to `keys.recipients`, restart, then `sealgate keys rewrap` reaches older images.\n\
             Once a year: `sealgate keys escrow combine --drill`.",
            kek.id,
            self.recipient,
            self.shares,
            self.needed,
            self.out.display(),
            self.recipient.as_str()
        );
        Ok(Answer::good(json!({ "kek": kek, "set": package.set, "folder": self.out }), text))
    }
}

/// A share as QR codes; it fills one sheet.
fn draw(share: &Share, name: &Path) -> Result<(), KeysError> {
    let failed = |error: HandoverError| KeysError::Escrow(error.to_string());
    for sheet in write_codes(share.to_text()?.as_bytes()).map_err(failed)?.into_iter().map(Zeroizing::new) {
        write_new_file(&name.with_extension("png"), &sheet)?;
    }
    Ok(())
}

/// A share out of its file, or out of a picture of its codes.
fn read_share(path: &Path) -> Result<Share, KeysError> {
    if path.extension().is_none_or(|extension| extension != "png") {
        return Share::load(path);
    }
    let failed = |error: HandoverError| KeysError::Escrow(format!("{}: {error}", path.display()));
    let picture = fs::read(path).map_err(|error| failed(error.into()))?;
    let text = Zeroizing::new(read_codes(&[picture]).map_err(failed)?.package);
    let text = std::str::from_utf8(&text).map_err(|_| KeysError::Escrow("its codes are no share".into()))?;
    Share::parse(text)
}

impl Combine {
    fn run(&self, settings: &Settings) -> Result<Answer, KeysError> {
        selftest::run()?;
        let package = Package::load(&self.package)?;
        let shares = self.shares.iter().map(|path| read_share(path)).collect::<Result<Vec<_>, _>>()?;
        let ledger = Office::of(settings).ledger;
        let numbers: Vec<u8> = shares.iter().map(|share| share.number).collect();
        let opened = combine(&package, &shares);
        let (recipient, kek) = package.of();
        if let Err(problem) = &opened {
            ledger.escrow_refused(kek, &numbers, &problem.to_string())?;
        }
        let credential = opened?;
        if self.drill {
            ledger.escrow_drilled(kek, &numbers)?;
            let text =
                format!("The shares {numbers:?} open escrow key {kek} of {recipient}. Nothing was written.");
            return Ok(Answer::good(json!({ "kek": kek, "drill": true }), text));
        }
        let config = &settings.keys;
        let mut keyring = Keyring::load(&config.keyring_path(), &config.recipients)?;
        ledger.escrow_released(kek, &numbers)?;
        let info = package.release(&credential, &mut keyring, &config.sealing_secret()?)?;
        let text = format!(
            "Escrow key {} of {recipient} is in the keyring, and opens what is wrapped for it. Restart the service; make a \
             new one in shares afterwards.",
            info.id
        );
        Ok(Answer::good(json!({ "kek": info, "drill": false }), text))
    }
}
