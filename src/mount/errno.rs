//! The only errno table: every fault of a volume and every exception of the KMS has its line.

use libc::{
    E2BIG, EACCES, EBADMSG, EBUSY, EFBIG, EINVAL, EIO, EKEYEXPIRED, EKEYREJECTED, EKEYREVOKED,
    ENAMETOOLONG, ENODATA, ENOKEY, ENOTEMPTY, EOPNOTSUPP, EPERM, EROFS, ESTALE, ETIMEDOUT, EUCLEAN,
};

use crate::kms::service::ExceptionKind;
use crate::volume::VolumeError;

/// The errno of an exception; `None`: it means success.
pub fn of_exception(kind: ExceptionKind) -> Option<i32> {
    Some(match kind {
        ExceptionKind::NotFound => ENOKEY,
        ExceptionKind::Disabled => EKEYREVOKED,
        ExceptionKind::KmsInvalidState => EKEYEXPIRED,
        ExceptionKind::IncorrectKey | ExceptionKind::InvalidCiphertext => EKEYREJECTED,
        ExceptionKind::AccessDenied | ExceptionKind::InvalidGrantToken => EACCES,
        ExceptionKind::InvalidKeyUsage
        | ExceptionKind::Conflict
        | ExceptionKind::ExpiredImportToken
        | ExceptionKind::IncorrectKeyMaterial
        | ExceptionKind::InvalidGrantId
        | ExceptionKind::InvalidImportToken
        | ExceptionKind::MalformedPolicyDocument
        | ExceptionKind::Serialization
        | ExceptionKind::Tag
        | ExceptionKind::Validation
        | ExceptionKind::AlreadyExists
        | ExceptionKind::InvalidAliasName
        | ExceptionKind::InvalidArn
        | ExceptionKind::InvalidMarker
        | ExceptionKind::LimitExceeded
        | ExceptionKind::UnknownOperation => EINVAL,
        ExceptionKind::UnsupportedOperation => EOPNOTSUPP,
        ExceptionKind::DryRunOperation => return None,
        ExceptionKind::DependencyTimeout
        | ExceptionKind::KeyUnavailable
        | ExceptionKind::KmsInternal
        | ExceptionKind::Throttling => ETIMEDOUT,
    })
}

/// The errno of a fault.
pub fn of(error: &VolumeError) -> i32 {
    match error {
        VolumeError::Backing { errno, .. } | VolumeError::Path { errno, .. } => {
            errno.raw_os_error()
        }
        // A dry run that would have succeeded is no fault where errnos are asked for.
        VolumeError::Key(exception) => of_exception(exception.kind()).unwrap_or(0),
        VolumeError::ChunkUnverified { .. }
        | VolumeError::GroupUnverified { .. }
        | VolumeError::NameUnverified
        | VolumeError::CommitmentMismatch => EBADMSG,
        VolumeError::GroupMissing { .. }
        | VolumeError::HeaderMalformed { .. }
        | VolumeError::WrongType { .. }
        | VolumeError::Malformed(_)
        | VolumeError::LengthMismatch { .. }
        | VolumeError::NotAVolume { .. }
        | VolumeError::UnknownVersion { .. }
        | VolumeError::UnknownFeature { .. }
        | VolumeError::VolumeDamaged { .. } => EUCLEAN,
        VolumeError::HeaderTooLarge { .. } => E2BIG,
        VolumeError::StaleGeneration { .. } | VolumeError::StaleCiphertext => ESTALE,
        VolumeError::NotOwner => EPERM,
        VolumeError::ReadOnly => EROFS,
        VolumeError::NoncesUsedUp { .. } => EKEYEXPIRED,
        VolumeError::FileTooLarge { .. } => EFBIG,
        VolumeError::NameTooLong { .. } => ENAMETOOLONG,
        VolumeError::NoAttribute => ENODATA,
        VolumeError::NoDataKey | VolumeError::NotSupported { .. } => EOPNOTSUPP,
        VolumeError::NotEmpty | VolumeError::NotAnEmptyDirectory { .. } => ENOTEMPTY,
        VolumeError::VolumeExists { .. } => libc::EEXIST,
        VolumeError::Invalid { .. } => EINVAL,
        VolumeError::VolumeBusy { .. } | VolumeError::ResealRuns => EBUSY,
    }
}

/// What a panic in a handler becomes: a fault of the program, not of the data.
pub const PANIC: i32 = EIO;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_exception_has_its_errno_and_only_a_dry_run_has_none() {
        for kind in ExceptionKind::ALL {
            assert_eq!(
                of_exception(*kind).is_none(),
                *kind == ExceptionKind::DryRunOperation
            );
        }
    }

    #[test]
    fn the_documented_errnos_are_these() {
        for (kind, errno) in [
            (ExceptionKind::NotFound, ENOKEY),
            (ExceptionKind::Disabled, EKEYREVOKED),
            (ExceptionKind::KmsInvalidState, EKEYEXPIRED),
            (ExceptionKind::IncorrectKey, EKEYREJECTED),
            (ExceptionKind::InvalidCiphertext, EKEYREJECTED),
            (ExceptionKind::AccessDenied, EACCES),
            (ExceptionKind::Validation, EINVAL),
            (ExceptionKind::UnsupportedOperation, EOPNOTSUPP),
            (ExceptionKind::KmsInternal, ETIMEDOUT),
        ] {
            assert_eq!(of_exception(kind), Some(errno));
        }
    }
}
