use serde::{Deserialize, Serialize};
use std::fmt;
use strongroom_model::{NameError, PolicyName};

/// A pattern over names of policies, in which `*` stands for any characters or none. Case does not count.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PolicyGlob(String);

impl PolicyGlob {
    /// Reads a pattern: what may stand in the name of a policy, and `*`.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        PolicyName::parse(&text.replace('*', "x"))?;
        Ok(Self(text.to_ascii_lowercase()))
    }

    /// Whether a policy is meant.
    pub fn fits(&self, name: &PolicyName) -> bool {
        fits(&self.0, name.as_str())
    }
}

impl fmt::Display for PolicyGlob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<PolicyGlob> for String {
    fn from(glob: PolicyGlob) -> String {
        glob.0
    }
}

impl TryFrom<String> for PolicyGlob {
    type Error = NameError;

    fn try_from(text: String) -> Result<Self, NameError> {
        Self::parse(&text)
    }
}

/// Whether the whole text fits a pattern in which `*` stands for any characters or none. Takes each piece at its first
/// place, which is enough when nothing but `*` is special.
pub(super) fn fits(pattern: &str, text: &str) -> bool {
    let mut pieces = pattern.split('*');
    let Some(mut rest) = pieces.next().and_then(|first| text.strip_prefix(first)) else { return false };
    let Some(last) = pieces.next_back() else { return rest.is_empty() };
    for piece in pieces {
        match rest.split_once(piece) {
            Some((_, after)) => rest = after,
            None => return false,
        }
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_star_stands_for_anything_and_nothing_else_is_special() {
        for (pattern, text) in
            [("a", "a"), ("a*", "a"), ("a*", "abc"), ("*c", "abc"), ("*", ""), ("a*c", "ac"), ("a*b*c", "axbyc")]
        {
            assert!(fits(pattern, text), "{pattern} {text}");
        }
        for (pattern, text) in
            [("a", "ab"), ("a", ""), ("", "a"), ("a*a", "a"), ("a*c", "abcd"), ("*b*", "ac"), ("a?", "ab"), ("+", "a")]
        {
            assert!(!fits(pattern, text), "{pattern} {text}");
        }
        assert!(PolicyGlob::parse("Team-*").unwrap().fits(&PolicyName::parse("team-web").unwrap()));
        assert!(PolicyGlob::parse("a *").is_err());
    }

    /// The definition, which takes exponential time.
    fn slowly(pattern: &[u8], text: &[u8]) -> bool {
        match (pattern, text) {
            ([], text) => text.is_empty(),
            ([b'*', pattern @ ..], text) => (0..=text.len()).any(|taken| slowly(pattern, &text[taken..])),
            ([first, pattern @ ..], [character, text @ ..]) => first == character && slowly(pattern, text),
            _ => false,
        }
    }

    proptest! {
        #[test]
        fn fits_exactly_what_the_definition_says(pattern in "[ab*]{0,6}", text in "[ab]{0,8}") {
            prop_assert_eq!(fits(&pattern, &text), slowly(pattern.as_bytes(), text.as_bytes()));
        }
    }
}
