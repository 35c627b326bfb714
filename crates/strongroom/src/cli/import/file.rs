//! Turns a file into secrets: the whole of it one secret, or with `-split` one for each key at its top.

use super::{Brought, Item, Trouble, document, dotenv, is_name};
use crate::cli::error::CliError;
use crate::cli::session::Session;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::path::Path;

/// Reads the file, or standard input for `-`.
pub(super) fn read(session: &mut Session, source: &str) -> Result<Brought, CliError> {
    if session.parsed.is_on("versions") {
        return Err(CliError::usage("a file has no versions; -versions is for a running Vault"));
    }
    let kind = kind(source, session.parsed.text("type"))?;
    let bytes = if source == "-" { session.input.all()? } else { session.input.file(Path::new(source))? };
    let text = std::str::from_utf8(&bytes).map_err(|error| {
        let line = bytes.iter().take(error.valid_up_to()).filter(|byte| **byte == b'\n').count() + 1;
        CliError::usage(format!("{source} is not UTF-8 text (line {line}); encode such a value, as with base64"))
    })?;
    let wrong = |why: String| CliError::usage(format!("{source} cannot be read: {why}"));
    let mut brought = Brought::default();
    let fields = match kind {
        Kind::Env => env(text, &mut brought),
        Kind::Json => object(document::json(text).map_err(wrong)?, source)?,
        Kind::Yaml => object(document::yaml(text).map_err(wrong)?, source)?,
    };
    if fields.is_empty() && brought.troubles.is_empty() {
        return Err(CliError::usage(format!("{source} holds nothing to bring")));
    }
    match session.parsed.is_on("split") {
        true => split(fields, &mut brought),
        false if fields.is_empty() => {}
        false => brought.items.push(Item { name: String::new(), versions: vec![fields], metadata: None }),
    }
    Ok(brought)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Env,
    Json,
    Yaml,
}

fn kind(source: &str, given: Option<&str>) -> Result<Kind, CliError> {
    let name = Path::new(source).file_name().and_then(|name| name.to_str()).unwrap_or_default().to_lowercase();
    let ending = name.rsplit_once('.').map_or("", |(_, ending)| ending);
    match (given, ending) {
        (Some("env" | "dotenv"), _) => Ok(Kind::Env),
        (Some("json"), _) | (None, "json") => Ok(Kind::Json),
        (Some("yaml" | "yml"), _) | (None, "yaml" | "yml") => Ok(Kind::Yaml),
        (Some(other), _) => Err(CliError::usage(format!("there is no -type={other}; it is env, json or yaml"))),
        (None, "env") => Ok(Kind::Env),
        // `.env.local`, `.envrc` of the simple kind.
        _ if name.starts_with(".env") => Ok(Kind::Env),
        _ => Err(CliError::usage(format!("{source} may be anything; say -type=env, json or yaml"))),
    }
}

fn object(value: Value, source: &str) -> Result<Map<String, Value>, CliError> {
    match value {
        Value::Object(fields) => Ok(fields),
        _ => Err(CliError::usage(format!("{source} has no keys at its top, so there are no names for its values"))),
    }
}

/// The fields of an env file. Of a name that is given twice the last one counts, as for programs that load such files,
/// and the others are told.
fn env(text: &str, brought: &mut Brought) -> Map<String, Value> {
    let mut kept: BTreeMap<String, (usize, String)> = BTreeMap::new();
    let mut dollars = Vec::new();
    for entry in dotenv::read(text) {
        let place = match entry.key.as_str() {
            "" => format!("line {}", entry.line),
            key => format!("{key} (line {})", entry.line),
        };
        let value = match entry.value {
            Ok(value) => value,
            Err(why) => {
                brought.troubles.push(Trouble::new(place, why));
                continue;
            }
        };
        if entry.has_dollar {
            dollars.push(place);
        }
        if let Some((line, _)) = kept.insert(entry.key.clone(), (entry.line, value)) {
            let why = format!("is given again on line {}, which counts", entry.line);
            brought.troubles.push(Trouble::new(format!("{} (line {line})", entry.key), why));
        }
    }
    if !dollars.is_empty() {
        let list = dollars.join(", ");
        brought.notes.push(format!("`$` is kept as it is written, and nothing is filled in: {list}"));
    }
    kept.into_iter().map(|(key, (_, value))| (key, value.into())).collect()
}

fn split(fields: Map<String, Value>, brought: &mut Brought) {
    for (name, value) in fields {
        match value {
            _ if !is_name(&name) => {
                brought
                    .troubles
                    .push(Trouble::new(name, "cannot be the name of a secret: an empty part, a dot, or worse"));
            }
            Value::Object(fields) => {
                brought.items.push(Item { name, versions: vec![fields], metadata: None });
            }
            _ => brought
                .troubles
                .push(Trouble::new(name, "has no fields, so it is no secret; without -split it is a field")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_file_tells_its_type() {
        for (source, given, expected) in [
            (".env", None, Some(Kind::Env)),
            ("/a/.env.local", None, Some(Kind::Env)),
            ("prod.ENV", None, Some(Kind::Env)),
            ("a.yml", None, Some(Kind::Yaml)),
            ("a.json", Some("yaml"), Some(Kind::Yaml)),
            ("-", Some("json"), Some(Kind::Json)),
            ("-", None, None),
            ("notes.txt", None, None),
            ("a.json", Some("xml"), None),
        ] {
            assert_eq!(kind(source, given).ok(), expected, "{source} {given:?}");
        }
    }

    #[test]
    fn of_a_name_given_twice_the_last_counts_and_the_first_is_told() {
        let mut brought = Brought::default();
        let fields = env("A=1\nB=$x\nA=2\n", &mut brought);
        assert_eq!(Value::Object(fields), serde_json::json!({"A": "2", "B": "$x"}));
        assert_eq!(brought.troubles.len(), 1);
        assert_eq!(brought.troubles[0].what, "A (line 1)");
        assert!(brought.notes[0].ends_with("B (line 2)"));
    }
}
