//! Drawings: histograms and scatter plots, in the page's own colours.

use std::fmt::Write;

use crate::evaluate::finding::Finding;

/// Width and height of a drawing, in its own units.
const WIDTH: f64 = 320.0;
const HEIGHT: f64 = 200.0;
/// Room below for the numbers of the axis.
const FOOT: f64 = 18.0;

/// A histogram of up to 256 classes; `even` draws the line of equal frequency.
pub(super) fn histogram(counts: &[u64], label: &str) -> String {
    let total: u64 = counts.iter().sum::<u64>().max(1);
    let most = counts.iter().max().copied().unwrap_or(1).max(1) as f64;
    let (bar, floor) = (WIDTH / counts.len() as f64, HEIGHT - FOOT);
    let even = total as f64 / counts.len() as f64;
    // The tallest bar leaves room above; an even histogram is drawn to half the height, so that it does not look full.
    let scale = (floor - 6.0) / most.max(2.0 * even);
    let mut path = format!("M0 {floor:.1}");
    for (i, count) in counts.iter().enumerate() {
        let (top, left) = (floor - *count as f64 * scale, i as f64 * bar);
        write!(path, "L{left:.1} {top:.1}H{:.1}", left + bar).expect("a string takes everything");
    }
    let line = floor - even * scale;
    open(label)
        + &format!(
            "<path class=\"area\" d=\"{path}V{floor:.1}Z\"/>\
             <line class=\"even\" x1=\"0\" x2=\"{WIDTH}\" y1=\"{line:.1}\" y2=\"{line:.1}\"/>"
        )
        + &axis(&["0", "64", "128", "192", "255"])
        + "</svg>"
}

/// Pairs of neighbours, each a dot; `peak` is the largest value.
pub(super) fn scatter(pairs: &[(u16, u16)], peak: u16, label: &str) -> String {
    let floor = HEIGHT - FOOT;
    let mut path = String::new();
    for (x, y) in pairs {
        let place = |value: u16, length: f64| f64::from(value) / f64::from(peak.max(1)) * length;
        let (x, y) = (2.0 + place(*x, WIDTH - 4.0), floor - 2.0 - place(*y, floor - 4.0));
        // A line of no length with round ends is a dot, and far shorter than a circle.
        write!(path, "M{x:.0} {y:.0}h0").expect("a string takes everything");
    }
    let ends = ["0".to_owned(), (u32::from(peak) / 2).to_string(), peak.to_string()];
    open(label)
        + &format!("<path class=\"dots\" d=\"{path}\"/>")
        + &axis(&ends.each_ref().map(String::as_str))
        + "</svg>"
}

/// A matrix of shares from 0 to 1, darker for more.
pub(super) fn matrix(values: &[Vec<f64>], names: &[String], label: &str) -> String {
    let cell = (HEIGHT - FOOT) / values.len().max(1) as f64;
    let left = (WIDTH - cell * values.len() as f64) / 2.0;
    let mut body = String::new();
    for (row, shares) in values.iter().enumerate() {
        for (column, share) in shares.iter().enumerate() {
            let (x, y) = (left + column as f64 * cell, row as f64 * cell);
            let tone = if *share > 0.5 { "on" } else { "off" };
            write!(
                body,
                "<rect class=\"{tone}\" x=\"{x:.1}\" y=\"{y:.1}\" width=\"{0:.1}\" height=\"{0:.1}\"/>\
                 <text class=\"{tone}\" x=\"{1:.1}\" y=\"{2:.1}\">{share:.2}</text>",
                cell - 2.0,
                x + cell / 2.0,
                y + cell / 2.0 + 4.0
            )
            .expect("a string takes everything");
        }
    }
    for (column, name) in names.iter().enumerate() {
        let x = left + (column as f64 + 0.5) * cell;
        write!(body, "<text class=\"tick\" x=\"{x:.1}\" y=\"{:.1}\">{}</text>", HEIGHT - 4.0, escape(name))
            .expect("a string takes everything");
    }
    open(label) + &body + "</svg>"
}

fn open(label: &str) -> String {
    format!("<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{}\">", escape(label))
}

/// The numbers below a drawing, from its left edge to its right.
fn axis(numbers: &[&str]) -> String {
    let floor = HEIGHT - FOOT;
    let last = numbers.len().saturating_sub(1).max(1);
    let mut axis = format!("<line class=\"axis\" x1=\"0\" x2=\"{WIDTH}\" y1=\"{floor}\" y2=\"{floor}\"/>");
    for (i, number) in numbers.iter().enumerate() {
        let x = WIDTH * i as f64 / last as f64;
        let anchor = if i == 0 {
            "start"
        } else if i == last {
            "end"
        } else {
            "middle"
        };
        write!(
            axis,
            "<text class=\"tick\" x=\"{x:.0}\" y=\"{:.0}\" style=\"text-anchor:{anchor}\">{number}</text>",
            HEIGHT - 4.0
        )
        .expect("a string takes everything");
    }
    axis
}

/// Text that markup cannot mistake for markup: names of files come from elsewhere.
pub(super) fn escape(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            c if c.is_control() && c != '\n' => safe.push('\u{fffd}'),
            c => safe.push(c),
        }
    }
    safe
}

/// A finding as one line of markup.
pub(super) fn finding(finding: &Finding) -> String {
    format!("<b>{}</b>: {}", finding.name(), escape(&finding.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_bring_markup_with_them() {
        assert_eq!(escape("<a href=\"x\">&'\u{7}"), "&lt;a href=&quot;x&quot;&gt;&amp;&#39;\u{fffd}");
        assert!(!histogram(&[1, 2], "<script>").contains("<script>"));
    }

    #[test]
    fn empty_drawings_have_no_nonsense_in_them() {
        for svg in [histogram(&[0; 256], "a"), scatter(&[], 0, "b"), matrix(&[], &[], "c")] {
            assert!(!svg.contains("NaN") && !svg.contains("inf") && svg.ends_with("</svg>"), "{svg}");
        }
    }
}
