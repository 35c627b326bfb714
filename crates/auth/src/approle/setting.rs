use super::AppRole;
use super::role::Role;
use strongroom_core::{CoreError, Fields, Operation, Reply};
use strongroom_model::{RoleName, Ttl};

/// A path below a role that stands for one of its fields.
pub(super) struct Setting {
    pattern: &'static str,
    /// The fields that it takes and shows, the one that should be used first.
    names: &'static [&'static str],
    /// An empty list is taken for a forgotten one: it would lift a restriction. Deleting the path lifts it on purpose.
    needs_content: bool,
    /// Puts the field back to what a new role has.
    reset: fn(&mut Role),
}

const fn setting(pattern: &'static str, names: &'static [&'static str], reset: fn(&mut Role)) -> Setting {
    Setting { pattern, names, needs_content: false, reset }
}

const SETTINGS: &[Setting] = &[
    setting("role/{name}/policies", &["token_policies", "policies"], Role::clear_policies),
    setting("role/{name}/local-secret-ids", &["local_secret_ids"], |_| {}),
    // Vault shows nothing here and deletes nothing, since it keeps the list under the newer name; that helps nobody.
    Setting {
        pattern: "role/{name}/bound-cidr-list",
        names: &["bound_cidr_list"],
        needs_content: true,
        reset: |role| role.secret_id_bound_cidrs.clear(),
    },
    Setting {
        pattern: "role/{name}/secret-id-bound-cidrs",
        names: &["secret_id_bound_cidrs"],
        needs_content: true,
        reset: |role| role.secret_id_bound_cidrs.clear(),
    },
    setting("role/{name}/token-bound-cidrs", &["token_bound_cidrs"], |role| role.token.bound_cidrs.clear()),
    setting("role/{name}/bind-secret-id", &["bind_secret_id"], |role| role.bind_secret_id = true),
    setting("role/{name}/secret-id-num-uses", &["secret_id_num_uses"], |role| role.secret_id_num_uses = 0),
    setting("role/{name}/secret-id-ttl", &["secret_id_ttl"], |role| role.secret_id_ttl = Ttl::ZERO),
    setting("role/{name}/period", &["token_period", "period"], Role::clear_period),
    setting("role/{name}/token-num-uses", &["token_num_uses"], |role| role.token.num_uses = 0),
    setting("role/{name}/token-ttl", &["token_ttl"], |role| role.token.ttl = Ttl::ZERO),
    setting("role/{name}/token-max-ttl", &["token_max_ttl"], |role| role.token.max_ttl = Ttl::ZERO),
];

impl Setting {
    /// The setting behind a pattern of the table of endpoints.
    pub(super) fn at(pattern: &str) -> Option<&'static Setting> {
        SETTINGS.iter().find(|setting| setting.pattern == pattern)
    }

    /// What was sent for this setting and nothing else: who may write one field may not slip in another.
    fn only(&self, sent: &Fields) -> Result<Fields, CoreError> {
        let own = self.names.iter().filter_map(|name| Some(((*name).to_owned(), sent.value(name)?.clone())));
        let own: Fields = own.collect();
        let is_there = |name: &&'static str| match self.needs_content {
            true => own.list(name).map(|list| list.is_some_and(|list| !list.is_empty())),
            false => Ok(own.has(name)),
        };
        for name in self.names {
            if is_there(name)? {
                return Ok(own);
            }
        }
        Err(CoreError::Missing(self.names.first().copied().unwrap_or_default()))
    }
}

impl AppRole {
    pub(super) async fn call_setting(
        &self,
        setting: &'static Setting,
        operation: Operation,
        name: &RoleName,
        sent: &Fields,
    ) -> Result<Reply, CoreError> {
        match operation {
            Operation::Read => self.read_setting(setting, name).await,
            Operation::Write => {
                let own = setting.only(sent)?;
                self.roles.change(name, |role| role.update(&own).map(|_| ())).await?;
                Ok(Reply::empty())
            }
            Operation::Delete => self.reset_setting(setting, name).await,
            _ => Err(CoreError::Unsupported),
        }
    }

    async fn read_setting(&self, setting: &'static Setting, name: &RoleName) -> Result<Reply, CoreError> {
        let role = self.roles.find(name).await?.ok_or(CoreError::Nothing)?;
        let shown = setting.names.iter().filter_map(|name| Some(((*name).to_owned(), role.value.show(name)?)));
        let reply = Reply { data: Some(shown.collect()), ..Reply::default() };
        Ok(match setting.names {
            ["bound_cidr_list"] => reply.warn(
                "The \"bound_cidr_list\" field is deprecated and will be removed. Please use \"secret_id_bound_cidrs\" instead.",
            ),
            _ => reply,
        })
    }

    /// A role that is not there has nothing to reset, as in Vault.
    async fn reset_setting(&self, setting: &'static Setting, name: &RoleName) -> Result<Reply, CoreError> {
        if self.roles.find(name).await?.is_some() {
            let reset = |role: &mut Role| {
                (setting.reset)(role);
                role.check()
            };
            self.roles.change(name, reset).await?;
        }
        Ok(Reply::empty())
    }
}

#[cfg(test)]
mod tests {
    use super::super::endpoint::TABLE;
    use super::*;

    #[test]
    fn every_setting_is_an_endpoint() {
        for setting in SETTINGS {
            assert!(TABLE.iter().any(|line| line.pattern == setting.pattern), "{}", setting.pattern);
        }
    }

    #[test]
    fn the_table_has_the_paths_of_vault_each_once() {
        let mut patterns: Vec<_> = TABLE.iter().map(|line| line.pattern).collect();
        patterns.sort_unstable();
        patterns.dedup();
        assert_eq!(patterns.len(), 23);
    }
}
