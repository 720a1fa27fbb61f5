//! What this project seals with, as a suite and as a generator to measure.

use super::report::{Generator, Role, Suite};
use super::seeded::Seeded;
use super::source::Source;
use crate::seal::{ContentKey, SALT_BYTES, StreamError, StreamOpener, StreamSealer};

/// The context of a measured stream; a real one binds the instance.
const CONTEXT: &[u8] = b"evaluation";

/// A content key made from a number, so that a report can be made again. Real ones come from the operating system.
fn key(number: u64) -> (ContentKey, [u8; SALT_BYTES]) {
    let mut seeded = Seeded::new(number);
    let (mut key, mut salt) = ([0; 32], [0; SALT_BYTES]);
    seeded.fill(&mut key);
    seeded.fill(&mut salt);
    (ContentKey::new(key), salt)
}

pub(super) fn seal(plain: &[u8], number: u64) -> Result<Vec<u8>, StreamError> {
    let (key, salt) = key(number);
    let (mut stream, prefix) = StreamSealer::new(&key, &salt, CONTEXT);
    let mut sealed = prefix.to_vec();
    let mut out = |bytes: &[u8]| {
        sealed.extend_from_slice(bytes);
        Ok::<(), StreamError>(())
    };
    stream.push(plain, &mut out)?;
    stream.finish(&mut out)?;
    Ok(sealed)
}

pub(super) fn open(sealed: &[u8], number: u64) -> Result<Vec<u8>, StreamError> {
    let mut stream = StreamOpener::new(key(number).0, CONTEXT.to_vec());
    let mut opened = Vec::with_capacity(sealed.len());
    let mut out = |bytes: &[u8]| {
        opened.extend_from_slice(bytes);
        Ok::<(), StreamError>(())
    };
    stream.push(sealed, &mut out)?;
    stream.finish(&mut out)?;
    Ok(opened)
}

/// The default suite: what a PACS holds of an image, its salt and commitment included.
#[must_use]
pub fn sealed_stream() -> Suite<'static> {
    Suite {
        name: "deepkeygen, as sealed".to_owned(),
        role: Role::Ours,
        repeatable: true,
        encrypt: Box::new(|plain, number| seal(plain, number).map_err(|error| error.to_string())),
        decrypt: Box::new(|sealed, number| open(sealed, number).map_err(|error| error.to_string())),
    }
}

/// The sealed stream over nothing but zeros, in segments under one key after another.
#[must_use]
pub fn sealed_zeros() -> Generator<'static> {
    Generator {
        name: "Sealed stream, of zeros".to_owned(),
        role: Role::Ours,
        secret_bits: 256.0,
        method: None,
        repeatable: true,
        open: Box::new(|seed| Box::new(Zeros { seeded: Seeded::new(seed) })),
    }
}

/// Each call seals zeros with a fresh key.
struct Zeros {
    seeded: Seeded,
}

impl Source for Zeros {
    fn fill(&mut self, bytes: &mut [u8]) {
        let sealed =
            seal(&vec![0; bytes.len()], self.seeded.next_u64()).expect("far below the limit of a stream");
        bytes.copy_from_slice(&sealed[..bytes.len()]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_sealed_opens_with_its_key_alone() {
        let sealed = seal(&[9; 40_000], 5).unwrap();
        assert_eq!(open(&sealed, 5).unwrap(), [9; 40_000]);
        assert_eq!(open(&sealed, 6).unwrap_err(), StreamError::Commitment);
        assert_eq!(open(&sealed[..sealed.len() - 1], 5).unwrap_err(), StreamError::Chunk { chunk: 2 });
    }
}
