//! The server's configuration files, as Vault's operators have them: HCL or JSON, one or several, files or folders.
//!
//! Every key of Vault and OpenBao is either served, accepted with a warning, or refused with a reason; which one is in
//! `docs/configuration.md`. A key is refused when leaving it out would be less safe than the operator thinks.
//! Reads files and checks what stands in them; opens no port, no storage and no key.

mod aws;
mod error;
mod file;
mod forwarded;
mod function;
mod listener;
mod proxied;
mod reader;
mod seal;
mod storage;
mod telemetry;
mod top;
mod unix;

use std::path::PathBuf;
use std::time::Duration;
use strongroom_model::Ttl;

pub(crate) use aws::Aws;
pub(crate) use error::{ConfigError, Warning};
pub(crate) use function::{RotationFunction, RotationHook};
pub(crate) use listener::{ClientCerts, Listener, TlsVersion};
pub(crate) use seal::{KeySource, Seal, SealType};
pub(crate) use storage::Storage;
pub(crate) use telemetry::Telemetry;
pub(crate) use unix::UnixSocket;

/// All that the files say, with defaults filled in.
pub(crate) struct Config {
    /// Where to listen; at least one.
    pub(crate) listeners: Vec<Listener>,
    /// Where data is kept.
    pub(crate) storage: Storage,
    /// How the root key is kept; empty means shares.
    pub(crate) seals: Vec<Seal>,
    /// The audit trail.
    pub(crate) trail: Trail,
    /// What is done with what is counted.
    pub(crate) telemetry: Telemetry,
    /// How the AWS dialect is served.
    pub(crate) aws: Aws,
    /// Programs that rotate secrets.
    pub(crate) rotation_functions: Vec<RotationFunction>,
    /// Programs that are told of rotations.
    pub(crate) rotation_hooks: Vec<RotationHook>,
    /// Where rotation may log in; anywhere when not given.
    pub(crate) rotation_hosts: Option<Vec<String>>,
    /// The address that other programs reach this server under, as a URL.
    pub(crate) api_addr: Option<String>,
    /// The address for other servers of a cluster, as a URL. Kept for `sys/leader`.
    pub(crate) cluster_addr: Option<String>,
    /// The name that `sys/health` gives.
    pub(crate) cluster_name: Option<String>,
    /// Whether the user interface is served.
    pub(crate) ui: bool,
    /// How long a lease or token lives that asks for nothing (768 h).
    pub(crate) default_lease_ttl: Ttl,
    /// The longest a lease or token may live (768 h).
    pub(crate) max_lease_ttl: Ttl,
    /// After which a request is given up, where its listener says nothing (90 s).
    pub(crate) default_max_request_duration: Duration,
    /// Whether memory is left unlocked, so that secrets could reach the swap.
    pub(crate) disable_mlock: bool,
    /// Whether `sys/raw` is served.
    pub(crate) raw_storage_endpoint: bool,
    /// Whether answers carry `X-Vault-Hostname`.
    pub(crate) response_header_hostname: bool,
    /// What is logged.
    pub(crate) log_level: Option<LogLevel>,
    /// How it is logged.
    pub(crate) log_format: Option<LogFormat>,
    /// Where it is logged besides standard error.
    pub(crate) log_file: Option<PathBuf>,
    /// Where the number of the process is written.
    pub(crate) pid_file: Option<PathBuf>,
}

/// The `trail` block.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Trail {
    /// Its folder; without one it lies beside the data, or in memory with `inmem`.
    pub(crate) path: Option<PathBuf>,
    /// When entries are forced to disk.
    pub(crate) sync: TrailSync,
    /// The size from which on a new segment is begun; that of the trail's own choice when not given.
    pub(crate) segment_bytes: Option<u64>,
}

/// When entries of the trail are forced to disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum TrailSync {
    /// With each checkpoint: the death of the process loses nothing, a power failure the last second.
    #[default]
    Write,
    /// Before each entry counts as written: a power failure loses nothing.
    Each,
}

/// How much is logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LogLevel {
    /// All there is.
    Trace,
    /// What helps to find a defect.
    Debug,
    /// What an operator wants to know.
    Info,
    /// What an operator should look at.
    Warn,
    /// What failed.
    Error,
}

/// How a line of the log looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LogFormat {
    /// For people.
    Standard,
    /// One JSON object per line.
    Json,
}

/// A configuration and what should be said about it at the start.
pub(crate) struct Loaded {
    /// What to serve.
    pub(crate) config: Config,
    /// What was accepted and does nothing, in the order of the files.
    pub(crate) warnings: Vec<Warning>,
}

/// What applies where no file says anything.
const DEFAULT_LEASE: Ttl = Ttl::from_secs(768 * 3_600);
/// Vault's `default_max_request_duration`.
const DEFAULT_REQUEST: Duration = Duration::from_secs(90);

impl Config {
    /// Reads files and folders (their `*.hcl` and `*.json`, by name) and merges them as Vault does: blocks of
    /// `listener` and `seal` add up, of `storage` the last counts, of lease TTLs the longest, a switch that is on once
    /// stays on, and of other values the last counts. `env` gives a variable of the environment by its full name;
    /// `STRONGROOM_` and `VAULT_` with `API_ADDR`, `CLUSTER_ADDR` and `UI` win over the files.
    pub(crate) fn load(paths: &[PathBuf], env: &dyn Fn(&str) -> Option<String>) -> Result<Loaded, ConfigError> {
        let mut draft = top::Draft::default();
        for file in file::expand(paths)? {
            draft.add(&file::read(file)?)?;
        }
        draft.finish(env)
    }

    /// The files that these paths stand for.
    pub(crate) fn files(paths: &[PathBuf]) -> Result<Vec<PathBuf>, ConfigError> {
        file::expand(paths)
    }
}

#[cfg(test)]
mod hostile;

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
