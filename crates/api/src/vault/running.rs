//! Requests under way: who came from where for what, as long as they are served. For `sys/in-flight-req`, and counted.

use hyper::http::Method;
use serde_json::{Map, Value, json};
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use strongroom_core::{Source, Visit};
use strongroom_model::{RequestId, RequestPath, Timestamp};

/// The requests under way.
#[derive(Default)]
pub(super) struct Running(Mutex<HashMap<RequestId, Trip>>);

/// What is told of one.
struct Trip {
    arrived: Timestamp,
    source: Source,
    path: RequestPath,
    method: Method,
}

/// Keeps a request among those under way until it is dropped.
pub(super) struct Presence<'a> {
    running: &'a Running,
    request: RequestId,
}

impl Running {
    /// Adds a request.
    pub(super) fn enter(&self, visit: &Visit, method: &Method) -> Presence<'_> {
        let (source, path) = (visit.source.clone(), visit.path.clone());
        self.lock().insert(visit.request, Trip { arrived: visit.arrived, source, path, method: method.clone() });
        Presence { running: self, request: visit.request }
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.lock().len()
    }

    /// All of them, by request id, in the form of Vault.
    pub(super) fn list(&self) -> Value {
        let shown = |(id, trip): (&RequestId, &Trip)| (id.to_string(), trip.shown());
        Value::Object(self.lock().iter().map(shown).collect::<Map<_, _>>())
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<RequestId, Trip>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Trip {
    fn shown(&self) -> Value {
        json!({
            "start_time": self.arrived, "client_remote_address": self.source.text(),
            "request_path": format!("/v1/{}", self.path), "request_method": self.method.as_str(), "client_id": "",
        })
    }
}

impl Drop for Presence<'_> {
    fn drop(&mut self) {
        self.running.lock().remove(&self.request);
    }
}
