//! Policies as they are kept, and the compiled answerers made of them.

use crate::identity::{Entity, Identity};
use crate::metrics::{Metrics, Watch};
use crate::records::{PutRecord, Records};
use crate::{CoreError, Grant, boxed};
use ahash::AHashMap;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use strongroom_barrier::{Shelf, Txn};
use strongroom_model::policy::{Acl, DEFAULT_POLICY, Policy};
use strongroom_model::{Clock, EntityId, NamespaceId, PolicyName};

/// A policy as it is stored: its text. It is parsed when it is used, so a better parser needs no migration.
#[derive(Serialize, Deserialize)]
struct StoredPolicy {
    source: String,
}

/// Reads, writes and compiles policies.
pub struct PolicyStore {
    records: Arc<Records>,
    compiled: Mutex<Compiled>,
    meters: Meters,
}

/// What is timed. A request finds its policies compiled and asks for none of this.
struct Meters {
    get: Watch,
    set: Watch,
    delete: Watch,
    list: Watch,
}

/// Policies and answerers that were made before. Emptied whenever any policy changes.
#[derive(Default)]
struct Compiled {
    parsed: HashMap<PolicyName, Arc<Policy>>,
    by_names: AHashMap<Vec<PolicyName>, Kept>,
    /// Counts changes: what was read before one must not be kept after it.
    epoch: u64,
}

/// An entity at one state of it.
type Holder = (EntityId, u64);

/// What is kept for a set of policies.
enum Kept {
    /// One answerer for everybody.
    Plain(Arc<Acl>),
    /// The policies refer to the caller: one for each entity, at its latest state.
    Templated(HashMap<Option<EntityId>, (Option<u64>, Arc<Acl>)>),
}

/// Sets of policies, entities of one set, and parsed policies that are kept.
const MOST: usize = 4_096;

impl Compiled {
    fn find(&self, names: &[PolicyName], holder: Option<Holder>) -> Option<Arc<Acl>> {
        match self.by_names.get(names)? {
            Kept::Plain(acl) => Some(Arc::clone(acl)),
            Kept::Templated(each) => {
                let (changes, acl) = each.get(&holder.map(|(id, _)| id))?;
                (*changes == holder.map(|(_, changes)| changes)).then(|| Arc::clone(acl))
            }
        }
    }

    fn keep(&mut self, epoch: u64, names: &[PolicyName], holder: Option<Holder>, templated: bool, acl: &Arc<Acl>) {
        if self.epoch != epoch {
            return;
        }
        if self.by_names.len() >= MOST {
            self.by_names.clear();
        }
        if !templated {
            self.by_names.insert(names.to_vec(), Kept::Plain(Arc::clone(acl)));
            return;
        }
        let kept = self.by_names.entry(names.to_vec()).or_insert_with(|| Kept::Templated(HashMap::new()));
        if let Kept::Templated(each) = kept {
            if each.len() >= MOST {
                each.clear();
            }
            each.insert(holder.map(|(id, _)| id), (holder.map(|(_, changes)| changes), Arc::clone(acl)));
        }
    }

    fn keep_parsed(&mut self, epoch: u64, policy: &Arc<Policy>) {
        if self.epoch == epoch && self.parsed.len() < MOST {
            self.parsed.insert(policy.name.clone(), Arc::clone(policy));
        }
    }
}

fn shelf() -> Shelf {
    Shelf::new("policy", NamespaceId::ROOT).counted()
}

/// What a wrapping token may do: have its answer, on either of the two ways that Vault has for that.
const RESPONSE_WRAPPING: &str = r#"path "cubbyhole/response" {
  capabilities = ["read"]
}
path "sys/wrapping/unwrap" {
  capabilities = ["update"]
}
"#;

/// Whether it is one of those that are nowhere stored.
fn is_fixed(name: &PolicyName) -> bool {
    name.is_root() || name.is_response_wrapping()
}

impl PolicyStore {
    pub(crate) fn new(records: Arc<Records>, metrics: &Metrics, clock: &Arc<dyn Clock>) -> Self {
        let watch = |name| metrics.watch(name, clock);
        let meters = Meters {
            get: watch("vault.policy.get_policy"),
            set: watch("vault.policy.set_policy"),
            delete: watch("vault.policy.delete_policy"),
            list: watch("vault.policy.list_policies"),
        };
        Self { records, compiled: Mutex::default(), meters }
    }

    /// Writes the policy `default` on the first start.
    pub(crate) async fn ensure_default(&self) -> Result<(), CoreError> {
        let at = shelf().named(PolicyName::default_policy().as_str());
        if self.records.get::<StoredPolicy>(&at).await?.is_none() {
            let stored = StoredPolicy { source: DEFAULT_POLICY.to_owned() };
            self.records.commit(Txn::new().put_record(at, &stored)?).await?;
        }
        Ok(())
    }

    /// The text of a policy; empty for `root`, which is nowhere stored. Nor is that of wrapping tokens.
    pub async fn source(&self, name: &PolicyName) -> Result<Option<String>, CoreError> {
        if name.is_root() {
            return Ok(Some(String::new()));
        }
        if name.is_response_wrapping() {
            return Ok(Some(RESPONSE_WRAPPING.to_owned()));
        }
        let at = shelf().named(name.as_str());
        let stored = self.meters.get.over(|| self.records.get::<StoredPolicy>(&at)).await?;
        Ok(stored.map(|stored| stored.value.source.clone()))
    }

    /// Writes a policy after parsing it.
    pub async fn write(&self, _grant: &Grant, name: PolicyName, source: &str) -> Result<(), CoreError> {
        self.write_internal(name, source).await
    }

    /// Writes a policy that the server needs itself.
    pub(crate) async fn write_internal(&self, name: PolicyName, source: &str) -> Result<(), CoreError> {
        if is_fixed(&name) {
            return Err(CoreError::Invalid(format!("cannot update \"{name}\" policy")));
        }
        let policy = Policy::parse(name, source)
            .map_err(|error| CoreError::Invalid(format!("failed to parse policy: {error}")))?;
        let at = shelf().named(policy.name.as_str());
        let stored = StoredPolicy { source: source.to_owned() };
        let txn = Txn::new().put_record(at, &stored)?;
        self.meters.set.over(|| self.records.commit(txn)).await?;
        self.forget_compiled();
        Ok(())
    }

    /// Removes a policy; tokens that name it lose what it gave at once.
    pub async fn delete(&self, _grant: &Grant, name: &PolicyName) -> Result<(), CoreError> {
        self.delete_internal(name).await
    }

    /// Removes a policy that the server wrote for itself.
    pub(crate) async fn delete_internal(&self, name: &PolicyName) -> Result<(), CoreError> {
        if is_fixed(name) || *name == PolicyName::default_policy() {
            return Err(CoreError::Invalid(format!("cannot delete \"{name}\" policy")));
        }
        let txn = Txn::new().delete(shelf().named(name.as_str()));
        self.meters.delete.over(|| self.records.commit(txn)).await?;
        self.forget_compiled();
        Ok(())
    }

    /// The names of all policies that can be assigned, with `root`, sorted.
    pub async fn names(&self) -> Result<Vec<String>, CoreError> {
        let shelf = shelf();
        let listed = self.meters.list.over(|| self.records.scan_all::<StoredPolicy>(&shelf)).await?;
        let mut names: Vec<String> = listed.iter().map(|policy| policy.text()).collect();
        names.push(PolicyName::root().to_string());
        names.sort();
        Ok(names)
    }

    /// The answerer for these policies, as they apply to this entity. Names without a policy give nothing.
    pub async fn acl(
        &self,
        names: &[PolicyName],
        entity: Option<&Entity>,
        identity: &Identity,
    ) -> Result<Arc<Acl>, CoreError> {
        let holder = entity.map(|entity| (entity.id, entity.changes));
        let epoch = {
            let compiled = self.lock();
            if let Some(acl) = compiled.find(names, holder) {
                return Ok(acl);
            }
            compiled.epoch
        };
        let mut policies = Vec::with_capacity(names.len());
        for name in names {
            // Rare, so not a part of every request that asks.
            policies.extend(boxed(|| self.parsed(name, epoch)).await?);
        }
        let templated = policies.iter().any(|policy| policy.is_templated());
        if templated {
            let view = identity.view(entity);
            policies = policies.iter().map(|policy| Arc::new(policy.render(&view))).collect();
        }
        let acl = Arc::new(Acl::new(policies));
        self.lock().keep(epoch, names, holder.filter(|_| templated), templated, &acl);
        Ok(acl)
    }

    async fn parsed(&self, name: &PolicyName, epoch: u64) -> Result<Option<Arc<Policy>>, CoreError> {
        if let Some(policy) = self.lock().parsed.get(name) {
            return Ok(Some(Arc::clone(policy)));
        }
        let Some(source) = self.source(name).await? else { return Ok(None) };
        let policy = Policy::parse(name.clone(), &source).map_err(|_| CoreError::Unreadable { kind: "policy" })?;
        let policy = Arc::new(policy);
        self.lock().keep_parsed(epoch, &policy);
        Ok(Some(policy))
    }

    fn forget_compiled(&self) {
        let mut compiled = self.lock();
        compiled.by_names.clear();
        compiled.parsed.clear();
        compiled.epoch += 1;
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Compiled> {
        self.compiled.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
