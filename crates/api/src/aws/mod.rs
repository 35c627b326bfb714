//! The AWS dialect: Secrets Manager, Parameter Store and STS, on the same port as the others, for unmodified clients.
//!
//! All three post to `/`. The header `X-Amz-Target` (JSON 1.1) or the parameter `Action` (the query protocol) names the
//! operation, a line of the service's table; a name that is in no table does not exist. Requests are signed, not
//! accompanied by a token: `sigv4` reads what was signed, the core says whether it was, and the gate decides as for any
//! door, on the path that the secret has in KV version 2. What cannot be served is refused in AWS's words, and recorded.

mod arn;
mod input;
mod operation;
mod parameter;
mod refusal;
mod secrets;
mod setting;
mod sigv4;
mod sts;
mod wire;

pub(crate) use operation::Operation;
pub use parameter::PlainCredentials;
pub use setting::AwsSettings;

use crate::body::{self, Budget, Held};
use crate::listener::Limits;
use crate::server::Door;
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::http::{Method, header, request::Parts};
use hyper::{Request, Response};
use operation::{Asked, Place, Service, Tour};
use refusal::Refusal;
use sigv4::Signed;
use std::sync::Arc;
use strongroom_core::access_key::{Claim, KeyRefusal, Proof, VerifiedKey};
use strongroom_core::tool::Digest;
use strongroom_core::{CoreError, Fields, Open, Strongroom, Visit};
use strongroom_model::{NamespacePath, RequestPath};
use tokio::time::timeout;

/// The dialect over one strongroom.
pub(crate) struct Aws {
    strongroom: Arc<Strongroom>,
    /// How it is served.
    pub(crate) settings: AwsSettings,
    limits: Limits,
    budget: Budget,
}

/// A request that names a service and an operation of it.
struct Named {
    service: Service,
    name: String,
    signed: Result<Signed, sigv4::Flaw>,
    visit: Visit,
    parts: Parts,
}

/// Every operation that is served, as (service, name): for documents, and for the test that calls each without and with
/// foreign credentials.
pub fn walk_operations() -> Vec<(&'static str, &'static str)> {
    let of = |service: Service| service.table().iter().map(move |line: &Operation| (service.target(), line.name));
    [Service::Secrets, Service::Parameters, Service::Sts].into_iter().flat_map(of).collect()
}

impl Aws {
    pub(crate) fn new(strongroom: Arc<Strongroom>, settings: AwsSettings, limits: Limits, budget: Budget) -> Self {
        Self { strongroom, settings, limits, budget }
    }

    /// Whether a request is for this dialect. Nothing else is served at `/`.
    pub(crate) fn claims(request: &Request<Incoming>) -> bool {
        if request.uri().path() != "/" {
            return false;
        }
        let headers = request.headers();
        let text = |name| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let query = request.uri().query().unwrap_or_default();
        headers.contains_key("x-amz-target")
            || text(header::AUTHORIZATION).starts_with("AWS4-")
            || query.split('&').any(|pair| pair.starts_with("Action=") || pair.starts_with("X-Amz-"))
            || (request.method() == Method::POST && text(header::CONTENT_TYPE).starts_with(wire::FORM))
    }

    /// Serves one request.
    pub(crate) async fn serve(&self, request: Request<Incoming>, door: Door) -> Response<Full<Bytes>> {
        let (parts, body) = request.into_parts();
        let signed = sigv4::read(&parts);
        let region = signed.as_ref().map_or(self.settings.default_region.as_str(), Signed::region);
        let service = target(&parts).and_then(|(prefix, _)| Service::of_target(prefix));
        let visit = self.visit(&door, region, service);
        let (id, is_query) = (visit.request, !parts.headers.contains_key("x-amz-target"));
        if let Err(refusal) = self.within_limits(&visit).await {
            return wire::refusal(&refusal, is_query, id);
        }
        let held = match self.body(body).await {
            Ok(held) => held,
            Err(error) => return self.refuse(&visit, "", is_query, error.into()).await,
        };
        let (named, fields) = match name(parts, signed, visit, held) {
            Ok(named) => named,
            Err(unnamed) => return self.refuse(&unnamed.0, "", is_query, unnamed.1).await,
        };
        self.serve_named(named, fields).await
    }

    async fn serve_named(&self, named: Named, mut fields: Parsed) -> Response<Full<Bytes>> {
        let (id, service) = (named.visit.request, named.service);
        let is_query = service == Service::Sts;
        let Some(line) = service.table().iter().find(|line| line.name == named.name) else {
            let refusal = Refusal::unknown_operation(service);
            return self.refuse(&named.visit, "", is_query, refusal).await;
        };
        let open = match self.strongroom.open() {
            Ok(open) => open,
            Err(error) => return self.refuse(&named.visit, line.name, is_query, error.into()).await,
        };
        let key = match self.prove(&open, &named, &fields).await {
            Ok(key) => Some(key),
            Err(Unproved::Unsigned(_)) if line.is_unsigned() => None,
            Err(Unproved::Unsigned(refusal) | Unproved::Refused(refusal)) => {
                let visit = self.visit_of(line, &named, &fields.fields);
                return self.refuse(&visit, line.name, is_query, refusal).await;
            }
        };
        let region = named.signed.as_ref().map_or(self.settings.default_region.as_str(), Signed::region);
        fields.held = None;
        if service == Service::Parameters && self.settings.makes_parameter_mount && key.is_some() {
            let made = open.mount_dev_parameters().await;
            if let Err(error) = made {
                return self.refuse(&named.visit, line.name, is_query, error.into()).await;
            }
        }
        let tour = Tour {
            settings: &self.settings,
            strongroom: &self.strongroom,
            open: &open,
            key: key.as_ref(),
            visit: &named.visit,
            region,
            fields: &fields.fields,
            service,
        };
        match tour.run(line).await {
            Ok(reply) => wire::answer(reply, line, service, id),
            Err(refusal) => wire::refusal(&refusal, is_query, id),
        }
    }

    /// The visit of a request that will be refused: the path of what it is about, when it can be told.
    fn visit_of(&self, line: &Operation, named: &Named, fields: &Fields) -> Visit {
        let mut visit = named.visit.clone();
        if let Some(Asked { operation, place: Place::Secret { path, act } }) = line.look(fields, &self.settings)
            && let Ok(path) = RequestPath::parse(&format!("{}/{}/{path}", visit.path, act.section()))
        {
            (visit.operation, visit.path) = (operation, path);
        }
        visit
    }

    /// Sees whether the request was signed with a key of ours, for this service, just now.
    async fn prove(&self, open: &Open, named: &Named, sent: &Parsed) -> Result<VerifiedKey, Unproved> {
        let signed = match &named.signed {
            Ok(signed) => signed,
            Err(flaw) => return Err(Unproved::of(*flaw, named.service)),
        };
        let refused = |refusal| Err(Unproved::Refused(refusal));
        if let Err(late) = signed.check_time(self.strongroom.clock().now(), self.settings.clock_skew) {
            return refused(Refusal::skewed(named.service, late));
        }
        if signed.service() != named.service.signing_name() {
            return refused(Refusal::wrong_scope(named.service));
        }
        let body_hash = Hash::of(sent.held.as_ref().map_or(&[], Held::bytes));
        if !sigv4::declared_hash_fits(&named.parts, body_hash.text()) {
            return refused(Refusal::signature(named.service));
        }
        let canonical = signed.canonical(&named.parts, body_hash.text());
        let string_to_sign = signed.string_to_sign(Hash::of(canonical.as_bytes()).text());
        let claim = Claim {
            key: signed.key(),
            session_token: signed.session_token.as_ref(),
            date: signed.date(),
            region: signed.region(),
            service: signed.service(),
            string_to_sign: &string_to_sign,
            signature: &signed.signature,
        };
        match open.access_keys.verify(&claim, &named.visit.source).await {
            Ok(Proof::Genuine(key)) => Ok(key),
            Ok(Proof::Refused(KeyRefusal::Unknown)) => refused(Refusal::unknown_key(named.service)),
            Ok(Proof::Refused(KeyRefusal::Expired)) => refused(Refusal::expired(named.service)),
            Ok(Proof::Refused(KeyRefusal::Signature)) => refused(Refusal::signature(named.service)),
            Ok(Proof::Refused(KeyRefusal::Network)) => refused(Refusal::network(named.service)),
            Err(error) => refused(error.into()),
        }
    }

    /// Counts the request against the rules for the mount that its region stands for, before its body is read.
    async fn within_limits(&self, visit: &Visit) -> Result<(), Refusal> {
        let Ok(open) = self.strongroom.open() else { return Ok(()) };
        let verdict = open.quotas.count(&visit.path, &visit.source, visit.arrived);
        let Some(verdict) = verdict.filter(|verdict| !verdict.allowed) else { return Ok(()) };
        let labels = vec![("name", verdict.rule.clone())];
        self.strongroom.metrics().counter("vault.quota.rate_limit.violation", labels).add(1);
        let limited = || CoreError::Limited("Rate exceeded".to_owned());
        if open.quotas.config.current().audit_logging {
            let result: Result<(), CoreError> = Err(limited());
            self.strongroom.note(visit, "request", &result).await?;
        }
        Err(limited().into())
    }

    async fn body(&self, body: Incoming) -> Result<Held, CoreError> {
        let reading = timeout(self.limits.request, body::read(body, self.limits.body_bytes, &self.budget)).await;
        reading.unwrap_or_else(|_| Err(CoreError::Invalid("the request body took too long to arrive".to_owned())))
    }

    /// Refuses a request that reached no gate; the refusal is in the trail before the answer leaves.
    async fn refuse(&self, visit: &Visit, action: &str, is_query: bool, refusal: Refusal) -> Response<Full<Bytes>> {
        let (answer, cause) = refusal.split();
        let result: Result<(), CoreError> = Err(cause);
        let action = if action.is_empty() { "unknown" } else { action };
        match self.strongroom.note(visit, action.to_owned(), &result).await {
            Ok(()) => wire::refused(&answer, is_query, visit.request),
            Err(error) => wire::refusal(&error.into(), is_query, visit.request),
        }
    }

    fn visit(&self, door: &Door, region: &str, service: Option<Service>) -> Visit {
        let mount = self.settings.mount_of(region, service).unwrap_or_else(|| self.settings.default_mount());
        Visit {
            request: self.strongroom.name_request(),
            arrived: self.strongroom.clock().now(),
            dialect: "aws",
            operation: strongroom_core::Operation::Read,
            namespace: NamespacePath::root(),
            path: mount,
            typed: None,
            source: door.source(),
            headers: std::collections::BTreeMap::new(),
            wrap_ttl: None,
        }
    }
}

/// A SHA-256 in hexadecimal.
struct Hash([u8; 64]);

impl Hash {
    fn of(bytes: &[u8]) -> Self {
        let mut text = [0; 64];
        // As long as it must be, so this cannot fail; a hash of zeros would fit nothing.
        let _ = hex::encode_to_slice(Digest::SHA2_256.sum(bytes), &mut text);
        Self(text)
    }

    fn text(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

/// Why no key was proved.
enum Unproved {
    /// There is no signature at all.
    Unsigned(Refusal),
    /// There is one, and it is not good.
    Refused(Refusal),
}

impl Unproved {
    fn of(flaw: sigv4::Flaw, service: Service) -> Self {
        match flaw {
            sigv4::Flaw::Missing => Self::Unsigned(Refusal::unsigned(service)),
            sigv4::Flaw::Incomplete(what) => Self::Refused(Refusal::incomplete(service, what)),
        }
    }
}

/// The parameters, and the bytes they were read from as long as the signature is not checked.
struct Parsed {
    fields: Fields,
    held: Option<Held>,
}

/// What the target of a JSON request says: the service and the operation.
fn target(parts: &Parts) -> Option<(&str, &str)> {
    parts.headers.get("x-amz-target")?.to_str().ok()?.split_once('.')
}

/// Finds service and operation, and reads the parameters.
#[allow(clippy::result_large_err, reason = "moved once, on its way to a refusal")]
fn name(
    parts: Parts,
    signed: Result<Signed, sigv4::Flaw>,
    visit: Visit,
    mut held: Held,
) -> Result<(Named, Parsed), (Visit, Refusal)> {
    let read = match target(&parts) {
        Some((prefix, name)) => match Service::of_target(prefix) {
            Some(service) => wire::json(&mut held).map(|fields| (service, name.to_owned(), fields)),
            None => Err(Refusal::unknown_operation(Service::Secrets)),
        },
        None => wire::query(&parts, &held).map(|(name, fields)| (Service::Sts, name, fields)),
    };
    match read {
        Ok((service, name, fields)) => {
            Ok((Named { service, name, signed, visit, parts }, Parsed { fields, held: Some(held) }))
        }
        Err(refusal) => Err((visit, refusal)),
    }
}
