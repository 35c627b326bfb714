use strongroom_audit::TrailError;
use strongroom_barrier::BarrierError;
use strongroom_model::{Kind, Kinded, NameError, PathError, TtlError};
use thiserror::Error;

/// Why something could not be done. The text is what the caller sees: it says what failed, why if the caller may know,
/// and what to do next; it never holds a value that was sent.
#[derive(Debug, Error)]
pub enum CoreError {
    /// The request is wrong in a way that its sender can mend.
    #[error("{0}")]
    Invalid(String),
    /// A field that must be sent was not.
    #[error("missing {0}")]
    Missing(&'static str),
    /// A field whose value is of the wrong kind.
    #[error("field `{field}` {problem}")]
    Field {
        /// The field's name.
        field: String,
        /// What it must be.
        problem: String,
    },
    /// No token, a bad one, or one that may not do this. Vault's clients look for these two words.
    #[error("permission denied")]
    Denied,
    /// As `Denied`, with a reason that the caller may know because it is about the caller.
    #[error("permission denied: {0}")]
    DeniedBecause(String),
    /// As `Denied`: something forbids it, rather than nothing allowing it. Dialects that have words for what does use them.
    #[error("permission denied")]
    Forbidden(Veto),
    /// The credentials of a login are wrong. Vault answers 400 here, and clients expect it.
    #[error("{0}")]
    BadCredentials(&'static str),
    /// There is nothing there; the answer is a bare 404.
    #[error("")]
    Nothing,
    /// There is no such thing, and the caller may be told.
    #[error("{0}")]
    NotFound(String),
    /// The path belongs to no mount and no endpoint.
    #[error("no handler for route \"{0}\". route entry not found.")]
    NoRoute(String),
    /// The endpoint does not know this operation.
    #[error("unsupported operation")]
    Unsupported,
    /// Somebody else changed it first, too often to go on.
    #[error("somebody else changed the same object at the same time; read it again and retry")]
    Conflict,
    /// A check-and-set failed: the caller's view is out of date, or there must be one and was none.
    #[error("{0}")]
    Stale(&'static str),
    /// The name, or the id of a version, is taken by something else.
    #[error("{0}")]
    Exists(String),
    /// The request is one, but the object is in no state for it.
    #[error("{0}")]
    Unfit(String),
    /// One more than a secret may have of something.
    #[error("{0}")]
    Quota(String),
    /// The secret is marked for deletion and waits for its day; restored, it is as before.
    #[error("the secret is marked for deletion and cannot be used; restore it first, or write it anew when it is gone")]
    Marked,
    /// Over a limit.
    #[error("{0}")]
    TooLarge(String),
    /// The server has too much to do already.
    #[error("{0}")]
    Busy(&'static str),
    /// A rule of the operator allows no more requests for now.
    #[error("{0}")]
    Limited(String),
    /// An outside system cannot be reached or does not answer in time: nothing can be done there now.
    #[error("{system} cannot be reached: {why}")]
    Unreachable {
        /// The system, as its operator named it.
        system: String,
        /// What was tried and how it failed, without any secret.
        why: String,
    },
    /// An outside system is there and serves others, and had no place free for this in time. Nothing was sent.
    #[error("{system} has no place free now: {why}")]
    Crowded {
        /// The system, as its operator named it.
        system: String,
        /// What was waited for, without any secret.
        why: String,
    },
    /// An outside system took a request and did not answer it in time; whether it would answer another is not known.
    #[error("{system} did not answer: {why}")]
    Unanswered {
        /// The system, as its operator named it.
        system: String,
        /// What was asked, without any secret.
        why: String,
    },
    /// An outside system answered, and refused what was asked of it.
    #[error("{system} refused: {why}")]
    Outside {
        /// The system, as its operator named it.
        system: String,
        /// What it said, without any secret.
        why: String,
    },
    /// A lease was marked as to be revoked, and its credential is still there.
    #[error(
        "`{what}` is not revoked yet: {why}. It is tried again until it works; see `sys/leases?type=irrevocable`, or have it forgotten with `sys/leases/revoke-force`"
    )]
    Unrevoked {
        /// The lease, or the prefix of several.
        what: String,
        /// How it failed, without any secret.
        why: String,
    },
    /// The server waits for its unseal shares.
    #[error("Vault is sealed")]
    Sealed,
    /// The server has never been initialised.
    #[error("server is not yet initialized")]
    Uninitialised,
    /// A path that is not one.
    #[error(transparent)]
    Path(#[from] PathError),
    /// A name that is not one.
    #[error(transparent)]
    Name(#[from] NameError),
    /// A duration that is not one.
    #[error(transparent)]
    Ttl(#[from] TtlError),
    /// The trail refused the entry, so the request fails.
    #[error(transparent)]
    Trail(#[from] TrailError),
    /// The trail is shorter than the store remembers.
    #[error(
        "the audit trail has {found} lines, but the store remembers {expected} signed ones: the trail was removed, cut off, or replaced by an older one. Put the right one back; if it is lost or you restored it on purpose, start once with -accept-rollback"
    )]
    TrailCut {
        /// Lines that are there.
        found: u64,
        /// Lines that were signed.
        expected: u64,
    },
    /// The trail is long enough, but is not the one that the store remembers.
    #[error(
        "the audit trail is not the one that the store knows: of its {found} lines, those before number {expected} do not end as they were signed. Put the right one back; if it is lost or you replaced it on purpose, start once with -accept-rollback"
    )]
    TrailReplaced {
        /// Lines that are there.
        found: u64,
        /// Lines that were signed.
        expected: u64,
    },
    /// A snapshot that cannot be restored.
    #[error("the snapshot cannot be used: {0}. Nothing was changed")]
    Snapshot(String),
    /// Storage or keys failed.
    #[error(transparent)]
    Barrier(BarrierError),
    /// A record of ours that this version cannot read.
    #[error("a stored {kind} record cannot be read; it was written by another version or is damaged")]
    Unreadable {
        /// The kind of record.
        kind: &'static str,
    },
    /// A defect of ours, named for the operator.
    #[error("internal error: {0}")]
    Internal(&'static str),
}

/// What forbids an act.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Veto {
    /// A rule of a policy denies it.
    Rule,
    /// The secret's own policy denies it.
    SecretsPolicy,
    /// The policy of the session denies it.
    SessionDenies,
    /// The policies of the session do not allow it.
    SessionLacks,
}

impl From<BarrierError> for CoreError {
    fn from(error: BarrierError) -> Self {
        match error {
            BarrierError::Conflict => CoreError::Conflict,
            other => CoreError::Barrier(other),
        }
    }
}

impl Kinded for CoreError {
    fn kind(&self) -> Kind {
        match self {
            CoreError::Invalid(_)
            | CoreError::Missing(_)
            | CoreError::Field { .. }
            | CoreError::BadCredentials(_)
            | CoreError::Snapshot(_)
            | CoreError::Path(_)
            | CoreError::Name(_)
            | CoreError::Ttl(_) => Kind::Invalid,
            CoreError::Denied | CoreError::DeniedBecause(_) | CoreError::Forbidden(_) => Kind::Denied,
            CoreError::Nothing | CoreError::NotFound(_) | CoreError::NoRoute(_) => Kind::NotFound,
            CoreError::Unsupported => Kind::Unsupported,
            CoreError::Conflict
            | CoreError::Stale(_)
            | CoreError::Exists(_)
            | CoreError::Unfit(_)
            | CoreError::Quota(_) => Kind::Conflict,
            CoreError::Marked => Kind::NotFound,
            CoreError::TooLarge(_) => Kind::TooLarge,
            CoreError::Busy(_) | CoreError::Limited(_) => Kind::TooMany,
            CoreError::Unreachable { .. }
            | CoreError::Crowded { .. }
            | CoreError::Unanswered { .. }
            | CoreError::Outside { .. }
            | CoreError::Unrevoked { .. } => Kind::Unavailable,
            CoreError::Sealed => Kind::Sealed,
            CoreError::Uninitialised => Kind::Uninitialised,
            CoreError::Trail(error) => error.kind(),
            CoreError::Barrier(error) => error.kind(),
            CoreError::TrailCut { .. } | CoreError::TrailReplaced { .. } | CoreError::Unreadable { .. } => {
                Kind::Tampered
            }
            CoreError::Internal(_) => Kind::Internal,
        }
    }
}
