//! What was done last with each key: GetKeyLastUsage.
//!
//! Kept in memory and saved now and then, so that a read does not become a write: a crash may
//! forget the last minute.

use std::collections::HashMap;

use super::Kms;
use super::call::Call;
use super::ids::KeyArn;
use super::store::LastUsage;

/// How long usages wait to be saved, in milliseconds.
const INTERVAL: i64 = 60_000;

/// The operations that count as a use.
const USES: &[&str] = &[
    "Decrypt",
    "Encrypt",
    "GenerateDataKey",
    "GenerateDataKeyPair",
    "GenerateDataKeyPairWithoutPlaintext",
    "GenerateDataKeyWithoutPlaintext",
    "ReEncrypt",
];

struct Use {
    operation: &'static str,
    at: i64,
    event: uuid::Uuid,
    request: uuid::Uuid,
}

/// Uses that are not saved yet.
#[derive(Default)]
pub(super) struct Usages {
    saved: i64,
    by_key: HashMap<KeyArn, Use>,
}

impl Kms {
    /// Notes that a call has used its keys.
    pub(super) fn note_usage(&self, call: &Call<'_>) {
        if !call.uses || !USES.contains(&call.operation) || call.resources.is_empty() {
            return;
        }
        let mut usages = self.usages.lock();
        for arn in &call.resources {
            let used = Use {
                operation: call.operation,
                at: call.now,
                event: call.event_id,
                request: call.request_id,
            };
            match usages.by_key.get_mut(arn) {
                Some(last) => *last = used,
                None => {
                    usages.by_key.insert(arn.clone(), used);
                }
            }
        }
        if usages.saved == 0 {
            usages.saved = call.now;
        }
        let due = usages.saved + INTERVAL <= call.now;
        drop(usages);
        if due {
            self.save_usages();
        }
    }

    /// Saves what is not saved yet. A keystore that cannot be written loses it: no operation fails
    /// for that.
    pub(super) fn save_usages(&self) {
        let now = super::now();
        let waiting = {
            let mut usages = self.usages.lock();
            usages.saved = now;
            std::mem::take(&mut usages.by_key)
        };
        if waiting.is_empty() {
            return;
        }
        let usages: Vec<_> = waiting
            .into_iter()
            .map(|(arn, used)| {
                let usage = LastUsage {
                    operation: used.operation.to_owned(),
                    at: used.at,
                    event: used.event.to_string(),
                    request: used.request.to_string(),
                };
                (arn, usage)
            })
            .collect();
        if let Err(e) = self.store().set_last_usages(&usages) {
            log::warn!("last uses of keys were not saved: {e}");
        }
    }
}
