//! What a request says about a condition key.

use std::borrow::Cow;
use std::net::IpAddr;

use super::date;

/// The condition keys of one request.
///
/// Nothing has to be prepared: policies ask for the few keys that their conditions and variables
/// name, and only when a statement's principals, actions and resources match.
pub trait ConditionKeys {
    /// The value of the key `name`; `None` when the request does not have that key.
    ///
    /// Names have no case: `name` comes in lower case as a whole, the part behind
    /// `kms:encryptioncontext:` or `aws:resourcetag/` included (see [`same_name`]).
    fn value(&self, name: &str) -> Option<Values<'_>>;
}

/// The value or values of a condition key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Values<'a> {
    /// Of a single-valued key.
    One(Value<'a>),
    /// Of a multivalued key; there may be none.
    Many(Vec<Value<'a>>),
}

impl<'a> Values<'a> {
    /// One text.
    pub fn text(text: impl Into<Cow<'a, str>>) -> Self {
        Self::One(Value::Text(text.into()))
    }

    /// A set of texts.
    pub fn texts<T: Into<Cow<'a, str>>>(texts: impl IntoIterator<Item = T>) -> Self {
        let texts = texts.into_iter().map(|text| Value::Text(text.into()));
        Self::Many(texts.collect())
    }

    pub(super) fn as_slice(&self) -> &[Value<'a>] {
        match self {
            Self::One(value) => std::slice::from_ref(value),
            Self::Many(values) => values,
        }
    }
}

/// One value of a condition key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value<'a> {
    /// A text; operators of other types read it as theirs.
    Text(Cow<'a, str>),
    /// True or false.
    Boolean(bool),
    /// A number; for the date operators, seconds since 1970.
    Number(i64),
    /// A date, in milliseconds since 1970.
    Date(i64),
    /// An IP address.
    Address(IpAddr),
}

impl Value<'_> {
    /// As the text that string operators compare and variables stand for.
    pub(super) fn text(&self) -> Cow<'_, str> {
        match self {
            Self::Text(text) => Cow::Borrowed(text),
            Self::Boolean(true) => Cow::Borrowed("true"),
            Self::Boolean(false) => Cow::Borrowed("false"),
            Self::Number(number) => Cow::Owned(number.to_string()),
            Self::Date(milliseconds) => Cow::Owned(date::text(*milliseconds)),
            Self::Address(address) => Cow::Owned(address.to_string()),
        }
    }

    pub(super) fn boolean(&self) -> Option<bool> {
        match self {
            Self::Boolean(value) => Some(*value),
            Self::Text(text) => boolean(text),
            _ => None,
        }
    }

    pub(super) fn number(&self) -> Option<f64> {
        match self {
            Self::Number(value) => Some(*value as f64),
            Self::Date(milliseconds) => Some(*milliseconds as f64 / 1000.0),
            Self::Text(text) => number(text),
            _ => None,
        }
    }

    /// In milliseconds since 1970.
    pub(super) fn date(&self) -> Option<i64> {
        match self {
            Self::Date(milliseconds) => Some(*milliseconds),
            Self::Number(seconds) => seconds.checked_mul(1000),
            Self::Text(text) => date::parse(text),
            _ => None,
        }
    }

    pub(super) fn address(&self) -> Option<IpAddr> {
        match self {
            Self::Address(address) => Some(*address),
            Self::Text(text) => text.parse().ok(),
            _ => None,
        }
    }
}

/// Reads `true` or `false` in any case.
pub(super) fn boolean(text: &str) -> Option<bool> {
    if text.eq_ignore_ascii_case("true") {
        Some(true)
    } else if text.eq_ignore_ascii_case("false") {
        Some(false)
    } else {
        None
    }
}

/// Reads a decimal number; the words that Rust reads as numbers are none.
pub(super) fn number(text: &str) -> Option<f64> {
    let decimal = |byte: u8| byte.is_ascii_digit() || b"+-.eE".contains(&byte);
    if !text.bytes().all(decimal) {
        return None;
    }
    text.parse().ok().filter(|number: &f64| number.is_finite())
}

/// The form in which [`ConditionKeys::value`] gets names.
pub(super) fn lowered(name: &str) -> String {
    name.chars().flat_map(char::to_lowercase).collect()
}

/// Tells whether `name` is `lowered` when it is put in lower case.
pub fn same_name(lowered: &str, name: &str) -> bool {
    name.chars()
        .flat_map(char::to_lowercase)
        .eq(lowered.chars())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_the_same_in_any_case() {
        for name in ["kms:EncryptionContext:AppName", "ΣΑΣ", "İ", "ß", ""] {
            assert!(same_name(&lowered(name), name), "{name}");
        }
        assert!(same_name("appname", "APPNAME"));
        assert!(!same_name("appname", "appname "));
        assert!(!same_name("appname", "app"));
    }

    #[test]
    fn words_are_not_numbers() {
        for text in [
            "inf", "-inf", "NaN", "infinity", "1e999", "", "+", "0x1", "1 ",
        ] {
            assert_eq!(number(text), None, "{text}");
        }
        assert_eq!(number("-10.50"), Some(-10.5));
    }

    #[test]
    fn every_value_has_a_text() {
        assert_eq!(Value::Boolean(true).text(), "true");
        assert_eq!(Value::Number(-7).text(), "-7");
        assert_eq!(
            Value::Date(1_577_836_801_000).text(),
            "2020-01-01T00:00:01Z"
        );
        assert_eq!(
            Value::Address(IpAddr::from([192, 0, 2, 1])).text(),
            "192.0.2.1"
        );
    }
}
