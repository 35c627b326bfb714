//! Where a list goes that asks for a name of nothing, `metadata//`: clients make it who put an empty name between slashes.
//!
//! A path with an empty segment has no meaning here and is refused, so that nobody disagrees about what it means. Whoever
//! lists is sent to the one spelling, as Vault's server sends them. Decides nothing: what is there is asked for anew.

use super::answer::{self, Body};
use super::request::{decode_path, operation};
use crate::body;
use http_body_util::Full;
use hyper::Response;
use hyper::header::{HeaderValue, LOCATION};
use hyper::http::StatusCode;
use hyper::http::request::Parts;
use strongroom_core::Operation;

/// The folder that a list with slashes too many at its end is about. Boxed: every request carries room for it.
pub(super) fn meant(parts: &Parts) -> Option<Box<HeaderValue>> {
    let raw = parts.uri.path();
    let folder = raw.strip_suffix("//")?.trim_end_matches('/');
    decode_path(folder.strip_prefix("/v1/")?).ok()?;
    let query = parts.uri.query().unwrap_or_default();
    let lists = operation(parts, &body::pairs(query).ok()?) == Some(Operation::List);
    let mark = if query.is_empty() { "" } else { "?" };
    HeaderValue::try_from(format!("{folder}/{mark}{query}")).ok().filter(|_| lists).map(Box::new)
}

/// Sends the caller there, with the same method.
pub(super) fn sent_to(folder: HeaderValue) -> Response<Full<Body>> {
    let mut response = answer::no_content();
    *response.status_mut() = StatusCode::TEMPORARY_REDIRECT;
    response.headers_mut().insert(LOCATION, folder);
    response
}
