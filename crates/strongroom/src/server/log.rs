use super::plan::LogPlan;
use anyhow::Context;
use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use strongroom_api::LogControl;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::writer::{BoxMakeWriter, MakeWriter};

/// Begins the operator log on standard error, and gives the handle that changes how much is said. Values never reach it:
/// types that hold them cannot be printed.
pub(super) fn start(plan: &LogPlan) -> anyhow::Result<(LogControl, Option<LogFile>)> {
    let level = level(&plan.level)?;
    let levels = ROOMS.map(|room| (room.to_owned(), level.clone())).into();
    let file = plan.file.as_deref().map(LogFile::open).transpose()?;
    let writer = match &file {
        None => BoxMakeWriter::new(std::io::stderr),
        Some(file) => BoxMakeWriter::new(file.clone()),
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
    Ok((LogControl::new(ROOMS, &level, move |levels| filter(levels).is_ok_and(&apply)), file))
}

/// The one spelling of a level.
pub(super) fn level(text: &str) -> anyhow::Result<String> {
    match text.to_ascii_lowercase().as_str() {
        "warning" => Ok("warn".to_owned()),
        "err" => Ok("error".to_owned()),
        level @ ("trace" | "debug" | "info" | "warn" | "error" | "off") => Ok(level.to_owned()),
        other => anyhow::bail!("log level `{other}` does not exist: use trace, debug, info, warn or error"),
    }
}

/// A log file that can be opened anew after it was moved away.
#[derive(Clone)]
pub(super) struct LogFile(Arc<(PathBuf, Mutex<File>)>);

impl LogFile {
    fn open(path: &Path) -> anyhow::Result<Self> {
        let file = append_to(path).with_context(|| format!("the log file {} cannot be opened", path.display()))?;
        Ok(Self(Arc::new((path.to_owned(), Mutex::new(file)))))
    }

    /// Goes on in the file that goes by the name now.
    pub(super) fn reopen(&self) -> io::Result<()> {
        let (path, file) = &*self.0;
        let opened = append_to(path)?;
        *file.lock().unwrap_or_else(PoisonError::into_inner) = opened;
        Ok(())
    }
}

fn append_to(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).mode(0o600).open(path)
}

impl Write for LogFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.1.lock().unwrap_or_else(PoisonError::into_inner).write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.1.lock().unwrap_or_else(PoisonError::into_inner).flush()
    }
}

impl<'a> MakeWriter<'a> for LogFile {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
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
