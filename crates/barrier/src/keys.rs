//! The keys of an open barrier, and everything that is computed with them alone: places in the store, keyed hashes,
//! signatures.
//!
//! Invariants: the root key is not here (it opens the keyring and is dropped; the ring keeps the one key derived from it
//! that wraps the keyring); nothing here is printed, cloned or
//! compared; dropping [`Keys`] wipes every key.

use crate::blob::{self, Binding, KeyKind, Refused};
use crate::codec::{Put, Take};
use crate::place::Place;
use crate::ring::{Ring, wrapping_key};
use crate::{Address, BarrierError, Kept, Shelf};
use ahash::AHashMap;
use aws_lc_rs::hmac;
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use strongroom_memory::LockedKey;
use strongroom_model::{Entropy, NamespaceId, Timestamp};
use zeroize::Zeroizing;

/// The form of the keyring: 2 has the time at which each term began, 1 did not.
const VERSION: u8 = 2;

/// Everything the keyring holds, and the namespace keys opened so far.
pub(crate) struct Keys {
    /// The id of the cluster: part of every binding.
    pub(crate) cluster: [u8; 16],
    ring: RwLock<Ring>,
    index: LockedKey,
    /// `index`, made ready: every read and write needs several places, and making the key ready is half of each. The library
    /// wipes it when it is dropped.
    placer: hmac::Key,
    hash: LockedKey,
    /// `hash`, made ready as `index` is.
    hasher: hmac::Key,
    seed: LockedKey,
    signer: Ed25519KeyPair,
    namespaces: Mutex<HashMap<NamespaceId, Arc<LockedKey>>>,
    places: Mutex<Lately<Address, Place>>,
    shelves: Mutex<Lately<Shelf, [u8; 16]>>,
}

/// Addresses, and shelves, kept in each of two halves.
const LATELY: usize = 1_024;

/// What was hashed lately: a write asks for each place half a dozen times, and most places are on a shelf like others.
struct Lately<K, V> {
    young: AHashMap<K, V>,
    old: AHashMap<K, V>,
}

impl<K, V> Default for Lately<K, V> {
    fn default() -> Self {
        Self { young: AHashMap::new(), old: AHashMap::new() }
    }
}

impl<K: Clone + Eq + Hash, V: Clone> Lately<K, V> {
    fn find(&self, key: &K) -> Option<V> {
        self.young.get(key).or_else(|| self.old.get(key)).cloned()
    }

    /// Keeps the value. Those kept before a half was filled with others are forgotten.
    fn keep(&mut self, key: &K, value: &V) {
        if self.young.len() >= LATELY {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(key.clone(), value.clone());
    }
}

/// The value as it was kept, or made now.
fn lately<K: Clone + Eq + Hash, V: Clone>(kept: &Mutex<Lately<K, V>>, key: &K, make: impl FnOnce() -> V) -> V {
    let kept = || kept.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(value) = kept().find(key) {
        return value;
    }
    let value = make();
    kept().keep(key, &value);
    value
}

impl Keys {
    /// Fresh random keys, term 1.
    pub(crate) fn generate(
        cluster: [u8; 16],
        root: &LockedKey,
        entropy: &dyn Entropy,
        now: Timestamp,
    ) -> Result<Self, BarrierError> {
        let fresh = || LockedKey::make(|key| entropy.fill(key));
        Self::assemble(cluster, Ring::first(wrapping_key(root)?, entropy, now), fresh(), fresh(), fresh())
    }

    fn assemble(
        cluster: [u8; 16],
        ring: Ring,
        index: LockedKey,
        hash: LockedKey,
        seed: LockedKey,
    ) -> Result<Self, BarrierError> {
        let signer = Ed25519KeyPair::from_seed_unchecked(seed.expose());
        let signer = signer.map_err(|_| BarrierError::Library("load the signing key"))?;
        let placer = hmac::Key::new(hmac::HMAC_SHA256, index.expose());
        let hasher = hmac::Key::new(hmac::HMAC_SHA256, hash.expose());
        let (ring, namespaces) = (RwLock::new(ring), Mutex::default());
        let (places, shelves) = Default::default();
        Ok(Self { cluster, ring, index, placer, hash, hasher, seed, signer, namespaces, places, shelves })
    }

    /// The keyring as the seal record keeps it, with this ring, under the key the ring names.
    pub(crate) fn wrap(&self, ring: &Ring, entropy: &dyn Entropy) -> Result<Vec<u8>, BarrierError> {
        // Large enough from the start: growing would leave a copy behind that nobody wipes.
        let mut plain = Zeroizing::new(Vec::with_capacity(128 + ring.encoded_len()));
        plain.u8(VERSION);
        ring.encode(&mut plain);
        plain.raw(self.index.expose()).raw(self.hash.expose()).raw(self.seed.expose());
        let binding = keyring_binding(self.cluster);
        blob::seal(&ring.wrapping, KeyKind::Root, 0, &binding, &plain, entropy).map_err(sealing)
    }

    /// Opens the wrapped keyring.
    pub(crate) fn unwrap(cluster: [u8; 16], wrapping: LockedKey, wrapped: &[u8]) -> Result<Self, BarrierError> {
        let plain = blob::open(&wrapping, KeyKind::Root, &keyring_binding(cluster), wrapped);
        let plain = plain.map_err(|_| BarrierError::tampered("keyring", "altered"))?;
        let mut parts = Take(plain.expose());
        let read = || {
            let version = parts.u8().filter(|version| (1..=VERSION).contains(version))?;
            let ring = Ring::decode(&mut parts, version > 1, wrapping)?;
            let mut key = || LockedKey::from_slice(parts.raw(32)?);
            Some((ring, key()?, key()?, key()?))
        };
        let Some((ring, index, hash, seed)) = read() else {
            return Err(BarrierError::Seal(
                "the keyring was written by a later version; use the version that wrote it".to_owned(),
            ));
        };
        Self::assemble(cluster, ring, index, hash, seed)
    }

    /// The term keys as they are now.
    pub(crate) fn ring(&self) -> Ring {
        self.ring.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Puts another ring in the place of this one, once the store holds it.
    pub(crate) fn install(&self, ring: Ring) {
        *self.ring.write().unwrap_or_else(PoisonError::into_inner) = ring;
    }

    /// The key that seals from now on, with its term.
    pub(crate) fn current_term(&self) -> Result<(u32, Arc<LockedKey>), BarrierError> {
        let ring = self.ring.read().unwrap_or_else(PoisonError::into_inner);
        let key = ring.key(ring.term()).ok_or_else(|| BarrierError::tampered("keyring", "altered"))?;
        Ok((ring.term(), key))
    }

    /// The key of the term that the object names.
    pub(crate) fn term_of(&self, blob: &[u8]) -> Option<Arc<LockedKey>> {
        self.ring.read().unwrap_or_else(PoisonError::into_inner).key(blob::term(blob)?)
    }

    pub(crate) fn namespace(&self, namespace: NamespaceId) -> Option<Arc<LockedKey>> {
        self.namespaces.lock().unwrap_or_else(PoisonError::into_inner).get(&namespace).cloned()
    }

    pub(crate) fn remember(&self, namespace: NamespaceId, key: Arc<LockedKey>) {
        self.namespaces.lock().unwrap_or_else(PoisonError::into_inner).insert(namespace, key);
    }

    /// What every key of the shelf begins with.
    pub(crate) fn shelf(&self, shelf: &Shelf) -> [u8; 16] {
        lately(&self.shelves, shelf, || {
            let mut text = Vec::with_capacity(96);
            text.u8(b'S').part(shelf.kind.as_bytes()).raw(shelf.namespace.as_bytes()).raw(&shelf.scope);
            self.place_hash(&text)
        })
    }

    /// Where the record is in the store.
    pub(crate) fn place(&self, at: &Address) -> Place {
        lately(&self.places, at, || self.hashed_place(at))
    }

    fn hashed_place(&self, at: &Address) -> Place {
        let shelf = self.shelf(&at.shelf);
        let mut text = Vec::with_capacity(64);
        match &at.kept {
            Kept::Named(name) => {
                text.u8(b'N').raw(&shelf).part(name);
                Place::named(&shelf, &self.name_hash(&text, at, name))
            }
            Kept::Ordered(number, name) => {
                text.u8(b'O').raw(&shelf).u64(*number).part(name);
                Place::ordered(&shelf, *number, &self.name_hash(&text, at, name))
            }
        }
    }

    /// The hash that ends a place. Its last two bytes name the page that lists it: of a record that is kept beside others
    /// they come from the name alone.
    fn name_hash(&self, text: &[u8], at: &Address, name: &[u8]) -> [u8; 16] {
        let mut hash = self.place_hash(text);
        if at.shelf.beside.is_some_and(|shortest| name.len() >= shortest) {
            let mut together = Vec::with_capacity(64);
            together.u8(b'B').raw(at.shelf.namespace.as_bytes()).part(name);
            let page = self.place_hash(&together);
            hash.iter_mut().zip(page).skip(14).for_each(|(byte, of_page)| *byte = of_page);
        }
        hash
    }

    /// Where the key of the namespace is in the store.
    pub(crate) fn namespace_place(&self, namespace: NamespaceId) -> Place {
        let mut text = Vec::with_capacity(17);
        text.u8(b'K').raw(namespace.as_bytes());
        Place::namespace_key(&self.place_hash(&text))
    }

    fn place_hash(&self, text: &[u8]) -> [u8; 16] {
        let hash = hmac::sign(&self.placer, text);
        hash.as_ref().first_chunk().copied().unwrap_or_default()
    }

    pub(crate) fn keyed_hash(&self, purpose: &str, data: &[u8]) -> [u8; 32] {
        let mut context = hmac::Context::with_key(&self.hasher);
        context.update(&u32::try_from(purpose.len()).unwrap_or(u32::MAX).to_be_bytes());
        context.update(purpose.as_bytes());
        context.update(data);
        context.sign().as_ref().try_into().unwrap_or_default()
    }

    pub(crate) fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.signer.sign(message).as_ref().try_into().unwrap_or([0; 64])
    }

    pub(crate) fn public_key(&self) -> [u8; 32] {
        self.signer.public_key().as_ref().try_into().unwrap_or_default()
    }
}

/// What to answer when the library refuses to encrypt; it has no reason to.
pub(crate) fn sealing(_: Refused) -> BarrierError {
    BarrierError::Library("encrypt")
}

fn keyring_binding(cluster: [u8; 16]) -> Binding<'static> {
    Binding { cluster, namespace: NamespaceId::ROOT, kind: "keyring", place: b"" }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SystemEntropy;

    /// Stores of every version have their records there: HMAC-SHA256 under 32 bytes of 3, computed apart from this code.
    #[test]
    fn places_are_where_they_always_were_and_those_of_long_names_end_by_the_name_alone() {
        let key = || LockedKey::copied(&[3; 32]);
        let root = LockedKey::copied(&[1; 32]);
        let ring = Ring::first(wrapping_key(&root).unwrap(), &SystemEntropy, Timestamp::default());
        let keys = Keys::assemble([9; 16], ring, key(), key(), key()).unwrap();
        let shelf = || Shelf::new("lease", NamespaceId::ROOT).within("mount").within("creds/app").beside(9);
        let other = Shelf::new("lease-due", NamespaceId::ROOT).beside(9).ordered(1, "long enough");
        for (at, place) in [
            (shelf().named("short"), "0108dbd5cdb14969c819d9ead1c6fe34daa7631108aa07b67ab82d0157d0141c84"),
            (
                shelf().ordered(7, "short"),
                "0108dbd5cdb14969c819d9ead1c6fe34da0000000000000007031d202d08ce1372831cd1a66684714e",
            ),
            (shelf().named("long enough"), "0108dbd5cdb14969c819d9ead1c6fe34da5051406decc2dbe8648adce50719ff07"),
        ] {
            assert_eq!(hex::encode(keys.place(&at).key()), place);
        }
        assert_eq!(keys.place(&other).bucket(), keys.place(&shelf().named("long enough")).bucket());
    }

    /// The first format had no times and no mark of what was swept.
    #[test]
    fn a_keyring_of_the_first_format_is_read() {
        let root = LockedKey::copied(&[1; 32]);
        let mut plain = Vec::new();
        plain.u8(1).u32(1).u32(1).u32(1).raw(&[2; 32]).raw(&[3; 32]).raw(&[4; 32]).raw(&[5; 32]);
        let wrapping = wrapping_key(&root).unwrap();
        let entropy = &SystemEntropy;
        let sealed = blob::seal(&wrapping, KeyKind::Root, 0, &keyring_binding([9; 16]), &plain, entropy).unwrap();
        let keys = Keys::unwrap([9; 16], wrapping.duplicate(), &sealed).unwrap();
        let (term, key) = keys.current_term().unwrap();
        assert_eq!((term, key.expose(), keys.seed.expose()), (1, &[2; 32], &[5; 32]));
        assert!(keys.ring().is_swept() && keys.ring().installed() == Timestamp::default());
        // And written in the form of today.
        let ring = keys.ring().rotated(entropy, Timestamp::from_secs(7)).unwrap();
        let again = Keys::unwrap([9; 16], wrapping, &keys.wrap(&ring, entropy).unwrap()).unwrap();
        assert_eq!((again.ring().term(), again.ring().installed()), (2, Timestamp::from_secs(7)));
        assert!(!again.ring().is_swept() && again.term_of(&sealed).is_none());
    }
}
