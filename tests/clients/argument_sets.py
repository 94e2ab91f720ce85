"""What an argument set of `differential.py` is.

`@{name}` in an argument stands for a value of the fixtures. See `Set` for what is compared.
"""

import dataclasses
import shlex


@dataclasses.dataclass(frozen=True)
class Set:
    """One command, as arguments behind the program's name.

    `exact`: outputs are equal byte by byte (the program's own name aside). Otherwise key ids of twins,
        random ids, blobs and dates are put aside first.
    `dates`: where not exact, dates are compared nevertheless.
    `newer`: the command names something newer than the CLI. The same CLI then gets the current API model.
        (What an answer has that is newer is found by `differential.py` itself.)
    `why`: a difference from the CLI that is meant, and its reason; then only `aspects` are compared, or
        `other` names the check of `differential.py` that takes the comparison's place.
    `keep`: placeholder -> member path in the JSON answer (or None: the whole output) for later sets.
    `save`: the answer's CiphertextBlob goes into this file.
    `cross`: Encrypt only: rekeyfs must decrypt the CLI's blob under the same context argument.
    """

    args: tuple
    exact: bool = True
    dates: bool = False
    newer: bool = False
    env: tuple = ()
    why: str = ""
    aspects: tuple = ("rc", "stdout", "stderr")
    other: str = ""
    keep: tuple = ()
    save: str = ""
    cross: bool = False

    @property
    def name(self):
        """The command as one would type it."""
        variables = [f"{name}={value}" for name, value in self.env if value is not None]
        return " ".join([*variables, shlex.join(self.args)])


def split(words):
    """A command line into arguments, as a shell does."""
    return tuple(shlex.split(words))


def reads(words, *more, **options):
    """A set whose answer is the same for both, byte by byte."""
    return Set(("kms", *split(words), *more), **options)


def makes(words, *more, **options):
    """A set whose answer has something random in it."""
    return Set(("kms", *split(words), *more), exact=False, **options)


# Why some differences are meant.
OUTPUT_SKELETON = "most output skeletons of the AWS CLI fail its own validation, and none is printed"
DOWNLOADS = "the AWS CLI v1 downloads a parameter that looks like an http or https address"
RANDOM_ENUM = "the AWS CLI v1 puts a random member of an enum into an input skeleton"
OPERATIONS_LIST = "the list of operations is each program's own"
PYTHON = "the AWS CLI shows an error of its own Python code"
DEBUG_LOG = "--debug prints each program's own log on stderr"
DEFAULT_REGION = "rekeyfs has a default Region, and without an endpoint needs no credentials"
