//! Requests whose body or answer does not fit into memory: sent from a reader, received into a writer. One attempt, no
//! redirects. What is limited is silence, not the whole, and nobody knows how long a server takes over what it was sent.

use super::advice::Failure;
use super::client::{Client, Target, collect, on_http};
use super::error::CliError;
use super::request::Request;
use http_body_util::BodyExt;
use hyper::body::{Body, Bytes, Frame, Incoming};
use hyper::header::{HOST, HeaderValue};
use hyper::{HeaderMap, Response};
use hyper_util::rt::TokioIo;
use std::io::{self, Read, Write};
use std::path::PathBuf;
use std::pin::Pin;
use std::task::{Context, Poll};
use strongroom_model::SecretString;
use tokio::task::JoinSet;
use tokio::time::timeout;

/// Read at once.
const PIECE: usize = 256 * 1024;

/// A body that is read while it is sent; none at all sends an empty one.
pub(crate) struct Source(pub(crate) Option<Box<dyn Read + Send>>);

impl Body for Source {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let Some(reader) = self.0.as_mut() else { return Poll::Ready(None) };
        let mut piece = vec![0; PIECE];
        Poll::Ready(match reader.read(&mut piece) {
            Ok(0) => None,
            Ok(count) => {
                piece.truncate(count);
                Some(Ok(Frame::data(Bytes::from(piece))))
            }
            Err(error) => Some(Err(error)),
        })
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_none()
    }
}

impl Client {
    /// Sends with this body, and writes the answer's into `to` as it comes. A status from 400 on is an error.
    pub(crate) fn transfer(
        &self,
        request: &Request,
        own: Option<&SecretString>,
        from: Source,
        to: &mut dyn Write,
    ) -> Result<(), CliError> {
        let headers = self.headers_for(request, own)?;
        let target = self.target(request);
        let failed = |failure: Failure| self.transport_error(request, &target.address, &failure);
        self.runtime.block_on(async {
            let mut tasks = JoinSet::new();
            let response = self.begin(&target, request.method, headers, from, &mut tasks).await.map_err(failed)?;
            if response.status().as_u16() < 400 {
                return self.receive(response, to).await.map_err(failed);
            }
            let answer = collect(response).await.map_err(failed)?;
            Err(self.api_error(request, own.is_some(), &answer.reply))
        })
    }

    async fn begin(
        &self,
        target: &Target,
        method: &'static str,
        headers: HeaderMap,
        from: Source,
        tasks: &mut JoinSet<Result<(), hyper::Error>>,
    ) -> Result<Response<Incoming>, Failure> {
        let seconds = self.timeout.as_secs().max(1);
        let connected = timeout(self.timeout, self.connect(&target.address)).await;
        let stream = connected.unwrap_or(Err(Failure::TimedOut(seconds)))?;
        let shaken = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await;
        let (mut sender, connection) = shaken.map_err(|error| on_http(&error))?;
        tasks.spawn(connection);
        let request = hyper::Request::builder().method(method).uri(&target.path_and_query).body(from);
        let mut request = request.map_err(|_| Failure::Other("the path cannot be sent".to_owned()))?;
        *request.headers_mut() = headers;
        let host = HeaderValue::from_str(target.address.host_header()).map_err(|_| Failure::UnknownHost)?;
        request.headers_mut().insert(HOST, host);
        sender.send_request(request).await.map_err(|error| on_http(&error))
    }

    async fn receive(&self, response: Response<Incoming>, to: &mut dyn Write) -> Result<(), Failure> {
        let mut body = response.into_body();
        let late = || Failure::TimedOut(self.timeout.as_secs().max(1));
        while let Some(frame) = timeout(self.timeout, body.frame()).await.map_err(|_| late())? {
            let Ok(data) = frame.map_err(|_| Failure::CutOff)?.into_data() else { continue };
            to.write_all(&data).map_err(|error| Failure::Other(format!("it cannot be written down: {error}")))?;
        }
        to.flush().map_err(|error| Failure::Other(format!("it cannot be written down: {error}")))
    }
}

/// An error about a file of the user's.
pub(crate) fn file_error(what: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> CliError {
    let path = path.into();
    move |source| CliError::File { what, path, source }
}
