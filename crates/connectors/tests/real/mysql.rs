use crate::house::{NAMES, connector, lines, login, secret, settings, strange_names};
use std::sync::Arc;
use std::time::{Duration, Instant};
use strongroom_connectors::{Connector, ConnectorError, Limits, System, TlsTrust};
use strongroom_model::{SecretString, Timestamp};
use strongroom_testkit::outside::{MariaDb, Relay};
use tokio::sync::OnceCell;

const CREATE: &str =
    "CREATE USER '{{name}}'@'%' IDENTIFIED BY '{{password}}'; GRANT SELECT ON app.* TO '{{name}}'@'%';";

async fn shared() -> &'static MariaDb {
    static SERVER: OnceCell<MariaDb> = OnceCell::const_new();
    SERVER.get_or_init(MariaDb::start).await
}

fn to(server: &MariaDb) -> Arc<dyn Connector> {
    connector(System::Mysql, settings(&server.admin().url, &server.admin()))
}

/// A connector that is the login itself, so that its pool holds a session of that login.
async fn session_of(server: &MariaDb, name: &str, password: &SecretString) -> Arc<dyn Connector> {
    let mut own = settings(&server.url(server.port()), &server.admin());
    (own.username, own.password) = (name.to_owned(), password.duplicate());
    let own = connector(System::Mysql, own);
    assert_eq!(own.sessions(name).await.expect("the login works"), 1);
    own
}

#[tokio::test]
async fn a_login_lives_from_creation_to_drop_with_its_sessions() {
    let server = shared().await;
    let there = to(server);
    there.check().await.unwrap();
    let (first, second) = (secret("first 'pass\\word"), secret("second"));
    there.create_login(&login("alice", &first), &lines(&[CREATE])).await.unwrap();
    there.verify("alice", &first).await.unwrap();
    let wrong = there.verify("alice", &second).await.unwrap_err();
    assert!(matches!(wrong, ConnectorError::LoginRefused { .. }), "{wrong}");
    let taken = there.create_login(&login("alice", &second), &lines(&[CREATE])).await.unwrap_err();
    assert!(matches!(taken, ConnectorError::LoginExists { .. }), "{taken}");
    there.verify("alice", &first).await.unwrap();
    there.set_password("alice", &second, &[]).await.unwrap();
    there.renew_login("alice", Timestamp::from_secs(2_100_000_000), &[]).await.unwrap();
    let own = session_of(server, "alice", &second).await;
    there.drop_login("alice", &[]).await.unwrap();
    let mut tick = tokio::time::interval(Duration::from_millis(20));
    let begun = Instant::now();
    while there.sessions("alice").await.unwrap() > 0 {
        assert!(begun.elapsed() < Duration::from_secs(20), "a session outlived its login");
        tick.tick().await;
    }
    assert!(own.sessions("alice").await.is_err());
    assert!(!there.login_exists("alice").await.unwrap());
    there.drop_login("alice", &[]).await.unwrap();
    there.drop_login("alice", &lines(&["DROP USER '{{name}}'@'%'"])).await.unwrap();
    assert!(matches!(there.set_password("alice", &first, &[]).await, Err(ConnectorError::NoSuchLogin { .. })));
    let missing =
        there.set_password("alice", &first, &lines(&["ALTER USER '{{name}}'@'%' IDENTIFIED BY '{{password}}'"])).await;
    assert!(matches!(missing, Err(ConnectorError::NoSuchLogin { .. })));
}

#[tokio::test]
async fn no_name_and_no_password_leaves_its_place_in_mysql() {
    let server = shared().await;
    let there = to(server);
    let double = "CREATE USER \"{{name}}\" IDENTIFIED BY \"{{password}}\"; GRANT SELECT ON app.* TO `{{name}}`@'%'";
    for name in NAMES {
        for create in [CREATE, double] {
            let password = secret(name);
            there.create_login(&login(name, &password), &lines(&[create])).await.unwrap();
            assert!(there.login_exists(name).await.unwrap(), "{name}");
            there.set_password(name, &password, &[]).await.unwrap();
            there.verify(name, &password).await.unwrap();
            there.drop_login(name, &[]).await.unwrap();
            assert!(!there.login_exists(name).await.unwrap(), "{name}");
        }
    }
    for name in ["", "zero\0byte", "blank "] {
        let error = there.create_login(&login(name, &secret("x")), &lines(&[CREATE])).await.unwrap_err();
        assert!(matches!(error, ConnectorError::Config { .. }), "{error}");
    }
    assert_eq!(server.sql("SELECT count(*) FROM mysql.user WHERE User = 'admin'"), "1");
}

#[tokio::test]
async fn what_fails_half_way_is_dropped_again_and_shows_no_password() {
    let server = shared().await;
    let there = to(server);
    let password = secret("s3cret'value");
    for second in [
        "GRANT SELECT ON missing.nothing TO '{{name}}'@'%'",
        "SELEKT '{{password}}'",
        "GRANT x TO {{name}} '{{password}}'",
    ] {
        let statements = lines(&[CREATE, second]);
        let error = there.create_login(&login("never", &password), &statements).await.unwrap_err();
        assert!(!error.may_have_acted() && !error.to_string().contains("s3cret"), "{error}");
        assert!(!there.login_exists("never").await.unwrap());
    }
    assert!(there.create_login(&login("never", &password), &[]).await.is_err());
    let mut wrong = settings(&server.admin().url, &server.admin());
    wrong.password = secret("s3cret-wrong");
    let error = connector(System::Mysql, wrong).check().await.unwrap_err();
    assert!(matches!(error, ConnectorError::Refused { .. }) && !error.to_string().contains("s3cret"), "{error}");
}

#[tokio::test]
async fn a_mysql_login_that_its_own_statements_cannot_end_is_barred() {
    let server = shared().await;
    let there = to(server);
    let password = secret("long enough");
    there.create_login(&login("stuck", &password), &lines(&[CREATE])).await.unwrap();
    let own = session_of(server, "stuck", &password).await;
    let error = there.drop_login("stuck", &lines(&["DROP USER '{{name}}'@'%' CASKADE"])).await.unwrap_err();
    assert!(error.to_string().contains("it cannot log in any more"), "{error}");
    assert!(there.verify("stuck", &password).await.is_err() && own.sessions("stuck").await.is_err());
    assert!(there.login_exists("stuck").await.unwrap());
    there.drop_login("stuck", &[]).await.unwrap();
}

#[tokio::test]
async fn mysql_is_reached_through_checked_tls() {
    let server = shared().await;
    let with = |trust: TlsTrust| {
        let mut settings = settings(&server.admin().url, &server.admin());
        settings.tls = Some(trust);
        connector(System::Mysql, settings)
    };
    let trust = || TlsTrust { ca_pem: Some(server.ca_pem()), ..TlsTrust::default() };
    let there = with(trust());
    let create = lines(&["CREATE USER '{{name}}'@'%' IDENTIFIED BY '{{password}}' REQUIRE SSL"]);
    there.create_login(&login("tls", &secret("x")), &create).await.unwrap();
    there.verify("tls", &secret("x")).await.unwrap();
    assert!(to(server).verify("tls", &secret("x")).await.is_err(), "without TLS it is refused");
    there.drop_login("tls", &[]).await.unwrap();
    let other_name = with(TlsTrust { server_name: Some("other.example".to_owned()), ..trust() });
    for refused in [other_name, with(TlsTrust::default())] {
        let error = refused.check().await.unwrap_err();
        assert!(error.to_string().contains("certificate") && error.is_passing(), "{error}");
    }
}

#[tokio::test]
async fn lost_answers_and_a_hanging_mariadb_are_met_with_deadlines() {
    let server = MariaDb::start().await;
    let relay = Relay::to(server.port()).await;
    let mut limited = settings(&server.url(relay.port()), &server.admin());
    limited.limits = Limits { connect: Duration::from_secs(2), statement: Duration::from_secs(2), ..Limits::default() };
    let there = connector(System::Mysql, limited);
    relay.lose_reply("CREATE USER");
    let error = there.create_login(&login("lost", &secret("x")), &lines(&[CREATE])).await.unwrap_err();
    assert!(error.may_have_acted() && there.login_exists("lost").await.unwrap(), "{error}");
    relay.silence("DROP USER");
    assert!(there.drop_login("lost", &[]).await.unwrap_err().may_have_acted());
    there.drop_login("lost", &[]).await.unwrap();

    let slow = lines(&["SELECT SLEEP(600)"]);
    let begun = Instant::now();
    assert!(there.create_login(&login("slow", &secret("x")), &slow).await.unwrap_err().may_have_acted());
    while server.sql("SELECT count(*) FROM information_schema.PROCESSLIST WHERE INFO = 'SELECT SLEEP(600)'") != "0" {
        assert!(begun.elapsed() < Duration::from_secs(30), "it was not ended");
    }

    server.pause();
    let begun = Instant::now();
    for _ in 0..3 {
        assert!(there.create_login(&login("paused", &secret("x")), &lines(&[CREATE])).await.unwrap_err().is_passing());
    }
    assert!(begun.elapsed() < Duration::from_secs(30));
    server.resume();
    there.drop_login("paused", &[]).await.unwrap();
    // What the sleeping server had heard already must not happen after the drop.
    assert_eq!(server.sql("SELECT count(*) FROM information_schema.PROCESSLIST WHERE USER = 'admin'"), "1");
    assert!(!there.login_exists("paused").await.unwrap());

    server.stop();
    let error = there.check().await.unwrap_err();
    assert!(error.is_passing() && !error.may_have_acted(), "{error}");
    server.restart().await;
    there.check().await.unwrap();
    there.create_login(&login("again", &secret("x")), &lines(&[CREATE])).await.unwrap();
    there.drop_login("again", &[]).await.unwrap();
}

#[tokio::test]
async fn strange_names_are_only_names_in_mysql() {
    let server = shared().await;
    let there = to(server);
    // Names are kept in UTF-8 of three bytes, without a blank at the end.
    let fits = |name: &String| !name.ends_with(' ') && name.chars().all(|c| u32::from(c) < 0x1_0000);
    for name in strange_names(60).into_iter().filter(fits) {
        let password = secret(&name);
        there.create_login(&login(&name, &password), &lines(&[CREATE])).await.unwrap();
        there.verify(&name, &password).await.unwrap();
        there.drop_login(&name, &[]).await.unwrap();
        assert!(!there.login_exists(&name).await.unwrap(), "{name:?}");
    }
    assert_eq!(server.sql("SELECT count(*) FROM mysql.user WHERE User = 'admin'"), "1");
}

#[tokio::test]
async fn a_mysql_login_without_powers_changes_its_own_password_wherever_it_logs_in_from() {
    let server = shared().await;
    for host in ["%", "127.0.0.1"] {
        server.sql(&format!("CREATE USER 'modest'@'{host}' IDENTIFIED BY 'one''quoted'"));
        let mut own = settings(&server.admin().url, &server.admin());
        (own.username, own.password) = ("modest".to_owned(), secret("one'quoted"));
        server.sql(&format!("GRANT USAGE, SELECT ON app.* TO 'modest'@'{host}'"));
        let (own, second) = (connector(System::Mysql, own), secret("two\\'quoted"));
        let other = own.set_password("admin", &second, &[]).await.unwrap_err();
        assert!(matches!(other, ConnectorError::Rejected { .. }), "{other}");
        own.set_password("modest", &second, &[]).await.unwrap();
        own.verify("modest", &second).await.unwrap();
        server.sql(&format!("DROP USER 'modest'@'{host}'"));
    }
}

#[tokio::test]
async fn a_mysql_login_that_was_left_half_made_is_completed() {
    let server = shared().await;
    let there = to(server);
    let (first, second) = (secret("first"), secret("second"));
    let begun = "CREATE USER '{{name}}'@'%' IDENTIFIED BY '{{password}}'";
    there.create_login(&login("half", &first), &lines(&[begun])).await.unwrap();
    for _ in 0..2 {
        there.complete_login(&login("half", &second), &lines(&[CREATE])).await.unwrap();
        there.verify("half", &second).await.unwrap();
        assert!(server.sql("SHOW GRANTS FOR 'half'@'%'").contains("SELECT ON `app`.*"));
    }
    there.drop_login("half", &[]).await.unwrap();
}
