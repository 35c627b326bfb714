//! From paths on the command line to parsed files.

use super::ConfigError;
use std::path::{Path, PathBuf};
use strongroom_model::hcl::{self, Item};

/// One file, parsed.
pub(super) struct ParsedFile {
    /// Its path as given, for errors.
    pub(super) path: PathBuf,
    /// Its keys, in order.
    pub(super) items: Vec<Item>,
}

/// The files to read, in order: a folder stands for its `*.hcl` and `*.json` by name. A file that is named twice, or
/// named and in a folder that is named, is read once.
pub(super) fn expand(paths: &[PathBuf]) -> Result<Vec<PathBuf>, ConfigError> {
    let mut files: Vec<PathBuf> = Vec::new();
    let mut known: Vec<PathBuf> = Vec::new();
    for path in paths {
        let found = if path.is_dir() { folder(path)? } else { vec![path.clone()] };
        for file in found {
            let real = file.canonicalize().map_err(|source| ConfigError::Unreadable { file: file.clone(), source })?;
            if !known.contains(&real) {
                known.push(real);
                files.push(file);
            }
        }
    }
    Ok(files)
}

fn folder(path: &Path) -> Result<Vec<PathBuf>, ConfigError> {
    let unreadable = |source| ConfigError::Unreadable { file: path.to_owned(), source };
    let mut files = Vec::new();
    for entry in std::fs::read_dir(path).map_err(unreadable)? {
        let file = entry.map_err(unreadable)?.path();
        if is_configuration(&file) && !file.is_dir() {
            files.push(file);
        }
    }
    files.sort();
    if files.is_empty() { Err(ConfigError::EmptyFolder(path.to_owned())) } else { Ok(files) }
}

/// By its ending, leaving out what editors keep beside a file (`#x.hcl#`, `.#x.hcl`, `x.hcl~`).
fn is_configuration(file: &Path) -> bool {
    let ending = file.extension().and_then(|ending| ending.to_str());
    let name = file.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    matches!(ending, Some("hcl" | "json")) && !name.starts_with(".#") && !name.starts_with('#')
}

pub(super) fn read(path: PathBuf) -> Result<ParsedFile, ConfigError> {
    match std::fs::read_to_string(&path) {
        Ok(text) => match hcl::parse(&text) {
            Ok(items) => Ok(ParsedFile { path, items }),
            Err(mistake) => Err(ConfigError::Syntax { file: path, mistake }),
        },
        Err(source) => Err(ConfigError::Unreadable { file: path, source }),
    }
}
