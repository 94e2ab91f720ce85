//! Text to tokens, each with its name, its text and its binding power.
//!
//! Knows nothing of what may follow what. Places count characters.

use serde_json::Value;

use super::error::JmespathError;
use super::python;

/// The operators that compare.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Comparison {
    Equal,
    Unequal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl Comparison {
    fn name(self) -> &'static str {
        match self {
            Self::Equal => "eq",
            Self::Unequal => "ne",
            Self::Less => "lt",
            Self::LessOrEqual => "lte",
            Self::Greater => "gt",
            Self::GreaterOrEqual => "gte",
        }
    }

    /// As it is written.
    pub(super) fn symbol(self) -> &'static str {
        match self {
            Self::Equal => "==",
            Self::Unequal => "!=",
            Self::Less => "<",
            Self::LessOrEqual => "<=",
            Self::Greater => ">",
            Self::GreaterOrEqual => ">=",
        }
    }
}

/// A word of the language.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Token {
    And,
    Colon,
    Comma,
    Compare(Comparison),
    Current,
    Dot,
    /// What follows the last token, any number of times.
    Eof,
    Expref,
    Filter,
    Flatten,
    Lbrace,
    Lbracket,
    Literal(Value),
    Lparen,
    Not,
    Number(i64),
    Or,
    Pipe,
    Quoted(String),
    Rbrace,
    Rbracket,
    Rparen,
    Star,
    Unquoted(String),
}

impl Token {
    /// Its name in messages, its text where that is always the same, and how strongly it binds to
    /// what stands left of it.
    fn facts(&self) -> (&'static str, &'static str, u8) {
        match self {
            Self::Eof => ("eof", "", 0),
            Self::Unquoted(_) => ("unquoted_identifier", "", 0),
            Self::Quoted(_) => ("quoted_identifier", "", 0),
            Self::Literal(_) => ("literal", "", 0),
            Self::Number(_) => ("number", "", 0),
            Self::Rbracket => ("rbracket", "]", 0),
            Self::Rparen => ("rparen", ")", 0),
            Self::Comma => ("comma", ",", 0),
            Self::Rbrace => ("rbrace", "}", 0),
            Self::Current => ("current", "@", 0),
            Self::Expref => ("expref", "&", 0),
            Self::Colon => ("colon", ":", 0),
            Self::Pipe => ("pipe", "|", 1),
            Self::Or => ("or", "||", 2),
            Self::And => ("and", "&&", 3),
            Self::Compare(comparison) => (comparison.name(), comparison.symbol(), 5),
            Self::Flatten => ("flatten", "[]", 9),
            Self::Star => ("star", "*", 20),
            Self::Filter => ("filter", "[?", 21),
            Self::Dot => ("dot", ".", 40),
            Self::Not => ("not", "!", 45),
            Self::Lbrace => ("lbrace", "{", 50),
            Self::Lbracket => ("lbracket", "[", 55),
            Self::Lparen => ("lparen", "(", 60),
        }
    }

    /// The name of its type.
    pub(super) fn name(&self) -> &'static str {
        self.facts().0
    }

    /// The binding power.
    pub(super) fn power(&self) -> u8 {
        self.facts().2
    }

    /// What messages show of it: the value, not the spelling.
    pub(super) fn text(&self) -> String {
        match self {
            Self::Unquoted(name) | Self::Quoted(name) => name.clone(),
            Self::Number(number) => number.to_string(),
            Self::Literal(value) => python::text(value),
            _ => self.facts().1.to_owned(),
        }
    }
}

/// A token and the place of its first character.
#[derive(Debug, Clone)]
pub(super) struct Placed {
    pub(super) token: Token,
    pub(super) at: usize,
}

/// Reads the whole text; the last token, and only that, is [`Token::Eof`].
pub(super) fn tokens(text: &str) -> Result<Vec<Placed>, JmespathError> {
    if text.is_empty() {
        return Err(JmespathError::Empty);
    }
    let mut lexer = Lexer {
        text,
        chars: text.chars().collect(),
        at: 0,
    };
    let mut tokens = Vec::new();
    loop {
        let at = lexer.at;
        let Some(first) = lexer.take() else {
            tokens.push(Placed {
                token: Token::Eof,
                at,
            });
            return Ok(tokens);
        };
        if let Some(token) = lexer.token(first, at)? {
            tokens.push(Placed { token, at });
        }
    }
}

struct Lexer<'a> {
    text: &'a str,
    chars: Vec<char>,
    at: usize,
}

impl Lexer<'_> {
    fn peek(&self) -> Option<char> {
        self.chars.get(self.at).copied()
    }

    fn take(&mut self) -> Option<char> {
        let found = self.peek()?;
        self.at += 1;
        Some(found)
    }

    /// `then` if `wanted` comes next, which is taken; else `other`.
    fn either(&mut self, wanted: char, then: Token, other: Token) -> Token {
        if self.peek() != Some(wanted) {
            return other;
        }
        self.at += 1;
        then
    }

    fn fault(&self, at: usize, fact: impl Into<String>) -> JmespathError {
        JmespathError::Lexer {
            fact: fact.into(),
            at,
            expression: self.text.to_owned(),
        }
    }

    /// The token that begins with `first`, which stands at `start`; none for white space.
    fn token(&mut self, first: char, start: usize) -> Result<Option<Token>, JmespathError> {
        use Comparison::{Equal, Greater, GreaterOrEqual, Less, LessOrEqual, Unequal};
        use Token::Compare;
        Ok(Some(match first {
            ' ' | '\t' | '\n' | '\r' => return Ok(None),
            '.' => Token::Dot,
            '*' => Token::Star,
            ']' => Token::Rbracket,
            ',' => Token::Comma,
            ':' => Token::Colon,
            '@' => Token::Current,
            '(' => Token::Lparen,
            ')' => Token::Rparen,
            '{' => Token::Lbrace,
            '}' => Token::Rbrace,
            '[' => match self.either(']', Token::Flatten, Token::Lbracket) {
                Token::Lbracket => self.either('?', Token::Filter, Token::Lbracket),
                flatten => flatten,
            },
            '|' => self.either('|', Token::Or, Token::Pipe),
            '&' => self.either('&', Token::And, Token::Expref),
            '!' => self.either('=', Compare(Unequal), Token::Not),
            '<' => self.either('=', Compare(LessOrEqual), Compare(Less)),
            '>' => self.either('=', Compare(GreaterOrEqual), Compare(Greater)),
            '=' if self.peek() == Some('=') => {
                self.at += 1;
                Compare(Equal)
            }
            'a'..='z' | 'A'..='Z' | '_' => Token::Unquoted(
                self.run(first, |found| found.is_ascii_alphanumeric() || found == '_'),
            ),
            '0'..='9' | '-' => self.number(first, start)?,
            '\'' => {
                let text = self.until('\'', start)?.replace("\\'", "'");
                Token::Literal(Value::String(text))
            }
            '`' => Token::Literal(self.literal(start)?),
            '"' => Token::Quoted(self.quoted(start)?),
            '=' => return Err(self.fault(start, "Unknown token '='")),
            _ => return Err(self.fault(start, format!("Unknown token {first}"))),
        }))
    }

    /// `first` and the characters after it that belong to the same word.
    fn run(&mut self, first: char, belongs: impl Fn(char) -> bool) -> String {
        let mut out = String::from(first);
        while let Some(found) = self.peek().filter(|found| belongs(*found)) {
            self.at += 1;
            out.push(found);
        }
        out
    }

    /// An index. One beyond what 64 bits hold is beyond every array as well.
    fn number(&mut self, first: char, start: usize) -> Result<Token, JmespathError> {
        let text = self.run(first, |found| found.is_ascii_digit());
        if text == "-" {
            return Err(self.fault(start, "Unknown token '-'"));
        }
        let beyond = if first == '-' { i64::MIN } else { i64::MAX };
        Ok(Token::Number(text.parse().unwrap_or(beyond)))
    }

    /// What stands before the next `delimiter` without a \ in front; each \ is kept.
    fn until(&mut self, delimiter: char, start: usize) -> Result<String, JmespathError> {
        let mut out = String::new();
        while let Some(found) = self.take() {
            if found == delimiter {
                return Ok(out);
            }
            out.push(found);
            if found == '\\' {
                out.extend(self.take());
            }
        }
        Err(self.fault(start, format!("Unclosed {delimiter} delimiter")))
    }

    /// JSON between backticks; what is no JSON is meant to be the inside of a string.
    fn literal(&mut self, start: usize) -> Result<Value, JmespathError> {
        let text = self.until('`', start)?.replace("\\`", "`");
        if let Some(value) = json(&text)? {
            return Ok(value);
        }
        let quoted = format!("\"{}\"", text.trim_start_matches(python::is_space));
        json(&quoted)?.ok_or_else(|| self.fault(start, format!("Bad token {text}")))
    }

    /// A name as a JSON string.
    fn quoted(&mut self, start: usize) -> Result<String, JmespathError> {
        let inner = self.until('"', start)?;
        serde_json::from_str(&format!("\"{inner}\""))
            .map_err(|_| self.fault(start, string_fault(&inner)))
    }
}

/// The value of a JSON text, if it is one.
fn json(text: &str) -> Result<Option<Value>, JmespathError> {
    match serde_json::from_str(text) {
        Ok(value) => Ok(Some(value)),
        // It may well be JSON, and must not become a string.
        Err(e) if e.to_string().starts_with("recursion limit exceeded") => {
            Err(JmespathError::TooDeep)
        }
        Err(_) => Ok(None),
    }
}

/// Why the text between two quotes is no JSON string.
fn string_fault(inner: &str) -> &'static str {
    let mut rest = inner.chars();
    while let Some(found) = rest.next() {
        match found {
            '\0'..='\x1f' => return "Invalid control character at",
            '\\' => match rest.next() {
                Some('"' | '\\' | '/' | 'b' | 'f' | 'n' | 'r' | 't') => {}
                Some('u') if rest.as_str().chars().take(4).all(|c| c.is_ascii_hexdigit()) => {}
                Some('u') => break,
                _ => return "Invalid \\escape",
            },
            _ => {}
        }
    }
    // Also for one half of a surrogate pair, which no text can hold.
    "Invalid \\uXXXX escape"
}
