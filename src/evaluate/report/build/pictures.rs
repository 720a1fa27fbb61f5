//! Figures 5, 12 and 13 of the DeepKeyGen paper: keys, an image on its way and back, and what a weak transformation domain does.

use super::one_pixel::seed_image;
use super::phantom::{in_colour, phantom};
use super::{Inputs, Named, Options};
use crate::evaluate::EvaluateError;
use crate::evaluate::image::{Raster, entropy, of_bytes};
use crate::evaluate::report::{Block, Cell, Figure, Kind, Section, Table, picture};
use crate::evaluate::source::Comparison;
use crate::evaluate::trained::{Trained, seed_of};
use crate::keygen::chaos::{self, System};
use crate::keygen::{Ending, SIDE};

/// Pictures here are shown at this edge: noise cannot be made small by compressing it.
const EDGE: usize = 128;
/// Keys and images that are shown.
const SHOWN: usize = 4;

fn figure(caption: impl Into<String>, image: &Raster) -> Figure {
    let caption = caption.into();
    Figure { markup: picture::within(image, &caption, EDGE), caption }
}

fn key_picture(bytes: &[u8]) -> Result<Raster, EvaluateError> {
    Raster::from_bytes(SIDE, SIDE, 3, bytes)
}

fn xor(a: &[u8], b: &[u8]) -> Vec<u8> {
    a.iter().zip(b).map(|(a, b)| a ^ b).collect()
}

/// The section, if there is a generator to show.
pub(super) fn section(inputs: &Inputs<'_>, options: Options) -> Result<Option<Section>, EvaluateError> {
    let Some(model) = inputs.models.first() else { return Ok(None) };
    let mut blocks = vec![keys(inputs, options)?];
    blocks.extend(ways_and_back(model, inputs.images, options)?);
    let (table, figures) = domains(options)?;
    blocks.extend([Block::Table(table), figures]);
    Ok(Some(Section {
        id: "figures",
        title: "Pictures of keys and domains",
        shows: "Keys as pictures (figure 5), images encrypted by XOR with a key and decrypted again (figure 12), and what is left of \
            an image when keys look like a transformation domain of low entropy (figure 13): its outline."
            .to_owned(),
        shows_not: "Anything about security. The eye is the weakest of all tests: the picture beside the outline, which looks like \
            noise, would look the same if everybody knew the key. Drawn chests stand here for images, so that the page can be \
            shown to anybody; --clear-pictures shows those that were given."
            .to_owned(),
        blocks,
    }))
}

/// Figure 5: one key of each generator, from one seed.
fn keys(inputs: &Inputs<'_>, options: Options) -> Result<Block, EvaluateError> {
    let seed = seed_of(options.seed);
    let mut figures = Vec::new();
    for model in inputs.models.iter().take(SHOWN) {
        for (ending, how) in [(Ending::Fold, "as used here"), (Ending::Tanh, "as published")] {
            let key = key_picture(&model.key_of_seed(&seed, ending))?;
            figures.push(figure(format!("{}, {how}", model.name()), &key));
        }
    }
    Ok(Block::Figures { caption: "Keys of one seed, as figure 5".to_owned(), figures })
}

/// Figure 12: the image, the key, the image encrypted, and what comes back.
fn ways_and_back(model: &Trained, images: &[Named], options: Options) -> Result<Vec<Block>, EvaluateError> {
    let drawn =
        (1..).map(|number| ("a drawn chest".to_owned(), in_colour(&phantom(SIDE, number)).to_bytes()));
    let given = images.iter().map(|named| (named.name.clone(), seed_image(&named.image)));
    let shown: Vec<_> = if options.clear_pictures && !images.is_empty() {
        given.take(SHOWN - 1).collect()
    } else {
        drawn.take(1).collect()
    };
    let mut blocks = Vec::new();
    for (number, (name, plain)) in (0..).zip(shown) {
        let key = model.key_of_seed(&seed_of(options.seed).child(number), Ending::Fold);
        let cipher = xor(&plain, &key);
        let figures =
            [("plain", &plain), ("key", &key), ("encrypted", &cipher), ("decrypted", &xor(&cipher, &key))];
        let figures: Result<_, EvaluateError> =
            figures.into_iter().map(|(caption, bytes)| Ok(figure(caption, &key_picture(bytes)?))).collect();
        blocks.push(Block::Figures { caption: format!("{name}, as figure 12"), figures: figures? });
    }
    Ok(blocks)
}

/// Figure 13: domain A of low entropy, B of high; keys that look exactly like them, and what they make of an image.
fn domains(options: Options) -> Result<(Table, Block), EvaluateError> {
    let plain = in_colour(&phantom(SIDE, 1)).to_bytes();
    let mut low = vec![0; plain.len()];
    Comparison::LowEntropy.open(options.seed).fill(&mut low);
    let mut high = in_planes(&plain);
    chaos::encrypt(System::Logistic, seed_of(options.seed).expose_secret(), &mut high);
    let domains = [("A, low entropy", low, [7.1306, 7.9865]), ("B, high entropy", high, [7.9971, 7.9986])];
    let mut table = Table::new(
        "domains",
        "Transformation domains (figure 13), and an image encrypted with keys that look like them: entropy",
        &[
            "Domain",
            "domain: found",
            "domain: published",
            "image encrypted: found",
            "image encrypted: published",
            "even source of this size",
        ],
    );
    let even = crate::evaluate::image::entropy_expected(256, plain.len());
    let mut figures = Vec::new();
    for (name, domain, [of_domain, of_cipher]) in domains {
        let cipher = xor(&plain, &domain);
        let number = |bytes: &[u8]| Cell::Number(entropy(&of_bytes(bytes).counts), 4);
        let cells = vec![
            number(&domain),
            Cell::Number(of_domain, 4),
            number(&cipher),
            Cell::Number(of_cipher, 4),
            Cell::Number(even, 4),
        ];
        table.row(Kind::Measured, name, cells);
        figures.push(figure(format!("domain {name}"), &key_picture(&domain)?));
        figures.push(figure("an image encrypted with it", &key_picture(&cipher)?));
    }
    Ok((table, Block::Figures { caption: "Transformation domains, as figure 13".to_owned(), figures }))
}

/// Pixels as three planes, as the chaotic encryption of a transformation domain takes them.
fn in_planes(pixels: &[u8]) -> Vec<u8> {
    (0..3).flat_map(|channel| pixels.iter().skip(channel).step_by(3).copied()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_domain_of_low_entropy_leaves_less_of_it_in_the_image() {
        let options = Options { seed: 2, sequences: 1, bits: 8, clear_pictures: false };
        let (table, _) = domains(options).unwrap();
        let entropy = |row: usize, cell: usize| match table.rows[row].cells[cell] {
            Cell::Number(value, _) => value,
            _ => panic!("a number"),
        };
        assert!(entropy(0, 0) < 7.5 && entropy(1, 0) > 7.99, "{} {}", entropy(0, 0), entropy(1, 0));
        assert!(entropy(0, 2) < 7.99 && entropy(1, 2) > 7.998, "{} {}", entropy(0, 2), entropy(1, 2));
    }

    #[test]
    fn planes_hold_a_channel_each() {
        assert_eq!(in_planes(&[1, 2, 3, 4, 5, 6]), [1, 4, 2, 5, 3, 6]);
    }
}
