//! From a result to HTTP: Vault's envelope, its errors, its empty answers.

use super::status;
use crate::stream;
use bytes::Bytes;
use http_body_util::Full;
use hyper::Response;
use hyper::http::{HeaderValue, StatusCode, header};
use serde::Serialize;
use serde_json::{Map, Value, json};
use std::io::Write;
use strongroom_core::mount::Mount;
use strongroom_core::snapshot::Streamed;
use strongroom_core::wrapping::{Rendered, Wrap};
use strongroom_core::{Auth, CoreError, Endpoint, Fields, Operation, RawBody, Reply};
use strongroom_model::{Kind, Kinded, RequestId, RequestPath, SecretBytes, Timestamp, Wiped};

/// The bytes of an answer, wiped when they have been sent.
pub(crate) type Body = Bytes;

/// Vault's success envelope.
#[derive(Serialize)]
struct Envelope<'a> {
    request_id: RequestId,
    lease_id: &'a str,
    renewable: bool,
    lease_duration: u64,
    data: Option<&'a Map<String, Value>>,
    wrap_info: Option<WrapInfo<'a>>,
    warnings: Option<&'a [String]>,
    auth: Option<Value>,
    mount_type: &'a str,
    /// Old clients read some system answers without the envelope, so these carry the data twice.
    #[serde(flatten)]
    on_top: Option<&'a Map<String, Value>>,
}

/// Bytes of the envelope around the text of a version, at most.
const ENVELOPE: usize = 256;

/// What Vault tells of a wrapping token.
#[derive(Serialize)]
struct WrapInfo<'a> {
    token: &'a str,
    accessor: &'a str,
    ttl: u64,
    creation_time: Timestamp,
    creation_path: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    wrapped_accessor: Option<&'a str>,
}

/// Dresses what a handler returned.
pub(super) fn result(
    result: Result<Reply, CoreError>,
    request: RequestId,
    mount: &Mount,
    path: &RequestPath,
    head: bool,
) -> Response<Full<Body>> {
    match result {
        Err(error) => self::error(&error),
        Ok(Reply { opened: Some(opened), gone, .. }) => {
            let status = if gone { StatusCode::NOT_FOUND } else { StatusCode::OK };
            body(status, Bytes::from_owner(Sent(opened.body)), head)
        }
        Ok(Reply { raw: Some(text), .. }) => raw(text, head),
        Ok(Reply { streamed: Some(streamed), .. }) => self::streamed(streamed, head),
        Ok(reply) if !reply.has_body() && reply.wrap.is_none() => empty(&reply),
        Ok(reply) if reply.text.is_some() => match as_kept(&reply, request, mount) {
            Some(text) => body(status_of(&reply), Bytes::from_owner(text), head),
            None => self::result(reply.taken_apart(), request, mount, path, head),
        },
        Ok(reply) => json_body(status_of(&reply), &envelope(&reply, request, mount, path), head),
    }
}

/// An answer that is a version of a secret and nothing else, around the text that is kept. `None` when it is more.
fn as_kept(reply: &Reply, request: RequestId, mount: &Mount) -> Option<Wiped> {
    let text = reply.text.as_ref()?;
    if !reply.warnings.is_empty() || reply.auth.is_some() || reply.lease.is_some() || reply.wrap.is_some() {
        return None;
    }
    // Of the size that it takes, or more: a buffer that grows is wiped and copied.
    let room = ENVELOPE + text.value().len() + text.metadata().len() + mount.kind.len();
    let mut answer = Wiped::with_capacity(room);
    write!(
        answer,
        "{{\"request_id\":\"{request}\",\"lease_id\":\"\",\"renewable\":false,\"lease_duration\":{},\"data\":{{\"data\":",
        reply.lease_duration
    )
    .ok()?;
    answer.append(text.value());
    answer.append(b",\"metadata\":");
    answer.append(text.metadata().as_bytes());
    answer.append(b"},\"wrap_info\":null,\"warnings\":null,\"auth\":null,\"mount_type\":");
    serde_json::to_writer(&mut answer, &mount.kind).ok()?;
    answer.append(b"}\n");
    Some(answer)
}

/// The answer as it would have been sent, to be kept under a wrapping token. As in Vault, nothing stands in it twice.
pub(super) fn rendered(
    reply: &Reply,
    request: RequestId,
    mount: &Mount,
    path: &RequestPath,
) -> Result<Rendered, CoreError> {
    let envelope = Envelope { on_top: None, ..envelope(reply, request, mount, path) };
    let bytes =
        SecretBytes::from_json(&envelope).map_err(|_| CoreError::Internal("an answer could not be written as JSON"))?;
    let accessor = reply.data.as_ref().filter(|_| mount.kind == "approle");
    let accessor = accessor.and_then(|data| data.text("secret_id_accessor").ok().flatten());
    Ok(Rendered { bytes, accessor })
}

fn status_of(reply: &Reply) -> StatusCode {
    match reply {
        Reply { gone: true, .. } => StatusCode::NOT_FOUND,
        Reply { accepted: true, .. } => StatusCode::ACCEPTED,
        _ => StatusCode::OK,
    }
}

fn empty(reply: &Reply) -> Response<Full<Body>> {
    let mut response = no_content();
    if reply.accepted {
        *response.status_mut() = StatusCode::ACCEPTED;
    }
    response
}

fn envelope<'a>(reply: &'a Reply, request: RequestId, mount: &'a Mount, path: &RequestPath) -> Envelope<'a> {
    let data = reply.data.as_ref().map(Fields::map);
    Envelope {
        request_id: request,
        lease_id: reply.lease.as_ref().map_or("", |lease| &lease.id),
        renewable: reply.lease.as_ref().is_some_and(|lease| lease.renewable),
        lease_duration: reply.lease.as_ref().map_or(u64::from(reply.lease_duration), |lease| lease.ttl.secs()),
        data,
        wrap_info: reply.wrap.as_deref().map(wrap_info),
        warnings: (!reply.warnings.is_empty()).then_some(&reply.warnings),
        auth: reply.auth.as_ref().map(auth),
        mount_type: &mount.kind,
        on_top: data.filter(|_| mount.kind == "system" && is_doubled(path)),
    }
}

fn wrap_info(wrap: &Wrap) -> WrapInfo<'_> {
    WrapInfo {
        token: wrap.token.expose(),
        accessor: &wrap.accessor,
        ttl: wrap.ttl.secs(),
        creation_time: wrap.created,
        creation_path: &wrap.path,
        wrapped_accessor: wrap.wrapped_accessor.as_deref(),
    }
}

/// The system answers whose data stands at the top level too (Vault: `injectDataIntoTopRoutes`).
fn is_doubled(path: &RequestPath) -> bool {
    let mut segments = path.segments().skip(1);
    let second = segments.next().unwrap_or_default();
    matches!(
        second,
        "audit" | "audit-hash" | "auth" | "mounts" | "policy" | "key-status" | "rotate" | "remount" | "ha-status"
            // Vault answers these without the envelope; clients read them at the top level.
            | "rekey" | "generate-root"
    ) || second.starts_with("capabilities")
        || (second == "policies" && segments.next() == Some("acl"))
        || (second == "config" && segments.next() == Some("cors"))
}

fn auth(auth: &Auth) -> Value {
    let mut policies = auth.token_policies.clone();
    policies.extend(auth.identity_policies.iter().cloned());
    policies.sort();
    policies.dedup();
    let mut shown = json!({
        "client_token": auth.client_token.expose(),
        "accessor": auth.accessor,
        "policies": policies,
        "token_policies": auth.token_policies,
        "metadata": if auth.metadata.is_empty() { Value::Null } else { json!(auth.metadata) },
        "lease_duration": auth.ttl.secs(),
        "renewable": auth.renewable,
        "entity_id": auth.entity.map(|id| id.to_string()).unwrap_or_default(),
        "token_type": auth.token_type,
        "orphan": auth.orphan,
        "mfa_requirement": null,
        "num_uses": auth.num_uses,
    });
    if let (Some(map), false) = (shown.as_object_mut(), auth.identity_policies.is_empty()) {
        map.insert("identity_policies".to_owned(), json!(auth.identity_policies));
    }
    shown
}

/// What an endpoint is for (`?help=1`, `vault path-help`).
pub(super) fn help(endpoint: &Endpoint, mount: &Mount) -> Response<Full<Body>> {
    let operations: Vec<String> =
        endpoint.operations.iter().map(|operation| format!("{operation:?}").to_lowercase()).collect();
    let text = format!(
        "Request:        {}/{}\nOperations:     {}\n\n{}\n",
        mount.path,
        endpoint.pattern,
        operations.join(", "),
        endpoint.help
    );
    json_body(StatusCode::OK, &json!({ "help": text, "see_also": null, "openapi": null }), false)
}

/// What a mount serves (`vault path-help secret/`).
pub(super) fn mount_help(mount: &Mount, endpoints: &[&Endpoint]) -> Response<Full<Body>> {
    let lines = endpoints.iter().map(|endpoint| format!("    {}\n        {}\n", endpoint.pattern, endpoint.help));
    let text = format!(
        "## DESCRIPTION\n\n{}\n\n## PATHS\n\nBelow `{}` there are these. Names in braces stand for yours; help on one is at \
         its path.\n\n{}",
        if mount.description.is_empty() { &mount.kind } else { &mount.description },
        mount.path.with_slash(),
        lines.collect::<Vec<_>>().join("\n"),
    );
    json_body(StatusCode::OK, &json!({ "help": text, "see_also": null, "openapi": null }), false)
}

/// For a path below a KV mount of version 2 that lacks `data/` or `metadata/`: the mistake of everybody who reads
/// `secret/app` as it is written. Vault's answer is an empty one with a warning, which its clients print.
pub(super) fn astray_in_kv(request: RequestId, operation: Operation) -> Response<Full<Body>> {
    let verb = match operation {
        Operation::Read => "get",
        Operation::Write => "put",
        Operation::Patch => "patch",
        Operation::Delete => "delete",
        Operation::List => "list",
    };
    let warning = format!(
        "Invalid path for a versioned K/V secrets engine: the value of `app` is at `data/app` below the mount, what is \
         known of it at `metadata/app`. On the command line use `kv {verb}`, which knows."
    );
    let body = json!({
        "request_id": request, "lease_id": "", "renewable": false, "lease_duration": 0, "data": null, "wrap_info": null,
        "warnings": [warning], "auth": null, "mount_type": "kv",
    });
    json_body(StatusCode::NOT_FOUND, &body, false)
}

/// An error in Vault's form.
pub(super) fn error(error: &CoreError) -> Response<Full<Body>> {
    error_as(error, status::code(error))
}

/// An error in Vault's form under a status of its own (405, 415).
pub(super) fn error_as(error: &CoreError, status: StatusCode) -> Response<Full<Body>> {
    let text = error.to_string();
    let errors: Vec<&str> = if text.is_empty() { Vec::new() } else { vec![&text] };
    if matches!(error.kind(), Kind::Internal | Kind::Tampered) {
        tracing::error!(%error, "a request failed");
    }
    come_again(json_body(status, &json!({ "errors": errors }), false), error)
}

/// Tells who was turned away because of others when to come again: what is in the way is over in moments.
pub(crate) fn come_again(mut response: Response<Full<Body>>, error: &CoreError) -> Response<Full<Body>> {
    if matches!(error, CoreError::Busy(_) | CoreError::Crowded { .. }) {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    }
    response
}

/// Nothing to say.
pub(crate) fn no_content() -> Response<Full<Body>> {
    let mut response = Response::new(Full::new(Bytes::new()));
    *response.status_mut() = StatusCode::NO_CONTENT;
    never_cached(response)
}

/// Any JSON with a status. The text is written into a buffer that is wiped after sending.
pub(crate) fn json_body<T: Serialize>(status: StatusCode, value: &T, head: bool) -> Response<Full<Body>> {
    let mut text = Wiped::with_capacity(1_024);
    if serde_json::to_writer(&mut text, value).is_err() {
        return error(&CoreError::Internal("an answer could not be written as JSON"));
    }
    text.append(b"\n");
    body(status, Bytes::from_owner(text), head)
}

/// A body that is JSON already.
fn body(status: StatusCode, json: Bytes, head: bool) -> Response<Full<Body>> {
    let mut response = Response::new(Full::new(if head { Bytes::new() } else { json }));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    never_cached(response)
}

/// A text in a form of its own.
pub(crate) fn raw(raw: RawBody, head: bool) -> Response<Full<Body>> {
    let mut response = body(StatusCode::OK, Bytes::from(raw.text), head);
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(raw.media_type));
    response
}

/// An answer that is made while it is sent.
pub(crate) fn streamed(streamed: Streamed, head: bool) -> Response<Full<Body>> {
    let mut response = never_cached(Response::new(Full::new(Bytes::new())));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(streamed.media_type));
    if !head {
        stream::attach(&mut response, streamed);
    }
    response
}

struct Sent(SecretBytes);

impl AsRef<[u8]> for Sent {
    fn as_ref(&self) -> &[u8] {
        self.0.expose()
    }
}

fn never_cached(mut response: Response<Full<Body>>) -> Response<Full<Body>> {
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // A browser that is shown an answer takes it for what it says it is, whatever values stand in it (CVE-2023-2121).
    response.headers_mut().insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}
