use crate::step::{cargo, run};
use std::path::Path;

/// Builds the server and its benchmark as they are released, and measures.
pub(crate) fn run_bench(root: &Path, options: &[&str]) -> anyhow::Result<()> {
    run(cargo(root).args(["build", "--release", "--package", "strongroom", "--package", "strongroom-bench"]))?;
    run(cargo(root).args(["run", "--quiet", "--release", "--package", "strongroom-bench", "--"]).args(options))
}
