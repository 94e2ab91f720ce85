//! The mount, by the real binary and real programs. Needs root and /dev/fuse.

#[path = "support/mounted.rs"]
mod mounted;
mod support;

use mounted::Mount;

#[test]
fn real_programs_find_a_posix_filesystem() {
    let m = Mount::new();
    m.sh("mkdir -p src/a/b; for i in $(seq 1 200); do head -c $((i * 97)) /dev/urandom > src/a/f$i; done
          ln src/a/f1 src/a/hard; ln -s f1 src/a/soft; ln -s $(printf 'x%.0s' $(seq 1 3500)) src/a/long
          mkfifo src/a/fifo; truncate -s 1000000 src/a/sparse; chmod 0444 src/a/f2; touch -d 1999-01-01 src/a/f3
          setfattr -n user.comment -v 'a sealed value' src/a/f4; touch src/a/$(printf 'n%.0s' $(seq 1 255))
          cp -a src $MNT/; diff -r --no-dereference src/a/b $MNT/src/a/b
          for f in src/a/f*; do [ -p $f ] || cmp $f $MNT/$f; done; cmp src/a/sparse $MNT/src/a/sparse
          [ $(stat -c %i $MNT/src/a/f1) = $(stat -c %i $MNT/src/a/hard) ]; [ $(stat -c %h $MNT/src/a/hard) = 2 ]
          [ $(readlink $MNT/src/a/long | wc -c) = 3501 ]; [ $(stat -c %s $MNT/src/a/long) = 3500 ]; [ -p $MNT/src/a/fifo ]
          [ \"$(getfattr --absolute-names --only-values -n user.comment $MNT/src/a/f4)\" = 'a sealed value' ]
          ! grep -rqa 'a sealed value' $VOL");
    m.sh("tar cf a.tar -C $MNT src; mkdir out; tar xf a.tar -C out; diff -r --no-dereference --exclude fifo src out/src");
    m.sh("git -c init.defaultBranch=main init -q repo; cd repo; git config user.email a@b; git config user.name n
          cp ../src/a/f[0-9]* .; git add -A; git commit -qm one; cd ..
          git clone -q repo $MNT/clone; cd $MNT/clone; git config user.email a@b; git config user.name n
          echo change >> f1; git commit -qam two; git fsck --strict; git gc -q; [ -z \"$(git status --porcelain)\" ]");
    m.sh("sqlite3 $MNT/db 'pragma journal_mode=wal; create table t(a,b); with recursive c(x) as (select 1 union all select x+1 from c where x<20000) insert into t select x, randomblob(50) from c; delete from t where a%3=0; vacuum;' >/dev/null
          [ $(sqlite3 $MNT/db 'pragma integrity_check') = ok ]; [ $(sqlite3 $MNT/db 'select count(*) from t') = 13334 ]");
    m.sh("head -c 5000000 /dev/urandom > big; dd if=big of=$MNT/direct bs=512k oflag=direct status=none || dd if=big of=$MNT/direct bs=512k status=none
          cmp big $MNT/direct; dd if=$MNT/direct bs=1M iflag=direct status=none | cmp - big
          echo more >> $MNT/direct; echo more >> big; cmp big $MNT/direct; : > $MNT/direct; [ ! -s $MNT/direct ]
          exec 7<>$MNT/gone; echo kept >&7; rm $MNT/gone; [ $(cat /proc/self/fd/7) = kept ]; exec 7>&-
          mkdir $MNT/d1 $MNT/d2; touch $MNT/d1/x; ! rmdir $MNT/d1 2>/dev/null; mv -T $MNT/d1 $MNT/d2; [ -e $MNT/d2/x ]; rm -r $MNT/d2");
    m.remount();
    m.sh("for f in src/a/f*; do [ -p $f ] || cmp $f $MNT/$f; done; [ $(sqlite3 $MNT/db 'pragma integrity_check') = ok ]
          git -C $MNT/clone fsck --strict; cd $MNT/src/a && [ -e $(printf 'n%.0s' $(seq 1 255)) ]; cd /; rm -rf $MNT/*; [ -z \"$(ls -A $MNT)\" ]");
}

#[test]
fn times_have_nanoseconds_also_before_1970() {
    let m = Mount::new();
    let script = r#"
import os
f = os.environ["MNT"] + "/f"; open(f, "w").close()
for ns in [0, 1, -1, -1_250_000_000, -5_500_000_000, 1_700_000_000_123_456_789, 4_102_444_800_000_000_001]:
    os.utime(f, ns=(ns, ns)); assert os.stat(f).st_mtime_ns == ns, (ns, os.stat(f).st_mtime_ns)
"#;
    std::fs::write(m.dir.path().join("times.py"), script).expect("write");
    m.sh("python3 times.py");
    m.remount();
    m.sh("[ $(stat -c %Y $MNT/f) = 4102444800 ]");
}

#[test]
fn copying_twice_copies_nothing_and_a_rewrap_changes_no_time() {
    let m = Mount::new();
    m.key("SYMMETRIC_DEFAULT", "alias/new");
    m.sh("mkdir src; for i in $(seq 1 50); do echo $i > src/f$i; touch -d @$((1000000000 + i)).123456789 src/f$i; done
          setfattr -n user.a -v b src/f1; rsync -aX src/ $MNT/a/; [ -z \"$(rsync -aXi src/ $MNT/a/)\" ]
          cp -a src $MNT/b; before=$(find $MNT -type f -printf '%p %A@ %T@\\n' | sort); cp -au src/. $MNT/b/
          for f in $MNT/a/*; do setfattr -n user.kms.key_id -v alias/new $f; done; rekeyfs rekey -q -r $MNT/b --destination-key-id alias/new
          [ \"$before\" = \"$(find $MNT -type f -printf '%p %A@ %T@\\n' | sort)\" ]; echo \"$before\" > before");
    m.remount();
    m.sh("[ \"$(cat before)\" = \"$(find $MNT -type f -printf '%p %A@ %T@\\n' | sort)\" ]; [ -z \"$(rsync -aXi src/ $MNT/a/)\" ]");
}

#[test]
fn control_attributes_answer_as_the_contract_says() {
    let m = Mount::new();
    m.key("SYMMETRIC_DEFAULT", "alias/new");
    m.key("RSA_2048", "alias/rsa");
    m.sh("echo data > $MNT/f; mkdir $MNT/d; ln -s f $MNT/l; chmod 666 $MNT/f");
    let script = r#"
import os, errno, json, sys
mnt = os.environ["MNT"]; f = mnt + "/f"
def fails(code, call, *args):
    try: call(*args)
    except OSError as e: assert e.errno == code, (args, e)
    else: raise AssertionError(args)
get = lambda name, path=f: os.getxattr(path, "user.kms." + name).decode()
put = lambda name, value, path=f: os.setxattr(path, "user.kms." + name, value.encode())
assert os.listxattr(f) == [], os.listxattr(f)
fails(errno.ENODATA, os.getxattr, f, "user.kms.bogus")
fails(errno.EOPNOTSUPP, put, "bogus", "x")
fails(errno.ENODATA, get, "error"); fails(errno.ENODATA, get, "re_encrypt")
first = get("key_id"); assert first.startswith("arn:aws:kms:us-east-1:000000000000:key/")
assert list(json.loads(get("encryption_context"))) == ["rekeyfs:volume"]
assert get("encryption_algorithm") == "SYMMETRIC_DEFAULT"
assert len(os.getxattr(f, "user.kms.ciphertext_blob")) == 184
assert get("data_key").startswith("epoch=1 created=20")
put("key_id", "alias/new\n"); second = get("key_id"); assert second != first
response = json.loads(get("re_encrypt"))
assert list(response) == ["CiphertextBlob", "SourceKeyId", "KeyId", "SourceEncryptionAlgorithm",
    "DestinationEncryptionAlgorithm", "SourceKeyMaterialId", "DestinationKeyMaterialId"], response
assert (response["SourceKeyId"], response["KeyId"]) == (first, second)
assert list(json.loads(get("encryption_context"))) == ["rekeyfs:volume"], "the context is kept"
put("encryption_context", "a=b,c=d"); assert json.loads(get("encryption_context")) == {"a": "b", "c": "d"}
put("encryption_context", "{}"); assert json.loads(get("encryption_context")) == {}
fails(errno.ENOKEY, put, "key_id", "alias/nobody")
assert get("error") == "NotFoundException: Alias arn:aws:kms:us-east-1:000000000000:alias/nobody is not found."
os.removexattr(f, "user.kms.error"); fails(errno.ENODATA, get, "error")
fails(errno.EINVAL, put, "key_id", "alias/rsa")
assert "Algorithm SYMMETRIC_DEFAULT is incompatible with key spec RSA_2048." in get("error")
fails(errno.EINVAL, put, "encryption_context", "neither"); fails(errno.EINVAL, put, "re_encrypt", "{")
fails(errno.EINVAL, put, "re_encrypt", '{"Bogus":1}')
fails(errno.EKEYREJECTED, put, "re_encrypt", '{"DestinationKeyId":"alias/new","SourceEncryptionContext":{"x":"y"}}')
fails(errno.EKEYREJECTED, put, "re_encrypt", json.dumps({"DestinationKeyId": "alias/new", "SourceKeyId": first}))
fails(errno.ESTALE, put, "re_encrypt", '{"DestinationKeyId":"alias/new","CiphertextBlob":"AAAA"}')
put("re_encrypt", '{"DestinationKeyId":"alias/rsa","DestinationEncryptionAlgorithm":"RSAES_OAEP_SHA_256","DryRun":true}')
assert "DryRun option is set" in get("re_encrypt"); assert get("key_id") == second
put("re_encrypt", "DestinationKeyId=alias/rsa,DestinationEncryptionAlgorithm=RSAES_OAEP_SHA_256")
assert get("encryption_algorithm") == "RSAES_OAEP_SHA_256" and len(os.getxattr(f, "user.kms.ciphertext_blob")) == 256
put("key_id", second)
fails(errno.EOPNOTSUPP, put, "ciphertext_blob", "x"); fails(errno.EOPNOTSUPP, put, "reseal", "new")
fails(errno.E2BIG, put, "encryption_context", "k=" + "v" * 5000); assert get("key_id") == second
put("key_id", "alias/new", mnt + "/d"); open(mnt + "/d/child", "w").close()
assert get("key_id", mnt + "/d/child") == second, "what is made below has the directory's key"
fails(errno.EPERM, os.setxattr, mnt + "/l", "user.kms.key_id", b"x", 0, follow_symlinks=False) if False else None
assert open(f).read() == "data\n"
"#;
    std::fs::write(m.dir.path().join("control.py"), script).expect("write");
    m.sh("python3 control.py");
    m.remount();
    m.sh("[ $(cat $MNT/f) = data ]");
    // Key states, by their errno.
    let states = r#"
import os, errno, subprocess
f = os.environ["MNT"] + "/f"; key = os.getxattr(f, "user.kms.key_id").decode()
kms = lambda *a: subprocess.run(["rekeyfs", "kms", *a], check=True, stdout=subprocess.DEVNULL)
def code(call):
    try: call(); return 0
    except OSError as e: return e.errno
kms("disable-key", "--key-id", key)
assert code(lambda: open(f)) == errno.EKEYREVOKED
assert code(lambda: os.setxattr(f, "user.kms.key_id", b"alias/rekeyfs")) == errno.EKEYREVOKED
os.stat(f); os.chmod(f, 0o600); os.utime(f); os.rename(f, f + "2"); os.rename(f + "2", f)
kms("schedule-key-deletion", "--key-id", key)
assert code(lambda: open(f)) == errno.EKEYEXPIRED
kms("cancel-key-deletion", "--key-id", key); kms("enable-key", "--key-id", key)
assert open(f).read() == "data\n"
kms("rotate-key-on-demand", "--key-id", key); assert open(f).read() == "data\n"
"#;
    std::fs::write(m.dir.path().join("states.py"), states).expect("write");
    m.sh("python3 states.py");
}

#[test]
fn the_c_header_compiles_and_its_ioctl_works() {
    let m = Mount::new();
    m.key("SYMMETRIC_DEFAULT", "alias/new");
    let program = r#"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>
#include "rekeyfs.h"
_Static_assert(sizeof(struct rekeyfs_re_encrypt) == 16000, "size");
static struct rekeyfs_re_encrypt r;
static int fd, used;
static void put(int field, const char *text) {
	r.present |= 1u << field; r.field[field].offset = used; r.field[field].length = strlen(text);
	memcpy(r.area + used, text, strlen(text)); used += strlen(text);
}
static void start(void) { memset(&r, 0, sizeof r); r.version = REKEYFS_VERSION; used = 0; }
static void expect(int line, int wanted) {
	int got = ioctl(fd, REKEYFS_IOC_REENCRYPT, &r) < 0 ? errno : 0;
	if (got != wanted) { printf("line %d: errno %d, expected %d: %.*s\n", line, got, wanted,
		(int)r.field[REKEYFS_MESSAGE].length, r.area + r.field[REKEYFS_MESSAGE].offset); exit(1); }
}
int main(int argc, char **argv) {
	unsigned long long generation;
	fd = open(argv[1], 3); /* access mode 3: for the ioctl only */
	if (fd < 0) { perror("open"); return 1; }
	start(); r.flags = REKEYFS_QUERY; expect(__LINE__, 0); generation = r.generation;
	start(); put(REKEYFS_DESTINATION_KEY_ID, "alias/new"); expect(__LINE__, 0);
	if (r.generation != generation + 1 || !(r.present & 1 << REKEYFS_KEY_ARN) || !(r.present & 1 << REKEYFS_SOURCE_KEY_ARN)) return 2;
	start(); put(REKEYFS_DESTINATION_KEY_ID, "alias/rekeyfs"); r.expected_generation = generation; expect(__LINE__, ESTALE);
	start(); put(REKEYFS_DESTINATION_KEY_ID, "alias/rekeyfs"); put(REKEYFS_DESTINATION_ENCRYPTION_CONTEXT, "a=b"); r.expected_generation = generation + 1; expect(__LINE__, 0);
	start(); put(REKEYFS_DESTINATION_KEY_ID, "alias/nobody"); expect(__LINE__, ENOKEY);
	if (strncmp((char *)r.area + r.field[REKEYFS_EXCEPTION].offset, "NotFoundException", r.field[REKEYFS_EXCEPTION].length)) return 3;
	start(); put(REKEYFS_SOURCE_ENCRYPTION_CONTEXT, ""); expect(__LINE__, EKEYREJECTED); /* given and empty is not absent */
	start(); put(REKEYFS_DESTINATION_KEY_ID, "alias/new"); r.flags = REKEYFS_DRY_RUN; expect(__LINE__, 0);
	if (r.generation != generation + 2) return 4;
	start(); r.version = 2; expect(__LINE__, EINVAL);
	start(); r.flags = 0x80; expect(__LINE__, EINVAL);
	start(); r.reserved = 1; expect(__LINE__, EINVAL);
	start(); put(REKEYFS_DESTINATION_KEY_ID, "x"); r.field[REKEYFS_DESTINATION_KEY_ID].length = 70000; expect(__LINE__, EINVAL);
	start(); r.flags = REKEYFS_NEW_DATA_KEY; expect(__LINE__, 0);
	start(); r.flags = REKEYFS_NEW_DATA_KEY | REKEYFS_DRY_RUN; expect(__LINE__, EINVAL);
	start(); r.flags = REKEYFS_NEW_DATA_KEY; put(REKEYFS_DESTINATION_KEY_ID, "alias/new"); expect(__LINE__, EINVAL);
	static char other[16300];
	errno = 0; if (ioctl(fd, _IOWR(0xA7, 0x52, char[100]), other) != -1 || errno != EINVAL) return 5;
	errno = 0; if (ioctl(fd, _IOWR(0xA7, 0x52, char[16300]), other) != -1 || errno != E2BIG) return 10;
	errno = 0; if (ioctl(fd, _IOWR(0xA7, 0x53, char[16000]), other) != -1 || errno != ENOTTY) return 11;
	start(); put(REKEYFS_DESTINATION_KEY_ID, ""); expect(__LINE__, EINVAL); /* empty is not absent */
	char byte; if (read(fd, &byte, 1) != -1) return 6;
	/* by name, through the directory */
	fd = open(argv[2], O_RDONLY | O_DIRECTORY);
	start(); put(REKEYFS_NAME, "f"); put(REKEYFS_DESTINATION_KEY_ID, "alias/new"); expect(__LINE__, 0);
	start(); put(REKEYFS_NAME, "l"); put(REKEYFS_DESTINATION_KEY_ID, "alias/new"); expect(__LINE__, EOPNOTSUPP);
	start(); put(REKEYFS_NAME, "nothing"); expect(__LINE__, ENOENT);
	/* a shared, writable mapping */
	fd = open(argv[1], O_RDWR); if (ftruncate(fd, 100000)) return 7;
	char *map = mmap(0, 100000, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (map == MAP_FAILED) return 8;
	memset(map + 5000, 'm', 90000); if (msync(map, 100000, MS_SYNC)) return 9;
	munmap(map, 100000); close(fd);
	return 0;
}
"#;
    std::fs::write(m.dir.path().join("ioctl.c"), program).expect("write");
    m.sh("rekeyfs header > rekeyfs.h; gcc -Wall -Wextra -Wno-unused-parameter -Werror -o ioctl ioctl.c; echo x > $MNT/f; ln -s f $MNT/l; ./ioctl $MNT/f $MNT");
    m.remount();
    m.sh("[ $(stat -c %s $MNT/f) = 100000 ]; [ $(tr -dc m < $MNT/f | wc -c) = 90000 ]");
}

#[test]
fn threads_read_and_write_while_a_loop_rewraps() {
    use std::os::unix::fs::FileExt;
    let m = Mount::new();
    m.key("SYMMETRIC_DEFAULT", "alias/new");
    let shared = m.mnt().join("shared");
    std::fs::write(&shared, vec![0; 8 << 20]).expect("write");
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..8_usize)
            .map(|worker| {
                let (shared, own) = (&shared, m.mnt().join(format!("own{worker}")));
                scope.spawn(move || {
                    let one = std::fs::File::options()
                        .read(true)
                        .write(true)
                        .open(shared)
                        .expect("open");
                    let mine = std::fs::File::options()
                        .read(true)
                        .write(true)
                        .create(true)
                        .truncate(true)
                        .open(own)
                        .expect("open");
                    let base = (worker << 20) as u64;
                    for round in 0..150_u64 {
                        let data =
                            vec![(worker as u64 * 31 + round) as u8; 5000 + 37 * round as usize];
                        for (file, at) in [(&one, base + 611 * round), (&mine, 4099 * round)] {
                            file.write_all_at(&data, at).expect("write");
                            let mut back = vec![0; data.len()];
                            file.read_exact_at(&mut back, at).expect("read");
                            assert!(back == data, "worker {worker}, round {round}");
                        }
                    }
                })
            })
            .collect();
        let rewrap = scope.spawn(|| {
            let mut rounds = 0;
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                for name in ["shared", "own0", "own3", "own7"] {
                    let alias = if rounds % 2 == 0 {
                        "alias/new"
                    } else {
                        "alias/rekeyfs"
                    };
                    let path = m.mnt().join(name);
                    let set = rustix::fs::setxattr(
                        &path,
                        "user.kms.key_id",
                        alias.as_bytes(),
                        rustix::fs::XattrFlags::empty(),
                    );
                    assert!(
                        set.is_ok() || set == Err(rustix::io::Errno::NOENT),
                        "{set:?}"
                    );
                }
                rounds += 1;
            }
            rounds
        });
        for worker in workers {
            worker.join().expect("no error");
        }
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        assert!(rewrap.join().expect("no error") > 3);
    });
    let before = std::fs::read(&shared).expect("read");
    m.remount();
    assert!(std::fs::read(&shared).expect("read") == before);
}

#[test]
fn a_hundred_thousand_files_listed_and_a_thousand_open_take_under_200_mib() {
    let m = Mount::new();
    m.sh("python3 - <<'E'
import os
m = os.environ['MNT']
for d in range(10):
    os.mkdir(f'{m}/{d}')
    for i in range(10000): os.close(os.open(f'{m}/{d}/file{i:05}', os.O_CREAT | os.O_WRONLY))
E");
    m.remount();
    m.sh("ulimit -n 4096; python3 - <<'E'
import os, subprocess
m = os.environ['MNT']
n = sum(1 for d in os.scandir(m) for f in os.scandir(d.path) if f.stat().st_size == 0)
assert n == 100000, n
held = [open(f'{m}/3/file{i:05}', 'rb') for i in range(1000)]
for f in held: f.read()
pid = subprocess.run(['pgrep', '-f', f'mount .*{m} '], stdout=subprocess.PIPE, text=True, check=True).stdout.split()[0]
rss = int([l for l in open(f'/proc/{pid}/status') if l.startswith('VmHWM')][0].split()[1])
print('VmHWM', rss, 'KiB'); assert rss < 200 * 1024, rss
E");
}

#[test]
fn a_full_disk_is_enospc_and_every_earlier_byte_stays_readable() {
    let m = Mount::new();
    m.sh("rekeyfs umount $MNT; mkdir small; mount -t tmpfs -o size=6m tmpfs small; trap 'umount -l small' EXIT
          rekeyfs init small/vol > /dev/null; rekeyfs mount small/vol $MNT
          head -c 3000000 /dev/urandom > good; cp good $MNT/good
          head -c 8000000 /dev/zero | tr '\\0' x > big; ! cp big $MNT/big 2>err; grep -q 'No space left' err
          cmp good $MNT/good; n=$(stat -c %s $MNT/big); head -c $n big | cmp - $MNT/big
          ! mkdir $MNT/d{1..400} 2>/dev/null; cmp good $MNT/good; dd if=/dev/urandom of=$MNT/good bs=4096 count=300 conv=notrunc status=none
          rm $MNT/big; cp good $MNT/good; cmp good $MNT/good; rekeyfs umount $MNT; rekeyfs mount small/vol $MNT; cmp good $MNT/good
          rekeyfs umount $MNT");
}

#[test]
fn after_kill_9_the_dead_mount_is_cleared_and_everything_is_there() {
    let m = Mount::new();
    m.sh(
        "cp -a $SRC/src $MNT/; echo tail > $MNT/log; exec 7>>$MNT/log; echo more >&7
          pkill -9 -f \"mount .*$MNT \"; exec 7>&- || true
          while stat -f $MNT >/dev/null 2>&1; do :; done
          rekeyfs mount $VOL $MNT/ 2>said; grep -q 'dead mount' said
          diff -r $SRC/src $MNT/src; [ \"$(cat $MNT/log)\" = \"$(printf 'tail\\nmore')\" ]",
    );
}

#[test]
fn what_cannot_be_mounted_says_so_in_one_line_with_its_exit_code() {
    let m = Mount::new();
    for (script, code, fact) in [
        (
            "mkdir -p empty m2; rekeyfs mount empty m2",
            5,
            "not a rekeyfs volume",
        ),
        ("rekeyfs mount $VOL $MNT", 1, "in use"),
        ("mkdir -p m2; rekeyfs mount nothing m2", 5, "No such file"),
        (
            "mkdir -p m2; rekeyfs mount $VOL m2",
            5,
            "in use by another rekeyfs",
        ),
        ("rekeyfs mount $VOL nowhere", 1, "No such file"),
        (
            "rekeyfs mount $VOL $VOL/rekeyfs.volume",
            1,
            "not a directory",
        ),
        ("rekeyfs mount -o bogus $VOL $MNT", 2, "bogus"),
        ("rekeyfs init $VOL", 5, "is a rekeyfs volume already"),
        (
            "mkdir -p full; touch full/x; rekeyfs init full",
            5,
            "is not empty",
        ),
        (
            "rekeyfs init new --key-id alias/nobody",
            3,
            "NotFoundException",
        ),
        ("rekeyfs init new --header-size 5000", 2, "5000"),
        (
            "rekeyfs --keystore none.db mount $VOL m2",
            4,
            "does not exist",
        ),
        (
            "echo garbage > bad.db; chmod 600 bad.db; rekeyfs --keystore bad.db mount $VOL m2",
            4,
            "not a rekeyfs keystore",
        ),
        (
            "cp keystore.db open.db; chmod 644 open.db; rekeyfs --keystore open.db mount $VOL m2",
            4,
            "may be read by others",
        ),
        (
            "cp keystore.db nokey.db; rekeyfs --keystore nokey.db mount $VOL m2",
            4,
            "nokey.db.key: does not exist",
        ),
        (
            "rekeyfs --keystore other.db kms create-key >/dev/null; cp keystore.db wrong.db; cp other.db.key wrong.db.key; rekeyfs --keystore wrong.db mount $VOL m2",
            4,
            "does not open this keystore",
        ),
        (
            "cp keystore.db new.db; cp keystore.db.key new.db.key; sqlite3 new.db 'pragma user_version=99'; rekeyfs --keystore new.db mount $VOL m2",
            4,
            "format version 99",
        ),
        ("rekeyfs umount m2", 1, "is not mounted"),
        ("exec 7<$MNT; rekeyfs umount $MNT", 1, "is busy"),
        (
            "rekeyfs rekey empty --destination-key-id alias/rekeyfs",
            1,
            "not rekeyed",
        ),
        ("rekeyfs info empty", 5, "neither"),
        ("rekeyfs info /etc/hostname", 5, "neither"),
        ("rekeyfs bogus", 2, "bogus"),
        ("rekeyfs kms bogus", 2, "Invalid choice"),
        (
            "rekeyfs kms describe-key --key-id alias/nobody",
            255,
            "An error occurred (NotFoundException) when calling the DescribeKey operation: Alias",
        ),
        (
            "rekeyfs kms decrypt --ciphertext-blob fileb://nothing",
            255,
            "Unable to load paramfile",
        ),
    ] {
        let (found, said) = m.fails(script);
        assert_eq!(found, code, "{script}: {said}");
        assert!(said.contains(fact), "{script}: {said}");
        let facts = said
            .lines()
            .filter(|line| line.starts_with("rekeyfs: "))
            .count();
        assert!(facts <= 2, "{said}");
    }
    m.sh("mkdir other; cp -a $VOL other/vol 2>/dev/null; mkdir m3
          printf x | dd of=other/vol/rekeyfs.volume bs=1 seek=60 conv=notrunc status=none
          printf x | dd of=other/vol/rekeyfs.volume bs=1 seek=4156 conv=notrunc status=none
          ! rekeyfs mount other/vol m3 2>said; grep -q damaged said");
}

#[test]
fn an_ordinary_user_mounts_through_fusermount3() {
    let m = Mount::new();
    // As udev has it; a bare container may not.
    m.sh("[ $(stat -c %a /dev/fuse) = 666 ] || chmod 666 /dev/fuse
          rekeyfs umount $MNT; mkdir user; chown 65534:65534 user; chmod 755 $T
          cat > as_user <<'E'
set -euo pipefail
cd user; export HOME=$PWD; unset REKEYFS_KEYSTORE
rekeyfs init vol >/dev/null; mkdir mnt; rekeyfs mount vol mnt; trap 'rekeyfs umount mnt' EXIT
echo text > mnt/f; chmod 444 mnt/f; mkdir mnt/d; chmod 555 mnt/d; [ $(cat mnt/f) = text ]
git -c init.defaultBranch=main init -q mnt/g; cd mnt/g; git config user.email a@b; git config user.name n
echo 1 > a; git add a; git commit -qm one; git fsck --strict; cd ../..
rekeyfs umount mnt; rekeyfs mount vol mnt; [ $(cat mnt/f) = text ]
rekeyfs rekey -q mnt/f --destination-key-id alias/rekeyfs; rm -rf mnt/g mnt/f; rmdir mnt/d
E
          setpriv --reuid 65534 --regid 65534 --clear-groups bash as_user");
    let (_, said) = m.fails(
        "mkdir -p user/m4; chown 65534 user/m4; cat > no_helper <<'E'
cd user; export HOME=$PWD; unset REKEYFS_KEYSTORE; rm -f bin; mkdir bin; ln -s $(command -v rekeyfs) bin/; PATH=$PWD/bin rekeyfs mount vol m4
E
        setpriv --reuid 65534 --regid 65534 --clear-groups bash no_helper",
    );
    assert!(
        said.contains("fusermount3: not found") && said.contains("apt-get install fuse3"),
        "{said}"
    );
}

#[test]
fn others_are_let_in_and_judged_by_the_modes() {
    let m = Mount::new();
    // Modes let others in, the KMS too: they are users of the account, who need a policy.
    m.sh("rekeyfs iam create-user --user-name theirs --uid 65534 >/dev/null
          rekeyfs iam put-user-policy --user-name theirs --policy-name all --policy-document '{\"Version\":\"2012-10-17\",\"Statement\":{\"Effect\":\"Allow\",\"Action\":\"kms:*\",\"Resource\":\"*\"}}'
          rekeyfs umount $MNT; rekeyfs mount -o allow_other,default_permissions $VOL $MNT; chmod 755 $T $MNT
          echo secret > $MNT/private; chmod 600 $MNT/private; echo open > $MNT/public; mkdir -m 1777 $MNT/tmp
          as() { setpriv --reuid 65534 --regid 65534 --clear-groups \"$@\"; }
          ! as cat $MNT/private 2>/dev/null; [ $(as cat $MNT/public) = open ]; as touch $MNT/tmp/theirs; [ $(stat -c %u:%g $MNT/tmp/theirs) = 65534:65534 ]
          ! as setfattr -n user.kms.key_id -v alias/rekeyfs $MNT/public 2>/dev/null; as setfattr -n user.kms.key_id -v alias/rekeyfs $MNT/tmp/theirs
          chmod 666 $MNT/public; ! as setfattr -n user.kms.key_id -v alias/rekeyfs $MNT/public 2>err; grep -qi 'not permitted' err
          cp /bin/true $MNT/suid; chown 65534 $MNT/suid; chmod 4755 $MNT/suid; as sh -c 'echo >> $0' $MNT/suid; [ $(stat -c %a $MNT/suid) = 755 ]
          # Nor by changes that are no write.
          chmod 4777 $MNT/suid; as fallocate -l 300000 $MNT/suid; [ $(stat -c %a $MNT/suid) = 777 ]; chmod 4777 $MNT/suid
          as /usr/bin/python3 -c 'import os, sys; f = os.open(sys.argv[1], os.O_RDWR); os.copy_file_range(f, f, 10, 0, 100000)' $MNT/suid; [ $(stat -c %a $MNT/suid) = 777 ]");
}

#[test]
fn an_operator_rotates_what_it_cannot_read() {
    let m = Mount::new();
    m.sh("KEY=$(rekeyfs kms create-key --query KeyMetadata.KeyId --output text); rekeyfs kms create-alias --alias-name alias/new --target-key-id $KEY
          rekeyfs iam create-user --user-name operator --uid 65534 >/dev/null
          rekeyfs iam put-user-policy --user-name operator --policy-name rotate --policy-document '{\"Version\":\"2012-10-17\",\"Statement\":{\"Effect\":\"Allow\",\"Action\":\"kms:ReEncrypt*\",\"Resource\":\"*\"}}'
          rekeyfs umount $MNT; rekeyfs mount -o allow_other $VOL $MNT; chmod 755 $T $MNT
          mkdir $MNT/d; echo secret > $MNT/d/f; chown 65534 $MNT/d $MNT/d/f; chmod 666 $MNT/d/f
          as() { setpriv --reuid 65534 --regid 65534 --clear-groups \"$@\"; }
          ! as cat $MNT/d/f 2>err; grep -q 'Permission denied' err; ! as ls $MNT/d 2>/dev/null; ! as touch $MNT/d/g 2>/dev/null
          # Which permission is missing is told to him alone.
          as getfattr --only-values -n user.kms.error $MNT/d/f | grep -q 'kms:Decrypt'
          as getfattr --only-values -n user.kms.error $MNT/d | grep -q 'kms:GenerateDataKey'; ! getfattr -n user.kms.error $MNT/d 2>/dev/null
          as setfattr -n user.kms.key_id -v alias/new $MNT/d/f; [ $(cat $MNT/d/f) = secret ]
          getfattr --only-values -n user.kms.key_id $MNT/d/f | grep -q $KEY; ! as cat $MNT/d/f 2>/dev/null
          ! as setfattr -n user.kms.key_id -v alias/none $MNT/d/f 2>err; as getfattr --only-values -n user.kms.error $MNT/d/f | grep -q 'NotFoundException'
          # An explicit deny on the destination alone is enough to stop it.
          rekeyfs iam put-user-policy --user-name operator --policy-name never --policy-document '{\"Version\":\"2012-10-17\",\"Statement\":{\"Effect\":\"Deny\",\"Action\":\"kms:ReEncryptTo\",\"Resource\":\"*\"}}'
          ! as setfattr -n user.kms.key_id -v alias/rekeyfs $MNT/d/f 2>err; grep -q 'Permission denied' err
          as getfattr --only-values -n user.kms.error $MNT/d/f | grep -q 'kms:ReEncryptTo'
          # What each of them did stands in the log, with the object and its path, of sealed names.
          stored=/$(cd $VOL; find . -inum $(stat -c %i $MNT/d/f) -printf %P)
          rekeyfs audit --principal operator --event ReEncrypt > log; [ $(wc -l < log) = 3 ]; grep -q '\"objectPath\":\"'$stored'\"' log
          rekeyfs audit --principal operator --event Decrypt --error AccessDenied > log; grep -q '\"objectPath\":\"'$stored'\"' log
          id=$(rekeyfs info $VOL$stored | sed -n 's/^ObjectId: //p'); grep -q '\"objectId\":\"'$id'\"' log");
}

#[test]
fn one_principal_can_speak_for_everybody() {
    let m = Mount::new();
    m.sh("echo text > $MNT/f; rekeyfs umount $MNT
          rekeyfs iam create-user --user-name reader >/dev/null; ARN=$(rekeyfs iam get-user --user-name reader | sed -n 's/.*\"Arn\": \"\\(.*\\)\".*/\\1/p')
          rekeyfs mount -o principal=$ARN,audit=all $VOL $MNT; ! cat $MNT/f 2>err; grep -q 'Permission denied' err
          KEY=$(rekeyfs kms describe-key --key-id alias/rekeyfs --query KeyMetadata.KeyId --output text)
          GRANT=$(rekeyfs kms create-grant --key-id $KEY --grantee-principal $ARN --operations Decrypt --query GrantId --output text)
          [ $(cat $MNT/f) = text ]; rekeyfs kms revoke-grant --key-id $KEY --grant-id $GRANT
          ! cat $MNT/f 2>/dev/null
          # Decrypt alone makes nothing, a symlink or FIFO neither; GenerateDataKey makes all of them.
          let_in() { rekeyfs kms create-grant --key-id $KEY --grantee-principal $ARN --operations \"$@\" >/dev/null; }
          let_in Decrypt; for make in 'touch' 'mkdir' 'mkfifo' 'ln -s target'; do ! $make $MNT/new 2>err; grep -q 'Permission denied' err; done
          let_in GenerateDataKey; for make in 'touch' 'mkdir' 'mkfifo' 'ln -s target'; do $make $MNT/new-${make% *}; done
          rekeyfs audit --principal reader --event GenerateDataKey --error AccessDeniedException | grep '\"objectPath\":\"/\"' > log; [ $(wc -l < log) = 4 ]; ! grep -q objectId log
          stored=/$(cd $VOL; find . -inum $(stat -c %i $MNT/f) -printf %P)
          rekeyfs umount $MNT; rekeyfs audit --principal reader --event Decrypt | grep -v errorCode | grep -q '\"objectPath\":\"'$stored'\"'");
}

#[test]
fn a_read_only_mount_reads_and_changes_nothing() {
    let m = Mount::new();
    m.sh("echo x > $MNT/f; rekeyfs umount $MNT; before=$(find $VOL -type f -exec sha256sum {} + | sort | sha256sum)
          rekeyfs mount -o ro $VOL $MNT; [ $(cat $MNT/f) = x ]; ! touch $MNT/g 2>/dev/null; ! setfattr -n user.kms.key_id -v alias/rekeyfs $MNT/f 2>/dev/null
          rekeyfs umount $MNT; [ \"$before\" = \"$(find $VOL -type f -exec sha256sum {} + | sort | sha256sum)\" ]");
}

#[test]
fn a_damaged_file_can_be_overwritten_renamed_and_removed() {
    let m = Mount::new();
    m.sh("for n in a b c d; do echo text > $MNT/$n; done; rekeyfs umount $MNT
          for f in $VOL/*; do [ -f $f ] && [ $(stat -c %s $f) = 16389 ] && printf garbage | dd of=$f bs=1 seek=20 conv=notrunc status=none; done
          rekeyfs mount $VOL $MNT; ! cat $MNT/a 2>err; grep -q 'Structure needs cleaning' err
          mv $MNT/a $MNT/a2; rm $MNT/b; echo new > $MNT/c; [ $(cat $MNT/c) = new ]; [ $(ls $MNT | wc -l) = 3 ]
          rekeyfs umount $MNT; for f in $VOL/*; do [ -f $f ] && [ $(stat -c %s $f) = 16388 ] && truncate -s 100 $f; done
          rekeyfs mount $VOL $MNT; ! cat $MNT/c 2>/dev/null; echo again > $MNT/c; [ $(cat $MNT/c) = again ]");
}

#[test]
fn offline_rekey_and_info_work_on_stored_objects() {
    let m = Mount::new();
    let id = m.key("SYMMETRIC_DEFAULT", "alias/new");
    let said = m.sh("mkdir $MNT/d; echo x > $MNT/d/f; rekeyfs umount $MNT; rekeyfs rekey -q -r $VOL --destination-key-id alias/new
          find $VOL -name 'rekeyfs.dir' -exec rekeyfs info {} \\; ; rekeyfs info $VOL --output json
          rekeyfs mount $VOL $MNT; [ $(cat $MNT/d/f) = x ]; rekeyfs info $MNT/d/f");
    assert_eq!(said.matches(&id).count(), 4, "{said}");
}

#[test]
fn rekey_takes_every_file_whatever_its_name_and_nothing_by_mistake() {
    let m = Mount::new();
    let id = m.key("SYMMETRIC_DEFAULT", "alias/new");
    m.sh("mkdir $MNT/rekeyfs.d; touch $MNT/rekeyfs.h $MNT/rekeyfs.d/rekeyfs.dir; rekeyfs rekey -q -r $MNT --destination-key-id alias/new");
    let said = m.sh("getfattr -R --absolute-names --only-values -n user.kms.key_id $MNT");
    assert_eq!(said.matches(&id).count(), 4, "{said}");
    let (code, said) = m.fails("rekeyfs rekey -r $MNT --destination-key-id ''");
    assert_eq!(code, 2, "{said}");
    m.fails("mkfifo fifo; rekeyfs rekey fifo --destination-key-id alias/new");
    // Metadata is shown when the key is disabled: that is when one looks.
    m.sh(&format!("rekeyfs kms disable-key --key-id {id}; rekeyfs info $MNT | grep {id}; rekeyfs info $MNT/rekeyfs.h | grep {id}"));
}

#[test]
fn an_interrupted_first_use_is_no_use() {
    let m = Mount::new();
    m.sh("install -m 600 /dev/null empty.db; rekeyfs --keystore empty.db kms create-key | grep -c Enabled
          install -m 600 /dev/null two.db; echo pw > pw; rekeyfs --keystore two.db --passphrase-file pw keystore create --passphrase
          echo > none; ! rekeyfs --keystore three.db --passphrase-file none keystore create --passphrase 2>err; grep -q empty err; [ ! -e three.db ]
          sqlite3 other.db 'create table t(a)'; chmod 600 other.db; before=$(sha256sum < other.db); ! rekeyfs --keystore other.db kms list-keys 2>err
          grep -q 'not a rekeyfs keystore' err; [ \"$before\" = \"$(sha256sum < other.db)\" ]");
}

#[test]
fn a_keystore_under_a_passphrase_opens_with_it_only() {
    let m = Mount::new();
    m.sh("rekeyfs umount $MNT; echo one > p1; echo two > p2
          rekeyfs keystore change-passphrase --new-passphrase-file p1; [ ! -e keystore.db.key ]
          ! rekeyfs --passphrase-file p2 mount $VOL $MNT 2>err; grep -q 'does not open this keystore' err
          rekeyfs --passphrase-file p1 mount $VOL $MNT; rekeyfs umount $MNT
          ! rekeyfs mount $VOL $MNT </dev/null 2>err; grep -q passphrase err
          REKEYFS_PASSPHRASE_FILE=p1 rekeyfs keystore backup copy.db; rekeyfs --keystore copy.db --passphrase-file p1 kms list-keys | grep KeyArn >/dev/null
          rekeyfs --passphrase-file p1 keystore change-passphrase --new-passphrase-file p2; rekeyfs --passphrase-file p2 mount $VOL $MNT
          rekeyfs --keystore fresh.db --passphrase-file p1 keystore create --passphrase; ! rekeyfs --keystore fresh.db --passphrase-file p1 keystore create 2>/dev/null");
}

#[test]
fn the_daemon_gives_up_what_it_does_not_need_and_its_memory_is_not_swapped() {
    let m = Mount::new();
    m.sh(r#"pid=$(pgrep -f "rekeyfs mount.* $VOL $MNT"); field() { sed -n "s/^$1:\s*//p" /proc/$pid/status; }
          caps=$((16#$(field CapEff))); [ $((caps >> 24 & 1)) = 0 ] # CAP_SYS_RESOURCE
          [ $((caps >> 19 & 1)) = 0 ] && [ $((caps >> 12 & 1)) = 0 ] && [ $((caps >> 7 & 1)) = 0 ] # SYS_PTRACE, NET_ADMIN, SETUID
          [ $((caps >> 1 & 1)) = 1 ] && [ $(field CapPrm) = $(field CapEff) ]; [ $(field NoNewPrivs) = 1 ]
          [ $(field VmLck | tr -dc 0-9) -gt 1000 ]; grep -q '^Max core file size *0 ' /proc/$pid/limits
          # Nobody but root may look into it, and no program that the kernel pipes dumps to.
          ! setpriv --reuid 65534 --clear-groups ls /proc/$pid/fd 2>/dev/null"#);
}

#[test]
fn no_name_and_no_content_stands_in_a_log() {
    let m = Mount::new();
    m.key("SYMMETRIC_DEFAULT", "alias/new");
    m.sh(
        r#"rekeyfs umount $MNT; REKEYFS_LOG=trace rekeyfs mount -f -o audit=all $VOL $MNT > log 2>&1 & pid=$!
          until mountpoint -q $MNT; do [ -d /proc/$pid ]; done
          mkdir $MNT/SECRETDIR; echo SECRETTEXT > $MNT/SECRETDIR/SECRETFILE; ln -s SECRETTARGET $MNT/SECRETLINK; ln $MNT/SECRETDIR/SECRETFILE $MNT/SECRETHARD
          setfattr -n user.SECRETATTR -v SECRETVALUE $MNT/SECRETDIR/SECRETFILE; mv $MNT/SECRETHARD $MNT/SECRETDIR/SECRETMOVED
          echo SECRETTEXT > "$MNT/SECRET$(printf 'x%.0s' {1..200})"; touch "$MNT/$(printf 'SECRET%.0s' {1..50})" 2>/dev/null || :
          for f in $MNT/SECRETDIR $MNT/SECRETDIR/SECRETFILE; do
            setfattr -n user.kms.key_id -v alias/new $f; setfattr -n user.kms.data_key -v new $f
            setfattr -n user.kms.re_encrypt -v 'SECRETREQUEST' $f 2>/dev/null || :; setfattr -n user.kms.key_id -v alias/none $f 2>/dev/null || :
            getfattr -n user.kms.key_id $f > /dev/null; getfattr -n user.kms.SECRETATTR $f 2>/dev/null || :
          done
          cat $MNT/SECRETNONE 2>/dev/null || :; rmdir $MNT/SECRETDIR 2>/dev/null || :; truncate -s 5 $MNT/SECRETDIR/SECRETFILE
          # Damage is told, too.
          stored=$(find $VOL -inum $(stat -c %i $MNT/SECRETDIR/SECRETMOVED) | head -1); rekeyfs umount $MNT; wait $pid
          printf x | dd of=$stored bs=1 seek=13000 conv=notrunc status=none
          REKEYFS_LOG=trace rekeyfs mount -f -o audit=all $VOL $MNT >> log 2>&1 & pid=$!
          until mountpoint -q $MNT; do [ -d /proc/$pid ]; done
          ! cat $MNT/SECRETDIR/SECRETFILE 2>/dev/null; rekeyfs umount $MNT; wait $pid
          [ -s log ]; ! grep -a SECRET log; ! grep -a SECRET keystore.db.audit.jsonl* "#,
    );
}
