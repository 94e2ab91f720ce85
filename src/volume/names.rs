//! Sealed names and symlink targets. FORMAT.md, section 7.
//!
//! Pure: a plain name to what stands in the backing directory, and back.

use std::ffi::{CString, OsStr};
use std::os::unix::ffi::OsStrExt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;

use super::error::VolumeError;
use crate::primitives::{SivKey, random, sha256};

/// The header of a directory.
pub const DIRECTORY_HEADER: &std::ffi::CStr = c"rekeyfs.dir";
/// The volume file.
pub const VOLUME_FILE: &std::ffi::CStr = c"rekeyfs.volume";
/// The directory of long symlink targets.
pub const TARGETS: &std::ffi::CStr = c"rekeyfs.targets";
const LONG: &str = "rekeyfs.long.";
const COMPANION: &str = "rekeyfs.name.";
const TEMPORARY: &str = "rekeyfs.tmp.";
const LONG_TARGET: &str = "rekeyfs.target.";

/// Bytes of the longest plain name (POSIX NAME_MAX).
pub const NAME_MAX: usize = 255;
/// Bytes of the longest plain name that is stored without a companion.
const SHORT_NAME: usize = 175;
/// Bytes of the longest plain symlink target (PATH_MAX with its NUL).
pub const TARGET_MAX: usize = 4095;
/// Bytes of the longest plain target that a stored symlink itself can hold.
const SHORT_TARGET: usize = 3039;
const TARGET_OVERHEAD: usize = 32;

/// A name in the backing directory.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct StoredName {
    /// The name of the stored object.
    pub name: CString,
    /// For a long name: the companion's name and content.
    pub companion: Option<(CString, Vec<u8>)>,
}

/// What a name found in a backing directory is.
#[derive(Debug, PartialEq, Eq)]
pub enum Found {
    /// A sealed name.
    Sealed(Vec<u8>),
    /// An object with a long name: the name of its companion.
    Long(CString),
    /// One of ours, never shown.
    Internal,
    /// A temporary name: left by a crash, unless the daemon is at work on it.
    Temporary,
    /// Nobody's.
    Foreign,
}

fn c_string(text: String) -> CString {
    CString::new(text).expect("internal error: stored names are ASCII without NUL")
}

/// Seals a name of a directory.
///
/// # Errors
/// [`VolumeError::NameTooLong`] above 255 bytes, [`VolumeError::Invalid`] when it is no name.
pub fn seal_name(key: &SivKey, name: &OsStr) -> Result<StoredName, VolumeError> {
    let bytes = name.as_bytes();
    if bytes.len() > NAME_MAX {
        return Err(VolumeError::NameTooLong { limit: NAME_MAX });
    }
    if bytes.is_empty() || bytes == b"." || bytes == b".." || bytes.contains(&b'/') {
        return Err(VolumeError::Invalid { what: "a name" });
    }
    let sealed = key.seal(&[b"name"], bytes);
    if bytes.len() <= SHORT_NAME {
        return Ok(StoredName {
            name: c_string(BASE64.encode(sealed)),
            companion: None,
        });
    }
    let hash = BASE64.encode(sha256(&[&sealed]));
    Ok(StoredName {
        name: c_string(format!("{LONG}{hash}")),
        companion: Some((c_string(format!("{COMPANION}{hash}")), sealed)),
    })
}

/// Tells what a name in a backing directory is.
pub fn classify(stored: &[u8]) -> Found {
    let Ok(text) = std::str::from_utf8(stored) else {
        return Found::Foreign;
    };
    if let Some(hash) = text.strip_prefix(LONG) {
        return Found::Long(c_string(format!("{COMPANION}{}", hash.replace('\0', ""))));
    }
    if text.starts_with(TEMPORARY) {
        return Found::Temporary;
    }
    if text.starts_with("rekeyfs.") {
        return Found::Internal;
    }
    match BASE64.decode(text) {
        Ok(sealed) if sealed.len() > 16 => Found::Sealed(sealed),
        _ => Found::Foreign,
    }
}

/// Whether a name is that of a companion.
pub fn is_companion(stored: &std::ffi::CStr) -> bool {
    stored.to_bytes().starts_with(COMPANION.as_bytes())
}

/// Opens a sealed name.
///
/// # Errors
/// [`VolumeError::NameUnverified`].
pub fn open_name(key: &SivKey, sealed: &[u8]) -> Result<Vec<u8>, VolumeError> {
    key.open(&[b"name"], sealed)
        .map_err(|_| VolumeError::NameUnverified)
}

/// A fresh temporary name.
pub fn temporary() -> CString {
    c_string(format!("{TEMPORARY}{}", BASE64.encode(random::<16>())))
}

/// A symlink target as it is stored.
#[derive(Debug, PartialEq, Eq)]
pub enum StoredTarget {
    /// In the stored symlink.
    Short(CString),
    /// In a file of `rekeyfs.targets`; the stored symlink refers to it.
    Long {
        /// The stored symlink's target.
        reference: CString,
        /// The file's name.
        file: CString,
        /// The file's content.
        sealed: Vec<u8>,
    },
}

/// Seals a symlink's target.
///
/// # Errors
/// [`VolumeError::NameTooLong`] above 4,095 bytes.
pub fn seal_target(key: &SivKey, target: &[u8]) -> Result<StoredTarget, VolumeError> {
    if target.len() > TARGET_MAX {
        return Err(VolumeError::NameTooLong { limit: TARGET_MAX });
    }
    let nonce = random::<16>();
    let sealed = [&nonce[..], &key.seal(&[b"target", &nonce], target)].concat();
    if target.len() <= SHORT_TARGET {
        return Ok(StoredTarget::Short(c_string(BASE64.encode(sealed))));
    }
    let file = BASE64.encode(random::<16>());
    Ok(StoredTarget::Long {
        reference: c_string(format!("{LONG_TARGET}{file}.{}", target.len())),
        file: c_string(file),
        sealed,
    })
}

/// The file in `rekeyfs.targets` that a stored target refers to, if it does.
pub fn target_file(stored: &[u8]) -> Option<CString> {
    let rest = std::str::from_utf8(stored)
        .ok()?
        .strip_prefix(LONG_TARGET)?;
    let (file, _) = rest.split_once('.')?;
    let well_formed = file.len() == 22 && BASE64.decode(file).is_ok();
    well_formed.then(|| c_string(file.to_owned()))
}

/// Decodes the target that stands in a stored symlink.
///
/// # Errors
/// [`VolumeError::NameUnverified`] when it is not base64.
pub fn decode_target(stored: &[u8]) -> Result<Vec<u8>, VolumeError> {
    BASE64
        .decode(stored)
        .map_err(|_| VolumeError::NameUnverified)
}

/// Opens a sealed target.
///
/// # Errors
/// [`VolumeError::NameUnverified`].
pub fn open_target(key: &SivKey, sealed: &[u8]) -> Result<Vec<u8>, VolumeError> {
    let (nonce, sealed) = sealed
        .split_first_chunk::<16>()
        .ok_or(VolumeError::NameUnverified)?;
    key.open(&[b"target", nonce], sealed)
        .map_err(|_| VolumeError::NameUnverified)
}

/// The plain length of a stored target, without opening it. `stored` is the length of the stored
/// symlink's target; `target` is asked for only when it may be a reference.
pub fn target_len(stored: u64, target: impl FnOnce() -> Option<Vec<u8>>) -> u64 {
    // A reference is 15 + 22 + 1 characters and the digits of a number above 3,039; no target
    // sealed into 42 characters of base64 exists, since 42 mod 4 is 2 and 31 bytes are too few.
    let reference = LONG_TARGET.len() + 22 + 1 + 4;
    if stored == reference as u64
        && let Some(text) = target().and_then(|bytes| String::from_utf8(bytes).ok())
        && let Some(len) = text.rsplit_once('.').and_then(|(_, len)| len.parse().ok())
    {
        return len;
    }
    (stored * 3 / 4).saturating_sub(TARGET_OVERHEAD as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::primitives::random_secret;

    fn key() -> SivKey {
        SivKey::new(random_secret())
    }

    #[test]
    fn names_of_every_length_read_back_and_fit() {
        let key = key();
        for len in 1..=NAME_MAX {
            let name = vec![b'n'; len];
            let stored = seal_name(&key, OsStr::from_bytes(&name)).expect("a name");
            assert!(stored.name.as_bytes().len() <= NAME_MAX, "{len}");
            let sealed = match (classify(stored.name.as_bytes()), &stored.companion) {
                (Found::Sealed(sealed), None) => sealed,
                (Found::Long(companion), Some((expected, sealed))) => {
                    assert_eq!(&companion, expected);
                    sealed.clone()
                }
                other => panic!("{len}: {other:?}"),
            };
            assert_eq!(open_name(&key, &sealed).ok(), Some(name));
        }
    }

    #[test]
    fn what_is_no_name_is_refused() {
        let key = key();
        for bad in ["", ".", "..", "a/b"] {
            assert!(seal_name(&key, OsStr::new(bad)).is_err(), "{bad:?}");
        }
        assert!(matches!(
            seal_name(&key, OsStr::new(&"x".repeat(256))),
            Err(VolumeError::NameTooLong { .. })
        ));
    }

    #[test]
    fn equal_names_differ_between_directories() {
        let name = OsStr::new("same");
        assert_ne!(seal_name(&key(), name).ok(), seal_name(&key(), name).ok());
    }

    #[test]
    fn foreign_and_internal_names_are_told_apart() {
        assert_eq!(classify(b"lost+found"), Found::Foreign);
        assert_eq!(classify(b".nfs0001"), Found::Foreign);
        assert_eq!(classify(b"short"), Found::Foreign);
        assert_eq!(classify(DIRECTORY_HEADER.to_bytes()), Found::Internal);
        assert_eq!(classify(temporary().as_bytes()), Found::Temporary);
        assert_eq!(classify(&[0xff, 0xfe]), Found::Foreign);
    }

    #[test]
    fn targets_of_every_length_read_back_with_their_length() {
        let key = key();
        for len in (1..200).chain(3030..3050).chain([4094, TARGET_MAX]) {
            let target = vec![b't'; len];
            match seal_target(&key, &target).expect("a target") {
                StoredTarget::Short(stored) => {
                    let bytes = stored.as_bytes();
                    assert!(bytes.len() <= 4095);
                    let none = || None;
                    assert_eq!(target_len(bytes.len() as u64, none), len as u64);
                    let sealed = decode_target(bytes).expect("base64");
                    assert_eq!(open_target(&key, &sealed).ok(), Some(target));
                }
                StoredTarget::Long {
                    reference,
                    file,
                    sealed,
                } => {
                    let bytes = reference.as_bytes();
                    assert_eq!(target_file(bytes), Some(file));
                    let same = || Some(bytes.to_vec());
                    assert_eq!(target_len(bytes.len() as u64, same), len as u64);
                    assert_eq!(open_target(&key, &sealed).ok(), Some(target));
                }
            }
        }
    }
}
