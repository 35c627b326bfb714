//! The physical limit of a read: the same HTTP stack in a process of its own, answering the same bytes from memory.

use crate::client::Client;
use anyhow::Context;
use bytes::Bytes;
use http_body_util::Full;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use std::convert::Infallible;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, Command, Stdio};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

/// A bare server; ended when dropped.
pub(crate) struct Bare {
    process: Child,
    url: String,
}

impl Bare {
    pub(crate) fn start(answer: &[u8]) -> anyhow::Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("bare").stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = command.spawn()?;
        // Not as an argument: it is the answer of a server that somebody named, and arguments are there for all to read.
        process.stdin.take().context("no input")?.write_all(answer)?;
        let mut line = String::new();
        BufReader::new(process.stdout.take().context("no output")?).read_line(&mut line)?;
        Ok(Self { process, url: format!("http://{}", line.trim()) })
    }

    pub(crate) fn client(&self) -> anyhow::Result<Client> {
        Client::new(&self.url, "none")
    }
}

impl Drop for Bare {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// What the child process does.
pub(crate) fn run() -> anyhow::Result<()> {
    let mut answer = Vec::new();
    std::io::stdin().read_to_end(&mut answer)?;
    let answer = Bytes::from(answer);
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        println!("{}", listener.local_addr()?);
        let mut serving = JoinSet::new();
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            let answer = answer.clone();
            serving.spawn(async move {
                let service = service_fn(|_: Request<hyper::body::Incoming>| {
                    let mut response = Response::new(Full::new(answer.clone()));
                    let json = hyper::header::HeaderValue::from_static("application/json");
                    response.headers_mut().insert(hyper::header::CONTENT_TYPE, json);
                    async { Ok::<_, Infallible>(response) }
                });
                let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
            });
        }
    })
}
