use crate::client::Client;
use anyhow::bail;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

/// Requests to be sent over and over.
pub(crate) struct Load {
    client: Client,
    method: &'static str,
    path: String,
    body: String,
    /// Whether each request goes to a path of its own.
    fresh: bool,
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
            fresh: false,
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
            fresh: true,
            headers: None,
        }
    }

    /// The same request to `/` over and over, with headers of its own.
    pub(crate) fn dressed(client: &Client, headers: Vec<(&'static str, String)>, body: &str) -> Self {
        Self { headers: Some(headers), ..Self::same(client, "POST", "", body) }
    }

    /// Sends as fast as that many connections take answers, each waiting for its answer before the next request.
    pub(crate) async fn run(self, connections: usize, span: Duration) -> anyhow::Result<Reached> {
        let load = Arc::new(self);
        let counter = Arc::new(AtomicU64::new(0));
        let mut opened = Vec::new();
        for _ in 0..connections {
            opened.push(load.client.connect().await?);
        }
        // One request each before the clock starts, so that caches and connections are warm.
        for connection in &mut opened {
            connection.exchange(load.request(&counter)?).await?;
        }
        let start = Instant::now();
        let mut running = JoinSet::new();
        for mut connection in opened {
            let (load, counter) = (Arc::clone(&load), Arc::clone(&counter));
            running.spawn(async move {
                let mut times = Vec::new();
                while start.elapsed() < span {
                    let sent = Instant::now();
                    let (status, _) = connection.exchange(load.request(&counter)?).await?;
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
        Ok(Reached::of(times, start.elapsed()))
    }

    fn request(&self, counter: &AtomicU64) -> anyhow::Result<hyper::Request<http_body_util::Full<bytes::Bytes>>> {
        if let Some(headers) = &self.headers {
            return self.client.dressed(headers, &self.body);
        }
        if !self.fresh {
            return self.client.request(self.method, &self.path, &self.body);
        }
        let number = counter.fetch_add(1, Ordering::Relaxed);
        self.client.request(self.method, &format!("{}/{}/{number}", self.path, std::process::id()), &self.body)
    }
}

impl Reached {
    fn of(mut times: Vec<Duration>, elapsed: Duration) -> Self {
        times.sort_unstable();
        let at = |share: f64| times.get((times.len() as f64 * share) as usize).copied().unwrap_or_default();
        Self { per_second: times.len() as f64 / elapsed.as_secs_f64(), p50: at(0.5), p99: at(0.99) }
    }
}
