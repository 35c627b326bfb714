//! Goes through the trees of secrets by listing folders, as far as the caller may list. A folder that the server refuses
//! is remembered and not an error; any other failure ends the walk, since what it would give is not the whole. Reads no
//! value.

use super::error::CliError;
use super::flags::Settings;
use super::format::go_text;
use super::path::{join, trimmed};
use super::pool::Pool;
use super::request::Request;
use super::secret::Secret;
use serde_json::Value;

/// An engine with secrets in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Engine {
    /// Without slashes at its ends.
    pub(crate) path: String,
    /// Whether it keeps versions.
    pub(crate) versioned: bool,
}

impl Engine {
    /// The engines among the mounts that the caller has to do with (`sys/internal/ui/mounts`).
    pub(crate) fn of_mounts(mounts: &Secret) -> Vec<Self> {
        let mounts = mounts.object("secret").into_iter().flatten();
        let engine = |(path, entry): (&String, &Value)| {
            let kind = entry.get("type").and_then(Value::as_str)?;
            let version = entry.get("options").and_then(|options| options.get("version")).map(go_text);
            let versioned = version.as_deref() == Some("2");
            matches!(kind, "kv" | "generic").then(|| Self { path: trimmed(path).to_owned(), versioned })
        };
        let mut engines: Vec<Self> = mounts.filter_map(engine).collect();
        engines.sort_by(|a, b| a.path.cmp(&b.path));
        engines
    }

    /// Whether the answer about one mount (`sys/internal/ui/mounts/PATH`) is about an engine that keeps versions.
    pub(crate) fn is_versioned(mount: &Secret) -> bool {
        let version = mount.object("options").and_then(|options| options.get("version"));
        version.is_some_and(|version| version.as_str() == Some("2") || version.as_u64() == Some(2))
    }

    /// What asks for the mounts.
    pub(crate) fn request() -> Request {
        Request::get("sys/internal/ui/mounts").preliminary()
    }

    /// A path below it in the API's spelling.
    pub(crate) fn api(&self, branch: &str, name: &str) -> String {
        join(&[&self.path, if self.versioned { branch } else { "" }, name])
    }

    /// What lists a folder of it; an empty one is the engine itself.
    pub(crate) fn list(&self, folder: &str) -> Request {
        Request::list(self.api("metadata", folder)).preliminary()
    }
}

/// A secret found, or a folder to look into.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Spot {
    /// Its engine.
    pub(crate) engine: Engine,
    /// Below the engine.
    pub(crate) name: String,
}

impl Spot {
    /// As people write it.
    pub(crate) fn path(&self) -> String {
        join(&[&self.engine.path, &self.name])
    }
}

/// What a walk found.
#[derive(Default)]
pub(crate) struct Walked {
    /// The secrets.
    pub(crate) secrets: Vec<Spot>,
    /// Folders that the server did not list for the caller, as people write them.
    pub(crate) refused: Vec<String>,
}

/// Walks from these folders down; `enters` says of a folder, as people write it, whether to look into it.
pub(crate) fn walk(
    pool: &mut Pool,
    settings: &Settings,
    starts: Vec<Spot>,
    enters: impl Fn(&str) -> bool,
) -> Result<Walked, CliError> {
    let mut walked = Walked::default();
    let mut folders = starts;
    while !folders.is_empty() {
        let requests: Vec<Request> = folders.iter().map(|folder| folder.engine.list(&folder.name)).collect();
        let mut deeper = Vec::new();
        for (folder, looked) in folders.iter().zip(pool.look_all(settings, &requests)?) {
            let listed = match looked {
                Err(error) if error.status() == Some(403) => {
                    walked.refused.push(format!("{}/", folder.path()));
                    continue;
                }
                looked => looked?,
            };
            for key in listed.as_ref().and_then(Secret::keys).unwrap_or_default().iter().filter_map(Value::as_str) {
                let spot = Spot { engine: folder.engine.clone(), name: join(&[&folder.name, trimmed_end(key)]) };
                match key.ends_with('/') {
                    true if enters(&spot.path()) => deeper.push(spot),
                    true => {}
                    false => walked.secrets.push(spot),
                }
            }
        }
        folders = deeper;
    }
    walked.secrets.sort_by_cached_key(Spot::path);
    walked.refused.sort();
    Ok(walked)
}

/// Everything at and below a path; an empty one is everything.
pub(crate) fn walk_below(
    pool: &mut Pool,
    settings: &Settings,
    engines: &[Engine],
    path: &str,
) -> Result<Walked, CliError> {
    let is_above = |engine: &&Engine| path == engine.path || is_below(path, &engine.path);
    let starts: Vec<Spot> = match engines.iter().filter(is_above).max_by_key(|engine| engine.path.len()) {
        Some(engine) => vec![Spot { engine: engine.clone(), name: inside(path, engine) }],
        None => engines
            .iter()
            .filter(|engine| path.is_empty() || is_below(&engine.path, path))
            .map(|engine| Spot { engine: engine.clone(), name: String::new() })
            .collect(),
    };
    let itself = match starts.as_slice() {
        [one] if !one.name.is_empty() => is_secret(pool, one)?,
        _ => false,
    };
    let itself = if itself { starts.first().cloned() } else { None };
    let mut walked = walk(pool, settings, starts, |_| true)?;
    walked.secrets.splice(0..0, itself);
    Ok(walked)
}

/// Whether the folder around it lists it. One that may not be listed says nothing: what is below is told all the same.
fn is_secret(pool: &Pool, spot: &Spot) -> Result<bool, CliError> {
    let (folder, name) = spot.name.rsplit_once('/').unwrap_or(("", &spot.name));
    match pool.look(&spot.engine.list(folder)) {
        Err(error) if error.status() == Some(403) => Ok(false),
        looked => {
            let listed = looked?;
            let keys = listed.as_ref().and_then(Secret::keys).unwrap_or_default();
            Ok(keys.iter().any(|key| key.as_str() == Some(name)))
        }
    }
}

fn is_below(path: &str, folder: &str) -> bool {
    path.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/'))
}

/// What of a path is below the engine.
pub(crate) fn inside(path: &str, engine: &Engine) -> String {
    path.strip_prefix(&engine.path).and_then(|rest| rest.strip_prefix('/')).unwrap_or_default().to_owned()
}

fn trimmed_end(key: &str) -> &str {
    key.trim_end_matches('/')
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn engines_with_secrets_are_told_from_other_mounts() {
        let answer = json!({"data": {"secret": {"secret/": {"type": "kv", "options": {"version": "2"}},
            "old/": {"type": "kv", "options": null}, "team/kv/": {"type": "generic"}, "sys/": {"type": "system"},
            "cubbyhole/": {"type": "cubbyhole"}}, "auth": {"token/": {"type": "token"}}}});
        let engines = Engine::of_mounts(&Secret::from_value(answer).unwrap());
        let shown: Vec<(&str, bool)> = engines.iter().map(|engine| (engine.path.as_str(), engine.versioned)).collect();
        assert_eq!(shown, [("old", false), ("secret", true), ("team/kv", false)]);
        assert_eq!(Engine { path: "secret".into(), versioned: true }.list("a/b").path, "secret/metadata/a/b");
        assert_eq!(Engine { path: "old".into(), versioned: false }.list("").path, "old");
    }
}
