//! Metadata that nobody has: dates, times, UIDs and devices drawn from a seed, to train, calibrate and measure with.

use aws_lc_rs::digest::{SHA512, digest};

/// What an instance could say of itself, as a sealer gathers it: tag, length and value of each attribute.
#[must_use]
pub fn sample(seed: &str, number: u64) -> Vec<u8> {
    let drawn = digest(&SHA512, &[seed.as_bytes(), &number.to_be_bytes()].concat());
    let word = |at: usize| {
        drawn.as_ref()[8 * at..8 * at + 8].iter().fold(0, |n: u64, byte| n << 8 | u64::from(*byte))
    };
    let date = format!("20{:02}{:02}{:02}", word(0) % 30, word(0) / 30 % 12 + 1, word(0) / 360 % 28 + 1);
    let time = format!(
        "{:02}{:02}{:02}.{:06}",
        word(1) % 24,
        word(1) / 24 % 60,
        word(1) / 1440 % 60,
        word(2) % 1_000_000
    );
    let study = format!("1.2.826.0.1.3680043.10.1.{}", word(3));
    let device = ["CT", "MR", "CR", "US"][usize::try_from(word(4) % 4).unwrap_or(0)];
    let values = [
        (0x0008_0016, "1.2.840.10008.5.1.4.1.1.2".to_owned()),
        (0x0008_0018, format!("{study}.1.{}", word(5) % 1000)),
        (0x0008_0020, date.clone()),
        (0x0008_0023, date),
        (0x0008_0030, time.clone()),
        (0x0008_0033, time),
        (0x0008_0060, device.to_owned()),
        (
            0x0008_0070,
            ["North", "South", "East", "West"][usize::try_from(word(6) % 4).unwrap_or(0)].to_owned(),
        ),
        (0x0008_1010, format!("{device}{:02}", word(6) / 4 % 20)),
        (0x0018_1000, format!("{}", word(7) % 100_000)),
        (0x0020_000D, study.clone()),
        (0x0020_000E, format!("{study}.1")),
    ];
    let mut out = Vec::new();
    for (tag, value) in values {
        out.extend_from_slice(&u32::to_be_bytes(tag));
        out.extend_from_slice(&u16::try_from(value.len()).unwrap_or(0).to_be_bytes());
        out.extend_from_slice(value.as_bytes());
    }
    out
}

/// The same with one bit changed, which of them by `number`.
#[must_use]
pub fn with_one_bit(metadata: &[u8], number: u64) -> Vec<u8> {
    let mut out = metadata.to_vec();
    let bits = out.len() as u64 * 8;
    let bit = number.wrapping_mul(0x9E37_79B9_7F4A_7C15) % bits.max(1);
    if let Some(byte) = usize::try_from(bit / 8).ok().and_then(|at| out.get_mut(at)) {
        *byte ^= 1 << (bit % 8);
    }
    out
}
