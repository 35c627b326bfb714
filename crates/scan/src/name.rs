//! Names that tell what their value is: `/app/db/password`, `DB_PASSWORD`, `clientSecret`. The last words decide, so that
//! `password_min_length`, `token_url` and `secret_arn` tell nothing.

use crate::placeholder::{is_elsewhere, is_placeholder, is_reference};
use crate::random;

/// What a name says of its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Telling {
    /// A password: may be as short and simple as people make them.
    Password,
    /// A key or token: made by a machine, so long and random.
    Key,
    /// Only a folder says that credentials are in it.
    Folder,
}

const PASSWORDS: [&str; 7] = ["password", "passwd", "pwd", "passphrase", "passcode", "pass", "pw"];
const KEYS: [&str; 15] = [
    "secret",
    "token",
    "credential",
    "credentials",
    "creds",
    "apikey",
    "secretkey",
    "accesskey",
    "privatekey",
    "authtoken",
    "authkey",
    "signingkey",
    "encryptionkey",
    "masterkey",
    "pat",
];
/// What makes a key out of the word `key`; others (public, primary, partition, translation) do not.
const KEY_OF: [&str; 21] = [
    "api",
    "access",
    "private",
    "secret",
    "signing",
    "encryption",
    "master",
    "auth",
    "account",
    "storage",
    "shared",
    "admin",
    "ssh",
    "deploy",
    "session",
    "cookie",
    "jwt",
    "hmac",
    "webhook",
    "license",
    "service",
];
/// Words behind the telling one that change nothing.
const BEHIND: [&str; 25] = [
    "prod",
    "production",
    "staging",
    "stage",
    "dev",
    "development",
    "test",
    "current",
    "previous",
    "old",
    "new",
    "primary",
    "secondary",
    "value",
    "string",
    "text",
    "plain",
    "plaintext",
    "base64",
    "b64",
    "base",
    "default",
    "main",
    "backup",
    "live",
];
const FOLDERS: [&str; 8] = ["passwords", "secrets", "secret", "tokens", "credentials", "creds", "apikeys", "keys"];

/// What a name says, if it says anything.
pub(crate) fn tells(name: &str) -> Option<Telling> {
    let mut parts = name.rsplit(['/', '.', ':']).filter(|part| !part.is_empty());
    let last = words(parts.next()?);
    let said = last.iter().rposition(|word| !BEHIND.contains(&word.as_str())).and_then(|at| {
        let word = last.get(at)?.as_str();
        let before = at.checked_sub(1).and_then(|at| last.get(at)).map(String::as_str);
        if PASSWORDS.contains(&word) {
            return Some(Telling::Password);
        }
        let is_key = KEYS.contains(&word) || (word == "key" && before.is_some_and(|word| KEY_OF.contains(&word)));
        is_key.then_some(Telling::Key)
    });
    // `/prod/password/db`: the part before the last says it.
    said.or_else(|| {
        let folder = words(parts.next()?);
        let word = folder.last()?;
        (FOLDERS.contains(&word.as_str()) || PASSWORDS.contains(&word.as_str())).then_some(Telling::Folder)
    })
}

impl Telling {
    /// What a value under such a name looks like, if like a credential.
    pub(crate) fn judge(self, value: &str) -> Option<&'static str> {
        if is_ordinary(value) {
            return None;
        }
        match self {
            Telling::Password if is_password(value) => Some("a password, by its name"),
            Telling::Key if random::is_random(value, 16) => Some("a key or token: random, under a telling name"),
            Telling::Folder if random::is_random(value, 20) => Some("a key or token: random, in a telling folder"),
            _ => None,
        }
    }
}

/// Words of settings that stand under such names without being credentials.
const SETTINGS: [&str; 34] = [
    "argon2",
    "argon2i",
    "argon2d",
    "argon2id",
    "bcrypt",
    "scrypt",
    "pbkdf2",
    "sha1",
    "sha256",
    "sha512",
    "sha-256",
    "sha-512",
    "md5",
    "hs256",
    "hs384",
    "hs512",
    "rs256",
    "rs384",
    "rs512",
    "es256",
    "es384",
    "es512",
    "ps256",
    "eddsa",
    "ed25519",
    "oauth2",
    "oauth2.0",
    "saml2",
    "saml2.0",
    "base64",
    "aes128",
    "aes256",
    "aes-256-gcm",
    "openid2",
];

/// Values that are settings whatever their name: words, numbers, times, addresses, paths, references.
fn is_ordinary(value: &str) -> bool {
    let lower = value.to_ascii_lowercase();
    let is_number = value.parse::<f64>().is_ok();
    let is_place =
        lower.contains("://") || value.starts_with(['/', '~']) || value.starts_with("./") || is_elsewhere(value);
    let is_text = value.is_empty() || value.chars().any(char::is_whitespace);
    is_text
        || is_number
        || is_place
        || is_reference(value)
        || is_placeholder(value.as_bytes())
        || SETTINGS.contains(&lower.as_str())
        || value.starts_with(['{', '['])
}

/// Whether a value may be somebody's password: no plain word, and no list of words.
fn is_password(value: &str) -> bool {
    let letters = value.chars().any(char::is_alphabetic);
    let digits = value.chars().any(|c| c.is_ascii_digit());
    let others = value.chars().any(|c| !c.is_alphanumeric() && !matches!(c, '-' | '_' | '.' | '/' | ':' | ','));
    let cases = value.chars().skip(1).any(char::is_uppercase) && value.chars().any(char::is_lowercase);
    let classes = [letters, digits, others, cases].into_iter().filter(|class| *class).count();
    // `hunter2` is made of a word and a number, and still nothing else than a password.
    let one_run = letters && digits && value.chars().all(char::is_alphanumeric);
    (6..=256).contains(&value.chars().count()) && classes >= 2 && (one_run || !random::is_words(value))
}

/// The words of a name, in small letters and without numbers at their ends: `dbPassword2` is `db`, `password`.
fn words(part: &str) -> Vec<String> {
    let (mut words, mut word) = (Vec::new(), String::new());
    let mut was_lower = false;
    for c in part.chars() {
        if !c.is_ascii_alphanumeric() || (c.is_ascii_uppercase() && was_lower) {
            words.push(std::mem::take(&mut word));
        }
        if c.is_ascii_alphanumeric() {
            word.push(c.to_ascii_lowercase());
        }
        was_lower = c.is_ascii_lowercase() || c.is_ascii_digit();
    }
    words.push(word);
    let bare = |word: &String| match word.as_str() {
        "b64" | "base64" => word.clone(),
        other => other.trim_end_matches(|c: char| c.is_ascii_digit()).to_owned(),
    };
    words.iter().map(bare).filter(|word| !word.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_words_of_a_name_tell() {
        for name in
            ["/app/db/password", "DB_PASSWORD", "dbPassword2", "spring.datasource.password", "db_password_prod", "pwd"]
        {
            assert_eq!(tells(name), Some(Telling::Password), "{name}");
        }
        for name in [
            "/a/client_secret",
            "clientSecret",
            "API_KEY",
            "apiKey",
            "SECRET_KEY_BASE",
            "/x/jwt-signing-key",
            "auth.token",
        ] {
            assert_eq!(tells(name), Some(Telling::Key), "{name}");
        }
        for name in [
            "password_min_length",
            "token_url",
            "secret_arn",
            "public_key",
            "/app/partition_key",
            "key",
            "max_tokens",
            "access_key_id",
            "passwordPolicy",
            "compass",
            "tokenizer",
            "monkey",
            "",
            "/",
            "bypass_mode",
        ] {
            assert_eq!(tells(name), None, "{name}");
        }
        assert_eq!(tells("/prod/secrets/github"), Some(Telling::Folder));
    }
}
