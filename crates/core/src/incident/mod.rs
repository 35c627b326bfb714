//! Incidents: the record of what was cut off, by whom, why, how far it is, and what was measured.
//!
//! Invariants: a record is durable before anything of it is carried out; it says what is left to do, so whoever finds it
//! open can go on; it holds no value and no token. Whoever may not know of the target does not learn of the incident.

mod evidence;
mod figure;
mod hold;
mod record;
mod report;
mod store;
mod view;

pub use figure::{ConsumerFigure, ConsumerState, Figures, Unknown};
pub(crate) use hold::Held;
pub use record::{Cut, Failure, Incident, Lifted, Operator, Step, StepKind, TOKENS_NAMED};
pub use report::Report;
pub use store::Incidents;
pub(crate) use store::opening;
