//! Elastic Common Schema 8.11: field names and allowed values of `event.*` are from its "Field Reference".

use super::Told;
use crate::EntryKind;
use serde_json::{Map, Value, json};

const VERSION: &str = "8.11.0";

pub(super) fn event(told: &Told<'_>) -> Value {
    let entry = told.entry;
    let mut fields = Map::new();
    let mut put = |name: &str, value: Value| {
        if !value.is_null() {
            fields.insert(name.to_owned(), value);
        }
    };
    put("@timestamp", told.text_time.into());
    put("ecs", json!({ "version": VERSION }));
    put("message", told.message().into());
    put("event", about(told));
    put("user", user(told));
    put("source", source(told));
    put("related", related(told));
    put("error", told.error().map_or(Value::Null, |text| json!({ "message": text, "code": told.result() })));
    put("url", if entry.path.is_empty() { Value::Null } else { json!({ "path": entry.path }) });
    put("service", json!({ "type": "strongroom", "name": "strongroom" }));
    put("strongroom", ours(told));
    Value::Object(fields)
}

fn about(told: &Told<'_>) -> Value {
    let entry = told.entry;
    let denied = told.result() == Some("denied");
    let category = if told.is_login() { json!(["authentication"]) } else { json!(["api"]) };
    let kind = match (entry.kind, &*entry.operation) {
        _ if told.is_login() => "start",
        (EntryKind::Event, _) => "info",
        (_, "create") => "creation",
        (_, "update" | "patch") => "change",
        (_, "delete") => "deletion",
        _ => "access",
    };
    let allowed = match told.result() {
        Some(_) if denied => Some("denied"),
        Some(_) => Some("allowed"),
        None => None,
    };
    let types: Vec<&str> =
        [Some(kind), allowed.filter(|_| entry.kind != EntryKind::Event)].into_iter().flatten().collect();
    let outcome = match told.result() {
        Some("ok") => "success",
        Some(_) => "failure",
        None => "unknown",
    };
    let mut about = json!({
        "kind": "event", "category": category, "type": types, "action": told.action(), "outcome": outcome,
        "provider": "strongroom", "dataset": "strongroom.audit", "module": "strongroom", "sequence": told.seq,
        "id": format!("{}-{}", told.seq, entry.request), "duration": entry.duration_us.saturating_mul(1_000),
    });
    let reason = entry.decision.as_ref().map(|decision| &*decision.reason);
    if let (Some(reason), Some(about)) = (reason, about.as_object_mut()) {
        about.insert("reason".to_owned(), reason.into());
    }
    about
}

fn user(told: &Told<'_>) -> Value {
    let Some(principal) = &told.entry.principal else { return Value::Null };
    let policies = principal.token_policies.iter().chain(&principal.identity_policies);
    let roles: Vec<&str> = policies.map(|name| name.as_str()).collect();
    let mut user = json!({ "roles": roles });
    if let Some(user) = user.as_object_mut() {
        told.user_id().map(|id| user.insert("id".to_owned(), id.into()));
        told.user_name().map(|name| user.insert("name".to_owned(), name.into()));
    }
    user
}

fn source(told: &Told<'_>) -> Value {
    let source = &told.entry.source;
    if source.address.is_empty() {
        return Value::Null;
    }
    match told.address() {
        Some(ip) => json!({ "address": source.address, "ip": ip.to_string(), "port": source.port }),
        None => json!({ "address": source.address }),
    }
}

fn related(told: &Told<'_>) -> Value {
    let ips: Vec<String> = told.address().iter().map(ToString::to_string).collect();
    let users: Vec<String> = told.user_name().map(str::to_owned).into_iter().chain(told.user_id()).collect();
    if ips.is_empty() && users.is_empty() { Value::Null } else { json!({ "ip": ips, "user": users }) }
}

/// What the schema has no place for, under a name of our own, as it asks for.
fn ours(told: &Told<'_>) -> Value {
    let entry = told.entry;
    let mut ours = json!({
        "moment": told.moment(), "request": { "id": entry.request.to_string() }, "dialect": entry.dialect,
        "operation": entry.operation, "namespace": entry.namespace,
    });
    let Some(fields) = ours.as_object_mut() else { return ours };
    let mut put = |name: &str, value: Option<Value>| value.map(|value| fields.insert(name.to_owned(), value));
    put(
        "mount",
        entry.mount.as_ref().map(|mount| json!({ "path": mount.path, "type": mount.kind, "accessor": mount.accessor })),
    );
    put("secret", entry.secret.as_ref().map(|secret| secret.name.as_str().into()));
    put("version", entry.version.map(Value::from));
    put("lease", entry.lease_id.as_deref().map(Value::from));
    put("session", Some(told.session.as_str()).filter(|session| !session.is_empty()).map(Value::from));
    let decision = entry.decision.as_ref();
    put("granted", decision.map(|decision| decision.granted.into()));
    put("policy", decision.and_then(|decision| decision.policy.as_deref()).map(Value::from));
    put("rule", decision.and_then(|decision| decision.rule.as_deref()).map(Value::from));
    ours
}
