//! What a revocation would touch, without touching anything: counts, and names as far as the caller may know them.

use super::{Aim, Emergency, Target};
use crate::access_key::AccessKeyId;
use crate::event::shows;
use crate::token::{Token, TokenKey};
use crate::{CoreError, Grant};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::sync::Arc;
use strongroom_audit::{Query, object_of};
use strongroom_model::policy::Acl;

/// Names shown of each kind.
const SHOWN: usize = 20;
/// Tokens looked at in one go.
pub(super) const PAGE: usize = 256;
/// Bearers of batch tokens told of at most.
const MOST_BEARERS: usize = 200;
/// Entries of the trail looked at in one go.
const ROWS: usize = 1_000;

/// What would be touched.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Preview {
    /// The target as it is typed to confirm.
    pub target: String,
    /// Its kind.
    pub kind: String,
    /// By kind of thing.
    pub touches: Vec<Touch>,
}

/// Things of one kind that would be touched.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Touch {
    /// `tokens`, `leases`, `access-keys`, `versions`, `requests`, `consumers`, `own tokens`, `bearers of batch tokens`.
    pub what: String,
    /// How many.
    pub count: u64,
    /// The first of them, of those that the caller may know.
    pub names: Vec<String>,
    /// What becomes of them.
    pub effect: String,
    /// Why there may be more of them than are counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lacks: Option<String>,
}

impl Emergency {
    /// What revoking this would touch.
    pub async fn preview(&self, grant: &Grant, aim: &Aim) -> Result<Preview, CoreError> {
        let target = self.resolve(grant, aim).await?;
        self.preview_of(grant, &target).await
    }

    pub(super) async fn preview_of(&self, grant: &Grant, target: &Target) -> Result<Preview, CoreError> {
        let acl = grant.acl().ok_or(CoreError::Denied)?;
        let mut touches = Vec::new();
        match target {
            Target::Secret { .. } => {
                touches.push(self.preview_version(target).await?);
                touches.push(self.preview_consumers(acl, target).await?);
            }
            Target::Principal { entity, .. } => {
                touches.push(touch("logins", 1, Vec::new(), "refused until the incident is lifted"));
                let keys = self.rooms.access_keys.in_use_of(*entity).await?;
                let names = keys.iter().take(SHOWN).map(|key| key.id.to_string());
                let names = names.filter(|_| shows(acl, "sys/access-keys")).collect();
                touches.push(touch("access-keys", keys.len() as u64, names, "put out of use; can be put in use again"));
                touches.extend(self.preview_tokens(grant, acl, target).await?);
            }
            Target::AccessKey { key, .. } => {
                let names = Some(key.to_string()).filter(|_| shows(acl, "sys/access-keys")).into_iter().collect();
                let effect = "put out of use, with the sessions that were made with it; can be put in use again";
                touches.push(touch("access-keys", 1, names, effect));
            }
            Target::Token { .. } => touches.extend(self.preview_tokens(grant, acl, target).await?),
            Target::Mount { auth, path, .. } => {
                touches.push(touch("requests", 0, vec![path.clone()], "all refused until the incident is lifted"));
                if *auth {
                    touches.extend(self.preview_tokens(grant, acl, target).await?);
                }
            }
            Target::Address { network } => {
                let names = vec![network.to_string()];
                touches.push(touch("requests", 0, names, "all refused until the incident is lifted"));
                touches.extend(self.preview_tokens(grant, acl, target).await?);
            }
            Target::LeasePrefix { .. } => {}
        }
        if let Some(scope) = target.leases() {
            let (count, names) = self.rooms.leases.count_in(&scope).await?;
            let known = |id: &String| shows(acl, &format!("sys/leases/lookup/{id}"));
            let names = names.into_iter().filter(known).collect();
            touches.push(touch("leases", count, names, "revoked, with the credentials behind them"));
        }
        Ok(Preview { target: target.text(), kind: target.kind().to_owned(), touches })
    }

    pub(super) async fn preview_version(&self, target: &Target) -> Result<Touch, CoreError> {
        let meta = match target {
            Target::Secret { mount, name, .. } => match self.mount_by_id(*mount) {
                Some(mount) => self.rooms.secrets.known(&mount, name).await?,
                None => None,
            },
            _ => None,
        };
        let now = self.rooms.clock.now();
        let current = meta.as_ref().and_then(|meta| meta.info(meta.current()?));
        let current = current.filter(|info| !info.version.is_gone(now));
        let names = current.iter().map(|info| format!("version {}", info.number.get())).collect();
        let is_planned = match (target, self.rotate.get()) {
            (Target::Secret { mount, name, .. }, Some(rotate)) => rotate.is_planned(*mount, name).await?,
            _ => false,
        };
        let effect = match is_planned {
            true => {
                "rotated by its plan: the outside system gets a new value, this one is good for nothing from then on, and \
                 lifting the incident does not bring it back; where that fails, put out of use until it works"
            }
            false => {
                "put out of use: reads are refused in every dialect until the incident is lifted or a new version is written"
            }
        };
        Ok(touch("versions", u64::from(current.is_some()), names, effect))
    }

    pub(super) async fn preview_consumers(&self, acl: &Acl, target: &Target) -> Result<Touch, CoreError> {
        let effect = "refused until they read a new version";
        let Target::Secret { mount, name, .. } = target else { return Ok(Touch::default()) };
        let Some(mount) = self.mount_by_id(*mount) else { return Ok(touch("consumers", 0, Vec::new(), effect)) };
        let uses = self.rooms.trail.uses(Some(object_of(&mount.accessor, name.as_str())), |_| true).await?;
        let mut names = Vec::new();
        for one in uses.iter().take(SHOWN).filter(|_| shows(acl, "sys/trail/who-reads")) {
            names.push(self.title_of(&one.consumer).await?.unwrap_or_else(|| one.name.clone()));
        }
        let lacks = self.archived("readers").await?;
        Ok(Touch { lacks, ..touch("consumers", uses.len() as u64, names, effect) })
    }

    /// What a count from the trail lacks, if some of it is not there any more.
    async fn archived(&self, whom: &str) -> Result<Option<String>, CoreError> {
        let absent = self.rooms.trail.absent().await?;
        let up_to = absent.iter().filter_map(|gap| gap.to).max();
        let archived = absent.iter().all(|gap| gap.archived);
        Ok((!absent.is_empty()).then(|| match up_to {
            Some(up_to) if archived => {
                format!("unknown: archived up to {up_to}; {whom} that have not come since are not counted")
            }
            _ => format!(
                "unknown: entries are missing from the trail, and {whom} that are in those only are not counted"
            ),
        }))
    }

    async fn preview_tokens(&self, grant: &Grant, acl: &Acl, target: &Target) -> Result<Vec<Touch>, CoreError> {
        let (mut count, mut names, mut walk) = (0, Vec::new(), TokenWalk::of(target));
        let named = shows(acl, "auth/token/accessors");
        let own = self.own_tokens(target, &grant.require_bearer()?.token().accessor).await?;
        let mut spared = Vec::new();
        while let Some(mut keys) = self.next_tokens(&mut walk).await? {
            spared.extend(own.iter().filter(|(key, _)| keys.contains(key)).map(|(_, token)| token.accessor.clone()));
            keys.retain(|key| own.iter().all(|(own, _)| own != key));
            for key in &keys {
                if named
                    && names.len() < SHOWN
                    && let Some(token) = self.rooms.tokens.kept(*key).await?
                {
                    names.push(token.accessor);
                }
            }
            count += keys.len() as u64;
        }
        let lacks = match target {
            Target::Address { .. } => self.archived("tokens and access keys").await?,
            Target::Principal { .. } if !self.rooms.tokens.is_index_whole() => Some(
                "tokens from before the server listed them by entity are still being looked for; they are revoked, too"
                    .to_owned(),
            ),
            _ => None,
        };
        let mut touches =
            vec![Touch { lacks, ..touch("tokens", count, names, "revoked, with all that descends from them") }];
        if let Target::Address { .. } = target {
            touches.push(self.preview_keys_used(acl, &walk).await?);
        }
        if !spared.is_empty() {
            let count = spared.len() as u64;
            spared.retain(|_| named);
            touches.push(touch(
                "own tokens",
                count,
                spared,
                "spared, so that somebody can see it through; revoke them then",
            ));
        }
        if walk.batch.is_empty() {
            return Ok(touches);
        }
        let mut bearers = Vec::new();
        for who in walk.batch.iter().take(SHOWN).filter(|_| named) {
            bearers.push(self.title_of(who).await?.unwrap_or_else(|| who.clone()));
        }
        let effect = "refused from the network only: nothing is stored that could be revoked; cut off who bears them";
        touches.push(touch("bearers of batch tokens", walk.batch.len() as u64, bearers, effect));
        Ok(touches)
    }

    /// The tokens that a network's revocation spares, though they were used there: the one that the order comes with, and
    /// those that it descends from, with which it would be revoked.
    pub(super) async fn own_tokens(
        &self,
        target: &Target,
        accessor: &str,
    ) -> Result<Vec<(TokenKey, Token)>, CoreError> {
        let Target::Address { .. } = target else { return Ok(Vec::new()) };
        let tokens = &self.rooms.tokens;
        let Some(key) = tokens.key_of_accessor(accessor).await? else { return Ok(Vec::new()) };
        let Some(own) = tokens.kept(key).await? else { return Ok(Vec::new()) };
        let above = tokens.ancestors(&own).await?;
        Ok(std::iter::once((key, own)).chain(above).collect())
    }

    /// Access keys that requests of the walk were signed with, and which are in use.
    async fn preview_keys_used(&self, acl: &Acl, walk: &TokenWalk) -> Result<Touch, CoreError> {
        let mut keys = Vec::new();
        for key in walk.others.iter().filter_map(|text| AccessKeyId::parse(text).ok()) {
            if self.rooms.access_keys.is_disabled(&key).await? == Some(false) {
                keys.push(key.to_string());
            }
        }
        let count = keys.len() as u64;
        keys.retain(|_| shows(acl, "sys/access-keys"));
        keys.truncate(SHOWN);
        Ok(touch("access-keys", count, keys, "put out of use; can be put in use again"))
    }

    /// What people call the entity of that id, if it is one.
    pub(super) async fn title_of(&self, id: &str) -> Result<Option<String>, CoreError> {
        let table = Arc::clone(&self.rooms.mounts.table());
        self.rooms.identity.title_of(&table, id).await
    }

    /// The next tokens of a target; `None` at the end.
    pub(super) async fn next_tokens(&self, walk: &mut TokenWalk) -> Result<Option<Vec<TokenKey>>, CoreError> {
        if walk.over {
            return Ok(None);
        }
        let tokens = &self.rooms.tokens;
        let page = match &walk.target {
            Target::Principal { entity, .. } => tokens.of_entity(*entity, walk.after.take(), PAGE).await?,
            Target::Mount { mount, auth: true, .. } => tokens.of_mount(*mount, walk.after.take(), PAGE).await?,
            Target::Token { accessor } => {
                walk.over = true;
                return Ok(Some(tokens.key_of_accessor(accessor).await?.into_iter().collect()));
            }
            Target::Address { network } => {
                let network = *network;
                return self.tokens_from(walk, network).await;
            }
            _ => return Ok(None),
        };
        walk.over = page.next.is_none();
        walk.after = page.next;
        Ok(Some(page.keys))
    }

    /// Tokens that were used from a network, or handed out there, as the trail tells.
    async fn tokens_from(
        &self,
        walk: &mut TokenWalk,
        network: crate::Cidr,
    ) -> Result<Option<Vec<TokenKey>>, CoreError> {
        let query = Query {
            address: Some(Box::new(move |address| network.contains(address))),
            kinds: vec!["outcome".to_owned()],
            start: walk.row,
            limit: ROWS,
            ..Query::default()
        };
        let page = self.rooms.trail.query(query).await?;
        walk.row = page.next;
        walk.over = page.next.is_none();
        let mut keys = Vec::new();
        for row in page.rows.into_iter().filter(|row| row.granted == Some(true)) {
            // What was handed out there is known there, wherever it is used.
            for accessor in row.issued.iter().filter(|_| row.result.as_deref() == Some("ok")) {
                if accessor.is_empty() {
                    walk.bears_batch(row.issued_to.clone());
                } else if walk.seen.insert(accessor.clone()) {
                    keys.extend(self.rooms.tokens.key_of_accessor(accessor).await?);
                }
            }
            if row.accessor.as_ref().is_some_and(String::is_empty) {
                walk.bears_batch(row.entity.or(row.principal));
                continue;
            }
            let Some(accessor) = row.accessor.filter(|accessor| walk.seen.insert(accessor.clone())) else { continue };
            match self.rooms.tokens.key_of_accessor(&accessor).await? {
                Some(key) => keys.push(key),
                None => walk.others.push(accessor),
            }
        }
        Ok(Some(keys))
    }
}

/// How far somebody came through the tokens of a target.
pub(super) struct TokenWalk {
    target: Target,
    after: Option<Vec<u8>>,
    row: Option<u64>,
    seen: std::collections::HashSet<String>,
    over: bool,
    /// Accessors that are no token's: ids of access keys, or of tokens that are gone.
    pub(super) others: Vec<String>,
    /// Who bore batch tokens, which have no accessor.
    pub(super) batch: BTreeSet<String>,
}

impl TokenWalk {
    pub(super) fn of(target: &Target) -> Self {
        Self {
            target: target.clone(),
            after: None,
            row: None,
            seen: Default::default(),
            over: false,
            others: Vec::new(),
            batch: BTreeSet::new(),
        }
    }

    fn bears_batch(&mut self, who: Option<String>) {
        if self.batch.len() < MOST_BEARERS {
            self.batch.extend(who);
        }
    }
}

fn touch(what: &str, count: u64, names: Vec<String>, effect: &str) -> Touch {
    Touch { what: what.to_owned(), count, names, effect: effect.to_owned(), lacks: None }
}
