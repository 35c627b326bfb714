//! Whose a login is that was there before us: a static role's, whose password is changed, or a connection's own. Each change
//! locks out whoever else uses the login, so nobody comes to hold one that somebody else holds, through whichever
//! connection and mount. Goes by host and port as they are written; does not find out that two names are of one server.

use super::Database;
use super::config::Config;
use super::static_role::StaticRole;
use strongroom_connectors::Whereabouts;
use strongroom_core::CoreError;
use strongroom_core::mount::{Holding, OutsideLogin};
use strongroom_model::RoleName;

/// Who holds a login in this mount.
enum Holder {
    Connection(RoleName),
    Role(RoleName),
}

/// A login whose password a static role keeps.
struct Kept {
    role: RoleName,
    db_name: RoleName,
    place: Whereabouts,
}

impl Database {
    /// Fails when the password of the login is somebody else's to change: each change would lock the other out.
    pub(super) async fn require_free(&self, role: &StaticRole) -> Result<(), CoreError> {
        let config = self.require_config(&role.db_name).await?;
        let Some(place) = config.value.place_of(&role.username) else { return Ok(()) };
        let username = &role.username;
        let why = match self.holder(&place, &role.name).await? {
            Some(Holder::Connection(name)) => format!(
                "\"{username}\" is the login of the connection \"{name}\" itself, which a static role would lock out; change its \
                 password with rotate-root, or make the static role for another login"
            ),
            Some(Holder::Role(name)) => format!(
                "the static role \"{name}\" keeps the password of \"{username}\" already; use that one, or delete it first"
            ),
            None => match self.held_elsewhere(&place).await? {
                None => return Ok(()),
                Some(holding) => format!(
                    "\"{username}\" of {} is {}, and would be locked out by each change here; use another login, or have \
                     an operator give it up there",
                    place.address,
                    words(holding)
                ),
            },
        };
        Err(CoreError::Invalid(why))
    }

    /// Fails when a static role keeps the password of the login that a connection is about to use, or when its static roles
    /// would come to keep logins that are somebody else's, because it is about to lead to another server.
    pub(super) async fn require_unkept(&self, new: &Config, before: Option<&Config>) -> Result<(), CoreError> {
        let (Some(place), before) = (new.place(), before.and_then(Config::place)) else { return Ok(()) };
        if before.as_ref() == Some(&place) {
            return Ok(());
        }
        let kept = self.kept(Some(new)).await?;
        if let Some(kept) = kept.iter().find(|kept| kept.place == place) {
            return Err(locked_out(new, &place, &format!("the static role \"{}\"", kept.role)));
        }
        if self.held_elsewhere(&place).await? == Some(Holding::Kept) {
            return Err(locked_out(new, &place, "a static role of another mount"));
        }
        if before.is_none_or(|before| before.address != place.address) {
            self.require_room_there(new, &kept).await?;
        }
        Ok(())
    }

    /// Fails when a static role of this connection would keep a login that is somebody else's, where it is to lead to.
    async fn require_room_there(&self, new: &Config, kept: &[Kept]) -> Result<(), CoreError> {
        let configs = self.context.records.scan_all::<Config>(&self.config_shelf()).await?;
        for ours in kept.iter().filter(|kept| kept.db_name == new.name) {
            let is_kept = kept.iter().any(|other| other.role != ours.role && other.place == ours.place);
            let others = configs.iter().map(|listed| &listed.value).filter(|config| config.name != new.name);
            let is_used = others.filter_map(Config::place).any(|place| place == ours.place);
            if is_kept || is_used || self.held_elsewhere(&ours.place).await?.is_some() {
                return Err(CoreError::Invalid(format!(
                    "the static role \"{}\" of this connection would come to keep \"{}\" of {}, which is in use there \
                     already by another static role or connection; delete one of them first",
                    ours.role, ours.place.login, ours.place.address
                )));
            }
        }
        Ok(())
    }

    /// What this mount has to do with a login.
    pub(super) async fn holds(&self, login: OutsideLogin<'_>) -> Result<Option<Holding>, CoreError> {
        let is_it = |place: &Whereabouts| place.address == login.address && place.login == login.login;
        if self.kept(None).await?.iter().any(|kept| is_it(&kept.place)) {
            return Ok(Some(Holding::Kept));
        }
        let configs = self.context.records.scan_all::<Config>(&self.config_shelf()).await?;
        let is_used = configs.iter().filter_map(|listed| listed.value.place()).any(|place| is_it(&place));
        Ok(is_used.then_some(Holding::Used))
    }

    async fn held_elsewhere(&self, place: &Whereabouts) -> Result<Option<Holding>, CoreError> {
        let login = OutsideLogin { address: &place.address, login: &place.login };
        self.context.neighbours.holding(login).await
    }

    /// Who holds a login in this mount, but for that static role.
    async fn holder(&self, place: &Whereabouts, but: &RoleName) -> Result<Option<Holder>, CoreError> {
        let configs = self.context.records.scan_all::<Config>(&self.config_shelf()).await?;
        let mut configs = configs.into_iter().map(|listed| listed.value);
        if let Some(config) = configs.find(|config| config.place().as_ref() == Some(place)) {
            return Ok(Some(Holder::Connection(config.name)));
        }
        let kept = self.kept(None).await?.into_iter().find(|kept| kept.role != *but && kept.place == *place);
        Ok(kept.map(|kept| Holder::Role(kept.role)))
    }

    /// The logins whose passwords static roles of this mount keep, with `new` in the place of the connection of its name.
    async fn kept(&self, new: Option<&Config>) -> Result<Vec<Kept>, CoreError> {
        let roles = self.context.records.scan_all::<StaticRole>(&self.static_shelf()).await?;
        let mut kept = Vec::with_capacity(roles.len());
        for role in roles.into_iter().map(|listed| listed.value) {
            let place = match new.filter(|new| new.name == role.db_name) {
                Some(new) => new.place_of(&role.username),
                // One whose connection was removed changes nothing.
                None => self.config(&role.db_name).await?.and_then(|config| config.value.place_of(&role.username)),
            };
            kept.extend(place.map(|place| Kept { role: role.name, db_name: role.db_name, place }));
        }
        Ok(kept)
    }
}

fn words(holding: Holding) -> &'static str {
    match holding {
        Holding::Used => "the login of a connection of another mount",
        Holding::Kept => "kept by a static role of another mount",
    }
}

fn locked_out(new: &Config, place: &Whereabouts, who: &str) -> CoreError {
    CoreError::Invalid(format!(
        "{who} keeps the password of \"{}\", and its changes would lock the connection \"{}\" out; use another login here, \
         or delete that role first",
        place.login, new.name
    ))
}
