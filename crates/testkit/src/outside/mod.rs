//! Real servers for tests, from Debian's packages: each on a free port, with its data in a temporary folder, and gone
//! when the test program is.
//!
//! A server that is shared by the tests of a file must not be stopped or paused by one of them; those start their own.
//! Nothing is waited for by sleeping: a server is asked until it answers, and the start fails after a minute.

mod certificate;
mod mariadb;
mod postgres;
mod program;
mod rabbitmq;
mod redis;
mod relay;

pub use mariadb::MariaDb;
pub use postgres::Postgres;
pub use rabbitmq::RabbitMq;
pub use redis::Redis;
pub use relay::Relay;

/// How to log in to an outside server as its administrator.
#[derive(Clone, Debug)]
pub struct Admin {
    /// Its address in the form of Vault's configuration, with `{{username}}` and `{{password}}` where it has them.
    pub url: String,
    /// The administrator.
    pub username: &'static str,
    /// The administrator's password.
    pub password: &'static str,
}
