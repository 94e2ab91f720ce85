//! Who calls, what they ask for, and whether they may.
//!
//! Every operation passes through [`authorise`] with all that a policy can be about. Policies and
//! grants are not evaluated yet: the answer is yes for every caller. Callers, actions, contexts
//! and algorithms arrive here complete, so that only this file changes when they are.

use super::algorithm::EncryptionAlgorithm;
use super::context::EncryptionContext;
use super::error::Exception;
use super::store::KeyRecord;

/// The principal on whose behalf an operation runs.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Caller {
    /// The principal's ARN.
    pub principal: String,
    /// The account in which bare key IDs and alias names are looked up.
    pub account: String,
    /// The Region in which the call is made.
    pub region: String,
}

impl Caller {
    /// The account's root user in `region`.
    pub fn root(account: &str, region: &str) -> Self {
        Self {
            principal: format!("arn:{}:iam::{account}:root", super::ids::partition(region)),
            account: account.to_owned(),
            region: region.to_owned(),
        }
    }
}

/// One permission, asked for one key.
#[derive(Debug)]
pub struct Request<'a> {
    /// The permission's name without `kms:`, such as `ReEncryptFrom`.
    pub action: &'static str,
    /// The encryption context of this side of the operation.
    pub context: Option<&'a EncryptionContext>,
    /// The encryption algorithm of this side of the operation.
    pub algorithm: Option<EncryptionAlgorithm>,
    /// The identifier as the caller wrote it (kms:RequestAlias).
    pub identifier: Option<&'a str>,
    /// For ReEncrypt: whether both sides are the same key (kms:ReEncryptOnSameKey).
    pub same_key: Option<bool>,
    /// Grant tokens that came with the call.
    pub grant_tokens: &'a [String],
}

impl<'a> Request<'a> {
    /// A permission without any further facts.
    pub fn plain(action: &'static str, identifier: &'a str) -> Self {
        Self {
            action,
            context: None,
            algorithm: None,
            identifier: Some(identifier),
            same_key: None,
            grant_tokens: &[],
        }
    }
}

/// Decides whether `caller` has the permission on `key`.
///
/// # Errors
/// `AccessDeniedException`, once policies are evaluated.
pub fn authorise(caller: &Caller, key: &KeyRecord, request: &Request<'_>) -> Result<(), Exception> {
    log::trace!("{} kms:{} on {}", caller.principal, request.action, key.arn);
    Ok(())
}
