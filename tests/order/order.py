"""The order in which the daemon writes and syncs, as strace sees it, against the table of expected.txt.

usage: T=DIRECTORY order.py [print]; needs root and strace. With `print` it prints the table of this run instead.

Only what changes or syncs the backing directory counts: no reads, no opens but those that make something, no keystore.
"""
import atexit, difflib, os, re, shutil, subprocess, sys, time

work = os.path.join(os.environ["T"], f"order.{os.getpid()}")
vol, mnt, trace = f"{work}/vol", f"{work}/mnt", f"{work}/trace"
os.environ["REKEYFS_KEYSTORE"] = f"{work}/keystore.db"
CALLS = ("pwrite64,pwritev,pwritev2,write,fsync,fdatasync,sync_file_range,sync,syncfs,link,linkat,rename,renameat,renameat2,mkdir,mkdirat,"
         "symlinkat,mknodat,unlink,unlinkat,openat,openat2,truncate,ftruncate,fallocate")
PAGE, GROUP = 4096, 65 * 4096
assert shutil.which("strace"), "strace is not installed"

def run(*command): return subprocess.run(command, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True).stdout.strip()

def clean():
    subprocess.run(["umount", "-l", mnt], stderr=subprocess.DEVNULL)
    if "daemon" in globals():
        # strace goes with what it follows.
        try: daemon.wait(10)
        except subprocess.TimeoutExpired: daemon.kill()
    shutil.rmtree(work, ignore_errors=True)

os.makedirs(mnt); atexit.register(clean)
run("rekeyfs", "init", vol)
key = run("rekeyfs", "kms", "create-key", "--query", "KeyMetadata.KeyId", "--output", "text")
run("rekeyfs", "kms", "create-alias", "--alias-name", "alias/other", "--target-key-id", key)
daemon = subprocess.Popen(["strace", "-f", "-y", "-s", "8", "-o", trace, "-e", f"trace={CALLS}", "rekeyfs", "mount", "-f", "-o", "crash=strict", vol, mnt],
                          stdin=subprocess.DEVNULL)
while not os.path.ismount(mnt):
    assert daemon.poll() is None, "the mount ended"
    time.sleep(0.01)

def calls():
    """The calls that were completed, in the order of their ends."""
    begun, whole = {}, []
    with open(trace, errors="replace") as f: lines = f.read().splitlines()
    for line in lines:
        thread, _, text = line.partition(" "); text = text.strip()
        if text.endswith("<unfinished ...>"): begun[thread] = text[:-len("<unfinished ...>")].rstrip()
        elif resumed := re.match(r"<\.\.\. \w+ resumed>(.*)", text): whole.append(begun.pop(thread) + resumed[1])
        elif re.match(r"\w+\(", text): whole.append(text)
    return whole

def quiet():
    """Waits until the daemon has nothing more to do; the number of calls until then."""
    count, since = len(calls()), time.monotonic()
    while time.monotonic() - since < 0.3:
        time.sleep(0.05)
        if len(calls()) != count: count, since = len(calls()), time.monotonic()
    return count

roles = {vol: "the root", f"{vol}/rekeyfs.volume": "the volume file", f"{vol}/rekeyfs.dir": "the root's header"}
directories = []

def role(path):
    """What a stored path is; None outside the volume."""
    path = path.removesuffix("(deleted)")
    if not path.startswith(vol): return None
    if path in roles: return roles[path]
    directory, name = os.path.split(path)
    if name.startswith("#"): return "the file"
    if name.startswith("rekeyfs.tmp."): return "a temporary name"
    if name == "rekeyfs.dir": return f"header of {role(directory)}"
    return f"? {path[len(vol):]}"

def place(what, at, size, base):
    """What of a stored file lies at an offset; S is 4,096."""
    if "header of" in what or at < 2 * PAGE:
        content = {"RKFSSLOT": "a header", r"\0" * 8: "zeros"}.get(base, "?")
        return f"slot {'AB'[at // PAGE]}: {content}"
    parts = []
    for page in range(at, at + size, PAGE):
        group, k = divmod(page - 2 * PAGE, GROUP)
        parts.append(f"entry page {group}" if k == 0 else f"data page {group * 64 + k // PAGE - 1}")
    return ", ".join(parts)

def normal(call):
    """A line of the table; None for what does not belong there."""
    name, rest = call.split("(", 1)
    if re.search(r"\) += -1 ", rest): return None
    first = re.search(r"<([^>]*)>", rest); path = first and first[1]
    if name in ("openat", "openat2"):
        if "O_CREAT" not in rest and "O_TMPFILE" not in rest: return None
        target = re.search(r'"([^"]*)"', rest)[1]
        if role(f"{path}/{target}" if "O_TMPFILE" not in rest else path) is None: return None
        return f"open without a name | in {role(path)}" if "O_TMPFILE" in rest else f"create | {role(f'{path}/{target}')}"
    if name == "linkat":
        directory, new = re.search(r'<([^>]*)>, "([^"]*)", AT_SYMLINK_FOLLOW', rest).groups()
        if role(directory) is None: return None
        roles[f"{directory}/{new}"] = "the file"
        return f"{name} | the file | to its name in {role(directory)}"
    if name.startswith("rename"):
        (old_directory, old), (directory, new) = re.findall(r'<([^>]*)>, "([^"]*)"', rest)
        if role(directory) is None: return None
        line = f"{name} | {role(f'{old_directory}/{old}')} | to its name in {role(directory)}"
        directories.append(f"{directory}/{new}"); roles[directories[-1]] = f"directory {len(directories)}"
        return line
    if path is None or role(path) is None: return None
    what = role(path)
    if name in ("pwritev", "pwritev2", "pwrite64"):
        sizes = [int(size) for size in re.findall(r"iov_len=(\d+)", rest)]
        base = re.search(r'iov_base="([^"]*)"', rest)
        at, flags = re.search(r"\], \d+, (\d+)(?:, (\w+))?\)", rest).groups()
        if what == "the volume file": return f"{name} | {what}"
        return f"{name} | {what} | {place(what, int(at), sum(sizes), base and base[1])}" + (f" | {flags}" if flags else "")
    if name == "mkdirat":
        target = re.search(r'"([^"]*)"', rest)[1]
        return f"{name} | {role(f'{path}/{target}')} | in {what}"
    if name in ("unlinkat", "symlinkat", "mknodat"): return f"{name} | {what}"
    if name == "ftruncate":
        size = int(re.search(r", (\d+)\)", rest)[1])
        return f"{name} | {what} | to {size:,}"
    return f"{name} | {what}"

table = []
def operation(title, *steps):
    before = quiet()
    for step in steps: step()
    quiet()
    lines = [line for line in map(normal, calls()[before:]) if line]
    table.extend([f"== {title}", *lines, ""])

def sync_directory(path):
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try: os.fsync(fd)
    finally: os.close(fd)

def create():
    global fd
    fd = os.open(f"{mnt}/f", os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600)

operation("create a file and write 5,000 bytes", create, lambda: os.pwrite(fd, b"a" * 5000, 0))
operation("fsync it", lambda: os.fsync(fd))
operation("overwrite its first 4,096 bytes and fdatasync", lambda: os.pwrite(fd, b"b" * 4096, 0), lambda: os.fdatasync(fd))
operation("overwrite them again and fsync", lambda: os.pwrite(fd, b"c" * 4096, 0), lambda: os.fsync(fd))
operation("close it", lambda: os.close(fd))
operation("rewrap it", lambda: os.setxattr(f"{mnt}/f", "user.kms.key_id", b"alias/other"))
operation("rewrap it again", lambda: os.setxattr(f"{mnt}/f", "user.kms.key_id", b"alias/rekeyfs"))
operation("mkdir and fsync of the new directory", lambda: os.mkdir(f"{mnt}/d"), lambda: sync_directory(f"{mnt}/d"))
operation("mkdir and fsync of its parent", lambda: os.mkdir(f"{mnt}/e"), lambda: sync_directory(mnt))
run("rekeyfs", "umount", mnt); daemon.wait()

if sys.argv[1:] == ["print"]: print("\n".join(table)); sys.exit()
def tidy(line): return " | ".join(part.strip() for part in line.split("|"))
with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "expected.txt")) as f:
    promised = [tidy(line) for line in f if line.strip() and not line.startswith("#")]
seen = [line for line in table if line]
if seen != promised:
    sys.exit("The order is not the promised one:\n" + "\n".join(difflib.unified_diff(promised, seen, "promised", "seen", lineterm="", n=20)))
print(f"{len([line for line in seen if line.startswith('==')])} operations, {len([line for line in seen if not line.startswith('==')])} calls, all in the promised order")
