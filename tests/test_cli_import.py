"""Bringing secrets in: from env files, JSON, YAML, and a running server."""

import json

SECRET = "hunter2-of-import"


def write(server, name, text):
    path = server.folder / name
    path.write_text(text)
    return str(path)


def bring(server, *words, **how):
    done = server.run("import", *words, token=server.root_token, **how)
    assert SECRET not in done.stdout + done.stderr, "a value was printed"
    return done


def told(server, *words, **how):
    done = bring(server, "-format=json", *words, **how)
    return done.returncode, json.loads(done.stdout) if done.stdout else None, done.stderr


def value(server, path, **flags):
    flags = [f"-{name}={flag}" for name, flag in flags.items()]
    return server.json("kv", "get", *flags, path)["data"]["data"]


def test_an_env_file_becomes_one_secret(dev_server):
    file = write(dev_server, ".env", f"""# database
export DB_PASSWORD='{SECRET} # $not a comment'
DB_URL="postgres://web:${{DB_PASSWORD}}@db/app"  # said
KEY="line one
line two"
EMPTY=
""")
    dry = bring(dev_server, file, "-to=secret/app", "-dry-run")
    assert dry.returncode == 0 and ["secret/app", "create", "4", "1", "-"] in [line.split() for line in dry.stdout.splitlines()]
    assert "DB_URL (line 3)" in dry.stderr and "nothing is filled in" in dry.stderr
    assert dev_server.run("kv", "get", "secret/app", token=dev_server.root_token).returncode == 2, "a dry run writes nothing"
    done = bring(dev_server, file, "-to=secret/app")
    assert done.returncode == 0 and "created" in done.stdout
    assert value(dev_server, "secret/app") == {
        "DB_PASSWORD": f"{SECRET} # $not a comment", "DB_URL": "postgres://web:${DB_PASSWORD}@db/app",
        "KEY": "line one\nline two", "EMPTY": "",
    }
    again = bring(dev_server, file, "-to=secret/app")
    assert again.returncode == 0 and "same" in again.stdout
    assert dev_server.json("kv", "metadata", "get", "secret/app")["data"]["current_version"] == 1


def test_what_cannot_be_taken_is_named_and_stops_everything(dev_server):
    file = write(dev_server, "bad.env", f"GOOD=1\n{SECRET}\n2BAD={SECRET}\nGOOD=2\nLAST='{SECRET}\n")
    code, plan, error = told(dev_server, file, "-to=secret/app")
    assert code == 1 and plan["written"] is False and "-skip" in error
    assert [trouble["what"] for trouble in plan["not_taken"]] == ["line 2", "line 3", "GOOD (line 1)", "LAST (line 5)"]
    assert dev_server.run("kv", "get", "secret/app", token=dev_server.root_token).returncode == 2
    code, plan, _ = told(dev_server, file, "-to=secret/app", "-skip")
    assert code == 0 and plan["written"] is True
    assert value(dev_server, "secret/app") == {"GOOD": "2"}


def test_documents_keep_their_numbers_and_may_be_split(dev_server):
    text = f"db:\n  password: {SECRET}\n  port: 5432\n  ratio: 1.10\nweb/tls:\n  cert: |\n    one\n    two\nplain: text\n../up:\n  a: b\n"
    yaml = write(dev_server, "all.yaml", text)
    assert bring(dev_server, yaml, "-to=secret/whole").returncode == 0
    shown = dev_server.cli("kv", "get", "-format=json", "secret/whole")
    assert '"ratio": 1.10' in shown and '"port": 5432' in shown
    code, plan, _ = told(dev_server, yaml, "-to=secret/apart", "-split")
    assert code == 1 and {trouble["what"] for trouble in plan["not_taken"]} == {"plain", "../up"}
    code, plan, _ = told(dev_server, yaml, "-to=secret/apart", "-split", "-skip")
    assert code == 0 and {row["path"] for row in plan["secrets"]} == {"secret/apart/db", "secret/apart/web/tls"}
    assert value(dev_server, "secret/apart/web/tls") == {"cert": "one\ntwo\n"}
    assert bring(dev_server, "-", "-type=json", "-to=secret/std", stdin='{"a": 12345678901234567890}').returncode == 0
    assert "12345678901234567890" in dev_server.cli("kv", "get", "-format=json", "secret/std")
    # A whole engine from its top.
    assert bring(dev_server, "-", "-type=json", "-split", "-to=secret", stdin='{"top": {"a": "b"}}').returncode == 0
    assert value(dev_server, "secret/top") == {"a": "b"}
    for flags, stdin in (
        (["-type=json", "-to=secret/x"], f'{{"a": "{SECRET}", "a": 1}}'), (["-type=yaml", "-to=secret/x"], f"a: {SECRET}\na: 1\n"),
        (["-type=json", "-to=secret/x"], f'["{SECRET}"]'), (["-to=secret/x"], "{}"), (["-type=json"], "{}"),
        (["-type=json", "-to=secret"], f'{{"a": "{SECRET}"}}'),
        (["-type=json", "-to=secret/x", "-versions"], "{}"), (["-type=json", "-to=secret/x", "-wrap-ttl=5m"], "{}"),
    ):
        assert bring(dev_server, "-", *flags, stdin=stdin).returncode == 1, flags
    assert bring(dev_server, "-", "-type=json", "-to=nowhere/x", stdin='{"a": "b"}').returncode == 2
    assert dev_server.run("kv", "get", "secret/x", token=dev_server.root_token).returncode == 2


def test_nothing_is_covered_unless_asked_for(dev_server):
    cli = dev_server.cli
    for path in ("secret/a", "secret/b", "secret/gone"):
        cli("kv", "put", path, "k=old")
    cli("kv", "delete", "secret/gone")
    text = json.dumps({"a": {"k": "old"}, "b": {"k": SECRET}, "gone": {"k": SECRET}, "new": {"k": SECRET}})
    code, plan, _ = told(dev_server, "-", "-type=json", "-split", "-to=secret", stdin=text)
    actions = {row["path"]: row["action"] for row in plan["secrets"]}
    assert code == 1 and actions == {"secret/a": "same", "secret/b": "skip", "secret/gone": "skip", "secret/new": "create"}
    assert dev_server.run("kv", "get", "secret/new", token=dev_server.root_token).returncode == 2, "all or nothing"
    code, plan, _ = told(dev_server, "-", "-type=json", "-split", "-to=secret", "-skip", stdin=text)
    assert code == 0 and value(dev_server, "secret/new") == {"k": SECRET} and value(dev_server, "secret/b") == {"k": "old"}
    code, plan, _ = told(dev_server, "-", "-type=json", "-split", "-to=secret", "-overwrite", stdin=text)
    actions = {row["path"]: row["action"] for row in plan["secrets"]}
    assert code == 0 and actions == {"secret/a": "same", "secret/b": "changed", "secret/gone": "changed", "secret/new": "same"}
    assert value(dev_server, "secret/b") == {"k": SECRET} and value(dev_server, "secret/b", version=1) == {"k": "old"}


def test_refusals_of_the_server_are_told_for_each_secret(dev_server):
    token = dev_server.policy_token(
        'path "secret/data/app/*" { capabilities = ["create", "read"] }\npath "secret/data/app/closed" { capabilities = ["read"] }'
    )
    text = json.dumps({"open": {"k": SECRET}, "closed": {"k": SECRET}})
    done = dev_server.run("import", "-", "-type=json", "-split", "-to=secret/app", "-format=json", token=token, stdin=text)
    rows = {row["path"]: row for row in json.loads(done.stdout)["secrets"]}
    assert done.returncode == 2 and rows["secret/app/open"]["action"] == "created"
    assert rows["secret/app/closed"]["action"] == "failed" and "403" in rows["secret/app/closed"]["reason"]
    assert SECRET not in done.stdout + done.stderr
    unseen = json.dumps({"x": {"k": SECRET}})
    done = dev_server.run("import", "-", "-type=json", "-split", "-to=secret/other", token=token, stdin=unseen)
    assert done.returncode == 1 and "may not be read" in done.stdout


def furnish_source(source):
    source.cli("secrets", "enable", "-path=kv1", "kv")
    source.cli("kv", "put", "kv1/app/db", f"password={SECRET}")
    source.cli("kv", "put", "kv1/app", "user=web")
    for n in (1, 2, 3, 4):
        source.cli("kv", "put", "secret/app/db", f"password={SECRET}-{n}")
    source.cli("kv", "metadata", "put", "-custom-metadata=owner=web", "secret/app/db")
    source.cli("kv", "put", "secret/app/one", f"token={SECRET}")
    return {"VAULT_SOURCE_TOKEN": source.root_token}


def test_a_running_vault_is_brought_with_the_newest_version_or_all(start_dev):
    source, target = start_dev(), start_dev()
    env = furnish_source(source)
    code, plan, _ = told(target, f"{source.url}/secret/app", "-to=secret/new", **env)
    assert code == 0 and {row["path"] for row in plan["secrets"]} == {"secret/new/db", "secret/new/one"}
    assert any("older versions" in note for note in plan["notes"])
    assert value(target, "secret/new/db") == {"password": f"{SECRET}-4"}
    assert target.json("kv", "metadata", "get", "secret/new/db")["data"]["custom_metadata"] == {"owner": "web"}
    code, _, _ = told(target, "-from-vault", source.url, "secret/app", "-to=secret/all", "-versions", **env)
    assert code == 0
    assert [value(target, "secret/all/db", version=n)["password"] for n in (1, 2, 3, 4)] == [f"{SECRET}-{n}" for n in (1, 2, 3, 4)]
    again, plan, _ = told(target, f"{source.url}/secret/app", "-to=secret/all", "-versions", **env)
    assert again == 0 and {row["action"] for row in plan["secrets"]} == {"same"}
    # A plain engine there, a versioned one here, and the other way round.
    code, _, _ = told(target, f"{source.url}/kv1/app", "-to=secret/plain", **env)
    assert code == 0 and value(target, "secret/plain/db") == {"password": SECRET} and value(target, "secret/plain") == {"user": "web"}
    target.cli("secrets", "enable", "-path=kv1", "kv")
    code, plan, _ = told(target, f"{source.url}/secret/app", "-to=kv1", **env)
    assert code == 0 and any("keeps no metadata" in note for note in plan["notes"])
    assert target.json("kv", "get", "kv1/db")["data"] == {"password": f"{SECRET}-4"}
    assert bring(target, f"{source.url}/secret/app", "-to=kv1", "-versions", **env).returncode == 1
    # One secret alone.
    code, plan, _ = told(target, f"{source.url}/secret/app/one", "-to=secret/single", **env)
    assert code == 0 and value(target, "secret/single") == {"token": SECRET}


def test_versions_that_are_gone_are_named(start_dev):
    source, target = start_dev(), start_dev()
    env = furnish_source(source)
    source.cli("kv", "destroy", "-versions=2", "secret/app/db")
    source.cli("kv", "delete", "-versions=4", "secret/app/db")
    code, plan, _ = told(target, f"{source.url}/secret/app", "-to=secret/x", **env)
    assert code == 1 and [trouble["what"] for trouble in plan["not_taken"]] == ["secret/app/db"]
    code, plan, _ = told(target, f"{source.url}/secret/app", "-to=secret/x", "-versions", **env)
    assert code == 1
    assert {trouble["what"] for trouble in plan["not_taken"]} == {"secret/app/db version 2", "secret/app/db version 4"}
    code, plan, _ = told(target, f"{source.url}/secret/app", "-to=secret/x", "-versions", "-skip", **env)
    assert code == 0
    assert [value(target, "secret/x/db", version=n)["password"] for n in (1, 2)] == [f"{SECRET}-1", f"{SECRET}-3"]


def test_more_versions_than_an_engine_keeps_by_itself(start_dev):
    source, target = start_dev(), start_dev()
    source.cli("kv", "metadata", "put", "-max-versions=14", "secret/many")
    for n in range(13):
        source.root.secrets.kv.v2.create_or_update_secret("many", {"n": n})
    env = {"VAULT_SOURCE_TOKEN": source.root_token}
    code, _, _ = told(target, f"{source.url}/secret/many", "-to=secret/many", "-versions", **env)
    assert code == 0
    assert [value(target, "secret/many", version=n + 1)["n"] for n in range(13)] == list(range(13))


def test_the_sources_token_is_its_own_and_what_it_may_not_see_is_named(start_dev):
    source, target = start_dev(), start_dev()
    furnish_source(source)
    few = source.policy_token(
        'path "secret/metadata/*" { capabilities = ["list"] }\npath "secret/data/app/one" { capabilities = ["read"] }'
    )
    code, plan, _ = told(target, f"{source.url}/secret", "-to=secret", VAULT_SOURCE_TOKEN=few)
    assert code == 1 and [trouble["what"] for trouble in plan["not_taken"]] == ["secret/app/db"]
    code, plan, _ = told(target, f"{source.url}/secret", "-to=secret", "-skip", VAULT_SOURCE_TOKEN=few)
    assert code == 0 and value(target, "secret/app/one") == {"token": SECRET}
    # Without a token of the source nothing is sent there, least of all ours.
    done = bring(target, f"{source.url}/secret", "-to=secret", "-non-interactive")
    assert done.returncode == 1 and "VAULT_SOURCE_TOKEN" in done.stderr
    file = write(target, "token", source.root_token + "\n")
    assert bring(target, f"{source.url}/kv1", "-to=secret/k", f"-from-token-file={file}").returncode == 0
    assert bring(target, f"{source.url}/kv1", "-to=secret/k2", "-from-token-file=-", stdin=source.root_token).returncode == 0
    assert bring(target, f"{source.url}/none/x", "-to=secret/k3", VAULT_SOURCE_TOKEN=few).returncode == 2
    assert bring(target, "http://127.0.0.1:1/secret", "-to=secret/k3", VAULT_SOURCE_TOKEN=few, VAULT_MAX_RETRIES="0").returncode == 2


def test_what_is_written_in_between_is_not_covered(dev_server):
    """Two imports of the same new secret at the same time: one makes it, the other fails or finds it there."""
    import concurrent.futures

    def one(n):
        text = json.dumps({f"k{m}": {"from": n} for m in range(20)})
        return told(dev_server, "-", "-type=json", "-split", "-to=secret/race", "-skip", stdin=text)

    with concurrent.futures.ThreadPoolExecutor() as pool:
        results = list(pool.map(one, range(4)))
    created = [row["path"] for _, plan, _ in results for row in plan["secrets"] if row["action"] == "created"]
    assert len(created) == 20 and len(set(created)) == 20, "each was made once"
    for m in range(20):
        metadata = dev_server.root.secrets.kv.v2.read_secret_metadata(f"race/k{m}")["data"]
        assert metadata["current_version"] == 1
