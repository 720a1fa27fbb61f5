//! Numbers as people say them, wherever they are shown.

/// A number of bytes.
#[must_use]
pub fn bytes(count: u64) -> String {
    let units = ["B", "kB", "MB", "GB", "TB", "PB"];
    let (mut whole, mut rest, mut unit) = (count, 0, 0);
    while whole >= 1000 && unit + 1 < units.len() {
        (whole, rest, unit) = (whole / 1000, whole % 1000, unit + 1);
    }
    let word = units.get(unit).copied().unwrap_or_default();
    if unit == 0 || whole >= 100 {
        format!("{whole} {word}")
    } else {
        format!("{whole}.{} {word}", rest / 100)
    }
}

/// A span of time.
#[must_use]
pub fn span(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7200 => format!("{} min", seconds / 60),
        7200..172_800 => format!("{} h", seconds / 3600),
        _ => format!("{} d", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_said_as_people_say_them() {
        let words = [0, 999, 1000, 1_550_000, 107_374_182_400].map(bytes);
        assert_eq!(words, ["0 B", "999 B", "1.0 kB", "1.5 MB", "107 GB"]);
    }
}
