use crate::address::Address;
use crate::committer::{self, Job, QUEUE, Work};
use crate::interior::Interior;
use crate::place::{Place, shelf_prefix};
use crate::reading::{ADDED, Trouble, Wanted};
use crate::{
    BarrierError, Finding, Record, SealStatus, SealedKey, SealedValue, Shelf, Txn, ValueBinding, ValueOpener, seal,
    value,
};
use std::sync::{Arc, Mutex, PoisonError};
use strongroom_memory::LockedKey;
use strongroom_model::{NamespaceId, SecretBytes, SecretId};
use strongroom_storage::Revision;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

/// The open barrier: an encrypted store. Exists only while unsealed.
pub struct Barrier {
    interior: Arc<Interior>,
    queue: Mutex<Option<mpsc::Sender<Job>>>,
    /// Owns the committer; dropping it stops the committer.
    tasks: tokio::sync::Mutex<JoinSet<()>>,
}

/// What the barrier knows about its own writing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Health {
    /// Whether commits are tried. `false` after the store has stopped, after another server took over, and after
    /// `close`; a full disk does not count, since writing resumes when there is room.
    pub writable: bool,
    /// Counts commits; never goes back. Goes into the trail's checkpoints.
    pub generation: u64,
}

impl Barrier {
    pub(crate) fn start(interior: Interior) -> Arc<Self> {
        let interior = Arc::new(interior);
        let (queue, jobs) = mpsc::channel(QUEUE);
        let mut tasks = JoinSet::new();
        tasks.spawn(committer::run(interior.clone(), jobs));
        Arc::new(Self { interior, queue: Mutex::new(Some(queue)), tasks: tokio::sync::Mutex::new(tasks) })
    }

    pub(crate) fn interior(&self) -> &Interior {
        &self.interior
    }

    /// The record at that place, verified to be genuine and the latest.
    pub async fn get(&self, at: &Address) -> Result<Option<Record>, BarrierError> {
        self.interior.read(at).await
    }

    /// Whether a record is vouched for at that place, without reading it: for who is about to write there. What somebody
    /// put there behind the barrier's back is not noticed; [`Barrier::get`] notices, and a commit writes over it.
    pub async fn lists(&self, at: &Address) -> Result<bool, BarrierError> {
        Ok(self.revision(at).await?.is_some())
    }

    /// The revision of the record that is vouched for at that place, without reading it: for who read it a moment ago, and
    /// wants to know whether it is still the same.
    pub async fn revision(&self, at: &Address) -> Result<Option<Revision>, BarrierError> {
        let keys = self.interior.keys()?;
        let place = keys.place(at);
        let page = self.interior.surely_page(&keys, place.bucket()).await?;
        Ok(page.find(&place).map(|listed| Revision(listed.generation)))
    }

    /// Records of the shelf after the given place (from the start when `None`), at most `limit`; fewer only when there
    /// are no more. `named` places come in an arbitrary but stable order, `ordered` ones by number.
    ///
    /// Each record is genuine and the latest, but they are not all of one moment, and a record that was removed behind
    /// the barrier's back is not missed here: [`Barrier::get`] and [`Barrier::verify_all`] find that, and
    /// [`Barrier::is_whole`] for counted shelves.
    pub async fn scan(
        &self,
        shelf: &Shelf,
        after: Option<&Address>,
        limit: usize,
    ) -> Result<Vec<Record>, BarrierError> {
        let keys = self.interior.keys()?;
        let prefix = shelf_prefix(&keys.shelf(shelf));
        let mut last = after.map(|at| keys.place(at).key().to_vec());
        let mut records = Vec::new();
        while records.len() < limit {
            let asked = limit - records.len();
            let rows = self.interior.store.list(&prefix, last.as_deref(), asked).await?;
            let complete = rows.len() < asked;
            last = rows.last().map(|row| row.key.clone()).or(last);
            for row in rows {
                let place = Place::found(&row.key).ok_or_else(|| BarrierError::tampered(shelf.kind, ADDED))?;
                let wanted = Wanted { place: &place, namespace: shelf.namespace, kind: shelf.kind };
                let record = match self.interior.look(&keys, wanted, Some(row.value)).await {
                    Ok(record) => record,
                    // Changed or deleted since it was listed, or tampered with.
                    Err(Trouble::Doubt { .. }) => self.interior.read_wanted(&keys, wanted).await?,
                    Err(Trouble::Failed(error)) => return Err(error),
                };
                records.extend(record);
            }
            if complete {
                break;
            }
        }
        Ok(records)
    }

    /// Commits all changes together; durable when it returns. Concurrent callers share one sync of the disk.
    /// The revision is the one that the records put will have. When the future is dropped the change may still be made.
    pub async fn commit(&self, txn: Txn) -> Result<Revision, BarrierError> {
        self.ask(Work::Change(txn)).await
    }

    /// Gives the committer work and waits until it is done.
    pub(crate) async fn ask(&self, work: Work) -> Result<Revision, BarrierError> {
        let queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner).clone().ok_or(BarrierError::Closed)?;
        let (answer, wait) = oneshot::channel();
        // In two steps: sending would hold the work twice.
        queue.reserve().await.map_err(|_| BarrierError::Closed)?.send(Job { work, answer });
        // Without an answer the committer was stopped in the middle.
        wait.await.unwrap_or(Err(BarrierError::Unknown))
    }

    /// Calls the function after each commit with the places changed by it, before the callers are answered.
    ///
    /// It must return quickly and must not call the barrier. A cache that fills itself from `get` must not keep what it
    /// began to read before such a call.
    pub fn subscribe(&self, watcher: impl Fn(&[Address]) + Send + Sync + 'static) {
        self.interior.watch(Box::new(watcher));
    }

    /// Makes a key for a new secret. Waits for a commit when it is the first thing ever kept in the namespace.
    pub async fn new_secret_key(&self, namespace: NamespaceId, secret: SecretId) -> Result<SealedKey, BarrierError> {
        let keys = self.interior.keys()?;
        let key = self.namespace_key(namespace).await?;
        value::new_key(keys.cluster, &key, namespace, secret, &*self.interior.entropy)
    }

    /// Seals a version's value under a key used this once.
    pub async fn seal_value(
        &self,
        key: &SealedKey,
        binding: ValueBinding,
        plain: &[u8],
    ) -> Result<SealedValue, BarrierError> {
        let keys = self.interior.keys()?;
        let above = self.namespace_key(binding.namespace).await?;
        value::seal(keys.cluster, &above, key, binding, plain, &*self.interior.entropy)
    }

    /// Makes a key for a new secret and seals its first value under it, as [`Barrier::new_secret_key`] and
    /// [`Barrier::seal_value`] would, without opening the key in between.
    pub async fn first_value(
        &self,
        binding: ValueBinding,
        plain: &[u8],
    ) -> Result<(SealedKey, SealedValue), BarrierError> {
        let keys = self.interior.keys()?;
        let above = self.namespace_key(binding.namespace).await?;
        value::first(keys.cluster, &above, binding, plain, &*self.interior.entropy)
    }

    /// Opens a version's value.
    pub async fn open_value(
        &self,
        key: &SealedKey,
        binding: ValueBinding,
        sealed: &SealedValue,
    ) -> Result<SecretBytes, BarrierError> {
        self.value_opener(key, binding, sealed).await?.open(sealed)
    }

    /// What opens this value from now on. Whoever keeps it must let go of it when the value is no longer to be read.
    pub async fn value_opener(
        &self,
        key: &SealedKey,
        binding: ValueBinding,
        sealed: &SealedValue,
    ) -> Result<ValueOpener, BarrierError> {
        let keys = self.interior.keys()?;
        let above = self.namespace_key(binding.namespace).await?;
        ValueOpener::of(keys.cluster, &above, key, binding, sealed)
    }

    /// Opens a version's value with what was made for it. Fails once the barrier is closed, whoever still holds the opener.
    pub fn open_value_with(&self, opener: &ValueOpener, sealed: &SealedValue) -> Result<SecretBytes, BarrierError> {
        self.interior.keys()?;
        opener.open(sealed)
    }

    /// The key of the namespace, made on first use.
    async fn namespace_key(&self, namespace: NamespaceId) -> Result<Arc<LockedKey>, BarrierError> {
        for _ in 0..2 {
            let keys = self.interior.keys()?;
            if let Some(key) = keys.namespace(namespace) {
                return Ok(key);
            }
            // Going through the committer reads the key or makes it, and two callers cannot make two.
            self.commit(Txn { namespace: Some(namespace), ..Txn::default() }).await?;
        }
        Err(BarrierError::Library("make the key of a namespace"))
    }

    /// HMAC-SHA-256 over purpose (`token`, `audit`, `lease`, ...) and data, under a key that does nothing else: lookups
    /// by secret and fingerprints in the trail. Hashes for one purpose say nothing about those for another.
    /// After `close` it answers zeros, which match nothing.
    pub fn keyed_hash(&self, purpose: &'static str, data: &[u8]) -> [u8; 32] {
        self.interior.keys().map_or([0; 32], |keys| keys.keyed_hash(purpose, data))
    }

    /// Signs with the server's Ed25519 key. After `close` it answers zeros, which no verifier accepts.
    pub fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.interior.keys().map_or([0; 64], |keys| keys.sign(message))
    }

    /// The public part of that key; zeros after `close`.
    pub fn public_key(&self) -> [u8; 32] {
        self.interior.keys().map_or([0; 32], |keys| keys.public_key())
    }

    /// Writability and generation.
    pub fn health(&self) -> Health {
        Health { writable: self.interior.writable(), generation: self.interior.generation() }
    }

    /// Compares the store's generation with the latest one known from outside (the trail's last checkpoint). A lower
    /// one means that the whole store was put back to an earlier state, which nothing inside the store can show.
    pub fn check_generation(&self, expected: u64) -> Result<(), BarrierError> {
        let found = self.interior.generation();
        if found < expected { Err(BarrierError::RolledBack { found, expected }) } else { Ok(()) }
    }

    /// Reads the whole store past every cache, and names each object that is not as it was written: also those that were
    /// removed and that nobody has asked for. Takes time in proportion to the data; reads and commits go on meanwhile.
    pub async fn verify_all(&self) -> Result<Vec<Finding>, BarrierError> {
        self.interior.verify_all().await
    }

    /// What may be told to anybody about the seal.
    pub fn seal_status(&self) -> SealStatus {
        seal::status_of(&self.interior.seal())
    }

    /// Stops taking commits, waits for those under way, and wipes the keys. Later calls fail with `Closed`.
    pub async fn close(&self) {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner).take();
        let mut tasks = self.tasks.lock().await;
        while tasks.join_next().await.is_some() {}
        self.interior.forget_keys();
    }
}
