//! Taking the version in force out of use in an emergency: it is hidden, as a deleted one is, so every dialect refuses it
//! in its own words and it can be brought back. Works without a caller's grant, since it goes on after a crash.

use super::change::Changed;
use super::store::Secrets;
use crate::CoreError;
use crate::mount::Mount;
use strongroom_model::{SecretPath, Timestamp, VersionNumber};

/// What became of a version that was to be hidden.
pub(crate) enum Disabled {
    /// There is none in force that could be read.
    Nothing,
    /// This one is hidden.
    It(VersionNumber),
    /// This one is in force instead, and can be read.
    Another(VersionNumber),
}

impl Secrets {
    /// Hides the version in force from that moment on, but none other than `only`; says which.
    pub(crate) async fn disable_current(
        &self,
        mount: &Mount,
        path: &SecretPath,
        at: Timestamp,
        only: Option<u64>,
    ) -> Result<Disabled, CoreError> {
        let mut hidden = Disabled::Nothing;
        let now = self.clock.now();
        self.change(mount, path, |meta, _| {
            hidden = Disabled::Nothing;
            let Some(number) = meta.current() else { return Ok(Changed::Nothing) };
            let current = meta.versions.get_mut(&number).filter(|version| !version.is_gone(now));
            let Some(version) = current else { return Ok(Changed::Nothing) };
            if only.is_some_and(|only| only != number.get()) {
                hidden = Disabled::Another(number);
                return Ok(Changed::Nothing);
            }
            hidden = Disabled::It(number);
            version.deletion = Some(at);
            Ok(Changed::Shred(Vec::new()))
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
