//! What can go wrong on the command line, with the text people read and the code scripts read. The first part of a text
//! is laid out as Vault's, because scripts look for it; the advice of ours follows. No variant carries a secret value:
//! what a user typed as data, a token, or a body never comes here.
//!
//! Exit codes: 1 when the mistake is on this side (usage, files, a field that is absent), 2 when the server could not be
//! reached, refused, or has nothing there.

use std::io;
use std::path::PathBuf;
use strongroom_model::{Kind, Kinded};
use thiserror::Error;

/// Why a command did not end well.
#[derive(Debug, Error)]
pub(crate) enum CliError {
    /// Not an error: help was asked for.
    #[error("help was asked for")]
    Help,
    /// Not an error: the request was printed (`-output-curl-string`, `-output-policy`) and not sent.
    #[error("the request was printed, not sent")]
    Printed,
    /// The line cannot be understood or asks for what does not fit together.
    #[error("{0}")]
    Usage(String),
    /// A file, or standard input, could not be read or written.
    #[error("{what} {}: {source}", path.display())]
    File {
        /// What was being done, as `cannot read`.
        what: &'static str,
        /// Which file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// No request could be sent, or no answer came.
    #[error("{method} {url}: {why}\n\n{advice}")]
    Transport {
        /// The verb.
        method: String,
        /// Where to.
        url: String,
        /// What happened.
        why: String,
        /// What to do next.
        advice: String,
    },
    /// The server answered with an error.
    #[error("{0}")]
    Api(Box<ApiError>),
    /// There is nothing under the path.
    #[error("No value found at {path}{}", paragraph(note))]
    NoValue {
        /// The path, as the server knows it.
        path: String,
        /// What may be the reason; may be empty.
        note: String,
    },
    /// The answer has no such field.
    #[error("Field {field:?} not present in {place}")]
    FieldAbsent {
        /// The name asked for.
        field: String,
        /// In what it was looked for.
        place: &'static str,
    },
    /// The server's answer is not what this command can use.
    #[error("the server's answer cannot be used: {0}")]
    Answer(String),
    /// Another error; the process ends with 1, because 2 has a meaning of its own for the command (`status`).
    #[error("{0}")]
    NotTwo(Box<CliError>),
    /// Another error, with what was being done.
    #[error("{doing}: {cause}")]
    While {
        /// What was being done, as Vault says it: `Error reading secret/x`.
        doing: String,
        /// Why it failed.
        cause: Box<CliError>,
    },
}

/// An error the server answered with.
#[derive(Debug)]
pub(crate) struct ApiError {
    /// The verb.
    pub(crate) method: String,
    /// Where it was sent, without the query's values.
    pub(crate) url: String,
    /// The HTTP status.
    pub(crate) code: u16,
    /// The server's texts.
    pub(crate) errors: Vec<String>,
    /// What to do next; may be empty.
    pub(crate) advice: String,
}

impl std::fmt::Display for ApiError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { method, url, code, errors, advice } = self;
        write!(f, "Error making API request.\n\nURL: {method} {url}\nCode: {code}. Errors:\n")?;
        for error in errors {
            write!(f, "\n* {error}")?;
        }
        f.write_str(&paragraph(advice))
    }
}

impl CliError {
    /// A mistake in the line.
    pub(crate) fn usage(text: impl Into<String>) -> Self {
        CliError::Usage(text.into())
    }

    /// The same error with what was being done in front; what is no failure stays as it is.
    pub(crate) fn doing(self, doing: impl Into<String>) -> Self {
        match self {
            CliError::Help | CliError::Printed | CliError::NoValue { .. } | CliError::Usage(_) => self,
            cause => CliError::While { doing: doing.into(), cause: Box::new(cause) },
        }
    }

    /// The status the server answered with, if it did.
    pub(crate) fn status(&self) -> Option<u16> {
        match self {
            CliError::Api(api) => Some(api.code),
            CliError::NoValue { .. } => Some(404),
            CliError::While { cause, .. } | CliError::NotTwo(cause) => cause.status(),
            _ => None,
        }
    }

    /// The texts the server answered with, if it did.
    pub(crate) fn errors(&self) -> &[String] {
        match self {
            CliError::Api(api) => &api.errors,
            CliError::While { cause, .. } | CliError::NotTwo(cause) => cause.errors(),
            _ => &[],
        }
    }

    /// Whether the server answered 404 without a word, which is how it says that nothing is there. With a word it is
    /// about something else: a namespace, a mount or a path that does not exist.
    pub(crate) fn means_nothing_there(&self) -> bool {
        self.status() == Some(404) && self.errors().is_empty()
    }

    /// Whether the server does not know the address at all, in Vault's words for it, as an older server does not.
    pub(crate) fn means_unknown_address(&self) -> bool {
        let unknown = |text: &String| text.contains("unsupported path") || text.contains("no handler for route");
        self.status() == Some(404) && self.errors().iter().any(unknown)
    }

    /// The code the process ends with.
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            CliError::Help | CliError::Printed => 0,
            CliError::NotTwo(cause) => cause.exit_code().min(1),
            CliError::Usage(_) | CliError::File { .. } | CliError::FieldAbsent { .. } => 1,
            CliError::Transport { .. } | CliError::Api(_) | CliError::NoValue { .. } | CliError::Answer(_) => 2,
            CliError::While { cause, .. } => cause.exit_code(),
        }
    }
}

impl Kinded for CliError {
    fn kind(&self) -> Kind {
        match self {
            CliError::NoValue { .. } => Kind::NotFound,
            CliError::Transport { .. } => Kind::Unavailable,
            CliError::Api(api) if api.code == 403 => Kind::Denied,
            CliError::Api(api) if api.code == 503 => Kind::Sealed,
            CliError::Api(_) | CliError::Answer(_) => Kind::Unavailable,
            CliError::While { cause, .. } | CliError::NotTwo(cause) => cause.kind(),
            _ => Kind::Invalid,
        }
    }
}

/// Adds `.doing(...)` to results.
pub(crate) trait Doing<T> {
    /// Says what was being done when it failed.
    fn doing(self, doing: impl FnOnce() -> String) -> Result<T, CliError>;
}

impl<T> Doing<T> for Result<T, CliError> {
    fn doing(self, doing: impl FnOnce() -> String) -> Result<T, CliError> {
        self.map_err(|error| error.doing(doing()))
    }
}

fn paragraph(text: &str) -> String {
    if text.is_empty() { String::new() } else { format!("\n\n{text}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_api_error_is_laid_out_as_vaults() {
        let error = CliError::Api(Box::new(ApiError {
            method: "GET".to_owned(),
            url: "http://127.0.0.1:8200/v1/secret/data/x".to_owned(),
            code: 403,
            errors: vec!["permission denied".to_owned()],
            advice: "look".to_owned(),
        }))
        .doing("Error reading secret/data/x");
        assert_eq!(
            error.to_string(),
            "Error reading secret/data/x: Error making API request.\n\nURL: GET http://127.0.0.1:8200/v1/secret/data/x\n\
             Code: 403. Errors:\n\n* permission denied\n\nlook"
        );
        assert_eq!((error.exit_code(), error.kind()), (2, Kind::Denied));
    }

    #[test]
    fn mistakes_of_this_side_end_with_one_and_of_the_other_with_two() {
        assert_eq!(CliError::usage("x").exit_code(), 1);
        assert_eq!(CliError::NoValue { path: "x".to_owned(), note: String::new() }.exit_code(), 2);
        assert_eq!(CliError::FieldAbsent { field: "x".to_owned(), place: "secret" }.doing("y").exit_code(), 1);
    }
}
