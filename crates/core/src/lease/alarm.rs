//! Tells people of credentials that outlive their leases: once when that has lasted for a minute, and once when it is
//! over. What is known is forgotten with the process, so after a start it is told again.
//!
//! Does not try anything again: lanes do.

use super::Leases;
use crate::CoreError;
use crate::webhook::{Notice, Severity, Topic, Webhooks};
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use strongroom_model::{MountId, Timestamp};

/// How long it must last: short outages end by themselves.
const PATIENCE: Duration = Duration::from_secs(60);

/// What keeps leases from being ended.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Trouble {
    /// An outside system cannot be reached.
    Away(MountId, String),
    /// Leases fail by themselves.
    Stuck,
}

/// What is wrong at present.
#[derive(Default)]
pub(super) struct Alarms(Mutex<HashMap<Trouble, Since>>);

struct Since {
    at: Timestamp,
    told: bool,
}

/// What is to be told.
#[derive(Debug, PartialEq, Eq)]
struct Told {
    trouble: Trouble,
    is_over: bool,
}

impl Alarms {
    /// Takes in what is wrong now; gives what people do not know yet.
    fn judge(&self, now: Timestamp, present: &[Trouble]) -> Vec<Told> {
        let (mut known, mut news) = (self.0.lock().unwrap_or_else(PoisonError::into_inner), Vec::new());
        known.retain(|trouble, since| {
            let stays = present.contains(trouble);
            if !stays && since.told {
                news.push(Told { trouble: trouble.clone(), is_over: true });
            }
            stays
        });
        for trouble in present {
            let since = known.entry(trouble.clone()).or_insert(Since { at: now, told: false });
            // A clock that went back must not put it off for longer.
            since.at = since.at.min(now);
            if !since.told && now.since(since.at) >= PATIENCE {
                since.told = true;
                news.push(Told { trouble: trouble.clone(), is_over: false });
            }
        }
        news
    }
}

impl Leases {
    /// Tells what there is to tell. For housekeeping, every second; reads no lease.
    pub(super) async fn tell_of_trouble(&self, webhooks: &Webhooks) -> Result<(), CoreError> {
        let lanes = self.book.lanes.all().into_iter().filter(|lane| lane.outage().is_some());
        let mut present: Vec<Trouble> = lanes.map(|lane| Trouble::Away(lane.mount, lane.name.clone())).collect();
        present.extend((self.gauges().failing > 0).then_some(Trouble::Stuck));
        for told in self.alarms.judge(self.book.now(), &present) {
            webhooks.tell(self.notice(&told)).await?;
        }
        Ok(())
    }

    fn notice(&self, Told { trouble, is_over }: &Told) -> Notice {
        let severity = if *is_over { Severity::Info } else { Severity::Warning };
        match trouble {
            Trouble::Away(mount, name) => {
                let place = self.mounts.table().known(*mount).map(|mount| mount.path.with_slash()).unwrap_or_default();
                let why = self.book.lanes.find(*mount, name).and_then(|lane| lane.outage()).map(|outage| outage.error);
                let (event, text) = match is_over {
                    true => ("lease-system-back", format!("`{name}` of {place} can be reached again")),
                    false => (
                        "lease-system-away",
                        format!(
                            "`{name}` of {place} could not be reached for a minute, so leases that are over cannot be ended \
                             there ({}); it is tried again until that works",
                            why.unwrap_or_default()
                        ),
                    ),
                };
                Notice::new(Topic::Server, event, severity, text).at(place)
            }
            Trouble::Stuck => {
                let count = self.gauges().failing;
                let (event, text) = match is_over {
                    true => ("lease-failing-over", "no lease fails to be ended any more".to_owned()),
                    false => (
                        "lease-failing",
                        format!(
                            "{count} leases could not be ended for a minute, and their credentials may still be there: \
                             `lease list -failing` has the reasons"
                        ),
                    ),
                };
                Notice::new(Topic::Server, event, severity, text).with("leases", count.to_string())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trouble_is_told_once_when_it_lasts_and_once_when_it_is_over() {
        let alarms = Alarms::default();
        let away = Trouble::Away(MountId::from_bytes([1; 16]), "pg".to_owned());
        let at = |seconds: u64| Timestamp::from_secs(1_000 + seconds);
        assert!(alarms.judge(at(0), std::slice::from_ref(&away)).is_empty());
        // Too short for anybody to hear of it.
        assert!(alarms.judge(at(59), &[]).is_empty());
        let both = [away.clone(), Trouble::Stuck];
        assert!(alarms.judge(at(100), &both).is_empty());
        assert_eq!(alarms.judge(at(160), &both).len(), 2);
        assert!(alarms.judge(at(1_000), &both).is_empty());
        let over = alarms.judge(at(1_001), &[Trouble::Stuck]);
        assert_eq!(over, [Told { trouble: away, is_over: true }]);
        assert!(alarms.judge(at(1_002), &[Trouble::Stuck]).is_empty());
    }
}
