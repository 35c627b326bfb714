//! Leases that end before their time, or cannot.

use crate::outside::Mood;
use crate::world::World;
use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use strongroom_core::CoreError;
use strongroom_core::identity::EntityChange;
use strongroom_model::{EntityId, EntityName, Kind, Kinded as _};
use tokio::task::JoinSet;

#[tokio::test]
async fn a_lane_that_is_down_holds_up_no_other_and_goes_on_when_it_is_back() {
    let world = World::new().await;
    let (down, well) = (world.login("pg-app").await, world.login("my-app").await);
    world.outside.mood("pg", Mood::Down);
    let error = world.revoke(&down.0).await.unwrap_err();
    assert!(error.to_string().contains("connection refused") && error.kind() == Kind::Unavailable, "{error}");
    world.revoke(&well.0).await.unwrap();
    assert!(world.outside.has(&down.1) && !world.outside.has(&well.1));
    assert_eq!(world.irrevocable().await, [(down.0.clone(), "pg cannot be reached: connection refused".to_owned())]);
    // It is not asked again before its time.
    let asked = world.outside.asked.load(Ordering::SeqCst);
    world.settle().await;
    assert_eq!(world.outside.asked.load(Ordering::SeqCst), asked);
    world.outside.mood("pg", Mood::Well);
    world.later(2).await;
    assert_eq!((world.outside.count(), world.count(), world.irrevocable().await.len()), (0, 0, 0));
}

#[tokio::test]
async fn an_outside_system_that_never_answers_holds_up_no_other() {
    let world = World::new().await;
    let (asleep, well) = (world.login("pg-app").await, world.login("my-app").await);
    world.outside.mood("pg", Mood::Asleep);
    let grant = world.grant("sys/leases/revoke").await;
    world.leases().revoke(&grant, &asleep.0, false).await.unwrap();
    world.revoke(&well.0).await.unwrap();
    assert!(world.outside.has(&asleep.1) && !world.outside.has(&well.1));
    // Sealing does not wait for it either.
    let world = world.restart(1).await;
    world.outside.mood("pg", Mood::Well);
    world.settle().await;
    assert_eq!((world.outside.count(), world.count()), (0, 0));
}

#[tokio::test]
async fn a_login_whose_ending_hangs_holds_up_none_that_falls_due_later() {
    let world = World::new().await;
    let (hung, other) = (world.login("pg-app").await, world.login("pg-app").await);
    world.outside.never_end(&hung.1);
    let grant = world.grant("sys/leases/revoke").await;
    world.leases().revoke(&grant, &hung.0, false).await.unwrap();
    let ended = async {
        while world.outside.asked.load(Ordering::SeqCst) == 0 {
            tokio::task::yield_now().await;
        }
        world.clock.forward(3_600);
        let open = world.open();
        let _round = JoinSet::from_iter([async move {
            open.housekeep().await;
        }]);
        while world.outside.has(&other.1) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), ended).await.expect("the other login ends while one hangs");
    assert!(world.outside.has(&hung.1));
}

#[tokio::test]
async fn an_outside_system_counts_as_down_only_when_it_answers_none_of_several() {
    let world = World::new().await;
    let first = world.login("pg-app").await;
    world.outside.mood("pg", Mood::Unheard);
    let error = world.revoke(&first.0).await.unwrap_err().to_string();
    assert!(error.contains("did not answer: 15s are over"), "{error}");
    world.settle().await;
    let gauges = world.leases().gauges();
    assert_eq!((gauges.failing, gauges.lanes_down), (1, 0));
    world.outside.mood("pg", Mood::Well);
    for _ in 0..3 {
        world.login("pg-app").await;
    }
    world.outside.mood("pg", Mood::Unheard);
    world.later(3_600).await;
    assert_eq!(world.leases().gauges().lanes_down, 1);
    world.outside.mood("pg", Mood::Well);
    world.later(400).await;
    world.later(400).await;
    assert_eq!((world.outside.count(), world.count(), world.leases().gauges().lanes_down), (0, 0, 0));
}

#[tokio::test]
async fn an_outside_system_without_a_free_place_is_asked_again_soon_and_counts_as_neither_down_nor_failing() {
    let world = World::new().await;
    let (id, login) = world.login("pg-app").await;
    world.outside.mood("pg", Mood::Crowded);
    let grant = world.grant("sys/leases/revoke").await;
    world.leases().revoke(&grant, &id, false).await.unwrap();
    world.settle().await;
    assert!(world.outside.has(&login));
    assert_eq!((world.state(&id).await, world.irrevocable().await.len()), (Some("revoking"), 0));
    assert_eq!(world.leases().gauges().lanes_down, 0);
    world.outside.mood("pg", Mood::Well);
    world.later(1).await;
    assert_eq!((world.outside.count(), world.count()), (0, 0));
}

#[tokio::test]
async fn a_login_that_will_not_go_is_shown_and_tried_again_and_does_not_hold_up_its_neighbours() {
    let world = World::new().await;
    let (stuck, other) = (world.login("pg-app").await, world.login("pg-app").await);
    world.outside.stick(&stuck.1, true);
    world.later(3_600).await;
    assert!(world.outside.has(&stuck.1) && !world.outside.has(&other.1));
    assert_eq!(world.state(&stuck.0).await, Some("failing"));
    assert_eq!(world.irrevocable().await, [(stuck.0.clone(), "pg refused: the login owns objects".to_owned())]);
    let gauges = world.leases().gauges();
    assert_eq!((gauges.leases, gauges.failing, gauges.lanes_down), (1, 1, 0));
    assert_eq!(world.events("lease-revoke").await.len(), 2, "the failure is told once");
    let error = world.revoke(&stuck.0).await.unwrap_err().to_string();
    assert!(error.contains("is not revoked yet: pg refused: the login owns objects"), "{error}");
    // Also after a restart.
    let world = world.restart(1).await;
    world.outside.stick(&stuck.1, false);
    world.later(300).await;
    assert_eq!((world.count(), world.outside.count(), world.irrevocable().await.len()), (0, 0, 0));
    world.settle().await;
    assert_eq!(world.leases().gauges().failing, 0);
}

#[tokio::test]
async fn a_mount_is_removed_although_its_outside_system_is_down_and_is_gone_when_its_logins_are() {
    let world = World::new().await;
    let (id, login) = world.login("pg-app").await;
    world.outside.mood("pg", Mood::Down);
    world.unmount("db").await;
    world.settle().await;
    assert!(world.outside.has(&login));
    assert_eq!(world.irrevocable().await.len(), 1);
    assert_eq!((world.state(&id).await, world.outside.wiped.load(Ordering::SeqCst)), (Some("revoking"), 0));
    // Its path is free for another.
    world.mount("db").await;
    let (other, kept) = world.login("my-app").await;
    let world = world.restart(1).await;
    assert_eq!(world.state(&id).await, Some("revoking"));
    world.outside.mood("pg", Mood::Well);
    world.later(1).await;
    world.settle().await;
    assert!(!world.outside.has(&login) && world.outside.has(&kept));
    assert_eq!((world.state(&id).await, world.state(&other).await), (None, Some("active")));
    assert!(world.outside.wiped.load(Ordering::SeqCst) > 0);
    assert_eq!(world.count(), 1);
}

#[tokio::test]
async fn force_forgets_leases_and_says_so_in_the_trail() {
    let world = World::new().await;
    let (id, login) = world.login("pg-app").await;
    world.login("my-app").await;
    world.outside.mood("pg", Mood::Down);
    world.unmount("db").await;
    world.settle().await;
    let grant = world.grant("sys/leases/revoke-force/db").await;
    assert_eq!(world.leases().force(&grant, "db/creds/pg-app").await.unwrap(), 1);
    world.settle().await;
    assert!(world.outside.has(&login), "nobody could reach it");
    assert!(world.outside.wiped.load(Ordering::SeqCst) > 0);
    assert_eq!(world.count(), 0);
    let told = world.events("lease-force").await;
    assert_eq!((&told[0]["lease_id"], &told[0]["subject"]), (&json!(id), &json!(login)));
    assert!(told[0]["note"].as_str().unwrap().contains("may still be there"));
}

#[tokio::test]
async fn a_prefix_takes_what_is_below_it_and_nothing_beside_it() {
    let world = World::new().await;
    let (one, two, other) = (world.login("pg-a").await, world.login("pg-a").await, world.login("pg-ab").await);
    let grant = world.grant("sys/leases/revoke-prefix/x").await;
    assert_eq!(world.leases().revoke_prefix(&grant, "db/creds/pg-a/", true).await.unwrap(), 2);
    assert!(!world.outside.has(&one.1) && !world.outside.has(&two.1) && world.outside.has(&other.1));
    world.outside.stick(&other.1, true);
    let error = world.leases().revoke_prefix(&grant, "db", true).await.unwrap_err().to_string();
    assert!(error.starts_with("`db` is not revoked yet: pg refused"), "{error}");
}

#[tokio::test]
async fn leases_end_with_their_token_unless_they_belong_to_its_entity() {
    let world = World::new().await;
    let (token, entity) = world.member().await;
    let with_token = world.login_as(&token, "pg-app", json!({})).await.unwrap();
    let with_entity = world.login_as(&token, "pg-app", json!({"owner": "identity"})).await.unwrap();
    world.open().tokens.revoke_tree(world.key(&token)).await.unwrap();
    world.settle().await;
    assert!(!world.outside.has(&with_token.1) && world.outside.has(&with_entity.1));
    assert_eq!(world.events("lease-revoke").await[0]["note"], "its token ended");
    let grant = world.grant("identity/entity").await;
    let change = EntityChange { disabled: Some(true), ..EntityChange::default() };
    world.open().identity.update(&grant, entity, None, change).await.unwrap();
    // It is carried out although the server dies at once.
    drop(grant);
    let world = world.crash().await;
    world.settle().await;
    assert!(!world.outside.has(&with_entity.1));
    assert_eq!(world.count(), 0);
}

#[tokio::test]
async fn everything_that_an_entity_asked_for_can_be_revoked_at_once() {
    let world = World::new().await;
    let (token, entity) = world.member().await;
    world.login_as(&token, "pg-app", json!({})).await.unwrap();
    world.login_as(&token, "my-app", json!({"owner": "identity"})).await.unwrap();
    let (_, other) = world.login("pg-app").await;
    let grant = world.grant("sys/leases/revoke-entity/x").await;
    assert_eq!(world.leases().revoke_entity(&grant, entity).await.unwrap(), 2);
    world.settle().await;
    assert!(world.outside.has(&other) && world.outside.count() == 1);
}

#[tokio::test]
async fn a_clock_that_jumps_neither_stops_revoking_nor_prolongs_without_end() {
    let world = World::new().await;
    let (_, before) = world.login("pg-app").await;
    world.settle().await;
    world.clock.back(86_400);
    world.settle().await;
    let (id, after) = world.login("pg-app").await;
    world.later(3_601).await;
    assert!(!world.outside.has(&after), "what was issued after the jump ends in its time");
    assert!(!world.outside.has(&before), "what was issued before the jump has at most one life more");
    assert_eq!(world.state(&id).await, None);
    let (_, login) = world.login("pg-app").await;
    world.later(86_400).await;
    assert!(!world.outside.has(&login));
    // While the server was down.
    let (_, login) = world.login("pg-app").await;
    let world = world.restart(0).await;
    world.clock.back(86_400);
    let world = world.restart(0).await;
    world.settle().await;
    world.later(3_601).await;
    assert!(!world.outside.has(&login));
}

/// They wait up to five minutes by themselves; whoever mended the cause need not.
#[tokio::test]
async fn leases_that_failed_by_themselves_are_tried_at_once_by_tidying_and_by_writing_to_their_mount() {
    let world = World::new().await;
    for by_tidying in [true, false] {
        let mut stuck = Vec::new();
        for _ in 0..70 {
            stuck.push(world.login("pg-app").await.1);
        }
        stuck.iter().for_each(|login| world.outside.stick(login, true));
        for _ in 0..3 {
            world.later(3_600).await;
        }
        assert_eq!((world.count(), world.outside.count()), (70, 70));
        stuck.iter().for_each(|login| world.outside.stick(login, false));
        let grant = world.grant("sys/leases/tidy").await;
        if by_tidying {
            world.leases().tidy(&grant);
        } else {
            let poked = world.write("db/poke").await;
            poked.unwrap();
        }
        let patience = std::time::Instant::now();
        while world.count() > 0 {
            assert!(patience.elapsed() < std::time::Duration::from_secs(60), "{} are left", world.count());
            tokio::task::yield_now().await;
        }
        assert_eq!(world.outside.count(), 0);
    }
}

/// How an entity goes.
async fn part(world: &World, entity: EntityId, merged: bool) -> Result<(), CoreError> {
    let grant = world.grant("identity/entity").await;
    let identity = Arc::clone(&world.open().identity);
    if !merged {
        return identity.delete(&grant, entity).await;
    }
    let name = EntityName::parse("boss").unwrap();
    let boss = identity.create(&grant, Some(name), EntityChange::default()).await?;
    identity.merge(&grant, boss.id, &[entity], &[]).await
}

#[tokio::test]
async fn who_is_removed_or_merged_leaves_neither_tokens_nor_leases() {
    for merged in [false, true] {
        let world = World::new().await;
        let (token, entity) = world.member().await;
        let accessor = world.open().tokens.find(&token).await.unwrap().unwrap().token().accessor.clone();
        world.login_as(&token, "pg-app", json!({})).await.unwrap();
        world.login_as(&token, "my-app", json!({"owner": "identity"})).await.unwrap();
        let (_, other) = world.login("pg-app").await;
        part(&world, entity, merged).await.unwrap();
        assert!(world.open().tokens.find(&token).await.unwrap().is_none());
        world.settle().await;
        assert_eq!((world.outside.count(), world.count()), (1, 1), "merged: {merged}");
        assert!(world.outside.has(&other));
        assert!(world.open().tokens.behind_accessor(&accessor).await.unwrap().is_none());
        assert!(!world.open().tokens.accessors().await.unwrap().contains(&accessor));
        let notes = world.events("lease-revoke").await;
        assert_eq!(notes[0]["note"], "its entity was disabled or removed", "{notes:?}");
        // It is over: what is noted does not stay.
        let commits = world.way.commits();
        world.settle().await;
        assert_eq!(world.way.commits(), commits);
    }
}

#[tokio::test]
async fn killed_at_any_step_of_removing_an_entity_its_tokens_and_leases_end_after_the_next_start() {
    let mut removed_first = 0;
    for (merged, commits) in [false, true].into_iter().flat_map(|merged| (0..10).map(move |commits| (merged, commits)))
    {
        let world = World::new().await;
        let (token, entity) = world.member().await;
        world.login_as(&token, "pg-app", json!({})).await.unwrap();
        world.settle().await;
        world.way.cut_after(commits);
        let parted = part(&world, entity, merged).await;
        world.settle().await;
        let world = world.crash().await;
        if parted.is_err() {
            continue;
        }
        removed_first += 1;
        let case = format!("merged: {merged}, after {commits} commits");
        assert!(world.outside.count() as u64 <= world.count(), "{case}");
        world.settle().await;
        world.settle().await;
        assert_eq!((world.outside.count(), world.count()), (0, 0), "{case}");
        assert_eq!(world.open().tokens.accessors().await.unwrap().len(), 1, "only the operator's is left, {case}");
    }
    assert!(removed_first >= 12, "{removed_first}");
}

#[tokio::test]
async fn the_token_of_a_disabled_entity_is_refused_and_can_be_ended_with_its_leases() {
    let world = World::new().await;
    let (token, entity) = world.member().await;
    let accessor = world.open().tokens.find(&token).await.unwrap().unwrap().token().accessor.clone();
    let (_, login) = world.login_as(&token, "pg-app", json!({})).await.unwrap();
    let grant = world.grant("identity/entity").await;
    let change = EntityChange { disabled: Some(true), ..EntityChange::default() };
    world.open().identity.update(&grant, entity, None, change).await.unwrap();
    world.settle().await;
    let tokens = &world.open().tokens;
    assert!(tokens.find(&token).await.unwrap().is_none() && tokens.by_accessor(&accessor).await.unwrap().is_none());
    assert!(world.outside.has(&login), "enabling gives it back");
    let behind = tokens.behind_accessor(&accessor).await.unwrap().unwrap();
    tokens.revoke_tree(behind.key().unwrap()).await.unwrap();
    world.settle().await;
    assert!(!world.outside.has(&login));
}
