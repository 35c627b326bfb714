//! Where the records of secrets are kept. A name leads to what is known of the secret, and that to its values, which hang
//! on the secret's id.

use super::head::Head;
use crate::CoreError;
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use strongroom_barrier::{Address, Shelf};
use strongroom_model::{FolderPath, MountId, NamespaceId, SecretId, SecretPath, VersionNumber};

const ROOT: NamespaceId = NamespaceId::ROOT;

/// A head larger than this is kept apart from its name, or listing names would read through it: one of many versions.
const LARGEST: usize = 4 * 1_024;

/// Room for most of those that are not: growing would copy them from place to place.
const USUAL: usize = 1_536;

/// What stands under a name in a folder. A secret `a` and a folder `a/` are two names.
#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Name {
    /// A secret with its head: a new secret is one record.
    Here(SharedHead),
    /// A secret; its head is kept apart, under this id.
    Secret(SecretId),
    /// A folder that holds something.
    Folder,
}

/// A [`Name`] to be written.
#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum NewName<'a> {
    /// A secret with its head.
    Here(&'a Head),
    /// A secret whose head is kept apart.
    Secret(SecretId),
    /// A folder.
    Folder,
}

/// A [`Name`] for who lists: what it is, and nothing of a head.
#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum NameKind {
    /// A secret.
    #[serde(alias = "here")]
    Secret(IgnoredAny),
    /// A folder.
    Folder,
}

/// A head as it is cached.
#[derive(Clone, Deserialize)]
#[serde(from = "Head")]
pub(super) struct SharedHead(pub(super) Arc<Head>);

impl From<Head> for SharedHead {
    fn from(head: Head) -> Self {
        Self(Arc::new(head))
    }
}

/// The record of a name with the head in it, if that is small enough.
pub(super) fn in_name(head: &Head) -> Result<Option<Vec<u8>>, CoreError> {
    let mut record = Vec::with_capacity(USUAL);
    let written = serde_json::to_writer(&mut record, &NewName::Here(head));
    written.map_err(|_| CoreError::Unreadable { kind: "secret-head" })?;
    Ok((record.len() <= LARGEST).then_some(record))
}

/// The names in a folder. The folder's text is empty for the root of the mount.
fn names_in(mount: MountId, folder: &str) -> Shelf {
    Shelf::new("secret-name", ROOT).counted().within_each([mount.as_bytes(), folder.as_bytes()])
}

/// The names in a folder.
pub(super) fn names(mount: MountId, folder: &FolderPath) -> Shelf {
    names_in(mount, folder.as_str())
}

/// The name of a secret.
pub(super) fn name_at(mount: MountId, path: &SecretPath) -> Address {
    let (folder, name) = path.as_str().rsplit_once('/').unwrap_or(("", path.as_str()));
    names_in(mount, folder).named(name)
}

/// The names of the folders above a secret, outermost first, with the folder that each of them is.
pub(super) fn folders_above(mount: MountId, path: &SecretPath) -> Vec<(FolderPath, Address)> {
    let mut steps = path.steps();
    let inner: Vec<FolderPath> = steps.iter().skip(1).map(|(folder, _)| folder.clone()).collect();
    steps.truncate(inner.len());
    let markers = steps.iter().map(|(folder, name)| names(mount, folder).named(name));
    inner.into_iter().zip(markers).collect()
}

/// The folder with that name inside another; the name as it is kept, with its slash.
pub(super) fn subfolder(folder: &FolderPath, name: &str) -> Result<FolderPath, CoreError> {
    let text = if folder.as_str().is_empty() { name.to_owned() } else { format!("{folder}/{name}") };
    Ok(FolderPath::parse(&text)?)
}

/// The head of a secret.
pub(super) fn head_at(mount: MountId, secret: SecretId) -> Address {
    Shelf::new("secret-head", ROOT).within(mount.as_bytes()).named(secret.as_bytes())
}

/// The sealed values of a secret, oldest first.
pub(super) fn versions(secret: SecretId) -> Shelf {
    Shelf::new("secret-version", ROOT).within(secret.as_bytes())
}

/// One sealed value.
pub(super) fn version_at(secret: SecretId, number: VersionNumber) -> Address {
    versions(secret).ordered(number.get(), [])
}

/// Secrets that have more sealed values to remove than one transaction takes.
pub(super) fn debris() -> Shelf {
    Shelf::new("secret-debris", ROOT)
}

/// The settings of a mount for all its secrets.
pub(super) fn config_at(mount: MountId) -> Address {
    Shelf::new("kv-config", ROOT).named(mount.as_bytes())
}

/// The record of the mount itself, as the mount table keeps it: a secret is only created while it is there, so that
/// nothing is left behind when the mount is wiped.
pub(super) fn mount_at(mount: MountId) -> Address {
    Shelf::new("mount", ROOT).named(mount.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_folders_above_a_secret_each_stand_in_the_one_before() {
        let mount = MountId::from_bytes([1; 16]);
        let above = folders_above(mount, &SecretPath::parse("a/b/c").unwrap());
        let shown: Vec<_> = above.iter().map(|(folder, _)| folder.as_str()).collect();
        assert_eq!(shown, ["a", "a/b"]);
        let root = FolderPath::root();
        assert_eq!(above[0].1, names(mount, &root).named("a/"));
        assert_eq!(above[1].1, names(mount, &FolderPath::parse("a").unwrap()).named("b/"));
        assert!(folders_above(mount, &SecretPath::parse("a").unwrap()).is_empty());
        assert_eq!(
            name_at(mount, &SecretPath::parse("a/b").unwrap()),
            names(mount, &FolderPath::parse("a").unwrap()).named("b")
        );
        assert_eq!(subfolder(&root, "a/").unwrap().as_str(), "a");
        assert_eq!(subfolder(&FolderPath::parse("a").unwrap(), "b/").unwrap().as_str(), "a/b");
    }
}
