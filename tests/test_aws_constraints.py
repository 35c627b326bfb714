"""Every constraint that the clients' own models state: a value beyond it is refused, also when the client does not look."""

import boto3
import botocore.session
import pytest
from aws_house import ACCOUNT, REGION, client, key_of
from botocore.config import Config
from botocore.exceptions import ClientError

TOKEN = "12345678-1234-1234-1234-123456789012"
ARN = f"arn:aws:iam::{ACCOUNT}:role/reader"
# A request of each operation that would go well, or be refused for a reason of its own.
GOOD = {
    "secretsmanager": {
        "BatchGetSecretValue": {"Filters": [{"Key": "name", "Values": ["there"]}]},
        "CreateSecret": {"Name": "fresh", "SecretString": "x", "ClientRequestToken": TOKEN},
        "GetRandomPassword": {},
        "ListResourcePolicies": {"SecretId": "there"},
        "ListSecrets": {},
        "PutResourcePolicy": {"SecretId": "there", "ResourcePolicy": "{}"},
        "PutSecretValue": {"SecretId": "there", "SecretString": "y", "ClientRequestToken": TOKEN},
        "RotateSecret": {"SecretId": "there", "ClientRequestToken": TOKEN},
        "TagResource": {"SecretId": "there", "Tags": [{"Key": "a", "Value": "b"}]},
        "UntagResource": {"SecretId": "there", "TagKeys": ["a"]},
        "UpdateSecret": {"SecretId": "there", "ClientRequestToken": TOKEN},
        "UpdateSecretVersionStage": {"SecretId": "there", "VersionStage": "A"},
        "ValidateResourcePolicy": {"SecretId": "there", "ResourcePolicy": "{}"},
    },
    "ssm": {
        "AddTagsToResource": {"ResourceType": "Parameter", "ResourceId": "/there", "Tags": [{"Key": "a", "Value": "b"}]},
        "DeleteParameter": {"Name": "/there"},
        "DeleteParameters": {"Names": ["/there"]},
        "DescribeParameters": {},
        "GetParameter": {"Name": "/there"},
        "GetParameterHistory": {"Name": "/there"},
        "GetParameters": {"Names": ["/there"]},
        "GetParametersByPath": {"Path": "/"},
        "LabelParameterVersion": {"Name": "/there", "Labels": ["l"]},
        "ListTagsForResource": {"ResourceType": "Parameter", "ResourceId": "/there"},
        "PutParameter": {"Name": "/there", "Value": "x", "Type": "String", "Overwrite": True},
        "RemoveTagsFromResource": {"ResourceType": "Parameter", "ResourceId": "/there", "TagKeys": ["a"]},
        "UnlabelParameterVersion": {"Name": "/there", "ParameterVersion": 1, "Labels": ["l"]},
    },
    "sts": {
        "AssumeRole": {"RoleArn": ARN, "RoleSessionName": "job"},
        "AssumeRoleWithWebIdentity": {"RoleArn": ARN, "RoleSessionName": "job", "WebIdentityToken": "abcd"},
    },
}
# What is not looked at here, as docs/dialects.md says, or has no bound of its own: the bound of the body stands above it.
UNREAD = {
    ("secretsmanager", "CreateSecret", "Type"), ("secretsmanager", "UpdateSecret", "Type"),
    ("sts", "AssumeRole", "Tags"), ("sts", "AssumeRole", "TransitiveTagKeys"), ("sts", "AssumeRole", "ExternalId"),
    ("sts", "AssumeRole", "SerialNumber"), ("sts", "AssumeRole", "TokenCode"), ("sts", "AssumeRole", "SourceIdentity"),
    ("sts", "AssumeRole", "ProvidedContexts"), ("sts", "AssumeRole", "MinimumSessionTokenSize"), ("sts", "AssumeRoleWithWebIdentity", "ProviderId"),
}


def spoilt(shape):
    """Values beyond what the shape allows."""
    meta, kind = shape.metadata, shape.type_name
    if kind == "string":
        if shape.enum:
            yield "no-such-word"
        if meta.get("min", 0) > 0:
            yield "a" * (meta["min"] - 1)
        if meta.get("max", 10**9) < 70_000:
            yield "a" * (meta["max"] + 1)
        yield {"a": 1}
    elif kind in ("integer", "long"):
        if "min" in meta:
            yield meta["min"] - 1
        if "max" in meta:
            yield meta["max"] + 1
        yield {"a": 1}
    elif kind == "list":
        inner = "a" if shape.member.type_name == "string" else None
        if inner and meta.get("max", 10**9) < 1_000:
            yield [f"{inner}{n}" for n in range(meta["max"] + 1)]
        if not inner:
            yield "a"
    elif kind == "boolean":
        yield "yes"


def cases():
    session = botocore.session.get_session()
    for service, operations in GOOD.items():
        model = session.get_service_model(service)
        names = list(operations)
        if service == "secretsmanager":
            names = model.operation_names
        for name in names:
            operation = model.operation_model(name)
            yield service, name, operation


def test_what_the_models_do_not_allow_is_refused(disk_server):
    client(disk_server).create_secret(Name="there", SecretString="x")
    client(disk_server, "ssm").put_parameter(Name="/there", Value="x", Type="String")
    disk_server.root.sys.create_or_update_policy("read", 'path "secret/data/*" { capabilities = ["read"] }')
    disk_server.cli("write", "sys/aws/roles/reader", "policies=read")
    accepted, unknown = [], []
    for service, name, operation in cases():
        quiet = boto3.client(
            service, endpoint_url=disk_server.url, region_name=REGION, aws_access_key_id=key_of(disk_server)[0],
            aws_secret_access_key=key_of(disk_server)[1],
            config=Config(parameter_validation=False, retries={"max_attempts": 1}))
        call = getattr(quiet, botocore.xform_name(name))
        good = GOOD[service].get(name, {"SecretId": "there"})
        members = operation.input_shape.members if operation.input_shape else {}
        required = operation.input_shape.required_members if operation.input_shape else []
        tries = [(member, value) for member, shape in members.items() for value in spoilt(shape)]
        tries += [(member, None) for member in required]
        for member, value in tries:
            if (service, name, member) in UNREAD or (service == "sts" and isinstance(value, (dict, list))):
                continue
            ask = {**good, member: value}
            if value is None:
                ask.pop(member)
            try:
                call(**ask)
                accepted.append((service, name, member, str(value)[:20]))
            except ClientError as error:
                code = error.response["Error"]["Code"]
                known = {shape.name for shape in operation.error_shapes} | {
                    shape.metadata.get("error", {}).get("code") for shape in operation.error_shapes}
                if code not in known and code not in (
                        "ValidationException", "SerializationException", "ValidationError", "MalformedInput",
                        "InvalidNextToken", "InvalidNextTokenException", "InvalidParameterException",
                        "InvalidRequestException", "ResourceNotFoundException"):
                    unknown.append((service, name, member, code))
            except (AttributeError, TypeError):
                pass  # botocore itself cannot write it down
    assert not accepted, "\n".join(map(str, accepted))
    assert not unknown, "\n".join(map(str, unknown))
