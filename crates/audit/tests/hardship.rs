//! What the trail lives through: its process killed, its disk full.
//!
//! Each hardship happens in a child process, which is this test binary again, started for one of the ignored tests.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "helpers of tests"
)]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use strongroom_audit::{DeviceSpec, Options, Place, Query, Trail, TrailError, VerifyOptions, check_index, verify};
use support::{Key, ManualClock, entry, folder, lines, until};
use tokio::task::JoinSet;

const PLACE: &str = "STRONGROOM_TEST_PLACE";

/// This binary, to run one of its ignored tests.
fn again(program: Option<&[&str]>, test: &str) -> Command {
    let this = std::env::current_exe().unwrap();
    let arguments = ["--exact", test, "--ignored", "--nocapture", "--test-threads=1"];
    let mut command = match program {
        None => Command::new(&this),
        Some([first, rest @ ..]) => {
            let mut command = Command::new(first);
            command.args(rest).arg(&this);
            command
        }
        Some([]) => panic!("no program"),
    };
    command.args(arguments);
    command
}

#[tokio::test]
async fn no_acknowledged_entry_is_lost_when_the_process_is_killed() {
    let dir = folder();
    let mut acknowledged: BTreeMap<u64, String> = BTreeMap::new();
    for round in 0..8 {
        let mut child = again(None, "child_that_appends_until_it_is_killed")
            .env(PLACE, dir.path())
            .env("STRONGROOM_TEST_ROUND", round.to_string())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let (mut count, mut line) = (0, String::new());
        // Killed after a number of answers that differs from round to round; what it printed by then is still read.
        while output.read_line(&mut line).unwrap() > 0 {
            if let Some((seq, path)) =
                line.strip_suffix('\n').and_then(|line| line.strip_prefix("ack ")?.split_once(' '))
            {
                acknowledged.insert(seq.parse().unwrap(), path.to_owned());
                count += 1;
            }
            if count == 50 + round * 531 {
                child.kill().unwrap();
            }
            line.clear();
        }
        assert!(count >= 50 + round * 531, "the child ended by itself after {count}");
        child.wait().unwrap();
        let trail = support::open(&dir).await;
        let page = trail.query(Query { limit: 100_000, ..Query::default() }).await.unwrap();
        let found: BTreeSet<&str> = page.rows.iter().map(|row| row.path.as_str()).collect();
        let hidden = acknowledged.values().find(|path| !found.contains(path.as_str()));
        assert_eq!((hidden, page.next), (None, None), "round {round}: the index lacks an entry of an answered request");
        trail.close().await;
        let index = check_index(&dir.path().join("trail")).unwrap();
        assert_eq!((index.missing, index.first_bad), (0, None), "round {round}");
        let report = verify(&dir.path().join("trail"), &VerifyOptions::default()).unwrap();
        assert_eq!(report.first_bad, None, "round {round}");
        drop(trail);
    }
    let written: BTreeMap<u64, String> = lines(&dir)
        .iter()
        .map(|line| (line["seq"].as_u64().unwrap(), line["path"].as_str().unwrap_or("").to_owned()))
        .collect();
    for (seq, path) in &acknowledged {
        assert_eq!(written.get(seq), Some(path), "entry {seq}");
    }
    println!("{} entries acknowledged over 8 kills, none lost", acknowledged.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "runs as a child of the test of the same story"]
async fn child_that_appends_until_it_is_killed() {
    let place = PathBuf::from(std::env::var(PLACE).unwrap());
    let round: u64 = std::env::var("STRONGROOM_TEST_ROUND").unwrap().parse().unwrap();
    let options = Options { segment_bytes: 200_000, checkpoint_every: Duration::from_millis(40), ..Options::default() };
    let trail = Trail::open_with(Place::Folder(place.join("trail")), ManualClock::at(1), options).await.unwrap();
    trail.set_seal(Some(Key::new(1, round))).await;
    let mut tasks = JoinSet::new();
    for task in 0..8 {
        let trail = trail.clone();
        tasks.spawn(async move {
            for number in 0..u64::MAX {
                let path = format!("{round}/{task}/{number}");
                let seq = trail.append(entry("read", &path)).await.unwrap().seq;
                println!("ack {seq} {path}");
            }
        });
    }
    tasks.join_next().await;
}

/// Runs a child with a small disk of its own at the folder's `small`; false (and says so) where that cannot be.
fn on_a_small_disk(dir: &tempfile::TempDir, kilobytes: u32, test: &str) -> bool {
    let small = dir.path().join("small");
    fs::create_dir(&small).unwrap();
    let mount = format!("mount -t tmpfs -o size={kilobytes}k none '{}'", small.display());
    let possible = Command::new("unshare").args(["-m", "sh", "-c", &mount]).output();
    if !possible.as_ref().is_ok_and(|output| output.status.success()) {
        println!("skipped: a small disk takes root and `unshare -m` ({possible:?})");
        return false;
    }
    let run = format!("{mount} && exec \"$0\" \"$@\"");
    let status = again(Some(&["unshare", "-m", "sh", "-c", &run]), test).env(PLACE, dir.path()).status().unwrap();
    assert!(status.success(), "{test} failed on the small disk");
    true
}

#[test]
fn on_a_full_disk_entries_are_refused_and_taken_again_once_there_is_room() {
    on_a_small_disk(&folder(), 1024, "child_that_fills_the_disk_of_the_trail");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "runs as a child of the test of the same story"]
async fn child_that_fills_the_disk_of_the_trail() {
    let place = PathBuf::from(std::env::var(PLACE).unwrap()).join("small");
    let filler = place.join("filler");
    fs::write(&filler, vec![1; 400_000]).unwrap();
    let options = Options { segment_bytes: 100_000, ..Options::default() };
    let folder = place.join("trail");
    let trail = Trail::open_with(Place::Folder(folder.clone()), ManualClock::at(1), options).await.unwrap();
    trail.set_seal(Some(Key::new(1, 1))).await;
    let (mut taken, mut refused) = (Vec::new(), 0);
    while refused < 20 {
        match trail.append(entry("read", "secret/a")).await {
            Ok(receipt) if refused == 0 => taken.push(receipt.seq),
            Ok(_) => {}
            Err(TrailError::Unwritable { why }) => {
                assert!(why.contains("No space"), "{why}");
                refused += 1;
            }
            Err(other) => panic!("{other}"),
        }
    }
    assert!(!trail.health().writable);
    let freed = Instant::now();
    fs::remove_file(filler).unwrap();
    until("the trail to notice the room", || trail.health().writable).await;
    assert!(freed.elapsed() < Duration::from_secs(1), "{:?}", freed.elapsed());
    assert_eq!(trail.health().error, None);
    trail.append(entry("read", "secret/b")).await.unwrap();
    trail.close().await;
    let report = verify(&folder, &VerifyOptions::default()).unwrap();
    assert_eq!((report.first_bad, report.unsigned_tail), (None, 0));
    let all = trail.recent(100_000).await;
    assert!(all.iter().any(|line| line.contains("trail_resumed") && line.contains("entries were refused")));
    for seq in &taken {
        assert!(all.iter().any(|line| line.starts_with(&format!("{{\"seq\":{seq},"))), "entry {seq}");
    }
    println!("{} taken, resumed after {:?}", taken.len(), freed.elapsed());
}

#[test]
fn on_a_full_disk_a_device_fails_and_later_misses_nothing() {
    on_a_small_disk(&folder(), 512, "child_that_fills_the_disk_of_a_device");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "runs as a child of the test of the same story"]
async fn child_that_fills_the_disk_of_a_device() {
    let place = PathBuf::from(std::env::var(PLACE).unwrap());
    let (filler, out) = (place.join("small/filler"), place.join("small/audit.log"));
    fs::write(&filler, vec![1; 400_000]).unwrap();
    let options = Options { device_deadline: Duration::from_millis(300), ..Options::default() };
    let trail = Trail::open_with(Place::Folder(place.join("trail")), ManualClock::at(1), options).await.unwrap();
    let file_path = BTreeMap::from([("file_path".to_owned(), out.to_str().unwrap().to_owned())]);
    let spec = DeviceSpec { path: "file".into(), kind: "file".into(), description: String::new(), options: file_path };
    trail.enable(spec).await.unwrap();
    for number in 0..500 {
        trail.append(entry("read", &format!("secret/{number}"))).await.unwrap();
    }
    until("the failure", || !trail.devices()[0].healthy).await;
    assert!(trail.devices()[0].error.as_ref().unwrap().contains("No space"), "{:?}", trail.devices());
    fs::remove_file(filler).unwrap();
    until("the recovery", || trail.devices()[0].healthy && trail.devices()[0].behind == 0).await;
    trail.close().await;
    let text = fs::read_to_string(&out).unwrap();
    for number in 0..500 {
        let path = format!("\"path\":\"secret/{number}\"");
        assert_eq!(text.matches(&path).count(), 2, "{path}");
    }
    assert!(text.lines().all(|line| serde_json::from_str::<serde_json::Value>(line).is_ok()));
}
