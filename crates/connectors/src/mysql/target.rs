use crate::address::{Address, invalid};
use crate::network::{self, Host, Tls};
use crate::{ConnectorError, Settings, TlsTrust};
use mysql_async::{ClientIdentity, Opts, OptsBuilder, SslOpts};
use std::collections::BTreeMap;
use std::time::Duration;
use strongroom_model::SecretString;

/// Options of Go's driver that say how it reads answers or waits, which we decide ourselves.
const OURS: &[&str] = &[
    "allowNativePasswords",
    "charset",
    "checkConnLiveness",
    "clientFoundRows",
    "collation",
    "columnsWithAlias",
    "interpolateParams",
    "loc",
    "maxAllowedPacket",
    "multiStatements",
    "parseTime",
    "readTimeout",
    "rejectReadOnly",
    "timeout",
    "writeTimeout",
];

/// Where to connect, and with whom to trust.
pub(super) struct Target {
    pub(super) label: String,
    pub(super) username: String,
    pub(super) password: SecretString,
    host: String,
    port: u16,
    database: String,
    tls: Option<SslOpts>,
}

impl Target {
    pub(super) fn read(settings: &Settings) -> Result<Self, ConnectorError> {
        let url = settings.url.expose();
        let mut address = if url.contains("://") { Address::of_url(settings)? } else { Address::of_go(settings)? };
        if !matches!(address.scheme.as_str(), "mysql" | "mariadb") {
            return Err(invalid("it begins with another word than mysql://"));
        }
        if address.username.is_empty() {
            return Err(invalid("it names no user: set username"));
        }
        let asked = tls_asked(&mut address.options)?;
        if let Some(key) = address.options.keys().find(|key| !OURS.contains(&key.as_str())) {
            return Err(ConnectorError::Config { what: format!("the address has an option {key} that is not known") });
        }
        let tls = match &settings.tls {
            Some(trust) => Some(tls(trust, &address.host)?),
            None if asked => Some(tls(&TlsTrust::default(), &address.host)?),
            None => None,
        };
        let port = address.port.unwrap_or(3306);
        let label = Host { name: address.host.clone(), port, tls: None }.label();
        let (username, password, host) = (address.username, address.password, address.host);
        Ok(Self { label, username, password, host, port, database: address.database, tls })
    }

    /// What the driver needs to log somebody in.
    pub(super) fn options(&self, name: &str, password: &SecretString, database: bool, wait: Duration) -> Opts {
        let database = Some(self.database.clone()).filter(|name| database && !name.is_empty());
        // Our quoting relies on neither mode being set. A lock that is not had by the deadline is not waited for.
        let session = format!(
            "SET SESSION sql_mode = REPLACE(REPLACE(REPLACE(@@sql_mode, 'NO_BACKSLASH_ESCAPES', ''), 'ANSI_QUOTES', ''), \
             'ANSI', ''), lock_wait_timeout = {}",
            wait.as_secs().max(1)
        );
        let options = OptsBuilder::default()
            .ip_or_hostname(self.host.clone())
            .tcp_port(self.port)
            .user(Some(name))
            .pass(Some(password.expose()))
            .db_name(database)
            .prefer_socket(false)
            .stmt_cache_size(0)
            .tcp_nodelay(true)
            .setup(vec![session])
            .ssl_opts(self.tls.clone());
        Opts::from(options)
    }
}

fn tls_asked(options: &mut BTreeMap<String, String>) -> Result<bool, ConnectorError> {
    match options.remove("tls").as_deref() {
        None | Some("false") => Ok(false),
        // `custom` is what Vault calls the authority that is given beside the address.
        Some("true" | "custom") => Ok(true),
        Some(_) => Err(invalid("its tls is none of true, false, custom; certificates are always checked: give tls_ca")),
    }
}

fn tls(trust: &TlsTrust, host: &str) -> Result<SslOpts, ConnectorError> {
    // Checks what was given, in words of ours.
    Tls::new(trust, host)?;
    let roots = network::authorities(trust)?.into_iter().map(|root| root.to_vec().into()).collect();
    let identity = trust.client.as_ref().map(|ours| {
        let (chain, key) = (ours.chain_pem.clone().into_bytes(), ours.key_pem.expose().as_bytes().to_vec());
        ClientIdentity::new(chain.into(), key.into())
    });
    let options = SslOpts::default().with_root_certs(roots).with_disable_built_in_roots(true);
    let options = options.with_client_identity(identity);
    Ok(options.with_danger_tls_hostname_override(trust.server_name.clone()))
}
