use crate::address::Address;
use crate::{ConnectorError, Settings, System};
use std::net::IpAddr;

/// Which server settings lead to, and as whom: in one spelling each, so that two of them can be compared. What it cannot tell
/// is that two names, or a name and an address, are of one machine: nobody is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Whereabouts {
    /// Host and port.
    pub address: String,
    /// The login there.
    pub login: String,
}

impl Whereabouts {
    /// Reads settings as the connector of that system does; connects to nothing.
    pub fn of(system: System, settings: &Settings) -> Result<Self, ConnectorError> {
        let is_url = settings.url.expose().contains("://");
        let address = match system {
            System::Postgres if !is_url => Address::of_pairs(settings)?,
            System::Mysql if !is_url => Address::of_go(settings)?,
            _ => Address::of_url(settings)?,
        };
        let port = address.port.unwrap_or(match system {
            System::Postgres => 5432,
            System::Mysql => 3306,
            System::Redis => 6379,
            System::RabbitMq => 15672,
        });
        let here = Self { address: format!("{}:{port}", one_spelling(&address.host)), login: String::new() };
        Ok(here.with_login(system, &address.username))
    }

    /// Another login of the same server.
    pub fn with_login(&self, system: System, name: &str) -> Self {
        // Redis takes a password without a name for that of this user.
        let login = if name.is_empty() && system == System::Redis { "default" } else { name };
        Self { address: self.address.clone(), login: login.to_owned() }
    }
}

fn one_spelling(host: &str) -> String {
    let name = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
    match name.parse::<IpAddr>().map(|address| address.to_canonical()) {
        Ok(address) if address.is_loopback() && matches!(address.to_string().as_str(), "127.0.0.1" | "::1") => {
            "localhost".to_owned()
        }
        Ok(address) => address.to_string(),
        Err(_) => name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Limits, PasswordForm};
    use strongroom_model::SecretString;

    #[test]
    fn spellings_of_one_server_and_login_are_the_same_and_other_servers_are_not() {
        let of = |system, url: &str, username: &str| {
            let settings = Settings {
                url: SecretString::new(url.to_owned()),
                username: username.to_owned(),
                password: SecretString::new("p".to_owned()),
                tls: None,
                limits: Limits::default(),
                password_form: PasswordForm::Plain,
            };
            let found = Whereabouts::of(system, &settings).unwrap();
            format!("{} {}", found.address, found.login)
        };
        for url in [
            "postgresql://{{username}}:{{password}}@127.0.0.1:5432/app",
            "postgres://{{username}}:{{password}}@LocalHost/other?sslmode=disable",
            "postgresql://me:{{password}}@[::1]/",
            "host=localhost. user='{{name}}' dbname=app",
            "postgresql://{{username}}:x@[::ffff:127.0.0.1]:5432/app",
        ] {
            assert_eq!(of(System::Postgres, url, "me"), "localhost:5432 me", "{url}");
        }
        assert_eq!(of(System::Postgres, "postgresql://db.Example:5433/a", "me"), "db.example:5433 me");
        assert_eq!(of(System::Mysql, "{{username}}:{{password}}@tcp(10.0.0.1)/", "root"), "10.0.0.1:3306 root");
        assert_eq!(of(System::Redis, "redis://127.0.0.2", ""), "127.0.0.2:6379 default");
    }
}
