//! What strangers can send: requests that two programs might read differently, bodies without end, clients that are
//! slow, silent or gone.

use serde_json::json;
use std::time::{Duration, Instant};
use strongroom_api::Limits;
use strongroom_testkit::TestServer;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

const CLOSE: &str = "Connection: close\r\n";

fn status(heard: &str) -> u16 {
    let code = heard.split(' ').nth(1).and_then(|code| code.parse().ok());
    code.unwrap_or_else(|| panic!("no answer: {heard:?}"))
}

/// How many answers came on one connection.
fn answers(heard: &str) -> usize {
    heard.matches("HTTP/1.1 ").count()
}

#[tokio::test]
async fn headers_that_could_be_read_in_two_ways_are_refused() {
    let server = TestServer::open().await;
    let root = &server.root;
    for (headers, expected) in [
        (format!("Host: a\r\nX-Vault-Token: {root}\r\n"), 200),
        (format!("Host: a\r\nx-vAULT-tOKEN: {root}\r\n"), 200),
        (format!("Host: a\r\nAuthorization: Bearer {root}\r\n"), 200),
        (format!("Host: a\r\nX-Vault-Token: {root}\r\nX-Vault-Token: other\r\n"), 400),
        (format!("Host: a\r\nX-Vault-Token: other\r\nX-Vault-Token: {root}\r\n"), 400),
        (format!("Host: a\r\nX-Vault-Token: {root}\r\nX-Vault-Token: {root}\r\n"), 400),
        (format!("Host: a\r\nAuthorization: Bearer {root}\r\nAuthorization: Bearer x\r\n"), 400),
        (format!("Host: a\r\nX-Vault-Token: {root}\r\nX-Vault-Namespace: a\r\nX-Vault-Namespace: root\r\n"), 400),
        (format!("Host: a\r\nX-Vault-Token: {root}\r\nX-Vault-Wrap-TTL: 1\r\nX-Vault-Wrap-TTL: 0\r\n"), 400),
        (format!("Host: a\r\nX-Vault-Token: {root}\r\nX-Vault-Wrap-TTL: secret-in-a-wrong-place\r\n"), 400),
        (format!("Host: a\r\nHost: b\r\nX-Vault-Token: {root}\r\n"), 400),
        (format!("X-Vault-Token: {root}\r\n"), 400),
        (format!("Host: a\r\nX-Vault-Token : {root}\r\n"), 400),
        (format!("Host: a\r\n X-Vault-Token: {root}\r\n"), 400),
        (format!("Host: a\r\nX-Vault-Token:\r\n {root}\r\n"), 400),
        (format!("Host: a\r\nContent-Length: 2\r\nContent-Length: 3\r\nX-Vault-Token: {root}\r\n"), 400),
        (format!("Host: a\r\nContent-Length: -1\r\nX-Vault-Token: {root}\r\n"), 400),
        (format!("Host: a\r\nContent-Length: 0x0\r\nX-Vault-Token: {root}\r\n"), 400),
        (format!("Host: a\r\nTransfer-Encoding: gzip\r\nX-Vault-Token: {root}\r\n"), 400),
        (format!("Host: a\r\nTransfer-Encoding: chunked, identity\r\nX-Vault-Token: {root}\r\n"), 400),
    ] {
        let request = format!("GET /v1/auth/token/lookup-self HTTP/1.1\r\n{headers}{CLOSE}\r\n");
        let heard = server.speak(request.as_bytes()).await;
        assert_eq!(status(&heard), expected, "{headers:?}: {heard}");
        assert!(!heard.contains("wrong-place"), "{heard}");
    }
    // Other spellings of the root namespace are other namespaces, and there are none.
    for namespace in ["Root", "ROOT/", "root/root", "team", " ", ".."] {
        let headers = [("X-Vault-Namespace", namespace), ("X-Vault-Token", root.as_str())];
        let answer = server.send_raw("GET", "/v1/auth/token/lookup-self", &headers, Vec::new()).await;
        let expected = if namespace == " " { 200 } else { answer.status.as_u16().clamp(400, 404) };
        assert_eq!(answer.status, expected, "{namespace:?} {}", answer.text);
    }
    // Nobody is told of a namespace before they are known, and who is known what to do.
    for (token, expected, text) in
        [("", 403, "permission denied"), ("hvs.wrong", 403, "permission denied"), (root, 400, "no namespace")]
    {
        let headers = [("X-Vault-Namespace", "team"), ("X-Vault-Token", token)];
        let answer = server.send_raw("GET", "/v1/secret/data/a", &headers, Vec::new()).await.expect(expected);
        assert!(
            answer.text.contains(text) && answer.text.contains("not there yet") == (expected == 400),
            "{}",
            answer.text
        );
    }
    for namespace in ["root", "root/", "/", ""] {
        let headers = [("X-Vault-Namespace", namespace), ("X-Vault-Token", root.as_str())];
        server.send_raw("GET", "/v1/auth/token/lookup-self", &headers, Vec::new()).await.expect(200);
    }
    server.stop().await;
}

#[tokio::test]
async fn a_request_line_has_one_meaning() {
    let server = TestServer::open().await;
    server.operator().post("secret/data/a", json!({"data": {"a": "canary"}})).await.expect(200);
    let root = &server.root;
    for (target, expected) in [
        // RFC 9112, section 3.2.2: the absolute form is taken, and its path is what counts.
        ("http://elsewhere/v1/secret/data/a", 200),
        ("http://elsewhere:1/v1/secret/data/../../v1/secret/data/a", 400),
        ("/v1/secret/data/a?", 200),
        ("/v1/secret/data/a?version=1", 200),
        ("/v1/secret/data/a#b", 400),
        ("//v1/secret/data/a", 404),
        ("/V1/secret/data/a", 404),
        ("/v1//secret/data/a", 400),
        ("/v1/./secret/data/a", 400),
        ("/x/../v1/secret/data/a", 404),
        ("/v2/secret/data/a", 404),
        ("/v1", 404),
        ("/v1/", 400),
        ("/", 404),
        ("*", 404),
        ("/v1/secret/data/a?x=%ff", 400),
    ] {
        let request = format!("GET {target} HTTP/1.1\r\nHost: a\r\nX-Vault-Token: {root}\r\n{CLOSE}\r\n");
        let heard = server.speak(request.as_bytes()).await;
        // What follows a `#` never reaches a server; one that comes all the same is dropped or refused.
        let expected = if target.contains('#') && status(&heard) == 200 { 200 } else { expected };
        assert_eq!(status(&heard), expected, "{target}: {heard}");
    }
    for junk in [
        "GET /v1/sys/health HTTP/9.9\r\nHost: a\r\n\r\n",
        "GET\r\n\r\n",
        "\u{16}\u{3}\u{1}\u{2}\u{0}\u{1}",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\nGET / HTTP/1.1\r\n\r\n",
        "\0\0\0\0\r\n\r\n",
    ] {
        let mut stream = server.connect().await;
        stream.write_all(junk.as_bytes()).await.unwrap();
        stream.shutdown().await.unwrap();
        let heard = TestServer::hear(&mut stream).await;
        assert!(heard.is_empty() || status(&heard) >= 400, "{junk:?}: {heard}");
    }
    server.by("").get("sys/health").await.expect(200);
    server.stop().await;
}

#[tokio::test]
async fn a_request_that_proxies_would_end_elsewhere_ends_the_connection() {
    let server = TestServer::open().await;
    let root = &server.root;
    let smuggled = format!("GET /v1/sys/mounts HTTP/1.1\r\nHost: a\r\nX-Vault-Token: {root}\r\n\r\n");
    for lengths in
        ["Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n"]
    {
        let request = format!("POST /v1/sys/unseal HTTP/1.1\r\nHost: a\r\n{lengths}\r\n0\r\n\r\n{smuggled}");
        let heard = server.speak(request.as_bytes()).await;
        assert_eq!(answers(&heard), 1, "what followed was served too: {heard}");
        assert!(!heard.contains("accessor"), "{heard}");
    }
    for chunks in ["zz\r\n", "-1\r\n", "ffffffffffffffffff\r\n", "5\r\nabcde"] {
        let request = format!("POST /v1/sys/unseal HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}");
        let mut stream = server.connect().await;
        stream.write_all(request.as_bytes()).await.unwrap();
        stream.shutdown().await.unwrap();
        let heard = TestServer::hear(&mut stream).await;
        assert!(heard.is_empty() || status(&heard) == 400, "{chunks:?}: {heard}");
    }
    server.stop().await;
}

#[tokio::test]
async fn several_requests_share_a_connection() {
    let server = TestServer::open().await;
    let one = "GET /v1/sys/health HTTP/1.1\r\nHost: a\r\n\r\n";
    let refused = "GET /v1/sys/mounts HTTP/1.1\r\nHost: a\r\n\r\n";
    let last = format!("GET /v1/sys/seal-status HTTP/1.1\r\nHost: a\r\n{CLOSE}\r\n");
    let heard = server.speak(format!("{one}{refused}{one}{last}").as_bytes()).await;
    assert_eq!((answers(&heard), heard.matches("403 Forbidden").count()), (4, 1), "{heard}");
    server.stop().await;
}

#[tokio::test]
async fn what_is_no_http_is_recorded_with_where_it_came_from_and_nothing_of_what_it_said() {
    let server = TestServer::open().await;
    for request in ["GARBAGE canary-11\r\n\r\n", "GET /v1/canary-12 HTTP/1.1\r\nbad header\r\n\r\n"] {
        let before = server.world.outcomes().await.len();
        let heard = server.speak(request.as_bytes()).await;
        assert!(heard.contains("400"), "{heard}");
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
        while server.world.outcomes().await.len() == before {
            assert!(std::time::Instant::now() < deadline, "no entry for {request:?}");
            tokio::task::yield_now().await;
        }
        let last = server.world.outcomes().await.pop().unwrap();
        assert_eq!(last["source"]["address"], "127.0.0.1");
        assert!(!last.to_string().contains("canary"), "{last}");
    }
}

#[tokio::test]
async fn headers_without_end_are_refused() {
    let server = TestServer::open().await;
    let many: String = (0..200).map(|number| format!("X-{number}: a\r\n")).collect();
    let long = format!("X-Long: {}\r\n", "a".repeat(200_000));
    let target = format!("GET /v1/{} HTTP/1.1\r\nHost: a\r\n\r\n", "a".repeat(100_000));
    for request in [
        format!("GET /v1/sys/health HTTP/1.1\r\nHost: a\r\n{many}\r\n"),
        format!("GET /v1/sys/health HTTP/1.1\r\nHost: a\r\n{long}\r\n"),
        target,
    ] {
        let heard = server.speak(request.as_bytes()).await;
        assert!(heard.is_empty() || [400, 414, 431].contains(&status(&heard)), "{heard}");
    }
    let path = "a/".repeat(1_500);
    server.operator().get(&format!("secret/data/{path}")).await.expect(400);
    server.by("").get("sys/health").await.expect(200);
    server.stop().await;
}

#[tokio::test]
async fn a_body_over_the_limit_is_refused_before_it_is_read() {
    let server = TestServer::open_with(Limits { body_bytes: 64 * 1024, ..Limits::default() }).await;
    let root = &server.root;
    let head =
        |length: &str| format!("POST /v1/secret/data/a HTTP/1.1\r\nHost: a\r\nX-Vault-Token: {root}\r\n{length}\r\n");
    // Nothing but the head is sent: the answer cannot have waited for the body.
    for length in ["65537", "1073741824", "18446744073709551615"] {
        let heard = server.speak(head(&format!("Content-Length: {length}\r\n")).as_bytes()).await;
        assert!([413, 431].contains(&status(&heard)), "{length}: {heard}");
    }
    let mut chunked = head("Transfer-Encoding: chunked\r\n");
    for _ in 0..5 {
        chunked.push_str(&format!("4000\r\n{}\r\n", "a".repeat(0x4000)));
    }
    let heard = server.speak(chunked.as_bytes()).await;
    assert_eq!(status(&heard), 413, "{heard}");
    assert!(heard.contains("larger than 65536 bytes"), "{heard}");
    // A body of exactly the limit is taken; one byte more is not.
    let fitting = |bytes: usize| format!("{{\"data\":{{\"a\":\"{}\"}}}}", "a".repeat(bytes - 17)).into_bytes();
    let token = [("X-Vault-Token", root.as_str())];
    assert_eq!(fitting(64 * 1024).len(), 64 * 1024);
    server.send_raw("POST", "/v1/secret/data/a", &token, fitting(64 * 1024)).await.expect(200);
    server.send_raw("POST", "/v1/secret/data/a", &token, fitting(64 * 1024 + 1)).await.expect(413);
    // Shorter than declared, and then gone: refused, and recorded.
    let mut stream = server.connect().await;
    stream.write_all(format!("{}{{\"data\":", head("Content-Length: 100\r\n")).as_bytes()).await.unwrap();
    stream.shutdown().await.unwrap();
    let heard = TestServer::hear(&mut stream).await;
    assert!(heard.is_empty() || status(&heard) == 400, "{heard}");
    assert_eq!(server.operator().get("secret/metadata/a").await.at("/data/current_version"), 1);
    server.stop().await;
}

#[tokio::test]
async fn all_bodies_together_have_a_limit_too() {
    let limits = Limits { body_bytes: 64 * 1024, all_bodies_bytes: 64 * 1024, ..Limits::default() };
    let server = TestServer::open_with(limits).await;
    let head = "POST /v1/secret/data/a HTTP/1.1\r\nHost: a\r\nContent-Length: 60000\r\n\r\n";
    let mut holder = server.connect().await;
    holder.write_all(head.as_bytes()).await.unwrap();
    holder.write_all(&[b' '; 50_000]).await.unwrap();
    let body = || format!("{{\"data\":{{\"a\":\"{}\"}}}}", "a".repeat(30_000)).into_bytes();
    let token = [("X-Vault-Token", server.root.as_str())];
    let begun = Instant::now();
    loop {
        let answer = server.send_raw("POST", "/v1/secret/data/a", &token, body()).await;
        if answer.status == 429 {
            assert!(answer.errors()[0].contains("too many large requests"), "{}", answer.text);
            assert_eq!(answer.headers["retry-after"], "1");
            break;
        }
        // The bytes of the first have not all been read yet.
        assert!(answer.status == 200 && begun.elapsed() < Duration::from_secs(20), "{}", answer.text);
    }
    server.operator().get("secret/data/a").await;
    drop(holder);
    while server.send_raw("POST", "/v1/secret/data/a", &token, body()).await.status != 200 {
        assert!(begun.elapsed() < Duration::from_secs(20), "the memory was not given back");
    }
    server.stop().await;
}

#[tokio::test]
async fn json_that_is_small_to_send_and_large_to_hold_is_refused_at_once() {
    let server = TestServer::open().await;
    let root = [("X-Vault-Token", server.root.as_str())];
    let nested =
        |open: &str, close: &str, times| format!("{{\"data\":{}1{}}}", open.repeat(times), close.repeat(times));
    let many = |one: &str, times| format!("{{\"data\":{{\"a\":[{}0]}}}}", format!("{one},").repeat(times));
    let keys: String = (0..150_000).map(|number| format!("\"k{number}\":1,")).collect();
    let bombs = [
        nested("[", "]", 100_000),
        nested("{\"a\":", "}", 100_000),
        "[".repeat(1_000_000),
        nested("[", "]", 65),
        many("0", 800_000),
        many("\"\"", 500_000),
        many("{}", 500_000),
        many("[]", 500_000),
        many("null", 300_000),
        many("1e999", 200_000),
        format!("{{\"data\":{{{keys}\"z\":1}}}}"),
        format!("{{{}\"a\":1}}", "\"a\":1,".repeat(150_000)),
    ];
    for bomb in bombs {
        let begun = Instant::now();
        let answer = server.send_raw("POST", "/v1/secret/data/a", &root, bomb.clone().into_bytes()).await;
        assert!([400, 413].contains(&answer.status.as_u16()), "{}…: {}", &bomb[..40], answer.text);
        assert!(begun.elapsed() < Duration::from_secs(2), "{}… took {:?}", &bomb[..40], begun.elapsed());
    }
    for broken in [
        "{",
        "}",
        "{\"a\"}",
        "{\"a\":canary}",
        "canary",
        "\"canary\"",
        "[\"canary\"]",
        "{\"a\":\"canary\"} x",
        "{\"a\":01}",
        "{\"a\":\"\u{1}canary\"}",
        "{\"a\":\"\\ud800\"}",
        "NaN",
    ] {
        let answer = server.send_raw("POST", "/v1/secret/data/a", &root, broken.as_bytes().to_vec()).await.expect(400);
        assert!(!answer.text.contains("canary"), "{broken}: {}", answer.text);
    }
    let answer = server.send_raw("POST", "/v1/secret/data/a", &root, b"{\"data\":{\"a\":\"\xff\"}}".to_vec()).await;
    assert_eq!(answer.status, 400, "{}", answer.text);
    let text = server.world.trail.recent(usize::MAX).await.join("\n");
    assert!(!text.contains("canary"), "what could not be parsed stands in the trail");
    // Numbers are kept as they are written, however large.
    let exact = br#"{"data":{"n":123456789012345678901234567890,"f":1.10}}"#;
    server.send_raw("POST", "/v1/secret/data/n", &root, exact.to_vec()).await.expect(200);
    let read = server.operator().get("secret/data/n").await.expect(200);
    assert!(read.text.contains("123456789012345678901234567890") && read.text.contains("1.10"), "{}", read.text);
    server.stop().await;
}

#[tokio::test]
async fn verbs_and_bodies_are_taken_in_every_way_that_clients_send_them() {
    let server = TestServer::open().await;
    let operator = server.operator();
    let token = ("X-Vault-Token", server.root.as_str());
    for verb in ["POST", "PUT"] {
        operator.send(verb, "secret/data/a", Some(json!({"data": {"a": 1}}))).await.expect(200);
    }
    for (verb, path) in [
        ("LIST", "secret/metadata"),
        ("LIST", "secret/metadata/"),
        ("GET", "secret/metadata?list=true"),
        ("GET", "secret/metadata/?list=1"),
        ("GET", "secret/metadata/?list=True"),
    ] {
        let listed = operator.send(verb, path, None).await.expect(200);
        assert_eq!(listed.at("/data/keys"), &json!(["a"]), "{verb} {path}");
    }
    for content_type in ["application/json", "text/plain", "application/x-www-form-urlencoded", "nonsense", ""] {
        let headers = [token, ("Content-Type", content_type)];
        let body = br#"{"data": {"a": 1}}"#.to_vec();
        server.send_raw("POST", "/v1/secret/data/a", &headers, body).await.expect(200);
    }
    let headers = [token, ("Content-Type", "application/x-www-form-urlencoded; charset=utf-8")];
    let form = b"ttl=1h&policies=default&display_name=a%20b+c".to_vec();
    let made = server.send_raw("POST", "/v1/auth/token/create", &headers, form).await.expect(200);
    assert_eq!((made.at("/auth/lease_duration"), made.at("/auth/policies")), (&json!(3_600), &json!(["default"])));
    server.send_raw("POST", "/v1/auth/token/create", &headers, b"a=%ff".to_vec()).await.expect(400);
    for (content_type, expected) in [
        ("application/merge-patch+json", 200),
        ("application/merge-patch+json; charset=utf-8", 200),
        ("Application/Merge-Patch+JSON", 200),
        ("application/json", 415),
        ("application/merge-patch+jsonx", 415),
        ("", 415),
    ] {
        let body = br#"{"data": {"b": 2}}"#.to_vec();
        let answer =
            server.send_raw("PATCH", "/v1/secret/data/a", &[token, ("Content-Type", content_type)], body).await;
        assert_eq!(answer.status, expected, "{content_type}: {}", answer.text);
    }
    let head = operator.send("HEAD", "secret/data/a", None).await;
    assert_eq!((head.status.as_u16(), head.text.as_str()), (200, ""));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_that_are_slow_with_their_request_are_dropped() {
    let limits = Limits {
        headers: Duration::from_millis(300),
        idle: Duration::from_millis(600),
        request: Duration::from_millis(300),
        ..Limits::default()
    };
    let server = TestServer::open_with(limits).await;
    let dropped_within = Duration::from_secs(5);
    // Silent, stuck in the headers, and a byte at a time.
    for begin in ["", "GET /v1/sys/health HTTP/1.1\r\nHost: a\r\nX-Slow: "] {
        let mut stream = server.connect().await;
        stream.write_all(begin.as_bytes()).await.unwrap();
        let begun = Instant::now();
        TestServer::hear(&mut stream).await;
        assert!(begun.elapsed() < dropped_within, "{begin:?} was borne for {:?}", begun.elapsed());
    }
    let (mut reading, mut writing) = server.connect().await.into_split();
    let begun = Instant::now();
    let trickle = async {
        let mut ticks = tokio::time::interval(Duration::from_millis(20));
        loop {
            ticks.tick().await;
            if writing.write_all(b"a").await.is_err() {
                return;
            }
        }
    };
    let mut heard = Vec::new();
    tokio::select! {
        () = trickle => {}
        _ = reading.read_to_end(&mut heard) => {}
    }
    assert!(begun.elapsed() < dropped_within, "a trickle was borne for {:?}", begun.elapsed());
    // A body that does not come is refused, and the refusal recorded.
    let recorded = server.world.outcomes().await.len();
    let mut stream = server.connect().await;
    stream.write_all(b"POST /v1/secret/data/a HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n{").await.unwrap();
    let begun = Instant::now();
    let heard = TestServer::hear(&mut stream).await;
    assert!(begun.elapsed() < dropped_within, "{:?}", begun.elapsed());
    assert!(status(&heard) == 400 && heard.contains("took too long"), "{heard}");
    assert_eq!(server.world.outcomes().await.len(), recorded + 1);
    server.stop().await;
}

/// Asks how the server does, and reads the answer to its end.
async fn ask_for_health(stream: &mut TcpStream) {
    stream.write_all(b"GET /v1/sys/health HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    let mut heard = Vec::new();
    while !heard.ends_with(b"}\n") {
        assert!(stream.read_buf(&mut heard).await.unwrap() > 0, "closed: {:?}", String::from_utf8_lossy(&heard));
    }
    assert_eq!(status(&String::from_utf8_lossy(&heard)), 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_is_closed_when_it_was_idle_for_the_whole_time_and_not_while_it_is_used() {
    let idle = Duration::from_millis(600);
    let server = TestServer::open_with(Limits { idle, ..Limits::default() }).await;
    let mut stream = server.connect().await;
    // Longer in all than it may be idle at once.
    for _ in 0..4 {
        ask_for_health(&mut stream).await;
        tokio::time::sleep(idle * 2 / 3).await;
    }
    ask_for_health(&mut stream).await;
    let begun = Instant::now();
    assert_eq!(TestServer::hear(&mut stream).await, "");
    // It is idle for the server a little before its answer is read here.
    assert!(begun.elapsed() > idle * 4 / 5, "it was closed after {:?}", begun.elapsed());
    assert!(begun.elapsed() < Duration::from_secs(5), "it was borne for {:?}", begun.elapsed());
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_later_request_has_the_whole_time_for_its_head_and_no_more() {
    let headers = Duration::from_millis(600);
    let server = TestServer::open_with(Limits { headers, ..Limits::default() }).await;
    let mut stream = server.connect().await;
    ask_for_health(&mut stream).await;
    // Of no account: it is idle.
    tokio::time::sleep(headers * 3 / 2).await;
    ask_for_health(&mut stream).await;
    stream.write_all(b"GET /v1/sys/health HTTP/1.1\r\nX-Slow: ").await.unwrap();
    let begun = Instant::now();
    TestServer::hear(&mut stream).await;
    assert!(begun.elapsed() > headers * 4 / 5, "it was cut off after {:?}", begun.elapsed());
    assert!(begun.elapsed() < Duration::from_secs(5), "it was borne for {:?}", begun.elapsed());
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn silent_connections_do_not_keep_others_out() {
    let server = TestServer::open().await;
    let mut silent = Vec::new();
    for number in 0..300 {
        let mut stream = server.connect().await;
        if number % 2 == 0 {
            stream.write_all(b"GET /v1/sys/health HTTP/1.1\r\n").await.unwrap();
        }
        silent.push(stream);
    }
    let begun = Instant::now();
    for _ in 0..20 {
        server.by("").get("sys/health").await.expect(200);
    }
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    drop(silent);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_all_connections_are_taken_the_next_waits_until_the_slow_are_dropped() {
    let limits = Limits { connections: 4, headers: Duration::from_millis(300), ..Limits::default() };
    let server = TestServer::open_with(limits).await;
    let mut silent = Vec::new();
    for _ in 0..12 {
        silent.push(server.connect().await);
    }
    let begun = Instant::now();
    server.by("").get("sys/health").await.expect(200);
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    drop(silent);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_client_asked_for_before_it_left_is_done_and_recorded() {
    let server = TestServer::open().await;
    let mut leaving = JoinSet::new();
    let address = server.address;
    for number in 0..40 {
        let root = server.root.clone();
        leaving.spawn(async move {
            let body = json!({"data": {"n": number}}).to_string();
            let request = format!(
                "POST /v1/secret/data/left/{number} HTTP/1.1\r\nHost: a\r\nX-Vault-Token: {root}\r\nContent-Length: {}\r\n\r\n{body}",
                body.len()
            );
            let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
            stream.write_all(request.as_bytes()).await.unwrap();
            // Gone without waiting for the answer; some by a reset.
            if number % 2 == 0 {
                stream.set_zero_linger().unwrap();
            }
        });
    }
    leaving.join_all().await;
    // Those that left in the middle of the body.
    for _ in 0..10 {
        let mut stream = server.connect().await;
        stream
            .write_all(b"POST /v1/secret/data/half HTTP/1.1\r\nHost: a\r\nContent-Length: 99\r\n\r\n{\"data\"")
            .await
            .unwrap();
    }
    // Stopping waits for every request that was begun.
    let root = server.root.clone();
    let halves =
        async || server.world.outcomes().await.iter().filter(|entry| entry["path"] == "secret/data/half").count();
    let begun = Instant::now();
    while halves().await < 10 {
        assert!(begun.elapsed() < Duration::from_secs(20), "{} of 10 were recorded", halves().await);
        tokio::task::yield_now().await;
    }
    let world = server.stop().await;
    let entries = world.entries().await;
    let of =
        |path: &str, kind: &str| entries.iter().filter(|entry| entry["path"] == path && entry["kind"] == kind).count();
    let again = TestServer::start(world, Limits::default()).await;
    for number in 0..40 {
        let path = format!("secret/data/left/{number}");
        let found = again.by(&root).get(&path).await.status == 200;
        // A reset may overtake the request; what was begun was ended, and what was done was recorded.
        assert_eq!(of(&path, "intent"), of(&path, "outcome"), "{path}");
        assert_eq!(found, of(&path, "outcome") == 1, "{path}");
        assert!(found || number % 2 == 0, "{path} was lost");
    }
    again.by(&root).get("secret/data/half").await.expect(404);
    again.stop().await;
}

/// A client that puts an empty name between slashes lists `metadata//`.
#[tokio::test]
async fn who_lists_with_slashes_too_many_is_sent_to_the_folder_and_nobody_else_is() {
    let server = TestServer::open().await;
    server.operator().post("secret/data/a/b", json!({"data": {"a": 1}})).await.expect(200);
    let headers = [("X-Vault-Token", server.root.as_str())];
    for (method, asked, folder, keys) in [
        ("GET", "/v1/secret/metadata//?list=true", "/v1/secret/metadata/?list=true", json!(["a/"])),
        ("LIST", "/v1/secret/metadata//", "/v1/secret/metadata/", json!(["a/"])),
        ("LIST", "/v1/secret/metadata/a///?x=%2F%20", "/v1/secret/metadata/a/?x=%2F%20", json!(["b"])),
    ] {
        for headers in [&headers[..], &[]] {
            let before = server.world.outcomes().await.len();
            let sent = server.send_raw(method, asked, headers, Vec::new()).await.expect(307);
            assert_eq!((sent.headers["location"].to_str().unwrap(), sent.text.as_str()), (folder, ""), "{asked}");
            assert_eq!(server.world.outcomes().await.len(), before + 1, "it is recorded");
        }
        let listed = server.send_raw(method, folder, &headers, Vec::new()).await.expect(200);
        assert_eq!(listed.at("/data/keys"), &keys, "{asked}");
    }
    for (method, asked) in [
        ("GET", "/v1/secret/metadata//"),
        ("GET", "/v1/secret/data/a/b//"),
        ("DELETE", "/v1/secret/metadata/a/b//"),
        ("POST", "/v1/secret/data/a/b//"),
        ("LIST", "/v1/secret//metadata//"),
        ("LIST", "/v1/secret//metadata/"),
        ("LIST", "/v1/secret/metadata/%2f/"),
        ("LIST", "/v1/secret/metadata/../metadata//"),
        ("LIST", "/v1//"),
    ] {
        let refused = server.send_raw(method, asked, &headers, Vec::new()).await;
        assert!([400, 404].contains(&refused.status.as_u16()), "{method} {asked}: {}", refused.status);
        assert!(!refused.headers.contains_key("location"), "{method} {asked}");
    }
    server.stop().await;
}
