//! From HTTP to a typed request: the only place where this dialect looks at methods, headers, queries and raw paths.

use super::route::Upload;
use super::{status, sys};
use crate::body::{self, Budget, Held, Memory};
use crate::listener::Limits;
use crate::server::Door;
use hyper::body::{Body, Incoming};
use hyper::http::{HeaderMap, HeaderValue, Method, StatusCode, Version, header, request::Parts};
use std::collections::BTreeMap;
use std::time::Duration;
use strongroom_core::metrics::Counter;
use strongroom_core::{CoreError, Fields, Operation, Source, Strongroom, Visit};
use strongroom_model::{NamespacePath, PathError, RequestPath, SecretString, Ttl};
use tokio::time::timeout;

/// A request that is one. It goes through many hands, each of which may wait, and so travels boxed, as [`Begun`] does.
pub(super) struct Parsed {
    /// What may stand in the trail.
    pub(super) visit: Visit,
    /// The token.
    pub(super) credential: Option<SecretString>,
    /// The parameters.
    pub(super) fields: Fields,
    /// Whether only the head of the answer is wanted.
    pub(super) head: bool,
    /// Whether path help is wanted.
    pub(super) help: bool,
    /// What the request takes of the memory for all bodies, until it is answered.
    pub(super) memory: Memory,
    /// A body that is read by the one who serves it.
    pub(super) upload: Upload,
}

/// A request that is none; it is recorded all the same.
pub(super) struct Malformed {
    pub(super) visit: Visit,
    pub(super) error: CoreError,
    pub(super) status: StatusCode,
}

/// The path under which a request without a readable path stands in the trail.
const UNREADABLE: &str = "unreadable";
/// How much of what the caller typed is kept, in characters.
const TYPED: usize = 512;

/// A request whose head is one; its body has not been looked at.
pub(super) struct Begun {
    /// What may stand in the trail.
    pub(super) visit: Visit,
    credential: Option<SecretString>,
    query: Fields,
    parts: Parts,
}

/// Ends a parser with the refusal that an error means.
macro_rules! check {
    ($visit:expr, $result:expr) => {
        match $result {
            Ok(value) => value,
            Err(error) => {
                let status = status::code(&error);
                return Err(Box::new(Malformed { visit: $visit, error, status }));
            }
        }
    };
}

/// Reads the head of a request. `admit` is asked as soon as the path is known, or known to be unreadable, and before
/// anything is done that costs more.
pub(super) fn begin(
    parts: Parts,
    door: Door,
    strongroom: &Strongroom,
    admit: impl FnOnce(&Visit) -> Result<(), CoreError>,
) -> Result<Box<Begun>, Box<Malformed>> {
    let raw = parts.uri.path().strip_prefix("/v1/");
    let (path, shown, unread) = match raw.map(decode_path) {
        Some(Ok(path)) => {
            let shown = raw.filter(|raw| *raw != path.as_str()).map(typed);
            (path, shown, None)
        }
        Some(Err(error)) => (unreadable(), Some(typed(parts.uri.path())), Some(error.into())),
        None => (unreadable(), Some(typed(parts.uri.path())), Some(CoreError::Nothing)),
    };
    let mut visit = visit_to(path, shown, noted_headers(&parts, strongroom), door.source(), strongroom);
    let refused = |visit: Visit, error: CoreError, status| Box::new(Malformed { visit, error, status });
    check!(visit, admit(&visit));
    check!(visit, one_host(&parts));
    if let Some(error) = unread {
        let status = if matches!(error, CoreError::Nothing) { StatusCode::NOT_FOUND } else { status::code(&error) };
        return Err(refused(visit, error, status));
    }
    if door.require_request_header && header(&parts.headers, "x-vault-request") != Some("true") {
        let error = CoreError::Invalid("missing 'X-Vault-Request' header".to_owned());
        return Err(refused(visit, error, StatusCode::PRECONDITION_FAILED));
    }
    let query = check!(visit, body::pairs(parts.uri.query().unwrap_or_default()));
    let Some(operation) = operation(&parts, &query) else {
        return Err(refused(visit, CoreError::Unsupported, StatusCode::METHOD_NOT_ALLOWED));
    };
    visit.operation = operation;
    visit.namespace = check!(visit, header_text(&parts.headers, "x-vault-namespace").and_then(parse_namespace));
    visit.wrap_ttl = check!(visit, wrap_ttl(&parts.headers));
    let credential = check!(visit, token(&parts.headers));
    if operation == Operation::Patch && !is_merge_patch(&parts.headers) {
        let error = CoreError::Invalid("PATCH needs the content type application/merge-patch+json".to_owned());
        return Err(refused(visit, error, StatusCode::UNSUPPORTED_MEDIA_TYPE));
    }
    Ok(Box::new(Begun { visit, credential, query, parts }))
}

impl Begun {
    /// The method as it was sent.
    pub(super) fn method(&self) -> &Method {
        &self.parts.method
    }

    /// Reads the body.
    pub(super) async fn complete(
        self: Box<Self>,
        body: Incoming,
        limits: &Limits,
        budget: &Budget,
        read_bytes: &Counter,
    ) -> Result<Box<Parsed>, Box<Malformed>> {
        let Self { visit, credential, query, parts } = *self;
        let (head, help) = (parts.method == Method::HEAD, query.has("help"));
        if visit.operation == Operation::Write && sys::takes_upload(&visit.path) {
            let (memory, upload) = (budget.open(), Upload::of(body));
            return Ok(Box::new(Parsed { visit, credential, fields: query, head, help, memory, upload }));
        }
        let mut held = match body.is_end_stream() {
            true => Held::none(budget),
            // Only this part goes at the client's pace; what follows must not be cut off half-way.
            false => {
                let reading = timeout(limits.request, body::read(body, limits.body_bytes, budget)).await;
                let late = || Err(CoreError::Invalid("the request body took too long to arrive".to_owned()));
                check!(visit, reading.unwrap_or_else(|_| late()))
            }
        };
        read_bytes.add(held.len() as u64);
        let fields = check!(visit, fields_of(&parts, visit.operation, query, &mut held));
        let memory = held.into_memory();
        Ok(Box::new(Parsed { visit, credential, fields, head, help, memory, upload: Upload::default() }))
    }
}

/// A visit of which is known where it comes from and what was typed.
pub(crate) fn blank_visit(parts: &Parts, source: Source, strongroom: &Strongroom) -> Visit {
    let shown = Some(typed(parts.uri.path()));
    visit_to(unreadable(), shown, noted_headers(parts, strongroom), source, strongroom)
}

fn visit_to(
    path: RequestPath,
    typed: Option<String>,
    headers: BTreeMap<String, Vec<String>>,
    source: Source,
    strongroom: &Strongroom,
) -> Visit {
    Visit {
        request: strongroom.name_request(),
        arrived: strongroom.clock().now(),
        dialect: "vault",
        operation: Operation::Read,
        namespace: NamespacePath::root(),
        path,
        typed,
        source,
        headers,
        wrap_ttl: None,
    }
}

/// As much of what the caller typed as is kept.
fn typed(text: &str) -> String {
    if text.len() <= TYPED { text.to_owned() } else { text.chars().take(TYPED).collect() }
}

/// What stands in the trail for bytes that are no HTTP at all: from where, and nothing of what they said.
pub(super) fn visit_without_request(source: Source, strongroom: &Strongroom) -> Visit {
    visit_to(unreadable(), None, BTreeMap::new(), source, strongroom)
}

/// Headers that the operator wants recorded.
fn noted_headers(parts: &Parts, strongroom: &Strongroom) -> BTreeMap<String, Vec<String>> {
    let Ok(open) = strongroom.open() else { return BTreeMap::new() };
    let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).chars().take(TYPED).collect();
    open.settings.noted_headers(|name| parts.headers.get_all(name).iter().map(text).collect())
}

fn unreadable() -> RequestPath {
    #[allow(clippy::unwrap_used, reason = "the constant is a path; a test says so")]
    RequestPath::parse(UNREADABLE).unwrap()
}

/// Percent-decodes once. What then still looks encoded is part of the name.
pub(crate) fn decode_path(raw: &str) -> Result<RequestPath, PathError> {
    let decoded = percent_encoding::percent_decode_str(raw).decode_utf8().map_err(|_| PathError::NotText)?;
    RequestPath::parse(&decoded)
}

pub(super) fn operation(parts: &Parts, query: &Fields) -> Option<Operation> {
    let list = || matches!(query.flag("list"), Ok(Some(true)));
    match parts.method.as_str() {
        "GET" | "HEAD" if list() => Some(Operation::List),
        "GET" | "HEAD" => Some(Operation::Read),
        "LIST" => Some(Operation::List),
        "POST" | "PUT" => Some(Operation::Write),
        "PATCH" => Some(Operation::Patch),
        "DELETE" => Some(Operation::Delete),
        _ => None,
    }
}

/// The query of reading operations and the body of writing ones. A body sent with DELETE counts too: some clients do.
fn fields_of(parts: &Parts, operation: Operation, query: Fields, held: &mut Held) -> Result<Fields, CoreError> {
    match operation {
        Operation::Read | Operation::List => Ok(query),
        Operation::Delete => {
            let mut fields = held.json_object()?;
            fields.map_mut().extend(query.into_map());
            Ok(fields)
        }
        Operation::Write | Operation::Patch => {
            let form = header(&parts.headers, "content-type")
                .is_some_and(|kind| kind.starts_with("application/x-www-form-urlencoded"));
            // curl sends JSON under the form's content type unless it is told otherwise; Vault looks at the first byte too.
            if form && !matches!(held.first(), None | Some(b'{' | b'[')) { held.form() } else { held.json_object() }
        }
    }
}

/// One host, as RFC 9112, section 3.2 demands: with two, a proxy and we could each believe another one.
pub(crate) fn one_host(parts: &Parts) -> Result<(), CoreError> {
    match parts.headers.get_all(header::HOST).iter().count() {
        1 => Ok(()),
        0 if parts.version < Version::HTTP_11 || parts.uri.authority().is_some() => Ok(()),
        0 => Err(CoreError::Invalid("the header host is missing".to_owned())),
        _ => Err(CoreError::Invalid("the header host was sent more than once".to_owned())),
    }
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// One header as text; two of the same name are refused, because two programs might each believe another one.
pub(crate) fn header_text<'a>(headers: &'a HeaderMap, name: &str) -> Result<&'a str, CoreError> {
    let mut values = headers.get_all(name).iter();
    let first = values.next();
    if values.next().is_some() {
        return Err(CoreError::Invalid(format!("the header {name} was sent more than once")));
    }
    match first.map(|value| value.to_str()) {
        None => Ok(""),
        Some(Ok(text)) => Ok(text),
        Some(Err(_)) => Err(CoreError::Invalid(format!("the header {name} is not plain text"))),
    }
}

fn parse_namespace(text: &str) -> Result<NamespacePath, CoreError> {
    Ok(NamespacePath::parse(text)?)
}

fn wrap_ttl(headers: &HeaderMap) -> Result<Option<Duration>, CoreError> {
    match header_text(headers, "x-vault-wrap-ttl")? {
        "" => Ok(None),
        text => Ok(Some(Ttl::parse(text)?.0).filter(|ttl| !ttl.is_zero())),
    }
}

pub(crate) fn token(headers: &HeaderMap) -> Result<Option<SecretString>, CoreError> {
    let direct = header_text(headers, "x-vault-token")?;
    let bearer = header_text(headers, "authorization")?.strip_prefix("Bearer ").unwrap_or_default();
    let token = if direct.is_empty() { bearer } else { direct };
    if token.len() > 8_192 {
        return Err(CoreError::TooLarge("the token is longer than 8192 characters".to_owned()));
    }
    Ok((!token.is_empty()).then(|| SecretString::new(token.to_owned())))
}

fn is_merge_patch(headers: &HeaderMap) -> bool {
    let kind = header(headers, "content-type").unwrap_or_default();
    kind.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/merge-patch+json"))
}

/// The operation as the trail names it when no gate has told create from update.
pub(crate) fn word(operation: Operation) -> &'static str {
    match operation {
        Operation::Read => "read",
        Operation::Write => "update",
        Operation::Patch => "patch",
        Operation::Delete => "delete",
        Operation::List => "list",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_decoded_once() {
        assert_eq!(unreadable().as_str(), UNREADABLE);
        assert_eq!(decode_path("secret/data/a%20b").unwrap().as_str(), "secret/data/a b");
        assert_eq!(decode_path("secret/data/%252e%252e").unwrap().as_str(), "secret/data/%2e%2e");
        assert_eq!(decode_path("secret/%2e%2e/x"), Err(PathError::Relative));
        assert_eq!(decode_path("secret/..%2fx"), Err(PathError::Relative));
        assert_eq!(decode_path("secret/%c0%ae"), Err(PathError::NotText));
        assert_eq!(decode_path("secret/a%00"), Err(PathError::Control));
    }
}
