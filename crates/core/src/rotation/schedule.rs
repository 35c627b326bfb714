//! When a secret rotates: AWS's `rate(...)` and `cron(...)` with a window, in UTC (Secrets Manager User Guide,
//! "Rotation schedules"), and `rate(N minutes)`, which AWS does not have.

use crate::CoreError;
use croner::parser::{CronParser, Seconds, Year};
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};
use std::time::Duration;
use strongroom_model::Timestamp;

const MINUTE: u64 = 60;
const HOUR: u64 = 3_600;
const DAY: u64 = 86_400;
/// A moment to look for the first time from: 2026 began.
const START: Timestamp = Timestamp::from_secs(1_767_225_600);
/// A rotation more often than this would keep readers from ever having the value in force.
const SHORTEST: u64 = 5 * MINUTE;
/// Of a cron schedule that much is looked at to see how far apart its times are: every day of a year.
const LOOKED_AT: Duration = Duration::from_secs(370 * DAY);
/// Days that are looked at for one that is so many before the last of its month: more than five years.
const MOST_DAYS: usize = 2_000;

const TOO_OFTEN: &str = "a secret rotates every five minutes at most";

/// A schedule with its window.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Schedule {
    /// As it was written.
    text: String,
    /// Hours of the window in which a rotation may begin; `None`: it may begin late.
    window: Option<u32>,
}

/// A schedule, taken apart.
enum Rule {
    /// That many seconds after the last rotation.
    Rate(u64),
    /// That many days after the last rotation, at midnight.
    Days(u64),
    /// Fields of crontab: minute, hour, day, month, day of the week from 1 for Sunday.
    Cron(Cron),
}

/// Fields as the library reads them, and what it does not know.
struct Cron {
    line: String,
    /// Only on the day that is so many days before the month's last one (`L-3`).
    before_last: Option<i8>,
}

impl Schedule {
    /// Reads `rate(10 days)`, `rate(4 hours)`, `rate(30 minutes)` or `cron(0 8 1 * ? *)`, and a window such as `3h`. A
    /// schedule that never comes is refused too.
    pub fn parse(text: &str, window: Option<&str>) -> Result<Self, CoreError> {
        let window = window.filter(|text| !text.is_empty()).map(parse_window).transpose()?;
        let schedule = Self { text: text.trim().to_owned(), window };
        let first = schedule.next(START)?;
        if schedule.comes_within(Duration::from_secs(SHORTEST))? {
            return Err(wrong(TOO_OFTEN));
        }
        schedule.check_window(first)?;
        Ok(schedule)
    }

    /// Refuses a window that reaches into the next one, or into the next day (Secrets Manager User Guide, "Rotation
    /// windows").
    fn check_window(&self, first: Timestamp) -> Result<(), CoreError> {
        let Some(hours) = self.window else { return Ok(()) };
        let span = u64::from(hours) * HOUR;
        let bad = |problem: String| Err(CoreError::Field { field: "window".to_owned(), problem });
        let too_long = |seconds: u64| {
            bad(format!("is {hours}h long, and the schedule comes again after {} min; give it less", seconds / MINUTE))
        };
        match self.rule()? {
            Rule::Days(_) => Ok(()),
            Rule::Rate(seconds) if span > seconds => too_long(seconds),
            Rule::Rate(_) => Ok(()),
            Rule::Cron(cron) => {
                // One day that it comes on is like the others: the day only says whether, not when.
                let (mut at, day) = (first, first.secs() / DAY);
                loop {
                    let next = after(&cron, at)?;
                    if at.secs() % DAY + span > DAY {
                        let left = (DAY - at.secs() % DAY) / HOUR;
                        return bad(format!(
                            "is {hours}h long, and the UTC day ends {left}h after it begins; give it less"
                        ));
                    }
                    if at.secs() + span > next.secs() {
                        return too_long(next.secs() - at.secs());
                    }
                    if next.secs() / DAY != day {
                        return Ok(());
                    }
                    at = next;
                }
            }
        }
    }

    /// As it was written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Hours of its window.
    pub fn window(&self) -> Option<u32> {
        self.window
    }

    /// The first time to rotate after the last one.
    pub fn next(&self, last: Timestamp) -> Result<Timestamp, CoreError> {
        match self.rule()? {
            Rule::Rate(seconds) => Ok(last.plus(Duration::from_secs(seconds))),
            Rule::Days(days) => Ok(Timestamp::from_secs((last.secs() / DAY + days) * DAY)),
            Rule::Cron(cron) => after(&cron, last),
        }
    }

    /// When to rotate instead, if the time that was planned has passed by with its whole window.
    pub fn missed(&self, planned: Timestamp, now: Timestamp) -> Result<Option<Timestamp>, CoreError> {
        let Some(hours) = self.window else { return Ok(None) };
        if now <= planned.plus(Duration::from_secs(u64::from(hours) * HOUR)) {
            return Ok(None);
        }
        match self.rule()? {
            Rule::Cron(cron) => after(&cron, now).map(Some),
            Rule::Days(_) => Ok(Some(Timestamp::from_secs((now.secs() / DAY + 1) * DAY))),
            Rule::Rate(_) => Ok(None),
        }
    }

    fn rule(&self) -> Result<Rule, CoreError> {
        let inner = |name: &str| self.text.strip_prefix(name).and_then(|rest| rest.strip_suffix(')'));
        if let Some(rate) = inner("rate(") {
            return parse_rate(rate);
        }
        let fields: Vec<&str> =
            inner("cron(").ok_or_else(|| wrong("it is neither rate(...) nor cron(...)"))?.split_whitespace().collect();
        let [minute, hour, day, month, weekday, "*"] = fields.as_slice() else {
            return Err(wrong("cron(...) has six fields, and the last one, the year, is *"));
        };
        let before_last = day.strip_prefix("L-").map(|days| {
            let days = days.parse::<i8>().ok().filter(|days| (0..=30).contains(days));
            days.ok_or_else(|| wrong("the days before the month's last one, as in L-3, are 0 to 30"))
        });
        let before_last = before_last.transpose()?;
        let day = if before_last.is_some() { "*" } else { *day };
        // The last day of the week is Saturday (Secrets Manager User Guide, "Cron expressions").
        let weekday = if weekday.eq_ignore_ascii_case("L") { "7" } else { *weekday };
        Ok(Rule::Cron(Cron { line: format!("{minute} {hour} {day} {month} {weekday}"), before_last }))
    }

    /// Whether it comes again sooner than after that time, once or always.
    pub fn comes_within(&self, span: Duration) -> Result<bool, CoreError> {
        match self.rule()? {
            Rule::Rate(seconds) => Ok(seconds < span.as_secs()),
            Rule::Days(days) => Ok(days * DAY < span.as_secs()),
            Rule::Cron(cron) => {
                let mut at = after(&cron, START)?;
                let end = at.plus(LOOKED_AT);
                while at < end {
                    let Ok(next) = after(&cron, at) else { return Ok(false) };
                    if next.since(at) < span {
                        return Ok(true);
                    }
                    at = next;
                }
                Ok(false)
            }
        }
    }
}

/// The next time of a cron schedule behind a moment.
fn after(cron: &Cron, moment: Timestamp) -> Result<Timestamp, CoreError> {
    let parser = || {
        CronParser::builder()
            .seconds(Seconds::Disallowed)
            .year(Year::Disallowed)
            // AWS counts days of the week from 1, Sunday.
            .alternative_weekdays(true)
            .dom_and_dow(true)
            // AWS's `START/STEP`, and `/STEP` for all of them.
            .sloppy_ranges(true)
            .build()
    };
    let parsed =
        parser().parse(&cron.line).map_err(|_| wrong(&bad_field(&cron.line, &|line| parser().parse(line).is_ok())))?;
    let never = || wrong("no such day comes, as the 31st of February");
    let secs = i64::try_from(moment.secs()).map_err(|_| never())?;
    let mut at = jiff::Timestamp::from_second(secs).map_err(|_| never())?.to_zoned(TimeZone::UTC);
    // Each month has such a day, or February alone has none: a year of minutes would be looked through in vain.
    for _ in 0..MOST_DAYS {
        let next = parsed.find_next_occurrence(&at, false).map_err(|_| never())?;
        let fits = cron.before_last.is_none_or(|days| next.day() == next.days_in_month() - days);
        if fits {
            return u64::try_from(next.timestamp().as_second()).map(Timestamp::from_secs).map_err(|_| never());
        }
        // Nothing else of this day fits.
        at = next.end_of_day().map_err(|_| never())?;
    }
    Err(never())
}

/// Says which field cannot be read: each alone, among others that take everything.
fn bad_field(line: &str, reads: &dyn Fn(&str) -> bool) -> String {
    let names = [
        ("minute", "0 to 59"),
        ("hour", "0 to 23"),
        ("day of the month", "1 to 31, L, L-3, 15W or ?"),
        ("month", "1 to 12 or JAN to DEC"),
        ("day of the week", "1 to 7 or SUN to SAT, L, 6L, 2#1 or ?"),
    ];
    let fields = line.split(' ').zip(names).enumerate();
    let mut bad = fields.filter(|(at, (field, _))| {
        let mut alone = ["*"; 5];
        alone.iter_mut().skip(*at).take(1).for_each(|place| *place = field);
        !reads(&alone.join(" "))
    });
    match bad.next() {
        Some((_, (field, (name, takes)))) => {
            format!("the {name} cannot be `{field}`; it is {takes}, in lists, ranges and steps")
        }
        None => "its fields cannot be read together".to_owned(),
    }
}

fn parse_rate(text: &str) -> Result<Rule, CoreError> {
    let (number, unit) = text.split_once(' ').ok_or_else(|| wrong("rate(...) is a number and a unit"))?;
    let number: u64 = number.parse().map_err(|_| wrong("rate(...) begins with a number"))?;
    let rule = match unit {
        "minute" | "minutes" => Rule::Rate(number.saturating_mul(MINUTE)),
        "hour" | "hours" => Rule::Rate(number.saturating_mul(HOUR)),
        "day" | "days" => Rule::Days(number),
        _ => return Err(wrong("the unit of rate(...) is minutes, hours or days")),
    };
    match rule {
        Rule::Rate(seconds) if seconds < SHORTEST => Err(wrong(TOO_OFTEN)),
        Rule::Days(0) => Err(wrong(TOO_OFTEN)),
        Rule::Rate(seconds) if seconds > 1_000 * DAY => Err(wrong("a secret rotates every 1000 days at least")),
        Rule::Days(days) if days > 1_000 => Err(wrong("a secret rotates every 1000 days at least")),
        rule => Ok(rule),
    }
}

fn parse_window(text: &str) -> Result<u32, CoreError> {
    let hours = text.strip_suffix('h').and_then(|hours| hours.parse::<u32>().ok());
    let problem = || CoreError::Field { field: "window".to_owned(), problem: "must be 1h to 24h".to_owned() };
    hours.filter(|hours| (1..=24).contains(hours)).ok_or_else(problem)
}

fn wrong(why: &str) -> CoreError {
    CoreError::Invalid(format!(
        "the schedule cannot be used: {why}; write rate(10 days), rate(4 hours) or cron(0 8 1 * ? *), in UTC"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        Timestamp::parse(text).unwrap()
    }

    fn next(schedule: &str, last: &str) -> Timestamp {
        Schedule::parse(schedule, None).unwrap().next(at(last)).unwrap()
    }

    #[test]
    fn schedules_are_read_as_the_manual_of_aws_explains_them() {
        for (schedule, after, due) in [
            ("rate(4 hours)", "2026-11-21T10:30:00Z", "2026-11-21T14:30:00Z"),
            ("rate(10 days)", "2026-11-21T10:30:00Z", "2026-12-01T00:00:00Z"),
            ("cron(0 8 * * ? *)", "2026-11-21T10:30:00Z", "2026-11-22T08:00:00Z"),
            ("cron(0 8 1 * ? *)", "2026-11-21T10:30:00Z", "2026-12-01T08:00:00Z"),
            ("cron(0 /8 * * ? *)", "2026-11-21T10:30:00Z", "2026-11-21T16:00:00Z"),
            ("cron(0 8/8 * * ? *)", "2026-11-21T16:30:00Z", "2026-11-22T08:00:00Z"),
            ("cron(0 0/4 * * ? *)", "2026-11-21T20:30:00Z", "2026-11-22T00:00:00Z"),
            ("cron(0 2/10 * * ? *)", "2026-11-21T10:30:00Z", "2026-11-21T12:00:00Z"),
            ("cron(0 8 1/15 * ? *)", "2026-11-21T10:30:00Z", "2026-12-01T08:00:00Z"),
            ("cron(0 8 1 1/3 ? *)", "2026-11-21T10:30:00Z", "2027-01-01T08:00:00Z"),
            ("cron(0 8 ? * 2/2 *)", "2026-11-23T10:30:00Z", "2026-11-25T08:00:00Z"),
            ("cron(0 8 ? * MON/2 *)", "2026-11-27T10:30:00Z", "2026-11-30T08:00:00Z"),
            ("cron(0 18 ? * MON-FRI *)", "2026-11-21T10:30:00Z", "2026-11-23T18:00:00Z"),
            ("cron(0 1 ? * 1L *)", "2026-11-21T10:30:00Z", "2026-11-29T01:00:00Z"),
            ("cron(0 8 ? * 1#1 *)", "2026-11-21T10:30:00Z", "2026-12-06T08:00:00Z"),
            ("cron(0 8 ? * L *)", "2026-11-21T10:30:00Z", "2026-11-28T08:00:00Z"),
            ("cron(0 8 ? * 7L *)", "2026-11-29T10:30:00Z", "2026-12-26T08:00:00Z"),
            ("cron(0 8 L-3 * ? *)", "2026-11-21T10:30:00Z", "2026-11-27T08:00:00Z"),
            ("cron(0 8,20 L-3 2 ? *)", "2026-11-27T08:00:00Z", "2027-02-25T08:00:00Z"),
            ("cron(0 8,20 L-3 2 ? *)", "2027-02-25T08:00:00Z", "2027-02-25T20:00:00Z"),
            ("cron(0 8 L-30 * ? *)", "2026-11-21T10:30:00Z", "2026-12-01T08:00:00Z"),
            ("cron(0 17 L * ? *)", "2026-11-21T10:30:00Z", "2026-11-30T17:00:00Z"),
            ("cron(0 0 1 1,4,7,10 ? *)", "2026-11-21T10:30:00Z", "2027-01-01T00:00:00Z"),
        ] {
            assert_eq!(next(schedule, after), at(due), "{schedule}");
        }
    }

    #[test]
    fn what_is_no_schedule_is_refused_and_said() {
        for bad in [
            "",
            "daily",
            "rate(1 minute)",
            "rate(0 days)",
            "rate(x hours)",
            "rate(2000 days)",
            "rate(5 weeks)",
            "cron(0 8 * * ?)",
            "cron(0 8 1 * ? 2026)",
            "cron(0 25 * * ? *)",
            "cron(0 24/2 * * ? *)",
            "cron(0 8/0 * * ? *)",
            "cron(0 8/ * * ? *)",
            "cron(0 0 31 2 ? *)",
        ] {
            let error = Schedule::parse(bad, None).unwrap_err().to_string();
            assert!(error.contains("schedule"), "{bad}: {error}");
        }
        assert!(Schedule::parse("rate(4 hours)", Some("25h")).is_err());
        // What is wrong is said in words of ours, with the field.
        for (bad, said) in [
            ("cron(0 0 31 2 ? *)", "no such day comes"),
            ("cron(0 8 L-30 2 ? *)", "no such day comes"),
            ("cron(0 8 L-31 * ? *)", "0 to 30"),
            ("cron(0 8 L-x * ? *)", "0 to 30"),
            ("cron(0 25 * * ? *)", "the hour cannot be `25`"),
            ("cron(0 8 32 * ? *)", "the day of the month cannot be `32`"),
            ("cron(0 8 ? * FOO *)", "the day of the week cannot be `FOO`"),
            ("cron(0 8 1 13 ? *)", "the month cannot be `13`"),
            ("cron(* * * * ? *)", "every five minutes"),
            ("cron(0,3 8 * * ? *)", "every five minutes"),
        ] {
            let error = Schedule::parse(bad, None).unwrap_err().to_string();
            assert!(error.contains(said), "{bad}: {error}");
        }
    }

    #[test]
    fn how_often_a_schedule_comes_is_told_from_its_times() {
        let within = |text: &str, hours: u64| {
            Schedule::parse(text, None).unwrap().comes_within(Duration::from_secs(hours * HOUR)).unwrap()
        };
        for (text, hours, is_so) in [
            ("cron(0 0/1 * * ? *)", 4, true),
            ("cron(0 0/4 * * ? *)", 4, false),
            ("cron(0 0,22 * * ? *)", 4, true),
            ("cron(0 0,22 1 * ? *)", 4, false),
            ("cron(0 0,22 1,2 6 ? *)", 4, true),
            ("cron(0 8 * * ? *)", 4, false),
            ("cron(0 8 29 2 MON *)", 4, false),
            ("rate(3 hours)", 4, true),
            ("rate(1 day)", 24, false),
        ] {
            assert_eq!(within(text, hours), is_so, "{text}");
        }
    }

    #[test]
    fn a_window_ends_with_its_day_and_before_the_next_begins() {
        for (schedule, good, bad) in [
            ("cron(0 8 * * ? *)", "16h", "17h"),
            ("cron(0 22 1 * ? *)", "2h", "3h"),
            ("cron(0 2 ? * MON *)", "22h", "23h"),
            ("cron(0 /8 * * ? *)", "8h", "9h"),
            ("cron(0 1,3,20 * * ? *)", "2h", "3h"),
            ("cron(0 20,23 L * ? *)", "1h", "2h"),
            ("rate(4 hours)", "4h", "5h"),
        ] {
            assert!(Schedule::parse(schedule, Some(good)).is_ok(), "{schedule} {good}");
            let error = Schedule::parse(schedule, Some(bad)).unwrap_err().to_string();
            assert!(error.contains("`window`") && error.contains("give it less"), "{schedule} {bad}: {error}");
        }
        assert!(Schedule::parse("rate(1 day)", Some("24h")).is_ok());
    }

    #[test]
    fn a_window_that_passed_by_is_left_out_and_without_one_it_is_late() {
        let planned = at("2026-11-21T08:00:00Z");
        let strict = Schedule::parse("cron(0 8 * * ? *)", Some("2h")).unwrap();
        assert_eq!(strict.missed(planned, at("2026-11-21T10:00:00Z")).unwrap(), None);
        assert_eq!(strict.missed(planned, at("2026-11-21T10:00:01Z")).unwrap(), Some(at("2026-11-22T08:00:00Z")));
        let late = Schedule::parse("cron(0 8 * * ? *)", None).unwrap();
        assert_eq!(late.missed(planned, at("2026-11-25T10:00:01Z")).unwrap(), None);
    }
}
