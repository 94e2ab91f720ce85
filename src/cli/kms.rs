//! `rekeyfs kms`: the operations of the API table with the arguments of the AWS CLI v1.
//!
//! Exit codes and messages are that CLI's: 0, 2 for usage, 255 for everything else.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::process::ExitCode;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use clap::{Arg, ArgAction, ArgMatches, Command};
use serde::Serialize;
use serde_json::{Map, Value};

use super::report::Fault;
use super::settings::Settings;
use crate::kms::api::{Kind, Member, OPERATIONS, Operation};
use crate::kms::shorthand;

/// What the AWS CLI v1 exits with after an error.
const ERROR: u8 = 255;

/// `ReEncrypt` to `re-encrypt`.
fn kebab(name: &str) -> String {
    let mut out = String::new();
    for letter in name.chars() {
        if letter.is_ascii_uppercase() {
            if !out.is_empty() {
                out.push('-');
            }
            out.push(letter.to_ascii_lowercase());
        } else {
            out.push(letter);
        }
    }
    out
}

fn command() -> Command {
    let output = Arg::new("output")
        .long("output")
        .global(true)
        .value_parser(["json"])
        .help("The formatting style of the output");
    Command::new("rekeyfs kms")
        .about("The local KMS, with the arguments and output of `aws kms` (AWS CLI v1)")
        .subcommand_required(true)
        .arg(output)
        .args(
            ["keystore", "passphrase-file", "account", "region"].map(|name| {
                Arg::new(name)
                    .long(name)
                    .global(true)
                    .help("See rekeyfs --help")
            }),
        )
        .subcommands(OPERATIONS.iter().map(|operation| {
            Command::new(kebab(operation.name))
                .about(operation.about)
                .args(operation.members.iter().flat_map(arguments))
        }))
}

fn arguments(member: &Member) -> Vec<Arg> {
    let name = kebab(member.name);
    let arg = Arg::new(member.name)
        .long(name.clone())
        .required(member.required)
        .allow_hyphen_values(true)
        .value_parser(clap::value_parser!(OsString));
    match member.kind {
        Kind::Boolean => vec![
            Arg::new(member.name)
                .long(name.clone())
                .action(ArgAction::SetTrue)
                .overrides_with(format!("no-{name}")),
            Arg::new(format!("no-{name}"))
                .long(format!("no-{name}"))
                .action(ArgAction::SetTrue)
                .overrides_with(member.name),
        ],
        Kind::Texts(..) | Kind::Choices(_) => vec![arg.num_args(1..).allow_hyphen_values(false)],
        Kind::Blob(..) => vec![arg.value_name("bytes, fileb://path or file://path")],
        Kind::Map => vec![arg.value_name("k=v,.. or JSON")],
        Kind::Text(..) | Kind::Choice(_) | Kind::Integer(..) => vec![arg],
    }
}

/// Runs `rekeyfs kms`.
pub fn run(arguments: &[OsString], settings: &Settings) -> ExitCode {
    let named =
        std::iter::once(OsStr::new("rekeyfs kms")).chain(arguments.iter().map(OsString::as_os_str));
    let matches = match command().try_get_matches_from(named) {
        Ok(matches) => matches,
        Err(e) => {
            let _ = e.print();
            return ExitCode::from(if e.use_stderr() { 2 } else { 0 });
        }
    };
    let Some((name, matches)) = matches.subcommand() else {
        return ExitCode::from(2);
    };
    let Some(operation) = OPERATIONS
        .iter()
        .find(|operation| kebab(operation.name) == name)
    else {
        return ExitCode::from(2);
    };
    match call(operation, matches, settings) {
        Ok(Value::Object(members)) if members.is_empty() => ExitCode::SUCCESS,
        Ok(response) => {
            println!("{}", pretty(&response));
            ExitCode::SUCCESS
        }
        Err(CallError::Argument(message)) => {
            eprintln!("\n{message}");
            ExitCode::from(ERROR)
        }
        Err(CallError::Fault(fault)) => {
            fault.print();
            ExitCode::from(ERROR)
        }
        Err(CallError::Service(exception)) => {
            eprintln!(
                "\nAn error occurred ({}) when calling the {} operation: {}",
                exception.kind().name(),
                operation.name,
                exception.message().unwrap_or_default()
            );
            ExitCode::from(ERROR)
        }
    }
}

enum CallError {
    Argument(String),
    Fault(Fault),
    Service(crate::kms::error::Exception),
}

impl From<Fault> for CallError {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

fn call(
    operation: &Operation,
    matches: &ArgMatches,
    settings: &Settings,
) -> Result<Value, CallError> {
    let mut request = Map::new();
    for member in operation.members {
        if let Some(value) = value(member, matches)? {
            request.insert(member.name.to_owned(), value);
        }
    }
    // The shared options may stand before `kms` as well as behind the operation.
    let text = |name: &str, before: &Option<String>| {
        matches
            .get_one::<String>(name)
            .cloned()
            .or_else(|| before.clone())
    };
    let path = |name: &str, before: &Option<std::path::PathBuf>| {
        matches
            .get_one::<String>(name)
            .map(Into::into)
            .or_else(|| before.clone())
    };
    let settings = Settings {
        keystore: path("keystore", &settings.keystore),
        passphrase_file: path("passphrase-file", &settings.passphrase_file),
        account: text("account", &settings.account),
        region: text("region", &settings.region),
    };
    let caller = settings.caller()?;
    let kms = settings.open_or_create()?;
    operation
        .run(&kms, &caller, Value::Object(request))
        .map_err(CallError::Service)
}

fn value(member: &Member, matches: &ArgMatches) -> Result<Option<Value>, CallError> {
    let option = kebab(member.name);
    if let Kind::Boolean = member.kind {
        let no = matches.get_flag(&format!("no-{option}"));
        return Ok((matches.get_flag(member.name) || no).then_some(Value::Bool(!no)));
    }
    let Some(values) = matches.get_many::<OsString>(member.name) else {
        return Ok(None);
    };
    let values = values
        .map(|given| parameter(&option, given))
        .collect::<Result<Vec<_>, _>>()?;
    let failed = |reason: &str| {
        CallError::Argument(format!("Error parsing parameter '--{option}': {reason}"))
    };
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).map_err(|_| failed("not UTF-8"));
    let first = values.first().map(Vec::as_slice).unwrap_or_default();
    Ok(Some(match member.kind {
        Kind::Blob(..) => Value::String(STANDARD.encode(first)),
        Kind::Text(..) | Kind::Choice(_) => Value::String(text(first)?),
        Kind::Integer(..) => {
            let text = text(first)?;
            let number = text.parse::<i64>();
            number.map_or_else(|_| Value::String(text), Value::from)
        }
        Kind::Map => {
            let text = text(first)?;
            if text.trim_start().starts_with('{') {
                serde_json::from_str(&text).map_err(|e| failed(&format!("Invalid JSON: {e}")))?
            } else {
                shorthand::parse(&text).map_err(|e| failed(&e.to_string()))?
            }
        }
        Kind::Texts(..) | Kind::Choices(_) => {
            let only = text(first)?;
            if values.len() == 1 && only.trim_start().starts_with('[') {
                serde_json::from_str(&only).map_err(|e| failed(&format!("Invalid JSON: {e}")))?
            } else {
                Value::Array(
                    values
                        .iter()
                        .map(|item| text(item).map(Value::String))
                        .collect::<Result<_, _>>()?,
                )
            }
        }
        Kind::Boolean => Value::Null,
    }))
}

/// A parameter's bytes: itself, or the file that it names.
fn parameter(option: &str, given: &OsStr) -> Result<Vec<u8>, CallError> {
    let bytes = given.as_bytes();
    let path = bytes
        .strip_prefix(b"fileb://")
        .or_else(|| bytes.strip_prefix(b"file://"));
    let Some(path) = path else {
        return Ok(bytes.to_vec());
    };
    std::fs::read(OsStr::from_bytes(path)).map_err(|e| {
        CallError::Argument(format!(
            "Error parsing parameter '--{option}': Unable to load paramfile {}: {e}",
            given.to_string_lossy()
        ))
    })
}

/// JSON as the AWS CLI prints it: 4 blanks, ASCII only.
fn pretty(value: &Value) -> String {
    let mut bytes = Vec::new();
    let formatter = serde_json::ser::PrettyFormatter::with_indent(b"    ");
    let mut serializer = serde_json::Serializer::with_formatter(&mut bytes, formatter);
    if value.serialize(&mut serializer).is_err() {
        return String::new();
    }
    let mut out = String::new();
    let mut units = [0; 2];
    for letter in String::from_utf8_lossy(&bytes).chars() {
        if letter.is_ascii() {
            out.push(letter);
        } else {
            for unit in letter.encode_utf16(&mut units) {
                out.push_str(&format!("\\u{unit:04x}"));
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_aws_cli() {
        for (name, expected) in [
            ("ReEncrypt", "re-encrypt"),
            (
                "GenerateDataKeyWithoutPlaintext",
                "generate-data-key-without-plaintext",
            ),
            ("PendingWindowInDays", "pending-window-in-days"),
        ] {
            assert_eq!(kebab(name), expected);
        }
        command().debug_assert();
    }

    #[test]
    fn output_is_indented_by_four_and_ascii() {
        let value = serde_json::json!({"A": "ä😀", "B": [1]});
        assert_eq!(
            pretty(&value),
            "{\n    \"A\": \"\\u00e4\\ud83d\\ude00\",\n    \"B\": [\n        1\n    ]\n}"
        );
    }
}
