"""Ordinary use by several processes at once, with all of it compared to what must be there.

usage: busy.py ROUNDS SECONDS SEED; VOL, MNT and REKEYFS_KEYSTORE in the environment. Prints what it did.

Each process has files of its own in a directory that all share, keeps them open while it writes on, and knows every
byte. A round is SECONDS long; then the volume is unmounted, checked, mounted with other options, and compared again.
"""
import ctypes, ctypes.util, errno, mmap, os, random, subprocess, sys, time

vol, mnt = os.environ["VOL"], os.environ["MNT"]
rounds, seconds, seed = int(sys.argv[1]), float(sys.argv[2]), sys.argv[3]
WORKERS, LARGEST = 3, 24 << 20
libc = ctypes.CDLL(ctypes.util.find_library("c"), use_errno=True)
KEYS = ["alias/rekeyfs", "alias/other"]
KINDS = ["streams", "appends", "overwrites", "mappings", "cuts", "holes", "copies", "syncs", "reads", "renames", "rewraps", "reseals"]
WEIGHTS = [5, 5, 8, 2, 3, 2, 1, 3, 4, 2, 1, 1]

def fallocate(fd, mode, at, count):
    if libc.fallocate(fd, mode, ctypes.c_long(at), ctypes.c_long(count)):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))

class Worker:
    """One process: its files, their bytes, and its own random numbers."""
    def __init__(self, number):
        self.number, self.serial, self.rng = number, 0, random.Random(f"{seed}.{number}")
        self.files, self.counts = {}, dict.fromkeys(KINDS + ["bytes"], 0)

    def piece(self, most):
        size = min(self.rng.choice([1, 100, 512, 4096, 4096, 8192, 65536, 131072, 300000, 1 << 20]), most)
        at = self.rng.randrange(256); pattern = bytes((at + i * 7) % 255 + 1 for i in range(256))
        return (pattern * (size // 256 + 1))[:size]

    def put(self, fd, content, at, data):
        done = 0
        while done < len(data): done += os.pwrite(fd, data[done:], at + done)
        if at > len(content): content.extend(bytes(at - len(content)))
        content[at:at + len(data)] = data; self.counts["bytes"] += len(data)

    def compare(self, name):
        content = self.files[name]
        with open(f"{mnt}/{name}", "rb", buffering=0) as f:
            found = bytearray()
            while part := f.read(1 << 20): found += part
        if found != content:
            at = next((i for i, (a, b) in enumerate(zip(found, content)) if a != b), min(len(found), len(content)))
            raise SystemExit(f"{name}: {len(found)} bytes instead of {len(content)}, other from {at}")

    def operate(self):
        rng = self.rng; kind = rng.choices(KINDS, WEIGHTS)[0]; self.counts[kind] += 1
        if len(self.files) < 4:
            self.serial += 1; name, kind = f"{self.number}.{self.serial}", "streams"; self.files[name] = bytearray()
        else: name = rng.choice(list(self.files))
        path, content = f"{mnt}/{name}", self.files[name]
        if kind == "streams":
            size = rng.choice([5000, 300000, 2 << 20, 9 << 20, rng.randrange(LARGEST)])
            with open(path, "wb", buffering=0) as f:
                content.clear()
                while len(content) < size: self.put(f.fileno(), content, len(content), self.piece(size - len(content)))
        elif kind == "appends":
            with open(path, "ab", buffering=0) as f:
                for _ in range(rng.randrange(1, 300)):
                    if len(content) < LARGEST:
                        data = self.piece(65536); content += data; self.counts["bytes"] += len(data)
                        while data: data = data[f.write(data):]
        elif kind == "overwrites":
            with open(path, "r+b", buffering=0) as f:
                for _ in range(rng.randrange(1, 60)):
                    self.put(f.fileno(), content, rng.randrange(len(content) + 1), self.piece(1 << 20))
                    if rng.random() < 0.02: os.fdatasync(f.fileno())
        elif kind == "mappings" and content:
            with open(path, "r+b") as f, mmap.mmap(f.fileno(), len(content)) as m:
                for _ in range(rng.randrange(1, 40)):
                    at = rng.randrange(len(content)); data = self.piece(len(content) - at)
                    m[at:at + len(data)] = data; content[at:at + len(data)] = data; self.counts["bytes"] += len(data)
                if rng.random() < 0.3: m.flush()
        elif kind == "cuts":
            size = rng.choice([0, len(content) // 2, rng.randrange(len(content) + 70000)]); os.truncate(path, size)
            content[size:] = b""; content.extend(bytes(size - len(content)))
        elif kind == "holes" and content:
            at = rng.randrange(len(content)); count = rng.randrange(1, 1 << 20)
            with open(path, "r+b") as f: fallocate(f.fileno(), 1 | rng.choice([2, 16]), at, count)
            count = min(count, len(content) - at); content[at:at + count] = bytes(count)
        elif kind == "copies" and content:
            with open(path, "r+b") as f, open(f"{mnt}/{rng.choice(list(self.files))}", "rb") as g:
                source = self.files[os.path.basename(g.name)]
                if source is not content and source:
                    at = rng.randrange(len(source)); to = rng.randrange(len(content) + 1)
                    count = os.copy_file_range(g.fileno(), f.fileno(), len(source) - at, at, to)
                    content[to:to + count] = source[at:at + count]
        elif kind == "syncs":
            fd = os.open(path, os.O_RDWR)
            try: os.fsync(fd)
            finally: os.close(fd)
        elif kind == "reads": self.compare(name)
        elif kind == "renames":
            self.serial += 1; new = f"{self.number}.{self.serial}"
            if rng.random() < 0.5: new = rng.choice(list(self.files))
            if new != name: os.rename(path, f"{mnt}/{new}"); self.files[new] = self.files.pop(name)
        elif kind in ("rewraps", "reseals"):
            what, value = (b"user.kms.key_id", rng.choice(KEYS).encode()) if kind == "rewraps" else (b"user.kms.data_key", b"new")
            try: os.setxattr(path if rng.random() < 0.8 else mnt, what, value)
            except OSError as e:
                if e.errno != errno.EBUSY: raise

    def work(self, end):
        while time.monotonic() < end: self.operate()

    def compare_all(self):
        for name in self.files: self.compare(name)

def serve(worker, orders, answers):
    """The process of a worker: does as it is told, and says how it went."""
    for order in os.fdopen(orders, "r"):
        what, end = order.split()
        try:
            if what == "work": worker.work(float(end))
            worker.compare_all(); said = "done " + " ".join(str(worker.counts[key]) for key in worker.counts)
        except SystemExit as e: said = f"worker {worker.number}: {e}"
        except Exception as e: said = f"worker {worker.number}: {type(e).__name__}: {e} (line {e.__traceback__.tb_next.tb_lineno if e.__traceback__.tb_next else 0})"
        os.write(answers, (said.replace("\n", " ") + "\n").encode())

def start(number):
    orders, answers = os.pipe(), os.pipe()
    if os.fork() == 0:
        try:
            for fd in (orders[1], answers[0]): os.close(fd)
            serve(Worker(number), orders[0], answers[1])
        finally: os._exit(0)
    for fd in (orders[0], answers[1]): os.close(fd)
    return os.fdopen(orders[1], "w", 1), os.fdopen(answers[0], "r")

def tell(what, end=0):
    """Lets all of them do the same, and adds up what they did."""
    for orders, _ in workers: print(what, end, file=orders)
    said = [answers.readline().strip() for _, answers in workers]
    for line in said:
        if not line.startswith("done "): sys.exit(f"round {turn}, seed {seed}, {options}: {line or 'a worker ended'}")
    return [sum(column) for column in zip(*([int(n) for n in line.split()[1:]] for line in said))]

def run(*command):
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode: sys.exit(f"round {turn}, seed {seed}, {options}: {' '.join(command)}: {done.stdout}")

rng, turn, options = random.Random(seed), 0, "as it was mounted"
workers = [start(number) for number in range(WORKERS)]
for turn in range(1, rounds + 1):
    tell("work", time.monotonic() + seconds)
    run("rekeyfs", "umount", mnt); run("rekeyfs", "check", vol, *rng.choice([[], ["--repair"]]))
    options = f"crash={rng.choice(['strict', 'strict', 'fast'])},cache={rng.choice(['keep', 'close', 'none'])}"
    run("rekeyfs", "mount", "-o", options, vol, mnt)
    total = tell("compare")
print(f"{rounds} rounds,", ", ".join(f"{n} {name}" for name, n in zip(KINDS + ["bytes"], total)))
