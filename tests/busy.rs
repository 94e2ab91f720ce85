//! Several processes at once use a real mount, and know every byte of their files. Longer:
//! `scripts/torture MINUTES busy`.

#[path = "support/mounted.rs"]
mod mounted;
mod support;

use mounted::Mount;

#[test]
fn several_processes_at_once_find_what_they_wrote() {
    let given = |name: &str, default: &str| std::env::var(name).unwrap_or(default.to_owned());
    let (rounds, seed) = (given("REKEYFS_ROUNDS", "4"), given("REKEYFS_SEED", "1"));
    let m = Mount::new();
    m.key("SYMMETRIC_DEFAULT", "alias/other");
    println!(
        "{}",
        m.sh(&format!(
            "python3 $SRC/tests/torture/busy.py {rounds} 3 {seed}"
        ))
    );
}
