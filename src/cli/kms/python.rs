//! What the AWS CLI v1 owes to the language it is written in: how Python shows values in messages,
//! and what it reads as a number.
//!
//! Pure. An argument that is not UTF-8 is shown as Python shows it: each stray byte as `\udcXX`.

pub mod json;

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

/// Digits that Python converts to an integer.
const MOST_DIGITS: usize = 4300;

/// Why a text is not an integer; shown as Python shows it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotAnInteger {
    /// It is none; the text as [`quoted`] gives it.
    #[error("invalid literal for int() with base 10: {}", first(.0, 200))]
    Literal(String),
    /// It has more digits than Python takes.
    #[error(
        "Exceeds the limit ({limit} digits) for integer string conversion: value has {0} digits; \
         use sys.set_int_max_str_digits() to increase the limit",
        limit = MOST_DIGITS
    )]
    TooLong(usize),
}

fn first(text: &str, most: usize) -> String {
    text.chars().take(most).collect()
}

/// Says whether Python takes a character for white space.
pub fn is_space(letter: char) -> bool {
    letter.is_whitespace() || matches!(letter, '\x1c'..='\x1f')
}

/// Shows an argument as it stands in a message.
pub fn shown(text: &OsStr) -> String {
    let mut out = String::new();
    for chunk in text.as_bytes().utf8_chunks() {
        out.push_str(chunk.valid());
        for byte in chunk.invalid() {
            out.push_str(&format!("\\udc{byte:02x}"));
        }
    }
    out
}

/// Shows a text as `repr` does.
pub fn quoted(text: &OsStr) -> String {
    let bytes = text.as_bytes();
    let quote = quote_for(bytes);
    let mut out = String::from(quote);
    for chunk in bytes.utf8_chunks() {
        for letter in chunk.valid().chars() {
            push_escaped(letter, quote, &mut out);
        }
        for byte in chunk.invalid() {
            out.push_str(&format!("\\udc{byte:02x}"));
        }
    }
    out.push(quote);
    out
}

/// Shows bytes as `repr` does: `b'..'`.
pub fn quoted_bytes(bytes: &[u8]) -> String {
    let quote = quote_for(bytes);
    let mut out = format!("b{quote}");
    for byte in bytes {
        if byte.is_ascii() {
            push_escaped(char::from(*byte), quote, &mut out);
        } else {
            out.push_str(&format!("\\x{byte:02x}"));
        }
    }
    out.push(quote);
    out
}

/// Single quotes, unless only double quotes spare an escape.
fn quote_for(bytes: &[u8]) -> char {
    if bytes.contains(&b'\'') && !bytes.contains(&b'"') {
        '"'
    } else {
        '\''
    }
}

fn push_escaped(letter: char, quote: char, out: &mut String) {
    let code = u32::from(letter);
    match letter {
        '\n' => out.push_str("\\n"),
        '\r' => out.push_str("\\r"),
        '\t' => out.push_str("\\t"),
        '\\' => out.push_str("\\\\"),
        _ if letter == quote => {
            out.push('\\');
            out.push(letter);
        }
        _ if is_printable(letter) => out.push(letter),
        _ if code <= 0xff => out.push_str(&format!("\\x{code:02x}")),
        _ if code <= 0xffff => out.push_str(&format!("\\u{code:04x}")),
        _ => out.push_str(&format!("\\U{code:08x}")),
    }
}

/// Rust's debug form escapes what Python's does, and combining marks at the very start, hence the
/// blank.
fn is_printable(letter: char) -> bool {
    if letter.is_ascii() {
        return !letter.is_ascii_control();
    }
    format!(" {letter}").escape_debug().count() == 2
}

/// Shows a float as `repr` does: the fewest digits that give it back, an exponent below 10^-4 and
/// from 10^16 on.
pub fn float(value: f64) -> String {
    if value.is_nan() {
        return "nan".to_owned();
    }
    if value.is_infinite() {
        let name = if value > 0.0 { "inf" } else { "-inf" };
        return name.to_owned();
    }
    let scientific = format!("{value:e}");
    let (digits, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if !(-4..16).contains(&exponent) {
        let sign = if exponent < 0 { '-' } else { '+' };
        return format!("{digits}e{sign}{:02}", exponent.unsigned_abs());
    }
    let plain = value.to_string();
    if plain.contains('.') {
        plain
    } else {
        plain + ".0"
    }
}

/// Reads an integer as `int` does, and gives it without sign `+`, zeros in front and underscores.
///
/// # Errors
/// [`NotAnInteger`].
pub fn integer(text: &OsStr) -> Result<String, NotAnInteger> {
    let fault = || NotAnInteger::Literal(quoted(text));
    let trimmed = text.to_str().ok_or_else(fault)?.trim_matches(is_space);
    let (sign, digits) = match trimmed.strip_prefix('-') {
        Some(digits) => ("-", digits),
        None => ("", trimmed.strip_prefix('+').unwrap_or(trimmed)),
    };
    if digits.is_empty() {
        return Err(fault());
    }
    let digits = without_underscores(digits).ok_or_else(fault)?;
    if !digits.bytes().all(|digit| digit.is_ascii_digit()) {
        return Err(fault());
    }
    if digits.len() > MOST_DIGITS {
        return Err(NotAnInteger::TooLong(digits.len()));
    }
    let significant = digits.trim_start_matches('0');
    if significant.is_empty() {
        return Ok("0".to_owned());
    }
    Ok(format!("{sign}{significant}"))
}

/// Reads a number as `float` does.
pub fn real(text: &str) -> Option<f64> {
    without_underscores(text.trim_matches(is_space))?
        .parse()
        .ok()
}

/// Takes underscores out, each of which has to stand between two digits.
pub fn without_underscores(text: &str) -> Option<String> {
    let bytes = text.as_bytes();
    let is_digit = |at: Option<usize>| {
        at.and_then(|at| bytes.get(at))
            .is_some_and(u8::is_ascii_digit)
    };
    let stray = bytes.iter().enumerate().any(|(at, byte)| {
        *byte == b'_' && !(is_digit(at.checked_sub(1)) && is_digit(at.checked_add(1)))
    });
    (!stray).then(|| text.replace('_', ""))
}

/// Finds up to three of `choices` that are nearly `word`, best first.
pub fn close_matches<'a>(word: &str, choices: &[&'a str]) -> Vec<&'a str> {
    let word: Vec<char> = word.chars().collect();
    let mut found: Vec<(f64, &str)> = choices
        .iter()
        .map(|choice| (similarity(choice, &word), *choice))
        .filter(|(similarity, _)| *similarity >= 0.8)
        .collect();
    found.sort_by(|one, other| other.0.total_cmp(&one.0).then_with(|| other.1.cmp(one.1)));
    found
        .into_iter()
        .take(3)
        .map(|(_, choice)| choice)
        .collect()
}

/// The share of the letters that the two have in common, in the same order (Ratcliff and
/// Obershelp).
fn similarity(choice: &str, word: &[char]) -> f64 {
    let choice: Vec<char> = choice.chars().collect();
    let letters = (choice.len() + word.len()) as f64;
    // No word can be near that is much longer or shorter; this bounds the recursion, too.
    if 2.0 * (choice.len().min(word.len()) as f64) < 0.8 * letters {
        return 0.0;
    }
    2.0 * (in_common(&choice, word) as f64) / letters
}

fn in_common(one: &[char], other: &[char]) -> usize {
    let (mut length, mut start, mut other_start) = (0, 0, 0);
    // Lengths of the common parts that end at the letter before, by where they end in `other`.
    let mut before = vec![0; other.len() + 1];
    for (at, letter) in one.iter().enumerate() {
        let mut here = vec![0; other.len() + 1];
        for (other_at, other_letter) in other.iter().enumerate() {
            if letter != other_letter {
                continue;
            }
            let common = before.get(other_at).copied().unwrap_or(0) + 1;
            if let Some(end) = here.get_mut(other_at + 1) {
                *end = common;
            }
            if common > length {
                (length, start, other_start) = (common, at + 1 - common, other_at + 1 - common);
            }
        }
        before = here;
    }
    if length == 0 {
        return 0;
    }
    let (left, rest) = one.split_at(start);
    let (other_left, other_rest) = other.split_at(other_start);
    let right = rest.get(length..).unwrap_or_default();
    let other_right = other_rest.get(length..).unwrap_or_default();
    length + in_common(left, other_left) + in_common(right, other_right)
}

/// Seconds since 1970 as Python's `datetime.isoformat` writes them in UTC: with microseconds
/// unless there are none.
pub fn iso_time(seconds: f64) -> String {
    let micros = (seconds * 1_000_000.0).round();
    let nanos = micros as i128 * 1000;
    let Ok(time) = time::OffsetDateTime::from_unix_timestamp_nanos(nanos) else {
        return String::new();
    };
    let micros = match time.microsecond() {
        0 => String::new(),
        micros => format!(".{micros:06}"),
    };
    format!(
        "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}{micros}+00:00",
        time.year(),
        u8::from(time.month()),
        time.day(),
        time.hour(),
        time.minute(),
        time.second()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_quoted_as_python_quotes_them() {
        let rows: [(&[u8], &str); 9] = [
            (b"", "''"),
            (b"it's", "\"it's\""),
            (b"\"", "'\"'"),
            (b"'\"", "'\\'\"'"),
            (b"a\\b\n\r\t", "'a\\\\b\\n\\r\\t'"),
            (b"\x07\x7f", "'\\x07\\x7f'"),
            ("\u{e4}\u{a0}\u{200b}".as_bytes(), "'ä\\xa0\\u200b'"),
            ("😀\u{e0001}".as_bytes(), "'😀\\U000e0001'"),
            (b"a\xff\xe2\x82", "'a\\udcff\\udce2\\udc82'"),
        ];
        for (text, expected) in rows {
            assert_eq!(quoted(OsStr::from_bytes(text)), expected);
        }
        assert_eq!(shown(OsStr::from_bytes(b"it's \xff")), "it's \\udcff");
        assert_eq!(quoted_bytes(b"7"), "b'7'");
        assert_eq!(quoted_bytes(b"\xff\x00'"), "b\"\\xff\\x00'\"");
    }

    #[test]
    fn integers_are_read_as_python_reads_them() {
        for (text, expected) in [
            ("7", Some("7")),
            ("007", Some("7")),
            (" +5 ", Some("5")),
            ("-0", Some("0")),
            ("-12", Some("-12")),
            ("1_0", Some("10")),
            ("99999999999999999999", Some("99999999999999999999")),
            ("", None),
            ("+", None),
            ("- 5", None),
            ("1__0", None),
            ("_1", None),
            ("1_", None),
            ("1.5", None),
            ("0x10", None),
            ("x", None),
        ] {
            let found = integer(OsStr::new(text)).ok();
            assert_eq!(found.as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn what_is_no_integer_is_shown_as_python_shows_it() {
        let shown = |text: &str| integer(OsStr::new(text)).expect_err("refused").to_string();
        assert_eq!(
            shown("\u{e9}\n\x07'"),
            "invalid literal for int() with base 10: \"é\\n\\x07'\""
        );
        assert_eq!(
            shown(&"1".repeat(4301)),
            "Exceeds the limit (4300 digits) for integer string conversion: value has 4301 \
             digits; use sys.set_int_max_str_digits() to increase the limit"
        );
        let long = shown(&"x".repeat(1000));
        assert_eq!(
            long.len(),
            "invalid literal for int() with base 10: ".len() + 200
        );
    }

    #[test]
    fn floats_are_read_and_shown_as_python_does() {
        for (text, expected) in [
            ("1", "1.0"),
            ("1e100", "1e+100"),
            (" 2.5 ", "2.5"),
            ("1_0", "10.0"),
            ("0.00001", "1e-05"),
            ("1e16", "1e+16"),
            ("123456789012345.6", "123456789012345.6"),
            ("-Infinity", "-inf"),
            ("nan", "nan"),
        ] {
            assert_eq!(real(text).map(float).as_deref(), Some(expected), "{text}");
        }
        for text in ["", "_1", "0x10", "1,5"] {
            assert_eq!(real(text), None, "{text}");
        }
    }

    #[test]
    fn near_words_are_found_and_long_ones_are_not_compared() {
        let names = [
            "re-encrypt",
            "encrypt",
            "decrypt",
            "list-keys",
            "list-key-policies",
        ];
        assert_eq!(close_matches("re-encryp", &names), ["re-encrypt"]);
        assert_eq!(close_matches("decryp", &names), ["decrypt"]);
        assert_eq!(close_matches("list-key", &names), ["list-keys"]);
        assert_eq!(close_matches("ecrypt", &names), ["encrypt", "decrypt"]);
        assert!(close_matches("bogus", &names).is_empty());
        assert!(close_matches(&"x".repeat(1_000_000), &names).is_empty());
    }
}
