use super::certificate;
use rustix::process::{Pid, Signal, kill_process};
use std::fs;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tempfile::TempDir;

/// A folder for a server's data, owned by the account that the server runs under.
pub(super) struct Home {
    folder: TempDir,
    account: Option<(u32, u32)>,
}

impl Home {
    /// Servers refuse to run as root: then they run as the account of their package.
    pub(super) fn new(account: &str) -> Self {
        let folder = TempDir::with_prefix(format!("strongroom-{account}-")).expect("a temporary folder");
        let account = is_root().then(|| (id("-u", account), id("-g", account)));
        let home = Self { folder, account };
        fs::set_permissions(home.path(), fs::Permissions::from_mode(0o755)).expect("our folder");
        home.own(home.path());
        home
    }

    pub(super) fn path(&self) -> &Path {
        self.folder.path()
    }

    pub(super) fn file(&self, name: &str) -> String {
        self.path().join(name).to_str().expect("a path in UTF-8").to_owned()
    }

    /// Writes a file that the server may read.
    pub(super) fn write(&self, name: &str, text: &str) -> String {
        let path = self.path().join(name);
        fs::write(&path, text).expect("our folder takes a file");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("our file");
        self.own(&path);
        self.file(name)
    }

    /// Makes `ca.pem`, `server.pem` and `server.key` for 127.0.0.1 and localhost.
    pub(super) fn certify(&self) {
        certificate::make(self.path());
        for name in ["ca.pem", "server.pem", "server.key"] {
            self.own(&self.path().join(name));
        }
    }

    pub(super) fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path().join(name)).expect("a file of ours")
    }

    /// A command under the server's account, in a process group of its own.
    pub(super) fn command(&self, program: impl AsRef<Path>) -> Command {
        let mut command = Command::new(program.as_ref());
        command.current_dir(self.path()).env("HOME", self.path()).env("LC_ALL", "C.UTF-8").stdin(Stdio::null());
        // Two servers of one kind use the same names for their temporary files.
        command.env("TMPDIR", self.path());
        if let Some((user, group)) = self.account {
            command.uid(user).gid(group);
        }
        command.process_group(0);
        command
    }

    /// Runs a command to its end; the test fails when it does.
    pub(super) fn run(&self, command: &mut Command) -> String {
        let output = command.output().unwrap_or_else(|error| panic!("{command:?} cannot be started: {error}"));
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{command:?} failed: {said}{}", String::from_utf8_lossy(&output.stdout));
        String::from_utf8_lossy(&output.stdout).trim_end().to_owned()
    }

    fn own(&self, path: &Path) {
        if let Some((user, group)) = self.account {
            chown(path, Some(user), Some(group)).expect("root may give files away");
        }
    }
}

/// A server program, running or not.
pub(super) struct Program {
    running: Mutex<Option<Running>>,
    stop: Signal,
}

struct Running {
    child: Child,
    /// Ends the server and removes its data when this test program has gone, however it went: statics are not dropped.
    guard: Child,
}

impl Program {
    /// `stop` is the signal that ends this program in order.
    pub(super) fn new(stop: Signal) -> Self {
        Self { running: Mutex::new(None), stop }
    }

    /// Starts it on data in `folder`, and waits until `ready` says so.
    pub(super) async fn start(&self, command: &mut Command, folder: &Path, ready: impl Fn() -> bool) {
        let child = command.spawn().unwrap_or_else(|error| panic!("{command:?} cannot be started: {error}"));
        let script = "read -r nothing; kill -9 -\"$1\" 2>/dev/null; rm -rf \"$2\"";
        let mut guard = Command::new("sh");
        guard.args(["-c", script, "guard", &child.id().to_string()]).arg(folder).process_group(0);
        let guard = guard.stdin(Stdio::piped()).stderr(Stdio::null()).spawn().expect("sh starts");
        *self.lock() = Some(Running { child, guard });
        let mut tick = tokio::time::interval(Duration::from_millis(50));
        for _ in 0..1200 {
            tick.tick().await;
            if ready() {
                return;
            }
            let mut running = self.lock();
            let ended = running.as_mut().and_then(|running| running.child.try_wait().ok().flatten());
            assert!(ended.is_none(), "{command:?} ended at once: {ended:?}");
        }
        panic!("{command:?} did not answer within a minute");
    }

    /// Ends it in order and waits for that.
    pub(super) fn stop(&self) {
        self.end(self.stop);
    }

    /// Kills it without a farewell.
    pub(super) fn kill(&self) {
        self.end(Signal::KILL);
    }

    fn end(&self, signal: Signal) {
        let Some(mut running) = self.lock().take() else { return };
        let pid = running.child.id();
        let all = family(pid);
        // One that is paused would not hear.
        all.iter().for_each(|pid| send(*pid, Signal::CONT));
        send(pid, signal);
        if signal == Signal::KILL {
            all.iter().for_each(|pid| send(*pid, signal));
        }
        let _ = running.child.wait();
        // It is not needed any more, and would remove the folder.
        let _ = running.guard.kill();
        let _ = running.guard.wait();
    }

    /// Stops the time of it and of its children: connections stay open and nothing is answered.
    pub(super) fn pause(&self) {
        self.signal_all(Signal::STOP);
    }

    /// Lets a paused one go on.
    pub(super) fn resume(&self) {
        self.signal_all(Signal::CONT);
    }

    fn signal_all(&self, signal: Signal) {
        let pid = self.lock().as_ref().expect("the server runs").child.id();
        family(pid).iter().for_each(|pid| send(*pid, signal));
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Running>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A port that nobody listens on now, and that no outgoing connection is given: a server that is started again on it would
/// find it taken.
pub(super) fn free_port() -> u16 {
    let range = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").expect("what the kernel gives out");
    let given_out: Vec<u16> = range.split_whitespace().map(|bound| bound.parse().expect("a port")).collect();
    let [first, last] = given_out[..] else { panic!("two ports are expected, not {range}") };
    for _ in 0..1_000 {
        // Each has keys of its own, so what it makes of nothing is random.
        let drawn = RandomState::new().build_hasher().finish();
        let port = 10_000 + u16::try_from(drawn % 50_000).expect("less than 50,000");
        if !(first..=last).contains(&port) && TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
    // A kernel that gives out nearly all of them leaves no choice.
    TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).expect("a free port").port()
}

/// The program in one of these folders, or a failure that names the package.
pub(super) fn installed(candidates: &[PathBuf], package: &str) -> PathBuf {
    let found = candidates.iter().rev().find(|path| path.exists());
    found.unwrap_or_else(|| panic!("this test needs a server: apt-get install {package}")).clone()
}

fn send(pid: u32, signal: Signal) {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    let _ = kill_process(pid.expect("a process number"), signal);
}

/// A process and all that descend from it.
fn family(root: u32) -> Vec<u32> {
    let parents: Vec<(u32, u32)> = fs::read_dir("/proc")
        .expect("/proc")
        .filter_map(|entry| {
            let pid: u32 = entry.ok()?.file_name().to_str()?.parse().ok()?;
            let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
            // After the name in parentheses: state, parent.
            let parent = stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()?;
            Some((pid, parent))
        })
        .collect();
    let mut all = vec![root];
    let mut at = 0;
    while let Some(parent) = all.get(at).copied() {
        all.extend(parents.iter().filter(|(_, of)| *of == parent).map(|(pid, _)| *pid));
        at += 1;
    }
    all
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

fn id(what: &str, account: &str) -> u32 {
    let output = Command::new("id").args([what, account]).output().expect("id runs");
    let text = String::from_utf8_lossy(&output.stdout);
    text.trim().parse().unwrap_or_else(|_| panic!("there is no account {account}: install the package of that server"))
}
