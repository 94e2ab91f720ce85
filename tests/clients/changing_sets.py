"""Argument sets for `differential.py` that change state: each program runs them in order on twins of its own."""

from argument_sets import makes, split


def changes(words, *more, **options):
    """A step of a story, on this side's twins."""
    return makes(words, *more, **options)


def states():
    """A key through its states."""
    key = "--key-id @{one}"
    yield changes(f"disable-key {key}")
    yield changes(f"disable-key {key}")
    yield changes(f"describe-key {key}")
    yield changes(f"encrypt {key} --plaintext x")
    yield changes("decrypt --ciphertext-blob fileb://ct-@{side}.bin")
    yield changes("re-encrypt --ciphertext-blob fileb://ct-@{side}.bin --destination-key-id @{other}")
    yield changes(f"re-encrypt --ciphertext-blob fileb://ct.bin --destination-key-id {key.split()[1]}")
    yield changes(f"generate-data-key {key} --key-spec AES_256")
    yield changes(f"enable-key-rotation {key}")
    yield changes(f"create-grant {key} --grantee-principal @{{principal}} --operations Encrypt")
    yield changes(f"enable-key {key}")
    yield changes("enable-key --key-id @{one-arn}")
    yield changes("decrypt --ciphertext-blob fileb://ct-@{side}.bin --query Plaintext --output text")
    yield changes(f"schedule-key-deletion {key} --pending-window-in-days 6")
    yield changes(f"schedule-key-deletion {key} --pending-window-in-days 31")
    yield changes(f"schedule-key-deletion {key} --pending-window-in-days 0")
    yield changes(f"schedule-key-deletion {key} --pending-window-in-days x")
    yield changes(f"schedule-key-deletion {key} --pending-window-in-days 7")
    yield changes(f"schedule-key-deletion {key}")
    yield changes(f"describe-key {key}")
    yield changes("decrypt --ciphertext-blob fileb://ct-@{side}.bin")
    yield changes(f"enable-key {key}")
    yield changes(f"disable-key {key}")
    yield changes(f"tag-resource {key} --tags TagKey=a,TagValue=b")
    yield changes(f"update-key-description {key} --description late")
    yield changes(f"create-alias --alias-name @{{twin-alias}}-late --target-key-id {key.split()[1]}")
    yield changes(f"get-key-rotation-status {key}")
    yield changes(f"cancel-key-deletion {key}")
    yield changes(f"cancel-key-deletion {key}")
    yield changes(f"describe-key {key} --query KeyMetadata.[KeyState,Enabled] --output text")
    yield changes(f"enable-key {key}")
    for verb in ("enable-key", "disable-key", "cancel-key-deletion", "schedule-key-deletion", "enable-key-rotation", "disable-key-rotation"):
        yield changes(f"{verb} --key-id @{{missing}}")
        yield changes(f"{verb} --key-id @{{sym-alias}}")
        yield changes(f"{verb} --key-id nonsense")
        yield changes(f"{verb} --key-id ''")


def describing():
    """Descriptions, tags and aliases."""
    key = "--key-id @{two}"
    for description in ("new", "", "\u00fc \u4e2d\u6587 \U0001f980 \"q\" \\ /", "file://utf8.txt", "x" * 8193, "fileb://plain.txt", "file://nope"):
        yield changes(f"update-key-description {key} --description", description)
        yield changes(f"describe-key {key} --query KeyMetadata.Description")
    yield changes("update-key-description --key-id @{missing} --description x")
    for tags in (
        ("TagKey=a,TagValue=b",), ("TagKey=a,TagValue=c", "TagKey=d,TagValue="), ("TagKey=\"x y\",TagValue='p,q'",), ('[{"TagKey": "json", "TagValue": "yes"}]',),
        ("file://tags.json",), ("TagKey=a",), ("TagValue=a",), ("TagKey=a,TagValue=b,Bogus=c",), ("a=b",), ("a",), ("",), ("{}",), ("[]",), ("[1]",), ('{"TagKey": "one", "TagValue": "two"}',),
        ("TagKey=e,TagValue=1", "TagKey=e,TagValue=2"), ("TagKey=aws:x,TagValue=1",), ("TagKey=,TagValue=1",), ("TagKey=" + "k" * 129 + ",TagValue=1",), ("TagKey=k,TagValue=" + "v" * 257,),
        ("TagKey=a,TagValue=[x]",), ("TagKey=a,TagValue={x=y}",), ("TagKey=a,TagKey=b,TagValue=c",), ("TagKey=bad!chars\u00a7,TagValue=x",), tuple(f"TagKey=many{n},TagValue=x" for n in range(51)), (),
    ):
        yield changes(f"tag-resource {key} --tags", *tags)
    yield changes(f"list-resource-tags {key}")
    yield changes(f"list-resource-tags {key} --output text")
    yield changes(f"list-resource-tags {key} --output table")
    for keys in (("a",), ("a", "nothing"), ('["d"]',), ("",), ("[1]",), ()):
        yield changes(f"untag-resource {key} --tag-keys", *keys)
    yield changes(f"list-resource-tags {key} --query Tags[].TagKey")
    yield changes("tag-resource --key-id @{sym-alias} --tags TagKey=a,TagValue=b")
    yield changes("untag-resource --key-id @{missing} --tag-keys a")
    alias = "@{twin-alias}"
    for words in (
        f"create-alias --alias-name {alias} --target-key-id @{{two}}", f"create-alias --alias-name {alias} --target-key-id @{{two}}", f"list-aliases {key}", f"describe-key --key-id {alias}",
        f"encrypt --key-id {alias} --plaintext x", f"update-alias --alias-name {alias} --target-key-id @{{three-arn}}", "list-aliases --key-id @{three} --output text",
        "list-aliases --key-id @{two}", f"update-alias --alias-name {alias} --target-key-id @{{rsa-twin}}", f"update-alias --alias-name {alias} --target-key-id @{{missing}}",
        f"update-alias --alias-name {alias}-none --target-key-id @{{two}}", f"create-alias --alias-name {alias}-x --target-key-id @{{missing}}", f"create-alias --alias-name {alias}-x --target-key-id {alias}",
        "create-alias --alias-name noprefix --target-key-id @{two}", "create-alias --alias-name alias/aws/mine --target-key-id @{two}", "create-alias --alias-name 'alias/with space' --target-key-id @{two}",
        "create-alias --alias-name alias/ --target-key-id @{two}", "create-alias --alias-name '' --target-key-id @{two}", f"create-alias --alias-name {alias}/a:b_c-d --target-key-id @{{two}}",
        "create-alias --target-key-id @{two} --alias-name alias/" + "x" * 251, f"delete-alias --alias-name {alias}/a:b_c-d", f"delete-alias --alias-name {alias}", f"delete-alias --alias-name {alias}", "delete-alias --alias-name noprefix",
        f"describe-key --key-id {alias}",
    ):
        yield changes(words)


def making():
    """CreateKey in its variants; what comes of it is described and deleted."""
    for number, words in enumerate((
        "", "--description made --tags TagKey=a,TagValue=b TagKey=c,TagValue=d", "--key-spec RSA_2048 --key-usage ENCRYPT_DECRYPT", "--key-spec RSA_2048 --key-usage SIGN_VERIFY",
        "--key-spec HMAC_384 --key-usage GENERATE_VERIFY_MAC", "--key-spec ECC_NIST_P384 --key-usage SIGN_VERIFY", "--customer-master-key-spec SYMMETRIC_DEFAULT", "--origin EXTERNAL",
        "--policy file://policy.json", "--policy file://policy-lockout.json --bypass-policy-lockout-safety-check", "--cli-input-json '{\"Description\": \"from json\", \"Tags\": [{\"TagKey\": \"a\", \"TagValue\": \"b\"}]}'",
        "--no-multi-region --no-bypass-policy-lockout-safety-check",
    )):
        made = f"made-{number}"
        yield changes(f"create-key {words}", keep=((made, "KeyMetadata.KeyId"),))
        yield changes(f"describe-key --key-id @{{{made}}}")
        yield changes(f"get-key-policy --policy-name default --output text --query Policy --key-id @{{{made}}}")
        yield changes(f"schedule-key-deletion --pending-window-in-days 7 --key-id @{{{made}}}")
    yield changes("create-key --query KeyMetadata.KeyId --output text", keep=(("made-text", None),))
    yield changes("schedule-key-deletion --key-id @{made-text} --output text")
    yield changes("create-key --query KeyMetadata.KeyId", keep=(("made-query", ""),))
    yield changes("schedule-key-deletion --key-id @{made-query} --pending-window-in-days 10 --query [KeyState,PendingWindowInDays]")
    for words in (
        "--key-spec BOGUS", "--key-usage BOGUS", "--origin BOGUS", "--key-spec RSA_2048", "--key-spec HMAC_256", "--key-spec RSA_2048 --key-usage GENERATE_VERIFY_MAC", "--key-usage SIGN_VERIFY",
        "--key-spec HMAC_256 --key-usage ENCRYPT_DECRYPT", "--key-spec ECC_NIST_P256 --key-usage ENCRYPT_DECRYPT", "--key-spec RSA_2048 --key-usage ENCRYPT_DECRYPT --customer-master-key-spec RSA_2048",
        "--tags TagKey=a", "--tags TagKey=a,TagValue=b TagKey=a,TagValue=c", "--tags TagKey=aws:a,TagValue=b", "--policy ''", "--policy nonsense", "--policy {}", "--policy file://policy-lockout.json",
        "--policy file://policy-broken.json", "--policy file://policy-wrong.json", "--policy file://policy-huge.json", "--policy file://nope", "--multi-region", "--custom-key-store-id cks-1234567890abcdef0",
        "--origin AWS_CLOUDHSM", "--origin EXTERNAL --key-spec HMAC_256", "--bogus", "--description", "--tags", "--cli-input-json '{\"Tags\": {}}'", "--cli-input-json '{\"Bogus\": {}}'", "--cli-input-json '{\"MultiRegion\": \"x\"}'",
    ):
        yield changes(f"create-key {words}")
    yield changes("create-key --description", "x" * 8193)


def policies():
    """Key policies."""
    key = "--key-id @{three}"
    put = f"put-key-policy {key} --policy-name default --policy"
    yield changes(f"get-key-policy {key} --policy-name default")
    for policy in ("file://policy-more.json", "file://policy-lockout.json", "file://policy-broken.json", "file://policy-wrong.json", "file://policy-huge.json", "file://nope", "", "{}", "nonsense", "[]", "5",
                   "file://policy.json --bypass-policy-lockout-safety-check", "file://policy.json --no-bypass-policy-lockout-safety-check"):
        first, _, rest = policy.partition(" ")
        yield changes(put, first, *split(rest))
        yield changes(f"get-key-policy {key} --policy-name default --query Policy --output text")
    yield changes(f"put-key-policy {key} --policy-name other --policy file://policy.json")
    yield changes("put-key-policy --key-id @{missing} --policy-name default --policy file://policy.json")
    yield changes("put-key-policy --key-id @{sym-alias} --policy-name default --policy file://policy.json")
    yield changes("put-key-policy --key-id @{three-arn} --policy-name default --policy file://policy.json")
    yield changes("put-key-policy --key-id nonsense --policy-name default --policy file://policy.json")
    yield changes(f"list-key-policies {key} --output text")


def grants():
    """Grants."""
    key = "--key-id @{four}"
    create = f"create-grant {key} --grantee-principal @{{principal}}"
    for number, words in enumerate((
        "--operations Encrypt", "--operations Encrypt Decrypt --name first", "--operations Encrypt Decrypt --name first", '--operations \'["ReEncryptFrom", "ReEncryptTo"]\'',
        "--operations Decrypt --constraints EncryptionContextSubset={a=b}", "--operations Decrypt --constraints EncryptionContextEquals={a=b,c=d}", "--operations Decrypt --constraints '{\"EncryptionContextEquals\": {\"a\": \"b c\"}}'",
        "--operations DescribeKey RetireGrant --retiring-principal @{principal}", "--operations GenerateDataKey --constraints EncryptionContextSubset={}",
    )):
        yield changes(f"{create} {words}", keep=((f"made-grant-{number}", "GrantId"), (f"made-token-{number}", "GrantToken")))
    yield changes(f"{create} --operations Encrypt --output text")
    yield changes(f"{create} --operations Encrypt --output table")
    yield changes(f"{create} --operations Encrypt --query length(GrantId)")
    for words in (
        "--operations Bogus", "--operations", "--operations ''", "--operations Sign", "--operations GenerateMac", "--operations Encrypt --constraints a", "--operations Encrypt --constraints Bogus={}",
        "--operations Encrypt --constraints EncryptionContextSubset=a", "--operations Encrypt --constraints EncryptionContextSubset={a}", "--operations Encrypt --constraints EncryptionContextSubset={a=b", "--operations Encrypt --constraints {bad",
        "--operations Encrypt --constraints EncryptionContextSubset=[a]", "--operations Encrypt --constraints '{\"EncryptionContextEquals\": {\"a\": 1}}'", "--operations Encrypt --name ''", "--operations Encrypt --name 'bad name!'",
        "--operations Encrypt --dry-run", "--operations Encrypt --retiring-principal nobody", "--operations Encrypt --retiring-principal ''", "--operations Encrypt --grant-tokens nonsense",
        "--operations '[1]'", "--operations Encrypt --constraints EncryptionContextSubset={a=b},EncryptionContextEquals={a=b}",
    ):
        yield changes(f"{create} {words}")
    yield changes(f"{create} --operations Encrypt --constraints", "EncryptionContextSubset={" + ",".join(f"k{n}=v" for n in range(9)) + "}")
    for words in ("--grantee-principal nobody", "--grantee-principal ''", "--grantee-principal arn:aws:iam::@{account}:user/no-such-user", "--grantee-principal arn:aws:s3:::bucket"):
        yield changes(f"create-grant {key} --operations Encrypt {words}")
    yield changes("create-grant --key-id @{rsa-twin} --grantee-principal @{principal} --operations Decrypt --constraints EncryptionContextSubset={a=b}")
    yield changes("create-grant --key-id @{rsa-twin} --grantee-principal @{principal} --operations Decrypt Encrypt GetPublicKey")
    yield changes("create-grant --key-id @{rsa-twin} --grantee-principal @{principal} --operations GenerateDataKey")
    yield changes("create-grant --key-id @{missing} --grantee-principal @{principal} --operations Encrypt")
    yield changes("create-grant --key-id @{sym-alias} --grantee-principal @{principal} --operations Encrypt")
    yield changes(f"list-grants {key} --query 'Grants[].[Name,Operations,Constraints,GranteePrincipal,RetiringPrincipal,IssuingAccount]'")
    yield changes(f"list-grants {key} --query Grants[].[Name,Operations[0]] --output text")
    yield changes(f"list-grants {key} --grant-id @{{made-grant-1}}")
    yield changes(f"encrypt {key} --plaintext x --grant-tokens @{{made-token-0}}")
    yield changes("encrypt --key-id @{other} --plaintext x --grant-tokens @{made-token-0}")
    yield changes(f"revoke-grant {key} --grant-id @{{made-grant-0}} --dry-run")
    yield changes(f"revoke-grant {key} --grant-id @{{made-grant-0}}")
    yield changes(f"revoke-grant {key} --grant-id @{{made-grant-0}}")
    yield changes(f"encrypt {key} --plaintext x --grant-tokens @{{made-token-0}}")
    yield changes(f"revoke-grant {key} --grant-id nonsense")
    yield changes(f"revoke-grant {key} --grant-id ''")
    yield changes("revoke-grant --key-id @{missing} --grant-id @{made-grant-1}")
    yield changes("revoke-grant --key-id @{other} --grant-id @{made-grant-1}")
    yield changes("retire-grant --grant-token @{made-token-7}")
    yield changes("retire-grant --grant-token @{made-token-7}")
    yield changes("retire-grant --key-id @{four-arn} --grant-id @{made-grant-3}")
    yield changes("retire-grant")
    yield changes("retire-grant --grant-token nonsense")
    yield changes("retire-grant --key-id @{four-arn}")
    yield changes("retire-grant --grant-id @{made-grant-1}")
    yield changes("retire-grant --key-id nonsense --grant-id @{made-grant-1}")
    yield changes(f"list-grants {key} --query length(Grants)")


def rotating():
    """Rotation, and that old ciphertexts can still be read and rewrapped."""
    key = "--key-id @{five}"
    yield changes(f"encrypt {key} --plaintext before", save="before-@{side}.bin")
    yield changes(f"get-key-rotation-status {key}")
    yield changes(f"enable-key-rotation {key}")
    yield changes(f"enable-key-rotation {key}")
    yield changes(f"get-key-rotation-status {key}")
    yield changes(f"enable-key-rotation {key} --rotation-period-in-days 90", newer=True)
    yield changes(f"enable-key-rotation {key} --rotation-period-in-days 89", newer=True)
    yield changes(f"enable-key-rotation {key} --rotation-period-in-days 2561", newer=True)
    yield changes(f"get-key-rotation-status {key} --query [KeyRotationEnabled,RotationPeriodInDays]", newer=True)
    yield changes(f"disable-key-rotation {key}")
    yield changes(f"get-key-rotation-status {key}")
    yield changes(f"rotate-key-on-demand {key}", newer=True)
    yield changes(f"list-key-rotations {key} --query Rotations[].[KeyMaterialState,RotationType]", newer=True)
    yield changes(f"list-key-rotations {key} --include-key-material ALL_KEY_MATERIAL --query Rotations[].KeyMaterialState --output text", newer=True)
    yield changes("decrypt --ciphertext-blob fileb://before-@{side}.bin --query Plaintext")
    yield changes(f"re-encrypt --ciphertext-blob fileb://before-@{{side}}.bin --destination-key-id {key.split()[1]}", save="after-@{side}.bin")
    yield changes("decrypt --ciphertext-blob fileb://after-@{side}.bin --query Plaintext")
    yield changes("rotate-key-on-demand --key-id @{rsa-twin}", newer=True)
    yield changes("rotate-key-on-demand --key-id @{missing}", newer=True)
    yield changes("rotate-key-on-demand --key-id @{disabled}", newer=True)
    for verb in ("enable-key-rotation", "disable-key-rotation"):
        for other in ("rsa", "hmac", "external", "pending", "disabled"):
            yield changes(f"{verb} --key-id @{{{other}}}")


def importing():
    """Imported key material, with dates."""
    key = "--key-id @{import-twin}"
    given = f"import-key-material {key} --import-token fileb://token-@{{side}}.bin --encrypted-key-material fileb://material-@{{side}}.bin"
    yield changes(f"encrypt {key} --plaintext x")
    yield changes(f"{given}")
    yield changes(f"{given} --expiration-model KEY_MATERIAL_EXPIRES")
    yield changes(f"import-key-material {key} --import-token x --encrypted-key-material fileb://material-@{{side}}.bin --expiration-model KEY_MATERIAL_DOES_NOT_EXPIRE")
    yield changes(f"import-key-material {key} --import-token fileb://token-@{{side}}.bin --encrypted-key-material x --expiration-model KEY_MATERIAL_DOES_NOT_EXPIRE")
    yield changes(f"{given} --expiration-model KEY_MATERIAL_EXPIRES --valid-to 2001-01-01")
    for date in ("2030-01-01", "2030-01-01T12:30:00Z", "2030-01-01T12:30:00+02:00", "2030-01-01 12:30", "1893456000", "1893456000.5", "Jan 2 2030", "20300101T000000Z"):
        yield changes(f"{given} --expiration-model KEY_MATERIAL_EXPIRES --valid-to", date)
        yield changes(f"describe-key {key} --query KeyMetadata.[KeyState,ExpirationModel,ValidTo]", dates=True)
    yield changes(f"{given} --expiration-model KEY_MATERIAL_DOES_NOT_EXPIRE")
    yield changes(f"describe-key {key}")
    yield changes(f"encrypt {key} --plaintext x", save="imported-@{side}.bin")
    yield changes(f"delete-imported-key-material {key}")
    yield changes(f"describe-key {key} --query KeyMetadata.KeyState")
    yield changes("decrypt --ciphertext-blob fileb://imported-@{side}.bin")
    yield changes(f"{given} --expiration-model KEY_MATERIAL_DOES_NOT_EXPIRE")
    yield changes("decrypt --ciphertext-blob fileb://imported-@{side}.bin --query Plaintext")


def all_sets():
    """Every set of this file, in the order in which each side runs them."""
    for group in (states, describing, making, policies, grants, rotating, importing):
        yield from group()

