"""From a fresh start to a first secret, with every client a stranger might have in hand."""

import json
import re
import stat
import subprocess
import sys

import hvac
import pytest
from house import ROOT


def test_the_banner_tells_how_to_go_on_and_its_lines_work(dev_server):
    banner = dev_server.banner()
    assert f"Root Token: {dev_server.root_token}" in banner
    exports = re.findall(r"^ +(export \w+='.*')$", banner, re.M)
    assert f"export VAULT_ADDR='{dev_server.url}'" in exports
    lines = re.findall(r"^ +((?:strongroom|curl) .*)$", banner, re.M)
    assert len(lines) == 3, banner
    # In a home of its own, so that what makes them work is what the banner says and nothing else.
    home = dev_server.folder / "another-home"
    home.mkdir()
    script = "\n".join(["set -e", *exports, *lines])
    done = subprocess.run(
        ["bash", "-c", script], env=dev_server.env(client=False, HOME=str(home)), capture_output=True, text=True,
        cwd=dev_server.folder, timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert "dbadmin" in done.stdout and "db.example.com" in done.stdout


def test_the_first_secret_goes_in_and_out_by_command_line_and_curl(dev_server):
    dev_server.shell(
        "strongroom kv put secret/database/config username=dbadmin password='S3cret!' host=db.example.com"
    )
    assert dev_server.shell("strongroom kv get -field=password secret/database/config") == "S3cret!"
    answer = dev_server.shell(
        'curl -sS -H "X-Vault-Token: $TOKEN" $VAULT_ADDR/v1/secret/data/database/config', TOKEN=dev_server.root_token
    )
    data = json.loads(answer)["data"]
    assert data["data"] == {"username": "dbadmin", "password": "S3cret!", "host": "db.example.com"}
    assert data["metadata"]["version"] == 1


def readme_block(words, language=""):
    """The fenced block of the README in which these words stand."""
    blocks = re.findall(rf"^```{language}\n(.*?)^```$", (ROOT / "README.md").read_text(), re.M | re.S)
    return next(block for block in blocks if words in block)


def test_the_readme_leads_a_stranger_to_a_first_secret(dev_server):
    lines = readme_block("kv put").replace("http://127.0.0.1:8200", dev_server.url)
    said = dev_server.shell("set -e\n" + lines)
    assert "S3cret!{" in said and '"username":"dbadmin"' in said, said


def test_the_readme_leads_an_application_to_its_secret(dev_server):
    dev_server.cli("kv", "put", "secret/database/config", "password=S3cret!")
    *preparing, role_id, secret_id = readme_block("auth enable approle").splitlines()
    dev_server.shell("set -e\n" + "\n".join(preparing))
    program = readme_block("import hvac", "python").replace("http://127.0.0.1:8200", dev_server.url)
    for name, line in (("role_id", role_id), ("secret_id", secret_id)):
        program = program.replace(f'{name}="..."', f'{name}="{dev_server.shell(line)}"')
    lines = program.strip().splitlines()
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", "\n".join([*lines[:-1], f"print({lines[-1]})"])],
        env=dev_server.env(client=False, HOME="/nonexistent"), capture_output=True, text=True, timeout=60,
    )
    assert done.stdout == "{'password': 'S3cret!'}\n", done.stderr


def test_a_development_server_logs_its_user_in(dev_server):
    token_file = dev_server.home / ".vault-token"
    assert token_file.read_text() == dev_server.root_token
    assert stat.S_IMODE(token_file.stat().st_mode) == 0o600
    # No token given: the command line finds it there.
    assert dev_server.run("token", "lookup").returncode == 0


def test_a_token_is_left_in_no_file_when_asked_so(start_dev):
    server = start_dev("-dev-no-store-token")
    assert not (server.home / ".vault-token").exists()


def test_an_unmodified_hvac_logs_in_by_approle_writes_and_reads(dev_server):
    root = dev_server.root
    root.sys.enable_auth_method("approle")
    root.sys.create_or_update_policy(
        "app",
        """
        path "secret/data/app/*"       { capabilities = ["create", "update", "read"] }
        path "secret/data/app/private" { capabilities = ["deny"] }
        """,
    )
    root.auth.approle.create_or_update_approle("app", token_policies=["app"], token_ttl="10m")
    role_id = root.auth.approle.read_role_id("app")["data"]["role_id"]
    secret_id = root.auth.approle.generate_secret_id("app")["data"]["secret_id"]

    client = dev_server.client()
    login = client.auth.approle.login(role_id=role_id, secret_id=secret_id)
    assert client.is_authenticated()
    assert sorted(login["auth"]["policies"]) == ["app", "default"]
    assert login["auth"]["entity_id"], "every login resolves to an entity"

    written = client.secrets.kv.v2.create_or_update_secret("app/db", secret={"password": "S3cret!"})
    assert written["data"]["version"] == 1
    read = client.secrets.kv.v2.read_secret_version("app/db", raise_on_deleted_version=True)
    assert read["data"]["data"] == {"password": "S3cret!"}
    assert read["data"]["metadata"]["version"] == 1

    # Missing, where the policy allows to look.
    with pytest.raises(hvac.exceptions.InvalidPath):
        client.secrets.kv.v2.read_secret_version("app/none", raise_on_deleted_version=True)
    # Forbidden by a rule, and by the lack of one; whether something is there makes no difference.
    for path in ("app/private", "other/db"):
        with pytest.raises(hvac.exceptions.Forbidden):
            client.secrets.kv.v2.read_secret_version(path, raise_on_deleted_version=True)
        with pytest.raises(hvac.exceptions.Forbidden):
            client.secrets.kv.v2.create_or_update_secret(path, secret={"a": "b"})
    # `update` and `create` do not include `delete`.
    with pytest.raises(hvac.exceptions.Forbidden):
        client.secrets.kv.v2.delete_latest_version_of_secret("app/db")


def test_a_login_with_a_wrong_secret_id_is_refused(dev_server):
    root = dev_server.root
    root.sys.enable_auth_method("approle")
    root.auth.approle.create_or_update_approle("app")
    role_id = root.auth.approle.read_role_id("app")["data"]["role_id"]
    client = dev_server.client()
    for secret_id in ("", "nonsense", "00000000-0000-0000-0000-000000000000"):
        with pytest.raises(hvac.exceptions.InvalidRequest):
            client.auth.approle.login(role_id=role_id, secret_id=secret_id)
    assert not client.is_authenticated()


def test_versions_of_a_secret_are_written_read_deleted_and_destroyed(dev_server):
    kv = dev_server.root.secrets.kv.v2
    for number in (1, 2, 3):
        kv.create_or_update_secret("app", secret={"n": number})
    assert kv.read_secret_version("app", raise_on_deleted_version=True)["data"]["data"] == {"n": 3}
    assert kv.read_secret_version("app", version=1, raise_on_deleted_version=True)["data"]["data"] == {"n": 1}
    with pytest.raises(hvac.exceptions.InvalidRequest):
        kv.create_or_update_secret("app", secret={"n": 9}, cas=1)
    kv.create_or_update_secret("app", secret={"n": 4}, cas=3)
    kv.patch("app", secret={"m": "new"})
    assert kv.read_secret_version("app", raise_on_deleted_version=True)["data"]["data"] == {"n": 4, "m": "new"}

    kv.delete_secret_versions("app", versions=[2])
    with pytest.raises(hvac.exceptions.InvalidPath):
        kv.read_secret_version("app", version=2, raise_on_deleted_version=True)
    kv.undelete_secret_versions("app", versions=[2])
    assert kv.read_secret_version("app", version=2, raise_on_deleted_version=True)["data"]["data"] == {"n": 2}
    kv.destroy_secret_versions("app", versions=[2])
    kv.undelete_secret_versions("app", versions=[2])
    with pytest.raises(hvac.exceptions.InvalidPath):
        kv.read_secret_version("app", version=2, raise_on_deleted_version=True)

    kv.update_metadata("app", max_versions=3, custom_metadata={"owner": "web"})
    metadata = kv.read_secret_metadata("app")["data"]
    assert (metadata["current_version"], metadata["custom_metadata"]) == (5, {"owner": "web"})
    assert kv.list_secrets("")["data"]["keys"] == ["app"]
    kv.delete_metadata_and_all_versions("app")
    with pytest.raises(hvac.exceptions.InvalidPath):
        kv.list_secrets("")


def test_plain_secrets_of_version_one_are_kept_too(dev_server):
    root = dev_server.root
    root.sys.enable_secrets_engine("kv", path="plain", options={"version": "1"})
    kv = root.secrets.kv.v1
    kv.create_or_update_secret("app/db", secret={"password": "S3cret!"}, mount_point="plain")
    assert kv.read_secret("app/db", mount_point="plain")["data"] == {"password": "S3cret!"}
    assert kv.list_secrets("app", mount_point="plain")["data"]["keys"] == ["db"]
    assert dev_server.cli("kv", "get", "-field=password", "plain/app/db") == "S3cret!"
    kv.delete_secret("app/db", mount_point="plain")
    with pytest.raises(hvac.exceptions.InvalidPath):
        kv.read_secret("app/db", mount_point="plain")


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_data_on_disk_survives_a_restart_without_unsealing(start_dev, tmp_path, end):
    kept = tmp_path / "kept"
    server = start_dev(f"-dev-data={kept}")
    server.cli("kv", "put", "secret/app", "password=S3cret!")
    child = server.cli("token", "create", "-field=token")
    getattr(server, end)()
    server.start()
    assert server.cli("kv", "get", "-field=password", "secret/app") == "S3cret!"
    # What hangs on the first root token goes on hanging on it.
    assert server.cli("token", "lookup", "-field=orphan", child) == "false"
    # The token of the first start still opens, so that a laptop's shells go on working.
    assert server.banner().count(f"Root Token: {server.root_token}") == 2
    for path in kept.rglob("*"):
        mode = stat.S_IMODE(path.stat().st_mode)
        assert mode & 0o077 == 0, f"{path} has mode {mode:o}"


def test_data_on_disk_needs_its_key_file(start_dev, tmp_path):
    kept = tmp_path / "kept"
    server = start_dev(f"-dev-data={kept}")
    server.stop()
    (kept / "unseal.key").unlink()
    server.spawn()
    assert server.process.wait(timeout=20) != 0
    assert "unseal.key" in server.err.read_text()


def test_a_chosen_root_token_opens(start_dev):
    server = start_dev("-dev-root-token-id=my-root")
    assert server.root_token == "my-root"
    assert server.cli("token", "lookup", "-format=json", token="my-root")
    assert server.client("my-root").is_authenticated()
    assert not server.client("my-roo").is_authenticated()


def test_a_taken_port_is_named(dev_server, start_dev, tmp_path):
    other = dev_server.run("server", "-dev", f"-dev-listen-address=127.0.0.1:{dev_server.port}")
    assert other.returncode == 1
    assert str(dev_server.port) in other.stderr and "listen" in other.stderr
