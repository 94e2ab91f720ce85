"""Every operation once as it should be and once not, for `sdk.py`."""

import datetime
import json

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding

MISSING = "11111111-2222-3333-4444-555555555555"
CONTEXT = {"purpose": "test", "k\u00fc": "\u4e2d"}
PLAINTEXT = b"\x00\x01plaintext\xff"
OAEP = padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), None)

NAMES = """cancel_key_deletion create_alias create_grant create_key decrypt delete_alias delete_imported_key_material describe_key
disable_key disable_key_rotation enable_key enable_key_rotation encrypt generate_data_key generate_data_key_pair
generate_data_key_pair_without_plaintext generate_data_key_without_plaintext generate_random get_key_last_usage get_key_policy
get_key_rotation_status get_parameters_for_import get_public_key import_key_material list_aliases list_grants list_key_policies
list_key_rotations list_keys list_resource_tags list_retirable_grants put_key_policy re_encrypt retire_grant revoke_grant
rotate_key_on_demand schedule_key_deletion tag_resource untag_resource update_alias update_key_description""".split()


def run(checks, call, region):
    """Everything; `call` is a `wire.Recorder`."""
    made = keys(checks, call)
    for part in (ciphertexts, data_keys, aliases, states, rotation, policies, grants, tags, imports):
        with checks.step(part.__name__):
            part(checks, call, made, region)


def missing(made):
    """What the service says of a key that is not there."""
    return f"Key '{made['sym'].rsplit('/', 1)[0]}/{MISSING}' does not exist"


def keys(checks, call):
    """Makes the keys of all other parts; returns their ARNs."""
    made = {}
    for name, parameters in {
        "sym": {"Description": "first"},
        "other": {},
        "rsa": {"KeySpec": "RSA_2048", "KeyUsage": "ENCRYPT_DECRYPT"},
        "ecc": {"KeySpec": "ECC_NIST_P256", "KeyUsage": "SIGN_VERIFY"},
        "hmac": {"KeySpec": "HMAC_256", "KeyUsage": "GENERATE_VERIFY_MAC"},
        "external": {"Origin": "EXTERNAL"},
    }.items():
        metadata = call.good("create_key", **parameters)["KeyMetadata"]
        made[name] = metadata["Arn"]
        checks.check(f"create_key {name}: CreationDate", isinstance(metadata["CreationDate"], datetime.datetime), metadata["CreationDate"])
        checks.equal(f"create_key {name}: KeyState", metadata["KeyState"], "PendingImport" if name == "external" else "Enabled")
        checks.equal(f"describe_key {name}", call.good("describe_key", KeyId=metadata["Arn"])["KeyMetadata"], metadata)
    call.bad(
        "create_key", "ValidationException", "You must specify a KeyUsage value for all KMS keys except for symmetric encryption keys.", KeySpec="RSA_2048"
    )
    call.bad("describe_key", "NotFoundException", missing(made), KeyId=MISSING)
    checks.check("list_keys: the new keys are there", made["sym"] in [key["KeyArn"] for key in call.good("list_keys", Limit=1000)["Keys"]])
    call.bad("list_keys", "InvalidMarkerException", Marker="nonsense")
    return made


def ciphertexts(checks, call, made, _region):
    """Encrypt, Decrypt, ReEncrypt and GetPublicKey."""
    blob = call.good("encrypt", KeyId=made["sym"], Plaintext=PLAINTEXT, EncryptionContext=CONTEXT)
    checks.equal("encrypt: KeyId", blob["KeyId"], made["sym"])
    blob = blob["CiphertextBlob"]
    opened = call.good("decrypt", CiphertextBlob=blob, EncryptionContext=CONTEXT)
    checks.equal("decrypt: Plaintext", opened["Plaintext"], PLAINTEXT)
    checks.equal("the blob has its key material's id at offset 5", blob[5:37].hex(), opened["KeyMaterialId"])
    current = call.kms.describe_key(KeyId=made["sym"])["KeyMetadata"]["CurrentKeyMaterialId"]
    checks.equal("decrypt: KeyMaterialId", opened["KeyMaterialId"], current)
    call.bad("encrypt", "InvalidKeyUsageException", "Algorithm SYMMETRIC_DEFAULT is incompatible with key spec RSA_2048.", KeyId=made["rsa"], Plaintext=PLAINTEXT)
    call.bad("decrypt", "InvalidCiphertextException", "", CiphertextBlob=blob)

    there = call.kms.describe_key(KeyId=made["other"])["KeyMetadata"]["CurrentKeyMaterialId"]
    moved = call.good("re_encrypt", CiphertextBlob=blob, SourceEncryptionContext=CONTEXT, DestinationKeyId=made["other"])
    expected = {
        "SourceKeyId": made["sym"], "KeyId": made["other"], "SourceEncryptionAlgorithm": "SYMMETRIC_DEFAULT",
        "DestinationEncryptionAlgorithm": "SYMMETRIC_DEFAULT", "SourceKeyMaterialId": current, "DestinationKeyMaterialId": there,
    }
    checks.equal("re_encrypt: its members", {name: value for name, value in moved.items() if name != "CiphertextBlob"}, expected)
    checks.equal("re_encrypt: their order on the wire", list(json.loads(call.body)), ["CiphertextBlob", *expected])
    checks.equal("re_encrypt: the plaintext", call.good("decrypt", CiphertextBlob=moved["CiphertextBlob"])["Plaintext"], PLAINTEXT)
    call.bad(
        "re_encrypt", "IncorrectKeyException", "The key ID in the request does not identify a CMK that can perform this operation.",
        CiphertextBlob=blob, SourceEncryptionContext=CONTEXT, SourceKeyId=made["other"], DestinationKeyId=made["other"],
    )

    public = call.good("get_public_key", KeyId=made["rsa"])
    outside = serialization.load_der_public_key(public["PublicKey"]).encrypt(PLAINTEXT, OAEP)
    moved = call.good(
        "re_encrypt", CiphertextBlob=outside, SourceKeyId=made["rsa"], SourceEncryptionAlgorithm="RSAES_OAEP_SHA_256", DestinationKeyId=made["sym"]
    )
    checks.check("re_encrypt from RSA: no id of the source's material", "SourceKeyMaterialId" not in moved and "DestinationKeyMaterialId" in moved, moved)
    checks.equal("re_encrypt of what was encrypted outside", call.good("decrypt", CiphertextBlob=moved["CiphertextBlob"])["Plaintext"], PLAINTEXT)
    call.bad("get_public_key", "UnsupportedOperationException", "", KeyId=made["sym"])


def data_keys(checks, call, made, _region):
    """GenerateDataKey and its relatives."""
    answer = call.good("generate_data_key", KeyId=made["sym"], KeySpec="AES_256", EncryptionContext=CONTEXT)
    checks.equal("generate_data_key: 32 bytes, and they are inside", call.kms.decrypt(CiphertextBlob=answer["CiphertextBlob"], EncryptionContext=CONTEXT)["Plaintext"], answer["Plaintext"])
    checks.equal("generate_data_key: sizes", (len(answer["Plaintext"]), len(answer["CiphertextBlob"])), (32, 184))
    call.bad("generate_data_key", "ValidationException", KeyId=made["sym"])
    answer = call.good("generate_data_key_without_plaintext", KeyId=made["sym"], NumberOfBytes=64)
    checks.equal("generate_data_key_without_plaintext: its size", len(call.kms.decrypt(CiphertextBlob=answer["CiphertextBlob"])["Plaintext"]), 64)
    call.bad("generate_data_key_without_plaintext", "InvalidKeyUsageException", KeyId=made["rsa"], NumberOfBytes=64)
    pair = call.good("generate_data_key_pair", KeyId=made["sym"], KeyPairSpec="RSA_2048", EncryptionContext=CONTEXT)
    private = serialization.load_der_private_key(pair["PrivateKeyPlaintext"], None)
    encoded = private.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    checks.equal("generate_data_key_pair: the halves belong together", encoded, pair["PublicKey"])
    opened = call.kms.decrypt(CiphertextBlob=pair["PrivateKeyCiphertextBlob"], EncryptionContext=CONTEXT)["Plaintext"]
    checks.equal("generate_data_key_pair: the private key is inside", opened, pair["PrivateKeyPlaintext"])
    call.bad("generate_data_key_pair", "InvalidKeyUsageException", "You cannot generate a data key pair with an asymmetric CMK", KeyId=made["rsa"], KeyPairSpec="RSA_2048")
    pair = call.good("generate_data_key_pair_without_plaintext", KeyId=made["sym"], KeyPairSpec="ECC_NIST_P256")
    opened = call.kms.decrypt(CiphertextBlob=pair["PrivateKeyCiphertextBlob"])["Plaintext"]
    encoded = serialization.load_der_private_key(opened, None).public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    checks.equal("generate_data_key_pair_without_plaintext: the halves belong together", encoded, pair["PublicKey"])
    call.bad("generate_data_key_pair_without_plaintext", "NotFoundException", missing(made), KeyId=MISSING, KeyPairSpec="ECC_NIST_P256")
    checks.equal("generate_random: its size", len(call.good("generate_random", NumberOfBytes=1024)["Plaintext"]), 1024)
    call.bad("generate_random", "ValidationException", "NumberOfBytes is required.")


def aliases(checks, call, made, _region):
    """Aliases."""
    prefix = made["sym"].split(":key/")[0]
    call.good("create_alias", AliasName="alias/sdk", TargetKeyId=made["sym"])
    call.bad("create_alias", "AlreadyExistsException", AliasName="alias/sdk", TargetKeyId=made["other"])
    found = call.good("list_aliases", KeyId=made["sym"])["Aliases"]
    checks.equal("list_aliases: the name, ARN and target", [(item["AliasName"], item["AliasArn"], item["TargetKeyId"]) for item in found], [("alias/sdk", f"{prefix}:alias/sdk", made["sym"].split("/")[1])])
    call.bad("list_aliases", "NotFoundException", missing(made), KeyId=MISSING)
    call.good("update_alias", AliasName="alias/sdk", TargetKeyId=made["other"])
    checks.equal("update_alias: the new target", call.good("describe_key", KeyId="alias/sdk")["KeyMetadata"]["Arn"], made["other"])
    call.bad("update_alias", "NotFoundException", AliasName="alias/sdk-none", TargetKeyId=made["other"])
    call.good("delete_alias", AliasName="alias/sdk")
    call.bad("delete_alias", "NotFoundException", f"Alias {prefix}:alias/sdk is not found.", AliasName="alias/sdk")


def states(checks, call, made, _region):
    """Key states, descriptions and last usage."""
    key = call.kms.create_key()["KeyMetadata"]["Arn"]
    state = lambda: call.kms.describe_key(KeyId=key)["KeyMetadata"]["KeyState"]
    call.good("disable_key", KeyId=key)
    checks.equal("disable_key: KeyState", state(), "Disabled")
    call.bad("encrypt", "DisabledException", f"{key} is disabled.", KeyId=key, Plaintext=PLAINTEXT)
    call.good("enable_key", KeyId=key)
    checks.equal("enable_key: KeyState", state(), "Enabled")
    call.bad("disable_key", "NotFoundException", missing(made), KeyId=MISSING)
    call.bad("enable_key", "NotFoundException", "Invalid keyId 'nonsense'", KeyId="nonsense")
    call.good("update_key_description", KeyId=key, Description="second")
    call.bad("update_key_description", "NotFoundException", missing(made), KeyId=MISSING, Description="x")
    call.kms.encrypt(KeyId=key, Plaintext=PLAINTEXT)
    checks.equal("get_key_last_usage: Operation", call.good("get_key_last_usage", KeyId=key)["KeyLastUsage"]["Operation"], "Encrypt")
    call.bad("get_key_last_usage", "NotFoundException", missing(made), KeyId=MISSING)
    deletion = call.good("schedule_key_deletion", KeyId=key, PendingWindowInDays=7)
    checks.equal("schedule_key_deletion: the state and window", (deletion["KeyState"], deletion["PendingWindowInDays"]), ("PendingDeletion", 7))
    days = (deletion["DeletionDate"] - datetime.datetime.now(datetime.timezone.utc)).total_seconds() / 86400
    checks.check("schedule_key_deletion: the date", 6.9 < days < 7.1, days)
    call.bad("schedule_key_deletion", "KMSInvalidStateException", f"{key} is pending deletion.", KeyId=key)
    call.good("cancel_key_deletion", KeyId=key)
    checks.equal("cancel_key_deletion: KeyState", state(), "Disabled")
    call.bad("cancel_key_deletion", "KMSInvalidStateException", f"{key} is not pending deletion.", KeyId=key)


def rotation(checks, call, made, _region):
    """Rotation: the old ciphertext opens, and ReEncrypt to the same key moves it to the newest material."""
    key = call.kms.create_key()["KeyMetadata"]["Arn"]
    blob = call.kms.encrypt(KeyId=key, Plaintext=PLAINTEXT)["CiphertextBlob"]
    call.good("enable_key_rotation", KeyId=key, RotationPeriodInDays=90)
    status = call.good("get_key_rotation_status", KeyId=key)
    checks.equal("get_key_rotation_status: enabled, every 90 days", (status["KeyRotationEnabled"], status["RotationPeriodInDays"]), (True, 90))
    call.good("disable_key_rotation", KeyId=key)
    checks.equal("get_key_rotation_status: disabled", call.good("get_key_rotation_status", KeyId=key)["KeyRotationEnabled"], False)
    call.bad("enable_key_rotation", "UnsupportedOperationException", "", KeyId=made["hmac"])
    call.bad("disable_key_rotation", "UnsupportedOperationException", KeyId=made["rsa"])
    call.bad("get_key_rotation_status", "NotFoundException", missing(made), KeyId=MISSING)
    call.good("rotate_key_on_demand", KeyId=key)
    call.bad("rotate_key_on_demand", "NotFoundException", missing(made), KeyId=MISSING)
    rotations = call.good("list_key_rotations", KeyId=key, IncludeKeyMaterial="ALL_KEY_MATERIAL")["Rotations"]
    checks.equal("list_key_rotations: states", sorted(item["KeyMaterialState"] for item in rotations), ["CURRENT", "NON_CURRENT"])
    call.bad("list_key_rotations", "NotFoundException", missing(made), KeyId=MISSING)
    moved = call.good("re_encrypt", CiphertextBlob=blob, DestinationKeyId=key)
    ids = {item["KeyMaterialState"]: item["KeyMaterialId"] for item in rotations}
    checks.equal("re_encrypt after rotation: from the old material to the new", (moved["SourceKeyMaterialId"], moved["DestinationKeyMaterialId"]), (ids["NON_CURRENT"], ids["CURRENT"]))
    checks.equal("decrypt after rotation", call.good("decrypt", CiphertextBlob=blob)["Plaintext"], PLAINTEXT)


def policies(checks, call, made, _region):
    """Key policies."""
    policy = call.good("get_key_policy", KeyId=made["sym"], PolicyName="default")["Policy"]
    checks.equal("get_key_policy: the default policy", json.loads(policy)["Id"], "key-default-1")
    call.bad("get_key_policy", "NotFoundException", missing(made), KeyId=MISSING, PolicyName="default")
    changed = json.loads(policy)
    changed["Id"] = "mine"
    call.good("put_key_policy", KeyId=made["sym"], PolicyName="default", Policy=json.dumps(changed))
    checks.equal("put_key_policy: it is there", json.loads(call.good("get_key_policy", KeyId=made["sym"])["Policy"]), changed)
    call.bad("put_key_policy", "MalformedPolicyDocumentException", KeyId=made["sym"], PolicyName="default", Policy=json.dumps({"Version": "2012-10-17", "Statement": []}))
    checks.equal("list_key_policies", call.good("list_key_policies", KeyId=made["sym"])["PolicyNames"], ["default"])
    call.bad("list_key_policies", "NotFoundException", missing(made), KeyId=MISSING)


def grants(checks, call, made, _region):
    """Grants, as an account's root gives them to itself."""
    root = f"arn:aws:iam::{made['sym'].split(':')[4]}:root"
    give = {"KeyId": made["sym"], "GranteePrincipal": root, "RetiringPrincipal": root, "Operations": ["Encrypt", "ReEncryptTo"], "Constraints": {"EncryptionContextSubset": {"a": "b"}}}
    first = call.good("create_grant", Name="named", **give)
    again = call.good("create_grant", Name="named", **give)
    checks.check("create_grant: the same again has the same id and another token", first["GrantId"] == again["GrantId"] and first["GrantToken"] != again["GrantToken"], (first, again))
    call.bad("create_grant", "ValidationException", **{**give, "Operations": ["Sign"]})
    (found,) = call.good("list_grants", KeyId=made["sym"])["Grants"]
    checks.equal(
        "list_grants: the grant as it was made", {name: found[name] for name in ("KeyId", "GrantId", "Name", "GranteePrincipal", "RetiringPrincipal", "IssuingAccount", "Operations", "Constraints")},
        {**{name: give[name] for name in ("KeyId", "GranteePrincipal", "RetiringPrincipal", "Operations", "Constraints")}, "GrantId": first["GrantId"], "Name": "named", "IssuingAccount": root},
    )
    call.bad("list_grants", "NotFoundException", missing(made), KeyId=MISSING)
    checks.check("list_retirable_grants: it is there", first["GrantId"] in [item["GrantId"] for item in call.good("list_retirable_grants", RetiringPrincipal=root)["Grants"]])
    call.bad("list_retirable_grants", "InvalidMarkerException", RetiringPrincipal=root, Marker="nonsense")
    call.good("retire_grant", GrantToken=first["GrantToken"])
    call.bad("retire_grant", "NotFoundException", KeyId=made["sym"], GrantId=first["GrantId"])
    last = call.good("create_grant", **give)
    call.good("revoke_grant", KeyId=made["sym"], GrantId=last["GrantId"])
    call.bad("revoke_grant", "NotFoundException", KeyId=made["sym"], GrantId=last["GrantId"])
    checks.equal("list_grants: none left", call.good("list_grants", KeyId=made["sym"])["Grants"], [])


def tags(checks, call, made, _region):
    """Tags."""
    given = [{"TagKey": "Project", "TagValue": "Alpha"}, {"TagKey": "k\u00fc", "TagValue": ""}]
    call.good("tag_resource", KeyId=made["sym"], Tags=given)
    call.bad("tag_resource", "TagException", "Duplicate tag keys", KeyId=made["sym"], Tags=[given[0], given[0]])
    found = call.good("list_resource_tags", KeyId=made["sym"])["Tags"]
    checks.equal("list_resource_tags", sorted(found, key=str), sorted(given, key=str))
    call.bad("list_resource_tags", "NotFoundException", missing(made), KeyId=MISSING)
    call.good("untag_resource", KeyId=made["sym"], TagKeys=["Project"])
    checks.equal("untag_resource: one is left", call.good("list_resource_tags", KeyId=made["sym"])["Tags"], given[1:])
    call.bad("untag_resource", "NotFoundException", missing(made), KeyId=MISSING, TagKeys=["x"])


def imports(checks, call, made, _region):
    """Imported key material: used, deleted, and imported again."""
    key = made["external"]
    wrapping = {"WrappingAlgorithm": "RSAES_OAEP_SHA_256", "WrappingKeySpec": "RSA_2048"}
    call.bad("encrypt", "KMSInvalidStateException", f"{key} is pending import.", KeyId=key, Plaintext=PLAINTEXT)
    call.bad("get_parameters_for_import", "UnsupportedOperationException", f"{made['sym']} origin is AWS_KMS which is not valid for this operation.", KeyId=made["sym"], **wrapping)
    given = call.good("get_parameters_for_import", KeyId=key, **wrapping)
    checks.check("get_parameters_for_import: a day", 0.9 < (given["ParametersValidTo"] - datetime.datetime.now(datetime.timezone.utc)).total_seconds() / 86400 < 1.1, given["ParametersValidTo"])
    material = serialization.load_der_public_key(given["PublicKey"]).encrypt(b"\x2a" * 32, OAEP)
    bring = {"KeyId": key, "ImportToken": given["ImportToken"], "EncryptedKeyMaterial": material}
    call.bad("import_key_material", "ValidationException", "A validTo date must be set if the ExpirationModel is KEY_MATERIAL_EXPIRES", ExpirationModel="KEY_MATERIAL_EXPIRES", **bring)
    call.good("import_key_material", ExpirationModel="KEY_MATERIAL_DOES_NOT_EXPIRE", **bring)
    blob = call.good("encrypt", KeyId=key, Plaintext=PLAINTEXT)["CiphertextBlob"]
    call.good("delete_imported_key_material", KeyId=key)
    call.bad("decrypt", "KMSInvalidStateException", f"{key} is pending import.", CiphertextBlob=blob)
    until = datetime.datetime.now(datetime.timezone.utc).replace(microsecond=0) + datetime.timedelta(days=2)
    call.good("import_key_material", ExpirationModel="KEY_MATERIAL_EXPIRES", ValidTo=until, **bring)
    checks.equal("import_key_material: ValidTo", call.good("describe_key", KeyId=key)["KeyMetadata"]["ValidTo"], until)
    checks.equal("import_key_material: the same material opens what it sealed", call.good("decrypt", CiphertextBlob=blob)["Plaintext"], PLAINTEXT)
    call.bad("delete_imported_key_material", "UnsupportedOperationException", KeyId=made["sym"])
