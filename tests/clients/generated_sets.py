"""Argument sets for `differential.py` that a generator with a fixed seed puts together from right and wrong parts."""

import random

from argument_sets import Set, makes, reads
from listing_sets import CRASHES, QUERIES

SEED = 20260102
COUNT = 150

KEYS = ["@{sym}", "@{other-arn}", "@{sym-alias}", "@{other-alias-arn}", "@{rsa}", "@{hmac}", "@{disabled}", "@{pending}", "@{missing}", "alias/nothing", "x", ""]
BLOBS = ["fileb://ct.bin", "fileb://ct-ab.bin", "fileb://ct-other.bin", "fileb://ct-rsa.bin", "fileb://ct-rsa1.bin", "fileb://ct-cut.bin", "fileb://ct-disabled.bin", "hello", ""]
CONTEXTS = ["a=b", "a=b,c=d", '{"a": "b"}', "{}", "ab=", "a", "file://context.json", "a=1,a=2"]
ALGORITHMS = ["SYMMETRIC_DEFAULT", "RSAES_OAEP_SHA_256", "RSAES_OAEP_SHA_1", "SM2PKE", "BOGUS"]
PLAINTEXTS = ["hello", "fileb://plain.bin", "fileb://plain-191.bin", "file://utf8.txt", "", "fileb://nope"]
LETTERS = "ab=, '\"\\{}[]:@\u00fc"
OUTPUTS = ["json", "text", "table"]

# Operation -> option -> the values that it is given; the first ones are taken most often.
OPERATIONS = {
    "re-encrypt": {
        "ciphertext-blob": BLOBS, "destination-key-id": KEYS, "source-key-id": KEYS, "source-encryption-context": CONTEXTS, "destination-encryption-context": CONTEXTS,
        "source-encryption-algorithm": ALGORITHMS, "destination-encryption-algorithm": ALGORITHMS, "grant-tokens": ["@{token-1}", "nonsense"], "dry-run": None,
    },
    "encrypt": {"key-id": KEYS, "plaintext": PLAINTEXTS, "encryption-context": CONTEXTS, "encryption-algorithm": ALGORITHMS, "grant-tokens": ["@{token-0}", "nonsense"], "dry-run": None},
    "decrypt": {"ciphertext-blob": BLOBS, "key-id": KEYS, "encryption-context": CONTEXTS, "encryption-algorithm": ALGORITHMS, "dry-run": None},
    "generate-data-key": {"key-id": KEYS, "key-spec": ["AES_256", "AES_128", "BOGUS"], "number-of-bytes": ["32", "64", "0"], "encryption-context": CONTEXTS, "dry-run": None},
    "describe-key": {"key-id": KEYS, "grant-tokens": ["@{token-2}", "nonsense"]},
    "list-grants": {"key-id": KEYS, "limit": ["1", "2", "0"], "max-items": ["1", "2"], "page-size": ["1", "2"], "grant-id": ["@{grant-1}", "x"]},
    "list-aliases": {"key-id": KEYS, "limit": ["3", "100"], "max-items": ["2", "5"], "page-size": ["1", "4"]},
    "list-keys": {"limit": ["3", "100"], "max-items": ["2", "5"], "page-size": ["1", "4"]},
}
# These answer with something random when all is well.
RANDOM = ("re-encrypt", "encrypt", "generate-data-key")
REQUIRED = {
    "re-encrypt": ("ciphertext-blob", "destination-key-id"), "encrypt": ("key-id", "plaintext"), "decrypt": ("ciphertext-blob",), "generate-data-key": ("key-id",), "describe-key": ("key-id",),
    "list-grants": ("key-id",), "list-aliases": (), "list-keys": (),
}


def pick(dice, values):
    """One of the values, the first ones more often."""
    return values[min(int(dice.expovariate(3 / len(values))), len(values) - 1)]


def one(dice):
    """One set."""
    operation = dice.choice(list(OPERATIONS) + ["re-encrypt"] * 4)
    options = []
    for option, values in OPERATIONS[operation].items():
        if option not in REQUIRED[operation] and dice.random() > 0.35:
            continue
        if values is None:
            options.append((dice.choice(("--dry-run", "--no-dry-run")),))
        elif dice.random() < 0.2:
            options.append((f"--{option}={pick(dice, values)}",))
        else:
            options.append((f"--{option}", pick(dice, values)))
    if dice.random() < 0.5:
        options.append(("--output", dice.choice(OUTPUTS)))
    if dice.random() < 0.15:
        options.append(("--query", dice.choice([query for query in QUERIES if query not in CRASHES])))
    dice.shuffle(options)
    args = ("kms", operation, *(word for option in options for word in option))
    return Set(args, exact=operation not in RANDOM)


def contexts(dice):
    """Encryption contexts of letters that mean something to the shorthand parser."""
    for _ in range(40):
        text = "".join(dice.choice(LETTERS) for _ in range(dice.randint(1, 9)))
        yield makes("encrypt --key-id @{sym} --plaintext x --encryption-context", text, cross=True)


def tags(dice):
    """Lists of structures of such letters."""
    for _ in range(20):
        text = "".join(dice.choice(LETTERS + "TagKey") for _ in range(dice.randint(0, 6)))
        yield reads("create-key --key-spec BOGUS --tags", f"TagKey=a,TagValue={text}")


def all_sets():
    """Every generated set; the same ones each time."""
    dice = random.Random(SEED)
    for _ in range(COUNT):
        yield one(dice)
    yield from contexts(dice)
    yield from tags(dice)
