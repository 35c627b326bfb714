use crate::client::Client;
use crate::processor;
use anyhow::Context;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use tempfile::TempDir;

/// A server of ours on a free port, with its data on disk; ended when dropped.
pub(crate) struct Server {
    process: Child,
    url: String,
    token: String,
    folder: Option<TempDir>,
}

impl Server {
    /// Starts one over an empty folder.
    pub(crate) fn start(program: &Path) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let mut server = Self::over(program, folder.path())?;
        server.folder = Some(folder);
        Ok(server)
    }

    /// Starts one over data that may be there.
    pub(crate) fn over(program: &Path, folder: &Path) -> anyhow::Result<Self> {
        let data: PathBuf = folder.join("data");
        let mut command = Command::new(program);
        command.args(["server", "-dev", "-dev-listen-address=127.0.0.1:0", "-dev-no-store-token"]);
        command.arg(format!("-dev-data={}", data.display())).env("HOME", folder).stdout(Stdio::piped());
        let mut process =
            command.spawn().with_context(|| format!("{} cannot be started: build it first", program.display()))?;
        let mut lines = BufReader::new(process.stdout.take().context("no output")?).lines();
        let (mut token, mut url) = (None, None);
        while url.is_none() {
            let line = lines.next().context("the server ended before it listened")??;
            token = line.strip_prefix("Root Token: ").map(str::to_owned).or(token);
            url = line.strip_prefix("==> Listening on ").map(str::to_owned);
        }
        Ok(Self {
            process,
            url: url.unwrap_or_default(),
            token: token.context("no root token was printed")?,
            folder: None,
        })
    }

    pub(crate) fn client(&self) -> anyhow::Result<Client> {
        Client::new(&self.url, &self.token)
    }

    /// Memory that is its own and in RAM.
    pub(crate) fn resident_mib(&self) -> anyhow::Result<f64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
        let kib: f64 = line.trim().trim_end_matches("kB").trim().parse()?;
        Ok(kib / 1024.0)
    }
}

impl Server {
    /// Processor time taken so far, in the kernel's ticks: by the threads of that name, or by all for an empty one.
    pub(crate) fn ticks(&self, thread: &str) -> anyhow::Result<u64> {
        let mut sum = 0;
        for task in std::fs::read_dir(format!("/proc/{}/task", self.process.id()))? {
            let stat = std::fs::read_to_string(task?.path().join("stat"))?;
            let (head, used) = processor::time_of(&stat)?;
            if thread.is_empty() || head.ends_with(&format!("({thread}")) {
                sum += used;
            }
        }
        Ok(sum)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
