use std::fmt;

/// What went wrong, as coarsely as a caller can act on it. Every error of every room maps onto one of these;
/// each dialect has one table from `Kind` to its own status codes. Add to it rarely.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// The request itself is wrong: a malformed name, a missing field, a value out of range.
    Invalid,
    /// No valid credential came with the request, or the credential may not do this.
    Denied,
    /// There is nothing under this name (or the caller may not know that there is).
    NotFound,
    /// The caller's view is out of date: check-and-set failed, or somebody else was quicker.
    Conflict,
    /// The name exists, but this operation does not apply to it.
    Unsupported,
    /// The request, or what it would store, is larger than a limit.
    TooLarge,
    /// A quota or rate limit; trying later helps.
    TooMany,
    /// The server holds no keys: it waits for its unseal shares.
    Sealed,
    /// The server has never been initialised.
    Uninitialised,
    /// Storage, trail or a connected system cannot serve now; trying later may help.
    Unavailable,
    /// Stored bytes are not what was written: altered, swapped or rolled back.
    Tampered,
    /// A defect of ours.
    Internal,
}

impl Kind {
    /// A stable lower-case word, used in the trail and in metrics.
    pub fn word(self) -> &'static str {
        match self {
            Kind::Invalid => "invalid",
            Kind::Denied => "denied",
            Kind::NotFound => "not_found",
            Kind::Conflict => "conflict",
            Kind::Unsupported => "unsupported",
            Kind::TooLarge => "too_large",
            Kind::TooMany => "too_many",
            Kind::Sealed => "sealed",
            Kind::Uninitialised => "uninitialised",
            Kind::Unavailable => "unavailable",
            Kind::Tampered => "tampered",
            Kind::Internal => "internal",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// Implemented by every error enum of every room.
pub trait Kinded {
    /// The coarse class of this error, from which a dialect chooses its status code.
    fn kind(&self) -> Kind;
}
