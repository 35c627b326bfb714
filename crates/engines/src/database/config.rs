use super::kind::Kind;
use crate::sent::{self, expose, replace};
use crate::template::Template;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use std::time::Duration;
use strongroom_connectors::{ClientCertificate, Limits, PasswordForm, Settings, TlsTrust, Whereabouts};
use strongroom_core::{CoreError, Fields};
use strongroom_model::{RoleName, SecretString, Ttl};

/// How one database is reached, as it is kept. Every write is a new edition, so that open connections of an earlier one
/// are told from those of this.
#[derive(Serialize, Deserialize)]
pub(super) struct Config {
    pub(super) name: RoleName,
    pub(super) edition: u64,
    plugin: String,
    kind: Kind,
    #[serde(serialize_with = "expose")]
    url: SecretString,
    pub(super) username: String,
    #[serde(serialize_with = "expose")]
    password: SecretString,
    allowed_roles: Vec<String>,
    pub(super) verify_connection: bool,
    pub(super) root_rotation_statements: Vec<String>,
    pub(super) password_policy: Option<RoleName>,
    username_template: String,
    max_open: u32,
    max_idle: u32,
    max_lifetime: Ttl,
    tls_ca: String,
    tls_server_name: String,
    tls_certificate: String,
    #[serde(serialize_with = "expose")]
    tls_key: SecretString,
    scram: bool,
    /// Accepted and given back: placeholders in the address are always written as an address needs them.
    disable_escaping: bool,
}

fn secret() -> SecretString {
    SecretString::new(String::new())
}

impl Config {
    /// A new connection from what was sent.
    pub(super) fn create(name: RoleName, sent: &Fields) -> Result<Self, CoreError> {
        let plugin = sent.text_or_empty("plugin_name")?;
        if plugin.is_empty() {
            return Err(CoreError::Invalid("empty plugin name: set plugin_name".to_owned()));
        }
        let mut config = Self {
            name,
            edition: 0,
            kind: Kind::of_plugin(&plugin)?,
            plugin,
            url: secret(),
            username: String::new(),
            password: secret(),
            allowed_roles: Vec::new(),
            verify_connection: true,
            root_rotation_statements: Vec::new(),
            password_policy: None,
            username_template: String::new(),
            max_open: 4,
            max_idle: 0,
            max_lifetime: Ttl::ZERO,
            tls_ca: String::new(),
            tls_server_name: String::new(),
            tls_certificate: String::new(),
            tls_key: secret(),
            scram: false,
            disable_escaping: false,
        };
        config.take(sent)?;
        Ok(config)
    }

    /// This connection with what was sent; what was not sent stays.
    pub(super) fn changed(&self, sent: &Fields) -> Result<Self, CoreError> {
        let mut changed = self.duplicate();
        if let Some(plugin) = sent.text("plugin_name")?.filter(|plugin| !plugin.is_empty()) {
            changed.kind = Kind::of_plugin(&plugin)?;
            changed.plugin = plugin;
        }
        changed.edition += 1;
        changed.take(sent)?;
        Ok(changed)
    }

    /// This connection with another password of its own login.
    pub(super) fn with_password(&self, password: SecretString) -> Self {
        Self { password, edition: self.edition + 1, ..self.duplicate() }
    }

    fn duplicate(&self) -> Self {
        Self {
            name: self.name.clone(),
            edition: self.edition,
            plugin: self.plugin.clone(),
            kind: self.kind,
            url: self.url.duplicate(),
            username: self.username.clone(),
            password: self.password.duplicate(),
            allowed_roles: self.allowed_roles.clone(),
            verify_connection: self.verify_connection,
            root_rotation_statements: self.root_rotation_statements.clone(),
            password_policy: self.password_policy.clone(),
            username_template: self.username_template.clone(),
            max_open: self.max_open,
            max_idle: self.max_idle,
            max_lifetime: self.max_lifetime,
            tls_ca: self.tls_ca.clone(),
            tls_server_name: self.tls_server_name.clone(),
            tls_certificate: self.tls_certificate.clone(),
            tls_key: self.tls_key.duplicate(),
            scram: self.scram,
            disable_escaping: self.disable_escaping,
        }
    }

    fn take(&mut self, sent: &Fields) -> Result<(), CoreError> {
        replace(&mut self.url, sent.secret("connection_url")?);
        replace(&mut self.username, sent.text("username")?);
        replace(&mut self.password, sent.secret("password")?);
        replace(&mut self.allowed_roles, sent.list("allowed_roles")?);
        replace(&mut self.verify_connection, sent.flag("verify_connection")?);
        for field in ["root_rotation_statements", "root_credentials_rotate_statements"] {
            replace(&mut self.root_rotation_statements, sent::statements(sent, field)?);
        }
        if let Some(policy) = sent.text("password_policy")? {
            self.password_policy = if policy.is_empty() { None } else { Some(RoleName::parse(&policy)?) };
        }
        replace(&mut self.username_template, sent.text("username_template")?);
        replace(&mut self.max_open, connections(sent, "max_open_connections")?);
        replace(&mut self.max_idle, connections(sent, "max_idle_connections")?);
        replace(&mut self.max_lifetime, sent.ttl("max_connection_lifetime")?);
        for (kept, names) in [
            (&mut self.tls_ca, ["tls_ca", "ca_cert"]),
            (&mut self.tls_server_name, ["tls_server_name", "server_name"]),
            (&mut self.tls_certificate, ["tls_certificate", "tls_cert"]),
        ] {
            for name in names {
                replace(kept, sent.text(name)?);
            }
        }
        for name in ["tls_certificate_key", "tls_key", "private_key"] {
            replace(&mut self.tls_key, sent.secret(name)?);
        }
        replace(&mut self.disable_escaping, sent.flag("disable_escaping")?);
        match sent.text("password_authentication")?.as_deref() {
            None => {}
            Some("password" | "") => self.scram = false,
            Some("scram-sha-256") => self.scram = true,
            Some(_) => return Err(wrong("password_authentication", "must be `password` or `scram-sha-256`")),
        }
        self.check(sent)
    }

    /// Refuses what cannot work, before anything is connected to.
    fn check(&mut self, sent: &Fields) -> Result<(), CoreError> {
        if self.kind == Kind::Redis && self.url.is_empty() {
            self.url = redis_url(sent)?;
        }
        if self.url.is_empty() {
            return Err(CoreError::Invalid("connection_url cannot be empty".to_owned()));
        }
        if sent.flag("insecure_tls")? == Some(true) || sent.flag("tls_skip_verify")? == Some(true) {
            return Err(CoreError::Invalid(
                "certificates are always checked: give the authority's certificate as tls_ca instead".to_owned(),
            ));
        }
        self.max_idle = if self.max_idle == 0 { self.max_open } else { self.max_idle.min(self.max_open) };
        Template::parse(self.username_template()).and_then(|template| template.check_unique())?;
        Ok(())
    }

    /// The form of the names of logins.
    pub(super) fn username_template(&self) -> &str {
        match self.username_template.as_str() {
            "" => self.kind.username_template(),
            own => own,
        }
    }

    /// Which database it is.
    pub(super) fn kind(&self) -> Kind {
        self.kind
    }

    /// The plug-in's name as it was sent.
    pub(super) fn plugin(&self) -> &str {
        &self.plugin
    }

    /// Fails when a new password of its own login would not be used: the address has one written into it.
    pub(super) fn require_rotatable(&self) -> Result<(), CoreError> {
        let refuse = |why: &str| {
            Err(CoreError::Invalid(format!(
                "unable to rotate root credentials: {why}; write username and password as fields, and \
                 {{{{username}}}}:{{{{password}}}} in their places in connection_url"
            )))
        };
        if self.username.is_empty() || self.password.is_empty() {
            return refuse("no username and password in the configuration");
        }
        if without_password(self.url.expose()) != self.url.expose() {
            return refuse("connection_url has the password written into it");
        }
        Ok(())
    }

    /// Whether a role of this name may use it: one of `allowed_roles` is the name, or fits it with `*`.
    pub(super) fn allows(&self, role: &RoleName) -> bool {
        self.allowed_roles.iter().any(|glob| fits(&glob.to_ascii_lowercase(), role.as_str()))
    }

    /// What a connector is made of.
    pub(super) fn settings(&self) -> Settings {
        let text = |text: &String| Some(text.clone()).filter(|text| !text.is_empty());
        let client = text(&self.tls_certificate).map(|mut chain_pem| {
            // Vault takes certificate and key in one text.
            let key_pem =
                if self.tls_key.is_empty() { SecretString::new(chain_pem.clone()) } else { self.tls_key.duplicate() };
            chain_pem.push('\n');
            ClientCertificate { chain_pem, key_pem }
        });
        let (ca_pem, server_name) = (text(&self.tls_ca), text(&self.tls_server_name));
        let wanted = ca_pem.is_some() || server_name.is_some() || client.is_some();
        let limits = Limits {
            max_open: self.max_open as usize,
            max_idle: self.max_idle as usize,
            max_lifetime: Duration::from_secs(self.max_lifetime.secs()),
            ..Limits::default()
        };
        Settings {
            url: self.url.duplicate(),
            username: self.username.clone(),
            password: self.password.duplicate(),
            tls: wanted.then_some(TlsTrust { ca_pem, server_name, client }),
            limits,
            password_form: if self.scram { PasswordForm::ScramSha256 } else { PasswordForm::Plain },
        }
    }

    /// Where it leads, and its own login there; nothing when the address cannot be read.
    pub(super) fn place(&self) -> Option<Whereabouts> {
        Whereabouts::of(self.kind.system(), &self.settings()).ok()
    }

    /// Another login where it leads.
    pub(super) fn place_of(&self, login: &str) -> Option<Whereabouts> {
        Some(self.place()?.with_login(self.kind.system(), login))
    }

    /// As reading it answers: everything but passwords and keys.
    pub(super) fn shown(&self) -> Value {
        let mut details = Map::new();
        let mut show = |name: &str, value: Value| drop(details.insert(name.to_owned(), value));
        show("connection_url", json!(without_password(self.url.expose())));
        show("username", json!(self.username));
        show("max_open_connections", json!(self.max_open));
        show("max_idle_connections", json!(self.max_idle));
        show("max_connection_lifetime", json!(format!("{}s", self.max_lifetime.secs())));
        for (name, text) in [
            ("username_template", &self.username_template),
            ("tls_ca", &self.tls_ca),
            ("tls_server_name", &self.tls_server_name),
        ] {
            if !text.is_empty() {
                show(name, json!(text));
            }
        }
        if self.scram {
            show("password_authentication", json!("scram-sha-256"));
        }
        if self.disable_escaping {
            show("disable_escaping", json!(true));
        }
        json!({
            "plugin_name": self.plugin,
            "plugin_version": "",
            "connection_details": details,
            "allowed_roles": self.allowed_roles,
            "root_credentials_rotate_statements": self.root_rotation_statements,
            "password_policy": self.password_policy.as_ref().map_or("", RoleName::as_str),
            "verify_connection": self.verify_connection,
        })
    }
}

fn wrong(field: &str, problem: &str) -> CoreError {
    CoreError::Field { field: field.to_owned(), problem: problem.to_owned() }
}

/// A number of connections. Vault takes a negative one for "without bound"; here there always is one.
fn connections(sent: &Fields, field: &str) -> Result<Option<u32>, CoreError> {
    const MOST: i64 = 1_000;
    let Some(number) = sent.int(field)? else { return Ok(None) };
    let bounded = match number {
        0 => 4,
        number if number < 0 => MOST,
        number => number,
    };
    match u32::try_from(bounded) {
        Ok(bounded) if bounded <= 1_000 => Ok(Some(bounded)),
        _ => Err(wrong(field, "must be at most 1000")),
    }
}

/// Vault's Redis plug-in takes host and port instead of an address.
fn redis_url(sent: &Fields) -> Result<SecretString, CoreError> {
    let Some(host) = sent.text("host")?.filter(|host| !host.is_empty()) else { return Ok(secret()) };
    let scheme = if sent.flag("tls")?.unwrap_or(false) { "rediss" } else { "redis" };
    Ok(SecretString::new(format!("{scheme}://{host}:{}", sent.count("port")?.unwrap_or(6379))))
}

/// The address with a password that somebody wrote into it taken out: what stands between the first colon of the
/// credentials and the last `@`.
fn without_password(url: &str) -> String {
    let start = url.find("://").map_or(0, |at| at + 3);
    let (scheme, rest) = url.split_at(start);
    let words = |rest: &str| {
        let hidden = |word: &str| {
            let (text, end) = word.split_at(word.trim_end_matches([' ', '?', '&']).len());
            match text.split_once('=') {
                Some((_, "{{password}}")) => word.to_owned(),
                Some((key, _)) if key.eq_ignore_ascii_case("password") => format!("{key}=*****{end}"),
                _ => word.to_owned(),
            }
        };
        rest.split_inclusive([' ', '?', '&']).map(hidden).collect::<String>()
    };
    match rest.rsplit_once('@').map(|(login, host)| (login.split_once(':'), host)) {
        Some((Some((username, "{{password}}")), host)) => {
            format!("{scheme}{username}:{{{{password}}}}@{}", words(host))
        }
        Some((Some((username, _)), host)) => format!("{scheme}{username}:*****@{}", words(host)),
        _ => format!("{scheme}{}", words(rest)),
    }
}

/// Whether the pattern, with `*` for any characters, fits the whole name.
fn fits(glob: &str, name: &str) -> bool {
    let mut parts = glob.split('*');
    let Some(mut rest) = parts.next().and_then(|first| name.strip_prefix(first)) else { return false };
    let mut parts: Vec<&str> = parts.collect();
    let Some(last) = parts.pop() else { return rest.is_empty() };
    for part in parts {
        match rest.find(part).and_then(|at| rest.get(at + part.len()..)) {
            Some(after) => rest = after,
            None => return false,
        }
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_anything_and_nothing_else_does() {
        for (glob, name, expected) in [
            ("*", "any", true),
            ("app-*", "app-role", true),
            ("app-*", "my-app-role", false),
            ("*role", "app-role", true),
            ("a*b*c", "a-b-c", true),
            ("a*b*c", "acb", false),
            ("a*a", "a", false),
            ("app", "app", true),
            ("app", "apple", false),
            ("", "app", false),
        ] {
            assert_eq!(fits(glob, name), expected, "{glob} {name}");
        }
    }

    #[test]
    fn a_password_written_into_the_address_is_not_shown() {
        for (url, shown) in [
            ("postgresql://{{username}}:{{password}}@h:1/db", "postgresql://{{username}}:{{password}}@h:1/db"),
            ("postgresql://admin:hun@ter2@h/db?a=b", "postgresql://admin:*****@h/db?a=b"),
            ("admin:hunter2@tcp(h:1)/db", "admin:*****@tcp(h:1)/db"),
            ("host=h password=hunter2 user=a", "host=h password=***** user=a"),
            ("host=h password={{password}} user=a", "host=h password={{password}} user=a"),
            ("postgresql://h/db?user=a&password=hunter2&b=c", "postgresql://h/db?user=a&password=*****&b=c"),
            ("redis://h:6379", "redis://h:6379"),
        ] {
            assert_eq!(without_password(url), shown);
        }
    }
}
