use crate::ConnectorError;
use aws_lc_rs::{digest, hmac, pbkdf2, rand};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use std::num::NonZeroU32;
use strongroom_model::SecretString;
use zeroize::Zeroizing;

/// As many as the server itself takes by default (PostgreSQL documentation, `scram_iterations`).
const ITERATIONS: NonZeroU32 = NonZeroU32::new(4096).expect("not zero");

/// What the server keeps instead of the password: `SCRAM-SHA-256$4096:salt$StoredKey:ServerKey` (RFC 5803, RFC 5802
/// section 3). Passwords of printable ASCII only, for which SASLprep (RFC 4013) changes nothing.
pub(super) fn verifier(password: &SecretString) -> Result<SecretString, ConnectorError> {
    let mut salt = [0; 16];
    rand::fill(&mut salt)
        .map_err(|_| ConnectorError::Config { what: "the machine gives no random bytes: try again".to_owned() })?;
    with_salt(password, &salt)
}

fn with_salt(password: &SecretString, salt: &[u8]) -> Result<SecretString, ConnectorError> {
    let bytes = password.expose().as_bytes();
    if !bytes.iter().all(|byte| (b' '..=b'~').contains(byte)) {
        let what = "the new password holds characters outside of printable ascii, for which scram-sha-256 is not made \
                    here: use another password policy, or password_authentication=password";
        return Err(ConnectorError::Config { what: what.to_owned() });
    }
    let mut salted = Zeroizing::new([0; 32]);
    pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, ITERATIONS, salt, bytes, &mut *salted);
    let key = hmac::Key::new(hmac::HMAC_SHA256, &*salted);
    let stored = digest::digest(&digest::SHA256, hmac::sign(&key, b"Client Key").as_ref());
    let server = hmac::sign(&key, b"Server Key");
    let text = |bytes: &[u8]| STANDARD.encode(bytes);
    let (salt, stored, server) = (text(salt), text(stored.as_ref()), text(server.as_ref()));
    Ok(SecretString::new(format!("SCRAM-SHA-256${ITERATIONS}:{salt}${stored}:{server}")))
}
