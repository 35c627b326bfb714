//! From a result to HTTP: Vault's envelope, its errors, its empty answers.

use super::status;
use bytes::Bytes;
use http_body_util::Full;
use hyper::Response;
use hyper::http::{HeaderValue, StatusCode, header};
use serde::Serialize;
use serde_json::{Map, Value, json};
use strongroom_core::mount::Mount;
use strongroom_core::{Auth, CoreError, Endpoint, Fields, Reply};
use strongroom_model::{Kind, Kinded, RequestId, RequestPath};
use zeroize::Zeroizing;

/// The bytes of an answer, wiped when they have been sent.
pub(crate) type Body = Bytes;

/// Vault's success envelope.
#[derive(Serialize)]
struct Envelope<'a> {
    request_id: RequestId,
    lease_id: &'static str,
    renewable: bool,
    lease_duration: u64,
    data: Option<&'a Map<String, Value>>,
    wrap_info: Option<()>,
    warnings: Option<&'a [String]>,
    auth: Option<Value>,
    mount_type: &'a str,
    /// Old clients read some system answers without the envelope, so these carry the data twice.
    #[serde(flatten)]
    on_top: Option<&'a Map<String, Value>>,
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
        Ok(reply) if reply.data.is_none() && reply.auth.is_none() && reply.warnings.is_empty() => no_content(),
        Ok(reply) => {
            let status = if reply.gone { StatusCode::NOT_FOUND } else { StatusCode::OK };
            envelope(&reply, status, request, mount, path, head)
        }
    }
}

fn envelope(
    reply: &Reply,
    status: StatusCode,
    request: RequestId,
    mount: &Mount,
    path: &RequestPath,
    head: bool,
) -> Response<Full<Body>> {
    let data = reply.data.as_ref().map(Fields::map);
    let envelope = Envelope {
        request_id: request,
        lease_id: "",
        renewable: false,
        lease_duration: u64::from(reply.lease_duration),
        data,
        wrap_info: None,
        warnings: (!reply.warnings.is_empty()).then_some(&reply.warnings),
        auth: reply.auth.as_ref().map(auth),
        mount_type: &mount.kind,
        on_top: data.filter(|_| mount.kind == "system" && is_doubled(path)),
    };
    json_body(status, &envelope, head)
}

/// The system answers whose data stands at the top level too (Vault: `injectDataIntoTopRoutes`).
fn is_doubled(path: &RequestPath) -> bool {
    let mut segments = path.segments().skip(1);
    let second = segments.next().unwrap_or_default();
    matches!(
        second,
        "audit" | "audit-hash" | "auth" | "mounts" | "policy" | "key-status" | "rotate" | "remount" | "ha-status"
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
    json_body(status, &json!({ "errors": errors }), false)
}

/// Nothing to say.
pub(super) fn no_content() -> Response<Full<Body>> {
    let mut response = Response::new(Full::new(Bytes::new()));
    *response.status_mut() = StatusCode::NO_CONTENT;
    never_cached(response)
}

/// Any JSON with a status. The text is written into a buffer that is wiped after sending.
pub(super) fn json_body<T: Serialize>(status: StatusCode, value: &T, head: bool) -> Response<Full<Body>> {
    let mut text = Wiped(Zeroizing::new(Vec::with_capacity(1_024)));
    if serde_json::to_writer(&mut *text.0, value).is_err() {
        return error(&CoreError::Internal("an answer could not be written as JSON"));
    }
    text.0.push(b'\n');
    let body = if head { Bytes::new() } else { Bytes::from_owner(text) };
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    never_cached(response)
}

struct Wiped(Zeroizing<Vec<u8>>);

impl AsRef<[u8]> for Wiped {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

fn never_cached(mut response: Response<Full<Body>>) -> Response<Full<Body>> {
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
