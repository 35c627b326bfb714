use crate::step;
use crate::tally::Tally;
use std::path::Path;

/// How long a run of all tests tries hostile input, in seconds, for all targets together.
const IN_TESTS: &str = "15";

/// The fuzz targets with options of the caller's own.
pub(crate) fn run(root: &Path, options: &[&str]) -> Tally {
    let mut tally = Tally::default();
    let mut command = step::cargo(root);
    command.args(["run", "--quiet", "--package", "strongroom-fuzz", "--"]).args(options);
    let result = step::run_lines(&mut command, |line| {
        if line.starts_with("fuzz ok: ") {
            tally.passed += 1;
        } else if line.starts_with("fuzz FAILED: ") {
            tally.failed += 1;
        }
    });
    if tally.failed == 0 {
        tally.check("fuzz", result);
    }
    tally
}

/// The fuzz targets for a bounded time, each time from the same seed: a failure can be repeated.
pub(crate) fn run_briefly(root: &Path) -> Tally {
    run(root, &["--seconds", IN_TESTS])
}
