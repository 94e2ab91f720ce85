"""The loop of kill.py against other encrypted filesystems, judged by the same rule.

usage: T=DIRECTORY peers.py gocryptfs|securefs|rekeyfs|rekeyfs-fast KILLS SEED

One writer overwrites parts, appends, truncates, creates and syncs; the daemon is killed with -9 at a random moment. The
kernel lives on, so every completed call should be there after a remount. The rule: each byte is that of a state since the
last fsync, the length one of theirs or between them. What breaks it is counted, not asserted:

unreadable_files, unreadable_blocks  read, open or stat fails; blocks of 4 KiB; such a file is removed and begun anew
wrong_files, wrong_bytes             bytes that no state since the last fsync has in that place
wrong_length, vanished               a length that no state had; a file that is not there
undone                               by the rule, but older than the last completed call: files with changes undone
failed_calls                         errors, or wrong bytes read, while the daemon was alive
"""
import atexit, errno, os, random, signal, subprocess, sys, threading, time

name, kills, seed = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
work = os.path.join(os.environ["T"], f"peers.{name}.{os.getpid()}")
vol, mnt, secret = f"{work}/vol", f"{work}/mnt", f"{work}/secret"
rng = random.Random(seed)
LARGEST, BLOCK = 400_000, 4096
counts = dict.fromkeys(["kills", "operations", "bytes", "fsyncs", "judged", "unreadable_files", "unreadable_blocks", "wrong_files",
                        "wrong_bytes", "wrong_length", "vanished", "undone", "failed_calls"], 0)
examples = []

os.makedirs(vol); os.makedirs(mnt)
with open(secret, "w") as f: f.write("a passphrase\n")
os.environ["REKEYFS_KEYSTORE"] = f"{work}/keystore.db"
# The cheapest key derivation of each: it is the remounts that it would slow down.
MAKE, MOUNT = {
    "gocryptfs": (["gocryptfs", "-q", "-init", "-scryptn", "10", "-passfile", secret, vol],
                  ["gocryptfs", "-q", "-fg", "-passfile", secret, vol, mnt]),
    "securefs": (["securefs", "create", "--pbkdf", "pkcs5-pbkdf2-hmac-sha256", "-r", "1", "--pass", "X", vol],
                 ["securefs", "mount", "--pass", "X", vol, mnt]),
    "rekeyfs": (["rekeyfs", "init", vol], ["rekeyfs", "mount", "-f", vol, mnt]),
    "rekeyfs-fast": (["rekeyfs", "init", vol], ["rekeyfs", "mount", "-f", "-o", "crash=fast", vol, mnt]),
}[name]

class Daemon:
    def __init__(self):
        self.killed = False
        self.log = open(f"{work}/log", "w+b")
        self.process = subprocess.Popen(MOUNT, stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log)
        end = time.monotonic() + 20
        while not os.path.ismount(mnt):
            if self.process.poll() is not None or time.monotonic() > end:
                self.log.seek(0); sys.exit(f"{name} seed {seed}: no mount after {counts}: {self.log.read().decode(errors='replace')}")
            time.sleep(0.002)
    def shoot(self): self.killed = True; self.process.send_signal(signal.SIGKILL)
    def kill(self):
        self.shoot(); self.process.wait(); self.log.close()
        subprocess.run(["umount", "-l", mnt], check=True)

class Shadow:
    """A file: its states since its last fsync, and whether the last of them, or the file itself, was completed."""
    def __init__(self, path): self.path, self.states, self.under_way, self.maybe = path, [b""], False, True

files, serial = [], 0

def note(text): examples.append(f"after kill {counts['kills']}: {text}")

def operate():
    global serial
    counts["operations"] += 1
    if len(files) < 4 or rng.random() < 0.03 and len(files) < 12:
        serial += 1; file = Shadow(f"{mnt}/f{serial}"); files.append(file)
        os.close(os.open(file.path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)); file.maybe = False
        return
    file = rng.choice(files); path, state, kind = file.path, file.states[-1], rng.random()
    if kind < 0.65:
        data = bytes([rng.randrange(1, 256)]) * rng.choice([1, 100, 4096, 5000, 20000, 120000])
        at = rng.randrange(len(state) + 1) if rng.random() < 0.7 else len(state)
        at = min(at, LARGEST - len(data))
        fd = os.open(path, os.O_WRONLY)
        try:
            file.states.append(state[:at].ljust(at, b"\0") + data + state[at + len(data):]); file.under_way = True
            written = os.pwrite(fd, data, at); counts["bytes"] += written
            # The kernel may have asked for it in two parts, and the second found nobody.
            if written < len(data): raise OSError(errno.ENOTCONN, f"{written} of {len(data)} bytes")
            file.under_way = False
        finally: os.close(fd)
    elif kind < 0.75:
        size = rng.choice([0, len(state) // 2, rng.randrange(LARGEST)])
        file.states.append(state[:size].ljust(size, b"\0")); file.under_way = True
        os.truncate(path, size); file.under_way = False
    elif kind < 0.95:
        fd = os.open(path, os.O_RDWR)
        try: os.fsync(fd); file.states = [state]; counts["fsyncs"] += 1
        finally: os.close(fd)
    else:
        with open(path, "rb") as f: data = f.read()
        if data != state: raise OSError(errno.EILSEQ, f"{path} is not what was written", path)

def strange(data, states):
    """The places in data that are of none of the states."""
    shortest = min(map(len, states)); found = []
    for start in range(0, len(data), BLOCK):
        block = data[start:start + BLOCK]
        if any(block == state[start:start + BLOCK] for state in states): continue
        found += [at for at in range(start, start + len(block))
                  if not any(at < len(state) and state[at] == data[at] for state in states) and (data[at] or at < shortest)]
    return found

def allowed(data, states):
    lengths = [len(state) for state in states]
    return min(lengths) <= len(data) <= max(lengths)

def read(file):
    """Its bytes, or None with the faults counted."""
    bad, error, parts = 0, None, []
    try:
        fd = os.open(file.path, os.O_RDONLY)
    except OSError as e:
        if e.errno == errno.ENOENT and file.path[len(mnt) + 1:] not in os.listdir(mnt): raise
        counts["unreadable_files"] += 1; note(f"{file.path}: open: {e.strerror}"); return None
    try:
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_RANDOM)
        for at in range(0, os.fstat(fd).st_size, BLOCK):
            try: parts.append(os.pread(fd, BLOCK, at))
            except OSError as e: bad += 1; error = error or f"block {at // BLOCK}: {e.strerror}"
    except OSError as e: error = error or f"stat: {e.strerror}"
    finally: os.close(fd)
    if not error: return b"".join(parts)
    counts["unreadable_files"] += 1; counts["unreadable_blocks"] += bad
    note(f"{file.path}: {error}; {bad} blocks, lengths {[len(state) for state in file.states]}")
    return None

def look(file):
    """Judges a file after a kill; whether it goes on."""
    counts["judged"] += 1
    try: data = read(file)
    except FileNotFoundError:
        if not file.maybe: counts["vanished"] += 1; note(f"{file.path} is gone")
        return False
    if data is None:
        try: os.unlink(file.path)
        except OSError as e: note(f"{file.path}: unlink: {e.strerror}")
        return False
    # What had been completed when the kill came: the last state, or that and what was under way.
    last = file.states[-2:] if file.under_way else file.states[-1:]
    wrong = strange(data, file.states)
    if wrong:
        counts["wrong_files"] += 1; counts["wrong_bytes"] += len(wrong)
        note(f"{file.path}: {len(wrong)} wrong bytes, first at {wrong[0]}: {data[wrong[0]]:#x}; "
             f"length {len(data)} of {[len(state) for state in file.states]}")
    if not allowed(data, file.states):
        counts["wrong_length"] += 1; note(f"{file.path}: length {len(data)} of {[len(state) for state in file.states]}")
    elif not wrong and (strange(data, last) or not allowed(data, last)): counts["undone"] += 1
    file.states, file.under_way, file.maybe = [data], False, False
    return True

def end():
    try: daemon.process.kill(); daemon.process.wait()
    except NameError: pass
    subprocess.run(["umount", "-l", mnt], check=False, stderr=subprocess.DEVNULL)
    subprocess.run(["rm", "-rf", "--one-file-system", work], check=False)

atexit.register(end)
signal.signal(signal.SIGTERM, lambda *_: sys.exit(f"{name} seed {seed}: stopped after {counts}"))
subprocess.run(MAKE, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
daemon = Daemon()
while counts["kills"] < kills:
    killer = threading.Timer(rng.uniform(0.01, 0.3), daemon.shoot); killer.start()
    while not daemon.killed:
        try: operate()
        except OSError as e:
            # An error that the kill does not explain is one of the filesystem's own.
            time.sleep(0.02)
            if daemon.killed: break
            counts["failed_calls"] += 1; note(f"alive: {e}")
            files = [file for file in files if file.path != e.filename]
    killer.join(); daemon.kill(); counts["kills"] += 1
    daemon = Daemon()
    files = [file for file in files if look(file)]
for example in examples[:8]: print(f"{name}: {example}", file=sys.stderr)
print(f"peer={name} seed={seed}", *(f"{key}={value}" for key, value in counts.items()))
