"""Argument sets for `differential.py`: skeletons, JSON input, what the argument parser refuses, and settings."""

from argument_sets import DEBUG_LOG, DEFAULT_REGION, DOWNLOADS, OPERATIONS_LIST, OUTPUT_SKELETON, PYTHON, RANDOM_ENUM, Set, makes, reads

# What each operation cannot do without.
REQUIRED = {
    "cancel-key-deletion": "--key-id x",
    "create-alias": "--alias-name alias/x --target-key-id x",
    "create-key": "",
    "decrypt": "--ciphertext-blob x",
    "delete-alias": "--alias-name alias/x",
    "delete-imported-key-material": "--key-id x",
    "describe-key": "--key-id x",
    "disable-key": "--key-id x",
    "disable-key-rotation": "--key-id x",
    "enable-key": "--key-id x",
    "enable-key-rotation": "--key-id x",
    "encrypt": "--key-id x --plaintext x",
    "generate-data-key": "--key-id x",
    "generate-data-key-pair": "--key-id x --key-pair-spec RSA_2048",
    "generate-data-key-pair-without-plaintext": "--key-id x --key-pair-spec RSA_2048",
    "generate-data-key-without-plaintext": "--key-id x",
    "generate-random": "",
    "get-key-last-usage": "--key-id x",
    "get-key-policy": "--key-id x --policy-name default",
    "get-key-rotation-status": "--key-id x",
    "get-parameters-for-import": "--key-id x --wrapping-algorithm RSAES_OAEP_SHA_256 --wrapping-key-spec RSA_2048",
    "get-public-key": "--key-id x",
    "import-key-material": "--key-id x --import-token x --encrypted-key-material x",
    "list-aliases": "",
    "list-key-policies": "--key-id x",
    "list-key-rotations": "--key-id x",
    "list-resource-tags": "--key-id x",
    "put-key-policy": "--key-id x --policy-name default --policy x",
    "re-encrypt": "--ciphertext-blob x --destination-key-id x",
    "retire-grant": "",
    "revoke-grant": "--key-id x --grant-id x",
    "rotate-key-on-demand": "--key-id x",
    "schedule-key-deletion": "--key-id x",
    "tag-resource": "--key-id x --tags TagKey=a,TagValue=b",
    "untag-resource": "--key-id x --tag-keys a",
    "update-alias": "--alias-name alias/x --target-key-id x",
    "update-key-description": "--key-id x --description x",
}


def skeletons():
    """--generate-cli-skeleton and --cli-input-json."""
    for operation, required in REQUIRED.items():
        yield reads(f"{operation} --generate-cli-skeleton", newer=True, why=RANDOM_ENUM, other="enums")
        yield reads(f"{operation} {required} --generate-cli-skeleton output", newer=True, why=OUTPUT_SKELETON, other="output-skeleton")
    yield reads("describe-key --generate-cli-skeleton output")
    yield reads("describe-key --key-id '' --generate-cli-skeleton output", why=OUTPUT_SKELETON, aspects=("rc", "stdout"))
    yield reads("list-resource-tags --key-id x --generate-cli-skeleton output --query Tags[0]")
    yield reads("list-resource-tags --key-id x --generate-cli-skeleton output --output text")
    yield reads("re-encrypt --generate-cli-skeleton input", newer=True, why=RANDOM_ENUM, other="enums")
    yield reads("re-encrypt --generate-cli-skeleton bogus", newer=True)
    yield reads("describe-key --generate-cli-skeleton --key-id @{sym}")
    yield reads("describe-key --generate-cli-skeleton --output text")
    yield reads("describe-key --generate-cli-skeleton --query KeyId")
    yield reads("describe-key --generate-cli-skeleton input --no-sign-request")
    yield reads("describe-key --bogus --generate-cli-skeleton")
    inputs = [
        '{"KeyId": "@{sym}"}', '{"KeyId": "@{missing}"}', '{"KeyId": ""}', '{"KeyId": 5}', '{"KeyId": null}', '{"KeyId": ["x"]}', '{"KeyId": true}',
        '{"KeyId": 1.5}', '{"KeyId": {"a": "b"}}', '{}', '{"Bogus": 1, "KeyId": "x"}', '{"keyid": "x"}', '{"KeyId": "@{sym}", "GrantTokens": "x"}', '{"KeyId": "@{sym}", "GrantTokens": [1]}',
        '{"KeyId": "@{sym}", "GrantTokens": []}', '{"KeyId": "@{sym}", "GrantTokens": [""]}', '{"KeyId": "@{sym}", "KeyId": "@{other}"}', '{bad', '', ' ', 'null', '"x"', '5', '{"KeyId": "@{sym}"} x',
        '{"KeyId": \'x\'}', '{"KeyId": "@{sym}",}', '{"KeyId": "\\ud83e\\udd80"}', '{"KeyId": "a\\nb"}', '{"KeyId": NaN}', "file://input.json", "file://broken.json", "file://nope", "file://latin.txt", "fileb://input.json",
    ]
    for given in inputs:
        meant = {"why": PYTHON, "aspects": ("rc", "stdout")} if given in ("null", '"x"', "5") else {}
        yield reads("describe-key --cli-input-json", given, **meant)
    yield reads("describe-key --cli-input-json '{\"KeyId\": \"@{missing}\"}' --key-id @{sym}")
    yield reads("describe-key --key-id @{sym} --cli-input-json '{}'")
    yield reads("describe-key --cli-input-json")
    for given in ('{"Limit": "2"}', '{"Limit": 2}', '{"Limit": 2.5}', '{"Limit": true}', '{"Limit": 1, "Marker": "x"}', '{"Limit": 0}', '{"Limit": 99999999999}'):
        yield reads("list-aliases --cli-input-json", given)
    for given in ('{"DryRun": "yes"}', '{"DryRun": true}', '{"DryRun": 1}', '{"EncryptionContext": []}', '{"EncryptionContext": {"a": 1}}',
                  '{"EncryptionContext": {"a": null}}', '{"EncryptionContext": "a=b"}', '{"Plaintext": 5}', '{"Plaintext": null}', '{"Plaintext": ["x"]}', '{"EncryptionAlgorithm": 5, "DryRun": 1, "KeyId": 2}'):
        yield reads("encrypt --key-id @{sym} --plaintext x --cli-input-json", given) if "Plaintext" not in given else reads("encrypt --key-id @{sym} --cli-input-json", given)
    for given in ('{"Plaintext": "aGVsbG8="}', '{"Plaintext": "hello", "EncryptionContext": {"a": "b"}}'):
        yield makes("encrypt --key-id @{sym} --cli-input-json", given)


def usage():
    """What the argument parser refuses or takes."""
    key = "describe-key --key-id @{sym}"
    for words in (
        "describe-key", "describe-key --key-id", "describe-key @{sym}", "describe-key --keyid x", f"{key} --bogus", f"{key} --bogus x", f"{key} x y", f"{key} -x", f"{key} --", f"{key} -- x",
        "describe-key --key-id=@{sym}", "describe-key --key-i @{sym}", "describe-key --k @{sym}", "describe-key --key-id x --key-id @{sym}", "describe-key --key-id --bogus",
        "describe-key --key-id -1", "describe-key --key-id -x", f"{key} --grant-tokens", f"{key} --output", f"{key} --output JSON", f"{key} --output yaml", f"{key} --output ''", f"{key} --color maybe",
        f"{key} --color off", f"{key} --color auto", f"{key} --output=text", f"{key} --outp text", f"{key} --query", f"{key} --region", f"{key} --cli-read-timeout x", f"{key} --cli-connect-timeout 1.5",
        f"{key} --no-paginate", f"{key} --max-items 1", f"{key} --page-size 1", f"{key} --starting-token x", f"{key} --dry-run", f"{key} --no-verify-ssl --output text",
        f"{key} ''", "encrypt --key-id @{sym} --plaintext x --dry-run yes", "encrypt --key-id @{sym} --plaintext x --dry-run=true", "encrypt --key-id @{sym} --plaintext x --no-dry-run=false",
        "re-encrypt --dest @{sym} --ciphertext-blob x", "re-encrypt --destination-key @{other} --ciphertext-blob fileb://plain.bin", "re-encrypt --ciphertext-blob x --destination-key-id y --bogus --worse z",
        "create-alias", "create-alias --alias-name alias/x", "create-alias --target-key-id x", "schedule-key-deletion", "tag-resource --key-id x", "untag-resource --key-id x", "update-alias",
        "delete-alias", "enable-key", "disable-key", "enable-key-rotation", "disable-key-rotation", "get-key-rotation-status", "put-key-policy --policy-name default", "list-grants",
        "create-grant --grantee-principal x", "revoke-grant", "revoke-grant --key-id x", "update-key-description --key-id x", "get-parameters-for-import --key-id x", "import-key-material",
        "delete-imported-key-material", "cancel-key-deletion", "get-public-key", "encrypt --plaintext x", "encrypt --key-id x", "generate-data-key", "list-resource-tags",
        "list-key-policies", "generate-data-key-pair",
        f"{key} --profile nope", f"{key} --endpoint-url nonsense", f"{key} --endpoint-url 127.0.0.1:1", f"{key} --region ''", f"{key} --region 'no such!'",
        f"{key} --query file://query.txt", "list-keys --query file://query.txt",
    ):
        yield reads(words)
    for operation in ("describe-keys", "reencrypt", "bogus", "re-encrypt2", "ReEncrypt", "''"):
        yield reads(operation, why=OPERATIONS_LIST, other="operations")
    yield Set(("kms",))
    yield reads("--key-id x", why=OPERATIONS_LIST, other="operations")
    yield Set(("--output", "text", "kms", "describe-key", "--key-id", "@{sym}"))
    yield Set(("--region", "us-west-2", "kms", "list-keys"))
    yield Set(("--query", "KeyMetadata.Arn", "kms", "describe-key", "--key-id", "@{sym}"))
    yield Set(("kms", "--output", "table", "list-keys"))
    yield Set(("kms", "--region", "us-west-2", "list-keys", "--output", "text"))
    for words in (key, "list-keys", "list-grants --key-id @{sym}"):
        yield reads(f"{words} --output table --color on")
    yield reads(f"{key} --debug", why=DEBUG_LOG, aspects=("rc", "stdout"))
    yield reads("describe-key --key-id @{missing} --debug", why=DEBUG_LOG, aspects=("rc", "stdout"))


def settings():
    """Environment, configuration and transport."""
    key = "describe-key --key-id @{sym}"
    url = "--endpoint-url @{endpoint}"
    once = ("AWS_MAX_ATTEMPTS", "1")
    profiles = ("AWS_CONFIG_FILE", "config-profiles")
    for env in (
        (("AWS_DEFAULT_OUTPUT", "text"),), (("AWS_DEFAULT_OUTPUT", "table"),), (("AWS_DEFAULT_OUTPUT", "bogus"),), (("AWS_DEFAULT_REGION", "us-west-2"),), (profiles,),
        (profiles, ("AWS_PROFILE", "dates")), (profiles, ("AWS_DEFAULT_PROFILE", "west")), (("AWS_PROFILE", "nope"),), (("AWS_DEFAULT_PROFILE", "nope"), ("AWS_PROFILE", "default")),
        (profiles, ("AWS_DEFAULT_OUTPUT", "json")),
    ):
        yield reads("list-keys", env=env)
        yield reads(key, env=env)
    for words in ("--profile west", "--profile dates", "--profile west --region @{region}", "--profile dates --output text", "--profile nope", "--profile empty --region us-west-2 --profile west"):
        yield reads(f"list-keys {words}", env=(profiles,))
        yield reads(f"{key} {words}", env=(profiles,))
    # With an endpoint on the command line both talk to it.
    for words in ("", "--output text", "--no-verify-ssl", "--cli-read-timeout 5", "--cli-connect-timeout 5", "--cli-read-timeout 0", "--ca-bundle nope", "--no-sign-request", "--region us-west-2"):
        yield reads(f"list-aliases {url} {words}", env=(once,))
    for words in ("--endpoint-url http://127.0.0.1:1", "--endpoint-url https://127.0.0.1:1/", "--endpoint-url http://127.0.0.1:1/path"):
        yield reads(f"list-keys {words}", env=(once,))
    yield reads(f"list-keys {url}", env=(("AWS_SECRET_ACCESS_KEY", "wrong"), once))
    yield reads(f"list-keys {url}", env=(("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE"), once))
    yield reads(f"list-keys {url}", env=(("AWS_SESSION_TOKEN", "nonsense"), once))
    yield reads(f"list-keys {url}", env=(("AWS_ACCESS_KEY_ID", None), ("AWS_SECRET_ACCESS_KEY", None)))
    yield reads("list-keys --max-items 1", env=(("AWS_DEFAULT_REGION", None), ("AWS_REGION", None)), why=DEFAULT_REGION, other="region")
    for address in ("http://127.0.0.1:@{listener}/x", "https://127.0.0.1:@{listener}/x"):
        yield reads("encrypt --dry-run --key-id @{sym} --plaintext", address, why=DOWNLOADS, other="downloads")
        yield reads("describe-key --key-id", address, why=DOWNLOADS, other="downloads")


def all_sets():
    """Every set of this file, in order."""
    for group in (skeletons, usage, settings):
        yield from group()
