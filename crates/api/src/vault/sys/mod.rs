//! `sys/`: mounts, auth methods, policies, capabilities, audit devices, sealing.

mod audit;
mod capability;
mod generate_root;
mod mount;
mod password;
mod policy;
mod rekey;
mod rotate;
mod seal;
mod tool;
mod wrapping;

use super::route::{Route, itself};
use strongroom_core::Operation::{Delete, List, Read, Write};
use strongroom_core::{Access, Endpoint};

macro_rules! route {
    ($pattern:literal, $operations:expr, $access:ident, $handler:path, $help:literal) => {
        Route {
            endpoint: Endpoint { pattern: $pattern, operations: &$operations, access: Access::$access, help: $help },
            object: itself,
            handler: |context| Box::pin($handler(context)),
        }
    };
}
pub(super) use route;

/// Everything below `sys/` that needs an open server.
pub(super) const ROUTES: &[Route] = &[
    route!("mounts", [Read], Token, mount::list_secret, "Lists the mounted secrets engines."),
    route!(
        "mounts/{path..}",
        [Read, Write, Delete],
        Token,
        mount::secret,
        "Reads, mounts or unmounts a secrets engine."
    ),
    route!(
        "mounts/{path..}/tune",
        [Read, Write],
        Token,
        mount::tune_secret,
        "Reads or changes the settings of a secrets engine."
    ),
    route!("remount", [Write], Sudo, mount::remount, "Moves a mount to another path; nothing in it is read."),
    route!("auth", [Read], Token, mount::list_auth, "Lists the enabled auth methods."),
    route!("auth/{path..}", [Read, Write, Delete], Sudo, mount::auth, "Reads, enables or disables an auth method."),
    route!(
        "auth/{path..}/tune",
        [Read, Write],
        Sudo,
        mount::tune_auth,
        "Reads or changes the settings of an auth method."
    ),
    route!("policy", [Read, List], Token, policy::list_legacy, "Lists the policies."),
    route!("policy/{name..}", [Read, Write, Delete], Token, policy::legacy, "Reads, writes or deletes a policy."),
    route!("policies/acl", [Read, List], Token, policy::list, "Lists the policies."),
    route!("policies/acl/{name..}", [Read, Write, Delete], Token, policy::acl, "Reads, writes or deletes a policy."),
    route!("capabilities", [Write], Token, capability::of_token, "Tells what a token may do on paths."),
    route!("capabilities-self", [Write], Token, capability::of_self, "Tells what the caller may do on paths."),
    route!(
        "capabilities-accessor",
        [Write],
        Token,
        capability::of_accessor,
        "Tells what the token behind an accessor may do on paths."
    ),
    route!(
        "internal/ui/mounts",
        [Read],
        Optional,
        mount::visible,
        "Lists the mounts that the caller has anything to do with."
    ),
    route!(
        "internal/ui/mounts/{path..}",
        [Read],
        Optional,
        mount::preflight,
        "Tells type and version of the mount that a path lies in."
    ),
    route!("audit", [Read], Sudo, audit::list, "Lists the audit devices."),
    route!("audit/{path..}", [Write, Delete], Sudo, audit::device, "Enables or disables an audit device."),
    route!(
        "audit-hash/{path..}",
        [Write],
        Sudo,
        audit::hash,
        "Gives the keyed hash under which a value stands in the trail."
    ),
    wrapping::WRAP,
    wrapping::LOOKUP,
    wrapping::UNWRAP,
    wrapping::REWRAP,
    route!("policies/password", [List], Token, password::list, "Lists the password policies."),
    route!(
        "policies/password/{name}",
        [Read, Write, Delete],
        Token,
        password::policy,
        "Reads, writes or deletes a password policy."
    ),
    route!(
        "policies/password/{name}/generate",
        [Read],
        Token,
        password::generate,
        "Makes a password by a password policy."
    ),
    route!("tools/random", [Write], Token, tool::random, "Gives random bytes."),
    route!("tools/random/{source}", [Write], Token, tool::random, "Gives random bytes: from a source, or as many."),
    route!("tools/random/{source}/{bytes}", [Write], Token, tool::random, "Gives that many random bytes."),
    route!("tools/hash", [Write], Token, tool::hash, "Gives the digest of what is sent in base64."),
    route!("tools/hash/{algorithm}", [Write], Token, tool::hash, "Gives the digest of what is sent in base64."),
    route!("seal", [Write], Sudo, seal::seal, "Seals the server."),
    route!(
        "key-status",
        [Read],
        Token,
        rotate::key_status,
        "Tells the term of the encryption key, its age and its use."
    ),
    route!("rotate", [Write], Sudo, rotate::rotate, "Begins a new term of the encryption key."),
    route!("rotate/keyring", [Write], Sudo, rotate::rotate, "Begins a new term of the encryption key."),
    route!("rotate/config", [Read, Write], Token, rotate::config, "Reads or sets when a new term begins by itself."),
    route!(
        "rotate/keyring/config",
        [Read, Write],
        Token,
        rotate::config,
        "Reads or sets when a new term begins by itself."
    ),
    route!(
        "rekey/init",
        [Read, Write, Delete],
        Sudo,
        rekey::init,
        "Starts, shows or cancels the making of new unseal keys."
    ),
    route!("rekey/update", [Write], Open, rekey::update, "Takes one of the present unseal keys towards new ones."),
    route!(
        "rekey/verify",
        [Read, Write, Delete],
        Lenient,
        rekey::verify,
        "Takes one of the new unseal keys, shows how many were handed in, or begins that anew."
    ),
    route!("rekey/backup", [Read, Delete], Token, rekey::backup, "Unseal keys are kept nowhere."),
    route!("rekey/recovery-key-backup", [Read, Delete], Token, rekey::backup, "Recovery keys do not exist here."),
    route!(
        "rekey-recovery-key/{path..}",
        [Read, Write, Delete],
        Token,
        rekey::recovery,
        "Recovery keys do not exist here."
    ),
    route!(
        "generate-root/attempt",
        [Read, Write, Delete],
        Lenient,
        generate_root::attempt,
        "Starts, shows or cancels the making of a root token from unseal keys."
    ),
    route!("generate-root/update", [Write], Open, generate_root::update, "Takes one unseal key towards a root token."),
];
