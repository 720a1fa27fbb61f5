//! Key spaces, as published and as they are.

use super::{Generator, KEY_BYTES};
use crate::evaluate::key_space::{decimal_bits, key_space, timestamp_bits};
use crate::evaluate::papers::chaotic;
use crate::evaluate::report::{Block, Cell, Kind, Section, Table};

pub(super) fn section(generators: &[Generator<'_>]) -> Section {
    let mut table = Table::new(
        "key-space",
        "Key spaces, in bits",
        &["Key", "as the papers count", "what an attacker has to guess", "why"],
    );
    for generator in generators {
        let space = key_space(KEY_BYTES, generator.secret_bits);
        table.row(
            Kind::Measured,
            &generator.name,
            vec![
                Cell::Number(space.nominal_bits, 0),
                Cell::Number(space.effective_bits, 0),
                Cell::Text("a stream holds no more than the state it starts from".to_owned()),
            ],
        );
    }
    let mut published = |name: &str, nominal: f64, effective: Cell, why: &str| {
        table.row(
            Kind::Published,
            name,
            vec![Cell::Number(nominal, 0), effective, Cell::Text(why.to_owned())],
        );
    };
    published(
        "DeepKeyGen: (2^8)^196608",
        key_space(KEY_BYTES, 0.0).nominal_bits,
        Cell::Text("the weights and the seed image, or nothing if they are known".to_owned()),
        "the size of the output is no secret; the number of images it can take is not the number of keys there are",
    );
    published(
        "Chaotic and deep learning, 128 x 128",
        chaotic::KEY_SPACE_BITS,
        Cell::Number(timestamp_bits(10.0), 0),
        "keys come from the date and time of the image; ten years have so many seconds",
    );
    published(
        "Two chaotic parameters of 14 digits",
        decimal_bits(2, 14),
        Cell::Number(decimal_bits(2, 14), 0),
        "if they were drawn at random, and all digits mattered",
    );
    let ours = "32 bytes of the operating system, through HKDF; the generator's output counts for nothing";
    let ours = vec![Cell::Number(256.0, 0), Cell::Number(256.0, 0), Cell::Text(ours.to_owned())];
    table.row(Kind::Ideal, "Content key of a sealed image", ours);
    Section {
        id: "key-space",
        title: "Key space",
        shows: "How many guesses it takes at most: never more than went in.".to_owned(),
        shows_not:
            "That it takes so many. A key space is an upper bound; a weak cipher falls without guessing."
                .to_owned(),
        blocks: vec![Block::Table(table)],
    }
}
