use super::change::Changed;
use super::doom::doom_at;
use super::head::SecretMetadata;
use super::hold::Hold;
use super::place::{NameKind, debris, folders_above, names, version_at};
use super::store::{Found, Secrets, TRIES};
use super::wipe::{BATCH, Debris};
use crate::mount::Mount;
use crate::records::PutRecord;
use crate::{CoreError, Grant, SecretAct};
use strongroom_barrier::{Address, Txn};
use strongroom_model::{SecretPath, VersionNumber};

impl Secrets {
    /// Hides the current version. Nothing happens when there is none, or it is gone already.
    pub async fn delete_current(&self, grant: &Grant) -> Result<(), CoreError> {
        let (mount, path) = grant.secret(SecretAct::DeleteCurrent)?;
        let now = self.clock.now();
        let changed = self.change(mount, path, |meta, _| {
            whole(meta)?;
            let current = meta.current().and_then(|number| meta.versions.get_mut(&number));
            match current.filter(|version| !version.is_gone(now)) {
                None => Ok(Changed::Nothing),
                Some(version) => {
                    version.deletion = Some(now);
                    Ok(Changed::Shred(Vec::new()))
                }
            }
        });
        changed.await.map(|_| ())
    }

    /// Hides versions; numbers that are not known or gone already are passed over.
    pub async fn delete_versions(&self, grant: &Grant, numbers: &[VersionNumber]) -> Result<(), CoreError> {
        let (mount, path) = grant.secret(SecretAct::DeleteVersions)?;
        let now = self.clock.now();
        let changed = self.change(mount, path, |meta, _| {
            whole(meta)?;
            for number in numbers {
                if let Some(version) = meta.versions.get_mut(number).filter(|version| !version.is_gone(now)) {
                    version.deletion = Some(now);
                }
            }
            Ok(Changed::Shred(Vec::new()))
        });
        changed.await.map(|_| ())
    }

    /// Shows hidden versions again, for as long as a new version would be shown. Destroyed ones stay destroyed. `Unfit` when
    /// an incident holds one of them.
    pub async fn undelete(&self, grant: &Grant, numbers: &[VersionNumber]) -> Result<(), CoreError> {
        let (mount, path) = grant.secret(SecretAct::Undelete)?;
        let now = self.clock.now();
        let holds = self.holds(mount, path).await?;
        let changed = self.change(mount, path, |meta, config| {
            whole(meta)?;
            let deletion = meta.deletion(now, config);
            let hidden =
                |hold: &&Hold| meta.versions.get(&hold.version).is_some_and(|it| it.deletion == Some(hold.since));
            let mut held = holds.iter().filter(|hold| numbers.contains(&hold.version)).filter(hidden);
            if let Some(hold) = held.next() {
                return Err(held_by(hold));
            }
            for number in numbers {
                if let Some(version) = meta.versions.get_mut(number).filter(|version| !version.destroyed) {
                    version.deletion = deletion;
                }
            }
            Ok(Changed::Shred(Vec::new()))
        });
        changed.await.map(|_| ())
    }

    /// Shreds versions: their sealed values, with the only keys that open them, are removed. That they existed stays
    /// known.
    pub async fn destroy(&self, grant: &Grant, numbers: &[VersionNumber]) -> Result<(), CoreError> {
        let (mount, path) = grant.secret(SecretAct::Destroy)?;
        let mut numbers = numbers.to_vec();
        numbers.sort_unstable();
        numbers.dedup();
        for some in numbers.chunks(BATCH) {
            let changed = self.change(mount, path, |meta, _| {
                whole(meta)?;
                let mut shred = Vec::new();
                for number in some {
                    if let Some(version) = meta.versions.get_mut(number).filter(|version| !version.destroyed) {
                        version.destroyed = true;
                        shred.push(*number);
                    }
                }
                Ok(if shred.is_empty() { Changed::Nothing } else { Changed::Shred(shred) })
            });
            changed.await?;
        }
        Ok(())
    }

    /// Shreds the secret with all versions and metadata, and removes folders that are empty without it. Nothing happens
    /// when there is no such secret.
    pub async fn delete_all(&self, grant: &Grant) -> Result<(), CoreError> {
        let (mount, path) = grant.secret(SecretAct::DeleteAll)?;
        let _turn = self.turns.secret(mount.id, path).await;
        let _alone = self.turns.remove_names(mount.id).await;
        for _ in 0..TRIES {
            let Some(found) = self.find(mount, path).await? else { return Ok(()) };
            match self.delete_found(mount, path, &found).await {
                Err(CoreError::Conflict) => continue,
                other => return other,
            }
        }
        Err(CoreError::Conflict)
    }

    pub(super) async fn delete_found(&self, mount: &Mount, path: &SecretPath, found: &Found) -> Result<(), CoreError> {
        let head = &found.head.value;
        let mut txn = Txn::new().expect(found.name.clone(), found.name_rev).delete(found.name.clone());
        if let Some((at, rev)) = &found.head.apart {
            txn = txn.expect(at.clone(), *rev).delete(at.clone());
        }
        if let Some(deletion) = head.meta.particulars().deletion {
            txn = txn.delete(doom_at(head.id, deletion.due));
        }
        for marker in self.emptied_by(mount, path, &found.name).await? {
            txn = txn.delete(marker);
        }
        let kept: Vec<VersionNumber> = head.meta.versions.keys().copied().collect();
        let rest = kept.len() > BATCH;
        if rest {
            txn = txn.put_record(debris().named(head.id.as_bytes()), &Debris::of(mount.id, path, head.id))?;
        } else {
            for number in kept {
                txn = txn.delete(version_at(head.id, number));
            }
        }
        self.records.commit(txn).await?;
        self.events.tell_secret(mount, path, Some(&head.meta), None, self.clock.now());
        if rest {
            self.sweep_soon(head.id).await;
        }
        Ok(())
    }

    /// The markers of folders that hold nothing but the way to this name. Only in the turn to remove names.
    async fn emptied_by(&self, mount: &Mount, path: &SecretPath, name: &Address) -> Result<Vec<Address>, CoreError> {
        let mut emptied = Vec::new();
        let mut removed = name.clone();
        for (folder, marker) in folders_above(mount.id, path).into_iter().rev() {
            let shelf = names(mount.id, &folder);
            let held = self.records.scan::<NameKind>(&shelf, None, 2).await?;
            if held.iter().any(|name| shelf.named(&name.name) != removed) {
                break;
            }
            removed = marker.clone();
            emptied.push(marker);
        }
        Ok(emptied)
    }
}

/// Refuses to change anything but all of it while the secret waits for its deletion: what is restored is what was given up.
pub(super) fn whole(meta: &SecretMetadata) -> Result<(), CoreError> {
    if !meta.is_marked() {
        return Ok(());
    }
    Err(CoreError::Unfit(
        "the secret is marked for deletion, and it and its versions stay as they are until its day comes: restore it first \
         (AWS's RestoreSecret), or shred all of it now with `strongroom kv metadata delete`"
            .to_owned(),
    ))
}

fn held_by(hold: &Hold) -> CoreError {
    let (number, incident) = (hold.version, &hold.incident);
    CoreError::Unfit(format!(
        "version {number} was put out of use by incident {incident}, which stands: the version comes back when that is \
         lifted, with `strongroom incident lift {incident}`"
    ))
}
