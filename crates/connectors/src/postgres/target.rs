use crate::address::{Address, invalid};
use crate::network::{Host, Tls};
use crate::{ConnectorError, Settings, TlsTrust};
use std::collections::BTreeMap;
use strongroom_model::SecretString;
use tokio_postgres::Config;
use tokio_postgres::config::SslMode;

/// Where to connect, with what the driver is told besides name and password.
pub(super) struct Target {
    pub(super) host: Host,
    pub(super) config: Config,
    pub(super) username: String,
    pub(super) password: SecretString,
}

impl Target {
    pub(super) fn read(settings: &Settings) -> Result<Self, ConnectorError> {
        let url = settings.url.expose();
        let mut address = if url.contains("://") { Address::of_url(settings)? } else { Address::of_pairs(settings)? };
        if !matches!(address.scheme.as_str(), "" | "postgres" | "postgresql") {
            return Err(invalid("it begins with another word than postgresql://"));
        }
        if address.username.is_empty() {
            return Err(invalid("it names no user: set username"));
        }
        let mut config = Config::new();
        config.application_name("strongroom");
        let database = if address.database.is_empty() { address.username.clone() } else { address.database.clone() };
        config.dbname(database);
        let tls = tls(settings, &mut address.options, &address.host)?;
        config.ssl_mode(if tls.is_some() { SslMode::Require } else { SslMode::Disable });
        apply(&mut config, address.options)?;
        let host = Host { name: address.host, port: address.port.unwrap_or(5432), tls };
        Ok(Self { host, config, username: address.username, password: address.password })
    }
}

/// `sslmode` in the words of libpq. The ones that would check no certificate check it all the same, and the ones that
/// would try TLS without being sure of it do without.
fn tls(settings: &Settings, options: &mut BTreeMap<String, String>, host: &str) -> Result<Option<Tls>, ConnectorError> {
    let machine = TlsTrust::default();
    let mode = options.remove("sslmode");
    let asked = match mode.as_deref() {
        None | Some("allow" | "prefer") => false,
        Some("disable") if settings.tls.is_some() => {
            return Err(invalid("sslmode=disable contradicts the certificate authority that is given too"));
        }
        Some("disable") => false,
        Some("require" | "verify-ca" | "verify-full") => true,
        Some(_) => return Err(invalid("its sslmode is none of disable, prefer, require, verify-ca, verify-full")),
    };
    match &settings.tls {
        Some(trust) => Tls::new(trust, host).map(Some),
        None if asked => Tls::new(&machine, host).map(Some),
        None => Ok(None),
    }
}

fn apply(config: &mut Config, options: BTreeMap<String, String>) -> Result<(), ConnectorError> {
    for (key, value) in options {
        match key.as_str() {
            "application_name" => drop(config.application_name(value)),
            "options" => drop(config.options(value)),
            "search_path" if !value.contains([' ', '\\']) => drop(config.options(format!("-c search_path={value}"))),
            // Set by max_connection_lifetime and the deadlines of the connector.
            "connect_timeout" | "statement_timeout" => {}
            "sslrootcert" | "sslcert" | "sslkey" => {
                return Err(invalid("it names a certificate's file: give its content with tls_ca, tls_certificate"));
            }
            _ => {
                return Err(ConnectorError::Config {
                    what: format!("the address has an option {key} that is not known"),
                });
            }
        }
    }
    Ok(())
}
