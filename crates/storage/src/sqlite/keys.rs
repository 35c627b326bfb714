//! Bytes of keys: how a commit's keys are packed into one column, and where the keys under a prefix end.

/// Each key with its length before it, in two bytes.
pub(super) fn pack<'a>(keys: impl Iterator<Item = &'a [u8]>) -> Vec<u8> {
    let mut packed = Vec::new();
    for key in keys {
        // Keys have at most 512 bytes: the limits were checked before.
        packed.extend_from_slice(&u16::try_from(key.len()).unwrap_or(u16::MAX).to_be_bytes());
        packed.extend_from_slice(key);
    }
    packed
}

/// The keys that were packed; `None` when the bytes are not of that form.
pub(super) fn unpack(mut packed: &[u8]) -> Option<Vec<Vec<u8>>> {
    let mut keys = Vec::new();
    while !packed.is_empty() {
        let (length, rest) = packed.split_first_chunk()?;
        let (key, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
        keys.push(key.to_vec());
        packed = rest;
    }
    Some(keys)
}

/// The first key after all that begin with the prefix; `None` when there is none (no prefix, or nothing but 0xFF).
pub(super) fn end_of_prefix(prefix: &[u8]) -> Option<Vec<u8>> {
    let last = prefix.iter().rposition(|byte| *byte != 0xFF)?;
    let mut end = prefix.get(..=last)?.to_vec();
    if let Some(byte) = end.last_mut() {
        *byte += 1;
    }
    Some(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packed_keys_come_back_and_cut_ones_do_not() {
        let keys: Vec<&[u8]> = vec![b"", b"a", &[0xFF; 512]];
        let packed = pack(keys.iter().copied());
        assert_eq!(unpack(&packed).unwrap(), keys);
        assert_eq!(unpack(packed.get(..packed.len() - 1).unwrap()), None);
        assert_eq!(unpack(&[0]), None);
    }

    #[test]
    fn the_end_of_a_prefix_lies_after_every_key_under_it() {
        assert_eq!(end_of_prefix(b"a/"), Some(b"a0".to_vec()));
        assert_eq!(end_of_prefix(&[1, 0xFF, 0xFF]), Some(vec![2]));
        assert_eq!(end_of_prefix(&[0xFF, 0xFF]), None);
        assert_eq!(end_of_prefix(b""), None);
    }
}
