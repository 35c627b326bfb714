use tokio::signal::unix::{Signal as Stream, SignalKind, signal};

/// What the operating system asks of the server.
pub(super) enum Signal {
    /// HUP: read certificates and the like again, and reopen files.
    Reload,
    /// INT or TERM: end.
    Stop,
}

/// HUP, caught. Until then it would end the process, so this comes before anybody can know of the server.
pub(super) struct Hangup(Stream);

impl Hangup {
    pub(super) fn catch() -> std::io::Result<Self> {
        signal(SignalKind::hangup()).map(Self)
    }
}

/// The signals the server listens to. Before it serves, INT and TERM end it at once.
pub(super) struct Signals {
    hangup: Hangup,
    interrupt: Stream,
    terminate: Stream,
}

impl Signals {
    pub(super) fn new(hangup: Hangup) -> std::io::Result<Self> {
        Ok(Self { hangup, interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    /// Waits for the next one.
    pub(super) async fn next(&mut self) -> Signal {
        tokio::select! {
            _ = self.hangup.0.recv() => Signal::Reload,
            _ = self.interrupt.recv() => Signal::Stop,
            _ = self.terminate.recv() => Signal::Stop,
        }
    }
}
