//! Taking the version in force out of use in an emergency: it is hidden, as a deleted one is, so every dialect refuses it
//! in its own words and it can be brought back. Works without a caller's grant, since it goes on after a crash.

use super::change::Changed;
use super::store::Secrets;
use crate::CoreError;
use crate::mount::Mount;
use strongroom_model::{SecretPath, Timestamp, VersionNumber};

impl Secrets {
    /// Hides the version in force from that moment on; says which. `None` when there is none that could be read.
    pub(crate) async fn disable_current(
        &self,
        mount: &Mount,
        path: &SecretPath,
        at: Timestamp,
    ) -> Result<Option<VersionNumber>, CoreError> {
        let mut hidden = None;
        let now = self.clock.now();
        self.change(mount, path, |meta, _| {
            hidden = meta.current();
            let current = hidden.and_then(|number| meta.versions.get_mut(&number));
            match current.filter(|version| !version.is_gone(now)) {
                None => {
                    hidden = None;
                    Ok(Changed::Nothing)
                }
                Some(version) => {
                    version.deletion = Some(at);
                    Ok(Changed::Shred(Vec::new()))
                }
            }
        })
        .await?;
        Ok(hidden)
    }

    /// Shows a version again that was hidden at that moment; one that somebody hid since stays hidden.
    pub(crate) async fn enable_version(
        &self,
        mount: &Mount,
        path: &SecretPath,
        number: VersionNumber,
        hidden_at: Timestamp,
    ) -> Result<bool, CoreError> {
        let mut shown = false;
        let now = self.clock.now();
        self.change(mount, path, |meta, config| {
            let deletion = meta.deletion(now, config);
            let version = meta.versions.get_mut(&number);
            let ours = version.filter(|version| !version.destroyed && version.deletion == Some(hidden_at));
            shown = ours.is_some();
            ours.into_iter().for_each(|version| version.deletion = deletion);
            Ok(if shown { Changed::Shred(Vec::new()) } else { Changed::Nothing })
        })
        .await?;
        Ok(shown)
    }
}
