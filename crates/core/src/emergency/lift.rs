//! Taking an incident back, as far as it can be: a version is shown again, an entity and its keys are enabled, a block is
//! removed and the keys that were used behind it are enabled. Tokens and leases stay revoked.
//!
//! Invariant: what another incident holds, too, stays cut off until that one is lifted as well; what this one would have
//! given back is then left to the other. Until an incident is lifted, nothing else brings the version back that it hid.

use super::act::checked;
use super::{Emergency, Target};
use crate::access_key::AccessKeyId;
use crate::incident::{Incident, Incidents, Lifted, Operator, StepKind};
use crate::mount::Mount;
use crate::webhook::Severity;
use crate::{CoreError, Grant};
use strongroom_model::{EntityId, SecretPath, VersionNumber};

impl Emergency {
    /// Takes an incident back.
    pub async fn lift(
        &self,
        incidents: &Incidents,
        grant: &Grant,
        id: &str,
        reason: &str,
    ) -> Result<Incident, CoreError> {
        let reason = checked(reason)?;
        let incident = incidents.read(grant, id).await?;
        if incident.lifted.is_some() {
            return Err(CoreError::Unfit("the incident is lifted already".to_owned()));
        }
        if !incident.is_liftable() {
            return Err(CoreError::Unfit(
                "the incident is still being carried out; see `incident show`, and lift it when it is done".to_owned(),
            ));
        }
        // Who looks at it later is told how it stood.
        incidents.try_keep(id).await;
        self.give_up_rotation(&incident).await?;
        let mut lost = Vec::new();
        let restored = self.restore(incidents, &incident, &mut lost).await?;
        incidents.release(&incident).await?;
        let by = Operator::of(grant, &self.rooms.mounts.table())?;
        let at = self.now();
        let lifted = Lifted { at, by, reason, restored, lost };
        let incident = incidents
            .amend(id, |kept| {
                kept.lifted = Some(lifted.clone());
                kept.finished = kept.finished.or(Some(at));
            })
            .await?;
        let said = format!("lifted by {}: {}", lifted.by.name, lifted.reason);
        incidents.note(&incident, &said, true).await?;
        incidents.tell(&incident, "incident-lifted", Severity::Warning, &said).await;
        incidents.try_keep(id).await;
        Ok(incident)
    }

    /// A rotation that could not be done is not wanted any more.
    async fn give_up_rotation(&self, incident: &Incident) -> Result<(), CoreError> {
        match (&incident.target, self.rotate.get()) {
            (Target::Secret { mount, name, .. }, Some(rotate)) if incident.needs(StepKind::Rotation) => {
                rotate.give_up(*mount, name).await
            }
            _ => Ok(()),
        }
    }

    async fn restore(
        &self,
        incidents: &Incidents,
        incident: &Incident,
        lost: &mut Vec<String>,
    ) -> Result<Vec<String>, CoreError> {
        match &incident.target {
            Target::Secret { .. } => self.restore_secret(incident, lost).await,
            Target::Principal { entity, .. } => self.restore_entity(incidents, incident, *entity, lost).await,
            Target::AccessKey { key, .. } => {
                let others = incidents.standing_beside(&incident.id).await?;
                let given = self.restore_key(incidents, &others, (key, incident.was_disabled), lost).await?;
                Ok(given.into_iter().collect())
            }
            Target::Mount { path, .. } => {
                self.rooms.blocks.remove(&incident.id).await?;
                Ok(vec![format!("requests to {path}")])
            }
            Target::Address { network } => {
                let others = incidents.standing_beside(&incident.id).await?;
                self.rooms.blocks.remove(&incident.id).await?;
                let mut restored = vec![format!("requests from {network}")];
                for key in incident.keys() {
                    restored.extend(self.restore_key(incidents, &others, (key, false), lost).await?);
                }
                Ok(restored)
            }
            Target::Token { .. } | Target::LeasePrefix { .. } => Ok(Vec::new()),
        }
    }

    /// Notes which version an incident put out of use, so that only lifting it brings that back.
    pub(super) async fn hold(&self, incident: &Incident, version: Option<u64>) -> Result<(), CoreError> {
        let Target::Secret { mount, name, .. } = &incident.target else { return Ok(()) };
        let (Some(mount), Some(number)) = (self.mount_by_id(*mount), version.and_then(VersionNumber::new)) else {
            return Ok(());
        };
        self.rooms.secrets.hold(&mount, name, number, &incident.id).await
    }

    /// The version that this incident hid, or that another one hid before and still holds.
    pub(super) async fn hidden_version(&self, incident: &Incident) -> Result<Option<VersionNumber>, CoreError> {
        let Target::Secret { mount, name, .. } = &incident.target else { return Ok(None) };
        let Some(mount) = self.mount_by_id(*mount) else { return Ok(None) };
        let Some(meta) = self.rooms.secrets.known(&mount, name).await? else { return Ok(None) };
        let mut versions = meta.versions.iter();
        let own = versions.find(|(_, version)| version.deletion == Some(incident.opened)).map(|(number, _)| *number);
        if own.is_some() {
            return Ok(own);
        }
        let holds = self.rooms.secrets.holds(&mount, name).await?;
        Ok(meta.current().filter(|number| holds.iter().any(|hold| hold.version == *number)))
    }

    async fn restore_secret(&self, incident: &Incident, lost: &mut Vec<String>) -> Result<Vec<String>, CoreError> {
        let Target::Secret { mount, name, .. } = &incident.target else { return Ok(Vec::new()) };
        let Some(mount) = self.mount_by_id(*mount) else { return Ok(Vec::new()) };
        let holds = self.rooms.secrets.holds(&mount, name).await?;
        let (own, others): (Vec<_>, Vec<_>) = holds.into_iter().partition(|hold| hold.incident == incident.id);
        let cut = incident.cut.as_ref().filter(|cut| !cut.rotated);
        let mut restored = Vec::new();
        if let Some(number) = cut.and_then(|cut| cut.version).and_then(VersionNumber::new) {
            let since = own.first().map_or(incident.opened, |hold| hold.since);
            match others.iter().find(|hold| hold.version == number) {
                Some(other) => restored.push(held_by(&other.incident)),
                None => match self.rooms.secrets.enable_version(&mount, name, number, since).await? {
                    true => restored.push(format!("version {number}")),
                    false => lost.extend(self.version_lost(&mount, name, number).await?),
                },
            }
        }
        self.rooms.secrets.release(&mount, name, &incident.id).await?;
        Ok(restored)
    }

    /// Says that the version that an incident hid is not there any more, if so.
    async fn version_lost(
        &self,
        mount: &Mount,
        name: &SecretPath,
        number: VersionNumber,
    ) -> Result<Option<String>, CoreError> {
        let meta = self.rooms.secrets.known(mount, name).await?;
        let Some(meta) = meta else {
            return Ok(Some(format!("the secret was removed meanwhile, and version {number} with it")));
        };
        let is_there = meta.versions.get(&number).is_some_and(|version| !version.destroyed);
        let next = match meta.current() == Some(number) {
            true => ", and no other is in force: readers get none until a new one is written",
            false => "",
        };
        Ok((!is_there).then(|| format!("version {number} was destroyed meanwhile and does not come back{next}")))
    }

    async fn restore_entity(
        &self,
        incidents: &Incidents,
        incident: &Incident,
        entity: EntityId,
        lost: &mut Vec<String>,
    ) -> Result<Vec<String>, CoreError> {
        let others = incidents.standing_beside(&incident.id).await?;
        let keys: Vec<AccessKeyId> = incident.keys().cloned().collect();
        let same = |other: &&Incident| matches!(&other.target, Target::Principal { entity: it, .. } if *it == entity);
        if let Some(heir) = others.iter().find(same) {
            incidents.hold_keys(&heir.id, &keys).await?;
            incidents
                .amend(&heir.id, |kept| {
                    kept.was_disabled &= incident.was_disabled;
                    if let Some(step) = kept.step(StepKind::AccessKeys) {
                        let new: Vec<_> = keys.iter().filter(|key| !step.keys.contains(key)).cloned().collect();
                        step.keys.extend(new);
                    }
                })
                .await?;
            return Ok(vec![held_by(&heir.id)]);
        }
        let mut restored = Vec::new();
        if !incident.was_disabled && self.rooms.identity.set_disabled(entity, false, &Ok).await? {
            restored.push("the entity".to_owned());
        }
        for key in &keys {
            restored.extend(self.restore_key(incidents, &others, (key, false), lost).await?);
        }
        Ok(restored)
    }

    /// Puts a key in use again, unless it was out of use before or another incident holds it.
    async fn restore_key(
        &self,
        incidents: &Incidents,
        others: &[Incident],
        (key, was_disabled): (&AccessKeyId, bool),
        lost: &mut Vec<String>,
    ) -> Result<Option<String>, CoreError> {
        let is_target = |other: &Incident| matches!(&other.target, Target::AccessKey { key: it, .. } if it == key);
        if let Some(heir) = others.iter().find(|other| is_target(other)) {
            incidents.amend(&heir.id, |kept| kept.was_disabled &= was_disabled).await?;
            return Ok(Some(held_by(&heir.id)));
        }
        let holds = |other: &&Incident| other.keys().any(|held| held == key);
        if let Some(other) = others.iter().find(holds) {
            return Ok(Some(held_by(&other.id)));
        }
        if self.rooms.access_keys.is_disabled(key).await?.is_none() {
            lost.push(format!(
                "access key {key} was revoked meanwhile and does not come back; make another one with `access-key create`"
            ));
            return Ok(None);
        }
        let enabled = !was_disabled && self.rooms.access_keys.set_disabled(key, false).await?;
        Ok(enabled.then(|| format!("access key {key}")))
    }
}

fn held_by(incident: &str) -> String {
    format!("nothing of what incident {incident} holds, too")
}
