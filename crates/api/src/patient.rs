//! Bounds on how long a peer may keep a connection, and the secrets in its buffers, by being slow.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep};

const IDLE: u8 = 0;
const HEAD: u8 = 1;
const SERVING: u8 = 2;

/// What a connection is doing: waiting for a request, receiving the head of one, or serving one. Told to the stream by
/// who serves, because only bytes pass through the stream.
#[derive(Clone)]
pub(crate) struct Phase(Arc<AtomicU8>);

/// A request being served; when it is dropped, the connection is idle again.
pub(crate) struct Serving(Phase);

impl Phase {
    /// A connection just opened: its first request is due.
    pub(crate) fn new() -> Self {
        Self(Arc::new(AtomicU8::new(HEAD)))
    }

    /// The head of a request has been read.
    pub(crate) fn serve(&self) -> Serving {
        self.0.store(SERVING, Ordering::Relaxed);
        Serving(self.clone())
    }

    fn is(&self, phase: u8) -> bool {
        self.0.load(Ordering::Relaxed) == phase
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.0.0.store(IDLE, Ordering::Relaxed);
    }
}

/// A stream whose peer must send the head of a request within a time once it has begun, and must take bytes that are
/// ready for it within a time. How long it may be idle is the HTTP library's timer.
pub(crate) struct Patient<S> {
    stream: S,
    phase: Phase,
    head: Deadline,
    write: Deadline,
}

/// A span that runs only while something is awaited.
struct Deadline {
    patience: Duration,
    sleep: Pin<Box<Sleep>>,
    running: bool,
}

impl Deadline {
    fn new(patience: Duration) -> Self {
        Self { patience, sleep: Box::pin(sleep(patience)), running: false }
    }

    fn start(&mut self) {
        if !self.running {
            self.running = true;
            self.sleep.as_mut().reset(Instant::now() + self.patience);
        }
    }

    /// Pending while there is time left, an error afterwards.
    fn poll<T>(&mut self, context: &mut Context<'_>, what: &'static str) -> Poll<io::Result<T>> {
        self.start();
        ready!(self.sleep.as_mut().poll(context));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, what)))
    }
}

impl<S> Patient<S> {
    pub(crate) fn new(stream: S, head: Duration, write: Duration, phase: Phase) -> Self {
        Self { stream, phase, head: Deadline::new(head), write: Deadline::new(write) }
    }

    fn bear<T>(&mut self, context: &mut Context<'_>, poll: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if poll.is_ready() {
            self.write.running = false;
            return poll;
        }
        self.write.poll(context, "the peer does not read its answer")
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Patient<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let poll = Pin::new(&mut this.stream).poll_read(context, buffer);
        if this.phase.is(SERVING) {
            this.head.running = false;
            return poll;
        }
        match poll {
            // The first bytes after an answer begin the head of the next request.
            Poll::Ready(Ok(())) if this.phase.is(IDLE) => {
                this.phase.0.store(HEAD, Ordering::Relaxed);
                this.head.running = false;
                this.head.start();
                Poll::Ready(Ok(()))
            }
            Poll::Pending if this.phase.is(HEAD) => this.head.poll(context, "the request head took too long"),
            other => other,
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Patient<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let poll = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.bear(context, poll)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let poll = Pin::new(&mut self.stream).poll_flush(context);
        self.bear(context, poll)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let poll = Pin::new(&mut self.stream).poll_shutdown(context);
        self.bear(context, poll)
    }
}
