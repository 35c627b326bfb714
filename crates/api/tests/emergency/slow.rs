//! Orders on a store whose commits wait: what comes before use is refused, and who keeps away meanwhile.

use crate::network::from_elsewhere;
use crate::{READS_APP, done, get, lift, login, revoke, role};
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};
use strongroom_api::Limits;
use strongroom_core::{Init, SlotSpec};
use strongroom_storage::{Committed, Epoch, Front, Fronted, Memory, Store, StoreError, Txn};
use strongroom_testkit::{TestServer, World};
use tokio::sync::Semaphore;

/// A store in which commits wait from a number on.
struct Slow {
    inner: Memory,
    /// So many more pass; then none until it is said.
    left: AtomicI64,
    waiting: Semaphore,
}

#[async_trait::async_trait]
impl Front for Slow {
    fn behind(&self) -> &dyn Store {
        &self.inner
    }

    async fn commit(&self, epoch: Epoch, txn: Txn) -> Result<Committed, StoreError> {
        if self.left.fetch_sub(1, Ordering::SeqCst) <= 0 {
            self.waiting.acquire().await.unwrap().forget();
        }
        self.inner.commit(epoch, txn).await
    }
}

/// A server over such a store, with its own root token.
async fn slow_server() -> (Arc<Fronted<Slow>>, TestServer) {
    let slow =
        Arc::new(Fronted(Slow { inner: Memory::new(), left: AtomicI64::new(i64::MAX), waiting: Semaphore::new(0) }));
    let world = World::over(Arc::clone(&slow) as Arc<dyn Store>).await;
    let init = Init { slots: vec![SlotSpec::Shamir { shares: 1, threshold: 1 }] };
    let root = world.strongroom.init_dev(init, None).await.unwrap().root.client_token.expose().to_owned();
    let mut server = TestServer::start(world, Limits::default()).await;
    server.root.clone_from(&root);
    (slow, server)
}

/// A question to the trail and an entry stood between the order and the block: under load, seconds.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_counted_asked_or_noted_before_use_is_refused() {
    let (slow, server) = slow_server().await;
    let root = server.root.clone();
    server.operator().post("secret/data/app/db", json!({"data": {"v": 1}})).await.expect(200);
    role(&server, "web", READS_APP).await;
    let logged_in = login(&server, "web").await;
    let (token, entity) = (logged_in.text_at("/auth/client_token"), logged_in.text_at("/auth/entity_id"));
    server.by(&token).get("secret/data/app/db").await.expect(200);
    // It is used from there until it is refused, and dies of that.
    let probe = server.token(json!({"policies": ["web"]})).await;
    // The record and the block of what one record decides about are one commit; a secret is hidden in the next one, and
    // that an incident holds it is a third.
    for (target, commits) in [
        (json!({"address": "127.0.0.9"}), 1),
        (json!({"secret": "secret/app/db"}), 2),
        (json!({"principal": entity}), 1),
    ] {
        let server = &server;
        // Housekeeping has commits of its own now and then: let it come to rest.
        server.world.rooms().housekeep().await;
        let entries = server.world.entries().await.len();
        slow.left.store(commits, Ordering::SeqCst);
        let ordering = revoke(server, &root, target.clone());
        let refused = async {
            let deadline = Instant::now() + Duration::from_secs(20);
            loop {
                let out = match target["address"].is_string() {
                    true => from_elsewhere(server, &probe, "secret/data/app/db").await == "403",
                    false => server.by(&token).get("secret/data/app/db").await.status != 200,
                };
                if out {
                    break;
                }
                assert!(Instant::now() < deadline, "{target}: not refused after {commits} commits");
                tokio::task::yield_now().await;
            }
            let written = server.world.entries().await;
            let noted = written.iter().skip(entries).filter(|entry| entry["operation"] == "incident").count();
            assert_eq!(noted, 0, "{target}: noted before it was in force");
            slow.left.store(i64::MAX, Ordering::SeqCst);
            slow.waiting.add_permits(1_000);
        };
        let (answer, ()) = tokio::join!(ordering, refused);
        let id = answer.expect(200).text_at("/data/incident/id");
        done(server, &id).await;
        let record = get(server, &root, &format!("incidents/{id}")).await.expect(200);
        assert!(!record.at("/data/incident/before/touches").as_array().unwrap().is_empty(), "{}", record.text);
        lift(server, &id).await.expect(200);
        while let Ok(permit) = slow.waiting.try_acquire() {
            permit.forget();
        }
    }
    server.stop().await;
}

/// Housekeeping took up an order that its request was still carrying out: with a plan, a secret was rotated twice.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn housekeeping_leaves_an_order_alone_as_long_as_its_request_is_at_it() {
    let (slow, server) = slow_server().await;
    server.operator().post("secret/data/app/db", json!({"data": {"v": 1}})).await.expect(200);
    server.world.rooms().housekeep().await;
    // The record is there, and hiding the secret waits.
    slow.left.store(1, Ordering::SeqCst);
    let ordering = revoke(&server, &server.root, json!({"secret": "secret/app/db"}));
    let meddling = async {
        while slow.left.load(Ordering::SeqCst) >= 0 {
            tokio::task::yield_now().await;
        }
        for _ in 0..20 {
            server.world.rooms().housekeep().await;
        }
        slow.left.store(i64::MAX, Ordering::SeqCst);
        slow.waiting.add_permits(1_000);
    };
    let (answer, ()) = tokio::join!(ordering, meddling);
    done(&server, &answer.expect(200).text_at("/data/incident/id")).await;
    let entries = server.world.entries().await;
    let ordered = |entry: &&Value| entry["operation"] == "incident" && entry.to_string().contains("ordered by");
    assert_eq!(entries.iter().filter(ordered).count(), 1);
    server.stop().await;
}
