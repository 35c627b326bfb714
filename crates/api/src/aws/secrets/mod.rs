//! Secrets Manager: one file per group of operations. Each line of the table says what an operation asks the gate for, in
//! the words of KV version 2, so that one policy and one trail hold for both.

mod batch;
mod describe;
mod doom;
mod list;
mod policy;
mod random;
mod replica;
mod rotation;
mod stage;
mod tag;
mod value;
mod write;

pub(super) use batch::READING;
pub(super) use tag::{nothing, tags};
pub(super) use value::epoch;

use super::input::Input;
use super::operation::{Asked, Operation, Place, Work, operation};
use super::refusal::Refusal;
use strongroom_core::Operation::{Delete, List, Read, Write};
use strongroom_core::SecretAct;
use strongroom_core::boxed;
use strongroom_model::FolderPath;

pub(super) const OPERATIONS: &[Operation] = &[
    operation!("AssociateCrossAccountReplica", Token, asks_describe, replica::refuse),
    Operation { name: "BatchGetSecretValue", work: Work::Each(|tour| boxed(|| batch::get(tour))) },
    operation!("CancelRotateSecret", Token, asks_adjust, rotation::cancel),
    operation!("CreateSecret", Token, write::asks_create, write::create),
    // Whoever may change what a secret's own policy forbids could lift it, so both take `sudo` too.
    operation!("DeleteResourcePolicy", Sudo, asks_adjust, policy::delete),
    operation!("DeleteSecret", Token, asks_delete, doom::delete),
    operation!("DescribeSecret", Token, asks_describe, describe::describe),
    operation!("DisassociateCrossAccountReplica", Token, asks_describe, replica::refuse),
    operation!("GetRandomPassword", Optional, random::asks, random::password),
    operation!("GetResourcePolicy", Token, asks_describe, policy::get),
    operation!("GetSecretValue", Token, asks_read, value::get),
    operation!("ListResourcePolicies", Token, asks_describe, policy::list),
    operation!("ListSecretVersionIds", Token, asks_describe, describe::versions),
    operation!("ListSecrets", Token, asks_list, list::list),
    operation!("PutResourcePolicy", Sudo, asks_adjust, policy::put),
    operation!("PutSecretValue", Token, asks_write, write::put),
    operation!("RemoveRegionsFromReplication", Token, asks_describe, replica::refuse),
    operation!("ReplicateSecretToRegions", Token, asks_describe, replica::refuse),
    operation!("RestoreSecret", Token, asks_restore, doom::restore),
    operation!("RotateSecret", Token, asks_write, rotation::rotate),
    operation!("StopReplicationToReplica", Token, asks_describe, replica::refuse),
    operation!("TagResource", Token, asks_adjust, tag::tag),
    operation!("UntagResource", Token, asks_adjust, tag::untag),
    operation!("UpdateSecret", Token, write::asks_update, write::update),
    operation!("UpdateSecretVersionStage", Token, asks_write, stage::update),
    operation!("ValidateResourcePolicy", Token, policy::asks_validate, policy::validate),
];

fn secret(input: &Input<'_>, operation: strongroom_core::Operation, act: SecretAct) -> Result<Asked, Refusal> {
    Ok(Asked { operation, place: Place::Secret { path: input.secret()?.path, act } })
}

fn asks_read(input: &Input<'_>) -> Result<Asked, Refusal> {
    secret(input, Read, SecretAct::Read)
}

fn asks_write(input: &Input<'_>) -> Result<Asked, Refusal> {
    secret(input, Write, SecretAct::Write)
}

fn asks_describe(input: &Input<'_>) -> Result<Asked, Refusal> {
    secret(input, Read, SecretAct::ReadMetadata)
}

fn asks_adjust(input: &Input<'_>) -> Result<Asked, Refusal> {
    secret(input, Write, SecretAct::WriteMetadata)
}

fn asks_delete(input: &Input<'_>) -> Result<Asked, Refusal> {
    secret(input, Delete, SecretAct::DeleteAll)
}

fn asks_restore(input: &Input<'_>) -> Result<Asked, Refusal> {
    secret(input, Write, SecretAct::Undelete)
}

fn asks_list(_: &Input<'_>) -> Result<Asked, Refusal> {
    Ok(Asked { operation: List, place: Place::Folder(FolderPath::root()) })
}
