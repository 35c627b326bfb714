"""A store that somebody changed behind the server's back."""

import sqlite3

from house import wait_until


def rows(database):
    """What the store holds, when nothing waits in its journal any more: the server moves it when nobody has written for a while."""
    with sqlite3.connect(database) as connection:
        waits = "SELECT count(*) FROM journal"
        wait_until("the journal is empty", lambda: connection.execute(waits).fetchone() == (0,))
        return dict(connection.execute("SELECT key, value FROM kv"))


def verify(server):
    done = server.run("operator", "verify", token=server.root_token)
    return done.returncode, done.stdout + done.stderr


def test_what_was_altered_or_removed_in_the_store_is_named(disk_server):
    database = disk_server.folder / "kept" / "strongroom.db"
    code, said = verify(disk_server)
    assert code == 0 and "as it was written" in said
    before = rows(database)
    disk_server.cli("kv", "put", "secret/app", "password=" + "x" * 5_000)
    after = rows(database)
    value = max((key for key in after if key not in before), key=lambda key: len(after[key]))
    made = [key for key in after if key not in before and key != value]
    assert made, "beside the value there are particulars and a name"
    for key in made:
        with sqlite3.connect(database) as connection:
            connection.execute("DELETE FROM kv WHERE key = ?", (key,))
        code, said = verify(disk_server)
        assert code == 2 and key.hex() in said and "removed" in said, said
        with sqlite3.connect(database) as connection:
            rev = connection.execute("SELECT max(rev) FROM kv").fetchone()[0]
            connection.execute("INSERT INTO kv (key, value, rev) VALUES (?, ?, ?)", (key, after[key], rev))
    altered = after[value][:-1] + bytes([after[value][-1] ^ 1])
    with sqlite3.connect(database) as connection:
        connection.execute("UPDATE kv SET value = ? WHERE key = ?", (altered, value))
    code, said = verify(disk_server)
    assert code == 2 and value.hex() in said and "altered" in said, said
    assert "xxx" not in said
    powerless = disk_server.policy_token('path "sys/strongroom/verify" { capabilities = ["update"] }')
    assert disk_server.run("operator", "verify", token=powerless).returncode == 2
