use crate::{Op, StoreError, Txn};
use std::collections::HashSet;

/// What one engine takes. The caller splits or refuses; the engine refuses what exceeds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Longest key, in bytes.
    pub key_bytes: usize,
    /// Longest value, in bytes.
    pub value_bytes: usize,
    /// Most operations in one transaction; as many compares may stand beside them.
    pub txn_ops: usize,
    /// Most bytes (keys and values) in one transaction.
    pub txn_bytes: usize,
}

impl Limits {
    /// What every engine takes, so that data moves between all of them (etcd's defaults, rounded down). Records above that
    /// are what people chose to write; none of the server's own are.
    pub const PORTABLE: Limits =
        Limits { key_bytes: 512, value_bytes: 512 * 1024, txn_ops: 100, txn_bytes: 1024 * 1024 };

    /// What the engines on this machine take: large enough for a whole policy set or token tree in one commit, and for the
    /// longest secrets that Vault's clients write (Vault: `max_entry_size`).
    pub const LOCAL: Limits =
        Limits { key_bytes: 512, value_bytes: 1024 * 1024, txn_ops: 4096, txn_bytes: 8 * 1024 * 1024 };

    /// Refuses a transaction that exceeds a limit or changes a key twice. Every engine asks this before all else, so
    /// that a refused transaction costs nothing and gets the same answer everywhere.
    pub fn check(&self, txn: &Txn) -> Result<(), StoreError> {
        within("the number of operations in a transaction", txn.ops.len(), self.txn_ops)?;
        within("the number of compares in a transaction", txn.compares.len(), self.txn_ops)?;
        let mut bytes = 0;
        let mut changed = HashSet::with_capacity(txn.ops.len());
        for op in &txn.ops {
            let (key, value) = match op {
                Op::Put { key, value } => (key, value.len()),
                Op::Delete { key } => (key, 0),
            };
            within("a key", key.len(), self.key_bytes)?;
            within("a value", value, self.value_bytes)?;
            bytes += key.len() + value;
            if !changed.insert(key) {
                return Err(StoreError::KeyTwice);
            }
        }
        for compare in &txn.compares {
            within("a key", compare.key.len(), self.key_bytes)?;
            bytes += compare.key.len();
        }
        within("a transaction", bytes, self.txn_bytes)
    }
}

fn within(what: &'static str, size: usize, limit: usize) -> Result<(), StoreError> {
    if size > limit { Err(StoreError::TooLarge { what, limit }) } else { Ok(()) }
}
