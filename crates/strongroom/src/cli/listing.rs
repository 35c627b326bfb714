//! Answers that list things: a table of them, the whole as programs read it, or one field of each.
//!
//! One field is printed a line each, empty for a thing that has none, so that the lines of two fields belong together. A
//! field of the answer itself is printed where nothing in it has one of that name.

use super::error::CliError;
use super::format::{self, Format, go_text};
use super::session::Session;
use serde_json::{Map, Value};

impl Session {
    /// Prints the list of this name in an answer, or that there is nothing.
    pub(crate) fn show_listing(
        &mut self,
        answer: &Map<String, Value>,
        list: &str,
        heading: &[&str],
        rows: &[Vec<String>],
        nothing: &str,
    ) -> Result<(), CliError> {
        if self.settings.field.is_some() {
            self.show_fields(answer, &[list])?;
        }
        match format::rows(self.settings.format, heading, rows) {
            Some(_) if rows.is_empty() => self.out.say(nothing),
            _ if self.settings.field.is_some() => {}
            Some(text) => self.out.line(&text),
            None => drop(self.show_value(&Value::Object(answer.clone()), String::new)?),
        }
        Ok(())
    }

    /// Prints the one field that was asked for, of each thing in these lists or of the answer itself. Nothing at all has
    /// every field.
    pub(crate) fn show_fields(&mut self, answer: &Map<String, Value>, lists: &[&str]) -> Result<(), CliError> {
        let field = self.settings.field.clone().unwrap_or_default();
        let items = |list: &&str| answer.get(*list).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let having = lists.iter().map(items).filter(|items| items.iter().any(|item| item.get(&field).is_some()));
        let found: Vec<&Value> = having.flatten().collect();
        if found.is_empty() && answer.contains_key(&field) {
            return self.show_field(|field| answer.get(field).cloned(), "data").map(drop);
        }
        if found.is_empty() && lists.iter().any(|list| !items(list).is_empty()) {
            return Err(CliError::FieldAbsent { field, place: "data" });
        }
        found.iter().for_each(|item| self.field_line(item.get(&field)));
        Ok(())
    }

    /// Prints a field of one of many things on a line of its own.
    pub(crate) fn field_line(&mut self, value: Option<&Value>) {
        let line = match (self.settings.format, value) {
            (Format::Json, value) => value.unwrap_or_default().to_string(),
            (_, value) => value.map(go_text).unwrap_or_default(),
        };
        self.out.line(&line);
    }
}
