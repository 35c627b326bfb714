use super::statsd::Collector;
use std::path::PathBuf;
use strongroom_api::{AwsSettings, Bind, Limits, ServerIdentity};
use strongroom_audit::{Options as TrailOptions, Place};
use strongroom_core::Settings;
use strongroom_engines::rotation::{FunctionSpec, HookSpec, Hosts};
use strongroom_model::SecretBytes;

/// Everything that a server is told before it starts, whoever told it.
pub(super) struct Plan {
    /// Where ciphertext is kept.
    pub(super) keep: Keep,
    /// Where the trail is kept.
    pub(super) trail: Place,
    /// Files and folders that no copy of the trail may be written to.
    pub(super) off_limits: Vec<PathBuf>,
    /// How the trail is written.
    pub(super) trail_options: TrailOptions,
    /// Where to listen.
    pub(super) binds: Vec<Bind>,
    /// Lifetimes.
    pub(super) settings: Settings,
    /// How the server names itself.
    pub(super) identity: ServerIdentity,
    /// Bounds on what strangers can make it hold.
    pub(super) limits: Limits,
    /// The keys of a static seal, the current one first.
    pub(super) static_keys: Vec<SecretBytes>,
    /// Take a store that is older than the trail knows.
    pub(super) accept_rollback: bool,
    /// Whether metrics are given in the format of Prometheus.
    pub(super) prometheus: bool,
    /// Who gets metrics sent.
    pub(super) collectors: Vec<Collector>,
    /// The operator log.
    pub(super) log: LogPlan,
    /// How the AWS dialect is served.
    pub(super) aws: AwsSettings,
    /// Programs that rotate secrets.
    pub(super) functions: Vec<FunctionSpec>,
    /// Programs that are told of rotations.
    pub(super) hooks: Vec<HookSpec>,
    /// Where rotation may log in.
    pub(super) hosts: Hosts,
    /// Where the number of the process is written.
    pub(super) pid_file: Option<PathBuf>,
}

/// Where ciphertext is kept.
pub(super) enum Keep {
    /// Nowhere: gone when the process ends.
    Memory,
    /// In this file, by the embedded engine.
    File(PathBuf),
}

/// How the operator log is written; to standard error unless there is a file.
pub(super) struct LogPlan {
    /// `trace` to `error`.
    pub(super) level: String,
    /// One JSON object per line instead of text.
    pub(super) json: bool,
    /// The file, appended to.
    pub(super) file: Option<PathBuf>,
}

/// The version that Vault's clients compare to decide what they may ask (Terraform, `vault-csi-provider`).
pub(super) const COMPATIBLE_VERSION: &str = "1.16.3";

/// How a server names itself.
pub(super) fn identity(cluster_name: Option<String>, api_addr: String, storage: &str) -> ServerIdentity {
    ServerIdentity {
        version: COMPATIBLE_VERSION.to_owned(),
        cluster_name: cluster_name.unwrap_or_else(|| "strongroom".to_owned()),
        api_addr,
        storage: storage.to_owned(),
        build_date: "2026-11-21T00:00:00Z".to_owned(),
    }
}
