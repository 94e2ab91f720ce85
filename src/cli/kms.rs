//! `rekeyfs kms`: the operations of the API with the arguments, output and exit codes of
//! `aws kms` (AWS CLI v1, 1.31.13), on the local keystore, or on an endpoint.
//!
//! ```text
//!   arguments ──► parameters ──► the local KMS, or remote ──► pages ──► jmespath ──► output
//!    (words)      (JSON request)    (JSON response)
//!                    └─ skeleton    profile: files and variables of the AWS CLI
//! ```
//!
//! Each room is pure but `parameters` (files that are named), `profile` and `remote`. Faults of
//! every room are the lines that the AWS CLI prints; this file alone prints them.

pub mod arguments;
pub mod jmespath;
pub mod output;
pub mod parameters;
pub(super) mod profile;
mod python;
mod remote;
mod skeleton;

use std::ffi::OsString;
use std::io::{IsTerminal, Write};
use std::process::ExitCode;
use std::sync::Arc;

use serde_json::{Map, Value};

use super::report::Fault;
use super::settings::{Settings, local_region};
use crate::endpoint::sigv4::Refusal;
use crate::kms::Kms;
use crate::kms::api::{Member, OPERATIONS, Operation, Shape};
use crate::kms::caller::Caller;
pub use arguments::is_for_kms;
use arguments::{Asked, Color, Globals, Invocation, Skeleton, UsageFault, kebab};
use jmespath::Expression;
use output::pages::{Pages, PagingError, Then, merge, token_page};
use output::{Output, Printed};
use parameters::{ParameterFault, Parameters};
use profile::{Profile, ProfileFault};
use remote::{Remote, RemoteFault, Target};

/// What the AWS CLI v1 exits with after an error.
const ERROR: u8 = 255;
/// The width of what is no terminal.
const WIDTH: usize = 80;

/// Why there is nothing to print: one line, as the AWS CLI prints it.
#[derive(Debug, thiserror::Error)]
enum CallFault {
    #[error(transparent)]
    Parameters(#[from] ParameterFault),
    #[error(transparent)]
    Profile(#[from] ProfileFault),
    #[error(transparent)]
    Remote(#[from] RemoteFault),
    #[error(transparent)]
    Paging(#[from] PagingError),
    #[error("{0}")]
    Query(#[from] jmespath::JmespathError),
    #[error("{0}")]
    Unprintable(output::Unprintable),
    #[error("Unknown output type: {0}")]
    UnknownOutput(String),
    #[error("Provided region_name '{0}' doesn't match a supported format.")]
    BadRegion(String),
    #[error(
        "You must specify a region. You can also configure your region by running \"aws configure\"."
    )]
    NoRegion,
    #[error(
        "Unable to locate credentials. You can configure credentials by running \"aws configure\"."
    )]
    NoCredentials,
    /// The keystore: no fault that the AWS CLI knows.
    #[error("{}", .0.fact)]
    Local(Fault),
}

impl From<Fault> for CallFault {
    fn from(fault: Fault) -> Self {
        Self::Local(fault)
    }
}

/// Runs `rekeyfs kms`; `arguments` are all of the program's.
pub fn run(arguments: &[OsString]) -> ExitCode {
    let check = |query: &str| {
        jmespath::compile(query)
            .map(|_| ())
            .map_err(|e| e.to_string())
    };
    match arguments::parse(arguments, check) {
        Err(UsageFault { text, code }) => {
            eprint!("{text}");
            ExitCode::from(code)
        }
        Ok(Asked::Version) => {
            println!("rekeyfs/{} aws-cli/1.31.13", env!("CARGO_PKG_VERSION"));
            ExitCode::SUCCESS
        }
        Ok(Asked::Help(operation)) => {
            print!("{}", help(operation));
            ExitCode::SUCCESS
        }
        Ok(Asked::Call(invocation)) => {
            if invocation.globals.debug {
                log::set_max_level(log::LevelFilter::Debug);
            }
            call(&invocation)
        }
    }
}

fn call(invocation: &Invocation) -> ExitCode {
    let mut coloured = false;
    match answer(invocation, &mut coloured) {
        Ok(()) => ExitCode::SUCCESS,
        Err(fault) => complain(&fault, coloured),
    }
}

fn complain(fault: &CallFault, coloured: bool) -> ExitCode {
    match fault {
        CallFault::Local(fault) => fault.print(),
        CallFault::Unprintable(_) if coloured => {
            eprint!("\n\x1b[0m{fault}\x1b[0m\n\x1b[0m");
        }
        // The two that the AWS CLI prints by another way.
        CallFault::NoRegion | CallFault::NoCredentials => eprintln!("{fault}"),
        _ => eprintln!("\n{fault}"),
    }
    ExitCode::from(ERROR)
}

/// Where and how results are printed.
struct Screen {
    output: Output,
    query: Option<Expression>,
    title: &'static str,
    coloured: bool,
    terminal: bool,
}

impl Screen {
    fn new(invocation: &Invocation, profile: &Profile) -> Result<Self, CallFault> {
        let globals = &invocation.globals;
        let output = match globals.output {
            Some(output) => output,
            None => match profile.output() {
                None => Output::Json,
                Some(name) => Output::parse(&name).ok_or(CallFault::UnknownOutput(name))?,
            },
        };
        let query = globals
            .query
            .as_deref()
            .map(jmespath::compile)
            .transpose()?;
        let terminal = std::io::stdout().is_terminal();
        let coloured = output == Output::Table
            && match globals.color {
                Color::On => true,
                Color::Off => false,
                Color::Auto => terminal,
            };
        Ok(Self {
            output,
            query,
            title: invocation.operation.name,
            coloured,
            terminal,
        })
    }

    fn width(&self) -> usize {
        if !self.terminal {
            return WIDTH;
        }
        rustix::termios::tcgetwinsize(std::io::stdout())
            .map_or(WIDTH, |size| usize::from(size.ws_col))
    }

    fn show(&mut self, result: &Value) -> Result<(), CallFault> {
        let searched = self
            .query
            .as_ref()
            .map(|query| query.search(result))
            .transpose()?;
        let value = searched.as_ref().unwrap_or(result);
        let Printed { text, failure } = match self.output {
            Output::Json => output::json(value),
            Output::Text => output::text(value),
            Output::Table => output::table(self.title, value, self.width(), self.coloured),
        };
        print!("{text}");
        // What is printed stands before what goes wrong.
        let _ = std::io::stdout().flush();
        failure.map_or(Ok(()), |failure| Err(CallFault::Unprintable(failure)))
    }
}

/// A coloured run ends with the terminal's own colour.
impl Drop for Screen {
    fn drop(&mut self) {
        if self.coloured && self.terminal {
            print!("\x1b[0m");
            let _ = std::io::stdout().flush();
        }
    }
}

/// The order of the steps is the AWS CLI's: each may end the program with its fault.
fn answer(invocation: &Invocation, coloured: &mut bool) -> Result<(), CallFault> {
    let (operation, globals) = (invocation.operation, &invocation.globals);
    let mut parameters = Parameters::read(invocation)?;
    if invocation.skeleton == Some(Skeleton::Input) {
        print!("{}", skeleton::input(operation));
        return Ok(());
    }
    let profile = Profile::read(globals.profile.as_deref())?;
    let region = profile.region(globals.region.as_deref());
    match &region {
        None if globals.endpoint_url.is_some() => return Err(CallFault::NoRegion),
        Some(region) if !is_region_name(region) => {
            return Err(CallFault::BadRegion(region.clone()));
        }
        None | Some(_) => {}
    }
    let mut screen = Screen::new(invocation, &profile)?;
    *coloured = screen.coloured;
    if invocation.skeleton == Some(Skeleton::Output) {
        parameters.take_paging()?;
        parameters.into_request(operation)?;
        return screen.show(&skeleton::output(operation));
    }
    let Some(page) = operation.page.filter(|_| invocation.paginates) else {
        let request = parameters.into_request(operation)?;
        let service = Service::of(globals, &profile, region, operation)?;
        let mut response = service.call(operation, request)?;
        if profile.iso_timestamps() {
            iso_timestamps(operation.output, &mut response);
        }
        return screen.show(&response);
    };
    let paging = parameters.take_paging()?;
    let starting_token = paging.starting_token.as_deref();
    let pages = Pages::new(page.result, paging.max_items, starting_token)?;
    if starting_token.is_some() {
        parameters.resume_at(pages.marker());
    }
    let request = parameters.into_request(operation)?;
    let service = Service::of(globals, &profile, region, operation)?;
    let listing = Listing {
        service: &service,
        operation,
        result: page.result,
        iso_timestamps: profile.iso_timestamps(),
    };
    listing.run(&mut screen, pages, &request)
}

/// Whether a text has the form of a Region's name; nothing has.
fn is_region_name(text: &str) -> bool {
    text.len() <= 63
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        && !text.starts_with('-')
        && !text.ends_with('-')
        && (text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()))
}

/// A listing that is fetched page by page. Text is printed as it comes, other formats at the end.
struct Listing<'a> {
    service: &'a Service,
    operation: &'static Operation,
    result: &'a str,
    iso_timestamps: bool,
}

impl Listing<'_> {
    fn run(
        &self,
        screen: &mut Screen,
        mut pages: Pages<'_>,
        request: &Value,
    ) -> Result<(), CallFault> {
        let text = screen.output == Output::Text;
        let mut kept = Vec::new();
        let mut token = None;
        // The first request has the marker that was asked for, if any.
        let mut first = true;
        loop {
            let mut members = request.as_object().cloned().unwrap_or_else(Map::new);
            if !first {
                pages.inject(&mut members);
            }
            first = false;
            let mut response = self.service.call(self.operation, Value::Object(members))?;
            if self.iso_timestamps {
                iso_timestamps(self.operation.output, &mut response);
            }
            let turn = pages.take(response)?;
            if text {
                screen.show(&turn.page)?;
            } else {
                kept.push(turn.page);
            }
            match turn.then {
                Then::Request => {}
                Then::End => break,
                Then::Resume(next) => {
                    token = Some(next);
                    break;
                }
                Then::Fail(error) => return Err(error.into()),
            }
        }
        match token {
            Some(token) if text => screen.show(&token_page(token)),
            None if text => Ok(()),
            token => screen.show(&merge(self.result, kept, token)),
        }
    }
}

/// Writes the dates of a response as `cli_timestamp_format = iso8601` asks for.
fn iso_timestamps(members: &[Member], response: &mut Value) {
    for member in members {
        if let Some(value) = response.get_mut(member.name) {
            iso_timestamp(member.shape, value);
        }
    }
}

fn iso_timestamp(shape: Shape, value: &mut Value) {
    match shape {
        Shape::Timestamp => {
            let seconds = value.as_f64().unwrap_or_default();
            *value = Value::String(python::iso_time(seconds));
        }
        Shape::Structure(members) => iso_timestamps(members, value),
        Shape::List(item, ..) => {
            for value in value.as_array_mut().into_iter().flatten() {
                iso_timestamp(*item, value);
            }
        }
        Shape::Text(..)
        | Shape::Blob(..)
        | Shape::Integer(..)
        | Shape::Boolean
        | Shape::Choice(_)
        | Shape::Map => {}
    }
}

/// Who answers.
enum Service {
    Local(Arc<Kms>, Caller),
    /// As [`Service::Local`], for a request that nobody has signed.
    Unsigned,
    Remote(Remote),
}

impl Service {
    fn of(
        globals: &Globals,
        profile: &Profile,
        region: Option<String>,
        operation: &'static Operation,
    ) -> Result<Self, CallFault> {
        let Some(url) = &globals.endpoint_url else {
            return Self::local(globals, profile, region, operation);
        };
        let region = region.ok_or(CallFault::NoRegion)?;
        let credentials = if globals.sign_request {
            let found = profile.credentials(globals.profile.as_deref())?;
            Some(found.ok_or(CallFault::NoCredentials)?)
        } else {
            None
        };
        Ok(Self::Remote(Remote::new(Target {
            url: url.clone(),
            region,
            credentials,
            verify_ssl: globals.verify_ssl,
            ca_bundle: globals.ca_bundle.clone().or_else(|| profile.ca_bundle()),
            read_timeout: globals.read_timeout,
            connect_timeout: globals.connect_timeout,
        })?))
    }

    /// The local keystore. `--profile` says who calls by its access key, as it would an endpoint.
    fn local(
        globals: &Globals,
        profile: &Profile,
        region: Option<String>,
        operation: &'static Operation,
    ) -> Result<Self, CallFault> {
        if !globals.sign_request {
            return Ok(Self::Unsigned);
        }
        // What an endpoint says of a request that is signed for no Region.
        if region.as_deref() == Some("") {
            return Err(CallFault::Remote(RemoteFault::Service {
                code: "InvalidSignatureException".to_owned(),
                message: "Credential should be scoped to a valid region, not ''.".to_owned(),
                operation: operation.name,
            }));
        }
        let settings = Settings {
            keystore: globals.keystore.clone(),
            passphrase_file: globals.passphrase_file.clone(),
            account: globals.account.clone(),
            region: Some(local_region(region)),
            principal: globals.principal.clone(),
        };
        let mut caller = settings.caller()?;
        let kms = settings.open_or_create()?;
        if globals.profile.is_some() && globals.principal.is_none() {
            let credentials = profile
                .credentials(globals.profile.as_deref())?
                .ok_or(CallFault::NoCredentials)?;
            let key = kms.access_key(&credentials.access_key).ok().flatten();
            // What an endpoint says of a request that is signed so.
            let refuse = |refusal: &Refusal| RemoteFault::Service {
                code: refusal.name().to_owned(),
                message: refusal.to_string(),
                operation: operation.name,
            };
            let key = key
                .filter(|key| key.active)
                .ok_or_else(|| refuse(&Refusal::Token))?;
            if crate::primitives::equal(key.secret.expose(), credentials.secret.expose()).is_err() {
                return Err(refuse(&Refusal::Mismatch).into());
            }
            caller.principal.clone_from(&key.principal);
            caller.account.clone_from(&key.account);
            let source = crate::kms::caller::Source {
                access_key: Some(key.id.clone()),
                ..(*caller.source).clone()
            };
            caller = caller.from_source(source);
        }
        Ok(Self::Local(kms, caller))
    }

    fn call(&self, operation: &'static Operation, request: Value) -> Result<Value, CallFault> {
        let (code, message) = match self {
            Self::Remote(remote) => return Ok(remote.call(operation, &request)?),
            Self::Unsigned => {
                let refusal = Refusal::Missing;
                (refusal.name().to_owned(), refusal.to_string())
            }
            Self::Local(kms, caller) => {
                log::debug!(
                    "{} on the keystore, as {}",
                    operation.name,
                    caller.principal
                );
                match kms.call(caller, operation, request) {
                    Ok(response) => return Ok(response),
                    Err(e) => (
                        e.kind().name().to_owned(),
                        e.message().unwrap_or_default().to_owned(),
                    ),
                }
            }
        };
        Err(CallFault::Remote(RemoteFault::Service {
            code,
            message,
            operation: operation.name,
        }))
    }
}

fn help(operation: Option<&Operation>) -> String {
    let mut out = String::new();
    match operation {
        None => {
            out.push_str(
                "rekeyfs kms OPERATION [--options]: the local KMS, with the arguments, output and \
                 exit codes of `aws kms` (AWS CLI v1).\n\nOperations:\n",
            );
            for operation in OPERATIONS {
                let name = kebab(operation.name);
                out.push_str(&format!("  {name:42}{}\n", operation.about));
            }
            out.push_str("\nrekeyfs kms OPERATION help lists the options of one.\n");
        }
        Some(operation) => {
            out.push_str(&format!(
                "rekeyfs kms {}: {}.\n\nOptions:\n",
                kebab(operation.name),
                operation.about
            ));
            for member in operation.input {
                let required = if member.required { "required" } else { "" };
                let name = format!("--{}", kebab(member.name));
                out.push_str(format!("  {name:42}{required}").trim_end());
                out.push('\n');
            }
        }
    }
    out.push_str(
        "\nOf every operation: --cli-input-json, --generate-cli-skeleton [input|output], --query, \
         --output json|text|table, --endpoint-url, --region, --profile, --color, --debug, \
         --no-paginate, --no-sign-request, --no-verify-ssl, --ca-bundle, --cli-read-timeout, \
         --cli-connect-timeout, --version; and of this program: --keystore, --passphrase-file, \
         --account, --principal.\n",
    );
    out
}
