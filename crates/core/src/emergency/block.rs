//! What is refused whoever asks: requests from networks, and everything about mounts, until somebody lifts the block.
//! Kept durably and held in memory, since every request is compared with it. Blocks are made by people in emergencies,
//! so there are few.

use crate::records::{Along, PutRecord, Records};
use crate::{Cidr, CoreError};
use arc_swap::ArcSwap;
use serde::{Deserialize, Serialize};
use std::net::IpAddr;
use std::sync::Arc;
use strongroom_barrier::{Shelf, Txn};
use strongroom_model::{MountId, NamespaceId, Timestamp};

/// One block.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Block {
    /// The incident that made it, which is lifted to end it.
    pub incident: String,
    /// When it was made.
    pub since: Timestamp,
    /// What is refused.
    #[serde(flatten)]
    pub(crate) what: Blocked,
}

/// What a block refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Blocked {
    Network(Cidr),
    Mount(MountId),
}

impl Block {
    /// The network that it refuses, if it is about one.
    pub fn network(&self) -> Option<Cidr> {
        match self.what {
            Blocked::Network(network) => Some(network),
            Blocked::Mount(_) => None,
        }
    }

    /// The mount that it refuses, if it is about one.
    pub fn mount(&self) -> Option<MountId> {
        match self.what {
            Blocked::Mount(mount) => Some(mount),
            Blocked::Network(_) => None,
        }
    }
}

/// The most blocks at once.
const MOST: usize = 1_024;

/// All blocks.
pub(crate) struct Blocks {
    records: Arc<Records>,
    held: ArcSwap<Vec<Block>>,
    changing: tokio::sync::Mutex<()>,
}

fn shelf() -> Shelf {
    Shelf::new("emergency-block", NamespaceId::ROOT).counted()
}

impl Blocks {
    pub(crate) async fn load(records: Arc<Records>) -> Result<Self, CoreError> {
        let held = records.scan_all::<Block>(&shelf()).await?.into_iter().map(|listed| listed.value).collect();
        Ok(Self { records, held: ArcSwap::from_pointee(held), changing: tokio::sync::Mutex::new(()) })
    }

    /// Whether requests from there are refused.
    pub(crate) fn refuses(&self, address: Option<IpAddr>) -> bool {
        let held = self.held.load();
        let Some(address) = address.filter(|_| !held.is_empty()) else { return false };
        held.iter().any(|block| matches!(block.what, Blocked::Network(network) if network.contains(address)))
    }

    /// Whether everything about a mount is refused.
    pub(crate) fn holds(&self, mount: MountId) -> bool {
        self.held.load().iter().any(|block| block.what == Blocked::Mount(mount))
    }

    /// All of them.
    pub(crate) fn list(&self) -> Vec<Block> {
        Vec::clone(&self.held.load())
    }

    /// Adds the block of an incident, and in the same commit what goes along; in force when it returns, and durable.
    /// Repeatable: nothing is committed when it is there.
    pub(super) async fn add(&self, block: Block, along: Along<'_>) -> Result<(), CoreError> {
        let _alone = self.changing.lock().await;
        let mut held = Vec::clone(&self.held.load());
        if held.contains(&block) {
            return Ok(());
        }
        held.retain(|known| known.incident != block.incident);
        if held.len() >= MOST {
            return Err(CoreError::TooLarge(format!("there are {MOST} blocks already: lift some incidents first")));
        }
        let at = shelf().named(block.incident.as_bytes());
        self.records.commit(along(Txn::new().put_record(at, &block)?)?).await?;
        held.push(block);
        self.held.store(Arc::new(held));
        Ok(())
    }

    /// Removes the block of an incident.
    pub(super) async fn remove(&self, incident: &str) -> Result<(), CoreError> {
        let _alone = self.changing.lock().await;
        self.records.commit(Txn::new().delete(shelf().named(incident.as_bytes()))).await?;
        let mut held = Vec::clone(&self.held.load());
        held.retain(|known| known.incident != incident);
        self.held.store(Arc::new(held));
        Ok(())
    }
}
