//! The offline check: an honest trail passes, and no single change of it does.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "helpers of tests")]

mod support;

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use strongroom_audit::{
    Checkpoint, Entry, Options, Place, Report, Trail, VerifyOptions, check_index, rebuild_index, verify,
};
use strongroom_model::Timestamp;
use support::{Key, ManualClock, entry};
use tempfile::TempDir;

/// A trail of several segments, with checkpoints inside, signed to its end.
async fn honest() -> TempDir {
    let dir = support::memory_folder();
    let clock = ManualClock::at(100);
    let options = Options { segment_bytes: 4_000, ..Options::default() };
    let trail = Trail::open_with(Place::Folder(dir.path().join("trail")), clock.clone(), options).await.unwrap();
    for round in 0..6 {
        trail.set_seal(Some(Key::new(1, round))).await;
        for number in 0..4 {
            trail.append(entry("read", &format!("secret/{round}/{number}"))).await.unwrap();
        }
        clock.set(101 + round);
        trail.set_seal(None).await;
    }
    trail.close().await;
    dir
}

fn check(dir: &TempDir) -> Report {
    verify(&dir.path().join("trail"), &VerifyOptions::default()).unwrap()
}

#[tokio::test]
async fn an_honest_trail_passes() {
    let dir = honest().await;
    assert!(support::segments(&dir).len() >= 3);
    let report = check(&dir);
    assert_eq!(report.first_bad, None);
    assert_eq!((report.entries, report.unsigned_tail), (24, 0));
    assert!(report.checkpoints >= 6);
    assert_eq!(report.last_checkpoint.as_ref().unwrap().size, report.lines - 1);
}

#[tokio::test]
async fn lines_behind_the_last_checkpoint_are_counted() {
    let dir = honest().await;
    let trail = support::open(&dir).await;
    trail.append(entry("unseal", "sys/unseal")).await.unwrap();
    trail.close().await;
    // The clock of this second server begins at 1 s: the trail tells that it went back.
    let report = check(&dir);
    assert_eq!((report.first_bad, report.unsigned_tail), (None, 2));
}

#[tokio::test]
async fn a_cut_at_the_very_end_is_seen_only_with_a_checkpoint_kept_elsewhere() {
    let dir = honest().await;
    let kept = check(&dir).last_checkpoint.unwrap();
    let file = support::segments(&dir).pop().unwrap();
    let text = fs::read_to_string(&file).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let cut = lines.len() - 4;
    let missing: u64 = serde_json::from_str::<serde_json::Value>(lines[cut]).unwrap()["seq"].as_u64().unwrap();
    fs::write(&file, lines[..cut].join("\n") + "\n").unwrap();
    assert_eq!(check(&dir).first_bad, None);
    let options = VerifyOptions { expected: Some((kept.size, kept.head)), ..VerifyOptions::default() };
    let report = verify(&dir.path().join("trail"), &options).unwrap();
    assert_eq!(report.first_bad.unwrap().seq, missing);
}

#[tokio::test]
async fn a_trail_rewritten_and_signed_by_another_key_fails_against_the_pinned_one() {
    let dir = honest().await;
    let key = check(&dir).key.unwrap();
    let pinned = VerifyOptions { keys: vec![key], ..VerifyOptions::default() };
    assert_eq!(verify(&dir.path().join("trail"), &pinned).unwrap().first_bad, None);
    let other = VerifyOptions { keys: vec![[9; 32]], ..VerifyOptions::default() };
    let finding = verify(&dir.path().join("trail"), &other).unwrap().first_bad.unwrap();
    assert!(finding.what.contains("another key"), "{finding:?}");
}

#[tokio::test]
async fn a_store_that_went_back_is_named() {
    let dir = honest().await;
    let clock = ManualClock::at(1_000);
    let trail = Trail::open(Place::Folder(dir.path().join("trail")), clock).await.unwrap();
    trail.set_seal(Some(Key::new(1, 3))).await;
    trail.append(entry("read", "a")).await.unwrap();
    trail.close().await;
    let finding = check(&dir).first_bad.unwrap();
    assert!(finding.what.contains("generation 5 to 3"), "{finding:?}");
}

#[tokio::test]
async fn a_store_that_an_operator_let_go_back_is_noted_and_the_trail_holds() {
    let went_back = async |from: u64, to: u64| {
        let dir = honest().await;
        let clock = ManualClock::at(1_000);
        let trail = Trail::open(Place::Folder(dir.path().join("trail")), clock).await.unwrap();
        trail.append(Entry::rollback_accepted(from, to)).await.unwrap();
        for generation in [3, 4] {
            trail.set_seal(Some(Key::new(1, generation))).await;
            trail.append(entry("read", "a")).await.unwrap();
        }
        trail.close().await;
        (check(&dir), dir)
    };
    let (report, dir) = went_back(5, 2).await;
    assert_eq!(report.first_bad, None);
    let [note] = report.notes.as_slice() else { panic!("{:?}", report.notes) };
    assert!(note.what.contains("generation 5 to 2"), "{note:?}");
    let text = fs::read_to_string(dir.path().join("trail").join(&note.segment)).unwrap();
    assert!(text.lines().nth(note.line as usize - 1).unwrap().contains("rollback_accepted"));
    // An event about something else explains nothing.
    for (from, to) in [(4, 2), (5, 4), (6, 1)] {
        let finding = went_back(from, to).await.0.first_bad.unwrap();
        assert!(finding.what.contains("generation 5 to 3"), "{from} to {to}: {finding:?}");
    }
}

#[tokio::test]
async fn an_accepted_rollback_explains_only_the_next_checkpoint() {
    let dir = honest().await;
    let clock = ManualClock::at(1_000);
    let trail = Trail::open(Place::Folder(dir.path().join("trail")), clock).await.unwrap();
    trail.append(Entry::rollback_accepted(5, 2)).await.unwrap();
    for generation in [3, 5, 3] {
        trail.set_seal(Some(Key::new(1, generation))).await;
        trail.append(entry("read", "a")).await.unwrap();
    }
    trail.close().await;
    assert!(check(&dir).first_bad.unwrap().what.contains("generation 5 to 3"));
}

/// The finding named the right number, but the line of the file behind it.
#[tokio::test]
async fn a_changed_line_is_named_by_its_place_in_its_file() {
    let dir = honest().await;
    for (number, file) in support::segments(&dir).iter().enumerate() {
        let whole = fs::read(file).unwrap();
        let original = lines_of(&whole);
        for at in 0..original.len() {
            let mut lines = original.clone();
            let text = String::from_utf8(lines[at].clone()).unwrap();
            // The first changes what only the next line knows, the second also what the line says of itself.
            let edits = [text.replacen("\"vault\"", "\"vaulT\"", 1), text.replacen("\"seq\":", "\"seq\": ", 1)];
            for edited in edits.into_iter().filter(|edited| *edited != text) {
                lines[at] = edited.into_bytes();
                fs::write(file, join(&lines)).unwrap();
                let finding = check(&dir).first_bad.unwrap();
                let expected =
                    (self::number(&original[at]), file.file_name().unwrap().to_str().unwrap(), at as u64 + 1);
                assert_eq!(
                    (finding.seq, finding.segment.as_str(), finding.line),
                    expected,
                    "segment {number}: {}",
                    finding.what
                );
            }
        }
        fs::write(file, whole).unwrap();
    }
}

#[tokio::test]
async fn archived_segments_may_be_missing_when_that_is_said() {
    let dir = honest().await;
    fs::remove_file(&support::segments(&dir)[0]).unwrap();
    assert_eq!(check(&dir).first_bad.unwrap().seq, 0);
    let options = VerifyOptions { pruned: true, ..VerifyOptions::default() };
    let report = verify(&dir.path().join("trail"), &options).unwrap();
    assert_eq!(report.first_bad, None);
    assert!(report.starts_at > 0);
}

#[test]
fn a_checkpoint_signs_exactly_its_published_text() {
    let pair = Ed25519KeyPair::from_seed_unchecked(&[1; 32]).unwrap();
    let key: [u8; 32] = pair.public_key().as_ref().try_into().unwrap();
    let text = Checkpoint::text(5, &[0xAA; 32], Timestamp::from_secs(1), 7, &key);
    let expected = format!(
        "strongroom audit checkpoint v1\nsize 5\nhead {}\ntime 1970-01-01T00:00:01Z\ngeneration 7\nkey {}\n",
        "aa".repeat(32),
        hex::encode(key)
    );
    assert_eq!(text, expected);
}

#[tokio::test]
async fn a_line_changed_with_all_hashes_made_anew_fails_at_the_next_signature() {
    let dir = honest().await;
    let file = support::segments(&dir).remove(0);
    let mut lines = lines_of(&fs::read(&file).unwrap());
    let text = String::from_utf8(lines[2].clone()).unwrap();
    lines[2] = text.replace("secret/0/1", "secret/0/9").into_bytes();
    for at in 3..lines.len() {
        let prev = hex::encode(digest(&SHA256, &lines[at - 1]));
        let start = lines[at].windows(8).position(|window| window == b"\"prev\":\"").unwrap() + 8;
        lines[at][start..start + 64].copy_from_slice(prev.as_bytes());
    }
    fs::write(&file, join(&lines)).unwrap();
    let finding = check(&dir).first_bad.unwrap();
    assert!(finding.what.contains("signature") || finding.what.contains("damaged"), "{finding:?}");
    assert_eq!(finding.seq, 5);
}

/// A small generator, so that a failing mutation can be repeated by its number.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) as usize) % limit
    }
}

type Files = BTreeMap<String, Vec<u8>>;

fn load(folder: &Path) -> Files {
    // The index has a folder of its own, and a check of its own.
    let each = fs::read_dir(folder).unwrap().map(|item| item.unwrap()).filter(|item| item.path().is_file());
    each.map(|item| (item.file_name().into_string().unwrap(), fs::read(item.path()).unwrap())).collect()
}

fn lines_of(bytes: &[u8]) -> Vec<Vec<u8>> {
    bytes.strip_suffix(b"\n").unwrap().split(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect()
}

fn join(lines: &[Vec<u8>]) -> Vec<u8> {
    lines.iter().flat_map(|line| line.iter().copied().chain([b'\n'])).collect()
}

fn number(line: &[u8]) -> u64 {
    serde_json::from_slice::<serde_json::Value>(line).unwrap()["seq"].as_u64().unwrap()
}

/// Changes one thing; tells the number of the first line that is no longer what it was, and what was done.
fn mutate(files: &mut Files, dice: &mut Dice) -> (u64, String) {
    let names: Vec<String> = files.keys().cloned().collect();
    let name = names[dice.below(names.len())].clone();
    let bytes = files[&name].clone();
    let mut lines = lines_of(&bytes);
    let at = dice.below(lines.len());
    let seq = number(&lines[at]);
    match dice.below(8) {
        0..=2 => {
            let mut changed = bytes;
            let offset = dice.below(changed.len());
            let bit = 1 << dice.below(8);
            let seq = number(&lines[changed[..offset].iter().filter(|byte| **byte == b'\n').count()]);
            changed[offset] ^= bit;
            files.insert(name, changed);
            (seq, format!("bit {bit} of byte {offset}"))
        }
        3 => {
            lines.remove(at);
            files.insert(name, join(&lines));
            (seq, "line removed".to_owned())
        }
        4 => {
            let with = dice.below(lines.len());
            if with == at {
                return mutate(files, dice);
            }
            lines.swap(at, with);
            let first = seq.min(number(&lines[at]));
            files.insert(name, join(&lines));
            (first, format!("lines {at} and {with} swapped"))
        }
        5 => {
            lines.insert(at, lines[at].clone());
            files.insert(name, join(&lines));
            (seq, "line duplicated".to_owned())
        }
        6 => {
            let offset = dice.below(bytes.len());
            let seq = number(&lines[bytes[..offset].iter().filter(|byte| **byte == b'\n').count()]);
            files.insert(name, bytes[..offset].to_vec());
            (seq, format!("cut at {offset}"))
        }
        _ if dice.below(20) == 0 => {
            let seq = number(&lines[0]);
            files.remove(&name);
            (seq, "segment removed".to_owned())
        }
        _ => {
            let signed: Vec<usize> = (0..lines.len()).filter(|at| lines[*at].ends_with(b"\"}")).collect();
            let signed: Vec<usize> = signed.into_iter().filter(|at| contains(&lines[*at], b"\"sig\"")).collect();
            let Some(at) = (!signed.is_empty()).then(|| signed[dice.below(signed.len())]) else {
                return mutate(files, dice);
            };
            let seq = number(&lines[at]);
            let text = String::from_utf8(lines[at].clone()).unwrap();
            let edited = match dice.below(3) {
                0 => text.replacen("\"generation\":", "\"generation\":1", 1),
                1 => text.replacen("\"size\":", "\"size\": ", 1),
                _ => text.replacen("\"time\":\"1970", "\"time\":\"1971", 1),
            };
            lines[at] = edited.into_bytes();
            files.insert(name, join(&lines));
            (seq, "checkpoint edited".to_owned())
        }
    }
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}

/// With those of the index these are ten thousand, in three parts, so that processors share them.
#[tokio::test]
async fn each_of_four_thousand_single_changes_is_found_and_the_first_bad_line_named() {
    change_the_trail(4_000, 20_261_121).await;
}

#[tokio::test]
async fn so_is_each_of_four_thousand_others() {
    change_the_trail(4_000, 20_261_123).await;
}

#[tokio::test]
async fn each_of_two_thousand_single_changes_of_the_index_is_found_and_the_file_named() {
    change_the_index(2_000).await;
}

async fn change_the_trail(rounds: usize, seed: u64) {
    let dir = honest().await;
    let original = load(&dir.path().join("trail"));
    let report = check(&dir);
    let kept = report.last_checkpoint.unwrap();
    let options = VerifyOptions { expected: Some((report.lines, head(&original))), ..VerifyOptions::default() };
    assert_eq!(kept.size + 1, report.lines);
    let scratch = support::memory_folder();
    let write = |name: &str, bytes: &[u8]| fs::write(scratch.path().join(name), bytes).unwrap();
    original.iter().for_each(|(name, bytes)| write(name, bytes));
    let mut dice = Dice(seed);
    let mut kinds: BTreeMap<String, u64> = BTreeMap::new();
    for round in 0..rounds {
        let mut files = original.clone();
        let (seq, what) = mutate(&mut files, &mut dice);
        let changed: Vec<&String> = original.keys().filter(|name| files.get(*name) != original.get(*name)).collect();
        for name in &changed {
            match files.get(*name) {
                Some(bytes) => write(name, bytes),
                None => fs::remove_file(scratch.path().join(name)).unwrap(),
            }
        }
        let finding = verify(scratch.path(), &options).unwrap().first_bad;
        let finding = finding.unwrap_or_else(|| panic!("round {round}: {what} at line {seq} was not found"));
        assert_eq!(finding.seq, seq, "round {round}: {what}: {finding:?}");
        changed.iter().for_each(|name| write(name, &original[*name]));
        *kinds.entry(what.split(' ').take(2).filter(|word| word.parse::<u64>().is_err()).collect()).or_default() += 1;
    }
    assert!(kinds.len() >= 7, "{kinds:?}");
}

/// Changes one index file; the file's name, and what was done. Half of the changes are signed off with the file's own
/// checksum, as somebody who knows the form would.
fn mutate_index(files: &mut Files, dice: &mut Dice) -> (String, &'static str) {
    let names: Vec<String> = files.keys().cloned().collect();
    let at = dice.below(names.len());
    let name = names[at].clone();
    let good = files[&name].clone();
    let mut bytes = good.clone();
    let what = match dice.below(6) {
        0 | 1 => {
            let at = dice.below(bytes.len());
            bytes[at] ^= 1 << dice.below(8);
            "bit"
        }
        2 => {
            bytes.truncate(dice.below(bytes.len()));
            "cut"
        }
        3 => {
            bytes.push(0);
            "longer"
        }
        4 => {
            let (from, to) = (dice.below(bytes.len()), dice.below(bytes.len()));
            bytes.swap(from, to);
            "two bytes swapped"
        }
        _ => {
            bytes = files[&names[(at + 1) % names.len()]].clone();
            "another segment's"
        }
    };
    if dice.below(2) == 0 && bytes.len() > 32 {
        let body = bytes.len() - 32;
        let seal = digest(&SHA256, &bytes[..body]);
        bytes[body..].copy_from_slice(seal.as_ref());
    }
    if bytes == good {
        return mutate_index(files, dice);
    }
    files.insert(name.clone(), bytes);
    (name, what)
}

async fn change_the_index(rounds: usize) {
    let dir = honest().await;
    let folder = dir.path().join("trail");
    assert!(rebuild_index(&folder).unwrap() > 1);
    let index = folder.join("index");
    let original = load(&index);
    assert_eq!(check_index(&folder).unwrap().good, original.len() as u64);
    let mut dice = Dice(20_261_122);
    let mut kinds: BTreeMap<&str, u64> = BTreeMap::new();
    for round in 0..rounds {
        let mut files = original.clone();
        let (name, what) = mutate_index(&mut files, &mut dice);
        fs::write(index.join(&name), &files[&name]).unwrap();
        let found = check_index(&folder).unwrap().first_bad;
        let found = found.unwrap_or_else(|| panic!("round {round}: {what} in {name} was not found"));
        assert_eq!(found.file, format!("index/{name}"), "round {round}: {what}");
        fs::write(index.join(&name), &original[&name]).unwrap();
        *kinds.entry(what).or_default() += 1;
    }
    assert_eq!(kinds.len(), 5, "{kinds:?}");
}

/// The hash of the last line, as somebody outside would keep it.
fn head(files: &Files) -> [u8; 32] {
    let last = lines_of(files.values().next_back().unwrap()).pop().unwrap();
    digest(&SHA256, &last).as_ref().try_into().unwrap()
}
