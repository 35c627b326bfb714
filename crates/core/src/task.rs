use std::future::Future;
use std::sync::{Mutex, PoisonError};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// Background tasks of one owner: told to stop together, and waited for.
pub(crate) struct Tasks {
    running: Mutex<JoinSet<()>>,
    stop: watch::Sender<bool>,
}

impl Tasks {
    pub(crate) fn new() -> Self {
        Self { running: Mutex::new(JoinSet::new()), stop: watch::Sender::new(false) }
    }

    /// Starts a task that ends when its watch turns true.
    pub(crate) fn start<F: Future<Output = ()> + Send + 'static>(&self, make: impl FnOnce(watch::Receiver<bool>) -> F) {
        let task = make(self.stop.subscribe());
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        // What has ended is let go, or it would pile up until the end.
        while running.try_join_next().is_some() {}
        running.spawn(task);
    }

    /// Tells all tasks to stop.
    pub(crate) fn tell_to_stop(&self) {
        self.stop.send_replace(true);
    }

    /// Tells all tasks to stop and waits until they have.
    pub(crate) async fn finish(&self) {
        self.stop.send_replace(true);
        let mut running = std::mem::take(&mut *self.running.lock().unwrap_or_else(PoisonError::into_inner));
        while running.join_next().await.is_some() {}
    }
}
