//! Every strategy goes round.

use super::case::{Case, Outside};
use serde_json::{Value, json};
use std::io::Write;
use std::process::{Child, Command, Stdio};
use tokio::io::AsyncReadExt;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

#[tokio::test]
async fn every_way_goes_round_on_mariadb() {
    for way in ["single", "single-self", "alternating", "new-user"] {
        Case::straight(Outside::mariadb().await, way).await.goes_round().await;
    }
}

#[tokio::test]
async fn every_way_goes_round_on_redis() {
    for way in ["single", "alternating", "new-user"] {
        Case::straight(Outside::redis().await, way).await.goes_round().await;
    }
}

#[tokio::test]
async fn every_way_goes_round_on_rabbitmq() {
    for way in ["single", "alternating", "new-user"] {
        Case::straight(Outside::rabbitmq().await, way).await.goes_round().await;
    }
}

/// A client that stays: dropping it ends its session.
enum Session {
    Client(Child),
    Socket(TcpStream),
}

impl Session {
    async fn open(outside: &Outside, (username, password): &(String, String)) -> Self {
        if let Outside::Redis(server) = outside {
            let mut socket = TcpStream::connect(("127.0.0.1", server.port())).await.unwrap();
            socket.write_all(format!("AUTH {username} {password}\r\n").as_bytes()).await.unwrap();
            let mut said = [0; 5];
            socket.read_exact(&mut said).await.unwrap();
            assert_eq!(&said, b"+OK\r\n");
            return Self::Socket(socket);
        }
        let mut client = Command::new("/usr/bin/mariadb");
        client.args(["--no-defaults", "--unbuffered", "--host=127.0.0.1", "--skip-column-names"]);
        client.args([&format!("--port={}", outside.port()), &format!("--user={username}")]).env("MYSQL_PWD", password);
        let mut child = client.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        child.stdin.as_mut().unwrap().write_all(b"SELECT 1;\n").unwrap();
        let mut said = [0; 1];
        std::io::Read::read_exact(child.stdout.as_mut().unwrap(), &mut said).unwrap();
        Self::Client(child)
    }

    async fn close(self) {
        match self {
            Self::Client(mut child) => {
                drop(child.stdin.take());
                child.wait().unwrap();
            }
            Self::Socket(mut socket) => {
                socket.write_all(b"QUIT\r\n").await.unwrap();
                socket.read_to_end(&mut Vec::new()).await.unwrap();
            }
        }
    }
}

#[tokio::test]
async fn a_former_login_stays_until_its_last_session_is_over() {
    for outside in [Outside::mariadb().await, Outside::redis().await] {
        let case = Case::straight(outside, "new-user").await;
        let former = case.rotate().await;
        let session = Session::open(&case.outside, &former).await;
        case.ask("POST", "start", None).await.expect(200);
        for _ in 0..3 {
            case.later(301).await;
        }
        let running = case.running().await.expect("it waits for the session");
        assert!(running["error"].as_str().unwrap().contains("1 sessions"), "{running}");
        assert!(case.works(&former).await);
        session.close().await;
        case.to_the_end().await;
        assert!(!case.works(&former).await);
        case.is_well("after the session").await;
    }
}

#[tokio::test]
async fn a_random_value_follows_the_password_policy_that_the_plan_names() {
    let case = Case::straight(Outside::redis().await, "single").await;
    let operator = case.house.server.operator();
    let policy = "length = 31\nrule \"charset\" { charset = \"abcdef\" }";
    operator.post("sys/policies/password/six", json!({"policy": policy})).await.expect(204);
    let token = json!({"data": {"token": "first", "for": "the other side"}});
    operator.post("secret/data/app/db", token).await.expect(200);
    let plan = |options: Value| json!({"method": "random", "admin": "", "options": options});
    let wrong = case.ask("POST", "schedule", Some(plan(json!({"password_policy": "six"})))).await.expect(400);
    assert!(wrong.text.contains("field"), "{}", wrong.text);
    let good = plan(json!({"password_policy": "six", "field": "token"}));
    case.ask("POST", "schedule", Some(good)).await.expect(200);
    case.ask("POST", "start", None).await.expect(200);
    case.to_the_end().await;
    let now = operator.get("secret/data/app/db").await.expect(200);
    let token = now.text_at("/data/data/token");
    assert!(token.len() == 31 && token.chars().all(|c| "abcdef".contains(c)), "{token}");
    assert_eq!(now.text_at("/data/data/for"), "the other side");
    let missing = plan(json!({"password_policy": "seven", "field": "token"}));
    case.ask("POST", "schedule", Some(missing)).await.expect(200);
    case.ask("POST", "start", None).await.expect(200);
    case.to_the_end().await;
    let last = case.history().await.remove(0);
    assert!(last["outcome"]["why"].as_str().unwrap().contains("no password policy seven"), "{last}");
}
