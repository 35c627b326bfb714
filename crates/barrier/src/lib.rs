//! The only holder of keys: seals and unseals the server, and turns a store of opaque bytes into an encrypted one.
//!
//! Invariants: a record cannot be read, moved, altered or rolled back unnoticed by who can write the store; the names
//! of things are not in it; being unsealed is having a [`Barrier`], and dropping the last one wipes the keys.

mod address;
mod barrier;
mod batch;
mod blob;
mod carried;
mod ceremony;
mod change;
mod codec;
mod committer;
mod error;
mod field;
mod fresh;
mod interior;
mod keys;
mod opening;
mod place;
mod reading;
mod record;
mod ring;
mod seal;
mod shamir;
mod share;
mod snapshot;
mod sweep;
mod tally;
mod value;
mod verify;

pub use address::{Address, Kept, Shelf};
pub use barrier::{Barrier, Health};
pub use ceremony::KeyStatus;
pub use error::BarrierError;
pub use record::{Record, Txn};
pub use seal::{
    Door, Gathering, Init, InitOutcome, NewShares, Opening, Quorate, Quorum, SealKind, SealStatus, Sealed, SlotSpec,
    StaticKey, Uninitialised,
};
pub use share::{Share, ShareError};
pub use snapshot::{Heir, Moment, is_signed_by, seal_of_row};
pub use sweep::Progress;
pub use tally::Count;
pub use value::{SealedKey, SealedValue, ValueBinding, ValueOpener};
pub use verify::Finding;

use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use strongroom_model::Entropy;

/// The operating system's random numbers, through the cryptographic library.
#[derive(Debug, Default, Clone, Copy)]
pub struct SystemEntropy;

impl Entropy for SystemEntropy {
    fn fill(&self, buffer: &mut [u8]) {
        // A process that cannot draw random numbers must not go on: every key and token would be a constant.
        if SystemRandom::new().fill(buffer).is_err() {
            std::process::abort();
        }
    }
}
