//! A bounded store of open connections.
//!
//! A place is taken, used and given back by name; whoever is interrupted in between gives back the place but not the
//! connection, which is closed, so no half-read answer is ever met by the next. Opens nothing and checks nothing itself.

use crate::{ConnectorError, Limits};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, SemaphorePermit};
use tokio::time::{Instant, timeout};

pub(crate) struct Pool<C> {
    address: String,
    limits: Limits,
    places: Arc<Semaphore>,
    /// Calls that make or prolong logins: as many as there are places, less one for those that end them.
    makers: Semaphore,
    idle: Mutex<Vec<Idle<C>>>,
}

struct Idle<C> {
    connection: C,
    born: Instant,
    since: Instant,
}

/// A place, and a connection that was left in it.
pub(crate) struct Place<C> {
    /// What an earlier call left, and how long ago.
    pub(crate) left: Option<(C, Duration)>,
    born: Instant,
    permit: OwnedSemaphorePermit,
}

impl<C> Pool<C> {
    pub(crate) fn new(address: &str, limits: &Limits) -> Self {
        let places = Arc::new(Semaphore::new(limits.max_open.clamp(1, 10_000)));
        let makers = Semaphore::new(limits.max_open.clamp(1, 10_000).saturating_sub(1).max(1));
        Self { address: address.to_owned(), limits: limits.clone(), places, makers, idle: Mutex::new(Vec::new()) }
    }

    /// Has who makes or prolongs logins wait, so that they leave a place to those who end them; to be held until the call
    /// is over. Waits at most as long as for a connection.
    pub(crate) async fn make(&self) -> Result<SemaphorePermit<'_>, ConnectorError> {
        match timeout(self.limits.connect, self.makers.acquire()).await {
            Ok(Ok(permit)) => Ok(permit),
            Ok(Err(_)) => Err(ConnectorError::Closed { address: self.address.clone() }),
            Err(_) => Err(ConnectorError::Busy { address: self.address.clone(), max_open: self.limits.max_open }),
        }
    }

    /// Waits for a place, at most as long as for a connection.
    pub(crate) async fn take(&self) -> Result<Place<C>, ConnectorError> {
        let permit = match timeout(self.limits.connect, Arc::clone(&self.places).acquire_owned()).await {
            Ok(Ok(permit)) => permit,
            Ok(Err(_)) => return Err(ConnectorError::Closed { address: self.address.clone() }),
            Err(_) => {
                return Err(ConnectorError::Busy { address: self.address.clone(), max_open: self.limits.max_open });
            }
        };
        let now = Instant::now();
        let lifetime = self.limits.max_lifetime;
        let old = |born: Instant| !lifetime.is_zero() && now.duration_since(born) > lifetime;
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.retain(|kept| !old(kept.born));
        let kept = idle.pop();
        Ok(match kept {
            Some(kept) => {
                Place { born: kept.born, left: Some((kept.connection, now.duration_since(kept.since))), permit }
            }
            None => Place { born: now, left: None, permit },
        })
    }

    /// Leaves a connection, on which nothing is pending, for the next call.
    pub(crate) fn give_back(&self, place: Place<C>, connection: C) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < self.limits.max_idle && !self.places.is_closed() {
            idle.push(Idle { connection, born: place.born, since: Instant::now() });
        }
        drop(place.permit);
    }

    /// Waits for the calls that run, and refuses later ones.
    pub(crate) async fn close(&self) {
        let all = u32::try_from(self.limits.max_open.clamp(1, 10_000)).unwrap_or(u32::MAX);
        let _all = self.places.acquire_many(all).await;
        self.places.close();
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}
