//! The Vault dialect: `/v1/...` as Vault 1.16 answers it.
//!
//! The path of a request: `request` parses it, a route table names the endpoint, the core's gate admits it, a handler
//! of a few lines calls the core, `answer` dresses the result. A path that is in no table does not exist.

mod answer;
mod identity;
mod kv1;
mod kv2;
mod public;
mod request;
mod route;
mod status;
mod sys;
mod token;

use crate::body::Budget;
use crate::listener::Limits;
use crate::server::Door;
use answer::Body;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::{Request, Response};
use request::{Malformed, Parsed};
use std::sync::{Arc, Mutex, PoisonError};
use strongroom_core::mount::{Mount, MountClass};
use strongroom_core::{
    Access, Ask, Captures, CoreError, Endpoint, Fields, Grant, Object, Open, Operation, Reply, SealOrder, State,
    Strongroom, route,
};

/// How the server names itself in answers.
#[derive(Clone, Debug)]
pub struct Identity {
    /// The version that Vault's clients compare (`1.16.3`).
    pub version: String,
    /// Name of the cluster.
    pub cluster_name: String,
    /// The address that clients should use.
    pub api_addr: String,
    /// What is told of the storage engine: `sqlite`, `inmem`.
    pub storage: String,
    /// When this version was built.
    pub build_date: String,
}

/// The dialect over one strongroom.
pub(crate) struct Vault {
    pub(super) strongroom: Arc<Strongroom>,
    pub(super) identity: Identity,
    limits: Limits,
    budget: Budget,
    /// Set by the seal endpoint, carried out when its request has been recorded.
    seal_order: Mutex<Option<SealOrder>>,
}

/// An endpoint found for a path: a line of one of our tables, or of an auth method's.
enum Found {
    Ours(&'static route::Route),
    Method(&'static Endpoint, Arc<dyn strongroom_core::AuthMethod>),
}

impl Found {
    fn endpoint(&self) -> &'static Endpoint {
        match self {
            Found::Ours(line) => &line.endpoint,
            Found::Method(endpoint, _) => endpoint,
        }
    }
}

/// A path matched to its mount and endpoint.
struct Target {
    mount: Arc<Mount>,
    found: Found,
    captures: Captures,
}

impl Vault {
    pub(crate) fn new(strongroom: Arc<Strongroom>, identity: Identity, limits: Limits, budget: Budget) -> Self {
        Self { strongroom, identity, limits, budget, seal_order: Mutex::new(None) }
    }

    /// Seals when the request under way has been recorded.
    pub(super) fn order_seal(&self, order: SealOrder) {
        *self.seal_order.lock().unwrap_or_else(PoisonError::into_inner) = Some(order);
    }

    async fn carry_out_seal(&self) -> Result<(), CoreError> {
        let order = self.seal_order.lock().unwrap_or_else(PoisonError::into_inner).take();
        match order {
            Some(order) => self.strongroom.seal(order).await,
            None => Ok(()),
        }
    }

    /// The default and the longest life of a token, in seconds, where no mount says otherwise.
    pub(super) fn system_ttls(&self) -> (u64, u64) {
        let settings = self.strongroom.settings();
        (settings.default_lease_ttl.secs(), settings.max_lease_ttl.secs())
    }

    /// Serves one request, whatever it is.
    pub(crate) async fn serve(&self, request: Request<Incoming>, door: Door) -> Response<Full<Body>> {
        let parsed = request::parse(request, door, &self.strongroom, &self.limits, &self.budget).await;
        let parsed = match parsed {
            Ok(parsed) => parsed,
            Err(malformed) => return self.refuse_malformed(*malformed).await,
        };
        if let Some((line, captures)) = public::find(&parsed) {
            return public::serve(self, line, captures, parsed).await;
        }
        match self.strongroom.state() {
            State::Open(open) => self.serve_open(&open, parsed).await,
            State::Sealed(_) => self.refuse(&parsed, CoreError::Sealed).await,
            State::Uninitialised(_) => self.refuse(&parsed, CoreError::Uninitialised).await,
        }
    }

    async fn serve_open(&self, open: &Open, parsed: Parsed) -> Response<Full<Body>> {
        let (target, object) = match self.locate(open, &parsed).await {
            Ok(located) => located,
            Err(error) => return self.refuse(&parsed, error).await,
        };
        let Parsed { visit, credential, fields, head, help } = parsed;
        let request = visit.request;
        let mount = Arc::clone(&target.mount);
        let access = if help { Access::Optional } else { target.found.endpoint().access };
        let ask = Ask { visit, credential, mount: Some(Arc::clone(&mount)), access, object };
        let grant = match open.gate.admit(ask, &fields).await {
            Ok(grant) => grant,
            Err(error) => return answer::error(&error),
        };
        let result = if help { Ok(Reply::empty()) } else { self.act(open, &grant, &target, &fields).await };
        let path = grant.visit().path.clone();
        let concluded = match open.gate.conclude(grant, &fields, &result).await {
            Ok(()) => self.carry_out_seal().await,
            Err(error) => Err(error),
        };
        match concluded {
            Ok(()) if help => answer::help(target.found.endpoint(), &mount),
            Ok(()) => answer::result(result, request, &mount, &path, head),
            Err(error) => answer::error(&error),
        }
    }

    async fn act(&self, open: &Open, grant: &Grant, target: &Target, fields: &Fields) -> Result<Reply, CoreError> {
        let operation = grant.visit().operation;
        match &target.found {
            Found::Ours(line) => {
                (line.handler)(route::Context {
                    vault: self,
                    open,
                    grant,
                    captures: &target.captures,
                    fields,
                    operation,
                })
                .await
            }
            Found::Method(endpoint, _) => {
                open.logins.call(grant, endpoint, target.captures.clone(), operation, fields).await
            }
        }
    }

    /// From a path to its mount, its endpoint, and the object that the gate decides on.
    async fn locate(&self, open: &Open, parsed: &Parsed) -> Result<(Target, Object), CoreError> {
        let visit = &parsed.visit;
        if !visit.namespace.is_root() {
            return Err(CoreError::NotFound(format!(
                "no namespace \"{}\"; this version has the root namespace only",
                visit.namespace
            )));
        }
        let no_route = || CoreError::NoRoute(visit.path.to_string());
        let (mount, below) = open.mounts.table().resolve(&visit.path).ok_or_else(no_route)?;
        let (found, captures) = find(open, &mount, &below).ok_or_else(|| match mount.class {
            MountClass::Secret if mount.kind == "kv" => CoreError::Nothing,
            _ => CoreError::Invalid(format!("unsupported path \"{}\"", visit.path)),
        })?;
        if !found.endpoint().operations.contains(&visit.operation) {
            return Err(CoreError::Unsupported);
        }
        let object = match &found {
            Found::Ours(line) => (line.object)(&captures, visit.operation)?,
            Found::Method(endpoint, method)
                if visit.operation == Operation::Write && endpoint.access != Access::Open =>
            {
                Object::Path { exists: method.exists(endpoint, &captures).await? }
            }
            Found::Method(..) => Object::Path { exists: None },
        };
        Ok((Target { mount, found, captures }, object))
    }

    /// Refuses a request that reached no gate; the refusal is in the trail before the answer leaves.
    async fn refuse(&self, parsed: &Parsed, error: CoreError) -> Response<Full<Body>> {
        let result: Result<(), CoreError> = Err(error);
        let noted = self.strongroom.note(&parsed.visit, request::word(parsed.visit.operation), &result).await;
        match noted.and(result) {
            Ok(()) => answer::no_content(),
            Err(error) => answer::error(&error),
        }
    }

    async fn refuse_malformed(&self, malformed: Malformed) -> Response<Full<Body>> {
        let Malformed { visit, error, status } = malformed;
        let result: Result<(), CoreError> = Err(error);
        let noted = self.strongroom.note(&visit, request::word(visit.operation), &result).await;
        match noted.and(result) {
            Ok(()) => answer::no_content(),
            Err(error) => answer::error_as(&error, status),
        }
    }
}

/// The table of a mount, by its kind.
fn table(mount: &Mount) -> &'static [route::Route] {
    match mount.kind.as_str() {
        "system" => sys::ROUTES,
        "token" => token::ROUTES,
        "identity" => identity::ROUTES,
        "kv" if mount.is_versioned_kv() => kv2::ROUTES,
        "kv" => kv1::ROUTES,
        _ => &[],
    }
}

fn find(open: &Open, mount: &Mount, below: &str) -> Option<(Found, Captures)> {
    if let Some((line, captures)) = route(table(mount), below) {
        return Some((Found::Ours(line), captures));
    }
    let method = open.mounts.table().method(mount.id)?;
    let (endpoint, captures) = route(method.endpoints(), below)?;
    Some((Found::Method(endpoint, method), captures))
}

/// Every route of this dialect's own tables, as (mount kind, endpoint): for the test that walks them without
/// credentials, and for documents.
pub fn walk_routes() -> Vec<(&'static str, &'static Endpoint)> {
    let tables: [(&str, &'static [route::Route]); 5] = [
        ("system", sys::ROUTES),
        ("token", token::ROUTES),
        ("identity", identity::ROUTES),
        ("kv2", kv2::ROUTES),
        ("kv1", kv1::ROUTES),
    ];
    let lines =
        |(kind, table): (&'static str, &'static [route::Route])| table.iter().map(move |line| (kind, &line.endpoint));
    let ours = tables.into_iter().flat_map(lines);
    ours.chain(public::ROUTES.iter().map(|line| ("public", &line.endpoint))).collect()
}
