use super::host::Hosts;
use super::login::Login;
use super::{outside, pin};
use aws_lc_rs::constant_time::verify_slices_are_equal;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use strongroom_connectors::{Connector, System, open};
use strongroom_core::CoreError;
use strongroom_core::rotation::Order;
use strongroom_model::SecretString;

/// Connections to one system that powerful logins share.
const AT_ONCE: usize = 8;
/// Connectors kept; one is made anew when it is needed again.
const MOST: usize = 64;

type Place = (System, String, String);

/// A connector with the password that it was made with.
type Kept = (SecretString, Arc<dyn Connector>);

/// Connectors of the logins that may change others, kept between rotations.
pub(super) struct Links {
    pub(super) hosts: Hosts,
    open: Mutex<HashMap<Place, Kept>>,
}

/// Who goes to the outside system for an order.
pub(super) struct Way {
    /// The connector.
    pub(super) connector: Arc<dyn Connector>,
    /// The system, as errors name it.
    pub(super) place: String,
}

impl Links {
    pub(super) fn new(hosts: Hosts) -> Self {
        Self { hosts, open: Mutex::default() }
    }

    /// The login that may change others: another secret's, for the same place, or none. It serves the logins that the plan
    /// was written for.
    pub(super) fn admin(&self, order: &Order<'_>, system: System, own: &Login) -> Result<Option<Way>, CoreError> {
        if order.admin.is_some() {
            pin::check(order, own)?;
        }
        self.admin_at(order, system, own)
    }

    /// As [`Links::admin`], for a login that the strategy itself makes under a name from the plan.
    pub(super) fn admin_at(&self, order: &Order<'_>, system: System, own: &Login) -> Result<Option<Way>, CoreError> {
        let Some(admin) = order.admin else { return Ok(None) };
        pin::check_place(order, own)?;
        let admin = Login::read(admin, system)?;
        pin::spare_admin(&admin, &own.username)?;
        // Whoever may write the secret must not get to choose where the powerful login is shown.
        if (&admin.host, admin.port) != (&own.host, own.port) {
            return Err(CoreError::Unfit(
                "the secret and the one with the login that may change others name different hosts or ports; make them the same"
                    .to_owned(),
            ));
        }
        self.hosts.admit(own)?;
        let admin =
            Login { database: if admin.database.is_empty() { own.database.clone() } else { admin.database }, ..admin };
        Ok(Some(Way { place: admin.place(), connector: self.kept(&admin, system)? }))
    }

    /// As [`Links::admin`], where there must be one.
    pub(super) fn need_admin(&self, order: &Order<'_>, system: System, own: &Login) -> Result<Way, CoreError> {
        self.admin(order, system, own)?.ok_or_else(no_admin)
    }

    fn kept(&self, login: &Login, system: System) -> Result<Arc<dyn Connector>, CoreError> {
        let place = (system, format!("{}/{}", login.place(), login.database), login.username.clone());
        let mut open_links = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((password, connector)) = open_links.get(&place)
            && verify_slices_are_equal(password.expose().as_bytes(), login.password.expose().as_bytes()).is_ok()
        {
            return Ok(Arc::clone(connector));
        }
        if open_links.len() >= MOST {
            let victim = open_links.keys().next().cloned();
            victim.map(|victim| open_links.remove(&victim));
        }
        let connector =
            open(system, login.settings(system, AT_ONCE)).map_err(|error| outside(&login.place(), &error))?;
        open_links.insert(place, (login.password.duplicate(), Arc::clone(&connector)));
        Ok(connector)
    }
}

impl Links {
    /// A connector with that login alone, for one act.
    pub(super) fn as_self(&self, login: &Login, system: System) -> Result<Way, CoreError> {
        self.hosts.admit(login)?;
        let place = login.place();
        let connector = open(system, login.settings(system, 1)).map_err(|error| outside(&place, &error))?;
        Ok(Way { connector, place })
    }
}

pub(super) fn no_admin() -> CoreError {
    CoreError::Invalid(
        "this way to rotate needs a login that may change others: name the secret that holds it as `admin`".to_owned(),
    )
}
