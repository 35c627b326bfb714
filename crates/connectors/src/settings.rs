use std::time::Duration;
use strongroom_model::SecretString;

/// How to reach an outside system, and as whom. No `Debug`: the address may hold a password too.
pub struct Settings {
    /// The address as the operator wrote it. `{{username}}` and `{{password}}` in it stand for the two fields below; what
    /// is written in their places instead is used as it is.
    pub url: SecretString,
    /// The connector's own login.
    pub username: String,
    /// Its password.
    pub password: SecretString,
    /// Who is trusted to be that system. `None`: the address decides whether TLS is used, by the system's public roots.
    pub tls: Option<TlsTrust>,
    /// Bounds of time and number.
    pub limits: Limits,
    /// In which form PostgreSQL is given new passwords.
    pub password_form: PasswordForm,
}

/// TLS is required, and checked against this. There is no way to check nothing.
#[derive(Default)]
pub struct TlsTrust {
    /// Certificates in PEM that vouch for the server; the machine's own roots when `None`.
    pub ca_pem: Option<String>,
    /// The name that its certificate must have; the host of the address when `None`.
    pub server_name: Option<String>,
    /// What we show in turn.
    pub client: Option<ClientCertificate>,
}

/// A certificate of ours with its key.
pub struct ClientCertificate {
    /// The chain in PEM, ours first.
    pub chain_pem: String,
    /// The private key in PEM.
    pub key_pem: SecretString,
}

/// Bounds of one connector. A request waits at most `connect` for a place, `connect` for a connection, `statement` for its
/// answer, and `connect` for being cancelled; ending what an earlier call left takes at most `statement` more. A verb is
/// one to a few requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Most connections at one time (Vault: `max_open_connections`, default 4).
    pub max_open: usize,
    /// Most connections kept for later use (Vault: `max_idle_connections`).
    pub max_idle: usize,
    /// A connection older than this is not used again (Vault: `max_connection_lifetime`; zero: no bound).
    pub max_lifetime: Duration,
    /// Longest wait for a free place and for a connection with login.
    pub connect: Duration,
    /// Longest wait for the answer to a request.
    pub statement: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_open: 4,
            max_idle: 4,
            max_lifetime: Duration::ZERO,
            connect: Duration::from_secs(5),
            statement: Duration::from_secs(15),
        }
    }
}

/// Vault's `password_authentication`: what PostgreSQL is sent when a password is set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PasswordForm {
    /// The password; the server derives what it keeps (Vault: `password`).
    #[default]
    Plain,
    /// What the server would derive, so that its logs never see the password (Vault: `scram-sha-256`).
    ScramSha256,
}
