use std::fmt;
use std::sync::OnceLock;

/// Something made of the rest of a value when it is first needed. A copy of the value is about to become another one, so it
/// begins without.
pub(crate) struct Memo<T>(OnceLock<T>);

impl<T> Memo<T> {
    /// What was made, if it was.
    pub(crate) fn get(&self) -> Option<&T> {
        self.0.get()
    }

    /// What was made, or is made now.
    pub(crate) fn get_or_make(&self, make: impl FnOnce() -> T) -> &T {
        self.0.get_or_init(make)
    }

    /// Keeps it, unless something was made meanwhile.
    pub(crate) fn keep(&self, made: T) {
        let _ = self.0.set(made);
    }
}

impl<T> Default for Memo<T> {
    fn default() -> Self {
        Self(OnceLock::new())
    }
}

impl<T> Clone for Memo<T> {
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl<T> fmt::Debug for Memo<T> {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str("Memo")
    }
}
