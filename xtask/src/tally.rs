use std::fmt;
use std::ops::AddAssign;

/// How many checks and tests passed and failed. Adding up never turns a failure into a pass.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
}

impl Tally {
    /// One check; says why it failed.
    pub(crate) fn of_check(name: &str, result: anyhow::Result<()>) -> Self {
        let mut tally = Self::default();
        tally.check(name, result);
        tally
    }

    /// Counts one check; says why it failed.
    pub(crate) fn check(&mut self, name: &str, result: anyhow::Result<()>) {
        match result {
            Ok(()) => self.passed += 1,
            Err(error) => {
                self.failed += 1;
                println!("FAILED: {name}: {error:#}");
            }
        }
    }

    /// What a line of `cargo test` adds: `test result: ok. 12 passed; 0 failed; 1 ignored; ...`.
    pub(crate) fn of_cargo_line(line: &str) -> Option<Self> {
        let counts = line.strip_prefix("test result: ")?;
        let count = |word: &str| {
            let before = counts.split(&format!(" {word}")).next()?;
            before.rsplit([' ', ';']).next()?.parse().ok()
        };
        Some(Self { passed: count("passed")?, failed: count("failed")? })
    }

    /// What a JUnit report of pytest says in its first `<testsuite>`. A skipped test counts as neither.
    pub(crate) fn of_junit(report: &str) -> Option<Self> {
        let suite = report.split("<testsuite ").nth(1)?.split('>').next()?;
        let count =
            |name: &str| -> Option<u64> { suite.split(&format!("{name}=\"")).nth(1)?.split('"').next()?.parse().ok() };
        let failed = count("failures")? + count("errors")?;
        Some(Self { passed: count("tests")?.saturating_sub(failed + count("skipped")?), failed })
    }

    /// Whether something ran and nothing failed.
    pub(crate) fn is_good(self) -> bool {
        self.failed == 0 && self.passed > 0
    }
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed", self.passed, self.failed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_cargo_test_are_counted() {
        let line = "test result: FAILED. 12 passed; 3 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.52s";
        assert_eq!(Tally::of_cargo_line(line), Some(Tally { passed: 12, failed: 3 }));
        assert_eq!(Tally::of_cargo_line("test passed ... ok"), None);
    }

    #[test]
    fn a_report_of_pytest_is_counted_and_an_error_in_a_fixture_is_a_failure() {
        let report = r#"<?xml version="1.0"?><testsuites name="pytest tests"><testsuite name="pytest" errors="1" failures="2" skipped="1" tests="10" time="3.1"><testcase name="a"/></testsuite></testsuites>"#;
        assert_eq!(Tally::of_junit(report), Some(Tally { passed: 6, failed: 3 }));
        assert_eq!(Tally::of_junit(""), None);
    }

    #[test]
    fn a_run_without_a_single_test_is_no_success() {
        assert!(!Tally::default().is_good());
        assert_eq!(Tally { passed: 2, failed: 1 }.to_string(), "2 passed, 1 failed");
    }
}
