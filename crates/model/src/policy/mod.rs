//! Access rules: what a policy says (`parse`), and what several of them together allow on one path (`acl`).

mod acl;
mod parse;

pub use acl::{Acl, Decision, Question, Reason};
pub use parse::{Policy, PolicyError, Rule};
