//! The server of a configuration file: what the file says, turned into a plan.

use super::Running;
use super::plan::{Keep, LogPlan, Plan, identity};
use super::statsd::Collector;
use super::system::SystemClock;
use crate::cli::ServerArgs;
use crate::config::{
    Aws, ClientCerts, Config, KeySource, Listener, LogFormat, LogLevel, RotationFunction, RotationHook, Seal, SealType,
    Storage, Telemetry, TlsVersion, TrailSync, UnixSocket,
};
use anyhow::{Context, bail};
use nix::unistd::{Group, User};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use strongroom_api::{AwsSettings, Bind, Forwarding, Limits, TlsFiles, UnixRights};
use strongroom_audit::{Options as TrailOptions, Place, SyncMode};
use strongroom_core::Settings;
use strongroom_engines::rotation::{FunctionSpec, HookSpec, Hosts, Program, Remote};
use strongroom_model::{SecretBytes, SecretString};
use zeroize::Zeroizing;

/// The plan, and what should be said about the configuration at the start.
pub(super) fn plan(args: &ServerArgs) -> anyhow::Result<(Plan, Vec<String>)> {
    let loaded = Config::load(&args.config, &|name| std::env::var(name).ok())?;
    let config = loaded.config;
    let mut warnings: Vec<String> = loaded.warnings.iter().map(ToString::to_string).collect();
    warnings.extend(unserved(&config));
    let (keep, beside, name) = place(&config.storage)?;
    let first = config.listeners.first().context("the configuration has no listener")?;
    let scheme = match (&first.tls, &first.unix) {
        (_, Some(_)) => "unix",
        (Some(_), None) => "https",
        (None, None) => "http",
    };
    let api_addr = config.api_addr.clone().unwrap_or_else(|| format!("{scheme}://{}", first.address));
    let functions = functions(&config, &api_addr)?;
    let plan = Plan {
        keep,
        trail: config.trail.path.clone().or(beside).map_or(Place::Memory, Place::Folder),
        off_limits: off_limits(args, &config)?,
        trail_options: TrailOptions {
            sync: match config.trail.sync {
                TrailSync::Write => SyncMode::EachCheckpoint,
                TrailSync::Each => SyncMode::EachBatch,
            },
            segment_bytes: config.trail.segment_bytes.unwrap_or(TrailOptions::default().segment_bytes),
            ..TrailOptions::default()
        },
        binds: config.listeners.iter().map(bind).collect::<anyhow::Result<_>>()?,
        settings: Settings {
            default_lease_ttl: config.default_lease_ttl,
            max_lease_ttl: config.max_lease_ttl,
            usage_gauges: config.telemetry.usage_gauges,
        },
        identity: identity(config.cluster_name.clone(), api_addr, name),
        limits: limits(&config),
        static_keys: static_keys(&config.seals)?,
        accept_rollback: args.accept_rollback,
        prometheus: config.telemetry.prometheus,
        collectors: collectors(&config.telemetry),
        log: log(args, &config),
        aws: aws(&config.aws),
        functions,
        hooks: config.rotation_hooks.iter().map(hook).collect::<anyhow::Result<_>>()?,
        hosts: hosts(config.rotation_hosts.as_deref())?,
        pid_file: config.pid_file.clone(),
    };
    Ok((plan, warnings))
}

/// Who gets metrics sent.
fn collectors(telemetry: &Telemetry) -> Vec<Collector> {
    let statsd = telemetry.statsd.clone().map(Collector::Statsd);
    let statsite = telemetry.statsite.clone().map(Collector::Statsite);
    let tagged = |address| Collector::Dogstatsd(address, telemetry.dogstatsd_tags.clone());
    statsd.into_iter().chain(statsite).chain(telemetry.dogstatsd.clone().map(tagged)).collect()
}

/// Says where the server listens and what it waits for.
pub(super) fn announce(running: &Running) {
    for listener in &running.listeners {
        tracing::info!("listening on {}", listener.url());
    }
    match running.strongroom.state() {
        strongroom_core::State::Uninitialised(_) => tracing::info!("not initialised: run `strongroom operator init`"),
        strongroom_core::State::Sealed(_) => tracing::info!("sealed: run `strongroom operator unseal`"),
        strongroom_core::State::Open(_) => tracing::info!("unsealed"),
    }
}

/// The programs that rotate secrets, each with the user that it runs as looked up now, so that a mistake is said at the start.
fn functions(config: &Config, api_addr: &str) -> anyhow::Result<Vec<FunctionSpec>> {
    let spec = |declared: &RotationFunction| {
        let program = match (&declared.python, &declared.url, &declared.key_file) {
            (Some(file), _, _) => Program::Python { interpreter: declared.interpreter.clone(), file: file.clone() },
            (None, Some(url), Some(key)) => {
                let made = remote(url, key, declared.ca_file.as_deref(), declared.timeout);
                Program::Url(made.with_context(|| format!("rotation_function {}", declared.name))?)
            }
            _ => Program::Command(declared.command.clone()),
        };
        Ok(FunctionSpec {
            name: declared.name.clone(),
            program,
            user: declared.user.as_deref().map(|user| account(&declared.name, user)).transpose()?,
            timeout: declared.timeout,
            endpoint: declared.endpoint.clone().unwrap_or_else(|| api_addr.to_owned()),
            ca_file: declared.ca_file.clone(),
            environment: declared.environment.clone(),
        })
    };
    config.rotation_functions.iter().map(spec).collect()
}

/// A program that is told of rotations.
fn hook(declared: &RotationHook) -> anyhow::Result<HookSpec> {
    let made = remote(&declared.url, &declared.key_file, declared.ca_file.as_deref(), declared.timeout);
    let remote = made.with_context(|| format!("rotation_hook {}", declared.name))?;
    Ok(HookSpec { name: declared.name.clone(), remote })
}

fn remote(url: &str, key: &Path, ca: Option<&Path>, timeout: Duration) -> anyhow::Result<Remote> {
    let read = |path: &Path| fs::read_to_string(path).with_context(|| format!("{} cannot be read", path.display()));
    let key = Zeroizing::new(read(key)?);
    let key = SecretString::new(key.trim().to_owned());
    let ca = ca.map(read).transpose()?;
    Ok(Remote::new(url, key, ca.as_deref(), timeout, Arc::new(SystemClock))?)
}

/// Where rotation may log in.
fn hosts(declared: Option<&[String]>) -> anyhow::Result<Hosts> {
    let hosts = declared.map(Hosts::only).transpose().context("rotation_hosts")?;
    Ok(hosts.unwrap_or_default())
}

/// User and group of a function.
fn account(function: &str, user: &str) -> anyhow::Result<(u32, u32)> {
    if let Some((user, group)) = user.split_once(':')
        && let (Ok(user), Ok(group)) = (user.parse(), group.parse())
    {
        return Ok((user, group));
    }
    let found = User::from_name(user).ok().flatten();
    let found =
        found.with_context(|| format!("rotation_function {function}: there is no user {user} on this machine"))?;
    Ok((found.uid.as_raw(), found.gid.as_raw()))
}

fn aws(aws: &Aws) -> AwsSettings {
    let usual = AwsSettings::default();
    AwsSettings {
        account: aws.account_id.clone().unwrap_or(usual.account),
        default_region: aws.default_region.clone().unwrap_or(usual.default_region),
        regions: aws.regions.clone(),
        parameter_regions: aws.parameter_regions.clone(),
        plain_credentials: aws.plain_credentials.unwrap_or(usual.plain_credentials),
        makes_parameter_mount: usual.makes_parameter_mount,
        clock_skew: aws.clock_skew.unwrap_or(usual.clock_skew),
    }
}

/// What the file asks for that this version leaves out; leaving it out is never less safe.
fn unserved(config: &Config) -> Vec<String> {
    let asked = [
        (config.ui, "ui: this version has no user interface"),
        (config.raw_storage_endpoint, "raw_storage_endpoint: sys/raw does not exist here"),
        (config.response_header_hostname, "enable_response_header_hostname: the header is not sent"),
        (config.disable_mlock, "disable_mlock: only keys are locked in memory, which needs no right; they stay locked"),
        (config.cluster_addr.is_some(), "cluster_addr: this version runs on one machine"),
    ];
    asked.into_iter().filter(|(asked, _)| *asked).map(|(_, text)| text.to_owned()).collect()
}

/// Where ciphertext goes, where the trail goes unless told otherwise, and the name of the storage.
fn place(storage: &Storage) -> anyhow::Result<(Keep, Option<PathBuf>, &'static str)> {
    Ok(match storage {
        Storage::Memory => (Keep::Memory, None, "inmem"),
        Storage::File { path } => (Keep::File(path.join("strongroom.db")), Some(path.join("trail")), "file"),
        Storage::Sqlite { path } => {
            let mut trail = path.file_name().context("the storage path is a folder; name a file in it")?.to_owned();
            trail.push(".trail");
            (Keep::File(path.clone()), Some(path.with_file_name(trail)), "sqlite")
        }
    })
}

/// What the server lives from: a copy of the trail that is appended to one of these would destroy it.
fn off_limits(args: &ServerArgs, config: &Config) -> anyhow::Result<Vec<PathBuf>> {
    let mut places = Config::files(&args.config)?;
    match &config.storage {
        Storage::Memory => {}
        Storage::File { path } => places.push(path.clone()),
        Storage::Sqlite { path } => {
            places.extend(["", ".lock", "-wal", "-shm", "-journal"].map(|end| {
                let mut name = path.clone().into_os_string();
                name.push(end);
                PathBuf::from(name)
            }));
        }
    }
    for seal in &config.seals {
        if let SealType::Static { current, previous } = &seal.kind {
            for key in [Some(current), previous.as_ref()].into_iter().flatten() {
                places.extend(if let KeySource::File(path) = &key.source { Some(path.clone()) } else { None });
            }
        }
    }
    for tls in config.listeners.iter().filter_map(|listener| listener.tls.as_ref()) {
        places.extend([tls.cert_file.clone(), tls.key_file.clone()].into_iter().chain(tls.client_ca_file.clone()));
    }
    for function in &config.rotation_functions {
        places.extend([&function.python, &function.key_file, &function.ca_file].into_iter().flatten().cloned());
    }
    for hook in &config.rotation_hooks {
        places.extend(std::iter::once(hook.key_file.clone()).chain(hook.ca_file.clone()));
    }
    places.extend(config.pid_file.iter().chain(&config.log_file).cloned());
    Ok(places)
}

pub(super) fn bind(listener: &Listener) -> anyhow::Result<Bind> {
    let tls = match &listener.tls {
        None => None,
        Some(tls) => Some(TlsFiles {
            certificate: tls.cert_file.clone(),
            key: tls.key_file.clone(),
            versions: (tls.min_version == TlsVersion::Tls12, tls.max_version == TlsVersion::Tls13),
            client_ca: match (tls.client_certs, &tls.client_ca_file) {
                (ClientCerts::Required, Some(path)) => Some(path.clone()),
                (ClientCerts::Required, None) => {
                    bail!(
                        "tls_require_and_verify_client_cert needs tls_client_ca_file: say whose certificates are taken"
                    )
                }
                (ClientCerts::Asked | ClientCerts::NotAsked, _) => None,
            },
        }),
    };
    Ok(Bind {
        address: listener.address.clone(),
        tls,
        require_request_header: listener.require_request_header,
        unauthenticated_metrics: listener.unauthenticated_metrics,
        unix: listener.unix.as_ref().map(unix_rights).transpose()?,
        proxy_protocol: listener.proxy_protocol.clone(),
        forwarding: listener.forwarded.as_ref().map(|forwarded| Forwarding {
            authorized: forwarded.authorized.clone(),
            hop_skips: forwarded.hop_skips,
            reject_not_present: forwarded.reject_not_present,
            reject_not_authorized: forwarded.reject_not_authorized,
        }),
    })
}

/// Names of users and groups become numbers, as this machine knows them.
fn unix_rights(unix: &UnixSocket) -> anyhow::Result<UnixRights> {
    let user = |name: &str| Ok(User::from_name(name)?.map(|user| user.uid.as_raw()));
    let group = |name: &str| Ok(Group::from_name(name)?.map(|group| group.gid.as_raw()));
    Ok(UnixRights {
        mode: unix.mode,
        user: unix.user.as_deref().map(|name| number_of("socket_user", name, user)).transpose()?,
        group: unix.group.as_deref().map(|name| number_of("socket_group", name, group)).transpose()?,
    })
}

fn number_of(key: &str, name: &str, find: impl Fn(&str) -> anyhow::Result<Option<u32>>) -> anyhow::Result<u32> {
    if let Ok(number) = name.parse() {
        return Ok(number);
    }
    let found = find(name).with_context(|| format!("`{key}`: {name:?} cannot be looked up"))?;
    found.with_context(|| format!("`{key}`: this machine does not know {name:?}; make it, or write its number"))
}

/// One set of bounds for all listeners: the most generous that any of them asks for.
fn limits(config: &Config) -> Limits {
    let usual = Limits::default();
    let largest = config.listeners.iter().map(|listener| listener.max_request_size).max().unwrap_or(0);
    let body_bytes = usize::try_from(largest).unwrap_or(usize::MAX).clamp(1024, 1024 * 1024 * 1024);
    let headers = config.listeners.iter().map(|listener| listener.read_header_timeout).max();
    let request = config
        .listeners
        .iter()
        .map(|listener| listener.max_request_duration.unwrap_or(config.default_max_request_duration));
    let write = config.listeners.iter().map(|listener| listener.write_timeout).max();
    Limits {
        body_bytes,
        all_bodies_bytes: usual.all_bodies_bytes.max(body_bytes.saturating_mul(2)),
        headers: headers.filter(|span| !span.is_zero()).unwrap_or(usual.headers),
        idle: config
            .listeners
            .iter()
            .map(|listener| listener.idle_timeout)
            .max()
            .filter(|span| !span.is_zero())
            .unwrap_or(usual.idle),
        request: request.max().filter(|span| !span.is_zero()).unwrap_or(usual.request),
        write: write.filter(|span| !span.is_zero()).unwrap_or(usual.write),
        ..usual
    }
}

fn static_keys(seals: &[Seal]) -> anyhow::Result<Vec<SecretBytes>> {
    let mut keys = Vec::new();
    for seal in seals.iter().filter(|seal| !seal.disabled) {
        if let SealType::Static { current, previous } = &seal.kind {
            for key in [Some(current), previous.as_ref()].into_iter().flatten() {
                keys.push(read_key(&key.source)?);
            }
        }
    }
    Ok(keys)
}

fn read_key(source: &KeySource) -> anyhow::Result<SecretBytes> {
    match source {
        KeySource::File(path) => read_key_file(path),
        KeySource::Environment(name) => match std::env::var(name) {
            Ok(text) => Ok(SecretBytes::new(text.into_bytes())),
            Err(_) => bail!("the variable {name}, which should hold the key of the static seal, is not set"),
        },
    }
}

fn read_key_file(path: &Path) -> anyhow::Result<SecretBytes> {
    let bytes = std::fs::read(path)
        .with_context(|| format!("the key file {} of the static seal cannot be read", path.display()))?;
    Ok(SecretBytes::new(bytes))
}

pub(super) fn log(args: &ServerArgs, config: &Config) -> LogPlan {
    let level = config.log_level.map(|level| match level {
        LogLevel::Trace => "trace",
        LogLevel::Debug => "debug",
        LogLevel::Info => "info",
        LogLevel::Warn => "warn",
        LogLevel::Error => "error",
    });
    let json = match args.log_format.as_deref() {
        Some(format) => format == "json",
        None => config.log_format == Some(LogFormat::Json),
    };
    LogPlan {
        level: args.log_level.clone().or(level.map(str::to_owned)).unwrap_or_else(|| "info".to_owned()),
        json,
        file: config.log_file.clone(),
    }
}
