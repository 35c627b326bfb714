//! The keys of an open barrier, and everything that is computed with them alone: places in the store, keyed hashes,
//! signatures.
//!
//! Invariants: the root key is not here (it opens the keyring and is dropped); nothing here is printed, cloned or
//! compared; dropping [`Keys`] wipes all of it.

use crate::blob::{self, Binding, KeyKind, Refused};
use crate::codec::{Put, Take};
use crate::place::Place;
use crate::{Address, BarrierError, Kept, Shelf};
use aws_lc_rs::hmac;
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use strongroom_memory::LockedKey;
use strongroom_model::{Entropy, NamespaceId};
use zeroize::Zeroizing;

const VERSION: u8 = 1;

/// Everything the keyring holds, and the namespace keys opened so far.
pub(crate) struct Keys {
    /// The id of the cluster: part of every binding.
    pub(crate) cluster: [u8; 16],
    term: u32,
    terms: BTreeMap<u32, LockedKey>,
    index: LockedKey,
    hash: LockedKey,
    seed: LockedKey,
    signer: Ed25519KeyPair,
    namespaces: Mutex<HashMap<NamespaceId, Arc<LockedKey>>>,
}

impl Keys {
    /// Fresh random keys, term 1.
    pub(crate) fn generate(cluster: [u8; 16], entropy: &dyn Entropy) -> Result<Self, BarrierError> {
        let fresh = || LockedKey::make(|key| entropy.fill(key));
        Self::assemble(cluster, 1, BTreeMap::from([(1, fresh())]), fresh(), fresh(), fresh())
    }

    fn assemble(
        cluster: [u8; 16],
        term: u32,
        terms: BTreeMap<u32, LockedKey>,
        index: LockedKey,
        hash: LockedKey,
        seed: LockedKey,
    ) -> Result<Self, BarrierError> {
        let signer = Ed25519KeyPair::from_seed_unchecked(seed.expose());
        let signer = signer.map_err(|_| BarrierError::Library("load the signing key"))?;
        Ok(Self { cluster, term, terms, index, hash, seed, signer, namespaces: Mutex::default() })
    }

    /// The keyring as the seal record keeps it, under a key derived from the root key.
    pub(crate) fn wrap(&self, root: &LockedKey, entropy: &dyn Entropy) -> Result<Vec<u8>, BarrierError> {
        // Large enough from the start: growing would leave a copy behind that nobody wipes.
        let mut plain = Zeroizing::new(Vec::with_capacity(128 + self.terms.len() * 36));
        plain.u8(VERSION).u32(self.term).u32(u32::try_from(self.terms.len()).unwrap_or(u32::MAX));
        for (term, key) in &self.terms {
            plain.u32(*term).raw(key.expose());
        }
        plain.raw(self.index.expose()).raw(self.hash.expose()).raw(self.seed.expose());
        let wrapping = wrapping_key(root)?;
        blob::seal(&wrapping, KeyKind::Root, 0, &keyring_binding(self.cluster), &plain, entropy).map_err(sealing)
    }

    /// Opens the wrapped keyring.
    pub(crate) fn unwrap(cluster: [u8; 16], root: &LockedKey, wrapped: &[u8]) -> Result<Self, BarrierError> {
        let wrapping = wrapping_key(root)?;
        let plain = blob::open(&wrapping, KeyKind::Root, &keyring_binding(cluster), wrapped);
        let plain = plain.map_err(|_| BarrierError::tampered("keyring", "altered"))?;
        let mut parts = Take(plain.expose());
        let mut read = || {
            let (version, term, count) = (parts.u8()?, parts.u32()?, parts.u32()?);
            let terms = (0..count)
                .map(|_| Some((parts.u32()?, LockedKey::from_slice(parts.raw(32)?)?)))
                .collect::<Option<_>>()?;
            let mut key = || LockedKey::from_slice(parts.raw(32)?);
            (version == VERSION).then_some((term, terms, key()?, key()?, key()?))
        };
        let Some((term, terms, index, hash, seed)) = read() else {
            return Err(BarrierError::Seal(
                "the keyring was written by a later version; use the version that wrote it".to_owned(),
            ));
        };
        Self::assemble(cluster, term, terms, index, hash, seed)
    }

    /// The key that seals from now on, with its term.
    pub(crate) fn current_term(&self) -> Result<(u32, &LockedKey), BarrierError> {
        let key = self.terms.get(&self.term).ok_or_else(|| BarrierError::tampered("keyring", "altered"))?;
        Ok((self.term, key))
    }

    /// The key of the term that the object names.
    pub(crate) fn term_of(&self, blob: &[u8]) -> Option<&LockedKey> {
        self.terms.get(&blob::term(blob)?)
    }

    pub(crate) fn namespace(&self, namespace: NamespaceId) -> Option<Arc<LockedKey>> {
        self.namespaces.lock().unwrap_or_else(PoisonError::into_inner).get(&namespace).cloned()
    }

    pub(crate) fn remember(&self, namespace: NamespaceId, key: Arc<LockedKey>) {
        self.namespaces.lock().unwrap_or_else(PoisonError::into_inner).insert(namespace, key);
    }

    /// What every key of the shelf begins with.
    pub(crate) fn shelf(&self, shelf: &Shelf) -> [u8; 16] {
        let mut text = Vec::with_capacity(96);
        text.u8(b'S').part(shelf.kind.as_bytes()).raw(shelf.namespace.as_bytes());
        shelf.scope.iter().for_each(|part| {
            text.part(part);
        });
        self.place_hash(&text)
    }

    /// Where the record is in the store.
    pub(crate) fn place(&self, at: &Address) -> Place {
        let shelf = self.shelf(&at.shelf);
        let mut text = Vec::with_capacity(64);
        match &at.kept {
            Kept::Named(name) => {
                text.u8(b'N').raw(&shelf).part(name);
                Place::named(&shelf, &self.place_hash(&text))
            }
            Kept::Ordered(number, name) => {
                text.u8(b'O').raw(&shelf).u64(*number).part(name);
                Place::ordered(&shelf, *number, &self.place_hash(&text))
            }
        }
    }

    /// Where the key of the namespace is in the store.
    pub(crate) fn namespace_place(&self, namespace: NamespaceId) -> Place {
        let mut text = Vec::with_capacity(17);
        text.u8(b'K').raw(namespace.as_bytes());
        Place::namespace_key(&self.place_hash(&text))
    }

    fn place_hash(&self, text: &[u8]) -> [u8; 16] {
        let hash = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, self.index.expose()), text);
        hash.as_ref().first_chunk().copied().unwrap_or_default()
    }

    pub(crate) fn keyed_hash(&self, purpose: &str, data: &[u8]) -> [u8; 32] {
        let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, self.hash.expose()));
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

fn wrapping_key(root: &LockedKey) -> Result<LockedKey, BarrierError> {
    blob::derive_key(root, "keyring-wrap").map_err(|_| BarrierError::Library("derive a key"))
}

fn keyring_binding(cluster: [u8; 16]) -> Binding<'static> {
    Binding { cluster, namespace: NamespaceId::ROOT, kind: "keyring", place: b"" }
}
