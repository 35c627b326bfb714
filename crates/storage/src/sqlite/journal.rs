//! What a row of the journal holds: the commits that shared a sync, each with all that it changed. A commit writes its
//! changes here, one behind the other, and not to the places in `kv` where they belong: keys are random, so a commit of
//! many would dirty a page for each of them. They are moved there later, many at once and in the order of their keys, as
//! a log-structured merge tree does (O'Neil et al., 1996).

use crate::{IdemToken, Op, Revision, Txn};

/// One commit as the journal has it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Commit {
    pub(super) rev: Revision,
    pub(super) idem: IdemToken,
    pub(super) ops: Vec<Op>,
}

const DELETE: u8 = 0;
const PUT: u8 = 1;

/// Appends a commit: revision, token, number of changes; for each key and value its length before it. All numbers
/// big-endian.
pub(super) fn append(row: &mut Vec<u8>, rev: Revision, txn: &Txn) {
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

/// The commits that were appended, in their order; `None` when the bytes are not of that form.
pub(super) fn commits(mut row: &[u8]) -> Option<Vec<Commit>> {
    let mut commits = Vec::new();
    while !row.is_empty() {
        commits.push(commit(&mut row)?);
    }
    Some(commits)
}

fn commit(row: &mut &[u8]) -> Option<Commit> {
    let rev = Revision(u64::from_be_bytes(array(row)?));
    let idem = IdemToken(array(row)?);
    let count = u32::from_be_bytes(array(row)?);
    let ops = (0..count).map(|_| op(row)).collect::<Option<_>>()?;
    Some(Commit { rev, idem, ops })
}

fn op(row: &mut &[u8]) -> Option<Op> {
    match array(row)? {
        [PUT] => Some(Op::Put { key: take(row)?, value: take(row)? }),
        [DELETE] => Some(Op::Delete { key: take(row)? }),
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

fn array<const N: usize>(row: &mut &[u8]) -> Option<[u8; N]> {
    let (taken, rest) = row.split_first_chunk()?;
    *row = rest;
    Some(*taken)
}

fn take(row: &mut &[u8]) -> Option<Vec<u8>> {
    let length = usize::try_from(u32::from_be_bytes(array(row)?)).ok()?;
    let (taken, rest) = row.split_at_checked(length)?;
    *row = rest;
    Some(taken.to_vec())
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
        let commit =
            |rev, token, ops: &[Op]| Commit { rev: Revision(rev), idem: IdemToken([token; 16]), ops: ops.to_vec() };
        assert_eq!(commits(&row).unwrap(), [commit(7, 1, &first), commit(u64::MAX, 2, &[])]);
        assert_eq!(commits(&[]).unwrap(), []);
        for cut in [1, 20, 40, 600, row.len() - 1] {
            assert_eq!(commits(&row[..cut]), None, "{cut}");
        }
        // The kind of the first change, behind revision, token and number.
        row[28] = 9;
        assert_eq!(commits(&row), None);
    }
}
