//! Where random bytes come from.

use std::sync::{Arc, Mutex, PoisonError};
use zeroize::{Zeroize, Zeroizing};

/// A source of random bytes. The real one is the operating system's, through the cryptographic library in `barrier`;
/// tests pass a seeded one to repeat a run.
pub trait Entropy: Send + Sync {
    /// Fills the whole buffer with unpredictable bytes.
    fn fill(&self, buffer: &mut [u8]);
}

impl dyn Entropy + '_ {
    /// An array of random bytes, for keys, salts and ids.
    pub fn array<const N: usize>(&self) -> [u8; N] {
        let mut bytes = [0; N];
        self.fill(&mut bytes);
        bytes
    }
}

/// Random bytes drawn many at a time, for who needs them in small pieces: asking the library costs more than the bytes.
///
/// Bytes that wait here would be the same in two copies of a machine that was copied while it ran. So keys and salts are
/// drawn for one piece of work and go with it ([`Drawn::for_now`]); only names that are no secrets may be drawn ahead.
pub struct Drawn<'a> {
    from: &'a dyn Entropy,
    pool: Mutex<Pool>,
}

/// Bytes from `used` on have not been given out; those before are wiped.
struct Pool {
    bytes: Zeroizing<Vec<u8>>,
    used: usize,
}

impl Pool {
    /// The next bytes, drawing `many` when there are not enough.
    fn give(&mut self, buffer: &mut [u8], many: usize, from: &dyn Entropy) {
        if self.bytes.len().saturating_sub(self.used) < buffer.len() {
            self.bytes.resize(many.max(buffer.len()), 0);
            // Used up until they are there: a source that panics leaves nothing that could be given out.
            self.used = self.bytes.len();
            from.fill(&mut self.bytes);
            self.used = 0;
        }
        let end = self.used + buffer.len();
        match self.bytes.get_mut(self.used..end) {
            Some(next) => {
                buffer.copy_from_slice(next);
                next.zeroize();
                self.used = end;
            }
            // Cannot be; and what is given out must be random whatever happens.
            None => from.fill(buffer),
        }
    }
}

impl<'a> Drawn<'a> {
    /// So many bytes for a piece of work that begins now; more are drawn one by one.
    pub fn for_now(from: &'a dyn Entropy, count: usize) -> Self {
        let mut bytes = Zeroizing::new(vec![0; count]);
        from.fill(&mut bytes);
        Self { from, pool: Mutex::new(Pool { bytes, used: 0 }) }
    }
}

impl Entropy for Drawn<'_> {
    fn fill(&self, buffer: &mut [u8]) {
        self.pool.lock().unwrap_or_else(PoisonError::into_inner).give(buffer, 0, self.from);
    }
}

/// Names that are no secrets, such as the ids of requests, drawn ahead.
pub struct Names {
    from: Arc<dyn Entropy>,
    pool: Mutex<Pool>,
}

impl Names {
    /// Bytes drawn at once.
    const MANY: usize = 1_024;

    /// Names from that source.
    pub fn of(from: Arc<dyn Entropy>) -> Self {
        Self { from, pool: Mutex::new(Pool { bytes: Zeroizing::default(), used: 0 }) }
    }
}

impl Entropy for Names {
    fn fill(&self, buffer: &mut [u8]) {
        self.pool.lock().unwrap_or_else(PoisonError::into_inner).give(buffer, Self::MANY, &*self.from);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    /// Counts up, and how often it is asked.
    #[derive(Default)]
    struct Counting {
        next: AtomicUsize,
        asked: AtomicUsize,
    }

    impl Entropy for Counting {
        fn fill(&self, buffer: &mut [u8]) {
            self.asked.fetch_add(1, Ordering::Relaxed);
            for byte in buffer {
                *byte = u8::try_from(self.next.fetch_add(1, Ordering::Relaxed) % 251).unwrap();
            }
        }
    }

    fn three(entropy: &dyn Entropy) -> [[u8; 3]; 3] {
        [entropy.array(), entropy.array(), entropy.array()]
    }

    #[test]
    fn what_is_drawn_together_comes_in_order_once_and_more_is_drawn_where_it_ends() {
        let source = Counting::default();
        let drawn = Drawn::for_now(&source, 7);
        assert_eq!(three(&drawn), [[0, 1, 2], [3, 4, 5], [7, 8, 9]]);
        assert_eq!(source.asked.load(Ordering::Relaxed), 2);
        assert!(drawn.pool.lock().unwrap().bytes.iter().all(|byte| *byte == 0), "what was given out is wiped");
    }

    #[test]
    fn names_are_drawn_many_at_a_time_and_none_comes_twice() {
        let source = Arc::new(Counting::default());
        let names = Names::of(Arc::clone(&source) as Arc<dyn Entropy>);
        assert_eq!(three(&names), [[0, 1, 2], [3, 4, 5], [6, 7, 8]]);
        assert_eq!(source.asked.load(Ordering::Relaxed), 1);
        let given: Vec<[u8; 16]> = (0..1_000).map(|_| (&names as &dyn Entropy).array()).collect();
        assert_eq!(source.asked.load(Ordering::Relaxed), 16);
        // Of the first drawing, and of several after it; the source comes round after 251 names.
        for some in [&given[..60], &given[64..300]] {
            let distinct: std::collections::BTreeSet<_> = some.iter().collect();
            assert_eq!(distinct.len(), some.len());
        }
    }
}
