//! Polls a connection again at once when it was woken while it was polled, instead of giving the thread back first.
//!
//! Reading a request's body wakes the connection's own task, since the HTTP library hands bytes to itself. The runtime takes
//! that for a task that yields, and wakes another thread to help with it, which costs more than what is left to do. It
//! changes nothing about who is polled when, and bounds how often: others wait on the same thread.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

/// Polls in a row before the thread is given back.
const MOST: usize = 4;

/// Nobody polls: who wakes it wakes the task.
const IDLE: u8 = 0;
/// It is being polled.
const POLLED: u8 = 1;
/// It is being polled, and was woken since that began.
const WOKEN: u8 = 2;

/// A future that takes its next turn at once.
pub(crate) struct Turn<'a, F> {
    inner: Pin<&'a mut F>,
    bell: Arc<Bell>,
    /// What rings it, made once.
    waker: Waker,
}

/// Where wakings arrive.
#[derive(Default)]
struct Bell {
    state: AtomicU8,
    task: Mutex<Option<Waker>>,
}

impl<'a, F: Future> Turn<'a, F> {
    /// Takes the turns of a future.
    pub(crate) fn of(inner: Pin<&'a mut F>) -> Self {
        let bell = Arc::new(Bell::default());
        Self { inner, waker: Waker::from(Arc::clone(&bell)), bell }
    }
}

impl<F: Future> Future for Turn<'_, F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let this = &mut *self;
        this.bell.serves(context.waker());
        for _ in 0..MOST {
            this.bell.state.store(POLLED, Ordering::SeqCst);
            if let Poll::Ready(output) = this.inner.as_mut().poll(&mut Context::from_waker(&this.waker)) {
                return Poll::Ready(output);
            }
            if this.bell.state.swap(IDLE, Ordering::SeqCst) != WOKEN {
                return Poll::Pending;
            }
        }
        context.waker().wake_by_ref();
        Poll::Pending
    }
}

impl Bell {
    /// Remembers the task to be woken.
    fn serves(&self, task: &Waker) {
        let mut known = self.task.lock().unwrap_or_else(PoisonError::into_inner);
        if known.as_ref().is_none_or(|known| !known.will_wake(task)) {
            *known = Some(task.clone());
        }
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        // Who polls sees it when it is done. After that, and before, the task is to be woken.
        let noted = self.state.compare_exchange(POLLED, WOKEN, Ordering::SeqCst, Ordering::SeqCst);
        if matches!(noted, Ok(_) | Err(WOKEN)) {
            return;
        }
        let task = self.task.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(task) = task {
            task.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;
    use std::sync::atomic::AtomicUsize;

    #[derive(Default)]
    struct Task(AtomicUsize);

    impl Wake for Task {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    /// Polls once; what came of it, and how often the task was woken.
    fn poll_once<F: Future>(turn: Pin<&mut Turn<'_, F>>, task: &Arc<Task>) -> (bool, usize) {
        let waker = Waker::from(Arc::clone(task));
        let is_ready = turn.poll(&mut Context::from_waker(&waker)).is_ready();
        (is_ready, task.0.load(Ordering::SeqCst))
    }

    #[test]
    fn who_wakes_itself_is_polled_again_at_once_and_the_task_hears_nothing() {
        let mut polls = 0;
        let mut future = poll_fn(|context| {
            polls += 1;
            context.waker().wake_by_ref();
            if polls == 3 { Poll::Ready(()) } else { Poll::Pending }
        });
        let mut turn = Turn::of(Pin::new(&mut future));
        assert_eq!(poll_once(Pin::new(&mut turn), &Arc::default()), (true, 0));
        assert_eq!(polls, 3);
    }

    #[test]
    fn who_wakes_itself_without_end_gives_the_thread_back_and_is_polled_later() {
        let mut polls = 0;
        let mut future = poll_fn(|context| {
            polls += 1;
            context.waker().wake_by_ref();
            Poll::<()>::Pending
        });
        let (mut turn, task) = (Turn::of(Pin::new(&mut future)), Arc::default());
        assert_eq!(poll_once(Pin::new(&mut turn), &task), (false, 1));
        assert_eq!(poll_once(Pin::new(&mut turn), &task), (false, 2));
        assert_eq!(polls, 2 * MOST);
    }

    #[test]
    fn who_is_woken_between_two_polls_wakes_the_task_that_polled_last() {
        let mut kept = None;
        let mut future = poll_fn(|context| {
            kept = Some(context.waker().clone());
            Poll::<()>::Pending
        });
        let (mut turn, first, second) = (Turn::of(Pin::new(&mut future)), Arc::default(), Arc::default());
        assert_eq!(poll_once(Pin::new(&mut turn), &first), (false, 0));
        assert_eq!(poll_once(Pin::new(&mut turn), &second), (false, 0));
        let waker = kept.unwrap();
        std::thread::scope(|scope| scope.spawn(move || waker.wake()).join()).unwrap();
        assert_eq!((first.0.load(Ordering::SeqCst), second.0.load(Ordering::SeqCst)), (0, 1));
    }
}
