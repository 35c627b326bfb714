"""Running a server day after day: certificates renewed under load, sockets on the machine, the service manager."""

import http.client
import json
import os
import pathlib
import shutil
import signal
import socket
import ssl
import stat
import subprocess
import threading
import time

import pytest
import requests
from house import ROOT, PATIENCE, Server, make_certificate, wait_until


def configured(folder, servers, listeners, scheme="http", ca=None, more=""):
    """A server of a configuration file with these listeners; PORT stands for its port, FOLDER for its folder."""
    folder.mkdir(exist_ok=True)
    config = folder / "strongroom.hcl"
    server = Server(folder, ["server", f"-config={config}"], scheme=scheme, ca=ca)
    text = f'storage "file" {{\n  path = "FOLDER/data"\n}}\n{listeners}\n{more}\n'
    config.write_text(text.replace("FOLDER", str(folder)).replace("PORT", str(server.port)))
    server.config = config
    servers.append(server)
    return server


def opened(server):
    """Initialised with one share and unsealed."""
    made = server.json("operator", "init", "-key-shares=1", "-key-threshold=1")
    server.shares, server.root_token = made["unseal_keys_b64"], made["root_token"]
    server.unseal()
    return server


def hang_up(server):
    server.process.send_signal(signal.SIGHUP)


def served(server):
    """The certificate that a new connection gets, in PEM."""
    return ssl.get_server_certificate(("127.0.0.1", server.port))


def pem(path):
    """The first certificate of a file, as `served` spells it."""
    return ssl.DER_cert_to_PEM_cert(ssl.PEM_cert_to_DER_cert(path.read_text()))


TLS = """
listener "tcp" {
  address       = "127.0.0.1:PORT"
  tls_cert_file = "FOLDER/tls.crt"
  tls_key_file  = "FOLDER/tls.key"
  %s
}
"""


class Pairs:
    """Certificates that take turns in the place that the configuration names, all trusted through `bundle`."""

    def __init__(self, folder, count=2):
        folder.mkdir()
        self.folder = folder
        self.pairs = [make_certificate(folder, name=f"pair{number}") for number in range(count)]
        self.bundle = folder / "bundle.pem"
        self.bundle.write_text("".join(certificate.read_text() for certificate, _ in self.pairs))

    def put(self, number):
        """Puts one in place, and gives it as it will be served."""
        certificate, key = self.pairs[number % len(self.pairs)]
        shutil.copy(certificate, self.folder / "tls.crt")
        shutil.copy(key, self.folder / "tls.key")
        return pem(certificate)


class Load:
    """Threads that ask without pause, some over one connection, some over a new one each time."""

    def __init__(self, server):
        self.server, self.errors, self.asked, self.over = server, [], 0, threading.Event()
        work = [self.keep_alive, self.keep_alive, self.connect_anew, self.connect_anew]
        self.threads = [threading.Thread(target=one) for one in work]
        for thread in self.threads:
            thread.start()

    def one(self, connection):
        headers = {"X-Vault-Token": self.server.root_token}
        body = json.dumps({"data": {"n": "1"}})
        method = "POST" if self.asked % 3 == 0 else "GET"
        connection.request(method, "/v1/secret/data/x", body if method == "POST" else None, headers)
        answer = connection.getresponse()
        answer.read()
        if answer.status != 200:
            self.errors.append(answer.status)
        self.asked += 1

    def connect(self):
        context = ssl.create_default_context(cafile=str(self.server.ca))
        connection = http.client.HTTPSConnection("127.0.0.1", self.server.port, context=context, timeout=PATIENCE)
        connection.connect()
        # A connection that ended would otherwise be made again in silence.
        connection.auto_open = 0
        return connection

    def keep_alive(self):
        try:
            connection = self.connect()
            while not self.over.is_set():
                self.one(connection)
            connection.close()
        except Exception as error:
            self.errors.append(repr(error))

    def connect_anew(self):
        while not self.over.is_set():
            try:
                connection = self.connect()
                self.one(connection)
                connection.close()
            except Exception as error:
                self.errors.append(repr(error))

    def end(self):
        self.over.set()
        for thread in self.threads:
            thread.join(PATIENCE)
        assert not any(thread.is_alive() for thread in self.threads)


def test_twenty_reloads_under_load_cost_no_request(tmp_path, servers):
    pairs = Pairs(tmp_path / "server")
    before = pairs.put(0)
    server = opened(configured(pairs.folder, servers, TLS % "", "https", pairs.bundle).start())
    server.root.sys.enable_secrets_engine("kv", path="secret", options={"version": "2"})
    server.cli("kv", "put", "secret/x", "n=0")
    load = Load(server)
    try:
        for number in range(1, 21):
            seen = load.asked
            after = pairs.put(number)
            assert after != before
            hang_up(server)
            wait_until(f"certificate {number} is served", lambda: served(server) == after)
            wait_until("requests went on meanwhile", lambda: load.errors or load.asked > seen + 20)
            before = after
    finally:
        load.end()
    assert load.errors == [] and load.asked > 400
    print(f"{load.asked} requests over 20 reloads")


def test_a_broken_certificate_leaves_the_old_one_and_the_log_says_why(tmp_path, servers):
    pairs = Pairs(tmp_path / "server")
    old = pairs.put(0)
    server = configured(pairs.folder, servers, TLS % "", "https", pairs.bundle, 'log_level = "info"').start()
    breakages = [
        ("cut short", lambda: (pairs.folder / "tls.crt").write_text(old[:200]), "holds no certificate"),
        ("of another key", lambda: shutil.copy(pairs.pairs[1][0], pairs.folder / "tls.crt"), "does not fit the key"),
        ("gone", lambda: (pairs.folder / "tls.key").unlink(), "tls.key: cannot be read"),
    ]
    for what, break_it, why in breakages:
        said = server.said().count("the old one stays")
        break_it()
        hang_up(server)
        wait_until(f"the log tells of one {what}", lambda: server.said().count("the old one stays") > said)
        assert why in server.said(), what
        assert served(server) == old, what
        pairs.put(0)
    new = pairs.put(1)
    hang_up(server)
    wait_until("a good one is taken after all", lambda: served(server) == new)
    assert "PRIVATE KEY" not in server.said() and old.splitlines()[1] not in server.said()


def openssl(*words):
    subprocess.run(["openssl", *map(str, words)], check=True, capture_output=True)


def make_client(folder, name):
    """An authority and a client certificate that it signed."""
    ca, ca_key, key, ask, signed = (folder / f"{name}{end}" for end in ("-ca.crt", "-ca.key", ".key", ".csr", ".crt"))
    curve = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-noenc")
    openssl("req", "-x509", *curve, "-days", 2, "-subj", f"/CN={name} authority", "-keyout", ca_key, "-out", ca)
    openssl("req", *curve, "-subj", f"/CN={name}", "-keyout", key, "-out", ask)
    leaf = folder / "leaf.ext"
    leaf.write_text("basicConstraints=CA:FALSE\nextendedKeyUsage=clientAuth\nsubjectAltName=DNS:client\n")
    openssl("x509", "-req", "-in", ask, "-CA", ca, "-CAkey", ca_key, "-CAcreateserial", "-days", 2,
            "-extfile", leaf, "-out", signed)
    return ca, (str(signed), str(key))


def test_authorities_of_clients_are_reloaded_too(tmp_path, servers):
    pairs = Pairs(tmp_path / "server")
    pairs.put(0)
    (old_ca, old), (new_ca, new) = make_client(tmp_path, "old"), make_client(tmp_path, "new")
    place = pairs.folder / "clients.pem"
    shutil.copy(old_ca, place)
    demand = 'tls_require_and_verify_client_cert = true\n  tls_client_ca_file = "FOLDER/clients.pem"'
    server = configured(pairs.folder, servers, TLS % demand, "https", pairs.bundle)
    server.spawn()

    def welcome(pair):
        try:
            answer = requests.get(f"{server.url}/v1/sys/seal-status", verify=str(pairs.bundle), cert=pair, timeout=5)
            return answer.status_code == 200
        except requests.exceptions.ConnectionError:
            return False

    wait_until("the server answers", lambda: welcome(old))
    assert not welcome(new) and not welcome(None)
    shutil.copy(new_ca, place)
    assert welcome(old), "a file that changed does nothing until it is asked for"
    hang_up(server)
    wait_until("the new authority counts", lambda: welcome(new))
    assert not welcome(old) and not welcome(None)
    # Without authorities nobody could be told from anybody: the file is refused, and those in force stay.
    place.write_text("")
    hang_up(server)
    wait_until("the log says so", lambda: "clients.pem: holds no certificate" in server.said())
    assert welcome(new) and not welcome(old) and not welcome(None)


def test_the_level_of_the_log_is_reloaded_and_a_broken_file_changes_nothing(tmp_path, servers):
    listener = 'listener "tcp" {\n  address = "127.0.0.1:PORT"\n  tls_disable = true\n}'
    server = opened(configured(tmp_path / "server", servers, listener, more='log_level = "warn"').start())

    def levels():
        return {one["level"] if isinstance(one, dict) else one for one in loggers().values()}

    def loggers():
        answer = requests.get(f"{server.url}/v1/sys/loggers", headers={"X-Vault-Token": server.root_token}, timeout=5)
        return answer.json()["data"]

    assert levels() == {"warn"}
    good = server.config.read_text().replace('"warn"', '"debug"')
    server.config.write_text(good)
    hang_up(server)
    wait_until("the new level counts", lambda: levels() == {"debug"})
    server.config.write_text(good.replace('"debug"', '"trace"') + "\nlistener = [\n")
    hang_up(server)
    wait_until("the log says so", lambda: "cannot be read again, and what is in force stays" in server.said())
    assert levels() == {"debug"} and server.process.poll() is None
    server.config.write_text(good.replace('"debug"', '"error"'))
    hang_up(server)
    wait_until("the mended file counts", lambda: levels() == {"error"})


UNIX = """
listener "tcp" {
  address     = "127.0.0.1:PORT"
  tls_disable = true
}
listener "unix" {
  address     = "FOLDER/strongroom.sock"
  socket_mode = "0660"
}
"""


def test_a_unix_socket_serves_and_the_trail_says_so(tmp_path, servers):
    server = opened(configured(tmp_path / "server", servers, UNIX).start())
    path = server.folder / "strongroom.sock"
    here = {"VAULT_ADDR": f"unix://{path}"}
    assert stat.S_ISSOCK(path.stat().st_mode) and stat.S_IMODE(path.stat().st_mode) == 0o660
    server.cli("secrets", "enable", "-path=secret", "-version=2", "kv", **here)
    server.cli("kv", "put", "secret/x", "password=S3cret!", **here)
    assert server.cli("kv", "get", "-field=password", "secret/x", **here) == "S3cret!"
    assert server.run("kv", "get", "secret/x", token="hvs.nobody", **here).returncode == 2
    sources = [entry["source"] for entry in server.outcomes("secret/data/x")]
    assert sources == [{"address": "unix", "port": 0}] * 2

    # Who bound a token to networks meant networks.
    role = {"token_bound_cidrs": ["127.0.0.0/8"], "allowed_policies": ["default"]}
    server.root.write("auth/token/roles/near", **role)
    near = server.root.auth.token.create(role_name="near")["auth"]["client_token"]
    assert server.run("token", "lookup", token=near).returncode == 0
    refused = server.run("token", "lookup", token=near, **here)
    assert refused.returncode == 2 and "permission denied" in refused.stderr

    assert server.stop() == 0
    assert not path.exists(), "it goes with its server"


def test_a_dead_servers_socket_is_taken_over_and_a_living_ones_is_not(tmp_path, servers):
    server = configured(tmp_path / "server", servers, UNIX).start()
    path = server.folder / "strongroom.sock"
    server.kill()
    assert path.exists()
    server.start()
    status = server.run("status", VAULT_ADDR=f"unix://{path}")
    assert status.returncode == 2 and "Initialized" in status.stdout

    second = configured(tmp_path / "second", servers, UNIX.replace("FOLDER/strongroom.sock", str(path)))
    second.spawn()
    assert second.process.wait(PATIENCE) == 1
    assert "somebody listens there" in second.said()
    assert server.run("status", VAULT_ADDR=f"unix://{path}").returncode == 2, "the first one is not disturbed"
    assert not (second.folder / "data").exists(), "nothing half-made is left behind"


BEHIND_PROXY = """
listener "tcp" {
  address                         = "127.0.0.1:PORT"
  tls_disable                     = true
  proxy_protocol_behavior         = "%s"
  proxy_protocol_authorized_addrs = "%s"
}
"""


def said_through(server, header, path="sys/internal/ui/resultant-acl", tls=None):
    """What a connection gets that begins with this header and asks for this path: all bytes."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=5) as plain:
        plain.sendall(header)
        connection = tls.wrap_socket(plain, server_hostname="127.0.0.1") if tls else plain
        ask = f"GET /v1/{path} HTTP/1.1\r\nHost: x\r\nX-Vault-Token: {server.root_token}\r\nConnection: close\r\n\r\n"
        try:
            connection.sendall(ask.encode())
            pieces = []
            while piece := connection.recv(65536):
                pieces.append(piece)
        except ConnectionError:
            return b""
        return b"".join(pieces)


def test_a_proxy_that_passes_on_bytes_says_whom_they_come_from(tmp_path, servers):
    pairs = Pairs(tmp_path / "server")
    pairs.put(0)
    behind = TLS % 'proxy_protocol_behavior = "deny_unauthorized"\n  proxy_protocol_authorized_addrs = ["127.0.0.1"]'
    server = opened(configured(pairs.folder, servers, behind, "https", pairs.bundle).start())
    tls = ssl.create_default_context(cafile=str(pairs.bundle))
    line = b"PROXY TCP4 203.0.113.9 10.0.0.1 4660 8200\r\n"
    block = b"\r\n\r\n\0\r\nQUIT\n" + b"\x21\x11\x00\x0c" + bytes([198, 51, 100, 7, 10, 0, 0, 1, 0, 80, 1, 187])
    for header in (line, block, b""):
        assert said_through(server, header, "sys/policies/acl", tls).startswith(b"HTTP/1.1 200"), header
    sources = [entry["source"] for entry in server.outcomes("sys/policies/acl")]
    assert sources[:2] == [{"address": "203.0.113.9", "port": 4660}, {"address": "198.51.100.7", "port": 80}]
    assert sources[2]["address"] == "127.0.0.1"
    # Not behind TLS, and not twice.
    for broken in (line + line, b"PROXY TCP4 203.0.113.9\r\n", block[:-1]):
        with pytest.raises((ssl.SSLError, OSError)):
            said_through(server, broken, tls=tls)


def test_who_is_no_authorized_proxy_cannot_choose_an_address(tmp_path, servers):
    line = b"PROXY TCP4 203.0.113.9 10.0.0.1 4660 8200\r\n"
    allowing = opened(configured(tmp_path / "a", servers, BEHIND_PROXY % ("allow_authorized", "10.0.0.0/8")).start())
    for header in (line, b""):
        assert said_through(allowing, header, "sys/policies/acl").startswith(b"HTTP/1.1 200")
    assert {entry["source"]["address"] for entry in allowing.outcomes("sys/policies/acl")} == {"127.0.0.1"}
    denying = configured(tmp_path / "b", servers, BEHIND_PROXY % ("deny_unauthorized", "10.0.0.0/8")).start()
    for header in (line, b""):
        assert said_through(denying, header, "sys/health") == b""


class Manager:
    """What systemd is to a service: a datagram socket that is told how it does."""

    def __init__(self, folder):
        self.path = folder / "notify"
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(str(self.path))
        self.socket.settimeout(PATIENCE)

    def next(self, ignore="WATCHDOG=1"):
        """The next message, as the lines that it consists of."""
        while True:
            lines = self.socket.recv(4096).decode().split("\n")
            if lines[0] != ignore:
                return dict(line.split("=", 1) for line in lines if line)


def test_the_service_manager_is_told_how_the_server_does(tmp_path, servers):
    server = configured(tmp_path / "server", servers, UNIX)
    manager = Manager(tmp_path)
    server.process_env = {"NOTIFY_SOCKET": str(manager.path), "WATCHDOG_USEC": "200000"}
    server.spawn()
    assert manager.next() == {"READY": "1"}
    # Ready means just that: who is started after us finds us.
    assert requests.get(f"{server.url}/v1/sys/seal-status", timeout=5).status_code == 200

    began = time.monotonic()
    for _ in range(5):
        assert manager.next(ignore=None) == {"WATCHDOG": "1"}
    assert time.monotonic() - began < 1.5, "five signs of life within five times the patience"

    for _ in range(3):
        before = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        hang_up(server)
        told = manager.next()
        # Type=notify-reload compares the time with that of its signal.
        assert told.pop("RELOADING") == "1" and int(told.pop("MONOTONIC_USEC")) >= before and told == {}
        assert manager.next() == {"READY": "1"}
    server.process.send_signal(signal.SIGTERM)
    assert manager.next() == {"STOPPING": "1"}
    assert server.process.wait(PATIENCE) == 0


def test_a_reload_that_comes_while_the_server_starts_does_not_end_it(tmp_path, servers):
    for number in range(5):
        server = configured(tmp_path / f"server{number}", servers, UNIX)
        server.start()
        # The port takes connections long before the server gets to its signals.
        hang_up(server)
        assert server.run("status").returncode == 2, "still there, and sealed"
        assert server.stop() == 0


def test_a_service_manager_that_is_gone_does_not_matter(tmp_path, servers):
    server = configured(tmp_path / "server", servers, UNIX)
    server.process_env = {"NOTIFY_SOCKET": str(tmp_path / "nobody"), "WATCHDOG_USEC": "garbage"}
    server.start()
    hang_up(server)
    assert server.run("status").returncode == 2
    assert server.stop() == 0


def test_the_sample_configuration_serves(tmp_path, servers, certificate):
    sample = (ROOT / "contrib" / "strongroom.hcl").read_text()
    folder = tmp_path / "server"
    folder.mkdir()
    shutil.copy(certificate[0], folder / "tls.crt")
    shutil.copy(certificate[1], folder / "tls.key")
    server = configured(folder, servers, "", "https", certificate[0])
    text = sample.replace("0.0.0.0:8200", f"127.0.0.1:{server.port}")
    for place in ("/etc/strongroom", "/var/lib/strongroom", "/var/log/strongroom", "/run/strongroom"):
        text = text.replace(place, str(folder))
    # The group is one that the package would make.
    text = "\n".join(line for line in text.splitlines() if "socket_group" not in line)
    server.config.write_text(text)
    checked = server.run("server", "-check", f"-config={server.config}")
    assert (checked.returncode, checked.stdout) == (0, "The configuration is good.\n"), checked.stderr
    server.start()
    opened(server)
    assert server.run("status", VAULT_ADDR=f"unix://{folder}/strongroom.sock").returncode == 0


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd is not installed here")
def test_the_unit_for_systemd_is_well_formed_and_tight(tmp_path):
    unit = tmp_path / "strongroom.service"
    text = (ROOT / "contrib" / "strongroom.service").read_text()
    # Programs that a unit names must be there to be verified.
    unit.write_text(text.replace("/usr/bin/strongroom", "/bin/true"))
    verified = subprocess.run(["systemd-analyze", "verify", "--man=no", unit], capture_output=True, text=True)
    ours = [line for line in verified.stderr.splitlines() if "strongroom" in line]
    assert (verified.returncode, ours) == (0, []), verified.stderr
    rated = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--threshold=20", "--no-pager", unit],
        capture_output=True, text=True,
    )
    # In tenths: at most 2.0 of 10, where 0 lets nothing out.
    assert rated.returncode == 0, rated.stdout[-400:] + rated.stderr
    print(rated.stdout.strip().splitlines()[-1])


@pytest.mark.skipif(not pathlib.Path("/usr/sbin/logrotate").exists(), reason="logrotate is not installed here")
def test_files_are_rotated_without_a_lost_line(production_server, tmp_path):
    server = production_server
    log = server.folder / "audit.log"
    server.cli("audit", "enable", "file", f"file_path={log}")
    wait_until("the device has written", lambda: log.exists() and log.stat().st_size)
    sample = (ROOT / "contrib" / "logrotate.conf").read_text()
    rules = tmp_path / "logrotate.conf"
    lines = [line for line in sample.splitlines() if not line.strip().startswith("su ")]
    text = "\n".join(lines).replace("/var/log/strongroom/*.log", str(log))
    text = text.replace("systemctl reload strongroom.service", f"kill -HUP {server.process.pid}")
    rules.write_text(text)
    os.chmod(rules, 0o600)
    turned = subprocess.run(
        ["/usr/sbin/logrotate", "--force", "--state", tmp_path / "state", rules], capture_output=True, text=True,
    )
    assert turned.returncode == 0, turned.stderr
    wait_until("the file is made anew", log.exists)
    server.cli("policy", "list")
    wait_until("the new file is written", lambda: "sys/policies/acl" in log.read_text())
    old = [path for path in server.folder.glob("audit.log?*")]
    assert len(old) == 1 and "sys/policies/acl" not in old[0].read_text()
    assert stat.S_IMODE(log.stat().st_mode) == 0o600


def told_by(datagrams):
    """What a collector makes of the lines of StatsD: sums of counters, last gauges, numbers and sums of timings."""
    told = {}
    for line in datagrams.decode().split("\n"):
        name, rest = line.rsplit(":", 1)
        value, kind, *rate = rest.split("|")
        times = round(1 / float(rate[0].removeprefix("@"))) if rate else 1
        if kind == "g":
            told[name] = float(value)
        elif kind == "c":
            told[name] = told.get(name, 0) + int(value)
        else:
            assert kind == "ms", line
            count, took = told.get(name, (0, 0))
            told[name] = (count + times, took + times * float(value))
    return told


def test_collectors_that_speak_statsd_get_what_is_counted(new_production):
    datagrams, lines = socket.socket(type=socket.SOCK_DGRAM), socket.socket()
    for listening in (datagrams, lines):
        listening.settimeout(PATIENCE)
        listening.bind(("127.0.0.1", 0))
    lines.listen()
    statsd, statsite = (f"127.0.0.1:{listening.getsockname()[1]}" for listening in (datagrams, lines))
    telemetry = f'telemetry {{\n  statsd_address = "{statsd}"\n  statsite_address = "{statsite}"\n}}'
    server = new_production(more=telemetry)
    connection, _ = lines.accept()
    connection.settimeout(PATIENCE)
    server.initialise().unseal()
    for n in range(5):
        server.cli("kv", "put", "cubbyhole/x", f"n={n}")
    # The end sends what has happened since.
    assert server.stop() == 0
    received, line_text = [], b""
    datagrams.setblocking(False)
    while True:
        try:
            received.append(datagrams.recv(65_536))
        except BlockingIOError:
            break
    assert all(len(datagram) <= 1_400 for datagram in received)
    while chunk := connection.recv(65_536):
        line_text += chunk
    for told in (told_by(b"\n".join(received)), told_by(line_text.removesuffix(b"\n"))):
        assert told["vault.core.unsealed.strongroom"] == 1
        assert told["vault.route.update.cubbyhole-"][0] == 5 and told["vault.route.update.cubbyhole-"][1] > 0
        assert told["vault.audit.log_request"][0] >= 5
        assert told["strongroom.http.request.duration.vault.update.ok"][0] >= 5
    datagrams.close(), lines.close(), connection.close()


def test_a_collector_that_is_not_there_costs_a_line_in_the_log(new_production):
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        gone = nobody.getsockname()[1]
    server = new_production(more=f'telemetry {{\n  statsite_address = "127.0.0.1:{gone}"\n}}')
    server.initialise().unseal()
    assert server.stop() == 0
    assert server.said().count("metrics could not be sent") == 1
