//! An encrypted store from initialisation to restart.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)] // helpers of tests

use std::sync::Arc;
use strongroom_barrier::*;
use strongroom_model::*;
use strongroom_storage::{Epoch, Memory, Store};

async fn door(store: &Arc<dyn Store>) -> Door {
    Door::of(store.clone(), Epoch(0), Arc::new(SystemEntropy)).await.unwrap()
}

async fn init(store: &Arc<dyn Store>, shares: u8, threshold: u8) -> InitOutcome {
    let Door::Uninitialised(fresh) = door(store).await else { panic!("the store is not empty") };
    let key = SecretBytes::new((0..32).collect());
    let slots = vec![SlotSpec::Shamir { shares, threshold }, SlotSpec::Static { key }];
    fresh.init(Init { slots }).await.unwrap()
}

async fn sealed(store: &Arc<dyn Store>) -> Sealed {
    let Door::Sealed(sealed) = door(store).await else { panic!("the store is empty") };
    sealed
}

fn shelf() -> Shelf {
    Shelf::new("token", NamespaceId::ROOT)
}

#[tokio::test]
async fn what_was_written_is_there_after_a_restart() {
    let store: Arc<dyn Store> = Arc::new(Memory::new());
    let InitOutcome { shares, barrier } = init(&store, 5, 3).await;
    let at = shelf().named("ann");
    let rev = barrier.commit(Txn::new().expect_absent(at.clone()).put(at.clone(), b"value".to_vec())).await.unwrap();
    let record = barrier.get(&at).await.unwrap().unwrap();
    assert_eq!((record.bytes.expose(), record.name.as_slice(), record.rev), (&b"value"[..], &b"ann"[..], rev));
    barrier.close().await;

    let sealed = sealed(&store).await;
    let mut opened = None;
    for share in &shares[1..4] {
        if let Opening::Open(barrier) = sealed.submit(Share::parse(&share.to_base64()).unwrap()).await.unwrap() {
            opened = Some(barrier);
        }
    }
    let record = opened.unwrap().get(&at).await.unwrap().unwrap();
    assert_eq!(record.bytes.expose(), b"value");
    let barrier = sealed.open_static(&SecretBytes::new((0..32).collect())).await.unwrap();
    assert_eq!(barrier.get(&at).await.unwrap().unwrap().bytes.expose(), b"value");
    assert_eq!(barrier.scan(&shelf(), None, 10).await.unwrap().len(), 1);
}
