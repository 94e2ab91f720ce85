"""boto3, the AWS Encryption SDK and the material providers' key store against the endpoint.

    rekeyfs serve -- PYTHON tests/clients/sdk.py

PYTHON has boto3, cryptography, moto[server], aws-encryption-sdk and aws-cryptographic-material-providers.
Environment: REKEYFS, REKEYFS_KEYSTORE, ENDPOINT (else AWS_ENDPOINT_URL_KMS), credentials of the account's root and Region as
`rekeyfs serve -- CMD` sets them; TLS_ENDPOINT (an https URL of another `rekeyfs serve` on the same keystore)
and TLS_CA_BUNDLE (the certificate that it wrote out).
"""

import sys

sys.dont_write_bytecode = True

import datetime
import json
import os
import re
import subprocess
from unittest import mock

import boto3
import botocore.auth
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import ClientError, SSLError

import encryption_sdk
import operations
from support import Checks, endpoint, setting, without_endpoints
from wire import Recorder

CALLS = 200


class Clients:
    """Makes boto3 clients of the endpoint, and keys."""

    def __init__(self):
        self.endpoint = endpoint()
        self.region = setting("AWS_DEFAULT_REGION")
        # The Encryption SDK makes its own clients.
        os.environ["AWS_ENDPOINT_URL_KMS"] = self.endpoint
        self.kms = self.client()

    def client(self, **options):
        """A client; without options, of the credentials in the environment."""
        options = {"endpoint_url": self.endpoint, "region_name": self.region, **options}
        return boto3.client("kms", **options)

    def key(self, **parameters):
        """A new key's ARN."""
        return self.kms.create_key(**parameters)["KeyMetadata"]["Arn"]


def refused(checks, name, call, code, message=None, **parameters):
    """One call that must end in an exception of the service; `message` is a pattern for all of its text."""
    try:
        call(**parameters)
    except ClientError as error:
        said = error.response["Error"]
        checks.equal(f"{name}: exception", said["Code"], code)
        if message is not None:
            checks.check(f"{name}: message", re.fullmatch(message, said.get("Message", ""), re.DOTALL), said.get("Message"))
        return error
    checks.check(name, False, "it succeeded")
    return None


def every_operation(checks, clients):
    """Each operation once as it should be and once not, its answer checked against the API model."""
    recorder = Recorder(checks, clients.client())
    operations.run(checks, recorder, clients.region)
    missing = set(operations.NAMES) - recorder.succeeded
    checks.check("every operation has succeeded once", not missing, sorted(missing))
    missing = set(operations.NAMES) - recorder.failed
    checks.check("every operation has been refused once", not missing, sorted(missing))


def pages(checks, clients):
    """boto3's paginators find everything, once."""
    kms = clients.kms
    key = clients.key()
    for number in range(5):
        kms.create_alias(AliasName=f"alias/page-{number}", TargetKeyId=key)
        kms.tag_resource(KeyId=key, Tags=[{"TagKey": f"page-{number}", "TagValue": "x"}])
        kms.create_grant(KeyId=key, GranteePrincipal=clients.root, Operations=["Encrypt"], Name=f"page-{number}")
        kms.rotate_key_on_demand(KeyId=key)
    for name, result, member, parameters in (
        ("list_aliases", "Aliases", "AliasName", {"KeyId": key}),
        ("list_grants", "Grants", "Name", {"KeyId": key}),
        ("list_resource_tags", "Tags", "TagKey", {"KeyId": key}),
        ("list_key_rotations", "Rotations", "KeyMaterialId", {"KeyId": key}),
        ("list_keys", "Keys", "KeyId", {}),
    ):
        whole = [item[member] for page in kms.get_paginator(name).paginate(**parameters) for item in page[result]]
        paged = [item[member] for page in kms.get_paginator(name).paginate(**parameters, PaginationConfig={"PageSize": 2}) for item in page[result]]
        checks.equal(f"{name}: pages of 2 hold what one page holds", paged, whole)
        checks.check(f"{name}: nothing twice, nothing lost", len(set(whole)) == len(whole) and len(whole) >= 5, whole)


def iam(*arguments):
    """Runs `rekeyfs iam` on the keystore; gives what it printed."""
    done = subprocess.run(
        [setting("REKEYFS"), "iam", *arguments], env=without_endpoints(os.environ), stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60
    )
    if done.returncode != 0:
        raise RuntimeError(f"rekeyfs iam {' '.join(arguments)}: exit code {done.returncode}: {done.stderr}")
    return done.stdout


def grants(checks, clients):
    """A user without any right gets ReEncrypt by two grants, and loses it."""
    iam("create-user", "--user-name", "operator")
    secret = json.loads(iam("create-access-key", "--user-name", "operator"))["AccessKey"]
    user = clients.client(aws_access_key_id=secret["AccessKeyId"], aws_secret_access_key=secret["SecretAccessKey"])
    arn = f"arn:aws:iam::{clients.account}:user/operator"
    kms, source, destination = clients.kms, clients.key(), clients.key()
    blob = kms.encrypt(KeyId=source, Plaintext=b"secret", EncryptionContext={"a": "b"})["CiphertextBlob"]
    move = {"CiphertextBlob": blob, "SourceEncryptionContext": {"a": "b"}, "SourceKeyId": source, "DestinationKeyId": destination, "DestinationEncryptionContext": {"a": "c"}}
    denied = lambda action, key: rf"User: {re.escape(arn)} is not authorized to perform: kms:{action} on resource: {re.escape(key)} because no .*allows the kms:{action} action"
    refused(checks, "grants: without one", user.re_encrypt, "AccessDeniedException", denied("ReEncryptFrom", source), **move)
    give = lambda key, operation, context: kms.create_grant(
        KeyId=key, GranteePrincipal=arn, Operations=[operation, "RetireGrant"], RetiringPrincipal=clients.root, Constraints={"EncryptionContextEquals": context}
    )
    out = give(source, "ReEncryptFrom", {"a": "b"})
    refused(checks, "grants: with one of two", user.re_encrypt, "AccessDeniedException", denied("ReEncryptTo", destination), GrantTokens=[out["GrantToken"]], **move)
    into = give(destination, "ReEncryptTo", {"a": "c"})
    tokens = [out["GrantToken"], into["GrantToken"]]
    moved = user.re_encrypt(GrantTokens=tokens, **move)
    checks.equal("grants: with both and their tokens", (moved["SourceKeyId"], moved["KeyId"]), (source, destination))
    checks.equal("grants: the plaintext", kms.decrypt(CiphertextBlob=moved["CiphertextBlob"], EncryptionContext={"a": "c"})["Plaintext"], b"secret")
    refused(checks, "grants: another destination context", user.re_encrypt, "AccessDeniedException", GrantTokens=tokens, **{**move, "DestinationEncryptionContext": {"a": "d"}})
    refused(checks, "grants: no Decrypt", user.decrypt, "AccessDeniedException", denied("Decrypt", source), CiphertextBlob=blob, EncryptionContext={"a": "b"}, KeyId=source, GrantTokens=tokens)
    refused(checks, "grants: a wrong context tells nothing", user.decrypt, "AccessDeniedException", CiphertextBlob=blob, KeyId=source)
    refused(checks, "grants: a dry run with both", user.re_encrypt, "DryRunOperationException", GrantTokens=tokens, DryRun=True, **move)
    refused(checks, "grants: a token that is none", user.re_encrypt, "InvalidGrantTokenException", GrantTokens=["nonsense"], **move)
    user.retire_grant(GrantToken=into["GrantToken"])
    refused(checks, "grants: a retired one", user.re_encrypt, "AccessDeniedException", denied("ReEncryptTo", destination), **move)
    refused(checks, "grants: a retired one's token", user.re_encrypt, "InvalidGrantTokenException", GrantTokens=tokens, **move)
    kms.revoke_grant(KeyId=source, GrantId=out["GrantId"])
    refused(checks, "grants: a revoked one", user.re_encrypt, "AccessDeniedException", denied("ReEncryptFrom", source), **move)
    refused(checks, "grants: no DescribeKey", user.describe_key, "AccessDeniedException", KeyId=source)


def signatures(checks, clients):
    """Requests that are signed wrongly, late, early, or not at all."""
    bad = "The request signature we calculated does not match the signature you provided\\. .*"
    ask = {"Limit": 1}
    refused(checks, "a wrong secret", clients.client(aws_access_key_id=os.environ["AWS_ACCESS_KEY_ID"], aws_secret_access_key="wrong").list_keys, "InvalidSignatureException", bad, **ask)
    unknown = clients.client(aws_access_key_id="AKIAIOSFODNN7EXAMPLE", aws_secret_access_key="wrong")
    refused(checks, "an unknown access key", unknown.list_keys, "UnrecognizedClientException", "The security token included in the request is invalid\\.", **ask)
    refused(checks, "no signature", clients.client(config=Config(signature_version=UNSIGNED)).list_keys, "MissingAuthenticationTokenException", **ask)
    with_token = clients.client(aws_access_key_id=os.environ["AWS_ACCESS_KEY_ID"], aws_secret_access_key=os.environ["AWS_SECRET_ACCESS_KEY"], aws_session_token="nonsense")
    refused(checks, "a session token that is none", with_token.list_keys, "UnrecognizedClientException", **ask)

    def change(request, **_):
        request.body = request.body.replace(b"1", b"2")

    changed = clients.client()
    changed.meta.events.register("before-send.kms.ListKeys", change)
    refused(checks, "a body that was changed on its way", changed.list_keys, "InvalidSignatureException", bad, **ask)
    for name, minutes, message in (("an hour late", -60, "Signature expired: .* is now earlier than .*"), ("an hour early", 60, "Signature not yet current: .* is still later than .*")):
        now = datetime.datetime.now(datetime.timezone.utc).replace(tzinfo=None) + datetime.timedelta(minutes=minutes)
        with mock.patch.object(botocore.auth, "get_current_datetime", lambda *_, **__: now):
            refused(checks, f"a clock {name}", clients.client().list_keys, "InvalidSignatureException", message, **ask)
    now = datetime.datetime.now(datetime.timezone.utc).replace(tzinfo=None) - datetime.timedelta(minutes=4)
    with mock.patch.object(botocore.auth, "get_current_datetime", lambda *_, **__: now):
        checks.equal("a clock 4 minutes late", clients.client().list_keys(**ask)["ResponseMetadata"]["HTTPStatusCode"], 200)


def tls(checks, clients):
    """https with the server's certificate as the CA bundle, and without."""
    url, bundle = os.environ.get("TLS_ENDPOINT"), os.environ.get("TLS_CA_BUNDLE")
    if not checks.check("TLS: TLS_ENDPOINT and TLS_CA_BUNDLE are set", url and bundle):
        return
    # The other server does not know the key that this one has lent.
    made = json.loads(iam("create-access-key"))["AccessKey"]
    lasting = {"aws_access_key_id": made["AccessKeyId"], "aws_secret_access_key": made["SecretAccessKey"]}
    kms = clients.client(endpoint_url=url, verify=bundle, **lasting)
    key = clients.key()
    blob = kms.encrypt(KeyId=key, Plaintext=b"over TLS")["CiphertextBlob"]
    checks.equal("TLS: encrypt over https, decrypt over http", clients.kms.decrypt(CiphertextBlob=blob)["Plaintext"], b"over TLS")
    try:
        clients.client(endpoint_url=url, config=Config(retries={"total_max_attempts": 1})).list_keys()
        checks.check("TLS: an unknown certificate is refused", False, "it was accepted")
    except SSLError as error:
        checks.check("TLS: an unknown certificate is refused", "CERTIFICATE_VERIFY_FAILED" in str(error), error)


def one_connection(checks, clients):
    """Many calls, failing ones among them, on one connection that is kept alive."""
    kms, key = clients.client(config=Config(max_pool_connections=1)), clients.key()
    blob = kms.encrypt(KeyId=key, Plaintext=b"x")["CiphertextBlob"]
    identities = set()
    for number in range(CALLS - 1):
        if number % 10 == 9:
            error = refused(checks, f"keep-alive: call {number}", kms.decrypt, "InvalidCiphertextException", CiphertextBlob=blob[:-1])
            identities.add(error and error.response["ResponseMetadata"]["RequestId"])
        else:
            identities.add(kms.re_encrypt(CiphertextBlob=blob, DestinationKeyId=key)["ResponseMetadata"]["RequestId"])
    pool = kms._endpoint.http_session._manager.connection_from_url(clients.endpoint)
    checks.equal(f"keep-alive: {CALLS} requests on one connection", (pool.num_requests, pool.num_connections), (CALLS, 1))
    checks.equal("keep-alive: every request has an id of its own", len(identities), CALLS - 1)


def main():
    checks = Checks()
    clients = Clients()
    described = clients.kms.create_key()["KeyMetadata"]
    clients.account, clients.root = described["AWSAccountId"], f"arn:aws:iam::{described['AWSAccountId']}:root"
    for part in (every_operation, pages, grants, signatures, tls, one_connection):
        with checks.step(part.__name__):
            part(checks, clients)
    with checks.step("Encryption SDK"):
        encryption_sdk.master_keys(checks, clients.kms, clients.key)
    with checks.step("hierarchical keyring"):
        encryption_sdk.hierarchical_keyring(checks, clients.client(), clients.key, clients.region)
    checks.close()


if __name__ == "__main__":
    main()
