//! The trail as the server uses it: opening, appending, signing, closing, opening again.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod support;

use serde_json::Value;
use std::fs;
use std::sync::Arc;
use std::time::Duration;
use strongroom_audit::{Options, Place, Redacted, Trail, TrailError};
use strongroom_model::Kinded as _;
use support::{Key, ManualClock, entry, folder, lines, open};

#[tokio::test]
async fn entries_are_numbered_without_gaps_and_continue_after_a_restart() {
    let dir = folder();
    let trail = open(&dir).await;
    for expected in 1..=3 {
        assert_eq!(trail.append(entry("read", "secret/a")).await.unwrap().seq, expected);
    }
    trail.close().await;
    let trail = open(&dir).await;
    assert_eq!(trail.append(entry("read", "secret/b")).await.unwrap().seq, 4);
    trail.close().await;
    let numbers: Vec<u64> = lines(&dir).iter().map(|line| line["seq"].as_u64().unwrap()).collect();
    assert_eq!(numbers, [0, 1, 2, 3, 4]);
}

#[tokio::test]
async fn an_acknowledged_entry_is_in_the_file_at_once() {
    let dir = folder();
    let trail = open(&dir).await;
    trail.append(entry("read", "secret/a")).await.unwrap();
    assert_eq!(lines(&dir).last().unwrap()["path"], "secret/a");
}

#[tokio::test]
async fn a_second_server_on_the_same_trail_is_refused() {
    let dir = folder();
    let first = open(&dir).await;
    let second = Trail::open(Place::Folder(dir.path().join("trail")), ManualClock::at(1)).await;
    assert!(matches!(second, Err(TrailError::InUse { .. })));
    first.close().await;
    drop(first);
    open(&dir).await.close().await;
}

#[tokio::test]
async fn closing_and_sealing_leave_everything_signed() {
    let dir = folder();
    let trail = open(&dir).await;
    trail.append(entry("unseal", "sys/unseal")).await.unwrap();
    trail.set_seal(Some(Key::new(1, 41))).await;
    trail.append(entry("read", "secret/a")).await.unwrap();
    trail.set_seal(None).await;
    let signed = trail.last_checkpoint().unwrap();
    assert_eq!((signed.size, signed.generation), (3, 41));
    trail.append(entry("unseal", "sys/unseal")).await.unwrap();
    assert_eq!(trail.last_checkpoint().unwrap(), signed);
    trail.set_seal(Some(Key::new(1, 42))).await;
    trail.close().await;
    assert_eq!(trail.last_checkpoint().unwrap().size, 5);
    drop(trail);
    assert_eq!(open(&dir).await.health().last_generation, 42);
}

#[tokio::test]
async fn an_entry_is_signed_within_a_second() {
    let dir = folder();
    let trail = open(&dir).await;
    trail.set_seal(Some(Key::new(1, 1))).await;
    let receipt = trail.append(entry("read", "secret/a")).await.unwrap();
    let started = std::time::Instant::now();
    assert_eq!(trail.signed(receipt).await.unwrap().size, 2);
    // A second for the trail, the rest for a busy machine.
    assert!(started.elapsed() < std::time::Duration::from_secs(3));
    assert_eq!(trail.last_checkpoint().unwrap().size, 2);
    trail.close().await;
}

#[tokio::test]
async fn the_last_generation_is_found_in_an_earlier_segment() {
    let dir = folder();
    let options = Options { segment_bytes: 1, ..Options::default() };
    let place = Place::Folder(dir.path().join("trail"));
    let trail = Trail::open_with(place, ManualClock::at(1), options).await.unwrap();
    trail.set_seal(Some(Key::new(1, 7))).await;
    trail.append(entry("read", "secret/a")).await.unwrap();
    trail.set_seal(None).await;
    for _ in 0..4 {
        trail.append(entry("unseal", "sys/unseal")).await.unwrap();
    }
    trail.close().await;
    drop(trail);
    assert!(support::segments(&dir).len() > 3);
    assert_eq!(open(&dir).await.health().last_generation, 7);
}

#[tokio::test]
async fn memory_keeps_the_same_chain_but_only_the_latest_lines() {
    let options = Options { ring: 5, ..Options::default() };
    let trail = Trail::open_with(Place::Memory, ManualClock::at(1), options).await.unwrap();
    for _ in 0..9 {
        trail.append(entry("read", "secret/a")).await.unwrap();
    }
    let kept: Vec<Value> = trail.recent(100).await.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(kept.iter().map(|line| line["seq"].as_u64().unwrap()).collect::<Vec<_>>(), [5, 6, 7, 8, 9]);
    assert_eq!(trail.recent(2).await.len(), 2);
    trail.close().await;
}

#[tokio::test]
async fn a_closed_trail_takes_nothing_and_says_so() {
    let dir = folder();
    let trail = open(&dir).await;
    trail.close().await;
    assert!(matches!(trail.append(entry("read", "a")).await, Err(TrailError::Unwritable { .. })));
    assert!(!trail.health().writable);
    trail.close().await;
}

#[tokio::test]
async fn a_clock_that_goes_far_back_is_told_and_a_little_is_smoothed() {
    let dir = folder();
    let clock = ManualClock::at(1_000);
    let trail = Trail::open(Place::Folder(dir.path().join("trail")), clock.clone()).await.unwrap();
    trail.append(entry("read", "a")).await.unwrap();
    clock.set(999);
    trail.append(entry("read", "b")).await.unwrap();
    clock.set(10);
    trail.append(entry("read", "c")).await.unwrap();
    trail.close().await;
    let all = lines(&dir);
    assert_eq!(all[2]["time"], "1970-01-01T00:16:40Z");
    assert_eq!(all[3]["operation"], "clock_went_back");
    assert_eq!(all[4]["time"], "1970-01-01T00:00:10Z");
}

#[tokio::test]
async fn a_huge_entry_loses_its_data_not_its_place() {
    let dir = folder();
    let trail = open(&dir).await;
    let mut huge = entry("list", "secret");
    huge.response_data = Redacted::in_clear(&Value::String("x".repeat(2 * 1024 * 1024)));
    trail.append(huge).await.unwrap();
    trail.close().await;
    let last = lines(&dir).pop().unwrap();
    assert!(last["response_data"].as_str().unwrap().starts_with("left out"));
}

#[tokio::test]
async fn a_deleted_segment_is_noticed_and_the_trail_goes_on() {
    let dir = folder();
    let trail = open(&dir).await;
    trail.append(entry("read", "a")).await.unwrap();
    fs::remove_file(support::segments(&dir).pop().unwrap()).unwrap();
    trail.checkpoint().await;
    assert!(trail.health().error.unwrap().contains("deleted"));
    assert!(trail.health().writable);
    trail.append(entry("read", "b")).await.unwrap();
    trail.close().await;
    let all = lines(&dir);
    assert_eq!(all[0]["operation"], "trail_file_missing");
    assert_eq!(all[1]["path"], "b");
}

#[cfg(unix)]
#[tokio::test]
async fn nobody_else_may_read_the_files() {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = folder();
    let trail = open(&dir).await;
    trail.append(entry("read", "a")).await.unwrap();
    trail.close().await;
    let mode = |path: &std::path::Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&dir.path().join("trail")), 0o700);
    assert_eq!(mode(&support::segments(&dir)[0]), 0o600);
}

fn quick() -> Options {
    Options { checkpoint_every: Duration::from_millis(40), ..Options::default() }
}

async fn open_quickly(dir: &tempfile::TempDir) -> Arc<Trail> {
    let clock = ManualClock::at(1);
    Trail::open_with(Place::Folder(dir.path().join("trail")), clock, quick()).await.unwrap()
}

/// All went on into files without names, and only the log said so.
#[tokio::test]
async fn a_removed_folder_is_noticed_by_an_idle_trail_and_made_anew() {
    let dir = folder();
    let trail = open_quickly(&dir).await;
    trail.set_seal(Some(Key::new(1, 1))).await;
    trail.append(entry("read", "a")).await.unwrap();
    trail.checkpoint().await;
    let lost = trail.health().entries;
    fs::remove_dir_all(dir.path().join("trail")).unwrap();
    support::until("the trail to notice", || trail.health().error.is_some()).await;
    let health = trail.health();
    assert!(health.writable && health.error.unwrap().contains("deleted"));
    trail.append(entry("read", "b")).await.unwrap();
    assert!(trail.health().error.is_some(), "writing on does not make it good");
    trail.close().await;
    let all = lines(&dir);
    assert_eq!((all[0]["operation"].as_str(), all[0]["seq"].as_u64()), (Some("trail_file_missing"), Some(lost)));
    assert!(all[0]["note"].as_str().unwrap().contains(&format!("before number {lost} ")), "{}", all[0]);
    assert!(all.iter().any(|line| line["path"] == "b"));
    // The folder is claimed again: nobody else gets in while this one writes, and a successor goes on.
    drop(trail);
    let again = open_quickly(&dir).await;
    assert_eq!(again.health().entries, lost + all.len() as u64);
    let second = Trail::open(Place::Folder(dir.path().join("trail")), ManualClock::at(1)).await;
    assert!(second.is_err());
    again.close().await;
}

#[tokio::test]
async fn the_folder_made_anew_is_locked_against_a_second_server() {
    let dir = folder();
    let trail = open_quickly(&dir).await;
    trail.append(entry("read", "a")).await.unwrap();
    fs::remove_dir_all(dir.path().join("trail")).unwrap();
    support::until("the trail to notice", || trail.health().error.is_some()).await;
    let second = Trail::open(Place::Folder(dir.path().join("trail")), ManualClock::at(1)).await;
    assert!(matches!(second, Err(TrailError::InUse { .. })));
    trail.close().await;
}

#[tokio::test]
async fn without_a_place_for_a_new_folder_entries_are_refused_until_there_is_one() {
    let dir = folder();
    let trail = open_quickly(&dir).await;
    trail.append(entry("read", "a")).await.unwrap();
    let place = dir.path().join("trail");
    fs::rename(&place, dir.path().join("elsewhere")).unwrap();
    fs::write(&place, "in the way").unwrap();
    support::until("the trail to refuse", || !trail.health().writable).await;
    let refused = trail.append(entry("read", "b")).await.unwrap_err();
    assert_eq!(refused.kind(), strongroom_model::Kind::Unavailable);
    assert!(refused.to_string().contains("folder"), "{refused}");
    fs::remove_file(&place).unwrap();
    support::until("the trail to resume", || trail.health().writable).await;
    assert!(trail.health().error.unwrap().contains("moved"));
    trail.append(entry("read", "c")).await.unwrap();
    trail.close().await;
    let told: Vec<String> = lines(&dir).iter().take(3).map(|line| line["operation"].to_string()).collect();
    assert_eq!(told, ["\"trail_file_missing\"", "\"trail_resumed\"", "\"read\""]);
}

#[tokio::test]
async fn a_line_is_found_by_its_number_in_whichever_segment() {
    let dir = folder();
    let options = Options { segment_bytes: 1_000, ..Options::default() };
    let trail = Trail::open_with(Place::Folder(dir.path().join("trail")), ManualClock::at(1), options).await.unwrap();
    for number in 0..12 {
        trail.append(entry("read", &format!("secret/{number}"))).await.unwrap();
    }
    let all = lines(&dir);
    assert!(support::segments(&dir).len() > 2);
    for (seq, next) in all.iter().skip(1).enumerate() {
        let hash = trail.line_hash(seq as u64).await.unwrap().unwrap();
        assert_eq!(next["prev"], hex::encode(hash), "line {seq}");
    }
    assert_eq!(trail.line_hash(all.len() as u64).await.unwrap(), None);
    fs::remove_file(&support::segments(&dir)[0]).unwrap();
    assert_eq!(trail.line_hash(0).await.unwrap(), None);
    trail.close().await;
}
