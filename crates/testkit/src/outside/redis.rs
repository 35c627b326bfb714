use super::Admin;
use super::program::{Home, Program, free_port, installed};
use rustix::process::Signal;
use std::path::PathBuf;

const USER: &str = "admin";
const PASSWORD: &str = "admin-pass";

/// A Redis server that keeps nothing on disk, with TLS on a second port.
pub struct Redis {
    program: Program,
    home: Home,
    port: u16,
    tls_port: u16,
}

impl Redis {
    /// Starts it.
    pub async fn start() -> Self {
        let home = Home::new("redis");
        home.certify();
        let server = Self { program: Program::new(Signal::TERM), home, port: free_port(), tls_port: free_port() };
        server.begin().await;
        server
    }

    /// How a connector logs in.
    pub fn admin(&self) -> Admin {
        Admin { url: format!("redis://127.0.0.1:{}", self.port), username: USER, password: PASSWORD }
    }

    /// The address that speaks TLS.
    pub fn tls_url(&self) -> String {
        format!("rediss://127.0.0.1:{}", self.tls_port)
    }

    /// Where it listens on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Who vouches for its certificate.
    pub fn ca_pem(&self) -> String {
        self.home.read("ca.pem")
    }

    /// Runs a command as administrator, past everything under test.
    pub fn command(&self, words: &[&str]) -> String {
        let mut client = self.home.command("/usr/bin/redis-cli");
        client.args(["-p", &self.port.to_string(), "--user", USER]).env("REDISCLI_AUTH", PASSWORD);
        self.home.run(client.args(words))
    }

    /// Ends it; what it held is gone.
    pub fn stop(&self) {
        self.program.stop();
    }

    /// Starts it again, with nothing but the administrator.
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
        let file = |name: &str| self.home.file(name);
        let config = format!(
            "bind 127.0.0.1\nport {}\ntls-port {}\ntls-cert-file {}\ntls-key-file {}\ntls-ca-cert-file {}\n\
             tls-auth-clients no\nsave \"\"\nappendonly no\ndir {}\nlogfile {}\n\
             user default off\nuser {USER} on >{PASSWORD} ~* &* +@all\n",
            self.port,
            self.tls_port,
            file("server.pem"),
            file("server.key"),
            file("ca.pem"),
            file(""),
            file("log")
        );
        let config = self.home.write("redis.conf", &config);
        let program = installed(&[PathBuf::from("/usr/bin/redis-server")], "redis-server");
        let mut command = self.home.command(program);
        command.arg(config);
        let ready = || {
            let mut client = self.home.command("/usr/bin/redis-cli");
            client.args(["-p", &self.port.to_string(), "--user", USER, "PING"]).env("REDISCLI_AUTH", PASSWORD);
            client.output().is_ok_and(|output| output.stdout.starts_with(b"PONG"))
        };
        self.program.start(&mut command, self.home.path(), ready).await;
    }
}
