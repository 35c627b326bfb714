//! Fuzz targets: one for each parser that a stranger reaches before anybody knows who it is.
//!
//! A target is a function of bytes with oracles: it does not panic, what is written out reads back the same, two readers
//! of one text agree, no error repeats a secret, and neither time nor memory grows beyond the input. Inputs are made from
//! good ones by chance, without knowing the code; the functions have the form that libFuzzer calls, so that a machine
//! with a nightly compiler can drive them by coverage too. What once failed lies in `regressions/` and is tried first.

pub mod drive;
mod mutate;
mod target;

pub use mutate::{Chance, Mutator};
pub use target::{TARGETS, Target};

macro_rules! for_libfuzzer {
    ($($function:ident => $name:literal),* $(,)?) => {$(
        #[doc = concat!("The target `", $name, "`, as libFuzzer calls it.")]
        pub fn $function(data: &[u8]) {
            let target = Target::named($name).expect("every target has a function");
            (target.run)(data);
        }
    )*
        /// Names of the targets that libFuzzer can call.
        #[cfg(test)]
        const CALLABLE: &[&str] = &[$($name),*];
    };
}

for_libfuzzer! {
    fuzz_path => "path",
    fuzz_body => "body",
    fuzz_hcl => "hcl",
    fuzz_policy => "policy",
    fuzz_rule => "rule",
    fuzz_ttl => "ttl",
    fuzz_share => "share",
    fuzz_token => "token",
    fuzz_wrapping => "wrapping",
    fuzz_header => "header",
    fuzz_http => "http",
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libfuzzer_can_call_every_target() {
        let names: Vec<&str> = TARGETS.iter().map(|target| target.name).collect();
        assert_eq!(names, CALLABLE);
    }

    #[test]
    fn seeds_and_what_once_failed_pass_and_chance_finds_nothing_at_once() {
        for target in TARGETS {
            let report =
                drive::drive(target, drive::Bound::Executions(300), 1).unwrap_or_else(|found| panic!("{found}"));
            assert!(report.executions >= 300 && report.outcomes > 1, "{}: {report}", target.name);
        }
    }

    #[test]
    fn an_oracle_that_does_not_hold_is_reported_with_a_small_input() {
        let target = Target {
            name: "broken",
            words: &["needle"],
            seeds: || vec![b"hay hay hay".to_vec()],
            run: |data| {
                assert!(!data.windows(6).any(|window| window == b"needle"), "found it");
                String::new()
            },
        };
        let found = drive::drive(&target, drive::Bound::Executions(10_000), 1).expect_err("chance finds the needle");
        assert_eq!(found.input, b"needle");
        assert!(found.to_string().contains("found it"), "{found}");
    }
}
