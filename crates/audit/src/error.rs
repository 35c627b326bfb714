use std::io;
use strongroom_model::{Kind, Kinded};
use thiserror::Error;

/// Why the trail could not do what was asked.
#[derive(Debug, Error)]
pub enum TrailError {
    /// The trail cannot be written, so no request is served.
    #[error(
        "the audit trail cannot be written ({why}), so no request is served; make room or mend the disk, the server resumes by itself"
    )]
    Unwritable {
        /// What the system said.
        why: String,
    },
    /// The files are not a trail, or a part of it that was signed is damaged or missing.
    #[error(
        "the audit trail in {path} cannot be continued: {why}; check it with `strongroom audit verify`, keep the folder for examination, and give the server a new one"
    )]
    Broken {
        /// The folder.
        path: String,
        /// What was found.
        why: String,
    },
    /// Another process writes this trail.
    #[error(
        "the audit trail in {path} is in use by another server; stop that one, or give this one a folder of its own"
    )]
    InUse {
        /// The folder.
        path: String,
    },
    /// The index has not reached the end of the trail in time, so an answer would not be complete.
    #[error(
        "the trail's index is at line {done} of {target} ({why}); ask again in a moment, or for what it has reached: `audit query -stale`"
    )]
    Behind {
        /// How far it is.
        done: u64,
        /// How far the trail is.
        target: u64,
        /// What holds it up.
        why: String,
    },
    /// A line that a question came upon is not the one that was written.
    #[error(
        "the audit trail was changed at or behind line {line}, in {place}, so this question is not answered; check it with `strongroom audit verify` and keep the folder for examination; questions about other times are answered"
    )]
    Changed {
        /// The segment.
        place: String,
        /// The line, or the first one of the segment where it cannot be told.
        line: u64,
    },
    /// Segments cannot be archived as asked, or an archive is not what it should be.
    #[error("nothing was removed from the trail: {0}")]
    Archive(String),
    /// Archiving was broken off because the server is being sealed or stopped.
    #[error("archiving was broken off; nothing is lost, and it goes on when it is asked for again")]
    Interrupted,
    /// A device specification that cannot be served.
    #[error("{0}")]
    Device(String),
    /// Anything else from the system.
    #[error("{what}")]
    Io {
        /// What was being done.
        what: String,
        /// The cause.
        #[source]
        source: io::Error,
    },
}

impl Kinded for TrailError {
    fn kind(&self) -> Kind {
        match self {
            TrailError::Device(_) | TrailError::Archive(_) => Kind::Invalid,
            TrailError::Broken { .. } | TrailError::Changed { .. } => Kind::Tampered,
            _ => Kind::Unavailable,
        }
    }
}
