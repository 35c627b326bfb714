//! Roles that are shut out, where the mount is tuned so, and the limits of that.

use crate::house::{House, WRONG, refused, told};
use serde_json::json;
use std::sync::Arc;
use strongroom_model::Kind;
use strongroom_storage::Sqlite;
use strongroom_testkit::ManualClock;
use tokio::task::JoinSet;

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

/// What somebody who is shut out is told: Vault's 403.
fn shut_out() -> (Kind, String) {
    (Kind::Denied, "permission denied".to_owned())
}

/// Guesses at a secret id that somebody chose all passed the check together before the first of them had been counted. With a
/// store on disk, since one in memory counts before the next guess arrives.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_many_guesses_at_once_no_more_are_looked_at_than_may_fail() {
    let folder = tempfile::tempdir().unwrap();
    let store = Sqlite::open(&folder.path().join("store.db"), Arc::new(ManualClock::new())).unwrap();
    let house = Arc::new(House::with_share(Arc::new(store)).await.0);
    house.role("web", json!({})).await;
    house.write("role/web/custom-secret-id", json!({ "secret_id": "pin-49" })).await.unwrap();
    house.tune(json!({ "lockout_threshold": 3, "lockout_duration": "10m" })).await.unwrap();
    let mut guesses = JoinSet::new();
    for pin in 60..110 {
        let house = Arc::clone(&house);
        guesses.spawn(async move { told(house.login("web-id", &format!("pin-{pin}")).await) });
    }
    let told_them = guesses.join_all().await;
    assert_eq!(told_them.iter().filter(|(_, text)| text == WRONG).count(), 3);
    assert_eq!(told_them.iter().filter(|told| **told == shut_out()).count(), 47);
    assert_eq!(told(house.login("web-id", "pin-49").await), shut_out());
    house.advance(10 * MINUTE);
    assert!(house.login("web-id", "pin-49").await.is_ok());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn machines_that_log_in_at_once_are_all_let_in_and_each_costs_a_use() {
    let house = Arc::new(House::new().await);
    house.tune(json!({ "lockout_threshold": 3 })).await.unwrap();
    let secret = house.role("web", json!({ "secret_id_num_uses": 21 })).await;
    let mut logins = JoinSet::new();
    for _ in 0..20 {
        let (house, secret) = (Arc::clone(&house), secret.clone());
        logins.spawn(async move { house.login("web-id", &secret).await.map(drop) });
    }
    assert!(logins.join_all().await.iter().all(Result::is_ok));
    assert_eq!(house.look_up("web", &secret).await["secret_id_num_uses"], json!(1));
}

/// The record went at the end that it was written with, and with it who was shut out was let in.
#[tokio::test]
async fn who_is_shut_out_stays_so_for_as_long_as_the_mount_says_by_then() {
    let house = House::new().await;
    let secret = house.role("web", json!({})).await;
    house.role("other", json!({})).await;
    let minute = json!({ "lockout_threshold": 2, "lockout_duration": 60, "lockout_counter_reset_duration": 60 });
    house.tune(minute).await.unwrap();
    house.fail("web", 2).await;
    house.tune(json!({ "lockout_duration": "1h" })).await.unwrap();
    house.advance(MINUTE);
    // A failure of anybody removes what is dead.
    house.fail("other", 1).await;
    assert_eq!(told(house.login("web-id", &secret).await), shut_out());
    house.advance(HOUR - MINUTE - 1);
    house.fail("other", 1).await;
    assert_eq!(told(house.login("web-id", &secret).await), shut_out());
    house.advance(1);
    let before = house.records().await;
    house.fail("other", 1).await;
    assert_eq!(house.records().await + 2, before, "the count of `web` went with its end, when that had come");
    assert!(house.login("web-id", &secret).await.is_ok());
}

#[tokio::test]
async fn a_failure_counts_for_as_long_as_the_mount_says_by_then_and_is_removed_after() {
    let house = House::new().await;
    let secret = house.role("web", json!({})).await;
    house.role("other", json!({})).await;
    house.tune(json!({ "lockout_threshold": 2, "lockout_counter_reset_duration": 60 })).await.unwrap();
    let empty = house.records().await;
    house.fail("web", 1).await;
    house.tune(json!({ "lockout_counter_reset_duration": "1h" })).await.unwrap();
    house.advance(MINUTE);
    house.fail("other", 1).await;
    assert_eq!(house.records().await, empty + 4, "two counts with their ends");
    house.fail("web", 1).await;
    assert_eq!(told(house.login("web-id", &secret).await), shut_out());
    house.advance(HOUR);
    house.role("third", json!({})).await;
    let before = house.records().await;
    house.fail("third", 1).await;
    assert_eq!(house.records().await + 2, before, "two went and one came");
    assert!(house.login("web-id", &secret).await.is_ok());
}

/// The count stayed where it was, so that one failure in each span kept a role out for good.
#[tokio::test]
async fn who_has_been_shut_out_has_every_try_again_also_where_failures_count_for_longer() {
    let house = House::new().await;
    let secret = house.role("web", json!({})).await;
    let config = json!({ "lockout_threshold": 3, "lockout_duration": 60, "lockout_counter_reset_duration": "1h" });
    house.tune(config).await.unwrap();
    house.fail("web", 2).await;
    house.advance(HOUR - 1);
    house.fail("web", 1).await;
    house.advance(MINUTE - 1);
    assert_eq!(told(house.login("web-id", &secret).await), shut_out());
    house.advance(1);
    house.fail("web", 2).await;
    assert!(house.login("web-id", &secret).await.is_ok());
    house.fail("web", 3).await;
    assert_eq!(told(house.login("web-id", &secret).await), shut_out());
}

#[tokio::test]
async fn spans_that_would_keep_made_up_names_for_long_are_refused() {
    let house = House::new().await;
    let most = json!({ "lockout_duration": 30 * DAY, "lockout_counter_reset_duration": DAY });
    house.tune(most).await.unwrap();
    let tuned = house.tuned();
    assert_eq!((&tuned["duration"], &tuned["counter_reset"]), (&json!(30 * DAY), &json!(DAY)));
    for (field, longer) in [("lockout_duration", 30 * DAY + 1), ("lockout_counter_reset_duration", DAY + 1)] {
        let text = refused(house.tune(json!({ "lockout_threshold": 9, field: longer })).await);
        assert!(text.contains(field) && text.contains(&format!("longer than {} seconds", longer - 1)), "{text}");
        assert!(text.contains("make up"), "{text}");
        assert_eq!(house.tuned(), tuned, "nothing of it is taken over");
    }
}
