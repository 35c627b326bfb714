//! Principals that are cut off: by which names, with what else, and by nobody who would fall with them.

use crate::aws::Aws;
use crate::network::from_elsewhere;
use crate::{READS_APP, ask, credentials, done, get, incident, lift, login, revoke, role};
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;
use strongroom_model::Clock as _;
use strongroom_testkit::TestServer;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_principal_that_keeps_logging_in_is_out_from_the_answer_on() {
    let server = Arc::new(TestServer::open().await);
    let root = server.root.clone();
    role(&server, "web", "path \"secret/data/app/*\" { capabilities = [\"read\"] }").await;
    server.operator().post("secret/data/app/db", json!({"data": {"v": 1}})).await.expect(200);
    let first = login(&server, "web").await;
    let entity = first.text_at("/auth/entity_id");
    let key = server.operator().post("sys/access-keys", json!({"name": "web", "entity": entity})).await;
    let credentials = credentials(&server, "web").await;
    let mut busy = tokio::task::JoinSet::new();
    for _ in 0..3 {
        let (server, credentials) = (Arc::clone(&server), credentials.clone());
        busy.spawn(async move {
            let mut tokens = Vec::new();
            loop {
                let answer = server.by("").post("auth/approle/login", credentials.clone()).await;
                if answer.status.as_u16() != 200 {
                    return tokens;
                }
                tokens.push(answer.text_at("/auth/client_token"));
            }
        });
    }
    while server.world.rooms().tokens.accessors().await.unwrap().len() < 60 {
        tokio::task::yield_now().await;
    }
    let preview = ask(&server, &root, "POST", "revoke/preview", Some(json!({"principal": entity}))).await.expect(200);
    let touches = preview.at("/data/touches").as_array().unwrap();
    assert!(touches.iter().any(|touch| touch["what"] == "tokens" && touch["count"].as_u64() > Some(40)), "{touches:?}");
    let answer = revoke(&server, &root, json!({"principal": entity})).await.expect(200);
    // Whoever asks after the answer is refused.
    server.by(&first.text_at("/auth/client_token")).get("secret/data/app/db").await.expect(403);
    let mut tokens = Vec::new();
    while let Some(more) = busy.join_next().await {
        tokens.extend(more.unwrap());
    }
    assert!(tokens.len() > 40);
    let report = done(&server, &answer.text_at("/data/incident/id")).await;
    for token in &tokens {
        server.by(token).get("auth/token/lookup-self").await.expect(403);
    }
    assert!(report.at("/data/incident/refused").is_string(), "{}", report.text);
    let steps = report.at("/data/incident/steps").as_array().unwrap();
    assert!(steps.iter().all(|step| step["ended"].is_string() && step["failures"] == json!([])), "{steps:?}");
    key.expect(200);
    assert!(steps.iter().any(|step| step["what"] == "access-keys" && step["done"] == 1), "{steps:?}");
    // Lifted, the principal can log in again, and the tokens of before stay dead.
    let id = answer.text_at("/data/incident/id");
    ask(&server, &root, "POST", &format!("incidents/{id}/lift"), Some(json!({"reason": "cleared"}))).await.expect(200);
    server.by("").post("auth/approle/login", credentials).await.expect(200);
    for token in tokens.iter().take(5) {
        server.by(token).get("auth/token/lookup-self").await.expect(403);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_principal_is_cut_off_by_the_name_that_the_trail_prints_and_a_key_by_its_name_or_id() {
    let server = TestServer::open().await;
    let (operator, root) = (server.operator(), server.root.clone());
    operator.post("secret/data/app/db", json!({"data": {"v": 1}})).await.expect(200);
    operator.post("sys/auth/userpass", json!({"type": "userpass"})).await.expect(204);
    let user = json!({"password": "p4ssw0rd", "token_policies": ["default"]});
    operator.post("auth/userpass/users/alice", user).await.expect(204);
    let password = json!({"password": "p4ssw0rd"});
    let alice = server.by("").post("auth/userpass/login/alice", password.clone()).await.expect(200);
    let answer = revoke(&server, &root, json!({"principal": "userpass-alice"})).await.expect(200);
    assert_eq!(answer.at("/data/incident/target/entity"), alice.at("/auth/entity_id"), "{}", answer.text);
    assert_ne!(server.by("").post("auth/userpass/login/alice", password).await.status, 200);
    revoke(&server, &root, json!({"principal": "userpass-bob"})).await.expect(404);
    // Whom nobody named is called as the trail prints them, for confirming too, and found by that.
    assert_eq!(answer.at("/data/incident/name"), "userpass-alice", "{}", answer.text);
    let entity = alice.text_at("/auth/entity_id");
    let generated = operator.get(&format!("identity/entity/id/{entity}")).await.expect(200).text_at("/data/name");
    lift(&server, &answer.text_at("/data/incident/id")).await.expect(200);
    operator.post("auth/userpass/users/alice", json!({"token_policies": ["reads-app"]})).await.expect(204);
    server.policy("reads-app", READS_APP).await;
    let password = json!({"password": "p4ssw0rd"});
    let token =
        server.by("").post("auth/userpass/login/alice", password).await.expect(200).text_at("/auth/client_token");
    server.by(&token).get("secret/data/app/db").await.expect(200);
    let readers = get(&server, &root, "trail/who-reads?path=secret/app/db").await.expect(200);
    let reader = readers.at("/data/consumers/0");
    assert_eq!(
        (&reader["principal"], &reader["entity"]),
        (&json!("userpass-alice"), &json!(entity)),
        "{}",
        readers.text
    );
    for name in ["userpass-alice", &generated, &entity] {
        let reads = get(&server, &root, &format!("trail/reads-what?principal={name}")).await.expect(200);
        assert_eq!(reads.at("/data/uses/0/path"), "secret/data/app/db", "{name}: {}", reads.text);
        let path = format!("trail/query?operation=read&path=secret/app/db&principal={name}");
        let found = get(&server, &root, &path).await.expect(200);
        assert_eq!(found.at("/data/entries").as_array().unwrap().len(), 1, "{name}: {}", found.text);
    }
    let preview = ask(&server, &root, "POST", "revoke/preview", Some(json!({"secret": "secret/app/db"}))).await;
    assert_eq!(preview.expect(200).at("/data/touches/1/names"), &json!(["userpass-alice"]));
    let svc = Aws::new(&server, "svc", READS_APP).await;
    for name in ["svc", "access-key-svc", svc.id()] {
        svc.read("app/db").await.expect(200);
        let id = incident(&server, json!({"principal": name})).await;
        assert_ne!(svc.read("app/db").await.status, 200, "{name}");
        let shown = get(&server, &root, &format!("incidents/{id}")).await.expect(200);
        assert_eq!(shown.at("/data/incident/target/kind"), "access-key");
        // One that was ordered meanwhile holds the key on.
        let other = incident(&server, json!({"principal": svc.id()})).await;
        lift(&server, &id).await.expect(200);
        assert_ne!(svc.read("app/db").await.status, 200, "{name}");
        lift(&server, &other).await.expect(200);
    }
    svc.read("app/db").await.expect(200);
    // Two of one name: which is meant has to be said.
    operator.post("sys/access-keys", json!({"name": "svc", "policies": ["svc"]})).await.expect(200);
    let refused = revoke(&server, &root, json!({"principal": "svc"})).await.expect(400);
    assert!(refused.text.contains(svc.id()), "{}", refused.text);
    // An entity that was given the name of another's logins is none to be taken for it, and lets nobody go.
    let decoy =
        operator.post("identity/entity", json!({"name": "userpass-alice"})).await.expect(200).text_at("/data/id");
    let refused = revoke(&server, &root, json!({"principal": "userpass-alice"})).await.expect(400);
    assert!(refused.text.contains(&decoy) && refused.text.contains(&entity), "{}", refused.text);
    let id = incident(&server, json!({"principal": entity})).await;
    assert_ne!(server.by(&token).get("secret/data/app/db").await.status, 200);
    lift(&server, &id).await.expect(200);
    let decoy = operator.post("identity/entity", json!({"name": "token-root"})).await.expect(200).text_at("/data/id");
    let refused = revoke(&server, &root, json!({"principal": "token-root"})).await.expect(400);
    assert!(refused.text.contains(&decoy) && refused.text.contains("accessor"), "{}", refused.text);
    // What the trail prints of tokens that are nobody's is no key's name, and says how to go on.
    let named = operator.post("sys/access-keys", json!({"name": "root", "policies": ["svc"]})).await.expect(200);
    let refused = revoke(&server, &root, json!({"principal": "root"})).await.expect(400);
    assert!(refused.text.contains(&named.text_at("/data/access_key_id")), "{}", refused.text);
    assert!(refused.text.contains("accessor"), "{}", refused.text);
    let refused = revoke(&server, &root, json!({"principal": "token"})).await.expect(404);
    assert!(refused.text.contains("by its accessor"), "{}", refused.text);
    revoke(&server, &root, json!({"principal": "access-key-root"})).await.expect(200);
    server.stop().await;
}

/// Only the token itself was spared, and went with the one that it had been made with.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_orders_goes_with_no_token_that_theirs_descends_from_and_the_preview_says_so() {
    let server = TestServer::open().await;
    let rules = "path \"*\" { capabilities = [\"create\", \"read\", \"update\", \"list\", \"sudo\"] }";
    role(&server, "chief", rules).await;
    let chief = login(&server, "chief").await;
    let (above, above_accessor) = (chief.text_at("/auth/client_token"), chief.text_at("/auth/accessor"));
    let child = server.by(&above).post("auth/token/create", json!({"policies": ["chief"]})).await.expect(200);
    let (own, own_accessor) = (child.text_at("/auth/client_token"), child.text_at("/auth/accessor"));
    let stolen = server.token(json!({"policies": ["default"]})).await;
    for token in [&above, &stolen] {
        assert_eq!(from_elsewhere(&server, token, "auth/token/lookup-self").await, "200");
    }
    for target in [
        json!({"principal": above_accessor}),
        json!({"principal": own_accessor}),
        json!({"principal": chief.text_at("/auth/entity_id")}),
        json!({"mount": "auth/approle"}),
    ] {
        for refused in [
            ask(&server, &own, "POST", "revoke/preview", Some(target.clone())).await,
            revoke(&server, &own, target.clone()).await,
        ] {
            assert!(refused.status == 400 && refused.text.contains("cut off yourself"), "{target}: {}", refused.text);
        }
    }
    let target = json!({"address": "127.0.0.9"});
    let preview = ask(&server, &own, "POST", "revoke/preview", Some(target.clone())).await.expect(200);
    let touches = preview.at("/data/touches").as_array().unwrap().clone();
    let touch =
        |what: &str| touches.iter().find(|touch| touch["what"] == what).unwrap_or_else(|| panic!("{touches:?}"));
    assert_eq!(touch("own tokens")["names"], json!([above_accessor]), "{}", preview.text);
    assert_eq!(touch("tokens")["count"], 1, "{}", preview.text);
    let answer = revoke(&server, &own, target).await.expect(200);
    let record = done(&server, &answer.text_at("/data/incident/id")).await;
    for (token, status) in [(&own, 200), (&above, 200), (&stolen, 403)] {
        server.by(token).get("auth/token/lookup-self").await.expect(status);
    }
    assert!(record.text.contains("one that it descends from"), "{}", record.text);
    server.stop().await;
}

/// A key or a principal that an incident had put out of use came back by an ordinary change of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_ordinary_way_puts_a_principal_or_a_key_in_use_again_while_an_incident_holds_it() {
    let server = TestServer::open().await;
    let operator = server.operator();
    operator.post("secret/data/app/db", json!({"data": {"v": 1}})).await.expect(200);
    role(&server, "web", READS_APP).await;
    let credentials = credentials(&server, "web").await;
    let logged_in = server.by("").post("auth/approle/login", credentials.clone()).await.expect(200);
    let entity = logged_in.text_at("/auth/entity_id");
    let own = operator.post("sys/access-keys", json!({"name": "web", "entity": entity})).await.expect(200);
    let own = own.text_at("/data/access_key_id");
    let svc = Aws::new(&server, "svc", READS_APP).await;
    let by_entity = incident(&server, json!({"principal": entity})).await;
    let by_key = incident(&server, json!({"principal": svc.id()})).await;
    let path = format!("identity/entity/id/{entity}");
    let known = operator.get(&path).await.expect(200);
    let alias = format!("identity/entity-alias/id/{}", known.text_at("/data/aliases/0/id"));
    let enable = json!({"disabled": false});
    for (method, path, body, id) in [
        ("POST", path.clone(), Some(enable.clone()), &by_entity),
        ("DELETE", path.clone(), None, &by_entity),
        ("DELETE", alias.clone(), None, &by_entity),
        ("POST", format!("sys/access-keys/{own}"), Some(enable.clone()), &by_entity),
        ("POST", format!("sys/access-keys/{}", svc.id()), Some(enable.clone()), &by_key),
    ] {
        let refused = operator.send(method, &path, body).await.expect(400);
        assert!(refused.text.contains(id.as_str()), "{method} {path}: {}", refused.text);
        assert_ne!(server.by("").post("auth/approle/login", credentials.clone()).await.status, 200, "{method} {path}");
        assert_ne!(svc.read("app/db").await.status, 200, "{method} {path}");
    }
    // What does not bring it back is nobody's business.
    operator.post(&path, json!({"metadata": {"team": "web"}})).await;
    assert_eq!(operator.get(&path).await.expect(200).at("/data/metadata/team"), "web");
    // Lifting leaves nothing behind: from then on each way is open.
    for id in [&by_entity, &by_key] {
        lift(&server, id).await.expect(200);
    }
    server.by("").post("auth/approle/login", credentials.clone()).await.expect(200);
    svc.read("app/db").await.expect(200);
    for disabled in [true, false] {
        for path in [path.clone(), format!("sys/access-keys/{own}"), format!("sys/access-keys/{}", svc.id())] {
            let answer = operator.post(&path, json!({ "disabled": disabled })).await;
            assert!(answer.status.is_success(), "{path}: {}", answer.text);
        }
    }
    operator.delete(&path).await.expect(204);
    server.stop().await;
}

/// Roles were called by their ids, which nobody knows: whoever saw `approle-4f1c...` did not know which role that was, and
/// no command took the role's name.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_role_is_called_by_its_name_and_one_made_again_under_it_is_never_taken_for_the_one_before() {
    let server = TestServer::open().await;
    let (operator, root) = (server.operator(), server.root.clone());
    operator.post("secret/data/app/db", json!({"data": {"v": 1}})).await.expect(200);
    role(&server, "web", READS_APP).await;
    let role_id = async || operator.get("auth/approle/role/web/role-id").await.expect(200).text_at("/data/role_id");
    let called = async || {
        let readers = get(&server, &root, "trail/who-reads?path=secret/app/db").await.expect(200);
        let mut known: Vec<(String, String)> = Vec::new();
        for one in readers.at("/data/consumers").as_array().unwrap() {
            known.push((one["entity"].as_str().unwrap().to_owned(), one["principal"].as_str().unwrap().to_owned()));
        }
        known.sort();
        known
    };
    let sorted = |mut wanted: Vec<(String, String)>| {
        wanted.sort();
        wanted
    };
    // One that is known from before its name was kept is called as it was, until it logs in.
    let first_id = role_id().await;
    let accessor = operator.get("sys/auth").await.expect(200).text_at("/data/approle~1/accessor");
    let alias = json!({"name": first_id, "mount_accessor": accessor});
    let first = operator.post("identity/entity-alias", alias).await.expect(200).text_at("/data/canonical_id");
    let preview =
        async |name: &str| ask(&server, &root, "POST", "revoke/preview", Some(json!({"principal": name}))).await;
    assert_eq!(preview(&first).await.expect(200).at("/data/target"), &json!(format!("approle-{first_id}")));
    preview("approle-web").await.expect(404);
    let token = login(&server, "web").await;
    assert_eq!(token.text_at("/auth/entity_id"), first);
    server.by(&token.text_at("/auth/client_token")).get("secret/data/app/db").await.expect(200);
    assert_eq!(called().await, [(first.clone(), "approle-web".to_owned())]);
    // Every command takes the role's name, and its id as before.
    for name in ["approle-web".to_owned(), format!("approle-{first_id}")] {
        assert_eq!(preview(&name).await.expect(200).at("/data/target"), "approle-web", "{name}");
        let reads = get(&server, &root, &format!("trail/reads-what?principal={name}")).await.expect(200);
        assert_eq!(reads.at("/data/uses/0/path"), "secret/data/app/db", "{name}: {}", reads.text);
        let found = get(&server, &root, &format!("trail/query?operation=read&principal={name}")).await.expect(200);
        assert_eq!(found.at("/data/entries/0/name"), "approle-web", "{name}: {}", found.text);
    }
    // A login asks as nobody, and is named by whom it led to.
    let logins = get(&server, &root, "trail/query?path=auth/approle/login").await.expect(200);
    let row = logins.at("/data/entries/0");
    assert_eq!((&row["name"], &row["principal"]), (&json!("approle-web"), &json!(null)), "{}", logins.text);
    // Made again: another principal, which is called by the name now. The name alone says no more who is meant.
    operator.delete("auth/approle/role/web").await.expect(204);
    role(&server, "web", READS_APP).await;
    let second_id = role_id().await;
    assert_eq!(preview("approle-web").await.expect(200).at("/data/target"), "approle-web", "nobody else came by it");
    let token = login(&server, "web").await;
    let second = token.text_at("/auth/entity_id");
    assert_ne!(second, first);
    server.by(&token.text_at("/auth/client_token")).get("secret/data/app/db").await.expect(200);
    let old = (first.clone(), format!("approle-{first_id}"));
    assert_eq!(called().await, sorted(vec![old.clone(), (second.clone(), "approle-web".to_owned())]));
    let refused = preview("approle-web").await.expect(400);
    assert!(refused.text.contains(&first) && refused.text.contains(&second), "{}", refused.text);
    revoke(&server, &root, json!({"principal": "approle-web"})).await.expect(400);
    // So it is for a role that has another one's name for its id.
    operator.post("auth/approle/role/sly", json!({"role_id": "web", "token_policies": "web"})).await.expect(204);
    let sly = login(&server, "sly").await.text_at("/auth/entity_id");
    assert!(preview("approle-web").await.expect(400).text.contains(&sly));
    assert_eq!(preview("approle-sly").await.expect(200).at("/data/target"), "approle-sly");
    operator.delete(&format!("identity/entity/id/{sly}")).await.expect(204);
    // A name goes with its alias: to another entity, and away with it.
    let merge = json!({"from_entity_ids": [second], "to_entity_id": first, "conflicting_alias_ids_to_keep": []});
    operator.post("identity/entity/merge", merge).await.expect(400);
    let other = operator.post("identity/entity", json!({})).await.expect(200).text_at("/data/id");
    operator
        .post("identity/entity/merge", json!({"from_entity_ids": [second], "to_entity_id": other}))
        .await
        .expect(204);
    assert!(preview("approle-web").await.expect(400).text.contains(&other));
    operator.delete(&format!("identity/entity/id/{first}")).await.expect(204);
    assert_eq!(preview("approle-web").await.expect(200).at("/data/target"), "approle-web");
    assert_eq!(preview(&format!("approle-{second_id}")).await.expect(200).at("/data/target"), "approle-web");
    let alias = operator.get(&format!("identity/entity/id/{other}")).await.expect(200).text_at("/data/aliases/0/id");
    operator.post(&format!("identity/entity-alias/id/{alias}"), json!({"name": "another"})).await.expect(200);
    preview("approle-web").await.expect(404);
    assert_eq!(preview("approle-another").await.expect(200).at("/data/target"), "approle-another");
    operator.delete(&format!("identity/entity/id/{other}")).await.expect(204);
    assert_ne!(login(&server, "web").await.text_at("/auth/entity_id"), other);
    assert_eq!(preview("approle-web").await.expect(200).at("/data/target"), "approle-web");
    server.stop().await;
}

/// Whoever may write roles and nothing else laid a leaked principal under another name: the name that it had met the one
/// that came by it next alone, asked for no id, and the leaked tokens went on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_principal_whose_role_id_went_to_another_role_is_still_found_by_each_name_that_it_had() {
    let server = TestServer::open().await;
    let (operator, root) = (server.operator(), server.root.clone());
    operator.post("secret/data/app/db", json!({"data": {"v": 1}})).await.expect(200);
    role(&server, "web", READS_APP).await;
    let leaked = login(&server, "web").await;
    let (first, leaked) = (leaked.text_at("/auth/entity_id"), leaked.text_at("/auth/client_token"));
    server.by(&leaked).get("secret/data/app/db").await.expect(200);
    let id = operator.get("auth/approle/role/web/role-id").await.expect(200).text_at("/data/role_id");
    let moved = async |id: &str, name: &str| {
        operator
            .post(&format!("auth/approle/role/{name}"), json!({"role_id": id, "token_policies": "web"}))
            .await
            .expect(204);
        login(&server, name).await.text_at("/auth/entity_id")
    };
    operator.post("auth/approle/role/web", json!({"role_id": "another"})).await.expect(204);
    assert_eq!(moved(&id, "decoy").await, first);
    let preview =
        async |name: &str| ask(&server, &root, "POST", "revoke/preview", Some(json!({"principal": name}))).await;
    // As long as nobody else came by the name, it means the one who had it, who is called by the later one.
    for name in ["approle-web", "approle-decoy", &first] {
        assert_eq!(preview(name).await.expect(200).at("/data/target"), "approle-decoy", "{name}");
    }
    let token = login(&server, "web").await;
    let second = token.text_at("/auth/entity_id");
    assert_ne!(second, first);
    server.by(&token.text_at("/auth/client_token")).get("secret/data/app/db").await.expect(200);
    let both_are_found = async || {
        let order = revoke(&server, &root, json!({"principal": "approle-web"})).await.expect(400);
        for refused in [preview("approle-web").await.expect(400), order] {
            assert!(refused.text.contains(&first) && refused.text.contains(&second), "{}", refused.text);
        }
        let reads = get(&server, &root, "trail/reads-what?principal=approle-web").await.expect(200);
        let entries = get(&server, &root, "trail/query?operation=read&principal=approle-web").await.expect(200);
        for (answer, list) in [(&reads, "/data/uses"), (&entries, "/data/entries")] {
            let mut found: Vec<&str> =
                answer.at(list).as_array().unwrap().iter().map(|one| one["entity"].as_str().unwrap()).collect();
            found.sort_unstable();
            let mut wanted = [first.as_str(), second.as_str()];
            wanted.sort_unstable();
            assert_eq!(found, wanted, "{}", answer.text);
        }
    };
    both_are_found().await;
    // So it is when more names come after it than go with an alias, and for each of these.
    let mut last = "decoy".to_owned();
    for number in 0..20 {
        operator.delete(&format!("auth/approle/role/{last}")).await.expect(204);
        last = format!("decoy-{number}");
        assert_eq!(moved(&id, &last).await, first);
    }
    both_are_found().await;
    for name in ["decoy", "decoy-2", "decoy-19"] {
        let target = preview(&format!("approle-{name}")).await.expect(200);
        assert_eq!(target.at("/data/target"), "approle-decoy-19", "{name}");
    }
    let cut = incident(&server, json!({"principal": first})).await;
    server.by(&leaked).get("secret/data/app/db").await.expect(403);
    // Once the entity is gone, and its tokens with it, the name is the other one's alone.
    lift(&server, &cut).await.expect(200);
    operator.delete(&format!("identity/entity/id/{first}")).await.expect(204);
    assert_eq!(preview("approle-web").await.expect(200).at("/data/target"), "approle-web");
    // Earlier names go with an alias, to another entity and away.
    let other = moved("a third", "cron").await;
    operator.delete("auth/approle/role/cron").await.expect(204);
    assert_eq!(moved("a third", "batch").await, other);
    let into = operator.post("identity/entity", json!({})).await.expect(200).text_at("/data/id");
    let merge = json!({"from_entity_ids": [other], "to_entity_id": into});
    operator.post("identity/entity/merge", merge).await.expect(204);
    assert_eq!(preview("approle-cron").await.expect(200).at("/data/target"), "approle-batch");
    let alias = operator.get(&format!("identity/entity/id/{into}")).await.expect(200).text_at("/data/aliases/0/id");
    operator.delete(&format!("identity/entity-alias/id/{alias}")).await.expect(204);
    for name in ["approle-cron", "approle-batch"] {
        preview(name).await.expect(404);
    }
    server.stop().await;
}

/// A name that is misspelt did nothing and reads nothing, as somebody who did nothing: that was the whole answer.
#[tokio::test]
async fn a_name_that_nobody_bears_is_remarked_on_wherever_it_would_pass_without_a_word() {
    let server = TestServer::open().await;
    let (operator, root) = (server.operator(), server.root.clone());
    operator.post("secret/data/app/db", json!({"data": {"v": 1}})).await.expect(200);
    role(&server, "web", READS_APP).await;
    let token = login(&server, "web").await;
    let entity = token.text_at("/auth/entity_id");
    server.by(&token.text_at("/auth/client_token")).get("secret/data/app/db").await.expect(200);
    let until = server.world.clock.now().plus(Duration::from_secs(3_600)).to_string();
    let asks = async |name: &str| {
        let mute = json!({"principal": name, "reason": "a test", "until": until});
        let hold = json!({"principal": name, "reason": "a test"});
        [
            get(&server, &root, &format!("trail/query?principal={name}")).await,
            get(&server, &root, &format!("trail/query?principal=root,{name}")).await,
            get(&server, &root, &format!("trail/reads-what?principal={name}")).await,
            ask(&server, &root, "POST", "alerts/mutes/one", Some(mute)).await,
            ask(&server, &root, "POST", "trail/holds/one", Some(hold)).await,
        ]
    };
    for answer in asks("approle-wbe").await {
        let warnings = answer.at("/warnings").as_array().unwrap_or_else(|| panic!("{}", answer.text));
        assert!(warnings[0].as_str().unwrap().contains("called `approle-wbe`"), "{}", answer.text);
        assert_eq!((answer.status.as_u16(), warnings.len()), (200, 1), "{}", answer.text);
    }
    ask(&server, &root, "DELETE", "trail/holds/one?reason=over", None).await.expect(204);
    for name in ["approle-web", "approle", &entity, "root"] {
        for answer in asks(name).await {
            assert!(!answer.text.contains("warnings"), "{name}: {}", answer.text);
            assert!([200, 204].contains(&answer.status.as_u16()), "{name}: {}", answer.text);
        }
        ask(&server, &root, "DELETE", "trail/holds/one?reason=over", None).await.expect(204);
    }
    // Whoever may not know of somebody is told what they are told of nobody.
    server.policy("asks", r#"path "sys/trail/query" { capabilities = ["read"] }"#).await;
    let asker = server.token(json!({"policies": ["asks"], "no_default_policy": true})).await;
    let told = async |name: &str| {
        let answer = get(&server, &asker, &format!("trail/query?principal={name}")).await.expect(200);
        assert_eq!(answer.at("/data/entries"), &json!([]));
        answer.text_at("/warnings/0").replace(name, "...")
    };
    assert_eq!(told("approle-web").await, told("approle-wbe").await);
    // So is whoever may mute and hold, which needs sudo: that is for muting and holding.
    let changes = r#"{ capabilities = ["create", "update", "delete", "sudo"] }"#;
    let changes = format!("path \"sys/alerts/mutes/*\" {changes} path \"sys/trail/holds/*\" {changes}");
    server.policy("mutes", &changes).await;
    let knows = format!("{changes} path \"identity/entity/id/*\" {{ capabilities = [\"read\"] }}");
    server.policy("knows", &knows).await;
    let told = async |policy: &str, name: &str| {
        let token = server.token(json!({"policies": [policy], "no_default_policy": true})).await;
        let mute = json!({"principal": name, "reason": "a test", "until": until});
        let hold = json!({"principal": name, "reason": "a test"});
        let mute = ask(&server, &token, "POST", "alerts/mutes/one", Some(mute)).await;
        let hold = ask(&server, &token, "POST", "trail/holds/one", Some(hold)).await;
        ask(&server, &token, "DELETE", "trail/holds/one?reason=over", None).await.expect(204);
        [mute, hold].map(|answer| (answer.status.as_u16(), answer.text.contains("called `")))
    };
    for name in ["approle-web", "approle-wbe", &entity] {
        assert_eq!(told("mutes", name).await, [(200, true), (200, true)], "{name}");
    }
    assert_eq!(told("knows", "approle-web").await, [(204, false), (204, false)]);
    assert_eq!(told("knows", "approle-wbe").await, [(200, true), (200, true)]);
    // A hold on one of two who bear a name would hold nothing of the other.
    operator.delete("auth/approle/role/web").await.expect(204);
    role(&server, "web", READS_APP).await;
    login(&server, "web").await;
    let hold = json!({"principal": "approle-web", "reason": "a test"});
    let refused = ask(&server, &root, "POST", "trail/holds/two", Some(hold)).await.expect(400);
    assert!(refused.text.contains(&entity), "{}", refused.text);
    // Leases that are not there are no target, as a secret or a mount that is not there is none.
    let misspelt = json!({"lease_prefix": "databse/creds"});
    let ordered = json!({"lease_prefix": "databse/creds", "reason": "a test"});
    for (path, body) in [("revoke/preview", misspelt), ("revoke", ordered)] {
        let refused = ask(&server, &root, "POST", path, Some(body)).await.expect(404);
        assert!(refused.text.contains("no lease lies below `databse/creds`"), "{}", refused.text);
    }
    server.stop().await;
}
