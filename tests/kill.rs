//! G1 and G2 on a real mount: `kill -9` at random moments. Longer: `scripts/torture MINUTES kill`.

#[path = "support/mounted.rs"]
mod mounted;
mod support;

use mounted::Mount;

#[test]
fn kill_9_at_any_moment_makes_nothing_unreadable() {
    let number = |name: &str, default: u64| {
        let given = std::env::var(name).ok();
        given.and_then(|text| text.parse().ok()).unwrap_or(default)
    };
    let (kills, seed) = (number("REKEYFS_KILLS", 25), number("REKEYFS_SEED", 1));
    let m = Mount::new();
    m.key("SYMMETRIC_DEFAULT", "alias/other");
    let said = m.sh(&format!(
        "timeout -s KILL 3600 python3 $SRC/tests/torture/kill.py {kills} {seed}"
    ));
    println!("{}", said.lines().last().unwrap_or_default());
}
