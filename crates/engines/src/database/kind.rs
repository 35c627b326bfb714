use serde::{Deserialize, Serialize};
use strongroom_connectors::System;
use strongroom_core::CoreError;

/// A kind of database under the names that Vault has for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Kind {
    /// PostgreSQL.
    Postgres,
    /// MySQL and MariaDB.
    Mysql,
    /// MySQL before 5.7.8, whose names have 16 characters.
    MysqlLegacy,
    /// Redis and Valkey.
    Redis,
}

/// Vault's plug-in names; the three forms of MySQL differ in nothing but the default name of a login.
const PLUGINS: [(&str, Kind); 9] = [
    ("postgresql-database-plugin", Kind::Postgres),
    ("redshift-database-plugin", Kind::Postgres),
    ("mysql-database-plugin", Kind::Mysql),
    ("mysql-aurora-database-plugin", Kind::Mysql),
    ("mysql-rds-database-plugin", Kind::Mysql),
    ("mysql-legacy-database-plugin", Kind::MysqlLegacy),
    ("mariadb-database-plugin", Kind::Mysql),
    ("redis-database-plugin", Kind::Redis),
    ("valkey-database-plugin", Kind::Redis),
];

/// All of Vault's names.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    PLUGINS.iter().map(|(name, _)| *name)
}

impl Kind {
    /// The kind behind a plug-in's name.
    pub(super) fn of_plugin(name: &str) -> Result<Self, CoreError> {
        let known = PLUGINS.iter().find(|(plugin, _)| *plugin == name);
        known.map(|(_, kind)| *kind).ok_or_else(|| {
            let names: Vec<&str> = names().collect();
            CoreError::Invalid(format!("unknown plugin_name; this version has: {}", names.join(", ")))
        })
    }

    /// How it is spoken to.
    pub(super) fn system(self) -> System {
        match self {
            Kind::Postgres => System::Postgres,
            Kind::Mysql | Kind::MysqlLegacy => System::Mysql,
            Kind::Redis => System::Redis,
        }
    }

    /// The form of a login's name when the operator gives none, as Vault's plug-ins have it.
    pub(super) fn username_template(self) -> &'static str {
        match self {
            Kind::Postgres => {
                r#"{{ printf "v-%s-%s-%s-%s" (.DisplayName | truncate 8) (.RoleName | truncate 8) (random 20) (unix_time) | truncate 63 }}"#
            }
            Kind::Mysql => {
                r#"{{ printf "v-%s-%s-%s-%s" (.DisplayName | truncate 10) (.RoleName | truncate 10) (random 20) (unix_time) | truncate 32 }}"#
            }
            Kind::MysqlLegacy => {
                r#"{{ printf "v-%s-%s-%s" (.RoleName | truncate 4) (random 20) (unix_time) | truncate 16 }}"#
            }
            Kind::Redis => {
                r#"{{ printf "v_%s_%s_%s_%s" (.DisplayName | truncate 15) (.RoleName | truncate 15) (random 20) (unix_time) | truncate 100 | replace "-" "_" | uppercase }}"#
            }
        }
    }

    /// Whether a role must say what a login may do. Elsewhere a login without statements gets the system's own defaults.
    pub(super) fn needs_creation_statements(self) -> bool {
        !matches!(self, Kind::Redis)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::template::Template;

    #[test]
    fn no_default_form_gives_two_callers_one_name() {
        for kind in [Kind::Postgres, Kind::Mysql, Kind::MysqlLegacy, Kind::Redis] {
            Template::parse(kind.username_template()).unwrap().check_unique().unwrap();
        }
    }
}
