//! The parent's end: starts a child, talks to it, kills it.

use std::ffi::OsString;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{ChildStdin, ChildStdout, Command, Stdio};

/// A store in another process.
pub(crate) struct Child {
    process: std::process::Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Child {
    pub(crate) fn start(role: &str, store: &Path) -> Self {
        Self::start_under(Command::new(program()), role, store)
    }

    /// Starts it by a command that runs the program named in its arguments.
    pub(crate) fn start_under(mut command: Command, role: &str, store: &Path) -> Self {
        let arguments = ["child::act", "--exact", "--ignored", "--nocapture", "--quiet", "--test-threads=1"];
        command.args(arguments).env("STRONGROOM_ROLE", role).env("STRONGROOM_STORE", store);
        let mut process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let input = process.stdin.take();
        let output = BufReader::new(process.stdout.take().unwrap());
        Self { process, input, output }
    }

    /// The next line it says; `None` when it has ended.
    pub(crate) fn hear(&mut self) -> Option<String> {
        let mut line = String::new();
        loop {
            line.clear();
            if self.output.read_line(&mut line).unwrap() == 0 {
                return None;
            }
            if let Some(said) = line.strip_prefix('@').and_then(|said| said.strip_suffix('\n')) {
                return Some(said.to_owned());
            }
        }
    }

    pub(crate) fn tell(&mut self, line: &str) {
        let input = self.input.as_mut().unwrap();
        input.write_all(format!("{line}\n").as_bytes()).unwrap();
        input.flush().unwrap();
    }

    /// Tells it a line and gives what it answers.
    pub(crate) fn ask(&mut self, line: &str) -> String {
        self.tell(line);
        self.hear().unwrap_or_else(|| panic!("the child ended at: {line}"))
    }

    /// A handle with which another thread may kill it; SIGKILL, as a power cut has no manners either.
    pub(crate) fn pid(&self) -> rustix::process::Pid {
        rustix::process::Pid::from_child(&self.process)
    }

    pub(crate) fn kill(mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

/// This program, which is also the child's.
pub(crate) fn program() -> OsString {
    std::env::current_exe().unwrap().into_os_string()
}
