use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use thiserror::Error;

/// The longest path that is taken, in bytes. Storage keys do not grow with it; logs and the trail do.
const LONGEST: usize = 2_048;
/// The most segments a path may have: listing walks them one by one.
const DEEPEST: usize = 64;
/// The folder that stands for the slash that a name of Secrets Manager begins with. No name there has a colon, so none
/// can mean two secrets; and no path has an empty segment, which proxies and clients drop as they please.
const ROOTED: &str = ":/";

/// Why a path is not one. The text never repeats the path: what was sent to the wrong place may be a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum PathError {
    /// Nothing where a name must stand.
    #[error("the path is empty")]
    Empty,
    /// Two slashes in a row, or one at the start.
    #[error("the path has an empty segment (`//`, or a leading `/`)")]
    EmptySegment,
    /// A `.` or `..` segment, which other programs would resolve.
    #[error("the path has a relative segment (`.` or `..`)")]
    Relative,
    /// A control character, or a character that shows as nothing.
    #[error("the path has a control or invisible character")]
    Control,
    /// Over the length limit.
    #[error("the path is longer than {LONGEST} bytes")]
    TooLong,
    /// Over the depth limit.
    #[error("the path has more than {DEEPEST} segments")]
    TooDeep,
    /// Not text.
    #[error("the path is not UTF-8")]
    NotText,
    /// A name that Strongroom keeps for itself.
    #[error("the path begins with a name that is reserved (`sys`, `auth`, `identity`, `cubbyhole`)")]
    Reserved,
}

/// Checks a path without a trailing slash: the one rule that all kinds of path share.
fn check(text: &str) -> Result<(), PathError> {
    if text.is_empty() {
        return Err(PathError::Empty);
    }
    if text.len() > LONGEST {
        return Err(PathError::TooLong);
    }
    let mut depth = 0;
    for segment in text.split('/') {
        depth += 1;
        match segment {
            "" => return Err(PathError::EmptySegment),
            "." | ".." => return Err(PathError::Relative),
            _ if segment.chars().any(unseen) => return Err(PathError::Control),
            _ => {}
        }
    }
    if depth > DEEPEST { Err(PathError::TooDeep) } else { Ok(()) }
}

/// Control characters, and those that render as nothing or turn the reading direction: two paths that look the same
/// in the trail must be the same.
fn unseen(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{00AD}' | '\u{200B}'..='\u{200F}' | '\u{2028}'..='\u{202E}' | '\u{2060}'..='\u{206F}' | '\u{FEFF}' | '\u{FFF9}'..='\u{FFFB}')
}

// Copies share the text: the path of one request goes through many hands.
macro_rules! path {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Arc<str>);

        impl $name {
            /// The canonical text: segments joined by single slashes, none at either end.
            pub fn as_str(&self) -> &str {
                &self.0
            }

            /// The segments from left to right.
            pub fn segments(&self) -> impl DoubleEndedIterator<Item = &str> {
                self.0.split('/')
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl From<$name> for String {
            fn from(path: $name) -> String {
                path.as_str().to_owned()
            }
        }

        impl TryFrom<String> for $name {
            type Error = PathError;

            fn try_from(text: String) -> Result<Self, PathError> {
                Self::parse(&text)
            }
        }
    };
}

path! {
    /// The path of a request below `/v1/`, percent-decoded once, without its trailing slash: what routing, policy and
    /// trail all see.
    RequestPath
}

impl RequestPath {
    /// Takes decoded text. One trailing slash is dropped: a folder is listed by the operation, not by the spelling.
    pub fn parse(text: &str) -> Result<Self, PathError> {
        let text = text.strip_suffix('/').unwrap_or(text);
        check(text)?;
        Ok(Self(text.into()))
    }

    /// What follows `mount` in this path: `Some("")` for the mount itself, `None` when the path lies elsewhere.
    pub fn below<'a>(&'a self, mount: &MountPath) -> Option<&'a str> {
        let rest = self.0.strip_prefix(mount.as_str())?;
        if rest.is_empty() { Some("") } else { rest.strip_prefix('/') }
    }
}

path! {
    /// Where a secrets engine or auth method is mounted: `secret`, `team/kv`, `auth/approle`. Printed by Vault's API
    /// with a trailing slash, kept here without.
    MountPath
}

impl MountPath {
    /// Takes the path with or without its trailing slash.
    pub fn parse(text: &str) -> Result<Self, PathError> {
        let text = text.strip_suffix('/').unwrap_or(text);
        check(text)?;
        Ok(Self(text.into()))
    }

    /// As [`MountPath::parse`], and refuses what an operator may not mount over.
    pub fn parse_unreserved(text: &str) -> Result<Self, PathError> {
        let path = Self::parse(text)?;
        let first = path.segments().next();
        if matches!(first, Some("sys" | "auth" | "identity" | "cubbyhole")) {
            return Err(PathError::Reserved);
        }
        Ok(path)
    }

    /// The auth mount with this name: `approle` becomes `auth/approle`.
    pub fn auth(name: &str) -> Result<Self, PathError> {
        let name = name.strip_suffix('/').unwrap_or(name);
        check(name)?;
        Ok(Self(format!("auth/{name}").into()))
    }

    /// The path as Vault prints it, with a slash at the end.
    pub fn with_slash(&self) -> String {
        format!("{}/", self.0)
    }

    /// Whether one of the two lies inside the other (or they are the same), so that both cannot be mounted.
    pub fn overlaps(&self, other: &MountPath) -> bool {
        let inside = |outer: &str, inner: &str| {
            inner.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        inside(&self.0, &other.0) || inside(&other.0, &self.0)
    }
}

path! {
    /// The name of a secret inside its mount: `prod/database/password`.
    SecretPath
}

impl SecretPath {
    /// Takes decoded text; one trailing slash is dropped.
    pub fn parse(text: &str) -> Result<Self, PathError> {
        let text = text.strip_suffix('/').unwrap_or(text);
        check(text)?;
        Ok(Self(text.into()))
    }

    /// Takes a name as AWS's Secrets Manager spells it, where `/prod/db` is another secret than `prod/db`: it lies in the
    /// folder `:`, as `:/prod/db`. That spelling itself is refused here, so that one secret has one name.
    pub fn parse_aws(name: &str) -> Result<Self, PathError> {
        if name.ends_with('/') || name.starts_with(ROOTED) {
            return Err(PathError::EmptySegment);
        }
        match name.strip_prefix('/') {
            Some(rest) => Self::parse(&format!("{ROOTED}{rest}")),
            None => Self::parse(name),
        }
    }

    /// The name as AWS's Secrets Manager spells it: the reverse of [`SecretPath::parse_aws`].
    pub fn aws_name(&self) -> Cow<'_, str> {
        match self.0.strip_prefix(ROOTED) {
            Some(rest) => Cow::Owned(format!("/{rest}")),
            None => Cow::Borrowed(&self.0),
        }
    }

    /// The folders above this secret, outermost first, each with the name it holds:
    /// for `a/b/c` these are (root, `a/`), (`a`, `b/`), (`a/b`, `c`).
    pub fn steps(&self) -> Vec<(FolderPath, String)> {
        let segments: Vec<&str> = self.segments().collect();
        let step = |(i, segment): (usize, &&str)| {
            let folder = FolderPath(segments.iter().take(i).copied().collect::<Vec<_>>().join("/"));
            let last = i + 1 == segments.len();
            (folder, if last { (*segment).to_owned() } else { format!("{segment}/") })
        };
        segments.iter().enumerate().map(step).collect()
    }
}

/// A folder of secrets inside a mount; the mount's root is the empty one. Exists only as long as something is in it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FolderPath(String);

impl FolderPath {
    /// The root of the mount.
    pub fn root() -> Self {
        Self(String::new())
    }

    /// Takes decoded text, empty for the root; one trailing slash is dropped.
    pub fn parse(text: &str) -> Result<Self, PathError> {
        let text = text.strip_suffix('/').unwrap_or(text);
        if !text.is_empty() {
            check(text)?;
        }
        Ok(Self(text.to_owned()))
    }

    /// The canonical text; empty for the root.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for FolderPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The name of a namespace as `X-Vault-Namespace` carries it; the root is the empty path.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NamespacePath(String);

impl NamespacePath {
    /// The namespace that always exists.
    pub fn root() -> Self {
        Self(String::new())
    }

    /// Reads the header. Empty, `/`, `root` and `root/` mean the root, as Vault's clients send them; no other spelling does.
    pub fn parse(text: &str) -> Result<Self, PathError> {
        if matches!(text, "" | "/" | "root" | "root/") {
            return Ok(Self::root());
        }
        let text = text.strip_suffix('/').unwrap_or(text);
        check(text)?;
        Ok(Self(text.to_owned()))
    }

    /// Whether this is the root.
    pub fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    /// The canonical text; empty for the root.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for NamespacePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> PathError {
        RequestPath::parse(text).unwrap_err()
    }

    #[test]
    fn one_spelling_for_one_path() {
        assert_eq!(RequestPath::parse("secret/data/a/").unwrap(), RequestPath::parse("secret/data/a").unwrap());
        assert_eq!(refused("/secret"), PathError::EmptySegment);
        assert_eq!(refused("secret//data"), PathError::EmptySegment);
        assert_eq!(refused("secret/data//"), PathError::EmptySegment);
        assert_eq!(refused("secret/./data"), PathError::Relative);
        assert_eq!(refused("secret/data/.."), PathError::Relative);
        assert_eq!(refused(""), PathError::Empty);
        assert_eq!(refused("/"), PathError::Empty);
        assert_eq!(refused("secret/a\0b"), PathError::Control);
        assert_eq!(refused("secret/a\u{202E}b"), PathError::Control);
        assert_eq!(refused(&"a".repeat(2_049)), PathError::TooLong);
        assert_eq!(refused(&"a/".repeat(65)), PathError::TooDeep);
    }

    #[test]
    fn dots_and_spaces_inside_a_name_are_a_name() {
        for name in
            ["secret/data/.env", "secret/data/a..b", "secret/data/with space", "secret/data/ünï", "secret/data/..."]
        {
            assert_eq!(RequestPath::parse(name).unwrap().as_str(), name);
        }
    }

    #[test]
    fn a_mount_holds_only_what_lies_below_it() {
        let mount = MountPath::parse("secret/").unwrap();
        let below = |text: &str| RequestPath::parse(text).unwrap().below(&mount).map(str::to_owned);
        assert_eq!(below("secret/data/a"), Some("data/a".to_owned()));
        assert_eq!(below("secret"), Some(String::new()));
        assert_eq!(below("secrets/data/a"), None);
    }

    #[test]
    fn mounts_overlap_by_whole_segments() {
        let mount = |text| MountPath::parse(text).unwrap();
        assert!(mount("a").overlaps(&mount("a/b")));
        assert!(mount("a/b").overlaps(&mount("a")));
        assert!(!mount("a").overlaps(&mount("ab")));
        assert_eq!(MountPath::parse_unreserved("sys/x"), Err(PathError::Reserved));
        assert!(MountPath::parse_unreserved("system").is_ok());
    }

    #[test]
    fn steps_lead_from_the_root_to_the_secret() {
        let steps = SecretPath::parse("a/b/c").unwrap().steps();
        let shown: Vec<_> = steps.iter().map(|(folder, name)| (folder.as_str(), name.as_str())).collect();
        assert_eq!(shown, [("", "a/"), ("a", "b/"), ("a/b", "c")]);
    }

    #[test]
    fn a_name_of_aws_with_a_leading_slash_is_a_secret_of_its_own() {
        for (name, path) in [("prod/db", "prod/db"), ("/prod/db", ":/prod/db"), ("/a", ":/a"), (":a", ":a"), (":", ":")]
        {
            let parsed = SecretPath::parse_aws(name).unwrap();
            assert_eq!((parsed.as_str(), parsed.aws_name().as_ref()), (path, name));
        }
        for none in ["", "/", "//a", "/a/", "a/", "/a//b", "/../a", ":/a", "/./a"] {
            assert!(SecretPath::parse_aws(none).is_err(), "{none}");
        }
    }

    #[test]
    fn only_four_spellings_mean_the_root_namespace() {
        for root in ["", "/", "root", "root/"] {
            assert!(NamespacePath::parse(root).unwrap().is_root());
        }
        for other in ["Root", "ROOT/", "root/team", "team"] {
            assert!(!NamespacePath::parse(other).unwrap().is_root(), "{other}");
        }
        assert!(NamespacePath::parse(" ").is_ok_and(|path| !path.is_root()));
        assert!(NamespacePath::parse("..").is_err());
    }
}
