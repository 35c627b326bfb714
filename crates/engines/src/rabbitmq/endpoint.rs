use strongroom_core::{Access, Endpoint, Operation};

pub(super) const CONNECTION: &str = "config/connection";
pub(super) const LEASE: &str = "config/lease";
pub(super) const ROLES: &str = "roles";
pub(super) const ROLE: &str = "roles/{name}";
pub(super) const CREDS: &str = "creds/{name}";

const READ: Operation = Operation::Read;
const WRITE: Operation = Operation::Write;
const DELETE: Operation = Operation::Delete;
const LIST: Operation = Operation::List;

/// The paths below a rabbitmq mount.
pub(super) const TABLE: &[Endpoint] = &[
    line(CONNECTION, &[READ, WRITE], "Say how the broker is reached; the password is never given back."),
    line(LEASE, &[READ, WRITE], "Say how long users live."),
    line(ROLES, &[LIST], "Name the roles."),
    line(ROLE, &[READ, WRITE, DELETE], "Say what a user of this role may do."),
    line(CREDS, &[READ, WRITE], "Make a user that is the caller's alone and dies with its lease."),
];

const fn line(pattern: &'static str, operations: &'static [Operation], help: &'static str) -> Endpoint {
    Endpoint { pattern, operations, access: Access::Token, help }
}
