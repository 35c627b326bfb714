//! Kills servers in the middle of writing, and again in the middle of recovering, and counts what is there.

use crate::child::{ROWS, open};
use crate::ledger::{self, Random, WRITERS};
use crate::process::{Child, program};
use std::hash::{BuildHasher, RandomState};
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::Duration;
use strongroom_storage::Store;

#[derive(Default)]
struct Tally {
    acknowledged: u64,
    kills: u64,
    kills_before_open: u64,
}

#[test]
fn nothing_acknowledged_is_lost_torn_or_resurrected_when_servers_are_killed() {
    let rounds = number("STRONGROOM_CRASH_ROUNDS").unwrap_or(25);
    let seed = number("STRONGROOM_CRASH_SEED").unwrap_or_else(|| RandomState::new().hash_one(0));
    eprintln!("STRONGROOM_CRASH_SEED={seed} repeats the delays of this run");
    let mut random = Random(seed);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    let mut acked = [0; WRITERS as usize];
    let mut tally = Tally::default();
    for round in 0..rounds {
        let before = acked;
        let mut kills = 1;
        let delay = Duration::from_micros(20_000 + random.below(250_000));
        // Every other server moves changes from the journal to their places all the time.
        let journal = if round.is_multiple_of(2) { "4096" } else { "8388608" };
        write_and_kill(&path, journal, delay, &mut acked, &mut tally);
        // Recovery is cut short several times, at moments from the first system call to the first commits.
        for _ in 0..random.below(4) {
            kills += 1;
            let delay = Duration::from_micros(1_000 + random.below(14_000));
            write_and_kill(&path, journal, delay, &mut acked, &mut tally);
        }
        verify(&path, &mut acked, kills, round);
        tally.acknowledged += acked.iter().zip(before).map(|(after, before)| after - before).sum::<u64>();
        tally.kills += kills;
    }
    let Tally { acknowledged, kills, kills_before_open } = tally;
    eprintln!(
        "{acknowledged} commits, {kills} kills, {kills_before_open} of them before the store was open; 0 lost, 0 torn"
    );
    assert!(acknowledged > rounds * 20, "only {acknowledged} commits were made: this run proves nothing");
    assert!(rounds < 20 || kills_before_open > 0, "no recovery was interrupted");
}

#[test]
fn a_replacement_that_is_killed_leaves_the_old_or_the_new_and_never_a_mix() {
    let seed = RandomState::new().hash_one(1);
    eprintln!("seed {seed}");
    let mut random = Random(seed);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    let (mut done, mut unacknowledged, mut kills) = (0_u64, 0, 0_u64);
    while kills < 12 || done <= 12 {
        assert!(kills < 200, "only {done} were made: this run proves nothing");
        kills += 1;
        let mut child = Child::start("replace", &path);
        // A loaded machine takes long to come to the first one, so patience grows.
        let (pid, delay) = (child.pid(), Duration::from_micros(30_000 + random.below(200_000 + kills * 20_000)));
        let killer = thread::spawn(move || {
            thread::sleep(delay);
            rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
        });
        while let Some(line) = child.hear() {
            done = line.strip_prefix("done ").map_or(done, |round| round.parse().unwrap());
        }
        killer.join().unwrap();
        let store = open(&path).unwrap();
        store.integrity_check().unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let rows = runtime.block_on(store.list(b"", None, usize::MAX)).unwrap();
        let round = rows.first().map_or(0, |row| u64::from_be_bytes(*row.value.first_chunk().unwrap()));
        assert!(round == done || round == done + 1, "{done} was acknowledged, {round} is there");
        unacknowledged += u64::from(round > done);
        let count = if round == 0 {
            0
        } else if round.is_multiple_of(2) {
            ROWS
        } else {
            ROWS / 3
        };
        assert_eq!(rows.len(), count);
        assert!(rows.iter().all(|row| row.value.starts_with(&round.to_be_bytes())));
        done = round;
        store.close().unwrap();
    }
    eprintln!("{done} replacements, {kills} kills, {unacknowledged} found done that were not acknowledged; 0 mixed");
}

fn write_and_kill(path: &Path, journal: &str, delay: Duration, acked: &mut [u64], tally: &mut Tally) {
    let mut command = Command::new(program());
    command.env("STRONGROOM_JOURNAL", journal);
    let mut child = Child::start_under(command, "write", path);
    let pid = child.pid();
    let killer = thread::spawn(move || {
        thread::sleep(delay);
        rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    });
    let mut was_open = false;
    while let Some(line) = child.hear() {
        let words: Vec<&str> = line.split(' ').collect();
        match words[..] {
            ["open"] => was_open = true,
            ["done", writer, steps] => acked[writer.parse::<usize>().unwrap()] = steps.parse().unwrap(),
            _ => panic!("the child said: {line}"),
        }
    }
    killer.join().unwrap();
    tally.kills_before_open += u64::from(!was_open);
}

/// Every killed child may have made one more step of each writer than it could tell of.
fn verify(path: &Path, acked: &mut [u64], kills: u64, round: u64) {
    let store = open(path).unwrap();
    store.integrity_check().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        for (writer, acked) in acked.iter_mut().enumerate() {
            let steps = ledger::verify(&store, writer as u64).await;
            assert!(
                steps >= *acked,
                "round {round}: writer {writer} had {acked} steps acknowledged, {steps} are there"
            );
            assert!(steps <= *acked + kills, "round {round}: writer {writer}: {steps} steps, {acked} acknowledged");
            *acked = steps;
        }
    });
    store.close().unwrap();
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|text| text.parse().unwrap())
}
