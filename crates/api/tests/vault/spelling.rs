//! One thing has one name: no other spelling of a path or of a policy's name gets past a rule.

use serde_json::{Value, json};
use std::collections::BTreeMap;
use strongroom_api::walk_routes;
use strongroom_core::{Access, Endpoint, Operation};
use strongroom_model::MountPath;
use strongroom_testkit::{TestServer, World};

const VERBS: [&str; 7] = ["GET", "LIST", "POST", "PUT", "PATCH", "DELETE", "HEAD"];

/// Spellings of `..`, of what only looks like it, and of nothing.
const UPS: [&str; 19] = [
    "..",
    "%2e%2e",
    "%2E%2e",
    ".%2e",
    "%2e.",
    "%252e%252e",
    "..;",
    "..;x=1",
    "..%00",
    "..%20",
    "%20..",
    "%c0%ae%c0%ae",
    "%e0%80%ae%e0%80%ae",
    "%EF%BC%8E%EF%BC%8E",
    "..%C2%AD",
    "%E2%80%A5",
    ".",
    "...",
    "",
];

/// Spellings of `/`, and of what some programs take for it.
const SLASHES: [&str; 11] = ["/", "%2f", "%2F", "%252f", "//", "\\", "%5c", "/./", ";/", "%c0%af", "%E2%88%95"];

/// From a place below `app/`, up and over to `other`.
fn climbs(section: &str) -> Vec<String> {
    let mut spellings = Vec::new();
    for inside in ["app", "app/x", "app/x/y"] {
        for up in UPS {
            for slash in SLASHES {
                let ups = format!("{slash}{up}").repeat(inside.split('/').count());
                spellings.push(format!("secret/{section}/{inside}{ups}{slash}other"));
            }
        }
    }
    spellings
}

/// Straight to `other`, in disguise.
fn disguises(section: &str) -> Vec<String> {
    let at = |text: &str| text.replace("SECTION", section);
    [
        "secret/SECTION/other",
        "secret/SECTION/other/",
        "secret/SECTION//other",
        "secret//SECTION/other",
        "/secret/SECTION/other",
        "./secret/SECTION/other",
        "secret/./SECTION/other",
        "secret/SECTION/%6fther",
        "secret/SECTION/OTHER",
        "SECRET/SECTION/other",
        "secret/SECTION/other%00",
        "secret/SECTION/other%00/app/x",
        "secret/SECTION/other%20",
        "secret/SECTION/other?path=app/x",
        "secret/SECTION/other#/app/x",
        "secret/SECTION/app/*",
        "secret/SECTION/app/+/../../other",
        "secret/SECTION/*",
        "secret/SECTION/+",
        "secret/SECTION/other;/app/x",
        "secret/SECTION/app",
        "secret/SECTION/app%2F..%2Fother",
        "secret/SECTION/o%CC%88ther",
        "secret/SECTION/%C3%B6ther",
        "secret/SECTION/other%0d%0aX-Vault-Token:%20x",
        "secret%2fSECTION%2fother",
        "%73ecret/SECTION/other",
        "secret/SECTION/app/x%2f..%2f..%2fother",
        "no/../secret/SECTION/other",
        "sys/../secret/SECTION/other",
        "auth/token/../../secret/SECTION/other",
        "secret/%C1%A4ata/other",
        "secret/SECTION/other%",
        "secret/SECTION/other%2",
        "secret/SECTION/%zz/../other",
        "secret/SECTION/app/../other?list=true",
        "secret/SECTION/?list=true",
        "secret/SECTION/other&/app/",
    ]
    .into_iter()
    .map(at)
    .collect()
}

/// Sends the bytes of one request; gives the status, and the body.
async fn raw(server: &TestServer, verb: &str, path: &str, token: &str) -> (u16, String) {
    let body = r#"{"data":{"a":"stolen"},"versions":[1],"custom_metadata":{"a":"stolen"}}"#;
    let sends = matches!(verb, "POST" | "PUT" | "PATCH");
    let request = format!(
        "{verb} /v1/{path} HTTP/1.1\r\nHost: a\r\nX-Vault-Token: {token}\r\nConnection: close\r\nContent-Type: application/merge-patch+json\r\nContent-Length: {}\r\n\r\n{}",
        if sends { body.len() } else { 0 },
        if sends { body } else { "" }
    );
    let heard = server.speak(request.as_bytes()).await;
    let status = heard.split(' ').nth(1).and_then(|code| code.parse().ok());
    (status.unwrap_or_else(|| panic!("{verb} {path}: no answer: {heard:?}")), heard)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_spelling_leads_out_of_the_folder_that_a_policy_allows() {
    let server = TestServer::open().await;
    let all = r#"capabilities = ["create", "read", "update", "patch", "delete", "list", "sudo"]"#;
    server.policy("app", &format!("path \"secret/+/app/*\" {{ {all} }}")).await;
    let token = server.token(json!({"policies": ["app"], "no_default_policy": true})).await;
    let operator = server.operator();
    operator.post("secret/data/other", json!({"data": {"a": "canary"}})).await.expect(200);
    operator.post("secret/data/app/x", json!({"data": {"a": "mine"}})).await.expect(200);
    server.by(&token).get("secret/data/app/x").await.expect(200);
    let mut spellings = climbs("data");
    for section in ["data", "metadata", "delete", "undelete", "destroy", "subkeys"] {
        spellings.extend(disguises(section));
        spellings.extend(climbs(section).into_iter().step_by(7));
    }
    let (mut sent, mut statuses) = (0, BTreeMap::<u16, usize>::new());
    for path in &spellings {
        for verb in VERBS {
            let (status, heard) = raw(&server, verb, path, &token).await;
            assert!(!heard.contains("canary"), "{verb} {path} gave away another secret: {heard}");
            *statuses.entry(status).or_default() += 1;
            sent += 1;
        }
    }
    println!("{sent} requests over {} spellings: {statuses:?}", spellings.len());
    assert!(statuses.keys().all(|status| [200, 204, 400, 403, 404, 405].contains(status)), "{statuses:?}");
    // What was let in lay in the folder, by the very path that routing and policy saw.
    let allowed = |path: &str, operation: &Value| {
        let mut segments = path.split('/').skip(2);
        segments.next() == Some("app") && (segments.next().is_some() || operation == "list")
    };
    for entry in server.world.outcomes().await {
        let path = entry["path"].as_str().unwrap();
        let by_rule = entry["decision"]["rule"] == "secret/+/app/*";
        assert!(!by_rule || entry["decision"]["granted"] == false || allowed(path, &entry["operation"]), "{entry}");
        assert!(path.split('/').all(|segment| !["", ".", ".."].contains(&segment)), "{entry}");
    }
    let other = operator.get("secret/metadata/other").await.expect(200);
    assert_eq!(other.at("/data/current_version"), 1);
    assert_eq!(other.at("/data/custom_metadata"), &Value::Null);
    assert_eq!(operator.get("secret/data/other").await.expect(200).at("/data/data/a"), "canary");
    assert_eq!(operator.list("secret/metadata").await.expect(200).at("/data/keys"), &json!(["app/", "other"]));
    server.stop().await;
}

/// Ways to write `root`, or something that a careless program would take for it.
const ROOTS: [&str; 22] = [
    "root",
    "ROOT",
    "Root",
    "rOOt",
    " root",
    "root ",
    "\troot",
    "root\n",
    "\u{a0}root",
    "ro\u{ad}ot",
    "root\u{200b}",
    "\u{ff52}\u{ff4f}\u{ff4f}\u{ff54}",
    "r\u{43e}\u{43e}t",
    "root\u{0}",
    "root,default",
    "default,root",
    "root/",
    "./root",
    "%72oot",
    "roo\u{74}\u{301}",
    "root\u{feff}",
    "\u{202e}toor",
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_spelling_of_root_gets_into_any_list_of_policies() {
    let server = TestServer::open().await;
    let operator = server.operator();
    operator.post("sys/auth/approle", json!({"type": "approle"})).await.expect(204);
    let all = r#"capabilities = ["create", "read", "update", "patch", "delete", "list", "sudo"]"#;
    let rules = ["auth/*", "identity/*"].map(|path| format!("path \"{path}\" {{ {all} }}"));
    server.policy("officer", &rules.join("\n")).await;
    let officer = server.token(json!({"policies": ["officer"]})).await;
    let created = operator.post("identity/entity", json!({"name": "web"})).await.expect(200);
    let entity = created.text_at("/data/id");
    operator.post("auth/approle/role/web", json!({"token_policies": ["default"]})).await.expect(204);
    operator.post("sys/auth/userpass", json!({"type": "userpass"})).await.expect(204);
    operator.post("auth/userpass/users/web", json!({"password": "p"})).await.expect(204);
    let by_entity_id = format!("identity/entity/id/{entity}");
    let targets = [
        ("identity/entity", "policies"),
        ("identity/entity/name/web", "policies"),
        ("identity/entity/name/fresh", "policies"),
        (by_entity_id.as_str(), "policies"),
        ("auth/approle/role/web", "token_policies"),
        ("auth/approle/role/web", "policies"),
        ("auth/approle/role/fresh", "token_policies"),
        ("auth/approle/role/web/policies", "token_policies"),
        ("auth/approle/role/web/policies", "policies"),
        ("auth/userpass/users/web", "token_policies"),
        ("auth/userpass/users/web", "policies"),
        ("auth/userpass/users/web/policies", "token_policies"),
    ];
    for spelling in ROOTS {
        for list in [json!([spelling]), json!(["default", spelling]), json!(spelling)] {
            for (path, field) in targets {
                for who in [server.root.as_str(), officer.as_str()] {
                    let answer = server.by(who).post(path, json!({field: list})).await;
                    let names = effective(&list);
                    if names.iter().any(|name| name.eq_ignore_ascii_case("root")) || answer.status.is_client_error() {
                        assert_eq!(answer.status, 400, "{path} took {list}: {}", answer.text);
                    } else {
                        // Another policy's name, harmless: `root/` is not `root`.
                        assert!(names.iter().all(|name| name.is_ascii()), "{path} took {list}");
                    }
                }
            }
            // A role of tokens may say what it likes: what is made by it is no root token.
            let fields = json!({"allowed_policies": list, "orphan": true});
            let role = server.by(&officer).post("auth/token/roles/any", fields).await;
            assert!([204, 400].contains(&role.status.as_u16()), "{}", role.text);
            for path in ["auth/token/create/any", "auth/token/create/ANY"] {
                for fields in [json!({"policies": list}), json!({})] {
                    let made = server.by(&officer).post(path, fields).await;
                    assert!(!made.at("/auth/policies").to_string().contains("\"root\""), "{list}: {}", made.text);
                }
            }
            let answer = server.by(&officer).post("auth/token/create", json!({"policies": list})).await;
            if let Some(token) = answer.at("/auth/client_token").as_str() {
                let path = json!({"paths": ["sys/seal"]});
                let can = server.by(token).post("sys/capabilities-self", path).await.expect(200);
                assert_ne!(can.at("/data/capabilities"), &json!(["root"]), "{list}");
                assert!(!answer.at("/auth/policies").to_string().contains("\"root\""), "{list}");
            } else {
                answer.expect(400);
            }
        }
    }
    let web = operator.get("identity/entity/name/web").await.expect(200);
    assert!(!web.at("/data/policies").to_string().contains("\"root\""), "{}", web.text);
    server.stop().await;
}

/// The names in a list as the lenient readers of Vault's parameters take it: a string is split at commas and trimmed.
fn effective(list: &Value) -> Vec<String> {
    match list {
        Value::String(text) => text.split(',').map(|name| name.trim().to_owned()).collect(),
        list => list.as_array().unwrap().iter().map(|name| name.as_str().unwrap().to_owned()).collect(),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_without_case_has_one_path_for_policy_and_trail() {
    let server = TestServer::open().await;
    let operator = server.operator();
    operator.post("sys/auth/approle", json!({"type": "approle"})).await.expect(204);
    operator.post("auth/approle/role/admin", json!({"token_policies": "strong"})).await.expect(204);
    server.policy("strong", r#"path "secret/*" { capabilities = ["read"] }"#).await;
    let all = r#"capabilities = ["create", "read", "update", "delete", "list", "sudo"]"#;
    let officer = format!(
        r#"path "sys/policies/acl/*" {{ {all} }}
        path "sys/policies/acl/strong" {{ capabilities = ["deny"] }}
        path "sys/policy/*" {{ {all} }}
        path "sys/policy/strong" {{ capabilities = ["deny"] }}
        path "auth/approle/role/*" {{ {all} }}
        path "auth/approle/role/admin" {{ capabilities = ["deny"] }}
        path "auth/approle/role/admin/*" {{ capabilities = ["deny"] }}"#
    );
    server.policy("officer", &officer).await;
    let token = server.token(json!({"policies": ["officer"], "no_default_policy": true})).await;
    let everything = json!({"policy": "path \"*\" { capabilities = [\"sudo\"] }", "token_policies": "officer"});
    for path in [
        "sys/policies/acl/strong",
        "sys/policies/acl/STRONG",
        "sys/policies/acl/Strong",
        "sys/policy/sTrong",
        "auth/approle/role/ADMIN",
        "auth/approle/role/Admin/secret-id",
        "auth/approle/role/aDmin/role-id",
    ] {
        for verb in ["GET", "POST", "PUT", "DELETE"] {
            let answer = server.by(&token).send(verb, path, Some(everything.clone())).await;
            assert_eq!(answer.status, 403, "{verb} {path}: {}", answer.text);
            let last = server.world.outcomes().await.pop().unwrap();
            assert_eq!(last["path"], path.to_lowercase(), "{last}");
            let typed = if path == path.to_lowercase() { Value::Null } else { json!(path) };
            assert_eq!(last["typed"], typed);
        }
    }
    server.by(&token).post("sys/policies/acl/Other", everything).await.expect(204);
    assert_eq!(server.by(&token).get("sys/policies/acl/OTHER").await.expect(200).at("/data/name"), "other");
    server.stop().await;
}

/// Every path of the server's own and of every kind of plug-in that names something without case, enabled and ready.
async fn places_with_names(server: &TestServer) -> Vec<(String, &'static Endpoint)> {
    let operator = server.operator();
    let own = walk_routes().into_iter().filter(|(kind, _)| *kind == "system");
    let mut all: Vec<_> = own.map(|(_, endpoint)| ("sys".to_owned(), endpoint)).collect();
    for kind in World::engine_kinds() {
        operator.post(&format!("sys/mounts/{kind}"), json!({"type": kind})).await.expect(204);
        let rooms = server.world.rooms();
        let table = rooms.mounts.table();
        let mount = table.at(&MountPath::parse(kind).unwrap()).unwrap().id;
        all.extend(table.engine(mount).unwrap().endpoints().iter().map(|endpoint| (kind.to_owned(), endpoint)));
    }
    for kind in World::auth_kinds() {
        operator.post(&format!("sys/auth/{kind}"), json!({"type": kind})).await.expect(204);
        let rooms = server.world.rooms();
        let table = rooms.mounts.table();
        let mount = table.at(&MountPath::auth(kind).unwrap()).unwrap().id;
        let endpoints = table.method(mount).unwrap().endpoints().iter();
        all.extend(endpoints.map(|endpoint| (format!("auth/{kind}"), endpoint)));
    }
    all.retain(|(_, line)| line.pattern.contains("{name") && matches!(line.access, Access::Token | Access::Sudo));
    all
}

/// The path of an endpoint for something of that name.
fn named(mount: &str, endpoint: &Endpoint, name: &str) -> String {
    let fill = |part: &'static str| match part {
        "{name}" | "{name..}" => name,
        other if other.starts_with('{') => "x",
        other => other,
    };
    format!("{mount}/{}", endpoint.pattern.split('/').map(fill).collect::<Vec<_>>().join("/"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deny_on_a_name_holds_for_every_spelling_of_it_wherever_names_have_no_case() {
    let server = TestServer::open().await;
    let places = places_with_names(&server).await;
    let patterns: Vec<_> = places.iter().map(|(mount, line)| named(mount, line, "NAME")).collect();
    for known in ["database/creds/NAME", "database/static-creds/NAME", "database/config/NAME", "rabbitmq/creds/NAME"] {
        assert!(patterns.iter().any(|path| path == known), "{patterns:?}");
    }
    let all = r#"capabilities = ["create", "read", "update", "patch", "delete", "list", "sudo"]"#;
    let denied = places.iter().map(|(mount, line)| named(mount, line, "app-role"));
    let denied = denied.map(|path| format!("path \"{path}\" {{ capabilities = [\"deny\"] }}"));
    let rules: Vec<_> = std::iter::once(format!("path \"*\" {{ {all} }}")).chain(denied).collect();
    server.policy("officer", &rules.join("\n")).await;
    let token = server.token(json!({"policies": ["officer"], "no_default_policy": true})).await;
    let caller = server.by(&token);
    for (mount, line) in &places {
        for name in ["app-role", "APP-role", "App-Role", "aPP-rOLE", "APP-ROLE", "%41pp-role"] {
            let (path, one) = (named(mount, line, name), named(mount, line, "app-role"));
            for operation in line.operations {
                let verb = match operation {
                    Operation::Read => "GET",
                    Operation::Write => "POST",
                    Operation::Patch => "PATCH",
                    Operation::Delete => "DELETE",
                    Operation::List => "LIST",
                };
                let body = matches!(verb, "POST" | "PATCH").then(|| json!({}));
                let answer = caller.send(verb, &path, body).await;
                assert_eq!(answer.status, 403, "{verb} {path}: {}", answer.text);
                assert_eq!(server.world.outcomes().await.pop().unwrap()["path"], one, "{verb} {path}");
            }
            if !name.contains('%') {
                let can = caller.post("sys/capabilities-self", json!({"paths": [path]})).await.expect(200);
                assert_eq!(can.at("/data/capabilities"), &json!(["deny"]), "{path}");
            }
        }
    }
    // The beginnings of leases' ids are paths too.
    for section in ["leases/revoke-prefix", "leases/revoke-force", "revoke-prefix", "revoke-force"] {
        let narrow = format!(
            "path \"sys/*\" {{ {all} }}\npath \"sys/{section}/database/creds/app-role\" {{ capabilities = [\"deny\"] }}"
        );
        server.policy("narrow", &narrow).await;
        let narrow = server.token(json!({"policies": ["narrow"], "no_default_policy": true})).await;
        for name in ["app-role", "APP-role", "aPP-rOLE"] {
            let path = format!("sys/{section}/database/creds/{name}");
            server.by(&narrow).post(&path, json!({})).await.expect(403);
        }
        server.by(&narrow).post(&format!("sys/{section}/database/creds/other"), json!({})).await.expect(204);
    }
    // Beside the rule stands what it does not mean.
    caller.get("database/roles/APP-role2").await.expect(404);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rate_limit_on_a_name_counts_every_spelling_of_it() {
    let server = TestServer::open().await;
    let operator = server.operator();
    operator.post("sys/mounts/database", json!({"type": "database"})).await.expect(204);
    let limit = json!({"path": "database/roles/app-role", "rate": 1, "interval": "1h"});
    operator.post("sys/quotas/rate-limit/slow", limit).await.expect(204);
    operator.get("database/roles/App-Role").await.expect(404);
    for spelling in ["app-role", "APP-ROLE", "App-Role"] {
        operator.get(&format!("database/roles/{spelling}")).await.expect(429);
    }
    server.stop().await;
}
