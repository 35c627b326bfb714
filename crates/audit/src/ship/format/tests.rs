use super::*;
use crate::chain::Head;
use crate::{AuthNote, DecisionNote, MountNote, Outcome, Redactor, SecretNote, SourceNote};
use serde_json::{Value, json};
use std::sync::Mutex;
use strongroom_model::{Kind, PolicyName, Principal, RequestId, TokenType};

struct Fake;

impl Redactor for Fake {
    fn hmac(&self, _data: &[u8]) -> [u8; 32] {
        [0xAA; 32]
    }

    fn hmac_in(&self, _device: &str, _hash: [u8; 32]) -> [u8; 32] {
        [0xBB; 32]
    }
}

fn principal(name: &str) -> Principal {
    Principal {
        entity: None,
        accessor: "plain-accessor".to_owned(),
        display_name: name.to_owned(),
        token_policies: vec![PolicyName::parse("web").unwrap()],
        identity_policies: Vec::new(),
        metadata: Default::default(),
        token_type: TokenType::Service,
    }
}

fn read() -> Entry {
    let mut entry =
        Entry::new(EntryKind::Outcome, RequestId::from_bytes([1; 16]), "vault", "read", "secret/data/a=b|c\\d");
    entry.mount = Some(
        MountNote {
            path: "secret".to_owned(),
            kind: "kv".to_owned(),
            accessor: "kv_1".to_owned(),
            class: "secret".to_owned(),
        }
        .into(),
    );
    entry.secret = Some(SecretNote { name: "a=b|c\\d".to_owned(), act: "read".into() });
    entry.version = Some(3);
    entry.principal = Some(principal("app\nrole").into());
    entry.source = SourceNote { address: "10.1.2.3".to_owned(), port: 4711 };
    entry.decision = Some(DecisionNote {
        granted: true,
        policy: Some("web".to_owned()),
        rule: Some("secret/data/*".to_owned()),
        line: Some(1),
        reason: "granted".into(),
    });
    entry.outcome = Some(Outcome::ok());
    entry.duration_us = 1_500;
    entry
}

fn refused() -> Entry {
    let mut entry = read();
    entry.decision.as_mut().unwrap().granted = false;
    entry.outcome = Some(Outcome::failed(Kind::Denied, "permission denied"));
    entry.source = SourceNote { address: "2001:db8::7".to_owned(), port: 1 };
    entry
}

fn login() -> Entry {
    let mut entry =
        Entry::new(EntryKind::Outcome, RequestId::from_bytes([2; 16]), "vault", "update", "auth/approle/login");
    entry.source = SourceNote { address: "/run/strongroom.sock".to_owned(), port: 0 };
    entry.response_auth = Some(AuthNote { token_hash: None, principal: principal("approle"), ttl: 60, num_uses: 0 });
    entry.outcome = Some(Outcome::ok());
    entry
}

fn all() -> Vec<Entry> {
    let mut intent = read();
    (intent.kind, intent.outcome, intent.operation) = (EntryKind::Intent, None, "update".into());
    vec![read(), refused(), login(), intent, Entry::event("seal", "", "the server was sealed")]
}

fn formatted(form: Form, entries: &[Entry]) -> Vec<String> {
    let redactor: Arc<dyn Redactor> = Arc::new(Fake);
    let mut formatter = Formatter::new(form, Arc::new(Mutex::new(Some(redactor))));
    let (mut head, mut out) = (Head::START, Vec::new());
    for entry in entries {
        let mut line = Vec::new();
        let time = Timestamp::from_nanos(1_763_703_296_123_456_789);
        head.push(&mut line, &serde_json::to_vec(entry).unwrap(), time, &time.to_string()).unwrap();
        formatter.format(line.strip_suffix(b"\n").unwrap(), &mut out);
    }
    assert!(out.iter().all(|parcel| !parcel.text.contains(&b'\n')));
    out.into_iter().map(|parcel| String::from_utf8(parcel.text).unwrap()).collect()
}

fn json_of(form: Form) -> Vec<Value> {
    formatted(form, &all()).iter().map(|text| serde_json::from_str(text).unwrap()).collect()
}

#[test]
fn ecs_has_the_types_and_the_allowed_values_of_the_field_reference() {
    let events = json_of(Form::Ecs);
    assert_eq!(events.len(), 5);
    for event in &events {
        assert_eq!(event["ecs"]["version"], "8.11.0");
        assert_eq!(event["@timestamp"], "2025-11-21T05:34:56.123456789Z");
        assert!(event["message"].is_string() && event["event"]["duration"].is_u64());
        assert!(["success", "failure", "unknown"].contains(&event["event"]["outcome"].as_str().unwrap()));
        let types = event["event"]["type"].as_array().unwrap();
        let allowed = ["access", "allowed", "denied", "creation", "change", "deletion", "info", "start"];
        assert!(!types.is_empty() && types.iter().all(|kind| allowed.contains(&kind.as_str().unwrap())), "{types:?}");
        let category = event["event"]["category"][0].as_str().unwrap();
        assert!(["api", "authentication"].contains(&category));
        // `source.ip` is of type ip: an index refuses anything else.
        assert!(event["source"]["ip"].as_str().is_none_or(|ip| ip.parse::<std::net::IpAddr>().is_ok()));
        assert!(!event.to_string().contains("plain-accessor"));
    }
    assert_eq!(events[0]["event"]["type"], json!(["access", "allowed"]));
    assert_eq!(events[0]["event"]["duration"], 1_500_000);
    assert_eq!(events[0]["strongroom"]["version"], 3);
    assert_eq!(events[1]["event"]["type"], json!(["access", "denied"]));
    assert_eq!((&events[1]["event"]["outcome"], &events[1]["error"]["code"]), (&json!("failure"), &json!("denied")));
    assert_eq!(events[2]["event"]["category"], json!(["authentication"]));
    assert_eq!(events[2]["source"], json!({ "address": "/run/strongroom.sock" }));
    assert_eq!(events[3]["event"]["outcome"], "unknown");
}

/// What the definitions of the classes and of the objects in them require (schema 1.5).
#[test]
fn ocsf_has_every_attribute_that_its_classes_require() {
    let events = json_of(Form::Ocsf);
    for event in &events {
        let numbers = ["activity_id", "category_uid", "class_uid", "type_uid", "severity_id", "status_id", "time"];
        assert!(numbers.iter().all(|name| event[name].is_u64()), "{event}");
        let (class, activity) = (event["class_uid"].as_u64().unwrap(), event["activity_id"].as_u64().unwrap());
        assert_eq!(event["type_uid"].as_u64().unwrap(), class * 100 + activity);
        assert_eq!(event["category_uid"].as_u64().unwrap(), class / 1_000);
        assert_eq!(event["time"], 1_763_703_296_123_u64);
        assert_eq!(event["metadata"]["version"], "1.5.0");
        assert!(event["metadata"]["product"]["vendor_name"].is_string());
        let any = |object: &Value, names: &[&str]| names.iter().any(|name| !object[name].is_null());
        assert!(any(&event["src_endpoint"], &["ip", "name", "svc_name"]));
        assert!(any(&event["actor"], &["user", "app_name"]));
        match class {
            6003 => assert!(event["api"]["operation"].is_string() && activity <= 4 || activity == 99),
            3002 => {
                assert!(any(&event["user"], &["name", "uid"]) && event["service"]["name"].is_string());
                assert_eq!(activity, 1);
            }
            other => panic!("class {other}"),
        }
        assert!(!event.to_string().contains("plain-accessor"));
    }
    let classes: Vec<u64> = events.iter().map(|event| event["type_uid"].as_u64().unwrap()).collect();
    assert_eq!(classes, [600_302, 600_302, 300_201, 600_303, 600_399]);
    assert_eq!((&events[1]["status_id"], &events[1]["api"]["response"]["error"]), (&json!(2), &json!("denied")));
    assert_eq!(events[2]["user"]["name"], "approle");
}

#[test]
fn cef_escapes_what_would_end_a_field() {
    let lines = formatted(Form::Cef, &all());
    assert!(
        lines[0].starts_with("CEF:0|Strongroom|Strongroom|0.1.0|read|read ok|2|rt=1763703296123 externalId=0 act=read")
    );
    assert!(lines[0].contains(r" request=secret/data/a\=b|c\\d "), "{}", lines[0]);
    assert!(lines[0].contains(r"suser=app\nrole ") && lines[0].contains("src=10.1.2.3 spt=4711"), "{}", lines[0]);
    assert!(lines[0].contains("cs1=web cs1Label=policy") && lines[0].contains("cn1=3 cn1Label=version"));
    assert!(lines[1].contains("c6a2=2001:db8::7 c6a2Label=Source IPv6 Address") && lines[1].contains("|6|"));
    let mut odd = read();
    odd.secret.as_mut().unwrap().act = "a|b\\c\nd".into();
    assert!(formatted(Form::Cef, &[odd])[0].contains(r"|a\|b\\c d|a\|b\\c d ok|"));
    assert!(lines.iter().all(|line| !line.contains("plain-accessor")));
}

#[test]
fn vaults_form_has_its_two_lines_and_the_trails_own_is_byte_for_byte() {
    let lines = json_of(Form::Vault);
    let kinds: Vec<&str> = lines.iter().map(|line| line["type"].as_str().unwrap()).collect();
    assert_eq!(kinds[..4], ["request", "response", "request", "response"]);
    let own = formatted(Form::Trail, &all());
    assert!(own[0].starts_with("{\"seq\":0,\"prev\":\"000") && own.len() == 5);
}
