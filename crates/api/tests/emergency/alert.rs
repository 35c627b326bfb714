//! Which askings for what is not there raise an alert.

use crate::aws::Aws;
use crate::{READS_APP, ask, get, incident, login, role};
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use strongroom_model::Clock as _;
use strongroom_testkit::TestServer;

/// Whatever was not found was taken for disabled: a label that holds nothing, a number or an id that never was.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_asks_for_what_never_was_raises_no_alert_and_who_asks_for_what_was_taken_away_does() {
    let server = TestServer::open().await;
    let (operator, root) = (server.operator(), server.root.clone());
    for name in ["never", "hidden", "held", "shredded", "removed", "pruned"] {
        operator.post(&format!("secret/data/app/{name}"), json!({"data": {"v": 1}})).await.expect(200);
    }
    let svc = Aws::new(&server, "svc", READS_APP).await;
    let token = server.token(json!({"policies": ["svc"]})).await;
    for name in ["never", "hidden", "held"] {
        svc.read(&format!("app/{name}")).await.expect(200);
    }
    for name in ["never", "shredded", "removed", "pruned"] {
        server.by(&token).get(&format!("secret/data/app/{name}")).await.expect(200);
    }
    server.world.clock.advance(Duration::from_secs(60));
    // What never was.
    for more in [json!({"VersionStage": "AWSPENDING"}), json!({"VersionId": "0f0e0d0c-0b0a-4908-8706-050403020100"})] {
        let mut body = json!({"SecretId": "app/never"});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let refused = svc.ask(body).await.expect(400);
        assert!(refused.text.contains("ResourceNotFoundException"), "{}", refused.text);
    }
    for version in [2, 99] {
        server.by(&token).get(&format!("secret/data/app/never?version={version}")).await.expect(404);
    }
    svc.read("app/nothing").await.expect(400);
    // What was taken away.
    operator.delete("secret/data/app/hidden").await.expect(204);
    svc.read("app/hidden").await.expect(400);
    incident(&server, json!({"secret": "secret/app/held"})).await;
    svc.read("app/held").await.expect(400);
    operator.send("PUT", "secret/destroy/app/shredded", Some(json!({"versions": [1]}))).await.expect(204);
    server.by(&token).get("secret/data/app/shredded").await.expect(404);
    operator.delete("secret/metadata/app/removed").await.expect(204);
    server.by(&token).get("secret/data/app/removed").await.expect(404);
    operator.post("secret/metadata/app/pruned", json!({"max_versions": 1})).await.expect(204);
    operator.post("secret/data/app/pruned", json!({"data": {"v": 2}})).await.expect(200);
    server.by(&token).get("secret/data/app/pruned?version=1").await.expect(404);
    let told = async || {
        let all = get(&server, &root, "alerts").await.expect(200).at("/data/alerts").as_array().unwrap().clone();
        let text = |one: &Value| format!("{} {}", one["kind"].as_str().unwrap(), one["path"].as_str().unwrap());
        all.iter().rev().map(text).collect::<Vec<_>>()
    };
    let deadline = Instant::now() + Duration::from_secs(20);
    while !told().await.iter().any(|one| one.ends_with("pruned")) {
        assert!(Instant::now() < deadline, "{:?}", told().await);
        tokio::task::yield_now().await;
    }
    let wanted = ["hidden", "held", "shredded", "removed", "pruned"];
    assert_eq!(told().await, wanted.map(|name| format!("disabled-version secret/data/app/{name}")));
    server.stop().await;
}

/// Every login by AppRole is printed as its mount alone: what one role did kept quiet what another did.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn roles_that_the_trail_prints_alike_raise_alerts_of_their_own_and_bursts_of_their_own() {
    let server = TestServer::open().await;
    let (operator, root) = (server.operator(), server.root.clone());
    operator.post("secret/data/app/db", json!({"data": {"v": 1}})).await.expect(200);
    let mut tokens = Vec::new();
    for name in ["web", "cron"] {
        role(&server, name, READS_APP).await;
        tokens.push(login(&server, name).await.text_at("/auth/client_token"));
    }
    // A user whose login prints the name that drills keep for their canaries, whom no alert told of.
    operator.post("sys/auth/drill", json!({"type": "userpass"})).await.expect(204);
    operator.post("auth/drill/users/canary", json!({"password": "a long password"})).await.expect(204);
    let canary = server.by("").post("auth/drill/login/canary", json!({"password": "a long password"})).await;
    let canary = canary.expect(200).text_at("/auth/client_token");
    for token in &tokens {
        server.by(token).get("secret/data/app/db").await.expect(200);
        // Twelve of each are no burst of either.
        for _ in 0..12 {
            server.by(token).get("secret/data/other").await.expect(403);
        }
    }
    for _ in 0..20 {
        server.by(&canary).get("secret/data/other").await.expect(403);
    }
    server.world.clock.advance(Duration::from_secs(60));
    operator.delete("secret/data/app/db").await.expect(204);
    for token in &tokens {
        server.by(token).get("secret/data/app/db").await.expect(404);
    }
    let told = async || get(&server, &root, "alerts").await.expect(200).at("/data/alerts").as_array().unwrap().clone();
    let deadline = Instant::now() + Duration::from_secs(20);
    while told().await.iter().filter(|one| one["kind"] == "disabled-version").count() < 2 {
        assert!(Instant::now() < deadline, "{:?}", told().await);
        tokio::task::yield_now().await;
    }
    let told = told().await;
    let texts: Vec<&str> = told.iter().map(|one| one["text"].as_str().unwrap()).collect();
    assert_eq!(told.len(), 3, "{texts:?}");
    assert!(texts[2].starts_with("drill-canary was refused 20 times"), "{texts:?}");
    // They are told apart by the name that every command takes.
    let mut names = Vec::new();
    for text in &texts[..2] {
        let name = text.strip_suffix(" still asks for secret/data/app/db, which was put out of use").unwrap();
        let found = get(&server, &root, &format!("trail/query?principal={name}&limit=1")).await.expect(200);
        names.push(found.text_at("/data/entries/0/entity"));
    }
    assert_ne!(names[0], names[1], "{texts:?}");
    server.stop().await;
}

/// Whoever may write roles made one with another role's name for its id, and came under the mute of that one. So it was
/// with a role that was given the id of another one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mute_of_a_role_keeps_quiet_nothing_of_one_that_took_its_name_for_its_id() {
    let server = TestServer::open().await;
    let (operator, root) = (server.operator(), server.root.clone());
    operator.post("secret/data/app/db", json!({"data": {"v": 1}})).await.expect(200);
    role(&server, "web", READS_APP).await;
    let logged_in = async |name: &str, id: &str| {
        let body = json!({"role_id": id, "token_policies": "web"});
        operator.post(&format!("auth/approle/role/{name}"), body).await.expect(204);
        let answer = login(&server, name).await;
        (answer.text_at("/auth/client_token"), answer.text_at("/auth/entity_id"))
    };
    let (web, web_id) = logged_in("web", "an id").await;
    let (known, known_id) = logged_in("known", "known by its id").await;
    let (sly, _) = logged_in("sly", "web").await;
    // One whose role was made again is called by its role's id, which is another role's name here.
    let (former, former_id) = logged_in("again", "cron").await;
    operator.delete("auth/approle/role/again").await.expect(204);
    logged_in("again", "its own").await;
    let (moved, moved_id) = logged_in("watched", "moved").await;
    operator.delete("auth/approle/role/watched").await.expect(204);
    assert_eq!(logged_in("quiet", "moved").await.1, moved_id);
    let until = server.world.clock.now().plus(Duration::from_secs(3_600)).to_string();
    let mute = async |name: &str, principal: &str| {
        let mute = json!({"principal": principal, "reason": "a test", "until": until});
        ask(&server, &root, "POST", &format!("alerts/mutes/{name}"), Some(mute)).await
    };
    mute("web", "approle-web").await.expect(204);
    mute("known", &known_id).await.expect(204);
    // What would hold nothing back is said.
    for (principal, id) in [("approle-cron", &former_id), ("approle-quiet", &moved_id), ("approle-an id", &web_id)] {
        let name = principal.replace(' ', "-");
        let answer = mute(&name, principal).await.expect(200);
        assert!(answer.text_at("/warnings/0").contains(id.as_str()), "{}", answer.text);
    }
    let tokens = [&web, &known, &sly, &former, &moved];
    for token in tokens {
        server.by(token).get("secret/data/app/db").await.expect(200);
    }
    server.world.clock.advance(Duration::from_secs(60));
    operator.delete("secret/data/app/db").await.expect(204);
    for token in tokens {
        server.by(token).get("secret/data/app/db").await.expect(404);
    }
    let told = async || get(&server, &root, "alerts").await.expect(200).at("/data/alerts").as_array().unwrap().clone();
    let deadline = Instant::now() + Duration::from_secs(20);
    // They are judged in their order, so that what is held back was so when the last one is told.
    while told().await.len() < 3 {
        assert!(Instant::now() < deadline, "{:?}", told().await);
        tokio::task::yield_now().await;
    }
    let told = told().await;
    let texts: Vec<&str> = told.iter().rev().map(|one| one["text"].as_str().unwrap()).collect();
    let said = " still asks for secret/data/app/db, which was put out of use";
    assert_eq!(texts, ["sly", "cron", "quiet"].map(|name| format!("approle-{name}{said}")));
    server.stop().await;
}
