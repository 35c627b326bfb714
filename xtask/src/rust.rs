use crate::step;
use crate::tally::Tally;
use std::path::Path;

/// Unit, integration and documentation tests of every crate.
pub(crate) fn run(root: &Path) -> Tally {
    let mut tally = Tally::default();
    let mut command = step::cargo(root);
    command.args(["test", "--workspace", "--no-fail-fast"]);
    let result = step::run_lines(&mut command, |line| {
        if let Some(counts) = Tally::of_cargo_line(line) {
            tally += counts;
        }
    });
    // Failed tests are counted already; anything else (it does not compile, a test program died) is one failure.
    if tally.failed == 0 {
        tally.check("cargo test", result);
    }
    tally
}
