//! The keys that a data key is expanded into. FORMAT.md, section 4.

use super::Id;
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
