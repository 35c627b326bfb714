//! What a row of the journal holds: the commits that shared a sync, each with all that it changed. A commit writes its
//! changes here, one behind the other, and not to the places in `kv` where they belong: keys are random, so a commit of
//! many would dirty a page for each of them. They are moved there later, many at once and in the order of their keys, as
//! a log-structured merge tree does (O'Neil et al., 1996).

use crate::{IdemToken, Op, Revision, Txn};
use bytes::{Buf, Bytes};

/// One commit as the journal has it. Keys and values are parts of the row, which is in memory as long as one of them is.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Commit {
    pub(super) rev: Revision,
    pub(super) idem: IdemToken,
    pub(super) changes: Vec<Change>,
}

/// A key with its new value; `None` when it was deleted.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Change {
    pub(super) key: Bytes,
    pub(super) value: Option<Bytes>,
}

const DELETE: u8 = 0;
const PUT: u8 = 1;

/// Appends a commit: revision, token, number of changes; for each key and value its length before it. All numbers
/// big-endian.
pub(super) fn append(row: &mut Vec<u8>, rev: Revision, txn: &Txn) {
    row.reserve(COMMIT + txn.ops.iter().map(room).sum::<usize>());
    row.extend_from_slice(&rev.0.to_be_bytes());
    row.extend_from_slice(&txn.idem.0);
    row.extend_from_slice(&length(txn.ops.len()));
    for op in &txn.ops {
        match op {
            Op::Put { key, value } => {
                row.push(PUT);
                part(row, key);
                part(row, value);
            }
            Op::Delete { key } => {
                row.push(DELETE);
                part(row, key);
            }
        }
    }
}

/// What a commit takes besides its changes.
const COMMIT: usize = 8 + 16 + 4;

/// What a change takes.
fn room(op: &Op) -> usize {
    match op {
        Op::Put { key, value } => 9 + key.len() + value.len(),
        Op::Delete { key } => 5 + key.len(),
    }
}

/// The commits that were appended, in their order; `None` when the bytes are not of that form.
pub(super) fn commits(row: &Bytes) -> Option<Vec<Commit>> {
    let (mut row, mut commits) = (row.clone(), Vec::new());
    while !row.is_empty() {
        commits.push(commit(&mut row)?);
    }
    Some(commits)
}

fn commit(row: &mut Bytes) -> Option<Commit> {
    let rev = Revision(u64::from_be_bytes(array(row)?));
    let idem = IdemToken(array(row)?);
    let count = u32::from_be_bytes(array(row)?);
    let changes = (0..count).map(|_| change(row)).collect::<Option<_>>()?;
    Some(Commit { rev, idem, changes })
}

fn change(row: &mut Bytes) -> Option<Change> {
    match array(row)? {
        [PUT] => Some(Change { key: take(row)?, value: Some(take(row)?) }),
        [DELETE] => Some(Change { key: take(row)?, value: None }),
        _ => None,
    }
}

/// Keys, values and numbers of changes are far below this: the limits were checked before.
fn length(length: usize) -> [u8; 4] {
    u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes()
}

fn part(row: &mut Vec<u8>, bytes: &[u8]) {
    row.extend_from_slice(&length(bytes.len()));
    row.extend_from_slice(bytes);
}

fn array<const N: usize>(row: &mut Bytes) -> Option<[u8; N]> {
    let taken = *row.first_chunk()?;
    row.advance(N);
    Some(taken)
}

fn take(row: &mut Bytes) -> Option<Bytes> {
    let length = usize::try_from(u32::from_be_bytes(array(row)?)).ok()?;
    (length <= row.len()).then(|| row.split_to(length))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commits_come_back_and_what_is_cut_or_altered_does_not() {
        let put = |key: &[u8], value: &[u8]| Op::Put { key: key.to_vec(), value: value.to_vec() };
        let first = vec![put(b"", b""), Op::Delete { key: vec![0xFF; 512] }, put(b"a", &[7; 70_000])];
        let txn = |ops: &[Op], token| Txn { compares: Vec::new(), ops: ops.to_vec(), idem: IdemToken([token; 16]) };
        let mut row = Vec::new();
        append(&mut row, Revision(7), &txn(&first, 1));
        append(&mut row, Revision(u64::MAX), &txn(&[], 2));
        assert_eq!(row.len(), 2 * COMMIT + first.iter().map(room).sum::<usize>());
        let changes = |ops: &[Op]| {
            let change = |op: &Op| match op.clone() {
                Op::Put { key, value } => Change { key: key.into(), value: Some(value.into()) },
                Op::Delete { key } => Change { key: key.into(), value: None },
            };
            ops.iter().map(change).collect()
        };
        let commit =
            |rev, token, ops| Commit { rev: Revision(rev), idem: IdemToken([token; 16]), changes: changes(ops) };
        let read = |row: &[u8]| commits(&Bytes::copy_from_slice(row));
        assert_eq!(read(&row).unwrap(), [commit(7, 1, &first), commit(u64::MAX, 2, &[])]);
        assert_eq!(read(&[]).unwrap(), []);
        for cut in [1, 20, 40, 600, row.len() - 1] {
            assert_eq!(read(&row[..cut]), None, "{cut}");
        }
        // The kind of the first change, behind revision, token and number.
        row[28] = 9;
        assert_eq!(read(&row), None);
    }
}
