//! G2 and G3 by the order of system calls: what strace sees of a mount is what FORMAT.md promises.
//! The table is `tests/order/expected.txt`. Needs root, /dev/fuse and strace.

#[path = "support/mounted.rs"]
mod mounted;
mod support;

use mounted::Mount;

#[test]
fn the_daemon_writes_and_syncs_in_the_promised_order() {
    let m = Mount::new();
    let said = m.sh("python3 $SRC/tests/order/order.py");
    println!("{}", said.lines().last().unwrap_or_default());
}
