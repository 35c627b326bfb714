//! What an incident holds until it is lifted, and what lifting cannot give back.

use crate::aws::Aws;
use crate::{READS_APP, credentials, get, incident, lift, role};
use serde_json::json;
use std::time::Duration;
use strongroom_testkit::TestServer;

#[tokio::test]
async fn what_an_incident_holds_stays_cut_off_until_that_very_incident_is_lifted() {
    let server = TestServer::open().await;
    let operator = server.operator();
    operator.post("secret/data/app/db", json!({"data": {"v": 1}})).await.expect(200);
    role(&server, "web", READS_APP).await;
    let credentials = credentials(&server, "web").await;
    let entity =
        server.by("").post("auth/approle/login", credentials.clone()).await.expect(200).text_at("/auth/entity_id");
    let logs_in = async || server.by("").post("auth/approle/login", credentials.clone()).await.status == 200;
    // Whichever is lifted first, the other one holds.
    for order in [[0, 1], [1, 0]] {
        let mut ids = Vec::new();
        for _ in 0..2 {
            server.world.clock.advance(Duration::from_secs(1));
            ids.push(incident(&server, json!({"principal": entity})).await);
        }
        lift(&server, &ids[order[0]]).await.expect(200);
        assert!(!logs_in().await, "{order:?}");
        lift(&server, &ids[order[1]]).await.expect(200);
        assert!(logs_in().await, "{order:?}");
        let mut ids = Vec::new();
        for _ in 0..2 {
            server.world.clock.advance(Duration::from_secs(1));
            ids.push(incident(&server, json!({"secret": "secret/app/db"})).await);
        }
        // Nor does an ordinary way bring the version back; what is deleted without an incident comes back as ever.
        for (number, id) in order.iter().map(|number| (*number, &ids[*number])) {
            let refused = operator.post("secret/undelete/app/db", json!({"versions": [1]})).await.expect(400);
            assert!(ids.iter().any(|id| refused.text.contains(id.as_str())), "{}", refused.text);
            operator.get("secret/data/app/db").await.expect(404);
            lift(&server, id).await.expect(200);
            if number == order[1] {
                operator.get("secret/data/app/db").await.expect(200);
            }
        }
        operator.delete("secret/data/app/db").await.expect(204);
        operator.post("secret/undelete/app/db", json!({"versions": [1]})).await.expect(204);
        operator.get("secret/data/app/db").await.expect(200);
    }
    server.stop().await;
}

/// Lifting gave nothing back and said nothing of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_lifting_cannot_give_back_is_said_with_what_to_do() {
    let server = TestServer::open().await;
    let (operator, root) = (server.operator(), server.root.clone());
    operator.post("secret/data/app/db", json!({"data": {"v": 1}})).await.expect(200);
    let id = incident(&server, json!({"secret": "secret/app/db"})).await;
    operator.post("secret/destroy/app/db", json!({"versions": [1]})).await.expect(204);
    let svc = Aws::new(&server, "svc", READS_APP).await;
    server.world.clock.advance(Duration::from_secs(1));
    let by_key = incident(&server, json!({"principal": svc.id()})).await;
    operator.delete(&format!("sys/access-keys/{}", svc.id())).await.expect(204);
    for (id, said) in [(&id, "version 1 was destroyed"), (&by_key, "revoked meanwhile")] {
        let lifted = lift(&server, id).await.expect(200);
        assert_eq!(lifted.at("/data/incident/lifted/restored"), &json!([]), "{}", lifted.text);
        let report = get(&server, &root, &format!("incidents/{id}/report")).await.expect(200);
        assert!(report.at("/data/stragglers").to_string().contains(said), "{}", report.text);
    }
    server.stop().await;
}
