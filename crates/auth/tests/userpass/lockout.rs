use crate::house::{HERE, House, WRONG, shut_out, told};
use serde_json::json;
use std::sync::Arc;
use strongroom_core::Operation;
use strongroom_model::Kind;
use strongroom_storage::Memory;
use tokio::task::JoinSet;

const QUARTER: u64 = 15 * 60;

#[tokio::test]
async fn five_failures_shut_a_user_out_for_a_quarter_of_an_hour() {
    let house = House::with_ann(json!({})).await;
    house.fail("ann", 5).await;
    for password in ["wrong", "secret-of-ann"] {
        assert_eq!(told(house.login("ann", password).await), shut_out());
    }
    house.advance(QUARTER - 1);
    assert_eq!(told(house.login("ann", "secret-of-ann").await), shut_out(), "asking does not matter");
    house.advance(1);
    assert!(house.login("ann", "secret-of-ann").await.is_ok());
    house.fail("ann", 4).await;
}

#[tokio::test]
async fn a_name_without_a_user_is_shut_out_in_the_same_way() {
    let house = House::new().await;
    house.fail("none", 5).await;
    assert_eq!(told(house.login("none", "wrong").await), shut_out());
    house.advance(QUARTER);
    house.fail("none", 5).await;
    assert_eq!(told(house.login("none", "wrong").await), shut_out());
}

#[tokio::test]
async fn another_spelling_is_the_same_name() {
    let house = House::with_ann(json!({})).await;
    for spelling in ["ann", "Ann", "ANN", "aNN", "anN"] {
        house.fail(spelling, 1).await;
    }
    for spelling in ["ann", "AnN"] {
        assert_eq!(told(house.login(spelling, "secret-of-ann").await), shut_out(), "{spelling}");
    }
    // A blank is not dropped but refused, so it does not begin anew either (CVE-2025-6004).
    for spelling in [" ann", "ann ", "ann\u{a0}"] {
        assert_eq!(told(house.login(spelling, "secret-of-ann").await).0, Kind::Invalid, "{spelling:?}");
    }
}

#[tokio::test]
async fn a_success_ends_counting_and_so_does_time() {
    let house = House::with_ann(json!({})).await;
    house.fail("ann", 4).await;
    assert!(house.login("ann", "secret-of-ann").await.is_ok());
    house.fail("ann", 4).await;
    house.advance(QUARTER);
    house.fail("ann", 4).await;
    house.advance(QUARTER - 1);
    house.fail("ann", 1).await;
    assert_eq!(told(house.login("ann", "secret-of-ann").await), shut_out(), "counted from the last failure");
}

#[tokio::test]
async fn the_right_password_from_the_wrong_place_neither_counts_nor_ends_counting() {
    let house = House::with_ann(json!({ "token_bound_cidrs": "10.0.0.0/8" })).await;
    house.fail("ann", 4).await;
    for _ in 0..3 {
        assert_eq!(told(house.login("ann", "secret-of-ann").await), shut_out());
    }
    assert!(house.login_from(Some("10.0.0.1"), "ann", "secret-of-ann").await.is_ok());
    house.fail("ann", 4).await;
    assert_eq!(told(house.login("ann", "secret-of-ann").await), shut_out());
    house.fail("ann", 1).await;
    assert_eq!(told(house.login_from(Some("10.0.0.1"), "ann", "secret-of-ann").await), shut_out());
}

#[tokio::test]
async fn others_are_not_shut_out_nor_the_same_name_elsewhere() {
    let house = House::with_ann(json!({})).await;
    house.write("users/bob", json!({ "password": "x" })).await.unwrap();
    house.enable("auth/others").await;
    let elsewhere = async |token, path, sent| house.ask_at(token, Some(HERE), Operation::Write, path, sent).await;
    elsewhere(Some(&house.root), "auth/others/users/ann", json!({ "password": "y" })).await.unwrap();
    house.fail("ann", 5).await;
    assert!(house.login("bob", "x").await.is_ok());
    assert!(elsewhere(None, "auth/others/login/ann", json!({ "password": "y" })).await.is_ok());
    assert_eq!(told(house.login("ann", "secret-of-ann").await), shut_out());
}

#[tokio::test]
async fn neither_a_new_password_nor_a_new_user_of_the_name_lets_in() {
    let house = House::with_ann(json!({})).await;
    house.fail("ann", 5).await;
    house.write("users/ann/password", json!({ "password": "second" })).await.unwrap();
    assert_eq!(told(house.login("ann", "second").await), shut_out());
    house.delete("users/ann").await.unwrap();
    house.write("users/ann", json!({ "password": "third" })).await.unwrap();
    assert_eq!(told(house.login("ann", "third").await), shut_out());
}

#[tokio::test]
async fn a_restart_does_not_forget() {
    let store = Arc::new(Memory::new());
    let (house, share) = House::with_share(store.clone()).await;
    house.write("users/ann", json!({ "password": "x" })).await.unwrap();
    house.fail("ann", 3).await;
    let again = House::again(store.clone(), share, house.root.duplicate()).await;
    again.fail("ann", 2).await;
    assert_eq!(told(again.login("ann", "x").await), shut_out());
}

#[tokio::test]
async fn of_many_guesses_at_once_no_more_than_five_are_looked_at() {
    let house = Arc::new(House::with_ann(json!({})).await);
    let mut guesses = JoinSet::new();
    for _ in 0..20 {
        let house = Arc::clone(&house);
        guesses.spawn(async move { told(house.login("ann", "wrong").await) });
    }
    let told = guesses.join_all().await;
    assert_eq!(told.iter().filter(|(_, text)| text == WRONG).count(), 5);
    assert_eq!(told.iter().filter(|told| **told == shut_out()).count(), 15);
}

#[tokio::test]
async fn what_is_no_longer_needed_is_removed() {
    let house = House::with_ann(json!({})).await;
    assert_eq!(house.records_of(house.fail("ann", 3)).await, 2, "one count and its end");
    house.advance(1);
    assert_eq!(house.records_of(house.fail("ann", 1)).await, 0);
    for name in 0..9 {
        house.fail(&format!("none-{name}"), 1).await;
    }
    let alive = house.records().await;
    house.advance(QUARTER);
    // Each failure removes up to four counts that are dead, of which its own name's is none.
    house.fail("none-0", 1).await;
    assert_eq!(house.records().await, alive - 4 * 2);
    house.fail("other", 1).await;
    house.fail("other", 1).await;
    assert_eq!(house.records().await, alive - 9 * 2 + 2, "left are two names");
    assert_eq!(house.records_of(house.fail("none-0", 3)).await, 0);
    assert_eq!(told(house.login("none-0", "wrong").await).0, Kind::Invalid, "its fifth failure in this quarter");
    assert_eq!(told(house.login("none-0", "wrong").await), shut_out());
}

#[tokio::test]
async fn a_success_leaves_no_count_behind() {
    let house = House::with_ann(json!({})).await;
    let login = async || assert!(house.login("ann", "secret-of-ann").await.is_ok());
    login().await;
    let of_a_token = house.records_of(login()).await;
    let fail_and_login = async {
        house.fail("ann", 2).await;
        login().await;
    };
    assert_eq!(house.records_of(fail_and_login).await, of_a_token);
}
