//! Where password hashes are computed: a few at once, a few more waiting, and the rest refused.
//!
//! Anybody can ask for a login, and one costs tens of milliseconds of a core. So a flood of them must neither reach the
//! threads that serve requests nor all cores, and must not pile up memory. Does not know what it computes.

use std::sync::Arc;
use strongroom_core::CoreError;
use tokio::sync::{Semaphore, SemaphorePermit};

/// Who may wait beyond those that are computing. A few seconds' worth: who would wait longer is better told so.
const WAITING: usize = 64;

const BUSY: CoreError = CoreError::Busy("too many logins with passwords at the same time; try again in a few seconds");

pub(super) struct Pool {
    places: Semaphore,
    running: Arc<Semaphore>,
}

/// A place among those that compute or wait. It is given up when dropped.
pub(super) struct Place<'a> {
    _place: SemaphorePermit<'a>,
    running: &'a Arc<Semaphore>,
}

impl Pool {
    /// A pool that uses at most half of the cores, and at least one.
    pub(super) fn for_this_machine() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self::new((cores / 2).max(1), WAITING)
    }

    fn new(running: usize, waiting: usize) -> Self {
        Self { places: Semaphore::new(running + waiting), running: Arc::new(Semaphore::new(running)) }
    }

    /// Takes a place in the queue, or fails at once when there is none.
    pub(super) fn enter(&self) -> Result<Place<'_>, CoreError> {
        let place = self.places.try_acquire().map_err(|_| BUSY)?;
        Ok(Place { _place: place, running: &self.running })
    }
}

impl Place<'_> {
    /// Computes something on a thread of its own as soon as it is this one's turn.
    pub(super) async fn compute<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, CoreError> + Send + 'static,
    ) -> Result<T, CoreError> {
        let closed = |_| CoreError::Internal("the pool for password hashes is closed");
        let running = Arc::clone(self.running).acquire_owned().await.map_err(closed)?;
        // The permit goes with the work, which cannot be stopped when the caller goes away.
        let done = tokio::task::spawn_blocking(move || {
            let result = work();
            drop(running);
            result
        });
        done.await.map_err(|_| CoreError::Internal("computing a password hash failed"))?
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
    use tokio::task::JoinSet;

    /// Work that says when it begins and ends when it is told to.
    struct Stage {
        begun: SyncSender<()>,
        end: Arc<std::sync::Mutex<Receiver<()>>>,
        at_once: Arc<AtomicUsize>,
        most: Arc<AtomicUsize>,
    }

    impl Stage {
        fn work(&self) -> impl FnOnce() -> Result<(), CoreError> + Send + 'static {
            let (begun, end) = (self.begun.clone(), Arc::clone(&self.end));
            let (at_once, most) = (Arc::clone(&self.at_once), Arc::clone(&self.most));
            move || {
                most.fetch_max(at_once.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                begun.send(()).unwrap();
                let told = end.lock().unwrap().recv();
                at_once.fetch_sub(1, Ordering::SeqCst);
                told.map_err(|_| CoreError::Internal("the test has ended"))
            }
        }
    }

    fn stage() -> (Stage, Receiver<()>, SyncSender<()>) {
        let ((begun, has_begun), (go, end)) = (sync_channel(16), sync_channel(16));
        let end = Arc::new(std::sync::Mutex::new(end));
        (Stage { begun, end, at_once: Arc::default(), most: Arc::default() }, has_begun, go)
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn as_many_compute_as_may_the_next_wait_and_the_rest_are_refused() {
        let pool: &'static Pool = Box::leak(Box::new(Pool::new(1, 2)));
        let (stage, has_begun, go) = stage();
        let mut tasks = JoinSet::new();
        for _ in 0..3 {
            let (place, work) = (pool.enter().unwrap(), stage.work());
            tasks.spawn(async move { place.compute(work).await });
        }
        let has_begun =
            tokio::task::spawn_blocking(move || has_begun.recv().map(|()| has_begun)).await.unwrap().unwrap();
        assert!(matches!(pool.enter(), Err(CoreError::Busy(text)) if text.contains("try again")));
        assert!(has_begun.try_recv().is_err(), "only one computes");
        for _ in 0..3 {
            go.send(()).unwrap();
        }
        assert!(tasks.join_all().await.iter().all(Result::is_ok));
        assert_eq!(stage.most.load(Ordering::SeqCst), 1);
        assert!(pool.enter().is_ok());
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn work_whose_caller_has_gone_still_counts_as_computing() {
        let pool: &'static Pool = Box::leak(Box::new(Pool::new(1, 1)));
        let (stage, has_begun, go) = stage();
        let mut tasks = JoinSet::new();
        let (place, work) = (pool.enter().unwrap(), stage.work());
        tasks.spawn(async move { place.compute(work).await });
        tokio::task::spawn_blocking(move || has_begun.recv()).await.unwrap().unwrap();
        tasks.shutdown().await;
        assert_eq!(pool.places.available_permits(), 2, "the place is free");
        assert_eq!(pool.running.available_permits(), 0, "the core is not");
        go.send(()).unwrap();
        let place = pool.enter().unwrap();
        place.compute(|| Ok(())).await.unwrap();
    }
}
