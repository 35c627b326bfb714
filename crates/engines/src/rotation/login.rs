//! The shape of a secret that holds a login, as AWS has it: `{engine, host, port, username, password, dbname, ssl}`, as an
//! object or as a text that is one.

use serde_json::{Map, Value};
use strongroom_connectors::{Limits, PasswordForm, Settings, System, TlsTrust};
use strongroom_core::password_policy::PasswordPolicy;
use strongroom_core::rotation::Order;
use strongroom_core::secret::SecretValue;
use strongroom_core::{CoreError, Fields};
use strongroom_model::{RoleName, SecretString};

/// A login with where it is for. No `Debug`: it holds the password.
pub(super) struct Login {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) username: String,
    pub(super) password: SecretString,
    pub(super) database: String,
    pub(super) tls: bool,
}

impl Login {
    /// Reads a secret's value.
    pub(super) fn read(value: &SecretValue, system: System) -> Result<Self, CoreError> {
        let fields = object(value)?;
        let need = |name: &'static str| {
            let found = fields.text(name)?.filter(|text| !text.is_empty());
            found.ok_or_else(|| {
                CoreError::Invalid(format!("the secret has no field `{name}`: it needs host, username, password"))
            })
        };
        let port = match fields.value("port") {
            None | Some(Value::Null) => usual_port(system),
            Some(Value::String(text)) => text.parse().map_err(|_| bad("port", "must be a number"))?,
            Some(other) => other
                .as_u64()
                .and_then(|port| u16::try_from(port).ok())
                .ok_or_else(|| bad("port", "must be a number"))?,
        };
        let (host, database) = (need("host")?, fields.text("dbname")?.unwrap_or_default());
        if [&host, &database].into_iter().any(|text| text.contains(['\'', '\\', '/', '?', '#', '@', ' ', '\n', '\0'])) {
            return Err(bad("host", "and `dbname` must be plain names"));
        }
        let tls = match fields.value("ssl") {
            Some(Value::Bool(on)) => *on,
            Some(Value::String(text)) => matches!(text.as_str(), "true" | "True" | "1"),
            _ => false,
        };
        let password = fields.secret("password")?.filter(|password| !password.is_empty());
        let password = password.ok_or_else(|| CoreError::Invalid("the secret has no field `password`".to_owned()))?;
        Ok(Self { host, port, username: need("username")?, password, database, tls })
    }

    /// The outside system, as operators and errors name it.
    pub(super) fn place(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }

    /// What a connector needs to go there with this login, `at_once` connections at a time.
    pub(super) fn settings(&self, system: System, at_once: usize) -> Settings {
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        let (port, database) = (self.port, &self.database);
        let url = match system {
            System::Postgres => format!("host='{}' port={port} dbname='{database}'", self.host),
            System::Mysql => format!("mysql://{host}:{port}/{database}"),
            System::Redis if self.tls => format!("rediss://{host}:{port}"),
            System::Redis => format!("redis://{host}:{port}"),
            System::RabbitMq if self.tls => format!("https://{host}:{port}"),
            System::RabbitMq => format!("http://{host}:{port}"),
        };
        Settings {
            url: SecretString::new(url),
            username: self.username.clone(),
            password: self.password.duplicate(),
            tls: self.tls.then(TlsTrust::default),
            limits: Limits { max_open: at_once, max_idle: at_once, ..Limits::default() },
            // So that a server's log never has the password, whatever is logged there.
            password_form: PasswordForm::ScramSha256,
        }
    }
}

/// The same value with some fields changed, as an object or a text as it was.
pub(super) fn with(value: &SecretValue, changes: &[(&str, &str)]) -> Result<SecretValue, CoreError> {
    let mut fields = object(value)?;
    for (name, text) in changes {
        fields.map_mut().insert((*name).to_owned(), Value::String((*text).to_owned()));
    }
    Ok(match value {
        SecretValue::Object(_) => SecretValue::Object(fields),
        _ => {
            let text = serde_json::to_string(fields.map());
            SecretValue::Text(SecretString::new(
                text.map_err(|_| CoreError::Internal("a secret could not be written as JSON"))?,
            ))
        }
    })
}

/// A new password by the policy that the options name, or the usual one.
pub(super) async fn password(order: &Order<'_>) -> Result<SecretString, CoreError> {
    let Some(name) = super::option::text(order.options, "password_policy")? else {
        return Ok(PasswordPolicy::standard().generate(order.entropy));
    };
    let made = order.passwords.generate(&RoleName::parse(&name)?).await?;
    made.ok_or_else(|| CoreError::NotFound(format!("there is no password policy {name}; write it, or name another")))
}

fn object(value: &SecretValue) -> Result<Fields, CoreError> {
    match value {
        SecretValue::Object(fields) => Ok(fields.duplicate()),
        SecretValue::Text(text) => {
            let map: Map<String, Value> = serde_json::from_str(text.expose()).map_err(|_| no_object())?;
            Ok(Fields::new(map))
        }
        SecretValue::Bytes(_) => Err(no_object()),
    }
}

fn no_object() -> CoreError {
    CoreError::Invalid("the secret holds no object with the fields host, username, password".to_owned())
}

fn bad(field: &str, problem: &str) -> CoreError {
    CoreError::Field { field: field.to_owned(), problem: problem.to_owned() }
}

fn usual_port(system: System) -> u16 {
    match system {
        System::Postgres => 5432,
        System::Mysql => 3306,
        System::Redis => 6379,
        System::RabbitMq => 15672,
    }
}
