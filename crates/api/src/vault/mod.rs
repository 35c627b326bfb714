//! The Vault dialect: `/v1/...` as Vault 1.16 answers it.
//!
//! The path of a request: `request` parses it, a route table names the endpoint, the core's gate admits it, a handler
//! of a few lines calls the core, `answer` dresses the result. A path that is in no table does not exist.

pub(crate) mod answer;
mod ceremony;
mod cors;
mod cubbyhole;
mod field;
mod folder;
mod identity;
mod kv1;
mod kv2;
pub(crate) mod limit;
mod measure;
mod metric;
mod openapi;
mod public;
pub(crate) mod request;
mod route;
mod running;
mod spelling;
mod status;
mod sys;
mod token;

use crate::body::Budget;
use crate::listener::Limits;
use crate::log::LogControl;
use crate::server::Door;
use answer::Body;
use cors::Crossing;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::http::StatusCode;
use hyper::{Request, Response};
use limit::Limit;
pub use measure::{Measure, Reading};
pub(crate) use request::decode_path;
use request::{Begun, Malformed, Parsed};
use running::Running;
use serde_json::Value;
pub(crate) use spelling::one_spelling;
use std::sync::Arc;
use strongroom_core::mount::{Mount, MountClass};
use strongroom_core::wrapping::Wrapping;
use strongroom_core::{
    Access, Ask, Captures, CoreError, Endpoint, Fields, Grant, Object, Open, Operation, Reply, State, Strongroom,
    boxed, route,
};
use strongroom_model::{NamespacePath, PathError};

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
    pub(super) limits: Limits,
    budget: Budget,
    running: Running,
    instruments: metric::Instruments,
    /// Moves of mounts, for who asks after them.
    moves: sys::Moves,
    /// The handle to the operator log, if the binary gave one.
    pub(crate) log: Option<LogControl>,
    /// Whether metrics are given in the format of Prometheus.
    pub(crate) prometheus: bool,
    /// The listeners as `sys/config/state` shows them.
    pub(crate) listeners: Value,
}

/// An endpoint found for a path: a line of one of our tables, or of a plug-in's.
enum Found {
    Ours(&'static route::Route),
    Method(&'static Endpoint, Arc<dyn strongroom_core::AuthMethod>),
    Engine(&'static Endpoint, Arc<dyn strongroom_core::SecretsEngine>),
}

impl Found {
    fn endpoint(&self) -> &'static Endpoint {
        match self {
            Found::Ours(line) => &line.endpoint,
            Found::Method(endpoint, _) | Found::Engine(endpoint, _) => endpoint,
        }
    }

    /// Whether what a write would touch is there, for paths that a plug-in serves.
    async fn exists(&self, captures: &Captures) -> Result<Option<bool>, CoreError> {
        match self {
            Found::Ours(_) => Ok(None),
            Found::Method(endpoint, method) => method.exists(endpoint, captures).await,
            Found::Engine(endpoint, engine) => engine.exists(endpoint, captures).await,
        }
    }
}

/// A path matched to its mount and endpoint.
struct Target {
    mount: Arc<Mount>,
    found: Found,
    captures: Captures,
}

impl Target {
    /// Whether reading it is sure to make, change and use up nothing: engines make credentials when they are read, and
    /// what a wrapping token leads to is gone once it was.
    fn is_read_without_effect(&self) -> bool {
        matches!(self.found, Found::Ours(_)) && self.mount.kind != "cubbyhole"
    }
}

impl Vault {
    pub(crate) fn new(strongroom: Arc<Strongroom>, identity: Identity, limits: Limits, budget: Budget) -> Self {
        let (running, instruments) = (Running::default(), metric::Instruments::of(strongroom.metrics()));
        Self {
            strongroom,
            identity,
            limits,
            budget,
            running,
            instruments,
            moves: sys::Moves::default(),
            log: None,
            prometheus: true,
            listeners: Value::Array(Vec::new()),
        }
    }

    /// The default and the longest life of a token, in seconds, where no mount says otherwise.
    pub(super) fn system_ttls(&self) -> (u64, u64) {
        let settings = self.strongroom.settings();
        (settings.default_lease_ttl.secs(), settings.max_lease_ttl.secs())
    }

    /// Serves one request, whatever it is.
    pub(crate) async fn serve(&self, request: Request<Incoming>, door: Door) -> Response<Full<Body>> {
        let (parts, body) = request.into_parts();
        let crossing = Crossing::of(&parts, self.strongroom.open().ok().map(|open| open.settings.cors.current()));
        if let Crossing::Answered(response) = crossing {
            return *response;
        }
        let folder = folder::meant(&parts);
        let mut limit = Limit::default();
        let begun = request::begin(parts, door, &self.strongroom, |visit| limit.take(&self.strongroom, visit));
        let mut response = match begun {
            Ok(begun) => self.serve_begun(begun, body, door).await,
            Err(malformed) if limit.refused_silently() => answer::error_as(&malformed.error, malformed.status),
            Err(malformed) => {
                let empty = matches!(malformed.error, CoreError::Path(PathError::EmptySegment));
                let refused = self.refuse_malformed(*malformed).await;
                // What could not be recorded is not answered in another way.
                let folder = folder.filter(|_| empty && refused.status() == StatusCode::BAD_REQUEST);
                folder.map_or(refused, |folder| folder::sent_to(*folder))
            }
        };
        limit.mark(&mut response);
        crossing.mark(&mut response);
        response
    }

    async fn serve_begun(&self, begun: Box<Begun>, body: Incoming, door: Door) -> Response<Full<Body>> {
        let (arrived, operation) = (begun.visit.arrived, begun.visit.operation);
        let _present = self.running.enter(&begun.visit, begun.method());
        let response = match begun.complete(body, &self.limits, &self.budget, &self.instruments.body_bytes).await {
            Ok(parsed) => self.serve_parsed(parsed, door).await,
            Err(malformed) => self.refuse_malformed(*malformed).await,
        };
        self.note_request(operation, response.status(), self.strongroom.clock().now().since(arrived));
        response
    }

    async fn serve_parsed(&self, parsed: Box<Parsed>, door: Door) -> Response<Full<Body>> {
        if door.unauthenticated_metrics && parsed.visit.path.as_str() == metric::PATH {
            return self.serve_metrics(parsed).await;
        }
        if let Some((line, captures)) = public::find(&parsed) {
            return public::serve(self, line, captures, parsed).await;
        }
        match self.strongroom.state() {
            State::Open(open) => self.serve_open(&open, parsed).await,
            State::Sealed(_) => self.refuse(&parsed, CoreError::Sealed).await,
            State::Uninitialised(_) => self.refuse(&parsed, CoreError::Uninitialised).await,
        }
    }

    async fn serve_open(&self, open: &Open, mut parsed: Box<Parsed>) -> Response<Full<Body>> {
        if parsed.help
            && let Some((mount, below)) = open.mounts.table().resolve(&parsed.visit.path)
            && below.is_empty()
            && parsed.visit.namespace.is_root()
        {
            return boxed(|| self.help_on_mount(open, parsed, mount)).await;
        }
        match self.locate(open, &mut parsed).await {
            // Whoever throws the answer away must not have made or used up anything by asking.
            // The gate would use up a wrapping token.
            Ok(_) if parsed.head && parsed.visit.path.as_str() == "cubbyhole/response" => {
                self.refuse(&parsed, CoreError::Unsupported).await
            }
            Ok((target, _)) if parsed.head && !target.is_read_without_effect() => {
                boxed(|| self.lead_nowhere(open, parsed, CoreError::Unsupported)).await
            }
            Ok((target, object)) => self.serve_located(open, parsed, target, object).await,
            Err(error) => boxed(|| self.lead_nowhere(open, parsed, error)).await,
        }
    }

    /// The straight way: the gate, the act, the entry in the trail, the answer.
    ///
    /// What few requests need is boxed where it is called: else every request would carry, and move, room for it.
    async fn serve_located(
        &self,
        open: &Open,
        parsed: Box<Parsed>,
        target: Target,
        object: Object,
    ) -> Response<Full<Body>> {
        let Parsed { visit, credential, fields, head, help, memory: _memory, upload } = *parsed;
        let request = visit.request;
        let mount = Arc::clone(&target.mount);
        // Help needs a token, whatever the token may do: without one it would tell strangers what is mounted.
        let access = match (help, &credential) {
            (false, _) => target.found.endpoint().access,
            (true, Some(_)) => Access::Optional,
            (true, None) => Access::Token,
        };
        let (arrived, operation) = (visit.arrived, visit.operation);
        let now = || self.strongroom.clock().now();
        let ask = Ask { visit, credential, mount: Some(Arc::clone(&mount)), access, object };
        let asked = now();
        let grant = match open.gate.admit(ask, &fields).await {
            Ok(grant) => grant,
            Err(error) => {
                self.note_unrecorded(&error);
                return answer::error(&error);
            }
        };
        self.note_check(now().since(asked), grant.intent_took());
        let after = route::After::default();
        let result = match help {
            true => may_ask_for_help(&grant, &mount),
            false => self.act_and_wrap(open, &grant, &target, &fields, (&after, &upload)).await,
        };
        let path = grant.visit().path.clone();
        let recording = now();
        let outcome = open.gate.conclude_at(recording, grant, &fields, &result).await;
        let recorded = now();
        self.note_recording(recorded.since(recording), outcome.is_ok());
        let is_login = target.found.endpoint().access == Access::Open && mount.class == MountClass::Auth;
        self.note_route(operation, mount.path.as_str(), is_login, recorded.since(arrived));
        let done = match outcome {
            Ok(()) => {
                let auth = result.as_ref().ok().and_then(|reply| reply.auth.as_ref());
                auth.filter(|auth| auth.made).into_iter().for_each(|auth| self.note_token(&mount, auth));
                if let (Found::Engine(..), Ok(Reply { lease: Some(lease), .. })) = (&target.found, &result) {
                    self.note_lease(&mount, lease);
                }
                match after.into_order() {
                    Some(order) => boxed(|| self.carry_out(open, order)).await,
                    None => Ok(()),
                }
            }
            Err(error) => Err(error),
        };
        match done {
            Ok(()) if help && result.is_ok() => answer::help(target.found.endpoint(), &mount),
            Ok(()) => answer::result(result, request, &mount, &path, head),
            Err(error) => answer::error(&error),
        }
    }

    /// Which paths a mount has, for who asks for help at its top and has anything to do with it.
    async fn help_on_mount(&self, open: &Open, parsed: Box<Parsed>, mount: Arc<Mount>) -> Response<Full<Body>> {
        let Parsed { visit, credential, fields, memory: _memory, .. } = *parsed;
        let access = if credential.is_some() { Access::Optional } else { Access::Token };
        let object = Object::Path { exists: None };
        let ask = Ask { visit, credential, mount: Some(Arc::clone(&mount)), access, object };
        let grant = match open.gate.admit(ask, &fields).await {
            Ok(grant) => grant,
            Err(error) => return answer::error(&error),
        };
        let result = may_ask_for_help(&grant, &mount);
        match open.gate.conclude(grant, &fields, &result).await.and(result) {
            Ok(_) => answer::mount_help(&mount, &endpoints(open, &mount)),
            Err(error) => answer::error(&error),
        }
    }

    /// What an endpoint put off until its request was recorded.
    async fn carry_out(&self, open: &Open, order: route::Order) -> Result<(), CoreError> {
        match order {
            route::Order::Seal(order) => self.strongroom.seal(order).await,
            route::Order::Shares(order) => {
                let done = open.rekeying.carry_out(order).await;
                if let Err(error) = &done {
                    tracing::error!(%error, "new unseal keys could not be put in force, and were shown to nobody; the old ones stay");
                }
                done
            }
            route::Order::Restore(order) => {
                let done = self.strongroom.restore(*order).await;
                if let Err(error) = &done {
                    tracing::error!(%error, "a snapshot could not be restored");
                }
                done
            }
        }
    }

    /// A path without an endpoint passes the gate as any other, so that who may not know what is mounted gets the same
    /// answer for what is there and what is not (CVE-2020-25594).
    async fn lead_nowhere(&self, open: &Open, parsed: Box<Parsed>, error: CoreError) -> Response<Full<Body>> {
        let Parsed { visit, credential, fields, memory: _memory, .. } = *parsed;
        let mount = open.mounts.table().resolve(&visit.path).map(|(mount, _)| mount);
        let (request, operation) = (visit.request, visit.operation);
        let astray = mount.as_ref().is_some_and(|mount| mount.is_versioned_kv()) && matches!(error, CoreError::Nothing);
        let ask = Ask { visit, credential, mount, access: Access::Token, object: Object::Path { exists: None } };
        let grant = match open.gate.admit(ask, &fields).await {
            Ok(grant) => grant,
            Err(error) => return answer::error(&error),
        };
        let result = Err(error);
        match open.gate.conclude(grant, &fields, &result).await.and(result.map(|_| ())) {
            Ok(()) => answer::no_content(),
            Err(CoreError::Nothing) if astray => answer::astray_in_kv(request, operation),
            Err(error) => answer::error(&error),
        }
    }

    /// Does what was granted, and puts the answer away where its caller wants that.
    async fn act_and_wrap(
        &self,
        open: &Open,
        grant: &Grant,
        target: &Target,
        fields: &Fields,
        late: (&route::After, &route::Upload),
    ) -> Result<Reply, CoreError> {
        let reply = self.act(open, grant, target, fields, late).await?;
        let (mount, visit) = (&target.mount, grant.visit());
        let place = (table_kind(mount), target.found.endpoint().pattern);
        let reply = field::warn(reply, place, visit.operation, fields);
        if !Wrapping::is_due(grant, &reply) {
            return Ok(reply);
        }
        let render = |reply: &Reply| answer::rendered(reply, visit.request, mount, &visit.path);
        boxed(|| open.wrapping.wrap(grant, reply, render)).await
    }

    async fn act(
        &self,
        open: &Open,
        grant: &Grant,
        target: &Target,
        fields: &Fields,
        (after, upload): (&route::After, &route::Upload),
    ) -> Result<Reply, CoreError> {
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
                    after,
                    upload,
                })
                .await
            }
            Found::Method(endpoint, _) => {
                boxed(|| open.logins.call(grant, endpoint, target.captures.clone(), operation, fields)).await
            }
            Found::Engine(endpoint, _) => {
                boxed(|| open.leases.serve(grant, endpoint, target.captures.clone(), operation, fields)).await
            }
        }
    }

    /// From a path to its mount, its endpoint, and the object that the gate decides on.
    async fn locate(&self, open: &Open, parsed: &mut Parsed) -> Result<(Target, Object), CoreError> {
        let visit = &mut parsed.visit;
        if !visit.namespace.is_root() {
            return Err(foreign(&visit.namespace));
        }
        let no_route = || CoreError::NoRoute(visit.path.to_string());
        let (mount, below) = open.mounts.table().resolve(&visit.path).ok_or_else(no_route)?;
        let (found, mut captures) = find(open, &mount, below).ok_or_else(|| match mount.class {
            MountClass::Secret if mount.kind == "kv" => CoreError::Nothing,
            _ => CoreError::NotFound(format!("unsupported path \"{}\"", visit.path)),
        })?;
        if found.respell(open, &mut captures) {
            spelling::rewrite(visit, &mount, &found, &captures)?;
        }
        if parsed.help {
            // Asked by GET, also of what cannot be read; it acts on nothing.
            return Ok((Target { mount, found, captures }, Object::Path { exists: None }));
        }
        if !found.endpoint().operations.contains(&visit.operation) {
            return Err(CoreError::Unsupported);
        }
        let object = match &found {
            Found::Ours(line) => (line.object)(&captures, visit.operation)?,
            plugin
                if visit.operation == Operation::Write
                    && plugin.endpoint().access != Access::Open
                    && parsed.credential.is_some() =>
            {
                Object::Path { exists: plugin.exists(&captures).await? }
            }
            _ => Object::Path { exists: None },
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

    /// Records a request that was no HTTP; the HTTP library has answered it already.
    pub(crate) async fn note_unreadable(&self, door: Door) {
        let visit = request::visit_without_request(door.source(), &self.strongroom);
        let error = CoreError::Invalid("the request is not HTTP, or its head is too large".to_owned());
        let result: Result<(), CoreError> = Err(error);
        if let Err(error) = self.strongroom.note(&visit, request::word(visit.operation), &result).await {
            tracing::error!(%error, "an unreadable request could not be recorded");
        }
    }

    /// Refuses a request that its listener does not take, whatever it asks for.
    pub(crate) async fn refuse_at_door(
        &self,
        request: Request<Incoming>,
        door: Door,
        why: String,
    ) -> Response<Full<Body>> {
        let visit = request::blank_visit(&request.into_parts().0, door.source(), &self.strongroom);
        let (error, status) = (CoreError::Invalid(why), StatusCode::BAD_REQUEST);
        self.refuse_malformed(Malformed { visit, error, status }).await
    }

    async fn refuse_malformed(&self, malformed: Malformed) -> Response<Full<Body>> {
        let Malformed { visit, error, status } = malformed;
        let result: Result<(), CoreError> = Err(error);
        match (self.strongroom.note(&visit, request::word(visit.operation), &result).await, result) {
            (Err(unrecorded), _) => answer::error(&unrecorded),
            (Ok(()), Err(error)) => answer::error_as(&error, status),
            (Ok(()), Ok(())) => answer::no_content(),
        }
    }
}

/// Acting in the root namespace instead, as Vault's community edition does, would be acting elsewhere than asked for.
pub(crate) fn foreign(namespace: &NamespacePath) -> CoreError {
    CoreError::Invalid(format!(
        "no namespace \"{namespace}\": namespaces are not there yet, this version has the root namespace only; leave out the \
         header X-Vault-Namespace (VAULT_NAMESPACE, `-namespace`)"
    ))
}

/// Help on a mount is for who has anything to do with it.
fn may_ask_for_help(grant: &Grant, mount: &Mount) -> Result<Reply, CoreError> {
    match grant.acl() {
        Some(acl) if acl.touches(mount.path.as_str()) => Ok(Reply::empty()),
        _ => Err(CoreError::Denied),
    }
}

/// The kind of a mount, with the two versions of KV told apart.
fn table_kind(mount: &Mount) -> &str {
    match mount.kind.as_str() {
        "kv" if mount.is_versioned_kv() => "kv2",
        kind => kind,
    }
}

/// The table of a mount, by its kind.
fn table(mount: &Mount) -> &'static [route::Route] {
    match mount.kind.as_str() {
        "system" => sys::ROUTES,
        "token" => token::ROUTES,
        "identity" => identity::ROUTES,
        "cubbyhole" => cubbyhole::ROUTES,
        "kv" if mount.is_versioned_kv() => kv2::ROUTES,
        "kv" => kv1::ROUTES,
        _ => &[],
    }
}

fn find(open: &Open, mount: &Mount, below: &str) -> Option<(Found, Captures)> {
    if let Some((line, captures)) = route(table(mount), below) {
        return Some((Found::Ours(line), captures));
    }
    let mounts = open.mounts.table();
    if let Some(engine) = mounts.engine(mount.id) {
        let (endpoint, captures) = route(engine.endpoints(), below)?;
        return Some((Found::Engine(endpoint, engine), captures));
    }
    let method = mounts.method(mount.id)?;
    let (endpoint, captures) = route(method.endpoints(), below)?;
    Some((Found::Method(endpoint, method), captures))
}

/// All endpoints below a mount.
fn endpoints(open: &Open, mount: &Mount) -> Vec<&'static Endpoint> {
    let mounts = open.mounts.table();
    let of_plugin = match (mounts.engine(mount.id), mounts.method(mount.id)) {
        (Some(engine), _) => engine.endpoints(),
        (None, Some(method)) => method.endpoints(),
        (None, None) => &[],
    };
    table(mount).iter().map(|line| &line.endpoint).chain(of_plugin).collect()
}

/// Whether policies must give `sudo` for the path, where this server keeps it for operators: for clients that say what a
/// request needs.
pub fn needs_sudo(path: &str) -> bool {
    let line = match path.strip_prefix("sys/") {
        Some(below) => route(sys::ROUTES, below),
        None => path.strip_prefix("auth/token/").and_then(|below| route(token::ROUTES, below)),
    };
    line.is_some_and(|(line, _)| line.endpoint.access == Access::Sudo)
}

/// What is known of the bodies of endpoints, as (mount kind, pattern, names): for the test that each is an endpoint.
pub fn walk_fields() -> Vec<(&'static str, &'static str, &'static [&'static str])> {
    let lines = field::KNOWN.iter();
    lines.flat_map(|(kind, patterns, names)| patterns.iter().map(move |pattern| (*kind, *pattern, *names))).collect()
}

/// Every route of this dialect's own tables, as (mount kind, endpoint): for the test that walks them without
/// credentials, and for documents.
pub fn walk_routes() -> Vec<(&'static str, &'static Endpoint)> {
    let tables: [(&str, &'static [route::Route]); 6] = [
        ("system", sys::ROUTES),
        ("token", token::ROUTES),
        ("identity", identity::ROUTES),
        ("cubbyhole", cubbyhole::ROUTES),
        ("kv2", kv2::ROUTES),
        ("kv1", kv1::ROUTES),
    ];
    let lines =
        |(kind, table): (&'static str, &'static [route::Route])| table.iter().map(move |line| (kind, &line.endpoint));
    let ours = tables.into_iter().flat_map(lines);
    ours.chain(public::ROUTES.iter().map(|line| ("public", &line.endpoint))).collect()
}
