//! G3 on a real ext4 that is shut down under load. Longer: `scripts/torture MINUTES shutdown`.

#[path = "support/mounted.rs"]
mod mounted;
mod support;

use mounted::Mount;

#[test]
fn what_was_fsynced_is_there_after_ext4_was_shut_down() {
    let number = |name: &str, default: u64| {
        let given = std::env::var(name).ok();
        given.and_then(|text| text.parse().ok()).unwrap_or(default)
    };
    let (rounds, seed) = (number("REKEYFS_ROUNDS", 5), number("REKEYFS_SEED", 1));
    // The image is not on a disk in memory: its loop device needs one that takes direct writes.
    let said = Mount::new().sh(&format!(
        "T=$(mktemp -d /var/tmp/rekeyfs-shutdown-XXXXXX); export T; trap 'rm -rf $T' EXIT
         python3 $SRC/tests/torture/shutdown.py {rounds} {seed}"
    ));
    println!("{}", said.lines().last().unwrap_or_default());
}
