//! Points in time as botocore reads them from a parameter, in whole seconds since 1970.
//!
//! Pure. Read are: seconds since 1970, as a number or as text; dates and times of ISO 8601, also
//! with blanks for `T`, dots or slashes; `Mon, 02 Jan 2006 15:04:05 GMT` and its relatives;
//! `1/2/2006`, month first unless it cannot be. What names no zone is in UTC, as is a zone known by
//! name only. botocore understands more, some of which depends on today's date (`10:00`,
//! `2024-01`): that is refused here.

use super::value::Parsed;
use crate::cli::kms::python;

/// The years 1 to 9999.
const SECONDS: std::ops::RangeInclusive<i64> = -62_135_596_800..=253_402_300_799;

/// From here on Python does not even know the year.
const UNKNOWN_YEAR: f64 = 6.776_803_6e16;

/// Characters of the longest text that can be a date.
const LONGEST: usize = 100;

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const DAYS: [&str; 7] = [
    "Monday",
    "Tuesday",
    "Wednesday",
    "Thursday",
    "Friday",
    "Saturday",
    "Sunday",
];

/// What a parameter says about time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// Seconds since 1970.
    Seconds(i64),
    /// Nothing.
    None,
    /// Something too far away, which botocore complains of in its own way.
    OutOfReach,
}

/// Reads a point in time.
pub fn moment(value: &Parsed) -> Moment {
    match value {
        Parsed::Integer(digits) => digits.parse().map_or(Moment::None, of_number),
        Parsed::Float(number) => of_number(*number),
        Parsed::Boolean(truth) => Moment::Seconds(i64::from(*truth)),
        Parsed::Text(text) => of_text(text),
        Parsed::Bytes(bytes) => std::str::from_utf8(bytes).map_or(Moment::None, of_text),
        Parsed::Null | Parsed::List(_) | Parsed::Map(..) => Moment::None,
    }
}

fn of_number(number: f64) -> Moment {
    if number.is_nan() {
        return Moment::None;
    }
    if number.abs() >= UNKNOWN_YEAR {
        return Moment::OutOfReach;
    }
    // Python rounds to microseconds before it drops them. Too large a number is rounded to the
    // largest integer, which is out of range.
    let seconds = ((number * 1e6).round_ties_even() / 1e6).floor() as i64;
    if SECONDS.contains(&seconds) {
        Moment::Seconds(seconds)
    } else {
        Moment::None
    }
}

fn of_text(text: &str) -> Moment {
    if let Some(number) = python::real(text) {
        let moment = of_number(number);
        if moment != Moment::None {
            return moment;
        }
    }
    if text.len() > LONGEST {
        return Moment::None;
    }
    let tokens = tokens(text.trim_matches(python::is_space));
    date_and_time(&tokens).map_or(Moment::None, Moment::Seconds)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Token<'a> {
    Number(&'a str),
    Word(&'a str),
    Mark(char),
    Blank,
}

fn tokens(text: &str) -> Vec<Token<'_>> {
    let mut tokens = Vec::new();
    let mut rest = text;
    while let Some(letter) = rest.chars().next() {
        let kinds: [fn(char) -> bool; 3] = [
            |letter| letter.is_ascii_digit(),
            |letter| letter.is_ascii_alphabetic(),
            python::is_space,
        ];
        let kind = kinds.into_iter().find(|kind| kind(letter));
        let length = match kind {
            Some(kind) => rest.find(|other: char| !kind(other)).unwrap_or(rest.len()),
            None => letter.len_utf8(),
        };
        let (token, behind) = rest.split_at(length);
        tokens.push(match letter {
            '0'..='9' => Token::Number(token),
            'a'..='z' | 'A'..='Z' => Token::Word(token),
            _ if python::is_space(letter) => Token::Blank,
            _ => Token::Mark(letter),
        });
        rest = behind;
    }
    tokens
}

fn number(digits: &str) -> Option<i64> {
    if digits.len() > 4 {
        return None;
    }
    digits.parse().ok()
}

/// The place of a name, or of its first three letters, in a list; from 1.
fn named(word: &str, names: &[&str]) -> Option<i64> {
    let place = names.iter().position(|name| {
        word.eq_ignore_ascii_case(name)
            || name
                .get(..3)
                .is_some_and(|short| word.eq_ignore_ascii_case(short))
    })?;
    i64::try_from(place + 1).ok()
}

fn date_and_time(tokens: &[Token<'_>]) -> Option<i64> {
    use Token::{Blank, Mark, Number, Word};
    let tokens = match tokens {
        [Word(day), Mark(','), Blank, rest @ ..]
        | [Word(day), Mark(','), rest @ ..]
        | [Word(day), Blank, rest @ ..]
            if named(day, &DAYS).is_some() =>
        {
            rest
        }
        _ => tokens,
    };
    match tokens {
        [
            Number(a),
            Mark(one),
            Number(b),
            Mark(other),
            Number(c),
            rest @ ..,
        ] if one == other && matches!(one, '-' | '/' | '.') => {
            let (first, second, third) = (number(a)?, number(b)?, number(c)?);
            let days = match (a.len(), c.len()) {
                (4, 1..=2) => days(first, second, third)?,
                (1..=2, 4) if first > 12 => days(third, second, first)?,
                (1..=2, 4) => days(third, first, second)?,
                _ => return None,
            };
            at_time(days, rest)
        }
        [
            Number(day),
            Blank | Mark('-'),
            Word(month),
            Blank | Mark('-'),
            Number(year),
            rest @ ..,
        ]
        | [
            Word(month),
            Blank,
            Number(day),
            Mark(','),
            Blank,
            Number(year),
            rest @ ..,
        ] => at_time(named_days(year, month, day)?, rest),
        // As `date` and C's asctime write it: the year behind the time.
        [
            Word(month),
            Blank,
            Number(day),
            between @ ..,
            Blank,
            Number(year),
        ] if year.len() == 4 => at_time(named_days(year, month, day)?, between),
        [
            Word(month),
            Blank,
            Number(day),
            Blank,
            Number(year),
            rest @ ..,
        ] => at_time(named_days(year, month, day)?, rest),
        [Number(digits), rest @ ..] if matches!(digits.len(), 8 | 14) => {
            let days = days(
                number(digits.get(..4)?)?,
                number(digits.get(4..6)?)?,
                number(digits.get(6..8)?)?,
            )?;
            match digits.get(8..)? {
                "" => at_time(days, rest),
                time => at_time(days, &[&[Blank, Number(time)][..], rest].concat()),
            }
        }
        _ => None,
    }
}

/// Days since 1970 of a date with the month's name.
fn named_days(year: &str, month: &str, day: &str) -> Option<i64> {
    if year.len() != 4 {
        return None;
    }
    days(number(year)?, named(month, &MONTHS)?, number(day)?)
}

/// Days since 1970 of a date of the Gregorian calendar.
fn days(year: i64, month: i64, day: i64) -> Option<i64> {
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let length = match month {
        2 if is_leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return None,
    };
    if !(1..=9999).contains(&year) || !(1..=length).contains(&day) {
        return None;
    }
    // Years that begin in March end with the leap day; months then have 153 days in every five.
    let (year, month) = if month > 2 {
        (year, month - 3)
    } else {
        (year - 1, month + 9)
    };
    let before_year = 365 * year + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    let before_month = (153 * month + 2) / 5;
    Some(before_year + before_month + day - 1 - 719_468)
}

/// Seconds since 1970 of a day with what stands behind the date.
fn at_time(days: i64, tokens: &[Token<'_>]) -> Option<i64> {
    use Token::{Blank, Mark, Number, Word};
    let (tokens, is_marked) = match tokens {
        [] => return Some(days * 86_400),
        [Word("T" | "t"), rest @ ..] => (rest, true),
        [Blank, rest @ ..] => (rest, false),
        _ => return None,
    };
    let (hour, minute, second, rest) = match tokens {
        [
            Number(hour),
            Mark(':'),
            Number(minute),
            Mark(':'),
            Number(second),
            rest @ ..,
        ] => (*hour, *minute, *second, rest),
        [Number(hour), Mark(':'), Number(minute), rest @ ..] => (*hour, *minute, "0", rest),
        [Number(digits), rest @ ..] if matches!(digits.len(), 4 | 6) => {
            let second = digits.get(4..).filter(|second| !second.is_empty());
            let (hour, minute) = (digits.get(..2)?, digits.get(2..4)?);
            (hour, minute, second.unwrap_or("0"), rest)
        }
        [Number(hour), rest @ ..] if is_marked && hour.len() == 2 => (*hour, "0", "0", rest),
        _ => return None,
    };
    let rest = match rest {
        [Mark('.' | ','), Number(_), rest @ ..] => rest,
        rest => rest,
    };
    let (hour, minute, second) = (number(hour)?, number(minute)?, number(second)?);
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    Some(days * 86_400 + hour * 3600 + minute * 60 + second - zone(rest)?)
}

/// Seconds east of Greenwich.
fn zone(tokens: &[Token<'_>]) -> Option<i64> {
    use Token::{Blank, Mark, Number, Word};
    let tokens = match tokens {
        [Blank, rest @ ..] => rest,
        rest => rest,
    };
    let (sign, hours, minutes) = match tokens {
        [] | [Word("Z" | "z")] => return Some(0),
        [Word(name)] => {
            let is_name = matches!(name.len(), 3..=5)
                && name.bytes().all(|letter| letter.is_ascii_uppercase());
            return is_name.then_some(0);
        }
        [
            Mark(sign @ ('+' | '-')),
            Number(hours),
            Mark(':'),
            Number(minutes),
        ] => (sign, *hours, *minutes),
        [Mark(sign @ ('+' | '-')), Number(digits)] => match digits.len() {
            4 => (sign, digits.get(..2)?, digits.get(2..)?),
            1 | 2 => (sign, *digits, "0"),
            _ => return None,
        },
        _ => return None,
    };
    let (hours, minutes) = (number(hours)?, number(minutes)?);
    if hours > 23 || minutes > 59 {
        return None;
    }
    let seconds = hours * 3600 + minutes * 60;
    Some(if *sign == '-' { -seconds } else { seconds })
}

#[cfg(test)]
mod tests {
    use super::*;

    // The rows are what botocore 1.33.13, that of AWS CLI 1.31.13, sends and refuses.

    #[test]
    fn forms_that_botocore_takes_are_read() {
        for (text, expected) in [
            ("1700000000", 1_700_000_000),
            ("1700000000.7", 1_700_000_000),
            ("-5", -5),
            ("-5.5", -6),
            ("1e3", 1000),
            (" 5 ", 5),
            ("1_0", 10),
            ("2024", 2024),
            ("20240102", 20_240_102),
            ("253402300799", 253_402_300_799),
            ("-62135596800", -62_135_596_800),
            ("2024-01-02", 1_704_153_600),
            (" 2024-01-02 ", 1_704_153_600),
            ("2024-1-2", 1_704_153_600),
            ("2024/01/02", 1_704_153_600),
            ("2024.01.02", 1_704_153_600),
            ("1/2/2024", 1_704_153_600),
            ("1-2-2015", 1_420_156_800),
            ("21/10/2015", 1_445_385_600),
            ("20240102T030405", 1_704_164_645),
            ("20240102T030405Z", 1_704_164_645),
            ("20240102030405", 1_704_164_645),
            ("20151021 072800", 1_445_412_480),
            ("20151021T0728", 1_445_412_480),
            ("20151021T07", 1_445_410_800),
            ("20151021T072800+0200", 1_445_405_280),
            ("2024-01-02T03", 1_704_164_400),
            ("2024-01-02T03:04Z", 1_704_164_640),
            ("2024-01-02 03:04", 1_704_164_640),
            ("2024-01-02T03:04:05", 1_704_164_645),
            ("2024-01-02t03:04:05z", 1_704_164_645),
            ("2024-01-02T3:4:5", 1_704_164_645),
            ("2024-01-02T030405", 1_704_164_645),
            ("2024-01-02T03:04:05.999Z", 1_704_164_645),
            ("2024-01-02T03:04:05,5", 1_704_164_645),
            ("2024-01-02T03:04:05+02:00", 1_704_157_445),
            ("2024-01-02T03:04:05.678+02:00", 1_704_157_445),
            ("2024-01-02T03:04:05 +0200", 1_704_157_445),
            ("2024-01-02T03:04:05-0230", 1_704_173_645),
            ("2024-01-02T03:04:05+02", 1_704_157_445),
            ("2024-01-02T03:04:05+2", 1_704_157_445),
            ("2024-01-02T03:04:05+23:59", 1_704_078_305),
            ("2024-01-02T03:04:05 UTC", 1_704_164_645),
            ("2024-01-02T03:04:05 EST", 1_704_164_645),
            ("Tue, 02 Jan 2024 03:04:05 GMT", 1_704_164_645),
            ("Tue, 02 Jan 2024 03:04:05 +0200", 1_704_157_445),
            ("Wed, 21 Oct 2015 07:28:00", 1_445_412_480),
            ("Wed Oct 21 2015", 1_445_385_600),
            ("02 Jan 2024", 1_704_153_600),
            ("21-Oct-2015", 1_445_385_600),
            ("21 October 2015", 1_445_385_600),
            ("Jan 2 2024", 1_704_153_600),
            ("Oct 21, 2015", 1_445_385_600),
            ("October 21 2015 07:28", 1_445_412_480),
            ("Tue Jan  2 03:04:05 UTC 2024", 1_704_164_645),
            ("Sun Nov  6 08:49:37 1994", 784_111_777),
            ("1969-01-01", -31_536_000),
            ("0001-01-01", -62_135_596_800),
            ("9999-12-31", 253_402_214_400),
            ("2016-02-29", 1_456_704_000),
            ("2000-02-29", 951_782_400),
        ] {
            assert_eq!(of_text(text), Moment::Seconds(expected), "{text}");
        }
    }

    #[test]
    fn what_botocore_refuses_is_refused() {
        for text in [
            "",
            "nan",
            "now",
            "tomorrow",
            "0x10",
            "2024-02-30",
            "2024-13-01",
            "2015-00-10",
            "2015-10-00",
            "1900-02-29",
            "0000-01-01",
            "2024-W01-1",
            "2024-002",
            "2024-01-02T24:00:00",
            "2024-01-02T25:00:00",
            "2024-01-02T03:04:60Z",
            "2024-01-02T03:04:05+00:00Z",
            "2024-01-02T03:04:05+24:00",
            "2024-01-02T03:04:05+020",
            "2015-10-21T07:28:00 abc",
            "2015-10-21Z",
            "2015-10-21+02:00",
            "2015-10-21T07:28:00−02:00",
            "253402300800",
        ] {
            assert_eq!(of_text(text), Moment::None, "{text}");
        }
        for text in ["inf", "-inf", "100000000000000000", "1e300"] {
            assert_eq!(of_text(text), Moment::OutOfReach, "{text}");
        }
    }

    #[test]
    fn json_gives_times_as_numbers_too() {
        for (value, expected) in [
            (
                Parsed::Integer("1700000000".into()),
                Moment::Seconds(1_700_000_000),
            ),
            (
                Parsed::Float(1_700_000_000.7),
                Moment::Seconds(1_700_000_000),
            ),
            (Parsed::Float(0.999_999_9), Moment::Seconds(1)),
            (Parsed::Boolean(true), Moment::Seconds(1)),
            (Parsed::Null, Moment::None),
            (Parsed::Float(f64::NAN), Moment::None),
            (Parsed::Float(f64::INFINITY), Moment::OutOfReach),
            (Parsed::Integer("1".repeat(4000)), Moment::OutOfReach),
            (Parsed::List(Vec::new()), Moment::None),
        ] {
            assert_eq!(moment(&value), expected, "{value:?}");
        }
    }
}
