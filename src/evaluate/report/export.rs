//! The report's numbers as JSON and as CSV.

use std::fmt::Write;

use serde_json::{Value, json};

use super::{Block, Cell, Kind, Report, Row, Table};

/// Everything but the drawings and the times, nested as in the page.
#[must_use]
pub fn to_json(report: &Report) -> Value {
    let sections: Vec<Value> = report
        .sections
        .iter()
        .map(|section| {
            let tables: Vec<Value> = section.blocks.iter().filter_map(table_of).map(table_json).collect();
            json!({
                "id": section.id, "title": section.title, "shows": section.shows, "shows_not": section.shows_not,
                "tables": tables,
            })
        })
        .collect();
    let verdicts: Vec<Value> = report
        .verdicts
        .iter()
        .map(|verdict| {
            let findings: Vec<Value> = verdict
                .findings
                .iter()
                .map(|finding| json!({ "name": finding.name(), "sentence": finding.to_string() }))
                .collect();
            json!({ "subject": verdict.subject, "role": verdict.role.name(), "findings": findings })
        })
        .collect();
    let facts: serde_json::Map<String, Value> =
        report.facts.iter().map(|(key, value)| (key.clone(), value.clone().into())).collect();
    json!({ "title": report.title, "facts": facts, "verdicts": verdicts, "sections": sections })
}

/// Every number on a line of its own: table, row, whose it is, column, value. Times are left out, so that the same seed
/// gives the same file.
#[must_use]
pub fn to_csv(report: &Report) -> String {
    lines(report, |cell| !matches!(cell, Cell::Empty | Cell::Time(..)))
}

/// The times that were taken, in the same form.
#[must_use]
pub fn to_times(report: &Report) -> String {
    lines(report, |cell| matches!(cell, Cell::Time(..)))
}

fn lines(report: &Report, wanted: fn(&Cell) -> bool) -> String {
    let mut csv = "table,row,kind,column,value\n".to_owned();
    let tables = report.sections.iter().flat_map(|section| &section.blocks).filter_map(table_of);
    for table in tables {
        for row in &table.rows {
            for (column, cell) in table.columns.iter().skip(1).zip(&row.cells) {
                if !wanted(cell) {
                    continue;
                }
                let fields = [&table.id, &row.name, kind(row), column, &plain(cell)].map(quoted);
                writeln!(csv, "{}", fields.join(",")).expect("a string takes everything");
            }
        }
    }
    csv
}

fn table_of(block: &Block) -> Option<&Table> {
    match block {
        Block::Table(table) | Block::Folded(table) => Some(table),
        Block::Figures { .. } => None,
    }
}

fn table_json(table: &Table) -> Value {
    let rows: Vec<Value> = table
        .rows
        .iter()
        .map(|row| {
            let cells: serde_json::Map<String, Value> =
                table.columns.iter().skip(1).cloned().zip(row.cells.iter().map(cell_json)).collect();
            json!({ "name": row.name, "kind": kind(row), "cells": cells })
        })
        .collect();
    json!({ "id": table.id, "caption": table.caption, "rows": rows })
}

fn cell_json(cell: &Cell) -> Value {
    match cell {
        Cell::Number(value, _) if value.is_finite() => json!(value),
        // JSON knows no infinity.
        Cell::Number(value, _) => json!(value.to_string()),
        Cell::Text(text) => json!(text),
        Cell::Check(holds, text) => json!({ "holds": holds, "text": text }),
        Cell::Empty | Cell::Time(..) => Value::Null,
    }
}

fn plain(cell: &Cell) -> String {
    match cell {
        Cell::Number(value, _) | Cell::Time(value, _) => value.to_string(),
        other => other.text(),
    }
}

fn kind(row: &Row) -> &'static str {
    match row.kind {
        Kind::Measured => "measured",
        Kind::Published => "published",
        Kind::Ideal => "ideal",
    }
}

/// A CSV field, RFC 4180; a leading sign that a spreadsheet takes for a formula is kept off by a quote mark.
fn quoted(field: &str) -> String {
    let is_number = field.parse::<f64>().is_ok();
    let guard = if !is_number && field.starts_with(['=', '+', '-', '@']) { "'" } else { "" };
    if guard.is_empty() && !field.contains([',', '"', '\n', '\r']) {
        return field.to_owned();
    }
    format!("\"{guard}{}\"", field.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evaluate::report::Section;

    fn report() -> Report {
        let mut table = Table::new("entropy", "Entropy", &["Image", "plain", "cipher", "seconds"]);
        table.row(
            Kind::Measured,
            "a, \"b\"",
            vec![Cell::Number(7.5, 2), Cell::Number(f64::INFINITY, 2), Cell::Time(0.25, 2)],
        );
        table.row(
            Kind::Published,
            "=SUM(A1)",
            vec![Cell::Empty, Cell::Check(false, "no".to_owned()), Cell::Empty],
        );
        let blocks = vec![Block::Table(table)];
        let (shows, shows_not) = (String::new(), String::new());
        Report {
            title: "T".to_owned(),
            facts: vec![("seed".to_owned(), "1".to_owned())],
            circumstances: vec![("made on".to_owned(), "a day".to_owned())],
            verdicts: Vec::new(),
            sections: vec![Section { id: "s", title: "S", shows, shows_not, blocks }],
        }
    }

    #[test]
    fn csv_has_a_line_for_each_number_and_no_formulas() {
        assert_eq!(
            to_csv(&report()),
            "table,row,kind,column,value\n\
             entropy,\"a, \"\"b\"\"\",measured,plain,7.5\n\
             entropy,\"a, \"\"b\"\"\",measured,cipher,inf\n\
             entropy,\"'=SUM(A1)\",published,cipher,no\n"
        );
    }

    #[test]
    fn what_no_second_run_has_again_stands_in_a_file_of_its_own() {
        assert_eq!(
            to_times(&report()),
            "table,row,kind,column,value\nentropy,\"a, \"\"b\"\"\",measured,seconds,0.25\n"
        );
        let json = to_json(&report()).to_string();
        assert!(!json.contains("a day") && !json.contains("0.25"), "{json}");
    }

    #[test]
    fn json_keeps_numbers_as_numbers() {
        let json = to_json(&report());
        let cells = &json["sections"][0]["tables"][0]["rows"][0]["cells"];
        assert_eq!((cells["plain"].as_f64(), cells["cipher"].as_str()), (Some(7.5), Some("inf")));
        assert_eq!(json["facts"]["seed"], "1");
    }
}
