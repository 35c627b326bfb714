use super::*;
use proptest::prelude::*;
use strongroom_model::PolicyName;
use strongroom_model::policy::Policy;

#[test]
fn a_policy_gets_its_usual_shape_and_keeps_it() {
    let ragged = "path \"secret/*\" {\n capabilities=[\"read\",\"list\"]   \n      max_wrapping_ttl   = \"1h\"\n\tallowed_parameters = {\n\"a\" = [ ]\n}\n}\n\n\n# end\n\n";
    let shaped = "path \"secret/*\" {\n  capabilities     = [\"read\",\"list\"]\n  max_wrapping_ttl = \"1h\"\n  allowed_parameters = {\n    \"a\" = [ ]\n  }\n}\n\n\n# end\n";
    let got = reshape(ragged).unwrap();
    assert_eq!(reshape(&got).unwrap(), got);
    assert_eq!(got.lines().next(), shaped.lines().next());
    for line in ["    \"a\" = [ ]", "  }", "}", "# end"] {
        assert!(got.lines().any(|got| got == line), "{line}\n{got}");
    }
    assert!(got.contains("  max_wrapping_ttl   = \"1h\"\n"), "{got}");
}

#[test]
fn brackets_in_text_and_comments_do_not_indent() {
    let text = "path \"a{\" {\n  # { [\n  policy = \"x[\" // {\n  /* {\n   kept */\n}\n";
    assert_eq!(reshape(text).unwrap(), text);
}

#[test]
fn here_documents_stay_as_they_are() {
    let text = "a = <<EOT\n   x {\n     y = 1\nEOT\nb = 1\n";
    assert_eq!(reshape(text).unwrap(), text);
}

#[test]
fn what_is_not_hcl_is_refused_with_its_place() {
    assert!(reshape("path \"x\" {").unwrap_err().contains("line"));
}

#[test]
fn what_stands_on_one_line_gets_lines_of_its_own() {
    for (odd, shaped) in [
        ("path \"a\" {\n  capabilities = [\"read\"] }", "path \"a\" {\n  capabilities = [\"read\"]\n}\n"),
        ("path \"a\" { policy = \"read\" }", "path \"a\" {\n  policy = \"read\"\n}\n"),
        ("path \"a\"\n{\n}\npath b {}", "path \"a\" {}\npath b {}\n"),
        ("a=1 bcd=[\n1,\n2] # two", "a   = 1\nbcd = [\n  1,\n  2\n] # two\n"),
        ("p { \"a\" = [], \"*\" = [\"x\",] }", "p {\n  \"a\" = [],\n  \"*\" = [\"x\",]\n}\n"),
        ("a = <<E\n x\nE\nb = [<<-E\n  y\n  E\n, 2]", "a = <<E\n x\nE\nb = [\n  <<-E\n  y\n  E\n  ,\n  2\n]\n"),
        ("{\"path\":{\"a\":{\"capabilities\":[\"read\" ,\"list\"]},\"a\":{}}}", JSON),
        ("", ""),
    ] {
        assert_eq!(reshape(odd).unwrap(), shaped, "{odd}");
        assert_eq!(reshape(shaped).unwrap(), shaped, "{shaped}");
    }
}

const JSON: &str = r#"{
  "path": {
    "a": {
      "capabilities": ["read", "list"]
    },
    "a": {}
  }
}
"#;

/// Blanks, line ends and comments as people and programs leave them between two words.
fn gap() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        " ",
        " ",
        "  ",
        "\t",
        "\n",
        "\n\n\n",
        "\r\n",
        " # } ]\n",
        " // {\n\n",
        "/* { */",
        "\n /* [\n\t] */ ",
        "#\n",
    ])
}

/// The words with something between every two of them.
fn laid_out(words: Vec<String>) -> impl Strategy<Value = String> {
    prop::collection::vec(gap(), words.len())
        .prop_map(move |gaps| words.iter().zip(gaps).fold(String::new(), |text, (word, gap)| text + word + gap))
}

fn quoted() -> impl Strategy<Value = String> {
    prop::sample::select(vec![
        "\"secret/*\"",
        "\"a b\"",
        "\"{[#\"",
        "\"// no\"",
        "\"\\\"\"",
        "\"${ x \" }\"",
        "\"\\\\\"",
        "\"{{identity.entity.id}}/+\"",
        "\"\"",
    ])
    .prop_map(str::to_owned)
}

fn value() -> impl Strategy<Value = Vec<String>> {
    let leaf = prop_oneof![
        quoted().prop_map(|text| vec![text]),
        prop::sample::select(vec!["1", "-2.5", "0x1f", "true", "false"]).prop_map(|word| vec![word.to_owned()]),
        prop::sample::select(vec!["<<E\n x = {\n\nE\n", "<<-End\n  a\n   b\n  End\n", "<<E\nE\n"])
            .prop_map(|text| vec![text.to_owned()]),
    ];
    leaf.prop_recursive(3, 24, 4, |inner| {
        let list = prop::collection::vec(inner.clone(), 0..4).prop_map(|members| {
            let mut words = vec!["[".to_owned()];
            for member in members {
                words.extend(member.into_iter().chain([",".to_owned()]));
            }
            words.into_iter().chain(["]".to_owned()]).collect()
        });
        let object = prop::collection::vec((quoted(), inner, any::<bool>()), 0..4).prop_map(|items| {
            let mut words = vec!["{".to_owned()];
            for (name, value, comma) in items {
                words.extend([name, "=".to_owned()].into_iter().chain(value));
                words.extend(comma.then(|| ",".to_owned()));
            }
            words.into_iter().chain(["}".to_owned()]).collect()
        });
        prop_oneof![list, object]
    })
}

fn text() -> impl Strategy<Value = String> {
    let item = prop_oneof![
        value().prop_map(|value| ["name".to_owned(), "=".to_owned()].into_iter().chain(value).collect::<Vec<_>>()),
        (quoted(), value()).prop_map(|(label, value)| {
            let body = ["{".to_owned(), "\"x\"".to_owned(), "=".to_owned()].into_iter().chain(value);
            ["path".to_owned(), label].into_iter().chain(body).chain(["}".to_owned()]).collect()
        }),
    ];
    prop::collection::vec(item, 0..5).prop_flat_map(|items| laid_out(items.concat()))
}

fn policy() -> impl Strategy<Value = String> {
    let words = |words: &'static str| words.split(' ').map(str::to_owned).collect::<Vec<String>>();
    let lines = prop::sample::subsequence(
        vec![
            words("capabilities = [ \"read\" , \"list\" , ]"),
            words("policy = \"write\""),
            words("allowed_parameters = { \"a\" = [ ] \"b\" = [ \"1\" , 2 ] , }"),
            words("denied_parameters { \"*\" = [] }"),
            words("required_parameters = [ \"k\" ]"),
            words("min_wrapping_ttl = \"1s\" ,"),
            words("max_wrapping_ttl = 90"),
        ],
        0..7,
    );
    let rule = (quoted(), lines).prop_map(|(label, lines)| {
        ["path".to_owned(), label, "{".to_owned()]
            .into_iter()
            .chain(lines.concat())
            .chain(["}".to_owned()])
            .collect::<Vec<_>>()
    });
    prop::collection::vec(rule, 0..4).prop_flat_map(|rules| laid_out(rules.concat()))
}

/// What a policy says; where in the text it says so does not count.
fn meaning(text: &str) -> Option<Vec<strongroom_model::policy::Rule>> {
    let mut rules = Policy::parse(PolicyName::parse("x").unwrap(), text).ok()?.rules;
    rules.iter_mut().for_each(|rule| rule.line = 0);
    Some(rules)
}

proptest! {
    #[test]
    fn whatever_is_accepted_keeps_its_meaning_and_its_shape(text in text()) {
        prop_assume!(hcl::parse(&text).is_ok());
        let shaped = reshape(&text).map_err(|error| TestCaseError::fail(format!("{error}\n{text}")))?;
        prop_assert_eq!(&reshape(&shaped).unwrap(), &shaped, "{}", text);
        let bare = |text: &str| text.chars().filter(|c| !c.is_whitespace()).collect::<String>();
        prop_assert_eq!(bare(&text), bare(&shaped));
    }

    #[test]
    fn a_policy_in_any_layout_says_the_same_afterwards(text in policy()) {
        let before = meaning(&text);
        let shaped = reshape(&text).map_err(|error| TestCaseError::fail(format!("{error}\n{text}")))?;
        prop_assert_eq!(meaning(&shaped), before, "{}\n{}", text, shaped);
    }

    #[test]
    fn json_keeps_its_meaning(items in prop::collection::vec(("[a-c]", any::<i32>(), prop::collection::vec("[{}:, \\\\\"]{0,4}", 0..3)), 0..4)) {
        let members = items.iter().map(|(name, number, words)| format!("{:?} :{{\"n\":\n{number}, \"w\" :{}}}", name, serde_json::json!([words, words])));
        let text = format!("{{ \"path\":{{{}}}}}", members.collect::<Vec<_>>().join(","));
        let shaped = reshape(&text).map_err(|error| TestCaseError::fail(format!("{error}\n{text}")))?;
        prop_assert_eq!(&reshape(&shaped).unwrap(), &shaped);
    }
}
