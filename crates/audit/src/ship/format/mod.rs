//! The forms of an entry for others. Each is one line of text without line feeds.

mod cef;
mod ecs;
mod ocsf;

use crate::chain::{Header, LineKind};
use crate::device::SharedRedactor;
use crate::device::option::DeviceOptions;
use crate::device::render::Renderer;
use crate::redact::redact_text;
use crate::trail::lock;
use crate::{Entry, EntryKind};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use strongroom_model::Timestamp;

/// In which form entries are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Form {
    /// The JSON of Vault's audit devices: a request line and a response line.
    Vault,
    /// Elastic Common Schema 8.
    Ecs,
    /// Open Cybersecurity Schema Framework: API Activity (6003), Authentication (3002).
    Ocsf,
    /// ArcSight Common Event Format 0.
    Cef,
    /// The trail's own lines with the checkpoints, byte for byte: a copy that `audit verify` checks.
    Trail,
}

impl Form {
    /// All of them.
    pub const ALL: [Form; 5] = [Form::Vault, Form::Ecs, Form::Ocsf, Form::Cef, Form::Trail];

    /// The word by which it is asked for.
    pub fn word(self) -> &'static str {
        match self {
            Form::Vault => "vault",
            Form::Ecs => "ecs",
            Form::Ocsf => "ocsf",
            Form::Cef => "cef",
            Form::Trail => "trail",
        }
    }

    /// Reads the word.
    pub fn parse(word: &str) -> Option<Self> {
        Form::ALL.into_iter().find(|form| form.word() == word)
    }
}

/// One line for others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parcel {
    /// The number of the entry.
    pub seq: u64,
    /// When it was written.
    pub time: Timestamp,
    /// How bad it is, in the numbers of syslog (RFC 5424, 6.2.1): 6, 5 for events, 4 for what was refused or failed.
    pub severity: u8,
    /// The line, without line feed.
    pub text: Vec<u8>,
}

/// Puts lines of the trail into a form.
pub struct Formatter {
    form: Form,
    vault: Option<Renderer>,
    redactor: Arc<SharedRedactor>,
}

/// What the forms tell of.
struct Told<'a> {
    seq: u64,
    time: Timestamp,
    text_time: &'a str,
    entry: &'a Entry,
    /// The token's accessor, hashed; empty without a key.
    session: String,
}

impl Formatter {
    pub(super) fn new(form: Form, redactor: Arc<SharedRedactor>) -> Self {
        let vault = (form == Form::Vault).then(|| Renderer::new(&DeviceOptions::discarding(), Arc::clone(&redactor)));
        Self { form, vault, redactor }
    }

    /// Appends what a line becomes: nothing (checkpoints are of the trail's own form only), one line, or two.
    pub fn format(&mut self, line: &[u8], out: &mut Vec<Parcel>) {
        let Some(header) = Header::parse(line) else { return };
        let Some(time) = Timestamp::parse(header.time) else { return };
        let seq = header.seq;
        if header.kind != LineKind::Entry {
            if self.form == Form::Trail {
                out.push(Parcel { seq, time, severity: 6, text: line.to_vec() });
            }
            return;
        }
        let Ok(entry) = serde_json::from_slice::<Entry>(line) else {
            tracing::error!(seq, "a line of the audit trail could not be understood by a copy of it");
            return;
        };
        let severity = severity(&entry);
        let told = Told { seq, time, text_time: header.time, entry: &entry, session: self.session(&entry) };
        let text = match (&mut self.vault, self.form) {
            (Some(renderer), _) => {
                let mut lines = Vec::new();
                renderer.render(line, &mut lines);
                let lines = lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
                out.extend(lines.map(|line| Parcel { seq, time, severity, text: line.to_vec() }));
                return;
            }
            (None, Form::Ecs) => ecs::event(&told).to_string().into_bytes(),
            (None, Form::Ocsf) => ocsf::event(&told).to_string().into_bytes(),
            (None, Form::Cef) => cef::event(&told).into_bytes(),
            (None, Form::Vault | Form::Trail) => line.to_vec(),
        };
        out.push(Parcel { seq, time, severity, text });
    }

    fn session(&self, entry: &Entry) -> String {
        let accessor = entry.principal.as_ref().map_or("", |principal| principal.accessor.as_str());
        let redactor = lock(&self.redactor).clone();
        match redactor {
            Some(redactor) if !accessor.is_empty() => redact_text(accessor, &*redactor),
            _ => String::new(),
        }
    }
}

fn severity(entry: &Entry) -> u8 {
    match &entry.outcome {
        Some(outcome) if outcome.result != "ok" => 4,
        _ if entry.kind == EntryKind::Event => 5,
        _ => 6,
    }
}

impl Told<'_> {
    /// The result as a word; nothing for an intent, of which it is not known yet.
    fn result(&self) -> Option<&str> {
        self.entry.outcome.as_ref().map(|outcome| &*outcome.result)
    }

    fn error(&self) -> Option<&str> {
        self.entry.outcome.as_ref().and_then(|outcome| outcome.error.as_deref())
    }

    /// What was to be done: the act on a secret where there is one.
    fn action(&self) -> &str {
        self.entry.secret.as_ref().map_or(&self.entry.operation, |secret| &secret.act)
    }

    fn moment(&self) -> &'static str {
        match self.entry.kind {
            EntryKind::Intent => "intent",
            EntryKind::Outcome => "outcome",
            EntryKind::Event => "event",
        }
    }

    /// Who asked, as an id: the entity, or else the session.
    fn user_id(&self) -> Option<String> {
        let principal = self.entry.principal.as_ref()?;
        let session = || Some(self.session.clone()).filter(|session| !session.is_empty());
        principal.entity.map(|entity| entity.to_string()).or_else(session)
    }

    fn user_name(&self) -> Option<&str> {
        let principal = self.entry.principal.as_ref()?;
        Some(principal.display_name.as_str()).filter(|name| !name.is_empty())
    }

    /// The address, where it is one: a request through a socket of this machine has none.
    fn address(&self) -> Option<std::net::IpAddr> {
        self.entry.source.address.parse().ok()
    }

    /// Whether a token was handed out.
    fn is_login(&self) -> bool {
        let login =
            self.entry.mount.as_ref().is_some_and(|mount| mount.class == "auth") && self.entry.path.contains("login");
        self.entry.response_auth.is_some() || login
    }

    /// One sentence for people.
    fn message(&self) -> String {
        if let Some(note) = &self.entry.note {
            return note.clone();
        }
        let who = self.user_name().unwrap_or("somebody");
        let how = self.result().unwrap_or("intent");
        format!("{who}: {} {} ({how})", self.action(), self.entry.path)
    }
}

#[cfg(test)]
mod tests;
