//! The key archive: where a content key goes when an instance is sealed, and where it is looked for on opening.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde::Serialize;

use crate::dicom::{AeTitle, Uid};
use crate::keys::algorithm::Algorithm;
use crate::keys::config::{ArchiveMode, Config};
use crate::keys::destroy::Tombstones;
use crate::keys::error::KeysError;
use crate::keys::keyring::{KekInfo, Keyring};
use crate::keys::record::{KeyRecord, RecordError};
use crate::keys::shred::{ShredKey, ShredKeys, is_shred_key};
use crate::keys::store::{Done, Facts, Filter, KeyStore, NewKey, OriginalAttributes, StoredKey, Write};
use crate::keys::wrap::Binding;
use crate::seal::{Claim, ContentKey, KeyId, Signer, SignerKey, Suite};

/// Versions of one instance that are looked at for what its original was.
const ORIGINALS_MAX: usize = 256;
/// Keys of a study that are looked at for its classes and instances.
const KEYS_OF_STUDY_MAX: usize = 10_000;

/// Keyring and store together, in the mode that is configured.
pub struct Archive {
    mode: ArchiveMode,
    keyring: Arc<Keyring>,
    store: Option<Arc<dyn KeyStore>>,
    tombstones: Option<Tombstones>,
    signer: Option<Signer>,
    shred_keys: Option<ShredKeys>,
    /// Whose signature opening asks for; none where it asks for none.
    trusted: Option<Vec<SignerKey>>,
}

/// Where a content key was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Source {
    /// In the key store.
    Store,
    /// In the instance's private block.
    Tag,
}

impl Source {
    /// As it stands in sentences.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Store => "the key store",
            Self::Tag => "the instance",
        }
    }
}

/// A content key that was found and verified.
pub struct Found {
    /// The key.
    pub content_key: ContentKey,
    /// Which record it came out of.
    pub source: Source,
    /// The place tried before, and why it did not do: worth a warning.
    pub failures: Vec<(&'static str, KeysError)>,
}

/// A key encryption key that opens an instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Opens {
    /// Which record names it.
    pub source: Source,
    /// Its id.
    pub kek: String,
    /// Its algorithm; none if it is not known here.
    pub algorithm: Option<Algorithm>,
    /// The key of this site's keyring that it is.
    pub ours: Option<KekInfo>,
}

/// That an instance was sealed, and when: everything but the key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Seal {
    /// SOP Instance UID.
    pub instance: Uid,
    /// SOP Class UID.
    pub class: Uid,
    /// Study Instance UID.
    pub study: Option<Uid>,
    /// The suite.
    pub suite: String,
    /// The key's id.
    pub key_id: String,
    /// Who sent it.
    pub calling: Option<AeTitle>,
    /// When it was sealed, in milliseconds since 1970.
    pub sealed_unix_millis: i64,
    /// How often its key has been wrapped anew.
    pub version: u32,
}

impl Seal {
    fn of(key: StoredKey) -> Self {
        let suite = Suite::from_id(key.binding.suite);
        Self {
            instance: key.binding.sop_instance,
            class: key.binding.sop_class,
            study: key.facts.study,
            suite: suite.map_or_else(|unknown| unknown.to_string(), |suite| suite.name().to_owned()),
            key_id: key.binding.key_id.to_string(),
            calling: key.facts.calling,
            sealed_unix_millis: key.facts.sealed_unix_millis,
            version: key.version,
        }
    }
}

/// A content key that is wrapped and, where the mode says so, stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Archived {
    /// What goes into the instance's private block, if anything does.
    pub in_tag: Option<Vec<u8>>,
    /// How many keys of the instance are in the store, if this one is there.
    pub stored: Option<u32>,
}

impl Archive {
    /// Puts the archive together; the modes `sidecar` and `both` need a store.
    pub fn new(
        mode: ArchiveMode,
        keyring: Arc<Keyring>,
        store: Option<Arc<dyn KeyStore>>,
    ) -> Result<Self, KeysError> {
        if mode.has_store() && store.is_none() {
            return Err(KeysError::Config("the archive mode needs a key store, and none is open".into()));
        }
        keyring.current()?;
        Ok(Self { mode, keyring, store, tombstones: None, signer: None, shred_keys: None, trusted: None })
    }

    /// The same, giving out no key that was destroyed, wherever a copy of it is.
    #[must_use]
    pub fn with_tombstones(self, tombstones: Tombstones) -> Self {
        Self { tombstones: Some(tombstones), ..self }
    }

    /// The same, for a gateway that signs what it seals.
    #[must_use]
    pub fn with_signer(self, signer: Signer) -> Self {
        Self { signer: Some(signer), ..self }
    }

    /// The same, masking what goes into instances with a shred key for each study, which takes a store.
    pub fn with_shred_keys(self) -> Result<Self, KeysError> {
        if self.store.is_none() {
            return Err(KeysError::Config("`shred_key` is on, and no key store is open to keep them".into()));
        }
        Ok(Self { shred_keys: Some(ShredKeys::default()), ..self })
    }

    /// Whether it matters of which study an instance is before it is sealed.
    #[must_use]
    pub fn wants_study(&self) -> bool {
        self.shred_keys.is_some() && self.mode.has_tag()
    }

    /// The same, giving out no key of an instance that none of these gateways signed.
    #[must_use]
    pub fn with_trusted(self, signers: Vec<SignerKey>) -> Self {
        Self { trusted: Some(signers), ..self }
    }

    /// What new seals are signed with, if they are.
    #[must_use]
    pub fn signer(&self) -> Option<Signer> {
        self.signer.clone()
    }

    /// One without keys and without a store, for a gateway that neither seals nor opens: both are errors.
    #[must_use]
    pub fn none() -> Self {
        Self {
            mode: ArchiveMode::Tag,
            keyring: Arc::new(Keyring::empty()),
            store: None,
            tombstones: None,
            signer: None,
            shred_keys: None,
            trusted: None,
        }
    }

    /// The keyring.
    #[must_use]
    pub fn keyring(&self) -> &Arc<Keyring> {
        &self.keyring
    }

    /// Why the key store writes nothing any more, if so: an alarm.
    #[must_use]
    pub fn stopped(&self) -> Option<&str> {
        self.store.as_ref()?.stopped()
    }

    /// The seals of a study, or of one instance, as the store keeps them: newest versions of the first `limit` keys.
    pub fn seals(&self, study_or_instance: &Uid, limit: usize) -> Result<Vec<Seal>, KeysError> {
        let Some(store) = &self.store else { return Ok(Vec::new()) };
        let of_study = Filter { study: Some(study_or_instance.clone()), ..Filter::default() };
        let mut found = store.list(&of_study, 0, limit)?;
        if found.is_empty() {
            let of_instance = Filter { sop_instance: Some(study_or_instance.clone()), ..Filter::default() };
            found = store.list(&of_instance, 0, limit)?;
        }
        Ok(found.into_iter().map(Seal::of).collect())
    }

    /// Wraps a content key for the current recipients: the record that `keep` and the private block take.
    pub fn wrap(&self, content_key: &ContentKey, binding: &Binding) -> Result<Vec<u8>, KeysError> {
        self.keyring.wrap(content_key, binding)
    }

    /// What goes into the instance of this study: the record that `wrap` made, or where there are shred keys one that is
    /// worth nothing once the study's is destroyed.
    pub fn in_tag(
        &self,
        record: &[u8],
        content_key: &ContentKey,
        binding: &Binding,
        study: Option<&Uid>,
    ) -> Result<Option<Vec<u8>>, KeysError> {
        if !self.mode.has_tag() {
            return Ok(None);
        }
        let (Some(keys), Some(store), Some(study)) = (&self.shred_keys, &self.store, study) else {
            return Ok(Some(record.to_vec()));
        };
        let shred = keys.of(study, &self.keyring, store.as_ref(), self.tombstones.as_ref())?;
        let masked = shred.mask(content_key, binding)?;
        self.keyring.wrap_masked(&masked, binding, shred.id).map(Some)
    }

    /// Makes a record durable in the store before it returns; nothing to do in the mode `tag`.
    pub fn keep(&self, record: Vec<u8>, binding: Binding, facts: Facts) -> Result<Option<u32>, KeysError> {
        match self.writing_store() {
            Some(store) => store.write(Write::Key(NewKey { binding, facts, record })).map(Some),
            None => Ok(None),
        }
    }

    /// The same without waiting: `done` is called once the record is durable, or has failed.
    pub fn keep_later(&self, record: Vec<u8>, binding: Binding, facts: Facts, done: Done) {
        match self.writing_store() {
            Some(store) => store.submit(Write::Key(NewKey { binding, facts, record }), done),
            None => done(Ok(0)),
        }
    }

    /// Wraps and keeps in one go.
    pub fn archive(
        &self,
        content_key: &ContentKey,
        binding: Binding,
        facts: Facts,
    ) -> Result<Archived, KeysError> {
        let record = self.wrap(content_key, &binding)?;
        let in_tag = self.in_tag(&record, content_key, &binding, facts.study.as_ref())?;
        let stored = self.keep(record, binding, facts)?;
        Ok(Archived { in_tag, stored })
    }

    /// The content key of an instance: from the store, whose record is the newest, else from the instance itself.
    ///
    /// Whatever the mode is now: instances sealed under another one open too.
    pub fn find(&self, key_id: KeyId, in_tag: Option<&[u8]>, binding: &Binding) -> Result<Found, KeysError> {
        self.look(key_id, in_tag, binding)?.map_err(|failures| combine(key_id, failures))
    }

    /// The content key of an instance that comes here and claims to be sealed; none where nothing here stands for that: it is
    /// foreign, or forged. An error says that it cannot be known now.
    pub fn find_claimed(&self, claim: &Claim) -> Result<Option<Found>, KeysError> {
        let key_id = claim.binding.key_id;
        match self.look(key_id, claim.key_record.as_deref(), &Binding::from(&claim.binding))? {
            Ok(found) => Ok(Some(found)),
            Err(failures) if failures.iter().all(|failure| self.is_foreign(failure)) => Ok(None),
            Err(failures) => Err(combine(key_id, failures)),
        }
    }

    /// Whether it says that a record is not one for this instance, or not one of this site.
    fn is_foreign(&self, (source, error): &(Source, KeysError)) -> bool {
        match error {
            KeysError::Record(_)
            | KeysError::OtherKey { .. }
            | KeysError::OtherSuite { .. }
            | KeysError::Tampered { .. } => true,
            KeysError::KekMissing { wanted, .. } => {
                *source == Source::Tag
                    && !wanted.iter().any(|id| self.keyring.keks().any(|kek| kek.id == id.to_string()))
            }
            _ => false,
        }
    }

    /// Looks in both places, and says for each that has something why it does not open.
    fn look(
        &self,
        key_id: KeyId,
        in_tag: Option<&[u8]>,
        binding: &Binding,
    ) -> Result<Result<Found, Failures>, KeysError> {
        // Before anything else: an instance may carry a copy that nobody could destroy.
        self.tombstones.iter().try_for_each(|tombstones| tombstones.check(key_id))?;
        let mut failures = Vec::new();
        let stored = match &self.store {
            Some(store) => store.find(key_id).unwrap_or_else(|error| {
                failures.push((Source::Store, error));
                None
            }),
            None => None,
        };
        let in_tag = in_tag.map(without_padding);
        let places =
            [(Source::Store, stored.as_ref().map(|stored| stored.record.as_slice())), (Source::Tag, in_tag)];
        for (source, record) in places {
            let Some(record) = record else { continue };
            match self.unwrap(record, binding) {
                Ok(content_key) => {
                    let failures = named(failures);
                    return Ok(Ok(Found { content_key, source, failures }));
                }
                Err(error) => failures.push((source, error)),
            }
        }
        Ok(Err(failures))
    }

    /// The content key in a record, whose mask is taken off where it has one.
    fn unwrap(&self, record: &[u8], binding: &Binding) -> Result<ContentKey, KeysError> {
        let record = KeyRecord::parse(record)?;
        let unwrapped = self.keyring.unwrap_parsed(&record, binding)?;
        let Some(id) = record.shred_key else { return Ok(unwrapped) };
        self.tombstones.iter().try_for_each(|tombstones| tombstones.check(id))?;
        let shred = ShredKey::find(id, binding.key_id, &self.keyring, self.store.as_deref())?;
        shred.mask(&unwrapped, binding)
    }

    /// The keys of instances that fit, as far as the first of them say; those of studies are nobody's images.
    fn listed(&self, filter: &Filter, limit: usize) -> Result<Vec<StoredKey>, KeysError> {
        let Some(store) = &self.store else { return Ok(Vec::new()) };
        let mut found = store.list(filter, 0, limit)?;
        found.retain(|stored| !is_shred_key(stored));
        Ok(found)
    }

    /// The content key of an instance that is to be opened: like [`Archive::find`], where its signer does.
    ///
    /// The signer is part of what the stream's keys follow from, and the opener verifies its signature.
    pub fn find_to_open(&self, claim: &Claim) -> Result<Found, KeysError> {
        match (&self.trusted, claim.signer) {
            (None, _) => {}
            (Some(_), None) => return Err(KeysError::Unsigned),
            (Some(trusted), Some(signer)) if trusted.contains(&signer) => {}
            (Some(_), Some(signer)) => return Err(KeysError::Signer(signer)),
        }
        self.find(claim.binding.key_id, claim.key_record.as_deref(), &Binding::from(&claim.binding))
    }

    /// What the original of an instance was, as the store keeps it; of several originals with one UID, the one that was
    /// sealed last.
    pub fn original(&self, instance: &Uid) -> Result<Option<OriginalAttributes>, KeysError> {
        let filter = Filter { sop_instance: Some(instance.clone()), ..Filter::default() };
        let found = self.listed(&filter, ORIGINALS_MAX)?;
        Ok(found.into_iter().max_by_key(|key| key.facts.sealed_unix_millis).map(|key| key.facts.attributes))
    }

    /// The id of the first key that an instance was sealed under, as the store keeps it; none where nothing is stored.
    pub fn first_key_of(&self, instance: &Uid) -> Result<Option<KeyId>, KeysError> {
        let filter = Filter { sop_instance: Some(instance.clone()), ..Filter::default() };
        Ok(self.listed(&filter, 1)?.into_iter().next().map(|key| key.binding.key_id))
    }

    /// The study that an instance was sealed in, as the store keeps it.
    pub fn study_of(&self, instance: &Uid) -> Result<Option<Uid>, KeysError> {
        let filter = Filter { sop_instance: Some(instance.clone()), ..Filter::default() };
        Ok(self.listed(&filter, ORIGINALS_MAX)?.into_iter().find_map(|key| key.facts.study))
    }

    /// The SOP classes of what was sealed of a study, as far as the first of its keys say.
    pub fn classes_of(&self, study: &Uid) -> Result<BTreeSet<Uid>, KeysError> {
        let filter = Filter { study: Some(study.clone()), ..Filter::default() };
        Ok(self.listed(&filter, KEYS_OF_STUDY_MAX)?.into_iter().map(|key| key.binding.sop_class).collect())
    }

    /// The instances that were sealed of a study, each with its series, as far as the first of its keys say.
    pub fn instances_of(&self, study: &Uid) -> Result<Vec<(Uid, Option<Uid>)>, KeysError> {
        let filter = Filter { study: Some(study.clone()), ..Filter::default() };
        let keys = self.listed(&filter, KEYS_OF_STUDY_MAX)?;
        Ok(keys.into_iter().map(|key| (key.binding.sop_instance, key.facts.series)).collect())
    }

    /// The keys that a sealed instance can be opened with, whether they are at this site or not: those that its record
    /// in the store names, and those of the record that the instance carries.
    pub fn recipients(
        config: &Config,
        key_id: KeyId,
        in_tag: Option<&[u8]>,
    ) -> Result<Vec<Opens>, KeysError> {
        let keyring = Keyring::load(&config.keyring_path(), &config.recipients)?;
        let stored = if config.store_path().exists() { config.open_store()?.find(key_id)? } else { None };
        let places = [
            (Source::Store, stored.map(|stored| stored.record)),
            (Source::Tag, in_tag.map(|tag| without_padding(tag).to_vec())),
        ];
        let mut found = Vec::new();
        for (source, record) in places {
            let Some(record) = record else { continue };
            for recipient in KeyRecord::parse(&record)?.recipients {
                let id = recipient.kek.to_string();
                let ours = keyring.keks().find(|kek| kek.id == id);
                let algorithm = Algorithm::from_number(recipient.algorithm);
                found.push(Opens { source, kek: id, algorithm, ours });
            }
        }
        Ok(found)
    }

    fn writing_store(&self) -> Option<&Arc<dyn KeyStore>> {
        self.store.as_ref().filter(|_| self.mode.has_store())
    }
}

/// A key record out of a private element, where a byte may stand behind it that makes its length even.
pub(crate) fn without_padding(value: &[u8]) -> &[u8] {
    match (value.split_last(), KeyRecord::parse(value)) {
        (Some((0, record)), Err(RecordError::Trailing(1))) => record,
        _ => value,
    }
}

fn named(failures: Vec<(Source, KeysError)>) -> Vec<(&'static str, KeysError)> {
    failures.into_iter().map(|(source, error)| (source.name(), error)).collect()
}

/// One error out of what every place said, the most telling first.
/// Why each place that has something for a key does not open.
type Failures = Vec<(Source, KeysError)>;

fn combine(key_id: KeyId, mut failures: Failures) -> KeysError {
    failures.sort_by_key(|(_, error)| rank(error));
    match failures.len() {
        0 => KeysError::UnknownKey(key_id),
        1 => failures.remove(0).1,
        _ => KeysError::NoneOpens { key_id, failures: named(failures) },
    }
}

/// What somebody can mend comes before what is lost.
fn rank(error: &KeysError) -> u8 {
    match error {
        KeysError::Locked(_) | KeysError::Destroyed { .. } => 0,
        error if error.is_retryable() => 1,
        KeysError::Store { .. } | KeysError::StoreStopped(_) | KeysError::File { .. } => 2,
        KeysError::KekMissing { .. } | KeysError::ShredKeyMissing { .. } => 3,
        _ => 4,
    }
}

impl KeysError {
    /// The error to decide by: of several failed places the most telling one.
    #[must_use]
    pub fn root(&self) -> &Self {
        match self {
            Self::NoneOpens { failures, .. } => failures.first().map_or(self, |(_, error)| error.root()),
            _ => self,
        }
    }
}
