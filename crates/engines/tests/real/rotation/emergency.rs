//! An emergency about a secret that rotates.

use super::case::{Case, FIRST, Outside};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use strongroom_testkit::Answer;
use strongroom_testkit::outside::Redis;

/// The incidents that are not lifted, newest first.
async fn incidents(case: &Case) -> Vec<Value> {
    let headers = [("X-Vault-Token", case.house.server.root.as_str())];
    let shown = case.house.server.send_raw("GET", "/api/v1/incidents", &headers, Vec::new()).await.expect(200);
    shown.at("/data/incidents").as_array().unwrap().clone()
}

/// The order comes, and the process dies after so many commits: what the rotation then put in force stays readable.
async fn killed_in_an_emergency(outside: Outside, way: &'static str) {
    let mut case = Case::straight(outside, way).await;
    for commits in 0..64 {
        let known = case.house.server.operator().get("secret/metadata/app/db").await.expect(200);
        let (known, before) = (known.at("/data/current_version").clone(), incidents(&case).await.len());
        case.house.way.cut_after(commits);
        let cut = async {
            while !case.house.way.is_cut() {
                tokio::task::yield_now().await;
            }
        };
        let order = json!({"secret": "secret/app/db", "reason": "found in a repository"}).to_string();
        let headers = [("X-Vault-Token", case.house.server.root.as_str())];
        tokio::select! {
            _ = case.house.server.send_raw("POST", "/api/v1/revoke", &headers, order.into_bytes()) => {}
            () = cut => {}
        }
        let was_cut = case.house.way.is_cut();
        case.house = case.house.crash().await;
        let story = format!("{} {way}: killed after {commits} commits", case.outside.word());
        if incidents(&case).await.len() > before {
            let newest = incidents(&case).await.remove(0);
            let cut = &newest["cut"];
            assert!(cut["rotated"] == true || cut["version"] == known, "{story}: {newest}");
            let id = newest["id"].as_str().unwrap().to_owned();
            for _ in 0..3 {
                case.later(301).await;
            }
            incident_until(&case, &id, |shown| shown.at("/data/incident/state") == "done").await;
        }
        case.to_the_end().await;
        case.is_well(&story).await;
        if !was_cut {
            assert!(commits > 5, "an emergency of {commits} commits");
            return;
        }
    }
    panic!("an emergency about {} {way} never ended", case.outside.word());
}

#[tokio::test]
async fn killed_at_any_commit_an_emergency_hides_nothing_that_it_put_in_force() {
    for way in ["single", "alternating"] {
        killed_in_an_emergency(Outside::redis().await, way).await;
        killed_in_an_emergency(Outside::mariadb().await, way).await;
    }
}

/// Cuts the secret off while its system does not answer; the incident's id.
pub(crate) async fn cut_off_while_it_is_away(case: &Case) -> String {
    let order = json!({"secret": "secret/app/db", "reason": "found in a repository"}).to_string();
    let headers = [("X-Vault-Token", case.house.server.root.as_str())];
    let done = case.house.server.send_raw("POST", "/api/v1/revoke", &headers, order.into_bytes()).await.expect(200);
    assert_eq!(done.at("/data/incident/cut/rotated"), false, "{}", done.text);
    case.house.server.operator().get("secret/data/app/db").await.expect(404);
    done.text_at("/data/incident/id")
}

/// The incident when housekeeping has worked at it, in the state wanted.
pub(crate) async fn incident_until(case: &Case, id: &str, is_so: impl Fn(&Answer) -> bool) -> Answer {
    let headers = [("X-Vault-Token", case.house.server.root.as_str())];
    let deadline = std::time::Instant::now() + Duration::from_secs(20);
    loop {
        case.house.server.world.rooms().housekeep().await;
        let path = format!("/api/v1/incidents/{id}");
        let shown = case.house.server.send_raw("GET", &path, &headers, Vec::new()).await.expect(200);
        if is_so(&shown) {
            return shown;
        }
        assert!(std::time::Instant::now() < deadline, "{}", shown.text);
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn an_emergency_takes_the_value_out_of_use_where_it_cannot_be_rotated_and_stays_open_until_lifted() {
    let redis = Arc::new(Redis::start().await);
    let case = Case::straight(Outside::Redis(Arc::clone(&redis)), "single").await;
    redis.stop();
    let id = cut_off_while_it_is_away(&case).await;
    for _ in 0..5 {
        case.later(301).await;
    }
    let failed = |shown: &Answer| !shown.at("/data/incident/steps/0/failures/0").is_null();
    let shown = incident_until(&case, &id, failed).await;
    assert_eq!(shown.at("/data/incident/state"), "open", "{}", shown.text);
    assert_eq!(shown.at("/data/incident/steps/0/what"), "rotation");
    assert!(shown.text_at("/data/incident/steps/0/failures/0/next").contains("still lets in"), "{}", shown.text);
    assert!(!shown.text.contains("canary"));
    // A person may say that it is over.
    let headers = [("X-Vault-Token", case.house.server.root.as_str())];
    let (path, why) = (format!("/api/v1/incidents/{id}/lift"), json!({"reason": "it was ours"}).to_string());
    let lifted = case.house.server.send_raw("POST", &path, &headers, why.into_bytes()).await.expect(200);
    assert_eq!(lifted.at("/data/incident/state"), "lifted", "{}", lifted.text);
    assert_eq!(case.value().await.1, FIRST);
}
