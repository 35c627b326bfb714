//! Trying logins that were handed out, for drills: what is common to engines whose logins are a name and a password.

use crate::failure::outside;
use strongroom_connectors::{Connector, ConnectorError};
use strongroom_core::{CoreError, Fields};

/// Whether the system lets in who has this. `system` is the connection's name.
pub(crate) async fn lets_in(connector: &dyn Connector, system: &str, credential: &Fields) -> Result<bool, CoreError> {
    let name = credential.text("username")?.ok_or(CoreError::Missing("username"))?;
    let password = credential.secret("password")?.ok_or(CoreError::Missing("password"))?;
    match connector.verify(&name, &password).await {
        Ok(()) => Ok(true),
        Err(ConnectorError::LoginRefused { .. }) => Ok(false),
        Err(error) => Err(outside(system, &error)),
    }
}

/// The place of a role: `creds/ROLE`, given that, `roles/ROLE`, or the role's name alone; in the spelling that policies see.
pub(crate) fn place(typed: &str) -> Option<String> {
    let role = match typed.split_once('/') {
        None => typed,
        Some(("creds" | "roles", role)) => role,
        Some(_) => return None,
    };
    (!role.is_empty() && !role.contains('/')).then(|| format!("creds/{}", role.to_ascii_lowercase()))
}

/// The role of a place.
pub(crate) fn role_of(place: &str) -> Option<&str> {
    place.strip_prefix("creds/")
}
