//! Opens connections and knows the tables. A file is ours when its application id says so, and is opened only when its
//! schema version is one that this code knows; anything else is left untouched.

use super::failure::{Failure, is_no_database};
use crate::StoreError;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};
use std::path::Path;
use std::time::Duration;

/// `Strg`, in the header of every store (SQLite's `application_id`).
const APPLICATION: i64 = 0x5374_7267;

/// Grows with every change of the tables.
const VERSION: i64 = 2;

/// 3.51.3 mends the last known way to lose a commit when the log restarts ("WAL-reset bug", SQLite change log).
const OLDEST_LIBRARY: i32 = 3_051_003;

/// `kv` lies in the order in which it was written, and its keys apart from it in an index: keys are random, so a group's
/// new values fill a few pages, where they would dirty one each in the order of the keys ("Clustered Indexes and the
/// WITHOUT ROWID Optimization", 4: rows should be small). Earlier stores have it `WITHOUT ROWID`; every statement here
/// means the same there, so the version is too.
///
/// `journal` holds the latest commits with all that they changed, which is not or not surely in `kv` yet: a row for each
/// group of commits that shared a sync, under the revision of the last of them (version 2). `commits` remembers who
/// committed what before these, for `outcome` and `changes`. The greatest revision of both is the store's, so the last row
/// of `commits` is not deleted while the journal is empty. `state` has one row.
const TABLES: &str = "
    CREATE TABLE kv (key BLOB NOT NULL PRIMARY KEY, value BLOB NOT NULL, rev INTEGER NOT NULL) STRICT;
    CREATE TABLE commits (rev INTEGER PRIMARY KEY, idem BLOB NOT NULL UNIQUE, keys BLOB NOT NULL) STRICT;
    CREATE TABLE leases (name TEXT NOT NULL PRIMARY KEY, epoch INTEGER NOT NULL, expires INTEGER NOT NULL) STRICT;
    CREATE TABLE state (one INTEGER PRIMARY KEY CHECK (one = 1), epoch INTEGER NOT NULL) STRICT;
    INSERT INTO state VALUES (1, 0);
";
const JOURNAL: &str = "CREATE TABLE journal (rev INTEGER PRIMARY KEY, changes BLOB NOT NULL) STRICT;";

/// Pages that the writing connection keeps while it is busy, in KiB: changes that move to their places touch leaves all over
/// the index, and rows of the journal are read once more when they are dropped.
const WRITER_CACHE: usize = 32 * 1024;

/// How long the writer waits for a lock: a reader that meets a commit may take it for a moment to read the log's header anew
/// (`walIndexReadHdr`), and a program of somebody else is not waited for longer.
pub(super) const PATIENCE: Duration = Duration::from_millis(200);

/// Every commit is synced, and the log is moved when we say so.
const DURABLE: &str = "PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 0;";

/// The one connection that writes, and starts the log anew. Creates the tables that are missing; writes nothing to a file
/// that has all of them, so that a store opens on a full disk too.
pub(super) fn open_writer(path: &Path) -> Result<Connection, StoreError> {
    if rusqlite::version_number() < OLDEST_LIBRARY {
        return Err(foreign(path, format!("it needs SQLite 3.51.3, and this is {}", rusqlite::version())));
    }
    let opened = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE).and_then(|connection| {
        let identity = identify(&connection)?;
        Ok((connection, identity))
    });
    let (connection, identity) = match opened {
        Err(error) if is_no_database(&error) => return Err(foreign(path, "it is not an SQLite file".to_owned())),
        opened => opened.map_err(opening(path))?,
    };
    let version = identity.accept(path)?;
    prepare(&connection, version).map_err(opening(path))?;
    connection.execute_batch(&format!("PRAGMA cache_size = -{WRITER_CACHE}")).map_err(opening(path))?;
    connection.busy_timeout(PATIENCE).map_err(opening(path))?;
    Ok(connection)
}

/// A connection that moves frames of the log into the file, beside the one that writes.
pub(super) fn open_checkpointer(path: &Path) -> Result<Connection, StoreError> {
    let connection = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE).map_err(opening(path))?;
    connection.execute_batch(DURABLE).map_err(opening(path))?;
    // The log is opened by the first read.
    identify(&connection).map_err(opening(path))?;
    Ok(connection)
}

/// A connection that only reads.
pub(super) fn open_reader(path: &Path) -> Result<Connection, StoreError> {
    let connection = connect(path, OpenFlags::SQLITE_OPEN_READ_ONLY).map_err(opening(path))?;
    // Readers wait for nobody in normal running; a checkpoint that empties the log holds them for moments.
    connection.busy_timeout(Duration::from_secs(5)).map_err(opening(path))?;
    Ok(connection)
}

fn connect(path: &Path, access: OpenFlags) -> rusqlite::Result<Connection> {
    let connection = Connection::open_with_flags(path, access | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    // Closing must not write: after a failed sync a checkpoint would destroy the log that still holds the data.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    connection.busy_timeout(Duration::ZERO)?;
    connection.execute_batch("PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON; PRAGMA cache_size = -8000;")?;
    Ok(connection)
}

struct Identity {
    application: i64,
    version: i64,
    tables: i64,
}

impl Identity {
    /// The version of its tables, 0 for an empty file; an error when it is somebody else's.
    fn accept(self, path: &Path) -> Result<i64, StoreError> {
        match self {
            Identity { application: 0, version: 0, tables: 0 } => Ok(0),
            Identity { application: APPLICATION, version: version @ 1..=VERSION, .. } => Ok(version),
            Identity { application: APPLICATION, version, .. } => {
                Err(foreign(path, format!("its schema has version {version}, and this program knows {VERSION}")))
            }
            _ => Err(foreign(path, "it is the SQLite file of another program".to_owned())),
        }
    }
}

fn identify(connection: &Connection) -> rusqlite::Result<Identity> {
    Ok(Identity {
        application: connection.query_row("PRAGMA application_id", [], |row| row.get(0))?,
        version: connection.query_row("PRAGMA user_version", [], |row| row.get(0))?,
        tables: connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?,
    })
}

fn prepare(connection: &Connection, version: i64) -> rusqlite::Result<()> {
    if version == 0 {
        connection.execute_batch("PRAGMA page_size = 8192")?;
    }
    connection.query_row("PRAGMA journal_mode = WAL", [], |row| row.get::<_, String>(0))?;
    connection.execute_batch(DURABLE)?;
    let tables = match version {
        0 => format!("{TABLES} {JOURNAL} PRAGMA application_id = {APPLICATION};"),
        1 => JOURNAL.to_owned(),
        _ => return Ok(()),
    };
    connection.execute_batch(&format!("BEGIN IMMEDIATE; {tables} PRAGMA user_version = {VERSION}; COMMIT;"))
}

fn foreign(path: &Path, why: String) -> StoreError {
    StoreError::Foreign { path: path.display().to_string(), why }
}

fn opening(path: &Path) -> impl Fn(rusqlite::Error) -> StoreError {
    let what = format!("opening {}", path.display());
    move |error| Failure::from(error).of(&what)
}
