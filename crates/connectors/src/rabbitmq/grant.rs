use crate::ConnectorError;
use serde::Deserialize;
use std::collections::BTreeMap;

/// What a new user may do: tags, and patterns of names per virtual host and exchange.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Grants {
    pub(super) tags: String,
    pub(super) vhosts: BTreeMap<String, Rights>,
    pub(super) vhost_topics: BTreeMap<String, BTreeMap<String, TopicRights>>,
}

/// Regular expressions for names of queues and exchanges. Empty: none.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Rights {
    pub(super) configure: String,
    pub(super) write: String,
    pub(super) read: String,
}

/// Regular expressions for routing keys.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct TopicRights {
    pub(super) write: String,
    pub(super) read: String,
}

impl Grants {
    pub(super) fn read(statements: &[String]) -> Result<Self, ConnectorError> {
        let wrong = |why: String| ConnectorError::Config { what: format!("the rights of a RabbitMQ login {why}") };
        let mut texts = statements.iter().filter(|text| !text.trim().is_empty());
        let grants: Self = match (texts.next(), texts.next()) {
            (Some(text), None) => serde_json::from_str(text)
                .map_err(|error| wrong(format!("are no JSON with tags, vhosts and vhost_topics: {error}")))?,
            (None, _) => Self::default(),
            _ => return Err(wrong("are more than one statement: give one JSON object".to_owned())),
        };
        if grants.tags.is_empty() && grants.vhosts.is_empty() && grants.vhost_topics.is_empty() {
            return Err(wrong("are missing: give tags, vhosts or both, or it could do nothing".to_owned()));
        }
        Ok(grants)
    }
}
