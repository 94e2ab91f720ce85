//! Whoever can write to the backing directory: other things in place of stored ones. The program
//! neither follows them out of the directory, nor waits for them, nor believes them.

mod support;

use std::ffi::OsStr;
use std::os::unix::fs::{FileTypeExt, symlink};
use std::path::{Path, PathBuf};

use rekeyfs::volume::{File, VolumeError};
use support::{Keys, OWNER, keys, stored_path, temporary};

struct World {
    keys: Keys,
    dir: tempfile::TempDir,
}

/// Puts something at a place; it may refer to a file outside of the volume.
type Put = fn(&Path, &Path);

/// What is put in place of a stored file.
fn impostors() -> Vec<(&'static str, Put)> {
    vec![
        ("a FIFO", |at, _| {
            let mode = rustix::fs::Mode::from_raw_mode(0o666);
            let kind = rustix::fs::FileType::Fifo;
            rustix::fs::mknodat(rustix::fs::CWD, at, kind, mode, 0).expect("mknod");
        }),
        ("a symlink out of it", |at, outside| {
            symlink(outside, at).expect("symlink");
        }),
        ("a magic link", |at, _| {
            symlink("/proc/self/fd/0", at).expect("symlink");
        }),
        ("a directory", |at, _| {
            std::fs::create_dir(at).expect("mkdir")
        }),
        ("/dev/zero", |at, _| {
            let mode = rustix::fs::Mode::from_raw_mode(0o666);
            let kind = rustix::fs::FileType::CharacterDevice;
            rustix::fs::mknodat(rustix::fs::CWD, at, kind, mode, rustix::fs::makedev(1, 5))
                .expect("mknod");
        }),
        ("a hard link to another file", |at, outside| {
            std::fs::hard_link(outside, at).expect("link");
        }),
        ("a header that claims to be huge", |at, _| {
            let mut slot = vec![0xff; 8192];
            slot[..8].copy_from_slice(b"RKFSSLOT");
            std::fs::write(at, slot).expect("write");
        }),
        ("a sparse file of 4 EiB", |at, _| {
            let file = std::fs::File::create(at).expect("create");
            // As large as the filesystem lets it be.
            let _ = (40..62).rev().find(|bits| file.set_len(1 << bits).is_ok());
        }),
    ]
}

impl World {
    fn new() -> Self {
        let dir = temporary();
        let world = Self {
            keys: keys(dir.path()),
            dir,
        };
        world.keys.init(&world.path());
        let volume = world.keys.open(&world.path());
        let root = volume.root().expect("root");
        let caller = &world.keys.caller;
        let file = world.keys.create(&root, "file").expect("create");
        file.write(0, b"contents").expect("write");
        drop(file);
        drop(world.keys.create(&root, &"l".repeat(250)).expect("create"));
        root.create_symlink(caller, OsStr::new("link"), &[b't'; 4000], OWNER)
            .expect("symlink");
        root.create_directory(caller, OsStr::new("dir"), OWNER)
            .expect("mkdir");
        drop(root);
        assert!(volume.close().expect("close").is_empty());
        world
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("volume")
    }

    /// The stored small files: what each is, and where.
    fn stored(&self) -> Vec<(&'static str, PathBuf)> {
        let volume = self.keys.open(&self.path());
        let root = volume.root().expect("root");
        let at = |name: &str| stored_path(&self.path(), &root, name);
        let long = at(&"l".repeat(250)).display().to_string();
        let targets = std::fs::read_dir(self.path().join("rekeyfs.targets")).expect("list");
        let target = targets.flatten().next().expect("a target").path();
        let out = vec![
            ("file", at("file")),
            ("rekeyfs.dir", at("dir").join("rekeyfs.dir")),
            (
                "companion",
                PathBuf::from(long.replace("rekeyfs.long.", "rekeyfs.name.")),
            ),
            ("target", target),
            ("rekeyfs.volume", self.path().join("rekeyfs.volume")),
        ];
        drop(root);
        assert!(volume.close().expect("close").is_empty());
        out
    }

    /// Does everything that touches stored files; faults are fine.
    fn use_it(&self) -> Result<(), VolumeError> {
        let volume = self.keys.open_on(
            std::sync::Arc::new(rekeyfs::volume::backing::System),
            &self.path(),
        )?;
        let root = volume.root()?;
        for entry in root.list(&self.keys.caller)? {
            let _ = root.attributes(&entry.stored);
            let _ = root
                .open(&entry.stored)
                .map(|directory| directory.list(&self.keys.caller));
            let _ = root.read_link(&entry.stored);
        }
        for name in ["file", &"l".repeat(250)] {
            let _ = self.keys.open_file(&root, name).map(|file| {
                let _ = support::read_all(&file);
                let _ = file.write(0, b"written by the attacked");
            });
            // O_TRUNC, and what a mount does when the header is lost.
            let stored = root.seal(OsStr::new(name))?.name;
            if let Ok(object) = root.object(&stored) {
                let opened = volume
                    .envelope_of(&object)
                    .and_then(|envelope| File::open(&envelope, &self.keys.caller, true));
                if matches!(opened, Err(VolumeError::HeaderMalformed { .. })) {
                    let _ = root.start_over(&self.keys.caller, &object);
                }
            }
        }
        let _ = root.rename(
            OsStr::new("file"),
            &root,
            OsStr::new("renamed"),
            rustix::fs::RenameFlags::empty(),
        );
        let _ = root.unlink(OsStr::new("link"));
        let _ = root.remove_directory(OsStr::new("dir"));
        drop(root);
        volume.close().map(|_| ())
    }
}

#[test]
fn nothing_in_place_of_a_stored_file_leads_out_of_the_volume_or_hangs() {
    let (count, kinds) = (World::new().stored().len(), impostors().len());
    for which in 0..count {
        for (what, put) in impostors() {
            let world = World::new();
            let outside = world.dir.path().join("outside");
            std::fs::write(&outside, b"nobody's business").expect("write");
            let (name, at) = world.stored().swap_remove(which);
            std::fs::remove_file(&at).expect("unlink");
            put(&at, &outside);
            let result = world.use_it();
            println!("{what} in place of {name}: {result:?}");
            assert_eq!(
                std::fs::read(&outside).expect("read"),
                b"nobody's business",
                "{what} in place of {name}"
            );
            let left = std::fs::symlink_metadata(&outside).expect("stat");
            assert!(left.is_file() && !left.file_type().is_fifo());
        }
    }
    println!("{count} stored files, {kinds} things in place of each");
}
