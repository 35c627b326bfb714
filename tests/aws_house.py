"""Clients of AWS against a server under test: the key that the server says it made, and nothing of the user's own."""

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

REGION = "us-east-1"
ACCOUNT = "000000000000"


def key_of(server):
    """The access key that a development server prints."""
    banner = server.banner()
    return tuple(banner.split(f"{name}='")[-1].split("'")[0] for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"))


def client(server, service="secretsmanager", key=None, region=REGION, token=None, **config):
    key = key or key_of(server)
    return boto3.client(
        service, endpoint_url=server.url, region_name=region, aws_access_key_id=key[0], aws_secret_access_key=key[1],
        aws_session_token=token, config=Config(retries={"max_attempts": 1}, **config),
    )


def environment(server, key=None):
    """For clients that look into the environment."""
    key = key or key_of(server)
    return {
        "AWS_ENDPOINT_URL": server.url, "AWS_DEFAULT_REGION": REGION, "AWS_REGION": REGION,
        "AWS_ACCESS_KEY_ID": key[0], "AWS_SECRET_ACCESS_KEY": key[1], "AWS_EC2_METADATA_DISABLED": "true",
    }


def refusal(call, **arguments):
    """Code and text with which a call is refused."""
    with pytest.raises(ClientError) as caught:
        call(**arguments)
    assert caught.value.response["ResponseMetadata"]["RequestId"]
    return caught.value.response["Error"]["Code"], caught.value.response["Error"]["Message"]
