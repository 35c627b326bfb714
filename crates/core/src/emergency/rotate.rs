use crate::CoreError;
use async_trait::async_trait;
use strongroom_model::{MountId, SecretPath};

/// Makes a new value of a secret where the thing that it opens can be told so. With none attached, or when it has no
/// strategy for the secret, an emergency takes the version in force out of use.
#[async_trait]
pub trait Rotate: Send + Sync {
    /// Puts a new version in force and makes the old one worthless; gives its number. `None`: there is no strategy.
    async fn rotate(&self, mount: MountId, secret: &SecretPath) -> Result<Option<u64>, CoreError>;
}
