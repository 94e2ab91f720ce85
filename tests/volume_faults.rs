//! G1 and G2: stop, or fail, at every changing call of every mutating operation, and again during
//! the recovery from that. Whatever was readable before is readable afterwards, old or new.

mod support;

use std::ffi::OsStr;
use std::path::Path;
use std::sync::Arc;

use rekeyfs::volume::backing::Backing;
use rekeyfs::volume::{Directory, Reseal, VolumeError};
use rustix::fs::RenameFlags;
use rustix::io::Errno;
use support::{
    Fate, Faulty, Keys, OWNER, copy_tree, keys, make_key, read_all, rewrap_to, temporary,
};

const CHUNK: usize = 4096;
const GROUP: usize = 64 * CHUNK;

/// The file that operations work on: three groups, a partly filled tail, a hole in the middle.
fn contents() -> Vec<u8> {
    let mut bytes: Vec<u8> = (0..2 * GROUP + 5 * CHUNK + 100)
        .map(|i| (i / 7) as u8 | 1)
        .collect();
    bytes[10 * CHUNK..20 * CHUNK].fill(0);
    bytes
}

struct World {
    keys: Keys,
    other_key: String,
    dir: tempfile::TempDir,
}

impl World {
    fn new() -> Self {
        let dir = temporary();
        let keys = keys(dir.path());
        let other_key = make_key(&keys.kms, &keys.caller, "SYMMETRIC_DEFAULT");
        let world = Self {
            keys,
            other_key,
            dir,
        };
        world.keys.init(&world.dir.path().join("template"));
        let volume = world.keys.open(&world.dir.path().join("template"));
        let root = volume.root().expect("root");
        let file = world.keys.create(&root, "file").expect("create");
        assert_eq!(file.write(0, &contents()).expect("write"), contents().len());
        file.punch(10 * CHUNK as u64, 10 * CHUNK as u64)
            .expect("punch");
        drop(file);
        root.create_directory(&world.keys.caller, OsStr::new("dir"), OWNER)
            .expect("mkdir");
        root.create_directory(&world.keys.caller, OsStr::new("empty"), OWNER)
            .expect("mkdir");
        drop(world.keys.create(&root, &"k".repeat(200)).expect("create"));
        drop(root);
        assert!(volume.close().expect("close").is_empty());
        world
    }

    /// A fresh copy of the volume.
    fn copy(&self) -> std::path::PathBuf {
        let path = self.dir.path().join("volume");
        let _ = std::fs::remove_dir_all(&path);
        copy_tree(&self.dir.path().join("template"), &path);
        path
    }
}

type Operation = fn(&World, &Arc<Directory>) -> Result<(), VolumeError>;

fn file(world: &World, root: &Directory) -> Result<rekeyfs::volume::Handle, VolumeError> {
    world.keys.open_file(root, "file")
}

fn write(world: &World, root: &Directory, at: usize, bytes: &[u8]) -> Result<(), VolumeError> {
    let written = file(world, root)?.write(at as u64, bytes)?;
    if written < bytes.len() {
        return Err(VolumeError::Invalid {
            what: "a short write",
        });
    }
    Ok(())
}

/// Every mutating operation, and what the file may be afterwards: a list of (range, new bytes).
fn operations() -> Vec<(&'static str, Operation)> {
    vec![
        ("overwrite a chunk", |w, r| {
            write(w, r, 3 * CHUNK, &[0xa1; CHUNK])
        }),
        ("overwrite parts of two chunks", |w, r| {
            write(w, r, 4 * CHUNK - 50, &[0xa2; 100])
        }),
        ("overwrite across groups", |w, r| {
            write(w, r, GROUP - 2 * CHUNK, &[0xa3; 4 * CHUNK])
        }),
        ("overwrite a whole group", |w, r| {
            write(w, r, 0, &[0xa4; GROUP])
        }),
        ("overwrite twice in a row", |w, r| {
            write(w, r, 3 * CHUNK, &[0xa5; CHUNK])?;
            write(w, r, 3 * CHUNK, &[0xa6; CHUNK])
        }),
        ("overwrite twice while open", |w, r| {
            let file = file(w, r)?;
            file.write(3 * CHUNK as u64, &[0xa5; CHUNK])?;
            file.write(3 * CHUNK as u64, &[0xa6; CHUNK]).map(|_| ())
        }),
        ("fill a hole", |w, r| {
            write(w, r, 12 * CHUNK, &[0xa7; 2 * CHUNK])
        }),
        ("fill a hole and its edges", |w, r| {
            write(w, r, 8 * CHUNK, &[0xa8; 14 * CHUNK])
        }),
        ("append inside the tail", |w, r| {
            write(w, r, contents().len(), &[0xa9; 10])
        }),
        ("append chunks", |w, r| {
            write(w, r, contents().len(), &[0xaa; 3 * CHUNK])
        }),
        ("append a group", |w, r| {
            write(w, r, contents().len(), &[0xab; GROUP + CHUNK])
        }),
        ("write behind the end", |w, r| {
            write(w, r, 5 * GROUP + 7, &[0xac; 10])
        }),
        ("truncate down in a chunk", |w, r| {
            file(w, r)?.set_len(GROUP as u64 + 77)
        }),
        ("truncate down and up", |w, r| {
            let file = file(w, r)?;
            file.set_len(GROUP as u64 + 77)?;
            file.set_len(2 * GROUP as u64 + 5)
        }),
        ("truncate to nothing", |w, r| file(w, r)?.set_len(0)),
        ("open with O_TRUNC", |w, r| {
            let stored = r.seal(OsStr::new("file"))?.name;
            let envelope = r.volume().envelope_of(&r.object(&stored)?)?;
            rekeyfs::volume::File::open(&envelope, &w.keys.caller, true).map(|_| ())
        }),
        ("truncate up", |w, r| {
            file(w, r)?.set_len(4 * GROUP as u64 + 1)
        }),
        ("punch", |w, r| {
            file(w, r)?.punch(3 * CHUNK as u64 + 5, 9 * CHUNK as u64)
        }),
        ("create", |w, r| w.keys.create(r, "new").map(|_| ())),
        ("create with a long name", |w, r| {
            w.keys.create(r, &"n".repeat(250)).map(|_| ())
        }),
        ("mkdir", |w, r| {
            r.create_directory(&w.keys.caller, OsStr::new("newdir"), OWNER)
                .map(|_| ())
        }),
        ("symlink", |w, r| {
            let target = vec![b't'; 4000];
            r.create_symlink(&w.keys.caller, OsStr::new("link"), &target, OWNER)
                .map(|_| ())
        }),
        ("rmdir", |_, r| r.remove_directory(OsStr::new("empty"))),
        ("rename", |_, r| {
            r.rename(
                OsStr::new("file"),
                r,
                OsStr::new("renamed"),
                RenameFlags::empty(),
            )
        }),
        ("rename to a long name", |_, r| {
            let long = "l".repeat(250);
            r.rename(
                OsStr::new("file"),
                r,
                OsStr::new(&long),
                RenameFlags::empty(),
            )
        }),
        ("rename over a directory", |_, r| {
            r.rename(
                OsStr::new("dir"),
                r,
                OsStr::new("empty"),
                RenameFlags::empty(),
            )
        }),
        ("rewrap", |w, r| {
            let stored = r.seal(OsStr::new("file"))?.name;
            let envelope = r.volume().envelope_of(&r.object(&stored)?)?;
            let request = rewrap_to(&w.other_key);
            envelope.rewrap(&w.keys.caller, &request).map(|_| ())
        }),
        ("reseal", |w, r| {
            let stored = r.seal(OsStr::new("file"))?.name;
            let envelope = r.volume().envelope_of(&r.object(&stored)?)?;
            Reseal::of_file(&envelope, &w.keys.caller)?
                .run()
                .map(|_| ())
        }),
        ("write while a reseal is half done", |w, r| {
            let file = file(w, r)?;
            let reseal = Reseal::of_file(file.envelope(), &w.keys.caller)?;
            file.write(4 * CHUNK as u64 - 50, &[0xa2; 100])?;
            reseal.step()?;
            file.write(contents().len() as u64, &[0xaa; 3 * CHUNK])?;
            reseal.run().map(|_| ())
        }),
        ("reseal the root directory", |w, r| {
            Reseal::of_directory(r, &w.keys.caller)?.run().map(|_| ())
        }),
        ("rewrap a directory", |w, r| {
            let request = rewrap_to(&w.other_key);
            r.envelope().rewrap(&w.keys.caller, &request).map(|_| ())
        }),
    ]
}

/// The file's bytes, under whatever name it has now.
fn found(world: &World, root: &Directory) -> Vec<u8> {
    let names = world.keys.names(root);
    let long = "l".repeat(250);
    let name = ["file", "renamed", &long]
        .into_iter()
        .find(|name| names.iter().any(|found| found == name))
        .expect("the file is there under its old or its new name");
    let file = world.keys.open_file(root, name).expect("the file opens");
    read_all(&file).expect("every byte is readable")
}

/// Every byte is that of the state before or of the state after; between the two lengths a crash
/// may leave zeros.
fn check(what: &str, before: &[u8], after: &[u8], middle: &[u8], found: &[u8]) {
    let shorter = before.len().min(after.len());
    let longer = before.len().max(after.len()).div_ceil(CHUNK) * CHUNK;
    assert!(
        found.len() >= middle.len().min(shorter),
        "{what}: {} bytes left",
        found.len()
    );
    assert!(
        found.len() <= longer.max(middle.len()),
        "{what}: {} bytes",
        found.len()
    );
    for (at, byte) in found.iter().enumerate() {
        let allowed = [before, after, middle]
            .iter()
            .any(|state| state.get(at) == Some(byte));
        let new_zero = *byte == 0 && at >= shorter.min(middle.len());
        assert!(allowed || new_zero, "{what}: byte {at} is {byte:#x}");
    }
}

/// What the file is after the operation, and in the middle of it if it has two steps.
fn states(world: &World, name: &str, operation: Operation) -> (Vec<u8>, Vec<u8>) {
    let path = world.copy();
    let volume = world.keys.open(&path);
    let root = volume.root().expect("root");
    operation(world, &root).unwrap_or_else(|e| panic!("{name}: {e}"));
    let after = found(world, &root);
    drop(root);
    assert!(volume.close().expect("close").is_empty());
    let mut middle = contents();
    match name {
        "write while a reseal is half done" => {
            middle[4 * CHUNK - 50..4 * CHUNK + 50].fill(0xa2);
        }
        "truncate down and up" => middle.truncate(GROUP + 77),
        "overwrite twice in a row" | "overwrite twice while open" => {
            middle[3 * CHUNK..4 * CHUNK].fill(0xa5);
        }
        _ => {}
    }
    (after, middle)
}

fn directories_work(what: &str, world: &World, root: &Arc<Directory>) {
    let names = world.keys.names(root);
    // Whatever was done, nothing was done to this one; "file" and "dir" may have other names now.
    assert!(names.contains(&"k".repeat(200)), "{what}: {names:?}");
    assert!(names.len() >= 3, "{what}: {names:?}");
    for name in names {
        let (stored, found) = root.lookup(OsStr::new(&name)).expect("lookup");
        match found.kind {
            rekeyfs::volume::Kind::Directory => {
                let directory = root
                    .open(&stored)
                    .unwrap_or_else(|e| panic!("{what}: {name}: {e}"));
                assert_eq!(world.keys.names(&directory), Vec::<String>::new());
            }
            rekeyfs::volume::Kind::Symlink => {
                assert_eq!(root.read_link(&stored).expect("target"), vec![b't'; 4000]);
            }
            _ => {
                let file = world.keys.open_file(root, &name);
                file.and_then(|file| read_all(&file))
                    .unwrap_or_else(|e| panic!("{what}: {name}: {e}"));
            }
        }
    }
}

/// Opens, reads everything and settles on a backing store that may stop again.
fn recover(world: &World, path: &Path, backing: Arc<dyn Backing>) -> Result<Vec<u8>, VolumeError> {
    let volume = world.keys.open_on(backing, path)?;
    let root = volume.root()?;
    let names = world.keys.names(&root);
    let name = names
        .iter()
        .find(|name| name.starts_with("file") || name.starts_with("ren") || name.starts_with("ll"));
    assert!(names.contains(&"k".repeat(200)), "{names:?}");
    let file = world.keys.open_file(&root, name.expect("the file"))?;
    let bytes = read_all(&file)?;
    // Another change, as a program does that goes on after a crash.
    file.write(0, &bytes[..1.min(bytes.len())])?;
    drop(file);
    volume.close()?;
    Ok(bytes)
}

#[test]
fn stopped_at_any_call_and_again_during_recovery_nothing_is_lost() {
    let world = World::new();
    let before = contents();
    for (name, operation) in operations() {
        let (after, middle) = states(&world, name, operation);
        for fate in [Fate::StopBefore, Fate::StopInside] {
            for at in 1.. {
                let what = format!("{name}, {fate:?} {at}");
                println!("{what}");
                let path = world.copy();
                let backing = Faulty::new(at, fate);
                let volume = world.keys.open_on(backing.clone(), &path).expect("open");
                let root = volume.root().expect("root");
                backing.arm();
                let result = operation(&world, &root);
                if !backing.hit() {
                    result.unwrap_or_else(|e| panic!("{what}: {e}"));
                    assert!(at > 1, "{name} changes nothing");
                    break;
                }
                backing.stop();
                drop(root);
                drop(volume);
                // A second stop, at every third call of the recovery.
                for again in (1..).step_by(3) {
                    let second = Faulty::new(again, fate);
                    second.arm();
                    let recovered = recover(&world, &path, second.clone());
                    if !second.hit() {
                        let found = recovered.unwrap_or_else(|e| panic!("{what}: {e}"));
                        check(&what, &before, &after, &middle, &found);
                        break;
                    }
                    second.stop();
                }
                let volume = world.keys.open(&path);
                let root = volume.root().expect("root");
                check(&what, &before, &after, &middle, &found(&world, &root));
                directories_work(&what, &world, &root);
                drop(root);
                assert!(volume.close().expect("close").is_empty(), "{what}");
            }
        }
    }
}

#[test]
fn after_any_failed_call_everything_is_readable_at_once_and_after_a_remount() {
    let world = World::new();
    let before = contents();
    for (name, operation) in operations() {
        let (after, middle) = states(&world, name, operation);
        for fate in [
            Fate::Fail(Errno::NOSPC),
            Fate::Fail(Errno::IO),
            Fate::FailFrom(Errno::NOSPC),
        ] {
            for at in 1.. {
                let what = format!("{name}, {fate:?} at {at}");
                println!("{what}");
                let path = world.copy();
                let backing = Faulty::new(at, fate);
                let volume = world.keys.open_on(backing.clone(), &path).expect("open");
                let root = volume.root().expect("root");
                backing.arm();
                let result = operation(&world, &root);
                if !backing.hit() {
                    result.unwrap_or_else(|e| panic!("{what}: {e}"));
                    break;
                }
                backing.disarm();
                check(&what, &before, &after, &middle, &found(&world, &root));
                directories_work(&what, &world, &root);
                // It can be done now, unless half of it is done already.
                let _ = operation(&world, &root);
                check(&what, &before, &after, &middle, &found(&world, &root));
                drop(root);
                assert!(volume.close().expect("close").is_empty(), "{what}");
                drop(volume);
                let volume = world.keys.open(&path);
                let root = volume.root().expect("root");
                check(&what, &before, &after, &middle, &found(&world, &root));
                directories_work(&what, &world, &root);
            }
        }
    }
}

#[test]
fn a_rewrap_leaves_no_copy_of_the_old_wrap_in_the_file() {
    let world = World::new();
    let path = world.copy();
    let volume = world.keys.open(&path);
    let root = volume.root().expect("root");
    let stored = support::stored_path(&path, &root, "file");
    let envelope = world
        .keys
        .open_file(&root, "file")
        .expect("open")
        .envelope()
        .clone();
    let old = envelope.wrapped().blob;
    let contains = |needle: &[u8]| {
        let bytes = std::fs::read(&stored).expect("read");
        bytes.windows(needle.len()).any(|window| window == needle)
    };
    assert!(contains(&old));
    operations()
        .into_iter()
        .find(|(name, _)| *name == "rewrap")
        .map(|(_, operation)| operation(&world, &root))
        .expect("in the list")
        .expect("rewrap");
    assert!(!contains(&old));
    assert!(contains(&envelope.wrapped().blob));
}

/// The groups of a sparse file that are written one after the other, in no order.
const ORDER: [u64; 5] = [9, 3, 6, 1, 4];

#[test]
fn groups_between_others_are_found_after_any_stop_and_any_failure() {
    for fate in [
        Fate::StopBefore,
        Fate::StopInside,
        Fate::Fail(Errno::NOSPC),
        Fate::FailFrom(Errno::IO),
    ] {
        for at in 1.. {
            let dir = temporary();
            let keys = keys(dir.path());
            let path = dir.path().join("volume");
            keys.init(&path);
            let backing = Faulty::new(at, fate);
            let volume = keys.open_on(backing.clone(), &path).expect("open");
            let root = volume.root().expect("root");
            let file = keys.create(&root, "file").expect("create");
            backing.arm();
            let place = |group: u64| group * GROUP as u64 + 77;
            let written: Vec<u64> = ORDER
                .into_iter()
                .filter(|group| file.write(place(*group), b"data").is_ok_and(|n| n == 4))
                .collect();
            let over = !backing.hit();
            if matches!(fate, Fate::StopBefore | Fate::StopInside) && !over {
                backing.stop();
            } else {
                backing.disarm();
            }
            drop(file);
            drop(root);
            if !matches!(fate, Fate::StopBefore | Fate::StopInside) || over {
                volume.close().expect("close");
            }
            drop(volume);
            let volume = keys.open(&path);
            let root = volume.root().expect("root");
            let file = keys.open_file(&root, "file").expect("open");
            let what = format!("{fate:?} {at}");
            for group in &written {
                assert_eq!(
                    file.read(place(*group), 4).expect(&what).as_bytes(),
                    b"data",
                    "{what}"
                );
                let found = file.seek(group * GROUP as u64, false).expect(&what);
                assert_eq!(found, Some(group * GROUP as u64), "{what}: SEEK_DATA");
            }
            // A shrink and a punch find every group as well.
            file.write(place(2), b"more").expect(&what);
            file.set_len(7 * GROUP as u64).expect(&what);
            file.punch(0, 7 * GROUP as u64).expect(&what);
            assert!(
                read_all(&file).expect(&what).iter().all(|byte| *byte == 0),
                "{what}"
            );
            assert_eq!(file.seek(0, false).expect(&what), None, "{what}");
            if over {
                break;
            }
        }
    }
}

#[test]
fn offline_work_does_not_forget_that_a_mount_has_crashed() {
    use rekeyfs::volume::{OpenOptions, Volume};
    let world = World::new();
    for at in 1..6 {
        let path = world.copy();
        let backing = Faulty::new(at, Fate::StopBefore);
        let volume = world.keys.open_on(backing.clone(), &path).expect("open");
        let root = volume.root().expect("root");
        backing.arm();
        let _ = write(&world, &root, 3 * CHUNK, &[0xa1; CHUNK]);
        backing.stop();
        drop(root);
        drop(volume);
        let kms = world.keys.kms.clone();
        let options = OpenOptions {
            offline: true,
            ..OpenOptions::default()
        };
        let system = Arc::new(rekeyfs::volume::backing::System);
        Volume::open(system, kms, &path, options)
            .expect("offline")
            .close()
            .expect("close");
        let volume = world.keys.open(&path);
        let found = found(&world, &volume.root().expect("root"));
        let mut after = contents();
        after[3 * CHUNK..4 * CHUNK].fill(0xa1);
        check(
            &format!("stopped at {at}"),
            &contents(),
            &after,
            &contents(),
            &found,
        );
    }
}
