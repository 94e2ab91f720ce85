//! Texts of a policy with wildcards and variables, compiled once and matched often.
//!
//! A variable's value is compared as it is: a `*` in it is a character. Matching takes no more
//! steps than the lengths of pattern and text multiplied, whatever the number of wildcards.
//! Source: IAM User Guide, "IAM policy elements: Variables and tags".

use std::borrow::Cow;

use super::value::{ConditionKeys, Values, lowered};

/// What has a meaning in a text.
#[derive(Debug, Clone, Copy)]
pub(super) struct Syntax {
    /// `*` and `?` are wildcards.
    pub(super) wildcards: bool,
    /// `${..}` is a variable; from version 2012-10-17 of the language on.
    pub(super) variables: bool,
}

/// Whether upper and lower case differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Case {
    Exact,
    Ignored,
}

/// A compiled text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pattern {
    tokens: Vec<Token>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    Char(char),
    /// `?`: one character.
    One,
    /// `*`: any number of characters.
    Many,
    Variable(Box<Variable>),
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Variable {
    /// The condition key, in lower case.
    name: String,
    default: Option<String>,
}

impl Pattern {
    /// Compiles `text`; `None` when a variable in it is not well-formed.
    pub(super) fn parse(text: &str, syntax: Syntax) -> Option<Self> {
        let mut tokens = Vec::new();
        let mut rest = text.chars();
        loop {
            if syntax.variables
                && let Some(inside) = rest.as_str().strip_prefix("${")
            {
                let (token, after) = variable(inside)?;
                tokens.push(token);
                rest = after.chars();
                continue;
            }
            tokens.push(match rest.next() {
                Some('*') if syntax.wildcards => Token::Many,
                Some('?') if syntax.wildcards => Token::One,
                Some(other) => Token::Char(other),
                None => return Some(Self { tokens }),
            });
        }
    }

    /// Whether a variable has to be filled in first.
    pub(super) fn has_variables(&self) -> bool {
        let variable = |token: &Token| matches!(token, Token::Variable(_));
        self.tokens.iter().any(variable)
    }

    /// Whether a variable stands in one of the first five fields of an ARN.
    pub(super) fn has_variable_before_resource(&self) -> bool {
        let variable = |token: &Token| matches!(token, Token::Variable(_));
        let mut fields = self.tokens.splitn(6, is_colon).take(5);
        fields.any(|field| field.iter().any(variable))
    }

    /// Puts a `*` in the place of each field that an ARN lacks.
    pub(super) fn complete_arn(&mut self) {
        let colons = self.tokens.iter().filter(|token| is_colon(token)).count();
        for _ in colons..5 {
            self.tokens.extend([Token::Char(':'), Token::Many]);
        }
    }

    /// Whether the whole of `text` matches; never, when a variable has no value.
    pub(super) fn matches(&self, text: &str, case: Case, keys: &dyn ConditionKeys) -> bool {
        self.filled(keys)
            .is_some_and(|tokens| matches(&tokens, text, case))
    }

    /// The tokens with each variable's value in its place.
    fn filled(&self, keys: &dyn ConditionKeys) -> Option<Cow<'_, [Token]>> {
        if !self.has_variables() {
            return Some(Cow::Borrowed(&self.tokens));
        }
        let mut filled = Vec::with_capacity(self.tokens.len());
        for token in &self.tokens {
            match token {
                Token::Variable(variable) => {
                    let value = variable.value(keys)?;
                    filled.extend(value.chars().map(Token::Char));
                }
                other => filled.push(other.clone()),
            }
        }
        Some(Cow::Owned(filled))
    }
}

impl Variable {
    /// The value of a key with a single value, else the default.
    fn value(&self, keys: &dyn ConditionKeys) -> Option<String> {
        match keys.value(&self.name) {
            Some(Values::One(value)) => Some(value.text().into_owned()),
            Some(Values::Many(_)) | None => self.default.clone(),
        }
    }
}

/// An ARN whose fields are compared one by one, as the ARN operators do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ArnPattern {
    /// `*` alone.
    Any,
    /// Six fields. A text with fewer matches nothing.
    Fields(Vec<Pattern>),
}

impl ArnPattern {
    /// Compiles `text`; `None` when a variable in it is not well-formed.
    pub(super) fn parse(text: &str, variables: bool) -> Option<Self> {
        let syntax = Syntax {
            wildcards: true,
            variables,
        };
        let whole = Pattern::parse(text, syntax)?;
        if whole.tokens == [Token::Many] {
            return Some(Self::Any);
        }
        let field = |tokens: &[Token]| Pattern {
            tokens: tokens.to_vec(),
        };
        let fields = whole.tokens.splitn(6, is_colon).map(field).collect();
        Some(Self::Fields(fields))
    }

    /// Whether `text` is an ARN of which every field matches.
    pub(super) fn matches(&self, text: &str, keys: &dyn ConditionKeys) -> bool {
        let fields = match self {
            Self::Any => return true,
            Self::Fields(fields) => fields,
        };
        let mut found = text.splitn(6, ':');
        fields.len() == 6
            && fields.iter().all(|field| {
                found
                    .next()
                    .is_some_and(|found| field.matches(found, Case::Exact, keys))
            })
    }
}

fn is_colon(token: &Token) -> bool {
    *token == Token::Char(':')
}

/// Reads a variable behind its `${`; gives back what follows it.
fn variable(inside: &str) -> Option<(Token, &str)> {
    // `${*}`, `${?}` and `${$}` stand for the characters themselves.
    for (text, character) in [("*}", '*'), ("?}", '?'), ("$}", '$')] {
        if let Some(after) = inside.strip_prefix(text) {
            return Some((Token::Char(character), after));
        }
    }
    let (name, rest) = inside.split_at(inside.find([',', '}'])?);
    if name.is_empty() || name.contains(['$', '{', '\'']) {
        return None;
    }
    let (default, rest) = match rest.strip_prefix(',') {
        Some(rest) => {
            let (default, rest) = rest.trim_start().strip_prefix('\'')?.split_once('\'')?;
            (Some(default.to_owned()), rest.trim_start())
        }
        None => (None, rest),
    };
    let variable = Variable {
        name: lowered(name),
        default,
    };
    let after = rest.strip_prefix('}')?;
    Some((Token::Variable(Box::new(variable)), after))
}

fn same(left: char, right: char, case: Case) -> bool {
    left == right || (case == Case::Ignored && left.to_lowercase().eq(right.to_lowercase()))
}

/// Whether `tokens` match the whole of `text`.
///
/// After a mismatch only the last `*` takes one character more: what the earlier ones took was
/// the least that they could take, so that another choice of theirs leaves less to match.
fn matches(tokens: &[Token], text: &str, case: Case) -> bool {
    let mut rest = text.chars();
    let mut next = 0;
    let mut last_many = None;
    loop {
        let token = tokens.get(next);
        if token == Some(&Token::Many) {
            next += 1;
            last_many = Some((next, rest.clone()));
            continue;
        }
        let mut ahead = rest.clone();
        let character = ahead.next();
        let fits = match (token, character) {
            (None, None) => return true,
            // More for a `*` would leave even less for the tokens that wait.
            (Some(_), None) => return false,
            (Some(Token::Char(wanted)), Some(found)) => same(*wanted, found, case),
            (Some(Token::One), Some(_)) => true,
            (Some(Token::Many | Token::Variable(_)) | None, Some(_)) => false,
        };
        if fits {
            rest = ahead;
            next += 1;
            continue;
        }
        let Some((after, from)) = &mut last_many else {
            return false;
        };
        if from.next().is_none() {
            return false;
        }
        next = *after;
        rest = from.clone();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A request with one key.
    struct Key(&'static str, Values<'static>);

    impl ConditionKeys for Key {
        fn value(&self, name: &str) -> Option<Values<'_>> {
            (name == self.0).then(|| self.1.clone())
        }
    }

    const FULL: Syntax = Syntax {
        wildcards: true,
        variables: true,
    };

    fn named(name: &'static str) -> Key {
        Key("aws:username", Values::text(name))
    }

    fn fits(pattern: &str, text: &str) -> bool {
        let pattern = Pattern::parse(pattern, FULL).expect("well-formed");
        pattern.matches(text, Case::Exact, &named("bob"))
    }

    #[test]
    fn wildcards_match_any_number_of_characters_or_one() {
        for (pattern, text) in [
            ("", ""),
            ("*", ""),
            ("*", "anything: at/all"),
            ("**", "x"),
            ("a*", "a"),
            ("*a*b*", "xxaxxbxx"),
            ("*ab", "aab"),
            ("*aab", "aaab"),
            ("a?c", "abc"),
            ("?", "é"),
            ("*é?", "ééx"),
            ("a*a*a", "aaa"),
            ("*?", "x"),
        ] {
            assert!(fits(pattern, text), "{pattern} {text}");
        }
        for (pattern, text) in [
            ("", "x"),
            ("x", ""),
            ("?", ""),
            ("a?c", "ac"),
            ("a*", "ba"),
            ("*b", "bx"),
            ("a*a*a", "aa"),
            ("A", "a"),
            ("*ab*ab", "xaby"),
            ("*?", ""),
        ] {
            assert!(!fits(pattern, text), "{pattern} {text}");
        }
    }

    #[test]
    fn thousands_of_wildcards_are_matched_in_bounded_steps() {
        let text = "a".repeat(20_000);
        assert!(!fits(&"*b".repeat(5_000), &text));
        assert!(!fits(&format!("{}b", "*a".repeat(5_000)), &text));
        assert!(!fits(&format!("*{}b", "a?".repeat(500)), &text));
        assert!(fits(&format!("{}*", "*?".repeat(5_000)), &text));
    }

    #[test]
    fn a_variable_stands_for_the_value_and_not_for_wildcards_in_it() {
        assert!(fits("home/${aws:username}/*", "home/bob/x"));
        assert!(fits("${AWS:UserName}", "bob"));
        assert!(!fits("home/${aws:username}", "home/alice"));
        let star = Pattern::parse("${aws:username}", FULL).expect("well-formed");
        assert!(star.matches("*", Case::Exact, &named("*")));
        assert!(!star.matches("alice", Case::Exact, &named("*")));
    }

    #[test]
    fn a_variable_without_a_value_takes_its_default_or_matches_nothing() {
        assert!(fits("${aws:x, 'none'}", "none"));
        assert!(fits("${aws:x,'}'}", "}"));
        assert!(fits("${aws:x, '*'}", "*"));
        assert!(!fits("${aws:x, '*'}", "y"));
        assert!(fits("${aws:username, 'none'}", "bob"));
        assert!(!fits("*${aws:x}*", ""));
        assert!(!fits("${aws:x}", "${aws:x}"));
    }

    #[test]
    fn a_key_with_several_values_is_no_variable() {
        let keys = Key("aws:username", Values::texts(["bob"]));
        let pattern = Pattern::parse("${aws:username}", FULL).expect("well-formed");
        assert!(!pattern.matches("bob", Case::Exact, &keys));
    }

    #[test]
    fn special_variables_are_their_characters() {
        assert!(fits("a${*}b${?}c${$}", "a*b?c$"));
        assert!(!fits("a${*}", "ab"));
        assert!(fits("$5 $${*}", "$5 $*"));
    }

    #[test]
    fn a_variable_that_is_not_well_formed_is_refused() {
        for text in [
            "${",
            "${}",
            "${a",
            "${a,",
            "${a,}",
            "${a,'",
            "${a,'b}",
            "${a,'b'",
            "${a,'b'c}",
            "${a,b}",
            "${,'b'}",
            "${a${b}}",
            "x${'a'}",
        ] {
            assert_eq!(Pattern::parse(text, FULL), None, "{text}");
        }
    }

    #[test]
    fn the_fields_of_an_arn_are_compared_one_by_one() {
        let keys = named("bob");
        let fits = |pattern: &str, text: &str| {
            let pattern = ArnPattern::parse(pattern, true).expect("well-formed");
            pattern.matches(text, &keys)
        };
        // The example of the IAM User Guide.
        let pattern = "arn:aws:someservice:*:111122223333:finance/*";
        let text = "arn:aws:someservice:us-east-2:999999999999:store/abc:111122223333:finance/doc";
        assert!(!fits(pattern, text));
        assert!(super::tests::fits(pattern, text));
        assert!(fits(
            pattern,
            "arn:aws:someservice:x:111122223333:finance/a:b"
        ));
        assert!(fits(
            "arn:aws:iam::1:user/${aws:username}",
            "arn:aws:iam::1:user/bob"
        ));
        assert!(fits("*", "arn:aws:iam::1:root"));
        assert!(!fits("arn:aws:*", "arn:aws:iam::1:root"));
        assert!(!fits("*:*:*:*:*:*", "arn:aws:iam::1"));
    }
}
