use super::target::Target;
use crate::network::{Tls, Wire};
use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;
use strongroom_model::SecretString;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::task::yield_now;
use tokio::time::timeout;
use tokio_postgres::error::DbError;
use tokio_postgres::tls::{ChannelBinding, TlsConnect, TlsStream};
use tokio_postgres::{Client, Error, SimpleQueryMessage};

type Driver = Pin<Box<dyn Future<Output = Result<(), Error>> + Send>>;

/// One logged-in connection. It moves only while it is asked something: no task of its own, and dropping it closes it.
pub(super) struct Session {
    client: Client,
    driver: Driver,
    process: Process,
    superuser: bool,
}

/// What the server calls a connection: its process, and since when, because numbers are used again.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Process {
    pub(super) number: i32,
    pub(super) since: String,
}

/// Why there is no answer.
pub(super) enum Failure {
    /// The server said so.
    Said(Box<DbError>),
    /// The connection ended, or never was.
    Lost(String),
}

impl Session {
    pub(super) async fn open(target: &Target, name: &str, password: &SecretString) -> Result<Self, Failure> {
        let stream = target.host.dial().await.map_err(|error| Failure::Lost(error.to_string()))?;
        let mut config = target.config.clone();
        config.user(name).password(password.expose());
        let (client, connection) =
            config.connect_raw(stream, Upgrade(target.host.tls.clone())).await.map_err(failure)?;
        let superuser = connection.parameter("is_superuser") == Some("on");
        let standard = connection.parameter("standard_conforming_strings") == Some("on");
        let mut session = Self {
            client,
            driver: Box::pin(connection),
            process: Process { number: 0, since: String::new() },
            superuser,
        };
        if !standard {
            // Our quoting relies on it.
            session.ask("SET standard_conforming_strings = on").await?;
        }
        session.process = session.own_process().await?;
        Ok(session)
    }

    /// What the server calls this connection.
    pub(super) fn process(&self) -> Process {
        self.process.clone()
    }

    /// Whether the server says that nothing is forbidden to this login.
    pub(super) fn is_superuser(&self) -> bool {
        self.superuser
    }

    async fn own_process(&mut self) -> Result<Process, Failure> {
        let sql = "SELECT pid, backend_start FROM pg_stat_activity WHERE pid = pg_backend_pid()";
        let answers = self.ask(sql).await?;
        let row = answers.iter().find_map(|answer| match answer {
            SimpleQueryMessage::Row(row) => Some((row.get(0)?.parse().ok()?, row.get(1)?.to_owned())),
            _ => None,
        });
        let (number, since) = row.ok_or_else(|| Failure::Lost("the server does not know the connection".to_owned()))?;
        Ok(Process { number, since })
    }

    /// Whether the server has already said that it closed the connection.
    pub(super) async fn has_ended(&mut self) -> bool {
        // What lies in the socket is noticed between two turns of the runtime.
        yield_now().await;
        let driver = &mut self.driver;
        poll_fn(|context| Poll::Ready(driver.as_mut().poll(context).is_ready())).await
    }

    /// Sends a message of one or more statements.
    pub(super) async fn ask(&mut self, sql: &str) -> Result<Vec<SimpleQueryMessage>, Failure> {
        let driver = &mut self.driver;
        let mut answer = pin!(self.client.simple_query(sql));
        let end = tokio::select! {
            biased;
            answer = &mut answer => return answer.map_err(failure),
            end = driver.as_mut() => end,
        };
        // The last thing that came may have been the answer.
        match poll_fn(|context| Poll::Ready(answer.as_mut().poll(context))).await {
            Poll::Ready(Ok(answer)) => Ok(answer),
            Poll::Ready(Err(error)) if error.as_db_error().is_some() => Err(failure(error)),
            _ => Err(end.err().map_or_else(|| Failure::Lost("the server closed it".to_owned()), failure)),
        }
    }

    /// Asks the server to give up what it still does, so that it does not happen later. It may be beyond hearing.
    pub(super) async fn cancel(self, target: &Target, wait: Duration) {
        let ask = async {
            let stream = target.host.dial().await.ok()?;
            let token = self.client.cancel_token();
            token.cancel_query_raw(stream, Upgrade(target.host.tls.clone())).await.ok()
        };
        let _ = timeout(wait, ask).await;
    }
}

fn failure(error: Error) -> Failure {
    match error.as_db_error() {
        Some(said) => Failure::Said(Box::new(said.clone())),
        None => {
            let source = std::error::Error::source(&error).map(|source| format!(": {source}")).unwrap_or_default();
            Failure::Lost(format!("{error}{source}"))
        }
    }
}

/// Goes over to TLS after PostgreSQL's own request for it.
struct Upgrade(Option<Tls>);

impl TlsConnect<TcpStream> for Upgrade {
    type Stream = Secured;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Secured>> + Send>>;

    fn connect(self, stream: TcpStream) -> Self::Future {
        Box::pin(async move {
            let tls = self.0.ok_or_else(|| io::Error::other("TLS was not asked for"))?;
            tls.wrap(stream).await.map(Secured)
        })
    }
}

struct Secured(Wire);

impl TlsStream for Secured {
    fn channel_binding(&self) -> ChannelBinding {
        ChannelBinding::none()
    }
}

impl AsyncRead for Secured {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl AsyncWrite for Secured {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}
