//! Secrets as KV version 1 spells them: the body is the secret, and there is no more to it. The store is the one of
//! version 2, with one version kept and a deletion that shreds.

use super::kv2::{kv, list, object, of_folder, secret};
use super::route::{Answer, Context, Route};
use serde_json::{Map, Value};
use strongroom_core::Operation::{self, Delete, List, Patch, Read, Write};
use strongroom_core::secret::{SecretValue, Seen, WriteOptions};
use strongroom_core::{Access, Captures, CoreError, Endpoint, Fields, Object, Reply, SecretAct};
use strongroom_model::{Ttl, VersionSelector};

pub(crate) const ROUTES: &[Route] = &[
    kv!("", [List], of_folder, list, "Lists the names at the top of the mount."),
    kv!("{path..}", [Read, Write, Delete, List], of_path, one, "Reads, writes or deletes a secret, or lists a folder."),
];

fn of_path(captures: &Captures, operation: Operation) -> Result<Object, CoreError> {
    let act = match operation {
        Read => SecretAct::Read,
        Write => SecretAct::Write,
        Delete => SecretAct::DeleteAll,
        List => return of_folder(captures, operation),
        Patch => return Err(CoreError::Unsupported),
    };
    secret(captures, act)
}

async fn one(context: Context<'_>) -> Result<Reply, CoreError> {
    let secrets = &context.open.secrets;
    match context.operation {
        List => list(context).await,
        Delete => secrets.delete_all(context.grant).await.map(|()| Reply::empty()),
        Write | Patch => {
            if context.fields.map().is_empty() {
                return Err(CoreError::Invalid("missing data fields".to_owned()));
            }
            let value = SecretValue::Object(context.fields.duplicate());
            let info = secrets.write(context.grant, &value, WriteOptions::default()).await?;
            Ok(Reply { version: Some(info.number.get()), ..Reply::empty() })
        }
        Read => match secrets.read(context.grant, &VersionSelector::Current).await? {
            Seen::Gone(_) => Err(CoreError::Nothing),
            Seen::Here(version) => {
                let object = object(version.value);
                let mount = context.grant.mount()?;
                let lease_duration = lease(&object, mount.config.default_lease_ttl, context.vault.system_ttls().0);
                Ok(Reply {
                    data: Some(Fields::new(object)),
                    version: Some(version.info.number.get()),
                    lease_duration,
                    ..Reply::empty()
                })
            }
        },
    }
}

/// Seconds after which a reader should look again: what the secret says under `ttl` or `lease`, else the mount, else the
/// system.
fn lease(object: &Map<String, Value>, mount: u64, system: u64) -> u32 {
    let own = object.get("ttl").or_else(|| object.get("lease")).and_then(|value| Ttl::from_json(value).ok());
    let inherited = if mount == 0 { system } else { mount };
    u32::try_from(own.map_or(inherited, Ttl::secs)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_secret_may_say_when_to_look_again() {
        let lease_of = |value: Value, mount| lease(value.as_object().unwrap(), mount, 2_764_800);
        assert_eq!(lease_of(json!({"a": 1}), 0), 2_764_800);
        assert_eq!(lease_of(json!({"a": 1}), 60), 60);
        assert_eq!(lease_of(json!({"ttl": "1h"}), 60), 3_600);
        assert_eq!(lease_of(json!({"lease": 5}), 60), 5);
        assert_eq!(lease_of(json!({"ttl": "soon"}), 60), 60);
    }
}
