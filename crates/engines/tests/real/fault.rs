//! The database is stopped, hangs, comes back; clocks jump; the server seals; mounts go.

use crate::house::House;
use serde_json::json;
use std::time::Duration;

#[tokio::test]
async fn a_database_that_is_down_gets_its_logins_ended_when_it_is_back() {
    let house = House::alone().await;
    let (login, other) = (house.login().await, house.login().await);
    house.postgres.kill();
    let revoke = json!({"lease_id": login.lease});
    let answer = house.server.operator().post("sys/leases/revoke", revoke).await.expect(502);
    assert!(answer.text.contains("cannot be reached"), "{}", answer.text);
    assert!(house.try_login().await.is_none());
    house.postgres.restart().await;
    assert!(house.works(&login).await);
    house.later(310).await;
    house.later(181).await;
    assert!(!house.works(&login).await && house.works(&other).await);
    assert_eq!((house.logins().len(), house.leases()), (1, 1));
}

#[tokio::test]
async fn asking_a_database_that_is_down_for_logins_leaves_no_leases() {
    let house = House::alone().await;
    house.postgres.kill();
    assert!(house.try_login().await.is_none() && house.try_login().await.is_none());
    assert_eq!(house.leases(), 0);
    house.postgres.restart().await;
    assert!(house.try_login().await.is_some());
}

#[tokio::test]
async fn a_database_that_hangs_holds_up_nobody_else() {
    let (house, well) = (House::alone().await, House::open().await);
    house.server.operator().post("database/config/well", json!({
        "plugin_name": "postgresql-database-plugin", "connection_url": well.postgres.admin().url,
        "username": well.postgres.admin().username, "password": well.postgres.admin().password, "allowed_roles": "*",
    })).await.expect(204);
    let role = json!({"db_name": "well", "creation_statements": crate::house::CREATE, "default_ttl": "1h"});
    house.server.operator().post("database/roles/well", role).await.expect(204);
    let login = house.login().await;
    house.postgres.pause();
    let revoke = json!({"lease_id": login.lease, "sync": false});
    house.server.operator().post("sys/leases/revoke", revoke).await.expect(202);
    let begun = std::time::Instant::now();
    let other = house.server.operator().get("database/creds/well").await.expect(200);
    let revoke = json!({"lease_id": other.text_at("/lease_id")});
    house.server.operator().post("sys/leases/revoke", revoke).await.expect(204);
    house.server.operator().post("database/config/app", json!({"verify_connection": false})).await.expect(204);
    assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
    house.postgres.resume();
    for _ in 0..3 {
        house.later(310).await;
    }
    assert_eq!((house.logins().len(), house.leases()), (0, 0));
}

#[tokio::test]
async fn a_clock_that_jumps_a_day_ends_what_is_over_and_keeps_nothing_longer_than_meant() {
    let house = House::open().await;
    let first = house.login().await;
    house.later(86_400).await;
    assert!(!house.works(&first).await);
    let second = house.login().await;
    house.server.world.clock.turn_back(Duration::from_secs(86_400));
    house.settle().await;
    assert!(house.works(&second).await);
    house.later(3_601).await;
    assert!(!house.works(&second).await);
    assert_eq!((house.logins().len(), house.leases()), (0, 0));
}

#[tokio::test]
async fn what_expires_while_the_server_is_away_is_ended_when_it_is_back() {
    let house = House::open().await;
    let login = house.login().await;
    let house = house.crash().await;
    house.later(7_200).await;
    assert!(!house.works(&login).await);
    assert_eq!((house.logins().len(), house.leases()), (0, 0));
}

#[tokio::test]
async fn a_mount_can_be_removed_while_its_database_is_down_and_its_logins_end_when_it_is_back() {
    let house = House::alone().await;
    let login = house.login().await;
    house.postgres.stop();
    house.server.operator().delete("sys/mounts/database").await.expect(204);
    house.settle().await;
    house.server.operator().get(&format!("database/creds/{}", house.role)).await.expect(404);
    assert_eq!(house.leases(), 1);
    house.postgres.restart().await;
    assert!(house.works(&login).await);
    house.later(310).await;
    assert_eq!((house.logins().len(), house.leases()), (0, 0));
}

#[tokio::test]
async fn a_thousand_leases_that_end_at_once_leave_no_login() {
    const MANY: usize = 1_000;
    let house = std::sync::Arc::new(House::open().await);
    let mut asking = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let house = std::sync::Arc::clone(&house);
        asking.spawn(async move {
            for _ in 0..MANY / 8 {
                house.login().await;
            }
        });
    }
    asking.join_all().await;
    assert_eq!((house.logins().len(), house.leases()), (MANY, MANY as u64));
    house.later(3_600).await;
    assert_eq!((house.logins().len(), house.leases()), (0, 0));
}
