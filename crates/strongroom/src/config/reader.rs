//! Typed values out of one file, with the file's name in every error. Takes what Vault takes for one: `true`, `"true"`
//! and `1` are the same switch, `60`, `"60"` and `"1m"` the same time.

use super::{ConfigError, Warning};
use std::path::Path;
use std::time::Duration;
use strongroom_model::Ttl;
use strongroom_model::hcl::{Block, HclError, Item, Value};

/// Reads values of one file and collects what should be warned of.
pub(super) struct Reader<'a> {
    file: &'a Path,
    warnings: &'a mut Vec<Warning>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(file: &'a Path, warnings: &'a mut Vec<Warning>) -> Self {
        Self { file, warnings }
    }

    pub(super) fn warn(&mut self, line: u32, what: impl Into<String>) {
        self.warnings.push(Warning { file: self.file.to_owned(), line, what: what.into() });
    }

    /// Says that a key is known and does nothing here.
    pub(super) fn warn_unused(&mut self, item: &Item) {
        self.warn(item.line, format!("`{}` is accepted and not used by this version", item.name));
    }

    /// Says that a key is not known, as Vault does.
    pub(super) fn warn_unknown(&mut self, item: &Item, place: &str) {
        self.warn(item.line, format!("`{}` is not a key of {place} and does nothing: check its spelling", item.name));
    }

    /// Says of every value that stands twice in a block that the last one counts.
    pub(super) fn warn_repeated(&mut self, body: &[Item]) {
        let is_block = |item: &Item| matches!(item.value.value, Value::Object(_));
        for (number, item) in body.iter().enumerate() {
            if !is_block(item) && body.iter().take(number).any(|earlier| earlier.name == item.name) {
                self.warn(item.line, format!("`{}` is there twice, and this one counts", item.name));
            }
        }
    }

    pub(super) fn wrong(&self, line: u32, what: impl Into<String>) -> ConfigError {
        ConfigError::Wrong { file: self.file.to_owned(), line, what: what.into() }
    }

    pub(super) fn syntax(&self, mistake: HclError) -> ConfigError {
        ConfigError::Syntax { file: self.file.to_owned(), mistake }
    }

    fn not(&self, item: &Item, wanted: &str) -> ConfigError {
        let (name, sort) = (&item.name, item.value.value.sort());
        self.wrong(item.line, format!("`{name}` is {sort} and must be {wanted}"))
    }

    /// Text; a number counts as its digits, as in Vault.
    pub(super) fn text(&self, item: &Item) -> Result<String, ConfigError> {
        match &item.value.value {
            Value::Text(text) => Ok(text.trim().to_owned()),
            Value::Number(number) => Ok(number.to_string()),
            _ => Err(self.not(item, &format!("text: write `{} = \"...\"`", item.name))),
        }
    }

    /// Texts in a list, or one alone.
    pub(super) fn texts(&self, item: &Item) -> Result<Vec<String>, ConfigError> {
        let Value::List(nodes) = &item.value.value else { return Ok(vec![self.text(item)?]) };
        let texts = nodes.iter().map(|node| match &node.value {
            Value::Text(text) => Ok(text.trim().to_owned()),
            _ => Err(self.wrong(node.line, format!("`{}` must be a list of texts in double quotes", item.name))),
        });
        texts.collect()
    }

    /// A switch (Go: `strconv.ParseBool`).
    pub(super) fn switch(&self, item: &Item) -> Result<bool, ConfigError> {
        let on = match &item.value.value {
            Value::Bool(on) => Some(*on),
            Value::Number(number) => Some(number.as_f64() != Some(0.0)),
            Value::Text(text) => match text.as_str() {
                "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
                "" | "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
                _ => None,
            },
            _ => None,
        };
        on.ok_or_else(|| self.wrong(item.line, format!("`{}` is a switch: write true or false", item.name)))
    }

    /// A whole number.
    pub(super) fn number(&self, item: &Item) -> Result<i64, ConfigError> {
        let number = match &item.value.value {
            Value::Number(number) => number.as_i64(),
            Value::Text(text) => text.trim().parse().ok(),
            _ => None,
        };
        number.ok_or_else(|| self.wrong(item.line, format!("`{}` is a whole number: write it without unit", item.name)))
    }

    /// A span of time.
    pub(super) fn span(&self, item: &Item) -> Result<Duration, ConfigError> {
        self.ttl(item).map(|ttl| ttl.0)
    }

    /// A span of time, as leases have it.
    pub(super) fn ttl(&self, item: &Item) -> Result<Ttl, ConfigError> {
        Ttl::from_json(&item.value.value.to_json())
            .map_err(|error| self.wrong(item.line, format!("`{}`: {error}", item.name)))
    }

    /// The labelled blocks under a key; in JSON the label may also be a member `type`.
    pub(super) fn blocks<'i>(&self, item: &'i Item) -> Result<Vec<Block<'i>>, ConfigError> {
        if item.labels.is_empty() {
            let bodies = item.bodies().map_err(|error| self.syntax(error))?;
            let typed: Option<Vec<_>> = bodies.into_iter().map(|body| typed(item, body)).collect();
            if let Some(blocks) = typed.filter(|blocks| !blocks.is_empty()) {
                return Ok(blocks);
            }
        }
        item.blocks().map_err(|error| self.syntax(error))
    }
}

fn typed<'i>(item: &'i Item, body: &'i [Item]) -> Option<Block<'i>> {
    let label = body.iter().find(|inner| inner.name == "type")?;
    match &label.value.value {
        Value::Text(label) => Some(Block { line: item.line, label, body }),
        _ => None,
    }
}
