//! The report as one page: no network, no script, light and dark, on a phone and on paper.

use std::fmt::Write;

use super::svg::{escape, finding};
use super::{Block, Cell, Figure, Kind, Report, Role, Section, Table, Verdict};

const STYLE: &str = include_str!("style.css");

/// What stands above every verdict, whatever the figures.
const LIMITS: &str = "These measures find defects. That they find none proves nothing: a cipher whose key the attacker knows \
    passes them all, and so does a generator that imitates a broken one (SP 800-22 says so of itself). Here confidentiality \
    rests on AES-256-GCM, HKDF and the wrapping of keys, which no figure on this page measures.";

/// The whole page.
#[must_use]
pub fn to_html(report: &Report) -> String {
    let title = escape(&report.title);
    let mut page = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta http-equiv=\"Content-Security-Policy\" \
         content=\"default-src 'none'; style-src 'unsafe-inline'; img-src data:\">\n\
         <title>{title}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n<main>\n<header>\n<h1>{title}</h1>\n\
         <p class=\"lead\">{LIMITS}</p>\n"
    );
    facts(&mut page, report);
    page.push_str("</header>\n");
    contents(&mut page, report);
    verdicts(&mut page, &report.verdicts);
    for part in &report.sections {
        section(&mut page, part);
    }
    page.push_str("</main>\n</body>\n</html>\n");
    page
}

/// `write!` into a string cannot fail; this says so once.
macro_rules! put {
    ($page:expr, $($arguments:tt)*) => {
        write!($page, $($arguments)*).expect("a string takes everything")
    };
}

fn facts(page: &mut String, report: &Report) {
    page.push_str("<dl class=\"facts\">\n");
    for (name, value) in report.facts.iter().chain(&report.circumstances) {
        put!(page, "<div><dt>{}</dt><dd>{}</dd></div>\n", escape(name), escape(value));
    }
    page.push_str("</dl>\n");
}

fn contents(page: &mut String, report: &Report) {
    page.push_str("<nav aria-label=\"Contents\"><ul>\n<li><a href=\"#findings\">Findings</a></li>\n");
    for part in &report.sections {
        put!(page, "<li><a href=\"#{}\">{}</a></li>\n", part.id, escape(part.title));
    }
    page.push_str("</ul></nav>\n");
}

/// Those with defects one by one, and those that are weak on purpose whatever was found; the others together.
fn verdicts(page: &mut String, verdicts: &[Verdict]) {
    let (told, clean): (Vec<&Verdict>, Vec<&Verdict>) =
        verdicts.iter().partition(|verdict| !verdict.findings.is_empty() || verdict.role == Role::Weak);
    page.push_str("<section id=\"findings\">\n<h2>Findings</h2>\n<ul class=\"verdicts\">\n");
    for verdict in told {
        let (subject, role) = (escape(&verdict.subject), verdict.role.name());
        put!(page, "<li><div class=\"who\">{subject}<span>{role}</span></div>");
        if verdict.findings.is_empty() {
            page.push_str("<div class=\"bad\"><b>not caught</b>: these measures find no defect</div>");
        } else {
            page.push_str("<ul class=\"bad\">");
            verdict.findings.iter().for_each(|found| put!(page, "<li>{}</li>", finding(found)));
            page.push_str("</ul>");
        }
        page.push_str("</li>\n");
    }
    if !clean.is_empty() {
        page.push_str("<li><div class=\"who\">These measures find no defect</div><ul class=\"none\">");
        for role in Role::ALL {
            let names: Vec<String> =
                clean.iter().filter(|one| one.role == role).map(|one| escape(&one.subject)).collect();
            if !names.is_empty() {
                put!(page, "<li><b>{}</b>: {}</li>", role.name(), names.join("; "));
            }
        }
        page.push_str("</ul></li>\n");
    }
    page.push_str("</ul>\n</section>\n");
}

fn section(page: &mut String, part: &Section) {
    put!(page, "<section id=\"{}\">\n<h2>{}</h2>\n<div class=\"words\">", part.id, escape(part.title));
    for (heading, words) in
        [("What these figures show", &part.shows), ("What they do not show", &part.shows_not)]
    {
        if !words.is_empty() {
            put!(page, "<div><h3>{heading}</h3><p>{}</p></div>", escape(words));
        }
    }
    page.push_str("</div>\n");
    for block in &part.blocks {
        match block {
            Block::Table(content) => {
                put!(page, "<figure>\n<figcaption>{}</figcaption>\n", escape(&content.caption));
                table(page, content);
                page.push_str("</figure>\n");
            }
            Block::Folded(content) => {
                put!(page, "<details>\n<summary>{}</summary>\n", escape(&content.caption));
                table(page, content);
                page.push_str("</details>\n");
            }
            Block::Figures { caption, figures } => figure_row(page, caption, figures),
        }
    }
    page.push_str("</section>\n");
}

fn figure_row(page: &mut String, caption: &str, figures: &[Figure]) {
    put!(page, "<figure>\n<figcaption>{}</figcaption>\n<div class=\"row\">\n", escape(caption));
    for figure in figures {
        put!(
            page,
            "<figure>{}<figcaption>{}</figcaption></figure>\n",
            figure.markup,
            escape(&figure.caption)
        );
    }
    page.push_str("</div>\n</figure>\n");
}

/// From so many columns on a table is printed smaller: paper does not scroll.
const COLUMNS_WIDE: usize = 9;

/// A table in a box that scrolls by itself, so that the page never does sideways.
fn table(page: &mut String, content: &Table) {
    let wide = if content.columns.len() >= COLUMNS_WIDE { " wide" } else { "" };
    put!(
        page,
        "<div class=\"scroll{wide}\" tabindex=\"0\" role=\"region\" aria-label=\"{}\">\n<table>\n<thead><tr>",
        escape(&content.caption)
    );
    for (i, column) in content.columns.iter().enumerate() {
        let class = if i > 0 && is_words(content, i - 1) { " class=\"text\"" } else { "" };
        put!(page, "<th scope=\"col\"{class}>{}</th>", escape(column));
    }
    page.push_str("</tr></thead>\n<tbody>\n");
    for row in &content.rows {
        let class = match row.kind {
            Kind::Measured => "",
            Kind::Published => " class=\"published\"",
            Kind::Ideal => " class=\"ideal\"",
        };
        put!(page, "<tr{class}><th scope=\"row\">{}</th>", escape(&row.name));
        for (i, cell) in row.cells.iter().enumerate() {
            put!(page, "<td{}>{}</td>", cell_class(cell, is_words(content, i)), escape(&cell.text()));
        }
        page.push_str("</tr>\n");
    }
    page.push_str("</tbody>\n</table>\n</div>\n");
}

/// Whether a column holds words: what its first row holds; a word among numbers stands where numbers do.
fn is_words(content: &Table, column: usize) -> bool {
    content.rows.first().is_some_and(|row| matches!(row.cells.get(column), Some(Cell::Text(_))))
}

fn cell_class(cell: &Cell, words: bool) -> &'static str {
    match cell {
        Cell::Number(..) | Cell::Time(..) | Cell::Empty => "",
        Cell::Text(_) if words => " class=\"text\"",
        Cell::Text(_) => " class=\"aside\"",
        Cell::Check(true, _) => " class=\"yes\"",
        Cell::Check(false, _) => " class=\"no\"",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evaluate::finding::Finding;
    use crate::evaluate::report::Role;

    fn page(name: &str) -> String {
        let mut content = Table::new("t", name, &["Image", "entropy"]);
        content.row(Kind::Measured, name, vec![Cell::Number(7.9, 2)]);
        to_html(&Report {
            title: name.to_owned(),
            facts: vec![(name.to_owned(), name.to_owned())],
            circumstances: vec![(name.to_owned(), name.to_owned())],
            verdicts: vec![Verdict {
                subject: name.to_owned(),
                role: Role::Ours,
                findings: vec![Finding::KeyUsedTwice],
            }],
            sections: vec![Section {
                id: "s",
                title: "Section",
                shows: name.to_owned(),
                shows_not: name.to_owned(),
                blocks: vec![Block::Table(content.clone()), Block::Folded(content)],
            }],
        })
    }

    #[test]
    fn the_page_stands_alone() {
        let page = page("brain.dcm");
        for outside in ["http://", "https://", "//", "<script", "<link", "@import", "url("] {
            assert!(!page.contains(outside), "{outside}");
        }
        assert!(page.contains("default-src 'none'"));
    }

    #[test]
    fn a_name_from_outside_stays_text_everywhere() {
        let page = page("<img src=x onerror=alert(1)>\"'&");
        assert!(!page.contains("<img"));
        assert!(page.contains("&lt;img src=x onerror=alert(1)&gt;&quot;&#39;&amp;"));
    }

    #[test]
    fn what_has_no_defect_stands_together_and_what_should_have_one_does_not_hide_there() {
        let verdict = |subject: &str, role, findings: &[Finding]| Verdict {
            subject: subject.to_owned(),
            role,
            findings: findings.to_vec(),
        };
        let mut found = String::new();
        verdicts(
            &mut found,
            &[
                verdict("one", Role::Ours, &[]),
                verdict("two", Role::Ours, &[]),
                verdict("three", Role::Weak, &[]),
                verdict("four", Role::Compared, &[Finding::KeyUsedTwice]),
            ],
        );
        assert!(found.contains("<b>of this project</b>: one; two</li>"), "{found}");
        let (told, clean) = found.split_once("These measures find no defect").unwrap();
        assert!(
            told.contains("three") && told.contains("<b>not caught</b>") && told.contains("four"),
            "{told}"
        );
        assert!(!clean.contains("three") && !clean.contains("four"), "{clean}");
    }

    #[test]
    fn a_wide_table_is_marked_for_print() {
        let columns = ["a", "b", "c", "d", "e", "f", "g", "h", "i"];
        for (length, class) in [(9, "scroll wide"), (8, "\"scroll\"")] {
            let mut page = String::new();
            table(&mut page, &Table::new("t", "", &columns[..length]));
            assert!(page.contains(class), "{page}");
        }
    }

    #[test]
    fn the_limits_stand_above_the_findings() {
        let page = page("x");
        assert!(page.find("proves nothing").unwrap() < page.find("id=\"findings\"").unwrap());
        assert!(page.contains("<b>key used twice</b>"));
    }
}
