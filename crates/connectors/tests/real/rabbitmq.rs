use crate::house::{NAMES, connector, lines, login, secret, settings};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::{Duration, Instant};
use strongroom_connectors::{Connector, ConnectorError, System};
use strongroom_testkit::outside::{RabbitMq, Relay};
use tokio::sync::OnceCell;

const RIGHTS: &str = r#"{"tags": "", "vhosts": {"/": {"configure": "^x$", "write": ".*", "read": ".*"}},
    "vhost_topics": {"/": {"amq.topic": {"write": "w", "read": "r"}}}}"#;

async fn shared() -> &'static RabbitMq {
    static SERVER: OnceCell<RabbitMq> = OnceCell::const_new();
    SERVER.get_or_init(RabbitMq::start).await
}

fn to(server: &RabbitMq) -> Arc<dyn Connector> {
    connector(System::RabbitMq, settings(&server.admin().url, &server.admin()))
}

#[tokio::test]
async fn a_user_lives_from_creation_to_drop() {
    let server = shared().await;
    let there = to(server);
    there.check().await.unwrap();
    for name in ["alice", "o'br/ien %2F ü\"\\", "..x"].iter().chain(NAMES) {
        let (first, second) = (secret("first pass"), secret("s\"ec\\ond ü"));
        there.create_login(&login(name, &first), &lines(&[RIGHTS])).await.unwrap();
        assert!(there.login_exists(name).await.unwrap());
        there.verify(name, &first).await.unwrap();
        let wrong = there.verify(name, &second).await.unwrap_err();
        assert!(matches!(wrong, ConnectorError::LoginRefused { .. }), "{wrong}");
        let taken = there.create_login(&login(name, &first), &lines(&[RIGHTS])).await.unwrap_err();
        assert!(matches!(taken, ConnectorError::LoginExists { .. }), "{taken}");
        there.set_password(name, &second, &[]).await.unwrap();
        there.verify(name, &second).await.unwrap();
        there.drop_login(name, &[]).await.unwrap();
        there.drop_login(name, &[]).await.unwrap();
        assert!(!there.login_exists(name).await.unwrap());
        assert!(matches!(there.set_password(name, &first, &[]).await, Err(ConnectorError::NoSuchLogin { .. })));
    }
    assert!(there.create_login(&login("..", &secret("x")), &lines(&[RIGHTS])).await.is_err());
}

#[tokio::test]
async fn rights_are_given_and_a_user_that_cannot_have_them_does_not_stay() {
    let server = shared().await;
    let there = to(server);
    let rights = RIGHTS.replace("\"tags\": \"\"", "\"tags\": \"management,policymaker\"");
    there.create_login(&login("rights", &secret("x")), &lines(&[&rights])).await.unwrap();
    there.set_password("rights", &secret("y"), &[]).await.unwrap();
    let user = server.asks("GET", "/api/users/rights", None).unwrap();
    assert!(user.contains("management") && user.contains("policymaker"), "{user}");
    let permissions = server.asks("GET", "/api/users/rights/permissions", None).unwrap();
    assert!(permissions.contains("\"configure\":\"^x$\""), "{permissions}");
    let topics = server.asks("GET", "/api/users/rights/topic-permissions", None).unwrap();
    assert!(topics.contains("amq.topic"), "{topics}");
    there.drop_login("rights", &[]).await.unwrap();
    for wrong in [
        "{\"vhosts\": {\"missing\": {\"read\": \".*\"}}}",
        "{\"vhosts\": {\"/\": {\"read\": \"(\"}}}",
        "{}",
        "[",
        "{\"vhost\": {}}",
    ] {
        let error = there.create_login(&login("never", &secret("s3cret")), &lines(&[wrong])).await.unwrap_err();
        assert!(!error.may_have_acted() && !error.to_string().contains("s3cret"), "{error}");
        assert!(!there.login_exists("never").await.unwrap(), "{wrong}");
    }
    let mut wrong = settings(&server.admin().url, &server.admin());
    wrong.password = secret("s3cret");
    let error = connector(System::RabbitMq, wrong).check().await.unwrap_err();
    assert!(matches!(error, ConnectorError::Refused { .. }), "{error}");
}

#[tokio::test]
async fn dropping_ends_open_connections() {
    let server = shared().await;
    let there = to(server);
    there.create_login(&login("amqp", &secret("pass")), &lines(&[RIGHTS])).await.unwrap();
    let mut session = amqp(server.amqp_port(), "amqp", "pass");
    let mut tick = tokio::time::interval(Duration::from_millis(20));
    let begun = Instant::now();
    while there.sessions("amqp").await.unwrap() != 1 {
        assert!(begun.elapsed() < Duration::from_secs(30), "the session is not seen");
        tick.tick().await;
    }
    there.drop_login("amqp", &[]).await.unwrap();
    // The server says connection.close, and then nothing any more.
    session.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    let mut heard = [0; 1024];
    let length = session.read(&mut heard).unwrap();
    assert!(length == 0 || heard[7..11] == [0, 10, 0, 50], "{:?}", &heard[..length]);
}

#[tokio::test]
async fn a_lost_answer_of_rabbitmq_is_a_doubt_until_it_is_repeated() {
    let server = shared().await;
    let relay = Relay::to(server.port()).await;
    let mut limited = settings(&format!("http://127.0.0.1:{}", relay.port()), &server.admin());
    limited.limits.statement = Duration::from_secs(5);
    let there = connector(System::RabbitMq, limited);
    relay.lose_reply("PUT /api/users");
    let error = there.create_login(&login("lost", &secret("x")), &lines(&[RIGHTS])).await.unwrap_err();
    assert!(error.may_have_acted() && there.login_exists("lost").await.unwrap(), "{error}");
    relay.silence("DELETE /api/users");
    assert!(there.drop_login("lost", &[]).await.unwrap_err().may_have_acted());
    there.drop_login("lost", &[]).await.unwrap();
    relay.lose_request("GET /api/whoami");
    let error = there.check().await.unwrap_err();
    assert!(!error.may_have_acted() && error.is_passing(), "{error}");
}

/// Opens an AMQP 0-9-1 connection as far as connection.open-ok.
fn amqp(port: u16, user: &str, password: &str) -> TcpStream {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("RabbitMQ speaks AMQP");
    stream.write_all(b"AMQP\x00\x00\x09\x01").expect("RabbitMQ speaks AMQP");
    frame(&mut stream);
    let response = format!("\0{user}\0{password}");
    let mut start_ok = vec![0, 10, 0, 11, 0, 0, 0, 0, 5];
    start_ok.extend_from_slice(b"PLAIN");
    start_ok.extend_from_slice(&u32::try_from(response.len()).expect("RabbitMQ speaks AMQP").to_be_bytes());
    start_ok.extend_from_slice(response.as_bytes());
    start_ok.extend_from_slice(&[5]);
    start_ok.extend_from_slice(b"en_US");
    method(&mut stream, &start_ok);
    frame(&mut stream);
    // tune-ok: 10 channels, frames of 128 KiB, no heartbeat; then open of "/".
    method(&mut stream, &[0, 10, 0, 31, 0, 10, 0, 2, 0, 0, 0, 0]);
    method(&mut stream, &[0, 10, 0, 40, 1, b'/', 0, 0]);
    frame(&mut stream);
    stream
}

fn method(stream: &mut TcpStream, body: &[u8]) {
    let mut bytes = vec![1, 0, 0];
    bytes.extend_from_slice(&u32::try_from(body.len()).expect("RabbitMQ speaks AMQP").to_be_bytes());
    bytes.extend_from_slice(body);
    bytes.push(0xCE);
    stream.write_all(&bytes).expect("RabbitMQ speaks AMQP");
}

fn frame(stream: &mut TcpStream) {
    let mut head = [0; 7];
    stream.read_exact(&mut head).expect("RabbitMQ speaks AMQP");
    let length = u32::from_be_bytes([head[3], head[4], head[5], head[6]]) as usize;
    stream.read_exact(&mut vec![0; length + 1]).expect("RabbitMQ speaks AMQP");
}
