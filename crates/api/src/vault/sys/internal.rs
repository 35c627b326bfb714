use crate::vault::openapi::Document;
use crate::vault::route::Context;
use crate::vault::{public, table};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use strongroom_core::mount::MountClass;
use strongroom_core::{CoreError, Reply};
use strongroom_model::policy::{Acl, Rule};
use strongroom_model::{Capabilities, Capability};

/// `sys/internal/ui/resultant-acl`: what the caller's policies add up to, for user interfaces that hide what would be
/// refused. As in Vault, patterns with `+` are left out.
pub(super) async fn resultant_acl(context: Context<'_>) -> Result<Reply, CoreError> {
    let acl = context.grant.acl().ok_or(CoreError::Denied)?;
    if acl.is_root() {
        return Ok(Reply::data(json!({ "root": true })));
    }
    let (mut exact, mut glob) = (Map::new(), Map::new());
    for (pattern, rules) in by_pattern(acl) {
        match pattern.strip_suffix('*') {
            _ if pattern.split('/').any(|segment| segment == "+") => {}
            Some(prefix) => drop(glob.insert(prefix.to_owned(), sum(&rules))),
            None => drop(exact.insert(pattern.to_owned(), sum(&rules))),
        }
    }
    Ok(Reply::data(json!({ "root": false, "exact_paths": exact, "glob_paths": glob })))
}

/// `sys/internal/counters/tokens`: counted when asked, so that it takes time in proportion to them.
pub(super) async fn count_tokens(context: Context<'_>) -> Result<Reply, CoreError> {
    let total = context.open.census.tokens().await?;
    Ok(Reply::data(json!({ "counters": { "service_tokens": { "total": total } } })))
}

/// `sys/internal/counters/entities`, the same.
pub(super) async fn count_entities(context: Context<'_>) -> Result<Reply, CoreError> {
    let total = context.open.census.entities().await?;
    Ok(Reply::data(json!({ "counters": { "entities": { "total": total } } })))
}

/// `sys/internal/counters/activity` and what lies below it: clients are not counted here, and where Vault has counted none
/// it has no answer either.
pub(super) async fn no_activity(_: Context<'_>) -> Result<Reply, CoreError> {
    Ok(Reply::empty())
}

/// `sys/internal/counters/config`.
pub(super) async fn activity_config(_: Context<'_>) -> Result<Reply, CoreError> {
    Ok(Reply::data(json!({
        "enabled": "default-disabled", "queries_available": false, "reporting_enabled": false, "retention_months": 0,
        "minimum_retention_months": 0, "default_report_months": 12, "billing_start_timestamp": null,
    })))
}

fn by_pattern(acl: &Acl) -> BTreeMap<&str, Vec<&Rule>> {
    let mut patterns: BTreeMap<&str, Vec<&Rule>> = BTreeMap::new();
    for rule in acl.policies().iter().flat_map(|policy| &policy.rules) {
        patterns.entry(&rule.pattern).or_default().push(rule);
    }
    patterns
}

/// What several rules on one pattern say together.
fn sum(rules: &[&Rule]) -> Value {
    let all = rules.iter().fold(Capabilities::NONE, |sum, rule| sum.union(rule.capabilities));
    let words = match all.is_empty() || all.contains(Capability::Deny) {
        true => vec!["deny"],
        false => all.iter().map(Capability::word).collect(),
    };
    let mut shown = Map::from_iter([("capabilities".to_owned(), json!(words))]);
    let shortest = |ttl: fn(&Rule) -> Option<std::time::Duration>| rules.iter().filter_map(|rule| ttl(rule)).min();
    for (name, ttl) in [
        ("min_wrapping_ttl", shortest(|rule| rule.min_wrapping_ttl)),
        ("max_wrapping_ttl", shortest(|rule| rule.max_wrapping_ttl)),
    ] {
        ttl.map(|ttl| shown.insert(name.to_owned(), json!(ttl.as_secs())));
    }
    for (name, parameters) in [
        ("allowed_parameters", joined(rules.iter().map(|rule| &rule.allowed_parameters))),
        ("denied_parameters", joined(rules.iter().map(|rule| &rule.denied_parameters))),
    ] {
        (!parameters.is_empty()).then(|| shown.insert(name.to_owned(), json!(parameters)));
    }
    let required: Vec<&String> = rules.iter().flat_map(|rule| &rule.required_parameters).collect();
    (!required.is_empty()).then(|| shown.insert("required_parameters".to_owned(), json!(required)));
    Value::Object(shown)
}

/// Values under one name add up; the empty list, which means every value, swallows them.
fn joined<'a>(maps: impl Iterator<Item = &'a BTreeMap<String, Vec<Value>>>) -> BTreeMap<&'a str, Vec<&'a Value>> {
    let mut sum: BTreeMap<&str, Vec<&Value>> = BTreeMap::new();
    for (name, values) in maps.flatten() {
        match sum.get_mut(name.as_str()) {
            None => drop(sum.insert(name, values.iter().collect())),
            Some(known) if known.is_empty() || values.is_empty() => known.clear(),
            Some(known) => known.extend(values),
        }
    }
    sum
}

/// `sys/internal/ui/namespaces`: this version has the root namespace only.
pub(super) async fn namespaces(context: Context<'_>) -> Result<Reply, CoreError> {
    context.grant.require_bearer()?;
    Ok(Reply::data(json!({ "keys": [] })))
}

/// `sys/internal/specs/openapi`: what anybody may ask, and what lies on mounts that the caller has to do with.
pub(super) async fn openapi(context: Context<'_>) -> Result<Reply, CoreError> {
    let generic = context.fields.flag("generic_mount_paths")?.unwrap_or(false);
    let mut document = Document::new(&context.vault.identity.version);
    public::ROUTES.iter().for_each(|line| document.add_public(&line.endpoint));
    let mounts = context.open.mounts.table();
    for mount in [MountClass::Secret, MountClass::Auth].into_iter().flat_map(|class| mounts.of(class)) {
        if !super::mount::may_see(&context, &mount) {
            continue;
        }
        table(&mount).iter().for_each(|line| document.add(&mount, &line.endpoint, generic));
        let method = mounts.method(mount.id);
        let endpoints = method.as_deref().map_or(&[][..], |method| method.endpoints());
        let engine = mounts.engine(mount.id);
        let made = engine.as_deref().map_or(&[][..], |engine| engine.endpoints());
        endpoints.iter().chain(made).for_each(|endpoint| document.add(&mount, endpoint, generic));
    }
    Ok(Reply::raw("application/json", document.finish().to_string()))
}
