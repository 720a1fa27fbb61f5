//! Bytes as hexadecimal text, for key files and ids.

use std::fmt::Write as _;

use zeroize::Zeroizing;

/// Lower-case hexadecimal.
pub(crate) fn encode(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len().saturating_mul(2)), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// The bytes of an even number of hexadecimal digits, nothing else.
pub(crate) fn decode(text: &str) -> Option<Zeroizing<Vec<u8>>> {
    if !text.len().is_multiple_of(2) {
        return None;
    }
    let digit = |byte: &u8| char::from(*byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let bytes: Option<Vec<u8>> = text
        .as_bytes()
        .chunks_exact(2)
        .map(|pair| match pair {
            [high, low] => Some(digit(high)? << 4 | digit(low)?),
            _ => None,
        })
        .collect();
    bytes.map(Zeroizing::new)
}

/// Exactly `N` bytes.
pub(crate) fn decode_array<const N: usize>(text: &str) -> Option<[u8; N]> {
    decode(text)?.as_slice().try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comes_back_and_refuses_anything_else() {
        assert_eq!(decode(&encode(&[0, 0x7f, 0xff])).unwrap().as_slice(), [0, 0x7f, 0xff]);
        assert_eq!(decode_array::<2>("0aFf"), Some([0x0a, 0xff]));
        assert!(decode("0").is_none() && decode("0g").is_none() && decode_array::<2>("00").is_none());
        assert!(decode("+1").is_none() && decode("é").is_none());
    }
}
