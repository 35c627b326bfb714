use crate::open::Open;
use crate::{CoreError, Grant};

/// Something in the store that is not as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// The kind of the record; `unknown` when nothing vouches for it.
    pub kind: String,
    /// What was done to it: `altered`, `removed`, `added`, `moved from another place` and the like.
    pub how: &'static str,
    /// Its key in the store in hexadecimal, to find the row by. Says nothing of its name.
    pub key: String,
}

impl Open {
    /// Reads the whole store past every cache, and names each record that is not as it was written, also those that are
    /// missing. Takes time in proportion to the data; requests are served meanwhile.
    pub async fn verify(&self, _: &Grant) -> Result<Vec<Damage>, CoreError> {
        let findings = self.barrier.verify_all().await?;
        let damage = findings.into_iter().map(|found| Damage { kind: found.kind, how: found.how, key: found.key });
        Ok(damage.collect())
    }
}
