//! `--patient` of the commands that name studies: which studies those are, a PACS says, so that nothing of the patient is kept here.

use clap::Args;

use super::migrate::{destination, pool};
use crate::dicom::Uid;
use crate::flow::migrate::studies_of_patient;
use crate::keys::KeysError;
use crate::settings::Settings;

/// A patient, at one PACS.
#[derive(Debug, Args)]
pub(super) struct Patient {
    /// Every study that a PACS has of the patient with this Patient ID
    #[arg(long, value_name = "PATIENT-ID", requires = "at")]
    patient: Option<String>,
    /// The destination that is asked, by its name in the configuration
    #[arg(long, value_name = "NAME", requires = "patient")]
    at: Option<String>,
}

impl Patient {
    /// The studies; none where no patient is named. A PACS that cannot be asked is an error, and so is one that has none.
    pub(super) fn studies(&self, settings: &Settings) -> Result<Vec<Uid>, KeysError> {
        let (Some(patient), Some(at)) = (&self.patient, &self.at) else { return Ok(Vec::new()) };
        if patient.trim().is_empty() || patient.contains(['*', '?', '\\']) {
            let problem = "a Patient ID with * or ? or \\ means many, and an empty one all: name one patient";
            return Err(KeysError::Destruction(problem.to_owned()));
        }
        let place = destination(settings, at).map_err(KeysError::Destruction)?;
        let pool = pool(settings).map_err(KeysError::Destruction)?;
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
        let runtime = runtime.map_err(|error| KeysError::Destruction(error.to_string()))?;
        let found = runtime.block_on(studies_of_patient(&pool, &place.node, patient.trim()));
        let found = found.map_err(|error| KeysError::Destruction(format!("{at}: {error}")))?;
        if found.is_empty() {
            return Err(KeysError::Destruction(format!("{at} has no study of that patient")));
        }
        Ok(found)
    }
}
