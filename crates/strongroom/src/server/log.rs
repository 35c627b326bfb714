use super::plan::LogPlan;
use anyhow::Context;
use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::sync::Mutex;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::writer::BoxMakeWriter;

/// Begins the operator log on standard error. Values never reach it: types that hold them cannot be printed.
pub(super) fn start(plan: &LogPlan) -> anyhow::Result<()> {
    let level = match plan.level.to_ascii_lowercase().as_str() {
        "warning" => "warn".to_owned(),
        "err" => "error".to_owned(),
        level @ ("trace" | "debug" | "info" | "warn" | "error" | "off") => level.to_owned(),
        other => anyhow::bail!("log level `{other}` does not exist: use trace, debug, info, warn or error"),
    };
    // Libraries speak from `warn` on: at `debug`, HTTP libraries would print headers, and headers hold tokens.
    let filter = EnvFilter::try_new(format!("warn,strongroom={level},{}", rooms(&level)))?;
    let writer = match &plan.file {
        None => BoxMakeWriter::new(std::io::stderr),
        Some(path) => {
            let opened = OpenOptions::new().append(true).create(true).mode(0o600).open(path);
            BoxMakeWriter::new(Mutex::new(
                opened.with_context(|| format!("the log file {} cannot be opened", path.display()))?,
            ))
        }
    };
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(writer).with_target(false);
    let set = if plan.json { builder.json().try_init() } else { builder.with_ansi(false).try_init() };
    set.map_err(|error| anyhow::anyhow!("the log cannot be started: {error}"))
}

fn rooms(level: &str) -> String {
    let rooms = ["api", "core", "auth", "audit", "barrier", "storage", "memory", "model"];
    rooms.map(|room| format!("strongroom_{room}={level}")).join(",")
}

/// Says something on standard error before there is a log.
pub(super) fn complain(text: &str) {
    let _ = std::io::stderr().write_all(text.as_bytes());
}

/// Says something on standard output.
pub(super) fn say(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(text.as_bytes());
    let _ = out.flush();
}
