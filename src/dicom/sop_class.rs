//! SOP classes: the few that are named here, and which ones the dictionary counts as storage.

use dicom_core::dictionary::UidDictionary;
use dicom_dictionary_std::StandardSopClassDictionary;

/// Verification SOP Class, the abstract syntax of C-ECHO.
pub const VERIFICATION: &str = "1.2.840.10008.1.1";

/// Storage Commitment Push Model SOP Class.
pub const STORAGE_COMMITMENT: &str = "1.2.840.10008.1.20.1";

/// Whether the dictionary knows `uid` as a class whose instances are stored with C-STORE, retired ones included.
#[must_use]
pub fn is_storage(uid: &str) -> bool {
    // Storage Commitment is a service about storage; the media directory is a file, never a message (PS3.3 F).
    let stores = |keyword: &str| {
        keyword.contains("Storage")
            && !keyword.starts_with("StorageCommitment")
            && !keyword.starts_with("Media")
    };
    StandardSopClassDictionary.by_uid(uid).is_some_and(|entry| stores(entry.alias))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_storage_classes_current_and_retired() {
        for uid in [
            "1.2.840.10008.5.1.4.1.1.2",     // CT Image Storage
            "1.2.840.10008.5.1.4.1.1.481.5", // RT Plan Storage
            "1.2.840.10008.5.1.4.1.1.6",     // Ultrasound Image Storage (Retired)
            "1.2.840.10008.5.1.4.1.1.104.1", // Encapsulated PDF Storage
            "1.2.840.10008.5.1.4.1.1.66",    // Raw Data Storage
        ] {
            assert!(is_storage(uid), "{uid}");
        }
    }

    #[test]
    fn services_are_not_storage_classes() {
        for uid in
            [VERIFICATION, STORAGE_COMMITMENT, "1.2.840.10008.1.3.10", "1.2.840.10008.5.1.4.1.2.2.1", "1.2.3"]
        {
            assert!(!is_storage(uid), "{uid}");
        }
    }
}
