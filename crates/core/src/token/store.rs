use super::bearer::{Bearer, Held};
use super::entry::{Token, TokenKey};
use super::lifetime::Limits;
use super::{batch, text};
use crate::emergency::Blocks;
use crate::event::Hub;
use crate::identity::Identity;
use crate::lease::Book;
use crate::metrics::{Counter, Labels, Metrics, Watch};
use crate::mount::Mounts;
use crate::records::{PutRecord, Records, Stored};
use crate::{CoreError, Settings, visit::Source};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use strongroom_barrier::{Address, Shelf, Txn};
use strongroom_model::{Clock, EntityId, Entropy, MountId, MountPath, NamespaceId, SecretString, Ttl};

/// Makes, finds, renews and revokes tokens.
pub struct Tokens {
    pub(super) records: Arc<Records>,
    pub(super) identity: Arc<Identity>,
    pub(super) mounts: Arc<Mounts>,
    /// What must end with a token.
    pub(super) leases: Arc<Book>,
    /// Mounts whose tokens are refused.
    pub(super) blocks: Arc<Blocks>,
    /// Who waits for the end of tokens is told here.
    pub(super) events: Arc<Hub>,
    pub(super) settings: Settings,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) entropy: Arc<dyn Entropy>,
    /// Held by who puts the indexes in order; one at a time is enough.
    pub(super) tidying: tokio::sync::Mutex<()>,
    /// Held by who completes the list of tokens by their entity.
    pub(super) indexing: tokio::sync::Mutex<()>,
    /// Whether that list is known to be whole.
    pub(super) index_is_whole: AtomicBool,
    pub(super) meters: Meters,
}

/// What is counted and timed. Looking a token up is the gate's, and is not noted twice.
pub(super) struct Meters {
    pub(super) create: Watch,
    pub(super) create_root: Arc<Counter>,
    /// Every commit of a token's record, a new one or a changed one.
    pub(super) store: Watch,
    pub(super) revoke: Watch,
    pub(super) revoke_tree: Watch,
    pub(super) renew: Watch,
    pub(super) end_leases: Watch,
}

impl Meters {
    fn of(metrics: &Metrics, clock: &Arc<dyn Clock>) -> Self {
        let watch = |name| metrics.watch(name, clock);
        Self {
            // One commit keeps the token, its accessor and its end.
            create: metrics.watch_as(
                "vault.token.create",
                &["vault.token.createAccessor", "vault.expire.register-auth"],
                clock,
            ),
            create_root: metrics.counter("vault.token.create_root", Labels::new()),
            store: watch("vault.token.store"),
            revoke: watch("vault.token.revoke"),
            revoke_tree: watch("vault.token.revoke-tree"),
            renew: watch("vault.expire.renew-token"),
            end_leases: watch("vault.expire.revoke-by-token"),
        }
    }
}

/// Leads from an accessor to its token.
#[derive(Serialize, Deserialize)]
pub(super) struct Pointer {
    pub(super) key: TokenKey,
}

pub(crate) fn token_at(key: TokenKey) -> Address {
    Shelf::new("token", NamespaceId::ROOT).named(key.as_bytes())
}

/// Not counted: that would make each token an eighth dearer to make.
pub(super) fn accessor_shelf() -> Shelf {
    Shelf::new("token-accessor", NamespaceId::ROOT)
}

/// Tokens in the order in which they die.
pub(super) fn expiry_shelf() -> Shelf {
    Shelf::new("token-expiry", NamespaceId::ROOT)
}

/// Tokens of an entity.
pub(super) fn holder_shelf(entity: EntityId) -> Shelf {
    Shelf::new("token-of-entity", NamespaceId::ROOT).within(entity.as_bytes())
}

/// Tokens that descend from one.
pub(super) fn children_shelf(parent: TokenKey) -> Shelf {
    Shelf::new("token-child", NamespaceId::ROOT).within(parent.as_bytes())
}

impl Tokens {
    #[allow(clippy::too_many_arguments, reason = "called once, with one value of each type")]
    pub(crate) fn new(
        records: Arc<Records>,
        identity: Arc<Identity>,
        mounts: Arc<Mounts>,
        leases: Arc<Book>,
        blocks: Arc<Blocks>,
        events: Arc<Hub>,
        settings: Settings,
        metrics: &Metrics,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
    ) -> Self {
        let (tidying, indexing) = (tokio::sync::Mutex::new(()), tokio::sync::Mutex::new(()));
        let (index_is_whole, meters) = (AtomicBool::new(false), Meters::of(metrics, &clock));
        Self {
            records,
            identity,
            mounts,
            leases,
            blocks,
            events,
            settings,
            clock,
            entropy,
            tidying,
            indexing,
            index_is_whole,
            meters,
        }
    }

    /// The name under which a token would be stored.
    pub fn key_of(&self, token: &SecretString) -> TokenKey {
        TokenKey(self.records.barrier().keyed_hash("token", token.expose().as_bytes()))
    }

    /// The name under which a token would be stored, of those that are stored.
    pub(crate) fn kept_as(&self, token: &SecretString) -> Option<TokenKey> {
        (!batch::is_batch(token)).then(|| self.key_of(token))
    }

    /// Who bears this token: `None` when it is unknown, dead, used from elsewhere, or its principal is disabled or gone.
    pub async fn authenticate(&self, token: &SecretString, source: &Source) -> Result<Option<Bearer>, CoreError> {
        self.authenticate_as(token, self.kept_as(token), source).await
    }

    /// As [`Tokens::authenticate`], for who has asked [`Tokens::kept_as`] already.
    pub(crate) async fn authenticate_as(
        &self,
        token: &SecretString,
        kept: Option<TokenKey>,
        source: &Source,
    ) -> Result<Option<Bearer>, CoreError> {
        let Some(bearer) = self.find_as(token, kept).await? else { return Ok(None) };
        let bound = &bearer.token().bound_cidrs;
        let here = |cidr: &crate::Cidr| source.address.is_some_and(|address| cidr.contains(address));
        Ok((bound.is_empty() || bound.iter().any(here)).then_some(bearer))
    }

    /// As [`Tokens::authenticate`], wherever the token is used from.
    pub async fn find(&self, token: &SecretString) -> Result<Option<Bearer>, CoreError> {
        self.find_as(token, self.kept_as(token)).await
    }

    async fn find_as(&self, token: &SecretString, kept: Option<TokenKey>) -> Result<Option<Bearer>, CoreError> {
        if let Some(key) = kept {
            return self.bearer(key).await;
        }
        let Some(token) = self.open_batch(token)? else { return Ok(None) };
        self.admit(Held::Carried(Box::new(token))).await
    }

    /// As [`Tokens::find`], for a token known by its stored name.
    pub async fn bearer(&self, key: TokenKey) -> Result<Option<Bearer>, CoreError> {
        match self.records.get::<Token>(&token_at(key)).await? {
            Some(token) => self.admit(Held::Stored { key, token, last_use: false }).await,
            None => Ok(None),
        }
    }

    /// Who stands behind an access key that was proved. The key's stand-in is looked at as any token is.
    pub(crate) async fn bearer_of(&self, stand_in: Token) -> Result<Option<Bearer>, CoreError> {
        self.admit(Held::Carried(Box::new(stand_in))).await
    }

    /// What every use looks at, however the token is kept.
    async fn admit(&self, held: Held) -> Result<Option<Bearer>, CoreError> {
        let token = held.token();
        if token.is_expired(self.clock.now()) || token.is_spent() || !self.ancestors_live(token).await? {
            return Ok(None);
        }
        let gone = |mount: Option<MountId>| {
            mount.is_some_and(|id| self.blocks.holds(id) || self.mounts.table().by_id(id).is_none())
        };
        if gone(token.mount) || gone(token.through) {
            return Ok(None);
        }
        let entity = match token.entity {
            None => None,
            Some(id) => match self.identity.by_id(id).await? {
                Some(entity) if !entity.value.disabled => Some(entity),
                _ => return Ok(None),
            },
        };
        Ok(Some(Bearer::new(held, entity)))
    }

    /// Whether everything lives that the token descends from. So a whole tree is refused from the moment on at which its
    /// root is removed, however long it takes to remove the rest, and whatever somebody cut out of the lists of children.
    async fn ancestors_live(&self, token: &Token) -> Result<bool, CoreError> {
        let mut above = token.parent;
        while let Some(key) = above {
            match self.records.get::<Token>(&token_at(key)).await? {
                Some(parent) if !parent.value.is_expired(self.clock.now()) && !parent.value.is_spent() => {
                    above = parent.value.parent;
                }
                _ => return Ok(false),
            }
        }
        Ok(true)
    }

    /// The token behind an accessor.
    pub async fn by_accessor(&self, accessor: &str) -> Result<Option<Bearer>, CoreError> {
        match self.records.get::<Pointer>(&accessor_shelf().named(accessor)).await? {
            Some(pointer) => self.bearer(pointer.value.key).await,
            None => Ok(None),
        }
    }

    /// Accessors of all tokens.
    pub async fn accessors(&self) -> Result<Vec<String>, CoreError> {
        let listed = self.records.scan_all::<Pointer>(&accessor_shelf()).await?;
        let mut accessors: Vec<String> = listed.iter().map(|listed| listed.text()).collect();
        accessors.sort();
        Ok(accessors)
    }

    /// Counts one use of a token whose uses are counted. `false` when there is none left.
    pub(crate) async fn count_use(&self, bearer: &mut Bearer) -> Result<bool, CoreError> {
        let Held::Stored { key, token: held, last_use } = &mut bearer.held else { return Ok(true) };
        let at = token_at(*key);
        loop {
            let Some(current) = self.records.get::<Token>(&at).await? else { return Ok(false) };
            if current.value.uses_left == 0 {
                return Ok(false);
            }
            let mut token = current.value.clone();
            token.uses_left -= 1;
            let txn = Txn::new().expect(at.clone(), current.rev).put_record(at.clone(), &token)?;
            match self.meters.store.over(|| self.records.commit(txn)).await {
                Ok(rev) => {
                    *last_use = token.uses_left == 0;
                    *held = Arc::new(Stored { value: token, rev });
                    return Ok(true);
                }
                Err(CoreError::Conflict) => continue,
                Err(error) => return Err(error),
            }
        }
    }

    /// The default and longest life on a mount, from its settings and the system's. Tokens made by hand are of the
    /// mount `auth/token`.
    pub(crate) fn limits(&self, mount: Option<MountId>) -> Limits {
        let table = self.mounts.table();
        let mount = match mount {
            Some(id) => table.by_id(id),
            None => MountPath::auth("token").ok().and_then(|path| table.at(&path)),
        };
        let (default, longest) = mount.map_or((0, 0), |mount| {
            let config = &mount.config;
            (config.default_lease_ttl, config.max_lease_ttl)
        });
        let or = |secs: u64, system: Ttl| if secs == 0 { system } else { Ttl::from_secs(secs) };
        let longest = or(longest, self.settings.max_lease_ttl);
        Limits { default: or(default, self.settings.default_lease_ttl).min(longest), longest }
    }

    pub(super) fn fresh(&self) -> SecretString {
        text::service(&*self.entropy)
    }

    pub(super) fn fresh_accessor(&self) -> String {
        text::accessor(&*self.entropy)
    }
}
