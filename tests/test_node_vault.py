"""node-vault, the JavaScript client that npm has, unmodified, against this server: a second client by other people.

`tests/node/package-lock.json` names the versions and their checksums; `npm ci` puts them into `tests/node/node_modules`.
"""

import hashlib
import os
import re
import subprocess

import pytest
from house import ROOT

FOLDER = ROOT / "tests" / "node"
LOCK = FOLDER / "package-lock.json"


@pytest.fixture(scope="module")
def node_vault():
    """The client, installed when the list of what it needs has changed."""
    stamp = FOLDER / "node_modules" / ".made-from"
    wanted = hashlib.sha256(LOCK.read_bytes()).hexdigest()
    if not (stamp.exists() and stamp.read_text() == wanted):
        subprocess.run(["npm", "ci", "--silent"], cwd=FOLDER, check=True, timeout=300)
        stamp.write_text(wanted)
    return FOLDER / "session.js"


def run(session, server, life, **env):
    done = subprocess.run(
        ["node", session, life], env=server.env(**env), cwd=FOLDER, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stdout + done.stderr
    steps = [line for line in done.stdout.splitlines() if line.startswith("ok: ")]
    assert steps and done.stdout.splitlines()[-1] == f"{len(steps)} steps", done.stdout


def test_node_vault_does_a_days_work(node_vault, start_dev):
    server = start_dev()
    run(node_vault, server, "open", VAULT_TOKEN=server.root_token, AUDIT_FILE=str(server.folder / "audit.log"))


def test_node_vault_initialises_and_unseals_a_server_with_tls(node_vault, new_production):
    server = new_production()
    run(node_vault, server, "fresh", NODE_EXTRA_CA_CERTS=str(server.ca))


def test_what_npm_installs_is_named_with_its_checksum_and_without_a_host(node_vault):
    text = LOCK.read_text()
    assert "resolved" not in text and not re.search(r"https?://[^\"]*(npm|registry)", text)
    packages = text.count('"node_modules/')
    assert packages > 20 and text.count('"integrity": "sha512-') == packages
    assert os.path.isfile(FOLDER / ".npmrc") and "//" not in (FOLDER / ".npmrc").read_text()
