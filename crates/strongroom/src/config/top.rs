//! The keys outside of any block, and how several files become one configuration.

use super::Telemetry;
use super::file::ParsedFile;
use super::reader::Reader;
use super::{Aws, Listener, Loaded, RotationFunction, RotationHook, Seal, Storage};
use super::{Config, ConfigError, DEFAULT_LEASE, DEFAULT_REQUEST, LogFormat, LogLevel, Trail, TrailSync, Warning};
use std::path::PathBuf;
use std::time::Duration;
use strongroom_model::Ttl;
use strongroom_model::hcl::Item;

/// Keys that are known and do nothing here; none of them makes the server less safe by doing nothing.
pub(super) const UNUSED: &[&str] = &[
    "administrative_namespace_path",
    "allow_audit_log_prefixing",
    "allow_unauthenticated_workflows",
    "cache_size",
    "cluster_cipher_suites",
    "detect_deadlocks",
    "disable_cache",
    "disable_clustering",
    "disable_indexing",
    "disable_performance_standby",
    "disable_printable_check",
    "disable_sealwrap",
    "disable_sentinel_trace",
    "disable_standby_reads",
    "enable_multiseal",
    "enable_post_unseal_trace",
    "enable_raw_endpoint",
    "enable_response_header_raft_node_id",
    "entropy",
    "experiments",
    "imprecise_lease_role_tracking",
    "introspection_endpoint",
    "license_path",
    "log_requests_level",
    "log_rotate_bytes",
    "log_rotate_duration",
    "log_rotate_max_files",
    "plugin",
    "plugin_auto_download",
    "plugin_auto_register",
    "plugin_directory",
    "plugin_download_behavior",
    "plugin_download_max_size",
    "plugin_file_permissions",
    "plugin_file_uid",
    "plugin_tmpdir",
    "post_unseal_trace_directory",
    "reporting",
    "request_limiter",
    "sentinel",
    "service_registration",
    "unsafe_allow_api_audit_creation",
    "unsafe_cross_namespace_identity",
    "unsafe_relative_paths",
];

/// Keys without which the server would be less safe than the operator thinks: the reason, and what to do instead.
pub(super) const REFUSED: &[(&str, &str)] = &[
    ("audit", "no device would be written to: enable it through sys/audit"),
    ("ha_backend", "this server could not be one of several: remove the block"),
    ("ha_storage", "this server could not be one of several: remove the block"),
    ("hsm", "the root key would not be in that device: write `seal \"shamir\" {}` or `seal \"static\"`"),
    ("initialize", "nothing of it would be done: initialise through sys/init"),
    ("kms", "the root key would not be in that service: write `seal \"shamir\" {}` or `seal \"static\"`"),
];

/// What the files have said so far.
#[derive(Default)]
pub(super) struct Draft {
    warnings: Vec<Warning>,
    listeners: Vec<Listener>,
    seals: Vec<Seal>,
    storage: Option<Storage>,
    trail: Trail,
    telemetry: Telemetry,
    aws: Aws,
    rotation_functions: Vec<RotationFunction>,
    rotation_hooks: Vec<RotationHook>,
    rotation_hosts: Option<Vec<String>>,
    api_addr: Option<String>,
    cluster_addr: Option<String>,
    cluster_name: Option<String>,
    ui: bool,
    default_lease_ttl: Ttl,
    max_lease_ttl: Ttl,
    default_max_request_duration: Option<Duration>,
    disable_mlock: bool,
    raw_storage_endpoint: bool,
    response_header_hostname: bool,
    log_level: Option<LogLevel>,
    log_format: Option<LogFormat>,
    log_file: Option<PathBuf>,
    pid_file: Option<PathBuf>,
}

impl Draft {
    /// Merges one more file in.
    pub(super) fn add(&mut self, file: &ParsedFile) -> Result<(), ConfigError> {
        let mut warnings = std::mem::take(&mut self.warnings);
        let mut reader = Reader::new(&file.path, &mut warnings);
        reader.warn_repeated(&file.items);
        let mut storages = 0;
        for item in &file.items {
            self.take(item, &mut reader, &mut storages)?;
        }
        self.warnings = warnings;
        Ok(())
    }

    fn take(&mut self, item: &Item, reader: &mut Reader<'_>, storages: &mut usize) -> Result<(), ConfigError> {
        match item.name.as_str() {
            "listener" => {
                for block in reader.blocks(item)? {
                    self.listeners.push(Listener::read(&block, reader)?);
                }
            }
            "seal" => {
                for block in reader.blocks(item)? {
                    self.seals.push(Seal::read(&block, reader)?);
                }
            }
            "storage" | "backend" => self.take_storage(item, reader, storages)?,
            "trail" => self.take_trail(item, reader)?,
            "telemetry" => self.telemetry.take(item, reader)?,
            "aws" => self.aws.read(item, reader)?,
            "rotation_function" => {
                for block in reader.blocks(item)? {
                    self.rotation_functions.push(RotationFunction::read(&block, reader)?);
                }
            }
            "rotation_hook" => {
                for block in reader.blocks(item)? {
                    self.rotation_hooks.push(RotationHook::read(&block, reader)?);
                }
            }
            "rotation_hosts" => self.rotation_hosts.get_or_insert_default().extend(reader.texts(item)?),
            "default_lease_ttl" => self.default_lease_ttl = self.default_lease_ttl.max(reader.ttl(item)?),
            "max_lease_ttl" => self.max_lease_ttl = self.max_lease_ttl.max(reader.ttl(item)?),
            "default_max_request_duration" => {
                self.default_max_request_duration = Some(reader.span(item)?).filter(|span| !span.is_zero());
            }
            "api_addr" => self.api_addr = url(item, reader)?,
            "cluster_addr" => self.cluster_addr = url(item, reader)?,
            "cluster_name" => self.cluster_name = text(item, reader)?,
            "ui" => self.ui |= reader.switch(item)?,
            "disable_mlock" => self.disable_mlock |= reader.switch(item)?,
            "raw_storage_endpoint" => self.raw_storage_endpoint |= reader.switch(item)?,
            "enable_response_header_hostname" => self.response_header_hostname |= reader.switch(item)?,
            "log_level" => self.log_level = log_level(item, reader)?,
            "log_format" => self.log_format = log_format(item, reader)?,
            "log_file" => self.log_file = text(item, reader)?.map(PathBuf::from),
            "pid_file" => self.pid_file = text(item, reader)?.map(PathBuf::from),
            name => return other(name, item, reader),
        }
        Ok(())
    }

    fn take_storage(&mut self, item: &Item, reader: &mut Reader<'_>, storages: &mut usize) -> Result<(), ConfigError> {
        for block in reader.blocks(item)? {
            *storages += 1;
            if *storages > 1 {
                return Err(reader.wrong(block.line, "a second storage in one file: keep one block `storage`"));
            }
            self.storage = Some(Storage::read(&block, reader)?);
        }
        Ok(())
    }

    fn take_trail(&mut self, item: &Item, reader: &mut Reader<'_>) -> Result<(), ConfigError> {
        for body in item.bodies().map_err(|error| reader.syntax(error))? {
            reader.warn_repeated(body);
            for item in body {
                match item.name.as_str() {
                    "path" => self.trail.path = text(item, reader)?.map(PathBuf::from),
                    "sync" => {
                        self.trail.sync = match reader.text(item)?.as_str() {
                            "write" => TrailSync::Write,
                            "each" => TrailSync::Each,
                            _ => return Err(reader.wrong(item.line, "`sync` must be \"write\" or \"each\"")),
                        }
                    }
                    "segment_bytes" => self.trail.segment_bytes = Some(segment_bytes(item, reader)?),
                    other => {
                        // Ours alone, so there is no foreign file to be kind to.
                        let what = format!("`{other}` is not a key of trail; there are: path, sync, segment_bytes");
                        return Err(reader.wrong(item.line, what));
                    }
                }
            }
        }
        Ok(())
    }

    /// Fills in the environment and the defaults.
    pub(super) fn finish(mut self, env: &dyn Fn(&str) -> Option<String>) -> Result<Loaded, ConfigError> {
        let named = |name: &str| {
            let values = ["STRONGROOM_", "VAULT_"].into_iter().filter_map(|prefix| env(&format!("{prefix}{name}")));
            values.into_iter().find(|value| !value.is_empty())
        };
        self.api_addr = named("API_ADDR").or(self.api_addr);
        self.cluster_addr = named("CLUSTER_ADDR").or(self.cluster_addr);
        if let Some(ui) = named("UI") {
            self.ui = matches!(ui.as_str(), "1" | "t" | "T" | "true" | "TRUE" | "True");
        }
        self.build()
    }

    fn build(self) -> Result<Loaded, ConfigError> {
        let storage = self.storage.ok_or(ConfigError::Missing(
            "storage: write `storage \"sqlite\" { path = \"/var/lib/strongroom/data.db\" }`",
        ))?;
        if self.listeners.is_empty() {
            return Err(ConfigError::Missing(
                "listener: write `listener \"tcp\" { address = \"127.0.0.1:8200\" ... }`",
            ));
        }
        let max_lease_ttl = or_default(self.max_lease_ttl);
        let default_lease_ttl =
            if self.default_lease_ttl.is_zero() { DEFAULT_LEASE.min(max_lease_ttl) } else { self.default_lease_ttl };
        if default_lease_ttl > max_lease_ttl {
            let what = "`default_lease_ttl` is longer than `max_lease_ttl` (768h when it is not set): make it shorter";
            return Err(ConfigError::Conflict(what.to_owned()));
        }
        let config = Config {
            listeners: self.listeners,
            storage,
            seals: self.seals,
            trail: self.trail,
            telemetry: self.telemetry,
            aws: self.aws,
            rotation_functions: self.rotation_functions,
            rotation_hooks: self.rotation_hooks,
            rotation_hosts: self.rotation_hosts,
            api_addr: self.api_addr,
            cluster_addr: self.cluster_addr,
            cluster_name: self.cluster_name,
            ui: self.ui,
            default_lease_ttl,
            max_lease_ttl,
            default_max_request_duration: self.default_max_request_duration.unwrap_or(DEFAULT_REQUEST),
            disable_mlock: self.disable_mlock,
            raw_storage_endpoint: self.raw_storage_endpoint,
            response_header_hostname: self.response_header_hostname,
            log_level: self.log_level,
            log_format: self.log_format,
            log_file: self.log_file,
            pid_file: self.pid_file,
        };
        Ok(Loaded { config, warnings: self.warnings })
    }
}

fn or_default(ttl: Ttl) -> Ttl {
    if ttl.is_zero() { DEFAULT_LEASE } else { ttl }
}

/// A key that is not served: a warning, or an error when leaving it out is less safe.
fn other(name: &str, item: &Item, reader: &mut Reader<'_>) -> Result<(), ConfigError> {
    if let Some((_, reason)) = REFUSED.iter().find(|(refused, _)| *refused == name) {
        return Err(
            reader.wrong(item.line, format!("`{name}` cannot be served by this version, and without it {reason}"))
        );
    }
    match name {
        "user_lockout" => {
            let fixed =
                "`user_lockout` has no effect: five failed logins always shut a userpass name out for 15 minutes";
            reader.warn(item.line, fixed);
        }
        _ if UNUSED.contains(&name) => reader.warn_unused(item),
        _ => reader.warn_unknown(item, "the configuration"),
    }
    Ok(())
}

fn text(item: &Item, reader: &Reader<'_>) -> Result<Option<String>, ConfigError> {
    Ok(Some(reader.text(item)?).filter(|text| !text.is_empty()))
}

fn url(item: &Item, reader: &Reader<'_>) -> Result<Option<String>, ConfigError> {
    let text = text(item, reader)?;
    match &text {
        Some(url) if !url.starts_with("https://") && !url.starts_with("http://") => {
            let what = format!("`{0}` must be a URL: write `{0} = \"https://host:port\"`", item.name);
            Err(reader.wrong(item.line, what))
        }
        _ => Ok(text),
    }
}

/// A file's index counts bytes in 32 bits and is made in memory; files of a few lines would be more names than lines.
fn segment_bytes(item: &Item, reader: &Reader<'_>) -> Result<u64, ConfigError> {
    let (least, most) = (16 * 1024, 1024 * 1024 * 1024);
    let size = u64::try_from(reader.number(item)?).ok().filter(|size| (least..=most).contains(size));
    size.ok_or_else(|| reader.wrong(item.line, format!("`segment_bytes` must be from {least} to {most}")))
}

fn log_level(item: &Item, reader: &Reader<'_>) -> Result<Option<LogLevel>, ConfigError> {
    let level = match reader.text(item)?.to_lowercase().as_str() {
        "" => return Ok(None),
        "trace" => LogLevel::Trace,
        "debug" => LogLevel::Debug,
        "info" | "notice" => LogLevel::Info,
        "warn" | "warning" => LogLevel::Warn,
        "error" | "err" => LogLevel::Error,
        _ => return Err(reader.wrong(item.line, "`log_level` must be trace, debug, info, warn or error")),
    };
    Ok(Some(level))
}

fn log_format(item: &Item, reader: &Reader<'_>) -> Result<Option<LogFormat>, ConfigError> {
    match reader.text(item)?.to_lowercase().as_str() {
        "" | "unspecified" => Ok(None),
        "standard" => Ok(Some(LogFormat::Standard)),
        "json" => Ok(Some(LogFormat::Json)),
        _ => Err(reader.wrong(item.line, "`log_format` must be standard or json")),
    }
}
