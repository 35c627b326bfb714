//! What requests want to act on, and what that is called in policies.

use super::Grant;
use crate::{CoreError, Operation};
use strongroom_model::{Capability, FolderPath, RequestPath, SecretPath, TokenRoleName};

/// What a request wants to act on.
#[derive(Clone)]
pub enum Object {
    /// An endpoint that is its own object. `exists` tells create from update where that matters.
    Path {
        /// Whether what a write would touch is there; `None`: a write is an update.
        exists: Option<bool>,
    },
    /// A versioned secret.
    Secret {
        /// The secret.
        path: SecretPath,
        /// What is to be done with it.
        act: SecretAct,
    },
    /// A folder of secrets, to be listed.
    Folder {
        /// The folder.
        path: FolderPath,
    },
    /// A place in the caller's own cubbyhole: an entry, or a folder to be listed.
    Cubbyhole {
        /// The place.
        place: FolderPath,
    },
    /// A token role.
    TokenRole {
        /// Its name.
        name: TokenRoleName,
    },
    /// The answer under a wrapping token: the one in the field `token`, else the one that came with the request.
    Wrapping,
}

/// What can be done with a versioned secret. Each has its path for policies, spelled as KV version 2 spells it, whatever
/// the dialect the request came through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SecretAct {
    /// Read a version's value.
    Read,
    /// Write a new version.
    Write,
    /// Write a new version from the current one and a merge patch.
    Patch,
    /// Hide the current version.
    DeleteCurrent,
    /// Hide versions by number.
    DeleteVersions,
    /// Bring hidden versions back.
    Undelete,
    /// Shred versions.
    Destroy,
    /// Read names of fields without values.
    Subkeys,
    /// Read the metadata.
    ReadMetadata,
    /// Change the metadata.
    WriteMetadata,
    /// Change parts of the metadata.
    PatchMetadata,
    /// Shred the secret with all versions.
    DeleteAll,
}

impl SecretAct {
    /// The act as the trail names it.
    pub fn word(self) -> &'static str {
        match self {
            SecretAct::Read => "read",
            SecretAct::Write => "write",
            SecretAct::Patch => "patch",
            SecretAct::DeleteCurrent => "delete-current",
            SecretAct::DeleteVersions => "delete-versions",
            SecretAct::Undelete => "undelete",
            SecretAct::Destroy => "destroy",
            SecretAct::Subkeys => "read-subkeys",
            SecretAct::ReadMetadata => "read-metadata",
            SecretAct::WriteMetadata => "write-metadata",
            SecretAct::PatchMetadata => "patch-metadata",
            SecretAct::DeleteAll => "delete-all",
        }
    }

    /// The section of a KV version 2 mount that the act belongs to.
    pub fn section(self) -> &'static str {
        match self {
            SecretAct::Read | SecretAct::Write | SecretAct::Patch | SecretAct::DeleteCurrent => "data",
            SecretAct::DeleteVersions => "delete",
            SecretAct::Undelete => "undelete",
            SecretAct::Destroy => "destroy",
            SecretAct::Subkeys => "subkeys",
            SecretAct::ReadMetadata | SecretAct::WriteMetadata | SecretAct::PatchMetadata | SecretAct::DeleteAll => {
                "metadata"
            }
        }
    }
}

/// The act that policies of secrets themselves speak of when they forbid reading.
pub(super) const READING: &str = "GetSecretValue";

/// What an act is called in the language of policies of secrets themselves, for dialects with names of their own.
pub(super) fn foreign_name(act: SecretAct) -> &'static str {
    match act {
        SecretAct::Read | SecretAct::Subkeys => READING,
        SecretAct::Write | SecretAct::Patch => "PutSecretValue",
        SecretAct::DeleteCurrent | SecretAct::DeleteVersions | SecretAct::Destroy | SecretAct::DeleteAll => {
            "DeleteSecret"
        }
        SecretAct::Undelete => "RestoreSecret",
        SecretAct::ReadMetadata => "DescribeSecret",
        SecretAct::WriteMetadata | SecretAct::PatchMetadata => "UpdateSecret",
    }
}

/// The path that policies speak of. For secrets it is built from the parsed name, never from what was typed.
pub(super) fn policy_path(grant: &Grant) -> Result<RequestPath, CoreError> {
    let (section, name) = match &grant.object {
        Object::Path { .. } | Object::Cubbyhole { .. } | Object::TokenRole { .. } | Object::Wrapping => {
            return Ok(grant.visit.path.clone());
        }
        Object::Secret { path, act } => (act.section(), path.as_str()),
        Object::Folder { path } => ("metadata", path.as_str()),
    };
    let mount = grant.mount()?;
    if mount.is_versioned_kv() && !name.is_empty() && is_spelt(&grant.visit.path, [mount.path.as_str(), section, name])
    {
        // What was typed is what would be built, letter by letter; it was checked when it came.
        return Ok(grant.visit.path.clone());
    }
    let text = match (mount.is_versioned_kv(), name) {
        (true, "") => format!("{}/{section}", mount.path),
        (true, name) => format!("{}/{section}/{name}", mount.path),
        (false, "") => mount.path.to_string(),
        (false, name) => format!("{}/{name}", mount.path),
    };
    Ok(RequestPath::parse(&text)?)
}

/// Whether a path is these parts with slashes between them.
fn is_spelt(path: &RequestPath, [mount, section, name]: [&str; 3]) -> bool {
    let rest = path.as_str().strip_prefix(mount).and_then(|rest| rest.strip_prefix('/'));
    let rest = rest.and_then(|rest| rest.strip_prefix(section)).and_then(|rest| rest.strip_prefix('/'));
    rest == Some(name)
}

pub(super) fn capability(operation: Operation, exists: Option<bool>) -> Capability {
    match (operation, exists) {
        (Operation::Read, _) => Capability::Read,
        (Operation::Write, Some(false)) => Capability::Create,
        (Operation::Write, _) => Capability::Update,
        (Operation::Patch, _) => Capability::Patch,
        (Operation::Delete, _) => Capability::Delete,
        (Operation::List, _) => Capability::List,
    }
}

pub(super) fn operation_word(operation: Operation, exists: Option<bool>) -> &'static str {
    capability(operation, exists).word()
}
