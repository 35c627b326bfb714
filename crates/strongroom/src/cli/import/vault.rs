//! Reads secrets out of a running Vault, or another Strongroom: KV of both versions, the newest version or all that are
//! still there. The user's own token is never sent there, since it belongs to the other server.

use super::{Brought, Item, Trouble};
use crate::cli::error::{CliError, Doing};
use crate::cli::flags::{Settings, TlsSettings};
use crate::cli::history::{Version, versions};
use crate::cli::path::trimmed;
use crate::cli::pool::{Looked, Pool};
use crate::cli::request::Request;
use crate::cli::secret::Secret;
use crate::cli::session::Session;
use crate::cli::walk::{Engine, Spot, walk_below};
use serde_json::{Map, Value};
use std::path::{Path, PathBuf};
use strongroom_model::SecretString;

/// A path on a server.
pub(super) struct Source {
    address: String,
    path: String,
}

impl Source {
    /// Whether the argument names a server; a file otherwise.
    pub(super) fn named(session: &Session, arg: &str) -> Result<Option<Self>, CliError> {
        let source = match session.parsed.text("from-vault") {
            Some(address) => Self { address: address.to_owned(), path: trimmed(arg).to_owned() },
            None => match arg.split_once("://") {
                Some((scheme @ ("http" | "https"), rest)) => {
                    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
                    let path = trimmed(path).strip_prefix("v1/").unwrap_or(trimmed(path));
                    Self { address: format!("{scheme}://{host}"), path: path.to_owned() }
                }
                _ => return Ok(None),
            },
        };
        if source.path.is_empty() {
            return Err(CliError::usage(
                "say which engine or path of the Vault: https://old.example:8200/secret/app, or -from-vault=URL PATH",
            ));
        }
        Ok(Some(source))
    }

    fn connect(&self, session: &mut Session) -> Result<(Pool, Settings), CliError> {
        let own = &session.settings.tls;
        let ca_cert = session.parsed.text("from-ca-cert").map(PathBuf::from);
        let tls = TlsSettings {
            ca_path: if ca_cert.is_some() { None } else { own.ca_path.clone() },
            ca_cert: ca_cert.or_else(|| own.ca_cert.clone()),
            ..TlsSettings::default()
        };
        let namespace = trimmed(session.parsed.text("from-namespace").unwrap_or_default()).to_owned();
        let settings = session.settings.towards(&self.address, namespace, tls);
        let pool = Pool::new(&settings, Some(token(session)?))?;
        Ok((pool, settings))
    }
}

fn token(session: &mut Session) -> Result<SecretString, CliError> {
    let instead = "set VAULT_SOURCE_TOKEN, or name a file with -from-token-file";
    let text = match session.parsed.text("from-token-file").map(str::to_owned) {
        Some(file) => {
            let bytes = if file == "-" { session.input.all()? } else { session.input.file(Path::new(&file))? };
            let text = std::str::from_utf8(&bytes).map_err(|_| CliError::usage(format!("{file} holds no token")))?;
            SecretString::new(text.trim().to_owned())
        }
        None => match session.env.setting("SOURCE_TOKEN") {
            Some(token) => SecretString::new(token.trim().to_owned()),
            None => SecretString::new(session.input.ask("Token of the Vault to read from", instead)?.trim().to_owned()),
        },
    };
    if text.is_empty() { Err(CliError::usage(format!("there is no token in it; {instead}"))) } else { Ok(text) }
}

/// Reads everything at and below the path.
pub(super) fn read(session: &mut Session, source: &Source) -> Result<Brought, CliError> {
    let all_versions = session.parsed.is_on("versions");
    let (mut pool, settings) = source.connect(session)?;
    let engine = engine(&pool, &source.path)?;
    let walked = walk_below(&mut pool, &settings, std::slice::from_ref(&engine), &source.path)
        .doing(|| format!("Error listing {}", source.path))?;
    let mut brought = Brought::default();
    for folder in walked.refused {
        brought.troubles.push(Trouble::new(folder, "may not be listed with that token, so what is in it is not known"));
    }
    if walked.secrets.is_empty() && brought.troubles.is_empty() {
        return Err(CliError::NoValue { path: source.path.clone(), note: "There is nothing to bring.".to_owned() });
    }
    let mut reader = Reader { pool: &mut pool, settings: &settings, from: &source.path, brought: &mut brought };
    match (engine.versioned, all_versions) {
        (false, _) => reader.plain(walked.secrets)?,
        (true, false) => reader.newest(walked.secrets)?,
        (true, true) => reader.every_version(walked.secrets)?,
    }
    Ok(brought)
}

/// The engine a path lies in. A server that cannot tell is an old one with plain secrets, mounted at one segment.
fn engine(pool: &Pool, path: &str) -> Result<Engine, CliError> {
    let found = match pool.look(&Request::get(format!("sys/internal/ui/mounts/{path}"))) {
        Err(error) if error.means_unknown_address() => None,
        found => found.doing(|| format!("Error finding the engine of {path}"))?,
    };
    let mount = found.as_ref().and_then(|found| found.get("path")).and_then(Value::as_str).map(trimmed);
    let versioned = found.as_ref().is_some_and(Engine::is_versioned);
    let first = path.split('/').next().unwrap_or_default();
    Ok(Engine { path: mount.unwrap_or(first).to_owned(), versioned })
}

struct Reader<'a> {
    pool: &'a mut Pool,
    settings: &'a Settings,
    from: &'a str,
    brought: &'a mut Brought,
}

impl Reader<'_> {
    fn look_all(&mut self, requests: &[Request]) -> Result<Vec<Looked>, CliError> {
        self.pool.look_all(self.settings, requests)
    }

    /// What it will be called below `-to`.
    fn name(&self, spot: &Spot) -> String {
        let path = spot.path();
        path.strip_prefix(self.from).unwrap_or(&path).trim_matches('/').to_owned()
    }

    fn trouble(&mut self, spot: &Spot, why: impl Into<String>) {
        self.brought.troubles.push(Trouble::new(spot.path(), why));
    }

    /// The answer, unless the token may not have it.
    fn granted(&mut self, spot: &Spot, looked: Looked) -> Result<Option<Secret>, CliError> {
        match looked {
            Err(error) if error.status() == Some(403) => {
                self.trouble(spot, "may not be read with that token");
                Ok(None)
            }
            looked => match looked.doing(|| format!("Error reading {}", spot.path()))? {
                Some(secret) => Ok(Some(secret)),
                None => {
                    self.trouble(spot, "is gone since it was listed");
                    Ok(None)
                }
            },
        }
    }

    fn plain(&mut self, spots: Vec<Spot>) -> Result<(), CliError> {
        let requests: Vec<Request> = spots.iter().map(|spot| Request::get(spot.path())).collect();
        for (spot, looked) in spots.iter().zip(self.look_all(&requests)?) {
            if let Some(data) = self.granted(spot, looked)?.and_then(|secret| secret.data) {
                let name = self.name(spot);
                self.brought.items.push(Item { name, versions: vec![data], metadata: None });
            }
        }
        Ok(())
    }

    /// Metadata of each; none where the token may not read it, which is only good to know unless it is needed.
    fn metadata(&mut self, spots: &[Spot]) -> Result<Vec<Option<Secret>>, CliError> {
        let requests: Vec<Request> =
            spots.iter().map(|spot| Request::get(spot.engine.api("metadata", &spot.name))).collect();
        let mut all = Vec::new();
        for (spot, looked) in spots.iter().zip(self.look_all(&requests)?) {
            all.push(match looked {
                Err(error) if error.status() == Some(403) => None,
                looked => looked.doing(|| format!("Error reading the metadata of {}", spot.path()))?,
            });
        }
        Ok(all)
    }

    fn newest(&mut self, spots: Vec<Spot>) -> Result<(), CliError> {
        let metadata = self.metadata(&spots)?;
        let requests: Vec<Request> =
            spots.iter().map(|spot| Request::get(spot.engine.api("data", &spot.name))).collect();
        let (mut left, mut unread) = (0, 0);
        for ((spot, metadata), looked) in spots.iter().zip(metadata).zip(self.look_all(&requests)?) {
            let Some(secret) = self.granted(spot, looked)? else { continue };
            let Some(data) = secret.object("data") else {
                self.trouble(spot, "its newest version is deleted; -versions brings the others");
                continue;
            };
            left += usize::from(metadata.as_ref().is_some_and(|metadata| versions(metadata).len() > 1));
            unread += usize::from(metadata.is_none());
            let (name, versions) = (self.name(spot), vec![data.clone()]);
            self.brought.items.push(Item { name, versions, metadata: metadata.as_ref().and_then(settable) });
        }
        if left > 0 {
            let note =
                format!("of {left} secrets there are older versions, which are left behind; -versions brings them");
            self.brought.notes.push(note);
        }
        if unread > 0 {
            let note =
                format!("of {unread} secrets the metadata may not be read, so notes and limits there stay behind");
            self.brought.notes.push(note);
        }
        Ok(())
    }

    fn every_version(&mut self, spots: Vec<Spot>) -> Result<(), CliError> {
        let now = jiff::Timestamp::now().to_string();
        let metadata = self.metadata(&spots)?;
        let mut wanted = Vec::new();
        for (spot, metadata) in spots.iter().zip(&metadata) {
            let Some(metadata) = metadata else {
                self.trouble(spot, "its versions may not be seen with that token");
                continue;
            };
            let (here, gone): (Vec<Version>, Vec<Version>) =
                versions(metadata).into_iter().partition(|version| version.is_here(Some(&now)));
            for version in gone {
                let why = if version.destroyed { "was destroyed" } else { "is deleted; undelete it there to bring it" };
                let what = format!("{} version {}", spot.path(), version.number);
                self.brought.troubles.push(Trouble::new(what, why));
            }
            wanted.extend(here.into_iter().map(|version| (spot, metadata, version.number)));
        }
        let request = |(spot, _, number): &(&Spot, &Secret, u64)| {
            Request::get(spot.engine.api("data", &spot.name)).query("version", number.to_string())
        };
        let requests: Vec<Request> = wanted.iter().map(request).collect();
        let mut last: Option<&Spot> = None;
        for ((spot, metadata, number), looked) in wanted.into_iter().zip(self.look_all(&requests)?) {
            let Some(secret) = self.granted(spot, looked)? else { continue };
            let Some(data) = secret.object("data").cloned() else {
                self.trouble(spot, format!("its version {number} went while it was read"));
                continue;
            };
            match self.brought.items.last_mut().filter(|_| last == Some(spot)) {
                Some(item) => item.versions.push(data),
                None => {
                    let (name, metadata) = (self.name(spot), settable(metadata));
                    self.brought.items.push(Item { name, versions: vec![data], metadata });
                }
            }
            last = Some(spot);
        }
        Ok(())
    }
}

/// What of the metadata can be written elsewhere.
fn settable(metadata: &Secret) -> Option<Map<String, Value>> {
    let mut kept = Map::new();
    for name in ["custom_metadata", "max_versions", "cas_required", "delete_version_after"] {
        let value = metadata.get(name).filter(|value| !is_default(value));
        value.map(|value| kept.insert(name.to_owned(), value.clone()));
    }
    (!kept.is_empty()).then_some(kept)
}

fn is_default(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Number(number) => number.as_u64() == Some(0),
        Value::String(text) => matches!(text.as_str(), "" | "0s"),
        Value::Object(map) => map.is_empty(),
        _ => false,
    }
}
