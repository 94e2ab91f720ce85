//! Extended attributes: `user.` ones are sealed, others are stored as they are. FORMAT.md,
//! section 7.

use std::collections::BTreeSet;
use std::ffi::{CStr, CString, OsStr};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use parking_lot::MutexGuard;
use rustix::fs::XattrFlags;
use rustix::io::Errno;

use super::error::{VolumeError, failed};
use super::open::Volume;
use super::subkeys::{Keys, Live, ObjectKey};
use crate::codec::Reader;
use crate::primitives::random;

const STORED: &str = "user.rekeyfs.";
/// A directory's ACL for what is made in it.
pub(super) const DEFAULT_ACL: &std::ffi::CStr = c"system.posix_acl_default";
/// POSIX ACLs: the stored objects have them too, so that the backing filesystem keeps them in step
/// with the modes and hands them on; the kernel above judges by them.
const ACLS: [&[u8]; 2] = [b"system.posix_acl_access", b"system.posix_acl_default"];

/// A data key of an object, for its attributes.
#[derive(Clone, Copy)]
pub struct EpochKey<'a> {
    epoch: u32,
    key: &'a ObjectKey,
}

/// What has keys for its attributes.
pub trait AttributeKey {
    /// Runs `f` with the current key, and the one before it while a reseal runs. They stay in force
    /// meanwhile: what is sealed under one must not come after it was dropped.
    fn with_keys<T>(&self, f: impl FnOnce(EpochKey<'_>, Option<EpochKey<'_>>) -> T) -> T;
}

fn with_keys<T, R>(keys: &Keys<T>, f: impl FnOnce(EpochKey<'_>, Option<EpochKey<'_>>) -> R) -> R {
    fn of<T>(live: &Live<T>) -> EpochKey<'_> {
        EpochKey {
            epoch: live.number,
            key: &live.key,
        }
    }
    f(of(&keys.current), keys.old.as_deref().map(of))
}

impl AttributeKey for super::File {
    fn with_keys<T>(&self, f: impl FnOnce(EpochKey<'_>, Option<EpochKey<'_>>) -> T) -> T {
        with_keys(&self.keys_in_use(), f)
    }
}

impl AttributeKey for super::Directory {
    fn with_keys<T>(&self, f: impl FnOnce(EpochKey<'_>, Option<EpochKey<'_>>) -> T) -> T {
        with_keys(&self.keys_in_use(), f)
    }
}

fn c_name(name: &[u8]) -> Result<CString, VolumeError> {
    CString::new(name).map_err(|_| VolumeError::Invalid {
        what: "an attribute name",
    })
}

fn stored_name(key: &ObjectKey, name: &[u8]) -> Result<CString, VolumeError> {
    let hidden = key.xattr_names().sign(&[name]);
    c_name(format!("{STORED}{}", BASE64.encode(&hidden[..16])).as_bytes())
}

fn seal(current: EpochKey<'_>, name: &[u8], value: &[u8]) -> Vec<u8> {
    let EpochKey { epoch, key } = current;
    let nonce = random::<16>();
    let plain = [&(name.len() as u16).to_le_bytes()[..], name, value].concat();
    let sealed = key.xattr().seal(&[b"xattr", key.object(), &nonce], &plain);
    [&epoch.to_le_bytes()[..], &nonce, &sealed].concat()
}

fn open(key: &ObjectKey, sealed: &[u8]) -> Result<(Vec<u8>, Vec<u8>), VolumeError> {
    let parse = || -> Option<(Vec<u8>, Vec<u8>)> {
        let mut reader = Reader::new(sealed);
        reader.u32("epoch").ok()?;
        let nonce = reader.array::<16>("nonce").ok()?;
        let sealed = &sealed[reader.position()..];
        let plain = key
            .xattr()
            .open(&[b"xattr", key.object(), &nonce], sealed)
            .ok()?;
        let mut reader = Reader::new(&plain);
        let len = reader.u16("name length").ok()? as usize;
        let name = reader.take(len, "name").ok()?.to_vec();
        Some((name, plain[reader.position()..].to_vec()))
    };
    parse().ok_or(VolumeError::NameUnverified)
}

/// The epoch that a sealed value belongs to.
fn epoch_of(sealed: &[u8]) -> Option<u32> {
    Reader::new(sealed).u32("epoch").ok()
}

/// Whether an attribute is sealed.
fn is_sealed(name: &OsStr) -> bool {
    name.as_bytes().starts_with(b"user.")
}

/// What would be kept and not obeyed is refused.
fn check_namespace(name: &OsStr) -> Result<(), VolumeError> {
    if ACLS.contains(&name.as_bytes()) {
        return Ok(());
    }
    let known: [&[u8]; 3] = [b"user.", b"security.", b"trusted."];
    if known
        .iter()
        .any(|prefix| name.as_bytes().starts_with(prefix))
    {
        return Ok(());
    }
    Err(VolumeError::NotSupported {
        what: "attributes of this namespace",
    })
}

fn absent(errno: Errno) -> VolumeError {
    if errno == Errno::NODATA {
        VolumeError::NoAttribute
    } else {
        failed("read an attribute")(errno)
    }
}

impl Volume {
    /// Whether an object has sealed attributes; no key is needed to know.
    pub fn has_sealed_xattrs(&self, object: impl AsFd) -> Result<bool, VolumeError> {
        match self.stored_xattrs(object.as_fd(), true) {
            Ok(names) => Ok(!names.is_empty()),
            // More than a list can hold: then there are some.
            Err(VolumeError::Backing {
                errno: Errno::TOOBIG,
                ..
            }) => Ok(true),
            Err(e) => Err(e),
        }
    }

    fn stored_xattrs(
        &self,
        object: BorrowedFd<'_>,
        sealed: bool,
    ) -> Result<Vec<Vec<u8>>, VolumeError> {
        let names = match self.backing.xattr_names(object) {
            Err(Errno::OPNOTSUPP) => Vec::new(),
            result => result.map_err(failed("list attributes"))?,
        };
        Ok(names
            .split(|byte| *byte == 0)
            .filter(|name| {
                !name.is_empty() && (!name.starts_with(b"system.") || ACLS.contains(name))
            })
            .filter(|name| name.starts_with(b"user.") == sealed)
            .filter(|name| !sealed || name.starts_with(STORED.as_bytes()))
            .map(<[u8]>::to_vec)
            .collect())
    }

    /// The names of the attributes that are not sealed.
    ///
    /// # Errors
    /// The backing filesystem's.
    pub fn plain_xattr_names(&self, object: impl AsFd) -> Result<Vec<Vec<u8>>, VolumeError> {
        self.stored_xattrs(object.as_fd(), false)
    }

    /// The names of the sealed attributes.
    ///
    /// # Errors
    /// [`VolumeError::NameUnverified`], the key service's, the backing filesystem's.
    pub fn sealed_xattr_names(
        &self,
        object: impl AsFd,
        key: &impl AttributeKey,
    ) -> Result<Vec<Vec<u8>>, VolumeError> {
        let names = key.with_keys(|current, old| {
            // None is moved while they are listed; after a crash one may be there twice.
            let _moving = old.map(|_| self.moving_xattrs.lock());
            let mut names = BTreeSet::new();
            for stored in self.stored_xattrs(object.as_fd(), true)? {
                let value = self
                    .backing
                    .xattr(object.as_fd(), &c_name(&stored)?)
                    .map_err(absent)?;
                let of_old = old.filter(|old| epoch_of(&value) == Some(old.epoch));
                names.insert(open(of_old.unwrap_or(current).key, &value)?.0);
            }
            Ok::<_, VolumeError>(names)
        })?;
        Ok(names.into_iter().collect())
    }

    /// The value of an attribute that is not sealed.
    ///
    /// # Errors
    /// [`VolumeError::NoAttribute`], the backing filesystem's.
    pub fn plain_xattr(&self, object: impl AsFd, name: &OsStr) -> Result<Vec<u8>, VolumeError> {
        check_namespace(name)?;
        self.backing
            .xattr(object.as_fd(), &c_name(name.as_bytes())?)
            .map_err(absent)
    }

    /// The value of a sealed attribute.
    ///
    /// # Errors
    /// [`VolumeError::NoAttribute`], [`VolumeError::NameUnverified`], the key service's.
    pub fn sealed_xattr(
        &self,
        object: impl AsFd,
        key: &impl AttributeKey,
        name: &OsStr,
    ) -> Result<Vec<u8>, VolumeError> {
        let read = |key: &ObjectKey| {
            let stored = stored_name(key, name.as_bytes())?;
            let sealed = self
                .backing
                .xattr(object.as_fd(), &stored)
                .map_err(absent)?;
            let (found, value) = open(key, &sealed)?;
            if found != name.as_bytes() {
                return Err(VolumeError::NameUnverified);
            }
            Ok(value)
        };
        key.with_keys(|current, old| match (read(current.key), old) {
            (Err(VolumeError::NoAttribute), Some(old)) => match read(old.key) {
                // Moved between the two.
                Err(VolumeError::NoAttribute) => read(current.key),
                result => result,
            },
            (result, _) => result,
        })
    }

    /// Sets an attribute that is not sealed.
    ///
    /// # Errors
    /// The backing filesystem's; `ENODATA` and `EEXIST` for the flags.
    pub fn set_plain_xattr(
        &self,
        object: impl AsFd,
        name: &OsStr,
        value: &[u8],
        flags: XattrFlags,
    ) -> Result<(), VolumeError> {
        self.check_writable()?;
        self.note_other_change(object.as_fd());
        check_namespace(name)?;
        self.backing
            .set_xattr(object.as_fd(), &c_name(name.as_bytes())?, value, flags)
            .map_err(failed("set an attribute"))
    }

    /// Seals and sets an attribute.
    ///
    /// # Errors
    /// The key service's, the backing filesystem's; `ENODATA` and `EEXIST` for the flags.
    pub fn set_sealed_xattr(
        &self,
        object: impl AsFd,
        key: &impl AttributeKey,
        name: &OsStr,
        value: &[u8],
        flags: XattrFlags,
    ) -> Result<(), VolumeError> {
        self.check_writable()?;
        self.note_other_change(object.as_fd());
        key.with_keys(|current, old| {
            let _moving = self.move_first(object.as_fd(), current, old, name.as_bytes())?;
            let stored = stored_name(current.key, name.as_bytes())?;
            let sealed = seal(current, name.as_bytes(), value);
            self.backing
                .set_xattr(object.as_fd(), &stored, &sealed, flags)
                .map_err(failed("set an attribute"))
        })
    }

    /// Removes an attribute that is not sealed.
    ///
    /// # Errors
    /// [`VolumeError::NoAttribute`], the backing filesystem's.
    pub fn remove_plain_xattr(&self, object: impl AsFd, name: &OsStr) -> Result<(), VolumeError> {
        self.check_writable()?;
        self.note_other_change(object.as_fd());
        check_namespace(name)?;
        self.backing
            .remove_xattr(object.as_fd(), &c_name(name.as_bytes())?)
            .map_err(absent)
    }

    /// Removes a sealed attribute.
    ///
    /// # Errors
    /// [`VolumeError::NoAttribute`], the key service's.
    pub fn remove_sealed_xattr(
        &self,
        object: impl AsFd,
        key: &impl AttributeKey,
        name: &OsStr,
    ) -> Result<(), VolumeError> {
        self.check_writable()?;
        self.note_other_change(object.as_fd());
        key.with_keys(|current, old| {
            let _moving = self.move_first(object.as_fd(), current, old, name.as_bytes())?;
            let stored = stored_name(current.key, name.as_bytes())?;
            self.backing
                .remove_xattr(object.as_fd(), &stored)
                .map_err(absent)
        })
    }

    /// Before an attribute is changed while a reseal runs: moves it to the current key. Nobody
    /// else moves one while the guard is held.
    fn move_first(
        &self,
        object: BorrowedFd<'_>,
        current: EpochKey<'_>,
        old: Option<EpochKey<'_>>,
        name: &[u8],
    ) -> Result<Option<MutexGuard<'_, ()>>, VolumeError> {
        let Some(old) = old else {
            return Ok(None);
        };
        let moving = self.moving_xattrs.lock();
        let stored = stored_name(old.key, name)?;
        match self.backing.xattr(object, &stored) {
            Ok(sealed) => self.move_xattr(object, current, old, &stored, &sealed)?,
            Err(Errno::NODATA) => {}
            Err(errno) => return Err(absent(errno)),
        }
        Ok(Some(moving))
    }

    /// Seals an attribute under the current key and then takes the old one away: a crash leaves it
    /// once or twice.
    fn move_xattr(
        &self,
        object: BorrowedFd<'_>,
        current: EpochKey<'_>,
        old: EpochKey<'_>,
        stored: &CStr,
        sealed: &[u8],
    ) -> Result<(), VolumeError> {
        let (name, value) = open(old.key, sealed)?;
        let new = stored_name(current.key, &name)?;
        let sealed = seal(current, &name, &value);
        match self
            .backing
            .set_xattr(object, &new, &sealed, XattrFlags::CREATE)
        {
            // A crash came between the two, or somebody has set it since.
            Ok(()) | Err(Errno::EXIST) => {}
            Err(errno) => return Err(failed("move an attribute to the new data key")(errno)),
        }
        match self.backing.remove_xattr(object, stored) {
            Ok(()) | Err(Errno::NODATA) => Ok(()),
            Err(errno) => Err(failed("move an attribute to the new data key")(errno)),
        }
    }

    /// Moves all attributes to the current key; returns how many do not verify and stay as they
    /// are.
    ///
    /// # Errors
    /// The backing filesystem's: `ENOSPC` where an attribute does not fit twice.
    pub(super) fn move_xattrs(
        &self,
        object: BorrowedFd<'_>,
        key: &impl AttributeKey,
    ) -> Result<u64, VolumeError> {
        key.with_keys(|current, old| {
            let Some(old) = old else {
                return Ok(0);
            };
            let mut lost = 0;
            for stored in self.stored_xattrs(object, true)? {
                let _moving = self.moving_xattrs.lock();
                let stored = c_name(&stored)?;
                let sealed = match self.backing.xattr(object, &stored) {
                    Ok(sealed) if epoch_of(&sealed) == Some(old.epoch) => sealed,
                    // Moved or removed since it was listed.
                    Ok(_) | Err(Errno::NODATA) => continue,
                    Err(errno) => return Err(absent(errno)),
                };
                match self.move_xattr(object, current, old, &stored, &sealed) {
                    Err(VolumeError::NameUnverified) => lost += 1,
                    result => result?,
                }
            }
            Ok(lost)
        })
    }

    /// Whether an attribute is of the kind that is sealed.
    pub fn is_sealed_xattr(name: &OsStr) -> bool {
        is_sealed(name)
    }
}
