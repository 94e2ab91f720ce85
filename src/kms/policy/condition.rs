//! Conditions: an operator, a condition key, and the values that it is compared with.
//!
//! A condition on an absent key is false, of a negated operator true; with `IfExists` true. Several
//! values of the policy mean "one of them", negated "none of them". Source: IAM User Guide,
//! "Condition operators" and "Conditions with multiple context keys or values".

use std::cmp::Ordering;
use std::net::IpAddr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::date;
use super::pattern::{ArnPattern, Case, Pattern, Syntax};
use super::value::{ConditionKeys, Value, boolean, lowered, number};

/// A compiled condition.
#[derive(Debug, Clone)]
pub(super) struct Condition {
    /// In lower case.
    key: String,
    operator: Operator,
    test: Test,
}

/// An operator, as its name says it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Operator {
    quantifier: Quantifier,
    comparison: Comparison,
    negated: bool,
    if_exists: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Quantifier {
    None,
    ForAllValues,
    ForAnyValue,
}

#[derive(Debug, Clone, Copy)]
enum Comparison {
    Text { case: Case, wildcards: bool },
    Arn,
    Number(Order),
    Date(Order),
    Boolean,
    Binary,
    Address,
    Null,
}

/// How the request's value has to stand to the policy's.
#[derive(Debug, Clone, Copy)]
enum Order {
    Equal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

/// A comparison with the policy's values.
#[derive(Debug, Clone)]
enum Test {
    Text(Case, Vec<Pattern>),
    Arn(Vec<ArnPattern>),
    Number(Order, Vec<f64>),
    Date(Order, Vec<i64>),
    Boolean(Vec<Pattern>),
    Binary(Vec<Vec<u8>>),
    Address(Vec<Network>),
    /// Whether the key has to be absent.
    Null(Vec<bool>),
}

/// Addresses that begin with the same bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Network {
    address: IpAddr,
    length: u32,
}

/// Why a value of the policy is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BadValue {
    /// It is not what the operator compares with.
    Not(&'static str),
    /// A variable in it is not well-formed.
    Variable,
}

impl Operator {
    /// Reads an operator's name; `None` when there is none of that name.
    pub(super) fn parse(name: &str) -> Option<Self> {
        let (quantifier, rest) = if let Some(rest) = name.strip_prefix("ForAllValues:") {
            (Quantifier::ForAllValues, rest)
        } else if let Some(rest) = name.strip_prefix("ForAnyValue:") {
            (Quantifier::ForAnyValue, rest)
        } else {
            (Quantifier::None, name)
        };
        let (plain, if_exists) = match rest.strip_suffix("IfExists") {
            Some(plain) => (plain, true),
            None => (rest, false),
        };
        let text = |case, wildcards| Comparison::Text { case, wildcards };
        let (comparison, negated) = match plain {
            "StringEquals" => (text(Case::Exact, false), false),
            "StringNotEquals" => (text(Case::Exact, false), true),
            "StringEqualsIgnoreCase" => (text(Case::Ignored, false), false),
            "StringNotEqualsIgnoreCase" => (text(Case::Ignored, false), true),
            "StringLike" => (text(Case::Exact, true), false),
            "StringNotLike" => (text(Case::Exact, true), true),
            "ArnEquals" | "ArnLike" => (Comparison::Arn, false),
            "ArnNotEquals" | "ArnNotLike" => (Comparison::Arn, true),
            "NumericEquals" => (Comparison::Number(Order::Equal), false),
            "NumericNotEquals" => (Comparison::Number(Order::Equal), true),
            "NumericLessThan" => (Comparison::Number(Order::Less), false),
            "NumericLessThanEquals" => (Comparison::Number(Order::LessOrEqual), false),
            "NumericGreaterThan" => (Comparison::Number(Order::Greater), false),
            "NumericGreaterThanEquals" => (Comparison::Number(Order::GreaterOrEqual), false),
            "DateEquals" => (Comparison::Date(Order::Equal), false),
            "DateNotEquals" => (Comparison::Date(Order::Equal), true),
            "DateLessThan" => (Comparison::Date(Order::Less), false),
            "DateLessThanEquals" => (Comparison::Date(Order::LessOrEqual), false),
            "DateGreaterThan" => (Comparison::Date(Order::Greater), false),
            "DateGreaterThanEquals" => (Comparison::Date(Order::GreaterOrEqual), false),
            "Bool" => (Comparison::Boolean, false),
            "BinaryEquals" => (Comparison::Binary, false),
            "IpAddress" => (Comparison::Address, false),
            "NotIpAddress" => (Comparison::Address, true),
            // Whether a key exists is not a question about values.
            "Null" if quantifier == Quantifier::None && !if_exists => (Comparison::Null, false),
            _ => return None,
        };
        Some(Self {
            quantifier,
            comparison,
            negated,
            if_exists,
        })
    }

    /// Whether it holds for a request that has none of the key's values.
    pub(super) fn is_for_all_values(self) -> bool {
        self.quantifier == Quantifier::ForAllValues
    }
}

impl Condition {
    /// Compiles a condition; `variables`: whether the policy's version has them.
    ///
    /// # Errors
    /// The first value that is refused, and why.
    pub(super) fn new(
        operator: Operator,
        key: &str,
        values: &[String],
        variables: bool,
    ) -> Result<Self, (String, BadValue)> {
        Ok(Self {
            key: lowered(key),
            operator,
            test: Test::compile(operator.comparison, values, variables)?,
        })
    }

    /// Whether the request meets it.
    pub(super) fn holds(&self, keys: &dyn ConditionKeys) -> bool {
        let Operator {
            quantifier,
            negated,
            if_exists,
            ..
        } = self.operator;
        let values = keys.value(&self.key);
        let found = values.as_ref().map(|values| values.as_slice());
        if let Test::Null(expected) = &self.test {
            let null = found.is_none_or(<[_]>::is_empty);
            return expected.contains(&null);
        }
        let Some(found) = found else {
            return if_exists
                || match quantifier {
                    Quantifier::None => negated,
                    Quantifier::ForAllValues => true,
                    Quantifier::ForAnyValue => false,
                };
        };
        let matches = |value: &Value<'_>| self.test.matches(value, keys);
        match quantifier {
            Quantifier::None => found.iter().any(matches) != negated,
            Quantifier::ForAllValues => found.iter().all(|value| matches(value) != negated),
            Quantifier::ForAnyValue => found.iter().any(|value| matches(value) != negated),
        }
    }
}

impl Test {
    fn compile(
        comparison: Comparison,
        values: &[String],
        variables: bool,
    ) -> Result<Self, (String, BadValue)> {
        let pattern = |text: &str, wildcards: bool| {
            let syntax = Syntax {
                wildcards,
                variables,
            };
            Pattern::parse(text, syntax).ok_or(BadValue::Variable)
        };
        Ok(match comparison {
            Comparison::Text { case, wildcards } => {
                Self::Text(case, each(values, |text| pattern(text, wildcards))?)
            }
            Comparison::Arn => {
                let arn = |text: &str| ArnPattern::parse(text, variables).ok_or(BadValue::Variable);
                Self::Arn(each(values, arn)?)
            }
            Comparison::Number(order) => {
                let value = |text: &str| number(text).ok_or(BadValue::Not("a number"));
                Self::Number(order, each(values, value)?)
            }
            Comparison::Date(order) => {
                let value = |text: &str| date::parse(text).ok_or(BadValue::Not("a date"));
                Self::Date(order, each(values, value)?)
            }
            Comparison::Boolean => {
                let value = |text: &str| {
                    let pattern = pattern(text, false)?;
                    if pattern.has_variables() || boolean(text).is_some() {
                        Ok(pattern)
                    } else {
                        Err(BadValue::Not("true or false"))
                    }
                };
                Self::Boolean(each(values, value)?)
            }
            Comparison::Binary => {
                let value = |text: &str| STANDARD.decode(text).or(Err(BadValue::Not("base64")));
                Self::Binary(each(values, value)?)
            }
            Comparison::Address => {
                let value = |text: &str| {
                    Network::parse(text).ok_or(BadValue::Not("an IP address or range"))
                };
                Self::Address(each(values, value)?)
            }
            Comparison::Null => {
                let value = |text: &str| boolean(text).ok_or(BadValue::Not("true or false"));
                Self::Null(each(values, value)?)
            }
        })
    }

    /// Whether `value` stands to one of the policy's values as it should.
    fn matches(&self, value: &Value<'_>, keys: &dyn ConditionKeys) -> bool {
        match self {
            Self::Text(case, patterns) => {
                let text = value.text();
                patterns
                    .iter()
                    .any(|pattern| pattern.matches(&text, *case, keys))
            }
            Self::Arn(patterns) => {
                let text = value.text();
                patterns.iter().any(|pattern| pattern.matches(&text, keys))
            }
            Self::Number(order, numbers) => value.number().is_some_and(|value| {
                let found = |number: &f64| value.partial_cmp(number);
                let mut found = numbers.iter().filter_map(found);
                found.any(|found| order.is(found))
            }),
            Self::Date(order, dates) => value
                .date()
                .is_some_and(|value| dates.iter().any(|date| order.is(value.cmp(date)))),
            Self::Boolean(patterns) => value.boolean().is_some_and(|value| {
                let text = if value { "true" } else { "false" };
                patterns
                    .iter()
                    .any(|pattern| pattern.matches(text, Case::Ignored, keys))
            }),
            Self::Binary(values) => {
                let text = value.text();
                values.iter().any(|value| value == text.as_bytes())
            }
            Self::Address(networks) => value
                .address()
                .is_some_and(|address| networks.iter().any(|network| network.contains(address))),
            Self::Null(_) => false,
        }
    }
}

/// Reads every value, or names the first that cannot be read.
fn each<T>(
    values: &[String],
    read: impl Fn(&str) -> Result<T, BadValue>,
) -> Result<Vec<T>, (String, BadValue)> {
    values
        .iter()
        .map(|text| read(text).map_err(|why| (text.clone(), why)))
        .collect()
}

impl Order {
    fn is(self, found: Ordering) -> bool {
        match self {
            Self::Equal => found.is_eq(),
            Self::Less => found.is_lt(),
            Self::LessOrEqual => found.is_le(),
            Self::Greater => found.is_gt(),
            Self::GreaterOrEqual => found.is_ge(),
        }
    }
}

impl Network {
    /// Reads an address with or without the length of a prefix.
    fn parse(text: &str) -> Option<Self> {
        let (address, length) = match text.split_once('/') {
            Some((address, length)) => (address, Some(length)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().ok()?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let length = match length {
            Some(length) if length.bytes().all(|byte| byte.is_ascii_digit()) => length
                .parse::<u32>()
                .ok()
                .filter(|length| *length <= most)?,
            Some(_) => return None,
            None => most,
        };
        Some(Self { address, length })
    }

    /// Whether `address` begins as the network does; an IPv4 address may be written as IPv6.
    fn contains(self, address: IpAddr) -> bool {
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(network), IpAddr::V4(address)) => {
                let differing = network.to_bits() ^ address.to_bits();
                differing.checked_shr(32 - self.length).unwrap_or(0) == 0
            }
            (IpAddr::V6(network), IpAddr::V6(address)) => {
                let differing = network.to_bits() ^ address.to_bits();
                differing.checked_shr(128 - self.length).unwrap_or(0) == 0
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contains(network: &str, address: &str) -> bool {
        let network = Network::parse(network).expect("a network");
        network.contains(address.parse().expect("an address"))
    }

    #[test]
    fn a_network_contains_the_addresses_with_its_prefix() {
        for (network, address) in [
            ("203.0.113.0/24", "203.0.113.255"),
            ("203.0.113.77/24", "203.0.113.1"),
            ("203.0.113.7", "203.0.113.7"),
            ("203.0.113.7/32", "::ffff:203.0.113.7"),
            ("0.0.0.0/0", "255.255.255.255"),
            ("2001:DB8:1234:5678::/64", "2001:db8:1234:5678:ffff::1"),
            ("2001:db8::1", "2001:db8::1"),
            ("::/0", "2001:db8::1"),
        ] {
            assert!(contains(network, address), "{network} {address}");
        }
        for (network, address) in [
            ("203.0.113.0/24", "203.0.114.0"),
            ("203.0.113.7", "203.0.113.8"),
            ("0.0.0.0/0", "::1"),
            ("::/0", "192.0.2.1"),
            ("128.0.0.0/1", "127.255.255.255"),
            ("2001:db8:1234:5678::/64", "2001:db8:1234:5679::"),
            ("2001:db8::1", "2001:db8::2"),
        ] {
            assert!(!contains(network, address), "{network} {address}");
        }
    }

    #[test]
    fn what_is_no_network_is_refused() {
        for text in [
            "",
            "/",
            "203.0.113",
            "203.0.113.0/",
            "203.0.113.0/33",
            "203.0.113.0/-1",
            "203.0.113.0/+8",
            "203.0.113.0/8/8",
            "203.0.113.*",
            "::/129",
            "x",
            "203.0.113.0/4294967296",
        ] {
            assert_eq!(Network::parse(text), None, "{text}");
        }
    }

    #[test]
    fn every_operator_takes_if_exists_and_set_operators_but_null() {
        for name in [
            "StringLike",
            "ArnNotEquals",
            "Bool",
            "NotIpAddress",
            "DateLessThan",
        ] {
            for prefix in ["", "ForAllValues:", "ForAnyValue:"] {
                for suffix in ["", "IfExists"] {
                    let name = format!("{prefix}{name}{suffix}");
                    assert!(Operator::parse(&name).is_some(), "{name}");
                }
            }
        }
        assert!(Operator::parse("Null").is_some());
        for name in [
            "",
            "IfExists",
            "NullIfExists",
            "ForAllValues:Null",
            "ForAnyValue:Null",
            "stringequals",
            "StringEquals ",
            "StringEqualsIfExistsIfExists",
            "ForAllValues:ForAnyValue:Bool",
            "ForSomeValues:Bool",
            "BoolNotEquals",
            "BinaryNotEquals",
            "StringMatches",
        ] {
            assert!(Operator::parse(name).is_none(), "{name}");
        }
    }
}
