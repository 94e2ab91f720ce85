"""What the client tests share: counting checks, the environment, and moto's server."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
import traceback

# A test that is stopped still ends the servers that it started.
signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))


class Checks:
    """Counts checks and prints one line for each that failed."""

    def __init__(self):
        self.passed = 0
        self.failed = 0

    def check(self, name, true, detail=""):
        """Counts one check; `detail` says what was seen instead."""
        if true:
            self.passed += 1
        else:
            self.failed += 1
            print(f"FAILED {name}: {one_line(detail)}" if detail else f"FAILED {name}", flush=True)
        return bool(true)

    def equal(self, name, found, expected):
        """Counts one comparison."""
        return self.check(name, found == expected, f"found {found!r}, expected {expected!r}")

    @contextlib.contextmanager
    def step(self, name):
        """Counts an exception in its block as one failed check, and goes on behind it."""
        try:
            yield
        except Exception as error:  # every kind of failure of a client is a finding
            where = traceback.extract_tb(error.__traceback__)[-1]
            self.check(name, False, f"{type(error).__name__}: {error} ({os.path.basename(where.filename)}:{where.lineno})")

    def close(self):
        """Prints the closing line and ends the program."""
        print(f"{self.passed} passed, {self.failed} failed", flush=True)
        sys.exit(1 if self.failed or not self.passed else 0)


def one_line(text, longest=2000):
    """A text as one line of printable characters."""
    text = str(text).encode("unicode_escape").decode("ascii")
    return text if len(text) <= longest else text[:longest] + "..."


def setting(name):
    """An environment variable that the tests cannot do without."""
    value = os.environ.get(name)
    if not value:
        sys.exit(f"{os.path.basename(sys.argv[0])}: {name} is not set")
    return value


def endpoint():
    """The URL of `rekeyfs serve`: ENDPOINT, or where `rekeyfs serve -- CMD` points the CLI to."""
    return os.environ.get("ENDPOINT") or setting("AWS_ENDPOINT_URL_KMS")


def without_endpoints(environment):
    """The environment of a `rekeyfs` that works on the keystore itself: no endpoint is configured."""
    return {name: value for name, value in environment.items() if not name.startswith("AWS_ENDPOINT_URL")}


def free_port():
    """A TCP port of the loopback interface that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


@contextlib.contextmanager
def moto_server():
    """Runs moto's server on the loopback interface while its block runs; gives its URL."""
    port = free_port()
    server = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        for _ in range(600):
            if server.poll() is not None:
                raise RuntimeError(f"moto's server ended with {server.returncode}")
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                break
            time.sleep(0.1)
        else:
            raise RuntimeError("moto's server does not answer")
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        try:
            server.wait(10)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()
