use crate::tally::Tally;
use crate::{machine, step};
use anyhow::Context;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The acceptance tests in `tests/`: real clients against the binary.
pub(crate) fn run(root: &Path) -> Tally {
    match drive(root) {
        Ok(tally) => tally,
        Err(error) => Tally::of_check("acceptance tests", Err(error)),
    }
}

fn drive(root: &Path) -> anyhow::Result<Tally> {
    let python = machine::python(root)?;
    let binary = build(root)?;
    // Beside the binary: in the folder of build results, wherever that is.
    let report = binary.with_file_name("pytest.xml");
    let _ = fs::remove_file(&report);
    let mut pytest = Command::new(python);
    pytest.current_dir(root).args(["-m", "pytest", "tests", "--junitxml"]).arg(&report);
    pytest.env("STRONGROOM_BINARY", &binary).env("PYTHONDONTWRITEBYTECODE", "1");
    let ran = step::run(&mut pytest);
    let text = fs::read_to_string(&report).with_context(|| format!("pytest left no report ({ran:?})"))?;
    let mut tally = Tally::of_junit(&text).context("the report of pytest cannot be read")?;
    if tally.failed == 0 {
        tally.check("pytest", ran);
    }
    Ok(tally)
}

/// Builds the server with the profile of the tests, and asks cargo where it put it.
fn build(root: &Path) -> anyhow::Result<PathBuf> {
    println!("\n==> cargo build --package strongroom");
    let mut command = step::cargo(root);
    command.args(["build", "--package", "strongroom", "--message-format", "json-render-diagnostics"]);
    let messages = step::output(&mut command)?;
    let executable = |line: &str| -> Option<PathBuf> {
        let message: serde_json::Value = serde_json::from_str(line).ok()?;
        message.get("executable")?.as_str().map(PathBuf::from)
    };
    messages.lines().rev().find_map(executable).context("cargo built no program named strongroom")
}
