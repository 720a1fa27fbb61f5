//! How many keys there are as the papers count, and how much of that an attacker has to search.

/// A key space: what its size suggests and what it holds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct KeySpace {
    /// log2 of how many values the key material could take if every bit were free.
    pub nominal_bits: f64,
    /// log2 of how many guesses it takes: never more than went in.
    pub effective_bits: f64,
}

/// The key space of material of `material_bytes` bytes that is computed from secrets of `secret_bits` bits.
///
/// A function cannot add entropy: 196,608 bytes computed from a 256-bit seed are 2^256 keys, not 2^1,572,864, and if
/// the attacker knows the network and its seed image they are one.
#[must_use]
pub fn key_space(material_bytes: usize, secret_bits: f64) -> KeySpace {
    let nominal_bits = material_bytes as f64 * 8.0;
    KeySpace { nominal_bits, effective_bits: secret_bits.clamp(0.0, nominal_bits) }
}

/// The entropy of two floating-point chaotic parameters drawn from an interval, at `digits` decimal digits each.
///
/// This is how papers count (10^14 values each); a program with 32-bit floats, or parameters that a network derives
/// from a date and a time, has far less.
#[must_use]
pub fn decimal_bits(parameters: u32, digits: u32) -> f64 {
    f64::from(parameters) * f64::from(digits) * 10_f64.log2()
}

/// How many different dates and times, to the second, a span of years has, as bits: what a key from an EXIF time holds.
#[must_use]
pub fn timestamp_bits(years: f64) -> f64 {
    (years * 365.25 * 86_400.0).log2()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_papers_key_space_is_the_size_of_the_key_image() {
        // DeepKeyGen section IV-A1: (2^8)^196608.
        let deep = key_space(256 * 256 * 3, 256.0);
        assert_eq!((deep.nominal_bits, deep.effective_bits), (1_572_864.0, 256.0));
        // The chaotic paper: (128 + 128 + 128 * 128) * 8 = 133,120 bits.
        assert_eq!(key_space(128 + 128 + 128 * 128, 0.0).nominal_bits, 133_120.0);
    }

    #[test]
    fn a_key_never_holds_more_than_its_length() {
        assert_eq!(key_space(16, 256.0).effective_bits, 128.0);
        assert_eq!(key_space(16, -1.0).effective_bits, 0.0);
    }

    #[test]
    fn a_time_in_ten_years_is_a_guess_of_28_bits() {
        assert!((timestamp_bits(10.0) - 28.233).abs() < 1e-3, "{}", timestamp_bits(10.0));
        assert!((decimal_bits(2, 14) - 93.013_9).abs() < 1e-3);
    }
}
