//! The options of every command, and the first pass over the command line, which takes them
//! wherever they stand.
//!
//! Those that are ours alone (`--keystore`, `--passphrase-file`, `--account`, `--principal`) cannot
//! be abbreviated: else `--ke`, which is `--key-id` to the AWS CLI, would mean something else here.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

use super::parser::{self, Flag, Found, Positional, Takes};
use super::usage::{UsageFault, invalid_choice};
use crate::cli::kms::output::Output;
use crate::cli::kms::python;

/// The word that makes a command line one of `rekeyfs kms`.
const COMMAND: &str = "kms";

/// Seconds that the AWS CLI waits, by default.
const TIMEOUT: i64 = 60;

/// What `--color` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Color {
    /// Always.
    On,
    /// Never.
    Off,
    /// On a terminal.
    Auto,
}

/// The options of every command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Globals {
    /// `--debug`.
    pub debug: bool,
    /// `--endpoint-url`; it has a scheme.
    pub endpoint_url: Option<String>,
    /// Not `--no-verify-ssl`.
    pub verify_ssl: bool,
    /// Not `--no-paginate`.
    pub paginate: bool,
    /// `--output`.
    pub output: Option<Output>,
    /// `--query`; it has been checked.
    pub query: Option<String>,
    /// `--profile`, unless empty.
    pub profile: Option<String>,
    /// `--region`, unless empty.
    pub region: Option<String>,
    /// `--color`.
    pub color: Color,
    /// Not `--no-sign-request`.
    pub sign_request: bool,
    /// `--ca-bundle`.
    pub ca_bundle: Option<PathBuf>,
    /// `--cli-read-timeout`: seconds, 0 for none; one below 0 is a fault of the connection.
    pub read_timeout: i64,
    /// `--cli-connect-timeout`: as the other.
    pub connect_timeout: i64,
    /// `--keystore`, ours.
    pub keystore: Option<PathBuf>,
    /// `--passphrase-file`, ours.
    pub passphrase_file: Option<PathBuf>,
    /// `--account`, ours.
    pub account: Option<String>,
    /// `--principal`, ours.
    pub principal: Option<String>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Global {
    Debug,
    EndpointUrl,
    NoVerifySsl,
    NoPaginate,
    Output,
    Query,
    Profile,
    Region,
    Color,
    NoSignRequest,
    CaBundle,
    ReadTimeout,
    ConnectTimeout,
    Version,
    Keystore,
    PassphraseFile,
    Account,
    Principal,
}

/// In the order in which ambiguous ones are listed.
const FLAGS: [(&str, Global, Takes); 18] = [
    ("--debug", Global::Debug, Takes::Nothing),
    ("--endpoint-url", Global::EndpointUrl, Takes::One),
    ("--no-verify-ssl", Global::NoVerifySsl, Takes::Nothing),
    ("--no-paginate", Global::NoPaginate, Takes::Nothing),
    ("--output", Global::Output, Takes::One),
    ("--query", Global::Query, Takes::One),
    ("--profile", Global::Profile, Takes::One),
    ("--region", Global::Region, Takes::One),
    ("--color", Global::Color, Takes::One),
    ("--no-sign-request", Global::NoSignRequest, Takes::Nothing),
    ("--ca-bundle", Global::CaBundle, Takes::One),
    ("--cli-read-timeout", Global::ReadTimeout, Takes::One),
    ("--cli-connect-timeout", Global::ConnectTimeout, Takes::One),
    ("--version", Global::Version, Takes::Nothing),
    ("--keystore", Global::Keystore, Takes::One),
    ("--passphrase-file", Global::PassphraseFile, Takes::One),
    ("--account", Global::Account, Takes::One),
    ("--principal", Global::Principal, Takes::One),
];

fn flags() -> Vec<Flag<Global>> {
    FLAGS
        .into_iter()
        .map(|(name, means, takes)| Flag {
            name: name.to_owned(),
            takes,
            abbreviates: !matches!(
                means,
                Global::Keystore | Global::PassphraseFile | Global::Account | Global::Principal
            ),
            required: false,
            means,
        })
        .collect()
}

/// Says whether arguments of the program are for `kms`: whether that is the first word among them
/// that is neither an option nor an option's value.
pub fn is_for_kms(arguments: &[OsString]) -> bool {
    parser::first_positional(&flags(), arguments).is_some_and(|word| word == COMMAND)
}

/// Makes the first pass; gives the options and the words that are left, or nothing if only the
/// version is asked for.
///
/// # Errors
/// [`UsageFault`], also for a query that `check_query` refuses.
pub fn read(
    arguments: &[OsString],
    check_query: impl FnOnce(&str) -> Result<(), String>,
) -> Result<Option<(Globals, Vec<OsString>)>, UsageFault> {
    let mut reader = Reader::new();
    let flags = flags();
    let required = Positional::Required("command");
    let result = parser::parse(&flags, required, arguments, |found| match found {
        Found::Option(flag, values) => reader.take(flag.means, values.first().copied()),
        Found::Positional(word) if word == COMMAND => Ok(()),
        Found::Positional(word) => Err(invalid_choice("command", word, &[COMMAND, "help"]).into()),
    });
    let rest = match result {
        Ok(rest) => rest,
        Err(Stop::Version) => return Ok(None),
        Err(Stop::Message(message)) => return Err(UsageFault::usage(&message)),
    };
    // Only now are values looked at, before the operation is.
    if let Some(query) = &reader.globals.query {
        check_query(query).map_err(|reason| {
            UsageFault::value(&format!("Bad value for --query {query}: {reason}"))
        })?;
    }
    if let Some(url) = &reader.globals.endpoint_url {
        check_scheme(url)?;
    }
    Ok(Some((reader.finish()?, rest)))
}

/// Why the first pass ends early.
enum Stop {
    Version,
    Message(String),
}

impl From<String> for Stop {
    fn from(message: String) -> Self {
        Self::Message(message)
    }
}

struct Reader {
    globals: Globals,
    read_timeout: Option<OsString>,
    connect_timeout: Option<OsString>,
}

impl Reader {
    fn new() -> Self {
        Self {
            globals: Globals {
                debug: false,
                endpoint_url: None,
                verify_ssl: true,
                paginate: true,
                output: None,
                query: None,
                profile: None,
                region: None,
                color: Color::Auto,
                sign_request: true,
                ca_bundle: None,
                read_timeout: TIMEOUT,
                connect_timeout: TIMEOUT,
                keystore: None,
                passphrase_file: None,
                account: None,
                principal: None,
            },
            read_timeout: None,
            connect_timeout: None,
        }
    }

    fn take(&mut self, means: Global, value: Option<&OsStr>) -> Result<(), Stop> {
        let globals = &mut self.globals;
        let text = || value.map(|value| value.to_string_lossy().into_owned());
        let not_empty = || text().filter(|text| !text.is_empty());
        let path = || value.map(PathBuf::from);
        match means {
            Global::Debug => globals.debug = true,
            Global::NoVerifySsl => globals.verify_ssl = false,
            Global::NoPaginate => globals.paginate = false,
            Global::NoSignRequest => globals.sign_request = false,
            Global::Version => return Err(Stop::Version),
            Global::Output => {
                globals.output =
                    choice("--output", value, &["json", "text", "table"])?.and_then(Output::parse);
            }
            Global::Color => {
                globals.color = match choice("--color", value, &["on", "off", "auto"])? {
                    Some("on") => Color::On,
                    Some("off") => Color::Off,
                    _ => Color::Auto,
                };
            }
            Global::EndpointUrl => globals.endpoint_url = text(),
            Global::Query => globals.query = text(),
            Global::Profile => globals.profile = not_empty(),
            // Given as nothing it counts, too: requests are then signed for no Region.
            Global::Region => globals.region = text(),
            Global::CaBundle => globals.ca_bundle = path(),
            Global::ReadTimeout => self.read_timeout = value.map(OsStr::to_owned),
            Global::ConnectTimeout => self.connect_timeout = value.map(OsStr::to_owned),
            Global::Keystore => globals.keystore = path(),
            Global::PassphraseFile => globals.passphrase_file = path(),
            Global::Account => globals.account = text(),
            Global::Principal => globals.principal = text(),
        }
        Ok(())
    }

    fn finish(self) -> Result<Globals, UsageFault> {
        let mut globals = self.globals;
        if let Some(given) = &self.read_timeout {
            globals.read_timeout = seconds(given)?;
        }
        if let Some(given) = &self.connect_timeout {
            globals.connect_timeout = seconds(given)?;
        }
        Ok(globals)
    }
}

fn choice<'a>(
    name: &str,
    value: Option<&OsStr>,
    choices: &[&'a str],
) -> Result<Option<&'a str>, Stop> {
    let Some(value) = value else {
        return Ok(None);
    };
    let found = choices.iter().find(|choice| value == **choice);
    match found {
        Some(choice) => Ok(Some(*choice)),
        None => Err(invalid_choice(name, value, choices).into()),
    }
}

fn seconds(given: &OsStr) -> Result<i64, UsageFault> {
    let number = python::integer(given).map_err(|reason| UsageFault::value(&reason.to_string()))?;
    let most = if number.starts_with('-') {
        i64::MIN
    } else {
        i64::MAX
    };
    Ok(number.parse().unwrap_or(most))
}

/// Checks what the AWS CLI checks before it connects: that there is a scheme, and that the
/// brackets of an IPv6 address are a pair.
fn check_scheme(url: &str) -> Result<(), UsageFault> {
    let is_control_or_blank = |letter: char| letter <= ' ';
    let clean: String = url
        .trim_start_matches(is_control_or_blank)
        .chars()
        .filter(|letter| !matches!(letter, '\t' | '\r' | '\n'))
        .collect();
    let scheme = clean.split_once(':').filter(|(scheme, _)| {
        scheme.starts_with(|letter: char| letter.is_ascii_alphabetic())
            && scheme
                .chars()
                .all(|letter| letter.is_ascii_alphanumeric() || "+-.".contains(letter))
    });
    let rest = scheme.map_or(clean.as_str(), |(_, rest)| rest);
    if let Some(authority) = rest.strip_prefix("//") {
        let authority = authority.split(['/', '?', '#']).next().unwrap_or_default();
        if authority.contains('[') != authority.contains(']') {
            return Err(UsageFault::value("Invalid IPv6 URL"));
        }
    }
    if scheme.is_none() {
        return Err(UsageFault::value(&format!(
            "Bad value for --endpoint-url \"{url}\": scheme is missing.  Must be of the form \
             http://<hostname>/ or https://<hostname>/"
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
