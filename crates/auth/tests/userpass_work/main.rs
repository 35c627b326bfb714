//! How much work logins cost. One test in a process of its own, because the count is the process's.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot be set up has failed"
)]

#[allow(dead_code, reason = "the other tests of this method use the rest")]
#[path = "../userpass/house.rs"]
mod house;

use house::{House, WRONG, shut_out, told};
use serde_json::json;
use strongroom_auth::userpass::hashes_computed;
use strongroom_model::Kind;

/// What was told, and how many hashes it took.
async fn cost(house: &House, name: &str, password: &str) -> ((Kind, String), u64) {
    let before = hashes_computed();
    let told = told(house.login(name, password).await);
    (told, hashes_computed() - before)
}

#[tokio::test]
async fn an_unknown_user_costs_the_work_of_a_known_one_and_who_is_shut_out_costs_none() {
    let house = House::with_ann(json!({})).await;
    for name in ["ann", "none"] {
        for _ in 0..5 {
            assert_eq!(cost(&house, name, "wrong").await, ((Kind::Invalid, WRONG.to_owned()), 1), "{name}");
        }
        assert_eq!(cost(&house, name, "secret-of-ann").await, (shut_out(), 0), "{name}");
        assert_eq!(cost(&house, name, "").await.1, 0, "{name}");
    }
    house.advance(15 * 60);
    let before = hashes_computed();
    house.login("ann", "secret-of-ann").await.unwrap();
    house.write("users/ann", json!({ "token_ttl": 60 })).await.unwrap();
    assert_eq!(hashes_computed() - before, 1);
    house.write("users/ann/password", json!({ "password": "x" })).await.unwrap();
    assert_eq!(hashes_computed() - before, 2);
}
