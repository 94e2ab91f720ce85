//! The policy language of IAM: what a document says, and its verdict on one request.
//!
//! Owns the documents' syntax and their meaning, for key policies and identity-based policies.
//! Must not know the keystore, grants or the API: the caller collects the policies that apply and
//! combines their verdicts. Everything here is a function of its arguments.
//!
//! The language is written here and not taken from a crate. The crate made for it,
//! scratchstack-aspen (0.3.1, last released in January 2023), has neither set operators nor
//! defaults of variables, takes a negated operator with two values for true when one of them
//! differs, takes it for false when the key is absent, lets the last of two equal conditions win,
//! and panics on a pattern whose regular expression grows too large. The other one, iam-rs (0.8.0,
//! by its own word not verified yet), fills in variables in resources only and takes an asterisk in
//! their value for a wildcard, compares binary values without regard to case, and finds a condition
//! value that it cannot read only when it judges.
//!
//! ```text
//!   document ── json         text to statements; whatever is refused, is refused here
//!      ├── principal         who is named, and who calls
//!      ├── pattern           wildcards and variables
//!      └── condition ── date operators
//!   value                    what a request says about a condition key
//! ```
//!
//! Where the references leave a choice:
//! - `NotPrincipal` looks at each identity that a caller has at once: its account, the role of a
//!   session, itself. A Deny spares the caller if all of them are named, an Allow passes it over
//!   if one is.
//! - An operator without `ForAllValues` or `ForAnyValue` holds for a key with several values if
//!   it holds for one; its negation, if it holds for none.
//! - `IfExists` makes every operator true for an absent key, `ForAnyValue` included.
//! - Wildcards in `Resource` match colons, those of the ARN operators do so in the last field only.
//!
//! Source: IAM User Guide, "IAM JSON policy reference"; AWS KMS Developer Guide, "Key policies".

mod condition;
mod date;
mod document;
mod json;
mod malformed;
mod pattern;
mod principal;
mod value;

pub use malformed::MalformedPolicy;
pub use value::{ConditionKeys, Value, Values, same_name};

use document::{Effect, Statement};
use principal::{Caller, Reach};

/// What a policy hangs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PolicyKind {
    /// A key: every statement names principals.
    Key,
    /// A user or a role: no statement does.
    Identity,
}

/// A parsed and checked policy.
#[derive(Debug, Clone)]
pub struct Policy {
    statements: Vec<Statement>,
}

/// What is asked.
#[derive(Clone, Copy)]
pub struct Facts<'a> {
    /// The permission with its service, such as `kms:ReEncryptFrom`.
    pub action: &'a str,
    /// The caller's ARN: a user, a role, a session of a role, a federated user or the root user.
    pub principal: &'a str,
    /// The caller's account.
    pub account: &'a str,
    /// The ARN of the key or alias, or `*` for an action that has none.
    pub resource: &'a str,
    /// The request's condition keys; asked for only when a condition needs them.
    pub keys: &'a dyn ConditionKeys,
}

/// What a policy says to a request, in rising order: the stronger statement prevails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verdict {
    /// Nothing.
    Silent,
    /// The caller's account is allowed to let its principals do it: an identity-based policy has
    /// to allow it as well.
    AllowAccount,
    /// The caller is allowed.
    Allow,
    /// The caller is denied, whatever other policies and grants say.
    Deny,
}

impl Policy {
    /// Parses and checks a document.
    ///
    /// # Errors
    /// [`MalformedPolicy`]: what is wrong, and where.
    pub fn parse(text: &str, kind: PolicyKind) -> Result<Self, MalformedPolicy> {
        Ok(Self {
            statements: document::parse(text, kind)?,
        })
    }

    /// Judges one request.
    pub fn judge(&self, request: &Facts<'_>) -> Verdict {
        let caller = Caller::new(request.principal, request.account);
        let mut verdict = Verdict::Silent;
        for statement in &self.statements {
            let reach = statement.principals.reach(&caller, statement.effect);
            let says = match (statement.effect, reach) {
                (_, Reach::Nobody) => continue,
                (Effect::Deny, _) => Verdict::Deny,
                (Effect::Allow, Reach::Account) => Verdict::AllowAccount,
                (Effect::Allow, Reach::Caller) => Verdict::Allow,
            };
            // A statement that could add nothing is not evaluated.
            if says > verdict && statement.covers(request) {
                verdict = says;
            }
            if verdict == Verdict::Deny {
                break;
            }
        }
        verdict
    }

    /// The ARNs of the AWS principals that are named, in `Principal` or `NotPrincipal`.
    ///
    /// An account's number is given as the ARN of its root user, in the partition `aws`.
    pub fn principals(&self) -> impl Iterator<Item = &str> {
        self.statements
            .iter()
            .flat_map(|statement| statement.principals.arns())
    }
}

#[cfg(test)]
mod tests;
