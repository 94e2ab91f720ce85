//! The AWS CLI's shorthand syntax: `key=value,key2=value2`, lists and nested structures.
//!
//! Pure: text to a JSON value whose scalars are all strings. Source: AWS CLI User Guide, "Using
//! shorthand syntax with the AWS CLI".

use serde_json::{Map, Value};

/// Where and why a text is not shorthand.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected {expected} at character {at}")]
pub struct NotShorthand {
    /// What should have stood there.
    pub expected: String,
    /// Byte offset in the text.
    pub at: usize,
}

/// Nesting that is accepted; a text cannot use up the stack.
const DEPTH: usize = 16;

struct Parser<'a> {
    text: &'a str,
    at: usize,
}

/// Reads `key=value,..` into a JSON object of strings, lists and objects.
///
/// # Errors
/// [`NotShorthand`], also for a key that occurs twice.
pub fn parse(text: &str) -> Result<Value, NotShorthand> {
    let mut parser = Parser { text, at: 0 };
    let value = parser.pairs(None, DEPTH)?;
    if parser.at < text.len() {
        return Err(parser.expected("','"));
    }
    Ok(value)
}

impl Parser<'_> {
    fn rest(&self) -> &str {
        &self.text[self.at..]
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn expected(&self, what: &str) -> NotShorthand {
        NotShorthand {
            expected: what.to_owned(),
            at: self.at,
        }
    }

    fn eat(&mut self, wanted: char) -> bool {
        let found = self.peek() == Some(wanted);
        if found {
            self.at += wanted.len_utf8();
        }
        found
    }

    /// `key=value` pairs up to `end`.
    fn pairs(&mut self, end: Option<char>, depth: usize) -> Result<Value, NotShorthand> {
        let mut map = Map::new();
        if end.is_some() && self.peek() == end {
            return Ok(Value::Object(map));
        }
        loop {
            let start = self.at;
            let key = self.scalar("=,{}[]")?;
            if key.is_empty() || !self.eat('=') {
                return Err(self.expected("'='"));
            }
            let value = self.value(depth)?;
            if map.insert(key, value).is_some() {
                self.at = start;
                return Err(self.expected("a key that has not been given before"));
            }
            if !self.eat(',') || self.at == self.text.len() {
                return Ok(Value::Object(map));
            }
        }
    }

    fn value(&mut self, depth: usize) -> Result<Value, NotShorthand> {
        let depth = depth
            .checked_sub(1)
            .ok_or_else(|| self.expected("less nesting"))?;
        if self.eat('{') {
            let value = self.pairs(Some('}'), depth)?;
            return if self.eat('}') {
                Ok(value)
            } else {
                Err(self.expected("'}'"))
            };
        }
        if self.eat('[') {
            let mut list = Vec::new();
            while !self.eat(']') {
                list.push(self.item(depth)?);
                if !self.eat(',') && self.peek() != Some(']') {
                    return Err(self.expected("']'"));
                }
            }
            return Ok(Value::Array(list));
        }
        let first = self.scalar(",}]")?;
        // `a=x,y,b=z`: what has no `=` belongs to the list of the key before.
        let mut list = vec![Value::String(first)];
        while self.peek() == Some(',') && self.is_bare_item() {
            self.eat(',');
            list.push(Value::String(self.scalar(",}]")?));
        }
        if list.len() == 1 {
            return Ok(list.remove(0));
        }
        Ok(Value::Array(list))
    }

    /// An item of a bracketed list, where a comma ends it.
    fn item(&mut self, depth: usize) -> Result<Value, NotShorthand> {
        if matches!(self.peek(), Some('{' | '[')) {
            return self.value(depth);
        }
        Ok(Value::String(self.scalar(",]")?))
    }

    /// Whether what follows the comma is an item rather than a `key=`.
    fn is_bare_item(&self) -> bool {
        let mut ahead = Parser {
            text: self.text,
            at: self.at + 1,
        };
        if matches!(ahead.peek(), None | Some('{' | '[')) {
            return false;
        }
        ahead.scalar("=,}]").is_ok() && ahead.peek() != Some('=')
    }

    /// Text up to one of `stop`; quoted with ' or ", or with \ before a character that stops.
    fn scalar(&mut self, stop: &str) -> Result<String, NotShorthand> {
        if let Some(quote @ ('\'' | '"')) = self.peek() {
            self.eat(quote);
            return self.quoted(quote);
        }
        let mut out = String::new();
        while let Some(found) = self.peek() {
            if found == '\\' {
                let mut ahead = self.rest().chars();
                ahead.next();
                if let Some(escaped @ (',' | '\\' | '=' | '\'' | '"' | '{' | '}' | '[' | ']')) =
                    ahead.next()
                {
                    self.at += 1 + escaped.len_utf8();
                    out.push(escaped);
                    continue;
                }
            } else if stop.contains(found) {
                break;
            }
            self.at += found.len_utf8();
            out.push(found);
        }
        Ok(out)
    }

    fn quoted(&mut self, quote: char) -> Result<String, NotShorthand> {
        let mut out = String::new();
        loop {
            let Some(found) = self.peek() else {
                return Err(self.expected("a closing quote"));
            };
            self.at += found.len_utf8();
            if found == quote {
                return Ok(out);
            }
            let next = self.peek();
            if found == '\\' && (next == Some(quote) || next == Some('\\')) {
                let escaped = next.unwrap_or(quote);
                self.at += escaped.len_utf8();
                out.push(escaped);
            } else {
                out.push(found);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn maps_lists_and_structures_are_read() {
        for (text, expected) in [
            ("a=1", json!({"a": "1"})),
            ("a=1,b=2", json!({"a": "1", "b": "2"})),
            ("a=", json!({"a": ""})),
            ("a='x,y'", json!({"a": "x,y"})),
            (r#"a="say \"x\"""#, json!({"a": "say \"x\""})),
            (r"a=x\,y", json!({"a": "x,y"})),
            ("a=b=c", json!({"a": "b=c"})),
            ("a=x,y,b=z", json!({"a": ["x", "y"], "b": "z"})),
            (
                "a=[x,y],b={c=d,e=f}",
                json!({"a": ["x", "y"], "b": {"c": "d", "e": "f"}}),
            ),
            ("a={}", json!({"a": {}})),
            ("ключ=значение", json!({"ключ": "значение"})),
        ] {
            assert_eq!(parse(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_is_no_shorthand_is_refused_with_its_place() {
        for text in ["", "a", "=1", "a=1,a=2", "a='x", "a={b=1", "a=[x", "a=1}"] {
            assert!(parse(text).is_err(), "{text:?}");
        }
        let deep = "a={".repeat(100_000);
        assert!(parse(&deep).is_err());
    }
}
