//! JWK sets (RFC 7517, RFC 7518 section 6). Only what checks a signature is read; a key of another kind is passed over,
//! because providers publish several.

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents, UnparsedPublicKey,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;

/// The ways of signing that are taken. `none` and what is signed with a shared secret are not among them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Algorithm {
    /// RSA with PKCS #1 v1.5 padding and SHA-256.
    Rs256,
    /// ECDSA on P-256 with SHA-256.
    Es256,
}

impl Algorithm {
    pub(super) fn parse(name: &str) -> Option<Self> {
        match name {
            "RS256" => Some(Self::Rs256),
            "ES256" => Some(Self::Es256),
            _ => None,
        }
    }
}

/// The keys of a provider.
#[derive(Default)]
pub(super) struct Jwks(Vec<Key>);

struct Key {
    id: Option<String>,
    public: Public,
}

enum Public {
    Rsa {
        n: Vec<u8>,
        e: Vec<u8>,
    },
    /// The uncompressed point.
    P256(Vec<u8>),
}

#[derive(Deserialize)]
struct Set {
    keys: Vec<serde_json::Value>,
}

#[derive(Deserialize)]
struct Wire {
    kty: String,
    kid: Option<String>,
    alg: Option<String>,
    #[serde(rename = "use")]
    used_for: Option<String>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

/// More keys than a provider has at a time; each may cost a check.
const MOST_KEYS: usize = 32;
const SMALLEST_RSA_BYTES: usize = 256;
const COORDINATE: usize = 32;

impl Jwks {
    /// Reads a set; `None` when it is none.
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        let set: Set = serde_json::from_slice(bytes).ok()?;
        let keys = set.keys.into_iter().filter_map(|key| Key::of(serde_json::from_value(key).ok()?));
        Some(Self(keys.take(MOST_KEYS).collect()))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether there is a key of that name; any will do for a token that names none.
    pub(super) fn has(&self, id: Option<&str>) -> bool {
        self.named(id).next().is_some()
    }

    /// Whether one of the keys that the token may mean made the signature. The kind of the key decides what is computed,
    /// and must be the kind that the token says (RFC 8725, 3.1).
    pub(super) fn verify(&self, id: Option<&str>, algorithm: Algorithm, message: &[u8], signature: &[u8]) -> bool {
        self.named(id).any(|key| match (&key.public, algorithm) {
            (Public::Rsa { n, e }, Algorithm::Rs256) => {
                RsaPublicKeyComponents { n, e }.verify(&RSA_PKCS1_2048_8192_SHA256, message, signature).is_ok()
            }
            (Public::P256(point), Algorithm::Es256) => {
                UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point).verify(message, signature).is_ok()
            }
            _ => false,
        })
    }

    fn named<'a>(&'a self, id: Option<&'a str>) -> impl Iterator<Item = &'a Key> {
        self.0.iter().filter(move |key| id.is_none() || key.id.as_deref() == id)
    }
}

impl Key {
    fn of(wire: Wire) -> Option<Self> {
        if wire.used_for.is_some_and(|purpose| purpose != "sig") {
            return None;
        }
        let is_for = |name: &str| wire.alg.as_deref().is_none_or(|alg| alg == name);
        let number = |text: Option<String>| URL_SAFE_NO_PAD.decode(text?.trim_end_matches('=')).ok();
        let public = match (wire.kty.as_str(), wire.crv.as_deref()) {
            ("RSA", _) if is_for("RS256") => {
                let (n, e) = (trimmed(number(wire.n)?), trimmed(number(wire.e)?));
                if n.len() < SMALLEST_RSA_BYTES || e.is_empty() {
                    return None;
                }
                Public::Rsa { n, e }
            }
            ("EC", Some("P-256")) if is_for("ES256") => {
                let (x, y) = (number(wire.x)?, number(wire.y)?);
                if x.len() != COORDINATE || y.len() != COORDINATE {
                    return None;
                }
                Public::P256([vec![4], x, y].concat())
            }
            _ => return None,
        };
        Some(Self { id: wire.kid, public })
    }
}

/// Without leading zeros, which some providers send and no checker takes.
fn trimmed(number: Vec<u8>) -> Vec<u8> {
    number.into_iter().skip_while(|byte| *byte == 0).collect()
}
