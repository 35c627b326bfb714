"""Who may do what: policies, tokens and identity, as an unmodified client meets them."""

import itertools

import hvac
import pytest
import requests
from hvac.exceptions import Forbidden, InvalidPath, InvalidRequest


def read(client, path):
    return client.secrets.kv.v2.read_secret_version(path, raise_on_deleted_version=True)["data"]["data"]


def write(client, path, **data):
    return client.secrets.kv.v2.create_or_update_secret(path, secret=data)


def test_a_token_may_do_what_its_policy_says_and_nothing_else(dev_server):
    write(dev_server.root, "app/db", a="1")
    write(dev_server.root, "other", a="1")
    client = dev_server.client(dev_server.policy_token('path "secret/data/app/*" { capabilities = ["read"] }'))
    assert read(client, "app/db") == {"a": "1"}
    for act in (
        lambda: read(client, "other"),
        lambda: write(client, "app/db", a="2"),
        lambda: client.secrets.kv.v2.delete_latest_version_of_secret("app/db"),
        lambda: client.secrets.kv.v2.read_secret_metadata("app/db"),
        lambda: client.secrets.kv.v2.list_secrets("app"),
        lambda: client.sys.list_policies(),
        lambda: client.sys.enable_auth_method("approle"),
        lambda: client.sys.seal(),
        lambda: client.auth.token.create(),
    ):
        with pytest.raises(Forbidden):
            act()
    assert read(dev_server.root, "app/db") == {"a": "1"}


def test_a_missing_and_a_present_secret_look_the_same_to_one_who_may_not_read(dev_server):
    write(dev_server.root, "here", a="1")
    token = dev_server.policy_token('path "secret/data/else" { capabilities = ["read"] }')
    answers = [
        requests.get(f"{dev_server.url}/v1/secret/data/{name}", headers={"X-Vault-Token": token}, timeout=10)
        for name in ("here", "gone")
    ]
    assert [answer.status_code for answer in answers] == [403, 403]
    assert answers[0].json() == answers[1].json()


@pytest.mark.parametrize("token", [None, "", "hvs.nonsense", "root", "x" * 300])
def test_a_bad_token_opens_nothing(dev_server, token):
    headers = {"X-Vault-Token": token} if token is not None else {}
    for method, path in (
        ("GET", "secret/data/x"), ("GET", "sys/mounts"), ("GET", "auth/token/lookup-self"), ("POST", "auth/token/create"),
        ("PUT", "sys/seal"), ("LIST", "secret/metadata"), ("GET", "sys/policies/acl/root"), ("POST", "identity/entity"),
    ):
        answer = requests.request(method, f"{dev_server.url}/v1/{path}", headers=headers, json={}, timeout=10)
        assert answer.status_code == 403, (method, path, answer.text)
        assert answer.json()["errors"], (method, path)


def test_create_and_update_are_different_rights(dev_server):
    write(dev_server.root, "old", a="1")
    create = dev_server.client(dev_server.policy_token('path "secret/data/*" { capabilities = ["create"] }', "create"))
    update = dev_server.client(dev_server.policy_token('path "secret/data/*" { capabilities = ["update"] }', "update"))
    assert write(create, "new", a="1")["data"]["version"] == 1
    with pytest.raises(Forbidden):
        write(create, "old", a="2")
    assert write(update, "old", a="2")["data"]["version"] == 2
    with pytest.raises(Forbidden):
        write(update, "newer", a="1")


def test_the_more_specific_rule_decides_and_deny_wins_among_equals(dev_server):
    for name in ("a/x", "a/b/x", "a/b/c"):
        write(dev_server.root, name, v=name)
    root = dev_server.root
    root.sys.create_or_update_policy("wide", 'path "secret/data/*" { capabilities = ["read"] }')
    root.sys.create_or_update_policy("no-b", 'path "secret/data/a/+/x" { capabilities = ["deny"] }')
    root.sys.create_or_update_policy("yes-b", 'path "secret/data/a/+/x" { capabilities = ["read"] }')
    root.sys.create_or_update_policy("exact", 'path "secret/data/a/b/x" { capabilities = ["read"] }')

    def readable(*policies):
        token = root.auth.token.create(policies=list(policies), no_default_policy=True)["auth"]["client_token"]
        client = dev_server.client(token)
        result = []
        for name in ("a/x", "a/b/x", "a/b/c"):
            try:
                result.append(read(client, name)["v"])
            except Forbidden:
                pass
        return result

    assert readable("wide") == ["a/x", "a/b/x", "a/b/c"]
    # `a/+/x` does not match `a/x`: a plus stands for exactly one segment.
    assert readable("wide", "no-b") == ["a/x", "a/b/c"]
    for order in itertools.permutations(["wide", "no-b", "yes-b"]):
        assert readable(*order) == ["a/x", "a/b/c"], order
    # A rule without wildcards is more specific than the one that denies.
    assert readable("no-b", "exact") == ["a/b/x"]


def test_parameters_can_be_demanded_and_forbidden(dev_server):
    dev_server.root.sys.enable_secrets_engine("kv", path="plain", options={"version": "1"})
    client = dev_server.client(
        dev_server.policy_token(
            """
            path "plain/job" {
              capabilities        = ["create", "update"]
              required_parameters = ["owner"]
              allowed_parameters  = { owner = ["web", "db"], "*" = [] }
              denied_parameters   = { admin = [] }
            }
            """
        )
    )
    kv = client.secrets.kv.v1
    # With a method, because hvac would read first to choose one, and this policy does not let it.
    kv.create_or_update_secret("job", secret={"owner": "web", "size": "1"}, mount_point="plain", method="POST")
    for secret in ({"size": "1"}, {"owner": "eve"}, {"owner": "web", "admin": "1"}):
        with pytest.raises(Forbidden):
            kv.create_or_update_secret("job", secret=secret, mount_point="plain", method="POST")


def test_policies_may_be_written_as_json_and_are_given_back_as_written(dev_server):
    text = '{"path": {"secret/data/*": {"capabilities": ["read"]}}}'
    dev_server.root.sys.create_or_update_policy("as-json", text)
    assert dev_server.root.sys.read_policy("as-json")["data"]["rules"] == text
    write(dev_server.root, "x", a="1")
    token = dev_server.root.auth.token.create(policies=["as-json"])["auth"]["client_token"]
    assert read(dev_server.client(token), "x") == {"a": "1"}


@pytest.mark.parametrize("rules", ['path "x" { capabilities = ["reed"] }', 'path "x" {', 'path "x" { capabilites = [] }'])
def test_a_policy_that_means_nothing_is_refused(dev_server, rules):
    with pytest.raises(InvalidRequest):
        dev_server.root.sys.create_or_update_policy("broken", rules)


@pytest.mark.parametrize("name", ["root", "ROOT", " root", "root ", "Root", "ro\u00adot", "\uff52oot"])
def test_nobody_becomes_root_by_a_name(dev_server, name):
    token = dev_server.policy_token(
        'path "auth/token/create" { capabilities = ["create", "update", "sudo"] }\n'
        'path "sys/policies/acl/*" { capabilities = ["create", "update", "sudo"] }'
    )
    headers = {"X-Vault-Token": token}
    made = requests.post(
        f"{dev_server.url}/v1/auth/token/create", headers=headers, json={"policies": [name]}, timeout=10
    )
    if made.status_code == 200:
        client = dev_server.client(made.json()["auth"]["client_token"])
        with pytest.raises(Forbidden):
            write(client, "taken", a="1")
        assert "root" not in client.auth.token.lookup_self()["data"]["policies"]
    else:
        assert made.status_code in (400, 403), made.text
    changed = requests.put(
        f"{dev_server.url}/v1/sys/policies/acl/{name}", headers=headers,
        json={"policy": 'path "*" { capabilities = ["sudo"] }'}, timeout=10,
    )
    assert changed.status_code in (400, 403), changed.text


def test_capabilities_tell_what_the_policies_give(dev_server):
    token = dev_server.policy_token(
        'path "secret/data/a" { capabilities = ["read", "update"] }\n'
        'path "secret/data/b" { capabilities = ["deny"] }\n'
        'path "sys/capabilities-self" { capabilities = ["update"] }'
    )
    answer = dev_server.client(token).sys.get_capabilities(
        paths=["secret/data/a", "secret/data/b", "secret/data/c"]
    )["data"]
    assert sorted(answer["secret/data/a"]) == ["read", "update"]
    assert (answer["secret/data/b"], answer["secret/data/c"]) == (["deny"], ["deny"])
    assert dev_server.root.sys.get_capabilities(paths=["sys/seal"])["data"]["sys/seal"] == ["root"]


def test_a_child_has_no_more_than_its_parent(dev_server):
    parent = dev_server.client(
        dev_server.policy_token('path "auth/token/create" { capabilities = ["update"] }', "parent")
    )
    dev_server.root.sys.create_or_update_policy("more", 'path "*" { capabilities = ["read"] }')
    assert parent.auth.token.create(policies=["parent"])["auth"]["policies"]
    for policies in (["more"], ["parent", "more"], ["root"]):
        with pytest.raises((Forbidden, InvalidRequest)):
            parent.auth.token.create(policies=policies)


def test_revoking_a_token_revokes_its_tree_and_spares_orphans(dev_server):
    root = dev_server.root
    parent = dev_server.policy_token(
        'path "auth/token/create*" { capabilities = ["update", "sudo"] }\n'
        'path "auth/token/lookup-self" { capabilities = ["read"] }'
    )
    child = dev_server.client(parent).auth.token.create()["auth"]["client_token"]
    grandchild = dev_server.client(child).auth.token.create()["auth"]["client_token"]
    orphan = dev_server.client(child).auth.token.create_orphan()["auth"]["client_token"]
    assert all(dev_server.client(token).is_authenticated() for token in (parent, child, grandchild, orphan))
    root.auth.token.revoke(parent)
    assert [dev_server.client(token).is_authenticated() for token in (parent, child, grandchild)] == [False] * 3
    assert dev_server.client(orphan).is_authenticated()


def test_a_token_for_two_uses_works_twice(dev_server):
    write(dev_server.root, "x", a="1")
    token = dev_server.policy_token('path "secret/data/x" { capabilities = ["read"] }', num_uses=2)
    client = dev_server.client(token)
    assert [read(client, "x"), read(client, "x")] == [{"a": "1"}] * 2
    with pytest.raises(Forbidden):
        read(client, "x")


def test_an_accessor_finds_renews_and_revokes_but_does_not_open(dev_server):
    root = dev_server.root
    made = root.auth.token.create(policies=["default"], ttl="1h", renewable=True)["auth"]
    found = root.auth.token.lookup_accessor(made["accessor"])["data"]
    assert found["accessor"] == made["accessor"] and not found.get("id")
    assert 3500 <= found["ttl"] <= 3600
    assert not dev_server.client(made["accessor"]).is_authenticated()
    assert dev_server.client(made["client_token"]).auth.token.renew_self(increment="2h")["auth"]["lease_duration"] == 7200
    assert made["accessor"] in root.list("auth/token/accessors")["data"]["keys"]
    root.auth.token.revoke_accessor(made["accessor"])
    assert not dev_server.client(made["client_token"]).is_authenticated()


def approle(server, name, **role):
    """Logs a role in once; gives the login."""
    root = server.root
    if "approle/" not in root.sys.list_auth_methods()["data"]:
        root.sys.enable_auth_method("approle")
    root.auth.approle.create_or_update_approle(name, **role)
    role_id = root.auth.approle.read_role_id(name)["data"]["role_id"]
    secret_id = root.auth.approle.generate_secret_id(name)["data"]["secret_id"]
    return server.client().auth.approle.login(role_id=role_id, secret_id=secret_id, use_token=False)["auth"]


def test_a_principal_outlives_its_tokens(dev_server):
    first, second = approle(dev_server, "web"), approle(dev_server, "web")
    other = approle(dev_server, "batch")
    assert first["client_token"] != second["client_token"]
    assert first["entity_id"] == second["entity_id"] != other["entity_id"]
    entity = dev_server.root.secrets.identity.read_entity(first["entity_id"])["data"]
    assert [alias["mount_type"] for alias in entity["aliases"]] == ["approle"]


def test_a_disabled_entity_is_shut_out_and_gets_in_again(dev_server):
    login = approle(dev_server, "web")
    identity = dev_server.root.secrets.identity
    identity.update_entity(login["entity_id"], name="web-server", disabled=True)
    assert not dev_server.client(login["client_token"]).is_authenticated()
    with pytest.raises((Forbidden, InvalidRequest)):
        approle(dev_server, "web")
    identity.update_entity(login["entity_id"], name="web-server", disabled=False)
    assert dev_server.client(login["client_token"]).is_authenticated()
    assert identity.read_entity_by_name("web-server")["data"]["id"] == login["entity_id"]


def test_policies_of_an_entity_reach_its_tokens_at_once(dev_server):
    write(dev_server.root, "x", a="1")
    login = approle(dev_server, "web")
    client = dev_server.client(login["client_token"])
    with pytest.raises(Forbidden):
        read(client, "x")
    dev_server.root.sys.create_or_update_policy("reader", 'path "secret/data/x" { capabilities = ["read"] }')
    dev_server.root.secrets.identity.update_entity(login["entity_id"], policies=["reader"])
    assert read(client, "x") == {"a": "1"}
    assert client.auth.token.lookup_self()["data"]["identity_policies"] == ["reader"]
    dev_server.root.secrets.identity.update_entity(login["entity_id"], policies=[])
    with pytest.raises(Forbidden):
        read(client, "x")


def test_a_secret_id_for_one_use_logs_in_once(dev_server):
    root = dev_server.root
    root.sys.enable_auth_method("approle")
    root.auth.approle.create_or_update_approle("once", secret_id_num_uses=1)
    role_id = root.auth.approle.read_role_id("once")["data"]["role_id"]
    secret_id = root.auth.approle.generate_secret_id("once")["data"]["secret_id"]
    assert dev_server.client().auth.approle.login(role_id, secret_id)["auth"]["client_token"]
    with pytest.raises(InvalidRequest):
        dev_server.client().auth.approle.login(role_id, secret_id)


def test_a_token_bound_to_a_network_is_refused_elsewhere(dev_server):
    login = approle(dev_server, "here", token_bound_cidrs=["127.0.0.0/8"])
    assert dev_server.client(login["client_token"]).is_authenticated()
    with pytest.raises((Forbidden, InvalidRequest)):
        elsewhere = approle(dev_server, "elsewhere", token_bound_cidrs=["192.0.2.0/24"])
        dev_server.client(elsewhere["client_token"]).auth.token.lookup_self()


def test_what_an_auth_mount_gave_dies_with_it(dev_server):
    login = approle(dev_server, "web")
    assert dev_server.client(login["client_token"]).is_authenticated()
    dev_server.root.sys.disable_auth_method("approle")
    assert not dev_server.client(login["client_token"]).is_authenticated()


def test_secrets_of_an_unmounted_engine_do_not_come_back(dev_server):
    root = dev_server.root
    root.sys.enable_secrets_engine("kv", path="team", options={"version": "2"})
    root.secrets.kv.v2.create_or_update_secret("x", secret={"a": "1"}, mount_point="team")
    root.sys.move_backend("team", "group")
    moved = root.secrets.kv.v2.read_secret_version("x", mount_point="group", raise_on_deleted_version=True)
    assert moved["data"]["data"] == {"a": "1"}
    root.sys.disable_secrets_engine("group")
    root.sys.enable_secrets_engine("kv", path="group", options={"version": "2"})
    with pytest.raises(InvalidPath):
        root.secrets.kv.v2.read_secret_version("x", mount_point="group", raise_on_deleted_version=True)


def test_another_namespace_than_the_one_there_is_is_refused_and_not_passed_over(dev_server):
    write(dev_server.root, "x", a="canary")
    headers = {"X-Vault-Token": dev_server.root_token, "X-Vault-Namespace": "team"}
    answer = requests.get(f"{dev_server.url}/v1/secret/data/x", headers=headers, timeout=10)
    assert answer.status_code >= 400 and "canary" not in answer.text, answer.text


def test_a_wrapped_answer_holds_no_value_and_opens_once(dev_server):
    write(dev_server.root, "x", a="canary")
    headers = {"X-Vault-Token": dev_server.root_token, "X-Vault-Wrap-TTL": "60"}
    answer = requests.get(f"{dev_server.url}/v1/secret/data/x", headers=headers, timeout=10)
    assert answer.status_code == 200 and "canary" not in answer.text, answer.text
    wrapping = answer.json()["wrap_info"]["token"]
    # The wrapping token opens what it holds and nothing else.
    with pytest.raises(Forbidden):
        read(dev_server.client(wrapping), "x")
    assert dev_server.client(wrapping).sys.unwrap()["data"]["data"] == {"a": "canary"}
    with pytest.raises((Forbidden, InvalidRequest)):
        dev_server.client(wrapping).sys.unwrap()


def test_a_person_logs_in_with_name_and_password(dev_server):
    root = dev_server.root
    root.sys.enable_auth_method("userpass")
    root.auth.userpass.create_or_update_user("ada", password="S3cret!", policies=["default"])
    login = dev_server.client().auth.userpass.login("ada", "S3cret!")["auth"]
    assert login["entity_id"] and login["policies"] == ["default"]
    for name, password in (("ada", "S3cret"), ("ada", ""), ("eve", "S3cret!")):
        with pytest.raises((Forbidden, InvalidRequest)):
            dev_server.client().auth.userpass.login(name, password)


def test_hvac_and_the_server_agree_on_who_is_asking(dev_server):
    me = dev_server.root.auth.token.lookup_self()["data"]
    assert (me["policies"], me["ttl"], me["type"], me["orphan"]) == (["root"], 0, "service", True)
    assert isinstance(dev_server.root, hvac.Client)
