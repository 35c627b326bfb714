//! What is kept of a lease, and where. A lease is filed under its mount's id, so that a mount can be moved; every other
//! shelf here leads to it, and changes in the same commit.

use super::LeaseOwner;
use crate::CoreError;
use crate::records::PutRecord;
use crate::token::TokenKey;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::time::Duration;
use strongroom_barrier::{Address, Shelf, Txn};
use strongroom_model::{EntityId, MountId, MountPath, NamespaceId, Principal, Timestamp, TokenType, Ttl};
use strongroom_storage::Revision;

const ROOT: NamespaceId = NamespaceId::ROOT;

/// How long the random part of a lease's id is. One more than leases of earlier versions have, whose records lie elsewhere:
/// those of one lease are listed together since.
pub(super) const SUFFIX: usize = 25;

/// What names a lease whatever its mount's path.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct LeaseKey {
    pub(super) mount: MountId,
    /// Below the mount: `creds/app`.
    pub(super) path: String,
    /// Random; alone enough to tell leases apart.
    pub(super) suffix: String,
}

impl LeaseKey {
    /// Where the lease is kept.
    pub(super) fn at(&self) -> Address {
        leases(self.mount, &self.path).named(&self.suffix)
    }

    /// As callers write it, while the mount is at that path.
    pub(super) fn id(&self, mount: &MountPath) -> String {
        format!("{mount}/{}/{}", self.path, self.suffix)
    }
}

/// What is known of a credential that was, or may have been, made.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Lease {
    pub(super) stage: Stage,
    /// The outside system.
    pub(super) lane: String,
    /// The credential's name there.
    pub(super) subject: String,
    pub(super) role: String,
    /// The engine's own.
    pub(super) note: Map<String, Value>,
    pub(super) owner: LeaseOwner,
    /// The token that asked, if it is a stored one.
    pub(super) token: Option<TokenKey>,
    pub(super) entity: Option<EntityId>,
    /// The accessor of the token that asked.
    pub(super) accessor: String,
    /// Who asked, as people see them.
    pub(super) display_name: String,
    pub(super) issued: Timestamp,
    pub(super) renewed: Option<Timestamp>,
    /// The life that was given last.
    pub(super) ttl: Ttl,
    pub(super) expires: Timestamp,
    /// No renewal goes past it: the end of a batch token.
    pub(super) latest: Option<Timestamp>,
    pub(super) renewable: bool,
    /// Its number on the shelf of what is due.
    pub(super) due: Timestamp,
}

/// How far a lease is.
#[derive(Clone, Serialize, Deserialize, PartialEq, Eq, Debug)]
#[serde(rename_all = "lowercase")]
pub(super) enum Stage {
    /// Recorded; the credential may or may not be there.
    Pending,
    /// Handed out.
    Active,
    /// To be ended as soon as that works.
    Revoking(Revoking),
}

impl Stage {
    pub(super) fn is_revoking(&self) -> bool {
        matches!(self, Stage::Revoking(_))
    }

    /// Whether its credential is known to have been made.
    pub(super) fn was_handed_out(&self) -> bool {
        match self {
            Stage::Pending => false,
            Stage::Active => true,
            Stage::Revoking(revoking) => revoking.handed_out,
        }
    }

    pub(super) fn word(&self) -> &'static str {
        match self {
            Stage::Pending => "pending",
            Stage::Active => "active",
            Stage::Revoking(Revoking { attempts: 0, .. }) => "revoking",
            Stage::Revoking(_) => "failing",
        }
    }
}

/// An end that was decided and is not reached yet.
#[derive(Clone, Serialize, Deserialize, PartialEq, Eq, Debug)]
pub(super) struct Revoking {
    pub(super) cause: Cause,
    /// Its credential was handed out, so it is known to have been made.
    #[serde(default)]
    pub(super) handed_out: bool,
    /// Attempts that failed by this lease's own fault.
    pub(super) attempts: u32,
    /// How the last one failed.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(super) error: Option<String>,
}

/// Why a lease ends.
#[derive(Clone, Copy, Serialize, Deserialize, PartialEq, Eq, Debug)]
#[serde(rename_all = "lowercase")]
pub(super) enum Cause {
    Expired,
    /// Somebody asked for it.
    Revoked,
    /// Its token ended.
    Token,
    /// Its entity was disabled or removed.
    Identity,
    /// Its mount was removed.
    Mount,
    /// Its mount was moved, and its id would lead nowhere.
    Moved,
    /// The credential could not be made, or not be handed out.
    Failed,
    /// The server went down while it was being made.
    Interrupted,
}

impl Cause {
    pub(super) fn words(self) -> &'static str {
        match self {
            Cause::Expired => "expired",
            Cause::Revoked => "revoked on request",
            Cause::Token => "its token ended",
            Cause::Identity => "its entity was disabled or removed",
            Cause::Mount => "its mount was removed",
            Cause::Moved => "its mount was moved",
            Cause::Failed => "it was not handed out",
            Cause::Interrupted => "the server went down while it was being made",
        }
    }
}

impl Lease {
    /// How the trail names whose credential it is.
    pub(super) fn principal(&self) -> Principal {
        Principal {
            entity: self.entity,
            accessor: self.accessor.clone(),
            display_name: self.display_name.clone(),
            token_policies: Vec::new(),
            identity_policies: Vec::new(),
            metadata: Default::default(),
            token_type: if self.token.is_some() { TokenType::Service } else { TokenType::Batch },
        }
    }

    /// Attempts to end it that failed so far.
    pub(super) fn attempts(&self) -> u32 {
        match &self.stage {
            Stage::Revoking(revoking) => revoking.attempts,
            _ => 0,
        }
    }

    /// Whether it is in force.
    pub(super) fn is_active(&self, now: Timestamp) -> bool {
        self.stage == Stage::Active && self.expires > now
    }

    /// The token whose end is its end.
    fn ends_with(&self) -> Option<TokenKey> {
        self.token.filter(|_| self.owner == LeaseOwner::Token || self.entity.is_none())
    }

    /// Where its turn is kept.
    pub(super) fn due_at(&self, key: &LeaseKey) -> Address {
        due(key.mount, &self.lane).ordered(self.due.nanos(), &key.suffix)
    }

    /// Everything that leads to it, but for its turn.
    fn links(&self, key: &LeaseKey) -> impl Iterator<Item = Address> {
        let token = self.ends_with().map(|token| of_token(token).named(&key.suffix));
        token.into_iter().chain(self.entity.map(|entity| of_entity(entity).named(&key.suffix)))
    }

    /// The changes that record it as new.
    pub(super) fn created(&self, key: &LeaseKey) -> Result<Change, CoreError> {
        let mut change = Change::default().expect_absent(key.at()).put(key.at(), self)?;
        change = change.put(self.due_at(key), &Turn { path: key.path.clone(), suffix: key.suffix.clone() })?;
        for link in self.links(key) {
            change = change.put(link, key)?;
        }
        change.counts.push((key.clone(), true));
        Ok(change)
    }

    /// The changes that put `new` in its place, if it still is what was read.
    pub(super) fn replaced(&self, key: &LeaseKey, rev: Revision, new: &Lease) -> Result<Change, CoreError> {
        let mut change = Change::default().expect(key.at(), rev).put(key.at(), new)?;
        if new.due != self.due {
            let turn = Turn { path: key.path.clone(), suffix: key.suffix.clone() };
            change = change.delete(self.due_at(key)).put(new.due_at(key), &turn)?;
        }
        if new.attempts() > 0 && self.attempts() == 0 {
            change = change.put(failing_at(key), key)?;
        }
        Ok(change)
    }

    /// The changes that forget it, if it still is what was read.
    pub(super) fn removed(&self, key: &LeaseKey, rev: Revision) -> Change {
        let mut change = Change::default().expect(key.at(), rev).delete(key.at()).delete(self.due_at(key));
        for link in self.links(key) {
            change = change.delete(link);
        }
        if self.attempts() > 0 {
            change = change.delete(failing_at(key));
        }
        change.counts.push((key.clone(), false));
        change
    }
}

/// A turn on the shelf of what is due.
#[derive(Serialize, Deserialize)]
pub(super) struct Turn {
    pub(super) path: String,
    pub(super) suffix: String,
}

/// How many leases a path has.
#[derive(Serialize, Deserialize)]
pub(super) struct PathNote {
    pub(super) path: String,
    pub(super) leases: u64,
}

/// Leases that are to end together: one record, however many they are. They are meant as they were at that moment; what
/// is issued later stays.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Recall {
    pub(super) scope: RecallScope,
    pub(super) cause: Cause,
    pub(super) at: Timestamp,
}

/// Which leases are recalled.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum RecallScope {
    /// All of a path.
    Path { mount: MountId, path: String },
    /// Those that end with a token.
    Token(TokenKey),
    /// Those of an entity; without `all`, the ones that belong to itself and not to its tokens.
    Entity { entity: EntityId, all: bool },
}

impl Recall {
    /// Where it is kept: a later recall of the same leases takes its place.
    pub(super) fn place(&self) -> Address {
        recalls().named(match &self.scope {
            RecallScope::Path { mount, path } => [b"p".as_slice(), mount.as_bytes(), path.as_bytes()].concat(),
            RecallScope::Token(token) => [b"t".as_slice(), token.as_bytes()].concat(),
            RecallScope::Entity { entity, all } => [b"e".as_slice(), &[u8::from(*all)], entity.as_bytes()].concat(),
        })
    }

    /// Whether it means this lease.
    pub(super) fn covers(&self, key: &LeaseKey, lease: &Lease) -> bool {
        lease.issued <= self.at
            && match &self.scope {
                RecallScope::Path { mount, path } => key.mount == *mount && key.path == *path,
                RecallScope::Token(token) => lease.ends_with() == Some(*token),
                RecallScope::Entity { entity, all } => {
                    lease.entity == Some(*entity) && (*all || lease.owner == LeaseOwner::Identity)
                }
            }
    }
}

/// A lane, kept so that it is found again after unsealing.
#[derive(Serialize, Deserialize)]
pub(super) struct LaneNote {
    pub(super) mount: MountId,
    pub(super) name: String,
    /// The longest life given in it: what lies further ahead than this was given by a clock that went back since.
    pub(super) longest: Ttl,
}

/// A shelf on which records have the names of leases: those of one lease come and go together.
fn lease_shelf(kind: &'static str) -> Shelf {
    Shelf::new(kind, ROOT).beside(SUFFIX)
}

/// The leases of a path.
pub(super) fn leases(mount: MountId, path: &str) -> Shelf {
    lease_shelf("lease").within(mount.as_bytes()).within(path)
}

/// The paths of a mount that have leases.
pub(super) fn paths(mount: MountId) -> Shelf {
    Shelf::new("lease-path", ROOT).within(mount.as_bytes())
}

/// What is to be done next in a lane: what is pending, at the end of its grace; what is active, at its end; what is
/// revoking, at its next attempt.
pub(super) fn due(mount: MountId, lane: &str) -> Shelf {
    lease_shelf("lease-due").within(mount.as_bytes()).within(lane)
}

/// Leases that end with a token.
pub(super) fn of_token(token: TokenKey) -> Shelf {
    lease_shelf("lease-of-token").within(token.as_bytes())
}

/// Leases of an entity, by whichever token.
pub(super) fn of_entity(entity: EntityId) -> Shelf {
    lease_shelf("lease-of-entity").within(entity.as_bytes())
}

/// Recalls that are not carried out yet.
pub(super) fn recalls() -> Shelf {
    Shelf::new("lease-recall", ROOT)
}

pub(super) fn lanes() -> Shelf {
    Shelf::new("lease-lane", ROOT)
}

pub(super) fn lane_at(mount: MountId, lane: &str) -> Address {
    lanes().named([mount.as_bytes().as_slice(), lane.as_bytes()].concat())
}

/// Leases whose revocation failed by their own fault.
pub(super) fn failing() -> Shelf {
    lease_shelf("lease-failing")
}

pub(super) fn failing_at(key: &LeaseKey) -> Address {
    failing().named(&key.suffix)
}

/// Entities that were disabled, and whose leases are still to be marked.
pub(super) fn cuts() -> Shelf {
    Shelf::new("lease-cut", ROOT)
}

/// A mount that is about to move: if it did when this is found at a start, the ids of its leases lead nowhere.
#[derive(Serialize, Deserialize)]
pub(super) struct Moving {
    pub(super) mount: MountId,
    /// Where it was.
    pub(super) from: MountPath,
}

/// Mounts that are about to move.
pub(super) fn moving() -> Shelf {
    Shelf::new("lease-moving", ROOT)
}

/// Changes that happen together or not at all, as data: the ledger makes transactions of several of them.
#[derive(Default)]
pub(super) struct Change {
    pub(super) expects: Vec<(Address, Expect)>,
    pub(super) puts: Vec<(Address, Vec<u8>)>,
    pub(super) deletes: Vec<Address>,
    /// Leases that come (`true`) and go.
    pub(super) counts: Vec<(LeaseKey, bool)>,
    /// The rule that limits how many there may be.
    pub(super) cap: Option<super::Cap>,
}

/// What a record must be for a change to be made.
#[derive(Clone, Copy)]
pub(super) enum Expect {
    Absent,
    Present,
    Rev(Revision),
}

impl Change {
    pub(super) fn expect(mut self, at: Address, rev: Revision) -> Self {
        self.expects.push((at, Expect::Rev(rev)));
        self
    }

    pub(super) fn expect_absent(mut self, at: Address) -> Self {
        self.expects.push((at, Expect::Absent));
        self
    }

    pub(super) fn expect_present(mut self, at: Address) -> Self {
        self.expects.push((at, Expect::Present));
        self
    }

    pub(super) fn put<T: Serialize>(mut self, at: Address, value: &T) -> Result<Self, CoreError> {
        let kind = at.shelf.kind;
        self.puts.push((at, serde_json::to_vec(value).map_err(|_| CoreError::Unreadable { kind })?));
        Ok(self)
    }

    pub(super) fn delete(mut self, at: Address) -> Self {
        self.deletes.push(at);
        self
    }

    /// Both, together.
    pub(super) fn and(mut self, other: Change) -> Self {
        self.expects.extend(other.expects);
        self.puts.extend(other.puts);
        self.deletes.extend(other.deletes);
        self.counts.extend(other.counts);
        self
    }

    pub(super) fn size(&self) -> usize {
        self.puts.len() + self.deletes.len() + self.counts.len()
    }

    /// Every place that it changes.
    pub(super) fn changed(&self) -> impl Iterator<Item = &Address> {
        self.puts.iter().map(|(at, _)| at).chain(&self.deletes)
    }

    /// Every place that it only looks at, or looks at first.
    pub(super) fn expected(&self) -> impl Iterator<Item = &Address> {
        self.expects.iter().map(|(at, _)| at)
    }

    /// Adds it to a transaction.
    pub(super) fn add_to(&self, mut txn: Txn) -> Txn {
        for (at, expect) in &self.expects {
            txn = match expect {
                Expect::Absent => txn.expect_absent(at.clone()),
                Expect::Present => txn.expect_present(at.clone()),
                Expect::Rev(rev) => txn.expect(at.clone(), *rev),
            };
        }
        for (at, bytes) in &self.puts {
            txn = txn.put(at.clone(), bytes.clone());
        }
        self.deletes.iter().fold(txn, |txn, at| txn.delete(at.clone()))
    }
}

/// Notes, in the commit that disables an entity, that the leases it owns are to be revoked.
pub(crate) fn cut(txn: Txn, entity: EntityId) -> Result<Txn, CoreError> {
    txn.put_record(cuts().named(entity.as_bytes()), &entity)
}

/// How long to wait after so many failures: from a second to five minutes, spread by chance (`part` of 256) so that what
/// failed together is not tried together.
pub(super) fn backoff(failures: u32, part: u8) -> Duration {
    let full = Duration::from_secs(1 << failures.saturating_sub(1).min(9)).min(LONGEST_WAIT);
    full / 2 + full.mul_f64(f64::from(part) / 512.0)
}

/// The turn of what somebody ordered to end and was not tried yet: before everything that merely expired, however long ago.
pub(super) const AT_ONCE: Timestamp = Timestamp::from_nanos(1);

/// The longest wait between two attempts.
pub(super) const LONGEST_WAIT: Duration = Duration::from_secs(300);
