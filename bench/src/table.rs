use crate::load::Reached;
use std::fmt;
use std::time::Duration;

/// The figures, each with its limit where there is one.
pub(crate) struct Table {
    notes: Vec<String>,
    rows: Vec<[String; 6]>,
}

impl Table {
    pub(crate) fn new() -> Self {
        let head = ["what", "figure", "p50", "p99", "limit", "share of it"];
        Self { notes: Vec::new(), rows: vec![head.map(str::to_owned)] }
    }

    pub(crate) fn note(&mut self, note: &str) {
        self.notes.push(note.to_owned());
    }

    /// A rate, beside the rate that could be reached at best.
    pub(crate) fn rate(&mut self, what: &str, reached: &Reached, limit: Option<(&str, f64)>) {
        let (limit, share) = match limit {
            Some((name, limit)) => (format!("{limit:.0}/s {name}"), format!("{:.2}", reached.per_second / limit)),
            None => Default::default(),
        };
        let row = [
            what.to_owned(),
            format!("{:.0}/s", reached.per_second),
            millis(reached.p50),
            millis(reached.p99),
            limit,
            share,
        ];
        eprint_row(&row);
        eprint_row(&["  processor time:", &reached.processor, "", "", "", ""].map(str::to_owned));
        self.rows.push(row);
    }

    /// A rate without times, beside the rate that could be reached at best.
    pub(crate) fn share(&mut self, what: &str, per_second: f64, (name, limit): (&str, f64)) {
        let [limit_cell, share] = [format!("{limit:.0}/s {name}"), format!("{:.2}", per_second / limit)];
        let row = [what.to_owned(), format!("{per_second:.0}/s"), String::new(), String::new(), limit_cell, share];
        eprint_row(&row);
        self.rows.push(row);
    }

    /// Spans of the same thing: the longest, and what half and 99 of 100 of them do not exceed.
    pub(crate) fn times(&mut self, what: &str, times: &mut [Duration], limit: Option<&str>) {
        times.sort_unstable();
        let rank = |percent: usize| (times.len() * percent).div_ceil(100).saturating_sub(1);
        let at = |percent: usize| times.get(rank(percent)).copied().unwrap_or_default();
        let longest = format!("{} at most", millis(at(100)));
        let limit = limit.unwrap_or_default().to_owned();
        let row = [what.to_owned(), longest, millis(at(50)), millis(at(99)), limit, String::new()];
        eprint_row(&row);
        self.rows.push(row);
    }

    /// A plain figure.
    pub(crate) fn figure(&mut self, what: &str, figure: f64, unit: &str, limit: Option<&str>) {
        let limit = limit.unwrap_or_default().to_owned();
        let row = [what.to_owned(), format!("{figure:.1} {unit}"), String::new(), String::new(), limit, String::new()];
        eprint_row(&row);
        self.rows.push(row);
    }
}

/// Progress, as figures come in.
#[expect(clippy::print_stderr, reason = "progress of a command that runs for a minute")]
fn eprint_row(row: &[String; 6]) {
    eprintln!("{}", row.join("  "));
}

fn millis(span: Duration) -> String {
    format!("{:.2} ms", span.as_secs_f64() * 1_000.0)
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width =
            |column: usize| self.rows.iter().filter_map(|row| row.get(column)).map(String::len).max().unwrap_or(0);
        for note in &self.notes {
            writeln!(f, "{note}")?;
        }
        for row in &self.rows {
            let cells: Vec<String> = row.iter().enumerate().map(|(i, cell)| format!("{cell:<0$}", width(i))).collect();
            writeln!(f, "{}", cells.join("  ").trim_end())?;
        }
        Ok(())
    }
}
