//! Compares what the workspace is built from with the bans in `deny.toml`. That file is cargo-deny's, which judges
//! licences and advisories too; this needs nothing installed, so that the bans at least are checked on every run.
//!
//! Looks at the resolved graph for all platforms and not at names in `Cargo.lock`: the lock also lists optional
//! dependencies that nobody switched on, such as `ring` under rustls-webpki.

use crate::step;
use anyhow::Context;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// Fails when a banned crate is reached, or when `Cargo.lock` is not in step with the manifests.
pub(crate) fn check(root: &Path) -> anyhow::Result<()> {
    let path = root.join("deny.toml");
    let text = fs::read_to_string(&path).with_context(|| format!("{} cannot be read", path.display()))?;
    let banned = banned(&text);
    anyhow::ensure!(!banned.is_empty(), "deny.toml bans nothing: keep `deny = [` with one `{{ crate = ... }}` a line");
    let mut tree = step::cargo(root);
    tree.args(["tree", "--workspace", "--locked", "--all-features", "--target", "all", "--edges", "all"]);
    tree.args(["--prefix", "none", "--format", "{p}"]);
    let used = names(&step::output(&mut tree)?);
    let found: Vec<&str> = banned.iter().filter(|name| used.contains(*name)).map(String::as_str).collect();
    let list = found.join(", ");
    anyhow::ensure!(
        found.is_empty(),
        "deny.toml bans {list}; see why there, and who brings it with `cargo tree -i NAME --target all`"
    );
    println!("dependencies: {} crates, none of the {} banned ones", used.len(), banned.len());
    Ok(())
}

/// The crates under `deny = [` in `[bans]`, one table a line.
fn banned(deny: &str) -> BTreeSet<String> {
    let lines = deny.lines().map(str::trim);
    let section = lines.skip_while(|line| *line != "[bans]").skip(1).take_while(|line| !line.starts_with('['));
    let list = section.skip_while(|line| !line.starts_with("deny")).take_while(|line| *line != "]");
    list.filter_map(|line| {
        let name = line.strip_prefix("{ crate = \"")?.split('"').next()?;
        // A version may follow the name.
        name.split(['@', ':']).next().map(str::to_owned)
    })
    .collect()
}

/// The names in `cargo tree --prefix none --format {p}`: `ring v0.17.14`.
fn names(tree: &str) -> BTreeSet<String> {
    tree.lines().filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const DENY: &str = r#"
[licenses]
allow = ["MIT"]
[bans]
multiple-versions = "warn"
deny = [
    # A comment.
    { crate = "ring", reason = "one provider" },
    { crate = "rsa@0.9", use-instead = "aws-lc-rs" },
]
[sources]
deny = [
    { crate = "not-this" },
]
"#;

    #[test]
    fn bans_are_read_from_their_section_only() {
        assert_eq!(banned(DENY).into_iter().collect::<Vec<_>>(), ["ring", "rsa"]);
    }

    #[test]
    fn this_workspace_bans_what_it_says_it_bans() {
        let banned = banned(include_str!("../../deny.toml"));
        for name in ["ring", "openssl", "openssl-sys", "native-tls", "rsa"] {
            assert!(banned.contains(name), "{name}");
        }
    }

    #[test]
    fn names_are_whole_words_of_the_tree() {
        let used = names("ring v0.17.14\nstrongroom v0.1.0 (/x/y)\nspring v1.0.0 (*)\n\n");
        assert_eq!(used.into_iter().collect::<Vec<_>>(), ["ring", "spring", "strongroom"]);
    }
}
