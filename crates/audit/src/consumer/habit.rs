//! How a consumer reads, judged from its reads: a judgement with its evidence, not a fact.

use super::gap::{Gaps, Peak};
use serde::Serialize;
use std::fmt::Write as _;

/// How it reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Pattern {
    /// Never a value.
    Never,
    /// A single time.
    Once,
    /// When it starts: each token reads at once or hardly more, and no period shows.
    AtStart,
    /// Again and again.
    Periodic,
    /// No pattern shows.
    Irregular,
}

/// A judgement and what it rests on.
#[derive(Clone, Debug, Serialize)]
pub struct Habit {
    /// How it reads.
    pub pattern: Pattern,
    /// Seconds from read to read, where that is the same most of the time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub period_seconds: Option<f64>,
    /// What was counted.
    pub evidence: String,
}

/// So many gaps at least make a period ...
const FEWEST: u64 = 3;

impl Peak {
    /// ... and of all gaps so many in a hundred.
    fn is_period(&self) -> bool {
        self.count >= FEWEST && self.count * 100 >= self.all * 75 && self.mean_ms > 0
    }
}

/// Judges. `brief` counts the sessions that read only when they began.
pub(super) fn judge(reads: u64, starts: &[u64], brief: u64, unkept: u64, gaps: &Gaps) -> Habit {
    let sessions = starts.len() as u64 + unkept;
    let mut evidence = format!("{reads} reads with {sessions} tokens");
    if reads <= 1 {
        let pattern = if reads == 0 { Pattern::Never } else { Pattern::Once };
        return Habit { pattern, period_seconds: None, evidence };
    }
    let within = gaps.peak().filter(|_| gaps.len() * 2 >= reads);
    if let Some(peak) = within.filter(Peak::is_period) {
        return periodic(peak, "between reads with the same token", evidence);
    }
    // All reads at starts: is there a period from start to start?
    if brief * 5 >= starts.len() as u64 * 4 && sessions > 1 {
        let mut between = Gaps::default();
        let mut sorted = starts.to_vec();
        sorted.sort_unstable();
        sorted.iter().zip(sorted.iter().skip(1)).for_each(|(a, b)| between.add(b - a));
        if let Some(peak) = between.peak().filter(Peak::is_period) {
            return periodic(peak, "from login to login", evidence);
        }
        let _ = write!(evidence, ", {brief} of them only within a minute of their first read; no period");
        return Habit { pattern: Pattern::AtStart, period_seconds: None, evidence };
    }
    if let Some(peak) = gaps.peak() {
        let _ = write!(evidence, "; of {} gaps no more than {} are alike", peak.all, peak.count);
    }
    Habit { pattern: Pattern::Irregular, period_seconds: None, evidence }
}

fn periodic(peak: Peak, between: &str, mut evidence: String) -> Habit {
    let seconds = peak.mean_ms as f64 / 1_000.0;
    let _ = write!(evidence, "; {} of {} gaps {between} are about {seconds} s", peak.count, peak.all);
    Habit { pattern: Pattern::Periodic, period_seconds: Some(seconds), evidence }
}
