//! The audit log: one JSON line per operation, in CloudTrail's form.
//!
//! An operation only fills in an [`Event`] and hands it over; a thread of the log's own writes.
//! The queue between them is bounded and never waited for: what does not fit, because the disk is
//! slow, is counted, and the count is written as an event of its own. Contexts stand in clear,
//! secrets never: blobs and grant tokens do not get into an event.
//!
//! Several processes append to one file. A line is written with one call; the file is rotated by
//! size under a lock on itself.
//!
//! Source: AWS KMS Developer Guide, "Logging AWS KMS API calls with AWS CloudTrail".

mod log;

use std::borrow::Cow;

use serde::Serialize;
use serde_json::{Map, Value};

use super::call::Call;
use super::caller::Caller;
use super::error::{Exception, ExceptionKind};
use super::ids::KeyArn;
pub use log::{AuditLog, files, log_path};

/// One operation that has ended.
pub struct Event {
    time: i64,
    source: &'static str,
    operation: &'static str,
    caller: Caller,
    principal_id: Option<String>,
    parameters: Map<String, Value>,
    response: Map<String, Value>,
    resources: Vec<KeyArn>,
    more: Map<String, Value>,
    error: Option<(String, Option<String>)>,
    request_id: uuid::Uuid,
    event_id: uuid::Uuid,
}

/// Operations that change nothing, by the beginning of their names; CloudTrail counts the
/// cryptographic ones among them.
const READING: &[&str] = &[
    "Decrypt",
    "Describe",
    "Encrypt",
    "Generate",
    "Get",
    "List",
    "ReEncrypt",
];

/// Bytes of the parameters of one event, about: a queue of large ones must stay small.
const LARGEST_PARAMETERS: usize = 16 * 1024;

fn is_reading(operation: &str) -> bool {
    READING.iter().any(|prefix| operation.starts_with(prefix))
}

/// CloudTrail's name of an exception; one differs from the API's.
fn error_code(kind: ExceptionKind) -> String {
    match kind {
        ExceptionKind::AccessDenied => "AccessDenied",
        other => other.name(),
    }
    .to_owned()
}

/// The bytes of memory that a value takes, about.
fn value_weight(value: &Value) -> usize {
    64 + match value {
        Value::String(text) => text.len(),
        Value::Object(members) => weight(members),
        Value::Array(items) => items.iter().map(value_weight).sum(),
        Value::Null | Value::Bool(_) | Value::Number(_) => 0,
    }
}

fn weight(members: &Map<String, Value>) -> usize {
    members
        .iter()
        .map(|(name, member)| 64 + name.len() + value_weight(member))
        .sum()
}

impl Event {
    /// The event of a call that has ended.
    pub(super) fn new(
        mut call: Call<'_>,
        principal_id: Option<String>,
        error: Option<&Exception>,
    ) -> Self {
        if error.is_none()
            && !is_reading(call.operation)
            && let Some(arn) = call.resources.first()
        {
            let arn = arn.as_str().into();
            call.response.entry("keyId").or_insert(arn);
        }
        if weight(&call.parameters) > LARGEST_PARAMETERS {
            // What is large goes, what was asked for which key stays.
            for (_, member) in &mut call.parameters {
                if value_weight(member) > LARGEST_PARAMETERS / 8 {
                    *member = Value::from("omitted");
                }
            }
        }
        Self {
            principal_id,
            time: call.now,
            source: "kms.amazonaws.com",
            operation: call.operation,
            caller: call.caller.clone(),
            parameters: call.parameters,
            response: call.response,
            resources: call.resources,
            more: call.more,
            error: error.map(|e| {
                let message = e.message().map(|text| text.chars().take(1024).collect());
                (error_code(e.kind()), message)
            }),
            request_id: call.request_id,
            event_id: call.event_id,
        }
    }

    /// The event of a change of users and their rights.
    pub(super) fn of_iam(
        operation: &'static str,
        caller: &Caller,
        parameters: Map<String, Value>,
        error: Option<(String, String)>,
    ) -> Self {
        Self {
            time: super::now(),
            source: "iam.amazonaws.com",
            operation,
            caller: caller.clone(),
            principal_id: None,
            parameters,
            response: Map::new(),
            resources: Vec::new(),
            more: Map::new(),
            error: error.map(|(name, message)| (name, Some(message))),
            request_id: super::new_id(),
            event_id: super::new_id(),
        }
    }

    /// The principal of an operation that failed, unless it is a root user.
    fn refused_principal(&self) -> Option<&str> {
        let principal = self.caller.principal.as_str();
        (self.error.is_some() && !self.caller.is_root()).then_some(principal)
    }

    fn identity(&self) -> Identity<'_> {
        let caller = &self.caller;
        let name = caller
            .principal
            .split_once(":user/")
            .map(|(_, path)| path.rsplit('/').next().unwrap_or(path));
        let kind = if name.is_some() {
            "IAMUser"
        } else if caller.principal.ends_with(":root") {
            "Root"
        } else if caller.principal.contains(":assumed-role/") {
            "AssumedRole"
        } else {
            "Unknown"
        };
        let id = self.principal_id.as_deref().or(name);
        Identity {
            kind,
            principal_id: id.unwrap_or(&caller.account),
            arn: &caller.principal,
            account_id: &caller.account,
            access_key_id: caller.source.access_key.as_deref(),
            user_name: name,
        }
    }

    /// Writes the lines: one in the caller's account, and one in that of every other owner of a
    /// key.
    fn write(&self, out: &mut Vec<u8>) {
        let mut accounts = vec![self.caller.account.as_str()];
        for arn in &self.resources {
            if !accounts.contains(&arn.account()) {
                accounts.push(arn.account());
            }
        }
        let shared = (accounts.len() > 1).then_some(self.event_id);
        for (index, account) in accounts.into_iter().enumerate() {
            let id = if index == 0 {
                self.event_id
            } else {
                super::new_id()
            };
            add_line(out, &self.line(account, id, shared));
        }
    }

    fn line<'a>(
        &'a self,
        recipient: &'a str,
        id: uuid::Uuid,
        shared: Option<uuid::Uuid>,
    ) -> Line<'a> {
        let source = &self.caller.source;
        let filled = |map: &'a Map<String, Value>| Some(map).filter(|map| !map.is_empty());
        let resources: Vec<_> = self
            .resources
            .iter()
            .map(|arn| Resource {
                account_id: arn.account(),
                kind: "AWS::KMS::Key",
                arn: arn.as_str(),
            })
            .collect();
        Line {
            event_version: VERSION,
            user_identity: self.identity(),
            event_time: super::iso_time(self.time),
            event_source: self.source,
            event_name: self.operation,
            aws_region: &self.caller.region,
            source_ip_address: match source.address {
                Some(address) => address.to_string().into(),
                None => "127.0.0.1".into(),
            },
            user_agent: &source.user_agent,
            error_code: self.error.as_ref().map(|(code, _)| code.as_str()),
            error_message: self
                .error
                .as_ref()
                .and_then(|(_, message)| message.as_deref()),
            request_parameters: filled(&self.parameters),
            response_elements: filled(&self.response),
            additional_event_data: More {
                data: &self.more,
                object_id: source
                    .object
                    .as_ref()
                    .and_then(|object| object.id.as_deref()),
                object_path: source
                    .object
                    .as_ref()
                    .and_then(|object| object.path.as_deref()),
            },
            request_id: match &source.request_id {
                Some(id) => id.as_str().into(),
                None => self.request_id.to_string().into(),
            },
            event_id: id.to_string(),
            read_only: is_reading(self.operation),
            resources,
            event_type: "AwsApiCall",
            management_event: true,
            recipient_account_id: recipient,
            shared_event_id: shared.map(|id| id.to_string()),
            event_category: "Management",
        }
    }
}

const VERSION: &str = "1.11";

/// A line, member for member in CloudTrail's order.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Line<'a> {
    event_version: &'static str,
    user_identity: Identity<'a>,
    event_time: String,
    event_source: &'static str,
    event_name: &'static str,
    aws_region: &'a str,
    #[serde(rename = "sourceIPAddress")]
    source_ip_address: Cow<'a, str>,
    user_agent: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    error_code: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error_message: Option<&'a str>,
    request_parameters: Option<&'a Map<String, Value>>,
    response_elements: Option<&'a Map<String, Value>>,
    #[serde(skip_serializing_if = "More::is_empty")]
    additional_event_data: More<'a>,
    #[serde(rename = "requestID")]
    request_id: Cow<'a, str>,
    #[serde(rename = "eventID")]
    event_id: String,
    read_only: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    resources: Vec<Resource<'a>>,
    event_type: &'static str,
    management_event: bool,
    recipient_account_id: &'a str,
    #[serde(rename = "sharedEventID", skip_serializing_if = "Option::is_none")]
    shared_event_id: Option<String>,
    event_category: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Identity<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    principal_id: &'a str,
    arn: &'a str,
    account_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    access_key_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_name: Option<&'a str>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct More<'a> {
    #[serde(flatten)]
    data: &'a Map<String, Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    object_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    object_path: Option<&'a str>,
}

impl More<'_> {
    fn is_empty(&self) -> bool {
        self.data.is_empty() && self.object_id.is_none() && self.object_path.is_none()
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Resource<'a> {
    account_id: &'a str,
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(rename = "ARN")]
    arn: &'a str,
}

fn add_line(batch: &mut Vec<u8>, line: &impl Serialize) {
    serde_json::to_writer(&mut *batch, line).expect("internal error: a line is always JSON");
    batch.push(b'\n');
}
