//! Table XXI: the study of hyperparameters, as published, and beside it one's own where there is one.

use std::fmt::Write as _;

use crate::evaluate::papers::deep_key_gen as paper;
use crate::evaluate::report::{Block, Cell, Kind, Section, Table};
use crate::keygen::Study;

/// The published table, and the study's.
pub(super) fn section(own: Option<&Study>) -> Section {
    let mut blocks = vec![Block::Table(published())];
    blocks.extend(own.map(|study| Block::Table(measured(study))));
    Section {
        id: "study",
        title: "Hyperparameters",
        shows: shows(own),
        shows_not: "Which network is secure. The study optimises the entropy of a histogram, which a counter has too. The paper's text \
            states 9.9798 bits a byte for its best, which is a slip for the table's 7.9798: a byte holds 8."
            .to_owned(),
        blocks,
    }
}

fn shows(own: Option<&Study>) -> String {
    let mut said =
        "How even the histogram of a key of the plain network is for each way to train it. ".to_owned();
    match own {
        None => said.push_str(
            "Here as published: a study takes days, so `sealgate generator study` makes one apart, and `--study` sets it beside.",
        ),
        Some(study) => {
            let last = study.design.milestones.last().copied().unwrap_or(0);
            let _ = write!(
                said,
                "The study beside it trained {} up to {last} iterations, where the paper's went to 30,000, on {} images, and made keys \
                of {} others.",
                study.design.kind, study.design.training_images, study.design.validation_images
            );
            if !study.is_whole() {
                said.push_str(" It was stopped before its end.");
            }
        }
    }
    said
}

fn heading(rate: f64, batch: u32) -> String {
    format!("rate {rate}, batch {batch}")
}

fn published() -> Table {
    let headings: Vec<_> =
        paper::RATES.iter().flat_map(|rate| paper::BATCHES.map(|batch| heading(*rate, batch))).collect();
    let mut table = empty(
        "hyperparameters",
        "Mean entropy of keys by iterations, learning rate and batch size (table XXI)",
        headings,
    );
    for (iterations, entropies) in paper::HYPERPARAMETERS {
        let cells = entropies.iter().map(|entropy| number(Some(*entropy).filter(|bits| !bits.is_nan())));
        table.row(Kind::Published, format!("{iterations} epochs, published"), cells.collect());
    }
    let even = crate::evaluate::image::entropy_expected(256, super::KEY_BYTES);
    table.row(Kind::Ideal, "Even bytes", vec![Cell::Number(even, 4); 9]);
    table
}

fn measured(study: &Study) -> Table {
    let headings = study.ways().map(|(rate, batch)| heading(rate, batch)).collect();
    let mut table =
        empty("hyperparameters_measured", "The same, as `sealgate generator study` found it", headings);
    for &iterations in &study.design.milestones {
        let cell = |(rate, batch)| {
            study.trial(rate, batch, iterations).map_or(Cell::Empty, |trial| number(trial.entropy))
        };
        let cells = study.ways().map(cell).collect();
        table.row(Kind::Measured, format!("{iterations} iterations, {}", study.design.kind), cells);
    }
    table
}

fn empty(id: &str, caption: &str, headings: Vec<String>) -> Table {
    let mut table = Table::new(id, caption, &["Iterations"]);
    table.columns.extend(headings);
    table
}

fn number(entropy: Option<f64>) -> Cell {
    entropy.map_or_else(|| Cell::Text("not a number".to_owned()), |bits| Cell::Number(bits, 4))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keygen::small_study;

    #[test]
    fn a_study_stands_beside_the_published_one_with_what_it_did_not_reach_left_empty() {
        let section = section(Some(&small_study()));
        let [Block::Table(published), Block::Table(own)] = &section.blocks[..] else { panic!("two tables") };
        assert_eq!(published.columns[9], "rate 0.0002, batch 10");
        assert_eq!(published.rows[1].cells[0], Cell::Text("not a number".into()));
        assert_eq!(own.columns, ["Iterations", "rate 0.02, batch 1", "rate 0.02, batch 6"]);
        assert_eq!(own.rows[0].cells, [Cell::Number(7.5, 4), Cell::Text("not a number".into())]);
        assert_eq!(own.rows[1].cells, [Cell::Number(7.25, 4), Cell::Empty]);
        assert!(section.shows.contains("up to 20 iterations") && section.shows.contains("stopped"));
        assert_eq!(super::section(None).blocks.len(), 1);
    }
}
