//! The pages of a listing: `--max-items` and `--starting-token`, as the AWS CLI v1 counts them.
//!
//! Pure: the caller makes the requests and prints. Every paginated operation of KMS takes `Marker`
//! and answers with one list, `Truncated` and `NextMarker`.
//!
//! ```text
//! Pages::new ─► inject ─► the request ─► take ─► Turn { page, then } ─► print or keep the page
//!                 ▲                                            │
//!                 └──────────────── Then::Request ─────────────┘
//! ```
//!
//! A token is Base64 of `{"Marker": .., "boto_truncate_amount": ..}`: the marker of the request
//! whose page was cut (`null` for the first) and how many items of it have been shown, or the
//! next page's marker alone where a page ended with the last wanted item. `MARKER___AMOUNT`, the
//! older form, and a bare marker are read as well. `--page-size` is the request's `Limit`.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};

use crate::cli::kms::python::json as python;

const MARKER: &str = "Marker";
const AMOUNT: &str = "boto_truncate_amount";

/// Why a listing cannot go on; the messages are those of the AWS CLI.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PagingError {
    /// The token has the wrong parts.
    #[error("Bad starting token: {0}")]
    BadToken(String),
    /// The token is a JSON scalar of this kind.
    #[error("'{0}' object has no attribute 'pop'")]
    NotAnObject(&'static str),
    /// The token's amount is no integer.
    #[error("slice indices must be integers or None or have an __index__ method")]
    NotAnIndex,
    /// Two pages in a row named the same next one.
    #[error("Error during pagination: The same next token was received twice: {0}")]
    Repeated(String),
}

/// What comes behind a page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Then {
    /// The next request.
    Request,
    /// Nothing: this was the last page.
    End,
    /// Nothing: the wanted items are complete, and this token continues behind them.
    Resume(String),
    /// This error; text has printed the page before it comes.
    Fail(PagingError),
}

/// One page of a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Turn {
    /// The list as its only member, without what is not wanted; `null` if the response had none.
    pub page: Value,
    /// What comes behind it.
    pub then: Then,
}

/// A listing under way.
#[derive(Debug)]
pub struct Pages<'a> {
    result: &'a str,
    most: Option<i64>,
    /// Members for the request of the page that is awaited.
    token: Map<String, Value>,
    /// Items of the first page that an earlier run has shown; taken with that page.
    shown: Option<i64>,
    /// The token that the page before named.
    previous: Option<Map<String, Value>>,
    /// Items of all pages so far.
    seen: i64,
}

impl<'a> Pages<'a> {
    /// Starts the listing of the response's member `result` with `--max-items` and
    /// `--starting-token`.
    ///
    /// # Errors
    /// [`PagingError`] if the token is none.
    pub fn new(
        result: &'a str,
        most: Option<i64>,
        starting_token: Option<&str>,
    ) -> Result<Self, PagingError> {
        let (token, shown) = match starting_token {
            Some(text) => {
                let (token, shown) = decode(text)?;
                (token, Some(shown))
            }
            None => (marker(Value::Null), None),
        };
        Ok(Self {
            result,
            most,
            token,
            shown,
            previous: None,
            seen: 0,
        })
    }

    /// The marker of the page that comes next, if it has one.
    pub fn marker(&self) -> Option<&str> {
        self.token
            .get(MARKER)
            .and_then(Value::as_str)
            .filter(|marker| *marker != "None")
    }

    /// Puts the marker of the next page into its request, or takes an old one out.
    ///
    /// A token can hold members that the operation does not have, so the request is to be checked
    /// as any other.
    pub fn inject(&self, request: &mut Map<String, Value>) {
        for (name, value) in &self.token {
            if value.is_null() || value.as_str() == Some("None") {
                request.shift_remove(name);
            } else {
                request.insert(name.clone(), value.clone());
            }
        }
    }

    /// Takes the response to the last request.
    ///
    /// # Errors
    /// [`PagingError::BadToken`] if the page has to be cut and the starting token had no marker;
    /// nothing of the page is then printed.
    pub fn take(&mut self, mut response: Value) -> Result<Turn, PagingError> {
        let mut list = response
            .get_mut(self.result)
            .map_or(Value::Null, Value::take);
        let shown = self.shown.take();
        if let Some(shown) = shown {
            match &mut list {
                Value::Array(items) => drop(items.drain(..index(shown, items.len()))),
                other => *other = Value::Null,
            }
        }
        let count = list.as_array().map_or(0, |items| items.len() as i64);
        let total = self.seen.saturating_add(count);
        let excess = self.most.map_or(0, |most| total.saturating_sub(most));
        let then = if excess > 0 {
            let keep = count.saturating_sub(excess);
            match &mut list {
                Value::Array(items) => items.truncate(index(keep, items.len())),
                other => *other = Value::Array(Vec::new()),
            }
            let amount = keep.saturating_add(shown.unwrap_or(0));
            let mut token = self.token.clone();
            token.insert(AMOUNT.to_owned(), Value::from(amount));
            Then::Resume(encode(&token)?)
        } else {
            self.seen = total;
            self.follow(&response)?
        };
        let page = Map::from_iter([(self.result.to_owned(), list)]);
        Ok(Turn {
            page: Value::Object(page),
            then,
        })
    }

    fn follow(&mut self, response: &Value) -> Result<Then, PagingError> {
        let named = |name: &str| response.get(name).filter(|value| !python::is_false(value));
        let (Some(_), Some(next)) = (named("Truncated"), named("NextMarker")) else {
            return Ok(Then::End);
        };
        let next = marker(next.clone());
        if self.most == Some(self.seen) {
            return Ok(Then::Resume(encode(&next)?));
        }
        if self.previous.as_ref() == Some(&next) {
            let repeated = python::repr(&Value::Object(next));
            return Ok(Then::Fail(PagingError::Repeated(repeated)));
        }
        self.token = next.clone();
        self.previous = Some(next);
        Ok(Then::Request)
    }
}

/// Merges all pages into what json and table print; a token comes last.
pub fn merge(result: &str, pages: Vec<Value>, token: Option<String>) -> Value {
    let mut all: Option<Vec<Value>> = None;
    for mut page in pages {
        if let Some(Value::Array(items)) = page.get_mut(result).map(Value::take) {
            all.get_or_insert_default().extend(items);
        }
    }
    let mut whole = Map::new();
    if let Some(all) = all {
        whole.insert(result.to_owned(), Value::Array(all));
    }
    if let Some(token) = token {
        whole.insert("NextToken".to_owned(), Value::String(token));
    }
    Value::Object(whole)
}

/// Makes the page that text prints (and queries) behind the others for a token.
pub fn token_page(token: String) -> Value {
    let inner = Map::from_iter([("NextToken".to_owned(), Value::String(token))]);
    Value::Object(Map::from_iter([(
        "NextToken".to_owned(),
        Value::Object(inner),
    )]))
}

fn marker(value: Value) -> Map<String, Value> {
    Map::from_iter([(MARKER.to_owned(), value)])
}

/// A position as Python's slices take it: a negative one counts from the end, none is too far.
fn index(position: i64, len: usize) -> usize {
    let distance = usize::try_from(position.unsigned_abs()).unwrap_or(usize::MAX);
    if position < 0 {
        len.saturating_sub(distance)
    } else {
        len.min(distance)
    }
}

/// Markers that a service has taken are ASCII, so no escapes are needed.
fn encode(token: &Map<String, Value>) -> Result<String, PagingError> {
    let others = token.keys().filter(|name| *name != AMOUNT);
    if !others.eq([MARKER]) {
        let token = python::repr(&Value::Object(token.clone()));
        return Err(PagingError::BadToken(token));
    }
    let members: Vec<String> = token
        .iter()
        .map(|(name, value)| format!("\"{name}\": {value}"))
        .collect();
    Ok(STANDARD.encode(format!("{{{}}}", members.join(", "))))
}

/// The members of the next request, and how many items of its page have been shown.
fn decode(text: &str) -> Result<(Map<String, Value>, i64), PagingError> {
    match base64_json(text) {
        Some(Value::Object(mut token)) => {
            let amount = token.shift_remove(AMOUNT).unwrap_or(Value::from(0));
            let amount = amount.as_i64().ok_or(PagingError::NotAnIndex)?;
            Ok((token, amount))
        }
        Some(Value::Array(_)) | None => decode_old(text),
        Some(scalar) => Err(PagingError::NotAnObject(python::kind(&scalar))),
    }
}

/// Decodes Base64 between whatever else is there.
fn base64_json(text: &str) -> Option<Value> {
    let digits: String = text
        .chars()
        .filter(|letter| letter.is_ascii_alphanumeric() || matches!(letter, '+' | '/' | '='))
        .collect();
    serde_json::from_slice(&STANDARD.decode(digits).ok()?).ok()
}

fn decode_old(text: &str) -> Result<(Map<String, Value>, i64), PagingError> {
    let parts: Vec<&str> = text.split("___").collect();
    let (name, amount) = match parts.as_slice() {
        [name] => (*name, 0),
        [name, amount] => match amount.trim().parse::<i64>() {
            Ok(amount) => (*name, amount),
            // Not of that form, then: a marker that happens to look like it.
            Err(_) => (text, 0),
        },
        _ => return Err(PagingError::BadToken(text.to_owned())),
    };
    let value = match name {
        "None" => Value::Null,
        name => Value::from(name),
    };
    Ok((marker(value), amount))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn tokens_in_every_form_are_read() {
        for (text, marker, amount) in [
            ("3", json!("3"), 0),
            ("", json!(""), 0),
            ("None", json!(null), 0),
            ("3___1", json!("3"), 1),
            ("None___2", json!(null), 2),
            ("3___x", json!("3___x"), 0),
            ("eyJNYXJrZXIiOiAiNiJ9", json!("6"), 0),
            ("eyJNYXJrZXIi\nOiAiNiJ9", json!("6"), 0),
            (
                "eyJNYXJrZXIiOiBudWxsLCAiYm90b190cnVuY2F0ZV9hbW91bnQiOiAxfQ==",
                json!(null),
                1,
            ),
        ] {
            let expected = json!({ "Marker": marker });
            let (token, found) = decode(text).expect("a token");
            assert_eq!((Value::Object(token), found), (expected, amount), "{text}");
        }
    }

    #[test]
    fn what_is_no_token_is_refused_as_python_refuses_it() {
        for (text, message) in [
            ("a___b___c", "Bad starting token: a___b___c"),
            ("MQ==", "'int' object has no attribute 'pop'"),
            ("ImEi", "'str' object has no attribute 'pop'"),
            ("bnVsbA==", "'NoneType' object has no attribute 'pop'"),
            (
                // {"boto_truncate_amount": "x"}
                "eyJib3RvX3RydW5jYXRlX2Ftb3VudCI6ICJ4In0=",
                "slice indices must be integers or None or have an __index__ method",
            ),
        ] {
            assert_eq!(decode(text).expect_err("no token").to_string(), message);
        }
    }

    #[test]
    fn a_marker_is_put_into_the_request_and_taken_out_again() {
        let mut request = Map::from_iter([("Limit".to_owned(), json!(2))]);
        let mut pages = Pages::new("Keys", None, Some("a")).expect("no token or a good one");
        pages.inject(&mut request);
        assert_eq!(json!(request), json!({"Limit": 2, "Marker": "a"}));
        pages = Pages::new("Keys", None, None).expect("no token or a good one");
        pages.inject(&mut request);
        assert_eq!(json!(request), json!({"Limit": 2}));
    }

    #[test]
    fn a_token_without_a_marker_cannot_be_continued() {
        // {"boto_truncate_amount": 1}
        let token = "eyJib3RvX3RydW5jYXRlX2Ftb3VudCI6IDF9";
        let mut pages = Pages::new("Keys", Some(1), Some(token)).expect("no token or a good one");
        let response = json!({"Keys": [1, 2, 3], "Truncated": false});
        assert_eq!(
            pages.take(response).expect_err("no marker").to_string(),
            "Bad starting token: {'boto_truncate_amount': 2}"
        );
    }

    #[test]
    fn positions_count_from_either_end() {
        for (position, expected) in [
            (0, 0),
            (2, 2),
            (9, 3),
            (-1, 2),
            (-9, 0),
            (i64::MIN, 0),
            (i64::MAX, 3),
        ] {
            assert_eq!(index(position, 3), expected);
        }
    }
}
