//! What a change of a secret's metadata means to those who read the secret: found by comparing the metadata before and
//! after, so that no verb of any dialect can forget to tell.

use super::Hub;
use super::note::{EventKind, Note};
use crate::mount::Mount;
use crate::secret::SecretMetadata;
use strongroom_model::{SecretPath, Timestamp, VersionNumber};

impl Hub {
    /// Tells what a change of a secret was; nothing when readers have nothing from it.
    pub(crate) fn tell_secret(
        &self,
        mount: &Mount,
        path: &SecretPath,
        before: Option<&SecretMetadata>,
        after: Option<&SecretMetadata>,
        now: Timestamp,
    ) {
        let changes = changes(before, after, now);
        if changes.is_empty() {
            return;
        }
        let note = |Change { kind, version, detail }: Change| {
            if mount.is_versioned_kv() {
                Note { version: version.map(VersionNumber::get), detail, ..Note::versioned(kind, &mount.path, path) }
            } else {
                Note { detail, ..Note::new(kind, format!("{}/{path}", mount.path)) }
            }
        };
        self.tell_all(changes.into_iter().map(note).collect());
    }
}

#[derive(Debug, PartialEq, Eq)]
struct Change {
    kind: EventKind,
    version: Option<VersionNumber>,
    detail: Option<String>,
}

fn changes(before: Option<&SecretMetadata>, after: Option<&SecretMetadata>, now: Timestamp) -> Vec<Change> {
    let of = |kind, version| Change { kind, version, detail: None };
    let Some(after) = after else { return vec![of(EventKind::SecretRemoved, None)] };
    let mut changes = Vec::new();
    let known = |number: &VersionNumber| before.and_then(|before| before.versions.get(number));
    for (number, version) in &after.versions {
        let kind = match known(number) {
            None => Some(EventKind::SecretWritten),
            Some(old) if version.destroyed && !old.destroyed => Some(EventKind::SecretDestroyed),
            Some(old) if version.is_gone(now) && !old.is_gone(now) => Some(EventKind::SecretDeleted),
            Some(old) if !version.is_gone(now) && old.is_gone(now) => Some(EventKind::SecretUndeleted),
            Some(_) => None,
        };
        changes.extend(kind.map(|kind| of(kind, Some(*number))));
    }
    let marked = |meta: &SecretMetadata| meta.more.as_ref().is_some_and(|more| more.deletion.is_some());
    match (before.is_some_and(marked), marked(after)) {
        (false, true) => changes.push(of(EventKind::SecretDeleted, None)),
        (true, false) => changes.push(of(EventKind::SecretUndeleted, None)),
        _ => {}
    }
    let written = changes.iter().any(|change| change.kind == EventKind::SecretWritten);
    if let Some(before) = before.filter(|before| !written && before.stages != after.stages) {
        let moved = after.stages.iter().filter(|(stage, number)| before.stages.get(*stage) != Some(number));
        for (stage, number) in moved {
            let stage = serde_json::to_value(stage).ok().and_then(|word| word.as_str().map(str::to_owned));
            let detail = stage.map(|stage| format!("stage {stage}"));
            changes.push(Change { kind: EventKind::SecretStageMoved, version: Some(*number), detail });
        }
    }
    changes
}
