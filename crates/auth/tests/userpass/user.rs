use crate::house::{House, WRONG, refused, told};
use serde_json::{Value, json};
use strongroom_core::{CoreError, Operation};
use strongroom_model::{Kind, MountPath};

#[tokio::test]
async fn a_user_is_made_read_listed_changed_and_deleted() {
    let house = House::new().await;
    assert!(matches!(house.list("users").await, Err(CoreError::Nothing)));
    let sent = json!({
        "password": "first", "token_policies": "web,db", "token_ttl": "20m", "token_max_ttl": 3600,
        "token_bound_cidrs": "127.0.0.0/8", "token_num_uses": 3, "token_type": "service",
    });
    assert!(house.write("users/ann", sent).await.unwrap().data.is_none());
    house.write("users/Bob", json!({ "password": "x" })).await.unwrap();
    assert_eq!(house.list("users").await.unwrap(), ["ann", "bob"]);
    let expected = json!({
        "token_bound_cidrs": ["127.0.0.0/8"], "token_explicit_max_ttl": 0, "token_max_ttl": 3600,
        "token_no_default_policy": false, "token_num_uses": 3, "token_period": 0, "token_policies": ["web", "db"],
        "token_ttl": 1200, "token_type": "service",
    });
    assert_eq!(house.read("users/ANN").await.unwrap(), expected);
    house.write("users/ann", json!({ "token_ttl": 60 })).await.unwrap();
    let shown = house.read("users/ann").await.unwrap();
    assert_eq!((&shown["token_ttl"], &shown["token_max_ttl"]), (&json!(60), &json!(3600)), "the rest stays");
    assert!(house.login("ann", "first").await.is_ok(), "the password too");
    house.delete("users/ann").await.unwrap();
    house.delete("users/ann").await.unwrap();
    assert!(matches!(house.read("users/ann").await, Err(CoreError::Nothing)));
    assert_eq!(refused(house.login("ann", "first").await), WRONG);
}

#[tokio::test]
async fn the_fields_that_older_clients_send_are_taken_and_shown() {
    let house = House::new().await;
    let sent = json!({ "password": "x", "policies": "admins,ops", "ttl": "1h", "max_ttl": "2h", "bound_cidrs": "::1" });
    house.write("users/ann", sent).await.unwrap();
    let shown = house.read("users/ann").await.unwrap();
    for (older, newer, value) in [
        ("policies", "token_policies", json!(["admins", "ops"])),
        ("ttl", "token_ttl", json!(3600)),
        ("max_ttl", "token_max_ttl", json!(7200)),
        ("bound_cidrs", "token_bound_cidrs", json!(["::1"])),
    ] {
        assert_eq!((&shown[older], &shown[newer]), (&value, &value), "{older}");
    }
}

#[tokio::test]
async fn a_new_user_needs_a_password_and_no_user_has_an_empty_or_endless_one() {
    let house = House::new().await;
    assert_eq!(refused(house.write("users/ann", json!({ "token_policies": "web" })).await), "missing password");
    for (sent, expected) in [
        (json!({ "password": "" }), "field `password` cannot be empty"),
        (json!({ "password": "x".repeat(4_097) }), "field `password` is longer than the maximum of 4096 bytes"),
        (json!({ "password_hash": "$2a$10$N9qo8uLOickgx2ZMRZoMye" }), "bcrypt"),
        (json!({ "password": "x", "password_hash": "$2a$10$N9qo8uLOickgx2ZMRZoMye" }), "bcrypt"),
        (json!({ "password": "x", "token_policies": "root" }), "root tokens"),
        (json!({ "password": "x", "token_ttl": 2, "token_max_ttl": 1 }), "cannot be greater"),
    ] {
        let (kind, text) = told(house.write("users/ann", sent.clone()).await);
        assert!(kind == Kind::Invalid && text.contains(expected) && !text.contains("N9qo"), "{text}");
    }
    assert!(matches!(house.list("users").await, Err(CoreError::Nothing)), "nothing of it was kept");
    house.write("users/ann", json!({ "password": "x" })).await.unwrap();
    for path in ["users/ann", "users/ann/password"] {
        assert!(refused(house.write(path, json!({ "password": "" })).await).contains("empty"), "{path}");
        assert!(refused(house.write(path, json!({ "password_hash": "x" })).await).contains("bcrypt"), "{path}");
    }
    assert_eq!(refused(house.write("users/ann/password", json!({})).await), "missing password");
    assert!(house.login("ann", "x").await.is_ok());
}

#[tokio::test]
async fn names_that_are_none_are_refused() {
    let house = House::new().await;
    for name in ["ann smith", "ann;", "änn", "ann%20"] {
        let result = house.write(&format!("users/{name}"), json!({ "password": "x" })).await;
        assert_eq!(told(result).0, Kind::Invalid, "{name}");
        assert_eq!(told(house.login(name, "x").await).0, Kind::Invalid, "{name}");
    }
}

#[tokio::test]
async fn a_new_password_takes_the_place_of_the_old_one() {
    let house = House::with_ann(json!({ "token_policies": "web" })).await;
    house.write("users/ann/password", json!({ "password": "second" })).await.unwrap();
    assert_eq!(refused(house.login("ann", "secret-of-ann").await), WRONG);
    assert!(house.login("ann", "second").await.is_ok());
    house.write("users/ann", json!({ "password": "third" })).await.unwrap();
    assert_eq!(refused(house.login("ann", "second").await), WRONG);
    assert!(house.login("ann", "third").await.is_ok());
    assert_eq!(house.read("users/ann").await.unwrap()["token_policies"], json!(["web"]));
    let (kind, text) = told(house.write("users/bob/password", json!({ "password": "x" })).await);
    assert_eq!((kind, text.as_str()), (Kind::NotFound, "user \"bob\" does not exist"));
    assert!(matches!(house.read("users/ann/password").await, Err(CoreError::Unsupported)));
}

#[tokio::test]
async fn who_may_set_policies_or_passwords_sets_nothing_else() {
    let house = House::with_ann(json!({ "policies": "web" })).await;
    let sent = json!({ "token_policies": "db", "token_ttl": 60, "password": "hijacked" });
    house.write("users/ann/policies", sent).await.unwrap();
    let shown = house.read("users/ann").await.unwrap();
    assert_eq!((&shown["token_policies"], &shown["token_ttl"]), (&json!(["db"]), &json!(0)));
    assert_eq!(shown["policies"], Value::Null, "the older name is no longer in use");
    assert!(house.login("ann", "secret-of-ann").await.is_ok());
    house.write("users/ann/policies", json!({ "policies": "ops" })).await.unwrap();
    house.write("users/ann/password", json!({ "password": "second", "token_policies": "admin" })).await.unwrap();
    assert_eq!(house.read("users/ann").await.unwrap()["policies"], json!(["ops"]));
    assert_eq!(refused(house.write("users/ann/policies", json!({})).await), "missing token_policies");
    assert!(refused(house.write("users/ann/policies", json!({ "policies": "root" })).await).contains("root"));
    assert_eq!(told(house.write("users/bob/policies", json!({ "policies": "x" })).await).0, Kind::NotFound);
}

#[tokio::test]
async fn policy_tells_making_a_user_from_changing_one() {
    let house = House::with_ann(json!({})).await;
    house.write_policy("make", r#"path "auth/people/users/*" { capabilities = ["create"] }"#).await;
    house.write("users/maker", json!({ "password": "x", "token_policies": "make" })).await.unwrap();
    let token = house.login("maker", "x").await.unwrap().client_token;
    let write = async |path, sent| house.ask_as(&token, Operation::Write, path, sent).await;
    assert!(write("users/new", json!({ "password": "x" })).await.is_ok());
    assert_eq!(told(write("users/ann", json!({ "token_policies": "make" })).await).0, Kind::Denied);
    assert_eq!(told(write("users/ann/password", json!({ "password": "x" })).await).0, Kind::Denied);
    assert_eq!(told(house.ask_as(&token, Operation::Read, "users/ann", json!({})).await).0, Kind::Denied);
}

#[tokio::test]
async fn of_several_who_make_a_user_at_once_one_makes_it() {
    let house = House::new().await;
    let make = async |password: &'static str| house.write("users/ann", json!({ "password": password })).await.is_ok();
    let (first, second) = tokio::join!(make("first"), make("second"));
    assert!(first != second, "one is told that somebody else was quicker");
    let password = if first { "first" } else { "second" };
    assert!(house.login("ann", password).await.is_ok());
}

#[tokio::test]
async fn changes_at_once_all_take_hold() {
    let house = House::with_ann(json!({})).await;
    let write = async |path, sent| house.write(path, sent).await.unwrap();
    tokio::join!(
        write("users/ann", json!({ "token_ttl": 60 })),
        write("users/ann/policies", json!({ "token_policies": "web" })),
        write("users/ann/password", json!({ "password": "second" })),
        write("users/ann", json!({ "token_num_uses": 5 })),
    );
    let shown = house.read("users/ann").await.unwrap();
    assert_eq!((&shown["token_ttl"], &shown["token_num_uses"]), (&json!(60), &json!(5)));
    assert_eq!(shown["token_policies"], json!(["web"]));
    assert!(house.login("ann", "second").await.is_ok());
}

#[tokio::test]
async fn a_disabled_mount_leaves_nothing_behind() {
    let house = House::new().await;
    let before = house.records().await;
    for user in 0..30 {
        house.write(&format!("users/user-{user}"), json!({ "password": "x" })).await.unwrap();
        house.fail(&format!("user-{user}"), 1).await;
    }
    assert_eq!(house.records().await, before + 30 * (1 + 2));
    let grant = house.grant("sys/auth/people").await;
    house.open().mounts.disable(&grant, &MountPath::parse("auth/people").unwrap()).await.unwrap();
    house.open().housekeep().await;
    house.open().housekeep().await;
    assert_eq!(house.records().await, before - 1, "only the record of the mount itself was there before");
}
