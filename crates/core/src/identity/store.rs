use super::title::nameless;
use super::{Alias, Entity, EntityView};
use crate::incident::Held;
use crate::lease;
use crate::metrics::{Labels, Metrics, Watch};
use crate::mount::Mount;
use crate::records::{Along, PutRecord, Records, Stored};
use crate::{CoreError, Grant, rotation, token};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;
use strongroom_barrier::{Address, Shelf, Txn};
use strongroom_model::{Clock, EntityId, EntityName, Entropy, NamespaceId, PolicyName};

/// Reads and changes entities and aliases.
pub struct Identity {
    pub(super) records: Arc<Records>,
    pub(super) clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    metrics: Arc<Metrics>,
    pub(super) upsert: Watch,
}

/// Leads from a name, an alias or an alias id to the entity.
#[derive(Serialize, Deserialize)]
pub(super) struct Pointer {
    pub(super) entity: EntityId,
}

/// How often a change is tried again when somebody else changed the same entity.
pub(super) const TRIES: usize = 64;

fn entities() -> Shelf {
    Shelf::new("entity", NamespaceId::ROOT).counted()
}

pub(super) fn entity_at(id: EntityId) -> Address {
    entities().named(id.as_bytes())
}

pub(super) fn name_at(name: &EntityName) -> Address {
    Shelf::new("entity-name", NamespaceId::ROOT).named(name.as_str())
}

fn alias_at(mount_accessor: &str, alias: &str) -> Address {
    Shelf::new("alias", NamespaceId::ROOT).within(mount_accessor).named(alias)
}

fn alias_ids() -> Shelf {
    Shelf::new("alias-id", NamespaceId::ROOT)
}

impl Identity {
    pub(crate) fn new(
        records: Arc<Records>,
        metrics: &Arc<Metrics>,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
    ) -> Self {
        let upsert = metrics.watch("vault.identity.upsert_entity_txn", &clock);
        Self { records, clock, entropy, metrics: Arc::clone(metrics), upsert }
    }

    /// What templates in policies can see of an entity.
    pub fn view<'a>(&self, entity: Option<&'a Entity>) -> EntityView<'a> {
        EntityView(entity)
    }

    /// The entity with that id.
    pub async fn by_id(&self, id: EntityId) -> Result<Option<Arc<Stored<Entity>>>, CoreError> {
        self.records.get(&entity_at(id)).await
    }

    /// Adds to the making of a token that its holder is still as it is now: a token made while its holder is being
    /// disabled would come to life when the holder is enabled again. Refuses a holder who may have none.
    pub(crate) async fn holder(&self, txn: Txn, holder: Option<EntityId>) -> Result<Txn, CoreError> {
        let Some(id) = holder else { return Ok(txn) };
        match self.by_id(id).await? {
            Some(entity) if !entity.value.disabled => Ok(txn.expect(entity_at(id), entity.rev)),
            Some(_) => Err(CoreError::DeniedBecause("entity is disabled".to_owned())),
            None => Err(CoreError::Denied),
        }
    }

    /// The entity with that name.
    pub async fn by_name(&self, name: &EntityName) -> Result<Option<Arc<Stored<Entity>>>, CoreError> {
        self.follow(&name_at(name)).await
    }

    /// The entity that an auth mount knows by that name.
    pub async fn by_alias(&self, mount_accessor: &str, alias: &str) -> Result<Option<Arc<Stored<Entity>>>, CoreError> {
        self.follow(&alias_at(mount_accessor, alias)).await
    }

    /// The entity that has the alias with that id.
    pub async fn by_alias_id(&self, id: EntityId) -> Result<Option<Arc<Stored<Entity>>>, CoreError> {
        self.follow(&alias_ids().named(id.as_bytes())).await
    }

    /// The ids and names of all entities.
    pub async fn list(&self) -> Result<Vec<Entity>, CoreError> {
        let listed = self.records.scan_all(&entities()).await?;
        let mut entities: Vec<Entity> = listed.into_iter().map(|listed| listed.value).collect();
        entities.sort_by_key(|entity| entity.id);
        Ok(entities)
    }

    /// The entity behind a login, made when it is the first. A disabled one is refused. What people call the login, where
    /// that is not its alias, is kept with the alias.
    pub(crate) async fn resolve_login(
        &self,
        mount: &Mount,
        alias: &str,
        called: Option<&str>,
    ) -> Result<Arc<Stored<Entity>>, CoreError> {
        for _ in 0..TRIES {
            if let Some(known) = self.by_alias(&mount.accessor, alias).await? {
                if known.value.disabled {
                    return Err(CoreError::DeniedBecause("entity is disabled".into()));
                }
                let Some(called) = called else { return Ok(known) };
                match self.note_called(&known, (&mount.accessor, alias), called).await {
                    Ok(false) => return Ok(known),
                    Ok(true) | Err(CoreError::Conflict) => continue,
                    Err(error) => return Err(error),
                }
            }
            let mut entity = self.blank()?;
            entity.aliases.push(self.alias(&mount.accessor, alias));
            match self.insert(&entity).await {
                Ok(()) => self.count_creation(mount),
                Err(CoreError::Conflict) => {}
                Err(error) => return Err(error),
            }
        }
        Err(CoreError::Conflict)
    }

    /// Makes an entity; a name is drawn when none is given.
    pub async fn create(
        &self,
        _grant: &Grant,
        name: Option<EntityName>,
        change: EntityChange,
    ) -> Result<Entity, CoreError> {
        let mut entity = self.blank()?;
        entity.name = name.unwrap_or(entity.name);
        change.apply(&mut entity)?;
        self.insert_named(entity).await
    }

    /// Makes an entity that the server needs itself.
    pub(crate) async fn create_internal(
        &self,
        name: EntityName,
        policies: Vec<PolicyName>,
    ) -> Result<Entity, CoreError> {
        self.insert_named(Entity { name, policies, ..self.blank()? }).await
    }

    async fn insert_named(&self, entity: Entity) -> Result<Entity, CoreError> {
        match self.insert(&entity).await {
            Err(CoreError::Conflict) => Err(CoreError::Invalid("entity name is already in use".to_owned())),
            Err(error) => Err(error),
            Ok(()) => Ok(entity),
        }
    }

    /// Makes an entity that an auth mount knows by that name already; refused when the mount knows another one by it.
    pub async fn create_with_alias(
        &self,
        _grant: &Grant,
        mount_accessor: &str,
        name: &str,
        custom_metadata: BTreeMap<String, String>,
    ) -> Result<(Entity, Alias), CoreError> {
        check_alias_name(name)?;
        check_metadata(&custom_metadata)?;
        let mut entity = self.blank()?;
        let alias = Alias { custom_metadata, ..self.alias(mount_accessor, name) };
        entity.aliases.push(alias.clone());
        match self.insert(&entity).await {
            Ok(()) => Ok((entity, alias)),
            Err(CoreError::Conflict) => Err(alias_taken()),
            Err(error) => Err(error),
        }
    }

    /// Changes an entity, its name included.
    pub async fn update(
        &self,
        _grant: &Grant,
        id: EntityId,
        name: Option<EntityName>,
        change: EntityChange,
    ) -> Result<Entity, CoreError> {
        for _ in 0..TRIES {
            let Some(current) = self.by_id(id).await? else {
                return Err(CoreError::NotFound("entity not found".to_owned()));
            };
            let mut entity = current.value.clone();
            let mut txn = Txn::new().expect(entity_at(id), current.rev);
            if let Some(name) = name.as_ref().filter(|name| **name != entity.name) {
                if self.by_name(name).await?.is_some() {
                    return Err(CoreError::Invalid("entity name is already in use".to_owned()));
                }
                txn = txn.delete(name_at(&entity.name)).expect_absent(name_at(name));
                txn = txn.put_record(name_at(name), &Pointer { entity: id })?;
                entity.name = name.clone();
            }
            change.clone().apply(&mut entity)?;
            entity.touch(self.clock.now());
            if current.value.disabled && !entity.disabled {
                Held::Entity(id).refuse(&self.records).await?;
            }
            if entity.disabled && !current.value.disabled {
                txn = self.note_cut_off(lease::cut(txn, id)?, &entity, "disabled")?;
            }
            let txn = txn.put_record(entity_at(id), &entity)?;
            match self.upsert.over(|| self.records.commit(txn)).await {
                Err(CoreError::Conflict) => continue,
                Err(error) => return Err(error),
                Ok(_) => return Ok(entity),
            }
        }
        Err(CoreError::Conflict)
    }

    /// Disables or enables an entity in an emergency, without a caller's grant, since it goes on after a crash; `false`
    /// when it is so already or gone.
    pub(crate) async fn set_disabled(&self, id: EntityId, disabled: bool, along: Along<'_>) -> Result<bool, CoreError> {
        for _ in 0..TRIES {
            let Some(current) = self.by_id(id).await?.filter(|entity| entity.value.disabled != disabled) else {
                return Ok(false);
            };
            let mut entity = current.value.clone();
            entity.disabled = disabled;
            entity.touch(self.clock.now());
            let mut txn = Txn::new().expect(entity_at(id), current.rev);
            if disabled {
                txn = self.note_cut_off(lease::cut(txn, id)?, &entity, "disabled")?;
            }
            match self.records.commit(along(txn.put_record(entity_at(id), &entity)?)?).await {
                Err(CoreError::Conflict) => continue,
                Err(error) => return Err(error),
                Ok(_) => return Ok(true),
            }
        }
        Err(CoreError::Conflict)
    }

    /// Secrets that it read may rotate by that.
    pub(super) fn note_cut_off(&self, txn: Txn, entity: &Entity, how: &str) -> Result<Txn, CoreError> {
        let why = format!("entity {} was {how}", entity.name);
        rotation::cut_off(txn, &entity.id.to_string(), &why, self.clock.now())
    }

    /// Removes an entity with its aliases; its tokens are refused from then on, and end with their leases.
    pub async fn delete(&self, _grant: &Grant, id: EntityId) -> Result<(), CoreError> {
        // The next login would make another one, which nobody cut off. So it is with its aliases.
        Held::Entity(id).refuse(&self.records).await?;
        self.delete_internal(id).await
    }

    /// Removes an entity that the server made for itself.
    pub(crate) async fn delete_internal(&self, id: EntityId) -> Result<(), CoreError> {
        for _ in 0..TRIES {
            let Some(current) = self.by_id(id).await? else { return Ok(()) };
            let mut txn = Txn::new().expect(entity_at(id), current.rev).delete(entity_at(id));
            txn = token::note_departed(txn.delete(name_at(&current.value.name)), id)?;
            txn = self.note_cut_off(txn, &current.value, "removed")?;
            for alias in &current.value.aliases {
                txn = without_alias(txn, alias);
            }
            match self.records.commit(txn).await {
                Err(CoreError::Conflict) => continue,
                other => return other.map(|_| ()),
            }
        }
        Err(CoreError::Conflict)
    }

    /// Makes an alias for an entity that has none on that mount; refused when the name belongs to another entity, so
    /// that nobody takes over somebody else's policies by writing an alias (CVE-2021-41802, CVE-2021-43998).
    pub async fn add_alias(
        &self,
        _grant: &Grant,
        id: EntityId,
        mount_accessor: &str,
        name: &str,
        custom_metadata: BTreeMap<String, String>,
    ) -> Result<Alias, CoreError> {
        check_alias_name(name)?;
        check_metadata(&custom_metadata)?;
        for _ in 0..TRIES {
            let Some(current) = self.by_id(id).await? else {
                return Err(CoreError::NotFound("entity not found".to_owned()));
            };
            let mut entity = current.value.clone();
            if entity.aliases.iter().any(|alias| alias.mount_accessor == mount_accessor) {
                return Err(CoreError::Invalid("the entity already has an alias on this mount".to_owned()));
            }
            let alias = Alias { custom_metadata: custom_metadata.clone(), ..self.alias(mount_accessor, name) };
            entity.aliases.push(alias.clone());
            entity.touch(self.clock.now());
            let txn = Txn::new().expect(entity_at(id), current.rev).expect_absent(alias_at(mount_accessor, name));
            let txn = with_alias(txn, &alias, id)?.put_record(entity_at(id), &entity)?;
            match self.records.commit(txn).await {
                Ok(_) => return Ok(alias),
                Err(CoreError::Conflict) if self.by_alias(mount_accessor, name).await?.is_some() => {
                    return Err(alias_taken());
                }
                Err(CoreError::Conflict) => continue,
                Err(error) => return Err(error),
            }
        }
        Err(CoreError::Conflict)
    }

    /// Renames an alias, or replaces what people noted with it.
    pub async fn update_alias(
        &self,
        _grant: &Grant,
        id: EntityId,
        name: Option<String>,
        custom_metadata: Option<BTreeMap<String, String>>,
    ) -> Result<(), CoreError> {
        name.as_deref().map_or(Ok(()), check_alias_name)?;
        custom_metadata.as_ref().map_or(Ok(()), check_metadata)?;
        for _ in 0..TRIES {
            let Some(current) = self.by_alias_id(id).await? else {
                return Err(CoreError::NotFound("alias not found".to_owned()));
            };
            let mut entity = current.value.clone();
            let Some(alias) = entity.aliases.iter_mut().find(|alias| alias.id == id) else {
                return Err(CoreError::Conflict);
            };
            let mut txn = Txn::new().expect(entity_at(entity.id), current.rev);
            if let Some(name) = name.as_ref().filter(|name| **name != alias.name) {
                Held::Entity(current.value.id).refuse(&self.records).await?;
                // Nobody has come by the new one yet.
                txn = alias.without_called(txn);
                alias.called = None;
                txn = txn
                    .expect_absent(alias_at(&alias.mount_accessor, name))
                    .delete(alias_at(&alias.mount_accessor, &alias.name));
                alias.name = name.clone();
                txn = txn.put_record(alias_at(&alias.mount_accessor, name), &Pointer { entity: entity.id })?;
            }
            alias.custom_metadata =
                custom_metadata.clone().unwrap_or_else(|| std::mem::take(&mut alias.custom_metadata));
            alias.updated = self.clock.now();
            let taken = (alias.mount_accessor.clone(), alias.name.clone());
            entity.touch(self.clock.now());
            let txn = txn.put_record(entity_at(entity.id), &entity)?;
            match self.upsert.over(|| self.records.commit(txn)).await {
                Ok(_) => return Ok(()),
                Err(CoreError::Conflict) => {
                    if self.by_alias(&taken.0, &taken.1).await?.is_some_and(|other| other.value.id != entity.id) {
                        return Err(alias_taken());
                    }
                }
                Err(error) => return Err(error),
            }
        }
        Err(CoreError::Conflict)
    }

    /// Removes an alias; the next login by it makes a new entity.
    pub async fn delete_alias(&self, _grant: &Grant, id: EntityId) -> Result<(), CoreError> {
        for _ in 0..TRIES {
            let Some(current) = self.by_alias_id(id).await? else { return Ok(()) };
            Held::Entity(current.value.id).refuse(&self.records).await?;
            let mut entity = current.value.clone();
            let Some(position) = entity.aliases.iter().position(|alias| alias.id == id) else {
                return Err(CoreError::Conflict);
            };
            let alias = entity.aliases.remove(position);
            entity.touch(self.clock.now());
            let txn = without_alias(Txn::new().expect(entity_at(entity.id), current.rev), &alias);
            let txn = txn.put_record(entity_at(entity.id), &entity)?;
            match self.upsert.over(|| self.records.commit(txn)).await {
                Err(CoreError::Conflict) => continue,
                other => return other.map(|_| ()),
            }
        }
        Err(CoreError::Conflict)
    }

    /// Counts an entity that a login made.
    fn count_creation(&self, mount: &Mount) {
        let labels: Labels = vec![
            ("namespace", "root".to_owned()),
            ("auth_method", mount.kind.clone()),
            ("mount_point", mount.path.with_slash()),
        ];
        self.metrics.counter("vault.identity.entity.creation", labels).add(1);
    }

    async fn follow(&self, at: &Address) -> Result<Option<Arc<Stored<Entity>>>, CoreError> {
        match self.records.get::<Pointer>(at).await? {
            Some(pointer) => self.by_id(pointer.value.entity).await,
            None => Ok(None),
        }
    }

    async fn insert(&self, entity: &Entity) -> Result<(), CoreError> {
        let mut txn = Txn::new().expect_absent(name_at(&entity.name));
        txn = txn.put_record(name_at(&entity.name), &Pointer { entity: entity.id })?;
        for alias in &entity.aliases {
            txn = txn.expect_absent(alias_at(&alias.mount_accessor, &alias.name));
            txn = with_alias(txn, alias, entity.id)?;
        }
        let txn = txn.put_record(entity_at(entity.id), entity)?;
        self.upsert.over(|| self.records.commit(txn)).await.map(|_| ())
    }

    fn blank(&self) -> Result<Entity, CoreError> {
        let id = EntityId::random(&*self.entropy);
        let now = self.clock.now();
        Ok(Entity {
            id,
            name: EntityName::parse(&nameless(id))?,
            policies: Vec::new(),
            metadata: BTreeMap::new(),
            disabled: false,
            aliases: Vec::new(),
            merged: Vec::new(),
            created: now,
            updated: now,
            changes: 0,
        })
    }

    fn alias(&self, mount_accessor: &str, name: &str) -> Alias {
        let now = self.clock.now();
        Alias {
            id: EntityId::random(&*self.entropy),
            name: name.to_owned(),
            mount_accessor: mount_accessor.to_owned(),
            called: None,
            custom_metadata: BTreeMap::new(),
            merged_from: Vec::new(),
            created: now,
            updated: now,
        }
    }
}

fn alias_taken() -> CoreError {
    CoreError::Invalid("the alias belongs to another entity".to_owned())
}

/// Names and metadata are read at each request of the entity's tokens, so they are bounded as in Vault.
fn check_metadata(metadata: &BTreeMap<String, String>) -> Result<(), CoreError> {
    let fits = |(key, value): (&String, &String)| key.len() <= 128 && value.len() <= 512;
    if metadata.len() <= 64 && metadata.iter().all(fits) {
        return Ok(());
    }
    let text = "metadata may have 64 keys of 128 bytes with values of 512 bytes";
    Err(CoreError::Invalid(text.to_owned()))
}

fn check_alias_name(name: &str) -> Result<(), CoreError> {
    if name.is_empty() || name.len() > 512 || name.chars().any(char::is_control) {
        return Err(CoreError::Invalid(
            "the alias name must have between 1 and 512 bytes and no control characters".to_owned(),
        ));
    }
    Ok(())
}

pub(super) fn with_alias(txn: Txn, alias: &Alias, entity: EntityId) -> Result<Txn, CoreError> {
    let pointer = Pointer { entity };
    alias
        .with_called(txn, entity)?
        .put_record(alias_at(&alias.mount_accessor, &alias.name), &pointer)?
        .put_record(alias_ids().named(alias.id.as_bytes()), &pointer)
}

pub(super) fn without_alias(txn: Txn, alias: &Alias) -> Txn {
    let txn = alias.without_called(txn);
    txn.delete(alias_at(&alias.mount_accessor, &alias.name)).delete(alias_ids().named(alias.id.as_bytes()))
}

/// What to change about an entity; what is `None` stays.
#[derive(Clone, Default)]
pub struct EntityChange {
    /// New policies.
    pub policies: Option<Vec<PolicyName>>,
    /// New metadata.
    pub metadata: Option<BTreeMap<String, String>>,
    /// Disable or enable.
    pub disabled: Option<bool>,
}

impl EntityChange {
    fn apply(self, entity: &mut Entity) -> Result<(), CoreError> {
        if let Some(policies) = self.policies {
            if policies.iter().any(PolicyName::is_root) {
                return Err(CoreError::Invalid("policies cannot contain root".to_owned()));
            }
            if policies.len() > 1_024 {
                return Err(CoreError::Invalid("an entity cannot have more than 1024 policies".to_owned()));
            }
            entity.policies = policies;
        }
        self.metadata.as_ref().map_or(Ok(()), check_metadata)?;
        entity.metadata = self.metadata.unwrap_or_else(|| std::mem::take(&mut entity.metadata));
        entity.disabled = self.disabled.unwrap_or(entity.disabled);
        Ok(())
    }
}
