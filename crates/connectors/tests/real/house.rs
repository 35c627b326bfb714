//! How the tests make settings and logins.

use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;
use std::sync::Arc;
use std::time::Duration;
use strongroom_connectors::{Connector, Limits, NewLogin, PasswordForm, Settings, System, open};
use strongroom_model::{SecretString, Timestamp};
use strongroom_testkit::outside::Admin;

/// In the year 2033: far enough for every run of the tests.
pub(crate) const LATER: Timestamp = Timestamp::from_secs(2_000_000_000);

pub(crate) fn secret(text: &str) -> SecretString {
    SecretString::new(text.to_owned())
}

pub(crate) fn settings(url: &str, admin: &Admin) -> Settings {
    Settings {
        url: secret(url),
        username: admin.username.to_owned(),
        password: secret(admin.password),
        tls: None,
        // A loaded machine is slow; what must end early sets its own.
        limits: Limits { connect: Duration::from_secs(20), statement: Duration::from_secs(30), ..Limits::default() },
        password_form: PasswordForm::Plain,
    }
}

pub(crate) fn connector(system: System, settings: Settings) -> Arc<dyn Connector> {
    open(system, settings).expect("settings that can be used")
}

pub(crate) fn login<'a>(name: &'a str, password: &'a SecretString) -> NewLogin<'a> {
    NewLogin { name, password, expires: LATER }
}

pub(crate) fn lines(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

/// Names that try to leave their place, and ones that are merely unusual.
pub(crate) const NAMES: &[&str] = &[
    "v-token-app-Xy12",
    "two words",
    "o'brien",
    "\"quoted\"",
    "a\"; DROP ROLE admin; --",
    "a'; DROP USER admin; --",
    "back\\slash\\",
    "back\\'; DROP USER admin; #",
    "`tick`; --",
    "ünï-文字",
    "/* open",
    "line\nend",
    "per%cent&amp/slash?query#hash",
    "{{password}}",
    "-- x",
];

/// Names out of the characters that mean something to a database, and out of all others.
pub(crate) fn strange_names(count: usize) -> Vec<String> {
    let mut runner = TestRunner::default();
    let mut seen = std::collections::BTreeSet::new();
    while seen.len() < count {
        let name = "([\\PC]|['\"`\\\\$; \n\t%{}*/#-]){1,12}".new_tree(&mut runner).expect("a strategy").current();
        seen.insert(name);
    }
    seen.into_iter().collect()
}
