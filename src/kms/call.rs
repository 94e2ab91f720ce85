//! One call of an operation: everything that its checks, its policies and its record need.
//!
//! An operation is a method over a [`Call`]. [`Kms::perform`] is the only place that begins and
//! ends one, so that each is recorded exactly once, however it ends.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::Kms;
use super::audit::Event;
use super::authorise::{Ask, Standing, authorise};
use super::caller::Caller;
use super::error::Exception;
use super::ids::{AliasArn, KeyArn, KeyIdentifier};
use super::store::{Change, KeyRecord};

/// A call in progress.
pub struct Call<'a> {
    /// On whose behalf.
    pub caller: &'a Caller,
    /// The operation's name.
    pub operation: &'static str,
    /// When it began: milliseconds since 1970.
    pub now: i64,
    /// The request's members for the record: names in lower camel case, no blobs.
    pub(super) parameters: Map<String, Value>,
    /// The keys it is about, in the order of the record.
    pub(super) resources: Vec<KeyArn>,
    /// What the record says beside request and resources.
    pub(super) more: Map<String, Value>,
    /// What the record says of the response.
    pub(super) response: Map<String, Value>,
    /// Whether a key was really used, or only asked about.
    pub(super) uses: bool,
    pub(super) request_id: uuid::Uuid,
    pub(super) event_id: uuid::Uuid,
    recorded: bool,
}

impl<'a> Call<'a> {
    fn new(caller: &'a Caller, operation: &'static str, recorded: bool) -> Self {
        let [fresh, event_id] = [super::new_id(), super::new_id()];
        // The id that the caller was told, if there is one.
        let told = caller.source.request_id.as_deref();
        let request_id = told
            .and_then(|id| uuid::Uuid::parse_str(id).ok())
            .unwrap_or(fresh);
        Self {
            caller,
            operation,
            now: super::now(),
            parameters: Map::new(),
            resources: Vec::new(),
            more: Map::new(),
            response: Map::new(),
            uses: true,
            request_id,
            event_id,
            recorded,
        }
    }

    /// Whether a record is kept; otherwise nothing needs to be gathered for it.
    pub(super) fn is_recorded(&self) -> bool {
        self.recorded
    }

    /// Notes that the call is about a key.
    pub(super) fn concerns(&mut self, arn: &KeyArn) {
        if !self.resources.contains(arn) {
            self.resources.push(arn.clone());
        }
    }
}

impl Kms {
    /// Runs an operation from beginning to end, and records it.
    ///
    /// # Errors
    /// What `body` answers.
    pub(super) fn perform<T>(
        &self,
        caller: &Caller,
        operation: &'static str,
        body: impl FnOnce(&mut Call<'_>) -> Result<T, Exception>,
    ) -> Result<T, Exception> {
        self.perform_unless(caller, operation, |_| false, body)
    }

    /// As [`Kms::perform`], but without a record when `quiet` says so of the result.
    ///
    /// # Errors
    /// What `body` answers.
    pub(super) fn perform_unless<T>(
        &self,
        caller: &Caller,
        operation: &'static str,
        quiet: impl FnOnce(&Result<T, Exception>) -> bool,
        body: impl FnOnce(&mut Call<'_>) -> Result<T, Exception>,
    ) -> Result<T, Exception> {
        let mut call = Call::new(caller, operation, self.audit().is_some());
        let result = self
            .store()
            .refresh()
            .map_err(Exception::from)
            .and_then(|()| body(&mut call));
        if result.is_ok() {
            self.note_usage(&call);
        }
        if let Some(audit) = self.audit()
            && !quiet(&result)
        {
            let id = self.principal_id(caller);
            audit.record(Event::new(call, id, result.as_ref().err()));
        }
        result
    }

    /// The unique id of a user that is known, for the record.
    fn principal_id(&self, caller: &Caller) -> Option<String> {
        if caller.is_root() {
            return None;
        }
        let principal = self.store().principal(&caller.principal).ok()?;
        principal.user.as_ref().map(|user| user.id.clone())
    }

    /// The ARN that an identifier names: a key's, which may not exist.
    fn named(
        &self,
        call: &Call<'_>,
        action: &str,
        identifier: &KeyIdentifier,
    ) -> Result<KeyArn, Exception> {
        let caller = call.caller;
        match identifier.key_arn(&caller.account, &caller.region) {
            Ok(arn) => Ok(arn),
            // What is in other Regions is not looked up: nobody learns whether it is there.
            Err(alias) if alias.region() != caller.region => {
                Err(Exception::invalid_arn(alias.region()))
            }
            Err(alias) => match self.store().alias_target(&alias)? {
                Some(arn) => Ok(arn),
                None if alias.account() == caller.account => {
                    Err(Exception::alias_not_found(&alias))
                }
                None => Err(Exception::stranger(&caller.principal, action)),
            },
        }
    }

    /// Finds the key that `text` names, in any of the four forms.
    ///
    /// # Errors
    /// `NotFoundException` with the text of the form that was used; for a key of another account
    /// the `AccessDeniedException` that says nothing.
    pub(super) fn resolve(
        &self,
        call: &Call<'_>,
        action: &str,
        text: &str,
    ) -> Result<Arc<KeyRecord>, Exception> {
        let identifier = KeyIdentifier::parse(text)?;
        let arn = self.named(call, action, &identifier)?;
        if arn.region() != call.caller.region {
            return Err(Exception::invalid_arn(arn.region()));
        }
        match self.find(&arn, call.now)? {
            Some(key) => Ok(key),
            None if arn.account() == call.caller.account => Err(Exception::key_not_found(&arn)),
            None => Err(Exception::stranger(&call.caller.principal, action)),
        }
    }

    /// Finds a key for a management operation, which takes no alias.
    ///
    /// # Errors
    /// `InvalidArnException` for an alias, else as [`Kms::resolve`].
    pub(super) fn resolve_key_only(
        &self,
        call: &Call<'_>,
        text: &str,
    ) -> Result<Arc<KeyRecord>, Exception> {
        if KeyIdentifier::parse(text)?.is_alias() {
            return Err(Exception::aliases_not_supported());
        }
        self.resolve(call, call.operation, text)
    }

    /// A reading operation on one key: found, noted, authorised, and in a state that allows it.
    ///
    /// # Errors
    /// As [`Kms::resolve_key_only`], `AccessDeniedException`, and those of the state.
    pub(super) fn look_at(
        &self,
        call: &mut Call<'_>,
        key_id: &str,
    ) -> Result<Arc<KeyRecord>, Exception> {
        let key = self.resolve_key_only(call, key_id)?;
        call.concerns(&key.arn);
        authorise(self, call, &key, &Ask::new(call.operation).named(key_id))?;
        super::state::check(call.operation, &key)?;
        Ok(key)
    }

    /// A changing operation on one key, which takes no alias.
    ///
    /// # Errors
    /// As [`Kms::change`].
    pub(super) fn manage<T>(
        &self,
        call: &mut Call<'_>,
        key_id: &str,
        body: impl FnOnce(&mut Change<'_>) -> Result<T, Exception>,
    ) -> Result<(KeyArn, T), Exception> {
        let arn = self.resolve_key_only(call, key_id)?.arn.clone();
        let ask = Ask::new(call.operation).named(key_id);
        let result = self.change(call, &arn, &ask, body)?;
        Ok((arn, result))
    }

    /// Changes one key: authorised, checked for its state and changed in one transaction.
    ///
    /// # Errors
    /// `AccessDeniedException`, those of the state, and what `body` answers.
    pub(super) fn change<T>(
        &self,
        call: &mut Call<'_>,
        arn: &KeyArn,
        ask: &Ask<'_>,
        body: impl FnOnce(&mut Change<'_>) -> Result<T, Exception>,
    ) -> Result<T, Exception> {
        call.concerns(arn);
        // Identity policies are read before the write lock is taken: the store is locked then.
        let key = self
            .find(arn, call.now)?
            .ok_or_else(|| Exception::key_not_found(arn))?;
        let standing = Standing::of(self, call, &key, ask)?;
        // Who may not does not even get to the lock.
        standing.judge(call, &key, ask)?;
        let call = &*call;
        self.store()
            .change(arn, call.now, |change| {
                // Under the write lock nobody can change the key any more.
                standing.judge(call, &change.key, ask)?;
                super::state::check(call.operation, &change.key)?;
                body(change)
            })?
            .ok_or_else(|| Exception::key_not_found(arn))
    }

    /// The key with this ARN as it is now; automatic rotation that is due has happened.
    ///
    /// # Errors
    /// The keystore's own.
    pub(super) fn find(&self, arn: &KeyArn, now: i64) -> Result<Option<Arc<KeyRecord>>, Exception> {
        let key = self.store().key(arn, now)?;
        match key {
            Some(key) if super::rotation::is_due(&key, now) => {
                if let Err(e) = self.rotate_when_due(arn, now) {
                    // A key that cannot be rotated now can still be used.
                    log::warn!("automatic rotation of {arn}: {e}");
                    return Ok(Some(key));
                }
                Ok(self.store().key(arn, now)?)
            }
            other => Ok(other),
        }
    }

    /// The alias of the caller's own account that has this name.
    pub(super) fn own_alias(call: &Call<'_>, name: &str) -> AliasArn {
        AliasArn::new(&call.caller.account, &call.caller.region, name)
    }
}
