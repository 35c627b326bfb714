"""A Strongroom server under test: its process, its folder, its clients.

Each server has a port, a folder and a home of its own, and nothing of the environment that tests were started in. The
command line is run as a user runs it; Python speaks through the unmodified hvac. Waiting is always for something, with
a deadline.
"""

import json
import os
import pathlib
import random
import signal
import socket
import subprocess
import time

import hvac

ROOT = pathlib.Path(__file__).resolve().parent.parent
PATIENCE = 20.0


def binary():
    """The program under test: the one `cargo xtask test` built, or the last debug build."""
    path = pathlib.Path(os.environ.get("STRONGROOM_BINARY", ROOT / "target" / "debug" / "strongroom"))
    assert path.is_file(), f"{path} is not there: run `cargo xtask test --only python`, or `cargo build` first"
    return path


def free_port():
    """A port that nobody listens on now, and that no outgoing connection is given: a server that is started again on it
    would find it taken."""
    given_out = pathlib.Path("/proc/sys/net/ipv4/ip_local_port_range").read_text(encoding="ascii")
    first, last = map(int, given_out.split())
    # A kernel that gives out nearly all of them leaves no choice.
    drawn = [port for port in random.sample(range(10_000, 60_000), 1_000) if not first <= port <= last] + [0]
    for port in drawn:
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return probe.getsockname()[1]
    raise AssertionError("the kernel has no free port")


def wait_until(what, condition, patience=PATIENCE):
    """Waits until `condition` gives something true, and returns that."""
    deadline = time.monotonic() + patience
    while True:
        result = condition()
        if result:
            return result
        assert time.monotonic() < deadline, f"waited {patience} s in vain until {what}"
        time.sleep(0.02)


class Server:
    """One server over all its lives: `start`, `kill`, `stop` keep folder and port."""

    def __init__(self, folder, arguments, scheme="http", ca=None, port=None):
        self.folder = folder
        self.home = folder / "home"
        self.home.mkdir(exist_ok=True)
        self.bin = folder / "bin"
        self.bin.mkdir(exist_ok=True)
        for name in ("strongroom", "vault"):
            if not (self.bin / name).exists():
                (self.bin / name).symlink_to(binary())
        self.port = port or free_port()
        self.url = f"{scheme}://127.0.0.1:{self.port}"
        self.ca = ca
        self.arguments = [str(argument).replace("PORT", str(self.port)) for argument in arguments]
        self.out = folder / "stdout.log"
        self.err = folder / "stderr.log"
        self.process = None
        self.lives = 0
        # How the process is started besides: Python takes `restore_signals=False` to leave SIGXFSZ ignored.
        self.process_options = {}
        # What the process finds in its environment besides.
        self.process_env = {}
        self.root_token = None
        self.shares = []

    # --- life ---

    def start(self):
        """Starts the process and waits until it answers."""
        self.spawn()
        wait_until("the server answers", self._answers)
        return self

    def spawn(self):
        """Starts the process, whatever becomes of it."""
        self.lives += 1
        with self.out.open("ab") as out, self.err.open("ab") as err:
            self.process = subprocess.Popen(
                [self.bin / "strongroom", *self.arguments],
                stdin=subprocess.DEVNULL, stdout=out, stderr=err, env=self.env(client=False, **self.process_env),
                cwd=self.folder, **self.process_options,
            )

    def _answers(self):
        assert self.process.poll() is None, f"the server ended with {self.process.returncode}: {self.said()}"
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1):
                pass
        except OSError:
            return False
        # A development server listens before it has made its root token, and then says so, once a life.
        return "-dev" not in self.arguments or self.out.read_text().count("==> Listening on") == self.lives

    def kill(self):
        """The power goes."""
        self.process.kill()
        self.process.wait()

    def stop(self):
        """As an init system stops it; returns the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=PATIENCE)

    def close(self):
        if self.process and self.process.poll() is None:
            self.kill()

    def said(self):
        """All that the server wrote on standard output and standard error."""
        return self.out.read_text() + self.err.read_text()

    def banner(self):
        return self.out.read_text()

    # --- clients ---

    def env(self, client=True, **more):
        """A user's environment: nothing of ours leaks in."""
        env = {"PATH": f"{self.bin}:{os.environ['PATH']}", "HOME": str(self.home), "LANG": "C.UTF-8"}
        if client:
            env["VAULT_ADDR"] = self.url
            if self.ca:
                env["VAULT_CACERT"] = str(self.ca)
        env.update({name: value for name, value in more.items() if value is not None})
        return env

    def run(self, *words, token=None, stdin="", program="strongroom", **env):
        """A command line, as typed; nothing is expected of its end."""
        if token:
            env["VAULT_TOKEN"] = token
        return subprocess.run(
            [self.bin / program, *words],
            input=stdin, env=self.env(**env), cwd=self.folder, capture_output=True, text=True, timeout=60,
        )

    def cli(self, *words, **how):
        """A command line that must end well; returns what it printed."""
        how.setdefault("token", self.root_token)
        done = self.run(*words, **how)
        assert done.returncode == 0, f"{words} ended with {done.returncode}: {done.stdout}{done.stderr}"
        return done.stdout

    def json(self, *words, **how):
        """A command line that must end well, with `-format=json`."""
        return json.loads(self.cli(*words, VAULT_FORMAT="json", **how))

    def shell(self, line, **env):
        """A line for a shell, as a reader of the README types it."""
        done = subprocess.run(
            ["bash", "-c", line], env=self.env(**env), cwd=self.folder, capture_output=True, text=True, timeout=60,
        )
        assert done.returncode == 0, f"{line!r} ended with {done.returncode}: {done.stdout}{done.stderr}"
        return done.stdout

    def client(self, token=None):
        """The unmodified hvac; without a token nobody."""
        client = hvac.Client(url=self.url, token=token or "", verify=str(self.ca) if self.ca else True)
        # hvac looks for a token in the environment and in the home of whoever runs the tests.
        client.token = token
        return client

    @property
    def root(self):
        return self.client(self.root_token)

    def policy_token(self, rules, name="rules", **how):
        """A token with one policy."""
        self.root.sys.create_or_update_policy(name, rules)
        return self.root.auth.token.create(policies=[name], no_default_policy=True, **how)["auth"]["client_token"]

    # --- what it keeps ---

    def unseal(self, shares=None):
        for share in (shares or self.shares)[:3]:
            done = self.run("operator", "unseal", stdin=share + "\n")
            assert done.returncode == 0, done.stdout + done.stderr

    def trail_folder(self):
        """The folder of the trail, wherever this configuration puts it."""
        segments = sorted(self.folder.rglob("*.jsonl"))
        assert segments, f"no trail below {self.folder}"
        return segments[0].parent

    def trail(self):
        """The entries of the trail, without checkpoints."""
        lines = []
        for segment in sorted(self.trail_folder().glob("*.jsonl")):
            lines.extend(json.loads(line) for line in segment.read_text().splitlines(keepends=True) if line.endswith("\n"))
        return [line for line in lines if "kind" in line]

    def outcomes(self, path):
        """The entries that close a request on this path."""
        return [entry for entry in self.trail() if entry["kind"] == "outcome" and entry["path"] == path]


def make_certificate(folder, key=("ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"), name="server"):
    """A self-signed certificate for 127.0.0.1, made as the manuals say; returns certificate and key (PKCS#8)."""
    certificate, secret = folder / f"{name}.crt", folder / f"{name}.key"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", *key, "-noenc", "-days", "30", "-subj", "/CN=strongroom-test",
         "-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost", "-keyout", secret, "-out", certificate],
        check=True, capture_output=True,
    )
    return certificate, secret


def write_config(folder, certificate, key, storage=None, more=""):
    """A configuration file as Vault's operators write it; PORT is filled in by the server's `arguments`."""
    storage = storage or f'storage "file" {{\n  path = "{folder}/data"\n}}'
    text = f"""
# Comments are allowed.
{storage}

listener "tcp" {{
  address       = "127.0.0.1:PORT"
  tls_cert_file = "{certificate}"
  tls_key_file  = "{key}"
}}

disable_mlock = true
{more}
"""
    path = folder / "strongroom.hcl"
    path.write_text(text)
    return path


class Production(Server):
    """A server of a configuration file, with TLS."""

    def __init__(self, folder, certificate, key, **how):
        self.config = write_config(folder, certificate, key, **how)
        super().__init__(folder, ["server", f"-config={self.config}"], scheme="https", ca=certificate)
        self.config.write_text(self.config.read_text().replace("PORT", str(self.port)))

    def initialise(self):
        """Five shares of which three unseal, through the command line."""
        made = self.json("operator", "init", "-key-shares=5", "-key-threshold=3")
        self.shares, self.root_token = made["unseal_keys_b64"], made["root_token"]
        return self
