//! What requests have in common that have to do with unseal keys.

use strongroom_core::{CoreError, Fields, Share};

/// The share in the field `key`.
pub(super) fn share(fields: &Fields) -> Result<Share, CoreError> {
    let key = fields.secret("key")?.filter(|key| !key.is_empty());
    let key = key.ok_or_else(|| CoreError::Invalid("'key' must be specified in request body as JSON".to_owned()))?;
    Share::parse(key.expose()).map_err(|error| CoreError::Invalid(error.to_string()))
}

/// The nonce that must come with a share, lest it be counted for what its holder does not know of.
pub(super) fn nonce(fields: &Fields) -> Result<String, CoreError> {
    let nonce = fields.text_or_empty("nonce")?;
    if nonce.is_empty() {
        return Err(CoreError::Invalid(
            "missing nonce; send the one that was given out when the operation was started".to_owned(),
        ));
    }
    Ok(nonce)
}

/// Refuses fields by which shares or tokens would be encrypted.
pub(super) fn pgp_is_refused(fields: &Fields, names: &[&str]) -> Result<(), CoreError> {
    for name in names {
        if fields.list(name).is_ok_and(|keys| keys.is_some_and(|keys| keys.iter().any(|key| !key.is_empty()))) {
            return Err(CoreError::Invalid(format!("{name}: shares cannot be encrypted with PGP in this version")));
        }
    }
    Ok(())
}

/// How many unseal keys are wanted, and how many of them shall be needed; 5 and 3 unless said otherwise.
pub(super) fn shares_and_threshold(fields: &Fields) -> Result<(u8, u8), CoreError> {
    let shares = fields.count("secret_shares")?.unwrap_or(5);
    let threshold = fields.count("secret_threshold")?.unwrap_or(3);
    let small = |count: u64, name: &str| {
        let text = format!("invalid seal configuration: {name} must be between 1 and 255");
        u8::try_from(count).ok().filter(|count| *count > 0).ok_or(CoreError::Invalid(text))
    };
    let (shares, threshold) = (small(shares, "secret_shares")?, small(threshold, "secret_threshold")?);
    if threshold > shares {
        return Err(CoreError::Invalid(
            "invalid seal configuration: threshold cannot be larger than shares".to_owned(),
        ));
    }
    if threshold == 1 && shares > 1 {
        return Err(CoreError::Invalid(
            "invalid seal configuration: threshold must be greater than one for multiple shares".to_owned(),
        ));
    }
    Ok((shares, threshold))
}
