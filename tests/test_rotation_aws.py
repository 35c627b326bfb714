"""Rotation through AWS's API: the built-in ways, and functions written for AWS that run as they are."""

import json
import os
import pathlib
import subprocess
import sys
import uuid

import boto3
import pytest
from aws_house import refusal
from botocore.config import Config
from house import wait_until
from outside import Postgres

REPOSITORY = "aws-samples/aws-secrets-manager-rotation-lambdas"
FUNCTION = "arn:aws:lambda:us-east-1:000000000000:function:"


@pytest.fixture
def postgres():
    server = Postgres()
    try:
        yield server.start()
    finally:
        server.close()


@pytest.fixture
def template(tmp_path):
    """AWS's published function for PostgreSQL, which is fetched here and kept nowhere."""
    path = "SecretsManagerRDSPostgreSQLRotationSingleUser/lambda_function.py"
    kept = os.environ.get("STRONGROOM_ROTATION_TEMPLATES")
    if kept:
        text = (pathlib.Path(kept) / path).read_text()
    else:
        done = subprocess.run(
            ["git", "clone", "-q", "--depth=1", f"https://github.com/{REPOSITORY}", tmp_path / "templates"],
            capture_output=True, text=True, timeout=120)
        if done.returncode != 0:
            pytest.skip(f"{REPOSITORY} cannot be fetched here; set STRONGROOM_ROTATION_TEMPLATES to a copy of it")
        text = (tmp_path / "templates" / path).read_text()
    pytest.importorskip("pgdb", reason="the published function needs PyGreSQL: pip install PyGreSQL (and libpq)")
    file = tmp_path / "template.py"
    file.write_text(text)
    return file


@pytest.fixture
def start(new_production, certificate, tmp_path):
    """A server with functions, opened, and a client of AWS with a key of an operator's."""

    def start(functions):
        blocks = "".join(
            f'rotation_function "{name}" {{\n  python = "{file}"\n  interpreter = "{sys.executable}"\n  timeout = "30s"\n'
            f'  ca_file = "{certificate[0]}"\n  user = "{os.getuid()}:{os.getgid()}"\n}}\n'
            for name, file in functions.items())
        server = new_production(more=blocks).initialise()
        server.unseal()
        server.cli("secrets", "enable", "-path=secret", "-version=2", "kv")
        server.root.sys.create_or_update_policy("all", 'path "secret/*" { capabilities = ["create", "read", "update", "delete", "list"] }')
        made = server.json("access-key", "create", "-policy=all", "tests")["data"]
        client = boto3.client(
            "secretsmanager", endpoint_url=server.url, region_name="us-east-1", verify=str(certificate[0]),
            aws_access_key_id=made["access_key_id"], aws_secret_access_key=made["secret_access_key"],
            config=Config(retries={"max_attempts": 1}))
        return server, client

    return start


def write(tmp_path, name, body):
    file = tmp_path / f"{name}.py"
    file.write_text("import boto3, json, os\n\n\ndef lambda_handler(event, context):\n" + body)
    return file


CLIENT = """    client = boto3.client("secretsmanager", endpoint_url=os.environ["SECRETS_MANAGER_ENDPOINT"])
    arn, token, step = event["SecretId"], event["ClientRequestToken"], event["Step"]
"""
GOOD = CLIENT + """    if step == "createSecret":
        client.put_secret_value(SecretId=arn, ClientRequestToken=token, SecretString="made-by-a-function-" + token,
                                VersionStages=["AWSPENDING"])
    if step == "finishSecret":
        stages = client.describe_secret(SecretId=arn)["VersionIdsToStages"]
        old = next(version for version, labels in stages.items() if "AWSCURRENT" in labels)
        if old != token:
            client.update_secret_version_stage(SecretId=arn, VersionStage="AWSCURRENT", MoveToVersionId=token,
                                               RemoveFromVersionId=old)
"""


def ended(client, name, patience=60):
    """The labels once nothing is under way."""
    def labels():
        stages = client.describe_secret(SecretId=name).get("VersionIdsToStages", {})
        return stages if not any("AWSPENDING" in labels for labels in stages.values()) else None

    return wait_until("the rotation ended", labels, patience=patience)


def test_the_published_function_rotates_a_real_postgresql_unmodified(start, template, postgres):
    server, client = start({"pg": template})
    postgres.sql("CREATE ROLE app LOGIN PASSWORD 'f1rst-canary'")
    value = {"engine": "postgres", "host": "127.0.0.1", "port": postgres.port, "dbname": "app", "username": "app",
             "password": "f1rst-canary", "ssl": False}
    client.create_secret(Name="prod/db", SecretString=json.dumps(value))
    seen = ["f1rst-canary"]
    for _ in range(4):
        token = str(uuid.uuid4())
        answer = client.rotate_secret(SecretId="prod/db", ClientRequestToken=token, RotationLambdaARN=FUNCTION + "pg",
                                      RotationRules={"AutomaticallyAfterDays": 30})
        assert answer["VersionId"] == token
        stages = ended(client, "prod/db")
        assert stages[token] == ["AWSCURRENT"], server.run("rotate", "status", "secret/prod/db", token=server.root_token).stdout
        seen.append(json.loads(client.get_secret_value(SecretId="prod/db")["SecretString"])["password"])
        assert postgres.lets_in("app", seen[-1]) and not postgres.lets_in("app", seen[-2])
    shown = client.describe_secret(SecretId="prod/db")
    assert shown["RotationEnabled"] and shown["RotationLambdaARN"] == FUNCTION + "pg"
    assert shown["LastRotatedDate"] < shown["NextRotationDate"]
    assert shown["RotationRules"] == {"AutomaticallyAfterDays": 30}
    everything = server.said() + str(server.trail())
    assert not [password for password in seen if password in everything]


def test_a_built_in_way_is_called_by_its_name_in_an_arn(start, postgres):
    _, client = start({})
    postgres.sql("CREATE ROLE app LOGIN PASSWORD 'f1rst-canary'")
    value = {"engine": "postgres", "host": "127.0.0.1", "port": postgres.port, "dbname": "app", "username": "app",
             "password": "f1rst-canary"}
    client.create_secret(Name="prod/db", SecretString=json.dumps(value))
    token = str(uuid.uuid4())
    client.rotate_secret(SecretId="prod/db", ClientRequestToken=token, RotationLambdaARN=FUNCTION + "postgres-single")
    assert ended(client, "prod/db")[token] == ["AWSCURRENT"]
    made = json.loads(client.get_secret_value(SecretId="prod/db")["SecretString"])
    assert postgres.lets_in("app", made["password"]) and made["port"] == postgres.port
    assert client.get_secret_value(SecretId="prod/db", VersionStage="AWSPREVIOUS")["SecretString"] == json.dumps(value)


def test_a_function_that_fails_leaves_the_value_and_its_words_hold_no_secret(start, tmp_path):
    bad = write(tmp_path, "bad", GOOD + """    if step == "testSecret":
        raise ValueError("no login with " + client.get_secret_value(SecretId=arn, VersionId=token)["SecretString"])
""")
    server, client = start({"bad": bad})
    client.create_secret(Name="a", SecretString="stays-c4nary")
    client.rotate_secret(SecretId="a", ClientRequestToken=str(uuid.uuid4()), RotationLambdaARN=FUNCTION + "bad")
    ended(client, "a")
    assert client.get_secret_value(SecretId="a")["SecretString"] == "stays-c4nary"
    why = server.json("rotate", "status", "secret/a")["before"]["outcome"]
    assert why["phase"] == "testing" and "ValueError: no login with ***" in why["why"]
    assert "made-by-a-function" not in server.said() + str(server.trail())


def test_a_function_that_prints_its_key_tells_it_to_nobody_and_the_manuals_schedule_is_taken(start, tmp_path):
    loud = write(tmp_path, "loud", """    names = ("AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
    raise ValueError("called with " + " ".join(f"{name}={os.environ[name]}" for name in names) + " and no more")
""")
    server, client = start({"loud": loud})
    client.create_secret(Name="a", SecretString="stays-c4nary")
    rules = {"ScheduleExpression": "cron(0 8/8 * * ? *)", "Duration": "2h"}
    client.rotate_secret(SecretId="a", ClientRequestToken=str(uuid.uuid4()), RotationLambdaARN=FUNCTION + "loud",
                         RotationRules=rules)
    told = lambda: server.json("rotate", "status", "secret/a").get("before")
    why = wait_until("the rotation was given up", told, patience=60)["outcome"]["why"]
    clean = "called with AWS_SECRET_ACCESS_KEY=*** AWS_SESSION_TOKEN=*** and no more"
    assert clean in why
    everything = server.said() + str(server.trail())
    assert everything.count("called with ") == everything.count(clean) > 0
    assert client.describe_secret(SecretId="a")["RotationRules"] == rules


def test_a_functions_key_reaches_its_secret_alone(start, tmp_path):
    nosy = write(tmp_path, "nosy", GOOD + """    if step == "setSecret":
        for name, call in [
            ("read", lambda: client.get_secret_value(SecretId="other")),
            ("list", lambda: client.list_secrets()),
            ("delete", lambda: client.delete_secret(SecretId=arn, ForceDeleteWithoutRecovery=True)),
            ("make", lambda: client.create_secret(Name="mine", SecretString="x")),
        ]:
            try:
                call()
            except client.exceptions.ClientError as error:
                assert error.response["Error"]["Code"] == "AccessDeniedException", (name, error)
            else:
                raise AssertionError(f"it may {name}")
        assert "HOME" not in os.environ, "the server's environment came along"
""")
    server, client = start({"nosy": nosy})
    client.create_secret(Name="other", SecretString="x")
    client.create_secret(Name="a", SecretString="x")
    token = str(uuid.uuid4())
    client.rotate_secret(SecretId="a", ClientRequestToken=token, RotationLambdaARN=FUNCTION + "nosy")
    assert ended(client, "a")[token] == ["AWSCURRENT"], server.cli("rotate", "status", "secret/a")


def test_refusals_are_those_of_aws(start, tmp_path):
    slow = write(tmp_path, "slow", "    import time\n    time.sleep(20)\n")
    _, client = start({"slow": slow})
    client.create_secret(Name="a", SecretString="x")
    token = lambda: str(uuid.uuid4())
    assert refusal(client.rotate_secret, SecretId="a", ClientRequestToken=token()) == (
        "InvalidRequestException", "No Lambda rotation function ARN is associated with this secret.")
    code, text = refusal(client.rotate_secret, SecretId="a", ClientRequestToken=token(), RotationLambdaARN=FUNCTION + "no")
    assert code == "AccessDeniedException" and "cannot invoke the specified Lambda function" in text
    assert "RotationEnabled" not in client.describe_secret(SecretId="a")
    # A window ends with its UTC day, and before the next one begins.
    for schedule, duration, said in (
        ("cron(0 22 1 * ? *)", "3h", "Duration is 3h long, and the UTC day ends 2h after it begins; give it less."),
        ("cron(0 8/4 * * ? *)", "5h", "Duration is 5h long, and the schedule comes again after 240 min; give it less."),
        ("rate(4 hours)", "5h", "Duration is 5h long, and the schedule comes again after 240 min; give it less."),
    ):
        assert refusal(
            client.rotate_secret, SecretId="a", ClientRequestToken=token(), RotationLambdaARN=FUNCTION + "slow",
            RotationRules={"ScheduleExpression": schedule, "Duration": duration},
        ) == ("InvalidParameterException", said)
    assert "RotationEnabled" not in client.describe_secret(SecretId="a")
    client.rotate_secret(SecretId="a", ClientRequestToken=token(), RotationLambdaARN=FUNCTION + "slow")
    code, text = refusal(client.rotate_secret, SecretId="a", ClientRequestToken=token())
    assert (code, text[:43]) == ("InvalidRequestException", "A previous rotation isn't complete. That ro")
    client.cancel_rotate_secret(SecretId="a")
    shown = client.describe_secret(SecretId="a")
    assert shown["RotationEnabled"] is False and shown["RotationLambdaARN"] == FUNCTION + "slow"
