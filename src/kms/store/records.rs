//! What a keystore keeps, as typed records.
//!
//! The facts of a key or grant that only code looks at are one JSON text in their row: a new fact
//! needs no new column, and one compare-and-swap on the row's revision guards them all.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::super::algorithm::Material;
use super::super::context::EncryptionContext;
use super::super::ids::{AliasArn, KeyArn};
use super::super::policy::Policy;
use super::super::shape::structures;
use super::super::spec::{KeyOrigin, KeySpec, KeyState, KeyUsage, api_enum};
use crate::secret::SecretBytes;

/// Everything about a key but its material. Times are milliseconds since 1970.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct KeyFacts {
    /// Its spec.
    pub spec: KeySpec,
    /// What it is for.
    pub usage: KeyUsage,
    /// Where its material comes from.
    pub origin: KeyOrigin,
    /// Its state.
    pub state: KeyState,
    /// Its description.
    pub description: String,
    /// When it was made.
    pub created: i64,
    /// When it will be deleted, while that is pending.
    #[serde(default)]
    pub deletion: Option<i64>,
    /// Its policy, as it was given; `None`: the default policy.
    #[serde(default)]
    pub policy: Option<String>,
    /// Its tags, in the order in which they were made.
    #[serde(default)]
    pub tags: Vec<(String, String)>,
    /// Automatic rotation.
    #[serde(default)]
    pub rotation: Rotation,
    /// How often it was rotated on demand.
    #[serde(default)]
    pub on_demand_rotations: u32,
}

/// Automatic rotation of a key.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rotation {
    /// The period in days, also while rotation is off.
    pub days: Option<u32>,
    /// When the key will be rotated next; `None`: rotation is off.
    pub next: Option<i64>,
}

api_enum! {
    /// Which generation of a key's material is in use.
    MaterialState { NON_CURRENT, CURRENT, PENDING_ROTATION }
}

api_enum! {
    /// What made a generation of key material.
    RotationType { AUTOMATIC, ON_DEMAND }
}

api_enum! {
    /// Whether imported material expires.
    ExpirationModel { KEY_MATERIAL_EXPIRES, KEY_MATERIAL_DOES_NOT_EXPIRE }
}

/// What is known of one generation of key material.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct MaterialFacts {
    /// Whether new ciphertexts are made with it.
    pub state: MaterialState,
    /// When it became current; `None`: it is the first, or is not current yet.
    #[serde(default)]
    pub rotated: Option<(i64, RotationType)>,
    /// When imported material goes.
    #[serde(default)]
    pub valid_to: Option<i64>,
    /// What whoever imported it says of it.
    #[serde(default)]
    pub description: Option<String>,
    /// A commitment to imported material, which only the same material satisfies.
    #[serde(default)]
    pub commitment: Option<String>,
}

impl MaterialFacts {
    /// The facts of a key's first material.
    pub fn current() -> Self {
        Self {
            state: MaterialState::CURRENT,
            rotated: None,
            valid_to: None,
            description: None,
            commitment: None,
        }
    }
}

/// One generation of key material.
pub struct MaterialRecord {
    /// Its row.
    pub number: i64,
    /// Its id, of symmetric keys.
    pub id: Option<[u8; 32]>,
    /// What is known of it.
    pub facts: MaterialFacts,
    /// The material; `None`: imported material that was deleted or has expired.
    pub material: Option<Material>,
}

/// A KMS key with its material unsealed and everything that decides over its use.
pub struct KeyRecord {
    /// The key's ARN.
    pub arn: KeyArn,
    /// The number of changes so far.
    pub revision: i64,
    /// Its facts; the state is the one of the moment, PendingImport once material has expired.
    pub facts: KeyFacts,
    /// All generations of its material, in the order in which they were made.
    pub materials: Vec<MaterialRecord>,
    /// Its policy.
    pub policy: Arc<Policy>,
    /// Its grants, the oldest first.
    pub grants: Vec<Arc<GrantRecord>>,
    /// The names of its aliases.
    pub aliases: Vec<String>,
}

impl KeyRecord {
    /// The record of the current material, which is absent for a key that never had any.
    pub fn current_record(&self) -> Option<&MaterialRecord> {
        self.materials
            .iter()
            .find(|record| record.facts.state == MaterialState::CURRENT)
    }

    /// The current material, if it is there.
    pub fn current(&self) -> Option<&Material> {
        self.current_record()?.material.as_ref()
    }

    /// The id of the current material of a symmetric key.
    pub fn current_id(&self) -> Option<[u8; 32]> {
        self.current_record()?.id
    }

    /// The material with the id that stands in a blob.
    pub fn material(&self, wanted: &[u8; 32]) -> Option<&Material> {
        self.materials
            .iter()
            .find(|record| record.id.as_ref() == Some(wanted))?
            .material
            .as_ref()
    }
}

api_enum! {
    /// What a grant can allow.
    GrantOperation {
        Decrypt, Encrypt, GenerateDataKey, GenerateDataKeyWithoutPlaintext, ReEncryptFrom,
        ReEncryptTo, Sign, Verify, GetPublicKey, CreateGrant, RetireGrant, DescribeKey,
        GenerateDataKeyPair, GenerateDataKeyPairWithoutPlaintext, GenerateMac, VerifyMac,
        DeriveSharedSecret,
    }
}

structures! {
    /// What a grant asks of the encryption context.
    GrantConstraints {
        EncryptionContextSubset encryption_context_subset: Option<EncryptionContext>,
        EncryptionContextEquals encryption_context_equals: Option<EncryptionContext>,
        SourceArn source_arn: Option<String> [20..=512],
    }
}

/// A grant.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GrantRecord {
    /// 64 hexadecimal digits.
    pub id: String,
    /// The name that makes CreateGrant idempotent.
    pub name: Option<String>,
    /// When it was made: milliseconds since 1970.
    pub created: i64,
    /// Who may: the ARN of a principal.
    pub grantee: String,
    /// Who may retire it.
    pub retiring: Option<String>,
    /// The account whose principal made it.
    pub issuing_account: String,
    /// What the grantee may do, in the order given.
    pub operations: Vec<GrantOperation>,
    /// What is asked of the encryption context.
    pub constraints: Option<GrantConstraints>,
}

/// An alias as it is listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AliasRecord {
    /// The alias ARN.
    pub arn: AliasArn,
    /// The key it names.
    pub target: KeyArn,
    /// When it was made and changed last: milliseconds since 1970.
    pub created: i64,
    /// See `created`.
    pub updated: i64,
}

/// What became of a new alias.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AliasInserted {
    /// It is there.
    Done,
    /// The name was there before.
    Taken,
    /// The key has as many as it may have.
    TooMany,
}

/// A user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserRecord {
    /// The ARN: `arn:aws:iam::ACCOUNT:user/PATH/NAME`.
    pub arn: String,
    /// The account's number.
    pub account: String,
    /// The name.
    pub name: String,
    /// The unique id: `AIDA..`.
    pub id: String,
    /// The uid of this machine that acts as this user.
    pub uid: Option<u32>,
    /// When the user was made: milliseconds since 1970.
    pub created: i64,
}

/// What a principal is known by and may do by itself.
#[derive(Debug, Default)]
pub struct PrincipalRecord {
    /// The user, if the principal is one that is known.
    pub user: Option<UserRecord>,
    /// The identity policies by name.
    pub policies: BTreeMap<String, Arc<Policy>>,
}

/// An access key.
pub struct AccessKeyRecord {
    /// `AKIA..`.
    pub id: String,
    /// Who it belongs to: a user, or the account's root.
    pub principal: String,
    /// The account's number.
    pub account: String,
    /// Whether it may be used.
    pub active: bool,
    /// When it was made: milliseconds since 1970.
    pub created: i64,
    /// The secret.
    pub secret: SecretBytes,
}

/// What was done last with a key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastUsage {
    /// The operation.
    pub operation: String,
    /// When: milliseconds since 1970.
    pub at: i64,
    /// The id of its audit event.
    pub event: String,
    /// The id of the request.
    pub request: String,
}
