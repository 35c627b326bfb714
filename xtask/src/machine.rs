//! Installs what the tests need and the machine lacks: packages of the system, components of the Rust toolchain, and
//! Python clients in a folder of their own. Installs nothing that is there, and nothing outside the workspace except
//! system packages when it runs as root.

use crate::step;
use anyhow::Context;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What a test calls, how to see that it is there, and the Debian package that brings it.
struct Need {
    program: &'static str,
    probe: &'static [&'static str],
    package: &'static str,
}

const NEEDS: &[Need] = &[
    // The tests of the store put a library with failing syncs under it.
    Need { program: "cc", probe: &["--version"], package: "gcc" },
    Need { program: "curl", probe: &["--version"], package: "curl" },
    // Makes certificates for servers under test.
    Need { program: "openssl", probe: &["version"], package: "openssl" },
    Need { program: "python3", probe: &["--version"], package: "python3" },
    Need { program: "python3", probe: &["-c", "import venv, ensurepip"], package: "python3-venv" },
    // A second client by other people: node-vault.
    Need { program: "node", probe: &["--version"], package: "nodejs" },
    Need { program: "npm", probe: &["--version"], package: "npm" },
    // Shells whose completions are tried.
    Need { program: "zsh", probe: &["--version"], package: "zsh" },
    Need { program: "fish", probe: &["--version"], package: "fish" },
    // Systems whose logins are made and ended. Tests start them on ports and folders of their own.
    Need { program: "sh", probe: &["-c", "ls /usr/lib/postgresql/*/bin/postgres"], package: "postgresql" },
    Need { program: "sh", probe: &["-c", "test -x /usr/sbin/mariadbd"], package: "mariadb-server" },
    Need { program: "redis-server", probe: &["--version"], package: "redis-server" },
    Need { program: "sh", probe: &["-c", "test -x /usr/sbin/rabbitmq-server"], package: "rabbitmq-server" },
    // A collector that copies of the trail are sent to.
    Need { program: "sh", probe: &["-c", "test -x /usr/sbin/rsyslogd"], package: "rsyslog" },
];

/// Installs missing system packages, or says which to install when only the administrator may.
pub(crate) fn install_packages() -> anyhow::Result<()> {
    let missing: Vec<&str> = NEEDS.iter().filter(|need| !need.is_met()).map(|need| need.package).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let list = missing.join(" ");
    anyhow::ensure!(
        step::find("apt-get").is_some() && is_root()?,
        "missing on this machine: {list}; install them as root, as with `sudo apt-get install {list}`"
    );
    step::run(apt().arg("update"))?;
    step::run(apt().args(["install", "--yes", "--no-install-recommends"]).args(&missing))
}

/// Adds rustfmt and clippy to a minimal toolchain.
pub(crate) fn install_components() -> anyhow::Result<()> {
    let missing: Vec<&str> = [("cargo-fmt", "rustfmt"), ("cargo-clippy", "clippy")]
        .into_iter()
        // Rustup puts a stand-in for each on the search path, which fails when the component is absent.
        .filter(|(program, _)| !step::holds(Command::new(program).arg("--version")))
        .map(|(_, component)| component)
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    step::run(Command::new("rustup").args(["component", "add"]).args(missing))
}

/// The Python that has the clients of `tests/requirements.txt`, and those versions only; made when it is not there.
pub(crate) fn python(root: &Path) -> anyhow::Result<PathBuf> {
    let venv = root.join(".venv");
    let python = venv.join("bin/python");
    let wanted = root.join("tests/requirements.txt");
    let wanted_text = fs::read(&wanted).with_context(|| format!("{} cannot be read", wanted.display()))?;
    let stamp = venv.join("requirements.txt");
    if step::holds(Command::new(&python).args(["-m", "pytest", "--version"]))
        && fs::read(&stamp).is_ok_and(|there| there == wanted_text)
    {
        return Ok(python);
    }
    step::run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&venv))?;
    let mut pip = Command::new(&python);
    pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--requirement"]).arg(&wanted);
    step::run(&mut pip)?;
    // Written last: an installation that broke off is made anew.
    fs::write(&stamp, wanted_text).with_context(|| format!("{} cannot be written", stamp.display()))?;
    Ok(python)
}

impl Need {
    fn is_met(&self) -> bool {
        step::holds(Command::new(self.program).args(self.probe))
    }
}

fn apt() -> Command {
    let mut command = Command::new("apt-get");
    command.env("DEBIAN_FRONTEND", "noninteractive");
    command
}

fn is_root() -> anyhow::Result<bool> {
    Ok(step::output(Command::new("id").arg("-u"))?.trim() == "0")
}
