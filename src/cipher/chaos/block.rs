//! The layer: bytes gathered into blocks of 256 rows and columns, each turned by sequences of its own.

use zeroize::Zeroizing;

use super::orbit::{SIDE, Sequences};
use super::parameters::Parameters;
use crate::cipher::{CipherError, Layer, LayerSeed, Unit, Units};

/// Bytes of a block. The last one of a stream has what is left.
pub(crate) const BLOCK_BYTES: usize = SIDE * SIDE;

/// Whether blocks are sealed or opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Direction {
    Seal,
    Open,
}

/// Permutes and masks one block after the other; holds one.
pub(crate) struct Chaos {
    parameters: Parameters,
    seed: LayerSeed,
    direction: Direction,
    sequences: Sequences,
    /// What came of the block in hand; it never grows beyond its capacity.
    held: Zeroizing<Vec<u8>>,
    /// The block as it goes out.
    turned: Zeroizing<Vec<u8>>,
    /// The number of the next block; it only ever grows.
    next: u64,
}

impl Chaos {
    pub(crate) fn new(parameters: Parameters, seed: &LayerSeed, direction: Direction) -> Self {
        Self {
            parameters,
            seed: seed.clone(),
            direction,
            sequences: Sequences::new(),
            held: Zeroizing::new(Vec::with_capacity(BLOCK_BYTES)),
            turned: Zeroizing::new(vec![0; BLOCK_BYTES]),
            next: 0,
        }
    }

    /// Turns what is held.
    fn turn(&mut self, out: &mut Vec<u8>) {
        let Self { parameters, seed, sequences, held, turned, .. } = self;
        let start = parameters.block(seed, self.next);
        // A stream of 2^64 blocks would be longer than anything there is.
        self.next = self.next.saturating_add(1);
        sequences.draw(parameters.map(), &start, held.len().div_ceil(4));
        let turned = turned.get_mut(..held.len()).unwrap_or_default();
        match self.direction {
            Direction::Seal => {
                permute(sequences, held.len(), |to, from| copy(turned, to, held, from));
                mask(sequences, turned);
            }
            Direction::Open => {
                mask(sequences, held);
                permute(sequences, held.len(), |to, from| copy(turned, from, held, to));
            }
        }
        out.extend_from_slice(turned);
        held.clear();
    }
}

impl Layer for Chaos {
    fn push(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> Result<(), CipherError> {
        let mut left = bytes;
        while !left.is_empty() {
            let room = BLOCK_BYTES.saturating_sub(self.held.len());
            let (now, later) = left.split_at_checked(room).unwrap_or((left, &[]));
            self.held.extend_from_slice(now);
            left = later;
            if self.held.len() == BLOCK_BYTES {
                self.turn(out);
            }
        }
        Ok(())
    }

    fn finish(&mut self, out: &mut Vec<u8>) -> Result<(), CipherError> {
        if !self.held.is_empty() {
            self.turn(out);
        }
        Ok(())
    }
}

impl Units for Chaos {
    fn open(&mut self, number: u64, _: &[u8], unit: Unit<'_>, out: &mut Vec<u8>) -> Result<(), CipherError> {
        self.held.clear();
        self.next = number;
        self.push(unit.bytes(), out)?;
        self.finish(out)
    }
}

/// The places 0 to 255 in the order of their words; equal ones by place.
fn order(words: &[u32; SIDE]) -> [u8; SIDE] {
    let mut keyed = [0_u64; SIDE];
    for ((key, word), place) in keyed.iter_mut().zip(words).zip(0_u64..) {
        *key = u64::from(*word) << 8 | place;
    }
    keyed.sort_unstable();
    keyed.map(|key| key.to_be_bytes()[7])
}

/// Calls `place(to, from)` for each row of a block of `length` bytes with its columns: rows that are whole change places,
/// the last one, if it is not whole, stays; the columns that a row has change places within it.
fn permute(sequences: &Sequences, length: usize, mut place: impl FnMut(Row<'_>, Row<'_>)) {
    let (columns, rows) = (order(&sequences.x), order(&sequences.y));
    let (whole, rest) = (length / SIDE, length % SIDE);
    let straight: [u8; SIDE] = std::array::from_fn(|at| u8::try_from(at).unwrap_or(u8::MAX));
    let from = rows.into_iter().map(usize::from).filter(|row| *row < whole);
    for (to, from) in from.enumerate() {
        place(Row { row: to, columns: &straight }, Row { row: from, columns: &columns });
    }
    let kept: Vec<u8> = columns.into_iter().filter(|column| usize::from(*column) < rest).collect();
    let straight = straight.get(..rest).unwrap_or_default();
    place(Row { row: whole, columns: straight }, Row { row: whole, columns: &kept });
}

/// Places of one row.
#[derive(Clone, Copy)]
struct Row<'a> {
    row: usize,
    columns: &'a [u8],
}

/// Copies each place of `from` to its place in `to`.
fn copy(out: &mut [u8], to: Row<'_>, input: &[u8], from: Row<'_>) {
    let start = |row: Row<'_>| row.row.saturating_mul(SIDE);
    let out = out.get_mut(start(to)..).unwrap_or_default();
    let input = input.get(start(from)..).unwrap_or_default();
    for (to, from) in to.columns.iter().zip(from.columns) {
        if let (Some(out), Some(byte)) = (out.get_mut(usize::from(*to)), input.get(usize::from(*from))) {
            *out = *byte;
        }
    }
}

/// Puts the words over the bytes.
fn mask(sequences: &Sequences, bytes: &mut [u8]) {
    for (four, word) in bytes.chunks_mut(4).zip(&sequences.z) {
        four.iter_mut().zip(word.to_be_bytes()).for_each(|(byte, key)| *byte ^= key);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::cipher::chaos::Map;
    use crate::keygen::Reading;

    fn parameters(map: Map, seed: &LayerSeed) -> Parameters {
        Parameters::mix(map, &Reading { network: [1; 32], picture: [2; 32], outputs: [77; 6] }, seed)
    }

    fn turn(map: Map, seed: [u8; 32], direction: Direction, bytes: &[u8], piece: usize) -> Vec<u8> {
        let seed = LayerSeed::new(seed);
        // Read back, as an opener has it.
        let parameters = Parameters::parse(map, &parameters(map, &seed).to_bytes()).unwrap();
        let mut layer = Chaos::new(parameters, &seed, direction);
        let mut out = Vec::new();
        bytes.chunks(piece).for_each(|piece| layer.push(piece, &mut out).unwrap());
        layer.finish(&mut out).unwrap();
        out
    }

    fn pattern(length: usize) -> Vec<u8> {
        (0..length).map(|at| u8::try_from((at * 7 + at / 256) % 251).unwrap()).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        #[test]
        fn any_length_in_any_pieces_comes_back(
            seed: [u8; 32],
            length in prop_oneof![0..3000_usize, 65_000..66_100_usize, 131_000..200_000_usize],
            pieces in (1..70_000_usize, 1..70_000_usize),
        ) {
            let plain = pattern(length);
            for map in [Map::Logistic, Map::Lorenz] {
                let sealed = turn(map, seed, Direction::Seal, &plain, pieces.0);
                prop_assert_eq!(sealed.len(), length);
                prop_assert!(sealed == turn(map, seed, Direction::Seal, &plain, pieces.1));
                prop_assert!(turn(map, seed, Direction::Open, &sealed, pieces.1) == plain);
            }
        }

        #[test]
        fn one_bit_of_the_secret_changes_everything(seed: [u8; 32], bit in 0..256_usize) {
            let plain = pattern(100_000);
            let mut other = seed;
            other[bit / 8] ^= 1 << (bit % 8);
            for map in [Map::Logistic, Map::Lorenz] {
                let one = turn(map, seed, Direction::Seal, &plain, 5000);
                let two = turn(map, other, Direction::Seal, &plain, 5000);
                let equal = one.iter().zip(&two).filter(|(a, b)| a == b).count();
                // 1 in 256 by chance: 391, give or take 20.
                prop_assert!((270..520).contains(&equal), "{equal} of 100000 are equal");
            }
        }
    }

    #[test]
    fn rows_and_columns_change_places_and_no_block_is_like_another() {
        for map in [Map::Logistic, Map::Lorenz] {
            let seed = LayerSeed::new([3; 32]);
            let mut sequences = Sequences::new();
            sequences.draw(map, &parameters(map, &seed).block(&seed, 0), 0);
            let (columns, rows) = (order(&sequences.x), order(&sequences.y));
            for places in [columns, rows] {
                let mut sorted = places;
                sorted.sort_unstable();
                assert!(sorted.into_iter().eq(0..=255) && sorted != places);
            }
            assert!(columns != rows);
            // Zeros show the masks.
            let masks = turn(map, [3; 32], Direction::Seal, &[0; 4 * BLOCK_BYTES], 1 << 20);
            let mut words: Vec<_> = masks.as_chunks::<8>().0.to_vec();
            words.sort_unstable();
            assert!(words.windows(2).all(|two| two[0] != two[1]), "eight bytes of a mask came twice");
        }
    }

    #[test]
    fn equal_words_keep_their_order() {
        let straight: Vec<u8> = order(&[5; SIDE]).to_vec();
        assert!(straight.into_iter().eq(0..=255));
    }
}
