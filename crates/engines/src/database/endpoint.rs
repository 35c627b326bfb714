use strongroom_core::{Access, Endpoint, Operation};

pub(super) const CONFIGS: &str = "config";
pub(super) const CONFIG: &str = "config/{name}";
pub(super) const RESET: &str = "reset/{name}";
pub(super) const RELOAD: &str = "reload/{plugin}";
pub(super) const ROLES: &str = "roles";
pub(super) const ROLE: &str = "roles/{name}";
pub(super) const CREDS: &str = "creds/{name}";
pub(super) const STATIC_ROLES: &str = "static-roles";
pub(super) const STATIC_ROLE: &str = "static-roles/{name}";
pub(super) const STATIC_CREDS: &str = "static-creds/{name}";
pub(super) const ROTATE_ROLE: &str = "rotate-role/{name}";
pub(super) const ROTATE_ROOT: &str = "rotate-root/{name}";

const READ: Operation = Operation::Read;
const WRITE: Operation = Operation::Write;
const DELETE: Operation = Operation::Delete;
const LIST: Operation = Operation::List;

/// The paths below a database mount.
pub(super) const TABLE: &[Endpoint] = &[
    line(CONFIGS, &[LIST], "Name the connections."),
    line(CONFIG, &[READ, WRITE, DELETE], "Say how a database is reached; the password is never given back."),
    line(RESET, &[WRITE], "Close what is open to a database and begin anew."),
    line(RELOAD, &[WRITE], "Close what is open to all databases of one kind and begin anew."),
    line(ROLES, &[LIST], "Name the roles."),
    line(ROLE, &[READ, WRITE, DELETE], "Say what a login of this role may do and how long it lives."),
    line(CREDS, &[READ, WRITE], "Make a login that is the caller's alone and dies with its lease."),
    line(STATIC_ROLES, &[LIST], "Name the static roles."),
    line(
        STATIC_ROLE,
        &[READ, WRITE, DELETE],
        "Say of which existing login the password is kept, and when it is changed.",
    ),
    line(STATIC_CREDS, &[READ], "The password that a static role's login has now."),
    line(ROTATE_ROLE, &[WRITE], "Change the password of a static role's login now."),
    line(ROTATE_ROOT, &[WRITE], "Change the password of a connection's own login, so that only this server knows it."),
];

const fn line(pattern: &'static str, operations: &'static [Operation], help: &'static str) -> Endpoint {
    Endpoint { pattern, operations, access: Access::Token, help }
}
