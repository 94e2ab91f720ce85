//! JSON values as Python has them: names of types, texts, equality, order and numbers.
//!
//! The AWS CLI evaluates its queries in Python, and this is where it can be told from the outside.
//! Knows nothing of expressions. Python's integers have no end and its floats have infinities; here
//! an integer beyond 64 bits becomes a float, and what is no JSON number becomes `null`.

use std::cmp::Ordering;

use serde_json::{Number, Value};

use super::error::JmespathError;

/// The name of the value's type.
pub(super) fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "NoneType",
        Value::Bool(_) => "bool",
        Value::Number(number) if number.is_f64() => "float",
        Value::Number(_) => "int",
        Value::String(_) => "str",
        Value::Array(_) => "list",
        Value::Object(_) => "dict",
    }
}

/// How a kind of text writes values.
struct Style {
    /// For `null`, `false` and `true`.
    words: [&'static str; 3],
    comma: &'static str,
    colon: &'static str,
    quote: fn(&mut String, &str),
}

impl Style {
    fn write(&self, out: &mut String, value: &Value) {
        let [null, no, yes] = self.words;
        match value {
            Value::Null => out.push_str(null),
            Value::Bool(false) => out.push_str(no),
            Value::Bool(true) => out.push_str(yes),
            Value::Number(number) => out.push_str(&Num::of(number).text()),
            Value::String(text) => (self.quote)(out, text),
            Value::Array(items) => {
                out.push('[');
                for (index, item) in items.iter().enumerate() {
                    if index > 0 {
                        out.push_str(self.comma);
                    }
                    self.write(out, item);
                }
                out.push(']');
            }
            Value::Object(members) => {
                out.push('{');
                for (index, (name, member)) in members.iter().enumerate() {
                    if index > 0 {
                        out.push_str(self.comma);
                    }
                    (self.quote)(out, name);
                    out.push_str(self.colon);
                    self.write(out, member);
                }
                out.push('}');
            }
        }
    }
}

/// `str(value)`: a string as it is, everything else as Python source.
pub(super) fn text(value: &Value) -> String {
    if let Value::String(text) = value {
        return text.clone();
    }
    let style = Style {
        words: ["None", "False", "True"],
        comma: ", ",
        colon: ": ",
        quote: quote_source,
    };
    let mut out = String::new();
    style.write(&mut out, value);
    out
}

/// `json.dumps(value, separators=(',', ':'))`: ASCII without white space.
pub(super) fn json(value: &Value) -> String {
    let style = Style {
        words: ["null", "false", "true"],
        comma: ",",
        colon: ":",
        quote: quote_json,
    };
    let mut out = String::new();
    style.write(&mut out, value);
    out
}

fn quote_source(out: &mut String, text: &str) {
    let quote = if text.contains('\'') && !text.contains('"') {
        '"'
    } else {
        '\''
    };
    out.push(quote);
    for found in text.chars() {
        match found {
            '\\' => out.push_str("\\\\"),
            '\t' => out.push_str("\\t"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            _ if found == quote => out.extend(['\\', found]),
            ' '..='~' => out.push(found),
            _ if is_printable(found) => out.push(found),
            '\0'..='\u{ff}' => out.push_str(&format!("\\x{:02x}", u32::from(found))),
            '\u{100}'..='\u{ffff}' => out.push_str(&format!("\\u{:04x}", u32::from(found))),
            _ => out.push_str(&format!("\\U{:08x}", u32::from(found))),
        }
    }
    out.push(quote);
}

/// Whether a character beyond ASCII is shown as it is. The `Debug` of a string decides by the same
/// categories of Unicode; it escapes more at the beginning, hence the letter in front.
fn is_printable(found: char) -> bool {
    let text = format!("a{found}");
    format!("{text:?}").chars().nth(2) == Some(found)
}

fn quote_json(out: &mut String, text: &str) {
    out.push('"');
    for found in text.chars() {
        match found {
            '"' | '\\' => out.extend(['\\', found]),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            ' '..='~' => out.push(found),
            _ => {
                for unit in found.encode_utf16(&mut [0; 2]) {
                    out.push_str(&format!("\\u{unit:04x}"));
                }
            }
        }
    }
    out.push('"');
}

/// Whether `str.strip()` takes the character away.
pub(super) fn is_space(found: char) -> bool {
    found.is_whitespace() || ('\x1c'..='\x1f').contains(&found)
}

/// `left == right` of Python, where booleans are the numbers 0 and 1.
pub(super) fn equal(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Array(left), Value::Array(right)) => {
            left.len() == right.len() && left.iter().zip(right).all(|(l, r)| equal(l, r))
        }
        (Value::Object(left), Value::Object(right)) => {
            let has = |name: &str, l: &Value| right.get(name).is_some_and(|r| equal(l, r));
            left.len() == right.len() && left.iter().all(|(name, l)| has(name, l))
        }
        _ => match (Num::with_booleans(left), Num::with_booleans(right)) {
            (Some(left), Some(right)) => left.compare(right).is_eq(),
            _ => left == right,
        },
    }
}

/// `left == right` of JMESPath: a boolean is no number, except within arrays and objects.
pub(super) fn same(left: &Value, right: &Value) -> bool {
    left.is_boolean() == right.is_boolean() && equal(left, right)
}

/// How two numbers or two strings compare.
///
/// # Errors
/// For everything else, with the operator's symbol in the text.
pub(super) fn order(
    operator: &'static str,
    left: &Value,
    right: &Value,
) -> Result<Ordering, JmespathError> {
    match (left, right) {
        (Value::Number(left), Value::Number(right)) => Ok(Num::of(left).compare(Num::of(right))),
        (Value::String(left), Value::String(right)) => Ok(left.cmp(right)),
        _ => Err(JmespathError::Unorderable {
            operator,
            left: type_name(left),
            right: type_name(right),
        }),
    }
}

/// A number; integers are exact.
#[derive(Debug, Clone, Copy)]
pub(super) enum Num {
    Int(i128),
    Float(f64),
}

impl Num {
    pub(super) fn of(number: &Number) -> Self {
        match (number.as_i64(), number.as_u64()) {
            (Some(int), _) => Self::Int(int.into()),
            (_, Some(int)) => Self::Int(int.into()),
            _ => Self::Float(number.as_f64().unwrap_or_default()),
        }
    }

    fn with_booleans(value: &Value) -> Option<Self> {
        match value {
            Value::Bool(value) => Some(Self::Int(i128::from(*value))),
            Value::Number(number) => Some(Self::of(number)),
            _ => None,
        }
    }

    /// What `int(text)` takes, else what `float(text)` takes.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let text = without_underscores(text.trim_matches(is_space))?;
        let int = text.parse::<i128>().map(Self::Int);
        int.or_else(|_| text.parse::<f64>().map(Self::Float)).ok()
    }

    pub(super) fn value(self) -> Value {
        match self {
            Self::Int(int) => i64::try_from(int)
                .map(Value::from)
                .or_else(|_| u64::try_from(int).map(Value::from))
                .unwrap_or_else(|_| Value::from(int as f64)),
            Self::Float(float) => Value::from(float),
        }
    }

    /// The shortest text that is read as the same number, as Python lays it out.
    fn text(self) -> String {
        let float = match self {
            Self::Int(int) => return int.to_string(),
            Self::Float(float) => float,
        };
        let scientific = format!("{float:e}");
        let (digits, exponent) = scientific
            .split_once('e')
            .unwrap_or((scientific.as_str(), ""));
        let exponent: i32 = exponent.parse().unwrap_or_default();
        if !(-4..16).contains(&exponent) {
            let sign = if exponent < 0 { '-' } else { '+' };
            return format!("{digits}e{sign}{:02}", exponent.unsigned_abs());
        }
        let mut fixed = float.to_string();
        if !fixed.contains('.') {
            fixed.push_str(".0");
        }
        fixed
    }

    pub(super) fn compare(self, other: Self) -> Ordering {
        match (self, other) {
            (Self::Int(left), Self::Int(right)) => left.cmp(&right),
            (Self::Int(left), Self::Float(right)) => compare_mixed(left, right),
            (Self::Float(left), Self::Int(right)) => compare_mixed(right, left).reverse(),
            (Self::Float(left), Self::Float(right)) => {
                left.partial_cmp(&right).unwrap_or(Ordering::Equal)
            }
        }
    }

    /// As a float, rounded if it must be.
    pub(super) fn float(self) -> f64 {
        match self {
            Self::Int(int) => int as f64,
            Self::Float(float) => float,
        }
    }

    pub(super) fn plus(self, other: Self) -> Self {
        match (self, other) {
            (Self::Int(left), Self::Int(right)) => Self::Int(left.saturating_add(right)),
            _ => Self::Float(self.float() + other.float()),
        }
    }

    pub(super) fn abs(self) -> Self {
        match self {
            Self::Int(int) => Self::Int(int.abs()),
            Self::Float(float) => Self::Float(float.abs()),
        }
    }

    /// Makes an integer of a float by `round`.
    pub(super) fn rounded(self, round: fn(f64) -> f64) -> Self {
        match self {
            Self::Float(float) if float.abs() < BEYOND => Self::Int(round(float) as i128),
            other => other,
        }
    }
}

/// 2 to the 64: floats from here on are whole numbers, and stay floats.
const BEYOND: f64 = 18_446_744_073_709_551_616.0;

fn compare_mixed(int: i128, float: f64) -> Ordering {
    // `as` stops at the ends of i128, which are far beyond those of every JSON integer.
    let whole = float.trunc() as i128;
    let fraction = float.fract();
    int.cmp(&whole)
        .then_with(|| 0.0_f64.partial_cmp(&fraction).unwrap_or(Ordering::Equal))
}

/// The text without the `_`s between its digits; none if there are others.
fn without_underscores(text: &str) -> Option<String> {
    let bytes = text.as_bytes();
    let is_digit = |at: usize| bytes.get(at).is_some_and(u8::is_ascii_digit);
    let between_digits = |at: usize| at > 0 && is_digit(at - 1) && is_digit(at + 1);
    text.match_indices('_')
        .all(|(at, _)| between_digits(at))
        .then(|| text.replace('_', ""))
}
