//! What a review needs to know of secrets beside their values: which there are, and which version is in force. Behind the
//! gate: whoever asks has already been granted a look at the trail, and shows only what the caller may see.

use super::head::SecretMetadata;
use super::place::{NameKind, names, subfolder};
use super::store::Secrets;
use crate::CoreError;
use crate::mount::Mount;
use crate::records::Records;
use strongroom_model::{FolderPath, MountId, SecretPath};

impl Secrets {
    /// What is known of a secret; `None` when there is none.
    pub(crate) async fn known(&self, mount: &Mount, path: &SecretPath) -> Result<Option<SecretMetadata>, CoreError> {
        Ok(self.find(mount, path).await?.map(|found| found.head.value.meta.clone()))
    }

    /// The names of all secrets of a mount, at most so many; whether there are more.
    pub(crate) async fn outline(&self, mount: &Mount, most: usize) -> Result<(Vec<SecretPath>, bool), CoreError> {
        let (mut open, mut found) = (vec![FolderPath::root()], Vec::new());
        while let Some(folder) = open.pop() {
            for listed in self.records.scan_all::<NameKind>(&names(mount.id, &folder)).await? {
                let text = listed.text();
                match listed.value {
                    NameKind::Folder => open.push(subfolder(&folder, &text)?),
                    NameKind::Secret(_) if folder.as_str().is_empty() => found.push(SecretPath::parse(&text)?),
                    NameKind::Secret(_) => found.push(SecretPath::parse(&format!("{folder}/{text}"))?),
                }
                if found.len() >= most {
                    return Ok((found, true));
                }
            }
        }
        Ok((found, false))
    }
}

/// How many secrets a mount holds. Goes page by page, and lets those go first who wait for an answer.
pub(crate) async fn count(records: &Records, mount: MountId) -> Result<u64, CoreError> {
    const STEP: usize = 128;
    let (mut open, mut counted) = (vec![FolderPath::root()], 0);
    while let Some(folder) = open.pop() {
        let (shelf, mut after) = (names(mount, &folder), None);
        loop {
            let page = records.scan::<NameKind>(&shelf, after.as_ref(), STEP).await?;
            let Some(last) = page.last() else { break };
            after = Some(shelf.named(&last.name));
            for listed in &page {
                match listed.value {
                    NameKind::Folder => open.push(subfolder(&folder, &listed.text())?),
                    NameKind::Secret(_) => counted += 1,
                }
            }
            tokio::task::yield_now().await;
        }
    }
    Ok(counted)
}
