use crate::Entropy;
use serde::{Deserialize, Serialize};
use std::fmt;
use uuid::Uuid;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Uuid);

        impl $name {
            /// A fresh random id (a version 4 UUID).
            pub fn random(entropy: &dyn Entropy) -> Self {
                Self(uuid::Builder::from_random_bytes(entropy.array()).into_uuid())
            }

            /// The id with these 16 bytes.
            pub const fn from_bytes(bytes: [u8; 16]) -> Self {
                Self(Uuid::from_bytes(bytes))
            }

            /// The 16 bytes of the id, as they enter keys and associated data.
            pub fn as_bytes(&self) -> &[u8; 16] {
                self.0.as_bytes()
            }

            /// Reads the hyphenated lower-case form that `Display` writes, and nothing else.
            pub fn parse(text: &str) -> Option<Self> {
                let id = Uuid::try_parse(text).ok().map(Self)?;
                (id.to_string() == text).then_some(id)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0.as_hyphenated(), f)
            }
        }
    };
}

id! {
    /// One namespace. Stays when the namespace is renamed.
    NamespaceId
}
id! {
    /// One mount of a secrets engine or auth method. Stays when the mount is moved.
    MountId
}
id! {
    /// One versioned secret. Stays when the secret is renamed; a secret created anew under an old name gets a new one.
    SecretId
}
id! {
    /// One entity: a principal that outlives its tokens.
    EntityId
}
id! {
    /// One request, as answers, trail and operator log name it.
    RequestId
}

impl NamespaceId {
    /// The namespace that always exists.
    pub const ROOT: NamespaceId = NamespaceId::from_bytes([0; 16]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn has_one_spelling_only() {
        let id = EntityId::from_bytes([0xAB; 16]);
        let text = id.to_string();
        assert_eq!(EntityId::parse(&text), Some(id));
        assert_eq!(EntityId::parse(&text.to_uppercase()), None);
        assert_eq!(EntityId::parse(&text.replace('-', "")), None);
    }
}
