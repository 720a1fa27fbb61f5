//! Times on the command line: UTC, as ISO 8601 writes them.

/// Now, in milliseconds since 1970.
pub(super) fn now_unix_millis() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// Milliseconds since 1970 of `2026-01-31` or `2026-01-31T06:30:00Z`.
pub(super) fn unix_millis(text: &str) -> Result<i64, String> {
    let wrong = || format!("{text:?} is not a time; write it as 2026-01-31 or 2026-01-31T06:30:00Z");
    let (date, time) = text.split_once('T').unwrap_or((text, "00:00:00Z"));
    let numbers = |text: &str, separator: char| -> Option<[i64; 3]> {
        let digits = |part: &&str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        let parts: Vec<_> =
            text.split(separator).filter(digits).map(str::parse).collect::<Result<_, _>>().ok()?;
        (text.split(separator).count() == 3).then_some(())?;
        parts.try_into().ok()
    };
    let [year, month, day] = numbers(date, '-').ok_or_else(wrong)?;
    let [hour, minute, second] =
        time.strip_suffix('Z').and_then(|time| numbers(time, ':')).ok_or_else(wrong)?;
    let in_range = (1970..=9999).contains(&year) && hour < 24 && minute < 60 && second < 60;
    let days = days_since_1970(year, month, day);
    // A day that the calendar does not have comes back as another one.
    if !in_range || !(1..=12).contains(&month) || civil(days) != (year, month, day) {
        return Err(wrong());
    }
    Ok((((days * 24 + hour) * 60 + minute) * 60 + second) * 1000)
}

/// The proleptic Gregorian calendar, with years that begin in March so that leap days come last.
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let month_from_march = (month + 9).rem_euclid(12);
    let day_of_year = (153 * month_from_march + 2) / 5 + day - 1;
    year * 365 + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400) + day_of_year - 719_468
}

fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

/// As `2026-01-31T06:30:00Z`.
pub(super) fn utc(seconds: i64) -> String {
    let (year, month, day) = civil(seconds.div_euclid(86_400));
    let of_day = seconds.rem_euclid(86_400);
    format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z", of_day / 3600, of_day / 60 % 60, of_day % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_and_written_the_same_way() {
        for (text, seconds) in [
            ("1970-01-01T00:00:00Z", 0),
            ("2000-02-29T23:59:59Z", 951_868_799),
            ("2026-01-31T06:30:00Z", 1_769_841_000),
            ("2100-03-01T00:00:00Z", 4_107_542_400),
        ] {
            assert_eq!(unix_millis(text), Ok(seconds * 1000));
            assert_eq!(utc(seconds), text);
        }
        assert_eq!(unix_millis("2026-01-31"), unix_millis("2026-01-31T00:00:00Z"));
    }

    #[test]
    fn refuses_what_is_not_a_time() {
        for text in [
            "",
            "now",
            "2026-02-30",
            "2026-13-01",
            "2026-01-31T24:00:00Z",
            "2026-01-31T06:30:00",
            "2026--01-31",
        ] {
            assert!(unix_millis(text).is_err(), "{text}");
        }
    }
}
