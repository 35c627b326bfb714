"""The AWS SDK for JavaScript, unmodified from npm. `tests/aws/package-lock.json` names versions and checksums."""

import hashlib
import json
import subprocess

import pytest
from aws_house import environment
from house import ROOT

FOLDER = ROOT / "tests" / "aws"
LOCK = FOLDER / "package-lock.json"


@pytest.fixture(scope="module")
def sdk():
    """The SDK, installed when the list of what it needs has changed."""
    stamp = FOLDER / "node_modules" / ".made-from"
    wanted = hashlib.sha256(LOCK.read_bytes()).hexdigest()
    if not (stamp.exists() and stamp.read_text() == wanted):
        subprocess.run(["npm", "ci", "--silent"], cwd=FOLDER, check=True, timeout=300)
        stamp.write_text(wanted)
    return FOLDER / "session.mjs"


def test_the_javascript_sdk_reads_and_writes_secrets(sdk, start_dev):
    server = start_dev()
    done = subprocess.run(
        ["node", sdk], env=server.env(client=False, **environment(server)), cwd=FOLDER, capture_output=True, text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads(done.stdout) == {
        "requestId": True, "text": "hunter2", "bytes": [0, 255], "created": True,
        "stages": ["AWSCURRENT", "AWSPREVIOUS"], "batch": [1, "ResourceNotFoundException"], "listed": ["js/a"],
        "error": [True, "ResourceNotFoundException", "Secrets Manager can't find the specified secret.", 400],
    }


def test_the_javascript_sdk_reads_and_writes_parameters(sdk, start_dev):
    server = start_dev()
    done = subprocess.run(
        ["node", sdk.with_name("parameters.mjs")], env=server.env(client=False, **environment(server)), cwd=FOLDER,
        capture_output=True, text=True, timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads(done.stdout) == {
        "put": 1, "got": ["hunter2", "SecureString", True], "several": ["/none"], "folder": ["/js/a", "/js/s"], "pages": 2,
        "missing": [True, "ParameterNotFound", True, 400], "taken": [True, "ParameterAlreadyExists", True, 400],
    }


def test_the_lock_file_names_no_host():
    text = LOCK.read_text()
    assert "resolved" not in text and text.count('"integrity": "sha512-') == text.count('"node_modules/')
