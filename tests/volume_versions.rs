//! G12: every released format of a volume stays readable. `tests/vectors/volume-1` was made by
//! version 0.1.0: `clean` was unmounted; of `crashed` the daemon was killed while a file was being
//! overwritten and another one resealed.

mod support;

use std::ffi::OsStr;
use std::fmt::Write;
use std::path::Path;
use std::sync::Arc;

use rekeyfs::codec::hex;
use rekeyfs::kms::Kms;
use rekeyfs::primitives::sha256;
use rekeyfs::volume::backing::{Backing, System};
use rekeyfs::volume::check::{CheckOptions, Look, Progress, check};
use rekeyfs::volume::{Directory, Kind, Reseal};
use support::{Keys, golden, read_all};

struct Silent;

impl Progress for Silent {
    fn checked(&self, _files: u64, _bytes: u64) {}
}

/// Every object below a directory, a line each.
fn describe(keys: &Keys, at: &Arc<Directory>, path: &str, out: &mut String) {
    for name in keys.names(at) {
        let (stored, found) = at.lookup(OsStr::new(&name)).expect("lookup");
        let path = format!("{path}/{name}");
        let mut line = |text: &str| writeln!(out, "{text} {path}").expect("a string");
        match found.kind {
            Kind::Directory => {
                line("directory");
                describe(keys, &at.open(&stored).expect("open"), &path, out);
            }
            Kind::Symlink => {
                let target = at.read_link(&stored).expect("target");
                line(&format!("symlink {}", hex(&sha256(&[&target]))));
            }
            _ => {
                let file = keys.open_file(at, &name).expect("open");
                let bytes = read_all(&file).expect("read");
                let header = file.envelope().header();
                let epochs: Vec<_> = header.epochs.iter().map(|epoch| epoch.number).collect();
                let hash = hex(&sha256(&[&bytes]));
                line(&format!("file {epochs:?} {} {hash}", bytes.len()));
            }
        }
    }
}

fn listing(keys: &Keys, path: &Path) -> String {
    let volume = keys.open(path);
    let mut found = String::new();
    describe(keys, &volume.root().expect("root"), "", &mut found);
    assert!(volume.close().expect("close").is_empty());
    found
}

#[test]
fn a_volume_of_version_1_that_was_unmounted_reads_as_it_did() {
    let (dir, keys) = golden("volume-1", "clean");
    let path = dir.path().join("volume");
    let expected = include_str!("vectors/volume-1/clean.txt");
    assert_eq!(listing(&keys, &path), expected);
    let volume = keys.open(&path);
    let root = volume.root().expect("root");
    let small = keys.open_file(&root, "small").expect("open");
    assert_eq!(read_all(&small).expect("read"), b"hello\n");
    // It can be worked on.
    for name in keys.names(&root) {
        if let Ok(file) = keys.open_file(&root, &name) {
            let len = file.len();
            assert_eq!(file.write(len, b"more").expect("write"), 4);
            let reseal = Reseal::of_file(file.envelope(), &keys.caller);
            reseal.and_then(|reseal| reseal.run()).expect("reseal");
            assert_eq!(&read_all(&file).expect("read")[len as usize..], b"more");
        }
    }
}

#[test]
fn a_volume_of_version_1_that_was_killed_is_recovered_and_repaired() {
    let (dir, keys) = golden("volume-1", "crashed");
    let path = dir.path().join("volume");
    let expected = include_str!("vectors/volume-1/crashed.txt");
    assert_eq!(listing(&keys, &path), expected);
    let repair = |repair| {
        let options = CheckOptions {
            look: Look::Everything,
            repair,
            salvage: None,
            threads: 1,
        };
        let system: Arc<dyn Backing> = Arc::new(System);
        let kms: Arc<Kms> = Arc::clone(&keys.kms);
        let report = check(&system, Ok(kms), &path, &options, &Silent).expect("check");
        report.findings.len()
    };
    assert!(repair(true) > 0);
    assert_eq!(repair(false), 0);
    let repaired = expected.replace("[1, 2]", "[2]");
    assert_ne!(repaired, expected);
    assert_eq!(listing(&keys, &path), repaired);
}
