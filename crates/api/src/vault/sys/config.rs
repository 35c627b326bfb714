use crate::log::LogControl;
use crate::vault::cors::STANDARD_HEADERS;
use crate::vault::route::Context;
use hyper::http::{HeaderName, HeaderValue};
use serde_json::json;
use strongroom_core::setting::{AuditedHeader, Cors};
use strongroom_core::{CoreError, Operation, Reply};

/// `sys/config/auditing/request-headers`.
pub(super) async fn audited_headers(context: Context<'_>) -> Result<Reply, CoreError> {
    Ok(Reply::data(json!({ "headers": *context.open.settings.audited_headers.current() })))
}

/// Headers whose values are credentials: they stand in the trail as keyed hashes of their own, never as typed.
const CREDENTIALS: [&str; 4] = ["x-vault-token", "authorization", "cookie", "proxy-authorization"];

/// `sys/config/auditing/request-headers/HEADER`.
pub(super) async fn audited_header(context: Context<'_>) -> Result<Reply, CoreError> {
    let settings = &context.open.settings.audited_headers;
    let typed = context.captures.get("header");
    let name = header_name(typed)?;
    match context.operation {
        Operation::Read => {
            let missing = || CoreError::Invalid("Could not find header in config".to_owned());
            let known = settings.current().get(&name).copied().ok_or_else(missing)?;
            Ok(Reply::data(json!({ typed: known })))
        }
        Operation::Delete => {
            settings
                .change(context.grant, |headers| {
                    headers.remove(&name);
                    Ok(())
                })
                .await?;
            Ok(Reply::empty())
        }
        _ => {
            let hmac = context.fields.flag("hmac")?.unwrap_or(false);
            // Stricter than Vault, which would write tokens into its log.
            if !hmac && CREDENTIALS.contains(&name.as_str()) {
                return Err(CoreError::Invalid(format!(
                    "the header {name} holds credentials: it can be recorded with hmac=true only"
                )));
            }
            settings
                .change(context.grant, |headers| {
                    headers.insert(name, AuditedHeader { hmac });
                    Ok(())
                })
                .await?;
            Ok(Reply::empty())
        }
    }
}

/// `sys/config/cors`.
pub(super) async fn cors(context: Context<'_>) -> Result<Reply, CoreError> {
    let settings = &context.open.settings.cors;
    match context.operation {
        Operation::Read => {
            let cors = settings.current();
            Ok(Reply::data(match cors.enabled {
                false => json!({ "enabled": false }),
                true => json!({
                    "enabled": true, "allowed_origins": cors.origins, "allowed_headers": cors.headers,
                    "allow_credentials": cors.credentials,
                }),
            }))
        }
        Operation::Delete => {
            settings
                .change(context.grant, |cors| {
                    *cors = Cors::default();
                    Ok(())
                })
                .await?;
            Ok(Reply::empty())
        }
        _ => {
            let wanted = wanted_cors(&context)?;
            settings
                .change(context.grant, |cors| {
                    *cors = wanted;
                    Ok(())
                })
                .await?;
            Ok(Reply::empty())
        }
    }
}

fn wanted_cors(context: &Context<'_>) -> Result<Cors, CoreError> {
    let fail = |text: &str| Err(CoreError::Invalid(text.to_owned()));
    let origins = context.fields.list("allowed_origins")?.unwrap_or_default();
    if origins.is_empty() {
        return fail("at least one origin or the wildcard must be provided");
    }
    let any = origins.iter().any(|origin| origin == "*");
    if any && origins.len() > 1 {
        return fail("to allow all origins the '*' must be the only value for allowed_origins");
    }
    let credentials = context.fields.flag("allow_credentials")?.unwrap_or(false);
    if any && credentials {
        // Every page in the world would act with the visitor's client certificate. Browsers refuse the pair too (Fetch
        // standard, section 3.2.5), but we answer with the caller's own origin, which they would believe.
        return fail("allow_credentials needs the origins to be named");
    }
    let mut headers = STANDARD_HEADERS.map(str::to_owned).to_vec();
    for header in context.fields.list("allowed_headers")?.unwrap_or_default() {
        header_name(&header)?;
        headers.push(header);
    }
    Ok(Cors { enabled: true, origins, headers, credentials })
}

/// `sys/config/ui/headers`.
pub(super) async fn ui_headers(context: Context<'_>) -> Result<Reply, CoreError> {
    Reply::keys(context.open.settings.ui_headers.current().keys().cloned().collect())
}

/// `sys/config/ui/headers/HEADER`. Kept for a user interface; this version has none.
pub(super) async fn ui_header(context: Context<'_>) -> Result<Reply, CoreError> {
    let settings = &context.open.settings.ui_headers;
    let name = header_name(context.captures.get("header"))?;
    match context.operation {
        Operation::Read => {
            let values = settings.current().get(&name).cloned().ok_or(CoreError::Nothing)?;
            let all = context.fields.flag("multivalue")?.unwrap_or(false);
            Ok(Reply::data(if all { json!({ "values": values }) } else { json!({ "value": values.first() }) }))
        }
        Operation::Delete => {
            settings
                .change(context.grant, |headers| {
                    headers.remove(&name);
                    Ok(())
                })
                .await?;
            Ok(Reply::empty())
        }
        _ => {
            let values = context.fields.list("values")?.unwrap_or_default();
            if values.is_empty() {
                return Err(CoreError::Invalid("header and values must be specified".to_owned()));
            }
            if name.starts_with("x-vault-") {
                return Err(CoreError::Invalid("X-Vault headers cannot be set".to_owned()));
            }
            if values.iter().any(|value| HeaderValue::from_str(value).is_err()) {
                return Err(CoreError::Invalid("a value holds characters that no header can have".to_owned()));
            }
            let secured = name == "content-security-policy";
            settings
                .change(context.grant, |headers| {
                    headers.insert(name, values);
                    Ok(())
                })
                .await?;
            let warning = "overriding default Content-Security-Policy which is secure by default, proceed with caution";
            Ok(if secured { Reply::empty().warn(warning) } else { Reply::empty() })
        }
    }
}

/// `sys/config/reload/SUBSYSTEM`: Vault's only subsystem is the licence, and there is none here.
pub(super) async fn reload(_: Context<'_>) -> Result<Reply, CoreError> {
    Err(CoreError::NotFound("unsupported path: nothing can be reloaded here; send the process SIGHUP".to_owned()))
}

/// `sys/config/state/sanitized`: what the server was started with, as far as it is no secret.
pub(super) async fn sanitized(context: Context<'_>) -> Result<Reply, CoreError> {
    let (default, longest) = context.vault.system_ttls();
    let (identity, log) = (&context.vault.identity, &context.vault.log);
    Ok(Reply::data(json!({
        "api_addr": identity.api_addr, "cluster_addr": "", "cluster_name": identity.cluster_name,
        "default_lease_ttl": default, "max_lease_ttl": longest,
        "default_max_request_duration": context.vault.limits.request.as_secs(),
        "log_level": log.as_ref().map(LogControl::configured).unwrap_or_default(),
        "listeners": context.vault.listeners, "storage": { "type": identity.storage, "disable_clustering": true },
        "seals": [{ "type": context.open.seal_status().kind, "disabled": false }],
    })))
}

/// The one spelling of a header's name.
fn header_name(text: &str) -> Result<String, CoreError> {
    let name = HeaderName::try_from(text);
    name.map(|name| name.as_str().to_owned()).map_err(|_| CoreError::Invalid("this is no name of a header".to_owned()))
}
