//! Remembers which logins may still come to be after their outside system was asked for them: the request was not
//! answered, or the process that sent it is gone.
//!
//! A login that is not there is then no proof that it never will be, so whoever ends it looks again for a while. Knows
//! of earlier processes only that it did not see what they asked for; who knows that a login was handed out need not ask.

use crate::failure::ending;
use std::collections::HashSet;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use strongroom_connectors::{Connector, ConnectorError};
use strongroom_core::CoreError;
use strongroom_model::Timestamp;

/// How long after it was asked for a login may still come: longer than the lease of a killed server waits before it is
/// looked at, and a minute more.
const WATCH: Duration = Duration::from_secs(180);

pub(crate) struct Unsure {
    /// What was asked for before, this process did not see answered.
    since: Timestamp,
    asked: Mutex<HashSet<String>>,
}

impl Unsure {
    pub(crate) fn new(since: Timestamp) -> Self {
        Self { since, asked: Mutex::default() }
    }

    fn asked(&self) -> MutexGuard<'_, HashSet<String>> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The system is about to be asked for that login.
    pub(crate) fn ask(&self, login: &str) {
        self.asked().insert(login.to_owned());
    }

    /// It answered, or the login was ended after it was seen.
    pub(crate) fn settle(&self, login: &str) {
        self.asked().remove(login);
    }

    /// Whether it is certain that the system was not asked for that login, or answered that it did not make it.
    pub(crate) fn is_settled(&self, login: &str) -> bool {
        !self.asked().contains(login)
    }

    /// Ends a login and its sessions, and fails as long as one that is not there may still come: `until` then, if at all.
    pub(crate) async fn end(
        &self,
        connector: &dyn Connector,
        system: &str,
        login: &str,
        statements: &[String],
        until: Option<Timestamp>,
    ) -> Result<(), CoreError> {
        let fail = |error: ConnectorError| ending(system, &error);
        let was_there = until.is_none() || connector.login_exists(login).await.map_err(fail)?;
        match connector.drop_login(login, statements).await {
            Ok(()) | Err(ConnectorError::NoSuchLogin { .. }) => {}
            Err(error) => return Err(fail(error)),
        }
        match until {
            Some(until) if !was_there => Err(CoreError::Outside {
                system: system.to_owned(),
                why: format!(
                    "the login is not there, but the request to make it was never answered and may still be carried \
                     out; it is looked for again until {until}"
                ),
            }),
            _ => {
                self.settle(login);
                Ok(())
            }
        }
    }

    /// Until when a login that was asked for at `began` may still come; `None`: it is as it is.
    pub(crate) fn until(&self, login: &str, began: Timestamp, now: Timestamp) -> Option<Timestamp> {
        let end = began.plus(WATCH);
        let is_unknown = began < self.since || self.asked().contains(login);
        (is_unknown && now < end).then_some(end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_not_answered_may_still_come_and_not_for_ever() {
        let at = Timestamp::from_secs;
        let unsure = Unsure::new(at(1_000));
        assert_eq!(unsure.until("ours", at(1_000), at(1_001)), None);
        assert!(unsure.is_settled("ours"));
        unsure.ask("ours");
        assert!(!unsure.is_settled("ours"));
        assert_eq!(unsure.until("ours", at(1_000), at(1_001)), Some(at(1_180)));
        assert_eq!(unsure.until("ours", at(1_000), at(1_180)), None);
        unsure.settle("ours");
        assert_eq!(unsure.until("ours", at(1_000), at(1_001)), None);
        assert_eq!(unsure.until("of an earlier process", at(900), at(1_001)), Some(at(1_080)));
        assert_eq!(unsure.until("of long ago", at(100), at(1_001)), None);
    }
}
