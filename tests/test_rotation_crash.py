"""Readers log in fifty times a second while secrets rotate, the server is killed, and the database restarts."""

import os
import random
import subprocess
import threading
import time

import pytest
import requests
from house import wait_until
from outside import ADMIN, PASSWORD, MariaDb, Postgres

# A hundred of each strategy take some minutes: STRONGROOM_ROTATIONS=100.
ROTATIONS = int(os.environ.get("STRONGROOM_ROTATIONS", "12"))
# Together; one alone is held up by each login, and by a server that is not there.
READERS = 5
RATE = 50.0


@pytest.fixture
def start_database():
    started = []

    def start(kind):
        started.append(kind())
        return started[-1].start()

    yield start
    for server in started:
        server.close()


def restart(database):
    """It goes and comes, with what it had."""
    database.process.terminate()
    database.process.wait()
    database.process = subprocess.Popen(
        database.process.args, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        cwd=database.folder, **database.account)


class Reader(threading.Thread):
    """Logs in by what the server says is in force; with `falls_back`, as the documentation has it for one login."""

    def __init__(self, server, database, falls_back):
        super().__init__(daemon=True)
        self.server, self.database, self.falls_back = server, database, falls_back
        self.over = threading.Event()
        self.logins, self.rounds, self.second_tries, self.refused = 0, 0, 0, []
        self.session = requests.Session()

    def read(self, version=None):
        """A version's value, once the server answers; `None` when there is none."""
        while not self.over.is_set():
            try:
                answer = self.session.get(
                    f"{self.server.url}/v1/secret/data/app/db", params={"version": version} if version else {},
                    headers={"X-Vault-Token": self.server.root_token}, timeout=5)
                if answer.status_code in (200, 404):
                    return (answer.json().get("data") or {}).get("data")
            except requests.RequestException:
                pass
            time.sleep(0.02)

    def pending(self):
        """The value in preparation: the newest version, while it is not the one in force."""
        while not self.over.is_set():
            try:
                answer = self.session.get(
                    f"{self.server.url}/v1/secret/metadata/app/db",
                    headers={"X-Vault-Token": self.server.root_token}, timeout=5)
                if answer.status_code == 200:
                    data = answer.json()["data"]
                    newest = max(map(int, data["versions"]))
                    return self.read(newest) if newest != data["current_version"] else None
            except requests.RequestException:
                pass
            time.sleep(0.02)

    def second(self, value):
        """What to try after a refusal, as the documentation has it."""
        now = self.read()
        return now if now != value else self.pending() or self.read()

    def works(self, value):
        """Whether a login works; one that finds no database says nothing about the password."""
        while not self.over.is_set():
            let_in = self.database.tries(value["username"], value["password"])
            if let_in is not None:
                return let_in
            time.sleep(0.02)
        return True

    def run(self):
        while not self.over.is_set():
            begun = time.monotonic()
            value = self.read()
            if value:
                self.logins += 1
                if not self.works(value):
                    again = self.second(value) if self.falls_back else None
                    self.second_tries += 1
                    if not (again and self.works(again)) and not self.over.is_set():
                        self.refused.append((time.time(), value["username"]))
                self.rounds += 1
            time.sleep(max(0.0, READERS / RATE - (time.monotonic() - begun)))


@pytest.mark.parametrize("kind, way, falls_back", [
    (Postgres, "alternating", False), (Postgres, "single", True), (Postgres, "new-user", False),
    (MariaDb, "alternating", False), (MariaDb, "single", True),
])
def test_no_login_fails_while_server_and_database_are_killed(start_dev, tmp_path, start_database, kind, way, falls_back):
    database = start_database(kind)
    folder = tmp_path / "disk"
    server = start_dev(f"-dev-data={folder}/kept", "-dev-root-token-id=root", folder=folder)
    if kind is Postgres:
        engine, statements = "postgres", []
        database.sql("CREATE ROLE app LOGIN PASSWORD 'f1rst-canary'")
    else:
        engine, statements = "mariadb", [f"-option=creation_statements={MariaDb.STATEMENTS}"]
        database.sql("CREATE USER 'app'@'%' IDENTIFIED BY 'f1rst-canary'")
        database.sql("GRANT SELECT ON app.* TO 'app'@'%'")
    place = [f"engine={engine}", "host=127.0.0.1", f"port={database.port}", "dbname=app"]
    server.cli("kv", "put", "secret/app/db", *place, "username=app", "password=f1rst-canary")
    server.cli("kv", "put", "secret/app/admin", *place, f"username={ADMIN}", f"password={PASSWORD}")
    more = {"single": [], "alternating": ["-admin=app/admin", *statements],
            "new-user": ["-admin=app/admin", "-option=role=app", "-option=overlap=1s"]}[way]
    server.cli("rotate", "schedule", f"-method={engine}-{way}", *more, "secret/app/db")
    readers = [Reader(server, database, falls_back) for _ in range(READERS)]
    for reader in readers:
        reader.start()
    begun = time.monotonic()
    chance, kills = random.Random(7), 0

    def idle():
        # A server that was just killed may not answer yet.
        done = server.run("rotate", "status", "-format=json", "secret/app/db", token="root")
        return done.returncode == 0 and '"running": null' in done.stdout

    for number in range(ROTATIONS):
        server.run("rotate", "start", "-detach", "secret/app/db", token="root")
        if number % 4 == 2:
            restart(database)
        if number % 3:
            time.sleep(chance.random() * 0.12)
            server.kill()
            kills += 1
            server.start()
        wait_until(f"rotation {number} ended", idle, patience=60)
        # One retry outlasts one rotation. Between two of them, which schedules part by half an hour at least, a reader
        # comes round; on a busy machine it may take longer for that than the command line for the next one.
        rounds = [reader.rounds for reader in readers]
        wait_until("all readers came round", lambda: all(
            reader.rounds >= before + 2 for reader, before in zip(readers, rounds, strict=True)))
    span = time.monotonic() - begun
    for reader in readers:
        reader.over.set()
    for reader in readers:
        reader.join(timeout=20)
    logins, second_tries = sum(reader.logins for reader in readers), sum(reader.second_tries for reader in readers)
    refused = [one for reader in readers for one in reader.refused]
    history = server.json("rotate", "history", "secret/app/db")
    assert kills >= ROTATIONS * 2 // 3 and len(history) >= min(ROTATIONS, 50) - 1
    assert {one["outcome"]["result"] for one in history} == {"rotated"}, history
    assert logins > ROTATIONS * 10 and refused == [], (logins, second_tries, refused)
    print(engine, way, len(history), "rotations", kills, "kills", logins, "logins,", round(logins / span), "a second,",
          second_tries, "second tries")
