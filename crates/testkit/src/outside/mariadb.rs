use super::Admin;
use super::program::{Home, Program, free_port, installed};
use rustix::process::Signal;
use std::path::PathBuf;
use std::process::{Command, Stdio};

const USER: &str = "admin";
const PASSWORD: &str = "admin's \\pass";

/// A MariaDB server with TLS and a database `app`.
pub struct MariaDb {
    program: Program,
    home: Home,
    port: u16,
}

impl MariaDb {
    /// Makes its data and starts it.
    pub async fn start() -> Self {
        let program = installed(&[PathBuf::from("/usr/sbin/mariadbd")], "mariadb-server");
        let home = Home::new("mysql");
        home.certify();
        let mut init = home.command("/usr/bin/mariadb-install-db");
        init.args(["--no-defaults", "--skip-test-db", "--auth-root-authentication-method=normal"]);
        home.run(init.arg(format!("--datadir={}", home.file("data"))));
        let password = PASSWORD.replace('\\', "\\\\").replace('\'', "''");
        // One statement a line: it is read by the server itself, at every start.
        home.write(
            "init.sql",
            &format!(
                "CREATE DATABASE IF NOT EXISTS app;\n\
                 CREATE USER IF NOT EXISTS '{USER}'@'%' IDENTIFIED BY '{password}';\n\
                 GRANT ALL ON *.* TO '{USER}'@'%' WITH GRANT OPTION;\n"
            ),
        );
        let server = Self { program: Program::new(Signal::TERM), home, port: free_port() };
        server.begin(&program).await;
        server
    }

    /// How a connector logs in.
    pub fn admin(&self) -> Admin {
        Admin { url: self.url(self.port), username: USER, password: PASSWORD }
    }

    /// The address, as if the server were on another port (of a relay).
    pub fn url(&self, port: u16) -> String {
        format!("{{{{username}}}}:{{{{password}}}}@tcp(127.0.0.1:{port})/app")
    }

    /// Where it listens on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Who vouches for its certificate, which is made for 127.0.0.1 and localhost.
    pub fn ca_pem(&self) -> String {
        self.home.read("ca.pem")
    }

    /// Runs SQL in `app` as root, past everything under test, and gives back rows with tabs between columns.
    pub fn sql(&self, sql: &str) -> String {
        self.home.run(self.client().args(["--database=app", "--execute", sql]))
    }

    /// Ends it in order. Its data stays for [`MariaDb::restart`].
    pub fn stop(&self) {
        self.program.stop();
    }

    /// Starts it on its data again, after ending it where it runs.
    pub async fn restart(&self) {
        self.stop();
        self.begin(&installed(&[PathBuf::from("/usr/sbin/mariadbd")], "mariadb-server")).await;
    }

    /// Stops its time: connections stay open, nothing is answered.
    pub fn pause(&self) {
        self.program.pause();
    }

    /// Lets it go on.
    pub fn resume(&self) {
        self.program.resume();
    }

    async fn begin(&self, program: &PathBuf) {
        let mut command = self.home.command(program);
        command.args(["--no-defaults", "--bind-address=127.0.0.1", "--innodb-flush-log-at-trx-commit=0"]);
        command.args(["--skip-name-resolve", "--innodb-buffer-pool-size=32M", "--skip-log-bin"]);
        command.arg(format!("--port={}", self.port));
        for (option, file) in [
            ("datadir", "data"),
            ("socket", "socket"),
            ("pid-file", "pid"),
            ("log-error", "log"),
            ("init-file", "init.sql"),
            ("ssl-ca", "ca.pem"),
            ("ssl-cert", "server.pem"),
            ("ssl-key", "server.key"),
        ] {
            command.arg(format!("--{option}={}", self.home.file(file)));
        }
        command.stdout(Stdio::null()).stderr(Stdio::null());
        self.program
            .start(&mut command, self.home.path(), || {
                self.client()
                    .args(["--database=app", "--execute=SELECT 1"])
                    .output()
                    .is_ok_and(|output| output.status.success())
            })
            .await;
    }

    fn client(&self) -> Command {
        let mut client = self.home.command("/usr/bin/mariadb");
        client.arg("--no-defaults").arg(format!("--socket={}", self.home.file("socket")));
        client.args(["--user=root", "--batch", "--skip-column-names", "--default-character-set=utf8mb4"]);
        client
    }
}
