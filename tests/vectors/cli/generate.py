"""Writes expected/ and random.jsonl with the formatters of the awscli that this Python imports.

Run it with an interpreter whose awscli is 1.31.13. documents/ is written by hand:

    title          the operation, the title of tables
    response       what is printed, also if --query has made it, or
    pages, result  the responses to a listing and the member that is its list, with
    max_items, starting_token
    width          of the terminal; 80 if missing
    colour         true if the table is wanted in colour, too

For each document and format (json, text, table, colour) expected/ has the bytes of standard output
in NAME.FORMAT, and the message in NAME.FORMAT.error if the CLI fails.
"""

import copy
import io
import json
import pathlib
import random
import sys
from types import SimpleNamespace

import awscli.table
import colorama
from awscli.formatter import get_formatter
from botocore.paginate import Paginator

HERE = pathlib.Path(__file__).parent
FORMATS = ("json", "text", "table")


def listing(document):
    """The page iterator of a client that answers with the pages of `document`."""

    def answer(Marker=None):
        markers = [None] + [page.get("NextMarker") for page in document["pages"]]
        return copy.deepcopy(document["pages"][markers.index(Marker)])

    rules = {
        "input_token": "Marker",
        "output_token": "NextMarker",
        "more_results": "Truncated",
        "limit_key": "Limit",
        "result_key": document["result"],
    }
    wanted = {
        "MaxItems": document.get("max_items"),
        "StartingToken": document.get("starting_token"),
    }
    return Paginator(answer, rules, None).paginate(PaginationConfig=wanted)


def printed(format, title, response, width, query=None):
    """Standard output and the message of the error, if any."""
    awscli.table.determine_terminal_width = lambda: width
    settings = SimpleNamespace(query=query, color="on" if format == "colour" else "off")
    terminal, sys.stdout = sys.stdout, io.StringIO()
    stream, error = sys.stdout, None
    try:
        formatter = get_formatter("table" if format == "colour" else format, settings)
        formatter(title, response)
    except Exception as e:
        error = str(e)
    finally:
        colorama.deinit()
        sys.stdout = terminal
    return stream.getvalue(), error


def printed_value(format, title, value, width):
    """As `printed`; `value` is the result of a query, since a response is always a structure."""
    query = SimpleNamespace(search=lambda response: copy.deepcopy(value))
    return printed(format, title, {}, width, query)


def write_expected():
    folder = HERE / "expected"
    folder.mkdir(exist_ok=True)
    for old in folder.iterdir():
        old.unlink()
    for path in sorted((HERE / "documents").iterdir()):
        document = json.loads(path.read_text("utf-8"))
        title, width = document["title"], document.get("width", 80)
        for format in FORMATS + (("colour",) if document.get("colour") else ()):
            if "pages" in document:
                output, error = printed(format, title, listing(document), width)
            else:
                output, error = printed_value(format, title, document["response"], width)
            target = folder / f"{path.stem}.{format}"
            target.write_bytes(output.encode("utf-8"))
            if error is not None:
                target.with_name(target.name + ".error").write_bytes(error.encode("utf-8"))


STRINGS = [
    "", "a", "it's", 'say "x"', "two\nlines", "tab\there", "back\\slash", "None",
    "é", "ä", "한글 키", "ключ", "😀", "\u200b", "\x7f", "e\u0301",
    "arn:aws:kms:us-east-2:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab",
]  # fmt: skip
NUMBERS = [0, 1, -7, 2**53, 0.0, 0.5, 1757659131.871, 1e16, 1.5e-07, 1e-4, -2.0]
NAMES = ["a", "B", "KeyId", "Tags", "é", "名", "a longer name"]


def scalar(dice):
    return dice.choice(
        [dice.choice(STRINGS), dice.choice(STRINGS), dice.choice(NUMBERS), True, False, None]
    )


def value(dice, depth):
    shape = dice.random()
    if depth == 0 or shape < 0.2:
        return scalar(dice)
    if shape < 0.45:
        names = dice.sample(NAMES, dice.randint(0, 4))
        return {name: value(dice, depth - 1) for name in names}
    if shape < 0.7:
        # Structures with much the same members, as lists of an API have.
        names = dice.sample(NAMES, dice.randint(1, 4))
        return [
            {name: value(dice, max(0, depth - 2)) for name in names if dice.random() < 0.8}
            for _ in range(dice.randint(1, 4))
        ]
    if shape < 0.9:
        length = dice.randint(1, 3)
        return [[scalar(dice) for _ in range(length)] for _ in range(dice.randint(1, 3))]
    return [value(dice, depth - 1) for _ in range(dice.randint(0, 4))]


def indexes_a_list(found):
    """Whether a table would take numbers in a list for its keys; nobody asks for that."""
    if isinstance(found, dict):
        return any(map(indexes_a_list, found.values()))
    if not isinstance(found, list):
        return False
    numbers = [item for item in found if isinstance(item, list) and isinstance((item + [""])[0], int)]
    if numbers and isinstance(found[0], dict):
        return True
    return any(map(indexes_a_list, found))


def write_random():
    dice = random.Random("rekeyfs")
    lines = []
    while len(lines) < 200:
        found = value(dice, dice.randint(1, 3))
        width = dice.choice([20, 40, 80, 80, 200])
        if indexes_a_list(found):
            continue
        case = {"value": found, "width": width}
        for format in FORMATS:
            case[format] = printed_value(format, "Random", found, width)
        lines.append(json.dumps(case, ensure_ascii=True) + "\n")
    (HERE / "random.jsonl").write_text("".join(lines), "utf-8")


if __name__ == "__main__":
    write_expected()
    write_random()
