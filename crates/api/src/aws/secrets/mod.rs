//! Secrets Manager: one file per group of operations. Each line of the table says what an operation asks the gate for, in
//! the words of KV version 2, so that one policy and one trail hold for both.

mod replica;
mod tag;
mod value;
mod write;

use super::input::Input;
use super::operation::{Asked, Operation, Place, operation};
use super::refusal::Refusal;
use strongroom_core::Operation::Read;
use strongroom_core::SecretAct;

pub(super) const OPERATIONS: &[Operation] = &[
    operation!("CreateSecret", Token, write::asks_create, write::create),
    operation!("GetSecretValue", Token, asks_read, value::get),
    operation!("PutSecretValue", Token, write::asks_put, write::put),
    operation!("UpdateSecret", Token, write::asks_update, write::update),
];

fn secret(input: &Input<'_>, operation: strongroom_core::Operation, act: SecretAct) -> Result<Asked, Refusal> {
    Ok(Asked { operation, place: Place::Secret { path: input.secret()?.path, act } })
}

fn asks_read(input: &Input<'_>) -> Result<Asked, Refusal> {
    secret(input, Read, SecretAct::Read)
}
