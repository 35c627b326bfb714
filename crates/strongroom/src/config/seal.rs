use super::ConfigError;
use super::reader::Reader;
use std::path::PathBuf;
use strongroom_model::hcl::{Block, Item};

/// One `seal` block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Seal {
    /// How the root key is kept.
    pub(crate) kind: SealType,
    /// Whether it is only there to migrate away from.
    pub(crate) disabled: bool,
}

/// How a seal keeps the root key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum SealType {
    /// By shares that people hold.
    Shamir,
    /// By a key that this machine is given.
    Static {
        /// The key that new wrappings are made with.
        current: SealKey,
        /// The key before it, while it is being replaced.
        previous: Option<SealKey>,
    },
}

/// A key of a static seal: its name and where to find it, not the key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SealKey {
    /// The operator's name for this key; another key needs another name.
    pub(crate) id: String,
    /// Where the key is.
    pub(crate) source: KeySource,
}

/// Where a key is found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum KeySource {
    /// In this file: `file:///run/keys/seal`.
    File(PathBuf),
    /// In this variable of the environment: `env://SEAL_KEY`.
    Environment(String),
}

/// Keys of a seal block that serve clusters and hardware.
const UNUSED: [&str; 8] = [
    "name",
    "priority",
    "purpose",
    "health_check_enabled",
    "health_check_timeout",
    "health_check_interval",
    "health_check_interval_unhealthy",
    "type",
];

/// The keys of a static seal while they are gathered.
#[derive(Default)]
struct Draft {
    current: Option<KeySource>,
    current_id: Option<String>,
    previous: Option<KeySource>,
    previous_id: Option<String>,
}

impl Seal {
    pub(super) fn read(block: &Block<'_>, reader: &mut Reader<'_>) -> Result<Self, ConfigError> {
        let kind = block.label.to_lowercase();
        if !matches!(kind.as_str(), "shamir" | "static") {
            let what = format!("seal {kind:?} cannot be served by this version; there are: shamir, static");
            return Err(reader.wrong(block.line, what));
        }
        let mut draft = Draft::default();
        let mut disabled = false;
        reader.warn_repeated(block.body);
        for item in block.body {
            match item.name.as_str() {
                "disabled" => disabled = reader.switch(item)?,
                "current_key" if kind == "static" => draft.current = Some(key_source(item, reader)?),
                "current_key_id" if kind == "static" => draft.current_id = Some(reader.text(item)?),
                "previous_key" if kind == "static" => draft.previous = Some(key_source(item, reader)?),
                "previous_key_id" if kind == "static" => draft.previous_id = Some(reader.text(item)?),
                name if UNUSED.contains(&name) => {
                    if name != "type" {
                        reader.warn_unused(item);
                    }
                }
                _ => reader.warn_unknown(item, &format!("seal {kind:?}")),
            }
        }
        let kind = if kind == "shamir" { SealType::Shamir } else { draft.finish(block, reader)? };
        Ok(Self { kind, disabled })
    }
}

impl Draft {
    fn finish(self, block: &Block<'_>, reader: &Reader<'_>) -> Result<SealType, ConfigError> {
        let incomplete = |which: &str| {
            let what = format!(
                "seal \"static\" needs `{which}_key` and `{which}_key_id` together: write `{which}_key = \"file:///...\"` and a name for that key"
            );
            reader.wrong(block.line, what)
        };
        let current = match (self.current, self.current_id) {
            (Some(source), Some(id)) => SealKey { id, source },
            _ => return Err(incomplete("current")),
        };
        let previous = match (self.previous, self.previous_id) {
            (Some(source), Some(id)) => Some(SealKey { id, source }),
            (None, None) => None,
            _ => return Err(incomplete("previous")),
        };
        if previous.as_ref().is_some_and(|previous| previous.id == current.id) {
            return Err(reader.wrong(block.line, "the two keys of seal \"static\" have the same id: name them apart"));
        }
        Ok(SealType::Static { current, previous })
    }
}

/// `file://` or `env://`. OpenBao also takes the key itself; here it is refused, because configuration files are
/// copied, printed and kept in version control.
fn key_source(item: &Item, reader: &Reader<'_>) -> Result<KeySource, ConfigError> {
    let text = reader.text(item)?;
    let file = text.strip_prefix("file://").filter(|path| !path.is_empty());
    let variable = text.strip_prefix("env://").filter(|name| !name.is_empty());
    match (file, variable) {
        (Some(path), _) => Ok(KeySource::File(path.into())),
        (None, Some(name)) => Ok(KeySource::Environment(name.to_owned())),
        (None, None) => {
            let what = format!(
                "`{}` must say where the key is, not what it is: write `file:///path/of/key` or `env://NAME`",
                item.name
            );
            Err(reader.wrong(item.line, what))
        }
    }
}
