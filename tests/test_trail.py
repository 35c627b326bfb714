"""What the trail says, that nothing gets past it, and that no value gets into it or anywhere else."""

import json
import os
import resource
import secrets
import subprocess

import hvac
import pytest
import requests
from house import wait_until


def last(server, path):
    return server.outcomes(path)[-1]


def test_an_entry_names_who_did_what_where_from_and_by_which_rule(disk_server):
    server = disk_server
    root = server.root
    root.sys.enable_auth_method("approle")
    root.sys.create_or_update_policy(
        "web", 'path "secret/data/app/*" {\n  capabilities = ["create", "read"]\n}\n'
    )
    root.auth.approle.create_or_update_approle("web", token_policies=["web"])
    role_id = root.auth.approle.read_role_id("web")["data"]["role_id"]
    secret_id = root.auth.approle.generate_secret_id("web")["data"]["secret_id"]
    client = server.client()
    login = client.auth.approle.login(role_id, secret_id)["auth"]
    client.secrets.kv.v2.create_or_update_secret("app/db", secret={"password": "S3cret!"})
    client.secrets.kv.v2.read_secret_version("app/db", raise_on_deleted_version=True)

    wrote, read = server.outcomes("secret/data/app/db")
    assert (wrote["operation"], read["operation"]) == ("create", "read")
    for entry in (wrote, read):
        assert entry["outcome"]["result"] == "ok"
        assert entry["principal"]["entity"] == login["entity_id"]
        assert entry["decision"]["granted"] is True
        assert (entry["decision"]["policy"], entry["decision"]["rule"]) == ("web", "secret/data/app/*")
        assert entry["source"]["address"] == "127.0.0.1" and entry["source"]["port"] > 0
        assert entry["mount"]["path"] == "secret"
        assert entry["dialect"] == "vault" and entry["duration_us"] >= 0
        assert entry["version"] == 1
    login_entry = last(server, "auth/approle/login")
    assert login_entry["outcome"]["result"] == "ok"
    assert login_entry["response_auth"]["principal"]["entity"] == login["entity_id"]


def test_a_change_is_in_the_trail_before_it_is_made(disk_server):
    disk_server.cli("kv", "put", "secret/x", "a=1")
    entries = [entry for entry in disk_server.trail() if entry["path"] == "secret/data/x"]
    assert [entry["kind"] for entry in entries] == ["intent", "outcome"]
    assert entries[0]["request"] == entries[1]["request"] and entries[0]["seq"] < entries[1]["seq"]


def test_refused_requests_are_in_the_trail_with_the_reason(disk_server):
    server = disk_server
    token = server.policy_token('path "secret/data/a" { capabilities = ["read"] }', "narrow")
    url = f"{server.url}/v1"
    cases = [
        ("secret/data/none", {}, "denied"),
        ("secret/data/bad-token", {"X-Vault-Token": "hvs.nonsense"}, "denied"),
        ("secret/data/other", {"X-Vault-Token": token}, "denied"),
        ("no/such/mount", {"X-Vault-Token": server.root_token}, "not_found"),
    ]
    for path, headers, result in cases:
        assert requests.get(f"{url}/{path}", headers=headers, timeout=10).status_code in (403, 404)
        entry = last(server, path)
        assert entry["outcome"]["result"] == result, entry
    assert last(server, "secret/data/other")["decision"]["reason"] == "no rule"
    assert last(server, "secret/data/other")["principal"]["token_policies"] == ["narrow"]


def test_a_request_that_is_none_is_in_the_trail_as_it_was_typed(disk_server):
    for typed in ("secret/data/../../sys/seal", "secret/data/%2e%2e/x", "secret//data/x"):
        answer = subprocess.run(
            ["curl", "-sS", "--path-as-is", "-o", "/dev/null", "-w", "%{http_code}", f"{disk_server.url}/v1/{typed}"],
            capture_output=True, text=True, timeout=20, check=True,
        )
        assert answer.stdout == "400"
        entry = disk_server.trail()[-1]
        assert typed in entry["typed"] and entry["outcome"]["result"] == "invalid", entry


def test_requests_while_sealed_are_in_the_trail(disk_server):
    server = disk_server
    server.cli("kv", "put", "secret/x", "a=1")
    server.root.sys.seal()
    wait_until("the server is sealed", lambda: server.root.sys.is_sealed())
    answer = requests.get(f"{server.url}/v1/secret/data/x", headers={"X-Vault-Token": server.root_token}, timeout=10)
    assert answer.status_code == 503
    entry = last(server, "secret/data/x")
    assert entry["outcome"]["result"] == "sealed", entry
    assert requests.get(f"{server.url}/v1/sys/health", timeout=10).status_code == 503
    assert server.outcomes("sys/health"), "what anybody may ask is recorded too"
    # Across the seal the chain goes on and holds.
    server.stop()
    assert server.run("audit", "verify", str(server.trail_folder())).returncode == 0


def test_the_trail_verifies_offline_and_an_edit_is_found_where_it_was_made(disk_server):
    server = disk_server
    for number in range(5):
        server.cli("kv", "put", f"secret/x{number}", "a=1")
    server.stop()
    folder = server.trail_folder()
    done = server.run("audit", "verify", str(folder))
    assert done.returncode == 0 and "hold" in done.stdout + done.stderr, done

    segment = sorted(folder.glob("*.jsonl"))[0]
    whole = segment.read_bytes()
    lines = whole.splitlines(keepends=True)
    victim = next(n for n, line in enumerate(lines) if b'"path":"secret/data/x2"' in line)

    def first_bad(changed):
        segment.write_bytes(b"".join(changed))
        done = server.run("audit", "verify", str(folder), VAULT_FORMAT="json")
        segment.write_bytes(whole)
        assert done.returncode == 2, done
        return json.loads(done.stdout[: done.stdout.rindex("}") + 1])["first_bad"]

    # An edit breaks the link of the line after it, or is named itself.
    edited = lines[:victim] + [lines[victim].replace(b"secret/data/x2", b"secret/data/y2")] + lines[victim + 1 :]
    assert first_bad(edited)["seq"] in (victim, victim + 1)
    assert first_bad(lines[:victim] + lines[victim + 1 :])["line"] == victim + 1
    swapped = lines[:victim] + [lines[victim + 1], lines[victim]] + lines[victim + 2 :]
    assert first_bad(swapped)["line"] == victim + 1
    assert server.run("audit", "verify", str(folder)).returncode == 0


def test_an_audit_device_gets_every_request_in_vaults_form(disk_server):
    server = disk_server
    log = server.folder / "audit.log"
    server.cli("audit", "enable", "file", f"file_path={log}")
    server.cli("kv", "put", "secret/x", "a=S3cret!")
    server.cli("kv", "get", "secret/x")

    def lines():
        found = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
        return [line for line in found if line["request"]["path"] == "secret/data/x"]

    wait_until("both requests are there", lambda: len(lines()) >= 4)
    assert [(line["type"], line["request"]["operation"]) for line in lines()] == [
        ("request", "create"), ("response", "create"), ("request", "read"), ("response", "read"),
    ]
    assert log.stat().st_mode & 0o777 == 0o600
    # The same value has the same keyed hash everywhere, and the server tells it to whoever may ask.
    hashed = server.root.sys.calculate_hash(path="file", input_to_hash="S3cret!")["data"]["hash"]
    assert lines()[-1]["response"]["data"]["data"]["a"] == hashed
    # Each copy has hashes of its own, and so has the trail.
    other = server.folder / "other.log"
    server.cli("audit", "enable", "-path=other", "file", f"file_path={other}")
    server.cli("kv", "put", "secret/y", "a=S3cret!")
    wait_until("the other has it", lambda: other.exists() and '"path":"secret/data/y"' in other.read_text())
    hashes = {path: server.json("write", f"sys/audit-hash/{path}", "input=S3cret!")["data"]["hash"] for path in ("file", "other", "trail")}
    assert hashes["file"] == hashed and len(set(hashes.values())) == 3
    texts = {"file": log.read_text(), "other": other.read_text(), "trail": json.dumps(server.trail())}
    for place, text in texts.items():
        assert [name for name in hashes if hashes[name] in text] == [place]
    assert server.run("write", "sys/audit-hash/none", "input=x", token=server.root_token).returncode == 2
    reserved = server.run("audit", "enable", "-path=trail", "file", f"file_path={other}", token=server.root_token)
    assert reserved.returncode == 2 and "another path" in reserved.stderr
    assert "S3cret!" not in log.read_text()


def test_a_device_that_would_write_raw_values_or_elsewhere_is_refused(disk_server):
    log = disk_server.folder / "audit.log"
    for options in ({"log_raw": "true"}, {"prefix": "#!/bin/sh"}, {"mode": "0755"}):
        with pytest.raises(hvac.exceptions.InvalidRequest):
            disk_server.root.sys.enable_audit_device("file", options={"file_path": str(log), **options}, path="bad")
    with pytest.raises(hvac.exceptions.InvalidRequest):
        inside = disk_server.trail_folder() / "extra.jsonl"
        disk_server.root.sys.enable_audit_device("file", options={"file_path": str(inside)}, path="bad")
    assert not log.exists()


def test_a_blocked_device_holds_up_nobody(disk_server):
    pipe = disk_server.folder / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        disk_server.cli("audit", "enable", "file", f"file_path={pipe}")
        # Far more than a pipe holds (64 KiB), and nobody reads.
        client = disk_server.root
        for number in range(150):
            client.secrets.kv.v2.create_or_update_secret("x", secret={"n": number, "fill": "f" * 500})
        assert client.secrets.kv.v2.read_secret_version("x", raise_on_deleted_version=True)["data"]["data"]["n"] == 149
    finally:
        os.close(reader)


def sweep(server):
    """Every byte that the server left: files of data, trail and devices, and what it printed after its banner."""
    banner_end = "==> Listening on"
    found = {}
    for path in server.folder.parent.rglob("*"):
        if not path.is_file() or path.is_symlink() or path.name in ("root.token", "unseal.key", ".vault-token"):
            continue
        data = path.read_bytes()
        if path == server.out:
            data = data.split(banner_end.encode(), 1)[-1]
        found[path] = data
    return found


@pytest.mark.parametrize("level", ["info", "trace"])
def test_no_value_and_no_token_is_left_anywhere(start_dev, tmp_path, level):
    server = start_dev(f"-dev-data={tmp_path}/kept", f"-log-level={level}")
    root = server.root
    canaries = {}

    def canary(what):
        canaries[what] = f"canary-{secrets.token_hex(12)}"
        return canaries[what]

    server.cli("audit", "enable", "file", f"file_path={server.folder}/audit.log")
    kv = root.secrets.kv.v2
    kv.create_or_update_secret("app/db", secret={"password": canary("value"), "nested": {"deep": [canary("nested value")]}})
    kv.patch("app/db", secret={"more": canary("patched value")})
    kv.read_secret_version("app/db", raise_on_deleted_version=True)
    kv.update_metadata("app/db", custom_metadata={"note": canary("custom metadata")})
    root.sys.enable_secrets_engine("kv", path="plain", options={"version": "1"})
    root.secrets.kv.v1.create_or_update_secret("x", secret={"password": canary("plain value")}, mount_point="plain")
    root.sys.enable_auth_method("approle")
    root.auth.approle.create_or_update_approle("app")
    role_id = root.auth.approle.read_role_id("app")["data"]["role_id"]
    canaries["secret id"] = root.auth.approle.generate_secret_id("app")["data"]["secret_id"]
    root.auth.approle.create_custom_secret_id("app", canary("chosen secret id"))
    canaries["login token"] = server.client().auth.approle.login(role_id, canaries["secret id"])["auth"]["client_token"]
    canaries["child token"] = root.auth.token.create(policies=["default"])["auth"]["client_token"]
    canaries["root token"] = server.root_token
    # Wrong in every way a value can be sent to the wrong place.
    headers = {"X-Vault-Token": server.root_token}
    url = f"{server.url}/v1"
    requests.put(f"{url}/secret/data/app/db", headers=headers, data='{"data": {"a": "%s"' % canary("broken JSON"), timeout=10)
    requests.put(f"{url}/secret/data/app/db", headers=headers, json={"data": canary("no object")}, timeout=10)
    requests.put(f"{url}/secret/data/app/db", headers=headers, json={"options": {"cas": canary("no number")}}, timeout=10)
    requests.put(f"{url}/auth/approle/login", json={"role_id": role_id, "secret_id": canary("wrong secret id")}, timeout=10)
    requests.get(f"{url}/secret/data/app/db", headers={"X-Vault-Token": canary("wrong token")}, timeout=10)
    requests.get(f"{url}/secret/data/app/db", headers={"Authorization": f"Bearer {canary('wrong bearer')}"}, timeout=10)
    requests.get(f"{url}/secret/data/app/db?version={canary('query value')}", headers=headers, timeout=10)
    requests.put(f"{url}/sys/unseal", json={"key": canary("wrong share")}, timeout=10)

    wait_until("the device has it", lambda: "secret/data/app/db" in (server.folder / "audit.log").read_text())
    server.stop()
    files = sweep(server)
    assert any(path.suffix == ".db" for path in files) and any(path.suffix == ".jsonl" for path in files)
    for what, value in canaries.items():
        for path, data in files.items():
            assert value.encode() not in data, f"{what} is in {path.name}"


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_names_of_secrets_cannot_be_read_in_the_database(disk_server, end):
    names = [f"name{secrets.token_hex(8)}" for _ in range(4)]
    root = disk_server.root
    root.secrets.kv.v2.create_or_update_secret(f"{names[0]}/{names[1]}", secret={names[2]: "x"})
    root.sys.enable_secrets_engine("kv", path=names[3])
    getattr(disk_server, end)()
    files = list((disk_server.folder / "kept").glob("strongroom.db*"))
    assert files
    for path in files:
        data = path.read_bytes()
        for name in names:
            assert name.encode() not in data, f"{name} is in {path.name}"


def test_a_trail_that_cannot_be_written_stops_all_requests(start_dev, tmp_path):
    """A limit on the size of files makes every append fail, as a full disk does."""
    server = start_dev(f"-dev-data={tmp_path}/dev0/kept", restore_signals=False)
    server.cli("kv", "put", "secret/x", "a=S3cret!")
    size = max(segment.stat().st_size for segment in server.trail_folder().glob("*.jsonl"))
    resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, (size, size))
    read = server.run("kv", "get", "-field=a", "secret/x", token=server.root_token, VAULT_MAX_RETRIES="0")
    assert read.returncode == 2 and "S3cret!" not in read.stdout
    assert "trail" in read.stderr
    health = requests.get(f"{server.url}/v1/sys/health", timeout=10)
    assert health.status_code == 503 and health.json()["trail_writable"] is False
    assert server.process.poll() is None
