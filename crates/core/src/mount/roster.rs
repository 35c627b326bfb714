use serde::{Deserialize, Serialize};
use strongroom_barrier::{Address, Shelf};
use strongroom_model::{MountId, NamespaceId};

/// How many mounts there are, and the exclusive or of their ids: enough to tell at unsealing that a mount's record was
/// taken out of the store. Listing alone cannot tell: a record that is not there is not asked for.
///
/// Records cannot be added or altered unnoticed, so a missing one always changes the count.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Roster {
    count: u64,
    /// In hexadecimal: JSON numbers end at 64 bits for some readers.
    ids: String,
}

impl Roster {
    /// The roster of these mounts, in any order.
    pub(super) fn of<'a>(ids: impl Iterator<Item = &'a MountId>) -> Self {
        let each = |(count, mixed): (u64, u128), id: &MountId| (count + 1, mixed ^ u128::from_be_bytes(*id.as_bytes()));
        let (count, mixed) = ids.fold((0, 0), each);
        Self { count, ids: format!("{mixed:032x}") }
    }

    /// Where it is kept.
    pub(super) fn at() -> Address {
        Shelf::new("mount-roster", NamespaceId::ROOT).named("all")
    }
}
