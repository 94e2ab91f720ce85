//! `check`: what it finds, what it mends, what it saves.

mod support;

use std::ffi::OsStr;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use rekeyfs::volume::backing::{Backing, System};
use rekeyfs::volume::check::{CheckOptions, Look, Progress, Report, Trouble, check};
use rekeyfs::volume::{Directory, Volume};
use support::{Keys, OWNER, keys, read_all, stored_path, temporary};

const CHUNK: u64 = 4096;

struct Silent;

impl Progress for Silent {
    fn checked(&self, _files: u64, _bytes: u64) {}
}

/// One test at a time: a process that one of them starts would hold the lock of a volume that
/// another has open, until it runs its program.
static ALONE: parking_lot::Mutex<()> = parking_lot::Mutex::new(());

struct World {
    keys: Keys,
    dir: tempfile::TempDir,
    _alone: parking_lot::MutexGuard<'static, ()>,
}

fn contents() -> Vec<u8> {
    (0..70 * CHUNK + 9).map(|i| (i / 3) as u8 | 1).collect()
}

impl World {
    /// A volume with a bit of everything, closed.
    fn new() -> Self {
        let alone = ALONE.lock();
        let dir = temporary();
        let world = Self {
            keys: keys(dir.path()),
            dir,
            _alone: alone,
        };
        world.keys.init(&world.path());
        let volume = world.keys.open(&world.path());
        let root = volume.root().expect("root");
        let caller = &world.keys.caller;
        let file = world.keys.create(&root, "file").expect("create");
        file.write(0, &contents()).expect("write");
        drop(file);
        let name = OsStr::new("user.attribute");
        let stored = root.seal(OsStr::new("file")).expect("seal").name;
        let object = root.object(&stored).expect("object");
        let file = world.keys.open_file(&root, "file").expect("open");
        let flags = rustix::fs::XattrFlags::empty();
        volume
            .set_sealed_xattr(&object, &*file, name, b"value", flags)
            .expect("setxattr");
        drop(file);
        let long = "l".repeat(250);
        drop(world.keys.create(&root, &long).expect("create"));
        root.create_symlink(caller, OsStr::new("link"), &[b't'; 4000], OWNER)
            .expect("symlink");
        let (stored, _) = root
            .create_directory(caller, OsStr::new("dir"), OWNER)
            .expect("mkdir");
        let inner = root.open(&stored).expect("open");
        let file = world.keys.create(&inner, "inner").expect("create");
        file.write(0, b"inner").expect("write");
        drop(file);
        drop((root, inner));
        assert!(volume.close().expect("close").is_empty());
        world
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("volume")
    }

    fn check(&self, repair: bool, salvage: Option<&Path>) -> Report {
        let options = CheckOptions {
            look: Look::Everything,
            repair,
            salvage,
            threads: 2,
        };
        let system: Arc<dyn Backing> = Arc::new(System);
        let kms: Arc<rekeyfs::kms::Kms> = Arc::clone(&self.keys.kms);
        check(&system, Ok(kms), &self.path(), &options, &Silent).expect("check")
    }

    /// The stored path of a name in the root.
    fn stored(&self, name: &str) -> PathBuf {
        let volume = self.keys.open(&self.path());
        let path = stored_path(&self.path(), &volume.root().expect("root"), name);
        assert!(volume.close().expect("close").is_empty());
        path
    }
}

fn found(report: &Report) -> Vec<(&str, Trouble, bool)> {
    let findings = report.findings.iter();
    findings
        .map(|finding| {
            (
                finding.path.to_str().expect("UTF-8"),
                finding.trouble,
                finding.repaired,
            )
        })
        .collect()
}

fn flip(path: &Path, offset: u64) {
    let file = std::fs::File::options().read(true).write(true).open(path);
    let file = file.expect("open");
    let mut byte = [0];
    file.read_exact_at(&mut byte, offset).expect("read");
    file.write_all_at(&[byte[0] ^ 1], offset).expect("write");
}

#[test]
fn a_sound_volume_has_no_findings_and_every_byte_is_counted() {
    let world = World::new();
    for repair in [false, true] {
        let report = world.check(repair, None);
        assert_eq!(found(&report), vec![]);
        assert_eq!(
            (report.files, report.directories, report.symlinks),
            (3, 2, 1)
        );
        assert_eq!(report.bytes, contents().len() as u64 + 5);
    }
}

#[test]
fn what_still_verifies_of_a_damaged_file_is_saved_and_the_rest_is_named() {
    let world = World::new();
    let stored = world.stored("file");
    // One byte of chunk 3, and the entry page of group 1: chunks 64 to 70.
    flip(&stored, 8192 + 4096 * 4 + 17);
    flip(&stored, 8192 + 65 * 4096 + 4096 - 100);
    let out = world.dir.path().join("out");
    let report = world.check(false, Some(&out));
    assert_eq!(found(&report), vec![("/file", Trouble::Damaged, false)]);
    let salvaged = report.findings[0].salvaged.as_ref().expect("saved");
    assert_eq!(
        salvaged.lost,
        vec![(3 * CHUNK, CHUNK), (64 * CHUNK, 6 * CHUNK + 9)]
    );
    assert_eq!(salvaged.bytes, 63 * CHUNK);
    let copy = std::fs::read(out.join("file")).expect("read");
    assert_eq!(copy.len(), contents().len());
    let expected = contents();
    for (at, byte) in copy.iter().enumerate() {
        let lost = salvaged
            .lost
            .iter()
            .any(|(offset, len)| (*offset..offset + len).contains(&(at as u64)));
        assert_eq!(*byte, if lost { 0 } else { expected[at] }, "byte {at}");
    }
    // The damaged file is as it was.
    assert_eq!(
        found(&world.check(true, None)),
        vec![("/file", Trouble::Damaged, false)]
    );
}

#[test]
fn a_file_that_was_cut_at_rest_is_damaged_and_its_beginning_is_saved() {
    let world = World::new();
    let stored = world.stored("file");
    let file = std::fs::File::options()
        .write(true)
        .open(&stored)
        .expect("open");
    file.set_len(8192 + 4096 * 11).expect("cut");
    let out = world.dir.path().join("out");
    let report = world.check(false, Some(&out));
    assert_eq!(found(&report), vec![("/file", Trouble::Damaged, false)]);
    assert!(
        report.findings[0].fact.contains("length"),
        "{}",
        report.findings[0].fact
    );
    let copy = std::fs::read(out.join("file")).expect("read");
    assert_eq!(copy, contents()[..10 * CHUNK as usize]);
}

#[test]
fn what_a_crash_has_left_is_mended_once() {
    let world = World::new();
    // A session that ends without settling, with the file open.
    let volume = world.keys.open(&world.path());
    let root = volume.root().expect("root");
    let file = world.keys.open_file(&root, "file").expect("open");
    file.write(contents().len() as u64, &[7; 5000])
        .expect("write");
    file.sync(true).expect("sync");
    std::mem::forget((file, root, volume));
    // An interrupted rewrap: the header in both slots, one generation apart.
    let long = {
        let reader = Volume::open(
            Arc::new(System),
            Arc::clone(&world.keys.kms) as _,
            &copy_aside(&world),
            rekeyfs::volume::OpenOptions {
                read_only: true,
                ..Default::default()
            },
        )
        .expect("open");
        let root: Arc<Directory> = reader.root().expect("root");
        stored_path(&world.path(), &root, &"l".repeat(250))
    };
    let slot = std::fs::read(&long).expect("read")[..4096].to_vec();
    let file = std::fs::File::options()
        .write(true)
        .open(&long)
        .expect("open");
    file.write_all_at(&slot, 4096).expect("write");
    // What was being made and taken away, the long name of nothing, the target of nothing.
    let path = world.path();
    std::fs::write(path.join("rekeyfs.tmp.AAAAAAAAAAAAAAAAAAAAAA"), b"x").expect("write");
    std::fs::create_dir(path.join("rekeyfs.tmp.BBBBBBBBBBBBBBBBBBBBBB")).expect("mkdir");
    let orphan = format!("rekeyfs.name.{}", "C".repeat(43));
    std::fs::write(path.join(&orphan), b"x").expect("write");
    std::fs::write(path.join("rekeyfs.targets").join("D".repeat(22)), b"x").expect("write");
    std::fs::write(path.join("lost+found"), b"x").expect("write");

    // The lock of the forgotten session is this process's own: what it left is looked at elsewhere.
    let aside = copy_aside(&world);
    let again = |repair: bool| {
        let options = CheckOptions {
            look: Look::Everything,
            repair,
            salvage: None,
            threads: 1,
        };
        let system: Arc<dyn Backing> = Arc::new(System);
        let kms: Arc<rekeyfs::kms::Kms> = Arc::clone(&world.keys.kms);
        check(&system, Ok(kms), &aside, &options, &Silent).expect("check")
    };
    let report = again(false);
    assert_eq!(
        report.count(Trouble::Interrupted),
        6,
        "{:?}",
        found(&report)
    );
    assert_eq!(report.count(Trouble::Foreign), 1);
    let report = again(true);
    assert_eq!(
        report.count(Trouble::Interrupted),
        0,
        "{:?}",
        found(&report)
    );
    assert_eq!(
        report
            .findings
            .iter()
            .filter(|finding| finding.repaired)
            .count(),
        6
    );
    let report = again(false);
    assert_eq!(
        found(&report),
        vec![("/lost+found", Trouble::Foreign, false)]
    );
    // The lenience after the crash is over: a cut at rest is noticed.
    let mut expected = contents();
    expected.extend([7; 5000]);
    let volume = world.keys.open(&aside);
    let root = volume.root().expect("root");
    let file = world.keys.open_file(&root, "file").expect("open");
    assert_eq!(read_all(&file).expect("read"), expected);
    drop(file);
    let stored = stored_path(&aside, &root, "file");
    drop(root);
    assert!(volume.close().expect("close").is_empty());
    drop(volume);
    let size = std::fs::metadata(&stored).expect("stat").len();
    let file = std::fs::File::options()
        .write(true)
        .open(&stored)
        .expect("open");
    file.set_len(size - 8192).expect("cut");
    assert_eq!(again(false).count(Trouble::Damaged), 1);
}

#[test]
fn a_repair_after_a_recovery_loses_no_change_that_was_under_way() {
    // The power goes at each call of an overwrite in the second group; then a mount opens and
    // closes the file, whose record is its own afterwards; then the volume is repaired.
    for at in 1..12 {
        let world = World::new();
        let backing = support::Faulty::new(at, support::Fate::StopBefore);
        let volume = world
            .keys
            .open_on(backing.clone(), &world.path())
            .expect("open");
        let root = volume.root().expect("root");
        let file = world.keys.open_file(&root, "file").expect("open");
        backing.arm();
        let _ = file
            .write(65 * CHUNK, &[9; CHUNK as usize])
            .and_then(|_| file.sync(true));
        backing.stop();
        drop((file, root, volume));
        let volume = world.keys.open(&world.path());
        let root = volume.root().expect("root");
        drop(world.keys.open_file(&root, "file").expect("open"));
        drop(root);
        assert!(volume.close().expect("close").is_empty());
        drop(volume);
        assert_eq!(world.check(true, None).count(Trouble::Damaged), 0);
        let volume = world.keys.open(&world.path());
        let root = volume.root().expect("root");
        let file = world.keys.open_file(&root, "file").expect("open");
        let found = read_all(&file).unwrap_or_else(|e| panic!("stopped at {at}: {e}"));
        let (mut changed, old) = (contents(), contents());
        changed[65 * CHUNK as usize..66 * CHUNK as usize].fill(9);
        assert!(found == old || found == changed, "stopped at {at}");
    }
}

fn copy_aside(world: &World) -> PathBuf {
    let to = world.dir.path().join("aside");
    let _ = std::fs::remove_dir_all(&to);
    let status = Command::new("cp")
        .arg("-a")
        .arg(world.path())
        .arg(&to)
        .status();
    assert!(status.expect("cp").success());
    to
}

#[test]
fn a_lost_directory_header_costs_the_names_below_it_and_nothing_else() {
    let world = World::new();
    let stored = world.stored("dir");
    std::fs::write(stored.join("rekeyfs.dir"), b"").expect("write");
    let report = world.check(false, None);
    // The directory, and the file that no mount finds any more.
    assert_eq!(report.count(Trouble::Damaged), 2, "{:?}", found(&report));
    assert!(report.findings[0].path == Path::new("/dir"));
    assert!(report.findings[0].fact.contains("names"));
    // The file in it was read all the same.
    assert_eq!(report.bytes, contents().len() as u64 + 5);
}

/// What was saved, by its path below `out`.
fn saved(out: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut files = Vec::new();
    let mut places = vec![out.to_owned()];
    while let Some(place) = places.pop() {
        for entry in std::fs::read_dir(place).expect("list").flatten() {
            if entry.path().is_dir() {
                places.push(entry.path());
            } else {
                let path = entry.path();
                let below = path.strip_prefix(out).expect("below").to_owned();
                files.push((below, std::fs::read(path).expect("read")));
            }
        }
    }
    files.sort();
    files
}

#[test]
fn files_that_no_mount_finds_are_saved_whole() {
    let world = World::new();
    let out = world.dir.path().join("out");
    let inner = world.stored("dir");
    let name = std::fs::read_dir(&inner).expect("list").flatten();
    let name = name
        .map(|entry| entry.file_name())
        .find(|name| name != "rekeyfs.dir")
        .expect("the file");
    std::fs::remove_file(inner.join("rekeyfs.dir")).expect("remove");
    let long = world.stored(&"l".repeat(250));
    let companion = std::fs::read_dir(world.path()).expect("list").flatten();
    let companion = companion
        .map(|entry| entry.path())
        .find(|path| path.to_string_lossy().contains("rekeyfs.name."))
        .expect("the companion");
    std::fs::remove_file(companion).expect("remove");
    let report = world.check(false, Some(&out));
    assert_eq!(report.count(Trouble::Damaged), 3, "{:?}", found(&report));
    let long = PathBuf::from(long.file_name().expect("a name"));
    let mut expected = vec![
        (Path::new("dir").join(name), b"inner".to_vec()),
        (long, Vec::new()),
    ];
    expected.sort();
    assert_eq!(saved(&out), expected);
    // Once more into the same place: told with the finding, and nothing is overwritten.
    let again = world.check(false, Some(&out));
    assert_eq!(again.count(Trouble::Damaged), 3, "{:?}", found(&again));
    let told =
        |finding: &rekeyfs::volume::check::Finding| finding.fact.contains("nothing was saved");
    assert_eq!(
        again
            .findings
            .iter()
            .filter(|finding| told(finding))
            .count(),
        2
    );
}

#[test]
fn what_is_left_of_a_volume_without_its_own_files_is_saved() {
    for lost in [
        &["rekeyfs.volume"][..],
        &["rekeyfs.dir"],
        &["rekeyfs.dir", "rekeyfs.volume"],
    ] {
        let world = World::new();
        let out = world.dir.path().join("out");
        for name in lost {
            std::fs::remove_file(world.path().join(name)).expect("remove");
        }
        let report = world.check(false, Some(&out));
        assert_eq!(report.bytes, contents().len() as u64 + 5);
        let files = saved(&out);
        assert_eq!(files.len(), 3, "{lost:?}");
        assert!(
            files.iter().any(|(_, bytes)| *bytes == contents()),
            "{lost:?}"
        );
        // Names are sealed by the directory they are in.
        let named = files
            .iter()
            .any(|(path, bytes)| path.ends_with("inner") && bytes == b"inner");
        assert!(named, "{lost:?}: {files:?}");
    }
}

#[test]
fn names_that_are_no_text_are_kept_apart() {
    use std::os::unix::ffi::OsStrExt;
    let world = World::new();
    let out = world.dir.path().join("out");
    let volume = world.keys.open(&world.path());
    let root = volume.root().expect("root");
    for name in [b"\xff", b"\xfe"] {
        let (stored, file) = root
            .create_file(&world.keys.caller, OsStr::from_bytes(name), OWNER)
            .map(|(stored, file, _)| (stored, file))
            .expect("create");
        file.write(0, name).expect("write");
        drop(file);
        flip(
            &world.path().join(OsStr::from_bytes(stored.to_bytes())),
            2 * CHUNK + 10,
        );
    }
    drop(root);
    assert!(volume.close().expect("close").is_empty());
    drop(volume);
    let report = world.check(false, Some(&out));
    assert_eq!(report.count(Trouble::Damaged), 2, "{report:?}");
    assert_eq!(saved(&out).len(), 2, "{report:?}");
}

#[test]
fn the_program_says_what_it_found_by_its_exit_code_and_as_json() {
    let world = World::new();
    let stored = world.stored("file");
    let run = |arguments: &[&str], keystore: &Path| {
        let output = Command::new(env!("CARGO_BIN_EXE_rekeyfs"))
            .arg("--keystore")
            .arg(keystore)
            .arg("check")
            .arg(world.path())
            .args(arguments)
            .output()
            .expect("run");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!said.contains("panicked"), "{said}");
        (
            output.status.code(),
            String::from_utf8_lossy(&output.stdout).into_owned(),
            said,
        )
    };
    let keystore = world.dir.path().join("keystore.db");
    let (code, out, _) = run(&[], &keystore);
    assert_eq!(code, Some(0));
    assert!(out.ends_with("bytes verified\n"), "{out}");
    // Without keys: what can be said without them, and that it is not everything.
    let (code, out, said) = run(&[], &world.dir.path().join("nothing.db"));
    assert_eq!(
        (code, out.starts_with("3 files")),
        (Some(1), true),
        "{said}"
    );
    assert_eq!(
        run(&["--repair"], &world.dir.path().join("nothing.db")).0,
        Some(4)
    );
    std::fs::File::options()
        .write(true)
        .open(&stored)
        .and_then(|file| file.write_all_at(&[0; 8192], 0))
        .expect("write");
    let (code, out, said) = run(&["--output", "json"], &keystore);
    assert_eq!(code, Some(1));
    let report: serde_json::Value = serde_json::from_str(&out).expect("JSON");
    assert_eq!(report["Findings"][0]["Path"], "/file");
    assert_eq!(report["Findings"][0]["Kind"], "damaged");
    assert!(said.contains("hint: rekeyfs check"), "{said}");
    // A volume that cannot be opened: never the hint to make one there.
    let marker = world.path().join("rekeyfs.volume");
    std::fs::rename(&marker, world.dir.path().join("kept")).expect("rename");
    let (code, _, said) = run(&[], &keystore);
    assert_eq!(code, Some(5));
    assert!(
        said.contains("--salvage OUT") && !said.contains("init"),
        "{said}"
    );
    std::fs::rename(world.dir.path().join("kept"), &marker).expect("rename");
    let (code, out, _) = run(&[], &world.dir.path().join("nothing.db"));
    assert!(code == Some(1) && out.contains("damaged: "), "{out}");
    // A volume in use is left alone.
    let volume = world.keys.open(&world.path());
    assert_eq!(run(&[], &keystore).0, Some(5));
    drop(volume);
}
