//! ArcSight Common Event Format, version 0: a header with `|` between its parts and an extension of `key=value`, each
//! with its own escapes ("Implementing ArcSight Common Event Format", chapter 1).

use super::Told;
use crate::EntryKind;
use std::fmt::Write as _;

pub(super) fn event(told: &Told<'_>) -> String {
    let entry = told.entry;
    let failed = told.result().is_some_and(|result| result != "ok");
    let severity = match (failed, entry.kind) {
        (true, _) => 6,
        (false, EntryKind::Event) => 4,
        (false, _) => 2,
    };
    let name = format!("{} {}", told.action(), told.result().unwrap_or(told.moment()));
    let mut text = format!(
        "CEF:0|Strongroom|Strongroom|{}|{}|{}|{severity}|",
        header(env!("CARGO_PKG_VERSION")),
        header(told.action()),
        header(&name),
    );
    let mut put = |key: &str, value: &str| {
        if !value.is_empty() {
            let space = if text.ends_with('|') { "" } else { " " };
            let _ = write!(text, "{space}{key}={}", extension(value));
        }
    };
    put("rt", &(told.time.nanos() / 1_000_000).to_string());
    put("externalId", &told.seq.to_string());
    put("act", &entry.operation);
    put("outcome", told.result().unwrap_or_default());
    put("reason", told.error().unwrap_or_default());
    if let Some(address) = told.address() {
        put(if address.is_ipv4() { "src" } else { "c6a2" }, &address.to_string());
        put("c6a2Label", if address.is_ipv4() { "" } else { "Source IPv6 Address" });
        put("spt", &entry.source.port.to_string());
    }
    put("suser", told.user_name().unwrap_or_default());
    put("suid", &told.user_id().unwrap_or_default());
    put("request", &entry.path);
    put("app", &entry.dialect);
    let decision = entry.decision.as_ref();
    labelled(&mut put, "cs1", "policy", decision.and_then(|found| found.policy.as_deref()).unwrap_or_default());
    labelled(&mut put, "cs2", "rule", decision.and_then(|found| found.rule.as_deref()).unwrap_or_default());
    labelled(&mut put, "cs3", "mount", entry.mount.as_ref().map_or("", |mount| mount.path.as_str()));
    labelled(&mut put, "cs4", "requestId", &entry.request.to_string());
    labelled(&mut put, "cs5", "moment", told.moment());
    labelled(&mut put, "cs6", "session", &told.session);
    let version = entry.version.map(|version| version.to_string()).unwrap_or_default();
    labelled(&mut put, "cn1", "version", &version);
    put("msg", &told.message());
    text
}

fn labelled(put: &mut impl FnMut(&str, &str), key: &str, label: &str, value: &str) {
    if !value.is_empty() {
        put(key, value);
        put(&format!("{key}Label"), label);
    }
}

/// In the header a backslash and a bar are escaped, and there are no lines.
fn header(text: &str) -> String {
    text.replace('\\', "\\\\").replace('|', "\\|").replace(['\r', '\n'], " ")
}

/// In the extension a backslash and an equals sign are escaped, and lines are written as `\n` and `\r`.
fn extension(text: &str) -> String {
    text.replace('\\', "\\\\").replace('=', "\\=").replace('\n', "\\n").replace('\r', "\\r")
}
