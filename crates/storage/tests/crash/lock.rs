//! Who may open the store, and with which rights its files are made.

use crate::child::open;
use crate::process::{Child, program};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use strongroom_storage::StoreError;

#[test]
fn a_second_server_on_the_same_file_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    let mut first = Child::start("serve", &path);
    assert_eq!(first.hear().unwrap(), "open");
    let mut second = Child::start("serve", &path);
    assert_eq!(second.hear().unwrap(), "in use");
    assert!(matches!(open(&path), Err(StoreError::InUse { .. })));
    // The one that has it is not disturbed by those that were refused.
    assert_eq!(first.ask("put a 100"), "at");
    first.kill();
    let mut third = Child::start("serve", &path);
    assert_eq!(third.hear().unwrap(), "open");
    assert_eq!(third.ask("get a 100"), "whole");
}

#[test]
fn a_second_opening_in_the_same_process_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    let first = open(&path).unwrap();
    assert!(matches!(open(&path), Err(StoreError::InUse { .. })));
    first.close().unwrap();
    assert!(open(&path).is_ok());
}

#[test]
fn only_the_owner_may_read_the_files_whatever_the_umask() {
    for mask in ["0", "777", "22"] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/down/store.db");
        let mut command = Command::new(program());
        command.env("STRONGROOM_UMASK", mask);
        let mut child = Child::start_under(command, "serve", &path);
        assert_eq!(child.hear().unwrap(), "open", "umask {mask}");
        assert_eq!(child.ask("put a 100"), "at");
        for folder in [path.parent().unwrap(), path.parent().unwrap().parent().unwrap()] {
            assert_eq!(mode(folder), 0o700, "umask {mask}: {}", folder.display());
        }
        for file in ["store.db", "store.db-wal", "store.db-shm", "store.db.lock"] {
            assert_eq!(mode(&path.with_file_name(file)), 0o600, "umask {mask}: {file}");
        }
    }
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}
