//! Old segments leave the trail: into archives that verify, never what is held or not yet read, and no line is ever lost.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "helpers of tests"
)]

mod support;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use strongroom_audit::{
    ArchiveOrder, Archiving, DeviceSpec, Hold, Options, Place, Query, Seal as _, Thing, Trail, TrailError,
    VerifyOptions, check_index, verify,
};
use strongroom_model::{Clock as _, Principal, Timestamp, TokenType};
use strongroom_proof::{Manifest, check_archive};
use support::{Key, ManualClock, entry, folder};
use tempfile::TempDir;

const DAY: u64 = 86_400;

struct Scene {
    dir: TempDir,
    clock: Arc<ManualClock>,
    trail: Arc<Trail>,
}

impl Scene {
    /// A trail of twenty days, a segment or so for each: `web` reads `app/db` daily, `ann` reads `hr/pay` on day 5 only.
    async fn new() -> Self {
        let scene = Self::empty().await;
        for day in 0..20 {
            for hour in 0..12 {
                scene.clock.set((day + 1) * DAY + hour * 3_600);
                let (who, path) = if (day, hour) == (5, 7) { ("ann", "hr/pay") } else { ("web", "app/db") };
                scene.trail.append(by(who, &format!("secret/data/{path}"))).await.unwrap();
            }
            scene.trail.checkpoint().await;
        }
        scene
    }

    async fn empty() -> Self {
        let (dir, clock) = (folder(), ManualClock::at(DAY));
        let trail = open(&dir, &clock).await;
        Self { dir, clock, trail }
    }

    fn folder(&self) -> PathBuf {
        self.dir.path().join("trail")
    }

    fn archives(&self) -> PathBuf {
        self.dir.path().join("out")
    }

    fn order(&self, before_day: u64) -> ArchiveOrder {
        ArchiveOrder {
            before: Timestamp::from_secs((before_day + 1) * DAY),
            folder: self.archives(),
            make: true,
            holds: Vec::new(),
            keep_from: u64::MAX,
            readers: Vec::new(),
            most: usize::MAX,
            stop: Arc::default(),
        }
    }

    async fn archive(&self, order: ArchiveOrder) -> Result<Archiving, TrailError> {
        self.trail.archive(order, Key::new(1, 1), self.clock.now()).await
    }
}

async fn open(dir: &TempDir, clock: &Arc<ManualClock>) -> Arc<Trail> {
    let options = Options { segment_bytes: 5_000, ..Options::default() };
    loop {
        match Trail::open_with(Place::Folder(dir.path().join("trail")), clock.clone(), options.clone()).await {
            Ok(trail) => {
                trail.set_seal(Some(Key::new(1, 1))).await;
                return trail;
            }
            // Another one in this process is ending.
            Err(TrailError::InUse { .. }) => tokio::task::yield_now().await,
            Err(error) => panic!("{error}"),
        }
    }
}

fn by(who: &str, path: &str) -> strongroom_audit::Entry {
    let mut entry = entry("read", path);
    entry.principal = Some(
        Principal {
            entity: None,
            accessor: format!("accessor-{who}"),
            display_name: who.to_owned(),
            token_policies: Vec::new(),
            identity_policies: Vec::new(),
            metadata: BTreeMap::new(),
            token_type: TokenType::Service,
        }
        .into(),
    );
    entry
}

/// All lines by number, from the folder and from archives that hold; each may be in both, but then it is the same.
fn all_lines(trail: &Path, archives: &Path) -> BTreeMap<u64, String> {
    let mut found: BTreeMap<u64, String> = BTreeMap::new();
    let mut add = |line: &str| {
        let seq = serde_json::from_str::<serde_json::Value>(line).unwrap()["seq"].as_u64().unwrap();
        let before = found.insert(seq, line.to_owned());
        assert!(before.is_none_or(|before| before == line), "line {seq} is there twice, and not the same");
    };
    for file in files(trail, "jsonl") {
        fs::read_to_string(file).unwrap().lines().for_each(&mut add);
    }
    for file in files(archives, "tar") {
        let keys = [Key::new(1, 1).public_key()];
        check_archive(File::open(&file).unwrap(), &keys, &mut |line| add(std::str::from_utf8(line).unwrap())).unwrap();
    }
    found
}

fn files(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let Ok(items) = fs::read_dir(folder) else { return Vec::new() };
    let mut found: Vec<PathBuf> = items.map(|item| item.unwrap().path()).collect();
    found.retain(|path| path.extension().is_some_and(|found| found == extension));
    found.sort();
    found
}

/// Whether each line from the first to the last is somewhere, and the trail verifies with the key pinned.
fn nothing_is_lost(trail: &Path, archives: &Path, context: &str) -> u64 {
    let lines = all_lines(trail, archives);
    let count = lines.len() as u64;
    assert_eq!(lines.keys().copied().collect::<Vec<_>>(), (0..count).collect::<Vec<_>>(), "{context}");
    let options = VerifyOptions { keys: vec![Key::new(1, 1).public_key()], ..VerifyOptions::default() };
    let report = verify(trail, &options).unwrap();
    assert_eq!(report.first_bad, None, "{context}");
    assert_eq!(report.lines + report.archived, count, "{context}");
    assert_eq!(check_index(trail).unwrap().first_bad, None, "{context}");
    count
}

fn rows(page: &strongroom_audit::Page) -> Vec<u64> {
    page.rows.iter().map(|row| row.seq).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn old_segments_leave_for_archives_and_both_verify_without_each_other() {
    let scene = Scene::new().await;
    let everything = || Query { limit: 100_000, ..Query::default() };
    let before = rows(&scene.trail.query(everything()).await.unwrap());
    let done = scene.archive(scene.order(10)).await.unwrap();
    assert!(done.removed >= 6 && done.made.len() >= 2 && done.kept.is_empty(), "{done:?}");
    assert_eq!((done.made[0].first, done.more), (0, false));
    assert!(done.made.windows(2).all(|pair| pair[0].next == pair[1].first));
    nothing_is_lost(&scene.folder(), &scene.archives(), "after archiving");
    let after = scene.trail.query(everything()).await.unwrap();
    let gone = done.made.last().unwrap().next;
    let [absent] = after.absent.as_slice() else { panic!("{:?}", after.absent) };
    assert_eq!((absent.first, absent.next, absent.archived), (0, gone, true));
    assert!(absent.to.unwrap() < Timestamp::from_secs(11 * DAY));
    let left: Vec<u64> = before.iter().copied().filter(|seq| *seq >= gone).collect();
    assert_eq!(rows(&after)[..left.len()], left);
    // A question about later days alone lacks nothing, and says nothing.
    let later = Query { from: Some(15 * DAY * 1_000_000_000), ..everything() };
    assert_eq!(scene.trail.query(later).await.unwrap().absent, []);
    // A proof of what is left is one still.
    let (page, _) = scene.trail.query_proven(Query { limit: 5, ..Query::default() }).await.unwrap();
    assert_eq!(page.rows.len(), 5);
    // A second time there is nothing to do; a start finds all as it was; and the trail tells what left.
    let again = scene.archive(scene.order(10)).await.unwrap();
    assert_eq!((again.removed, again.made.len()), (0, 0));
    scene.trail.close().await;
    let trail = open(&scene.dir, &scene.clock).await;
    let page = trail.query(Query { kinds: vec!["event".to_owned()], ..everything() }).await.unwrap();
    assert_eq!(page.absent, after.absent);
    let told = page.rows.iter().filter(|row| row.operation == "trail_archived").count();
    assert_eq!(told, done.made.len());
    trail.close().await;
    nothing_is_lost(&scene.folder(), &scene.archives(), "after a start");
    // Only an archive says what left: moved elsewhere, the trail goes on to verify, by its manifests.
    fs::rename(scene.archives(), scene.dir.path().join("vault")).unwrap();
    let report = verify(&scene.folder(), &VerifyOptions::default()).unwrap();
    assert_eq!((report.first_bad, report.archived, report.starts_at), (None, gone, gone));
    // A checkpoint kept elsewhere is found at the seam between two segments, or else said to prove nothing.
    let text = fs::read(&files(&scene.folder().join("manifests"), "json")[0]).unwrap();
    let said = serde_json::from_slice::<Manifest>(&text).unwrap().segments[0].clone();
    let head: [u8; 32] = hex::decode(&said.head).unwrap().try_into().unwrap();
    for (size, head, holds) in [(said.next, head, true), (said.next, [1; 32], false), (said.next - 1, head, false)] {
        let options = VerifyOptions { expected: Some((size, head)), ..VerifyOptions::default() };
        assert_eq!(verify(&scene.folder(), &options).unwrap().first_bad.is_none(), holds, "{size}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_falls_under_a_hold_stays_until_it_is_lifted() {
    let scene = Scene::new().await;
    let hold = |name: &str, scope| vec![Hold { name: name.to_owned(), scope }];
    let path = || Query { prefixes: vec![Thing::Path("secret/data/hr/".to_owned())], ..Query::default() };
    let order = ArchiveOrder { holds: hold("case-1", path()), ..scene.order(10) };
    let done = scene.archive(order).await.unwrap();
    let [kept] = done.kept.as_slice() else { panic!("{:?}", done.kept) };
    assert!(kept.why.contains("case-1"));
    let page = scene.trail.query(Query { limit: 100_000, ..path() }).await.unwrap();
    let [row] = page.rows.as_slice() else { panic!("{:?}", page.rows) };
    assert!((kept.first..kept.next).contains(&row.seq));
    // What is gone lies before it and behind it, and the rest is whole.
    assert_eq!(page.absent.iter().map(|gap| gap.archived).collect::<Vec<_>>(), [true, true]);
    assert_eq!((page.absent[0].next, page.absent[1].first), (kept.first, kept.next));
    nothing_is_lost(&scene.folder(), &scene.archives(), "around a held segment");
    // Held by principal, and by time alone; a hold of another time holds nothing.
    for scope in [
        Query { principals: vec!["ann".to_owned()], ..Query::default() },
        Query { from: Some(6 * DAY * 1_000_000_000), to: Some(7 * DAY * 1_000_000_000), ..Query::default() },
    ] {
        let done = scene.archive(ArchiveOrder { holds: hold("case-2", scope), ..scene.order(10) }).await.unwrap();
        assert_eq!((done.removed, done.kept.len()), (0, 1));
    }
    scene.trail.close().await;
    let trail = open(&scene.dir, &scene.clock).await;
    let other = Query { to: Some(3 * DAY * 1_000_000_000), ..path() };
    let order = ArchiveOrder { holds: hold("case-3", other), ..scene.order(10) };
    let done = trail.archive(order, Key::new(1, 1), scene.clock.now()).await.unwrap();
    assert_eq!((done.removed, done.kept.len()), (1, 0));
    let [gap] = trail.query(path()).await.unwrap().absent.try_into().unwrap();
    assert_eq!(gap.first, 0);
    trail.close().await;
    nothing_is_lost(&scene.folder(), &scene.archives(), "after it was lifted");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_read_yet_or_remembered_elsewhere_stays_and_who_waits_is_named() {
    let scene = Scene::new().await;
    let mut reader = scene.trail.reader("siem", 0);
    reader.save(40).unwrap();
    let done = scene.archive(scene.order(10)).await.unwrap();
    let oldest = done.kept.first().unwrap();
    assert!(oldest.why.contains("`siem` is at line 40"), "{oldest:?}");
    assert!(done.made.iter().all(|made| made.next <= 40));
    // Lines from a number on stay without a word: the store remembers them.
    reader.save(500).unwrap();
    let done = scene.archive(ArchiveOrder { keep_from: 60, ..scene.order(10) }).await.unwrap();
    assert!(done.made.iter().all(|made| made.next <= 60) && done.kept.is_empty());
    // Somebody who left no position yet.
    let order = ArchiveOrder { readers: vec![("the destination `new`".to_owned(), 70)], ..scene.order(10) };
    let done = scene.archive(order).await.unwrap();
    assert!(done.kept[0].why.contains("`new` is at line 70"), "{done:?}");
    // A device that runs.
    let options = [("file_path".to_owned(), scene.dir.path().join("copy.log").display().to_string())];
    let device = DeviceSpec {
        path: "file".to_owned(),
        kind: "file".to_owned(),
        description: String::new(),
        options: options.into(),
    };
    scene.trail.enable(device).await.unwrap();
    support::until("the device's position", || {
        fs::read_dir(scene.folder()).unwrap().any(|item| {
            let name = item.unwrap().file_name().to_string_lossy().into_owned();
            name.starts_with("device-") && name.ends_with(".cursor")
        })
    })
    .await;
    assert_eq!(scene.archive(scene.order(10)).await.unwrap().kept, []);
    scene.trail.close().await;
    nothing_is_lost(&scene.folder(), &scene.archives(), "with readers");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn archives_go_neither_among_the_trails_files_nor_over_others() {
    let scene = Scene::new().await;
    for folder in [scene.folder(), scene.folder().join("index"), PathBuf::from("relative")] {
        let refused = scene.archive(ArchiveOrder { folder, ..scene.order(10) }).await;
        assert!(matches!(refused, Err(TrailError::Archive(_))));
    }
    let order = ArchiveOrder { stop: Arc::new(AtomicBool::new(true)), ..scene.order(10) };
    assert!(matches!(scene.archive(order).await, Err(TrailError::Interrupted)));
    let made = scene.archive(scene.order(3)).await.unwrap().made;
    fs::create_dir(scene.dir.path().join("other")).unwrap();
    let name = |next: u64| scene.dir.path().join("other").join(format!("trail-{:020}-{next:020}.tar", made[0].next));
    // Whatever the next archive will be called, the name is taken.
    for next in made[0].next..300 {
        fs::write(name(next), "something else").unwrap();
    }
    let order = ArchiveOrder { folder: scene.dir.path().join("other"), ..scene.order(10) };
    let refused = scene.archive(order).await.unwrap_err();
    assert!(refused.to_string().contains("is there already"), "{refused}");
    scene.trail.close().await;
    nothing_is_lost(&scene.folder(), &scene.archives(), "after refusals");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crash_between_any_two_steps_loses_nothing_and_the_next_call_ends_the_work() {
    let scene = Scene::new().await;
    scene.trail.close().await;
    let copy = |from: &Path, to: &Path| {
        assert!(Command::new("cp").arg("-a").arg(from).arg(to).status().unwrap().success());
    };
    let world = folder();
    copy(&scene.folder(), &world.path().join("before"));
    let trail = open(&scene.dir, &scene.clock).await;
    trail.archive(scene.order(10), Key::new(1, 1), scene.clock.now()).await.unwrap();
    trail.close().await;
    let (tars, manifests) = (files(&scene.archives(), "tar"), files(&scene.folder().join("manifests"), "json"));
    let gone: Vec<PathBuf> = files(&world.path().join("before"), "jsonl")
        .into_iter()
        .filter(|file| !scene.folder().join(file.file_name().unwrap()).exists())
        .collect();
    assert!(tars.len() >= 2 && manifests.len() == tars.len() && gone.len() >= 6);
    // What is on disk after each step: half an archive; a whole one; half a manifest; a manifest; then, segment by
    // segment, the index gone, and the lines gone.
    let steps = 4 + 2 * gone.len();
    for step in 0..steps {
        let dir = folder();
        let (trail, out) = (dir.path().join("trail"), dir.path().join("out"));
        copy(&world.path().join("before"), &trail);
        fs::create_dir(&out).unwrap();
        let whole = |file: &PathBuf, to: &Path| {
            fs::copy(file, to.join(file.file_name().unwrap())).unwrap();
        };
        let half = |file: &PathBuf, to: PathBuf| {
            let bytes = fs::read(file).unwrap();
            fs::write(to, &bytes[..bytes.len() / 2]).unwrap();
        };
        let name = |file: &PathBuf| file.file_name().unwrap().to_string_lossy().into_owned();
        match step {
            0 => half(&tars[0], out.join(format!(".{}.draft", name(&tars[0])))),
            _ => whole(&tars[0], &out),
        }
        if step >= 2 {
            fs::create_dir(trail.join("manifests")).unwrap();
            let draft = trail.join("manifests").join(name(&manifests[0])).with_extension("draft");
            if step == 2 { half(&manifests[0], draft) } else { whole(&manifests[0], &trail.join("manifests")) }
        }
        let removed = step.saturating_sub(3);
        if removed > 0 {
            tars.iter().for_each(|tar| whole(tar, &out));
            manifests.iter().for_each(|manifest| whole(manifest, &trail.join("manifests")));
        }
        for (number, file) in gone.iter().enumerate() {
            let index = trail.join("index").join(name(file)).with_extension("idx");
            if removed > 2 * number {
                let _ = fs::remove_file(index);
            }
            if removed > 2 * number + 1 {
                fs::remove_file(trail.join(name(file))).unwrap();
            }
        }
        let context = format!("step {step} of {steps}");
        let before = nothing_is_lost(&trail, &out, &context);
        let reopened = open(&dir, &scene.clock).await;
        let order = ArchiveOrder { folder: out.clone(), ..scene.order(10) };
        reopened.archive(order, Key::new(1, 1), scene.clock.now()).await.unwrap();
        reopened.close().await;
        assert!(nothing_is_lost(&trail, &out, &context) >= before);
        assert!(gone.iter().all(|file| !trail.join(name(file)).exists()), "{context}");
    }
}

#[tokio::test]
async fn nothing_is_lost_when_the_process_is_killed_while_it_archives() {
    let dir = folder();
    let mut archived = 0;
    for round in 0_u32..8 {
        let this = std::env::current_exe().unwrap();
        let mut child = Command::new(&this)
            .args(["--exact", "child_that_archives_until_it_is_killed", "--ignored", "--nocapture"])
            .env("STRONGROOM_TEST_PLACE", dir.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        // Killed somewhere in the work that follows a number of archives, another one in each round.
        let output = BufReader::new(child.stdout.take().unwrap());
        let done = output.lines().map_while(Result::ok).filter(|line| line.contains("archiving"));
        for (count, _) in (0..).zip(done) {
            if count == 2 + round {
                for _ in 0..round * 40_000 {
                    std::hint::black_box(count);
                }
                child.kill().unwrap();
                break;
            }
        }
        child.wait().unwrap();
        let trail = support::open(&dir).await;
        trail.close().await;
        let context = format!("round {round}");
        nothing_is_lost(&dir.path().join("trail"), &dir.path().join("out"), &context);
        archived = files(&dir.path().join("out"), "tar").len();
    }
    assert!(archived >= 8, "{archived} archives");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "runs as a child of the test of the same story"]
async fn child_that_archives_until_it_is_killed() {
    let place = PathBuf::from(std::env::var("STRONGROOM_TEST_PLACE").unwrap());
    let options = Options { segment_bytes: 40_000, ..Options::default() };
    let clock = ManualClock::at(DAY);
    let trail = Trail::open_with(Place::Folder(place.join("trail")), clock.clone(), options).await.unwrap();
    trail.set_seal(Some(Key::new(1, 1))).await;
    for number in 0..u64::MAX {
        trail.append(entry("read", &format!("secret/{number}"))).await.unwrap();
        if number % 300 == 299 {
            println!("archiving");
            let order = ArchiveOrder {
                before: Timestamp::from_secs(2 * DAY),
                folder: place.join("out"),
                make: true,
                holds: Vec::new(),
                keep_from: u64::MAX,
                readers: Vec::new(),
                most: usize::MAX,
                stop: Arc::default(),
            };
            trail.archive(order, Key::new(1, 1), clock.now()).await.unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_segments_leave_an_answer_has_each_entry_or_says_that_it_left() {
    let scene = Scene::new().await;
    let all = rows(&scene.trail.query(Query { limit: 100_000, ..Query::default() }).await.unwrap());
    let stop = Arc::new(AtomicBool::new(false));
    let mut asking = tokio::task::JoinSet::new();
    asking.spawn({
        let (trail, stop, all) = (Arc::clone(&scene.trail), Arc::clone(&stop), all.clone());
        async move {
            let mut asked = 0;
            while !stop.load(Ordering::Relaxed) || asked < 20 {
                let page = trail.query(Query { limit: 100_000, ..Query::default() }).await.unwrap();
                let there = rows(&page);
                for seq in &all {
                    let gone = page.absent.iter().any(|gap| (gap.first..gap.next).contains(seq));
                    assert!(gone != there.contains(seq), "entry {seq}: {:?}", page.absent);
                }
                trail.uses(None, |_| true).await.unwrap();
                asked += 1;
            }
        }
    });
    for day in 2..15 {
        scene.archive(scene.order(day)).await.unwrap();
    }
    stop.store(true, Ordering::Relaxed);
    asking.join_next().await.unwrap().unwrap();
    scene.trail.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_changed_archive_and_no_forged_manifest_passes() {
    let scene = Scene::new().await;
    let done = scene.archive(scene.order(10)).await.unwrap();
    scene.trail.close().await;
    let good = fs::read(&done.made[0].file).unwrap();
    let keys = [Key::new(1, 1).public_key()];
    let read = |bytes: &[u8]| {
        let mut lines = Vec::new();
        check_archive(bytes, &keys, &mut |line| lines.push(line.to_vec())).map(|_| lines)
    };
    let lines = read(&good).unwrap();
    let mut harmless = 0;
    for round in 0..3_000_usize {
        let at = round.wrapping_mul(0x9e37_79b9) % good.len();
        let mut bad = good.clone();
        match round % 3 {
            0 => bad[at] ^= 1 << (round % 8),
            1 => bad.truncate(at),
            _ => drop(bad.drain(at..(at + 512).min(good.len()))),
        }
        // Padding of the tar and fields of gzip that mean nothing hold no line: what is read is what was written.
        if let Ok(same) = read(&bad) {
            assert_eq!(same, lines, "change {round} at {at}");
            harmless += 1;
        }
    }
    println!("3,000 changes of an archive, {harmless} of them without a change of any line");
    assert!(harmless < 1_000, "{harmless}");
    assert!(check_archive(&good[..], &[[7; 32]], &mut |_| {}).is_err());
    // The manifest is what the trail goes by: without it, with another key's, or with a changed one, lines are missing.
    let manifest = &files(&scene.folder().join("manifests"), "json")[0];
    let text = fs::read(manifest).unwrap();
    let first_bad = || verify(&scene.folder(), &VerifyOptions { keys: keys.to_vec(), ..VerifyOptions::default() });
    let mut forged: Manifest = serde_json::from_slice(&text).unwrap();
    forged.key = hex::encode(Key::new(9, 1).public_key());
    forged.signature = hex::encode(Key::new(9, 1).sign(forged.text().as_bytes()));
    let mut changed: Manifest = serde_json::from_slice(&text).unwrap();
    changed.segments[0].head = hex::encode([3; 32]);
    for bad in [Some(serde_json::to_vec(&forged).unwrap()), Some(serde_json::to_vec(&changed).unwrap()), None] {
        match bad {
            Some(bad) => fs::write(manifest, bad).unwrap(),
            None => fs::remove_file(manifest).unwrap(),
        }
        assert_eq!(first_bad().unwrap().first_bad.unwrap().seq, 0);
        // Without a pinned key the last line of all still tells that two keys signed.
        assert!(verify(&scene.folder(), &VerifyOptions::default()).unwrap().first_bad.is_some());
    }
    fs::write(manifest, &text).unwrap();
    assert_eq!(first_bad().unwrap().first_bad, None);
    // The first line that is left has to continue the last one that was archived.
    let left = &files(&scene.folder(), "jsonl")[0];
    let lines = fs::read_to_string(left).unwrap();
    fs::write(left, lines.replacen("\"kind\":\"outcome\"", "\"kind\":\"intenta\"", 1)).unwrap();
    assert!(first_bad().unwrap().first_bad.is_some());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_segment_that_was_changed_is_not_archived() {
    let scene = Scene::new().await;
    let file = &support::segments(&scene.dir)[1];
    let text = fs::read_to_string(file).unwrap();
    fs::write(file, text.replacen("app/db", "app/dc", 1)).unwrap();
    let error = scene.archive(scene.order(10)).await.unwrap_err();
    assert!(matches!(error, TrailError::Changed { .. }), "{error}");
    assert!(file.exists() && files(&scene.archives(), "tar").is_empty());
    scene.trail.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn archives_that_are_old_enough_go_too_unless_they_are_held() {
    let scene = Scene::new().await;
    let made = scene.archive(scene.order(10)).await.unwrap().made;
    let scope = Query { principals: vec!["ann".to_owned()], ..Query::default() };
    let hold = vec![Hold { name: "case-9".to_owned(), scope }];
    fs::write(scene.archives().join("trail-notes.tar"), "not ours").unwrap();
    let done = scene.trail.drop_archives(ArchiveOrder { holds: hold, ..scene.order(20) }).await.unwrap();
    assert_eq!((done.made.len(), done.kept.len()), (made.len() - 1, 1));
    assert!(done.kept[0].why.contains("case-9"));
    assert!(scene.archives().join("trail-notes.tar").exists());
    let done = scene.trail.drop_archives(scene.order(20)).await.unwrap();
    assert_eq!((done.made.len(), done.kept.len()), (1, 0));
    let page = scene.trail.query(Query {
        operations: vec!["trail_archive_removed".to_owned()],
        limit: 99,
        ..Query::default()
    });
    assert_eq!(page.await.unwrap().rows.len(), made.len());
    scene.trail.close().await;
    assert_eq!(verify(&scene.folder(), &VerifyOptions::default()).unwrap().first_bad, None);
}
