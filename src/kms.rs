//! The local KMS: keys, aliases and ciphertexts with the semantics of AWS KMS.
//!
//! Owns the keystore, key material and every text of the API. Must not know files, FUSE, HTTP or
//! terminals. Every operation runs as resolve → state → authorise → crypto → audit.
//!
//! ```text
//!   service (the trait that volumes use)      api (operation name and JSON)
//!         └──────────────┬────────────────────────┘
//!           keys    aliases    crypt            one file per family of operations
//!         └──────────────┬────────────────────────┘
//!   authorise   audit   state   store (the only SQL) ── rootkey
//!         └──────────────┬────────────────────────┘
//!         algorithm ── blob ── context     ids     error     store_error
//! ```
//!
//! Lock order: the store's connection, then the cache of unsealed keys. No lock is held while a
//! caller's code runs.

pub mod algorithm;
pub mod aliases;
pub mod api;
pub mod audit;
pub mod authorise;
pub mod blob;
pub mod context;
pub mod crypt;
pub mod error;
pub mod ids;
pub mod keys;
pub mod rootkey;
pub mod service;
pub mod shapes;
pub mod shorthand;
pub mod state;
pub mod store;
pub mod store_error;

use std::time::SystemTime;

use authorise::Caller;
use error::Exception;
use ids::KeyIdentifier;
use store::{KeyRecord, Store};

/// The KMS over one keystore; shared by all threads.
pub struct Kms {
    store: Store,
}

impl Kms {
    /// Serves the keys of `store`.
    pub fn new(store: Store) -> Self {
        Self { store }
    }

    /// The keystore.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Finds the key that `text` names, in any of the four forms.
    ///
    /// # Errors
    /// `NotFoundException` with the text of the form that was used.
    pub(crate) fn resolve(
        &self,
        caller: &Caller,
        text: &str,
    ) -> Result<std::sync::Arc<KeyRecord>, Exception> {
        let identifier = KeyIdentifier::parse(text)?;
        let arn = match identifier.key_arn(&caller.account, &caller.region) {
            Ok(arn) => arn,
            Err(alias) => self
                .store
                .alias_target(&alias)?
                .ok_or_else(|| Exception::alias_not_found(&alias))?,
        };
        if arn.region() != caller.region {
            return Err(Exception::invalid_arn(arn.region()));
        }
        self.store
            .key(&arn, now())?
            .ok_or_else(|| Exception::key_not_found(&arn))
    }

    /// Finds a key for a management operation, which takes no alias.
    ///
    /// # Errors
    /// `InvalidArnException` for an alias, else as [`Kms::resolve`].
    pub(crate) fn resolve_key_only(
        &self,
        caller: &Caller,
        text: &str,
    ) -> Result<std::sync::Arc<KeyRecord>, Exception> {
        if KeyIdentifier::parse(text)?.is_alias() {
            return Err(Exception::aliases_not_supported());
        }
        self.resolve(caller, text)
    }
}

/// Milliseconds since 1970.
pub(crate) fn now() -> i64 {
    SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |since| since.as_millis() as i64)
}
