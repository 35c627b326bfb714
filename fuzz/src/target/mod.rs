//! The targets: what is tried, with which words and seeds, and what must hold.

mod http;
mod key;
mod path;
mod policy;
mod text;

/// One parser, or several that must agree.
pub struct Target {
    /// Its name on the command line.
    pub name: &'static str,
    /// Words of its language, put in more often than others.
    pub words: &'static [&'static str],
    /// Good inputs to begin with.
    pub seeds: fn() -> Vec<Vec<u8>>,
    /// Tries one input: panics when an oracle does not hold, else tells what came out.
    pub run: fn(&[u8]) -> String,
}

/// All of them.
pub const TARGETS: &[Target] = &[
    path::PATH,
    text::BODY,
    policy::HCL,
    policy::POLICY,
    policy::RULE,
    text::TTL,
    key::SHARE,
    key::TOKEN,
    key::WRAPPING,
    http::HEADER,
    http::HTTP,
];

/// Stands for a secret in seeds and words: whatever is made of it, no error and no answer may repeat it.
const CANARY: &str = "hunter2-canary";

impl Target {
    /// The one with that name.
    pub fn named(name: &str) -> Option<&'static Self> {
        TARGETS.iter().find(|target| target.name == name)
    }
}

/// An error as an outcome, after a look that it repeats no secret.
fn outcome<T, E: std::fmt::Display>(result: &Result<T, E>) -> String {
    match result {
        Ok(_) => "taken".to_owned(),
        Err(error) => {
            let text = error.to_string();
            assert!(!text.contains(CANARY), "the error repeats a secret: {text}");
            assert!(text.len() < 4_096, "the error is {} bytes long", text.len());
            text
        }
    }
}

fn seeds(texts: &[&str]) -> Vec<Vec<u8>> {
    texts.iter().map(|text| text.as_bytes().to_vec()).collect()
}
