"""kill -9 of the daemon at random moments under load, and a shadow copy that tells what must be there.

usage: kill.py KILLS SEED; VOL, MNT and REKEYFS_KEYSTORE in the environment. Prints what it did.

Of every file the states since its last fsync are known. After a kill and a remount each byte must be readable and be
that of one of them; the length must be one that the file had, or lie between two of them where a change was under way.
"""
import atexit, errno, os, random, signal, subprocess, sys, threading, time

vol, mnt = os.environ["VOL"], os.environ["MNT"]
kills, seed = int(sys.argv[1]), int(sys.argv[2])
rng = random.Random(seed)
counts = {"operations": 0, "bytes": 0, "kills": 0, "rewraps": 0, "reseals": 0, "lost": 0}
LARGEST = 400_000
keys = ["alias/rekeyfs", "alias/other"]

class Daemon:
    def __init__(self):
        self.process = subprocess.Popen(["rekeyfs", "mount", "-f", vol, mnt], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        atexit.register(self.process.kill)
        while not os.path.ismount(mnt):
            assert self.process.poll() is None, "the mount ended"
            time.sleep(0.002)
    def kill(self):
        self.process.send_signal(signal.SIGKILL); self.process.wait()
        subprocess.run(["umount", "-l", mnt], check=True)

class Shadow:
    """A file: the names it may have, and its states since it was last known."""
    def __init__(self, name): self.names, self.states, self.log = [name], [b""], ["created"]
    def now(self): return self.states[-1]

files, directories, serial = [], [], 0

def gone(e): return e.errno in (errno.ENOTCONN, errno.ECONNABORTED, errno.EIO, errno.ENODEV, errno.EBADF)

def operate():
    """One operation on a random file; the shadow hears of it before it begins."""
    global serial
    counts["operations"] += 1
    if len(files) < 4 or rng.random() < 0.03 and len(files) < 12:
        serial += 1; file = Shadow(f"f{serial}")
        # It may be there or not until it has been seen.
        file.maybe = True; files.append(file)
        os.close(os.open(f"{mnt}/{file.names[0]}", os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)); file.maybe = False
        return
    file = rng.choice(files); path = f"{mnt}/{file.names[-1]}"; kind = rng.random(); state = file.now()
    note = lambda text: file.log.append(text)
    if kind < 0.5:
        at = rng.randrange(len(state) + 1) if rng.random() < 0.7 else len(state)
        data = bytes([rng.randrange(1, 256)]) * rng.choice([1, 100, 4096, 5000, 20000])
        at = min(at, LARGEST - len(data)); note(f"write {len(data)} of {data[0]:#x} at {at} of {len(state)}")
        file.states.append(state[:at].ljust(at, b"\0") + data + state[at + len(data):])
        fd = os.open(path, os.O_WRONLY)
        try:
            written = os.pwrite(fd, data, at); counts["bytes"] += written
            # The kernel may have asked for it in two parts, and the second found nobody.
            if written < len(data): raise OSError(errno.ENOTCONN, f"{written} of {len(data)} bytes")
        finally: os.close(fd)
    elif kind < 0.6:
        size = rng.choice([0, len(state) // 2, rng.randrange(LARGEST)]); note(f"truncate {len(state)} to {size}")
        file.states.append(state[:size].ljust(size, b"\0")); os.truncate(path, size)
    elif kind < 0.75:
        fd = os.open(path, os.O_RDWR)
        note("fsync")
        try: os.fsync(fd); file.states = [file.now()]; note("fsynced")
        finally: os.close(fd)
    elif kind < 0.85:
        serial += 1; file.names.append(f"f{serial}"); os.rename(path, f"{mnt}/{file.names[-1]}"); file.names = file.names[-1:]
    elif kind < 0.89:
        note("rewrap"); os.setxattr(path, "user.kms.key_id", rng.choice(keys).encode()); counts["rewraps"] += 1
    elif kind < 0.92:
        what = rng.choice([path, path, mnt] + [f"{mnt}/{name}" for name in directories])
        if what == path: note("reseal")
        try: os.setxattr(what, "user.kms.data_key", b"new"); counts["reseals"] += 1
        except OSError as e:
            if e.errno != errno.EBUSY: raise
    elif kind < 0.95:
        serial += 1; directories.append(f"d{serial}"); os.mkdir(f"{mnt}/{directories[-1]}")
        # What is in it must be found as long as it is there.
        with open(f"{mnt}/{directories[-1]}/x", "wb") as f: f.write(b"x")
    else:
        with open(path, "rb") as f: assert f.read() == state, f"{path} is not what was written"

def look(file):
    """What is there after a kill must be one of the states, byte by byte."""
    found = [name for name in file.names if os.path.lexists(f"{mnt}/{name}")]
    if not found:
        assert getattr(file, "maybe", False), f"{file.names} is gone"
        return False
    assert len(found) == 1, found
    with open(f"{mnt}/{found[0]}", "rb") as f: data = f.read()
    lengths = [len(state) for state in file.states]; shortest, longest = min(lengths), max(lengths)
    assert shortest <= len(data) <= max(longest, -(-longest // 4096) * 4096), (found, len(data), lengths)
    if data not in file.states:
        counts["lost"] += 1
        for at, byte in enumerate(data):
            known = any(at < len(state) and state[at] == byte for state in file.states)
            assert known or byte == 0 and at >= shortest, (
                f"{found}: byte {at} of {len(data)} is {byte:#x}, not one of {[state[at:at + 1].hex() for state in file.states]}: " + "; ".join(file.log[-60:]))
    file.names, file.states, file.maybe = found, [data], False; file.log.append(f"killed, {len(data)} bytes found")
    return True

subprocess.run(["rekeyfs", "umount", mnt], check=False, stderr=subprocess.DEVNULL)
daemon = Daemon()
while counts["kills"] < kills:
    killer = threading.Timer(rng.uniform(0.02, 0.25), daemon.process.kill); killer.start()
    try:
        while True: operate()
    except OSError as e:
        assert gone(e) or e.errno == errno.ENOENT, e
    killer.join(); daemon.kill(); counts["kills"] += 1
    daemon = Daemon()
    files = [file for file in files if look(file)]
    for name in directories:
        if os.path.isdir(f"{mnt}/{name}"):
            for inner in os.listdir(f"{mnt}/{name}"):
                with open(f"{mnt}/{name}/{inner}", "rb") as f: assert f.read() in (b"", b"x")
    directories = [name for name in directories if os.path.isdir(f"{mnt}/{name}")][-20:]
subprocess.run(["rekeyfs", "umount", mnt], check=True); daemon.process.wait()
subprocess.run(["rekeyfs", "check", vol, "--repair"], check=True)
subprocess.run(["rekeyfs", "check", vol], check=True)
print(f"{counts['kills']} kills, {counts['operations']} operations, {counts['bytes']} bytes written, "
      f"{counts['rewraps']} rewraps, {counts['reseals']} reseals: nothing unreadable; {counts['lost']} files with a change of the last second undone")
