//! The token file, `~/.vault-token` as Vault has it, so that both command lines and every client library share a login.
//! Written whole or not at all, readable by its owner only; a symbolic link in its place is replaced, never written
//! through, so that nobody can have the token put into a file of theirs.

use super::env::Env;
use super::error::CliError;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use strongroom_model::SecretString;

/// Longer than any token, shorter than a file that is here by mistake.
const LONGEST: u64 = 64 << 10;

/// Where the token of a login is kept between commands.
pub(crate) struct TokenFile {
    path: PathBuf,
}

impl TokenFile {
    /// `VAULT_TOKEN_PATH`, or `.vault-token` in the user's folder; `None` when neither is known.
    pub(crate) fn of(env: &Env) -> Option<Self> {
        let path = env.setting("TOKEN_PATH").map(PathBuf::from);
        path.or_else(|| Some(env.home()?.join(".vault-token"))).map(|path| Self { path })
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The token; `None` when there is no file or it is empty.
    pub(crate) fn read(&self) -> Result<Option<SecretString>, CliError> {
        let cannot = |source| CliError::File { what: "cannot read the token file", path: self.path.clone(), source };
        let file = match File::open(&self.path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(cannot(error)),
        };
        let mut text = zeroize::Zeroizing::new(String::new());
        file.take(LONGEST).read_to_string(&mut text).map_err(cannot)?;
        let token = text.trim();
        Ok((!token.is_empty()).then(|| SecretString::new(token.to_owned())))
    }

    /// Puts the token into the file. A crash leaves the old file or the new one.
    pub(crate) fn write(&self, token: &SecretString) -> Result<(), CliError> {
        let cannot = |source| CliError::File { what: "cannot write the token file", path: self.path.clone(), source };
        let (beside, mut file) = self.create_beside().map_err(cannot)?;
        let written = file.write_all(token.expose().as_bytes()).and_then(|()| file.sync_all());
        written.and_then(|()| fs::rename(&beside, &self.path)).map_err(|error| {
            let _ = fs::remove_file(&beside);
            cannot(error)
        })
    }

    /// A new file in the same folder, so that renaming is one step. `create_new` neither follows a link nor takes over
    /// a file that somebody else has put there.
    fn create_beside(&self) -> io::Result<(PathBuf, File)> {
        let name = self.path.file_name().ok_or(io::ErrorKind::InvalidInput)?.to_string_lossy().into_owned();
        let mut taken = io::Error::from(io::ErrorKind::AlreadyExists);
        for n in 0..16 {
            let beside = self.path.with_file_name(format!("{name}.{}.{n}", std::process::id()));
            match OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside) {
                Ok(file) => return Ok((beside, file)),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => taken = error,
                Err(error) => return Err(error),
            }
        }
        Err(taken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{MetadataExt, symlink};

    fn in_folder(folder: &Path) -> TokenFile {
        let env = [("HOME".to_owned(), folder.display().to_string())].into_iter().collect();
        TokenFile::of(&env).unwrap()
    }

    #[test]
    fn a_token_is_kept_for_its_owner_only() {
        let folder = tempfile::tempdir().unwrap();
        let file = in_folder(folder.path());
        assert!(file.read().unwrap().is_none());
        file.write(&SecretString::new("hvs.a".to_owned())).unwrap();
        file.write(&SecretString::new("hvs.b".to_owned())).unwrap();
        assert_eq!(file.read().unwrap().unwrap().expose(), "hvs.b");
        assert_eq!(fs::metadata(file.path()).unwrap().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left beside it");
    }

    #[test]
    fn a_link_is_replaced_and_not_written_through() {
        let folder = tempfile::tempdir().unwrap();
        let trap = folder.path().join("trap");
        fs::write(&trap, "old").unwrap();
        let file = in_folder(folder.path());
        symlink(&trap, file.path()).unwrap();
        file.write(&SecretString::new("hvs.a".to_owned())).unwrap();
        assert_eq!(fs::read_to_string(&trap).unwrap(), "old");
        assert!(!fs::symlink_metadata(file.path()).unwrap().is_symlink());
    }

    #[test]
    fn the_path_can_be_chosen() {
        let pairs = [("HOME", "/home/x"), ("VAULT_TOKEN_PATH", "/run/t")];
        let env = pairs.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        assert_eq!(TokenFile::of(&env).unwrap().path(), Path::new("/run/t"));
    }
}
