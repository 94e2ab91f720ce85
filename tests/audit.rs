//! The audit log: what its lines say and what they never say, its files, and `rekeyfs audit`.
//!
//! The form of a line is CloudTrail's: AWS KMS Developer Guide, "Logging AWS KMS API calls with
//! AWS CloudTrail".

mod support;

#[path = "support/accounts.rs"]
mod accounts;
#[path = "support/requests.rs"]
mod requests;

#[path = "audit/command.rs"]
mod command;
#[path = "audit/events.rs"]
mod events;
#[path = "audit/files.rs"]
mod files;
#[path = "audit/log.rs"]
mod log;
#[path = "audit/ordinary.rs"]
mod ordinary;
#[path = "audit/secrets.rs"]
mod secrets;
