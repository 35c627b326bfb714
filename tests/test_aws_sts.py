"""Temporary credentials: roles for who shows a token of an identity provider, and sessions that may do less than their role."""

import base64
import hashlib
import http.server
import json
import ssl
import threading
import time

import boto3
import pytest
import rsa
from aws_house import ACCOUNT, REGION, client, key_of, refusal
from botocore import UNSIGNED
from botocore.config import Config
from house import make_certificate

ARN = f"arn:aws:iam::{ACCOUNT}:role/reader"
ISSUER = "https://ci.example"


def text(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class Provider:
    """An OpenID Connect provider with one key at a time."""

    def __init__(self):
        self.turn()

    def turn(self):
        """A new key in place of the old one."""
        self.public, self.key = rsa.newkeys(2048)
        number = lambda n: text(n.to_bytes((n.bit_length() + 7) // 8, "big"))  # noqa: E731
        self.name = hashlib.sha256(str(self.public.n).encode()).hexdigest()[:8]
        self.jwks = {"keys": [{"kty": "RSA", "kid": self.name, "n": number(self.public.n), "e": number(self.public.e)}]}

    def token(self, alg="RS256", **claims):
        now = int(time.time())
        claims = {"iss": ISSUER, "aud": "strongroom", "sub": "job:web", "iat": now, "exp": now + 300} | claims
        parts = ({"alg": alg, "kid": self.name, "typ": "JWT"}, claims)
        signed = ".".join(text(json.dumps(part).encode()) for part in parts)
        return signed + "." + text(rsa.sign(signed.encode(), self.key, "SHA-256"))


@pytest.fixture(scope="module")
def provider():
    return Provider()


@pytest.fixture
def server(disk_server):
    client(disk_server).create_secret(Name="prod/db", SecretString="canary-value")
    client(disk_server).create_secret(Name="prod/web", SecretString="canary-web")
    client(disk_server, "ssm").put_parameter(Name="/prod/url", Value="x", Type="String")
    disk_server.root.sys.create_or_update_policy("read", """
path "secret/data/*" { capabilities = ["read"] }
path "parameter/*" { capabilities = ["read", "list"] }
path "sys/aws/roles/+/assume" { capabilities = ["update"] }
""")
    disk_server.cli("write", "sys/aws/roles/reader", "policies=read", "max_session=2h")
    return disk_server


def trust(server, **more):
    role = {"oidc_issuer": ISSUER, "oidc_audiences": ["strongroom"], "oidc_subjects": ["job:*"]} | more
    server.root.write_data("sys/aws/roles/reader", data=role)


def nobody(server):
    """STS for who has no key: the call is not signed."""
    return boto3.client(
        "sts", endpoint_url=server.url, region_name=REGION, config=Config(signature_version=UNSIGNED, retries={"max_attempts": 1}))


def session(server, made, service="secretsmanager"):
    made = made["Credentials"]
    return client(server, service, key=(made["AccessKeyId"], made["SecretAccessKey"]), token=made["SessionToken"])


def test_a_token_of_a_trusted_provider_becomes_a_session(server, provider):
    trust(server, oidc_keys=provider.jwks)
    assume = nobody(server).assume_role_with_web_identity
    got = assume(RoleArn=ARN, RoleSessionName="build-7", WebIdentityToken=provider.token(), DurationSeconds=900)
    assert (got["SubjectFromWebIdentityToken"], got["Provider"], got["Audience"]) == ("job:web", ISSUER, "strongroom")
    assert got["AssumedRoleUser"]["Arn"] == f"arn:aws:sts::{ACCOUNT}:assumed-role/reader/build-7"
    assert session(server, got, "sts").get_caller_identity()["Arn"] == got["AssumedRoleUser"]["Arn"]
    reader = session(server, got)
    assert reader.get_secret_value(SecretId="prod/db")["SecretString"] == "canary-value"
    assert refusal(reader.delete_secret, SecretId="prod/db")[0] == "AccessDeniedException"
    read = server.outcomes("secret/data/prod/db")[-1]
    assert read["principal"]["display_name"] == "access-key-reader-build-7"
    assert read["principal"]["metadata"]["session_name"] == "build-7"
    assert read["principal"]["metadata"]["subject"] == "job:web"
    told = server.outcomes("sys/aws/roles/reader/assume")[-1]
    assert told["response_auth"]["principal"]["metadata"] == {"role": "reader", "session_name": "build-7", "subject": "job:web"}
    assert got["Credentials"]["SecretAccessKey"] not in json.dumps(server.trail())
    assert got["Credentials"]["SessionToken"] not in json.dumps(server.trail())


def test_a_client_finds_the_token_in_its_environment_by_itself(server, provider, tmp_path, monkeypatch):
    trust(server, oidc_keys=provider.jwks)
    (tmp_path / "token").write_text(provider.token())
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in (("AWS_ENDPOINT_URL", server.url), ("AWS_WEB_IDENTITY_TOKEN_FILE", str(tmp_path / "token")),
                        ("AWS_ROLE_ARN", ARN), ("AWS_ROLE_SESSION_NAME", "pod"), ("AWS_EC2_METADATA_DISABLED", "true"),
                        ("AWS_SHARED_CREDENTIALS_FILE", "/dev/null"), ("AWS_CONFIG_FILE", "/dev/null")):
        monkeypatch.setenv(name, value)
    got = boto3.session.Session(region_name=REGION).client("secretsmanager").get_secret_value(SecretId="prod/db")
    assert got["SecretString"] == "canary-value"


def test_a_token_that_is_not_good_is_refused_and_recorded(server, provider):
    trust(server, oidc_keys=provider.jwks)
    assume = nobody(server).assume_role_with_web_identity
    good, other = provider.token(), Provider()
    head, claims, signature = good.split(".")
    none = text(json.dumps({"alg": "none"}).encode())
    now = int(time.time())
    for token, expected in (
        ("abcd", "InvalidIdentityToken"),
        (f"{none}.{claims}.", "InvalidIdentityToken"),
        (f"{head}.{text(b'{}')}.{signature}", "InvalidIdentityToken"),
        (other.token(), "InvalidIdentityToken"),
        (provider.token(alg="HS256"), "InvalidIdentityToken"),
        (provider.token(exp=now - 1), "ExpiredTokenException"),
        (provider.token(nbf=now + 600), "InvalidIdentityToken"),
        (provider.token(iss="https://evil.example"), "InvalidIdentityToken"),
        (provider.token(aud="other"), "InvalidIdentityToken"),
        (provider.token(sub="person:eve"), "AccessDenied"),
    ):
        recorded = len(server.outcomes("sys/aws/roles/reader/assume"))
        assert refusal(assume, RoleArn=ARN, RoleSessionName="build", WebIdentityToken=token)[0] == expected, token
        assert len(server.outcomes("sys/aws/roles/reader/assume")) == recorded + 1
    for arn in (ARN.replace("reader", "other"), ARN.replace("reader", "plain")):
        server.cli("write", "sys/aws/roles/plain", "policies=read")
        assert refusal(assume, RoleArn=arn, RoleSessionName="build", WebIdentityToken=good)[0] == "AccessDenied"
    server.root.write_data("sys/aws/roles/reader", data={"oidc_issuer": ""})
    assert refusal(assume, RoleArn=ARN, RoleSessionName="build", WebIdentityToken=good)[0] == "AccessDenied"
    assert good not in server.said()


def test_keys_are_fetched_where_the_provider_publishes_them(server, provider, tmp_path):
    asked = []
    leaf = ("ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-addext", "basicConstraints=critical,CA:FALSE")
    certificate = make_certificate(tmp_path, key=leaf, name="provider")

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            body = json.dumps(provider.jwks).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    listener = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    listener.socket = context.wrap_socket(listener.socket, server_side=True)
    threading.Thread(target=listener.serve_forever, daemon=True).start()
    url = f"https://localhost:{listener.server_address[1]}/keys"
    assume = nobody(server).assume_role_with_web_identity
    ask = {"RoleArn": ARN, "RoleSessionName": "build"}

    # Not from whom nobody vouches for, and not from an address of this machine unless that was meant.
    for how in ({}, {"oidc_internal": True}, {"oidc_ca": certificate[0].read_text()}):
        trust(server, oidc_keys_url=url, **how)
        expected = "IDPCommunicationError"
        assert refusal(assume, WebIdentityToken=provider.token(), **ask)[0] == expected, how
    trust(server, oidc_keys_url=url, oidc_ca=certificate[0].read_text(), oidc_internal=True)
    assert assume(WebIdentityToken=provider.token(), **ask)["Provider"] == ISSUER
    assert assume(WebIdentityToken=provider.token(), **ask)["Provider"] == ISSUER
    assert asked == ["/keys"]
    # A stranger's token with an unknown key has nobody asked again before a minute is over.
    stranger = Provider()
    for _ in range(3):
        assert refusal(assume, WebIdentityToken=stranger.token(), **ask)[0] == "InvalidIdentityToken"
    assert asked == ["/keys"]
    # What was fetched serves when the provider is gone.
    listener.shutdown()
    listener.server_close()
    assert assume(WebIdentityToken=provider.token(), **ask)["Provider"] == ISSUER


def statement(effect, action, resource="*", **more):
    return {"Effect": effect, "Action": action, "Resource": resource, **more}


def policy(*statements):
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def test_a_session_policy_narrows_what_the_role_may_and_never_widens_it(server):
    sts = client(server, "sts")
    names = f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:"

    def may(*statements, arns=()):
        how = {"Policy": policy(*statements)} if statements else {}
        got = sts.assume_role(
            RoleArn=ARN, RoleSessionName="job", **how,
            PolicyArns=[{"arn": f"arn:aws:iam::{ACCOUNT}:policy/{name}"} for name in arns])
        assert 0 < got["PackedPolicySize"] <= 100
        secrets, parameters = session(server, got), session(server, got, "ssm")
        calls = {
            "db": lambda: secrets.get_secret_value(SecretId="prod/db"),
            "db-id": lambda: secrets.get_secret_value(SecretId="prod/db", VersionStage="AWSPREVIOUS"),
            "web": lambda: secrets.get_secret_value(SecretId="prod/web"),
            "delete": lambda: secrets.delete_secret(SecretId="prod/web"),
            "url": lambda: parameters.get_parameter(Name="/prod/url"),
            "path": lambda: parameters.get_parameters_by_path(Path="/prod")["Parameters"][0],
            "assume": lambda: session(server, got, "sts").assume_role(RoleArn=ARN, RoleSessionName="again"),
            "who": lambda: session(server, got, "sts").get_caller_identity(),
        }
        done = set()
        for name, call in calls.items():
            try:
                call()
                done.add(name)
            except secrets.exceptions.ResourceNotFoundException:
                done.add(name)
            except Exception as error:  # noqa: BLE001
                assert error.response["Error"]["Code"] in ("AccessDenied", "AccessDeniedException"), error
        return done

    everything = {"db", "db-id", "web", "url", "path", "assume", "who"}
    assert may(statement("Allow", "*")) == everything
    assert may(statement("Allow", "secretsmanager:GetSecretValue", f"{names}prod/db-??????")) == {"db", "db-id", "who"}
    assert may(statement("Allow", "secretsmanager:*", f"{names}prod/*"), statement("Deny", "*", f"{names}prod/web*")) == {
        "db", "db-id", "who"}
    stage = {"StringEquals": {"secretsmanager:VersionStage": "AWSCURRENT"}}
    assert may(statement("Allow", "secretsmanager:Get*", Condition=stage)) == {"db", "web", "who"}
    assert may(statement("Allow", "ssm:Get*", f"arn:aws:ssm:{REGION}:{ACCOUNT}:parameter/prod*")) == {"url", "path", "who"}
    assert may(statement("Allow", "sts:AssumeRole", ARN)) == {"assume", "who"}
    server.root.sys.create_or_update_policy("web", 'path "secret/data/prod/web" { capabilities = ["read", "delete"] }')
    assert may(arns=["web"]) == {"web", "who"}
    assert may(statement("Allow", "ssm:*"), arns=["web"]) == {"web", "url", "path", "who"}
    assert may(statement("Deny", "secretsmanager:*"), arns=["web"]) == {"who"}
    for statements, why in (
        ((statement("Allow", "*"), statement("Deny", "secretsmanager:*")), "with an explicit deny in a session policy"),
        ((statement("Allow", "ssm:*"),), "because no session policy allows the secretsmanager:GetSecretValue action"),
    ):
        got = sts.assume_role(RoleArn=ARN, RoleSessionName="job", Policy=policy(*statements))
        code, text = refusal(session(server, got).get_secret_value, SecretId="prod/web")
        assert code == "AccessDeniedException" and text == (
            f"User: {got['AssumedRoleUser']['Arn']} is not authorized to perform: secretsmanager:GetSecretValue on resource: "
            f"prod/web {why}")
    refused = server.outcomes("secret/data/prod/web")[-1]
    assert refused["decision"]["granted"] is False and "session" in refused["decision"]["reason"]


def test_a_session_may_what_its_role_may_when_it_is_used_and_ends_with_it(server, provider):
    trust(server, oidc_keys=provider.jwks)
    sts = client(server, "sts")
    made = sts.assume_role(RoleArn=ARN, RoleSessionName="job")
    chained = session(server, made, "sts").assume_role(RoleArn=ARN, RoleSessionName="again")
    by_token = nobody(server).assume_role_with_web_identity(
        RoleArn=ARN, RoleSessionName="build", WebIdentityToken=provider.token())
    # A session of another role that was made with one of this.
    server.cli("write", "sys/aws/roles/other", "policies=read")
    other = session(server, made, "sts").assume_role(RoleArn=ARN.replace("reader", "other"), RoleSessionName="job")
    readers = [session(server, one) for one in (made, chained, by_token)]
    last = session(server, other)

    def reads():
        return [one.get_secret_value(SecretId="prod/db")["SecretString"] for one in readers]

    assert reads() == ["canary-value"] * 3 and last.get_secret_value(SecretId="prod/db")
    server.root.sys.create_or_update_policy("web", 'path "secret/data/prod/web" { capabilities = ["read"] }')
    server.cli("write", "sys/aws/roles/reader", "policies=web")
    for one in readers:
        assert refusal(one.get_secret_value, SecretId="prod/db")[0] == "AccessDeniedException"
        assert one.get_secret_value(SecretId="prod/web")["SecretString"] == "canary-web"
    shown = server.root.read("sys/access-keys/" + made["Credentials"]["AccessKeyId"])["data"]
    assert shown["policies"] == ["web"]
    server.cli("write", "sys/aws/roles/reader", "policies=read")
    assert reads() == ["canary-value"] * 3

    server.root.delete("sys/aws/roles/reader")
    for one in (*readers, last):
        assert refusal(one.get_secret_value, SecretId="prod/db")[0] == "UnrecognizedClientException"
    # A role of the same name is another role.
    server.cli("write", "sys/aws/roles/reader", "policies=read")
    for one in (*readers, last):
        assert refusal(one.get_secret_value, SecretId="prod/db")[0] == "UnrecognizedClientException"
    assert session(server, sts.assume_role(RoleArn=ARN, RoleSessionName="job")).get_secret_value(SecretId="prod/db")


def test_what_cannot_be_a_session_is_refused(server):
    sts = client(server, "sts")
    names = f"arn:aws:iam::{ACCOUNT}:policy/"
    for how, expected in (
        ({"Policy": "{}"}, "MalformedPolicyDocument"),
        ({"Policy": policy(statement("Allow", "*", Principal="*"))}, "MalformedPolicyDocument"),
        ({"Policy": policy(statement("Allow", "*", "x" * 2_048))}, "ValidationError"),
        ({"PolicyArns": [{"arn": names + "nothing"}]}, "MalformedPolicyDocument"),
        ({"PolicyArns": [{"arn": names + "root"}]}, "ValidationError"),
        ({"PolicyArns": [{"arn": "arn:aws:iam::aws:policy/ReadOnlyAccess"}]}, "ValidationError"),
        ({"PolicyArns": [{"arn": names + "read"}] * 11}, "ValidationError"),
        ({"DurationSeconds": 899}, "ValidationError"),
        ({"DurationSeconds": 7_201}, "ValidationError"),
        ({"DurationSeconds": 43_201}, "ValidationError"),
        ({"RoleSessionName": "x"}, "ValidationError"),
    ):
        ask = {"RoleArn": ARN, "RoleSessionName": "job"} | how
        quiet = boto3.client(
            "sts", endpoint_url=server.url, region_name=REGION, aws_access_key_id=key_of(server)[0],
            aws_secret_access_key=key_of(server)[1], config=Config(parameter_validation=False, retries={"max_attempts": 1}))
        assert refusal(quiet.assume_role, **ask)[0] == expected, how
    assert sts.assume_role(RoleArn=ARN, RoleSessionName="job", DurationSeconds=7_200)
    # A session of a session lasts an hour at most.
    chained = session(server, sts.assume_role(RoleArn=ARN, RoleSessionName="job"), "sts")
    assert refusal(chained.assume_role, RoleArn=ARN, RoleSessionName="job", DurationSeconds=3_601)[0] == "ValidationError"
    assert chained.assume_role(RoleArn=ARN, RoleSessionName="job", DurationSeconds=3_600)
