//! The log for people: what each message says in a few fields, found again in the message that was written.

use std::path::Path;

use serde::Serialize;

use super::alert::OWN_SCHEME;
use super::clock::rfc3339;
use super::error::AuditError;
use super::file::list;
use super::message::unbase64;
use super::read::{Line, Lines};
use super::record::{Record, RecordKind};
use super::xml::unescaped;

/// A record in a few fields.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Entry {
    /// Its number.
    pub number: u64,
    /// When, as RFC 3339.
    pub time: String,
    /// Milliseconds since 1970.
    pub unix_millis: u64,
    /// What happened.
    pub event: String,
    /// Whether it succeeded.
    pub ok: bool,
    /// Who took part: names, titles, addresses.
    pub parties: Vec<String>,
    /// What it is about: studies, patients, classes, whatever alerts name.
    pub objects: Vec<String>,
    /// SOP instances.
    pub instances: Vec<String>,
    /// Why it failed, or what the alert says.
    pub text: String,
}

/// Which records are wanted; what is not set lets all through.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Not before, in milliseconds since 1970.
    pub from: Option<u64>,
    /// Before.
    pub until: Option<u64>,
    /// Somebody who took part, by name, title or address.
    pub peer: Option<String>,
    /// A study, patient or instance.
    pub about: Option<String>,
    /// The name of the event.
    pub event: Option<String>,
    /// Failures and refusals alone.
    pub failed: bool,
}

impl Entry {
    /// Reads a message of ours; nothing where the record is none.
    #[must_use]
    pub fn of(record: &Record) -> Option<Self> {
        if record.kind != RecordKind::Event {
            return None;
        }
        let xml = record.body.as_str();
        let own = elements(xml, "EventTypeCode")
            .find(|code| value(code, "codeSystemName").as_deref() == Some(OWN_SCHEME));
        let parties = elements(xml, "ActiveParticipant").flat_map(|tag| {
            let title = value(tag, "AlternativeUserID");
            let title = title.map(|title| title.trim_start_matches("AETITLES=").to_owned());
            [value(tag, "UserID"), title, value(tag, "NetworkAccessPointID")]
        });
        let objects = elements(xml, "ParticipantObjectIdentification");
        let outcome = elements(xml, "EventIdentification").next();
        Some(Self {
            number: record.number,
            time: rfc3339(record.unix_millis),
            unix_millis: record.unix_millis,
            event: own.and_then(|code| value(code, "csd-code")).unwrap_or_default(),
            ok: outcome.and_then(|tag| value(tag, "EventOutcomeIndicator")).as_deref() == Some("0"),
            parties: parties.flatten().filter(|text| !text.is_empty()).collect(),
            objects: objects.filter_map(|tag| value(tag, "ParticipantObjectID")).collect(),
            instances: elements(xml, "Instance").filter_map(|tag| value(tag, "UID")).collect(),
            text: content(xml, "EventOutcomeDescription").or_else(|| described(xml)).unwrap_or_default(),
        })
    }

    /// Whether it is wanted.
    #[must_use]
    pub fn fits(&self, filter: &Filter) -> bool {
        let Filter { from, until, peer, about, event, failed } = filter;
        let is_about = |wanted: &String| self.objects.contains(wanted) || self.instances.contains(wanted);
        from.is_none_or(|from| self.unix_millis >= from)
            && until.is_none_or(|until| self.unix_millis < until)
            && peer.as_ref().is_none_or(|peer| self.parties.contains(peer))
            && about.as_ref().is_none_or(is_about)
            && event.as_ref().is_none_or(|event| self.event == *event)
            && !(*failed && self.ok)
    }
}

/// What an alert about something that went well says.
fn described(xml: &str) -> Option<String> {
    let is_wanted = |tag: &&str| value(tag, "type").as_deref() == Some("Alert Description");
    let tag = elements(xml, "ParticipantObjectDetail").find(is_wanted)?;
    String::from_utf8(unbase64(&value(tag, "value")?)?).ok()
}

/// Gives every entry that is wanted, the oldest first, until it is told to stop. Says how many lines are no records.
pub fn entries(
    folder: &Path,
    filter: &Filter,
    mut each: impl FnMut(Entry, &Record) -> bool,
) -> Result<u64, AuditError> {
    let mut bad = 0;
    for file in list(folder)? {
        let reading = AuditError::disk("reading", &file.path);
        let mut walk = || {
            let mut lines = Lines::open(&file.path, 0)?;
            while let Some(line) = lines.next()? {
                let record = match line {
                    Line::Record(record, _) => record,
                    Line::Bad(_) => {
                        bad += 1;
                        continue;
                    }
                    Line::Cut => return Ok(true),
                };
                let entry = Entry::of(&record).filter(|entry| entry.fits(filter));
                if entry.is_some_and(|entry| !each(entry, &record)) {
                    return Ok(false);
                }
            }
            Ok(true)
        };
        if !walk().map_err(reading)? {
            break;
        }
    }
    Ok(bad)
}

/// The start tags of elements with this name. A `<` in a value is escaped, so that none of these is within one.
fn elements<'a>(xml: &'a str, name: &'a str) -> impl Iterator<Item = &'a str> {
    xml.split('<').skip(1).filter_map(move |part| {
        let tag = part.split('>').next()?;
        let rest = tag.strip_prefix(name)?;
        (rest.is_empty() || rest.starts_with([' ', '/'])).then_some(rest)
    })
}

/// The value of an attribute in a start tag.
fn value(tag: &str, name: &str) -> Option<String> {
    let mut parts = tag.split('"');
    loop {
        let key = parts.next()?.trim().strip_suffix('=')?;
        let value = parts.next()?;
        if key == name {
            return Some(unescaped(value));
        }
    }
}

/// The text of the first element with this name.
fn content(xml: &str, name: &str) -> Option<String> {
    let from = xml.split_once(&format!("<{name}>"))?.1;
    Some(unescaped(from.split('<').next()?))
}
