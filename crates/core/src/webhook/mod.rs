//! Tells outside places of what happened in the house: signed HTTPS messages to addresses that an operator set.
//!
//! Invariants: a notice is durable before [`Webhooks::tell`] returns, and is sent at least once, in a task of the
//! server's own, never in that of a request; the queue is bounded, and what it must leave out is counted and said in the
//! trail; no redirect is followed, and addresses that only this machine or its cloud can reach are refused unless the
//! operator allowed them. Who tells gives names and sentences, never a value of a secret. Speaks HTTP only towards
//! the outside; does not know what a notice means.

mod backoff;
mod dial;
mod hook;
mod notice;
mod post;
mod queue;
mod reach;
mod sign;

pub use hook::{Hidden, HookStatus, NewWebhook, Style, Webhook};
pub use notice::{Notice, Severity, Topic};
pub use post::{Answer, Parcel, Target};
pub use sign::sign;

pub(crate) use backoff::Backoff;
pub(crate) use dial::{Trust, Wire, dial, dial_secure};
pub(crate) use reach::Reach;

use crate::configured::Configured;
use crate::metrics::Metrics;
use crate::records::Records;
use crate::{CoreError, Grant};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hook::{Hooks, Kept};
use queue::Queue;
use std::sync::Arc;
use strongroom_audit::Trail;
use strongroom_model::{Clock, Entropy, SecretString};
use tokio::sync::watch;

/// More destinations than anybody needs.
const MOST_HOOKS: usize = 64;

/// The destinations, and what waits to be sent to them.
pub struct Webhooks {
    hooks: Configured<Hooks>,
    queue: Queue,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
}

impl Webhooks {
    pub(crate) async fn load(
        records: &Arc<Records>,
        trail: &Arc<Trail>,
        metrics: &Arc<Metrics>,
        clock: &Arc<dyn Clock>,
        entropy: &Arc<dyn Entropy>,
    ) -> Result<Self, CoreError> {
        Ok(Self {
            hooks: Configured::load(records, "webhooks").await?,
            queue: Queue::new(records, trail, metrics, clock, entropy),
            clock: Arc::clone(clock),
            entropy: Arc::clone(entropy),
        })
    }

    /// Tells every destination that wants the topic. Durable when it returns; does not wait for the network. Says to how
    /// many it will go: a destination whose queue is full is left out, which is counted.
    pub async fn tell(&self, notice: Notice) -> Result<usize, CoreError> {
        let hooks = self.hooks.current();
        let wanting: Vec<&str> = hooks.wanting(notice.topic).collect();
        if wanting.is_empty() {
            return Ok(0);
        }
        self.queue.put(&wanting, &notice.bounded()).await
    }

    /// Adds a destination, or changes the one of that name. Gives the key by which its messages are signed when it is a new
    /// one: it is shown this once.
    pub async fn set(&self, grant: &Grant, new: NewWebhook) -> Result<Option<SecretString>, CoreError> {
        let name = new.name.clone();
        let made = SecretString::new(format!("whsec_{}", STANDARD.encode(self.entropy.array::<32>())));
        let (now, mut shown) = (self.clock.now(), None);
        let show = &mut shown;
        let change = move |hooks: &mut Hooks| {
            let known = hooks.0.get(&name);
            if known.is_none() && hooks.0.len() >= MOST_HOOKS {
                return Err(CoreError::TooLarge(format!("there are {MOST_HOOKS} webhooks already; remove one first")));
            }
            let (kept, key) = Kept::made(new, known, made, now)?;
            *show = key;
            hooks.0.insert(name, kept);
            Ok(())
        };
        self.hooks.change(grant, change).await?;
        self.queue.wake();
        Ok(shown)
    }

    /// Removes a destination and what waits for it; `false` when there is none of that name.
    pub async fn remove(&self, grant: &Grant, name: &str) -> Result<bool, CoreError> {
        let mut was_there = false;
        let there = &mut was_there;
        let change = move |hooks: &mut Hooks| {
            *there = hooks.0.remove(name).is_some();
            Ok(())
        };
        self.hooks.change(grant, change).await?;
        self.queue.forget(name).await?;
        Ok(was_there)
    }

    /// The destinations and how they do.
    pub async fn list(&self) -> Result<Vec<HookStatus>, CoreError> {
        let hooks = self.hooks.current();
        let mut all = Vec::new();
        for kept in hooks.0.values() {
            all.push(self.queue.status(kept.webhook.clone()).await?);
        }
        Ok(all)
    }

    /// Sends a trial message to one destination now, past the queue.
    pub async fn try_out(&self, _grant: &Grant, name: &str) -> Result<Answer, CoreError> {
        let hooks = self.hooks.current();
        let missing =
            || CoreError::NotFound("there is no webhook of that name; see `strongroom webhook list`".to_owned());
        let kept = hooks.0.get(name).ok_or_else(missing)?;
        let notice = Notice::new(Topic::Trial, "trial", Severity::Info, "This is a trial message from Strongroom.");
        self.queue.send(kept, &notice, "trial", self.clock.now()).await
    }

    /// Sends what is due until told to stop.
    pub(crate) async fn run(self: Arc<Self>, stop: watch::Receiver<bool>) {
        self.queue.run(&self.hooks, stop).await;
    }

    /// Sends what is due now and waits for it: for tests that turn the clock.
    pub async fn settle(&self) {
        self.queue.pass(&self.hooks).await;
    }
}
