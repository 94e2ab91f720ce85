//! JSON as Python 3.11 reads it, its messages included.
//!
//! Pure. Beyond the standard it takes `NaN`, `Infinity` and `-Infinity`, keeps integers of any
//! size, and of members with the same name the last. Positions count characters. A surrogate that
//! has no other half cannot be held, and is refused: the one difference.

use std::collections::HashMap;
use std::ffi::OsStr;

use super::value::{Dict, Parsed};
use crate::cli::kms::python::{self, NotAnInteger};

/// Nesting that is accepted; Python gives up near 980.
const DEPTH: usize = 980;

/// Why a text is not JSON; shown as Python shows it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotJson {
    /// Something else should have stood there.
    #[error("{reason}: line {line} column {column} (char {at})")]
    Syntax {
        /// What is wrong.
        reason: &'static str,
        /// The line, from 1.
        line: usize,
        /// The column, from 1.
        column: usize,
        /// Characters before it.
        at: usize,
    },
    /// A number has too many digits.
    #[error(transparent)]
    Integer(#[from] NotAnInteger),
    /// A text has half of a surrogate pair in it.
    #[error("half of a surrogate pair: \\u{unit:04x}")]
    Surrogate {
        /// The half.
        unit: u32,
    },
    /// Lists or objects are nested too deeply. Python does not count this among faults of syntax.
    #[error("maximum recursion depth exceeded while decoding a JSON {0} from a unicode string")]
    TooDeep(&'static str),
}

/// Reads one value, with white space around it; objects become `dict`s.
///
/// # Errors
/// [`NotJson`].
pub fn parse(text: &str, dict: Dict) -> Result<Parsed, NotJson> {
    let mut reader = Reader {
        text: text.chars().collect(),
        at: 0,
        dict,
    };
    if reader.peek() == Some('\u{feff}') {
        return Err(reader.fault("Unexpected UTF-8 BOM (decode using utf-8-sig)", 0));
    }
    reader.skip_blanks();
    let value = reader.value(DEPTH)?;
    reader.skip_blanks();
    if reader.at < reader.text.len() {
        return Err(reader.fault("Extra data", reader.at));
    }
    Ok(value)
}

struct Reader {
    text: Vec<char>,
    at: usize,
    dict: Dict,
}

impl Reader {
    fn peek(&self) -> Option<char> {
        self.text.get(self.at).copied()
    }

    fn skip_blanks(&mut self) {
        while matches!(self.peek(), Some(' ' | '\t' | '\n' | '\r')) {
            self.at += 1;
        }
    }

    fn eat(&mut self, wanted: char) -> bool {
        let is_there = self.peek() == Some(wanted);
        self.at += usize::from(is_there);
        is_there
    }

    fn fault(&self, reason: &'static str, at: usize) -> NotJson {
        let before = self.text.iter().take(at);
        let line = before.clone().filter(|letter| **letter == '\n').count() + 1;
        let column = before.rev().take_while(|letter| **letter != '\n').count() + 1;
        NotJson::Syntax {
            reason,
            line,
            column,
            at,
        }
    }

    fn value(&mut self, depth: usize) -> Result<Parsed, NotJson> {
        match self.peek() {
            Some('{') => self.object(depth),
            Some('[') => self.array(depth),
            Some('"') => self.string().map(Parsed::Text),
            Some('-' | '0'..='9') => self.number(),
            _ => self.constant(),
        }
    }

    fn constant(&mut self) -> Result<Parsed, NotJson> {
        for (word, value) in [
            ("null", Parsed::Null),
            ("true", Parsed::Boolean(true)),
            ("false", Parsed::Boolean(false)),
            ("NaN", Parsed::Float(f64::NAN)),
            ("Infinity", Parsed::Float(f64::INFINITY)),
        ] {
            if self.word(word) {
                return Ok(value);
            }
        }
        Err(self.fault("Expecting value", self.at))
    }

    fn word(&mut self, word: &str) -> bool {
        let ahead = self.text.iter().skip(self.at).copied();
        let is_there = ahead.take(word.len()).eq(word.chars());
        if is_there {
            self.at += word.len();
        }
        is_there
    }

    fn object(&mut self, depth: usize) -> Result<Parsed, NotJson> {
        let depth = depth.checked_sub(1).ok_or(NotJson::TooDeep("object"))?;
        self.at += 1;
        self.skip_blanks();
        let mut members: Vec<(String, Parsed)> = Vec::new();
        if self.eat('}') {
            return Ok(Parsed::Map(members, self.dict));
        }
        let mut places: HashMap<String, usize> = HashMap::new();
        loop {
            if self.peek() != Some('"') {
                let reason = "Expecting property name enclosed in double quotes";
                return Err(self.fault(reason, self.at));
            }
            let name = self.string()?;
            self.skip_blanks();
            if !self.eat(':') {
                return Err(self.fault("Expecting ':' delimiter", self.at));
            }
            self.skip_blanks();
            let value = self.value(depth)?;
            let known = places.get(&name).and_then(|place| members.get_mut(*place));
            if let Some((_, known)) = known {
                *known = value;
            } else {
                places.insert(name.clone(), members.len());
                members.push((name, value));
            }
            if self.ends('}')? {
                return Ok(Parsed::Map(members, self.dict));
            }
        }
    }

    fn array(&mut self, depth: usize) -> Result<Parsed, NotJson> {
        let depth = depth.checked_sub(1).ok_or(NotJson::TooDeep("array"))?;
        self.at += 1;
        self.skip_blanks();
        let mut items = Vec::new();
        if self.eat(']') {
            return Ok(Parsed::List(items));
        }
        loop {
            items.push(self.value(depth)?);
            if self.ends(']')? {
                return Ok(Parsed::List(items));
            }
        }
    }

    /// Whether a list or object ends here; else a comma is taken.
    fn ends(&mut self, close: char) -> Result<bool, NotJson> {
        self.skip_blanks();
        if self.eat(close) {
            return Ok(true);
        }
        if !self.eat(',') {
            return Err(self.fault("Expecting ',' delimiter", self.at));
        }
        self.skip_blanks();
        Ok(false)
    }

    fn number(&mut self) -> Result<Parsed, NotJson> {
        let start = self.at;
        self.eat('-');
        if self.at > start && self.word("Infinity") {
            return Ok(Parsed::Float(f64::NEG_INFINITY));
        }
        match self.peek() {
            Some('0') => self.at += 1,
            Some('1'..='9') => self.digits(),
            _ => {
                self.at = start;
                return Err(self.fault("Expecting value", start));
            }
        }
        let whole_end = self.at;
        // A point or an exponent without digits is left for others to complain about.
        if self.eat('.') {
            let digits = self.at;
            self.digits();
            if self.at == digits {
                self.at = whole_end;
            }
        }
        let fraction_end = self.at;
        if self.eat('e') || self.eat('E') {
            let _ = self.eat('+') || self.eat('-');
            let digits = self.at;
            self.digits();
            if self.at == digits {
                self.at = fraction_end;
            }
        }
        let length = self.at - start;
        let text: String = self.text.iter().skip(start).take(length).collect();
        if self.at == whole_end {
            return Ok(Parsed::Integer(python::integer(OsStr::new(&text))?));
        }
        // Rust reads what JSON allows, and gives infinity for what is too large, as Python does.
        Ok(Parsed::Float(text.parse().unwrap_or(f64::INFINITY)))
    }

    fn digits(&mut self) {
        while self.peek().is_some_and(|letter| letter.is_ascii_digit()) {
            self.at += 1;
        }
    }

    fn string(&mut self) -> Result<String, NotJson> {
        let start = self.at;
        self.at += 1;
        let mut out = String::new();
        loop {
            let Some(letter) = self.peek() else {
                return Err(self.fault("Unterminated string starting at", start));
            };
            match letter {
                '"' => {
                    self.at += 1;
                    return Ok(out);
                }
                '\\' => out.push(self.escape(start)?),
                '\0'..='\x1f' => return Err(self.fault("Invalid control character at", self.at)),
                _ => {
                    self.at += 1;
                    out.push(letter);
                }
            }
        }
    }

    fn escape(&mut self, string_start: usize) -> Result<char, NotJson> {
        let backslash = self.at;
        self.at += 1;
        let Some(letter) = self.peek() else {
            return Err(self.fault("Unterminated string starting at", string_start));
        };
        self.at += 1;
        Ok(match letter {
            '"' | '\\' | '/' => letter,
            'b' => '\x08',
            'f' => '\x0c',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'u' => return self.unicode(backslash),
            _ => return Err(self.fault("Invalid \\escape", backslash)),
        })
    }

    /// What follows `\u`: four digits, or a surrogate pair.
    fn unicode(&mut self, backslash: usize) -> Result<char, NotJson> {
        let unit = self.hex(backslash)?;
        if (0xd800..0xdc00).contains(&unit) && self.word("\\u") {
            let low = self.hex(self.at - 2)?;
            if (0xdc00..0xe000).contains(&low) {
                let code = 0x1_0000 + ((unit - 0xd800) << 10) + (low - 0xdc00);
                return char::from_u32(code).ok_or(NotJson::Surrogate { unit });
            }
        }
        char::from_u32(unit).ok_or(NotJson::Surrogate { unit })
    }

    fn hex(&mut self, backslash: usize) -> Result<u32, NotJson> {
        let mut unit = 0;
        // The text cannot end with the digits: quotes have to follow.
        let is_cut = self.at + 4 >= self.text.len();
        for _ in 0..4 {
            let digit = self.peek().and_then(|letter| letter.to_digit(16));
            let (Some(digit), false) = (digit, is_cut) else {
                return Err(self.fault("Invalid \\uXXXX escape", backslash + 1));
            };
            unit = unit * 16 + digit;
            self.at += 1;
        }
        Ok(unit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Parsed, NotJson> {
        super::parse(text, Dict::Plain)
    }

    // The rows are what Python 3.11 answers.

    #[test]
    fn values_are_read_as_python_reads_them() {
        for (text, expected) in [
            (
                r#"{"a": [1, 2.5, true, null, "x'y", 1e100, -0]}"#,
                r#"{'a': [1, 2.5, True, None, "x'y", 1e+100, 0]}"#,
            ),
            (r#"{"a":1,"b":2,"a":3}"#, "{'a': 3, 'b': 2}"),
            ("[]", "[]"),
            (" { } ", "{}"),
            ("-0.0", "-0.0"),
            ("1E5", "100000.0"),
            ("1e400", "inf"),
            ("NaN", "nan"),
            ("-Infinity", "-inf"),
            ("-99999999999999999999", "-99999999999999999999"),
            (r#"["\ud83d\ude00\/\u00e9\n"]"#, "['😀/é\\n']"),
        ] {
            assert_eq!(parse(text).expect("accepted").shown(), expected, "{text}");
        }
    }

    #[test]
    fn what_is_no_json_is_refused_with_its_place() {
        let name = "Expecting property name enclosed in double quotes";
        for (text, reason, at) in [
            ("", "Expecting value", 0),
            ("  ", "Expecting value", 2),
            ("{bad", name, 1),
            ("{", name, 1),
            ("{]", name, 1),
            (r#"{"a":1,"#, name, 7),
            (r#"{"a":1,}"#, name, 7),
            (r#"{"a""#, "Expecting ':' delimiter", 4),
            (r#"{"a" 1}"#, "Expecting ':' delimiter", 5),
            (r#"{"a":"#, "Expecting value", 5),
            (r#"{"a":1"#, "Expecting ',' delimiter", 6),
            (r#"{"a":1 "b""#, "Expecting ',' delimiter", 7),
            (r#"{"a":1}}"#, "Extra data", 7),
            ("[", "Expecting value", 1),
            ("[,", "Expecting value", 1),
            ("[1,]", "Expecting value", 3),
            ("[1 2]", "Expecting ',' delimiter", 3),
            ("[Infinity", "Expecting ',' delimiter", 9),
            ("nul", "Expecting value", 0),
            ("nulls", "Extra data", 4),
            ("-", "Expecting value", 0),
            ("-Infinit", "Expecting value", 0),
            ("+1", "Expecting value", 0),
            ("01", "Extra data", 1),
            ("-01", "Extra data", 2),
            ("1.", "Extra data", 1),
            ("1.e5", "Extra data", 1),
            ("1.5e", "Extra data", 3),
            ("1e+", "Extra data", 1),
            ("1_0", "Extra data", 1),
            ("\u{a0}1", "Expecting value", 0),
            (
                "\u{feff}{}",
                "Unexpected UTF-8 BOM (decode using utf-8-sig)",
                0,
            ),
            (r#"{"a":"x"#, "Unterminated string starting at", 5),
            (r#""\"#, "Unterminated string starting at", 0),
            (r#""\u12345"#, "Unterminated string starting at", 0),
            (r#""\x""#, "Invalid \\escape", 1),
            (r#""\u12""#, "Invalid \\uXXXX escape", 2),
            (r#""\u12zz""#, "Invalid \\uXXXX escape", 2),
            (r#""\u+123""#, "Invalid \\uXXXX escape", 2),
            (r#""\ud800\udczz""#, "Invalid \\uXXXX escape", 8),
            ("\"a\0b\"", "Invalid control character at", 2),
        ] {
            let expected = format!("{reason}: line 1 column {} (char {at})", at + 1);
            assert_eq!(
                parse(text).expect_err("refused").to_string(),
                expected,
                "{text}"
            );
        }
        assert_eq!(
            parse("\n\n [1,\n 2 x]").expect_err("refused").to_string(),
            "Expecting ',' delimiter: line 4 column 4 (char 10)"
        );
    }

    #[test]
    fn depth_and_digits_are_bounded() {
        assert!(parse(&format!("{}{}", "[".repeat(980), "]".repeat(980))).is_ok());
        for (text, what) in [("[", "array"), ("{\"a\":", "object")] {
            assert_eq!(
                parse(&text.repeat(100_000))
                    .expect_err("refused")
                    .to_string(),
                format!(
                    "maximum recursion depth exceeded while decoding a JSON {what} from a \
                     unicode string"
                )
            );
        }
        let fault = parse(&"1".repeat(4301)).expect_err("refused").to_string();
        assert!(fault.starts_with("Exceeds the limit (4300 digits)"));
        for text in [r#""\ud800""#, r#""\ud800\u1234""#, r#""\udc00""#] {
            assert!(
                matches!(parse(text), Err(NotJson::Surrogate { .. })),
                "{text}"
            );
        }
    }
}
