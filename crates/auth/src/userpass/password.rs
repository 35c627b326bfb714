//! Passwords: read from a request, hashed, compared.
//!
//! The hash is Argon2id (RFC 9106) with the parameters that OWASP's Password Storage Cheat Sheet names first, kept as a
//! PHC string, so that other parameters can be read beside these when they are raised. It costs 19 MiB and some tens of
//! milliseconds on purpose: call it only in a [`super::pool::Pool`]. Not done: bcrypt, which Vault keeps, cuts off after 72
//! bytes and needs no memory.

use argon2::{Algorithm, Argon2, Block, Params, Version};
use aws_lc_rs::constant_time::verify_slices_are_equal;
use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use serde::{Deserialize, Serialize, Serializer};
use std::sync::atomic::{AtomicU64, Ordering};
use strongroom_core::{CoreError, Fields};
use strongroom_model::SecretString;
use zeroize::Zeroizing;

/// KiB of memory.
const MEMORY: u32 = 19 * 1_024;
const PASSES: u32 = 2;
const LANES: u32 = 1;
pub(super) const SALT: usize = 16;
const TAG: usize = 32;

/// A password as it is kept: `$argon2id$v=19$m=19456,t=2,p=1$<salt>$<tag>`.
///
/// Whoever has it can try passwords without being counted, so it is treated as a secret and never leaves the mount.
#[derive(Deserialize)]
#[serde(transparent)]
pub(super) struct PasswordHash(SecretString);

impl Serialize for PasswordHash {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0.expose())
    }
}

impl PasswordHash {
    /// Hashes a password.
    pub(super) fn create(password: &SecretString, salt: &[u8; SALT]) -> Result<Self, CoreError> {
        let tag = compute(password, salt, params(MEMORY, PASSES, LANES)?)?;
        Ok(Self::print(salt, &tag))
    }

    /// The hash for users that do not exist: checking a password against it is as much work as against a real one. No
    /// password is known that fits it, and whoever calls does not look at the result.
    pub(super) fn nobody() -> Self {
        Self::print(&[0; SALT], &[0; TAG])
    }

    /// Whether this is the hash of the password.
    pub(super) fn fits(&self, password: &SecretString) -> Result<bool, CoreError> {
        let (salt, tag, params) = self.parse().ok_or(CoreError::Unreadable { kind: "userpass-user" })?;
        let computed = compute(password, &salt, params)?;
        Ok(verify_slices_are_equal(&computed[..], &tag).is_ok())
    }

    pub(super) fn duplicate(&self) -> Self {
        Self(self.0.duplicate())
    }

    fn print(salt: &[u8; SALT], tag: &[u8; TAG]) -> Self {
        let (salt, tag) = (STANDARD_NO_PAD.encode(salt), STANDARD_NO_PAD.encode(tag));
        Self(SecretString::new(format!("$argon2id$v=19$m={MEMORY},t={PASSES},p={LANES}${salt}${tag}")))
    }

    /// The PHC string format, of which only what `print` writes is understood.
    fn parse(&self) -> Option<(Vec<u8>, Zeroizing<Vec<u8>>, Params)> {
        let rest = self.0.expose().strip_prefix("$argon2id$v=19$m=")?;
        let (memory, rest) = rest.split_once(",t=")?;
        let (passes, rest) = rest.split_once(",p=")?;
        let (lanes, rest) = rest.split_once('$')?;
        let (salt, tag) = rest.split_once('$')?;
        let params = params(memory.parse().ok()?, passes.parse().ok()?, lanes.parse().ok()?).ok()?;
        let tag = Zeroizing::new(STANDARD_NO_PAD.decode(tag).ok()?);
        Some((STANDARD_NO_PAD.decode(salt).ok()?, tag, params))
    }
}

fn params(memory: u32, passes: u32, lanes: u32) -> Result<Params, CoreError> {
    Params::new(memory, passes, lanes, Some(TAG)).map_err(|_| CoreError::Internal("impossible parameters of Argon2id"))
}

static COMPUTED: AtomicU64 = AtomicU64::new(0);

/// How many password hashes this process has computed, for all mounts together: what logins cost, for metrics. Logins of
/// users that do not exist count too.
pub fn hashes_computed() -> u64 {
    COMPUTED.load(Ordering::Relaxed)
}

fn compute(password: &SecretString, salt: &[u8], params: Params) -> Result<Zeroizing<[u8; TAG]>, CoreError> {
    COMPUTED.fetch_add(1, Ordering::Relaxed);
    // Our own memory, because the library gives its own back unwiped: the first block lets passwords be tried at the
    // price of one BLAKE2b.
    let mut memory = Zeroizing::new(vec![Block::new(); params.block_count()]);
    let mut tag = Zeroizing::new([0; TAG]);
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    let hashed =
        argon2.hash_password_into_with_memory(password.expose().as_bytes(), salt, &mut tag[..], memory.as_mut_slice());
    hashed.map(|()| tag).map_err(|_| CoreError::Internal("a password could not be hashed"))
}

/// The longest password that is taken, in bytes: hashing a longer one would let strangers spend our time.
const LONGEST: usize = 4_096;

/// The password in a request, as it was sent: blanks belong to it. None when it was not sent; an empty one is refused.
pub(super) fn sent_password(sent: &Fields) -> Result<Option<SecretString>, CoreError> {
    let refuse = |problem: String| Err(CoreError::Field { field: "password".to_owned(), problem });
    match sent.text("password")?.map(SecretString::new) {
        Some(password) if password.is_empty() => refuse("cannot be empty".to_owned()),
        Some(password) if password.expose().len() > LONGEST => {
            refuse(format!("is longer than the maximum of {LONGEST} bytes"))
        }
        other => Ok(other),
    }
}

/// Refuses a hash in the place of a password, which newer servers of this API take.
pub(super) fn refuse_foreign_hash(sent: &Fields) -> Result<(), CoreError> {
    if !sent.has("password_hash") {
        return Ok(());
    }
    let problem = "is not taken: passwords are kept as Argon2id hashes, and a bcrypt hash cannot be turned into one; \
                   send `password`";
    Err(CoreError::Field { field: "password_hash".to_owned(), problem: problem.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn secret(text: &str) -> SecretString {
        SecretString::new(text.to_owned())
    }

    #[test]
    fn a_hash_fits_its_password_and_no_other() {
        let hash = PasswordHash::create(&secret("correct horse"), &[7; SALT]).unwrap();
        assert!(hash.fits(&secret("correct horse")).unwrap());
        for other in ["correct horse ", "Correct horse", "correct hors", ""] {
            assert!(!hash.fits(&secret(other)).unwrap(), "{other:?}");
        }
        let salted = PasswordHash::create(&secret("correct horse"), &[8; SALT]).unwrap();
        assert_ne!(hash.0.expose(), salted.0.expose());
        assert!(hash.0.expose().starts_with("$argon2id$v=19$m=19456,t=2,p=1$BwcHBwcHBwcHBwcHBwcHBw$"));
    }

    #[test]
    fn a_hash_of_the_reference_implementation_fits() {
        // From `src/test.c` of the Argon2 reference implementation (P-H-C/phc-winner-argon2).
        let phc = "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc";
        let hash = PasswordHash(secret(phc));
        assert!(hash.fits(&secret("password")).unwrap());
        assert!(!hash.fits(&secret("differentpassword")).unwrap());
    }

    #[test]
    fn a_long_password_counts_to_its_last_byte() {
        let long = "x".repeat(LONGEST - 1);
        let hash = PasswordHash::create(&secret(&format!("{long}a")), &[7; SALT]).unwrap();
        assert!(hash.fits(&secret(&format!("{long}a"))).unwrap());
        assert!(!hash.fits(&secret(&format!("{long}b"))).unwrap());
    }

    #[test]
    fn what_is_no_hash_is_an_unreadable_record_and_not_a_wrong_password() {
        for phc in
            ["", "$2a$10$abc", "$argon2i$v=19$m=19456,t=2,p=1$c29tZXNhbHQ$AAAA", "$argon2id$v=19$m=1,t=2,p=1$a$b"]
        {
            let result = PasswordHash(secret(phc)).fits(&secret("x"));
            assert!(matches!(result, Err(CoreError::Unreadable { .. })), "{phc}");
        }
    }

    #[test]
    fn nobody_has_a_hash_that_costs_as_much_and_fits_nothing() {
        let (salt, tag, params) = PasswordHash::nobody().parse().unwrap();
        let (real_salt, real_tag, real) = PasswordHash::create(&secret("x"), &[7; SALT]).unwrap().parse().unwrap();
        assert_eq!((salt.len(), tag.len()), (real_salt.len(), real_tag.len()));
        assert_eq!((params.m_cost(), params.t_cost(), params.p_cost()), (real.m_cost(), real.t_cost(), real.p_cost()));
        assert!(!PasswordHash::nobody().fits(&secret("x")).unwrap());
    }

    #[test]
    fn a_password_is_taken_as_it_is_sent_within_limits() {
        let one = |value| [("password".to_owned(), value)].into_iter().collect::<Fields>();
        assert_eq!(sent_password(&one(json!(" a\n"))).unwrap().unwrap().expose(), " a\n");
        assert_eq!(sent_password(&one(json!(12))).unwrap().unwrap().expose(), "12");
        assert!(sent_password(&one(json!(null))).unwrap().is_none());
        assert!(sent_password(&one(json!("x".repeat(4_096)))).unwrap().is_some());
        for refused in [json!(""), json!("x".repeat(4_097)), json!(["hunter2"])] {
            let text = sent_password(&one(refused)).err().unwrap().to_string();
            assert!(text.starts_with("field `password`") && !text.contains("hunter2"), "{text}");
        }
    }
}
