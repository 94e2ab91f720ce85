//! Grants: CreateGrant, ListGrants, ListRetirableGrants, RetireGrant, RevokeGrant.
//!
//! A grant token names its grant and is sealed under the root key: it is opaque, different at each
//! call, and needs no row of its own. A token of a grant that is gone is invalid.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::Kms;
use super::authorise::{
    Ask, Standing, Through, authorise, authorise_account, is_principal, refusal,
};
use super::call::Call;
use super::caller::{account_of, root_arn};
use super::context::EncryptionContext;
use super::error::{Exception, ExceptionKind};
use super::ids::{KeyArn, KeyIdentifier};
use super::keys::{page_limit, seconds};
use super::shapes::{
    CreateGrantRequest, CreateGrantResponse, GrantListEntry, ListGrantsRequest, ListGrantsResponse,
    ListRetirableGrantsRequest, Nothing, RetireGrantRequest, RevokeGrantRequest,
};
use super::spec::{KeySpec, KeyUsage};
use super::store::{GrantConstraints, GrantOperation, GrantRecord, KeyRecord};
use crate::codec::hex;

/// Grants that one key may have.
const GRANTS_PER_KEY: usize = 50_000;
/// Pairs of a grant's constraint, and the characters of each value.
const CONSTRAINT_PAIRS: usize = 8;
const CONSTRAINT_VALUE: usize = 384;
const TOKEN_LABEL: &[u8] = b"rekeyfs grant token";
/// The setting that holds a new grant's delay in milliseconds.
pub const DELAY_SETTING: &str = "grant-propagation-delay";

/// Whether a grant's constraints hold for a request. They are about the encryption context, so
/// operations without one are not bound by them.
pub(super) fn constraints_hold(
    grant: &GrantRecord,
    action: &str,
    context: Option<&EncryptionContext>,
) -> bool {
    if matches!(action, "DescribeKey" | "RetireGrant" | "CreateGrant") {
        return true;
    }
    let Some(constraints) = &grant.constraints else {
        return true;
    };
    let none = EncryptionContext::default();
    let given = context.unwrap_or(&none);
    let equals = constraints
        .encryption_context_equals
        .as_ref()
        .is_none_or(|wanted| wanted == given);
    let subset = constraints
        .encryption_context_subset
        .as_ref()
        .is_none_or(|wanted| includes(given, wanted));
    equals && subset
}

fn includes(whole: &EncryptionContext, part: &EncryptionContext) -> bool {
    part.pairs()
        .iter()
        .all(|(key, value)| whole.pairs().get(key) == Some(value))
}

/// Whether a grant under `child` allows nothing that one under `parent` does not.
fn is_as_strict(child: Option<&GrantConstraints>, parent: Option<&GrantConstraints>) -> bool {
    let Some(parent) = parent else {
        return true;
    };
    let Some(child) = child else {
        return parent.encryption_context_equals.is_none()
            && parent.encryption_context_subset.is_none();
    };
    let equals = match (
        &parent.encryption_context_equals,
        &child.encryption_context_equals,
    ) {
        (None, _) => true,
        (Some(parent), Some(child)) => parent == child,
        (Some(_), None) => false,
    };
    let subset = match &parent.encryption_context_subset {
        None => true,
        Some(wanted) => [
            &child.encryption_context_equals,
            &child.encryption_context_subset,
        ]
        .into_iter()
        .flatten()
        .any(|given| includes(given, wanted)),
    };
    equals && subset
}

/// The operations that can be granted on a key of this kind.
fn fits(operation: GrantOperation, spec: KeySpec, usage: KeyUsage) -> bool {
    use GrantOperation as G;
    match operation {
        G::CreateGrant | G::RetireGrant | G::DescribeKey => true,
        G::Decrypt | G::Encrypt | G::ReEncryptFrom | G::ReEncryptTo => {
            usage == KeyUsage::ENCRYPT_DECRYPT
        }
        G::GenerateDataKey
        | G::GenerateDataKeyWithoutPlaintext
        | G::GenerateDataKeyPair
        | G::GenerateDataKeyPairWithoutPlaintext => spec.is_symmetric(),
        G::Sign | G::Verify => usage == KeyUsage::SIGN_VERIFY,
        G::GetPublicKey => spec.is_asymmetric(),
        G::GenerateMac | G::VerifyMac => usage == KeyUsage::GENERATE_VERIFY_MAC,
        G::DeriveSharedSecret => usage == KeyUsage::KEY_AGREEMENT,
    }
}

fn entry(arn: &KeyArn, grant: &GrantRecord) -> GrantListEntry {
    GrantListEntry {
        key_id: arn.to_string(),
        grant_id: grant.id.clone(),
        // The service shows an absent name as an empty one.
        name: Some(grant.name.clone().unwrap_or_default()),
        creation_date: seconds(grant.created),
        grantee_principal: Some(grant.grantee.clone()),
        retiring_principal: grant.retiring.clone(),
        issuing_account: root_arn(&grant.issuing_account, arn.region()),
        operations: grant.operations.clone(),
        constraints: grant.constraints.clone(),
        ..GrantListEntry::default()
    }
}

impl Kms {
    /// The delay after which a new grant is effective without its token: milliseconds.
    ///
    /// # Errors
    /// The keystore's.
    pub fn grant_delay(&self) -> Result<i64, Exception> {
        let setting = self.store().setting(DELAY_SETTING)?;
        let delay: Option<i64> = setting.and_then(|value| value.parse().ok());
        Ok(delay.unwrap_or_default().max(0))
    }

    fn grant_token(&self, id: &str) -> String {
        STANDARD.encode(self.store().seal_token(TOKEN_LABEL, id.as_bytes()))
    }

    /// The grant ids that tokens name.
    ///
    /// # Errors
    /// `InvalidGrantTokenException` when one is not a token of this keystore, or its grant is gone.
    pub(super) fn granted_by_tokens(&self, tokens: &[String]) -> Result<Vec<String>, Exception> {
        tokens
            .iter()
            .map(|token| self.grant_of_token(token).map(|(id, _)| id))
            .collect()
    }

    fn grant_of_token(&self, token: &str) -> Result<(String, KeyArn), Exception> {
        let id = STANDARD
            .decode(token)
            .ok()
            .and_then(|sealed| self.store().open_token(TOKEN_LABEL, &sealed))
            .and_then(|id| String::from_utf8(id.expose().to_vec()).ok())
            .ok_or_else(Exception::invalid_grant_token)?;
        let arn = self
            .store()
            .key_of_grant(&id)?
            .ok_or_else(Exception::invalid_grant_token)?;
        Ok((id, arn))
    }

    fn check_principal(&self, key: &KeyArn, arn: &str) -> Result<(), Exception> {
        if account_of(arn).is_none() {
            return Err(Exception::arn_not_valid(arn));
        }
        if !is_principal(self, key.account(), arn)? {
            return Err(Exception::not_a_principal(arn));
        }
        Ok(())
    }

    /// CreateGrant. The same name with the same parameters is the same grant, with a new token.
    ///
    /// # Errors
    /// `ValidationException` for operations or constraints that do not fit the key,
    /// `InvalidArnException` for principals, `LimitExceededException`.
    pub(super) fn create_grant(
        &self,
        call: &mut Call<'_>,
        request: &CreateGrantRequest,
    ) -> Result<CreateGrantResponse, Exception> {
        if request.grantee_service_principal.is_some()
            || request.retiring_service_principal.is_some()
        {
            return Err(Exception::unsupported(Some(
                "Grants for service principals are not supported.",
            )));
        }
        let grantee = request.grantee_principal.as_deref().ok_or_else(|| {
            Exception::validation(
                "1 validation error detected: Value null at 'granteePrincipal' failed to satisfy \
                 constraint: Member must not be null",
            )
        })?;
        self.granted_by_tokens(request.grant_tokens.as_deref().unwrap_or_default())?;
        let key = self.resolve_key_only(call, &request.key_id)?;
        call.concerns(&key.arn);
        let constraint_type = request.constraints.as_ref().and_then(|constraints| {
            let equals = constraints.encryption_context_equals.as_ref();
            equals.map(|_| "EncryptionContextEquals").or_else(|| {
                let subset = constraints.encryption_context_subset.as_ref();
                subset.map(|_| "EncryptionContextSubset")
            })
        });
        let ask = Ask::new(call.operation)
            .named(&request.key_id)
            .tokens(request.grant_tokens.as_deref())
            .about(request.constraints.as_ref().and_then(|constraints| {
                let equals = constraints.encryption_context_equals.as_ref();
                equals.or(constraints.encryption_context_subset.as_ref())
            }))
            .fact("kms:granteeprincipal", [grantee.to_owned()])
            .fact("kms:retiringprincipal", request.retiring_principal.clone())
            .fact(
                "kms:grantoperations",
                request.operations.iter().map(|o| o.name().to_owned()),
            )
            .fact(
                "kms:grantconstrainttype",
                constraint_type.map(str::to_owned),
            )
            .fact("kms:grantisforawsresource", ["false".to_owned()]);
        if let Through::Grants(parents) = authorise(self, call, &key, &ask)? {
            check_parents(call, &key, &parents, request)?;
        }
        super::state::check(call.operation, &key)?;
        self.check_principal(&key.arn, grantee)?;
        if let Some(retiring) = &request.retiring_principal {
            self.check_principal(&key.arn, retiring)?;
        }
        check_grant(&key, request)?;
        if request.dry_run == Some(true) {
            return Err(Exception::dry_run());
        }
        let grant = GrantRecord {
            id: hex(&crate::primitives::random::<32>()),
            name: request.name.clone(),
            created: call.now,
            grantee: grantee.to_owned(),
            retiring: request.retiring_principal.clone(),
            issuing_account: call.caller.account.clone(),
            operations: request.operations.clone(),
            constraints: request.constraints.clone(),
        };
        let grant_id = self.change(call, &key.arn, &ask, |change| {
            if let Some(same) = change.key.grants.iter().find(|old| is_same(old, &grant)) {
                return Ok(same.id.clone());
            }
            if change.key.grants.len() >= GRANTS_PER_KEY {
                return Err(Exception::without_message(ExceptionKind::LimitExceeded));
            }
            change.add_grant(&grant)?;
            Ok(grant.id.clone())
        })?;
        call.response
            .insert("grantId".to_owned(), grant_id.clone().into());
        Ok(CreateGrantResponse {
            grant_token: self.grant_token(&grant_id),
            grant_id,
        })
    }

    /// ListGrants.
    ///
    /// # Errors
    /// `InvalidGrantIdException`, `InvalidMarkerException`, `NotFoundException`.
    pub(super) fn list_grants(
        &self,
        call: &mut Call<'_>,
        request: &ListGrantsRequest,
    ) -> Result<ListGrantsResponse, Exception> {
        let key = self.look_at(call, &request.key_id)?;
        if request
            .grant_id
            .as_deref()
            .is_some_and(|id| !is_grant_id(id))
        {
            return Err(Exception::invalid_grant_id());
        }
        let wanted = |given: &Option<String>, found: &str| {
            given.as_deref().is_none_or(|given| given == found)
        };
        let grants = key
            .grants
            .iter()
            .filter(|grant| {
                wanted(&request.grant_id, &grant.id)
                    && wanted(&request.grantee_principal, &grant.grantee)
                    && request.grantee_service_principal.is_none()
            })
            .map(|grant| entry(&key.arn, grant))
            .collect();
        let (grants, next_marker) = grants_page(grants, request)?;
        Ok(ListGrantsResponse {
            truncated: next_marker.is_some(),
            grants,
            next_marker,
        })
    }

    /// ListRetirableGrants.
    ///
    /// # Errors
    /// `InvalidArnException`, `InvalidMarkerException`.
    pub(super) fn list_retirable_grants(
        &self,
        call: &mut Call<'_>,
        request: &ListRetirableGrantsRequest,
    ) -> Result<ListGrantsResponse, Exception> {
        let principal = request.retiring_principal.as_deref().ok_or_else(|| {
            Exception::validation(
                "1 validation error detected: Value null at 'retiringPrincipal' failed to \
                 satisfy constraint: Member must not be null",
            )
        })?;
        authorise_account(self, call, &Ask::new(call.operation))?;
        let account = account_of(principal).ok_or_else(|| Exception::arn_not_valid(principal))?;
        // The grants may be on keys of any account, the principal must be one of the caller's.
        if account != call.caller.account {
            let caller = &call.caller.principal;
            return Err(Exception::stranger(caller, call.operation));
        }
        let limit = page_limit(request.limit)?;
        let after = match request.marker.as_deref() {
            None => 0,
            Some(marker) => marker.parse().map_err(|_| Exception::invalid_marker())?,
        };
        let region = &call.caller.region;
        let mut found = self
            .store()
            .retirable_grants(principal, region, after, limit + 1)?;
        let truncated = found.len() > limit;
        found.truncate(limit);
        Ok(ListGrantsResponse {
            next_marker: found
                .last()
                .filter(|_| truncated)
                .map(|(_, number, _)| number.to_string()),
            grants: found
                .iter()
                .map(|(arn, _, grant)| entry(arn, grant))
                .collect(),
            truncated,
        })
    }

    /// RetireGrant: by the retiring principal, by a grantee who was granted that, or by the
    /// account that issued the grant.
    ///
    /// # Errors
    /// `InvalidGrantTokenException`, `InvalidGrantIdException`, `NotFoundException`,
    /// `AccessDeniedException`.
    pub(super) fn retire_grant(
        &self,
        call: &mut Call<'_>,
        request: &RetireGrantRequest,
    ) -> Result<Nothing, Exception> {
        let (id, arn) = match (&request.grant_token, &request.key_id, &request.grant_id) {
            (Some(token), None, None) => self.grant_of_token(token)?,
            (None, Some(key_id), Some(grant_id)) => {
                if !is_grant_id(grant_id) {
                    return Err(Exception::invalid_grant_id());
                }
                let arn = match KeyIdentifier::parse(key_id)? {
                    KeyIdentifier::Arn(arn) => arn,
                    KeyIdentifier::Id(id) => {
                        KeyArn::new(&call.caller.account, &call.caller.region, &id)
                    }
                    KeyIdentifier::Alias(_) | KeyIdentifier::AliasArn(_) => {
                        return Err(Exception::aliases_not_supported());
                    }
                };
                (grant_id.clone(), arn)
            }
            _ => {
                return Err(Exception::validation(
                    "You must specify either a GrantToken or a KeyId and a GrantId, not both",
                ));
            }
        };
        let key = self.resolve(call, "RetireGrant", arn.as_str())?;
        call.concerns(&key.arn);
        let Some(grant) = key.grants.iter().find(|grant| grant.id == id) else {
            // Whether there is such a grant is the business of the key's own account.
            return Err(if key.arn.account() == call.caller.account {
                Exception::grant_not_found(&id)
            } else {
                Exception::stranger(&call.caller.principal, "RetireGrant")
            });
        };
        // Key policies have no say in this; identity policies can deny it, and can pass on what
        // belongs to their account.
        let standing = Standing::of(self, call, &key, &Ask::new("RetireGrant"))?;
        let caller = call.caller;
        let root = root_arn(&caller.account, &caller.region);
        let by_name = grant.retiring.as_deref() == Some(&caller.principal)
            || (grant.grantee == caller.principal
                && grant.operations.contains(&GrantOperation::RetireGrant));
        let by_account = standing.allows()
            && (grant.retiring.as_deref() == Some(&root)
                || grant.issuing_account == caller.account);
        if standing.denies() || !(by_name || by_account) {
            return Err(refusal(call, &key, "RetireGrant", standing.denies()));
        }
        self.end_grant(call, &key, &id, request.dry_run)
    }

    /// RevokeGrant.
    ///
    /// # Errors
    /// `InvalidGrantIdException`, `NotFoundException`, `AccessDeniedException`.
    pub(super) fn revoke_grant(
        &self,
        call: &mut Call<'_>,
        request: &RevokeGrantRequest,
    ) -> Result<Nothing, Exception> {
        let key = self.look_at(call, &request.key_id)?;
        if !is_grant_id(&request.grant_id) {
            return Err(Exception::invalid_grant_id());
        }
        self.end_grant(call, &key, &request.grant_id, request.dry_run)
    }

    fn end_grant(
        &self,
        call: &mut Call<'_>,
        key: &KeyRecord,
        id: &str,
        dry_run: Option<bool>,
    ) -> Result<Nothing, Exception> {
        super::state::check(call.operation, key)?;
        if !key.grants.iter().any(|grant| grant.id == id) {
            return Err(Exception::grant_not_found(id));
        }
        if dry_run == Some(true) {
            return Err(Exception::dry_run());
        }
        self.store()
            .change(&key.arn, call.now, |change| {
                if !change.key.grants.iter().any(|grant| grant.id == id) {
                    return Err(Exception::grant_not_found(id));
                }
                change.remove_grant(id)?;
                Ok::<_, Exception>(Nothing {})
            })?
            .ok_or_else(|| Exception::key_not_found(&key.arn))
    }
}

/// A page of grants, which are listed in the order in which they were made. A marker says behind
/// what to go on, so that it is good when that grant is gone.
fn grants_page(
    mut grants: Vec<GrantListEntry>,
    request: &ListGrantsRequest,
) -> Result<(Vec<GrantListEntry>, Option<String>), Exception> {
    let limit = page_limit(request.limit)?;
    let place = |grant: &GrantListEntry| {
        let made = (grant.creation_date * 1000.0).round() as i64;
        (made, grant.grant_id.clone())
    };
    grants.sort_by_key(place);
    if let Some(marker) = &request.marker {
        let after = marker
            .split_once('-')
            .and_then(|(made, id)| Some((made.parse::<i64>().ok()?, id.to_owned())))
            .filter(|(_, id)| is_grant_id(id))
            .ok_or_else(Exception::invalid_marker)?;
        grants.retain(|grant| place(grant) > after);
    }
    let next = (grants.len() > limit)
        .then(|| grants.get(limit - 1))
        .flatten()
        .map(place)
        .map(|(made, id)| format!("{made}-{id}"));
    grants.truncate(limit);
    Ok((grants, next))
}

fn is_grant_id(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Whether CreateGrant with these parameters was called before under the same name.
fn is_same(old: &GrantRecord, new: &GrantRecord) -> bool {
    let as_new = GrantRecord {
        id: new.id.clone(),
        created: new.created,
        ..old.clone()
    };
    new.name.is_some() && as_new == *new
}

/// A caller whose permission to create grants comes from grants can pass on no more than one of
/// them allows.
fn check_parents(
    call: &Call<'_>,
    key: &KeyRecord,
    parents: &[std::sync::Arc<GrantRecord>],
    request: &CreateGrantRequest,
) -> Result<(), Exception> {
    let enough = parents.iter().any(|parent| {
        let all = |operation: &GrantOperation| parent.operations.contains(operation);
        request.operations.iter().all(all)
            && is_as_strict(request.constraints.as_ref(), parent.constraints.as_ref())
    });
    if enough {
        return Ok(());
    }
    Err(refusal(call, key, call.operation, false))
}

fn check_grant(key: &KeyRecord, request: &CreateGrantRequest) -> Result<(), Exception> {
    if request.operations.is_empty() {
        return Err(Exception::validation("Grant operations must not be empty"));
    }
    let (spec, usage) = (key.facts.spec, key.facts.usage);
    if let Some(wrong) = request
        .operations
        .iter()
        .find(|operation| !fits(**operation, spec, usage))
    {
        return Err(Exception::validation(format!(
            "Operation {} is not valid for a key with KeySpec {} and KeyUsage {}.",
            wrong.name(),
            spec.name(),
            usage.name()
        )));
    }
    let Some(constraints) = &request.constraints else {
        return Ok(());
    };
    if constraints.source_arn.is_some() {
        return Err(Exception::unsupported(Some(
            "Grant constraints on SourceArn are not supported.",
        )));
    }
    let contexts = [
        &constraints.encryption_context_equals,
        &constraints.encryption_context_subset,
    ];
    if contexts.iter().all(|context| context.is_none()) {
        return Ok(());
    }
    if !spec.is_symmetric() {
        return Err(Exception::validation(
            "EncryptionContext is supported only when creating a grant for a symmetric \
             encryption KMS key.",
        ));
    }
    if contexts.iter().all(|context| context.is_some()) {
        return Err(Exception::validation(
            "Only one of EncryptionContextEquals and EncryptionContextSubset can be given",
        ));
    }
    for context in contexts.into_iter().flatten() {
        if context.pairs().len() > CONSTRAINT_PAIRS {
            return Err(Exception::validation(format!(
                "A grant constraint can have at most {CONSTRAINT_PAIRS} encryption context pairs"
            )));
        }
        if context
            .pairs()
            .values()
            .any(|value| value.chars().count() > CONSTRAINT_VALUE)
        {
            return Err(Exception::validation(format!(
                "An encryption context value of a grant constraint can have at most \
                 {CONSTRAINT_VALUE} characters"
            )));
        }
    }
    Ok(())
}
