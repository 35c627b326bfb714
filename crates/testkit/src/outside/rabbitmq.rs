use super::Admin;
use super::program::{Home, Program, free_port, installed};
use rustix::process::Signal;
use std::path::PathBuf;
use std::process::{Command, Stdio};

const USER: &str = "admin";
const PASSWORD: &str = "admin-pass";

/// A RabbitMQ server with its management interface. It is slow to start: share one in a test file.
pub struct RabbitMq {
    program: Program,
    // Erlang's directory of nodes: its own one, so that none stays behind.
    _directory: Program,
    home: Home,
    management: u16,
    amqp: u16,
}

impl RabbitMq {
    /// Starts it.
    pub async fn start() -> Self {
        let program = installed(&[PathBuf::from("/usr/lib/rabbitmq/bin/rabbitmq-server")], "rabbitmq-server");
        let home = Home::new("rabbitmq");
        let (management, amqp, epmd) = (free_port(), free_port(), free_port());
        home.write("enabled_plugins", "[rabbitmq_management].\n");
        home.write(
            "rabbitmq.conf",
            &format!(
                "listeners.tcp.default = 127.0.0.1:{amqp}\nmanagement.tcp.ip = 127.0.0.1\n\
                 management.tcp.port = {management}\ndefault_user = {USER}\ndefault_pass = {PASSWORD}\n\
                 management.rates_mode = basic\n"
            ),
        );
        let directory = Program::new(Signal::TERM);
        let mut names = home.command("/usr/bin/epmd");
        names.args(["-address", "127.0.0.1", "-port", &epmd.to_string()]).stdout(Stdio::null()).stderr(Stdio::null());
        directory.start(&mut names, home.path(), || std::net::TcpStream::connect(("127.0.0.1", epmd)).is_ok()).await;
        let server = Self { program: Program::new(Signal::TERM), _directory: directory, home, management, amqp };
        let mut command = server.home.command(program);
        server.surround(&mut command, epmd);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        server
            .program
            .start(&mut command, server.home.path(), || server.asks("GET", "/api/overview", None).is_some())
            .await;
        server
    }

    /// How a connector logs in.
    pub fn admin(&self) -> Admin {
        Admin { url: format!("http://127.0.0.1:{}", self.management), username: USER, password: PASSWORD }
    }

    /// Where its management interface listens on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.management
    }

    /// Where it speaks AMQP on 127.0.0.1.
    pub fn amqp_port(&self) -> u16 {
        self.amqp
    }

    /// Asks its management interface as administrator, past everything under test. `None`: it refused.
    pub fn asks(&self, method: &str, path: &str, body: Option<&str>) -> Option<String> {
        let mut client = Command::new("curl");
        client.args(["--silent", "--fail", "--max-time", "10", "--user", &format!("{USER}:{PASSWORD}")]);
        client.args(["--request", method, "--header", "content-type: application/json"]);
        client.args(body.map(|body| ["--data", body]).into_iter().flatten());
        let output = client.arg(format!("http://127.0.0.1:{}{path}", self.management)).output().expect("curl starts");
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Stops its time: connections stay open, nothing is answered.
    pub fn pause(&self) {
        self.program.pause();
    }

    /// Lets it go on.
    pub fn resume(&self) {
        self.program.resume();
    }

    /// Ends it.
    pub fn stop(&self) {
        self.program.kill();
    }

    fn surround(&self, command: &mut Command, epmd: u16) {
        let file = |name: &str| self.home.file(name);
        command.env("ERL_EPMD_PORT", epmd.to_string()).env("ERL_EPMD_ADDRESS", "127.0.0.1");
        command.env("RABBITMQ_NODENAME", format!("rabbit{}@localhost", self.management));
        command.env("RABBITMQ_DIST_PORT", free_port().to_string());
        command.env("RABBITMQ_MNESIA_BASE", file("mnesia")).env("RABBITMQ_LOG_BASE", file("log"));
        command.env("RABBITMQ_ENABLED_PLUGINS_FILE", file("enabled_plugins"));
        command.env("RABBITMQ_CONFIG_FILE", file("rabbitmq.conf")).env("RABBITMQ_PID_FILE", file("pid"));
        command.env("RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS", "+S 1:1 +sbwt none");
    }
}
