//! The life of a key: CreateKey, DescribeKey, ListKeys, states, deletion, description, public keys.

use super::Kms;
use super::algorithm;
use super::authorise::{Ask, authorise, authorise_account};
use super::call::Call;
use super::error::Exception;
use super::ids::KeyArn;
use super::shapes::{
    Blob, CreateKeyRequest, GetKeyLastUsageResponse, GetPublicKeyResponse, KeyIdAndTokensRequest,
    KeyIdRequest, KeyIdResponse, KeyLastUsageData, KeyListEntry, KeyMetadata, KeyMetadataResponse,
    ListKeysRequest, ListKeysResponse, Nothing, ScheduleKeyDeletionRequest,
    ScheduleKeyDeletionResponse, UpdateKeyDescriptionRequest,
};
use super::spec::{KeyOrigin, KeySpec, KeyState, KeyUsage};
use super::store::{ExpirationModel, KeyFacts, KeyRecord, Rotation};
use super::tags;
use crate::codec::hex;

/// A day in milliseconds.
pub(super) const DAY: i64 = 24 * 60 * 60 * 1000;

/// Milliseconds as the API's epoch seconds.
pub(super) fn seconds(milliseconds: i64) -> f64 {
    milliseconds as f64 / 1000.0
}

fn names(names: &[&str]) -> Option<Vec<String>> {
    (!names.is_empty()).then(|| names.iter().map(|name| (*name).to_owned()).collect())
}

fn metadata(key: &KeyRecord) -> KeyMetadata {
    let facts = &key.facts;
    let spec = facts.spec;
    let usage = |wanted: KeyUsage| facts.usage == wanted;
    // An external key says whether its material expires, while it has any.
    let imported = key
        .current_record()
        .filter(|record| facts.origin == KeyOrigin::EXTERNAL && record.material.is_some());
    KeyMetadata {
        account_id: key.arn.account().to_owned(),
        key_id: key.arn.key_id().to_owned(),
        arn: key.arn.to_string(),
        creation_date: seconds(facts.created),
        enabled: facts.state == KeyState::Enabled,
        description: facts.description.clone(),
        key_usage: facts.usage.name().to_owned(),
        key_state: facts.state.name().to_owned(),
        deletion_date: facts.deletion.map(seconds),
        valid_to: imported
            .and_then(|record| record.facts.valid_to)
            .map(seconds),
        origin: facts.origin.name().to_owned(),
        expiration_model: imported.map(|record| match record.facts.valid_to {
            Some(_) => ExpirationModel::KEY_MATERIAL_EXPIRES,
            None => ExpirationModel::KEY_MATERIAL_DOES_NOT_EXPIRE,
        }),
        key_manager: "CUSTOMER".to_owned(),
        customer_master_key_spec: spec.name().to_owned(),
        key_spec: spec.name().to_owned(),
        encryption_algorithms: Some(spec.algorithms().to_vec())
            .filter(|list| usage(KeyUsage::ENCRYPT_DECRYPT) && !list.is_empty()),
        signing_algorithms: names(spec.signing_algorithms())
            .filter(|_| usage(KeyUsage::SIGN_VERIFY)),
        key_agreement_algorithms: names(&["ECDH"]).filter(|_| usage(KeyUsage::KEY_AGREEMENT)),
        mac_algorithms: spec.mac().and_then(|(name, _)| names(&[name])),
        multi_region: false,
        current_key_material_id: key.current_id().map(|id| hex(&id)),
        ..KeyMetadata::default()
    }
}

/// What CreateKey is to make, once its members have been found to fit together.
fn plan(request: &CreateKeyRequest) -> Result<(KeySpec, KeyUsage, KeyOrigin), Exception> {
    let name = match (&request.key_spec, &request.customer_master_key_spec) {
        (Some(_), Some(_)) => {
            return Err(Exception::validation(
                "You cannot specify KeySpec and CustomerMasterKeySpec in the same request. \
                 CustomerMasterKeySpec is deprecated.",
            ));
        }
        (Some(name), None) | (None, Some(name)) => name.as_str(),
        (None, None) => KeySpec::SYMMETRIC_DEFAULT.name(),
    };
    if request.multi_region == Some(true) {
        return Err(Exception::unsupported(Some(
            "Multi-Region keys are not supported.",
        )));
    }
    if request.custom_key_store_id.is_some() || request.xks_key_id.is_some() {
        return Err(Exception::unsupported(Some(
            "Custom key stores are not supported.",
        )));
    }
    let origin = match request.origin.as_deref() {
        None => KeyOrigin::AWS_KMS,
        Some(origin) => KeyOrigin::parse(origin).ok_or_else(|| Exception::unsupported(None))?,
    };
    let spec = KeySpec::parse(name).ok_or_else(|| Exception::unsupported(None))?;
    let usage = match request.key_usage.as_deref() {
        None if spec.is_symmetric() => KeyUsage::ENCRYPT_DECRYPT,
        None => {
            return Err(Exception::validation(
                "You must specify a KeyUsage value for all KMS keys except for symmetric \
                 encryption keys.",
            ));
        }
        Some(usage) => KeyUsage::parse(usage)
            .filter(|usage| spec.usages().contains(usage))
            .ok_or_else(|| {
                Exception::validation(format!(
                    "KeyUsage {usage} is not compatible with KeySpec {name}"
                ))
            })?,
    };
    Ok((spec, usage, origin))
}

impl Kms {
    /// CreateKey.
    ///
    /// # Errors
    /// `ValidationException` or `UnsupportedOperationException` for what this KMS cannot make,
    /// `TagException`, `MalformedPolicyDocumentException`.
    pub(super) fn create_key(
        &self,
        call: &mut Call<'_>,
        request: &CreateKeyRequest,
    ) -> Result<KeyMetadataResponse, Exception> {
        let given = request.tags.as_deref().unwrap_or_default();
        let bypass = request.bypass_policy_lockout_safety_check == Some(true);
        let (spec, usage, origin) = plan(request)?;
        let facts = |ask: Ask<'static>| {
            ask.fact("kms:keyspec", [spec.name().to_owned()])
                .fact("kms:customermasterkeyspec", [spec.name().to_owned()])
                .fact("kms:keyusage", [usage.name().to_owned()])
                .fact("kms:customermasterkeyusage", [usage.name().to_owned()])
                .fact("kms:keyorigin", [origin.name().to_owned()])
                .fact("kms:multiregion", ["false".to_owned()])
                .fact("kms:bypasspolicylockoutsafetycheck", [bypass.to_string()])
                .tags(given)
        };
        authorise_account(self, call, &facts(Ask::new(call.operation)))?;
        if !given.is_empty() {
            authorise_account(self, call, &facts(Ask::new("TagResource")))?;
        }
        tags::check(given, &[])?;
        let id = uuid::Uuid::new_v4().to_string();
        let arn = KeyArn::new(&call.caller.account, &call.caller.region, &id);
        if let Some(policy) = &request.policy {
            self.check_policy(call, &arn, policy, bypass)?;
        }
        let imported = origin == KeyOrigin::EXTERNAL;
        let facts = KeyFacts {
            spec,
            usage,
            origin,
            state: if imported {
                KeyState::PendingImport
            } else {
                KeyState::Enabled
            },
            description: request.description.clone().unwrap_or_default(),
            created: call.now,
            deletion: None,
            policy: request.policy.clone(),
            tags: given
                .iter()
                .map(|tag| (tag.tag_key.clone(), tag.tag_value.clone()))
                .collect(),
            rotation: Rotation::default(),
            on_demand_rotations: 0,
        };
        let material = (!imported).then(|| algorithm::generate(spec));
        call.concerns(&arn);
        self.store()
            .insert_key(&arn, &facts, material.as_ref(), call.now)?;
        let key = self
            .find(&arn, call.now)?
            .ok_or_else(|| Exception::key_not_found(&arn))?;
        Ok(KeyMetadataResponse {
            key_metadata: metadata(&key),
        })
    }

    /// DescribeKey.
    ///
    /// # Errors
    /// `NotFoundException`.
    pub(super) fn describe_key(
        &self,
        call: &mut Call<'_>,
        request: &KeyIdAndTokensRequest,
    ) -> Result<KeyMetadataResponse, Exception> {
        self.granted_by_tokens(request.grant_tokens.as_deref().unwrap_or_default())?;
        let key = self.resolve(call, call.operation, &request.key_id)?;
        call.concerns(&key.arn);
        let ask = Ask::new(call.operation)
            .named(&request.key_id)
            .tokens(request.grant_tokens.as_deref());
        authorise(self, call, &key, &ask)?;
        super::state::check(call.operation, &key)?;
        Ok(KeyMetadataResponse {
            key_metadata: metadata(&key),
        })
    }

    /// ListKeys.
    ///
    /// # Errors
    /// `InvalidMarkerException`.
    pub(super) fn list_keys(
        &self,
        call: &mut Call<'_>,
        request: &ListKeysRequest,
    ) -> Result<ListKeysResponse, Exception> {
        authorise_account(self, call, &Ask::new(call.operation))?;
        let limit = page_limit(request.limit)?;
        let after = match &request.marker {
            Some(marker) => KeyArn::parse(marker)
                .ok_or_else(Exception::invalid_marker)?
                .to_string(),
            None => String::new(),
        };
        let (account, region) = (&call.caller.account, &call.caller.region);
        // Nothing is shared with this KMS by other accounts.
        let own = request
            .resource_owners
            .as_ref()
            .is_none_or(|owners| owners.iter().any(|owner| owner == "SELF"));
        let mut found = if own {
            self.store()
                .list_keys(account, region, &after, limit + 1, call.now)?
        } else {
            Vec::new()
        };
        let truncated = found.len() > limit;
        found.truncate(limit);
        Ok(ListKeysResponse {
            next_marker: found.last().filter(|_| truncated).map(ToString::to_string),
            keys: found
                .iter()
                .map(|arn| KeyListEntry {
                    key_id: arn.key_id().to_owned(),
                    key_arn: arn.to_string(),
                })
                .collect(),
            truncated,
        })
    }

    /// EnableKey.
    ///
    /// # Errors
    /// `KMSInvalidStateException` while deletion or import is pending.
    pub(super) fn enable_key(
        &self,
        call: &mut Call<'_>,
        request: &KeyIdRequest,
    ) -> Result<Nothing, Exception> {
        self.manage(call, &request.key_id, |change| {
            change.key.facts.state = KeyState::Enabled;
            Ok(())
        })?;
        Ok(Nothing {})
    }

    /// DisableKey.
    ///
    /// # Errors
    /// `KMSInvalidStateException` while deletion or import is pending.
    pub(super) fn disable_key(
        &self,
        call: &mut Call<'_>,
        request: &KeyIdRequest,
    ) -> Result<Nothing, Exception> {
        self.manage(call, &request.key_id, |change| {
            change.key.facts.state = KeyState::Disabled;
            Ok(())
        })?;
        Ok(Nothing {})
    }

    /// UpdateKeyDescription.
    ///
    /// # Errors
    /// `KMSInvalidStateException` while deletion is pending.
    pub(super) fn update_key_description(
        &self,
        call: &mut Call<'_>,
        request: &UpdateKeyDescriptionRequest,
    ) -> Result<Nothing, Exception> {
        self.manage(call, &request.key_id, |change| {
            change
                .key
                .facts
                .description
                .clone_from(&request.description);
            Ok(())
        })?;
        Ok(Nothing {})
    }

    /// ScheduleKeyDeletion.
    ///
    /// # Errors
    /// `KMSInvalidStateException` when deletion is pending already.
    pub(super) fn schedule_key_deletion(
        &self,
        call: &mut Call<'_>,
        request: &ScheduleKeyDeletionRequest,
    ) -> Result<ScheduleKeyDeletionResponse, Exception> {
        let days = request.pending_window_in_days.unwrap_or(30);
        if !(7..=30).contains(&days) {
            return Err(Exception::validation(
                "PendingWindowInDays must be between 7 and 30 days",
            ));
        }
        let key = self.resolve_key_only(call, &request.key_id)?;
        let ask = Ask::new(call.operation).named(&request.key_id).fact(
            "kms:schedulekeydeletionpendingwindowindays",
            [days.to_string()],
        );
        let deletion = call.now + days * DAY;
        self.change(call, &key.arn, &ask, |change| {
            change.key.facts.state = KeyState::PendingDeletion;
            change.key.facts.deletion = Some(deletion);
            Ok(())
        })?;
        Ok(ScheduleKeyDeletionResponse {
            key_id: key.arn.to_string(),
            deletion_date: seconds(deletion),
            key_state: KeyState::PendingDeletion.name().to_owned(),
            pending_window_in_days: Some(days),
        })
    }

    /// CancelKeyDeletion: the key is disabled afterwards, or waits for its material again.
    ///
    /// # Errors
    /// `KMSInvalidStateException` when no deletion is pending.
    pub(super) fn cancel_key_deletion(
        &self,
        call: &mut Call<'_>,
        request: &KeyIdRequest,
    ) -> Result<KeyIdResponse, Exception> {
        let (arn, ()) = self.manage(call, &request.key_id, |change| {
            let complete = !change.key.materials.is_empty()
                && change
                    .key
                    .materials
                    .iter()
                    .all(|record| record.material.is_some());
            change.key.facts.state = if complete {
                KeyState::Disabled
            } else {
                KeyState::PendingImport
            };
            change.key.facts.deletion = None;
            Ok(())
        })?;
        Ok(KeyIdResponse {
            key_id: arn.to_string(),
        })
    }

    /// GetPublicKey.
    ///
    /// # Errors
    /// `UnsupportedOperationException` for keys that have none.
    pub(super) fn get_public_key(
        &self,
        call: &mut Call<'_>,
        request: &KeyIdAndTokensRequest,
    ) -> Result<GetPublicKeyResponse, Exception> {
        self.granted_by_tokens(request.grant_tokens.as_deref().unwrap_or_default())?;
        let key = self.resolve(call, call.operation, &request.key_id)?;
        call.concerns(&key.arn);
        let ask = Ask::new(call.operation)
            .named(&request.key_id)
            .tokens(request.grant_tokens.as_deref());
        authorise(self, call, &key, &ask)?;
        super::state::check(call.operation, &key)?;
        let public = key
            .current()
            .and_then(algorithm::public_key)
            .ok_or_else(|| Exception::unsupported(None))?;
        let shown = metadata(&key);
        Ok(GetPublicKeyResponse {
            key_id: shown.arn,
            public_key: Blob(public),
            customer_master_key_spec: shown.customer_master_key_spec,
            key_spec: shown.key_spec,
            key_usage: shown.key_usage,
            encryption_algorithms: shown.encryption_algorithms,
            signing_algorithms: shown.signing_algorithms,
            key_agreement_algorithms: shown.key_agreement_algorithms,
        })
    }

    /// GetKeyLastUsage: the last cryptographic operation that succeeded.
    ///
    /// # Errors
    /// `NotFoundException`.
    pub(super) fn get_key_last_usage(
        &self,
        call: &mut Call<'_>,
        request: &KeyIdRequest,
    ) -> Result<GetKeyLastUsageResponse, Exception> {
        let key = self.look_at(call, &request.key_id)?;
        self.save_usages();
        let usage = self.store().last_usage(&key.arn)?;
        Ok(GetKeyLastUsageResponse {
            key_id: key.arn.to_string(),
            key_last_usage: usage.map(|usage| KeyLastUsageData {
                operation: usage.operation,
                timestamp: seconds(usage.at),
                cloud_trail_event_id: usage.event,
                kms_request_id: usage.request,
            }),
            tracking_start_date: seconds(key.facts.created),
            key_creation_date: seconds(key.facts.created),
        })
    }
}

/// The page size of a listing: 1 to 1000, 100 when not given.
pub(super) fn page_limit(limit: Option<i64>) -> Result<usize, Exception> {
    usize::try_from(limit.unwrap_or(100))
        .ok()
        .filter(|limit| (1..=1000).contains(limit))
        .ok_or_else(|| Exception::validation("Limit must be between 1 and 1000"))
}

/// A page of `all`, after the item that `marker` names, and the marker of the next one.
///
/// # Errors
/// `InvalidMarkerException` when there is no such item.
pub(super) fn page<T>(
    mut all: Vec<T>,
    limit: Option<i64>,
    marker: Option<&str>,
    name: impl Fn(&T) -> &str,
) -> Result<(Vec<T>, Option<String>), Exception> {
    let limit = page_limit(limit)?;
    if let Some(marker) = marker {
        let last = all
            .iter()
            .position(|item| name(item) == marker)
            .ok_or_else(Exception::invalid_marker)?;
        all.drain(..=last);
    }
    let next = (all.len() > limit)
        .then(|| all.get(limit - 1).map(|item| name(item).to_owned()))
        .flatten();
    all.truncate(limit);
    Ok((all, next))
}
