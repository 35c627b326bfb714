"""Rotation by programs behind a URL: hooks, functions, and where rotation may log in at all."""

import base64
import hashlib
import hmac
import http.server
import json
import queue
import ssl
import threading
import time

import boto3
import pytest
from botocore.config import Config
from house import make_certificate, wait_until

KEY = "a-key-of-more-than-24-characters"


class Receiver:
    """Takes messages over TLS, checks that they are signed, and answers as the test says."""

    def __init__(self, certificate):
        self.heard, self.answers, self.faults = queue.Queue(), {}, []
        receiver = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["content-length"]))
                receiver.check(self.headers, body)
                message = json.loads(body)
                message["id"], message["path"] = self.headers["webhook-id"], self.path
                receiver.heard.put(message)
                status, answer = 200, ""
                planned = receiver.answers.get(message.get("phase") or message["event"]["Step"])
                if callable(planned):
                    planned = planned(message)
                if planned:
                    status, answer = planned.pop(0) if isinstance(planned, list) else planned
                data = answer.encode()
                self.send_response(status)
                self.send_header("content-length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*certificate)
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.url = f"https://127.0.0.1:{self.server.server_port}/rotate"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def check(self, headers, body):
        signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
        wanted = base64.b64encode(hmac.new(KEY.encode(), signed, hashlib.sha256).digest()).decode()
        if headers["webhook-signature"] != f"v1,{wanted}" or abs(time.time() - int(headers["webhook-timestamp"])) > 60:
            self.faults.append(dict(headers))

    def all(self):
        messages = []
        while not self.heard.empty():
            messages.append(self.heard.get())
        return messages


@pytest.fixture(scope="session")
def own_certificate(tmp_path_factory):
    """The receiver's: no authority may stand at the end of a chain."""
    curve = ("ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-addext", "basicConstraints=critical,CA:FALSE")
    return make_certificate(tmp_path_factory.mktemp("receiver"), curve, "receiver")


@pytest.fixture
def receiver(own_certificate):
    receiver = Receiver(own_certificate)
    yield receiver
    receiver.server.shutdown()
    receiver.server.server_close()
    assert receiver.faults == []


@pytest.fixture
def server(new_production, own_certificate, receiver, tmp_path):
    (tmp_path / "key").write_text(KEY + "\n")
    there = f'  url = "{receiver.url}"\n  key_file = "{tmp_path}/key"\n  ca_file = "{own_certificate[0]}"\n'
    more = (f'rotation_hook "billing" {{\n{there}}}\nrotation_function "far" {{\n{there}}}\n'
            'rotation_hosts = ["db.example:5432"]\n')
    server = new_production(more=more).initialise()
    server.unseal()
    server.cli("secrets", "enable", "-path=secret", "-version=2", "kv")
    server.cli("kv", "put", "secret/app/billing", "token=f1rst-canary", "for=them")
    server.cli("rotate", "schedule", "-method=hook:billing", "-option=field=token", "secret/app/billing")
    return server


def value(server, path="secret/app/billing"):
    return server.json("kv", "get", path)["data"]["data"]


def ended(server, path="secret/app/billing"):
    wait_until("the rotation ended", lambda: server.json("rotate", "status", path)["running"] is None, patience=60)
    return server.json("rotate", "status", path)["before"]["outcome"]


def test_a_hook_is_told_of_each_phase_and_no_value_stays_behind(server, receiver):
    assert "rotated" in server.cli("rotate", "start", "secret/app/billing")
    now = value(server)
    assert now["token"] != "f1rst-canary" and now["for"] == "them"
    told = receiver.all()
    assert [one["phase"] for one in told] == ["set", "test", "retire"]
    assert told[0]["current"] == {"token": "f1rst-canary", "for": "them"} and told[0]["new"] == now
    assert told[2]["former"]["token"] == "f1rst-canary" and told[2]["current"] == now
    assert len({one["id"] for one in told}) == 3 and {one["secret"] for one in told} == {"app/billing"}
    everything = server.said() + str(server.trail())
    assert now["token"] not in everything and "f1rst-canary" not in everything
    server.cli("rotate", "start", "-leaked", "secret/app/billing")
    assert [one["phase"] for one in receiver.all()] == ["set", "test", "spoil"]


def test_what_a_hook_refuses_is_rolled_back_and_its_reason_holds_no_value(server, receiver):
    receiver.answers["test"] = lambda told: (422, json.dumps({"error": "no login with " + told["new"]["token"]}))
    done = server.run("rotate", "start", "secret/app/billing", token=server.root_token)
    assert done.returncode == 2 and "no login with ***" in done.stdout, done.stdout
    told = receiver.all()
    assert [one["phase"] for one in told] == ["set", "test", "test", "test", "undo"]
    assert len({one["id"] for one in told if one["phase"] == "test"}) == 1, "a repetition can be told"
    assert value(server)["token"] == "f1rst-canary" and told[4]["current"]["token"] == "f1rst-canary"
    assert told[1]["new"]["token"] not in server.said() + str(server.trail())


def test_a_hook_that_is_not_ready_is_asked_again(server, receiver):
    receiver.answers["set"] = [(503, ""), (200, "")]
    receiver.answers["retire"] = [(202, "")] * 50
    server.cli("rotate", "start", "-detach", "secret/app/billing")
    running = wait_until("it waits", lambda: (server.json("rotate", "status", "secret/app/billing")["running"] or {}).get(
        "phase") == "retiring" and server.json("rotate", "status", "secret/app/billing")["running"]["error"], patience=30)
    assert "still in use" in running
    told = receiver.all()
    assert [one["phase"] for one in told[:2]] == ["set", "set"] and told[0]["id"] == told[1]["id"]
    assert value(server)["token"] == told[0]["new"]["token"], "it is in force all the same"


def test_a_function_behind_a_url_rotates_with_the_key_that_it_is_lent(server, receiver, certificate):
    server.root.sys.create_or_update_policy("all", 'path "secret/*" { capabilities = ["create", "read", "update"] }')

    def client(key, secret, session=None):
        return boto3.client(
            "secretsmanager", endpoint_url=server.url, region_name="us-east-1", verify=str(certificate[0]),
            aws_access_key_id=key, aws_secret_access_key=secret, aws_session_token=session,
            config=Config(retries={"max_attempts": 1}))

    def step(message):
        event, given = message["event"], message["environment"]
        assert given["SECRETS_MANAGER_ENDPOINT"]
        aws = client(given["AWS_ACCESS_KEY_ID"], given["AWS_SECRET_ACCESS_KEY"], given.get("AWS_SESSION_TOKEN"))
        arn, token = event["SecretId"], event["ClientRequestToken"]
        if event["Step"] == "createSecret":
            aws.put_secret_value(SecretId=arn, ClientRequestToken=token, SecretString="made-far-away",
                                 VersionStages=["AWSPENDING"])
        if event["Step"] == "finishSecret":
            stages = aws.describe_secret(SecretId=arn)["VersionIdsToStages"]
            old = next(version for version, labels in stages.items() if "AWSCURRENT" in labels)
            aws.update_secret_version_stage(SecretId=arn, VersionStage="AWSCURRENT", MoveToVersionId=token,
                                            RemoveFromVersionId=old)
        return None

    steps = ["createSecret", "setSecret", "testSecret", "finishSecret"]
    receiver.answers.update({name: step for name in steps})
    made = server.json("access-key", "create", "-policy=all", "tests")["data"]
    operator = client(made["access_key_id"], made["secret_access_key"])
    operator.create_secret(Name="far", SecretString="first")
    arn = "arn:aws:lambda:us-east-1:000000000000:function:far"
    operator.rotate_secret(SecretId="far", ClientRequestToken="0" * 32, RotationLambdaARN=arn)
    assert ended(server, "secret/far") == {"result": "rotated"}
    assert [one["event"]["Step"] for one in receiver.all()] == steps
    assert operator.get_secret_value(SecretId="far")["SecretString"] == "made-far-away"

    receiver.answers["testSecret"] = (200, json.dumps({"errorMessage": "it threw made-far-away"}))
    operator.rotate_secret(SecretId="far", ClientRequestToken="1" * 32, RotateImmediately=False)
    tried = ended(server, "secret/far")
    assert tried["phase"] == "testing" and "it threw ***" in tried["why"]
    assert {one["event"]["Step"] for one in receiver.all()} == {"testSecret"}
    receiver.answers["testSecret"] = (200, "null")
    operator.rotate_secret(SecretId="far", ClientRequestToken="2" * 32, RotateImmediately=False)
    assert ended(server, "secret/far") == {"result": "tried"}
    stages = operator.describe_secret(SecretId="far")["VersionIdsToStages"]
    assert not [labels for labels in stages.values() if "AWSPENDING" in labels]
    assert operator.get_secret_value(SecretId="far")["SecretString"] == "made-far-away"


def test_rotation_logs_in_where_the_configuration_says_and_nowhere_else(server):
    def put(host):
        server.cli("kv", "put", "secret/app/db", "engine=postgres", f"host={host}", "port=5432", "username=app", "password=x")

    put("127.0.0.1")
    refused = server.run("rotate", "schedule", "secret/app/db", token=server.root_token)
    assert refused.returncode == 2 and "rotation_hosts" in refused.stderr, refused.stderr
    put("db.example")
    server.cli("rotate", "schedule", "secret/app/db")
    put("127.0.0.1")
    server.cli("rotate", "start", "-detach", "secret/app/db")
    assert "rotation_hosts" in ended(server, "secret/app/db")["why"]
