//! Whether a caller may: key policy, identity policies and grants together, as AWS KMS does it.
//!
//! Source: AWS KMS Developer Guide, "Key access and permissions" and "Troubleshooting key access".
//!
//! 1. An explicit Deny wins: in the key policy, in an identity policy, also over grants.
//! 2. In the key's own account the key policy is enough, or a grant, or the key policy's
//!    delegation to the account together with an identity policy. Nobody has access without the
//!    key policy's or a grant's leave, the account's root user neither.
//! 3. From another account both sides must allow: the key policy or a grant here, and an identity
//!    policy there; only for operations that can be used across accounts.
//!
//! Pure but for the reading of identity policies and grant tokens. ReEncrypt is judged twice:
//! kms:ReEncryptFrom with the source's context, algorithm and alias, kms:ReEncryptTo with the
//! destination's.

use std::sync::Arc;

use super::Kms;
use super::call::Call;
use super::caller::{account_of, root_arn};
use super::context::EncryptionContext;
use super::error::Exception;
use super::grants;
use super::ids::{AliasArn, KeyArn, KeyIdentifier};
use super::policy::{ConditionKeys, Facts, Values, Verdict, same_name};
use super::shapes::Tag;
use super::spec::EncryptionAlgorithm;
use super::store::{GrantOperation, GrantRecord, KeyRecord, PrincipalRecord};

/// Aliases beyond which conditions on them fail.
const MOST_ALIASES: usize = 50;

/// One permission, asked for one key.
#[derive(Debug)]
pub struct Ask<'a> {
    action: &'a str,
    context: Option<&'a EncryptionContext>,
    algorithm: Option<EncryptionAlgorithm>,
    identifier: Option<&'a str>,
    same_key: Option<bool>,
    grant_tokens: &'a [String],
    facts: Vec<(String, Vec<String>)>,
}

impl<'a> Ask<'a> {
    /// Asks for a permission, named without `kms:`.
    pub fn new(action: &'a str) -> Self {
        Self {
            action,
            context: None,
            algorithm: None,
            identifier: None,
            same_key: None,
            grant_tokens: &[],
            facts: Vec::new(),
        }
    }

    /// The key identifier as the caller wrote it (kms:RequestAlias).
    pub fn named(mut self, identifier: &'a str) -> Self {
        self.identifier = Some(identifier);
        self
    }

    /// The encryption context that is judged.
    pub fn about(mut self, context: Option<&'a EncryptionContext>) -> Self {
        self.context = context;
        self
    }

    /// Encryption context and algorithm of this side of the operation.
    pub fn with(mut self, context: &'a EncryptionContext, algorithm: EncryptionAlgorithm) -> Self {
        self.context = Some(context);
        self.algorithm = Some(algorithm);
        self
    }

    /// Whether both sides of ReEncrypt are one key (kms:ReEncryptOnSameKey).
    pub fn on_same_key(mut self, same: Option<bool>) -> Self {
        self.same_key = same;
        self
    }

    /// Grant tokens that came with the call.
    pub fn tokens(mut self, tokens: Option<&'a [String]>) -> Self {
        self.grant_tokens = tokens.unwrap_or_default();
        self
    }

    /// A condition key of this operation alone; nothing when there is no value.
    pub fn fact(mut self, name: &str, values: impl IntoIterator<Item = String>) -> Self {
        let values: Vec<_> = values.into_iter().collect();
        if !values.is_empty() {
            self.facts.push((name.to_owned(), values));
        }
        self
    }

    /// The tags that the request brings (aws:RequestTag, aws:TagKeys).
    pub fn tags(mut self, tags: &[Tag]) -> Self {
        self = self.fact("aws:tagkeys", tags.iter().map(|tag| tag.tag_key.clone()));
        for tag in tags {
            let name = format!("aws:requesttag/{}", tag.tag_key);
            self = self.fact(&name, [tag.tag_value.clone()]);
        }
        self
    }
}

/// Operations that can be used on keys of other accounts.
const ACROSS_ACCOUNTS: &[&str] = &[
    "Encrypt",
    "Decrypt",
    "ReEncryptFrom",
    "ReEncryptTo",
    "GenerateDataKey",
    "GenerateDataKeyWithoutPlaintext",
    "GenerateDataKeyPair",
    "GenerateDataKeyPairWithoutPlaintext",
    "GetPublicKey",
    "DescribeKey",
    "GetKeyRotationStatus",
    "CreateGrant",
    "ListGrants",
    "RetireGrant",
    "RevokeGrant",
];

/// The condition keys of a request, computed when a policy asks for one.
struct Keys<'a> {
    call: &'a Call<'a>,
    key: Option<&'a KeyRecord>,
    ask: &'a Ask<'a>,
    principal: &'a PrincipalRecord,
    /// Whether an identity policy asks: some keys are for those alone.
    for_identity: bool,
}

fn one(text: impl Into<String>) -> Option<Values<'static>> {
    Some(Values::text(text.into()))
}

fn many(texts: Vec<String>) -> Option<Values<'static>> {
    (!texts.is_empty()).then(|| Values::texts(texts))
}

/// One value as such, several as a set.
fn several(mut texts: Vec<String>) -> Option<Values<'static>> {
    if texts.len() == 1 {
        return one(texts.remove(0));
    }
    many(texts)
}

impl Keys<'_> {
    fn of_context(&self, wanted: &str) -> Option<Values<'static>> {
        let mut found: Vec<String> = self
            .ask
            .context?
            .pairs()
            .iter()
            .filter(|(key, _)| same_name(wanted, key))
            .map(|(_, value)| value.clone())
            .collect();
        if found.len() == 1 {
            return one(found.remove(0));
        }
        many(found)
    }

    fn alias(&self) -> Option<Values<'static>> {
        match KeyIdentifier::parse(self.ask.identifier?) {
            Ok(KeyIdentifier::Alias(name)) => one(name),
            Ok(KeyIdentifier::AliasArn(arn)) => one(arn.name()),
            Ok(KeyIdentifier::Id(_) | KeyIdentifier::Arn(_)) | Err(_) => None,
        }
    }

    fn of_key(&self, name: &str) -> Option<Values<'static>> {
        let key = self.key?;
        if let Some(tag) = name.strip_prefix("aws:resourcetag/") {
            // Tags of a key may differ in case only; a condition means all of them.
            let same = key.facts.tags.iter().filter(|(key, _)| same_name(tag, key));
            let values: Vec<String> = same.map(|(_, value)| value.clone()).collect();
            return if values.is_empty() {
                None
            } else {
                several(values)
            };
        }
        match name {
            "kms:keyspec" | "kms:customermasterkeyspec" => one(key.facts.spec.name()),
            "kms:keyusage" | "kms:customermasterkeyusage" => one(key.facts.usage.name()),
            "kms:keyorigin" => one(key.facts.origin.name()),
            "kms:multiregion" => one("false"),
            "kms:resourcealiases" if self.for_identity && key.aliases.len() <= MOST_ALIASES => {
                many(key.aliases.clone())
            }
            "aws:resourceaccount" => one(key.arn.account()),
            _ => None,
        }
    }
}

impl ConditionKeys for Keys<'_> {
    fn value(&self, name: &str) -> Option<Values<'_>> {
        let facts = self
            .ask
            .facts
            .iter()
            .filter(|(fact, _)| same_name(name, fact));
        let given: Vec<String> = facts.flat_map(|(_, values)| values.clone()).collect();
        if !given.is_empty() {
            return if is_multi_valued(name) {
                many(given)
            } else {
                several(given)
            };
        }
        if let Some(key) = name.strip_prefix("kms:encryptioncontext:") {
            return self.of_context(key);
        }
        let caller = self.call.caller;
        match name {
            "kms:encryptioncontextkeys" => {
                many(self.ask.context?.pairs().keys().cloned().collect())
            }
            "kms:encryptionalgorithm" => one(self.ask.algorithm?.name()),
            "kms:reencryptonsamekey" => one(self.ask.same_key?.to_string()),
            "kms:requestalias" => self.alias(),
            "kms:calleraccount" | "aws:principalaccount" => one(caller.account.as_str()),
            "aws:principalarn" => one(caller.principal.as_str()),
            "aws:principaltype" => one(if caller.is_root() { "Account" } else { "User" }),
            "aws:username" => one(user_name(&caller.principal)?),
            "aws:userid" => one(match &self.principal.user {
                Some(user) => user.id.as_str(),
                None if caller.is_root() => caller.account.as_str(),
                None => return None,
            }),
            "aws:requestedregion" => one(caller.region.as_str()),
            "aws:useragent" => {
                let agent = &caller.source.user_agent;
                (!agent.is_empty()).then(|| one(agent.as_str()))?
            }
            // A call within this machine has crossed no network that it could be seen on.
            "aws:sourceip" => one(match caller.source.address {
                Some(address) => address.to_string(),
                None => "127.0.0.1".to_owned(),
            }),
            "aws:securetransport" => {
                one((caller.source.secure || caller.source.address.is_none()).to_string())
            }
            "aws:currenttime" => one(super::iso_time(self.call.now)),
            "aws:epochtime" => one((self.call.now / 1000).to_string()),
            _ => self.of_key(name),
        }
    }
}

fn is_multi_valued(name: &str) -> bool {
    matches!(name, "aws:tagkeys" | "kms:grantoperations")
}

/// The name of a user's ARN.
fn user_name(principal: &str) -> Option<&str> {
    let (_, path) = principal.split_once(":user/")?;
    path.rsplit('/').next()
}

/// How an AccessDeniedException within the caller's account ends.
enum Reason {
    ExplicitDeny(&'static str),
    NoAllow(&'static str),
}

impl Reason {
    fn text(&self, action: &str) -> String {
        match self {
            Self::ExplicitDeny(kind) => format!("with an explicit deny in {kind} policy"),
            Self::NoAllow(kind) => {
                format!("because no {kind} policy allows the kms:{action} action")
            }
        }
    }
}

const KEY_POLICY: &str = "resource-based";
const IDENTITY_POLICY: &str = "identity-based";

/// The caller's identity policies together: of several verdicts, Deny wins, then Allow.
fn identity_verdict(principal: &PrincipalRecord, facts: &Facts<'_>, is_root: bool) -> Verdict {
    if is_root {
        return Verdict::Allow;
    }
    let mut verdict = Verdict::Silent;
    for policy in principal.policies.values() {
        match policy.judge(facts) {
            Verdict::Deny => return Verdict::Deny,
            Verdict::Allow => verdict = Verdict::Allow,
            Verdict::AllowAccount | Verdict::Silent => {}
        }
    }
    verdict
}

/// What makes a permission.
pub enum Through {
    /// Policies.
    Policies,
    /// Grants, any of which is enough.
    Grants(Vec<Arc<GrantRecord>>),
}

/// What has been found out about a caller before a key is judged: everything that is read from the
/// keystore, so that the judgement itself can be made within a transaction.
pub struct Standing {
    /// The permission with its service.
    action: String,
    principal: Arc<PrincipalRecord>,
    /// The verdict of the identity policies.
    by_identity: Verdict,
    /// How old a grant must be, in milliseconds, unless its token came with the call.
    delay: i64,
    /// The grants whose tokens came with the call.
    named: Vec<String>,
}

impl Standing {
    /// Finds out what the caller's identity says of `key`.
    ///
    /// # Errors
    /// `InvalidGrantTokenException` for a token that means nothing; the keystore's own.
    pub fn of(
        kms: &Kms,
        call: &Call<'_>,
        key: &KeyRecord,
        ask: &Ask<'_>,
    ) -> Result<Self, Exception> {
        let named = kms.granted_by_tokens(ask.grant_tokens)?;
        let principal = kms.store().principal(&call.caller.principal)?;
        let keys = Keys {
            call,
            key: Some(key),
            ask,
            principal: &principal,
            for_identity: true,
        };
        let action = format!("kms:{}", ask.action);
        let facts = facts(call, &action, key.arn.as_str(), &keys);
        let by_identity = identity_verdict(&principal, &facts, call.caller.is_root());
        Ok(Self {
            action,
            by_identity,
            delay: if key.grants.is_empty() {
                0
            } else {
                kms.grant_delay()?
            },
            principal,
            named,
        })
    }

    /// Decides whether the caller has a permission on `key`; pure.
    ///
    /// # Errors
    /// `AccessDeniedException`.
    pub fn judge(
        &self,
        call: &Call<'_>,
        key: &KeyRecord,
        ask: &Ask<'_>,
    ) -> Result<Through, Exception> {
        let caller = call.caller;
        let own = key.arn.account() == caller.account;
        // Whoever is of another account cannot tell a refusal from a key that is not there.
        let refuse = |reason: &Reason| {
            if !own {
                return Exception::stranger(&caller.principal, ask.action);
            }
            let text = reason.text(ask.action);
            Exception::denied(&caller.principal, ask.action, key.arn.as_str(), &text)
        };
        let keys = Keys {
            call,
            key: Some(key),
            ask,
            principal: &self.principal,
            for_identity: false,
        };
        let facts = facts(call, &self.action, key.arn.as_str(), &keys);
        let by_key = key.policy.judge(&facts);
        if by_key == Verdict::Deny {
            return Err(refuse(&Reason::ExplicitDeny("a resource-based")));
        }
        if self.by_identity == Verdict::Deny {
            return Err(refuse(&Reason::ExplicitDeny("an identity-based")));
        }
        let no_allow = || {
            refuse(&Reason::NoAllow(if by_key == Verdict::AllowAccount {
                IDENTITY_POLICY
            } else {
                KEY_POLICY
            }))
        };
        let identity_allows = self.by_identity == Verdict::Allow;
        if !own && (!identity_allows || !ACROSS_ACCOUNTS.contains(&ask.action)) {
            return Err(no_allow());
        }
        let by_policy = match by_key {
            Verdict::Allow => true,
            Verdict::AllowAccount => identity_allows,
            Verdict::Silent | Verdict::Deny => false,
        };
        if by_policy {
            return Ok(Through::Policies);
        }
        let grants: Vec<_> = key
            .grants
            .iter()
            .filter(|grant| self.covers(grant, call, ask))
            .cloned()
            .collect();
        if grants.is_empty() {
            return Err(no_allow());
        }
        Ok(Through::Grants(grants))
    }

    /// Whether a grant gives the permission that is asked for.
    fn covers(&self, grant: &GrantRecord, call: &Call<'_>, ask: &Ask<'_>) -> bool {
        let caller = call.caller;
        let to_caller = grant.grantee == caller.principal
            || (self.by_identity == Verdict::Allow
                && grant.grantee == root_arn(&caller.account, &caller.region));
        let operation = GrantOperation::parse(ask.action);
        to_caller
            && operation.is_some_and(|operation| grant.operations.contains(&operation))
            && (grant.created.saturating_add(self.delay) <= call.now
                || self.named.contains(&grant.id))
            && grants::constraints_hold(grant, ask.action, ask.context)
    }

    /// Whether the caller's identity policies deny what is asked.
    pub fn denies(&self) -> bool {
        self.by_identity == Verdict::Deny
    }

    /// Whether the caller's identity policies, or its being the root user, allow what is asked.
    pub fn allows(&self) -> bool {
        self.by_identity == Verdict::Allow
    }
}

fn facts<'a>(
    call: &'a Call<'_>,
    action: &'a str,
    resource: &'a str,
    keys: &'a Keys<'_>,
) -> Facts<'a> {
    Facts {
        action,
        principal: &call.caller.principal,
        account: &call.caller.account,
        resource,
        keys,
    }
}

/// Decides whether the caller has a permission on `key`, and through what.
///
/// # Errors
/// `AccessDeniedException`, and `InvalidGrantTokenException` for a token that means nothing.
pub fn authorise(
    kms: &Kms,
    call: &Call<'_>,
    key: &KeyRecord,
    ask: &Ask<'_>,
) -> Result<Through, Exception> {
    Standing::of(kms, call, key, ask)?.judge(call, key, ask)
}

/// The refusal of a caller in its own account whom nothing lets in.
pub fn refusal(call: &Call<'_>, key: &KeyRecord, action: &str, denied: bool) -> Exception {
    if key.arn.account() != call.caller.account {
        return Exception::stranger(&call.caller.principal, action);
    }
    let reason = if denied {
        Reason::ExplicitDeny("an identity-based")
    } else {
        Reason::NoAllow(IDENTITY_POLICY)
    };
    let text = reason.text(action);
    Exception::denied(&call.caller.principal, action, key.arn.as_str(), &text)
}

/// Decides over an operation that is about no key, but about the account.
///
/// # Errors
/// `AccessDeniedException`.
pub fn authorise_account(kms: &Kms, call: &Call<'_>, ask: &Ask<'_>) -> Result<(), Exception> {
    by_identity_alone(kms, call, ask, "*")
}

/// Decides over the alias's half of an operation on an alias.
///
/// # Errors
/// `AccessDeniedException`.
pub fn authorise_alias(kms: &Kms, call: &Call<'_>, alias: &AliasArn) -> Result<(), Exception> {
    by_identity_alone(kms, call, &Ask::new(call.operation), alias.as_str())
}

fn by_identity_alone(
    kms: &Kms,
    call: &Call<'_>,
    ask: &Ask<'_>,
    resource: &str,
) -> Result<(), Exception> {
    let caller = call.caller;
    let principal = kms.store().principal(&caller.principal)?;
    let keys = Keys {
        call,
        key: None,
        ask,
        principal: &principal,
        for_identity: true,
    };
    let action = format!("kms:{}", ask.action);
    let facts = facts(call, &action, resource, &keys);
    let reason = match identity_verdict(&principal, &facts, caller.is_root()) {
        Verdict::Allow => return Ok(()),
        Verdict::Deny => Reason::ExplicitDeny("an identity-based"),
        Verdict::AllowAccount | Verdict::Silent => Reason::NoAllow(IDENTITY_POLICY),
    };
    let text = reason.text(ask.action);
    Err(Exception::denied(
        &caller.principal,
        ask.action,
        resource,
        &text,
    ))
}

/// Whether `policy` leaves the caller able to change it again: the lockout check of CreateKey and
/// PutKeyPolicy.
///
/// # Errors
/// The keystore's own.
pub fn can_put_policy(
    kms: &Kms,
    call: &Call<'_>,
    arn: &KeyArn,
    policy: &super::policy::Policy,
) -> Result<bool, Exception> {
    let ask = Ask::new("PutKeyPolicy");
    let principal = kms.store().principal(&call.caller.principal)?;
    let keys = |for_identity: bool| Keys {
        call,
        key: None,
        ask: &ask,
        principal: &principal,
        for_identity,
    };
    let verdict = policy.judge(&facts(call, "kms:PutKeyPolicy", arn.as_str(), &keys(false)));
    Ok(match verdict {
        Verdict::Allow => true,
        Verdict::AllowAccount => {
            let keys = keys(true);
            let facts = facts(call, "kms:PutKeyPolicy", arn.as_str(), &keys);
            identity_verdict(&principal, &facts, call.caller.is_root()) == Verdict::Allow
        }
        Verdict::Silent | Verdict::Deny => false,
    })
}

/// Whether the principals that a policy or a grant names can exist here: users that are unknown in
/// an account that has users are typing errors; other accounts' are taken at their word.
pub fn is_principal(kms: &Kms, own_account: &str, arn: &str) -> Result<bool, Exception> {
    let Some(account) = account_of(arn) else {
        return Ok(false);
    };
    let Some((_, name)) = arn.split_once(":user/") else {
        return Ok(true);
    };
    if account != own_account || name.starts_with("uid-") {
        return Ok(true);
    }
    if kms.store().principal(arn)?.user.is_some() {
        return Ok(true);
    }
    Ok(kms.is_local_user(name))
}
