use crate::house::House;
use serde_json::json;
use strongroom_testkit::outside::Relay;

const STEPS: i64 = 6;

impl House {
    /// A connection with an administrator of the test's own.
    async fn configure_own(&self, port: u16, more: serde_json::Value) -> String {
        let name = format!("boss-{}", self.role);
        let there = format!("SELECT count(*) FROM pg_roles WHERE rolname = '{name}'");
        if self.postgres.sql(&there) == "0" {
            self.postgres.sql(&format!("CREATE ROLE \"{name}\" SUPERUSER LOGIN PASSWORD 'boss-canary'"));
        }
        let mut body = json!({"username": name, "password": "boss-canary"});
        crate::house::merge(&mut body, more);
        self.configure("app", port, body).await;
        name
    }
}

#[tokio::test]
async fn after_the_password_of_a_connection_was_changed_only_the_server_knows_it() {
    let house = House::open().await;
    let name = house.configure_own(house.postgres.port(), json!({})).await;
    let before = house.login().await;
    house.server.operator().post("database/rotate-root/app", json!({})).await.expect(204);
    assert!(!house.lets_in(&name, "boss-canary").await);
    let after = house.login().await;
    assert!(house.works(&before).await && house.works(&after).await);
    house.server.operator().post("database/rotate-root/app", json!({})).await.expect(204);
    house.later(3_600).await;
    assert_eq!(house.logins(), Vec::<String>::new());
}

#[tokio::test]
async fn killed_at_any_step_of_changing_it_the_server_still_gets_in() {
    let mut house = House::open().await;
    house.configure_own(house.postgres.port(), json!({})).await;
    for commits in 0..STEPS {
        house.settle().await;
        house.way.cut_after(commits);
        let rotate = house.server.operator().post("database/rotate-root/app", json!({})).await;
        assert!(rotate.status.is_success() || house.way.is_cut(), "{}", rotate.text);
        house = house.crash().await;
        // At once: whoever began it is surely gone.
        house.settle().await;
        house.server.operator().post("database/reset/app", json!({})).await.expect(204);
    }
}

#[tokio::test]
async fn a_reply_that_is_lost_while_it_is_changed_does_not_lock_the_server_out() {
    let house = House::open().await;
    let relay = Relay::to(house.postgres.port()).await;
    let name = house.configure_own(relay.port(), json!({})).await;
    for fault in [Relay::lose_request as fn(&Relay, &str), Relay::lose_reply] {
        fault(&relay, "ALTER ROLE");
        house.server.operator().post("database/rotate-root/app", json!({})).await;
        assert!(relay.has_failed());
        house.later(10).await;
        house.server.operator().post("database/reset/app", json!({})).await.expect(204);
        assert!(!house.lets_in(&name, "boss-canary").await);
    }
}

#[tokio::test]
async fn statements_that_change_nothing_or_fail_leave_the_old_password() {
    let house = House::open().await;
    for statement in ["SELECT 1", "ALTER ROLE nobody_there PASSWORD '{{password}}'"] {
        let name = house.configure_own(house.postgres.port(), json!({"root_rotation_statements": [statement]})).await;
        house.server.operator().post("database/rotate-root/app", json!({})).await.expect(502);
        assert!(house.lets_in(&name, "boss-canary").await);
        house.server.operator().post("database/reset/app", json!({})).await.expect(204);
    }
}

#[tokio::test]
async fn a_password_that_would_not_be_used_is_not_changed() {
    let house = House::open().await;
    let url = format!("postgresql://boss:hunter2@127.0.0.1:{}/app", house.postgres.port());
    let written = json!({"connection_url": url, "verify_connection": false});
    house.configure("app", house.postgres.port(), written).await;
    let answer = house.server.operator().post("database/rotate-root/app", json!({})).await.expect(400);
    assert!(answer.text.contains("connection_url has the password"), "{}", answer.text);
    let shown = house.server.operator().get("database/config/app").await.expect(200);
    assert!(!shown.text.contains("hunter2"), "{}", shown.text);
}
