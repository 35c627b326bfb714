//! Sends what is counted to a collector that speaks StatsD: in datagrams (`statsd_address`), or in lines over a connection
//! that is kept (`statsite_address`).
//!
//! Invariants: nobody waits for a collector, and one that is not there costs a line in the log, once. What happened is
//! sent as differences, so that a collector that restarts counts nothing twice; a difference that could not be sent goes
//! with the next. Of a timing the mean of an interval is sent, marked with how many it stands for: their number and sum
//! are right, and their spread is lost.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use strongroom_api::{Measure, Reading, Server};
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpStream, UdpSocket, lookup_host};
use tokio::sync::watch;

/// How often it is sent; collectors sum up over ten seconds unless told otherwise.
const INTERVAL: Duration = Duration::from_secs(10);
/// A datagram that passes every network whole.
const DATAGRAM: usize = 1_400;
/// How long a collector may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// A collector, as `host:port`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Collector {
    /// Datagrams.
    Statsd(String),
    /// A connection.
    Statsite(String),
}

/// Sends to one collector.
pub(super) struct Sender {
    collector: Collector,
    connection: Option<TcpStream>,
    sent: Sent,
    failing: bool,
}

impl Sender {
    pub(super) fn new(collector: Collector) -> Self {
        Self { collector, connection: None, sent: Sent::default(), failing: false }
    }

    /// Sends until it is told to stop, and once more then.
    pub(super) async fn run(mut self, server: Arc<Server>, mut stop: watch::Receiver<bool>) {
        let mut pace = tokio::time::interval(INTERVAL);
        loop {
            let stopping = tokio::select! {
                _ = pace.tick() => false,
                _ = stop.wait_for(|stop| *stop) => true,
            };
            self.round(&server.measures()).await;
            if stopping {
                return;
            }
        }
    }

    async fn round(&mut self, measures: &[Measure]) {
        let lines = self.sent.lines(measures);
        let done = tokio::time::timeout(PATIENCE, self.send(&lines)).await;
        match done.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) {
            Ok(()) => {
                self.sent.note(measures);
                if std::mem::take(&mut self.failing) {
                    tracing::info!(collector = self.address(), "metrics are sent again");
                }
            }
            Err(error) => {
                self.connection = None;
                if !std::mem::replace(&mut self.failing, true) {
                    tracing::warn!(collector = self.address(), %error, "metrics could not be sent; it is tried again every ten seconds");
                }
            }
        }
    }

    fn address(&self) -> &str {
        match &self.collector {
            Collector::Statsd(address) | Collector::Statsite(address) => address,
        }
    }

    async fn send(&mut self, lines: &[String]) -> io::Result<()> {
        match &self.collector {
            Collector::Statsd(address) => {
                let to = lookup_host(address).await?.next().ok_or(io::ErrorKind::NotFound)?;
                let from = if to.is_ipv6() { "[::]:0" } else { "0.0.0.0:0" };
                let socket = UdpSocket::bind(from).await?;
                socket.connect(to).await?;
                for datagram in datagrams(lines) {
                    socket.send(datagram.as_bytes()).await?;
                }
                Ok(())
            }
            Collector::Statsite(address) => {
                if self.connection.is_none() {
                    self.connection = Some(TcpStream::connect(address).await?);
                }
                let Some(connection) = &mut self.connection else { return Ok(()) };
                connection.write_all(lines.iter().map(|line| format!("{line}\n")).collect::<String>().as_bytes()).await
            }
        }
    }
}

/// Lines put together, as many as go into a datagram.
fn datagrams(lines: &[String]) -> Vec<String> {
    let mut datagrams: Vec<String> = Vec::new();
    for line in lines {
        match datagrams.last_mut().filter(|last| last.len() + 1 + line.len() <= DATAGRAM) {
            Some(last) => {
                last.push('\n');
                last.push_str(line);
            }
            None => datagrams.push(line.clone()),
        }
    }
    datagrams
}

/// How often things had happened, and how long they had taken, when that was last sent.
#[derive(Default)]
struct Sent(BTreeMap<String, (u64, u64)>);

impl Sent {
    /// What is to be sent of these.
    fn lines(&self, measures: &[Measure]) -> Vec<String> {
        measures.iter().filter_map(|measure| self.line(measure)).collect()
    }

    fn line(&self, measure: &Measure) -> Option<String> {
        let name = flat(measure);
        let (count_before, sum_before) = self.0.get(&name).copied().unwrap_or_default();
        match measure.reading {
            Reading::Gauge(value) => Some(format!("{name}:{value}|g")),
            Reading::Count(count) => {
                let more = count.saturating_sub(count_before);
                (more > 0).then(|| format!("{name}:{more}|c"))
            }
            Reading::Time { count, sum_us } => {
                let (more, took) = (count.saturating_sub(count_before), sum_us.saturating_sub(sum_before));
                let mean_ms = took as f64 / 1_000.0 / more.max(1) as f64;
                let mut line = format!("{name}:{mean_ms:.3}|ms");
                if more > 1 {
                    let _ = write!(line, "|@{}", 1.0 / more as f64);
                }
                (more > 0).then_some(line)
            }
        }
    }

    /// Remembers that these were sent.
    fn note(&mut self, measures: &[Measure]) {
        for measure in measures {
            match measure.reading {
                Reading::Gauge(_) => {}
                Reading::Count(count) => drop(self.0.insert(flat(measure), (count, 0))),
                Reading::Time { count, sum_us } => drop(self.0.insert(flat(measure), (count, sum_us))),
            }
        }
    }
}

/// The name with the values of its labels behind it, as Vault's library for metrics flattens them, without characters that
/// mean something on the wire. The unit does not stand in the name: StatsD has milliseconds.
fn flat(measure: &Measure) -> String {
    let name = measure.name.strip_suffix(".seconds").filter(|_| matches!(measure.reading, Reading::Time { .. }));
    let mut flat = name.unwrap_or(&measure.name).to_owned();
    for (_, value) in &measure.labels {
        flat.push('.');
        flat.push_str(value);
    }
    let plain = |c: char| if c.is_ascii_alphanumeric() || "._-/".contains(c) { c } else { '_' };
    flat.chars().map(plain).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measure(name: &str, labels: &[(&'static str, &str)], reading: Reading) -> Measure {
        let labels = labels.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
        Measure { name: name.to_owned(), labels, reading }
    }

    #[test]
    fn what_happened_is_sent_as_differences_and_how_it_stands_as_it_is() {
        let at = |happened, count, sum_us| {
            [
                measure("vault.core.unsealed", &[("cluster", "a b:c|d")], Reading::Gauge(1.0)),
                measure("vault.token.creation", &[], Reading::Count(happened)),
                measure("x.duration.seconds", &[("op", "read")], Reading::Time { count, sum_us }),
            ]
        };
        let mut sent = Sent::default();
        let gauge = "vault.core.unsealed.a_b_c_d:1|g";
        assert_eq!(sent.lines(&at(3, 1, 1_500)), [gauge, "vault.token.creation:3|c", "x.duration.read:1.500|ms"]);
        assert_eq!(sent.lines(&at(4, 1, 1_500)).len(), 3, "what was not sent goes with the next");
        sent.note(&at(4, 1, 1_500));
        assert_eq!(sent.lines(&at(4, 1, 1_500)), [gauge]);
        assert_eq!(sent.lines(&at(9, 5, 9_500)), [gauge, "vault.token.creation:5|c", "x.duration.read:2.000|ms|@0.25"]);
    }

    #[test]
    fn a_datagram_holds_whole_lines_and_is_not_too_long() {
        let lines: Vec<String> = (0..200).map(|n| format!("vault.some.name.{n}:{n}|g")).collect();
        let datagrams = datagrams(&lines);
        assert!(datagrams.len() > 1 && datagrams.iter().all(|datagram| datagram.len() <= DATAGRAM));
        assert_eq!(datagrams.join("\n"), lines.join("\n"));
    }
}
