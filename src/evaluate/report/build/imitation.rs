//! Imitation attacks of DeepKeyGen section IV-D: does the key of one generator open what another's has closed?

use std::sync::Arc;

use super::Options;
use super::phantom::phantom;
use crate::evaluate::EvaluateError;
use crate::evaluate::image::{Raster, difference};
use crate::evaluate::report::{Block, Cell, Figure, Kind, Section, Table, picture, svg};
use crate::evaluate::trained::{Shared, Trained, seed_of};
use crate::keygen::{Ending, SIDE};

/// How many generators stand against each other at most; figure 10 has four.
const MODELS_MAX: usize = 6;
/// The edge of the picture that is encrypted, which takes the first bytes of a key.
const EDGE: usize = 128;

/// The keys that each generator makes of one seed, the same for all: the attacker knows it.
struct Keys {
    ending: Ending,
    keys: Vec<Vec<u8>>,
}

/// For every pair of keys the share of samples that the second brings back from what the first has encrypted.
pub(in crate::evaluate) fn mutual_decryption(
    plain: &Raster,
    streams: &[Vec<u8>],
) -> Result<Vec<Vec<f64>>, EvaluateError> {
    let opened = |locked: &[u8], opening: &[u8]| -> Result<f64, EvaluateError> {
        Ok(1.0 - difference(plain, &decrypted(plain, locked, opening)?)?.npcr)
    };
    streams.iter().map(|locked| streams.iter().map(|opening| opened(locked, opening)).collect()).collect()
}

/// What comes back when one key has closed an image and another opens it.
fn decrypted(plain: &Raster, locked: &[u8], opening: &[u8]) -> Result<Raster, EvaluateError> {
    let bytes = plain.to_bytes();
    let found: Vec<u8> = bytes.iter().zip(locked).zip(opening).map(|((b, l), o)| b ^ l ^ o).collect();
    super::images::raster_of(plain, &found)
}

/// The attacks on the generators that are given; none without any.
pub(super) fn section(models: &[Arc<Trained>], options: Options) -> Result<Option<Section>, EvaluateError> {
    let models = &models[..models.len().min(MODELS_MAX)];
    if models.is_empty() {
        return Ok(None);
    }
    let plain = phantom(EDGE, 0);
    let seed = seed_of(options.seed);
    let ways = [Ending::Fold, Ending::Tanh].map(|ending| Keys {
        ending,
        keys: models.iter().map(|model| model.key_of_seed(&seed, ending)).collect(),
    });
    let mut blocks = vec![Block::Table(attack_table(models, &plain, &ways, options)?)];
    let names: Vec<String> = letters(models.len());
    let legend: Vec<String> = names
        .iter()
        .zip(models)
        .map(|(letter, model)| format!("{letter}: {}, trained {}", model.name(), model.training()))
        .collect();
    let mut figures = Vec::new();
    for way in &ways {
        let matrix = mutual_decryption(&plain, &way.keys)?;
        let caption = format!("share of samples that come back, {}", name_of(way.ending));
        figures.push(Figure { markup: svg::matrix(&matrix, &names, &caption), caption });
        let caption = format!("the same as pictures, {}", name_of(way.ending));
        if let Some(mosaic) = mosaic(&plain, &way.keys)? {
            figures.push(Figure { markup: picture::within(&mosaic, &caption, 1024), caption });
        }
    }
    let caption = format!(
        "Mutual decryption, as figure 10: a key closes (down), another opens (across). {}",
        legend.join("; ")
    );
    blocks.push(Block::Figures { caption, figures });
    let attack = Attack { models, plain: &plain, keys: &ways[0].keys, names: &names };
    blocks.extend(attack.pictures()?);
    Ok(Some(words(blocks)))
}

fn words(blocks: Vec<Block>) -> Section {
    Section {
        id: "imitation",
        title: "Imitation attacks",
        shows: "Whether a generator that an attacker trained gives the key of another: with the transformation domain leaked (another \
            structure), with the structure leaked (another domain), with both. All make their key of the same seed, which the \
            attacker knows; the paper's attackers know it too. As in the paper, no key opens what another has closed. Figures 8 to \
            10 stand below as far as the generators that were given share a domain or a structure; --model adds others."
            .to_owned(),
        shows_not: "Resistance to an attacker. That two trainings give different weights says that training starts at random, and the \
            attacker knows that too; he does not imitate, he copies: the weights are in a file, and with them and the seed \
            everything opens, as the last row shows. That is why a generator is credited with no entropy here."
            .to_owned(),
        blocks,
    }
}

fn name_of(ending: Ending) -> &'static str {
    match ending {
        Ending::Fold => "as used here",
        Ending::Tanh => "as published (tanh)",
    }
}

fn letters(count: usize) -> Vec<String> {
    ('A'..).take(count).map(String::from).collect()
}

/// One row for each kind of leak, and two for what the paper leaves out.
fn attack_table(
    models: &[Arc<Trained>],
    plain: &Raster,
    ways: &[Keys; 2],
    options: Options,
) -> Result<Table, EvaluateError> {
    let mut table = Table::new(
        "imitation",
        "What an attacker's key brings back of an image (figures 8 to 10), in percent of its samples",
        &[
            "The attacker has",
            "pairs of generators",
            "as used here, most",
            "as published, most",
            "does it open?",
        ],
    );
    let matrices = [&ways[0], &ways[1]].map(|way| mutual_decryption(plain, &way.keys));
    let [fold, tanh] = matrices;
    let (fold, tanh) = (fold?, tanh?);
    for shared in [Shared::Domain, Shared::Structure, Shared::Both, Shared::Nothing] {
        let pairs: Vec<(usize, usize)> = (0..models.len())
            .flat_map(|a| (0..models.len()).map(move |b| (a, b)))
            .filter(|(a, b)| a != b && models[*a].shares_with(&models[*b]) == shared)
            .collect();
        if pairs.is_empty() {
            continue;
        }
        let most = |matrix: &[Vec<f64>]| pairs.iter().map(|(a, b)| matrix[*a][*b]).fold(0.0, f64::max);
        let found = [most(&fold), most(&tanh)];
        row(&mut table, shared.name(), &(pairs.len() / 2).to_string(), found, false);
    }
    let share = |locked: &[u8], opening: &[u8]| -> Result<f64, EvaluateError> {
        Ok(1.0 - difference(plain, &decrypted(plain, locked, opening)?)?.npcr)
    };
    let other = seed_of(options.seed ^ 1);
    let guess = |way: &Keys| share(&way.keys[0], &models[0].key_of_seed(&other, way.ending));
    row(&mut table, "the weights, not the seed", "", [guess(&ways[0])?, guess(&ways[1])?], false);
    let seed = seed_of(options.seed);
    let copy = |way: &Keys| share(&way.keys[0], &models[0].key_of_seed(&seed, way.ending));
    row(&mut table, "the weights and the seed", "", [copy(&ways[0])?, copy(&ways[1])?], true);
    let published = vec![
        Cell::Empty,
        Cell::Empty,
        Cell::Text("\"cannot be visually recognized\"".to_owned()),
        Cell::Check(true, "no".to_owned()),
    ];
    table.row(Kind::Published, "DeepKeyGen IV-D: domain, structure, or both", published);
    let chance = || Cell::Number(100.0 / 256.0, 3);
    let ideal = vec![Cell::Empty, chance(), chance(), Cell::Check(true, "no".to_owned())];
    table.row(Kind::Ideal, "A key that has nothing to do with it", ideal);
    Ok(table)
}

/// A quarter of the samples is far beyond chance, and shows any picture.
const OPENS: f64 = 0.25;

fn row(table: &mut Table, name: &str, pairs: &str, found: [f64; 2], expected: bool) {
    let opens = found.iter().any(|share| *share > OPENS);
    let mut cells = vec![Cell::Text(pairs.to_owned())];
    cells.extend(found.map(|share| Cell::Number(100.0 * share, 3)));
    let said = match (opens, expected) {
        (true, true) => "yes, of course",
        (true, false) => "yes",
        (false, _) => "no",
    };
    cells.push(Cell::Check(opens == expected, said.to_owned()));
    table.row(Kind::Measured, name, cells);
}

/// Every pair as a small picture, as figure 10.
fn mosaic(plain: &Raster, keys: &[Vec<u8>]) -> Result<Option<Raster>, EvaluateError> {
    let row = |locked: &Vec<u8>| keys.iter().map(|opening| decrypted(plain, locked, opening)).collect();
    Ok(picture::mosaic(&keys.iter().map(row).collect::<Result<Vec<Vec<Raster>>, _>>()?))
}

/// What the pictures of the attacks are made of.
struct Attack<'a> {
    models: &'a [Arc<Trained>],
    plain: &'a Raster,
    keys: &'a [Vec<u8>],
    names: &'a [String],
}

impl Attack<'_> {
    /// Figures 8 and 9, where there are generators that share so much: the image, what one key makes of it, and what each
    /// key makes of that. Without any such pair the first key and its own decryption stand alone.
    fn pictures(&self) -> Result<Vec<Block>, EvaluateError> {
        let leaks = [
            (Shared::Domain, "The transformation domain leaked, as figure 8"),
            (Shared::Structure, "The structure leaked, as figure 9"),
            (Shared::Both, "Both leaked, as a line of figure 10"),
        ];
        let mut blocks = Vec::new();
        for (shared, caption) in leaks {
            let who = (0..self.models.len()).find(|a| !self.others(*a, shared).is_empty());
            if let Some(a) = who {
                blocks.push(self.leak(caption, a, &self.others(a, shared))?);
            }
        }
        if blocks.is_empty() {
            blocks.push(self.leak("One generator alone", 0, &[])?);
        }
        Ok(blocks)
    }

    /// Those that share just so much with `a`.
    fn others(&self, a: usize, shared: Shared) -> Vec<usize> {
        let alike = |b: &usize| *b != a && self.models[a].shares_with(&self.models[*b]) == shared;
        (0..self.models.len()).filter(alike).collect()
    }

    /// An image under the key of `a`, opened with that key and with those of `others`.
    fn leak(&self, caption: &str, a: usize, others: &[usize]) -> Result<Block, EvaluateError> {
        let (plain, keys) = (self.plain, self.keys);
        let named = |i: usize| format!("{} ({})", self.names[i], self.models[i].name());
        let nothing = vec![0; keys[a].len()];
        let mut shown = vec![
            ("plain".to_owned(), plain.clone()),
            (format!("encrypted with the key of {}", named(a)), decrypted(plain, &keys[a], &nothing)?),
        ];
        for other in std::iter::once(a).chain(others.iter().copied()) {
            let caption = format!("decrypted with the key of {}", named(other));
            shown.push((caption, decrypted(plain, &keys[a], &keys[other])?));
        }
        let figures = shown
            .into_iter()
            .map(|(caption, image)| Figure { markup: picture::within(&image, &caption, SIDE), caption });
        let domains = domains_of(self.models, a, others);
        Ok(Block::Figures {
            caption: format!("{caption}: a drawn chest.{domains}"),
            figures: figures.collect(),
        })
    }
}

/// What each was trained on, where they differ: the paper shows an image of each domain, a record has its recipe.
fn domains_of(models: &[Arc<Trained>], a: usize, others: &[usize]) -> String {
    let domain = |i: usize| models[i].domain().unwrap_or("none, its weights are as they were drawn");
    if others.iter().all(|other| domain(*other) == domain(a)) {
        return String::new();
    }
    let all = std::iter::once(a).chain(others.iter().copied());
    let said: Vec<String> = all.map(|i| format!("{}: {}", models[i].name(), domain(i))).collect();
    format!(" Transformation domains: {}", said.join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evaluate::Seeded;
    use crate::keygen::{Kind as Network, Model};

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

    #[test]
    fn an_imitated_generator_does_not_open_and_a_copied_one_does() {
        let model =
            |seed| Arc::new(Trained::new("lite", &Model::drawn(Network::Lite, seed).unwrap()).unwrap());
        let options = Options { seed: 3, sequences: 1, bits: 8, clear_pictures: false };
        let section = section(&[model(1), model(2)], options).unwrap().unwrap();
        let Block::Table(table) = &section.blocks[0] else { panic!("the attacks come first") };
        let opens = |name: &str| {
            let row = table.rows.iter().find(|row| row.name == name).unwrap();
            let Cell::Number(share, _) = row.cells[1] else { panic!("a share") };
            assert!(matches!(row.cells[3], Cell::Check(true, _)), "as it should be: {name}");
            share
        };
        let captions: Vec<&str> = section
            .blocks
            .iter()
            .filter_map(|block| match block {
                Block::Figures { caption, figures } => Some((caption, figures.len())),
                _ => None,
            })
            .filter_map(|(caption, figures)| {
                (figures == 4 && caption.contains("chest")).then_some(&caption[..])
            })
            .collect();
        assert_eq!(captions.len(), 1, "the two share their structure alone: {captions:?}");
        assert!(captions[0].starts_with("The structure leaked, as figure 9"), "{captions:?}");
        assert!(opens("structure") < 1.0);
        assert!(opens("the weights, not the seed") < 1.0);
        assert!((opens("the weights and the seed") - 100.0).abs() < 1e-9);
    }

    #[test]
    fn generators_trained_alike_do_not_open_what_the_other_closes() {
        let trained = ["lite-b", "lite-c"].map(|name| {
            let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/evaluate/alike");
            let model = Model::load(&folder.join(format!("{name}.sgg"))).unwrap();
            Arc::new(Trained::new(name, &model).unwrap())
        });
        assert_eq!(trained[0].shares_with(&trained[1]), Shared::Both);
        let seed = seed_of(3);
        for ending in [Ending::Fold, Ending::Tanh] {
            let keys = trained.each_ref().map(|model| model.key_of_seed(&seed, ending));
            let matrix = mutual_decryption(&phantom(EDGE, 0), &keys).unwrap();
            assert!((matrix[0][0] - 1.0).abs() < 1e-12 && (matrix[1][1] - 1.0).abs() < 1e-12, "{matrix:?}");
            assert!(matrix[0][1] < 0.05 && matrix[1][0] < 0.05, "{ending:?}: {matrix:?}");
        }
    }
}
