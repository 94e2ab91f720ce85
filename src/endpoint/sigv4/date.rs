//! The dates of signatures: as ISO 8601's basic format and as HTTP writes them.

use std::time::UNIX_EPOCH;

use time::{Date, Month, OffsetDateTime, Time};

/// Reads a date, in ISO 8601's basic format or as HTTP writes it; seconds since 1970.
pub(super) fn instant(text: &str) -> Option<i64> {
    if let Some(seconds) = basic_instant(text) {
        return Some(seconds);
    }
    // botocore writes the zone as mail does.
    let text = text
        .strip_suffix("-0000")
        .or_else(|| text.strip_suffix("+0000"))
        .map_or_else(|| text.to_owned(), |start| format!("{start}GMT"));
    let parsed = httpdate::parse_http_date(&text).ok()?;
    let since = parsed.duration_since(UNIX_EPOCH).ok()?;
    i64::try_from(since.as_secs()).ok()
}

/// Reads `20260102T030405Z`; seconds since 1970.
fn basic_instant(text: &str) -> Option<i64> {
    let bytes: &[u8; 16] = text.as_bytes().try_into().ok()?;
    if bytes[8] != b'T' || bytes[15] != b'Z' {
        return None;
    }
    let number = |from: usize, to: usize| {
        bytes[from..to].iter().try_fold(0_u16, |sum, byte| {
            byte.is_ascii_digit()
                .then(|| sum * 10 + u16::from(*byte - b'0'))
        })
    };
    let pair = |from: usize| number(from, from + 2).map(|number| number as u8);
    let month = Month::try_from(pair(4)?).ok()?;
    let date = Date::from_calendar_date(i32::from(number(0, 4)?), month, pair(6)?).ok()?;
    let time = Time::from_hms(pair(9)?, pair(11)?, pair(13)?).ok()?;
    Some(date.with_time(time).assume_utc().unix_timestamp())
}

/// Seconds since 1970 as `20260102T030405Z`.
pub(super) fn basic(seconds: i64) -> String {
    let Ok(at) = OffsetDateTime::from_unix_timestamp(seconds) else {
        return seconds.to_string();
    };
    format!(
        "{:04}{:02}{:02}T{:02}{:02}{:02}Z",
        at.year(),
        u8::from(at.month()),
        at.day(),
        at.hour(),
        at.minute(),
        at.second()
    )
}
