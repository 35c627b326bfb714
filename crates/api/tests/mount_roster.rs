//! What becomes of mounts and of lists when somebody takes records out of the store behind the server's back.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use serde_json::{Value, json};
use std::sync::Arc;
use strongroom_core::mount::MountClass;
use strongroom_core::{Share, State};
use strongroom_storage::{Entry, Epoch, IdemToken, Memory, Op, Store, Txn};
use strongroom_testkit::{TestServer, World};

/// A store with these entries.
async fn store_of(entries: impl Iterator<Item = &Entry>) -> Arc<Memory> {
    let store = Arc::new(Memory::new());
    for (number, entry) in entries.enumerate() {
        let ops = vec![Op::Put { key: entry.key.clone(), value: entry.value.clone() }];
        let txn = Txn { compares: Vec::new(), ops, idem: IdemToken((number as u128 + 1).to_be_bytes()) };
        store.commit(Epoch::default(), txn).await.unwrap();
    }
    store
}

/// The accessors of all mounts after unsealing, or why it was refused.
async fn unsealed(store: Arc<Memory>, shares: &[Share]) -> Result<Vec<String>, String> {
    let world = World::over(store).await;
    if !matches!(world.strongroom.state(), State::Sealed(_)) {
        return Err("no seal record".to_owned());
    }
    for share in shares.iter().take(2) {
        let share = Share::parse(&share.to_hex()).map_err(|error| error.to_string())?;
        world.strongroom.unseal(share).await.map_err(|error| error.to_string())?;
    }
    let rooms = world.rooms();
    let table = rooms.mounts.table();
    let all = table.of(MountClass::Secret).into_iter().chain(table.of(MountClass::Auth));
    Ok(all.map(|mount| mount.accessor.clone()).collect())
}

#[tokio::test]
async fn no_mount_vanishes_unnoticed_when_its_record_is_taken_out_of_the_store() {
    let (world, shares, _) = World::sealed().await;
    let entries = world.snapshot().await;
    let whole = unsealed(store_of(entries.iter()).await, &shares).await.unwrap();
    assert!(whole.len() >= 4, "{whole:?}");
    let mut refused = 0;
    // Without the seal's record, the one that is not sealed itself, no server starts at all.
    for missing in entries.iter().filter(|entry| entry.value.first() != Some(&b'{')) {
        let rest = store_of(entries.iter().filter(|entry| entry.key != missing.key)).await;
        match unsealed(rest, &shares).await {
            Ok(accessors) => assert_eq!(accessors, whole, "a mount was lost in silence"),
            Err(_) => refused += 1,
        }
    }
    // The four mounts, the roster, and what the barrier itself stands on.
    assert!(refused >= 5, "{refused}");
}

/// Puts a row into the store behind the server's back, or takes it out.
async fn tamper(server: &TestServer, op: Op) {
    // The same mark would commit only once.
    let idem = IdemToken(server.world.strongroom.entropy().array());
    let txn = Txn { compares: Vec::new(), ops: vec![op], idem };
    server.world.store.commit(Epoch::default(), txn).await.unwrap();
}

/// Makes the second of two things, and takes out of the store, one by one, each row that came with it: the list is as before,
/// or it fails and says why. Says how often it failed.
async fn losses_noticed(server: &TestServer, list: &str, make: [(&str, Value); 2]) -> usize {
    let [first, second] = make;
    let operator = server.operator();
    let made = async |(path, body): (&str, Value)| operator.post(path, body).await;
    assert!(made(first.clone()).await.status.is_success(), "{}", first.0);
    let before = server.world.snapshot().await;
    let done = made(second.clone()).await;
    assert!(done.status.is_success(), "{}: {}", second.0, done.text);
    let whole = operator.list(list).await.expect(200).at("/data/keys").clone();
    let after = server.world.snapshot().await;
    let mut noticed = 0;
    for row in after.iter().filter(|row| before.iter().all(|known| known.key != row.key)) {
        tamper(server, Op::Delete { key: row.key.clone() }).await;
        let answer = operator.list(list).await;
        match answer.status.as_u16() {
            200 => assert_eq!(answer.at("/data/keys"), &whole, "{list} got shorter in silence"),
            status => {
                assert_eq!(status, 500, "{list}: {}", answer.text);
                noticed += 1;
            }
        }
        tamper(server, Op::Put { key: row.key.clone(), value: row.value.clone() }).await;
    }
    assert_eq!(operator.list(list).await.expect(200).at("/data/keys"), &whole, "{list}");
    noticed
}

#[tokio::test]
async fn no_list_gets_shorter_in_silence_when_a_record_is_taken_out_of_the_store() {
    let password = || json!({"password": "one"});
    let connection = || {
        json!({"plugin_name": "postgresql-database-plugin", "verify_connection": false, "allowed_roles": "*",
            "connection_url": "postgresql://{{username}}:{{password}}@127.0.0.1:1/x", "username": "a", "password": "b"})
    };
    let role = || json!({"db_name": "a", "creation_statements": ["CREATE ROLE \"{{name}}\""]});
    let key = |name: &str| json!({"name": name, "policies": ["default"]});
    let cases = [
        ("auth/people/users", [("auth/people/users/ann", password()), ("auth/people/users/bob", password())]),
        ("auth/approle/role", [("auth/approle/role/a", json!({})), ("auth/approle/role/b", json!({}))]),
        (
            "auth/approle/role/a/secret-id",
            [("auth/approle/role/a/secret-id", json!({})), ("auth/approle/role/a/secret-id", json!({}))],
        ),
        ("identity/entity/id", [("identity/entity", json!({"name": "a"})), ("identity/entity", json!({"name": "b"}))]),
        (
            "identity/entity/name",
            [("identity/entity", json!({"name": "c"})), ("identity/entity", json!({"name": "d"}))],
        ),
        ("cubbyhole/", [("cubbyhole/a", json!({"k": "v"})), ("cubbyhole/b", json!({"k": "v"}))]),
        ("database/config", [("database/config/a", connection()), ("database/config/b", connection())]),
        ("database/roles", [("database/roles/a", role()), ("database/roles/b", role())]),
        ("sys/access-keys", [("sys/access-keys", key("a")), ("sys/access-keys", key("b"))]),
    ];
    let server = TestServer::open().await;
    let operator = server.operator();
    operator.post("sys/auth/people", json!({"type": "userpass"})).await.expect(204);
    operator.post("sys/auth/approle", json!({"type": "approle"})).await.expect(204);
    operator.post("sys/mounts/database", json!({"type": "database"})).await.expect(204);
    for (list, make) in cases {
        assert!(losses_noticed(&server, list, make).await >= 1, "nothing that {list} shows was taken out");
    }
}

/// Who has the disk could let a principal in again that an incident holds.
#[tokio::test]
async fn what_an_incident_holds_is_not_let_go_by_taking_records_out_of_the_store() {
    let server = TestServer::open().await;
    let operator = server.operator();
    let made = operator.post("identity/entity", json!({"name": "ann"})).await.expect(200).text_at("/data/id");
    let before = server.world.snapshot().await;
    let order = json!({"principal": "ann", "reason": "a key in a public repository"}).to_string();
    let headers = [("X-Vault-Token", server.root.as_str())];
    server.send_raw("POST", "/api/v1/revoke", &headers, order.into_bytes()).await.expect(200);
    let after = server.world.snapshot().await;
    let enable = async || operator.post(&format!("identity/entity/id/{made}"), json!({"disabled": false})).await;
    enable().await.expect(400);
    let new = after.iter().filter(|row| before.iter().all(|known| known.key != row.key));
    let (mut tried, mut noticed) = (0, 0);
    for row in new {
        tamper(&server, Op::Delete { key: row.key.clone() }).await;
        let status = enable().await.status.as_u16();
        assert!(matches!(status, 400 | 500), "it was let go: {status}");
        (tried, noticed) = (tried + 1, noticed + usize::from(status == 500));
        tamper(&server, Op::Put { key: row.key.clone(), value: row.value.clone() }).await;
    }
    assert!(tried >= 3 && noticed >= 1, "{tried} {noticed}");
    enable().await.expect(400);
}
