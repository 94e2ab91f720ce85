//! A complete POSIX filesystem, by the suites that others are judged by. Needs root, and what
//! `scripts/test` installs. Longer: `scripts/torture MINUTES fsx`.

#[path = "support/mounted.rs"]
mod mounted;
mod support;

use std::collections::BTreeSet;

use mounted::Mount;

/// A mount for everybody, on whose behalf the account's root asks the KMS: the suites act as
/// several users, and what is judged here is POSIX.
fn mount(options: &str) -> Mount {
    let m = Mount::new();
    m.sh(&format!(
        "rekeyfs umount $MNT
         rekeyfs mount -o suid,dev,allow_other,principal=arn:aws:iam::000000000000:root{options} $VOL $MNT
         chmod 777 $MNT; chmod 755 $T"
    ));
    m
}

/// A tool that `scripts/test` has installed.
fn tool(name: &str) -> String {
    let path = format!("{}/target/tools/bin/{name}", env!("CARGO_MANIFEST_DIR"));
    assert!(
        std::path::Path::new(&path).exists(),
        "{path} is not there: scripts/test installs it"
    );
    path
}

#[test]
fn pjdfstest_passes_but_for_what_lies_in_fuse_itself() {
    let m = mount("");
    let second = mount("");
    let said = m.sh(&format!(
        "{} -c $SRC/tests/posix/pjdfstest.toml -p $MNT -s {} 2>&1 || true",
        tool("pjdfstest"),
        second.mnt().display()
    ));
    let named = |ending: &str| -> BTreeSet<String> {
        said.lines()
            .filter(|line| line.contains("::") && line.trim_end().ends_with(ending))
            .filter_map(|line| line.split_whitespace().next())
            .map(str::to_owned)
            .collect()
    };
    let left_out: BTreeSet<String> = include_str!("posix/left_out.txt")
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(str::to_owned)
        .collect();
    assert_eq!(named("FAILED"), BTreeSet::new(), "{said}");
    assert_eq!(named("skipped"), left_out);
    let passed = named("ok").len();
    println!(
        "{passed} tests of pjdfstest passed, {} are left out",
        left_out.len()
    );
    assert!(passed >= 384, "{said}");
}

#[test]
fn fsx_finds_every_byte_where_it_was_written() {
    let number = |name: &str, default: u64| {
        let given = std::env::var(name).ok();
        given.and_then(|text| text.parse().ok()).unwrap_or(default)
    };
    let (first, operations) = (number("REKEYFS_SEED", 0) * 10, number("REKEYFS_FSX", 8000));
    // The second is as O_DIRECT: the kernel keeps nothing.
    for (options, seeds) in [("", [1, 2]), (",cache=none", [3, 4])] {
        let m = mount(options);
        for seed in seeds {
            let seed = first + seed;
            m.sh(&format!(
                "{} -f $SRC/tests/posix/fsx.toml -N {operations} -S {seed} -P $T $MNT/fsx 2>&1 | tail -n 1 | grep -q A-OK",
                tool("fsx")
            ));
        }
        m.sh("rekeyfs umount $MNT");
    }
}

#[test]
fn stress_ng_verifies_what_it_does() {
    let m = mount("");
    // Exit code 3: one of them found no resource, such as a kernel with binderfs.
    m.sh("stress-ng --class filesystem --sequential 1 --timeout 1 --verify --temp-path $MNT > said 2>&1 || [ $? = 3 ]
          cat said >&2; ! grep -qi fail: said");
}

#[test]
fn fio_reads_back_what_it_wrote_by_checksums() {
    let m = mount("");
    for engine in ["psync", "mmap", "libaio --direct=1 --iodepth=8"] {
        m.sh(&format!(
            "fio --name=t --directory=$MNT --size=24m --rw=randwrite --bsrange=1k-64k --bs_unaligned \
             --verify=crc32c --verify_fatal=1 --do_verify=1 --ioengine={engine} --output=$T/fio.log; rm $MNT/t.*"
        ));
    }
}

#[test]
fn acls_are_obeyed_kept_and_handed_on() {
    let m = mount("");
    m.sh(
        r#"
        as() { setpriv --reuid 65534 --regid 65534 --clear-groups "$@"; }
        echo text > $MNT/f; chmod 640 $MNT/f; ! as cat $MNT/f 2>/dev/null
        setfacl -m u:65534:r $MNT/f; [ $(as cat $MNT/f) = text ]; ! as sh -c "echo x >> $MNT/f" 2>/dev/null
        getfacl -cn $MNT/f | grep -q '^user:65534:r--'; [ $(stat -c %a $MNT/f) = 640 ]
        # The mask is the group's bits.
        chmod 600 $MNT/f; ! as cat $MNT/f 2>/dev/null; chmod 640 $MNT/f; [ $(as cat $MNT/f) = text ]
        # A default ACL is handed on, and stands for the umask.
        mkdir $MNT/d; setfacl -d -m u:65534:rwx,o::- $MNT/d; umask 077
        mkdir $MNT/d/e; echo new > $MNT/d/e/f; mkfifo $MNT/d/p
        getfacl -cn $MNT/d/e | grep -q '^default:user:65534:rwx'; getfacl -cn $MNT/d/e | grep -q '^user:65534:rwx'
        [ $(stat -c %a $MNT/d/e) = 770 ]; [ $(stat -c %a $MNT/d/e/f) = 660 ]; [ $(stat -c %a $MNT/d/p) = 660 ]
        chmod 755 $MNT/d; [ $(as cat $MNT/d/e/f) = new ]
        mkdir $MNT/plain; [ $(stat -c %a $MNT/plain) = 700 ]
        # They survive a copy, a rewrap and a remount, and can be taken away.
        cp -a $MNT/d $MNT/copy; getfacl -cn $MNT/copy/e/f | grep -q '^user:65534'
        rekeyfs umount $MNT; rekeyfs mount -o allow_other $VOL $MNT
        getfacl -cn $MNT/d/e/f | grep -q '^user:65534'; setfacl -b $MNT/d/e/f; ! getfacl -cn $MNT/d/e/f | grep -q 65534
        "#,
    );
}

#[test]
fn locks_paths_and_large_directories_are_as_on_any_filesystem() {
    let m = mount("");
    std::fs::write(
        m.dir.path().join("posix.py"),
        r#"
import errno, fcntl, os, struct
mnt = os.environ["MNT"]
def code(call):
    try: call(); return 0
    except OSError as e: return e.errno
# Locks between processes: flock, and POSIX ranges.
a = os.open(mnt + "/l", os.O_RDWR | os.O_CREAT)
fcntl.flock(a, fcntl.LOCK_EX); fcntl.lockf(a, fcntl.LOCK_EX, 10, 0)
if os.fork() == 0:
    b = os.open(mnt + "/l", os.O_RDWR)
    assert code(lambda: fcntl.flock(b, fcntl.LOCK_EX | fcntl.LOCK_NB)) == errno.EAGAIN
    assert code(lambda: fcntl.lockf(b, fcntl.LOCK_EX | fcntl.LOCK_NB, 5, 5)) in (errno.EAGAIN, errno.EACCES)
    assert code(lambda: fcntl.lockf(b, fcntl.LOCK_EX | fcntl.LOCK_NB, 5, 20)) == 0
    os._exit(0)
assert os.wait()[1] == 0
# A path at PATH_MAX, and one beyond.
os.chdir(mnt); parts = []
while len("/".join(parts)) + 201 < 4095: parts.append("d" * 200)
path = "/".join(parts); rest = 4095 - len(path) - 1
for part in parts: os.mkdir(part); os.chdir(part)
os.chdir(mnt); path += "/" + "f" * rest; assert len(path) == 4095
assert code(lambda: open(path, "w")) == (0 if rest <= 255 else errno.ENAMETOOLONG)
assert code(lambda: open(path + "x", "w")) == errno.ENAMETOOLONG
# Renaming over a file that is open leaves the open one.
with open("old", "w") as f: f.write("old")
old = open("old")
with open("new", "w") as f: f.write("new")
os.rename("new", "old"); assert old.read() == "old" and open("old").read() == "new"
# Sticky bits and set-id bits are the kernel's business, and are kept.
os.mkdir("sticky"); os.chmod("sticky", 0o1777); assert os.stat("sticky").st_mode & 0o7777 == 0o1777
open("suid", "w").close(); os.chmod("suid", 0o6755)
with open("suid", "r+") as f: f.write("x")
assert os.stat("suid").st_mode & 0o7777 == 0o6755, "root keeps them"
os.chown("suid", 1, 1); assert os.stat("suid").st_mode & 0o6000 == 0
"#,
    )
    .expect("write");
    m.sh("python3 posix.py");
}

/// open(O_RDONLY|O_TRUNC) reaches a FUSE filesystem before the kernel asks whether the file runs.
#[test]
fn a_program_that_runs_is_not_emptied() {
    let m = mount("");
    m.sh(
        r#"cp "$(command -v sleep)" $MNT/program; chmod +x $MNT/program
        $MNT/program 100 & trap "kill $!" EXIT
        python3 - $MNT/program <<'PY'
import errno, os, sys
for flags in [os.O_RDONLY | os.O_TRUNC, os.O_WRONLY, os.O_RDWR | os.O_TRUNC]:
    try:
        os.open(sys.argv[1], flags)
        raise SystemExit(f"opened with {flags:o}")
    except OSError as e:
        assert e.errno == errno.ETXTBSY, e
PY
        cmp "$(command -v sleep)" $MNT/program"#,
    );
}

/// fsx 0.3 does not know FALLOC_FL_ZERO_RANGE.
#[test]
fn ranges_are_zeroed_where_they_are_asked_to_be() {
    for options in ["", ",cache=none"] {
        let m = mount(options);
        m.sh(r#"python3 - $MNT/f <<'PY'
import ctypes, mmap, os, random, sys
libc = ctypes.CDLL(None, use_errno=True); rng = random.Random(7); model = bytearray()
fd = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT, 0o600)
for round in range(1500):
    at, count = rng.randrange(600_000), rng.choice([1, 100, 4096, 5000, rng.randrange(1, 300_000)])
    kind = rng.random()
    if kind < 0.4:
        data = bytes([rng.randrange(1, 256)]) * min(count, 50_000); os.pwrite(fd, data, at); end = at + len(data)
        if len(model) < end: model.extend(bytes(end - len(model)))
        model[at:end] = data
    elif kind < 0.8:
        keep = rng.random() < 0.5
        if libc.fallocate(fd, 0x10 | keep, ctypes.c_long(at), ctypes.c_long(count)): raise OSError(ctypes.get_errno(), "zero range")
        if not keep and len(model) < at + count: model.extend(bytes(at + count - len(model)))
        end = min(at + count, len(model)); model[at:end] = bytes(max(0, end - at))
    elif kind < 0.9: os.ftruncate(fd, at); model = model[:at].ljust(at, b"\0")
    else: os.fsync(fd)
    if round % 50 == 0 and model:
        assert os.fstat(fd).st_size == len(model)
        with mmap.mmap(fd, len(model), prot=mmap.PROT_READ) as mapped: assert mapped[:] == model, round
        assert os.pread(fd, len(model) + 1, 0) == model, round
PY"#);
    }
}
