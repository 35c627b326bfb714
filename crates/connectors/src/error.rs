use std::time::Duration;
use strongroom_model::{Kind, Kinded};
use thiserror::Error;

/// What can go wrong between us and an outside system. No text holds a password.
#[derive(Debug, Error)]
pub enum ConnectorError {
    /// The settings or statements cannot be used as they are; nothing was sent.
    #[error("{what}")]
    Config {
        /// What is wrong and what to write instead.
        what: String,
    },
    /// No connection came about; nothing was sent.
    #[error("{address} cannot be reached: {why}; check that the server runs and that a firewall lets us through")]
    Unreachable {
        /// Host and port.
        address: String,
        /// What the attempt ended with.
        why: String,
    },
    /// The system does not take the connector's own name and password.
    #[error("{address} refused the login of {username} ({why}); correct username and password of the connection")]
    Refused {
        /// Host and port.
        address: String,
        /// The connector's own login.
        username: String,
        /// The system's words, without secrets.
        why: String,
    },
    /// The system does not take the password of the login that was to be proved.
    #[error("{address} refused the login of {name} ({why})")]
    LoginRefused {
        /// Host and port.
        address: String,
        /// The login that was tried.
        name: String,
        /// The system's words, without secrets.
        why: String,
    },
    /// The deadline passed before anything was sent.
    #[error("{address} did not {what} within {after:?}; nothing was changed, try again later")]
    TimedOut {
        /// Host and port.
        address: String,
        /// What was waited for.
        what: &'static str,
        /// The deadline.
        after: Duration,
    },
    /// All allowed connections were in use until the deadline; nothing was sent.
    #[error("all {max_open} connections to {address} are in use; try again later or raise max_open_connections")]
    Busy {
        /// Host and port.
        address: String,
        /// How many connections are allowed.
        max_open: usize,
    },
    /// The request was sent and no answer came: the system may or may not have acted.
    #[error("{address} may or may not have done it: {doubt} while it was asked to {what}; look there, or repeat it")]
    Unknown {
        /// Host and port.
        address: String,
        /// What it was asked to do.
        what: &'static str,
        /// How the answer was lost.
        doubt: Doubt,
    },
    /// The system answered that it will not. What it had begun is undone, unless `left` says otherwise.
    #[error("{address} would not {what}: {message} ({code}){}", left_words(*.left))]
    Rejected {
        /// Host and port.
        address: String,
        /// What it was asked to do.
        what: &'static str,
        /// The system's own code: an SQLSTATE, an error number, a status.
        code: String,
        /// The system's words, with passwords taken out.
        message: String,
        /// Whether a part may have stayed, in a system without transactions.
        left: bool,
    },
    /// A login of this name exists already, and was not touched.
    #[error("{address} has a login {name} already; nothing was changed")]
    LoginExists {
        /// Host and port.
        address: String,
        /// The name that is taken.
        name: String,
    },
    /// There is no login of this name.
    #[error("{address} has no login {name}; make it there first, or correct the name")]
    NoSuchLogin {
        /// Host and port.
        address: String,
        /// The name that was looked for.
        name: String,
    },
    /// The connector was closed, because its settings changed or the server seals.
    #[error("the connection to {address} was closed; ask again")]
    Closed {
        /// Host and port.
        address: String,
    },
}

/// How the answer to a request that was sent got lost.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Doubt {
    /// No answer by the deadline.
    #[error("no answer came within {0:?}")]
    Deadline(Duration),
    /// The connection ended first.
    #[error("the connection was lost ({0})")]
    Lost(String),
}

/// What is added to the error of a login that could not be ended.
pub(crate) const BARRED: &str = "it cannot log in any more, and its sessions are ended";

fn left_words(left: bool) -> &'static str {
    if left { "; a part of it may have stayed: drop that login" } else { "" }
}

impl ConnectorError {
    /// The same with more words, where the system said no.
    pub(crate) fn with_words(self, words: &str) -> Self {
        match self {
            Self::Rejected { address, what, code, message, left } => {
                Self::Rejected { address, what, code, message: format!("{message}; {words}"), left }
            }
            other => other,
        }
    }

    /// Whether the system may have done all or a part of what it was asked for. If not, it certainly has not.
    pub fn may_have_acted(&self) -> bool {
        matches!(self, Self::Unknown { .. } | Self::Rejected { left: true, .. })
    }

    /// Whether the same call may well work later without anybody changing anything.
    pub fn is_passing(&self) -> bool {
        self.kind() == Kind::Unavailable
    }
}

impl Kinded for ConnectorError {
    fn kind(&self) -> Kind {
        match self {
            Self::Config { .. } | Self::Rejected { .. } | Self::Refused { .. } | Self::LoginRefused { .. } => {
                Kind::Invalid
            }
            Self::LoginExists { .. } => Kind::Conflict,
            Self::NoSuchLogin { .. } => Kind::NotFound,
            Self::Busy { .. } => Kind::TooMany,
            Self::Unreachable { .. } | Self::TimedOut { .. } | Self::Unknown { .. } | Self::Closed { .. } => {
                Kind::Unavailable
            }
        }
    }
}
