//! From a result to HTTP: the native dialect's envelope, its errors, and its table from `Kind` to status codes.

use crate::vault::answer as shared;
use http_body_util::Full;
use hyper::Response;
use hyper::http::StatusCode;
use serde::Serialize;
use serde_json::{Map, Value, json};
use strongroom_core::{CoreError, Fields, Reply};
use strongroom_model::{Kind, Kinded, RequestId};

pub(super) use crate::vault::answer::Body;

/// The success envelope.
#[derive(Serialize)]
struct Envelope<'a> {
    request: RequestId,
    data: Option<&'a Map<String, Value>>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    warnings: &'a [String],
}

/// Dresses what a handler returned.
pub(super) fn reply(reply: Reply, request: RequestId, head: bool) -> Response<Full<Body>> {
    match reply {
        Reply { raw: Some(text), .. } => shared::raw(text, head),
        Reply { streamed: Some(streamed), .. } => shared::streamed(streamed, head),
        reply if !reply.has_body() => shared::no_content(),
        reply => {
            let data = reply.data.as_ref().map(Fields::map);
            let status = if reply.accepted { StatusCode::ACCEPTED } else { StatusCode::OK };
            shared::json_body(status, &Envelope { request, data, warnings: &reply.warnings }, head)
        }
    }
}

/// A document that is the whole answer.
pub(super) fn json(value: &Value, head: bool) -> Response<Full<Body>> {
    shared::json_body(StatusCode::OK, value, head)
}

/// An error: its kind for programs, its text and what to do next for people, and the request's id for the trail.
pub(super) fn error(error: &CoreError, request: RequestId) -> Response<Full<Body>> {
    let kind = error.kind();
    let (status, next) = meaning(kind);
    if matches!(kind, Kind::Internal | Kind::Tampered) {
        tracing::error!(%error, "a request failed");
    }
    let text = error.to_string();
    let message = if text.is_empty() { "there is nothing there" } else { &text };
    let body = json!({
        "error": { "kind": kind.word(), "message": message, "next": next }, "request": request,
    });
    shared::come_again(shared::json_body(status, &body, false), error)
}

/// The one table of this dialect: status, and what the caller can do.
fn meaning(kind: Kind) -> (StatusCode, &'static str) {
    match kind {
        Kind::Invalid => (StatusCode::BAD_REQUEST, "mend the request; /api/openapi.json describes each endpoint"),
        Kind::Denied => {
            (StatusCode::FORBIDDEN, "send a valid token whose policies allow this path, or ask an operator")
        }
        Kind::NotFound => (StatusCode::NOT_FOUND, "check the name; it may also be one that you may not see"),
        Kind::Conflict => (StatusCode::CONFLICT, "read it again and retry"),
        Kind::Unsupported => (StatusCode::METHOD_NOT_ALLOWED, "use another method; /api/openapi.json names them"),
        Kind::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "send less at once"),
        Kind::TooMany => (StatusCode::TOO_MANY_REQUESTS, "wait a moment and retry"),
        Kind::Sealed => (StatusCode::SERVICE_UNAVAILABLE, "wait until an operator has unsealed the server"),
        Kind::Uninitialised => (StatusCode::SERVICE_UNAVAILABLE, "wait until an operator has initialised the server"),
        Kind::Unavailable => {
            (StatusCode::SERVICE_UNAVAILABLE, "retry in a moment; an operator finds the cause in the log")
        }
        Kind::Tampered | Kind::Internal => {
            (StatusCode::INTERNAL_SERVER_ERROR, "give the request's id to an operator; the cause is in the log")
        }
    }
}
