//! Open Cybersecurity Schema Framework 1.5: classes "API Activity" (6003) and "Authentication" (3002), with the
//! attributes that their definitions require and those they recommend that are known here.

use super::Told;
use crate::EntryKind;
use serde_json::{Map, Value, json};

const VERSION: &str = "1.5.0";

/// A class with the activity in it.
struct Class {
    category: (u32, &'static str),
    uid: u32,
    name: &'static str,
    activity: (u32, &'static str),
}

pub(super) fn event(told: &Told<'_>) -> Value {
    let entry = told.entry;
    let class = if told.is_login() { authentication() } else { activity(told) };
    let (status, status_name) = match told.result() {
        Some("ok") => (1, "Success"),
        Some(_) => (2, "Failure"),
        None => (0, "Unknown"),
    };
    let (severity, severity_name) = if status == 2 { (3, "Medium") } else { (1, "Informational") };
    let mut event = json!({
        "activity_id": class.activity.0, "activity_name": class.activity.1,
        "category_uid": class.category.0, "category_name": class.category.1,
        "class_uid": class.uid, "class_name": class.name, "type_uid": class.uid * 100 + class.activity.0,
        "type_name": format!("{}: {}", class.name, class.activity.1),
        "severity_id": severity, "severity": severity_name, "status_id": status, "status": status_name,
        "time": told.time.nanos() / 1_000_000, "duration": entry.duration_us / 1_000, "message": told.message(),
        "metadata": metadata(told), "src_endpoint": endpoint(told), "actor": actor(told), "unmapped": unmapped(told),
    });
    let Some(fields) = event.as_object_mut() else { return event };
    let mut put = |name: &str, value: Option<Value>| value.map(|value| fields.insert(name.to_owned(), value));
    put("status_code", told.result().filter(|_| status == 2).map(Value::from));
    put("status_detail", told.error().map(Value::from));
    if class.uid == 3002 {
        put("user", Some(subject(told)));
        put("service", Some(json!({ "name": "strongroom", "uid": entry.path })));
        put("auth_protocol", entry.mount.as_ref().map(|mount| mount.kind.as_str().into()));
        put("auth_protocol_id", Some(99.into()));
    } else {
        put("api", Some(api(told)));
        put("resources", (!entry.path.is_empty()).then(|| json!([resource(told)])));
    }
    event
}

fn authentication() -> Class {
    let category = (3, "Identity & Access Management");
    Class { category, uid: 3002, name: "Authentication", activity: (1, "Logon") }
}

fn activity(told: &Told<'_>) -> Class {
    let activity = match (told.entry.kind, &*told.entry.operation) {
        (EntryKind::Event, _) => (99, "Other"),
        (_, "create") => (1, "Create"),
        (_, "read" | "list") => (2, "Read"),
        (_, "update" | "patch") => (3, "Update"),
        (_, "delete") => (4, "Delete"),
        _ => (99, "Other"),
    };
    Class { category: (6, "Application Activity"), uid: 6003, name: "API Activity", activity }
}

fn metadata(told: &Told<'_>) -> Value {
    json!({
        "version": VERSION, "uid": told.seq.to_string(), "sequence": told.seq, "event_code": told.action(),
        "correlation_uid": told.entry.request.to_string(), "original_time": told.text_time, "log_name": "audit",
        "product": { "name": "Strongroom", "vendor_name": "Strongroom", "version": env!("CARGO_PKG_VERSION") },
    })
}

fn endpoint(told: &Told<'_>) -> Value {
    let source = &told.entry.source;
    match told.address() {
        Some(ip) if source.port > 0 => json!({ "ip": ip.to_string(), "port": source.port }),
        Some(ip) => json!({ "ip": ip.to_string() }),
        None if source.address.is_empty() => json!({ "svc_name": "strongroom" }),
        None => json!({ "name": source.address }),
    }
}

fn user(told: &Told<'_>) -> Option<Value> {
    let (name, uid) = (told.user_name(), told.user_id());
    if name.is_none() && uid.is_none() {
        return None;
    }
    let mut user = Map::new();
    name.map(|name| user.insert("name".to_owned(), name.into()));
    uid.map(|uid| user.insert("uid".to_owned(), uid.into()));
    user.insert("type_id".to_owned(), 0.into());
    Some(Value::Object(user))
}

/// Who logged in: the principal of the new token, since nobody was there before it.
fn subject(told: &Told<'_>) -> Value {
    if let Some(auth) = &told.entry.response_auth {
        let name = auth.principal.display_name.as_str();
        let mut user = json!({ "name": if name.is_empty() { "unknown" } else { name }, "type_id": 0 });
        if let (Some(entity), Some(fields)) = (auth.principal.entity, user.as_object_mut()) {
            fields.insert("uid".to_owned(), entity.to_string().into());
        }
        return user;
    }
    user(told).unwrap_or_else(|| json!({ "name": "unknown", "type_id": 0 }))
}

fn actor(told: &Told<'_>) -> Value {
    let mut actor = Map::new();
    actor.insert("app_name".to_owned(), (&*told.entry.dialect).into());
    user(told).map(|user| actor.insert("user".to_owned(), user));
    if !told.session.is_empty() {
        actor.insert("session".to_owned(), json!({ "uid": told.session }));
    }
    let decision = told.entry.decision.as_ref();
    if let Some((decision, policy)) = decision.and_then(|found| found.policy.as_ref().map(|policy| (found, policy))) {
        let allowed = if decision.granted { "allowed" } else { "denied" };
        actor.insert("authorizations".to_owned(), json!([{ "decision": allowed, "policy": { "name": policy } }]));
    }
    Value::Object(actor)
}

fn api(told: &Told<'_>) -> Value {
    let mut api = json!({
        "operation": told.action(), "service": { "name": told.entry.dialect },
        "request": { "uid": told.entry.request.to_string() },
    });
    if let (Some(result), Some(fields)) = (told.result().filter(|result| *result != "ok"), api.as_object_mut()) {
        let message = told.error().unwrap_or(result);
        fields.insert("response".to_owned(), json!({ "error": result, "error_message": message }));
    }
    api
}

fn resource(told: &Told<'_>) -> Value {
    let kind = told.entry.mount.as_ref().map_or("endpoint", |mount| mount.kind.as_str());
    let mut resource = json!({ "name": told.entry.path, "type": kind });
    if let (Some(version), Some(fields)) = (told.entry.version, resource.as_object_mut()) {
        fields.insert("version".to_owned(), version.to_string().into());
    }
    resource
}

fn unmapped(told: &Told<'_>) -> Value {
    json!({ "moment": told.moment(), "namespace": told.entry.namespace })
}
