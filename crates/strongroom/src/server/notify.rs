//! Tells the service manager how the server does (systemd, `sd_notify(3)`): ready, reloading, stopping, alive. Says
//! nothing where nobody listens.

use sd_notify::NotifyState;
use std::time::Duration;
use tokio::time::{Interval, MissedTickBehavior, interval};

/// The service manager, if there is one.
pub(super) struct Manager {
    watchdog: Option<Interval>,
}

impl Manager {
    /// The one that started this process, by its environment.
    pub(super) fn of_process() -> Self {
        // Half the time, so that one late sign of life does no harm (sd_watchdog_enabled(3)).
        let every = sd_notify::watchdog_enabled().map(|patience| (patience / 2).max(Duration::from_millis(1)));
        let watchdog = every.map(|every| {
            let mut interval = interval(every);
            interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
            interval
        });
        Self { watchdog }
    }

    /// Requests are served.
    pub(super) fn ready(&self) {
        tell(&[NotifyState::Ready]);
    }

    /// Files are read anew; `ready` follows.
    pub(super) fn reloading(&self) {
        match NotifyState::monotonic_usec_now() {
            Ok(now) => tell(&[NotifyState::Reloading, now]),
            Err(_) => tell(&[NotifyState::Reloading]),
        }
    }

    /// The end has begun.
    pub(super) fn stopping(&self) {
        tell(&[NotifyState::Stopping]);
    }

    /// Gives signs of life as often as they are wanted. To be polled where the server would hang.
    pub(super) async fn live(&mut self) {
        let Some(watchdog) = &mut self.watchdog else { return std::future::pending().await };
        loop {
            watchdog.tick().await;
            tell(&[NotifyState::Watchdog]);
        }
    }
}

fn tell(what: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(what) {
        tracing::warn!(%error, "the service manager was not told how the server does");
    }
}
