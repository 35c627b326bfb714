//! Cutting something off from everyone, now: a secret, a principal, leases, a mount, a network.
//!
//! Invariants: what is to be done is recorded durably before or with the first of it, so it survives a crash and is carried
//! on at unsealing; the first act makes all later use fail in one commit, and the tidying after it goes on until nothing is
//! left; figures are measured, never assumed. Does not decide who may: the gate does, and a target that the caller's
//! policies do not show is as one that is not there.

mod act;
mod block;
mod lift;
mod preview;
mod rotate;
mod target;
mod work;

pub use block::Block;
pub(crate) use block::Blocks;
pub use preview::{Preview, Touch};
pub use rotate::{Rotate, Turned};
pub use target::{Aim, Target};

use crate::access_key::AccessKeys;
use crate::identity::Identity;
use crate::lease::Leases;
use crate::mount::Mounts;
use crate::secret::Secrets;
use crate::task::Tasks;
use crate::token::Tokens;
use std::collections::HashSet;
use std::sync::{Arc, Mutex, OnceLock};
use strongroom_audit::Trail;
use strongroom_model::{Clock, Entropy};

/// Carries out emergency revocations and keeps their records.
pub struct Emergency {
    pub(crate) rooms: Rooms,
    /// Incidents that somebody works at.
    running: Mutex<HashSet<String>>,
    rotate: OnceLock<Arc<dyn Rotate>>,
    tasks: Tasks,
}

/// The rooms that an emergency reaches into.
pub(crate) struct Rooms {
    pub(crate) mounts: Arc<Mounts>,
    pub(crate) identity: Arc<Identity>,
    pub(crate) tokens: Arc<Tokens>,
    pub(crate) access_keys: Arc<AccessKeys>,
    pub(crate) leases: Arc<Leases>,
    pub(crate) secrets: Arc<Secrets>,
    pub(crate) blocks: Arc<Blocks>,
    pub(crate) trail: Arc<Trail>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) entropy: Arc<dyn Entropy>,
}

impl Emergency {
    pub(crate) fn new(rooms: Rooms) -> Self {
        Self { rooms, running: Mutex::default(), rotate: OnceLock::new(), tasks: Tasks::new() }
    }

    /// Lets secrets be rotated instead of disabled, where the strategy given here knows how. Once; a second is refused.
    pub fn attach(&self, rotate: Arc<dyn Rotate>) -> bool {
        self.rotate.set(rotate).is_ok()
    }

    /// Stops working; what is left is carried on after the next unsealing.
    pub(crate) async fn end(&self) {
        self.tasks.finish().await;
    }
}
