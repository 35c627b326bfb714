"""Users of a real RabbitMQ that die on time, with the unmodified hvac."""

import base64
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import tempfile
import urllib.error
import urllib.request

import hvac
import pytest
from house import free_port, wait_until

ADMIN, PASSWORD = "admin", "r4bbit-canary"
PROGRAM = "/usr/lib/rabbitmq/bin/rabbitmq-server"


def listens(port):
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


class RabbitMq:
    """A RabbitMQ with its management interface, and a directory of Erlang's nodes of its own."""

    def __init__(self):
        assert os.path.exists(PROGRAM), "this test needs a server: apt-get install rabbitmq-server"
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="strongroom-rabbitmq-"))
        self.account = {"user": "rabbitmq", "group": "rabbitmq"} if os.geteuid() == 0 else {}
        self.management, amqp, names = free_port(), free_port(), free_port()
        (self.folder / "enabled_plugins").write_text("[rabbitmq_management].\n")
        (self.folder / "rabbitmq.conf").write_text(
            f"listeners.tcp.default = 127.0.0.1:{amqp}\nmanagement.tcp.ip = 127.0.0.1\n"
            f"management.tcp.port = {self.management}\ndefault_user = {ADMIN}\ndefault_pass = {PASSWORD}\n"
        )
        if self.account:
            for path in (self.folder, *self.folder.iterdir()):
                shutil.chown(path, "rabbitmq", "rabbitmq")
        self.environment = {
            "PATH": os.environ["PATH"], "HOME": str(self.folder), "ERL_EPMD_PORT": str(names),
            "ERL_EPMD_ADDRESS": "127.0.0.1", "RABBITMQ_NODENAME": f"rabbit{self.management}@localhost",
            "RABBITMQ_DIST_PORT": str(free_port()), "RABBITMQ_MNESIA_BASE": f"{self.folder}/mnesia",
            "RABBITMQ_LOG_BASE": f"{self.folder}/log", "RABBITMQ_CONFIG_FILE": f"{self.folder}/rabbitmq.conf",
            "RABBITMQ_ENABLED_PLUGINS_FILE": f"{self.folder}/enabled_plugins",
            "RABBITMQ_PID_FILE": f"{self.folder}/pid", "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "+S 1:1 +sbwt none",
        }
        self.processes = [self.run(["/usr/bin/epmd", "-address", "127.0.0.1", "-port", str(names)])]
        # RabbitMQ ends when it cannot register there.
        wait_until("the directory listens", lambda: listens(names))
        self.processes.append(self.run([PROGRAM]))
        wait_until("RabbitMQ answers", self.is_up, patience=180)

    def is_up(self):
        """Whether it answers. One that ended while it started, on a busy machine, is started again."""
        if self.processes[-1].poll() is not None:
            self.processes[-1] = self.run([PROGRAM])
        return self.lets_in(ADMIN, PASSWORD)

    def run(self, command):
        return subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=self.folder,
            env=self.environment, start_new_session=True, **self.account,
        )

    @property
    def url(self):
        return f"http://127.0.0.1:{self.management}"

    def lets_in(self, username, password):
        """Whether the management interface knows who that is."""
        request = urllib.request.Request(f"{self.url}/api/whoami")
        known = base64.b64encode(f"{username}:{password}".encode()).decode()
        request.add_header("authorization", f"Basic {known}")
        try:
            return urllib.request.urlopen(request, timeout=5).status == 200
        except (urllib.error.URLError, OSError):
            return False

    def close(self):
        for process in reversed(self.processes):
            # The program is a script, and what it started would go on without it.
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)


@pytest.fixture(scope="module")
def rabbitmq():
    server = RabbitMq()
    try:
        yield server
    finally:
        server.close()


def test_hvac_configures_rabbitmq_and_gets_users_that_die_on_time(disk_server, rabbitmq):
    # A token that no start of the server ends, or its leases would end with it.
    made = disk_server.root.auth.token.create_orphan(policies=["root"], ttl="1h")
    disk_server.root_token = made["auth"]["client_token"]
    root = disk_server.root
    root.sys.enable_secrets_engine("rabbitmq")
    engine = root.secrets.rabbitmq
    with pytest.raises(hvac.exceptions.InvalidRequest):
        engine.configure(connection_uri=rabbitmq.url, username=ADMIN, password="wrong")
    engine.configure(connection_uri=rabbitmq.url, username=ADMIN, password=PASSWORD)
    engine.configure_lease(ttl=3600, max_ttl=7200)
    engine.create_role("reader", tags="monitoring", vhosts='{"/": {"configure": "", "write": "", "read": ".*"}}')
    shown = engine.read_role("reader")["data"]
    assert shown["tags"] == "monitoring" and shown["vhosts"]["/"]["read"] == ".*"
    first, second = engine.generate_credentials("reader"), engine.generate_credentials("reader")
    for made in (first, second):
        assert made["lease_duration"] == 3600 and made["renewable"]
        assert rabbitmq.lets_in(made["data"]["username"], made["data"]["password"])
    assert root.sys.renew_lease(first["lease_id"], increment=5400)["lease_duration"] == 5400
    root.sys.revoke_lease(first["lease_id"])
    assert not rabbitmq.lets_in(first["data"]["username"], first["data"]["password"])
    # The server dies and comes back: what was handed out still works, and still ends.
    disk_server.kill()
    disk_server.start()
    assert rabbitmq.lets_in(second["data"]["username"], second["data"]["password"])
    root = disk_server.root
    root.sys.revoke_prefix("rabbitmq/creds/reader")
    assert not rabbitmq.lets_in(second["data"]["username"], second["data"]["password"])
    root.secrets.rabbitmq.delete_role("reader")
    with pytest.raises(hvac.exceptions.InvalidRequest):
        root.secrets.rabbitmq.generate_credentials("reader")
    assert PASSWORD not in disk_server.said() + str(disk_server.trail())
