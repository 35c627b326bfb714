use crate::{Capabilities, PolicyName};
use serde_json::Value;
use std::collections::BTreeMap;
use std::time::Duration;
use thiserror::Error;

/// One policy: its name, its rules, and the text they were read from.
#[derive(Clone, Debug)]
pub struct Policy {
    /// The name it is stored under.
    pub name: PolicyName,
    /// The rules in the order of the text; templates are not yet filled in.
    pub rules: Vec<Rule>,
    /// The text as it was written, given back on reading.
    pub source: String,
}

/// One `path "..." { }` block.
#[derive(Clone, Debug, PartialEq)]
pub struct Rule {
    /// The pattern as written (a leading `/` dropped), with `+` for one segment and `*` at the end.
    pub pattern: String,
    /// Line of the block in the source, from 1 (0 when the source is JSON).
    pub line: u32,
    /// What it allows; the legacy `policy = "write"` is already expanded.
    pub capabilities: Capabilities,
    /// Parameters that may be sent, with their values (an empty list: any); empty map: all.
    pub allowed_parameters: BTreeMap<String, Vec<Value>>,
    /// Parameters that may not be sent, or not with these values.
    pub denied_parameters: BTreeMap<String, Vec<Value>>,
    /// Parameters that must be sent.
    pub required_parameters: Vec<String>,
    /// Shortest wrapping TTL that must be asked for.
    pub min_wrapping_ttl: Option<Duration>,
    /// Longest wrapping TTL that may be asked for; makes wrapping mandatory.
    pub max_wrapping_ttl: Option<Duration>,
}

/// Why a policy text is not one.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("line {line}: {what}")]
pub struct PolicyError {
    /// Line in the source, from 1.
    pub line: u32,
    /// What is wrong and what to write instead.
    pub what: String,
}
