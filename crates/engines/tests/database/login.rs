use crate::house::House;
use serde_json::json;

#[tokio::test]
async fn each_caller_gets_a_login_that_works_and_ends_with_its_lease() {
    let house = House::open().await;
    let (first, second) = (house.login("app-role").await, house.login("app-role").await);
    assert_ne!(first.username, second.username);
    assert!(first.username.starts_with("v-root-app-role-") && first.lease.starts_with("database/creds/app-role/"));
    assert!(house.works(&first).await && house.works(&second).await);
    let operator = house.server.operator();
    operator.post("sys/leases/revoke", json!({"lease_id": first.lease, "sync": true})).await.expect(204);
    assert!(!house.works(&first).await);
    assert!(house.works(&second).await);
    operator.post("sys/leases/revoke-prefix/database/creds/app-role", json!({"sync": true})).await.expect(204);
    assert_eq!(house.logins(), Vec::<String>::new());
}

#[tokio::test]
async fn the_password_of_a_connection_is_never_given_back() {
    let house = House::open().await;
    let answer = house.server.operator().get("database/config/app").await.expect(200);
    assert!(!answer.text.contains(house.postgres.admin().password), "{}", answer.text);
    assert_eq!(answer.at("/data/connection_details/username"), "admin");
    assert_eq!(answer.at("/data/allowed_roles"), &json!(["app-*"]));
}

#[tokio::test]
async fn a_role_that_the_connection_does_not_allow_gets_nothing() {
    let house = House::open().await;
    house.role("other", json!({})).await;
    let answer = house.server.operator().get("database/creds/other").await.expect(403);
    assert!(answer.text.contains("not an allowed role"), "{}", answer.text);
    assert_eq!(house.logins(), Vec::<String>::new());
}

#[tokio::test]
async fn a_connection_that_cannot_be_made_is_refused_when_it_is_written() {
    let house = House::open().await;
    let wrong = json!({"plugin_name": "postgresql-database-plugin", "connection_url": house.postgres.admin().url,
        "username": "admin", "password": "wrong-canary"});
    let answer = house.server.operator().post("database/config/other", wrong).await.expect(400);
    assert!(answer.text.contains("error verifying connection"), "{}", answer.text);
    assert!(!answer.text.contains("wrong-canary"), "{}", answer.text);
    house.server.operator().get("database/config/other").await.expect(404);
}
