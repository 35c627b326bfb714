//! Carries out what is due: revokes in the outside system, says so in the trail, forgets the lease; in this order, so
//! that no lease is forgotten whose credential may live on, and none ends unrecorded.
//!
//! One task per lane. A lease that fails or is not answered is put off by itself, while the lane goes on with what falls
//! due meanwhile; an outside system that cannot be reached, or answers none of several, holds its whole lane, without a
//! write per lease. What merely expired steps back behind requests and behind what somebody ordered.

use super::book::PAGE;
use super::lane::{Lane, Recalled};
use super::ledger::Haste;
use super::pace::Turn as Go;
use super::record::{Cause, LONGEST_WAIT, Lease, LeaseKey, Revoking, Stage, Turn, backoff, due};
use super::run::{End, Run, Turned, Why};
use super::whole::is_lost;
use super::{GRACE, LeaseEnd, Leases};
use crate::CoreError;
use crate::event::{EventKind, Note};
use crate::records::Stored;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use strongroom_audit::{Entry, Outcome};
use strongroom_model::{Kind, Timestamp};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

/// Revocations that an outside system is asked for at once, where it carries out each by itself.
const AT_ONCE: usize = 8;
/// Those that it is asked for at once where it carries out many by one act: while it is about one group, the next gathers.
const IN_COMPANY: u32 = 16;
/// Leases in hand: those beside the ones above wait for their turn, the trail or the disk.
const IN_HAND: usize = 256;
/// Leases in hand that merely expired: so few that a server that gets requests is soon rid of them.
const EXPIRED_IN_HAND: usize = 64;
/// How long one revocation may take before it counts as not answered.
const REVOKE_LIMIT: Duration = Duration::from_secs(45);

/// How long a lease waits for which the outside system had no place.
const CROWDED: Duration = Duration::from_secs(1);

impl Leases {
    /// The task of a lane.
    pub(super) async fn keep_lane(self: Arc<Self>, lane: Arc<Lane>, mut stop: watch::Receiver<bool>) {
        loop {
            let mut ticket = tokio::select! {
                ticket = lane.beat.rung() => ticket,
                _ = stop.wait_for(|stop| *stop) => return,
            };
            if lane.is_closed() {
                return lane.beat.answer(u64::MAX);
            }
            let done = tokio::select! {
                done = self.run_lane(&lane, &mut ticket) => done,
                _ = stop.wait_for(|stop| *stop) => return,
            };
            if let Err(error) = done {
                tracing::warn!(lane = lane.name, %error, "leases could not be seen to; it is tried again");
                lane.went_down(error.to_string(), self.book.now(), &*self.entropy);
                lane.drop_recalled();
            }
            lane.beat.answer(ticket);
            self.book.moved();
            if lane.is_closed() {
                return lane.beat.answer(u64::MAX);
            }
        }
    }

    /// Ends everything that is due, also what falls due or is asked for meanwhile; `ticket` becomes that of the last who
    /// asked. Dropping the future stops it anywhere: what was begun is due again.
    async fn run_lane(self: &Arc<Self>, lane: &Arc<Lane>, ticket: &mut u64) -> Result<(), CoreError> {
        let now = self.book.now();
        lane.beat.begin();
        if lane.is_held(now) {
            lane.drop_recalled();
            lane.outage().into_iter().for_each(|outage| lane.beat.expect(outage.until));
            return Ok(());
        }
        if lane.clock_went_back.swap(false, Ordering::SeqCst) {
            self.pull_back(lane, now).await?;
        }
        let mut run = Run::new(now);
        let permits = Arc::new(Semaphore::new(AT_ONCE * IN_COMPANY as usize));
        let mut ending = JoinSet::new();
        loop {
            while run.down.is_none() && ending.len() < IN_HAND {
                let Some(turned) = self.next_or_later(lane, &mut run).await? else { break };
                run.in_hand.insert(turned.key.suffix.clone());
                run.expired += usize::from(matches!(turned.why, Why::Expired));
                let (now, leases, lane, permits) = (run.now, Arc::clone(self), Arc::clone(lane), Arc::clone(&permits));
                ending.spawn(async move {
                    let end = leases.end_one(&lane, &turned, now, &permits).await;
                    (turned, end)
                });
            }
            let ended = tokio::select! {
                ended = ending.join_next(), if run.pause.is_none() || run.down.is_some() || !ending.is_empty() => ended,
                () = lane.hurry.notified() => continue,
                () = until(run.pause), if run.pause.is_some() && run.down.is_none() => continue,
                rung = lane.beat.rung(), if run.down.is_none() && !run.rests(&ending) => {
                    *ticket = rung.max(*ticket);
                    run.again = true;
                    continue;
                }
            };
            match ended {
                None if run.down.is_some() || run.is_over() => break,
                None => continue,
                Some(Ok((turned, end))) => {
                    run.expired -= usize::from(matches!(turned.why, Why::Expired));
                    let noted = run.note(lane, &turned.key, end, &permits);
                    if matches!(turned.why, Why::Recalled(..)) {
                        lane.recalled_over();
                        self.book.moved();
                    }
                    noted?;
                }
                Some(Err(_)) => return Err(CoreError::Internal("a lease's end was broken off")),
            }
        }
        if let Some(error) = run.down {
            lane.went_down(error, self.book.now(), &*self.entropy);
            lane.drop_recalled();
        }
        Ok(())
    }

    /// The next lease to see to; reads the shelf anew when it was read to its end and something may have come since, so
    /// that a lease that takes its time holds up no other.
    async fn next_or_later(&self, lane: &Lane, run: &mut Run) -> Result<Option<Turned>, CoreError> {
        let next = self.next(lane, run).await?;
        if next.is_some() || run.is_waiting() || !std::mem::take(&mut run.again) {
            return Ok(next);
        }
        (run.now, run.after, run.read) = (self.book.now(), None, false);
        if lane.clock_went_back.swap(false, Ordering::SeqCst) {
            self.pull_back(lane, run.now).await?;
        }
        self.next(lane, run).await
    }

    /// The next lease to see to: an urgent one, or one that is recalled or due.
    async fn next(&self, lane: &Lane, run: &mut Run) -> Result<Option<Turned>, CoreError> {
        while let Some(key) = lane.take_urgent() {
            if !run.in_hand.contains(&key.suffix) {
                return Ok(Some(Turned { key, why: Why::Marked }));
            }
        }
        run.due_first = !run.due_first;
        if run.due_first
            && let Some(turned) = self.next_due(lane, run).await?
        {
            return Ok(Some(turned));
        }
        while let Some(Recalled { key, lease, cause }) = lane.take_recalled() {
            if !run.in_hand.contains(&key.suffix) {
                return Ok(Some(Turned { key, why: Why::Recalled(cause, lease) }));
            }
            lane.recalled_over();
        }
        self.next_due(lane, run).await
    }

    /// The next on the shelf of what is due; none while the next one has to wait.
    async fn next_due(&self, lane: &Lane, run: &mut Run) -> Result<Option<Turned>, CoreError> {
        run.pause = None;
        loop {
            if let Some(turn) = run.page.pop_front() {
                if turn.number > run.now.nanos() {
                    lane.beat.expect(Timestamp::from_nanos(turn.number));
                    run.read = true;
                    run.page.clear();
                    continue;
                }
                if run.in_hand.contains(&turn.value.suffix) || lane.is_making(&turn.value.suffix) {
                    continue;
                }
                let (path, suffix) = (turn.value.path.clone(), turn.value.suffix.clone());
                let key = LeaseKey { mount: lane.mount, path, suffix };
                match self.book.get(&key).await {
                    // It waits for somebody, and the others do not wait for it.
                    Err(error) if is_lost(&error) => drop(self.book.unless_lost::<()>(&key, Err(error))),
                    Err(error) => return Err(error),
                    Ok(Some(lease)) if lease.value.due.nanos() == turn.number => {
                        if lease.value.stage.is_revoking() {
                            return Ok(Some(Turned { key, why: Why::Marked }));
                        }
                        if self.may_expire(lane, run, lease.value.due) {
                            return Ok(Some(Turned { key, why: Why::Expired }));
                        }
                        run.page.push_front(turn);
                        return Ok(None);
                    }
                    Ok(_) => self.book.drop_turn(lane, turn.number, &turn.name).await?,
                }
                continue;
            }
            if run.read {
                return Ok(None);
            }
            let shelf = due(lane.mount, &lane.name);
            run.page = self.book.records.scan(&shelf, run.after.as_ref(), PAGE).await?.into();
            run.read = run.page.len() < PAGE;
            run.after = run.page.back().map(|last| shelf.ordered(last.number, &last.name));
        }
    }

    /// Whether a lease whose time was over then may be seen to now. Behind is who was due long ago, while this server
    /// could have seen to it: what a jump of the clock made due is not.
    fn may_expire(&self, lane: &Lane, run: &mut Run, due: Timestamp) -> bool {
        if run.expired >= EXPIRED_IN_HAND {
            return false;
        }
        let (number, behind) = (std::ptr::from_ref(lane).addr(), self.book.now().since(due).min(run.began.elapsed()));
        match self.pace.ask(number, Instant::now(), behind) {
            Go::Now => true,
            Go::At(at) => {
                run.pause = Some(at);
                false
            }
        }
    }

    /// Ends one lease, if it is due.
    async fn end_one(
        &self,
        lane: &Lane,
        Turned { key, why }: &Turned,
        now: Timestamp,
        permits: &Semaphore,
    ) -> Result<End, CoreError> {
        // Read before it waits for its turn, so that who has it asks at once, together with others.
        let Some(waiting) = self.as_read(key, why).await? else { return Ok(End::Passed) };
        let share = self.share_of(key, &waiting.value).await;
        let Ok(permit) = permits.acquire_many(share).await else { return Ok(End::Passed) };
        let Some(stored) = self.as_it_is(key, waiting).await? else { return Ok(End::Passed) };
        let lease = &stored.value;
        let cause = match &lease.stage {
            _ if lane.is_making(&key.suffix) => return Ok(End::Passed),
            Stage::Revoking(revoking) => revoking.cause,
            Stage::Active if lease.expires <= now => Cause::Expired,
            Stage::Pending if lease.due <= now => Cause::Interrupted,
            stage => match why {
                Why::Recalled(cause, _) if *stage == Stage::Active => *cause,
                _ => return Ok(End::Passed),
            },
        };
        let Some(engine) = self.mounts.table().engine(key.mount) else {
            let error = CoreError::NotFound("this program has no engine for the mount of the lease".to_owned());
            return self.put_off(key, &stored, cause, error).await;
        };
        let began = self.book.now();
        let order = end_of(lease);
        let revoked = tokio::time::timeout(REVOKE_LIMIT, engine.revoke(&order)).await;
        drop(permit);
        let took = self.book.now().since(began);
        self.meters.revoke.note(took);
        match revoked {
            Err(_) => {
                let why = format!("no answer within {} s", REVOKE_LIMIT.as_secs());
                let error = CoreError::Unanswered { system: lane.name.clone(), why };
                self.put_off(key, &stored, cause, error).await
            }
            Ok(Err(error @ CoreError::Unreachable { .. })) => Ok(End::Down(error.to_string())),
            Ok(Err(CoreError::Crowded { .. })) => self.wait_for_place(key, &stored, cause).await,
            Ok(Err(error)) => self.put_off(key, &stored, cause, error).await,
            Ok(Ok(())) => {
                let mut entry = self.event("lease-revoke", key, lease, cause.words());
                entry.duration_us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
                entry.outcome = Some(Outcome::ok());
                self.trail.append(entry).await?;
                self.forget(key, &stored, why.haste()).await?;
                self.events.tell(Note::lease(EventKind::LeaseCut, &self.id_of(key), Some(cause.words())));
                self.meters.revoked.add(1);
                Ok(End::Gone)
            }
        }
    }

    /// The lease as it was read last; read now, unless it was a moment ago.
    async fn as_read(&self, key: &LeaseKey, why: &Why) -> Result<Option<Arc<Stored<Lease>>>, CoreError> {
        match why {
            Why::Recalled(_, lease) => Ok(Some(Arc::clone(lease))),
            Why::Marked | Why::Expired => self.book.unless_lost(key, self.book.get(key).await),
        }
    }

    /// The lease as it is now, which is mostly what was read.
    async fn as_it_is(
        &self,
        key: &LeaseKey,
        read: Arc<Stored<Lease>>,
    ) -> Result<Option<Arc<Stored<Lease>>>, CoreError> {
        // What fails here fails below too, and is told apart there.
        if self.book.is_still(key, read.rev).await.unwrap_or(false) {
            return Ok(Some(read));
        }
        self.book.unless_lost(key, self.book.get(key).await)
    }

    async fn forget(&self, key: &LeaseKey, known: &Arc<Stored<Lease>>, haste: Haste) -> Result<(), CoreError> {
        let began = Instant::now();
        self.book.forget_known(key, Arc::clone(known), haste).await?;
        if haste == Haste::Soon {
            self.pace.took(began.elapsed());
        }
        Ok(())
    }

    /// How many of a lane's permits it takes to end this lease.
    async fn share_of(&self, key: &LeaseKey, lease: &Lease) -> u32 {
        match self.mounts.table().engine(key.mount) {
            Some(engine) if engine.revokes_in_company(&end_of(lease)).await => 1,
            _ => IN_COMPANY,
        }
    }

    /// Has a lease tried again soon that is not to blame.
    async fn wait_for_place(&self, key: &LeaseKey, stored: &Stored<Lease>, cause: Cause) -> Result<End, CoreError> {
        let lease = &stored.value;
        let due = self.book.now().plus(CROWDED);
        let stage = match &lease.stage {
            Stage::Revoking(revoking) => Stage::Revoking(revoking.clone()),
            stage => {
                let handed_out = stage.was_handed_out();
                Stage::Revoking(Revoking { cause, handed_out, attempts: 0, error: None })
            }
        };
        match self.book.replace(key, stored, &Lease { stage, due, ..lease.clone() }).await {
            Ok(()) | Err(CoreError::Conflict) => {}
            Err(error) => return Err(error),
        }
        let lane = self.book.lanes.find(key.mount, &lease.lane);
        lane.into_iter().for_each(|lane| lane.beat.expect(due));
        Ok(End::Crowded)
    }

    /// Notes that a lease could not be ended, and when to try again.
    async fn put_off(
        &self,
        key: &LeaseKey,
        stored: &Stored<Lease>,
        cause: Cause,
        error: CoreError,
    ) -> Result<End, CoreError> {
        let lease = &stored.value;
        let (attempts, text) = (lease.attempts().saturating_add(1), error.to_string());
        let is_unanswered = matches!(error, CoreError::Unanswered { .. });
        self.meters.failed.add(1);
        if attempts == 1 {
            let mut entry = self.event("lease-revoke", key, lease, cause.words());
            entry.outcome = Some(Outcome::failed(Kind::Unavailable, text.clone()));
            self.trail.append(entry).await?;
            tracing::warn!(
                lease = self.id_of(key),
                error = text,
                "a credential could not be revoked; it is tried again"
            );
        }
        let [part] = self.entropy.array::<1>();
        let due = self.book.now().plus(backoff(attempts, part));
        let handed_out = lease.stage.was_handed_out();
        let stage = Stage::Revoking(Revoking { cause, handed_out, attempts, error: Some(text.clone()) });
        match self.book.replace(key, stored, &Lease { stage, due, ..lease.clone() }).await {
            Ok(()) | Err(CoreError::Conflict) => {}
            Err(error) => return Err(error),
        }
        let lane = self.book.lanes.find(key.mount, &lease.lane);
        lane.into_iter().for_each(|lane| lane.beat.expect(due));
        self.book.moved();
        Ok(if is_unanswered { End::Unanswered(text) } else { End::Failed })
    }

    /// An entry about something that happened to a lease without a request.
    pub(super) fn event(&self, operation: &'static str, key: &LeaseKey, lease: &Lease, note: &str) -> Entry {
        let id = self.id_of(key);
        let mut entry = Entry::event(operation, id.clone(), note);
        entry.lease_id = Some(id);
        entry.subject = Some(lease.subject.clone());
        entry.principal = Some(lease.principal().into());
        entry.mount = self.mounts.table().known(key.mount).map(|mount| mount.note());
        entry
    }

    /// After the clock went back: a lease lives no longer from now than the life it was given, so each jump costs at
    /// most one life, and nothing waits for a time that was never meant.
    async fn pull_back(&self, lane: &Lane, now: Timestamp) -> Result<(), CoreError> {
        let shelf = due(lane.mount, &lane.name);
        // After unsealing nobody knows whether it did; what lies further ahead than any life given proves it.
        let from = if self.seen_back() { now } else { now.plus(lane.longest().0.max(GRACE).max(LONGEST_WAIT)) };
        let mut after = Some(shelf.ordered(from.nanos().saturating_add(1), []));
        loop {
            let page = self.book.records.scan::<Turn>(&shelf, after.as_ref(), PAGE).await?;
            let Some(last) = page.last() else { return Ok(()) };
            after = Some(shelf.ordered(last.number, &last.name));
            for turn in page {
                let key = LeaseKey { mount: lane.mount, path: turn.value.path, suffix: turn.value.suffix };
                self.pull_back_one(&key, now).await?;
            }
        }
    }

    async fn pull_back_one(&self, key: &LeaseKey, now: Timestamp) -> Result<(), CoreError> {
        let Some(stored) = self.book.unless_lost(key, self.book.get(key).await)? else { return Ok(()) };
        let lease = &stored.value;
        let most = now.plus(match lease.stage {
            Stage::Pending => GRACE,
            Stage::Active => lease.ttl.0,
            Stage::Revoking(_) => LONGEST_WAIT,
        });
        if lease.due <= most {
            return Ok(());
        }
        let new = Lease { due: most, expires: lease.expires.min(most), ..lease.clone() };
        match self.book.replace(key, &stored, &new).await {
            Err(CoreError::Conflict) => Ok(()),
            other => other,
        }
    }
}

/// What an engine is told of a lease that is to end.
fn end_of(lease: &Lease) -> LeaseEnd<'_> {
    LeaseEnd { note: &lease.note, was_handed_out: lease.stage.was_handed_out() }
}

/// Sleeps until then; for ever without a time.
async fn until(time: Option<Instant>) {
    match time {
        Some(time) => sleep_until(time).await,
        None => std::future::pending().await,
    }
}
