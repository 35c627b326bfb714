"""Canaries: secrets that are told from all others, looked for in every byte that the process leaves or shows.

`test_trail.py` sweeps what is left after an orderly end; here the power goes, the environment holds secrets of its own,
and the command line is asked for what fails.
"""

import os
import pathlib
import secrets

import pytest
from house import Server, wait_until


class Cage(Server):
    """A development server whose environment holds credentials, and whose temporary files go to a folder of its own."""

    def __init__(self, folder, arguments, environment):
        super().__init__(folder, arguments)
        self.environment = environment
        self.temporary = folder / "tmp"
        self.temporary.mkdir()

    def env(self, client=True, **more):
        if client:
            return super().env(client, **more)
        return super().env(client, TMPDIR=str(self.temporary), **self.environment, **more)


def fresh(what, into):
    into[what] = f"canary-{secrets.token_hex(12)}"
    return into[what]


@pytest.fixture
def caged(tmp_path, servers):
    """A server that says all it can, on disk, with canaries in its environment; and the canaries."""
    canaries = {}
    environment = {
        "HTTPS_PROXY": f"http://user:{fresh('password of a proxy', canaries)}@127.0.0.1:1",
        "http_proxy": f"http://user:{fresh('password of another proxy', canaries)}@127.0.0.1:1",
        "VAULT_TOKEN": fresh("token in the environment", canaries),
        "AWS_SECRET_ACCESS_KEY": fresh("key of a cloud", canaries),
        "DATABASE_URL": f"postgres://root:{fresh('password of a database', canaries)}@db/x",
        "RUST_LOG": "trace",
        "RUST_BACKTRACE": "1",
    }
    folder = tmp_path / "caged"
    folder.mkdir()
    flags = ["server", "-dev", "-dev-listen-address=127.0.0.1:PORT", f"-dev-data={folder}/kept", "-log-level=trace"]
    server = Cage(folder, flags, environment)
    servers.append(server)
    server.start()
    server.root_token = server.banner().split("Root Token: ")[-1].split()[0]
    canaries["root token"] = server.root_token
    return server, canaries


def use(server, canaries):
    """Everything that takes or gives a secret, in ways that work."""
    root = server.root
    kv = root.secrets.kv.v2
    for number in range(30):
        kv.create_or_update_secret(f"app/{number}", secret={"password": fresh(f"value {number}", canaries)})
    kv.patch("app/1", secret={"more": [{"deep": fresh("patched value", canaries)}]})
    kv.read_secret_version("app/1", raise_on_deleted_version=True)
    root.write("cubbyhole/mine", value=fresh("value in a cubbyhole", canaries))
    root.sys.enable_auth_method("userpass")
    root.auth.userpass.create_or_update_user("ann", fresh("password of a user", canaries), policies="default")
    login = server.client().auth.userpass.login("ann", canaries["password of a user"])
    canaries["token of a user"] = login["auth"]["client_token"]
    root.sys.enable_auth_method("approle")
    root.auth.approle.create_or_update_approle("app")
    role_id = root.auth.approle.read_role_id("app")["data"]["role_id"]
    canaries["secret id"] = root.auth.approle.generate_secret_id("app")["data"]["secret_id"]
    login = server.client().auth.approle.login(role_id, canaries["secret id"])
    canaries["token of a role"] = login["auth"]["client_token"]
    batch = root.auth.token.create(type="batch", policies=["default"])["auth"]["client_token"]
    canaries["batch token"] = batch
    server.client(batch).auth.token.lookup_self()
    canaries["wrapping token"] = root.sys.wrap(payload={"x": fresh("wrapped value", canaries)}, ttl="60")["wrap_info"]["token"]
    opened = server.root.sys.wrap(payload={"x": "y"}, ttl="60")["wrap_info"]["token"]
    server.client(opened).sys.unwrap()
    canaries["opened wrapping token"] = opened


def left_behind(server):
    """Every file of the server but those whose purpose is to hold a key, and what it printed after its banner."""
    found = {}
    for path in server.folder.rglob("*"):
        if path.is_file() and not path.is_symlink() and path.name not in ("root.token", "unseal.key", ".vault-token"):
            data = path.read_bytes()
            found[path] = data.split(b"==> Listening on", 1)[-1] if path == server.out else data
    return found


def none_of(canaries, files):
    for what, value in canaries.items():
        for path, data in files.items():
            assert value.encode() not in data, f"the {what} is in {path.name}"


def test_a_killed_server_leaves_no_secret_in_any_file(caged):
    server, canaries = caged
    server.cli("audit", "enable", "file", f"file_path={server.folder}/audit.log")
    use(server, canaries)
    wait_until("the device has it", lambda: "auth/approle/login" in (server.folder / "audit.log").read_text())
    running = left_behind(server)
    server.kill()
    files = left_behind(server)
    names = {path.name for path in files}
    # The log ahead of the database is there because nobody could fold it in.
    assert {"strongroom.db", "strongroom.db-wal", "audit.log"} <= names and any(name.endswith(".jsonl") for name in names)
    none_of(canaries, running)
    none_of(canaries, files)
    assert list(server.temporary.iterdir()) == [], "it has left a file in the folder for temporary ones"


def test_the_process_shows_no_secret_of_its_users_to_the_machine(caged):
    server, canaries = caged
    given = {value for name, value in canaries.items() if name != "root token"}
    use(server, canaries)
    process = pathlib.Path(f"/proc/{server.process.pid}")
    limits = (process / "limits").read_text()
    assert next(line for line in limits.splitlines() if line.startswith("Max core file size")).split()[4:6] == ["0", "0"]
    shown = {name: (process / name).read_bytes() for name in ("cmdline", "comm", "stat", "status")}
    none_of(canaries, {pathlib.Path(name): data for name, data in shown.items()})
    if os.geteuid() == 0:
        # What its starter put there is the starter's; it adds nothing.
        environment = (process / "environ").read_bytes()
        none_of({what: value for what, value in canaries.items() if value not in given}, {process / "environ": environment})
    links = [os.readlink(link) for link in (process / "fd").iterdir() if link.is_symlink()] if os.geteuid() == 0 else []
    assert not [link for link in links if link.startswith("/tmp") and not link.startswith(str(server.folder))], links


def test_metrics_and_states_show_no_secret(caged):
    server, canaries = caged
    use(server, canaries)
    root = server.root
    paths = (
        "sys/metrics", "sys/host-info", "sys/in-flight-req", "sys/config/state/sanitized", "sys/internal/specs/openapi",
        "sys/mounts", "sys/auth", "sys/audit", "sys/internal/ui/mounts", "sys/loggers", "sys/health", "sys/seal-status",
    )
    for path in paths:
        answer = root.adapter.get(f"/v1/{path}", raise_exception=False)
        text = answer.text if hasattr(answer, "text") else str(answer)
        none_of(canaries, {pathlib.Path(path): text.encode()})


def failing(canaries):
    """Command lines that end in failure, each with a secret where one may stand."""
    value = fresh("value", canaries)
    yield ("kv", "put", "secret/app", "-"), f'{{"password": "{value}"'
    yield ("kv", "put", "no/such/mount", "password=-"), value
    yield ("kv", "put", "-cas=99", "secret/app", "password=-"), value
    yield ("kv", "patch", "secret/none", "password=-"), value
    yield ("write", "auth/approle/login", "role_id=x", "secret_id=-"), fresh("secret id", canaries)
    yield ("write", "auth/userpass/login/ann", "password=-"), fresh("password", canaries)
    yield ("login", "-method=userpass", "username=ann", "password=-"), fresh("password of a login", canaries)
    yield ("login", "-"), fresh("token of a login", canaries)
    yield ("operator", "unseal"), fresh("share", canaries) + "\n"
    yield ("unwrap", fresh("wrapping token", canaries)), ""
    yield ("token", "lookup", fresh("token", canaries)), ""
    yield ("token", "revoke", fresh("other token", canaries)), ""
    yield ("policy", "write", "broken", "-"), f'path "a" {{ {fresh("word in a policy", canaries)}'


@pytest.mark.parametrize("level", ["info", "trace"])
def test_no_command_repeats_a_secret_when_it_fails(dev_server, level):
    canaries = {}
    for words, stdin in failing(canaries):
        at = 2 if words[0] in ("kv", "operator", "token", "policy") else 1
        loud = (*words[:at], f"-log-level={level}", *words[at:])
        for token in (dev_server.root_token, fresh("wrong token", canaries)):
            done = dev_server.run(
                *loud, stdin=stdin, token=token, RUST_LOG=level, VAULT_LOG_LEVEL=level, RUST_BACKTRACE="1",
                HTTPS_PROXY=f"http://u:{fresh('password of a proxy', canaries)}@127.0.0.1:1",
            )
            if words[0] == "policy" or words == ("operator", "unseal") or words[:2] == ("token", "revoke"):
                pass  # May be told no, or that there was nothing to do.
            else:
                assert done.returncode != 0, (words, done.stdout)
            said = (done.stdout + done.stderr).encode()
            # A policy's text is quoted where it is wrong: it is no secret.
            told = {what: value for what, value in canaries.items() if what != "word in a policy"}
            none_of({**told, "root token": dev_server.root_token}, {pathlib.Path(" ".join(words[:2])): said})
