use crate::World;
use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use std::net::SocketAddr;
use std::sync::Arc;
use strongroom_api::{Bind, Limits, Listener, Server, ServerIdentity};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::JoinSet;

/// A real server on a free port over a world.
pub struct TestServer {
    /// What it serves.
    pub world: World,
    /// Where it listens.
    pub address: SocketAddr,
    stop: watch::Sender<bool>,
    running: JoinSet<()>,
}

/// An answer, read to its end.
#[derive(Debug)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// The body; `Null` when it is empty or no JSON.
    pub body: Value,
    /// The body as it came.
    pub text: String,
}

impl Answer {
    /// A value in the body by a JSON pointer; `Null` when it is not there.
    pub fn at(&self, pointer: &str) -> &Value {
        self.body.pointer(pointer).unwrap_or(&Value::Null)
    }
}

impl TestServer {
    /// Serves the world with limits that tests can reach.
    pub async fn start(world: World, limits: Limits) -> Self {
        let bind = Bind { address: "127.0.0.1:0".to_owned(), tls: None, require_request_header: false };
        let listener = Listener::bind(&bind).await.expect("a free port can be had");
        let address = listener.address();
        let identity = ServerIdentity {
            version: "1.16.3".to_owned(),
            cluster_name: "test".to_owned(),
            api_addr: format!("http://{address}"),
            storage: "inmem".to_owned(),
            build_date: "2026-11-21T00:00:00Z".to_owned(),
        };
        let server = Arc::new(Server::new(Arc::clone(&world.strongroom), identity, limits));
        let (stop, stopped) = watch::channel(false);
        let mut running = JoinSet::new();
        running.spawn(server.run(vec![listener], stopped));
        Self { world, address, stop, running }
    }

    /// Sends one request over a connection of its own. `path` follows `/v1/` and is sent as it is.
    pub async fn send(&self, method: &str, path: &str, token: Option<&str>, body: Option<Value>) -> Answer {
        let headers: Vec<(&str, &str)> = token.into_iter().map(|token| ("X-Vault-Token", token)).collect();
        let body = body.map(|body| body.to_string()).unwrap_or_default();
        self.send_raw(method, &format!("/v1/{path}"), &headers, body.into_bytes()).await
    }

    /// Sends one request with headers and body of the test's own.
    pub async fn send_raw(&self, method: &str, target: &str, headers: &[(&str, &str)], body: Vec<u8>) -> Answer {
        let stream = TcpStream::connect(self.address).await.expect("the server accepts");
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.expect("HTTP begins");
        let mut request = Request::builder().method(method).uri(target).header("host", "localhost");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if method == "PATCH" && !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-type")) {
            request = request.header("content-type", "application/merge-patch+json");
        }
        let request = request.body(Full::new(Bytes::from(body))).expect("the test's request is one");
        let exchange = async {
            let response = sender.send_request(request).await.expect("the server answers");
            let status = response.status();
            let bytes = response.into_body().collect().await.expect("the answer is complete").to_bytes();
            let text = String::from_utf8_lossy(&bytes).into_owned();
            Answer { status, body: serde_json::from_str(&text).unwrap_or(Value::Null), text }
        };
        tokio::select! {
            answer = exchange => answer,
            _ = connection => panic!("the connection ended before the answer"),
        }
    }

    /// Stops it and waits until it has.
    pub async fn stop(mut self) -> World {
        self.stop.send_replace(true);
        while self.running.join_next().await.is_some() {}
        self.world
    }
}
