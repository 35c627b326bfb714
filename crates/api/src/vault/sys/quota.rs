use crate::vault::route::Context;
use serde_json::json;
use std::time::Duration;
use strongroom_core::quota::{LeaseCount, RateLimit};
use strongroom_core::{CoreError, Operation, Reply};
use strongroom_model::{RequestPath, RoleName, Ttl};

/// `sys/quotas/config`.
pub(super) async fn config(context: Context<'_>) -> Result<Reply, CoreError> {
    let (config, fields) = (&context.open.quotas.config, context.fields);
    if context.operation == Operation::Read {
        let config = config.current();
        return Ok(Reply::data(json!({
            "enable_rate_limit_audit_logging": config.audit_logging,
            "enable_rate_limit_response_headers": config.response_headers,
            "rate_limit_exempt_paths": config.exempt_paths,
        })));
    }
    let paths = fields.list("rate_limit_exempt_paths")?.unwrap_or_default();
    let logging = fields.flag("enable_rate_limit_audit_logging")?.unwrap_or(false);
    let headers = fields.flag("enable_rate_limit_response_headers")?.unwrap_or(false);
    // As in Vault, what is not sent is set back.
    let set = |config: &mut strongroom_core::quota::QuotaConfig| {
        (config.exempt_paths, config.audit_logging, config.response_headers) = (paths, logging, headers);
        Ok(())
    };
    config.change(context.grant, set).await?;
    Ok(Reply::empty())
}

/// `sys/quotas/rate-limit`.
pub(super) async fn rate_limits(context: Context<'_>) -> Result<Reply, CoreError> {
    Reply::keys(context.open.quotas.names())
}

/// `sys/quotas/rate-limit/NAME`.
pub(super) async fn rate_limit(context: Context<'_>) -> Result<Reply, CoreError> {
    let quotas = &context.open.quotas;
    let name = RoleName::parse(context.captures.get("name"))?;
    match context.operation {
        Operation::Read => {
            let rule = quotas.rule(&name).ok_or(CoreError::Nothing)?;
            Ok(Reply::data(json!({
                "type": "rate-limit", "name": name, "path": rule.path, "role": "", "rate": rule.rate,
                "interval": rule.interval.secs(), "block_interval": rule.block_interval.secs(),
                "inheritable": rule.inheritable,
            })))
        }
        Operation::Delete => {
            quotas.delete(context.grant, &name).await?;
            Ok(Reply::empty())
        }
        _ => {
            let rule = wanted(&context)?;
            quotas.write(context.grant, &name, rule).await?;
            Ok(Reply::empty())
        }
    }
}

fn wanted(context: &Context<'_>) -> Result<RateLimit, CoreError> {
    let fields = context.fields;
    let rate = fields.text("rate")?.and_then(|rate| rate.parse::<f64>().ok());
    let rate = rate.filter(|rate| rate.is_finite() && *rate > 0.0);
    let rate = rate.ok_or_else(|| CoreError::Invalid("'rate' is invalid".to_owned()))?;
    if !fields.text_or_empty("role")?.is_empty() {
        return Err(CoreError::Invalid("quotas by role are not served: leave `role` out and name the path".to_owned()));
    }
    let path = rule_path(context, &fields.text_or_empty("path")?)?;
    let interval = fields.ttl("interval")?.filter(|interval| !interval.is_zero());
    Ok(RateLimit {
        rate,
        interval: interval.unwrap_or(Ttl(Duration::from_secs(1))),
        block_interval: fields.ttl("block_interval")?.unwrap_or_default(),
        inheritable: fields.flag("inheritable")?.unwrap_or(path.is_empty()),
        path,
    })
}

/// The place a rule is about: nothing, a mount with its slash, or a path below one, with or without a `*` at the end.
fn rule_path(context: &Context<'_>, typed: &str) -> Result<String, CoreError> {
    let trimmed = typed.trim_matches('/');
    if trimmed.is_empty() {
        return Ok(String::new());
    }
    let wrong = || CoreError::Invalid(format!("invalid mount path \"{trimmed}/\""));
    let (plain, star) = trimmed.strip_suffix('*').map_or((trimmed, ""), |plain| (plain, "*"));
    let path = RequestPath::parse(plain.trim_end_matches('/')).map_err(|_| wrong())?;
    let (mount, below) = context.open.mounts.table().resolve(&path).ok_or_else(wrong)?;
    let slash = if plain.ends_with('/') && !below.is_empty() { "/" } else { "" };
    Ok(format!("{}{below}{slash}{star}", mount.path.with_slash()))
}

/// `sys/quotas/lease-count`.
pub(super) async fn lease_counts(context: Context<'_>) -> Result<Reply, CoreError> {
    Reply::keys(context.open.quotas.lease_names())
}

/// `sys/quotas/lease-count/NAME`.
pub(super) async fn lease_count(context: Context<'_>) -> Result<Reply, CoreError> {
    let quotas = &context.open.quotas;
    let name = RoleName::parse(context.captures.get("name"))?;
    match context.operation {
        Operation::Read => {
            let (rule, counted) = quotas.lease_rule(&name, &context.open.leases).ok_or(CoreError::Nothing)?;
            Ok(Reply::data(json!({
                "type": "lease-count", "name": name, "path": rule.path, "role": rule.role,
                "max_leases": rule.max_leases, "counter": counted, "inheritable": rule.inheritable,
            })))
        }
        Operation::Delete => {
            quotas.delete_lease_rule(context.grant, &name).await?;
            Ok(Reply::empty())
        }
        _ => {
            let fields = context.fields;
            // First: what was sent by mistake is then not repeated as a path.
            let most = fields.count("max_leases")?.filter(|most| *most > 0);
            let most = most.ok_or_else(|| CoreError::Invalid("'max_leases' is invalid".to_owned()))?;
            let path = rule_path(&context, &fields.text_or_empty("path")?)?;
            let rule = LeaseCount {
                max_leases: most,
                role: fields.text_or_empty("role")?,
                inheritable: fields.flag("inheritable")?.unwrap_or(path.is_empty()),
                path,
            };
            quotas.write_lease_rule(context.grant, &name, rule).await?;
            Ok(Reply::empty())
        }
    }
}
