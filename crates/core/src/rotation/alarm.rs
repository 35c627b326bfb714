use crate::metrics::{Labels, Metrics};
use std::sync::Arc;

/// What somebody should look at. Holds no value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alert {
    /// A word for what happened: `rotation-failed`, `rotation-stuck`, `rotation-late`.
    pub kind: &'static str,
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
        let labels: Labels = vec![("kind", alert.kind.to_owned())];
        self.metrics.counter("strongroom.rotation.alarm.total", labels).add(1);
        tracing::warn!(
            kind = alert.kind,
            secret = alert.path,
            why = alert.text,
            advice = alert.advice,
            "a rotation needs somebody to look at it"
        );
    }
}
