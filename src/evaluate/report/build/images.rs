//! The figures of images as they are stored, encrypted: entropy, likeness, correlation, sensitivity and damage.

use std::time::Instant;

use super::drawings;
use super::{Named, Options, Role, Step, Suite};
use crate::evaluate::EvaluateError;
use crate::evaluate::finding::{Finding, Trial, of_trial};
use crate::evaluate::image::{
    Correlation, Difference, Direction, LocalEntropy, Noise, PUBLISHED_INTERVAL, Raster, Similarity,
    correlation, critical_values, crop, difference, disturb, entropy, entropy_expected, local_entropy,
    of_bytes, similarity,
};
use crate::evaluate::papers::{chaotic, deep_key_gen as paper, mean};
use crate::evaluate::report::{Block, Cell, Kind, Section, Table};

/// All figures of one suite.
pub(super) struct Figures {
    pub(super) findings: Vec<Finding>,
    images: Vec<OfImage>,
    /// The first image, encrypted.
    pub(super) cipher: Raster,
    /// What is shown encrypted: the first image, or a drawn chest.
    pub(super) shown: Raster,
    other_key: Difference,
    one_pixel: Difference,
    wrong_key: Result<Difference, String>,
    damage: Vec<(&'static str, Result<Similarity, String>)>,
}

/// One image under one suite.
struct OfImage {
    plain_entropy: f64,
    cipher_entropy: f64,
    expected: f64,
    evenness: f64,
    local: Option<LocalEntropy>,
    similarity: Option<Similarity>,
    /// For each direction: plain and encrypted.
    correlations: [[Option<Correlation>; 2]; 3],
    seconds: f64,
}

/// What a suite made of an image.
pub(super) struct Encrypted {
    /// All that came out.
    pub(super) locked: Vec<u8>,
    /// As much of it as an image of the same shape holds.
    pub(super) image: Raster,
    /// How long it took.
    pub(super) seconds: f64,
}

/// Encrypts an image; it has to succeed for there to be anything to measure.
pub(super) fn encrypt(suite: &Suite<'_>, plain: &Raster, key: u64) -> Result<Encrypted, EvaluateError> {
    let bytes = plain.to_bytes();
    let start = Instant::now();
    let locked = encrypted(suite, &bytes, key)?;
    let seconds = start.elapsed().as_secs_f64();
    Ok(Encrypted { image: raster_of(plain, &locked)?, locked, seconds })
}

/// Bytes as an image of the same shape, in whole bytes a sample.
pub(super) fn raster_of(plain: &Raster, bytes: &[u8]) -> Result<Raster, EvaluateError> {
    let (width, height, channels) = (plain.width(), plain.height(), plain.channels());
    let length = plain.to_bytes().len().min(bytes.len());
    if plain.bits() <= 8 {
        Raster::from_bytes(width, height, channels, &bytes[..length])
    } else {
        Raster::from_words(width, height, channels, &bytes[..length])
    }
}

/// An encryption that has to succeed for there to be anything to measure.
fn encrypted(suite: &Suite<'_>, bytes: &[u8], key: u64) -> Result<Vec<u8>, EvaluateError> {
    (suite.encrypt)(bytes, key).map_err(|reason| EvaluateError::Parameter {
        parameter: "the suite",
        found: format!("{}: {reason}", suite.name),
        allowed: "able to encrypt the image",
    })
}

/// Encrypts every image with a key of its own, and takes every measure.
pub(super) fn measure(
    suite: &Suite<'_>,
    images: &[Named],
    options: Options,
    progress: &(dyn Fn(Step) + Sync),
) -> Result<Figures, EvaluateError> {
    let mut found = Vec::with_capacity(images.len());
    for (number, named) in (0_u64..).zip(images) {
        found.push(of_image(suite, &named.image, number, options)?);
        progress(Step::Done);
    }
    let plain = raster_of(&images[0].image, &images[0].image.to_bytes())?;
    let bytes = plain.to_bytes();
    let length = bytes.len();
    let locked = encrypted(suite, &bytes, 0)?;
    let cipher = raster_of(&plain, &locked)?;
    let fresh = images.len() as u64;
    let other_key = raster_of(&plain, &encrypted(suite, &bytes, fresh)?)?;
    // A second image of the same shape: the first, turned round.
    let turned = plain.with_samples(plain.samples().iter().rev().copied().collect())?;
    let other_cipher = raster_of(&plain, &encrypted(suite, &turned.to_bytes(), fresh + 1)?)?;
    let mut changed = bytes.clone();
    changed[length / 2] ^= 1;
    let one_pixel = raster_of(&plain, &encrypted(suite, &changed, fresh + 2)?)?;
    let decrypted = (suite.decrypt)(&locked, 0).ok().and_then(|bytes| raster_of(&plain, &bytes).ok());
    let opened = |bytes: &[u8], key: u64| -> Result<Raster, String> {
        let mut opened = (suite.decrypt)(bytes, key)?;
        // What is missing is black, as a viewer would show it.
        opened.resize(opened.len().max(length), 0);
        raster_of(&plain, &opened).map_err(|error| error.to_string())
    };
    let findings = of_trial(&Trial {
        plain: &plain,
        cipher: &cipher,
        other_key: &other_key,
        other_plain: &turned,
        other_cipher: &other_cipher,
        decrypted: decrypted.as_ref().unwrap_or(&cipher),
    });
    let damage = damaged(&locked, &cipher, options)?
        .into_iter()
        .map(|(name, bytes)| {
            let outcome =
                opened(&bytes, 0).and_then(|image| similarity(&plain, &image).map_err(|e| e.to_string()));
            (name, outcome)
        })
        .collect();
    let wrong_key =
        opened(&locked, fresh).and_then(|image| difference(&plain, &image).map_err(|e| e.to_string()));
    Ok(Figures {
        findings,
        images: found,
        shown: if options.clear_pictures { cipher.clone() } else { drawings::drawn_chest(suite, fresh + 3)? },
        cipher: cipher.clone(),
        other_key: difference(&cipher, &other_key)?,
        one_pixel: difference(&cipher, &one_pixel)?,
        wrong_key,
        damage,
    })
}

fn of_image(suite: &Suite<'_>, image: &Raster, key: u64, options: Options) -> Result<OfImage, EvaluateError> {
    let bytes = image.to_bytes();
    let plain = raster_of(image, &bytes)?;
    let Encrypted { image: cipher, seconds, .. } = encrypt(suite, &plain, key)?;
    let histogram = of_bytes(&cipher.to_bytes());
    let correlations = Direction::ALL
        .map(|direction| [correlation(&plain, direction).ok(), correlation(&cipher, direction).ok()]);
    Ok(OfImage {
        plain_entropy: entropy(&of_bytes(&bytes).counts),
        cipher_entropy: entropy(&histogram.counts),
        expected: entropy_expected(256, bytes.len()),
        evenness: histogram.p_value,
        local: local_entropy(&cipher, 0.001, options.seed).ok(),
        similarity: similarity(&plain, &cipher).ok(),
        correlations,
        seconds,
    })
}

/// The ciphertext with noise, and with a quarter cut out; what follows the image in the stream stays as it is.
fn damaged(
    locked: &[u8],
    cipher: &Raster,
    options: Options,
) -> Result<Vec<(&'static str, Vec<u8>)>, EvaluateError> {
    let (width, height) = (cipher.width(), cipher.height());
    let whole = |image: Raster| {
        let mut bytes = image.to_bytes();
        bytes.extend_from_slice(&locked[bytes.len().min(locked.len())..]);
        bytes
    };
    let mut one_bit = locked.to_vec();
    one_bit[locked.len() / 2] ^= 1;
    Ok(vec![
        ("one bit", one_bit),
        ("1 % salt and pepper", whole(disturb(cipher, Noise::SaltAndPepper(0.01), options.seed)?)),
        (
            "a quarter cut out",
            whole(crop(cipher, width / 4, height / 4, width.div_ceil(2), height.div_ceil(2))?),
        ),
        ("cut short by a half", locked[..locked.len() / 2].to_vec()),
    ])
}

/// Entropy, similarity, correlation, histograms and scatter plots.
pub(super) fn section(
    suites: &[Suite<'_>],
    trials: &[Figures],
    images: &[Named],
    options: Options,
) -> Section {
    let mut blocks = vec![
        Block::Table(entropy_table(suites, trials)),
        Block::Table(similarity_table(suites, trials)),
        Block::Table(correlation_table(suites, trials)),
    ];
    for (suite, trial) in suites.iter().zip(trials) {
        blocks.push(Block::Folded(images_table(suite, trial, images)));
    }
    blocks.extend(drawings::blocks(suites, trials, images, options));
    Section {
        id: "images",
        title: "Encrypted images",
        shows: "Whether the pixels that a PACS would hold still look like the image: how even their bytes are, how like the original, \
            how like each other. An even ciphertext shows the entropy in the last row for its size, not 8."
            .to_owned(),
        shows_not: "Whether the cipher is strong. XOR with a Mersenne Twister does as well here as AES. MSE and PSNR against the plain \
            image say how bright that image is."
            .to_owned(),
        blocks,
    }
}

fn average(trial: &Figures, of: impl Fn(&OfImage) -> Option<f64>) -> Option<f64> {
    let found: Vec<f64> = trial.images.iter().filter_map(of).collect();
    (!found.is_empty()).then(|| mean(&found))
}

fn entropy_table(suites: &[Suite<'_>], trials: &[Figures]) -> Table {
    let mut table = Table::new(
        "cipher-entropy",
        "Information entropy of images as they are stored, in bits a byte (table XX), means over the images",
        &["Suite", "plain", "encrypted", "even source of this size", "local entropy", "least even, P"],
    );
    for (suite, trial) in suites.iter().zip(trials) {
        let least = trial.images.iter().map(|image| image.evenness).fold(1.0, f64::min);
        let out = trial.images.iter().filter_map(|i| i.local).filter(|local| !local.holds()).count();
        let local = average(trial, |image| Some(image.local?.mean));
        table.row(
            Kind::Measured,
            &suite.name,
            vec![
                Cell::maybe(average(trial, |image| Some(image.plain_entropy)), 4),
                Cell::maybe(average(trial, |image| Some(image.cipher_entropy)), 4),
                Cell::maybe(average(trial, |image| Some(image.expected)), 4),
                local.map_or(Cell::Empty, |local| Cell::Check(out == 0, format!("{local:.4}"))),
                Cell::Check(least > 1e-9, Cell::Number(least, 4).text()),
            ],
        );
    }
    let mut published = |name: String, cipher: f64| {
        let cells = vec![Cell::Empty, Cell::Number(cipher, 4), Cell::Empty, Cell::Empty, Cell::Empty];
        table.row(Kind::Published, name, cells);
    };
    for method in &paper::METHODS {
        published(format!("{}, table XX", method.name), method.cipher_entropy);
    }
    let [low, high] = PUBLISHED_INTERVAL;
    table.row(
        Kind::Ideal,
        "Random pixels",
        vec![
            Cell::Empty,
            Cell::Text("as in the next column".to_owned()),
            Cell::Empty,
            Cell::Text(format!("7.9025; Wu et al. print {low:.4} to {high:.4}")),
            Cell::Text("0 to 1, all alike".to_owned()),
        ],
    );
    table
}

fn similarity_table(suites: &[Suite<'_>], trials: &[Figures]) -> Table {
    let mut table = Table::new(
        "similarity",
        "Likeness of plain and encrypted image as stored, means over the images; an MSE of 16 bits is up to 65,536 times one of 8",
        &["Suite", "MSE", "PSNR, dB", "SSIM"],
    );
    for (suite, trial) in suites.iter().zip(trials) {
        table.row(
            Kind::Measured,
            &suite.name,
            vec![
                Cell::maybe(average(trial, |image| Some(image.similarity?.mse)), 2),
                Cell::maybe(average(trial, |image| Some(image.similarity?.psnr)), 2),
                Cell::maybe(average(trial, |image| Some(image.similarity?.ssim)), 4),
            ],
        );
    }
    let depends = || Cell::Text("depends on the image alone".to_owned());
    table.row(Kind::Ideal, "Random pixels", vec![depends(), depends(), Cell::Text("near 0".to_owned())]);
    table
}

fn correlation_table(suites: &[Suite<'_>], trials: &[Figures]) -> Table {
    let mut table = Table::new(
        "correlation",
        "Correlation of neighbours, all pairs: the mean size over the images, as stored",
        &[
            "Suite",
            "plain: horizontal",
            "vertical",
            "diagonal",
            "encrypted: horizontal",
            "vertical",
            "diagonal",
            "chance for all pairs",
        ],
    );
    for (suite, trial) in suites.iter().zip(trials) {
        let size = |at: usize, which: usize| {
            average(trial, |image| Some(image.correlations[at][which]?.coefficient?.abs()))
        };
        let noise = average(trial, |image| Some(image.correlations[0][1]?.noise()));
        let mut cells: Vec<Cell> = (0..3).map(|at| Cell::maybe(size(at, 0), 4)).collect();
        cells.extend((0..3).map(|at| {
            // The mean of sizes stays below what 95 of 100 single ones do, with room for few images.
            let holds = size(at, 1).zip(noise).is_some_and(|(size, noise)| size <= 1.5 * noise);
            size(at, 1).map_or(Cell::Empty, |size| Cell::Check(holds, format!("{size:.4}")))
        }));
        cells.push(Cell::maybe(noise, 4));
        table.row(Kind::Measured, &suite.name, cells);
    }
    table
}

/// Every image under one suite.
fn images_table(suite: &Suite<'_>, trial: &Figures, images: &[Named]) -> Table {
    let mut table = Table::new(
        format!("images: {}", suite.name),
        format!("Every image under {}", suite.name),
        &[
            "Image",
            "shape",
            "entropy plain",
            "entropy encrypted",
            "even source",
            "evenness, P",
            "local entropy",
            "MSE",
            "PSNR, dB",
            "SSIM",
            "horizontal",
            "vertical",
            "diagonal",
            "ms",
        ],
    );
    for (named, found) in images.iter().zip(&trial.images) {
        let encrypted = |at: usize| found.correlations[at][1].and_then(|correlation| correlation.coefficient);
        table.row(
            Kind::Measured,
            &named.name,
            vec![
                Cell::Text(named.image.shape()),
                Cell::Number(found.plain_entropy, 4),
                Cell::Number(found.cipher_entropy, 4),
                Cell::Number(found.expected, 4),
                Cell::Number(found.evenness, 4),
                found
                    .local
                    .map_or(Cell::Empty, |local| Cell::Check(local.holds(), format!("{:.4}", local.mean))),
                Cell::maybe(found.similarity.map(|s| s.mse), 2),
                Cell::maybe(found.similarity.map(|s| s.psnr), 2),
                Cell::maybe(found.similarity.map(|s| s.ssim), 4),
                Cell::maybe(encrypted(0), 4),
                Cell::maybe(encrypted(1), 4),
                Cell::maybe(encrypted(2), 4),
                Cell::Time(1000.0 * found.seconds, 2),
            ],
        );
    }
    table
}

/// Tables XIV and XV: two keys, one changed pixel, the wrong key.
pub(super) fn difference_section(suites: &[Suite<'_>], trials: &[Figures]) -> Section {
    let mut table = Table::new(
        "differences",
        "Two ciphertexts of one image (table XIV), and its decryption with a wrong key (table XV), in percent",
        &[
            "Suite",
            "other key: NPCR",
            "UACI",
            "one bit of the image changed: NPCR",
            "UACI",
            "wrong key: NPCR",
            "UACI",
        ],
    );
    let cells = |d: &Difference, min: f64| {
        let npcr = Cell::Check(d.npcr >= min, format!("{:.4}", 100.0 * d.npcr));
        [npcr, Cell::Number(100.0 * d.uaci, 4)]
    };
    for (suite, trial) in suites.iter().zip(trials) {
        let image = &trial.cipher;
        let min = critical_values(image.bits(), image.samples().len(), 0.001).npcr_min;
        let mut row: Vec<Cell> =
            cells(&trial.other_key, min).into_iter().chain(cells(&trial.one_pixel, min)).collect();
        match &trial.wrong_key {
            Ok(found) => row.extend(cells(found, min)),
            Err(_) => row.extend([Cell::Check(true, "refused".to_owned()), Cell::Empty]),
        }
        table.row(Kind::Measured, &suite.name, row);
    }
    let pair = |npcr: &[f64], uaci: &[f64]| [Cell::Number(mean(npcr), 2), Cell::Number(mean(uaci), 2)];
    let mut row: Vec<Cell> = pair(&paper::CIPHER_NPCR, &paper::CIPHER_UACI).into();
    row.extend([Cell::Empty, Cell::Empty]);
    row.extend(pair(&paper::PLAIN_NPCR, &paper::PLAIN_UACI));
    table.row(Kind::Published, "DeepKeyGen, tables XIV and XV", row);
    let mut row = vec![Cell::Empty; 4];
    row.extend([Cell::Number(chaotic::NPCR, 2), Cell::Text(format!("up to {}", chaotic::UACI_MAX))]);
    table.row(Kind::Published, "Chaotic paper, plain against encrypted", row);
    let random = critical_values(8, 512 * 512, 0.05);
    let ideal = || [Cell::Number(100.0 * random.npcr_mean, 4), Cell::Number(100.0 * random.uaci_mean, 4)];
    table.row(Kind::Ideal, "Random pixels of 8 bits", [ideal(), ideal(), ideal()].concat());
    Section {
        id: "differences",
        title: "Sensitivity",
        shows: "That another key, and another image, give an unrelated ciphertext: every encryption here takes a fresh key, as the \
            gateway does. Bounds are those of Wu, Noonan and Agaian."
            .to_owned(),
        shows_not: "Diffusion. A stream cipher used twice with one key changes one pixel when one pixel changes, and that is no defect \
            of the stream but of using it twice. Wrong keys are refused by authentication, which no NPCR measures. A UACI of 23 %, \
            as published, is not that of unrelated ciphertexts, which is 33.46 %."
            .to_owned(),
        blocks: vec![Block::Table(table)],
    }
}

/// Robustness: noise and cuts.
pub(super) fn damage_section(suites: &[Suite<'_>], trials: &[Figures]) -> Section {
    let names: Vec<&str> = trials[0].damage.iter().map(|(name, _)| *name).collect();
    let columns: Vec<&str> = ["Suite"].into_iter().chain(names).collect();
    let mut table =
        Table::new("damage", "What comes back from a damaged ciphertext: refused, or so many dB", &columns);
    for (suite, trial) in suites.iter().zip(trials) {
        let ours = suite.role == Role::Ours;
        let cells = trial.damage.iter().map(|(_, outcome)| match outcome {
            Err(_) => Cell::Check(true, "refused".to_owned()),
            // A sealed image that opens after damage would be a false image on a viewer's screen.
            Ok(found) if ours => Cell::Check(false, format!("opened, {:.1} dB", found.psnr)),
            Ok(found) => Cell::Text(format!("opened, {:.1} dB", found.psnr)),
        });
        table.row(Kind::Measured, &suite.name, cells.collect());
    }
    Section {
        id: "damage",
        title: "Damage",
        shows: "What happens to a ciphertext that was altered. The papers count it as strength that an image comes back in part; for \
            an image that a diagnosis rests on, refusal is the right answer."
            .to_owned(),
        shows_not: "That an altered image can be repaired: it cannot. The archive has to keep its bits.".to_owned(),
        blocks: vec![Block::Table(table)],
    }
}
