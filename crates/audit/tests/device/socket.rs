//! Devices with somebody at the other end: TCP, UDP, unix sockets, a log daemon; who is restarted, hangs, or is away.

use super::*;
use std::io::BufReader;
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::unix::net::{UnixDatagram, UnixListener};

fn to(kind: &str, options: &[(&str, &str)]) -> DeviceSpec {
    DeviceSpec { kind: kind.to_owned(), ..spec(kind, options) }
}

fn to_tcp(address: &str) -> DeviceSpec {
    to("socket", &[("address", address), ("write_timeout", "1s")])
}

/// The paths of the `response` lines among these, each once and in order. Fails on a line that is not whole.
fn distinct(text: &str) -> Vec<String> {
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let mut found = Vec::new();
    for path in paths(&lines) {
        if !found.contains(&path) {
            found.push(path);
        }
    }
    found
}

async fn say(trail: &Trail, paths: &[String]) {
    for path in paths {
        trail.append(entry("read", path)).await.unwrap();
    }
}

/// Reads from a connection until the line about this path is there; gives all whole lines.
fn read_to(stream: &mut impl std::io::BufRead, path: &str) -> String {
    let mut text = String::new();
    let wanted = format!("\"path\":\"{path}\"");
    loop {
        let before = text.len();
        assert!(stream.read_line(&mut text).unwrap() > 0, "closed before {path}");
        let line = &text[before..];
        if line.contains(&wanted) && line.contains("\"type\":\"response\"") {
            return text;
        }
    }
}

fn patient(stream: TcpStream) -> BufReader<TcpStream> {
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    BufReader::new(stream)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tcp_peer_that_is_restarted_misses_nothing_and_sees_no_half_line() {
    let dir = folder();
    let trail = impatient(&dir).await;
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    trail.enable(to_tcp(&address)).await.unwrap();
    let (mut all, mut heard) = (Vec::new(), String::new());
    let mut listener = Some(listener);
    for round in 0..3 {
        let paths: Vec<_> = numbered(200).iter().map(|path| format!("{path}/{round}")).collect();
        let mut connection = patient(listener.as_ref().unwrap().accept().unwrap().0);
        say(&trail, &paths).await;
        // The peer reads half of it, and is gone with the rest unread.
        heard += &read_to(&mut connection, &paths[100]);
        drop((listener.take(), connection));
        all.extend(paths);
        let away = format!("away/{round}");
        say(&trail, std::slice::from_ref(&away)).await;
        all.push(away);
        let complains = || {
            let device = trail.devices().remove(0);
            !device.healthy
                && device.error.is_some_and(|error| error.contains("nobody takes a connection at 127.0.0.1"))
        };
        until("the failure to be told", complains).await;
        listener = Some(TcpListener::bind(&address).unwrap());
    }
    let mut connection = patient(listener.unwrap().accept().unwrap().0);
    heard += &read_to(&mut connection, "away/2");
    // What arrives twice is no matter; what is left out or torn is.
    let mut sorted = distinct(&heard);
    sorted.sort();
    all.sort();
    assert_eq!(sorted, all);
    until("the recovery", || trail.devices()[0].healthy && trail.devices()[0].behind == 0).await;
    assert_eq!(trail.devices()[0].dropped, 0);
    trail.close().await;
    let events: Vec<_> = lines(&dir).iter().filter_map(|line| line["operation"].as_str().map(str::to_owned)).collect();
    assert!(events.iter().any(|name| name == "audit_device_failed"), "{events:?}");
    assert!(events.iter().any(|name| name == "audit_device_recovered"), "{events:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_that_hangs_holds_up_nobody_and_its_successor_gets_all() {
    let dir = folder();
    let trail = impatient(&dir).await;
    let listener = UnixListener::bind(dir.path().join("peer")).unwrap();
    let address = dir.path().join("peer");
    let options = [("address", address.to_str().unwrap()), ("socket_type", "unix"), ("write_timeout", "1s")];
    trail.enable(to("socket", &options)).await.unwrap();
    let (hanging, _) = listener.accept().unwrap();
    let paths = numbered(2_000);
    let mut slowest = Duration::ZERO;
    for path in &paths {
        let started = Instant::now();
        trail.append(entry("read", path)).await.unwrap();
        slowest = slowest.max(started.elapsed());
    }
    assert!(slowest < Duration::from_millis(900), "held up for {slowest:?}");
    until("the failure to be told", || !trail.devices()[0].healthy).await;
    // After the write timeout the connection counts as dead, and a new one is made.
    let (next, _) = listener.accept().unwrap();
    let heard = read_to(&mut BufReader::new(next), &paths[1_999]);
    assert_eq!(distinct(&heard), paths);
    drop(hanging);
    trail.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_udp_peer_gets_one_line_for_each_datagram() {
    let dir = folder();
    let trail = open(&dir).await;
    let peer = UdpSocket::bind("127.0.0.1:0").unwrap();
    peer.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let address = peer.local_addr().unwrap().to_string();
    trail.enable(to("socket", &[("address", &address), ("socket_type", "udp")])).await.unwrap();
    // Too long for a datagram: it goes without its data.
    let mut large = entry("read", "large");
    large.response_data = Redacted::in_clear(&serde_json::json!({ "keys": "k".repeat(100_000) }));
    trail.append(large).await.unwrap();
    say(&trail, &["small".to_owned()]).await;
    let take = || {
        let mut datagram = vec![0; 70_000];
        let count = peer.recv(&mut datagram).unwrap();
        serde_json::from_slice::<Value>(&datagram[..count]).unwrap()
    };
    let taken = [take(), take(), take(), take()];
    assert_eq!(paths(&taken), ["large", "small"]);
    assert!(taken[1]["response"]["data"]["note"].as_str().unwrap().contains("too long for a datagram"), "{}", taken[1]);
    assert_eq!(trail.devices()[0].dropped, 0);
    trail.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restarted_log_daemon_gets_every_line_in_the_form_of_syslog() {
    let dir = folder();
    let trail = impatient(&dir).await;
    let socket = dir.path().join("log");
    let device = to("syslog", &[("socket", socket.to_str().unwrap()), ("facility", "LOCAL0"), ("tag", "strongroom")]);
    let error = trail.enable(device.clone()).await.unwrap_err().to_string();
    assert!(error.contains("there is no log daemon at") && error.contains("start one"), "{error}");
    assert!(trail.devices().is_empty());
    let daemon = |socket: &Path| {
        let daemon = UnixDatagram::bind(socket).unwrap();
        daemon.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        daemon
    };
    let take = |daemon: &UnixDatagram, upto: &str| {
        let mut text = String::new();
        while !(text.contains(&format!("\"path\":\"{upto}\"")) && text.ends_with("#response\n")) {
            let mut datagram = vec![0; 70_000];
            let count = daemon.recv(&mut datagram).unwrap();
            let line = str::from_utf8(&datagram[..count]).unwrap();
            let (header, line) = line.split_once(": ").unwrap();
            let expected = format!("<134>Jan  1 00:00:01 strongroom[{}]", std::process::id());
            assert_eq!(header, expected);
            let kind = serde_json::from_str::<Value>(line).unwrap()["type"].as_str().unwrap().to_owned();
            text += &format!("{line}#{kind}\n");
        }
        text
    };
    let first = daemon(&socket);
    trail.enable(device).await.unwrap();
    let before = numbered(50);
    // More than the daemon's queue holds (net.unix.max_dgram_qlen): the device waits and goes on.
    let saying = say(&trail, &before);
    saying.await;
    let mut heard = take(&first, &before[49]);
    drop(first);
    fs::remove_file(&socket).unwrap();
    say(&trail, &["away".to_owned()]).await;
    until("the failure to be told", || !trail.devices()[0].healthy).await;
    heard += &take(&daemon(&socket), "away");
    let heard: String = heard.lines().map(|line| format!("{}\n", line.rsplit_once('#').unwrap().0)).collect();
    let expected: Vec<_> = before.into_iter().chain(["away".to_owned()]).collect();
    assert_eq!(distinct(&heard), expected);
    trail.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_device_whose_peer_is_away_at_the_start_is_tried_until_it_is_there() {
    let dir = folder();
    let trail = impatient(&dir).await;
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    drop(listener);
    assert!(trail.enable(to_tcp(&address)).await.unwrap_err().to_string().contains("nobody takes a connection"));
    trail.resume(to_tcp(&address)).await.unwrap();
    say(&trail, &["early".to_owned()]).await;
    until("the failure to be told", || !trail.devices()[0].healthy).await;
    let listener = TcpListener::bind(&address).unwrap();
    let mut connection = patient(listener.accept().unwrap().0);
    // HUP is for files: a connection goes on.
    trail.reopen().await;
    say(&trail, &["late".to_owned()]).await;
    assert_eq!(distinct(&read_to(&mut connection, "late")), ["early", "late"]);
    trail.close().await;
}
