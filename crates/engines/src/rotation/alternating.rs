use super::fresh::{create, members};
use super::link::Links;
use super::login::{Login, password, with};
use super::single::{lock_out, prove};
use super::{option, outside, pin};
use async_trait::async_trait;
use std::sync::Arc;
use strongroom_connectors::{ConnectorError, System};
use strongroom_core::CoreError;
use strongroom_core::rotation::{Order, Pin, Rotator};
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
        Ok(self.links.need_admin(order, self.system, &own)?.place)
    }

    fn pin(&self, order: &Order<'_>) -> Result<Option<Pin>, CoreError> {
        let own = Login::read(order.current, self.system)?.username;
        // In one order, whichever of them is in force.
        let mut both = vec![other(&own), own];
        both.sort();
        pin::write(order, self.system, both)
    }

    async fn create(&self, order: &Order<'_>) -> Result<SecretValue, CoreError> {
        let (own, new) = (Login::read(order.current, self.system)?, password(order).await?);
        with(order.current, &[("username", &other(&own.username)), ("password", new.expose())])
    }

    async fn set(&self, order: &Order<'_>, new: &SecretValue) -> Result<(), CoreError> {
        let new = Login::read(new, self.system)?;
        let way = self.links.need_admin(order, self.system, &new)?;
        let before = order.previous.and_then(|value| Login::read(value, self.system).ok());
        // One that was in force before is whole. Another may be what an interrupted try left behind.
        if before.is_some_and(|before| before.username == new.username) {
            match way.connector.set_password(&new.username, &new.password, &[]).await {
                Err(ConnectorError::NoSuchLogin { .. }) => {}
                done => return done.map_err(|error| outside(&way.place, &error)),
            }
        }
        let first = new.username.strip_suffix(SUFFIX).unwrap_or(&new.username);
        create(&way, &new, &members(order, self.system, first)?).await
    }

    async fn test(&self, order: &Order<'_>, new: &SecretValue) -> Result<(), CoreError> {
        let new = Login::read(new, self.system)?;
        let way = self.links.need_admin(order, self.system, &new)?;
        prove(&way, &new).await.map_err(|error| outside(&way.place, &error))
    }

    /// The login in force was never touched.
    async fn undo(&self, _order: &Order<'_>, _new: &SecretValue) -> Result<(), CoreError> {
        Ok(())
    }

    /// The former login keeps its rights and gets a password that nobody has; the next rotation gives it one again.
    async fn spoil(&self, order: &Order<'_>, former: &SecretValue) -> Result<(), CoreError> {
        let former = Login::read(former, self.system)?;
        if former.username == Login::read(order.current, self.system)?.username {
            return Ok(());
        }
        lock_out(&self.links.need_admin(order, self.system, &former)?, order, &former).await
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
