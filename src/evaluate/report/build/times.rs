//! Execution times beside the chaotic paper's: encryption and decryption of pictures of its two sizes.

use std::time::Instant;

use super::beside::suites;
use super::images::encrypt;
use super::phantom::phantom;
use super::{Step, Suite};
use crate::evaluate::EvaluateError;
use crate::evaluate::papers::chaotic;
use crate::evaluate::report::{Block, Cell, Kind, Section, Table};

/// Each time is the median of so many.
const RUNS: u64 = 5;
/// Key numbers far from those of the other measures.
const FIRST_KEY: u64 = 1 << 21;

/// Times the suites that follow the papers, and the default one.
pub(super) fn section(
    all: &[Suite<'_>],
    progress: &(dyn Fn(Step) + Sync),
) -> Result<Option<Section>, EvaluateError> {
    let mut table = Table::new(
        "execution-times",
        "Seconds to encrypt and to decrypt a picture of 8 bits (the chaotic paper's execution times)",
        &["Suite", "256 x 256: encrypt", "decrypt", "512 x 512: encrypt", "decrypt"],
    );
    for suite in suites(all) {
        progress(Step::Doing(format!("Times of {}", suite.name)));
        let mut cells = Vec::with_capacity(4);
        for (edge, ..) in chaotic::SECONDS {
            let [there, back] = times(suite, edge as usize)?;
            cells.extend([Cell::Time(there, 5), Cell::Time(back, 5)]);
        }
        table.row(Kind::Measured, &suite.name, cells);
        progress(Step::Done);
    }
    if table.rows.is_empty() {
        return Ok(None);
    }
    for (name, seconds) in [("Chaotic paper", chaotic::SECONDS), ("Its reference [18]", chaotic::SECONDS_18)]
    {
        let cells = seconds.iter().flat_map(|(_, there, back)| [*there, *back]);
        table.row(Kind::Published, name, cells.map(|seconds| Cell::Number(seconds, 4)).collect());
    }
    let ideal = vec![Cell::Text("what reading the picture takes".to_owned()); 4];
    table.row(Kind::Ideal, "An ideal cipher", ideal);
    Ok(Some(Section {
        id: "times",
        title: "Execution times",
        shows: "How long a picture takes on this machine, the network that reads the metadata and the making of key images \
            included: what a viewer waits for."
            .to_owned(),
        shows_not: "How fast one method is beside another elsewhere: the papers' machines are others, and theirs ran in Python or \
            MATLAB. A fast cipher is not a weak one; AES is both fast and strong."
            .to_owned(),
        blocks: vec![Block::Table(table)],
    }))
}

fn times(suite: &Suite<'_>, edge: usize) -> Result<[f64; 2], EvaluateError> {
    let plain = phantom(edge, 0);
    let (mut there, mut back) = (Vec::new(), Vec::new());
    for number in FIRST_KEY..FIRST_KEY + RUNS {
        let found = encrypt(suite, &plain, number)?;
        there.push(found.seconds);
        let start = Instant::now();
        // What was encrypted a moment ago opens, or the findings say so; here only the time counts.
        drop((suite.decrypt)(&found.locked, number));
        back.push(start.elapsed().as_secs_f64());
    }
    let median = |mut times: Vec<f64>| {
        times.sort_by(f64::total_cmp);
        times[times.len() / 2]
    };
    Ok([median(there), median(back)])
}
