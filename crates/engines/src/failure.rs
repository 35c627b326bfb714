use strongroom_connectors::{ConnectorError, Doubt};
use strongroom_core::CoreError;
use strongroom_model::{Kind, Kinded};

/// What a connector's error means to the core: that everything in this lane must wait, or that this one thing was
/// refused. `system` is the connection's name.
pub(crate) fn outside(system: &str, error: &ConnectorError) -> CoreError {
    let (system, why) = (system.to_owned(), error.to_string());
    match error {
        ConnectorError::Config { what } => CoreError::Invalid(what.clone()),
        // Nobody gets in any more with what we have, so the next lease would fare no better.
        ConnectorError::Refused { .. } => CoreError::Unreachable { system, why },
        _ if matches!(error.kind(), Kind::Unavailable | Kind::TooMany) => CoreError::Unreachable { system, why },
        _ => CoreError::Outside { system, why },
    }
}

/// What a connector's error means where a credential was to be ended: a full pool is no outage, and a request that was
/// not answered may be slow by its own fault, so that neither holds up the other leases of the lane.
pub(crate) fn ending(system: &str, error: &ConnectorError) -> CoreError {
    let (named, why) = (system.to_owned(), error.to_string());
    match error {
        ConnectorError::Busy { .. } => CoreError::Crowded { system: named, why },
        ConnectorError::Unknown { doubt: Doubt::Deadline(_), .. } => CoreError::Unanswered { system: named, why },
        _ => outside(system, error),
    }
}
