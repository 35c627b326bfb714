//! What is done again and again while the strongroom is open: what expired or was revoked goes, what was interrupted goes
//! on. One that fails is tried again in a second and holds up none of the rest of the server.

use crate::CoreError;
use crate::access_key::AccessKeys;
use crate::emergency::Emergency;
use crate::incident::Incidents;
use crate::lease::Leases;
use crate::mount::{Mount, MountClass, Mounts};
use crate::secret::Secrets;
use crate::token::Tokens;
use crate::webhook::Webhooks;
use std::sync::Arc;
use std::time::Duration;
use strongroom_model::{Clock, Timestamp};
use tokio::sync::{Mutex, Notify, watch};
use tokio::time::{MissedTickBehavior, interval};

/// Steps each second of completing the list of tokens by their entity, in a store that had none.
const INDEX_STEPS: usize = 16;
/// How often auth methods are asked to do what is due.
const METHODS_WORK: Duration = Duration::from_secs(3_600);

/// Removes what is due: expired tokens, descendants of revoked ones, data of removed mounts.
pub(super) struct Housekeeper {
    pub(super) tokens: Arc<Tokens>,
    pub(super) mounts: Arc<Mounts>,
    pub(super) secrets: Arc<Secrets>,
    pub(super) access_keys: Arc<AccessKeys>,
    pub(super) leases: Arc<Leases>,
    pub(super) webhooks: Arc<Webhooks>,
    pub(super) clock: Arc<dyn Clock>,
    /// When auth methods were last asked to do what is due.
    pub(super) worked: Mutex<Timestamp>,
    pub(super) emergency: Arc<Emergency>,
    pub(super) incidents: Arc<Incidents>,
    pub(super) wake: Notify,
}

impl Housekeeper {
    /// Keeps house every second, and when woken.
    pub(super) async fn stay(&self, mut stop: watch::Receiver<bool>) {
        let mut every_second = interval(Duration::from_secs(1));
        every_second.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = every_second.tick() => {}
                () = self.wake.notified() => {}
                _ = stop.wait_for(|stop| *stop) => return,
            }
            self.run().await;
        }
    }

    /// Lets the next round begin now.
    pub(super) fn wake(&self) {
        self.wake.notify_one();
    }

    pub(super) async fn run(&self) {
        if let Err(error) = self.round().await {
            tracing::warn!(%error, "housekeeping could not finish; it is tried again in a second");
        }
    }

    async fn round(&self) -> Result<(), CoreError> {
        self.tokens.resume().await?;
        self.tokens.end_departed().await?;
        self.secrets.resume().await?;
        self.secrets.note_reads().await?;
        self.secrets.purge_due().await?;
        self.secrets.remind_due(&self.webhooks).await?;
        self.secrets.end_due().await?;
        self.access_keys.housekeep().await?;
        while self.tokens.sweep(256).await? == 256 {}
        for _ in 0..INDEX_STEPS {
            self.tokens.step_index().await?;
        }
        self.leases.keep_house(&self.webhooks).await?;
        self.emergency.resume(&self.incidents).await?;
        for mount in self.mounts.to_wipe().await? {
            if let Err(error) = self.wipe(&mount).await {
                tracing::warn!(mount = %mount.path, %error, "a removed mount could not be wiped; it is tried again");
            }
        }
        self.let_methods_work().await;
        Ok(())
    }

    /// Wipes what a removed mount kept, when its leases are gone: until then they need what its engine knows.
    async fn wipe(&self, mount: &Mount) -> Result<(), CoreError> {
        if mount.class == MountClass::Secret && mount.kind == "kv" {
            self.secrets.wipe(mount).await?;
        } else if self.leases.end_mount(mount.id).await? {
            self.mounts.wipe_plugin(mount).await?;
            self.leases.forget_mount(mount.id).await?;
        } else {
            return Ok(());
        }
        self.mounts.wiped(mount).await
    }

    /// Asks each auth method to do what is due, once an hour. One that fails does not hold up the others.
    async fn let_methods_work(&self) {
        let mut worked = self.worked.lock().await;
        let now = self.clock.now();
        // A clock that was set back must not stop it for longer than an hour.
        if *worked <= now && now.since(*worked) < METHODS_WORK {
            return;
        }
        *worked = now;
        for mount in self.mounts.table().of(MountClass::Auth) {
            let Some(method) = self.mounts.table().method(mount.id) else { continue };
            if let Err(error) = method.work().await {
                tracing::warn!(mount = %mount.path, %error, "an auth method could not put itself in order; it is tried again in an hour");
            }
        }
    }
}
