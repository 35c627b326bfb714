//! The process dies, requests and replies are lost: no login without a lease, and no password that nobody knows.

use crate::house::House;
use serde_json::json;
use strongroom_testkit::outside::Relay;

/// More commits than any one act takes.
const STEPS: i64 = 6;

/// What can happen to a request that holds certain words on its way to the database.
const FAULTS: [fn(&Relay, &str); 2] = [Relay::lose_request, Relay::lose_reply];

#[tokio::test]
async fn killed_at_any_step_of_issuing_no_login_is_without_a_lease() {
    let mut house = House::open().await;
    for commits in 0..STEPS {
        house.settle().await;
        house.way.cut_after(commits);
        let given = house.try_login().await;
        house = house.crash().await;
        assert!(house.logins().len() as u64 <= house.leases(), "after {commits} commits");
        // What was given stays; what was not is gone when its grace is over and nothing can come any more.
        house.later(121).await;
        house.later(61).await;
        assert_eq!(house.logins().len(), usize::from(given.is_some()), "after {commits} commits");
        house.later(3_600).await;
        assert_eq!((house.logins().len(), house.leases()), (0, 0), "after {commits} commits");
    }
}

#[tokio::test]
async fn killed_at_any_step_of_revoking_the_login_is_gone_after_the_next_start() {
    let mut house = House::open().await;
    for commits in 0..STEPS {
        let login = house.login().await;
        house.settle().await;
        house.way.cut_after(commits);
        let revoke = json!({"lease_id": login.lease, "sync": false});
        let marked = house.server.operator().post("sys/leases/revoke", revoke).await.status.is_success();
        house.settle().await;
        house = house.crash().await;
        assert!(house.logins().len() as u64 <= house.leases(), "after {commits} commits");
        house.settle().await;
        house.later(181).await;
        assert!(!marked || !house.works(&login).await, "after {commits} commits");
        house.later(3_600).await;
        assert_eq!((house.logins().len(), house.leases()), (0, 0), "after {commits} commits");
    }
}

#[tokio::test]
async fn a_request_or_reply_that_is_lost_while_a_login_is_made_or_ended_leaves_no_login() {
    let house = House::open().await;
    let relay = Relay::to(house.postgres.port()).await;
    house.configure("app", relay.port(), json!({})).await;
    for fault in FAULTS {
        fault(&relay, "CREATE ROLE");
        assert!(house.try_login().await.is_none() && relay.has_failed());
        house.later(2).await;
        house.later(181).await;
        assert_eq!((house.logins().len(), house.leases()), (0, 0));
        let login = house.login().await;
        fault(&relay, "DROP ROLE");
        let revoke = json!({"lease_id": login.lease});
        house.server.operator().post("sys/leases/revoke", revoke).await;
        assert!(relay.has_failed());
        house.later(2).await;
        assert_eq!((house.logins().len(), house.leases()), (0, 0));
    }
}

#[tokio::test]
async fn killed_while_the_database_makes_a_login_it_is_gone_when_its_grace_is_over() {
    let house = House::open().await;
    let relay = Relay::to(house.postgres.port()).await;
    house.configure("app", relay.port(), json!({})).await;
    relay.silence("CREATE ROLE");
    let (asked, _) =
        tokio::join!(tokio::time::timeout(std::time::Duration::from_millis(1_500), house.try_login()), async {});
    assert!(asked.is_err() && relay.has_failed());
    assert_eq!((house.logins().len(), house.leases()), (1, 1));
    let house = house.crash().await;
    assert_eq!((house.logins().len(), house.leases()), (1, 1));
    house.later(121).await;
    assert_eq!((house.logins().len(), house.leases()), (0, 0));
}

#[tokio::test]
async fn killed_at_any_step_of_changing_a_password_one_that_is_known_works() {
    let mut house = House::open().await;
    let username = house.existing_login("first");
    let path = format!("database/static-roles/{}", house.role);
    let body = json!({"db_name": "app", "username": username, "rotation_period": "24h"});
    house.server.operator().post(&path, body).await.expect(204);
    for commits in 0..STEPS {
        house.settle().await;
        house.way.cut_after(commits);
        let rotate = house.server.operator().post(&format!("database/rotate-role/{}", house.role), json!({})).await;
        let was_cut = house.way.is_cut();
        assert!(rotate.status.is_success() || was_cut, "{}", rotate.text);
        house = house.crash().await;
        // At once: whoever began it is surely gone.
        house.settle().await;
        let creds = house.server.operator().get(&format!("database/static-creds/{}", house.role)).await.expect(200);
        assert!(creds.at("/warnings").is_null(), "after {commits} commits: {}", creds.text);
        assert!(house.lets_in(&username, &creds.text_at("/data/password")).await, "after {commits} commits");
    }
}

#[tokio::test]
async fn a_reply_that_is_lost_while_a_password_is_changed_leaves_one_that_is_known() {
    let house = House::open().await;
    let relay = Relay::to(house.postgres.port()).await;
    house.configure("app", relay.port(), json!({})).await;
    let username = house.existing_login("first");
    let path = format!("database/static-roles/{}", house.role);
    let body = json!({"db_name": "app", "username": username, "rotation_period": "24h"});
    house.server.operator().post(&path, body).await.expect(204);
    for fault in FAULTS {
        fault(&relay, "ALTER ROLE");
        house.server.operator().post(&format!("database/rotate-role/{}", house.role), json!({})).await;
        assert!(relay.has_failed());
        house.later(10).await;
        let creds = house.server.operator().get(&format!("database/static-creds/{}", house.role)).await.expect(200);
        assert!(creds.at("/warnings").is_null(), "{}", creds.text);
        assert!(house.lets_in(&username, &creds.text_at("/data/password")).await);
    }
}
