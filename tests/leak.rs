//! After many operations a mount needs what it needed before. Longer: `scripts/torture MINUTES leak`.

#[path = "support/mounted.rs"]
mod mounted;
mod support;

use mounted::Mount;

#[test]
fn descriptors_memory_and_inodes_are_as_before_after_many_operations() {
    let number = |name: &str, default: u64| {
        let given = std::env::var(name).ok();
        given.and_then(|text| text.parse().ok()).unwrap_or(default)
    };
    let (operations, seed) = (
        number("REKEYFS_OPERATIONS", 30_000),
        number("REKEYFS_SEED", 1),
    );
    let said = Mount::new().sh(&format!(
        "python3 $SRC/tests/torture/leak.py {operations} {seed}"
    ));
    println!("{}", said.lines().last().unwrap_or_default());
}
