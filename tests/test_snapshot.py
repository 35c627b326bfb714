"""Snapshots as operators take and restore them: the command line in both spellings, hvac, pipes, and the file itself."""

import hashlib
import json
import subprocess
import tarfile

import pytest


def fill(server, names):
    server.root.sys.enable_secrets_engine("kv", path="secret", options={"version": "2"})
    for name in names:
        server.root.secrets.kv.v2.create_or_update_secret(name, secret={"v": f"value of {name}"})


def value(server, name, token=None):
    return server.cli("kv", "get", "-field=v", f"secret/{name}", token=token or server.root_token)


def test_saved_here_restored_there_and_opened_with_the_first_ones_keys(new_production, tmp_path):
    first, second = new_production().initialise(), new_production().initialise()
    first.unseal()
    second.unseal()
    names = [f"n{number}" for number in range(30)]
    fill(first, names)
    file = tmp_path / "backup.snap"
    said = first.cli("operator", "snapshot", "save", str(file))
    assert "Saved" in said and file.stat().st_mode & 0o777 == 0o600
    assert b"value of" not in file.read_bytes()
    # What exists is not overwritten.
    assert first.run("operator", "snapshot", "save", str(file), token=first.root_token).returncode == 1

    refused = second.run("operator", "snapshot", "restore", str(file), token=second.root_token)
    assert refused.returncode == 2 and "another strongroom" in refused.stderr, refused.stderr
    second.cli("operator", "snapshot", "restore", "-force", str(file))
    assert second.run("status").returncode == 2, "sealed after a forced restore"
    second.unseal(first.shares)
    for name in names:
        assert value(second, name, first.root_token) == f"value of {name}"
    # It goes on, also over a crash.
    second.kill()
    second.start()
    second.unseal(first.shares)
    assert value(second, names[0], first.root_token) == f"value of {names[0]}"


def test_the_file_can_be_checked_with_what_every_machine_has(production_server, tmp_path):
    server = production_server
    fill(server, ["a"])
    file = tmp_path / "backup.snap"
    server.cli("operator", "raft", "snapshot", "save", str(file))
    with tarfile.open(file, "r:gz") as archive:
        names = archive.getnames()
        sums = archive.extractfile("SHA256SUMS").read().decode()
        for line in sums.splitlines():
            digest, name = line.split("  ")
            assert hashlib.sha256(archive.extractfile(name).read()).hexdigest() == digest
    # Vault's command line takes a snapshot for whole when this file is the last.
    assert names[0] == "meta.json" and names[-1] == "SHA256SUMS.sealed"
    shown = json.loads(server.run("operator", "snapshot", "inspect", "-format=json", str(file)).stdout)
    assert shown["seal_shares"] == 5 and shown["seal_threshold"] == 3 and shown["records"] > 10

    damaged = tmp_path / "damaged.snap"
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    damaged.write_bytes(content)
    for command in (("inspect",), ("restore",), ("restore", "-force")):
        done = server.run("operator", "snapshot", *command, str(damaged), token=server.root_token)
        assert done.returncode == 1 and "cannot be used" in done.stderr, done.stderr
    assert value(server, "a") == "value of a"


def test_through_pipes_and_back_on_the_same_server(production_server):
    server = production_server
    fill(server, ["a"])
    program, env = server.bin / "strongroom", server.env(VAULT_TOKEN=server.root_token)
    saved = subprocess.run([program, "operator", "snapshot", "save", "-"], env=env, capture_output=True, timeout=60)
    assert saved.returncode == 0, saved.stderr
    server.root.secrets.kv.v2.create_or_update_secret("a", secret={"v": "changed"})
    restored = subprocess.run(
        [program, "operator", "snapshot", "restore", "-"], env=env, input=saved.stdout, capture_output=True, timeout=60
    )
    assert restored.returncode == 0, restored.stderr
    assert server.run("status").returncode == 0, "open again without unseal keys"
    assert value(server, "a") == "value of a"


def test_hvac_takes_and_restores_them(production_server):
    server = production_server
    fill(server, ["a"])
    snapshot = server.root.sys.take_raft_snapshot().content
    server.root.secrets.kv.v2.create_or_update_secret("a", secret={"v": "changed"})
    assert server.root.sys.restore_raft_snapshot(snapshot).status_code == 204
    assert value(server, "a") == "value of a"
    with pytest.raises(Exception, match="cannot be used"):
        server.root.sys.force_restore_raft_snapshot(snapshot[: len(snapshot) // 2])
    assert server.root.sys.force_restore_raft_snapshot(snapshot).status_code == 204


def test_kv_is_upgraded_by_the_command_line(production_server):
    server = production_server
    server.cli("secrets", "enable", "-path=old", "-version=1", "kv")
    server.cli("kv", "put", "old/a", "v=first")
    server.cli("kv", "enable-versioning", "old/")
    assert server.cli("kv", "get", "-field=v", "old/a") == "first"
    server.cli("kv", "put", "old/a", "v=second")
    assert server.cli("kv", "get", "-version=1", "-field=v", "old/a") == "first"
