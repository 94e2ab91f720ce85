"""Runs the AWS CLI of the Python that executes this file, one forked process for each call.

A process of its own for each call, as `aws` has, but without its start: everything is imported and
read once, and each call is a fork of that. One JSON object a line comes in:

    {"args": [..], "env": {..}, "cwd": ".."}    ->  {"rc": N, "stdout": "..", "stderr": ".."}
    {"model": true}                             ->  the KMS model that this CLI was built with

`args` are those behind `aws`. Output that is not UTF-8 comes back with surrogate escapes.
"""

import gc
import importlib
import io
import json
import os
import sys
import tempfile
import traceback

import awscli
import botocore.loaders
from awscli.clidriver import create_clidriver

# Every file that the CLI reads from its own data, as the first call saw it. A fork changes its copy only.
DATA = {}
LOAD = botocore.loaders.JSONFileLoader.load_file
SERVICES = {}
LIST = botocore.loaders.Loader.list_available_services


def load(loader, path):
    """Stands for JSONFileLoader.load_file."""
    if path not in DATA:
        DATA[path] = LOAD(loader, path)
    return DATA[path]


def services(loader, type_name):
    """Stands for Loader.list_available_services, which looks at thousands of files for always the same list."""
    if type_name not in SERVICES:
        SERVICES[type_name] = tuple(LIST(loader, type_name))
    return list(SERVICES[type_name])


def streams(out, err):
    """Makes file descriptors 1 and 2, and the streams above them, those of a new process."""
    sys.stdout.flush()
    sys.stderr.flush()
    os.dup2(out, 1)
    os.dup2(err, 2)
    sys.stdout = io.TextIOWrapper(open(1, "wb", closefd=False), encoding="utf-8", write_through=False)
    sys.stderr = io.TextIOWrapper(
        open(2, "wb", closefd=False), encoding="utf-8", errors="backslashreplace", line_buffering=True
    )


def main(args):
    """What the `aws` script does; returns its exit code."""
    sys.argv = ["aws", *args]
    try:
        # The package looks at AWS_DATA_PATH when it is imported.
        importlib.reload(awscli)
        code = create_clidriver().main(args)
    except SystemExit as exit:
        code = exit.code
    except BaseException:
        traceback.print_exc()
        code = 1
    if code is None:
        return 0
    return code & 0xFF if isinstance(code, int) else 1


def call(args, env, cwd):
    """Forks, runs one command, and collects what it said."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        child = os.fork()
        if child == 0:
            code = 70
            try:
                os.environ.clear()
                os.environ.update(env)
                os.chdir(cwd)
                streams(out.fileno(), err.fileno())
                code = main(args)
                sys.stdout.flush()
                sys.stderr.flush()
            finally:
                os._exit(code)
        _, status = os.waitpid(child, 0)
        said = []
        for file in (out, err):
            file.seek(0)
            said.append(file.read().decode("utf-8", "surrogateescape"))
        return {"rc": os.waitstatus_to_exitcode(status), "stdout": said[0], "stderr": said[1]}


def warm():
    """Imports what a call imports, and reads what a call reads, without keeping anything that it changed."""
    botocore.loaders.JSONFileLoader.load_file = load
    botocore.loaders.Loader.list_available_services = services
    with tempfile.TemporaryFile() as sink:
        kept = os.dup(1), os.dup(2)
        streams(sink.fileno(), sink.fileno())
        env = {
            "AWS_ACCESS_KEY_ID": "none",
            "AWS_SECRET_ACCESS_KEY": "none",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_MAX_ATTEMPTS": "1",
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        }
        before = dict(os.environ)
        os.environ.update(env)
        # Nobody listens on port 1: the request is built, signed and refused.
        main(["kms", "list-keys", "--endpoint-url", "http://127.0.0.1:1"])
        os.environ.clear()
        os.environ.update(before)
        streams(*kept)
    loader = botocore.loaders.JSONFileLoader()
    for path in list(DATA):
        DATA[path] = LOAD(loader, path)
    gc.collect()
    gc.freeze()


def serve():
    """Answers until the input ends."""
    for line in sys.stdin:
        request = json.loads(line)
        if request.get("model"):
            answer = botocore.loaders.Loader().load_service_model("kms", "service-2")
        else:
            answer = call(request["args"], request["env"], request["cwd"])
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    # Forks must not take lines from the input that belong to this loop.
    sys.stdin = os.fdopen(os.dup(0), "r", encoding="utf-8")
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    warm()
    serve()
