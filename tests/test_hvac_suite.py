"""hvac's own integration suite, unmodified, against this server: other people's tests.

The suite comes with hvac's source distribution and starts servers itself, by the name `vault`. Every failure must be
one of those below, each with its reason, and every one below must fail: a list that is out of date is a failure too.
`docs/compatibility.md` is written from the same run: with `UPDATE_DOCS=1` it is rewritten, otherwise compared.
"""

import collections
import hashlib
import os
import subprocess
import tarfile
import venv
import xml.etree.ElementTree as ElementTree

import pytest
from house import ROOT, binary

VERSION = "2.4.0"
ENVIRONMENT = ROOT / ".venv-hvac"
REQUIREMENTS = ROOT / "tests" / "hvac_requirements.txt"
REPORT = ROOT / "docs" / "compatibility.md"

# Areas whose engines and methods this version has.
AREAS = [
    "api/secrets_engines/test_kv_v1.py",
    "api/secrets_engines/test_kv_v2.py",
    "api/auth_methods/test_token.py",
    "api/auth_methods/test_approle.py",
    "api/system_backend",
    "v1",
]

PKI = "issues a certificate to have a lease, and there is no PKI engine yet"
GITHUB = "enables the GitHub auth method, which is not there yet"
KNOWN = {
    "api/system_backend/test_auth.py::test_auth_backend_manipulation": GITHUB,
    "v1/test_system_backend.py::test_auth_backend_manipulation": GITHUB,
    "api/system_backend/test_lease.py::test_list_leases": PKI,
    "api/system_backend/test_lease.py::test_read_lease": PKI,
    "api/system_backend/test_lease.py::test_revoke_force": PKI,
    "api/system_backend/test_lease.py::test_revoke_lease": PKI,
    "api/system_backend/test_lease.py::test_revoke_prefix": PKI,
    "v1/test_system_backend.py::test_read_lease": PKI,
    "v1/test_integration.py::test_auth_gcp_alternate_mount_point_with_no_client_token_exception": (
        "enables the Google Cloud auth method, which is not there yet"
    ),
    "v1/test_integration.py::test_write_with_response": "encrypts with the transit engine, which is not there yet",
    "v1/test_integration.py::test_illegal_token": (
        "compares a text that the Python library `requests` has changed; no request reaches a server"
    ),
}


@pytest.fixture(scope="module")
def suite(tmp_path_factory):
    """The suite's folder, from the source distribution."""
    folder = tmp_path_factory.mktemp("hvac")
    python = environment()
    fetch = ["-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", ":all:", "--dest", folder, f"hvac=={VERSION}"]
    subprocess.run([python, *fetch], check=True)
    with tarfile.open(next(folder.glob("hvac-*.tar.gz"))) as archive:
        archive.extractall(folder, filter="data")
    return folder / f"hvac-{VERSION}"


def environment():
    """Python with what the suite needs, made when the list of it has changed."""
    python = ENVIRONMENT / "bin" / "python"
    stamp = ENVIRONMENT / "made-from"
    wanted = hashlib.sha256(REQUIREMENTS.read_bytes()).hexdigest()
    if not (python.exists() and stamp.exists() and stamp.read_text() == wanted):
        venv.create(ENVIRONMENT, clear=True, with_pip=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", "--requirement", REQUIREMENTS], check=True)
        stamp.write_text(wanted)
    return python


def run(suite, folder):
    """Runs the areas; gives (area, test, outcome, why it was skipped) of each test."""
    (folder / "vault").symlink_to(binary())
    report = folder / "report.xml"
    command = [ENVIRONMENT / "bin" / "python", "-m", "pytest", "--override-ini", "addopts=", "-q", f"--junitxml={report}"]
    env = {"PATH": f"{folder}{os.pathsep}{os.environ['PATH']}", "HOME": str(folder), "LANG": "C.UTF-8"}
    areas = [f"tests/integration_tests/{area}" for area in AREAS]
    log = (folder / "log").open("w")
    subprocess.run([*command, *areas], cwd=suite, env=env, stdout=log, stderr=subprocess.STDOUT, timeout=600)
    assert report.exists(), f"the suite did not run: {(folder / 'log').read_text()[-2000:]}"
    for case in ElementTree.parse(report).iter("testcase"):
        module, _ = case.get("classname").rsplit(".", 1)
        file = module.removeprefix("tests.integration_tests.").replace(".", "/") + ".py"
        tags = {child.tag for child in case}
        outcome = "failed" if tags & {"failure", "error"} else "skipped" if "skipped" in tags else "passed"
        skipped = case.find("skipped")
        yield file, case.get("name"), outcome, "" if skipped is None else " ".join(skipped.get("message", "").split())


# What nobody can repeat on a machine with Rust and Python alone.
BY_HAND = """
## Clients tried by hand

On 2026-11-21, against a development server and one with storage, with nothing but the address changed; there is no test that
repeats it. Between them they did KV of both versions, logins by token, AppRole and userpass, PostgreSQL credentials with
renewal, wrapping, sealing, and what is refused. `bao` was built without its server.

| client | what was tried | what stayed different |
|---|---|---|
| Go `github.com/hashicorp/vault/api` 1.23.0, `auth/approle` and `auth/userpass` 0.12.0 | nearly all of its typed surface: `KVv1`, `KVv2`, `Logical`, `Sys`, `Auth().Token()`, `LifetimeWatcher`, wrapped secret ids, clones, 429 | only what this version has not: clusters, plug-ins, `sys/monitor`, PGP |
| Go `github.com/openbao/openbao/api/v2` 2.7.1 | the same program | the same |
| Go `github.com/hashicorp/vault-client-go` 0.4.3 | some seventy typed calls | `KvV2List` of `""` asks for `metadata//` and is sent to the folder; six calls cannot read the numbers and lists that Vault documents, too (`AppRoleReadRole`, `RekeyAttemptReadProgress`, ...) |
| `bao` 2.6.2, the command line | `kv`, `secrets`, `auth`, `policy`, `token`, `lease`, `operator`, `audit`, `login`, `unwrap`, `status`, `debug`, exit codes | `kv scan` (405), `monitor`, `plugin reload`, `operator step-down` (404) |
| `bao agent`, `bao proxy` 2.6.2 | AppRole with wrapped and plain secret id, logging in anew, sink, templates, cache, `env_template` and `exec` | nothing found |
| `consul-template` (August 2026), `envconsul` (May 2026) | both versions of KV, lists, writes, credentials that end and are fetched anew | nothing found |

Of the Terraform provider and External Secrets the sources were read for what they ask and how they read errors; they were not run.
"""


def rendered(results):
    """The page, from the outcomes."""
    counts = collections.defaultdict(collections.Counter)
    for file, _, outcome, _ in results:
        counts[file][outcome] += 1
    lines = [
        "# Compatibility, measured",
        "",
        f"hvac {VERSION}, the Python client of Vault, brings an integration suite that starts servers by the name `vault`.",
        "It runs here unmodified against Strongroom, with every run of the tests (`tests/test_hvac_suite.py`, which also",
        "writes this page). Skipped are tests that hvac itself skips for Vault 1.16 without enterprise features, without",
        "Consul, or for older versions.",
        "",
        "| area | passed | failed | skipped |",
        "|---|---|---|---|",
    ]
    for file in sorted(counts):
        of = counts[file]
        lines.append(f"| `{file}` | {of['passed']} | {of['failed']} | {of['skipped']} |")
    total = sum(counts.values(), collections.Counter())
    lines.append(f"| all | {total['passed']} | {total['failed']} | {total['skipped']} |")
    lines += ["", "## Why some fail", "", "| test | reason |", "|---|---|"]
    lines += [f"| `{test}` | {reason} |" for test, reason in sorted(KNOWN.items())]
    skipped = sorted((f"{file}::{name}", why) for file, name, outcome, why in results if outcome == "skipped")
    lines += ["", "## Why some are skipped", "", "In hvac's own words.", "", "| test | reason |", "|---|---|"]
    lines += [f"| `{test}` | {why.replace('|', '/')} |" for test, why in skipped]
    return "\n".join(lines) + "\n" + BY_HAND


def test_hvac_own_suite_passes_but_for_what_is_listed(suite, tmp_path):
    results = list(run(suite, tmp_path))
    failed = {f"{file}::{name}" for file, name, outcome, _ in results if outcome == "failed"}
    log = (tmp_path / "log").read_text()
    assert all(why for _, _, outcome, why in results if outcome == "skipped"), "skipped without a reason"
    assert failed - KNOWN.keys() == set(), f"fail without a reason:\n{log[-6000:]}"
    assert KNOWN.keys() - failed == set(), "pass now: take them off the list"
    page = rendered(results)
    if os.environ.get("UPDATE_DOCS"):
        REPORT.write_text(page)
    assert REPORT.read_text() == page, "docs/compatibility.md is out of date: run this test with UPDATE_DOCS=1"
