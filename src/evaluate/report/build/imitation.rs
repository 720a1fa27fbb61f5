//! Imitation attacks of DeepKeyGen section IV-D: does the key of one generator open what another's has closed?

use super::keys::draw;
use super::{Generator, Named, Options, Role};
use crate::evaluate::EvaluateError;
use crate::evaluate::image::{Raster, difference};
use crate::evaluate::report::svg;
use crate::evaluate::report::{Block, Figure, Section};

/// How many keys stand against each other, as in figure 10.
const KEYS: u64 = 4;

/// For every pair of key streams the share of samples that the second brings back from what the first has encrypted.
pub(in crate::evaluate) fn mutual_decryption(
    plain: &Raster,
    streams: &[Vec<u8>],
) -> Result<Vec<Vec<f64>>, EvaluateError> {
    let bytes = plain.to_bytes();
    let opened = |locked: &[u8], opening: &[u8]| -> Result<f64, EvaluateError> {
        let found: Vec<u8> = bytes.iter().zip(locked).zip(opening).map(|((b, l), o)| b ^ l ^ o).collect();
        let image = super::images::raster_of(plain, &found)?;
        Ok(1.0 - difference(plain, &image)?.npcr)
    };
    streams.iter().map(|locked| streams.iter().map(|opening| opened(locked, opening)).collect()).collect()
}

/// The matrix for each generator that is not weak on purpose, over streams of four seeds.
pub(super) fn section(
    generators: &[Generator<'_>],
    first: &Named,
    options: Options,
) -> Result<Option<Section>, EvaluateError> {
    let length = first.image.to_bytes().len();
    let names: Vec<String> = ["A", "B", "C", "D"].map(str::to_owned).to_vec();
    let mut figures = Vec::new();
    for generator in generators.iter().filter(|generator| generator.role != Role::Weak) {
        let streams: Vec<Vec<u8>> = (0..KEYS).map(|i| draw(generator, options.seed + i, length)).collect();
        let matrix = mutual_decryption(&first.image, &streams)?;
        let label = format!("Mutual decryption with {}", generator.name);
        figures
            .push(Figure { caption: generator.name.clone(), markup: svg::matrix(&matrix, &names, &label) });
    }
    if figures.is_empty() {
        return Ok(None);
    }
    Ok(Some(Section {
        id: "imitation",
        title: "Mutual decryption",
        shows: "The share of samples that come back when key A to D (down) closes and key A to D (across) opens, as figure 10: 1 on \
            the diagonal, about 1/256 elsewhere."
            .to_owned(),
        shows_not: "Resistance to imitation. That two trainings give different keys shows that training is random, which an attacker \
            knows too; whoever gets the weights and the seed has the key. Generators trained alike, with leaked structure and \
            leaked transformation domain, are compared only where several trained models are given."
            .to_owned(),
        blocks: vec![Block::Figures { caption: format!("Mutual decryption of {}", first.name), figures }],
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evaluate::Seeded;

    #[test]
    fn only_the_same_stream_opens() {
        let plain = Raster::from_bytes(64, 64, 1, &[77; 4096]).unwrap();
        let stream = |seed| {
            let mut bytes = vec![0; 4096];
            Seeded::new(seed).fill(&mut bytes);
            bytes
        };
        let matrix = mutual_decryption(&plain, &[stream(1), stream(2), stream(1)]).unwrap();
        assert!((matrix[0][0] - 1.0).abs() < 1e-12 && (matrix[0][2] - 1.0).abs() < 1e-12);
        assert!(matrix[0][1] < 0.01 && matrix[1][2] < 0.01);
    }
}
