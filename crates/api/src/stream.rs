//! Answers that are too large for memory: they are sent as they are made. They travel beside an empty answer until the
//! server sends it, so that the dialects need one kind of answer only.
//!
//! Invariant: what was not made to its end is cut off, so that the client sees that it is not whole.

use http_body_util::Full;
use hyper::Response;
use hyper::body::{Body, Bytes, Frame, SizeHint};
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use strongroom_core::snapshot::{Part, Streamed};

/// The body of an answer.
pub(crate) enum Outgoing {
    /// All of it.
    Whole(Full<Bytes>),
    /// Made while it is sent.
    Parts(Streamed),
    /// Sent to its end.
    Done,
}

/// Taken out once; an answer's extensions must be copyable.
#[derive(Clone)]
struct Attachment(Arc<Mutex<Option<Streamed>>>);

/// Lets the answer bring what is made while it is sent.
pub(crate) fn attach(response: &mut Response<Full<Bytes>>, streamed: Streamed) {
    response.extensions_mut().insert(Attachment(Arc::new(Mutex::new(Some(streamed)))));
}

/// The answer with what was attached to it.
pub(crate) fn attached(mut response: Response<Full<Bytes>>) -> Response<Outgoing> {
    let attachment: Option<Attachment> = response.extensions_mut().remove();
    let streamed = attachment.and_then(|it| it.0.lock().unwrap_or_else(PoisonError::into_inner).take());
    response.map(|whole| streamed.map_or(Outgoing::Whole(whole), Outgoing::Parts))
}

impl Body for Outgoing {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let part = match &mut *self {
            Outgoing::Whole(whole) => {
                let frame = ready!(Pin::new(whole).poll_frame(context));
                return Poll::Ready(frame.map(|frame| frame.map_err(|never| match never {})));
            }
            Outgoing::Parts(streamed) => ready!(streamed.parts.poll_recv(context)),
            Outgoing::Done => return Poll::Ready(None),
        };
        if let Some(Part::Bytes(bytes)) = part {
            return Poll::Ready(Some(Ok(Frame::data(Bytes::from(bytes)))));
        }
        *self = Outgoing::Done;
        match part {
            Some(_) => Poll::Ready(None),
            None => Poll::Ready(Some(Err(io::Error::other("what was being sent could not be finished")))),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Outgoing::Whole(whole) => whole.is_end_stream(),
            Outgoing::Parts(_) => false,
            Outgoing::Done => true,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Outgoing::Whole(whole) => whole.size_hint(),
            Outgoing::Parts(_) | Outgoing::Done => SizeHint::default(),
        }
    }
}
