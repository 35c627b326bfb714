//! Where the machine's processor time goes during a load: the load itself, all else, nothing.

use anyhow::Context;
use std::fs;
use std::ops::{AddAssign, Sub};
use std::time::{Duration, Instant};

/// Processor time in the kernel's ticks (a hundredth of a second), summed over all processors.
#[derive(Clone, Copy, Default)]
pub(crate) struct Processor {
    /// Nothing to do, or waiting for a disk.
    idle: u64,
    /// Taken by the machine's host for others.
    stolen: u64,
    /// Used by this process.
    own: u64,
    /// Used by everything else, the kernel's work for it among it.
    others: u64,
}

impl Processor {
    /// What was used since the machine started, as proc(5) gives it.
    pub(crate) fn now() -> anyhow::Result<Self> {
        let machine = fs::read_to_string("/proc/stat")?;
        let line = machine.lines().next().and_then(|line| line.strip_prefix("cpu ")).context("no line for all")?;
        let ticks: Vec<u64> = line.split_whitespace().map(str::parse).collect::<Result<_, _>>()?;
        let [user, nice, system, idle, waiting, hard, soft, stolen, ..] = ticks[..] else {
            anyhow::bail!("/proc/stat has fewer columns than proc(5) says");
        };
        let (_, own) = time_of(&fs::read_to_string("/proc/self/stat")?)?;
        let busy = user + nice + system + hard + soft;
        Ok(Self { idle: idle + waiting, stolen, own, others: busy.saturating_sub(own) })
    }

    /// In words, for a load of that many requests.
    pub(crate) fn of_each(self, requests: usize) -> String {
        let each = |ticks: u64| ticks as f64 * MICROS_OF_A_TICK / requests.max(1) as f64;
        let all = (self.idle + self.stolen + self.own + self.others).max(1) as f64;
        let percent = |ticks: u64| ticks as f64 * 100.0 / all;
        let Self { idle, stolen, own, others } = self;
        format!(
            "{:.0} us the load, {:.0} us all else; {:.0} % idle, {:.0} % taken by the host",
            each(own),
            each(others),
            percent(idle),
            percent(stolen)
        )
    }
}

/// What the kernel's line about a process or a thread says: all up to the end of its name, which itself may hold any sign,
/// and its processor time in ticks.
pub(crate) fn time_of(stat: &str) -> anyhow::Result<(&str, u64)> {
    let (head, rest) = stat.rsplit_once(')').context("no name in the kernel's line about a process")?;
    // User and system time are fields 14 and 15, and the third is the first after the name.
    let fields = rest.split_whitespace().skip(11).take(2);
    Ok((head, fields.filter_map(|field| field.parse::<u64>().ok()).sum()))
}

/// How long one read takes from 16 MiB in no order, each place known only from the one before: the last cache of the
/// processor holds them, unless neighbours on a shared machine fill it. What a request costs grows and shrinks with it.
pub(crate) fn memory_latency(span: Duration) -> Duration {
    const LINES: usize = 16 * 1024 * 1024 / size_of::<Line>();
    // Goes round through all of a power of two (Knuth, The Art of Computer Programming, volume 2, 3.2.1.2, theorem A).
    let follower = |place: usize| (place * 1_664_525 + 1_013_904_223) % LINES;
    let lines: Vec<Line> = (0..LINES).map(|place| Line { next: follower(place) }).collect();
    let (start, mut place, mut reads) = (Instant::now(), 0, 0_u32);
    while start.elapsed() < span {
        for _ in 0..STRIDE {
            place = lines.get(place).map_or(0, |line| line.next);
        }
        reads += STRIDE;
    }
    std::hint::black_box(place);
    start.elapsed() / reads.max(1)
}

/// What a processor takes from memory at once.
#[repr(align(64))]
struct Line {
    next: usize,
}

/// Reads between two looks at the clock.
const STRIDE: u32 = 10_000;

/// `USER_HZ` is 100 on every platform that Linux shows to programs.
const MICROS_OF_A_TICK: f64 = 10_000.0;

impl Sub for Processor {
    type Output = Self;

    fn sub(self, before: Self) -> Self {
        Self {
            idle: self.idle.saturating_sub(before.idle),
            stolen: self.stolen.saturating_sub(before.stolen),
            own: self.own.saturating_sub(before.own),
            others: self.others.saturating_sub(before.others),
        }
    }
}

impl AddAssign for Processor {
    fn add_assign(&mut self, more: Self) {
        self.idle += more.idle;
        self.stolen += more.stolen;
        self.own += more.own;
        self.others += more.others;
    }
}
