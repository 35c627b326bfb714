//! The paths of the method, as Vault has them.

use strongroom_core::Operation::{Delete, List, Read, Write};
use strongroom_core::{Access, Endpoint, Operation};

pub(super) const LOGIN: &str = "login/{name}";
pub(super) const USERS: &str = "users";
pub(super) const USER: &str = "users/{name}";
pub(super) const PASSWORD: &str = "users/{name}/password";
pub(super) const POLICIES: &str = "users/{name}/policies";

const fn token(pattern: &'static str, operations: &'static [Operation], help: &'static str) -> Endpoint {
    Endpoint { pattern, operations, access: Access::Token, help }
}

/// Every path below the mount.
pub(super) const TABLE: &[Endpoint] = &[
    Endpoint {
        pattern: LOGIN,
        operations: &[Write],
        access: Access::Open,
        help: "Log in with a user name and a password.",
    },
    token(USERS, &[List], "List the names of all users."),
    token(USER, &[Read, Write, Delete], "Read, write or delete a user. Tokens of a deleted user cannot be renewed."),
    token(PASSWORD, &[Write], "Set the password of a user."),
    token(POLICIES, &[Write], "Set the policies of a user's tokens."),
];
