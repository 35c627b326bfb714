use super::fresh::{create, members};
use super::link::Links;
use super::login::{Login, password, with};
use super::single::{prove, set};
use super::{option, outside};
use async_trait::async_trait;
use std::sync::Arc;
use strongroom_connectors::System;
use strongroom_core::CoreError;
use strongroom_core::rotation::{Order, Rotator};
use strongroom_core::secret::SecretValue;

/// What the second login's name ends with, as in AWS's templates.
const SUFFIX: &str = "_clone";

/// Two logins that take turns: the idle one gets a new password, is proved and put in force. The other one stays good
/// until the next rotation, so nobody's connection breaks. Needs a login that may change others.
pub(super) struct Alternating {
    pub(super) system: System,
    pub(super) links: Arc<Links>,
}

/// The other login's name.
fn other(name: &str) -> String {
    match name.strip_suffix(SUFFIX) {
        Some(first) => first.to_owned(),
        None => format!("{name}{SUFFIX}"),
    }
}

#[async_trait]
impl Rotator for Alternating {
    fn lane(&self, order: &Order<'_>) -> Result<String, CoreError> {
        option::check(order.options, &["password_policy", "creation_statements"])?;
        let own = Login::read(order.current, self.system)?;
        members(order, self.system, own.username.trim_end_matches(SUFFIX))?;
        Ok(self.links.need_admin(order, self.system)?.place)
    }

    async fn create(&self, order: &Order<'_>) -> Result<SecretValue, CoreError> {
        let (own, new) = (Login::read(order.current, self.system)?, password(order).await?);
        with(order.current, &[("username", &other(&own.username)), ("password", new.expose())])
    }

    async fn set(&self, order: &Order<'_>, new: &SecretValue) -> Result<(), CoreError> {
        let (way, new) = (self.links.need_admin(order, self.system)?, Login::read(new, self.system)?);
        let there = way.connector.login_exists(&new.username).await;
        if there.map_err(|error| outside(&way.place, &error))? {
            return set(&way, &new).await;
        }
        let first = new.username.strip_suffix(SUFFIX).unwrap_or(&new.username);
        create(&way, &new, &members(order, self.system, first)?).await
    }

    async fn test(&self, order: &Order<'_>, new: &SecretValue) -> Result<(), CoreError> {
        let (way, new) = (self.links.need_admin(order, self.system)?, Login::read(new, self.system)?);
        prove(&way, &new).await.map_err(|error| outside(&way.place, &error))
    }

    /// The login in force was never touched.
    async fn undo(&self, _order: &Order<'_>, _new: &SecretValue) -> Result<(), CoreError> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_two_logins_take_turns() {
        assert_eq!((other("app"), other("app_clone")), ("app_clone".to_owned(), "app".to_owned()));
    }
}
