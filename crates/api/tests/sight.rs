//! Nobody learns of a path that their policies do not show: not by asking the trail, not by waiting for events, not from
//! incidents, drills or alerts. One caller with every door of the native API and policies for one prefix, on a server
//! where much happened below another; all that is there is called by a word that must not come up.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "helpers of tests")]

use serde_json::{Value, json};
use std::time::Duration;
use strongroom_api::walk_native_routes;
use strongroom_core::Operation;
use strongroom_testkit::{Answer, TestServer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// In every name of the other side.
const HIDDEN: &str = "magpie";

async fn ask(server: &TestServer, token: &str, method: &str, path: &str, body: Value) -> Answer {
    let body = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
    server.send_raw(method, &format!("/api/v1/{path}"), &[("X-Vault-Token", token)], body).await
}

async fn must(server: &TestServer, method: &str, path: &str, body: Value) -> Answer {
    ask(server, &server.root, method, path, body).await.expect(200)
}

/// A server on which both sides have lived; gives the token of the one that looks, and ids of incidents.
async fn lived_in() -> (TestServer, String, Vec<String>) {
    let server = TestServer::open().await;
    let operator = server.operator();
    operator.post("sys/mounts/magpiekv", json!({"type": "kv-v2"})).await.expect(204);
    for name in ["app/db", "app/old", "magpie/db", "magpie/old"] {
        operator.post(&format!("secret/data/{name}"), json!({"data": {"v": "value"}})).await.expect(200);
        operator.get(&format!("secret/data/{name}")).await.expect(200);
    }
    operator.post("magpiekv/data/x", json!({"data": {"v": "value"}})).await.expect(200);
    let entity = operator.post("identity/entity", json!({"name": "magpie-person"})).await.expect(200);
    let id = entity.text_at("/data/id");
    server.policy("magpie-rules", "path \"secret/data/magpie/*\" { capabilities = [\"read\"] }").await;
    let theirs = server.token(json!({"policies": ["magpie-rules"], "display_name": "magpie"})).await;
    server.by(&theirs).get("secret/data/magpie/db").await.expect(200);
    for _ in 0..25 {
        server.by(&theirs).get("secret/data/magpie/forbidden/../x").await;
        server.by(&theirs).get("secret/data/other-magpie").await.expect(403);
    }
    for path in ["secret/magpie/db", "secret/app/db"] {
        let order = json!({"path": path, "rounds": 1, "credentials": "token"});
        must(&server, "POST", "drills/run", order).await;
        must(&server, "POST", "drills/schedules", json!({"path": path, "schedule": "rate(1 days)"})).await;
        let plan = json!({"method": "random", "options": {"field": "v"}, "schedule": "rate(1 days)"});
        must(&server, "POST", &format!("rotation/schedule/{path}"), plan).await;
        must(&server, "POST", &format!("rotation/start/{path}"), Value::Null).await;
    }
    server.world.rooms().rotations.settle().await;
    let mut incidents = Vec::new();
    let accessor =
        operator.post("auth/token/lookup", json!({"token": theirs})).await.expect(200).text_at("/data/accessor");
    for aim in [
        json!({"secret": "secret/magpie/old"}),
        json!({"secret": "secret/app/old"}),
        json!({"principal": id}),
        json!({"principal": accessor}),
        json!({"mount": "magpiekv"}),
        json!({"address": "203.0.113.7"}),
    ] {
        let mut order = aim.clone();
        let is_own = aim.to_string().contains("secret/app");
        order["reason"] = json!(if is_own { "a leak of ours" } else { "leak of magpie" });
        let done = must(&server, "POST", "revoke", order).await;
        incidents.push(done.text_at("/data/incident/id"));
    }
    incidents.extend(beside_a_visible_target(&server).await);
    server.world.rooms().housekeep().await;
    // Doors without `sudo`, and a prefix.
    let caps = "capabilities = [\"create\", \"read\", \"update\", \"delete\", \"list\"]";
    let doors = ["trail", "events", "incidents", "drills", "alerts", "revoke", "shipping", "webhooks", "rotation"];
    let doors = doors.map(|door| format!("path \"sys/{door}\" {{ {caps} }}\npath \"sys/{door}/*\" {{ {caps} }}\n"));
    let own = format!("path \"secret/data/app/*\" {{ {caps} }}\npath \"secret/metadata/app/*\" {{ {caps} }}\n");
    let shared = "path \"identity/entity/name/shared\" { capabilities = [\"read\"] }\n\
                  path \"sys/mounts/sharedkv\" { capabilities = [\"read\"] }\n";
    server.policy("looker", &(doors.concat() + &own + shared)).await;
    let looker = server.token(json!({"policies": ["looker"], "no_default_policy": true, "ttl": "10h"})).await;
    server.by(&looker).get("secret/data/app/db").await.expect(200);
    (server, looker, incidents)
}

/// Incidents about what the looker may see, which reached what they may not: a principal that reads below both
/// prefixes and has a key, and a mount in which a secret lies.
async fn beside_a_visible_target(server: &TestServer) -> Vec<String> {
    let operator = server.operator();
    operator.post("sys/mounts/sharedkv", json!({"type": "kv-v2"})).await.expect(204);
    operator.post("sharedkv/data/magpie", json!({"data": {"v": "value"}})).await.expect(200);
    operator.get("sharedkv/data/magpie").await.expect(200);
    let entity = operator.post("identity/entity", json!({"name": "shared", "policies": ["shared"]})).await.expect(200);
    let id = entity.text_at("/data/id");
    server.policy("shared", "path \"secret/data/*\" { capabilities = [\"read\"] }").await;
    operator.post("sys/auth/userpass", json!({"type": "userpass"})).await;
    operator.post("auth/userpass/users/shared", json!({"password": "magpie-pass"})).await.expect(204);
    let mounts = operator.get("sys/auth").await.expect(200);
    let accessor = mounts.text_at("/data/userpass~1/accessor");
    let alias = json!({"name": "shared", "canonical_id": id, "mount_accessor": accessor});
    operator.post("identity/entity-alias", alias).await.expect(200);
    let login = json!({"password": "magpie-pass"});
    let token = server.by("").post("auth/userpass/login/shared", login).await.expect(200).text_at("/auth/client_token");
    for name in ["app/db", "magpie/db"] {
        server.by(&token).get(&format!("secret/data/{name}")).await.expect(200);
    }
    let mut incidents = Vec::new();
    for aim in [json!({"principal": "shared"}), json!({"mount": "sharedkv"})] {
        let mut order = aim;
        order["reason"] = json!("shared by both");
        incidents.push(must(server, "POST", "revoke", order).await.text_at("/data/incident/id"));
    }
    incidents
}

/// What stands around the word.
fn told(text: &str) -> String {
    let places = text.match_indices(HIDDEN).take(5);
    let around =
        |(at, _): (usize, &str)| text.get(at.saturating_sub(120)..(at + 60).min(text.len())).map(str::to_owned);
    places.filter_map(around).map(|part| format!("\n... {part} ...")).collect()
}

/// What the server says of something must be what it says of what is not there.
fn same(there: &Answer, absent: &Answer, names: (&str, &str), what: &str) {
    let plain = |answer: &Answer, name: &str| {
        let mut body = answer.body.clone();
        if let Some(fields) = body.as_object_mut() {
            fields.remove("request");
        }
        // Where the trail and the events end moves on with each question.
        if let Some(data) = body.get_mut("data").and_then(Value::as_object_mut) {
            data.retain(|name, _| !["end", "next", "after"].contains(&name.as_str()));
        }
        (answer.status, body.to_string().replace(name, "NAME"))
    };
    assert_eq!(plain(there, names.0), plain(absent, names.1), "{what}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_has_every_door_and_one_prefix_never_meets_a_name_below_another() {
    let (server, looker, incidents) = lived_in().await;
    let silent =
        |answer: &Answer, what: &str| assert!(!answer.text.contains(HIDDEN), "{what} told{}", told(&answer.text));
    // Every route that reads, as it is and with what it takes.
    for endpoint in walk_native_routes() {
        if !endpoint.operations.contains(&Operation::Read) || endpoint.pattern == "events/stream" {
            continue;
        }
        let mut paths = vec![endpoint.pattern.to_owned()];
        if endpoint.pattern.contains("{id}") {
            paths = incidents.iter().map(|id| endpoint.pattern.replace("{id}", id)).collect();
        }
        for path in paths {
            silent(&ask(&server, &looker, "GET", &path, Value::Null).await, &path);
        }
    }
    for query in [
        "limit=1000",
        "limit=1000&order=newest",
        "limit=1000&kind=event,intent,outcome",
        "limit=1000&kind=event",
        "limit=1000&outcome=denied",
        "limit=1000&outcome=failed&kind=event,intent,outcome",
        "limit=1000&dialect=native",
        "limit=1000&prefix=sys/&kind=event,intent,outcome",
        "limit=1000&prefix=secret/&kind=event,intent,outcome",
        "limit=1000&operation=incident&kind=event",
        "limit=1000&operation=drill-begin,drill-end&kind=event",
        "limit=1000&principal=root&kind=event,intent,outcome",
    ] {
        let path = format!("trail/query?{query}");
        silent(&ask(&server, &looker, "GET", &path, Value::Null).await.expect(200), &path);
    }
    for principal in ["root", "token", "drill-canary", ""] {
        let path = format!("trail/reads-what?principal={principal}");
        silent(&ask(&server, &looker, "GET", &path, Value::Null).await, &path);
    }
    let since = "trail/review?since=2020-01-01T00:00:00Z";
    silent(&ask(&server, &looker, "GET", since, Value::Null).await.expect(200), since);
    for path in ["events?after=oldest", "events?after=oldest&prefix=sys", "events?after=oldest&prefix=secret"] {
        silent(&ask(&server, &looker, "GET", path, Value::Null).await.expect(200), path);
    }
    // The own side is there, or silence would prove nothing.
    let own = ask(&server, &looker, "GET", "trail/query?limit=1000&kind=event,outcome", Value::Null).await;
    assert!(own.text.contains("secret/data/app/db") && own.text.contains("drill-end"), "{}", own.text);
    let own = ask(&server, &looker, "GET", "incidents", Value::Null).await.expect(200);
    assert_eq!(own.at("/data/incidents").as_array().unwrap().len(), 3);
    // Of a principal that reads below both prefixes, what it reads below the own one.
    let path = format!("incidents/{}/report", incidents[6]);
    let shared = ask(&server, &looker, "GET", &path, Value::Null).await.expect(200);
    let paths: Vec<_> =
        shared.at("/data/figures/consumers").as_array().unwrap().iter().map(|one| &one["path"]).collect();
    assert_eq!(paths, ["secret/data/app/db"]);
    assert!(shared.at("/data/timeline").to_string().contains("secret/data/app/db"));
    let own = ask(&server, &looker, "GET", "events?after=oldest", Value::Null).await.expect(200);
    assert!(own.text.contains("secret/data/app/db") && own.text.contains(&incidents[1]), "{}", own.text);
    let own = ask(&server, &looker, "GET", "drills/table", Value::Null).await.expect(200);
    assert!(own.text.contains("secret/data/app/db"));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_of_events_is_silent_about_another_prefix() {
    let (server, looker, incidents) = lived_in().await;
    let mut stream = server.connect().await;
    let request = format!(
        "GET /api/v1/events/stream?after=oldest HTTP/1.1\r\nHost: x\r\nX-Vault-Token: {looker}\r\nAccept: text/event-stream\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut heard = Vec::new();
    // Until the last thing of its own has come by, which was told after all of the other side.
    server.operator().post("secret/data/app/last", json!({"data": {"v": "x"}})).await.expect(200);
    let listening = async {
        while !String::from_utf8_lossy(&heard).contains("app/last") {
            let mut part = [0; 4_096];
            let count = stream.read(&mut part).await.unwrap();
            assert!(count > 0, "the stream ended: {}", String::from_utf8_lossy(&heard));
            heard.extend_from_slice(&part[..count]);
        }
    };
    tokio::time::timeout(Duration::from_secs(20), listening).await.unwrap();
    drop(stream);
    // As the program does before it closes its doors: a stream has no end of its own.
    server.world.strongroom.hush();
    let heard = String::from_utf8_lossy(&heard);
    assert!(!heard.contains(HIDDEN), "it told{}", told(&heard));
    for (number, id) in incidents.iter().enumerate() {
        assert_eq!(heard.contains(id), [1, 6, 7].contains(&number), "incident {number}");
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_hidden_is_answered_as_what_is_not_there() {
    let (server, looker, incidents) = lived_in().await;
    let (there, absent) = ("magpie/db", "nobody/db");
    for (method, path, body) in [
        ("GET", "trail/query?path=secret/NAME", Value::Null),
        ("GET", "trail/query?path=secret/NAME&kind=event,intent,outcome", Value::Null),
        ("GET", "trail/query?prefix=secret/NAME", Value::Null),
        ("GET", "trail/who-reads?path=secret/NAME", Value::Null),
        ("GET", "trail/who-reads?path=secret/data/NAME", Value::Null),
        ("GET", "rotation/status/secret/NAME", Value::Null),
        ("GET", "rotation/history/secret/NAME", Value::Null),
        ("POST", "rotation/start/secret/NAME", json!({})),
        ("GET", "drills/history?path=secret/NAME", Value::Null),
        ("GET", "drills/table?path=secret/NAME", Value::Null),
        ("POST", "drills/run", json!({"path": "secret/NAME"})),
        ("POST", "drills/preview", json!({"path": "secret/NAME"})),
        ("DELETE", "drills/schedules?path=secret/NAME", Value::Null),
        ("POST", "revoke/preview", json!({"secret": "secret/NAME"})),
        ("POST", "revoke", json!({"secret": "secret/NAME", "reason": "x"})),
    ] {
        let mut told = Vec::new();
        for name in [there, absent] {
            let body = serde_json::from_str(&body.to_string().replace("NAME", name)).unwrap();
            told.push(ask(&server, &looker, method, &path.replace("NAME", name), body).await);
        }
        same(&told[0], &told[1], (there, absent), &format!("{method} {path}"));
    }
    for (there, absent, path) in [
        ("magpie-person", "nobody-person", "trail/reads-what?principal=NAME"),
        ("magpie-person", "nobody-person", "trail/query?principal=NAME&kind=event,intent,outcome"),
        ("token-magpie", "token-nobody", "trail/reads-what?principal=NAME"),
        (incidents[0].as_str(), "0000000000000000-00000000", "incidents/NAME"),
        (incidents[0].as_str(), "0000000000000000-00000000", "incidents/NAME/report"),
        (incidents[2].as_str(), "0000000000000000-00000000", "incidents/NAME"),
        (incidents[0].as_str(), "0000000000000000-00000000", "trail/query?path=sys/incidents/NAME&kind=event"),
        (incidents[0].as_str(), "0000000000000000-00000000", "events?after=oldest&prefix=sys/incidents/NAME"),
    ] {
        let real = ask(&server, &looker, "GET", &path.replace("NAME", there), Value::Null).await;
        let unreal = ask(&server, &looker, "GET", &path.replace("NAME", absent), Value::Null).await;
        same(&real, &unreal, (there, absent), path);
    }
    server.stop().await;
}

/// An answer that was full named the next entry, seen or not: so one saw when somebody did what one may not know of.
#[tokio::test]
async fn a_next_page_is_promised_only_where_there_is_something_to_see_on_it() {
    let server = TestServer::open().await;
    let operator = server.operator();
    for name in ["app/db", "magpie/db"] {
        operator.post(&format!("secret/data/{name}"), json!({"data": {"v": "value"}})).await.expect(200);
    }
    server
        .policy(
            "app",
            "path \"secret/data/app/*\" { capabilities = [\"read\"] }\npath \"sys/trail/*\" { capabilities = [\"read\"] }",
        )
        .await;
    let token = server.token(json!({"policies": ["app"]})).await;
    for name in ["magpie/db", "app/db", "magpie/db", "app/db", "magpie/db"] {
        operator.get(&format!("secret/data/{name}")).await.expect(200);
    }
    for order in ["oldest", "newest"] {
        let question = format!("trail/query?prefix=secret/&operation=read&order={order}");
        let of = async |token: &str, limit: usize| {
            let answer =
                ask(&server, token, "GET", &format!("{question}&limit={limit}"), Value::Null).await.expect(200);
            let entries = answer.at("/data/entries").as_array().unwrap();
            let places: Vec<u64> = entries.iter().map(|entry| entry["seq"].as_u64().unwrap()).collect();
            (places, answer.at("/data/next").as_u64())
        };
        let (own, next) = of(&token, 2).await;
        assert_eq!((own.len(), next), (2, None), "{order}");
        assert_eq!(of(&token, 1).await, (vec![own[0]], Some(own[1])), "{order}");
        assert!(of(&server.root, 2).await.1.is_some(), "{order}");
    }
    server.stop().await;
}
