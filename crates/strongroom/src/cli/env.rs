//! The environment, read once at the start of the process and passed as a value, so that tests can give another.
//! Every setting has two names: ours (`STRONGROOM_ADDR`) wins over Vault's (`VAULT_ADDR`); an empty value is no value.

use std::collections::BTreeMap;
use std::path::PathBuf;

/// The variables of the environment. Not `Debug`: one of them may be a token.
#[derive(Default)]
pub(crate) struct Env(BTreeMap<String, String>);

impl Env {
    /// The process's own; variables that are not UTF-8 are left out.
    pub(crate) fn of_process() -> Self {
        std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect()
    }

    /// One variable by its full name.
    pub(crate) fn var(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// A setting by the part both names share, as `ADDR`; with the name it was found under, for messages.
    pub(crate) fn named(&self, name: &str) -> Option<(String, &str)> {
        ["STRONGROOM_", "VAULT_"].into_iter().find_map(|prefix| {
            let full = format!("{prefix}{name}");
            let value = self.var(&full)?;
            Some((full, value))
        })
    }

    /// A setting by the part both names share.
    pub(crate) fn setting(&self, name: &str) -> Option<&str> {
        self.named(name).map(|(_, value)| value)
    }

    /// The user's folder.
    pub(crate) fn home(&self) -> Option<PathBuf> {
        self.var("HOME").map(PathBuf::from)
    }
}

impl FromIterator<(String, String)> for Env {
    fn from_iter<I: IntoIterator<Item = (String, String)>>(pairs: I) -> Self {
        Self(pairs.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_name_wins_and_an_empty_value_is_none() {
        let pairs = [("VAULT_ADDR", "a"), ("STRONGROOM_ADDR", "b"), ("STRONGROOM_TOKEN", ""), ("VAULT_TOKEN", "t")];
        let env: Env = pairs.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        assert_eq!(env.setting("ADDR"), Some("b"));
        assert_eq!(env.named("TOKEN"), Some(("VAULT_TOKEN".to_owned(), "t")));
        assert_eq!(env.setting("NAMESPACE"), None);
    }
}
