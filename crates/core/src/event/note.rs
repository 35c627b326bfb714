use serde::Serialize;
use std::borrow::Cow;
use std::{fmt, iter};
use strongroom_model::{MountPath, Timestamp};

/// The section of a secret's path by which policies speak of its values.
const DATA: &str = "data/";

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum EventKind {
    /// A secret has a new version.
    SecretWritten,
    /// A stage points at another version.
    SecretStageMoved,
    /// A version, or all of the secret, refuses to be read; it may come back.
    SecretDeleted,
    /// It came back.
    SecretUndeleted,
    /// A version's value is gone for good.
    SecretDestroyed,
    /// The secret is gone with all versions.
    SecretRemoved,
    /// A credential was handed out.
    LeaseIssued,
    /// A credential is gone.
    LeaseCut,
    /// A token was revoked.
    TokenRevoked,
    /// Something was mounted, moved, changed or removed.
    MountChanged,
    /// What a rule of a parameter wants to be told: its end is near or has come, or nobody changed it for long.
    ParameterReminder,
    /// An incident was opened or moved on.
    Incident,
}

impl EventKind {
    /// All of them.
    pub const ALL: [Self; 12] = [
        EventKind::SecretWritten,
        EventKind::SecretStageMoved,
        EventKind::SecretDeleted,
        EventKind::SecretUndeleted,
        EventKind::SecretDestroyed,
        EventKind::SecretRemoved,
        EventKind::LeaseIssued,
        EventKind::LeaseCut,
        EventKind::TokenRevoked,
        EventKind::MountChanged,
        EventKind::ParameterReminder,
        EventKind::Incident,
    ];

    /// The word on the wire.
    pub fn word(self) -> &'static str {
        match self {
            EventKind::SecretWritten => "secret-written",
            EventKind::SecretStageMoved => "secret-stage-moved",
            EventKind::SecretDeleted => "secret-deleted",
            EventKind::SecretUndeleted => "secret-undeleted",
            EventKind::SecretDestroyed => "secret-destroyed",
            EventKind::SecretRemoved => "secret-removed",
            EventKind::LeaseIssued => "lease-issued",
            EventKind::LeaseCut => "lease-cut",
            EventKind::TokenRevoked => "token-revoked",
            EventKind::MountChanged => "mount-changed",
            EventKind::ParameterReminder => "parameter-reminder",
            EventKind::Incident => "incident",
        }
    }
}

/// What is told of a change, before it has its number.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Note {
    #[serde(rename = "type")]
    pub(crate) kind: EventKind,
    /// The path that policies speak of: who may read or list it may know of the event.
    pub(crate) path: String,
    /// Where in the path `data/` begins, with which a secret that has versions is spoken of. The same is true of its
    /// metadata and of its name without section, and people ask by those too.
    #[serde(skip)]
    pub(crate) section: Option<usize>,
    /// What it is about, where that and not its path decides who may know of it: some of this has to be shown.
    #[serde(skip)]
    pub(crate) about: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) version: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) lease: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) accessor: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) incident: Option<String>,
    /// What more there is to say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) detail: Option<String>,
}

impl Note {
    pub(crate) fn new(kind: EventKind, path: impl Into<String>) -> Self {
        let path = path.into();
        let (section, about) = (None, None);
        Self { kind, path, section, about, version: None, lease: None, accessor: None, incident: None, detail: None }
    }

    /// What happened to a secret that has versions.
    pub(crate) fn versioned(kind: EventKind, mount: &MountPath, path: impl fmt::Display) -> Self {
        let section = Some(mount.as_str().len() + 1);
        Self { section, ..Self::new(kind, format!("{mount}/{DATA}{path}")) }
    }

    /// The paths by which somebody may ask for it.
    pub(super) fn paths(&self) -> impl Iterator<Item = Cow<'_, str>> {
        let parts = self.section.and_then(|at| {
            let (mount, rest) = self.path.split_at_checked(at)?;
            Some((mount, rest.strip_prefix(DATA)?))
        });
        let others = parts.map(|(mount, rest)| [format!("{mount}metadata/{rest}"), format!("{mount}{rest}")]);
        iter::once(Cow::Borrowed(self.path.as_str())).chain(others.into_iter().flatten().map(Cow::Owned))
    }

    /// What happened to a lease; its id is its path and a suffix.
    pub(crate) fn lease(kind: EventKind, id: &str, detail: Option<&str>) -> Self {
        let path = id.rsplit_once('/').map_or(id, |(path, _)| path);
        Self { lease: Some(id.to_owned()), detail: detail.map(str::to_owned), ..Self::new(kind, path) }
    }

    /// What happened to a mount. `sys/mounts/...` and `sys/auth/...` are where policies speak of them.
    pub(crate) fn mount(path: &str, what: &str) -> Self {
        let place = path.strip_prefix("auth/").map_or(format!("sys/mounts/{path}"), |auth| format!("sys/auth/{auth}"));
        Self { detail: Some(what.to_owned()), ..Self::new(EventKind::MountChanged, place) }
    }

    /// That a token is gone.
    pub(crate) fn token(accessor: &str) -> Self {
        Self { accessor: Some(accessor.to_owned()), ..Self::new(EventKind::TokenRevoked, "auth/token/accessors") }
    }

    /// Bytes of memory that it takes, about.
    pub(super) fn weight(&self) -> usize {
        let texts = [&self.lease, &self.accessor, &self.incident, &self.detail];
        let texts: usize = texts.iter().filter_map(|text| text.as_ref()).map(String::len).sum();
        let about: usize = self.about.iter().flatten().map(String::len).sum();
        256 + self.path.len() + about + texts
    }
}

/// What happened, with its place in the order of all.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Event {
    /// Its place: what a reader names to hear what came after it.
    pub id: String,
    /// When it was told.
    pub time: Timestamp,
    /// What happened.
    #[serde(flatten)]
    pub(crate) note: Note,
}

impl Event {
    /// What happened.
    pub fn kind(&self) -> EventKind {
        self.note.kind
    }

    /// The path that policies speak of.
    pub fn path(&self) -> &str {
        &self.note.path
    }

    /// The version, of what has some.
    pub fn version(&self) -> Option<u64> {
        self.note.version
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_with_versions_is_known_by_three_paths_and_anything_else_by_one() {
        let paths = |note: &Note| note.paths().map(Cow::into_owned).collect::<Vec<_>>();
        for mount in ["data", "team/kv"] {
            let mount = MountPath::parse(mount).unwrap();
            let note = Note::versioned(EventKind::SecretWritten, &mount, "data/x");
            let expected = ["data/data/x", "metadata/data/x", "data/x"].map(|rest| format!("{mount}/{rest}"));
            assert_eq!(paths(&note), expected);
            assert_eq!(note.path, expected[0]);
        }
        assert_eq!(paths(&Note::new(EventKind::SecretWritten, "kv/data/x")), ["kv/data/x"]);
    }
}
