//! Recognises credentials in bytes that should hold none: known formats of tokens, private keys, connection strings with
//! a password, and random values under a telling name. Bytes in, findings out.
//!
//! Invariants: a finding says what and where, never the value itself, so it may be shown and recorded; time is linear in
//! the input. It does not check whether a credential works, does not read files, and decides nothing: who asks does.

mod connection;
mod finding;
mod format;
mod header;
mod name;
mod pair;
mod placeholder;
mod random;

pub use finding::{Finding, Kind};

/// Finds credentials that tell themselves: by their format, as part of a connection string, or behind the scheme of a header. In order of their
/// places; none lies inside another.
pub fn find(bytes: &[u8]) -> Vec<Finding> {
    let mut findings = format::find(bytes);
    findings.extend(connection::find(bytes));
    if let Ok(text) = std::str::from_utf8(bytes) {
        findings.extend(header::find(text));
    }
    apart(findings)
}

/// As [`find`], for a value that has a name: the name may tell what the value does not, and so may names inside the value
/// when it is a JSON document or lines of settings.
pub fn find_named(name: &str, value: &[u8]) -> Vec<Finding> {
    let mut findings = find(value);
    if let Ok(text) = std::str::from_utf8(value) {
        let trimmed = text.trim();
        if let Some(what) = name::tells(name).and_then(|telling| telling.judge(trimmed)) {
            findings.push(Finding { kind: Kind::TellingName, what, range: 0..value.len() });
        }
        findings.extend(pair::find(text));
    }
    apart(findings)
}

/// Sorts findings, and leaves out those that another one covers.
fn apart(mut findings: Vec<Finding>) -> Vec<Finding> {
    findings.sort_by_key(|finding| (finding.kind == Kind::TellingName, finding.range.start, finding.range.end));
    let mut kept: Vec<Finding> = Vec::new();
    for finding in findings {
        let overlaps = |other: &Finding| finding.range.start < other.range.end && other.range.start < finding.range.end;
        if !kept.iter().any(overlaps) {
            kept.push(finding);
        }
    }
    kept.sort_by_key(|finding| finding.range.start);
    kept
}
