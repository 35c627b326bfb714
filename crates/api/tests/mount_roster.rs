//! What becomes of the mounts when somebody takes records out of the store while the server is away.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::sync::Arc;
use strongroom_core::mount::MountClass;
use strongroom_core::{Share, State};
use strongroom_storage::{Entry, Epoch, IdemToken, Memory, Op, Store, Txn};
use strongroom_testkit::World;

/// A store with these entries.
async fn store_of(entries: impl Iterator<Item = &Entry>) -> Arc<Memory> {
    let store = Arc::new(Memory::new());
    for (number, entry) in entries.enumerate() {
        let ops = vec![Op::Put { key: entry.key.clone(), value: entry.value.clone() }];
        let txn = Txn { compares: Vec::new(), ops, idem: IdemToken((number as u128 + 1).to_be_bytes()) };
        store.commit(Epoch::default(), txn).await.unwrap();
    }
    store
}

/// The accessors of all mounts after unsealing, or why it was refused.
async fn unsealed(store: Arc<Memory>, shares: &[Share]) -> Result<Vec<String>, String> {
    let world = World::over(store).await;
    if !matches!(world.strongroom.state(), State::Sealed(_)) {
        return Err("no seal record".to_owned());
    }
    for share in shares.iter().take(2) {
        let share = Share::parse(&share.to_hex()).map_err(|error| error.to_string())?;
        world.strongroom.unseal(share).await.map_err(|error| error.to_string())?;
    }
    let rooms = world.rooms();
    let table = rooms.mounts.table();
    let all = table.of(MountClass::Secret).into_iter().chain(table.of(MountClass::Auth));
    Ok(all.map(|mount| mount.accessor.clone()).collect())
}

#[tokio::test]
async fn no_mount_vanishes_unnoticed_when_its_record_is_taken_out_of_the_store() {
    let (world, shares, _) = World::sealed().await;
    let entries = world.snapshot().await;
    let whole = unsealed(store_of(entries.iter()).await, &shares).await.unwrap();
    assert!(whole.len() >= 4, "{whole:?}");
    let mut refused = 0;
    // Without the seal's record, the one that is not sealed itself, no server starts at all.
    for missing in entries.iter().filter(|entry| entry.value.first() != Some(&b'{')) {
        let rest = store_of(entries.iter().filter(|entry| entry.key != missing.key)).await;
        match unsealed(rest, &shares).await {
            Ok(accessors) => assert_eq!(accessors, whole, "a mount was lost in silence"),
            Err(_) => refused += 1,
        }
    }
    // The four mounts, the roster, and what the barrier itself stands on.
    assert!(refused >= 5, "{refused}");
}
