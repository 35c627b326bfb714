"""AWS Secrets Manager as an unmodified boto3 sees it; what was recorded on AWS is expected to the letter."""

import concurrent.futures
import json
import uuid

import pytest
from aws_house import ACCOUNT, client, key_of, refusal
from house import wait_until

GONE = "Secrets Manager can't find the specified secret."
MARKED = "You can't perform this operation on the secret because it was marked for deletion."


@pytest.fixture
def server(start_dev):
    return start_dev()


@pytest.fixture
def aws(server):
    return client(server)


def stages(aws, name):
    return aws.describe_secret(SecretId=name).get("VersionIdsToStages", {})


def token():
    return str(uuid.uuid4())


def test_a_secret_is_made_read_and_described(aws):
    made = aws.create_secret(
        Name="prod/db", SecretString="hunter2", Description="The database", Tags=[{"Key": "team", "Value": "web"}],
    )
    assert made["ARN"].startswith(f"arn:aws:secretsmanager:us-east-1:{ACCOUNT}:secret:prod/db-")
    assert len(made["ARN"].rsplit("-", 1)[1]) == 6 and made["Name"] == "prod/db"
    for name in ("prod/db", made["ARN"], made["ARN"].rsplit("-", 1)[0]):
        got = aws.get_secret_value(SecretId=name)
        assert (got["SecretString"], got["VersionId"], got["VersionStages"]) == (
            "hunter2", made["VersionId"], ["AWSCURRENT"])
        assert "SecretBinary" not in got
    seen = aws.describe_secret(SecretId="prod/db")
    assert seen["VersionIdsToStages"] == {made["VersionId"]: ["AWSCURRENT"]}
    assert (seen["Description"], seen["Tags"]) == ("The database", [{"Key": "team", "Value": "web"}])
    for absent in ("KmsKeyId", "DeletedDate", "RotationEnabled", "LastRotatedDate"):
        assert absent not in seen


def test_names_and_arns_are_read_as_aws_reads_them(aws):
    made = aws.create_secret(Name="my-secret", SecretString="a")
    partial = made["ARN"].rsplit("-", 1)[0]
    # The partial ARN of a name that ends in a hyphen and six letters is read as a whole one.
    assert refusal(aws.get_secret_value, SecretId=partial) == ("ResourceNotFoundException", GONE)
    suffix = made["ARN"].rsplit("-", 1)[1]
    assert refusal(aws.get_secret_value, SecretId=f"my-secret-{suffix}") == ("ResourceNotFoundException", GONE)
    other = made["ARN"][:-1] + ("a" if made["ARN"][-1] != "a" else "b")
    assert refusal(aws.get_secret_value, SecretId=other) == ("ResourceNotFoundException", GONE)
    for call in (aws.describe_secret, aws.delete_secret, aws.list_secret_version_ids):
        assert refusal(call, SecretId=other) == ("ResourceNotFoundException", GONE)
    assert refusal(aws.create_secret, Name="no blanks", SecretString="a") == (
        "ValidationException",
        "Invalid name. Must be a valid name containing alphanumeric characters, or any of the following: -/_+=.@!",
    )


def test_a_leading_slash_makes_another_secret_and_vaults_clients_spell_it_with_a_colon(disk_server):
    server, aws = disk_server, client(disk_server)
    made = aws.create_secret(Name="/prod/db", SecretString="rooted", Tags=[{"Key": "team", "Value": "web"}])
    aws.create_secret(Name="prod/db", SecretString="plain")
    assert made["Name"] == "/prod/db"
    assert made["ARN"].startswith(f"arn:aws:secretsmanager:us-east-1:{ACCOUNT}:secret:/prod/db-")
    for name in ("/prod/db", made["ARN"], made["ARN"].rsplit("-", 1)[0]):
        got = aws.get_secret_value(SecretId=name)
        assert (got["SecretString"], got["Name"], got["ARN"]) == ("rooted", "/prod/db", made["ARN"])
    assert aws.get_secret_value(SecretId="prod/db")["SecretString"] == "plain"
    assert server.json("kv", "get", "secret/:/prod/db")["data"]["data"] == {"value": "rooted"}
    server.cli("kv", "put", "secret/:/other", "a=1")
    assert aws.get_secret_value(SecretId="/other")["SecretString"] == '{"a":"1"}'
    # One spelling for each: the one of Vault's clients is none of AWS's, and two slashes are nobody's.
    for name in (":/prod/db", "//prod/db", "/prod/db/", "/"):
        assert refusal(aws.get_secret_value, SecretId=name) == ("ResourceNotFoundException", GONE)
    assert refusal(aws.create_secret, Name="//prod/db", SecretString="x")[0] == "ValidationException"
    # Sorted by the names that are shown, in pages, and filtered by them.
    page = aws.list_secrets(SortBy="name", SortOrder="asc", MaxResults=1)
    listed = [page["SecretList"][0]["Name"]]
    while "NextToken" in page:
        page = aws.list_secrets(SortBy="name", SortOrder="asc", MaxResults=1, NextToken=page["NextToken"])
        listed += [one["Name"] for one in page["SecretList"]]
    assert listed == ["/other", "/prod/db", "prod/db"]
    for key, value, expected in (
        ("name", "/prod", ["/prod/db"]), ("name", "prod", ["prod/db"]), ("name", "!/", ["prod/db"]),
        ("all", "/prod", ["/prod/db"]), ("tag-value", "web", ["/prod/db"]),
    ):
        found = aws.list_secrets(Filters=[{"Key": key, "Values": [value]}])["SecretList"]
        assert [one["Name"] for one in found] == expected, (key, value)
    batch = aws.batch_get_secret_value(SecretIdList=["/prod/db", "prod/db", made["ARN"]])
    assert [one["Name"] for one in batch["SecretValues"]] == ["/prod/db", "prod/db", "/prod/db"]
    batch = aws.batch_get_secret_value(Filters=[{"Key": "name", "Values": ["/"]}])
    assert {one["Name"] for one in batch["SecretValues"]} == {"/prod/db", "/other"} and not batch["Errors"]
    # By reference from Parameter Store, by policies of ours, and in questions to the trail.
    read = client(server, "ssm").get_parameter(Name="/aws/reference/secretsmanager//prod/db", WithDecryption=True)
    assert read["Parameter"]["Value"] == "rooted"
    server.root.sys.create_or_update_policy("rooted", 'path "secret/data/:/prod/*" { capabilities = ["read"] }')
    key = server.json("access-key", "create", "-policy=rooted", "rooted")["data"]
    only = client(server, key=(key["access_key_id"], key["secret_access_key"]))
    assert only.get_secret_value(SecretId="/prod/db")["SecretString"] == "rooted"
    assert refusal(only.get_secret_value, SecretId="prod/db")[0] == "AccessDeniedException"
    assert any(entry["path"] == "secret/data/:/prod/db" for entry in server.trail())
    assert "access-key-rooted" in server.cli("who-reads", made["ARN"])
    aws.delete_secret(SecretId="/prod/db", ForceDeleteWithoutRecovery=True)
    assert aws.get_secret_value(SecretId="prod/db")["SecretString"] == "plain"


def test_a_secret_without_a_value_has_no_version(aws):
    made = aws.create_secret(Name="empty")
    assert "VersionId" not in made
    assert "VersionIdsToStages" not in aws.describe_secret(SecretId="empty")
    assert refusal(aws.get_secret_value, SecretId="empty") == (
        "ResourceNotFoundException",
        "Secrets Manager can't find the specified secret value for staging label: AWSCURRENT",
    )


def test_the_same_token_is_the_same_write(aws):
    first = token()
    made = aws.create_secret(Name="a", SecretString="1", ClientRequestToken=first)
    assert aws.create_secret(Name="a", SecretString="1", ClientRequestToken=first)["ARN"] == made["ARN"]
    taken = ("ResourceExistsException", "The operation failed because the secret a already exists.")
    assert refusal(aws.create_secret, Name="a", SecretString="2", ClientRequestToken=first) == taken
    assert refusal(aws.create_secret, Name="a", SecretString="1") == taken
    second = token()
    for _ in range(2):
        assert aws.put_secret_value(SecretId="a", SecretString="2", ClientRequestToken=second)["VersionId"] == second
    assert refusal(aws.put_secret_value, SecretId="a", SecretString="3", ClientRequestToken=second)[0] == (
        "ResourceExistsException")
    assert stages(aws, "a") == {second: ["AWSCURRENT"], first: ["AWSPREVIOUS"]}


def test_labels_move_as_recorded_on_aws(aws):
    one = aws.create_secret(Name="a", SecretString="1")["VersionId"]
    two = aws.put_secret_value(SecretId="a", SecretString="2", VersionStages=["AWSPENDING"])["VersionId"]
    assert aws.get_secret_value(SecretId="a")["SecretString"] == "1"
    assert aws.get_secret_value(SecretId="a", VersionStage="AWSPENDING")["SecretString"] == "2"
    assert aws.get_secret_value(SecretId="a", VersionId=two)["SecretString"] == "2"
    aws.update_secret_version_stage(
        SecretId="a", VersionStage="AWSCURRENT", MoveToVersionId=two, RemoveFromVersionId=one)
    assert stages(aws, "a") == {two: ["AWSCURRENT", "AWSPENDING"], one: ["AWSPREVIOUS"]}
    three = aws.put_secret_value(SecretId="a", SecretString="3")["VersionId"]
    assert stages(aws, "a") == {three: ["AWSCURRENT"], two: ["AWSPREVIOUS"]}
    shown = aws.list_secret_version_ids(SecretId="a")["Versions"]
    assert {version["VersionId"] for version in shown} == {two, three}
    shown = aws.list_secret_version_ids(SecretId="a", IncludeDeprecated=True)["Versions"]
    deprecated = next(version for version in shown if version["VersionId"] == one)
    assert "VersionStages" not in deprecated and deprecated["KmsKeyIds"] == ["DefaultEncryptionKey"]
    aws.put_secret_value(SecretId="a", SecretString="4", VersionStages=["blue", "AWSCURRENT"])
    aws.put_secret_value(SecretId="a", SecretString="5", VersionStages=["blue"])
    assert aws.get_secret_value(SecretId="a", VersionStage="blue")["SecretString"] == "5"
    assert aws.get_secret_value(SecretId="a")["SecretString"] == "4"


def test_a_label_is_moved_only_from_where_it_is(aws):
    one = aws.create_secret(Name="a", SecretString="1")["VersionId"]
    two = aws.put_secret_value(SecretId="a", SecretString="2", VersionStages=["AWSPENDING"])["VersionId"]
    move = aws.update_secret_version_stage
    code, text = refusal(move, SecretId="a", VersionStage="AWSCURRENT", MoveToVersionId=two)
    assert code == "InvalidParameterException" and one in text
    assert refusal(
        move, SecretId="a", VersionStage="AWSCURRENT", MoveToVersionId=two, RemoveFromVersionId=two,
    )[0] == "InvalidParameterException"
    assert refusal(move, SecretId="a", VersionStage="AWSCURRENT", RemoveFromVersionId=one)[0] == (
        "InvalidParameterException")
    missing = token()
    assert refusal(move, SecretId="a", VersionStage="x", MoveToVersionId=missing) == (
        "ResourceNotFoundException",
        f"Secrets Manager can't find the specified secret value for VersionId: {missing}",
    )
    move(SecretId="a", VersionStage="AWSPENDING", RemoveFromVersionId=two)
    assert stages(aws, "a") == {one: ["AWSCURRENT"]}
    assert refusal(aws.get_secret_value, SecretId="a", VersionId=one, VersionStage="AWSPREVIOUS") == (
        "InvalidRequestException", "You provided a VersionStage that is not associated to the provided VersionId.")
    assert refusal(aws.get_secret_value, SecretId="a", VersionStage="AWSPREVIOUS") == (
        "ResourceNotFoundException",
        "Secrets Manager can't find the specified secret value for staging label: AWSPREVIOUS",
    )


def test_a_deleted_secret_waits_and_comes_back(server, aws):
    made = aws.create_secret(Name="a/b", SecretString="1")
    due = aws.delete_secret(SecretId="a/b", RecoveryWindowInDays=7)
    assert due["ARN"] == made["ARN"]
    assert refusal(aws.get_secret_value, SecretId="a/b") == ("InvalidRequestException", MARKED)
    assert refusal(aws.put_secret_value, SecretId="a/b", SecretString="2") == ("InvalidRequestException", MARKED)
    assert refusal(aws.delete_secret, SecretId="a/b") == ("InvalidRequestException", MARKED)
    assert refusal(aws.create_secret, Name="a/b", SecretString="1") == (
        "InvalidRequestException",
        "You can't create this secret because a secret with this name is already scheduled for deletion.",
    )
    assert "DeletedDate" in aws.describe_secret(SecretId="a/b")
    assert aws.list_secrets()["SecretList"] == []
    assert [one["Name"] for one in aws.list_secrets(IncludePlannedDeletion=True)["SecretList"]] == ["a/b"]
    # Nor can it be read or written through another dialect.
    done = server.run("kv", "get", "secret/a/b", token=server.root_token)
    assert done.returncode == 2 and "marked for deletion" in done.stderr
    assert server.run("kv", "put", "secret/a/b", "x=y", token=server.root_token).returncode == 2
    aws.restore_secret(SecretId="a/b")
    assert aws.get_secret_value(SecretId="a/b")["SecretString"] == "1"
    assert "DeletedDate" not in aws.describe_secret(SecretId="a/b")


def test_what_is_restored_is_what_was_given_up_whatever_was_tried_meanwhile(server, aws):
    for value in ("1", "2"):
        (aws.put_secret_value if value == "2" else aws.create_secret)(
            **{"SecretId" if value == "2" else "Name": "a/b"}, SecretString=value)
    before = stages(aws, "a/b")
    aws.delete_secret(SecretId="a/b", RecoveryWindowInDays=7)
    for change in (("-max-versions=1",), ("-delete-version-after=1s",), ("-custom-metadata=a=b",)):
        done = server.run("kv", "metadata", "put", *change, "secret/a/b", token=server.root_token)
        assert done.returncode == 2 and "marked for deletion" in done.stderr, done.stderr
    aws.restore_secret(SecretId="a/b")
    assert stages(aws, "a/b") == before and aws.get_secret_value(SecretId="a/b")["SecretString"] == "2"
    assert aws.get_secret_value(SecretId="a/b", VersionStage="AWSPREVIOUS")["SecretString"] == "1"
    # A leak does not wait for the day: what the incident hides comes back with it, before or after the secret does.
    for lift_first in (True, False):
        aws.delete_secret(SecretId="a/b", RecoveryWindowInDays=7)
        done = server.run("revoke", "-secret=secret/a/b", "-reason=a leak", "-yes", "-format=json", token=server.root_token)
        assert done.returncode == 0, done.stderr
        incident = json.loads(done.stdout)["incident"]["id"]
        steps = [
            lambda: server.cli("incident", "lift", "-reason=ours", incident),
            lambda: aws.restore_secret(SecretId="a/b"),
        ]
        for step in steps if lift_first else reversed(steps):
            assert refusal(aws.get_secret_value, SecretId="a/b")[0] in (
                "InvalidRequestException", "ResourceNotFoundException")
            step()
        assert aws.get_secret_value(SecretId="a/b")["SecretString"] == "2", lift_first


def test_a_secret_deleted_at_once_is_gone_and_comes_anew(aws):
    made = aws.create_secret(Name="a", SecretString="1")
    aws.delete_secret(SecretId="a", ForceDeleteWithoutRecovery=True)
    assert refusal(aws.describe_secret, SecretId="a") == ("ResourceNotFoundException", GONE)
    aws.delete_secret(SecretId="never-there", ForceDeleteWithoutRecovery=True)
    again = aws.create_secret(Name="a", SecretString="1")
    assert again["ARN"] != made["ARN"]
    for wrong in ({"RecoveryWindowInDays": 6}, {"RecoveryWindowInDays": 31},
                  {"RecoveryWindowInDays": 7, "ForceDeleteWithoutRecovery": True}):
        assert refusal(aws.delete_secret, SecretId="a", **wrong)[0] == "InvalidParameterException"
    assert refusal(aws.delete_secret, SecretId="nothing") == ("ResourceNotFoundException", GONE)


def test_tags_are_added_and_removed(aws):
    aws.create_secret(Name="a", SecretString="1", Tags=[{"Key": "k", "Value": "1"}])
    aws.tag_resource(SecretId="a", Tags=[{"Key": "K", "Value": "2"}, {"Key": "k", "Value": "3"}])
    assert aws.describe_secret(SecretId="a")["Tags"] == [{"Key": "K", "Value": "2"}, {"Key": "k", "Value": "3"}]
    aws.untag_resource(SecretId="a", TagKeys=["k", "K", "other"])
    assert aws.describe_secret(SecretId="a")["Tags"] == []


def test_an_update_changes_what_it_names(aws):
    one = aws.create_secret(Name="a", SecretString="1", Description="old")["VersionId"]
    done = aws.update_secret(SecretId="a", Description="new", KmsKeyId="alias/mine")
    assert "VersionId" not in done and stages(aws, "a") == {one: ["AWSCURRENT"]}
    two = aws.update_secret(SecretId="a", SecretString="2")["VersionId"]
    assert stages(aws, "a") == {two: ["AWSCURRENT"], one: ["AWSPREVIOUS"]}
    seen = aws.describe_secret(SecretId="a")
    assert (seen["Description"], seen["KmsKeyId"]) == ("new", "alias/mine")
    assert refusal(aws.update_secret, SecretId="none", Description="x") == ("ResourceNotFoundException", GONE)


def test_lists_are_filtered_sorted_and_paged(aws):
    for number in range(7):
        aws.create_secret(
            Name=f"app/{number}", SecretString="x", Description=f"Number {number}",
            Tags=[{"Key": "parity", "Value": "even" if number % 2 == 0 else "odd"}],
        )
    aws.create_secret(Name="other", SecretString="x", Description="number of another kind")

    def names(**how):
        pages = aws.get_paginator("list_secrets").paginate(**how)
        return [one["Name"] for page in pages for one in page["SecretList"]]

    assert names(SortBy="name") == [f"app/{number}" for number in range(7)] + ["other"]
    assert names(SortBy="name", SortOrder="desc", MaxResults=3) == list(reversed(names(SortBy="name")))
    assert names(SortBy="created-date", SortOrder="asc", MaxResults=2) == names(SortBy="name")

    def filtered(key, *values):
        return names(SortBy="name", Filters=[{"Key": key, "Values": list(values)}])

    assert filtered("name", "app/1", "oth") == ["app/1", "other"]
    assert filtered("name", "App") == []
    assert filtered("description", "NUMBER 3") == ["app/3"]
    assert filtered("tag-value", "even") == ["app/0", "app/2", "app/4", "app/6"]
    assert filtered("name", "!app") == ["other"]
    assert filtered("all", "kind NUMBER") == ["other"]
    assert filtered("owning-service", "rds") == []
    assert len(filtered("primary-region", "us-")) == 8
    page = aws.list_secrets(MaxResults=1)
    assert refusal(aws.list_secrets, NextToken=page["NextToken"][:-2] + "xx")[0] == "InvalidNextTokenException"
    assert refusal(aws.list_secret_version_ids, SecretId="other", NextToken=page["NextToken"])[0] == (
        "InvalidNextTokenException")


def test_many_values_come_at_once_each_with_its_own_fate(server, aws):
    aws.create_secret(Name="a", SecretString="1")
    aws.create_secret(Name="b", SecretBinary=b"\x00\xff")
    aws.create_secret(Name="c", SecretString="3")
    aws.delete_secret(SecretId="c")
    got = aws.batch_get_secret_value(SecretIdList=["a", "b", "c", "none"])
    assert [one.get("SecretString") for one in got["SecretValues"]] == ["1", None]
    assert got["SecretValues"][1]["SecretBinary"] == b"\x00\xff"
    assert {one["SecretId"]: one["ErrorCode"] for one in got["Errors"]} == {
        "c": "InvalidRequestException", "none": "ResourceNotFoundException"}
    got = aws.batch_get_secret_value(Filters=[{"Key": "name", "Values": ["a", "b"]}], MaxResults=1)
    rest = aws.batch_get_secret_value(
        Filters=[{"Key": "name", "Values": ["a", "b"]}], MaxResults=1, NextToken=got["NextToken"])
    assert {got["SecretValues"][0]["Name"], rest["SecretValues"][0]["Name"]} == {"a", "b"}
    assert refusal(aws.batch_get_secret_value)[0] == "InvalidParameterException"
    assert refusal(aws.batch_get_secret_value, SecretIdList=["a"], MaxResults=1)[0] == "InvalidParameterException"


def test_random_passwords_have_what_is_asked_for(aws):
    make = aws.get_random_password
    assert len(make()["RandomPassword"]) == 32
    for _ in range(20):
        made = make(PasswordLength=4)["RandomPassword"]
        assert any(c.islower() for c in made) and any(c.isupper() for c in made) and any(c.isdigit() for c in made)
    made = make(PasswordLength=4096, ExcludePunctuation=True, ExcludeUppercase=True, ExcludeCharacters="abc")
    assert set(made["RandomPassword"]) == set("defghijklmnopqrstuvwxyz0123456789")
    assert " " in make(PasswordLength=4096, IncludeSpace=True)["RandomPassword"]
    everything = {f"Exclude{kind}": True for kind in ("Lowercase", "Uppercase", "Numbers", "Punctuation")}
    assert refusal(make, **everything)[0] == "InvalidParameterException"
    assert refusal(make, PasswordLength=3)[0] == "InvalidParameterException"
    assert make(PasswordLength=1, RequireEachIncludedType=False)["RandomPassword"]


def test_values_have_their_limits(aws):
    aws.create_secret(Name="long", SecretString="x" * 65_536)
    assert len(aws.get_secret_value(SecretId="long")["SecretString"]) == 65_536
    assert refusal(aws.create_secret, Name="longer", SecretString="x" * 65_537)[0] == "ValidationException"
    assert refusal(aws.create_secret, Name="both", SecretString="x", SecretBinary=b"y")[0] == (
        "InvalidParameterException")


def test_a_policy_of_the_secret_forbids_in_every_dialect(server, aws):
    aws.create_secret(Name="a", SecretString='{"k": "v"}')
    aws.put_secret_value(SecretId="a", SecretString='{"k": "w"}', VersionStages=["AWSPENDING"])
    policy = {"Version": "2012-10-17", "Statement": [{
        "Effect": "Deny", "Principal": "*", "Action": "secretsmanager:GetSecretValue", "Resource": "*",
        "Condition": {"ForAnyValue:StringEquals": {"secretsmanager:VersionStage": "AWSCURRENT"}},
    }]}
    assert "ResourcePolicy" not in aws.get_resource_policy(SecretId="a")
    aws.put_resource_policy(SecretId="a", ResourcePolicy=json.dumps(policy), BlockPublicPolicy=True)
    assert json.loads(aws.get_resource_policy(SecretId="a")["ResourcePolicy"]) == policy
    caller = client(server, "sts").get_caller_identity()["Arn"]
    assert refusal(aws.get_secret_value, SecretId="a") == (
        "AccessDeniedException", f"User: {caller} is not authorized to perform: secretsmanager:GetSecretValue on resource: a "
        "with an explicit deny in a resource-based policy")
    assert aws.get_secret_value(SecretId="a", VersionStage="AWSPENDING")["SecretString"] == '{"k": "w"}'
    assert server.run("kv", "get", "secret/a", token=server.root_token).returncode == 2
    aws.delete_resource_policy(SecretId="a")
    assert aws.get_secret_value(SecretId="a")["SecretString"] == '{"k": "v"}'
    public = json.dumps({"Statement": [{"Effect": "Allow", "Principal": "*", "Action": "*", "Resource": "*"}]})
    put = aws.put_resource_policy
    assert refusal(put, SecretId="a", ResourcePolicy=public, BlockPublicPolicy=True)[0] == "PublicPolicyException"
    put(SecretId="a", ResourcePolicy=public)
    assert refusal(put, SecretId="a", ResourcePolicy="{}")[0] == "MalformedPolicyDocumentException"
    assert aws.validate_resource_policy(ResourcePolicy=json.dumps(policy))["PolicyValidationPassed"]
    found = aws.validate_resource_policy(SecretId="a", ResourcePolicy=public)
    assert not found["PolicyValidationPassed"] and found["ValidationErrors"][0]["CheckName"]


def test_a_refusal_says_what_refuses(server, aws):
    aws.create_secret(Name="a", SecretString="1")
    server.root.sys.create_or_update_policy("no", 'path "secret/data/a" { capabilities = ["deny"] }')
    server.root.sys.create_or_update_policy("other", 'path "secret/data/b" { capabilities = ["read"] }')
    for policy, why in (
        ("no", "with an explicit deny in an identity-based policy"),
        ("other", "because no identity-based policy allows the secretsmanager:GetSecretValue action"),
    ):
        made = server.json("access-key", "create", f"-policy={policy}", policy)["data"]
        key = client(server, key=(made["access_key_id"], made["secret_access_key"]))
        code, text = refusal(key.get_secret_value, SecretId="a")
        assert code == "AccessDeniedException" and text == (
            f"User: arn:aws:iam::{ACCOUNT}:user/{policy} is not authorized to perform: secretsmanager:GetSecretValue on "
            f"resource: a {why}")


def test_a_secret_has_twenty_labels_and_no_more_on_all_its_versions(server, aws):
    first = aws.create_secret(Name="a", SecretString="1")["VersionId"]
    # With AWSCURRENT and AWSPREVIOUS they are twenty.
    aws.put_secret_value(SecretId="a", SecretString="2", VersionStages=["AWSCURRENT"] + [f"l{n}" for n in range(10)])
    for number in range(8):
        aws.update_secret_version_stage(SecretId="a", VersionStage=f"m{number}", MoveToVersionId=first)
    over = (
        "LimitExceededException",
        "The request failed because it would exceed one of the Secrets Manager quotas: a secret has at most 20 staging "
        "labels, all versions together; take one away first.")
    move = aws.update_secret_version_stage
    assert refusal(move, SecretId="a", VersionStage="one-more", MoveToVersionId=first) == over
    assert refusal(aws.put_secret_value, SecretId="a", SecretString="3", VersionStages=["one-more"]) == over
    assert len([stage for all in stages(aws, "a").values() for stage in all]) == 20
    # One that is there may move, and one that goes makes room.
    aws.put_secret_value(SecretId="a", SecretString="3", VersionStages=["AWSCURRENT", "m0"])
    move(SecretId="a", VersionStage="m1", RemoveFromVersionId=first)
    move(SecretId="a", VersionStage="one-more", MoveToVersionId=aws.get_secret_value(SecretId="a")["VersionId"])
    assert refusal(aws.tag_resource, SecretId="a", Tags=[{"Key": str(n), "Value": ""} for n in range(51)])[0] == (
        "LimitExceededException")


def test_versions_of_a_secret_that_waits_for_its_deletion_stay_until_it_is_restored_or_shredded(server, aws):
    aws.create_secret(Name="a", SecretString="1")
    aws.put_secret_value(SecretId="a", SecretString="2")
    aws.delete_secret(SecretId="a", RecoveryWindowInDays=7)
    for words in (["destroy", "-versions=2"], ["delete"], ["delete", "-versions=1"], ["undelete", "-versions=1"]):
        done = server.run("kv", *words, "secret/a", token=server.root_token)
        assert done.returncode == 2 and "restore it first" in done.stderr and "kv metadata delete" in done.stderr, done
    aws.restore_secret(SecretId="a")
    assert aws.get_secret_value(SecretId="a")["SecretString"] == "2"
    assert aws.get_secret_value(SecretId="a", VersionStage="AWSPREVIOUS")["SecretString"] == "1"
    server.cli("kv", "destroy", "-versions=2", "secret/a")
    assert refusal(aws.get_secret_value, SecretId="a")[0] == "ResourceNotFoundException"
    aws.delete_secret(SecretId="a", RecoveryWindowInDays=7)
    server.cli("kv", "metadata", "delete", "secret/a")
    assert refusal(aws.restore_secret, SecretId="a") == ("ResourceNotFoundException", GONE)


def test_rotation_and_copies_are_refused_in_aws_words(aws):
    aws.create_secret(Name="a", SecretString="1")
    assert refusal(aws.rotate_secret, SecretId="a") == (
        "InvalidRequestException", "No Lambda rotation function ARN is associated with this secret.")
    code, text = refusal(
        aws.rotate_secret, SecretId="a", RotationLambdaARN="arn:aws:lambda:us-east-1:000000000000:function:no")
    assert code == "AccessDeniedException" and "cannot invoke the specified Lambda function" in text
    assert "RotationLambdaARN" not in aws.describe_secret(SecretId="a")
    rules = {"AutomaticallyAfterDays": 1, "ScheduleExpression": "rate(1 day)"}
    assert refusal(aws.rotate_secret, SecretId="a", RotationRules=rules)[0] == "InvalidParameterException"
    aws.cancel_rotate_secret(SecretId="a")
    arn = aws.describe_secret(SecretId="a")["ARN"]
    for call, more in (
        (aws.replicate_secret_to_regions, {"AddReplicaRegions": [{"Region": "eu-west-1"}]}),
        (aws.remove_regions_from_replication, {"RemoveReplicaRegions": ["eu-west-1"]}),
        (aws.stop_replication_to_replica, {}),
        (aws.associate_cross_account_replica, {"CrossAccountReplicaARN": arn}),
        (aws.disassociate_cross_account_replica, {"CrossAccountReplicaARN": arn}),
    ):
        assert refusal(call, SecretId="a", **more)[0] == "InvalidRequestException"
    assert aws.list_resource_policies(SecretId="a")["ResourcePolicies"] == []


def test_the_day_of_the_last_reading_is_noted(aws):
    aws.create_secret(Name="a", SecretString="1")
    assert "LastAccessedDate" not in aws.describe_secret(SecretId="a")
    aws.get_secret_value(SecretId="a")
    seen = wait_until("the reading is noted", lambda: aws.describe_secret(SecretId="a").get("LastAccessedDate"))
    assert seen.timestamp() % 86_400 == 0


def test_what_one_dialect_writes_the_other_reads(server, aws):
    text = ' {"user":\t"ann", "n": 1.10}\n'
    aws.create_secret(Name="x/y", SecretString=text)
    assert server.json("kv", "get", "secret/x/y")["data"]["data"] == {"user": "ann", "n": 1.10}
    assert aws.get_secret_value(SecretId="x/y")["SecretString"] == text
    server.cli("kv", "put", "secret/x/y", "b=2", "a=1")
    got = aws.get_secret_value(SecretId="x/y")
    assert got["SecretString"] == '{"a":"1","b":"2"}' and got["VersionStages"] == ["AWSCURRENT"]
    assert aws.get_secret_value(SecretId="x/y", VersionId=got["VersionId"])["SecretString"] == '{"a":"1","b":"2"}'
    assert aws.get_secret_value(SecretId="x/y", VersionStage="AWSPREVIOUS")["SecretString"] == text
    server.cli("kv", "patch", "secret/x/y", "c=3")
    assert json.loads(aws.get_secret_value(SecretId="x/y")["SecretString"]) == {"a": "1", "b": "2", "c": "3"}
    aws.create_secret(Name="plain", SecretString="hunter2")
    assert server.json("kv", "get", "secret/plain")["data"]["data"] == {"value": "hunter2"}
    aws.create_secret(Name="bytes", SecretBinary=b"\x00\x01")
    assert server.json("kv", "get", "secret/bytes")["data"]["data"] == {"value_base64": "AAE="}
    aws.put_secret_value(SecretId="plain", SecretString="next", VersionStages=["AWSPENDING"])
    assert server.json("kv", "get", "secret/plain")["data"]["data"] == {"value": "hunter2"}
    assert server.json("kv", "get", "-version=2", "secret/plain")["data"]["data"] == {"value": "next"}


def test_one_policy_and_one_trail_hold_for_both(disk_server):
    server = disk_server
    rules = 'path "secret/data/team/*" { capabilities = ["read"] }'
    server.root.sys.create_or_update_policy("team", rules)
    made = json.loads(server.cli(
        "access-key", "create", "-policy=team", "team", VAULT_FORMAT="json"))["data"]
    team = client(server, key=(made["access_key_id"], made["secret_access_key"]))
    client(server).create_secret(Name="team/a", SecretString="canary-value")
    client(server).create_secret(Name="other", SecretString="canary-value")
    assert team.get_secret_value(SecretId="team/a")["SecretString"] == "canary-value"
    for call, how in (
        (team.get_secret_value, {"SecretId": "other"}),
        (team.get_secret_value, {"SecretId": "not-there"}),
        (team.put_secret_value, {"SecretId": "team/a", "SecretString": "x"}),
        (team.describe_secret, {"SecretId": "team/a"}),
        (team.list_secrets, {}),
    ):
        code, text = refusal(call, **how)
        assert code == "AccessDeniedException" and "user/team is not authorized to perform: secretsmanager:" in text
    entries = server.outcomes("secret/data/team/a")
    reading = next(entry for entry in entries if entry["operation"] == "GetSecretValue")
    assert (reading["dialect"], reading["principal"]["accessor"]) == ("aws", made["access_key_id"])
    refused = [entry for entry in entries if not entry["decision"]["granted"]]
    assert [entry["operation"] for entry in refused] == ["PutSecretValue"]
    assert "canary-value" not in "".join(path.read_text() for path in server.trail_folder().glob("*.jsonl"))


def test_a_crowd_writes_one_secret_and_every_write_counts_once(disk_server):
    server = disk_server
    clients = [client(server) for _ in range(8)]
    same = token()

    def create(aws):
        try:
            return aws.create_secret(Name="a", SecretString="1", ClientRequestToken=same)["VersionId"]
        except aws.exceptions.ResourceExistsException:
            return "exists"

    with concurrent.futures.ThreadPoolExecutor(8) as crowd:
        assert set(crowd.map(create, clients)) == {same}
        tokens = [token() for _ in range(24)]
        put = [(clients[n % 8], each) for n, each in enumerate(tokens * 2)]
        list(crowd.map(lambda one: one[0].put_secret_value(
            SecretId="a", SecretString=one[1], ClientRequestToken=one[1]), put))
    shown = clients[0].list_secret_version_ids(SecretId="a", IncludeDeprecated=True)["Versions"]
    assert sorted(version["VersionId"] for version in shown) == sorted([same, *tokens])
    current = clients[0].get_secret_value(SecretId="a")
    server.kill()
    server.start()
    assert client(server).get_secret_value(SecretId="a")["SecretString"] == current["SecretString"]
    assert client(server).describe_secret(SecretId="a")["ARN"] == current["ARN"]
    pages = client(server).list_secret_version_ids(SecretId="a", IncludeDeprecated=True, MaxResults=10)
    seen = [version["VersionId"] for version in pages["Versions"]]
    while "NextToken" in pages:
        pages = client(server).list_secret_version_ids(
            SecretId="a", IncludeDeprecated=True, MaxResults=10, NextToken=pages["NextToken"])
        seen += [version["VersionId"] for version in pages["Versions"]]
    assert sorted(seen) == sorted([same, *tokens])
