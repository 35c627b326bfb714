//! Web pages of other origins (Fetch standard, section 3.2): which may call, and what their browsers are told.
//!
//! Answers preflights itself, since a browser sends them without a token; everything else goes on to the gate.

use super::answer::{self, Body};
use http_body_util::Full;
use hyper::Response;
use hyper::http::request::Parts;
use hyper::http::{HeaderValue, Method, StatusCode, header};
use std::sync::Arc;
use strongroom_core::CoreError;
use strongroom_core::setting::Cors;

/// Request headers that a page may always send (Vault: `StdAllowedHeaders`).
pub(super) const STANDARD_HEADERS: [&str; 10] = [
    "Content-Type",
    "X-Requested-With",
    "X-Vault-AWS-IAM-Server-ID",
    "X-Vault-MFA",
    "X-Vault-No-Request-Forwarding",
    "X-Vault-Wrap-Format",
    "X-Vault-Wrap-TTL",
    "X-Vault-Policy-Override",
    "Authorization",
    "X-Vault-Token",
];
const METHODS: [&str; 7] = ["DELETE", "GET", "OPTIONS", "POST", "PUT", "PATCH", "LIST"];

/// What a request from a page leads to before anything else is looked at.
pub(super) enum Crossing {
    /// Not from a page of another origin, or nobody asked for the rules to be kept.
    None,
    /// From a page that may call: the answer says so.
    Allowed(HeaderValue, Arc<Cors>),
    /// Answered already.
    Answered(Box<Response<Full<Body>>>),
}

impl Crossing {
    /// Looks at a request. `cors` is what the operator set; without it (sealed, or never set) nothing is done.
    pub(super) fn of(parts: &Parts, cors: Option<Arc<Cors>>) -> Self {
        let Some(cors) = cors.filter(|cors| cors.enabled) else { return Self::None };
        let Some(origin) = parts.headers.get(header::ORIGIN) else { return Self::None };
        if !origin.to_str().is_ok_and(|origin| cors.allows(origin)) {
            let error = CoreError::Invalid("origin not allowed".to_owned());
            return Self::Answered(Box::new(answer::error_as(&error, StatusCode::FORBIDDEN)));
        }
        let allowed = Self::Allowed(origin.clone(), Arc::clone(&cors));
        if parts.method != Method::OPTIONS {
            return allowed;
        }
        let wanted = parts.headers.get(header::ACCESS_CONTROL_REQUEST_METHOD).and_then(|wanted| wanted.to_str().ok());
        let mut response = answer::no_content();
        if !wanted.is_some_and(|wanted| METHODS.contains(&wanted)) {
            *response.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
            return Self::Answered(Box::new(response));
        }
        allowed.mark(&mut response);
        let headers = response.headers_mut();
        headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, joined(METHODS));
        headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, joined(cors.headers.iter().map(String::as_str)));
        headers.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("300"));
        Self::Answered(Box::new(response))
    }

    /// Tells the browser that the page may see the answer.
    pub(super) fn mark(&self, response: &mut Response<Full<Body>>) {
        let Self::Allowed(origin, cors) = self else { return };
        let headers = response.headers_mut();
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
        headers.insert(header::VARY, HeaderValue::from_static("Origin"));
        if cors.credentials {
            headers.insert(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
        }
    }
}

/// The parts with commas between. Names that can be no header were refused when they were set.
fn joined<'a>(parts: impl IntoIterator<Item = &'a str>) -> HeaderValue {
    let text = parts.into_iter().collect::<Vec<_>>().join(",");
    HeaderValue::from_str(&text).unwrap_or_else(|_| HeaderValue::from_static(""))
}
