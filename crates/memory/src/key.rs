use crate::arena::Slot;
use zeroize::Zeroizing;

/// A 256-bit key: in locked pages that no core file holds, wiped when dropped; no `Debug`, no `Clone`, no `PartialEq`.
///
/// Copying is possible only by name (`duplicate`), and reading only by name (`expose`), so that a search for the two
/// words lists every place where a key is looked at.
pub struct LockedKey {
    home: Home,
}

enum Home {
    Arena(Slot),
    /// The system gave no page: better a key that is merely wiped than a server that does not start.
    Heap(Box<Zeroizing<[u8; 32]>>),
}

impl LockedKey {
    /// Makes a key in place: the function gets 32 zero bytes and writes the key there, so that no copy is left elsewhere.
    pub fn make(fill: impl FnOnce(&mut [u8; 32])) -> Self {
        let home = Slot::take().map_or_else(|| Home::Heap(Box::default()), Home::Arena);
        let mut key = Self { home };
        match &mut key.home {
            Home::Arena(slot) => {
                if let Some(bytes) = slot.bytes_mut() {
                    fill(bytes);
                }
            }
            Home::Heap(bytes) => fill(bytes),
        }
        key
    }

    /// A key of these bytes; wiping the source is the caller's part.
    pub fn copied(bytes: &[u8; 32]) -> Self {
        Self::make(|key| key.copy_from_slice(bytes))
    }

    /// A key of these bytes, when there are exactly 32.
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self::copied)
    }

    /// The key itself. Keep the span of the borrow short.
    pub fn expose(&self) -> &[u8; 32] {
        match &self.home {
            Home::Arena(slot) => slot.bytes(),
            Home::Heap(bytes) => bytes,
        }
    }

    /// A second copy, in a place of its own.
    pub fn duplicate(&self) -> Self {
        Self::copied(self.expose())
    }

    /// Whether the system keeps the key out of swap and core files. `false` when `RLIMIT_MEMLOCK` is used up: worth a
    /// warning to the operator, not a reason to stop.
    pub fn locked(&self) -> bool {
        matches!(&self.home, Home::Arena(slot) if slot.locked())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holds_what_was_put_in() {
        let key = LockedKey::make(|bytes| bytes.fill(7));
        assert_eq!(key.expose(), &[7; 32]);
        assert_eq!(key.duplicate().expose(), &[7; 32]);
        assert!(LockedKey::from_slice(&[1; 31]).is_none());
        assert_eq!(LockedKey::from_slice(&[1; 32]).unwrap().expose(), &[1; 32]);
    }

    #[test]
    fn many_keys_at_once_stay_apart() {
        let keys: Vec<_> =
            (0..1_500_u16).map(|n| LockedKey::make(|key| key[..2].copy_from_slice(&n.to_be_bytes()))).collect();
        for (n, key) in keys.iter().enumerate() {
            assert_eq!(usize::from(u16::from_be_bytes([key.expose()[0], key.expose()[1]])), n);
        }
    }
}
