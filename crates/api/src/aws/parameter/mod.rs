//! Parameter Store: one file per group of operations. A parameter is a secret of the KV version 2 mount that the region
//! stands for (`parameter/` unless the configuration says otherwise), so one policy and one trail hold for it through
//! every dialect; versions and labels are the model's own. Names that refer to Secrets Manager are read there, under
//! the policies that hold there.

mod check;
mod credential;
mod delete;
mod filter;
mod history;
mod label;
mod list;
mod name;
mod note;
mod policy;
mod put;
mod reference;
mod tag;
mod value;

pub use credential::PlainCredentials;

use super::input::Input;
use super::operation::{Asked, Operation, Place, Work, operation};
use super::refusal::Refusal;
use strongroom_core::Operation::{Delete, Read, Write};
use strongroom_core::{CoreError, SecretAct, boxed};
use strongroom_model::{Kind, Kinded};

/// What is served.
pub(super) const OPERATIONS: &[Operation] = &[
    operation!("AddTagsToResource", Token, tag::asks_write, tag::add),
    operation!("DeleteParameter", Token, asks_delete, delete::one),
    Operation { name: "DeleteParameters", work: Work::Each(|tour| boxed(|| delete::many(tour))) },
    operation!("DescribeParameters", Token, list::asks_describe, list::describe),
    Operation { name: "GetParameter", work: Work::Each(|tour| boxed(|| value::one(tour))) },
    operation!("GetParameterHistory", Token, asks_read, history::history),
    Operation { name: "GetParameters", work: Work::Each(|tour| boxed(|| value::many(tour))) },
    Operation { name: "GetParametersByPath", work: Work::Each(|tour| boxed(|| list::by_path(tour))) },
    operation!("LabelParameterVersion", Token, asks_write, label::label),
    operation!("ListTagsForResource", Token, tag::asks_read, tag::list),
    operation!("PutParameter", Token, put::asks, put::put),
    operation!("RemoveTagsFromResource", Token, tag::asks_write, tag::remove),
    operation!("UnlabelParameterVersion", Token, asks_write, label::unlabel),
];

fn parameter(
    input: &Input<'_>,
    field: &str,
    operation: strongroom_core::Operation,
    act: SecretAct,
) -> Result<Asked, Refusal> {
    let path = name::plain(input, field)?.path;
    Ok(Asked { operation, place: Place::Secret { path, act } })
}

fn asks_read(input: &Input<'_>) -> Result<Asked, Refusal> {
    parameter(input, "Name", Read, SecretAct::Read)
}

/// A name that may have a version or a label behind it.
fn asks_selected(input: &Input<'_>) -> Result<Asked, Refusal> {
    let path = name::selected(input.need("Name")?, &input.names)?.path;
    Ok(Asked { operation: Read, place: Place::Secret { path, act: SecretAct::Read } })
}

fn asks_write(input: &Input<'_>) -> Result<Asked, Refusal> {
    parameter(input, "Name", Write, SecretAct::Write)
}

fn asks_delete(input: &Input<'_>) -> Result<Asked, Refusal> {
    parameter(input, "Name", Delete, SecretAct::DeleteAll)
}

/// Parameter Store's words for what the core refuses; Secrets Manager has others for some.
fn ours(error: CoreError) -> Refusal {
    match (&error, error.kind()) {
        (CoreError::Nothing | CoreError::Marked, _) => {
            Refusal::from(error).coded("ParameterNotFound").reworded(name::NOT_FOUND)
        }
        (CoreError::Stale(_) | CoreError::Conflict, _) => {
            let text = "There are concurrent updates for a resource that supports one update at a time.";
            Refusal::said("TooManyUpdates", text)
        }
        (_, Kind::Internal | Kind::Tampered) => Refusal::from(error).coded("InternalServerError"),
        (_, Kind::Invalid | Kind::TooLarge | Kind::Unsupported | Kind::Conflict) => {
            Refusal::from(error).coded("ValidationException")
        }
        _ => error.into(),
    }
}
