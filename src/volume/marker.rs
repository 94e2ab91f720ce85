//! The volume file: identity, session, mounted mark, lock. FORMAT.md, section 2.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use super::Id;
use super::backing::Backing;
use super::error::VolumeError;
use super::layout::Layout;
use super::names::VOLUME_FILE;
use super::subkeys::{ObjectKey, VolumeKey};
use crate::codec::{Malformed, Reader};
use crate::primitives::sha256;
use crate::secret::Secret;

const MAGIC: &[u8; 8] = b"RKFSVOLU";
const VERSION: u16 = 1;
const PAGE: usize = 4096;
const BODY_AT: usize = 100;
const SEALED_KEY: usize = 48;
/// Ranges of crashed sessions that are kept apart.
const RANGES: usize = 64;

/// Sessions that did not end cleanly, as inclusive ranges in ascending order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CrashedSessions(Vec<(u64, u64)>);

impl CrashedSessions {
    /// Every session: of a volume that cannot tell.
    pub fn all() -> Self {
        Self(vec![(0, u64::MAX)])
    }

    /// Whether every session ended cleanly.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether `session` crashed.
    pub fn contains(&self, session: u64) -> bool {
        self.0
            .iter()
            .any(|(first, last)| (*first..=*last).contains(&session))
    }

    /// Adds the newest session. When there are too many ranges the two nearest are joined: the
    /// sessions between are then taken for crashed, which is lenient and never loses anything.
    pub fn add(&mut self, session: u64) {
        match self.0.last_mut() {
            Some((_, last)) if *last + 1 == session => *last = session,
            _ => self.0.push((session, session)),
        }
        if self.0.len() > RANGES {
            let nearest = (1..self.0.len())
                .min_by_key(|index| self.0[*index].0 - self.0[index - 1].1)
                .unwrap_or(1);
            let (_, last) = self.0.remove(nearest);
            self.0[nearest - 1].1 = last;
        }
    }
}

/// What the volume file says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Marker {
    /// The layout of every object.
    pub layout: Layout,
    /// Whether a daemon has it mounted, or had when it crashed.
    pub mounted: bool,
    /// The volume's identity.
    pub id: Id,
    /// Of this page; the higher one counts.
    sequence: u64,
    /// Raised by every mount that may write.
    pub session: u64,
    /// Epoch of the root directory's data key that seals the volume key.
    pub epoch: u32,
    sealed_key: [u8; SEALED_KEY],
    /// Sessions that did not end cleanly.
    pub crashed: CrashedSessions,
    /// Length of the authenticated part and its MAC.
    authenticated: (Vec<u8>, [u8; 32]),
}

enum Fault {
    Malformed(Malformed),
    Version(u16),
    Feature(String),
}

impl From<Malformed> for Fault {
    fn from(malformed: Malformed) -> Self {
        Self::Malformed(malformed)
    }
}

impl Marker {
    /// The marker of a new volume.
    pub fn new(layout: Layout, id: Id, epoch: u32, root: &ObjectKey, key: &VolumeKey) -> Self {
        let mut marker = Self {
            layout,
            mounted: false,
            id,
            sequence: 0,
            session: 0,
            epoch,
            sealed_key: [0; SEALED_KEY],
            crashed: CrashedSessions::default(),
            authenticated: (Vec::new(), [0; 32]),
        };
        marker.reseal(epoch, root, key);
        marker
    }

    /// Seals the volume key under a data key of the root directory.
    pub fn reseal(&mut self, epoch: u32, root: &ObjectKey, key: &VolumeKey) {
        let sealed = root.volume().seal(&[b"volume", &self.id], key.expose());
        self.sealed_key.copy_from_slice(&sealed);
        self.epoch = epoch;
    }

    /// Opens the volume key and authenticates the whole marker with it.
    ///
    /// # Errors
    /// [`VolumeError::VolumeDamaged`].
    pub fn open_key(&self, root: &ObjectKey, path: &Path) -> Result<VolumeKey, VolumeError> {
        let damaged = |problem| VolumeError::VolumeDamaged {
            path: path.to_owned(),
            what: Malformed {
                what: "rekeyfs.volume",
                problem,
                at: 0,
            },
        };
        let key = root
            .volume()
            .open(&[b"volume", &self.id], &self.sealed_key)
            .ok()
            .and_then(|bytes| Secret::from_slice(crate::secret::SecretBytes::new(bytes).expose()))
            .map(VolumeKey::new)
            .ok_or_else(|| damaged("the volume key does not open"))?;
        let (bytes, mac) = &self.authenticated;
        key.marker()
            .verify(&[bytes], mac)
            .map_err(|_| damaged("does not verify"))?;
        Ok(key)
    }

    /// Chooses the valid page with the higher sequence.
    ///
    /// # Errors
    /// What is wrong with both: [`VolumeError::VolumeDamaged`], [`VolumeError::UnknownVersion`],
    /// [`VolumeError::UnknownFeature`].
    pub fn choose(a: &[u8], b: &[u8], path: &Path) -> Result<Self, VolumeError> {
        let marker = match (Self::parse(a), Self::parse(b)) {
            (Ok(a), Ok(b)) if b.sequence > a.sequence => Ok(b),
            // A whole page that a newer program has written: the other one may be older than what
            // that has done since.
            (Ok(_), Err(fault @ Fault::Feature(_))) => Err(fault),
            (Ok(a), _) => Ok(a),
            (Err(Fault::Malformed(_)), Ok(b)) => Ok(b),
            (Err(fault), _) => Err(fault),
        };
        let path = path.to_owned();
        marker.map_err(|fault| match fault {
            Fault::Malformed(what) => VolumeError::VolumeDamaged { path, what },
            Fault::Version(found) => VolumeError::UnknownVersion {
                path,
                found,
                known: VERSION,
            },
            Fault::Feature(feature) => VolumeError::UnknownFeature { path, feature },
        })
    }

    /// The bytes of a page.
    pub fn encode(&self, key: &VolumeKey) -> Vec<u8> {
        let mut body = vec![0, 0]; // no features
        body.extend_from_slice(&(self.crashed.0.len() as u16).to_le_bytes());
        for (first, last) in &self.crashed.0 {
            body.extend_from_slice(&first.to_le_bytes());
            body.extend_from_slice(&last.to_le_bytes());
        }
        let mut out = Vec::with_capacity(PAGE);
        out.extend_from_slice(MAGIC);
        out.extend_from_slice(&VERSION.to_le_bytes());
        out.extend_from_slice(&[self.layout.class(), u8::from(self.mounted)]);
        out.extend_from_slice(&(body.len() as u32).to_le_bytes());
        out.extend_from_slice(&self.id);
        out.extend_from_slice(&self.sequence.to_le_bytes());
        out.extend_from_slice(&self.session.to_le_bytes());
        out.extend_from_slice(&self.epoch.to_le_bytes());
        out.extend_from_slice(&self.sealed_key);
        out.extend_from_slice(&body);
        let mac = key.marker().sign(&[&out]);
        out.extend_from_slice(&mac);
        let hash = sha256(&[&out]);
        out.extend_from_slice(&hash);
        out.resize(PAGE, 0);
        out
    }

    fn parse(page: &[u8]) -> Result<Self, Fault> {
        let mut reader = Reader::new(page);
        reader.magic(MAGIC, "rekeyfs.volume")?;
        let version = reader.u16("version")?;
        if version != VERSION {
            return Err(Fault::Version(version));
        }
        let layout = Layout::new(reader.u8("slot class")?)
            .ok_or_else(|| reader.malformed("slot class", "unknown"))?;
        let mounted = reader.u8("mounted")? != 0;
        let body_len = reader.u32("body length")? as usize;
        let id = reader.array("volume id")?;
        let sequence = reader.u64("sequence")?;
        let session = reader.u64("session")?;
        let epoch = reader.u32("epoch")?;
        let sealed_key = reader.array("volume key")?;
        let body = reader.take(body_len, "body")?;
        let authenticated = page[..BODY_AT + body_len].to_vec();
        let mac = reader.array("MAC")?;
        let hashed = reader.position();
        if reader.array::<32>("hash")? != sha256(&[&page[..hashed]]) {
            return Err(reader.malformed("hash", "does not match").into());
        }
        let mut body = Reader::new(body);
        if body.u16("features")? > 0 {
            let len = body.u8("feature")? as usize;
            let name = body.take(len, "feature")?;
            return Err(Fault::Feature(String::from_utf8_lossy(name).into_owned()));
        }
        let mut crashed = Vec::new();
        for _ in 0..body.u16("crashed sessions")? {
            crashed.push((body.u64("first")?, body.u64("last")?));
        }
        body.finish("body")?;
        Ok(Self {
            layout,
            mounted,
            id,
            sequence,
            session,
            epoch,
            sealed_key,
            crashed: CrashedSessions(crashed),
            authenticated: (authenticated, mac),
        })
    }
}

/// The open volume file; its lock lasts as long as this value.
pub struct MarkerFile {
    fd: OwnedFd,
}

impl MarkerFile {
    /// Makes the volume file of a new volume.
    ///
    /// # Errors
    /// The backing filesystem's.
    pub fn create(
        backing: &dyn Backing,
        root: impl AsFd,
        marker: &mut Marker,
        key: &VolumeKey,
    ) -> Result<(), Errno> {
        let fd = backing.open_at(
            root.as_fd(),
            VOLUME_FILE,
            OFlags::RDWR | OFlags::CREATE | OFlags::EXCL,
            Mode::RUSR | Mode::WUSR,
        )?;
        let file = Self { fd };
        file.store(backing, marker, key)?;
        file.store(backing, marker, key)
    }

    /// Opens, locks and reads the volume file below `root`, which users know as `path`.
    ///
    /// # Errors
    /// [`VolumeError::NotAVolume`], [`VolumeError::VolumeBusy`], and what the file itself says.
    pub fn open(
        backing: &dyn Backing,
        root: impl AsFd,
        path: &Path,
        read_only: bool,
    ) -> Result<(Self, Marker), VolumeError> {
        let (file, _) = Self::read(backing, &root, path, read_only)?;
        let locked = if read_only {
            crate::sys::lock_shared(file.fd.as_fd())
        } else {
            crate::sys::lock_exclusive(file.fd.as_fd())
        };
        if locked.is_err() {
            return Err(VolumeError::VolumeBusy {
                path: path.to_owned(),
            });
        }
        // Only what is read under the lock counts.
        let (_, marker) = Self::read(backing, root, path, true)?;
        Ok((file, marker))
    }

    /// Opens and reads the volume file without a lock.
    ///
    /// # Errors
    /// As [`MarkerFile::open`], but for the lock.
    pub fn read(
        backing: &dyn Backing,
        root: impl AsFd,
        path: &Path,
        read_only: bool,
    ) -> Result<(Self, Marker), VolumeError> {
        let owned = || path.to_owned();
        let flags = if read_only {
            OFlags::RDONLY
        } else {
            OFlags::RDWR
        };
        let fd = backing
            .open_at(
                root.as_fd(),
                VOLUME_FILE,
                flags | OFlags::NONBLOCK,
                Mode::empty(),
            )
            .map_err(|errno| match errno {
                Errno::NOENT | Errno::NOTDIR | Errno::LOOP => {
                    VolumeError::NotAVolume { path: owned() }
                }
                errno => VolumeError::Path {
                    path: owned(),
                    errno,
                },
            })?;
        let mut pages = vec![0; 2 * PAGE];
        let read = backing
            .read(fd.as_fd(), &mut [std::io::IoSliceMut::new(&mut pages)], 0)
            .map_err(|errno| VolumeError::Path {
                path: owned(),
                errno,
            })?;
        pages.truncate(read);
        let (a, b) = pages.split_at(read.min(PAGE));
        Ok((Self { fd }, Marker::choose(a, b, path)?))
    }

    /// Writes the marker to the page that is not the current one; durable when it returns.
    ///
    /// # Errors
    /// The backing filesystem's.
    pub fn store(
        &self,
        backing: &dyn Backing,
        marker: &mut Marker,
        key: &VolumeKey,
    ) -> Result<(), Errno> {
        marker.sequence += 1;
        let offset = (marker.sequence % 2) * PAGE as u64;
        backing.write_durable(self.fd.as_fd(), &marker.encode(key), offset)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::primitives::random_secret;

    fn sample() -> (Marker, VolumeKey, ObjectKey) {
        let root = ObjectKey::new([1; 16], random_secret());
        let key = VolumeKey::new(random_secret());
        let layout = Layout::new(0).expect("class");
        (Marker::new(layout, [2; 16], 1, &root, &key), key, root)
    }

    #[test]
    fn a_marker_reads_back_and_every_flip_is_seen() {
        let (mut marker, key, root) = sample();
        marker.crashed.add(3);
        marker.session = 9;
        let page = marker.encode(&key);
        let parsed = Marker::parse(&page).ok().expect("valid");
        assert_eq!((parsed.session, &parsed.crashed), (9, &marker.crashed));
        assert!(parsed.open_key(&root, Path::new("v")).is_ok());
        let end = page.iter().rposition(|byte| *byte != 0).expect("not empty") + 1;
        for at in 0..end {
            let mut flipped = page.clone();
            flipped[at] ^= 1;
            assert!(Marker::parse(&flipped).is_err(), "byte {at}");
        }
    }

    #[test]
    fn what_a_newer_program_has_made_is_refused_by_name() {
        let (marker, key, _) = sample();
        let page = marker.encode(&key);
        let mut newer = page.clone();
        newer[8..10].copy_from_slice(&(VERSION + 1).to_le_bytes());
        let path = Path::new("v");
        assert!(matches!(
            Marker::choose(&newer, &newer, path),
            Err(VolumeError::UnknownVersion { found, known: VERSION, .. }) if found == VERSION + 1
        ));
        // One feature, named.
        let body_len = 4;
        let mut with_feature = page[..BODY_AT].to_vec();
        let mut body = vec![1, 0, 6];
        body.extend_from_slice(b"zstd-9");
        body.extend_from_slice(&[0, 0]);
        with_feature[12..16].copy_from_slice(&(body.len() as u32).to_le_bytes());
        with_feature.extend_from_slice(&body);
        with_feature.extend_from_slice(&page[BODY_AT + body_len..BODY_AT + body_len + 32]);
        let hash = sha256(&[&with_feature]);
        with_feature.extend_from_slice(&hash);
        with_feature.resize(PAGE, 0);
        for (a, b) in [
            (&with_feature, &with_feature),
            (&with_feature, &page),
            (&page, &with_feature),
        ] {
            assert!(matches!(
                Marker::choose(a, b, path),
                Err(VolumeError::UnknownFeature { feature, .. }) if feature == "zstd-9"
            ));
        }
    }

    #[test]
    fn a_forged_marker_with_a_right_hash_does_not_verify() {
        let (marker, key, root) = sample();
        let mut page = marker.encode(&key);
        page[40] ^= 1; // the session
        let end = BODY_AT + 4 + 32;
        let hash = sha256(&[&page[..end]]);
        page[end..end + 32].copy_from_slice(&hash);
        let parsed = Marker::parse(&page).ok().expect("the hash is right");
        assert!(parsed.open_key(&root, Path::new("v")).is_err());
    }

    #[test]
    fn crashed_sessions_stay_bounded_and_never_forget() {
        let mut crashed = CrashedSessions::default();
        let sessions: Vec<u64> = (0..500).map(|n| n * 3 + n % 2).collect();
        for session in &sessions {
            crashed.add(*session);
        }
        assert!(crashed.0.len() <= RANGES);
        assert!(sessions.iter().all(|session| crashed.contains(*session)));
        assert!(!crashed.contains(5000));
    }
}
