//! The process dies, replies are lost: no login without a lease, ever.

use crate::outside::Mood;
use crate::world::World;
use serde_json::json;
use strongroom_model::MountPath;

/// More commits than any one act takes.
const STEPS: i64 = 8;

#[tokio::test]
async fn killed_at_any_step_of_issuing_no_login_is_without_a_lease() {
    for commits in 0..STEPS {
        let world = World::new().await;
        world.settle().await;
        world.way.cut_after(commits);
        let given = world.login_as(&world.root, "pg-app", json!({})).await;
        let world = world.crash().await;
        assert!(world.outside.count() as u64 <= world.count(), "after {commits} commits");
        // What was given stays; what was not is gone when its grace is over.
        world.later(121).await;
        assert_eq!(world.outside.count(), usize::from(given.is_ok()), "after {commits} commits");
        assert_eq!(world.count(), u64::from(given.is_ok()), "after {commits} commits");
        world.later(3_600).await;
        assert_eq!((world.outside.count(), world.count()), (0, 0), "after {commits} commits");
    }
}

#[tokio::test]
async fn killed_at_any_step_of_revoking_the_login_is_gone_after_the_next_start() {
    for commits in 0..STEPS {
        let world = World::new().await;
        let (id, _) = world.login("pg-app").await;
        world.settle().await;
        world.way.cut_after(commits);
        let grant = world.grant("sys/leases/revoke").await;
        let marked = world.leases().revoke(&grant, &id, false).await;
        drop(grant);
        world.settle().await;
        let world = world.crash().await;
        assert!(world.outside.count() as u64 <= world.count(), "after {commits} commits");
        world.settle().await;
        if marked.is_ok() {
            assert_eq!((world.outside.count(), world.count()), (0, 0), "after {commits} commits");
        }
        world.later(3_600).await;
        assert_eq!((world.outside.count(), world.count()), (0, 0), "after {commits} commits");
    }
}

#[tokio::test]
async fn a_login_whose_making_failed_is_removed_whether_or_not_it_was_made() {
    for mood in [Mood::Mute, Mood::Down, Mood::Stubborn] {
        let world = World::new().await;
        world.outside.mood("pg", mood);
        let error = world.login_as(&world.root, "pg-app", json!({})).await.unwrap_err().to_string();
        assert!(error.starts_with("pg "), "{error}");
        world.outside.mood("pg", Mood::Well);
        world.later(2).await;
        assert_eq!((world.outside.count(), world.count()), (0, 0), "{mood:?}");
    }
}

#[tokio::test]
async fn a_lease_that_is_revoked_while_its_login_is_made_leaves_no_login() {
    let world = std::sync::Arc::new(World::new().await);
    let (token, _) = world.member().await;
    let mut asking = tokio::task::JoinSet::new();
    for _ in 0..32 {
        let (world, token) = (std::sync::Arc::clone(&world), token.duplicate());
        asking.spawn(async move { world.login_as(&token, "pg-app", json!({})).await });
    }
    tokio::task::yield_now().await;
    world.open().tokens.revoke_tree(world.key(&token)).await.unwrap();
    asking.join_all().await;
    world.settle().await;
    world.settle().await;
    assert_eq!((world.outside.count(), world.count()), (0, 0));
}

#[tokio::test]
async fn what_ends_while_the_server_is_sealed_is_revoked_after_unsealing() {
    let world = World::new().await;
    let (id, _) = world.login("pg-app").await;
    let world = world.restart(7_200).await;
    world.settle().await;
    assert_eq!((world.outside.count(), world.state(&id).await), (0, None));
}

/// Their ids name the old path: were they left alone, nobody could end them by the id that they hold.
#[tokio::test]
async fn killed_at_any_step_of_moving_a_mount_its_leases_end_if_it_moved() {
    let mut seen = std::collections::BTreeSet::new();
    for commits in 0..8 {
        let world = World::new().await;
        for _ in 0..3 {
            world.login("pg-app").await;
        }
        world.settle().await;
        let grant = world.grant("sys/remount").await;
        let (from, to) = (MountPath::parse("db").unwrap(), MountPath::parse("data/base").unwrap());
        world.way.cut_after(commits);
        let moved = world.leases().relocate(&grant, &from, to.clone()).await;
        drop(grant);
        let world = world.crash().await;
        let has_moved = world.open().mounts.table().at(&to).is_some();
        assert!(has_moved || moved.is_err(), "after {commits} commits");
        world.settle().await;
        let left = if has_moved { 0 } else { 3 };
        assert_eq!((world.outside.count(), world.count()), (left, left as u64), "after {commits} commits");
        seen.insert((has_moved, moved.is_ok()));
    }
    assert_eq!(seen.len(), 3, "not at all, half and whole: {seen:?}");
}
