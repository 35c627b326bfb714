use crate::house::{NAMES, connector, lines, login, secret, settings};
use std::sync::Arc;
use std::time::{Duration, Instant};
use strongroom_connectors::{Connector, ConnectorError, Limits, System, TlsTrust};
use strongroom_testkit::outside::{Redis, Relay};
use tokio::sync::OnceCell;

async fn shared() -> &'static Redis {
    static SERVER: OnceCell<Redis> = OnceCell::const_new();
    SERVER.get_or_init(Redis::start).await
}

fn to(server: &Redis) -> Arc<dyn Connector> {
    connector(System::Redis, settings(&server.admin().url, &server.admin()))
}

#[tokio::test]
async fn a_user_lives_from_creation_to_drop_with_its_sessions() {
    let server = shared().await;
    let there = to(server);
    there.check().await.unwrap();
    let (first, second) = (secret("first pass"), secret("second"));
    let rules = lines(&["[\"~{{name}}:*\", \"+@all\"]"]);
    there.create_login(&login("alice", &first), &rules).await.unwrap();
    there.verify("alice", &first).await.unwrap();
    let listed = server.command(&["ACL", "LIST"]);
    assert!(listed.contains("~alice:*") && !listed.contains("first pass"), "{listed}");
    assert!(matches!(there.verify("alice", &second).await, Err(ConnectorError::LoginRefused { .. })));
    let taken = there.create_login(&login("alice", &second), &rules).await.unwrap_err();
    assert!(matches!(taken, ConnectorError::LoginExists { .. }), "{taken}");

    let mut own = settings(&format!("redis://alice:first%20pass@127.0.0.1:{}", server.port()), &server.admin());
    own.limits.max_open = 1;
    let own = connector(System::Redis, own);
    assert_eq!(own.sessions("alice").await.unwrap(), 1);
    there.set_password("alice", &second, &[]).await.unwrap();
    there.verify("alice", &second).await.unwrap();
    assert!(there.verify("alice", &first).await.is_err());
    assert_eq!(there.sessions("alice").await.unwrap(), 1);
    there.drop_login("alice", &[]).await.unwrap();
    assert_eq!(there.sessions("alice").await.unwrap(), 0);
    assert!(own.sessions("alice").await.is_err());
    there.drop_login("alice", &[]).await.unwrap();
    assert!(matches!(there.set_password("alice", &first, &[]).await, Err(ConnectorError::NoSuchLogin { .. })));
    assert!(!there.login_exists("alice").await.unwrap());
}

#[tokio::test]
async fn rules_and_names_that_do_not_fit_are_refused_and_leave_nothing() {
    let server = shared().await;
    let there = to(server);
    for name in NAMES {
        let password = secret(name);
        match there.create_login(&login(name, &password), &lines(&["~* +@read"])).await {
            Ok(()) => {
                there.verify(name, &password).await.unwrap();
                there.drop_login(name, &[]).await.unwrap();
            }
            Err(error) => assert!(name.contains(char::is_whitespace), "{error}"),
        }
    }
    for rules in ["[\"~*\"", "+nonsense-command ~*", "~{{name}}"] {
        let error = there.create_login(&login("pat*tern", &secret("s3cret")), &lines(&[rules])).await.unwrap_err();
        assert!(!error.may_have_acted() && !error.to_string().contains("s3cret"), "{error}");
        assert!(!there.login_exists("pat*tern").await.unwrap());
    }
    assert!(!there.login_exists("two").await.unwrap());
}

#[tokio::test]
async fn redis_is_reached_through_checked_tls() {
    let server = shared().await;
    let mut with = settings(&server.tls_url(), &server.admin());
    with.tls = Some(TlsTrust { ca_pem: Some(server.ca_pem()), ..TlsTrust::default() });
    connector(System::Redis, with).check().await.unwrap();
    let error = connector(System::Redis, settings(&server.tls_url(), &server.admin())).check().await.unwrap_err();
    assert!(error.to_string().contains("certificate"), "{error}");
    let mut wrong = settings(&server.admin().url, &server.admin());
    wrong.password = secret("s3cret");
    let error = connector(System::Redis, wrong).check().await.unwrap_err();
    assert!(matches!(error, ConnectorError::Refused { .. }), "{error}");
}

#[tokio::test]
async fn lost_answers_and_a_hanging_redis_are_told_apart() {
    let server = Redis::start().await;
    let relay = Relay::to(server.port()).await;
    let mut limited = settings(&format!("redis://127.0.0.1:{}", relay.port()), &server.admin());
    limited.limits = Limits { connect: Duration::from_secs(2), statement: Duration::from_secs(2), ..Limits::default() };
    let there = connector(System::Redis, limited);
    relay.lose_reply("SETUSER");
    let error = there.create_login(&login("lost", &secret("x")), &[]).await.unwrap_err();
    assert!(error.may_have_acted() && there.login_exists("lost").await.unwrap(), "{error}");
    relay.silence("DELUSER");
    assert!(there.drop_login("lost", &[]).await.unwrap_err().may_have_acted());
    there.drop_login("lost", &[]).await.unwrap();

    server.pause();
    let begun = Instant::now();
    assert!(there.check().await.unwrap_err().is_passing());
    assert!(begun.elapsed() < Duration::from_secs(20));
    server.resume();
    there.check().await.unwrap();
    server.stop();
    let error = there.create_login(&login("stopped", &secret("x")), &[]).await.unwrap_err();
    assert!(!error.may_have_acted() && error.is_passing(), "{error}");
    server.restart().await;
    there.check().await.unwrap();
}
