use crate::house::{House, WRONG, data, refused, told};
use serde_json::{Value, json};
use strongroom_core::{CoreError, Operation};
use strongroom_model::Kind;

#[tokio::test]
async fn a_generated_secret_id_is_described_alike_by_itself_and_by_its_accessor() {
    let house = House::new().await;
    house.write("role/web", json!({ "secret_id_num_uses": 5, "secret_id_ttl": "10m" })).await.unwrap();
    let sent = json!({
        "metadata": "{\"a\": \"val1\", \"B\": \"two\"}", "cidr_list": "127.0.0.1/32", "token_bound_cidrs": ["10.0.0.0/8"],
    });
    let made = data(house.write("role/web/secret-id", sent).await.unwrap());
    let (secret, accessor) = (made["secret_id"].as_str().unwrap(), made["secret_id_accessor"].as_str().unwrap());
    assert_eq!((secret.len(), accessor.len()), (36, 36));
    assert_ne!(secret, accessor);
    let fields: Vec<_> = made.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(fields, ["secret_id", "secret_id_accessor", "secret_id_num_uses", "secret_id_ttl"]);
    assert_eq!((&made["secret_id_num_uses"], &made["secret_id_ttl"]), (&json!(5), &json!(600)));

    let expected = json!({
        "secret_id_accessor": accessor, "secret_id_num_uses": 5, "secret_id_ttl": 600,
        "creation_time": "2026-11-21T00:00:00Z", "expiration_time": "2026-11-21T00:10:00Z",
        "last_updated_time": "2026-11-21T00:00:00Z", "metadata": { "a": "val1", "B": "two" },
        "cidr_list": ["127.0.0.1/32"], "token_bound_cidrs": ["10.0.0.0/8"],
    });
    assert_eq!(house.look_up("web", secret).await, expected);
    let by_accessor =
        house.write("role/web/secret-id-accessor/lookup", json!({ "secret_id_accessor": accessor })).await;
    assert_eq!(data(by_accessor.unwrap()), expected);
}

#[tokio::test]
async fn a_plain_secret_id_has_no_end_and_no_limits() {
    let house = House::new().await;
    let secret = house.role("web", json!({})).await;
    let shown = house.look_up("web", &secret).await;
    assert_eq!(shown["expiration_time"], json!("0001-01-01T00:00:00Z"));
    assert_eq!((&shown["secret_id_num_uses"], &shown["secret_id_ttl"]), (&json!(0), &json!(0)));
    assert_eq!(
        (&shown["metadata"], &shown["cidr_list"], &shown["token_bound_cidrs"]),
        (&json!({}), &json!([]), &json!([]))
    );
}

#[tokio::test]
async fn metadata_comes_as_json_text_as_pairs_or_as_an_object() {
    let house = House::new().await;
    house.write("role/web", json!({})).await.unwrap();
    for sent in [json!("{\"foo\":\"bar\"}"), json!("foo=bar"), json!({ "foo": "bar" })] {
        let secret = house.secret("web", json!({ "metadata": sent })).await;
        assert_eq!(house.look_up("web", &secret).await["metadata"], json!({ "foo": "bar" }));
    }
    assert!(house.write("role/web/secret-id", json!({ "metadata": "bad" })).await.is_err());
}

#[tokio::test]
async fn a_secret_id_may_be_narrower_than_its_role_but_not_wider() {
    let house = House::new().await;
    let role = json!({
        "secret_id_num_uses": 5, "secret_id_ttl": 300,
        "secret_id_bound_cidrs": "10.0.0.0/8,127.0.0.1/32", "token_bound_cidrs": "10.0.0.0/8",
    });
    house.write("role/web", role).await.unwrap();
    let cases = [
        (json!({ "num_uses": 5, "ttl": 300 }), None),
        (json!({ "num_uses": 1, "ttl": "1m" }), None),
        (json!({ "cidr_list": "10.1.0.0/16,127.0.0.1", "token_bound_cidrs": "10.2.0.0/16" }), None),
        (json!({ "num_uses": 6 }), Some("num_uses cannot be higher than the role's secret_id_num_uses")),
        (json!({ "num_uses": 0 }), Some("num_uses cannot be higher than the role's secret_id_num_uses")),
        (json!({ "num_uses": -1 }), Some("cannot be negative")),
        (json!({ "ttl": 301 }), Some("ttl cannot be longer than the role's secret_id_ttl")),
        (json!({ "ttl": 0 }), Some("ttl cannot be longer than the role's secret_id_ttl")),
        (json!({ "cidr_list": "10.0.0.0/7" }), Some("cidr_list must lie within")),
        (json!({ "cidr_list": "10.1.0.0/16,192.168.0.1" }), Some("cidr_list must lie within")),
        (json!({ "cidr_list": "10.1.0.0/99" }), Some("`cidr_list` holds something that is not a network")),
        (json!({ "token_bound_cidrs": "127.0.0.1" }), Some("token_bound_cidrs must lie within")),
    ];
    for (sent, expected) in cases {
        let custom = json!({ "secret_id": format!("custom {sent}") });
        for path in ["secret-id", "custom-secret-id"] {
            let mut sent = sent.clone();
            sent["secret_id"] = custom["secret_id"].clone();
            let result = house.write(&format!("role/web/{path}"), sent.clone()).await;
            match expected {
                None => assert!(result.is_ok(), "{sent}"),
                Some(expected) => {
                    let (kind, text) = told(result);
                    assert!(text.contains(expected) && kind == Kind::Invalid, "{sent}: {text}");
                }
            }
        }
    }
}

#[tokio::test]
async fn a_chosen_secret_id_is_registered_once_per_role() {
    let house = House::new().await;
    house.write("role/web", json!({ "role_id": "web-id" })).await.unwrap();
    house.write("role/other", json!({ "role_id": "other-id" })).await.unwrap();
    let sent = json!({ "secret_id": "custom_secret", "cidr_list": "127.0.0.1/32", "num_uses": 1 });
    let made = data(house.write("role/web/custom-secret-id", sent.clone()).await.unwrap());
    assert_eq!(made["secret_id"], json!("custom_secret"));
    let text = refused(house.write("role/web/custom-secret-id", sent.clone()).await);
    assert!(text.starts_with("SecretID is already registered") && !text.contains("custom_secret"), "{text}");

    // Another role may have the same text; using it up there leaves this one alone.
    house.write("role/other/custom-secret-id", sent.clone()).await.unwrap();
    assert!(house.login("other-id", "custom_secret").await.is_ok());
    assert!(house.login("other-id", "custom_secret").await.is_err());
    assert!(house.login("web-id", "custom_secret").await.is_ok());
    // Used up is gone: the text is free again.
    assert!(house.write("role/web/custom-secret-id", sent).await.is_ok());
    assert_eq!(refused(house.write("role/web/custom-secret-id", json!({})).await), "missing secret_id");
    let long = json!({ "secret_id": "x".repeat(4_097) });
    assert!(refused(house.write("role/web/custom-secret-id", long).await).contains("4096 bytes"));
}

#[tokio::test]
async fn a_chosen_secret_id_is_free_again_when_it_has_expired() {
    let house = House::new().await;
    house.write("role/web", json!({})).await.unwrap();
    let sent = json!({ "secret_id": "custom_secret", "ttl": 60 });
    house.write("role/web/custom-secret-id", sent.clone()).await.unwrap();
    house.advance(60);
    house.write("role/web/custom-secret-id", sent).await.unwrap();
    house.write("tidy/secret-id", json!({})).await.unwrap();
    assert_eq!(house.list("role/web/secret-id").await.unwrap().len(), 1);
    assert_ne!(house.look_up("web", "custom_secret").await, Value::Null);
}

#[tokio::test]
async fn a_role_without_secret_ids_gives_none() {
    let house = House::new().await;
    house.write("role/web", json!({ "bind_secret_id": false, "secret_id_bound_cidrs": "127.0.0.1" })).await.unwrap();
    let text = refused(house.write("role/web/secret-id", json!({})).await);
    assert!(text.starts_with("bind_secret_id is not set on the role"), "{text}");
    for path in ["secret-id", "custom-secret-id", "secret-id/lookup", "secret-id/destroy"] {
        let (kind, text) = told(house.write(&format!("role/none/{path}"), json!({ "secret_id": "x" })).await);
        assert_eq!((kind, text.as_str()), (Kind::NotFound, "role \"none\" does not exist"), "{path}");
    }
}

#[tokio::test]
async fn accessors_are_listed_while_their_secret_ids_live() {
    let house = House::new().await;
    let (kind, _) = told(house.list("role/none/secret-id").await);
    assert_eq!(kind, Kind::Invalid);
    house.write("role/web", json!({})).await.unwrap();
    assert!(matches!(house.list("role/web/secret-id").await, Err(CoreError::Nothing)));
    house.secret("web", json!({ "ttl": 60 })).await;
    let lasting = house.secret("web", json!({})).await;
    assert_eq!(house.list("role/web/secret-id").await.unwrap().len(), 2);
    house.advance(60);
    let accessor = house.look_up("web", &lasting).await["secret_id_accessor"].as_str().unwrap().to_owned();
    assert_eq!(house.list("role/web/secret-id").await.unwrap(), [accessor]);
}

#[tokio::test]
async fn a_destroyed_secret_id_is_gone_by_every_way_to_it() {
    let house = House::new().await;
    let gone = |text: &str| text.starts_with("failed to find accessor entry for secret_id_accessor");
    for operation in [Operation::Write, Operation::Delete] {
        for by_accessor in [false, true] {
            let secret = house.role("web", json!({ "secret_id_ttl": 60 })).await;
            let accessor = house.look_up("web", &secret).await["secret_id_accessor"].clone();
            let (path, sent) = match by_accessor {
                true => ("role/web/secret-id-accessor/destroy", json!({ "secret_id_accessor": accessor })),
                false => ("role/web/secret-id/destroy", json!({ "secret_id": secret })),
            };
            assert!(house.ask(operation, path, sent).await.unwrap().data.is_none());
            assert_eq!(house.look_up("web", &secret).await, Value::Null);
            assert_eq!(refused(house.login("web-id", &secret).await), WRONG);
            assert!(matches!(house.list("role/web/secret-id").await, Err(CoreError::Nothing)));
            let sent = json!({ "secret_id_accessor": accessor });
            for path in ["role/web/secret-id-accessor/lookup", "role/web/secret-id-accessor/destroy"] {
                let (kind, text) = told(house.write(path, sent.clone()).await);
                assert!(kind == Kind::NotFound && gone(&text), "{text}");
            }
            assert!(house.write("role/web/secret-id/destroy", json!({ "secret_id": secret })).await.is_ok());
        }
    }
}

/// In Vault, who might destroy secret ids of one role could once destroy those of another by accessor (CVE-2023-24999).
#[tokio::test]
async fn an_accessor_works_only_under_its_own_role() {
    let house = House::new().await;
    let secret = house.role("web", json!({})).await;
    house.role("other", json!({})).await;
    let accessor = house.look_up("web", &secret).await["secret_id_accessor"].clone();
    for path in ["role/other/secret-id-accessor/destroy", "role/other/secret-id-accessor/lookup"] {
        assert_eq!(told(house.write(path, json!({ "secret_id_accessor": accessor })).await).0, Kind::NotFound);
    }
    assert_eq!(house.look_up("other", &secret).await, Value::Null);
    house.write("role/other/secret-id/destroy", json!({ "secret_id": secret })).await.unwrap();
    assert!(house.login("web-id", &secret).await.is_ok());
    assert_eq!(refused(house.login("other-id", &secret).await), WRONG);
    assert_eq!(
        refused(house.write("role/web/secret-id-accessor/lookup", json!({})).await),
        "missing secret_id_accessor"
    );
}

#[tokio::test]
async fn neither_trail_nor_error_holds_a_secret_id() {
    let house = House::new().await;
    let secret = house.role("web", json!({ "secret_id_num_uses": 2 })).await;
    house.login("web-id", &secret).await.unwrap();
    house.look_up("web", &secret).await;
    let texts = [
        refused(house.login("none-id", &secret).await),
        refused(house.login("web-id", &format!("{secret}x")).await),
        refused(house.write("role/none/secret-id/lookup", json!({ "secret_id": secret })).await),
        refused(house.write("role/web/custom-secret-id", json!({ "secret_id": secret })).await),
        house.world.trail.recent(1_000).await.join("\n"),
    ];
    for text in texts {
        assert!(!text.contains(&secret), "{text}");
    }
}
