//! From a request to a credential: lease recorded, credential made, lease in force, answer; in this order.

use super::lane::{Lane, Making};
use super::ledger::Haste;
use super::record::{Cause, Lease, LeaseKey, SUFFIX, Stage, lane_at};
use super::{GRACE, Granted, Issuance, LeaseOrder, LeaseOwner, Leases};
use crate::event::{EventKind, Note};
use crate::mount::{Mount, mount_at};
use crate::plugin::{Call, SecretsEngine, Served};
use crate::token::lifetime::{self, Wish};
use crate::token::{Bearer, token_at};
use crate::{Captures, CoreError, Endpoint, Fields, Grant, Operation, Reply};
use std::sync::Arc;
use std::time::Duration;
use strongroom_model::{Timestamp, TokenType, Ttl, base62};
use strongroom_storage::Revision;

/// How long an engine may take to make a credential. Shorter than the grace of a pending lease.
const ISSUE_LIMIT: Duration = Duration::from_secs(60);

/// A lease that a request made: it goes again if the answer cannot leave.
pub(crate) struct Made {
    pub(super) key: LeaseKey,
    pub(crate) id: String,
    pub(crate) subject: String,
}

/// A lease that is recorded and has no credential yet.
struct Pending {
    key: LeaseKey,
    lease: Lease,
    rev: Revision,
    /// Keeps the lane from revoking what is only being made.
    making: Making,
}

impl Leases {
    /// Serves a request to the engine of the granted mount.
    pub async fn serve(
        self: &Arc<Self>,
        grant: &Grant,
        endpoint: &'static Endpoint,
        captures: Captures,
        operation: Operation,
        fields: &Fields,
    ) -> Result<Reply, CoreError> {
        let mount = grant.mount()?;
        let engine = self.mounts.table().engine(mount.id).ok_or(CoreError::Internal("a mount without its engine"))?;
        let below = endpoint.path(&captures);
        let served = engine.call(Call { endpoint, operation, captures, fields, grant }).await;
        if !matches!(operation, Operation::Read | Operation::List) {
            self.upkeep.ring(mount.id);
            if served.is_ok() {
                // What stood in the way of a lease's end may be mended by it: another password, another address.
                self.wake(Some(mount.id));
            }
        }
        match served? {
            Served::Reply(reply) => Ok(reply),
            Served::Issue(issuance) => self.issue(grant, mount, &*engine, below, *issuance).await,
        }
    }

    async fn issue(
        self: &Arc<Self>,
        grant: &Grant,
        mount: &Mount,
        engine: &dyn SecretsEngine,
        path: String,
        issuance: Issuance,
    ) -> Result<Reply, CoreError> {
        let bearer = grant.require_bearer()?;
        if bearer.is_spent() {
            // The token ends with this request, and the credential would end with the token.
            return Err(CoreError::Invalid(
                "Secret cannot be returned; token had one use left, so leased credentials were immediately revoked."
                    .to_owned(),
            ));
        }
        let renewable = issuance.terms.renewable;
        let (lane, (ttl, warnings)) =
            (self.lane(mount.id, &issuance.lane), self.life(mount, bearer, &issuance, self.book.now())?);
        let _asker = self.book.ledger.asker();
        let key = LeaseKey { mount: mount.id, path, suffix: base62::random(&*self.entropy, SUFFIX) };
        let id = key.id(&mount.path);
        let lease = pending(bearer, issuance, ttl, self.book.now());
        let pending = self.record(&lane, key, lease).await?;
        let order =
            LeaseOrder { id: id.clone(), note: pending.lease.note.clone(), ttl, expires: pending.lease.expires };
        let data = self.make(&lane, pending, engine, &order, grant).await?;
        let subject = grant.made().map(|made| made.subject.clone()).unwrap_or_default();
        let lease = Some(Granted { id, ttl, renewable, subject });
        Ok(Reply { data: Some(data), lease, warnings, ..Reply::empty() })
    }

    /// The life of a new credential.
    fn life(
        &self,
        mount: &Mount,
        bearer: &Bearer,
        issuance: &Issuance,
        now: Timestamp,
    ) -> Result<(Ttl, Vec<String>), CoreError> {
        let terms = issuance.terms;
        let wish = Wish {
            ttl: if issuance.asked.is_zero() { terms.ttl } else { issuance.asked },
            max_ttl: terms.max_ttl,
            ..Wish::default()
        };
        let (ttl, mut warnings) = lifetime::settle(&wish, self.tokens.limits(Some(mount.id)), Duration::ZERO)?;
        let left = bearer.token().ttl_left(now);
        if is_bound_to_batch(bearer, issuance.owner) && !left.is_zero() && left < ttl {
            warnings.push(format!("TTL was capped to {} seconds, which is when the batch token ends", left.secs()));
            return Ok((left, warnings));
        }
        Ok((ttl, warnings))
    }

    /// Records a lease before anything is made, if nobody has taken away meanwhile what it rests on.
    async fn record(&self, lane: &Arc<Lane>, key: LeaseKey, lease: Lease) -> Result<Pending, CoreError> {
        let making = lane.making(&key);
        let mut change = lease.created(&key)?.expect_present(mount_at(key.mount));
        if let Some(token) = lease.token.filter(|_| lease.owner == LeaseOwner::Token) {
            change = change.expect_present(token_at(token));
        }
        let note = lane.note_of(lease.ttl);
        if let Some(note) = &note {
            change = change.put(lane_at(lane.mount, &lane.name), note)?;
        }
        change.cap = self.cap_of(&key);
        match self.book.ledger.commit(change).await {
            Ok(rev) => {
                note.into_iter().for_each(|note| lane.noted(note.longest));
                lane.beat.expect(lease.due);
                Ok(Pending { key, lease, rev, making })
            }
            Err(CoreError::Conflict) => Err(CoreError::Invalid(
                "the mount was removed or the token revoked while the credential was asked for".to_owned(),
            )),
            Err(error) => Err(error),
        }
    }

    /// Makes the credential of a pending lease and puts the lease in force; on a failure the lease is to be revoked,
    /// since the credential may be there. Only when it certainly is not, the lease is forgotten.
    async fn make(
        &self,
        lane: &Arc<Lane>,
        pending: Pending,
        engine: &dyn SecretsEngine,
        order: &LeaseOrder,
        grant: &Grant,
    ) -> Result<Fields, CoreError> {
        let Pending { key, lease, rev, making } = pending;
        let began = self.book.now();
        let (made, made_nothing) = match self.still_allowed(&lease).await {
            Ok(()) => {
                let made = self.in_time(lane, engine.issue(order)).await;
                let made_nothing = made.is_err() && engine.made_nothing(&lease.note);
                (made, made_nothing)
            }
            Err(error) => (Err(error), true),
        };
        self.meters.issue.note(self.book.now().since(began));
        let active = Lease { stage: Stage::Active, due: lease.expires, ..lease.clone() };
        let in_force = match made {
            Ok(data) => self.book.ledger.commit(lease.replaced(&key, rev, &active)?).await.map(|_| data),
            Err(error) => Err(error),
        };
        match in_force {
            Ok(data) => {
                lane.beat.expect(active.due);
                self.meters.issued.add(1);
                self.events.tell(Note::lease(EventKind::LeaseIssued, &order.id, None));
                grant.note_made(Made { key, id: order.id.clone(), subject: lease.subject });
                Ok(data)
            }
            Err(error) => {
                let is_forgotten = made_nothing && self.book.forget(&key, Haste::Soon).await.is_ok();
                let marked = match is_forgotten {
                    true => Ok(()),
                    false => self.book.mark(std::slice::from_ref(&key), Cause::Failed).await,
                };
                // The lane passed it over as long as it was being made.
                drop(making);
                if let Err(error) = marked {
                    tracing::warn!(%error, "a lease that failed could not be marked; it ends when its grace is over");
                }
                Err(match error {
                    CoreError::Conflict => {
                        CoreError::Invalid("the lease was revoked while its credential was being made".to_owned())
                    }
                    error => error,
                })
            }
        }
    }

    async fn in_time(
        &self,
        lane: &Lane,
        issuing: impl Future<Output = Result<Fields, CoreError>>,
    ) -> Result<Fields, CoreError> {
        let out_of_time = || CoreError::Unreachable {
            system: lane.name.clone(),
            why: format!("no answer within {} s; what it may have made is removed", ISSUE_LIMIT.as_secs()),
        };
        tokio::time::timeout(ISSUE_LIMIT, issuing).await.unwrap_or_else(|_| Err(out_of_time()))
    }

    /// A lease of an entity that was disabled just now was not there yet when the entity's leases were marked. One of a
    /// token that is stored needs that token to be there; of any other, that the entity is there.
    async fn still_allowed(&self, lease: &Lease) -> Result<(), CoreError> {
        let is_its_own = lease.owner == LeaseOwner::Identity;
        let Some(entity) = lease.entity.filter(|_| is_its_own || lease.token.is_none()) else { return Ok(()) };
        match self.identity.by_id(entity).await? {
            Some(entity) if !is_its_own || !entity.value.disabled => Ok(()),
            _ => Err(CoreError::Denied),
        }
    }

    /// Has a lease revoked whose answer could not leave. Durable when it returns.
    pub(crate) async fn take_back(&self, made: &Made) -> Result<(), CoreError> {
        self.book.mark(std::slice::from_ref(&made.key), Cause::Failed).await
    }
}

fn is_bound_to_batch(bearer: &Bearer, owner: LeaseOwner) -> bool {
    bearer.token().token_type == TokenType::Batch && (owner == LeaseOwner::Token || bearer.token().entity.is_none())
}

/// The lease as it is recorded first.
fn pending(bearer: &Bearer, issuance: Issuance, ttl: Ttl, now: Timestamp) -> Lease {
    let latest = bearer.token().expires.filter(|_| is_bound_to_batch(bearer, issuance.owner));
    let token = bearer.token();
    // Who has no entity owns a lease by their token.
    let owner = if token.entity.is_none() { LeaseOwner::Token } else { issuance.owner };
    Lease {
        stage: Stage::Pending,
        lane: issuance.lane,
        subject: issuance.subject,
        role: issuance.role,
        note: issuance.note,
        owner,
        token: bearer.key(),
        entity: token.entity,
        accessor: token.accessor.clone(),
        display_name: token.display_name.clone(),
        issued: now,
        renewed: None,
        ttl,
        expires: now.plus(ttl.0),
        latest,
        renewable: issuance.terms.renewable,
        due: now.plus(GRACE),
    }
}
