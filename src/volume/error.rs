//! What can go wrong with a volume: facts, no advice and no errno.

use std::path::PathBuf;

use crate::codec::Malformed;
use crate::kms::service::Exception;

/// The faults of volumes and objects.
#[derive(Debug, Clone, thiserror::Error)]
#[allow(
    missing_docs,
    reason = "the messages say what each variant and field is"
)]
pub enum VolumeError {
    #[error("{operation}: {errno}")]
    Backing {
        operation: &'static str,
        errno: rustix::io::Errno,
    },
    #[error("{0}")]
    Key(Exception),
    #[error("chunk {index} does not verify")]
    ChunkUnverified { index: u64 },
    #[error("entry page of group {group} does not verify")]
    GroupUnverified { group: u64 },
    #[error("group {group} is absent, and nothing says that it may be")]
    GroupMissing { group: u64 },
    #[error("a name, target or attribute does not verify")]
    NameUnverified,
    #[error("the data key is not the one that the header was made with")]
    CommitmentMismatch,
    #[error("no valid header: slot A: {a}; slot B: {b}")]
    HeaderMalformed { a: Malformed, b: Malformed },
    #[error("the header is of another kind of object: expected type {expected}, found {found}")]
    WrongType { expected: u8, found: u8 },
    #[error("{0}")]
    Malformed(Malformed),
    #[error("length does not match: recorded {recorded} bytes, stored {stored}")]
    LengthMismatch { recorded: u64, stored: u64 },
    #[error("the header would need {needed} bytes, a slot has {slot}")]
    HeaderTooLarge { needed: usize, slot: usize },
    #[error("expected header generation {expected}, found {found}")]
    StaleGeneration { expected: u64, found: u64 },
    #[error("the given ciphertext is not the current one")]
    StaleCiphertext,
    #[error("a reseal of the object runs already")]
    ResealRuns,
    #[error("not the owner of the object")]
    NotOwner,
    #[error("the volume is mounted read-only")]
    ReadOnly,
    #[error("group {group} has used up the nonces of its data key")]
    NoncesUsedUp { group: u64 },
    #[error("a file cannot be longer than {limit} bytes")]
    FileTooLarge { limit: u64 },
    #[error("a name or target is longer than {limit} bytes")]
    NameTooLong { limit: usize },
    #[error("no such attribute")]
    NoAttribute,
    #[error("this kind of object has no data key of its own")]
    NoDataKey,
    #[error("the directory is not empty")]
    NotEmpty,
    #[error("not supported: {what}")]
    NotSupported { what: &'static str },
    #[error("not valid: {what}")]
    Invalid { what: &'static str },
    #[error("{path}: not a rekeyfs volume")]
    NotAVolume { path: PathBuf },
    #[error("{path}: is not empty")]
    NotAnEmptyDirectory { path: PathBuf },
    #[error("{path}: is a rekeyfs volume already")]
    VolumeExists { path: PathBuf },
    #[error("{path}: has format version {found}, this program knows {known}")]
    UnknownVersion {
        path: PathBuf,
        found: u16,
        known: u16,
    },
    #[error("{path}: needs the feature {feature:?}, which this program does not know")]
    UnknownFeature { path: PathBuf, feature: String },
    #[error("{path}: damaged: {what}")]
    VolumeDamaged { path: PathBuf, what: Malformed },
    #[error("{path}: in use by another rekeyfs")]
    VolumeBusy { path: PathBuf },
    #[error("{path}: {errno}")]
    Path {
        path: PathBuf,
        errno: rustix::io::Errno,
    },
}

impl From<Exception> for VolumeError {
    fn from(exception: Exception) -> Self {
        Self::Key(exception)
    }
}

impl From<Malformed> for VolumeError {
    fn from(malformed: Malformed) -> Self {
        Self::Malformed(malformed)
    }
}

/// Names the operation that the backing filesystem refused.
pub(crate) fn failed(operation: &'static str) -> impl Fn(rustix::io::Errno) -> VolumeError {
    move |errno| VolumeError::Backing { operation, errno }
}
