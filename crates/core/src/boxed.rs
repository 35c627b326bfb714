//! Futures on the heap.

use std::pin::Pin;

/// The future, made where it stays. `Box::pin` makes it on the stack and then copies all of its bytes, though hardly any
/// are in use before the first poll: what a request can need is some kilobytes, and who moves them writes as many to cold
/// memory.
#[inline(always)]
pub fn boxed<F: Future>(make: impl FnOnce() -> F) -> Pin<Box<F>> {
    let place = Box::new_uninit();
    Box::into_pin(Box::write(place, make()))
}
