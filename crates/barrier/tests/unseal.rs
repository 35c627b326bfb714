//! Initialising and unsealing, with right and wrong keys.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)] // helpers of tests

mod support;

use std::sync::Arc;
use strongroom_storage::Epoch;
use support::*;

fn again(share: &Share) -> Share {
    Share::parse(&share.to_hex()).unwrap()
}

/// The share as Vault would print it: y, then x.
fn bare(share: &Share) -> String {
    let bytes = hex::decode(share.to_hex()).unwrap();
    hex::encode([&bytes[9..41], &bytes[7..8]].concat())
}

async fn progress(sealed: &Sealed, share: Share) -> u8 {
    match sealed.submit(share).await.unwrap() {
        Opening::Progress(status) => status.progress,
        Opening::Open(_) => panic!("opened too early"),
    }
}

async fn opens(sealed: &Sealed, share: Share) -> Arc<Barrier> {
    match sealed.submit(share).await.unwrap() {
        Opening::Progress(status) => panic!("still at {}", status.progress),
        Opening::Open(barrier) => barrier,
    }
}

fn refused(result: Result<Opening, BarrierError>) -> String {
    result.err().unwrap().to_string()
}

#[tokio::test]
async fn any_three_of_five_open_in_either_form() {
    let store = Arc::new(Testing::default());
    let InitOutcome { shares, barrier } = init(&store).await;
    let at = shelf("k").named("a");
    barrier.commit(put(&at, "value")).await.unwrap();
    barrier.close().await;
    for chosen in [[0, 1, 2], [4, 2, 0], [1, 3, 4]] {
        let sealed = sealed(&store).await;
        assert_eq!(progress(&sealed, again(&shares[chosen[0]])).await, 1);
        assert_eq!(progress(&sealed, Share::parse(&bare(&shares[chosen[1]])).unwrap()).await, 2);
        let barrier = opens(&sealed, again(&shares[chosen[2]])).await;
        assert_eq!(text(&barrier, &at).await.unwrap().as_deref(), Some("value"));
        assert_eq!(sealed.status().progress, 0);
        barrier.close().await;
    }
}

#[tokio::test]
async fn wrong_shares_are_named_and_do_not_disturb() {
    let store = Arc::new(Testing::default());
    let InitOutcome { shares, barrier } = init(&store).await;
    barrier.close().await;
    let foreign = init(&Arc::new(Testing::default())).await.shares;
    let sealed = sealed(&store).await;
    assert_eq!(progress(&sealed, again(&shares[0])).await, 1);
    let nonce = sealed.status().nonce;
    assert!(!nonce.is_empty());
    assert_eq!(progress(&sealed, again(&shares[0])).await, 1, "the same share again");
    assert_eq!(progress(&sealed, Share::parse(&bare(&shares[0])).unwrap()).await, 1, "and in the other form");
    let text = refused(sealed.submit(again(&foreign[1])).await);
    assert!(text.contains("belongs to another strongroom") && text.contains("this one is "), "{text}");
    let text = refused(sealed.submit(Share::parse(&bare(&foreign[1])).unwrap()).await);
    assert!(text.contains("none of this strongroom's"), "{text}");
    let mut mistyped = hex::decode(bare(&shares[1])).unwrap();
    mistyped[5] ^= 4;
    assert!(refused(sealed.submit(Share::parse(&hex::encode(mistyped)).unwrap()).await).contains("mistyped"));
    assert_eq!((sealed.status().progress, sealed.status().nonce), (1, nonce.clone()));
    sealed.reset();
    assert_eq!((sealed.status().progress, sealed.status().nonce.as_str()), (0, ""));
    progress(&sealed, again(&shares[1])).await;
    assert_ne!(sealed.status().nonce, nonce);
    progress(&sealed, again(&shares[2])).await;
    opens(&sealed, again(&shares[3])).await;
}

#[tokio::test]
async fn shares_that_do_not_lead_to_the_key_are_forgotten_and_the_right_ones_still_open() {
    let store = Arc::new(Testing::default());
    let InitOutcome { shares, barrier } = init(&store).await;
    barrier.close().await;
    // The wrapped root key altered in the store: every share is right, and the result is not.
    let seal = rows(&store.inner).await.into_iter().find(|row| row.key == b"\x00seal").unwrap();
    let mut record: serde_json::Value = serde_json::from_slice(&seal.value).unwrap();
    let wrapped = record["slots"][0]["wrapped"].as_str().unwrap().to_owned();
    let other = if wrapped.ends_with("00") { "01" } else { "00" };
    record["slots"][0]["wrapped"] = (wrapped[..wrapped.len() - 2].to_owned() + other).into();
    overwrite(&store.inner, vec![(seal.key.clone(), Some(serde_json::to_vec(&record).unwrap()))]).await;
    let broken = sealed(&store).await;
    progress(&broken, again(&shares[0])).await;
    progress(&broken, again(&shares[1])).await;
    assert!(refused(broken.submit(again(&shares[2])).await).contains("forgotten"));
    assert_eq!((broken.status().progress, broken.status().nonce.as_str()), (0, ""));
    overwrite(&store.inner, vec![(seal.key, Some(seal.value))]).await;
    let sealed = sealed(&store).await;
    progress(&sealed, again(&shares[0])).await;
    progress(&sealed, again(&shares[1])).await;
    opens(&sealed, again(&shares[2])).await;
}

#[tokio::test]
async fn the_status_tells_what_anybody_may_know() {
    let store = Arc::new(Testing::default());
    let outcome = init(&store).await;
    let sealed = sealed(&store).await;
    let status = sealed.status();
    assert_eq!((status.kind, status.shares, status.threshold, status.progress), (SealKind::Static, 5, 3, 0));
    assert_eq!(outcome.barrier.seal_status(), status);
    assert_eq!(status.cluster_id.len(), 36);
    assert!(sealed.has(SealKind::Shamir) && sealed.has(SealKind::Static));
}

async fn init_with(slots: Vec<SlotSpec>) -> Result<(Arc<Testing>, InitOutcome), BarrierError> {
    let store = Arc::new(Testing::default());
    let Door::Uninitialised(fresh) = door(&store).await else { panic!() };
    let outcome = fresh.init(Init { slots }, STARTED).await?;
    Ok((store, outcome))
}

#[tokio::test]
async fn one_share_of_one_opens() {
    let (store, InitOutcome { shares, barrier }) =
        init_with(vec![SlotSpec::Shamir { shares: 1, threshold: 1 }]).await.unwrap();
    barrier.close().await;
    let sealed = sealed(&store).await;
    let error = sealed.open_static(&key_file()).await.err().unwrap().to_string();
    assert!(error.contains("does not open with a key file"), "{error}");
    opens(&sealed, again(&shares[0])).await;
}

#[tokio::test]
async fn a_key_file_alone_opens_and_another_does_not() {
    let (store, InitOutcome { shares, barrier }) = init_with(vec![SlotSpec::Static { key: key_file() }]).await.unwrap();
    assert!(shares.is_empty());
    barrier.close().await;
    let sealed = sealed(&store).await;
    assert_eq!((sealed.status().kind, sealed.status().shares), (SealKind::Static, 0));
    let wrong = SecretBytes::new((0..32).collect());
    assert!(sealed.open_static(&wrong).await.err().unwrap().to_string().contains("does not open"));
    let share = Share::parse(&"1".repeat(66)).unwrap();
    assert!(refused(sealed.submit(share).await).contains("key file"));
    let as_text = SecretBytes::new((hex::encode(key_file().expose()) + "\n").into_bytes());
    sealed.open_static(&as_text).await.unwrap();
}

#[tokio::test]
async fn slots_that_could_not_open_are_refused() {
    let shamir = |shares, threshold| SlotSpec::Shamir { shares, threshold };
    for slots in [
        vec![],
        vec![shamir(0, 0)],
        vec![shamir(3, 0)],
        vec![shamir(2, 3)],
        vec![shamir(2, 1)],
        vec![shamir(3, 2), shamir(3, 2)],
        vec![SlotSpec::Static { key: SecretBytes::new(vec![1; 5]) }],
    ] {
        assert!(matches!(init_with(slots).await.err(), Some(BarrierError::Seal(_))));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_many_who_initialise_at_once_one_wins() {
    let store = Arc::new(Testing::default());
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..16 {
        let Door::Uninitialised(fresh) = door(&store).await else { panic!() };
        tasks.spawn(async move {
            fresh.init(Init { slots: vec![SlotSpec::Shamir { shares: 3, threshold: 2 }] }, STARTED).await
        });
    }
    let (mut won, mut lost) = (Vec::new(), 0);
    for result in tasks.join_all().await {
        match result {
            Ok(outcome) => won.push(outcome),
            Err(BarrierError::Conflict) => lost += 1,
            Err(other) => panic!("{other}"),
        }
    }
    assert_eq!((won.len(), lost), (1, 15));
    let sealed = sealed(&store).await;
    progress(&sealed, again(&won[0].shares[0])).await;
    opens(&sealed, again(&won[0].shares[2])).await;
}

#[tokio::test]
async fn no_error_repeats_a_share_or_a_key() {
    let store = Arc::new(Testing::default());
    let InitOutcome { shares, .. } = init(&store).await;
    let foreign = init(&Arc::new(Testing::default())).await.shares;
    let sealed = sealed(&store).await;
    for text in [foreign[0].to_hex(), foreign[0].to_base64(), bare(&foreign[0]), shares[0].to_hex()[..80].to_owned()] {
        let error = match Share::parse(&text) {
            Ok(share) => refused(sealed.submit(share).await),
            Err(error) => error.to_string(),
        };
        assert!(!error.contains(&text[20..40]), "{error}");
    }
}

#[tokio::test]
async fn the_door_can_be_shared_between_threads() {
    fn shareable<T: Send + Sync>(_: &T) {}
    let store = Arc::new(Testing::default());
    let fresh = Door::of(store.clone(), Epoch(0), Arc::new(SystemEntropy)).await.unwrap();
    shareable(&fresh);
    let outcome = init(&store).await;
    shareable(&outcome.barrier);
    shareable(&sealed(&store).await);
}
