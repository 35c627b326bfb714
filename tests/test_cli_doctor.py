"""The doctor, completion, and manual pages."""

import http.server
import json
import shutil
import subprocess
import threading

import pytest
from house import free_port, make_certificate, wait_until


def findings(server, **env):
    done = server.run("doctor", "-format=json", **env)
    told = json.loads(done.stdout)
    assert (done.returncode == 0) == told["well"], done.stderr
    return done.returncode, {finding["about"]: finding for finding in told["findings"]}


def test_a_healthy_server_needs_nothing(production_server):
    token = production_server.root.auth.token.create(policies=["default"], ttl="2h")["auth"]["client_token"]
    code, found = findings(production_server, token=token)
    assert code == 0 and {finding["state"] for finding in found.values()} == {"ok"}, found
    assert set(found) == {"address", "connection", "tls", "seal", "storage", "trail", "version", "clock", "token"}
    assert "CN=strongroom-test" in found["tls"]["what"] and "29 days" in found["tls"]["what"]
    table = production_server.run("doctor", token=token)
    assert table.returncode == 0 and "problem" not in table.stdout and token not in table.stdout
    assert findings(production_server, token=production_server.root_token)[1]["token"]["state"] == "warning", "root"


def test_each_problem_has_its_cause_and_what_mends_it(production_server, tmp_path):
    server, token = production_server, production_server.root_token

    def problem(about, **env):
        code, found = findings(server, **{"token": token, **env})
        assert code == 1 and found[about]["state"] == "problem" and found[about]["mend"], found
        return found[about]["what"] + " | " + found[about]["mend"]

    assert "nothing listens" in problem("connection", VAULT_ADDR=f"https://127.0.0.1:{free_port()}")
    assert "no-such-host.invalid" in problem("connection", VAULT_ADDR="https://no-such-host.invalid:8200")
    assert "export VAULT_ADDR" in problem("address", VAULT_ADDR="127.0.0.1:8200")
    assert "signed by itself" in problem("tls", VAULT_CACERT="")
    assert "VAULT_TLS_SERVER_NAME=localhost" in problem("tls", VAULT_TLS_SERVER_NAME="elsewhere.example").replace("127.0.0.1", "localhost")
    other, _ = make_certificate(tmp_path, name="other")
    assert "VAULT_CACERT=" in problem("tls", VAULT_CACERT=str(other))
    assert "https://127.0.0.1" in problem("server", VAULT_ADDR=server.url.replace("https:", "http:"))
    assert "strongroom login" in problem("token", token="hvs.nonsense")
    assert "strongroom login" in problem("token", token=None)
    (server.home / ".vault-token").write_text("hvs.nonsense")
    (server.home / ".vault-token").chmod(0o644)
    _, found = findings(server)
    assert "chmod 600" in found["token file"]["mend"] and "hvs.nonsense" not in json.dumps(found)
    server.cli("operator", "seal")
    assert "strongroom operator unseal" in problem("seal")
    # The scheme is not the server's.
    _, found = findings(server, VAULT_SKIP_VERIFY="true")
    assert found["tls"]["state"] == "warning"


def test_a_server_that_is_new_or_something_else(new_production):
    server = new_production()
    code, found = findings(server)
    assert code == 1 and found["seal"]["mend"] == "strongroom operator init"

    class Page(http.server.BaseHTTPRequestHandler):
        body, kind = b"<html>hello</html>", "text/html"

        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Type", self.kind)
            self.end_headers()
            self.wfile.write(self.body)

        def log_message(self, *_):
            pass

    web = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page)
    threading.Thread(target=web.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{web.server_port}"
    try:
        code, found = findings(server, VAULT_ADDR=address)
        assert code == 1 and "neither a Strongroom nor a Vault" in found["server"]["what"]
        # A server whose clock is an hour off, and whose trail cannot be written.
        Page.body = json.dumps({"initialized": True, "sealed": False, "server_time_utc": 1_000_000, "version": "x",
                                "storage_writable": False, "trail_writable": False}).encode()
        code, found = findings(server, VAULT_ADDR=address)
        assert code == 1 and "timedatectl" in found["clock"]["mend"]
        assert {found[name]["state"] for name in ("clock", "storage", "trail")} == {"problem"}
        code, found = findings(server, VAULT_ADDR=address.replace("http:", "https:"))
        assert code == 1 and f"VAULT_ADDR={address}" in found["tls"]["mend"]
    finally:
        web.shutdown()
        web.server_close()


def offered(server, line, **how):
    words = line.split(" ")
    done = server.run("__complete", "--", *words, **{"token": server.root_token, **how})
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.split("\n")[:-1]


def test_paths_are_completed_from_the_server(dev_server):
    dev_server.cli("secrets", "enable", "-path=old", "kv")
    for path in ("secret/app/db", "secret/app/web", "secret/apple", "old/x"):
        dev_server.cli("kv", "put", path, "a=b")
    assert offered(dev_server, "kv get s") == ["secret/"]
    assert offered(dev_server, "kv get secret/ap") == ["secret/app/", "secret/apple"]
    assert offered(dev_server, "kv get secret/app/") == ["secret/app/db", "secret/app/web"]
    assert offered(dev_server, "kv get -mount=secret app/d") == ["app/db"]
    assert offered(dev_server, "kv put secret/app/db pass") == [], "data is the user's"
    assert offered(dev_server, "read secret/") == [f"secret/{b}" for b in ("config", "data/", "delete/", "destroy/", "metadata/", "subkeys/", "undelete/")]
    assert offered(dev_server, "read secret/data/app/") == ["secret/data/app/db", "secret/data/app/web"]
    assert offered(dev_server, "read auth/") == ["auth/token/"] and offered(dev_server, "list old/") == ["old/x"]
    assert offered(dev_server, "policy read d") == ["default"] and offered(dev_server, "token create -policy=d") == ["-policy=default"]
    assert offered(dev_server, "secrets disable ol") == ["old/"]
    assert offered(dev_server, "import .env -to=secret/app/d") == ["-to=secret/app/db"]
    assert offered(dev_server, "can web read secret/app/d") == ["secret/app/db"]
    # Whatever goes wrong is silent.
    for env in ({"token": "hvs.nonsense"}, {"VAULT_ADDR": "http://127.0.0.1:1"}, {"VAULT_ADDR": "nonsense"}, {"VAULT_FORMAT": "x"}):
        assert [path for path in offered(dev_server, "kv get secret/app/", **env) if path.startswith("secret/app/")] == []


def test_bash_completes_a_line(dev_server):
    dev_server.cli("kv", "put", "secret/app/db", "a=b")
    script = """
source <(strongroom completion bash)
complete -p strongroom
try() { COMP_LINE=$1; COMP_POINT=${#1}; COMPREPLY=(); _strongroom 2>/dev/null; echo "${COMPREPLY[*]}"; }
try 'strongroom kv ge'
try 'strongroom kv get secret/app/'
try 'strongroom kv get -format=j'
try 'strongroom kv get -mount=secret app'
COMP_LINE='vault kv get secret/a' COMP_POINT=21 vault vault secret/a get
"""
    said = dev_server.shell(script, VAULT_TOKEN=dev_server.root_token).splitlines()
    assert said == ["complete -F _strongroom strongroom", "get", "secret/app/db", "json", "app/", "secret/app/"]


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_the_other_shells_understand_their_scripts(dev_server, shell):
    if not shutil.which(shell):
        pytest.skip(f"{shell} is not installed")
    script = dev_server.cli("completion", shell)
    done = subprocess.run([shell, "-n"], input=script, capture_output=True, text=True, timeout=20)
    assert (done.returncode, done.stderr) == (0, "")
    if shell == "fish":
        line = script + "\ncomplete -C 'strongroom kv ge'"
        done = subprocess.run(["fish", "-N", "-c", line], env=dev_server.env(), capture_output=True, text=True, timeout=20)
        assert done.stdout.split() == ["get"], done.stderr


def test_completion_is_installed_once_and_taken_out_whole(dev_server):
    start = dev_server.home / ".bashrc"
    start.write_text("alias x=y")
    assert dev_server.run("-autocomplete-install").returncode == 0
    once = start.read_text()
    assert once.startswith("alias x=y\n") and once.count("strongroom completion bash") == 1
    assert "nothing to do" in dev_server.run("-autocomplete-install").stdout and start.read_text() == once
    assert dev_server.run("-autocomplete-uninstall").returncode == 0 and start.read_text() == "alias x=y\n"
    assert dev_server.run("completion", "tcsh").returncode == 1


def test_manual_pages_are_ones_that_formatters_take(dev_server):
    folder = dev_server.folder / "man1"
    assert dev_server.run("man", f"-dir={folder}").returncode == 0
    pages = sorted(folder.glob("*.1"))
    assert len(pages) > 60 and folder / "strongroom-kv-get.1" in pages
    assert dev_server.cli("man", "kv", "get").rstrip() == (folder / "strongroom-kv-get.1").read_text().rstrip()
    assert dev_server.run("man", "nonsense").returncode == 1
    formatters = [["mandoc", "-Tlint", "-Wwarning"], ["groff", "-man", "-ww", "-z", "-Tutf8"]]
    available = [line for line in formatters if shutil.which(line[0])]
    if not available:
        pytest.skip("neither mandoc nor groff is installed")
    for line in available:
        done = subprocess.run([*line, *pages], capture_output=True, text=True, timeout=60)
        assert (done.returncode, done.stdout + done.stderr) == (0, ""), line
