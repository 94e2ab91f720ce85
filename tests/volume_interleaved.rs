//! Two operations on one file at once: the second one is done between any two system calls of the
//! first. What both leave behind is what one after the other leaves.
//!
//! Where the second has to wait for a lock of the first, the first goes on after a moment, and they
//! are one after the other anyway: what is expected does not depend on the time.

mod support;

use std::io::IoSlice;
use std::os::fd::BorrowedFd;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::ThreadId;
use std::time::Duration;

use parking_lot::{Mutex, RwLock, RwLockReadGuard};
use rekeyfs::kms::Kms;
use rekeyfs::volume::backing::{Backing, System};
use rekeyfs::volume::{Crash, File, OpenOptions, Reseal, Volume};
use rustix::fs::{FallocateFlags, Timestamps};
use rustix::io::Errno;
use support::{Keys, copy_tree, keys, read_all, rewrap_to, temporary};

const CHUNK: usize = 4096;
const GROUP: usize = 64 * CHUNK;
/// How long a call waits for an operation that waits for it.
const MOMENT: Duration = Duration::from_millis(4);

/// Lets somebody else work before the n-th changing call of one thread.
#[derive(Default)]
struct Between {
    turn: Mutex<Option<Turn>>,
    calls: AtomicU64,
    /// For writing: nothing changes meanwhile.
    still: RwLock<()>,
    /// Inodes that the thread has synced.
    synced: Mutex<Vec<u64>>,
}

struct Turn {
    thread: ThreadId,
    at: u64,
    go: Sender<()>,
    done: Receiver<()>,
}

impl Between {
    /// Before a changing call, which is done while the guard is there.
    fn pass(&self) -> RwLockReadGuard<'_, ()> {
        self.take_turn();
        self.still.read()
    }

    fn take_turn(&self) {
        let mut turn = self.turn.lock();
        let Some(expected) = turn.as_ref() else {
            return;
        };
        if expected.thread != std::thread::current().id()
            || self.calls.fetch_add(1, Ordering::SeqCst) != expected.at
        {
            return;
        }
        let Some(Turn { go, done, .. }) = turn.take() else {
            return;
        };
        drop(turn);
        go.send(()).expect("somebody waits");
        let _ = done.recv_timeout(MOMENT);
    }
}

impl Backing for Between {
    fn write(
        &self,
        fd: BorrowedFd<'_>,
        buffers: &mut [IoSlice<'_>],
        offset: u64,
    ) -> Result<(), (usize, Errno)> {
        let _changing = self.pass();
        System.write(fd, buffers, offset)
    }

    fn write_durable(&self, fd: BorrowedFd<'_>, bytes: &[u8], offset: u64) -> Result<(), Errno> {
        let _changing = self.pass();
        System.write_durable(fd, bytes, offset)
    }

    fn truncate(&self, fd: BorrowedFd<'_>, len: u64) -> Result<(), Errno> {
        let _changing = self.pass();
        System.truncate(fd, len)
    }

    fn allocate(
        &self,
        fd: BorrowedFd<'_>,
        flags: FallocateFlags,
        offset: u64,
        len: u64,
    ) -> Result<(), Errno> {
        let _changing = self.pass();
        System.allocate(fd, flags, offset, len)
    }

    fn sync(&self, fd: BorrowedFd<'_>, data_only: bool) -> Result<(), Errno> {
        let _changing = self.pass();
        if let Ok(stat) = rustix::fs::fstat(fd) {
            self.synced.lock().push(stat.st_ino);
        }
        System.sync(fd, data_only)
    }

    fn set_times_of(&self, fd: BorrowedFd<'_>, times: &Timestamps) -> Result<(), Errno> {
        let _changing = self.pass();
        System.set_times_of(fd, times)
    }
}

/// What can be done to a file, and to a model of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Op {
    /// At an offset, or at the end.
    Write(Option<usize>, usize, u8),
    SetLen(usize),
    Punch(usize, usize),
    Land,
    Sync,
    /// A write, and an fsync after it.
    WriteSync(usize, usize, u8),
    Rewrap,
    Reseal,
    Stat,
}

impl Op {
    fn apply(self, keys: &Keys, file: &File) {
        match self {
            Op::Write(at, len, byte) => {
                let at = at.map_or(file.len(), |at| at as u64);
                assert_eq!(file.write(at, &vec![byte; len]).expect("write"), len);
            }
            Op::SetLen(len) => file.set_len(len as u64).expect("set_len"),
            Op::Punch(at, len) => file.punch(at as u64, len as u64).expect("punch"),
            Op::Land => file.land().expect("land"),
            Op::Sync => file.sync(true).expect("sync"),
            Op::WriteSync(at, len, byte) => {
                Op::Write(Some(at), len, byte).apply(keys, file);
                Op::Sync.apply(keys, file);
            }
            Op::Rewrap => {
                let request = rewrap_to(&keys.key_id);
                let rewrapped = file.envelope().rewrap(&keys.caller, &request);
                rewrapped.expect("rewrap");
            }
            Op::Stat => {
                file.attributes().expect("stat");
            }
            Op::Reseal => {
                let reseal = Reseal::of_file(file.envelope(), &keys.caller).expect("reseal");
                reseal.run().expect("reseal");
            }
        }
    }

    fn model(self, bytes: &mut Vec<u8>) {
        match self {
            Op::WriteSync(at, len, byte) => Op::Write(Some(at), len, byte).model(bytes),
            Op::Write(at, len, byte) => {
                let at = at.unwrap_or(bytes.len());
                let end = bytes.len().max(at + len);
                bytes.resize(end, 0);
                bytes[at..at + len].fill(byte);
            }
            Op::SetLen(len) => bytes.resize(len, 0),
            Op::Punch(at, len) => {
                let end = bytes.len().min(at + len);
                if at < end {
                    bytes[at..end].fill(0);
                }
            }
            Op::Land | Op::Sync | Op::Rewrap | Op::Reseal | Op::Stat => {}
        }
    }

    fn syncs(self) -> bool {
        matches!(self, Op::Sync | Op::WriteSync(..))
    }

    /// Whether an application sees nothing of it, neither in the contents nor in the times.
    fn is_internal(self) -> bool {
        matches!(self, Op::Land | Op::Sync | Op::Rewrap | Op::Reseal)
    }
}

/// One group, and a tail.
fn contents() -> Vec<u8> {
    (0..GROUP + CHUNK + 100)
        .map(|i| (i / 7) as u8 | 1)
        .collect()
}

const SECOND: &[Op] = &[
    Op::Write(None, CHUNK, 0xa1),
    Op::Write(None, 300, 0xa2),
    Op::Write(Some(3 * CHUNK), CHUNK, 0xa3),
    Op::Write(Some(GROUP - CHUNK - 10), 2 * CHUNK, 0xa4),
    Op::Write(Some(3 * CHUNK + 100), 50, 0xa6),
    Op::Write(Some(2 * GROUP + 5), 700, 0xa5),
    Op::WriteSync(3 * CHUNK + 7, 2 * CHUNK, 0xa7),
    Op::WriteSync(GROUP + CHUNK + 90, 30, 0xa8),
    Op::SetLen(0),
    Op::SetLen(4 * CHUNK + 9),
    Op::SetLen(3 * GROUP),
    Op::Punch(2 * CHUNK, 3 * CHUNK + 5),
    Op::Land,
    Op::Sync,
    Op::Stat,
];

/// Every second operation at every call of `first`, on a file to which `before` was done.
fn whatever_comes_between(before: &[Op], first: Op) {
    on_a_volume(Crash::Strict, before, first);
}

fn on_a_volume(crash: Crash, before: &[Op], first: Op) {
    let dir = temporary();
    let keys = keys(dir.path());
    keys.init(&dir.path().join("template"));
    let volume = keys.open(&dir.path().join("template"));
    let root = volume.root().expect("root");
    let file = keys.create(&root, "file").expect("create");
    file.write(0, &contents()).expect("write");
    drop((file, root));
    assert!(volume.close().expect("close").is_empty());
    drop(volume);

    for second in SECOND {
        let mut at = 0;
        while interleaved(&keys, dir.path(), crash, before, [first, *second], at) {
            at += 1;
        }
        assert!(at > 0, "{first:?} changes nothing");
    }
}

/// Tells whether there was an n-th call.
fn interleaved(
    keys: &Keys,
    dir: &Path,
    crash: Crash,
    before: &[Op],
    [first, second]: [Op; 2],
    at: u64,
) -> bool {
    let what = format!("{before:?}, {second:?} before call {at} of {first:?}");
    let path = dir.join("volume");
    copy_tree(&dir.join("template"), &path);
    let backing = Arc::new(Between::default());
    let options = OpenOptions {
        crash,
        ..OpenOptions::default()
    };
    let kms: Arc<Kms> = Arc::clone(&keys.kms);
    let volume = Volume::open(backing.clone(), kms, &path, options).expect("open");
    let root = volume.root().expect("root");
    let file = keys.open_file(&root, "file").expect("open");
    let mut model = contents();
    for op in before {
        op.apply(keys, &file);
        op.model(&mut model);
    }
    let expected = [[first, second], [second, first]].map(|order| {
        let mut bytes = model.clone();
        order.iter().for_each(|op| op.model(&mut bytes));
        bytes
    });
    let noted = seen(&file);
    let killed = dir.join("killed");
    let (go, gone) = channel();
    let (finished, done) = channel();
    *backing.turn.lock() = Some(Turn {
        thread: std::thread::current().id(),
        at,
        go,
        done,
    });
    let came = std::thread::scope(|scope| {
        let file: &File = &file;
        let (what, path, killed, still) = (&what, &path, &killed, &*backing);
        let other = scope.spawn(move || {
            let came = gone.recv().is_ok();
            if came {
                second.apply(keys, file);
                if second == Op::Stat && first.is_internal() {
                    assert_eq!(seen(file), noted, "{what}");
                }
                if second.syncs() {
                    // The first one may have gone on by now: a kill is one moment.
                    let _still = still.still.write();
                    copy_tree(path, killed);
                }
                let _ = finished.send(());
            }
            came
        });
        first.apply(keys, file);
        drop(backing.turn.lock().take());
        other.join().expect("the second operation")
    });
    if came {
        let found = read_all(&file).unwrap_or_else(|e| panic!("{what}: {e}"));
        assert!(
            expected.contains(&found),
            "{what}: {}",
            told(&expected, &found)
        );
        drop((file, root));
        assert!(volume.close().expect("close").is_empty(), "{what}");
        drop(volume);
        let volume = keys.open(&path);
        let root = volume.root().expect("root");
        let file = keys.open_file(&root, "file");
        let file = file.unwrap_or_else(|e| panic!("{what}: {e}"));
        let again = read_all(&file).unwrap_or_else(|e| panic!("{what}, remounted: {e}"));
        assert!(
            again == found,
            "{what}, remounted: {}",
            told(&[found], &again)
        );
    }
    std::fs::remove_dir_all(&path).expect("remove");
    if killed.exists() {
        // As kill -9 right after the fsync has returned. What the first one changes may be half done.
        let root = keys.open(&killed).root().expect("root");
        let file = keys.open_file(&root, "file");
        let found = file.and_then(|file| read_all(&file));
        let found = found.unwrap_or_else(|e| panic!("{what}, killed: {e}"));
        if first.is_internal() {
            let differs = told(&expected, &found);
            assert!(expected.contains(&found), "{what}, killed: {differs}");
        }
        drop(root);
        std::fs::remove_dir_all(&killed).expect("remove");
    }
    came
}

/// What stat says of a file.
fn seen(file: &File) -> impl PartialEq + std::fmt::Debug + use<> {
    let found = file.attributes().expect("stat");
    (found.size, found.modified, found.changed)
}

/// How what was found differs from what was expected.
fn told(expected: &[Vec<u8>], found: &[u8]) -> String {
    let differs = |bytes: &Vec<u8>| {
        let at = (0..bytes.len().min(found.len())).find(|at| bytes[*at] != found[*at]);
        format!(
            "{} bytes of {}, other from {at:?}",
            found.len(),
            bytes.len()
        )
    };
    expected.iter().map(differs).collect::<Vec<_>>().join("; ")
}

#[test]
fn changes_that_are_let_down() {
    whatever_comes_between(&[Op::Write(Some(CHUNK), 5 * CHUNK, 1)], Op::Land);
    whatever_comes_between(&[Op::Write(Some(CHUNK), 5 * CHUNK, 1)], Op::Sync);
}

#[test]
fn an_end_that_is_let_down() {
    whatever_comes_between(&[Op::Write(None, 900, 1)], Op::Land);
    whatever_comes_between(&[Op::Write(None, GROUP, 1)], Op::Sync);
}

#[test]
fn a_file_that_was_emptied_and_written_again() {
    let emptied = [Op::SetLen(0), Op::Write(None, GROUP + 2 * CHUNK, 1)];
    whatever_comes_between(&emptied, Op::Land);
    whatever_comes_between(&[Op::SetLen(0), Op::Write(None, 500, 1)], Op::Sync);
    whatever_comes_between(&[Op::SetLen(0)], Op::Land);
}

#[test]
fn what_a_shrink_has_left_is_let_down() {
    let cut = [Op::SetLen(7 * CHUNK + 50), Op::Write(None, 60, 1)];
    whatever_comes_between(&cut, Op::Land);
    whatever_comes_between(&cut, Op::Sync);
}

#[test]
fn writes_of_what_is_promised_and_what_is_not() {
    whatever_comes_between(&[], Op::Write(None, 2 * CHUNK, 2));
    whatever_comes_between(&[], Op::Write(Some(4 * CHUNK), 3 * CHUNK, 2));
    whatever_comes_between(&[Op::Punch(0, 9 * CHUNK)], Op::Write(Some(CHUNK), CHUNK, 2));
    whatever_comes_between(&[Op::SetLen(0), Op::Sync], Op::Write(None, 2 * CHUNK, 2));
}

#[test]
fn lengths_and_holes() {
    for first in [
        Op::SetLen(0),
        Op::SetLen(5 * CHUNK + 8),
        Op::SetLen(3 * GROUP + 1),
        Op::Punch(CHUNK + 7, 4 * CHUNK),
    ] {
        whatever_comes_between(&[], first);
        whatever_comes_between(&[Op::Write(Some(2 * CHUNK), CHUNK, 1)], first);
    }
}

#[test]
fn a_reseal() {
    whatever_comes_between(&[], Op::Reseal);
    whatever_comes_between(&[Op::Write(None, CHUNK, 1)], Op::Reseal);
    whatever_comes_between(&[Op::SetLen(0), Op::Write(None, CHUNK, 1)], Op::Reseal);
    on_a_volume(Crash::Fast, &[], Op::Reseal);
}

#[test]
fn a_rewrap() {
    whatever_comes_between(&[], Op::Rewrap);
    whatever_comes_between(&[Op::Write(None, CHUNK, 1)], Op::Rewrap);
}

/// Its own header is owed too, under whatever name the reseal has put it.
#[test]
fn the_fsync_of_a_directory_that_is_resealed() {
    let dir = temporary();
    let keys = keys(dir.path());
    keys.init(&dir.path().join("volume"));
    let backing = Arc::new(Between::default());
    let volume = keys.open_on(backing.clone(), &dir.path().join("volume"));
    let volume = volume.expect("open");
    let root = volume.root().expect("root");
    let made: Vec<_> = ["one", "two", "three"]
        .map(|name| keys.create(&root, name).expect("create"))
        .into_iter()
        .map(|file| file.attributes().expect("stat").inode)
        .collect();
    let (go, gone) = channel();
    let (finished, done) = channel();
    *backing.turn.lock() = Some(Turn {
        thread: std::thread::current().id(),
        at: 1,
        go,
        done,
    });
    std::thread::scope(|scope| {
        let (root, keys) = (&root, &keys);
        scope.spawn(move || {
            gone.recv().expect("a second call");
            let reseal = Reseal::of_directory(root, &keys.caller).expect("reseal");
            reseal.run().expect("reseal");
            let _ = finished.send(());
        });
        root.sync(true).expect("sync");
        let synced = backing.synced.lock().clone();
        assert!(
            made.iter().all(|inode| synced.contains(inode)),
            "{made:?}, {synced:?}"
        );
    });
}
