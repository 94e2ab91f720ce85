"""The checks of `sdk.py` that run the AWS Encryption SDK and the material providers' hierarchical keyring."""

import logging
import time

import aws_encryption_sdk
import boto3
import botocore.session
from aws_cryptographic_material_providers.keystore import KeyStore
from aws_cryptographic_material_providers.keystore.config import KeyStoreConfig
from aws_cryptographic_material_providers.keystore.models import (
    CreateKeyInput,
    CreateKeyStoreInput,
    GetActiveBranchKeyInput,
    GetBranchKeyVersionInput,
    KMSConfigurationKmsKeyArn,
    VersionKeyInput,
)
from aws_cryptographic_material_providers.mpl import AwsCryptographicMaterialProviders
from aws_cryptographic_material_providers.mpl.config import MaterialProvidersConfig
from aws_cryptographic_material_providers.mpl.models import CreateAwsKmsHierarchicalKeyringInput
from aws_encryption_sdk.exceptions import DecryptKeyError
from botocore.exceptions import ClientError

from support import moto_server

CONTEXT = {"purpose": "test", "k\u00fc": "v"}
MESSAGE = b"A message of several frames. " * 500


def message_is_not_a_blob(checks, kms, name, message, key):
    """What the manual page says of the Encryption SDK's messages."""
    try:
        kms.re_encrypt(CiphertextBlob=message[:6144], DestinationKeyId=key)
        checks.check(name, False, "ReEncrypt took it")
    except ClientError as error:
        checks.equal(name, error.response["Error"]["Code"], "InvalidCiphertextException")


def master_keys(checks, kms, make_key):
    """A round trip under two keys with the master key provider, and what ReEncrypt says to its message.

    The provider makes its clients itself: AWS_ENDPOINT_URL_KMS says where.
    """
    first, second, stranger = make_key(), make_key(), make_key()
    client = aws_encryption_sdk.EncryptionSDKClient()
    provider = lambda *keys: aws_encryption_sdk.StrictAwsKmsMasterKeyProvider(key_ids=keys, botocore_session=botocore.session.Session())
    message, header = client.encrypt(source=MESSAGE, key_provider=provider(first, second), encryption_context=CONTEXT)
    checks.equal("Encryption SDK: two encrypted data keys", len(header.encrypted_data_keys), 2)
    for name, key in (("the first key", first), ("the second key", second)):
        plaintext, header = client.decrypt(source=message, key_provider=provider(key))
        checks.equal(f"Encryption SDK: the message opens under {name}", plaintext, MESSAGE)
        checks.equal(f"Encryption SDK: its context, under {name}", {**header.encryption_context, **CONTEXT}, header.encryption_context)
    # What is expected to fail need not be logged.
    logging.getLogger("aws_encryption_sdk").setLevel(logging.CRITICAL + 1)
    try:
        client.decrypt(source=message, key_provider=provider(stranger))
        checks.check("Encryption SDK: a stranger's key opens nothing", False, "it opened")
    except DecryptKeyError:
        checks.check("Encryption SDK: a stranger's key opens nothing", True)
    short, header = client.encrypt(source=b"short", key_provider=provider(first))
    message_is_not_a_blob(checks, kms, "Encryption SDK: ReEncrypt refuses a message", short, second)
    message_is_not_a_blob(checks, kms, "Encryption SDK: ReEncrypt refuses a long message", message, second)
    # The encrypted data key inside of the message is a blob of the service, under the message's context.
    (inner,) = header.encrypted_data_keys
    moved = kms.re_encrypt(CiphertextBlob=inner.encrypted_data_key, SourceEncryptionContext=header.encryption_context, DestinationKeyId=second)
    checks.equal("Encryption SDK: the data key inside moves to another key", (moved["SourceKeyId"], moved["KeyId"]), (first, second))


def hierarchical_keyring(checks, kms, make_key, region):
    """Branch keys: made, used, versioned (which calls ReEncrypt twice or more), and used again."""
    key = make_key()
    with moto_server() as url:
        tables = boto3.client("dynamodb", endpoint_url=url, region_name=region, aws_access_key_id="none", aws_secret_access_key="none")
        calls = []
        kms.meta.events.register("provide-client-params.kms.*", lambda model, **_: calls.append(model.name))
        store = KeyStore(KeyStoreConfig(
            ddb_table_name="branch-keys",
            logical_key_store_name="branch-keys",
            kms_configuration=KMSConfigurationKmsKeyArn(key),
            ddb_client=tables,
            kms_client=kms,
        ))
        store.create_key_store(CreateKeyStoreInput())
        branch = store.create_key(CreateKeyInput(branch_key_identifier="tenant", encryption_context={"tenant": "one"})).branch_key_identifier
        checks.equal("key store: create_key gives its name back", branch, "tenant")
        checks.check("key store: create_key calls ReEncrypt", "ReEncrypt" in calls, f"it calls {calls}")
        active = lambda: store.get_active_branch_key(GetActiveBranchKeyInput(branch_key_identifier=branch)).branch_key_materials
        before = active()
        providers = AwsCryptographicMaterialProviders(MaterialProvidersConfig())
        keyring = lambda: providers.create_aws_kms_hierarchical_keyring(CreateAwsKmsHierarchicalKeyringInput(key_store=store, branch_key_id=branch, ttl_seconds=60))
        client = aws_encryption_sdk.EncryptionSDKClient()
        first, _ = client.encrypt(source=MESSAGE, keyring=keyring(), encryption_context=CONTEXT)

        calls.clear()
        time.sleep(0.01)  # versions are told apart by their times
        store.version_key(VersionKeyInput(branch_key_identifier=branch))
        checks.check("key store: version_key calls ReEncrypt", calls.count("ReEncrypt") >= 1, f"it calls {calls}")
        after = active()
        checks.check("key store: version_key makes another version", before.branch_key_version != after.branch_key_version and before.branch_key != after.branch_key)
        old = store.get_branch_key_version(GetBranchKeyVersionInput(branch_key_identifier=branch, branch_key_version=text(before.branch_key_version)))
        checks.equal("key store: the older version is still there", old.branch_key_materials.branch_key, before.branch_key)
        second, _ = client.encrypt(source=MESSAGE, keyring=keyring(), encryption_context=CONTEXT)
        for name, message in (("before", first), ("after", second)):
            plaintext, _ = client.decrypt(source=message, keyring=keyring())
            checks.equal(f"hierarchical keyring: a message of {name} version_key opens", plaintext, MESSAGE)

        message_is_not_a_blob(checks, kms, "hierarchical keyring: ReEncrypt refuses its message", second, key)
        kms.disable_key(KeyId=key.split("/")[1])
        try:
            store.version_key(VersionKeyInput(branch_key_identifier=branch))
            checks.check("key store: version_key under a disabled key fails", False, "it went through")
        except Exception as error:  # whatever the library wraps it in
            checks.check("key store: version_key under a disabled key fails", "disabled" in str(error).lower(), repr(error))


def text(version):
    """A branch key's version as its own calls take it."""
    return version.decode() if isinstance(version, (bytes, bytearray)) else version
