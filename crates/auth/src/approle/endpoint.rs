//! The paths of the method, as Vault has them. Vault also knows no `role/{name}/token-policies` or `.../token-period`:
//! the paths `policies` and `period` take both fields. A second path to the same thing would be one that a policy
//! written for Vault forgets to deny.

use strongroom_core::Operation::{Delete, List, Read, Write};
use strongroom_core::{Access, Endpoint, Operation};

pub(super) const LOGIN: &str = "login";
pub(super) const TIDY: &str = "tidy/secret-id";
pub(super) const ROLES: &str = "role";
pub(super) const ROLE: &str = "role/{name}";
pub(super) const ROLE_ID: &str = "role/{name}/role-id";
pub(super) const SECRET_ID: &str = "role/{name}/secret-id";
pub(super) const CUSTOM_SECRET_ID: &str = "role/{name}/custom-secret-id";
pub(super) const LOOKUP: &str = "role/{name}/secret-id/lookup";
pub(super) const DESTROY: &str = "role/{name}/secret-id/destroy";
pub(super) const ACCESSOR_LOOKUP: &str = "role/{name}/secret-id-accessor/lookup";
pub(super) const ACCESSOR_DESTROY: &str = "role/{name}/secret-id-accessor/destroy";

const fn token(pattern: &'static str, operations: &'static [Operation], help: &'static str) -> Endpoint {
    Endpoint { pattern, operations, access: Access::Token, help }
}

const SETTING: &[Operation] = &[Read, Write, Delete];

/// Every path below the mount.
pub(super) const TABLE: &[Endpoint] = &[
    Endpoint {
        pattern: LOGIN,
        operations: &[Write],
        access: Access::Open,
        help: "Log in with a role id and a secret id.",
    },
    token(ROLES, &[List], "List the names of all roles."),
    token(ROLE, SETTING, "Read, write or delete a role. Deleting it makes its secret ids powerless."),
    token(ROLE_ID, &[Read, Write], "Read or set the role id, by which machines name the role when they log in."),
    token(SECRET_ID, &[Write, List], "Generate a secret id of the role, or list the accessors of those there are."),
    token(CUSTOM_SECRET_ID, &[Write], "Register a secret id that you chose."),
    token(LOOKUP, &[Write], "Read the properties of a secret id."),
    token(DESTROY, &[Write, Delete], "Destroy a secret id."),
    token(ACCESSOR_LOOKUP, &[Write], "Read the properties of a secret id by its accessor."),
    token(ACCESSOR_DESTROY, &[Write, Delete], "Destroy a secret id by its accessor."),
    token("role/{name}/policies", SETTING, "Policies of the role's tokens."),
    token("role/{name}/local-secret-ids", &[Read], "Whether secret ids are local to this cluster; set at creation."),
    token("role/{name}/bound-cidr-list", SETTING, "The older name of secret-id-bound-cidrs."),
    token("role/{name}/secret-id-bound-cidrs", SETTING, "Networks from which machines may log in."),
    token("role/{name}/token-bound-cidrs", SETTING, "Networks from which the role's tokens may be used."),
    token("role/{name}/bind-secret-id", SETTING, "Whether a login needs a secret id."),
    token("role/{name}/secret-id-num-uses", SETTING, "How many logins a secret id is good for; 0: any number."),
    token("role/{name}/secret-id-ttl", SETTING, "How long a secret id lives; 0: without end."),
    token("role/{name}/period", SETTING, "The period of the role's tokens."),
    token("role/{name}/token-num-uses", SETTING, "How many requests a token is good for; 0: any number."),
    token("role/{name}/token-ttl", SETTING, "The first time to live of the role's tokens."),
    token("role/{name}/token-max-ttl", SETTING, "The longest life of the role's tokens."),
    token(TIDY, &[Write], "Remove expired secret ids now."),
];
