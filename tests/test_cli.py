"""The command line with Vault's habits: exit codes, formats, environment, token file, ways to give data."""

import json
import stat

import pytest


def test_exit_codes_are_vaults(dev_server):
    token = {"token": dev_server.root_token}
    dev_server.cli("kv", "put", "secret/x", "a=1")
    assert dev_server.run("status").returncode == 0
    assert dev_server.run("kv", "get", "secret/x", **token).returncode == 0
    assert dev_server.run("kv", "get", "secret/none", **token).returncode == 2, "nothing there"
    assert dev_server.run("kv", "get", "secret/x", token="hvs.nonsense").returncode == 2, "refused"
    assert dev_server.run("kv", "get", "-field=none", "secret/x", **token).returncode == 1, "no such field"
    assert dev_server.run("kv", "get", **token).returncode == 1, "too few arguments"
    assert dev_server.run("kv", "get", "-nonsense", "secret/x", **token).returncode == 1
    gone = dev_server.run("status", VAULT_ADDR="http://127.0.0.1:1")
    assert gone.returncode == 1, "nobody knows whether it is sealed"
    assert dev_server.run("kv", "get", "secret/x", VAULT_ADDR="http://127.0.0.1:1", VAULT_MAX_RETRIES="0", **token).returncode == 2


def test_results_and_messages_go_different_ways(dev_server):
    dev_server.cli("kv", "put", "secret/x", "a=1")
    good = dev_server.run("kv", "get", "-field=a", "secret/x", token=dev_server.root_token)
    assert (good.stdout, good.stderr) == ("1", "")
    bad = dev_server.run("kv", "get", "-field=a", "secret/none", token=dev_server.root_token)
    assert bad.stdout == "" and "secret/data/none" in bad.stderr


def test_every_format_shows_the_same(dev_server):
    dev_server.cli("kv", "put", "secret/x", "a=1", "b=two words")
    shown = dev_server.cli("kv", "get", "-format=json", "secret/x")
    assert json.loads(shown)["data"]["data"] == {"a": "1", "b": "two words"}
    assert json.loads(dev_server.cli("kv", "get", "secret/x", VAULT_FORMAT="json"))["data"]["data"]["a"] == "1"
    yaml = dev_server.cli("kv", "get", "-format=yaml", "secret/x")
    assert "  data:" in yaml and "b: two words" in yaml
    table = dev_server.cli("kv", "get", "-format=table", "secret/x")
    assert ["b", "two", "words"] in [line.split() for line in table.splitlines()]
    assert dev_server.run("kv", "get", "-format=xml", "secret/x", token=dev_server.root_token).returncode == 1


def test_flags_may_have_one_dash_or_two_and_stand_anywhere(dev_server):
    dev_server.cli("kv", "put", "secret/x", "a=1")
    for words in (
        ("kv", "get", "-field=a", "secret/x"), ("kv", "get", "--field=a", "secret/x"),
        ("kv", "get", "-field", "a", "secret/x"), ("kv", "get", "secret/x", "-field=a"),
        ("kv", "get", "-mount=secret", "-field=a", "x"),
    ):
        assert dev_server.cli(*words) == "1", words


def test_data_comes_from_the_line_a_file_or_standard_input(dev_server):
    value = dev_server.folder / "value.txt"
    value.write_text("from a file\nwith two lines")
    whole = dev_server.folder / "whole.json"
    whole.write_text('{"big": 12345678901234567890, "nested": {"b": [1.50, true]}}')
    dev_server.cli("kv", "put", "secret/x", "line=a=b", f"file=@{value}", "input=-", r"at=\@home", stdin="from stdin")
    assert dev_server.json("kv", "get", "secret/x")["data"]["data"] == {
        "line": "a=b", "file": "from a file\nwith two lines", "input": "from stdin", "at": "@home",
    }
    dev_server.cli("kv", "put", "secret/x", f"@{whole}")
    text = dev_server.cli("kv", "get", "-format=json", "secret/x")
    assert "12345678901234567890" in text and "1.50" in text, "numbers keep their text"
    dev_server.cli("kv", "put", "secret/x", "-", stdin='{"a": "b"}')
    assert dev_server.json("kv", "get", "secret/x")["data"]["data"] == {"a": "b"}


def test_a_login_is_kept_in_a_file_of_the_user_alone(dev_server, tmp_path):
    file = tmp_path / "here" / "token"
    file.parent.mkdir()
    done = dev_server.run("login", "-no-print", "-", stdin=dev_server.root_token, VAULT_TOKEN_PATH=str(file))
    assert done.returncode == 0, done.stderr
    assert file.read_text() == dev_server.root_token
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert dev_server.run("token", "lookup", VAULT_TOKEN_PATH=str(file)).returncode == 0
    # A token in the environment wins.
    assert dev_server.run("token", "lookup", VAULT_TOKEN_PATH=str(file), token="hvs.nonsense").returncode == 2


def test_a_failed_login_keeps_the_old_token(dev_server, tmp_path):
    file = tmp_path / "token"
    file.write_text("hvs.old")
    assert dev_server.run("login", "-", stdin="hvs.nonsense", VAULT_TOKEN_PATH=str(file)).returncode == 2
    assert file.read_text() == "hvs.old"


def test_both_names_of_a_variable_work_and_ours_wins(dev_server):
    assert dev_server.run("status", VAULT_ADDR="http://127.0.0.1:1", STRONGROOM_ADDR=dev_server.url).returncode == 0
    done = dev_server.run("token", "lookup", token="hvs.nonsense", STRONGROOM_TOKEN=dev_server.root_token)
    assert done.returncode == 0


def test_under_the_name_vault_it_behaves_the_same(dev_server):
    dev_server.cli("kv", "put", "secret/x", "a=1", program="vault")
    assert dev_server.cli("kv", "get", "-field=a", "secret/x", program="vault") == "1"
    version = dev_server.run("-version", program="vault").stdout
    assert version.startswith("Vault v1.16.3")


def test_approle_login_by_command_line(dev_server):
    dev_server.cli("auth", "enable", "approle")
    dev_server.cli("policy", "write", "app", "-", stdin='path "secret/data/app/*" { capabilities = ["read"] }')
    dev_server.cli("write", "auth/approle/role/app", "token_policies=app", "secret_id_ttl=10m")
    role_id = dev_server.cli("read", "-field=role_id", "auth/approle/role/app/role-id")
    secret_id = dev_server.cli("write", "-force", "-field=secret_id", "auth/approle/role/app/secret-id")
    token = dev_server.cli(
        "write", "-field=token", "auth/approle/login", f"role_id={role_id}", "secret_id=-", stdin=secret_id, token=None
    )
    dev_server.cli("kv", "put", "secret/app/db", "a=1")
    assert dev_server.cli("kv", "get", "-field=a", "secret/app/db", token=token) == "1"
    refused = dev_server.run("kv", "put", "secret/app/db", "a=2", token=token)
    assert refused.returncode == 2 and "permission denied" in refused.stderr


def test_an_auth_method_shuts_out_as_it_is_tuned(dev_server):
    """The command line had no flags for it."""

    def log_in(password):
        sent = ("write", "auth/people/login/ann", f"password={password}")
        return dev_server.run(*sent, token=None).returncode

    def tuned():
        read = dev_server.json("read", "sys/auth/people/tune")["data"]
        return [read[f"user_lockout_{name}"] for name in ("threshold", "duration", "counter_reset_duration", "disable")]

    dev_server.cli("auth", "enable", "-path=people", "-user-lockout-threshold=2", "userpass")
    dev_server.cli("write", "auth/people/users/ann", "password=open-sesame")
    assert [log_in(word) for word in ("open-sesame", "wrong", "wrong", "open-sesame")] == [0, 2, 2, 2]
    dev_server.cli("auth", "tune", "-user-lockout-disable", "-user-lockout-duration=1h", "people")
    assert tuned() == [2, 3600, 0, True]
    assert log_in("open-sesame") == 0
    back = ("-user-lockout-disable=false", "-user-lockout-duration=-1", "-user-lockout-threshold=0")
    dev_server.cli("auth", "tune", *back, "people")
    assert tuned() == [0, 0, 0, False]
    assert dev_server.run("auth", "tune", "-user-lockout-threshold=2", "token").returncode == 2


def test_lists_name_what_there_is(dev_server):
    assert dev_server.run("kv", "list", "secret/", token=dev_server.root_token).returncode == 2
    for name in ("a", "b/c"):
        dev_server.cli("kv", "put", f"secret/{name}", "x=1")
    assert dev_server.json("kv", "list", "secret/") == ["a", "b/"]
    assert "secret/" in dev_server.json("secrets", "list")
    assert "token/" in dev_server.json("auth", "list")
    assert {"default", "root"} <= set(dev_server.json("policy", "list"))


def test_an_error_says_what_to_do_next(dev_server):
    unreachable = dev_server.run("kv", "get", "secret/x", VAULT_ADDR="http://127.0.0.1:1", VAULT_MAX_RETRIES="0")
    assert "127.0.0.1:1" in unreachable.stderr
    tls = dev_server.run("status", VAULT_ADDR=dev_server.url.replace("http:", "https:"))
    assert tls.returncode == 1 and "http://" in tls.stderr
    unknown = dev_server.run("kv", "gett", "secret/x")
    assert unknown.returncode != 0 and "get" in unknown.stdout + unknown.stderr


@pytest.mark.parametrize("words", [("kv", "put", "secret/x", "hunter2"), ("kv", "put", "secret/x", "-"), ("login", "-field", "hunter2")])
def test_an_error_does_not_repeat_what_may_be_a_secret(dev_server, words):
    done = dev_server.run(*words, stdin="hunter2", token=dev_server.root_token)
    assert done.returncode != 0
    assert "hunter2" not in done.stdout + done.stderr


def test_help_is_there_for_every_command(dev_server):
    for words in (("-h",), ("kv", "-help"), ("kv", "put", "-h"), ("server", "-h"), ("operator", "init", "-h")):
        done = dev_server.run(*words)
        assert done.returncode == 0 and "sage: " in done.stdout, words
    assert "-dev-root-token-id" in dev_server.run("server", "-h").stdout


def test_secrets_live_through_the_command_line(dev_server):
    cli = dev_server.cli
    cli("kv", "put", "secret/x", "a=1")
    cli("kv", "patch", "secret/x", "b=2")
    assert dev_server.json("kv", "get", "secret/x")["data"]["data"] == {"a": "1", "b": "2"}
    assert cli("kv", "get", "-version=1", "-field=a", "secret/x") == "1"
    assert dev_server.run("kv", "put", "-cas=1", "secret/x", "a=9", token=dev_server.root_token).returncode == 2
    cli("kv", "delete", "secret/x")
    # As Vault's: what is known about a deleted version is shown, its data is not there.
    assert "deletion_time" in cli("kv", "get", "secret/x")
    assert dev_server.run("kv", "get", "-field=a", "secret/x", token=dev_server.root_token).returncode == 2
    cli("kv", "undelete", "-versions=2", "secret/x")
    cli("kv", "rollback", "-version=1", "secret/x")
    assert dev_server.json("kv", "get", "secret/x")["data"]["data"] == {"a": "1"}
    cli("kv", "metadata", "put", "-custom-metadata=owner=web", "secret/x")
    assert dev_server.json("kv", "metadata", "get", "secret/x")["data"]["custom_metadata"] == {"owner": "web"}
    cli("kv", "metadata", "delete", "secret/x")
    assert dev_server.run("kv", "metadata", "get", "secret/x", token=dev_server.root_token).returncode == 2


def test_the_policy_for_a_rotation_is_about_its_secret(dev_server):
    start = dev_server.cli("rotate", "start", "-output-policy", "secret/app/db")
    assert 'path "secret/data/app/db"' in start and '"update"' in start
    for words in (["status"], ["history"]):
        look = dev_server.cli("rotate", *words, "-output-policy", "secret/app/db")
        assert look == 'path "secret/metadata/app/db" {\n  capabilities = ["read"]\n}\n'
    assert 'path "secret/metadata/app/db"' in dev_server.cli("rotate", "cancel", "-output-policy", "secret/app/db")
    assert 'path "sys/trail/query"' in dev_server.cli("audit", "query", "-output-policy")
