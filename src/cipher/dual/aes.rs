//! The block cipher of the suite `dual`: the rounds of AES-256 with S-boxes of its own, in CBC mode.
//!
//! `docs/FORMAT.md` section 6.3. Table look-ups at secret places take a time that depends on the cache; what that could tell
//! belongs to one stream, and nothing rests on it.
#![allow(
    clippy::indexing_slicing,
    reason = "every table has 256 places and is indexed by a byte; the rest are constants"
)]

use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::cipher::CipherError;

/// Bytes of a block.
pub(super) const BLOCK: usize = 16;
/// Rounds, as AES-256 has them.
const ROUNDS: usize = 14;
/// Bytes of all round keys.
pub(super) const ROUND_KEY_BYTES: usize = (ROUNDS + 1) * BLOCK;
/// How many S-boxes there are; round r uses number r mod 4.
pub(super) const BOXES: usize = 4;

/// A substitution of bytes that was found to be a bijection.
pub(super) struct SubstitutionBox(Zeroizing<[u8; 256]>);

impl SubstitutionBox {
    /// Takes one that gives every byte exactly once, and refuses any other.
    pub(super) fn new(bytes: Zeroizing<[u8; 256]>) -> Result<Self, CipherError> {
        let mut seen = [false; 256];
        for byte in bytes.iter() {
            seen[usize::from(*byte)] = true;
        }
        let distinct = seen.iter().filter(|seen| **seen).count();
        if distinct == 256 { Ok(Self(bytes)) } else { Err(CipherError::SubstitutionBox { distinct }) }
    }

    /// What a byte becomes.
    #[cfg(test)]
    pub(super) fn get(&self, byte: u8) -> u8 {
        self.0[usize::from(byte)]
    }

    fn inverse(&self) -> Zeroizing<[u8; 256]> {
        let mut inverse = Zeroizing::new([0; 256]);
        for (input, output) in (0..=255).zip(self.0.iter()) {
            inverse[usize::from(*output)] = input;
        }
        inverse
    }
}

/// Which way the cipher goes: each has its own tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Direction {
    Encrypt,
    Decrypt,
}

type State = [u32; 4];

/// One direction of the cipher with its chain. Erased when dropped.
#[derive(Zeroize, ZeroizeOnDrop)]
pub(super) struct Cbc {
    /// For each S-box the column that a byte of the first row becomes: substituted and mixed.
    tables: Box<[[u32; 256]; BOXES]>,
    /// For the round without mixing.
    last: Box<[u8; 256]>,
    /// In the order in which they are used.
    keys: Box<[State; ROUNDS + 1]>,
    /// The cipher block before this one.
    chain: State,
}

impl Cbc {
    pub(super) fn new(
        direction: Direction,
        boxes: &[SubstitutionBox; BOXES],
        round_keys: &[u8; ROUND_KEY_BYTES],
        vector: &[u8; BLOCK],
    ) -> Self {
        let mut keys = Box::new([[0; 4]; ROUNDS + 1]);
        for (key, bytes) in keys.iter_mut().zip(round_keys.as_chunks().0) {
            *key = load(bytes);
        }
        let mut tables = Box::new([[0; 256]; BOXES]);
        let last = match direction {
            Direction::Encrypt => {
                fill(&mut tables, &boxes.each_ref().map(|sbox| sbox.0.clone()), [2, 1, 1, 3]);
                Box::new(*boxes[ROUNDS % BOXES].0)
            }
            Direction::Decrypt => {
                fill(&mut tables, &boxes.each_ref().map(SubstitutionBox::inverse), [14, 9, 13, 11]);
                keys.reverse();
                for word in keys[1..ROUNDS].iter_mut().flatten() {
                    *word = unmix(*word);
                }
                Box::new(*boxes[1].inverse())
            }
        };
        Self { tables, last, keys, chain: load(vector) }
    }

    /// Goes on as if this had been the cipher block before.
    pub(super) fn go_on_from(&mut self, block: &[u8; BLOCK]) {
        self.chain = load(block);
    }

    /// Encrypts whole blocks where they stand.
    pub(super) fn encrypt(&mut self, bytes: &mut [u8]) {
        let mut chain = self.chain;
        for block in bytes.as_chunks_mut().0 {
            chain = self.encrypt_block(xor(load(block), chain));
            *block = store(chain);
        }
        self.chain = chain;
    }

    /// Decrypts whole blocks where they stand.
    pub(super) fn decrypt(&mut self, bytes: &mut [u8]) {
        let mut chain = self.chain;
        for block in bytes.as_chunks_mut().0 {
            let cipher = load(block);
            *block = store(xor(self.decrypt_block(cipher), chain));
            chain = cipher;
        }
        self.chain = chain;
    }

    fn encrypt_block(&self, block: State) -> State {
        let mut s = xor(block, self.keys[0]);
        for (round, key) in (1..ROUNDS).zip(&self.keys[1..ROUNDS]) {
            let table = &self.tables[round % BOXES];
            s = xor(rows_left(s).map(|row| mixed(table, row)), *key);
        }
        xor(rows_left(s).map(|row| self.substituted(row)), self.keys[ROUNDS])
    }

    fn decrypt_block(&self, block: State) -> State {
        let mut s = xor(block, self.keys[0]);
        // What the last round did is undone first.
        for (round, key) in (2..=ROUNDS).rev().zip(&self.keys[1..ROUNDS]) {
            let table = &self.tables[round % BOXES];
            s = xor(rows_right(s).map(|row| mixed(table, row)), *key);
        }
        xor(rows_right(s).map(|row| self.substituted(row)), self.keys[ROUNDS])
    }

    /// The round without mixing, of the four columns that a shifted row takes its bytes from.
    #[inline]
    fn substituted(&self, columns: State) -> u32 {
        let [[a, ..], [_, b, ..], [_, _, c, _], [.., d]] = columns.map(u32::to_be_bytes);
        u32::from_be_bytes([a, b, c, d].map(|byte| self.last[usize::from(byte)]))
    }
}

/// FIPS 197 5.1.2, `ShiftRows`: of which columns each new column takes its four bytes.
#[inline]
const fn rows_left([a, b, c, d]: State) -> [State; 4] {
    [[a, b, c, d], [b, c, d, a], [c, d, a, b], [d, a, b, c]]
}

/// FIPS 197 5.3.1, `InvShiftRows`.
#[inline]
const fn rows_right([a, b, c, d]: State) -> [State; 4] {
    [[a, d, c, b], [b, a, d, c], [c, b, a, d], [d, c, b, a]]
}

/// Substituted and mixed; the columns of the second to fourth row are those of the first, turned.
#[inline]
fn mixed(table: &[u32; 256], columns: State) -> u32 {
    let [[a, ..], [_, b, ..], [_, _, c, _], [.., d]] = columns.map(u32::to_be_bytes);
    table[usize::from(a)]
        ^ table[usize::from(b)].rotate_right(8)
        ^ table[usize::from(c)].rotate_right(16)
        ^ table[usize::from(d)].rotate_right(24)
}

fn fill(tables: &mut [[u32; 256]; BOXES], boxes: &[Zeroizing<[u8; 256]>; BOXES], column: [u8; 4]) {
    for (table, sbox) in tables.iter_mut().zip(boxes) {
        for (place, byte) in table.iter_mut().zip(sbox.iter()) {
            *place = u32::from_be_bytes(column.map(|factor| times(*byte, factor)));
        }
    }
}

/// FIPS 197 5.3.3, `InvMixColumns`, for the keys of the rounds that mix.
fn unmix(word: u32) -> u32 {
    let column = [14, 9, 13, 11];
    let turned = [0, 8, 16, 24].into_iter().zip(word.to_be_bytes());
    turned.fold(0, |sum, (turn, byte)| {
        sum ^ u32::from_be_bytes(column.map(|factor| times(byte, factor))).rotate_right(turn)
    })
}

/// FIPS 197 4.2: the product in GF(2^8) modulo x^8 + x^4 + x^3 + x + 1.
const fn times(mut a: u8, mut b: u8) -> u8 {
    let mut product = 0;
    while b > 0 {
        if b & 1 == 1 {
            product ^= a;
        }
        a = (a << 1) ^ if a & 0x80 == 0 { 0 } else { 0x1B };
        b >>= 1;
    }
    product
}

#[inline]
fn load(block: &[u8; BLOCK]) -> State {
    let (words, _) = block.as_chunks();
    [words[0], words[1], words[2], words[3]].map(u32::from_be_bytes)
}

#[inline]
fn store(state: State) -> [u8; BLOCK] {
    let mut out = [0; BLOCK];
    for (place, word) in out.as_chunks_mut().0.iter_mut().zip(state) {
        *place = word.to_be_bytes();
    }
    out
}

#[inline]
const fn xor(a: State, b: State) -> State {
    [a[0] ^ b[0], a[1] ^ b[1], a[2] ^ b[2], a[3] ^ b[3]]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// FIPS 197 5.1.1, made from its definition: the inverse in GF(2^8), then the affine map.
    fn box_of_aes() -> SubstitutionBox {
        let inverse = |a: u8| (0..=255).find(|b| times(a, *b) == 1).unwrap_or(0);
        let affine = |b: u8| (0..5).fold(0x63, |sum, turn| sum ^ b.rotate_left(turn));
        let bytes = std::array::from_fn(|i| affine(inverse(u8::try_from(i).unwrap())));
        SubstitutionBox::new(Zeroizing::new(bytes)).unwrap()
    }

    /// FIPS 197 5.2 for a key of 256 bits.
    fn expanded(key: [u8; 32]) -> [u8; ROUND_KEY_BYTES] {
        let sbox = box_of_aes();
        let mut words: Vec<[u8; 4]> = key.as_chunks().0.to_vec();
        let mut constant = 1;
        for i in 8..60 {
            let mut word = words[i - 1];
            if i % 8 == 0 {
                word.rotate_left(1);
            }
            if i % 4 == 0 {
                word = word.map(|byte| sbox.get(byte));
            }
            if i % 8 == 0 {
                word[0] ^= constant;
                constant = times(constant, 2);
            }
            words.push(std::array::from_fn(|j| word[j] ^ words[i - 8][j]));
        }
        words.concat().try_into().unwrap()
    }

    #[test]
    fn with_the_box_and_the_keys_of_aes_it_is_aes_256() {
        // FIPS 197 C.3.
        let round_keys = expanded(std::array::from_fn(|i| u8::try_from(i).unwrap()));
        let boxes = [(); 4].map(|()| box_of_aes());
        let plain: [u8; 16] = std::array::from_fn(|i| u8::try_from(0x11 * i).unwrap());
        let expected = 0x8ea2_b7ca_5167_45bf_eafc_4990_4b49_6089_u128.to_be_bytes();
        let mut block = plain;
        Cbc::new(Direction::Encrypt, &boxes, &round_keys, &[0; 16]).encrypt(&mut block);
        assert_eq!(block, expected);
        Cbc::new(Direction::Decrypt, &boxes, &round_keys, &[0; 16]).decrypt(&mut block);
        assert_eq!(block, plain);
    }

    #[test]
    fn with_four_boxes_it_comes_back_and_a_changed_block_changes_all_behind_it() {
        let boxes = [3_u8, 5, 7, 11].map(|factor| {
            let bytes = std::array::from_fn(|i| u8::try_from(i).unwrap().wrapping_mul(factor) ^ factor);
            SubstitutionBox::new(Zeroizing::new(bytes)).unwrap()
        });
        let round_keys = std::array::from_fn(|i| u8::try_from(i).unwrap().wrapping_mul(13));
        let encrypt = |plain: &[u8]| {
            let mut bytes = plain.to_vec();
            let mut cbc = Cbc::new(Direction::Encrypt, &boxes, &round_keys, &[9; 16]);
            // In two calls, as squares come.
            let (first, second) = bytes.split_at_mut(64);
            cbc.encrypt(first);
            cbc.encrypt(second);
            bytes
        };
        let plain = [0x5A; 160];
        let mut sealed = encrypt(&plain);
        let mut other = plain;
        other[40] ^= 1;
        let changed: Vec<bool> =
            sealed.chunks(16).zip(encrypt(&other).chunks(16)).map(|(a, b)| a != b).collect();
        assert_eq!(changed, [false, false, true, true, true, true, true, true, true, true]);
        Cbc::new(Direction::Decrypt, &boxes, &round_keys, &[9; 16]).decrypt(&mut sealed);
        assert_eq!(sealed, plain);
    }

    #[test]
    fn a_box_that_is_no_bijection_is_refused() {
        let mut bytes: [u8; 256] = std::array::from_fn(|i| u8::try_from(i).unwrap());
        bytes[17] = 18;
        let refused = SubstitutionBox::new(Zeroizing::new(bytes));
        assert!(matches!(refused, Err(CipherError::SubstitutionBox { distinct: 255 })));
    }
}
