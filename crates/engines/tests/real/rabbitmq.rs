use crate::house::{House, lets_in};
use serde_json::json;
use strongroom_connectors::System;
use strongroom_testkit::outside::RabbitMq;

#[tokio::test]
async fn a_user_of_rabbitmq_may_what_its_role_says_and_ends_with_its_lease() {
    let (house, rabbitmq) = (House::open().await, RabbitMq::start().await);
    let (operator, admin) = (house.server.operator(), rabbitmq.admin());
    operator.post("sys/mounts/rabbitmq", json!({"type": "rabbitmq"})).await.expect(204);
    let early = operator.get("rabbitmq/creds/app").await.expect(400);
    assert!(early.text.contains("unknown role"), "{}", early.text);
    let mut connection = json!({"connection_uri": admin.url, "username": admin.username, "password": "wrong-canary"});
    let refused = operator.post("rabbitmq/config/connection", connection.clone()).await.expect(400);
    assert!(!refused.text.contains("wrong-canary"), "{}", refused.text);
    connection["password"] = json!(admin.password);
    operator.post("rabbitmq/config/connection", connection).await.expect(204);
    let shown = operator.get("rabbitmq/config/connection").await.expect(200);
    assert!(!shown.text.contains(admin.password), "{}", shown.text);
    operator.post("rabbitmq/config/lease", json!({"ttl": 600, "max_ttl": 3600})).await.expect(204);
    operator.post("rabbitmq/roles/app", json!({})).await.expect(400);
    operator.post("rabbitmq/roles/app", json!({"vhosts": "{\"/\": {\"reed\": \".*\"}}"})).await.expect(400);
    let role = json!({"tags": "management", "vhosts": "{\"/\": {\"read\": \".*\"}}",
        "vhost_topics": {"/": {"amq.topic": {"write": "^a", "read": ".*"}}}});
    operator.post("rabbitmq/roles/app", role).await.expect(204);
    assert_eq!(operator.list("rabbitmq/roles").await.expect(200).at("/data/keys"), &json!(["app"]));

    let made = operator.get("rabbitmq/creds/app").await.expect(200);
    let (username, password) = (made.text_at("/data/username"), made.text_at("/data/password"));
    assert_eq!(made.at("/lease_duration"), 600);
    assert!(username.starts_with("root-"), "{username}");
    assert!(lets_in(System::RabbitMq, &admin, &username, &password).await);
    let rights = rabbitmq.asks("GET", &format!("/api/users/{username}/permissions"), None).unwrap();
    assert!(rights.contains("\"read\":\".*\"") && rights.contains("\"write\":\"\""), "{rights}");
    house.later(600).await;
    assert!(!lets_in(System::RabbitMq, &admin, &username, &password).await);
    assert_eq!(house.leases(), 0);
}
