//! What the barriers of `crash=strict` cost beside `crash=fast`: the same loads on two mounts.
//!
//! A load starts with what is durable: written, and mounted anew. Each is run in turn on both
//! mounts, several times. The middle of the times counts, and the middle of the ratios of two
//! neighbours: a disk that is slower for a while is slower for both. Needs root.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{CHUNK, seconds};

const BINARY: &str = env!("CARGO_BIN_EXE_rekeyfs");
const BIG: u64 = 64 << 20;
const FILES: usize = 300;
const ROUNDS: usize = 9;

/// Unmounts at the end, whatever happens.
struct Mount {
    mode: &'static str,
    keystore: PathBuf,
    volume: PathBuf,
    point: PathBuf,
}

impl Mount {
    fn run(&self, arguments: &[&std::ffi::OsStr]) {
        let status = Command::new(BINARY)
            .arg("--keystore")
            .arg(&self.keystore)
            .args(arguments)
            .stdout(std::process::Stdio::null())
            .status();
        assert!(status.is_ok_and(|status| status.success()), "{arguments:?}");
    }

    fn new(dir: &Path, mode: &'static str) -> Self {
        let mount = Self {
            mode,
            keystore: dir.join("keystore.db"),
            volume: dir.join(mode),
            point: dir.join(format!("{mode}.mount")),
        };
        std::fs::create_dir(&mount.point).expect("mkdir");
        mount.run(&["init".as_ref(), mount.volume.as_ref()]);
        mount.mount();
        mount
    }

    fn mount(&self) {
        let option = format!("crash={}", self.mode);
        let (volume, point) = (self.volume.as_os_str(), self.point.as_os_str());
        self.run(&[
            "mount".as_ref(),
            "-o".as_ref(),
            option.as_ref(),
            volume,
            point,
        ]);
    }

    fn unmount(&self) {
        self.run(&["umount".as_ref(), self.point.as_ref()]);
    }

    /// Everything is durable, and nothing is known of it.
    fn remount(&self) {
        self.unmount();
        self.mount();
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = Command::new(BINARY).arg("umount").arg(&self.point).status();
    }
}

fn big(dir: &Path) -> File {
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .open(dir.join("big"));
    file.expect("open")
}

fn place(number: u64) -> u64 {
    number.wrapping_mul(0x9e37_79b9_7f4a_7c15) % (BIG / CHUNK as u64) * CHUNK as u64
}

type Load = (&'static str, fn(&Path));

fn loads() -> Vec<Load> {
    vec![
        ("4 KiB overwrite and fdatasync, 200 times", |dir| {
            let file = big(dir);
            for number in 0..200 {
                file.write_all_at(&[1; CHUNK], place(number))
                    .expect("write");
                file.sync_data().expect("sync");
            }
        }),
        (
            "append 100 bytes to a log and fdatasync, 200 times",
            |dir| {
                let mut log = OpenOptions::new()
                    .append(true)
                    .open(dir.join("log"))
                    .expect("open");
                for _ in 0..200 {
                    log.write_all(&[2; 100]).expect("write");
                    log.sync_data().expect("sync");
                }
            },
        ),
        ("random 4 KiB overwrites, 16,000 times", |dir| {
            let file = big(dir);
            for number in 0..16_000 {
                file.write_all_at(&[3; CHUNK], place(number))
                    .expect("write");
            }
        }),
        ("sequential overwrite of 64 MiB", |dir| {
            let file = big(dir);
            for number in 0..BIG >> 20 {
                file.write_all_at(&[4; 1 << 20], number << 20)
                    .expect("write");
            }
        }),
        ("append 100 bytes to a log, 10,000 times", |dir| {
            let mut log = OpenOptions::new()
                .append(true)
                .open(dir.join("log"))
                .expect("open");
            for _ in 0..10_000 {
                log.write_all(&[5; 100]).expect("write");
            }
        }),
        ("a new file of 64 MiB", |dir| {
            let mut file = File::create(dir.join("new")).expect("create");
            for _ in 0..BIG >> 20 {
                file.write_all(&[6; 1 << 20]).expect("write");
            }
            std::fs::remove_file(dir.join("new")).expect("unlink");
        }),
        ("300 new files of 8 KiB", |dir| {
            for number in 0..FILES {
                std::fs::write(dir.join(format!("new{number}")), [7; 8192]).expect("write");
            }
            for number in 0..FILES {
                std::fs::remove_file(dir.join(format!("new{number}"))).expect("unlink");
            }
        }),
        ("300 files of 8 KiB written anew (O_TRUNC)", |dir| {
            for number in 0..FILES {
                std::fs::write(dir.join(format!("old{number}")), [8; 8192]).expect("write");
            }
        }),
    ]
}

/// Measures and prints the table.
pub fn measure(dir: &Path) {
    let mounts = [Mount::new(dir, "strict"), Mount::new(dir, "fast")];
    for mount in &mounts {
        let dir = &mount.point;
        std::fs::write(dir.join("big"), vec![0; BIG as usize]).expect("write");
        std::fs::write(dir.join("log"), [0; 50]).expect("write");
        for number in 0..FILES {
            std::fs::write(dir.join(format!("old{number}")), [0; 8192]).expect("write");
        }
    }
    println!(
        "{:<52} {:>9} {:>9} {:>7}",
        "load", "strict", "fast", "ratio"
    );
    for (name, load) in loads() {
        // Of each round: [strict, fast].
        let mut rounds: Vec<[f64; 2]> = Vec::new();
        for round in 0..ROUNDS {
            let mut times = [0.0; 2];
            // Whoever is first in one round is second in the next.
            for at in [round % 2, 1 - round % 2] {
                mounts[at].remount();
                times[at] = seconds(|| load(&mounts[at].point));
            }
            rounds.push(times);
        }
        let middle = |value: fn(&[f64; 2]) -> f64| {
            let mut values: Vec<f64> = rounds.iter().map(value).collect();
            values.sort_by(f64::total_cmp);
            values[ROUNDS / 2]
        };
        println!(
            "{name:<52} {:>6.0} ms {:>6.0} ms {:>7.2}",
            middle(|times| times[0]) * 1e3,
            middle(|times| times[1]) * 1e3,
            middle(|times| times[0] / times[1])
        );
    }
}
