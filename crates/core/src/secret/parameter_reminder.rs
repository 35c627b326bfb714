//! What is to be told of a parameter: that its end is near, that it has ended, that nobody has changed it for long. A
//! reminder is noted before the version is written that it is about, so that a crash between the two leaves one too many,
//! which finds no such version, and never one too few. Only the newest version is spoken of, and each reminder is told at
//! least once, to the webhooks that want it and to who listens.

use super::parameter::ParameterChange;
use super::place::mount_at;
use super::store::Secrets;
use crate::event::{EventKind, Note};
use crate::mount::Mount;
use crate::records::PutRecord;
use crate::webhook::{Notice, Severity, Topic, Webhooks};
use crate::{CoreError, Grant, SecretAct};
use serde::{Deserialize, Serialize};
use strongroom_barrier::{Shelf, Txn};
use strongroom_model::{MountId, NamespaceId, SecretId, SecretPath, Timestamp};

/// Something to be told of a parameter, unless it is written anew before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reminder {
    /// When.
    pub at: Timestamp,
    /// What.
    pub kind: ReminderKind,
    /// The rule that wants it, as it was sent.
    pub policy: String,
}

/// What a reminder says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ReminderKind {
    /// The end is near.
    Expiring,
    /// It has ended.
    Expired,
    /// Nobody changed it for as long as the rule says.
    Unchanged,
}

/// A reminder as it is kept.
#[derive(Clone, Serialize, Deserialize)]
struct Due {
    mount: MountId,
    path: SecretPath,
    /// The version that must still be the newest.
    version: u64,
    kind: ReminderKind,
    policy: String,
}

/// Reminders, in the order in which they fall due.
fn shelf() -> Shelf {
    Shelf::new("parameter-reminder", NamespaceId::ROOT)
}

impl ReminderKind {
    fn event(self) -> &'static str {
        match self {
            ReminderKind::Expiring => "parameter-expiring",
            ReminderKind::Expired => "parameter-expired",
            ReminderKind::Unchanged => "parameter-unchanged",
        }
    }

    fn text(self, name: &str, expires: Option<Timestamp>) -> String {
        let end = expires.map(|end| end.to_string()).unwrap_or_default();
        match self {
            ReminderKind::Expiring => {
                format!(
                    "The parameter {name} ends at {end}. Write it anew with a later Expiration if it is still needed."
                )
            }
            ReminderKind::Expired => format!("The parameter {name} ended at {end} and is removed."),
            ReminderKind::Unchanged => {
                format!(
                    "Nobody has changed the parameter {name} for as long as its policy says. See whether it should be."
                )
            }
        }
    }
}

impl Secrets {
    /// Notes what is to be told of the version that the change is about. The write of it follows.
    pub async fn note_reminders(
        &self,
        grant: &Grant,
        change: &ParameterChange,
        reminders: Vec<Reminder>,
    ) -> Result<(), CoreError> {
        if reminders.is_empty() {
            return Ok(());
        }
        let (mount, path) = grant.secret(SecretAct::Write)?;
        let mut txn = Txn::new();
        for Reminder { at, kind, policy } in reminders {
            let due = Due { mount: mount.id, path: path.clone(), version: change.newest + 1, kind, policy };
            // Any number keeps notes of one moment apart.
            let apart = SecretId::random(&*self.entropy);
            txn = txn.put_record(shelf().ordered(at.nanos(), apart.as_bytes()), &due)?;
        }
        self.records.commit(txn).await.map(|_| ())
    }

    /// Tells what is due. For housekeeping, before what has ended is shredded; safe to be cut off anywhere.
    pub(crate) async fn remind_due(&self, webhooks: &Webhooks) -> Result<(), CoreError> {
        loop {
            let now = self.clock.now();
            let page = self.records.scan::<Due>(&shelf(), None, 32).await?;
            let due: Vec<_> = page.into_iter().take_while(|one| one.number <= now.nanos()).collect();
            if due.is_empty() {
                return Ok(());
            }
            for one in due {
                let mount = self.records.get::<Mount>(&mount_at(one.value.mount)).await?;
                if let Some(mount) = mount {
                    self.remind(&mount.value, &one.value, webhooks).await?;
                }
                self.records.commit(Txn::new().delete(shelf().ordered(one.number, &one.name))).await?;
            }
        }
    }

    async fn remind(&self, mount: &Mount, due: &Due, webhooks: &Webhooks) -> Result<(), CoreError> {
        let Some(found) = self.find(mount, &due.path).await? else { return Ok(()) };
        let meta = &found.head.value.meta;
        let particulars = meta.particulars();
        let noted = particulars.parameter.as_ref();
        let holds = noted.is_some_and(|noted| noted.policies.contains(&due.policy)) && meta.newest == due.version;
        let has_ended = meta.is_past(self.clock.now());
        if !holds || meta.is_marked() || has_ended != (due.kind == ReminderKind::Expired) {
            return Ok(());
        }
        let slash = if noted.is_some_and(|noted| noted.bare) { "" } else { "/" };
        let (name, path) = (format!("{slash}{}", due.path), format!("{}/data/{}", mount.path, due.path));
        let severity = match due.kind {
            ReminderKind::Expiring | ReminderKind::Unchanged => Severity::Warning,
            ReminderKind::Expired => Severity::Info,
        };
        let notice =
            Notice::new(Topic::Parameter, due.kind.event(), severity, due.kind.text(&name, particulars.expires));
        let notice = notice.at(path).with("parameter", name).with("policy", due.policy.clone());
        webhooks.tell(notice.with("version", due.version.to_string())).await?;
        self.events.tell(Note {
            version: Some(due.version),
            detail: Some(due.kind.event().trim_start_matches("parameter-").to_owned()),
            ..Note::versioned(EventKind::ParameterReminder, &mount.path, &due.path)
        });
        Ok(())
    }
}
