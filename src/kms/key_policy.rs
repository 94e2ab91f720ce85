//! Key policies: GetKeyPolicy, PutKeyPolicy, ListKeyPolicies.

use super::Kms;
use super::authorise::{Ask, can_put_policy};
use super::call::Call;
use super::error::{Exception, ExceptionKind};
use super::ids::{KeyArn, partition};
use super::keys::page;
use super::policy::{MalformedPolicy, Policy, PolicyKind};
use super::shapes::{
    GetKeyPolicyRequest, GetKeyPolicyResponse, ListKeyPoliciesResponse, ListOfKeyRequest, Nothing,
    PutKeyPolicyRequest,
};
use super::store::KeyFacts;

/// The only name that a key policy can have.
const NAME: &str = "default";
/// What a key policy may be long, in bytes; the model's bound is wider than the service's.
const LARGEST: usize = 32 * 1024;

/// The policy of a key: what was given, or the default, which lets the account's identity
/// policies decide. The default is byte for byte the service's.
pub(super) fn text(facts: &KeyFacts, arn: &KeyArn) -> String {
    facts.policy.clone().unwrap_or_else(|| {
        format!(
            "{{\n  \"Version\" : \"2012-10-17\",\n  \"Id\" : \"key-default-1\",\n  \
             \"Statement\" : [ {{\n    \"Sid\" : \"Enable IAM User Permissions\",\n    \
             \"Effect\" : \"Allow\",\n    \"Principal\" : {{\n      \
             \"AWS\" : \"arn:{}:iam::{}:root\"\n    }},\n    \"Action\" : \"kms:*\",\n    \
             \"Resource\" : \"*\"\n  }} ]\n}}",
            partition(arn.region()),
            arn.account()
        )
    })
}

/// What the service says of a policy that it does not take, where its words are known.
fn malformed(fault: &MalformedPolicy) -> Exception {
    match fault {
        MalformedPolicy::Principal { .. } => Exception::malformed_policy(INVALID_PRINCIPALS),
        other => Exception::malformed_policy(other),
    }
}

const INVALID_PRINCIPALS: &str = "Policy contains a statement with one or more invalid principals.";

fn check_name(name: Option<&str>) -> Result<(), Exception> {
    match name {
        None | Some(NAME) => Ok(()),
        Some(_) => Err(Exception::without_message(ExceptionKind::NotFound)),
    }
}

impl Kms {
    /// Checks a new policy for a key: that it can be read, names principals that can exist, and
    /// leaves the caller able to change it again, unless `bypass`.
    ///
    /// # Errors
    /// `MalformedPolicyDocumentException`, `LimitExceededException`.
    pub(super) fn check_policy(
        &self,
        call: &Call<'_>,
        arn: &KeyArn,
        document: &str,
        bypass: bool,
    ) -> Result<(), Exception> {
        if document.len() > LARGEST {
            return Err(Exception::without_message(ExceptionKind::LimitExceeded));
        }
        let policy = Policy::parse(document, PolicyKind::Key).map_err(|e| malformed(&e))?;
        for principal in policy.principals() {
            if !super::authorise::is_principal(self, arn.account(), principal)? {
                return Err(Exception::malformed_policy(INVALID_PRINCIPALS));
            }
        }
        if !bypass && !can_put_policy(self, call, arn, &policy)? {
            return Err(Exception::policy_lockout());
        }
        Ok(())
    }

    /// GetKeyPolicy.
    ///
    /// # Errors
    /// `NotFoundException`, also for a name other than `default`.
    pub(super) fn get_key_policy(
        &self,
        call: &mut Call<'_>,
        request: &GetKeyPolicyRequest,
    ) -> Result<GetKeyPolicyResponse, Exception> {
        let key = self.look_at(call, &request.key_id)?;
        check_name(request.policy_name.as_deref())?;
        Ok(GetKeyPolicyResponse {
            policy: text(&key.facts, &key.arn),
            policy_name: Some(NAME.to_owned()),
        })
    }

    /// PutKeyPolicy.
    ///
    /// # Errors
    /// `MalformedPolicyDocumentException`, also for a policy that would lock everybody out.
    pub(super) fn put_key_policy(
        &self,
        call: &mut Call<'_>,
        request: &PutKeyPolicyRequest,
    ) -> Result<Nothing, Exception> {
        let key = self.resolve_key_only(call, &request.key_id)?;
        let bypass = request.bypass_policy_lockout_safety_check == Some(true);
        let ask = Ask::new(call.operation)
            .named(&request.key_id)
            .fact("kms:bypasspolicylockoutsafetycheck", [bypass.to_string()]);
        call.concerns(&key.arn);
        super::authorise::authorise(self, call, &key, &ask)?;
        check_name(request.policy_name.as_deref())?;
        self.check_policy(call, &key.arn, &request.policy, bypass)?;
        self.change(call, &key.arn, &ask, |change| {
            change.key.facts.policy = Some(request.policy.clone());
            Ok(Nothing {})
        })
    }

    /// ListKeyPolicies: there is one, and it is called `default`.
    ///
    /// # Errors
    /// `NotFoundException`.
    pub(super) fn list_key_policies(
        &self,
        call: &mut Call<'_>,
        request: &ListOfKeyRequest,
    ) -> Result<ListKeyPoliciesResponse, Exception> {
        self.look_at(call, &request.key_id)?;
        let (policy_names, next_marker) = page(
            vec![NAME.to_owned()],
            request.limit,
            request.marker.as_deref(),
            String::as_str,
        )?;
        Ok(ListKeyPoliciesResponse {
            truncated: next_marker.is_some(),
            policy_names,
            next_marker,
        })
    }
}
