//! Table XXI: the study of hyperparameters, as published.

use crate::evaluate::papers::deep_key_gen as paper;
use crate::evaluate::report::{Block, Cell, Kind, Section, Table};

/// The published table.
pub(super) fn section() -> Section {
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
    for (iterations, entropies) in paper::HYPERPARAMETERS {
        let cells = entropies.iter().map(|entropy| {
            if entropy.is_nan() { Cell::Text("not a number".to_owned()) } else { Cell::Number(*entropy, 4) }
        });
        table.row(Kind::Published, format!("{iterations} epochs, published"), cells.collect());
    }
    let even = crate::evaluate::image::entropy_expected(256, super::KEY_BYTES);
    table.row(Kind::Ideal, "Even bytes", vec![Cell::Number(even, 4); 9]);
    Section {
        id: "study",
        title: "Hyperparameters",
        shows: "How even the histogram of a key of the plain network is for each way to train it, as published. It is not \
            reproduced: training here has the one learning rate and batch size that the paper settles on."
            .to_owned(),
        shows_not: "Which network is secure. The study optimises the entropy of a histogram, which a counter has too. The paper's text \
            states 9.9798 bits a byte for its best, which is a slip for the table's 7.9798: a byte holds 8."
            .to_owned(),
        blocks: vec![Block::Table(table)],
    }
}
