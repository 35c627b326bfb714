//! Sends what is counted to a collector that speaks StatsD: in datagrams (`statsd_address`), in datagrams that have labels as
//! DogStatsD has them (`dogstatsd_addr`), or in lines over a connection that is kept (`statsite_address`).
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
    /// Datagrams with labels, and the labels that all of them have.
    Dogstatsd(String, Vec<String>),
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
        let mut lines = self.sent.lines(measures, self.style());
        if let Collector::Dogstatsd(_, tags) = &self.collector {
            lines.iter_mut().for_each(|line| add_tags(line, tags));
        }
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

    fn style(&self) -> Style {
        match &self.collector {
            Collector::Statsd(_) | Collector::Statsite(_) => Style::Flat,
            Collector::Dogstatsd(..) => Style::Tagged,
        }
    }

    fn address(&self) -> &str {
        match &self.collector {
            Collector::Statsd(address) | Collector::Statsite(address) | Collector::Dogstatsd(address, _) => address,
        }
    }

    async fn send(&mut self, lines: &[String]) -> io::Result<()> {
        match &self.collector {
            Collector::Statsd(address) | Collector::Dogstatsd(address, _) => {
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
    fn lines(&self, measures: &[Measure], style: Style) -> Vec<String> {
        measures.iter().filter_map(|measure| self.line(measure, style)).collect()
    }

    fn line(&self, measure: &Measure, style: Style) -> Option<String> {
        let (count_before, sum_before) = self.0.get(&flat(measure)).copied().unwrap_or_default();
        let name = match style {
            Style::Flat => flat(measure),
            Style::Tagged => bare(measure),
        };
        let line = match measure.reading {
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
        };
        line.map(|mut line| {
            if matches!(style, Style::Tagged) {
                let tags: Vec<String> =
                    measure.labels.iter().map(|(name, value)| format!("{name}:{}", plain(value, "._-/"))).collect();
                add_tags(&mut line, &tags);
            }
            line
        })
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

/// Where the values of labels go.
#[derive(Clone, Copy)]
enum Style {
    /// Into the name.
    Flat,
    /// Behind the number.
    Tagged,
}

/// Adds labels to a line, behind those that it has.
fn add_tags(line: &mut String, tags: &[String]) {
    if !tags.is_empty() {
        line.push_str(if line.contains("|#") { "," } else { "|#" });
        line.push_str(&tags.join(","));
    }
}

/// The name without its unit: StatsD has milliseconds.
fn bare(measure: &Measure) -> String {
    let name = measure.name.strip_suffix(".seconds").filter(|_| matches!(measure.reading, Reading::Time { .. }));
    plain(name.unwrap_or(&measure.name), "._-/")
}

fn plain(text: &str, more: &str) -> String {
    text.chars().map(|c| if c.is_ascii_alphanumeric() || more.contains(c) { c } else { '_' }).collect()
}

/// The name with the values of its labels behind it, as Vault's library for metrics flattens them, without characters that
/// mean something on the wire.
fn flat(measure: &Measure) -> String {
    let mut flat = bare(measure);
    for (_, value) in &measure.labels {
        flat.push('.');
        flat.push_str(&plain(value, "._-/"));
    }
    flat
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
        assert_eq!(
            sent.lines(&at(3, 1, 1_500), Style::Flat),
            [gauge, "vault.token.creation:3|c", "x.duration.read:1.500|ms"]
        );
        assert_eq!(sent.lines(&at(4, 1, 1_500), Style::Flat).len(), 3, "what was not sent goes with the next");
        sent.note(&at(4, 1, 1_500));
        assert_eq!(sent.lines(&at(4, 1, 1_500), Style::Flat), [gauge]);
        assert_eq!(
            sent.lines(&at(9, 5, 9_500), Style::Flat),
            [gauge, "vault.token.creation:5|c", "x.duration.read:2.000|ms|@0.25"]
        );
    }

    #[test]
    fn a_collector_of_dogstatsd_gets_labels_beside_the_name() {
        let measures = [
            measure("vault.core.unsealed", &[("cluster", "a b"), ("x", "1|c")], Reading::Gauge(1.0)),
            measure("x.duration.seconds", &[], Reading::Time { count: 2, sum_us: 3_000 }),
        ];
        let mut lines = Sent::default().lines(&measures, Style::Tagged);
        assert_eq!(lines, ["vault.core.unsealed:1|g|#cluster:a_b,x:1_c", "x.duration:1.500|ms|@0.5"]);
        lines.iter_mut().for_each(|line| add_tags(line, &["env:test".to_owned(), "bare".to_owned()]));
        assert_eq!(lines[0], "vault.core.unsealed:1|g|#cluster:a_b,x:1_c,env:test,bare");
        assert_eq!(lines[1], "x.duration:1.500|ms|@0.5|#env:test,bare");
    }

    #[test]
    fn a_datagram_holds_whole_lines_and_is_not_too_long() {
        let lines: Vec<String> = (0..200).map(|n| format!("vault.some.name.{n}:{n}|g")).collect();
        let datagrams = datagrams(&lines);
        assert!(datagrams.len() > 1 && datagrams.iter().all(|datagram| datagram.len() <= DATAGRAM));
        assert_eq!(datagrams.join("\n"), lines.join("\n"));
    }
}
