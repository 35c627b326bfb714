"""Signatures, access keys and sessions: who is let in through the AWS door, and what the trail says of who is not."""

import datetime
import hashlib
import json
import random
import subprocess
import sys

import botocore.session
import pytest
import requests
from aws_house import ACCOUNT, REGION, client, environment, key_of, refusal
from botocore.auth import SigV4Auth, SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

TARGET = "secretsmanager.GetSecretValue"


@pytest.fixture
def server(disk_server):
    client(disk_server).create_secret(Name="there", SecretString="canary-value")
    return disk_server


def signed(server, body=b'{"SecretId": "there"}', headers=None, key=None, service="secretsmanager", query=""):
    """A request as botocore's own signer signs it, to be spoilt before it is sent."""
    headers = {"X-Amz-Target": TARGET, "Content-Type": "application/x-amz-json-1.1"} | (headers or {})
    request = AWSRequest("POST", f"{server.url}/{query}", headers=headers, data=body)
    SigV4Auth(Credentials(*(key or key_of(server))), service, REGION).add_auth(request)
    return request.prepare()


def send(request, **spoil):
    headers = {**request.headers, **spoil.get("headers", {})}
    headers = {name: value for name, value in headers.items() if value is not None}
    return requests.post(spoil.get("url", request.url), data=spoil.get("body", request.body), headers=headers)


def code(answer):
    return answer.json()["__type"]


def test_a_spoilt_signature_is_refused_and_recorded(server):
    request = signed(server)
    assert send(request).json()["SecretString"] == "canary-value"
    auth = request.headers["Authorization"]
    last = "0" if auth[-1] != "0" else "1"
    for spoil, expected in (
        ({"body": b'{"SecretId": "other"}'}, "InvalidSignatureException"),
        ({"headers": {"X-Amz-Target": "secretsmanager.DescribeSecret"}}, "InvalidSignatureException"),
        ({"url": f"{server.url}/?a=b"}, "InvalidSignatureException"),
        ({"headers": {"Authorization": auth[:-1] + last}}, "InvalidSignatureException"),
        ({"headers": {"Authorization": auth.replace("us-east-1", "eu-west-1")}}, "InvalidSignatureException"),
        ({"headers": {"Authorization": auth.replace("secretsmanager", "ssm", 1)}}, "InvalidSignatureException"),
        ({"headers": {"X-Amz-Content-SHA256": "UNSIGNED-PAYLOAD"}}, "InvalidSignatureException"),
        ({"headers": {"X-Amz-Content-SHA256": hashlib.sha256(b"x").hexdigest()}}, "InvalidSignatureException"),
        ({"headers": {"X-Amz-Security-Token": "abc"}}, "IncompleteSignatureException"),
        ({"headers": {"Authorization": auth.replace("host;", "")}}, "IncompleteSignatureException"),
        ({"headers": {"Authorization": "AWS4-HMAC-SHA256 Credential=x"}}, "IncompleteSignatureException"),
        ({"headers": {"Authorization": None}}, "MissingAuthenticationTokenException"),
        ({"headers": {"X-Amz-Date": "20200101T000000Z"}}, "IncompleteSignatureException"),
    ):
        recorded = len(server.trail())
        answer = send(request, **spoil)
        assert (answer.status_code, code(answer)) == (400, expected), (spoil, answer.text)
        assert "canary" not in answer.text and answer.headers["x-amzn-requestid"]
        entries = server.trail()[recorded:]
        assert [entry["outcome"]["ok"] if "ok" in entry["outcome"] else entry["decision"]["granted"]
                for entry in entries if entry["kind"] == "outcome"] == [False], entries


def test_the_clock_may_be_off_by_a_quarter_of_an_hour(server, monkeypatch):
    import botocore.auth
    import botocore.compat

    now = datetime.datetime.now(datetime.timezone.utc)
    for minutes, expected in ((-16, "InvalidSignatureException"), (-14, None), (14, None), (16, "InvalidSignatureException")):
        moment = now + datetime.timedelta(minutes=minutes)
        for module in (botocore.auth, botocore.compat):
            if hasattr(module, "get_current_datetime"):
                monkeypatch.setattr(module, "get_current_datetime", lambda *a, **k: moment.replace(tzinfo=None))
        answer = send(signed(server))
        assert (code(answer) if answer.status_code != 200 else None) == expected, (minutes, answer.text)


def test_whatever_botocore_signs_we_find_signed(server):
    """A property: bodies, queries and headers of any kind, canonicalised by botocore and by us."""
    dice = random.Random(7)
    letters = "abz AZ019-_.~!*'()+%&=/ü€\t"
    for _ in range(60):
        text = "".join(dice.choice(letters) for _ in range(dice.randrange(12)))
        headers = {"X-Amz-Meta-A": "a   b  " + "".join(dice.choice("xyz  ") for _ in range(8)) + "c"}
        pairs = [(dice.choice("kKaz"), dice.choice(["", "1", "a%20b", "%C3%BC", "x~y"])) for _ in range(dice.randrange(3))]
        query = "?" + "&".join(f"{name}={value}" for name, value in pairs) if pairs else ""
        body = json.dumps({"SecretId": "there", "Ignored": text}).encode()
        answer = send(signed(server, body=body, headers=headers, query=query))
        assert answer.status_code == 200, (text, query, answer.text)


def test_a_presigned_question_is_answered_until_it_ends(server):
    def ask(expires, region=REGION):
        url = f"{server.url}/?Action=GetCallerIdentity&Version=2011-06-15"
        request = AWSRequest("GET", url)
        SigV4QueryAuth(Credentials(*key_of(server)), "sts", region, expires=expires).add_auth(request)
        return request.url

    url = ask(60)
    assert f"<Account>{ACCOUNT}</Account>" in requests.get(url).text
    assert requests.post(url).status_code == 403
    for bad in (url + "0", url.replace("X-Amz-Expires=60", "X-Amz-Expires=61"), ask(604_801)):
        answer = requests.get(bad)
        assert answer.status_code == 403 and "<ErrorResponse" in answer.text, answer.text


def test_who_am_i(server):
    who = client(server, "sts").get_caller_identity()
    assert (who["Account"], who["Arn"]) == (ACCOUNT, f"arn:aws:iam::{ACCOUNT}:user/root")
    assert refusal(client(server, "sts", key=("AKIAIOSFODNN7EXAMPLE", "x")).get_caller_identity)[0] == "InvalidClientTokenId"
    assert refusal(client(server, "sts", key=(key_of(server)[0], "x")).get_caller_identity)[0] == "SignatureDoesNotMatch"


def make_key(server, *flags, name="app"):
    made = json.loads(server.cli("access-key", "create", *flags, name, VAULT_FORMAT="json"))["data"]
    return made["access_key_id"], made["secret_access_key"]


def test_a_key_is_disabled_rotated_and_revoked(server):
    server.root.sys.create_or_update_policy("read", 'path "secret/data/*" { capabilities = ["read"] }')
    key = make_key(server, "-policy=read")
    get = lambda key: client(server, key=key).get_secret_value  # noqa: E731
    assert get(key)(SecretId="there")["SecretString"] == "canary-value"
    server.cli("access-key", "disable", key[0])
    assert refusal(get(key), SecretId="there")[0] == "UnrecognizedClientException"
    server.cli("access-key", "disable", "-undo", key[0])
    made = json.loads(server.cli("access-key", "rotate", "-overlap=1h", key[0], VAULT_FORMAT="json"))["data"]
    second = (made["access_key_id"], made["secret_access_key"])
    for one in (key, second):
        assert get(one)(SecretId="there")
    third = json.loads(server.cli("access-key", "rotate", second[0], VAULT_FORMAT="json"))["data"]
    assert refusal(get(second), SecretId="there")[0] in ("ExpiredTokenException", "UnrecognizedClientException")
    listed = server.cli("access-key", "list")
    assert third["access_key_id"] in listed and third["secret_access_key"] not in listed
    assert "secret" not in json.dumps(json.loads(server.cli("access-key", "read", key[0], VAULT_FORMAT="json"))["data"])
    server.cli("access-key", "revoke", key[0])
    assert refusal(get(key), SecretId="there")[0] == "UnrecognizedClientException"
    server.kill()
    server.start()
    assert get((third["access_key_id"], third["secret_access_key"]))(SecretId="there")
    assert refusal(get(key), SecretId="there")[0] == "UnrecognizedClientException"


def test_a_key_dies_with_its_entity_and_knows_its_network(server):
    server.root.sys.create_or_update_policy("read", 'path "secret/data/*" { capabilities = ["read"] }')
    server.root.secrets.identity.create_or_update_entity(name="ann", policies=["read"])
    key = make_key(server, "-entity=ann")
    get = client(server, key=key).get_secret_value
    assert get(SecretId="there")
    entity = server.root.secrets.identity.read_entity_by_name("ann")["data"]
    server.root.secrets.identity.update_entity(entity["id"], name="ann", policies=["read"], disabled=True)
    assert refusal(get, SecretId="there")[0] == "UnrecognizedClientException"
    away = make_key(server, "-policy=read", "-cidr=203.0.113.0/24", name="away")
    assert refusal(client(server, key=away).get_secret_value, SecretId="there")[0] == "AccessDeniedException"


def test_without_sudo_a_key_is_for_the_own_entity_only(server):
    rules = 'path "sys/access-keys*" { capabilities = ["create", "update", "read", "list", "delete"] }'
    token = server.policy_token(rules)
    refused = server.run("access-key", "create", "-policy=default", "x", token=token)
    assert refused.returncode == 2 and "sudo" in refused.stderr
    assert server.run("access-key", "create", "x", token=token).returncode == 2
    assert server.run("access-key", "read", key_of(server)[0], token=token).returncode == 2
    sudo = server.policy_token('path "sys/access-keys*" { capabilities = ["update", "create", "sudo"] }', name="sudo")
    assert server.run("access-key", "create", "-policy=root", "x", token=sudo).returncode == 2
    assert server.run("access-key", "create", "-policy=default", "x", token=sudo).returncode == 0


def test_a_role_is_assumed_for_a_while_and_dies_with_its_maker(server):
    server.root.sys.create_or_update_policy("read", 'path "secret/data/*" { capabilities = ["read"] }')
    server.root.sys.create_or_update_policy("assume", 'path "sys/aws/roles/reader/assume" { capabilities = ["update"] }')
    server.cli("write", "sys/aws/roles/reader", "policies=read", "max_session=1h")
    key = make_key(server, "-policy=assume")
    sts = client(server, "sts", key=key)
    arn = f"arn:aws:iam::{ACCOUNT}:role/reader"
    got = sts.assume_role(RoleArn=arn, RoleSessionName="job-1", DurationSeconds=900)
    made = got["Credentials"]
    assert got["AssumedRoleUser"]["Arn"] == f"arn:aws:sts::{ACCOUNT}:assumed-role/reader/job-1"
    assert made["AccessKeyId"].startswith("ASIA")
    temporary = (made["AccessKeyId"], made["SecretAccessKey"])
    session = client(server, key=temporary, token=made["SessionToken"])
    assert session.get_secret_value(SecretId="there")["SecretString"] == "canary-value"
    assert refusal(session.put_secret_value, SecretId="there", SecretString="x")[0] == "AccessDeniedException"
    assert refusal(client(server, key=key).get_secret_value, SecretId="there")[0] == "AccessDeniedException"
    for wrong in (None, "x", made["SessionToken"] + "x"):
        assert refusal(client(server, key=temporary, token=wrong).get_secret_value, SecretId="there")[0] == (
            "UnrecognizedClientException")
    for how, expected in (
        ({"RoleArn": arn, "RoleSessionName": "x y"}, "ValidationError"),
        ({"RoleArn": arn, "RoleSessionName": "job", "DurationSeconds": 7_200}, "ValidationError"),
        ({"RoleArn": arn.replace("reader", "other"), "RoleSessionName": "job"}, "AccessDenied"),
        ({"RoleArn": arn, "RoleSessionName": "job", "Policy": "{}"}, "MalformedPolicyDocument"),
    ):
        assert refusal(sts.assume_role, **how)[0] == expected, how
    assert refusal(
        sts.assume_role_with_web_identity, RoleArn=arn, RoleSessionName="job", WebIdentityToken="abcd",
    )[0] == "InvalidIdentityToken"
    server.cli("access-key", "revoke", key[0])
    assert refusal(session.get_secret_value, SecretId="there")[0] == "UnrecognizedClientException"


def test_a_sealed_server_serves_nobody(new_production):
    server = new_production().initialise()
    aws = client(server, key=("AKIAIOSFODNN7EXAMPLE", "x"), connect_timeout=5)
    aws = botocore.session.get_session().create_client(
        "secretsmanager", endpoint_url=server.url, region_name=REGION, aws_access_key_id="AKIAIOSFODNN7EXAMPLE",
        aws_secret_access_key="x", verify=str(server.ca), config=aws.meta.config,
    )
    assert refusal(aws.get_secret_value, SecretId="x")[0] == "ServiceUnavailableException"


def test_regions_stand_for_mounts_and_others_are_not_served(new_production):
    more = """
aws {
  account_id = "123456789012"
  region "eu-central-1" { mount = "europe" }
}
"""
    server = new_production(more=more).initialise()
    server.unseal()
    server.cli("secrets", "enable", "-path=europe", "-version=2", "kv")
    server.root.sys.create_or_update_policy("all", 'path "europe/*" { capabilities = ["create", "read", "update"] }')
    key = make_key(server, "-policy=all")

    def at(region):
        return botocore.session.get_session().create_client(
            "secretsmanager", endpoint_url=server.url, region_name=region, aws_access_key_id=key[0],
            aws_secret_access_key=key[1], verify=str(server.ca),
        )

    made = at("eu-central-1").create_secret(Name="a", SecretString="hunter2")
    assert made["ARN"].startswith("arn:aws:secretsmanager:eu-central-1:123456789012:secret:a-")
    assert server.json("kv", "get", "europe/a")["data"]["data"] == {"value": "hunter2"}
    assert refusal(at("us-east-1").get_secret_value, SecretId="a")[0] == "AccessDeniedException"


def test_unsigned_calls_of_every_operation_are_refused(server):
    """Every operation that botocore knows, without and with a stranger's key."""
    session = botocore.session.get_session()
    for service, target in (("secretsmanager", "secretsmanager"), ("ssm", "AmazonSSM")):
        for name in session.get_service_model(service).operation_names:
            headers = {"X-Amz-Target": f"{target}.{name}", "Content-Type": "application/x-amz-json-1.1"}
            answer = requests.post(server.url, headers=headers, data=b'{"SecretId": "there", "Name": "there"}')
            assert answer.status_code == 400, (name, answer.text)
            assert code(answer) in ("MissingAuthenticationTokenException", "UnknownOperationException"), name
            request = signed(
                server, headers=headers, key=("AKIAIOSFODNN7EXAMPLE", "x"), service=service, body=b'{"SecretId": "there"}')
            answer = send(request)
            assert code(answer) in ("UnrecognizedClientException", "UnknownOperationException"), name
            if service == "secretsmanager":
                assert code(answer) == "UnrecognizedClientException", f"{name} is not served"


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b'{"SecretId": 5}', b'{"SecretId": {"a": []}}', b"\xff\xfe", b"{" * 5_000])
def test_hostile_bodies_are_refused_without_harm(server, body):
    answer = send(signed(server, body=body))
    assert answer.status_code == 400 and code(answer) in ("SerializationException", "ValidationException"), answer.text
    assert client(server).get_secret_value(SecretId="there")


def test_the_command_line_of_aws_and_other_clients_work_unchanged(server):
    env = server.env(client=False, **environment(server))

    def aws(*words):
        command = [sys.executable, "-m", "awscli", *words]
        done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    aws("secretsmanager", "create-secret", "--name", "cli/a", "--secret-string", "hunter2")
    value = ["--query", "SecretString", "--output", "text"]
    assert aws("secretsmanager", "get-secret-value", "--secret-id", "cli/a", *value) == "hunter2"
    assert ACCOUNT in aws("sts", "get-caller-identity")
    assert "cli/a" in aws("secretsmanager", "list-secrets", "--query", "SecretList[].Name")

    from aws_secretsmanager_caching import SecretCache, SecretCacheConfig

    def cache():
        return SecretCache(config=SecretCacheConfig(secret_refresh_interval=1), client=client(server))

    assert cache().get_secret_string("cli/a") == "hunter2"
    client(server).put_secret_value(SecretId="cli/a", SecretString="next")
    assert cache().get_secret_string("cli/a") == "next"

    from aws_lambda_powertools.utilities.parameters import SecretsProvider

    provider = SecretsProvider(boto3_client=client(server))
    assert provider.get("cli/a") == "next"
    provider.set("cli/b", {"k": "v"})
    assert provider.get("cli/b", transform="json") == {"k": "v"}
    provider.set("cli/b", "again")
    assert provider.get("cli/b", force_fetch=True) == "again"
