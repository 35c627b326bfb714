//! The native dialect: `/api/v1/...`, our own API, beside the foreign ones on the same port.
//!
//! One table names its endpoints; it feeds routing, the description at `/api/openapi.json` and the test that walks every
//! route without credentials. Each endpoint stands for a path of policies (`trail/query` for `sys/trail/query`), passes
//! the same gate as every other request and stands in the same trail, as dialect `native`. Parameters that an endpoint
//! does not name are refused: a misspelt filter must not widen an answer. Wraps no answers.

mod alert;
mod answer;
mod arn;
mod drill;
mod event;
mod incident;
mod openapi;
mod request;
mod retention;
mod revoke;
mod rotation;
mod route;
mod shipping;
mod shipping_webhook;
mod trail;

use crate::body::Budget;
use crate::listener::Limits;
use crate::server::Door;
use crate::vault::limit::Limit;
use answer::Body;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::{Request, Response};
use request::{Begun, Malformed, Parsed};
use route::{Context, Route};
use std::sync::Arc;
use strongroom_core::{Access, Ask, CoreError, Endpoint, Fields, Grant, Object, Open, Operation, State, Strongroom};
use strongroom_model::SecretPath;

pub(crate) use request::is_ours;

/// The dialect over one strongroom.
pub(crate) struct Native {
    pub(crate) strongroom: Arc<Strongroom>,
    /// What ARNs stand for.
    pub(crate) aws: crate::AwsSettings,
    limits: Limits,
    budget: Budget,
}

impl Native {
    pub(crate) fn new(strongroom: Arc<Strongroom>, limits: Limits, budget: Budget) -> Self {
        Self { strongroom, aws: crate::AwsSettings::default(), limits, budget }
    }

    /// Serves one request below `/api/`.
    pub(crate) async fn serve(&self, request: Request<Incoming>, door: Door) -> Response<Full<Body>> {
        let (parts, body) = request.into_parts();
        let mut limit = Limit::default();
        let begun = request::begin(parts, door, &self.strongroom, |visit| limit.take(&self.strongroom, visit));
        let mut response = match begun {
            Ok(begun) => self.serve_begun(begun, body).await,
            Err(malformed) if limit.refused_silently() => answer::error(&malformed.error, malformed.visit.request),
            Err(malformed) => self.refuse(*malformed).await,
        };
        limit.mark(&mut response);
        response
    }

    async fn serve_begun(&self, begun: Begun, body: Incoming) -> Response<Full<Body>> {
        let parsed = match begun.complete(body, &self.limits, &self.budget).await {
            Ok(parsed) => parsed,
            Err(malformed) => return self.refuse(*malformed).await,
        };
        if parsed.wants_description {
            return self.describe(parsed).await;
        }
        match self.strongroom.state() {
            State::Open(open) => self.serve_open(&open, parsed).await,
            State::Sealed(_) => self.refuse(parsed.refused(CoreError::Sealed)).await,
            State::Uninitialised(_) => self.refuse(parsed.refused(CoreError::Uninitialised)).await,
        }
    }

    /// The description is the same for everybody and says nothing of this server's contents.
    async fn describe(&self, parsed: Parsed) -> Response<Full<Body>> {
        let Parsed { visit, head, memory: _memory, .. } = parsed;
        match self.strongroom.note(&visit, "read", &Ok::<(), CoreError>(())).await {
            Ok(()) => answer::json(&openapi::document(), head),
            Err(error) => answer::error(&error, visit.request),
        }
    }

    async fn serve_open(&self, open: &Open, parsed: Parsed) -> Response<Full<Body>> {
        let Some((line, captures)) = parsed.found.clone() else {
            return self.refuse(parsed.refused(no_such_endpoint())).await;
        };
        if !line.endpoint.operations.contains(&parsed.visit.operation) {
            return self.refuse(parsed.refused(CoreError::Unsupported)).await;
        }
        if !parsed.visit.namespace.is_root() {
            let why = crate::vault::foreign(&parsed.visit.namespace);
            return self.refuse(parsed.refused(why)).await;
        }
        let object = match (line.object)(&captures, parsed.visit.operation) {
            Ok(object) => object,
            Err(error) => return self.refuse(parsed.refused(error)).await,
        };
        let Parsed { visit, credential, fields, head, memory: _memory, .. } = parsed;
        let (request, operation) = (visit.request, visit.operation);
        let found = open.mounts.table().resolve(&visit.path);
        let (object, homeless) = below_mount(object, found.as_ref().map(|(_, rest)| *rest));
        let mount = found.map(|(mount, _)| mount);
        let ask = Ask { visit, credential, mount, access: line.endpoint.access, object };
        let grant = match open.gate.admit(ask, &fields).await {
            Ok(grant) => grant,
            Err(error) => return answer::error(&error, request),
        };
        let result = match known_parameters(line, operation, &fields) {
            Ok(()) if homeless => Err(CoreError::NotFound("there is no mount of secrets at this path".to_owned())),
            Ok(()) => self.act(open, &grant, line, &captures, &fields).await,
            Err(error) => Err(error),
        };
        match open.gate.conclude(grant, &fields, &result).await.and(result) {
            Ok(reply) => answer::reply(reply, request, head),
            Err(error) => answer::error(&error, request),
        }
    }

    async fn act(
        &self,
        open: &Open,
        grant: &Grant,
        line: &'static Route,
        captures: &strongroom_core::Captures,
        fields: &Fields,
    ) -> Result<strongroom_core::Reply, CoreError> {
        let operation = grant.visit().operation;
        (line.handler)(Context { native: self, open, grant, captures, fields, operation }).await
    }

    /// Refuses a request that reached no gate; the refusal is in the trail before the answer leaves.
    async fn refuse(&self, malformed: Malformed) -> Response<Full<Body>> {
        let Malformed { visit, error } = malformed;
        let result: Result<(), CoreError> = Err(error);
        let noted = self.strongroom.note(&visit, request::word(visit.operation), &result).await;
        match noted.and(result) {
            Ok(()) => answer::error(&no_such_endpoint(), visit.request),
            Err(error) => answer::error(&error, visit.request),
        }
    }
}

/// A secret is named with its mount in front; the mount is taken off it here. Where there is none, the gate decides on the
/// path as it is, so that who may not know learns nothing; `true` says so.
fn below_mount(object: Object, rest: Option<&str>) -> (Object, bool) {
    let Object::Secret { act, .. } = object else { return (object, false) };
    match rest.map(SecretPath::parse) {
        Some(Ok(path)) => (Object::Secret { path, act }, false),
        _ => (Object::Path { exists: None }, true),
    }
}

fn no_such_endpoint() -> CoreError {
    CoreError::NotFound("there is no such endpoint; /api/openapi.json describes those there are".to_owned())
}

fn known_parameters(line: &Route, operation: Operation, fields: &Fields) -> Result<(), CoreError> {
    let known = |name: &str| line.parameters.iter().any(|known| known.name == name && known.is_for(operation));
    match fields.map().keys().find(|name| !known(name)) {
        None => Ok(()),
        // The name is not repeated: somebody may have put a value in its place.
        Some(_) => {
            let names: Vec<&str> = line.parameters.iter().map(|known| known.name).collect();
            Err(CoreError::Invalid(format!("an unknown parameter was sent; known are: {}", names.join(", "))))
        }
    }
}

/// Whether policies must give `sudo` for a path below `/api/v1/`: for clients that say what a request needs.
pub fn native_needs_sudo(path: &str) -> bool {
    route::find(path).is_some_and(|(line, _)| line.endpoint.access == Access::Sudo)
}

/// Every route of this dialect: for the test that walks them without credentials, and for documents.
pub fn walk_native_routes() -> Vec<&'static Endpoint> {
    route::ROUTES.iter().copied().flatten().map(|line| &line.endpoint).collect()
}
