//! The two shapes of this dialect: JSON 1.1 (`X-Amz-Target` in, `__type` out) and the query protocol (a form in, XML
//! out). Bytes and their spelling only; what they mean is elsewhere.

use super::operation::{Operation, Service};
use super::refusal::{Refusal, Words};
use crate::body::{self, Held};
use http_body_util::Full;
use hyper::Response;
use hyper::body::Bytes;
use hyper::header::HeaderName;
use hyper::http::{HeaderValue, StatusCode, header, request::Parts};
use serde_json::{Map, Value, json};
use std::fmt::Write;
use strongroom_core::{CoreError, Fields, Reply};
use strongroom_model::{Kind, Kinded, RequestId, SecretBytes};
use zeroize::Zeroizing;

/// The content type of the query protocol.
pub(super) const FORM: &str = "application/x-www-form-urlencoded";
const JSON: &str = "application/x-amz-json-1.1";
const XML: &str = "text/xml";
static REQUEST_ID: HeaderName = HeaderName::from_static("x-amzn-requestid");
const STS: &str = "https://sts.amazonaws.com/doc/2011-06-15/";

/// The parameters of a JSON request.
pub(super) fn json(held: &mut Held) -> Result<Fields, Refusal> {
    held.json_object().map_err(|error| match error.kind() {
        Kind::Invalid => Refusal::said("SerializationException", "the body is not a JSON object that can be read"),
        _ => error.into(),
    })
}

/// The operation and the parameters of a request in the query protocol: from the body, else from the query.
pub(super) fn query(parts: &Parts, held: &Held) -> Result<(String, Fields), Refusal> {
    let fields = match held.len() {
        0 => body::pairs(parts.uri.query().unwrap_or_default())?,
        _ => held.form()?,
    };
    match fields.text("Version")?.as_deref() {
        None | Some("2011-06-15") => Ok((fields.text_or_empty("Action")?, fields)),
        Some(_) => Err(Refusal::said("NoSuchVersion", "The version of the API must be 2011-06-15.")),
    }
}

/// The answer to a request that went well.
pub(super) fn answer(reply: Reply, line: &Operation, service: Service, id: RequestId) -> Response<Full<Bytes>> {
    let fields = reply.data.unwrap_or_default();
    if service == Service::Sts {
        let result = Zeroizing::new(elements(fields.map()));
        let text = Zeroizing::new(format!(
            "<{0}Response xmlns=\"{STS}\"><{0}Result>{1}</{0}Result><ResponseMetadata><RequestId>{id}</RequestId>\
             </ResponseMetadata></{0}Response>",
            line.name, *result
        ));
        return dressed(200, XML, SecretBytes::new(text.as_bytes().to_vec()), id);
    }
    match SecretBytes::from_json(fields.map()) {
        Ok(bytes) => dressed(200, JSON, bytes, id),
        Err(_) => refusal(&CoreError::Internal("an answer could not be written as JSON").into(), false, id),
    }
}

/// The answer to a request that was refused.
pub(super) fn refusal(refusal: &Refusal, is_query: bool, id: RequestId) -> Response<Full<Bytes>> {
    if matches!(refusal.cause().kind(), Kind::Internal | Kind::Tampered) {
        tracing::error!(error = %refusal.cause(), request = %id, "a request failed");
    }
    refused(refusal.words(), is_query, id)
}

/// As [`refusal`], of its words alone.
pub(super) fn refused(words: &Words, is_query: bool, id: RequestId) -> Response<Full<Bytes>> {
    if is_query {
        let by = if words.status < 500 { "Sender" } else { "Receiver" };
        let text = format!(
            "<ErrorResponse xmlns=\"{STS}\"><Error><Type>{by}</Type><Code>{}</Code><Message>{}</Message></Error>\
             <RequestId>{id}</RequestId></ErrorResponse>",
            words.query_code(),
            escaped(&words.text)
        );
        return dressed(words.status, XML, SecretBytes::new(text.into_bytes()), id);
    }
    // Recorded on AWS: errors of the model have a capital letter, those of the protocol have not.
    let name = if words.is_modelled() { "Message" } else { "message" };
    let body = json!({ "__type": words.code, name: words.text });
    dressed(words.status, JSON, SecretBytes::new(body.to_string().into_bytes()), id)
}

fn dressed(status: u16, kind: &'static str, bytes: SecretBytes, id: RequestId) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from_owner(Sent(bytes))));
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Ok(id) = HeaderValue::from_str(&id.to_string()) {
        headers.insert(&REQUEST_ID, id);
    }
    response
}

/// The bytes of an answer, wiped when they have been sent.
struct Sent(SecretBytes);

impl AsRef<[u8]> for Sent {
    fn as_ref(&self) -> &[u8] {
        self.0.expose()
    }
}

/// An object as XML elements, named as its fields.
fn elements(map: &Map<String, Value>) -> String {
    let mut text = String::new();
    for (name, value) in map {
        let inner = match value {
            Value::Object(map) => elements(map),
            Value::String(text) => escaped(text),
            other => escaped(&other.to_string()),
        };
        let _ = write!(text, "<{name}>{inner}</{name}>");
    }
    text
}

fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            c if c.is_control() => safe.push(' '),
            c => safe.push(c),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn xml_has_nothing_of_the_callers_in_it_that_is_markup() {
        let map = json!({"Arn": "a<b>&\"c\"", "User": {"Id": "1"}});
        let text = elements(map.as_object().unwrap());
        assert_eq!(text, "<Arn>a&lt;b&gt;&amp;&quot;c&quot;</Arn><User><Id>1</Id></User>");
    }
}
