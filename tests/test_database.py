"""Logins of a real PostgreSQL that die on time, by command line and with the unmodified hvac."""

import threading

import hvac
import psycopg
import pytest
from house import wait_until
from outside import ADMIN, PASSWORD, Postgres

CREATE = """CREATE ROLE "{{name}}" LOGIN PASSWORD '{{password}}' VALID UNTIL '{{expiration}}';
GRANT CONNECT ON DATABASE app TO "{{name}}";
"""


@pytest.fixture
def postgres():
    server = Postgres()
    try:
        yield server.start()
    finally:
        server.close()


def configure(server, postgres, **more):
    server.root.sys.enable_secrets_engine("database")
    server.root.secrets.database.configure(
        "app", "postgresql-database-plugin", allowed_roles=["app-role", "kept"], connection_url=postgres.url,
        username=ADMIN, password=PASSWORD, **more,
    )


def test_a_new_user_gets_logins_that_die_on_time(disk_server, postgres):
    (disk_server.folder / "create.sql").write_text(CREATE)
    cli = disk_server.cli
    cli("secrets", "enable", "database")
    cli("write", "database/config/app", "plugin_name=postgresql-database-plugin", f"connection_url={postgres.url}",
        f"username={ADMIN}", f"password={PASSWORD}", "allowed_roles=app-role")
    cli("write", "database/roles/app-role", "db_name=app", "creation_statements=@create.sql", "default_ttl=1h",
        "max_ttl=24h")
    first, second = (disk_server.json("read", "database/creds/app-role") for _ in range(2))
    for made in (first, second):
        assert postgres.lets_in(made["data"]["username"], made["data"]["password"])
        assert made["lease_duration"] == 3600 and made["renewable"]
    assert first["data"]["username"] != second["data"]["username"]
    lease = first["lease_id"]
    assert disk_server.json("lease", "renew", "-increment=2h", lease)["lease_duration"] == 7200
    assert lease in cli("lease", "lookup", lease)
    cli("lease", "revoke", lease)
    assert not postgres.lets_in(first["data"]["username"], first["data"]["password"])
    assert postgres.lets_in(second["data"]["username"], second["data"]["password"])
    username = first["data"]["username"]
    told = disk_server.json("audit", "query", f"-subject={username}")
    asked = {entry["operation"] if entry["kind"] == "event" else entry["path"] for entry in told}
    assert asked == {"database/creds/app-role", "sys/leases/renew", "sys/leases/revoke", "lease-revoke"}, told
    assert {entry["lease"] for entry in told} == {lease} and {entry["subject"] for entry in told} == {username}
    by_lease = disk_server.json("audit", "query", f"-lease={lease}", "-operation=update")
    assert [entry["path"] for entry in by_lease] == ["sys/leases/renew", "sys/leases/revoke"]
    assert username in cli("audit", "query", f"-subject={username}", "-kind=event")
    cli("lease", "revoke", "-prefix", "database/creds/app-role/")
    assert postgres.logins() == []
    assert PASSWORD not in cli("read", "database/config/app") + disk_server.said()
    # A login is found in the trail by its name; its password is not.
    entries = [entry for entry in disk_server.trail() if first["data"]["username"] in str(entry)]
    assert {"outcome", "event"} <= {entry["kind"] for entry in entries}
    assert first["data"]["password"] not in str(disk_server.trail())


def test_hvac_configures_asks_renews_and_rotates(dev_server, postgres):
    configure(dev_server, postgres, verify_connection=True, root_rotation_statements=[])
    database = dev_server.root.secrets.database
    assert database.list_connections()["data"]["keys"] == ["app"]
    shown = database.read_connection("app")["data"]
    assert shown["connection_details"]["username"] == ADMIN and "password" not in shown["connection_details"]
    database.create_role(
        "app-role", "app", CREATE, default_ttl="1h", max_ttl="24h",
        revocation_statements=['DROP OWNED BY "{{name}}"', 'DROP ROLE "{{name}}"'], rollback_statements=[],
        renew_statements=["ALTER ROLE \"{{name}}\" VALID UNTIL '{{expiration}}'"],
    )
    assert database.list_roles()["data"]["keys"] == ["app-role"]
    assert database.read_role("app-role")["data"]["creation_statements"] == [CREATE]
    made = database.generate_credentials("app-role")
    with postgres.connect(made["data"]["username"], made["data"]["password"]) as session:
        assert session.execute("SELECT current_user").fetchone() == (made["data"]["username"],)
        dev_server.root.sys.renew_lease(made["lease_id"], increment=7200)
        dev_server.root.sys.revoke_lease(made["lease_id"])
        with pytest.raises(psycopg.OperationalError):
            session.execute("SELECT 1")
    assert postgres.logins() == []

    postgres.sql("CREATE ROLE existing LOGIN PASSWORD 'first'")
    database.create_static_role("kept", "app", "existing", [], rotation_period=86400)
    assert database.list_static_roles()["data"]["keys"] == ["kept"]
    assert database.read_static_role("kept")["data"]["rotation_period"] == 86400
    before = database.get_static_credentials("kept")["data"]
    assert postgres.lets_in("existing", before["password"]) and not postgres.lets_in("existing", "first")
    database.rotate_static_role_credentials("kept")
    after = database.get_static_credentials("kept")["data"]
    assert postgres.lets_in("existing", after["password"]) and not postgres.lets_in("existing", before["password"])
    database.delete_static_role("kept")

    database.reset_connection("app")
    database.rotate_root_credentials("app")
    assert not postgres.lets_in(ADMIN, PASSWORD)
    made = database.generate_credentials("app-role")["data"]
    assert postgres.lets_in(made["username"], made["password"])
    database.delete_role("app-role")
    database.delete_connection("app")
    with pytest.raises(hvac.exceptions.InvalidPath):
        database.read_connection("app")


def test_when_the_time_is_over_the_login_is_refused_and_its_sessions_end(dev_server, postgres):
    configure(dev_server, postgres)
    database = dev_server.root.secrets.database
    database.create_role("app-role", "app", CREATE, default_ttl="2s", max_ttl="1h")
    made = database.generate_credentials("app-role")["data"]
    session = postgres.connect(made["username"], made["password"])

    def has_ended():
        try:
            session.execute("SELECT 1")
            return False
        except psycopg.OperationalError:
            return True

    wait_until("the session ends", has_ended)
    wait_until("the login is gone", lambda: not postgres.lets_in(made["username"], made["password"]))
    assert postgres.logins() == []


def test_a_server_that_is_killed_while_it_makes_logins_leaves_none_without_a_lease(production_server, postgres):
    server = production_server
    configure(server, postgres)
    server.root.secrets.database.create_role("app-role", "app", CREATE, default_ttl="1h", max_ttl="24h")
    for patience in (0.05, 0.3, 0.6):
        over = threading.Event()

        def ask():
            client = server.root
            while not over.is_set():
                try:
                    client.secrets.database.generate_credentials("app-role")
                except Exception:  # The server is being killed.
                    return

        callers = [threading.Thread(target=ask) for _ in range(4)]
        for caller in callers:
            caller.start()
        over.wait(patience)
        server.kill()
        over.set()
        for caller in callers:
            caller.join()
        server.start()
        server.unseal()
        leases = server.root.sys.list_leases("database/creds/app-role")["data"]["keys"]
        assert len(postgres.logins()) <= len(leases)
    server.cli("lease", "revoke", "-sync=false", "-prefix", "database/creds/app-role")
    wait_until("every login is gone", lambda: postgres.logins() == [])
