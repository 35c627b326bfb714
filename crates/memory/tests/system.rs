#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)] // helpers of tests

//! What the kernel says about our pages and about a hardened process.

use rustix::process::{Resource, Rlimit, Signal, getpid, getrlimit, kill_process, setrlimit};
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitStatus};
use strongroom_memory::{LockedKey, harden_process};

fn locked_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmLck:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// The `VmFlags` line of the mapping in which the address lies.
fn flags_of(address: usize) -> String {
    let maps = std::fs::read_to_string("/proc/self/smaps").unwrap();
    let mut inside = false;
    for line in maps.lines() {
        let range = line.split_whitespace().next().and_then(|first| first.split_once('-'));
        if let Some((Ok(from), Ok(to))) =
            range.map(|(a, b)| (usize::from_str_radix(a, 16), usize::from_str_radix(b, 16)))
        {
            inside = (from..to).contains(&address);
        } else if let Some(flags) = line.strip_prefix("VmFlags:").filter(|_| inside) {
            return flags.to_owned();
        }
    }
    panic!("no mapping holds {address:x}");
}

#[test]
fn keys_lie_in_locked_pages_that_no_core_file_holds() {
    let before = locked_kib();
    let keys: Vec<_> = (0..2_000).map(|_| LockedKey::make(|key| key.fill(1))).collect();
    assert!(keys.iter().all(LockedKey::locked), "RLIMIT_MEMLOCK of this machine is below 64 KiB");
    assert!(locked_kib() >= before + 60, "{} -> {}", before, locked_kib());
    let flags = flags_of(keys[1_999].expose().as_ptr() as usize);
    assert!(flags.contains(" dd"), "{flags}");
    assert!(flags.contains(" lo"), "{flags}");
}

/// Not a test of its own: the child of the tests below, which crashes.
#[test]
#[ignore = "the child of another test"]
fn crashing_child() {
    let Ok(mode) = std::env::var("STRONGROOM_CRASHING_CHILD") else { return };
    let most = getrlimit(Resource::Core).maximum;
    setrlimit(Resource::Core, Rlimit { current: most, maximum: most }).unwrap();
    let _key = LockedKey::make(|key| key.fill(0xA5));
    if mode == "hardened" {
        harden_process().unwrap();
        assert_eq!(getrlimit(Resource::Core).maximum, Some(0));
    }
    // The first signal only takes away the handler that Rust's runtime has for stack overflows.
    loop {
        kill_process(getpid(), Signal::SEGV).unwrap();
    }
}

fn crash(mode: &str, folder: &std::path::Path) -> ExitStatus {
    Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "crashing_child"])
        .env("STRONGROOM_CRASHING_CHILD", mode)
        .current_dir(folder)
        .output()
        .unwrap()
        .status
}

#[test]
fn a_hardened_process_leaves_no_core_file() {
    let folder = tempfile::tempdir().unwrap();
    let hardened = crash("hardened", folder.path());
    assert_eq!(hardened.signal(), Some(11));
    assert!(!hardened.core_dumped());
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    // The same crash without hardening shows that the check above could have failed on this machine.
    let plain = crash("plain", folder.path());
    assert_eq!(plain.signal(), Some(11));
    if !plain.core_dumped() {
        eprintln!("this machine writes no core files at all, so the check above says little");
    }
}
