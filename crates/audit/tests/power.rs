//! What a power failure leaves of the unsynced end of a trail, and that damage before it is never taken for that.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "helpers of tests")]

mod support;

use aws_lc_rs::digest::{SHA256, digest};
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use strongroom_audit::{DeviceSpec, Options, Place, Report, Trail, TrailError, VerifyOptions, verify};
use support::{Key, ManualClock, entry, folder, lines, open, segments};
use tempfile::TempDir;

/// Whether the trail was signed before the lines that get lost.
#[derive(Clone, Copy, PartialEq)]
enum Signed {
    /// Lines 1 to 3 are, by line 4; lines 5 to 9 are not.
    Before,
    /// Nothing is; lines 1 to 9.
    Never,
    /// Lines 1 to 9 are, by line 10.
    Behind,
}

async fn written(signed: Signed) -> TempDir {
    let dir = folder();
    let trail = open(&dir).await;
    if signed == Signed::Before {
        append(&trail, 1..=3).await;
        trail.set_seal(Some(Key::new(1, 1))).await;
        trail.set_seal(None).await;
        append(&trail, 5..=9).await;
    } else {
        append(&trail, 1..=9).await;
    }
    if signed == Signed::Behind {
        trail.set_seal(Some(Key::new(1, 1))).await;
        trail.set_seal(None).await;
    }
    trail.close().await;
    dir
}

async fn append(trail: &Arc<Trail>, numbers: std::ops::RangeInclusive<u64>) {
    for number in numbers {
        let entry = entry("read", &format!("secret/{number}"));
        assert_eq!(trail.append(entry).await.unwrap().seq, number);
    }
}

fn last_segment(dir: &TempDir) -> PathBuf {
    segments(dir).pop().unwrap()
}

fn load(file: &Path) -> Vec<Vec<u8>> {
    fs::read(file).unwrap().split_inclusive(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect()
}

fn check(dir: &TempDir) -> Report {
    verify(&dir.path().join("trail"), &VerifyOptions::default()).unwrap()
}

/// The files beside the segments that hold what was cut.
fn aside(dir: &TempDir) -> Vec<(String, Vec<u8>)> {
    let each = fs::read_dir(dir.path().join("trail")).unwrap().map(|item| item.unwrap());
    let each = each.map(|item| (item.file_name().into_string().unwrap(), item.path()));
    let mut found: Vec<_> = each.filter(|(name, _)| name.contains(".cut-")).collect();
    found.sort();
    found.into_iter().map(|(name, path)| (name, fs::read(path).unwrap())).collect()
}

async fn reopen(dir: &TempDir, options: Options) -> Result<Arc<Trail>, TrailError> {
    Trail::open_with(Place::Folder(dir.path().join("trail")), ManualClock::at(2), options).await
}

/// Damages the lines from number 6 on. `None` when nothing of them is there any more.
type Damage = fn(Vec<Vec<u8>>) -> Vec<u8>;

const DAMAGES: [(&str, Damage); 6] = [
    ("a hole of zeros inside lines", |mut lines| {
        let (first, second) = (lines[6].len() - 50, 200);
        lines[6][first..].fill(0);
        lines[7][..second].fill(0);
        lines.concat()
    }),
    ("zeros instead of line 6, line feed and all", |mut lines| {
        lines[6].fill(0);
        lines.concat()
    }),
    ("garbage", |mut lines| {
        let garbage = (0_u32..).map(|number| (number.wrapping_mul(2_654_435_761) >> 24) as u8);
        lines[6].iter_mut().zip(garbage).for_each(|(byte, other)| *byte = other);
        lines.concat()
    }),
    ("a missing line", |mut lines| {
        lines.remove(6);
        lines.concat()
    }),
    ("other text in a line that stays a line", |mut lines| {
        let text = String::from_utf8(lines[6].clone()).unwrap().replace("secret/6", "secret/x");
        lines[6] = text.into_bytes();
        lines.concat()
    }),
    ("a line of an older file, checkpoint and all", |mut lines| {
        let older = lines[4].clone();
        lines[6] = older;
        lines.concat()
    }),
];

#[tokio::test]
async fn whatever_is_left_of_unsigned_lines_is_set_aside_and_the_trail_goes_on() {
    for signed in [Signed::Before, Signed::Never] {
        for (what, damage) in DAMAGES {
            let dir = written(signed).await;
            let file = last_segment(&dir);
            let intact = load(&file);
            let good = intact[..6].concat();
            let damaged = damage(intact);
            fs::write(&file, &damaged).unwrap();
            assert!(check(&dir).first_bad.is_some(), "{what}");
            let trail = open(&dir).await;
            let receipt = trail.append(entry("read", "secret/after")).await.unwrap();
            assert_eq!(receipt.seq, 7, "{what}");
            trail.set_seal(Some(Key::new(1, 2))).await;
            trail.close().await;
            let kept = aside(&dir);
            assert_eq!(kept.len(), 1, "{what}");
            assert_eq!(kept[0].0, "00000000000000000000.jsonl.cut-6");
            assert!(kept[0].1 == damaged[good.len()..], "{what}: other bytes were set aside");
            let event = lines(&dir).remove(6);
            assert_eq!(event["operation"], "trail_cut", "{what}");
            let note = event["note"].as_str().unwrap();
            let told = format!("the {} bytes from there on are in {}", kept[0].1.len(), kept[0].0);
            assert!(note.contains(&told), "{what}: {note}");
            let report = check(&dir);
            assert_eq!((report.first_bad, report.unsigned_tail), (None, 0), "{what}");
        }
    }
}

#[tokio::test]
async fn the_same_before_a_signature_is_no_power_failure_and_is_refused() {
    for (what, damage) in DAMAGES {
        let dir = written(Signed::Behind).await;
        let file = last_segment(&dir);
        let damaged = damage(load(&file));
        fs::write(&file, &damaged).unwrap();
        let Err(error) = reopen(&dir, Options::default()).await else { panic!("{what}: it was opened") };
        assert!(matches!(error, TrailError::Broken { .. }), "{what}: {error}");
        assert!(error.to_string().contains("checkpoint 10"), "{what}: {error}");
        let Err(again) = reopen(&dir, Options::default()).await else { panic!("{what}: it was opened again") };
        assert!(again.to_string().contains("checkpoint 10"), "{what}: {again}");
        assert_eq!((aside(&dir).len(), fs::read(&file).unwrap() == damaged), (0, true), "{what}");
    }
}

#[tokio::test]
async fn a_torn_last_line_is_set_aside() {
    let dir = written(Signed::Before).await;
    let file = last_segment(&dir);
    let mut bytes = fs::read(&file).unwrap();
    bytes.extend_from_slice(b"{\"seq\":10,\"prev\":\"");
    fs::write(&file, bytes).unwrap();
    let trail = open(&dir).await;
    trail.close().await;
    let event = lines(&dir).pop().unwrap();
    assert!(event["note"].as_str().unwrap().starts_with("line 10 is torn, "), "{event}");
    assert_eq!(aside(&dir), [("00000000000000000000.jsonl.cut-10".to_owned(), b"{\"seq\":10,\"prev\":\"".to_vec())]);
    let mode = fs::metadata(dir.path().join("trail/00000000000000000000.jsonl.cut-10")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[tokio::test]
async fn a_second_failure_at_the_same_line_keeps_what_the_first_one_left() {
    let dir = written(Signed::Before).await;
    let file = last_segment(&dir);
    let good = fs::read(&file).unwrap();
    for round in ["one", "two"] {
        // The event that told of the first one is lost with the second.
        fs::write(&file, [&good[..], round.as_bytes()].concat()).unwrap();
        open(&dir).await.close().await;
    }
    let kept = |name: &str, bytes: &str| (format!("00000000000000000000.jsonl.{name}"), bytes.as_bytes().to_vec());
    assert_eq!(aside(&dir), [kept("cut-10", "one"), kept("cut-10.2", "two")]);
}

#[tokio::test]
async fn a_new_segment_of_which_nothing_was_kept_leads_back_to_the_one_before() {
    for left in [b"".as_slice(), &[0; 700], b"\n\n"] {
        let dir = folder();
        let trail = reopen(&dir, Options { segment_bytes: 1, ..Options::default() }).await.unwrap();
        append(&trail, 1..=3).await;
        trail.close().await;
        drop(trail);
        fs::write(last_segment(&dir), left).unwrap();
        let trail = reopen(&dir, Options::default()).await.unwrap();
        let expected = if left.is_empty() { 3 } else { 4 };
        assert_eq!(trail.append(entry("read", "secret/after")).await.unwrap().seq, expected);
        trail.close().await;
        assert_eq!(aside(&dir).len(), usize::from(!left.is_empty()));
        assert_eq!(check(&dir).first_bad, None);
    }
}

#[tokio::test]
async fn a_trail_that_lost_everything_but_what_was_archived_is_not_begun_anew() {
    let dir = folder();
    let trail = reopen(&dir, Options { segment_bytes: 1, ..Options::default() }).await.unwrap();
    append(&trail, 1..=3).await;
    trail.close().await;
    drop(trail);
    let (last, earlier) = segments(&dir).split_last().map(|(last, earlier)| (last.clone(), earlier.to_vec())).unwrap();
    earlier.iter().for_each(|file| fs::remove_file(file).unwrap());
    for left in [b"".as_slice(), &[0; 700]] {
        fs::write(&last, left).unwrap();
        assert!(matches!(reopen(&dir, Options::default()).await, Err(TrailError::Broken { .. })));
    }
}

#[tokio::test]
async fn a_trail_signed_by_another_key_is_refused_when_the_key_is_known() {
    let dir = written(Signed::Behind).await;
    let key = check(&dir).key.unwrap();
    reopen(&dir, Options { keys: vec![key], ..Options::default() }).await.unwrap().close().await;
    let other = reopen(&dir, Options { keys: vec![[9; 32]], ..Options::default() }).await;
    let Err(TrailError::Broken { why, .. }) = other else { panic!("it was opened") };
    assert!(why.contains("another key"), "{why}");
    assert!(aside(&dir).is_empty());
}

/// Whoever has no key can make every hash anew, but no signature; the last one alone would not tell which is the first.
#[tokio::test]
async fn a_trail_rewritten_from_a_line_on_ends_at_the_first_signature_that_does_not_hold() {
    let dir = folder();
    let trail = open(&dir).await;
    for round in 0..3 {
        append(&trail, round * 4 + 1..=round * 4 + 3).await;
        trail.set_seal(Some(Key::new(1, 1))).await;
        trail.set_seal(None).await;
    }
    trail.close().await;
    let file = last_segment(&dir);
    let mut lines = load(&file);
    let signed: Vec<usize> =
        (0..lines.len()).filter(|at| String::from_utf8_lossy(&lines[*at]).contains("\"checkpoint\"")).collect();
    assert_eq!(signed.len(), 3);
    let was = |line: &[u8]| hex::encode(digest(&SHA256, line.strip_suffix(b"\n").unwrap()));
    let mut old = was(&lines[signed[0] + 1]);
    lines[signed[0] + 1] = String::from_utf8_lossy(&lines[signed[0] + 1]).replace("secret/", "sEcret/").into_bytes();
    for at in signed[0] + 2..lines.len() {
        let (before, new) = (was(&lines[at]), was(&lines[at - 1]));
        // In a checkpoint it stands twice.
        lines[at] = String::from_utf8_lossy(&lines[at]).replace(&old, &new).into_bytes();
        old = before;
    }
    fs::write(&file, lines.concat()).unwrap();
    reopen(&dir, Options::default()).await.unwrap().close().await;
    let kept = aside(&dir);
    assert_eq!(kept.len(), 1);
    assert_eq!(kept[0].1, lines[signed[1]..].concat(), "{}", kept[0].0);
}

#[tokio::test]
async fn a_device_that_had_lines_which_were_lost_gets_those_that_took_their_numbers() {
    let dir = folder();
    let out = dir.path().join("audit.log");
    let options = [("file_path".to_owned(), out.to_str().unwrap().to_owned())].into();
    let spec = DeviceSpec { path: "file".into(), kind: "file".into(), description: String::new(), options };
    let trail = open(&dir).await;
    trail.enable(spec.clone()).await.unwrap();
    append(&trail, 1..=9).await;
    trail.close().await;
    drop(trail);
    let file = last_segment(&dir);
    fs::write(&file, load(&file)[..5].concat()).unwrap();
    let trail = open(&dir).await;
    for number in 0..10 {
        trail.append(entry("read", &format!("anew/{number}"))).await.unwrap();
    }
    trail.enable(spec).await.unwrap();
    trail.close().await;
    let text = fs::read_to_string(&out).unwrap();
    for number in 0..10 {
        assert!(text.contains(&format!("anew/{number}\"")), "{number}");
    }
}

/// Three signed stretches: lines 1 to 3, 5 to 7 and 9 to 11, with checkpoints 4, 8 and 12; line 13 is not signed.
async fn stretches() -> TempDir {
    let dir = folder();
    let trail = reopen(&dir, Options::default()).await.unwrap();
    for round in 0..3 {
        append(&trail, round * 4 + 1..=round * 4 + 3).await;
        trail.set_seal(Some(Key::new(1, 1))).await;
        trail.set_seal(None).await;
    }
    append(&trail, 13..=13).await;
    trail.close().await;
    dir
}

/// Changes lines, at this one.
type Edit = fn(&mut Vec<Vec<u8>>, usize);

const EDITS: [(&str, Edit); 5] = [
    ("other text in", |lines, at| {
        let text = String::from_utf8_lossy(&lines[at]).replace("\"dialect\"", "\"dialekt\"");
        lines[at] =
            text.replace("\"generation\":1", "\"generation\":2").replace("\"trail\":\"", "\"trail\":\"0").into_bytes();
    }),
    ("without", |lines, at| drop(lines.remove(at))),
    ("twice", |lines, at| lines.insert(at, lines[at].clone())),
    ("behind the next one", |lines, at| lines.swap(at, at + 1)),
    ("torn", |lines, at| lines[at].truncate(40)),
];

#[tokio::test]
async fn an_edit_before_the_last_signature_keeps_every_server_from_starting() {
    for at in 0..12 {
        for (what, edit) in EDITS {
            let dir = stretches().await;
            let file = last_segment(&dir);
            let mut edited = load(&file);
            edit(&mut edited, at);
            fs::write(&file, edited.concat()).unwrap();
            for _ in 0..2 {
                let Err(error) = reopen(&dir, Options::default()).await else { panic!("{what} line {at}: opened") };
                assert!(error.to_string().contains("behind it is signed"), "{what} line {at}: {error}");
                assert_eq!(fs::read(&file).unwrap(), edited.concat(), "{what} line {at}: something was written");
            }
        }
    }
}

#[tokio::test]
async fn a_trail_that_was_put_right_again_is_opened() {
    let dir = stretches().await;
    let file = last_segment(&dir);
    let whole = fs::read(&file).unwrap();
    fs::write(&file, String::from_utf8_lossy(&whole).replace("secret/2", "secret/x")).unwrap();
    for _ in 0..2 {
        assert!(reopen(&dir, Options::default()).await.is_err());
    }
    fs::write(&file, whole).unwrap();
    for _ in 0..2 {
        reopen(&dir, Options::default()).await.unwrap().close().await;
    }
}

#[tokio::test]
async fn the_end_of_the_segment_before_belongs_to_what_is_checked() {
    let dir = folder();
    let trail = reopen(&dir, Options { segment_bytes: 1, ..Options::default() }).await.unwrap();
    append(&trail, 1..=3).await;
    trail.close().await;
    let trail = reopen(&dir, Options::default()).await.unwrap();
    append(&trail, 4..=6).await;
    trail.set_seal(Some(Key::new(1, 1))).await;
    trail.set_seal(None).await;
    trail.close().await;
    let before = segments(&dir).into_iter().rev().nth(1).unwrap();
    let text = fs::read_to_string(&before).unwrap();
    assert!(text.contains("secret/2"), "{text}");
    fs::write(before, text.replace("secret/2", "secret/x")).unwrap();
    let Err(error) = reopen(&dir, Options::default()).await else { panic!("it was opened") };
    assert!(error.to_string().contains("does not continue the line before it"), "{error}");
}

/// What an older file left on the disk, or somebody who has no key: signatures that were good for other lines.
#[tokio::test]
async fn older_lines_with_their_signature_at_the_end_are_set_aside() {
    for from in [4, 3] {
        let dir = stretches().await;
        let file = last_segment(&dir);
        let mut lines = load(&file);
        let older = lines[from..=4].to_vec();
        lines.extend(older.clone());
        fs::write(&file, lines.concat()).unwrap();
        reopen(&dir, Options::default()).await.unwrap().close().await;
        let kept = aside(&dir);
        assert_eq!(kept, [("00000000000000000000.jsonl.cut-14".to_owned(), older.concat())]);
        assert_eq!(check(&dir).first_bad, None);
    }
}
