use crate::house::House;
use serde_json::json;

#[tokio::test]
async fn each_caller_gets_a_login_that_works_and_ends_with_its_lease() {
    let house = House::open().await;
    let (first, second) = (house.login().await, house.login().await);
    assert_ne!(first.username, second.username);
    assert!(first.username.starts_with(&format!("v-root-{}-", house.role)), "{}", first.username);
    assert!(first.lease.starts_with(&format!("database/creds/{}/", house.role)), "{}", first.lease);
    assert!(house.works(&first).await && house.works(&second).await);
    let operator = house.server.operator();
    operator.post("sys/leases/revoke", json!({"lease_id": first.lease, "sync": true})).await.expect(204);
    assert!(!house.works(&first).await);
    assert!(house.works(&second).await);
    operator
        .post(&format!("sys/leases/revoke-prefix/database/creds/{}", house.role), json!({"sync": true}))
        .await
        .expect(204);
    assert_eq!(house.logins(), Vec::<String>::new());
}

#[tokio::test]
async fn a_role_in_capital_letters_is_the_same_role_for_policies_leases_and_the_emergency() {
    let house = House::open().await;
    let (role, loud) = (house.role.clone(), house.role.to_uppercase());
    let (operator, prefix) = (house.server.operator(), format!("database/creds/{role}"));
    let rules = format!(
        r#"path "database/creds/*" {{ capabilities = ["read"] }}
        path "{prefix}" {{ capabilities = ["deny"] }}"#
    );
    house.server.policy("app", &rules).await;
    let token = house.server.token(json!({"policies": ["app"], "no_default_policy": true})).await;
    house.server.by(&token).get(&format!("database/creds/{loud}")).await.expect(403);
    assert_eq!(house.logins(), Vec::<String>::new());
    let orders = [
        (format!("/v1/sys/leases/revoke-prefix/{prefix}"), json!({"sync": true})),
        (format!("/v1/sys/leases/revoke-prefix/database/creds/{loud}"), json!({"sync": true})),
        ("/api/v1/revoke".to_owned(), json!({"lease_prefix": prefix, "reason": "a test"})),
        ("/api/v1/revoke".to_owned(), json!({"lease_prefix": format!("database/creds/{loud}"), "reason": "a test"})),
    ];
    for (path, body) in orders {
        let made = operator.get(&format!("database/creds/{loud}")).await.expect(200);
        assert!(made.text_at("/lease_id").starts_with(&format!("{prefix}/")), "{}", made.text);
        let (username, password) = (made.text_at("/data/username"), made.text_at("/data/password"));
        assert!(house.lets_in(&username, &password).await);
        let headers = [("X-Vault-Token", house.server.root.as_str())];
        let answer = house.server.send_raw("POST", &path, &headers, body.to_string().into_bytes()).await;
        assert!(answer.status.is_success(), "{path}: {}", answer.text);
        house.settle().await;
        assert!(!house.lets_in(&username, &password).await, "{path}: {}", answer.text);
        assert_eq!(house.leases(), 0);
    }
    // A life that was misspelt must not look as if it had been given.
    let made = operator.post(&format!("database/creds/{role}"), json!({"tttl": "5s"})).await.expect(200);
    assert!(made.at("/warnings").to_string().contains("[tttl]"), "{}", made.text);
    let made = operator.post(&format!("database/creds/{role}"), json!({"ttl": "5s"})).await.expect(200);
    assert!(!made.at("/warnings").to_string().contains("ignored"), "{}", made.text);
}

#[tokio::test]
async fn a_login_ends_with_its_time_and_its_open_sessions_with_it() {
    let house = House::open().await;
    let login = house.login().await;
    let socket = tokio::net::TcpStream::connect(("127.0.0.1", house.postgres.port())).await.unwrap();
    let mut config = tokio_postgres::Config::new();
    config.dbname("app").user(&login.username).password(&login.password);
    let (client, connection) = config.connect_raw(socket, tokio_postgres::NoTls).await.unwrap();
    let session = tokio::task::JoinSet::from_iter([connection]);
    client.simple_query("SELECT 1").await.unwrap();
    let renewed = json!({"lease_id": login.lease, "increment": 7200});
    let renewed = house.server.operator().post("sys/leases/renew", renewed).await.expect(200);
    assert_eq!(renewed.at("/lease_duration"), 7200);
    house.later(7_199).await;
    assert!(house.works(&login).await);
    house.later(1).await;
    assert!(!house.works(&login).await);
    assert!(client.simple_query("SELECT 1").await.is_err());
    session.join_all().await.into_iter().for_each(drop);
    assert_eq!(house.logins(), Vec::<String>::new());
}

#[tokio::test]
async fn the_password_of_a_connection_is_never_given_back() {
    let house = House::open().await;
    let answer = house.server.operator().get("database/config/app").await.expect(200);
    assert!(!answer.text.contains(house.postgres.admin().password), "{}", answer.text);
    assert_eq!(answer.at("/data/connection_details/username"), "admin");
    assert_eq!(answer.at("/data/allowed_roles"), &json!(["r*"]));
}

#[tokio::test]
async fn a_role_that_the_connection_does_not_allow_gets_nothing() {
    let house = House::open().await;
    house.configure("app", house.postgres.port(), json!({"allowed_roles": "other"})).await;
    let answer = house.server.operator().get(&format!("database/creds/{}", house.role)).await.expect(403);
    assert!(answer.text.contains("not an allowed role"), "{}", answer.text);
    assert_eq!(house.logins(), Vec::<String>::new());
}

#[tokio::test]
async fn a_login_ends_by_the_statements_that_it_was_made_with_whatever_became_of_its_role() {
    let house = House::open().await;
    let marked = format!("mark_{}", house.role);
    house
        .write_role(json!({"revocation_statements": [
            format!("CREATE TABLE {marked} (a int)"), "DROP OWNED BY \"{{name}}\"", "DROP ROLE \"{{name}}\""
        ]}))
        .await;
    let login = house.login().await;
    house.server.operator().delete(&format!("database/roles/{}", house.role)).await.expect(204);
    let revoke = json!({"lease_id": login.lease});
    house.server.operator().post("sys/leases/revoke", revoke).await.expect(204);
    assert_eq!(house.logins(), Vec::<String>::new());
    assert_eq!(house.postgres.sql(&format!("SELECT count(*) FROM {marked}")), "0");
}

#[tokio::test]
async fn a_connection_that_cannot_be_made_is_refused_when_it_is_written() {
    let house = House::open().await;
    let wrong = json!({"plugin_name": "postgresql-database-plugin", "connection_url": house.postgres.admin().url,
        "username": "admin", "password": "wrong-canary"});
    let answer = house.server.operator().post("database/config/other", wrong).await.expect(400);
    assert!(answer.text.contains("error verifying connection"), "{}", answer.text);
    assert!(!answer.text.contains("wrong-canary"), "{}", answer.text);
    house.server.operator().get("database/config/other").await.expect(404);
}

#[tokio::test]
async fn statements_that_fail_leave_neither_login_nor_lease() {
    let house = House::open().await;
    house
        .write_role(json!({"creation_statements": [
            "CREATE ROLE \"{{name}}\" LOGIN PASSWORD '{{password}}'", "GRANT nobody_there TO \"{{name}}\""
        ]}))
        .await;
    let answer = house.server.operator().get(&format!("database/creds/{}", house.role)).await.expect(502);
    assert!(answer.text.contains("nobody_there"), "{}", answer.text);
    house.settle().await;
    assert_eq!((house.logins().len(), house.leases()), (0, 0));
}

#[tokio::test]
async fn the_trail_names_login_lease_and_caller_of_each_issue_and_revocation() {
    let house = House::open().await;
    let login = house.login().await;
    let revoke = json!({"lease_id": login.lease});
    house.server.operator().post("sys/leases/revoke", revoke).await.expect(204);
    let entries = house.server.world.entries().await;
    let of_login: Vec<_> = entries.iter().filter(|entry| entry.to_string().contains(&login.username)).collect();
    let issue = of_login.iter().find(|entry| entry["kind"] == "outcome").expect("the issue");
    let end = of_login.iter().find(|entry| entry["operation"] == "lease-revoke").expect("the revocation");
    assert!(issue.to_string().contains(&login.lease) && end.to_string().contains(&login.lease));
    assert!(end["principal"].to_string().contains("root") && end["duration_us"].is_number(), "{end}");
    assert!(entries.iter().all(|entry| !entry.to_string().contains(&login.password)));
}

#[tokio::test]
async fn asking_for_the_head_makes_no_login() {
    let house = House::open().await;
    let path = format!("database/creds/{}", house.role);
    house.server.operator().send("HEAD", &path, None).await.expect(405);
    house.server.by("hvs.nobody").send("HEAD", &path, None).await.expect(403);
    assert_eq!((house.logins().len(), house.leases()), (0, 0));
}

#[tokio::test]
async fn the_logins_of_a_mount_end_when_it_moves() {
    let house = House::open().await;
    let login = house.login().await;
    let to = json!({"from": "database", "to": "moved"});
    house.server.operator().post("sys/remount", to).await.expect(200);
    house.settle().await;
    assert!(!house.works(&login).await);
    assert_eq!((house.logins().len(), house.leases()), (0, 0));
    let events: Vec<_> = house.server.world.entries().await;
    assert!(events.iter().any(|e| e["operation"] == "lease-revoke" && e["note"] == "its mount was moved"));
    house.server.operator().get(&format!("moved/creds/{}", house.role)).await.expect(200);
}

#[tokio::test]
async fn a_field_of_a_role_that_nobody_reads_is_named_in_a_warning() {
    let house = House::open().await;
    let role = json!({"db_name": "app", "creation_statements": crate::house::CREATE, "max_tll": "10s"});
    let answer = house.server.operator().post(&format!("database/roles/{}", house.role), role).await.expect(200);
    assert_eq!(answer.at("/warnings/0"), "Endpoint ignored these unrecognized parameters: [max_tll]");
}

#[tokio::test]
async fn callers_who_keep_all_connections_busy_do_not_keep_a_login_from_being_revoked() {
    let house = std::sync::Arc::new(House::open().await);
    house.configure("app", house.postgres.port(), json!({"max_open_connections": 2})).await;
    // Without grants, whose locks would keep others waiting in the database itself.
    let plain = "CREATE ROLE \"{{name}}\" LOGIN PASSWORD '{{password}}'";
    house.write_role(json!({"creation_statements": [plain]})).await;
    let login = house.login().await;
    house.write_role(json!({"creation_statements": [plain, "SELECT pg_sleep(3)"]})).await;
    let mut asking = tokio::task::JoinSet::new();
    for _ in 0..6 {
        let house = std::sync::Arc::clone(&house);
        asking.spawn(async move { house.try_login().await.is_some() });
    }
    let asleep = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'";
    while house.postgres.sql(asleep) == "0" {
        tokio::task::yield_now().await;
    }
    let revoke = json!({"lease_id": login.lease, "sync": true});
    house.server.operator().post("sys/leases/revoke", revoke).await.expect(204);
    assert!(!house.works(&login).await && asking.try_join_next().is_none());
    asking.join_all().await;
}
