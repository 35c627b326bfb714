//! Everything that is counted, by the names of Vault, for who sends it on in another form than the doors give it.

use super::Vault;
use super::metric::shown_timing;
use strongroom_core::metrics::Labels;

/// One number as it stands.
#[derive(Clone, Debug, PartialEq)]
pub struct Measure {
    /// Its name, with dots.
    pub name: String,
    /// Label names and values.
    pub labels: Labels,
    /// What it says.
    pub reading: Reading,
}

/// What a number says.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Reading {
    /// How it is now.
    Gauge(f64),
    /// How often something happened since the start.
    Count(u64),
    /// How often something happened since the start, and how long it took together.
    Time {
        /// How often.
        count: u64,
        /// How long, in microseconds.
        sum_us: u64,
    },
}

impl Vault {
    /// All of it.
    pub(crate) fn measures(&self) -> Vec<Measure> {
        let metrics = self.strongroom.metrics();
        let gauges = self.gauges().into_iter().map(|gauge| Measure {
            name: gauge.name.to_owned(),
            labels: gauge.labels,
            reading: Reading::Gauge(gauge.value),
        });
        let counters = metrics.counters().into_iter().map(|(name, labels, value)| Measure {
            name: name.to_owned(),
            labels,
            reading: Reading::Count(value),
        });
        let timings = metrics.timings().into_iter().map(|(name, labels, timing)| {
            let (name, labels) = shown_timing(name, labels);
            Measure { name, labels, reading: Reading::Time { count: timing.count(), sum_us: timing.sum_us() } }
        });
        gauges.chain(counters).chain(timings).collect()
    }
}
