//! G3: what was fsynced and not overwritten since is there after a power cut, its neighbours too.
//!
//! The program's own code runs over a disk that records ([`disk`]). For every pair of operations,
//! every moment, and every state that the medium can have then, the file is opened again and
//! compared with what was promised. Longer with `REKEYFS_CUTS=N` (states of each moment).

#[path = "volume_power/disk.rs"]
mod disk;
mod support;

use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use disk::{Cut, Disk, Whole};
use rekeyfs::volume::backing::{Backing, System};
use rekeyfs::volume::{Crash, File, Handle, OpenOptions, Reseal, Volume, VolumeError};
use support::{Keys, keys, make_key, rewrap_to, stored_path, temporary};

const CHUNK: u64 = 4096;
const GROUP: u64 = 64 * CHUNK;

/// Operations on the plain file.
#[derive(Debug, Clone, Copy)]
enum Op {
    Write(u64, u64, u8),
    /// At the end, wherever that is.
    Append(u64, u8),
    Len(u64),
    Punch(u64, u64),
    Sync,
    Reopen,
    /// To another KMS key.
    Rewrap,
    /// Begins a reseal and stops in the middle.
    ResealHalf,
    /// Ends it, or does a whole one.
    Reseal,
}

/// The file that they work on: data, a hole, a group border, a partly filled tail.
fn contents() -> Vec<u8> {
    let mut bytes: Vec<u8> = (0..GROUP + 2 * CHUNK + 100)
        .map(|i| (i / 5) as u8 | 1)
        .collect();
    bytes[2 * CHUNK as usize..60 * CHUNK as usize].fill(0);
    bytes
}

fn operations() -> Vec<Op> {
    let end = contents().len() as u64;
    vec![
        Op::Write(0, CHUNK, 0xa1),
        Op::Write(10, 20, 0xa2),
        Op::Write(CHUNK - 10, 20, 0xa3),
        Op::Write(3 * CHUNK + 7, 50, 0xa4),
        Op::Write(GROUP - 30, 60, 0xa5),
        Op::Write(end, 40, 0xa6),
        Op::Write(end, 2 * CHUNK, 0xa7),
        Op::Write(end + 3 * CHUNK, 10, 0xa8),
        Op::Append(40, 0xa9),
        Op::Len(end - 50),
        Op::Len(GROUP - CHUNK - 9),
        Op::Len(end + 3000),
        Op::Len(0),
        Op::Punch(0, CHUNK),
        Op::Punch(CHUNK / 2, CHUNK),
        Op::Punch(GROUP - CHUNK, 2 * CHUNK),
        Op::Sync,
        Op::Reopen,
        Op::Rewrap,
        Op::ResealHalf,
        Op::Reseal,
    ]
}

fn apply_to_model(op: Op, bytes: &mut Vec<u8>) {
    match op {
        Op::Write(at, len, fill) => {
            let end = (at + len) as usize;
            if bytes.len() < end {
                bytes.resize(end, 0);
            }
            bytes[at as usize..end].fill(fill);
        }
        Op::Append(len, fill) => bytes.resize(bytes.len() + len as usize, fill),
        Op::Len(len) => bytes.resize(len as usize, 0),
        Op::Punch(at, len) => {
            let end = ((at + len) as usize).min(bytes.len());
            let at = (at as usize).min(end);
            bytes[at..end].fill(0);
        }
        Op::Sync | Op::Reopen | Op::Rewrap | Op::ResealHalf | Op::Reseal => {}
    }
}

/// What a byte may be: every state since the last promise.
struct Promise {
    /// The plain states since then, the promised one first.
    states: Vec<Vec<u8>>,
    /// Chunks that were changed since then: where pages tear these may be lost.
    in_flight: BTreeSet<u64>,
}

impl Promise {
    fn check(&self, what: &str, opened: Found) {
        let found = opened.unwrap_or_else(|e| panic!("{what}: the file does not open: {e}"));
        let promised = &self.states[0];
        // What was cut off since may be there or not.
        let mut kept = self.states.iter().map(Vec::len).min().unwrap_or(0);
        // A last chunk that was lost is cut.
        while let Some(last) = kept.checked_sub(1).map(|at| at as u64 / CHUNK)
            && self.in_flight.contains(&last)
        {
            kept = (last * CHUNK) as usize;
        }
        let len = found
            .iter()
            .map(|chunk| chunk.as_ref().map_or(CHUNK as usize, Vec::len))
            .sum::<usize>();
        assert!(len >= kept, "{what}: {len} of {kept} bytes are left");
        for (index, chunk) in found.iter().enumerate() {
            let start = index * CHUNK as usize;
            let bytes = match chunk {
                Ok(bytes) => bytes,
                Err(e) => {
                    assert!(
                        start >= kept.min(promised.len())
                            || self.in_flight.contains(&(index as u64)),
                        "{what}: chunk {index} is lost: {e}"
                    );
                    continue;
                }
            };
            for (at, byte) in (start..).zip(bytes) {
                let known = self.states.iter().any(|state| state.get(at) == Some(byte));
                // Behind the shortest end zeros may have come to be.
                assert!(
                    known || *byte == 0 && at >= kept,
                    "{what}: byte {at} is {byte:#x}, promised {:?}",
                    promised.get(at)
                );
            }
        }
    }
}

struct World {
    keys: Keys,
    other_key: String,
    dir: tempfile::TempDir,
    stored: PathBuf,
    crash: Crash,
}

/// The chunks of a file as the next mount finds them.
type Found = Result<Vec<Result<Vec<u8>, VolumeError>>, VolumeError>;

/// A fresh copy in place of what is there.
fn copy_over(from: &Path, to: &Path) {
    let _ = std::fs::remove_dir_all(to);
    support::copy_tree(from, to);
}

fn run(world: &World, file: &mut Option<Handle>, reopen: impl Fn() -> Handle, op: Op) {
    if let Op::Reopen = op {
        *file = None;
        *file = Some(reopen());
        return;
    }
    let file = file.as_ref().expect("open");
    match op {
        Op::Write(at, len, fill) => {
            let written = file.write(at, &vec![fill; len as usize]).expect("write");
            assert_eq!(written as u64, len);
        }
        Op::Append(len, fill) => {
            let written = file.write(file.len(), &vec![fill; len as usize]);
            assert_eq!(written.expect("write") as u64, len);
        }
        Op::Len(len) => file.set_len(len).expect("truncate"),
        Op::Punch(at, len) => file.punch(at, len).expect("punch"),
        Op::Sync => file.sync(true).expect("sync"),
        Op::ResealHalf | Op::Reseal => {
            let caller = &world.keys.caller;
            let reseal = Reseal::of_file(file.envelope(), caller).expect("reseal");
            if let Op::Reseal = op {
                reseal.run().expect("reseal");
            } else {
                reseal.step().expect("step");
            }
        }
        Op::Rewrap => {
            let request = rewrap_to(&world.other_key);
            let rewrapped = file.envelope().rewrap(&world.keys.caller, &request);
            rewrapped.expect("rewrap");
        }
        Op::Reopen => {}
    }
}

fn read_chunks(file: &File) -> Vec<Result<Vec<u8>, VolumeError>> {
    (0..file.len().div_ceil(CHUNK))
        .map(|index| {
            file.read(index * CHUNK, CHUNK as usize)
                .map(|plain| plain.as_bytes().to_vec())
        })
        .collect()
}

impl World {
    fn new(crash: Crash) -> Self {
        let dir = temporary();
        let keys = keys(dir.path());
        let other_key = make_key(&keys.kms, &keys.caller, "SYMMETRIC_DEFAULT");
        let template = dir.path().join("template");
        keys.init(&template);
        let volume = keys.open(&template);
        let root = volume.root().expect("root");
        let file = keys.create(&root, "file").expect("create");
        file.write(0, &contents()).expect("write");
        file.punch(2 * CHUNK, 58 * CHUNK).expect("punch");
        drop(file);
        let stored = stored_path(Path::new(""), &root, "file");
        drop(root);
        assert!(volume.close().expect("close").is_empty());
        Self {
            keys,
            other_key,
            dir,
            stored,
            crash,
        }
    }

    /// Runs `ops` on a copy of `from` and returns the disk, and the states after each of them.
    fn record(
        &self,
        from: &Path,
        name: &str,
        ops: &[Op],
        before: &[u8],
    ) -> (PathBuf, Arc<Disk>, Vec<Vec<u8>>) {
        let path = self.dir.path().join(name);
        copy_over(from, &path);
        let stored = path.join(&self.stored);
        let inode = std::fs::metadata(&stored).expect("stat").ino();
        let disk = Arc::new(Disk::new(inode, std::fs::read(&stored).expect("read")));
        let volume = self.open(disk.clone(), &path, false);
        let root = volume.root().expect("root");
        let open = || self.keys.open_file(&root, "file").expect("open the file");
        let mut file = Some(open());
        let mut states = vec![before.to_vec()];
        for (number, op) in ops.iter().enumerate() {
            disk.step(2 * number + 1);
            run(self, &mut file, open, *op);
            let mut state = states[number].clone();
            apply_to_model(*op, &mut state);
            states.push(state);
            disk.step(2 * number + 2);
        }
        // The power has gone: nothing is closed.
        std::mem::forget((file, root, volume));
        (path, disk, states)
    }

    /// Opens the file of a cut as the next mount does, without writing.
    fn look(&self, volume: &Arc<Volume>, path: &Path, cut: &Cut) -> Found {
        std::fs::write(path.join(&self.stored), &cut.image).expect("write");
        let root = volume.root()?;
        let file = self.keys.open_file(&root, "file")?;
        Ok(read_chunks(&file))
    }

    fn after_cut(&self, path: &Path) -> (PathBuf, Arc<Volume>) {
        let copy = path.with_extension("cut");
        copy_over(path, &copy);
        let volume = self.open(Arc::new(System), &copy, true);
        (copy, volume)
    }

    fn open(&self, backing: Arc<dyn Backing>, path: &Path, read_only: bool) -> Arc<Volume> {
        let kms: Arc<rekeyfs::kms::Kms> = Arc::clone(&self.keys.kms);
        let options = OpenOptions {
            read_only,
            crash: self.crash,
            ..OpenOptions::default()
        };
        Volume::open(backing, kms, path, options).expect("open")
    }
}

/// What is promised at a step, and the states since: an fsync promises when it has returned.
fn promise(ops: &[Op], states: &[Vec<u8>], step: usize) -> Promise {
    let done = step / 2;
    let begun = step.div_ceil(2);
    let synced = (0..done)
        .rev()
        .find(|at| matches!(ops[*at], Op::Sync))
        .map_or(0, |at| at + 1);
    let in_flight = (synced..begun).flat_map(|at| touched(ops[at], states[at].len() as u64));
    Promise {
        states: states[synced..=begun].to_vec(),
        in_flight: in_flight.collect(),
    }
}

/// The chunks that an operation may write anew in a file of `len` bytes.
fn touched(op: Op, len: u64) -> Vec<u64> {
    let range = |from: u64, to: u64| (from / CHUNK..to.div_ceil(CHUNK)).collect();
    match op {
        // What lies behind the end in the last chunk is made zero.
        Op::Write(at, count, _) => range(at.min(len), at + count),
        Op::Append(count, _) => range(len, len + count),
        Op::Len(new) => range(len.min(new), len.max(new)),
        Op::Punch(at, count) => range(at, at + count),
        Op::Sync | Op::Reopen | Op::Rewrap | Op::ResealHalf | Op::Reseal => Vec::new(),
    }
}

fn states_of_each_moment() -> usize {
    std::env::var("REKEYFS_CUTS")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(24)
}

/// Random sequences of operations; more with `REKEYFS_SEQUENCES=N`.
fn sequences() -> usize {
    std::env::var("REKEYFS_SEQUENCES")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(60)
}

fn random(seed: u64) -> impl FnMut() -> u64 {
    let mut state = seed ^ 0x9e37_79b9_7f4a_7c15;
    move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    }
}

fn cut_everywhere(world: &World, ops: &[Op], seed: u64) -> usize {
    cut_a_medium(world, Whole::Pages, ops, seed)
}

fn cut_a_medium(world: &World, whole: Whole, ops: &[Op], seed: u64) -> usize {
    let template = world.dir.path().join("template");
    let (path, disk, states) = world.record(&template, "volume", ops, &contents());
    let (copy, volume) = world.after_cut(&path);
    let mut tried = 0;
    let most = match whole {
        Whole::Pages => states_of_each_moment(),
        Whole::Sectors => states_of_each_moment() / 2,
    };
    disk.cuts(whole, most, random(seed), |cut| {
        let what = format!("{ops:?}, cut in step {}", cut.step);
        let found = world.look(&volume, &copy, cut);
        let mut promise = promise(ops, &states, cut.step);
        if whole == Whole::Pages {
            promise.in_flight.clear();
        }
        promise.check(&what, found);
        tried += 1;
    });
    tried
}

#[test]
fn every_pair_of_operations_is_cut_at_every_moment_and_loses_nothing_that_was_promised() {
    let world = World::new(Crash::Strict);
    let mut tried = 0;
    for (a, first) in operations().into_iter().enumerate() {
        for (b, second) in operations().into_iter().enumerate() {
            // The close lets down what the two have left waiting.
            let ops = [first, second, Op::Reopen];
            tried += cut_everywhere(&world, &ops, (a * 100 + b) as u64);
        }
    }
    println!("{tried} states of the medium");
    assert!(tried > 10_000);
}

#[test]
fn where_pages_tear_only_chunks_that_were_being_changed_are_lost() {
    let world = World::new(Crash::Strict);
    let mut tried = 0;
    for (a, first) in operations().into_iter().enumerate() {
        for (b, second) in operations().into_iter().enumerate() {
            // A reseal changes every chunk.
            if [first, second]
                .iter()
                .any(|op| matches!(op, Op::Reseal | Op::ResealHalf))
            {
                continue;
            }
            let ops = [first, second, Op::Reopen];
            tried += cut_a_medium(&world, Whole::Sectors, &ops, (a * 100 + b) as u64);
        }
    }
    println!("{tried} states of the medium");
    assert!(tried > 10_000);
}

/// A power cut while `ops` run, and another one while the next mount runs `more` on what it finds:
/// at most `most` states of each moment, and of the first ones every `every`th.
fn cut_twice(
    world: &World,
    [ops, more]: [&[Op]; 2],
    most: [usize; 2],
    every: u64,
    mut next: impl FnMut() -> u64,
) -> [usize; 2] {
    let template = world.dir.path().join("template");
    let (path, disk, states) = world.record(&template, "volume", ops, &contents());
    let (copy, volume) = world.after_cut(&path);
    let (mut tried, mut images) = ([0; 2], Vec::new());
    let mut pick = random(next());
    disk.cuts(Whole::Pages, most[0], random(next()), |cut| {
        let what = format!("{ops:?}, cut in step {}", cut.step);
        let found = world.look(&volume, &copy, cut);
        let whole = found.as_ref().ok().and_then(|chunks| {
            let chunks: Option<Vec<_>> = chunks.iter().map(|c| c.as_ref().ok()).collect();
            chunks.map(|chunks| chunks.into_iter().flatten().copied().collect::<Vec<u8>>())
        });
        promise(ops, &states, cut.step).check(&what, found);
        tried[0] += 1;
        if let Some(whole) = whole.filter(|_| pick().is_multiple_of(every)) {
            images.push((cut.image.clone(), whole));
        }
    });
    drop(volume);
    // The next mount goes on with what it finds, and the power goes again.
    for (image, before) in images {
        let second = world.dir.path().join("second");
        copy_over(&path, &second);
        std::fs::write(second.join(&world.stored), image).expect("write");
        let (path, disk, states) = world.record(&second, "again", more, &before);
        let (copy, volume) = world.after_cut(&path);
        disk.cuts(Whole::Pages, most[1], random(next()), |cut| {
            let left = before.len();
            let what = format!(
                "{ops:?}, cut to {left} bytes, {more:?}, cut in step {}",
                cut.step
            );
            let found = world.look(&volume, &copy, cut);
            promise(more, &states, cut.step).check(&what, found);
            tried[1] += 1;
        });
    }
    tried
}

#[test]
fn random_sequences_lose_nothing_in_two_power_cuts_in_a_row() {
    let world = World::new(Crash::Strict);
    let seed = std::env::var("REKEYFS_SEED").ok();
    let mut next = random(seed.and_then(|text| text.parse().ok()).unwrap_or(7));
    let mut tried = [0; 2];
    for _ in 0..sequences() {
        let mut sequence = |len: usize| -> Vec<Op> {
            let all = operations();
            (0..len)
                .map(|_| all[(next() % all.len() as u64) as usize])
                .collect()
        };
        let (ops, more) = (sequence(5), sequence(3));
        let done = cut_twice(&world, [&ops, &more], [6, 4], 8, random(next()));
        tried = [tried[0] + done[0], tried[1] + done[1]];
    }
    let [first, second] = tried;
    println!("{first} first cuts, {second} second ones");
    assert!(second > 100);
}

/// The cut is on the medium, the record that tells of it is not: its floor is behind the end.
#[test]
fn what_was_cut_off_before_a_power_cut_does_not_come_back_after_the_next_one() {
    let world = World::new(Crash::Strict);
    let announced = Op::Write(contents().len() as u64 + 12_288, 10, 0xa8);
    let ops = [
        Op::Write(3 * CHUNK + 7, 50, 0xa4),
        announced,
        Op::Len(GROUP - CHUNK - 9),
    ];
    for more in [
        Op::Append(40, 0xa9),
        Op::Append(CHUNK, 0xa9),
        Op::Len(GROUP - 5),
    ] {
        cut_twice(
            &world,
            [&ops, &[Op::Punch(0, CHUNK), more]],
            [40, 16],
            4,
            random(5),
        );
    }
}

/// A record that was written, not synced, and found again by the next open.
#[test]
fn a_length_changes_after_a_reopen_only_behind_a_durable_record() {
    let world = World::new(Crash::Strict);
    let end = contents().len() as u64;
    for change in [
        Op::Write(end, 40, 0xa6),
        Op::Len(end - 50),
        Op::Len(end + 9000),
    ] {
        let ops = [
            Op::Write(3 * CHUNK + 7, 50, 0xa4),
            Op::Reopen,
            change,
            Op::Reopen,
        ];
        cut_everywhere(&world, &ops, 3);
    }
}

/// What a shrink has left behind the end, in the page that an append makes longer.
#[test]
fn what_was_cut_off_does_not_come_back_with_an_append() {
    let world = World::new(Crash::Strict);
    let end = contents().len() as u64;
    // In the first group, which has the record, and in another one.
    for shrunk in [GROUP - CHUNK - 90, end - 90] {
        // Part of the last chunk, and all that can be read of it: that is not looked at before.
        let part = Op::Write(shrunk - 20, 10, 0xaa);
        let whole = Op::Write(shrunk - shrunk % CHUNK, shrunk % CHUNK, 0xab);
        for between in [Op::Reopen, Op::Sync, part, whole] {
            // The last one has the chunk in its middle.
            let over = Op::Write(shrunk - shrunk % CHUNK - 50, 3 * CHUNK, 0xac);
            for longer in [Op::Append(40, 0xa9), Op::Len(shrunk + 9000), over] {
                let shrink = Op::Len(shrunk);
                let ops = [shrink, Op::Sync, between, longer, Op::Reopen];
                cut_everywhere(&world, &ops, 5);
            }
        }
    }
}

#[test]
fn without_barriers_a_power_cut_costs_what_was_promised() {
    let world = World::new(Crash::Fast);
    let ops = [Op::Write(10, 20, 0xa2), Op::Write(10, 20, 0xa3), Op::Reopen];
    let cut = std::panic::AssertUnwindSafe(|| cut_everywhere(&world, &ops, 1));
    assert!(
        std::panic::catch_unwind(cut).is_err(),
        "crash=fast leaves the barrier out: if it loses nothing this test sees nothing"
    );
}
