//! Requests that outlive their connection.
//!
//! A client may leave while its request is being served, and what was begun must end: a change half made would leave an
//! intent in the trail without an outcome. Serving every request as a task of its own would do, but wakes another
//! thread for each; here that is paid only when a client leaves.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll};
use tokio::task::JoinSet;

/// The work panicked; the panic's text is in the operator log.
pub(crate) struct Panicked;

/// Work that is done in place, and goes on as a task among the orphans when whoever waits for it is gone.
pub(crate) struct ToTheEnd<'a, F: Future + Send + 'static> {
    work: Option<Pin<Box<F>>>,
    orphans: &'a Mutex<JoinSet<()>>,
}

impl<'a, F: Future + Send + 'static> ToTheEnd<'a, F> {
    pub(crate) fn new(work: Pin<Box<F>>, orphans: &'a Mutex<JoinSet<()>>) -> Self {
        Self { work: Some(work), orphans }
    }
}

impl<F: Future + Send + 'static> Future for ToTheEnd<'_, F> {
    type Output = Result<F::Output, Panicked>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(work) = self.work.as_mut() else { return Poll::Ready(Err(Panicked)) };
        // What the work shares with others is behind locks that survive a panic, as with a task that panics.
        let polled = catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(context)));
        if !matches!(polled, Ok(Poll::Pending)) {
            self.work = None;
        }
        match polled {
            Ok(poll) => poll.map(Ok),
            Err(_) => Poll::Ready(Err(Panicked)),
        }
    }
}

impl<F: Future + Send + 'static> Drop for ToTheEnd<'_, F> {
    fn drop(&mut self) {
        if let Some(work) = self.work.take() {
            let mut orphans = self.orphans.lock().unwrap_or_else(PoisonError::into_inner);
            orphans.spawn(async move { drop(work.await) });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::sync::oneshot;

    #[tokio::test]
    async fn work_whose_waiter_is_gone_goes_on_to_its_end() {
        let orphans = Mutex::new(JoinSet::new());
        let (go, going) = oneshot::channel::<()>();
        let (tell, told) = oneshot::channel();
        let work = Box::pin(async move {
            let _ = going.await;
            let _ = tell.send("done");
        });
        let mut waiting = Box::pin(ToTheEnd::new(work, &orphans));
        let first = std::future::poll_fn(|context| Poll::Ready(waiting.as_mut().poll(context).is_pending())).await;
        assert!(first);
        drop(waiting);
        go.send(()).unwrap();
        assert_eq!(told.await, Ok("done"));
        assert_eq!(orphans.into_inner().unwrap().len(), 1);
    }

    #[tokio::test]
    async fn a_panic_is_told_and_leaves_no_orphan() {
        let orphans = Mutex::new(JoinSet::new());
        let work: Pin<Box<dyn Future<Output = ()> + Send>> = Box::pin(async { panic!("a defect") });
        assert!(ToTheEnd::new(Box::pin(work), &orphans).await.is_err());
        assert!(orphans.into_inner().unwrap().is_empty());
    }
}
