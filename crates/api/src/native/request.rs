//! From HTTP to a typed request of the native dialect.

use super::route::{self, Route};
use crate::body::{self, Budget, Held, Memory};
use crate::listener::Limits;
use crate::server::Door;
use crate::vault::request as shared;
use hyper::body::Incoming;
use hyper::http::{Method, request::Parts};
use strongroom_core::{Captures, CoreError, Fields, Operation, Strongroom, Visit};
use strongroom_model::{NamespacePath, RequestPath, SecretString};
use tokio::time::timeout;

/// Below this everything is ours.
const PREFIX: &str = "/api/";
const VERSION: &str = "v1/";
const DESCRIPTION: &str = "openapi.json";
/// The path under which requests for the description stand in the trail.
const DESCRIPTION_PATH: &str = "sys/api/openapi";

/// Whether a request with this path is for this dialect.
pub(crate) fn is_ours(path: &str) -> bool {
    path.starts_with(PREFIX)
}

/// A request that is one.
pub(super) struct Parsed {
    /// What may stand in the trail.
    pub(super) visit: Visit,
    /// The token.
    pub(super) credential: Option<SecretString>,
    /// The parameters.
    pub(super) fields: Fields,
    /// The line of the table, and the parts of the path.
    pub(super) found: Option<(&'static Route, Captures)>,
    /// Whether the description of the API is wanted.
    pub(super) wants_description: bool,
    /// Whether only the head of the answer is wanted.
    pub(super) head: bool,
    /// What the request takes of the memory for all bodies, until it is answered.
    pub(super) memory: Memory,
}

impl Parsed {
    /// The same request, refused.
    pub(super) fn refused(self, error: CoreError) -> Malformed {
        Malformed { visit: self.visit, error }
    }
}

/// A request that is refused before the gate; it is recorded all the same.
pub(super) struct Malformed {
    pub(super) visit: Visit,
    pub(super) error: CoreError,
}

/// A request whose head is one; its body has not been looked at.
pub(super) struct Begun {
    visit: Visit,
    credential: Option<SecretString>,
    query: Fields,
    found: Option<(&'static Route, Captures)>,
    wants_description: bool,
    method: Method,
}

/// Reads the head of a request. `admit` is asked as soon as the path is known, before anything is done that costs more.
pub(super) fn begin(
    parts: Parts,
    door: Door,
    strongroom: &Strongroom,
    admit: impl FnOnce(&Visit) -> Result<(), CoreError>,
) -> Result<Begun, Box<Malformed>> {
    let mut visit = shared::blank_visit(&parts, door.source(), strongroom);
    visit.dialect = "native";
    match read_head(&mut visit, &parts, admit) {
        Ok((credential, query, found, wants_description)) => {
            Ok(Begun { visit, credential, query, found, wants_description, method: parts.method })
        }
        Err(error) => Err(Box::new(Malformed { visit, error })),
    }
}

type Head = (Option<SecretString>, Fields, Option<(&'static Route, Captures)>, bool);

fn read_head(
    visit: &mut Visit,
    parts: &Parts,
    admit: impl FnOnce(&Visit) -> Result<(), CoreError>,
) -> Result<Head, CoreError> {
    let raw = parts.uri.path().strip_prefix(PREFIX).unwrap_or_default();
    let wants_description = raw == DESCRIPTION;
    let place = match raw.strip_prefix(VERSION) {
        Some(below) if !below.is_empty() => place(visit, below),
        _ if wants_description => {
            RequestPath::parse(DESCRIPTION_PATH).map(|path| (path, None)).map_err(CoreError::from)
        }
        _ => Err(super::no_such_endpoint()),
    };
    if let Ok((path, _)) = &place {
        visit.path = path.clone();
    }
    admit(visit)?;
    shared::one_host(parts)?;
    let (_, found) = place?;
    visit.operation = operation(&parts.method).ok_or(CoreError::Unsupported)?;
    if wants_description && visit.operation != Operation::Read {
        return Err(CoreError::Unsupported);
    }
    let query = body::pairs(parts.uri.query().unwrap_or_default())?;
    visit.namespace = NamespacePath::parse(shared::header_text(&parts.headers, "x-vault-namespace")?)?;
    Ok((shared::token(&parts.headers)?, query, found, wants_description))
}

type Place = (RequestPath, Option<(&'static Route, Captures)>);

/// The line of the table, and the path that policies speak of. What was typed is kept only where it leads nowhere.
fn place(visit: &mut Visit, below: &str) -> Result<Place, CoreError> {
    let typed = shared::decode_path(below)?;
    let found = route::find(typed.as_str());
    let path = match &found {
        Some((line, captures)) => RequestPath::parse(&line.policy_path(captures))?,
        None => RequestPath::parse(&format!("sys/{typed}"))?,
    };
    if found.is_some() {
        visit.typed = None;
    }
    Ok((path, found))
}

fn operation(method: &Method) -> Option<Operation> {
    match method.as_str() {
        "GET" | "HEAD" => Some(Operation::Read),
        "POST" | "PUT" => Some(Operation::Write),
        "PATCH" => Some(Operation::Patch),
        "DELETE" => Some(Operation::Delete),
        _ => None,
    }
}

impl Begun {
    /// Reads the body.
    pub(super) async fn complete(
        self,
        body: Incoming,
        limits: &Limits,
        budget: &Budget,
    ) -> Result<Parsed, Box<Malformed>> {
        let Self { visit, credential, query, found, wants_description, method } = self;
        let late = || Err(CoreError::Invalid("the request body took too long to arrive".to_owned()));
        let read = timeout(limits.request, body::read(body, limits.body_bytes, budget)).await;
        let parsed = read.unwrap_or_else(|_| late()).and_then(|mut held| {
            let fields = fields_of(visit.operation, query, &mut held)?;
            Ok((fields, held.into_memory()))
        });
        match parsed {
            Ok((fields, memory)) => {
                let head = method == Method::HEAD;
                Ok(Parsed { visit, credential, fields, found, wants_description, head, memory })
            }
            Err(error) => Err(Box::new(Malformed { visit, error })),
        }
    }
}

/// The query of reading and deleting operations and the body of writing ones; never both, so that nobody wonders which
/// one counts.
fn fields_of(operation: Operation, query: Fields, held: &mut Held) -> Result<Fields, CoreError> {
    match operation {
        Operation::Read | Operation::List | Operation::Delete => Ok(query),
        Operation::Write | Operation::Patch if query.map().is_empty() => held.json_object(),
        Operation::Write | Operation::Patch => {
            Err(CoreError::Invalid("parameters of this method go into the JSON body, not into the query".to_owned()))
        }
    }
}

/// The operation as the trail names it when no gate has told create from update.
pub(super) fn word(operation: Operation) -> &'static str {
    shared::word(operation)
}
