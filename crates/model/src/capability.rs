use serde::{Deserialize, Serialize};
use std::fmt;

/// What a rule allows on a path, in Vault's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[repr(u8)]
pub enum Capability {
    /// Write where nothing is yet.
    Create,
    /// Read the value.
    Read,
    /// Write over what is there.
    Update,
    /// Change parts of what is there (merge patch).
    Patch,
    /// Delete.
    Delete,
    /// See the names under a folder.
    List,
    /// Use a path that is reserved for operators; needed beside the other capability.
    Sudo,
    /// Nothing at all, whatever other policies say of the same path.
    Deny,
}

impl Capability {
    /// All of them, in the order in which Vault prints them.
    pub const ALL: [Capability; 8] = [
        Capability::Create,
        Capability::Delete,
        Capability::Deny,
        Capability::List,
        Capability::Patch,
        Capability::Read,
        Capability::Sudo,
        Capability::Update,
    ];

    /// The word used in policies.
    pub fn word(self) -> &'static str {
        match self {
            Capability::Create => "create",
            Capability::Read => "read",
            Capability::Update => "update",
            Capability::Patch => "patch",
            Capability::Delete => "delete",
            Capability::List => "list",
            Capability::Sudo => "sudo",
            Capability::Deny => "deny",
        }
    }

    /// Reads the word used in policies: lower case, exactly.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|capability| capability.word() == word)
    }
}

impl fmt::Display for Capability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// A set of capabilities, in one byte.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Capabilities(u8);

impl Capabilities {
    /// The set with nothing in it.
    pub const NONE: Capabilities = Capabilities(0);

    /// The set of the one capability.
    pub const fn only(capability: Capability) -> Self {
        Self(1 << capability as u8)
    }

    /// Both sets together. `Deny` stays a member: who asks decides that it wins.
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether the set has the capability as a member.
    pub const fn contains(self, capability: Capability) -> bool {
        self.0 & (1 << capability as u8) != 0
    }

    /// Whether there is no member.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The members in Vault's (alphabetical) order.
    pub fn iter(self) -> impl Iterator<Item = Capability> {
        Capability::ALL.into_iter().filter(move |capability| self.contains(*capability))
    }
}

impl FromIterator<Capability> for Capabilities {
    fn from_iter<I: IntoIterator<Item = Capability>>(members: I) -> Self {
        members.into_iter().fold(Self::NONE, |set, capability| set.union(Self::only(capability)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_read_back_and_nothing_else_does() {
        for capability in Capability::ALL {
            assert_eq!(Capability::parse(capability.word()), Some(capability));
        }
        assert_eq!(Capability::parse("Read"), None);
        assert_eq!(Capability::parse("read "), None);
        assert_eq!(Capability::parse("root"), None);
    }

    #[test]
    fn a_set_lists_its_members_in_order() {
        let set: Capabilities = [Capability::Update, Capability::Create].into_iter().collect();
        assert_eq!(set.iter().map(Capability::word).collect::<Vec<_>>(), ["create", "update"]);
    }
}
