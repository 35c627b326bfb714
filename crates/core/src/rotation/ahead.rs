//! Looking ahead: secrets that end by themselves soon are told of once, in time to do something about it.
//!
//! What was told is a moment up to which all ends are told of, so a look costs what is new. Who writes a secret that ends
//! sooner than that knows.

use super::Rotations;
use super::alarm::AlertKind;
use super::record::Key;
use crate::CoreError;
use crate::records::PutRecord;
use serde::{Deserialize, Serialize};
use std::time::Duration;
use strongroom_barrier::{Address, Shelf, Txn};
use strongroom_model::{NamespaceId, Timestamp};

/// How long before its end a secret is told of.
const NEAR: Duration = Duration::from_secs(3 * 86_400);
/// Ends looked at in one go; what is left is seen to in a minute.
const PAGE: usize = 256;

/// Up to when ends are told of.
#[derive(Serialize, Deserialize)]
struct Told {
    until: Timestamp,
}

fn told_at() -> Address {
    Shelf::new("rotation-told", NamespaceId::ROOT).named("ends")
}

impl Rotations {
    /// Tells of secrets that end soon, and later than the moment up to which that was done before; gives the new one.
    pub(super) async fn look_ahead(&self, before: Option<Timestamp>) -> Result<Timestamp, CoreError> {
        let now = self.clock.now();
        let told = self.book.records.get::<Told>(&told_at()).await?;
        let after = told.map_or(now, |told| told.value.until).max(now).max(before.unwrap_or(now));
        let mut until = now.plus(NEAR);
        if until <= after {
            return Ok(after);
        }
        let ends = self.secrets.ends_between(after, until, PAGE).await?;
        if ends.len() == PAGE {
            until = ends.last().map_or(until, |(at, ..)| *at);
        }
        if ends.is_empty() {
            return Ok(until);
        }
        // Said first: rather twice than never.
        for (at, mount, path) in ends {
            let Some(found) = self.mounts.table().by_id(mount).cloned() else { continue };
            if !self.secrets.ends_at(&found, &path, at).await? {
                continue;
            }
            let days = at.since(now).as_secs().div_ceil(86_400);
            let text = format!("it ends by itself in less than {days} days, and then nobody can read it");
            let advice = "write it again with a later end, or see to it that nobody needs it any more";
            self.alarm(&Key { mount, path }, AlertKind::Expires, text, advice).await;
        }
        self.book.records.commit(Txn::new().put_record(told_at(), &Told { until })?).await?;
        Ok(until)
    }
}
