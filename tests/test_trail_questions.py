"""Questions to the trail on the command line: who read what and when, over a trail of many files and the server's death."""

import csv
import datetime
import io
import json
import subprocess
import threading

import pytest
import requests
from house import wait_until

SMALL = "trail {\n  segment_bytes = 16384\n}"


@pytest.fixture
def asked_server(new_production):
    """A server whose trail goes on in a new file after some twenty entries."""
    server = new_production(more=SMALL).initialise()
    server.unseal()
    server.cli("secrets", "enable", "-path=secret", "-version=2", "kv")
    return server


def read_often(server, path, times, token=None):
    answer = None
    for _ in range(times):
        answer = requests.get(
            f"{server.url}/v1/secret/data/{path}", headers={"X-Vault-Token": token or server.root_token},
            verify=str(server.ca), timeout=10,
        )
    return answer.status_code


def segments(server):
    return sorted(server.trail_folder().glob("*.jsonl"))


def ask(server, *flags, **how):
    """The entries of an answer; none is an answer too."""
    done = server.run("audit", "query", "-format=json", *flags, token=how.get("token", server.root_token))
    assert done.returncode in (0, 3), done.stdout + done.stderr
    return json.loads(done.stdout[: done.stdout.rindex("]") + 1]) if "]" in done.stdout else []


def test_one_question_over_many_files_in_every_form_and_page_by_page(asked_server):
    server = asked_server
    server.cli("kv", "put", "secret/prod/db", "password=first")
    assert read_often(server, "prod/db", 120) == 200
    assert len(segments(server)) > 5
    reads = ["-path=secret/prod/db", "-operation=read", "-limit=1000"]
    entries = ask(server, *reads)
    assert len(entries) == 120
    assert [entry["seq"] for entry in entries] == sorted(entry["seq"] for entry in entries)
    assert {(entry["address"], entry["version"], entry["result"]) for entry in entries} == {("127.0.0.1", 1, "ok")}

    rows = list(csv.DictReader(io.StringIO(server.cli("audit", "query", "-format=csv", *reads))))
    assert [row["Request"] for row in rows] == [entry["request"] for entry in entries]
    table = server.cli("audit", "query", *reads)
    assert table.count("secret/data/prod/db") == 120 and "Duration" in table

    # Page by page, oldest and newest first.
    for order in ("oldest", "newest"):
        found, page = [], []
        while True:
            done = server.run(
                "audit", "query", *reads[:2], f"-order={order}", "-limit=50", "-format=csv", *page, token=server.root_token
            )
            assert done.returncode == 0, done.stderr
            said = done.stdout + done.stderr
            found += [line for line in done.stdout.splitlines() if "secret/data/prod/db" in line]
            if "-page=" not in said:
                break
            page = ["-page=" + said.split("-page=")[1].split()[0]]
        assert len(found) == 120 and len(set(found)) == 120, order


def test_times_are_read_in_the_zone_that_is_named(asked_server):
    server = asked_server
    server.cli("kv", "put", "secret/prod/db", "password=first")
    assert read_often(server, "prod/db", 3) == 200
    path = ["-path=secret/prod/db", "-operation=read"]
    now = datetime.datetime.now(datetime.timezone.utc)
    soon = (now + datetime.timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M")
    before = (now - datetime.timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M")
    assert len(ask(server, *path, f"-from={before}", f"-to={soon}")) == 3
    # The same figures on a clock that is nine hours ahead are long past; Tokyo has no summer time.
    assert ask(server, *path, f"-from={before}", f"-to={soon}", "-tz=Asia/Tokyo") == []
    ahead = [(now + datetime.timedelta(hours=9 + hours)).strftime("%Y-%m-%dT%H:%M") for hours in (-1, 1)]
    assert len(ask(server, *path, f"-from={ahead[0]}", f"-to={ahead[1]}", "-tz=Asia/Tokyo")) == 3
    tokyo = (now + datetime.timedelta(hours=9)).strftime("%Y-%m-%d")
    assert len(ask(server, *path, f"-date={tokyo}", "-tz=Asia/Tokyo")) == 3
    assert ask(server, *path, "-date=2020-02-29") == []
    for wrong in (["-tz=Europe/Atlantis"], ["-date=2026-02-30"], ["-from=25:00"]):
        done = server.run("audit", "query", *path, *wrong, token=server.root_token)
        assert done.returncode == 1 and done.stderr, wrong


def test_whoever_follows_sees_each_entry_once_as_it_comes(asked_server):
    server = asked_server
    server.cli("kv", "put", "secret/prod/db", "password=first")
    following = subprocess.Popen(
        [server.bin / "strongroom", "audit", "query", "-path=secret/prod/db", "-operation=read", "-follow", "-format=csv"],
        env=server.env(VAULT_TOKEN=server.root_token), stdout=subprocess.PIPE, text=True,
    )
    lines = []
    reader = threading.Thread(target=lambda: lines.extend(iter(following.stdout.readline, "")))
    reader.start()
    try:
        for round_ in range(3):
            assert read_often(server, "prod/db", 20) == 200
            wait_until("they are shown", lambda: sum("prod/db" in line for line in lines) >= 20 * (round_ + 1))
    finally:
        following.terminate()
        following.wait(timeout=20)
        reader.join(timeout=20)
    shown = [line for line in lines if "prod/db" in line]
    assert len(shown) == 60 and len(set(shown)) == 60


def test_what_a_program_follows_is_a_line_for_each_entry_from_the_first_on(asked_server):
    server = asked_server
    server.cli("kv", "put", "secret/prod/db", "password=first")
    assert read_often(server, "prod/db", 3) == 200
    following = subprocess.Popen(
        [server.bin / "strongroom", "audit", "query", "-path=secret/prod/db", "-operation=read", "-follow", "-format=json"],
        env=server.env(VAULT_TOKEN=server.root_token), stdout=subprocess.PIPE, text=True,
    )
    try:
        shown = [json.loads(following.stdout.readline()) for _ in range(3)]
        assert read_often(server, "prod/db", 2) == 200
        shown += [json.loads(following.stdout.readline()) for _ in range(2)]
    finally:
        following.terminate()
        following.wait(timeout=20)
    assert [entry["path"] for entry in shown] == ["secret/data/prod/db"] * 5
    assert len({entry["seq"] for entry in shown}) == 5


def test_no_answered_request_is_missing_after_the_server_was_killed(asked_server):
    server = asked_server
    server.cli("kv", "put", "secret/prod/db", "password=first")
    answered, stop = [], threading.Event()

    def read():
        url, session = f"{server.url}/v1/secret/data/prod/db", requests.Session()
        session.headers["X-Vault-Token"] = server.root_token
        while not stop.is_set():
            try:
                answered.append(session.get(url, verify=str(server.ca), timeout=10).status_code)
            except requests.RequestException:
                return

    readers = [threading.Thread(target=read) for _ in range(4)]
    for reader in readers:
        reader.start()
    wait_until("there is a load over several files", lambda: len(answered) > 400 or not any(map(threading.Thread.is_alive, readers)))
    assert len(answered) > 400
    # A question in the middle of the load is answered.
    assert len(ask(server, "-path=secret/prod/db", "-operation=read", "-limit=100")) == 100
    server.kill()
    stop.set()
    for reader in readers:
        reader.join(timeout=20)
    good = answered.count(200)
    server.start()
    server.unseal()
    entries = ask(server, "-path=secret/prod/db", "-operation=read", "-outcome=ok", "-limit=100000")
    assert good <= len(entries) <= good + len(readers)
    assert len({entry["request"] for entry in entries}) == len(entries)
    reader = server.json("who-reads", "secret/prod/db")["consumers"][0]
    assert reader["reads"] == len(entries)
    assert server.stop() == 0
    assert server.run("audit", "verify", str(server.trail_folder())).returncode == 0
    assert server.run("audit", "index", str(server.trail_folder())).returncode == 0


def test_who_reads_a_secret_and_what_somebody_reads_and_what_nobody_does(asked_server):
    server = asked_server
    for name in ("prod/db", "prod/api", "old/unused"):
        server.cli("kv", "put", f"secret/{name}", "password=first")
    root = server.root
    root.sys.enable_auth_method("approle")
    rules = 'path "secret/data/*" {\n  capabilities = ["read"]\n}\npath "secret/metadata/*" {\n  capabilities = ["list"]\n}\n'
    root.sys.create_or_update_policy("web", rules)
    tokens = {}
    for name in ("web", "lazy"):
        root.auth.approle.create_or_update_approle(name, token_policies=["web"])
        role_id = root.auth.approle.read_role_id(name)["data"]["role_id"]
        secret_id = root.auth.approle.generate_secret_id(name)["data"]["secret_id"]
        tokens[name] = server.client().auth.approle.login(role_id, secret_id)["auth"]
    # Somebody who logs in and looks at nothing but itself.
    server.client(tokens["lazy"]["client_token"]).auth.token.lookup_self()
    web = tokens["web"]["client_token"]
    assert read_often(server, "prod/db", 30, web) == 200
    server.cli("kv", "put", "secret/prod/db", "password=second")
    told = server.json("who-reads", "secret/prod/db")
    [reader] = [one for one in told["consumers"] if one.get("entity") == tokens["web"]["entity_id"]]
    assert told["current_version"] == 2
    assert (reader["reads"], reader["last_version"], reader["freshness"]["state"]) == (30, 1, "stale")
    assert read_often(server, "prod/db", 1, web) == 200
    told = server.json("who-reads", "secret/prod/db")
    [reader] = [one for one in told["consumers"] if one.get("entity") == tokens["web"]["entity_id"]]
    assert (reader["reads"], reader["last_version"], reader["freshness"]["state"]) == (31, 2, "refreshed")
    used = server.json("reads-what", tokens["web"]["entity_id"])["uses"]
    assert [one["path"] for one in used] == ["secret/data/prod/db"]
    review = server.json("review")
    unused = json.dumps(review["unused_secrets"])
    assert "old/unused" in unused and "prod/db" not in unused
    assert tokens["lazy"]["entity_id"] in json.dumps(review["unused_access"])
    assert "old/unused" in server.cli("review", "-format=markdown")


def test_who_may_not_see_a_path_learns_nothing_of_it_from_any_question(asked_server):
    server = asked_server
    for name in ("mine/db", "hidden/db"):
        server.cli("kv", "put", f"secret/{name}", "password=first")
        assert read_often(server, name, 2) == 200
    rules = "".join(
        f'path "{path}" {{ capabilities = ["read"] }}\n'
        for path in ("secret/data/mine/*", "sys/trail/query", "sys/trail/who-reads", "sys/trail/reads-what", "sys/trail/review")
    )
    token = server.policy_token(rules, "narrow")
    # Somebody with the whole view looks, which is an entry; it is hidden from others.
    assert ask(server, "-path=secret/hidden/db")
    everything = json.dumps(ask(server, "-limit=1000", token=token))
    assert "mine/db" in everything and "hidden" not in everything and "sys/trail" not in everything
    for words in (["who-reads", "secret/hidden/db"], ["reads-what", "root"], ["review"]):
        done = server.run(*words, "-format=json", token=token)
        # What was typed may come back in the message, as for a path that is not there.
        other = server.run(*[word.replace("hidden", "nowhere") for word in words], "-format=json", token=token)
        assert done.returncode == other.returncode, words
        told, of_other = ([line for line in one.stdout.splitlines() if '"time"' not in line] for one in (done, other))
        assert [line.replace("hidden", "nowhere") for line in told] == of_other, words
        assert "hidden" not in done.stdout or "who-reads" in words
    assert any(entry["path"] == "sys/trail/query" for entry in ask(server, "-prefix=sys/trail/"))


def test_what_the_server_met_on_its_own_is_found_and_an_empty_filter_is_refused(asked_server):
    server = asked_server
    server.cli("kv", "put", "secret/prod/db", "password=first")
    server.cli("revoke", "-secret=secret/prod/db", "-reason=a leak", "-yes")
    own = ask(server, "-dialect=internal")
    assert own and {entry["kind"] for entry in own} == {"event"}
    for flag in ("principal", "operation", "outcome", "dialect", "kind", "path", "source", "from", "order"):
        done = server.run("audit", "query", f"-{flag}=", token=server.root_token)
        assert done.returncode in (1, 2) and "No entry" not in done.stdout, (flag, done)
        assert flag in done.stderr or flag == "source" and "address" in done.stderr, (flag, done)


def test_an_edit_of_the_files_beside_the_running_server_does_not_pass_as_an_answer(asked_server):
    server = asked_server
    server.cli("kv", "put", "secret/prod/db", "password=first")
    assert read_often(server, "prod/db", 100) == 200
    assert len(ask(server, "-path=secret/prod/db", "-operation=read")) == 100
    victim = segments(server)[-3]
    text = victim.read_text()
    victim.write_text(text.replace('"path":"secret/data/prod/db"', '"path":"secret/data/prod/xx"', 1))
    done = server.run("audit", "query", "-path=secret/prod/db", "-limit=1000", token=server.root_token)
    assert done.returncode == 2 and "audit verify" in done.stderr and not done.stdout, done
    victim.write_text(text)
    assert len(ask(server, "-path=secret/prod/db", "-operation=read")) == 100


def test_the_index_made_by_command_is_the_one_the_server_made(asked_server):
    server = asked_server
    server.cli("kv", "put", "secret/prod/db", "password=first")
    assert read_often(server, "prod/db", 80) == 200
    ask(server, "-limit=1")
    assert server.stop() == 0
    folder = server.trail_folder()
    made = {file.name: file.read_bytes() for file in (folder / "index").glob("*.idx")}
    assert len(made) > 2
    server.cli("audit", "index", "-rebuild", str(folder), token=None)
    again = {file.name: file.read_bytes() for file in (folder / "index").glob("*.idx")}
    assert again.items() >= made.items()
    first = folder / "index" / sorted(again)[0]
    first.write_bytes(first.read_bytes()[:-1] + b"?")
    done = server.run("audit", "verify", str(folder))
    assert done.returncode == 2 and first.name in done.stdout + done.stderr, done


def test_whoever_follows_the_trail_misses_nothing_and_does_not_see_themselves(dev_server):
    for n in range(3):
        dev_server.cli("kv", "put", "secret/app", f"n={n}")
    seen = dev_server.folder / "seen"
    with seen.open("w") as out:
        following = subprocess.Popen(
            [dev_server.bin / "strongroom", "audit", "query", "-follow", "-limit=1", "-prefix=s", "-format=csv"],
            stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.DEVNULL,
            env=dev_server.env(VAULT_TOKEN=dev_server.root_token),
        )
    try:
        wait_until("the first page and the rest are shown", lambda: seen.read_text().count("secret/data/app") == 3)
        dev_server.cli("kv", "put", "secret/late", "a=b")
        wait_until("what comes is shown", lambda: "secret/data/late" in seen.read_text())
    finally:
        following.kill()
        following.wait()
    assert "sys/trail/query" not in seen.read_text()
