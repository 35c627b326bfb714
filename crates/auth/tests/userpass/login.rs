use crate::house::{HERE, House, WRONG, refused, shut_out, told};
use serde_json::{Value, json};
use strongroom_core::{CoreError, Operation};
use strongroom_model::{Kind, PolicyName, Ttl};

#[tokio::test]
async fn a_login_gives_a_token_on_the_terms_of_the_user() {
    let sent = json!({
        "token_policies": "web", "token_ttl": "20m", "token_max_ttl": "1h", "token_num_uses": 7,
        "token_bound_cidrs": "127.0.0.0/8",
    });
    let house = House::with_ann(sent).await;
    let auth = house.login("Ann", "secret-of-ann").await.unwrap();
    assert_eq!(auth.token_policies.iter().map(PolicyName::as_str).collect::<Vec<_>>(), ["default", "web"]);
    assert_eq!(json!(auth.metadata), json!({ "username": "ann" }));
    assert_eq!((auth.ttl, auth.num_uses, auth.renewable, auth.orphan), (Ttl::from_secs(1200), 7, true, true));
    let open = house.open();
    let bearer = open.tokens.bearer(open.tokens.key_of(&auth.client_token)).await.unwrap().unwrap();
    assert_eq!(bearer.token().display_name, "people-ann", "as in Vault, by the mount");
    assert_eq!(bearer.token().bound_cidrs.iter().map(ToString::to_string).collect::<Vec<_>>(), ["127.0.0.0/8"]);
    let entity = open.identity.by_id(auth.entity.unwrap()).await.unwrap().unwrap();
    assert_eq!(entity.value.aliases[0].name, "ann");
    assert_eq!(house.login("ANN", "secret-of-ann").await.unwrap().entity, auth.entity, "case does not count");
}

#[tokio::test]
async fn the_display_name_has_the_whole_mount_in_it() {
    let house = House::new().await;
    house.enable("auth/org/people").await;
    let ask = async |token, path, sent| house.ask_at(token, Some(HERE), Operation::Write, path, sent).await;
    ask(Some(&house.root), "auth/org/people/users/ann", json!({ "password": "x" })).await.unwrap();
    let auth = ask(None, "auth/org/people/login/ann", json!({ "password": "x" })).await.unwrap().auth.unwrap();
    assert_eq!(auth.display_name, "org-people-ann");
    assert_eq!(refused(house.login("ann", "x").await), WRONG, "users belong to one mount");
}

#[tokio::test]
async fn a_stranger_cannot_tell_an_unknown_user_from_a_wrong_password() {
    let house = House::with_ann(json!({})).await;
    for (name, password) in [("ann", "wrong"), ("none", "wrong"), ("none", "secret-of-ann"), ("ann", "secret-of-ann ")]
    {
        let result = house.login(name, password).await;
        assert!(matches!(result, Err(CoreError::BadCredentials(_))));
        assert_eq!(told(result), (Kind::Invalid, WRONG.to_owned()), "{name}");
    }
    for name in ["ann", "none"] {
        let path = format!("auth/people/login/{name}");
        let login = async |sent| refused(house.ask_at(None, Some(HERE), Operation::Write, &path, sent).await);
        assert_eq!(login(json!({})).await, "missing password", "{name}");
        assert_eq!(login(json!({ "password": "" })).await, "field `password` cannot be empty", "{name}");
        assert!(login(json!({ "password": "x".repeat(4_097) })).await.contains("4096"), "{name}");
        assert!(login(json!({ "password": { "a": "secret-of-ann" } })).await.contains("must be a string"), "{name}");
    }
}

#[tokio::test]
async fn a_login_from_elsewhere_is_refused_even_with_the_password() {
    let house = House::with_ann(json!({ "token_bound_cidrs": "10.0.0.0/8" })).await;
    for source in [Some("127.0.0.1"), Some("11.0.0.1"), None] {
        assert_eq!(told(house.login_from(source, "ann", "secret-of-ann").await), shut_out(), "{source:?}");
        assert_eq!(refused(house.login_from(source, "ann", "wrong").await), WRONG, "{source:?}");
    }
    assert!(house.login_from(Some("10.1.2.3"), "ann", "secret-of-ann").await.is_ok());
}

#[tokio::test]
async fn a_renewal_follows_the_user_as_it_is_then() {
    let house = House::with_ann(json!({ "token_ttl": 600, "token_policies": "web,db" })).await;
    let auth = house.login("ann", "secret-of-ann").await.unwrap();
    house.write("users/ann", json!({ "token_ttl": 1200 })).await.unwrap();
    assert_eq!(house.renew(&auth).await.unwrap(), Ttl::from_secs(1200));
    // Order, repetition and `default` make no other policies.
    house.write("users/ann/policies", json!({ "token_policies": "db,default,web,db" })).await.unwrap();
    assert!(house.renew(&auth).await.is_ok());
    house.write("users/ann/password", json!({ "password": "second" })).await.unwrap();
    assert!(house.renew(&auth).await.is_ok());
}

#[tokio::test]
async fn a_token_is_not_renewed_when_its_user_is_gone_or_has_other_policies() {
    let house = House::with_ann(json!({ "token_ttl": 600, "token_policies": "web" })).await;
    let auth = house.login("ann", "secret-of-ann").await.unwrap();
    for policies in ["web,db", "db", ""] {
        house.write("users/ann/policies", json!({ "token_policies": policies })).await.unwrap();
        let (kind, text) = told(house.renew(&auth).await);
        assert!(kind == Kind::Denied && text.contains("policies have changed, not renewing"), "{policies}: {text}");
    }
    house.write("users/ann/policies", json!({ "token_policies": "web" })).await.unwrap();
    assert!(house.renew(&auth).await.is_ok());
    house.delete("users/ann").await.unwrap();
    let (kind, text) = told(house.renew(&auth).await);
    assert!(kind == Kind::Denied && text.contains("user \"ann\" does not exist during renewal"), "{text}");
}

#[tokio::test]
async fn logins_at_once_under_one_name_all_succeed() {
    let house = House::with_ann(json!({})).await;
    let login = async || house.login("ann", "secret-of-ann").await.unwrap().entity;
    let (a, b, c, d, e, f) = tokio::join!(login(), login(), login(), login(), login(), login());
    assert!([b, c, d, e, f].iter().all(|entity| *entity == a));
}

#[tokio::test]
async fn neither_trail_nor_error_nor_answer_nor_store_holds_a_password() {
    let canary = "canary-7f3a91";
    let house = House::new().await;
    let sent = |password: &str| json!({ "password": password });
    house.write("users/ann", sent(canary)).await.unwrap();
    house.write("users/ann/password", sent(canary)).await.unwrap();
    house.login("ann", canary).await.unwrap();
    let login = async |name: &str, sent: Value| {
        refused(house.ask_at(None, Some(HERE), Operation::Write, &format!("auth/people/login/{name}"), sent).await)
    };
    let texts = [
        house.read("users/ann").await.unwrap().to_string(),
        login("none", sent(canary)).await,
        login("ann", sent(&format!("{canary}x"))).await,
        login("ann", sent(&canary.repeat(400))).await,
        login("ann", json!({ "password": [canary] })).await,
        refused(house.write("users/none/password", sent(canary)).await),
        refused(house.write("users/ann", json!({ "password": canary, "token_ttl": -1 })).await),
        refused(house.write("users/ann", json!({ "password_hash": canary })).await),
        house.world.trail.recent(1_000).await.join("\n"),
    ];
    for text in texts {
        assert!(!text.contains(canary) && !text.contains("argon2id"), "{text}");
    }
    for entry in house.world.store.list(&[], None, usize::MAX).await.unwrap() {
        let stored = String::from_utf8_lossy(&entry.value).into_owned();
        assert!(!stored.contains(canary) && !stored.contains("argon2id"));
    }
}
