use super::Admin;
use super::program::{Home, Program, free_port, installed};
use rustix::process::Signal;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

const USER: &str = "admin";
const PASSWORD: &str = "admin's \"pass\"";

/// A PostgreSQL server with TLS, passwords as SCRAM, and a database `app`.
pub struct Postgres {
    program: Program,
    home: Home,
    port: u16,
    syncs: bool,
}

impl Postgres {
    /// Makes a cluster and starts it.
    pub async fn start() -> Self {
        Self::start_as(false).await
    }

    /// As [`Postgres::start`], but a commit is on disk when it is answered, as PostgreSQL comes: for measuring beside
    /// something that syncs too.
    pub async fn start_durable() -> Self {
        Self::start_as(true).await
    }

    async fn start_as(syncs: bool) -> Self {
        let home = Home::new("postgres");
        home.certify();
        let password = home.write("password", PASSWORD);
        let data = home.file("data");
        let mut init = home.command(Self::tool("initdb"));
        init.args(["--pgdata", &data, "--username", USER, "--pwfile", &password, "--no-sync", "--encoding", "UTF8"]);
        home.run(init.args(["--auth-local", "trust", "--auth-host", "scram-sha-256", "--locale", "C.UTF-8"]));
        let server = Self { program: Program::new(Signal::INT), home, port: free_port(), syncs };
        server.begin().await;
        server.sql("CREATE DATABASE app");
        server
    }

    /// How a connector logs in.
    pub fn admin(&self) -> Admin {
        Admin { url: self.url(self.port), username: USER, password: PASSWORD }
    }

    /// The address, as if the server were on another port (of a relay).
    pub fn url(&self, port: u16) -> String {
        format!("postgresql://{{{{username}}}}:{{{{password}}}}@127.0.0.1:{port}/app?sslmode=disable")
    }

    /// Where it listens on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Who vouches for its certificate, which is made for 127.0.0.1 and localhost.
    pub fn ca_pem(&self) -> String {
        self.home.read("ca.pem")
    }

    /// Runs SQL in `app` as administrator, past everything under test, and gives back rows with `|` between columns.
    pub fn sql(&self, sql: &str) -> String {
        let database = if sql.starts_with("CREATE DATABASE") { "postgres" } else { "app" };
        self.home.run(self.client(database).args(["--command", sql]))
    }

    /// Ends it in order. Its data stays for [`Postgres::restart`].
    pub fn stop(&self) {
        self.program.stop();
    }

    /// Kills all of it at once.
    pub fn kill(&self) {
        self.program.kill();
        // Left by a killed one, and it would make the next start refuse.
        let _ = fs::remove_file(self.home.path().join("data/postmaster.pid"));
    }

    /// Starts it on its data again, after ending it where it runs.
    pub async fn restart(&self) {
        self.stop();
        self.begin().await;
    }

    /// Stops its time: connections stay open, nothing is answered.
    pub fn pause(&self) {
        self.program.pause();
    }

    /// Lets it go on.
    pub fn resume(&self) {
        self.program.resume();
    }

    async fn begin(&self) {
        let mut command = self.home.command(Self::tool("postgres"));
        command.stdout(Stdio::null()).stderr(Stdio::null());
        command.args(["-D", &self.home.file("data"), "-p", &self.port.to_string(), "-k", &self.home.file("")]);
        if !self.syncs {
            // A test's data need not outlive the machine.
            command.args(["-c", "fsync=off", "-c", "full_page_writes=off"]);
        }
        let (certificate, key) = (self.home.file("server.pem"), self.home.file("server.key"));
        for setting in [
            "listen_addresses=127.0.0.1".to_owned(),
            "shared_buffers=32MB".to_owned(),
            "max_connections=200".to_owned(),
            "ssl=on".to_owned(),
            format!("ssl_cert_file={certificate}"),
            format!("ssl_key_file={key}"),
            format!("log_directory={}", self.home.file("log")),
            "logging_collector=on".to_owned(),
        ] {
            command.args(["-c", &setting]);
        }
        self.program
            .start(&mut command, self.home.path(), || {
                self.client("postgres")
                    .args(["--command", "SELECT 1"])
                    .output()
                    .is_ok_and(|output| output.status.success())
            })
            .await;
    }

    fn client(&self, database: &str) -> Command {
        let mut client = self.home.command(Self::tool("psql"));
        client.args(["--host", &self.home.file(""), "--port", &self.port.to_string(), "--username", USER]);
        client.args(["--dbname", database, "--no-psqlrc", "--no-align", "--tuples-only", "--quiet"]);
        client.args(["--set", "ON_ERROR_STOP=1"]);
        client
    }

    /// A program of the newest version that is installed.
    fn tool(name: &str) -> PathBuf {
        let versions = fs::read_dir("/usr/lib/postgresql").map(Iterator::flatten).into_iter().flatten();
        let mut found: Vec<PathBuf> = versions.map(|version| version.path().join("bin").join(name)).collect();
        found.sort();
        installed(&found, "postgresql")
    }
}
