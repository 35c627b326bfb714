use crate::house::{House, WRONG, refused, told};
use proptest::prelude::*;
use serde_json::{Value, json};
use std::sync::Arc;
use strongroom_core::{CoreError, Operation};
use strongroom_model::{Kind, PolicyName, SecretString, Ttl};
use strongroom_storage::Sqlite;
use strongroom_testkit::ManualClock;
use tokio::task::JoinSet;

#[tokio::test]
async fn a_login_gives_a_token_on_the_terms_of_the_role() {
    let house = House::new().await;
    let role = json!({
        "token_policies": "web", "token_ttl": "20m", "token_max_ttl": "1h", "token_num_uses": 7, "role_id": "web-id",
        "token_bound_cidrs": "127.0.0.0/8",
    });
    house.write("role/web", role).await.unwrap();
    let secret = house.secret("web", json!({ "metadata": { "foo": "bar", "role_name": "admin" } })).await;
    let auth = house.login(" web-id ", &format!("{secret}\n")).await.unwrap().auth.unwrap();
    let policies: Vec<_> = auth.token_policies.iter().map(PolicyName::as_str).collect();
    assert_eq!(policies, ["default", "web"]);
    // Who makes secret ids cannot pretend to another role.
    assert_eq!(json!(auth.metadata), json!({ "foo": "bar", "role_name": "web" }));
    assert_eq!((auth.ttl, auth.num_uses, auth.renewable, auth.orphan), (Ttl::from_secs(1200), 7, true, true));
    let open = house.open();
    let bearer = open.tokens.bearer(open.tokens.key_of(&auth.client_token)).await.unwrap().unwrap();
    assert_eq!(bearer.token().display_name, "approle");
    assert_eq!(bearer.token().path, "auth/approle/login");
    assert_eq!(bearer.token().bound_cidrs.iter().map(ToString::to_string).collect::<Vec<_>>(), ["127.0.0.0/8"]);
    assert_eq!(json!(bearer.token().note), json!({ "role_name": "web" }));
}

#[tokio::test]
async fn logins_of_one_role_are_one_entity() {
    let house = House::new().await;
    let secret = house.role("web", json!({})).await;
    let other = house.role("other", json!({})).await;
    let first = house.login("web-id", &secret).await.unwrap().auth.unwrap().entity.unwrap();
    let second = house.login("web-id", &secret).await.unwrap().auth.unwrap().entity.unwrap();
    let third = house.login("other-id", &other).await.unwrap().auth.unwrap().entity.unwrap();
    assert_eq!(first, second);
    assert_ne!(first, third);
    let entity = house.open().identity.by_id(first).await.unwrap().unwrap();
    assert_eq!(entity.value.aliases[0].name, "web-id");
}

#[tokio::test]
async fn a_stranger_cannot_tell_what_was_wrong() {
    let house = House::new().await;
    let secret = house.role("web", json!({})).await;
    let accessor = house.look_up("web", &secret).await["secret_id_accessor"].as_str().unwrap().to_owned();
    for (role_id, secret_id) in
        [("none", secret.as_str()), ("web-id", "none"), ("none", "none"), ("web-id", &accessor), ("web", &secret)]
    {
        let result = house.login(role_id, secret_id).await;
        assert!(matches!(result, Err(CoreError::BadCredentials(_))));
        assert_eq!(told(result), (Kind::Invalid, WRONG.to_owned()), "{role_id}");
    }
    for role_id in ["web-id", "none"] {
        assert_eq!(refused(house.login(role_id, " ").await), "missing secret_id", "{role_id}");
    }
    assert_eq!(refused(house.login("", &secret).await), "missing role_id");
}

#[tokio::test]
async fn a_secret_id_ends_with_its_time() {
    let house = House::new().await;
    let secret = house.role("web", json!({ "secret_id_ttl": 60 })).await;
    house.advance(59);
    assert!(house.login("web-id", &secret).await.is_ok());
    house.advance(1);
    assert_eq!(refused(house.login("web-id", &secret).await), WRONG);
    assert_eq!(house.look_up("web", &secret).await, Value::Null);
}

#[tokio::test]
async fn each_login_costs_a_use_and_the_last_one_ends_it() {
    let house = House::new().await;
    let secret = house.role("web", json!({ "secret_id_num_uses": 2 })).await;
    house.advance(5);
    assert!(house.login("web-id", &secret).await.is_ok());
    let shown = house.look_up("web", &secret).await;
    assert_eq!(shown["secret_id_num_uses"], json!(1));
    assert_eq!(shown["last_updated_time"], json!("2026-11-21T00:00:05Z"));
    assert_eq!(shown["creation_time"], json!("2026-11-21T00:00:00Z"));
    assert!(house.login("web-id", &secret).await.is_ok());
    assert_eq!(refused(house.login("web-id", &secret).await), WRONG);
    assert_eq!(house.look_up("web", &secret).await, Value::Null);
    assert!(matches!(house.list("role/web/secret-id").await, Err(CoreError::Nothing)));
}

#[tokio::test]
async fn source_addresses_are_checked_against_role_and_secret_id_before_a_use_is_counted() {
    let house = House::new().await;
    let role =
        json!({ "role_id": "web-id", "secret_id_bound_cidrs": "10.0.0.0/8,127.0.0.1/32", "secret_id_num_uses": 1 });
    house.write("role/web", role).await.unwrap();
    let secret = house.secret("web", json!({ "cidr_list": "10.1.0.0/16" })).await;
    let from = async |source| refused(house.login_from(source, "web-id", &secret).await);
    let role = "unauthorized by CIDR restrictions on the role";
    assert_eq!(from(Some("192.168.0.1")).await, format!("source address \"192.168.0.1\" {role}"));
    assert_eq!(from(None).await, format!("source address \"unix\" {role}"));
    let secret_id = "unauthorized by CIDR restrictions on the secret ID";
    assert_eq!(from(Some("10.2.0.1")).await, format!("source address \"10.2.0.1\" {secret_id}"));
    // Who has no valid credentials does not learn where they would be valid.
    assert_eq!(refused(house.login_from(Some("192.168.0.1"), "web-id", "wrong").await), WRONG);
    assert!(house.login_from(Some("::ffff:10.1.2.3"), "web-id", &secret).await.is_ok());
}

#[tokio::test]
async fn a_role_narrowed_later_narrows_the_secret_ids_it_gave() {
    let house = House::new().await;
    let secret = house.role("web", json!({ "secret_id_num_uses": 0 })).await;
    house.write("role/web/secret-id-bound-cidrs", json!({ "secret_id_bound_cidrs": "10.0.0.0/8" })).await.unwrap();
    assert!(refused(house.login("web-id", &secret).await).contains("restrictions on the role"));
    assert!(house.login_from(Some("10.0.0.1"), "web-id", &secret).await.is_ok());
}

#[tokio::test]
async fn a_token_is_bound_to_the_networks_of_its_secret_id() {
    let house = House::new().await;
    house.write("role/web", json!({ "role_id": "web-id", "token_bound_cidrs": "127.0.0.0/8" })).await.unwrap();
    let secret = house.secret("web", json!({ "token_bound_cidrs": "127.0.0.2/32" })).await;
    let auth = house.login("web-id", &secret).await.unwrap().auth.unwrap();
    let open = house.open();
    let bearer = open.tokens.bearer(open.tokens.key_of(&auth.client_token)).await.unwrap().unwrap();
    assert_eq!(bearer.token().bound_cidrs.iter().map(ToString::to_string).collect::<Vec<_>>(), ["127.0.0.2/32"]);
    house.write("role/web", json!({ "token_bound_cidrs": "127.0.0.1/32" })).await.unwrap();
    assert!(refused(house.login("web-id", &secret).await).contains("no longer within the role's"));
}

#[tokio::test]
async fn a_role_without_secret_ids_lets_in_by_role_id_from_its_networks() {
    let house = House::new().await;
    let role = json!({ "role_id": "web-id", "bind_secret_id": false, "secret_id_bound_cidrs": "127.0.0.1/32" });
    house.write("role/web", role).await.unwrap();
    let login = async |source, sent| house.ask_as(None, source, Operation::Write, "login", sent).await;
    assert!(login(Some("127.0.0.1"), json!({ "role_id": "web-id" })).await.is_ok());
    assert!(login(Some("127.0.0.1"), json!({ "role_id": "web-id", "secret_id": "whatever" })).await.is_ok());
    assert!(
        refused(login(Some("127.0.0.2"), json!({ "role_id": "web-id" })).await).contains("restrictions on the role")
    );
    assert!(refused(login(None, json!({ "role_id": "web-id" })).await).contains("restrictions on the role"));
}

#[tokio::test]
async fn a_renewal_follows_the_role_as_it_is_then() {
    let house = House::new().await;
    let secret = house.role("web", json!({ "token_ttl": 600 })).await;
    let auth = house.login("web-id", &secret).await.unwrap().auth.unwrap();
    let open = house.open();
    let renew = async || {
        let bearer = open.tokens.bearer(open.tokens.key_of(&auth.client_token)).await.unwrap().unwrap();
        open.tokens.renew(&bearer, SecretString::new(String::new()), Ttl::ZERO).await
    };
    house.write("role/web/token-ttl", json!({ "token_ttl": 1200 })).await.unwrap();
    assert_eq!(renew().await.unwrap().0.ttl, Ttl::from_secs(1200));
    house.delete("role/web").await.unwrap();
    let (kind, text) = told(renew().await);
    assert!(kind == Kind::Denied && text.contains("role \"web\" does not exist during renewal"), "{text}");
}

/// Several logins at once with one secret id; gives how many were let in, and how the others were refused.
async fn at_once(house: House, uses: u64, logins: u64) -> (u64, Vec<String>) {
    let house = Arc::new(house);
    let secret = house.role("web", json!({ "secret_id_num_uses": uses })).await;
    let mut tasks = JoinSet::new();
    for _ in 0..logins {
        let (house, secret) = (Arc::clone(&house), secret.clone());
        tasks.spawn(async move { house.login("web-id", &secret).await.map(|_| ()) });
    }
    let (let_in, others): (Vec<_>, Vec<_>) = tasks.join_all().await.into_iter().partition(Result::is_ok);
    (let_in.len() as u64, others.into_iter().map(refused).collect())
}

/// Each of a crowd tried for as long as others were quicker. With a store on disk, since one in memory counts before the next
/// arrives.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_crowd_with_one_secret_id_is_let_in_to_the_last() {
    let folder = tempfile::tempdir().unwrap();
    let store = Sqlite::open(&folder.path().join("store.db"), Arc::new(ManualClock::new())).unwrap();
    let house = House::with_share(Arc::new(store)).await.0;
    assert_eq!(at_once(house, 150, 150).await, (150, Vec::new()));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn a_secret_id_of_n_uses_logs_in_exactly_n_times(uses in 1_u64..8, more in 0_u64..12) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let (let_in, others) = runtime.block_on(async { at_once(House::new().await, uses, uses + more).await });
        prop_assert_eq!(let_in, uses);
        prop_assert!(others.iter().all(|text| text == WRONG), "{:?}", others);
    }
}
