//! Sealed objects: AES-256-GCM under a key that is derived for the one object, bound to where the object belongs.
//!
//! Each object has its own random salt; HKDF (RFC 5869) over the salt, the key and the binding gives cipher key
//! and commitment. So no cipher key is used twice, the limits of GCM (SP 800-38D section 8.3) do not bind, and
//! an object opens under one key only: GCM alone does not promise that, and an attacker who can write the store could
//! use objects that open under several keys to find out which one is in use.
//!
//! Byte by byte: `SR`, format, algorithm, key kind, 0, term (4), place hint (4), salt (32), commitment (32),
//! ciphertext, tag (16). The first 14 bytes are authenticated as they stand.

use crate::codec::{Put, Take};
use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::hkdf;
use strongroom_memory::LockedKey;
use strongroom_model::{Entropy, NamespaceId, SecretBytes, Wiped};
use zeroize::{Zeroize, Zeroizing};

const MAGIC: &[u8] = b"SR";
const FORMAT: u8 = 1;
const HEADER: usize = 14;
/// Random bytes that an object takes.
pub(crate) const SALT: usize = 32;
const COMMITMENT: usize = 32;
/// Bytes of the tag, which also names one state of an object in the freshness pages.
pub(crate) const TAG: usize = 16;
/// How much longer an object is than what it holds.
pub(crate) const OVERHEAD: usize = HEADER + SALT + COMMITMENT + TAG;

/// How keys are derived; the cipher is AES-256-GCM. The byte is authenticated, so one cannot be passed off as the other.
#[derive(Clone, Copy)]
#[repr(u8)]
enum Algorithm {
    /// With HKDF-SHA512. Still opened, no longer made.
    Sha512 = 1,
    /// With HKDF-SHA256, which processors compute in hardware. For keys that are nobody's random bytes: what a slot is
    /// given from outside.
    Sha256 = 2,
    /// With the second step of HKDF-SHA256 alone, which is enough where the key is random bytes (RFC 5869, section 3.3):
    /// the salt goes into it with the binding, and its beginning is the nonce, which need not be secret. Half the work.
    Expanded = 3,
}

impl Algorithm {
    /// How objects are sealed from now on.
    fn for_key(kind: KeyKind) -> Self {
        if kind == KeyKind::Slot { Self::Sha256 } else { Self::Expanded }
    }

    fn of(header: &[u8]) -> Option<Self> {
        match header.get(3)? {
            1 => Some(Self::Sha512),
            2 => Some(Self::Sha256),
            3 => Some(Self::Expanded),
            _ => None,
        }
    }

    fn hkdf(self) -> hkdf::Algorithm {
        match self {
            Self::Sha512 => hkdf::HKDF_SHA512,
            Self::Sha256 | Self::Expanded => hkdf::HKDF_SHA256,
        }
    }
}

/// Which step of the key hierarchy seals the object.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum KeyKind {
    /// The key of a slot seals the root key.
    Slot = 1,
    /// A key derived from the root key seals the keyring.
    Root = 2,
    /// A term key of the keyring seals namespace keys and freshness.
    Term = 3,
    /// A namespace key seals records and secret keys.
    Namespace = 4,
    /// A secret's key seals the keys of its versions.
    Secret = 5,
    /// A key used once seals a version's value.
    Data = 6,
    /// A term key seals what leaves the house and comes back: nothing in the store opens as such an object, nor the
    /// reverse.
    Carried = 7,
}

/// What an object is and where it belongs; it opens only with the same binding.
pub(crate) struct Binding<'a> {
    pub(crate) cluster: [u8; 16],
    /// The root namespace for what belongs to none.
    pub(crate) namespace: NamespaceId,
    pub(crate) kind: &'a str,
    /// The key in the store, or the ids of mount, secret and version.
    pub(crate) place: &'a [u8],
}

/// The object did not open: altered, moved, or sealed under another key. Says no more on purpose.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Refused;

struct Derived {
    cipher: LessSafeKey,
    nonce: [u8; NONCE_LEN],
    commitment: Zeroizing<[u8; COMMITMENT]>,
}

/// Seals the bytes under a key derived from `key`, which has this kind and term.
pub(crate) fn seal(
    key: &LockedKey,
    kind: KeyKind,
    term: u32,
    binding: &Binding<'_>,
    plain: &[u8],
    entropy: &dyn Entropy,
) -> Result<Vec<u8>, Refused> {
    let mut blob = Vec::with_capacity(plain.len() + OVERHEAD);
    let algorithm = Algorithm::for_key(kind);
    blob.raw(MAGIC).u8(FORMAT).u8(algorithm as u8).u8(kind as u8).u8(0).u32(term).raw(&hint(binding.place));
    let salt: [u8; SALT] = entropy.array();
    let associated = associated(&blob, binding);
    let derived = derive(algorithm, key, &salt, &associated)?;
    blob.raw(&salt).raw(derived.commitment.as_slice());
    let start = blob.len();
    blob.raw(plain);
    let body = blob.get_mut(start..).ok_or(Refused)?;
    let nonce = Nonce::assume_unique_for_key(derived.nonce);
    let tag = derived.cipher.seal_in_place_separate_tag(nonce, Aad::from(&associated), body);
    let Ok(tag) = tag else {
        blob.zeroize();
        return Err(Refused);
    };
    blob.raw(tag.as_ref());
    Ok(blob)
}

/// Opens what `seal` made with the same key, kind and binding; the term must be the one in the object.
pub(crate) fn open(key: &LockedKey, kind: KeyKind, binding: &Binding<'_>, blob: &[u8]) -> Result<SecretBytes, Refused> {
    Opener::of(key, kind, binding, blob)?.open(blob)
}

/// What opens one object: its own cipher key, derived and found to be the one that the object commits to.
pub(crate) struct Opener {
    cipher: LessSafeKey,
    nonce: [u8; NONCE_LEN],
    associated: Vec<u8>,
}

impl Opener {
    /// Of the object that `seal` made with the same key, kind and binding.
    pub(crate) fn of(key: &LockedKey, kind: KeyKind, binding: &Binding<'_>, blob: &[u8]) -> Result<Self, Refused> {
        let mut parts = Take(blob);
        let header = parts.raw(HEADER).ok_or(Refused)?;
        let algorithm = Algorithm::of(header).ok_or(Refused)?;
        let begin = [b'S', b'R', FORMAT, algorithm as u8, kind as u8, 0];
        if !header.starts_with(&begin) || !header.ends_with(&hint(binding.place)) {
            return Err(Refused);
        }
        let salt = parts.raw(SALT).ok_or(Refused)?;
        let commitment = parts.raw(COMMITMENT).ok_or(Refused)?;
        let associated = associated(header, binding);
        let derived = derive(algorithm, key, salt, &associated)?;
        verify_slices_are_equal(derived.commitment.as_slice(), commitment).map_err(|_| Refused)?;
        Ok(Self { cipher: derived.cipher, nonce: derived.nonce, associated })
    }

    /// Opens it: that object and, since the tag must fit, no other.
    pub(crate) fn open(&self, blob: &[u8]) -> Result<SecretBytes, Refused> {
        let sealed = blob.get(HEADER + SALT + COMMITMENT..).ok_or(Refused)?;
        // `Wiped` wipes the buffer when the tag does not fit (RUSTSEC-2023-0096 was plaintext left behind just there).
        let mut body = Wiped::new(sealed.to_vec());
        let nonce = Nonce::assume_unique_for_key(self.nonce);
        let opened = self.cipher.open_in_place(nonce, Aad::from(&self.associated), &mut body);
        let length = opened.map_err(|_| Refused)?.len();
        body.truncate(length);
        Ok(SecretBytes::new(std::mem::take(&mut *body)))
    }
}

/// The term that the header of an object names.
pub(crate) fn term(blob: &[u8]) -> Option<u32> {
    let mut parts = Take(blob);
    parts.raw(6)?;
    parts.u32()
}

/// The tag of an object: different for every sealing, even of the same bytes.
pub(crate) fn tag(blob: &[u8]) -> Option<[u8; TAG]> {
    blob.last_chunk().copied()
}

/// Whether the object says of itself that it belongs to this place. Only good for naming what went wrong: who can
/// write the store can write this hint.
pub(crate) fn claims_place(blob: &[u8], place: &[u8]) -> bool {
    blob.get(HEADER - 4..HEADER) == Some(hint(place).as_slice())
}

fn hint(place: &[u8]) -> [u8; 4] {
    let hash = digest(&SHA256, place);
    hash.as_ref().first_chunk().copied().unwrap_or_default()
}

fn associated(header: &[u8], binding: &Binding<'_>) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEADER + 48 + binding.kind.len() + binding.place.len());
    bytes.raw(header).raw(&binding.cluster).raw(binding.namespace.as_bytes());
    bytes.part(binding.kind.as_bytes()).part(binding.place);
    bytes
}

struct Length(usize);

impl hkdf::KeyType for Length {
    fn len(&self) -> usize {
        self.0
    }
}

fn derive(algorithm: Algorithm, key: &LockedKey, salt: &[u8], associated: &[u8]) -> Result<Derived, Refused> {
    let mut bytes = Zeroizing::new([0; 32 + NONCE_LEN + COMMITMENT]);
    let drawn = match algorithm {
        Algorithm::Expanded => {
            let drawn = bytes.get_mut(..32 + COMMITMENT).ok_or(Refused)?;
            let key = hkdf::Prk::new_less_safe(algorithm.hkdf(), key.expose());
            fill(&key, &[salt, associated], drawn)?;
            drawn
        }
        Algorithm::Sha512 | Algorithm::Sha256 => {
            expand(algorithm, key, salt, &[associated], bytes.as_mut_slice())?;
            bytes.as_mut_slice()
        }
    };
    let mut parts = Take(drawn);
    let cipher = UnboundKey::new(&AES_256_GCM, parts.raw(32).ok_or(Refused)?).map_err(|_| Refused)?;
    let nonce = match algorithm {
        Algorithm::Expanded => salt.first_chunk().copied(),
        Algorithm::Sha512 | Algorithm::Sha256 => parts.array(),
    };
    let commitment = Zeroizing::new(parts.array().ok_or(Refused)?);
    Ok(Derived { cipher: LessSafeKey::new(cipher), nonce: nonce.ok_or(Refused)?, commitment })
}

fn expand(algorithm: Algorithm, key: &LockedKey, salt: &[u8], info: &[&[u8]], out: &mut [u8]) -> Result<(), Refused> {
    fill(&hkdf::Salt::new(algorithm.hkdf(), salt).extract(key.expose()), info, out)
}

fn fill(key: &hkdf::Prk, info: &[&[u8]], out: &mut [u8]) -> Result<(), Refused> {
    let okm = key.expand(info, Length(out.len())).map_err(|_| Refused)?;
    okm.fill(out).map_err(|_| Refused)
}

/// A key for another purpose, from this one.
pub(crate) fn derive_key(key: &LockedKey, purpose: &str) -> Result<LockedKey, Refused> {
    let mut result = Ok(());
    let derived =
        LockedKey::make(|out| result = expand(Algorithm::Sha512, key, b"strongroom", &[purpose.as_bytes()], out));
    result.map(|()| derived)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SystemEntropy;

    const BINDING: Binding<'_> =
        Binding { cluster: [1; 16], namespace: NamespaceId::ROOT, kind: "token", place: b"\x01somewhere" };

    fn key() -> LockedKey {
        LockedKey::copied(&[9; 32])
    }

    fn sealed(plain: &[u8]) -> Vec<u8> {
        seal(&key(), KeyKind::Namespace, 1, &BINDING, plain, &SystemEntropy).unwrap()
    }

    fn opened(binding: &Binding<'_>, blob: &[u8]) -> Option<Vec<u8>> {
        open(&key(), KeyKind::Namespace, binding, blob).ok().map(|plain| plain.expose().to_vec())
    }

    #[test]
    fn opens_to_what_was_sealed_and_never_looks_the_same() {
        for plain in [&b""[..], b"a", &[7; 5_000]] {
            let blob = sealed(plain);
            assert_eq!(opened(&BINDING, &blob).as_deref(), Some(plain));
            assert_eq!(blob.len(), plain.len() + OVERHEAD);
            assert_ne!(blob, sealed(plain));
        }
    }

    #[test]
    fn what_was_sealed_with_an_earlier_derivation_opens_and_with_no_other() {
        for algorithm in [Algorithm::Sha512, Algorithm::Sha256, Algorithm::Expanded] {
            let mut blob = Vec::new();
            blob.raw(MAGIC).u8(FORMAT).u8(algorithm as u8).u8(KeyKind::Namespace as u8).u8(0).u32(1);
            blob.raw(&hint(BINDING.place));
            let bound = associated(&blob, &BINDING);
            let derived = derive(algorithm, &key(), &[3; SALT], &bound).unwrap();
            blob.raw(&[3; SALT]).raw(derived.commitment.as_slice());
            let mut body = b"from before".to_vec();
            let nonce = Nonce::assume_unique_for_key(derived.nonce);
            let tag = derived.cipher.seal_in_place_separate_tag(nonce, Aad::from(&bound), &mut body).unwrap();
            blob.raw(&body).raw(tag.as_ref());
            assert_eq!(opened(&BINDING, &blob).as_deref(), Some(&b"from before"[..]));
            for other in (0..=4).filter(|other| *other != algorithm as u8) {
                blob[3] = other;
                assert!(opened(&BINDING, &blob).is_none());
            }
        }
    }

    /// RFC 5869, section 2.3, written out with HMAC: what lies in stores must be found again by every later version.
    #[test]
    fn cipher_key_and_commitment_are_what_the_second_step_of_hkdf_gives() {
        let (salt, bound) = ([3; SALT], b"binding");
        let derived = derive(Algorithm::Expanded, &key(), &salt, bound).unwrap();
        let step = |parts: &[&[u8]]| {
            let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, key().expose());
            aws_lc_rs::hmac::sign(&key, &parts.concat())
        };
        let first = step(&[&salt, bound, &[1]]);
        let second = step(&[first.as_ref(), &salt, bound, &[2]]);
        assert_eq!(derived.commitment.as_slice(), second.as_ref());
        let cipher = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, first.as_ref()).unwrap());
        let seal = |cipher: &LessSafeKey| {
            let nonce = Nonce::assume_unique_for_key([3; NONCE_LEN]);
            cipher.seal_in_place_separate_tag(nonce, Aad::empty(), &mut []).unwrap()
        };
        assert_eq!(seal(&cipher).as_ref(), seal(&derived.cipher).as_ref());
        assert_eq!(derived.nonce, [3; NONCE_LEN]);
    }

    #[test]
    fn a_key_that_was_given_from_outside_goes_through_both_steps() {
        let made = |kind| seal(&key(), kind, 1, &BINDING, b"", &SystemEntropy).unwrap()[3];
        assert_eq!((made(KeyKind::Slot), made(KeyKind::Term), made(KeyKind::Data)), (2, 3, 3));
    }

    #[test]
    fn any_changed_bit_and_any_other_length_is_refused() {
        let blob = sealed(b"thirty-two bytes of some secret.");
        for index in 0..blob.len() {
            for bit in 0..8 {
                let mut changed = blob.clone();
                changed[index] ^= 1 << bit;
                assert!(opened(&BINDING, &changed).is_none(), "byte {index} bit {bit}");
            }
            assert!(opened(&BINDING, &blob[..index]).is_none());
        }
        assert!(opened(&BINDING, &[blob.as_slice(), &[0]].concat()).is_none());
    }

    #[test]
    fn opens_only_where_it_belongs() {
        let blob = sealed(b"secret");
        assert!(opened(&Binding { cluster: [2; 16], ..BINDING }, &blob).is_none());
        assert!(opened(&Binding { namespace: NamespaceId::from_bytes([1; 16]), ..BINDING }, &blob).is_none());
        assert!(opened(&Binding { kind: "lease", ..BINDING }, &blob).is_none());
        assert!(opened(&Binding { place: b"\x01elsewhere", ..BINDING }, &blob).is_none());
        assert!(open(&key(), KeyKind::Term, &BINDING, &blob).is_err());
        assert!(open(&LockedKey::copied(&[8; 32]), KeyKind::Namespace, &BINDING, &blob).is_err());
    }

    #[test]
    fn kinds_and_places_do_not_run_into_each_other() {
        let one = Binding { kind: "ab", place: b"c", ..BINDING };
        let other = Binding { kind: "a", place: b"bc", ..BINDING };
        assert_ne!(associated(b"", &one), associated(b"", &other));
    }
}
