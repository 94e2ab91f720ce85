"""A boto3 client whose every answer is checked against the API model, as parsed and as it came over the wire."""

import json
import re

from botocore.exceptions import ClientError
from botocore.validate import ParamValidator

UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


class Recorder:
    """Calls operations, checks what comes, and remembers which ones went well and which were refused."""

    def __init__(self, checks, kms):
        self.checks, self.kms = checks, kms
        self.succeeded, self.failed = set(), set()
        self.body = self.headers = None
        kms.meta.events.register("before-parse.kms.*", self.keep)

    def keep(self, response_dict, **_):
        self.body, self.headers = response_dict["body"], response_dict["headers"]

    def metadata(self, name, metadata, status):
        """What must hold of every answer's metadata and headers."""
        self.checks.equal(f"{name}: HTTPStatusCode", metadata.get("HTTPStatusCode"), status)
        self.checks.equal(f"{name}: RetryAttempts", metadata.get("RetryAttempts"), 0)
        self.checks.check(f"{name}: RequestId", UUID.fullmatch(metadata.get("RequestId", "")), metadata)
        self.checks.equal(f"{name}: Content-Type", self.headers.get("Content-Type"), "application/x-amz-json-1.1")

    def good(self, operation, **parameters):
        """A call that must succeed; returns the answer."""
        answer = getattr(self.kms, operation)(**parameters)
        self.succeeded.add(operation)
        self.metadata(operation, answer["ResponseMetadata"], 200)
        members = {name: value for name, value in answer.items() if name != "ResponseMetadata"}
        model = self.kms.meta.service_model.operation_model(self.kms.meta.method_to_api_mapping[operation])
        shape = model.output_shape
        if shape is None:
            self.checks.check(f"{operation}: no output", not members and self.body in (b"", b"{}"), self.body)
            return members
        report = ParamValidator().validate(members, shape)
        self.checks.check(f"{operation}: types", not report.has_errors(), report.generate_report())
        sent = json.loads(self.body)
        self.checks.check(f"{operation}: no member that the model does not have", not unknown(sent, shape), unknown(sent, shape))
        self.checks.check(f"{operation}: enum members", not outside(sent, shape), outside(sent, shape))
        return members

    def bad(self, operation, code, message=None, **parameters):
        """A call that must be refused with an exception (and, if given, exactly this message)."""
        try:
            getattr(self.kms, operation)(**parameters)
        except ClientError as error:
            self.failed.add(operation)
            self.metadata(f"{operation} refused", error.response["ResponseMetadata"], 400)
            said = error.response["Error"]
            self.checks.equal(f"{operation} refused: exception", said["Code"], code)
            self.checks.equal(f"{operation} refused: __type", json.loads(self.body).get("__type"), code)
            if message is not None:
                self.checks.equal(f"{operation} refused: message", said.get("Message", ""), message)
            return
        self.checks.check(f"{operation} refused", False, f"it succeeded with {parameters}")


def unknown(value, shape, path=""):
    """Members of a JSON value that its shape does not have, and nulls."""
    if value is None:
        return [f"{path} is null"]
    if shape.type_name == "structure":
        found = [f"{path}.{name}" for name in value if name not in shape.members]
        return found + [more for name, member in shape.members.items() if name in value for more in unknown(value[name], member, f"{path}.{name}")]
    if shape.type_name == "list":
        return [more for item in value for more in unknown(item, shape.member, f"{path}[]")]
    return []


def outside(value, shape, path=""):
    """Texts of a JSON value that are not among their enum's members."""
    if value is None:
        return []
    if shape.type_name == "structure":
        return [more for name, member in shape.members.items() if name in value for more in outside(value[name], member, f"{path}.{name}")]
    if shape.type_name == "list":
        return [more for item in value for more in outside(item, shape.member, f"{path}[]")]
    enum = getattr(shape, "enum", None)
    return [f"{path} {value!r}"] if enum and value not in enum else []
