//! What HUP changes in a running server: certificates and client authorities of its listeners, the level of the log, and
//! the files of log and audit devices. Running requests and connections go on. What cannot be read leaves what is in
//! force, and the log says why. Everything else in the configuration needs a restart.

use super::log::LogFile;
use super::{Running, production};
use crate::cli::ServerArgs;
use crate::config::Config;
use strongroom_api::{Bind, Listener, Tls, TlsFiles};

/// What can be changed.
pub(super) struct Reload {
    doors: Vec<Door>,
    log_file: Option<LogFile>,
}

/// A listener with certificates.
struct Door {
    address: String,
    files: TlsFiles,
    tls: Tls,
}

/// What the configuration says now.
struct Wanted {
    binds: Vec<Bind>,
    level: String,
}

impl Reload {
    pub(super) fn new(binds: &[Bind], listeners: &[Listener], log_file: Option<LogFile>) -> Self {
        let door = |(bind, listener): (&Bind, &Listener)| {
            Some(Door { address: bind.address.clone(), files: bind.tls.clone()?, tls: listener.tls()? })
        };
        Self { doors: binds.iter().zip(listeners).filter_map(door).collect(), log_file }
    }

    /// Reads everything again.
    pub(super) async fn run(&mut self, running: &Running, args: &ServerArgs) {
        // First, so that all of the rest is told in the new file.
        if let Some(Err(error)) = self.log_file.as_ref().map(LogFile::reopen) {
            tracing::error!(%error, "the log file cannot be opened anew, and the old one is written on");
        }
        match wanted(args) {
            Ok(Some(wanted)) => self.take(running, wanted),
            Ok(None) => {}
            Err(error) => {
                tracing::error!("the configuration cannot be read again, and what is in force stays: {error:#}")
            }
        }
        for door in &self.doors {
            match door.tls.reload(&door.files) {
                Ok(()) => tracing::info!(listener = door.address, "the certificate was read anew"),
                Err(error) => {
                    tracing::error!(listener = door.address, %error, "the certificate cannot be read anew, and the old one stays")
                }
            }
        }
        running.strongroom.reopen_devices().await;
    }

    fn take(&mut self, running: &Running, wanted: Wanted) {
        for door in &mut self.doors {
            let bind = wanted.binds.iter().find(|bind| bind.address == door.address);
            match bind.and_then(|bind| bind.tls.clone()) {
                Some(files) => door.files = files,
                None => tracing::warn!(listener = door.address, "to close a listener, or its TLS, restart the server"),
            }
        }
        if let Some(log) = running.server.log()
            && !log.configure(&wanted.level)
        {
            tracing::error!(level = wanted.level, "the log does not take its new level");
        }
    }
}

/// What the configuration says now; a development server has none.
fn wanted(args: &ServerArgs) -> anyhow::Result<Option<Wanted>> {
    if args.dev {
        return Ok(None);
    }
    let config = Config::load(&args.config, &|name| std::env::var(name).ok())?.config;
    let binds = config.listeners.iter().map(production::bind).collect::<anyhow::Result<_>>()?;
    Ok(Some(Wanted { binds, level: super::log::level(&production::log(args, &config).level)? }))
}
