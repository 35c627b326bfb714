//! Reads the options of a `file` device. What could turn an audit file into something else (a prefix, an executable
//! mode, a place among the trail's own files) is refused: CVE-2025-6000 was made of these.

use crate::TrailError;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Where a device writes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// A file, by absolute path.
    File(PathBuf),
    /// The standard output of the server.
    Stdout,
    /// Nowhere: for measuring.
    Discard,
}

/// The options of a `file` device, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FileOptions {
    /// Where to.
    pub(crate) target: Target,
    /// The permissions to set; `None` leaves those of an existing file alone.
    pub(crate) mode: Option<u32>,
    /// Whether accessors are hashed.
    pub(crate) hmac_accessor: bool,
    /// Whether the answers to lists are replaced by their length.
    pub(crate) elide_list_responses: bool,
}

impl FileOptions {
    /// Reads them, or says which one cannot be served and why.
    pub(crate) fn parse(options: &BTreeMap<String, String>) -> Result<Self, TrailError> {
        let mut read =
            Self { target: Target::Discard, mode: Some(0o600), hmac_accessor: true, elide_list_responses: false };
        let path = options.get("file_path").or_else(|| options.get("path"));
        let path = path.ok_or_else(|| refused("audit device option `file_path` is missing"))?;
        read.target = target(path)?;
        for (name, value) in options {
            match name.as_str() {
                "file_path" | "path" => {}
                "hmac_accessor" => read.hmac_accessor = flag(name, value)?,
                "elide_list_responses" => read.elide_list_responses = flag(name, value)?,
                "mode" => read.mode = mode(value)?,
                "log_raw" => raw(flag(name, value)?)?,
                "format" => format(value)?,
                "prefix" => prefix(value)?,
                _ => return Err(refused(format!("audit device option `{name}` is not known"))),
            }
        }
        Ok(read)
    }
}

fn refused(why: impl Into<String>) -> TrailError {
    TrailError::Device(why.into())
}

fn target(path: &str) -> Result<Target, TrailError> {
    if path.eq_ignore_ascii_case("stdout") {
        return Ok(Target::Stdout);
    }
    if path.eq_ignore_ascii_case("discard") {
        return Ok(Target::Discard);
    }
    let path = PathBuf::from(path);
    if !path.is_absolute() || path.file_name().is_none() {
        return Err(refused("audit device option `file_path` must be an absolute path, `stdout` or `discard`"));
    }
    Ok(Target::File(path))
}

/// The spellings that Go's ParseBool reads, since that is what clients of Vault send.
fn flag(name: &str, value: &str) -> Result<bool, TrailError> {
    match value {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err(refused(format!("audit device option `{name}` must be `true` or `false`"))),
    }
}

fn mode(value: &str) -> Result<Option<u32>, TrailError> {
    let bits =
        u32::from_str_radix(value, 8).map_err(|_| refused("audit device option `mode` must be an octal number"))?;
    match bits {
        0 => Ok(None),
        bits if bits & !0o666 == 0 => Ok(Some(bits)),
        _ => Err(refused("audit device option `mode` may hold read and write permissions only, such as `0600`")),
    }
}

fn raw(wanted: bool) -> Result<(), TrailError> {
    if wanted {
        return Err(refused("audit device option `log_raw` cannot be `true`: the trail never holds raw values"));
    }
    Ok(())
}

fn format(value: &str) -> Result<(), TrailError> {
    match value {
        "json" => Ok(()),
        "jsonx" => Err(refused("audit device format `jsonx` is not available; use `json`")),
        _ => Err(refused("audit device option `format` must be `json`")),
    }
}

fn prefix(value: &str) -> Result<(), TrailError> {
    if value.is_empty() {
        return Ok(());
    }
    Err(refused(
        "audit device option `prefix` is not taken: chosen by a caller, it would let them write a file of another kind \
         (CVE-2025-6000); let the log collector add it",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(options: &[(&str, &str)]) -> Result<FileOptions, String> {
        let options = options.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        FileOptions::parse(&options).map_err(|error| error.to_string())
    }

    #[test]
    fn reads_what_vault_reads() {
        let read = parse(&[("file_path", "/var/log/a.log"), ("mode", "0640"), ("hmac_accessor", "false")]).unwrap();
        assert_eq!(read.target, Target::File("/var/log/a.log".into()));
        assert_eq!((read.mode, read.hmac_accessor, read.elide_list_responses), (Some(0o640), false, false));
        assert_eq!(parse(&[("path", "STDOUT")]).unwrap().target, Target::Stdout);
        assert_eq!(parse(&[("file_path", "discard"), ("mode", "0000")]).unwrap().mode, None);
        assert!(parse(&[("file_path", "stdout"), ("log_raw", "false"), ("format", "json"), ("prefix", "")]).is_ok());
    }

    #[test]
    fn refuses_what_it_cannot_serve_and_says_why() {
        let refused = [
            (vec![], "`file_path` is missing"),
            (vec![("file_path", "a.log")], "absolute"),
            (vec![("file_path", "/")], "absolute"),
            (vec![("file_path", "stdout"), ("log_raw", "true")], "never holds raw values"),
            (vec![("file_path", "stdout"), ("log_raw", "perhaps")], "`true` or `false`"),
            (vec![("file_path", "stdout"), ("format", "jsonx")], "use `json`"),
            (vec![("file_path", "stdout"), ("prefix", "#!/bin/sh\n")], "CVE-2025-6000"),
            (vec![("file_path", "stdout"), ("mode", "0755")], "read and write"),
            (vec![("file_path", "stdout"), ("mode", "04600")], "read and write"),
            (vec![("file_path", "stdout"), ("mode", "rw")], "octal"),
            (vec![("file_path", "stdout"), ("colour", "red")], "`colour` is not known"),
        ];
        for (options, why) in refused {
            let error = parse(&options).unwrap_err();
            assert!(error.contains(why), "{options:?}: {error}");
        }
    }
}
