//! Who writes to which file: two that append to one file would mix their lines, and neither form could be read any more.
//!
//! A file is known by itself, not by how its path is spelt: links, second names and `..` lead to the same one. Devices that
//! take everything and keep nothing (`/dev/null`) may be had by all. Does not look at what other programs write.

use crate::TrailError;
use crate::trail::lock;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

/// The files that are written to, by who does.
#[derive(Default)]
pub(crate) struct Claims(Mutex<BTreeMap<String, PathBuf>>);

/// What a path leads to.
#[derive(PartialEq, Eq)]
enum Real {
    /// A file, by its device and number.
    File(u64, u64),
    /// One that is not there yet, by its folder's real name and its own.
    Name(PathBuf),
    /// Nothing that two could disturb each other by.
    Shared,
}

impl Claims {
    /// Notes that somebody writes there, or says who does already. Somebody who claims again is heard again.
    pub(crate) fn claim(&self, owner: &str, path: &Path) -> Result<(), TrailError> {
        let mut held = lock(&self.0);
        let wanted = real(path);
        let taken =
            held.iter().find(|(other, theirs)| *other != owner && wanted != Real::Shared && real(theirs) == wanted);
        if let Some((other, theirs)) = taken {
            return Err(TrailError::Device(format!(
                "{owner} cannot write to {}: {other} writes to that file ({}), and their lines would be mixed; name \
                 another file for one of them",
                path.display(),
                theirs.display()
            )));
        }
        held.insert(owner.to_owned(), path.to_owned());
        Ok(())
    }

    /// Notes that somebody writes no more.
    pub(crate) fn release(&self, owner: &str) {
        lock(&self.0).remove(owner);
    }
}

fn real(path: &Path) -> Real {
    if let Ok(meta) = fs::metadata(path) {
        return match meta.file_type().is_char_device() {
            true => Real::Shared,
            false => Real::File(meta.dev(), meta.ino()),
        };
    }
    let folder = path.parent().and_then(|folder| fs::canonicalize(folder).ok());
    match (folder, path.file_name()) {
        (Some(folder), Some(name)) => Real::Name(folder.join(name)),
        _ => Real::Name(path.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_file_under_whatever_name_has_one_writer() {
        let dir = tempfile::tempdir().unwrap();
        let (real, link) = (dir.path().join("real"), dir.path().join("link"));
        fs::create_dir(&real).unwrap();
        std::os::unix::fs::symlink(&real, &link).unwrap();
        let claims = Claims::default();
        // Not there yet.
        claims.claim("the one", &real.join("a.log")).unwrap();
        claims.claim("the one", &real.join("a.log")).unwrap();
        let spelt = [real.join("a.log"), link.join("a.log"), real.join("../real/a.log"), real.join("./a.log")];
        for path in &spelt {
            let refused = claims.claim("the other", path).unwrap_err().to_string();
            assert!(refused.contains("the one") && refused.contains("the other"), "{refused}");
        }
        // There, and under a second name.
        fs::write(real.join("a.log"), "x").unwrap();
        fs::hard_link(real.join("a.log"), dir.path().join("second")).unwrap();
        std::os::unix::fs::symlink(real.join("a.log"), dir.path().join("third")).unwrap();
        for path in spelt.iter().chain(&[dir.path().join("second"), dir.path().join("third")]) {
            assert!(claims.claim("the other", path).is_err(), "{}", path.display());
        }
        claims.claim("the other", &real.join("b.log")).unwrap();
        claims.release("the one");
        claims.claim("a third", &dir.path().join("second")).unwrap();
        for who in ["x", "y"] {
            claims.claim(who, Path::new("/dev/null")).unwrap();
        }
    }
}
