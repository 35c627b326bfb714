//! Parameter Store.

use super::operation::Operation;

/// What is served.
pub(super) const OPERATIONS: &[Operation] = &[];
