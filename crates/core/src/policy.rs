//! Policies as they are kept, and the compiled answerers made of them.

use crate::identity::{Entity, Identity};
use crate::records::{PutRecord, Records};
use crate::{CoreError, Grant};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use strongroom_barrier::{Shelf, Txn};
use strongroom_model::policy::{Acl, DEFAULT_POLICY, Policy};
use strongroom_model::{NamespaceId, PolicyName};

/// A policy as it is stored: its text. It is parsed when it is used, so a better parser needs no migration.
#[derive(Serialize, Deserialize)]
struct StoredPolicy {
    source: String,
}

/// Reads, writes and compiles policies.
pub struct PolicyStore {
    records: Arc<Records>,
    compiled: Mutex<Compiled>,
}

/// Answerers for sets of policies that hold no templates. Emptied whenever any policy changes.
#[derive(Default)]
struct Compiled {
    by_names: HashMap<Vec<PolicyName>, Arc<Acl>>,
    epoch: u64,
}

/// Sets of policies whose answerers are kept.
const KEPT: usize = 1_024;

fn shelf() -> Shelf {
    Shelf::new("policy", NamespaceId::ROOT)
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
    pub(crate) fn new(records: Arc<Records>) -> Self {
        Self { records, compiled: Mutex::default() }
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
        let stored = self.records.get::<StoredPolicy>(&shelf().named(name.as_str())).await?;
        Ok(stored.map(|stored| stored.value.source.clone()))
    }

    /// Writes a policy after parsing it.
    pub async fn write(&self, _grant: &Grant, name: PolicyName, source: &str) -> Result<(), CoreError> {
        if is_fixed(&name) {
            return Err(CoreError::Invalid(format!("cannot update \"{name}\" policy")));
        }
        let policy = Policy::parse(name, source)
            .map_err(|error| CoreError::Invalid(format!("failed to parse policy: {error}")))?;
        let at = shelf().named(policy.name.as_str());
        let stored = StoredPolicy { source: source.to_owned() };
        self.records.commit(Txn::new().put_record(at, &stored)?).await?;
        self.forget_compiled();
        Ok(())
    }

    /// Removes a policy; tokens that name it lose what it gave at once.
    pub async fn delete(&self, _grant: &Grant, name: &PolicyName) -> Result<(), CoreError> {
        if is_fixed(name) || *name == PolicyName::default_policy() {
            return Err(CoreError::Invalid(format!("cannot delete \"{name}\" policy")));
        }
        self.records.commit(Txn::new().delete(shelf().named(name.as_str()))).await?;
        self.forget_compiled();
        Ok(())
    }

    /// The names of all policies that can be assigned, with `root`, sorted.
    pub async fn names(&self) -> Result<Vec<String>, CoreError> {
        let listed = self.records.scan_all::<StoredPolicy>(&shelf()).await?;
        let mut names: Vec<String> = listed.iter().map(|policy| policy.text()).collect();
        names.push(PolicyName::root().to_string());
        names.sort();
        Ok(names)
    }

    /// The answerer for these policies. Names without a policy give nothing.
    pub async fn acl(
        &self,
        names: &[PolicyName],
        entity: Option<&Entity>,
        identity: &Identity,
    ) -> Result<Arc<Acl>, CoreError> {
        let epoch = {
            let compiled = self.lock();
            if let Some(acl) = compiled.by_names.get(names) {
                return Ok(Arc::clone(acl));
            }
            compiled.epoch
        };
        let mut policies = Vec::new();
        let mut templated = false;
        for name in names {
            let Some(policy) = self.parsed(name).await? else { continue };
            templated |= policy.source.contains("{{");
            policies.push(policy);
        }
        if templated {
            let view = identity.view(entity);
            let rendered = policies.iter().map(|policy| Arc::new(policy.render(&view))).collect();
            return Ok(Arc::new(Acl::new(rendered)));
        }
        let acl = Arc::new(Acl::new(policies));
        let mut compiled = self.lock();
        if compiled.epoch == epoch {
            if compiled.by_names.len() >= KEPT {
                compiled.by_names.clear();
            }
            compiled.by_names.insert(names.to_vec(), Arc::clone(&acl));
        }
        Ok(acl)
    }

    async fn parsed(&self, name: &PolicyName) -> Result<Option<Arc<Policy>>, CoreError> {
        let Some(source) = self.source(name).await? else { return Ok(None) };
        let policy = Policy::parse(name.clone(), &source).map_err(|_| CoreError::Unreadable { kind: "policy" })?;
        Ok(Some(Arc::new(policy)))
    }

    fn forget_compiled(&self) {
        let mut compiled = self.lock();
        compiled.by_names.clear();
        compiled.epoch += 1;
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Compiled> {
        self.compiled.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
