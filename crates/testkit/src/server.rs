use crate::World;
use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::header::HeaderMap;
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use strongroom_api::{Bind, Limits, Listener, Server, ServerIdentity};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::JoinSet;

/// A real server on a free port over a world.
pub struct TestServer {
    /// What it serves.
    pub world: World,
    /// Where it listens.
    pub address: SocketAddr,
    /// A root token; empty when the server was started over a world of the test's own.
    pub root: String,
    stop: watch::Sender<bool>,
    running: JoinSet<()>,
}

/// An answer, read to its end.
#[derive(Debug)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body; `Null` when it is empty or no JSON.
    pub body: Value,
    /// The body as it came.
    pub text: String,
    /// The same, where it is no text.
    pub bytes: Bytes,
}

impl Answer {
    /// A value in the body by a JSON pointer; `Null` when it is not there.
    pub fn at(&self, pointer: &str) -> &Value {
        self.body.pointer(pointer).unwrap_or(&Value::Null)
    }

    /// Text in the body by a JSON pointer; fails the test when there is none.
    #[track_caller]
    pub fn text_at(&self, pointer: &str) -> String {
        self.at(pointer).as_str().unwrap_or_else(|| panic!("no text at {pointer}: {}", self.text)).to_owned()
    }

    /// The same answer; fails the test when it has another status.
    #[track_caller]
    pub fn expect(self, status: u16) -> Self {
        assert_eq!(self.status.as_u16(), status, "{}", self.text);
        self
    }

    /// The texts under `errors`, which every refusal must have; fails the test when there is no such list.
    #[track_caller]
    pub fn errors(&self) -> Vec<String> {
        let errors =
            self.at("/errors").as_array().unwrap_or_else(|| panic!("no errors: {} {}", self.status, self.text));
        errors.iter().map(|error| error.as_str().expect("an error is text").to_owned()).collect()
    }
}

/// Somebody with a token (or, with an empty one, without).
#[derive(Clone, Copy)]
pub struct Caller<'a> {
    server: &'a TestServer,
    token: &'a str,
}

impl Caller<'_> {
    /// Sends one request.
    pub async fn send(&self, method: &str, path: &str, body: Option<Value>) -> Answer {
        self.server.send(method, path, Some(self.token).filter(|token| !token.is_empty()), body).await
    }

    /// GET.
    pub async fn get(&self, path: &str) -> Answer {
        self.send("GET", path, None).await
    }

    /// LIST.
    pub async fn list(&self, path: &str) -> Answer {
        self.send("LIST", path, None).await
    }

    /// DELETE.
    pub async fn delete(&self, path: &str) -> Answer {
        self.send("DELETE", path, None).await
    }

    /// POST with a JSON body.
    pub async fn post(&self, path: &str, body: Value) -> Answer {
        self.send("POST", path, Some(body)).await
    }
}

impl TestServer {
    /// Serves the world with limits that tests can reach.
    pub async fn start(world: World, limits: Limits) -> Self {
        let bind = Bind { address: "127.0.0.1:0".to_owned(), ..Bind::default() };
        Self::start_at(world, limits, bind).await
    }

    /// Serves the world on a TCP listener with rules of the test's own.
    pub async fn start_at(world: World, limits: Limits, bind: Bind) -> Self {
        let listener = Listener::bind(&bind).await.expect("a free port can be had");
        let address = listener.address().expect("it is a TCP listener");
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
        Self { world, address, root: String::new(), stop, running }
    }

    /// An open server with `secret/` mounted, and its root token.
    pub async fn open() -> Self {
        Self::open_with(Limits::default()).await
    }

    /// As [`TestServer::open`], with limits of the test's own.
    pub async fn open_with(limits: Limits) -> Self {
        let (world, root) = World::open().await;
        Self { root: root.expose().to_owned(), ..Self::start(world, limits).await }
    }

    /// The holder of the root token.
    pub fn operator(&self) -> Caller<'_> {
        self.by(&self.root)
    }

    /// The holder of a token; nobody when it is empty.
    pub fn by<'a>(&'a self, token: &'a str) -> Caller<'a> {
        Caller { server: self, token }
    }

    /// Writes a policy.
    pub async fn policy(&self, name: &str, rules: &str) {
        let body = json!({ "policy": rules });
        self.operator().post(&format!("sys/policies/acl/{name}"), body).await.expect(204);
    }

    /// Makes a token of the operator's with these fields; gives it.
    pub async fn token(&self, fields: Value) -> String {
        self.operator().post("auth/token/create", fields).await.expect(200).text_at("/auth/client_token")
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
            let (parts, body) = response.into_parts();
            let bytes = body.collect().await.expect("the answer is complete").to_bytes();
            let text = String::from_utf8_lossy(&bytes).into_owned();
            let body = serde_json::from_str(&text).unwrap_or(Value::Null);
            Answer { status: parts.status, headers: parts.headers, body, text, bytes }
        };
        let mut exchange = std::pin::pin!(exchange);
        tokio::select! {
            biased;
            answer = exchange.as_mut() => answer,
            // A server that closes after its answer: what came is still to be read.
            _ = connection => exchange.await,
        }
    }

    /// Opens a connection on which the test speaks for itself.
    pub async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.expect("the server accepts")
    }

    /// Sends bytes as they are and reads until the server closes; fails the test when it has not after 20 seconds.
    /// What the server refuses to take is not an error: it may answer and close before the end.
    pub async fn speak(&self, bytes: &[u8]) -> String {
        let mut stream = self.connect().await;
        let _ = stream.write_all(bytes).await;
        Self::hear(&mut stream).await
    }

    /// Reads until the server closes.
    pub async fn hear(stream: &mut TcpStream) -> String {
        let mut heard = Vec::new();
        let reading = stream.read_to_end(&mut heard);
        let _ = tokio::time::timeout(Duration::from_secs(20), reading).await.expect("the server closes");
        String::from_utf8_lossy(&heard).into_owned()
    }

    /// Stops it and waits until it has.
    pub async fn stop(mut self) -> World {
        self.stop.send_replace(true);
        while self.running.join_next().await.is_some() {}
        self.world
    }
}
