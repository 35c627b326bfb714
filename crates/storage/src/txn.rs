/// The number of a commit: strictly increasing over the whole store, never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Revision(pub u64);

/// Names one attempt to commit, so that its outcome can be asked for after a time-out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct IdemToken(pub [u8; 16]);

/// What must hold for a transaction to be committed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Compare {
    /// The key looked at.
    pub key: Vec<u8>,
    /// What it must be.
    pub expect: Expectation,
}

/// What a key must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expectation {
    /// Not there.
    Absent,
    /// There, whatever its revision.
    Present,
    /// There, last changed by this commit.
    RevIs(Revision),
}

/// A change of one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Op {
    /// Writes the value, over whatever is there.
    Put {
        /// The key.
        key: Vec<u8>,
        /// The new value.
        value: Vec<u8>,
    },
    /// Removes the key; no error when it is not there.
    Delete {
        /// The key.
        key: Vec<u8>,
    },
}

impl Op {
    /// The key that it changes.
    pub fn key(&self) -> &[u8] {
        match self {
            Op::Put { key, .. } | Op::Delete { key } => key,
        }
    }
}

/// Changes that happen together or not at all. No key may be changed twice in one transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Txn {
    /// All of these must hold.
    pub compares: Vec<Compare>,
    /// Then all of these happen.
    pub ops: Vec<Op>,
    /// Names this attempt.
    pub idem: IdemToken,
}

/// How a commit ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Committed {
    /// Durable, as this revision.
    At(Revision),
    /// Nothing changed: these keys were not as expected.
    Conflict(Vec<Vec<u8>>),
    /// Nothing changed: a later leader exists.
    Fenced,
    /// Not known (time-out after sending). Ask `outcome` with the same token.
    Unknown,
}
