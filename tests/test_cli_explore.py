"""The commands that look around: find, can, history, diff, rollback."""

import json

SECRET = "hunter2-of-explore"


def furnish(server):
    """Secrets in two versioned engines and a plain one, some of them deep."""
    server.cli("secrets", "enable", "-path=team/kv", "-version=2", "kv")
    server.cli("secrets", "enable", "-path=old", "kv")
    for path in ("secret/app", "secret/app/db", "secret/app/prod/db", "secret/web/db", "team/kv/a/cert", "old/db", "old/x/y"):
        server.cli("kv", "put", path, f"password={SECRET}")


def found(server, *words, **how):
    return server.json("find", *words, **how)["paths"]


def test_find_names_every_secret_of_every_engine_and_no_value(dev_server):
    furnish(dev_server)
    everything = ["old/db", "old/x/y", "secret/app", "secret/app/db", "secret/app/prod/db", "secret/web/db", "team/kv/a/cert"]
    assert found(dev_server) == everything
    assert found(dev_server, "secret/app") == ["secret/app", "secret/app/db", "secret/app/prod/db"]
    assert found(dev_server, "team") == ["team/kv/a/cert"]
    assert found(dev_server, "secret/*/db") == ["secret/app/db", "secret/web/db"]
    assert found(dev_server, "**/db") == ["old/db", "secret/app/db", "secret/app/prod/db", "secret/web/db"]
    assert found(dev_server, "secret/app/**") == ["secret/app/db", "secret/app/prod/db"]
    assert found(dev_server, "-name=c?rt*") == ["team/kv/a/cert"]
    assert found(dev_server, "-name=db", "secret/app") == ["secret/app/db", "secret/app/prod/db"]
    table = dev_server.cli("find", "old")
    assert table.split() == ["Path", "----", "old/db", "old/x/y"]
    for flags in ([], ["-format=json"], ["-format=yaml"]):
        done = dev_server.run("find", *flags, token=dev_server.root_token)
        assert SECRET not in done.stdout + done.stderr and "secret/web/db" in done.stdout
    assert dev_server.run("find", "secret/none", token=dev_server.root_token).returncode == 2
    assert dev_server.run("find", "-output-curl-string", token=dev_server.root_token).returncode == 1


def test_find_keeps_to_what_the_caller_may_list_and_says_what_it_left_out(dev_server):
    furnish(dev_server)
    token = dev_server.policy_token(
        'path "secret/metadata/*" { capabilities = ["list"] }\n'
        'path "secret/metadata/app/prod/*" { capabilities = ["deny"] }\n'
        'path "secret/metadata/app/prod" { capabilities = ["deny"] }\n'
        'path "old/db" { capabilities = ["read"] }'
    )
    told = dev_server.json("find", token=token)
    assert told == {"paths": ["secret/app", "secret/app/db", "secret/web/db"], "refused": ["old/", "secret/app/prod/"]}
    done = dev_server.run("find", token=token)
    assert done.returncode == 0 and "secret/app/prod/" in done.stderr and "team" not in done.stdout + done.stderr
    # A wide tree is listed over a few connections.
    for n in range(12):
        dev_server.root.secrets.kv.v2.create_or_update_secret(f"wide/{n:02}/x", {"a": "b"})
    assert len(found(dev_server, "secret/wide")) == 12
    assert dev_server.run("find", token="hvs.nonsense").returncode == 2


def test_can_names_the_deciding_rule(dev_server):
    rules = 'path "secret/data/app/*" {\n  capabilities = ["read"]\n}\npath "secret/data/app/private" {\n  capabilities = ["deny"]\n}\n'
    token = dev_server.policy_token(rules, name="web")
    entity = {"name": "web-server", "policies": ["web", "ghost"]}
    dev_server.root.secrets.identity.create_or_update_entity(**entity)
    accessor = dev_server.client(token).auth.token  # the token itself may not look itself up: no default policy
    accessor = dev_server.root.auth.token.lookup(token)["data"]["accessor"]

    def can(*words, **how):
        done = dev_server.run("can", *words, token=dev_server.root_token, **how)
        return done.returncode, done.stdout.strip(), done.stderr

    yes = "yes: read on secret/data/app/db: policy `web`, line 1, path `secret/data/app/*`, allows it"
    for who in (token, f"token:{token}", f"accessor:{accessor}", "policy:web", "web-server", "entity:web-server"):
        assert can(who, "read", "secret/app/db")[:2] == (0, yes), who
    assert can("-", "read", "secret/data/app/db", stdin=token + "\n")[:2] == (0, yes)
    code, said, _ = can("policy:web", "update", "secret/app/db")
    assert code == 2 and said.startswith("no: update on secret/data/app/db: policy `web`, line 1") and "lacks `update`" in said
    code, said, _ = can("policy:web", "read", "secret/app/private")
    assert code == 2 and "line 4" in said and "`deny`" in said
    assert "no policy has a rule" in can("policy:web", "read", "secret/other")[1]
    assert can("policy:web", "list", "secret/app")[1].startswith("no: list on secret/metadata/app:")
    assert "ghost" in can("web-server", "read", "secret/app/db")[2], "a policy that is not there is told"
    assert "nothing is served" in can("policy:web", "read", "nowhere/x")[2]
    # sudo is told where the path needs it.
    dev_server.root.sys.create_or_update_policy("half", 'path "sys/seal" { capabilities = ["update"] }')
    code, said, _ = can("policy:half", "update", "sys/seal")
    assert code == 2 and "sudo" in said
    assert can("policy:half", "update", "sys/unseal")[0] == 0
    # Mistakes are no answers.
    for words in (("nobody", "read", "x"), ("hvs.nonsense", "read", "x"), ("policy:web", "fly", "x"), ("policy:web", "deny", "x")):
        done = dev_server.run("can", *words, token=dev_server.root_token)
        assert done.returncode == 2 and done.stdout == "" and "hvs.nonsense" not in done.stderr, words


def test_can_about_others_is_for_operators(dev_server):
    plain = dev_server.root.auth.token.create(policies=["default"])["auth"]["client_token"]
    assert dev_server.run("can", "read", "auth/token/lookup-self", token=plain).returncode == 0
    assert dev_server.run("can", "read", "secret/x", token=plain).stdout.startswith("no: read on secret/data/x:")
    assert dev_server.run("can", "policy:root", "read", "secret/x", token=plain).returncode == 2
    without_sudo = dev_server.policy_token('path "sys/strongroom/can" { capabilities = ["update"] }', name="half")
    refused = dev_server.run("can", "policy:default", "read", "secret/x", token=without_sudo)
    assert refused.returncode == 2 and "permission denied" in refused.stderr and refused.stdout == ""
    with_sudo = dev_server.policy_token('path "sys/strongroom/can" { capabilities = ["update", "sudo"] }', name="whole")
    told = json.loads(dev_server.run("can", "-format=json", "policy:default", "read", "secret/x", token=with_sudo).stdout)
    assert told["granted"] is False and told["rule"] is None and told["path"] == "secret/data/x"
    # What the answer says is what the gate does.
    for capability, path, verb in (("read", "secret/data/x", "GET"), ("update", "sys/strongroom/can", "POST")):
        granted = dev_server.json("can", f"token:{with_sudo}", capability, path)["granted"] if capability == "update" else False
        status = dev_server.client(with_sudo).session.request(
            verb, f"{dev_server.url}/v1/{path}", headers={"X-Vault-Token": with_sudo},
            json={"policies": ["default"], "capability": "read", "path": "x"},
        ).status_code
        assert (status != 403) == granted, path


def test_disabled_entities_can_nothing(dev_server):
    dev_server.root.secrets.identity.create_or_update_entity("gone", policies=["default"], disabled=True)
    done = dev_server.run("can", "gone", "read", "auth/token/lookup-self", token=dev_server.root_token)
    assert done.returncode == 2 and "disabled" in done.stdout


def versions_of_app(server):
    server.cli("kv", "put", "secret/app", "user=web", f"password={SECRET}", "old=x")
    server.cli("kv", "put", "secret/app", "user=web", f"password={SECRET}-changed", "new=x")
    server.cli("kv", "put", "secret/app", "user=nobody")
    server.cli("kv", "delete", "-versions=3", "secret/app")
    server.cli("kv", "put", "secret/app", "user=web")
    server.cli("kv", "put", "secret/app", "user=web2")
    server.cli("kv", "destroy", "-versions=5", "secret/app")


def test_history_tells_what_became_of_each_version(dev_server):
    versions_of_app(dev_server)
    table = dev_server.cli("history", "secret/app")
    rows = [line.split()[:2] for line in table.splitlines()[2:]]
    assert rows == [["5", "destroyed"], ["4", "older"], ["3", "deleted"], ["2", "older"], ["1", "older"]]
    told = dev_server.json("history", "-mount=secret", "app")
    assert [version["state"] for version in told["versions"]] == ["destroyed", "older", "deleted", "older", "older"]
    assert SECRET not in table + json.dumps(told)
    assert dev_server.run("history", "secret/none", token=dev_server.root_token).returncode == 2
    dev_server.cli("secrets", "enable", "-path=old", "kv")
    assert dev_server.run("history", "old/x", token=dev_server.root_token).returncode == 1


def test_diff_masks_values_unless_told_otherwise(dev_server):
    versions_of_app(dev_server)
    table = dev_server.cli("diff", "-v1=1", "-v2=2", "secret/app")
    rows = {line.split()[0]: line.split()[1:] for line in table.splitlines()[2:]}
    assert {field: row[0] for field, row in rows.items()} == {"user": "same", "password": "changed", "old": "removed", "new": "added"}
    assert rows["user"][1] == rows["user"][2] and rows["password"][1] != rows["password"][2]
    assert rows["old"][1] == rows["new"][2], "equal values look equal"
    assert SECRET not in table and "web" not in table
    again = dev_server.cli("diff", "-v1=1", "-v2=2", "secret/app")
    assert again != table, "a fingerprint means nothing beyond its output"
    masked = dev_server.cli("diff", "-format=json", "-v1=1", "-v2=2", "secret/app")
    assert SECRET not in masked and json.loads(masked)["masked"] is True
    clear = dev_server.json("diff", "-show-values", "-v1=1", "-v2=2", "secret/app")
    assert {"field": "password", "change": "changed", "before": SECRET, "after": SECRET + "-changed"} in clear["fields"]
    # Without versions: the newest that is there, and the one before it.
    told = dev_server.json("diff", "secret/app")
    assert (told["v1"], told["v2"]) == (2, 4)
    gone = dev_server.run("diff", "-v1=1", "-v2=3", "secret/app", token=dev_server.root_token)
    assert gone.returncode == 2 and "deleted" in gone.stderr


def test_rollback_writes_an_old_value_anew(dev_server):
    versions_of_app(dev_server)
    dev_server.cli("rollback", "-version=1", "secret/app")
    data = dev_server.json("kv", "get", "secret/app")["data"]
    assert data["data"] == {"user": "web", "password": SECRET, "old": "x"} and data["metadata"]["version"] == 6
    assert dev_server.run("rollback", "-version=3", "secret/app", token=dev_server.root_token).returncode == 2
    assert dev_server.run("rollback", "secret/app", token=dev_server.root_token).returncode == 1
