use anyhow::{Context, bail};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use std::net::SocketAddr;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

/// Speaks Vault's API in plain HTTP to one server.
#[derive(Clone)]
pub(crate) struct Client {
    address: SocketAddr,
    token: String,
}

/// One kept-alive connection.
pub(crate) struct Connection {
    sender: SendRequest<Full<Bytes>>,
    _driver: JoinSet<()>,
}

impl Client {
    pub(crate) fn new(url: &str, token: &str) -> anyhow::Result<Self> {
        let host = url.strip_prefix("http://").context("the address must begin with http://: TLS is not measured")?;
        let address = host.trim_end_matches('/').parse().context("the address must be an IP address and a port")?;
        Ok(Self { address, token: token.to_owned() })
    }

    /// The same server, by another token.
    pub(crate) fn with_token(&self, token: &str) -> Self {
        Self { address: self.address, token: token.to_owned() }
    }

    pub(crate) async fn connect(&self) -> anyhow::Result<Connection> {
        let stream = TcpStream::connect(self.address).await.context("nobody listens")?;
        stream.set_nodelay(true)?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        let mut driver = JoinSet::new();
        driver.spawn(async move {
            let _ = connection.await;
        });
        Ok(Connection { sender, _driver: driver })
    }

    /// The request that `Connection::exchange` takes.
    pub(crate) fn request(&self, method: &str, path: &str, body: &str) -> anyhow::Result<Request<Full<Bytes>>> {
        Ok(Request::builder()
            .method(method)
            .uri(format!("/v1/{path}"))
            .header("host", "localhost")
            .header("x-vault-token", &self.token)
            .body(Full::new(Bytes::copy_from_slice(body.as_bytes())))?)
    }

    /// As `request`, to the native API.
    pub(crate) fn native_request(&self, method: &str, path: &str, body: &str) -> anyhow::Result<Request<Full<Bytes>>> {
        let mut request = self.request(method, path, body)?;
        *request.uri_mut() = format!("/api/v1/{path}").parse()?;
        Ok(request)
    }

    /// As `send`, to the native API.
    pub(crate) async fn native(&self, method: &str, path: &str, body: &str) -> anyhow::Result<(u16, Vec<u8>)> {
        self.connect().await?.exchange(self.native_request(method, path, body)?).await
    }

    /// A POST to `/` that has these headers in place of a token.
    pub(crate) fn dressed(
        &self,
        headers: &[(&'static str, String)],
        body: &str,
    ) -> anyhow::Result<Request<Full<Bytes>>> {
        let mut request = Request::builder().method("POST").uri("/").header("host", "localhost");
        for (name, value) in headers {
            request = request.header(*name, value);
        }
        Ok(request.body(Full::new(Bytes::copy_from_slice(body.as_bytes())))?)
    }

    /// One request over a connection of its own.
    pub(crate) async fn send(&self, method: &str, path: &str, body: &str) -> anyhow::Result<(u16, Vec<u8>)> {
        self.connect().await?.exchange(self.request(method, path, body)?).await
    }

    /// As `send`, and the answer must be a good one.
    pub(crate) async fn expect(&self, method: &str, path: &str, body: &str) -> anyhow::Result<Vec<u8>> {
        let (status, answer) = self.send(method, path, body).await?;
        if status >= 300 {
            bail!("{method} {path} answered {status}: {}", String::from_utf8_lossy(&answer));
        }
        Ok(answer)
    }
}

impl Connection {
    /// Sends one request, for an answer without end; the connection lives as long as what comes beside it.
    pub(crate) async fn open(mut self, request: Request<Full<Bytes>>) -> anyhow::Result<(Response<Incoming>, Self)> {
        self.sender.ready().await?;
        Ok((self.sender.send_request(request).await?, self))
    }

    pub(crate) async fn exchange(&mut self, request: Request<Full<Bytes>>) -> anyhow::Result<(u16, Vec<u8>)> {
        self.sender.ready().await?;
        let response = self.sender.send_request(request).await?;
        let status = response.status().as_u16();
        Ok((status, response.into_body().collect().await?.to_bytes().to_vec()))
    }
}

/// Text in a JSON answer.
pub(crate) fn text(answer: &[u8], pointer: &str) -> anyhow::Result<String> {
    let value: Value = serde_json::from_slice(answer)?;
    Ok(value
        .pointer(pointer)
        .and_then(Value::as_str)
        .with_context(|| format!("no {pointer} in the answer"))?
        .to_owned())
}
