//! What people call an entity: the name that somebody gave it, or else the one that is printed for its logins, the mount
//! with the name there (for a role's id, the role's name). Nobody gave an entity the name that it got at its first login.
//! All lead to it.

use super::{Alias, Entity, Identity};
use crate::CoreError;
use crate::mount::{MountClass, MountTable};
use crate::records::Stored;
use std::sync::Arc;
use strongroom_model::{EntityId, EntityName};

/// How an entity is named in what is told of it, and by which names somebody may mean it who wants nothing told.
pub(crate) struct Names {
    /// What people call it.
    pub(crate) title: String,
    /// Its id, its name, and what its logins are printed by, but for what others can choose so that it is taken for another.
    pub(crate) trusted: Vec<String>,
}

/// How many characters of its id make the name of an entity that nobody named.
const OF_ID: usize = 8;

/// The name of an entity that nobody named.
pub(super) fn nameless(id: EntityId) -> String {
    let start: String = id.to_string().chars().take(OF_ID).collect();
    format!("entity_{start}")
}

impl Entity {
    /// What people call it.
    pub(crate) fn title(&self, table: &MountTable) -> String {
        let own = self.name.to_string();
        if own != nameless(self.id) {
            return own;
        }
        self.aliases.iter().find_map(|alias| printed(table, alias, alias.printed())).unwrap_or(own)
    }

    /// Its names.
    pub(crate) fn names(&self, table: &MountTable) -> Names {
        let mut trusted = vec![self.id.to_string(), self.name.to_string()];
        trusted.extend(self.aliases.iter().filter_map(|alias| printed(table, alias, alias.trusted()?)));
        Names { title: self.title(table), trusted }
    }
}

impl Identity {
    /// What people call the entity of that id, if it is one and is there.
    pub(crate) async fn title_of(&self, table: &MountTable, id: &str) -> Result<Option<String>, CoreError> {
        let Some(id) = EntityId::parse(id) else { return Ok(None) };
        Ok(self.by_id(id).await?.map(|entity| entity.value.title(table)))
    }

    /// The names of the entity of that id, if it is one and is there.
    pub(crate) async fn names_of(&self, table: &MountTable, id: &str) -> Result<Option<Names>, CoreError> {
        let Some(id) = EntityId::parse(id) else { return Ok(None) };
        Ok(self.by_id(id).await?.map(|entity| entity.value.names(table)))
    }

    /// The entities that a word may mean: by id, by name, or by the name that the trail prints for their logins.
    pub(crate) async fn called(&self, table: &MountTable, word: &str) -> Result<Vec<Arc<Stored<Entity>>>, CoreError> {
        if let Some(id) = EntityId::parse(word)
            && let Some(entity) = self.by_id(id).await?
        {
            return Ok(vec![entity]);
        }
        let named = match EntityName::parse(word) {
            Ok(name) => self.by_name(&name).await?,
            Err(_) => None,
        };
        // Whoever may name entities must not be able to lay one in the way of another.
        let mut all = self.printed(table, word).await?;
        if let Some(entity) = named {
            all.retain(|other| other.value.id != entity.value.id);
            all.insert(0, entity);
        }
        Ok(all)
    }

    /// The entities that log in under the name that is printed: the mount, a hyphen, the name there, or that of their role.
    /// All who ever had that name are found, lest one be taken for another.
    async fn printed(&self, table: &MountTable, word: &str) -> Result<Vec<Arc<Stored<Entity>>>, CoreError> {
        let mut found: Vec<Arc<Stored<Entity>>> = Vec::new();
        for mount in table.of(MountClass::Auth) {
            let printed = printed_mount(mount.path.as_str());
            let alias = word.strip_prefix(&printed).and_then(|rest| rest.strip_prefix('-'));
            let Some(alias) = alias.filter(|alias| !alias.is_empty()) else { continue };
            let known = self.by_alias(&mount.accessor, alias).await?;
            for entity in known.into_iter().chain(self.came_as(&mount.accessor, alias).await?) {
                if found.iter().all(|other| other.value.id != entity.value.id) {
                    found.push(entity);
                }
            }
        }
        Ok(found)
    }
}

/// A name of an auth mount as it is printed.
fn printed(table: &MountTable, alias: &Alias, name: &str) -> Option<String> {
    let mount = table.by_accessor(&alias.mount_accessor)?;
    Some(format!("{}-{name}", printed_mount(mount.path.as_str())))
}

/// A mount as it stands in the display name of a login.
fn printed_mount(path: &str) -> String {
    path.strip_prefix("auth/").unwrap_or(path).replace('/', "-")
}
