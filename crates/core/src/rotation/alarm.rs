//! Telling people of rotations that need somebody: metric and log, an entry of the trail, and a message to the places that
//! operators named. None of it can hold up a rotation or make it fail. Holds no values.

use super::Rotations;
use super::record::Key;
use crate::metrics::{Labels, Metrics};
use crate::webhook::{Notice, Severity, Topic};
use std::sync::Arc;

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AlertKind {
    /// A rotation was rolled back.
    Failed,
    /// A rotation does not go on.
    Stuck,
    /// A secret is past due.
    Late,
    /// A secret ends by itself soon.
    Expires,
    /// After one of the others: a rotation went well.
    Recovered,
}

impl AlertKind {
    /// The word for it.
    pub fn word(self) -> &'static str {
        match self {
            AlertKind::Failed => "rotation-failed",
            AlertKind::Stuck => "rotation-stuck",
            AlertKind::Late => "rotation-late",
            AlertKind::Expires => "secret-expires",
            AlertKind::Recovered => "rotation-recovered",
        }
    }

    fn severity(self) -> Severity {
        match self {
            AlertKind::Failed | AlertKind::Stuck | AlertKind::Expires => Severity::Warning,
            AlertKind::Late => Severity::Critical,
            AlertKind::Recovered => Severity::Info,
        }
    }
}

/// What somebody should look at. Holds no value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alert {
    /// What happened.
    pub kind: AlertKind,
    /// The secret, with its mount.
    pub path: String,
    /// What happened and why.
    pub text: String,
    /// What to do.
    pub advice: String,
}

/// Tells people. Must not wait: who has something slow to do keeps it and does it elsewhere.
pub trait Alarm: Send + Sync {
    /// Raises an alarm.
    fn raise(&self, alert: &Alert);
}

/// Tells who reads the log and watches the metrics.
pub(super) struct Signs {
    pub(super) metrics: Arc<Metrics>,
}

impl Alarm for Signs {
    fn raise(&self, alert: &Alert) {
        let labels: Labels = vec![("kind", alert.kind.word().to_owned())];
        self.metrics.counter("strongroom.rotation.alarm.total", labels).add(1);
        let kind = alert.kind.word();
        if alert.kind == AlertKind::Recovered {
            tracing::info!(kind, secret = alert.path, "a rotation is well again");
            return;
        }
        tracing::warn!(
            kind,
            secret = alert.path,
            why = alert.text,
            advice = alert.advice,
            "a rotation needs somebody to look at it"
        );
    }
}

impl Rotations {
    /// Tells everybody. What cannot be told is logged: the rotation goes on.
    pub(super) async fn alarm(&self, key: &Key, kind: AlertKind, text: String, advice: &str) {
        let alert = Alert { kind, path: self.name(key), text, advice: advice.to_owned() };
        self.alarms.iter().for_each(|alarm| alarm.raise(&alert));
        let entry = self.event(kind.word(), key, &format!("{}; {}", alert.text, alert.advice));
        if let Err(error) = self.trail.append(entry).await {
            tracing::error!(%error, secret = alert.path, "an alarm could not be written into the trail");
        }
        let notice = Notice::new(Topic::Rotation, kind.word(), kind.severity(), alert.text)
            .at(alert.path.clone())
            .with("advice", alert.advice);
        if let Err(error) = self.webhooks.tell(notice).await {
            tracing::error!(%error, secret = alert.path, "an alarm could not be put into the queue of the webhooks");
        }
    }
}
