//! A server that records what it is sent and answers from a script, and a home to run the command line from. Each test
//! has its own of both.
#![allow(dead_code, reason = "each test binary uses a part of it")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot be set up has failed")]

use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::Value;
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};
use tokio::runtime::Runtime;
use tokio::task::JoinSet;

/// One request as it arrived.
#[derive(Clone)]
pub(crate) struct Recorded {
    pub(crate) method: String,
    /// With the query.
    pub(crate) target: String,
    pub(crate) body: String,
    headers: BTreeMap<String, String>,
}

impl Recorded {
    pub(crate) fn line(&self) -> String {
        format!("{} {}", self.method, self.target)
    }
    pub(crate) fn path(&self) -> &str {
        self.target.split('?').next().unwrap()
    }
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }
}

/// What the server says.
pub(crate) struct Answer {
    status: u16,
    headers: Vec<(String, String)>,
    body: String,
}

impl Answer {
    pub(crate) fn json(status: u16, body: Value) -> Self {
        Self::text(status, &body.to_string())
    }
    pub(crate) fn text(status: u16, body: &str) -> Self {
        Self { status, headers: Vec::new(), body: body.to_owned() }
    }
    pub(crate) fn empty(status: u16) -> Self {
        Self::text(status, "")
    }
    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }
}

type Script = dyn Fn(&Recorded, usize) -> Answer + Send + Sync;

/// A running server; gone when it is dropped.
pub(crate) struct Fake {
    address: String,
    requests: Arc<Mutex<Vec<Recorded>>>,
    _runtime: Runtime,
}

/// The certificate of `start_tls`: its own authority, for 127.0.0.1 and strongroom.test.
pub(crate) fn certificate() -> String {
    concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/self-signed.pem").to_owned()
}

impl Fake {
    pub(crate) fn start(script: impl Fn(&Recorded, usize) -> Answer + Send + Sync + 'static) -> Self {
        Self::over_tcp(Arc::new(script), None)
    }

    pub(crate) fn start_tls(script: impl Fn(&Recorded, usize) -> Answer + Send + Sync + 'static) -> Self {
        let chain = vec![CertificateDer::from_pem_file(certificate()).unwrap()];
        let key = PrivateKeyDer::from_pem_file(certificate().replace(".pem", ".key")).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config =
            rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let config = config.with_no_client_auth().with_single_cert(chain, key).unwrap();
        Self::over_tcp(Arc::new(script), Some(tokio_rustls::TlsAcceptor::from(Arc::new(config))))
    }

    fn over_tcp(script: Arc<Script>, tls: Option<tokio_rustls::TlsAcceptor>) -> Self {
        let runtime = runtime();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = format!("{}://{}", if tls.is_some() { "https" } else { "http" }, listener.local_addr().unwrap());
        let requests = Arc::default();
        let kept = Arc::clone(&requests);
        runtime.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let (script, kept, tls) = (Arc::clone(&script), Arc::clone(&kept), tls.clone());
                connections.spawn(async move {
                    match tls {
                        None => serve(stream, script, kept).await,
                        Some(tls) => {
                            if let Ok(stream) = tls.accept(stream).await {
                                serve(stream, script, kept).await;
                            }
                        }
                    }
                });
            }
        });
        Self { address, requests, _runtime: runtime }
    }

    pub(crate) fn start_on_socket(
        path: &Path,
        script: impl Fn(&Recorded, usize) -> Answer + Send + Sync + 'static,
    ) -> Self {
        let (runtime, script): (_, Arc<Script>) = (runtime(), Arc::new(script));
        let listener = runtime.block_on(async { UnixListener::bind(path) }).unwrap();
        let requests = Arc::default();
        let kept = Arc::clone(&requests);
        runtime.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(serve(stream, Arc::clone(&script), Arc::clone(&kept)));
            }
        });
        Self { address: format!("unix://{}", path.display()), requests, _runtime: runtime }
    }

    pub(crate) fn address(&self) -> String {
        self.address.clone()
    }

    pub(crate) fn requests(&self) -> Vec<Recorded> {
        self.requests.lock().unwrap().clone()
    }

    /// An address at which nobody listens: port 1 is reserved and nothing serves it.
    pub(crate) fn address_of_nobody() -> String {
        "http://127.0.0.1:1".to_owned()
    }
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
}

async fn serve<S: AsyncRead + AsyncWrite + Unpin>(stream: S, script: Arc<Script>, kept: Arc<Mutex<Vec<Recorded>>>) {
    let service = service_fn(move |request: Request<Incoming>| {
        let (script, kept) = (Arc::clone(&script), Arc::clone(&kept));
        async move { Ok::<_, Infallible>(answer(request, &*script, &kept).await) }
    });
    let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

async fn answer(request: Request<Incoming>, script: &Script, kept: &Mutex<Vec<Recorded>>) -> Response<Full<Bytes>> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    let headers = parts.headers.iter().map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()));
    let recorded = Recorded {
        method: parts.method.to_string(),
        target: parts.uri.path_and_query().unwrap().to_string(),
        body: String::from_utf8(body.to_vec()).unwrap(),
        headers: headers.collect(),
    };
    let count = {
        let mut kept = kept.lock().unwrap();
        kept.push(recorded.clone());
        kept.len() - 1
    };
    let answer = script(&recorded, count);
    let mut response = Response::builder().status(answer.status);
    for (name, value) in answer.headers {
        response = response.header(name, value);
    }
    response.body(Full::new(Bytes::from(answer.body))).unwrap()
}

/// How a run ended.
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

/// A user: an own home, and an environment with nothing in it but what the test puts there.
pub(crate) struct Home {
    folder: tempfile::TempDir,
    env: BTreeMap<String, String>,
}

impl Home {
    pub(crate) fn new() -> Self {
        let env = BTreeMap::from([("VAULT_TOKEN".to_owned(), "hvs.env".to_owned())]);
        Self { folder: tempfile::tempdir().unwrap(), env }
    }

    pub(crate) fn with_env(mut self, name: &str, value: &str) -> Self {
        self.env.insert(name.to_owned(), value.to_owned());
        self
    }

    pub(crate) fn without_env(mut self, name: &str) -> Self {
        self.env.remove(name);
        self
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn file(&self, name: &str, text: &str) -> String {
        std::fs::write(self.path(name), text).unwrap();
        self.path(name).display().to_string()
    }

    pub(crate) fn run(&self, server: &Fake, line: &[&str]) -> Ran {
        self.run_with(server, line, "")
    }

    pub(crate) fn run_with(&self, server: &Fake, line: &[&str], stdin: &str) -> Ran {
        self.run_at(&server.address(), line, stdin)
    }

    pub(crate) fn run_at(&self, address: &str, line: &[&str], stdin: &str) -> Ran {
        let mut child = Command::new(env!("CARGO_BIN_EXE_strongroom"))
            .args(line)
            .env_clear()
            .env("HOME", self.folder.path())
            .env("VAULT_ADDR", address)
            .envs(&self.env)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // A command that reads nothing may be gone by now.
        let _ = child.stdin.take().unwrap().write_all(stdin.as_bytes());
        let output = child.wait_with_output().unwrap();
        Ran {
            code: output.status.code().unwrap(),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }
}
