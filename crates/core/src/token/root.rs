use super::text;
use super::{NewToken, Tokens};
use crate::{Auth, CoreError, Terms};
use strongroom_model::{PolicyName, SecretString};

impl Tokens {
    /// How long a root token can be that those who hold unseal keys generate; the first is the length of all others.
    pub(crate) const ROOT_LENGTHS: [usize; 2] = text::ROOT_LENGTHS;

    /// A fresh text for a root token of one of these lengths.
    pub(crate) fn fresh_root(&self, length: usize) -> SecretString {
        text::of_length(&*self.entropy, length)
    }

    /// Makes a root token, with a chosen text or a fresh one. For initialisation, `-dev` and root generation: no caller
    /// was granted it.
    pub(crate) async fn create_root(&self, id: Option<SecretString>) -> Result<Auth, CoreError> {
        let new = NewToken {
            id,
            policies: vec![PolicyName::root()],
            terms: Terms::default(),
            display_name: "root".to_owned(),
            path: "auth/token/root".to_owned(),
            ..NewToken::default()
        };
        Ok(self.create(new).await?.0)
    }
}
