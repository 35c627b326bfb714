//! Keys of signatures, derived from a secret by a chain of HMACs over day, region and service (AWS General Reference,
//! "Create a signed AWS API request", step 3), so that one that leaks is good for little. A client signs with the same one
//! all day, so those that proved a signature are remembered.
//!
//! They lie in the record that they were derived from, as it was read: whatever writes or removes an access key drops that
//! record out of the cache, and what was derived with it. So none outlives its secret, and none is found for another.

use super::verify::Claim;
use aws_lc_rs::hmac::{self, HMAC_SHA256, Key};
use std::sync::{Arc, Mutex, PoisonError};
use strongroom_model::SecretString;
use zeroize::Zeroizing;

/// What was derived from one secret, oldest first.
#[derive(Default)]
pub(super) struct Derived(Mutex<Vec<One>>);

struct One {
    date: String,
    region: String,
    service: String,
    key: Arc<Key>,
}

/// Three services, and a day that ends.
const MOST: usize = 4;

impl Derived {
    /// What was derived for such a signature.
    pub(super) fn find(&self, claim: &Claim<'_>) -> Option<Arc<Key>> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.iter().find(|one| one.is_for(claim)).map(|one| Arc::clone(&one.key))
    }

    /// Remembers what was derived, once it has proved a signature: strangers fill nothing.
    pub(super) fn keep(&self, claim: &Claim<'_>, key: Arc<Key>) {
        let text = |text: &str| text.to_owned();
        let (date, region, service) = (text(claim.date), text(claim.region), text(claim.service));
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all.iter().any(|one| one.is_for(claim)) {
            return;
        }
        if all.len() >= MOST {
            all.remove(0);
        }
        all.push(One { date, region, service, key });
    }
}

impl One {
    fn is_for(&self, claim: &Claim<'_>) -> bool {
        self.date == claim.date && self.region == claim.region && self.service == claim.service
    }
}

/// Derives the key for such a signature.
pub(super) fn derive(secret: &SecretString, claim: &Claim<'_>) -> Key {
    let mut seed = Zeroizing::new(Vec::with_capacity(4 + secret.expose().len()));
    seed.extend_from_slice(b"AWS4");
    seed.extend_from_slice(secret.expose().as_bytes());
    let mut key = Key::new(HMAC_SHA256, &seed);
    for part in [claim.date, claim.region, claim.service, "aws4_request"] {
        let step = hmac::sign(&key, part.as_bytes());
        key = Key::new(HMAC_SHA256, step.as_ref());
    }
    key
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_derived_key_is_found_for_its_own_scope_only_and_few_are_remembered() {
        let claim = |date, region, service| Claim {
            key: "AKIDEXAMPLE",
            session_token: None,
            date,
            region,
            service,
            string_to_sign: "",
            signature: &[],
        };
        let (secret, derived) = (SecretString::new("secret".to_owned()), Derived::default());
        let own = claim("20261121", "us-east-1", "ssm");
        let key = Arc::new(derive(&secret, &own));
        derived.keep(&own, Arc::clone(&key));
        derived.keep(&own, Arc::new(derive(&secret, &own)));
        assert!(derived.find(&own).is_some_and(|found| Arc::ptr_eq(&found, &key)));
        for other in [
            claim("20261122", "us-east-1", "ssm"),
            claim("20261121", "eu-west-1", "ssm"),
            claim("20261121", "us-east-1", "sts"),
        ] {
            assert!(derived.find(&other).is_none());
        }
        for region in ["a", "b", "c", "d", "e"] {
            let other = claim("20261121", region, "ssm");
            derived.keep(&other, Arc::new(derive(&secret, &other)));
        }
        assert!(derived.find(&own).is_none() && derived.find(&claim("20261121", "e", "ssm")).is_some());
        assert_eq!(derived.0.lock().unwrap().len(), MOST);
    }
}
