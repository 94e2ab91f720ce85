//! G4: every byte of small stored objects flipped, every cut, every exchange. What is read is
//! what was written, or an error; never anything else, never a panic.

mod support;

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use rekeyfs::volume::VolumeError;
use support::{Keys, OWNER, keys, read_all, stored_path, temporary};

const CHUNK: usize = 4096;
const ENTRY_PAGE: usize = 8192;
const DATA: usize = ENTRY_PAGE + CHUNK;

struct World {
    keys: Keys,
    path: PathBuf,
    _dir: tempfile::TempDir,
}

fn plain(len: usize) -> Vec<u8> {
    (0..len).map(|i| (i % 251) as u8 | 1).collect()
}

/// A volume that holds one file of `len` bytes and a directory with one name in it, settled.
fn world(len: usize) -> (World, PathBuf) {
    let dir = temporary();
    let keys = keys(dir.path());
    let path = dir.path().join("volume");
    keys.init(&path);
    let volume = keys.open(&path);
    let root = volume.root().expect("root");
    let file = keys.create(&root, "file").expect("create");
    file.write(0, &plain(len)).expect("write");
    drop(file);
    let (stored, _) = root
        .create_directory(&keys.caller, OsStr::new("dir"), OWNER)
        .expect("mkdir");
    keys.create(&root.open(&stored).expect("open"), "inner")
        .expect("create");
    let stored = stored_path(&path, &root, "file");
    drop(root);
    assert!(volume.close().expect("close").is_empty());
    (
        World {
            keys,
            path,
            _dir: dir,
        },
        stored,
    )
}

impl World {
    fn read(&self) -> Result<Vec<u8>, VolumeError> {
        let volume = self.keys.open(&self.path);
        let root = volume.root()?;
        let result = self
            .keys
            .open_file(&root, "file")
            .and_then(|file| read_all(&file));
        drop(root);
        volume.close().expect("close");
        result
    }

    /// Writes `bytes` as the stored file, reads, and tells whether the change was noticed.
    fn try_with(&self, stored: &Path, bytes: &[u8], expected: &[u8], what: &str) -> bool {
        std::fs::write(stored, bytes).expect("write");
        match self.read() {
            Ok(found) => {
                assert!(found == expected, "{what}: other bytes than were written");
                false
            }
            Err(
                VolumeError::ChunkUnverified { .. }
                | VolumeError::GroupUnverified { .. }
                | VolumeError::GroupMissing { .. }
                | VolumeError::CommitmentMismatch
                | VolumeError::HeaderMalformed { .. }
                | VolumeError::WrongType { .. }
                | VolumeError::LengthMismatch { .. }
                | VolumeError::Key(_),
            ) => true,
            Err(e) => panic!("{what}: {e}"),
        }
    }
}

#[test]
fn every_flipped_byte_of_a_file_is_noticed_or_means_nothing() {
    let expected = plain(CHUNK + 100);
    let (world, stored) = world(expected.len());
    let good = std::fs::read(&stored).expect("read");
    assert_eq!(world.read().ok().as_deref(), Some(&expected[..]));
    for at in 0..good.len() {
        let mut bad = good.clone();
        bad[at] ^= 0x40;
        let noticed = world.try_with(&stored, &bad, &expected, &format!("byte {at}"));
        let means_something = (ENTRY_PAGE..ENTRY_PAGE + 28).contains(&at)
            || (ENTRY_PAGE + 60..ENTRY_PAGE + 88).contains(&at)
            || (ENTRY_PAGE + 3840..DATA + 2 * CHUNK).contains(&at)
            || at < 300;
        assert!(noticed || !means_something, "byte {at} goes unnoticed");
    }
}

#[test]
fn every_cut_and_every_extension_is_noticed() {
    let expected = plain(CHUNK + 100);
    let (world, stored) = world(expected.len());
    let good = std::fs::read(&stored).expect("read");
    for len in 0..good.len() {
        let noticed = world.try_with(&stored, &good[..len], &expected, &format!("cut at {len}"));
        assert!(noticed, "cut at {len} goes unnoticed");
    }
    for more in [1, 100, 3996, 4096, 4097, 300_000] {
        let longer = [&good[..], &vec![0; more]].concat();
        assert!(world.try_with(&stored, &longer, &expected, &format!("{more} more")));
    }
}

#[test]
fn exchanged_zeroed_and_copied_pages_are_noticed() {
    let expected = plain(70 * CHUNK + 5);
    let (world, stored) = world(expected.len());
    let good = std::fs::read(&stored).expect("read");
    let pages = good.len() / CHUNK;
    let page = |index: usize| index * CHUNK..(index + 1) * CHUNK;
    for left in (2..pages).step_by(5).chain([2, 3, 67, 68]) {
        let mut zeroed = good.clone();
        zeroed[page(left)].fill(0);
        assert!(world.try_with(&stored, &zeroed, &expected, &format!("page {left} zeroed")));
        for right in [3, 4, 66, 67, 68] {
            if left == right {
                continue;
            }
            let mut exchanged = good.clone();
            exchanged[page(left)].copy_from_slice(&good[page(right)]);
            exchanged[page(right)].copy_from_slice(&good[page(left)]);
            assert!(world.try_with(
                &stored,
                &exchanged,
                &expected,
                &format!("pages {left} and {right}")
            ));
        }
    }
    // A chunk together with its entry, put to another place.
    let mut moved = good.clone();
    moved[ENTRY_PAGE..ENTRY_PAGE + 60].copy_from_slice(&good[ENTRY_PAGE + 60..ENTRY_PAGE + 120]);
    moved[page(3)].copy_from_slice(&good[page(4)]);
    assert!(world.try_with(&stored, &moved, &expected, "a chunk with its entry"));
    // A whole group zeroed: an absent group that nothing allows.
    let mut absent = good.clone();
    absent[ENTRY_PAGE + 65 * CHUNK..].fill(0);
    assert!(world.try_with(&stored, &absent, &expected, "the last group"));
}

#[test]
fn one_damaged_page_costs_its_chunk_and_not_its_neighbours_and_heals_when_it_is_written() {
    let expected = plain(10 * CHUNK);
    let (world, stored) = world(expected.len());
    let mut bytes = std::fs::read(&stored).expect("read");
    bytes[DATA + 3 * CHUNK + 7] ^= 1;
    std::fs::write(&stored, &bytes).expect("write");
    let volume = world.keys.open(&world.path);
    let root = volume.root().expect("root");
    let file = world.keys.open_file(&root, "file").expect("open");
    for index in 0..10 {
        let at = index * CHUNK;
        match file.read(at as u64, CHUNK) {
            Ok(found) => assert_eq!(found.as_bytes(), &expected[at..at + CHUNK]),
            Err(e) => assert!(
                matches!(e, VolumeError::ChunkUnverified { index: 3 }),
                "{e}"
            ),
        }
    }
    assert!(
        file.write(3 * CHUNK as u64 + 1, &[1; 10]).is_err(),
        "a part of it cannot be written"
    );
    file.write(3 * CHUNK as u64, &[9; CHUNK])
        .expect("all of it can");
    assert_eq!(
        file.read(3 * CHUNK as u64, CHUNK).expect("read").as_bytes(),
        [9; CHUNK]
    );
}

#[test]
fn every_flip_and_cut_of_a_directory_and_of_the_volume_file_is_refused_or_means_nothing() {
    let (world, stored) = world(10);
    let directory = std::fs::read_dir(&world.path)
        .expect("list")
        .flatten()
        .map(|entry| entry.path())
        .find(|path| path.is_dir() && path != &stored && !path.ends_with("rekeyfs.targets"))
        .expect("the directory");
    let names = |world: &World| -> Result<Vec<String>, VolumeError> {
        let kms = world.keys.kms.clone();
        let volume = rekeyfs::volume::Volume::open(
            std::sync::Arc::new(rekeyfs::volume::backing::System),
            kms,
            &world.path,
            rekeyfs::volume::OpenOptions {
                read_only: true,
                ..rekeyfs::volume::OpenOptions::default()
            },
        )?;
        let root = volume.root()?;
        let directory = root.open(&root.lookup(OsStr::new("dir"))?.0)?;
        let names = directory.list(&world.keys.caller)?;
        Ok(names
            .into_iter()
            .map(|entry| String::from_utf8_lossy(&entry.name).into_owned())
            .collect())
    };
    for file in [
        directory.join("rekeyfs.dir"),
        world.path.join("rekeyfs.dir"),
        world.path.join("rekeyfs.volume"),
    ] {
        let good = std::fs::read(&file).expect("read");
        let mut refused = 0;
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 1;
            std::fs::write(&file, &bad).expect("write");
            match names(&world) {
                Ok(found) => assert_eq!(found, ["inner"], "{}: byte {at}", file.display()),
                Err(_) => refused += 1,
            }
        }
        for at in (0..good.len()).step_by(13) {
            std::fs::write(&file, &good[..at]).expect("write");
            if let Ok(found) = names(&world) {
                assert_eq!(found, ["inner"]);
            }
        }
        std::fs::write(&file, &good).expect("write");
        assert_eq!(names(&world).expect("as it was"), ["inner"]);
        // The volume file has a spare page: damage to one of them changes nothing.
        assert!(
            refused > 300 || file.ends_with("rekeyfs.volume"),
            "{refused} of {}",
            file.display()
        );
    }
    // A sealed name that was changed is nobody's name.
    let inner = std::fs::read_dir(&directory)
        .expect("list")
        .flatten()
        .map(|entry| entry.path())
        .find(|path| !path.ends_with("rekeyfs.dir"))
        .expect("inner");
    let name = inner.file_name().expect("a name").to_str().expect("ASCII");
    let changed: String = name.chars().rev().collect();
    std::fs::rename(&inner, directory.join(changed)).expect("rename");
    assert_eq!(names(&world).expect("list"), Vec::<String>::new());
}

#[test]
fn a_sparse_file_stays_sparse() {
    use std::os::unix::fs::MetadataExt;
    let (world, stored) = world(10);
    let volume = world.keys.open(&world.path);
    let root = volume.root().expect("root");
    let file = world.keys.open_file(&root, "file").expect("open");
    let end = 1_u64 << 40;
    file.write(end - 1, &[7]).expect("write");
    assert_eq!(file.len(), end);
    assert!(std::fs::metadata(&stored).expect("stat").blocks() * 512 < 100 * 1024);
    assert_eq!(file.seek(0, true).expect("seek"), Some(4096));
    assert_eq!(file.seek(4096, false).expect("seek"), Some(end - 4096));
    assert!(
        file.read(1 << 39, 1 << 20)
            .expect("read")
            .as_bytes()
            .iter()
            .all(|byte| *byte == 0)
    );
    // A group in the middle comes to be, and goes again as a hole.
    file.write(1 << 39, &[8; 100]).expect("write");
    assert_eq!(
        file.read((1 << 39) - 10, 20).expect("read").as_bytes()[9..11],
        [0, 8]
    );
    assert_eq!(file.seek(4096, false).expect("seek"), Some(1 << 39));
    drop(file);
    let file = world.keys.open_file(&root, "file").expect("open again");
    assert_eq!(file.read(1 << 39, 1).expect("read").as_bytes(), [8]);
    assert_eq!(file.read(end - 1, 10).expect("read").as_bytes(), [7]);
    file.punch(0, end).expect("punch");
    assert_eq!(file.seek(0, false).expect("seek"), None);
}
