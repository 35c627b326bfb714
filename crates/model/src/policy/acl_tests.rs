use super::*;
use serde_json::json;

fn policy(name: &str, source: &str) -> Arc<Policy> {
    let name = PolicyName::parse(name).unwrap();
    Arc::new(Policy::parse(name, source).unwrap_or_else(|error| panic!("{source}\n{error}")))
}

fn acl(sources: &[&str]) -> Acl {
    let named = sources.iter().zip('a'..).map(|(source, name)| policy(&name.to_string(), source));
    Acl::new(named.collect())
}

fn ask(acl: &Acl, capability: Capability, path: &str) -> Decision {
    let path = RequestPath::parse(path).unwrap();
    acl.decide(&Question { path: &path, capability, sudo: false, parameters: None, wrap_ttl: None })
}

fn granted(acl: &Acl, capability: &str, path: &str) -> bool {
    ask(acl, Capability::parse(capability).unwrap(), path).granted
}

fn words(acl: &Acl, path: &str) -> Vec<&'static str> {
    acl.capabilities(&RequestPath::parse(path).unwrap()).iter().map(Capability::word).collect()
}

fn send(acl: &Acl, path: &str, parameters: Value) -> Reason {
    send_wrapped(acl, path, parameters, None)
}

fn send_wrapped(acl: &Acl, path: &str, parameters: Value, wrap_ttl: Option<u64>) -> Reason {
    let path = RequestPath::parse(path).unwrap();
    let parameters = parameters.as_object();
    let wrap_ttl = wrap_ttl.map(Duration::from_secs);
    acl.decide(&Question { path: &path, capability: Capability::Update, sudo: false, parameters, wrap_ttl }).reason
}

fn refused(name: &str) -> Reason {
    Reason::Parameter(name.to_owned())
}

/// Vault's documentation, "Policy syntax".
const DOCUMENTED: &str = r#"
    path "secret/*" { capabilities = ["create", "read", "update", "patch", "delete", "list"] }
    path "secret/super-secret" { capabilities = ["deny"] }
    path "secret/restricted" {
      capabilities = ["create"]
      allowed_parameters = { "foo" = [] "bar" = ["zip", "zap"] }
    }
    path "kv/foo" { capabilities = ["read"] }
    path "kv/bar/*" { capabilities = ["read"] }
    path "kv/zip-*" { capabilities = ["read"] }
    path "team/+/teamb" { capabilities = ["read"] }
    path "team/+/+/teamb" { capabilities = ["read"] }
"#;

#[test]
fn the_documented_examples_hold() {
    let acl = acl(&[DOCUMENTED]);
    for (capability, path, expected) in [
        ("read", "secret/anything/below", true),
        ("patch", "secret/x", true),
        ("sudo", "secret/x", false),
        ("read", "secret/super-secret", false),
        ("read", "secret/super-secret-2", true),
        ("read", "kv/foo", true),
        ("update", "kv/foo", false),
        ("read", "kv/food", false),
        ("read", "kv/foo/bar", false),
        ("read", "kv/bar/zip", true),
        ("read", "kv/bar/zip/zap", true),
        ("read", "kv/bars/zip", false),
        ("read", "kv/bar", false),
        ("read", "kv/zip-zap", true),
        ("read", "kv/zip-zap/zong", true),
        ("read", "kv/zip/zap", false),
        ("read", "team/x/teamb", true),
        ("read", "team/x/y/teamb", true),
        ("read", "team/teamb", false),
        ("read", "team/x/y/z/teamb", false),
        ("read", "elsewhere", false),
    ] {
        assert_eq!(granted(&acl, capability, path), expected, "{capability} {path}");
    }
}

#[test]
fn a_decision_names_policy_rule_line_and_reason() {
    let acl = acl(&["path \"s/*\" {\n capabilities = [\"list\"]\n}", "\n\npath \"s/*\" { capabilities = [\"read\"] }"]);
    let decision = ask(&acl, Capability::Read, "s/x");
    assert_eq!((decision.granted, decision.line, decision.reason.clone()), (true, Some(3), Reason::Granted));
    assert_eq!(decision.policy.as_ref().map(PolicyName::as_str), Some("b"));
    assert_eq!(decision.explain(), "policy `b`, line 3, path `s/*`, allows it");
    let lacking = ask(&acl, Capability::Delete, "s/x");
    assert_eq!(lacking.explain(), "policy `a`, line 1, path `s/*`, lacks `delete`: ask an operator to add it");
    let nothing = ask(&acl, Capability::Read, "t");
    assert_eq!((nothing.policy.clone(), nothing.rule.clone(), nothing.line), (None, None, None));
    assert_eq!(nothing.explain(), "no policy has a rule for this path: ask an operator for one");
}

#[test]
fn deny_in_one_policy_wins_over_all_others_on_the_same_path() {
    let allow = r#"path "s/x" { capabilities = ["read", "sudo"] }"#;
    let deny = "\n\n\n\npath \"s/x\" { capabilities = [\"deny\"] }";
    for order in [[allow, deny], [deny, allow]] {
        let decision = ask(&acl(&order), Capability::Read, "s/x");
        assert_eq!((decision.reason.clone(), decision.line), (Reason::Denied, Some(5)));
        assert!(decision.explain().ends_with("says `deny`, which nothing overrides"));
    }
}

#[test]
fn only_the_most_specific_rule_counts() {
    let acl = acl(&[r#"path "1/2/*" { capabilities = ["create"] }
           path "1/2/+" { capabilities = ["read"] }
           path "1/2/+/+" { capabilities = ["update"] }
           path "foo/bar/+/baz" { capabilities = ["read"] }
           path "foo/+/bar/baz" { capabilities = ["update"] }
           path "q/+/b/ba*" { capabilities = ["read"] }
           path "q/+/b/b*" { capabilities = ["update"] }
           path "q/+/+/ba*" { capabilities = ["delete"] }"#]);
    for (path, expected) in [
        ("1/2/3", vec!["read"]),
        ("1/2/3/4", vec!["update"]),
        ("1/2/3/4/5", vec!["create"]),
        ("foo/bar/bar/baz", vec!["read"]),
        ("foo/x/bar/baz", vec!["update"]),
        ("q/x/b/bar", vec!["read"]),
        ("q/x/b/box", vec!["update"]),
        ("q/x/c/bar", vec!["delete"]),
    ] {
        assert_eq!(words(&acl, path), expected, "{path}");
    }
}

#[test]
fn wildcards_stand_where_vault_lets_them_stand() {
    let acl = acl(&[r#"path "test/+/segment" { policy = "read" }
           path "+/segment/at/front" { policy = "read" }
           path "test/segment/at/end/+" { policy = "read" }
           path "test/segment/at/end/v2/+/" { policy = "read" }
           path "test/+/wildcard/+/*" { policy = "read" }
           path "test/+/wildcardglob/+/end*" { policy = "read" }
           path "a+/b" { policy = "read" }
           path "c/*/d" { policy = "read" }"#]);
    for (capability, path, expected) in [
        ("read", "test/foo/segment", true),
        ("read", "test/foo/bar/segment", false),
        ("read", "foo/segment/at/front", true),
        ("read", "foo/bar/segment/at/front", false),
        ("read", "test/segment/at/end/foo", true),
        ("read", "test/segment/at/end/foo/bar", false),
        ("list", "test/segment/at/end/v2/foo", true),
        ("read", "test/segment/at/end/v2/foo", false),
        ("read", "test/1/wildcard/2/3", true),
        ("read", "test/1/wildcard/2/3/4", true),
        ("read", "test/1/wildcard/2", false),
        ("read", "test/1/wildcardglob/2/end", true),
        ("read", "test/1/wildcardglob/2/ending/3", true),
        ("read", "test/1/wildcardglob/2/en", false),
        ("read", "a+/b", true),
        ("read", "ax/b", false),
        ("read", "c/*/d", true),
        ("read", "c/x/d", false),
    ] {
        assert_eq!(granted(&acl, capability, path), expected, "{capability} {path}");
    }
}

#[test]
fn sudo_is_needed_beside_the_capability_and_never_instead() {
    let path = RequestPath::parse("sys/raw").unwrap();
    let reason = |words: &str| {
        let acl = acl(&[&format!("path \"sys/raw\" {{ capabilities = [{words}] }}")]);
        let question =
            Question { path: &path, capability: Capability::Read, sudo: true, parameters: None, wrap_ttl: None };
        acl.decide(&question).reason
    };
    assert_eq!(reason("\"read\", \"sudo\""), Reason::Granted);
    assert_eq!(reason("\"read\""), Reason::Lacks(Capability::Sudo));
    assert_eq!(reason("\"sudo\""), Reason::Lacks(Capability::Read));
}

#[test]
fn a_list_does_not_slip_past_a_deny_by_its_trailing_slash() {
    // GHSA-xp3c-3jw3-4vcr and OpenBao's test of it.
    let openbao = acl(&[r#"path "foo/metadata/*" { capabilities = ["list"] }
           path "foo/metadata/private/*" { capabilities = ["deny"] }
           path "foo/metadata/private/granted/*" { capabilities = ["list"] }"#]);
    for (path, expected) in [
        ("foo", false),
        ("foo/metadata", true),
        ("foo/metadata/test", true),
        ("foo/metadata/private", false),
        ("foo/metadata/private/internal", false),
        ("foo/metadata/private/granted", true),
        ("foo/metadata/private/granted/test", true),
    ] {
        assert_eq!(granted(&openbao, "list", path), expected, "{path}");
        assert_eq!(granted(&openbao, "list", &format!("{path}/")), expected, "{path}/");
    }
    // Only the spelling without the slash meets the deny here.
    let narrow = acl(&[r#"path "s/*" { policy = "read" } path "s/+" { policy = "deny" }"#]);
    assert!(!granted(&narrow, "list", "s/x"));
    assert!(granted(&narrow, "list", "s/x/y"));
}

#[test]
fn a_list_takes_the_rule_of_either_spelling() {
    let slash = acl(&[r#"path "s/x/" { capabilities = ["list"] }"#]);
    assert!(granted(&slash, "list", "s/x") && !granted(&slash, "read", "s/x"));
    let bare = acl(&[r#"path "s/x" { capabilities = ["list"] }"#]);
    assert!(granted(&bare, "list", "s/x/"));
    let below = acl(&[r#"path "s/x/*" { capabilities = ["list", "read"] }"#]);
    assert!(granted(&below, "list", "s/x") && !granted(&below, "read", "s/x"));
    let both = acl(&[r#"path "s/x/" { capabilities = ["list"] } path "s/x" { policy = "deny" }"#]);
    assert!(granted(&both, "list", "s/x"), "the folder may be listed, the secret of the same name not be read");
    assert!(!granted(&both, "read", "s/x"));
    let broad_deny = acl(&[r#"path "s/*" { policy = "deny" } path "s/x/*" { policy = "read" }"#]);
    assert!(granted(&broad_deny, "list", "s/x"), "a broad deny with a narrow grant is how policies are written");
}

#[test]
fn capabilities_are_what_decide_would_grant() {
    let acl = acl(&[r#"path "s/*" { capabilities = ["read", "list", "sudo"] }
           path "s/x/*" { capabilities = ["update"] }
           path "d/+" { policy = "deny" }
           path "f/*" { capabilities = ["list", "read", "sudo"] }
           path "none" { }"#]);
    assert_eq!(words(&acl, "s/a"), ["list", "read", "sudo"]);
    assert_eq!(words(&acl, "s/x"), ["read", "sudo"], "listing s/x is decided by s/x/*");
    assert_eq!(words(&acl, "d/1"), ["deny"]);
    assert_eq!(words(&acl, "f"), ["list", "sudo"]);
    assert_eq!(words(&acl, "none"), ["deny"]);
    assert_eq!(words(&acl, "elsewhere"), ["deny"]);
}

#[test]
fn root_may_everything_and_only_root_is_root() {
    let root = Arc::new(Policy { name: PolicyName::root(), rules: Vec::new(), source: String::new() });
    let both = Acl::new(vec![policy("a", r#"path "*" { policy = "deny" }"#), root]);
    assert!(both.is_root());
    let decision = ask(&both, Capability::Delete, "sys/raw");
    assert!(decision.granted && decision.reason == Reason::Root);
    assert!(both.touches("anything/"));
    assert!(!acl(&[r#"name = "root" path "a" { policy = "read" }"#]).is_root());
}

#[test]
fn nothing_is_allowed_without_policies() {
    let empty = Acl::new(Vec::new());
    assert_eq!(ask(&empty, Capability::Read, "a").reason, Reason::NoRule);
    assert_eq!(words(&empty, "a"), ["deny"]);
    assert!(!empty.touches("") && !empty.touches("a/"));
}

#[test]
fn parameters_are_allowed_denied_and_required_as_documented() {
    let acl = acl(&[r#"path "required" { policy = "write" required_parameters = ["Name", "id"] }
           path "password" { policy = "write" allowed_parameters = { "password" = [] } }
           path "period" { policy = "write" allowed_parameters = { "auto_rotate_period" = ["8h", "24h"] } }
           path "star" { policy = "write" allowed_parameters = { "bar" = ["zip", "zap"] "*" = [] } }
           path "denied" { policy = "write" denied_parameters = { "token_policies" = [] "policies" = [] } }
           path "admin" { policy = "write" denied_parameters = { "allowed_policies" = ["admin"] } }
           path "nothing" { policy = "write" denied_parameters = { "*" = [] } }
           path "both" { policy = "write" allowed_parameters = { "*" = [] } denied_parameters = { "*" = [] } }
           path "steve" { policy = "write" allowed_parameters = { "steve" = [] } denied_parameters = { "steve" = [] } }
           path "glob" { policy = "write" allowed_parameters = { "bar" = ["foo-*"] } }
           path "store" {
             policy = "write"
             required_parameters = ["no_store"]
             denied_parameters = { "no_store" = [false, "false"] }
           }
           path "types" { policy = "write" allowed_parameters = { "map" = [{"good" = "one"}] "int" = [1, 2] } }
           path "empty" { policy = "write" allowed_parameters = {} denied_parameters = {} }"#]);
    for (path, sent, expected) in [
        ("required", json!({"name": 1, "id": 2}), Reason::Granted),
        ("required", json!({"id": 2}), refused("name")),
        ("required", json!({"Name": 1, "id": 2}), refused("name")),
        ("password", json!({"password": "x"}), Reason::Granted),
        ("password", json!({"PassWord": "x"}), Reason::Granted),
        ("password", json!({"password": "x", "token_ttl": 1}), refused("token_ttl")),
        ("password", json!({}), Reason::Granted),
        ("period", json!({"auto_rotate_period": "24h"}), Reason::Granted),
        ("period", json!({"auto_rotate_period": "5d"}), refused("auto_rotate_period")),
        ("star", json!({"bar": "zip", "other": [1]}), Reason::Granted),
        ("star", json!({"bar": "zop"}), refused("bar")),
        ("denied", json!({"token_ttl": 1}), Reason::Granted),
        ("denied", json!({"Policies": "x"}), refused("Policies")),
        ("admin", json!({"allowed_policies": "web"}), Reason::Granted),
        ("admin", json!({"allowed_policies": "admin"}), refused("allowed_policies")),
        ("nothing", json!({"x": 1}), refused("x")),
        ("nothing", json!({}), Reason::Granted),
        ("both", json!({"x": 1}), refused("x")),
        ("steve", json!({"steve": 1}), refused("steve")),
        ("glob", json!({"bar": "foo-1"}), Reason::Granted),
        ("glob", json!({"bar": "fo"}), refused("bar")),
        ("store", json!({"value": "bar"}), refused("no_store")),
        ("store", json!({"no_store": "false"}), refused("no_store")),
        ("store", json!({"no_store": true}), Reason::Granted),
        ("types", json!({"map": {"good": "one"}, "int": 2}), Reason::Granted),
        ("types", json!({"map": {"bad": "one"}}), refused("map")),
        ("types", json!({"int": 3}), refused("int")),
        ("types", json!({"int": "1"}), refused("int")),
        ("types", json!({"int": null}), refused("int")),
        ("empty", json!({"x": 1}), Reason::Granted),
    ] {
        assert_eq!(send(&acl, path, sent.clone()), expected, "{path} {sent}");
    }
}

#[test]
fn a_refused_parameter_is_named_and_its_value_is_not() {
    let acl = acl(&[r#"path "p" { policy = "write" denied_parameters = { "pin" = [] } }"#]);
    let path = RequestPath::parse("p").unwrap();
    let parameters = json!({"pin": "hunter2"});
    let (capability, parameters) = (Capability::Update, parameters.as_object());
    let decision = acl.decide(&Question { path: &path, capability, sudo: false, parameters, wrap_ttl: None });
    assert!(decision.explain().contains("`pin`") && !format!("{decision:?}").contains("hunter2"), "{decision:?}");
}

#[test]
fn parameters_do_not_matter_for_delete_and_list() {
    let acl = acl(&[r#"path "p" { policy = "write" required_parameters = ["x"] }"#]);
    for (capability, expected) in
        [("delete", true), ("list", true), ("read", false), ("create", false), ("update", false)]
    {
        assert_eq!(granted(&acl, capability, "p"), expected, "{capability}");
    }
}

#[test]
fn the_limits_of_several_policies_on_one_path_are_merged() {
    let acl = acl(&[
        r#"path "values" { policy = "write" allowed_parameters = { "t" = [1, 2] "e" = [1] "only" = ["a"] } }
           path "ttl" { policy = "write" max_wrapping_ttl = 300 min_wrapping_ttl = 100 }
           path "star" { policy = "write" allowed_parameters = { "t" = ["foo"] } }
           path "deny" { policy = "write" denied_parameters = { "t" = [1] } required_parameters = ["x"] }
           path "free" { policy = "write" }"#,
        r#"path "values" { policy = "write" allowed_parameters = { "t" = [3] "e" = [] } }
           path "ttl" { policy = "write" max_wrapping_ttl = 200 min_wrapping_ttl = 50 }
           path "star" { policy = "write" allowed_parameters = { "*" = [] } }
           path "deny" { policy = "write" denied_parameters = { "*" = [] } required_parameters = ["y"] }
           path "free" { policy = "write" allowed_parameters = { "a" = [] } }"#,
    ]);
    for (path, sent, expected) in [
        ("values", json!({"t": 1}), Reason::Granted),
        ("values", json!({"t": 3}), Reason::Granted),
        ("values", json!({"t": 4}), refused("t")),
        ("values", json!({"e": 9}), Reason::Granted),
        ("values", json!({"only": "a"}), Reason::Granted),
        ("star", json!({"z": 1}), Reason::Granted),
        ("star", json!({"t": "bar"}), refused("t")),
        ("deny", json!({"x": 1}), refused("y")),
        ("deny", json!({"x": 1, "y": 1}), refused("x")),
        ("free", json!({"b": 1}), refused("b")),
    ] {
        assert_eq!(send(&acl, path, sent.clone()), expected, "{path} {sent}");
    }
    for (ttl, expected) in [(None, false), (Some(49), false), (Some(50), true), (Some(200), true), (Some(201), false)] {
        let reason = send_wrapped(&acl, "ttl", json!({}), ttl);
        assert_eq!(reason == Reason::Granted, expected, "{ttl:?}: {reason:?}");
    }
}

#[test]
fn a_wrapping_ttl_in_a_rule_makes_wrapping_mandatory() {
    let acl = acl(&[r#"path "max" { policy = "write" max_wrapping_ttl = 400 }
                       path "min" { policy = "write" min_wrapping_ttl = 300 }"#]);
    for (path, ttl, expected) in [
        ("max", None, Reason::Wrapping),
        ("max", Some(400), Reason::Granted),
        ("max", Some(401), Reason::Wrapping),
        ("min", None, Reason::Wrapping),
        ("min", Some(299), Reason::Wrapping),
        ("min", Some(300), Reason::Granted),
    ] {
        assert_eq!(send_wrapped(&acl, path, json!({}), ttl), expected, "{path} {ttl:?}");
    }
}

#[test]
fn a_mount_shows_when_something_in_it_is_allowed() {
    for (source, mount, expected) in [
        (r#"path "+" { policy = "read" }"#, "foo/", true),
        (r#"path "+/*" { policy = "read" }"#, "foo/", true),
        (r#"path "foo/+/+/*" { policy = "read" }"#, "foo/", true),
        (r#"path "foo/+/+/*" { policy = "read" }"#, "foo/bar/bar/", true),
        (r#"path "foo/+/+/*" { policy = "read" }"#, "foo/bar/bar/baz/", true),
        (r#"path "foo/+/+/baz" { policy = "read" }"#, "foo/bar/bar/baz/", true),
        (r#"path "foo/bar/+/b*" { policy = "read" }"#, "foo/bar/bar/baz/", true),
        (r#"path "foo/bar" { policy = "read" }"#, "foo", true),
        (r#"path "foo/bar" { policy = "deny" }"#, "foo/", false),
        (r#"path "foo/bar" { }"#, "foo/", false),
        (r#"path "fo/bar" { policy = "read" }"#, "foo/", false),
        (r#"path "food/bar" { policy = "read" }"#, "foo/", false),
        (r#"path "fo*" { policy = "read" }"#, "foo/", true),
        (r#"path "*" { policy = "read" }"#, "auth/approle/", true),
        (r#"path "*" { policy = "read" } path "foo/*" { policy = "deny" }"#, "foo/", false),
        (r#"path "foo/*" { policy = "deny" } path "foo/bar/*" { policy = "read" }"#, "foo/", true),
        (r#"path "auth/+/role" { policy = "read" }"#, "auth/approle/", true),
        (r#"path "sys/*" { policy = "read" }"#, "foo/", false),
    ] {
        assert_eq!(acl(&[source]).touches(mount), expected, "{source} {mount}");
    }
}

#[test]
fn the_default_policy_lets_a_caller_see_itself_and_nobody_else() {
    let source = super::super::DEFAULT_POLICY
        .replace("{{identity.entity.id}}", "e-1")
        .replace("{{identity.entity.name}}", "ann");
    let acl = acl(&[&source]);
    for (capability, path, expected) in [
        ("read", "auth/token/lookup-self", true),
        ("update", "auth/token/renew-self", true),
        ("update", "auth/token/create", false),
        ("read", "identity/entity/id/e-1", true),
        ("read", "identity/entity/id/e-2", false),
        ("read", "identity/entity/name/ann", true),
        ("list", "cubbyhole", true),
        ("create", "cubbyhole/response", true),
        ("update", "sys/wrapping/unwrap", true),
        ("update", "sys/tools/hash/sha2-256", true),
        ("read", "identity/oidc/provider/main/authorize", true),
        ("read", "secret/data/x", false),
    ] {
        assert_eq!(granted(&acl, capability, path), expected, "{capability} {path}");
    }
}
