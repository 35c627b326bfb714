//! Who lives on a server under test, and how every line of the route tables becomes a request about them.

use serde_json::{Value, json};
use std::collections::BTreeMap;
use strongroom_api::walk_routes;
use strongroom_core::{Endpoint, Operation};
use strongroom_model::MountPath;
use strongroom_testkit::{Answer, TestServer};

/// All capabilities, for a tenant's own prefix.
pub(crate) const ALL: &str = r#"capabilities = ["create", "read", "update", "patch", "delete", "list", "sudo"]"#;

/// Somebody with mounts, an entity, roles, credentials and secrets of their own.
pub(crate) struct Tenant {
    pub(crate) name: &'static str,
    /// From a login; carries the entity.
    pub(crate) token: String,
    /// Everything that names something of theirs.
    pub(crate) ids: BTreeMap<&'static str, String>,
}

impl Tenant {
    pub(crate) fn id(&self, what: &str) -> &str {
        self.ids.get(what).unwrap_or_else(|| panic!("a tenant has no `{what}`"))
    }

    /// What stands in everything that only they may read.
    pub(crate) fn canary(&self) -> String {
        format!("canary-{}", self.name)
    }

    /// Makes everything that a tenant has. `name` has four letters and nothing else is called so.
    pub(crate) async fn furnish(server: &TestServer, name: &'static str) -> Self {
        let operator = server.operator();
        let canary = format!("canary-{name}");
        let mut ids = BTreeMap::from([("password", format!("password-of-{name}"))]);
        let prefixes =
            ["KV/*", "KV", "kv1/*", "NAMEdb/*", "NAMErabbit/*", "auth/APP/*", "auth/PASS/*", "sys/policies/acl/NAME-*"];
        let named = |text: &str| {
            let text = text.replace("KV", &format!("{name}kv")).replace("kv1", &format!("{name}one"));
            text.replace("APP", &format!("{name}app")).replace("PASS", &format!("{name}pass")).replace("NAME", name)
        };
        let mut rules: String = prefixes.iter().map(|path| format!("path \"{}\" {{ {ALL} }}\n", named(path))).collect();
        rules.push_str("path \"auth/token/create\" { capabilities = [\"update\"] }\n");
        rules.push_str(&format!("path \"auth/token/create/{name}-tokens\" {{ capabilities = [\"update\"] }}\n"));
        server.policy(name, &rules).await;
        for (path, fields) in [
            (format!("sys/mounts/{name}kv"), json!({"type": "kv", "options": {"version": "2"}, "description": canary})),
            (format!("sys/mounts/{name}one"), json!({"type": "kv", "options": {"version": "1"}})),
            (format!("sys/auth/{name}app"), json!({"type": "approle"})),
            (format!("sys/auth/{name}pass"), json!({"type": "userpass", "description": canary})),
            (
                format!("auth/{name}pass/users/{name}-user"),
                json!({"password": ids["password"], "token_policies": [name]}),
            ),
            (format!("auth/{name}app/role/{name}-role"), json!({"token_policies": [name]})),
            (format!("auth/token/roles/{name}-tokens"), json!({"allowed_policies": [name], "path_suffix": canary})),
            (format!("sys/policies/acl/{name}-more"), json!({"policy": format!("# {canary}")})),
            (
                format!("sys/policies/password/{name}"),
                json!({"policy": format!("# {canary}\nlength = 20\nrule \"charset\" {{ charset = \"abc\" }}")}),
            ),
        ] {
            let answer = operator.post(&path, fields).await;
            assert!(answer.status.is_success(), "{path}: {}", answer.text);
        }
        // Nothing listens there, and nothing is asked of it.
        let (address, no) = ("127.0.0.1:1", false);
        for (path, fields) in [
            (format!("sys/mounts/{name}db"), json!({"type": "database", "description": canary})),
            (
                format!("{name}db/config/{name}-db"),
                json!({"plugin_name": "postgresql-database-plugin", "connection_url": format!("postgresql://{{{{username}}}}:{{{{password}}}}@{address}/{canary}"),
                    "username": name, "password": ids["password"], "allowed_roles": "*", "verify_connection": no}),
            ),
            (
                format!("{name}db/roles/{name}-db"),
                json!({"db_name": format!("{name}-db"), "creation_statements": format!("-- {canary}")}),
            ),
            (format!("sys/mounts/{name}mq"), json!({"type": "rabbitmq", "description": canary})),
            (
                format!("{name}mq/config/connection"),
                json!({"connection_uri": format!("http://{address}"), "username": name,
                    "password": ids["password"], "verify_connection": no}),
            ),
            (format!("{name}mq/roles/{name}-db"), json!({"tags": canary})),
            (format!("sys/aws/roles/{name}"), json!({"policies": [name]})),
        ] {
            let answer = operator.post(&path, fields).await;
            assert!(answer.status.is_success(), "{path}: {}", answer.text);
        }
        let moved = json!({"from": format!("{name}mq"), "to": format!("{name}rabbit")});
        ids.insert("move", operator.post("sys/remount", moved).await.expect(200).text_at("/data/migration_id"));
        let quota = json!({"path": format!("{name}kv/"), "rate": 1e9});
        operator.post(&format!("sys/quotas/rate-limit/{name}"), quota).await.expect(204);
        let mounts = operator.get("sys/auth").await.expect(200);
        for (what, mount) in [("mount accessor", "pass"), ("approle accessor", "app")] {
            ids.insert(what, mounts.text_at(&format!("/data/{name}{mount}~1/accessor")));
        }
        let mounts = operator.get("sys/mounts").await.expect(200);
        ids.insert("engine accessor", mounts.text_at(&format!("/data/{name}kv~1/accessor")));
        let entity = json!({"name": format!("{name}-person"), "metadata": {"note": canary}, "policies": [name]});
        ids.insert("entity", operator.post("identity/entity", entity).await.expect(200).text_at("/data/id"));
        let key = json!({"name": canary, "entity": ids["entity"]});
        ids.insert(
            "access key",
            operator.post("sys/access-keys", key).await.expect(200).text_at("/data/access_key_id"),
        );
        let alias = json!({
            "name": format!("{name}-user"), "canonical_id": ids["entity"], "mount_accessor": ids["mount accessor"],
            "custom_metadata": {"note": canary},
        });
        ids.insert("alias", operator.post("identity/entity-alias", alias).await.expect(200).text_at("/data/id"));
        let role = format!("auth/{name}app/role/{name}-role");
        ids.insert("role id", operator.get(&format!("{role}/role-id")).await.expect(200).text_at("/data/role_id"));
        let metadata = json!({"metadata": json!({"note": canary}).to_string()});
        let made = operator.post(&format!("{role}/secret-id"), metadata).await.expect(200);
        ids.insert("secret id", made.text_at("/data/secret_id"));
        ids.insert("secret id accessor", made.text_at("/data/secret_id_accessor"));
        let login = server
            .by("")
            .post(&format!("auth/{name}pass/login/{name}-user"), json!({"password": ids["password"]}))
            .await;
        let token = login.expect(200).text_at("/auth/client_token");
        ids.insert("token", token.clone());
        let own = server.by(&token);
        let child = own.post("auth/token/create", json!({"meta": {"note": canary}})).await.expect(200);
        ids.insert("child", child.text_at("/auth/client_token"));
        ids.insert("accessor", child.text_at("/auth/accessor"));
        own.post(&format!("{name}kv/data/app"), json!({"data": {"a": canary}})).await.expect(200);
        own.post(&format!("{name}one/app"), json!({"a": canary})).await.expect(204);
        own.post("cubbyhole/app", json!({"a": canary})).await.expect(204);
        let headers = [("X-Vault-Token", token.as_str()), ("X-Vault-Wrap-TTL", "1h")];
        let wrapped = server.send_raw("GET", &format!("/v1/{name}kv/data/app"), &headers, Vec::new()).await.expect(200);
        ids.insert("wrapping", wrapped.text_at("/wrap_info/token"));
        ids.insert("wrapping accessor", wrapped.text_at("/wrap_info/accessor"));
        ids.insert("lease", format!("auth/{name}pass/login/{name}-user/0123456789"));
        Self { name, token, ids }
    }
}

/// One table of routes where a tenant meets it.
pub(crate) struct Place {
    /// `system`, `kv2`, `approle` ...
    pub(crate) kind: String,
    /// The mount, with `NAME` for whose it is; the mounts that all share have no such part.
    pub(crate) mount: String,
    pub(crate) endpoints: Vec<&'static Endpoint>,
}

/// Every table: the shared ones once, and those of engines and methods as each tenant has them.
pub(crate) fn places(server: &TestServer, furnished: &str) -> Vec<Place> {
    let mut tables: BTreeMap<&'static str, Vec<&'static Endpoint>> = BTreeMap::new();
    for (kind, endpoint) in walk_routes() {
        tables.entry(kind).or_default().push(endpoint);
    }
    let mut places: Vec<Place> = tables
        .into_iter()
        .map(|(kind, endpoints)| Place { kind: kind.to_owned(), mount: mount_of(kind).to_owned(), endpoints })
        .collect();
    let rooms = server.world.rooms();
    let table = rooms.mounts.table();
    for kind in strongroom_testkit::World::auth_kinds() {
        let mount = match kind {
            "approle" => "app",
            "userpass" => "pass",
            other => panic!("tenants have no mount of `{other}`: give them one in `furnish`, and say its name here"),
        };
        let at = MountPath::auth(&format!("{furnished}{mount}")).unwrap();
        let endpoints = table.method(table.at(&at).unwrap().id).unwrap().endpoints().iter().collect();
        places.push(Place { kind: kind.to_owned(), mount: format!("auth/NAME{mount}/"), endpoints });
    }
    for kind in strongroom_testkit::World::engine_kinds() {
        let mount = match kind {
            "database" => "db",
            "rabbitmq" => "rabbit",
            other => panic!("tenants have no mount of `{other}`: give them one in `furnish`, and say its name here"),
        };
        let at = MountPath::parse(&format!("{furnished}{mount}")).unwrap();
        let endpoints = table.engine(table.at(&at).unwrap().id).unwrap().endpoints().iter().collect();
        places.push(Place { kind: kind.to_owned(), mount: format!("NAME{mount}/"), endpoints });
    }
    places
}

fn mount_of(kind: &str) -> &'static str {
    match kind {
        "system" => "sys/",
        "token" => "auth/token/",
        "identity" => "identity/",
        "cubbyhole" => "cubbyhole/",
        "kv2" => "NAMEkv/",
        "kv1" => "NAMEone/",
        "public" => "",
        other => panic!("tenants do not know where `{other}` is mounted: give them one, and say it here"),
    }
}

/// What a part of a pattern names, said of that tenant. A part that is not known fails the test: somebody must say what
/// it names before a stranger may be believed to be kept from it.
fn part(kind: &str, pattern: &str, part: &str, whose: &Tenant) -> String {
    let name = whose.name;
    let begins = |text: &str| pattern.starts_with(text);
    match (kind, part) {
        (_, literal) if !literal.starts_with('{') => literal.to_owned(),
        ("identity", "{id}") if begins("entity/id/") => whose.id("entity").to_owned(),
        ("identity", "{id}") if begins("entity-alias/id/") => whose.id("alias").to_owned(),
        ("identity", "{name}" | "{name..}") if begins("entity/name/") => format!("{name}-person"),
        ("token", "{name}") => format!("{name}-tokens"),
        ("system", "{id}") if begins("remount/status/") => whose.id("move").to_owned(),
        ("system", "{id}") if begins("access-keys/") => whose.id("access key").to_owned(),
        ("system", "{id}") if begins("leases/revoke-entity/") => whose.id("entity").to_owned(),
        ("system", "{path..}") if begins("auth/") => format!("{name}pass"),
        ("system", "{path..}") if ["leases/", "renew/", "revoke"].iter().any(|word| begins(word)) => {
            whose.id("lease").to_owned()
        }
        ("system", "{path..}") => format!("{name}kv"),
        ("system", "{name}" | "{name..}") if begins("policy/") || begins("policies/acl/") => format!("{name}-more"),
        ("system", "{type}") if begins("plugins/catalog/") => "database".to_owned(),
        ("system", "{name}") if begins("plugins/catalog/") => "postgresql-database-plugin".to_owned(),
        ("system", "{mount_accessor}") => whose.id("mount accessor").to_owned(),
        ("system", "{name}" | "{name..}") if begins("locked-users/") => format!("{name}-user"),
        ("system", "{name}" | "{name..}") => name.to_owned(),
        // Words of the server, nobody's.
        ("system", "{source}" | "{bytes}" | "{algorithm}" | "{header}" | "{subsystem}") => "32".to_owned(),
        ("kv1" | "kv2" | "cubbyhole", "{path..}") => "app".to_owned(),
        ("database" | "rabbitmq", "{name}") => format!("{name}-db"),
        // The name of a kind of database, the same for everybody.
        ("database", "{plugin}") => "postgresql-database-plugin".to_owned(),
        ("approle", "{name}") => format!("{name}-role"),
        ("userpass", "{name}") => format!("{name}-user"),
        _ => panic!("what does {part} of the {kind} route `{pattern}` name? Give tenants one, and say it here"),
    }
}

impl Place {
    /// The path of a line: the mount of `host`, and in it what belongs to `whose`.
    pub(crate) fn path(&self, endpoint: &Endpoint, host: &Tenant, whose: &Tenant) -> String {
        let below: Vec<String> =
            endpoint.pattern.split('/').map(|word| part(&self.kind, endpoint.pattern, word, whose)).collect();
        format!("{}{}", self.mount.replace("NAME", host.name), below.join("/"))
    }
}

/// The verb that asks for an operation.
pub(crate) fn verb(operation: Operation) -> &'static str {
    match operation {
        Operation::Read => "GET",
        Operation::List => "LIST",
        Operation::Write => "POST",
        Operation::Patch => "PATCH",
        Operation::Delete => "DELETE",
    }
}

/// Fields whose value names something, and what of a tenant they may name.
pub(crate) const NAMING: [(&str, &[&str]); 25] = [
    ("token", &["token", "child", "wrapping", "accessor"]),
    ("accessor", &["accessor", "wrapping accessor", "secret id accessor", "mount accessor"]),
    ("id", &["entity", "alias", "child"]),
    ("canonical_id", &["entity"]),
    ("entity_id", &["entity"]),
    ("entity_ids", &["entity"]),
    ("to_entity_id", &["entity"]),
    ("from_entity_ids", &["entity"]),
    ("conflicting_alias_ids_to_keep", &["alias"]),
    ("alias_id", &["alias"]),
    ("alias_name", &["NAME-user"]),
    ("entity_alias", &["NAME-user"]),
    ("mount_accessor", &["mount accessor", "approle accessor", "engine accessor"]),
    ("alias_mount_accessor", &["mount accessor", "engine accessor"]),
    ("name", &["NAME-person", "NAME-user", "NAME-more"]),
    ("username", &["NAME-user"]),
    ("role", &["NAME-role"]),
    ("role_name", &["NAME-role", "NAME-tokens"]),
    ("role_id", &["role id"]),
    ("secret_id", &["secret id"]),
    ("secret_id_accessor", &["secret id accessor"]),
    ("lease_id", &["lease"]),
    ("path", &["NAMEkv/data/app", "auth/NAMEpass"]),
    ("from", &["NAMEkv"]),
    ("to", &["NAMEkv"]),
];

/// Fields that look as if they named something of a tenant's, and why they do not.
pub(crate) const NAMING_NOTHING: [(&str, &str); 5] = [
    ("nonce", "of a ceremony of the whole server, for holders of unseal keys"),
    ("vendor_id", "a constant of the list of plug-ins"),
    ("display_name", "free text of a token being made"),
    ("bind_secret_id", "a switch"),
    ("local_secret_ids", "a switch"),
];

fn value(what: &str, whose: &Tenant) -> String {
    if what.contains("NAME") { what.replace("NAME", whose.name) } else { whose.id(what).to_owned() }
}

/// Bodies that name what belongs to somebody: each field by itself, those that belong together, and all at once.
pub(crate) fn bodies(own: &Tenant, whose: &Tenant) -> Vec<Value> {
    let mut bodies = vec![json!({})];
    let mut all = serde_json::Map::new();
    for (field, kinds) in NAMING {
        for what in kinds {
            bodies.push(json!({field: value(what, whose)}));
            all.insert(field.to_owned(), json!(value(what, whose)));
        }
    }
    bodies.push(Value::Object(all));
    let of = |what: &str| value(what, whose);
    bodies.extend([
        json!({"role_id": of("role id"), "secret_id": of("secret id")}),
        json!({"role_id": own.id("role id"), "secret_id": of("secret id")}),
        json!({"role_id": of("role id"), "secret_id": own.id("secret id")}),
        json!({"alias_name": of("NAME-user"), "alias_mount_accessor": of("mount accessor")}),
        json!({"alias_name": of("NAME-user"), "alias_mount_accessor": own.id("mount accessor")}),
        json!({"name": of("NAME-user"), "mount_accessor": of("mount accessor"), "canonical_id": own.id("entity")}),
        json!({"name": own.name, "mount_accessor": own.id("mount accessor"), "canonical_id": of("entity")}),
        json!({"password": own.id("password"), "token_policies": own.name, "policies": own.name}),
        json!({"entity_alias": of("NAME-user"), "policies": own.name}),
        json!({"from_entity_ids": of("entity"), "to_entity_id": own.id("entity")}),
        json!({"from_entity_ids": own.id("entity"), "to_entity_id": of("entity")}),
        json!({"paths": [of("NAMEkv/data/app")], "accessor": of("accessor")}),
        json!({"paths": [of("NAMEkv/data/app")], "token": of("child")}),
        json!({"data": {"a": "stolen"}, "versions": [1], "custom_metadata": {"a": "stolen"}}),
    ]);
    bodies
}

/// An answer without what differs between any two: what is new in it, and what the question named.
pub(crate) fn shape(answer: &Answer, about: &Tenant) -> (u16, String) {
    let mut body = answer.body.clone();
    blank(&mut body);
    let mut text = if body.is_null() { answer.text.clone() } else { body.to_string() };
    for (what, id) in &about.ids {
        text = text.replace(id.as_str(), &format!("<{what}>"));
    }
    text = text.replace(about.name, "<name>");
    // Read once more: keys that the question named have moved with their new names.
    let sorted = serde_json::from_str::<Value>(&text).map(|value| value.to_string());
    (answer.status.as_u16(), sorted.unwrap_or(text))
}

/// Takes out what is made anew for each answer.
fn blank(value: &mut Value) {
    match value {
        Value::Object(map) => {
            for (key, value) in map.iter_mut() {
                let fresh = ["request_id", "client_token", "accessor", "secret_id", "secret_id_accessor", "token"];
                match value {
                    Value::String(text) if fresh.contains(&key.as_str()) && !text.is_empty() => *text = "<new>".into(),
                    Value::Number(_) if key.contains("version") => *value = json!("<number>"),
                    other => blank(other),
                }
            }
        }
        Value::Array(list) => list.iter_mut().for_each(blank),
        _ => {}
    }
}
