"""AWS Parameter Store as unmodified clients see it: boto3, the command line, Powertools and the SDK for JavaScript."""

import base64
import concurrent.futures
import datetime
import json
import os
import subprocess
import sys

import boto3
import pytest
from aws_house import ACCOUNT, REGION, client, environment, key_of, refusal
from house import wait_until

ARN = f"arn:aws:ssm:{REGION}:{ACCOUNT}:parameter"
# Put together here, so that no token stands in the source.
TOKEN = "ghp" + "_" + "a1B2c3D4e5F6g7H8i9J0" * 2


@pytest.fixture
def server(disk_server):
    return disk_server


def api(server, method, path, body=None):
    """A request of the Vault dialect."""
    return server.root.adapter.request(method, f"/v1/{path}", json=body)


@pytest.fixture
def ssm(server):
    return client(server, "ssm")


def put(ssm, name, value="v", **more):
    return ssm.put_parameter(Name=name, Value=value, **{"Type": "String", **more})


def value(ssm, name, **more):
    return ssm.get_parameter(Name=name, **more)["Parameter"]["Value"]


def names(answer):
    return [one["Name"] for one in answer["Parameters"]]


def test_a_parameter_is_written_read_and_described(ssm):
    made = put(ssm, "/prod/web/url", "https://x.example", Description="The shop", Tags=[{"Key": "team", "Value": "web"}])
    assert (made["Version"], made["Tier"]) == (1, "Standard")
    got = ssm.get_parameter(Name="/prod/web/url")["Parameter"]
    assert isinstance(got.pop("LastModifiedDate"), datetime.datetime)
    assert got == {"Name": "/prod/web/url", "Type": "String", "Value": "https://x.example", "Version": 1,
                   "ARN": f"{ARN}/prod/web/url", "DataType": "text"}
    assert value(ssm, f"{ARN}/prod/web/url") == "https://x.example"
    put(ssm, "bare")
    assert ssm.get_parameter(Name="bare")["Parameter"]["ARN"] == f"{ARN}/bare"
    assert names(ssm.get_parameters(Names=["bare"])) == ["bare"]
    described = ssm.describe_parameters()["Parameters"]
    assert [one["Name"] for one in described] == ["bare", "/prod/web/url"]
    assert described[1]["Description"] == "The shop" and described[1]["LastModifiedUser"].startswith("arn:aws:")
    assert "KeyId" not in described[1] and described[1]["Policies"] == []
    ssm.delete_parameter(Name="/prod/web/url")
    assert refusal(ssm.get_parameter, Name="/prod/web/url")[0] == "ParameterNotFound"
    assert refusal(ssm.delete_parameter, Name="/prod/web/url")[0] == "ParameterNotFound"


def test_a_secret_is_only_shown_to_who_asks_for_decryption(ssm, server):
    put(ssm, "/s", "hunter2", Type="SecureString")
    hidden = value(ssm, "/s")
    assert hidden == value(ssm, "/s") and "hunter2" not in hidden and b"hunter2" not in base64.b64decode(hidden)
    assert value(ssm, "/s", WithDecryption=True) == "hunter2"
    history = ssm.get_parameter_history(Name="/s")["Parameters"]
    assert history[0]["Value"] == hidden and history[0]["KeyId"] == "alias/aws/ssm"
    put(ssm, "/l", "a,b,c", Type="StringList")
    assert value(ssm, "/l") == "a,b,c"
    assert "hunter2" not in json.dumps(server.trail())


def test_overwriting_makes_versions_that_selectors_find(ssm):
    put(ssm, "/p", "one", AllowedPattern="^[a-z]+$")
    assert refusal(put, ssm=ssm, name="/p") == (
        "ParameterAlreadyExists",
        "The parameter already exists. To overwrite this value, set the overwrite option in the request to true.")
    assert ssm.put_parameter(Name="/p", Value="two", Overwrite=True)["Version"] == 2
    assert refusal(ssm.put_parameter, Name="/p", Value="3", Overwrite=True)[0] == "ParameterPatternMismatchException"
    assert ssm.label_parameter_version(Name="/p", ParameterVersion=1, Labels=["blue", "aws-x", "1st"]) | {
        "ResponseMetadata": None} == {"InvalidLabels": ["aws-x", "1st"], "ParameterVersion": 1, "ResponseMetadata": None}
    for selector, expected in ((":1", "one"), (":2", "two"), (":blue", "one")):
        got = ssm.get_parameter(Name=f"/p{selector}")["Parameter"]
        assert (got["Value"], got["Selector"], got["Name"]) == (expected, selector, "/p")
    for missing in (":3", ":0", ":green"):
        assert refusal(ssm.get_parameter, Name=f"/p{missing}")[0] == "ParameterVersionNotFound"
    assert ssm.label_parameter_version(Name="/p", Labels=["blue"])["ParameterVersion"] == 2
    history = ssm.get_parameter_history(Name="/p")["Parameters"]
    assert [(one["Version"], one["Value"], one["Labels"]) for one in history] == [(1, "one", []), (2, "two", ["blue"])]
    ten = [f"l{n}" for n in range(10)]
    assert refusal(ssm.label_parameter_version, Name="/p", Labels=ten)[0] == "ParameterVersionLabelLimitExceeded"
    done = ssm.unlabel_parameter_version(Name="/p", ParameterVersion=2, Labels=["blue", "none"])
    assert (done["RemovedLabels"], done["InvalidLabels"]) == (["blue"], ["none"])
    assert refusal(ssm.label_parameter_version, Name="/p", ParameterVersion=9, Labels=["x"])[0] == "ParameterVersionNotFound"
    assert refusal(ssm.label_parameter_version, Name="/none", Labels=["x"])[0] == "ParameterNotFound"


def test_a_hundred_versions_are_kept_and_a_label_keeps_the_oldest(ssm):
    put(ssm, "/p", "1")
    for n in range(2, 102):
        ssm.put_parameter(Name="/p", Value=str(n), Overwrite=True)
    pages = ssm.get_paginator("get_parameter_history").paginate(Name="/p", PaginationConfig={"PageSize": 50})
    seen = [[one["Version"] for one in page["Parameters"]] for page in pages]
    assert [len(page) for page in seen] == [50, 50] and sum(seen, []) == list(range(2, 102))
    ssm.label_parameter_version(Name="/p", ParameterVersion=2, Labels=["keep"])
    assert refusal(ssm.put_parameter, Name="/p", Value="x", Overwrite=True)[0] == "ParameterMaxVersionLimitExceeded"
    assert value(ssm, "/p") == "101" and value(ssm, "/p:keep") == "2"
    ssm.unlabel_parameter_version(Name="/p", ParameterVersion=2, Labels=["keep"])
    assert ssm.put_parameter(Name="/p", Value="x", Overwrite=True)["Version"] == 102


def test_what_cannot_be_written_is_refused_in_the_words_of_aws(ssm):
    put(ssm, "/p")
    expiry = [{"Type": "Expiration", "Version": "1.0", "Attributes": {"Timestamp": "2099-01-01T00:00:00.000Z"}}]
    for code, arguments in (
        ("ValidationException", {"name": "/a b"}), ("ValidationException", {"name": "a/b"}),
        ("ValidationException", {"name": "ssm-x"}), ("ValidationException", {"name": "/AWSx"}),
        ("AccessDeniedException", {"name": "/aws/x"}), ("ValidationException", {"name": "/a//b"}),
        ("ValidationException", {"name": "/a/../b"}), ("ValidationException", {"name": "/a/"}),
        ("HierarchyLevelLimitExceededException", {"name": "/a" * 16}),
        ("ValidationException", {"name": "/" + "a" * 1000}),
        ("ValidationException", {"name": "/n", "value": "x" * 4097}),
        ("ValidationException", {"name": "/n", "value": "x" * 8193, "Tier": "Advanced"}),
        ("ValidationException", {"name": "/n", "value": "a {{ssm:b}}"}),
        ("ValidationException", {"name": "/n", "value": ""}),
        ("ValidationException", {"name": "/n", "DataType": "Text"}),
        ("ValidationException", {"name": "/n", "DataType": "integer", "value": "x"}),
        ("ValidationException", {"name": "/n", "KeyId": "alias/x"}),
        ("UnsupportedParameterType", {"name": "/n", "Type": "Blob"}),
        ("InvalidAllowedPatternException", {"name": "/n", "AllowedPattern": "("}),
        ("ValidationException", {"name": "/n", "Policies": json.dumps(expiry)}),
        ("InvalidPolicyTypeException", {"name": "/n", "Policies": '[{"Type": "X", "Version": "1.0"}]', "Tier": "Advanced"}),
        ("ValidationException", {"name": "/p", "Overwrite": True, "Tags": [{"Key": "a", "Value": "b"}]}),
    ):
        assert refusal(put, ssm=ssm, **arguments)[0] == code, arguments
    assert refusal(ssm.put_parameter, Name="/n", Value="v") == (
        "ValidationException", "A parameter type is required when you create a parameter.")
    assert put(ssm, "/big", "x" * 8192, Tier="Intelligent-Tiering")["Tier"] == "Advanced"
    assert refusal(ssm.put_parameter, Name="/big", Value="x", Overwrite=True, Tier="Standard")[0] == "ValidationException"
    assert put(ssm, "/a" * 15)["Version"] == 1


def test_a_folder_is_read_in_pages_and_filtered(ssm):
    for n in range(12):
        put(ssm, f"/app/p{n:02}", str(n), Type="SecureString" if n % 2 else "String")
    put(ssm, "/app/deep/er/x")
    put(ssm, "/application", "elsewhere")
    first = ssm.get_parameters_by_path(Path="/app")
    assert len(first["Parameters"]) == 10 and first["NextToken"]
    pages = ssm.get_paginator("get_parameters_by_path").paginate(Path="/app/", Recursive=True, PaginationConfig={"PageSize": 5})
    got = [name for page in pages for name in names(page)]
    assert got == sorted(["/app/deep/er/x", *(f"/app/p{n:02}" for n in range(12))])
    assert "/app/deep/er/x" not in names(first)
    secret = ssm.get_parameters_by_path(
        Path="/app", WithDecryption=True, ParameterFilters=[{"Key": "Type", "Values": ["SecureString"]}])
    assert [one["Value"] for one in secret["Parameters"]] == ["1", "3", "5", "7", "9", "11"]
    ssm.label_parameter_version(Name="/app/p00", Labels=["blue"])
    ssm.put_parameter(Name="/app/p00", Value="new", Overwrite=True)
    blue = ssm.get_parameters_by_path(Path="/app", ParameterFilters=[{"Key": "Label", "Values": ["blue"]}])["Parameters"]
    assert [(one["Name"], one["Value"]) for one in blue] == [("/app/p00", "0")]
    assert len(names(ssm.get_parameters_by_path(Path="/", Recursive=True))) == 10
    assert names(ssm.get_parameters_by_path(Path="/none")) == []
    for code, arguments in (
        ("ValidationException", {"Path": "app"}), ("ValidationException", {"Path": "/a b"}),
        ("InvalidNextToken", {"Path": "/app", "NextToken": "x"}),
        ("ValidationException", {"Path": "/app", "MaxResults": 11}),
        ("InvalidFilterKey", {"Path": "/app", "ParameterFilters": [{"Key": "Name", "Values": ["x"]}]}),
        ("InvalidFilterOption", {"Path": "/app", "ParameterFilters": [{"Key": "Type", "Option": "x", "Values": ["x"]}]}),
        ("InvalidFilterValue", {"Path": "/app", "ParameterFilters": [{"Key": "Type", "Values": ["x"]}]}),
    ):
        assert refusal(ssm.get_parameters_by_path, **arguments)[0] == code, arguments


def test_descriptions_are_filtered_by_name_path_tag_and_tier(ssm):
    put(ssm, "/a/one", Tags=[{"Key": "team", "Value": "web"}])
    put(ssm, "/a/b/two", Tier="Advanced")
    put(ssm, "three", Type="SecureString")

    def found(*filters, **more):
        parameter_filters = [{"Key": key, "Option": option, "Values": values} if option else {"Key": key, "Values": values}
                             for key, option, values in filters]
        return names(ssm.describe_parameters(ParameterFilters=parameter_filters, **more))

    assert found(("Name", "Equals", ["a/one"])) == found(("Name", "Equals", ["/a/one"])) == ["/a/one"]
    assert found(("Name", "Contains", ["/b/"])) == ["/a/b/two"]
    assert found(("Path", None, ["/a"])) == ["/a/one"]
    assert found(("Path", "Recursive", ["/a"])) == ["/a/b/two", "/a/one"]
    assert found(("tag:team", None, ["web"])) == ["/a/one"]
    assert found(("Tier", None, ["Advanced"])) == ["/a/b/two"]
    assert found(("KeyId", "BeginsWith", ["alias/"])) == ["three"]
    assert names(ssm.describe_parameters(Filters=[{"Key": "Name", "Values": ["/a"]}])) == ["/a/b/two", "/a/one"]
    assert refusal(ssm.describe_parameters, ParameterFilters=[{"Key": "Label", "Values": ["x"]}])[0] == "InvalidFilterKey"
    pages = ssm.get_paginator("describe_parameters").paginate(PaginationConfig={"PageSize": 1})
    assert [names(page) for page in pages] == [["/a/b/two"], ["/a/one"], ["three"]]


def test_tags_are_added_listed_and_removed(ssm):
    put(ssm, "/p")
    about = {"ResourceType": "Parameter", "ResourceId": "/p"}
    ssm.add_tags_to_resource(**about, Tags=[{"Key": f"k{n}", "Value": "v"} for n in range(3)])
    ssm.remove_tags_from_resource(**about, TagKeys=["k0", "none"])
    assert [tag["Key"] for tag in ssm.list_tags_for_resource(**about)["TagList"]] == ["k1", "k2"]
    many = [{"Key": f"m{n}", "Value": "v"} for n in range(50)]
    assert refusal(ssm.add_tags_to_resource, **about, Tags=many)[0] == "TooManyTagsError"
    assert refusal(ssm.list_tags_for_resource, ResourceType="Parameter", ResourceId="/none")[0] == "InvalidResourceId"
    assert refusal(ssm.list_tags_for_resource, ResourceType="Document", ResourceId="/p")[0] == "InvalidResourceType"


def test_several_are_read_and_removed_and_the_missing_named(ssm):
    for name in ("/a", "/b"):
        put(ssm, name)
    got = ssm.get_parameters(Names=["/b", "/none", "/a", "/a:9"])
    assert (names(got), got["InvalidParameters"]) == (["/b", "/a"], ["/none", "/a:9"])
    assert ssm.get_parameters(Names=["/a"])["InvalidParameters"] == []
    assert refusal(ssm.get_parameters, Names=[f"/{n}" for n in range(11)])[0] == "ValidationException"
    gone = ssm.delete_parameters(Names=["/a", "/none"])
    assert (gone["DeletedParameters"], gone["InvalidParameters"]) == (["/a"], ["/none"])
    assert put(ssm, "/a")["Version"] == 1


def test_a_plain_parameter_that_looks_like_a_credential_is_refused(ssm, server):
    for name, text, what in (
        ("/x", TOKEN, "a GitHub token"), ("/x", "postgresql://app:hunter2@db/x", "an address with a password"),
        ("/x", "Basic YXBwOmh1bnRlcjI=", "an Authorization header"), ("/x", "app/hunter2@//db:1521/x", "an Oracle connection"),
        ("/prod/db/password", "hunter2", "a password"), ("/x", json.dumps({"db": {"password": "hunter2"}}), "a password"),
    ):
        code, said = refusal(put, ssm=ssm, name=name, value=text)
        assert code == "ValidationException" and what in said and "SecureString" in said, said
        assert "hunter2" not in said and TOKEN not in said
    assert refusal(put, ssm=ssm, name="/l", value=f"a,{TOKEN}", Type="StringList")[0] == "ValidationException"
    assert put(ssm, "/x", TOKEN, Type="SecureString")["Version"] == 1
    # Neither does a later version slip through under the type of an earlier one.
    put(ssm, "/y", "harmless")
    put(ssm, "/z", "Bearer authentication is required")
    assert refusal(ssm.put_parameter, Name="/y", Value=TOKEN, Overwrite=True)[0] == "ValidationException"
    assert value(ssm, "/y") == "harmless"
    assert TOKEN not in json.dumps(server.trail()) and "hunter2" not in json.dumps(server.trail())


def test_an_operator_can_have_credentials_recorded_instead(new_production):
    server = new_production(more="""
aws {
  plain_credentials = "record"
  region "us-east-1" {
    mount           = "secret"
    parameter_mount = "team/ssm"
  }
}
""").initialise()
    server.unseal()
    made = api(server, "POST", "sys/access-keys", {"name": "root", "policies": ["root"]})["data"]
    ssm = boto3.client(
        "ssm", endpoint_url=server.url, region_name=REGION, verify=str(server.ca),
        aws_access_key_id=made["access_key_id"], aws_secret_access_key=made["secret_access_key"])
    # Nobody makes mounts on a server for work but its operator.
    assert "team/ssm" in refusal(put, ssm=ssm, name="/x")[1]
    server.root.sys.enable_secrets_engine("kv", path="team/ssm", options={"version": "2"})
    assert put(ssm, "/x", TOKEN)["Version"] == 1 and value(ssm, "/x") == TOKEN
    entry = server.outcomes("team/ssm/data/x")[-2]
    assert entry["operation"] == "PutParameter" and "a GitHub token" in entry["warnings"][0]
    assert TOKEN not in json.dumps(server.trail())


def test_a_secret_of_secrets_manager_is_read_by_reference_under_its_own_policy(ssm, server):
    client(server).create_secret(Name="prod/db", SecretString="hunter2")
    name = "/aws/reference/secretsmanager/prod/db"
    got = ssm.get_parameter(Name=name, WithDecryption=True)["Parameter"]
    assert (got["Name"], got["Type"], got["Value"], got["Version"]) == (name, "SecureString", "hunter2", 0)
    assert json.loads(got["SourceResult"])["Name"] == "prod/db" and "hunter2" not in got["SourceResult"]
    assert got["ARN"].startswith(f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:prod/db-")
    assert value(ssm, f"{name}:AWSCURRENT", WithDecryption=True) == "hunter2"
    assert refusal(ssm.get_parameter, Name=name) == (
        "ValidationException", "WithDecryption flag must be True for retrieving a Secret Manager secret.")
    assert refusal(ssm.get_parameter, Name=name + "x", WithDecryption=True)[0] == "ParameterNotFound"
    several = ssm.get_parameters(Names=[name, "/none"], WithDecryption=True)
    assert (names(several), several["InvalidParameters"]) == ([name], ["/none"])
    only = limited(server, 'path "parameter/*" { capabilities = ["read", "list"] }')
    assert refusal(only.get_parameter, Name=name, WithDecryption=True)[0] == "AccessDeniedException"
    assert any(entry["path"] == "secret/data/prod/db" and entry["operation"] == "GetSecretValue" for entry in server.trail())


def limited(server, policy):
    """A client whose key has one policy."""
    api(server, "POST", "sys/policies/acl/limited", {"policy": policy})
    made = api(server, "POST", "sys/access-keys", {"name": "limited", "policies": ["limited"]})["data"]
    return client(server, "ssm", key=(made["access_key_id"], made["secret_access_key"]))


def test_a_caller_sees_the_names_that_the_own_policies_list(ssm, server):
    for name in ("/app/a", "/app/b", "/other/c"):
        put(ssm, name)
    own = limited(server, """
        path "parameter/metadata" { capabilities = ["list"] }
        path "parameter/metadata/app" { capabilities = ["list"] }
        path "parameter/data/app/a" { capabilities = ["read"] }
        path "parameter/metadata/app/b" { capabilities = ["read"] }
    """)
    assert names(own.get_parameters_by_path(Path="/app")) == ["/app/a"]
    assert names(own.get_parameters_by_path(Path="/", Recursive=True)) == ["/app/a"]
    assert names(own.describe_parameters()) == ["/app/b"]
    assert value(own, "/app/a") == "v"
    for call, arguments in (
        (own.get_parameters_by_path, {"Path": "/other"}), (own.get_parameter, {"Name": "/app/b"}),
        (own.get_parameter, {"Name": "/none"}), (own.get_parameters, {"Names": ["/app/a", "/app/b"]}),
        (own.put_parameter, {"Name": "/app/a", "Value": "x", "Overwrite": True}), (own.delete_parameter, {"Name": "/app/a"}),
        (own.delete_parameters, {"Names": ["/app/a"]}), (own.get_parameter_history, {"Name": "/app/b"}),
        (own.label_parameter_version, {"Name": "/app/a", "Labels": ["x"]}),
        (own.list_tags_for_resource, {"ResourceType": "Parameter", "ResourceId": "/app/a"}),
    ):
        recorded = len(server.trail())
        assert refusal(call, **arguments)[0] == "AccessDeniedException", arguments
        assert server.trail()[recorded:], arguments


def test_vaults_clients_read_and_write_parameters(ssm, server):
    put(ssm, "/app/x", "plain")
    put(ssm, "/app/j", '{"a": 1}')
    assert api(server, "GET", "parameter/data/app/x")["data"]["data"] == {"value": "plain"}
    assert api(server, "GET", "parameter/data/app/j")["data"]["data"] == {"a": 1}
    api(server, "POST", "parameter/data/app/v", {"data": {"value": "by vault"}})
    got = ssm.get_parameter(Name="/app/v", WithDecryption=True)["Parameter"]
    assert (got["Value"], got["Type"], got["Version"]) == ("by vault", "SecureString", 1)
    api(server, "POST", "parameter/data/app/v", {"data": {"a": "b"}})
    assert value(ssm, "/app/v", WithDecryption=True) == '{"a":"b"}' and value(ssm, "/app/v:1", WithDecryption=True) == "by vault"
    api(server, "DELETE", "parameter/data/app/v")
    assert refusal(ssm.get_parameter, Name="/app/v")[0] == "ParameterNotFound"
    assert "/app/v" not in names(ssm.get_parameters_by_path(Path="/app"))


def test_a_parameter_ends_when_its_policy_says_so(ssm, server):
    end = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=4)
    rule = {"Type": "Expiration", "Version": "1.0", "Attributes": {"Timestamp": end.strftime("%Y-%m-%dT%H:%M:%S.000Z")}}
    put(ssm, "/p", Tier="Advanced", Policies=json.dumps([rule]))
    shown = ssm.describe_parameters()["Parameters"][0]["Policies"]
    assert [(one["PolicyType"], json.loads(one["PolicyText"])) for one in shown] == [("Expiration", rule)]

    def gone():
        try:
            value(ssm, "/p")
        except ssm.exceptions.ParameterNotFound:
            return True

    wait_until("the parameter has ended", gone)
    assert names(ssm.describe_parameters()) == []
    assert put(ssm, "/p")["Version"] == 1 and value(ssm, "/p") == "v"


def test_writers_at_the_same_time_each_make_a_version(server):
    put(client(server, "ssm"), "/p")

    def write(n):
        return client(server, "ssm").put_parameter(Name="/p", Value=str(n), Overwrite=True)["Version"]

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        assert sorted(pool.map(write, range(16))) == list(range(2, 18))


def test_powertools_reads_and_writes_parameters(server, monkeypatch):
    for name, text in environment(server).items():
        monkeypatch.setenv(name, text)
    from aws_lambda_powertools.utilities.parameters import SSMProvider

    provider = SSMProvider(boto3_client=client(server, "ssm"))
    assert provider.set("/app/a", "one") and provider.get("/app/a") == "one"
    provider.set("/app/s", "two", parameter_type="SecureString")
    provider.set("/app/a", '{"x": 1}', overwrite=True)
    assert provider.get("/app/a", transform="json", force_fetch=True) == {"x": 1}
    assert provider.get_multiple("/app", decrypt=True) == {"a": '{"x": 1}', "s": "two"}
    assert provider.get_parameters_by_name({"/app/a": {}, "/app/s": {"decrypt": True}}) == {"/app/a": '{"x": 1}', "/app/s": "two"}


def test_the_command_line_of_aws_works(server, tmp_path):
    def aws(*words):
        command = [os.path.join(os.path.dirname(sys.executable), "aws"), "ssm", *words, "--output", "text"]
        env = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), **environment(server)}
        done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=60)
        return (done.stdout + done.stderr).strip()

    assert aws("put-parameter", "--name", "/app/a", "--value", "one", "--type", "String") == "Standard\t1"
    assert aws("put-parameter", "--name", "/app/b", "--value", "two", "--type", "SecureString") == "Standard\t1"
    listed = aws("get-parameters-by-path", "--path", "/app", "--with-decryption", "--query", "Parameters[].[Name,Value]")
    assert listed.split() == ["/app/a", "one", "/app/b", "two"]
    assert "(ParameterAlreadyExists)" in aws("put-parameter", "--name", "/app/a", "--value", "x", "--type", "String")
    assert "(ParameterNotFound)" in aws("get-parameter", "--name", "/none")
