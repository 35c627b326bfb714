use crate::house::House;
use serde_json::{Value, json};
use strongroom_model::Clock;

impl House {
    /// A static role over a login that is there, with the password `first`; gives the login's name.
    async fn static_role(&self, more: Value) -> String {
        let username = self.existing_login("first");
        let mut body = json!({"db_name": "app", "username": username, "rotation_period": "24h"});
        crate::house::merge(&mut body, more);
        let path = format!("database/static-roles/{}", self.role);
        self.server.operator().post(&path, body).await.expect(204);
        username
    }

    async fn static_password(&self) -> String {
        let path = format!("database/static-creds/{}", self.role);
        self.server.operator().get(&path).await.expect(200).text_at("/data/password")
    }

    /// What the trail says of changes that nobody asked for.
    async fn told_of_changes(&self) -> Vec<Value> {
        let entries = self.server.world.entries().await;
        entries.into_iter().filter(|entry| entry["operation"] == "static-role-rotate").collect()
    }

    async fn shown(&self) -> Value {
        let path = format!("database/static-roles/{}", self.role);
        self.server.operator().get(&path).await.expect(200).at("/data").clone()
    }
}

#[tokio::test]
async fn the_password_of_an_existing_login_is_changed_at_once_on_request_and_in_time() {
    let house = House::open().await;
    let username = house.static_role(json!({})).await;
    assert!(!house.lets_in(&username, "first").await);
    let mut seen = vec!["first".to_owned(), house.static_password().await];
    let path = format!("database/rotate-role/{}", house.role);
    house.server.operator().post(&path, json!({})).await.expect(204);
    seen.push(house.static_password().await);
    house.later(86_399).await;
    assert_eq!(house.static_password().await, seen[2]);
    house.later(1).await;
    seen.push(house.static_password().await);
    let told = house.told_of_changes().await;
    assert_eq!(
        (told.len(), &told[0]["subject"], &told[0]["outcome"]["result"]),
        (1, &json!(username), &json!("ok")),
        "{told:?}"
    );
    assert!(told[0]["duration_us"].is_number() && told[0]["mount"]["path"] == "database", "{told:?}");
    let all = house.server.world.entries().await;
    assert!(all.iter().all(|entry| seen[1..].iter().all(|password| !entry.to_string().contains(password))));
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), 4);
    assert!(house.lets_in(&username, &house.static_password().await).await);
    let creds = house.server.operator().get(&format!("database/static-creds/{}", house.role)).await.expect(200);
    assert_eq!(creds.at("/data/username"), &json!(username));
    assert_eq!((creds.at("/data/ttl"), creds.at("/data/rotation_period")), (&json!(86_400), &json!(86_400)));
    assert_eq!(creds.at("/data/last_vault_rotation"), &json!(house.server.world.clock.now()));
    house.server.operator().delete(&format!("database/static-roles/{}", house.role)).await.expect(204);
    house.server.operator().get(&format!("database/static-creds/{}", house.role)).await.expect(400);
}

#[tokio::test]
async fn a_password_that_is_told_is_kept_until_its_time() {
    let house = House::open().await;
    let username = house.existing_login("first");
    let path = format!("database/static-roles/{}", house.role);
    let mut body = json!({"db_name": "app", "username": username, "rotation_schedule": "0 3 * * SAT",
        "rotation_window": "2h", "skip_import_rotation": true, "password": "wrong-canary"});
    let refused = house.server.operator().post(&path, body.clone()).await.expect(400);
    assert!(!refused.text.contains("wrong-canary"), "{}", refused.text);
    body["password"] = json!("first");
    house.server.operator().post(&path, body).await.expect(204);
    assert_eq!(house.static_password().await, "first");
    let shown = house.shown().await;
    assert_eq!((&shown["rotation_schedule"], &shown["rotation_window"]), (&json!("0 3 * * SAT"), &json!(7_200)));
    // A week has one such hour.
    let clock = &house.server.world.clock;
    let planned = strongroom_model::Timestamp::parse(shown["next_vault_rotation"].as_str().unwrap()).unwrap();
    house.later(planned.since(clock.now()).as_secs() + 1).await;
    assert_ne!(house.static_password().await, "first");
    assert!(house.lets_in(&username, &house.static_password().await).await);
}

#[tokio::test]
async fn a_change_that_fails_is_seen_tried_again_and_holds_up_no_other_database() {
    let (house, other) = (House::alone().await, House::open().await);
    let here = house.static_role(json!({})).await;
    house.server.operator().post("database/config/other", json!({
        "plugin_name": "postgresql-database-plugin", "connection_url": other.postgres.admin().url,
        "username": other.postgres.admin().username, "password": other.postgres.admin().password, "allowed_roles": "*",
    })).await.expect(204);
    let there = other.existing_login("first");
    let body = json!({"db_name": "other", "username": there, "rotation_period": "24h"});
    house.server.operator().post("database/static-roles/there", body).await.expect(204);
    let before = house.server.operator().get("database/static-creds/there").await.expect(200).text_at("/data/password");
    house.postgres.stop();
    house.later(86_400).await;
    let after = house.server.operator().get("database/static-creds/there").await.expect(200).text_at("/data/password");
    assert_ne!(before, after);
    let shown = house.shown().await;
    assert!(shown["rotation_error"].as_str().unwrap().contains("cannot be reached"), "{shown}");
    assert_eq!(shown["rotation_failures"], 1);
    house.later(6).await;
    assert_eq!(house.shown().await["rotation_failures"], 2);
    house.postgres.restart().await;
    house.later(11).await;
    // There, and here the first failure and the success.
    let told = house.told_of_changes().await;
    let mut ends: Vec<_> =
        told.iter().map(|e| (e["subject"] == here.as_str(), e["outcome"]["result"] == "ok")).collect();
    assert_eq!(ends.pop(), Some((true, true)), "{told:?}");
    ends.sort();
    assert_eq!(ends, [(false, true), (true, false)], "{told:?}");
    assert!(house.lets_in(&here, &house.static_password().await).await);
    assert!(house.shown().await["rotation_error"].is_null());
}

#[tokio::test]
async fn a_window_that_passed_is_not_made_up_for() {
    let house = House::alone().await;
    let window = json!({"rotation_period": null, "rotation_schedule": "0 3 * * *", "rotation_window": "1h"});
    house.static_role(window).await;
    let kept = house.static_password().await;
    let clock = &house.server.world.clock;
    let planned = house.shown().await["next_vault_rotation"].as_str().unwrap().to_owned();
    let planned = strongroom_model::Timestamp::parse(&planned).unwrap();
    house.later(planned.since(clock.now()).as_secs() + 3_601).await;
    assert_eq!(house.static_password().await, kept);
    let shown = house.shown().await;
    assert!(shown["rotation_error"].as_str().unwrap().contains("rotation_window"), "{shown}");
    house.later(86_400 - 3_600).await;
    assert_ne!(house.static_password().await, kept);
}

#[tokio::test]
async fn a_clock_that_jumps_back_puts_no_change_off_by_more_than_its_period() {
    let house = House::open().await;
    house.static_role(json!({"rotation_period": "1h"})).await;
    let first = house.static_password().await;
    house.later(86_400).await;
    let second = house.static_password().await;
    assert_ne!(first, second);
    house.server.world.clock.turn_back(std::time::Duration::from_secs(86_400));
    house.settle().await;
    assert_eq!(house.static_password().await, second);
    house.later(3_602).await;
    assert_ne!(house.static_password().await, second);
}

#[tokio::test]
async fn statements_that_change_nothing_are_found_out() {
    let house = House::open().await;
    let username = house.static_role(json!({})).await;
    let path = format!("database/static-roles/{}", house.role);
    house.server.operator().post(&path, json!({"rotation_statements": "SELECT 1"})).await.expect(204);
    let answer = house.server.operator().post(&format!("database/rotate-role/{}", house.role), json!({})).await;
    assert!(answer.expect(502).text.contains("still has its old password"));
    assert!(house.lets_in(&username, &house.static_password().await).await);
}

#[tokio::test]
async fn a_static_role_that_cannot_be_made_is_not_kept() {
    let house = House::open().await;
    let path = format!("database/static-roles/{}", house.role);
    let login = json!({"db_name": "app", "username": "nobody_there", "rotation_period": "1h"});
    house.server.operator().post(&path, login).await.expect(502);
    house.server.operator().get(&path).await.expect(404);
    for (body, said) in [
        (json!({"username": "a", "rotation_period": "1h"}), "db_name"),
        (json!({"db_name": "app", "rotation_period": "1h"}), "username"),
        (json!({"db_name": "app", "username": "a"}), "rotation_schedule or rotation_period"),
        (json!({"db_name": "app", "username": "a", "rotation_period": "1s"}), "5 seconds"),
    ] {
        let answer = house.server.operator().post(&path, body).await.expect(400);
        assert!(answer.text.contains(said), "{}", answer.text);
    }
}

#[tokio::test]
async fn a_login_that_is_somebody_elses_to_change_gets_no_static_role() {
    let house = House::open().await;
    let own = json!({"db_name": "app", "username": house.postgres.admin().username, "rotation_period": "24h"});
    let path = format!("database/static-roles/{}", house.role);
    let refused = house.server.operator().post(&path, own).await.expect(400);
    assert!(refused.text.contains("the login of the connection"), "{}", refused.text);
    let username = house.static_role(json!({})).await;
    let second = json!({"db_name": "app", "username": username, "rotation_period": "24h"});
    let refused = house.server.operator().post(&format!("{path}-2"), second).await.expect(400);
    assert!(refused.text.contains("keeps the password"), "{}", refused.text);
    // Nor may the connection come to use it afterwards.
    let over = json!({"username": username, "password": "x", "verify_connection": false});
    let refused = house.server.operator().post("database/config/app", over).await.expect(400);
    assert!(refused.text.contains("keeps the password"), "{}", refused.text);
    assert!(house.lets_in(&username, &house.static_password().await).await);
    house.login().await;
}

/// The same server by another name of a connection, of a host, and of a mount: what counts is the login.
#[tokio::test]
async fn no_static_role_keeps_a_login_that_another_connection_or_mount_holds() {
    let house = House::open().await;
    let (operator, admin, port) = (house.server.operator(), house.postgres.admin(), house.postgres.port());
    let username = house.static_role(json!({})).await;
    let refused = async |path: &str, body: Value, said: &str| {
        let answer = operator.post(path, body).await.expect(400);
        assert!(answer.text.contains(said), "{path}: {}", answer.text);
    };
    house
        .configure(
            "second",
            port,
            json!({"connection_url":
        format!("postgresql://{{{{username}}}}:{{{{password}}}}@LOCALHOST:{port}/postgres?sslmode=disable")}),
        )
        .await;
    let of = |db: &str, login: &str| json!({"db_name": db, "username": login, "rotation_period": "24h"});
    let role = format!("database/static-roles/{}-2", house.role);
    refused(&role, of("second", &username), "keeps the password").await;
    refused(&role, of("second", admin.username), "the login of the connection").await;
    operator.post("sys/mounts/elsewhere", json!({"type": "database"})).await.expect(204);
    let there = |username: &str, port: u16| {
        json!({
            "plugin_name": "postgresql-database-plugin", "connection_url": house.postgres.url(port), "username": username,
            "password": admin.password, "allowed_roles": "*", "verify_connection": false,
        })
    };
    refused("elsewhere/config/app", there(&username, port), "static role of another mount").await;
    operator.post("elsewhere/config/app", there(admin.username, port)).await.expect(204);
    let role = format!("elsewhere/static-roles/{}", house.role);
    refused(&role, of("app", &username), "kept by a static role of another mount").await;
    // A connection that leads elsewhere at first, and is then turned to that server, brings its roles along.
    operator.post("elsewhere/config/turned", there("somebody", 1)).await.expect(204);
    let mut waits = of("turned", &username);
    crate::house::merge(&mut waits, json!({"skip_import_rotation": true}));
    operator.post(&role, waits).await.expect(204);
    refused("elsewhere/config/turned", there("somebody", port), "in use there already").await;
    // What a mount held is free when it is gone.
    operator.delete("sys/mounts/database").await.expect(204);
    operator.post("elsewhere/config/turned", there("somebody", port)).await.expect(204);
}

#[tokio::test]
async fn who_asks_the_trail_for_a_login_finds_all_that_was_done_with_its_static_role() {
    let house = House::open().await;
    let username = house.static_role(json!({})).await;
    house.static_password().await;
    let operator = house.server.operator();
    operator.post(&format!("database/rotate-role/{}", house.role), json!({})).await.expect(204);
    operator.delete(&format!("database/static-roles/{}", house.role)).await.expect(204);
    let entries = house.server.world.entries().await;
    let about = entries.iter().filter(|entry| entry["subject"] == username.as_str());
    let found: Vec<String> = about.map(|entry| entry["path"].as_str().unwrap_or_default().to_owned()).collect();
    let of = |place: &str| format!("database/{place}/{}", house.role);
    assert_eq!(found, [of("static-roles"), of("static-creds"), of("rotate-role"), of("static-roles")]);
}
