//! MariaDB and Redis: the same paths, other words.

use crate::house::{House, lets_in, merge};
use serde_json::{Value, json};
use strongroom_connectors::System;
use strongroom_testkit::outside::{Admin, MariaDb, Redis};

struct Other<'a> {
    house: &'a House,
    system: System,
    admin: Admin,
}

impl Other<'_> {
    async fn configure(&self, plugin: &str, more: Value) {
        let mut body = json!({"plugin_name": plugin, "connection_url": self.admin.url, "allowed_roles": "*",
            "username": self.admin.username, "password": self.admin.password});
        merge(&mut body, more);
        self.house.server.operator().post("database/config/other", body).await.expect(204);
    }

    async fn lets_in(&self, username: &str, password: &str) -> bool {
        lets_in(self.system, &self.admin, username, password).await
    }

    /// A login comes, works and ends; the password of one that is there is kept; that of the connection changes.
    async fn goes_through_everything(&self, role: Value, existing: &str) {
        let operator = self.house.server.operator();
        operator.post("database/roles/other", role).await.expect(204);
        let made = operator.get("database/creds/other").await.expect(200);
        let (username, password) = (made.text_at("/data/username"), made.text_at("/data/password"));
        assert!(self.lets_in(&username, &password).await);
        let renew = json!({"lease_id": made.text_at("/lease_id"), "increment": "30m"});
        operator.post("sys/leases/renew", renew).await.expect(200);
        operator.post("sys/leases/revoke", json!({"lease_id": made.text_at("/lease_id")})).await.expect(204);
        assert!(!self.lets_in(&username, &password).await);

        let body = json!({"db_name": "other", "username": existing, "rotation_period": "24h"});
        operator.post("database/static-roles/kept", body).await.expect(204);
        let first = operator.get("database/static-creds/kept").await.expect(200).text_at("/data/password");
        assert!(self.lets_in(existing, &first).await);
        operator.post("database/rotate-role/kept", json!({})).await.expect(204);
        assert!(!self.lets_in(existing, &first).await);
        let second = operator.get("database/static-creds/kept").await.expect(200).text_at("/data/password");
        assert!(self.lets_in(existing, &second).await);

        // Last: the test does not get in any more either.
        let left = operator.get("database/creds/other").await.expect(200);
        operator.post("database/rotate-root/other", json!({})).await.expect(204);
        operator.post("database/reset/other", json!({})).await.expect(204);
        operator.post("sys/leases/revoke", json!({"lease_id": left.text_at("/lease_id")})).await.expect(204);
        assert_eq!(self.house.leases(), 0);
    }
}

#[tokio::test]
async fn mariadb_logins_come_and_go_and_their_passwords_change() {
    let (house, mariadb) = (House::open().await, MariaDb::start().await);
    mariadb.sql("CREATE USER 'existing'@'%' IDENTIFIED BY 'first'");
    let other = Other { house: &house, system: System::Mysql, admin: mariadb.admin() };
    other.configure("mysql-database-plugin", json!({})).await;
    let statements = "CREATE USER '{{name}}'@'%' IDENTIFIED BY '{{password}}'; GRANT SELECT ON app.* TO '{{name}}'@'%'";
    other.goes_through_everything(json!({"db_name": "other", "creation_statements": statements}), "existing").await;
    assert_eq!(mariadb.sql("SELECT count(*) FROM mysql.user WHERE User LIKE 'v-%'"), "0");
}

#[tokio::test]
async fn redis_users_come_and_go_and_their_passwords_change() {
    let (house, redis) = (House::open().await, Redis::start().await);
    redis.command(&["ACL", "SETUSER", "existing", "on", ">first", "~*", "+@read"]);
    let other = Other { house: &house, system: System::Redis, admin: redis.admin() };
    // As Vault's plug-in has it: host and port in the place of an address.
    let place = json!({"connection_url": null, "host": "127.0.0.1", "port": redis.port()});
    other.configure("redis-database-plugin", place).await;
    let role = json!({"db_name": "other", "creation_statements": "[\"~app:*\", \"+@read\"]", "default_ttl": "5m"});
    other.goes_through_everything(role, "existing").await;
}

/// Expired together, and so not recalled: each comes due for itself.
#[tokio::test]
async fn ten_thousand_leases_that_end_at_once_leave_no_user() {
    const MANY: usize = 10_000;
    const CALLERS: usize = 16;
    let (house, redis) = (std::sync::Arc::new(House::open().await), Redis::start().await);
    let other = Other { house: &house, system: System::Redis, admin: redis.admin() };
    other.configure("redis-database-plugin", json!({"max_open_connections": CALLERS})).await;
    let role = json!({"db_name": "other", "creation_statements": "[\"+@read\"]", "default_ttl": "1h"});
    house.server.operator().post("database/roles/other", role).await.expect(204);
    let mut asking = tokio::task::JoinSet::new();
    for _ in 0..CALLERS {
        let house = std::sync::Arc::clone(&house);
        asking.spawn(async move {
            for _ in 0..MANY / CALLERS {
                house.server.operator().get("database/creds/other").await.expect(200);
            }
        });
    }
    asking.join_all().await;
    let users = || redis.command(&["ACL", "USERS"]).lines().filter(|user| user.starts_with('V')).count();
    assert_eq!((users(), house.leases()), (MANY, MANY as u64));
    house.later(3_600).await;
    assert_eq!((users(), house.leases()), (0, 0));
}
