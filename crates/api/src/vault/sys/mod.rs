//! `sys/`: mounts, auth methods, policies, capabilities, audit devices, sealing.

mod access_key;
mod audit;
mod can;
mod capability;
mod config;
mod generate_root;
mod internal;
mod lease;
mod locked_user;
mod logger;
mod mount;
mod password;
mod plugin;
mod policy;
mod quota;
mod rekey;
mod rotate;
mod seal;
mod snapshot;
mod status;
mod tool;
mod verify;
mod wrapping;

use super::route::{Route, itself};
use strongroom_core::Operation::{Delete, List, Read, Write};
use strongroom_core::{Access, Endpoint};

macro_rules! route {
    ($pattern:literal, $operations:expr, $access:ident, $handler:path, $help:literal) => {
        Route {
            endpoint: Endpoint { pattern: $pattern, operations: &$operations, access: Access::$access, help: $help },
            object: itself,
            handler: |context| strongroom_core::boxed(|| $handler(context)),
        }
    };
}
pub(super) use mount::Moves;
pub(super) use route;
pub(super) use snapshot::takes_upload;

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
    route!("remount/status/{id}", [Read], Token, mount::remount_status, "Tells how far the move of a mount has come."),
    route!("auth", [Read], Token, mount::list_auth, "Lists the enabled auth methods."),
    route!("auth/{path..}", [Read, Write, Delete], Sudo, mount::auth, "Reads, enables or disables an auth method."),
    route!(
        "auth/{path..}/tune",
        [Read, Write],
        Sudo,
        mount::tune_auth,
        "Reads or changes the settings of an auth method."
    ),
    route!("plugins/catalog", [Read], Token, plugin::all, "Lists the plug-ins, all of which are part of the program."),
    route!("plugins/catalog/{type}", [Read, List], Sudo, plugin::of_type, "Lists the plug-ins of a type."),
    route!(
        "plugins/catalog/{type}/{name}",
        [Read, Write, Delete],
        Sudo,
        plugin::one,
        "Reads what is known of a plug-in; none can be added or removed."
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
        "strongroom/can",
        [Write],
        Sudo,
        can::of_other,
        "Tells whether somebody may do something on a path, and which rule decides."
    ),
    route!(
        "strongroom/can-self",
        [Write],
        Token,
        can::of_self,
        "Tells whether the caller may do something on a path, and which rule decides."
    ),
    route!(
        "strongroom/verify",
        [Write],
        Sudo,
        verify::verify,
        "Reads the whole store, and names what is not as it was written."
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
    route!(
        "internal/ui/resultant-acl",
        [Read],
        Token,
        internal::resultant_acl,
        "Gives what the caller's policies add up to."
    ),
    route!(
        "internal/ui/namespaces",
        [Read],
        Optional,
        internal::namespaces,
        "Lists the namespaces that the caller may use."
    ),
    route!("internal/counters/tokens", [Read], Token, internal::count_tokens, "Counts service tokens."),
    route!("internal/counters/activity", [Read], Token, internal::no_activity, "Clients are not counted here."),
    route!("internal/counters/activity/monthly", [Read], Token, internal::no_activity, "Clients are not counted here."),
    route!("internal/counters/config", [Read], Token, internal::activity_config, "Says that clients are not counted."),
    route!("internal/counters/entities", [Read], Token, internal::count_entities, "Counts entities."),
    route!("internal/specs/openapi", [Read], Optional, internal::openapi, "Describes this server in OpenAPI."),
    route!("access-keys", [List, Write], Token, access_key::keys, "Lists access keys, or makes one."),
    route!(
        "access-keys/{id}",
        [Read, Write, Delete],
        Token,
        access_key::key,
        "Reads, disables or revokes an access key."
    ),
    route!(
        "access-keys/{id}/rotate",
        [Write],
        Token,
        access_key::rotate,
        "Makes a second access key for the same holder, and ends the first."
    ),
    route!("aws/roles", [List], Token, access_key::roles, "Lists the roles that access keys can assume."),
    route!(
        "aws/roles/{name}",
        [Read, Write, Delete],
        Token,
        access_key::role,
        "Reads, writes or deletes a role that access keys can assume."
    ),
    route!("host-info", [Read], Sudo, status::host_info, "Tells what the machine says of itself."),
    route!(
        "version-history",
        [List],
        Token,
        status::version_history,
        "Lists the versions of this program that have run over the data."
    ),
    route!("in-flight-req", [Read], Sudo, status::in_flight, "Lists the requests under way."),
    route!("ha-status", [Read], Token, status::ha_status, "Lists the nodes of this cluster."),
    route!("replication/status", [Read], Open, status::replication, "Tells that nothing is replicated."),
    route!("metrics", [Read], Token, status::metrics, "Gives the numbers that are counted, for a monitor."),
    route!(
        "config/auditing/request-headers",
        [Read],
        Sudo,
        config::audited_headers,
        "Lists the request headers that are recorded."
    ),
    route!(
        "config/auditing/request-headers/{header}",
        [Read, Write, Delete],
        Sudo,
        config::audited_header,
        "Reads, adds or removes a request header that is recorded."
    ),
    route!(
        "config/cors",
        [Read, Write, Delete],
        Sudo,
        config::cors,
        "Reads, sets or forgets which web pages of other origins may call."
    ),
    route!("config/ui/headers", [List], Sudo, config::ui_headers, "Lists the headers of the user interface."),
    route!(
        "config/ui/headers/{header}",
        [Read, Write, Delete],
        Sudo,
        config::ui_header,
        "Reads, sets or removes a header of the user interface."
    ),
    route!("config/reload/{subsystem}", [Write], Token, config::reload, "Nothing can be reloaded in this way."),
    route!("config/state/sanitized", [Read], Token, config::sanitized, "Tells the configuration, without secrets."),
    route!("loggers", [Read, Write, Delete], Token, logger::all, "Reads, sets or sets back how much is logged."),
    route!(
        "loggers/{name}",
        [Read, Write, Delete],
        Token,
        logger::one,
        "Reads, sets or sets back how much a room logs."
    ),
    route!("leases", [Read], Sudo, lease::irrevocable, "Lists leases that could not be revoked."),
    route!("leases/count", [Read], Token, lease::count, "Counts leases that could not be revoked, or all."),
    route!("leases/tidy", [Write], Token, lease::tidy, "Tries at once what is put off."),
    route!("leases/lookup", [Write, List], Token, lease::lookup, "Looks a lease up."),
    route!("leases/lookup/{path..}", [List], Sudo, lease::list, "Lists leases below a prefix."),
    route!("leases/renew", [Write], Token, lease::renew, "Prolongs a lease."),
    route!("leases/renew/{path..}", [Write], Token, lease::renew, "Prolongs a lease."),
    route!("leases/revoke", [Write], Token, lease::revoke, "Revokes a lease."),
    route!("leases/revoke/{path..}", [Write], Token, lease::revoke, "Revokes a lease."),
    route!(
        "leases/revoke-prefix/{path..}",
        [Write],
        Sudo,
        lease::revoke_prefix,
        "Revokes all leases and tokens below a prefix."
    ),
    route!(
        "leases/revoke-force/{path..}",
        [Write],
        Sudo,
        lease::revoke_force,
        "Forgets all leases below a prefix, whatever becomes of their credentials, and revokes all tokens there."
    ),
    route!(
        "leases/revoke-entity/{id}",
        [Write],
        Sudo,
        lease::revoke_entity,
        "Revokes all leases that an entity asked for."
    ),
    route!("renew", [Write], Token, lease::renew, "Prolongs a lease."),
    route!("renew/{path..}", [Write], Token, lease::renew, "Prolongs a lease."),
    route!("revoke", [Write], Token, lease::revoke, "Revokes a lease."),
    route!("revoke/{path..}", [Write], Token, lease::revoke, "Revokes a lease."),
    route!(
        "revoke-prefix/{path..}",
        [Write],
        Sudo,
        lease::revoke_prefix,
        "Revokes all leases and tokens below a prefix."
    ),
    route!(
        "revoke-force/{path..}",
        [Write],
        Sudo,
        lease::revoke_force,
        "Forgets all leases below a prefix, whatever becomes of their credentials, and revokes all tokens there."
    ),
    route!("quotas/config", [Read, Write], Token, quota::config, "Reads or sets how quotas are applied."),
    route!("quotas/rate-limit", [List], Token, quota::rate_limits, "Lists the rate limits."),
    route!(
        "quotas/rate-limit/{name}",
        [Read, Write, Delete],
        Token,
        quota::rate_limit,
        "Reads, sets or removes a rate limit."
    ),
    route!("quotas/lease-count", [List], Token, quota::lease_counts, "Lists the limits on leases."),
    route!(
        "quotas/lease-count/{name}",
        [Read, Write, Delete],
        Token,
        quota::lease_count,
        "Reads, sets or removes a limit on how many leases there are at once."
    ),
    route!("locked-users", [Read], Token, locked_user::list, "Lists the users that are shut out after failed logins."),
    route!(
        "locked-users/{mount_accessor}/unlock/{name}",
        [Write],
        Token,
        locked_user::unlock,
        "Lets a user in again who is shut out after failed logins."
    ),
    route!("seal", [Write], Sudo, seal::seal, "Seals the server."),
    route!(
        "storage/raft/snapshot",
        [Read, Write],
        Sudo,
        snapshot::snapshot,
        "Gives a snapshot of the whole store, sealed, or replaces the store by one of this strongroom."
    ),
    route!(
        "storage/raft/snapshot-force",
        [Write],
        Sudo,
        snapshot::force,
        "Replaces the store by a snapshot, also one of another strongroom or with other unseal keys."
    ),
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
    route!("rotate/root", [Write], Sudo, rekey::bare, "The root key changes together with the unseal keys."),
    route!(
        "rotate/root/init",
        [Read, Write, Delete],
        Sudo,
        rekey::init,
        "Starts, shows or cancels the making of new unseal keys."
    ),
    route!(
        "rotate/root/update",
        [Write],
        Token,
        rekey::update,
        "Takes one of the present unseal keys towards new ones."
    ),
    route!(
        "rotate/root/verify",
        [Read, Write, Delete],
        Token,
        rekey::verify,
        "Takes one of the new unseal keys, shows how many were handed in, or begins that anew."
    ),
    route!("rotate/root/backup", [Read, Delete], Token, rekey::backup, "Unseal keys are kept nowhere."),
    route!(
        "rotate/recovery/{path..}",
        [Read, Write, Delete],
        Token,
        rekey::recovery,
        "Recovery keys do not exist here."
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
    route!(
        "generate-root-token/attempt",
        [Read, Write, Delete],
        Sudo,
        generate_root::attempt,
        "Starts, shows or cancels the making of a root token from unseal keys."
    ),
    route!(
        "generate-root-token/update",
        [Write],
        Token,
        generate_root::update,
        "Takes one unseal key towards a root token."
    ),
];
