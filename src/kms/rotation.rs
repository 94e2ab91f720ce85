//! Rotation: automatic, on demand, and its history.
//!
//! Rotation gives a key new material and never touches a ciphertext: the old material goes on
//! decrypting. Automatic rotation happens at the first use of a key after its date.

use super::Kms;
use super::algorithm;
use super::authorise::Ask;
use super::call::Call;
use super::error::Exception;
use super::ids::KeyArn;
use super::keys::{DAY, page, seconds};
use super::shapes::{
    EnableKeyRotationRequest, GetKeyRotationStatusResponse, IncludeKeyMaterial, KeyIdRequest,
    KeyIdResponse, ListKeyRotationsRequest, ListKeyRotationsResponse, Nothing, RotationsListEntry,
};
use super::spec::{KeyOrigin, KeyState};
use super::store::{
    Change, ExpirationModel, KeyRecord, MaterialFacts, MaterialRecord, MaterialState, Rotation,
    RotationType,
};
use crate::codec::hex;

/// Generations that RotateKeyOnDemand may add to a key.
const ON_DEMAND_ROTATIONS: u32 = 25;
/// The rotation period when none was ever given, in days.
const PERIOD: u32 = 365;

/// Whether automatic rotation of a key is due. It waits while the key cannot be used.
pub(super) fn is_due(key: &KeyRecord, now: i64) -> bool {
    key.facts.state == KeyState::Enabled && key.facts.rotation.next.is_some_and(|at| at <= now)
}

/// Makes the current material an old one.
fn retire_current(change: &mut Change<'_>) -> Result<(), Exception> {
    let current = change
        .key
        .current_record()
        .map(|record| (record.number, record.facts.clone()));
    if let Some((number, facts)) = current {
        let facts = MaterialFacts {
            state: MaterialState::NON_CURRENT,
            ..facts
        };
        change.set_material_facts(number, &facts)?;
    }
    Ok(())
}

fn renew(change: &mut Change<'_>, rotation: RotationType) -> Result<(), Exception> {
    retire_current(change)?;
    let facts = MaterialFacts {
        rotated: Some((change.now(), rotation)),
        ..MaterialFacts::current()
    };
    let material = algorithm::generate(change.key.facts.spec);
    change.add_material(&facts, &material)?;
    Ok(())
}

/// Only symmetric keys with material of our own rotate by themselves.
fn check_automatic(key: &KeyRecord) -> Result<(), Exception> {
    if !key.facts.spec.is_symmetric() {
        return Err(Exception::unsupported(None));
    }
    if key.facts.origin != KeyOrigin::AWS_KMS {
        return Err(Exception::wrong_origin(&key.arn, key.facts.origin.name()));
    }
    Ok(())
}

fn entry(key: &KeyRecord, record: &MaterialRecord) -> RotationsListEntry {
    let external = key.facts.origin == KeyOrigin::EXTERNAL;
    RotationsListEntry {
        key_id: key.arn.to_string(),
        key_material_id: record.id.map(|id| hex(&id)),
        key_material_description: record.facts.description.clone(),
        import_state: external.then(|| {
            let state = if record.material.is_some() {
                "IMPORTED"
            } else {
                "PENDING_IMPORT"
            };
            state.to_owned()
        }),
        key_material_state: Some(record.facts.state.name().to_owned()),
        expiration_model: (external && record.material.is_some()).then_some(
            match record.facts.valid_to {
                Some(_) => ExpirationModel::KEY_MATERIAL_EXPIRES,
                None => ExpirationModel::KEY_MATERIAL_DOES_NOT_EXPIRE,
            },
        ),
        valid_to: record.facts.valid_to.map(seconds),
        rotation_date: record.facts.rotated.map(|(at, _)| seconds(at)),
        rotation_type: record.facts.rotated.map(|(_, kind)| kind.name().to_owned()),
    }
}

impl Kms {
    /// Rotates a key whose date has come, unless another process was faster.
    pub(super) fn rotate_when_due(&self, arn: &KeyArn, now: i64) -> Result<(), Exception> {
        self.store().change(arn, now, |change| {
            if !is_due(&change.key, now) {
                return Ok(());
            }
            renew(change, RotationType::AUTOMATIC)?;
            let rotation = &mut change.key.facts.rotation;
            let period = i64::from(rotation.days.unwrap_or(PERIOD)) * DAY;
            rotation.next = Some(now + period);
            Ok::<_, Exception>(())
        })?;
        Ok(())
    }

    /// EnableKeyRotation; called again without a period, it keeps the old one.
    ///
    /// # Errors
    /// `UnsupportedOperationException` for keys that cannot rotate by themselves.
    pub(super) fn enable_key_rotation(
        &self,
        call: &mut Call<'_>,
        request: &EnableKeyRotationRequest,
    ) -> Result<Nothing, Exception> {
        let key = self.resolve_key_only(call, &request.key_id)?;
        let given = request
            .rotation_period_in_days
            .and_then(|days| u32::try_from(days).ok());
        let ask = Ask::new(call.operation).named(&request.key_id).fact(
            "kms:rotationperiodindays",
            [given.unwrap_or(PERIOD).to_string()],
        );
        let now = call.now;
        self.change(call, &key.arn, &ask, |change| {
            check_automatic(&change.key)?;
            let rotation = &mut change.key.facts.rotation;
            let days = given.or(rotation.days).unwrap_or(PERIOD);
            if rotation.next.is_none() || rotation.days != Some(days) {
                rotation.next = Some(now + i64::from(days) * DAY);
            }
            rotation.days = Some(days);
            Ok(Nothing {})
        })
    }

    /// DisableKeyRotation.
    ///
    /// # Errors
    /// `UnsupportedOperationException` for keys that cannot rotate by themselves.
    pub(super) fn disable_key_rotation(
        &self,
        call: &mut Call<'_>,
        request: &KeyIdRequest,
    ) -> Result<Nothing, Exception> {
        self.manage(call, &request.key_id, |change| {
            check_automatic(&change.key)?;
            change.key.facts.rotation = Rotation {
                next: None,
                ..change.key.facts.rotation
            };
            Ok(())
        })?;
        Ok(Nothing {})
    }

    /// GetKeyRotationStatus. A key whose deletion is pending does not rotate.
    ///
    /// # Errors
    /// `UnsupportedOperationException` for keys that cannot rotate by themselves.
    pub(super) fn get_key_rotation_status(
        &self,
        call: &mut Call<'_>,
        request: &KeyIdRequest,
    ) -> Result<GetKeyRotationStatusResponse, Exception> {
        let key = self.look_at(call, &request.key_id)?;
        check_automatic(&key)?;
        let next = key
            .facts
            .rotation
            .next
            .filter(|_| key.facts.state != KeyState::PendingDeletion);
        Ok(GetKeyRotationStatusResponse {
            key_rotation_enabled: next.is_some(),
            key_id: key.arn.to_string(),
            rotation_period_in_days: next.and(key.facts.rotation.days).map(i64::from),
            next_rotation_date: next.map(seconds),
            on_demand_rotation_start_date: None,
        })
    }

    /// RotateKeyOnDemand: new material at once (the real service takes a minute or two). A key
    /// with imported material takes what was imported for it and waits.
    ///
    /// # Errors
    /// `UnsupportedOperationException` for other keys than symmetric ones,
    /// `LimitExceededException` after 25.
    pub(super) fn rotate_key_on_demand(
        &self,
        call: &mut Call<'_>,
        request: &KeyIdRequest,
    ) -> Result<KeyIdResponse, Exception> {
        let (arn, ()) = self.manage(call, &request.key_id, |change| {
            if !change.key.facts.spec.is_symmetric() {
                return Err(Exception::unsupported(None));
            }
            if change.key.facts.on_demand_rotations >= ON_DEMAND_ROTATIONS {
                return Err(Exception::rotation_limit(&change.key.arn));
            }
            if change.key.facts.origin == KeyOrigin::EXTERNAL {
                take_imported(change)?;
            } else {
                renew(change, RotationType::ON_DEMAND)?;
            }
            change.key.facts.on_demand_rotations += 1;
            Ok(())
        })?;
        Ok(KeyIdResponse {
            key_id: arn.to_string(),
        })
    }

    /// ListKeyRotations, in the order in which they happened.
    ///
    /// # Errors
    /// `UnsupportedOperationException` for keys that have no generations, `InvalidMarkerException`.
    pub(super) fn list_key_rotations(
        &self,
        call: &mut Call<'_>,
        request: &ListKeyRotationsRequest,
    ) -> Result<ListKeyRotationsResponse, Exception> {
        let key = self.look_at(call, &request.key_id)?;
        if !key.facts.spec.is_symmetric() {
            return Err(Exception::unsupported(None));
        }
        let all = request.include_key_material == Some(IncludeKeyMaterial::ALL_KEY_MATERIAL);
        let rotations = key
            .materials
            .iter()
            .filter(|record| all || record.facts.rotated.is_some())
            .map(|record| entry(&key, record))
            .collect();
        let (rotations, next_marker) = page(
            rotations,
            request.limit,
            request.marker.as_deref(),
            |rotation| rotation.key_material_id.as_deref().unwrap_or_default(),
        )?;
        Ok(ListKeyRotationsResponse {
            truncated: next_marker.is_some(),
            rotations,
            next_marker,
        })
    }
}

/// Makes the imported material that waits for a rotation the current one.
fn take_imported(change: &mut Change<'_>) -> Result<(), Exception> {
    let waiting = change
        .key
        .materials
        .iter()
        .find(|record| record.facts.state == MaterialState::PENDING_ROTATION)
        .filter(|record| record.material.is_some())
        .map(|record| (record.number, record.facts.clone()));
    let Some((number, facts)) = waiting else {
        return Err(Exception::no_material_to_rotate_to(&change.key.arn));
    };
    retire_current(change)?;
    let facts = MaterialFacts {
        state: MaterialState::CURRENT,
        rotated: Some((change.now(), RotationType::ON_DEMAND)),
        ..facts
    };
    change.set_material_facts(number, &facts)?;
    Ok(())
}
