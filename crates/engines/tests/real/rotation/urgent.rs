//! Rotations of what others know.

use super::case::{Case, Outside};
use super::emergency::{cut_off_while_it_is_away, incident_until};
use crate::house::House;
use serde_json::json;
use std::sync::Arc;
use strongroom_testkit::outside::Relay;

#[tokio::test]
async fn a_value_that_others_know_is_worthless_after_an_urgent_rotation() {
    let cases = [(Outside::mariadb().await, "alternating"), (Outside::redis().await, "new-user")];
    for (outside, way) in cases {
        let case = Case::straight(outside, way).await;
        let (first, second) = (case.value().await, case.rotate().await);
        assert!(case.works(&first).await);
        let leak = json!({"leaked": true, "reason": "seen in a ticket"});
        case.ask("POST", "start", Some(leak)).await.expect(200);
        case.to_the_end().await;
        let third = case.value().await;
        assert!(case.works(&third).await && !case.works(&second).await, "{way}");
        assert_eq!(case.history().await[0]["trigger"], "root (leaked: seen in a ticket)");
        // The same by the emergency revocation of the secret.
        let order = json!({"secret": "secret/app/db", "reason": "found in a repository"}).to_string();
        let headers = [("X-Vault-Token", case.house.server.root.as_str())];
        let done = case.house.server.send_raw("POST", "/api/v1/revoke", &headers, order.into_bytes()).await;
        let done = done.expect(200);
        assert_eq!(done.at("/data/incident/cut/rotated"), true, "{}", done.text);
        let fourth = case.value().await;
        assert!(case.works(&fourth).await && !case.works(&third).await, "{way}");
        assert!(!case.works(&first).await || way == "new-user", "{way}");
    }
}

/// The rotation was cancelled, the incident said that nothing was left, and the value that others knew let in for ever.
#[tokio::test]
async fn a_value_that_others_know_is_made_worthless_when_its_system_is_back() {
    let outside = Outside::mariadb().await;
    for way in ["single", "alternating"] {
        let relay = Relay::to(outside.port()).await;
        let case = Case::new(House::open().await, outside.clone(), way, relay.port()).await;
        let known = if way == "alternating" { case.rotate().await } else { case.value().await };
        relay.lose_request(case.outside.marks()[1]);
        let id = cut_off_while_it_is_away(&case).await;
        assert!(case.works(&known).await, "{way}");
        for _ in 0..3 {
            case.later(301).await;
        }
        let shown = incident_until(&case, &id, |shown| shown.at("/data/incident/state") == "done").await;
        assert_eq!(shown.at("/data/incident/cut/rotated"), true, "{}", shown.text);
        let now = case.value().await;
        assert!(case.works(&now).await && !case.works(&known).await, "{way}");
    }
}

#[tokio::test]
async fn a_value_that_others_know_is_made_worthless_whoever_cancels_that() {
    let case = Case::straight(Outside::Postgres(Arc::clone(&House::open().await.postgres)), "new-user").await;
    let known = case.rotate().await;
    let mut options = json!({"role": case.name, "overlap": "10s", "revocation_statements": "SELECT 1 / 0"});
    case.ask("POST", "schedule", Some(json!({ "options": options }))).await.expect(200);
    case.ask("POST", "start", Some(json!({"leaked": true}))).await.expect(200);
    case.settle().await;
    let running = case.running().await.expect("the former login could not be dropped");
    assert_eq!((&running["phase"], &running["attempts"]), (&json!("retiring"), &json!(1)), "{running}");
    let answer = case.ask("POST", "cancel", None).await.expect(200);
    assert_eq!(answer.at("/data/cancelled/result"), "known", "{}", answer.text);
    options.as_object_mut().unwrap().remove("revocation_statements");
    case.ask("POST", "schedule", Some(json!({ "options": options }))).await.expect(200);
    case.to_the_end().await;
    assert!(!case.works(&known).await && case.history().await[0]["left"].is_null());
    assert_eq!(case.made().await, [case.value().await.0]);
    case.is_well("known, and cancelled").await;
}
