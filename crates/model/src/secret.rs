use crate::Wiped;
use serde::{Deserialize, Deserializer, Serialize};
use std::io;
use zeroize::Zeroizing;

/// Bytes that must not be seen: wiped when dropped; no `Debug`, no `Display`, no `Serialize`, no `PartialEq`.
///
/// Cloning is possible only by name (`duplicate`), and reading only by name (`expose`), so that a search for the two
/// words lists every place where a secret is looked at.
pub struct SecretBytes(Wiped);

impl SecretBytes {
    /// Takes over the bytes; the buffer given is the one that will be wiped.
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(Wiped::new(bytes))
    }

    /// Writes a value as JSON. The buffer has the exact size from the start, because one that grows leaves copies behind.
    pub fn from_json<T: Serialize + ?Sized>(value: &T) -> Result<Self, serde_json::Error> {
        let mut count = Count(0);
        serde_json::to_writer(&mut count, value)?;
        let mut bytes = Wiped::with_capacity(count.0);
        serde_json::to_writer(&mut bytes, value)?;
        Ok(Self(bytes))
    }

    /// The bytes themselves. Keep the span of the borrow short.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }

    /// A second copy in memory, wiped on its own.
    pub fn duplicate(&self) -> Self {
        Self(self.0.clone())
    }

    /// Number of bytes; not itself a secret.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are no bytes at all.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl From<Vec<u8>> for SecretBytes {
    fn from(bytes: Vec<u8>) -> Self {
        Self::new(bytes)
    }
}

/// Counts what is written to it.
struct Count(usize);

impl io::Write for Count {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Text that must not be seen (a token, a password): the same promises as [`SecretBytes`].
pub struct SecretString(Zeroizing<String>);

impl SecretString {
    /// Takes over the text; the buffer given is the one that will be wiped.
    pub fn new(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    /// The text itself. Keep the span of the borrow short.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// A second copy in memory, wiped on its own.
    pub fn duplicate(&self) -> Self {
        Self(self.0.clone())
    }

    /// Whether there is no text at all.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl From<String> for SecretString {
    fn from(text: String) -> Self {
        Self::new(text)
    }
}

impl<'de> Deserialize<'de> for SecretString {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self::new)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_written_into_a_buffer_that_never_grows() {
        for length in [0, 1, 100, 5_000] {
            let text = SecretBytes::from_json(&serde_json::json!({"k": "ü\"".repeat(length)})).unwrap();
            assert_eq!(text.0.capacity(), text.len());
            assert!(text.expose().starts_with(b"{\"k\":\"") && text.expose().ends_with(b"\"}"));
        }
    }
}
