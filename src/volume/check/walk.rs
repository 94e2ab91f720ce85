//! The stored tree: directories one by one, their files handed to threads.

use std::collections::HashSet;
use std::ffi::{CStr, CString, OsStr, OsString};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use parking_lot::Mutex;
use rustix::fs::{Mode, OFlags};

use super::super::attributes::Kind;
use super::super::directory::{Directory, StoredEntry, stored_names};
use super::super::error::{VolumeError, failed};
use super::super::header::ObjectType;
use super::super::names::{self, Found};
use super::super::reseal::Reseal;
use super::super::rewrap::Envelope;
use super::contents::INTERRUPTED_RESEAL;
use super::{State, Trouble, trouble_of};

/// Files that wait for a thread at most.
const QUEUE: usize = 256;

/// A directory that is to be looked at.
struct Place {
    fd: OwnedFd,
    /// `None`: its key or its header is lost, names cannot be opened.
    directory: Option<Arc<Directory>>,
    path: PathBuf,
    /// Whether a mount finds the way here.
    reachable: bool,
}

/// A file that is to be read.
pub(super) struct Job {
    pub object: OwnedFd,
    pub path: PathBuf,
    /// Why no mount finds it: its name, a directory above it or the volume's own file is lost.
    pub unreachable: Option<String>,
}

impl State<'_> {
    pub(super) fn walk(&self) -> Result<(), VolumeError> {
        let (sender, receiver) = sync_channel(QUEUE);
        let receiver = Mutex::new(receiver);
        std::thread::scope(|scope| {
            for _ in 0..self.options.threads.max(1) {
                scope.spawn(|| self.work(&receiver));
            }
            let walked = self.walk_from_root(&sender);
            // The threads end when nothing more can come.
            drop(sender);
            walked
        })
    }

    fn work(&self, receiver: &Mutex<Receiver<Job>>) {
        loop {
            let Ok(job) = receiver.lock().recv() else {
                return;
            };
            self.check_file(&job);
        }
    }

    fn walk_from_root(&self, files: &SyncSender<Job>) -> Result<(), VolumeError> {
        let path = PathBuf::from("/");
        let fd = self.volume.reopen_root()?;
        let mut lost = self.lost.is_some();
        let directory = match self.volume.root() {
            Ok(root) => {
                self.check_reseal(&path, &root);
                Some(root)
            }
            Err(e) => {
                let fact = format!("the names in it cannot be opened: {e}");
                self.found(&path, trouble_of(&e), &fact);
                lost |= trouble_of(&e) == Trouble::Damaged;
                None
            }
        };
        if let Some(why) = &self.lost {
            self.found(&path, Trouble::Damaged, why);
        }
        let mut places = vec![Place {
            fd,
            reachable: !lost,
            directory,
            path,
        }];
        // Files with several names are read once.
        let mut seen = HashSet::new();
        let mut targets = HashSet::new();
        let mut all_seen = true;
        while let Some(place) = places.pop() {
            self.report.lock().directories += 1;
            let entries = match stored_names(place.fd.as_fd()) {
                Ok(entries) => entries,
                Err(errno) => {
                    self.found(
                        &place.path,
                        Trouble::Damaged,
                        &format!("cannot be listed: {errno}"),
                    );
                    all_seen = false;
                    continue;
                }
            };
            all_seen &= place.directory.is_some();
            self.check_companions(&place, &entries);
            for entry in entries {
                if !self.progress.goes_on() {
                    return Ok(());
                }
                match names::classify(entry.name.as_bytes()) {
                    Found::Internal => {}
                    Found::Temporary => self.left_over(&place, &entry),
                    Found::Foreign => {
                        let path = self.plain_path(&place, &entry.name);
                        self.found(&path, Trouble::Foreign, &"not the volume's");
                    }
                    Found::Sealed(_) | Found::Long(_) => {
                        all_seen &=
                            self.visit(&place, &entry, &mut places, &mut seen, &mut targets, files);
                    }
                }
            }
        }
        if all_seen {
            self.check_targets(&targets)?;
        }
        Ok(())
    }

    /// The plain path of a name where it opens, else with the stored name.
    fn plain_path(&self, place: &Place, stored: &CStr) -> PathBuf {
        let name = place
            .directory
            .as_ref()
            .and_then(|directory| directory.plain_name(stored).ok())
            .unwrap_or_else(|| stored.to_bytes().to_vec());
        place.path.join(OsString::from_vec(name))
    }

    /// Looks at an entry; tells whether all that it may use of the volume was seen.
    fn visit(
        &self,
        place: &Place,
        entry: &StoredEntry,
        places: &mut Vec<Place>,
        seen: &mut HashSet<u64>,
        targets: &mut HashSet<CString>,
        files: &SyncSender<Job>,
    ) -> bool {
        let path = self.plain_path(place, &entry.name);
        let nameless = match &place.directory {
            Some(directory) => directory.plain_name(&entry.name).err(),
            None => None,
        }
        .map(|e| format!("its name does not open: {e}"));
        let backing = &self.volume.backing;
        let flags = OFlags::PATH;
        let opened = backing
            .open_at(place.fd.as_fd(), &entry.name, flags, Mode::empty())
            .and_then(|object| Ok((backing.stat(object.as_fd())?, object)));
        let (stat, object) = match opened {
            Ok(opened) => opened,
            Err(errno) => {
                self.found(
                    &path,
                    Trouble::Damaged,
                    &format!("cannot be opened: {errno}"),
                );
                return false;
            }
        };
        let kind = Kind::of(stat.st_mode);
        if let Some(fact) = nameless.as_ref().filter(|_| kind != Some(Kind::File)) {
            self.found(&path, Trouble::Damaged, fact);
        }
        match kind {
            Some(Kind::File) => {
                if stat.st_nlink > 1 && !seen.insert(stat.st_ino) {
                    return true;
                }
                let lost = || "what leads to it is lost".to_owned();
                let unreachable = nameless.or_else(|| (!place.reachable).then(lost));
                // The threads end after this one.
                let _ = files.send(Job {
                    object,
                    path,
                    unreachable,
                });
            }
            Some(Kind::Directory) => {
                let reachable = place.reachable && nameless.is_none();
                let Some(inner) = self.enter(&object, path, reachable) else {
                    return false;
                };
                places.push(inner);
            }
            Some(Kind::Symlink) => {
                self.report.lock().symlinks += 1;
                let Ok(target) = backing.read_link_at(object.as_fd(), c"") else {
                    self.found(&path, Trouble::Damaged, &"its target cannot be read");
                    return false;
                };
                targets.extend(names::target_file(&target));
                if let Err(e) = self.volume.read_link_of(&object) {
                    self.found(
                        &path,
                        trouble_of(&e),
                        &format!("its target does not open: {e}"),
                    );
                }
            }
            _ => self.report.lock().others += 1,
        }
        true
    }

    fn enter(&self, object: &OwnedFd, path: PathBuf, reachable: bool) -> Option<Place> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY;
        let opened = self
            .volume
            .with_owner_access(object.as_fd(), Mode::RUSR | Mode::XUSR, || {
                let backing = &self.volume.backing;
                backing.open_at(object.as_fd(), c".", flags, Mode::empty())
            });
        let fd = match opened {
            Ok(fd) => fd,
            Err(errno) => {
                self.found(
                    &path,
                    Trouble::Damaged,
                    &format!("cannot be opened: {errno}"),
                );
                return None;
            }
        };
        self.check_slots(&path, fd.as_fd());
        let mut lost = false;
        let directory = match Directory::open_object(self.volume, object) {
            Ok(directory) => Some(directory),
            Err(e) => {
                let fact = format!("the names in it cannot be opened: {e}");
                self.found(&path, trouble_of(&e), &fact);
                // A key that does not open it now may do so again.
                lost = trouble_of(&e) == Trouble::Damaged;
                None
            }
        };
        if let Some(directory) = &directory {
            self.check_reseal(&path, directory);
        }
        if let Some(directory) = &directory
            && let Err(e) = self.check_attributes(object, &**directory)
        {
            self.found(&path, Trouble::Damaged, &e);
        }
        Some(Place {
            fd,
            reachable: reachable && !lost,
            directory,
            path,
        })
    }

    /// Before the names are listed.
    fn check_reseal(&self, path: &Path, directory: &Arc<Directory>) {
        if directory.envelope().is_resealing() {
            self.interrupted(path, INTERRUPTED_RESEAL, || {
                let own = self.volume.own_caller();
                Reseal::of_directory(directory, own)?.run().map(|_| ())
            });
        }
    }

    /// Whether a rewrap of a directory was interrupted; opening it has wiped the old slot then.
    fn check_slots(&self, path: &Path, fd: std::os::fd::BorrowedFd<'_>) {
        let flags = OFlags::RDONLY | OFlags::NONBLOCK;
        let Ok(header) =
            self.volume
                .backing
                .open_at(fd, names::DIRECTORY_HEADER, flags, Mode::empty())
        else {
            return;
        };
        if let Ok((chosen, _)) = Envelope::read(self.volume, header.as_fd(), ObjectType::Directory)
            && chosen.other_is_stale
        {
            self.interrupted(
                path,
                "a rewrap left the old wrap of its data key",
                || Ok(()),
            );
        }
    }

    fn left_over(&self, place: &Place, entry: &StoredEntry) {
        let path = place.path.join(OsStr::from_bytes(entry.name.to_bytes()));
        let fact = "left by something that was being made or taken away";
        self.interrupted(&path, fact, || {
            let is_directory = entry.kind == rustix::fs::FileType::Directory;
            match (&place.directory, is_directory) {
                (Some(directory), true) => {
                    directory.discard_directory(&entry.name);
                    Ok(())
                }
                (_, is_directory) => self
                    .volume
                    .backing
                    .unlink_at(place.fd.as_fd(), &entry.name, is_directory)
                    .map_err(failed("unlink")),
            }
        });
    }

    fn check_companions(&self, place: &Place, entries: &[StoredEntry]) {
        let needed: HashSet<CString> = entries
            .iter()
            .filter_map(|entry| match names::classify(entry.name.as_bytes()) {
                Found::Long(companion) => Some(companion),
                _ => None,
            })
            .collect();
        for entry in entries {
            if names::is_companion(&entry.name) && !needed.contains(&entry.name) {
                let path = self.plain_path(place, &entry.name);
                self.interrupted(&path, "the long name of nothing", || {
                    self.volume
                        .backing
                        .unlink_at(place.fd.as_fd(), &entry.name, false)
                        .map_err(failed("unlink"))
                });
            }
        }
    }

    fn check_targets(&self, used: &HashSet<CString>) -> Result<(), VolumeError> {
        let targets = match self.volume.targets() {
            Ok(targets) => targets,
            Err(e) => {
                self.found(Path::new("/rekeyfs.targets"), Trouble::Damaged, &e);
                return Ok(());
            }
        };
        for entry in stored_names(targets.as_fd()).map_err(failed("list"))? {
            if !used.contains(&entry.name) {
                let path =
                    Path::new("/rekeyfs.targets").join(OsStr::from_bytes(entry.name.to_bytes()));
                self.interrupted(&path, "the target of no symlink", || {
                    self.volume
                        .backing
                        .unlink_at(targets.as_fd(), &entry.name, false)
                        .map_err(failed("unlink"))
                });
            }
        }
        Ok(())
    }
}
