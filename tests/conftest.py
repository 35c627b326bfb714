"""Servers for tests: each test has its own, and none survives its test."""

import pytest
from house import Production, Server, make_certificate


@pytest.fixture
def servers():
    """Ends every server that a test has put in, in whatever state it is."""
    started = []
    yield started
    for server in started:
        server.close()


@pytest.fixture
def start_dev(tmp_path, servers):
    """Starts a development server with further flags; a second one of the same test gets a folder of its own."""

    def start(*flags, folder=None, **process):
        folder = folder or tmp_path / f"dev{len(servers)}"
        folder.mkdir(exist_ok=True)
        server = Server(folder, ["server", "-dev", "-dev-listen-address=127.0.0.1:PORT", *flags])
        server.process_options = process
        servers.append(server)
        server.start()
        server.root_token = server.banner().split("Root Token: ")[-1].split()[0]
        return server

    return start


@pytest.fixture
def dev_server(start_dev):
    """A development server in memory."""
    return start_dev()


@pytest.fixture
def disk_server(start_dev, tmp_path):
    """A development server with data on disk, in `kept` of its folder, so that its files can be looked at."""
    folder = tmp_path / "disk"
    return start_dev(f"-dev-data={folder}/kept", folder=folder)


@pytest.fixture(scope="session")
def certificate(tmp_path_factory):
    """A self-signed certificate and its key; read only, so tests share it."""
    return make_certificate(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def new_production(tmp_path, servers, certificate):
    """A started server of a configuration file, not initialised."""

    def start(**how):
        folder = tmp_path / f"production{len(servers)}"
        folder.mkdir()
        pair = how.pop("certificate", certificate)
        server = Production(folder, *pair, **how)
        servers.append(server)
        return server.start()

    return start


@pytest.fixture
def production_server(new_production):
    """A server with TLS and a file store: initialised with five shares of which three unseal, and unsealed."""
    server = new_production().initialise()
    server.unseal()
    return server
