//! A disk without room: nothing is lost, reads go on, and writing resumes without a restart.

use crate::process::{Child, program};
use std::path::Path;
use std::process::{Command, Stdio};

/// A command that runs this program with a small file system of its own mounted on the folder: as root in a mount
/// namespace, else in a user namespace as well. `None` where neither is allowed.
fn on_a_small_disk(folder: &Path, size: &str) -> Option<Command> {
    let ways: [&[&str]; 2] = [&["--mount"], &["--map-root-user", "--mount"]];
    let script = "mount -t tmpfs -o size=$0 tmpfs \"$1\" && shift && exec \"$@\"";
    for way in ways {
        let command = |tail: &[&std::ffi::OsStr]| {
            let mut command = Command::new("unshare");
            command.args(way).args(["sh", "-c", script, size]).arg(folder).args(tail);
            command
        };
        let trial = command(&["true".as_ref()]).stderr(Stdio::null()).status();
        if trial.is_ok_and(|status| status.success()) {
            return Some(command(&[program().as_os_str()]));
        }
    }
    eprintln!("skipped: mounting a small file system needs root or user namespaces");
    None
}

struct Filled {
    child: Child,
    acked: Vec<String>,
}

impl Filled {
    /// Writes until the store says that there is no room.
    fn new(command: Command, folder: &Path, size: usize) -> Self {
        let mut child = Child::start_under(command, "serve", &folder.join("store.db"));
        assert_eq!(child.hear().unwrap(), "open");
        let mut acked = Vec::new();
        for i in 0.. {
            let key = format!("key-{i}");
            match child.ask(&format!("put {key} {size}")).as_str() {
                "at" => acked.push(key),
                "full" => break,
                other => panic!("a full disk made a commit end as {other}"),
            }
        }
        assert!(!acked.is_empty());
        Self { child, acked }
    }

    fn everything_is_there(&mut self, size: usize) {
        for key in &self.acked {
            assert_eq!(self.child.ask(&format!("get {key} {size}")), "whole", "{key}");
        }
    }
}

const SIZE: usize = 3_000;

#[test]
fn a_full_disk_refuses_commits_and_recovers_without_a_restart() {
    // With so many bytes in the journal there is always something to be moved, which finds no room either.
    for journal in ["0", "60000", "8388608"] {
        refuses_and_recovers(journal);
    }
}

fn refuses_and_recovers(journal: &str) {
    let folder = tempfile::tempdir().unwrap();
    let Some(mut command) = on_a_small_disk(folder.path(), "6m") else { return };
    command.env("STRONGROOM_JOURNAL", journal);
    let ballast = folder.path().join("ballast");
    let mut filled = Filled::new(command, folder.path(), SIZE);
    // Filled to the last byte, again and again: no commit may half happen.
    for turn in 0..3 {
        assert_eq!(filled.child.ask(&format!("fill {}", ballast.display())), "filled");
        for i in 0..20 {
            let key = format!("refused-{turn}-{i}");
            let ended = filled.child.ask(&format!("put {key} {}", 20_000 + i * 997));
            match ended.as_str() {
                "full" => assert_eq!(filled.child.ask(&format!("get {key} 0")), "absent"),
                other => panic!("a full disk made a commit end as {other}"),
            }
            assert_eq!(filled.child.ask(&format!("outcome {key}")), "conflict");
        }
        filled.everything_is_there(SIZE);
        assert_eq!(filled.child.ask(&format!("free {}", ballast.display())), "freed");
    }
    assert_eq!(filled.child.ask("check"), "well");
}

#[test]
fn writing_resumes_by_itself_when_there_is_room() {
    let folder = tempfile::tempdir().unwrap();
    let Some(command) = on_a_small_disk(folder.path(), "8m") else { return };
    let ballast = folder.path().join("ballast");
    let mut child = Child::start_under(command, "serve", &folder.path().join("store.db"));
    assert_eq!(child.hear().unwrap(), "open");
    assert_eq!(child.ask("put first 3000"), "at");
    assert_eq!(child.ask(&format!("fill {}", ballast.display())), "filled");
    let mut filled = Filled { child, acked: vec!["first".to_owned()] };
    let mut refused = 0;
    for i in 0..50 {
        let key = format!("early-{i}");
        match filled.child.ask(&format!("put {key} {SIZE}")).as_str() {
            "at" => filled.acked.push(key),
            "full" => refused += 1,
            other => panic!("a full disk made a commit end as {other}"),
        }
    }
    assert!(refused > 0, "the disk was not full");
    filled.everything_is_there(SIZE);
    assert_eq!(filled.child.ask(&format!("free {}", ballast.display())), "freed");
    for i in 0..50 {
        let key = format!("late-{i}");
        assert_eq!(filled.child.ask(&format!("put {key} {SIZE}")), "at", "writing did not resume");
        filled.acked.push(key);
    }
    assert_eq!(filled.child.ask("put early-49 3000"), "at", "an attempt that was refused may be made again");
    assert_eq!(filled.child.ask("check"), "well");
    assert_eq!(filled.child.ask("reopen"), "open");
    filled.everything_is_there(SIZE);
    assert_eq!(filled.child.ask("check"), "well");
}

#[test]
fn a_commit_too_large_for_the_room_left_does_not_take_small_ones_down_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let Some(command) = on_a_small_disk(folder.path(), "8m") else { return };
    let ballast = folder.path().join("ballast");
    let mut child = Child::start_under(command, "serve", &folder.path().join("store.db"));
    assert_eq!(child.hear().unwrap(), "open");
    assert_eq!(child.ask("put first 100"), "at");
    // Opening anew makes the log an empty file, so that the room on the disk is all the room there is.
    assert_eq!(child.ask("reopen"), "open");
    assert_eq!(child.ask(&format!("fill {}", ballast.display())), "filled");
    assert_eq!(child.ask(&format!("shrink {} 500000", ballast.display())), "shrunk");
    for turn in 0..4 {
        child.tell(&format!("put-together turn-{turn} 100 524288 100"));
        let answers: Vec<_> = (0..3).map(|_| child.hear().unwrap()).collect();
        assert_eq!(answers, ["at", "full", "at"], "turn {turn}");
        assert_eq!(child.ask(&format!("get turn-{turn}-0 100")), "whole");
        assert_eq!(child.ask(&format!("get turn-{turn}-1 0")), "absent");
        assert_eq!(child.ask(&format!("get turn-{turn}-2 100")), "whole");
    }
    assert_eq!(child.ask("check"), "well");
}

#[test]
fn a_store_opens_on_a_full_disk() {
    let folder = tempfile::tempdir().unwrap();
    let Some(command) = on_a_small_disk(folder.path(), "6m") else { return };
    let mut filled = Filled::new(command, folder.path(), SIZE);
    let ballast = folder.path().join("ballast");
    assert_eq!(filled.child.ask(&format!("fill {}", ballast.display())), "filled");
    assert_eq!(filled.child.ask("reopen"), "open");
    filled.everything_is_there(SIZE);
}
