//! Devices: what they write, that they never hold up the trail, and that they go on where they stopped.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "helpers of tests")]

#[path = "device/socket.rs"]
mod socket;
mod support;

use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use strongroom_audit::{DeviceSpec, EntryKind, Options, Place, Redacted, Trail, VerifyOptions, verify};
use strongroom_model::RequestId;
use support::{ManualClock, entry, folder, lines, open, until};
use tempfile::TempDir;

fn spec(path: &str, options: &[(&str, &str)]) -> DeviceSpec {
    let options: BTreeMap<_, _> =
        options.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    DeviceSpec { path: path.to_owned(), kind: "file".to_owned(), description: String::new(), options }
}

fn to_file(path: &Path) -> DeviceSpec {
    spec("file", &[("file_path", path.to_str().unwrap())])
}

fn shipped(path: &Path) -> Vec<Value> {
    fs::read_to_string(path).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The paths of the `response` lines of requests.
fn paths(lines: &[Value]) -> Vec<String> {
    let responses = lines.iter().filter(|line| line["type"] == "response" && line["request"]["operation"] == "read");
    responses.map(|line| line["request"]["path"].as_str().unwrap().to_owned()).collect()
}

fn numbered(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("secret/{number}")).collect()
}

fn fifo(path: &Path) {
    let mode = rustix::fs::Mode::from_raw_mode(0o600);
    rustix::fs::mkfifoat(rustix::fs::CWD, path, mode).unwrap();
}

/// A trail whose devices fail soon.
async fn impatient(dir: &TempDir) -> Arc<Trail> {
    let options = Options { device_deadline: Duration::from_millis(300), ..Options::default() };
    Trail::open_with(Place::Folder(dir.path().join("trail")), ManualClock::at(1), options).await.unwrap()
}

#[tokio::test]
async fn a_read_gives_two_lines_and_a_change_one_for_each_entry() {
    let dir = folder();
    let out = dir.path().join("audit.log");
    let trail = open(&dir).await;
    trail.append(entry("read", "before")).await.unwrap();
    trail.enable(to_file(&out)).await.unwrap();
    trail.append(entry("read", "a")).await.unwrap();
    let mut intent = entry("update", "b");
    intent.request = RequestId::from_bytes([9; 16]);
    let mut outcome = intent.clone();
    (intent.kind, intent.outcome) = (EntryKind::Intent, None);
    outcome.kind = EntryKind::Outcome;
    trail.append(intent).await.unwrap();
    trail.append(outcome).await.unwrap();
    trail.close().await;
    let shown: Vec<_> =
        shipped(&out).iter().map(|line| format!("{} {}", line["type"], line["request"]["path"])).collect();
    assert_eq!(shown, [r#""request" "a""#, r#""response" "a""#, r#""request" "b""#, r#""response" "b""#]);
    assert_eq!(fs::metadata(&out).unwrap().permissions().mode() & 0o777, 0o600);
}

#[tokio::test]
async fn what_cannot_be_served_is_refused_at_once_and_says_why() {
    let dir = folder();
    let trail = open(&dir).await;
    trail.append(entry("read", "a")).await.unwrap();
    let place = dir.path();
    let link = place.join("link.log");
    std::os::unix::fs::symlink(place.join("target.log"), &link).unwrap();
    let second_name = place.join("second.log");
    fs::hard_link(&support::segments(&dir)[0], &second_name).unwrap();
    let pipe = place.join("pipe");
    fifo(&pipe);
    for (path, why) in [
        (place.join("missing/a.log"), "No such file"),
        (place.join("trail/a.log"), "folder of the audit trail"),
        (place.join("missing/../trail/a.log"), "No such file"),
        (link, "symbolic link"),
        (second_name, "file of the audit trail"),
        (pipe, "nobody reads"),
        (place.to_path_buf(), "irectory"),
        ("/dev/full".into(), "No space"),
    ] {
        let error = trail.enable(to_file(&path)).await.unwrap_err().to_string();
        assert!(error.contains(why), "{}: {error}", path.display());
    }
    let mut other = to_file(&place.join("a.log"));
    other.kind = "kafka".to_owned();
    let error = trail.enable(other).await.unwrap_err().to_string();
    assert_eq!(error, "audit device type `kafka` is not available; use `file`, `socket` or `syslog`");
    trail.enable(to_file(&place.join("a.log"))).await.unwrap();
    let error = trail.enable(to_file(&place.join("b.log"))).await.unwrap_err().to_string();
    assert!(error.contains("already"), "{error}");
    assert_eq!(trail.devices().len(), 1);
    trail.close().await;
}

/// A line appended to a key or to the store's file is damage that nothing mends.
#[tokio::test]
async fn nothing_is_appended_to_what_holds_something_else_or_what_the_server_lives_from() {
    let dir = folder();
    let (place, store) = (dir.path(), dir.path().join("store"));
    fs::create_dir(&store).unwrap();
    std::os::unix::fs::symlink(&store, place.join("by-link")).unwrap();
    let key = place.join("key.json");
    // Looks like a copy, and so does the beginning of a configuration in JSON.
    fs::write(&key, "{\"a\":1}\n").unwrap();
    fs::write(store.join("strongroom.db"), "{\"b\":2}\n").unwrap();
    fs::hard_link(&key, place.join("second-key")).unwrap();
    fs::hard_link(store.join("strongroom.db"), place.join("second-db")).unwrap();
    let foreign = [("raw", &b"\xa7\x01{\""[..]), ("hcl", b"storage \"file\" {}\n"), ("json", b"{\n  \"a\": 1\n}\n")];
    let foreign = foreign.into_iter().chain([("blank", &b"\n{\"a\":1}\n"[..]), ("word", b"CEX:0|\n")]);
    let foreign: Vec<_> = foreign.map(|(name, bytes)| (place.join(name), bytes)).collect();
    for (path, bytes) in &foreign {
        fs::write(path, bytes).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o644)).unwrap();
    }
    let trail = open(&dir).await;
    trail.keep_out_of([key.clone(), store.clone(), place.join("not-there-yet.pid")]);
    trail.append(entry("read", "a")).await.unwrap();
    let near = [
        key.clone(),
        store.join("strongroom.db"),
        store.join("new.log"),
        place.join("by-link/new.log"),
        store.join("../store/new.log"),
        place.join("second-key"),
        place.join("second-db"),
        place.join("not-there-yet.pid"),
    ];
    let near = near.iter().map(|path| (path.clone(), "the server itself needs"));
    for (path, why) in near.chain(foreign.iter().map(|(path, _)| (path.clone(), "something else than copies"))) {
        let error = trail.enable(to_file(&path)).await.unwrap_err().to_string();
        assert!(error.contains(why), "{}: {error}", path.display());
        let error = trail.copy_file(path.clone()).append(b"{}\n").unwrap_err().to_string();
        assert!(error.contains(why), "{}: {error}", path.display());
    }
    for (path, bytes) in &foreign {
        assert_eq!(fs::read(path).unwrap(), *bytes);
        assert_eq!(fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o644);
    }
    assert_eq!(fs::read(&key).unwrap(), b"{\"a\":1}\n");
    assert_eq!(fs::read_dir(&store).unwrap().count(), 1);
    // What copies begin with is gone on with, also where the first line was cut short.
    for (name, bytes) in
        [("a", "{\"a\":1}\n"), ("b", "CEF:0|x\n"), ("c", "<13>1 x\n"), ("d", "CE"), ("e", "{"), ("f", "")]
    {
        let path = place.join(name);
        fs::write(&path, bytes).unwrap();
        trail.copy_file(path.clone()).append(b"{}\n").unwrap();
        assert!(fs::read_to_string(&path).unwrap().ends_with("{}\n"), "{name}");
    }
    // One that turns into something else while nobody looks is not gone on with, either.
    let log = place.join("audit.log");
    trail.enable(to_file(&log)).await.unwrap();
    trail.append(entry("read", "b")).await.unwrap();
    trail.suspend_devices().await;
    fs::write(&log, "not a copy\n").unwrap();
    trail.resume(to_file(&log)).await.unwrap();
    let error = trail.devices()[0].error.clone().unwrap_or_default();
    assert!(error.contains("something else than copies"), "{error}");
    trail.close().await;
    assert_eq!(fs::read_to_string(&log).unwrap(), "not a copy\n");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_that_stops_holds_up_nobody_and_later_misses_nothing() {
    let dir = folder();
    let (pipe, other) = (dir.path().join("pipe"), dir.path().join("other.log"));
    fifo(&pipe);
    let reader = rustix::fs::OFlags::RDONLY | rustix::fs::OFlags::NONBLOCK;
    let reader = rustix::fs::open(&pipe, reader, rustix::fs::Mode::empty()).unwrap();
    let trail = impatient(&dir).await;
    trail.enable(spec("pipe", &[("file_path", pipe.to_str().unwrap())])).await.unwrap();
    trail.enable(spec("other", &[("file_path", other.to_str().unwrap())])).await.unwrap();
    let count = 2_000;
    let mut slowest = Vec::new();
    for path in numbered(count) {
        let started = Instant::now();
        trail.append(entry("read", &path)).await.unwrap();
        slowest.push(started.elapsed());
    }
    slowest.sort_unstable();
    let p99 = slowest[count * 99 / 100];
    assert!(p99 < Duration::from_millis(50), "{p99:?}");
    let device = |path: &str| trail.devices().into_iter().find(|device| device.path == path).unwrap();
    until("the pipe's failure", || !device("pipe").healthy).await;
    until("the other device", || device("other").behind == 0).await;
    assert!(device("other").healthy);
    assert!(device("pipe").behind > 0);
    assert_eq!(device("pipe").error.as_deref(), Some("its reader does not read"));

    let mut taken = Vec::new();
    let mut file = fs::File::from(reader);
    until("the pipe's recovery", || {
        let mut block = [0; 64 * 1024];
        if let Ok(read) = file.read(&mut block) {
            taken.extend_from_slice(&block[..read]);
        }
        device("pipe").healthy && device("pipe").behind == 0
    })
    .await;
    trail.close().await;
    let text = String::from_utf8(taken).unwrap();
    let whole = &text[..=text.rfind('\n').unwrap()];
    let got: Vec<Value> = whole.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(paths(&got), numbered(count));
    assert_eq!(paths(&shipped(&other)), numbered(count));
    let said: Vec<String> =
        lines(&dir).iter().map(|line| line["operation"].as_str().unwrap_or("").to_owned()).collect();
    for event in ["audit_device_failed", "audit_device_recovered"] {
        assert_eq!(said.iter().filter(|operation| *operation == event).count(), 1, "{event}");
    }
    assert_eq!(verify(&dir.path().join("trail"), &VerifyOptions::default()).unwrap().first_bad, None);
}

#[tokio::test]
async fn a_deleted_file_is_made_again_and_the_trail_tells() {
    let dir = folder();
    let out = dir.path().join("audit.log");
    let trail = open(&dir).await;
    trail.enable(to_file(&out)).await.unwrap();
    trail.append(entry("read", "a")).await.unwrap();
    until("the first line", || trail.devices()[0].behind == 0).await;
    fs::remove_file(&out).unwrap();
    trail.append(entry("read", "b")).await.unwrap();
    until("the event", || lines(&dir).iter().any(|line| line["operation"] == "audit_device_file")).await;
    trail.close().await;
    assert_eq!(paths(&shipped(&out)), ["b"]);
}

#[tokio::test]
async fn after_a_hangup_lines_go_into_the_new_file() {
    let dir = folder();
    let (out, moved) = (dir.path().join("audit.log"), dir.path().join("audit.log.1"));
    let trail = open(&dir).await;
    trail.enable(to_file(&out)).await.unwrap();
    trail.append(entry("read", "a")).await.unwrap();
    until("the first line", || trail.devices()[0].behind == 0).await;
    fs::rename(&out, &moved).unwrap();
    trail.reopen().await;
    trail.append(entry("read", "b")).await.unwrap();
    trail.close().await;
    assert_eq!((paths(&shipped(&moved)), paths(&shipped(&out))), (vec!["a".to_owned()], vec!["b".to_owned()]));
    assert!(lines(&dir).iter().all(|line| line["operation"] != "audit_device_file"));
}

#[tokio::test]
async fn what_happened_while_a_device_was_not_running_reaches_it_after_a_restart() {
    let dir = folder();
    let out = dir.path().join("audit.log");
    for round in 0..3 {
        let trail = open(&dir).await;
        trail.append(entry("read", &format!("sealed/{round}"))).await.unwrap();
        trail.enable(to_file(&out)).await.unwrap();
        trail.append(entry("read", &format!("open/{round}"))).await.unwrap();
        trail.close().await;
    }
    assert_eq!(paths(&shipped(&out)), ["open/0", "sealed/1", "open/1", "sealed/2", "open/2"]);
}

#[tokio::test]
async fn a_suspended_device_later_gets_what_was_written_meanwhile() {
    let dir = folder();
    let places = [Place::Folder(dir.path().join("trail")), Place::Memory];
    for (number, place) in places.into_iter().enumerate() {
        let out = dir.path().join(format!("audit-{number}.log"));
        let trail = Trail::open(place, ManualClock::at(1)).await.unwrap();
        trail.append(entry("read", "before")).await.unwrap();
        trail.enable(to_file(&out)).await.unwrap();
        for round in 0..3 {
            trail.append(entry("read", &format!("open/{round}"))).await.unwrap();
            trail.suspend_devices().await;
            assert!(trail.devices().is_empty());
            trail.append(entry("read", &format!("sealed/{round}"))).await.unwrap();
            trail.enable(to_file(&out)).await.unwrap();
        }
        assert!(trail.disable("file").await);
        trail.append(entry("read", "disabled")).await.unwrap();
        trail.enable(to_file(&out)).await.unwrap();
        trail.append(entry("read", "anew")).await.unwrap();
        trail.close().await;
        let shown = paths(&shipped(&out));
        // Disabling does not wait for the device, so the last one may or may not be there.
        let rest: Vec<_> = shown.iter().filter(|path| *path != "sealed/2").collect();
        assert_eq!(rest, ["open/0", "sealed/0", "open/1", "sealed/1", "open/2", "anew"], "{number}");
    }
}

#[tokio::test]
async fn a_device_that_was_disabled_begins_anew() {
    let dir = folder();
    let out = dir.path().join("audit.log");
    let trail = open(&dir).await;
    trail.enable(to_file(&out)).await.unwrap();
    assert!(trail.disable("file").await);
    assert!(!trail.disable("file").await);
    trail.append(entry("read", "between")).await.unwrap();
    trail.enable(to_file(&out)).await.unwrap();
    trail.append(entry("read", "after")).await.unwrap();
    trail.close().await;
    assert_eq!(paths(&shipped(&out)), ["after"]);
}

#[tokio::test]
async fn a_device_reads_across_segments() {
    let dir = folder();
    let out = dir.path().join("audit.log");
    let options = Options { segment_bytes: 2_000, ..Options::default() };
    let place = Place::Folder(dir.path().join("trail"));
    let trail = Trail::open_with(place, ManualClock::at(1), options).await.unwrap();
    trail.enable(to_file(&out)).await.unwrap();
    for path in numbered(100) {
        trail.append(entry("read", &path)).await.unwrap();
    }
    trail.close().await;
    assert!(support::segments(&dir).len() > 5);
    assert_eq!(paths(&shipped(&out)), numbered(100));
}

#[tokio::test]
async fn from_memory_a_device_gets_lines_and_counts_those_forgotten() {
    let dir = folder();
    let pipe = dir.path().join("pipe");
    fifo(&pipe);
    let flags = rustix::fs::OFlags::RDONLY | rustix::fs::OFlags::NONBLOCK;
    let mut reader = fs::File::from(rustix::fs::open(&pipe, flags, rustix::fs::Mode::empty()).unwrap());
    let options = Options { ring: 100, ..Options::default() };
    let trail = Trail::open_with(Place::Memory, ManualClock::at(1), options).await.unwrap();
    // The trail's own first line is not for devices, and should not count as forgotten.
    trail.append(entry("read", "before")).await.unwrap();
    trail.enable(to_file(&pipe)).await.unwrap();
    for path in numbered(3_000) {
        trail.append(entry("read", &path)).await.unwrap();
    }
    let mut taken = Vec::new();
    until("the device to catch up", || {
        let mut block = [0; 64 * 1024];
        if let Ok(read) = reader.read(&mut block) {
            taken.extend_from_slice(&block[..read]);
        }
        trail.devices()[0].behind == 0
    })
    .await;
    let dropped = trail.devices()[0].dropped;
    trail.close().await;
    assert!(dropped > 0 && dropped < 3_000, "{dropped}");
    let text = String::from_utf8(taken).unwrap();
    let got = text.lines().filter(|line| line.contains("\"type\":\"response\"")).count() as u64;
    assert_eq!(got + dropped, 3_000);
}
