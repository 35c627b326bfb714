//! Drills of roles: a login of each system is used there until that system refuses it.

use crate::house::House;
use serde_json::{Value, json};
use strongroom_testkit::outside::{Admin, MariaDb, RabbitMq, Redis};

/// Drills a role; every login was let in several times, and refused after it was cut off.
async fn is_refused_in_the_end(house: &House, path: &str, word: &str) {
    let headers = [("X-Vault-Token", house.server.root.as_str())];
    let body = json!({"path": path, "rounds": 2}).to_string().into_bytes();
    let answer = house.server.send_raw("POST", "/api/v1/drills/run", &headers, body).await.expect(200);
    let drill = answer.at("/data/drill");
    assert_eq!(drill["state"], "done", "{word}: {drill}");
    let trials = drill["trials"].as_array().unwrap();
    assert_eq!(trials.len(), 2);
    for trial in trials {
        assert_eq!(trial["credential"], "login");
        assert!(trial["uses"].as_u64() > Some(3) && trial["denied_us"].as_u64() > Some(0), "{word}: {trial}");
    }
    assert!(!answer.text.contains("password"), "{word}: {}", answer.text);
    assert_eq!(house.leases(), 0, "{word}");
}

async fn configure(house: &House, name: &str, plugin: &str, admin: &Admin, role: Value) {
    let operator = house.server.operator();
    let config = json!({"plugin_name": plugin, "connection_url": admin.url, "username": admin.username,
        "password": admin.password, "allowed_roles": "*"});
    operator.post(&format!("database/config/{name}"), config).await.expect(204);
    let role = json!({"db_name": name, "creation_statements": role, "default_ttl": "5m"});
    operator.post(&format!("database/roles/{name}"), role).await.expect(204);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_login_of_each_system_is_drilled_until_that_system_refuses_it() {
    let (house, mariadb, redis, rabbitmq) =
        tokio::join!(House::open(), MariaDb::start(), Redis::start(), RabbitMq::start());
    is_refused_in_the_end(&house, &format!("database/creds/{}", house.role), "PostgreSQL").await;
    let statements = json!("CREATE USER '{{name}}'@'%' IDENTIFIED BY '{{password}}'");
    configure(&house, "maria", "mysql-database-plugin", &mariadb.admin(), statements).await;
    is_refused_in_the_end(&house, "database/roles/maria", "MariaDB").await;
    configure(&house, "redis", "redis-database-plugin", &redis.admin(), json!("[\"+@read\"]")).await;
    is_refused_in_the_end(&house, "database/redis", "Redis").await;
    let (operator, admin) = (house.server.operator(), rabbitmq.admin());
    operator.post("sys/mounts/rabbitmq", json!({"type": "rabbitmq"})).await.expect(204);
    let connection = json!({"connection_uri": admin.url, "username": admin.username, "password": admin.password});
    operator.post("rabbitmq/config/connection", connection).await.expect(204);
    operator.post("rabbitmq/roles/app", json!({"tags": "management"})).await.expect(204);
    is_refused_in_the_end(&house, "rabbitmq/creds/app", "RabbitMQ").await;
    // What hands out nothing that could be tried is not there for a drill.
    for path in ["database/static-creds/none", "database/config/maria", "rabbitmq/creds/none", "sys/mounts"] {
        let headers = [("X-Vault-Token", house.server.root.as_str())];
        let body = json!({ "path": path }).to_string().into_bytes();
        let answer = house.server.send_raw("POST", "/api/v1/drills/run", &headers, body).await;
        assert_eq!(answer.status.as_u16(), 404, "{path}: {}", answer.text);
    }
}
