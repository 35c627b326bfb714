//! Reads the text of a policy into rules, as Vault reads it: HCL version 1 or JSON, old spellings included.
//!
//! A key or word that could narrow access and is not known is an error, never skipped: a policy that was accepted does
//! all of what it says. Does not look at other policies and does not fill in templates.

use super::template::Template;
use crate::hcl::{self, Block, HclError, Item, Value as Tree};
use crate::{Capabilities, Capability, Kind, Kinded, PolicyName, Ttl};
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
    /// Line of the block in the source, from 1.
    pub line: u32,
    /// What it allows; the legacy `policy = "write"` is already expanded, and `deny` stands alone.
    pub capabilities: Capabilities,
    /// Parameters that may be sent (lower case), with their values (an empty list: any); empty map: all.
    pub allowed_parameters: BTreeMap<String, Vec<Value>>,
    /// Parameters that may not be sent (lower case), or not with these values.
    pub denied_parameters: BTreeMap<String, Vec<Value>>,
    /// Parameters that must be sent (lower case).
    pub required_parameters: Vec<String>,
    /// Shortest wrapping TTL that must be asked for; makes wrapping mandatory.
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

impl Kinded for PolicyError {
    fn kind(&self) -> Kind {
        Kind::Invalid
    }
}

impl From<HclError> for PolicyError {
    fn from(error: HclError) -> Self {
        Self { line: error.line, what: error.what }
    }
}

fn wrong<T>(line: u32, what: impl Into<String>) -> Result<T, PolicyError> {
    Err(PolicyError { line, what: what.into() })
}

/// Keys of a path block that work.
const KNOWN: &str = "capabilities, policy, allowed_parameters, denied_parameters, required_parameters, \
                     min_wrapping_ttl, max_wrapping_ttl, comment";
/// Keys of other products that narrow access. Skipping one would widen, so they are refused by name.
const NOT_SERVED: [&str; 5] =
    ["control_group", "mfa_methods", "expiration", "pagination_limit", "list_scan_response_keys_filter_path"];

impl Policy {
    /// Reads a policy. An empty text is a policy without rules. Never panics, whatever the text; refuses texts over
    /// 1 MiB and more than 64 open brackets.
    pub fn parse(name: PolicyName, source: &str) -> Result<Self, PolicyError> {
        let mut rules = Vec::new();
        for item in &hcl::parse(source)? {
            match item.name.as_str() {
                "path" => {
                    for block in item.blocks()? {
                        rules.push(Rule::read(&block)?);
                    }
                }
                // Vault takes a name inside the text and does not use it: the stored name counts.
                "name" => {}
                other => {
                    return wrong(item.line, format!("`{other}` does not belong here: write `path \"...\" {{ ... }}`"));
                }
            }
        }
        Ok(Self { name, rules, source: source.to_owned() })
    }

    /// Whether some rule holds a template, so that the policy differs from caller to caller.
    pub fn is_templated(&self) -> bool {
        self.rules.iter().any(|rule| rule.pattern.contains("{{"))
    }

    /// What is allowed in a policy but hardly meant, as warnings for whoever writes it: the line and the reason.
    pub fn remarks(&self) -> Vec<PolicyError> {
        self.rules.iter().flat_map(Rule::remarks).collect()
    }
}

impl Rule {
    fn read(block: &Block<'_>) -> Result<Self, PolicyError> {
        let mut rule = Self::empty(pattern(block)?, block.line);
        let mut seen: Vec<&str> = Vec::new();
        for item in block.body {
            if seen.contains(&item.name.as_str()) {
                return wrong(item.line, format!("`{}` is there twice: join the two", item.name));
            }
            seen.push(&item.name);
            rule.take(item)?;
        }
        if let (Some(min), Some(max)) = (rule.min_wrapping_ttl, rule.max_wrapping_ttl)
            && max < min
        {
            return wrong(block.line, "max_wrapping_ttl is less than min_wrapping_ttl: no request could satisfy both");
        }
        if rule.capabilities.contains(Capability::Deny) {
            rule.capabilities = Capabilities::only(Capability::Deny);
        }
        Ok(rule)
    }

    /// A rule that allows nothing yet.
    pub(super) fn empty(pattern: String, line: u32) -> Self {
        Self {
            pattern,
            line,
            capabilities: Capabilities::NONE,
            allowed_parameters: BTreeMap::new(),
            denied_parameters: BTreeMap::new(),
            required_parameters: Vec::new(),
            min_wrapping_ttl: None,
            max_wrapping_ttl: None,
        }
    }

    fn take(&mut self, item: &Item) -> Result<(), PolicyError> {
        if let Some(label) = item.labels.first() {
            return wrong(item.line, format!("`{label}` does not belong after `{}`", item.name));
        }
        match item.name.as_str() {
            "capabilities" => self.capabilities = self.capabilities.union(capabilities(item)?),
            "policy" => self.capabilities = self.capabilities.union(legacy(item)?),
            "allowed_parameters" => self.allowed_parameters = parameters(item)?,
            "denied_parameters" => self.denied_parameters = parameters(item)?,
            "required_parameters" => {
                self.required_parameters = words(item)?.into_iter().map(|(_, name)| name.to_lowercase()).collect();
            }
            "min_wrapping_ttl" => self.min_wrapping_ttl = span(item)?,
            "max_wrapping_ttl" => self.max_wrapping_ttl = span(item)?,
            "comment" => {}
            name if NOT_SERVED.contains(&name) => {
                let what = format!(
                    "`{name}` is not served by this version, and without it the rule would allow more: remove it, or deny the path"
                );
                return wrong(item.line, what);
            }
            name => return wrong(item.line, format!("`{name}` is not a key of a path; there are: {KNOWN}")),
        }
        Ok(())
    }

    fn remarks(&self) -> Vec<PolicyError> {
        let mut remarks = Vec::new();
        let mut remark = |what: &str| remarks.push(PolicyError { line: self.line, what: what.to_owned() });
        let text = self.pattern.strip_suffix('*').unwrap_or(&self.pattern);
        if text.contains('*') {
            remark("`*` counts only at the end of a path, elsewhere it is a plain character: use `+` for one segment");
        }
        if text.split('/').any(|segment| segment.len() > 1 && segment.contains('+')) {
            remark("`+` counts only as a whole segment, elsewhere it is a plain character");
        }
        let unreachable = |segment: &str| matches!(segment, "" | "." | "..");
        if text.trim_end_matches('/').split('/').any(unreachable) && !text.is_empty() {
            remark("no request has an empty, `.` or `..` segment, so this path matches nothing");
        }
        let star = |map: &BTreeMap<String, Vec<Value>>| map.get("*").is_some_and(|values| !values.is_empty());
        if star(&self.allowed_parameters) || star(&self.denied_parameters) {
            remark("the values beside the parameter `*` are not looked at: write `\"*\" = []`");
        }
        remarks
    }
}

fn pattern(block: &Block<'_>) -> Result<String, PolicyError> {
    let pattern = block.label.strip_prefix('/').unwrap_or(block.label);
    if pattern.contains("+*") {
        return wrong(block.line, "`+*` is not a wildcard: write `+/*` for all below one segment, or `*`");
    }
    match Template::parse(pattern) {
        Ok(_) => Ok(pattern.to_owned()),
        Err(what) => wrong(block.line, what),
    }
}

/// A list of strings, each with its line.
fn words(item: &Item) -> Result<Vec<(u32, &str)>, PolicyError> {
    let Tree::List(nodes) = &item.value.value else {
        let what = format!(
            "`{}` is {} and must be a list: write `{} = [\"...\"]`",
            item.name,
            item.value.value.sort(),
            item.name
        );
        return wrong(item.line, what);
    };
    let mut words = Vec::new();
    for node in nodes {
        match &node.value {
            Tree::Text(word) => words.push((node.line, word.as_str())),
            other => return wrong(node.line, format!("`{}` holds {} where text belongs", item.name, other.sort())),
        }
    }
    Ok(words)
}

fn capabilities(item: &Item) -> Result<Capabilities, PolicyError> {
    let mut set = Capabilities::NONE;
    for (line, word) in words(item)? {
        match Capability::parse(word) {
            Some(capability) => set = set.union(Capabilities::only(capability)),
            None => return wrong(line, format!("`{word}` is not a capability; there are: {}", capability_words())),
        }
    }
    Ok(set)
}

fn capability_words() -> String {
    Capability::ALL.map(Capability::word).join(", ")
}

/// The one-word form from before capabilities (Vault: `policy.go`, "Map old-style policies into capabilities").
fn legacy(item: &Item) -> Result<Capabilities, PolicyError> {
    use Capability::{Create, Delete, Deny, List, Read, Sudo, Update};
    let members: &[Capability] = match &item.value.value {
        Tree::Text(word) => match word.as_str() {
            "" => &[],
            "deny" => &[Deny],
            "read" => &[Read, List],
            "write" => &[Create, Read, Update, Delete, List],
            "sudo" => &[Create, Read, Update, Delete, List, Sudo],
            other => {
                return wrong(item.line, format!("`{other}` is not a policy word; there are: read, write, sudo, deny"));
            }
        },
        other => {
            return wrong(
                item.line,
                format!("`policy` is {} and must be one word: read, write, sudo or deny", other.sort()),
            );
        }
    };
    Ok(members.iter().copied().collect())
}

/// `{ "name" = [values] }`, as a value or as a block. Names are lowered, since Vault compares them so.
fn parameters(item: &Item) -> Result<BTreeMap<String, Vec<Value>>, PolicyError> {
    let mut map = BTreeMap::new();
    for parameter in item.bodies()?.into_iter().flatten() {
        let name = &parameter.name;
        let Tree::List(nodes) = &parameter.value.value else {
            let what =
                format!("`{name}` needs a list of values: write `\"{name}\" = [\"...\"]`, or `[]` for any value");
            return wrong(parameter.line, what);
        };
        let values = nodes.iter().map(|node| node.value.to_json()).collect();
        if map.insert(name.to_lowercase(), values).is_some() {
            return wrong(parameter.line, format!("`{name}` is there twice (case does not count): join the two"));
        }
    }
    Ok(map)
}

/// A wrapping TTL; zero means that there is none.
fn span(item: &Item) -> Result<Option<Duration>, PolicyError> {
    let ttl = Ttl::from_json(&item.value.value.to_json());
    match ttl {
        Ok(ttl) => Ok((!ttl.is_zero()).then_some(ttl.0)),
        Err(error) => wrong(item.line, format!("{}: {error}", item.name)),
    }
}

#[cfg(test)]
#[path = "parse_tests.rs"]
mod tests;
