//! What the trail tells those who ask: who did what, who uses a secret and how, and what a review of access should know.
//!
//! Invariants: an answer needs a `Grant` of the trail's own paths; what a caller's policies do not show stays out of it
//! unless they give `sudo` on that path; and of what was left out nothing is said, not even that it was. Answers come from
//! the trail's own lines and from counts that the index keeps of them. Knows no wire form.

mod consumer;
mod named;
mod question;
mod review;
mod sight;
mod stranger;
mod word;

pub use consumer::{Consumer, Freshness, Readers, Reading};
pub use named::NamedRow;
pub use question::{Answer, Lack, Question};
pub use review::{IdleAccess, IdleRule, Review, UnusedSecret};
pub(crate) use sight::Sight;
pub use strongroom_audit::Absence;

use crate::identity::Identity;
use crate::mount::Mounts;
use crate::policy::PolicyStore;
use crate::secret::Secrets;
use std::sync::Arc;
use strongroom_audit::Trail;
use strongroom_barrier::Barrier;
use strongroom_model::Clock;

/// Asks the trail.
pub struct Inquiry {
    trail: Arc<Trail>,
    mounts: Arc<Mounts>,
    secrets: Arc<Secrets>,
    identity: Arc<Identity>,
    policies: Arc<PolicyStore>,
    barrier: Arc<Barrier>,
    clock: Arc<dyn Clock>,
}

impl Inquiry {
    pub(crate) fn new(
        trail: &Arc<Trail>,
        mounts: &Arc<Mounts>,
        secrets: &Arc<Secrets>,
        identity: &Arc<Identity>,
        policies: &Arc<PolicyStore>,
        barrier: &Arc<Barrier>,
        clock: &Arc<dyn Clock>,
    ) -> Self {
        Self {
            trail: Arc::clone(trail),
            mounts: Arc::clone(mounts),
            secrets: Arc::clone(secrets),
            identity: Arc::clone(identity),
            policies: Arc::clone(policies),
            barrier: Arc::clone(barrier),
            clock: Arc::clone(clock),
        }
    }
}
