//! A secret that is cut off.

use crate::{READS_APP, ask, done, get, incident, login, revoke, role};
use serde_json::json;
use std::collections::BTreeSet;
use std::time::Duration;
use strongroom_testkit::TestServer;

#[tokio::test]
async fn a_revoked_secret_is_refused_until_a_new_version_or_lifting_and_its_consumers_are_measured() {
    let server = TestServer::open().await;
    let (operator, root) = (server.operator(), server.root.clone());
    operator.post("secret/data/app/db", json!({"data": {"v": 1}})).await.expect(200);
    let rules = "path \"secret/data/app/*\" { capabilities = [\"read\"] }";
    for name in ["quick", "slow", "gone"] {
        role(&server, name, rules).await;
    }
    let mut tokens = Vec::new();
    for name in ["quick", "slow", "gone"] {
        let token = login(&server, name).await.text_at("/auth/client_token");
        server.by(&token).get("secret/data/app/db").await.expect(200);
        tokens.push(token);
    }
    // A preview touches nothing.
    let before = server.world.snapshot().await.len();
    let preview =
        ask(&server, &root, "POST", "revoke/preview", Some(json!({"secret": "secret/app/db"}))).await.expect(200);
    assert_eq!(preview.at("/data/target"), "secret/app/db");
    assert_eq!(preview.at("/data/touches/0/names"), &json!(["version 1"]));
    assert_eq!(preview.at("/data/touches/1/count"), 3, "{}", preview.text);
    assert_eq!(server.world.snapshot().await.len(), before);
    server.by(&tokens[0]).get("secret/data/app/db").await.expect(200);
    assert_eq!(get(&server, &root, "incidents").await.at("/data/incidents"), &json!([]));
    // No reason, no revocation; nor two targets at once.
    ask(&server, &root, "POST", "revoke", Some(json!({"secret": "secret/app/db"}))).await.expect(400);
    revoke(&server, &root, json!({"secret": "secret/app/db", "mount": "secret"})).await.expect(400);
    server.world.clock.advance(Duration::from_secs(5));
    let answer = revoke(&server, &root, json!({"secret": "secret/data/app/db"})).await.expect(200);
    let id = answer.text_at("/data/incident/id");
    assert_eq!(answer.at("/data/incident/cut/version"), 1);
    assert!(answer.at("/data/figures/refusal_in_force_us").is_u64(), "{}", answer.text);
    server.world.clock.advance(Duration::from_secs(1));
    for token in &tokens[..2] {
        server.by(token).get("secret/data/app/db").await.expect(404);
    }
    let report = done(&server, &id).await;
    assert_eq!(report.at("/data/figures/accepted_after"), 0, "{}", report.text);
    assert_eq!(report.at("/data/figures/refused_after"), 2);
    operator.post("secret/data/app/db", json!({"data": {"v": 2}})).await.expect(200);
    server.by(&tokens[0]).get("secret/data/app/db").await.expect(200);
    let report = get(&server, &root, &format!("incidents/{id}/report")).await.expect(200);
    let mut states: Vec<_> = report
        .at("/data/figures/consumers")
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["state"].as_str().unwrap())
        .collect();
    states.sort_unstable();
    assert_eq!(states, ["not-seen", "refreshed", "refused"]);
    assert_eq!(report.at("/data/stragglers").as_array().unwrap().len(), 2, "{}", report.text);
    assert_eq!(report.at("/data/figures/last_accepted_us"), 0, "reads of the new version are no use of the old one");
    let notes: Vec<_> =
        report.at("/data/timeline").as_array().unwrap().iter().filter_map(|row| row["note"].as_str()).collect();
    assert!(notes.iter().any(|note| note.contains("cut off: version 1")), "{notes:?}");
    // Lifted, the version is back; twice is once too often.
    let lift = |id: String| {
        let (server, root) = (&server, root.clone());
        async move {
            ask(server, &root, "POST", &format!("incidents/{id}/lift"), Some(json!({"reason": "a false alarm"}))).await
        }
    };
    server.by(&tokens[0]).get("secret/data/app/db?version=1").await.expect(404);
    assert_eq!(lift(id.clone()).await.expect(200).at("/data/incident/lifted/restored"), &json!(["version 1"]));
    server.by(&tokens[0]).get("secret/data/app/db?version=1").await.expect(200);
    lift(id).await.expect(409);
    server.stop().await;
}

/// The timeline began a quarter of an hour before the order and ended after two hundred uses: of a secret that is read
/// often it told nothing of what happened since, and did not say so. All logins by AppRole were called `approle` in it.
#[tokio::test]
async fn the_timeline_of_a_secret_that_is_read_often_goes_on_behind_the_order() {
    let server = TestServer::open().await;
    let (operator, root) = (server.operator(), server.root.clone());
    operator.post("secret/data/app/db", json!({"data": {"v": 1}})).await.expect(200);
    role(&server, "web", READS_APP).await;
    role(&server, "cron", READS_APP).await;
    let web = login(&server, "web").await.text_at("/auth/client_token");
    for _ in 0..250 {
        server.by(&web).get("secret/data/app/db").await.expect(200);
    }
    let cron = login(&server, "cron").await;
    server.by(&cron.text_at("/auth/client_token")).get("secret/data/app/db").await.expect(200);
    server.world.clock.advance(Duration::from_secs(5));
    let id = incident(&server, json!({"secret": "secret/app/db"})).await;
    server.by(&web).get("secret/data/app/db").await.expect(404);
    let report = get(&server, &root, &format!("incidents/{id}/report")).await.expect(200);
    let timeline = report.at("/data/timeline").as_array().unwrap();
    let reads =
        |result: &str| timeline.iter().filter(|row| row["operation"] == "read" && row["result"] == result).count();
    assert_eq!((reads("ok"), reads("not_found")), (50, 1), "{}", report.text);
    assert!(timeline.is_sorted_by_key(|row| row["seq"].as_u64()));
    assert_eq!(report.at("/data/timeline_more"), true, "earlier reads are left out, and that is said");
    // Two roles, two names, by which every command takes them.
    let names: BTreeSet<&str> = timeline.iter().filter_map(|row| row["name"].as_str()).collect();
    assert_eq!(names.len(), 2, "{names:?}");
    let entries = get(&server, &root, "trail/query?path=secret/app/db&operation=read&order=newest&limit=2").await;
    let named = |at: usize| entries.text_at(&format!("/data/entries/{at}/name"));
    assert_ne!(named(0), named(1), "{}", entries.text);
    for at in [0, 1] {
        let entity = entries.text_at(&format!("/data/entries/{at}/entity"));
        let found = get(&server, &root, &format!("trail/query?principal={}&limit=1", named(at))).await.expect(200);
        assert_eq!(found.text_at("/data/entries/0/entity"), entity, "{}", found.text);
    }
    server.stop().await;
}
