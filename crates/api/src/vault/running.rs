//! Requests under way: who came from where for what, as long as they are served. For `sys/in-flight-req`, and counted.

use serde_json::{Map, Value, json};
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use strongroom_core::Visit;
use strongroom_model::RequestId;

/// The requests under way.
#[derive(Default)]
pub(super) struct Running(Mutex<HashMap<RequestId, Value>>);

/// Keeps a request among those under way until it is dropped.
pub(super) struct Presence<'a> {
    running: &'a Running,
    request: RequestId,
}

impl Running {
    /// Adds a request.
    pub(super) fn enter(&self, visit: &Visit, method: &str) -> Presence<'_> {
        let shown = json!({
            "start_time": visit.arrived, "client_remote_address": visit.source.text(),
            "request_path": format!("/v1/{}", visit.path), "request_method": method, "client_id": "",
        });
        self.lock().insert(visit.request, shown);
        Presence { running: self, request: visit.request }
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.lock().len()
    }

    /// All of them, by request id, in the form of Vault.
    pub(super) fn list(&self) -> Value {
        Value::Object(self.lock().iter().map(|(id, shown)| (id.to_string(), shown.clone())).collect::<Map<_, _>>())
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<RequestId, Value>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Presence<'_> {
    fn drop(&mut self) {
        self.running.lock().remove(&self.request);
    }
}
