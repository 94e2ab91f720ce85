//! A parameter between the command line and the request: what Python would hold, which is more
//! than JSON has (bytes, integers of any size, infinity) and less strict.
//!
//! Pure. Nesting is bounded by those who make values.

use std::ffi::OsStr;

use serde_json::Value;

use crate::cli::kms::python;

/// Which of Python's dictionaries an object became; it shows in messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dict {
    /// Of shorthand and of `--cli-input-json`.
    Plain,
    /// Of JSON in any other option.
    Ordered,
}

/// A value of no known type yet.
#[derive(Debug, Clone, PartialEq)]
pub enum Parsed {
    /// `null`.
    Null,
    /// `true` or `false`.
    Boolean(bool),
    /// A whole number, as Python writes it.
    Integer(String),
    /// A number with a fraction or an exponent.
    Float(f64),
    /// Text.
    Text(String),
    /// What a file had in it.
    Bytes(Vec<u8>),
    /// A list.
    List(Vec<Parsed>),
    /// Named members, in order, no name twice.
    Map(Vec<(String, Parsed)>, Dict),
}

impl Parsed {
    /// Python's name of its type.
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::Null => "NoneType",
            Self::Boolean(_) => "bool",
            Self::Integer(_) => "int",
            Self::Float(_) => "float",
            Self::Text(_) => "str",
            Self::Bytes(_) => "bytes",
            Self::List(_) => "list",
            Self::Map(_, Dict::Plain) => "dict",
            Self::Map(_, Dict::Ordered) => "collections.OrderedDict",
        }
    }

    /// Shows it as `str` does: text as it is.
    pub fn shown(&self) -> String {
        match self {
            Self::Text(text) => text.clone(),
            other => other.quoted(),
        }
    }

    /// Shows it as `repr` does.
    fn quoted(&self) -> String {
        match self {
            Self::Null => "None".to_owned(),
            Self::Boolean(true) => "True".to_owned(),
            Self::Boolean(false) => "False".to_owned(),
            Self::Integer(digits) => digits.clone(),
            Self::Float(number) => python::float(*number),
            Self::Text(text) => python::quoted(OsStr::new(text)),
            Self::Bytes(bytes) => python::quoted_bytes(bytes),
            Self::List(items) => {
                let items: Vec<String> = items.iter().map(Self::quoted).collect();
                format!("[{}]", items.join(", "))
            }
            Self::Map(members, Dict::Plain) => {
                let members = quoted_members(members, |name, value| format!("{name}: {value}"));
                format!("{{{members}}}")
            }
            Self::Map(members, Dict::Ordered) if members.is_empty() => "OrderedDict()".to_owned(),
            Self::Map(members, Dict::Ordered) => {
                let members = quoted_members(members, |name, value| format!("({name}, {value})"));
                format!("OrderedDict([{members}])")
            }
        }
    }
}

fn quoted_members(members: &[(String, Parsed)], join: fn(&str, &str) -> String) -> String {
    let members: Vec<String> = members
        .iter()
        .map(|(name, value)| join(&python::quoted(OsStr::new(name)), &value.quoted()))
        .collect();
    members.join(", ")
}

/// Sets a member; one of the same name keeps its place.
pub fn set(members: &mut Vec<(String, Parsed)>, name: &str, value: Parsed) {
    match members.iter_mut().find(|(known, _)| known == name) {
        Some((_, known)) => *known = value,
        None => members.push((name.to_owned(), value)),
    }
}

impl From<Value> for Parsed {
    /// Takes what shorthand gives: strings, lists and objects. A number would be an integer.
    fn from(value: Value) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Bool(truth) => Self::Boolean(truth),
            Value::Number(number) => match number.as_f64() {
                Some(float) if number.is_f64() => Self::Float(float),
                _ => Self::Integer(number.to_string()),
            },
            Value::String(text) => Self::Text(text),
            Value::Array(items) => Self::List(items.into_iter().map(Self::from).collect()),
            Value::Object(members) => {
                let members = members.into_iter();
                let members = members.map(|(name, value)| (name, Self::from(value)));
                Self::Map(members.collect(), Dict::Plain)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(dict: Dict) -> Parsed {
        let items = vec![
            Parsed::Integer("1".into()),
            Parsed::Float(2.5),
            Parsed::Boolean(true),
            Parsed::Null,
            Parsed::Text("x'y".into()),
            Parsed::Float(1e100),
            Parsed::Map(Vec::new(), dict),
        ];
        let members = vec![
            ("a".into(), Parsed::List(items)),
            ("b".into(), Parsed::Bytes(b"7".to_vec())),
        ];
        Parsed::Map(members, dict)
    }

    #[test]
    fn values_are_shown_as_python_shows_them() {
        assert_eq!(
            value(Dict::Plain).shown(),
            "{'a': [1, 2.5, True, None, \"x'y\", 1e+100, {}], 'b': b'7'}"
        );
        assert_eq!(
            value(Dict::Ordered).shown(),
            "OrderedDict([('a', [1, 2.5, True, None, \"x'y\", 1e+100, OrderedDict()]), \
             ('b', b'7')])"
        );
        assert_eq!(Parsed::Text("it's".into()).shown(), "it's");
        assert_eq!(value(Dict::Plain).type_name(), "dict");
        assert_eq!(value(Dict::Ordered).type_name(), "collections.OrderedDict");
    }

    #[test]
    fn a_member_that_is_set_again_keeps_its_place() {
        let mut members = Vec::new();
        for (name, number) in [("a", "1"), ("b", "2"), ("a", "3")] {
            set(&mut members, name, Parsed::Integer(number.into()));
        }
        let shown = Parsed::Map(members, Dict::Plain).shown();
        assert_eq!(shown, "{'a': 3, 'b': 2}");
    }
}
