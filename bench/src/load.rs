use crate::client::Client;
use crate::engine::Engine;
use crate::processor::Processor;
use anyhow::bail;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

/// How often a figure and its limit take turns: a machine that is shared and slow for a second is so for both.
const TURNS: u32 = 6;

/// Requests to be sent over and over.
#[derive(Clone)]
pub(crate) struct Load {
    client: Client,
    method: &'static str,
    path: String,
    body: String,
    /// Numbers the requests, when each goes to a path of its own.
    fresh: Option<Arc<AtomicU64>>,
    /// Headers in place of a token, for requests to `/`.
    headers: Option<Vec<(&'static str, String)>>,
}

/// What a load reached.
pub(crate) struct Reached {
    /// Answers per second.
    pub(crate) per_second: f64,
    /// Half of the answers came within.
    pub(crate) p50: Duration,
    /// 99 of 100 answers came within.
    pub(crate) p99: Duration,
    /// Where the machine's processor time went for each request, in words.
    pub(crate) processor: String,
}

/// What one turn of a load brought.
#[derive(Default)]
struct Turn {
    times: Vec<Duration>,
    elapsed: Duration,
    processor: Processor,
}

impl Load {
    /// Reads of one path.
    pub(crate) fn reads(client: &Client, path: &str) -> Self {
        Self::same(client, "GET", path, "")
    }

    /// The same request over and over.
    pub(crate) fn same(client: &Client, method: &'static str, path: &str, body: &str) -> Self {
        Self {
            client: client.clone(),
            method,
            path: path.to_owned(),
            body: body.to_owned(),
            fresh: None,
            headers: None,
        }
    }

    /// Writes, each to a path of its own below this one.
    pub(crate) fn writes(client: &Client, path: &str, body: &str) -> Self {
        Self {
            client: client.clone(),
            method: "POST",
            path: path.to_owned(),
            body: body.to_owned(),
            fresh: Some(Arc::default()),
            headers: None,
        }
    }

    /// The same request to `/` over and over, with headers of its own.
    pub(crate) fn dressed(client: &Client, headers: Vec<(&'static str, String)>, body: &str) -> Self {
        Self { headers: Some(headers), ..Self::same(client, "POST", "", body) }
    }

    /// Sends as fast as that many connections take answers, each waiting for its answer before the next request.
    pub(crate) async fn run(&self, connections: usize, span: Duration) -> anyhow::Result<Reached> {
        Ok(self.turn(connections, span).await?.reached())
    }

    /// As [`Load::run`], by turns with the other load, each for that span in all. What this one reached, and the other.
    pub(crate) async fn beside(
        &self,
        other: &Load,
        connections: usize,
        span: Duration,
    ) -> anyhow::Result<(Reached, Reached)> {
        let (mut own, mut others) = (Turn::default(), Turn::default());
        for _ in 0..TURNS {
            others.add(other.turn(connections, span / TURNS).await?);
            own.add(self.turn(connections, span / TURNS).await?);
        }
        Ok((own.reached(), others.reached()))
    }

    /// As [`Load::run`], by turns with the engines. What this reached, and how many commits per second each of them.
    pub(crate) async fn beside_engines<const N: usize>(
        &self,
        engines: &[Engine; N],
        connections: usize,
        span: Duration,
    ) -> anyhow::Result<(Reached, [f64; N])> {
        let (mut own, mut commits) = (Turn::default(), [0.0; N]);
        for _ in 0..TURNS {
            for (engine, commits) in engines.iter().zip(&mut commits) {
                *commits += engine.run(span / TURNS).await? / f64::from(TURNS);
            }
            own.add(self.turn(connections, span / TURNS).await?);
        }
        Ok((own.reached(), commits))
    }

    async fn turn(&self, connections: usize, span: Duration) -> anyhow::Result<Turn> {
        let load = Arc::new(self.clone());
        let mut opened = Vec::new();
        for _ in 0..connections {
            opened.push(load.client.connect().await?);
        }
        // One request each before the clock starts, so that caches and connections are warm.
        for connection in &mut opened {
            connection.exchange(load.request()?).await?;
        }
        let (before, start) = (Processor::now()?, Instant::now());
        let mut running = JoinSet::new();
        for mut connection in opened {
            let load = Arc::clone(&load);
            running.spawn(async move {
                let mut times = Vec::new();
                while start.elapsed() < span {
                    let sent = Instant::now();
                    let (status, _) = connection.exchange(load.request()?).await?;
                    if status >= 300 {
                        bail!("{} {} answered {status} under load", load.method, load.path);
                    }
                    times.push(sent.elapsed());
                }
                Ok(times)
            });
        }
        let mut times = Vec::new();
        while let Some(ended) = running.join_next().await {
            times.extend(ended??);
        }
        Ok(Turn { times, elapsed: start.elapsed(), processor: Processor::now()? - before })
    }

    fn request(&self) -> anyhow::Result<hyper::Request<http_body_util::Full<bytes::Bytes>>> {
        if let Some(headers) = &self.headers {
            return self.client.dressed(headers, &self.body);
        }
        let Some(numbers) = &self.fresh else {
            return self.client.request(self.method, &self.path, &self.body);
        };
        let number = numbers.fetch_add(1, Ordering::Relaxed);
        self.client.request(self.method, &format!("{}/{}/{number}", self.path, std::process::id()), &self.body)
    }
}

impl Turn {
    fn add(&mut self, next: Turn) {
        self.times.extend(next.times);
        self.elapsed += next.elapsed;
        self.processor += next.processor;
    }

    fn reached(mut self) -> Reached {
        self.times.sort_unstable();
        let at = |share: f64| self.times.get((self.times.len() as f64 * share) as usize).copied().unwrap_or_default();
        let per_second = self.times.len() as f64 / self.elapsed.as_secs_f64();
        let processor = self.processor.of_each(self.times.len());
        Reached { per_second, p50: at(0.5), p99: at(0.99), processor }
    }
}
