//! The life of a key: CreateKey, DescribeKey, ListKeys, states, deletion, rotation, public keys.

use std::sync::Arc;

use super::Kms;
use super::algorithm::{self, KeySpec};
use super::audit;
use super::authorise::{Caller, Request, authorise};
use super::error::Exception;
use super::ids::KeyArn;
use super::shapes::{
    Blob, CreateKeyRequest, DEFAULT_SPEC, DescribeKeyRequest, GetPublicKeyRequest,
    GetPublicKeyResponse, KeyIdRequest, KeyIdResponse, KeyListEntry, KeyMetadata,
    KeyMetadataResponse, ListKeysRequest, ListKeysResponse, Nothing, ScheduleKeyDeletionRequest,
    ScheduleKeyDeletionResponse,
};
use super::state::{self, KeyState, Needs};
use super::store::KeyRecord;
use crate::codec::hex;

const DAY: i64 = 24 * 60 * 60 * 1000;
/// Generations that RotateKeyOnDemand may add to a key.
const ON_DEMAND_ROTATIONS: usize = 25;

/// Milliseconds as the API's epoch seconds.
pub(super) fn seconds(milliseconds: i64) -> f64 {
    milliseconds as f64 / 1000.0
}

fn metadata(key: &KeyRecord) -> KeyMetadata {
    KeyMetadata {
        account_id: key.arn.account().to_owned(),
        key_id: key.arn.key_id().to_owned(),
        arn: key.arn.to_string(),
        creation_date: seconds(key.created),
        enabled: key.state == KeyState::Enabled,
        description: key.description.clone(),
        key_usage: "ENCRYPT_DECRYPT".to_owned(),
        key_state: key.state.name().to_owned(),
        deletion_date: key.deletion.map(seconds),
        origin: "AWS_KMS".to_owned(),
        key_manager: "CUSTOMER".to_owned(),
        customer_master_key_spec: key.spec.name().to_owned(),
        key_spec: key.spec.name().to_owned(),
        encryption_algorithms: key.spec.algorithms().to_vec(),
        multi_region: false,
        current_key_material_id: key.current_id().map(|id| hex(&id)),
    }
}

impl Kms {
    /// CreateKey.
    ///
    /// # Errors
    /// `ValidationException` or `UnsupportedOperationException` for what this KMS cannot make.
    pub fn create_key(
        &self,
        caller: &Caller,
        request: &CreateKeyRequest,
    ) -> Result<KeyMetadataResponse, Exception> {
        let result = self.make_key(caller, request);
        let arns: Vec<_> = result.iter().map(|key| &key.arn).collect();
        audit::record("CreateKey", caller, &arns, &result);
        Ok(KeyMetadataResponse {
            key_metadata: metadata(&*result?),
        })
    }

    fn make_key(
        &self,
        caller: &Caller,
        request: &CreateKeyRequest,
    ) -> Result<Arc<KeyRecord>, Exception> {
        let name = match (&request.key_spec, &request.customer_master_key_spec) {
            (Some(_), Some(_)) => {
                return Err(Exception::validation(
                    "You cannot specify KeySpec and CustomerMasterKeySpec in the same request. \
                     CustomerMasterKeySpec is deprecated.",
                ));
            }
            (Some(name), None) | (None, Some(name)) => name.as_str(),
            (None, None) => DEFAULT_SPEC.name(),
        };
        if request.multi_region == Some(true) {
            return Err(Exception::unsupported(Some(
                "Multi-Region keys are not supported.",
            )));
        }
        if request.origin.as_deref().unwrap_or("AWS_KMS") != "AWS_KMS" {
            return Err(Exception::unsupported(None));
        }
        let spec = KeySpec::parse(name).ok_or_else(|| Exception::unsupported(None))?;
        match request.key_usage.as_deref() {
            Some("ENCRYPT_DECRYPT") => {}
            None if spec.is_symmetric() => {}
            None => {
                return Err(Exception::validation(
                    "You must specify a KeyUsage value for all KMS keys except for symmetric \
                     encryption keys.",
                ));
            }
            Some(usage) => {
                return Err(Exception::validation(format!(
                    "KeyUsage {usage} is not compatible with KeySpec {name}"
                )));
            }
        }
        let id = uuid::Uuid::new_v4().to_string();
        let arn = KeyArn::new(&caller.account, &caller.region, &id);
        let description = request.description.clone().unwrap_or_default();
        let now = super::now();
        self.store()
            .insert_key(&arn, spec, &description, &algorithm::generate(spec), now)?;
        self.store()
            .key(&arn, now)?
            .ok_or_else(|| Exception::key_not_found(&arn))
    }

    /// DescribeKey.
    ///
    /// # Errors
    /// `NotFoundException`.
    pub fn describe_key(
        &self,
        caller: &Caller,
        request: &DescribeKeyRequest,
    ) -> Result<KeyMetadataResponse, Exception> {
        let key = self.resolve(caller, &request.key_id)?;
        let result = authorise(
            caller,
            &key,
            &Request::plain("DescribeKey", &request.key_id),
        )
        .and_then(|()| state::check(Needs::Anything, &key));
        audit::record("DescribeKey", caller, &[&key.arn], &result);
        result?;
        Ok(KeyMetadataResponse {
            key_metadata: metadata(&key),
        })
    }

    /// ListKeys.
    ///
    /// # Errors
    /// `InvalidMarkerException`.
    pub fn list_keys(
        &self,
        caller: &Caller,
        request: &ListKeysRequest,
    ) -> Result<ListKeysResponse, Exception> {
        let limit = page_limit(request.limit)?;
        let after = match &request.marker {
            Some(marker) => KeyArn::parse(marker)
                .ok_or_else(Exception::invalid_marker)?
                .to_string(),
            None => String::new(),
        };
        let mut found = self.store().list_keys(
            &caller.account,
            &caller.region,
            &after,
            limit + 1,
            super::now(),
        )?;
        let truncated = found.len() > limit;
        found.truncate(limit);
        audit::record("ListKeys", caller, &[], &Ok(()));
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

    /// Moves a key to another state, if nobody else has moved it meanwhile.
    fn change_state(
        &self,
        caller: &Caller,
        operation: &'static str,
        key_id: &str,
        needs: Needs,
        to: KeyState,
        deletion: Option<i64>,
    ) -> Result<Arc<KeyRecord>, Exception> {
        let key = self.resolve_key_only(caller, key_id)?;
        let result = (|| {
            authorise(caller, &key, &Request::plain(operation, key_id))?;
            loop {
                let seen = self.resolve_key_only(caller, key.arn.as_str())?;
                state::check(needs, &seen)?;
                if self.store().set_state(&seen, to, deletion, super::now())? {
                    return Ok(seen);
                }
            }
        })();
        audit::record(operation, caller, &[&key.arn], &result);
        result
    }

    /// EnableKey.
    ///
    /// # Errors
    /// `KMSInvalidStateException` while deletion is pending.
    pub fn enable_key(
        &self,
        caller: &Caller,
        request: &KeyIdRequest,
    ) -> Result<Nothing, Exception> {
        self.change_state(
            caller,
            "EnableKey",
            &request.key_id,
            Needs::NotPendingDeletion,
            KeyState::Enabled,
            None,
        )?;
        Ok(Nothing {})
    }

    /// DisableKey.
    ///
    /// # Errors
    /// `KMSInvalidStateException` while deletion is pending.
    pub fn disable_key(
        &self,
        caller: &Caller,
        request: &KeyIdRequest,
    ) -> Result<Nothing, Exception> {
        self.change_state(
            caller,
            "DisableKey",
            &request.key_id,
            Needs::NotPendingDeletion,
            KeyState::Disabled,
            None,
        )?;
        Ok(Nothing {})
    }

    /// ScheduleKeyDeletion.
    ///
    /// # Errors
    /// `KMSInvalidStateException` when deletion is pending already.
    pub fn schedule_key_deletion(
        &self,
        caller: &Caller,
        request: &ScheduleKeyDeletionRequest,
    ) -> Result<ScheduleKeyDeletionResponse, Exception> {
        let days = request.pending_window_in_days.unwrap_or(30);
        if !(7..=30).contains(&days) {
            return Err(Exception::validation(
                "PendingWindowInDays must be between 7 and 30 days",
            ));
        }
        let deletion = super::now() + days * DAY;
        let key = self.change_state(
            caller,
            "ScheduleKeyDeletion",
            &request.key_id,
            Needs::NotPendingDeletion,
            KeyState::PendingDeletion,
            Some(deletion),
        )?;
        Ok(ScheduleKeyDeletionResponse {
            key_id: key.arn.to_string(),
            deletion_date: seconds(deletion),
            key_state: KeyState::PendingDeletion.name().to_owned(),
            pending_window_in_days: Some(days),
        })
    }

    /// CancelKeyDeletion: the key is disabled afterwards.
    ///
    /// # Errors
    /// `KMSInvalidStateException` when no deletion is pending.
    pub fn cancel_key_deletion(
        &self,
        caller: &Caller,
        request: &KeyIdRequest,
    ) -> Result<KeyIdResponse, Exception> {
        let key = self.change_state(
            caller,
            "CancelKeyDeletion",
            &request.key_id,
            Needs::PendingDeletion,
            KeyState::Disabled,
            None,
        )?;
        Ok(KeyIdResponse {
            key_id: key.arn.to_string(),
        })
    }

    /// RotateKeyOnDemand: new material; the old one keeps decrypting.
    ///
    /// # Errors
    /// `UnsupportedOperationException` for asymmetric keys, `LimitExceededException` after 25.
    pub fn rotate_key_on_demand(
        &self,
        caller: &Caller,
        request: &KeyIdRequest,
    ) -> Result<KeyIdResponse, Exception> {
        let key = self.resolve_key_only(caller, &request.key_id)?;
        let result = (|| {
            authorise(
                caller,
                &key,
                &Request::plain("RotateKeyOnDemand", &request.key_id),
            )?;
            loop {
                let seen = self.resolve_key_only(caller, key.arn.as_str())?;
                state::check(Needs::Usable, &seen)?;
                if !seen.spec.is_symmetric() {
                    return Err(Exception::unsupported(None));
                }
                if seen.materials.len() > ON_DEMAND_ROTATIONS {
                    return Err(Exception::rotation_limit(&seen.arn));
                }
                let material = algorithm::generate(seen.spec);
                if self.store().rotate(&seen, &material, super::now())? {
                    return Ok(());
                }
            }
        })();
        audit::record("RotateKeyOnDemand", caller, &[&key.arn], &result);
        result?;
        Ok(KeyIdResponse {
            key_id: key.arn.to_string(),
        })
    }

    /// GetPublicKey.
    ///
    /// # Errors
    /// `UnsupportedOperationException` for symmetric keys.
    pub fn get_public_key(
        &self,
        caller: &Caller,
        request: &GetPublicKeyRequest,
    ) -> Result<GetPublicKeyResponse, Exception> {
        let key = self.resolve(caller, &request.key_id)?;
        let result = authorise(
            caller,
            &key,
            &Request::plain("GetPublicKey", &request.key_id),
        )
        .and_then(|()| state::check(Needs::NotPendingDeletion, &key))
        .and_then(|()| {
            algorithm::public_key(key.current()).ok_or_else(|| Exception::unsupported(None))
        });
        audit::record("GetPublicKey", caller, &[&key.arn], &result);
        Ok(GetPublicKeyResponse {
            key_id: key.arn.to_string(),
            public_key: Blob(result?),
            customer_master_key_spec: key.spec.name().to_owned(),
            key_spec: key.spec.name().to_owned(),
            key_usage: "ENCRYPT_DECRYPT".to_owned(),
            encryption_algorithms: key.spec.algorithms().to_vec(),
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
