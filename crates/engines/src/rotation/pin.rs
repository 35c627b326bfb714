//! Whom a login that may change others serves: the logins that the plan was written for, at the place that it was written
//! for. Whoever may write the secret, but not plan, could otherwise name a more powerful login in it and read its new
//! password. Knows nothing of connections.

use super::login::Login;
use strongroom_connectors::System;
use strongroom_core::CoreError;
use strongroom_core::rotation::{Order, Pin};

/// The pin of a plan that is written now, for these logins.
pub(super) fn write(order: &Order<'_>, system: System, logins: Vec<String>) -> Result<Option<Pin>, CoreError> {
    let Some(admin) = order.admin else { return Ok(None) };
    let admin = Login::read(admin, system)?;
    logins.iter().try_for_each(|name| spare_admin(&admin, name))?;
    Ok(Some(Pin { place: place(&Login::read(order.current, system)?), logins }))
}

/// Refuses a login that the plan was not written for.
pub(super) fn check(order: &Order<'_>, login: &Login) -> Result<(), CoreError> {
    check_place(order, login)?;
    match order.pin {
        Some(pin) if !pin.logins.contains(&login.username) => Err(refusal(pin, login)),
        _ => Ok(()),
    }
}

/// Refuses a place that the plan was not written for.
pub(super) fn check_place(order: &Order<'_>, login: &Login) -> Result<(), CoreError> {
    match order.pin {
        Some(pin) if pin.place == place(login) => Ok(()),
        Some(pin) => Err(refusal(pin, login)),
        None => Err(CoreError::Unfit(
            "the plan does not say which login the one that may change others serves; write it again with `strongroom \
             rotate schedule -admin=PATH`, which takes the one in force"
                .to_owned(),
        )),
    }
}

/// Refuses to change the login that may change others: nobody could change it back.
pub(super) fn spare_admin(admin: &Login, name: &str) -> Result<(), CoreError> {
    if admin.username != name {
        return Ok(());
    }
    Err(CoreError::Unfit(format!(
        "{name} is itself the login that may change others, and would be locked out of its own secret; name another login \
         as `admin`, or rotate {name} by its own secret with the way `single` and no `admin`"
    )))
}

/// Where a login is for.
pub(super) fn place(login: &Login) -> String {
    format!("{}/{}", login.place(), login.database)
}

fn refusal(pin: &Pin, login: &Login) -> CoreError {
    let logins = if pin.logins.is_empty() { "logins that it makes".to_owned() } else { pin.logins.join(" and ") };
    CoreError::Unfit(format!(
        "the plan was written for {logins} at {}, and a value of the secret names {} at {}, which the login that may change \
         others does not serve; put the former login back (`strongroom kv put`), or have somebody who may read the `admin` write \
         the plan again with `strongroom rotate schedule -admin=PATH`, which takes the one in force",
        pin.place,
        login.username,
        place(login)
    ))
}
