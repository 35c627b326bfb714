use super::Entity;
use strongroom_model::policy::IdentityView;

/// What templates in policies can see of the caller.
pub struct EntityView<'a>(pub(super) Option<&'a Entity>);

impl IdentityView for EntityView<'_> {
    fn entity_id(&self) -> Option<String> {
        self.0.map(|entity| entity.id.to_string())
    }

    fn entity_name(&self) -> Option<String> {
        self.0.map(|entity| entity.name.to_string())
    }

    fn entity_metadata(&self, key: &str) -> Option<String> {
        self.0?.metadata.get(key).cloned()
    }

    fn alias_id(&self, accessor: &str) -> Option<String> {
        self.alias(accessor).map(|alias| alias.id.to_string())
    }

    fn alias_name(&self, accessor: &str) -> Option<String> {
        self.alias(accessor).map(|alias| alias.name.clone())
    }

    fn alias_metadata(&self, accessor: &str, key: &str) -> Option<String> {
        self.alias(accessor)?.custom_metadata.get(key).cloned()
    }
}

impl EntityView<'_> {
    fn alias(&self, accessor: &str) -> Option<&super::Alias> {
        self.0?.aliases.iter().find(|alias| alias.mount_accessor == accessor)
    }
}
