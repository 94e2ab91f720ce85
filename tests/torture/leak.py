"""Many operations on a mount; afterwards the daemon has as many descriptors as before, as much memory, and the volume as
many inodes.

usage: leak.py OPERATIONS SEED; VOL and MNT in the environment. Prints what it measured.
"""
import os, random, select, subprocess, sys, time

vol, mnt = os.environ["VOL"], os.environ["MNT"]
operations, rng = int(sys.argv[1]), random.Random(int(sys.argv[2]))
daemon = int(subprocess.run(["pgrep", "-f", f"rekeyfs mount.* {vol} {mnt}"], check=True, capture_output=True, text=True).stdout.split()[0])
done = 0

def work(count):
    """Everything that makes, opens, changes or removes an object, on names that come and go."""
    global done
    for _ in range(count):
        done += 1
        path = f"{mnt}/{rng.randrange(300)}"; kind = rng.random()
        try:
            if kind < 0.25:
                with open(path, "ab") as f: f.write(b"x" * rng.choice([10, 5000, 70000]))
            elif kind < 0.4:
                with open(path, "rb") as f: f.read()
            elif kind < 0.45:
                fd = os.open(path, os.O_RDWR); os.pwrite(fd, b"y" * 5000, 100); os.fsync(fd); os.close(fd)
            elif kind < 0.55: os.rename(path, f"{mnt}/{rng.randrange(300)}")
            elif kind < 0.65: os.unlink(path)
            elif kind < 0.72: os.mkdir(path + "d"); open(path + "d/inner", "w").close()
            elif kind < 0.79: os.unlink(path + "d/inner"); os.rmdir(path + "d")
            elif kind < 0.84: os.symlink("x" * rng.choice([10, 3500]), path)
            elif kind < 0.88: os.link(path, f"{mnt}/{rng.randrange(300)}")
            elif kind < 0.92: os.setxattr(path, "user.a", b"v"); os.removexattr(path, "user.a")
            elif kind < 0.94: os.truncate(path, rng.randrange(100000))
            elif kind < 0.95: os.setxattr(path, "user.kms.encryption_context", b"a=%d" % rng.randrange(9))
            elif kind < 0.952: os.setxattr(rng.choice([path, mnt]), "user.kms.data_key", b"new")
            elif kind < 0.97: os.listdir(mnt)
            else:
                name = mnt + "/" + "n" * 250
                open(name, "w").close(); os.unlink(name)
        except OSError as e:
            # The name is not there, is there already, or is of another kind.
            if e.errno not in (2, 17, 20, 21, 39, 40, 16, 36, 95): raise
        except FileNotFoundError: pass

def settle():
    """Nothing of the operations is left but what stays."""
    subprocess.run(["find", mnt, "-mindepth", "1", "-delete"], check=True)
    os.sync()
    with open("/proc/sys/vm/drop_caches", "w") as f: f.write("2")
    os.listdir(mnt)

def descriptors(): return len(os.listdir(f"/proc/{daemon}/fd"))

def measure():
    with open(f"/proc/{daemon}/status") as f:
        resident = next(int(line.split()[1]) for line in f if line.startswith("VmRSS"))
    inodes = sum(len(names) + len(dirs) for _, dirs, names in os.walk(vol))
    # Files that were closed are let down within a second, and the kernel's releases come when they like.
    end = time.monotonic() + 20
    while descriptors() > fewest and time.monotonic() < end: select.select([], [], [], 0.01)
    return descriptors(), resident, inodes

# Some are opened when they are needed first: the audit log, the usage of keys.
os.listdir(mnt); fewest = descriptors() + 3
# What is remembered of a number of objects is full before the first measure of a long run.
work(max(operations // 2, 5000)); settle(); before = measure()
work(operations); settle(); after = measure()
print(f"{done} operations: descriptors {before[0]} and {after[0]}, KiB in memory {before[1]} and {after[1]}, stored inodes {before[2]} and {after[2]}")
assert after[0] <= fewest and after[2] <= before[2], "something is left"
assert after[1] <= before[1] * 1.25 + 16384, "memory is left"
