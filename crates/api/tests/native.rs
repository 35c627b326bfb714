//! The native API: its frame, and the questions to the trail with the rights they need.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "helpers of tests")]

use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use strongroom_api::walk_native_routes;
use strongroom_core::{Access, Operation};
use strongroom_testkit::{Answer, TestServer};

/// Sends to `/api/`, with what the token is.
async fn ask(server: &TestServer, token: &str, method: &str, path: &str) -> Answer {
    let bearer = format!("Bearer {token}");
    let headers: &[(&str, &str)] = if token.is_empty() { &[] } else { &[("authorization", &bearer)] };
    server.send_raw(method, &format!("/api/{path}"), headers, Vec::new()).await
}

async fn get(server: &TestServer, token: &str, path: &str) -> Answer {
    ask(server, token, "GET", &format!("v1/{path}")).await
}

fn paths(answer: &Answer) -> Vec<String> {
    let entries = answer.at("/data/entries").as_array().unwrap();
    entries.iter().map(|entry| entry["path"].as_str().unwrap().to_owned()).collect()
}

/// An approle with a policy; gives a function's worth of tokens through logging in.
async fn role(server: &TestServer, name: &str, rules: &str) {
    server.policy(name, rules).await;
    let operator = server.operator();
    operator.post("sys/auth/approle", json!({"type": "approle"})).await;
    operator.post(&format!("auth/approle/role/{name}"), json!({"token_policies": [name]})).await.expect(204);
}

async fn login(server: &TestServer, name: &str) -> String {
    let operator = server.operator();
    let id = operator.get(&format!("auth/approle/role/{name}/role-id")).await.expect(200).text_at("/data/role_id");
    let secret = operator.post(&format!("auth/approle/role/{name}/secret-id"), json!({})).await.expect(200);
    let body = json!({"role_id": id, "secret_id": secret.text_at("/data/secret_id")});
    server.by("").post("auth/approle/login", body).await.expect(200).text_at("/auth/client_token")
}

#[tokio::test]
async fn every_route_refuses_nobody_and_a_stranger_in_one_form_and_is_recorded() {
    let server = TestServer::open().await;
    let stranger = server.token(json!({"policies": ["nothing"], "no_default_policy": true})).await;
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/native-api.md")).unwrap();
    let described = ask(&server, "", "GET", "openapi.json").await.expect(200);
    assert!(!walk_native_routes().is_empty());
    for endpoint in walk_native_routes() {
        assert_ne!(endpoint.access, Access::Open, "{endpoint} is open to anybody");
        assert!(page.contains(&format!("`{endpoint}`")), "docs/native-api.md does not name {endpoint}");
        let path = endpoint.pattern.replace("..}", "}").replace(['{', '}'], "");
        for operation in endpoint.operations {
            let method = match operation {
                Operation::Read | Operation::List => "GET",
                Operation::Write => "POST",
                Operation::Patch => "PATCH",
                Operation::Delete => "DELETE",
            };
            let key = format!("/api/v1/{}", endpoint.pattern.replace("..}", "}"));
            assert!(described.at("/paths")[&key][method.to_lowercase()].is_object(), "{method} {key} is not described");
            // Parameters of a change go into its body.
            let query = if method == "GET" || method == "DELETE" { "?nonsense=1" } else { "" };
            for token in ["", "hvs.wrong", &stranger] {
                let before = server.world.outcomes().await.len();
                let answer = ask(&server, token, method, &format!("v1/{path}{query}")).await.expect(403);
                assert_eq!(answer.at("/error/kind"), "denied", "{}", answer.text);
                assert!(!answer.text_at("/error/next").is_empty());
                let outcomes = server.world.outcomes().await;
                assert_eq!(outcomes.len(), before + 1);
                assert_eq!(outcomes[before]["dialect"], "native");
                assert_eq!(outcomes[before]["request"], answer.text_at("/request"));
            }
        }
    }
    server.stop().await;
}

#[tokio::test]
async fn what_is_no_request_of_this_api_is_told_so() {
    let server = TestServer::open().await;
    let root = server.root.clone();
    for (method, path, status, kind) in [
        ("GET", "v1/nonsense", 404, "not_found"),
        ("GET", "v1/", 404, "not_found"),
        ("GET", "v2/trail/query", 404, "not_found"),
        ("GET", "v1/trail/../query", 400, "invalid"),
        ("DELETE", "v1/trail/query", 405, "unsupported"),
        ("BREW", "v1/trail/query", 405, "unsupported"),
        ("POST", "openapi.json", 405, "unsupported"),
        ("GET", "v1/trail/query?pth=x", 400, "invalid"),
        ("GET", "v1/trail/query?from=yesterday", 400, "invalid"),
        ("GET", "v1/trail/query?address=nowhere", 400, "invalid"),
        ("GET", "v1/trail/query?order=sideways", 400, "invalid"),
        ("GET", "v1/trail/who-reads", 400, "invalid"),
        ("GET", "v1/trail/who-reads?path=no/such/mount", 404, "not_found"),
    ] {
        let answer = ask(&server, &root, method, path).await;
        assert_eq!((answer.status.as_u16(), answer.text_at("/error/kind").as_str()), (status, kind), "{method} {path}");
    }
    let headers = [("X-Vault-Token", root.as_str()), ("X-Vault-Token", "other")];
    assert_eq!(server.send_raw("GET", "/api/v1/trail/query", &headers, Vec::new()).await.status.as_u16(), 400);
    server.stop().await;
}

#[tokio::test]
async fn a_question_is_answered_within_the_callers_rights_and_is_itself_an_entry() {
    let server = TestServer::open().await;
    let operator = server.operator();
    for name in ["app/db", "app/api", "hr/salaries"] {
        operator.post(&format!("secret/data/{name}"), json!({"data": {"v": "canary-value"}})).await.expect(200);
    }
    role(&server, "web", "path \"secret/data/app/*\" { capabilities = [\"read\"] }").await;
    let web = login(&server, "web").await;
    server.by(&web).get("secret/data/app/db").await.expect(200);
    server.by(&web).get("secret/data/hr/salaries").await.expect(403);
    let asks = "path \"sys/trail/query\" { capabilities = [\"read\"] }";
    server.policy("asks", &format!("{asks}\npath \"secret/metadata/app/*\" {{ capabilities = [\"list\"] }}")).await;
    server.policy("audits", "path \"sys/trail/query\" { capabilities = [\"read\", \"sudo\"] }").await;
    let asker = server.token(json!({"policies": ["asks"], "no_default_policy": true})).await;
    let auditor = server.token(json!({"policies": ["audits"], "no_default_policy": true})).await;
    // Everything that was done, for who may see everything; the names of one folder, for who may list that.
    let all = get(&server, &auditor, "trail/query?limit=1000").await.expect(200);
    assert!(paths(&all).iter().any(|path| path.contains("salaries")) && !all.text.contains("canary-value"));
    let own = get(&server, &asker, "trail/query?limit=1000").await.expect(200);
    assert!(!paths(&own).is_empty());
    assert!(paths(&own).iter().all(|path| path.starts_with("secret/data/app/")), "{:?}", paths(&own));
    assert!(!own.text.contains("salaries"));
    for filter in ["path=secret/hr/salaries", "prefix=secret/hr", "principal=approle&outcome=denied"] {
        let answer = get(&server, &asker, &format!("trail/query?{filter}")).await.expect(200);
        assert_eq!(paths(&answer), Vec::<String>::new(), "{filter}");
        let answer = get(&server, &auditor, &format!("trail/query?{filter}&kind=outcome")).await.expect(200);
        assert!(!paths(&answer).is_empty(), "{filter}");
    }
    // One name, whatever is typed.
    for typed in ["secret/app/db", "secret/data/app/db", "/secret/metadata/app/db/"] {
        let answer = get(&server, &asker, &format!("trail/query?path={typed}&operation=read")).await.expect(200);
        assert_eq!(paths(&answer), ["secret/data/app/db"], "{typed}");
        assert_eq!(answer.at("/data/entries/0/rule"), "web:1");
        assert_eq!(
            (answer.at("/data/entries/0/version"), answer.at("/data/entries/0/granted")),
            (&json!(1), &json!(true))
        );
    }
    let asked = get(&server, &auditor, "trail/query?prefix=sys/trail/query&limit=1000").await.expect(200);
    assert_eq!(paths(&asked).len(), 11, "{}", asked.text);
    // Moved mounts keep their history under one name.
    operator.post("sys/remount", json!({"from": "secret", "to": "vault"})).await;
    let moved = get(&server, &auditor, "trail/query?path=vault/app/db&operation=read").await.expect(200);
    assert_eq!(paths(&moved), ["secret/data/app/db"]);
    server.stop().await;
}

#[tokio::test]
async fn consumers_are_told_with_their_freshness_and_only_of_what_may_be_known() {
    let server = TestServer::open().await;
    let operator = server.operator();
    operator.post("secret/data/app/db", json!({"data": {"v": 1}})).await.expect(200);
    operator.post("secret/data/app/idle", json!({"data": {"v": 1}})).await.expect(200);
    let rules = "path \"secret/data/app/*\" { capabilities = [\"read\"] }\npath \"secret/data/none/*\" { capabilities = [\"read\"] }";
    for name in ["polls", "starts"] {
        role(&server, name, rules).await;
    }
    let (polls, starts) = (login(&server, "polls").await, login(&server, "starts").await);
    server.by(&starts).get("secret/data/app/db").await.expect(200);
    for _ in 0..6 {
        server.world.clock.advance(Duration::from_secs(300));
        server.by(&polls).get("secret/data/app/db").await.expect(200);
    }
    operator.post("secret/data/app/db", json!({"data": {"v": 2}})).await.expect(200);
    server.world.clock.advance(Duration::from_secs(300));
    server.by(&polls).get("secret/data/app/db").await.expect(200);
    let root = server.root.clone();
    let found = get(&server, &root, "trail/who-reads?path=secret/app/db").await.expect(200);
    assert_eq!(found.at("/data/current_version"), 2);
    let consumers = found.at("/data/consumers").as_array().unwrap();
    assert_eq!(consumers.len(), 2, "{}", found.text);
    let (first, second) = (&consumers[0], &consumers[1]);
    assert_eq!((&first["reads"], &first["habit"]["pattern"]), (&json!(7), &json!("periodic")));
    assert_eq!((&first["habit"]["period_seconds"], &first["freshness"]["state"]), (&json!(300.0), &json!("refreshed")));
    assert_eq!((&second["reads"], &second["freshness"]["state"]), (&json!(1), &json!("stale")));
    let entity = first["entity"].as_str().unwrap();
    let reverse = get(&server, &root, &format!("trail/reads-what?principal={entity}")).await.expect(200);
    assert_eq!(reverse.at("/data/uses/0/path"), "secret/data/app/db");
    // A stranger to the secret learns the same as of one that nobody has.
    server.policy("asks", "path \"sys/trail/*\" { capabilities = [\"read\"] }").await;
    let asker = server.token(json!({"policies": ["asks"], "no_default_policy": true})).await;
    let hidden = get(&server, &asker, "trail/who-reads?path=secret/app/db").await.expect(404);
    let absent = get(&server, &asker, "trail/who-reads?path=nowhere/app/db").await.expect(404);
    assert_eq!(hidden.at("/error"), absent.at("/error"));
    let reverse = get(&server, &asker, &format!("trail/reads-what?principal={entity}")).await.expect(200);
    assert_eq!(reverse.at("/data/uses"), &json!([]));
    let review = get(&server, &asker, "trail/review").await.expect(200);
    assert_eq!((review.at("/data/unused_secrets"), review.at("/data/unused_rules")), (&json!([]), &json!([])));
    let review = get(&server, &root, "trail/review").await.expect(200);
    assert_eq!(review.at("/data/unused_secrets/0/path"), "secret/data/app/idle");
    let idle = review.at("/data/unused_rules").as_array().unwrap();
    let is_idle =
        |policy: &str, pattern: &str| idle.iter().any(|rule| rule["policy"] == policy && rule["pattern"] == pattern);
    assert!(is_idle("polls", "secret/data/none/*") && !is_idle("polls", "secret/data/app/*"), "{}", review.text);
    let access = review.at("/data/unused_access").as_array().unwrap();
    assert!(access.iter().all(|one| one["paths"] == json!(["secret/data/app/idle"])), "{}", review.text);
    assert_eq!(access.len(), 2);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_question_sees_every_request_that_was_answered_before_it() {
    let server = Arc::new(TestServer::open().await);
    let root = server.root.clone();
    let mut readers = tokio::task::JoinSet::new();
    for n in 0..4 {
        let server = Arc::clone(&server);
        let root = root.clone();
        readers.spawn(async move {
            for turn in 1..=25 {
                server.by(&root).get(&format!("secret/data/busy-{n}")).await;
                let answer =
                    get(&server, &root, &format!("trail/query?path=secret/busy-{n}&limit=1000")).await.expect(200);
                assert_eq!(paths(&answer).len(), turn, "reader {n}");
            }
        });
    }
    while let Some(done) = readers.join_next().await {
        done.unwrap();
    }
}

#[tokio::test]
async fn a_proof_is_for_auditors_and_holds_offline() {
    let server = TestServer::open().await;
    let root = server.root.clone();
    server.operator().post("secret/data/a", json!({"data": {"v": 1}})).await.expect(200);
    let answer = get(&server, &root, "trail/query?path=secret/a&proof=true").await.expect(200);
    let proof: Value = answer.at("/data/proof").clone();
    let key: [u8; 32] = hex::decode(proof["statement"]["key"].as_str().unwrap()).unwrap().try_into().unwrap();
    let checked = strongroom_proof::check(proof.to_string().as_bytes(), &[key]).unwrap();
    assert_eq!(checked.lines.len(), answer.at("/data/entries").as_array().unwrap().len());
    server.policy("asks", "path \"sys/trail/query\" { capabilities = [\"read\"] }").await;
    let asker = server.token(json!({"policies": ["asks"], "no_default_policy": true})).await;
    get(&server, &asker, "trail/query?proof=true").await.expect(403);
    server.stop().await;
}
