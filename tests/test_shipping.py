"""Copies of the trail by the real program, to receivers that come and go, while the program is killed."""

import json
import socket
import ssl
import subprocess
import threading

import pytest
from house import wait_until


class Receiver:
    """Takes octet-counted syslog messages from any number of connections, one after the other."""

    def __init__(self, tls=None):
        self.tls = tls
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.messages = []
        self.connections = 0
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            try:
                stream, _ = self.listener.accept()
            except OSError:
                return
            try:
                if self.tls:
                    stream = self.tls.wrap_socket(stream, server_side=True)
                self.connections += 1
                self.take(stream.makefile("rb"))
            except OSError:
                pass
            stream.close()

    def take(self, stream):
        while True:
            length = b""
            while (digit := stream.read(1)) not in (b" ", b""):
                length += digit
            if not digit:
                return
            message = stream.read(int(length))
            if len(message) < int(length):
                return  # Cut in the middle.
            self.messages.append(message.decode())

    def numbers(self):
        """PRI VERSION TIMESTAMP HOSTNAME APP-NAME PROCID MSGID SD MSG."""
        return {int(message.split(" ", 8)[5]) for message in list(self.messages)}


def make_chain(folder):
    """An authority, and a certificate by it: rustls takes no authority for a server's own."""

    def openssl(*words):
        subprocess.run(["openssl", *words], cwd=folder, check=True, capture_output=True)

    curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-noenc"]
    openssl("req", "-x509", *curve, "-keyout", "ca.key", "-out", "ca.pem", "-days", "30", "-subj", "/CN=test authority")
    openssl("req", *curve, "-keyout", "key.pem", "-out", "csr.pem", "-subj", "/CN=collector")
    (folder / "names").write_text("subjectAltName=IP:127.0.0.1\nbasicConstraints=CA:FALSE\n")
    openssl("x509", "-req", "-in", "csr.pem", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "30",
            "-extfile", "names", "-out", "cert.pem")
    return folder


def written(server):
    return {entry["seq"] for entry in server.trail()}


@pytest.mark.parametrize("transport", ["tcp", "tls"])
def test_every_entry_arrives_although_the_server_is_killed_again_and_again(disk_server, tmp_path, transport):
    tls = None
    if transport == "tls":
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        chain = make_chain(tmp_path)
        tls.load_cert_chain(chain / "cert.pem", chain / "key.pem")
    receiver = Receiver(tls)
    more = [f"-ca-file={tmp_path}/ca.pem"] if tls else []
    disk_server.cli(
        "shipping", "add", "-type=syslog", f"-transport={transport}", f"-at=127.0.0.1:{receiver.port}", "-as=ocsf",
        "-internal", "-from=0", *more, "siem",
    )
    for life in range(4):
        for n in range(25):
            disk_server.root.secrets.kv.v2.create_or_update_secret(f"app/{life}/{n}", {"password": "canary-value"})
        disk_server.kill()
        disk_server.start()
    try:
        wait_until("every entry has arrived", lambda: written(disk_server) <= receiver.numbers())
    except AssertionError as error:
        raise AssertionError(disk_server.cli("shipping", "status")) from error
    assert receiver.connections >= 4
    for message in receiver.messages:
        assert "canary-value" not in message
        event = json.loads(message.split(" - ", 2)[2])
        assert event["type_uid"] == event["class_uid"] * 100 + event["activity_id"]
    shown = disk_server.json("shipping", "status")["destinations"]
    assert [(one["name"], one["dropped"], one["error"]) for one in shown] == [("siem", 0, None)]


def test_a_copy_in_the_trails_own_form_verifies_by_itself(disk_server, tmp_path):
    folder = tmp_path / "copy"
    folder.mkdir()
    copy = folder / f"{0:020}.jsonl"
    disk_server.cli("shipping", "add", "-type=file", f"-file={copy}", "-as=trail", "-from=0", "copy")
    for n in range(20):
        disk_server.root.secrets.kv.v2.create_or_update_secret(f"app/{n}", {"password": "x"})
    last = max(written(disk_server))
    wait_until("the copy has it", lambda: f'{{"seq":{last},' in copy.read_text())
    disk_server.stop()
    done = disk_server.run("audit", "verify", str(folder))
    assert "lines hold" in done.stdout, done.stdout + done.stderr
    refused = disk_server.trail_folder() / "x.log"
    disk_server.start()
    done = disk_server.run("shipping", "add", "-type=file", f"-file={refused}", "bad", token=disk_server.root_token)
    assert done.returncode != 0 and "audit trail itself" in done.stderr
