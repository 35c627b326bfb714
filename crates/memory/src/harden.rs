use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};
use std::io;
use thiserror::Error;

/// Which part of the hardening the system refused.
#[derive(Debug, Error)]
pub enum HardenError {
    /// `RLIMIT_CORE` could not be set to zero.
    #[error(
        "core files could not be switched off (RLIMIT_CORE); a crash would write keys to disk. Allow setrlimit in the service's sandbox"
    )]
    CoreLimit(#[source] io::Error),
    /// `PR_SET_DUMPABLE` could not be cleared.
    #[error(
        "the process could not be made undumpable (PR_SET_DUMPABLE); other processes of this user could read its memory. Allow prctl in the service's sandbox"
    )]
    Dumpable(#[source] io::Error),
}

/// Forbids core files, and forbids other processes of the same user to attach to this one or read its memory.
///
/// Call it first thing, before any key is read and before threads exist. A server should not go on when it fails.
/// After it `/proc/self` belongs to root, so that an unprivileged process can no longer open parts of its own.
pub fn harden_process() -> Result<(), HardenError> {
    let none = Rlimit { current: Some(0), maximum: Some(0) };
    setrlimit(Resource::Core, none).map_err(|errno| HardenError::CoreLimit(errno.into()))?;
    set_dumpable_behavior(DumpableBehavior::NotDumpable).map_err(|errno| HardenError::Dumpable(errno.into()))
}
