//! Bounds on how long a peer may keep a connection, and the secrets in its buffers, by being slow.

use crate::listener::Limits;
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
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.0.0.store(IDLE, Ordering::Relaxed);
    }
}

/// A stream whose peer must begin a request within a time after the last one, must send the head of one within a time once
/// it has begun, and must take bytes that are ready for it within a time.
pub(crate) struct Patient<S> {
    stream: S,
    phase: Phase,
    idle: Deadline,
    head: Deadline,
    write: Deadline,
}

/// A span that runs only while something is awaited.
///
/// Its alarm stays set from one span to the next, so that a request sets none: it rings too early for the span that runs by
/// then, and only then is it set anew.
struct Deadline {
    patience: Duration,
    alarm: Pin<Box<Sleep>>,
    /// When the span ends that runs now.
    end: Option<Instant>,
}

impl Deadline {
    fn new(patience: Duration) -> Self {
        Self { patience, alarm: Box::pin(sleep(patience)), end: None }
    }

    fn stop(&mut self) {
        self.end = None;
    }

    /// Begins a span unless one runs. Pending while there is time left, an error afterwards.
    fn poll<T>(&mut self, context: &mut Context<'_>, what: &'static str) -> Poll<io::Result<T>> {
        let end = *self.end.get_or_insert_with(|| Instant::now() + self.patience);
        loop {
            ready!(self.alarm.as_mut().poll(context));
            if self.alarm.deadline() >= end {
                return Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, what)));
            }
            self.alarm.as_mut().reset(end);
        }
    }
}

impl<S> Patient<S> {
    pub(crate) fn new(stream: S, limits: &Limits, phase: Phase) -> Self {
        let (idle, head) = (Deadline::new(limits.idle), Deadline::new(limits.headers));
        Self { stream, phase, idle, head, write: Deadline::new(limits.write) }
    }

    fn bear<T>(&mut self, context: &mut Context<'_>, poll: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if poll.is_ready() {
            self.write.stop();
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
        let phase = this.phase.0.load(Ordering::Relaxed);
        match poll {
            // The first bytes after an answer begin the head of the next request.
            Poll::Ready(Ok(())) if phase == IDLE => {
                this.phase.0.store(HEAD, Ordering::Relaxed);
                this.idle.stop();
                this.head.stop();
                Poll::Ready(Ok(()))
            }
            Poll::Pending if phase == IDLE => this.idle.poll(context, "no other request came"),
            Poll::Pending if phase == HEAD => this.head.poll(context, "the request head took too long"),
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

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    /// A peer that takes a few bytes at a time takes its whole answer, however long that lasts; one that stops is given up when
    /// its time is over, and not before.
    #[tokio::test(start_paused = true)]
    async fn a_slow_peer_is_borne_and_one_that_takes_nothing_is_given_up() {
        let limits = Limits::default();
        let (near, mut far) = duplex(16);
        let mut near = Patient::new(near, &limits, Phase::new());
        let answering = async { (near.write_all(&[7; 1_000]).await, Instant::now()) };
        let taking = async {
            for _ in 0..8 {
                sleep(limits.write * 2 / 3).await;
                far.read_exact(&mut [0; 16]).await.unwrap();
            }
            Instant::now()
        };
        let ((answered, ended), last) = tokio::join!(answering, taking);
        assert_eq!(answered.unwrap_err().kind(), io::ErrorKind::TimedOut);
        assert!(ended - last >= limits.write && ended - last < limits.write * 2, "{:?}", ended - last);
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_is_taken_slowly_is_taken_whole() {
        let limits = Limits::default();
        let (near, mut far) = duplex(16);
        let mut near = Patient::new(near, &limits, Phase::new());
        let taking = async {
            for _ in 0..10 {
                sleep(limits.write * 2 / 3).await;
                far.read_exact(&mut [0; 16]).await.unwrap();
            }
        };
        let (answered, ()) = tokio::join!(near.write_all(&[7; 160]), taking);
        answered.unwrap();
    }
}
