use super::*;
use crate::policy::DEFAULT_POLICY;
use proptest::prelude::*;
use serde_json::json;

fn name() -> PolicyName {
    PolicyName::parse("test").unwrap()
}

fn rules(source: &str) -> Vec<Rule> {
    Policy::parse(name(), source).unwrap_or_else(|error| panic!("{source}\n{error}")).rules
}

fn rule(source: &str) -> Rule {
    let [rule] = rules(source).try_into().unwrap_or_else(|rules| panic!("{source}: {rules:?}"));
    rule
}

fn capabilities_of(rule: &Rule) -> Vec<&'static str> {
    rule.capabilities.iter().map(Capability::word).collect()
}

fn error(source: &str) -> String {
    Policy::parse(name(), source).err().unwrap_or_else(|| panic!("was taken: {source}")).to_string()
}

#[test]
fn an_empty_text_is_a_policy_without_rules() {
    for source in ["", "  \n", "# nothing\n", "{}", "\u{FEFF}", "name = \"x\""] {
        assert!(rules(source).is_empty(), "{source:?}");
    }
}

#[test]
fn the_same_rule_is_read_from_every_spelling() {
    for source in [
        r#"path "secret/*" { capabilities = ["read", "list"] }"#,
        r#"path "/secret/*" { capabilities = ["list", "read",], }"#,
        r#""path" "secret/*" { "capabilities" = ["read" , "list"] }"#,
        r#"path "secret/*" { policy = "read" }"#,
        r#"path "secret/*" { comment = "why" policy = "read" capabilities = ["read"] }"#,
        "name = \"x\"\n# a\n// b\n/* c\n*/\npath \"secret/*\" { capabilities = [\n\"read\", # r\n\"list\",\n] }",
        r#"{"path": {"secret/*": {"capabilities": ["read", "list"]}}}"#,
        r#" {"name": "x", "path": [{"/secret/*": {"policy": "read"}}]}"#,
        r#"{"path": {"secret/*": [{"capabilities": ["read", "list"]}]}}"#,
        r#"path = { "secret/*" = { capabilities = ["read", "list"] } }"#,
    ] {
        let rule = rule(source);
        assert_eq!(rule.pattern, "secret/*", "{source}");
        assert_eq!(capabilities_of(&rule), ["list", "read"], "{source}");
    }
}

#[test]
fn old_policy_words_stand_for_capabilities() {
    for (word, expected) in [
        ("read", vec!["list", "read"]),
        ("write", vec!["create", "delete", "list", "read", "update"]),
        ("sudo", vec!["create", "delete", "list", "read", "sudo", "update"]),
        ("deny", vec!["deny"]),
    ] {
        assert_eq!(capabilities_of(&rule(&format!("path \"a\" {{ policy = \"{word}\" }}"))), expected);
    }
    let both = rule(r#"path "a" { policy = "read" capabilities = ["update", "sudo"] }"#);
    assert_eq!(capabilities_of(&both), ["list", "read", "sudo", "update"]);
}

#[test]
fn deny_stands_alone_whatever_is_beside_it() {
    let denied = rule(r#"path "a" { capabilities = ["read", "deny", "sudo"] }"#);
    assert_eq!(capabilities_of(&denied), ["deny"]);
    let old = rule(r#"path "a" { policy = "deny" capabilities = ["read"] }"#);
    assert_eq!(capabilities_of(&old), ["deny"]);
}

#[test]
fn a_rule_without_capabilities_allows_nothing() {
    assert!(rule(r#"path "a" { }"#).capabilities.is_empty());
    assert!(rule(r#"path "a" { capabilities = [] }"#).capabilities.is_empty());
}

#[test]
fn parameters_are_read_from_values_blocks_and_one_line() {
    let expected = BTreeMap::from([("a".to_owned(), vec![]), ("*".to_owned(), vec![json!("x")])]);
    for source in [
        r#"path "p" { allowed_parameters = { "a" = [] "*" = ["x"] } }"#,
        "path \"p\" {\n allowed_parameters = {\n \"A\" = [],\n \"*\" = [\"x\",]\n }\n}",
        "path \"p\" {\n allowed_parameters {\n a = []\n \"*\" = [\"x\"]\n }\n}",
        r#"{"path": {"p": {"allowed_parameters": {"a": [], "*": ["x"]}}}}"#,
        r#"{"path": {"p": {"allowed_parameters": [{"a": []}, {"*": ["x"]}]}}}"#,
    ] {
        assert_eq!(rule(source).allowed_parameters, expected, "{source}");
    }
    let all = rule(
        r#"path "p" {
            denied_parameters = { "no_store" = [false, "false", 1, -2.5, 0x10, {"good" = "one"}, ["x"]] }
            required_parameters = ["Name", "id"]
        }"#,
    );
    let values = json!([false, "false", 1, -2.5, 16, {"good": "one"}, ["x"]]);
    assert_eq!(json!(all.denied_parameters["no_store"]), values);
    assert_eq!(all.required_parameters, ["name", "id"]);
}

#[test]
fn wrapping_ttls_are_numbers_or_text() {
    let rule = rule(r#"path "p" { min_wrapping_ttl = 100 max_wrapping_ttl = "1h30m" }"#);
    assert_eq!(rule.min_wrapping_ttl, Some(Duration::from_secs(100)));
    assert_eq!(rule.max_wrapping_ttl, Some(Duration::from_secs(5_400)));
    let json = self::rule(r#"{"path": {"p": {"min_wrapping_ttl": "1m", "max_wrapping_ttl": 0}}}"#);
    assert_eq!((json.min_wrapping_ttl, json.max_wrapping_ttl), (Some(Duration::from_secs(60)), None));
    assert!(error(r#"path "p" { min_wrapping_ttl = 2 max_wrapping_ttl = 1 }"#).contains("no request could satisfy"));
}

#[test]
fn each_rule_knows_its_line() {
    let source = "# one\npath \"a\" {\n}\n\npath \"b\" {}\n/* six\n*/ path \"c\" {}";
    assert_eq!(rules(source).iter().map(|rule| rule.line).collect::<Vec<_>>(), [2, 5, 7]);
    let json = "{\"path\": {\n\"a\": {},\n\n\"b\": {}}}";
    assert_eq!(rules(json).iter().map(|rule| rule.line).collect::<Vec<_>>(), [2, 4]);
}

#[test]
fn a_repeated_path_is_a_second_rule_in_json_too() {
    let source = r#"{"path": {"a": {"policy": "deny"}, "a": {"policy": "read"}}, "path": {"b": {}}}"#;
    let patterns: Vec<_> = rules(source).into_iter().map(|rule| rule.pattern).collect();
    assert_eq!(patterns, ["a", "a", "b"]);
}

#[test]
fn heredocs_escapes_and_interpolation_are_text() {
    let source = "path \"caf\\u00e9/\\\"x\\\"\" { comment = <<EOF\n} path {\nEOF\n}\npath \"b${x(\"y\")}\" {}\n\
                  path \"c\" {\ncomment = <<-END\n  indented\n  END\n}";
    let patterns: Vec<_> = rules(source).into_iter().map(|rule| rule.pattern).collect();
    assert_eq!(patterns, ["café/\"x\"", "b${x(\"y\")}", "c"]);
}

#[test]
fn an_error_names_the_line_and_what_to_write() {
    for (source, expected) in [
        (
            "\npath \"a\" { capabilites = [\"read\"] }",
            "line 2: `capabilites` is not a key of a path; there are: capabilities,",
        ),
        ("paht \"a\" {}", "line 1: `paht` does not belong here: write `path"),
        (
            "path \"a\" {\ncapabilities = [\"read\",\n\"raed\"] }",
            "line 3: `raed` is not a capability; there are: create, delete,",
        ),
        ("path \"a\" { capabilities = [\"Read\"] }", "`Read` is not a capability"),
        ("path \"a\" { capabilities = [\"scan\"] }", "`scan` is not a capability"),
        ("path \"a\" { capabilities = [\"subscribe\"] }", "`subscribe` is not"),
        ("path \"a\" { capabilities = [\"recover\"] }", "`recover` is not"),
        ("path \"a\" { capabilities = [\"root\"] }", "`root` is not"),
        ("path \"a\" { capabilities = \"read\" }", "is a string and must be a list: write `capabilities = [\"...\"]`"),
        ("path \"a\" { capabilities = [1] }", "holds a number where text belongs"),
        ("path \"a\" { policy = \"admin\" }", "`admin` is not a policy word; there are: read, write, sudo, deny"),
        ("path \"a\" { control_group = {} }", "`control_group` is not served"),
        ("path \"a\" { expiration = \"2030-01-01T00:00:00Z\" }", "`expiration` is not served"),
        ("path \"a\" { allowed_parameters = { a = \"x\" } }", "`a` needs a list of values: write `\"a\" = [\"...\"]`"),
        ("path \"a\" { allowed_parameters = { a = [] A = [] } }", "`A` is there twice"),
        ("path \"a\" { capabilities = [] capabilities = [] }", "`capabilities` is there twice"),
        ("path \"a\" { max_wrapping_ttl = \"soon\" }", "max_wrapping_ttl: `soon` is not a duration"),
        ("path \"a\" \"b\" { }", "write `path \"...\" { ... }`"),
        ("path { capabilities = [\"read\"] }", "write `path \"...\" { ... }`"),
        ("path \"a\" = { }", "a block has no `=`"),
        ("path \"a\" {", "the `{` of line 1 is never closed"),
        ("path \"a\" { capabilities = [\"read\" \"list\"] }", "a `,` or `]` belongs here"),
        ("path \"a\" { capabilities = [read] }", "write text in double quotes"),
        ("path \"a", "never closed"),
        ("path \"secret/+*\" {}", "`+*` is not a wildcard"),
        ("path \"{{identity.shoe}}\" {}", "`identity.shoe` is not a template"),
        ("}", "a `}` that closes nothing"),
        ("/* x", "the comment that begins here is never closed"),
        ("{\"path\": {\"a\": {}}", "a `,` or `}` belongs here"),
        ("{\"path\": {\"a\": {},}}", "a key in double quotes belongs here"),
        ("{\"path\": [\"a\"]}", "where a block belongs"),
        ("{} {}", "something follows"),
    ] {
        let error = error(source);
        assert!(error.contains(expected), "{source}\n  {error}");
    }
}

#[test]
fn deep_and_huge_texts_are_refused_before_they_cost_anything() {
    for open in ["[", "{ a = ", "{ \"a\" "] {
        assert!(error(&format!("path \"a\" {{ b = {}", open.repeat(100_000))).contains("more than 64 brackets"));
    }
    assert!(error(&format!("{{\"path\": {}", "[".repeat(100_000))).contains("more than 64 brackets"));
    assert!(error(&format!("{{\"path\": {}", "{\"a\":".repeat(100_000))).contains("more than 64 brackets"));
    assert!(error(&"#".repeat((1 << 20) + 1)).contains("larger than"));
}

#[test]
fn what_is_hardly_meant_is_remarked_and_still_taken() {
    for (pattern, expected) in [
        ("secret/*/foo", "`*` counts only at the end"),
        ("secret/foo+", "`+` counts only as a whole segment"),
        ("secret//foo", "matches nothing"),
        ("secret/../foo", "matches nothing"),
    ] {
        let policy = Policy::parse(name(), &format!("\npath \"{pattern}\" {{ policy = \"read\" }}")).unwrap();
        let remarks = policy.remarks();
        assert_eq!(remarks.len(), 1, "{pattern}: {remarks:?}");
        assert!(remarks[0].what.contains(expected) && remarks[0].line == 2, "{pattern}: {remarks:?}");
    }
    for pattern in ["secret/*", "*", "", "secret/+/a", "+", "secret/", "a.b/..c", "secret/+/*"] {
        let policy = Policy::parse(name(), &format!("path \"{pattern}\" {{ policy = \"read\" }}")).unwrap();
        assert_eq!(policy.remarks(), [], "{pattern}");
    }
}

#[test]
fn the_default_policy_reads_and_has_nothing_to_remark() {
    let policy = Policy::parse(PolicyName::default_policy(), DEFAULT_POLICY).unwrap();
    assert_eq!(policy.rules.len(), 18);
    assert!(policy.is_templated());
    assert_eq!(policy.remarks(), []);
}

fn fragment() -> impl Strategy<Value = String> {
    let token = prop::sample::select(vec![
        "path",
        "\"a/*\"",
        "{",
        "}",
        "[",
        "]",
        "=",
        ",",
        "\"",
        "capabilities",
        "\"read\"",
        "<<E\n",
        "E\n",
        "#",
        "/*",
        "*/",
        "{{",
        "}}",
        "\\",
        "${",
        "-",
        "0x",
        "1e",
        ":",
        "\n",
        " ",
        "é",
        "\u{FEFF}",
        "null",
        "true",
        "{\"path\":",
        "<<-E\n",
    ]);
    prop::collection::vec(token, 0..40).prop_map(|tokens| tokens.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = Policy::parse(name(), &String::from_utf8_lossy(&bytes));
    }

    #[test]
    fn random_fragments_never_panic_and_errors_name_a_line_of_the_text(source in fragment()) {
        if let Err(error) = Policy::parse(name(), &source) {
            let lines = u32::try_from(source.matches('\n').count()).unwrap() + 1;
            prop_assert!((1..=lines).contains(&error.line), "{}", error);
        }
    }
}
