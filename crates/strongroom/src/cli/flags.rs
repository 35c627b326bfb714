//! The flags every command takes and the environment behind them, resolved into one value: flag first, then
//! `STRONGROOM_X`, then `VAULT_X`, then Vault's default. Reads no files and opens nothing.

use super::env::Env;
use super::error::CliError;
use super::format::Format;
use super::grammar::{Flag, Parsed, parse_bool, read_span, switch, valued};
use std::path::PathBuf;
use std::time::Duration;
use strongroom_model::{SecretString, Ttl};

/// Flags that every command takes.
pub(crate) const GLOBAL: &[Flag] = &[
    valued(
        "address",
        "url",
        "Address of the server; also a path prefix or unix:///path. Env: VAULT_ADDR. Default: https://127.0.0.1:8200",
    ),
    valued("ca-cert", "file", "PEM file with the authorities to trust instead of the system's. Env: VAULT_CACERT"),
    valued("ca-path", "folder", "Folder of such PEM files. Env: VAULT_CAPATH"),
    valued("client-cert", "file", "PEM certificate to show to the server, with -client-key. Env: VAULT_CLIENT_CERT"),
    valued("client-key", "file", "PEM private key of -client-cert. Env: VAULT_CLIENT_KEY"),
    valued("tls-server-name", "name", "Name to expect in the server's certificate. Env: VAULT_TLS_SERVER_NAME"),
    switch(
        "tls-skip-verify",
        "Accept any certificate: whoever sits in between reads everything. Env: VAULT_SKIP_VERIFY",
    ),
    Flag {
        name: "namespace",
        alias: "ns",
        value: "path",
        about: "Namespace the command works in. Env: VAULT_NAMESPACE",
    },
    valued("format", "table", "table, json, yaml; raw for `read`. Env: VAULT_FORMAT"),
    valued("field", "name", "Print this field of the answer only; without line end when piped"),
    valued("header", "key=value", "HTTP header to add; may be repeated. Not X-Vault-*"),
    valued("wrap-ttl", "span", "Have the answer wrapped into a token that lives this long. Env: VAULT_WRAP_TTL"),
    switch("disable-redirects", "Do not follow a redirect. Env: VAULT_DISABLE_REDIRECTS"),
    switch("non-interactive", "Never ask on the terminal"),
    switch("output-curl-string", "Print the request as a curl command instead of sending it"),
    switch("output-policy", "Print the policy that the request needs instead of sending it"),
    valued("log-level", "level", "Accepted and ignored; it is the server's"),
];

/// What to do with the main request instead of sending it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Instead {
    /// Print it for curl.
    Curl,
    /// Print the policy it needs.
    Policy,
}

/// Everything the global flags and the environment decide. Not `Debug`: it holds a token.
pub(crate) struct Settings {
    /// As given, unparsed.
    pub(crate) address: String,
    /// From the environment; the token file is read later, when it is needed.
    pub(crate) token: Option<SecretString>,
    /// Without slashes at its ends; empty for the root.
    pub(crate) namespace: String,
    /// What TLS needs.
    pub(crate) tls: TlsSettings,
    /// For one attempt.
    pub(crate) timeout: Duration,
    /// How often a request is repeated after the first attempt.
    pub(crate) retries: u32,
    /// Whether redirects are followed.
    pub(crate) redirects: bool,
    /// Headers to add.
    pub(crate) headers: Vec<(String, String)>,
    /// What goes into `X-Vault-Wrap-TTL`.
    pub(crate) wrap_ttl: Option<String>,
    /// How results are printed.
    pub(crate) format: Format,
    /// The single field to print.
    pub(crate) field: Option<String>,
    /// What to do instead of sending.
    pub(crate) instead: Option<Instead>,
    /// Whether asking is forbidden.
    pub(crate) non_interactive: bool,
}

/// What TLS needs.
#[derive(Clone, Default)]
pub(crate) struct TlsSettings {
    /// A file of authorities.
    pub(crate) ca_cert: Option<PathBuf>,
    /// A folder of them.
    pub(crate) ca_path: Option<PathBuf>,
    /// Our certificate.
    pub(crate) client_cert: Option<PathBuf>,
    /// Its key.
    pub(crate) client_key: Option<PathBuf>,
    /// The name to expect.
    pub(crate) server_name: Option<String>,
    /// Whether any certificate will do.
    pub(crate) skip_verify: bool,
}

impl Settings {
    /// Resolves flags and environment.
    pub(crate) fn resolve(parsed: &Parsed, env: &Env) -> Result<Self, CliError> {
        let either = |flag: &str, name: &str| parsed.text(flag).or_else(|| env.setting(name)).map(str::to_owned);
        let format = either("format", "FORMAT").map_or(Ok(Format::Table), |text| Format::parse(&text))?;
        Ok(Self {
            address: either("address", "ADDR").unwrap_or_else(|| "https://127.0.0.1:8200".to_owned()),
            token: env.setting("TOKEN").map(|token| SecretString::new(token.trim().to_owned())),
            namespace: either("namespace", "NAMESPACE").unwrap_or_default().trim_matches('/').to_owned(),
            tls: TlsSettings::resolve(parsed, env)?,
            timeout: timeout(env)?,
            retries: retries(env)?,
            redirects: !on(parsed, env, "disable-redirects", "DISABLE_REDIRECTS")?,
            headers: headers(parsed)?,
            wrap_ttl: wrap_ttl(parsed, env)?,
            format,
            field: parsed.text("field").filter(|field| !field.is_empty()).map(str::to_owned),
            instead: instead(parsed),
            non_interactive: parsed.is_on("non-interactive"),
        })
    }
}

impl Settings {
    /// The same manners towards another server: no token, no headers and no certificate of ours go there.
    pub(crate) fn towards(&self, address: &str, namespace: String, tls: TlsSettings) -> Self {
        Self {
            address: address.to_owned(),
            token: None,
            namespace,
            tls,
            timeout: self.timeout,
            retries: self.retries,
            redirects: self.redirects,
            headers: Vec::new(),
            wrap_ttl: None,
            format: self.format,
            field: None,
            instead: None,
            non_interactive: self.non_interactive,
        }
    }
}

impl TlsSettings {
    fn resolve(parsed: &Parsed, env: &Env) -> Result<Self, CliError> {
        let file = |flag: &str, name: &str| parsed.text(flag).or_else(|| env.setting(name)).map(PathBuf::from);
        let tls = Self {
            ca_cert: file("ca-cert", "CACERT"),
            ca_path: file("ca-path", "CAPATH"),
            client_cert: file("client-cert", "CLIENT_CERT"),
            client_key: file("client-key", "CLIENT_KEY"),
            server_name: parsed
                .text("tls-server-name")
                .or_else(|| env.setting("TLS_SERVER_NAME"))
                .map(str::to_owned)
                .filter(|name| !name.is_empty()),
            skip_verify: on(parsed, env, "tls-skip-verify", "SKIP_VERIFY")?,
        };
        match (&tls.client_cert, &tls.client_key) {
            (Some(_), None) => Err(CliError::usage("-client-cert needs -client-key (VAULT_CLIENT_KEY) as well")),
            (None, Some(_)) => Err(CliError::usage("-client-key needs -client-cert (VAULT_CLIENT_CERT) as well")),
            _ => Ok(tls),
        }
    }
}

fn on(parsed: &Parsed, env: &Env, flag: &str, name: &str) -> Result<bool, CliError> {
    match (parsed.switch(flag), env.named(name)) {
        (Some(given), _) => Ok(given),
        (None, None) => Ok(false),
        (None, Some((full, text))) => {
            parse_bool(text).ok_or_else(|| CliError::usage(format!("{full} is neither true nor false")))
        }
    }
}

fn timeout(env: &Env) -> Result<Duration, CliError> {
    let Some((full, text)) = env.named("CLIENT_TIMEOUT") else { return Ok(Duration::from_secs(60)) };
    let Ttl(span) = Ttl::parse(text).map_err(|wrong| CliError::usage(format!("{full}: {wrong}")))?;
    if span.is_zero() {
        Err(CliError::usage(format!("{full} is zero, so no request could end in time")))
    } else {
        Ok(span)
    }
}

fn retries(env: &Env) -> Result<u32, CliError> {
    let Some((full, text)) = env.named("MAX_RETRIES") else { return Ok(2) };
    text.trim().parse().map_err(|_| CliError::usage(format!("{full} wants a whole number, 0 for none")))
}

fn headers(parsed: &Parsed) -> Result<Vec<(String, String)>, CliError> {
    let headers = parsed.map("header")?;
    match headers.keys().find(|name| name.to_ascii_lowercase().starts_with("x-vault-")) {
        Some(name) => Err(CliError::usage(format!(
            "-header {name}: names beginning with X-Vault- are set by the command line itself"
        ))),
        None => Ok(headers.into_iter().collect()),
    }
}

fn wrap_ttl(parsed: &Parsed, env: &Env) -> Result<Option<String>, CliError> {
    let span = match parsed.span("wrap-ttl")? {
        Some(span) => Some(span),
        None => env.named("WRAP_TTL").map(|(full, text)| read_span(&full, text)).transpose()?,
    };
    Ok(span.filter(|span| !matches!(span.as_str(), "" | "0s")))
}

fn instead(parsed: &Parsed) -> Option<Instead> {
    match (parsed.is_on("output-curl-string"), parsed.is_on("output-policy")) {
        (true, _) => Some(Instead::Curl),
        (false, true) => Some(Instead::Policy),
        (false, false) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::grammar::{Command, Exit};

    const PLAIN: Command =
        Command { words: "x", usage: "", about: "", details: "", flags: &[], count: (0, 0), run: |_| Ok(Exit::Good) };

    fn resolve(line: &[&str], env: &[(&str, &str)]) -> Result<Settings, String> {
        let argv: Vec<String> = line.iter().map(|item| (*item).to_owned()).collect();
        let env: Env = env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let parsed = Parsed::read(&PLAIN, GLOBAL, &argv).map_err(|error| error.to_string())?;
        Settings::resolve(&parsed, &env).map_err(|error| error.to_string())
    }

    #[test]
    fn without_anything_the_defaults_are_vaults() {
        let settings = resolve(&[], &[]).unwrap();
        assert_eq!(settings.address, "https://127.0.0.1:8200");
        assert_eq!((settings.timeout, settings.retries), (Duration::from_secs(60), 2));
        assert!(settings.format == Format::Table && settings.token.is_none() && !settings.tls.skip_verify);
    }

    #[test]
    fn a_flag_beats_the_environment() {
        let env = [("VAULT_ADDR", "http://a"), ("VAULT_FORMAT", "json"), ("VAULT_SKIP_VERIFY", "true")];
        let settings = resolve(&["-address=http://b", "-tls-skip-verify=false", "-ns=/team/"], &env).unwrap();
        assert_eq!((settings.address.as_str(), settings.namespace.as_str()), ("http://b", "team"));
        assert!(settings.format == Format::Json && !settings.tls.skip_verify);
    }

    #[test]
    fn wrong_settings_name_the_place() {
        assert!(resolve(&[], &[("VAULT_CLIENT_TIMEOUT", "soon")]).err().unwrap().starts_with("VAULT_CLIENT_TIMEOUT: "));
        assert!(resolve(&[], &[("STRONGROOM_MAX_RETRIES", "x")]).err().unwrap().starts_with("STRONGROOM_MAX_RETRIES"));
        assert!(resolve(&["-client-cert=x"], &[]).err().unwrap().contains("-client-key"));
        assert!(resolve(&["-header=x-vault-token=y"], &[]).err().unwrap().contains("X-Vault-"));
        assert_eq!(
            resolve(&["-format=xml"], &[]).err().unwrap(),
            "Invalid output format: xml; it is table, json, yaml or raw"
        );
    }
}
