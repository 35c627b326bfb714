"""Emergency revocation and events with the real program: as operators type it, and when the power goes in the middle."""

import concurrent.futures
import json
import socket
import subprocess
import time

import requests
from house import wait_until


def native(server, method, path, token=None, **how):
    return requests.request(
        method, f"{server.url}/api/v1/{path}", headers={"X-Vault-Token": token or server.root_token}, timeout=30, **how
    )


def approle(server, name="web"):
    """A role that may read below secret/app; gives what a login takes."""
    server.root.sys.create_or_update_policy(name, 'path "secret/data/app/*" { capabilities = ["read"] }')
    if "approle/" not in server.root.sys.list_auth_methods()["data"]:
        server.root.sys.enable_auth_method("approle")
    server.root.auth.approle.create_or_update_approle(name, token_policies=[name])
    role_id = server.root.auth.approle.read_role_id(name)["data"]["role_id"]
    secret_id = server.root.auth.approle.generate_secret_id(name)["data"]["secret_id"]
    return {"role_id": role_id, "secret_id": secret_id}


def login(server, credentials):
    answer = requests.post(f"{server.url}/v1/auth/approle/login", json=credentials, timeout=30)
    return answer.json()["auth"]


def refused(server, token):
    headers = {"X-Vault-Token": token}
    return requests.get(f"{server.url}/v1/auth/token/lookup-self", headers=headers, timeout=30).status_code == 403


def test_an_operator_previews_types_the_target_and_has_a_report(dev_server):
    dev_server.cli("kv", "put", "secret/app/db", "password=canary-old")
    reader = login(dev_server, approle(dev_server))["client_token"]
    dev_server.client(reader).secrets.kv.v2.read_secret_version("app/db", raise_on_deleted_version=True)
    words = ("revoke", "-secret=secret/app/db")
    preview = dev_server.cli(*words, "-dry-run")
    assert "version 1" in preview and "consumers" in preview and "canary" not in preview
    for stdin in ("", "secret/app\n"):
        done = dev_server.run(*words, "-reason=leak", token=dev_server.root_token, stdin=stdin)
        assert done.returncode == 1, done.stdout + done.stderr
    assert dev_server.run(*words, "-yes", token=dev_server.root_token).returncode == 1, "no reason was given"
    assert "canary-old" in dev_server.cli("kv", "get", "secret/app/db"), "nothing was done so far"
    assert dev_server.run("incident", "list", token=dev_server.root_token).returncode == 2
    dev_server.cli(*words, "-reason=key in a public repository", stdin="secret/app/db\n")
    # As with Vault a hidden version shows its metadata, and no value.
    assert "canary" not in dev_server.cli("kv", "get", "secret/app/db", token=reader)
    dev_server.cli("kv", "put", "secret/app/db", "password=canary-new")
    (incident,) = dev_server.json("incident", "list")["incidents"]
    assert incident["state"] == "done" and incident["cut"]["version"] == 1
    report = dev_server.cli("incident", "report", incident["id"])
    for text in ("key in a public repository", "## Consumers", "approle", "## Stragglers", "cut off: version 1", "refused"):
        assert text in report, report
    assert "canary" not in report
    figures = dev_server.json("incident", "show", incident["id"])["figures"]
    assert figures["refusal_in_force_us"] < 1_000_000 and figures["accepted_after"] == 0, figures
    dev_server.cli("incident", "lift", "-reason=false alarm", incident["id"])
    assert "canary-old" in dev_server.cli("kv", "get", "-version=1", "secret/app/db")


def test_watch_tells_of_a_new_version_at_once_and_a_stream_does_not_hold_up_the_end(dev_server):
    command = [dev_server.bin / "strongroom", "watch", "-format=json", "-count=2", "secret/app"]
    env = dev_server.env(VAULT_TOKEN=dev_server.root_token)
    place = native(dev_server, "GET", "events").json()["data"]["after"]
    with subprocess.Popen([*command, f"-after={place}"], env=env, stdout=subprocess.PIPE, text=True) as watching:
        dev_server.cli("kv", "put", "secret/hr/pay", "password=canary")
        for n in (1, 2):
            dev_server.cli("kv", "put", "secret/app/db", f"password=canary{n}")
        lines = [json.loads(line) for line in watching.communicate(timeout=20)[0].splitlines()]
    assert [(line["type"], line["path"], line["version"]) for line in lines] == [
        ("secret-written", "secret/data/app/db", 1), ("secret-written", "secret/data/app/db", 2),
    ]
    assert "canary" not in json.dumps(lines)
    with socket.create_connection(("127.0.0.1", dev_server.port)) as stream:
        head = f"GET /api/v1/events/stream HTTP/1.1\r\nHost: x\r\nX-Vault-Token: {dev_server.root_token}\r\n\r\n"
        stream.sendall(head.encode())
        heard = b""
        while b"event: hello" not in heard:
            heard += stream.recv(4096)
        began = time.monotonic()
        dev_server.stop()
        assert time.monotonic() - began < 10
        while more := stream.recv(4096):
            heard += more
        assert b"event: end" in heard, heard


def test_a_revocation_that_was_killed_in_the_middle_is_carried_on(disk_server):
    server = disk_server
    credentials = approle(server)
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        logins = list(pool.map(lambda _: login(server, credentials), range(400)))
    body = {"principal": logins[0]["entity_id"], "reason": "a leak"}
    answer = native(server, "POST", "revoke", json=body).json()["data"]["incident"]
    # Use is refused; revoking hundreds of tokens has just begun.
    server.kill()
    server.start()
    server.root_token = server.banner().split("Root Token: ")[-1].split()[0]
    for one in logins[:: len(logins) // 20]:
        assert refused(server, one["client_token"])
    incident = wait_until(
        "nothing is left to revoke",
        lambda: (found := native(server, "GET", f"incidents/{answer['id']}").json()["data"]["incident"])["finished"] and found,
    )
    assert all(step["ended"] and not step["failures"] for step in incident["steps"]), incident
    accessors = set(server.root.auth.token.list_accessors()["data"]["keys"])
    assert not accessors & {one["accessor"] for one in logins}
    # Enabled again, no token of before comes to life.
    assert native(server, "POST", f"incidents/{answer['id']}/lift", json={"reason": "cleared"}).status_code == 200
    assert all(refused(server, one["client_token"]) for one in logins[::10])
    assert not refused(server, login(server, credentials)["client_token"])
