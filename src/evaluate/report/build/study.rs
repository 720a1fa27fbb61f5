//! Table XXI: the study of hyperparameters, as published and, where it was run, as found.

use crate::evaluate::papers::deep_key_gen as paper;
use crate::evaluate::report::{Block, Cell, Kind, Section, Table};
use crate::evaluate::study::Study;

/// The published table, with what was found beside it.
pub(super) fn section(study: Option<&Study>) -> Section {
    let mut table = Table::new(
        "hyperparameters",
        "Mean entropy of keys by iterations, learning rate and batch size (table XXI)",
        &["Iterations", "0.02, 1", "6", "10", "0.002, 1", "6", "10", "0.0002, 1", "6", "10"],
    );
    let headings = paper::RATES
        .iter()
        .flat_map(|rate| paper::BATCHES.map(|batch| format!("rate {rate}, batch {batch}")));
    for (column, heading) in table.columns.iter_mut().skip(1).zip(headings) {
        *column = heading;
    }
    for row in study.map_or(&[][..], |study| &study.rows) {
        let cells = row.entropies.iter().map(|entropy| match entropy {
            Some(entropy) if entropy.is_finite() => Cell::Number(*entropy, 4),
            Some(_) => Cell::Text("diverged".to_owned()),
            None => Cell::Empty,
        });
        table.row(Kind::Measured, format!("{} iterations, found", row.iterations), cells.collect());
    }
    for (iterations, entropies) in paper::HYPERPARAMETERS {
        let cells = entropies.iter().map(|entropy| {
            if entropy.is_nan() { Cell::Text("not a number".to_owned()) } else { Cell::Number(*entropy, 4) }
        });
        table.row(Kind::Published, format!("{iterations} epochs, published"), cells.collect());
    }
    let even = crate::evaluate::image::entropy_expected(256, super::KEY_BYTES);
    table.row(Kind::Ideal, "Even bytes", vec![Cell::Number(even, 4); 9]);
    let run = match study {
        Some(study) => format!("It was run here on {} images of {} for each entry of the table.", study.images, study.device),
        None => "It was not run for this report: it takes a build with training and long hours (sealgate evaluate --study, \
            docs/TRAINING.md)."
            .to_owned(),
    };
    Section {
        id: "study",
        title: "Hyperparameters",
        shows: format!(
            "How even the histogram of a key of the plain network is for each way to train it. {run} The paper counts epochs; its \
             algorithm takes one batch at a time, so they are read as iterations here."
        ),
        shows_not: "Which network is secure. The study optimises the entropy of a histogram, which a counter has too. The paper's text \
            states 9.9798 bits a byte for its best, which is a slip for the table's 7.9798: a byte holds 8."
            .to_owned(),
        blocks: vec![Block::Table(table)],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evaluate::study::StudyRow;

    #[test]
    fn what_was_found_stands_above_what_was_published() {
        let row = StudyRow { iterations: 40, entropies: [Some(7.5); 9] };
        let study = Study { images: 3, device: "cpu".to_owned(), rows: vec![row] };
        let names = |section: &Section| match &section.blocks[0] {
            Block::Table(table) => table.rows.iter().map(|row| row.name.clone()).collect::<Vec<_>>(),
            _ => panic!("a table"),
        };
        let (with, without) = (section(Some(&study)), section(None));
        assert_eq!(names(&with)[0], "40 iterations, found");
        assert_eq!((names(&with).len(), names(&without).len()), (7, 6));
        assert!(without.shows.contains("not run") && with.shows.contains("run here on 3 images"));
    }
}
