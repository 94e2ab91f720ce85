//! What happens around a mount: signals, limits, a keystore that somebody else holds, a backing
//! directory that is unmounted. Full disks are in `mount`, failing calls in `volume_faults`.

#[path = "support/mounted.rs"]
mod mounted;
mod support;

use mounted::Mount;

/// The daemon of this mount, and whether it is gone.
const DAEMON: &str = r#"daemon() { pgrep -f "rekeyfs mount.* $VOL $MNT"; }
gone() { tail --pid=$1 -f /dev/null; }
"#;

fn run(m: &Mount, script: &str) -> String {
    m.sh(&format!("{DAEMON}{script}"))
}

#[test]
fn a_signal_unmounts_and_loses_nothing() {
    for signal in ["TERM", "INT", "HUP"] {
        let m = Mount::new();
        run(
            &m,
            &format!(
                "pid=$(daemon); echo kept > $MNT/f; sync $MNT/f; echo more >> $MNT/f; kill -{signal} $pid; gone $pid
                 ! mountpoint -q $MNT; rekeyfs check $VOL; rekeyfs mount $VOL $MNT; [ \"$(cat $MNT/f | tr '\\n' ' ')\" = 'kept more ' ]"
            ),
        );
    }
}

#[test]
fn a_signal_while_files_are_open_unmounts_when_they_are_closed() {
    let m = Mount::new();
    run(
        &m,
        "pid=$(daemon); exec 7> $MNT/f; kill -TERM $pid; echo later >&7; exec 7>&-
         while mountpoint -q $MNT; do kill -TERM $pid 2>/dev/null || :; read -rt 0.02 <> <(:) || :; done; gone $pid
         rekeyfs check $VOL; rekeyfs mount $VOL $MNT; [ $(cat $MNT/f) = later ]",
    );
}

#[test]
fn a_limit_of_open_files_is_told_and_costs_nothing() {
    let m = Mount::new();
    run(
        &m,
        r#"pid=$(daemon); rekeyfs umount $MNT; gone $pid; (ulimit -n 60; rekeyfs mount $VOL $MNT)
          for i in $(seq 200); do echo $i > $MNT/f$i; done; mkdir -p $MNT/a/b/c/d/e/f
          python3 - $MNT <<'PY'
import errno, os, sys
mnt = sys.argv[1]; held = []
try:
    for i in range(1, 201): held.append(os.open(f"{mnt}/f{i}", os.O_RDONLY))
    raise SystemExit("200 files are open in a daemon that may have 60")
except OSError as e: assert e.errno in (errno.EMFILE, errno.ENFILE), e
for i, fd in enumerate(held, 1): assert os.read(fd, 100) == b"%d\n" % i
for fd in held: os.close(fd)
PY
          for i in $(seq 200); do [ $(cat $MNT/f$i) = $i ]; done; ls $MNT/a/b/c/d/e >/dev/null
          rekeyfs umount $MNT; rekeyfs check $VOL"#,
    );
}

#[test]
fn a_keystore_that_somebody_holds_for_a_while_is_waited_for() {
    let m = Mount::new();
    m.sh(r#"cat > hold.py <<'PY'
import os, sqlite3, sys
db = sqlite3.connect(os.environ["REKEYFS_KEYSTORE"], isolation_level=None)
db.execute("begin exclusive"); print("held", flush=True)
sys.stdin.readline(); db.execute("rollback")
PY
          coproc hold { python3 hold.py; }; read -r line <&${hold[0]}; [ $line = held ]
          (echo one > $MNT/one; rekeyfs kms create-key > made) & work=$!
          echo two > $MNT/two || :; echo >&${hold[1]}; wait $work; [ $(cat $MNT/one) = one ]; grep -q KeyId made
          echo two > $MNT/two; [ $(cat $MNT/two) = two ]"#);
}

#[test]
fn a_backing_directory_that_is_unmounted_under_it_hangs_nobody() {
    let m = Mount::new();
    run(
        &m,
        "pid=$(daemon); rekeyfs umount $MNT; gone $pid; mkdir disk; mount -t tmpfs none disk; trap 'umount -l disk 2>/dev/null || :' EXIT
         cp -a $VOL disk/vol; rekeyfs mount $T/disk/vol $MNT; pid=$(pgrep -f \"rekeyfs mount.* $T/disk/vol $MNT\")
         echo before > $MNT/f; ! umount disk 2>/dev/null; umount -l disk; echo after >> $MNT/f; [ $(wc -l < $MNT/f) = 2 ]
         sync $MNT/f; ls $MNT > /dev/null; rekeyfs umount $MNT; gone $pid",
    );
}
