//! What operators set for the whole server at run time: which request headers are recorded, which web pages may call,
//! which headers the user interface sends; and which versions of the program have run over the data.
//!
//! Does not apply any of it: the doors do.

use crate::CoreError;
use crate::audit::Hmac;
use crate::configured::Configured;
use crate::records::Records;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;
use strongroom_model::{Clock, Timestamp};

/// The version of this program, as its version history names it.
pub const PROGRAM_VERSION: &str = env!("CARGO_PKG_VERSION");

/// How a recorded request header appears.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditedHeader {
    /// As a keyed hash instead of in clear.
    pub hmac: bool,
}

/// Request headers that are recorded, by lower-case name.
pub type AuditedHeaders = BTreeMap<String, AuditedHeader>;

/// Which web pages of other origins may call.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cors {
    /// Whether any may.
    pub enabled: bool,
    /// Origins; `*` alone for all.
    pub origins: Vec<String>,
    /// Request headers they may send.
    pub headers: Vec<String>,
    /// Whether they may send cookies and client certificates.
    pub credentials: bool,
}

impl Cors {
    /// Whether pages of this origin may call.
    pub fn allows(&self, origin: &str) -> bool {
        self.enabled && self.origins.iter().any(|allowed| allowed == "*" || allowed == origin)
    }
}

/// Headers that the user interface sends, by name in lower case.
pub type UiHeaders = BTreeMap<String, Vec<String>>;

/// A version of the program that has run over this data.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstalledVersion {
    /// The version.
    pub version: String,
    /// When it first opened the data.
    pub installed: Timestamp,
}

/// All of it.
pub struct ServerSettings {
    /// Request headers that are recorded.
    pub audited_headers: Configured<AuditedHeaders>,
    /// Which web pages may call.
    pub cors: Configured<Cors>,
    /// Headers of the user interface.
    pub ui_headers: Configured<UiHeaders>,
    /// Versions in the order in which they came.
    pub versions: Configured<Vec<InstalledVersion>>,
    hmac: Arc<Hmac>,
}

impl ServerSettings {
    pub(crate) async fn load(records: &Arc<Records>, hmac: &Arc<Hmac>, clock: &dyn Clock) -> Result<Self, CoreError> {
        let settings = Self {
            audited_headers: Configured::load(records, "audited-headers").await?,
            cors: Configured::load(records, "cors").await?,
            ui_headers: Configured::load(records, "ui-headers").await?,
            versions: Configured::load(records, "versions").await?,
            hmac: Arc::clone(hmac),
        };
        if settings.versions.current().last().is_none_or(|last| last.version != PROGRAM_VERSION) {
            let installed = clock.now();
            let note = |versions: &mut Vec<InstalledVersion>| {
                versions.push(InstalledVersion { version: PROGRAM_VERSION.to_owned(), installed });
                Ok(())
            };
            settings.versions.change_internal(note).await?;
        }
        Ok(settings)
    }

    /// The headers of a request that are to be recorded, as they may stand in the trail. `values` gives the values of
    /// a header by its lower-case name.
    pub fn noted_headers(&self, values: impl Fn(&str) -> Vec<String>) -> BTreeMap<String, Vec<String>> {
        let audited = self.audited_headers.current();
        let noted = audited.iter().map(|(name, how)| {
            let values = values(name);
            let shown = if how.hmac { values.iter().map(|v| self.hmac.text(v.as_bytes())).collect() } else { values };
            (name.clone(), shown)
        });
        noted.filter(|(_, values)| !values.is_empty()).collect()
    }
}
