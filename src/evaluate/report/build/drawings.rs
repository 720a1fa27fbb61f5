//! Drawings of encrypted images: histograms, scatter plots of neighbours, and pictures.

use super::images::{Figures, encrypt, raster_of};
use super::phantom::phantom;
use super::{Named, Options, Suite};
use crate::evaluate::EvaluateError;
use crate::evaluate::image::{Direction, Raster, of_bytes, scatter};
use crate::evaluate::report::{Block, Figure, picture, svg};

/// Dots of a scatter plot.
const DOTS: usize = 1_500;
/// The edge of encrypted pictures: noise cannot be made small by compressing it.
const CIPHER_EDGE: usize = 128;
/// Images that are shown in clear.
const SHOWN: usize = 3;

/// A drawn chest, encrypted. The keys of this report follow from its seed, and a weak suite's ciphertext shows the image
/// anyhow: a picture of it would be one of the image.
pub(super) fn drawn_chest(suite: &Suite<'_>, key: u64) -> Result<Raster, EvaluateError> {
    Ok(encrypt(suite, &phantom(CIPHER_EDGE, 0), key)?.image)
}

/// Histograms as figures 7 and 11, scatter plots, pictures as figures 12 and 13.
pub(super) fn blocks(
    suites: &[Suite<'_>],
    trials: &[Figures],
    images: &[Named],
    options: Options,
) -> Vec<Block> {
    let first = &images[0];
    let plain = raster_of(&first.image, &first.image.to_bytes()).unwrap_or_else(|_| first.image.clone());
    let row = |draw: &dyn Fn(&Raster, &str) -> String, plain: &Raster, of: fn(&Figures) -> &Raster| {
        let figure =
            |image: &Raster, label: &str| Figure { markup: draw(image, label), caption: label.to_owned() };
        let encrypted = suites.iter().zip(trials).map(|(suite, trial)| figure(of(trial), &suite.name));
        std::iter::once(figure(plain, "plain")).chain(encrypted).collect()
    };
    let histogram = |image: &Raster, label: &str| svg::histogram(&of_bytes(&image.to_bytes()).counts, label);
    let dots = |image: &Raster, label: &str| {
        let pairs = scatter(image, Direction::Horizontal, DOTS, options.seed).unwrap_or_default();
        // The axes end at the brightest pixel: of 16 bits most images use 12.
        svg::scatter(&pairs, image.samples().iter().copied().max().unwrap_or(0), label)
    };
    let small = |image: &Raster, label: &str| picture::within(image, label, CIPHER_EDGE);
    let drawn = phantom(CIPHER_EDGE, 0);
    let (name, shown) =
        if options.clear_pictures { (&*first.name, &plain) } else { ("A drawn chest", &drawn) };
    let block = |caption, figures| Block::Figures { caption, figures };
    let mut blocks = vec![
        block(
            format!("Histograms of {}, as figures 7 and 11", first.name),
            row(&histogram, &plain, |trial| &trial.cipher),
        ),
        block(
            format!("Neighbours of {}: each dot a pixel and the one to its right", first.name),
            row(&dots, &plain, |trial| &trial.cipher),
        ),
        block(
            format!("{name} as the archive would hold it, as figures 12 and 13"),
            row(&small, shown, |trial| &trial.shown),
        ),
    ];
    if options.clear_pictures {
        let in_clear = images.iter().take(SHOWN).map(|named| Figure {
            caption: named.name.clone(),
            markup: picture::element(&named.image, &named.name),
        });
        blocks.push(block("The images in clear".to_owned(), in_clear.collect()));
    }
    blocks
}
