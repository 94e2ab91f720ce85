//! The inode table: what the kernel knows by number, and where it is stored.
//!
//! A node's number is its stored inode number (1 for the root), so that renames and hard links
//! keep it and `ls -i` agrees with the backing directory. A node knows the names under which the
//! kernel has looked it up; when the last of them goes, the stored object is held open instead
//! (an *anchor*), so that its number is not given to another object while the kernel still uses
//! it. Directories are kept open, but only so many at a time.

use std::collections::{HashMap, VecDeque};
use std::ffi::{CString, OsStr};
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use parking_lot::{Mutex, RwLock};
use rustix::fs::RenameFlags;
use rustix::io::Errno;

use crate::volume::{
    Attributes, Directory, Envelope, Kind, ListedName, Reseal, Step, Volume, VolumeError,
};

/// The root's number.
pub const ROOT: u64 = 1;

/// A name of a node.
struct Link {
    parent: Arc<Node>,
    stored: CString,
}

#[derive(Default)]
struct Place {
    links: Vec<Link>,
    anchor: Option<Arc<OwnedFd>>,
}

/// Something that the kernel knows.
pub struct Node {
    /// Its number.
    pub number: u64,
    /// What it is.
    pub kind: Kind,
    place: Mutex<Place>,
    directory: Mutex<Option<Arc<Directory>>>,
    lookups: AtomicU64,
}

/// All nodes.
pub struct Tree {
    volume: Arc<Volume>,
    /// Shared while something is done by name; exclusive while names are taken away.
    names: RwLock<()>,
    nodes: Mutex<HashMap<u64, Arc<Node>>>,
    /// Open directories, the oldest first.
    open_directories: Mutex<VecDeque<Weak<Node>>>,
    most_directories: usize,
}

fn stale() -> VolumeError {
    VolumeError::Backing {
        operation: "find",
        errno: Errno::STALE,
    }
}

impl Tree {
    /// A tree with the root; at most `most_directories` directories are kept open.
    ///
    /// # Errors
    /// As opening the root directory.
    pub fn new(volume: Arc<Volume>, most_directories: usize) -> Result<Self, VolumeError> {
        let root = Arc::new(Node {
            number: ROOT,
            kind: Kind::Directory,
            place: Mutex::default(),
            directory: Mutex::new(Some(volume.root()?)),
            lookups: AtomicU64::new(1),
        });
        Ok(Self {
            volume,
            names: RwLock::new(()),
            nodes: Mutex::new(HashMap::from([(ROOT, root)])),
            open_directories: Mutex::default(),
            most_directories,
        })
    }

    /// The volume.
    pub fn volume(&self) -> &Arc<Volume> {
        &self.volume
    }

    /// The node with a number.
    ///
    /// # Errors
    /// `ESTALE` for one that the kernel should have forgotten.
    pub fn node(&self, number: u64) -> Result<Arc<Node>, VolumeError> {
        self.nodes.lock().get(&number).cloned().ok_or_else(stale)
    }

    /// Takes a looked-up object in, and counts the look-up.
    pub fn remember(
        &self,
        parent: &Arc<Node>,
        stored: CString,
        attributes: &Attributes,
    ) -> Arc<Node> {
        let mut nodes = self.nodes.lock();
        let node = nodes
            .entry(attributes.inode)
            .and_modify(|node| {
                if node.kind != attributes.kind {
                    // The number belongs to another object now.
                    *node = Arc::new(Node::new(attributes));
                }
            })
            .or_insert_with(|| Arc::new(Node::new(attributes)))
            .clone();
        node.lookups.fetch_add(1, Ordering::Relaxed);
        drop(nodes);
        let mut place = node.place.lock();
        let known = place
            .links
            .iter()
            .any(|link| link.stored == stored && Arc::ptr_eq(&link.parent, parent));
        if !known {
            place.links.push(Link {
                parent: Arc::clone(parent),
                stored,
            });
            place.anchor = None;
        }
        drop(place);
        node
    }

    /// Takes back look-ups; a node without any is forgotten.
    pub fn forget(&self, number: u64, count: u64) {
        let mut nodes = self.nodes.lock();
        let Some(node) = nodes.get(&number) else {
            return;
        };
        let before = node
            .lookups
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| {
                Some(n.saturating_sub(count))
            })
            .unwrap_or(0);
        if before <= count && number != ROOT {
            let node = nodes.remove(&number);
            // Dropped outside of the lock: it may close files, and its parents' too.
            drop(nodes);
            drop(node);
        }
    }

    /// The open directory of a node.
    ///
    /// # Errors
    /// `ENOTDIR`, `ESTALE`, as [`Directory::open`].
    pub fn directory(&self, node: &Arc<Node>) -> Result<Arc<Directory>, VolumeError> {
        if let Some(directory) = &*node.directory.lock() {
            return Ok(Arc::clone(directory));
        }
        if node.kind != Kind::Directory {
            return Err(VolumeError::Backing {
                operation: "open",
                errno: Errno::NOTDIR,
            });
        }
        let object = self.object(node)?;
        self.keep_open(node, &object)
    }

    /// Opens a directory and keeps it open; the one that has been open longest is closed if there
    /// are too many.
    fn keep_open(&self, node: &Arc<Node>, object: &OwnedFd) -> Result<Arc<Directory>, VolumeError> {
        let directory = Directory::open_object(&self.volume, object)?;
        *node.directory.lock() = Some(Arc::clone(&directory));
        let evicted = {
            let mut open = self.open_directories.lock();
            open.push_back(Arc::downgrade(node));
            (open.len() > self.most_directories)
                .then(|| open.pop_front())
                .flatten()
        };
        if let Some(old) = evicted.and_then(|weak| weak.upgrade())
            && !Arc::ptr_eq(&old, node)
        {
            *old.directory.lock() = None;
        }
        Ok(directory)
    }

    /// Opens a node's object with O_PATH.
    ///
    /// # Errors
    /// `ESTALE` when it is gone; the backing filesystem's.
    pub fn object(&self, node: &Arc<Node>) -> Result<OwnedFd, VolumeError> {
        let _names = self.names.read();
        self.object_locked(node)
    }

    fn object_locked(&self, node: &Arc<Node>) -> Result<OwnedFd, VolumeError> {
        if node.number == ROOT {
            return self.directory(node)?.object(c".");
        }
        let links: Vec<_> = {
            let place = node.place.lock();
            if let Some(anchor) = &place.anchor {
                return anchor.try_clone().map_err(|_| stale());
            }
            place
                .links
                .iter()
                .map(|link| (Arc::clone(&link.parent), link.stored.clone()))
                .collect()
        };
        let mut fault = stale();
        for (parent, stored) in links {
            match self.directory_locked(&parent)?.object(&stored) {
                // Somebody may have put another object there behind our back.
                Ok(object) if self.volume.attributes_of(&object)?.inode == node.number => {
                    return Ok(object);
                }
                Ok(_) => {}
                Err(e) => fault = e,
            }
        }
        Err(match fault {
            VolumeError::Backing {
                errno: Errno::NOENT,
                ..
            } => stale(),
            other => other,
        })
    }

    /// As [`Tree::directory`], with `names` held already. However deep a directory is, and however
    /// many above it have been closed: they are opened one by one, from the highest.
    fn directory_locked(&self, node: &Arc<Node>) -> Result<Arc<Directory>, VolumeError> {
        let mut closed = vec![Arc::clone(node)];
        while let Some(lowest) = closed.last() {
            if lowest.directory.lock().is_some() {
                break;
            }
            let place = lowest.place.lock();
            let parent = place.links.first().map(|link| Arc::clone(&link.parent));
            let anchored = place.anchor.is_some();
            drop(place);
            match parent {
                Some(parent) if !anchored => closed.push(parent),
                _ => break,
            }
        }
        let mut found = None;
        for node in closed.iter().rev() {
            found = Some(self.open_one(node)?);
        }
        found.ok_or_else(stale)
    }

    /// Opens a directory whose parents are open.
    fn open_one(&self, node: &Arc<Node>) -> Result<Arc<Directory>, VolumeError> {
        if let Some(directory) = &*node.directory.lock() {
            return Ok(Arc::clone(directory));
        }
        if node.kind != Kind::Directory {
            return Err(VolumeError::Backing {
                operation: "open",
                errno: Errno::NOTDIR,
            });
        }
        let object = self.object_locked(node)?;
        self.keep_open(node, &object)
    }

    /// The attributes of a node.
    ///
    /// # Errors
    /// As [`Tree::object`].
    pub fn attributes(&self, node: &Arc<Node>) -> Result<Attributes, VolumeError> {
        let _names = self.names.read();
        if node.number == ROOT {
            return self.volume.attributes_of(self.directory(node)?.fd());
        }
        // The usual case needs no descriptor: one name, and what it means is this node.
        let link = {
            let place = node.place.lock();
            let first = place.links.first();
            first.map(|link| (Arc::clone(&link.parent), link.stored.clone()))
        };
        if let Some((parent, stored)) = link
            && let Ok(found) = self.directory_locked(&parent)?.attributes(&stored)
            && found.inode == node.number
        {
            return Ok(found);
        }
        self.volume.attributes_of(self.object_locked(node)?)
    }

    /// Runs `f` with the parent directory and a stored name of the node.
    ///
    /// # Errors
    /// `ESTALE` when it has no name; those of `f`.
    pub fn with_name<T>(
        &self,
        node: &Arc<Node>,
        f: impl FnOnce(&Directory, &std::ffi::CStr) -> Result<T, VolumeError>,
    ) -> Result<T, VolumeError> {
        let _names = self.names.read();
        let link = {
            let place = node.place.lock();
            let first = place.links.first();
            first.map(|link| (Arc::clone(&link.parent), link.stored.clone()))
        };
        let (parent, stored) = link.ok_or_else(stale)?;
        f(&*self.directory_locked(&parent)?, &stored)
    }

    /// Makes durable what a node needs of the directories above it to be found after a power cut.
    ///
    /// # Errors
    /// The backing filesystem's.
    pub fn sync_way_to(&self, node: &Arc<Node>) -> Result<(), VolumeError> {
        if self.volume.owes_nothing() {
            return Ok(());
        }
        let mut way = Vec::new();
        {
            let _names = self.names.read();
            let mut nodes = vec![Arc::clone(node)];
            while let Some(node) = nodes.pop() {
                let links: Vec<_> = {
                    let place = node.place.lock();
                    let links = place.links.iter();
                    links
                        .map(|link| (Arc::clone(&link.parent), link.stored.clone()))
                        .collect()
                };
                for (parent, stored) in links {
                    way.push((self.directory_locked(&parent)?, stored));
                    nodes.push(parent);
                }
            }
        }
        // The highest last: nothing refers to what is not durable.
        way.iter()
            .try_for_each(|(directory, stored)| directory.sync_way_to(stored))
    }

    /// The path of a node's stored object below the backing directory, for logs: no name stands in
    /// it in clear. `None` when that cannot be told.
    pub fn stored_path(&self, node: &Arc<Node>) -> Option<String> {
        let _names = self.names.read();
        let mut parts = Vec::new();
        let mut node = Arc::clone(node);
        while node.number != ROOT {
            let parent = {
                let place = node.place.lock();
                let link = place.links.first()?;
                parts.push(link.stored.to_string_lossy().into_owned());
                Arc::clone(&link.parent)
            };
            // No path of the kernel's is longer.
            if parts.len() > 4096 {
                return None;
            }
            node = parent;
        }
        parts.reverse();
        Some(format!("/{}", parts.join("/")))
    }

    /// The header of a node's object where it is stored.
    ///
    /// # Errors
    /// [`VolumeError::NoDataKey`] for symlinks and special files; as [`Tree::object`].
    pub fn envelope(&self, node: &Arc<Node>) -> Result<Arc<Envelope>, VolumeError> {
        match node.kind {
            Kind::Directory => Ok(Arc::clone(self.directory(node)?.envelope())),
            Kind::File => {
                let object = self.object(node)?;
                self.volume.envelope_of(&object)
            }
            Kind::Symlink | Kind::Fifo | Kind::Socket | Kind::CharDevice | Kind::BlockDevice => {
                Err(VolumeError::NoDataKey)
            }
        }
    }

    /// Looks a name up and remembers what it means.
    ///
    /// # Errors
    /// As [`Directory::lookup`].
    pub fn lookup(&self, parent: &Arc<Node>, name: &OsStr) -> Result<Attributes, VolumeError> {
        let directory = self.directory(parent)?;
        let _names = self.names.read();
        let (stored, attributes) = directory.lookup(name)?;
        self.remember(parent, stored, &attributes);
        Ok(attributes)
    }

    /// Finds what was listed, and remembers it.
    ///
    /// # Errors
    /// `ENOENT` when it is gone.
    pub fn found_listed(
        &self,
        parent: &Arc<Node>,
        directory: &Directory,
        listed: &ListedName,
    ) -> Result<Attributes, VolumeError> {
        use std::os::unix::ffi::OsStrExt;
        let _names = self.names.read();
        let (stored, found) = match directory.attributes(&listed.stored) {
            Ok(found) => (listed.stored.clone(), found),
            Err(_) => directory.lookup(OsStr::from_bytes(&listed.name))?,
        };
        self.remember(parent, stored, &found);
        Ok(found)
    }

    /// Remembers what was made under a name a moment ago: a reseal may have moved it since.
    pub fn remember_made(
        &self,
        parent: &Arc<Node>,
        name: &OsStr,
        stored: CString,
        made: &Attributes,
    ) -> Arc<Node> {
        let _names = self.names.read();
        let stored = match self.directory_locked(parent) {
            Ok(directory) if directory.attributes(&stored).is_err() => {
                match directory.lookup(name) {
                    Ok((moved, found)) if found.inode == made.inode => moved,
                    // Gone again.
                    _ => stored,
                }
            }
            _ => stored,
        };
        self.remember(parent, stored, made)
    }

    /// The node that a name means, if the kernel knows it.
    fn known(&self, directory: &Directory, stored: &std::ffi::CStr) -> Option<Arc<Node>> {
        let inode = directory.attributes(stored).ok()?.inode;
        self.nodes.lock().get(&inode).cloned()
    }

    /// Holds the object of a node open if the link that goes is its only one.
    fn anchor(&self, node: &Arc<Node>, parent: &Arc<Node>, stored: &CString) {
        let only = {
            let place = node.place.lock();
            place.anchor.is_none() && place.links.iter().all(|link| link.is(parent, stored))
        };
        if only && let Ok(object) = self.object_locked(node) {
            node.place.lock().anchor = Some(Arc::new(object));
        }
    }

    /// Takes a name away by `remove`, which gets the parent directory.
    ///
    /// # Errors
    /// Those of `remove`.
    pub fn remove(
        &self,
        parent: &Arc<Node>,
        name: &OsStr,
        remove: impl FnOnce(&Directory) -> Result<(), VolumeError>,
    ) -> Result<(), VolumeError> {
        let directory = self.directory(parent)?;
        let _names = self.names.write();
        let stored = directory.seal(name)?.name;
        let node = self.known(&directory, &stored);
        if let Some(node) = &node {
            self.anchor(node, parent, &stored);
        }
        let result = remove(&directory);
        if let Some(node) = node {
            let mut place = node.place.lock();
            if result.is_ok() {
                place.links.retain(|link| !link.is(parent, &stored));
            } else if !place.links.is_empty() {
                place.anchor = None;
            }
        }
        result
    }

    /// Renames, and lets the nodes follow.
    ///
    /// # Errors
    /// As [`Directory::rename`].
    pub fn rename(
        &self,
        parent: &Arc<Node>,
        name: &OsStr,
        new_parent: &Arc<Node>,
        new_name: &OsStr,
        flags: RenameFlags,
    ) -> Result<(), VolumeError> {
        let (from, to) = (self.directory(parent)?, self.directory(new_parent)?);
        let exchange = flags.contains(RenameFlags::EXCHANGE);
        if !Arc::ptr_eq(parent, new_parent) && self.volume.is_strict() {
            // What is durable where it is must not come to depend on what is not.
            self.sync_way_to(new_parent)?;
            if exchange {
                self.sync_way_to(parent)?;
            }
        }
        let _names = self.names.write();
        // The same stored names from here to the end of it.
        let (_from, _to) = (from.using_names(), to.using_names());
        let (old, new) = (from.seal(name)?.name, to.seal(new_name)?.name);
        let (source, target) = (self.known(&from, &old), self.known(&to, &new));
        let same = matches!((&source, &target), (Some(a), Some(b)) if Arc::ptr_eq(a, b));
        if let Some(target) = target.as_ref().filter(|_| !exchange && !same) {
            self.anchor(target, new_parent, &new);
        }
        let result = from.rename(name, &to, new_name, flags);
        if result.is_err() {
            if let Some(target) = target {
                let mut place = target.place.lock();
                if !place.links.is_empty() {
                    place.anchor = None;
                }
            }
            return result;
        }
        if same {
            // Two names of one file: POSIX leaves both.
            return Ok(());
        }
        if let Some(target) = target {
            let mut place = target.place.lock();
            place.links.retain(|link| !link.is(new_parent, &new));
            if exchange {
                place.links.push(Link {
                    parent: Arc::clone(parent),
                    stored: old.clone(),
                });
            }
        }
        if let Some(source) = source {
            let mut place = source.place.lock();
            place.links.retain(|link| !link.is(parent, &old));
            place.links.push(Link {
                parent: Arc::clone(new_parent),
                stored: new,
            });
            place.anchor = None;
        }
        Ok(())
    }

    /// Does a step of a reseal, and lets the nodes follow whose names it moves.
    ///
    /// # Errors
    /// As [`Reseal::step`].
    pub fn reseal(&self, reseal: &Reseal) -> Result<Step, VolumeError> {
        if !reseal.moves_names() {
            return reseal.step();
        }
        let _names = self.names.write();
        let step = reseal.step()?;
        if let Step::More(moved) = &step {
            for name in moved {
                let node = self.nodes.lock().get(&name.inode).cloned();
                let Some(node) = node else {
                    continue;
                };
                let mut place = node.place.lock();
                // Sealed names differ between directories.
                for link in &mut place.links {
                    if link.stored == name.old {
                        link.stored.clone_from(&name.new);
                    }
                }
            }
        }
        Ok(step)
    }

    /// How many nodes the kernel knows.
    pub fn len(&self) -> usize {
        self.nodes.lock().len()
    }

    /// Never: there is always the root.
    pub fn is_empty(&self) -> bool {
        false
    }
}

impl Drop for Node {
    /// Without recursion: the chain of parents may be as deep as somebody cared to make it.
    fn drop(&mut self) {
        let mut waiting: Vec<_> = std::mem::take(&mut self.place.get_mut().links);
        while let Some(link) = waiting.pop() {
            if let Some(mut parent) = Arc::into_inner(link.parent) {
                waiting.append(&mut parent.place.get_mut().links);
            }
        }
    }
}

impl Link {
    fn is(&self, parent: &Arc<Node>, stored: &CString) -> bool {
        self.stored == *stored && Arc::ptr_eq(&self.parent, parent)
    }
}

impl Node {
    fn new(attributes: &Attributes) -> Self {
        Self {
            number: attributes.inode,
            kind: attributes.kind,
            place: Mutex::default(),
            directory: Mutex::new(None),
            lookups: AtomicU64::new(0),
        }
    }
}
