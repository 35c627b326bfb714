use croner::parser::{CronParser, Seconds, Year};
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use std::time::Duration;
use strongroom_core::{CoreError, Fields};
use strongroom_model::{Timestamp, Ttl};

/// Vault's bounds.
const SHORTEST_PERIOD: u64 = 5;
const SHORTEST_WINDOW: u64 = 3_600;

/// When the password of a static role is changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Schedule {
    /// That long after the last change.
    Period(Ttl),
    /// At the times of a line of crontab, in UTC, and no later after each than the window, unless that is zero.
    Cron { line: String, window: Ttl },
}

impl Schedule {
    /// From what was sent; `None` when nothing about it was.
    pub(super) fn read(sent: &Fields, kept: Option<&Schedule>) -> Result<Option<Self>, CoreError> {
        let period = sent.ttl("rotation_period")?.filter(|period| !period.is_zero());
        let line = sent.text("rotation_schedule")?.filter(|line| !line.trim().is_empty());
        let window = sent.ttl("rotation_window")?.filter(|window| !window.is_zero());
        if window.is_some_and(|window| window.secs() < SHORTEST_WINDOW) {
            return Err(CoreError::Invalid("rotation_window must be 3600 seconds or more".to_owned()));
        }
        match (period, line, window, kept) {
            (Some(_), Some(_), ..) => Err(CoreError::Invalid(
                "rotation_period and rotation_schedule cannot both be given: send one of them".to_owned(),
            )),
            (Some(_), None, Some(_), _) | (None, None, Some(_), Some(Schedule::Period(_)) | None) => Err(
                CoreError::Invalid("rotation_window goes with rotation_schedule, not with rotation_period".to_owned()),
            ),
            (Some(period), None, None, _) if period.secs() < SHORTEST_PERIOD => {
                Err(CoreError::Invalid("rotation_period must be 5 seconds or more".to_owned()))
            }
            (Some(period), None, None, _) => Ok(Some(Schedule::Period(period))),
            (None, Some(line), window, kept) => {
                let kept = match kept {
                    Some(Schedule::Cron { window, .. }) => *window,
                    _ => Ttl::ZERO,
                };
                let schedule = Schedule::Cron { line, window: window.unwrap_or(kept) };
                // Refused now rather than when the time comes; and so is one that never comes.
                schedule.after(Timestamp::from_secs(1_767_225_600))?;
                Ok(Some(schedule))
            }
            (None, None, Some(window), Some(Schedule::Cron { line, .. })) => {
                Ok(Some(Schedule::Cron { line: line.clone(), window }))
            }
            (None, None, None, _) => Ok(None),
        }
    }

    /// The first time after that moment.
    pub(super) fn after(&self, moment: Timestamp) -> Result<Timestamp, CoreError> {
        let line = match self {
            Schedule::Period(period) => return Ok(moment.plus(period.0)),
            Schedule::Cron { line, .. } => line,
        };
        let wrong = |why: &dyn std::fmt::Display| {
            CoreError::Invalid(format!(
                "could not parse rotation_schedule: {why}; give five fields, as `0 3 * * SAT` for saturdays at 3 o'clock UTC"
            ))
        };
        let parser = CronParser::builder().seconds(Seconds::Disallowed).year(Year::Disallowed).build();
        let cron = parser.parse(line).map_err(|error| wrong(&error))?;
        let secs = i64::try_from(moment.secs()).map_err(|error| wrong(&error))?;
        let start = jiff::Timestamp::from_second(secs).map_err(|error| wrong(&error))?.to_zoned(TimeZone::UTC);
        let next = cron.find_next_occurrence(&start, false).map_err(|error| wrong(&error))?;
        u64::try_from(next.timestamp().as_second()).map(Timestamp::from_secs).map_err(|error| wrong(&error))
    }

    /// Whether a change that was planned for that time may still be made now.
    pub(super) fn allows(&self, planned: Timestamp, now: Timestamp) -> bool {
        match self {
            Schedule::Period(_) => true,
            Schedule::Cron { window, .. } => window.is_zero() || now <= planned.plus(window.0),
        }
    }

    /// The longest wait that it can ask for from now; a plan beyond that is from before the clock was turned back.
    pub(super) fn latest(&self, now: Timestamp) -> Result<Timestamp, CoreError> {
        self.after(now.plus(Duration::from_secs(1)))
    }

    /// Its fields as reading a role and its password answers.
    pub(super) fn show(&self, shown: &mut Map<String, Value>) {
        match self {
            Schedule::Period(period) => drop(shown.insert("rotation_period".to_owned(), json!(period.secs()))),
            Schedule::Cron { line, window } => {
                shown.insert("rotation_schedule".to_owned(), json!(line));
                shown.insert("rotation_window".to_owned(), json!(window.secs()));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(sent: Value) -> Result<Option<Schedule>, CoreError> {
        let Value::Object(map) = sent else { unreachable!() };
        Schedule::read(&Fields::new(map), None)
    }

    #[test]
    fn a_line_of_crontab_says_when_in_utc() {
        let schedule = read(json!({"rotation_schedule": "30 3 * * SAT", "rotation_window": "2h"})).unwrap().unwrap();
        let at = |text: &str| Timestamp::parse(text).unwrap();
        let first = schedule.after(at("2026-11-21T00:00:00Z")).unwrap();
        assert_eq!(first, at("2026-11-21T03:30:00Z"));
        assert_eq!(schedule.after(first).unwrap(), at("2026-11-28T03:30:00Z"));
        assert!(schedule.allows(first, at("2026-11-21T05:30:00Z")));
        assert!(!schedule.allows(first, at("2026-11-21T05:30:01Z")));
    }

    #[test]
    fn what_cannot_be_kept_is_refused_and_said() {
        for (sent, said) in [
            (json!({"rotation_period": "4s"}), "5 seconds"),
            (json!({"rotation_period": "1h", "rotation_schedule": "* * * * *"}), "both"),
            (json!({"rotation_period": "1h", "rotation_window": "1h"}), "goes with rotation_schedule"),
            (json!({"rotation_schedule": "* * * * *", "rotation_window": "59m"}), "3600"),
            (json!({"rotation_schedule": "* * * * * *"}), "could not parse"),
            (json!({"rotation_schedule": "61 * * * *"}), "could not parse"),
            (json!({"rotation_schedule": "0 0 31 2 *"}), "could not parse"),
            (json!({"rotation_schedule": "every day"}), "could not parse"),
        ] {
            let error = read(sent.clone()).unwrap_err().to_string();
            assert!(error.contains(said), "{sent}: {error}");
        }
        assert_eq!(read(json!({})).unwrap(), None);
    }
}
