"""Runs many argument sets by the AWS CLI 1.31.13 against the endpoint and by `rekeyfs kms` against the
same keystore, and compares stdout, stderr and exit code.

    rekeyfs serve -- PYTHON tests/clients/differential.py [--full] [WORD..]

PYTHON has boto3 and cryptography. Environment: REKEYFS (the binary), REKEYFS_KEYSTORE (a new one), ENDPOINT (the
URL of `rekeyfs serve` on it; else AWS_ENDPOINT_URL_KMS), AWS_OLD (the `aws` of 1.31.13, with its Python beside it), and credentials
and Region as `rekeyfs serve -- CMD` sets them. WORDs: only sets whose command has one of them in it (the sets
that change state run all the same). --full prints both outputs of what differs.

What is put aside before a comparison:
- the program's own name, and in usage messages the AWS CLI's advertisement of its version 2;
- in sets that are not `exact`: the ids of the two sides' twins, random ids, blobs, tokens and dates;
- new members: members of an answer that the API model of 1.31.13 does not have are taken out of rekeyfs's
  JSON. Where that cannot be done (text, tables, --query, and commands that name something newer themselves),
  nothing is put aside, but the very same CLI is given the current API model, by AWS_DATA_PATH. Lists of the
  members that a structure may have lose the new ones, too;
- the differences that are meant: each set with `why`, for a reason of `argument_sets.py`, says which, and why.
"""

import sys

sys.dont_write_bytecode = True

import base64
import concurrent.futures
import dataclasses
import gzip
import http.server
import json
import os
import pathlib
import re
import subprocess
import tempfile
import threading

import boto3
import botocore

import changing_sets
import cipher_sets
import generated_sets
import listing_sets
import usage_sets
from argument_sets import Set
from fixtures import SIDES, Fixtures
from support import Checks, endpoint, one_line, setting, without_endpoints

MODEL = "kms/2014-11-01"
WORKERS = 2
SECONDS = 60
REAL_PROCESSES = 10
OVER_HTTP = 12
PLACEHOLDER = re.compile(r"@\{([a-z0-9-]+)\}")
NOTE = re.compile(r"usage: \r?Note: AWS CLI version 2[^\n]*\n\n")
BASE64 = re.compile(r"[A-Za-z0-9+/]{40,}={0,2}|(?<![A-Za-z0-9+/])[A-Za-z0-9+/]{22}==")
MEMBERS_LIST = re.compile(r"(must be one of: )([A-Za-z, ]+)")
UUID = re.compile(r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b")
DATE = re.compile(r"\b1[0-9]{9}(\.[0-9]+)?\b")
OPERATIONS = re.compile(r"(argument operation: Invalid choice, valid choices are:\n\n).*?(\n\n\nInvalid choice:|\Z)", re.DOTALL)


def current_model(name):
    """A file of the current API model, from the botocore of this Python."""
    path = pathlib.Path(botocore.__file__).parent / "data" / MODEL / f"{name}.json"
    if path.exists():
        return path.read_bytes()
    return gzip.decompress(path.with_suffix(".json.gz").read_bytes())


def absolute(program):
    """A program that can be run from any folder."""
    return os.path.abspath(program) if os.sep in program else program


def kebab(name):
    """`ReEncrypt` to `re-encrypt`."""
    return re.sub(r"(?<!^)([A-Z])", r"-\1", name).lower()


class Model:
    """The shapes of an API model."""

    def __init__(self, model):
        self.shapes = model["shapes"]
        self.member_names = {member for shape in self.shapes.values() for member in shape.get("members", {})}
        self.operations = {kebab(name): operation for name, operation in model["operations"].items()}

    def tree(self, side, operation):
        """The member names of an operation's input or output: dict of members, list of an item, or None."""
        shape = self.operations[operation].get(side)
        return self.members(shape["shape"]) if shape else {}

    def members(self, name):
        shape = self.shapes[name]
        if shape["type"] == "structure":
            return {member: self.members(value["shape"]) for member, value in shape["members"].items()}
        return [self.members(shape["member"]["shape"])] if shape["type"] == "list" else None

    def choices(self, operation):
        """All enum members in an operation's input."""
        found, names = set(), [self.operations[operation].get("input", {}).get("shape")]
        while names:
            shape = self.shapes[names.pop()]
            found.update(shape.get("enum", ()))
            inner = list(shape.get("members", {}).values()) + [shape.get(part) for part in ("member", "value")]
            names.extend(value["shape"] for value in inner if value)
        return found


def prune(value, tree):
    """A JSON answer without the members that a model does not have."""
    if isinstance(value, dict) and isinstance(tree, dict):
        return {name: prune(member, tree[name]) for name, member in value.items() if name in tree}
    if isinstance(value, list) and isinstance(tree, list):
        return [prune(item, tree[0]) for item in value]
    return value


class OldCli:
    """The AWS CLI 1.31.13 behind `old_cli.py`, one command at a time."""

    def __init__(self, aws):
        driver = pathlib.Path(__file__).with_name("old_cli.py")
        self.lock = threading.Lock()
        self.process = subprocess.Popen(
            [pathlib.Path(aws).with_name("python"), driver], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8"
        )

    def ask(self, **request):
        with self.lock:
            self.process.stdin.write(json.dumps(request) + "\n")
            self.process.stdin.flush()
            return json.loads(self.process.stdout.readline())

    def close(self):
        self.process.stdin.close()
        self.process.wait(SECONDS)


class Listener:
    """An HTTP server that counts who comes."""

    def __init__(self):
        counter = self
        self.visits = 0

        class Handler(http.server.BaseHTTPRequestHandler):
            def setup(self):
                counter.visits += 1
                super().setup()

            def do_GET(self):
                self.send_error(404)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


class Differential:
    """Everything that a comparison needs."""

    def __init__(self, folder, checks, words, full):
        self.checks, self.words, self.full = checks, words, full
        self.folder = pathlib.Path(folder) / "work"
        self.folder.mkdir()
        # Commands run in another folder.
        self.rekeyfs, self.aws = absolute(setting("REKEYFS")), absolute(setting("AWS_OLD"))
        self.endpoint = endpoint()
        region = setting("AWS_DEFAULT_REGION")
        self.clis = [OldCli(self.aws) for _ in range(WORKERS)]
        self.old = Model(self.clis[0].ask(model=True))
        self.new = Model(json.loads(current_model("service-2")))
        self.data = self.write_model(pathlib.Path(folder) / "data")
        self.env = self.environment(region)
        self.listener = Listener()
        self.fixtures = Fixtures(boto3.client("kms", endpoint_url=self.endpoint, region_name=region), self.folder, self.endpoint, region)
        self.fixtures.shared["listener"] = str(self.listener.port)
        self.compared = 0

    def write_model(self, data):
        """The current API model where AWS_DATA_PATH can find it."""
        (data / MODEL).mkdir(parents=True)
        for name in ("service-2", "paginators-1"):
            (data / MODEL / f"{name}.json").write_bytes(current_model(name))
        return str(data)

    def environment(self, region):
        """What both programs see of the environment: nothing of this machine's."""
        env = {name: os.environ[name] for name in ("PATH", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "REKEYFS_KEYSTORE", "REKEYFS_PASSPHRASE_FILE") if name in os.environ}
        env.update({name: os.path.abspath(env[name]) for name in env if name.startswith("REKEYFS_")})
        return {
            **env, "HOME": str(self.folder), "LC_ALL": "C.UTF-8", "AWS_DEFAULT_REGION": region, "AWS_REGION": region, "AWS_CONFIG_FILE": "config",
            "AWS_SHARED_CREDENTIALS_FILE": "credentials", "AWS_EC2_METADATA_DISABLED": "true", "AWS_ENDPOINT_URL_KMS": self.endpoint,
        }

    def command(self, item, side):
        """Arguments and environment of a set on one side."""
        values = self.fixtures.values(side)
        fill = lambda text: PLACEHOLDER.sub(lambda found: values.get(found[1], found[0]), text)
        env = dict(self.env)
        for name, value in item.env:
            env.pop(name, None)
            if value is not None:
                env[name] = fill(value)
        return [fill(arg) for arg in item.args], env

    def operation(self, item):
        """The operation that a set names, if one of the models has it."""
        return next((arg for arg in item.args if arg in self.new.operations), None)

    def is_newer(self, item):
        """Whether the old CLI needs the current model: see the head of this file."""
        operation = self.operation(item)
        if item.newer or operation is None:
            return item.newer
        if operation not in self.old.operations:
            return True
        differs = self.old.tree("output", operation) != self.new.tree("output", operation)
        shaped = any(arg.startswith(("--query", "--output", "--outp")) or "table" in arg for arg in item.args)
        # The environment and a profile can ask for text and tables too.
        configured = any(name in ("AWS_DEFAULT_OUTPUT", "AWS_CONFIG_FILE") for name, _ in item.env)
        return differs and (shaped or configured)

    def run_aws(self, item, cli, side="a"):
        """Runs a set by the old CLI."""
        args, env = self.command(item, side)
        if self.is_newer(item):
            env["AWS_DATA_PATH"] = self.data
        return cli.ask(args=args, env=env, cwd=str(self.folder))

    def run_process(self, program, item, side):
        """Runs a set by a program."""
        args, env = self.command(item, side)
        if program == self.rekeyfs:
            env = without_endpoints(env)
        elif self.is_newer(item):
            env["AWS_DATA_PATH"] = self.data
        done = subprocess.run([program, *args], stdin=subprocess.DEVNULL, capture_output=True, env=env, cwd=self.folder, timeout=SECONDS)
        said = [text.decode("utf-8", "surrogateescape") for text in (done.stdout, done.stderr)]
        return {"rc": done.returncode, "stdout": said[0], "stderr": said[1]}

    def normal(self, item, said, side):
        """An outcome without what is put aside."""
        operation, said = self.operation(item), dict(said)
        said["stderr"] = NOTE.sub("", said["stderr"])
        if "usage: " in said["stderr"]:
            said["stderr"] = re.sub(r"\b(rekeyfs|aws)\b", "PROGRAM", said["stderr"])
        if operation in self.old.operations and not self.is_newer(item):
            said["stdout"] = self.without_new_members(operation, said["stdout"])
            known = lambda found: found[1] + ", ".join(name for name in found[2].split(", ") if name in self.old.member_names)
            said["stderr"] = MEMBERS_LIST.sub(known, said["stderr"])
        if item.other == "operations":
            said["stderr"] = OPERATIONS.sub(r"\1\2", said["stderr"])
        if item.other == "enums":
            said["stdout"] = re.sub(r'"(%s)"' % "|".join(self.new.choices(operation) or "-"), '"ENUM"', said["stdout"])
        if not item.exact:
            own = sorted(self.fixtures.sides[side].items(), key=lambda pair: -len(pair[1]))
            for stream in ("stdout", "stderr"):
                text = said[stream]
                for name, value in own:
                    if len(value) > 8:
                        text = text.replace(value, f"<{name}>")
                text = re.sub(rf"\b(ct|token|material|before|after|imported)-{side}\.bin", r"\1-<side>.bin", text)
                text = UUID.sub("<uuid>", BASE64.sub("<base64>", text))
                said[stream] = text if item.dates else DATE.sub("<date>", text)
        return said

    def without_new_members(self, operation, stdout):
        """A JSON answer as the old model's; other text, and JSON that is not printed as the CLI prints it, as it is."""
        try:
            answer = json.loads(stdout)
        except ValueError:
            return stdout
        print_json = lambda value: json.dumps(value, indent=4, ensure_ascii=False) + "\n" if value else ""
        return print_json(prune(answer, self.old.tree("output", operation))) if isinstance(answer, dict) and print_json(answer) == stdout else stdout

    def compare(self, item, name, ours, theirs, sides=("b", "a")):
        """One check: are two outcomes equal where they must be?"""
        ours, theirs = self.normal(item, ours, sides[0]), self.normal(item, theirs, sides[1])
        unlike = [aspect for aspect in item.aspects if ours[aspect] != theirs[aspect]]
        if unlike and self.full:
            print(f"--- {name}\nrekeyfs: {ours}\naws:     {theirs}")
        return self.checks.check(name, not unlike, "; ".join(first_difference(aspect, ours[aspect], theirs[aspect]) for aspect in unlike))

    def wanted(self, item):
        return not self.words or any(word in item.name for word in self.words)

    def read(self, item, cli):
        """A set that changes nothing."""
        if not self.wanted(item):
            return
        self.compared += 1
        if item.other == "downloads":
            before = self.listener.visits
            ours = self.run_process(self.rekeyfs, item, "a")
            self.checks.check(item.name, self.listener.visits == before and ours["rc"] in (0, 255), f"rekeyfs asked the address; rc {ours['rc']}")
            return
        theirs = self.run_aws(item, cli)
        ours = self.run_process(self.rekeyfs, item, "a")
        if item.other == "region":
            self.checks.check(item.name, (ours["rc"], theirs["rc"]) == (0, 255), f"rc {ours['rc']} and {theirs['rc']}")
        elif item.other == "output-skeleton" and theirs["rc"] != 0:
            self.output_skeleton(item, ours)
        else:
            self.compare(item, item.name, ours, theirs, ("a", "a"))
        if item.other == "enums":
            again = self.run_process(self.rekeyfs, item, "a")
            self.checks.equal(f"{item.name}: the same each time", again, ours)
        if item.cross and theirs["rc"] == 0:
            self.cross(item, theirs)

    def output_skeleton(self, item, ours):
        """What the manual page promises: a sample of the answer, as JSON with the members of the model."""
        operation = self.operation(item)
        members = list(self.new.tree("output", operation))
        known = list(self.old.tree("output", operation)) if operation in self.old.operations else members
        try:
            printed = list(json.loads(ours["stdout"])) if ours["stdout"] else []
        except ValueError:
            printed = None
        fits = printed is not None and [name for name in members if name in printed] == printed and set(known) <= set(printed)
        self.checks.check(item.name, ours["rc"] == 0 and fits and not ours["stderr"], f"rc {ours['rc']}, members {printed}, expected {members}, stderr {ours['stderr']}")

    def cross(self, item, theirs):
        """rekeyfs decrypts what the CLI encrypted, with the context read from the same argument."""
        with tempfile.NamedTemporaryFile(dir=self.folder, suffix=".bin") as file:
            file.write(base64.b64decode(json.loads(theirs["stdout"])["CiphertextBlob"]))
            file.flush()
            at = item.args.index("--encryption-context")
            args = ("kms", "decrypt", "--ciphertext-blob", f"fileb://{file.name}", *item.args[at : at + 2], "--query", "Plaintext", "--output", "text")
            said = self.run_process(self.rekeyfs, Set(args), "a")
        self.checks.equal(f"{item.name}: the context is the one that the CLI read", (said["rc"], said["stdout"]), (0, "eA==\n"))

    def change(self, item):
        """A set that changes state: each side on its own twins."""
        self.compared += 1
        outcomes = {"a": self.run_aws(item, self.clis[0], "a"), "b": self.run_process(self.rekeyfs, item, "b")}
        self.compare(item, item.name, outcomes["b"], outcomes["a"])
        for side in SIDES:
            self.keep(item, outcomes[side]["stdout"], side)

    def keep(self, item, stdout, side):
        """Keeps parts of an answer for later sets."""
        try:
            for placeholder, path in item.keep:
                if path is None:
                    value = stdout.strip()
                else:
                    value = json.loads(stdout)
                    for name in filter(None, path.split(".")):
                        value = value[name]
                self.fixtures.sides[side][placeholder] = value
            if item.save:
                name = item.save.replace("@{side}", side)
                self.fixtures.write(name, base64.b64decode(json.loads(stdout)["CiphertextBlob"]))
        except (ValueError, KeyError) as error:
            self.checks.check(f"{item.name}: an answer to keep on side {side}", False, f"{error!r} in {stdout}")

    def in_parallel(self, items):
        """Runs reading sets, as many at once as there are CLIs."""
        idle = list(self.clis)

        def run(item):
            cli = idle.pop()
            try:
                with self.checks.step(item.name):
                    self.read(item, cli)
            finally:
                idle.append(cli)

        with concurrent.futures.ThreadPoolExecutor(WORKERS) as pool:
            list(pool.map(run, items))

    def real_processes(self, items):
        """The CLI in its driver answers as its executable does."""
        for item in sample(items, REAL_PROCESSES):
            driven, real = self.run_aws(item, self.clis[0]), self.run_process(self.aws, item, "a")
            if item.exact and not item.other:
                self.checks.equal(f"driver and executable: {item.name}", driven, real)
            else:
                self.compare(item, f"driver and executable: {item.name}", driven, real, ("a", "a"))

    def over_http(self, items):
        """`rekeyfs kms --endpoint-url` answers as the CLI does, too."""
        here = [item for item in items if not item.other and not item.env and not any(arg.startswith("--endpoint") for arg in item.args)]
        for item in sample(here, len(here) // OVER_HTTP):
            there = dataclasses.replace(item, args=(*item.args[:1], "--endpoint-url", self.endpoint, *item.args[1:]))
            with self.checks.step(there.name):
                self.compare(item, there.name, self.run_process(self.rekeyfs, there, "a"), self.run_aws(item, self.clis[0]), ("a", "a"))

    def run(self):
        reading = [item for sets in (listing_sets, cipher_sets, usage_sets, generated_sets) for item in sets.all_sets()]
        chosen = [item for item in reading if self.wanted(item)]
        self.real_processes(chosen)
        self.in_parallel(chosen)
        for item in changing_sets.all_sets():
            with self.checks.step(item.name):
                self.change(item)
        self.over_http([item for item in chosen if item.args[:1] == ("kms",)])
        print(f"{self.compared} argument sets")

    def close(self):
        self.listener.server.shutdown()
        for cli in self.clis:
            cli.close()


def sample(items, count):
    """As many of the items as asked for, spread evenly."""
    count = min(count, len(items))
    return [items[index * len(items) // count] for index in range(count)]


def first_difference(aspect, ours, theirs):
    """Where two outputs part."""
    if aspect == "rc":
        return f"rc {ours}, expected {theirs}"
    pairs = zip((ours + "\n<end>").split("\n"), (theirs + "\n<end>").split("\n"))
    for number, (mine, other) in enumerate(pairs, 1):
        if mine != other:
            return f"{aspect} line {number} is {one_line(mine, 300)!r}, expected {one_line(other, 300)!r}"
    return f"{aspect} differs"


def main():
    words = [word for word in sys.argv[1:] if word != "--full"]
    checks = Checks()
    with tempfile.TemporaryDirectory() as folder:
        run = Differential(folder, checks, words, "--full" in sys.argv[1:])
        try:
            run.run()
        finally:
            run.close()
    checks.close()


if __name__ == "__main__":
    main()
