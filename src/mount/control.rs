//! Control attributes: `user.kms.*` to one [`Control`] value and back.
//!
//! The attributes, the ioctl and `rekeyfs rekey` all end in [`apply`].

use std::collections::{HashMap, VecDeque};

use parking_lot::Mutex;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::kms::service::{
    Caller, EncryptionAlgorithm, Exception, ReEncryptRequest, ReEncryptResponse, parse_context,
    parse_re_encrypt,
};
use crate::volume::{Envelope, Id, RewrapRequest, VolumeError};

/// All attributes with this prefix are reserved.
pub const PREFIX: &str = "user.kms.";

/// The control attributes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attribute {
    /// `user.kms.key_id`
    KeyId,
    /// `user.kms.encryption_context`
    EncryptionContext,
    /// `user.kms.encryption_algorithm`
    EncryptionAlgorithm,
    /// `user.kms.re_encrypt`
    ReEncrypt,
    /// `user.kms.ciphertext_blob`
    CiphertextBlob,
    /// `user.kms.data_key`
    DataKey,
    /// `user.kms.reseal`
    Reseal,
    /// `user.kms.error`
    Error,
}

impl Attribute {
    /// The control attribute with a name: `None` when the name is not reserved at all,
    /// `Some(None)` when it is reserved and unknown.
    pub fn parse(name: &[u8]) -> Option<Option<Self>> {
        let rest = name.strip_prefix(PREFIX.as_bytes())?;
        Some(match rest {
            b"key_id" => Some(Self::KeyId),
            b"encryption_context" => Some(Self::EncryptionContext),
            b"encryption_algorithm" => Some(Self::EncryptionAlgorithm),
            b"re_encrypt" => Some(Self::ReEncrypt),
            b"ciphertext_blob" => Some(Self::CiphertextBlob),
            b"data_key" => Some(Self::DataKey),
            b"reseal" => Some(Self::Reseal),
            b"error" => Some(Self::Error),
            _ => None,
        })
    }
}

/// What is asked of an object.
#[derive(Debug)]
pub enum Control {
    /// ReEncrypt of its data key.
    Rewrap(Box<RewrapRequest>),
    /// A new data key.
    Reseal,
    /// Nothing: only what the header says.
    Query,
}

impl Control {
    /// What setting `attribute` to `value` asks for.
    ///
    /// # Errors
    /// [`VolumeError::NotSupported`] for attributes that cannot be set, the exception for values
    /// that mean nothing.
    pub fn from_attribute(attribute: Attribute, value: &[u8]) -> Result<Self, VolumeError> {
        if matches!(
            attribute,
            Attribute::EncryptionAlgorithm
                | Attribute::CiphertextBlob
                | Attribute::Reseal
                | Attribute::Error
        ) {
            return Err(VolumeError::NotSupported {
                what: "setting a read-only attribute",
            });
        }
        let text = value_text(value)?;
        let rewrap = |re_encrypt, keep| {
            Ok(Self::Rewrap(Box::new(RewrapRequest {
                re_encrypt,
                keep,
                expected_generation: None,
            })))
        };
        match attribute {
            Attribute::KeyId if text.is_empty() => {
                Err(Exception::validation("a key identifier must not be empty").into())
            }
            Attribute::KeyId => rewrap(
                ReEncryptRequest {
                    destination_key_id: text.to_owned(),
                    ..ReEncryptRequest::default()
                },
                true,
            ),
            Attribute::EncryptionContext if text.trim().is_empty() => {
                Err(Exception::validation("an encryption context, or {} for none").into())
            }
            Attribute::EncryptionContext => rewrap(
                ReEncryptRequest {
                    destination_encryption_context: Some(parse_context(text)?),
                    ..ReEncryptRequest::default()
                },
                true,
            ),
            Attribute::ReEncrypt => rewrap(parse_re_encrypt(text)?, false),
            Attribute::DataKey if text == "new" => Ok(Self::Reseal),
            Attribute::DataKey => {
                Err(Exception::validation("the only value of user.kms.data_key is new").into())
            }
            Attribute::EncryptionAlgorithm
            | Attribute::CiphertextBlob
            | Attribute::Reseal
            | Attribute::Error => Err(VolumeError::NotSupported {
                what: "setting a read-only attribute",
            }),
        }
    }
}

/// A value as text; one trailing newline or NUL does not count.
fn value_text(value: &[u8]) -> Result<&str, VolumeError> {
    let trimmed = value
        .strip_suffix(b"\n")
        .or_else(|| value.strip_suffix(b"\0"))
        .unwrap_or(value);
    std::str::from_utf8(trimmed).map_err(|_| Exception::validation("the value is not UTF-8").into())
}

/// What became of a request.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// The header's generation now.
    pub generation: u64,
    /// The key that wraps the data key now.
    pub key_arn: String,
    /// The algorithm that wraps it.
    pub algorithm: EncryptionAlgorithm,
    /// ReEncrypt's response.
    pub response: Option<ReEncryptResponse>,
    /// Whether it was a dry run, which would have succeeded.
    pub dry_run: bool,
}

/// A request that failed.
#[derive(Debug)]
pub struct Failure {
    /// Why.
    pub error: VolumeError,
}

impl From<VolumeError> for Failure {
    fn from(error: VolumeError) -> Self {
        Self { error }
    }
}

/// Does what is asked, for `caller`, who may if `is_owner`. `reseal` does what there is to do for a
/// new data key, or begins it.
///
/// # Errors
/// [`VolumeError::NotOwner`], those of [`Envelope::rewrap`] and of `reseal`.
pub fn apply(
    envelope: &Envelope,
    caller: &Caller,
    is_owner: bool,
    control: &Control,
    reseal: impl FnOnce() -> Result<(), VolumeError>,
) -> Result<Outcome, Failure> {
    let response = match control {
        Control::Query => None,
        Control::Rewrap(_) | Control::Reseal if !is_owner => {
            return Err(VolumeError::NotOwner.into());
        }
        Control::Reseal => {
            reseal()?;
            None
        }
        Control::Rewrap(request) => Some(envelope.rewrap(caller, request)?),
    };
    let header = envelope.header();
    let wrapped = &header.current().wrapped;
    Ok(Outcome {
        generation: header.generation,
        key_arn: wrapped.key_arn.clone(),
        algorithm: wrapped.algorithm,
        dry_run: response
            .as_ref()
            .is_some_and(|rewrapped| rewrapped.response.is_none()),
        response: response.and_then(|rewrapped| rewrapped.response),
    })
}

/// The last outcome of each caller on each object; the oldest go when there are too many.
#[derive(Default)]
pub struct Outcomes(Mutex<Table>);

/// By object and uid, and the order in which they came.
type Table = (HashMap<(Id, u32), Recorded>, VecDeque<(Id, u32)>);

#[derive(Debug, Clone, Default)]
struct Recorded {
    re_encrypt: Option<String>,
    error: Option<String>,
}

/// Outcomes that are kept.
const KEPT: usize = 4096;

impl Outcomes {
    fn update(&self, object: Id, uid: u32, change: impl FnOnce(&mut Recorded)) {
        let mut guard = self.0.lock();
        let (table, order) = &mut *guard;
        if !table.contains_key(&(object, uid)) {
            order.push_back((object, uid));
            if order.len() > KEPT
                && let Some(oldest) = order.pop_front()
            {
                table.remove(&oldest);
            }
        }
        change(table.entry((object, uid)).or_default());
    }

    /// Remembers what became of a request.
    pub fn record(&self, object: Id, uid: u32, result: &Result<Outcome, Failure>) {
        self.update(object, uid, |recorded| match result {
            Ok(Outcome {
                response: Some(response),
                ..
            }) => {
                recorded.re_encrypt = serde_json::to_string(response).ok();
            }
            Ok(Outcome { dry_run: true, .. }) => {
                recorded.re_encrypt = Some(exception_json(&Exception::dry_run()));
            }
            Ok(_) => {}
            Err(Failure {
                error: VolumeError::Key(exception),
            }) => {
                recorded.error = Some(exception.to_string());
            }
            Err(failure) => recorded.error = Some(failure.error.to_string()),
        });
    }

    /// Remembers what the key service refused a caller.
    pub fn record_refusal(&self, object: Id, uid: u32, exception: &Exception) {
        self.update(object, uid, |recorded| {
            recorded.error = Some(exception.to_string());
        });
    }

    /// Forgets the caller's last failure.
    pub fn clear_error(&self, object: Id, uid: u32) {
        self.update(object, uid, |recorded| recorded.error = None);
    }

    fn find(&self, object: Id, uid: u32) -> Recorded {
        self.0
            .lock()
            .0
            .get(&(object, uid))
            .cloned()
            .unwrap_or_default()
    }
}

fn exception_json(exception: &Exception) -> String {
    let mut map = serde_json::Map::new();
    map.insert("__type".into(), exception.kind().name().into());
    if let Some(message) = exception.message() {
        map.insert("message".into(), message.into());
    }
    serde_json::Value::Object(map).to_string()
}

/// Seconds since 1970 as RFC 3339.
pub fn date(seconds: i64) -> String {
    OffsetDateTime::from_unix_timestamp(seconds)
        .ok()
        .and_then(|date| date.format(&Rfc3339).ok())
        .unwrap_or_else(|| seconds.to_string())
}

/// The value of a control attribute for a caller; `reseal` tells how far a reseal is.
///
/// # Errors
/// [`VolumeError::NoAttribute`] when there is none.
pub fn read(
    envelope: &Envelope,
    outcomes: &Outcomes,
    uid: u32,
    attribute: Attribute,
    reseal: impl FnOnce() -> Option<String>,
) -> Result<Vec<u8>, VolumeError> {
    let header = envelope.header();
    let epoch = header.current();
    let wrapped = &epoch.wrapped;
    let recorded = || outcomes.find(header.object, uid);
    let text = match attribute {
        Attribute::KeyId => Some(wrapped.key_arn.clone()),
        Attribute::EncryptionContext => Some(wrapped.context.to_json()),
        Attribute::EncryptionAlgorithm => Some(wrapped.algorithm.name().to_owned()),
        Attribute::CiphertextBlob => return Ok(wrapped.blob.clone()),
        Attribute::DataKey => Some(format!(
            "epoch={} created={}",
            epoch.number,
            date(epoch.made_at.unwrap_or(header.created))
        )),
        Attribute::Reseal => reseal(),
        Attribute::ReEncrypt => recorded().re_encrypt,
        Attribute::Error => recorded().error,
    };
    text.map(String::into_bytes).ok_or(VolumeError::NoAttribute)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rewrap(attribute: Attribute, value: &str) -> RewrapRequest {
        match Control::from_attribute(attribute, value.as_bytes()) {
            Ok(Control::Rewrap(request)) => *request,
            other => panic!("{value}: {other:?}"),
        }
    }

    #[test]
    fn one_trailing_newline_or_nul_is_ignored() {
        for value in ["alias/new", "alias/new\n", "alias/new\0"] {
            let request = rewrap(Attribute::KeyId, value);
            assert_eq!(request.re_encrypt.destination_key_id, "alias/new");
            assert!(request.keep);
        }
    }

    #[test]
    fn a_context_is_json_or_shorthand_and_braces_clear_it() {
        for (value, pairs) in [("a=b,c=d", 2), (r#"{"a":"b"}"#, 1), ("{}", 0)] {
            let context = rewrap(Attribute::EncryptionContext, value)
                .re_encrypt
                .destination_encryption_context;
            assert_eq!(
                context.map(|context| context.pairs().len()),
                Some(pairs),
                "{value}"
            );
        }
    }

    #[test]
    fn re_encrypt_takes_json_and_shorthand() {
        for value in [
            r#"{"DestinationKeyId":"k","DestinationEncryptionAlgorithm":"SM2PKE","DryRun":true}"#,
            "DestinationKeyId=k,DestinationEncryptionAlgorithm=SM2PKE,DryRun=true",
        ] {
            let request = rewrap(Attribute::ReEncrypt, value);
            assert_eq!(request.re_encrypt.destination_key_id, "k");
            assert_eq!(request.re_encrypt.dry_run, Some(true));
            assert_eq!(
                request.re_encrypt.destination_encryption_algorithm,
                Some(EncryptionAlgorithm::SM2PKE)
            );
            assert!(!request.keep);
        }
    }

    #[test]
    fn values_that_mean_nothing_are_refused() {
        for (attribute, value) in [
            (Attribute::KeyId, ""),
            (Attribute::EncryptionContext, "no pairs"),
            (Attribute::EncryptionContext, r#"{"a":1}"#),
            (Attribute::ReEncrypt, "{}"),
            (
                Attribute::ReEncrypt,
                r#"{"DestinationKeyId":"k","Bogus":"x"}"#,
            ),
            (Attribute::ReEncrypt, "{"),
            (Attribute::DataKey, "old"),
            (Attribute::CiphertextBlob, "x"),
            (Attribute::Error, "x"),
        ] {
            let result = Control::from_attribute(attribute, value.as_bytes());
            assert!(result.is_err(), "{attribute:?} {value}");
        }
        assert!(Control::from_attribute(Attribute::KeyId, &[0xff]).is_err());
    }

    #[test]
    fn reserved_names_are_known_or_unknown() {
        assert_eq!(
            Attribute::parse(b"user.kms.key_id"),
            Some(Some(Attribute::KeyId))
        );
        assert_eq!(Attribute::parse(b"user.kms.bogus"), Some(None));
        assert_eq!(Attribute::parse(b"user.comment"), None);
    }
}
