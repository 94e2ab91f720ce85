"""The keys, aliases, grants, ciphertexts and files that the argument sets of `differential.py` name.

`Fixtures.shared` holds what both programs read. `Fixtures.sides` holds, for each of the two programs,
twins: keys of its own that were made alike, for what changes state. Names of one side are as long as
the other's, so that tables come out alike.
"""

import json
import os
import pathlib
import subprocess

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding

MISSING = "11111111-2222-3333-4444-555555555555"
PLAINTEXT = b"The quick brown fox\n"
CONTEXT = {"purpose": "test", "Purpose": "other", "k\u00fc": "\u4e2d\u6587 and more"}
SIDES = ("a", "b")
TWINS = ("one", "two", "three", "four", "five")


def policy(account, *more):
    """The default key policy of an account with more statements, as a JSON text."""
    root = {
        "Sid": "Enable IAM User Permissions",
        "Effect": "Allow",
        "Principal": {"AWS": f"arn:aws:iam::{account}:root"},
        "Action": "kms:*",
        "Resource": "*",
    }
    return json.dumps({"Version": "2012-10-17", "Id": "key-default-1", "Statement": [root, *more]})


class Fixtures:
    """Everything that the argument sets name, made over HTTP by boto3."""

    def __init__(self, kms, folder, endpoint, region):
        self.kms = kms
        self.folder = pathlib.Path(folder)
        self.shared = {"endpoint": endpoint, "region": region, "missing": MISSING, "folder": str(folder)}
        self.sides = {side: {"side": side} for side in SIDES}
        self.make_keys()
        self.make_grants()
        self.make_rotations()
        self.make_ciphertexts()
        self.make_files()
        self.make_twins()
        self.make_imports()

    def values(self, side):
        """What the placeholders of an argument set stand for on one side."""
        return {**self.shared, **self.sides[side]}

    def write(self, name, content):
        """Writes a file into the folder that commands run in."""
        path = self.folder / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())

    def key(self, name, alias=True, **parameters):
        """Makes a key that both programs name."""
        made = self.kms.create_key(**parameters)["KeyMetadata"]
        self.shared[name] = made["KeyId"]
        self.shared[f"{name}-arn"] = made["Arn"]
        if alias:
            self.kms.create_alias(AliasName=f"alias/shared-{name}", TargetKeyId=made["KeyId"])
            self.shared[f"{name}-alias"] = f"alias/shared-{name}"
            self.shared[f"{name}-alias-arn"] = f"{made['Arn'].split(':key/')[0]}:alias/shared-{name}"
        return made

    def make_keys(self):
        tags = [{"TagKey": "Project", "TagValue": "Alpha"}, {"TagKey": "k\u00fc", "TagValue": "a, \"b\" c"}]
        made = self.key("sym", Description="A key, with \"quotes\" and \u00fcml\u00e4uts \u4e2d\u6587", Tags=tags)
        self.shared["account"] = made["AWSAccountId"]
        self.key("other", Description="")
        for number in range(7):
            self.key(f"more-{number}", Description=f"number {number}")
        self.key("rsa", KeySpec="RSA_2048", KeyUsage="ENCRYPT_DECRYPT")
        self.key("rsa-sign", KeySpec="RSA_2048", KeyUsage="SIGN_VERIFY")
        self.key("ecc", KeySpec="ECC_NIST_P256", KeyUsage="SIGN_VERIFY")
        self.key("hmac", KeySpec="HMAC_256", KeyUsage="GENERATE_VERIFY_MAC")
        self.key("external", Origin="EXTERNAL")
        for name in ("disabled", "pending", "rotated", "rotates"):
            self.key(name)
        self.make_sm2()
        # Whether a key works is seen last: these two encrypt first.
        for name in ("disabled", "pending", "rotated"):
            self.write(f"ct-{name}.bin", self.kms.encrypt(KeyId=self.shared[name], Plaintext=PLAINTEXT)["CiphertextBlob"])
        self.kms.disable_key(KeyId=self.shared["disabled"])
        self.kms.schedule_key_deletion(KeyId=self.shared["pending"], PendingWindowInDays=9)

    def make_sm2(self):
        self.key("sm2", KeySpec="SM2", KeyUsage="ENCRYPT_DECRYPT")

    def make_rotations(self):
        self.kms.enable_key_rotation(KeyId=self.shared["rotates"])
        self.kms.rotate_key_on_demand(KeyId=self.shared["rotated"])

    def make_grants(self):
        user = f"arn:aws:iam::{self.shared['account']}:root"
        self.shared["principal"] = user
        for number, operations in enumerate((["Encrypt"], ["Decrypt", "ReEncryptFrom"], ["ReEncryptTo", "DescribeKey", "RetireGrant"])):
            made = self.kms.create_grant(
                KeyId=self.shared["sym"],
                GranteePrincipal=user,
                RetiringPrincipal=user,
                Operations=operations,
                Name=f"grant-{number}",
                Constraints={"EncryptionContextSubset": {"number": str(number)}},
            )
            self.shared[f"grant-{number}"] = made["GrantId"]
            self.shared[f"token-{number}"] = made["GrantToken"]

    def make_ciphertexts(self):
        def encrypt(name, key, plaintext=PLAINTEXT, **more):
            blob = self.kms.encrypt(KeyId=self.shared[key], Plaintext=plaintext, **more)["CiphertextBlob"]
            self.write(f"ct{name}.bin", blob)
            return blob

        blob = encrypt("", "sym")
        encrypt("-context", "sym", EncryptionContext=CONTEXT)
        encrypt("-ab", "sym", EncryptionContext={"a": "b"})
        encrypt("-full", "sym", plaintext=bytes(4096))
        encrypt("-other", "other")
        encrypt("-rsa", "rsa", EncryptionAlgorithm="RSAES_OAEP_SHA_256")
        encrypt("-rsa1", "rsa", EncryptionAlgorithm="RSAES_OAEP_SHA_1")
        self.make_sm2_ciphertext(encrypt)
        self.write("ct-cut.bin", blob[:-1])
        self.write("ct-longer.bin", blob + b"\0")
        self.write("ct-flipped.bin", blob[:-1] + bytes([blob[-1] ^ 1]))
        self.write("ct-stranger.bin", blob[:5] + bytes(32) + blob[37:])

    def make_sm2_ciphertext(self, encrypt):
        encrypt("-sm2", "sm2", EncryptionAlgorithm="SM2PKE")

    def make_files(self):
        account = self.shared["account"]
        write = self.write
        write("plain.txt", PLAINTEXT)
        write("plain.bin", bytes(range(256)))
        write("plain-190.bin", bytes(190))
        write("plain-191.bin", bytes(191))
        write("plain-4096.bin", bytes(4096))
        write("plain-4097.bin", bytes(4097))
        write("utf8.txt", "\u00fc\u4e2d\u6587 \U0001f980")
        write("empty.txt", b"")
        write("latin.txt", b"caf\xe9")
        write("key-id.txt", self.shared["sym"])
        write("key-id-newline.txt", self.shared["sym"] + "\n")
        write("five.txt", "5")
        write("query.txt", "Keys[0].KeyId")
        write("context.json", json.dumps(CONTEXT))
        write("broken.json", '{"KeyId": ')
        write("tokens.json", '["token-one", "token-two"]')
        write("input.json", json.dumps({"KeyId": self.shared["sym"]}))
        write("policy.json", policy(account))
        write("policy-more.json", policy(account, {
            "Sid": "Users", "Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{account}:root"},
            "Action": ["kms:Encrypt", "kms:ReEncrypt*"], "Resource": "*",
            "Condition": {"StringEquals": {"kms:EncryptionContext:a": "b"}},
        }))
        write("policy-lockout.json", policy(account, {"Effect": "Deny", "Principal": "*", "Action": "kms:PutKeyPolicy", "Resource": "*"}))
        write("policy-broken.json", '{"Version": "2012-10-17", "Statement": [')
        write("policy-wrong.json", json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Perhaps"}]}))
        write("policy-huge.json", policy(account, {"Sid": "x" * 40000, "Effect": "Allow", "Principal": "*", "Action": "kms:*", "Resource": "*"}))
        write("tags.json", '[{"TagKey": "from", "TagValue": "a file"}]')
        (self.folder / "folder").mkdir()
        write("config", "[default]\n")
        write("credentials", "")
        # A key that the keystore knows: what `serve -- CMD` lends is known to the endpoint alone.
        made = subprocess.run([os.environ["REKEYFS"], "iam", "create-access-key"], check=True, capture_output=True).stdout
        session = json.loads(made)["AccessKey"]
        write("config-profiles", "\n".join([
            "[default]", "output = text", "",
            "[profile west]", f"aws_access_key_id = {session['AccessKeyId']}",
            f"aws_secret_access_key = {session['SecretAccessKey']}", "region = us-west-2", "output = table", "",
            "[profile dates]", f"aws_access_key_id = {session['AccessKeyId']}",
            f"aws_secret_access_key = {session['SecretAccessKey']}", "region = " + self.shared["region"],
            "cli_timestamp_format = iso8601", "",
            "[profile empty]", "region = " + self.shared["region"], "",
        ]))

    def make_twins(self):
        for side in SIDES:
            values = self.sides[side]
            for name in TWINS:
                made = self.kms.create_key(Description="a twin")["KeyMetadata"]
                values[name] = made["KeyId"]
                values[f"{name}-arn"] = made["Arn"]
            made = self.kms.create_key(KeySpec="RSA_2048", KeyUsage="ENCRYPT_DECRYPT")["KeyMetadata"]
            values["rsa-twin"] = made["KeyId"]
            values["twin-alias"] = f"alias/twin-{side}"
            blob = self.kms.encrypt(KeyId=values["one"], Plaintext=PLAINTEXT)["CiphertextBlob"]
            self.write(f"ct-{side}.bin", blob)

    def make_imports(self):
        """For each side a key without key material, with wrapped material and a token in files."""
        for side in SIDES:
            key = self.kms.create_key(Origin="EXTERNAL")["KeyMetadata"]["KeyId"]
            self.sides[side]["import-twin"] = key
            given = self.kms.get_parameters_for_import(
                KeyId=key, WrappingAlgorithm="RSAES_OAEP_SHA_256", WrappingKeySpec="RSA_2048"
            )
            wrapping = serialization.load_der_public_key(given["PublicKey"])
            oaep = padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), None)
            self.write(f"material-{side}.bin", wrapping.encrypt(b"\x07" * 32, oaep))
            self.write(f"token-{side}.bin", given["ImportToken"])
