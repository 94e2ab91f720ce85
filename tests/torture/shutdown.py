"""Power cuts on a real ext4: EXT4_IOC_SHUTDOWN at random moments under load, and a shadow copy that tells what must be there.

usage: T=DIRECTORY shutdown.py ROUNDS SEED; root, a loop device. Ends with 1 at the first thing that broke a promise.

ext4 stops at once, without its log being flushed; what it had not written is gone, for the daemon is killed and ext4
mounted anew. FORMAT.md section 5 is what is held to:
  every byte that was fsynced and not overwritten since is there; of those overwritten since, the old or the new one;
  what was fsynced, or is in a directory that was, is found by its name and opens, and so do the directories above it;
  a rewrap that was told done is done, if the file was there to stay;
  bytes that were never fsynced may be missing or EBADMSG, files and directories that never were may not be there or EUCLEAN.
"""
import atexit, errno, fcntl, os, random, signal, struct, subprocess, sys, threading, time

rounds, seed = int(sys.argv[1]), sys.argv[2]
work = os.path.join(os.environ["T"], f"shutdown.{os.getpid()}")
image, base, mnt, keystore = f"{work}/ext4", f"{work}/base", f"{work}/mnt", f"{work}/keystore.db"
vol = f"{base}/vol"
os.environ["REKEYFS_KEYSTORE"] = keystore
EXT4_IOC_SHUTDOWN, NOLOGFLUSH = 0x8004587d, 2
LARGEST, CHUNK = 400_000, 4096
ALIASES = ["alias/rekeyfs", "alias/other"]
counts = dict.fromkeys(["rounds", "operations", "bytes", "fsyncs", "rewraps", "reseals", "renames", "links", "files_judged", "directories_judged",
                        "changes_undone", "new_files_lost", "new_directories_lost", "new_chunks_unreadable", "left_behind", "damaged_remains"], 0)
turn, last = 0, ""

class Broken(Exception): pass

def run(*command, **more): return subprocess.run(command, check=True, stdin=subprocess.DEVNULL, **more)
def quiet(*command): return subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode

class Disk:
    """The ext4, and the loop device below it."""
    def __init__(self):
        with open(image, "wb") as f: f.truncate(256 << 20)
        run("mkfs.ext4", "-q", image)
        self.device = run("losetup", "-f", "--show", image, stdout=subprocess.PIPE, text=True).stdout.strip()
        self.mount()
    def mount(self): run("mount", self.device, base)
    def cut(self):
        fd = os.open(base, os.O_RDONLY)
        try: fcntl.ioctl(fd, EXT4_IOC_SHUTDOWN, struct.pack("I", NOLOGFLUSH))
        finally: os.close(fd)
    def umount(self):
        for _ in range(200):
            if quiet("umount", base) == 0: return
            time.sleep(0.05)
        raise Broken("the ext4 stays busy")
    def gone(self):
        quiet("umount", "-l", base)
        quiet("losetup", "-d", self.device)

class Daemon:
    def __init__(self):
        self.log = open(f"{work}/log", "w+b")
        self.process = subprocess.Popen(["rekeyfs", "mount", "-f", vol, mnt], stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log)
        end = time.monotonic() + 20
        while not os.path.ismount(mnt):
            if self.process.poll() is not None or time.monotonic() > end:
                self.log.seek(0); raise Broken(f"the volume cannot be mounted: {self.log.read().decode(errors='replace')}")
            time.sleep(0.002)
    def kill(self): self.process.kill(); self.process.wait(); quiet("umount", "-l", mnt); self.log.close()
    def stop(self): run("rekeyfs", "umount", mnt); self.process.wait(); self.log.close()

class Directory:
    def __init__(self, path, parent): self.path, self.parent, self.stays, self.keys = path, parent, False, None
    def made_durable(self):
        here = self
        while here: here.stays, here = True, here.parent

class Shadow:
    """A file: the places it may be in, its states since its last fsync, the keys it may have, and whether it must be there."""
    def __init__(self, directory, name): self.places, self.states, self.stays, self.keys = [(directory, name)], [b""], False, None
    def path(self): return f"{self.places[-1][0].path}/{self.places[-1][1]}"

root = Directory(mnt, None); root.stays = True
files, directories, serial, arns = [], [root], 0, {}

def new_name():
    global serial
    serial += 1
    return f"n{serial}" if rng.random() < 0.7 else f"n{serial}." + "x" * 200

def told():
    """What succeeds while the cut goes on is not believed: an fsync of ext4 itself can return 0 then and have kept nothing."""
    if done.is_set(): raise OSError(errno.EIO, "the cut has begun")

def operate():
    """One operation; the shadow hears of it before it begins, and of its success after it."""
    global last
    counts["operations"] += 1
    if len(files) < 4 or rng.random() < 0.04 and len(files) < 12:
        file = Shadow(rng.choice(directories), new_name()); files.append(file)
        os.close(os.open(file.path(), os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        return
    file = rng.choice(files); path, state, kind = file.path(), file.states[-1], rng.random()
    if kind < 0.5:
        data = bytes([rng.randrange(1, 256)]) * rng.choice([1, 100, 4096, 5000, 20000])
        at = min(rng.randrange(len(state) + 1) if rng.random() < 0.7 else len(state), LARGEST - len(data))
        fd = os.open(path, os.O_WRONLY)
        try:
            file.states.append(state[:at].ljust(at, b"\0") + data + state[at + len(data):])
            written = os.pwrite(fd, data, at); counts["bytes"] += written
            if written < len(data): raise OSError(errno.EIO, f"{written} of {len(data)} bytes")
        finally: os.close(fd)
    elif kind < 0.57:
        size = rng.choice([0, len(state) // 2, rng.randrange(LARGEST)])
        file.states.append(state[:size].ljust(size, b"\0")); os.truncate(path, size)
    elif kind < 0.75:
        fd = os.open(path, os.O_RDWR)
        try: (os.fsync if rng.random() < 0.7 else os.fdatasync)(fd); told()
        finally: os.close(fd)
        file.states, file.stays = [state], True; file.places[-1][0].made_durable(); counts["fsyncs"] += 1
        last = f"fsync {path}"
    elif kind < 0.84:
        rewrapped = file if rng.random() < 0.8 else rng.choice(directories)
        path, key = rewrapped.path if rewrapped is not file else path, rng.choice(ALIASES)
        rewrapped.keys = (rewrapped.keys or list(arns.values())) + [arns[key]]
        os.setxattr(path, "user.kms.key_id", key.encode()); told()
        rewrapped.keys = [arns[key]]; counts["rewraps"] += 1
    elif kind < 0.855:
        # Goes on by itself, also after the cut. Nothing is promised of it but that nothing is lost.
        resealed = path if rng.random() < 0.5 else rng.choice(directories).path
        try: os.setxattr(resealed, "user.kms.data_key", b"new"); counts["reseals"] += 1
        except OSError as e:
            if e.errno != errno.EBUSY: raise
    elif kind < 0.89 and len(directories) < 8:
        directory = rng.choice(directories); made = Directory(f"{directory.path}/{new_name()}", directory)
        if len(made.path) > len(mnt) + 700: return
        directories.append(made); os.mkdir(made.path)
    elif kind < 0.93:
        directory = rng.choice(directories); fd = os.open(directory.path, os.O_RDONLY)
        try: os.fsync(fd); told()
        finally: os.close(fd)
        directory.made_durable(); counts["fsyncs"] += 1
        for other in directories: other.stays |= other.parent is directory
        for other in files:
            if other.places[-1][0] is directory: other.stays, other.places = True, other.places[-1:]
        last = f"fsync of the directory {directory.path}"
    elif kind < 0.97:
        place = rng.choice(directories), new_name()
        if rng.random() < 0.7:
            file.places.append(place); os.rename(path, file.path()); counts["renames"] += 1
        else:
            file.places.append(place); os.link(path, file.path()); os.unlink(path); counts["links"] += 1
    else:
        with open(path, "rb") as f: data = f.read()
        if data != state: raise Broken(f"{path} is not what was written, before any cut")

def strange(data, at, states, floor):
    """The places of a piece of data that are of none of the states."""
    if any(data == state[at:at + len(data)] for state in states): return []
    return [i for i in range(at, at + len(data))
            if not any(i < len(state) and state[i] == data[i - at] for state in states) and (data[i - at] or i < floor)]

def names(path):
    try: return os.listdir(path)
    except OSError: return []

def look(file):
    """Judges a file after a cut; whether it goes on."""
    counts["files_judged"] += 1
    found = [place for place in file.places if place[1] in names(place[0].path)]
    about = f"{[f'{directory.path}/{name}'[len(mnt):] for directory, name in file.places]}, lengths {[len(state) for state in file.states]}"
    if not found:
        if file.stays: raise Broken(f"a file that was to stay is not there: {about}; directories there: {[d.path[len(mnt):] for d in directories if os.path.isdir(d.path)]}")
        counts["new_files_lost"] += 1; return False
    if len(found) > 1:
        # Between a link and the unlink of the other name.
        paths = [f"{place[0].path}/{place[1]}" for place in found]
        if len({os.stat(path).st_ino for path in paths}) > 1: raise Broken(f"a file in two places: {about}")
        for path in paths[:-1]: os.unlink(path)
        found = found[-1:]
    file.places = found; path = file.path(); lengths = [len(state) for state in file.states]; floor = min(lengths)
    try: fd = os.open(path, os.O_RDWR)
    except OSError as e:
        if file.stays: raise Broken(f"a file that was to stay does not open: {about}: {e}")
        counts["new_files_lost"] += 1; return remove(path)
    parts, bad = [], 0
    try:
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_RANDOM)
        size = os.fstat(fd).st_size
        if not floor <= size <= -(-max(lengths) // CHUNK) * CHUNK: raise Broken(f"length {size}: {about}")
        for at in range(0, size, CHUNK):
            try: data = os.pread(fd, CHUNK, at)
            except OSError as e:
                if e.errno != errno.EBADMSG or at < floor: raise Broken(f"chunk {at // CHUNK}: {e.strerror}: {about}")
                bad += 1; continue
            wrong = strange(data, at, file.states, floor)
            if wrong: raise Broken(f"{len(wrong)} wrong bytes, first at {wrong[0]}: {data[wrong[0] - at]:#x}: {about}")
            parts.append(data)
    finally: os.close(fd)
    if file.stays and file.keys:
        key = os.getxattr(path, "user.kms.key_id").decode()
        if key not in file.keys: raise Broken(f"the key is {key}, not of {file.keys}: {about}")
    if bad: counts["new_chunks_unreadable"] += bad; return remove(path)
    data = b"".join(parts); counts["changes_undone"] += data != file.states[-1]
    file.states, file.stays, file.keys = [data], True, None
    return True

def look_at_directory(directory):
    counts["directories_judged"] += 1; path = directory.path
    try:
        os.listdir(path); os.close(os.open(f"{path}/probe", os.O_CREAT | os.O_EXCL | os.O_WRONLY)); os.unlink(f"{path}/probe")
        key = os.getxattr(path, "user.kms.key_id").decode()
    except OSError as e:
        if directory.stays: raise Broken(f"a directory that was to stay: {path[len(mnt):]}: {e}")
        counts["new_directories_lost"] += 1; return False
    if directory.stays and directory.keys and key not in directory.keys: raise Broken(f"{path[len(mnt):]}: the key is {key}, not of {directory.keys}")
    directory.stays, directory.keys = True, None
    return True

def remove(path):
    """Takes away what nobody was promised."""
    if quiet("rm", "-rf", path): counts["left_behind"] += 1
    return False

def prune():
    """Whatever the shadow does not know, and now and then what it does: there must be something new to lose."""
    global files, directories
    for directory in rng.sample(directories[1:], min(len(directories) - 1, rng.randrange(3))):
        remove(directory.path)
    directories = [directory for directory in directories if os.path.isdir(directory.path)]
    for file in list(files):
        if rng.random() < 0.3: quiet("rm", "-f", file.path())
    files = [file for file in files if os.path.exists(file.path())]
    known = {directory.path for directory in directories} | {file.path() for file in files}
    for directory in directories:
        for name in os.listdir(directory.path):
            if f"{directory.path}/{name}" not in known: remove(f"{directory.path}/{name}")

def cut_power():
    """Load, and the power cut in the middle of it."""
    global done
    done, over = threading.Event(), threading.Event()
    def cut(): done.set(); disk.cut(); over.set()
    cutter = threading.Timer(rng.choice([rng.uniform(0.02, 0.3), rng.uniform(0.3, 2.5)]), cut); cutter.start()
    try:
        while not over.is_set(): operate()
    except OSError as e:
        time.sleep(0.1)
        if not done.is_set(): raise Broken(f"an error before the cut: {e}")
    finally: cutter.join()

def check():
    """Repairs. What nobody was promised may be damaged, and hidden where it is; nothing that was judged good may."""
    for repair in (["--repair"], []):
        checked = subprocess.run(["rekeyfs", "check", vol, *repair], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        damaged = {line.split(": ")[1] for line in checked.stdout.splitlines() if line.startswith("damaged: ")}
        good = {file.path()[len(mnt):] for file in files} | {directory.path[len(mnt):] or "/" for directory in directories}
        if damaged & good or checked.returncode and not damaged: raise Broken(f"check {' '.join(repair)}: {checked.stdout}")
    counts["damaged_remains"] += len(damaged)

def clean():
    for name in ["daemon", "disk"]:
        try: {"daemon": Daemon.kill, "disk": Disk.gone}[name](globals()[name])
        except Exception: pass
    quiet("umount", "-l", mnt)
    quiet("rm", "-rf", "--one-file-system", work)

os.makedirs(base); os.makedirs(mnt); atexit.register(clean)
for number in (signal.SIGTERM, signal.SIGINT): signal.signal(number, lambda *_: sys.exit(1))
try:
    rng = random.Random(seed)
    disk = Disk()
    run("rekeyfs", "init", vol, stdout=subprocess.DEVNULL)
    made = run("rekeyfs", "kms", "create-key", "--query", "KeyMetadata.KeyId", "--output", "text", stdout=subprocess.PIPE, text=True).stdout.strip()
    run("rekeyfs", "kms", "create-alias", "--alias-name", "alias/other", "--target-key-id", made)
    daemon = Daemon()
    for alias in reversed(ALIASES):
        os.setxattr(mnt, "user.kms.key_id", alias.encode()); arns[alias] = os.getxattr(mnt, "user.kms.key_id").decode()
    os.sync()
    while turn < rounds:
        turn += 1; rng = random.Random(f"{seed}.{turn}")
        cut_power()
        daemon.kill(); disk.umount(); disk.mount(); daemon = Daemon()
        directories = [directory for directory in directories if look_at_directory(directory)]
        files = [file for file in files if look(file)]
        prune(); counts["rounds"] += 1
        if turn % 4 == 0 or turn == rounds:
            daemon.stop(); check()
            daemon = Daemon()
    daemon.stop()
except Broken as e:
    sys.exit(f"BROKEN in round {turn} of seed {seed}: {e}\nthe last sync that was told done: {last}")
print(f"seed={seed}", *(f"{key}={value}" for key, value in counts.items()))
