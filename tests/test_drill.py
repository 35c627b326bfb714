"""Drills with the real program: a secret, a login of a real PostgreSQL, a rotation, and the power that goes in the middle."""

import json
import subprocess
import threading
import urllib.request

import pytest
from house import wait_until
from outside import ADMIN, PASSWORD, Postgres

CREATE = """CREATE ROLE "{{name}}" LOGIN PASSWORD '{{password}}' VALID UNTIL '{{expiration}}';"""


@pytest.fixture
def postgres():
    server = Postgres()
    try:
        yield server.start()
    finally:
        server.close()


def role(server, postgres):
    server.root.sys.enable_secrets_engine("database")
    server.root.secrets.database.configure(
        "app", "postgresql-database-plugin", allowed_roles=["app-role"], connection_url=postgres.url, username=ADMIN,
        password=PASSWORD,
    )
    server.root.secrets.database.create_role("app-role", "app", CREATE, default_ttl="1h", max_ttl="24h")


def leftovers(server):
    """Names of everything that a drill makes, as the operator finds it."""
    root = server.root
    found = root.sys.list_policies()["data"]["policies"]
    entities = root.adapter.request("LIST", "/v1/identity/entity/name", raise_exception=False)
    found += (entities.json() if hasattr(entities, "json") else entities or {}).get("data", {}).get("keys", [])
    found += root.secrets.kv.v2.list_secrets("app")["data"]["keys"]
    return [name for name in found if "drill" in name]


def test_a_secret_and_a_database_role_are_drilled_and_shown_as_the_table_for_a_decision_record(disk_server, postgres):
    server = disk_server
    server.cli("kv", "put", "secret/app/db", "password=canary-value")
    role(server, postgres)
    preview = server.cli("drill", "-dry-run", "secret/app/db")
    assert "drill-canary" in preview and "nothing of yours" in preview
    shown = server.cli("drill", "-rounds=2", "secret/app/db")
    for word in ("secret-version", "token", "principal", "access-key"):
        assert word in shown, shown
    # The login is used on the real database, until that refuses it.
    drill = server.json("drill", "-rounds=2", "database/creds/app-role")
    assert drill["state"] == "done" and [one["credential"] for one in drill["trials"]] == ["login"] * 2
    for trial in drill["trials"]:
        assert trial["uses"] > 3 and 0 < trial["denied_us"] < 30_000_000, trial
    assert postgres.logins() == [] and leftovers(server) == []
    # The role's name alone, as people call it, is the same target.
    server.cli("drill", "-rounds=1", "database/roles/app-role")
    assert len(server.json("drill", "history", "database/creds/app-role")["drills"]) == 2
    table = server.cli("drill", "table", "-format=markdown")
    assert "| database/creds/app-role | login |" in table and "| measured |" in table, table
    rows = server.json("drill", "table")["rows"]
    assert {row["credential"] for row in rows} == {"secret-version", "token", "principal", "access-key", "login"}
    server.cli("drill", "schedule", "secret/app/db", "rate(7 days)")
    server.cli("drill", "max-age", "720h")
    assert "rate(7 days)" in server.cli("drill", "schedules")
    assert "canary-value" not in shown + table + json.dumps(drill) + server.said()
    assert "canary-value" in server.cli("kv", "get", "secret/app/db"), "nothing of the secret was touched"
    # Whoever follows misuse is not woken by it.
    assert server.run("alert", "list", token=server.root_token).returncode == 2


def test_a_login_left_by_a_power_cut_is_ended_and_the_drill_said_to_be_broken_off(disk_server, postgres):
    server = disk_server
    role(server, postgres)
    command = ("drill", "-rounds=5", "database/creds/app-role")
    running = threading.Thread(target=server.run, args=command, kwargs={"token": server.root_token})
    running.start()
    wait_until("a canary's login is there", postgres.logins)
    # The power goes with logins in the database.
    server.kill()
    running.join()
    assert postgres.logins() != []
    server.start()
    wait_until("the login is gone", lambda: postgres.logins() == [])

    def state():
        history = server.json("drill", "history", "database/creds/app-role")
        return history["drills"] and history["drills"][0]["state"]

    assert wait_until("the drill is closed", state) == "broken-off"
    assert "drill" not in " ".join(server.root.sys.list_policies()["data"]["policies"])


def test_a_real_rotation_is_measured_and_who_fetched_it_is_told(disk_server):
    server = disk_server
    server.cli("kv", "put", "secret/app/key", "password=before")
    refused = server.run("drill", "-rotate", "-yes", "secret/app/key", token=server.root_token)
    assert refused.returncode != 0 and "rotate schedule" in refused.stderr, refused
    server.cli("rotate", "schedule", "-method=random", "-option=field=password", "secret/app/key")
    reader = server.policy_token('path "secret/data/app/*" { capabilities = ["read"] }', name="reader")
    sleeper = server.policy_token('path "secret/data/app/*" { capabilities = ["read"] }', name="reader")
    for token in (reader, sleeper):
        server.cli("kv", "get", "secret/app/key", token=token)
    typed = server.run("drill", "-rotate", "secret/app/key", token=server.root_token, stdin="secret/app\n")
    assert typed.returncode == 1 and "nothing was done" in typed.stderr
    drill = server.json("drill", "-rotate", "-rounds=1", "-credentials=token", "secret/app/key", stdin="secret/data/app/key\n")
    assert drill["state"] == "done" and drill["rotation"]["version"] == 2, drill
    assert 0 < drill["rotation"]["in_force_us"] < 60_000_000
    assert "before" not in server.cli("kv", "get", "secret/app/key", token=reader)
    states = [one["state"] for one in server.json("drill", "history", "secret/app/key")["fetched"]]
    assert sorted(states) == ["not-yet", "refreshed"], states


def test_canaries_of_a_secret_are_gone_after_the_power_went_anywhere(disk_server):
    server = disk_server
    server.cli("kv", "put", "secret/app/db", "password=x")
    # A policy comes first, then who keeps the canary secret, the secret, and a principal for each trial.
    for many in (1, 4, 12):
        command = ("drill", "-rounds=20", "secret/app/db")
        running = threading.Thread(target=server.run, args=command, kwargs={"token": server.root_token})
        running.start()
        wait_until("something was made", lambda: len(leftovers(server)) >= many)
        server.kill()
        running.join()
        server.start()
        wait_until("nothing is left", lambda: leftovers(server) == [])
    # Its entries, and those of the canary, verify as any.
    history = server.json("drill", "history", "secret/app/db")
    assert {one["state"] for one in history["drills"]} <= {"broken-off", "done"} and len(history["drills"]) == 3
    assert "password" in server.cli("kv", "get", "secret/app/db")


def test_a_drill_whose_database_went_away_ends_clean_when_it_is_back_also_over_a_power_cut(disk_server, postgres):
    server = disk_server
    role(server, postgres)
    command = ("drill", "-rounds=20", "database/creds/app-role")
    # Longer than any command of the tests may take: a login that nobody answers is tried for a minute.
    asking = subprocess.Popen(
        [server.bin / "strongroom", *command], env=server.env(VAULT_TOKEN=server.root_token), stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )
    wait_until("a canary's login is there", postgres.logins)
    postgres.stop()

    def drill():
        found = server.json("drill", "history", "database/creds/app-role")
        return found["running"]

    def stuck():
        found = drill()
        return found and found["state"] == "clearing" and found.get("stuck") and found

    # It says so, to who asks, in the trail and in a metric, and it is not lost.
    found = wait_until("the drill says what keeps it", stuck, patience=120)
    assert "outside system" in found["stuck"], found
    assert "outside system" in server.cli("drill", "history", "database/creds/app-role")
    told = [entry for entry in server.trail() if entry.get("operation") == "drill-clearing"]
    assert len(told) == 1 and found["id"] in told[0]["note"], told
    request = urllib.request.Request(f"{server.url}/v1/sys/metrics?format=prometheus", headers={"X-Vault-Token": server.root_token})
    with urllib.request.urlopen(request) as metrics:
        assert "strongroom_drill_clearing_total" in metrics.read().decode()
    # Who ordered it is told so too, and need not wait.
    said, _ = asking.communicate(timeout=60)
    assert asking.returncode == 2 and "tried again until it works" in said, said
    # The power goes while it waits; nothing of it is told twice.
    server.kill()
    server.start()
    assert wait_until("it is known again", drill)["state"] == "clearing"
    postgres.start()
    wait_until("the logins are gone", lambda: postgres.logins() == [], patience=120)

    def ended():
        history = server.json("drill", "history", "database/creds/app-role")
        return not history["running"] and history["drills"] and history["drills"][0]

    end = wait_until("the drill has ended", ended, patience=120)
    assert end["state"] in ("failed", "broken-off") and "stuck" not in end and end["id"] == found["id"], end
    assert "drill" not in " ".join(server.root.sys.list_policies()["data"]["policies"])
    assert len([entry for entry in server.trail() if entry.get("operation") == "drill-clearing"]) == 1
    # And the next one goes well.
    assert server.json("drill", "-rounds=1", "database/creds/app-role")["state"] == "done"
