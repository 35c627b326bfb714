use crate::host::HostInfo;
use crate::vault::route::Context;
use serde_json::{Map, Value, json};
use strongroom_core::{CoreError, Reply};

/// `sys/host-info`.
pub(super) async fn host_info(context: Context<'_>) -> Result<Reply, CoreError> {
    let HostInfo { mut parts, missing } = HostInfo::read();
    parts.insert("timestamp".to_owned(), json!(context.vault.strongroom.clock().now()));
    Ok(missing.into_iter().fold(Reply::data(Value::Object(parts)), Reply::warn))
}

/// `sys/version-history`: which versions of this program have run over the data. Theirs are its own numbers, not the
/// version of Vault that `sys/health` names for the sake of clients.
pub(super) async fn version_history(context: Context<'_>) -> Result<Reply, CoreError> {
    let versions = context.open.settings.versions.current();
    let mut previous = Value::Null;
    // The newest is this program; of earlier ones it is not kept. Command lines print what is no text as an error.
    let newest = versions.last().map(|known| known.version.clone());
    let build = &context.vault.identity.build_date;
    let info = versions.iter().map(|known| {
        let previous = std::mem::replace(&mut previous, json!(known.version));
        let built = if newest.as_ref() == Some(&known.version) { build.as_str() } else { "" };
        let shown =
            json!({ "timestamp_installed": known.installed, "build_date": built, "previous_version": previous });
        (known.version.clone(), shown)
    });
    let info: Map<String, Value> = info.collect();
    let keys: Vec<&String> = versions.iter().map(|known| &known.version).collect();
    Ok(Reply::data(json!({ "keys": keys, "key_info": info })))
}

/// `sys/in-flight-req`: without an envelope, as Vault's.
pub(super) async fn in_flight(context: Context<'_>) -> Result<Reply, CoreError> {
    Ok(Reply::raw("application/json", context.vault.running.list().to_string()))
}

/// `sys/ha-status`: this server, alone.
pub(super) async fn ha_status(context: Context<'_>) -> Result<Reply, CoreError> {
    let identity = &context.vault.identity;
    let node = json!({
        "hostname": HostInfo::name(), "api_address": identity.api_addr, "cluster_address": "", "active_node": true,
        "last_echo": null, "version": identity.version, "upgrade_version": "", "redundancy_zone": "",
    });
    Ok(Reply::data(json!({ "nodes": [node] })))
}

/// `sys/replication/status`: none, as in Vault without an enterprise licence.
pub(super) async fn replication(_: Context<'_>) -> Result<Reply, CoreError> {
    Ok(Reply::data(json!({ "dr": { "mode": "disabled" }, "performance": { "mode": "disabled" } })))
}

/// `sys/metrics`: for Prometheus, or as JSON. Without an envelope.
pub(super) async fn metrics(context: Context<'_>) -> Result<Reply, CoreError> {
    Ok(Reply { raw: Some(context.vault.metrics(context.fields)?), ..Reply::empty() })
}
