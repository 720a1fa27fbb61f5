//! Numbers of the configuration that have a least and a most.

/// A number that nothing could work with.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{table}.{key} is {value}, it must be from {min} to {max}")]
pub struct OutOfBounds {
    table: &'static str,
    key: &'static str,
    value: u64,
    min: u64,
    max: u64,
}

/// Checks numbers of a table of the configuration: each has its key, its value, the least and the most that it may be.
pub fn check<const N: usize>(
    table: &'static str,
    rows: [(&'static str, u64, u64, u64); N],
) -> Result<(), OutOfBounds> {
    match rows.into_iter().find(|(_, value, min, max)| !(min..=max).contains(&value)) {
        Some((key, value, min, max)) => Err(OutOfBounds { table, key, value, min, max }),
        None => Ok(()),
    }
}
