//! Runs a target over seeds, over what once failed, and over changed inputs, until a bound is reached.
//!
//! An input whose outcome was not seen before is kept and changed further: the words of an error tell which branch was
//! taken, so this goes some of the way that coverage would. What fails is cut down before it is reported.

use crate::target::Target;
use crate::{Chance, Mutator};
use std::collections::BTreeSet;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::time::{Duration, Instant};

/// No input may take longer than this; a debug build on a busy machine needs a hundredth of it.
const SLOWEST: Duration = Duration::from_secs(5);
/// A run may leave no more than this behind in memory, in KiB.
const GROWTH: u64 = 256 * 1024;
/// As many inputs are kept at most.
const KEPT: usize = 2_000;

/// When to stop.
#[derive(Clone, Copy, Debug)]
pub enum Bound {
    /// After that time.
    Time(Duration),
    /// After that many inputs.
    Executions(u64),
}

/// What a run did.
#[derive(Debug)]
pub struct Report {
    /// How many inputs were tried.
    pub executions: u64,
    /// How many different outcomes there were.
    pub outcomes: usize,
    /// The longest that one input took.
    pub slowest: Duration,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { executions, outcomes, slowest } = self;
        write!(f, "{executions} inputs, {outcomes} outcomes, slowest {:.1} ms", slowest.as_secs_f64() * 1e3)
    }
}

/// An input for which an oracle does not hold.
#[derive(Debug)]
pub struct Found {
    /// Whose.
    pub target: &'static str,
    /// The input, cut down.
    pub input: Vec<u8>,
    /// What the oracle says.
    pub message: String,
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { target, input, message } = self;
        write!(f, "{target}: {message}\n  input: b\"{}\"", input.escape_ascii())
    }
}

/// Runs a target until the bound is reached or something is found.
pub fn drive(target: &Target, bound: Bound, seed: u64) -> Result<Report, Box<Found>> {
    let begun = Instant::now();
    let mut run = Run { target, outcomes: BTreeSet::new(), corpus: Vec::new(), executions: 0, slowest: Duration::ZERO };
    let mut given = (target.seeds)();
    given.extend(regressions(target.name));
    for input in given {
        run.try_one(input.clone())?;
        run.corpus.push(input);
    }
    let memory = resident();
    let mutator = Mutator::new(target.words);
    let mut chance = Chance::new(seed);
    let goes_on = |executions| match bound {
        Bound::Time(span) => begun.elapsed() < span,
        Bound::Executions(most) => executions < most,
    };
    while goes_on(run.executions) {
        let input = mutator.mutate(&mut chance, &run.corpus);
        run.try_one(input)?;
    }
    let grown = resident().saturating_sub(memory);
    if grown > GROWTH {
        let message = format!("the run left {grown} KiB behind in memory");
        return Err(Box::new(Found { target: target.name, input: Vec::new(), message }));
    }
    Ok(Report { executions: run.executions, outcomes: run.outcomes.len(), slowest: run.slowest })
}

struct Run<'a> {
    target: &'a Target,
    outcomes: BTreeSet<String>,
    corpus: Vec<Vec<u8>>,
    executions: u64,
    slowest: Duration,
}

impl Run<'_> {
    fn try_one(&mut self, input: Vec<u8>) -> Result<(), Box<Found>> {
        self.executions += 1;
        let begun = Instant::now();
        let outcome = attempt(self.target, &input);
        let took = begun.elapsed();
        self.slowest = self.slowest.max(took);
        let outcome = match outcome {
            Ok(_) if took > SLOWEST => Err(format!("{} bytes took {took:?}", input.len())),
            other => other,
        };
        match outcome {
            Ok(outcome) => {
                if self.corpus.len() < KEPT && self.outcomes.insert(without_details(&outcome)) {
                    self.corpus.push(input);
                }
                Ok(())
            }
            Err(message) => Err(Box::new(smaller(self.target, input, message))),
        }
    }
}

/// The outcome, or what a panic said.
fn attempt(target: &Target, input: &[u8]) -> Result<String, String> {
    catch_unwind(AssertUnwindSafe(|| (target.run)(input))).map_err(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        text.or(panic.downcast_ref::<&str>().map(|text| (*text).to_owned())).unwrap_or_else(|| "panicked".to_owned())
    })
}

/// Errors name lines and lengths, and quote names: those do not make another outcome.
fn without_details(outcome: &str) -> String {
    let unquoted: String = outcome.split(['`', '"', '\'']).step_by(2).collect();
    unquoted.chars().filter(|c| c.is_ascii_lowercase() || *c == ' ').take(40).collect()
}

/// Cuts pieces out, large ones first, as long as it still fails.
fn smaller(target: &Target, mut input: Vec<u8>, mut message: String) -> Found {
    let begun = Instant::now();
    let mut piece = input.len() / 2;
    while piece > 0 {
        let mut at = 0;
        while at < input.len() && begun.elapsed() < Duration::from_secs(20) {
            let mut shorter = input.clone();
            shorter.drain(at..(at + piece).min(shorter.len()));
            match attempt(target, &shorter) {
                Err(again) => (input, message) = (shorter, again),
                Ok(_) => at += piece,
            }
        }
        piece /= 2;
    }
    Found { target: target.name, input, message }
}

/// What once failed: a file for each, in `regressions/<target>/`.
fn regressions(target: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("regressions").join(target);
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let mut paths: Vec<_> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.sort();
    paths.iter().filter_map(|path| std::fs::read(path).ok()).collect()
}

/// Resident memory in KiB; 0 where the system does not say.
fn resident() -> u64 {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    text.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok()).unwrap_or(0) * 4
}
