//! G8: another data key for files and directories in use. Stops at every call are in
//! `volume_faults`, power cuts in `volume_power`, random sequences in `volume_model`.

mod support;

use std::ffi::OsStr;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rekeyfs::volume::{Directory, Handle, OpenOptions, Reseal, Step, Volume, VolumeError};
use rustix::fs::XattrFlags;
use support::{Keys, OWNER, keys, make_key, read_all, rewrap_to, stored_path, temporary};

const CHUNK: usize = 4096;
const GROUP: usize = 64 * CHUNK;

struct World {
    keys: Keys,
    path: PathBuf,
    volume: Arc<Volume>,
    root: Arc<Directory>,
    _dir: tempfile::TempDir,
}

impl World {
    fn new() -> Self {
        let dir = temporary();
        let keys = keys(dir.path());
        let path = dir.path().join("volume");
        keys.init(&path);
        let volume = keys.open(&path);
        let root = volume.root().expect("root");
        Self {
            keys,
            path,
            volume,
            root,
            _dir: dir,
        }
    }

    fn file(&self, name: &str, bytes: &[u8]) -> Handle {
        let file = self.keys.create(&self.root, name).expect("create");
        assert_eq!(file.write(0, bytes).expect("write"), bytes.len());
        file
    }

    fn reseal(&self, file: &Handle) -> Reseal {
        Reseal::of_file(file.envelope(), &self.keys.caller).expect("reseal")
    }

    /// Closes everything and opens it again.
    fn remount(self, options: OpenOptions) -> Self {
        drop(self.root);
        assert!(self.volume.close().expect("close").is_empty());
        drop(self.volume);
        let kms: Arc<rekeyfs::kms::Kms> = Arc::clone(&self.keys.kms);
        let volume = Volume::open(
            Arc::new(rekeyfs::volume::backing::System),
            kms,
            &self.path,
            options,
        )
        .expect("open");
        let root = volume.root().expect("root");
        Self {
            volume,
            root,
            ..self
        }
    }
}

fn contents() -> Vec<u8> {
    let mut bytes: Vec<u8> = (0..40 * GROUP + 5 * CHUNK + 100)
        .map(|i| (i / 3) as u8 | 1)
        .collect();
    bytes[GROUP..5 * GROUP].fill(0);
    bytes
}

fn epochs(file: &Handle) -> Vec<u32> {
    let header = file.envelope().header();
    header.epochs.iter().map(|epoch| epoch.number).collect()
}

#[test]
fn a_reseal_leaves_nothing_under_the_old_key_and_the_file_as_it_was() {
    let world = World::new();
    let file = world.file("file", &contents());
    file.punch(GROUP as u64, 4 * GROUP as u64).expect("punch");
    let (name, value) = (OsStr::new("user.note"), b"value");
    let fd = std::fs::File::open(stored_path(&world.path, &world.root, "file")).expect("open");
    let set = |name: &OsStr, value: &[u8]| {
        world
            .volume
            .set_sealed_xattr(&fd, &*file, name, value, XattrFlags::empty())
            .expect("set")
    };
    set(name, value);
    set(OsStr::new("user.other"), b"");
    file.sync(false).expect("sync");
    let stored = || std::fs::read(stored_path(&world.path, &world.root, "file")).expect("read");
    let (before, stat) = (stored(), fd.metadata().expect("stat"));
    let old = file.envelope().wrapped().blob;

    let progress = world.reseal(&file).run().expect("reseal");
    assert_eq!((progress.epoch, progress.lost), (2, 0));
    assert_eq!(progress.done, progress.total);
    assert_eq!(epochs(&file), [2]);
    let after = stored();
    assert_eq!(before.len(), after.len());
    let body = 2 * CHUNK;
    for (at, (old, new)) in before[body..]
        .chunks(CHUNK)
        .zip(after[body..].chunks(CHUNK))
        .enumerate()
    {
        let hole = old.iter().all(|byte| *byte == 0);
        assert!(old != new || hole, "page {at} of the body is as it was");
    }
    assert!(!after.windows(old.len()).any(|window| window == old));
    let now = fd.metadata().expect("stat");
    assert_eq!(
        (stat.ino(), stat.mtime_nsec()),
        (now.ino(), now.mtime_nsec())
    );
    assert!(read_all(&file).expect("read") == contents());
    let world = {
        drop(file);
        world.remount(OpenOptions::default())
    };
    let file = world.keys.open_file(&world.root, "file").expect("open");
    assert!(read_all(&file).expect("read") == contents());
    let found = world.volume.sealed_xattr(&fd, &*file, name).expect("value");
    assert_eq!(found, value);
    let names = world.volume.sealed_xattr_names(&fd, &*file).expect("names");
    assert_eq!(names, [b"user.note".to_vec(), b"user.other".to_vec()]);
}

#[test]
fn a_reseal_that_was_left_goes_on_and_can_be_read_meanwhile() {
    let world = World::new();
    let file = world.file("file", &contents());
    world.reseal(&file).step().expect("step");
    assert_eq!(epochs(&file), [1, 2]);
    drop(file);
    let read_only = OpenOptions {
        read_only: true,
        ..OpenOptions::default()
    };
    let world = world.remount(read_only);
    let file = world.keys.open_file(&world.root, "file").expect("open");
    assert!(read_all(&file).expect("read") == contents());
    assert!(matches!(
        Reseal::of_file(file.envelope(), &world.keys.caller),
        Err(VolumeError::ReadOnly)
    ));
    drop(file);
    let world = world.remount(OpenOptions::default());
    let file = world.keys.open_file(&world.root, "file").expect("open");
    let progress = world.reseal(&file).run().expect("reseal");
    assert_eq!((progress.epoch, epochs(&file)), (2, vec![2]));
    assert_eq!(world.reseal(&file).run().expect("another").epoch, 3);
    drop(file);
    let world = world.remount(OpenOptions::default());
    let file = world.keys.open_file(&world.root, "file").expect("open");
    assert!(read_all(&file).expect("read") == contents());
}

#[test]
fn a_rewrap_in_the_middle_moves_both_data_keys() {
    let world = World::new();
    let file = world.file("file", &contents());
    let reseal = world.reseal(&file);
    reseal.step().expect("step");
    let other = make_key(&world.keys.kms, &world.keys.caller, "SYMMETRIC_DEFAULT");
    let request = rewrap_to(&other);
    let envelope = file.envelope();
    envelope
        .rewrap(&world.keys.caller, &request)
        .expect("rewrap");
    for epoch in &envelope.header().epochs {
        assert_eq!(epoch.wrapped.key_arn, other);
    }
    drop((file, reseal));
    let world = world.remount(OpenOptions::default());
    let file = world.keys.open_file(&world.root, "file").expect("open");
    assert!(read_all(&file).expect("read") == contents());
    world.reseal(&file).run().expect("reseal");
    assert!(read_all(&file).expect("read") == contents());
}

#[test]
fn a_damaged_chunk_becomes_lost_and_can_be_overwritten() {
    let world = World::new();
    let file = world.file("file", &contents());
    file.sync(false).expect("sync");
    let stored = std::fs::OpenOptions::new()
        .write(true)
        .open(stored_path(&world.path, &world.root, "file"))
        .expect("open");
    // Chunk 2 of group 0: two slots, the entry page, two pages.
    stored
        .write_at(b"damage", (5 * CHUNK) as u64)
        .expect("write");
    let progress = world.reseal(&file).run().expect("reseal");
    assert_eq!(progress.lost, 1);
    let read = |file: &Handle, chunk: usize| file.read((chunk * CHUNK) as u64, CHUNK).map(|_| ());
    let lost = |file: &Handle| {
        assert!(read(file, 1).is_ok() && read(file, 3).is_ok());
        assert!(matches!(
            read(file, 2),
            Err(VolumeError::ChunkUnverified { index: 2 })
        ));
    };
    lost(&file);
    drop(file);
    let world = world.remount(OpenOptions::default());
    let file = world.keys.open_file(&world.root, "file").expect("open");
    lost(&file);
    let chunk = &contents()[2 * CHUNK..3 * CHUNK];
    file.write((2 * CHUNK) as u64, chunk).expect("write");
    assert!(read_all(&file).expect("read") == contents());
}

#[test]
fn a_directory_gets_other_stored_names_for_the_same_plain_ones() {
    let world = World::new();
    let mut expected: Vec<String> = (0..200).map(|number| format!("file {number}")).collect();
    expected.extend([200, 255].map(|len| "l".repeat(len)));
    for name in &expected {
        drop(world.keys.create(&world.root, name).expect("create"));
    }
    let make = |name: &str| {
        world
            .root
            .create_directory(&world.keys.caller, OsStr::new(name), OWNER)
            .expect("mkdir")
    };
    make("directory");
    expected.push("directory".to_owned());
    expected.sort();
    let stored = |path: &Path| -> Vec<String> {
        let entries = std::fs::read_dir(path).expect("list").flatten();
        let names = entries.map(|entry| entry.file_name().into_string().expect("ASCII"));
        names
            .filter(|name| {
                !matches!(
                    &**name,
                    "rekeyfs.dir" | "rekeyfs.volume" | "rekeyfs.targets"
                )
            })
            .collect()
    };
    let before = stored(&world.path);
    let reseal = Reseal::of_directory(&world.root, &world.keys.caller).expect("reseal");
    let mut steps = 0;
    while let Step::More(_) = reseal.prepare().and_then(|()| reseal.step()).expect("step") {
        // Whatever is done in the middle of it is done.
        steps += 1;
        assert_eq!(world.keys.names(&world.root), expected);
        for name in ["file 0", "file 199", &expected[0], &"l".repeat(255)] {
            world.root.lookup(OsStr::new(name)).expect(name);
        }
        let new = format!("made in step {steps}");
        drop(world.keys.create(&world.root, &new).expect("create"));
        assert!(world.keys.create(&world.root, "file 7").is_err());
        world.root.unlink(OsStr::new(&new)).expect("unlink");
    }
    assert!(steps > 3);
    let after = stored(&world.path);
    assert_eq!(before.len(), after.len());
    assert!(!after.iter().any(|name| before.contains(name)));
    assert_eq!(world.keys.names(&world.root), expected);
    drop(reseal);
    let world = world.remount(OpenOptions::default());
    assert_eq!(world.keys.names(&world.root), expected);
    let marker = std::fs::read(world.path.join("rekeyfs.volume")).expect("read");
    for page in marker.chunks(CHUNK) {
        assert_eq!(page[48..52], 2_u32.to_le_bytes(), "the volume key");
    }
}

#[test]
fn a_reseal_of_a_directory_leaves_its_times() {
    let world = World::new();
    let (stored, _) = world
        .root
        .create_directory(&world.keys.caller, OsStr::new("directory"), OWNER)
        .expect("mkdir");
    let directory = world.root.open(&stored).expect("open");
    drop(world.keys.create(&directory, "file").expect("create"));
    let path = stored_path(&world.path, &world.root, "directory");
    let before = std::fs::metadata(&path).expect("stat");
    let reseal = Reseal::of_directory(&directory, &world.keys.caller).expect("reseal");
    reseal.run().expect("run");
    let after = std::fs::metadata(&path).expect("stat");
    assert_eq!(
        before.modified().expect("time"),
        after.modified().expect("time")
    );
    assert_eq!(world.keys.names(&directory), ["file"]);
}

/// Writers, readers and a truncating one work while the file is resealed again and again.
#[test]
fn what_is_written_during_reseals_is_there() {
    let world = World::new();
    let file = world.file("file", &vec![1; 6 * GROUP]);
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..3_u64)
            .map(|worker| {
                let (file, stop) = (&file, &stop);
                scope.spawn(move || {
                    // Each has every third chunk.
                    let mut model = vec![1; 6 * 64];
                    let mut state = worker + 1;
                    let mut rounds = 0_u64;
                    while !stop.load(Ordering::Relaxed) || rounds < 200 {
                        state = state
                            .wrapping_mul(6_364_136_223_846_793_005)
                            .wrapping_add(1);
                        let chunk = (state >> 33) % (2 * 64) * 3 + worker;
                        let value = (rounds % 250) as u8 + 2;
                        let at = chunk * CHUNK as u64;
                        if rounds.is_multiple_of(3) {
                            let found = file.read(at, CHUNK).expect("read");
                            let expected = model[chunk as usize];
                            assert!(found.as_bytes().iter().all(|byte| *byte == expected));
                        } else {
                            file.write(at, &[value; CHUNK]).expect("write");
                            model[chunk as usize] = value;
                        }
                        if rounds.is_multiple_of(50) {
                            file.sync(true).expect("sync");
                        }
                        rounds += 1;
                    }
                    model
                })
            })
            .collect();
        for epoch in 2..12 {
            assert_eq!(world.reseal(&file).run().expect("reseal").epoch, epoch);
        }
        stop.store(true, Ordering::Relaxed);
        let models: Vec<_> = workers
            .into_iter()
            .map(|worker| worker.join().expect("worker"))
            .collect();
        let found = read_all(&file).expect("read");
        for (chunk, bytes) in found.chunks(CHUNK).enumerate() {
            let expected = models[chunk % 3][chunk];
            assert!(bytes.iter().all(|byte| *byte == expected), "chunk {chunk}");
        }
    });
    drop(file);
    let world = world.remount(OpenOptions::default());
    let file = world.keys.open_file(&world.root, "file").expect("open");
    read_all(&file).expect("read");
}

/// One name of a step cannot be moved: what was moved before it is, and nothing is lost.
#[test]
fn a_name_that_cannot_be_moved_stops_the_reseal_and_is_not_lost() {
    let world = World::new();
    for number in 0..50 {
        let name = format!("file {number}");
        drop(world.keys.create(&world.root, &name).expect("create"));
    }
    let expected = world.keys.names(&world.root);
    let reseal = Reseal::of_directory(&world.root, &world.keys.caller).expect("reseal");
    let stored = || stored_path(&world.path, &world.root, "file 7");
    let (old, aside) = (stored(), world.path.join("aside"));
    std::fs::rename(&old, &aside).expect("rename");
    // Somebody puts something where it would be moved to.
    let new = stored();
    assert_ne!(old, new);
    std::fs::rename(&aside, &old).expect("rename");
    std::fs::write(&new, "").expect("write");
    let fault = reseal.run().expect_err("it cannot be moved");
    assert!(fault.to_string().contains("move a name"), "{fault}");
    assert_eq!(world.root.envelope().header().epochs.len(), 2);
    // Both have the name now.
    let mut both = expected.clone();
    both.push("file 7".to_owned());
    both.sort();
    assert_eq!(world.keys.names(&world.root), both);
    std::fs::remove_file(&new).expect("remove");
    assert_eq!(world.keys.names(&world.root), expected);
    assert!(world.keys.open_file(&world.root, "file 7").is_ok());
    reseal.run().expect("it can be moved now");
    assert_eq!(world.root.envelope().header().epochs.len(), 1);
    assert_eq!(world.keys.names(&world.root), expected);
    assert!(world.keys.open_file(&world.root, "file 7").is_ok());
}
