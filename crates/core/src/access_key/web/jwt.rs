//! JSON Web Tokens in their compact form (RFC 7515, RFC 7519), read as RFC 8725 advises.

use super::WebRefusal;
use super::jwks::{Algorithm, Jwks};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use std::time::Duration;
use strongroom_model::Timestamp;

/// A token that was taken apart. Nothing of it is believed yet.
pub(super) struct Jwt<'a> {
    signed: &'a str,
    header: Header,
    algorithm: Algorithm,
    claims: Vec<u8>,
    signature: Vec<u8>,
}

/// A repeated name is an error, so nobody reads another value than we do.
#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
    #[serde(default)]
    crit: Option<serde_json::Value>,
}

/// What a token whose signature is good says.
#[derive(Deserialize)]
pub(super) struct Claims {
    #[serde(rename = "iss")]
    pub(super) issuer: String,
    #[serde(rename = "sub")]
    pub(super) subject: String,
    #[serde(rename = "aud")]
    audience: Audience,
    exp: f64,
    nbf: Option<f64>,
    iat: Option<f64>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Audience {
    Text(String),
    Many(Vec<String>),
}

/// AWS takes no longer ones (AssumeRoleWithWebIdentity: 20,000).
const LONGEST: usize = 20_000;
/// How far a provider's clock may be ahead.
const LEEWAY: Duration = Duration::from_secs(60);

impl Claims {
    pub(super) fn audiences(&self) -> &[String] {
        match &self.audience {
            Audience::Text(text) => std::slice::from_ref(text),
            Audience::Many(many) => many,
        }
    }
}

impl<'a> Jwt<'a> {
    /// Takes a token apart. The error says what it lacks.
    pub(super) fn parse(text: &'a str) -> Result<Self, &'static str> {
        if text.len() > LONGEST {
            return Err("it is longer than 20000 characters");
        }
        let shape = "it is no JWT: three parts of base64 with dots between";
        let (signed, signature) = text.rsplit_once('.').ok_or(shape)?;
        let (header, claims) = signed.split_once('.').filter(|(_, claims)| !claims.contains('.')).ok_or(shape)?;
        let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).map_err(|_| shape);
        let header: Header =
            serde_json::from_slice(&decode(header)?).map_err(|_| "its header cannot be read, or names no algorithm")?;
        if header.crit.is_some() {
            return Err("it demands an extension that is not known here");
        }
        let algorithm = Algorithm::parse(&header.alg).ok_or("it must be signed with RS256 or ES256")?;
        Ok(Self { signed, header, algorithm, claims: decode(claims)?, signature: decode(signature)? })
    }

    /// The name of the key that it says it was signed with.
    pub(super) fn key_id(&self) -> Option<&str> {
        self.header.kid.as_deref()
    }

    /// What it says, when one of the keys signed it and it is its time.
    pub(super) fn verify(&self, keys: &Jwks, now: Timestamp) -> Result<Claims, WebRefusal> {
        if !keys.verify(self.key_id(), self.algorithm, self.signed.as_bytes(), &self.signature) {
            return Err(WebRefusal::Token("no key of the provider signed it"));
        }
        let unread = WebRefusal::Token("it lacks iss, sub, aud or exp, or one of them cannot be read");
        let claims: Claims = serde_json::from_slice(&self.claims).map_err(|_| unread)?;
        let moment =
            |secs: f64| (secs.is_finite() && (0.0..1e11).contains(&secs)).then(|| Timestamp::from_secs(secs as u64));
        let bad_time = WebRefusal::Token("one of its times is none");
        if moment(claims.exp).ok_or(bad_time.clone())? <= now {
            return Err(WebRefusal::Expired);
        }
        for time in [claims.nbf, claims.iat].into_iter().flatten() {
            if moment(time).ok_or(bad_time.clone())? > now.plus(LEEWAY) {
                return Err(WebRefusal::Token("it is from the future; set the clocks"));
            }
        }
        Ok(claims)
    }
}
