//! Sealed objects that callers carry: what opens, where, and what does not.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)] // helpers of tests

mod support;

use std::sync::Arc;
use support::*;

fn opened(barrier: &Barrier, sealed: &[u8]) -> Option<Vec<u8>> {
    barrier.open_token(sealed).unwrap().map(|plain| plain.expose().to_vec())
}

#[tokio::test]
async fn opens_after_a_restart_and_on_no_other_server() {
    let (store, other) = (Arc::new(Testing::default()), Arc::new(Testing::default()));
    let barrier = init(&store).await.barrier;
    let sealed = barrier.seal_token(b"who it is").unwrap();
    assert_ne!(sealed, barrier.seal_token(b"who it is").unwrap());
    assert!(!sealed.windows(3).any(|part| part == b"who"));
    barrier.close().await;
    assert!(barrier.open_token(&sealed).is_err());
    assert_eq!(opened(&reopen(&store).await.unwrap(), &sealed).as_deref(), Some(&b"who it is"[..]));
    assert_eq!(opened(&init(&other).await.barrier, &sealed), None);
}

#[tokio::test]
async fn nothing_from_the_store_opens_as_a_carried_object() {
    let store = Arc::new(Testing::default());
    let barrier = init(&store).await.barrier;
    barrier.commit(put(&shelf("batch-token").named("a"), "value")).await.unwrap();
    let rows = rows(&store.inner).await;
    assert!(rows.len() > 3);
    for row in rows {
        assert_eq!(opened(&barrier, &row.value), None);
    }
    for rubbish in [&b""[..], b"SR", &[0; 94], &[255; 200]] {
        assert_eq!(opened(&barrier, rubbish), None);
    }
}
