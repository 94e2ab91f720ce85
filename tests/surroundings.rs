//! What happens around a mount: signals, limits, quotas, clocks, a keystore that somebody else
//! holds, a backing directory that is unmounted. Full disks are in `mount`, failing calls in
//! `volume_faults`.

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

#[test]
fn a_limit_of_memory_is_told_or_costs_what_was_not_synced() {
    let m = Mount::new();
    // From too little to begin with to enough for everything: kilobytes of address space. A daemon
    // that gets no memory ends, as by kill -9.
    let told = run(
        &m,
        r#"pid=$(daemon); head -c 3000000 /dev/urandom > kept; cp kept $MNT/kept; sync $MNT/kept; rekeyfs umount $MNT; gone $pid
          work() { head -c 40000000 /dev/zero > $MNT/big; for i in $(seq 40); do cp kept $MNT/$1-$i && sync $MNT/$1-$i && echo $1-$i >> synced || return; done; }
          : > synced; refused=0 died=0 served=0
          for limit in 100000 300000 450000 500000 520000 540000 560000 600000 700000 900000 2000000; do
            if ! (ulimit -v $limit; rekeyfs mount $VOL $MNT) 2> said; then
              refused=$((refused + 1)); [ -s said ]; [ $limit -gt 100000 ] || grep -q 'ulimit -v unlimited' said; ! mountpoint -q $MNT
            else
              pid=$(daemon || :); work $limit 2>/dev/null || :
              if rekeyfs umount $MNT 2>/dev/null; then served=$((served + 1)); else died=$((died + 1)); fi
              [ -z "$pid" ] || gone $pid
            fi
          done
          rekeyfs mount $VOL $MNT; cmp kept $MNT/kept; while read -r name; do cmp kept $MNT/$name; done < synced
          rekeyfs umount $MNT; rekeyfs check $VOL --repair; rekeyfs check $VOL
          echo "refused $refused, died $died, served $served, files synced $(wc -l < synced)""#,
    );
    println!("{told}");
}

#[test]
fn a_quota_is_told_and_costs_nothing() {
    let m = Mount::new();
    m.key("SYMMETRIC_DEFAULT", "alias/new");
    // Of btrfs: the kernels of some virtual machines have none for ext4.
    run(
        &m,
        r#"pid=$(daemon); rekeyfs umount $MNT; gone $pid; truncate -s 256M image; mkfs.btrfs -q image; mkdir disk
          mount -o loop image disk; trap 'rekeyfs umount $MNT 2>/dev/null || :; umount -l disk' EXIT
          btrfs subvolume create disk/some; btrfs quota enable disk; btrfs qgroup limit 12M disk/some
          cp -a $VOL disk/some/vol; VOL=$T/disk/some/vol; rekeyfs mount $VOL $MNT; pid=$(daemon)
          echo kept > $MNT/f; sync $MNT/f; echo other > $MNT/g; mkdir $MNT/d; sync -f $MNT
          told() { ! "$@" 2> said; grep -q 'Disk quota exceeded' said || { cat said; false; }; }
          told dd if=/dev/zero of=$MNT/big bs=1M count=20; told cp /bin/bash $MNT/copy; told mkdir $MNT/e
          told setfattr -n user.kms.key_id -v alias/new $MNT/f; told setfattr -n user.kms.data_key -v new $MNT/g
          [ $(cat $MNT/f $MNT/g | tr -d '\n') = keptother ]
          ! rekeyfs umount $MNT 2> said; gone $pid; ! mountpoint -q $MNT
          grep -q "^hint: not written back: $MNT/big$" said || { cat said; false; }
          ! grep -q "$MNT/[fg]$" said
          btrfs qgroup limit none disk/some; rekeyfs mount $VOL $MNT; pid=$(daemon); rm $MNT/big
          echo more >> $MNT/f; [ "$(tr '\n' ' ' < $MNT/f)" = 'kept more ' ]; setfattr -n user.kms.key_id -v alias/new $MNT/f
          rekeyfs umount $MNT; gone $pid; rekeyfs check $VOL --repair; rekeyfs check $VOL"#,
    );
}

#[test]
fn a_clock_that_jumps_changes_nothing() {
    let m = Mount::new();
    m.key("SYMMETRIC_DEFAULT", "alias/new");
    run(
        &m,
        r#"pid=$(daemon); rekeyfs umount $MNT; gone $pid; faketime=$(dpkg -L libfaketime | grep 'libfaketime.so.1$'); echo +0 > clock
          (LD_PRELOAD=$faketime FAKETIME_TIMESTAMP_FILE=$T/clock FAKETIME_NO_CACHE=1 FAKETIME_DONT_FAKE_MONOTONIC=1 rekeyfs mount $VOL $MNT)
          pid=$(daemon); mkdir $MNT/d
          for jump in +0 -3000d +9000d -1s -20000d +1h; do
            echo "$jump" > clock; echo $jump > $MNT/d/n$jump; sync $MNT/d/n$jump
            for f in $MNT/d/*; do echo $jump >> $f; done
            setfattr -n user.kms.key_id -v alias/new $MNT/d/n$jump; setfattr -n user.kms.data_key -v new $MNT/d/n+0
            mv $MNT/d/n$jump $MNT/d/m; mv $MNT/d/m $MNT/d/n$jump; [ $(stat -c %Y $MNT/d/n$jump) -ge $(stat -c %Y $VOL/rekeyfs.dir) ]
          done
          # The access of open files is looked at again by a clock that nobody sets.
          exec 7< $MNT/d/n+0; key=$(getfattr --only-values -n user.kms.key_id $MNT/d/n+0); echo -9000d > clock
          rekeyfs kms disable-key --key-id $key; while cat <&7 > /dev/null 2>&1; do exec 7<&-; exec 7< $MNT/d/n-1s || break; done; exec 7<&-
          rekeyfs kms enable-key --key-id $key; until cat $MNT/d/n+0 > lines 2>/dev/null; do :; done; [ $(wc -l < lines) = 7 ]
          rekeyfs umount $MNT; gone $pid; rekeyfs check $VOL"#,
    );
}

#[test]
fn a_mapping_that_finds_no_space_is_told_at_its_sync() {
    let m = Mount::new();
    run(
        &m,
        r#"pid=$(daemon); rekeyfs umount $MNT; gone $pid; mkdir small; mount -t tmpfs -o size=3m tmpfs small
          trap 'rekeyfs umount $MNT 2>/dev/null || :; umount -l small' EXIT
          cp -a $VOL small/vol; VOL=$T/small/vol; rekeyfs mount $VOL $MNT; pid=$(daemon)
          truncate -s 1M $MNT/mapped; head -c 2300K /dev/zero > small/others
          python3 - $MNT/mapped <<'PY'
import errno, mmap, os, sys
fd = os.open(sys.argv[1], os.O_RDWR)
m = mmap.mmap(fd, 1 << 20)
def fails(call):
    try: call()
    except OSError as e: assert e.errno in (errno.ENOSPC, errno.EIO), e; return True
    return False
m[:] = b"x" * (1 << 20)
assert fails(m.flush) | fails(lambda: os.fsync(fd)), "both said that it is durable"
os.unlink("small/others")
# What was not written is not there; written once more it is.
m[:] = b"y" * (1 << 20); m.flush(); os.fsync(fd)
PY
          rekeyfs umount $MNT; gone $pid; rekeyfs mount $VOL $MNT; [ $(tr -d y < $MNT/mapped | wc -c) = 0 ]
          rekeyfs umount $MNT; rekeyfs check $VOL"#,
    );
}
