//! The keys that a data key is expanded into. FORMAT.md, section 4.

use std::sync::Arc;

use super::Id;
use super::error::VolumeError;
use super::header::{Epoch, Header};
use crate::kms::service::{Caller, KeyService};
use crate::primitives::{ContentKey, MacKey, SivKey, hkdf_sha256};
use crate::secret::Secret;

/// A data key together with the object it belongs to.
pub struct ObjectKey {
    object: Id,
    data_key: Secret<32>,
}

impl ObjectKey {
    /// Binds a data key to its object.
    pub fn new(object: Id, data_key: Secret<32>) -> Self {
        Self { object, data_key }
    }

    /// The object.
    pub fn object(&self) -> &Id {
        &self.object
    }

    fn expand<const N: usize>(&self, label: &[&[u8]]) -> Secret<N> {
        let mut info: Vec<&[u8]> = vec![b"rekeyfs 1 "];
        info.extend_from_slice(label);
        hkdf_sha256(&self.object, self.data_key.expose(), &info)
    }

    /// Commits headers to the data key.
    pub fn commit(&self) -> MacKey {
        MacKey::new(self.expand::<32>(&[b"commit"]).expose())
    }

    /// Authenticates trailers.
    pub fn trailer(&self) -> MacKey {
        MacKey::new(self.expand::<32>(&[b"trailer"]).expose())
    }

    /// Seals the chunks of one group, for as long as the group exists.
    pub fn group(&self, group: u64, salt: &[u8; 16]) -> ContentKey {
        ContentKey::new(&self.expand::<32>(&[b"group", &group.to_le_bytes(), salt]))
    }

    /// Seals the names in a directory.
    pub fn names(&self) -> SivKey {
        SivKey::new(self.expand::<64>(&[b"names"]))
    }

    /// Seals the values of user attributes.
    pub fn xattr(&self) -> SivKey {
        SivKey::new(self.expand::<64>(&[b"xattr"]))
    }

    /// Hides the names of user attributes.
    pub fn xattr_names(&self) -> MacKey {
        MacKey::new(self.expand::<32>(&[b"xattr-names"]).expose())
    }

    /// Seals the volume key; of a root directory only.
    pub fn volume(&self) -> SivKey {
        SivKey::new(self.expand::<64>(&[b"volume"]))
    }
}

/// A live data-key epoch: its key, and what an open object works with.
pub struct Live<T> {
    /// The epoch.
    pub number: u32,
    /// Its key.
    pub key: ObjectKey,
    /// What is made of the key once: a file's trailer key, a directory's name key.
    pub tool: T,
}

/// The live keys of an open object: what is sealed now is sealed under the current one; the old
/// one still opens what a reseal has not come to.
pub struct Keys<T> {
    /// The newest.
    pub current: Arc<Live<T>>,
    /// The one before it, while a reseal runs.
    pub old: Option<Arc<Live<T>>>,
}

impl<T> Live<T> {
    /// Takes over the key of an epoch.
    pub fn new(number: u32, key: ObjectKey, tool: impl FnOnce(&ObjectKey) -> T) -> Self {
        let tool = tool(&key);
        Self { number, key, tool }
    }
}

impl<T> Keys<T> {
    /// The keys of a header, which the key service opens for `caller`.
    ///
    /// # Errors
    /// The key service's; [`VolumeError::CommitmentMismatch`].
    pub fn open(
        header: &Header,
        keys: &dyn KeyService,
        caller: &Caller,
        tool: impl Fn(&ObjectKey) -> T,
    ) -> Result<Self, VolumeError> {
        let live = |epoch: &Epoch| -> Result<_, VolumeError> {
            let key = ObjectKey::new(header.object, keys.decrypt(caller, &epoch.wrapped)?);
            header.verify_commitment(epoch, &key)?;
            Ok(Live::new(epoch.number, key, &tool))
        };
        let old = match &header.epochs[..] {
            [old, _] => Some(Arc::new(live(old)?)),
            _ => None,
        };
        Ok(Self {
            current: Arc::new(live(header.current())?),
            old,
        })
    }

    /// The keys of an object that has just been made.
    pub fn fresh(number: u32, key: ObjectKey, tool: impl FnOnce(&ObjectKey) -> T) -> Self {
        Self {
            current: Arc::new(Live::new(number, key, tool)),
            old: None,
        }
    }

    /// The key of an epoch, if it is live.
    pub fn of(&self, epoch: u32) -> Option<&Live<T>> {
        let old = self.old.as_deref().filter(|old| old.number == epoch);
        (self.current.number == epoch)
            .then_some(&*self.current)
            .or(old)
    }

    /// The current key alone.
    pub fn without_old(&self) -> Self {
        Self {
            current: Arc::clone(&self.current),
            old: None,
        }
    }

    /// The lowest live epoch.
    pub fn lowest(&self) -> u32 {
        self.old
            .as_ref()
            .map_or(self.current.number, |old| old.number)
    }
}

/// The key of a volume: seals symlink targets, authenticates the volume file.
pub struct VolumeKey(Secret<32>);

impl VolumeKey {
    /// Takes the key over.
    pub fn new(key: Secret<32>) -> Self {
        Self(key)
    }

    /// The bytes, to be sealed under the root directory's data key.
    pub fn expose(&self) -> &[u8; 32] {
        self.0.expose()
    }

    /// Authenticates the volume file.
    pub fn marker(&self) -> MacKey {
        let key = hkdf_sha256::<32>(&[], self.0.expose(), &[b"rekeyfs 1 volume-mac"]);
        MacKey::new(key.expose())
    }

    /// Seals symlink targets.
    pub fn symlinks(&self) -> SivKey {
        SivKey::new(hkdf_sha256(&[], self.0.expose(), &[b"rekeyfs 1 symlink"]))
    }
}
