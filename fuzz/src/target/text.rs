//! Bodies and spans of time: what was taken reads back, within bounds, and no error quotes.

use super::{CANARY, Target, outcome, seeds};
use serde_json::Value;
use strongroom_api::harness;
use strongroom_core::Fields;
use strongroom_model::Ttl;

pub(super) const BODY: Target = Target {
    name: "body",
    words: &[
        CANARY,
        "null",
        "true",
        "\\u0000",
        "\\ud800",
        "\\\"",
        "1e999",
        "-0",
        "{\"a\":",
        "[[",
        "]]",
        "\"data\":",
        "\"ttl\":",
        "99999999999999999999",
        "&",
        "%ff",
    ],
    seeds: || {
        seeds(&[
            r#"{"data": {"password": "hunter2-canary", "n": 1.10, "list": [1, "a", null, {"b": true}]}, "options": {"cas": 0}}"#,
            r#"{"ttl": "hunter2-canary", "policies": "a,b", "num_uses": "5", "renewable": "true", "meta": {"a": "b"}}"#,
            r#"{"a":"hunter2-canary"} x"#,
            r#"{"ttl": ["hunter2-canary"], "n": {"hunter2-canary": 1}}"#,
            "[1]",
            "null",
            "",
            "ttl=1h&policies=a%20b",
        ])
    },
    run: body,
};

fn body(data: &[u8]) -> String {
    let query = std::str::from_utf8(data).map(harness::parse_query);
    if let Ok(Ok(fields)) = &query {
        read_all(fields);
        assert!(fields.map().len() <= 1_000);
    }
    let parsed = harness::parse_body(data);
    let told = outcome(&parsed);
    let Ok(fields) = parsed else { return told };
    let text = serde_json::to_vec(fields.map()).expect("what was read can be written");
    let Ok(again) = harness::parse_body(&text) else { panic!("what was written cannot be read") };
    assert_eq!(again.map(), fields.map(), "another body comes back");
    let size = measure(&Value::Object(fields.map().clone()));
    assert!(size.0 <= 65 && size.1 <= 200_001, "a body of depth {} with {} values was taken", size.0, size.1);
    read_all(&fields)
}

/// Depth, and number of values.
fn measure(value: &Value) -> (usize, usize) {
    let inner: Vec<(usize, usize)> = match value {
        Value::Object(map) => map.values().map(measure).collect(),
        Value::Array(list) => list.iter().map(measure).collect(),
        _ => return (0, 1),
    };
    (1 + inner.iter().map(|size| size.0).max().unwrap_or(0), 1 + inner.iter().map(|size| size.1).sum::<usize>())
}

/// Every reader on fields of constant names, as handlers call them.
fn read_all(fields: &Fields) -> String {
    let mut told = String::new();
    for name in ["data", "ttl", "policies", "num_uses", "renewable", "meta", "options", "a", "n"] {
        told += &outcome(&fields.text(name));
        told += &outcome(&fields.flag(name));
        told += &outcome(&fields.int(name));
        told += &outcome(&fields.count(name));
        told += &outcome(&fields.ttl(name));
        told += &outcome(&fields.list(name));
        told += &outcome(&fields.text_map(name));
        told += &outcome(&fields.object(name).map(|_| ()));
        told += &outcome(&fields.secret(name).map(|_| ()));
    }
    told
}

pub(super) const TTL: Target = Target {
    name: "ttl",
    words: &["h", "m", "s", "d", "ms", "us", "ns", "1h30m", ".", "e9", "-", "+", "18446744073709551615", " "],
    seeds: || seeds(&["1h", "90s", "3600", "1h30m15s", "1.5h", "30d", "0", "-1", "250ms"]),
    run: |data| {
        let Ok(text) = std::str::from_utf8(data) else { return "no text".to_owned() };
        let read = Ttl::parse(text);
        if let Ok(ttl) = read {
            let seconds = ttl.0.as_secs();
            assert_eq!(Ttl::parse(&format!("{seconds}s")).map(|ttl| ttl.0.as_secs()), Ok(seconds));
            assert_eq!(Ttl::from_json(&Value::String(text.to_owned())), Ok(ttl), "text in JSON is read in another way");
        }
        outcome(&read)
    },
};
