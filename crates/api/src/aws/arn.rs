//! Names of secrets as clients write them: plain, as an ARN with its six characters, or as an ARN without them.

use super::refusal::{NO_SECRET, Refusal};
use strongroom_model::SecretPath;

/// How names are spelled for one request.
#[derive(Clone, Copy)]
pub(crate) struct Names<'a> {
    /// The region it was signed for.
    pub(crate) region: &'a str,
    /// The account that ARNs name.
    pub(crate) account: &'a str,
}

/// A secret as a client named it.
pub(crate) struct SecretRef {
    /// Its name.
    pub(crate) path: SecretPath,
    /// The six characters, when a whole ARN was sent: they must be the secret's own.
    pub(crate) suffix: Option<String>,
}

/// The longest name (CreateSecret: 512).
const LONGEST_NAME: usize = 512;
/// The longest way to name one.
const LONGEST_ID: usize = 2_048;
/// Recorded on AWS; it names `!`, which the documentation does not, so that is taken too.
const BAD_NAME: &str =
    "Invalid name. Must be a valid name containing alphanumeric characters, or any of the following: -/_+=.@!";

impl Names<'_> {
    /// The ARN of a secret.
    pub(crate) fn arn(&self, path: &SecretPath, suffix: &str) -> String {
        format!("arn:aws:secretsmanager:{}:{}:secret:{}-{suffix}", self.region, self.account, path.aws_name())
    }

    /// Reads `SecretId`. A text that ends in a hyphen and six letters or digits is read as a whole ARN, as AWS reads it
    /// ("Troubleshoot AWS Secrets Manager": names should not end so).
    pub(crate) fn secret(&self, text: &str) -> Result<SecretRef, Refusal> {
        if text.is_empty() || text.len() > LONGEST_ID {
            return Err(Refusal::validation(
                "Value at 'secretId' failed to satisfy constraint: Member must have length between 1 and 2048",
            ));
        }
        let Some(rest) = text.strip_prefix("arn:") else { return Ok(SecretRef { path: known(text)?, suffix: None }) };
        let here = format!("aws:secretsmanager:{}:{}:secret:", self.region, self.account);
        let name = rest.strip_prefix(&here).ok_or_else(|| Refusal::not_found(NO_SECRET))?;
        match name.rsplit_once('-') {
            Some((name, suffix)) if suffix.len() == 6 && suffix.bytes().all(|byte| byte.is_ascii_alphanumeric()) => {
                Ok(SecretRef { path: known(name)?, suffix: Some(suffix.to_owned()) })
            }
            _ => Ok(SecretRef { path: known(name)?, suffix: None }),
        }
    }
}

/// The name of a secret to be made.
pub(crate) fn new_name(text: &str) -> Result<SecretPath, Refusal> {
    if text.is_empty() || text.len() > LONGEST_NAME {
        return Err(Refusal::validation(
            "Value at 'name' failed to satisfy constraint: Member must have length between 1 and 512",
        ));
    }
    let fits = |c: char| c.is_ascii_alphanumeric() || "-/_+=.@!".contains(c);
    if !text.chars().all(fits) {
        return Err(Refusal::validation(BAD_NAME));
    }
    // Here a slash divides folders, and policies speak of them: nothing may stand for nothing.
    SecretPath::parse_aws(text).map_err(|_| {
        Refusal::validation(
            "Invalid name. A name here has no slash at its end, no two in a row, and no part `.` or `..`: slashes divide \
             the folders that policies speak of. Leave the slash out",
        )
    })
}

/// A name that could be that of a secret; one that could not is that of none.
fn known(text: &str) -> Result<SecretPath, Refusal> {
    SecretPath::parse_aws(text).map_err(|_| Refusal::not_found(NO_SECRET))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMES: Names<'_> = Names { region: "us-east-1", account: "123456789012" };

    fn read(text: &str) -> Option<(String, Option<String>)> {
        NAMES.secret(text).ok().map(|read| (read.path.to_string(), read.suffix))
    }

    #[test]
    fn a_secret_has_a_name_an_arn_and_a_partial_arn() {
        let arn = |rest: &str| format!("arn:aws:secretsmanager:us-east-1:123456789012:secret:{rest}");
        let some = |name: &str, suffix: Option<&str>| Some((name.to_owned(), suffix.map(str::to_owned)));
        assert_eq!(read("a/b"), some("a/b", None));
        assert_eq!(read("a-abcdef"), some("a-abcdef", None));
        assert_eq!(read(&arn("a/b-Ab12Cd")), some("a/b", Some("Ab12Cd")));
        assert_eq!(read(&arn("a/b")), some("a/b", None));
        assert_eq!(read(&arn("my-secret")), some("my", Some("secret")));
        assert_eq!(read(&arn("my-secrets")), some("my-secrets", None));
        assert_eq!(read("/a/b"), some(":/a/b", None));
        assert_eq!(read(&arn("/a/b-Ab12Cd")), some(":/a/b", Some("Ab12Cd")));
        assert_eq!(read(&arn("/a/b")), some(":/a/b", None));
        let path = SecretPath::parse_aws("/a/b").unwrap();
        assert_eq!(NAMES.arn(&path, "Ab12Cd"), arn("/a/b-Ab12Cd"));
        for bad in [
            "",
            "a//b",
            "//a",
            ":/a",
            "/",
            "a/",
            "../a",
            "arn:aws:secretsmanager:eu-west-1:123456789012:secret:a",
            "arn:x",
        ] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_new_name_has_the_letters_of_aws_and_the_folders_of_ours() {
        for good in ["a", "/a", "/prod/db", "prod/db_1+x=.@!-y"] {
            assert!(new_name(good).is_ok(), "{good}");
        }
        for bad in ["", "a b", "a:b", ":/a", "ü", "/", "//a", "a/", "a//b", "a/../b", &"x".repeat(513)] {
            assert_eq!(new_name(bad).err().unwrap().words().code, "ValidationException", "{bad}");
        }
    }
}
