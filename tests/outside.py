"""Servers of other people that the tests bring up: from Debian's packages, on ports and folders of their own."""

import os
import pathlib
import shutil
import subprocess
import tempfile

import psycopg
import pymysql
from house import free_port, wait_until

ADMIN, PASSWORD = "admin", "adm1n-canary"


class Postgres:
    """A PostgreSQL with a database `app`; its administrator has a password that no test prints."""

    def __init__(self):
        # Not pytest's folder: that one is closed to the account which PostgreSQL insists on.
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="strongroom-postgres-"))
        self.port = free_port()
        self.process = None
        self.account = {"user": "postgres", "group": "postgres"} if os.geteuid() == 0 else {}
        if self.account:
            shutil.chown(self.folder, "postgres", "postgres")
        (self.folder / "password").write_text(PASSWORD)
        (self.folder / "password").chmod(0o644)
        subprocess.run(
            [self.tool("initdb"), "-D", self.folder / "data", "-U", ADMIN, f"--pwfile={self.folder}/password",
             "--auth=scram-sha-256", "--no-sync", "--encoding=UTF8", "--locale=C.UTF-8"],
            check=True, capture_output=True, cwd=self.folder, **self.account,
        )

    @staticmethod
    def tool(name):
        found = sorted(pathlib.Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
        assert found, "this test needs a server: apt-get install postgresql"
        return found[-1]

    def start(self):
        self.process = subprocess.Popen(
            [self.tool("postgres"), "-D", self.folder / "data", "-p", str(self.port), "-k", self.folder,
             "-c", "listen_addresses=127.0.0.1", "-c", "fsync=off", "-c", "shared_buffers=32MB"],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=self.folder,
            **self.account,
        )
        wait_until("PostgreSQL answers", lambda: self.lets_in(ADMIN, PASSWORD, "postgres"))
        if self.lets_in(ADMIN, PASSWORD):
            return self
        with self.connect(ADMIN, PASSWORD, "postgres") as connection:
            connection.autocommit = True
            connection.execute("CREATE DATABASE app")
        return self

    def stop(self):
        """Away as after a power cut: sessions are gone, and nobody answers until `start`."""
        (self.folder / "data" / "postmaster.pid").unlink(missing_ok=True)
        self.process.kill()
        self.process.wait()

    def close(self):
        if self.process:
            self.process.kill()
            self.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def url(self):
        """The address in the form of Vault's configuration."""
        return f"postgresql://{{{{username}}}}:{{{{password}}}}@127.0.0.1:{self.port}/app?sslmode=disable"

    def connect(self, username, password, database="app"):
        return psycopg.connect(
            host="127.0.0.1", port=self.port, dbname=database, user=username, password=password, sslmode="disable",
            connect_timeout=5,
        )

    def lets_in(self, username, password, database="app"):
        try:
            self.connect(username, password, database).close()
            return True
        except psycopg.OperationalError:
            return False

    def tries(self, username, password):
        """Whether a login is let in; `None` when nobody answers, which says nothing about its password."""
        try:
            self.connect(username, password).close()
            return True
        except psycopg.OperationalError as error:
            refused = "password authentication failed" in str(error) or "does not exist" in str(error)
            return False if refused else None

    def sql(self, statement):
        """Rows that the administrator gets."""
        with self.connect(ADMIN, PASSWORD) as connection:
            connection.autocommit = True
            cursor = connection.execute(statement)
            return cursor.fetchall() if cursor.description else []

    def logins(self):
        """The logins that were made by a strongroom."""
        return [name for (name,) in self.sql("SELECT rolname FROM pg_roles WHERE rolname LIKE 'v-%'")]


class MariaDb:
    """A MariaDB with a database `app`; its administrator has a password that no test prints."""

    # What new logins may do, which no strategy can know.
    STATEMENTS = "CREATE USER '{{name}}'@'%' IDENTIFIED BY '{{password}}'; GRANT SELECT ON app.* TO '{{name}}'@'%'"

    def __init__(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="strongroom-mariadb-"))
        self.port = free_port()
        self.process = None
        self.account = {"user": "mysql", "group": "mysql"} if os.geteuid() == 0 else {}
        if self.account:
            shutil.chown(self.folder, "mysql", "mysql")
        subprocess.run(
            [self.tool("mariadb-install-db"), "--no-defaults", "--skip-test-db", "--auth-root-authentication-method=normal",
             f"--datadir={self.folder}/data"],
            check=True, capture_output=True, cwd=self.folder, **self.account,
        )
        (self.folder / "init.sql").write_text(
            "CREATE DATABASE IF NOT EXISTS app;\n"
            f"CREATE USER IF NOT EXISTS '{ADMIN}'@'%' IDENTIFIED BY '{PASSWORD}';\n"
            f"GRANT ALL ON *.* TO '{ADMIN}'@'%' WITH GRANT OPTION;\n")
        (self.folder / "init.sql").chmod(0o644)

    @staticmethod
    def tool(name):
        found = shutil.which(name, path="/usr/sbin:/usr/bin")
        assert found, "this test needs a server: apt-get install mariadb-server"
        return found

    def start(self):
        self.process = subprocess.Popen(
            [self.tool("mariadbd"), "--no-defaults", "--bind-address=127.0.0.1", f"--port={self.port}",
             f"--datadir={self.folder}/data", f"--socket={self.folder}/socket", f"--pid-file={self.folder}/pid",
             f"--log-error={self.folder}/log", f"--init-file={self.folder}/init.sql", "--skip-name-resolve", "--skip-log-bin",
             "--innodb-flush-log-at-trx-commit=0", "--innodb-buffer-pool-size=32M"],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=self.folder,
            **self.account,
        )
        wait_until("MariaDB answers", lambda: self.tries(ADMIN, PASSWORD))
        return self

    def close(self):
        if self.process:
            self.process.kill()
            self.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    def connect(self, username, password):
        return pymysql.connect(
            host="127.0.0.1", port=self.port, database="app", user=username, password=password, connect_timeout=5,
            autocommit=True)

    def tries(self, username, password):
        """Whether a login is let in; `None` when nobody answers, which says nothing about its password."""
        try:
            self.connect(username, password).close()
            return True
        except pymysql.err.OperationalError as error:
            # Access denied, to the server or to its database.
            return False if error.args[0] in (1044, 1045) else None

    def sql(self, statement):
        """Rows that the administrator gets."""
        with self.connect(ADMIN, PASSWORD) as connection, connection.cursor() as cursor:
            cursor.execute(statement)
            return cursor.fetchall()
