use crate::CoreError;
use async_trait::async_trait;
use strongroom_model::{MountId, SecretPath, Timestamp};

/// What became of a rotation that an emergency asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Turned {
    /// Nobody said how the secret rotates.
    NoPlan,
    /// This version is in force, and the former value is worthless.
    Done(u64),
    /// Not yet, and why; it goes on.
    Pending {
        /// The new version, when it is in force already and only the former value is still good.
        version: Option<u64>,
        /// The version that is known to others, as it was in force when the rotation was asked for.
        known: Option<u64>,
        /// What keeps it.
        why: String,
    },
}

/// Makes a new value of a secret where the thing that it opens can be told so. With none attached, or when it has no
/// strategy for the secret, an emergency takes the version in force out of use.
#[async_trait]
pub trait Rotate: Send + Sync {
    /// Puts a new version in force and makes the old one worthless. What does not come to its end soon goes on after
    /// `Pending`. One that began since then serves it, also when it came to its end before: a crash may lie between.
    async fn rotate(&self, mount: MountId, secret: &SecretPath, since: Timestamp) -> Result<Turned, CoreError>;

    /// Whether somebody said how the secret rotates.
    async fn is_planned(&self, mount: MountId, secret: &SecretPath) -> Result<bool, CoreError>;

    /// How far it is with a secret that is to be rotated since then, and of which that version was hidden. Begins again
    /// what was rolled back.
    async fn pursue(
        &self,
        mount: MountId,
        secret: &SecretPath,
        since: Timestamp,
        hidden: Option<u64>,
    ) -> Result<Turned, CoreError>;

    /// Ends what an emergency began and is not wanted any more, where the new version is not in force.
    async fn give_up(&self, mount: MountId, secret: &SecretPath) -> Result<(), CoreError>;
}
