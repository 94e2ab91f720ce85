"""Twelve ReEncrypt calls whose answers the service's rules leave no doubt about, against rekeyfs and moto's server.

    rekeyfs serve -- PYTHON tests/clients/cases.py

PYTHON has boto3 and moto[server]. Environment: ENDPOINT (else AWS_ENDPOINT_URL_KMS), and credentials and Region as `rekeyfs serve -- CMD`
sets them. Prints a table; exits 1 unless rekeyfs is right in all twelve.
"""

import sys

sys.dont_write_bytecode = True

import boto3
from botocore.exceptions import ClientError

from support import Checks, endpoint, moto_server, one_line, setting

PLAINTEXT = b"a data key of 32 bytes, more or l"
MISSING = "11111111-2222-3333-4444-555555555555"


class Keys:
    """The keys that the cases use, at one endpoint."""

    def __init__(self, kms):
        make = lambda **parameters: kms.create_key(**parameters)["KeyMetadata"]["Arn"]
        self.source, self.destination, self.other = make(), make(), make()
        self.rsa = make(KeySpec="RSA_2048", KeyUsage="ENCRYPT_DECRYPT")
        self.signing = make(KeySpec="RSA_2048", KeyUsage="SIGN_VERIFY")
        self.disabled, self.pending = make(), make()
        encrypt = lambda key, **more: kms.encrypt(KeyId=key, Plaintext=PLAINTEXT, **more)["CiphertextBlob"]
        self.plain = encrypt(self.source)
        self.context = encrypt(self.source, EncryptionContext={"a": "bc"})
        self.of_disabled, self.of_pending = encrypt(self.disabled), encrypt(self.pending)
        # moto's server knows key IDs only here.
        kms.disable_key(KeyId=self.disabled.split("/")[1])
        kms.schedule_key_deletion(KeyId=self.pending.split("/")[1], PendingWindowInDays=7)


# Case, what the service answers (a blob, or an exception), and ReEncrypt's parameters.
CASES = [
    ("SourceKeyId omitted", "blob", lambda k: {"CiphertextBlob": k.plain}),
    ("context missing", "InvalidCiphertextException", lambda k: {"CiphertextBlob": k.context}),
    ('context {"a":"bc"} given as {"ab":"c"}', "InvalidCiphertextException", lambda k: {"CiphertextBlob": k.context, "SourceEncryptionContext": {"ab": "c"}}),
    ("SourceKeyId is another key", "IncorrectKeyException", lambda k: {"CiphertextBlob": k.plain, "SourceKeyId": k.other}),
    ("SourceKeyId does not exist", "NotFoundException", lambda k: {"CiphertextBlob": k.plain, "SourceKeyId": MISSING}),
    ("algorithm does not fit the destination", "InvalidKeyUsageException", lambda k: {"CiphertextBlob": k.plain, "DestinationEncryptionAlgorithm": "RSAES_OAEP_SHA_256"}),
    ("RSA destination, algorithm omitted", "InvalidKeyUsageException", lambda k: {"CiphertextBlob": k.plain, "DestinationKeyId": k.rsa}),
    ("destination is a SIGN_VERIFY key", "InvalidKeyUsageException", lambda k: {"CiphertextBlob": k.plain, "DestinationKeyId": k.signing, "DestinationEncryptionAlgorithm": "RSAES_OAEP_SHA_256"}),
    ("source key is disabled", "DisabledException", lambda k: {"CiphertextBlob": k.of_disabled}),
    ("source key is pending deletion", "KMSInvalidStateException", lambda k: {"CiphertextBlob": k.of_pending}),
    ("DryRun", "DryRunOperationException", lambda k: {"CiphertextBlob": k.plain, "DryRun": True}),
    ("grant token is nonsense", "InvalidGrantTokenException", lambda k: {"CiphertextBlob": k.plain, "GrantTokens": ["nonsense"]}),
]


def answer(kms, keys, parameters):
    """What an endpoint says to one call: `blob` if that decrypts to the plaintext, or the exception."""
    try:
        said = kms.re_encrypt(**{"DestinationKeyId": keys.destination, **parameters})
    except ClientError as error:
        return error.response["Error"]["Code"]
    try:
        opened = kms.decrypt(CiphertextBlob=said["CiphertextBlob"])["Plaintext"]
    except ClientError as error:
        return f"blob, then {error.response['Error']['Code']}"
    return "blob" if opened == PLAINTEXT and said["KeyId"] == parameters.get("DestinationKeyId", keys.destination) else "wrong blob"


def answers(kms):
    """All answers of one endpoint, in order."""
    keys = Keys(kms)
    found = []
    for _, _, parameters in CASES:
        try:
            found.append(answer(kms, keys, parameters(keys)))
        except Exception as error:  # an answer that no client can read is an answer too
            found.append(one_line(f"{type(error).__name__}: {error}", 60))
    return found


def main():
    checks = Checks()
    region = setting("AWS_DEFAULT_REGION")
    ours = answers(boto3.client("kms", endpoint_url=endpoint(), region_name=region))
    with moto_server() as url:
        moto = answers(boto3.client("kms", endpoint_url=url, region_name=region, aws_access_key_id="none", aws_secret_access_key="none"))
    rows = [("case", "expected", "rekeyfs", "moto")]
    rows += [(case, expected, one, other) for (case, expected, _), one, other in zip(CASES, ours, moto)]
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip())
    right = lambda found: sum(said == expected for said, (_, expected, _) in zip(found, CASES))
    print(f"right: rekeyfs {right(ours)} of {len(CASES)}, moto {right(moto)} of {len(CASES)}")
    for (case, expected, _), said in zip(CASES, ours):
        checks.equal(case, said, expected)
    checks.close()


if __name__ == "__main__":
    main()
