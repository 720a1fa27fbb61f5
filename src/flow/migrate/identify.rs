//! What there is: studies, and the instances of one, by C-FIND from level to level.

use std::collections::BTreeMap;

use dicom_core::{Tag, VR};
use dicom_dictionary_std::uids::STUDY_ROOT_QUERY_RETRIEVE_INFORMATION_MODEL_FIND;

use super::MigrateError;
use crate::dicom::tags::{LEVEL, PATIENT_ID, SERIES, SOP_CLASS, SOP_INSTANCE, STUDY};
use crate::dicom::{Encoding, Uid};
use crate::flow::release::{identifier_of, values_of};
use crate::scu::{Caller, Destination, Failure, Pool, find, for_service};

const STUDY_DATE: Tag = Tag(0x0008, 0x0020);
const INSTANCES: Tag = Tag(0x0020, 0x1208);
/// Matches that are taken of one query; an archive that has more is asked by dates.
const MATCHES_MAX: usize = 1_000_000;

/// A study of the archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Study Instance UID.
    pub study: Uid,
    /// Study Date, as the archive has it.
    pub date: String,
    /// Number of Study Related Instances, where the archive says so.
    pub instances: Option<u64>,
}

type Values = BTreeMap<Tag, Vec<u8>>;

pub(super) async fn studies(
    pool: &Pool,
    from: &Destination,
    dates: &str,
) -> Result<Vec<Found>, MigrateError> {
    let mut caller = associate(pool, from).await?;
    let keys = [
        (STUDY_DATE, VR::DA, dates.to_owned()),
        (LEVEL, VR::CS, "STUDY".to_owned()),
        (STUDY, VR::UI, String::new()),
        (INSTANCES, VR::IS, String::new()),
    ];
    let matches = ask(&mut caller, &keys).await?;
    caller.release().await;
    let mut found: Vec<Found> = matches
        .iter()
        .filter_map(|values| {
            let date = text(values, STUDY_DATE);
            Some(Found { study: uid(values, STUDY)?, date, instances: text(values, INSTANCES).parse().ok() })
        })
        .collect();
    found.sort_by(|a, b| a.study.cmp(&b.study));
    found.dedup_by(|a, b| a.study == b.study);
    Ok(found)
}

/// The studies that an archive has under this Patient ID, and under no other that it takes for the same.
pub async fn studies_of_patient(
    pool: &Pool,
    from: &Destination,
    patient: &str,
) -> Result<Vec<Uid>, MigrateError> {
    let mut caller = associate(pool, from).await?;
    let keys = [
        (LEVEL, VR::CS, "STUDY".to_owned()),
        (PATIENT_ID, VR::LO, patient.to_owned()),
        (STUDY, VR::UI, String::new()),
    ];
    let matches = ask(&mut caller, &keys).await?;
    caller.release().await;
    let mut found = Vec::new();
    for values in &matches {
        // Some archives ignore keys that they do not match by, and then name every study that there is.
        let named = text(values, PATIENT_ID);
        if named != patient {
            let problem = "it names studies of other Patient IDs, so its answer cannot be relied on";
            return Err(MigrateError::Answer(problem.to_owned()));
        }
        let study = uid(values, STUDY);
        found.push(study.ok_or_else(|| MigrateError::Answer("a study without a UID".to_owned()))?);
    }
    found.sort();
    found.dedup();
    Ok(found)
}

pub(super) async fn instances(
    pool: &Pool,
    from: &Destination,
    study: &Uid,
) -> Result<Vec<(Uid, Option<Uid>)>, MigrateError> {
    let mut caller = associate(pool, from).await?;
    let own = |tag, value: &Uid| (tag, VR::UI, value.to_string());
    let series_keys =
        [(LEVEL, VR::CS, "SERIES".to_owned()), own(STUDY, study), (SERIES, VR::UI, String::new())];
    let mut found = BTreeMap::new();
    for values in ask(&mut caller, &series_keys).await? {
        let Some(series) = uid(&values, SERIES) else {
            return Err(MigrateError::Answer("a series without a UID".to_owned()));
        };
        let keys = [
            (SOP_CLASS, VR::UI, String::new()),
            (SOP_INSTANCE, VR::UI, String::new()),
            (LEVEL, VR::CS, "IMAGE".to_owned()),
            own(STUDY, study),
            own(SERIES, &series),
        ];
        for values in ask(&mut caller, &keys).await? {
            let Some(instance) = uid(&values, SOP_INSTANCE) else {
                return Err(MigrateError::Answer("an instance without a UID".to_owned()));
            };
            found.insert(instance, uid(&values, SOP_CLASS));
        }
    }
    caller.release().await;
    Ok(found.into_iter().collect())
}

async fn associate(pool: &Pool, from: &Destination) -> Result<Caller, MigrateError> {
    let class = Uid::parse(STUDY_ROOT_QUERY_RETRIEVE_INFORMATION_MODEL_FIND).expect("a UID of the standard");
    pool.associate(from, &for_service(&class)).await.map_err(asking)
}

async fn ask(caller: &mut Caller, keys: &[(Tag, VR, String)]) -> Result<Vec<Values>, MigrateError> {
    let class = Uid::parse(STUDY_ROOT_QUERY_RETRIEVE_INFORMATION_MODEL_FIND).expect("a UID of the standard");
    let context = caller.context_of(&class).map_err(asking)?;
    let encoding = context.transfer_syntax.encoding;
    let request = identifier_of(keys, encoding);
    let tags: Vec<Tag> = keys.iter().map(|(tag, ..)| *tag).collect();
    let mut finding = find(caller, &context, &request).await.map_err(asking)?;
    let mut matches = Vec::new();
    while let Some(found) = finding.next().await.map_err(asking)? {
        let values = values_of(&found.identifier, encoding, &tags);
        matches.push(values.map_err(|error| MigrateError::Answer(error.to_string()))?);
        if matches.len() > MATCHES_MAX {
            return Err(MigrateError::Answer(format!("more than {MATCHES_MAX} matches, ask by dates")));
        }
    }
    Ok(matches)
}

pub(super) fn asking(failure: Failure) -> MigrateError {
    MigrateError::Peer { what: "a query", failure }
}

fn uid(values: &Values, tag: Tag) -> Option<Uid> {
    Uid::from_wire(values.get(&tag)?).ok()
}

fn text(values: &Values, tag: Tag) -> String {
    let bytes = values.get(&tag).map(Vec::as_slice).unwrap_or_default();
    String::from_utf8_lossy(bytes).trim_matches([' ', '\0']).to_owned()
}

/// The identifier of a retrieval of a study.
pub(super) fn of_study(study: &Uid, encoding: Encoding) -> Vec<u8> {
    let level = (LEVEL, VR::CS, "STUDY".to_owned());
    identifier_of(&[level, (STUDY, VR::UI, study.to_string())], encoding)
}
