//! Names of parameters as clients write them: plain or as an ARN, with a version or a label behind a colon. `x` and `/x`
//! are the same parameter, which shows the spelling it was made with.

use super::note::Known;
use crate::aws::arn::Names;
use crate::aws::input::Input;
use crate::aws::refusal::Refusal;
use strongroom_model::{FolderPath, SecretPath, Stage, VersionNumber, VersionSelector};

/// What a parameter is that is not there, or that nobody may know of.
pub(super) const NOT_FOUND: &str = "The parameter couldn't be found. Verify the name and try again.";
/// Where names begin that refer to Secrets Manager.
pub(super) const REFERENCE: &str = "/aws/reference/secretsmanager/";

/// A parameter as a client named it.
pub(super) struct Named {
    /// Where it is kept.
    pub(super) path: SecretPath,
    /// The name without the selector, with its slash as it was sent.
    pub(super) text: String,
    /// The version that is meant.
    pub(super) version: Wanted,
}

/// The version that is meant.
pub(super) enum Wanted {
    /// The one in force.
    Latest,
    /// By number.
    Number(VersionNumber),
    /// By label.
    Label(String),
    /// A number that no version can have.
    Never(String),
}

const LONGEST: usize = 2_048;
/// The longest name with the ARN's beginning.
const LONGEST_ARN: usize = 1_011;
const MOST_LEVELS: usize = 15;
const WORDS: &str = "Parameter name: can't be prefixed with \"aws\" or \"ssm\" (case-insensitive). If formed as a path, it can \
                     consist of sub-paths divided by slash symbol; each sub-path can be formed as a mix of letters, numbers \
                     and the following 3 symbols .-_";
const PATH_WORDS: &str = "The parameter doesn't meet the parameter name requirements. The parameter name must begin with a \
                          forward slash \"/\". It can't be prefixed with \"aws\" or \"ssm\" (case-insensitive). It must use only \
                          letters, numbers, or the following symbols: . (period), - (hyphen), _ (underscore). Special \
                          characters are not allowed. All sub-paths, if specified, must use the forward slash symbol \"/\". \
                          Valid example: /get/parameters2-/by1./path0_.";

impl Wanted {
    /// As the model knows versions.
    pub(super) fn selector(&self) -> VersionSelector {
        match self {
            Wanted::Latest | Wanted::Never(_) => VersionSelector::Current,
            Wanted::Number(number) => VersionSelector::Number(*number),
            Wanted::Label(label) => VersionSelector::Stage(Stage::Named(label.clone())),
        }
    }

    /// As it was written, with its colon.
    pub(super) fn text(&self) -> Option<String> {
        match self {
            Wanted::Latest => None,
            Wanted::Number(number) => Some(format!(":{number}")),
            Wanted::Label(text) | Wanted::Never(text) => Some(format!(":{text}")),
        }
    }
}

/// Reads a name that may have a selector.
pub(super) fn selected(text: &str, names: &Names<'_>) -> Result<Named, Refusal> {
    let bare = bare(text, names)?;
    let (name, selector) = match bare.split_once(':') {
        None => (bare.as_str(), None),
        Some((name, selector)) => (name, Some(selector)),
    };
    let version = match selector {
        None => Wanted::Latest,
        Some("") => return Err(bad_selector()),
        Some(number) if number.bytes().all(|byte| byte.is_ascii_digit()) => {
            let number = number.parse::<u64>().ok().and_then(VersionNumber::new);
            number.map_or_else(|| Wanted::Never(selector.unwrap_or_default().to_owned()), Wanted::Number)
        }
        Some(label) if label.contains(':') => return Err(bad_selector()),
        Some(label) => Wanted::Label(label.to_owned()),
    };
    Ok(Named { path: known(name)?, text: name.to_owned(), version })
}

/// Reads a name that must have no selector.
pub(super) fn plain(input: &Input<'_>, field: &str) -> Result<Named, Refusal> {
    let text = bare(input.need(field)?, &input.names)?;
    if text.contains(':') {
        return Err(Refusal::validation(format!("Parameter name: {text} can't have a version or label here.")));
    }
    Ok(Named { path: known(&text)?, text, version: Wanted::Latest })
}

/// The name of a parameter to be written: also one that is not there yet.
pub(super) fn new(input: &Input<'_>) -> Result<Named, Refusal> {
    let text = bare(input.need("Name")?, &input.names)?;
    let inner = text.strip_prefix('/').unwrap_or(&text);
    let lower = inner.to_ascii_lowercase();
    if text.starts_with('/') && (lower == "aws" || lower.starts_with("aws/")) {
        return Err(Refusal::denied(format!("No access to reserved parameter name: {text}.")));
    }
    let fits = |c: char| c.is_ascii_alphanumeric() || "/_.-".contains(c);
    if !inner.chars().all(fits) || lower.starts_with("aws") || lower.starts_with("ssm") {
        return Err(Refusal::validation(WORDS));
    }
    if inner.contains('/') && !text.starts_with('/') {
        return Err(Refusal::validation("Parameter name must be a fully qualified name."));
    }
    if inner.split('/').count() > MOST_LEVELS {
        let text = format!("Parameter name: a hierarchy can have a maximum of {MOST_LEVELS} levels.");
        return Err(Refusal::said("HierarchyLevelLimitExceededException", text));
    }
    if input.names.parameter_arn_start().len() + inner.len() + 1 > LONGEST_ARN {
        return Err(Refusal::validation("Parameter name: must not be longer than 1011 characters, with its ARN."));
    }
    match SecretPath::parse(inner).ok().filter(|path| path.as_str() == inner) {
        Some(path) => Ok(Named { path, text, version: Wanted::Latest }),
        None => Err(Refusal::validation(WORDS)),
    }
}

/// The folder that a path means: `/` is the root.
pub(super) fn folder(text: &str) -> Result<FolderPath, Refusal> {
    let bad = || Refusal::validation(PATH_WORDS);
    let fits = |c: char| c.is_ascii_alphanumeric() || "/_.-".contains(c);
    let inner = text.strip_prefix('/').filter(|inner| inner.chars().all(fits)).ok_or_else(bad)?;
    FolderPath::parse(inner).map_err(|_| bad())
}

impl Names<'_> {
    fn parameter_arn_start(&self) -> String {
        format!("arn:aws:ssm:{}:{}:parameter", self.region, self.account)
    }

    /// The ARN of a parameter.
    pub(super) fn parameter_arn(&self, path: &SecretPath) -> String {
        format!("{}/{path}", self.parameter_arn_start())
    }
}

/// The name that a parameter shows: with a slash, unless it was made without one.
pub(super) fn shown(path: &SecretPath, known: &Known<'_>) -> String {
    let bare = known.noted().is_some_and(|noted| noted.bare) && !path.as_str().contains('/');
    if bare { path.to_string() } else { format!("/{path}") }
}

/// The text without an ARN's beginning.
fn bare(text: &str, names: &Names<'_>) -> Result<String, Refusal> {
    if text.is_empty() || text.len() > LONGEST {
        let text = "Value at 'name' failed to satisfy constraint: Member must have length between 1 and 2048";
        return Err(Refusal::validation(text));
    }
    if !text.starts_with("arn:") {
        return Ok(text.to_owned());
    }
    let inner = text.strip_prefix(&names.parameter_arn_start()).filter(|rest| rest.starts_with('/'));
    inner.map(str::to_owned).ok_or_else(not_found)
}

/// A name that could be that of a parameter; one that could not is that of none.
fn known(text: &str) -> Result<SecretPath, Refusal> {
    let inner = text.strip_prefix('/').unwrap_or(text);
    let path = SecretPath::parse(inner).ok().filter(|path| path.as_str() == inner);
    path.ok_or_else(not_found)
}

pub(super) fn not_found() -> Refusal {
    Refusal::not_found(NOT_FOUND).coded("ParameterNotFound")
}

fn bad_selector() -> Refusal {
    Refusal::validation(
        "Invalid parameter name. Please use correct syntax for referencing a version/label  <name>:<version/label>",
    )
}

/// A version that is not there.
pub(super) fn no_version(named: &Named) -> Refusal {
    let text = match &named.version {
        Wanted::Label(label) => {
            format!(
                "Systems Manager could not find label {label} for parameter {}. Verify the label and try again.",
                named.text
            )
        }
        other => format!(
            "Systems Manager could not find version {} of {}. Verify the version and try again.",
            other.text().unwrap_or_default().trim_start_matches(':'),
            named.text
        ),
    };
    Refusal::not_found(text).coded("ParameterVersionNotFound")
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMES: Names<'_> = Names { region: "us-east-1", account: "123456789012" };

    #[test]
    fn a_name_is_plain_or_an_arn_with_or_without_a_selector() {
        let read = |text: &str| selected(text, &NAMES).ok().map(|named| (named.path.to_string(), named.version.text()));
        let some = |path: &str, version: Option<&str>| Some((path.to_owned(), version.map(str::to_owned)));
        assert_eq!(read("x"), some("x", None));
        assert_eq!(read("/a/b:3"), some("a/b", Some(":3")));
        assert_eq!(read("/a/b:blue"), some("a/b", Some(":blue")));
        assert_eq!(read("arn:aws:ssm:us-east-1:123456789012:parameter/a/b:3"), some("a/b", Some(":3")));
        assert_eq!(read("/a:0"), some("a", Some(":0")));
        for bad in [
            "",
            "/",
            "//a",
            "/a//b",
            "/a/../b",
            "/a:",
            "/a:b:c",
            "arn:aws:ssm:eu-west-1:123456789012:parameter/a",
            "arn:x",
        ] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }
}
