//! Query and retrieve: the SOP classes of PS3.4 annexes C and K, by information model and service.

use super::Uid;

/// What a query is about, from the patient down to the image (PS3.4 C.6), or a worklist (annex K).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Model {
    /// Patient Root: patient, study, series, image.
    PatientRoot,
    /// Study Root: study, series, image.
    StudyRoot,
    /// Patient/Study Only (retired): patient, study.
    PatientStudyOnly,
    /// Modality Worklist.
    Worklist,
}

/// What is asked for in an information model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Retrieve {
    /// C-FIND.
    Find,
    /// C-MOVE.
    Move,
    /// C-GET.
    Get,
}

/// PS3.6 table A-1.
const TABLE: [(&str, Model, Retrieve); 10] = [
    ("1.2.840.10008.5.1.4.1.2.1.1", Model::PatientRoot, Retrieve::Find),
    ("1.2.840.10008.5.1.4.1.2.1.2", Model::PatientRoot, Retrieve::Move),
    ("1.2.840.10008.5.1.4.1.2.1.3", Model::PatientRoot, Retrieve::Get),
    ("1.2.840.10008.5.1.4.1.2.2.1", Model::StudyRoot, Retrieve::Find),
    ("1.2.840.10008.5.1.4.1.2.2.2", Model::StudyRoot, Retrieve::Move),
    ("1.2.840.10008.5.1.4.1.2.2.3", Model::StudyRoot, Retrieve::Get),
    ("1.2.840.10008.5.1.4.1.2.3.1", Model::PatientStudyOnly, Retrieve::Find),
    ("1.2.840.10008.5.1.4.1.2.3.2", Model::PatientStudyOnly, Retrieve::Move),
    ("1.2.840.10008.5.1.4.1.2.3.3", Model::PatientStudyOnly, Retrieve::Get),
    ("1.2.840.10008.5.1.4.31", Model::Worklist, Retrieve::Find),
];

/// Which information model and service a SOP class stands for, if it is one of these.
#[must_use]
pub fn query_retrieve(class: &str) -> Option<(Model, Retrieve)> {
    TABLE.iter().find(|row| row.0 == class).map(|&(_, model, service)| (model, service))
}

/// The SOP class of a service in an information model.
#[must_use]
pub fn query_retrieve_class(model: Model, service: Retrieve) -> Option<Uid> {
    let row = TABLE.iter().find(|row| (row.1, row.2) == (model, service))?;
    Uid::parse(row.0).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_class_is_found_by_what_it_stands_for() {
        for (uid, model, service) in TABLE {
            assert_eq!(query_retrieve(uid), Some((model, service)));
            assert_eq!(query_retrieve_class(model, service).map(|uid| uid.to_string()).as_deref(), Some(uid));
        }
        assert_eq!(query_retrieve("1.2.840.10008.1.1"), None);
        assert_eq!(query_retrieve_class(Model::Worklist, Retrieve::Move), None);
    }
}
