//! The description of the native API in OpenAPI 3.0.3, made of the table that routes requests, so that it cannot disagree
//! with it.

use super::route::{ROUTES, Route};
use serde_json::{Map, Value, json};
use strongroom_core::{Access, Operation};

/// The whole document.
pub(super) fn document() -> Value {
    let mut paths = Map::new();
    for line in ROUTES.iter().copied().flatten() {
        let path = format!("/api/v1/{}", line.endpoint.pattern.replace("..}", "}"));
        paths.insert(path, item(line));
    }
    json!({
        "openapi": "3.0.3",
        "info": {
            "title": "Strongroom native API", "version": "1",
            "description": "What Strongroom offers beyond the APIs of others. Errors have one form; unknown parameters are refused.",
            "license": { "name": "Apache-2.0", "url": "https://www.apache.org/licenses/LICENSE-2.0" },
        },
        "paths": paths,
        "components": {
            "securitySchemes": { "token": { "type": "http", "scheme": "bearer" } },
            "schemas": { "Error": error_schema(), "Answer": answer_schema() },
        },
    })
}

fn item(line: &Route) -> Value {
    let mut item = Map::new();
    for (operation, method) in [
        (Operation::Read, "get"),
        (Operation::Write, "post"),
        (Operation::Patch, "patch"),
        (Operation::Delete, "delete"),
    ] {
        if line.endpoint.operations.contains(&operation) {
            item.insert(method.to_owned(), described(line, operation, method));
        }
    }
    Value::Object(item)
}

fn described(line: &Route, operation: Operation, method: &str) -> Value {
    let words = line.endpoint.pattern.replace("..}", "}");
    let words: Vec<&str> = words.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty()).collect();
    let mut parameters: Vec<Value> = parts(line.endpoint.pattern)
        .map(|name| json!({ "name": name, "in": "path", "required": true, "schema": { "type": "string" } }))
        .collect();
    let own = || line.parameters.iter().filter(|parameter| parameter.is_for(operation));
    let has_body = matches!(operation, Operation::Write | Operation::Patch);
    if !has_body {
        parameters.extend(
            own().map(
                |p| json!({ "name": p.name, "in": "query", "description": p.about, "schema": { "type": p.kind } }),
            ),
        );
    }
    let answer = json!({ "$ref": "#/components/schemas/Answer" });
    let error = json!({ "$ref": "#/components/schemas/Error" });
    let mut described = json!({
        "operationId": format!("{method}-{}", words.join("-")),
        "summary": line.endpoint.help,
        "x-strongroom-policy-path": line.policy,
        "x-strongroom-sudo": line.endpoint.access == Access::Sudo,
        "parameters": parameters,
        "responses": {
            "200": { "description": line.answer, "content": { "application/json": { "schema": answer } } },
            "default": { "description": "refused or failed", "content": { "application/json": { "schema": error } } },
        },
        "security": [{ "token": [] }],
    });
    if let (true, Some(map)) = (has_body, described.as_object_mut()) {
        let fields: Map<String, Value> =
            own().map(|p| (p.name.to_owned(), json!({ "type": p.kind, "description": p.about }))).collect();
        let schema = json!({ "type": "object", "properties": fields, "additionalProperties": false });
        map.insert("requestBody".to_owned(), json!({ "content": { "application/json": { "schema": schema } } }));
    }
    described
}

/// The names of the parts of a path that a caller fills in.
fn parts(pattern: &str) -> impl Iterator<Item = &str> {
    let inner = |part| str::strip_prefix(part, '{')?.strip_suffix('}');
    pattern.split('/').filter_map(inner).map(|name| name.trim_end_matches(".."))
}

fn error_schema() -> Value {
    json!({
        "type": "object", "required": ["error", "request"],
        "properties": {
            "error": {
                "type": "object", "required": ["kind", "message", "next"],
                "properties": {
                    "kind": { "type": "string", "description": "A stable word for programs." },
                    "message": { "type": "string", "description": "What failed, for people." },
                    "next": { "type": "string", "description": "What to do next." },
                },
            },
            "request": { "type": "string", "description": "The request's id, as in the trail." },
        },
    })
}

fn answer_schema() -> Value {
    json!({
        "type": "object",
        "properties": {
            "request": { "type": "string", "description": "The request's id, as in the trail." },
            "data": { "type": "object" },
            "warnings": { "type": "array", "items": { "type": "string" } },
        },
    })
}
