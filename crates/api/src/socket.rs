//! Where connections come from: TCP, or a socket on this machine. A unix socket that a dead server left behind is taken
//! over; one at which somebody listens is not, nor is a file that is no socket. It is removed at the end, unless it is
//! another's by then.

use crate::ListenError;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _, chown};
use std::os::unix::net::UnixStream as Probe;
use std::path::{Path, PathBuf};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};

/// Who may connect to a unix socket; what is not said is left as the system makes it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UnixRights {
    /// The permissions, as `0o660`.
    pub mode: Option<u32>,
    /// The number of its owner.
    pub user: Option<u32>,
    /// The number of its group.
    pub group: Option<u32>,
}

/// An open socket.
pub(crate) enum Socket {
    Tcp(TcpListener),
    Unix { socket: UnixListener, _trace: Trace },
}

/// A connection, and who is at its other end; a unix socket does not say.
pub(crate) enum Accepted {
    Tcp(TcpStream, SocketAddr),
    Unix(UnixStream),
}

impl Socket {
    pub(crate) async fn accept(&self) -> io::Result<Accepted> {
        match self {
            Socket::Tcp(socket) => socket.accept().await.map(|(stream, peer)| Accepted::Tcp(stream, peer)),
            Socket::Unix { socket, .. } => socket.accept().await.map(|(stream, _)| Accepted::Unix(stream)),
        }
    }
}

/// The file of a unix socket, removed with it.
pub(crate) struct Trace {
    path: PathBuf,
    identity: Option<(u64, u64)>,
}

impl Trace {
    fn of(path: &Path) -> Self {
        Self { path: path.to_owned(), identity: identity(path) }
    }
}

impl Drop for Trace {
    fn drop(&mut self) {
        if self.identity.is_some() && identity(&self.path) == self.identity {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

fn identity(path: &Path) -> Option<(u64, u64)> {
    std::fs::symlink_metadata(path).ok().map(|meta| (meta.dev(), meta.ino()))
}

/// Makes the socket and gives it to whom it should be.
pub(crate) fn bind_unix(path: &Path, rights: &UnixRights) -> Result<Socket, ListenError> {
    let wrong = |problem: String| ListenError::Unix { path: path.display().to_string(), problem };
    clear(path).map_err(wrong)?;
    let socket = UnixListener::bind(path).map_err(|error| match error.kind() {
        ErrorKind::NotFound => wrong("its folder does not exist; make it".to_owned()),
        ErrorKind::PermissionDenied => wrong("this user may not make files in its folder".to_owned()),
        _ => wrong(error.to_string()),
    })?;
    let trace = Trace::of(path);
    // The owner first: giving a file away may take bits from its mode.
    let given = chown(path, rights.user, rights.group);
    given.map_err(|error| wrong(format!("it cannot be given to that user and group: {error}")))?;
    if let Some(mode) = rights.mode {
        let set = std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode));
        set.map_err(|error| wrong(format!("its permissions cannot be set: {error}")))?;
    }
    Ok(Socket::Unix { socket, _trace: trace })
}

/// Removes what a dead server left.
fn clear(path: &Path) -> Result<(), String> {
    let meta = match std::fs::symlink_metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error.to_string()),
        Ok(meta) => meta,
    };
    if !meta.file_type().is_socket() {
        return Err("there is a file that is no socket; choose another path, or move it away".to_owned());
    }
    match Probe::connect(path) {
        Ok(_) => Err("somebody listens there; is another server running?".to_owned()),
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => {
            std::fs::remove_file(path).map_err(|error| format!("what a dead server left cannot be removed: {error}"))
        }
        Err(error) => Err(format!("it cannot be told whether somebody listens there: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bind(path: &Path, rights: &UnixRights) -> Result<Socket, String> {
        bind_unix(path, rights).map_err(|error| error.to_string())
    }

    #[tokio::test]
    async fn a_dead_servers_socket_is_taken_over_and_a_living_ones_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sock");
        // What a process that was killed leaves behind.
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        let rights = UnixRights { mode: Some(0o660), ..UnixRights::default() };
        let first = bind(&path, &rights).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o7777, 0o660);
        let refused = bind(&path, &rights).err().unwrap();
        assert!(refused.contains("somebody listens there"), "{refused}");
        drop(first);
        assert!(!path.exists(), "it goes with its server");
    }

    #[tokio::test]
    async fn what_is_no_socket_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notes.txt");
        std::fs::write(&path, "mine").unwrap();
        let refused = bind(&path, &UnixRights::default()).err().unwrap();
        assert!(refused.contains("no socket"), "{refused}");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "mine");
        let missing = bind(&folder.path().join("none/sock"), &UnixRights::default()).err().unwrap();
        assert!(missing.contains("its folder does not exist"), "{missing}");
    }

    #[tokio::test]
    async fn the_socket_of_a_successor_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sock");
        let first = bind(&path, &UnixRights::default()).unwrap();
        std::fs::rename(&path, folder.path().join("old")).unwrap();
        let second = bind(&path, &UnixRights::default()).unwrap();
        drop(first);
        assert!(path.exists());
        drop(second);
    }
}
