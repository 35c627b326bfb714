//! The chores of this workspace. `cargo xtask test` is the one command that a stranger, a developer and the machine that
//! checks every change all run: it installs what is missing, runs every check, and ends with one line of counts.
//!
//! A part that fails does not stop the next: the last line counts everything. Does not change sources, and knows nothing
//! about what the checks check.

#![expect(clippy::print_stdout, reason = "a command whose output is its result")]

mod ban;
mod bench;
mod fuzz;
mod lint;
mod machine;
mod python;
mod rust;
mod step;
mod tally;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use tally::Tally;

const USAGE: &str = "\
usage: cargo xtask test [--only lint|rust|python]...   install what is missing, run every check, count
       cargo xtask fuzz [--seconds N] [--target NAME]  hostile input for every parser that a stranger reaches
                        [--seed N]
       cargo xtask deny                                compare the dependencies with the bans in deny.toml
       cargo xtask bench [--seconds N] [--many N]      measure a release build beside its limits
                         [--address URL --token T]     the same load on another server";

/// What a run of the tests consists of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Lint,
    Rust,
    Python,
}

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    let tally = match words.as_slice() {
        ["test", rest @ ..] => parts(rest).map(|parts| test(&root(), &parts)),
        ["bench", options @ ..] => Some(Tally::of_check("bench", bench::run_bench(&root(), options))),
        ["fuzz", options @ ..] => Some(fuzz::run(&root(), options)),
        ["deny"] => Some(Tally::of_check("dependencies", ban::check(&root()))),
        _ => None,
    };
    let Some(tally) = tally else {
        println!("{USAGE}");
        return ExitCode::from(2);
    };
    println!("{tally}");
    if tally.is_good() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn test(root: &Path, parts: &[Part]) -> Tally {
    let mut tally = Tally::default();
    // Rust's own tests build small C libraries and Python's drive curl and openssl, so this comes first.
    tally.check("system packages", machine::install_packages());
    for part in parts {
        tally += match part {
            Part::Lint => lint::run(root),
            Part::Rust => {
                let mut tally = rust::run(root);
                tally += fuzz::run_briefly(root);
                tally
            }
            Part::Python => python::run(root),
        };
    }
    println!();
    tally
}

/// The parts that were asked for; none when a word is not understood.
fn parts(words: &[&str]) -> Option<Vec<Part>> {
    match words {
        [] => Some(vec![Part::Lint, Part::Rust, Part::Python]),
        ["--only", name] => Some(vec![part(name)?]),
        ["--only", name, rest @ ..] => {
            let mut all = vec![part(name)?];
            all.extend(parts(rest)?);
            Some(all)
        }
        _ => None,
    }
}

fn part(name: &str) -> Option<Part> {
    match name {
        "lint" => Some(Part::Lint),
        "rust" => Some(Part::Rust),
        "python" => Some(Part::Python),
        _ => None,
    }
}

/// The folder of the workspace, wherever it was cloned to and wherever in it the command was typed.
fn root() -> PathBuf {
    let here = std::env::var_os("CARGO_MANIFEST_DIR").map_or_else(|| PathBuf::from("xtask"), PathBuf::from);
    here.parent().map_or_else(|| PathBuf::from("."), Path::to_path_buf)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_choice_every_part_runs() {
        assert_eq!(parts(&[]), Some(vec![Part::Lint, Part::Rust, Part::Python]));
    }

    #[test]
    fn one_or_several_parts_can_be_chosen_and_a_typing_error_is_not_ignored() {
        assert_eq!(parts(&["--only", "rust"]), Some(vec![Part::Rust]));
        assert_eq!(parts(&["--only", "lint", "--only", "python"]), Some(vec![Part::Lint, Part::Python]));
        assert_eq!(parts(&["--only", "rusty"]), None);
        assert_eq!(parts(&["--only"]), None);
        assert_eq!(parts(&["rust"]), None);
    }
}
