//! Times as people type them: a time of day with a date, a date, both, an instant with its offset, or a span ago; in UTC or
//! a named zone.

use super::error::CliError;
use jiff::civil::{Date, DateTime, Time};
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan as _};
use strongroom_model::Ttl;

/// What times are read against.
pub(crate) struct Reference {
    now: Timestamp,
    zone: TimeZone,
    date: Option<Date>,
}

impl Reference {
    /// For a zone's name (UTC when not given), the date of times of day (today when not given), and the present.
    pub(crate) fn new(zone: Option<&str>, date: Option<&str>, now: Timestamp) -> Result<Self, CliError> {
        let zone = match zone {
            None => TimeZone::UTC,
            Some(name) => TimeZone::get(name).map_err(|_| {
                CliError::usage(format!(
                    "-tz={name} is no zone that this system knows; write one as Europe/Berlin, or UTC"
                ))
            })?,
        };
        let wrong = |_| CliError::usage("flag -date wants a date, as 2026-04-10");
        let date = date.map(|text| text.trim().parse::<Date>().map_err(wrong)).transpose()?;
        Ok(Self { now, zone, date })
    }

    /// The beginning and the end of the date that was given.
    pub(crate) fn whole_day(&self) -> Result<Option<(String, String)>, CliError> {
        let Some(date) = self.date else { return Ok(None) };
        let next = date.tomorrow().map_err(|_| CliError::usage("flag -date is too late a date"))?;
        Ok(Some((self.instant(date.at(0, 0, 0, 0))?, self.instant(next.at(0, 0, 0, 0))?)))
    }

    /// An instant as it is read off in the zone; what is none stays as it is.
    pub(crate) fn shown(&self, text: &str) -> String {
        let Ok(instant) = text.parse::<Timestamp>() else { return text.to_owned() };
        let offset = self.zone.to_offset(instant);
        instant.display_with_offset(offset).to_string()
    }

    /// Reads a time; gives it in RFC 3339, in UTC.
    pub(crate) fn read(&self, flag: &str, text: &str) -> Result<String, CliError> {
        let text = text.trim();
        if let Ok(instant) = text.parse::<Timestamp>() {
            return Ok(instant.to_string());
        }
        if let Ok(moment) = text.parse::<DateTime>().or_else(|_| text.replace(' ', "T").parse()) {
            return self.instant(moment);
        }
        if let Ok(date) = text.parse::<Date>() {
            return self.instant(date.at(0, 0, 0, 0));
        }
        if text.contains(':')
            && let Ok(time) = text.parse::<Time>()
        {
            let date = self.date.unwrap_or_else(|| self.now.to_zoned(self.zone.clone()).date());
            return self.instant(date.to_datetime(time));
        }
        let wrong = || {
            CliError::usage(format!(
                "flag -{flag} wants a time: 14:00, 2026-04-10, 2026-04-10T14:00, 2026-04-10T14:00:00Z, or 2h for two hours ago"
            ))
        };
        // No time at all would be no time ago.
        if text.is_empty() {
            return Err(wrong());
        }
        let Ttl(ago) = Ttl::parse(text).map_err(|_| wrong())?;
        let seconds = i64::try_from(ago.as_secs()).map_err(|_| wrong())?;
        Ok(self.now.checked_sub(seconds.seconds()).map_err(|_| wrong())?.to_string())
    }

    fn instant(&self, moment: DateTime) -> Result<String, CliError> {
        let zoned = self.zone.to_ambiguous_zoned(moment).compatible();
        zoned.map(|zoned| zoned.timestamp().to_string()).map_err(|_| CliError::usage("that time is out of range"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(zone: Option<&str>, date: Option<&str>, text: &str) -> String {
        let now = "2026-11-21T12:00:00Z".parse().unwrap();
        let reference = Reference::new(zone, date, now).unwrap_or_else(|error| panic!("{error}"));
        reference.read("from", text).unwrap_or_else(|error| error.to_string())
    }

    #[test]
    fn times_are_shown_in_the_zone_with_its_offset() {
        let reference = Reference::new(Some("Europe/Berlin"), None, Timestamp::UNIX_EPOCH).unwrap_or_else(|_| panic!());
        for (given, shown) in [
            ("2026-04-10T14:00:00.25Z", "2026-04-10T16:00:00.25+02:00"),
            ("2026-01-10T23:30:00Z", "2026-01-11T00:30:00+01:00"),
            ("soon", "soon"),
        ] {
            assert_eq!(reference.shown(given), shown);
        }
    }

    #[test]
    fn times_are_read_as_people_write_them() {
        for (zone, date, text, instant) in [
            (None, Some("2026-04-10"), "14:00", "2026-04-10T14:00:00Z"),
            (None, None, "14:00", "2026-11-21T14:00:00Z"),
            (Some("Europe/Berlin"), Some("2026-04-10"), "14:00", "2026-04-10T12:00:00Z"),
            (Some("Europe/Berlin"), None, "2026-01-10", "2026-01-09T23:00:00Z"),
            (None, None, "2026-04-10 14:00", "2026-04-10T14:00:00Z"),
            (Some("Asia/Tokyo"), None, "2026-04-10T14:00:00+02:00", "2026-04-10T12:00:00Z"),
            (None, None, "2h", "2026-11-21T10:00:00Z"),
        ] {
            assert_eq!(read(zone, date, text), instant, "{text}");
        }
        for none in ["noon", "", " "] {
            assert!(read(None, None, none).contains("wants a time"), "{none:?}");
        }
    }
}
