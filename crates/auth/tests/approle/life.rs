use crate::house::{House, WRONG, refused};
use async_trait::async_trait;
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use strongroom_core::CoreError;
use strongroom_model::MountPath;
use strongroom_storage::{Committed, Epoch, Front, Fronted, Memory, Store, StoreError, Txn};

#[tokio::test]
async fn tidying_removes_what_is_expired_and_nothing_else() {
    let house = House::new().await;
    let lasting = house.role("web", json!({})).await;
    // More than one transaction takes.
    for _ in 0..60 {
        house.secret("web", json!({ "ttl": 60 })).await;
    }
    let later = house.secret("web", json!({ "ttl": 61 })).await;
    house.advance(60);
    let before = house.records().await;
    let reply = house.write("tidy/secret-id", json!({})).await.unwrap();
    assert!(reply.data.is_none() && reply.warnings[0].starts_with("Tidy operation"));
    assert_eq!(house.records().await, before - 3 * 60);
    assert_eq!(house.list("role/web/secret-id").await.unwrap().len(), 2);
    assert_ne!(house.look_up("web", &later).await, Value::Null);
    assert!(house.login("web-id", &lasting).await.is_ok());
}

#[tokio::test]
async fn secret_ids_of_a_deleted_role_do_not_pass_to_the_next_of_its_name() {
    let house = House::new().await;
    let empty = house.records().await;
    let secret = house.role("web", json!({ "secret_id_ttl": 60 })).await;
    for _ in 0..60 {
        house.secret("web", json!({})).await;
    }
    let accessor = house.look_up("web", &secret).await["secret_id_accessor"].clone();
    house.delete("role/web").await.unwrap();
    assert_eq!(house.records().await, empty, "everything of the role is gone");
    assert_eq!(refused(house.login("web-id", &secret).await), WRONG);
    house.write("role/web", json!({ "role_id": "web-id" })).await.unwrap();
    assert_eq!(refused(house.login("web-id", &secret).await), WRONG);
    assert_eq!(house.look_up("web", &secret).await, Value::Null);
    assert!(matches!(house.list("role/web/secret-id").await, Err(CoreError::Nothing)));
    assert!(
        house.write("role/web/secret-id-accessor/lookup", json!({ "secret_id_accessor": accessor })).await.is_err()
    );
}

#[tokio::test]
async fn a_disabled_mount_leaves_nothing_behind() {
    let house = House::new().await;
    let before = house.records().await;
    assert!(before > 0);
    for role in 0..30 {
        let secret = house.role(&format!("role-{role}"), json!({ "secret_id_ttl": 600 })).await;
        assert!(!secret.is_empty());
    }
    for _ in 0..30 {
        house.secret("role-0", json!({})).await;
    }
    assert_eq!(house.records().await, before + 30 * (2 + 3) + 30 * 3);
    let grant = house.grant("sys/auth/approle").await;
    house.open().mounts.disable(&grant, &MountPath::parse("auth/approle").unwrap()).await.unwrap();
    house.open().housekeep().await;
    house.open().housekeep().await;
    assert_eq!(house.records().await, before - 1, "only the record of the mount itself was there before");
}

/// A store whose disk fails after so many more commits.
struct Failing {
    inner: Arc<Memory>,
    commits_left: AtomicI64,
}

#[async_trait]
impl Front for Failing {
    fn behind(&self) -> &dyn Store {
        &*self.inner
    }

    async fn commit(&self, epoch: Epoch, txn: Txn) -> Result<Committed, StoreError> {
        if self.commits_left.fetch_sub(1, Ordering::SeqCst) <= 0 {
            return Err(StoreError::Full);
        }
        self.inner.commit(epoch, txn).await
    }
}

#[tokio::test]
async fn a_crash_while_deleting_a_role_leaves_its_secret_ids_powerless_and_tidying_ends_it() {
    let memory = Arc::new(Memory::new());
    let store = Arc::new(Fronted(Failing { inner: Arc::clone(&memory), commits_left: AtomicI64::new(i64::MAX) }));
    let (house, share) = House::with_share(store.clone()).await;
    let secret = house.role("web", json!({})).await;
    for _ in 0..30 {
        house.secret("web", json!({})).await;
    }
    store.commits_left.store(1, Ordering::SeqCst);
    assert!(house.delete("role/web").await.is_err(), "the second commit fails");

    let again = House::again(memory, share, house.root.duplicate()).await;
    assert!(matches!(again.read("role/web").await, Err(CoreError::Nothing)));
    again.write("role/web", json!({ "role_id": "web-id" })).await.unwrap();
    assert_eq!(refused(again.login("web-id", &secret).await), WRONG);
    let before = again.records().await;
    again.write("tidy/secret-id", json!({})).await.unwrap();
    assert_eq!(
        again.records().await,
        before - 2 * 31 - 1,
        "what is left is two records each, and the note of the deletion"
    );
}
