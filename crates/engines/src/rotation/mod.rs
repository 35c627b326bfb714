//! The strategies of rotation, on the verbs of `connectors`: one login whose password changes, two logins that take turns,
//! a new login each time, values that no outside system knows, and programs of the operator's.
//!
//! Every act may be repeated, and none trusts what the act before it said: after a crash it finds out by logging in.
//! Knows nothing of phases, versions and labels; the core does.

mod alternating;
mod fresh;
mod function;
mod hook;
mod host;
mod link;
mod login;
mod option;
mod pin;
mod random;
mod remote;
mod single;

pub use function::{FunctionSpec, Program, function};
pub use hook::{HookSpec, hook};
pub use host::Hosts;
pub use remote::Remote;

use alternating::Alternating;
use fresh::Fresh;
use link::Links;
use random::Random;
use single::Single;
use std::sync::Arc;
use strongroom_connectors::{ConnectorError, System};
use strongroom_core::CoreError;
use strongroom_core::rotation::{Method, Methods};
use strongroom_model::{Kind, Kinded};

/// The systems with the words that name them in methods and in the field `engine` of a secret.
const SYSTEMS: &[(&str, System)] = &[
    ("postgres", System::Postgres),
    ("mysql", System::Mysql),
    ("mariadb", System::Mysql),
    ("redis", System::Redis),
    ("rabbitmq", System::RabbitMq),
];

/// Every strategy of this crate, by the name that plans call it by, which log in at these hosts only.
pub fn methods(hosts: Hosts) -> Methods {
    let links = Arc::new(Links::new(hosts));
    let mut methods = Methods::default().with("random", Method::Own(Arc::new(Random)));
    for (word, system) in SYSTEMS.iter().copied() {
        let links = || Arc::clone(&links);
        methods = methods
            .with(format!("{word}-single"), Method::Own(Arc::new(Single { system, links: links() })))
            .with(format!("{word}-alternating"), Method::Own(Arc::new(Alternating { system, links: links() })))
            .with(format!("{word}-new-user"), Method::Own(Arc::new(Fresh { system, links: links() })));
    }
    methods
}

/// What a connector's error means to a rotation: that the system must be waited for, or that it will not.
fn outside(system: &str, error: &ConnectorError) -> CoreError {
    let (system, why) = (system.to_owned(), error.to_string());
    match error {
        ConnectorError::Config { what } => CoreError::Invalid(what.clone()),
        _ if matches!(error.kind(), Kind::Unavailable | Kind::TooMany) => CoreError::Unreachable { system, why },
        _ => CoreError::Outside { system, why },
    }
}
