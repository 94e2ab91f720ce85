//! On whose behalf a request comes, and what it is about.
//!
//! Owns the rule that makes a principal of a uid. Must not know policies: whether the principal
//! may is the key service's business.
//!
//! A path is composed only where it will be recorded: for every caller but the mounting user and
//! root, whose refusals are of interest, for requests that change keys, and for all when
//! everything is recorded.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, LazyLock};

use fuser::Request;
use parking_lot::Mutex;

use super::filesystem::RekeyFs;
use super::tree::Node;
use crate::codec::hex;
use crate::kms::service::{Caller, Exception, ExceptionKind, KeyService, Object, Source};
use crate::volume::VolumeError;

/// Principals that are remembered, and refusals that are explained.
const MOST: usize = 1024;

/// Who is who.
pub struct Callers {
    /// What the mounting user and root are: the account's root user, or the one of `principal=`.
    own: Caller,
    /// Whether `principal=` speaks for everybody.
    fixed: bool,
    /// Who mounted.
    uid: u32,
    /// Whether every open is recorded.
    everything: bool,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    version: u64,
    by_uid: HashMap<u32, Caller>,
}

impl Callers {
    /// The callers of a mount of whom `own` is the account's root user.
    pub fn new(own: &Caller, principal: Option<&str>, uid: u32, everything: bool) -> Self {
        let mut own = own.clone();
        if let Some(principal) = principal {
            principal.clone_into(&mut own.principal);
            if let Some(account) = crate::kms::service::account_of(principal) {
                account.clone_into(&mut own.account);
            }
        }
        Self {
            own,
            fixed: principal.is_some(),
            uid,
            everything,
            known: Mutex::default(),
        }
    }

    fn is_own(&self, uid: u32) -> bool {
        self.fixed || uid == 0 || uid == self.uid
    }

    /// The principal of a uid: what the key service says, remembered until anything changes there.
    fn of(&self, keys: &dyn KeyService, uid: u32) -> Result<Caller, Exception> {
        if self.is_own(uid) {
            return Ok(self.own.clone());
        }
        let version = keys.change_counter()?;
        let mut known = self.known.lock();
        if known.version != version || known.by_uid.len() >= MOST {
            *known = Known {
                version,
                by_uid: HashMap::new(),
            };
        }
        if let Some(caller) = known.by_uid.get(&uid) {
            return Ok(caller.clone());
        }
        drop(known);
        let caller = keys.caller_of_uid(&self.own, uid)?;
        let mut known = self.known.lock();
        // Unless something has changed while it was asked for.
        if known.version == version {
            known.by_uid.insert(uid, caller.clone());
        }
        Ok(caller)
    }
}

/// The command that lets in whom this message refuses; its words are kms.md's.
fn way_in(message: &str) -> Option<String> {
    let after = |mark: &str| {
        let (_, rest) = message.split_once(mark)?;
        rest.split_whitespace().next()
    };
    let principal = after("User: ")?;
    let operation = after("to perform: kms:")?;
    let key = after("on resource: ").filter(|key| key.contains(":key/"))?;
    Some(format!(
        "rekeyfs kms create-grant --key-id {key} --grantee-principal {principal} --operations {operation}"
    ))
}

/// Says once in the log how a principal that was refused can be let in.
pub(super) fn explain(error: &VolumeError) {
    static EXPLAINED: LazyLock<Mutex<HashSet<String>>> = LazyLock::new(Mutex::default);
    let VolumeError::Key(exception) = error else {
        return;
    };
    if exception.kind() != ExceptionKind::AccessDenied {
        return;
    }
    let fact = exception.to_string();
    let mut explained = EXPLAINED.lock();
    if explained.len() < MOST && explained.insert(fact.clone()) {
        let hint = exception.message().and_then(way_in);
        log::warn!("{fact}");
        if let Some(command) = hint {
            log::warn!("hint: {command}");
        }
    }
}

impl RekeyFs {
    /// The principal of a request.
    ///
    /// # Errors
    /// The key service's.
    pub(super) fn caller(&self, request: &Request) -> Result<Caller, VolumeError> {
        let keys = self.tree.volume().keys();
        Ok(self.callers.of(&**keys, request.uid())?)
    }

    /// The principal of a request that opens `node`.
    ///
    /// # Errors
    /// The key service's.
    pub(super) fn caller_about(
        &self,
        request: &Request,
        node: &Arc<Node>,
    ) -> Result<Caller, VolumeError> {
        self.caller_for(request, node, false)
    }

    /// The principal of a request that makes something in `directory`.
    ///
    /// # Errors
    /// The key service's.
    pub(super) fn caller_in(
        &self,
        request: &Request,
        directory: &Arc<Node>,
    ) -> Result<Caller, VolumeError> {
        self.caller_for(request, directory, true)
    }

    fn caller_for(
        &self,
        request: &Request,
        node: &Arc<Node>,
        makes: bool,
    ) -> Result<Caller, VolumeError> {
        let caller = self.caller(request)?;
        let ordinary = self.callers.is_own(request.uid()) && !self.callers.fixed;
        if ordinary && !self.callers.everything {
            return Ok(caller);
        }
        Ok(self.about(caller, node, makes))
    }

    /// Adds to a caller what its request is about: an object, or (`makes`) something that is made in
    /// it and has no id yet.
    pub(super) fn about(&self, caller: Caller, node: &Arc<Node>, makes: bool) -> Caller {
        // What cannot be found out is left out: the request itself will say what is wrong.
        let Ok(envelope) = self.tree.envelope(node) else {
            return caller;
        };
        caller.from_source(Source {
            user_agent: concat!("rekeyfs/", env!("CARGO_PKG_VERSION"), " mount").to_owned(),
            object: Some(Object {
                id: (!makes).then(|| hex(&envelope.header().object)),
                path: self.tree.stored_path(node),
            }),
            ..Source::default()
        })
    }
}
