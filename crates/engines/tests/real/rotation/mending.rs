//! What went wrong outside is put right, by itself or by hand.

use super::case::{Case, FIRST, Outside};
use crate::house::House;
use serde_json::json;
use std::sync::Arc;
use strongroom_testkit::Answer;

/// A rotation that waits for its database, which is down.
pub(crate) async fn held_up(way: &'static str, stored: Option<&str>) -> Case {
    let house = House::alone().await;
    let (outside, port) = (Outside::Postgres(Arc::clone(&house.postgres)), house.postgres.port());
    let case = Case::new(house, outside, way, port).await;
    if let Some(password) = stored {
        case.write(password).await;
    }
    case.house.postgres.stop();
    case.ask("POST", "start", None).await.expect(200);
    case.settle().await;
    let running = case.running().await.expect("it waits");
    assert_eq!((&running["phase"], running["attempts"].as_u64() > Some(0)), (&json!("setting"), true), "{running}");
    case
}

#[tokio::test]
async fn what_was_written_while_the_database_was_down_is_made_good_when_it_is_back() {
    for (way, writes) in [("single-self", 1), ("single-self", 3), ("single", 1)] {
        let case = held_up(way, None).await;
        for number in 0..writes {
            case.write(&format!("wr1tten-canary-{number}")).await;
        }
        case.house.postgres.restart().await;
        case.to_the_end().await;
        let last = case.history().await.remove(0);
        assert_eq!((&last["outcome"]["result"], &last["outcome"]["phase"]), (&json!("rolled-back"), &json!("setting")));
        assert_eq!(case.value().await.1, format!("wr1tten-canary-{}", writes - 1));
        case.is_well(&format!("written {writes} times")).await;
        case.rotate().await;
        case.is_well("rotated again").await;
    }
}

#[tokio::test]
async fn a_password_that_never_was_right_ends_the_rotation_and_says_so() {
    let case = held_up("single-self", Some("wr0ng-canary")).await;
    case.house.postgres.restart().await;
    // Nor was the one before, once it was changed by hand.
    case.house.postgres.sql(&format!("ALTER ROLE \"{}\" PASSWORD 'by-hand-canary'", case.name));
    case.to_the_end().await;
    let last = case.history().await.remove(0);
    let why = last["outcome"]["why"].as_str().unwrap();
    assert!(last["outcome"]["result"] == "rolled-back" && why.contains("no known password of"), "{last}");
    assert!(!last.to_string().contains("canary"), "{last}");
    case.write("by-hand-canary").await;
    case.rotate().await;
    case.is_well("after the right one was written").await;
}

/// A database that is down, and what cannot be rolled back because of that.
#[tokio::test]
async fn a_rotation_that_cannot_be_rolled_back_is_given_up_by_who_does_not_want_to_wait() {
    let case = held_up("single", None).await;
    let cancelled = |answer: &Answer| answer.at("/data/cancelled/result").clone();
    assert_eq!(cancelled(&case.ask("POST", "cancel", None).await.expect(200)), "rolling-back");
    case.settle().await;
    let stuck = case.running().await.expect("it is held up");
    assert_eq!((&stuck["phase"], &stuck["attempts"]), (&json!("rolling-back"), &json!(1)), "{stuck}");
    let refused = case.ask("POST", "start", None).await.expect(409);
    assert!(refused.text.contains("is under way, and what it did is being rolled back; wait"), "{}", refused.text);
    let advice = stuck["advice"].as_str().unwrap();
    assert!(["By hand", "strongroom kv put", "strongroom rotate cancel"].iter().all(|said| advice.contains(said)));
    let answer = case.ask("POST", "cancel", None).await.expect(200);
    assert_eq!(cancelled(&answer), "given-up");
    case.settle().await;
    assert!(case.running().await.is_none());
    let last = case.history().await.remove(0);
    let why = last["outcome"]["why"].as_str().unwrap();
    assert!(last["outcome"]["unsettled"] == true && why.contains("gave up rolling it back after 1 tries"), "{last}");
    // Somebody may have written since, so that the value in force is neither: the versions are named.
    assert!(why.contains("value of version 1, which was in force when it began, or that of version 2"), "{why}");
    let status = case.ask("GET", "status", None).await.expect(200);
    assert!(status.text_at("/data/advice").contains("the two versions that the reason names"), "{}", status.text);
    // What may be the value outside is still here.
    case.house.server.operator().get("secret/data/app/db?version=2").await.expect(200);
    let nothing = case.ask("POST", "cancel", None).await.expect(200);
    assert_eq!(cancelled(&nothing), "nothing-under-way");
    case.house.postgres.restart().await;
    case.rotate().await;
    case.is_well("given up, then rotated").await;
}

#[tokio::test]
async fn a_login_that_no_known_password_opens_is_put_right_by_hand_as_the_status_says() {
    let case = held_up("single", None).await;
    // Somebody changed both logins outside.
    let operator = case.house.server.operator();
    let mut admin = operator.get("secret/data/app/admin").await.expect(200).at("/data/data").clone();
    admin["password"] = json!("wr0ng-canary");
    operator.post("secret/data/app/admin", json!({"data": admin})).await.expect(200);
    case.house.postgres.restart().await;
    case.house.postgres.sql(&format!("ALTER ROLE \"{}\" PASSWORD 'by-hand-canary'", case.name));
    for _ in 0..6 {
        case.later(301).await;
    }
    let stuck = case.running().await.expect("nobody can put it right");
    assert!(stuck["phase"] == "rolling-back" && stuck["advice"].as_str().unwrap().contains("By hand"), "{stuck}");
    assert!(!stuck.to_string().contains("canary"), "{stuck}");
    case.house.postgres.sql(&format!("ALTER ROLE \"{}\" PASSWORD '{FIRST}'", case.name));
    case.to_the_end().await;
    let last = case.history().await.remove(0);
    assert!(last["outcome"]["result"] == "rolled-back" && last["outcome"]["unsettled"].is_null(), "{last}");
    case.is_well("put right by hand").await;
}
