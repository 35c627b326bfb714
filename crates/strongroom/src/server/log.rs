use super::plan::LogPlan;
use anyhow::Context;
use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::sync::Mutex;
use strongroom_api::LogControl;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::writer::BoxMakeWriter;

/// Begins the operator log on standard error, and gives the handle that changes how much is said. Values never reach it:
/// types that hold them cannot be printed.
pub(super) fn start(plan: &LogPlan) -> anyhow::Result<LogControl> {
    let level = match plan.level.to_ascii_lowercase().as_str() {
        "warning" => "warn".to_owned(),
        "err" => "error".to_owned(),
        level @ ("trace" | "debug" | "info" | "warn" | "error" | "off") => level.to_owned(),
        other => anyhow::bail!("log level `{other}` does not exist: use trace, debug, info, warn or error"),
    };
    let levels = ROOMS.map(|room| (room.to_owned(), level.clone())).into();
    let writer = match &plan.file {
        None => BoxMakeWriter::new(std::io::stderr),
        Some(path) => {
            let opened = OpenOptions::new().append(true).create(true).mode(0o600).open(path);
            BoxMakeWriter::new(Mutex::new(
                opened.with_context(|| format!("the log file {} cannot be opened", path.display()))?,
            ))
        }
    };
    let builder = tracing_subscriber::fmt().with_env_filter(filter(&levels)?).with_writer(writer).with_target(false);
    let (set, apply): (_, Box<dyn Fn(EnvFilter) -> bool + Send + Sync>) = if plan.json {
        let builder = builder.json().with_filter_reloading();
        let handle = builder.reload_handle();
        (builder.try_init(), Box::new(move |filter| handle.reload(filter).is_ok()))
    } else {
        let builder = builder.with_ansi(false).with_filter_reloading();
        let handle = builder.reload_handle();
        (builder.try_init(), Box::new(move |filter| handle.reload(filter).is_ok()))
    };
    set.map_err(|error| anyhow::anyhow!("the log cannot be started: {error}"))?;
    Ok(LogControl::new(ROOMS, &level, move |levels| filter(levels).is_ok_and(&apply)))
}

/// The rooms that speak.
const ROOMS: [&str; 9] = ["server", "api", "core", "auth", "audit", "barrier", "storage", "memory", "model"];

/// Libraries speak from `warn` on: at `debug`, HTTP libraries would print headers, and headers hold tokens.
fn filter(levels: &BTreeMap<String, String>) -> anyhow::Result<EnvFilter> {
    let one = |(room, level): (&String, &String)| match room.as_str() {
        "server" => format!("strongroom={level}"),
        room => format!("strongroom_{room}={level}"),
    };
    let rooms = levels.iter().map(one).collect::<Vec<_>>().join(",");
    Ok(EnvFilter::try_new(format!("warn,{rooms}"))?)
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
