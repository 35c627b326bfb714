"""What strangers can do to the process: hostile paths, bodies, headers, connections; and what the host can see of it."""

import json
import os
import pathlib
import socket
import ssl
import subprocess
import time

import pytest
import requests
from house import binary


def talk(server, data, ended=False):
    """Sends raw bytes and returns all that comes back until the server closes; `ended` says that no more will be sent."""
    answer = b""
    with socket.create_connection(("127.0.0.1", server.port), timeout=15) as stream:
        try:
            stream.sendall(data)
            if ended:
                stream.shutdown(socket.SHUT_WR)
            while part := stream.recv(65536):
                answer += part
        except OSError:
            pass  # Closed in the middle: what was said until then counts.
    return answer


def status(answer):
    return int(answer.split(b" ", 2)[1]) if answer.startswith(b"HTTP/1.") else None


def get(server, target, *headers):
    lines = [f"GET {target} HTTP/1.1", "Host: x", f"X-Vault-Token: {server.root_token}", "Connection: close", *headers]
    return talk(server, "\r\n".join(lines).encode("utf-8", "surrogateescape") + b"\r\n\r\n")


def memory(server):
    """Resident memory in MiB."""
    text = pathlib.Path(f"/proc/{server.process.pid}/status").read_text()
    return int(next(line for line in text.splitlines() if line.startswith("VmRSS")).split()[1]) // 1024


def is_well(server):
    assert server.process.poll() is None, server.said()
    assert requests.get(f"{server.url}/v1/sys/health", timeout=10).status_code == 200


@pytest.mark.parametrize(
    "path",
    [
        "secret/data/../x", "secret/data/./x", "secret//data/x", "/secret/data/x", "secret/data/%2e%2e/x",
        "secret/data/.%2e/x", "secret%2f%2e%2e%2fsys/seal-status", "secret/data/a%00b", "secret/data/a%0ab", "secret/data/%ff",
        "secret/data/%c0%ae%c0%ae/x", "secret/data/%e2%80%8bx", "secret/data/" + "a/" * 100 + "x", "secret/data/" + "x" * 4000,
        "../v1/sys/health", "..%2fsys/health",
    ],
)
def test_a_path_that_others_would_read_differently_is_refused(dev_server, path):
    answer = get(dev_server, f"/v1/{path}")
    assert status(answer) in (400, 414), answer
    assert b'"errors"' in answer or status(answer) == 414
    is_well(dev_server)


def test_no_spelling_of_a_path_gets_around_a_deny(dev_server):
    dev_server.cli("kv", "put", "secret/app/private", "a=canary")
    token = dev_server.policy_token(
        'path "secret/data/*" { capabilities = ["read"] }\n'
        'path "secret/data/app/private" { capabilities = ["deny"] }'
    )
    spellings = [
        "secret/data/app/private", "secret/data/app/private/", "secret/data/app//private", "secret/data//app/private",
        "secret/data/app/./private", "secret/data/x/../app/private", "secret/data/app/%70rivate", "secret/data/app%2fprivate",
        "secret%2fdata/app/private", "secret/data/app/private%2f", "secret/data/app/private%20", "secret/data/app/PRIVATE",
        "secret/data/app/private?", "secret/data/app/private#x", "secret/data/app/private;x", "Secret/data/app/private",
        "secret/data/app/priv%2561te", "secret/data/app/private%e2%80%8b", "secret/data/app/private/.", "secret/./data/app/private",
    ]
    for method in ("GET", "HEAD", "LIST", "POST", "PUT", "PATCH", "DELETE"):
        for spelling in spellings:
            lines = [f"{method} /v1/{spelling} HTTP/1.1", "Host: x", f"X-Vault-Token: {token}", "Connection: close",
                     "Content-Type: application/merge-patch+json", "Content-Length: 2"]
            answer = talk(dev_server, "\r\n".join(lines).encode() + b"\r\n\r\n{}")
            assert status(answer) in (400, 403, 404, 405), (method, spelling, answer)
            assert b"canary" not in answer, (method, spelling)
    assert dev_server.cli("kv", "get", "-field=a", "secret/app/private") == "canary"


@pytest.mark.parametrize(
    "body, codes",
    [
        (b"[" * 100_000, (400,)),
        (b'{"a":' * 5_000 + b"1" + b"}" * 5_000, (400,)),
        (b'{"data":{' + b",".join(b'"k%d":0' % n for n in range(150_000)) + b"}}", (400, 413)),
        (b'{"data":{"a":1e999999999}}', (200, 400)),
        (b'{"data":{"a":' + b"9" * 100_000 + b"}}", (200, 400, 413)),
        (b'{"data":{"a":"\xff\xfe"}}', (400,)),
        (b'{"data":{"a":"\\ud800"}}', (400,)),
        (b'{"data":{"a":1}', (400,)),
        (b'{"data":{"a":1}} x', (400,)),
        (b'"text"', (400,)),
        (b'{"data":"text"}', (400,)),
        (b'{"data":{"a":1},"options":{"cas":-1}}', (400,)),
        (b'{"data":{"a":1},"options":{"cas":99999999999999999999}}', (400,)),
    ],
)
def test_a_hostile_body_gets_a_clear_answer_within_bounded_memory(dev_server, body, codes):
    answer = requests.put(
        f"{dev_server.url}/v1/secret/data/x", data=body, headers={"X-Vault-Token": dev_server.root_token}, timeout=20
    )
    assert answer.status_code in codes, answer.text[:300]
    if answer.status_code != 200:
        assert answer.json()["errors"][0]
    assert memory(dev_server) < 200
    is_well(dev_server)


def test_a_huge_body_is_refused_and_not_gathered(dev_server):
    before = memory(dev_server)
    body = b'{"data":{"a":"' + b"x" * (40 << 20) + b'"}}'
    try:
        answer = requests.put(
            f"{dev_server.url}/v1/secret/data/x", data=body, headers={"X-Vault-Token": dev_server.root_token}, timeout=20
        )
        assert answer.status_code == 413, answer.text[:300]
    except requests.exceptions.ConnectionError:
        pass  # The answer was sent, and the connection closed, while the client was still writing.
    assert memory(dev_server) - before < 40
    is_well(dev_server)


@pytest.mark.parametrize("length", ["99999999999", "18446744073709551615", "99999999999999999999999", "-1", "1e3", "0x10"])
def test_a_lying_content_length_makes_nothing_be_reserved(dev_server, length):
    before = memory(dev_server)
    request = (
        f"PUT /v1/secret/data/x HTTP/1.1\r\nHost: x\r\nX-Vault-Token: {dev_server.root_token}\r\n"
        f"Content-Length: {length}\r\n\r\n" + '{"data":{"a":1}}'
    )
    answer = talk(dev_server, request.encode())
    assert status(answer) in (400, 413, 431), answer
    assert memory(dev_server) - before < 20
    is_well(dev_server)


def test_two_lengths_or_a_length_and_chunks_are_refused(dev_server):
    head = f"PUT /v1/secret/data/x HTTP/1.1\r\nHost: x\r\nX-Vault-Token: {dev_server.root_token}\r\n"
    for framing in ("Content-Length: 2\r\nContent-Length: 16\r\n", "Content-Length: 2, 16\r\n"):
        answer = talk(dev_server, (head + framing + "\r\n" + '{"data":{"a":1}}').encode())
        assert status(answer) == 400, (framing, answer)
    # RFC 9112, section 6.3: chunks count and the connection ends, or the request is refused; never a second request.
    both = "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /v1/sys/health HTTP/1.1\r\nHost: x\r\n\r\n"
    assert talk(dev_server, (head + both).encode()).count(b"HTTP/1.1 ") <= 1


def test_two_tokens_in_one_request_are_refused(dev_server):
    answer = get(dev_server, "/v1/auth/token/lookup-self", "X-Vault-Token: hvs.other")
    assert status(answer) == 400, answer


@pytest.mark.parametrize(
    "data",
    [
        b"\x00" * 100, b"\x16\x03\x01\x00\xff", b"GET / HTTP/9.9\r\n\r\n", b"GET\r\n\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET /v1/sys/health HTTP/1.1\r\nHost: x\r\n" + b"X: y\r\n" * 5_000 + b"\r\n",
        b"GET /v1/sys/health HTTP/1.1\r\nHost: x\r\nX: " + b"y" * 200_000 + b"\r\n\r\n",
        b"GET /" + b"a" * 200_000 + b" HTTP/1.1\r\n\r\n",
        b"CONNECT example.com:443 HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET http://169.254.169.254/v1/sys/health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    ],
)
def test_noise_on_the_port_is_answered_or_dropped(dev_server, data):
    answer = talk(dev_server, data, ended=True)
    assert answer == b"" or status(answer) is not None, answer[:100]
    is_well(dev_server)


def closed_within(stream, seconds):
    """Whether the other side ends the connection in that time."""
    stream.settimeout(seconds)
    began = time.monotonic()
    try:
        while stream.recv(4096):
            pass
    except TimeoutError:
        return None
    except ConnectionResetError:
        pass
    return time.monotonic() - began


def test_headers_that_trickle_in_are_not_waited_for(dev_server):
    """Slowloris: a byte a second keeps a naive timeout from ever firing. Ours counts from the first byte."""
    with socket.create_connection(("127.0.0.1", dev_server.port)) as stream:
        stream.sendall(b"GET /v1/sys/health HTTP/1.1\r\nHost: x\r\n")
        began = time.monotonic()
        stream.settimeout(0.5)
        while time.monotonic() - began < 30:
            try:
                stream.sendall(b"X: y\r\n")
                if stream.recv(4096) == b"":
                    break
            except TimeoutError:
                continue
            except (BrokenPipeError, ConnectionResetError):
                break
        took = time.monotonic() - began
    assert 5 < took < 20, f"dropped after {took:.1f} s"
    is_well(dev_server)


def test_a_silent_tls_handshake_is_dropped_and_others_are_served_meanwhile(production_server):
    server = production_server
    silent = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(200)]
    try:
        silent[0].sendall(b"\x16\x03\x01")  # The beginning of a handshake counts no more than nothing.
        assert server.run("status").returncode == 0
        took = closed_within(silent[0], 20)
        assert took is not None and closed_within(silent[-1], 20) is not None
    finally:
        for stream in silent:
            stream.close()
    assert server.run("status").returncode == 0


def test_plain_http_on_a_tls_port_is_told_so(production_server):
    answer = talk(production_server, b"GET /v1/sys/health HTTP/1.1\r\nHost: x\r\n\r\n")
    assert status(answer) == 400 and b"HTTPS" in answer


def test_tls_below_1_2_is_refused(production_server):
    def version(lowest, highest):
        context = ssl.create_default_context(cafile=str(production_server.ca))
        context.minimum_version, context.maximum_version = lowest, highest
        with socket.create_connection(("127.0.0.1", production_server.port), timeout=10) as stream:
            with context.wrap_socket(stream, server_hostname="127.0.0.1") as encrypted:
                return encrypted.version()

    assert version(ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_2) == "TLSv1.2"
    assert version(ssl.TLSVersion.TLSv1_3, ssl.TLSVersion.TLSv1_3) == "TLSv1.3"
    old = subprocess.run(
        ["openssl", "s_client", "-connect", f"127.0.0.1:{production_server.port}", "-tls1_1", "-cipher", "ALL:@SECLEVEL=0"],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=20,
    )
    assert old.returncode != 0


def test_the_process_leaves_no_core_file_and_locks_its_keys(dev_server):
    process = pathlib.Path(f"/proc/{dev_server.process.pid}")
    core = next(line for line in (process / "limits").read_text().splitlines() if line.startswith("Max core file size"))
    assert core.split()[4:6] == ["0", "0"], core
    if os.geteuid() != 0:
        pytest.skip("only root may look into a process that is not dumpable")
    flags = [line.split()[1:] for line in (process / "smaps").read_text().splitlines() if line.startswith("VmFlags")]
    assert any({"lo", "dd"} <= set(area) for area in flags), "no memory is both locked and kept out of core files"


def test_another_process_of_the_same_user_cannot_look_into_it(dev_server, tmp_path):
    """Dumpable is off: the kernel then gives what lies under /proc/PID to root, whoever runs the process."""
    if os.geteuid() != 0:
        assert os.stat(f"/proc/{dev_server.process.pid}/mem").st_uid == 0
        return
    nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
    server = subprocess.Popen(
        [*nobody, binary(), "server", "-dev", "-dev-listen-address=127.0.0.1:0", "-dev-no-store-token"],
        env={"PATH": os.environ["PATH"]}, cwd="/", stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )
    try:
        said = ""
        while "==> Listening on" not in said:
            line = server.stdout.readline()
            assert line, f"the server ended: {said}"
            said += line
        for file in ("mem", "environ", "maps"):
            assert os.stat(f"/proc/{server.pid}/{file}").st_uid == 0
            look = subprocess.run([*nobody, "head", "-c1", f"/proc/{server.pid}/{file}"], capture_output=True, text=True)
            assert look.returncode != 0 and "ermission denied" in look.stderr, (file, look)
    finally:
        server.kill()
        server.communicate()


def test_a_thousand_idle_connections_leave_room_for_others(dev_server):
    idle = [socket.create_connection(("127.0.0.1", dev_server.port)) for _ in range(900)]
    try:
        is_well(dev_server)
        assert memory(dev_server) < 200
    finally:
        for stream in idle:
            stream.close()


def test_a_stranger_cannot_tell_which_mounts_there_are(dev_server):
    for headers in ({}, {"X-Vault-Token": "hvs.nonsense"}):
        for path in ("{}/data/x", "auth/{}/x", "sys/internal/ui/mounts/{}/x"):
            answers = [
                requests.get(f"{dev_server.url}/v1/{path.format(mount)}", headers=headers, timeout=10)
                for mount in ("secret", "nonsense", "token")
            ]
            assert {answer.status_code for answer in answers} == {403}, (path, answers)


def test_errors_are_json_with_the_shape_clients_parse(dev_server):
    url = dev_server.url
    for method, path, code in (
        ("GET", "/nonsense", 404), ("BREW", "/v1/sys/health", 405), ("GET", "/v1/secret/data/x", 403),
    ):
        answer = requests.request(method, url + path, timeout=10)
        assert answer.status_code == code, (method, path, answer.text)
        assert isinstance(json.loads(answer.text)["errors"], list)
        assert answer.headers["Cache-Control"] == "no-store"
