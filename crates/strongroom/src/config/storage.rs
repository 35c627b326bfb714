use super::ConfigError;
use super::reader::Reader;
use std::path::PathBuf;
use strongroom_model::hcl::Block;

/// Where data is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Storage {
    /// In one SQLite file.
    Sqlite {
        /// The file.
        path: PathBuf,
    },
    /// In a folder, as Vault's `file` storage is named.
    File {
        /// The folder.
        path: PathBuf,
    },
    /// In memory: gone when the process ends.
    Memory,
}

/// Keys that Vault takes in every storage block, for clusters.
const UNUSED: [&str; 6] =
    ["redirect_addr", "advertise_addr", "api_addr", "cluster_addr", "disable_clustering", "max_parallel"];

impl Storage {
    pub(super) fn read(block: &Block<'_>, reader: &mut Reader<'_>) -> Result<Self, ConfigError> {
        let kind = block.label.to_lowercase();
        if !matches!(kind.as_str(), "sqlite" | "file" | "inmem") {
            let what = format!("storage {kind:?} cannot be served by this version; there are: sqlite, file, inmem");
            return Err(reader.wrong(block.line, what));
        }
        let mut path = None;
        reader.warn_repeated(block.body);
        for item in block.body {
            match item.name.as_str() {
                "path" if kind != "inmem" => path = Some(PathBuf::from(reader.text(item)?)),
                "type" => {}
                name if UNUSED.contains(&name) => reader.warn_unused(item),
                _ => reader.warn_unknown(item, &format!("storage {kind:?}")),
            }
        }
        let path = path.filter(|path| !path.as_os_str().is_empty());
        match (kind.as_str(), path) {
            ("inmem", _) => Ok(Storage::Memory),
            ("sqlite", Some(path)) => Ok(Storage::Sqlite { path }),
            (_, Some(path)) => Ok(Storage::File { path }),
            (kind, None) => {
                let what = format!("storage {kind:?} needs a `path`: write `path = \"/var/lib/strongroom/...\"`");
                Err(reader.wrong(block.line, what))
            }
        }
    }
}
