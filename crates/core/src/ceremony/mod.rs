//! Ceremonies with the keys of the whole server: a new term, new unseal keys, a new root token; and the check of
//! all that is kept under them.
//!
//! Invariants: what takes the agreement of those who hold unseal keys ends with a proof from the barrier that enough of
//! their shares opened the slot; there is at most one attempt of each kind, and it belongs to whoever knows its nonce;
//! no share is kept longer than the attempt. Attempts are in memory only, so that sealing ends them. Does not know how
//! keys are stored or exchanged: the barrier does.

mod nonce;
mod rekey;
mod root;
mod rotation;
mod verify;

pub use rekey::{RekeyPlan, RekeyStatus, RekeyStep, Rekeying, ShareOrder, Verification};
pub use root::{RootGeneration, RootStart, RootStatus, RootStep};
pub use rotation::{Rotation, RotationConfig};
pub use verify::Damage;
