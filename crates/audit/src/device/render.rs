//! Puts a line of the trail into the form of Vault's audit log (developer.hashicorp.com, "Audit devices", and what a
//! Vault server writes), which log collectors know how to read. Empty fields are left out, as Go's `omitempty` does.
//!
//! Vault writes a `request` line before and a `response` line after. The trail writes both moments only for changes;
//! for a read the one entry gives both lines. An event gives a `response` line under the name `internal`.

use super::SharedRedactor;
use super::option::DeviceOptions;
use crate::chain::{Header, LineKind};
use crate::redact::{Redacted, redact_text, rehash};
use crate::trail::lock;
use crate::{AuthNote, Entry, EntryKind, WrapNote};
use serde::Serialize;
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, HashSet, VecDeque};
use std::sync::Arc;
use strongroom_model::{Principal, RequestId, TokenType};

/// Requests under way whose first line is written. More than a server can have at once.
const OPEN_REQUESTS: usize = 65_536;

/// Remembers from line to line which requests have their first line.
pub(crate) struct Renderer {
    hmac_accessor: bool,
    elide_lists: bool,
    /// The device whose hashes stand in what is rendered; without one, those of the trail.
    device: Option<String>,
    redactor: Arc<SharedRedactor>,
    open: HashSet<RequestId>,
    order: VecDeque<RequestId>,
}

#[derive(Serialize)]
struct Line<'a> {
    time: &'a str,
    #[serde(rename = "type")]
    kind: &'a str,
    auth: Auth<'a>,
    request: Request<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response: Option<Response<'a>>,
    #[serde(skip_serializing_if = "str::is_empty")]
    error: &'a str,
}

#[derive(Serialize, Default)]
struct Auth<'a> {
    #[serde(skip_serializing_if = "str::is_empty")]
    client_token: &'a str,
    #[serde(skip_serializing_if = "String::is_empty")]
    accessor: String,
    #[serde(skip_serializing_if = "str::is_empty")]
    display_name: &'a str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    policies: Vec<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    token_policies: Vec<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    identity_policies: Vec<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    policy_results: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<&'a BTreeMap<String, String>>,
    #[serde(skip_serializing_if = "is_zero")]
    num_uses: u64,
    #[serde(skip_serializing_if = "is_zero")]
    remaining_uses: u64,
    #[serde(skip_serializing_if = "String::is_empty")]
    entity_id: String,
    token_type: &'a str,
    #[serde(skip_serializing_if = "is_zero")]
    token_ttl: u64,
}

#[derive(Serialize)]
struct Request<'a> {
    id: RequestId,
    #[serde(skip_serializing_if = "String::is_empty")]
    client_id: String,
    operation: &'a str,
    #[serde(skip_serializing_if = "String::is_empty")]
    mount_point: String,
    #[serde(skip_serializing_if = "str::is_empty")]
    mount_type: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    mount_accessor: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    mount_class: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    client_token: &'a str,
    #[serde(skip_serializing_if = "String::is_empty")]
    client_token_accessor: String,
    namespace: Value,
    #[serde(skip_serializing_if = "str::is_empty")]
    path: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<Value>,
    #[serde(skip_serializing_if = "str::is_empty")]
    remote_address: &'a str,
    #[serde(skip_serializing_if = "is_zero")]
    remote_port: u64,
    #[serde(skip_serializing_if = "is_zero")]
    wrap_ttl: u64,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    headers: &'a BTreeMap<String, Vec<String>>,
}

#[derive(Serialize)]
struct Response<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    auth: Option<Auth<'a>>,
    #[serde(skip_serializing_if = "String::is_empty")]
    mount_point: String,
    #[serde(skip_serializing_if = "str::is_empty")]
    mount_type: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    mount_accessor: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    mount_class: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    secret: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<Value>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    warnings: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    wrap_info: Option<Value>,
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl Renderer {
    /// One for these options; the redactor is looked up for each line, since it comes and goes with the seal.
    pub(crate) fn new(options: &DeviceOptions, redactor: Arc<SharedRedactor>) -> Self {
        Self {
            hmac_accessor: options.hmac_accessor,
            elide_lists: options.elide_list_responses,
            device: None,
            redactor,
            open: HashSet::new(),
            order: VecDeque::new(),
        }
    }

    /// The same, with hashes of the device at that path.
    pub(crate) fn of_device(mut self, path: &str) -> Self {
        self.device = Some(path.to_owned());
        self
    }

    /// Appends what Vault would have written for this line of the trail: nothing, one line or two.
    pub(crate) fn render(&mut self, line: &[u8], out: &mut Vec<u8>) {
        let Some(header) = Header::parse(line).filter(|header| header.kind == LineKind::Entry) else { return };
        let Ok(entry) = serde_json::from_slice::<Entry>(line) else {
            tracing::error!(seq = header.seq, "a line of the audit trail could not be understood by an audit device");
            return;
        };
        let error = entry.outcome.as_ref().and_then(|outcome| outcome.error.as_deref()).unwrap_or_default();
        if self.needs_request(&entry) {
            // Vault tells of a refusal in both lines: it is known before the request would have run.
            let refused = entry.decision.as_ref().is_some_and(|decision| !decision.granted);
            self.write(&entry, header.time, "request", if refused { error } else { "" }, out);
        }
        if entry.kind != EntryKind::Intent {
            self.write(&entry, header.time, "response", error, out);
        }
    }

    /// Whether the request has no `request` line yet; keeps track.
    fn needs_request(&mut self, entry: &Entry) -> bool {
        match entry.kind {
            EntryKind::Event => false,
            EntryKind::Outcome => !self.open.remove(&entry.request),
            EntryKind::Intent => {
                if self.open.insert(entry.request) {
                    self.order.push_back(entry.request);
                }
                while self.order.len() > OPEN_REQUESTS {
                    let oldest = self.order.pop_front();
                    oldest.map(|oldest| self.open.remove(&oldest));
                }
                true
            }
        }
    }

    fn write(&self, entry: &Entry, time: &str, kind: &str, error: &str, out: &mut Vec<u8>) {
        let response = (kind == "response").then(|| self.response(entry));
        let line = Line { time, kind, auth: self.auth(entry), request: self.request(entry), response, error };
        let before = out.len();
        match serde_json::to_writer(&mut *out, &line) {
            Ok(()) => {
                if let (Some(device), Some(written)) = (&self.device, out.get_mut(before..)) {
                    rehash(written, device, lock(&self.redactor).clone().as_deref());
                }
                out.push(b'\n');
            }
            Err(_) => out.truncate(before),
        }
    }

    /// The accessor as it may be shown: hashed, unless the operator wants it plain. Without a key it is left out.
    fn accessor(&self, accessor: &str) -> String {
        if accessor.is_empty() || !self.hmac_accessor {
            return accessor.to_owned();
        }
        let redactor = lock(&self.redactor).clone();
        redactor.map(|redactor| redact_text(accessor, &*redactor)).unwrap_or_default()
    }

    fn auth<'a>(&self, entry: &'a Entry) -> Auth<'a> {
        let client_token = entry.token_hash.as_deref().unwrap_or_default();
        let Some(principal) = &entry.principal else {
            return Auth { client_token, token_type: "default", ..Auth::default() };
        };
        Auth {
            client_token,
            policy_results: policy_results(entry),
            remaining_uses: entry.remaining_uses.unwrap_or_default(),
            ..self.principal(principal)
        }
    }

    fn principal<'a>(&self, principal: &'a Principal) -> Auth<'a> {
        let names = |policies: &'a [strongroom_model::PolicyName]| policies.iter().map(|name| name.as_str()).collect();
        let token_policies: Vec<&str> = names(&principal.token_policies);
        let identity_policies: Vec<&str> = names(&principal.identity_policies);
        let mut policies: Vec<&str> = token_policies.iter().chain(&identity_policies).copied().collect();
        policies.sort_unstable();
        policies.dedup();
        Auth {
            accessor: self.accessor(&principal.accessor),
            display_name: &principal.display_name,
            policies,
            token_policies,
            identity_policies,
            metadata: Some(&principal.metadata).filter(|metadata| !metadata.is_empty()),
            entity_id: entity(principal),
            token_type: match principal.token_type {
                TokenType::Service => "service",
                TokenType::Batch => "batch",
            },
            ..Auth::default()
        }
    }

    fn request<'a>(&self, entry: &'a Entry) -> Request<'a> {
        let accessor = entry.principal.as_ref().map_or("", |principal| &principal.accessor);
        Request {
            id: entry.request,
            client_id: entry.principal.as_deref().map(entity).unwrap_or_default(),
            operation: &entry.operation,
            mount_point: mount_point(entry),
            mount_type: entry.mount.as_ref().map_or("", |mount| &mount.kind),
            mount_accessor: entry.mount.as_ref().map_or("", |mount| &mount.accessor),
            mount_class: entry.mount.as_ref().map_or("", |mount| &mount.class),
            client_token: entry.token_hash.as_deref().unwrap_or_default(),
            client_token_accessor: self.accessor(accessor),
            namespace: namespace(entry),
            path: &entry.path,
            data: data(&entry.request_data),
            remote_address: &entry.source.address,
            remote_port: entry.source.port.into(),
            wrap_ttl: entry.wrap_ttl.unwrap_or_default(),
            headers: &entry.request_headers,
        }
    }

    fn response<'a>(&self, entry: &'a Entry) -> Response<'a> {
        let mut shown = data(&entry.response_data);
        if self.elide_lists && entry.operation == "list" {
            shown.iter_mut().for_each(elide);
        }
        if let Some(note) = &entry.note {
            shown = Some(json!({ "note": note }));
        }
        Response {
            auth: entry.response_auth.as_ref().map(|auth| self.login(auth)),
            mount_point: mount_point(entry),
            mount_type: entry.mount.as_ref().map_or("", |mount| &mount.kind),
            mount_accessor: entry.mount.as_ref().map_or("", |mount| &mount.accessor),
            mount_class: entry.mount.as_ref().map_or("", |mount| &mount.class),
            secret: entry.lease_id.as_ref().map(|lease| json!({ "lease_id": lease })),
            data: shown,
            warnings: &entry.warnings,
            wrap_info: entry.wrap.as_ref().map(|wrap| self.wrap_info(wrap)),
        }
    }

    fn login<'a>(&self, auth: &'a AuthNote) -> Auth<'a> {
        Auth {
            client_token: auth.token_hash.as_deref().unwrap_or_default(),
            num_uses: auth.num_uses,
            token_ttl: auth.ttl,
            ..self.principal(&auth.principal)
        }
    }

    fn wrap_info(&self, wrap: &WrapNote) -> Value {
        let mut shown = json!({
            "ttl": wrap.ttl,
            "token": wrap.token_hash,
            "accessor": self.accessor(&wrap.accessor),
            "creation_time": wrap.creation_time,
            "creation_path": wrap.creation_path,
        });
        if let (Some(inner), Some(fields)) = (&wrap.wrapped_accessor, shown.as_object_mut()) {
            fields.insert("wrapped_accessor".to_owned(), self.accessor(inner).into());
        }
        shown
    }
}

fn entity(principal: &Principal) -> String {
    principal.entity.map(|entity| entity.to_string()).unwrap_or_default()
}

fn mount_point(entry: &Entry) -> String {
    entry.mount.as_ref().map(|mount| format!("{}/", mount.path)).unwrap_or_default()
}

/// Vault writes the root namespace as `{"id":"root"}`, any other with its path and a slash behind it.
fn namespace(entry: &Entry) -> Value {
    if entry.namespace.is_empty() {
        return json!({ "id": "root" });
    }
    let mut shown = Map::new();
    if !entry.namespace_id.is_empty() {
        shown.insert("id".to_owned(), entry.namespace_id.as_str().into());
    }
    shown.insert("path".to_owned(), format!("{}/", entry.namespace.trim_end_matches('/')).into());
    Value::Object(shown)
}

fn policy_results(entry: &Entry) -> Option<Value> {
    let decision = entry.decision.as_ref()?;
    let mut shown = json!({ "allowed": decision.granted });
    if let (true, Some(policy), Some(fields)) = (decision.granted, &decision.policy, shown.as_object_mut()) {
        let namespace = namespace(entry).get("id").cloned().unwrap_or_default();
        let granting = json!([{ "name": policy, "namespace_id": namespace, "type": "acl" }]);
        fields.insert("granting_policies".to_owned(), granting);
    }
    Some(shown)
}

/// Vault's `data` is an object or absent.
fn data(shown: &Redacted) -> Option<Value> {
    match shown.value() {
        Value::Null => None,
        Value::Object(fields) if fields.is_empty() => None,
        fields @ Value::Object(_) => Some(fields),
        other => Some(json!({ "data": other })),
    }
}

/// Replaces the two fields of an answer to a list by the number of their elements.
fn elide(data: &mut Value) {
    for name in ["keys", "key_info"] {
        let Some(field) = data.get_mut(name) else { continue };
        match field {
            Value::Array(items) => *field = items.len().into(),
            Value::Object(fields) => *field = fields.len().into(),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chain::Head;
    use crate::{DecisionNote, MountNote, Outcome, Redactor, SourceNote};
    use std::sync::Mutex;
    use strongroom_model::{EntityId, Kind, PolicyName, Timestamp};

    struct Fake;

    impl Redactor for Fake {
        fn hmac(&self, _data: &[u8]) -> [u8; 32] {
            [0xAA; 32]
        }

        fn hmac_in(&self, _device: &str, _hash: [u8; 32]) -> [u8; 32] {
            [0xBB; 32]
        }
    }

    fn options(more: &[(&str, &str)]) -> DeviceOptions {
        let all = [("file_path", "discard")].iter().chain(more);
        DeviceOptions::parse("file", &all.map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect())
            .unwrap()
    }

    fn render_with(entries: &[Entry], options: &DeviceOptions, key: bool) -> Vec<Value> {
        let redactor: Option<Arc<dyn Redactor>> = if key { Some(Arc::new(Fake)) } else { None };
        let mut renderer = Renderer::new(options, Arc::new(Mutex::new(redactor)));
        let mut out = Vec::new();
        for entry in entries {
            let (mut line, mut head) = (Vec::new(), Head { next: 7, ..Head::START });
            let time = Timestamp::from_nanos(1_500_000_000);
            head.push(&mut line, &serde_json::to_vec(entry).unwrap(), time, &time.to_string()).unwrap();
            renderer.render(line.strip_suffix(b"\n").unwrap(), &mut out);
        }
        String::from_utf8(out).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    fn render(entries: &[Entry]) -> Vec<Value> {
        render_with(entries, &options(&[]), true)
    }

    fn ann() -> Principal {
        let policy = |name: &str| PolicyName::parse(name).unwrap();
        Principal {
            entity: Some(EntityId::from_bytes([3; 16])),
            accessor: "plain-accessor".to_owned(),
            display_name: "userpass-ann".to_owned(),
            token_policies: vec![policy("web"), policy("default")],
            identity_policies: vec![policy("ops")],
            metadata: BTreeMap::from([("username".to_owned(), "ann".to_owned())]),
            token_type: TokenType::Service,
        }
    }

    fn full() -> Entry {
        let mut entry =
            Entry::new(EntryKind::Outcome, RequestId::from_bytes([1; 16]), "vault", "read", "secret/data/a");
        entry.mount = Some(
            MountNote {
                path: "secret".to_owned(),
                kind: "kv".to_owned(),
                accessor: "kv_1".to_owned(),
                class: "secret".to_owned(),
            }
            .into(),
        );
        entry.principal = Some(ann().into());
        entry.token_hash = Some("hmac-sha256:bb".to_owned());
        entry.source = SourceNote { address: "10.0.0.1".to_owned(), port: 4711 };
        entry.decision = Some(DecisionNote {
            granted: true,
            policy: Some("web".to_owned()),
            rule: Some("secret/data/*".to_owned()),
            line: Some(3),
            reason: "granted".into(),
        });
        entry.outcome = Some(Outcome::ok());
        entry.response_data = Redacted::in_clear(&json!({ "data": { "password": "hmac-sha256:cc" } }));
        entry
    }

    #[test]
    fn a_full_entry_reads_as_vault_writes_it() {
        let hidden = format!("hmac-sha256:{}", "aa".repeat(32));
        let id = "01010101-0101-0101-0101-010101010101";
        let entity = "03030303-0303-0303-0303-030303030303";
        let auth = json!({
            "client_token": "hmac-sha256:bb", "accessor": hidden, "display_name": "userpass-ann",
            "policies": ["default", "ops", "web"], "token_policies": ["web", "default"],
            "identity_policies": ["ops"], "metadata": { "username": "ann" }, "entity_id": entity,
            "token_type": "service",
            "policy_results": {
                "allowed": true,
                "granting_policies": [{ "name": "web", "namespace_id": "root", "type": "acl" }],
            },
        });
        let request = json!({
            "id": id, "client_id": entity, "operation": "read", "mount_point": "secret/", "mount_type": "kv",
            "mount_accessor": "kv_1", "mount_class": "secret", "client_token": "hmac-sha256:bb",
            "client_token_accessor": hidden, "namespace": { "id": "root" }, "path": "secret/data/a",
            "remote_address": "10.0.0.1", "remote_port": 4711,
        });
        let response = json!({
            "mount_point": "secret/", "mount_type": "kv", "mount_accessor": "kv_1", "mount_class": "secret",
            "data": { "data": { "password": "hmac-sha256:cc" } },
        });
        let time = "1970-01-01T00:00:01.5Z";
        let expected = [
            json!({ "time": time, "type": "request", "auth": auth, "request": request }),
            json!({ "time": time, "type": "response", "auth": auth, "request": request, "response": response }),
        ];
        assert_eq!(render(&[full()]), expected);
    }

    #[test]
    fn an_accessor_is_plain_only_when_that_was_asked_for() {
        let plain = render_with(&[full()], &options(&[("hmac_accessor", "false")]), true);
        assert_eq!(plain[0]["auth"]["accessor"], "plain-accessor");
        for shown in [render(&[full()]), render_with(&[full()], &options(&[]), false)] {
            assert!(!json!(shown).to_string().contains("plain-accessor"));
        }
    }

    #[test]
    fn a_refusal_is_told_in_both_lines_and_an_error_in_the_second() {
        let mut refused = full();
        refused.outcome = Some(Outcome::failed(Kind::Denied, "permission denied"));
        let mut failed = refused.clone();
        refused.decision.as_mut().unwrap().granted = false;
        let lines = render(&[refused]);
        assert_eq!(
            (&lines[0]["error"], &lines[1]["error"]),
            (&json!("permission denied"), &json!("permission denied"))
        );
        assert_eq!(lines[0]["auth"]["policy_results"], json!({ "allowed": false }));
        failed.request = RequestId::from_bytes([2; 16]);
        let lines = render(&[failed]);
        assert_eq!((&lines[0]["error"], &lines[1]["error"]), (&Value::Null, &json!("permission denied")));
    }

    #[test]
    fn an_unauthenticated_request_has_the_auth_that_vault_shows() {
        let mut entry = full();
        (entry.principal, entry.token_hash) = (None, None);
        assert_eq!(render(&[entry])[0]["auth"], json!({ "token_type": "default" }));
    }

    #[test]
    fn a_login_a_lease_and_a_wrapping_are_shown_without_their_tokens() {
        let mut entry = full();
        entry.response_auth =
            Some(AuthNote { token_hash: Some("hmac-sha256:dd".to_owned()), principal: ann(), ttl: 3600, num_uses: 0 });
        entry.lease_id = Some("database/creds/a/1".to_owned());
        entry.wrap = Some(WrapNote {
            ttl: 60,
            token_hash: "hmac-sha256:ee".to_owned(),
            accessor: "plain-accessor".to_owned(),
            creation_time: "1970-01-01T00:00:01Z".to_owned(),
            creation_path: "auth/userpass/login/ann".to_owned(),
            wrapped_accessor: Some("plain-accessor".to_owned()),
        });
        let lines = render(&[entry]);
        let response = &lines[1]["response"];
        assert_eq!(response["auth"]["client_token"], "hmac-sha256:dd");
        assert_eq!(response["auth"]["token_ttl"], 3600);
        assert_eq!(response["secret"]["lease_id"], "database/creds/a/1");
        assert_eq!(response["wrap_info"]["token"], "hmac-sha256:ee");
        assert!(!json!(lines).to_string().contains("plain-accessor"));
        assert_eq!(lines[0].get("response"), None);
    }

    #[test]
    fn lists_are_elided_only_on_demand_and_only_their_two_fields() {
        let mut entry = full();
        entry.operation = "list".into();
        entry.response_data = Redacted::in_clear(&json!({ "keys": ["x", "y"], "key_info": { "x": 1 }, "more": ["z"] }));
        let elided = render_with(&[entry.clone()], &options(&[("elide_list_responses", "true")]), true);
        assert_eq!(elided[1]["response"]["data"], json!({ "keys": 2, "key_info": 1, "more": ["z"] }));
        assert_eq!(render(&[entry])[1]["response"]["data"]["keys"], json!(["x", "y"]));
    }

    #[test]
    fn a_namespace_is_shown_with_its_slash_and_an_event_in_words() {
        let mut entry = Entry::event("unseal", "sys/unseal", "one of three shares");
        entry.namespace = "team/a".to_owned();
        let lines = render(&[entry]);
        assert_eq!(lines.len(), 1);
        assert_eq!(lines[0]["type"], "response");
        assert_eq!(lines[0]["request"]["namespace"], json!({ "path": "team/a/" }));
        assert_eq!(lines[0]["response"]["data"], json!({ "note": "one of three shares" }));
    }
}
