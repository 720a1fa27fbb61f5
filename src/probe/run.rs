//! A probe from its beginning to its profile.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::exchange::{Back, Line, Stored};
use super::judge::{Finding, judge};
use super::specimen::{Kind, Specimen, new_uid};
use crate::dicom::Uid;
use crate::keys::{Keyring, KeysError};
use crate::scu::Failure;
use crate::seal::{NoEntropy, SealError};

/// Between two questions for what is not there yet.
const AGAIN_SECONDS: u64 = 1;

/// What is tried, and how patiently.
pub struct Plan<'a> {
    /// The kinds.
    pub kinds: &'a [Kind],
    /// Wraps the specimens' keys.
    pub keyring: &'a Keyring,
    /// How long the PACS may take until what it stored can be retrieved.
    pub wait: Duration,
}

/// What is going on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// This one is stored now.
    Storing(Kind),
    /// Everything is asked for.
    Fetching,
    /// So many are not there yet, and are asked for again.
    Waiting(usize),
    /// What came is compared.
    Comparing,
}

/// Why a probe came to no result. The PACS may be as good as ever.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    /// The network, or the PACS's idea of who we are.
    #[error("{0}")]
    Peer(#[from] Failure),
    /// The keys that the specimens are wrapped for.
    #[error("{0}")]
    Keys(#[from] KeysError),
    /// The specimens.
    #[error("a specimen cannot be made: {0}")]
    Seal(#[from] SealError),
    /// No random numbers.
    #[error(transparent)]
    NoEntropy(#[from] NoEntropy),
}

/// Stores a specimen of each kind, fetches them, and says what became of each; the study stays at the PACS.
pub async fn probe(
    line: &Line<'_>,
    plan: &Plan<'_>,
    mut tell: impl FnMut(Step),
) -> Result<(Uid, Vec<Finding>), ProbeError> {
    let study = new_uid()?;
    let mut specimens = Vec::new();
    for kind in plan.kinds {
        specimens.push(Specimen::make(*kind, &study, plan.keyring)?);
    }
    let mut stored = Vec::new();
    for specimen in &specimens {
        tell(Step::Storing(specimen.kind));
        stored.push(line.store(specimen).await?);
    }
    let taken: Vec<&Uid> = specimens
        .iter()
        .zip(&stored)
        .filter(|(_, stored)| **stored == Stored::Taken)
        .map(|(specimen, _)| &specimen.instance)
        .collect();
    let back = fetch(line, plan.wait, &study, &specimens, &taken, &mut tell).await?;
    tell(Step::Comparing);
    let strays = back.keys().filter(|came| !specimens.iter().any(|one| one.instance == **came)).count();
    let findings = specimens
        .iter()
        .zip(&stored)
        .map(|(specimen, stored)| judge(specimen, stored, back.get(&specimen.instance), strays));
    Ok((study.clone(), findings.collect()))
}

/// Fetches until everything that was taken is there, or time is up.
async fn fetch(
    line: &Line<'_>,
    wait: Duration,
    study: &Uid,
    specimens: &[Specimen],
    taken: &[&Uid],
    tell: &mut impl FnMut(Step),
) -> Result<Back, ProbeError> {
    let (mut back, end) = (Back::new(), Instant::now() + wait);
    if taken.is_empty() {
        return Ok(back);
    }
    tell(Step::Fetching);
    loop {
        let fetched = line.fetch(study, specimens, &mut back).await;
        let missing = taken.iter().filter(|instance| !back.contains_key(**instance)).count();
        let is_late = Instant::now() >= end;
        match fetched {
            _ if missing == 0 => return Ok(back),
            // Nothing at all came: that says nothing about what became of it there.
            Err(failure) if is_late && back.is_empty() => return Err(failure.into()),
            _ if is_late => return Ok(back),
            Err(failure) if !asks_again(&failure) => return Err(failure.into()),
            _ => {}
        }
        tell(Step::Waiting(missing));
        sleep(Duration::from_secs(AGAIN_SECONDS)).await;
    }
}

/// Whether asking again may help: what is stored a moment ago may not be found yet.
fn asks_again(failure: &Failure) -> bool {
    failure.may_pass() || matches!(failure, Failure::Status(_))
}
