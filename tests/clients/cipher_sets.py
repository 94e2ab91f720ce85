"""Argument sets for `differential.py`: the cryptographic operations, and imports."""

from argument_sets import makes, reads

SHORTHAND = """
a=b
a=b,c=d
a=
a='x,y'
a="x y"
a="say \\"x\\""
a='it\\'s'
a=b=c
a=x\\,y
a=x\\y
a='x'y
a=[1,2]
a=[]
a={b=c}
a
=b
a=b,
,a=b
a=b,,c=d
a=1,a=2
a= b
 a=b
a=b c
a='
a="
a=b,c
a=b,'c'=d
a@=b
{}
{"a":"b"}
{"a": "b", "c": ""}
{"a":1}
{"a":null}
{"a":true}
{"a":["x"]}
{"a":{"b":"c"}}
{"a":"b","a":"c"}
{"":"b"}
[1]
[]
[{"a":"b"}]
{bad
{"a":"b"} x
"x"
null
5
a:b=c
a/b=c
a.b=c
aws:x=y
aws-crypto-public-key=y
a-b_c=1
KeyName1=string,KeyName2=string
(a)=b
a=(b)
a=b;c=d
a=\u00fc,\u4e2d\u6587=\U0001f980
a=$HOME
a=b}
a=b]
a=[b
a={b
""".strip("\n").split("\n")


def encrypting():
    """Encrypt: contexts in shorthand and JSON, plaintexts in every form, keys of every kind."""
    for context in SHORTHAND:
        yield makes("encrypt --key-id @{sym} --plaintext x --encryption-context", context, cross=True)
    yield makes("encrypt --key-id @{sym} --plaintext x --encryption-context file://context.json", cross=True)
    yield reads("encrypt --key-id @{sym} --plaintext x --encryption-context file://broken.json")
    yield reads("encrypt --key-id @{sym} --plaintext x --encryption-context", "")
    for plaintext in ("hello", "fileb://plain.txt", "file://plain.txt", "fileb://plain.bin", "fileb://plain-4096.bin", "file://utf8.txt",
                      "\u00fc\u4e2d", "aGVsbG8=", "fileb://$HOME/plain.txt", "fileb://~/plain.txt", "fileb://${HOME}/plain.txt", " "):
        yield makes("encrypt --key-id @{sym} --plaintext", plaintext)
    for plaintext in ("", "fileb://empty.txt", "fileb://plain-4097.bin", "file://latin.txt", "fileb://nope", "file://nope", "fileb://folder",
                      "file://folder", "fileb://", "file://", "fileb://$NOPE/x", "fileb:///dev/null"):
        yield reads("encrypt --key-id @{sym} --plaintext", plaintext)
    for key in ("@{sym-arn}", "@{sym-alias}", "@{sym-alias-arn}", "@{other}", "file://key-id.txt"):
        yield makes("encrypt --plaintext x --key-id", key)
    for key in ("@{disabled}", "@{pending}", "@{external}", "@{hmac}", "@{ecc}", "@{rsa}", "@{rsa-sign}", "@{missing}", "alias/nothing",
                "not-a-key", "", "fileb://key-id.txt", "file://key-id-newline.txt", "file://nope", "@{disabled-arn}", "x" * 2049):
        yield reads("encrypt --plaintext x --key-id", key)
    for algorithm in ("RSAES_OAEP_SHA_1", "RSAES_OAEP_SHA_256"):
        yield makes(f"encrypt --key-id @{{rsa}} --plaintext x --encryption-algorithm {algorithm}")
        yield reads(f"encrypt --key-id @{{sym}} --plaintext x --encryption-algorithm {algorithm}")
        yield reads(f"encrypt --key-id @{{rsa-sign}} --plaintext x --encryption-algorithm {algorithm}")
        yield reads(f"encrypt --key-id @{{rsa}} --plaintext x --encryption-algorithm {algorithm} --encryption-context a=b")
    yield makes("encrypt --key-id @{rsa} --plaintext x --encryption-algorithm RSAES_OAEP_SHA_256 --encryption-context {}")
    yield makes("encrypt --key-id @{rsa} --plaintext fileb://plain-190.bin --encryption-algorithm RSAES_OAEP_SHA_256")
    yield reads("encrypt --key-id @{rsa} --plaintext fileb://plain-191.bin --encryption-algorithm RSAES_OAEP_SHA_256")
    yield makes("encrypt --key-id @{sm2} --plaintext x --encryption-algorithm SM2PKE")
    yield reads("encrypt --key-id @{rsa} --plaintext x --encryption-algorithm SM2PKE")
    yield reads("encrypt --key-id @{sym} --plaintext x --encryption-algorithm BOGUS --dry-run")
    yield reads("encrypt --key-id @{sym} --plaintext x --encryption-algorithm ''")
    yield reads("encrypt --key-id @{sym} --plaintext x --dry-run")
    yield reads("encrypt --key-id @{missing} --plaintext x --dry-run")
    yield makes("encrypt --key-id @{sym} --plaintext x --dry-run --no-dry-run")
    yield reads("encrypt --key-id @{sym} --plaintext x --no-dry-run --dry-run")
    yield reads("encrypt --key-id @{sym} --plaintext x --grant-tokens nonsense")
    yield makes("encrypt --key-id @{sym} --plaintext x --grant-tokens @{token-0}")
    yield reads("encrypt --key-id @{sym} --plaintext x --grant-tokens ''")
    yield reads("encrypt --key-id @{sym} --plaintext x --grant-tokens", *[f"t{number}" for number in range(11)])
    for output in ("text", "table"):
        yield makes(f"encrypt --key-id @{{sym}} --plaintext hello --output {output}")
        yield makes(f"encrypt --key-id @{{sym}} --plaintext hello --output {output} --query CiphertextBlob")
    yield makes("encrypt --key-id @{sym} --plaintext hello --query CiphertextBlob")
    yield makes("encrypt --key-id @{sym} --plaintext hello --query [KeyId,CiphertextBlob] --output text")


def decrypting():
    """Decrypt: right and wrong blobs, contexts, keys and algorithms."""
    for words in (
        "--ciphertext-blob fileb://ct.bin", "--ciphertext-blob fileb://ct.bin --key-id @{sym}", "--ciphertext-blob fileb://ct.bin --key-id @{sym-alias}",
        "--ciphertext-blob fileb://ct.bin --key-id @{other}", "--ciphertext-blob fileb://ct.bin --key-id @{missing}",
        "--ciphertext-blob fileb://ct.bin --key-id alias/nothing", "--ciphertext-blob fileb://ct.bin --key-id @{rsa}",
        "--ciphertext-blob fileb://ct.bin --key-id @{hmac}", "--ciphertext-blob fileb://ct.bin --key-id ''",
        "--ciphertext-blob fileb://ct.bin --encryption-context a=b", "--ciphertext-blob fileb://ct.bin --encryption-context {}",
        "--ciphertext-blob fileb://ct-ab.bin --encryption-context a=b", "--ciphertext-blob fileb://ct-ab.bin",
        "--ciphertext-blob fileb://ct-ab.bin --encryption-context a=B", "--ciphertext-blob fileb://ct-ab.bin --encryption-context A=b",
        "--ciphertext-blob fileb://ct-ab.bin --encryption-context ab=", "--ciphertext-blob fileb://ct-ab.bin --encryption-context a=b,c=d",
        "--ciphertext-blob fileb://ct-context.bin --encryption-context file://context.json",
        "--ciphertext-blob fileb://ct-full.bin", "--ciphertext-blob fileb://ct-other.bin", "--ciphertext-blob fileb://ct-cut.bin",
        "--ciphertext-blob fileb://ct-longer.bin", "--ciphertext-blob fileb://ct-flipped.bin", "--ciphertext-blob fileb://ct-stranger.bin",
        "--ciphertext-blob fileb://ct-stranger.bin --key-id @{sym}", "--ciphertext-blob fileb://ct-disabled.bin", "--ciphertext-blob fileb://ct-pending.bin",
        "--ciphertext-blob fileb://ct-rotated.bin", "--ciphertext-blob fileb://ct-disabled.bin --key-id @{sym}",
        "--ciphertext-blob fileb://plain.bin", "--ciphertext-blob hello", "--ciphertext-blob ''", "--ciphertext-blob fileb://empty.txt",
        "--ciphertext-blob fileb://nope", "--ciphertext-blob file://ct.bin", "--ciphertext-blob fileb://plain-4097.bin",
        "--ciphertext-blob fileb://ct-rsa.bin", "--ciphertext-blob fileb://ct-rsa.bin --key-id @{rsa}",
        "--ciphertext-blob fileb://ct-rsa.bin --key-id @{rsa} --encryption-algorithm RSAES_OAEP_SHA_256",
        "--ciphertext-blob fileb://ct-rsa.bin --key-id @{rsa} --encryption-algorithm RSAES_OAEP_SHA_1",
        "--ciphertext-blob fileb://ct-rsa1.bin --key-id @{rsa-alias} --encryption-algorithm RSAES_OAEP_SHA_1",
        "--ciphertext-blob fileb://ct-rsa.bin --encryption-algorithm RSAES_OAEP_SHA_256",
        "--ciphertext-blob fileb://ct-rsa.bin --key-id @{rsa} --encryption-algorithm RSAES_OAEP_SHA_256 --encryption-context a=b",
        "--ciphertext-blob fileb://ct-rsa.bin --key-id @{sym} --encryption-algorithm RSAES_OAEP_SHA_256",
        "--ciphertext-blob fileb://ct.bin --key-id @{sym} --encryption-algorithm SYMMETRIC_DEFAULT",
        "--ciphertext-blob fileb://ct.bin --encryption-algorithm BOGUS",
        "--ciphertext-blob fileb://ct-sm2.bin --key-id @{sm2} --encryption-algorithm SM2PKE",
        "--ciphertext-blob fileb://ct.bin --dry-run", "--ciphertext-blob fileb://ct-flipped.bin --dry-run",
        "--ciphertext-blob fileb://ct.bin --grant-tokens nonsense", "--ciphertext-blob fileb://ct.bin --grant-tokens @{token-1}",
        "--ciphertext-blob fileb://ct.bin --recipient KeyEncryptionAlgorithm=BOGUS,AttestationDocument=x",
        "--ciphertext-blob fileb://ct.bin --recipient bogus",
        "--ciphertext-blob fileb://ct.bin --query Plaintext --output text", "--ciphertext-blob fileb://ct.bin --output text",
        "--ciphertext-blob fileb://ct.bin --output table", "--ciphertext-blob fileb://ct.bin --query [Plaintext,EncryptionAlgorithm] --output table",
    ):
        yield reads(f"decrypt {words}")
    yield reads("decrypt", newer=True)
    yield reads("decrypt --key-id @{sym}", newer=True)
    yield reads("decrypt --key-id @{sym} --dry-run --dry-run-modifiers IGNORE_CIPHERTEXT", newer=True)


def re_encrypting():
    """ReEncrypt: every parameter of the manual page."""
    source = "re-encrypt --ciphertext-blob fileb://ct.bin"
    context = "re-encrypt --ciphertext-blob fileb://ct-ab.bin"
    rsa = "re-encrypt --ciphertext-blob fileb://ct-rsa.bin"
    for words in (
        f"{source} --destination-key-id @{{other}}",
        f"{source} --destination-key-id @{{other-arn}} --source-key-id @{{sym-arn}}",
        f"{source} --destination-key-id @{{other-alias}} --source-key-id @{{sym-alias}}",
        f"{source} --destination-key-id @{{other-alias-arn}} --source-key-id @{{sym-alias-arn}}",
        f"{source} --destination-key-id @{{sym}}",
        f"{source} --destination-key-id @{{other}} --destination-encryption-context a=b,c=d",
        f"{source} --destination-key-id @{{other}} --source-encryption-context {{}}",
        f"{source} --destination-key-id @{{other}} --source-encryption-algorithm SYMMETRIC_DEFAULT --destination-encryption-algorithm SYMMETRIC_DEFAULT",
        f"{source} --destination-key-id @{{rsa}} --destination-encryption-algorithm RSAES_OAEP_SHA_256",
        f"{source} --destination-key-id @{{rsa}} --destination-encryption-algorithm RSAES_OAEP_SHA_1",
        f"{source} --destination-key-id @{{sm2}} --destination-encryption-algorithm SM2PKE",
        f"{source} --destination-key-id @{{other}} --grant-tokens @{{token-1}} @{{token-2}}",
        f"{source} --destination-key-id @{{other}} --dry-run --no-dry-run",
        f"{source} --destination-key-id @{{other}} --query CiphertextBlob --output text",
        f"{source} --destination-key-id @{{other}} --query CiphertextBlob",
        f"{source} --destination-key-id @{{other}} --output text",
        f"{source} --destination-key-id @{{other}} --output table",
        f"{source} --destination-key-id @{{other}} --query [KeyId,SourceKeyId] --output text",
        f"{source} --destination-key-id @{{other}} --query {{to:KeyId,from:SourceKeyId}} --output table",
        f"{context} --destination-key-id @{{other}} --source-encryption-context a=b",
        f"{context} --destination-key-id @{{other}} --source-encryption-context '{{\"a\": \"b\"}}' --destination-encryption-context a=b",
        f"{rsa} --destination-key-id @{{other}} --source-key-id @{{rsa}} --source-encryption-algorithm RSAES_OAEP_SHA_256",
        f"{rsa} --destination-key-id @{{rsa}} --source-key-id @{{rsa}} --source-encryption-algorithm RSAES_OAEP_SHA_256 --destination-encryption-algorithm RSAES_OAEP_SHA_1",
        "re-encrypt --ciphertext-blob fileb://ct-context.bin --source-encryption-context file://context.json --destination-key-id @{other}",
        "re-encrypt --ciphertext-blob fileb://ct-rotated.bin --destination-key-id @{rotated}",
        "re-encrypt --ciphertext-blob fileb://ct-sm2.bin --source-key-id @{sm2} --source-encryption-algorithm SM2PKE --destination-key-id @{other}",
        "re-encrypt --ciphertext-blob fileb://ct-full.bin --destination-key-id @{other}",
        "re-encrypt --cli-input-json '{\"DestinationKeyId\": \"@{other}\"}' --ciphertext-blob fileb://ct.bin",
    ):
        yield makes(words)
    for words in (
        f"{source} --destination-key-id @{{other}} --source-key-id @{{other}}",
        f"{source} --destination-key-id @{{other}} --source-key-id @{{missing}}",
        f"{source} --destination-key-id @{{other}} --source-key-id alias/nothing",
        f"{source} --destination-key-id @{{other}} --source-key-id nonsense",
        f"{source} --destination-key-id @{{other}} --source-key-id ''",
        f"{source} --destination-key-id @{{other}} --source-key-id @{{disabled}}",
        f"{source} --destination-key-id @{{other}} --source-key-id @{{rsa}}",
        f"{source} --destination-key-id @{{hmac}} --source-key-id @{{hmac}}",
        f"{source} --destination-key-id @{{missing}}",
        f"{source} --destination-key-id alias/nothing",
        f"{source} --destination-key-id nonsense",
        f"{source} --destination-key-id ''",
        f"{source} --destination-key-id @{{disabled}}",
        f"{source} --destination-key-id @{{pending}}",
        f"{source} --destination-key-id @{{external}}",
        f"{source} --destination-key-id @{{ecc}}",
        f"{source} --destination-key-id @{{rsa-sign}}",
        f"{source} --destination-key-id @{{hmac}}",
        f"{source} --destination-key-id @{{rsa}}",
        f"{source} --destination-key-id @{{rsa}} --destination-encryption-algorithm SM2PKE",
        f"{source} --destination-key-id @{{rsa}} --destination-encryption-algorithm RSAES_OAEP_SHA_256 --destination-encryption-context a=b",
        f"{source} --destination-key-id @{{other}} --destination-encryption-algorithm RSAES_OAEP_SHA_256",
        f"{source} --destination-key-id @{{other}} --source-encryption-algorithm RSAES_OAEP_SHA_256",
        f"{source} --destination-key-id @{{other}} --source-encryption-algorithm RSAES_OAEP_SHA_256 --source-key-id @{{sym}}",
        f"{source} --destination-key-id @{{other}} --source-encryption-context a=b",
        f"{source} --destination-key-id @{{other}} --dry-run",
        f"{source} --destination-key-id @{{other}} --no-dry-run --dry-run",
        f"{source} --destination-key-id @{{ecc}} --dry-run",
        f"{source} --destination-key-id @{{other}} --grant-tokens nonsense",
        f"{source} --destination-key-id @{{other}} --grant-tokens file://tokens.json",
        f"{source} --destination-key-id @{{other}} --grant-tokens '[\"a\"'",
        f"{source} --destination-key-id @{{other}} --grant-tokens '[1]'",
        f"{source} --destination-key-id arn:aws:kms:eu-south-9:@{{account}}:key/@{{missing}}",
        f"{source} --destination-key-id arn:aws:kms:@{{region}}:999999999999:key/@{{missing}}",
        f"{context} --destination-key-id @{{other}}",
        f"{context} --destination-key-id @{{other}} --source-encryption-context ab=",
        f"{context} --destination-key-id @{{other}} --source-encryption-context a=b,c=d",
        f"{context} --destination-key-id @{{other}} --destination-encryption-context a=b",
        f"{context} --destination-key-id @{{other}} --source-encryption-context a=1,a=2",
        f"{context} --destination-key-id @{{other}} --source-encryption-context a",
        f"{rsa} --destination-key-id @{{other}}",
        f"{rsa} --destination-key-id @{{other}} --source-key-id @{{rsa}}",
        f"{rsa} --destination-key-id @{{other}} --source-encryption-algorithm RSAES_OAEP_SHA_256",
        f"{rsa} --destination-key-id @{{other}} --source-key-id @{{rsa}} --source-encryption-algorithm RSAES_OAEP_SHA_1",
        f"{rsa} --destination-key-id @{{other}} --source-key-id @{{rsa}} --source-encryption-algorithm RSAES_OAEP_SHA_256 --source-encryption-context a=b",
        f"{rsa} --destination-key-id @{{other}} --source-key-id @{{rsa-sign}} --source-encryption-algorithm RSAES_OAEP_SHA_256",
        "re-encrypt --ciphertext-blob fileb://ct-full.bin --destination-key-id @{rsa} --destination-encryption-algorithm RSAES_OAEP_SHA_256",
        "re-encrypt --ciphertext-blob fileb://ct-disabled.bin --destination-key-id @{other}",
        "re-encrypt --ciphertext-blob fileb://ct-pending.bin --destination-key-id @{other}",
        "re-encrypt --ciphertext-blob fileb://ct-cut.bin --destination-key-id @{other}",
        "re-encrypt --ciphertext-blob fileb://ct-longer.bin --destination-key-id @{other}",
        "re-encrypt --ciphertext-blob fileb://ct-flipped.bin --destination-key-id @{other}",
        "re-encrypt --ciphertext-blob fileb://ct-stranger.bin --destination-key-id @{other}",
        "re-encrypt --ciphertext-blob fileb://ct-flipped.bin --destination-key-id @{other} --dry-run",
        "re-encrypt --ciphertext-blob fileb://plain.bin --destination-key-id @{other}",
        "re-encrypt --ciphertext-blob fileb://nope --destination-key-id @{other}",
        "re-encrypt --ciphertext-blob '' --destination-key-id @{other}",
        "re-encrypt --ciphertext-blob file://latin.txt --destination-key-id @{other}",
        "re-encrypt --ciphertext-blob hello --destination-key-id @{other}",
        "re-encrypt --ciphertext-blob hello",
        "re-encrypt --destination-key-id @{other} --ciphertext-blob",
        "re-encrypt --cli-input-json '{\"CiphertextBlob\": \"aGVsbG8=\", \"DestinationKeyId\": \"@{other}\"}'",
    ):
        yield reads(words)
    for words in (
        "re-encrypt", "re-encrypt --destination-key-id @{other}", "re-encrypt --source-key-id @{sym} --destination-key-id @{other} --dry-run --dry-run-modifiers IGNORE_CIPHERTEXT",
        "re-encrypt --destination-key-id @{other} --dry-run --dry-run-modifiers IGNORE_CIPHERTEXT",
        f"{source} --destination-key-id @{{other}} --dry-run-modifiers IGNORE_CIPHERTEXT",
        f"{source} --destination-key-id @{{other}} --dry-run --dry-run-modifiers IGNORE_CIPHERTEXT --source-key-id @{{other}}",
        f"{source} --destination-key-id @{{other}} --dry-run --dry-run-modifiers BOGUS",
        "re-encrypt --cli-input-json '{\"Bogus\": 1, \"DestinationKeyId\": \"x\"}'",
    ):
        yield reads(words, newer=True)


def data_keys():
    """GenerateDataKey and its relatives, GenerateRandom."""
    for words in ("--key-spec AES_256", "--key-spec AES_128", "--number-of-bytes 64", "--number-of-bytes 1024", "--key-spec AES_256 --encryption-context a=b",
                  "--number-of-bytes +32", "--number-of-bytes ' 32'"):
        yield makes(f"generate-data-key --key-id @{{sym}} {words}")
        yield makes(f"generate-data-key-without-plaintext --key-id @{{sym}} {words}")
    for words in ("", "--key-spec AES_256 --number-of-bytes 32", "--number-of-bytes 0", "--number-of-bytes 1025", "--number-of-bytes -1",
                  "--number-of-bytes x", "--number-of-bytes 1.5", "--number-of-bytes 0x10", "--number-of-bytes 99999999999999999999", "--key-spec AES_512",
                  "--key-spec AES_256 --dry-run", "--key-spec AES_256 --encryption-context a", "--key-spec AES_256 --grant-tokens nonsense"):
        yield reads(f"generate-data-key --key-id @{{sym}} {words}")
    for key in ("rsa", "hmac", "ecc", "disabled", "pending", "external", "missing"):
        yield reads(f"generate-data-key --key-spec AES_256 --key-id @{{{key}}}")
    for output in ("text", "table"):
        yield makes(f"generate-data-key --key-id @{{sym}} --key-spec AES_256 --output {output}")
        yield makes(f"generate-data-key-without-plaintext --key-id @{{sym}} --key-spec AES_256 --output {output}")
    for spec in ("RSA_2048", "ECC_NIST_P256", "ECC_NIST_P521", "ECC_SECG_P256K1", "SM2"):
        yield makes(f"generate-data-key-pair --key-id @{{sym}} --key-pair-spec {spec}")
        yield makes(f"generate-data-key-pair-without-plaintext --key-id @{{sym}} --key-pair-spec {spec} --encryption-context a=b")
    for words in ("--key-id @{sym}", "--key-pair-spec RSA_2048", "--key-id @{sym} --key-pair-spec RSA_1024", "--key-id @{rsa} --key-pair-spec RSA_2048",
                  "--key-id @{sym} --key-pair-spec RSA_2048 --dry-run", "--key-id @{disabled} --key-pair-spec RSA_2048"):
        yield reads(f"generate-data-key-pair {words}")
        yield reads(f"generate-data-key-pair-without-plaintext {words}")
    for number in ("32", "33", "1024"):
        yield makes(f"generate-random --number-of-bytes {number}")
    yield makes("generate-random --number-of-bytes 64 --output text")
    yield makes("generate-random --number-of-bytes 64 --output table")
    for words in ("", "--number-of-bytes 0", "--number-of-bytes 1025", "--number-of-bytes x", "--custom-key-store-id cks-1234567890abcdef0 --number-of-bytes 32"):
        yield reads(f"generate-random {words}")


def importing():
    """GetParametersForImport, and what imports refuse."""
    for algorithm, spec in (("RSAES_OAEP_SHA_256", "RSA_2048"), ("RSAES_OAEP_SHA_1", "RSA_3072"), ("RSA_AES_KEY_WRAP_SHA_256", "RSA_4096")):
        yield makes(f"get-parameters-for-import --key-id @{{external}} --wrapping-algorithm {algorithm} --wrapping-key-spec {spec}")
    yield makes("get-parameters-for-import --key-id @{external} --wrapping-algorithm RSAES_OAEP_SHA_256 --wrapping-key-spec RSA_2048 --output text")
    for words in ("--key-id @{sym} --wrapping-algorithm RSAES_OAEP_SHA_256 --wrapping-key-spec RSA_2048", "--key-id @{external} --wrapping-algorithm BOGUS --wrapping-key-spec RSA_2048",
                  "--key-id @{external} --wrapping-algorithm RSAES_OAEP_SHA_256 --wrapping-key-spec RSA_1024", "--key-id @{external-alias} --wrapping-algorithm RSAES_OAEP_SHA_256 --wrapping-key-spec RSA_2048",
                  "--key-id @{missing} --wrapping-algorithm RSAES_OAEP_SHA_256 --wrapping-key-spec RSA_2048"):
        yield reads(f"get-parameters-for-import {words}")
    given = "import-key-material --key-id @{external} --import-token fileb://token-a.bin --encrypted-key-material"
    for words in (f"{given} fileb://material-a.bin", f"{given} x --valid-to bogus", f"{given} x --valid-to 2030-13-45", f"{given} '' --valid-to 2030-01-01",
                  "import-key-material --key-id @{sym} --import-token x --encrypted-key-material x", f"{given} x --expiration-model BOGUS", f"{given} x --valid-to ''",
                  "delete-imported-key-material --key-id @{sym}"):
        yield reads(words)


def all_sets():
    """Every set of this file, in order."""
    for group in (encrypting, decrypting, re_encrypting, data_keys, importing):
        yield from group()
