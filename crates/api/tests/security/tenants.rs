//! Two tenants who know every id of each other: neither reads, changes or finds out anything of the other's.
//!
//! What does not exist is what exists for a tenant of another server: ids of the right form, none of them known here.

use crate::probe::{NAMING, NAMING_NOTHING, Place, Tenant, bodies, places, shape, verb};
use serde_json::{Value, json};
use strongroom_core::{Access, Endpoint, Operation};
use strongroom_testkit::TestServer;

/// The three: who asks, who is asked about, and who is on another server and so is nobody here.
struct Case {
    server: TestServer,
    asking: Tenant,
    there: Tenant,
    absent: Tenant,
}

impl Case {
    async fn new() -> Self {
        let server = TestServer::open().await;
        let asking = Tenant::furnish(&server, "reds").await;
        let there = Tenant::furnish(&server, "blue").await;
        let elsewhere = TestServer::open().await;
        let absent = Tenant::furnish(&elsewhere, "grey").await;
        elsewhere.stop().await;
        Self { server, asking, there, absent }
    }

    /// Everything of the other's, as the operator and they themselves see it.
    async fn inventory(&self) -> Vec<(u16, String)> {
        let (server, there) = (&self.server, &self.there);
        let name = there.name;
        let operator = server.operator();
        let mut seen = Vec::new();
        for path in [
            format!("identity/entity/id/{}", there.id("entity")),
            format!("identity/entity-alias/id/{}", there.id("alias")),
            format!("auth/token/roles/{name}-tokens"),
            format!("auth/{name}app/role/{name}-role"),
            format!("auth/{name}app/role/{name}-role/role-id"),
            format!("auth/{name}pass/users/{name}-user"),
            format!("sys/policies/acl/{name}"),
            format!("sys/policies/acl/{name}-more"),
            format!("sys/policies/password/{name}"),
            format!("sys/quotas/rate-limit/{name}"),
            format!("sys/mounts/{name}kv"),
            format!("sys/mounts/{name}kv/tune"),
            format!("sys/auth/{name}pass"),
            format!("{name}kv/data/app"),
            format!("{name}kv/metadata/app"),
            format!("{name}kv/config"),
            format!("{name}one/app"),
        ] {
            seen.push(shape(&operator.get(&path).await.expect(200), there));
        }
        for (path, body) in [
            ("auth/token/lookup".to_owned(), json!({"token": there.token})),
            ("auth/token/lookup-accessor".to_owned(), json!({"accessor": there.id("accessor")})),
            ("sys/wrapping/lookup".to_owned(), json!({"token": there.id("wrapping")})),
            (
                format!("auth/{name}app/role/{name}-role/secret-id-accessor/lookup"),
                json!({"secret_id_accessor": there.id("secret id accessor")}),
            ),
        ] {
            seen.push(shape(&operator.post(&path, body).await.expect(200), there));
        }
        seen.push(shape(&server.by(&there.token).get("cubbyhole/app").await.expect(200), there));
        for list in [format!("{name}kv/metadata"), format!("auth/{name}app/role"), format!("auth/{name}pass/users")] {
            seen.push(shape(&operator.list(&list).await.expect(200), there));
        }
        seen
    }

    /// One request about each of the two; gives whether it was allowed to happen at all.
    async fn ask(
        &self,
        verb: &str,
        paths: (&str, &str),
        bodies: (&Value, &Value),
        compare: bool,
        told: &mut Vec<String>,
    ) -> bool {
        let by = self.server.by(&self.asking.token);
        let sends = |body: &Value| matches!(verb, "POST" | "PATCH" | "DELETE").then(|| body.clone());
        let real = by.send(verb, &with_query(verb, paths.0, bodies.0), sends(bodies.0)).await;
        let unreal = by.send(verb, &with_query(verb, paths.1, bodies.1), sends(bodies.1)).await;
        let what = || format!("{verb} {} {}", paths.0, bodies.0);
        assert!(!real.text.contains(&self.there.canary()), "{} gave away: {}", what(), real.text);
        assert!(real.status.as_u16() < 500, "{}: {}", what(), real.text);
        if compare {
            let (real, unreal) = (shape(&real, &self.there), shape(&unreal, &self.absent));
            if real != unreal {
                told.push(format!("{}: {real:?}, and when it is not there {unreal:?}", what()));
            }
        }
        real.status != 403
    }
}

/// Fields of a request that has no body stand in its query.
fn with_query(verb: &str, path: &str, body: &Value) -> String {
    let fields = body.as_object().unwrap();
    if fields.is_empty() || !matches!(verb, "GET" | "LIST") {
        return path.to_owned();
    }
    let pairs = fields.iter().filter_map(|(name, value)| Some(format!("{name}={}", value.as_str()?)));
    format!("{path}?{}", pairs.collect::<Vec<_>>().join("&"))
}

/// Who holds a wrapping token may look at and open it, and who holds a secret id logs in with it: that is what they are
/// for, and nothing to be kept from whoever brings them.
fn is_bearer(path: &str, body: &Value, there: &Tenant) -> bool {
    path.starts_with("sys/wrapping/") && body["token"] == there.id("wrapping")
        || path.ends_with("/login") && body["secret_id"] == there.id("secret id")
}

/// What is about the server as a whole and nobody's: its seal, the ceremonies of those who hold unseal keys. And what
/// would end the tenant's own token, and the test with it.
fn is_nobodys(place: &Place, endpoint: &Endpoint, operation: Operation) -> bool {
    let ceremony = ["generate-root", "rekey", "rotate"].iter().any(|begin| endpoint.pattern.starts_with(begin));
    endpoint.pattern == "revoke-self"
        || place.kind == "public" && operation == Operation::Write
        || place.kind == "system" && ceremony
}

/// A line of a table at one mount: the paths about both, and whether an answer may depend on what is there.
fn lines(case: &Case, place: &Place, endpoint: &Endpoint) -> Vec<(String, String, bool)> {
    let path = |host: &Tenant, whose: &Tenant| place.path(endpoint, host, whose);
    let own = (path(&case.asking, &case.there), path(&case.asking, &case.absent), true);
    if !place.mount.contains("NAME") {
        return vec![own];
    }
    // A door through which one logs in is open to all, so that it is there can be seen.
    let hidden = endpoint.access != Access::Open;
    vec![own, (path(&case.there, &case.there), path(&case.absent, &case.absent), hidden)]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_route_with_an_id_of_another_tenant_reads_changes_or_tells_anything() {
    let case = Case::new().await;
    let before = case.inventory().await;
    let about_there = bodies(&case.asking, &case.there);
    let about_absent = bodies(&case.asking, &case.absent);
    let (mut sent, mut let_in, mut told) = (0, 0, Vec::new());
    for place in places(&case.server, case.asking.name) {
        for endpoint in &place.endpoints {
            for operation in endpoint.operations {
                if is_nobodys(&place, endpoint, *operation) {
                    continue;
                }
                for (real, unreal, compare) in lines(&case, &place, endpoint) {
                    for (body, other) in about_there.iter().zip(&about_absent) {
                        if is_bearer(&real, body, &case.there) {
                            continue;
                        }
                        let paths = (real.as_str(), unreal.as_str());
                        let allowed = case.ask(verb(*operation), paths, (body, other), compare, &mut told).await;
                        sent += 1;
                        let_in += usize::from(allowed);
                        // Policy looks at the path: what it refuses with one body it refuses with all.
                        if !allowed && body.as_object().unwrap().is_empty() && endpoint.access == Access::Token {
                            break;
                        }
                    }
                }
            }
        }
    }
    println!("{sent} pairs of requests, {let_in} of them let in by policy");
    assert!(told.is_empty(), "these tell what is there from what is not:\n{}", told.join("\n"));
    assert!(let_in > 1_000, "the tenant could do so little that nothing was shown: {let_in}");
    assert_eq!(case.inventory().await, before, "something of another tenant has changed");
    // And what is theirs still works for them.
    let (server, there) = (&case.server, &case.there);
    let login = json!({"role_id": there.id("role id"), "secret_id": there.id("secret id")});
    server.by("").post("auth/blueapp/login", login).await.expect(200);
    server.by(there.id("child")).get("bluekv/data/app").await.expect(200);
    let unwrapped = server.by(there.id("wrapping")).post("sys/wrapping/unwrap", json!({})).await.expect(200);
    assert!(unwrapped.text.contains("canary-blue"), "{}", unwrapped.text);
    case.server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_token_of_one_tenant_keeps_no_token_of_another_sees() {
    let case = Case::new().await;
    let asking = case.server.by(&case.asking.token);
    assert_eq!(asking.get("cubbyhole/app").await.expect(200).at("/data/a"), "canary-reds");
    // Nor does its own child.
    case.server.by(case.asking.id("child")).get("cubbyhole/app").await.expect(404);
    for path in ["cubbyhole/app", "cubbyhole/blue/app", "cubbyhole/../cubbyhole/app"] {
        let text = asking.get(path).await.text;
        assert!(!text.contains("canary-blue"), "{path}: {text}");
    }
    case.server.stop().await;
}

/// Names of fields that the sources read out of a request: `text("accessor")`, `.secret("token")`.
fn fields_read() -> Vec<(String, String)> {
    let mut found = Vec::new();
    let root = std::path::Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
    let mut folders: Vec<_> = ["api", "auth", "core", "engines"].map(|room| root.join(room).join("src")).into();
    while let Some(folder) = folders.pop() {
        let Ok(entries) = std::fs::read_dir(&folder) else { continue };
        for path in entries.map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|end| end == "rs") {
                let text = std::fs::read_to_string(&path).unwrap();
                let calls = ["text(\"", "secret(\"", "text_or_empty(\"", ".value(\"", ".list(\""];
                for call in calls {
                    let after = text.split(call).skip(1).filter_map(|rest| rest.split_once('"'));
                    let inside = after.filter(|(_, rest)| rest.starts_with(')')).map(|(name, _)| name.to_owned());
                    found.extend(inside.map(|name| (name, path.display().to_string())));
                }
            }
        }
    }
    found
}

#[test]
fn every_field_that_names_something_is_tried_with_what_is_anothers() {
    let read = fields_read();
    assert!(read.len() > 30, "the sources read hardly any field: is this search out of date? {read:?}");
    let names = |field: &str| {
        ["id", "accessor", "token", "alias", "nonce", "lease"].iter().any(|end| field.ends_with(end))
            || ["name", "username", "role", "role_name", "path", "from", "to"].contains(&field)
    };
    for (field, file) in read.iter().filter(|(field, _)| names(field)) {
        let tried = NAMING.iter().any(|(known, _)| known == field);
        let explained = NAMING_NOTHING.iter().any(|(known, _)| known == field);
        assert!(tried || explained, "`{field}` is read in {file}: say in `NAMING` what of a tenant it may name");
    }
}
