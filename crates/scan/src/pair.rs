//! Names inside a value: the fields of a JSON document, and lines as `NAME=value` or `name: value`. Each is judged as if
//! it stood alone.

use crate::name::tells;
use crate::{Finding, Kind};
use regex::Regex;
use serde_json::Value;
use std::sync::LazyLock;

static LINE: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(r#"(?m)^\s*(?:export\s+|-\s+)?["']?([A-Za-z_][A-Za-z0-9_.-]{1,80})["']?\s*[:=]\s*["']?([^"'\s]{6,256})["']?,?;?\s*$"#)
        .ok()
});

/// Credentials under telling names inside a value.
pub(crate) fn find(text: &str) -> Vec<Finding> {
    if text.trim_start().starts_with(['{', '['])
        && let Ok(document) = serde_json::from_str::<Value>(text)
    {
        // Where in the document is not known, so the whole of it is the place.
        let what = walk("", &document);
        return what.map(|what| Finding { kind: Kind::TellingName, what, range: 0..text.len() }).into_iter().collect();
    }
    let Some(line) = LINE.as_ref() else { return Vec::new() };
    let judge = |found: regex::Captures<'_>| {
        let (name, value) = (found.get(1)?, found.get(2)?);
        let what = tells(name.as_str())?.judge(value.as_str())?;
        Some(Finding { kind: Kind::TellingName, what, range: value.range() })
    };
    line.captures_iter(text).filter_map(judge).collect()
}

/// The first credential of a document. Its depth is bounded by the parser's.
fn walk(name: &str, value: &Value) -> Option<&'static str> {
    match value {
        Value::String(text) => tells(name)?.judge(text.trim()),
        Value::Array(items) => items.iter().find_map(|item| walk(name, item)),
        Value::Object(map) => map.iter().find_map(|(name, value)| walk(name, value)),
        _ => None,
    }
}
