//! The local KMS: keys, aliases, grants and ciphertexts with the semantics of AWS KMS.
//!
//! Owns the keystore, key material, principals and every text of the API. Must not know FUSE, HTTP
//! or terminals. Every operation is a [`call`]: resolve → authorise → state → crypto → record.
//!
//! ```text
//!   service (the trait that volumes use)      api (operation name and JSON) ── shape, shapes
//!         └──────────────┬────────────────────────┘
//!    keys   aliases   tags   rotation   import      one file per family of operations
//!    key_policy   grants   crypt   data_keys   pairs   iam
//!         └──────────────┬────────────────────────┘
//!   call ── authorise ── policy      state      audit      usage
//!         └──────────────┬────────────────────────┘
//!    store (the only SQL) ── rootkey
//!         └──────────────┬────────────────────────┘
//!    algorithm ── blob ── context     ids   spec   caller   error   store_error   shorthand
//! ```
//!
//! Lock order: the store's connection and cache; the usages. No lock is held while a caller's code
//! runs, but for the closure of a change, which runs inside of the store's transaction.

pub mod algorithm;
pub mod aliases;
pub mod api;
pub mod audit;
pub mod authorise;
pub mod blob;
pub mod call;
pub mod caller;
pub mod context;
pub mod crypt;
pub mod data_keys;
pub mod error;
pub mod grants;
pub mod iam;
pub mod ids;
mod import;
pub mod json;
mod key_policy;
pub mod keys;
mod pairs;
pub mod policy;
pub mod rootkey;
mod rotation;
pub mod service;
pub mod shape;
pub mod shapes;
pub mod shorthand;
pub mod spec;
pub mod state;
pub mod store;
pub mod store_error;
mod tags;
mod usage;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::SystemTime;

use parking_lot::Mutex;

use audit::AuditLog;
use store::{AccessKeyRecord, Store};

/// The KMS over one keystore; shared by all threads.
pub struct Kms {
    store: Store,
    audit: Option<AuditLog>,
    /// Whether the Decrypt and GenerateDataKey of ordinary opens and creates are recorded too.
    audit_ordinary: bool,
    usages: Mutex<usage::Usages>,
    /// Access keys of this process alone.
    lent: Mutex<HashMap<String, Arc<AccessKeyRecord>>>,
}

impl Kms {
    /// Serves the keys of `store`; nothing is recorded.
    pub fn new(store: Store) -> Self {
        Self {
            store,
            audit: None,
            audit_ordinary: false,
            usages: Mutex::default(),
            lent: Mutex::default(),
        }
    }

    /// Records operations in `log`; `ordinary` ones of a mount, opens and creates, only if asked.
    pub fn with_audit(mut self, log: AuditLog, ordinary: bool) -> Self {
        self.audit = Some(log);
        self.audit_ordinary = ordinary;
        self
    }

    /// The keystore.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// The audit log, if one is written.
    pub fn audit(&self) -> Option<&AuditLog> {
        self.audit.as_ref()
    }
}

impl Drop for Kms {
    fn drop(&mut self) {
        self.save_usages();
    }
}

/// Milliseconds since 1970.
pub(crate) fn now() -> i64 {
    SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |since| since.as_millis() as i64)
}

/// A new id for a request or an event.
pub fn new_id() -> uuid::Uuid {
    uuid::Builder::from_random_bytes(crate::primitives::unique_id()).into_uuid()
}

/// A moment as RFC 3339 in UTC, to the second: `2026-01-02T03:04:05Z`.
pub(crate) fn iso_time(milliseconds: i64) -> String {
    use time::format_description::well_known::Rfc3339;
    time::OffsetDateTime::from_unix_timestamp(milliseconds.div_euclid(1000))
        .ok()
        .and_then(|time| time.format(&Rfc3339).ok())
        .unwrap_or_default()
}
