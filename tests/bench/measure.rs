//! Measurements: `scripts/bench layout`, `scripts/bench rewrap` and `scripts/bench kms` without
//! FUSE, `scripts/bench crash` with it.
//!
//! `layout` compares the stored layout with the interleaved alternative (nonce, tag and data side
//! by side, stride 4,124 bytes after one header page), which is built here just far enough for
//! that. `rewrap` times the rewrap of a 10 GiB sparse file and of a 1-byte file. `crash` and `kms`
//! are described in their modules.

mod crash;
mod kms;
#[path = "../support/mod.rs"]
mod support;

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::Instant;

use rekeyfs::kms::service::ReEncryptRequest;
use rekeyfs::primitives::{ContentKey, random, random_secret};
use rekeyfs::volume::RewrapRequest;
use support::{keys, make_key};

const CHUNK: usize = 4096;
const STRIDE: usize = CHUNK + 28;
const TOTAL: usize = 64 << 20;
const RANDOM: usize = 4000;
const SMALL: usize = 2000;

fn main() {
    let arguments: Vec<String> = std::env::args()
        .skip(1)
        .filter(|a| !a.starts_with("--"))
        .collect();
    let what = arguments.first().map_or("rewrap", String::as_str);
    let dir = arguments.get(1).map_or("/dev/shm", String::as_str);
    let dir = tempfile::Builder::new()
        .prefix("rekeyfs-bench-")
        .tempdir_in(dir)
        .expect("a directory");
    let moto = || {
        let address = arguments.get(2);
        address.expect("no address of moto's server: scripts/bench kms starts one")
    };
    match what {
        "layout" => layout(dir.path()),
        "rewrap" => rewrap(dir.path()),
        "crash" => crash::measure(dir.path()),
        "kms" => kms::measure(dir.path(), moto()),
        "kms-over-http" => kms::over_http(moto()),
        other => panic!("{other}: layout, rewrap, crash or kms"),
    }
}

/// Pseudo-random chunk numbers, the same for both layouts.
fn places() -> impl Iterator<Item = usize> {
    let mut state = 12345_u64;
    (0..RANDOM).map(move |_| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (state >> 33) as usize % (TOTAL / CHUNK)
    })
}

fn seconds(f: impl FnOnce()) -> f64 {
    let start = Instant::now();
    f();
    start.elapsed().as_secs_f64()
}

/// Makes everything durable and drops it from the page cache; needs root.
fn go_cold() {
    rustix::fs::sync();
    let _ = std::fs::write("/proc/sys/vm/drop_caches", "3");
}

struct Interleaved {
    file: File,
    key: ContentKey,
}

impl Interleaved {
    fn create(path: &Path) -> Self {
        let file = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .open(path)
            .expect("create");
        file.write_all_at(&[1; CHUNK], 0).expect("header");
        Self {
            file,
            key: ContentKey::new(&random_secret()),
        }
    }

    fn offset(index: usize) -> u64 {
        (CHUNK + index * STRIDE) as u64
    }

    fn write(&self, first: usize, data: &[u8]) {
        let mut stored = vec![0; data.len() / CHUNK * STRIDE];
        for (at, (plain, out)) in data
            .chunks(CHUNK)
            .zip(stored.chunks_mut(STRIDE))
            .enumerate()
        {
            let nonce = random::<12>();
            out[..12].copy_from_slice(&nonce);
            out[28..].copy_from_slice(plain);
            let tag = self
                .key
                .seal(nonce, &((first + at) as u64).to_le_bytes(), &mut out[28..]);
            out[12..28].copy_from_slice(&tag);
        }
        self.file
            .write_all_at(&stored, Self::offset(first))
            .expect("write");
    }

    fn read(&self, first: usize, count: usize) -> Vec<u8> {
        let mut stored = vec![0; count * STRIDE];
        self.file
            .read_exact_at(&mut stored, Self::offset(first))
            .expect("read");
        let mut out = Vec::with_capacity(count * CHUNK);
        for (at, chunk) in stored.chunks_mut(STRIDE).enumerate() {
            let nonce = chunk[..12].try_into().expect("12 bytes");
            let tag = chunk[12..28].try_into().expect("16 bytes");
            let aad = ((first + at) as u64).to_le_bytes();
            self.key
                .open(nonce, tag, &aad, &mut chunk[28..])
                .expect("verifies");
            out.extend_from_slice(&chunk[28..]);
        }
        out
    }
}

type Row = (&'static str, &'static str, f64, f64);

fn layout(dir: &Path) {
    let keys = keys(dir);
    keys.init(&dir.join("volume"));
    let volume = keys.open(&dir.join("volume"));
    let root = volume.root().expect("root");
    let ours = keys.create(&root, "file").expect("create");
    let other = Interleaved::create(&dir.join("interleaved"));
    let part = vec![7_u8; 1 << 20];
    let per_part = part.len() / CHUNK;
    let parts = TOTAL / part.len();
    let mib = (TOTAL >> 20) as f64;
    let mut rows: Vec<Row> = Vec::new();

    let a = seconds(|| {
        (0..parts).for_each(|i| assert!(ours.write((i * part.len()) as u64, &part).is_ok()))
    });
    let b = seconds(|| (0..parts).for_each(|i| other.write(i * per_part, &part)));
    rows.push(("sequential write, 1 MiB", "MiB/s", mib / a, mib / b));
    let read_all = || {
        seconds(|| {
            (0..parts).for_each(|i| {
                drop(
                    ours.read((i * part.len()) as u64, part.len())
                        .expect("read"),
                )
            })
        })
    };
    let read_other =
        || seconds(|| (0..parts).for_each(|i| drop(other.read(i * per_part, per_part))));
    rows.push((
        "sequential read, warm",
        "MiB/s",
        mib / read_all(),
        mib / read_other(),
    ));
    let random_ours = || {
        seconds(|| places().for_each(|i| drop(ours.read((i * CHUNK) as u64, CHUNK).expect("read"))))
    };
    let random_other = || seconds(|| places().for_each(|i| drop(other.read(i, 1))));
    let count = RANDOM as f64;
    rows.push((
        "random 4 KiB read, warm",
        "op/s",
        count / random_ours(),
        count / random_other(),
    ));
    let a = seconds(|| {
        places().for_each(|i| assert!(ours.write((i * CHUNK) as u64, &part[..CHUNK]).is_ok()))
    });
    let b = seconds(|| places().for_each(|i| other.write(i, &part[..CHUNK])));
    rows.push(("random 4 KiB write, warm", "op/s", count / a, count / b));
    go_cold();
    let a = read_all();
    go_cold();
    rows.push((
        "sequential read, cold",
        "MiB/s",
        mib / a,
        mib / read_other(),
    ));
    drop(ours);
    go_cold();
    let ours = keys.open_file(&root, "file").expect("open");
    let a = seconds(|| {
        places().for_each(|i| drop(ours.read((i * CHUNK) as u64, CHUNK).expect("read")))
    });
    go_cold();
    rows.push((
        "random 4 KiB read, cold",
        "op/s",
        count / a,
        count / random_other(),
    ));
    go_cold();
    let a = seconds(|| {
        places().for_each(|i| assert!(ours.write((i * CHUNK) as u64, &part[..CHUNK]).is_ok()))
    });
    go_cold();
    let b = seconds(|| places().for_each(|i| other.write(i, &part[..CHUNK])));
    rows.push(("random 4 KiB write, cold", "op/s", count / a, count / b));
    let a = seconds(|| {
        for i in 0..SMALL {
            let file = keys.create(&root, &format!("small{i}")).expect("create");
            file.write(0, &part[..CHUNK]).expect("write");
        }
    });
    std::fs::create_dir(dir.join("small")).expect("mkdir");
    let b = seconds(|| {
        for i in 0..SMALL {
            // The same work for keys: a data key from the KMS for each file.
            let context = rekeyfs::kms::service::EncryptionContext::default();
            let algorithm = rekeyfs::kms::service::EncryptionAlgorithm::SYMMETRIC_DEFAULT;
            use rekeyfs::kms::service::KeyService;
            keys.kms
                .new_data_key(&keys.caller, &keys.key_id, algorithm, &context)
                .expect("a key");
            Interleaved::create(&dir.join("small").join(i.to_string())).write(0, &part[..CHUNK]);
        }
    });
    let count = SMALL as f64;
    rows.push(("create and write 4 KiB", "files/s", count / a, count / b));
    println!("| row | unit | aligned | interleaved | ratio |\n|---|---|---|---|---|");
    for (name, unit, ours, other) in rows {
        println!(
            "| {name} | {unit} | {ours:.0} | {other:.0} | {:.2} |",
            ours / other
        );
    }
}

fn rewrap(dir: &Path) {
    let keys = keys(dir);
    let other_key = make_key(&keys.kms, &keys.caller, "SYMMETRIC_DEFAULT");
    keys.init(&dir.join("volume"));
    let volume = keys.open(&dir.join("volume"));
    let root = volume.root().expect("root");
    let large = keys.create(&root, "large").expect("create");
    large.set_len(10 << 30).expect("set_len");
    large.write((10 << 30) - 1, b"x").expect("write");
    let small = keys.create(&root, "small").expect("create");
    small.write(0, b"x").expect("write");
    let mut times = [Vec::new(), Vec::new()];
    for round in 0..300 {
        // Interleaved, so that a slow moment of the machine hits both.
        for (file, times) in [&large, &small].into_iter().zip(&mut times) {
            let key = if round % 2 == 0 {
                &other_key
            } else {
                &keys.key_id
            };
            let request = RewrapRequest {
                re_encrypt: ReEncryptRequest {
                    destination_key_id: key.clone(),
                    ..ReEncryptRequest::default()
                },
                keep: true,
                expected_generation: None,
            };
            let start = Instant::now();
            file.envelope()
                .rewrap(&keys.caller, &request)
                .expect("rewrap");
            times.push(start.elapsed().as_secs_f64() * 1e6);
        }
    }
    for (name, times) in ["10 GiB (sparse)", "1 byte"].into_iter().zip(&mut times) {
        times.sort_by(f64::total_cmp);
        let at = |part: usize| times[times.len() * part / 100];
        println!(
            "rewrap of {name}: median {:.0} us, 10 % {:.0} us, 90 % {:.0} us",
            at(50),
            at(10),
            at(90)
        );
    }
    println!("ratio of the medians: {:.2}", times[0][150] / times[1][150]);
}
