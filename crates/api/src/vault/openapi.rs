//! The description of this server in OpenAPI 3.0.2, made of the same tables that route requests, so that it cannot
//! disagree with them. Bodies are described as objects: which fields they have is not in the tables.

use serde_json::{Map, Value, json};
use strongroom_core::mount::Mount;
use strongroom_core::{Access, Endpoint, Operation};

/// Collects endpoints.
pub(super) struct Document {
    version: String,
    paths: Map<String, Value>,
}

impl Document {
    /// An empty one for a server of this version.
    pub(super) fn new(version: &str) -> Self {
        Self { version: version.to_owned(), paths: Map::new() }
    }

    /// Adds an endpoint of a mount. `generic` replaces the place of the mount by a parameter.
    pub(super) fn add(&mut self, mount: &Mount, endpoint: &Endpoint, generic: bool) {
        let singleton = mount.is_builtin();
        let name =
            format!("{}_mount_path", mount.path.as_str().rsplit('/').next().unwrap_or_default().replace('-', "_"));
        let prefix = match (generic && !singleton, mount.path.as_str().strip_prefix("auth/")) {
            (true, Some(_)) => format!("auth/{{{name}}}"),
            (true, None) => format!("{{{name}}}"),
            (false, _) => mount.path.to_string(),
        };
        let mut parameters = Vec::new();
        if generic && !singleton {
            let place = mount.path.as_str().trim_start_matches("auth/");
            parameters.push(json!({
                "name": name, "in": "path", "required": true, "description": "Path that the backend was mounted at",
                "schema": { "type": "string", "default": place },
            }));
        }
        self.put(&format!("{prefix}/{}", endpoint.pattern), parameters, tag(mount), mount.path.as_str(), endpoint);
    }

    /// Adds an endpoint that belongs to no mount.
    pub(super) fn add_public(&mut self, endpoint: &Endpoint) {
        self.put(endpoint.pattern, Vec::new(), "system", "", endpoint);
    }

    fn put(&mut self, path: &str, mut parameters: Vec<Value>, tag: &str, mount: &str, endpoint: &Endpoint) {
        for name in parts_of(endpoint.pattern) {
            parameters.push(json!({ "name": name, "in": "path", "required": true, "schema": { "type": "string" } }));
        }
        let has = |operation| endpoint.operations.contains(&operation);
        let mut item = json!({ "description": endpoint.help });
        let Some(map) = item.as_object_mut() else { return };
        if !parameters.is_empty() {
            map.insert("parameters".to_owned(), json!(parameters));
        }
        match endpoint.access {
            Access::Sudo => drop(map.insert("x-vault-sudo".to_owned(), json!(true))),
            Access::Token => {}
            _ => drop(map.insert("x-vault-unauthenticated".to_owned(), json!(true))),
        }
        let id = |verb: &str| operation_id(mount, verb, endpoint.pattern);
        let operation = |verb: &str| {
            json!({
                "operationId": id(verb), "summary": endpoint.help, "tags": [tag],
                "responses": { "200": { "description": "OK" }, "204": { "description": "empty body" } },
            })
        };
        if has(Operation::Read) || has(Operation::List) {
            let mut get = operation(if has(Operation::Read) { "read" } else { "list" });
            if let (true, Some(get)) = (has(Operation::List), get.as_object_mut()) {
                let required = !has(Operation::Read);
                let list = json!({
                    "name": "list", "in": "query", "required": required, "description": "Must be set to `true` to list",
                    "schema": { "type": "string", "enum": ["true"] },
                });
                get.insert("parameters".to_owned(), json!([list]));
            }
            map.insert("get".to_owned(), get);
        }
        let body = json!({ "content": { "application/json": { "schema": { "type": "object" } } } });
        let merge = json!({ "content": { "application/merge-patch+json": { "schema": { "type": "object" } } } });
        for (wanted, method, verb, body) in
            [(Operation::Write, "post", "write", body), (Operation::Patch, "patch", "patch", merge)]
        {
            if has(wanted) {
                let mut change = operation(verb);
                change.as_object_mut().map(|change| change.insert("requestBody".to_owned(), body));
                map.insert(method.to_owned(), change);
            }
        }
        if has(Operation::Delete) {
            map.insert("delete".to_owned(), operation("delete"));
        }
        self.paths.insert(format!("/{}", path.replace("..}", "}").trim_end_matches('/')), item);
    }

    /// The document.
    pub(super) fn finish(self) -> Value {
        json!({
            "openapi": "3.0.2",
            "info": {
                "title": "Strongroom API", "version": self.version,
                "description": "HTTP API that gives you full access to Strongroom in the dialect of Vault. All API routes are prefixed with `/v1/`.",
                "license": { "name": "Apache-2.0", "url": "https://www.apache.org/licenses/LICENSE-2.0" },
            },
            "paths": self.paths,
            "components": { "schemas": {} },
        })
    }
}

/// The names of the parts of a path that a caller fills in.
fn parts_of(pattern: &str) -> impl Iterator<Item = &str> {
    pattern
        .split('/')
        .filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
        .map(|name| name.trim_end_matches(".."))
}

fn tag(mount: &Mount) -> &'static str {
    match (mount.kind.as_str(), mount.path.as_str().starts_with("auth/")) {
        ("system", _) => "system",
        ("identity", _) => "identity",
        (_, true) => "auth",
        (_, false) => "secrets",
    }
}

/// A name that no other operation has: mount, verb and path, with hyphens.
fn operation_id(mount: &str, verb: &str, pattern: &str) -> String {
    let words = |text: &str| {
        let plain = text.replace("..}", "}");
        let words = plain.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
        words.map(str::to_owned).collect::<Vec<_>>().join("-")
    };
    let parts = [words(mount), verb.to_owned(), words(pattern)];
    parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("-")
}
