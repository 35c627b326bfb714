use crate::CoreError;
use strongroom_barrier::Barrier;

/// Whether two nonces are the same. Compares keyed hashes, so that the time it takes says nothing.
pub(super) fn is_same(barrier: &Barrier, sent: &str, known: &str) -> bool {
    let hash = |text: &str| barrier.keyed_hash("ceremony-nonce", text.as_bytes());
    !sent.is_empty() && hash(sent) == hash(known)
}

/// Refuses who does not know the nonce. Vault's answer names the right one, which makes it worthless.
pub(super) fn check(barrier: &Barrier, sent: &str, known: &str, operation: &str) -> Result<(), CoreError> {
    if is_same(barrier, sent, known) {
        return Ok(());
    }
    Err(CoreError::Invalid(format!(
        "incorrect nonce supplied; send the nonce that was given out when this {operation} operation was started"
    )))
}
