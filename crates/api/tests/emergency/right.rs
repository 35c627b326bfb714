//! Who may order, and what they learn of what they may not know.

use crate::{ask, get, login, revoke, role};
use serde_json::json;
use std::time::Duration;
use strongroom_testkit::TestServer;

#[tokio::test]
async fn revoking_takes_sudo_and_a_target_that_may_not_be_known_is_as_one_that_is_not_there() {
    let server = TestServer::open().await;
    let (operator, root) = (server.operator(), server.root.clone());
    for name in ["app/db", "hr/pay"] {
        operator.post(&format!("secret/data/{name}"), json!({"data": {"v": 1}})).await.expect(200);
    }
    role(&server, "web", "path \"none\" { capabilities = [\"read\"] }").await;
    let entity = login(&server, "web").await.text_at("/auth/entity_id");
    let sees = "path \"secret/metadata/app/*\" { capabilities = [\"read\"] }\n\
                path \"sys/incidents\" { capabilities = [\"read\"] }\npath \"sys/incidents/*\" { capabilities = [\"read\"] }\n";
    let may = "path \"sys/revoke\" { capabilities = [\"update\", \"sudo\"] }\n\
               path \"sys/revoke/preview\" { capabilities = [\"update\", \"sudo\"] }\n";
    server.policy("sees", sees).await;
    server.policy("weak", &format!("{sees}{}", may.replace(", \"sudo\"", ""))).await;
    server.policy("may", &format!("{sees}{may}")).await;
    let mut tokens = Vec::new();
    for policy in ["sees", "weak", "may"] {
        tokens.push(server.token(json!({"policies": [policy], "no_default_policy": true})).await);
    }
    let targets = [
        (json!({"secret": "secret/app/db"}), 200),
        (json!({"secret": "secret/hr/pay"}), 404),
        (json!({"secret": "secret/none"}), 404),
        (json!({"principal": entity}), 404),
        (json!({"lease_prefix": "database/creds"}), 404),
        (json!({"mount": "auth/approle"}), 404),
    ];
    let nothing = json!({"secret": "no/such"});
    let unknown = ask(&server, &tokens[2], "POST", "revoke/preview", Some(nothing)).await.expect(404);
    for (target, status) in &targets {
        for token in &tokens[..2] {
            ask(&server, token, "POST", "revoke/preview", Some(target.clone())).await.expect(403);
            revoke(&server, token, target.clone()).await.expect(403);
        }
        let preview = ask(&server, &tokens[2], "POST", "revoke/preview", Some(target.clone())).await.expect(*status);
        if *status == 404 {
            assert_eq!(preview.at("/error"), unknown.at("/error"), "{target}");
        }
        revoke(&server, &tokens[2], target.clone()).await.expect(*status);
    }
    server.world.clock.advance(Duration::from_secs(1));
    revoke(&server, &root, json!({"secret": "secret/hr/pay"})).await.expect(200);
    // Of two incidents each sees those about what they may see.
    let all = get(&server, &root, "incidents").await.expect(200);
    assert_eq!(all.at("/data/incidents").as_array().unwrap().len(), 2);
    let some = get(&server, &tokens[0], "incidents").await.expect(200);
    assert_eq!(some.at("/data/incidents").as_array().unwrap().len(), 1, "{}", some.text);
    assert!(all.text.contains("hr/pay") && !some.text.contains("hr/pay"), "{}", some.text);
    let hidden = all.text_at("/data/incidents/0/id");
    let answer = get(&server, &tokens[0], &format!("incidents/{hidden}")).await.expect(404);
    assert_eq!(answer.at("/error"), get(&server, &tokens[0], "incidents/nonsense").await.at("/error"));
    get(&server, &tokens[0], &format!("incidents/{hidden}/report")).await.expect(404);
    server.stop().await;
}
