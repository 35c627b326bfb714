//! HCL, and policies in it: what is written out reads back, in both spellings, and order does not matter.

use super::{Target, seeds};
use crate::Chance;
use std::sync::Arc;
use strongroom_model::hcl;
use strongroom_model::policy::{Acl, Policy, Question, Rule};
use strongroom_model::{Capability, PolicyName, RequestPath};

const WORDS: &[&str] = &[
    "path",
    "capabilities",
    "\"read\"",
    "\"deny\"",
    "\"sudo\"",
    "policy",
    "\"write\"",
    "allowed_parameters",
    "denied_parameters",
    "required_parameters",
    "min_wrapping_ttl",
    "max_wrapping_ttl",
    "<<EOT\n",
    "\nEOT\n",
    "/*",
    "*/",
    "#",
    "//",
    "= [",
    "{{identity.entity.id}}",
    "\\u0041",
    "\\\"",
    "name",
    "secret/+/x*",
];

fn texts() -> Vec<Vec<u8>> {
    seeds(&[
        "path \"secret/data/*\" {\n  capabilities = [\"read\", \"list\"]\n}\npath \"secret/data/app\" { capabilities = [\"deny\"] }",
        "name = \"x\" # comment\npath \"a/+/b\" { policy = \"write\" }",
        r#"{"path": {"secret/*": {"capabilities": ["create"], "allowed_parameters": {"a": ["1", 2], "*": []}}}}"#,
        "path \"auth/*\" {\n capabilities = [\"update\"]\n allowed_parameters = { \"a\" = [\"x*\"], \"b\" = [] }\n denied_parameters { \"c\" = [1] }\n required_parameters = [\"d\"]\n min_wrapping_ttl = \"1s\"\n max_wrapping_ttl = 90\n}",
        "path \"identity/{{identity.entity.metadata.team}}/*\" { capabilities = [\"read\"] }",
        "storage \"file\" {\n  path = <<EOT\n/data\nEOT\n}\nlistener \"tcp\" { address = \"0.0.0.0:8200\" }",
        "",
    ])
}

pub(super) const HCL: Target = Target {
    name: "hcl",
    words: WORDS,
    seeds: texts,
    run: |data| {
        let Ok(text) = std::str::from_utf8(data) else { return "no text".to_owned() };
        let items = match hcl::parse(text) {
            Ok(items) => items,
            Err(error) => return told(text, error.line, &error.to_string()),
        };
        for item in &items {
            let json = item.value.value.to_json();
            assert!(serde_json::to_string(&json).is_ok());
            let _ = (item.blocks().map(|blocks| blocks.len()), item.bodies().map(|bodies| bodies.len()));
        }
        format!("{} items", items.len().min(5))
    },
};

/// An error names a line of the text.
fn told(text: &str, line: u32, error: &str) -> String {
    let lines = text.lines().count() as u32 + 1;
    assert!((1..=lines).contains(&line), "{error}: the text has {lines} lines");
    error.to_owned()
}

fn named(name: &str) -> PolicyName {
    PolicyName::parse(name).expect("a name")
}

pub(super) const POLICY: Target = Target {
    name: "policy",
    words: WORDS,
    seeds: texts,
    run: |data| {
        let Ok(text) = std::str::from_utf8(data) else { return "no text".to_owned() };
        let policy = match Policy::parse(named("fuzz"), text) {
            Ok(policy) => policy,
            Err(error) => return told(text, error.line, &error.to_string()),
        };
        assert_eq!(policy.source, text, "a policy is given back as it was written");
        policy.remarks();
        if !policy.is_templated() {
            order_does_not_matter(&policy);
        }
        format!("{} rules", policy.rules.len().min(5))
    },
};

/// Two policies in either order, and one policy with its rules in either order, decide the same.
fn order_does_not_matter(policy: &Policy) {
    let base = Policy::parse(named("base"), r#"path "secret/*" { capabilities = ["read"] }"#).expect("a policy");
    let (one, other) = (Arc::new(policy.clone()), Arc::new(base));
    let mut turned = policy.clone();
    turned.rules.reverse();
    let forward = Acl::new(vec![Arc::clone(&one), Arc::clone(&other)]);
    let backward = Acl::new(vec![other, Arc::new(turned)]);
    let near = policy.rules.iter().map(|rule| rule.pattern.replace('+', "x").replace('*', "y"));
    let paths = near.take(8).chain(["secret/data/app".to_owned(), "a/x/b".to_owned()]);
    for path in paths.filter_map(|path| RequestPath::parse(&path).ok()) {
        assert_eq!(forward.capabilities(&path), backward.capabilities(&path), "order decides about {path}");
        for capability in [Capability::Read, Capability::List, Capability::Update] {
            let question = Question { path: &path, capability, sudo: false, parameters: None, wrap_ttl: None };
            let (forward, backward) = (forward.decide(&question), backward.decide(&question));
            assert_eq!(forward.granted, backward.granted, "order decides about {capability:?} of {path}");
        }
    }
}

pub(super) const RULE: Target = Target {
    name: "rule",
    words: &[],
    seeds: || (0..8_u8).map(|byte| (0..64).map(|n| byte.wrapping_mul(37).wrapping_add(n)).collect()).collect(),
    run: rule,
};

/// Makes rules out of the bytes, writes them as HCL and as JSON, and reads both.
fn rule(data: &[u8]) -> String {
    let number = data.iter().fold(0_u64, |sum, byte| sum.wrapping_mul(257).wrapping_add(u64::from(*byte)));
    let mut chance = Chance::new(number);
    let (mut hcl, mut json) = (String::new(), Vec::new());
    for number in 0..1 + chance.below(3) {
        let pattern = format!("{number}{}", pattern(&mut chance));
        let words: Vec<&str> = (0..chance.below(4)).filter_map(|_| chance.pick(&CAPABILITIES).copied()).collect();
        let (allowed, required, wrap) = (values(&mut chance), text(&mut chance), chance.below(100));
        let quoted = |text: &str| serde_json::Value::String(text.to_owned()).to_string();
        let list = serde_json::to_string(&words).expect("words are JSON");
        hcl += &format!(
            "path {} {{\n  capabilities = {list}\n  allowed_parameters = {{ {} = {allowed} }}\n  required_parameters = [{}]\n  min_wrapping_ttl = {wrap}\n}}\n",
            quoted_hcl(&pattern),
            quoted_hcl("key"),
            quoted_hcl(&required)
        );
        json.push(format!(
            "{}: {{\"capabilities\": {list}, \"allowed_parameters\": {{\"key\": {allowed}}}, \"required_parameters\": [{}], \"min_wrapping_ttl\": {wrap}}}",
            quoted(&pattern), quoted(&required)
        ));
    }
    let json = format!("{{\"path\": {{{}}}}}", json.join(", "));
    let from_hcl = Policy::parse(named("fuzz"), &hcl).map(|policy| without_lines(policy.rules));
    let from_json = Policy::parse(named("fuzz"), &json).map(|policy| without_lines(policy.rules));
    match (from_hcl, from_json) {
        (Ok(one), Ok(other)) => {
            assert_eq!(one, other, "HCL and JSON are read in two ways:\n{hcl}\n{json}");
            format!("{} rules", one.len())
        }
        (Err(one), Err(other)) => {
            assert_eq!(one.what, other.what, "HCL and JSON are refused for two reasons:\n{hcl}\n{json}");
            one.what
        }
        (one, other) => panic!("one spelling is taken and the other is not: {one:?} {other:?}\n{hcl}\n{json}"),
    }
}

const CAPABILITIES: [&str; 8] = ["create", "read", "update", "patch", "delete", "list", "sudo", "deny"];
const PIECES: [&str; 14] = ["a", "secret", "/", "+", "/+/", "*", ".", " ", "\u{e9}", "#", "\\", "\"", "'", "-_~"];

fn pattern(chance: &mut Chance) -> String {
    (0..chance.below(6)).filter_map(|_| chance.pick(&PIECES).copied()).collect()
}

fn text(chance: &mut Chance) -> String {
    format!("k{}", pattern(chance))
}

fn values(chance: &mut Chance) -> String {
    let one = |chance: &mut Chance| match chance.below(4) {
        0 => chance.below(100).to_string(),
        1 => "true".to_owned(),
        _ => serde_json::Value::String(text(chance)).to_string(),
    };
    let all: Vec<String> = (0..chance.below(3)).map(|_| one(chance)).collect();
    format!("[{}]", all.join(", "))
}

/// Text as HCL quotes it: as JSON does, for what the pieces hold.
fn quoted_hcl(text: &str) -> String {
    serde_json::Value::String(text.to_owned()).to_string()
}

/// A line is where it stands, which is not what it says. JSON objects have no order worth keeping.
fn without_lines(mut rules: Vec<Rule>) -> Vec<Rule> {
    rules.iter_mut().for_each(|rule| rule.line = 0);
    rules.sort_by(|one, other| one.pattern.cmp(&other.pattern));
    rules
}
