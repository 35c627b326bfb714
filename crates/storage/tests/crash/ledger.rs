//! What the writers write. Each writer goes through one fixed sequence of transactions, so that the number of steps done
//! says exactly what must be in the store: no key more, none less, no other byte.

use std::collections::BTreeMap;
use strongroom_storage::{IdemToken, Op, Sqlite, Store, Txn};

pub(crate) const WRITERS: u64 = 6;

/// Keys that one transaction puts together, or deletes together.
const KEYS: u64 = 4;

/// An even step puts the keys of its pair, the odd one after it deletes those of this many pairs ago.
const KEPT: u64 = 8;

/// The transaction that a writer makes as its `step`th; also counts the steps, in the store.
pub(crate) fn step(writer: u64, step: u64) -> Txn {
    let pair = step / 2;
    let mut ops = vec![Op::Put { key: counter(writer), value: (step + 1).to_be_bytes().to_vec() }];
    if step.is_multiple_of(2) {
        ops.extend(keys(writer, pair).map(|key| Op::Put { value: value(&key), key: key.into_bytes() }));
    } else if let Some(old) = pair.checked_sub(KEPT) {
        ops.extend(keys(writer, old).map(|key| Op::Delete { key: key.into_bytes() }));
    }
    let mut idem = [0; 16];
    idem[..8].copy_from_slice(&writer.to_be_bytes());
    idem[8..].copy_from_slice(&step.to_be_bytes());
    Txn { compares: Vec::new(), ops, idem: IdemToken(idem) }
}

/// What the writer has in the store after that many steps.
fn contents(writer: u64, steps: u64) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let put = steps.div_ceil(2);
    let deleted = (steps / 2).saturating_sub(KEPT);
    let keys = (deleted..put).flat_map(|pair| keys(writer, pair));
    keys.map(|key| (key.clone().into_bytes(), value(&key))).collect()
}

/// How many steps of the writer the store holds.
pub(crate) async fn steps_done(store: &Sqlite, writer: u64) -> u64 {
    let stored = store.get(&counter(writer)).await.unwrap();
    stored.map_or(0, |entry| u64::from_be_bytes(entry.value.try_into().unwrap()))
}

/// Checks that the store holds exactly the state after some number of steps, which is given: nothing torn, nothing that
/// was deleted, nothing that the count of steps does not know.
pub(crate) async fn verify(store: &Sqlite, writer: u64) -> u64 {
    let steps = steps_done(store, writer).await;
    let found = store.list(format!("writer/{writer}/").as_bytes(), None, usize::MAX).await.unwrap();
    for group in found.chunks(KEYS as usize) {
        assert!(group.iter().all(|entry| entry.rev == group[0].rev), "keys of one commit have different revisions");
    }
    let found: BTreeMap<_, _> = found.into_iter().map(|entry| (entry.key, entry.value)).collect();
    let expected = contents(writer, steps);
    let names = |map: &BTreeMap<Vec<u8>, Vec<u8>>| {
        map.keys().map(|key| String::from_utf8_lossy(key).into_owned()).collect::<Vec<_>>()
    };
    assert_eq!(names(&found), names(&expected), "torn or resurrected after {steps} steps of writer {writer}");
    assert!(found == expected, "a value of writer {writer} is not what was written");
    steps
}

fn counter(writer: u64) -> Vec<u8> {
    format!("steps/{writer}").into_bytes()
}

fn keys(writer: u64, pair: u64) -> impl Iterator<Item = String> {
    (0..KEYS).map(move |i| format!("writer/{writer}/{pair:012}/{i}"))
}

/// Mostly small; some fill pages of their own.
fn value(key: &str) -> Vec<u8> {
    let seed = bytes(key, 3);
    let size = if seed[0] < 16 { 20_000 } else { 1_000 };
    bytes(key, usize::from(u16::from_be_bytes([seed[1], seed[2]])) % size)
}

/// Bytes that nothing else would write, always the same for one key.
pub(crate) fn bytes(key: &str, size: usize) -> Vec<u8> {
    let seed = key
        .bytes()
        .fold(0xCBF2_9CE4_8422_2325, |hash: u64, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3));
    let mut random = Random(seed);
    let mut bytes: Vec<u8> =
        std::iter::repeat_with(|| random.next().to_le_bytes()).take(size / 8 + 1).flatten().collect();
    bytes.truncate(size);
    bytes
}

/// SplitMix64: repeats a run from its seed.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }
}
