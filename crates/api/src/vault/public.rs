//! The endpoints that answer in every state of the server and to anybody: initialise, unseal, status, health, leader.
//! Their answers have no envelope.

use super::answer::{self, Body};
use super::ceremony::{pgp_is_refused, shares_and_threshold};
use super::request::{self, Parsed};
use super::{Vault, status};
use http_body_util::Full;
use hyper::Response;
use hyper::http::StatusCode;
use serde_json::{Value, json};
use std::future::Future;
use std::pin::Pin;
use strongroom_core::{
    Access, Captures, CoreError, Endpoint, Fields, Init, Operation, SealStatus, Share, SlotSpec, State, route,
};

/// A status and a body without envelope.
struct Raw(StatusCode, Value);

type RawAnswer<'a> = Pin<Box<dyn Future<Output = Result<Raw, CoreError>> + Send + 'a>>;

/// One line of the table of public endpoints.
pub(super) struct PublicRoute {
    pub(super) endpoint: Endpoint,
    handler: for<'a> fn(&'a Vault, &'a Fields, Operation) -> RawAnswer<'a>,
}

impl AsRef<Endpoint> for PublicRoute {
    fn as_ref(&self) -> &Endpoint {
        &self.endpoint
    }
}

macro_rules! public {
    ($pattern:literal, $operations:expr, $handler:ident, $help:literal) => {
        PublicRoute {
            endpoint: Endpoint { pattern: $pattern, operations: &$operations, access: Access::Open, help: $help },
            handler: |vault, fields, operation| strongroom_core::boxed(|| $handler(vault, fields, operation)),
        }
    };
}

use Operation::{Read, Write};

/// What anybody may ask in every state.
pub(super) const ROUTES: &[PublicRoute] = &[
    public!("sys/init", [Read, Write], init, "Tells whether the server is initialised, or initialises it."),
    public!(
        "sys/seal-status",
        [Read],
        seal_status,
        "Tells whether the server is sealed, and how far unsealing has come."
    ),
    public!("sys/unseal", [Write], unseal, "Takes one unseal key, or forgets those handed in so far."),
    public!("sys/health", [Read], health, "Tells the state of the server by its status code."),
    public!("sys/leader", [Read], leader, "Tells which node serves."),
];

/// The line for a request in the root namespace, if it is a public one.
pub(super) fn find(parsed: &Parsed) -> Option<(&'static PublicRoute, Captures)> {
    let (line, captures) = route(ROUTES, parsed.visit.path.as_str())?;
    parsed.visit.namespace.is_root().then_some((line, captures))
}

/// Serves it, and records it. A change is recorded before it is made: whoever cannot be recorded gets no keys.
pub(super) async fn serve(
    vault: &Vault,
    line: &'static PublicRoute,
    _: Captures,
    parsed: Box<Parsed>,
) -> Response<Full<Body>> {
    let operation = parsed.visit.operation;
    if !line.endpoint.operations.contains(&operation) {
        return vault.refuse(&parsed, CoreError::Unsupported).await;
    }
    if operation == Operation::Write
        && let Err(error) = vault.strongroom.note_intent(&parsed.visit, request::word(operation)).await
    {
        return answer::error(&error);
    }
    let result = (line.handler)(vault, &parsed.fields, operation).await;
    let noted = vault.strongroom.note(&parsed.visit, request::word(operation), &result).await;
    if line.endpoint.pattern == "sys/init"
        && result.is_ok()
        && let Err(error) = vault.strongroom.settle_init(noted.is_ok()).await
    {
        return answer::error(&error);
    }
    match (result, noted) {
        (Ok(Raw(code, body)), Ok(())) => answer::json_body(code, &body, parsed.head),
        // Health must be able to say that the trail cannot be written.
        (Ok(Raw(code, body)), Err(_)) if line.endpoint.pattern == "sys/health" => {
            answer::json_body(code, &body, parsed.head)
        }
        (Err(error), _) | (_, Err(error)) => answer::error_as(&error, status::code(&error)),
    }
}

async fn init(vault: &Vault, fields: &Fields, operation: Operation) -> Result<Raw, CoreError> {
    if operation == Operation::Read {
        let initialized = !matches!(vault.strongroom.state(), State::Uninitialised(_));
        return Ok(Raw(StatusCode::OK, json!({ "initialized": initialized })));
    }
    let made = vault.strongroom.init(init_request(fields)?).await?;
    let hex: Vec<String> = made.shares.iter().map(Share::to_hex).collect();
    let base64: Vec<String> = made.shares.iter().map(Share::to_base64).collect();
    let body = json!({ "keys": hex, "keys_base64": base64, "root_token": made.root.client_token.expose() });
    Ok(Raw(StatusCode::OK, body))
}

fn init_request(fields: &Fields) -> Result<Init, CoreError> {
    pgp_is_refused(fields, &["pgp_keys", "root_token_pgp_key", "recovery_pgp_keys"])?;
    for name in ["recovery_shares", "recovery_threshold"] {
        if fields.count(name)?.is_some_and(|count| count > 0) {
            return Err(CoreError::Invalid(format!(
                "parameters {name} not applicable: there are no recovery keys here; set secret_shares and secret_threshold"
            )));
        }
    }
    let (shares, threshold) = shares_and_threshold(fields)?;
    Ok(Init { slots: vec![SlotSpec::Shamir { shares, threshold }] })
}

async fn seal_status(vault: &Vault, _: &Fields, _: Operation) -> Result<Raw, CoreError> {
    Ok(Raw(StatusCode::OK, status_body(vault)))
}

async fn unseal(vault: &Vault, fields: &Fields, _: Operation) -> Result<Raw, CoreError> {
    if fields.flag("reset")?.unwrap_or(false) {
        vault.strongroom.reset_unseal();
        return Ok(Raw(StatusCode::OK, status_body(vault)));
    }
    if fields.flag("migrate")?.unwrap_or(false) {
        return Err(CoreError::Invalid("seal migration is not available in this version".to_owned()));
    }
    if matches!(vault.strongroom.state(), State::Open(_)) {
        return Ok(Raw(StatusCode::OK, status_body(vault)));
    }
    let key = fields.secret("key")?.ok_or_else(|| {
        CoreError::Invalid("'key' must be specified in request body as JSON, or 'reset' set to true".to_owned())
    })?;
    let share = Share::parse(key.expose()).map_err(|error| CoreError::Invalid(error.to_string()))?;
    vault.strongroom.unseal(share).await?;
    Ok(Raw(StatusCode::OK, status_body(vault)))
}

/// What `sys/seal-status` and `sys/unseal` answer. `recovery_seal` is false beside a key file, too, other than in Vault:
/// the shares are those of an unseal key, and clients would ask for recovery keys, which there are none of.
fn status_body(vault: &Vault) -> Value {
    let mut body = json!({
        "type": vault.strongroom.seal_kind(), "initialized": true, "sealed": true, "t": 0, "n": 0, "progress": 0, "nonce": "",
        "version": vault.identity.version, "build_date": vault.identity.build_date, "migration": false,
        "recovery_seal": false, "storage_type": vault.identity.storage,
    });
    let Some(map) = body.as_object_mut() else { return body };
    let mut show = |status: &SealStatus, sealed: bool| {
        map.insert("sealed".into(), json!(sealed));
        map.insert("t".into(), json!(status.threshold));
        map.insert("n".into(), json!(status.shares));
        map.insert("progress".into(), json!(status.progress));
        map.insert("nonce".into(), json!(status.nonce));
    };
    match vault.strongroom.state() {
        State::Uninitialised(_) => {
            map.insert("initialized".into(), json!(false));
        }
        State::Sealed(sealed) => show(&sealed.status(), true),
        State::Open(open) => {
            let status = open.seal_status();
            show(&status, false);
            map.insert("cluster_name".into(), json!(vault.identity.cluster_name));
            map.insert("cluster_id".into(), json!(status.cluster_id));
        }
    }
    body
}

async fn health(vault: &Vault, fields: &Fields, _: Operation) -> Result<Raw, CoreError> {
    let state = vault.strongroom.state();
    let trail = vault.strongroom.trail_health();
    let (initialized, sealed) = match &state {
        State::Uninitialised(_) => (false, true),
        State::Sealed(_) => (true, true),
        State::Open(_) => (true, false),
    };
    let writable = match &state {
        State::Open(open) => open.health().writable,
        _ => true,
    };
    let code = match (&state, trail.writable && writable) {
        (State::Uninitialised(_), _) => chosen(fields, "uninitcode", 501)?,
        (State::Sealed(_), _) => chosen(fields, "sealedcode", 503)?,
        (State::Open(_), true) => chosen(fields, "activecode", 200)?,
        (State::Open(_), false) => StatusCode::SERVICE_UNAVAILABLE,
    };
    let mut body = json!({
        "initialized": initialized, "sealed": sealed, "standby": sealed, "performance_standby": false,
        "replication_performance_mode": "disabled", "replication_dr_mode": "disabled",
        "server_time_utc": vault.strongroom.clock().now().secs(), "version": vault.identity.version,
        "enterprise": false, "trail_writable": trail.writable, "trail_intact": trail.error.is_none(),
        "storage_writable": writable,
    });
    if let (Some(map), State::Open(open)) = (body.as_object_mut(), &state) {
        map.insert("cluster_name".into(), json!(vault.identity.cluster_name));
        map.insert("cluster_id".into(), json!(open.seal_status().cluster_id));
    }
    Ok(Raw(code, body))
}

/// The status code that the caller wants for a state, if it is one.
fn chosen(fields: &Fields, field: &'static str, otherwise: u16) -> Result<StatusCode, CoreError> {
    let code = fields.count(field)?.map_or(Ok(otherwise), u16::try_from);
    let wrong = || CoreError::Invalid(format!("{field} must be an HTTP status code between 200 and 599"));
    code.ok()
        .filter(|code| (200..600).contains(code))
        .and_then(|code| StatusCode::from_u16(code).ok())
        .ok_or_else(wrong)
}

/// One server, whatever its state: Vault answers so, too, sealed or not, where the storage knows no cluster. Clients take
/// an error while sealed for a sign that there is one.
async fn leader(_: &Vault, _: &Fields, _: Operation) -> Result<Raw, CoreError> {
    let body = json!({
        "ha_enabled": false, "is_self": false, "leader_address": "", "leader_cluster_address": "",
        "performance_standby": false, "performance_standby_last_remote_wal": 0,
    });
    Ok(Raw(StatusCode::OK, body))
}
