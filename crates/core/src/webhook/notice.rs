use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use strongroom_model::Timestamp;

/// The longest text of one field, in characters.
const MOST_TEXT: usize = 1_024;
/// The most facts of one notice.
const MOST_FACTS: usize = 32;

/// What a notice is about: destinations choose by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Topic {
    /// A suspicion of misuse.
    Alert,
    /// A rotation failed, is overdue or went well again.
    Rotation,
    /// An emergency revocation.
    Incident,
    /// A drill, or one that is overdue.
    Drill,
    /// What the policies of a parameter want told: that its end is near or has come, that nobody changed it for long.
    Parameter,
    /// How the server itself does: shipping that falls behind, archives that do not verify, leases that cannot be ended.
    Server,
    /// A message by which an operator tries a destination out; it goes nowhere else.
    Trial,
}

impl Topic {
    /// All that a destination can choose.
    pub const ALL: [Topic; 6] =
        [Topic::Alert, Topic::Rotation, Topic::Incident, Topic::Drill, Topic::Parameter, Topic::Server];

    /// The word on the wire.
    pub fn word(self) -> &'static str {
        match self {
            Topic::Alert => "alert",
            Topic::Rotation => "rotation",
            Topic::Incident => "incident",
            Topic::Drill => "drill",
            Topic::Parameter => "parameter",
            Topic::Server => "server",
            Topic::Trial => "trial",
        }
    }

    /// Reads the word.
    pub fn parse(word: &str) -> Option<Self> {
        Topic::ALL.into_iter().find(|topic| topic.word() == word)
    }
}

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// Good to know; what was wrong is well again.
    Info,
    /// Somebody should look today.
    Warning,
    /// Somebody should look now.
    Critical,
}

/// What is told. It leaves the house: it may hold names, paths, times and sentences, never a value of a secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    /// What it is about.
    pub topic: Topic,
    /// A constant word for programs, such as `rotation-failed`.
    pub event: String,
    /// How bad it is.
    pub severity: Severity,
    /// One or two sentences for people.
    pub text: String,
    /// The path in the way of policies, where there is one.
    pub path: Option<String>,
    /// More of what is known, by constant names.
    pub facts: BTreeMap<String, String>,
    /// When it happened; the time of telling when not given.
    pub time: Option<Timestamp>,
}

impl Notice {
    /// A notice without path and facts.
    pub fn new(topic: Topic, event: &str, severity: Severity, text: impl Into<String>) -> Self {
        let (event, text) = (event.to_owned(), text.into());
        Self { topic, event, severity, text, path: None, facts: BTreeMap::new(), time: None }
    }

    /// Adds the path.
    pub fn at(mut self, path: impl Into<String>) -> Self {
        self.path = Some(path.into());
        self
    }

    /// Adds a fact.
    pub fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.facts.insert(name.to_owned(), value.into());
        self
    }

    /// As it is kept: no field longer than a bound, so that the queue's size is bounded in bytes too.
    pub(super) fn bounded(mut self) -> Self {
        let cut = |text: &mut String| {
            if let Some((at, _)) = text.char_indices().nth(MOST_TEXT) {
                text.truncate(at);
                text.push('…');
            }
        };
        cut(&mut self.event);
        cut(&mut self.text);
        self.path.as_mut().map(cut);
        while self.facts.len() > MOST_FACTS {
            self.facts.pop_last();
        }
        self.facts.values_mut().for_each(cut);
        self
    }

    /// The body for programs.
    pub(super) fn json(&self, id: &str, time: Timestamp) -> Value {
        json!({
            "id": id,
            "type": format!("{}.{}", self.topic.word(), self.event),
            "timestamp": self.time.unwrap_or(time),
            "data": {
                "topic": self.topic, "event": self.event, "severity": self.severity, "text": self.text,
                "path": self.path, "facts": self.facts,
            },
        })
    }

    /// The body for Slack and those who take Slack's form: one field `text`, in which three characters have a meaning of
    /// their own (Slack, "Formatting text for app surfaces").
    pub(super) fn slack(&self) -> Value {
        let mark = match self.severity {
            Severity::Info => ":white_check_mark:",
            Severity::Warning => ":warning:",
            Severity::Critical => ":rotating_light:",
        };
        let mut text = format!("{mark} *{}*: {}", self.event, escaped(&self.text));
        if let Some(path) = &self.path {
            text.push_str(&format!("\npath: {}", escaped(path)));
        }
        for (name, value) in &self.facts {
            text.push_str(&format!("\n{}: {}", escaped(name), escaped(value)));
        }
        json!({ "text": text })
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_mention_everybody_in_slack() {
        let notice = Notice::new(Topic::Alert, "first-read", Severity::Warning, "read by <!channel> & co");
        let text = notice.at("secret/<x>").with("address", "10.0.0.1").slack()["text"].to_string();
        assert!(text.contains("&lt;!channel&gt; &amp; co") && text.contains("secret/&lt;x&gt;"), "{text}");
        assert!(text.contains("address: 10.0.0.1"));
    }

    #[test]
    fn a_notice_without_end_is_cut() {
        let mut notice = Notice::new(Topic::Alert, "e", Severity::Info, "ü".repeat(5_000));
        for n in 0..100 {
            notice = notice.with(&n.to_string(), "x".repeat(9_000));
        }
        let size = serde_json::to_vec(&notice.bounded()).unwrap().len();
        assert!(size < 40_000, "{size}");
    }
}
