use super::link::{Links, Way, no_admin};
use super::login::{Login, password, with};
use super::single::{lock_out, prove};
use super::{option, outside, pin};
use async_trait::async_trait;
use std::sync::Arc;
use std::time::Duration;
use strongroom_connectors::{ConnectorError, NewLogin, System};
use strongroom_core::CoreError;
use strongroom_core::rotation::{Made, Order, Pin, Retired, Rotator};
use strongroom_core::secret::SecretValue;
use strongroom_model::{Timestamp, Ttl, base62};

/// How long a former login stays at least, for readers between reading and logging in.
const OVERLAP: Duration = Duration::from_secs(60);
/// How often the sessions of a former login are counted.
const LOOK: Duration = Duration::from_secs(15);
/// The random end of a login's name.
const TAIL: usize = 8;

/// A new login each time. The former one goes when the outside system's own list shows no session of it any more, and
/// not before readers had time to notice. Only logins that rotations of the secret made, as its record names them, are ever
/// dropped: one that is called like these may be anybody's.
pub(super) struct Fresh {
    pub(super) system: System,
    pub(super) links: Arc<Links>,
}

impl Fresh {
    fn role(&self, order: &Order<'_>) -> Result<String, CoreError> {
        option::text(order.options, "role")?.ok_or(CoreError::Missing("role"))
    }

    fn overlap(&self, order: &Order<'_>) -> Result<Duration, CoreError> {
        let Some(text) = option::text(order.options, "overlap")? else { return Ok(OVERLAP) };
        Ok(Ttl::parse(&text)?.0)
    }
}

#[async_trait]
impl Rotator for Fresh {
    fn lane(&self, order: &Order<'_>) -> Result<String, CoreError> {
        option::check(
            order.options,
            &["password_policy", "role", "overlap", "creation_statements", "revocation_statements"],
        )?;
        let own = Login::read(order.current, self.system)?;
        self.overlap(order)?;
        members(order, self.system, &self.role(order)?)?;
        Ok(self.way(order, &own)?.place)
    }

    fn pin(&self, order: &Order<'_>) -> Result<Option<Pin>, CoreError> {
        let own = Login::read(order.current, self.system)?;
        let first = (!made_here(order, &own)).then_some(own.username);
        pin::write(order, self.system, first.into_iter().collect())
    }

    fn makes(&self, value: &SecretValue) -> Result<Option<Made>, CoreError> {
        Ok(Some(made(&Login::read(value, self.system)?)))
    }

    async fn create(&self, order: &Order<'_>) -> Result<SecretValue, CoreError> {
        let tail = base62::random(order.entropy, TAIL).to_ascii_lowercase();
        let (name, new) = (format!("{}_{tail}", self.role(order)?), password(order).await?);
        with(order.current, &[("username", &name), ("password", new.expose())])
    }

    async fn set(&self, order: &Order<'_>, new: &SecretValue) -> Result<(), CoreError> {
        let new = Login::read(new, self.system)?;
        let way = self.way(order, &new)?;
        create(&way, &new, &members(order, self.system, &self.role(order)?)?).await
    }

    async fn test(&self, order: &Order<'_>, new: &SecretValue) -> Result<(), CoreError> {
        let new = Login::read(new, self.system)?;
        let way = self.way(order, &new)?;
        prove(&way, &new).await.map_err(|error| outside(&way.place, &error))
    }

    async fn undo(&self, order: &Order<'_>, new: &SecretValue) -> Result<(), CoreError> {
        let new = Login::read(new, self.system)?;
        // What is not noted was not made.
        if made_here(order, &new) { self.drop_login(order, &new).await } else { Ok(()) }
    }

    async fn retire(&self, order: &Order<'_>, former: &SecretValue, since: Duration) -> Result<Retired, CoreError> {
        let former = Login::read(former, self.system)?;
        let current = Login::read(order.current, self.system)?;
        if !made_here(order, &former) || former.username == current.username {
            return Ok(Retired::Dropped(self.drop_left(order, &current, &former).await));
        }
        let left = self.overlap(order)?.saturating_sub(since);
        if !left.is_zero() {
            return Ok(Retired::InUse(format!("readers have time to notice that {} goes", former.username), left));
        }
        let way = self.way(order, &former)?;
        let open = way.connector.sessions(&former.username).await.map_err(|error| outside(&way.place, &error))?;
        if open > 0 {
            return Ok(Retired::InUse(format!("{open} sessions of {} are still open", former.username), LOOK));
        }
        self.drop_login(order, &former).await?;
        let mut gone = self.drop_left(order, &current, &former).await;
        gone.push(made(&former));
        Ok(Retired::Dropped(gone))
    }

    async fn spoil(&self, order: &Order<'_>, former: &SecretValue) -> Result<(), CoreError> {
        let (former, current) = (Login::read(former, self.system)?, Login::read(order.current, self.system)?);
        match made_here(order, &former) {
            _ if former.username == current.username => {}
            true => self.drop_login(order, &former).await?,
            false => lock_out(&self.way(order, &former)?, order, &former).await?,
        }
        // Who knows one value may know those before it.
        for one in left(order, &current, &former) {
            self.drop_named(&self.way(order, &current)?, order, &one.login).await?;
        }
        Ok(())
    }
}

impl Fresh {
    /// The login that may change others, for one that the plan was written for or that this made by the plan.
    fn way(&self, order: &Order<'_>, login: &Login) -> Result<Way, CoreError> {
        let way = match made_here(order, login) {
            true => self.links.admin_at(order, self.system, login)?,
            false => self.links.admin(order, self.system, login)?,
        };
        way.ok_or_else(no_admin)
    }

    /// Drops what earlier rotations left because somebody did not want to wait for it, where it has no session any more.
    /// Nobody waits for it now either: what does not work is tried after the next rotation.
    async fn drop_left(&self, order: &Order<'_>, current: &Login, former: &Login) -> Vec<Made> {
        let mut gone = Vec::new();
        let Ok(way) = self.way(order, current) else { return gone };
        for one in left(order, current, former) {
            if !matches!(way.connector.sessions(&one.login).await, Ok(0)) {
                continue;
            }
            match self.drop_named(&way, order, &one.login).await {
                Ok(()) => gone.push(one),
                Err(error) => tracing::warn!(login = one.login, %error, "a login that a rotation left is still there"),
            }
        }
        gone
    }

    async fn drop_login(&self, order: &Order<'_>, login: &Login) -> Result<(), CoreError> {
        self.drop_named(&self.way(order, login)?, order, &login.username).await
    }

    async fn drop_named(&self, way: &Way, order: &Order<'_>, name: &str) -> Result<(), CoreError> {
        let statements = option::statements(order.options, "revocation_statements")?.unwrap_or_default();
        let done = way.connector.drop_login(name, &statements).await;
        done.map_err(|error| outside(&way.place, &error))
    }
}

fn made(login: &Login) -> Made {
    Made { place: pin::place(login), login: login.username.clone() }
}

/// Whether a rotation of this secret made that login.
fn made_here(order: &Order<'_>, login: &Login) -> bool {
    order.made.contains(&made(login))
}

/// Logins at the same place that rotations of this secret made, beside these two.
fn left(order: &Order<'_>, current: &Login, former: &Login) -> Vec<Made> {
    let (current, former) = (made(current), made(former));
    let is_left = |one: &&Made| one.place == current.place && **one != current && **one != former;
    order.made.iter().filter(is_left).cloned().collect()
}

/// The statements that make a login like the first one. PostgreSQL's logins can be members of another; elsewhere the
/// operator says what a login may do.
pub(super) fn members(order: &Order<'_>, system: System, first: &str) -> Result<Vec<String>, CoreError> {
    if let Some(statements) = option::statements(order.options, "creation_statements")? {
        return Ok(statements);
    }
    if system != System::Postgres {
        return Err(CoreError::Missing("creation_statements, which say what a new login may do"));
    }
    if first.contains("{{") || first.contains('\0') {
        return Err(CoreError::Invalid("the login's name cannot stand in a statement".to_owned()));
    }
    let first = first.replace('"', "\"\"");
    Ok(vec![
        "CREATE ROLE \"{{name}}\" WITH LOGIN PASSWORD '{{password}}'".to_owned(),
        format!("GRANT \"{first}\" TO \"{{{{name}}}}\""),
    ])
}

/// Makes a login, or completes one that an earlier try made or began to make.
pub(super) async fn create(way: &Way, login: &Login, statements: &[String]) -> Result<(), CoreError> {
    // Such logins have no end of their own: the next rotation ends them.
    let never = Timestamp::from_secs(4_000_000_000);
    let new = NewLogin { name: &login.username, password: &login.password, expires: never };
    match way.connector.create_login(&new, statements).await {
        Err(ConnectorError::LoginExists { .. }) => way.connector.complete_login(&new, statements).await,
        other => other,
    }
    .map_err(|error| outside(&way.place, &error))
}
