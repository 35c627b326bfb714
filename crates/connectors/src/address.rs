//! Reads the addresses that operators write for an outside system: URLs, PostgreSQL's `key=value` and the form of Go's
//! MySQL driver. Placeholders are filled after taking the text apart, so that no password needs an escape there.

use crate::{ConnectorError, Settings};
use percent_encoding::percent_decode_str;
use std::collections::BTreeMap;
use strongroom_model::SecretString;

/// An address, taken apart.
pub(crate) struct Address {
    pub(crate) scheme: String,
    pub(crate) host: String,
    pub(crate) port: Option<u16>,
    pub(crate) database: String,
    pub(crate) username: String,
    pub(crate) password: SecretString,
    pub(crate) options: BTreeMap<String, String>,
}

impl Address {
    /// `scheme://user:password@host:port/database?key=value`.
    pub(crate) fn of_url(settings: &Settings) -> Result<Self, ConnectorError> {
        let url = settings.url.expose();
        let (scheme, rest) = url.split_once("://").ok_or_else(|| invalid("it has no ://"))?;
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let (user, place) = authority.rsplit_once('@').unwrap_or(("", authority));
        let (username, password) = credentials(settings, user, true)?;
        let (host, port) = host_and_port(place)?;
        let mut options = BTreeMap::new();
        for (key, value) in query.split('&').filter_map(|pair| pair.split_once('=')) {
            options.insert(key.to_owned(), decoded(value)?);
        }
        Ok(Self { scheme: scheme.to_owned(), host, port, database: decoded(path)?, username, password, options })
    }

    /// `host=... user=... password=...`, values in `'...'` where they hold spaces.
    pub(crate) fn of_pairs(settings: &Settings) -> Result<Self, ConnectorError> {
        let mut options = pairs(settings.url.expose())?;
        let mut part = |key: &str| options.remove(key).unwrap_or_default();
        let (host, port, database) = (part("host"), part("port"), part("dbname"));
        let (user, password) = (part("user"), SecretString::new(part("password")));
        let port =
            if port.is_empty() { None } else { Some(port.parse().map_err(|_| invalid("its port is no number"))?) };
        let username = if user.is_empty() || is_username(&user) { settings.username.clone() } else { user };
        let given = password.is_empty() || password.expose() == "{{password}}";
        let password = if given { settings.password.duplicate() } else { password };
        let host = if host.is_empty() { "localhost".to_owned() } else { host };
        Ok(Self { scheme: String::new(), host, port, database, username, password, options })
    }

    /// `user:password@tcp(host:port)/database?key=value`.
    pub(crate) fn of_go(settings: &Settings) -> Result<Self, ConnectorError> {
        let url = settings.url.expose();
        let (rest, query) = url.rsplit_once('?').unwrap_or((url, ""));
        let (authority, database) = rest.rsplit_once('/').unwrap_or((rest, ""));
        let (user, place) = authority.rsplit_once('@').unwrap_or(("", authority));
        let place = place.strip_prefix("tcp(").and_then(|place| place.strip_suffix(')')).unwrap_or(place);
        let (username, password) = credentials(settings, user, false)?;
        let (host, port) = host_and_port(place)?;
        let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        let options = pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
        Ok(Self { scheme: "mysql".to_owned(), host, port, database: database.to_owned(), username, password, options })
    }
}

/// What is wrong with an address. It is not shown: it may hold a password.
pub(crate) fn invalid(why: &str) -> ConnectorError {
    ConnectorError::Config {
        what: format!("the address of the connection cannot be read: {why}; see docs/connectors.md"),
    }
}

fn is_username(text: &str) -> bool {
    text == "{{username}}" || text == "{{name}}"
}

fn credentials(settings: &Settings, part: &str, escaped: bool) -> Result<(String, SecretString), ConnectorError> {
    let read = |text: &str| if escaped { decoded(text) } else { Ok(text.to_owned()) };
    let (user, password) = part.split_once(':').unwrap_or((part, ""));
    let username = if user.is_empty() || is_username(user) { settings.username.clone() } else { read(user)? };
    let given = password.is_empty() || password == "{{password}}";
    let password = if given { settings.password.duplicate() } else { SecretString::new(read(password)?) };
    Ok((username, password))
}

fn host_and_port(place: &str) -> Result<(String, Option<u16>), ConnectorError> {
    if place.contains(',') {
        return Err(invalid("it names several hosts, and one is taken"));
    }
    let (host, port) = match place.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((host, rest)) => (host, rest.strip_prefix(':').unwrap_or_default()),
        None => place.rsplit_once(':').unwrap_or((place, "")),
    };
    if host.is_empty() || host.contains(['/', '@', '(', ' ']) || host.contains("%2F") {
        return Err(invalid("it needs a host name or an IP address (no socket file)"));
    }
    let port = if port.is_empty() { None } else { Some(port.parse().map_err(|_| invalid("its port is no number"))?) };
    Ok((host.to_owned(), port))
}

fn decoded(text: &str) -> Result<String, ConnectorError> {
    let text = percent_decode_str(text).decode_utf8().map_err(|_| invalid("a %-escape in it is no UTF-8"))?;
    Ok(text.into_owned())
}

fn pairs(text: &str) -> Result<BTreeMap<String, String>, ConnectorError> {
    let mut found = BTreeMap::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let (key, after) = rest.split_once('=').ok_or_else(|| invalid("a word in it has no ="))?;
        let (value, after) = pair_value(after.trim_start())?;
        found.insert(key.trim().to_owned(), value);
        rest = after.trim_start();
    }
    Ok(found)
}

fn pair_value(text: &str) -> Result<(String, &str), ConnectorError> {
    let quoted = text.starts_with('\'');
    let mut value = String::new();
    let mut chars = text.char_indices().skip(usize::from(quoted));
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' => value.extend(chars.next().map(|(_, c)| c)),
            '\'' if quoted => return Ok((value, text.get(at + 1..).unwrap_or_default())),
            c if c.is_whitespace() && !quoted => return Ok((value, text.get(at..).unwrap_or_default())),
            c => value.push(c),
        }
    }
    if quoted { Err(invalid("a quote in it does not end")) } else { Ok((value, "")) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Limits, PasswordForm};

    fn settings(url: &str) -> Settings {
        Settings {
            url: SecretString::new(url.to_owned()),
            username: "ad:min".to_owned(),
            password: SecretString::new("p@/?%".to_owned()),
            tls: None,
            limits: Limits::default(),
            password_form: PasswordForm::Plain,
        }
    }

    fn seen(address: &Address) -> String {
        let port = address.port.unwrap_or_default();
        let password = address.password.expose();
        format!("{} {password} {} {port} {} {:?}", address.username, address.host, address.database, address.options)
    }

    #[test]
    fn each_spelling_of_an_address_is_read() {
        let url = Address::of_url(&settings("postgresql://{{username}}:{{password}}@[::1]:5432/app?sslmode=disable"));
        assert_eq!(seen(&url.unwrap()), r#"ad:min p@/?% ::1 5432 app {"sslmode": "disable"}"#);
        let url = Address::of_url(&settings("postgres://me:a%40b@db.example")).unwrap();
        assert_eq!(seen(&url), "me a@b db.example 0  {}");
        let pairs =
            Address::of_pairs(&settings("host=db port=1 user='{{name}}' password = 'x \\' y' dbname=a")).unwrap();
        assert_eq!(seen(&pairs), "ad:min x ' y db 1 a {}");
        let go = Address::of_go(&settings("{{username}}:{{password}}@tcp(127.0.0.1:3306)/")).unwrap();
        assert_eq!(seen(&go), "ad:min p@/?% 127.0.0.1 3306  {}");
    }

    #[test]
    fn an_unreadable_address_is_refused_without_showing_it() {
        for text in
            ["me:s3cret@host/db", "postgres://me:s3cret@/db", "postgres://me:s3cret@h:x/db", "postgres://s3cret@a,b/"]
        {
            let error = Address::of_url(&settings(text)).err().unwrap().to_string();
            assert!(!error.contains("s3cret"), "{error}");
        }
    }
}
