//! The blocks `listener "tcp"` and `listener "unix"`.

use super::ConfigError;
use super::forwarded::{self, Forwarded};
use super::proxied;
use super::reader::Reader;
use super::unix::{self, UnixSocket};
use std::path::PathBuf;
use std::time::Duration;
use strongroom_api::ProxyProtocol;
use strongroom_model::hcl::{Block, Item};

/// One `listener` block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Listener {
    /// Host and port, as the system resolves them; of a unix socket its path.
    pub(crate) address: String,
    /// Set for `listener "unix"`.
    pub(crate) unix: Option<UnixSocket>,
    /// What is believed of `X-Forwarded-For`.
    pub(crate) forwarded: Option<Forwarded>,
    /// Whose header of the PROXY protocol counts.
    pub(crate) proxy_protocol: Option<ProxyProtocol>,
    /// `None` when TLS is switched off.
    pub(crate) tls: Option<Tls>,
    /// Bytes of the largest request (32 MiB).
    pub(crate) max_request_size: u64,
    /// After which a request is given up; `None` takes `default_max_request_duration`.
    pub(crate) max_request_duration: Option<Duration>,
    /// Whether requests need `X-Vault-Request: true`, which a browser tricked by another site cannot send.
    pub(crate) require_request_header: bool,
    /// Whether `sys/metrics` needs no token here.
    pub(crate) unauthenticated_metrics: bool,
    /// For the head of a request (10 s).
    pub(crate) read_header_timeout: Duration,
    /// For a whole request (30 s); zero waits for ever.
    pub(crate) read_timeout: Duration,
    /// For an answer (0); zero waits for ever.
    pub(crate) write_timeout: Duration,
    /// Between two requests of a connection (5 min).
    pub(crate) idle_timeout: Duration,
}

/// TLS of a listener. Paths are relative to the folder in which the server was started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Tls {
    /// The certificate, then those above it.
    pub(crate) cert_file: PathBuf,
    /// Its key.
    pub(crate) key_file: PathBuf,
    /// The oldest version spoken.
    pub(crate) min_version: TlsVersion,
    /// The newest version spoken.
    pub(crate) max_version: TlsVersion,
    /// What is done about certificates of clients.
    pub(crate) client_certs: ClientCerts,
    /// Who signs certificates of clients; `None` means the authorities of the system.
    pub(crate) client_ca_file: Option<PathBuf>,
}

/// A version of TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum TlsVersion {
    /// RFC 5246.
    Tls12,
    /// RFC 8446.
    Tls13,
}

/// What is done about certificates of clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ClientCerts {
    /// Not asked for.
    NotAsked,
    /// Asked for and not needed; who signed them is checked at login.
    Asked,
    /// Needed, and checked against the authorities.
    Required,
}

/// Keys that are known and do nothing here; none of them makes the server less safe by doing nothing.
pub(super) const UNUSED: &[&str] = &[
    "agent_api",
    "cluster_address",
    "cors_allow_credentials",
    "cors_allowed_headers",
    "cors_allowed_origins",
    "cors_enabled",
    "custom_response_headers",
    "disable_replication_status_endpoints",
    "disable_request_limiter",
    "inflight_requests_logging",
    "max_request_json_memory",
    "max_request_json_strings",
    "profiling",
    "proxy_api",
    "purpose",
    "redact_addresses",
    "redact_cluster_name",
    "redact_version",
    "socket_group",
    "socket_mode",
    "socket_user",
    "tls_auto_reload",
    "tls_auto_reload_interval",
    "tls_cipher_suites",
    "tls_key_exchange_preferences",
    "tls_prefer_server_cipher_suites",
    "x_forwarded_for_client_cert_decoders",
    "x_forwarded_for_client_cert_keep_not_forwarded",
    "x_forwarded_for_client_cert_keep_unauthorized",
];

/// Keys without which the server would be less safe than the operator thinks, or not reachable: the reason, and what to
/// do instead.
pub(super) const REFUSED: &[(&str, &str)] = &[
    ("chroot_namespace", "the listener would open all namespaces"),
    (
        "disable_unauthed_generate_root_endpoints",
        "those endpoints are open to whoever holds shares: block sys/generate-root in front",
    ),
    ("disable_unauthed_rekey_endpoints", "those endpoints are open to whoever holds shares: block sys/rekey in front"),
    ("role", "the listener would serve everything: remove it, or the listener"),
    ("tls_acme_ca_directory", "certificates are not fetched: give `tls_cert_file` and `tls_key_file`"),
    ("tls_acme_ca_root", "certificates are not fetched: give `tls_cert_file` and `tls_key_file`"),
    ("tls_acme_cache_path", "certificates are not fetched: give `tls_cert_file` and `tls_key_file`"),
    ("tls_acme_disable_alpn_challenge", "certificates are not fetched: give `tls_cert_file` and `tls_key_file`"),
    ("tls_acme_disable_http_challenge", "certificates are not fetched: give `tls_cert_file` and `tls_key_file`"),
    ("tls_acme_domains", "certificates are not fetched: give `tls_cert_file` and `tls_key_file`"),
    ("tls_acme_eab_key_id", "certificates are not fetched: give `tls_cert_file` and `tls_key_file`"),
    ("tls_acme_eab_mac_key", "certificates are not fetched: give `tls_cert_file` and `tls_key_file`"),
    ("tls_acme_email", "certificates are not fetched: give `tls_cert_file` and `tls_key_file`"),
    ("tls_acme_key_type", "certificates are not fetched: give `tls_cert_file` and `tls_key_file`"),
    ("tls_acme_test_ca_directory", "certificates are not fetched: give `tls_cert_file` and `tls_key_file`"),
    ("x_forwarded_for_client_cert_header", "a certificate in a header is not believed: end TLS here"),
];

/// The largest request that Vault takes by default.
const LARGEST_REQUEST: u64 = 32 * 1024 * 1024;

impl Listener {
    pub(super) fn read(block: &Block<'_>, reader: &mut Reader<'_>) -> Result<Self, ConfigError> {
        let kind = block.label.to_lowercase();
        if !matches!(kind.as_str(), "tcp" | "unix") {
            let what = format!("listener {kind:?} cannot be served by this version; there are: tcp, unix");
            return Err(reader.wrong(block.line, what));
        }
        let mut draft = Draft::new();
        draft.unix = (kind == "unix").then(UnixSocket::default);
        reader.warn_repeated(block.body);
        for item in block.body {
            draft.take(item, reader)?;
        }
        draft.finish(block, reader)
    }
}

/// A listener while its keys are gathered.
struct Draft {
    listener: Listener,
    unix: Option<UnixSocket>,
    path: Option<String>,
    forwarded: forwarded::Draft,
    proxied: proxied::Draft,
    tls_disable: bool,
    cert_file: Option<PathBuf>,
    key_file: Option<PathBuf>,
    min_version: TlsVersion,
    max_version: TlsVersion,
    client_ca_file: Option<PathBuf>,
    require_client_cert: bool,
    disable_client_certs: bool,
}

impl Draft {
    fn new() -> Self {
        Self {
            listener: Listener {
                address: "127.0.0.1:8200".to_owned(),
                unix: None,
                forwarded: None,
                proxy_protocol: None,
                tls: None,
                max_request_size: LARGEST_REQUEST,
                max_request_duration: None,
                require_request_header: false,
                unauthenticated_metrics: false,
                read_header_timeout: Duration::from_secs(10),
                read_timeout: Duration::from_secs(30),
                write_timeout: Duration::ZERO,
                idle_timeout: Duration::from_secs(300),
            },
            unix: None,
            path: None,
            forwarded: forwarded::Draft::default(),
            proxied: proxied::Draft::default(),
            tls_disable: false,
            cert_file: None,
            key_file: None,
            min_version: TlsVersion::Tls12,
            max_version: TlsVersion::Tls13,
            client_ca_file: None,
            require_client_cert: false,
            disable_client_certs: false,
        }
    }

    fn take(&mut self, item: &Item, reader: &mut Reader<'_>) -> Result<(), ConfigError> {
        if let Some(unix) = &mut self.unix
            && unix.take(item, reader)?
        {
            return Ok(());
        }
        if self.forwarded.take(item, reader)? || self.proxied.take(item, reader)? {
            return Ok(());
        }
        let listener = &mut self.listener;
        match item.name.as_str() {
            "type" => {}
            "address" if self.unix.is_some() => self.path = Some(reader.text(item)?),
            "address" => listener.address = address(item, reader)?,
            "max_request_size" => listener.max_request_size = request_size(item, reader)?,
            "max_request_duration" => {
                listener.max_request_duration = Some(reader.span(item)?).filter(|span| !span.is_zero());
            }
            "require_request_header" => listener.require_request_header = reader.switch(item)?,
            "telemetry" => listener.unauthenticated_metrics = metrics_for_anybody(item, reader)?,
            "http_read_header_timeout" => listener.read_header_timeout = reader.span(item)?,
            "http_read_timeout" => listener.read_timeout = reader.span(item)?,
            "http_write_timeout" => listener.write_timeout = reader.span(item)?,
            "http_idle_timeout" => listener.idle_timeout = reader.span(item)?,
            "tls_disable" => self.tls_disable = reader.switch(item)?,
            "tls_cert_file" => self.cert_file = file(item, reader)?,
            "tls_key_file" => self.key_file = file(item, reader)?,
            "tls_client_ca_file" => self.client_ca_file = file(item, reader)?,
            "tls_min_version" => self.min_version = version(item, reader)?,
            "tls_max_version" => self.max_version = version(item, reader)?,
            "tls_require_and_verify_client_cert" => self.require_client_cert = reader.switch(item)?,
            "tls_disable_client_certs" => self.disable_client_certs = reader.switch(item)?,
            name => return other(name, item, reader),
        }
        Ok(())
    }

    fn finish(self, block: &Block<'_>, reader: &Reader<'_>) -> Result<Listener, ConfigError> {
        if self.unix.is_some() {
            let address = unix::path(self.path, block, reader)?;
            return Ok(Listener { address, unix: self.unix, ..self.listener });
        }
        let tls = if self.tls_disable { None } else { Some(self.tls(block, reader)?) };
        let forwarded = self.forwarded.finish(block, reader)?;
        let proxy_protocol = self.proxied.finish(block, reader)?;
        Ok(Listener { tls, forwarded, proxy_protocol, ..self.listener })
    }

    fn tls(&self, block: &Block<'_>, reader: &Reader<'_>) -> Result<Tls, ConfigError> {
        let (Some(cert_file), Some(key_file)) = (self.cert_file.clone(), self.key_file.clone()) else {
            let what = "listener \"tcp\" needs `tls_cert_file` and `tls_key_file`; to serve without TLS write `tls_disable = true`";
            return Err(reader.wrong(block.line, what));
        };
        if self.require_client_cert && self.disable_client_certs {
            let what =
                "`tls_require_and_verify_client_cert` and `tls_disable_client_certs` exclude each other: remove one";
            return Err(reader.wrong(block.line, what));
        }
        if self.max_version < self.min_version {
            return Err(
                reader.wrong(block.line, "`tls_max_version` is below `tls_min_version`: no client could connect")
            );
        }
        let client_certs = match (self.require_client_cert, self.disable_client_certs) {
            (true, _) => ClientCerts::Required,
            (false, true) => ClientCerts::NotAsked,
            (false, false) => ClientCerts::Asked,
        };
        let (min_version, max_version) = (self.min_version, self.max_version);
        Ok(Tls {
            cert_file,
            key_file,
            min_version,
            max_version,
            client_certs,
            client_ca_file: self.client_ca_file.clone(),
        })
    }
}

/// A key that is not served: a warning, or an error when leaving it out is less safe.
fn other(name: &str, item: &Item, reader: &mut Reader<'_>) -> Result<(), ConfigError> {
    if let Some((_, reason)) = REFUSED.iter().find(|(refused, _)| *refused == name) {
        let is_off = reader.switch(item).is_ok_and(|on| !on) || (name == "role" && reader.text(item)? == "default");
        if is_off {
            return Ok(());
        }
        return Err(
            reader.wrong(item.line, format!("`{name}` cannot be served by this version, and without it {reason}"))
        );
    }
    if UNUSED.contains(&name) {
        reader.warn_unused(item)
    } else {
        reader.warn_unknown(item, "a listener")
    }
    Ok(())
}

/// The one key of `telemetry { }` that is served; the others do nothing.
fn metrics_for_anybody(item: &Item, reader: &mut Reader<'_>) -> Result<bool, ConfigError> {
    let mut anybody = false;
    for body in item.bodies().map_err(|error| reader.wrong(error.line, error.what))? {
        for inner in body {
            match inner.name.as_str() {
                "unauthenticated_metrics_access" => anybody = reader.switch(inner)?,
                "unauthenticated_pprof_access" | "unauthenticated_in_flight_request_access" => {
                    reader.warn_unused(inner)
                }
                _ => reader.warn_unknown(inner, "`telemetry` of a listener"),
            }
        }
    }
    Ok(anybody)
}

fn file(item: &Item, reader: &Reader<'_>) -> Result<Option<PathBuf>, ConfigError> {
    let text = reader.text(item)?;
    Ok((!text.is_empty()).then(|| text.into()))
}

/// Host and port; no host means all addresses, as in Go.
fn address(item: &Item, reader: &Reader<'_>) -> Result<String, ConfigError> {
    let text = reader.text(item)?;
    if text.contains("{{") {
        return Err(reader
            .wrong(item.line, "`address` holds a template, which this version does not fill in: write the address"));
    }
    let host_and_port = text.rsplit_once(':').filter(|(host, _)| !host.contains(':') || host.ends_with(']'));
    match host_and_port {
        Some(("", port)) if port.parse::<u16>().is_ok() => Ok(format!("[::]:{port}")),
        Some((_, port)) if port.parse::<u16>().is_ok() => Ok(text),
        _ => {
            let what =
                format!("`address` is {text:?} and must be host and port: write `127.0.0.1:8200` or `[::1]:8200`");
            Err(reader.wrong(item.line, what))
        }
    }
}

fn request_size(item: &Item, reader: &mut Reader<'_>) -> Result<u64, ConfigError> {
    match u64::try_from(reader.number(item)?) {
        Ok(0) => Ok(LARGEST_REQUEST),
        Ok(size) => Ok(size),
        Err(_) => {
            reader.warn(item.line, "`max_request_size` below zero does not switch the limit off: 32 MiB stay");
            Ok(LARGEST_REQUEST)
        }
    }
}

fn version(item: &Item, reader: &mut Reader<'_>) -> Result<TlsVersion, ConfigError> {
    match reader.text(item)?.as_str() {
        "tls13" => Ok(TlsVersion::Tls13),
        "tls12" => Ok(TlsVersion::Tls12),
        old @ ("tls10" | "tls11") if item.name == "tls_min_version" => {
            reader.warn(item.line, format!("{old} is broken and not spoken (RFC 8996): tls12 is the oldest"));
            Ok(TlsVersion::Tls12)
        }
        _ => Err(reader.wrong(item.line, format!("`{}` must be tls12 or tls13", item.name))),
    }
}
