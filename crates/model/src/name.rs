use serde::{Deserialize, Serialize, Serializer};
use std::fmt;
use std::sync::Arc;
use thiserror::Error;

/// Why a name is not one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum NameError {
    /// Nothing there.
    #[error("the name is empty")]
    Empty,
    /// Over the limit.
    #[error("the name is longer than {0} bytes")]
    TooLong(usize),
    /// A character that the kind of name does not have.
    #[error("the name has a character that is not allowed: use letters, digits and `{0}`")]
    Character(&'static str),
}

fn check(text: &str, longest: usize, punctuation: &'static str) -> Result<(), NameError> {
    if text.is_empty() {
        return Err(NameError::Empty);
    }
    if text.len() > longest {
        return Err(NameError::TooLong(longest));
    }
    let allowed = |c: char| c.is_ascii_alphanumeric() || punctuation.contains(c);
    if text.chars().all(allowed) { Ok(()) } else { Err(NameError::Character(punctuation)) }
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize)]
        #[serde(try_from = "String")]
        // Every request hands on the names of all policies of its token: copying one must not copy its text.
        pub struct $name(Arc<str>);

        impl $name {
            /// The canonical text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> String {
                name.0.as_ref().to_owned()
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl TryFrom<String> for $name {
            type Error = NameError;

            fn try_from(text: String) -> Result<Self, NameError> {
                Self::parse(&text)
            }
        }
    };
}

name! {
    /// The name of a policy. Case does not count, as in Vault; this is where it is lowered, once. Blanks and characters
    /// beyond ASCII are refused rather than dropped, so that nothing that is not `root` can become `root`.
    PolicyName
}

impl PolicyName {
    /// Reads a name: letters, digits and `_-./@:+=~`, at most 256 bytes, lower-cased.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        check(text, 256, "_-./@:+=~")?;
        Ok(Self(text.to_ascii_lowercase().into()))
    }

    /// The policy that allows everything. It is nowhere stored and cannot be written.
    pub fn root() -> Self {
        Self("root".into())
    }

    /// The policy that every token has unless it asks not to.
    pub fn default_policy() -> Self {
        Self("default".into())
    }

    /// The policy of wrapping tokens. It is built in; nobody can write, delete or assign it.
    pub fn response_wrapping() -> Self {
        Self("response-wrapping".into())
    }

    /// Whether this is the policy of wrapping tokens.
    pub fn is_response_wrapping(&self) -> bool {
        &*self.0 == "response-wrapping"
    }

    /// Whether this is the policy that allows everything.
    pub fn is_root(&self) -> bool {
        &*self.0 == "root"
    }
}

name! {
    /// The name of a role of an auth method or secrets engine. Case does not count.
    RoleName
}

impl RoleName {
    /// Reads a name: letters, digits and `_-.@:+=~`, at most 256 bytes, lower-cased.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        check(text, 256, "_-.@:+=~")?;
        Ok(Self(text.to_ascii_lowercase().into()))
    }
}

name! {
    /// The name of a token role. Case counts, as in Vault, because it stands as it is in the paths of tokens.
    TokenRoleName
}

impl TokenRoleName {
    /// Reads a name: letters, digits and, inside, `_-.`; at most 256 bytes.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        const INSIDE: &str = "_-.";
        check(text, 256, INSIDE)?;
        let edge = |c: char| c == '-' || c == '.';
        if text.starts_with(edge) || text.ends_with(edge) {
            return Err(NameError::Character(INSIDE));
        }
        Ok(Self(text.into()))
    }
}

name! {
    /// The name of an entity. Case counts.
    EntityName
}

impl EntityName {
    /// Reads a name: letters, digits, blank inside and `_-./@:+=~`, at most 512 bytes.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        check(text, 512, "_-./@:+=~ ")?;
        if text.trim() == text { Ok(Self(text.into())) } else { Err(NameError::Character("_-./@:+=~")) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_but_root_becomes_root() {
        assert!(PolicyName::parse("root").unwrap().is_root());
        assert!(PolicyName::parse("RooT").unwrap().is_root());
        for spelling in
            [" root", "root ", "ro\u{AD}ot", "ｒｏｏｔ", "root\0", "root\n", "ro ot", "", "%72oot", "root,a"]
        {
            assert!(PolicyName::parse(spelling).is_err(), "{spelling:?}");
        }
    }

    #[test]
    fn token_roles_are_told_apart_by_case_and_lead_nowhere() {
        assert_ne!(TokenRoleName::parse("Web").unwrap(), TokenRoleName::parse("web").unwrap());
        assert!(TokenRoleName::parse("web-1.2_x").is_ok());
        for bad in ["", "..", "a/b", "-a", "a.", "a b", "a*"] {
            assert!(TokenRoleName::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn entity_names_keep_their_case_and_have_no_outer_blanks() {
        assert_eq!(EntityName::parse("Web Team").unwrap().as_str(), "Web Team");
        assert!(EntityName::parse(" Web").is_err());
    }
}
