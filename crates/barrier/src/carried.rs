//! Objects that leave the house: a caller carries the sealed bytes and brings them back, and nothing is stored.
//!
//! Sealed under the keyring's current term, and opened under the term that they name, so they outlive a rotation. They
//! are authentic and secret, but there is no freshness: whoever seals them writes into them when they end.

use crate::blob::{self, Binding, KeyKind};
use crate::keys::{Keys, sealing};
use crate::{Barrier, BarrierError};
use strongroom_model::{NamespaceId, SecretBytes};

fn binding(keys: &Keys) -> Binding<'static> {
    Binding { cluster: keys.cluster, namespace: NamespaceId::ROOT, kind: "batch-token", place: b"" }
}

impl Barrier {
    /// Seals the content of a token that its bearer will carry. Never gives the same bytes twice.
    pub fn seal_token(&self, plain: &[u8]) -> Result<Vec<u8>, BarrierError> {
        let keys = self.interior().keys()?;
        let (term, key) = keys.current_term()?;
        self.interior().count_wrap();
        blob::seal(&key, KeyKind::Carried, term, &binding(&keys), plain, &*self.interior().entropy).map_err(sealing)
    }

    /// Opens what a caller brought. `None` when it is not, byte for byte, what this server sealed: that is an everyday
    /// event and no sign of a damaged store.
    pub fn open_token(&self, sealed: &[u8]) -> Result<Option<SecretBytes>, BarrierError> {
        let keys = self.interior().keys()?;
        let Some(key) = keys.term_of(sealed) else { return Ok(None) };
        Ok(blob::open(&key, KeyKind::Carried, &binding(&keys), sealed).ok())
    }
}
