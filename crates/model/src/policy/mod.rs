//! Access rules: what a policy says (`parse`), what it says for one caller (`template`), and what several of them
//! together allow on one path (`acl`, over the index in `pattern` and the limits in `parameter`).
//!
//! Pure: the same policies and the same question give the same decision, whatever order the policies come in.

mod acl;
mod parameter;
mod parse;
mod pattern;
mod template;

pub use acl::{Acl, Decision, Question, Reason};
pub use parse::{Policy, PolicyError, Rule};
pub use template::IdentityView;

/// The text of the policy `default` on a new server: what every token may do for itself.
pub const DEFAULT_POLICY: &str = include_str!("default.hcl");
