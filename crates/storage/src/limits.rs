/// What one engine takes. The caller splits or refuses; the engine refuses what exceeds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Longest key, in bytes.
    pub key_bytes: usize,
    /// Longest value, in bytes.
    pub value_bytes: usize,
    /// Most operations in one transaction.
    pub txn_ops: usize,
    /// Most bytes (keys and values) in one transaction.
    pub txn_bytes: usize,
}

impl Limits {
    /// What every engine takes, so that data moves between all of them (etcd's defaults, rounded down).
    pub const PORTABLE: Limits = Limits { key_bytes: 512, value_bytes: 512 * 1024, txn_ops: 100, txn_bytes: 1024 * 1024 };
}
