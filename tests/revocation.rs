//! Files that are open when their key goes away: the contract's "Revocation", on a real mount.

#[path = "support/mounted.rs"]
mod mounted;
mod support;

use mounted::Mount;

/// What the scripts share: a key for `f`, another for `g`, and waiting for what must happen within
/// a bound.
const COMMON: &str = r#"
import errno, mmap, os, subprocess, sys, time
mnt = os.environ["MNT"]; f = mnt + "/f"; g = mnt + "/g"
def kms(*a): return subprocess.run(["rekeyfs", "kms", *a], check=True, stdout=subprocess.PIPE, text=True).stdout.strip()
key = kms("create-key", "--query", "KeyMetadata.KeyId", "--output", "text")
for path in f, g:
    with open(path, "wb") as file: file.write(b"a" * 10000)
os.setxattr(f, "user.kms.key_id", key.encode())
def code(call):
    try: call(); return 0
    except OSError as e: return e.errno
def until(condition, seconds=20):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it does not happen"
        time.sleep(0.01)
"#;

fn run(m: &Mount, script: &str) {
    let path = m.dir.path().join("script.py");
    std::fs::write(path, format!("{COMMON}{script}")).expect("write");
    m.sh("timeout -s KILL 120 python3 script.py");
}

#[test]
fn open_files_and_their_pages_lose_access_and_get_it_back() {
    let m = Mount::new();
    run(
        &m,
        r#"
fd = os.open(f, os.O_RDWR); other = os.open(g, os.O_RDWR)
assert os.pread(fd, 10, 0) == b"a" * 10
# A mapping with a page that the kernel has not written yet.
shared = mmap.mmap(fd, 10000); shared[5000:5003] = b"new"
kms("disable-key", "--key-id", key)
assert code(lambda: open(f)) == errno.EKEYREVOKED
until(lambda: code(lambda: os.pread(fd, 10, 0)) == errno.EKEYREVOKED)
assert code(lambda: os.pwrite(fd, b"x", 0)) == errno.EKEYREVOKED
assert code(lambda: os.ftruncate(fd, 5)) == errno.EKEYREVOKED
assert code(lambda: os.fsync(fd)) == errno.EKEYREVOKED
# The mapping is dead: SIGBUS.
child = os.fork()
if child == 0:
    import signal; signal.signal(signal.SIGBUS, signal.SIG_DFL)
    shared[5000]; os._exit(0)
_, status = os.waitpid(child, 0); assert os.WIFSIGNALED(status) and os.WTERMSIG(status) == 7, status
# Names and attributes need no key of the caller, and other keys' files go on.
os.stat(f); os.chmod(f, 0o600)
assert os.pread(other, 10, 0) == b"a" * 10; os.pwrite(other, b"b", 0); os.fsync(other)
kms("enable-key", "--key-id", key)
until(lambda: code(lambda: os.pread(fd, 10, 0)) == 0)
assert os.pread(fd, 3, 5000) == b"new", "what was written while it was allowed is there"
assert shared[5000:5003] == b"new" and shared[0:1] == b"a"
os.pwrite(fd, b"again", 0); os.fsync(fd)
with open(f, "rb") as file: assert file.read(5) == b"again"
"#,
    );
    m.remount();
    m.sh("[ $(head -c 5 $MNT/f) = again ]; [ $(tail -c +5001 $MNT/f | head -c 3) = new ]");
}

#[test]
fn with_soft_revocation_open_files_go_on_until_they_are_closed() {
    let m = Mount::new();
    m.sh("rekeyfs umount $MNT; rekeyfs mount -o revoke=soft $VOL $MNT");
    run(
        &m,
        r#"
fd = os.open(f, os.O_RDWR)
kms("disable-key", "--key-id", key)
assert code(lambda: open(f)) == errno.EKEYREVOKED
# Longer than a hard revocation takes.
end = time.monotonic() + 2
while time.monotonic() < end:
    assert os.pread(fd, 1, 0) in (b"a", b"x"); os.pwrite(fd, b"x", 0)
os.close(fd)
assert code(lambda: open(f)) == errno.EKEYREVOKED
kms("enable-key", "--key-id", key)
with open(f, "rb") as file: assert file.read(2) == b"xa"
"#,
    );
}

#[test]
fn under_load_nothing_hangs_when_a_key_goes_and_comes_back() {
    let m = Mount::new();
    run(
        &m,
        r#"
import threading
stop = threading.Event(); counts = {"mine": 0, "other": 0, "refused": 0}
def work(path, name, number):
    fd = os.open(path, os.O_RDWR)
    while not stop.is_set():
        at = (number * 7919 + counts[name]) % 200 * 4096
        try:
            os.pwrite(fd, b"w" * 4096, at); os.pread(fd, 4096, at); counts[name] += 1
        except OSError as e:
            assert e.errno == errno.EKEYREVOKED and name == "mine", e; counts["refused"] += 1; time.sleep(0.01)
    os.close(fd)
threads = [threading.Thread(target=work, args=(path, name, i)) for i in range(3) for path, name in ((f, "mine"), (g, "other"))]
for t in threads: t.start()
for _ in range(3):
    mine, other, refused = counts["mine"], counts["other"], counts["refused"]
    until(lambda: counts["mine"] > mine)
    kms("disable-key", "--key-id", key)
    until(lambda: counts["refused"] > refused)
    other = counts["other"]; until(lambda: counts["other"] > other)
    kms("enable-key", "--key-id", key)
stop.set()
for t in threads: t.join()
"#,
    );
    m.remount();
}

#[test]
fn a_mount_with_changed_pages_under_a_disabled_key_is_unmounted() {
    let m = Mount::new();
    run(
        &m,
        r#"
fd = os.open(f, os.O_RDWR); shared = mmap.mmap(fd, 10000); shared[0:5] = b"dirty"
kms("disable-key", "--key-id", key)
shared.close(); os.close(fd)
subprocess.run(["rekeyfs", "umount", mnt], check=True)
kms("enable-key", "--key-id", key)
subprocess.run(["rekeyfs", "mount", os.environ["VOL"], mnt], check=True)
with open(f, "rb") as file: assert file.read(6) == b"dirtya"
"#,
    );
}

#[test]
fn what_one_principal_loses_the_others_keep() {
    let m = Mount::new();
    m.sh(
        "rekeyfs umount $MNT; rekeyfs mount -o allow_other,cache=none $VOL $MNT; chmod 755 $T $MNT
          rekeyfs iam create-user --user-name reader --uid 65534 >/dev/null",
    );
    run(
        &m,
        r#"
os.chmod(f, 0o644)
grant = kms("create-grant", "--key-id", key, "--grantee-principal", "arn:aws:iam::000000000000:user/reader", "--operations", "Decrypt", "--query", "GrantId", "--output", "text")
ready, told = os.pipe(); go, say = os.pipe()
if os.fork() == 0:
    os.setgroups([]); os.setgid(65534); os.setuid(65534)
    fd = os.open(f, os.O_RDONLY); assert os.pread(fd, 1, 0) == b"a"
    os.write(told, b"1"); os.read(go, 1)
    until(lambda: code(lambda: os.pread(fd, 1, 0)) == errno.EACCES)
    os._exit(0)
mine = os.open(f, os.O_RDONLY); os.read(ready, 1)
kms("revoke-grant", "--key-id", key, "--grant-id", grant); os.write(say, b"1")
assert os.wait()[1] == 0
assert os.pread(mine, 1, 0) == b"a"
"#,
    );
}

#[test]
fn with_cache_close_no_plain_page_is_left_after_the_last_close() {
    let m = Mount::new();
    m.sh("rekeyfs umount $MNT; rekeyfs mount -o cache=close $VOL $MNT");
    run(
        &m,
        r#"
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
def resident(path):
    # Without a request to the file: an access of mode 3 opens no contents.
    fd = os.open(path, os.O_RDONLY); size = os.fstat(fd).st_size
    area = mmap.mmap(fd, size, prot=mmap.PROT_READ); pages = (size + 4095) // 4096
    vector = (ctypes.c_ubyte * pages)(); address = ctypes.c_void_p()
    libc.mmap.restype = ctypes.c_void_p
    at = libc.mmap(None, ctypes.c_size_t(size), 1, 1, fd, ctypes.c_long(0))
    assert libc.mincore(ctypes.c_void_p(at), ctypes.c_size_t(size), vector) == 0
    libc.munmap(ctypes.c_void_p(at), ctypes.c_size_t(size)); area.close(); os.close(fd)
    return sum(byte & 1 for byte in vector)
with open(f, "rb") as file: file.read(); assert resident(f) == 3
until(lambda: resident(f) == 0)
"#,
    );
}
