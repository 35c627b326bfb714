use super::link::{Links, Way};
use super::login::{Login, password, with};
use super::{option, outside, pin};
use async_trait::async_trait;
use std::sync::Arc;
use strongroom_connectors::{ConnectorError, System};
use strongroom_core::CoreError;
use strongroom_core::rotation::{Order, Pin, Rotator};
use strongroom_core::secret::SecretValue;

/// One login whose password changes: by itself, or by a login that may change others. Between setting the password and
/// putting it in force there is a moment in which only the value in preparation is good.
pub(super) struct Single {
    pub(super) system: System,
    pub(super) links: Arc<Links>,
}

impl Single {
    /// Gives `target` its password over the way that works: the powerful login, or one of these logins itself.
    async fn give(&self, order: &Order<'_>, target: &Login, with: &[&Login]) -> Result<(), CoreError> {
        if let Some(way) = self.links.admin(order, self.system, target)? {
            return set(&way, target).await;
        }
        let mut refused = None;
        for login in with {
            let way = self.links.as_self(login, self.system)?;
            let done = way.connector.set_password(&target.username, &target.password, &[]).await;
            way.connector.close().await;
            match done {
                Err(ConnectorError::Refused { .. }) => refused = done.err(),
                other => return other.map_err(|error| outside(&way.place, &error)),
            }
        }
        let why = refused.map_or_else(|| "no login".to_owned(), |error| error.to_string());
        Err(CoreError::Outside {
            system: target.place(),
            why: format!("no known password of {} works: {why}", target.username),
        })
    }

    /// Whether this login is good now.
    async fn is_good(&self, order: &Order<'_>, login: &Login) -> Result<bool, CoreError> {
        match prove(&self.way(order, login)?, login).await {
            Ok(()) => Ok(true),
            Err(ConnectorError::LoginRefused { .. }) => Ok(false),
            Err(error) => Err(outside(&login.place(), &error)),
        }
    }

    fn way(&self, order: &Order<'_>, login: &Login) -> Result<Way, CoreError> {
        match self.links.admin(order, self.system, login)? {
            Some(way) => Ok(way),
            None => self.links.as_self(login, self.system),
        }
    }
}

#[async_trait]
impl Rotator for Single {
    fn lane(&self, order: &Order<'_>) -> Result<String, CoreError> {
        option::check(order.options, &["password_policy"])?;
        let own = Login::read(order.current, self.system)?;
        self.links.admin(order, self.system, &own)?;
        self.links.hosts.admit(&own)?;
        Ok(own.place())
    }

    fn pin(&self, order: &Order<'_>) -> Result<Option<Pin>, CoreError> {
        let own = Login::read(order.current, self.system)?;
        pin::write(order, self.system, vec![own.username])
    }

    async fn create(&self, order: &Order<'_>) -> Result<SecretValue, CoreError> {
        let new = password(order).await?;
        with(order.current, &[("password", new.expose())])
    }

    async fn set(&self, order: &Order<'_>, new: &SecretValue) -> Result<(), CoreError> {
        let (old, new) = (Login::read(order.current, self.system)?, Login::read(new, self.system)?);
        let before = order.previous.and_then(|value| Login::read(value, self.system).ok());
        // The last of them: an earlier try may have set it and died before it said so.
        let logins: Vec<&Login> = [Some(&old), Some(&new), before.as_ref()].into_iter().flatten().collect();
        self.give(order, &new, &logins).await
    }

    async fn test(&self, order: &Order<'_>, new: &SecretValue) -> Result<(), CoreError> {
        let new = Login::read(new, self.system)?;
        prove(&self.way(order, &new)?, &new).await.map_err(|error| outside(&new.place(), &error))
    }

    async fn undo(&self, order: &Order<'_>, new: &SecretValue) -> Result<(), CoreError> {
        let (old, new) = (Login::read(order.current, self.system)?, Login::read(new, self.system)?);
        if order.admin.is_some() && pin::check(order, &old).is_err() {
            // Somebody named another login meanwhile, which is none of ours. The one that was changed gets its password back.
            let before = order.previous.and_then(|value| Login::read(value, self.system).ok());
            let Some(before) = before.filter(|before| pin::check(order, before).is_ok()) else { return Ok(()) };
            return self.give(order, &before, &[]).await;
        }
        if self.is_good(order, &old).await? {
            return Ok(());
        }
        if order.admin.is_some() {
            return self.give(order, &old, &[]).await;
        }
        // Somebody may have written a value that was never made good, before the new one came there.
        let before = order.previous.and_then(|value| Login::read(value, self.system).ok());
        let same = |login: &&Login| login.username == old.username && login.place() == old.place();
        for login in [Some(&new), before.as_ref()].into_iter().flatten().filter(same) {
            if self.is_good(order, login).await? {
                return self.give(order, &old, &[login]).await;
            }
        }
        // The new password is not good there, so there is nothing to take back, and nobody here who could.
        Ok(())
    }

    /// Setting the new one did it.
    async fn spoil(&self, _order: &Order<'_>, _former: &SecretValue) -> Result<(), CoreError> {
        Ok(())
    }
}

pub(super) async fn set(way: &Way, login: &Login) -> Result<(), CoreError> {
    let done = way.connector.set_password(&login.username, &login.password, &[]).await;
    done.map_err(|error| outside(&way.place, &error))
}

pub(super) async fn prove(way: &Way, login: &Login) -> Result<(), ConnectorError> {
    way.connector.verify(&login.username, &login.password).await
}

/// Gives a login a password that nobody has. One that is gone is as good.
pub(super) async fn lock_out(way: &Way, order: &Order<'_>, login: &Login) -> Result<(), CoreError> {
    let nobodys = password(order).await?;
    match way.connector.set_password(&login.username, &nobodys, &[]).await {
        Err(ConnectorError::NoSuchLogin { .. }) => Ok(()),
        done => done.map_err(|error| outside(&way.place, &error)),
    }
}
