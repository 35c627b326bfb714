use super::jwks::Jwks;
use super::jwt::Jwt;
use super::{WebGuest, WebRefusal, WebTrust};
use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _, RSA_PKCS1_SHA256};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use strongroom_model::Timestamp;

const NOW: u64 = 1_800_000_000;

/// A provider with one key of each kind, and one that it keeps to itself.
struct Provider {
    rsa: KeyPair,
    foreign: KeyPair,
    ec: EcdsaKeyPair,
}

fn base64(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

impl Provider {
    fn new() -> Self {
        let rsa = || KeyPair::generate(KeySize::Rsa2048).unwrap();
        Self { rsa: rsa(), foreign: rsa(), ec: EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap() }
    }

    fn keys(&self) -> String {
        let rsa = |pair: &KeyPair| {
            // A sequence of two numbers in DER (RFC 8017, A.1.1): of 2048 bits with a leading zero, which some providers
            // leave in, and of three bytes.
            let der = pair.public_key().as_ref();
            assert_eq!(der.len(), 270);
            (base64(&der[8..265]), base64(&der[267..]))
        };
        let (n, e) = rsa(&self.rsa);
        let point = self.ec.public_key().as_ref();
        let (x, y) = (base64(&point[1..33]), base64(&point[33..]));
        let keys = json!({"keys": [
            {"kty": "RSA", "kid": "r", "alg": "RS256", "use": "sig", "n": n, "e": e},
            {"kty": "EC", "kid": "e", "crv": "P-256", "x": x, "y": y},
            {"kty": "OKP", "kid": "o", "crv": "Ed25519", "x": "AA"},
            {"kty": "RSA", "kid": "enc", "use": "enc", "n": n, "e": e},
            {"kty": "RSA", "kid": "small", "n": base64([255; 128]), "e": e},
            "nonsense",
        ]});
        keys.to_string()
    }

    fn sign(&self, header: &str, claims: &str) -> String {
        let text = format!("{}.{}", base64(header), base64(claims));
        let random = SystemRandom::new();
        let signature = match header {
            _ if header.contains("ES256") => self.ec.sign(&random, text.as_bytes()).unwrap().as_ref().to_vec(),
            _ if header.contains("HS256") => {
                let key = hmac::Key::new(hmac::HMAC_SHA256, self.keys().as_bytes());
                hmac::sign(&key, text.as_bytes()).as_ref().to_vec()
            }
            _ if header.contains("none") => Vec::new(),
            _ => {
                let pair = if header.contains("foreign") { &self.foreign } else { &self.rsa };
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &random, text.as_bytes(), &mut signature).unwrap();
                signature
            }
        };
        format!("{text}.{}", base64(signature))
    }
}

fn trust(keys: &str) -> WebTrust {
    WebTrust {
        issuer: "https://ci.example".to_owned(),
        audiences: vec!["strongroom".to_owned(), "sts.amazonaws.com".to_owned()],
        subjects: vec!["repo:acme/*:ref:refs/heads/main".to_owned()],
        keys: Some(keys.to_owned()),
        keys_url: None,
        ca: None,
        internal: false,
    }
}

fn believe(trust: &WebTrust, token: &str) -> Result<WebGuest, WebRefusal> {
    let keys = Jwks::parse(trust.keys.as_ref().unwrap().as_bytes()).unwrap();
    let claims = Jwt::parse(token).map_err(WebRefusal::Token)?.verify(&keys, Timestamp::from_secs(NOW))?;
    trust.admit(&claims)
}

fn claims(change: Value) -> String {
    let mut claims = json!({
        "iss": "https://ci.example", "aud": "strongroom", "sub": "repo:acme/web:ref:refs/heads/main",
        "exp": NOW + 300, "nbf": NOW - 5, "iat": NOW,
    });
    for (name, value) in change.as_object().unwrap() {
        claims[name] = value.clone();
    }
    claims.as_object_mut().unwrap().retain(|_, value| !value.is_null());
    claims.to_string()
}

const RSA: &str = r#"{"alg":"RS256","kid":"r","typ":"JWT"}"#;

#[test]
fn a_token_of_the_trusted_provider_is_taken() {
    let provider = Provider::new();
    let trust = trust(&provider.keys());
    trust.check().unwrap();
    for (header, change) in [
        (RSA, json!({})),
        (r#"{"alg":"RS256"}"#, json!({"nbf": null, "iat": null})),
        (r#"{"alg":"ES256","kid":"e"}"#, json!({"aud": ["other", "sts.amazonaws.com"]})),
        (RSA, json!({"nbf": NOW + 59, "exp": NOW as f64 + 0.5 + 1.0})),
    ] {
        let guest = believe(&trust, &provider.sign(header, &claims(change.clone()))).unwrap();
        assert_eq!(guest.subject, "repo:acme/web:ref:refs/heads/main", "{header} {change}");
    }
}

#[test]
fn a_token_that_another_key_signed_or_in_another_way_is_refused() {
    let provider = Provider::new();
    let trust = trust(&provider.keys());
    let good = claims(json!({}));
    for header in [
        r#"{"alg":"none"}"#,
        r#"{"alg":"HS256","kid":"r"}"#,
        r#"{"alg":"HS256"}"#,
        r#"{"alg":"RS256","kid":"e"}"#,
        r#"{"alg":"ES256","kid":"r"}"#,
        r#"{"alg":"RS256","kid":"enc"}"#,
        r#"{"alg":"RS256","kid":"small"}"#,
        r#"{"alg":"RS256","kid":"gone"}"#,
        r#"{"alg":"RS256","typ":"foreign"}"#,
        r#"{"alg":"RS256","kid":"r","crit":["b64"],"b64":false}"#,
        r#"{"alg":"RS256","alg":"none","kid":"r"}"#,
        r#"{"alg":"rs256","kid":"r"}"#,
        "{}",
        "[]",
    ] {
        let refused = believe(&trust, &provider.sign(header, &good)).unwrap_err();
        assert!(matches!(refused, WebRefusal::Token(_)), "{header} {refused:?}");
    }
    let token = provider.sign(RSA, &good);
    let (signed, signature) = token.rsplit_once('.').unwrap();
    let other = base64(claims(json!({"sub": "repo:acme/other:ref:refs/heads/main"})));
    let header = signed.split_once('.').unwrap().0;
    for text in [
        format!("{header}.{other}.{signature}"),
        format!("{signed}."),
        format!("{signed}.{}", base64([0; 256])),
        format!("{token}."),
        format!("{token}.x"),
        format!("{token}="),
        signed.to_owned(),
        String::new(),
        "..".to_owned(),
        "a".repeat(20_001),
    ] {
        assert!(matches!(believe(&trust, &text), Err(WebRefusal::Token(_))), "{text}");
    }
}

#[test]
fn a_token_for_another_place_or_time_is_refused() {
    let provider = Provider::new();
    let trust = trust(&provider.keys());
    let unread = || WebRefusal::Token("it lacks iss, sub, aud or exp, or one of them cannot be read");
    for (change, expected) in [
        (json!({"exp": NOW}), WebRefusal::Expired),
        (json!({"exp": NOW - 3_600}), WebRefusal::Expired),
        (json!({"exp": null}), unread()),
        (json!({"exp": "1900000000"}), unread()),
        (json!({"exp": 1e300}), WebRefusal::Token("one of its times is none")),
        (json!({"nbf": NOW + 61}), WebRefusal::Token("it is from the future; set the clocks")),
        (json!({"iat": NOW + 61}), WebRefusal::Token("it is from the future; set the clocks")),
        (json!({"iss": "https://ci.example/"}), WebRefusal::Issuer),
        (json!({"aud": "strongroom2"}), WebRefusal::Audience),
        (json!({"aud": []}), WebRefusal::Audience),
        (json!({"aud": null}), unread()),
        (json!({"sub": "repo:acme/web:ref:refs/heads/dev"}), WebRefusal::Untrusted),
        (json!({"sub": "repo:evil/repo:acme/web:ref:refs/heads/main"}), WebRefusal::Untrusted),
        (json!({"sub": null}), unread()),
    ] {
        let refused = believe(&trust, &provider.sign(RSA, &claims(change.clone())));
        assert_eq!(refused.err(), Some(expected), "{change}");
    }
}

#[test]
fn a_provider_must_be_said_in_full() {
    let keys = Provider::new().keys();
    let spoil = |change: fn(&mut WebTrust)| {
        let mut trust = trust(&keys);
        change(&mut trust);
        trust.check().is_err()
    };
    let changes: [fn(&mut WebTrust); 9] = [
        |trust| trust.issuer.clear(),
        |trust| trust.audiences.clear(),
        |trust| trust.subjects.clear(),
        |trust| trust.subjects = vec![String::new()],
        |trust| trust.keys = None,
        |trust| trust.keys = Some("{\"keys\": []}".to_owned()),
        |trust| trust.keys = Some("x".to_owned()),
        |trust| trust.keys_url = Some("https://ci.example/keys".to_owned()),
        |trust| (trust.keys, trust.keys_url) = (None, Some("http://ci.example/keys".to_owned())),
    ];
    for (number, change) in changes.into_iter().enumerate() {
        assert!(spoil(change), "{number}");
    }
}
