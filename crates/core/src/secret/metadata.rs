use super::change::Changed;
use super::config::KvConfig;
use super::head::{SecretMetadata, check_max_versions};
use super::remove::whole;
use super::store::{Secrets, TRIES};
use super::write::also_granted;
use crate::mount::Mount;
use crate::{CoreError, Grant, SecretAct};
use std::collections::BTreeMap;
use strongroom_barrier::Txn;
use strongroom_model::SecretPath;

/// What to change about a secret besides its versions; what is `None` stays.
#[derive(Clone, Debug, Default)]
pub struct MetadataChange {
    /// Versions to keep; 0: as the mount says. Versions are pruned by the next write.
    pub max_versions: Option<u32>,
    /// Whether every write must name the version it replaces.
    pub cas_required: Option<bool>,
    /// Seconds after which versions written from now on are hidden; 0: as the mount says.
    pub delete_version_after: Option<u64>,
    /// What people note.
    pub custom: Option<CustomChange>,
}

/// How to change what people noted.
#[derive(Clone, Debug)]
pub enum CustomChange {
    /// These notes and no others.
    Replace(BTreeMap<String, String>),
    /// These notes beside those that are there; `None` removes one.
    Merge(BTreeMap<String, Option<String>>),
}

/// What the caller should know after a change of metadata.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MetadataWritten {
    /// `cas_required` was switched off for the secret, but the mount demands it of all secrets.
    pub cas_overruled: bool,
}

impl MetadataChange {
    /// Whether nothing is to be changed.
    pub fn is_empty(&self) -> bool {
        self.max_versions.is_none()
            && self.cas_required.is_none()
            && self.delete_version_after.is_none()
            && self.custom.is_none()
    }

    fn apply(&self, meta: &mut SecretMetadata) -> Result<(), CoreError> {
        check_max_versions(self.max_versions)?;
        let settings = &mut meta.settings;
        settings.max_versions = self.max_versions.unwrap_or(settings.max_versions);
        settings.cas_required = self.cas_required.unwrap_or(settings.cas_required);
        settings.delete_version_after = self.delete_version_after.unwrap_or(settings.delete_version_after);
        match &self.custom {
            None => return Ok(()),
            Some(CustomChange::Replace(notes)) => meta.custom = notes.clone(),
            Some(CustomChange::Merge(notes)) => {
                for (key, note) in notes {
                    match note {
                        Some(note) => drop(meta.custom.insert(key.clone(), note.clone())),
                        None => drop(meta.custom.remove(key)),
                    }
                }
            }
        }
        check_custom(&meta.custom)
    }

    fn outcome(&self, config: &KvConfig) -> MetadataWritten {
        MetadataWritten { cas_overruled: config.cas_required && self.cas_required == Some(false) }
    }
}

impl Secrets {
    /// Changes settings and notes; a secret that is not there yet is made, without a version.
    pub async fn write_metadata(&self, grant: &Grant, change: &MetadataChange) -> Result<MetadataWritten, CoreError> {
        let (mount, path) = grant.secret(SecretAct::WriteMetadata)?;
        if change.is_empty() {
            return Ok(MetadataWritten::default());
        }
        for _ in 0..TRIES {
            if let Some(written) = self.change_metadata(grant, mount, path, change).await? {
                return Ok(written);
            }
            let _turn = self.turns.secret(mount.id, path).await;
            let mut head = self.blank().await?;
            change.apply(&mut head.meta)?;
            match self.insert(mount, path, &head, Txn::new()).await {
                Err(CoreError::Conflict) => continue,
                Err(error) => return Err(error),
                Ok(()) => return Ok(change.outcome(&self.config_of(mount).await?)),
            }
        }
        Err(CoreError::Conflict)
    }

    /// As [`Secrets::write_metadata`], for a secret that is there; `Nothing` when it is not.
    pub async fn patch_metadata(&self, grant: &Grant, change: &MetadataChange) -> Result<MetadataWritten, CoreError> {
        let (mount, path) = grant.secret(SecretAct::PatchMetadata)?;
        if change.is_empty() {
            return Ok(MetadataWritten::default());
        }
        self.change_metadata(grant, mount, path, change).await?.ok_or(CoreError::Nothing)
    }

    async fn change_metadata(
        &self,
        grant: &Grant,
        mount: &Mount,
        path: &SecretPath,
        change: &MetadataChange,
    ) -> Result<Option<MetadataWritten>, CoreError> {
        let now = self.clock.now();
        let changed = self.change(mount, path, |meta, _| {
            whole(meta)?;
            also_granted(grant, meta)?;
            change.apply(meta)?;
            meta.updated = now;
            Ok(Changed::Shred(Vec::new()))
        });
        match changed.await? {
            None => Ok(None),
            Some(_) => Ok(Some(change.outcome(&self.config_of(mount).await?))),
        }
    }
}

/// Vault's limits, so that what is noted here can be noted there.
const MOST_KEYS: usize = 64;
const LONGEST_KEY: usize = 128;
const LONGEST_NOTE: usize = 512;

fn check_custom(notes: &BTreeMap<String, String>) -> Result<(), CoreError> {
    let refuse = |problem: String| Err(CoreError::Invalid(format!("custom_metadata validation failed: {problem}")));
    if notes.len() > MOST_KEYS {
        return refuse(format!("payload must contain at most {MOST_KEYS} keys, provided {}", notes.len()));
    }
    for (key, note) in notes {
        // The key is repeated only where it is short and can be printed; the note never is.
        if !printable(key) {
            return refuse("a key contains unprintable characters".to_owned());
        }
        if key.is_empty() || key.len() > LONGEST_KEY {
            return refuse(format!("length of a key is {} but must be 0 < len(key) <= {LONGEST_KEY}", key.len()));
        }
        if note.is_empty() || note.len() > LONGEST_NOTE {
            let length = note.len();
            return refuse(format!(
                "length of value for key \"{key}\" is {length} but must be 0 < len(value) <= {LONGEST_NOTE}"
            ));
        }
        if !printable(note) {
            return refuse(format!("value for key \"{key}\" contains unprintable characters"));
        }
    }
    Ok(())
}

/// Close to Go's `unicode.IsPrint`: no control characters, no white space but the plain blank, nothing that shows as
/// nothing.
fn printable(text: &str) -> bool {
    let hidden = |c: char| matches!(c, '\u{00AD}' | '\u{200B}'..='\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2060}'..='\u{206F}' | '\u{FEFF}');
    text.chars().all(|c| c == ' ' || !(c.is_control() || c.is_whitespace() || hidden(c)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(key: &str, note: &str) -> Option<String> {
        check_custom(&[(key.to_owned(), note.to_owned())].into()).err().map(|error| error.to_string())
    }

    #[test]
    fn notes_have_the_limits_of_vault() {
        assert_eq!(refusal("k", "v v"), None);
        assert_eq!(refusal(&"k".repeat(128), &"v".repeat(512)), None);
        for (key, note) in [
            ("", "v"),
            ("k", ""),
            (&*"k".repeat(129), "v"),
            ("k", &*"v".repeat(513)),
            ("k\n", "v"),
            ("k", "a\tb"),
            ("k", "\u{202E}"),
        ] {
            let text = refusal(key, note).unwrap();
            assert!(text.starts_with("custom_metadata validation failed: "), "{text}");
        }
        let many: BTreeMap<_, _> = (0..65).map(|n| (n.to_string(), "v".to_owned())).collect();
        assert!(check_custom(&many).unwrap_err().to_string().contains("at most 64 keys, provided 65"));
    }

    #[test]
    fn a_refused_note_is_not_repeated() {
        assert!(!refusal("k", "hunter2\n").unwrap().contains("hunter2"));
    }
}
