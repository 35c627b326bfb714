"""A server as operators run it: configuration file, TLS, shares, crashes, signals."""

import base64
import json
import os
import re
import shutil
import signal
import stat
import subprocess

import hvac
import pytest
import requests
from house import Server, free_port, make_certificate, wait_until, write_config


def status(server):
    """What `status` says; its exit code is a matter of its own."""
    return json.loads(server.run("status", VAULT_FORMAT="json").stdout)


def test_from_a_configuration_file_to_a_secret_that_survives_a_crash(new_production):
    server = new_production()
    assert server.run("operator", "init", "-status").returncode == 2
    text = server.cli("operator", "init", "-key-shares=5", "-key-threshold=3")
    shares = re.findall(r"^Unseal Key \d: (\S+)$", text, re.M)
    root_token = re.search(r"^Initial Root Token: (\S+)$", text, re.M).group(1)
    assert len(set(shares)) == 5 and root_token.startswith("hvs.")
    assert server.run("operator", "init", "-status").returncode == 0

    # Initialised is not unsealed.
    assert server.run("status").returncode == 2
    assert server.run("kv", "get", "secret/x", token=root_token).returncode == 2
    for number, share in enumerate(shares[:3], 1):
        done = server.run("operator", "unseal", share)
        assert done.returncode == 0, done.stderr
        assert ("Unseal Progress" in done.stdout) == (number < 3), done.stdout
    assert server.run("status").returncode == 0

    server.cli("secrets", "enable", "-path=secret", "-version=2", "kv", token=root_token)
    server.cli("kv", "put", "secret/database/config", "password=S3cret!", token=root_token)
    server.kill()
    server.start()
    assert server.run("status").returncode == 2, "sealed after a crash"
    refused = server.run("kv", "get", "secret/database/config", token=root_token)
    assert refused.returncode == 2 and "sealed" in refused.stderr.lower()
    # Any three of the five.
    for share in (shares[4], shares[1], shares[3]):
        assert server.run("operator", "unseal", share).returncode == 0
    assert server.cli("kv", "get", "-field=password", "secret/database/config", token=root_token) == "S3cret!"


def test_nothing_acknowledged_is_lost_in_a_crash(production_server):
    server = production_server
    root = server.root
    root.sys.enable_secrets_engine("kv", path="secret", options={"version": "2"})
    for life in range(3):
        for number in range(20):
            root.secrets.kv.v2.create_or_update_secret(f"{life}/{number}", secret={"n": f"{life}-{number}"})
        server.kill()
        server.start()
        server.unseal()
        for before in range(life + 1):
            names = root.secrets.kv.v2.list_secrets(str(before))["data"]["keys"]
            assert sorted(map(int, names)) == list(range(20))
        last = root.secrets.kv.v2.read_secret_version(f"{life}/19", raise_on_deleted_version=True)
        assert last["data"]["data"] == {"n": f"{life}-19"}


def test_a_mistyped_share_is_named_at_once(new_production):
    server = new_production().initialise()
    share = server.shares[0]
    # One character off, in every tenth place; and cut short; and too long.
    mistyped = [share[:n] + ("A" if share[n] != "A" else "B") + share[n + 1 :] for n in range(0, len(share), 10)]
    for wrong in [*mistyped, share[:-4], share + "AAAA", "nonsense"]:
        done = server.run("operator", "unseal", wrong)
        assert done.returncode == 2, (wrong, done.stdout)
        assert wrong not in done.stderr
    assert status(server)["progress"] == 0
    # Nothing is spoilt for those who type correctly.
    server.unseal()
    assert server.run("status").returncode == 0


def test_a_share_of_another_server_is_named_before_the_threshold(new_production):
    mine, other = new_production().initialise(), new_production().initialise()
    assert mine.run("operator", "unseal", mine.shares[0]).returncode == 0
    done = mine.run("operator", "unseal", other.shares[1])
    assert done.returncode == 2 and "another" in done.stderr, done.stderr
    assert status(mine)["progress"] == 1
    # The same share twice is one share.
    assert mine.run("operator", "unseal", mine.shares[0]).returncode == 0
    assert status(mine)["progress"] == 1
    assert mine.run("operator", "unseal", "-reset").returncode == 0
    assert status(mine)["progress"] == 0
    mine.unseal()
    assert mine.run("status").returncode == 0


def test_shares_are_taken_in_hexadecimal_too(new_production):
    server = new_production().initialise()
    server.unseal([base64.b64decode(share).hex() for share in server.shares])
    assert server.run("status").returncode == 0


def test_hvac_initialises_and_unseals(new_production):
    server = new_production()
    client = server.client()
    assert not client.sys.is_initialized()
    made = client.sys.initialize(secret_shares=3, secret_threshold=2)
    assert client.sys.is_initialized() and client.sys.is_sealed()
    client.sys.submit_unseal_keys(made["keys"][:2])
    assert not client.sys.is_sealed()
    with pytest.raises(hvac.exceptions.InvalidRequest):
        client.sys.initialize(5, 3)
    assert server.client(made["root_token"]).is_authenticated()


def test_one_unsealed_server_can_be_sealed_again(production_server):
    server = production_server
    server.cli("operator", "seal")
    wait_until("the server is sealed", lambda: server.run("status").returncode == 2)
    server.unseal()
    assert server.run("status").returncode == 0


def test_health_speaks_by_its_status_code(new_production):
    server = new_production()

    def code(**query):
        return requests.get(f"{server.url}/v1/sys/health", params=query, verify=str(server.ca), timeout=10).status_code

    assert code() == 501
    server.initialise()
    assert (code(), code(sealedcode=299)) == (503, 299)
    server.unseal()
    assert code() == 200


def test_a_second_server_on_the_same_files_is_refused(production_server, servers):
    server = production_server
    folder = server.folder.parent / "second"
    folder.mkdir()
    port = free_port()
    config = folder / "second.hcl"
    config.write_text(server.config.read_text().replace(str(server.port), str(port)))
    second = Server(folder, ["server", f"-config={config}"], port=port)
    servers.append(second)
    second.spawn()
    assert second.process.wait(timeout=20) == 1
    assert "another" in second.err.read_text().lower(), second.err.read_text()
    assert server.run("status").returncode == 0
    # When the first is gone, the second may.
    server.stop()
    second.spawn()
    wait_until("the second answers", second._answers)


def test_sigterm_ends_in_order_and_finishes_what_is_under_way(production_server):
    server = production_server
    server.cli("secrets", "enable", "-path=secret", "kv")
    assert server.stop() == 0
    database = [path.name for path in server.folder.rglob("*.db*") if not path.name.endswith(".lock")]
    assert len(database) == 1, f"a clean end leaves one file: {database}"
    verified = server.run("audit", "verify", str(server.trail_folder()), VAULT_FORMAT="json")
    assert verified.returncode == 0, verified
    report = json.loads(verified.stdout[: verified.stdout.rindex("}") + 1])
    assert report["unsigned_tail"] == 0, "the last entries are signed"
    server.start()
    server.unseal()
    assert "secret/" in server.json("secrets", "list")


def test_sighup_reopens_a_moved_audit_file(production_server):
    server = production_server
    log, moved = server.folder / "audit.log", server.folder / "audit.log.1"
    server.cli("audit", "enable", "file", f"file_path={log}")
    server.cli("secrets", "list")
    wait_until("the device has written", lambda: log.exists() and "sys/mounts" in log.read_text())
    log.rename(moved)
    server.process.send_signal(signal.SIGHUP)
    wait_until("the file is made anew", log.exists)
    server.cli("policy", "list")
    wait_until("the new file is written", lambda: "sys/policies/acl" in log.read_text())
    assert "sys/policies/acl" not in moved.read_text()
    assert stat.S_IMODE(log.stat().st_mode) == 0o600
    assert server.process.poll() is None


def test_a_deleted_audit_file_is_noticed(production_server):
    server = production_server
    log = server.folder / "audit.log"
    server.cli("audit", "enable", "file", f"file_path={log}")
    wait_until("the device has written", log.exists)
    log.unlink()
    server.cli("secrets", "list")
    wait_until("the file is made anew", lambda: log.exists() and "sys/mounts" in log.read_text())
    wait_until("the trail says so", lambda: any(entry["kind"] == "event" and "audit" in entry["operation"] for entry in server.trail()))


def test_the_trail_of_production_verifies_and_an_edit_is_named(production_server):
    server = production_server
    server.cli("secrets", "list")
    server.stop()
    folder = server.trail_folder()
    assert server.run("audit", "verify", str(folder)).returncode == 0
    segment = sorted(folder.glob("*.jsonl"))[0]
    lines = segment.read_bytes().splitlines(keepends=True)
    victim = next(n for n, line in enumerate(lines) if b'"path":"sys/mounts"' in line)
    lines[victim] = lines[victim].replace(b"sys/mounts", b"sys/mountz")
    segment.write_bytes(b"".join(lines))
    done = server.run("audit", "verify", str(folder))
    assert done.returncode == 2
    assert f"at line {victim + 1} of {segment.name} (number {victim})" in done.stdout + done.stderr, done
    # No server goes on with it.
    for _ in range(2):
        server.spawn()
        assert server.process.wait(timeout=20) == 1
        assert "cannot be continued" in server.said().splitlines()[-1], server.said()
    assert b"".join(lines) == segment.read_bytes()[: sum(map(len, lines))]


@pytest.mark.parametrize("kind", ["PKCS#1", "PKCS#8", "SEC 1"])
def test_every_form_of_key_is_taken(new_production, tmp_path, kind):
    folder = tmp_path / "tls"
    folder.mkdir()
    algorithm = ("rsa:2048",) if kind != "SEC 1" else ("ec", "-pkeyopt", "ec_paramgen_curve:prime256v1")
    certificate, key = make_certificate(folder, algorithm)
    if kind != "PKCS#8":
        program = ["rsa", "-traditional"] if kind == "PKCS#1" else ["ec"]
        subprocess.run(["openssl", *program, "-in", key, "-out", f"{key}.old"], check=True, capture_output=True)
        key = key.with_name(key.name + ".old")
    first = {"PKCS#1": "BEGIN RSA PRIVATE KEY", "PKCS#8": "BEGIN PRIVATE KEY", "SEC 1": "BEGIN EC PRIVATE KEY"}
    assert first[kind] in key.read_text()
    server = new_production(certificate=(certificate, key))
    assert server.run("status").returncode == 2


def test_a_certificate_that_nobody_vouches_for_is_refused(production_server):
    done = production_server.run("status", VAULT_CACERT="")
    assert done.returncode == 1 and "certificate" in done.stderr.lower(), done.stderr
    assert production_server.run("status", VAULT_CACERT="", VAULT_SKIP_VERIFY="true").returncode == 0


STORAGES = {
    "sqlite": 'storage "sqlite" {{ path = "{folder}/one.db" }}',
    "legacy backend": 'backend "file" {{ path = "{folder}/data" }}',
    "inmem": 'storage "inmem" {{}}',
}


@pytest.mark.parametrize("kind", STORAGES)
def test_every_storage_serves(new_production, tmp_path, kind):
    server = new_production(storage=STORAGES[kind].format(folder=tmp_path)).initialise()
    server.unseal()
    server.cli("secrets", "enable", "-path=secret", "kv")
    assert "secret/" in server.json("secrets", "list")


def test_vaults_json_configuration_is_read_as_it_is(tmp_path, servers, certificate):
    """The file that hvac's own test suite starts its server with."""
    folder = tmp_path / "json"
    folder.mkdir()
    port = free_port()
    config = {
        "backend": {"inmem": {}},
        "listener": {
            "tcp": {"tls_cert_file": str(certificate[0]), "tls_key_file": str(certificate[1]), "address": f"127.0.0.1:{port}"}
        },
        "disable_mlock": True, "default_lease_ttl": "768h", "max_lease_ttl": "768h",
    }
    (folder / "vault.json").write_text(json.dumps(config))
    server = Server(folder, ["server", "-config=vault.json"], scheme="https", ca=certificate[0], port=port)
    servers.append(server)
    server.start()
    assert not server.client().sys.is_initialized()


@pytest.mark.parametrize(
    "storage, more, words",
    [
        ('storage "consul" { address = "127.0.0.1:8500" }', "", ["consul", "sqlite", "file", "inmem"]),
        ('storage "raft" { path = "x" }', "", ["raft", "sqlite"]),
        ('storage "inmem" {}', 'seal "awskms" { region = "x" }', ["awskms", "shamir", "static"]),
        ('storage "inmem" {}', 'ha_storage "consul" {}', ["ha_storage"]),
        ('storage "inmem" {}', "default_lease_ttl = \"soon\"", ["default_lease_ttl"]),
        ('storage "inmem" {', "", ["line"]),
    ],
)
def test_a_stanza_that_cannot_be_served_stops_the_start(tmp_path, servers, certificate, storage, more, words):
    config = write_config(tmp_path, *certificate, storage=storage, more=more)
    server = Server(tmp_path, ["server", f"-config={config}"])
    servers.append(server)
    config.write_text(config.read_text().replace("PORT", str(server.port)))
    server.spawn()
    assert server.process.wait(timeout=20) == 1
    for word in words:
        assert word in server.err.read_text(), server.err.read_text()


def test_a_server_with_a_key_file_unseals_itself(new_production, tmp_path):
    key = tmp_path / "seal.key"
    key.write_bytes(os.urandom(32))
    key.chmod(0o600)
    seal = f'seal "static" {{\n  current_key_id = "2026-11"\n  current_key = "file://{key}"\n}}'
    server = new_production(more=seal)
    status = lambda: server.client().sys.read_seal_status()
    assert (status()["type"], status()["initialized"]) == ("static", False)
    made = server.client().sys.initialize(5, 3)
    server.root_token = made["root_token"]
    wait_until("the server is open", lambda: server.run("status").returncode == 0)
    said = status()
    # The shares are those of an unseal key, which opens as well: nothing here is a recovery key.
    assert [said[name] for name in ("type", "t", "n", "recovery_seal")] == ["static", 3, 5, False], said
    lines = [line.split() for line in server.run("status").stdout.splitlines()]
    assert ["Seal", "Type", "static"] in lines and ["Total", "Shares", "5"] in lines, lines
    server.cli("secrets", "enable", "-path=secret", "kv")
    server.kill()
    server.start()
    assert server.run("status").returncode == 0
    assert "secret/" in server.json("secrets", "list")


def test_files_are_for_their_owner_alone(production_server):
    for path in (production_server.folder / "data").rglob("*"):
        mode = stat.S_IMODE(path.stat().st_mode)
        assert mode & 0o077 == 0, f"{path} has mode {mode:o}"


def test_a_store_put_back_from_yesterday_is_refused(production_server):
    """Whoever can write the files cannot bring a revoked token back by restoring an old store under a newer trail."""
    server = production_server
    token = server.root.auth.token.create(policies=["default"])["auth"]["client_token"]
    server.stop()
    database = next(path for path in server.folder.rglob("*.db"))
    yesterday = database.read_bytes()
    server.start()
    server.unseal()
    server.root.auth.token.revoke(token)
    server.stop()
    database.write_bytes(yesterday)
    server.start()
    for share in server.shares[:2]:
        assert server.run("operator", "unseal", share).returncode == 0
    done = server.run("operator", "unseal", server.shares[2])
    assert done.returncode == 2 and server.run("status").returncode == 2, done
    # Somebody who restored a backup on purpose says so.
    server.stop()
    server.arguments.append("-accept-rollback")
    server.start()
    server.unseal()
    assert server.client(token).is_authenticated()
    # The trail tells of it, and still holds.
    server.stop()
    verified = server.run("audit", "verify", str(server.trail_folder()))
    assert verified.returncode == 0 and "Note:" in verified.stderr and "went back from generation" in verified.stderr, verified


def test_an_old_store_is_refused_also_when_the_trail_was_removed(production_server):
    """Deleting the trail, which knows the store's generation, let any old copy of the store in."""
    server = production_server
    folder = server.trail_folder()
    server.stop()
    database = next(path for path in server.folder.rglob("*.db"))
    yesterday = database.read_bytes()
    server.start()
    server.unseal()
    server.stop()
    database.write_bytes(yesterday)
    shutil.rmtree(folder)
    server.start()
    for share in server.shares[:2]:
        assert server.run("operator", "unseal", share).returncode == 0
    done = server.run("operator", "unseal", server.shares[2])
    assert done.returncode == 2 and server.run("status").returncode == 2, done


def test_a_trail_removed_under_the_server_is_noticed_and_goes_on(production_server):
    """The server served on, said that its trail was writable, and lost all that followed."""
    server = production_server
    folder = server.trail_folder()
    shutil.rmtree(folder)
    health = lambda: requests.get(f"{server.url}/v1/sys/health", verify=str(server.ca), timeout=10)
    # Asking leaves entries in the trail; it is noticed without that, too, which a test of the trail itself shows.
    wait_until("the server notices", lambda: health().json()["trail_intact"] is False)
    assert health().status_code == 200 and health().json()["trail_writable"] is True
    server.cli("policy", "list")
    told = server.trail()
    assert told[0]["operation"] == "trail_file_missing" and "lines before number" in told[0]["note"], told[0]
    assert server.outcomes("sys/policies/acl")
    # No folder can be made where a file is: then nothing is served, until there is room again.
    folder.rename(folder.with_name("moved"))
    folder.write_text("in the way")
    wait_until("the server refuses", lambda: health().status_code == 503)
    assert health().json()["trail_writable"] is False
    assert server.run("policy", "list", token=server.root_token).returncode == 2
    folder.unlink()
    wait_until("the server resumes", lambda: health().status_code == 200)
    server.cli("policy", "list")
