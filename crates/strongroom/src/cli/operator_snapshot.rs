//! Snapshots: the whole store of the server, sealed, into a file and back; and a look into such a file, which needs no
//! server. Also under the words of Vault, `operator raft snapshot`, though there need be no Raft.

use super::bulk::{Source, file_error};
use super::error::{CliError, Doing};
use super::grammar::{Command, Exit, Flag, switch};
use super::request::Request;
use super::session::Session;
use serde_json::json;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use strongroom_core::snapshot::{Report, inspect};

const PATH: &str = "sys/storage/raft/snapshot";

const SAVE: Command = Command {
    words: "operator snapshot save",
    usage: "[flags] FILE",
    about: "Save the whole store, sealed, into a file",
    details: "\nThe server goes on. The file is checked to its end before it gets its name; one that exists is not\n\
              overwritten. With - it goes to standard output, unchecked.",
    flags: &[],
    count: (1, 1),
    run: save,
};

const RESTORE_FLAGS: &[Flag] =
    &[switch("force", "Also one of another strongroom, or with other unseal keys; the server is sealed then")];

const RESTORE: Command = Command {
    words: "operator snapshot restore",
    usage: "[flags] FILE",
    about: "Replace the whole store of the server by a snapshot",
    details: "\nEverything written since is lost, and tokens revoked since are good again. With - it comes from\n\
              standard input.",
    flags: RESTORE_FLAGS,
    count: (1, 1),
    run: restore,
};

const INSPECT: Command = Command {
    words: "operator snapshot inspect",
    usage: "[flags] FILE",
    about: "Check a snapshot, and say what it is of",
    details: "\nReads the file and needs no server. Ends with 1 when it is damaged or not whole. Compare the\n\
              public key with one that you know: who makes a snapshot anew can sign it with a key of their\n\
              own.",
    flags: &[],
    count: (1, 1),
    run: look,
};

/// What there is, in our words and in Vault's.
pub(crate) const COMMANDS: &[Command] = &[
    SAVE,
    RESTORE,
    INSPECT,
    Command { words: "operator raft snapshot save", ..SAVE },
    Command { words: "operator raft snapshot restore", ..RESTORE },
    Command { words: "operator raft snapshot inspect", ..INSPECT },
];

fn save(session: &mut Session) -> Result<Exit, CliError> {
    let name = session.parsed.arg(0).to_owned();
    let request = Request::get(PATH).in_root();
    let doing = || "Error taking the snapshot".to_owned();
    if name == "-" {
        session.transfer(&request, Source(None), None).doing(doing)?;
        return Ok(Exit::Good);
    }
    let path = PathBuf::from(&name);
    let taken = io::Error::from(io::ErrorKind::AlreadyExists);
    if path.exists() {
        return Err(file_error("cannot write", path)(taken));
    }
    let partial = PathBuf::from(format!("{name}.partial"));
    let opened = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&partial);
    let mut file = opened.map_err(file_error("cannot write", &partial))?;
    let saved = session
        .transfer(&request, Source(None), Some(&mut file))
        .doing(doing)
        .and_then(|()| keep(&mut file, &partial, &path));
    if saved.is_err() {
        drop(fs::remove_file(&partial));
    }
    let report = saved?;
    session.success(&format!(
        "Success! Saved {} records of generation {} to {name}",
        report.records, report.meta.generation
    ));
    Ok(Exit::Good)
}

/// Checks what was written, and gives it its name.
fn keep(file: &mut File, partial: &Path, path: &Path) -> Result<Report, CliError> {
    let failed = || file_error("cannot write", partial);
    file.sync_all().and_then(|()| file.rewind()).map_err(failed())?;
    let report = inspect(&*file).map_err(|error| CliError::Answer(error.to_string()))?;
    fs::rename(partial, path).map_err(file_error("cannot write", path))?;
    Ok(report)
}

fn restore(session: &mut Session) -> Result<Exit, CliError> {
    let name = session.parsed.arg(0).to_owned();
    let path = if session.parsed.is_on("force") { "sys/storage/raft/snapshot-force" } else { PATH };
    let source: Box<dyn Read + Send> = match name.as_str() {
        "-" => Box::new(io::stdin()),
        // Read here first: what is damaged need not be sent.
        name => {
            let mut file = File::open(name).map_err(file_error("cannot read", name))?;
            inspect(&file).map_err(|error| CliError::usage(error.to_string()))?;
            file.rewind().map_err(file_error("cannot read", name))?;
            Box::new(file)
        }
    };
    let request = Request::post_nothing(path).in_root();
    let restored = session.transfer(&request, Source(Some(source)), None);
    restored.doing(|| "Error restoring the snapshot".to_owned())?;
    session.success("Success! Restored the snapshot. See `strongroom status`: the server may want unseal keys.");
    Ok(Exit::Good)
}

fn look(session: &mut Session) -> Result<Exit, CliError> {
    let name = session.parsed.arg(0).to_owned();
    let report = match name.as_str() {
        "-" => inspect(io::stdin()),
        name => inspect(File::open(name).map_err(file_error("cannot read", name))?),
    };
    let report = report.map_err(|error| CliError::usage(error.to_string()))?;
    let meta = &report.meta;
    let shown = json!({
        "cluster_id": meta.cluster_id, "created": meta.created, "generation": meta.generation,
        "seal_type": meta.seal.kind, "seal_shares": meta.seal.shares, "seal_threshold": meta.seal.threshold,
        "records": report.records, "bytes": report.bytes, "digest": report.digest, "public_key": meta.public_key,
        "version": meta.version,
    });
    session.show_object(shown.as_object().unwrap_or(&serde_json::Map::new()))
}
