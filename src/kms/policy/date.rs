//! Dates of the policy language: ISO 8601 as the W3C profiles it, or seconds since 1970.
//!
//! Source: IAM User Guide, "Date condition operators"; W3C NOTE-datetime. A date without a zone is
//! taken for UTC; digits alone are seconds, even four of them.

use time::format_description::well_known::Rfc3339;
use time::{Date, Month, OffsetDateTime, UtcOffset};

/// Reads a date; milliseconds since 1970.
pub(super) fn parse(text: &str) -> Option<i64> {
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        return text.parse::<i64>().ok()?.checked_mul(1000);
    }
    let (day, clock) = match text.split_once(['T', 't']) {
        Some((day, clock)) => (day, Some(clock)),
        None => (text, None),
    };
    let mut fields = day.splitn(3, '-');
    let year = digits(fields.next()?, 4)?;
    let month = fields.next().map_or(Some(1), |field| digits(field, 2))?;
    let day = fields.next().map_or(Some(1), |field| digits(field, 2))?;
    let month = Month::try_from(u8::try_from(month).ok()?).ok()?;
    let date = Date::from_calendar_date(i32::from(year), month, u8::try_from(day).ok()?).ok()?;
    let (clock, offset) = clock.map_or(Some(("00:00", UtcOffset::UTC)), zone)?;
    let mut fields = clock.splitn(3, ':');
    let hour = u8::try_from(digits(fields.next()?, 2)?).ok()?;
    let minute = u8::try_from(digits(fields.next()?, 2)?).ok()?;
    let (second, millisecond) = fields.next().map_or(Some((0, 0)), seconds)?;
    let moment = date
        .with_hms_milli(hour, minute, second, millisecond)
        .ok()?
        .assume_offset(offset);
    moment
        .unix_timestamp()
        .checked_mul(1000)?
        .checked_add(i64::from(moment.millisecond()))
}

/// As ISO 8601 in UTC, to the second.
pub(super) fn text(milliseconds: i64) -> String {
    let seconds = milliseconds.div_euclid(1000);
    OffsetDateTime::from_unix_timestamp(seconds)
        .ok()
        .and_then(|moment| moment.format(&Rfc3339).ok())
        .unwrap_or_else(|| seconds.to_string())
}

/// The number that exactly `width` digits make.
fn digits(text: &str, width: usize) -> Option<u16> {
    let fits = text.len() == width && text.bytes().all(|byte| byte.is_ascii_digit());
    if fits { text.parse().ok() } else { None }
}

/// Takes the zone off a time of day.
fn zone(text: &str) -> Option<(&str, UtcOffset)> {
    if let Some(clock) = text.strip_suffix(['Z', 'z']) {
        return Some((clock, UtcOffset::UTC));
    }
    let (clock, zone, sign) = if let Some((clock, zone)) = text.split_once('+') {
        (clock, zone, 1)
    } else if let Some((clock, zone)) = text.split_once('-') {
        (clock, zone, -1)
    } else {
        return Some((text, UtcOffset::UTC));
    };
    let (hours, minutes) = zone.split_once(':')?;
    let hours = i8::try_from(digits(hours, 2)?)
        .ok()
        .filter(|hours| *hours < 24)?;
    let minutes = i8::try_from(digits(minutes, 2)?).ok()?;
    let offset = UtcOffset::from_hms(sign * hours, sign * minutes, 0).ok()?;
    Some((clock, offset))
}

/// Seconds with up to nine decimals; those after the third are cut.
fn seconds(text: &str) -> Option<(u8, u16)> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let known = (1..=9).contains(&fraction.len());
    if !known || !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let thousandths: String = fraction.chars().chain("00".chars()).take(3).collect();
    let second = u8::try_from(digits(whole, 2)?).ok()?;
    Some((second, digits(&thousandths, 3)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_of_the_profile_is_read() {
        // Seconds computed with GNU date.
        for (text, milliseconds) in [
            ("1970-01-01T00:00:00Z", 0),
            ("1577836801", 1_577_836_801_000),
            ("2020", 2_020_000),
            ("2020-01", 1_577_836_800_000),
            ("2020-02-29", 1_582_934_400_000),
            ("2020-01-01T00:00:01Z", 1_577_836_801_000),
            ("2020-01-01t00:00:01z", 1_577_836_801_000),
            ("2020-01-01T00:00", 1_577_836_800_000),
            ("2020-01-01T02:30+02:30", 1_577_836_800_000),
            ("2019-12-31T19:00:00.5-05:00", 1_577_836_800_500),
            ("2020-01-01T00:00:00.123456789Z", 1_577_836_800_123),
            ("1969-12-31T23:59:59.999Z", -1),
        ] {
            assert_eq!(parse(text), Some(milliseconds), "{text}");
        }
    }

    #[test]
    fn what_is_no_date_is_not_read() {
        for text in [
            "",
            "-",
            "T",
            "now",
            "2020-",
            "2020-1",
            "2020-13",
            "2020-00-01",
            "2021-02-29",
            "2020-01-01-01",
            "2020-01-01T",
            "2020-01-01TZ",
            "2020-01-01T24:00Z",
            "2020-01-01T00:60Z",
            "2020-01-01T00:00:60Z",
            "2020-01-01T00:00:00.Z",
            "2020-01-01T00:00:00.1234567890Z",
            "2020-01-01T00:00+1",
            "2020-01-01T00:00+24:00",
            "2020-01-01T00:00+00:99",
            "2020-01-01T00:00:00:00Z",
            "20200101T000000Z",
            "-2020-01-01",
            "9223372036854775807",
            "99999999999999999999",
            "1.5",
            "2020-*-01",
            "２０２０-01-01",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_date_beyond_the_calendar_still_has_a_text() {
        assert_eq!(text(0), "1970-01-01T00:00:00Z");
        assert_eq!(text(-1), "1969-12-31T23:59:59Z");
        assert_eq!(text(i64::MAX), "9223372036854775");
    }
}
