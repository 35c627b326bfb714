//! Filters of questions: words that there are not, and empty ones.

use crate::{get, incident};
use serde_json::{Value, json};
use strongroom_testkit::TestServer;

/// A misspelt filter found nothing, which read like nothing having happened.
#[tokio::test]
async fn a_filter_by_a_word_that_no_entry_has_is_refused_with_those_that_there_are() {
    let server = TestServer::open().await;
    let root = server.root.clone();
    server.operator().post("secret/data/app/db", json!({"data": {"v": 1}})).await.expect(200);
    for (path, names) in [
        ("trail/query?outcome=bogus", "denied"),
        ("trail/query?outcome=ok,bogus", "failed"),
        ("trail/query?kind=x", "intent"),
        ("trail/query?dialect=foo", "native"),
        ("trail/query?dialect=VAULT", "vault"),
        ("trail/query?limit=-1", "negative"),
        ("trail/query?limit=0", "from 1 to 1000"),
        ("trail/query?limit=1001", "from 1 to 1000"),
        ("trail/query?limit=201&proof=true", "from 1 to 200"),
        ("trail/query?dialect=internal&kind=outcome", "`event`"),
        ("trail/query?from=2026-11-21T10:00:00Z&to=2026-11-21T09:00:00Z", "not before `to`"),
        ("trail/query?operation=bogus", "read-metadata"),
        ("trail/query?operation=GetSecretValue", "read-metadata"),
        ("events?type=bogus", "secret-written"),
        ("events/stream?type=secret-written,bogus", "lease-cut"),
    ] {
        let refused = get(&server, &root, path).await.expect(400);
        assert!(refused.text.contains(names), "{path}: {}", refused.text);
    }
    // What is empty, as from a variable that is not set, let everything pass.
    for field in [
        "path",
        "prefix",
        "principal",
        "operation",
        "outcome",
        "dialect",
        "address",
        "lease",
        "subject",
        "request",
        "kind",
        "from",
        "to",
        "order",
    ] {
        for nothing in ["", "%20", ","] {
            let refused = get(&server, &root, &format!("trail/query?{field}={nothing}")).await;
            let is_word = matches!(field, "path" | "prefix" | "lease" | "subject" | "request") && nothing == ",";
            assert_eq!(refused.status, if is_word { 200 } else { 400 }, "{field}={nothing}: {}", refused.text);
            let names_it = refused.text.contains(&format!("field `{field}`"));
            assert!(is_word || names_it, "{}", refused.text);
        }
    }
    let refused = get(&server, &root, "events?type=").await.expect(400);
    assert!(refused.text.contains("field `type` is empty"), "{}", refused.text);
    get(&server, &root, "trail/query?namespace=").await.expect(200);
    // What the server met on its own are events, which were found with their kind only.
    incident(&server, json!({"secret": "secret/app/db"})).await;
    for with in ["", "&kind=event", "&kind=event,intent"] {
        let answer = get(&server, &root, &format!("trail/query?dialect=internal{with}")).await.expect(200);
        let entries = answer.at("/data/entries").as_array().unwrap();
        let is_own = |one: &Value| one["dialect"] == "internal" && one["kind"] == "event";
        assert!(!entries.is_empty() && entries.iter().all(is_own), "{with}: {}", answer.text);
    }
    // Two paths by a comma are two, and a path that has one is found by its name.
    for name in ["a,b", "c", "d"] {
        server.operator().post(&format!("secret/data/{name}"), json!({"data": {"v": 1}})).await.expect(200);
    }
    for (filter, wanted) in [
        ("path=secret/c,secret/d", vec!["secret/data/c", "secret/data/d"]),
        ("path=secret/a,b", vec!["secret/data/a,b"]),
        ("prefix=secret/data/c,secret/data/d", vec!["secret/data/c", "secret/data/d"]),
    ] {
        let answer = get(&server, &root, &format!("trail/query?{filter}&operation=create")).await.expect(200);
        let entries = answer.at("/data/entries").as_array().unwrap();
        let paths: Vec<&str> = entries.iter().map(|one| one["path"].as_str().unwrap()).collect();
        assert_eq!(paths, wanted, "{filter}: {}", answer.text);
    }
    let both = get(&server, &root, "trail/query?dialect=internal,vault").await.expect(200);
    let has = |kind: &str| both.at("/data/entries").as_array().unwrap().iter().any(|one| one["kind"] == kind);
    assert!(has("event") && has("outcome") && !has("intent"), "{}", both.text);
    for good in [
        "outcome=ok,denied",
        "dialect=aws,internal",
        "kind=intent,event",
        "operation=patch,destroy",
        "operation=update",
    ] {
        get(&server, &root, &format!("trail/query?{good}")).await.expect(200);
    }
    server.stop().await;
}
