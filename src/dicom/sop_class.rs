//! SOP classes: the few that are named here, and which ones the dictionary counts as storage.

use dicom_core::dictionary::UidDictionary;
use dicom_dictionary_std::StandardSopClassDictionary;

use super::Uid;

/// Verification SOP Class, the abstract syntax of C-ECHO.
pub const VERIFICATION: &str = "1.2.840.10008.1.1";

/// Storage Commitment Push Model SOP Class.
pub const STORAGE_COMMITMENT: &str = "1.2.840.10008.1.20.1";

/// Modality Performed Procedure Step SOP Class.
pub const PERFORMED_PROCEDURE_STEP: &str = "1.2.840.10008.3.1.2.3.3";

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

/// The storage classes that archives are full of, for those who have to name what may come (PS3.4 table B.5-1): at most
/// 120, so that there is room for them in one association.
pub fn common_storage() -> impl Iterator<Item = Uid> {
    COMMON.iter().filter_map(|part| Uid::parse(&format!("1.2.840.10008.5.1.4.1.1.{part}")).ok())
}

const COMMON: &[&str] = &[
    "2", "2.1", "2.2", "4", "4.1", "4.2", "4.3", "4.4", "1", "1.1", "1.1.1", "1.2", "1.2.1", "1.3", "1.3.1",
    "6.1", "6.2", "6.3", "3.1", "6", "3", "5", "7", "7.1", "7.2", "7.3", "7.4", "12.1", "12.1.1", "12.2",
    "12.2.1", "12.3", "13.1.1", "13.1.2", "13.1.3", "13.1.4", "13.1.5", "14.1", "14.2", "20", "30", "66",
    "66.1", "66.2", "66.3", "66.4", "66.5", "66.6", "67", "68.1", "68.2", "77.1.1", "77.1.1.1", "77.1.2",
    "77.1.2.1", "77.1.3", "77.1.4", "77.1.4.1", "77.1.5.1", "77.1.5.2", "77.1.5.3", "77.1.5.4", "77.1.5.5",
    "77.1.5.6", "77.1.6", "77.1.7", "80.1", "88.11", "88.22", "88.33", "88.34", "88.35", "88.40", "88.50",
    "88.59", "88.65", "88.67", "88.68", "88.69", "88.70", "88.71", "88.72", "88.73", "88.74", "88.75",
    "88.76", "90.1", "11.1", "11.2", "11.3", "11.4", "11.5", "11.6", "11.7", "11.8", "104.1", "104.2",
    "104.3", "104.4", "104.5", "128", "128.1", "130", "131", "9.1.1", "9.1.2", "9.1.3", "9.2.1", "9.3.1",
    "9.4.1", "9.5.1", "481.1", "481.2", "481.3", "481.4", "481.5", "481.6", "481.7", "481.8", "481.9",
];

/// Whether the dictionary knows `uid` as a class whose instances have no pixels: reports, plans, waveforms, documents.
///
/// Where it is not certain the answer is no.
#[must_use]
pub fn never_has_pixels(uid: &str) -> bool {
    const WORDS: [&str; 24] = [
        "SRStorage",
        "SRForTID",
        "TextSR",
        "Report",
        "KeyObjectSelection",
        "PresentationState",
        "Encapsulated",
        "Waveform",
        "RTPlan",
        "RTIonPlan",
        "RTStructureSet",
        "TreatmentRecord",
        "SpatialRegistration",
        "SpatialFiducials",
        "DeformableSpatialRegistration",
        "Stereometric",
        "RealWorldValueMapping",
        "Lensometry",
        "Autorefraction",
        "Keratometry",
        "SubjectiveRefraction",
        "VisualAcuity",
        "HangingProtocol",
        "StructuredDisplay",
    ];
    let without =
        |keyword: &str| keyword != "StructuredDisplay" && WORDS.iter().any(|word| keyword.contains(word));
    is_storage(uid) && StandardSopClassDictionary.by_uid(uid).is_some_and(|entry| without(entry.alias))
}

/// Whether the dictionary knows `uid` as a class of encapsulated documents (PS3.3 A.45): PDF, CDA, and models to print.
#[must_use]
pub fn is_document(uid: &str) -> bool {
    let encapsulated = |keyword: &str| keyword.starts_with("Encapsulated");
    is_storage(uid) && StandardSopClassDictionary.by_uid(uid).is_some_and(|entry| encapsulated(entry.alias))
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
    fn the_common_classes_are_classes_and_leave_room_in_an_association() {
        let common: std::collections::BTreeSet<Uid> = common_storage().collect();
        assert_eq!(common.len(), COMMON.len(), "no class twice");
        assert!(common.len() <= 120, "{}", common.len());
        assert_eq!(common.iter().find(|class| !is_storage(class.as_str())), None);
    }

    #[test]
    fn reports_and_plans_have_no_pixels_and_images_may() {
        for uid in [
            "1.2.840.10008.5.1.4.1.1.88.11", // Basic Text SR Storage
            "1.2.840.10008.5.1.4.1.1.88.67", // X-Ray Radiation Dose SR Storage
            "1.2.840.10008.5.1.4.1.1.88.59", // Key Object Selection Document Storage
            "1.2.840.10008.5.1.4.1.1.11.1",  // Grayscale Softcopy Presentation State Storage
            "1.2.840.10008.5.1.4.1.1.104.1", // Encapsulated PDF Storage
            "1.2.840.10008.5.1.4.1.1.9.1.1", // 12-lead ECG Waveform Storage
            "1.2.840.10008.5.1.4.1.1.481.5", // RT Plan Storage
        ] {
            assert!(never_has_pixels(uid), "{uid}");
        }
        for uid in [
            "1.2.840.10008.5.1.4.1.1.2",     // CT Image Storage
            "1.2.840.10008.5.1.4.1.1.66.4",  // Segmentation Storage
            "1.2.840.10008.5.1.4.1.1.481.2", // RT Dose Storage
            "1.2.840.10008.5.1.4.1.1.66",    // Raw Data Storage
            "1.2.840.10008.5.1.4.1.1.30",    // Parametric Map Storage
            "1.2.3",
        ] {
            assert!(!never_has_pixels(uid), "{uid}");
        }
    }

    #[test]
    fn documents_are_the_encapsulated_ones() {
        for part in 1..=5 {
            assert!(is_document(&format!("1.2.840.10008.5.1.4.1.1.104.{part}")), "{part}");
        }
        for uid in ["1.2.840.10008.5.1.4.1.1.88.11", "1.2.840.10008.5.1.4.1.1.2", "1.2.3"] {
            assert!(!is_document(uid), "{uid}");
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
