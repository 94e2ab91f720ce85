//! Volumes as a whole: making, opening and closing one.

use std::collections::{HashMap, HashSet};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use super::Id;
use super::attributes::ChangeTimes;
use super::backing::Backing;
use super::directory::Directory;
use super::durable::NewNames;
use super::error::{VolumeError, failed};
use super::flusher::Flusher;
use super::header::{Epoch, Header, ObjectType};
use super::layout::Layout;
use super::marker::{CrashedSessions, Marker, MarkerFile};
use super::medium::KnownObjects;
use super::names::{DIRECTORY_HEADER, TARGETS, VOLUME_FILE};
use super::page::EntryPage;
use super::rewrap::Envelope;
use super::subkeys::{ObjectKey, VolumeKey};
use crate::kms::service::{
    Caller, EncryptionAlgorithm, EncryptionContext, KeyArn, KeyService, Source, WrappedKey,
};
use crate::primitives::{SivKey, random, random_secret};

/// How a volume is made.
#[derive(Debug, Clone)]
pub struct InitOptions {
    /// A key identifier.
    pub key_id: String,
    /// The algorithm that wraps the root directory's data key.
    pub algorithm: EncryptionAlgorithm,
    /// Its context; `None`: the volume id under the name `rekeyfs:volume`, or nothing for an
    /// asymmetric algorithm, which takes none.
    pub context: Option<EncryptionContext>,
    /// Slot class: slots of 4 KiB << class.
    pub slot_class: u8,
}

/// What a power cut may cost.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Crash {
    /// Nothing that was fsynced and has not been overwritten since.
    #[default]
    Strict,
    /// Also what has been overwritten since, and its neighbours in the same chunk.
    Fast,
}

/// How a volume is opened.
#[derive(Debug, Clone, Copy, Default)]
pub struct OpenOptions {
    /// What a power cut may cost.
    pub crash: Crash,
    /// A thread lets down what waits; without it that is done when a file is synced or closed.
    pub background: bool,
    /// Nothing is written, not even a mark.
    pub read_only: bool,
    /// Offline work on headers: no mounted mark, no new session.
    pub offline: bool,
}

/// An open volume.
pub struct Volume {
    pub(super) backing: Arc<dyn Backing>,
    pub(super) keys: Arc<dyn KeyService>,
    pub(super) layout: Layout,
    pub(super) read_only: bool,
    /// The session of this opening.
    pub(super) session: u64,
    /// Envelopes in use, by stored inode number.
    pub(super) envelopes: Mutex<HashMap<u64, Weak<Envelope>>>,
    pub(super) symlinks: SivKey,
    path: PathBuf,
    id: Id,
    root: OwnedFd,
    device: u64,
    own: Caller,
    crashed: CrashedSessions,
    /// Groups whose entry page a failed write has left in doubt.
    doubtful: Mutex<HashSet<(Id, u64)>>,
    mark: Option<Mutex<(MarkerFile, Marker)>>,
    /// The mark is a mount's: offline work neither sets it nor takes it away.
    offline: bool,
    /// One at a time lends an object's owner what its mode refuses.
    modes: Mutex<()>,
    /// One damaged file at a time is made anew.
    pub(super) starting_over: Mutex<()>,
    key: VolumeKey,
    euid: u32,
    crash: Crash,
    /// Pages that wait, of all files.
    pub(super) held_pages: AtomicUsize,
    pub(super) flusher: Flusher,
    /// Made in this session and never synced: nobody relies on the medium for them.
    pub(super) unpromised: KnownObjects,
    /// Files of which the medium has a record of this session.
    pub(super) announced: KnownObjects,
    pub(super) made: NewNames,
    pub(super) change_times: ChangeTimes,
    /// One attribute at a time is moved to another data key.
    pub(super) moving_xattrs: Mutex<()>,
    /// Open directories, by the inode of the stored directory.
    pub(super) directories: Mutex<HashMap<u64, Weak<Directory>>>,
}

/// What an open volume is made of.
struct Parts<'a> {
    backing: Arc<dyn Backing>,
    keys: Arc<dyn KeyService>,
    path: &'a Path,
    root: OwnedFd,
    layout: Layout,
    id: Id,
    session: u64,
    own: Caller,
    crashed: CrashedSessions,
    mark: Option<Mutex<(MarkerFile, Marker)>>,
    key: VolumeKey,
}

/// Seconds since 1970.
pub(super) fn unix_now() -> i64 {
    std::time::SystemTime::now()
        .duration_since(std::time::SystemTime::UNIX_EPOCH)
        .map_or(0, |since| since.as_secs().cast_signed())
}

/// A new object's header and key.
pub(super) fn new_header(
    object_type: ObjectType,
    layout: Layout,
    data_key: crate::secret::Secret<32>,
    wrapped: WrappedKey,
) -> (Header, ObjectKey) {
    let object = random::<16>();
    let key = ObjectKey::new(object, data_key);
    let now = unix_now();
    let mut header = Header {
        object_type,
        layout,
        object,
        generation: 1,
        created: now,
        epochs: vec![Epoch {
            number: 1,
            commitment: [0; 32],
            wrapped,
            wrapped_at: now,
            made_at: None,
        }],
    };
    header.epochs[0].commitment = header.commitment(&key, 1);
    (header, key)
}

pub(super) fn open_root(backing: &dyn Backing, path: &Path) -> Result<OwnedFd, VolumeError> {
    use std::os::unix::ffi::OsStrExt;
    let fault = |errno| VolumeError::Path {
        path: path.to_owned(),
        errno,
    };
    let name =
        std::ffi::CString::new(path.as_os_str().as_bytes()).map_err(|_| fault(Errno::INVAL))?;
    backing.open_root(&name).map_err(fault)
}

/// What a finished `init` tells.
#[derive(Debug, Clone)]
pub struct Made {
    /// The volume id.
    pub id: Id,
    /// The ARN of the key that wraps the root directory's data key.
    pub key_arn: String,
}

impl Volume {
    /// Makes a volume in the empty or new directory `path`.
    ///
    /// # Errors
    /// [`VolumeError::NotAnEmptyDirectory`], [`VolumeError::VolumeExists`], the key service's,
    /// [`VolumeError::HeaderTooLarge`]. Nothing is left behind then but an empty directory.
    pub fn init(
        backing: &dyn Backing,
        keys: &dyn KeyService,
        caller: &Caller,
        path: &Path,
        options: &InitOptions,
    ) -> Result<Made, VolumeError> {
        use std::os::unix::fs::DirBuilderExt;
        let layout =
            Layout::new(options.slot_class).ok_or(VolumeError::Invalid { what: "slot class" })?;
        match std::fs::DirBuilder::new().mode(0o700).create(path) {
            Ok(()) => {}
            Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => {}
            Err(e) => {
                let errno = Errno::from_io_error(&e).unwrap_or(Errno::IO);
                return Err(VolumeError::Path {
                    path: path.to_owned(),
                    errno,
                });
            }
        }
        let root = open_root(backing, path)?;
        if backing.stat_at(root.as_fd(), VOLUME_FILE).is_ok() {
            return Err(VolumeError::VolumeExists {
                path: path.to_owned(),
            });
        }
        let entries = super::directory::stored_names(root.as_fd()).map_err(failed("list"))?;
        if entries
            .iter()
            .any(|entry| entry.name.as_bytes() != b"lost+found")
        {
            return Err(VolumeError::NotAnEmptyDirectory {
                path: path.to_owned(),
            });
        }
        let id = random::<16>();
        let context = options.context.clone().unwrap_or_else(|| {
            if options.algorithm.is_symmetric() {
                EncryptionContext::from([("rekeyfs:volume", crate::codec::hex(&id).as_str())])
            } else {
                EncryptionContext::default()
            }
        });
        let (data_key, wrapped) =
            keys.new_data_key(caller, &options.key_id, options.algorithm, &context)?;
        let key_arn = wrapped.key_arn.clone();
        let (header, root_key) = new_header(ObjectType::Directory, layout, data_key, wrapped);
        let slot = header.encode()?;
        let volume_key = VolumeKey::new(random_secret());
        let mut marker = Marker::new(layout, id, 1, &root_key, &volume_key);
        let written = (|| {
            let fd = backing.open_at(
                root.as_fd(),
                DIRECTORY_HEADER,
                OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL,
                Mode::RUSR | Mode::WUSR,
            )?;
            backing.write_durable(fd.as_fd(), &slot, 0)?;
            backing.make_dir_at(root.as_fd(), TARGETS, Mode::RWXU)?;
            // Last: what has a volume file is a volume.
            MarkerFile::create(backing, &root, &mut marker, &volume_key)?;
            backing.sync(root.as_fd(), false)
        })();
        if let Err(errno) = written {
            let _ = backing.unlink_at(root.as_fd(), VOLUME_FILE, false);
            let _ = backing.unlink_at(root.as_fd(), TARGETS, true);
            let _ = backing.unlink_at(root.as_fd(), DIRECTORY_HEADER, false);
            return Err(VolumeError::Path {
                path: path.to_owned(),
                errno,
            });
        }
        Ok(Made { id, key_arn })
    }

    /// Opens the volume at `path`, locks it, and marks it as mounted.
    ///
    /// # Errors
    /// [`VolumeError::NotAVolume`], [`VolumeError::VolumeBusy`], [`VolumeError::VolumeDamaged`],
    /// [`VolumeError::UnknownVersion`], [`VolumeError::UnknownFeature`], the key service's.
    pub fn open(
        backing: Arc<dyn Backing>,
        keys: Arc<dyn KeyService>,
        path: &Path,
        options: OpenOptions,
    ) -> Result<Arc<Self>, VolumeError> {
        let root = open_root(&*backing, path)?;
        let (file, mut marker) = MarkerFile::open(&*backing, &root, path, options.read_only)?;
        let header = read_root_header(&*backing, &root, marker.layout)?;
        // While the root directory is resealed, whichever seals the volume key.
        let epoch = header
            .epochs
            .iter()
            .find(|epoch| epoch.number == marker.epoch)
            .unwrap_or_else(|| header.current());
        let own = own_caller(&epoch.wrapped);
        let data_key = keys.decrypt(&own, &epoch.wrapped)?;
        let root_key = ObjectKey::new(header.object, data_key);
        header.verify_commitment(epoch, &root_key)?;
        let key = marker.open_key(&root_key, path)?;
        if marker.mounted && !options.offline {
            marker.crashed.add(marker.session);
        }
        let mut session = marker.session;
        if !options.read_only && !options.offline {
            if marker.mounted {
                // What the crash left in caches becomes durable before anything builds on it.
                backing
                    .sync_filesystem(root.as_fd())
                    .map_err(failed("sync the filesystem"))?;
            }
            marker.session += 1;
            marker.mounted = true;
            session = marker.session;
            file.store(&*backing, &mut marker, &key)
                .map_err(failed("write rekeyfs.volume"))?;
        }
        Self::assemble(
            Parts {
                backing,
                keys,
                path,
                root,
                layout: marker.layout,
                id: marker.id,
                session,
                own,
                crashed: marker.crashed.clone(),
                mark: Some(Mutex::new((file, marker))),
                key,
            },
            options,
        )
    }

    /// Opens what is left of a volume whose own file or root directory is lost, as far as its
    /// objects open by themselves: to save from it. Nothing is written, no length is judged
    /// strictly, and no target of a symlink opens. `None` if there is no object with a header.
    ///
    /// # Errors
    /// The backing filesystem's for the root directory.
    pub(super) fn open_remains(
        backing: Arc<dyn Backing>,
        keys: Arc<dyn KeyService>,
        path: &Path,
    ) -> Result<Option<Arc<Self>>, VolumeError> {
        let root = open_root(&*backing, path)?;
        let Some(header) = super::remains::any_header(&*backing, root.as_fd()) else {
            return Ok(None);
        };
        let parts = Parts {
            backing,
            keys,
            path,
            root,
            layout: header.layout,
            id: Id::default(),
            session: 0,
            own: own_caller(&header.current().wrapped),
            crashed: CrashedSessions::all(),
            mark: None,
            key: VolumeKey::new(random_secret()),
        };
        let options = OpenOptions {
            read_only: true,
            ..OpenOptions::default()
        };
        Self::assemble(parts, options).map(Some)
    }

    fn assemble(parts: Parts<'_>, options: OpenOptions) -> Result<Arc<Self>, VolumeError> {
        let Parts {
            backing,
            keys,
            path,
            root,
            layout,
            id,
            session,
            own,
            crashed,
            mark,
            key,
        } = parts;
        let stat = backing.stat(root.as_fd()).map_err(failed("stat"))?;
        Ok(Arc::new(Self {
            layout,
            read_only: options.read_only,
            session,
            envelopes: Mutex::new(HashMap::new()),
            symlinks: key.symlinks(),
            path: path.to_owned(),
            id,
            root,
            device: stat.st_dev,
            own,
            crashed,
            doubtful: Mutex::new(HashSet::new()),
            mark,
            offline: options.offline,
            modes: Mutex::new(()),
            starting_over: Mutex::new(()),
            key,
            euid: rustix::process::geteuid().as_raw(),
            crash: options.crash,
            held_pages: AtomicUsize::new(0),
            flusher: Flusher::new(options.background && !options.read_only),
            unpromised: KnownObjects::default(),
            announced: KnownObjects::default(),
            made: NewNames::default(),
            change_times: ChangeTimes::default(),
            moving_xattrs: Mutex::new(()),
            directories: Mutex::new(HashMap::new()),
            backing,
            keys,
        }))
    }

    /// Whether the volume at `path` still has the mark of a mount; no key and no lock is needed.
    ///
    /// # Errors
    /// As reading the volume file.
    pub fn was_left_mounted(backing: &dyn Backing, path: &Path) -> Result<bool, VolumeError> {
        let root = open_root(backing, path)?;
        Ok(MarkerFile::read(backing, &root, path, true)?.1.mounted)
    }

    /// Settles every open file and takes the mounted mark away; everything is durable then.
    ///
    /// Returns what could not be settled.
    ///
    /// # Errors
    /// The backing filesystem's; the mark then stays, and the next mount recovers.
    pub fn close(&self) -> Result<Vec<VolumeError>, VolumeError> {
        self.flusher.stop();
        let Some(mark) = self.mark.as_ref().filter(|_| !self.read_only) else {
            return Ok(Vec::new());
        };
        let envelopes: Vec<_> = self
            .envelopes
            .lock()
            .values()
            .filter_map(Weak::upgrade)
            .collect();
        let faults: Vec<_> = envelopes
            .iter()
            .filter_map(|envelope| envelope.settle_open_file().err())
            .collect();
        let mut guard = mark.lock();
        let (file, marker) = &mut *guard;
        if self.offline || !marker.mounted {
            return Ok(faults);
        }
        self.backing
            .sync_filesystem(self.root.as_fd())
            .map_err(failed("sync the filesystem"))?;
        // What a failed write has left in doubt is judged again by the next session, as after a
        // crash.
        if faults.is_empty() && self.doubtful.lock().is_empty() {
            marker.mounted = false;
            file.store(&*self.backing, marker, &self.key)
                .map_err(failed("write rekeyfs.volume"))?;
        }
        Ok(faults)
    }

    /// The root directory.
    ///
    /// # Errors
    /// As [`Directory::open`].
    pub fn root(self: &Arc<Self>) -> Result<Arc<Directory>, VolumeError> {
        Directory::open_fd(self, self.reopen_root()?)
    }

    /// The stored root directory.
    pub(super) fn reopen_root(&self) -> Result<OwnedFd, VolumeError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY;
        self.backing
            .open_at(self.root.as_fd(), c".", flags, Mode::empty())
            .map_err(failed("open the root directory"))
    }

    /// Where the volume is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The volume id.
    pub fn id(&self) -> &Id {
        &self.id
    }

    /// Whether nothing is ever written.
    pub fn is_read_only(&self) -> bool {
        self.read_only
    }

    /// The layout of every file.
    pub fn layout(&self) -> Layout {
        self.layout
    }

    /// The caller on whose behalf the volume itself opens directories: the root of the account
    /// that the root directory's key belongs to.
    pub fn own_caller(&self) -> &Caller {
        &self.own
    }

    /// The key service.
    pub fn keys(&self) -> &Arc<dyn KeyService> {
        &self.keys
    }

    /// Filesystem statistics of the backing filesystem.
    ///
    /// # Errors
    /// The backing filesystem's.
    pub fn statistics(&self) -> Result<rustix::fs::StatFs, VolumeError> {
        rustix::fs::fstatfs(&self.root).map_err(failed("statfs"))
    }

    /// The backing root directory.
    pub(super) fn root_fd(&self) -> BorrowedFd<'_> {
        self.root.as_fd()
    }

    /// The backing device: objects of other filesystems mounted below are foreign.
    pub(super) fn device(&self) -> u64 {
        self.device
    }

    /// Whether the daemon may give objects to others.
    pub(super) fn is_root(&self) -> bool {
        self.euid == 0
    }

    /// Whether the backing filesystem has room for what may wait, several times over. Without, the
    /// writer of a file that was cut to nothing is to be told: there is nothing of the file yet in
    /// which room could be reserved.
    pub(super) fn has_room_for_all_that_waits(&self) -> bool {
        let plenty = 4 * super::MOST_HELD_BYTES as u64;
        self.statistics().is_ok_and(|found| {
            found
                .f_bavail
                .saturating_mul(found.f_frsize.cast_unsigned())
                >= plenty
        })
    }

    /// Whether durable pages are changed only after a durable intent.
    pub fn is_strict(&self) -> bool {
        self.crash == Crash::Strict
    }

    pub(super) fn crashed(&self, session: u64) -> bool {
        self.crashed.contains(session)
    }

    /// Forgets which sessions crashed, with the next write of the volume file: nothing that they
    /// have written is left to be judged.
    pub(super) fn forget_crashes(&self) {
        if let Some(mark) = &self.mark {
            mark.lock().1.crashed = CrashedSessions::default();
        }
    }

    /// Seals the volume key under another data key of the root directory.
    ///
    /// # Errors
    /// The backing filesystem's; then the volume file is old or new.
    pub(super) fn reseal_volume_key(
        &self,
        epoch: u32,
        root: &ObjectKey,
    ) -> Result<(), VolumeError> {
        let Some(mark) = &self.mark else {
            return Err(VolumeError::ReadOnly);
        };
        let mut guard = mark.lock();
        let (file, marker) = &mut *guard;
        marker.reseal(epoch, root, &self.key);
        // Twice: neither page keeps the key as it was sealed before.
        let both = file
            .store(&*self.backing, marker, &self.key)
            .and_then(|()| file.store(&*self.backing, marker, &self.key));
        both.map_err(failed("write rekeyfs.volume"))
    }

    /// Whether a group's pending entries have to be judged.
    pub(super) fn is_crashed(&self, page: &EntryPage, object: &Id, group: u64) -> bool {
        self.crashed.contains(page.session) || self.doubtful.lock().contains(&(*object, group))
    }

    /// Notes that a failed write has left a group's entry page in doubt.
    pub(super) fn distrust(&self, object: &Id, group: u64) {
        self.doubtful.lock().insert((*object, group));
    }

    /// Whether the stored size of a file that nobody has open may say more than its record: a
    /// crash has left it so, and the first open puts it right.
    pub fn sizes_may_change(&self) -> bool {
        !self.crashed.is_empty()
    }

    /// Runs a change of an object's mode while nobody lends anything.
    pub(super) fn changing_mode<T>(&self, change: impl FnOnce() -> T) -> T {
        let _modes = self.modes.lock();
        change()
    }

    pub(super) fn check_writable(&self) -> Result<(), VolumeError> {
        if self.read_only {
            return Err(VolumeError::ReadOnly);
        }
        Ok(())
    }

    /// Runs `f`; if the object's own mode refuses its owner, the daemon, lends it `bits` for the
    /// time of the call. POSIX lets an owner work through a descriptor that is open already.
    pub(super) fn with_owner_access<T>(
        &self,
        fd: BorrowedFd<'_>,
        bits: Mode,
        f: impl Fn() -> Result<T, Errno>,
    ) -> Result<T, Errno> {
        match f() {
            Err(Errno::ACCESS) if !self.read_only => {
                let _modes = self.modes.lock();
                let mode = Mode::from_raw_mode(self.backing.stat(fd)?.st_mode);
                self.backing
                    .set_mode(fd, mode | bits)
                    .map_err(|_| Errno::ACCESS)?;
                let result = f();
                self.backing.set_mode(fd, mode)?;
                result
            }
            result => result,
        }
    }
}

fn own_caller(wrapped: &WrappedKey) -> Caller {
    let caller = match KeyArn::parse(&wrapped.key_arn) {
        Some(arn) => Caller::root(arn.account(), arn.region()),
        // An ARN that is none cannot be resolved either; the key service says so.
        None => Caller::root("000000000000", "us-east-1"),
    };
    caller.from_source(Source {
        user_agent: concat!("rekeyfs/", env!("CARGO_PKG_VERSION")).to_owned(),
        ..Source::default()
    })
}

fn read_root_header(
    backing: &dyn Backing,
    root: &OwnedFd,
    layout: Layout,
) -> Result<Header, VolumeError> {
    let fd = backing
        .open_at(
            root.as_fd(),
            DIRECTORY_HEADER,
            OFlags::RDONLY | OFlags::NONBLOCK,
            Mode::empty(),
        )
        .map_err(failed("open rekeyfs.dir"))?;
    let slot = layout.slot() as usize;
    let mut slots = vec![0; 2 * slot];
    backing
        .read(fd.as_fd(), &mut [std::io::IoSliceMut::new(&mut slots)], 0)
        .map_err(failed("read rekeyfs.dir"))?;
    let (a, b) = slots.split_at(slot);
    Ok(super::header::choose(a, b, layout, ObjectType::Directory)?.header)
}
