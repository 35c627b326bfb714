"""Secrets that rotate: logins of a real PostgreSQL get new passwords, by command line, while readers go on."""

import json
import os
import pathlib
import subprocess
import threading
import uuid

import aws_house
import pytest
from house import wait_until
from outside import ADMIN, PASSWORD, Postgres

FUNCTION = "arn:aws:lambda:us-east-1:000000000000:function:"


@pytest.fixture
def postgres():
    server = Postgres()
    try:
        yield server.start()
    finally:
        server.close()


def login(server, postgres, name="app", password="f1rst-canary", path="secret/app/db"):
    """A login in the database, and the secret that holds it."""
    postgres.sql(f"CREATE ROLE {name} LOGIN PASSWORD '{password}'")
    server.cli("kv", "put", path, "engine=postgres", "host=127.0.0.1", f"port={postgres.port}", "dbname=app",
               f"username={name}", f"password={password}")
    return password


def admin(server, postgres):
    """The secret with the login that may change others."""
    server.cli("kv", "put", "secret/app/admin", "engine=postgres", "host=127.0.0.1", f"port={postgres.port}",
               "dbname=app", f"username={ADMIN}", f"password={PASSWORD}")


def value(server, path="secret/app/db", **how):
    return server.json("kv", "get", path, **how)["data"]["data"]


def status(server, path="secret/app/db"):
    return server.json("rotate", "status", path)


def works(postgres, secret):
    return postgres.lets_in(secret["username"], secret["password"])


def passwords_of(server, postgres, *more):
    """What must not stand anywhere: every value the secret ever had."""
    kept = [PASSWORD, *more]
    for number in range(1, 40):
        done = server.run("kv", "get", f"-version={number}", "-format=json", "secret/app/db", token=server.root_token)
        # One that was rolled back has no value any more.
        if done.returncode == 0 and (held := json.loads(done.stdout)["data"]["data"]):
            kept.append(held["password"])
    return kept


def test_a_login_rotates_by_itself_and_nothing_tells_its_passwords(disk_server, postgres):
    first = login(disk_server, postgres)
    said = disk_server.cli("rotate", "schedule", "-every=rate(30 days)", "secret/app/db")
    assert "postgres-single" in said and "rate(30 days)" in said
    assert value(disk_server)["password"] == first, "a schedule begins nothing before its time"
    done = disk_server.cli("rotate", "start", "secret/app/db")
    assert "rotated" in done
    second = value(disk_server)
    assert second["password"] != first and works(postgres, second)
    assert not postgres.lets_in("app", first)
    assert second["username"] == "app" and second["port"] == str(postgres.port)
    (past,) = disk_server.json("rotate", "history", "secret/app/db")
    assert [name for name, _ in past["phases"]] == ["creating", "setting", "testing", "finishing", "retiring"]
    assert past["outcome"] == {"result": "rotated"} and past["trigger"] == "root"
    assert "setting" in disk_server.cli("rotate", "history", "secret/app/db")
    shown = status(disk_server)
    assert shown["running"] is None and shown["next"] > shown["last"]
    events = [entry for entry in disk_server.trail() if entry["path"] == "secret/app/db" and entry["kind"] == "event"]
    assert [entry["operation"] for entry in events] == ["rotation-begin", "rotation-end"]
    everything = str(disk_server.trail()) + disk_server.said()
    for password in passwords_of(disk_server, postgres, first):
        assert password not in everything


def test_two_logins_take_turns_and_the_former_one_stays_good(dev_server, postgres):
    first = login(dev_server, postgres)
    admin(dev_server, postgres)
    postgres.sql("CREATE TABLE thing (id int)")
    postgres.sql("GRANT SELECT ON thing TO app")
    dev_server.cli("rotate", "schedule", "-method=postgres-alternating", "-admin=app/admin", "secret/app/db")
    seen = [value(dev_server)]
    for _ in range(3):
        dev_server.cli("rotate", "start", "secret/app/db")
        seen.append(value(dev_server))
        assert works(postgres, seen[-1]) and works(postgres, seen[-2])
        with postgres.connect(seen[-1]["username"], seen[-1]["password"]) as connection:
            connection.execute("SELECT * FROM thing")
    assert [one["username"] for one in seen] == ["app", "app_clone", "app", "app_clone"]
    assert not postgres.lets_in("app", first)


def test_a_new_login_each_time_and_the_former_goes_when_nobody_uses_it(dev_server, postgres):
    login(dev_server, postgres)
    admin(dev_server, postgres)
    dev_server.cli("rotate", "schedule", "-method=postgres-new-user", "-admin=app/admin", "-option=role=app",
                   "-option=overlap=0s", "secret/app/db")
    dev_server.cli("rotate", "start", "secret/app/db")
    former = value(dev_server)
    assert former["username"].startswith("app_") and works(postgres, former)
    assert postgres.lets_in("app", "f1rst-canary"), "a login that rotation did not make is never dropped"
    with postgres.connect(former["username"], former["password"]):
        dev_server.cli("rotate", "start", "-detach", "secret/app/db")
        running = wait_until("it waits for the reader", lambda: (status(dev_server)["running"] or {}).get("error"))
        assert "1 sessions" in running
        assert works(postgres, value(dev_server)) and value(dev_server)["username"] != former["username"]
        assert "Held up by" in dev_server.cli("rotate", "status", "secret/app/db")
        refused = dev_server.run("rotate", "start", "secret/app/db", token=dev_server.root_token)
        assert refused.returncode == 2
        assert "under way, and what only the former value needed is being given up; wait" in refused.stderr
    wait_until("the former login went", lambda: not works(postgres, former), patience=40)
    assert works(postgres, value(dev_server))


def test_what_fails_its_proof_is_rolled_back_and_said(dev_server, postgres):
    first = login(dev_server, postgres)
    admin(dev_server, postgres)
    dev_server.cli("rotate", "schedule", "-method=postgres-single", "-admin=app/admin", "secret/app/db")
    postgres.sql("ALTER ROLE app VALID UNTIL '2001-01-01'")
    done = dev_server.run("rotate", "start", "secret/app/db", token=dev_server.root_token)
    assert done.returncode == 2 and "rolled-back" in done.stdout and "testing" in done.stdout
    postgres.sql("ALTER ROLE app VALID UNTIL 'infinity'")
    assert value(dev_server)["password"] == first and postgres.lets_in("app", first)
    shown = status(dev_server)["before"]["outcome"]
    assert shown["phase"] == "testing" and "refused" in shown["why"]
    metadata = dev_server.json("kv", "metadata", "get", "secret/app/db")["data"]
    assert metadata["versions"]["2"]["destroyed"] and metadata["current_version"] == 1
    assert "rotation-failed" in dev_server.said()
    dev_server.cli("rotate", "start", "secret/app/db")
    assert works(postgres, value(dev_server))


def test_it_waits_for_a_database_that_is_down_and_can_be_cancelled(dev_server, postgres):
    first = login(dev_server, postgres)
    dev_server.cli("rotate", "schedule", "secret/app/db")
    postgres.process.kill()
    postgres.process.wait()
    dev_server.cli("rotate", "start", "-detach", "secret/app/db")
    running = wait_until("it says what holds it up", lambda: (status(dev_server)["running"] or {}).get("error"))
    assert "cannot be reached" in running and status(dev_server)["running"]["phase"] == "setting"
    dev_server.cli("rotate", "cancel", "secret/app/db")
    wait_until("the database is up", lambda: restarted(postgres))
    wait_until("it was rolled back", lambda: status(dev_server)["running"] is None, patience=60)
    assert "cancelled" in status(dev_server)["before"]["outcome"]["why"]
    assert value(dev_server)["password"] == first and postgres.lets_in("app", first)
    assert status(dev_server)["enabled"] is False


def test_rotation_asks_for_the_rights_on_the_secret_itself(dev_server, postgres):
    login(dev_server, postgres)
    admin(dev_server, postgres)
    writer = dev_server.policy_token('path "secret/data/app/db" { capabilities = ["update"] }', "writer")
    reader = dev_server.policy_token('path "secret/metadata/app/db" { capabilities = ["read"] }', "reader")
    assert dev_server.run("rotate", "schedule", "secret/app/db", token=reader).returncode == 2
    refused = dev_server.run(
        "rotate", "schedule", "-method=postgres-single", "-admin=app/admin", "secret/app/db", token=writer)
    assert refused.returncode == 2 and "may not read" in refused.stderr
    dev_server.cli("rotate", "schedule", "secret/app/db", token=writer)
    dev_server.cli("rotate", "start", "-detach", "secret/app/db", token=writer)
    wait_until("it ended", lambda: status(dev_server)["running"] is None)
    assert dev_server.run("rotate", "status", "secret/app/db", token=reader).returncode == 0
    assert dev_server.run("rotate", "status", "secret/app/db", token=writer).returncode == 2
    assert dev_server.run("rotate", "start", "nowhere/app/db", token=writer).returncode == 2


def test_a_plan_is_for_one_login_through_every_door(dev_server, postgres):
    first = login(dev_server, postgres)
    admin(dev_server, postgres)
    dev_server.cli("rotate", "schedule", "-method=postgres-single", "-admin=app/admin", "secret/app/db")
    postgres.sql("CREATE ROLE boss LOGIN SUPERUSER PASSWORD 'b0ss-canary'")
    rules = """path "secret/data/app/db" { capabilities = ["update", "patch", "read"] }
               path "secret/metadata/app/db" { capabilities = ["read"] }"""
    writer = dev_server.policy_token(rules, "writer")
    dev_server.cli("kv", "patch", "-mount=secret", "app/db", "username=boss", token=writer)
    done = dev_server.run("rotate", "start", "secret/app/db", token=writer)
    assert done.returncode == 2 and "was written for app at" in done.stdout + done.stderr
    # Who asks through AWS's API may plan, and does not say by that whom the plan is for.
    rotate = aws_house.client(dev_server).rotate_secret
    code, text = aws_house.refusal(rotate, SecretId="app/db", ClientRequestToken=str(uuid.uuid4()),
                                   RotationLambdaARN=FUNCTION + "postgres-single")
    assert code == "InvalidRequestException" and "was written for app at" in text
    assert postgres.lets_in("boss", "b0ss-canary") and postgres.lets_in("app", first)
    dev_server.cli("kv", "patch", "-mount=secret", "app/db", "username=app")
    rotate(SecretId="app/db", ClientRequestToken=str(uuid.uuid4()), RotationLambdaARN=FUNCTION + "postgres-single")
    wait_until("it ended", lambda: status(dev_server)["running"] is None)
    assert works(postgres, value(dev_server)) and not postgres.lets_in("app", first)


class Watcher(threading.Thread):
    """Reads what every process shows to others, again and again: its command line and its environment."""

    def __init__(self):
        super().__init__(daemon=True)
        self.over, self.looks, self.seen = threading.Event(), 0, set()

    def run(self):
        while not self.over.is_set():
            self.looks += 1
            for process in pathlib.Path("/proc").iterdir():
                if not process.name.isdigit() or int(process.name) == os.getpid():
                    continue
                for name in ("cmdline", "environ"):
                    try:
                        self.seen.add((process / name).read_bytes())
                    except OSError:
                        pass


def test_no_password_stands_in_a_list_of_processes_an_environment_a_log_or_an_error(disk_server, postgres):
    """Passwords of the database, made while somebody looks, and while some of it fails."""
    first = login(disk_server, postgres)
    admin(disk_server, postgres)
    disk_server.cli("rotate", "schedule", "-method=postgres-alternating", "-admin=app/admin", "secret/app/db")
    postgres.sql("ALTER SYSTEM SET log_statement = 'all'")
    postgres.sql("SELECT pg_reload_conf()")
    watcher = Watcher()
    watcher.start()
    said = ""
    for number in range(6):
        if number == 3:
            postgres.sql("ALTER ROLE app_clone VALID UNTIL '2001-01-01'")
        if number == 5:
            postgres.sql("ALTER ROLE app_clone VALID UNTIL 'infinity'")
        done = disk_server.run("rotate", "start", "secret/app/db", token=disk_server.root_token)
        said += done.stdout + done.stderr
    watcher.over.set()
    watcher.join(timeout=30)
    said += disk_server.cli("rotate", "history", "secret/app/db")
    assert "rolled-back" in said and watcher.looks > 5
    kept = [word for word in passwords_of(disk_server, postgres, first) if word != PASSWORD]
    shown = b"\0".join(watcher.seen)
    everything = said + disk_server.said() + str(disk_server.trail())
    assert len(kept) >= 3
    for password in kept:
        assert password.encode() not in shown and password not in everything


def test_a_secret_rotates_when_somebody_who_read_it_is_cut_off(dev_server, postgres):
    login(dev_server, postgres)
    login(dev_server, postgres, "other", path="secret/app/other")
    dev_server.cli("rotate", "schedule", "-when-disabled", "secret/app/db")
    dev_server.cli("rotate", "schedule", "-when-disabled", "secret/app/other")
    root = dev_server.root
    root.sys.enable_auth_method("userpass")
    root.sys.create_or_update_policy("readers", 'path "secret/data/app/*" { capabilities = ["read"] }')
    root.auth.userpass.create_or_update_user("leaver", password="p4ssw0rd", policies=["readers"])
    token = root.auth.userpass.login("leaver", "p4ssw0rd", use_token=False)
    entity = token["auth"]["entity_id"]
    before = value(dev_server, token=token["auth"]["client_token"])
    dev_server.cli("write", f"identity/entity/id/{entity}", "disabled=true")
    past = wait_until("it rotated", lambda: dev_server.json("rotate", "history", "secret/app/db"))
    assert "was disabled who had read it" in past[0]["trigger"] and past[0]["outcome"] == {"result": "rotated"}
    assert value(dev_server)["password"] != before["password"] and works(postgres, value(dev_server))
    assert dev_server.json("rotate", "history", "secret/app/other") == [], "nobody who was cut off read this one"


def test_an_emergency_rotates_what_has_a_plan_and_the_old_value_is_worthless(dev_server, postgres):
    first = login(dev_server, postgres)
    admin(dev_server, postgres)
    dev_server.cli("rotate", "schedule", "-method=postgres-alternating", "-admin=app/admin", "secret/app/db")
    said = dev_server.cli("revoke", "-secret=secret/app/db", "-reason=in a public repository", "-yes")
    assert "rotated to version 2" in said, said
    now = value(dev_server)
    assert works(postgres, now) and now["username"] == "app_clone" and not postgres.lets_in("app", first)


def restarted(postgres):
    """Brings the database up again, with what it had."""
    if postgres.process.poll() is not None:
        postgres.process = subprocess.Popen(
            postgres.process.args, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            cwd=postgres.folder, **postgres.account)
    return postgres.lets_in(ADMIN, PASSWORD)
