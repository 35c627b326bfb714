use std::fmt;
use std::path::PathBuf;
use strongroom_model::hcl::HclError;
use strongroom_model::{Kind, Kinded};
use thiserror::Error;

/// Why a configuration cannot be served. Names keys and places; never repeats a value that could be a secret.
#[derive(Debug, Error)]
pub(crate) enum ConfigError {
    /// A file or folder cannot be read.
    #[error("cannot read the configuration {}: check that it exists and that this user may read it", .file.display())]
    Unreadable {
        /// The path as it was given.
        file: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A folder without configuration.
    #[error("the folder {} holds no configuration: it needs files that end in .hcl or .json", .0.display())]
    EmptyFolder(PathBuf),
    /// A file that is neither HCL nor JSON, or has a block where a value belongs.
    #[error("{}: {mistake}", .file.display())]
    Syntax {
        /// The file.
        file: PathBuf,
        /// Where, and what to write instead. No `source`: the file belongs before the line, so it is part of the text,
        /// and who prints the chain of causes must not say it twice.
        mistake: HclError,
    },
    /// A key whose value cannot be served.
    #[error("{}: line {line}: {what}", .file.display())]
    Wrong {
        /// The file.
        file: PathBuf,
        /// The line of the key.
        line: u32,
        /// What is wrong and what to write instead.
        what: String,
    },
    /// Something that must be there is in none of the files.
    #[error("the configuration has no {0}")]
    Missing(&'static str),
    /// Two values that do not go together.
    #[error("{0}")]
    Conflict(String),
}

impl Kinded for ConfigError {
    fn kind(&self) -> Kind {
        Kind::Invalid
    }
}

/// A key that was accepted and does nothing, or does something else than in Vault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Warning {
    /// The file.
    pub(crate) file: PathBuf,
    /// The line of the key.
    pub(crate) line: u32,
    /// What is not done.
    pub(crate) what: String,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: line {}: {}", self.file.display(), self.line, self.what)
    }
}
