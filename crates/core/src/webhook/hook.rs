use super::notice::Topic;
use super::post::Target;
use crate::CoreError;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use strongroom_model::{SecretString, Timestamp};

/// In which form messages are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Style {
    /// JSON for programs, signed.
    #[default]
    Json,
    /// `{"text": ...}`, as Slack, Mattermost and others take it; signed as well, although they do not look.
    Slack,
}

impl Style {
    /// Reads the word.
    pub fn parse(word: &str) -> Option<Self> {
        match word {
            "json" => Some(Style::Json),
            "slack" => Some(Style::Slack),
            _ => None,
        }
    }
}

/// What an operator asks for.
pub struct NewWebhook {
    /// Its name.
    pub name: String,
    /// Where to. Held back from listings, because the address is the whole credential where Slack's form is spoken.
    pub url: SecretString,
    /// The form.
    pub style: Style,
    /// What it is told of; nothing: everything.
    pub topics: BTreeSet<Topic>,
    /// Who vouches for the receiver, in PEM; the machine's authorities when not given.
    pub ca: Option<String>,
    /// Whether the address may be this machine's own or link-local.
    pub internal: bool,
    /// The key for signatures; one is made when not given.
    pub key: Option<SecretString>,
}

/// A destination as it may be shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Webhook {
    /// Its name.
    pub name: String,
    /// Scheme, host and port of where it is.
    pub host: String,
    /// The form.
    pub style: Style,
    /// What it is told of; nothing: everything.
    pub topics: BTreeSet<Topic>,
    /// Who vouches for the receiver, in PEM.
    pub ca: Option<String>,
    /// Whether the address may be this machine's own or link-local.
    pub internal: bool,
    /// When it was added.
    pub added: Timestamp,
}

/// A destination and how it does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct HookStatus {
    /// The destination.
    #[serde(flatten)]
    pub webhook: Webhook,
    /// Messages that wait.
    pub waiting: u64,
    /// When the last message was taken, since this server was unsealed.
    pub last_sent: Option<Timestamp>,
    /// Why the last attempt failed; nothing when it did not.
    pub error: Option<String>,
    /// Messages that were left out or given up since this server was unsealed.
    pub lost: u64,
}

/// All destinations, by name.
#[derive(Clone, Default, Serialize, Deserialize)]
pub(super) struct Hooks(pub(super) BTreeMap<String, Kept>);

impl Hooks {
    /// The names of those who want it.
    pub(super) fn wanting(&self, topic: Topic) -> impl Iterator<Item = &str> {
        let wants = move |kept: &&Kept| kept.webhook.topics.is_empty() || kept.webhook.topics.contains(&topic);
        self.0.values().filter(wants).map(|kept| kept.webhook.name.as_str())
    }
}

/// A destination with its secrets. The record is sealed as a whole before it leaves memory.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Kept {
    pub(super) webhook: Webhook,
    pub(super) url: Hidden,
    pub(super) key: Hidden,
}

impl Kept {
    /// Checks what was asked for, and gives it with the new key, if there is one.
    pub(super) fn made(
        new: NewWebhook,
        known: Option<&Kept>,
        fresh: SecretString,
        now: Timestamp,
    ) -> Result<(Self, Option<SecretString>), CoreError> {
        let NewWebhook { name, url, style, topics, ca, internal, key } = new;
        name_of(&name)?;
        let target = Target::parse(&url, ca.as_deref(), internal)?;
        let (key, shown) = match (key, known) {
            (Some(key), _) if key.expose().len() < 24 => {
                return Err(CoreError::Invalid(
                    "the key is too short: 24 characters at least, or leave it out".to_owned(),
                ));
            }
            (Some(key), _) => (Hidden::new(key), None),
            (None, Some(known)) => (known.key.clone(), None),
            (None, None) => (Hidden::new(fresh.duplicate()), Some(fresh)),
        };
        let added = known.map_or(now, |known| known.webhook.added);
        let webhook = Webhook { name, host: target.place(), style, topics, ca, internal, added };
        Ok((Self { webhook, url: Hidden::new(url), key }, shown))
    }

    pub(super) fn target(&self) -> Result<Target, CoreError> {
        Target::parse(self.url.get(), self.webhook.ca.as_deref(), self.webhook.internal)
    }
}

/// A name that may stand in paths and labels.
fn name_of(name: &str) -> Result<(), CoreError> {
    let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'_');
    if (1..=64).contains(&name.len()) && name.bytes().all(fits) {
        return Ok(());
    }
    Err(CoreError::Invalid("the name must have 1 to 64 of the characters a-z, 0-9, - and _".to_owned()))
}

/// A secret that several hold and nobody prints.
#[derive(Clone)]
pub struct Hidden(Arc<SecretString>);

impl Hidden {
    /// Takes it over.
    pub fn new(secret: SecretString) -> Self {
        Self(Arc::new(secret))
    }

    /// The secret. Keep the span of the borrow short.
    pub fn get(&self) -> &SecretString {
        &self.0
    }
}

impl Serialize for Hidden {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0.expose())
    }
}

impl<'de> Deserialize<'de> for Hidden {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        SecretString::deserialize(deserializer).map(Self::new)
    }
}
