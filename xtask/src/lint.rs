use crate::tally::Tally;
use crate::{ban, machine, step};
use std::path::Path;

/// Layout, lints and dependencies.
pub(crate) fn run(root: &Path) -> Tally {
    let mut tally = Tally::default();
    tally.check("rustfmt and clippy", machine::install_components());
    tally.check("dependencies", ban::check(root));
    tally.check("layout", step::run(step::cargo(root).args(["fmt", "--all", "--check"])));
    let clippy = ["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"];
    tally.check("lints", step::run(step::cargo(root).args(clippy)));
    tally
}
