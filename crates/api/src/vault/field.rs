//! Names in a body that its endpoint does not read, told as Vault tells them: a misspelt `polices` must not look as if it
//! had been done. Invariants: only names are told, and only to who sent them; an endpoint that is not listed here takes
//! any name, or refuses what it does not know; an answer without a body stays without one, as in Vault.

use strongroom_core::{Fields, Operation, Reply};

/// More names than this are counted, not told.
const MOST: usize = 32;

/// What endpoints read of a body, by kind of mount and pattern: those whose answers have bodies. Names that Vault has and
/// this version takes without effect are among them.
#[rustfmt::skip]
pub(super) const KNOWN: &[(&str, &[&str], &[&str])] = &[
    ("token", &["create", "create-orphan", "create/{name}"], &[
        "display_name", "entity_alias", "explicit_max_ttl", "format", "id", "lease", "meta", "metadata", "no_default_policy",
        "no_parent", "num_uses", "period", "policies", "renewable", "role_name", "ttl", "type",
    ]),
    ("token", &["lookup", "lookup-self"], &["token"]),
    ("token", &["lookup-accessor"], &["accessor"]),
    ("token", &["renew", "renew-self"], &["token", "increment"]),
    ("token", &["renew-accessor"], &["accessor", "increment"]),
    ("identity", &["entity", "entity/id/{id}", "entity/name/{name..}"], &["id", "name", "metadata", "policies", "disabled"]),
    ("identity", &["entity-alias", "entity-alias/id/{id}"], &[
        "id", "name", "canonical_id", "entity_id", "mount_accessor", "custom_metadata",
    ]),
    ("identity", &["lookup/entity"], &["id", "name", "alias_id", "alias_name", "alias_mount_accessor"]),
    ("system", &["capabilities", "capabilities-self"], &["token", "path", "paths"]),
    ("system", &["capabilities-accessor"], &["accessor", "path", "paths"]),
    ("system", &["strongroom/can", "strongroom/can-self"], &["token", "accessor", "entity", "policies", "capability", "path"]),
    ("system", &["remount"], &["from", "to"]),
    ("system", &["audit-hash/{path..}"], &["input", "path"]),
    ("system", &["wrapping/lookup"], &["token"]),
    ("system", &["policy/{name..}", "policies/acl/{name..}"], &["name", "policy", "rules"]),
    ("system", &["tools/random", "tools/random/{source}", "tools/random/{source}/{bytes}"], &[
        "bytes", "urlbytes", "source", "format",
    ]),
    ("system", &["tools/hash", "tools/hash/{algorithm}"], &["algorithm", "urlalgorithm", "input", "format"]),
    ("system", &["leases/lookup"], &["lease_id"]),
    ("system", &["leases/renew", "leases/renew/{path..}", "renew", "renew/{path..}"], &[
        "lease_id", "url_lease_id", "increment",
    ]),
    ("kv2", &["data/{path..}"], &["data", "options", "path", "version"]),
    ("approle", &["login"], &["role_id", "secret_id"]),
    ("approle", &["role/{name}/secret-id"], &[
        "role_name", "metadata", "cidr_list", "token_bound_cidrs", "num_uses", "ttl",
    ]),
    ("approle", &["role/{name}/custom-secret-id"], &[
        "role_name", "secret_id", "metadata", "cidr_list", "token_bound_cidrs", "num_uses", "ttl",
    ]),
    ("approle", &["role/{name}/secret-id/lookup"], &["role_name", "secret_id"]),
    ("approle", &["role/{name}/secret-id-accessor/lookup"], &["role_name", "secret_id_accessor"]),
    ("userpass", &["login/{name}"], &["password", "username"]),
    ("database", &["creds/{name}"], &["name", "ttl"]),
    ("rabbitmq", &["creds/{name}"], &["name", "ttl"]),
];

/// Adds the warning to an answer with a body, if there were such names.
pub(super) fn warn(reply: Reply, (kind, pattern): (&str, &str), operation: Operation, fields: &Fields) -> Reply {
    if !matches!(operation, Operation::Write | Operation::Patch) || !reply.has_body() {
        return reply;
    }
    let listed = KNOWN.iter().find(|(of, patterns, _)| *of == kind && patterns.contains(&pattern));
    let Some((_, _, known)) = listed else { return reply };
    let mut unknown: Vec<&str> = fields.map().keys().map(String::as_str).filter(|name| !known.contains(name)).collect();
    if unknown.is_empty() {
        return reply;
    }
    unknown.sort_unstable();
    let more = match unknown.len().saturating_sub(MOST) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    unknown.truncate(MOST);
    reply.warn(format!("Endpoint ignored these unrecognized parameters: [{}]{more}", unknown.join(" ")))
}
