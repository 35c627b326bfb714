//! Many leases that end together: more than are marked one by one.

use crate::outside::Mood;
use crate::world::World;
use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use strongroom_model::SecretString;

/// More than one page, on two lanes.
const MANY: usize = 300;

async fn logins(world: &World, token: &SecretString, role: &str, many: usize) -> Vec<String> {
    let mut ids = Vec::new();
    for _ in 0..many {
        ids.push(world.login_as(token, role, json!({})).await.unwrap().0);
    }
    ids
}

async fn recall(world: &World, prefix: &str) -> u64 {
    let grant = world.grant("sys/leases/revoke-prefix/x").await;
    world.leases().revoke_prefix(&grant, prefix, false).await.unwrap()
}

#[tokio::test]
async fn all_leases_of_a_path_end_by_one_record_and_each_is_in_the_trail() {
    let world = World::new().await;
    let ids = logins(&world, &world.root, "pg-app", MANY).await;
    let (_, other) = world.login("pg-other").await;
    let before = world.way.commits();
    let grant = world.grant("sys/leases/revoke-prefix/x").await;
    assert_eq!(world.leases().revoke_prefix(&grant, "db/creds/pg-app", true).await.unwrap(), MANY as u64);
    assert!(world.outside.has(&other));
    assert_eq!((world.outside.count(), world.count()), (1, 1));
    // One for the recall and some for the leases, which end in groups.
    assert!(world.way.commits() - before < MANY as i64, "{}", world.way.commits() - before);
    let told = world.events("lease-revoke").await;
    assert_eq!(told.len(), MANY);
    assert!(told.iter().all(|entry| entry["note"] == "revoked on request"));
    assert!(ids.iter().all(|id| told.iter().filter(|entry| entry["lease_id"] == **id).count() == 1));
    assert!(world.outside.most_at_once.load(Ordering::SeqCst) <= 8);
}

#[tokio::test]
async fn a_system_that_ends_many_logins_by_one_act_is_asked_for_many_at_once() {
    let world = World::new().await;
    let ids = logins(&world, &world.root, "pg-app", MANY).await;
    world.outside.in_company.store(true, Ordering::SeqCst);
    let grant = world.grant("sys/leases/revoke-prefix/x").await;
    assert_eq!(world.leases().revoke_prefix(&grant, "db/creds/pg-app", true).await.unwrap(), MANY as u64);
    assert_eq!((world.outside.count(), world.count()), (0, 0));
    assert_eq!(world.outside.asked.load(Ordering::SeqCst), MANY);
    let told = world.events("lease-revoke").await;
    assert!(ids.iter().all(|id| told.iter().filter(|entry| entry["lease_id"] == **id).count() == 1));
    let most = world.outside.most_at_once.load(Ordering::SeqCst);
    assert!((9..=128).contains(&most), "{most}");
}

#[tokio::test]
async fn killed_at_any_step_of_an_end_in_company_every_login_is_gone_after_the_next_start() {
    for commits in [1, 2, 3, 4, 6] {
        let world = World::new().await;
        logins(&world, &world.root, "pg-app", 200).await;
        world.settle().await;
        world.outside.in_company.store(true, Ordering::SeqCst);
        world.way.cut_after(commits);
        let grant = world.grant("sys/leases/revoke-prefix/x").await;
        world.leases().revoke_prefix(&grant, "db", false).await.unwrap();
        drop(grant);
        world.settle().await;
        let world = world.crash().await;
        assert!(world.outside.count() as u64 <= world.count(), "after {commits} commits");
        world.settle().await;
        assert_eq!((world.outside.count(), world.count()), (0, 0), "after {commits} commits");
    }
}

#[tokio::test]
async fn a_recalled_lease_counts_as_revoking_at_once_and_a_later_one_stays() {
    let world = World::new().await;
    let ids = logins(&world, &world.root, "pg-app", 100).await;
    world.settle().await;
    world.outside.mood("pg", Mood::Asleep);
    assert_eq!(recall(&world, "db/creds/pg-app").await, 100);
    assert_eq!(world.state(&ids[99]).await, Some("revoking"));
    assert!(world.renew(&ids[99], 60).await.unwrap_err().to_string().contains("lease not found"));
    world.outside.mood("pg", Mood::Well);
    world.clock.forward(1);
    let (later, login) = world.login("pg-app").await;
    // The calls that sleep go with the process.
    let world = world.restart(1).await;
    world.settle().await;
    world.settle().await;
    assert_eq!((world.state(&later).await, world.outside.has(&login)), (Some("active"), true));
    assert_eq!((world.outside.count(), world.count()), (1, 1));
}

#[tokio::test]
async fn killed_at_any_step_of_a_recall_every_login_is_gone_after_the_next_start() {
    for commits in [0, 1, 2, 3, 5, 8, 13] {
        let world = World::new().await;
        logins(&world, &world.root, "pg-app", 150).await;
        world.settle().await;
        world.way.cut_after(commits);
        let grant = world.grant("sys/leases/revoke-prefix/x").await;
        let recalled = world.leases().revoke_prefix(&grant, "db", false).await;
        drop(grant);
        world.settle().await;
        let world = world.crash().await;
        assert!(world.outside.count() as u64 <= world.count(), "after {commits} commits");
        world.settle().await;
        if recalled.is_ok() {
            assert_eq!((world.outside.count(), world.count()), (0, 0), "after {commits} commits");
        }
        world.later(3_600).await;
        assert_eq!((world.outside.count(), world.count()), (0, 0), "after {commits} commits");
    }
}

#[tokio::test]
async fn a_recall_ends_what_it_can_where_one_system_is_down_and_one_login_will_not_go() {
    let world = World::new().await;
    let (token, entity) = world.member().await;
    logins(&world, &token, "pg-app", 100).await;
    logins(&world, &token, "my-app", 100).await;
    let (id, stuck) = world.login_as(&token, "my-app", json!({})).await.unwrap();
    let (_, kept) = world.login_as(&token, "my-app", json!({"owner": "identity"})).await.unwrap();
    world.outside.mood("pg", Mood::Down);
    world.outside.stick(&stuck, true);
    world.open().tokens.revoke_tree(world.key(&token)).await.unwrap();
    world.settle().await;
    world.settle().await;
    assert_eq!(world.count(), 102);
    assert_eq!(world.state(&id).await, Some("failing"));
    world.outside.stick(&stuck, false);
    world.outside.mood("pg", Mood::Well);
    world.later(310).await;
    assert_eq!((world.outside.count(), world.count(), world.outside.has(&kept)), (1, 1, true));
    let grant = world.grant("sys/leases/revoke-entity/x").await;
    assert_eq!(world.leases().revoke_entity(&grant, entity).await.unwrap(), 1);
    world.settle().await;
    assert_eq!(world.count(), 0);
}

#[tokio::test]
async fn a_mount_with_many_leases_goes_after_them_also_over_a_restart() {
    let world = World::new().await;
    logins(&world, &world.root, "pg-app", 100).await;
    world.outside.mood("pg", Mood::Down);
    world.unmount("db").await;
    world.settle().await;
    let world = world.restart(1).await;
    assert_eq!(world.count(), 100);
    world.outside.mood("pg", Mood::Well);
    world.later(310).await;
    world.settle().await;
    assert_eq!((world.outside.count(), world.count()), (0, 0));
    assert!(world.outside.wiped.load(Ordering::SeqCst) > 0);
}

/// Nobody waits for what expired; somebody does for what they ordered to end, and for answers.
#[tokio::test]
async fn while_requests_are_served_what_was_ordered_to_end_goes_before_what_merely_expired() {
    let world = Arc::new(World::new().await);
    let (token, _) = world.member().await;
    logins(&world, &world.root, "pg-app", 600).await;
    world.clock.forward(3_000);
    let (ordered, one) = world.login("pg-app").await;
    let (_, of_token) = world.login_as(&token, "pg-app", json!({})).await.unwrap();
    world.clock.forward(601);
    let mut tasks = tokio::task::JoinSet::new();
    let asking = Arc::clone(&world);
    tasks.spawn(async move {
        while asking.outside.count() > 0 {
            asking.state("db/creds/pg-app/none").await;
            tokio::task::yield_now().await;
        }
    });
    let settling = Arc::clone(&world);
    tasks.spawn(async move { settling.settle().await });
    while world.outside.count() == 602 {
        tokio::task::yield_now().await;
    }
    world.revoke(&ordered).await.unwrap();
    assert!(!world.outside.has(&one) && world.outside.count() > 300, "{}", world.outside.count());
    world.open().tokens.revoke_tree(world.key(&token)).await.unwrap();
    while world.outside.has(&of_token) {
        tokio::task::yield_now().await;
    }
    assert!(world.outside.count() > 200, "{}", world.outside.count());
    tasks.join_all().await;
    assert_eq!((world.outside.count(), world.count()), (0, 0));
}
