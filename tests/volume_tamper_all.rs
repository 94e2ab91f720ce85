//! G4: everything that a small volume stores is changed in every place, and what is said of it is
//! counted. Wrong plaintext is never among it. The volume is the golden one of version 1.

mod support;

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rekeyfs::kms::Kms;
use rekeyfs::mount::errno;
use rekeyfs::volume::backing::System;
use rekeyfs::volume::{Directory, Kind, OpenOptions, Volume, VolumeError};
use rustix::fs::XattrFlags;
use support::{Keys, golden, read_all, stored_path};

const PAGE: usize = 4096;

/// A plain object of the volume: its path, and what it is.
type Plain = BTreeMap<String, Vec<u8>>;

struct World {
    dir: tempfile::TempDir,
    keys: Keys,
    expected: Plain,
    /// By what was changed and how: what was said, and how often.
    said: BTreeMap<(String, &'static str), BTreeMap<String, usize>>,
}

/// What a look at an object gives: its bytes, a target, the names in it.
type Look = Result<Vec<u8>, VolumeError>;

impl World {
    fn new() -> Self {
        let (dir, keys) = golden("volume-1", "clean");
        let mut world = Self {
            dir,
            keys,
            expected: Plain::new(),
            said: BTreeMap::new(),
        };
        let volume = world.open().expect("open");
        let root = volume.root().expect("root");
        let mut expected = Plain::new();
        world.walk(&root, "", &mut expected);
        assert_eq!(expected.len(), 16);
        world.expected = expected;
        world
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("volume")
    }

    fn open(&self) -> Result<Arc<Volume>, VolumeError> {
        let kms: Arc<Kms> = Arc::clone(&self.keys.kms);
        let options = OpenOptions {
            read_only: true,
            ..OpenOptions::default()
        };
        Volume::open(Arc::new(System), kms, &self.path(), options)
    }

    fn walk(&self, at: &Arc<Directory>, path: &str, out: &mut Plain) {
        for name in self.keys.names(at) {
            let path = format!("{path}/{name}");
            let found = self.look(at, &name).expect("everything is readable");
            let (stored, attributes) = at.lookup(OsStr::new(&name)).expect("lookup");
            if attributes.kind == Kind::Directory {
                self.walk(&at.open(&stored).expect("open"), &path, out);
            }
            out.insert(path, found);
        }
    }

    /// What a name in a directory is.
    fn look(&self, at: &Arc<Directory>, name: &str) -> Look {
        let (stored, attributes) = at.lookup(OsStr::new(name))?;
        match attributes.kind {
            Kind::Directory => {
                let directory = at.open(&stored)?;
                Ok(self.keys.names(&directory).join("\n").into_bytes())
            }
            Kind::Symlink => at.read_link(&stored),
            _ => read_all(&*self.keys.open_file(at, name)?),
        }
    }

    /// The object with a path, in a volume that is open.
    fn look_up(&self, root: &Arc<Directory>, path: &str) -> Look {
        let mut at = Arc::clone(root);
        let (parents, name) = path[1..].rsplit_once('/').unwrap_or(("", &path[1..]));
        for part in parents.split('/').filter(|part| !part.is_empty()) {
            let (stored, _) = at.lookup(OsStr::new(part))?;
            at = at.open(&stored)?;
        }
        self.look(&at, name)
    }

    /// Compares what is found after a change with what must be there, and counts what is said.
    fn judge(&mut self, what: &str, how: &'static str, path: &str, found: &Look) {
        let said = match found {
            Ok(bytes) if *bytes == self.expected[path] => "as it was".to_owned(),
            // A name that was changed is nobody's, and hidden.
            Ok(bytes) => {
                let expected = String::from_utf8_lossy(&self.expected[path]).into_owned();
                let text = String::from_utf8_lossy(bytes).into_owned();
                let is_listing =
                    !expected.is_empty() && text.lines().count() < expected.lines().count();
                assert!(
                    is_listing && text.lines().all(|name| expected.lines().any(|e| e == name)),
                    "{what}, {how}: {path} has other contents"
                );
                "name hidden".to_owned()
            }
            Err(error) => match errno::of(error) {
                libc::EBADMSG => "EBADMSG".to_owned(),
                libc::EUCLEAN => "EUCLEAN".to_owned(),
                libc::EKEYREJECTED | libc::ENOKEY | libc::EINVAL | libc::EACCES => {
                    "refused by the KMS".to_owned()
                }
                libc::ENOENT => "name hidden".to_owned(),
                number => panic!("{what}, {how}: {path}: {error} ({number})"),
            },
        };
        let key = (what.to_owned(), how);
        *self.said.entry(key).or_default().entry(said).or_default() += 1;
    }

    /// Changes a stored file in every place; `look` looks at what it belongs to.
    fn change_everywhere(
        &mut self,
        what: &str,
        stored: &Path,
        path: &str,
        look: &dyn Fn(&Self) -> Look,
    ) {
        let good = std::fs::read(stored).expect("read");
        let file = std::fs::OpenOptions::new()
            .write(true)
            .open(stored)
            .expect("open");
        assert_eq!(look(self).ok().as_ref(), Some(&self.expected[path]));
        for at in 0..good.len() {
            let page = &good[at / PAGE * PAGE..good.len().min((at / PAGE + 1) * PAGE)];
            // Of a page of zeros, which means nothing or is a hole, some are enough.
            if page.iter().all(|byte| *byte == 0) && at % 61 != 0 {
                continue;
            }
            file.write_at(&[good[at] ^ 1 << (at % 8)], at as u64)
                .expect("write");
            let found = look(self);
            self.judge(what, "a bit flipped", path, &found);
            file.write_at(&good[at..=at], at as u64).expect("write");
        }
        let step = if good.len() > 8 * PAGE { 61 } else { 1 };
        for len in (0..good.len()).rev().step_by(step) {
            file.set_len(len as u64).expect("cut");
            let found = look(self);
            self.judge(what, "cut", path, &found);
        }
        for more in [1, 100, PAGE, PAGE + 1, 65 * PAGE, 300_000] {
            let longer = [&good[..], &vec![1; more]].concat();
            std::fs::write(stored, longer).expect("write");
            let found = look(self);
            self.judge(what, "extended", path, &found);
        }
        std::fs::write(stored, &good).expect("write");
        let pages = good.len() / PAGE;
        // What is beyond the first pages of the second group is like what is before.
        let interesting: Vec<usize> = (0..pages)
            .filter(|page| *page < 10 || *page + 3 > pages)
            .collect();
        let page = |index: usize| index * PAGE..(index + 1) * PAGE;
        for (at, left) in interesting.iter().enumerate() {
            for right in &interesting[at + 1..] {
                let mut bytes = good.clone();
                bytes[page(*left)].copy_from_slice(&good[page(*right)]);
                bytes[page(*right)].copy_from_slice(&good[page(*left)]);
                std::fs::write(stored, &bytes).expect("write");
                let found = look(self);
                self.judge(what, "pages exchanged", path, &found);
            }
        }
        std::fs::write(stored, &good).expect("write");
        assert_eq!(look(self).ok().as_ref(), Some(&self.expected[path]));
    }

    fn print(&self) {
        println!("{:30} {:18} {:>8}  said", "what", "how", "tried");
        for ((what, how), said) in &self.said {
            let tried: usize = said.values().sum();
            let list: Vec<_> = said
                .iter()
                .map(|(text, n)| format!("{text}: {n}"))
                .collect();
            println!("{what:30} {how:18} {tried:>8}  {}", list.join(", "));
        }
    }
}

#[test]
fn whatever_is_changed_at_rest_is_noticed_or_means_nothing() {
    let mut world = World::new();
    let files = [
        "/empty",
        "/small",
        "/chunks",
        "/sparse",
        "/rewrapped",
        "/resealed",
        "/asymmetric",
    ];
    {
        let volume = world.open().expect("open");
        let root = volume.root().expect("root");
        for path in files {
            let stored = stored_path(&world.path(), &root, &path[1..]);
            let look = |world: &World| world.look_up(&root, path);
            world.change_everywhere("file", &stored, path, &look);
        }
        exchange_between_files(&mut world, &root, &files);
        let directory = stored_path(&world.path(), &root, "resealed-directory");
        let header = directory.join("rekeyfs.dir");
        for path in ["/resealed-directory", "/resealed-directory/file"] {
            let look = |world: &World| world.look_up(&root, path);
            world.change_everywhere("rekeyfs.dir", &header, path, &look);
        }
        names_and_targets(&mut world, &root);
    }
    attribute(&mut world);
    for name in ["rekeyfs.dir", "rekeyfs.volume"] {
        let stored = world.path().join(name);
        let what = format!("{name} of the root");
        let look = |world: &World| {
            let volume = world.open()?;
            world.look_up(&volume.root()?, "/small")
        };
        world.change_everywhere(&what, &stored, "/small", &look);
    }
    world.print();
    let tried: usize = world.said.values().flat_map(BTreeMap::values).sum();
    assert!(tried > 100_000, "{tried}");
}

/// Headers, entry pages and chunks of one file in the place of another's.
fn exchange_between_files(world: &mut World, root: &Arc<Directory>, files: &[&str]) {
    let stored = |world: &World, path: &str| stored_path(&world.path(), root, &path[1..]);
    for path in files {
        let good = std::fs::read(stored(world, path)).expect("read");
        for other in files.iter().filter(|other| *other != path) {
            let foreign = std::fs::read(stored(world, other)).expect("read");
            let places = [
                ("a foreign header", 0..2 * PAGE),
                ("a foreign entry page", 2 * PAGE..3 * PAGE),
                ("a foreign chunk", 3 * PAGE..4 * PAGE),
                ("a foreign body", 2 * PAGE..4 * PAGE),
            ];
            for (how, range) in places {
                if range.end > good.len() || range.end > foreign.len() {
                    continue;
                }
                let mut bytes = good.clone();
                bytes[range.clone()].copy_from_slice(&foreign[range]);
                std::fs::write(stored(world, path), &bytes).expect("write");
                let found = world.look_up(root, path);
                world.judge("file", how, path, &found);
                let key = ("file".to_owned(), how);
                assert!(
                    !world.said[&key].contains_key("as it was"),
                    "{path}, {other}: {how}"
                );
            }
        }
        std::fs::write(stored(world, path), &good).expect("write");
    }
}

fn names_and_targets(world: &mut World, root: &Arc<Directory>) {
    let flipped = |name: &str, at: usize| -> String {
        let mut bytes = name.as_bytes().to_vec();
        bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
        String::from_utf8(bytes).expect("ASCII")
    };
    // A sealed name: the object is nobody's then.
    let stored = stored_path(&world.path(), root, "small");
    let name = stored
        .file_name()
        .and_then(OsStr::to_str)
        .expect("ASCII")
        .to_owned();
    for at in 0..name.len() {
        let other = stored.with_file_name(flipped(&name, at));
        std::fs::rename(&stored, &other).expect("rename");
        let names = world.keys.names(root);
        assert_eq!(names.len(), 13, "one is hidden, and no other comes up");
        let found = world.look_up(root, "/small");
        world.judge("sealed name", "a character", "/small", &found);
        std::fs::rename(&other, &stored).expect("rename");
    }
    for path in ["/link", "/longlink"] {
        let stored = stored_path(&world.path(), root, &path[1..]);
        let target = std::fs::read_link(&stored).expect("readlink");
        let target = target.to_str().expect("ASCII").to_owned();
        for at in 0..target.len() {
            std::fs::remove_file(&stored).expect("remove");
            std::os::unix::fs::symlink(flipped(&target, at), &stored).expect("symlink");
            let found = world.look_up(root, path);
            world.judge("symlink", "a character", path, &found);
        }
        std::fs::remove_file(&stored).expect("remove");
        std::os::unix::fs::symlink(&target, &stored).expect("symlink");
    }
    let targets = world.path().join("rekeyfs.targets");
    let target = std::fs::read_dir(targets).expect("list").flatten().next();
    let look = |world: &World| world.look_up(root, "/longlink");
    world.change_everywhere(
        "long target",
        &target.expect("one").path(),
        "/longlink",
        &look,
    );
    let long = "n".repeat(200);
    let companion = std::fs::read_dir(world.path()).expect("list").flatten();
    let companion = companion
        .map(|entry| entry.path())
        .find(|path| path.to_string_lossy().contains("rekeyfs.name."))
        .expect("one");
    let path = format!("/{long}");
    let look = |world: &World| {
        let listed = world.keys.names(root).contains(&long);
        if !listed {
            return Err(VolumeError::NameUnverified);
        }
        world.look_up(root, &path)
    };
    world.change_everywhere("companion of a long name", &companion, &path, &look);
}

fn attribute(world: &mut World) {
    let name = OsStr::new("user.note");
    let volume = world.keys.open(&world.path());
    let root = volume.root().expect("root");
    let stored = stored_path(&world.path(), &root, "small");
    let object = std::fs::File::open(&stored).expect("open");
    let file = world.keys.open_file(&root, "small").expect("open");
    volume
        .set_sealed_xattr(&object, &*file, name, b"a value", XattrFlags::empty())
        .expect("set");
    let mut listed = vec![0; 4096];
    let len = rustix::fs::flistxattr(&object, &mut listed[..]).expect("list");
    let stored_name = std::ffi::CStr::from_bytes_until_nul(&listed[..len]).expect("one");
    let mut value = vec![0; 4096];
    let len = rustix::fs::fgetxattr(&object, stored_name, &mut value[..]).expect("get");
    value.truncate(len);
    world
        .expected
        .insert("/small:user.note".to_owned(), b"a value".to_vec());
    for at in 0..value.len() {
        let mut bad = value.clone();
        bad[at] ^= 1 << (at % 8);
        for (how, bytes) in [("a bit flipped", &bad[..]), ("cut", &value[..at])] {
            rustix::fs::fsetxattr(&object, stored_name, bytes, XattrFlags::empty()).expect("set");
            let found = volume.sealed_xattr(&object, &*file, name);
            world.judge("attribute", how, "/small:user.note", &found);
        }
    }
    rustix::fs::fremovexattr(&object, stored_name).expect("remove");
    drop((file, root));
    assert!(volume.close().expect("close").is_empty());
}
