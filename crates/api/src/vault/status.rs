//! From what went wrong to Vault's status codes. The one table of this dialect.

use hyper::http::StatusCode;
use strongroom_core::CoreError;
use strongroom_model::{Kind, Kinded};

/// The status for an error.
pub(super) fn code(error: &CoreError) -> StatusCode {
    match error.kind() {
        // A check that failed because of somebody else's change is a bad request to Vault's clients.
        Kind::Invalid | Kind::Conflict => StatusCode::BAD_REQUEST,
        Kind::Denied => StatusCode::FORBIDDEN,
        Kind::NotFound => StatusCode::NOT_FOUND,
        Kind::Unsupported => StatusCode::METHOD_NOT_ALLOWED,
        Kind::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        Kind::TooMany => StatusCode::TOO_MANY_REQUESTS,
        Kind::Uninitialised if matches!(error, CoreError::Uninitialised) => StatusCode::BAD_REQUEST,
        // Vault's documents: a third party failed. 503 would make clients think that the server is sealed.
        Kind::Unavailable
            if matches!(
                error,
                CoreError::Unreachable { .. }
                    | CoreError::Crowded { .. }
                    | CoreError::Unanswered { .. }
                    | CoreError::Outside { .. }
                    | CoreError::Unrevoked { .. }
            ) =>
        {
            StatusCode::BAD_GATEWAY
        }
        Kind::Sealed | Kind::Uninitialised | Kind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        Kind::Tampered | Kind::Internal => StatusCode::INTERNAL_SERVER_ERROR,
    }
}
