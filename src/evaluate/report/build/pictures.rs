//! Figures 5, 7, 12 and 13 of the DeepKeyGen paper: keys, an image on its way and back, and what a weak transformation
//! domain does.

use super::beside::first_of_each;
use super::one_pixel::seed_image;
use super::phantom::{in_colour, phantom};
use super::{Inputs, Named, Options};
use crate::evaluate::EvaluateError;
use crate::evaluate::image::{Raster, entropy, of_bytes};
use crate::evaluate::report::{Block, Cell, Figure, Kind, Section, Table, picture, svg};
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

/// The histogram of all bytes of a picture.
fn histogram(caption: &str, bytes: &[u8]) -> Figure {
    Figure { markup: svg::histogram(&of_bytes(bytes).counts, caption), caption: caption.to_owned() }
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
        shows: "Keys as pictures (figure 5), images encrypted by XOR with a key and decrypted again (figure 12) with their \
            histograms (figure 7), and what is left of an image when keys look like a transformation domain of low entropy \
            (figure 13): its outline. The keys of figure 5 in the paper are of four trainings alike; here they are of the \
            generators that were given."
            .to_owned(),
        shows_not: "Anything about security. The eye is the weakest of all tests: the picture beside the outline, which looks like \
            noise, would look the same if everybody knew the key. A drawn chest stands here for the images, of which there are \
            histograms alone: whoever has the seed and the generator has the keys, and opens what is encrypted on this page. \
            --clear-pictures shows the images. In figure 13 the domains themselves are the keys: what a generator would give \
            that had learnt its domain perfectly."
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

/// Figures 7 and 12: a drawn chest on its way and back, and the images, one of each kind.
fn ways_and_back(model: &Trained, images: &[Named], options: Options) -> Result<Vec<Block>, EvaluateError> {
    let seed = seed_of(options.seed);
    let key = |number| model.key_of_seed(&seed.child(number), Ending::Fold);
    let drawn = in_colour(&phantom(SIDE, 1)).to_bytes();
    let mut blocks = vec![Block::Figures {
        caption: "A drawn chest, as a line of figures 7 and 12".to_owned(),
        figures: way_and_back(&drawn, &key(0))?,
    }];
    for (number, (kind, named)) in (1..).zip(first_of_each(images)) {
        let (plain, key) = (seed_image(&named.image), key(number));
        let (figures, of) = if options.clear_pictures {
            (way_and_back(&plain, &key)?, "figures 7 and 12")
        } else {
            let cipher = xor(&plain, &key);
            (vec![histogram("plain", &plain), histogram("encrypted", &cipher)], "figure 7")
        };
        blocks.push(Block::Figures {
            caption: format!("{kind}, {}, in 8 bits, as a line of {of}", named.name),
            figures,
        });
    }
    Ok(blocks)
}

/// The image, its histogram, the key, the image encrypted, the histogram of that, and what comes back.
fn way_and_back(plain: &[u8], key: &[u8]) -> Result<Vec<Figure>, EvaluateError> {
    let cipher = xor(plain, key);
    Ok(vec![
        figure("plain", &key_picture(plain)?),
        histogram("histogram of the plain image", plain),
        figure("key", &key_picture(key)?),
        figure("encrypted", &key_picture(&cipher)?),
        histogram("histogram of the encrypted image", &cipher),
        figure("decrypted", &key_picture(&xor(&cipher, key))?),
    ])
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
    fn an_image_comes_back_and_is_shown_with_both_histograms() {
        let plain = in_colour(&phantom(SIDE, 1)).to_bytes();
        let key: Vec<u8> = plain.iter().map(|value| value.wrapping_mul(7)).collect();
        let figures = way_and_back(&plain, &key).unwrap();
        assert_eq!(figures.iter().filter(|figure| figure.markup.starts_with("<svg")).count(), 2);
        let picture = |at: usize| figures[at].markup.split_once("src=").unwrap().1.to_owned();
        assert_eq!(picture(0), picture(5));
        assert_ne!(picture(0), picture(3));
        assert_ne!(figures[1].markup, figures[4].markup);
    }

    #[test]
    fn given_images_are_shown_only_where_they_may_be() {
        use crate::keygen::{Kind as Network, Model};
        let model = Trained::new("lite", &Model::drawn(Network::Lite, 1).unwrap()).unwrap();
        let named = |number, modality: &str| Named {
            name: "image".to_owned(),
            modality: Some(modality.to_owned()),
            image: phantom(40, number),
        };
        let images = [named(1, "MR"), named(2, "US"), named(3, "MR"), named(4, "CT")];
        for (clear_pictures, shown) in [(false, 2), (true, 6)] {
            let options = Options { seed: 1, sequences: 1, bits: 8, clear_pictures };
            let blocks = ways_and_back(&model, &images, options).unwrap();
            let figures: Vec<(&str, &[Figure])> = blocks
                .iter()
                .map(|block| match block {
                    Block::Figures { caption, figures } => (&caption[..], &figures[..]),
                    Block::Table(_) | Block::Folded(_) => panic!("figures alone"),
                })
                .collect();
            let starts: Vec<&str> =
                figures.iter().map(|(caption, _)| caption.split(',').next().unwrap()).collect();
            assert_eq!(starts, ["A drawn chest", "ultrasound", "MR"], "one of each kind that the paper has");
            assert_eq!(figures[0].1.len(), 6);
            for (caption, figures) in &figures[1..] {
                assert_eq!(figures.len(), shown, "{caption}");
                let pictures = figures.iter().filter(|figure| figure.markup.contains("<img")).count();
                assert_eq!(pictures > 0, clear_pictures, "{caption}");
            }
        }
    }

    #[test]
    fn planes_hold_a_channel_each() {
        assert_eq!(in_planes(&[1, 2, 3, 4, 5, 6]), [1, 4, 2, 5, 3, 6]);
    }
}
