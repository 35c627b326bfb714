//! What the record of an emergency revocation says of leases.

use crate::world::World;
use std::time::Duration;
use strongroom_core::emergency::Aim;
use strongroom_core::incident::{Incident, Step, StepKind};

fn leases(incident: &Incident) -> &Step {
    incident.steps.iter().find(|step| step.what == StepKind::Leases).unwrap()
}

impl World {
    async fn cut_off(&self, prefix: &str) -> Incident {
        let (open, grant) = (self.open(), self.grant("sys/strongroom/revoke").await);
        let aim = Aim::LeasePrefix(prefix.to_owned());
        open.emergency.revoke(&open.incidents, &grant, &aim, "a test").await.unwrap()
    }

    /// The record, when its work has come to this.
    async fn incident(&self, id: &str, is_reached: impl Fn(&Incident) -> bool) -> Incident {
        for _ in 0..10_000 {
            let (open, grant) = (self.open(), self.grant("sys/strongroom/incidents").await);
            let (incident, _) = open.incidents.shown(&grant, id).await.unwrap();
            if is_reached(&incident) {
                return incident;
            }
            self.later(1).await;
            tokio::task::yield_now().await;
        }
        panic!("the revocation does not come to that");
    }
}

/// The total was what was left when somebody first counted, beside the number that the order had marked.
#[tokio::test]
async fn all_leases_that_were_marked_are_counted_also_those_that_ended_before_anybody_looked() {
    let world = World::new().await;
    for _ in 0..4 {
        world.login("pg-app").await;
    }
    let stuck = world.login("pg-app").await;
    let other = world.login("pg-other").await;
    world.outside.stick(&stuck.1, true);
    let ordered = world.cut_off("db/creds/pg-app").await;
    assert!(ordered.cut.as_ref().unwrap().how.starts_with("5 leases are marked"), "{:?}", ordered.cut);
    assert_eq!(leases(&ordered).total, 5);

    // Four are gone before the process that goes on with it counts for the first time.
    let gone = async {
        while world.outside.count() > 2 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), gone).await.expect("four of five leases end");
    let world = world.crash().await;
    let failing = |incident: &Incident| !leases(incident).failures.is_empty();
    let incident = world.incident(&ordered.id, failing).await;
    let step = leases(&incident);
    assert_eq!((step.total, step.done, step.ended, step.failures.len()), (5, 4, None, 1), "{step:?}");
    assert!(step.failures[0].why.contains("owns objects"), "{step:?}");

    world.outside.stick(&stuck.1, false);
    let incident = world.incident(&ordered.id, |incident| incident.finished.is_some()).await;
    let step = leases(&incident);
    assert_eq!((step.total, step.done, step.failures.len()), (5, 5, 0), "{step:?}");
    assert!(step.ended.is_some() && world.outside.has(&other.1) && world.count() == 1);
}
