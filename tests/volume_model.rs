//! Random sequences of operations against a model in memory: one file, and a tree.

mod support;

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::sync::Arc;

use proptest::prelude::*;
use rekeyfs::volume::{Directory, Handle, Kind, Reseal, Step, Volume};
use rustix::fs::RenameFlags;
use support::{Fate, Faulty, Keys, OWNER, keys, make_key, read_all, rewrap_to, temporary};

const CHUNK: u64 = 4096;
const GROUP: u64 = 64 * CHUNK;

#[derive(Debug, Clone)]
enum Op {
    Write {
        at: u64,
        len: usize,
        byte: u8,
    },
    SetLen(u64),
    Punch {
        at: u64,
        len: u64,
    },
    ZeroRange {
        at: u64,
        len: u64,
        grow: bool,
    },
    Allocate {
        at: u64,
        len: u64,
        grow: bool,
    },
    Rewrap,
    /// So many steps of a reseal, a new one or the one that was left.
    Reseal(u8),
    Reopen,
    Remount,
    /// As kill -9.
    Crash,
}

/// Offsets near the borders of chunks and groups, and anywhere.
fn offset() -> impl Strategy<Value = u64> {
    prop_oneof![
        (0..6 * GROUP),
        (0..8_u64, 0..200_u64).prop_map(|(group, near)| (group * GROUP + near).saturating_sub(100)),
        (0..200_u64, 0..20_u64).prop_map(|(chunk, near)| (chunk * CHUNK + near).saturating_sub(10)),
        0..100_u64,
    ]
}

fn len() -> impl Strategy<Value = u64> {
    prop_oneof![
        1..300_u64,
        1..3 * CHUNK,
        1..2 * GROUP,
        Just(CHUNK),
        Just(GROUP)
    ]
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        6 => (offset(), len(), 1..=255_u8).prop_map(|(at, len, byte)| Op::Write { at, len: len as usize, byte }),
        3 => offset().prop_map(Op::SetLen),
        3 => (offset(), len()).prop_map(|(at, len)| Op::Punch { at, len }),
        2 => (offset(), len(), any::<bool>()).prop_map(|(at, len, grow)| Op::ZeroRange { at, len, grow }),
        1 => (offset(), len(), any::<bool>()).prop_map(|(at, len, grow)| Op::Allocate { at, len, grow }),
        1 => Just(Op::Rewrap),
        2 => (0..6_u8).prop_map(Op::Reseal),
        2 => Just(Op::Reopen),
        1 => Just(Op::Remount),
        2 => Just(Op::Crash),
    ]
}

struct Subject {
    keys: Keys,
    other_key: String,
    path: std::path::PathBuf,
    backing: Arc<Faulty>,
    open: Option<(Arc<Volume>, Arc<Directory>, Handle)>,
    _dir: tempfile::TempDir,
}

impl Subject {
    fn new() -> Self {
        let dir = temporary();
        let keys = keys(dir.path());
        let other_key = make_key(&keys.kms, &keys.caller, "SYMMETRIC_DEFAULT");
        let path = dir.path().join("volume");
        keys.init(&path);
        let backing = Faulty::new(u64::MAX, Fate::StopBefore);
        let volume = keys.open_on(backing.clone(), &path).expect("open");
        let root = volume.root().expect("root");
        let file = keys.create(&root, "file").expect("create");
        Self {
            keys,
            other_key,
            path,
            backing,
            open: Some((volume, root, file)),
            _dir: dir,
        }
    }

    fn file(&self) -> &Handle {
        &self.open.as_ref().expect("open").2
    }

    fn open_again(&mut self, remount: bool) {
        let (mut volume, mut root, file) = self.open.take().expect("open");
        drop(file);
        if remount {
            drop(root);
            self.backing = Faulty::new(u64::MAX, Fate::StopBefore);
            drop(volume);
            volume = self
                .keys
                .open_on(self.backing.clone(), &self.path)
                .expect("open");
            root = volume.root().expect("root");
        }
        let file = self.keys.open_file(&root, "file").expect("the file opens");
        self.open = Some((volume, root, file));
    }

    fn apply(&mut self, op: &Op, model: &mut Vec<u8>) {
        let grow_to = |model: &mut Vec<u8>, end: u64| {
            if end as usize > model.len() {
                model.resize(end as usize, 0);
            }
        };
        match *op {
            Op::Write { at, len, byte } => {
                let data: Vec<u8> = (0..len)
                    .map(|i| byte.wrapping_add((i / 100) as u8))
                    .collect();
                assert_eq!(self.file().write(at, &data).expect("write"), len);
                grow_to(model, at + len as u64);
                model[at as usize..at as usize + len].copy_from_slice(&data);
            }
            Op::SetLen(len) => {
                self.file().set_len(len).expect("set_len");
                model.resize(len as usize, 0);
            }
            Op::Punch { at, len } => {
                self.file().punch(at, len).expect("punch");
                let end = (at + len).min(model.len() as u64);
                if at < end {
                    model[at as usize..end as usize].fill(0);
                }
            }
            Op::ZeroRange { at, len, grow } => {
                self.file().zero_range(at, len, grow).expect("zero_range");
                if grow {
                    grow_to(model, at + len);
                }
                let end = (at + len).min(model.len() as u64);
                if at < end {
                    model[at as usize..end as usize].fill(0);
                }
            }
            Op::Allocate { at, len, grow } => {
                self.file().allocate(at, len, grow).expect("allocate");
                if grow {
                    grow_to(model, at + len);
                }
            }
            Op::Rewrap => {
                let request = rewrap_to(&self.other_key);
                let caller = &self.keys.caller;
                self.file()
                    .envelope()
                    .rewrap(caller, &request)
                    .expect("rewrap");
            }
            Op::Reseal(steps) => {
                let envelope = self.file().envelope();
                let reseal = Reseal::of_file(envelope, &self.keys.caller).expect("reseal");
                for _ in 0..steps {
                    if matches!(reseal.step().expect("step"), Step::Done) {
                        break;
                    }
                }
                assert_eq!(reseal.progress().lost, 0);
            }
            Op::Reopen => self.open_again(false),
            Op::Remount => {
                let unsettled = self.open.as_ref().expect("open").0.close().expect("close");
                assert!(unsettled.is_empty());
                self.open_again(true);
            }
            Op::Crash => {
                self.backing.stop();
                self.open_again(true);
            }
        }
    }

    /// Compares all bytes, and what is said of holes with what the bytes are.
    fn check(&self, model: &[u8]) {
        let file = self.file();
        assert_eq!(file.len(), model.len() as u64);
        assert_eq!(file.attributes().expect("stat").size, model.len() as u64);
        let found = read_all(file).expect("read");
        if let Some(at) = (0..model.len()).find(|at| found[*at] != model[*at]) {
            panic!("byte {at}: {:#x} instead of {:#x}", found[at], model[at]);
        }
        let mut at = 0;
        while let Some(data) = file.seek(at, false).expect("seek") {
            assert!(
                model[at as usize..data as usize]
                    .iter()
                    .all(|byte| *byte == 0)
            );
            at = file
                .seek(data, true)
                .expect("seek")
                .expect("the end is a hole");
            assert!(at > data);
        }
        assert!(model[at as usize..].iter().all(|byte| *byte == 0));
    }
}

#[test]
fn writers_of_one_chunk_of_a_file_that_was_emptied_lose_nothing() {
    const PIECE: usize = 512;
    let mut subject = Subject::new();
    subject.file().write(0, &[1; 8 * PIECE]).expect("write");
    subject.file().sync(false).expect("sync");
    // What is on the medium is promised: the cut and what follows it wait.
    let (volume, root, file) = subject.open.take().expect("open");
    drop((root, file));
    assert!(volume.close().expect("close").is_empty());
    drop(volume);
    let volume = subject.keys.open(&subject.path);
    let root = volume.root().expect("root");
    let file = subject.keys.open_file(&root, "file").expect("open");
    let file = &file;
    file.set_len(0).expect("empty");
    file.write(0, &[0; 8 * PIECE]).expect("write");
    std::thread::scope(|scope| {
        for writer in 0..4 {
            scope.spawn(move || {
                for value in (1..=255).cycle().take(5000) {
                    let piece = [value; PIECE];
                    let at = (writer * PIECE) as u64;
                    assert_eq!(file.write(at, &piece).expect("write"), PIECE);
                    let read = file.read(at, PIECE).expect("read");
                    assert_eq!(read.as_bytes(), piece, "writer {writer}");
                }
            });
        }
    });
}

/// Groups are punched some hundreds at a time.
#[test]
fn a_punch_of_many_groups_takes_all_of_it_and_nothing_else() {
    let subject = Subject::new();
    let file = subject.file();
    for groups in [1, 2, 255, 256, 257, 512, 513] {
        for (from, to) in [
            (0, 0),
            (7, 0),
            (0, 9),
            (CHUNK - 3, CHUNK + 5),
            (GROUP - 1, GROUP - 1),
        ] {
            file.set_len(0).expect("cut");
            let end = groups * GROUP + to;
            let len = end + 10;
            // Whatever the group, something is at its beginning, at its end, and around the ends.
            let marks: Vec<u64> = (0..=groups)
                .flat_map(|group| [group * GROUP, group * GROUP + GROUP - 1])
                .chain([from.saturating_sub(1), from, end - 1, end])
                .filter(|at| *at < len)
                .collect();
            for at in &marks {
                file.write(*at, &[1]).expect("write");
            }
            file.set_len(len).expect("grow");
            file.punch(from, end - from).expect("punch");
            for at in &marks {
                let left = u8::from(*at < from || *at >= end);
                let read = file.read(*at, 1).expect("read");
                assert_eq!(read.as_bytes(), [left], "{at} of {from}..{end}");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 120, max_shrink_iters: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_file_is_what_the_model_says(ops in proptest::collection::vec(op(), 1..40)) {
        let mut subject = Subject::new();
        let mut model = Vec::new();
        for op in &ops {
            subject.apply(op, &mut model);
            subject.check(&model);
        }
        subject.apply(&Op::Remount, &mut model);
        subject.check(&model);
    }

    #[test]
    fn a_tree_is_what_the_model_says(ops in proptest::collection::vec(tree_op(), 1..60)) {
        let dir = temporary();
        let keys = keys(dir.path());
        keys.init(&dir.path().join("volume"));
        let volume = keys.open(&dir.path().join("volume"));
        let mut model = BTreeMap::from([(String::new(), Node::Directory)]);
        for op in &ops {
            apply_to_tree(&keys, &volume, op, &mut model);
        }
        assert_eq!(tree(&keys, &volume.root().expect("root"), ""), model);
        assert!(volume.close().expect("close").is_empty());
        drop(volume);
        let volume = keys.open(&dir.path().join("volume"));
        assert_eq!(tree(&keys, &volume.root().expect("root"), ""), model);
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Node {
    File(u64),
    Directory,
    Link(Vec<u8>),
}

#[derive(Debug, Clone)]
enum TreeOp {
    Create(u8, u8, u64),
    MakeDirectory(u8, u8),
    Symlink(u8, u8, u16),
    Unlink(u8, u8),
    RemoveDirectory(u8, u8),
    Rename {
        from: (u8, u8),
        to: (u8, u8),
        no_replace: bool,
    },
    Exchange {
        from: (u8, u8),
        to: (u8, u8),
    },
    Link {
        from: (u8, u8),
        to: (u8, u8),
    },
    /// So many steps of a reseal.
    Reseal(u8, u8),
}

fn tree_op() -> impl Strategy<Value = TreeOp> {
    let place = || (0..4_u8, 0..5_u8);
    prop_oneof![
        3 => (place(), 0..10_000_u64).prop_map(|((d, n), len)| TreeOp::Create(d, n, len)),
        3 => place().prop_map(|(d, n)| TreeOp::MakeDirectory(d, n)),
        1 => (place(), 1..4095_u16).prop_map(|((d, n), len)| TreeOp::Symlink(d, n, len)),
        2 => place().prop_map(|(d, n)| TreeOp::Unlink(d, n)),
        2 => place().prop_map(|(d, n)| TreeOp::RemoveDirectory(d, n)),
        4 => (place(), place(), any::<bool>()).prop_map(|(from, to, no_replace)| TreeOp::Rename { from, to, no_replace }),
        1 => (place(), place()).prop_map(|(from, to)| TreeOp::Exchange { from, to }),
        1 => (place(), place()).prop_map(|(from, to)| TreeOp::Link { from, to }),
        2 => (0..4_u8, 0..4_u8).prop_map(|(d, steps)| TreeOp::Reseal(d, steps)),
    ]
}

/// Names: short, at the border of what is stored as it is, and long.
fn name(number: u8) -> String {
    match number {
        0 => "a".to_owned(),
        1 => "b".repeat(175),
        2 => "c".repeat(176),
        3 => "d".repeat(255),
        _ => "Größe".to_owned(),
    }
}

/// Directories that operations work in: the root, and three below it.
fn parent(number: u8) -> String {
    match number {
        0 => String::new(),
        1 => "/a".to_owned(),
        2 => format!("/{}", name(2)),
        _ => format!("/a/{}", name(3)),
    }
}

fn directory(volume: &Arc<Volume>, path: &str) -> Arc<Directory> {
    let mut at = volume.root().expect("root");
    for part in path.split('/').filter(|part| !part.is_empty()) {
        let stored = at.seal(OsStr::new(part)).expect("a name").name;
        at = at.open(&stored).expect("open");
    }
    at
}

fn apply_to_tree(
    keys: &Keys,
    volume: &Arc<Volume>,
    op: &TreeOp,
    model: &mut BTreeMap<String, Node>,
) {
    let is_directory =
        |model: &BTreeMap<String, Node>, path: &str| model.get(path) == Some(&Node::Directory);
    let place = |(d, n): (u8, u8)| (parent(d), name(n), format!("{}/{}", parent(d), name(n)));
    let below = |model: &BTreeMap<String, Node>, path: &str| -> Vec<String> {
        let prefix = format!("{path}/");
        model
            .keys()
            .filter(|key| key.starts_with(&prefix))
            .cloned()
            .collect()
    };
    let caller = &keys.caller;
    match op {
        TreeOp::Create(d, n, len) => {
            let (dir, name, path) = place((*d, *n));
            if !is_directory(model, &dir) {
                return;
            }
            let result = keys.create(&directory(volume, &dir), &name);
            assert_eq!(result.is_ok(), !model.contains_key(&path));
            if let Ok(file) = result {
                file.set_len(*len).expect("set_len");
                model.insert(path, Node::File(*len));
            }
        }
        TreeOp::Reseal(d, steps) => {
            if !is_directory(model, &parent(*d)) {
                return;
            }
            let reseal = Reseal::of_directory(&directory(volume, &parent(*d)), caller);
            let reseal = reseal.expect("reseal");
            for _ in 0..*steps {
                reseal.prepare().expect("prepare");
                if matches!(reseal.step().expect("step"), Step::Done) {
                    break;
                }
            }
        }
        TreeOp::MakeDirectory(d, n) => {
            let (dir, name, path) = place((*d, *n));
            if !is_directory(model, &dir) {
                return;
            }
            let result = directory(volume, &dir).create_directory(caller, OsStr::new(&name), OWNER);
            assert_eq!(result.is_ok(), !model.contains_key(&path));
            model.entry(path).or_insert(Node::Directory);
        }
        TreeOp::Symlink(d, n, len) => {
            let (dir, name, path) = place((*d, *n));
            if !is_directory(model, &dir) {
                return;
            }
            let target = vec![b't'; *len as usize];
            let result =
                directory(volume, &dir).create_symlink(caller, OsStr::new(&name), &target, OWNER);
            assert_eq!(result.is_ok(), !model.contains_key(&path));
            model.entry(path).or_insert(Node::Link(target));
        }
        TreeOp::Unlink(d, n) => {
            let (dir, name, path) = place((*d, *n));
            if !is_directory(model, &dir) {
                return;
            }
            let there = model
                .get(&path)
                .is_some_and(|node| *node != Node::Directory);
            assert_eq!(
                directory(volume, &dir).unlink(OsStr::new(&name)).is_ok(),
                there
            );
            if there {
                model.remove(&path);
            }
        }
        TreeOp::RemoveDirectory(d, n) => {
            let (dir, name, path) = place((*d, *n));
            // That the name is a directory the kernel has seen to.
            if !is_directory(model, &dir) || !is_directory(model, &path) {
                return;
            }
            let empty = below(model, &path).is_empty();
            assert_eq!(
                directory(volume, &dir)
                    .remove_directory(OsStr::new(&name))
                    .is_ok(),
                empty
            );
            if empty {
                model.remove(&path);
            }
        }
        TreeOp::Rename {
            from,
            to,
            no_replace,
        } => {
            let ((d1, n1, p1), (d2, n2, p2)) = (place(*from), place(*to));
            let Some(node) = model.get(&p1).cloned() else {
                return;
            };
            let cycle =
                p2 == p1 || p2.starts_with(&format!("{p1}/")) || p1.starts_with(&format!("{p2}/"));
            if !is_directory(model, &d2) || cycle {
                return;
            }
            let target = model.get(&p2).cloned();
            // What the kernel refuses before it asks.
            let kinds_fit = target
                .as_ref()
                .is_none_or(|target| (*target == Node::Directory) == (node == Node::Directory));
            if !kinds_fit {
                return;
            }
            let inode = |dir: &str, name: &str| {
                let found = directory(volume, dir).lookup(OsStr::new(name));
                found.ok().map(|(_, attributes)| attributes.inode)
            };
            let same = target.is_some() && inode(&d1, &n1) == inode(&d2, &n2);
            let flags = if *no_replace {
                RenameFlags::NOREPLACE
            } else {
                RenameFlags::empty()
            };
            let result = directory(volume, &d1).rename(
                OsStr::new(&n1),
                &directory(volume, &d2),
                OsStr::new(&n2),
                flags,
            );
            if same {
                // Two names of one object: POSIX leaves both.
                assert_eq!(result.is_ok(), !*no_replace, "{result:?}");
                return;
            }
            let full = target == Some(Node::Directory) && !below(model, &p2).is_empty();
            let expected = !(full || *no_replace && target.is_some());
            assert_eq!(result.is_ok(), expected, "{result:?}");
            if expected {
                model.remove(&p2);
                let moved: Vec<_> = below(model, &p1).into_iter().chain([p1.clone()]).collect();
                for path in moved {
                    let node = model.remove(&path).expect("there");
                    model.insert(format!("{p2}{}", &path[p1.len()..]), node);
                }
            }
        }
        TreeOp::Exchange { from, to } => {
            let ((d1, n1, p1), (d2, n2, p2)) = (place(*from), place(*to));
            let nested =
                p1 == p2 || p2.starts_with(&format!("{p1}/")) || p1.starts_with(&format!("{p2}/"));
            if nested || !model.contains_key(&p1) || !model.contains_key(&p2) {
                return;
            }
            directory(volume, &d1)
                .rename(
                    OsStr::new(&n1),
                    &directory(volume, &d2),
                    OsStr::new(&n2),
                    RenameFlags::EXCHANGE,
                )
                .expect("exchange");
            let take = |model: &mut BTreeMap<String, Node>, path: &str| -> Vec<(String, Node)> {
                below(model, path)
                    .into_iter()
                    .chain([path.to_owned()])
                    .map(|key| {
                        (
                            key[path.len()..].to_owned(),
                            model.remove(&key).expect("there"),
                        )
                    })
                    .collect()
            };
            let (left, right) = (take(model, &p1), take(model, &p2));
            model.extend(
                left.into_iter()
                    .map(|(rest, node)| (format!("{p2}{rest}"), node)),
            );
            model.extend(
                right
                    .into_iter()
                    .map(|(rest, node)| (format!("{p1}{rest}"), node)),
            );
        }
        TreeOp::Link { from, to } => {
            let ((d1, n1, p1), (d2, n2, p2)) = (place(*from), place(*to));
            let Some(node @ Node::Link(_)) = model.get(&p1).cloned() else {
                return;
            };
            if !is_directory(model, &d2) {
                return;
            }
            let source = directory(volume, &d1);
            let object = source
                .object(&source.seal(OsStr::new(&n1)).expect("a name").name)
                .expect("open");
            let result = directory(volume, &d2).link(&object, OsStr::new(&n2));
            // A symlink cannot be linked through its descriptor on every kernel.
            if result.is_ok() {
                assert!(model.insert(p2, node).is_none());
            }
        }
    }
}

fn tree(keys: &Keys, at: &Arc<Directory>, path: &str) -> BTreeMap<String, Node> {
    let mut out = BTreeMap::from([(path.to_owned(), Node::Directory)]);
    for entry in at.list(&keys.caller).expect("list") {
        let name = String::from_utf8(entry.name).expect("UTF-8");
        let path = format!("{path}/{name}");
        let (stored, found) = at.lookup(OsStr::new(&name)).expect("lookup");
        assert_eq!(stored, entry.stored);
        match found.kind {
            Kind::Directory => out.extend(tree(keys, &at.open(&stored).expect("open"), &path)),
            Kind::Symlink => {
                let target = at.read_link(&stored).expect("target");
                assert_eq!(found.size, target.len() as u64);
                out.insert(path, Node::Link(target));
            }
            _ => {
                keys.open_file(at, &name).expect("open");
                out.insert(path, Node::File(found.size));
            }
        }
    }
    out
}
