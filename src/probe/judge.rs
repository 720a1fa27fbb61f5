//! What came back, held against what was stored.

use std::collections::BTreeMap;

use dicom_core::Tag;
use serde::{Deserialize, Serialize};

use super::exchange::{Came, Stored};
use super::specimen::{Kind, PRIVATE_CREATOR, PRIVATE_VALUE, Specimen};
use crate::cipher::Layers;
use crate::dicom::Uid;
use crate::seal::scan::{Event, Limits, ScanError, Scanner};
use crate::seal::{Changes, Claim, ContentKey, HeaderMode, OpenError, Opened, Opener};

/// What a PACS did to one kind of image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// It came back and opens bit for bit.
    Intact,
    /// It came back and does not open.
    Altered,
    /// It was taken and did not come back.
    Lost,
    /// It was not taken, and the PACS said so: nobody loses an image by that.
    Refused,
}

/// One kind, and what became of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// The kind.
    pub kind: Kind,
    /// SOP Class UID.
    pub sop_class: Uid,
    /// SOP Instance UID of what the probe left there.
    pub sop_instance: Uid,
    /// What became of it.
    pub outcome: Outcome,
    /// The same in words; empty where all is well.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub detail: String,
    /// The transfer syntax it came back in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transfer_syntax: Option<Uid>,
    /// Whether the wrapped key was still in it; none where it had none or did not come.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kept_key_record: Option<bool>,
    /// Whether private elements of another creator were still in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kept_private_tags: Option<bool>,
    /// Attributes that had another value.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub changed: Vec<String>,
    /// Attributes that it had besides.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub added: Vec<String>,
    /// Attributes that it had no more.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub removed: Vec<String>,
}

impl Finding {
    /// Every attribute that is not as it was.
    pub(super) fn changes(&self) -> impl Iterator<Item = &str> {
        [&self.changed, &self.added, &self.removed].into_iter().flatten().map(String::as_str)
    }
}

/// Holds one specimen against what was said when it was stored, and what came back. `strays` came besides, under UIDs
/// that nobody stored.
pub(super) fn judge(specimen: &Specimen, stored: &Stored, came: Option<&Came>, strays: usize) -> Finding {
    let mut finding = Finding {
        kind: specimen.kind,
        sop_class: specimen.class.clone(),
        sop_instance: specimen.instance.clone(),
        outcome: Outcome::Lost,
        detail: String::new(),
        transfer_syntax: came.and_then(|came| came.transfer_syntax.uid.parse().ok()),
        kept_key_record: None,
        kept_private_tags: None,
        changed: Vec::new(),
        added: Vec::new(),
        removed: Vec::new(),
    };
    match (stored, came) {
        (Stored::Refused(why), _) => {
            finding.outcome = Outcome::Refused;
            finding.detail.clone_from(why);
        }
        (Stored::Taken, None) => finding.detail = lost(strays),
        (Stored::Taken, Some(came)) => look(&mut finding, specimen, came),
    }
    finding
}

fn lost(strays: usize) -> String {
    let what = "it was acknowledged and was not there when it was asked for";
    match strays {
        0 => what.to_owned(),
        // PS3.3 C.7.6.1.1.5: a lossy compression makes a new instance, with a UID of its own.
        _ => format!(
            "{what}; instead {strays} came under UIDs that nobody stored, as from archives that compress with loss: turn              that off for what Sealgate stores"
        ),
    }
}

fn look(finding: &mut Finding, specimen: &Specimen, came: &Came) {
    let elements = elements(came);
    finding.kept_private_tags = Some(keeps_private(&elements));
    let mut record = None;
    let opened = open(specimen, came, HeaderMode::Original, &mut record);
    finding.kept_key_record = specimen.key_record.as_ref().map(|stored| {
        // A PACS may pad it (PS3.5 6.2, OB).
        record.is_some_and(|came| came.strip_prefix(&stored[..]).is_some_and(|rest| matches!(rest, [] | [0])))
    });
    match opened {
        Ok((bytes, _)) if bytes == specimen.original => finding.outcome = Outcome::Intact,
        Ok(_) => {
            finding.outcome = Outcome::Altered;
            "it opens to other bytes: report this, it cannot be".clone_into(&mut finding.detail);
        }
        Err(error) => {
            finding.outcome = Outcome::Altered;
            finding.detail = error.to_string();
        }
    }
    if let Ok((_, changes)) = open(specimen, came, HeaderMode::Current, &mut None) {
        let names = |tags: Vec<Tag>| tags.into_iter().map(name).collect();
        finding.changed = names(changes.changed);
        finding.added = names(changes.added);
        finding.removed = names(changes.removed);
    }
}

/// Opens what came with the key it was sealed with; the key record that it carries is left in `record`.
fn open(
    specimen: &Specimen,
    came: &Came,
    mode: HeaderMode,
    record: &mut Option<Vec<u8>>,
) -> Result<(Vec<u8>, Changes), OpenError> {
    let syntax: Uid = came.transfer_syntax.uid.parse().expect("the table of transfer syntaxes has UIDs");
    let find = |claim: &Claim| {
        record.clone_from(&claim.key_record);
        Some(ContentKey::new(*specimen.key.expose_secret()))
    };
    let mut opener = Opener::new(&syntax, mode, &Layers::none(), None, find)?;
    let mut out = Vec::new();
    let mut on = |opened: Opened<'_>| {
        if let Opened::Data(bytes) = opened {
            out.extend_from_slice(bytes);
        }
        Ok(())
    };
    opener.push(&came.data_set, &mut on)?;
    let changes = opener.finish(&mut on)?.changes;
    Ok((out, changes))
}

/// The values of the top level that are small, as far as the data set can be read.
fn elements(came: &Came) -> BTreeMap<Tag, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut scanner = Scanner::new(came.transfer_syntax.encoding, Limits::default(), None);
    // What is wrong with it, opening says.
    let _ = scanner.push(&came.data_set, &mut |event| {
        if let Event::Element(element) = event {
            found.insert(element.tag, element.value.to_vec());
        }
        Ok::<(), ScanError>(())
    });
    found
}

/// Whether our vendor's private element is still there, under whatever number.
fn keeps_private(elements: &BTreeMap<Tag, Vec<u8>>) -> bool {
    let creator = elements.iter().find(|(tag, value)| {
        tag.group() % 2 == 1 && tag.element() < 0x100 && value.trim_ascii_end() == PRIVATE_CREATOR
    });
    let Some((Tag(group, block), _)) = creator else { return false };
    let value = elements.get(&Tag(*group, (block << 8) | 1));
    value.is_some_and(|value| value.trim_ascii_end() == PRIVATE_VALUE.trim_ascii_end())
}

fn name(tag: Tag) -> String {
    let Tag(group, element) = tag;
    format!("{group:04X},{element:04X}")
}
