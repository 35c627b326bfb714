//! Signatures of messages, after the Standard Webhooks specification, so that receivers check them with a library that
//! they have: HMAC-SHA256 over id, time and body, under the key behind `whsec_`.

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use strongroom_model::{SecretString, Timestamp};
use zeroize::Zeroizing;

/// The value of the header `webhook-signature`. A key that is not `whsec_` and base64 counts as its own bytes.
pub fn sign(key: &SecretString, id: &str, time: Timestamp, body: &[u8]) -> String {
    let text = key.expose();
    let bytes = Zeroizing::new(match text.strip_prefix("whsec_").map(|coded| STANDARD.decode(coded)) {
        Some(Ok(bytes)) => bytes,
        _ => text.as_bytes().to_vec(),
    });
    let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, &bytes));
    context.update(format!("{id}.{}.", time.secs()).as_bytes());
    context.update(body);
    format!("v1,{}", STANDARD.encode(context.sign()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the specification's own libraries.
    #[test]
    fn signs_as_the_specification_does() {
        let key = SecretString::new("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".to_owned());
        let signature =
            sign(&key, "msg_p5jXN8AQM9LWM0D4loKWxJek", Timestamp::from_secs(1_614_265_330), br#"{"test": 2432232314}"#);
        assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }
}
