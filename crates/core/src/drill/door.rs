use crate::access_key::MadeKey;
use crate::{CoreError, Fields};
use arc_swap::ArcSwapOption;
use async_trait::async_trait;
use serde_json::{Map, Value};
use std::sync::Arc;
use strongroom_model::{MountPath, SecretString};

/// How the server met somebody who came through its door.
pub enum Met {
    /// It served them; with what it gave.
    LetIn(Fields),
    /// It refused the credential.
    Denied,
    /// It let the credential in and had nothing to give.
    Absent,
    /// It neither served nor refused: too busy, sealed, broken.
    Hindered(String),
}

/// The server's own door, as a client meets it: a request is parsed, routed, decided and recorded like anybody's.
#[async_trait]
pub trait Door: Send + Sync {
    /// Reads a path with a token.
    async fn read(&self, token: &SecretString, path: &str) -> Met;

    /// Writes to a path with a token.
    async fn write(&self, token: &SecretString, path: &str, fields: Map<String, Value>) -> Met;

    /// Deletes a path with a token.
    async fn delete(&self, token: &SecretString, path: &str) -> Met;

    /// The region for which requests signed with access keys reach secrets of this mount, if one does.
    fn region_of(&self, mount: &MountPath) -> Option<String>;

    /// Reads a secret by a request signed with an access key.
    async fn read_signed(&self, key: &MadeKey, region: &str, secret: &str) -> Met;
}

/// Where the door is found once there is one. It outlives seals: the doors are opened once, the strongroom many times.
#[derive(Default)]
pub(crate) struct Doorway(ArcSwapOption<Arc<dyn Door>>);

impl Doorway {
    pub(crate) fn set(&self, door: Arc<dyn Door>) {
        self.0.store(Some(Arc::new(door)));
    }

    /// The door, or why there is none to come through.
    pub(super) fn get(&self) -> Result<Arc<dyn Door>, CoreError> {
        let door = self.0.load_full().map(|door| Arc::clone(&*door));
        door.ok_or(CoreError::Busy(
            "the server has not opened its doors yet, so there is nothing to measure; try again",
        ))
    }
}

/// Tries credentials that an engine handed out as their users do: by logging in.
#[async_trait]
pub trait Rehearses: Send + Sync {
    /// The path below the mount at which a credential is asked for, given that path, the role's, or its name alone.
    fn place(&self, typed: &str) -> Option<String>;

    /// Whether there is such a place now.
    async fn is_there(&self, place: &str) -> Result<bool, CoreError>;

    /// Whether the outside system lets in who has this, as handed out at that place. `Err` when it says neither.
    async fn lets_in(&self, place: &str, credential: &Fields) -> Result<bool, CoreError>;
}
