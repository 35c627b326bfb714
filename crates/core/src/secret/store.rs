use crate::mount::Mount;
use crate::records::Records;
use crate::{CoreError, SecretAct};
use std::sync::Arc;
use strongroom_model::{Clock, Entropy, SecretPath};

/// Reads and writes versioned secrets. Every verb takes a `Grant` for exactly that act on exactly that secret.
pub struct Secrets {
    records: Arc<Records>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
}

impl Secrets {
    pub(crate) fn new(records: Arc<Records>, clock: Arc<dyn Clock>, entropy: Arc<dyn Entropy>) -> Self {
        Self { records, clock, entropy }
    }

    /// Whether what a write would touch is there, so that policy can tell create from update.
    pub(crate) async fn exists(&self, _mount: &Mount, _path: &SecretPath, _act: SecretAct) -> Result<bool, CoreError> {
        unimplemented!()
    }

    /// Wipes every secret of a removed mount. Repeatable after a crash.
    pub(crate) async fn wipe(&self, _mount: &Mount) -> Result<(), CoreError> {
        unimplemented!()
    }
}
