//! What is killed or lost in a rotation, at any moment, is made up for.

use super::case::{Case, Outside};
use crate::house::House;
use serde_json::json;
use std::sync::Arc;
use strongroom_testkit::outside::Relay;

/// What can be killed or lost in one rotation of each strategy, from any moment on.
async fn killed_at_every_commit(outside: Outside, way: &'static str) {
    let mut case = Case::straight(outside, way).await;
    case.rotate().await;
    for commits in 0..64 {
        case.house.way.cut_after(commits);
        let begun = case.ask("POST", "start", None).await.status.is_success();
        if begun {
            // A former login goes when its time is over.
            case.settle().await;
            case.later(301).await;
            case.later(301).await;
        }
        let was_cut = case.house.way.is_cut();
        case.house = case.house.crash().await;
        case.to_the_end().await;
        let outcome = case.history().await.first().map(|past| past["outcome"].clone());
        assert_eq!(outcome, Some(json!({"result": "rotated"})), "{} {way} after {commits}", case.outside.word());
        case.is_well(&format!("killed after {commits} commits")).await;
        if !was_cut {
            assert!(commits > 5, "a rotation of {commits} commits");
            return;
        }
    }
    panic!("a rotation of {} {way} never ended", case.outside.word());
}

/// How a relay is told to fail.
type Fault = fn(&Relay, &str);

/// Each kind of request is lost on its way there or back, or unanswered when the process dies.
async fn lost_at_every_act(outside: Outside, way: &'static str) {
    let relay = Relay::to(outside.port()).await;
    let mut case = Case::new(House::open().await, outside, way, relay.port()).await;
    let faults: [(&str, Fault); 3] =
        [("request", Relay::lose_request), ("reply", Relay::lose_reply), ("answer and process", Relay::lose_reply)];
    for (number, mark) in case.outside.marks().into_iter().enumerate() {
        for (what, fault) in faults {
            // Two rotations: what makes a login happens in the first, what drops one in the second.
            for _ in 0..2 {
                fault(&relay, mark);
                case.ask("POST", "start", None).await.expect(200);
                case.settle().await;
                if what.ends_with("process") {
                    case.house = case.house.crash().await;
                }
                case.to_the_end().await;
                case.is_well(&format!("{what} of act {number} lost")).await;
                let last = case.history().await.remove(0);
                assert_eq!(last["outcome"], json!({"result": "rotated"}), "{} {way} {mark}", case.outside.word());
            }
        }
    }
}

#[tokio::test]
async fn killed_at_any_commit_a_rotation_goes_on_and_the_value_in_force_works() {
    let postgres = || async { Outside::Postgres(Arc::clone(&House::open().await.postgres)) };
    for way in ["single", "single-self", "alternating", "new-user"] {
        killed_at_every_commit(postgres().await, way).await;
        killed_at_every_commit(Outside::mariadb().await, way).await;
    }
    for way in ["single", "alternating", "new-user"] {
        killed_at_every_commit(Outside::redis().await, way).await;
        killed_at_every_commit(Outside::rabbitmq().await, way).await;
    }
}

#[tokio::test]
async fn a_request_or_answer_that_is_lost_in_any_phase_is_made_up_for() {
    let postgres = || async { Outside::Postgres(Arc::clone(&House::open().await.postgres)) };
    for way in ["single", "single-self", "alternating", "new-user"] {
        lost_at_every_act(postgres().await, way).await;
        lost_at_every_act(Outside::mariadb().await, way).await;
    }
    for way in ["single", "alternating", "new-user"] {
        lost_at_every_act(Outside::redis().await, way).await;
        lost_at_every_act(Outside::rabbitmq().await, way).await;
    }
}
