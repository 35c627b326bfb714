use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A device as the operator asked for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceSpec {
    /// The path it is enabled under, without slash (`file`).
    pub path: String,
    /// `file`.
    #[serde(rename = "type")]
    pub kind: String,
    /// What people wrote about it.
    pub description: String,
    /// `file_path` and so on, as Vault names them.
    pub options: BTreeMap<String, String>,
}

/// How a device does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceStatus {
    /// The path it is enabled under.
    pub path: String,
    /// Whether it takes entries now.
    pub healthy: bool,
    /// Entries that wait for it.
    pub behind: u64,
    /// The last error.
    pub error: Option<String>,
}
