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
    fn services_are_not_storage_classes() {
        for uid in
            [VERIFICATION, STORAGE_COMMITMENT, "1.2.840.10008.1.3.10", "1.2.840.10008.5.1.4.1.2.2.1", "1.2.3"]
        {
            assert!(!is_storage(uid), "{uid}");
        }
    }
}
