//! The figures of key streams, beside tables III, IV and XVII to XIX.

use std::time::Instant;

use super::{Generator, KEY_BYTES, Options, Step};
use crate::evaluate::EvaluateError;
use crate::evaluate::finding::{Finding, ignores_key, of_assessment, of_estimates, of_stream};
use crate::evaluate::image::{
    Difference, Raster, critical_values, difference, entropy, entropy_expected, of_bytes,
};
use crate::evaluate::papers::{deep_key_gen as paper, mean};
use crate::evaluate::report::svg;
use crate::evaluate::report::{Block, Cell, Figure, Kind, Section, Table};
use crate::evaluate::sp800_22::{
    Assessment, Bits, LineSummary, Test, Walk, assess, non_overlapping, rank, universal,
};
use crate::evaluate::sp800_90b::{MinEntropy, min_entropy};

/// How many keys are drawn, as in the paper's tables.
const KEYS: u64 = 8;

/// All figures of one generator.
pub(super) struct Figures {
    pub(super) findings: Vec<Finding>,
    entropies: Vec<f64>,
    histogram_p: f64,
    counts: Vec<u64>,
    seconds: f64,
    sensitivity: Difference,
    p_values: [Option<f64>; 4],
    pub(super) assessment: Assessment,
    estimates: MinEntropy,
}

/// Draws keys and a long stream, and takes every measure of them.
pub(super) fn measure(
    generator: &Generator<'_>,
    options: Options,
    progress: &(dyn Fn(Step) + Sync),
) -> Result<Figures, EvaluateError> {
    let start = Instant::now();
    let keys: Vec<Vec<u8>> = (0..KEYS).map(|i| draw(generator, options.seed + 2 * i, KEY_BYTES)).collect();
    let seconds = start.elapsed().as_secs_f64() / KEYS as f64;
    let entropies: Vec<f64> = keys.iter().map(|key| entropy(&of_bytes(key).counts)).collect();
    let sensitivity = sensitivity(generator, &keys, options)?;
    let p_values = paper_p_values(&Bits::from_bytes(&keys[0]));
    let histogram = of_bytes(&keys[0]);
    progress(Step::Done);

    let stream = draw(generator, options.seed, options.sequences * options.bits / 8);
    let assessment = assess(&stream, options.bits, || progress(Step::Done))?;
    let estimates = min_entropy(if stream.len() < 10_000 { &keys[0] } else { &stream })?;
    progress(Step::Done);

    let mut findings = of_stream(&keys[0]);
    findings.extend(ignores_key(sensitivity.npcr, 8));
    findings.extend(of_estimates(&estimates));
    findings.extend(of_assessment(&assessment));
    let (histogram_p, counts) = (histogram.p_value, histogram.counts);
    Ok(Figures {
        findings,
        entropies,
        histogram_p,
        counts,
        seconds,
        sensitivity,
        p_values,
        assessment,
        estimates,
    })
}

/// The first bytes of the stream of a seed.
pub(super) fn draw(generator: &Generator<'_>, seed: u64, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    (generator.open)(seed).fill(&mut bytes);
    bytes
}

/// The mean difference of keys whose seeds differ in their last bit.
fn sensitivity(
    generator: &Generator<'_>,
    keys: &[Vec<u8>],
    options: Options,
) -> Result<Difference, EvaluateError> {
    let image = |key: &[u8]| Raster::from_bytes(256, 256, 3, key);
    let mut sum = Difference { npcr: 0.0, uaci: 0.0 };
    for (i, key) in (0_u64..).zip(keys) {
        let neighbour = draw(generator, (options.seed + 2 * i) ^ 1, KEY_BYTES);
        let found = difference(&image(key)?, &image(&neighbour)?)?;
        sum.npcr += found.npcr / keys.len() as f64;
        sum.uaci += found.uaci / keys.len() as f64;
    }
    Ok(sum)
}

/// The four tests of table XVIII; the paper does not say which template and state it means, these are the first
/// template and the state -1, as in appendix B of SP 800-22.
fn paper_p_values(bits: &Bits) -> [Option<f64>; 4] {
    let template = non_overlapping(bits, 9).ok().and_then(|all| Some(all.first()?.1));
    let walk = Some(Walk::of(bits)).filter(|walk| walk.is_testable(bits.len()));
    [template, rank(bits).ok(), universal(bits).ok(), walk.map(|walk| walk.variant()[8])]
}

/// Entropy, histogram, sensitivity and time of keys.
pub(super) fn section(generators: &[Generator<'_>], measured: &[Figures], options: Options) -> Section {
    let figures = generators.iter().zip(measured).map(|(generator, found)| Figure {
        caption: format!(
            "{}; even within chance: P = {}",
            generator.name,
            Cell::Number(found.histogram_p, 3).text()
        ),
        markup: svg::histogram(&found.counts, &format!("Histogram of a key of {}", generator.name)),
    });
    Section {
        id: "keys",
        title: "Keys",
        shows: "How even the bytes of a key of 196,608 bytes are, whether another seed gives another key, and how long a key \
            takes. RSA gives a stream by one power after another; how the paper makes one it does not say, and its 6.03 does not come \
            out. An even source of this length shows an entropy of 7.9991, not 8, and the histogram test says how far chance \
            may go from there."
            .to_owned(),
        shows_not: format!(
            "Whether anybody can guess the key. Entropy of a histogram is no entropy of a source: AES-CTR under a key that \
             everyone knows shows 7.999. The published keys, at 7.98, are uneven far beyond chance. Times are of this machine, \
             seed {}, and of the paper's GTX 2080 Ti.",
            options.seed
        ),
        blocks: vec![
            Block::Table(entropy_table(generators, measured)),
            Block::Table(sensitivity_table(generators, measured)),
            Block::Figures {
                caption: "Histograms of one key each, as figure 6; the dashed line is an equal share".to_owned(),
                figures: figures.collect(),
            },
        ],
    }
}

fn entropy_table(generators: &[Generator<'_>], measured: &[Figures]) -> Table {
    let mut table = Table::new(
        "key-entropy",
        "Information entropy of keys (tables III and XVII) and the time one takes (table XIX)",
        &[
            "Generator",
            "mean",
            "lowest",
            "highest",
            "evenness, P",
            "seconds a key",
            "published entropy",
            "published seconds",
        ],
    );
    for (generator, found) in generators.iter().zip(measured) {
        let method = paper::METHODS.iter().find(|method| Some(method.name) == generator.method);
        let least = found.entropies.iter().copied().fold(8.0, f64::min);
        let most = found.entropies.iter().copied().fold(0.0, f64::max);
        table.row(
            Kind::Measured,
            &generator.name,
            vec![
                Cell::Number(mean(&found.entropies), 4),
                Cell::Number(least, 4),
                Cell::Number(most, 4),
                Cell::Check(found.histogram_p > 1e-9, Cell::Number(found.histogram_p, 3).text()),
                Cell::Time(found.seconds, 5),
                Cell::maybe(method.map(|method| method.key_entropy), 4),
                Cell::maybe(method.map(|method| method.seconds), 4),
            ],
        );
    }
    let least = paper::KEY_ENTROPY.into_iter().fold(8.0, f64::min);
    let most = paper::KEY_ENTROPY.into_iter().fold(0.0, f64::max);
    let mut published =
        vec![Cell::Number(mean(&paper::KEY_ENTROPY), 4), Cell::Number(least, 4), Cell::Number(most, 4)];
    let deep = paper::METHODS[5];
    published.extend([
        Cell::Check(false, "about 0".to_owned()),
        Cell::Empty,
        Cell::Number(deep.key_entropy, 4),
    ]);
    published.push(Cell::Number(deep.seconds, 4));
    table.row(Kind::Published, "DeepKeyGen as published", published);
    let even = entropy_expected(256, KEY_BYTES);
    let mut ideal = vec![Cell::Number(even, 4); 3];
    ideal.extend([Cell::Text("0 to 1, all alike".to_owned()), Cell::Empty, Cell::Empty, Cell::Empty]);
    table.row(Kind::Ideal, "An even source of this length", ideal);
    table
}

fn sensitivity_table(generators: &[Generator<'_>], measured: &[Figures]) -> Table {
    let critical = critical_values(8, KEY_BYTES, 0.05);
    let mut table = Table::new(
        "key-sensitivity",
        "Keys from two seeds that differ in one bit (table IV)",
        &["Generator", "NPCR, %", "UACI, %", "as two unrelated keys?"],
    );
    for (generator, found) in generators.iter().zip(measured) {
        let Difference { npcr, uaci } = found.sensitivity;
        // The mean of eight pairs; the bounds are those of one.
        let holds =
            npcr >= critical.npcr_min && (critical.uaci_range[0]..=critical.uaci_range[1]).contains(&uaci);
        table.row(
            Kind::Measured,
            &generator.name,
            vec![
                Cell::Number(100.0 * npcr, 4),
                Cell::Number(100.0 * uaci, 4),
                Cell::Check(holds, if holds { "yes" } else { "no" }.to_owned()),
            ],
        );
    }
    table.row(
        Kind::Published,
        "DeepKeyGen, one pixel of the seed image changed",
        vec![
            Cell::Number(mean(&paper::KEY_NPCR), 2),
            Cell::Number(mean(&paper::KEY_UACI), 2),
            Cell::Check(false, "no: UACI is far too low".to_owned()),
        ],
    );
    table.row(
        Kind::Ideal,
        "Two random keys, 95 % of pairs",
        vec![
            Cell::Text(format!(
                "{:.4}; at least {:.4}",
                100.0 * critical.npcr_mean,
                100.0 * critical.npcr_min
            )),
            Cell::Text(format!(
                "{:.4} to {:.4}",
                100.0 * critical.uaci_range[0],
                100.0 * critical.uaci_range[1]
            )),
            Cell::Empty,
        ],
    );
    table
}

/// SP 800-22: the four P-values of the paper, and the suite over many sequences.
pub(super) fn suite_section(generators: &[Generator<'_>], measured: &[Figures], options: Options) -> Section {
    let mut blocks = vec![
        Block::Table(suite_table(generators, measured)),
        Block::Table(paper_table(generators, measured)),
    ];
    for (generator, found) in generators.iter().zip(measured) {
        blocks.push(Block::Folded(lines_table(generator, &found.assessment)));
    }
    Section {
        id: "suite",
        title: "SP 800-22",
        shows: format!(
            "All fifteen tests of NIST SP 800-22 over {} sequences of {} bits: for each of 188 lines the share of sequences that \
             pass at 1 %, and whether the P-values themselves are evenly spread. A perfect source fails a few lines by chance.",
            options.sequences, options.bits
        ),
        shows_not: "Security. A Mersenne Twister, whose whole future follows from 624 outputs, passes. A single P-value says next \
            to nothing: 0.9999 is no better than 0.02, since a perfect source gives every value equally often. The published \
            zeros for RC4 and the Mersenne Twister do not come out here."
            .to_owned(),
        blocks,
    }
}

fn suite_table(generators: &[Generator<'_>], measured: &[Figures]) -> Table {
    let mut table = Table::new(
        "sp800-22",
        "The suite over many sequences",
        &[
            "Generator",
            "lines that fail",
            "lines tested",
            "borne by chance",
            "lowest share passing",
            "least even, P",
            "verdict",
        ],
    );
    for (generator, found) in generators.iter().zip(measured) {
        let assessment = &found.assessment;
        let tested = || assessment.lines.iter().filter(|line| line.sequences > 0);
        let share = tested().map(LineSummary::proportion).fold(1.0, f64::min);
        let even = tested().filter_map(|line| line.uniformity).reduce(f64::min);
        let caught = assessment.is_caught();
        table.row(
            Kind::Measured,
            &generator.name,
            vec![
                Cell::Number(assessment.failures().count() as f64, 0),
                Cell::Number(assessment.tested() as f64, 0),
                Cell::Number(assessment.failures_borne() as f64, 0),
                Cell::Number(share, 3),
                Cell::maybe(even, 4),
                Cell::Check(!caught, if caught { "caught" } else { "passes" }.to_owned()),
            ],
        );
    }
    table
}

fn paper_table(generators: &[Generator<'_>], measured: &[Figures]) -> Table {
    let mut table = Table::new(
        "p-values",
        "P-values of one key (table XVIII)",
        &["Generator", "non-overlapping template", "matrix rank", "universal", "random excursions variant"],
    );
    for (generator, found) in generators.iter().zip(measured) {
        table.row(Kind::Measured, &generator.name, found.p_values.map(|p| Cell::maybe(p, 4)).to_vec());
    }
    for method in &paper::METHODS {
        let cells = method.p_values.map(|p| Cell::Number(p, 4)).to_vec();
        table.row(Kind::Published, format!("{} as published", method.name), cells);
    }
    let ideal = vec![Cell::Text("evenly spread from 0 to 1".to_owned()); 4];
    table.row(Kind::Ideal, "A perfect source", ideal);
    table
}

/// Fifteen lines for a generator: the parts of a test together.
fn lines_table(generator: &Generator<'_>, assessment: &Assessment) -> Table {
    let mut table = Table::new(
        format!("sp800-22: {}", generator.name),
        format!("Each test over {} sequences of {}", assessment.sequences, generator.name),
        &["Test", "lines", "fail", "lowest share passing", "least even, P", "not applicable to"],
    );
    for test in Test::ALL {
        let lines: Vec<&LineSummary> = assessment.lines.iter().filter(|line| line.test == test).collect();
        let applied = || lines.iter().filter(|line| line.sequences > 0);
        let left_out = assessment.sequences - lines.first().map_or(0, |line| line.sequences);
        table.row(
            Kind::Measured,
            test.name(),
            vec![
                Cell::Number(lines.len() as f64, 0),
                Cell::Number(lines.iter().filter(|line| !line.holds()).count() as f64, 0),
                Cell::maybe(applied().map(|line| line.proportion()).reduce(f64::min), 3),
                Cell::maybe(applied().filter_map(|line| line.uniformity).reduce(f64::min), 4),
                if left_out == 0 { Cell::Empty } else { Cell::Text(format!("{left_out} sequences")) },
            ],
        );
    }
    table
}

/// SP 800-90B.
pub(super) fn entropy_section(generators: &[Generator<'_>], measured: &[Figures]) -> Section {
    let names: Vec<&str> = measured
        .first()
        .map_or_else(Vec::new, |found| found.estimates.estimates.iter().map(|e| e.name).collect());
    let columns: Vec<&str> = ["Generator", "lowest"].into_iter().chain(names).collect();
    let mut table = Table::new(
        "sp800-90b",
        "Bits of min-entropy a byte, by estimator; the lower of bits and bytes",
        &columns,
    );
    for (generator, found) in generators.iter().zip(measured) {
        let low = |e: &crate::evaluate::sp800_90b::Estimate| e.from_bytes.unwrap_or(8.0).min(e.from_bits);
        let mut cells = vec![Cell::Check(
            of_estimates(&found.estimates).is_none(),
            format!("{:.3}", found.estimates.per_byte),
        )];
        cells.extend(found.estimates.estimates.iter().map(|estimate| Cell::Number(low(estimate), 3)));
        table.row(Kind::Measured, &generator.name, cells);
    }
    Section {
        id: "min-entropy",
        title: "SP 800-90B",
        shows: "How well ten simple predictors do: what they can predict is not entropy. The estimators bound from above, with 99 % \
            confidence, and stay below 8 even for a perfect source, the more so the shorter the sample."
            .to_owned(),
        shows_not: "How much entropy there is. Every deterministic generator holds exactly what its seed holds, whatever stands here; \
            this project credits its neural generator with none at all."
            .to_owned(),
        blocks: vec![Block::Table(table)],
    }
}
