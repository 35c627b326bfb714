//! A disk that fails to write or to sync, once: after that nothing may be written any more, although the next sync would
//! seem to succeed ("fsyncgate"). Reads go on, and the next opening finds everything that was acknowledged.

use crate::process::{Child, program};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

/// A store in a child whose system calls can be made to fail.
struct Failing {
    child: Child,
    trigger: PathBuf,
    path: PathBuf,
    acked: Vec<(String, usize)>,
}

impl Failing {
    fn new(folder: &Path) -> Self {
        Self::with_journal(folder, None)
    }

    /// So many bytes of changes wait in the journal.
    fn with_journal(folder: &Path, bytes: Option<&str>) -> Self {
        let library = folder.join("fault.so");
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/crash/fault.c");
        let built = Command::new("cc").args(["-shared", "-fPIC", "-O1", "-o"]).arg(&library).arg(source).status();
        assert!(built.unwrap().success(), "the C compiler that builds SQLite could not build the fault");
        let (trigger, path) = (folder.join("trigger"), folder.join("store.db"));
        let mut command = Command::new(program());
        command.env("LD_PRELOAD", library).env("STRONGROOM_FAULT", &trigger);
        command.envs(bytes.map(|bytes| ("STRONGROOM_JOURNAL", bytes)));
        let mut child = Child::start_under(command, "serve", &path);
        assert_eq!(child.hear().unwrap(), "open");
        let mut failing = Self { child, trigger, path, acked: Vec::new() };
        for i in 0..20 {
            assert_eq!(failing.put(&format!("before-{i}"), 5_000), "at");
        }
        failing
    }

    fn put(&mut self, key: &str, size: usize) -> String {
        let ended = self.child.ask(&format!("put {key} {size}"));
        if ended == "at" {
            self.acked.push((key.to_owned(), size));
        }
        ended
    }

    /// The next such call on a file whose name ends so fails.
    fn arm(&self, call: &str, ending: &str) {
        let written = self.trigger.with_extension("new");
        fs::write(&written, format!("{call} {ending}")).unwrap();
        fs::rename(written, &self.trigger).unwrap();
    }

    fn has_happened(&self) -> bool {
        self.trigger.with_extension("happened").exists()
    }

    fn writing_has_stopped_and_reads_go_on(&mut self) {
        for i in 0..3 {
            let key = format!("after-{i}");
            assert_eq!(self.put(&key, 100), "stopped");
            assert_eq!(self.child.ask(&format!("get {key} 100")), "absent");
        }
        let acked = self.acked.clone();
        for (key, size) in acked {
            assert_eq!(self.child.ask(&format!("get {key} {size}")), "whole", "{key}");
            assert_eq!(self.child.ask(&format!("outcome {key}")), "at", "{key}");
        }
    }

    /// Opens the store anew, on a disk that works.
    fn restart(mut self) -> Child {
        self.child = Child::start("serve", &self.path);
        assert_eq!(self.child.hear().unwrap(), "open");
        for (key, size) in &self.acked {
            assert_eq!(self.child.ask(&format!("get {key} {size}")), "whole", "{key} was acknowledged and is lost");
        }
        assert_eq!(self.child.ask("check"), "well");
        assert_eq!(self.child.ask("put anew 100"), "at");
        self.child
    }

    fn end(&mut self) {
        assert_eq!(self.child.ask("close"), "closed");
    }
}

#[test]
fn a_failed_sync_of_a_commit_is_unknown_and_stops_writing() {
    let folder = tempfile::tempdir().unwrap();
    let mut failing = Failing::new(folder.path());
    failing.arm("sync", "-wal");
    assert_eq!(failing.put("lost", 5_000), "unknown");
    assert!(failing.has_happened());
    // It may come back with the next opening, so nobody may say that it did not happen.
    assert_eq!(failing.child.ask("outcome lost"), "stopped");
    assert_eq!(failing.child.ask("get lost 5000"), "absent");
    failing.writing_has_stopped_and_reads_go_on();
    failing.end();
    let mut child = failing.restart();
    let (value, outcome) = (child.ask("get lost 5000"), child.ask("outcome lost"));
    assert!([("whole", "at"), ("absent", "conflict")].contains(&(&value, &outcome)), "{value}, {outcome}");
    assert_eq!(child.ask("get after-0 100"), "absent");
}

/// With a journal of so few bytes changes are moved behind every commit, and that is synced too: whichever of the two fails.
#[test]
fn a_failed_sync_of_a_commit_or_of_what_is_moved_behind_it_stops_writing() {
    let folder = tempfile::tempdir().unwrap();
    let mut failing = Failing::with_journal(folder.path(), Some("4096"));
    failing.arm("sync", "-wal");
    // Stopped already, when what was moved behind the commit before was the first to meet it.
    let ended = failing.put("lost", 5_000);
    assert!(["unknown", "stopped"].contains(&ended.as_str()), "{ended}");
    assert!(failing.has_happened());
    failing.writing_has_stopped_and_reads_go_on();
    failing.end();
    failing.restart();
}

/// Changes are moved when nobody has asked for anything for two seconds; what was to be moved is still in the journal.
#[test]
fn a_failed_write_while_changes_are_moved_out_of_the_journal_stops_writing_and_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let mut failing = Failing::new(folder.path());
    failing.arm("write", "-wal");
    let begun = Instant::now();
    while !failing.has_happened() {
        assert!(begun.elapsed() < Duration::from_secs(60), "nothing was moved");
        thread::yield_now();
    }
    failing.writing_has_stopped_and_reads_go_on();
    failing.end();
    failing.restart();
}

#[test]
fn a_failed_write_of_a_commit_stops_writing() {
    let folder = tempfile::tempdir().unwrap();
    let mut failing = Failing::new(folder.path());
    failing.arm("write", "-wal");
    assert_eq!(failing.put("lost", 5_000), "unknown");
    assert!(failing.has_happened());
    failing.writing_has_stopped_and_reads_go_on();
    failing.end();
    failing.restart();
}

#[test]
fn a_failed_sync_of_a_checkpoint_stops_writing_and_keeps_the_log() {
    let folder = tempfile::tempdir().unwrap();
    let mut failing = Failing::new(folder.path());
    failing.arm("sync", ".db");
    let ended = (0..160).map(|i| failing.put(&format!("much-{i}"), 200_000)).find(|ended| ended != "at");
    assert_eq!(ended.as_deref(), Some("stopped"), "the checkpoint failed, and writing went on");
    assert!(failing.has_happened());
    failing.writing_has_stopped_and_reads_go_on();
    // Closing must not try the checkpoint again: it would seem to succeed, and the log that holds the data would go.
    failing.end();
    assert!(fs::metadata(folder.path().join("store.db-wal")).unwrap().len() > 4_000_000);
    failing.restart();
}

#[test]
fn commits_that_wait_together_share_the_fate_of_their_sync() {
    let folder = tempfile::tempdir().unwrap();
    let mut failing = Failing::new(folder.path());
    failing.arm("sync", "-wal");
    failing.child.tell(&format!("put-together shared{}", " 100".repeat(16)));
    let ended: Vec<_> = (0..16).map(|_| failing.child.hear().unwrap()).collect();
    let unknown = ended.iter().take_while(|ended| *ended == "unknown").count();
    assert!(unknown > 0, "{ended:?}");
    assert!(ended[unknown..].iter().all(|ended| ended == "stopped"), "{ended:?}");
    assert!(failing.has_happened());
    failing.end();
    failing.restart();
}
