//! The report: what was measured, beside what was published and what would be ideal, in words that claim no more.

mod build;
mod export;
mod html;
mod picture;
mod svg;

pub use build::{Generator, Inputs, Named, Open, Options, Role, Step, Suite, Transform, build};
pub use export::{to_csv, to_json, to_times};
pub use html::to_html;

use super::finding::Finding;

/// A whole report.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// Its heading.
    pub title: String,
    /// What it was made from, one remark each: inputs, seed, sizes.
    pub facts: Vec<(String, String)>,
    /// When and where: what another run has otherwise, so it stands on the page alone.
    pub circumstances: Vec<(String, String)>,
    /// One for each generator and suite.
    pub verdicts: Vec<Verdict>,
    /// The body.
    pub sections: Vec<Section>,
}

impl Report {
    /// The verdicts with findings.
    pub fn caught(&self) -> impl Iterator<Item = &Verdict> {
        self.verdicts.iter().filter(|verdict| !verdict.findings.is_empty())
    }
}

/// What was found about one generator or suite.
#[derive(Debug, Clone, PartialEq)]
pub struct Verdict {
    /// Its name.
    pub subject: String,
    /// Ours, compared with, or weak on purpose.
    pub role: Role,
    /// Its defects; none says only that these measures found none.
    pub findings: Vec<Finding>,
}

/// One heading with its words, tables and figures.
#[derive(Debug, Clone, PartialEq)]
pub struct Section {
    /// The anchor.
    pub id: &'static str,
    /// The heading.
    pub title: &'static str,
    /// What the figures below show.
    pub shows: String,
    /// What they do not show.
    pub shows_not: String,
    /// The figures.
    pub blocks: Vec<Block>,
}

/// A table, or pictures in a row.
#[derive(Debug, Clone, PartialEq)]
pub enum Block {
    /// A table that is always open.
    Table(Table),
    /// A table that is folded away.
    Folded(Table),
    /// Drawings with a caption below each.
    Figures {
        /// The caption of the row.
        caption: String,
        /// The drawings.
        figures: Vec<Figure>,
    },
}

/// One drawing, as markup that this crate made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Figure {
    /// What it is.
    pub caption: String,
    /// SVG, or an image element.
    pub markup: String,
}

/// Figures with names.
#[derive(Debug, Clone, PartialEq)]
pub struct Table {
    /// Its key in the CSV.
    pub id: String,
    /// What it holds.
    pub caption: String,
    /// The headings; the first is that of the row names.
    pub columns: Vec<String>,
    /// The rows.
    pub rows: Vec<Row>,
}

/// One row.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// Its name.
    pub name: String,
    /// Ours, published, or ideal.
    pub kind: Kind,
    /// A cell for every column but the first.
    pub cells: Vec<Cell>,
}

/// Whose figures a row holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Measured now.
    Measured,
    /// Printed in a paper.
    Published,
    /// What an ideal cipher would show.
    Ideal,
}

/// One figure.
#[derive(Debug, Clone, PartialEq)]
pub enum Cell {
    /// A number, and how many digits of it mean something.
    Number(f64, usize),
    /// A time that was taken, in seconds or milliseconds, and its digits. Times are never the same twice, so they stand
    /// in a file of their own.
    Time(f64, usize),
    /// Words.
    Text(String),
    /// Whether it is as it should be, with the reason.
    Check(bool, String),
    /// Nothing.
    Empty,
}

impl Cell {
    /// A number, or nothing.
    #[must_use]
    pub fn maybe(value: Option<f64>, digits: usize) -> Self {
        value.map_or(Self::Empty, |value| Self::Number(value, digits))
    }

    /// As text, the way tables show it.
    #[must_use]
    pub fn text(&self) -> String {
        match self {
            Self::Time(value, digits) => Self::Number(*value, *digits).text(),
            Self::Number(value, _) if value.is_infinite() => "\u{221e}".to_owned(),
            // Too small for its digits: 0.0000 would read as nothing.
            Self::Number(value, digits)
                if *value != 0.0 && value.abs() < 0.5 * 0.1_f64.powi(*digits as i32) =>
            {
                format!("{value:.0e}")
            }
            // Minus nothing is nothing.
            Self::Number(value, digits) => format!("{:.digits$}", value + 0.0),
            Self::Text(text) | Self::Check(_, text) => text.clone(),
            Self::Empty => String::new(),
        }
    }
}

impl Table {
    /// An empty table.
    #[must_use]
    pub fn new(id: impl Into<String>, caption: impl Into<String>, columns: &[&str]) -> Self {
        let columns = unambiguous(columns);
        Self { id: id.into(), caption: caption.into(), columns, rows: Vec::new() }
    }

    /// Adds a row.
    pub fn row(&mut self, kind: Kind, name: impl Into<String>, cells: Vec<Cell>) {
        debug_assert_eq!(cells.len() + 1, self.columns.len(), "a cell for every column");
        self.rows.push(Row { name: name.into(), kind, cells });
    }
}

/// Headings, each of them once: one that comes again is told by the group of the heading before it, "keys: NPCR", "UACI".
/// The numbers in JSON are found by their heading.
fn unambiguous<'a>(columns: &[&'a str]) -> Vec<String> {
    let mut group = "";
    let name = |column: &&'a str| {
        if let Some((before, _)) = column.split_once(": ") {
            group = before;
        } else if columns.iter().filter(|other| *other == column).count() > 1 && !group.is_empty() {
            return format!("{group}: {column}");
        }
        (*column).to_owned()
    };
    columns.iter().map(name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_heading_that_comes_again_is_told_by_its_group() {
        let table = Table::new("t", "", &["Suite", "one: NPCR", "UACI", "other: NPCR", "UACI", "shape"]);
        let all = ["Suite", "one: NPCR", "one: UACI", "other: NPCR", "other: UACI", "shape"];
        assert_eq!(table.columns, all);
    }

    #[test]
    fn numbers_read_well_whatever_their_size() {
        assert_eq!(Cell::Number(7.99861, 4).text(), "7.9986");
        assert_eq!(Cell::Number(5.22e-88, 4).text(), "5e-88");
        assert_eq!([0.0, -0.0].map(|zero| Cell::Number(zero, 4).text()), ["0.0000", "0.0000"]);
        assert_eq!(Cell::Number(f64::INFINITY, 2).text(), "\u{221e}");
    }
}
