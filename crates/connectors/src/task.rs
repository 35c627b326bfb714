use crate::{ConnectorError, Doubt};
use std::time::Duration;

/// What a system is asked to do, for the words of an error; and whether an answer that is lost leaves a doubt.
#[derive(Clone, Copy)]
pub(crate) struct Task {
    pub(crate) what: &'static str,
    changes: bool,
}

impl Task {
    /// Asks only.
    pub(crate) const fn look(what: &'static str) -> Self {
        Self { what, changes: false }
    }

    /// Changes something there.
    pub(crate) const fn change(what: &'static str) -> Self {
        Self { what, changes: true }
    }

    /// No answer came by the deadline.
    pub(crate) fn late(self, address: &str, after: Duration) -> ConnectorError {
        let (address, what) = (address.to_owned(), self.what);
        if self.changes {
            ConnectorError::Unknown { address, what, doubt: Doubt::Deadline(after) }
        } else {
            ConnectorError::TimedOut { address, what, after }
        }
    }

    /// The connection ended before the answer.
    pub(crate) fn lost(self, address: &str, why: String) -> ConnectorError {
        let (address, what) = (address.to_owned(), self.what);
        if self.changes {
            ConnectorError::Unknown { address, what, doubt: Doubt::Lost(why) }
        } else {
            ConnectorError::Unreachable { address, why }
        }
    }

    /// The system said no.
    pub(crate) fn rejected(self, address: &str, code: String, message: String) -> ConnectorError {
        ConnectorError::Rejected { address: address.to_owned(), what: self.what, code, message, left: false }
    }
}
