//! Time windows: hours of days of the week, such as `mon-fri 07:00-19:00`, and the moment they are held against.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Minutes of a day.
const DAY: u16 = 24 * 60;
const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

/// A moment, as the clock on the wall and the calendar show it where the gateway stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// Seconds since 1970, UTC.
    pub unix: u64,
    /// The local date, in days since 1970.
    pub day: i64,
    /// Minutes of the local day, 0 to 1439.
    pub minute: u16,
}

impl Moment {
    /// The day of the week, Monday as 0.
    fn weekday(self) -> usize {
        // 1970-01-01 was a Thursday.
        usize::try_from((self.day + 3).rem_euclid(7)).unwrap_or_default()
    }
}

/// Hours on some days of the week. Those that end before they begin end on the next day.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hours {
    days: [bool; 7],
    from: u16,
    to: u16,
}

/// Why a text is no time window.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is no time window: write it as \"mon-fri 07:00-19:00\", \"sat,sun 09:00-12:00\" or \"22:00-06:00\""
)]
pub struct HoursError(String);

impl Hours {
    /// Reads days, if there are any, and hours.
    pub fn parse(text: &str) -> Result<Self, HoursError> {
        Self::read(text).ok_or_else(|| HoursError(text.to_owned()))
    }

    fn read(text: &str) -> Option<Self> {
        let (days, hours) = match text.trim().rsplit_once(' ') {
            Some((days, hours)) => (read_days(days)?, hours),
            None => ([true; 7], text.trim()),
        };
        let (from, to) = hours.split_once('-')?;
        let (from, to) = (read_time(from)?, read_time(to)?);
        (from != to && from < DAY).then_some(Self { days, from, to })
    }

    /// Whether the moment is in them.
    #[must_use]
    pub fn covers(&self, moment: Moment) -> bool {
        let (today, minute) = (moment.weekday(), moment.minute);
        let on = |day: usize| self.days.get(day % 7).copied().unwrap_or_default();
        if self.from < self.to {
            return on(today) && (self.from..self.to).contains(&minute);
        }
        (on(today) && minute >= self.from) || (on(today + 6) && minute < self.to)
    }
}

fn read_days(text: &str) -> Option<[bool; 7]> {
    let day = |text: &str| DAYS.iter().position(|name| name.eq_ignore_ascii_case(text.trim()));
    let mut days = [false; 7];
    for part in text.split(',') {
        let (first, last) = match part.split_once('-') {
            Some((first, last)) => (day(first)?, day(last)?),
            None => (day(part)?, day(part)?),
        };
        for step in 0..=(last + 7 - first) % 7 {
            *days.get_mut((first + step) % 7)? = true;
        }
    }
    Some(days)
}

/// `07:30`; `24:00` is the end of the day.
fn read_time(text: &str) -> Option<u16> {
    let (hour, minute) = text.split_once(':')?;
    let is_number = |text: &str| text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
    if !is_number(hour) || !is_number(minute) {
        return None;
    }
    let (hour, minute): (u16, u16) = (hour.parse().ok()?, minute.parse().ok()?);
    let minutes = hour * 60 + minute;
    (minute < 60 && minutes <= DAY).then_some(minutes)
}

impl fmt::Display for Hours {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.days != [true; 7] {
            let named: Vec<&str> =
                DAYS.iter().zip(self.days).filter_map(|(name, on)| on.then_some(*name)).collect();
            write!(f, "{} ", named.join(","))?;
        }
        let Self { from, to, .. } = self;
        write!(f, "{:02}:{:02}-{:02}:{:02}", from / 60, from % 60, to / 60, to % 60)
    }
}

impl Serialize for Hours {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Hours {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Monday 2026-01-05 is day 20,458.
    fn at(day_of_week: i64, time: &str) -> Moment {
        Moment { unix: 0, day: 20_458 + day_of_week, minute: read_time(time).unwrap() }
    }

    #[test]
    fn hours_cover_their_days_and_nothing_else() {
        let hours = Hours::parse("mon-fri 07:00-19:00").unwrap();
        assert!(hours.covers(at(0, "07:00")) && hours.covers(at(4, "18:59")));
        assert!(
            !hours.covers(at(0, "06:59")) && !hours.covers(at(4, "19:00")) && !hours.covers(at(5, "12:00"))
        );
        let weekend = Hours::parse("Sat,sun 09:00-24:00").unwrap();
        assert!(weekend.covers(at(6, "23:59")) && !weekend.covers(at(0, "00:00")));
        assert_eq!(weekend.to_string(), "sat,sun 09:00-24:00");
    }

    #[test]
    fn hours_over_midnight_belong_to_the_day_they_begin_on() {
        let night = Hours::parse("fri 22:00-06:00").unwrap();
        assert!(night.covers(at(4, "22:00")) && night.covers(at(5, "05:59")));
        assert!(
            !night.covers(at(4, "05:00")) && !night.covers(at(5, "22:00")) && !night.covers(at(5, "06:00"))
        );
        let turn = Hours::parse("sat-mon 23:00-01:00").unwrap();
        assert!(turn.covers(at(6, "23:30")) && turn.covers(at(1, "00:30")) && !turn.covers(at(1, "23:30")));
    }

    #[test]
    fn what_is_no_time_window_is_refused() {
        for text in [
            "",
            "always",
            "mon",
            "7:00-19:00",
            "07:00-07:00",
            "24:00-06:00",
            "07:60-08:00",
            "may 07:00-08:00",
            "25:00-26:00",
        ] {
            assert!(Hours::parse(text).is_err(), "{text}");
        }
    }
}
