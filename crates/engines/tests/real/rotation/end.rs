//! How a rotation ends: cancelled, late, and with no login left or taken that is not its own.

use super::case::{Case, FIRST, Outside};
use super::mending::held_up;
use crate::house::House;
use serde_json::json;
use std::sync::Arc;

impl Case {
    /// Logins that rotations made, as the status has them.
    pub(crate) async fn made(&self) -> Vec<String> {
        let status = self.ask("GET", "status", None).await.expect(200);
        let made = status.at("/data/made").as_array().cloned().unwrap_or_default();
        made.iter().map(|one| one["login"].as_str().unwrap().to_owned()).collect()
    }
}

/// Whoever cancelled it was told that it was too late, and it waited on for a session that nobody could end.
#[tokio::test]
async fn a_rotation_whose_value_is_in_force_waits_no_longer_when_it_is_cancelled_and_the_next_one_clears_up() {
    let case = Case::straight(Outside::Postgres(Arc::clone(&House::open().await.postgres)), "new-user").await;
    // The first login was made by nobody here, so it does not go.
    let former = case.rotate().await;
    case.ask("POST", "start", None).await.expect(200);
    case.settle().await;
    assert_eq!(case.running().await.expect("it waits")["phase"], "retiring");
    let answer = case.ask("POST", "cancel", None).await.expect(200);
    assert_eq!(answer.at("/data/cancelled/result"), "left", "{}", answer.text);
    case.settle().await;
    assert!(case.running().await.is_none());
    let last = case.history().await.remove(0);
    assert_eq!(last["outcome"], json!({"result": "rotated"}));
    let left = last["left"].as_str().unwrap();
    assert!(left.contains("root ended it") && left.contains("version 2") && left.contains("time to notice"), "{last}");
    let now = case.value().await;
    assert!(case.works(&now).await && case.works(&former).await && former != now);
    assert_eq!(case.made().await, [former.0.clone(), now.0.clone()]);
    // What was left goes with the next former one.
    let newest = case.rotate().await;
    assert!(case.works(&newest).await && !case.works(&now).await && !case.works(&former).await);
    assert_eq!(case.made().await, std::slice::from_ref(&newest.0));
    case.is_well("left, then cleared up").await;
    // Where others know a value, nothing is left of those before it either.
    case.ask("POST", "start", None).await.expect(200);
    case.settle().await;
    case.ask("POST", "cancel", None).await.expect(200);
    case.settle().await;
    let known = case.value().await;
    assert!(case.works(&newest).await && case.works(&known).await);
    case.ask("POST", "start", Some(json!({"leaked": true}))).await.expect(200);
    case.to_the_end().await;
    let works = (case.works(&newest).await, case.works(&known).await);
    assert_eq!(works, (false, false), "{:?} {:?}", case.made().await, case.history().await.first());
    assert_eq!(case.made().await, [case.value().await.0]);
    case.is_well("left, then known to others").await;
}

/// Any login was taken for one of the rotations' own whose name was the role's with eight characters behind it.
#[tokio::test]
async fn a_login_that_is_called_like_those_of_rotations_is_not_theirs_to_change_or_drop() {
    let case = Case::straight(Outside::Postgres(Arc::clone(&House::open().await.postgres)), "new-user").await;
    let own = case.rotate().await;
    let strange = (format!("{}_str4nger", case.name), "str4nge-canary".to_owned());
    case.outside.make(&strange.0, &strange.1);
    // Who may only write the secret has it neither changed nor dropped ...
    let writer = case.writer().await;
    case.rename(&writer, &[("username", &strange.0), ("password", &strange.1)]).await;
    case.is_refused(&writer).await;
    // ... and who may plan has it rotated away from, as the first login was, and it stays.
    case.ask("POST", "schedule", Some(json!({"admin": "app/admin"}))).await.expect(200);
    let new = case.rotate().await;
    assert!(case.works(&new).await && case.works(&strange).await);
    // What the rotation before it had made is still known as such, and had no session.
    assert!(!case.works(&own).await);
    assert_eq!(case.made().await, [new.0]);
}

#[tokio::test]
async fn a_login_that_somebody_names_while_a_rotation_is_rolled_back_stays_as_it_is() {
    let case = held_up("single", None).await;
    case.house.postgres.restart().await;
    let (writer, boss) = (case.writer().await, format!("boss{}", case.house.role));
    case.outside.make(&boss, "b0ss-canary");
    case.rename(&writer, &[("username", &boss), ("password", "taken-canary")]).await;
    case.to_the_end().await;
    assert_eq!(case.history().await.remove(0)["outcome"]["result"], "rolled-back");
    assert!(case.works(&(boss, "b0ss-canary".to_owned())).await);
    assert!(case.works(&(case.name.clone(), FIRST.to_owned())).await);
}
