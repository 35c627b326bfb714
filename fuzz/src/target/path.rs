//! Paths: one spelling, and routing, policy and storage read the same one.

use super::{Target, seeds};
use std::sync::Arc;
use strongroom_api::harness;
use strongroom_core::{Access, Endpoint, Operation, route};
use strongroom_model::policy::{Acl, Policy, Question};
use strongroom_model::{Capability, FolderPath, MountPath, PolicyName, RequestPath, SecretPath};

pub(super) const PATH: Target = Target {
    name: "path",
    words: &["secret", "data", "..", ".", "%2e%2e", "%2f", "%252f", "%ff", "\u{ad}", "sys", "auth/", "+", "*"],
    seeds: || {
        seeds(&[
            "secret/data/app/db",
            "secret/metadata/a/",
            "auth/approle/role/web/secret-id",
            "secret/data/%61%20b",
            "secret/data/..%2fother",
            "a",
            "sys/policies/acl/x",
        ])
    },
    run,
};

const TABLE: &[Endpoint] = &[
    Endpoint { pattern: "{path..}", operations: &[Operation::Read], access: Access::Token, help: "" },
    Endpoint { pattern: "{name}/{path..}", operations: &[Operation::Read], access: Access::Token, help: "" },
];

fn run(data: &[u8]) -> String {
    let Ok(raw) = std::str::from_utf8(data) else { return "no text".to_owned() };
    let path = match harness::decode_path(raw) {
        Ok(path) => path,
        Err(error) => return error.to_string(),
    };
    let text = path.as_str();
    assert_eq!(RequestPath::parse(text).as_ref(), Ok(&path), "a path that was taken reads back as itself");
    assert!(
        text.split('/').all(|segment| !["", ".", ".."].contains(&segment)),
        "{text:?} holds an empty or dotted segment"
    );
    assert!(!text.chars().any(|c| c.is_control()), "{text:?} holds a control character");
    routing_agrees(text);
    storage_agrees(&path);
    policy_agrees(&path);
    format!("{} segments", text.split('/').count())
}

/// What routing takes apart is what was sent.
fn routing_agrees(text: &str) {
    let (endpoint, captures) = route(TABLE, text).expect("the table takes every path");
    let taken = match endpoint.pattern {
        "{path..}" => captures.get("path").to_owned(),
        _ => format!("{}/{}", captures.get("name"), captures.get("path")),
    };
    assert_eq!(taken, text, "routing has read another path");
    assert_eq!(endpoint.path(&captures), text);
}

/// A mount and what lies below it are the path, however it is cut.
fn storage_agrees(path: &RequestPath) {
    let text = path.as_str();
    for (at, _) in text.match_indices('/') {
        let (mount, below) = (&text[..at], &text[at + 1..]);
        let Ok(mount) = MountPath::parse_unreserved(mount) else { continue };
        assert_eq!(path.below(&mount), Some(below), "below {mount}");
        let secret = SecretPath::parse(below).expect("what lies below a mount is a path");
        assert_eq!(secret.as_str(), below);
        assert_eq!(FolderPath::parse(below).map(|folder| folder.as_str().to_owned()), Ok(below.to_owned()));
    }
}

/// A rule for this path is about this path, and a denial of it cannot be got around.
fn policy_agrees(path: &RequestPath) {
    let text = path.as_str();
    if text.contains(['+', '*']) || text.contains("{{") || text.contains("}}") {
        return;
    }
    let quoted = serde_json::Value::String(text.to_owned());
    let rules = |all: &str, this: &str| {
        format!(r#"{{"path": {{"*": {{"capabilities": ["{all}"]}}, {quoted}: {{"capabilities": ["{this}"]}}}}}}"#)
    };
    assert!(may(&rules("deny", "read"), path), "a rule for {text:?} does not hold for it");
    assert!(!may(&rules("read", "deny"), path), "a denial of {text:?} does not hold for it");
    if let Ok(other) = RequestPath::parse(&format!("{text}x")) {
        assert!(!may(&rules("deny", "read"), &other), "a rule for {text:?} holds for more");
    }
}

fn may(rules: &str, path: &RequestPath) -> bool {
    let name = PolicyName::parse("fuzz").expect("a name");
    let policy = Policy::parse(name, rules).unwrap_or_else(|error| panic!("{rules}: {error}"));
    let acl = Acl::new(vec![Arc::new(policy)]);
    let question = Question { path, capability: Capability::Read, sudo: false, parameters: None, wrap_ttl: None };
    acl.decide(&question).granted
}
