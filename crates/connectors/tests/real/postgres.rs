use crate::house::{NAMES, connector, lines, login, secret, settings, strange_names};
use std::sync::Arc;
use std::time::{Duration, Instant};
use strongroom_connectors::{ClientCertificate, Connector, ConnectorError, Limits, PasswordForm, System, TlsTrust};
use strongroom_model::{Kinded, Timestamp};
use strongroom_testkit::outside::{Postgres, Relay};
use tokio::sync::OnceCell;
use tokio::task::JoinSet;

const CREATE: &str = "CREATE ROLE \"{{name}}\" WITH LOGIN PASSWORD '{{password}}' VALID UNTIL '{{expiration}}';
    GRANT USAGE, CREATE ON SCHEMA public TO \"{{name}}\"";

async fn shared() -> &'static Postgres {
    static SERVER: OnceCell<Postgres> = OnceCell::const_new();
    SERVER.get_or_init(Postgres::start).await
}

fn to(server: &Postgres) -> Arc<dyn Connector> {
    connector(System::Postgres, settings(&server.admin().url, &server.admin()))
}

#[tokio::test]
async fn a_login_lives_from_creation_to_drop() {
    let server = shared().await;
    let there = to(server);
    there.check().await.unwrap();
    let (first, second) = (secret("first 'pass\\word"), secret("second"));
    there.create_login(&login("alice", &first), &lines(&[CREATE])).await.unwrap();
    there.verify("alice", &first).await.unwrap();
    let wrong = there.verify("alice", &second).await.unwrap_err();
    assert!(matches!(wrong, ConnectorError::LoginRefused { .. }) && !wrong.may_have_acted(), "{wrong}");
    let taken = there.create_login(&login("alice", &second), &lines(&[CREATE])).await.unwrap_err();
    assert!(matches!(taken, ConnectorError::LoginExists { .. }), "{taken}");

    there.set_password("alice", &second, &[]).await.unwrap();
    there.verify("alice", &second).await.unwrap();
    there.renew_login("alice", Timestamp::from_secs(2_100_000_000), &[]).await.unwrap();
    assert_eq!(
        server.sql("SELECT extract(epoch FROM rolvaliduntil)::bigint FROM pg_roles WHERE rolname = 'alice'"),
        "2100000000"
    );
    there.renew_login("alice", Timestamp::from_secs(1_000), &[]).await.unwrap();
    assert!(matches!(there.verify("alice", &second).await, Err(ConnectorError::LoginRefused { .. })));

    assert!(there.login_exists("alice").await.unwrap());
    there.drop_login("alice", &[]).await.unwrap();
    assert!(!there.login_exists("alice").await.unwrap());
    there.drop_login("alice", &[]).await.unwrap();
    there.drop_login("alice", &lines(&["DROP ROLE \"{{name}}\""])).await.unwrap();
    let gone = there.set_password("alice", &second, &[]).await.unwrap_err();
    assert!(matches!(gone, ConnectorError::NoSuchLogin { .. }), "{gone}");
    there.close().await;
    assert!(matches!(there.check().await, Err(ConnectorError::Closed { .. })));
}

#[tokio::test]
async fn dropping_ends_open_sessions_and_keeps_what_the_login_made() {
    let server = shared().await;
    let there = to(server);
    for (name, statements) in [
        ("maker1", lines(&[])),
        (
            "maker2",
            lines(&["REASSIGN OWNED BY \"{{name}}\" TO admin; DROP OWNED BY \"{{name}}\"", "DROP ROLE \"{{name}}\""]),
        ),
    ] {
        let password = secret("maker");
        there.create_login(&login(name, &password), &lines(&[CREATE])).await.unwrap();
        let url = format!("postgresql://{name}:maker@127.0.0.1:{}/app", server.port());
        let mut settings = settings(&url, &server.admin());
        settings.limits.max_open = 1;
        let own = connector(System::Postgres, settings);
        // The connection that counts stays open in the pool.
        assert_eq!(own.sessions(name).await.unwrap(), 1);
        own.set_password(name, &password, &lines(&["CREATE TABLE made_by_{{name}} (x int)"])).await.unwrap();
        assert_eq!(there.sessions(name).await.unwrap(), 1);
        there.drop_login(name, &statements).await.unwrap();
        let left = format!(
            "SELECT count(*) FROM pg_stat_activity WHERE usename = '{name}' OR (usesysid IS NOT NULL AND usename IS NULL AND backend_type = 'client backend')"
        );
        // The end of a session is asked for and follows at once, but not in the same instant.
        let mut tick = tokio::time::interval(Duration::from_millis(20));
        let patience = Instant::now();
        while server.sql(&left) != "0" {
            assert!(patience.elapsed() < Duration::from_secs(20), "a session outlived its login");
            tick.tick().await;
        }
        assert!(own.sessions(name).await.is_err());
        assert_eq!(server.sql(&format!("SELECT count(*) FROM made_by_{name}")), "0");
    }
}

/// Another session reads what the login made and goes on doing so: a drop would wait for it for ever.
#[tokio::test]
async fn a_login_whose_objects_are_locked_is_refused_at_once_and_dropped_when_they_are_free() {
    let server = shared().await;
    let there = to(server);
    let password = secret("holder");
    there.create_login(&login("holder", &password), &lines(&[CREATE])).await.unwrap();
    let url = format!("postgresql://holder:holder@127.0.0.1:{}/app", server.port());
    let own = connector(System::Postgres, settings(&url, &server.admin()));
    own.set_password("holder", &password, &lines(&["CREATE TABLE held (x int)"])).await.unwrap();
    let reading = std::thread::spawn(move || {
        server.sql(
            "LOCK TABLE held IN ACCESS SHARE MODE; DO $$ BEGIN FOR i IN 1..1200 LOOP \
             EXIT WHEN EXISTS (SELECT FROM pg_class WHERE relname = 'let_go'); PERFORM pg_sleep(0.05); END LOOP; END $$",
        )
    });
    let locked = "SELECT count(*) FROM pg_locks WHERE relation = 'held'::regclass AND granted";
    while server.sql(locked) == "0" {
        tokio::task::yield_now().await;
    }
    let begun = Instant::now();
    let error = there.drop_login("holder", &[]).await.unwrap_err();
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    assert!(error.to_string().contains("it cannot log in any more") && !error.may_have_acted(), "{error}");
    assert!(matches!(there.verify("holder", &password).await, Err(ConnectorError::LoginRefused { .. })));
    assert!(own.sessions("holder").await.is_err());
    assert!(there.login_exists("holder").await.unwrap());
    server.sql("CREATE TABLE let_go (x int)");
    reading.join().unwrap();
    there.drop_login("holder", &[]).await.unwrap();
    assert!(!there.login_exists("holder").await.unwrap());
    assert_eq!(server.sql("SELECT count(*) FROM held"), "0");
}

/// Statements of one's own wait for the same, or do not work at all.
#[tokio::test]
async fn a_login_that_its_own_statements_cannot_end_is_barred_at_once() {
    let server = shared().await;
    let there = to(server);
    let (password, usual) = (secret("long enough"), lines(&["DROP OWNED BY \"{{name}}\"", "DROP ROLE \"{{name}}\""]));
    let drop_fails = async |name: &str, statements: &[&str]| {
        let url = format!("postgresql://{name}:{{{{password}}}}@127.0.0.1:{}/app", server.port());
        let mut settings = settings(&url, &server.admin());
        settings.password = password.duplicate();
        let own = connector(System::Postgres, settings);
        assert_eq!(own.sessions(name).await.unwrap(), 1);
        let begun = Instant::now();
        let error = there.drop_login(name, &lines(statements)).await.unwrap_err();
        assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
        assert!(error.to_string().contains("it cannot log in any more"), "{error}");
        assert!(matches!(there.verify(name, &password).await, Err(ConnectorError::LoginRefused { .. })));
        assert!(own.sessions(name).await.is_err() && there.login_exists(name).await.unwrap());
    };
    there.create_login(&login("stuck", &password), &lines(&[CREATE])).await.unwrap();
    drop_fails("stuck", &["DROP ROLE \"{{name}}\" CASKADE"]).await;
    there.drop_login("stuck", &usual).await.unwrap();
    there.create_login(&login("waiting", &password), &lines(&[CREATE])).await.unwrap();
    server.sql("CREATE TABLE waited (x int)");
    // Holds what the statements want for as long as the first of them are tried.
    let held = std::thread::spawn(move || {
        server.sql(
            "LOCK TABLE waited IN ACCESS EXCLUSIVE MODE; DO $$ BEGIN FOR i IN 1..1200 LOOP \
             EXIT WHEN NOT (SELECT rolcanlogin FROM pg_authid WHERE rolname = 'waiting'); PERFORM pg_sleep(0.05); \
             END LOOP; END $$",
        )
    });
    let locked = "SELECT count(*) FROM pg_locks WHERE relation = 'waited'::regclass AND granted";
    while server.sql(locked) == "0" {
        tokio::task::yield_now().await;
    }
    // Ends as soon as the login is barred, for which nothing but the first wait is too long.
    let waits = lines(&["LOCK TABLE waited", "DROP OWNED BY \"{{name}}\"", "DROP ROLE \"{{name}}\""]);
    let begun = Instant::now();
    there.drop_login("waiting", &waits).await.unwrap();
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    held.join().unwrap();
    assert!(!there.login_exists("waiting").await.unwrap());
}

/// Forty at once, which go in a few messages: one owns a table, one is gone already, one is asked for twice, one has a
/// session, and one has a strange name.
#[tokio::test]
async fn many_that_are_dropped_at_once_all_go_whatever_is_with_one_of_them() {
    let server = Postgres::start().await;
    let there = to(&server);
    let name = |number: usize| match number {
        7 => "odd \"one\", 'crowd-0'; --".to_owned(),
        number => format!("crowd-{number}"),
    };
    // Without rights of their own, and with.
    for (round, create) in ["CREATE ROLE \"{{name}}\" LOGIN PASSWORD '{{password}}'", CREATE].into_iter().enumerate() {
        for number in 0..40 {
            there.create_login(&login(&name(number), &secret("crowd")), &lines(&[create])).await.unwrap();
        }
        if round == 1 {
            server.sql("SET ROLE \"crowd-5\"; CREATE TABLE of_five (x int)");
        }
        server.sql("DROP OWNED BY \"crowd-6\"; DROP ROLE \"crowd-6\"");
        let url = format!("postgresql://crowd-9:crowd@127.0.0.1:{}/app", server.port());
        let own = connector(System::Postgres, settings(&url, &server.admin()));
        assert_eq!(own.sessions("crowd-9").await.unwrap(), 1);
        let mut drops = JoinSet::new();
        for number in (0..40).chain([3]) {
            let (there, name) = (Arc::clone(&there), name(number));
            drops.spawn(async move { there.drop_login(&name, &[]).await });
        }
        while let Some(dropped) = drops.join_next().await {
            dropped.unwrap().unwrap();
        }
        assert_eq!(server.sql("SELECT count(*) FROM pg_roles WHERE rolname ~ 'crowd'"), "0");
        let sessions =
            "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend' AND usename IS NULL";
        // The end of a session is asked for and follows at once, but not in the same instant.
        while server.sql(sessions) != "0" {
            tokio::task::yield_now().await;
        }
        assert!(own.sessions("crowd-9").await.is_err());
    }
    assert_eq!(server.sql("SELECT count(*) FROM of_five"), "0");
}

#[tokio::test]
async fn an_administrator_without_all_rights_can_drop_what_it_made() {
    let server = shared().await;
    server.sql("CREATE ROLE lesser WITH LOGIN CREATEROLE PASSWORD 'lesser'; GRANT USAGE, CREATE ON SCHEMA public TO lesser WITH GRANT OPTION");
    let url = format!("host=127.0.0.1 port={} user=lesser password=lesser dbname=app sslmode=disable", server.port());
    let there = connector(System::Postgres, settings(&url, &server.admin()));
    there.create_login(&login("of_lesser", &secret("x")), &lines(&[CREATE])).await.unwrap();
    there.drop_login("of_lesser", &[]).await.unwrap();
    assert!(!there.login_exists("of_lesser").await.unwrap());
}

#[tokio::test]
async fn no_name_and_no_password_leaves_its_place() {
    let server = shared().await;
    let there = to(server);
    for name in NAMES {
        let password = secret(name);
        there.create_login(&login(name, &password), &lines(&[CREATE])).await.unwrap();
        assert!(there.login_exists(name).await.unwrap(), "{name}");
        there.set_password(name, &password, &[]).await.unwrap();
        there.verify(name, &password).await.unwrap();
        // The server counts a session until it has noticed that its client has gone.
        let patience = Instant::now();
        while there.sessions(name).await.unwrap() > 0 {
            assert!(patience.elapsed() < Duration::from_secs(20), "proving {name} left a session");
        }
        there.drop_login(name, &[]).await.unwrap();
        assert!(!there.login_exists(name).await.unwrap(), "{name}");
    }
    for name in ["", "zero\0byte", "a-name-that-is-longer-than-the-sixty-three-bytes-postgres-would-keep"] {
        let error = there.create_login(&login(name, &secret("x")), &lines(&[CREATE])).await.unwrap_err();
        assert!(matches!(error, ConnectorError::Config { .. }), "{error}");
    }
    let body = "DO $$ BEGIN CREATE ROLE \"{{name}}\" PASSWORD '{{password}}'; END $$";
    there.create_login(&login("in'a\"body", &secret("it's")), &lines(&[body])).await.unwrap();
    there.drop_login("in'a\"body", &[]).await.unwrap();
    assert!(there.create_login(&login("x", &secret("$$; DROP")), &lines(&[body])).await.is_err());
    assert_eq!(server.sql("SELECT rolsuper FROM pg_roles WHERE rolname = 'admin'"), "t");
}

#[tokio::test]
async fn what_fails_leaves_nothing_and_shows_no_password() {
    let server = shared().await;
    let there = to(server);
    let password = secret("s3cret'value");
    let cases: &[&[&str]] = &[
        &[CREATE, "GRANT SELECT ON missing TO \"{{name}}\""],
        &[CREATE, "SELECT '{{password}}' FROM nowhere"],
        &[CREATE, "SELECT '{{password}}'::int"],
        &[CREATE, "SELEKT '{{password}}'"],
        &[CREATE, "SELECT 'unfinished {{password}}"],
        &[],
    ];
    for statements in cases {
        let error = there.create_login(&login("never", &password), &lines(statements)).await.unwrap_err();
        assert!(!error.may_have_acted() && !error.to_string().contains("s3cret"), "{error}");
        assert!(!there.login_exists("never").await.unwrap());
    }
    // A statement with a transaction of its own, or ending in a comment, harms nobody after it.
    let odd = lines(&["BEGIN", CREATE, "SELECT 1 -- done"]);
    there.create_login(&login("odd", &password), &odd).await.unwrap();
    there.verify("odd", &password).await.unwrap();
    there.drop_login("odd", &[]).await.unwrap();
    let mut wrong = settings(&server.admin().url, &server.admin());
    wrong.password = secret("s3cret-wrong");
    let error = connector(System::Postgres, wrong).check().await.unwrap_err();
    assert!(matches!(error, ConnectorError::Refused { .. }) && !error.to_string().contains("s3cret"), "{error}");
}

#[tokio::test]
async fn a_password_sent_as_scram_works_and_never_reaches_the_server() {
    let server = shared().await;
    let mut settings = settings(&server.admin().url, &server.admin());
    settings.password_form = PasswordForm::ScramSha256;
    let there = connector(System::Postgres, settings);
    let password = secret("for scram only");
    let create = lines(&[CREATE, "CREATE TABLE seen_by_scram AS SELECT '{{password}}' AS text"]);
    there.create_login(&login("scram", &password), &create).await.unwrap();
    there.verify("scram", &password).await.unwrap();
    assert!(server.sql("SELECT text FROM seen_by_scram").starts_with("SCRAM-SHA-256$4096:"));
    there.set_password("scram", &secret("another"), &[]).await.unwrap();
    there.verify("scram", &secret("another")).await.unwrap();
    assert!(there.set_password("scram", &secret("ünï"), &[]).await.is_err());
    there.drop_login("scram", &[]).await.unwrap();
}

#[tokio::test]
async fn tls_is_checked_against_the_authority_and_the_name() {
    let server = shared().await;
    let url = |host: &str| {
        format!("postgresql://{{{{username}}}}:{{{{password}}}}@{host}:{}/app?sslmode=verify-full", server.port())
    };
    let with = |host: &str, trust: TlsTrust| {
        let mut settings = settings(&url(host), &server.admin());
        settings.tls = Some(trust);
        connector(System::Postgres, settings)
    };
    let trust = || TlsTrust { ca_pem: Some(server.ca_pem()), ..TlsTrust::default() };
    let there = with("127.0.0.1", trust());
    there.check().await.unwrap();
    there.create_login(&login("tls", &secret("x")), &lines(&[CREATE])).await.unwrap();
    there.drop_login("tls", &[]).await.unwrap();
    let other_name = with("127.0.0.1", TlsTrust { server_name: Some("other.example".to_owned()), ..trust() });
    let stranger = with("127.0.0.1", TlsTrust::default());
    for refused in [other_name, stranger] {
        let error = refused.check().await.unwrap_err();
        assert!(error.to_string().contains("certificate"), "{error}");
    }
    let bad = ClientCertificate { chain_pem: server.ca_pem(), key_pem: secret("no key") };
    let mut settings = settings(&url("127.0.0.1"), &server.admin());
    settings.tls = Some(TlsTrust { client: Some(bad), ..trust() });
    let error = strongroom_connectors::open(System::Postgres, settings).err().unwrap();
    assert!(matches!(error, ConnectorError::Config { .. }), "{error}");
}

#[tokio::test]
async fn a_lost_answer_is_told_from_a_lost_request() {
    let server = shared().await;
    let relay = Relay::to(server.port()).await;
    let mut settings = settings(&server.url(relay.port()), &server.admin());
    settings.limits.statement = Duration::from_secs(2);
    let there = connector(System::Postgres, settings);
    let create = lines(&[CREATE]);

    relay.lose_reply("CREATE ROLE");
    let error = there.create_login(&login("lost", &secret("x")), &create).await.unwrap_err();
    assert!(error.may_have_acted() && error.is_passing() && relay.has_failed(), "{error}");
    assert!(there.login_exists("lost").await.unwrap(), "the server had acted");
    relay.lose_reply("DROP ROLE");
    assert!(there.drop_login("lost", &[]).await.unwrap_err().may_have_acted());
    there.drop_login("lost", &[]).await.unwrap();

    relay.lose_request("CREATE ROLE");
    let error = there.create_login(&login("lost", &secret("x")), &create).await.unwrap_err();
    assert!(error.may_have_acted(), "nobody can know here: {error}");
    assert!(!there.login_exists("lost").await.unwrap());

    relay.silence("CREATE ROLE");
    let begun = Instant::now();
    let error = there.create_login(&login("silent", &secret("x")), &create).await.unwrap_err();
    assert!(error.may_have_acted() && begun.elapsed() < Duration::from_secs(20), "{error}");
    there.drop_login("silent", &[]).await.unwrap();
}

#[tokio::test]
async fn a_pool_stays_whole_when_calls_are_abandoned() {
    let server = shared().await;
    let mut settings = settings(&server.admin().url, &server.admin());
    settings.limits = Limits { max_open: 2, connect: Duration::from_millis(700), ..settings.limits };
    let there = connector(System::Postgres, settings);
    let slow = lines(&["SELECT pg_sleep(601)"]);
    for _ in 0..3 {
        let mut calls = JoinSet::new();
        for _ in 0..2 {
            let (there, slow) = (Arc::clone(&there), slow.clone());
            // Who makes or prolongs logins is never given both.
            calls.spawn(async move { there.set_password("nobody", &secret("x"), &slow).await });
        }
        // Both places are taken once a third call finds none.
        loop {
            match there.login_exists("nobody").await {
                Ok(_) => {}
                Err(error) => break assert!(matches!(error, ConnectorError::Busy { .. }), "{error}"),
            }
        }
        calls.shutdown().await;
    }
    let mut calls = JoinSet::new();
    for _ in 0..2 {
        let there = Arc::clone(&there);
        calls.spawn(async move { there.login_exists("nobody").await });
    }
    while let Some(result) = calls.join_next().await {
        assert!(!result.unwrap().unwrap());
    }
    // What nobody waits for any more was ended before the calls above were answered.
    let left = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(601)%' AND pid <> pg_backend_pid()";
    assert_eq!(server.sql(left), "0");
}

#[tokio::test]
async fn a_statement_past_its_deadline_does_not_happen_later() {
    let server = shared().await;
    let mut settings = settings(&server.admin().url, &server.admin());
    settings.limits.statement = Duration::from_millis(500);
    let there = connector(System::Postgres, settings);
    let slow = lines(&["SELECT pg_sleep(600), 'mark of the slow one'", CREATE]);
    let error = there.create_login(&login("late", &secret("x")), &slow).await.unwrap_err();
    assert!(error.may_have_acted(), "{error}");
    let patience = Instant::now();
    while server.sql("SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%mark of the slow%' AND state = 'active' AND pid <> pg_backend_pid()") != "0" {
        assert!(patience.elapsed() < Duration::from_secs(20), "it was not cancelled");
    }
    assert_eq!(server.sql("SELECT count(*) FROM pg_roles WHERE rolname = 'late'"), "0");
}

#[tokio::test]
async fn a_server_that_stops_hangs_and_comes_back_is_met_with_deadlines() {
    let server = Postgres::start().await;
    let mut settings = settings(&server.admin().url, &server.admin());
    settings.limits =
        Limits { connect: Duration::from_secs(2), statement: Duration::from_secs(2), ..Limits::default() };
    let there = connector(System::Postgres, settings);
    let create = lines(&[CREATE]);
    there.check().await.unwrap();
    assert!(!there.login_exists("x").await.unwrap());

    server.pause();
    let begun = Instant::now();
    let error = there.create_login(&login("paused", &secret("x")), &create).await.unwrap_err();
    assert_eq!(error.kind(), strongroom_model::Kind::Unavailable, "{error}");
    let error = there.check().await.unwrap_err();
    assert!(!error.may_have_acted() && error.is_passing(), "{error}");
    assert!(begun.elapsed() < Duration::from_secs(20));
    server.resume();
    there.drop_login("paused", &[]).await.unwrap();
    // The question that the sleeping server had heard already must not be answered after the drop.
    assert_eq!(server.sql("SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%CREATE ROLE \"paused%' AND pid <> pg_backend_pid()"), "0");
    assert!(!there.login_exists("paused").await.unwrap());

    server.stop();
    let error = there.create_login(&login("stopped", &secret("x")), &create).await.unwrap_err();
    assert!(matches!(error, ConnectorError::Unreachable { .. }) && !error.may_have_acted(), "{error}");
    server.restart().await;
    there.create_login(&login("again", &secret("x")), &create).await.unwrap();
    there.drop_login("again", &[]).await.unwrap();
    server.kill();
    assert!(there.check().await.is_err());
    server.restart().await;
    there.check().await.unwrap();
}

#[tokio::test]
async fn many_at_once_on_the_same_tables_all_succeed() {
    let server = shared().await;
    let there = to(server);
    let mut calls = JoinSet::new();
    for number in 0..24 {
        let there = Arc::clone(&there);
        calls.spawn(async move {
            let (name, password) = (format!("crowd{number}"), secret("x"));
            there.create_login(&login(&name, &password), &lines(&[CREATE])).await?;
            there.drop_login(&name, &[]).await
        });
    }
    while let Some(result) = calls.join_next().await {
        result.unwrap().unwrap();
    }
    assert_eq!(server.sql("SELECT count(*) FROM pg_roles WHERE rolname LIKE 'crowd%'"), "0");
}

#[tokio::test]
async fn strange_names_are_only_names() {
    let server = shared().await;
    let there = to(server);
    for name in strange_names(60) {
        let password = secret(&name);
        there.create_login(&login(&name, &password), &lines(&[CREATE])).await.unwrap();
        there.set_password(&name, &password, &[]).await.unwrap();
        assert!(there.login_exists(&name).await.unwrap(), "{name:?}");
        there.drop_login(&name, &[]).await.unwrap();
        assert!(!there.login_exists(&name).await.unwrap(), "{name:?}");
    }
    assert_eq!(server.sql("SELECT rolsuper FROM pg_roles WHERE rolname = 'admin'"), "t");
}
