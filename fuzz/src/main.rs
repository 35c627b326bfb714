//! `cargo xtask fuzz [--seconds N] [--target NAME] [--seed N]`: all targets, each for its part of the time.

use std::process::ExitCode;
use std::time::Duration;
use strongroom_fuzz::drive::{Bound, drive};
use strongroom_fuzz::{TARGETS, Target};

const USAGE: &str = "usage: cargo xtask fuzz [--seconds N] [--target NAME] [--seed N]";

fn main() -> anyhow::Result<ExitCode> {
    let (mut seconds, mut seed, mut targets) = (20.0 * TARGETS.len() as f64, 1_u64, TARGETS.iter().collect::<Vec<_>>());
    let words: Vec<String> = std::env::args().skip(1).collect();
    for pair in words.chunks(2) {
        match pair {
            [flag, value] if flag == "--seconds" => seconds = value.parse()?,
            [flag, value] if flag == "--seed" => seed = value.parse()?,
            [flag, value] if flag == "--target" => {
                let names: Vec<_> = TARGETS.iter().map(|target| target.name).collect();
                let target = Target::named(value);
                targets = vec![target.ok_or_else(|| anyhow::anyhow!("no target {value}; there are {names:?}"))?];
            }
            _ => anyhow::bail!(USAGE),
        }
    }
    // What panics is reported with its input; the message by itself would only come twice.
    std::panic::set_hook(Box::new(|_| {}));
    let each = Duration::from_secs_f64(seconds / targets.len() as f64);
    let mut failed = 0;
    for target in targets {
        match drive(target, Bound::Time(each), seed) {
            Ok(report) => println!("fuzz ok: {:<9} {report}", target.name),
            Err(found) => {
                failed += 1;
                println!(
                    "fuzz FAILED: {found}\n  seed {seed}; keep the input as a file in fuzz/regressions/{}/",
                    target.name
                );
            }
        }
    }
    Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
