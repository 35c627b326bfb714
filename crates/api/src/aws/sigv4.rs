//! Reads AWS Signature Version 4 out of headers or a presigned query, and builds the text that was signed (AWS General
//! Reference, "Create a signed AWS API request"). Pure: no key is here, and nothing is believed; the core compares.
//!
//! Stricter than the reference: `host` and the time must be signed, and so must every header that says what is wanted
//! (`x-amz-target`, `x-amz-security-token`) if it was sent; bodies are always signed.

use hyper::header::{AUTHORIZATION, HeaderName};
use hyper::http::request::Parts;
use std::fmt::Write;
use std::time::Duration;
use strongroom_model::{SecretString, Timestamp};

/// What a request says of its signature.
pub(super) struct Signed {
    /// `KEY/DATE/REGION/SERVICE/aws4_request`.
    credential: String,
    /// Where its slashes are.
    slashes: [usize; PARTS - 1],
    pub(super) signature: Vec<u8>,
    pub(super) session_token: Option<SecretString>,
    /// The time as it was written.
    stamp: String,
    time: Timestamp,
    /// Names of signed headers in small letters, divided by semicolons as they were listed.
    headers: String,
    /// Set for presigned queries: for how long they are good.
    lifetime: Option<Duration>,
}

/// Why there is nothing to check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flaw {
    /// No signature was sent.
    Missing,
    /// One was, with something missing or malformed.
    Incomplete(&'static str),
}

/// How the time of a signature is off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Late {
    /// It lies too far back.
    Expired,
    /// It lies too far ahead.
    NotYet,
}

const ALGORITHM: &str = "AWS4-HMAC-SHA256";
static DATE: HeaderName = HeaderName::from_static("x-amz-date");
static TOKEN: HeaderName = HeaderName::from_static("x-amz-security-token");
static TARGET: HeaderName = HeaderName::from_static("x-amz-target");
static BODY_HASH: HeaderName = HeaderName::from_static("x-amz-content-sha256");
/// The longest that a presigned query is good for (AWS: seven days).
const LONGEST: u64 = 604_800;
/// The longest part that is looked at; session tokens of AWS have no stated limit.
const LONGEST_TOKEN: usize = 8_192;
/// The parts of a credential.
const PARTS: usize = 5;

/// Reads the signature of a request.
pub(super) fn read(parts: &Parts) -> Result<Signed, Flaw> {
    let query = parts.uri.query().unwrap_or_default();
    match (parts.headers.contains_key(&AUTHORIZATION), parameter(query, "X-Amz-Algorithm")?) {
        (true, None) => read_headers(parts),
        (false, Some(_)) => read_query(parts, query),
        (true, Some(_)) => Err(Flaw::Incomplete("it is signed twice, in a header and in the query")),
        (false, None) => Err(Flaw::Missing),
    }
}

fn read_headers(parts: &Parts) -> Result<Signed, Flaw> {
    let text = one(parts, &AUTHORIZATION)?.unwrap_or_default();
    let rest = text.strip_prefix(ALGORITHM).ok_or(Flaw::Incomplete("it must begin with AWS4-HMAC-SHA256"))?;
    let [credential, headers, signature] = authorization(rest);
    let credential = credential.ok_or(Flaw::Incomplete("'Credential' is missing"))?;
    let headers = headers.ok_or(Flaw::Incomplete("'SignedHeaders' is missing"))?;
    let signature = signature.ok_or(Flaw::Incomplete("'Signature' is missing"))?;
    let stamp = one(parts, &DATE)?.ok_or(Flaw::Incomplete("'X-Amz-Date' is missing"))?;
    let token = one(parts, &TOKEN)?.map(str::to_owned);
    let signed = build(credential, headers, signature, stamp, token, None)?;
    signed.demand(parts, &["host", "x-amz-date"])?;
    Ok(signed)
}

/// `Credential`, `SignedHeaders` and `Signature` of an `Authorization`; none where it is named twice.
fn authorization(text: &str) -> [Option<&str>; 3] {
    let (mut found, mut twice) = ([None; 3], [false; 3]);
    for (name, value) in text.split(',').filter_map(|part| part.trim().split_once('=')) {
        let at = match name {
            "Credential" => 0,
            "SignedHeaders" => 1,
            "Signature" => 2,
            _ => continue,
        };
        if let (Some(place), Some(twice)) = (found.get_mut(at), twice.get_mut(at)) {
            *twice |= place.is_some();
            *place = Some(value).filter(|_| !*twice);
        }
    }
    found
}

fn read_query(parts: &Parts, query: &str) -> Result<Signed, Flaw> {
    let need = |name, missing| parameter(query, name)?.ok_or(Flaw::Incomplete(missing));
    if need("X-Amz-Algorithm", "'X-Amz-Algorithm' is missing")? != ALGORITHM {
        return Err(Flaw::Incomplete("'X-Amz-Algorithm' must be AWS4-HMAC-SHA256"));
    }
    let credential = need("X-Amz-Credential", "'X-Amz-Credential' is missing")?;
    let headers = need("X-Amz-SignedHeaders", "'X-Amz-SignedHeaders' is missing")?;
    let signature = need("X-Amz-Signature", "'X-Amz-Signature' is missing")?;
    let stamp = need("X-Amz-Date", "'X-Amz-Date' is missing")?;
    let expires = need("X-Amz-Expires", "'X-Amz-Expires' is missing")?;
    let expires = expires.parse().ok().filter(|secs| (1..=LONGEST).contains(secs));
    let expires = expires.ok_or(Flaw::Incomplete("'X-Amz-Expires' must lie between 1 and 604800 seconds"))?;
    let token = parameter(query, "X-Amz-Security-Token")?;
    let lifetime = Some(Duration::from_secs(expires));
    let signed = build(&credential, &headers, &signature, &stamp, token, lifetime)?;
    signed.demand(parts, &["host"])?;
    Ok(signed)
}

fn build(
    credential: &str,
    headers: &str,
    signature: &str,
    stamp: &str,
    token: Option<String>,
    lifetime: Option<Duration>,
) -> Result<Signed, Flaw> {
    let malformed = Flaw::Incomplete("'Credential' must be KEY/DATE/REGION/SERVICE/aws4_request");
    let slashes = slashes(credential).filter(|_| credential.ends_with("/aws4_request")).ok_or(malformed)?;
    let date = between(credential, &slashes, 1);
    let time = time_of(stamp).ok_or(Flaw::Incomplete("the date must be written as 20261121T084412Z"))?;
    if !stamp.starts_with(date) || date.len() != 8 {
        return Err(Flaw::Incomplete("the date in 'Credential' is another one than the request's"));
    }
    let signature = hex::decode(signature).map_err(|_| Flaw::Incomplete("'Signature' is no hexadecimal number"))?;
    let headers = headers.to_ascii_lowercase();
    if !headers.split(';').is_sorted_by(|a, b| a < b) {
        return Err(Flaw::Incomplete("'SignedHeaders' must be sorted, each name once"));
    }
    Ok(Signed {
        credential: credential.to_owned(),
        slashes,
        signature,
        session_token: token.map(SecretString::new),
        stamp: stamp.to_owned(),
        time,
        headers,
        lifetime,
    })
}

/// Where the slashes of a credential are; `None` when there are not as many as there must be.
fn slashes(credential: &str) -> Option<[usize; PARTS - 1]> {
    let (mut places, mut known) = ([0; PARTS - 1], 0);
    for (at, _) in credential.bytes().enumerate().filter(|(_, byte)| *byte == b'/') {
        *places.get_mut(known)? = at;
        known += 1;
    }
    (known == PARTS - 1).then_some(places)
}

/// A part of a credential.
fn between<'a>(credential: &'a str, slashes: &[usize; PARTS - 1], number: usize) -> &'a str {
    let begin = number.checked_sub(1).and_then(|before| slashes.get(before)).map_or(0, |slash| slash + 1);
    let end = slashes.get(number).copied().unwrap_or(credential.len());
    credential.get(begin..end).unwrap_or_default()
}

impl Signed {
    /// The key that it was made with, as the client says.
    pub(super) fn key(&self) -> &str {
        self.part(0)
    }

    /// The day that it was made for.
    pub(super) fn date(&self) -> &str {
        self.part(1)
    }

    /// The region that it was made for.
    pub(super) fn region(&self) -> &str {
        self.part(2)
    }

    /// The service that it was made for.
    pub(super) fn service(&self) -> &str {
        self.part(3)
    }

    fn part(&self, number: usize) -> &str {
        between(&self.credential, &self.slashes, number)
    }

    fn demand(&self, parts: &Parts, always: &[&str]) -> Result<(), Flaw> {
        let signed = |name: &str| self.headers.split(';').any(|header| header == name);
        let sent = [&TARGET, &TOKEN].into_iter().filter(|name| parts.headers.contains_key(*name));
        if always.iter().copied().chain(sent.map(HeaderName::as_str)).all(signed) {
            Ok(())
        } else {
            Err(Flaw::Incomplete(
                "'SignedHeaders' must name host, x-amz-date, and x-amz-target and x-amz-security-token if sent",
            ))
        }
    }

    /// Whether it was made now, give or take the skew, or is a presigned one that is still good.
    pub(super) fn check_time(&self, now: Timestamp, skew: Duration) -> Result<(), Late> {
        if self.time > now.plus(skew) {
            return Err(Late::NotYet);
        }
        let until = self.time.plus(self.lifetime.unwrap_or(skew));
        if until < now { Err(Late::Expired) } else { Ok(()) }
    }

    /// The canonical request: method, path, query, headers, their names, and the hash of the body. The path is always
    /// `/`, since nothing else leads here.
    pub(super) fn canonical(&self, parts: &Parts, body_hash: &str) -> String {
        let mut text = String::with_capacity(1_024);
        let query = parts.uri.query().unwrap_or_default();
        let _ = write!(text, "{}\n/\n", parts.method);
        canonical_query(query, &mut text);
        text.push('\n');
        for name in self.headers.split(';') {
            text.push_str(name);
            text.push(':');
            for (number, value) in parts.headers.get_all(name).iter().enumerate() {
                if number > 0 {
                    text.push(',');
                }
                match value.to_str() {
                    Ok(value) => squeeze(value, &mut text),
                    Err(_) => squeeze(&String::from_utf8_lossy(value.as_bytes()), &mut text),
                }
            }
            text.push('\n');
        }
        for part in ["\n", &self.headers, "\n", body_hash] {
            text.push_str(part);
        }
        text
    }

    /// What the signature is made over, given the hash of the canonical request.
    pub(super) fn string_to_sign(&self, canonical_hash: &str) -> String {
        let [first, ..] = self.slashes;
        let scope = self.credential.get(first + 1..).unwrap_or_default();
        [ALGORITHM, &self.stamp, scope, canonical_hash].join("\n")
    }
}

/// Whether the hash that a client declared for the body, if it did, is the body's. What stands for no hash is refused:
/// these services sign their bodies.
pub(super) fn declared_hash_fits(parts: &Parts, body_hash: &str) -> bool {
    parts.headers.get(&BODY_HASH).is_none_or(|declared| declared.as_bytes() == body_hash.as_bytes())
}

/// Pairs sorted by name and value as they were sent, without the signature itself.
fn canonical_query(query: &str, text: &mut String) {
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    let mut pairs: Vec<(&str, &str)> = pairs.map(|pair| pair.split_once('=').unwrap_or((pair, ""))).collect();
    pairs.retain(|(name, _)| *name != "X-Amz-Signature");
    pairs.sort_unstable();
    for (number, (name, value)) in pairs.iter().enumerate() {
        let and = if number == 0 { "" } else { "&" };
        let _ = write!(text, "{and}{name}={value}");
    }
}

/// Without blanks at the ends, and one in place of several inside.
fn squeeze(value: &str, text: &mut String) {
    if !value.bytes().any(|byte| byte.is_ascii_whitespace()) {
        return text.push_str(value);
    }
    for (number, word) in value.split_ascii_whitespace().enumerate() {
        if number > 0 {
            text.push(' ');
        }
        text.push_str(word);
    }
}

/// A header that was sent at most once.
fn one<'a>(parts: &'a Parts, name: &HeaderName) -> Result<Option<&'a str>, Flaw> {
    let mut values = parts.headers.get_all(name).iter();
    let first = values.next();
    if values.next().is_some() {
        return Err(Flaw::Incomplete("a header of the signature was sent more than once"));
    }
    let text = first
        .map(|value| value.to_str().ok().filter(|text| text.len() <= LONGEST_TOKEN))
        .map(|text| text.ok_or(Flaw::Incomplete("a header of the signature is too long or no plain text")));
    text.transpose()
}

/// A parameter of the query that was sent at most once, decoded.
fn parameter(query: &str, name: &str) -> Result<Option<String>, Flaw> {
    let mut found = query.split('&').filter_map(|pair| pair.split_once('=')).filter(|(known, _)| *known == name);
    let first = found.next();
    if found.next().is_some() {
        return Err(Flaw::Incomplete("a parameter of the signature was sent more than once"));
    }
    let decode = |(_, value): (&str, &str)| {
        let text = percent_encoding::percent_decode_str(value).decode_utf8();
        text.map(|text| text.into_owned()).map_err(|_| Flaw::Incomplete("the query is not UTF-8"))
    };
    first.map(decode).transpose()
}

/// Reads `20261121T084412Z`.
fn time_of(stamp: &str) -> Option<Timestamp> {
    let mut from = stamp.bytes();
    // As RFC 3339 has it, in which the other marks are fixed.
    let mut text = *b"0000-00-00T00:00:00Z";
    for place in &mut text {
        match *place {
            b'-' | b':' => {}
            b'0' => *place = from.next().filter(u8::is_ascii_digit)?,
            mark => _ = from.next().filter(|byte| *byte == mark)?,
        }
    }
    Timestamp::parse(std::str::from_utf8(&text).ok().filter(|_| from.next().is_none())?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::Request;

    fn parts(uri: &str, headers: &[(&str, &str)]) -> Parts {
        let mut request = Request::builder().method("POST").uri(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap().into_parts().0
    }

    const SCOPE: &str = "AKIDEXAMPLE/20261121/us-east-1/secretsmanager/aws4_request";

    fn authorization(signed: &str) -> String {
        format!("AWS4-HMAC-SHA256 Credential={SCOPE}, SignedHeaders={signed}, Signature=abcd")
    }

    fn header_request(signed: &str) -> Parts {
        parts(
            "/",
            &[
                ("host", "localhost:8200"),
                ("x-amz-date", "20261121T084412Z"),
                ("x-amz-target", "  secretsmanager.GetSecretValue   x "),
                ("authorization", &authorization(signed)),
            ],
        )
    }

    #[test]
    fn the_canonical_request_is_that_of_the_reference() {
        let parts = header_request("host;x-amz-date;x-amz-target");
        let signed = read(&parts).ok().unwrap();
        assert_eq!(
            signed.canonical(&parts, "BODY"),
            "POST\n/\n\nhost:localhost:8200\nx-amz-date:20261121T084412Z\n\
             x-amz-target:secretsmanager.GetSecretValue x\n\nhost;x-amz-date;x-amz-target\nBODY"
        );
        assert_eq!(
            signed.string_to_sign("HASH"),
            "AWS4-HMAC-SHA256\n20261121T084412Z\n20261121/us-east-1/secretsmanager/aws4_request\nHASH"
        );
    }

    #[test]
    fn what_says_what_is_wanted_must_be_signed() {
        for signed in
            ["host;x-amz-date", "host;x-amz-target", "x-amz-date;x-amz-target", "x-amz-date;host;x-amz-target"]
        {
            assert!(matches!(read(&header_request(signed)), Err(Flaw::Incomplete(_))), "{signed}");
        }
    }

    #[test]
    fn half_a_signature_is_none() {
        let auth = |text: &str| {
            read(&parts("/", &[("host", "h"), ("x-amz-date", "20261121T084412Z"), ("authorization", text)])).err()
        };
        assert_eq!(read(&parts("/", &[("host", "h")])).err(), Some(Flaw::Missing));
        for text in [
            "Bearer x",
            "AWS4-HMAC-SHA256",
            "AWS4-HMAC-SHA256 Credential=a/b/c, SignedHeaders=host;x-amz-date, Signature=ab",
            &format!("AWS4-HMAC-SHA256 Credential={SCOPE}, SignedHeaders=host;x-amz-date, Signature=xyz"),
            &format!(
                "AWS4-HMAC-SHA256 Credential={SCOPE}, Credential={SCOPE}, SignedHeaders=host;x-amz-date, Signature=ab"
            ),
            &format!(
                "AWS4-HMAC-SHA256 Credential={}, SignedHeaders=host;x-amz-date, Signature=ab",
                SCOPE.replace("21/us", "20/us")
            ),
        ] {
            assert!(matches!(auth(text), Some(Flaw::Incomplete(_))), "{text}");
        }
        assert!(
            auth(&format!("AWS4-HMAC-SHA256 Credential={SCOPE},SignedHeaders=host;x-amz-date,Signature=ab")).is_none()
        );
        let twice = format!("/?X-Amz-Algorithm={ALGORITHM}");
        assert!(read(&parts(&twice, &[("authorization", "x")])).is_err());
    }

    #[test]
    fn a_presigned_query_is_good_until_it_ends() {
        let query = format!(
            "/?X-Amz-Signature=abcd&X-Amz-Algorithm={ALGORITHM}&Action=GetCallerIdentity&X-Amz-Credential={}&X-Amz-Date=20261121T084412Z&X-Amz-Expires=60&X-Amz-SignedHeaders=host",
            SCOPE.replace('/', "%2F")
        );
        let parts = parts(&query, &[("host", "h")]);
        let signed = read(&parts).ok().unwrap();
        assert!(signed.canonical(&parts, "B").contains("\nAction=GetCallerIdentity&X-Amz-Algorithm=AWS4-HMAC-SHA256&"));
        assert!(!signed.canonical(&parts, "B").contains("abcd"));
        let at = |text: &str| signed.check_time(Timestamp::parse(text).unwrap(), Duration::from_secs(900));
        assert_eq!(at("2026-11-21T08:45:12Z"), Ok(()));
        assert_eq!(at("2026-11-21T08:45:13Z"), Err(Late::Expired));
        assert_eq!(at("2026-11-21T08:29:12Z"), Ok(()));
        assert_eq!(at("2026-11-21T08:29:11Z"), Err(Late::NotYet));
    }

    #[test]
    fn a_time_is_read_as_it_must_be_written_and_no_other_way() {
        assert_eq!(time_of("20261121T084412Z"), Timestamp::parse("2026-11-21T08:44:12Z"));
        for bad in [
            "",
            "20261121T084412",
            "20261121T084412Z ",
            "20261121T0844123",
            "20261121 084412Z",
            "2026-11-21T08:44:12Z",
            "20261321T084412Z",
            "20261121T084461Z",
            "2026112\u{661}T084412Z",
        ] {
            assert_eq!(time_of(bad), None, "{bad}");
        }
    }

    #[test]
    fn the_parts_of_a_credential_are_those_between_its_slashes() {
        let signed = read(&header_request("host;x-amz-date;x-amz-target")).ok().unwrap();
        let parts = [signed.key(), signed.date(), signed.region(), signed.service()];
        assert_eq!(parts, ["AKIDEXAMPLE", "20261121", "us-east-1", "secretsmanager"]);
        assert_eq!(slashes("a/b/c/d"), None);
        assert_eq!(slashes("a/b/c/d/e/f"), None);
        let empty = slashes("////aws4_request").unwrap();
        assert_eq!((between("////aws4_request", &empty, 0), between("////aws4_request", &empty, 3)), ("", ""));
        assert_eq!(between("////aws4_request", &empty, 4), "aws4_request");
    }

    #[test]
    fn a_declared_hash_must_be_the_bodys() {
        let with = |hash: &str| declared_hash_fits(&parts("/", &[("x-amz-content-sha256", hash)]), "abc");
        assert!(with("abc") && !with("UNSIGNED-PAYLOAD") && !with("abd"));
        assert!(declared_hash_fits(&parts("/", &[]), "abc"));
    }
}
