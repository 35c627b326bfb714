use std::ops::Range;

/// A credential that was recognised. Holds nothing of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// By what it was recognised.
    pub kind: Kind,
    /// What it looks like, to be put into a sentence: "a GitHub token".
    pub what: &'static str,
    /// Where it stands in the bytes that were looked at.
    pub range: Range<usize>,
}

/// By what a credential is recognised.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// A format that only such tokens have.
    KnownFormat,
    /// A private key.
    PrivateKey,
    /// A password or key in a connection string or an address.
    ConnectionString,
    /// A random value under a name that says what it is.
    TellingName,
}

impl Kind {
    /// The kind in one word, for metrics and trails.
    pub fn word(self) -> &'static str {
        match self {
            Kind::KnownFormat => "known-format",
            Kind::PrivateKey => "private-key",
            Kind::ConnectionString => "connection-string",
            Kind::TellingName => "telling-name",
        }
    }
}
