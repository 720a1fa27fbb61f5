//! `sealgate keys`: the keyring and the key store, from the first key to the restored backup.

use std::io::{self, IsTerminal};
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use clap::{Args, Subcommand};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::{Value, json};

use super::custody::{self, Office};
use super::keys_backup::{Backup, Verify};
use super::keys_custody::{self, Destroyed, Escrow, Lift, Meant};
use super::time::{unix_millis, utc};
use super::{ConfigArgs, Exit, complain};
use crate::custody::Role;
use crate::dicom::{AeTitle, Uid};
use crate::keys::store::{Filter, KeyStore, StoredKey};
use crate::keys::write_new_file;
use crate::keys::{
    Algorithm, Config, DualKeyInfo, KekInfo, Keyring, KeysError, NewCustody, RecipientName, rotation,
    selftest,
};
use crate::settings::{self, Settings};

/// Make, list, rotate, back up and verify keys
#[derive(Debug, Args)]
#[command(after_help = "Example: sealgate keys init")]
pub(super) struct Keys {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Make the first key of a recipient, and the key store
    #[command(after_help = "Examples: sealgate keys init\n          \
        sealgate keys init --recipient escrow --public escrow.kek")]
    Init(NewKey),
    /// List key encryption keys, or with a condition the sealed instances in the key store
    #[command(after_help = "Example: sealgate keys list --study 1.2.840.113619.2.5 --json")]
    List(List),
    /// Make a new key the current one of a recipient; the old one stays for opening
    #[command(after_help = "Example: sealgate keys rotate")]
    Rotate(NewKey),
    /// Make the site's key for the suite `dual`; again makes the next, and the older ones stay for opening
    #[command(after_help = "Example: sealgate keys dual")]
    Dual(Common),
    /// Make the key that this gateway signs with, export its public half, or take in that of another gateway
    #[command(after_help = "Example: sealgate keys signer --export north.signer")]
    Signer(SignerArgs),
    /// Wrap every stored key for the current recipients; images are not touched
    #[command(after_help = "Example: sealgate keys rewrap")]
    Rewrap(Common),
    /// Copy the key store to a new file while the service runs
    #[command(after_help = "Example: sealgate keys backup /mnt/backup/keys-2026-01-31.db")]
    Backup(Backup),
    /// Put a backup in the place of the key store; the service has to be stopped
    #[command(after_help = "Example: sealgate keys restore /mnt/backup/keys-2026-01-31.db")]
    Restore(Backup),
    /// Check the store and whether every stored key opens with the present keyring
    #[command(after_help = "Example: sealgate keys verify --sample 1000")]
    Verify(Verify),
    /// Write the public half of a recipient's current key, for another site to wrap for
    #[command(after_help = "Example: sealgate keys export-public --out north.kek")]
    ExportPublic(ExportPublic),
    /// Keep an escrow key in shares that so many persons have to put together
    #[command(
        subcommand,
        after_help = "Example: sealgate keys escrow split --shares 5 --needed 3 --out escrow/"
    )]
    Escrow(Escrow),
    /// Put studies or keys on legal hold: nobody destroys them
    #[command(
        after_help = "Example: sealgate keys hold --study 1.2.840.113619.2.5 --reason \"court order 17/26\""
    )]
    Hold(Meant),
    /// Show the legal holds
    #[command(after_help = "Example: sealgate keys holds")]
    Holds(Common),
    /// Ask for a legal hold to be lifted; a second custodian approves
    #[command(
        after_help = "Example: sealgate keys lift 5c1d09ee7ab2 --reason \"court order 17/26 is closed\""
    )]
    Lift(Lift),
    /// Ask for keys to be destroyed for good, so that their images never open again; a second custodian approves
    #[command(
        after_help = "Example: sealgate keys shred --study 1.2.840.113619.2.5 --reason \"retention time is over\""
    )]
    Shred(Meant),
    /// Show what was destroyed, with its certificates
    #[command(after_help = "Example: sealgate keys destroyed --json")]
    Destroyed(Destroyed),
}

#[derive(Debug, Args)]
pub(super) struct Common {
    #[command(flatten)]
    config: ConfigArgs,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct NewKey {
    /// Whose key
    #[arg(long, value_name = "NAME", default_value = "site")]
    recipient: RecipientName,
    /// x-wing, rsa-oaep-3072, ecdh-p256 or ecdh-p384; by default that of the current key, x-wing for the first
    #[arg(long)]
    algorithm: Option<Algorithm>,
    /// Let the PKCS#11 token make the key and keep the private half
    #[arg(long, conflicts_with = "public")]
    token: bool,
    /// Take the public key from this file, which the other site made with `export-public`
    #[arg(long, value_name = "FILE", conflicts_with = "algorithm")]
    public: Option<PathBuf>,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, Args)]
struct List {
    /// Instances of this study
    #[arg(long, value_name = "UID")]
    study: Option<Uid>,
    /// Every key of this SOP instance
    #[arg(long, value_name = "UID")]
    instance: Option<Uid>,
    /// Instances sent by this AE title
    #[arg(long, value_name = "TITLE")]
    calling: Option<AeTitle>,
    /// Sealed at or after this time (UTC), such as 2026-01-31 or 2026-01-31T06:30:00Z
    #[arg(long, value_name = "TIME", value_parser = unix_millis)]
    since: Option<i64>,
    /// Sealed before this time (UTC)
    #[arg(long, value_name = "TIME", value_parser = unix_millis)]
    until: Option<i64>,
    /// List at most so many instances
    #[arg(long, value_name = "N", default_value_t = 1000)]
    limit: usize,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, Args)]
struct SignerArgs {
    /// Write the public half of the current key to this new file, and make none
    #[arg(long, value_name = "FILE", conflicts_with = "import")]
    export: Option<PathBuf>,
    /// Take in the public half in this file, which another gateway exported; its signatures then have a name
    #[arg(long, value_name = "FILE", requires = "name")]
    import: Option<PathBuf>,
    /// What the other gateway is called here
    #[arg(long, value_name = "NAME")]
    name: Option<RecipientName>,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, Args)]
struct ExportPublic {
    /// Whose key
    #[arg(long, value_name = "NAME", default_value = "site")]
    recipient: RecipientName,
    /// Write to this new file instead of standard output
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    #[command(flatten)]
    common: Common,
}

/// What a command has to say: as JSON, as text, and whether all is well.
pub(super) struct Answer {
    pub(super) fields: Value,
    pub(super) text: String,
    pub(super) good: bool,
}

impl Answer {
    pub(super) fn good(fields: Value, text: impl Into<String>) -> Self {
        Self { fields, text: text.into(), good: true }
    }
}

impl Keys {
    pub(super) fn run(self) -> Exit {
        let common = self.action.common();
        let settings = match settings::load(&common.config.source()) {
            Ok(settings) => settings,
            Err(error) => {
                complain(error);
                return Exit::Configuration;
            }
        };
        if let Err(exit) = custody::require(&settings, self.action.roles()) {
            return exit;
        }
        let answer = settings.keys.check().and_then(|()| self.action.recorded(&settings));
        report(answer, common.json)
    }
}

impl Action {
    const fn common(&self) -> &Common {
        match self {
            Self::Init(new) | Self::Rotate(new) => &new.common,
            Self::List(list) => &list.common,
            Self::Rewrap(common) | Self::Holds(common) | Self::Dual(common) => common,
            Self::Signer(signer) => &signer.common,
            Self::Backup(backup) | Self::Restore(backup) => &backup.common,
            Self::Verify(verify) => &verify.common,
            Self::ExportPublic(export) => &export.common,
            Self::Escrow(escrow) => escrow.common(),
            Self::Hold(meant) | Self::Shred(meant) => &meant.common,
            Self::Lift(lift) => &lift.common,
            Self::Destroyed(destroyed) => &destroyed.common,
        }
    }

    /// Who may do it, where there are roles.
    const fn roles(&self) -> &'static [Role] {
        match self {
            Self::List(_) | Self::Holds(_) | Self::Destroyed(_) | Self::Verify(_) => {
                &[Role::Operator, Role::Custodian, Role::Auditor]
            }
            Self::Backup(_) | Self::ExportPublic(_) | Self::Signer(_) => &[Role::Operator, Role::Custodian],
            _ => &[Role::Custodian],
        }
    }

    /// What the audit trail says that somebody did; nothing for looking, and for what has records of its own.
    const fn deed(&self) -> Option<&'static str> {
        Some(match self {
            Self::Init(_) => "keys init",
            Self::Rotate(_) => "keys rotate",
            Self::Rewrap(_) => "keys rewrap",
            Self::Dual(_) => "keys dual",
            Self::Signer(_) => "keys signer",
            Self::Backup(_) => "keys backup",
            Self::Restore(_) => "keys restore",
            Self::ExportPublic(_) => "keys export-public",
            Self::Escrow(_) => "keys escrow",
            Self::List(_)
            | Self::Verify(_)
            | Self::Holds(_)
            | Self::Destroyed(_)
            | Self::Hold(_)
            | Self::Lift(_)
            | Self::Shred(_) => return None,
        })
    }

    /// Runs it with a record before, and another one where it fails.
    fn recorded(&self, settings: &Settings) -> Result<Answer, KeysError> {
        let Some(deed) = self.deed() else { return self.run(settings) };
        let ledger = Office::of(settings).ledger;
        ledger.uses(deed)?;
        let answer = self.run(settings);
        if let Err(problem) = &answer {
            ledger.failed(deed, &problem.to_string()).unwrap_or_else(complain);
        }
        answer
    }

    fn run(&self, settings: &Settings) -> Result<Answer, KeysError> {
        let config = &settings.keys;
        match self {
            Self::Init(new) => new.init(config),
            Self::List(list) => list.run(config),
            Self::Rotate(new) => new.rotate(config),
            Self::Rewrap(_) => rewrap(config),
            Self::Dual(_) => dual_key(config),
            Self::Backup(backup) => backup.make(config),
            Self::Restore(backup) => backup.restore(config),
            Self::Verify(verify) => verify.run(config),
            Self::ExportPublic(export) => export.run(config),
            Self::Escrow(escrow) => escrow.run(settings),
            Self::Hold(meant) => meant.hold(settings),
            Self::Holds(_) => keys_custody::holds(settings),
            Self::Lift(lift) => lift.run(settings),
            Self::Shred(meant) => meant.shred(settings),
            Self::Destroyed(destroyed) => destroyed.run(settings),
            Self::Signer(signer) => signer.run(config),
        }
    }
}

/// Says it, and turns it into an exit code.
fn report(answer: Result<Answer, KeysError>, as_json: bool) -> Exit {
    match answer {
        Ok(mut answer) => {
            if as_json {
                if let Value::Object(fields) = &mut answer.fields {
                    fields.insert("ok".into(), answer.good.into());
                }
                println!("{:#}", answer.fields);
            } else {
                println!("{}", answer.text);
            }
            if answer.good { Exit::Done } else { Exit::Failed }
        }
        Err(error) => {
            if as_json {
                let fields = json!({ "ok": false, "error": error.to_string(), "advice": error.advice() });
                println!("{fields:#}");
            } else {
                complain(format_args!("{error}\n{}", error.advice()));
            }
            if matches!(error, KeysError::Config(_)) { Exit::Configuration } else { Exit::Failed }
        }
    }
}

impl NewKey {
    fn init(&self, config: &Config) -> Result<Answer, KeysError> {
        let keyring = load_unlocked(config, self.public.is_some())?;
        if keyring.keks().any(|kek| kek.recipient == self.recipient) {
            let problem = format!(
                "recipient {} has a key already; `sealgate keys rotate` makes the next",
                self.recipient
            );
            return Err(KeysError::Recipient(problem));
        }
        let kek = self.make(config, keyring)?;
        let store = config.open_store()?;
        Ok(Answer::good(
            json!({ "kek": kek, "store": store.path() }),
            format!(
                "Made {}.\nThe key store is {}.{}",
                in_words(&kek),
                store.path().display(),
                hint(config, &kek)
            ),
        ))
    }

    fn rotate(&self, config: &Config) -> Result<Answer, KeysError> {
        let keyring = load_unlocked(config, self.public.is_some())?;
        if !keyring.keks().any(|kek| kek.recipient == self.recipient) {
            let problem =
                format!("recipient {} has no key yet; `sealgate keys init` makes it", self.recipient);
            return Err(KeysError::Recipient(problem));
        }
        let kek = self.make(config, keyring)?;
        Ok(Answer::good(
            json!({ "kek": kek }),
            format!(
                "Made {}. It is used once the service is restarted; the older keys stay for opening.\n\
                 `sealgate keys rewrap` moves the stored keys over.{}",
                in_words(&kek),
                hint(config, &kek)
            ),
        ))
    }

    fn make(&self, config: &Config, mut keyring: Keyring) -> Result<KekInfo, KeysError> {
        if let Some(exported) = &self.public {
            return keyring.import_public(&self.recipient, exported);
        }
        let newest = keyring.keks().filter(|kek| kek.recipient == self.recipient).last();
        if newest.as_ref().is_some_and(|kek| kek.custody == "elsewhere") {
            let problem = format!(
                "the key of {} is another site's; name the file with its next --public",
                self.recipient
            );
            return Err(KeysError::Recipient(problem));
        }
        let in_token = self.token || newest.as_ref().is_some_and(|kek| kek.custody == "token");
        let algorithm = self.algorithm.or(newest.map(|kek| kek.algorithm)).unwrap_or(Algorithm::XWing);
        let custody = if in_token {
            NewCustody::Token(config.open_token()?)
        } else {
            NewCustody::File(config.sealing_secret()?)
        };
        keyring.generate(&self.recipient, algorithm, &custody, now_unix_seconds())
    }
}

/// The keyring with its private halves open, so that a new key is never sealed under a mistyped passphrase.
fn load_unlocked(config: &Config, public_only: bool) -> Result<Keyring, KeysError> {
    selftest::run()?;
    let mut keyring = Keyring::load(&config.keyring_path(), &config.recipients)?;
    if !public_only && keyring.is_locked() {
        keyring.unlock(&config.unlock_secrets()?)?;
    }
    Ok(keyring)
}

fn in_words(kek: &KekInfo) -> String {
    let KekInfo { algorithm, recipient, generation, id, .. } = kek;
    format!("{algorithm} key {generation} of {recipient}, id {id}")
}

fn hint(config: &Config, kek: &KekInfo) -> String {
    if config.recipients.contains(&kek.recipient) {
        return String::new();
    }
    format!(
        "\nNote: add {:?} to `keys.recipients`; until then nothing is wrapped for it.",
        kek.recipient.as_str()
    )
}

impl List {
    fn run(&self, config: &Config) -> Result<Answer, KeysError> {
        let filter = Filter {
            study: self.study.clone(),
            sop_instance: self.instance.clone(),
            calling: self.calling.clone(),
            sealed_from_unix_millis: self.since,
            sealed_before_unix_millis: self.until,
            not_wrapped_for: None,
        };
        if filter == Filter::default() { list_keks(config) } else { self.list_instances(config, &filter) }
    }

    fn list_instances(&self, config: &Config, filter: &Filter) -> Result<Answer, KeysError> {
        let found = config.open_store()?.list(filter, 0, self.limit)?;
        let lines: Vec<_> = found.iter().map(instance_in_words).collect();
        let more = if found.len() == self.limit { "\nThere may be more: see --limit." } else { "" };
        let text = if found.is_empty() { "Nothing fits.".to_owned() } else { lines.join("\n") + more };
        Ok(Answer::good(json!({ "instances": found.iter().map(instance_as_json).collect::<Vec<_>>() }), text))
    }
}

fn list_keks(config: &Config) -> Result<Answer, KeysError> {
    let keyring = Keyring::load(&config.keyring_path(), &config.recipients)?;
    let keks: Vec<_> = keyring.keks().collect();
    let dual = keyring.dual_infos()?;
    let line = |kek: &KekInfo| {
        let mark = if kek.current { "current" } else { "old    " };
        format!(
            "{mark}  {:<12} {:>4}  {:<14} {:<16} {}",
            kek.recipient, kek.generation, kek.algorithm, kek.custody, kek.id
        )
    };
    let text = if keks.is_empty() {
        format!(
            "There are no keys in {}; `sealgate keys init` makes the first.",
            config.keyring_path().display()
        )
    } else {
        let dual = dual
            .iter()
            .map(|key: &DualKeyInfo| format!("dual     {:>17}  {:<31} {}", key.generation, "", key.id));
        keks.iter().map(line).chain(dual).collect::<Vec<_>>().join("\n")
    };
    Ok(Answer::good(json!({ "keks": keks, "dual_keys": dual }), text))
}

fn instance_as_json(stored: &StoredKey) -> Value {
    json!({
        "key_id": stored.binding.key_id.to_string(),
        "suite": stored.binding.suite,
        "sop_class": stored.binding.sop_class,
        "sop_instance": stored.binding.sop_instance,
        "study": stored.facts.study,
        "series": stored.facts.series,
        "calling": stored.facts.calling,
        "sealed_unix_millis": stored.facts.sealed_unix_millis,
        "original": stored.facts.attributes,
        "version": stored.version,
        "wrapped_unix_millis": stored.wrapped_unix_millis,
    })
}

fn instance_in_words(stored: &StoredKey) -> String {
    let calling = stored.facts.calling.as_ref().map_or("-", AeTitle::as_str);
    let seconds = stored.facts.sealed_unix_millis.div_euclid(1000);
    format!(
        "{}  {calling:<16} key {} version {}  {}",
        utc(seconds),
        stored.binding.key_id,
        stored.version,
        stored.binding.sop_instance
    )
}

fn rewrap(config: &Config) -> Result<Answer, KeysError> {
    let keyring = config.open_keyring()?;
    let store = config.open_store()?;
    let bar = progress("rewrapping");
    let millis = i64::try_from(now_unix_seconds()).unwrap_or(i64::MAX).saturating_mul(1000);
    let outcome = rotation::rewrap(&store, &keyring, millis, &mut bar_updates(&bar))?;
    bar.finish_and_clear();
    let text =
        format!("Rewrapped {} keys, {} failed.{}", outcome.done, outcome.failed, lines(&outcome.failures));
    Ok(Answer { good: outcome.failed == 0, fields: json!({ "rewrap": outcome }), text })
}

fn dual_key(config: &Config) -> Result<Answer, KeysError> {
    let made = config.open_keyring()?.make_dual_key(now_unix_seconds())?;
    let DualKeyInfo { id, generation, .. } = &made;
    let text = format!(
        "Made dual key {generation}, id {id}. It is used once the service is restarted.\nWithout it, what is sealed with the \
         suite dual does not open: `sealgate keys backup` takes it along."
    );
    Ok(Answer::good(json!({ "dual_key": made }), text))
}

impl SignerArgs {
    fn run(&self, config: &Config) -> Result<Answer, KeysError> {
        let keyring = || Keyring::load(&config.keyring_path(), &config.recipients);
        if let Some(file) = &self.export {
            write_new_file(file, &keyring()?.export_signer()?)?;
            let text = format!("Wrote the public half to {}.", file.display());
            return Ok(Answer::good(json!({ "file": file }), text));
        }
        if let (Some(file), Some(name)) = (&self.import, &self.name) {
            let signer = keyring()?.import_signer(name, file)?;
            let text = format!("Signatures of {} are known as those of {name}.", signer.public_key);
            return Ok(Answer::good(json!({ "signer": signer }), text));
        }
        let signer = config.open_keyring()?.make_signer(now_unix_seconds())?;
        let hint =
            if config.sign { "" } else { "\nNote: set `keys.sign` to true; until then nothing is signed." };
        let text = format!(
            "Made signing key {}, public key {}. It is used once the service is restarted.{hint}",
            signer.name, signer.public_key
        );
        Ok(Answer::good(json!({ "signer": signer }), text))
    }
}

impl ExportPublic {
    fn run(&self, config: &Config) -> Result<Answer, KeysError> {
        let keyring = Keyring::load(&config.keyring_path(), &config.recipients)?;
        let exported = keyring.export_public(&self.recipient)?;
        if let Some(path) = &self.out {
            write_new_file(path, &exported)?;
            let text = format!("Wrote the public key of {} to {}.", self.recipient, path.display());
            return Ok(Answer::good(json!({ "file": path }), text));
        }
        let text = String::from_utf8_lossy(&exported).trim_end().to_owned();
        let fields: Value = serde_json::from_str(&text).unwrap_or(Value::Null);
        Ok(Answer::good(json!({ "public": fields }), text))
    }
}

pub(super) fn lines(problems: &[String]) -> String {
    problems.iter().flat_map(|problem| ["\n  ", problem]).collect()
}

/// A bar on a terminal, nothing in a pipe.
pub(super) fn progress(verb: &'static str) -> ProgressBar {
    if !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{msg} [{wide_bar}] {pos}/{len} {per_sec} {eta}");
    let bar = ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::stderr());
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar.set_message(verb);
    bar
}

pub(super) fn bar_updates(bar: &ProgressBar) -> impl FnMut(u64, u64) + '_ {
    |done, total| {
        bar.set_length(total);
        bar.set_position(done);
    }
}

pub(super) fn now_unix_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
