//! The catalog of plug-ins, as Vault's clients look at it. All of them are part of the program: none can be added,
//! replaced or removed.

use crate::vault::route::Context;
use serde_json::{Value, json};
use strongroom_core::{CoreError, Operation, Reply};

/// Vault's types, and what there is of each.
fn catalog(context: &Context<'_>) -> [(&'static str, Vec<&'static str>); 3] {
    let kinds = context.open.mounts.kinds();
    [("auth", kinds.auth), ("database", kinds.systems), ("secret", kinds.secret)]
}

/// `sys/plugins/catalog`.
pub(super) async fn all(context: Context<'_>) -> Result<Reply, CoreError> {
    let catalog = catalog(&context);
    let each = catalog.iter().flat_map(|(class, names)| names.iter().map(|name| summary(class, name)));
    let detailed: Vec<Value> = each.collect();
    let [auth, database, secret] = catalog.map(|(_, names)| names);
    Ok(Reply::data(json!({ "auth": auth, "database": database, "secret": secret, "detailed": detailed })))
}

/// `sys/plugins/catalog/TYPE`.
pub(super) async fn of_type(context: Context<'_>) -> Result<Reply, CoreError> {
    Reply::keys(names(&context)?.into_iter().map(str::to_owned).collect())
}

/// `sys/plugins/catalog/TYPE/NAME`.
pub(super) async fn one(context: Context<'_>) -> Result<Reply, CoreError> {
    let (class, name) = (context.captures.get("type"), context.captures.get("name"));
    if context.operation != Operation::Read {
        return Err(CoreError::Invalid(
            "plug-ins are part of this program: none can be added, replaced or removed".to_owned(),
        ));
    }
    if !names(&context)?.contains(&name) {
        return Err(CoreError::Nothing);
    }
    let mut shown = summary(class, name);
    if let Some(shown) = shown.as_object_mut() {
        shown.remove("type");
        shown.extend([
            ("args".to_owned(), json!([])),
            ("command".to_owned(), json!("")),
            ("sha256".to_owned(), json!("")),
        ]);
    }
    Ok(Reply::data(shown))
}

fn names(context: &Context<'_>) -> Result<Vec<&'static str>, CoreError> {
    let wanted = context.captures.get("type");
    let found = catalog(context).into_iter().find(|(class, _)| *class == wanted);
    found.map(|(_, names)| names).ok_or_else(|| {
        CoreError::Invalid(format!("\"{wanted}\" is no type of plug-in: there are auth, database and secret"))
    })
}

fn summary(class: &str, name: &str) -> Value {
    json!({
        "name": name, "type": class, "builtin": true, "deprecation_status": "supported",
        "version": concat!("v", env!("CARGO_PKG_VERSION"), "+builtin"),
    })
}
