use super::read::{Reader, Report, inspect};
use crate::gate::Grant;
use crate::{CoreError, Open, Strongroom};
use std::fs::File;
use std::io::{self, Seek, Write};
use strongroom_barrier::BarrierError;
use strongroom_storage::{Rows, StoreError};

/// A snapshot on its way in, in a file without a name beside the store.
pub struct Spool(File);

/// A snapshot that was found sound and may be restored. Carried out after the request is recorded, since that closes the
/// server that records it.
pub struct RestoreOrder {
    file: File,
    pub(crate) report: Report,
    pub(crate) forced: bool,
}

impl Spool {
    /// Adds what has come.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), CoreError> {
        self.0.write_all(bytes).map_err(|source| {
            CoreError::Barrier(BarrierError::Store(match source.kind() {
                io::ErrorKind::StorageFull => StoreError::Full,
                _ => StoreError::Io { what: "keeping a snapshot that is coming in".to_owned(), source },
            }))
        })
    }
}

impl Strongroom {
    /// Room for a snapshot.
    pub fn spool(&self, _grant: &Grant) -> Result<Spool, CoreError> {
        self.store().spool().map(Spool).map_err(|error| BarrierError::from(error).into())
    }
}

impl Open {
    /// Reads the whole snapshot, and refuses one that is not sound; one that the keys of this strongroom do not open or
    /// did not sign is taken only when it is forced. Nothing is changed yet.
    pub async fn examine(&self, _grant: &Grant, spool: Spool, forced: bool) -> Result<RestoreOrder, CoreError> {
        // Reading may take long, so it has a thread of its own, which is waited for here.
        let reading = tokio::task::spawn_blocking(move || {
            let mut file = spool.0;
            rewind(&mut file)?;
            inspect(&file).map(|report| (report, file))
        });
        let read = reading.await.map_err(|_| CoreError::Internal("reading a snapshot was interrupted"))?;
        let (report, file) = read?;
        if !forced {
            self.check_belongs(&report)?;
        }
        Ok(RestoreOrder { file, report, forced })
    }

    pub(crate) fn check_belongs(&self, report: &Report) -> Result<(), CoreError> {
        let theirs = &report.meta.cluster_id;
        if !self.barrier.heir()?.opens(&report.seal_row) {
            let same = *theirs == self.seal_status().cluster_id;
            let why = if same {
                "it was taken before the unseal keys were replaced, so those of now do not open it".to_owned()
            } else {
                format!("it is of another strongroom ({theirs})")
            };
            return Err(CoreError::Snapshot(format!(
                "{why}. To restore it all the same, force it; the server is sealed then, and takes the unseal keys that \
                 were good when the snapshot was taken"
            )));
        }
        if report.meta.public_key != hex::encode(self.barrier.public_key()) {
            return Err(CoreError::Snapshot("it was not signed by this strongroom".to_owned()));
        }
        Ok(())
    }
}

impl RestoreOrder {
    /// The rows, checked once more as they are read: what was examined may have changed on a failing disk.
    pub(crate) fn into_rows(self) -> Result<Rows, CoreError> {
        let mut file = self.file;
        rewind(&mut file)?;
        let mut reader = Reader::open(file).map_err(CoreError::Snapshot)?;
        let failed = |why: String| StoreError::Io {
            what: "reading the snapshot again".to_owned(),
            source: io::Error::other(why),
        };
        Ok(Box::new(std::iter::from_fn(move || reader.row().map_err(failed).transpose())))
    }
}

fn rewind(file: &mut File) -> Result<(), CoreError> {
    let what = || "reading a snapshot that came in".to_owned();
    file.rewind().map_err(|source| BarrierError::Store(StoreError::Io { what: what(), source }).into())
}
