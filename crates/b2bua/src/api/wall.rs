//! Wall time as the API writes it: RFC 3339 in UTC with milliseconds.

use base::WallTime;
use serde::{Deserialize, Deserializer, Serializer};

const DAY_S: u64 = 86_400;

/// `2026-02-03T04:05:06.789Z`.
pub fn rfc3339(wall: WallTime) -> String {
    let (seconds, ms) = (wall.0 / 1000, wall.0 % 1000);
    let (year, month, day) = date(seconds / DAY_S);
    let (h, m, s) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{day:02}T{h:02}:{m:02}:{s:02}.{ms:03}Z")
}

/// The Gregorian date so many days after 1970-01-01, by eras of 400 years that begin in March.
fn date(days: u64) -> (u64, u64, u64) {
    let since_march = days + 719_468;
    let (era, day) = (since_march / 146_097, since_march % 146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let shifted = (5 * day + 2) / 153;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = era * 400 + year + u64::from(month <= 2);
    (year, month, day - (153 * shifted + 2) / 5 + 1)
}

/// Reads what [`rfc3339`] writes.
fn parse(text: &str) -> Option<WallTime> {
    let number = |from: usize, to: usize| text.get(from..to)?.parse::<u64>().ok();
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let years = year.checked_sub(u64::from(month <= 2))?;
    let (era, of_era) = (years / 400, years % 400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day.checked_sub(1)?;
    let days = era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year;
    let seconds = days.checked_sub(719_468)? * DAY_S
        + number(11, 13)? * 3600
        + number(14, 16)? * 60
        + number(17, 19)?;
    Some(WallTime(seconds * 1000 + number(20, 23)?))
}

pub(super) fn serialize<S: Serializer>(wall: &WallTime, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(&rfc3339(*wall))
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<WallTime, D::Error> {
    let text = String::deserialize(from)?;
    parse(&text).ok_or_else(|| serde::de::Error::custom("not a time of RFC 3339"))
}

/// The same for a time that may be absent.
pub(super) mod option {
    use base::WallTime;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(crate) fn serialize<S: Serializer>(
        wall: &Option<WallTime>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        match wall {
            Some(wall) => super::serialize(wall, to),
            None => to.serialize_none(),
        }
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Option<WallTime>, D::Error> {
        let Some(text) = Option::<String>::deserialize(from)? else { return Ok(None) };
        let parsed = super::parse(&text);
        parsed.map(Some).ok_or_else(|| serde::de::Error::custom("not a time of RFC 3339"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_rfc_3339_and_read_again() {
        for (ms, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (1_767_225_599_999, "2025-12-31T23:59:59.999Z"),
            (4_107_542_400_007, "2100-03-01T00:00:00.007Z"),
        ] {
            assert_eq!(rfc3339(WallTime(ms)), text);
            assert_eq!(parse(text), Some(WallTime(ms)));
        }
        assert_eq!(parse("2000-00-0"), None);
        assert_eq!(parse("tomorrow"), None);
    }
}
