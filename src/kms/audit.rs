//! The record of every operation.
//!
//! Each operation reports itself here once, success or failure. Today the report goes to the
//! program's log at debug level; names and contexts are in it, secrets and plaintext never.

use super::authorise::Caller;
use super::error::Exception;
use super::ids::KeyArn;

/// Reports an operation that has ended.
pub fn record<T>(
    operation: &'static str,
    caller: &Caller,
    keys: &[&KeyArn],
    result: &Result<T, Exception>,
) {
    if !log::log_enabled!(log::Level::Debug) {
        return;
    }
    let keys = keys
        .iter()
        .map(|arn| arn.as_str())
        .collect::<Vec<_>>()
        .join(" ");
    match result {
        Ok(_) => log::debug!("audit: {operation} by {} on [{keys}]", caller.principal),
        Err(e) => log::debug!(
            "audit: {operation} by {} on [{keys}]: {e}",
            caller.principal
        ),
    }
}
