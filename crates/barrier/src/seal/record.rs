use super::SealKind;
use crate::BarrierError;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use strongroom_storage::{Entry, Store, StoreError};
use uuid::Uuid;

const VERSION: u32 = 1;

/// What the store says in clear about how it is opened. Holds keys only wrapped; the freshness head vouches for it
/// once the keys are known.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SealRecord {
    version: u32,
    pub(crate) cluster_id: Uuid,
    pub(crate) slots: Vec<SlotRecord>,
    /// The keyring, under a key derived from the root key.
    pub(crate) keyring: Hexed<Vec<u8>>,
}

/// One way to the root key.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SlotRecord {
    pub(crate) kind: SealKind,
    pub(crate) id: Uuid,
    /// The root key under this slot's key.
    pub(crate) wrapped: Hexed<Vec<u8>>,
    /// The same in all slots: a value derived from the root key, which shows that they all lead to the same one.
    pub(crate) check: Hexed<[u8; 16]>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) shamir: Option<ShamirRecord>,
}

/// What is known in clear about the shares of a slot.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ShamirRecord {
    pub(crate) shares: u8,
    pub(crate) threshold: u8,
    pub(crate) set: Hexed<[u8; 4]>,
    /// A hash of each share, share 1 first: recognises a wrong one before the last is handed in.
    pub(crate) commitments: Vec<Hexed<[u8; 32]>>,
}

/// Bytes, as hexadecimal digits in the record.
#[derive(Clone)]
pub(crate) struct Hexed<T>(pub(crate) T);

impl<T: AsRef<[u8]>> Serialize for Hexed<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&hex::encode(&self.0))
    }
}

impl<'de, T: TryFrom<Vec<u8>>> Deserialize<'de> for Hexed<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let bytes = hex::decode(String::deserialize(deserializer)?).map_err(|_| D::Error::custom("not hexadecimal"))?;
        T::try_from(bytes).map(Self).map_err(|_| D::Error::custom("not of the right length"))
    }
}

impl SealRecord {
    pub(crate) fn new(cluster_id: Uuid, slots: Vec<SlotRecord>, keyring: Vec<u8>) -> Self {
        Self { version: VERSION, cluster_id, slots, keyring: Hexed(keyring) }
    }

    pub(crate) fn encode(&self) -> Result<Vec<u8>, BarrierError> {
        serde_json::to_vec(self).map_err(|_| BarrierError::Library("write the seal record"))
    }

    /// Reads the record; no key is known yet, so nothing in it can be trusted more than the store.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, BarrierError> {
        #[derive(Deserialize)]
        struct Versioned {
            version: u32,
        }
        let damaged = |_| BarrierError::tampered(super::KIND, "altered");
        let Versioned { version } = serde_json::from_slice(bytes).map_err(damaged)?;
        if version > VERSION {
            let text = format!(
                "the store's seal record has format {version}, which this version does not know; use the version that wrote it"
            );
            return Err(BarrierError::Seal(text));
        }
        let record: Self = serde_json::from_slice(bytes).map_err(damaged)?;
        let sound = record.slots.iter().all(SlotRecord::is_sound) && !record.slots.is_empty();
        if sound { Ok(record) } else { Err(BarrierError::tampered(super::KIND, "altered")) }
    }

    pub(crate) async fn read(store: &dyn Store) -> Result<Option<Entry>, StoreError> {
        store.get(crate::place::SEAL).await
    }

    pub(crate) fn slots_of(&self, kind: SealKind) -> impl Iterator<Item = &SlotRecord> {
        self.slots.iter().filter(move |slot| slot.kind == kind)
    }
}

impl SlotRecord {
    fn is_sound(&self) -> bool {
        match (&self.kind, &self.shamir) {
            (SealKind::Static, None) => true,
            (SealKind::Shamir, Some(shamir)) => {
                (1..=shamir.shares).contains(&shamir.threshold)
                    && shamir.commitments.len() == usize::from(shamir.shares)
            }
            _ => false,
        }
    }
}
