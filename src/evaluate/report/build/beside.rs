//! Tables V to XIII of the DeepKeyGen paper by modality, and the chaotic paper's security analysis: their way, in 8 bits.

use super::images::{Encrypted, encrypt};
use super::{Named, Options, Role, Step, Suite};
use crate::evaluate::EvaluateError;
use crate::evaluate::image::{
    Difference, Direction, Raster, Similarity, correlation, correlation_sampled, critical_values, difference,
    entropy, entropy_expected, of_bytes, similarity,
};
use crate::evaluate::papers::{chaotic, deep_key_gen as paper, mean};
use crate::evaluate::report::{Block, Cell, Kind, Section, Table};

/// Pairs that the paper draws for a correlation.
const PAPER_PAIRS: usize = 256;
/// Key numbers far from those of the other measures.
const FIRST_KEY: u64 = 1 << 20;

/// The papers' kinds of images, with the modalities that belong to them; the first three are the DeepKeyGen paper's.
const GROUPS: [(&str, &[&str]); 5] = [
    ("X-ray", &["CR", "DX", "DR", "MG", "XA", "RF", "PX", "IO"]),
    ("ultrasound", &["US", "IVUS"]),
    ("MR", &["MR"]),
    ("CT", &["CT"]),
    ("other", &[]),
];

/// Those that stand beside the papers': the default one, and the layers that follow them.
pub(super) fn suites<'a, 'b>(all: &'a [Suite<'b>]) -> impl Iterator<Item = &'a Suite<'b>> {
    all.iter().filter(|suite| suite.role == Role::Layer || suite.name.starts_with("deepkeygen,"))
}

/// One image under one suite.
struct Beside {
    group: usize,
    plain_entropy: f64,
    cipher_entropy: f64,
    even: f64,
    likeness: Similarity,
    /// The MSE that even pixels would have against this image.
    ideal_mse: f64,
    plain_sampled: [f64; 3],
    cipher_sampled: [f64; 3],
    cipher_all: [f64; 3],
    change: Difference,
    /// The image that came back, against the plain one.
    back: Option<Similarity>,
    pixels: usize,
}

/// The place of a modality in `GROUPS`.
fn group_of(modality: Option<&str>) -> usize {
    let is_in = |(_, names): &(&str, &[&str])| modality.is_some_and(|m| names.contains(&m));
    GROUPS.iter().position(is_in).unwrap_or(GROUPS.len() - 1)
}

/// The first image of each kind that the DeepKeyGen paper has, with the name of the kind; the first of all, if there is none.
pub(super) fn first_of_each(images: &[Named]) -> Vec<(&'static str, &Named)> {
    let of = |group: usize| images.iter().find(|named| group_of(named.modality.as_deref()) == group);
    let found = |group: usize| Some((GROUPS[group].0, of(group)?));
    let found: Vec<_> = (0..paper::DATA_SETS.len()).filter_map(found).collect();
    let any = || images.first().map(|named| (GROUPS[group_of(named.modality.as_deref())].0, named));
    if found.is_empty() { any().into_iter().collect() } else { found }
}

fn measure(suite: &Suite<'_>, named: &Named, key: u64, seed: u64) -> Result<Beside, EvaluateError> {
    let plain = named.image.to_eight_bits();
    let Encrypted { locked, image: cipher, .. } = encrypt(suite, &plain, key)?;
    let opened = (suite.decrypt)(&locked, key).ok();
    let back = opened.and_then(|bytes| super::images::raster_of(&plain, &bytes).ok());
    let counts = |image: &Raster| of_bytes(&image.to_bytes()).counts;
    let sampled = |image: &Raster, at: Direction| {
        correlation_sampled(image, at, PAPER_PAIRS, seed).ok().and_then(|found| found.coefficient)
    };
    let whole = |at: Direction| correlation(&cipher, at).ok().and_then(|found| found.coefficient);
    let value = |found: Option<f64>| found.unwrap_or(0.0);
    let samples = plain.samples();
    let distance = samples.iter().map(|s| (f64::from(*s) - 127.5).powi(2)).sum::<f64>();
    Ok(Beside {
        group: group_of(named.modality.as_deref()),
        plain_entropy: entropy(&counts(&plain)),
        cipher_entropy: entropy(&counts(&cipher)),
        even: entropy_expected(256, samples.len()),
        likeness: similarity(&plain, &cipher)?,
        // The variance of an even byte is (256^2 - 1) / 12.
        ideal_mse: distance / samples.len() as f64 + 65_535.0 / 12.0,
        plain_sampled: Direction::ALL.map(|at| value(sampled(&plain, at))),
        cipher_sampled: Direction::ALL.map(|at| value(sampled(&cipher, at))),
        cipher_all: Direction::ALL.map(|at| value(whole(at))),
        change: difference(&plain, &cipher)?,
        back: back.and_then(|image| similarity(&plain, &image).ok()),
        pixels: samples.len(),
    })
}

/// Encrypts the images once more, as the papers' images are, and sets the figures beside theirs.
pub(super) fn section(
    all: &[Suite<'_>],
    images: &[Named],
    options: Options,
    progress: &(dyn Fn(Step) + Sync),
) -> Result<Option<Section>, EvaluateError> {
    let mut measured = Vec::new();
    for suite in suites(all) {
        progress(Step::Doing(format!("In 8 bits: {}", suite.name)));
        let mut found = Vec::with_capacity(images.len());
        for (number, named) in (FIRST_KEY..).zip(images) {
            // An image too small for SSIM is too small to stand beside the papers'.
            match measure(suite, named, number, options.seed) {
                Ok(figures) => found.push(figures),
                Err(EvaluateError::TooLittle { .. }) => {}
                Err(error) => return Err(error),
            }
            progress(Step::Done);
        }
        measured.push((suite, found));
    }
    measured.retain(|(_, found)| !found.is_empty());
    if measured.is_empty() {
        return Ok(None);
    }
    Ok(Some(Section {
        id: "beside",
        title: "Beside the papers' tables",
        shows: "The papers' figures, taken their way of images like theirs: in 8 bits (deeper ones from their darkest to their \
            brightest value), with 256 pairs for a correlation, and NPCR and UACI between plain and encrypted image where the \
            chaotic paper does so. What even pixels would give stands beside each."
            .to_owned(),
        shows_not: "A contest. The images are others, and MSE, PSNR and UACI against the plain image say how bright that is: the \
            suite with the higher MSE is not the stronger one. With 256 pairs unrelated pixels show up to 0.12 by chance; the \
            paper's vertical ones, up to 0.29, are beyond it."
            .to_owned(),
        blocks: vec![
            Block::Table(likeness_table(&measured)),
            Block::Table(correlation_table(&measured)),
            Block::Table(chaotic_table(&measured)),
        ],
    }))
}

type Measured<'a, 'b> = Vec<(&'a Suite<'b>, Vec<Beside>)>;

fn average(found: &[&Beside], of: impl Fn(&Beside) -> f64) -> f64 {
    mean(&found.iter().map(|figures| of(figures)).collect::<Vec<_>>())
}

/// Calls `put` for each group that has images and each suite of the DeepKeyGen paper's method, then `publish`.
fn by_group<'a>(
    measured: &'a Measured<'_, '_>,
    table: &mut Table,
    put: impl Fn(&mut Table, String, &[&'a Beside]),
    publish: impl Fn(&mut Table, usize),
) {
    for (group, (name, _)) in GROUPS.iter().enumerate() {
        for (suite, found) in measured.iter().filter(|(suite, _)| suite.name.starts_with("deepkeygen")) {
            let found: Vec<&Beside> = found.iter().filter(|figures| figures.group == group).collect();
            if !found.is_empty() {
                put(table, format!("{name}, {} images: {}", found.len(), suite.name), &found);
            }
        }
        if group < paper::DATA_SETS.len() {
            publish(table, group);
        }
    }
}

/// Tables V to X.
fn likeness_table(measured: &Measured<'_, '_>) -> Table {
    let mut table = Table::new(
        "tables-v-to-x",
        "Entropy and likeness by modality (tables V to X), means",
        &[
            "Images",
            "entropy: plain",
            "entropy: encrypted",
            "entropy: even pixels",
            "MSE: encrypted",
            "MSE: even pixels",
            "PSNR, dB",
            "SSIM",
        ],
    );
    let put = |table: &mut Table, name: String, found: &[&Beside]| {
        let cells = vec![
            Cell::Number(average(found, |f| f.plain_entropy), 4),
            Cell::Number(average(found, |f| f.cipher_entropy), 4),
            Cell::Number(average(found, |f| f.even), 4),
            Cell::Number(average(found, |f| f.likeness.mse), 1),
            Cell::Number(average(found, |f| f.ideal_mse), 1),
            Cell::Number(average(found, |f| f.likeness.psnr), 2),
            Cell::Number(average(found, |f| f.likeness.ssim), 4),
        ];
        table.row(Kind::Measured, name, cells);
    };
    let publish = |table: &mut Table, group: usize| {
        let set = &paper::DATA_SETS[group];
        let name = format!("{}: DeepKeyGen, tables {} and {}", set.modality, set.tables[0], set.tables[1]);
        let cells = vec![
            Cell::Number(mean(&set.plain_entropy), 4),
            Cell::Number(mean(&set.cipher_entropy), 4),
            Cell::Empty,
            Cell::Number(mean(&set.mse), 2),
            Cell::Empty,
            Cell::Empty,
            Cell::Number(mean(&set.ssim), 4),
        ];
        table.row(Kind::Published, name, cells);
    };
    by_group(measured, &mut table, put, publish);
    let mut ideal = vec![Cell::Empty, Cell::Text("as the next column".to_owned()), Cell::Empty];
    ideal.extend([Cell::Text("as the next column".to_owned()), Cell::Empty]);
    ideal.extend([Cell::Text("depends on the image".to_owned()), Cell::Number(0.0, 0)]);
    table.row(Kind::Ideal, "Even pixels", ideal);
    table
}

/// Tables XI to XIII.
fn correlation_table(measured: &Measured<'_, '_>) -> Table {
    let mut table = Table::new(
        "tables-xi-to-xiii",
        "Correlation of neighbours by modality (tables XI to XIII), mean sizes: horizontal, vertical, diagonal",
        &[
            "Images",
            "plain, 256 pairs",
            "",
            "",
            "encrypted, 256 pairs",
            "",
            "",
            "encrypted, all pairs",
            "",
            "",
        ],
    );
    for (column, heading) in table.columns.iter_mut().skip(1).enumerate() {
        let direction = ["horizontal", "vertical", "diagonal"][column % 3];
        let of = ["plain, 256 pairs", "encrypted, 256 pairs", "encrypted, all pairs"][column / 3];
        *heading = format!("{of}: {direction}");
    }
    let put = |table: &mut Table, name: String, found: &[&Beside]| {
        let sizes = |of: fn(&Beside) -> &[f64; 3]| {
            [0, 1, 2].map(|at| Cell::Number(average(found, |figures| of(figures)[at].abs()), 4))
        };
        let cells = [sizes(|f| &f.plain_sampled), sizes(|f| &f.cipher_sampled), sizes(|f| &f.cipher_all)];
        table.row(Kind::Measured, name, cells.concat());
    };
    let publish = |table: &mut Table, group: usize| {
        let set = &paper::DATA_SETS[group];
        let of = |rows: &[[f64; 4]; 3]| rows.iter().map(|row| Cell::Number(mean(row), 4)).collect::<Vec<_>>();
        let mut cells = [of(&set.plain_correlation), of(&set.cipher_correlation)].concat();
        cells.extend([Cell::Empty, Cell::Empty, Cell::Empty]);
        table.row(Kind::Published, format!("{}: DeepKeyGen, table {}", set.modality, set.tables[2]), cells);
    };
    by_group(measured, &mut table, put, publish);
    let chance = |pairs: usize| format!("below {:.4}", 1.96 / (pairs as f64).sqrt());
    let pixels =
        measured.iter().flat_map(|(_, found)| found).map(|figures| figures.pixels).min().unwrap_or(1);
    let mut ideal = vec![Cell::Empty; 3];
    ideal.extend(vec![Cell::Text(chance(PAPER_PAIRS)); 3]);
    ideal.extend(vec![Cell::Text(chance(pixels)); 3]);
    table.row(Kind::Ideal, "Even pixels, 95 of 100 images", ideal);
    table
}

/// Lowest and highest.
fn range(found: &[Beside], of: impl Fn(&Beside) -> f64, digits: usize) -> Cell {
    let values = || found.iter().map(&of);
    let (low, high) = (values().fold(f64::INFINITY, f64::min), values().fold(f64::NEG_INFINITY, f64::max));
    let [low, high] = [low, high].map(|value| Cell::Number(value, digits).text());
    Cell::Text(if low == high { low } else { format!("{low} to {high}") })
}

/// The chaotic paper's security analysis, lowest and highest over the images.
fn chaotic_table(measured: &Measured<'_, '_>) -> Table {
    let mut table = Table::new(
        "chaotic",
        "The chaotic paper's security analysis: lowest and highest over the images",
        &[
            "Suite",
            "NPCR, plain to encrypted, %",
            "UACI, plain to encrypted, %",
            "correlation, all pairs, three directions",
            "entropy",
            "MSE, encrypted",
            "PSNR, encrypted, dB",
            "MSE, decrypted",
            "PSNR, decrypted, dB",
        ],
    );
    for (suite, found) in measured {
        let lowest = |f: &Beside| f.cipher_all.into_iter().fold(f64::INFINITY, f64::min);
        let highest = |f: &Beside| f.cipher_all.into_iter().fold(f64::NEG_INFINITY, f64::max);
        let low = found.iter().map(lowest).fold(f64::INFINITY, f64::min);
        let high = found.iter().map(highest).fold(f64::NEG_INFINITY, f64::max);
        let exact = found.iter().all(|f| f.back.is_some_and(|back| back.mse == 0.0));
        let back = |exactly: &str| Cell::Check(exact, if exact { exactly } else { "it differs" }.to_owned());
        let cells = vec![
            range(found, |f| 100.0 * f.change.npcr, 2),
            range(found, |f| 100.0 * f.change.uaci, 2),
            Cell::Text(format!("{low:.4} to {high:.4}")),
            range(found, |f| f.cipher_entropy, 4),
            range(found, |f| f.likeness.mse, 0),
            range(found, |f| f.likeness.psnr, 2),
            back("0"),
            back("\u{221e}"),
        ];
        table.row(Kind::Measured, &suite.name, cells);
    }
    let pair =
        |[low, high]: [f64; 2], digits: usize| Cell::Text(format!("{low:.digits$} to {high:.digits$}"));
    let cells = vec![
        Cell::Number(chaotic::NPCR, 2),
        Cell::Text(format!("up to {}", chaotic::UACI_MAX)),
        pair(chaotic::CORRELATION, 4),
        pair(chaotic::ENTROPY, 4),
        pair(chaotic::MSE, 0),
        pair(chaotic::PSNR, 2),
        Cell::Number(0.0, 0),
        Cell::Number(f64::INFINITY, 0),
    ];
    table.row(Kind::Published, "Chaotic paper, lowest and highest of its samples", cells);
    let first = &measured[0].1;
    let critical = critical_values(8, first[0].pixels, 0.05);
    let cells = vec![
        Cell::Number(100.0 * critical.npcr_mean, 2),
        Cell::Text("depends on the image".to_owned()),
        Cell::Text(format!("within {:.4}", 1.96 / (first[0].pixels as f64).sqrt())),
        range(first, |f| f.even, 4),
        range(first, |f| f.ideal_mse, 0),
        Cell::Text("depends on the image".to_owned()),
        Cell::Number(0.0, 0),
        Cell::Number(f64::INFINITY, 0),
    ];
    table.row(Kind::Ideal, "Even pixels over these images", cells);
    table
}
