//! The values of an operation's options, made into a request as AWS CLI 1.31.13 makes it.
//!
//! Three steps, in the order of that CLI, between which others may fail: [`Parameters::read`]
//! gives values the types of the model and adds those of `--cli-input-json`;
//! [`Parameters::take_paging`] takes out what is about pages; [`Parameters::into_request`] checks
//! what is left and writes it as JSON. Knows files (`paramfile`), shapes and the shorthand, but
//! not what the operations do.
//!
//! What differs from that CLI, on purpose: `http://` and `https://` values are not fetched; an
//! argument that is not UTF-8 is refused wherever it stands, not in blobs alone.

mod encode;
mod fault;
mod json;
mod paramfile;
mod timestamp;
mod unpack;
mod validate;
mod value;

use serde_json::Value;

use super::arguments::{Invocation, kebab};
use super::python;
use crate::kms::api::Operation;
use fault::{Reason, parsing};
use paramfile::Loaded;
use unpack::{from_json, integer, load, unpack};
use value::{Dict, Parsed, set};

pub use fault::ParameterFault;

/// The member that the options about pages are kept in, as in botocore.
const PAGING: &str = "PaginationConfig";

/// What the options say about pages.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Paging {
    /// Where to begin: a token of an answer before, or a marker.
    pub starting_token: Option<String>,
    /// Items of all pages together.
    pub max_items: Option<i64>,
}

/// The members of a request, not checked yet.
#[derive(Debug, Clone, PartialEq)]
pub struct Parameters {
    members: Vec<(String, Parsed)>,
    page_size: Option<String>,
}

impl Parameters {
    /// Gives the values of a command line their types, then adds the members of
    /// `--cli-input-json` that it does not give itself. Reads files that are named.
    ///
    /// # Errors
    /// [`ParameterFault`]: the first one, in the order of the model.
    pub fn read(invocation: &Invocation) -> Result<Self, ParameterFault> {
        let mut members = Vec::new();
        for (member, given) in &invocation.parameters {
            let option = format!("--{}", kebab(member.name));
            let value = unpack(&option, &member.shape, given)?;
            set(&mut members, member.name, value);
        }
        let input = match &invocation.input_json {
            Some(given) => Some(load("--cli-input-json", given)?),
            None => None,
        };
        let options = &invocation.page_options;
        let mut paging = Vec::new();
        if let Some(token) = &options.starting_token {
            let token = match load("--starting-token", token)? {
                Loaded::Text(text) => Parsed::Text(text),
                Loaded::Bytes(bytes) => Parsed::Bytes(bytes),
            };
            set(&mut paging, "StartingToken", token);
        }
        for (name, number) in [
            ("PageSize", &options.page_size),
            ("MaxItems", &options.max_items),
        ] {
            if let Some(number) = number {
                set(&mut paging, name, Parsed::Integer(number.clone()));
            }
        }
        if !paging.is_empty() {
            set(&mut members, PAGING, Parsed::Map(paging, Dict::Plain));
        }
        if let Some(input) = input {
            add_input(&mut members, input)?;
        }
        Ok(Self {
            members,
            page_size: None,
        })
    }

    /// Takes out what is about pages, of a request that all pages are fetched for. Any other
    /// request is refused later if there is something.
    ///
    /// # Errors
    /// [`ParameterFault`] for numbers that are none.
    pub fn take_paging(&mut self) -> Result<Paging, ParameterFault> {
        let Some(place) = self.members.iter().position(|(name, _)| name == PAGING) else {
            return Ok(Paging::default());
        };
        let config = match self.members.remove(place) {
            (_, Parsed::Map(config, _)) => config,
            (_, other) => {
                return Err(ParameterFault::Attribute {
                    found: other.type_name(),
                    attribute: "get",
                });
            }
        };
        let find = |wanted: &str| config.iter().find(|(name, _)| name == wanted);
        let number = |wanted: &str| match find(wanted) {
            Some((_, value)) => integer(value),
            None => Ok(None),
        };
        let max_items = number("MaxItems")?.map(|digits| saturated(&digits));
        self.page_size = number("PageSize")?;
        let starting_token = match find("StartingToken") {
            None | Some((_, Parsed::Null)) => None,
            Some((_, Parsed::Text(token))) => Some(token.clone()),
            Some((_, other)) => {
                return Err(ParameterFault::Attribute {
                    found: other.type_name(),
                    attribute: "encode",
                });
            }
        };
        Ok(Paging {
            starting_token,
            max_items,
        })
    }

    /// Begins at the marker of a starting token; a token may also say to begin without one.
    pub fn resume_at(&mut self, marker: Option<&str>) {
        match marker {
            Some(marker) => set(&mut self.members, "Marker", Parsed::Text(marker.to_owned())),
            None => self.members.retain(|(name, _)| name != "Marker"),
        }
    }

    /// Checks the request, and writes it as JSON: blobs in base64, members in the order in which
    /// they were given.
    ///
    /// # Errors
    /// [`ParameterFault::Invalid`] with all faults.
    pub fn into_request(mut self, operation: &Operation) -> Result<Value, ParameterFault> {
        if let Some(size) = self.page_size.take() {
            set(&mut self.members, "Limit", Parsed::Integer(size));
        }
        let findings = validate::check(operation.input, &self.members)?;
        if !findings.is_empty() {
            return Err(ParameterFault::Invalid(findings));
        }
        Ok(encode::members(operation.input, self.members))
    }
}

fn saturated(digits: &str) -> i64 {
    let most = if digits.starts_with('-') {
        i64::MIN
    } else {
        i64::MAX
    };
    digits.parse().unwrap_or(most)
}

/// Adds the members of `--cli-input-json` that are not there yet.
fn add_input(members: &mut Vec<(String, Parsed)>, input: Loaded) -> Result<(), ParameterFault> {
    const NAME: &str = "cli-input-json";
    let text = match input {
        Loaded::Text(text) => text,
        Loaded::Bytes(bytes) => decoded(bytes).map_err(|reason| parsing(NAME, reason))?,
    };
    let given = match from_json(NAME, &text, Dict::Plain)? {
        Parsed::Map(given, _) => given,
        other => {
            return Err(ParameterFault::Attribute {
                found: other.type_name(),
                attribute: "keys",
            });
        }
    };
    let known = members.len();
    for (name, value) in given {
        if !members.iter().take(known).any(|(known, _)| *known == name) {
            members.push((name, value));
        }
    }
    Ok(())
}

/// Bytes as text: UTF-8, with or without a mark in front.
fn decoded(bytes: Vec<u8>) -> Result<String, Reason> {
    let bytes = match bytes.strip_prefix(b"\xef\xbb\xbf") {
        Some(rest) => rest.to_vec(),
        None => bytes,
    };
    String::from_utf8(bytes).map_err(|fault| {
        let error = fault.utf8_error();
        let bytes = fault.as_bytes();
        let at = error.valid_up_to();
        let first = bytes.get(at).copied().unwrap_or_default();
        let what = match error.error_len() {
            None => "unexpected end of data",
            Some(_) if matches!(first, 0xc2..=0xf4) => "invalid continuation byte",
            Some(_) => "invalid start byte",
        };
        let length = error.error_len().unwrap_or(bytes.len() - at);
        let place = if length > 1 {
            format!("bytes in position {at}-{}", at + length - 1)
        } else {
            format!("byte 0x{first:02x} in position {at}")
        };
        Reason::Undecodable {
            place,
            what,
            received: python::quoted_bytes(bytes),
        }
    })
}

#[cfg(test)]
mod tests;
