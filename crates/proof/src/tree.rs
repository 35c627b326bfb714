//! The Merkle tree of RFC 6962, section 2.1: leaves and nodes are hashed apart, so that neither can pass for the other.

use aws_lc_rs::digest::{Context, SHA256};

/// A SHA-256 value.
pub type Hash = [u8; 32];

fn hashed(parts: &[&[u8]]) -> Hash {
    let mut context = Context::new(&SHA256);
    for part in parts {
        context.update(part);
    }
    let mut hash = [0; 32];
    hash.copy_from_slice(context.finish().as_ref());
    hash
}

/// The leaf of a line, made of the hash by which the chain names the line.
pub fn leaf(line_hash: &Hash) -> Hash {
    hashed(&[&[0], line_hash])
}

/// The leaf of a segment: the number of its first line, how many lines it has, and the root over them.
pub fn segment_leaf(first: u64, lines: u64, root: &Hash) -> Hash {
    hashed(&[&[0], &first.to_be_bytes(), &lines.to_be_bytes(), root])
}

fn node(left: &Hash, right: &Hash) -> Hash {
    hashed(&[&[1], left, right])
}

/// A tree that grows at its right end and keeps only what its root needs.
#[derive(Clone, Debug, Default)]
pub struct Frontier {
    size: u64,
    /// Roots of full subtrees, the largest first: one for each bit set in `size`.
    roots: Vec<Hash>,
}

impl Frontier {
    /// Adds a leaf.
    pub fn push(&mut self, leaf: Hash) {
        let mut grown = leaf;
        for _ in 0..self.size.trailing_ones() {
            if let Some(left) = self.roots.pop() {
                grown = node(&left, &grown);
            }
        }
        self.roots.push(grown);
        self.size += 1;
    }

    /// How many leaves there are.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The root; that of no leaves is the hash of nothing.
    pub fn root(&self) -> Hash {
        let mut roots = self.roots.iter().rev();
        match roots.next() {
            None => hashed(&[]),
            Some(last) => roots.fold(*last, |right, left| node(left, &right)),
        }
    }
}

/// The root over these leaves.
pub fn root(leaves: &[Hash]) -> Hash {
    let mut frontier = Frontier::default();
    leaves.iter().for_each(|leaf| frontier.push(*leaf));
    frontier.root()
}

/// The hashes that lead from one leaf to the root, the lowest first (RFC 6962, section 2.1.1). Empty for a leaf that is
/// not there.
pub fn path(leaves: &[Hash], index: usize) -> Vec<Hash> {
    if index >= leaves.len() || leaves.len() < 2 {
        return Vec::new();
    }
    let split = leaves.len().next_power_of_two() / 2;
    let (left, right) = leaves.split_at(split);
    let (mut steps, other) = match index.checked_sub(split) {
        None => (path(left, index), right),
        Some(index) => (path(right, index), left),
    };
    steps.push(root(other));
    steps
}

/// The root to which a path leads (RFC 9162, section 2.1.3.2); `None` when the path does not fit index and size.
pub fn climb(leaf: Hash, index: u64, size: u64, path: &[Hash]) -> Option<Hash> {
    if index >= size {
        return None;
    }
    let (mut at, mut last, mut hash) = (index, size - 1, leaf);
    for step in path {
        if last == 0 {
            return None;
        }
        if at & 1 == 1 || at == last {
            hash = node(step, &hash);
            while at & 1 == 0 && at != 0 {
                at >>= 1;
                last >>= 1;
            }
        } else {
            hash = node(&hash, step);
        }
        at >>= 1;
        last >>= 1;
    }
    (last == 0).then_some(hash)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_leaf_of_every_small_tree_climbs_to_the_root_and_no_other_does() {
        for size in 1..70_u64 {
            let leaves: Vec<Hash> = (0..size).map(|n| leaf(&[n as u8; 32])).collect();
            let top = root(&leaves);
            for index in 0..size {
                let steps = path(&leaves, index as usize);
                assert_eq!(climb(leaves[index as usize], index, size, &steps), Some(top), "{index} of {size}");
                assert_ne!(climb(leaf(&[99; 32]), index, size, &steps), Some(top));
                if size > 1 {
                    assert_ne!(climb(leaves[index as usize], (index + 1) % size, size, &steps), Some(top));
                    assert_ne!(climb(leaves[index as usize], index, size, &steps[1..]), Some(top));
                }
            }
        }
    }

    #[test]
    fn the_root_of_nothing_and_of_one_leaf_are_those_of_the_rfc() {
        let nothing = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(hex::encode(root(&[])), nothing);
        let one = leaf(&[7; 32]);
        assert_eq!(root(&[one]), one);
    }
}
