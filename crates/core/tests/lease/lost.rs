//! Leases whose records somebody cut out of the store, or altered there, behind the server's back.

use crate::world::World;
use serde_json::json;
use strongroom_storage::{Entry, Op};

/// How the rows that came with a lease are damaged.
#[derive(Clone, Copy)]
enum Damage {
    Cut,
    Altered,
}

impl Damage {
    fn of(self, row: &Entry) -> Op {
        match self {
            Damage::Cut => Op::Delete { key: row.key.clone() },
            Damage::Altered => {
                let mut value = row.value.clone();
                value.iter_mut().rev().take(1).for_each(|byte| *byte ^= 1);
                Op::Put { key: row.key.clone(), value }
            }
        }
    }
}

/// More rows than come with a lease.
const ROWS: usize = 10;
/// How often each place among the rows is tried until it was that of the lease itself.
const ROUNDS: usize = 16;

/// The rows that came with the last lease that was made, where a lease before it has others.
async fn rows_of_a_second_lease(world: &World) -> (Vec<Entry>, String) {
    let before = world.rows().await;
    let (_, login) = world.login("pg-app").await;
    let mut rows = world.rows().await;
    rows.retain(|row| before.iter().all(|known| known.key != row.key));
    (rows, login)
}

/// Nobody takes a lease for ended whose login may live: whichever row of it is damaged, a list still has it or fails, and an
/// order to end it ends it or fails.
async fn is_noticed_whichever_row_is(damage: Damage) {
    let mut named = 0;
    // Rows lie in another order in each world: one round may miss the lease's own row, sixteen do not.
    for at in 0..ROUNDS * ROWS {
        let world = World::new().await;
        let (_, first) = world.login("pg-app").await;
        let (rows, second) = rows_of_a_second_lease(&world).await;
        assert!(rows.len() <= ROWS, "{}", rows.len());
        if at >= ROWS && named > 0 {
            break;
        }
        let Some(row) = rows.get(at % ROWS) else { continue };
        world.tamper(damage.of(row)).await;
        let grant = world.grant("sys/leases/lookup/db").await;
        let listed = world.leases().list(&grant, "db/creds/pg-app").await;
        assert!(listed.is_err() || listed.is_ok_and(|names| names.len() == 2), "row {at}: a list got shorter");
        let revoked = world.leases().revoke_prefix(&grant, "db/creds/pg-app", true).await;
        let lives = world.outside.has(&second);
        assert!(revoked.is_err() || !lives, "row {at}: it was taken for ended");
        if !lives {
            continue;
        }
        world.settle().await;
        let failing = world.irrevocable().await;
        if failing.is_empty() {
            continue;
        }
        // It was the lease itself, and the rest went as always.
        named += 1;
        let error = revoked.unwrap_err().to_string();
        assert!(error.contains("cannot be read") && error.contains(&failing[0].0), "{error}");
        assert!(!world.outside.has(&first));
        assert_eq!((failing.len(), world.leases().gauges().failing), (1, 1));
        // The mount stays a shadow that says why, until somebody who has seen to the login lets it go.
        world.unmount("db").await;
        world.settle().await;
        assert_eq!((world.irrevocable().await.len(), world.count()), (1, 1));
        let grant = world.grant("sys/leases/revoke-force/db").await;
        assert_eq!(world.leases().force(&grant, "db").await.unwrap(), 1);
        world.settle().await;
        assert_eq!((world.irrevocable().await.len(), world.count()), (0, 0));
        let told = world.events("lease-force").await;
        assert_eq!((told.len(), &told[0]["lease_id"]), (1, &json!(failing[0].0)));
    }
    // The lease's own row, and where it is new the page that proves it.
    assert!(named >= 1, "one row is the lease itself");
}

#[tokio::test]
async fn no_lease_that_was_cut_out_of_the_store_is_taken_for_ended() {
    is_noticed_whichever_row_is(Damage::Cut).await;
}

#[tokio::test]
async fn no_lease_that_was_altered_in_the_store_is_taken_for_ended() {
    is_noticed_whichever_row_is(Damage::Altered).await;
}

#[tokio::test]
async fn a_lease_whose_record_is_lost_keeps_no_other_from_expiring_and_fails_an_order_for_many() {
    let (mut lost, mut tried) = (0, 0);
    for at in 0..ROUNDS {
        let world = World::new().await;
        for _ in 0..5 {
            world.login("pg-app").await;
        }
        let (rows, login) = rows_of_a_second_lease(&world).await;
        let Some(row) = rows.get(at % ROWS) else { continue };
        tried += 1;
        for _ in 0..100 {
            world.login("pg-app").await;
        }
        world.tamper(Damage::Cut.of(row)).await;
        let grant = world.grant("sys/leases/revoke-prefix/x").await;
        // The first half by an order for so many that one record is enough, the rest as time goes by.
        let revoked = match at % 2 {
            0 => world.leases().revoke_prefix(&grant, "db/creds/pg-app", true).await.map(drop),
            _ => Ok(()),
        };
        world.later(3_601).await;
        world.settle().await;
        match world.outside.count() {
            0 => assert!(revoked.is_ok() || world.count() == 0),
            1 => {
                lost += 1;
                assert!(world.outside.has(&login));
                assert!(at % 2 == 1 || revoked.unwrap_err().to_string().contains("cannot be read"));
            }
            left => panic!("row {at}: {left} logins outlived their leases"),
        }
    }
    // Rows lie in another order in each world, so how often the lease's own was met is chance; that others were met is not.
    assert!(lost < tried, "{lost} of {tried}");
}
