//! Entries with what people call who asked. A login by AppRole prints its mount's name alone, so that all roles of one look
//! alike; an entity has a name by which every command takes it.
//!
//! Invariant: an entry is shown whether or not its principal still has a name. Decides nothing about who may see it.

use crate::identity::Identity;
use crate::mount::MountTable;
use serde::Serialize;
use std::collections::HashMap;
use strongroom_audit::Row;

/// An entry, and what people call its principal.
#[derive(Clone, Debug, Serialize)]
pub struct NamedRow {
    /// The entry.
    #[serde(flatten)]
    pub row: Row,
    /// The entity's name now, or the one of its login where nobody named it; of a login, that of the entity that it led to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

impl Identity {
    /// The entries, each with what people call its principal now.
    pub(crate) async fn named(&self, table: &MountTable, rows: Vec<Row>) -> Vec<NamedRow> {
        let mut known: HashMap<String, Option<String>> = HashMap::new();
        let mut named = Vec::with_capacity(rows.len());
        for row in rows {
            // Whoever logs in asks as nobody: they are named by whom the login led to.
            let who = row.entity.as_ref().or_else(|| row.issued_to.as_ref().filter(|_| row.principal.is_none()));
            let name = match who {
                None => None,
                Some(id) => match known.get(id) {
                    Some(name) => name.clone(),
                    None => {
                        // What happened must be told, also of somebody whose own record cannot be read.
                        let name = self.title_of(table, id).await.ok().flatten();
                        known.insert(id.clone(), name.clone());
                        name
                    }
                },
            };
            named.push(NamedRow { row, name });
        }
        named
    }
}
