//! The parameters of a request, read as strictly as AWS reads them: text is text and a number is a number. A value of the
//! wrong kind is named by its parameter and never repeated.

use super::arn::{Names, SecretRef};
use super::refusal::Refusal;
use serde_json::Value;
use strongroom_core::Fields;
use strongroom_core::secret::VersionId;
use strongroom_model::Stage;

/// The parameters of one request.
#[derive(Clone, Copy)]
pub(crate) struct Input<'a> {
    pub(crate) fields: &'a Fields,
    pub(crate) names: Names<'a>,
}

impl<'a> Input<'a> {
    /// Text.
    pub(crate) fn text(&self, name: &str) -> Result<Option<&'a str>, Refusal> {
        match self.fields.value(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(wrong(name, "a string")),
        }
    }

    /// Text that must be there.
    pub(crate) fn need(&self, name: &str) -> Result<&'a str, Refusal> {
        self.text(name)?.ok_or_else(|| beyond(name, "Member must not be null"))
    }

    /// Text of bounded length.
    pub(crate) fn bounded(&self, name: &str, longest: usize) -> Result<Option<&'a str>, Refusal> {
        match self.text(name)? {
            Some(text) if text.chars().count() > longest => {
                Err(beyond(name, &format!("Member must have length less than or equal to {longest}")))
            }
            other => Ok(other),
        }
    }

    /// Text whose length lies within bounds.
    pub(crate) fn sized(&self, name: &str, least: usize, most: usize) -> Result<Option<&'a str>, Refusal> {
        match self.bounded(name, most)? {
            Some(text) if text.chars().count() < least => {
                Err(beyond(name, &format!("Member must have length greater than or equal to {least}")))
            }
            other => Ok(other),
        }
    }

    /// Yes or no; absent is no.
    pub(crate) fn flag(&self, name: &str) -> Result<bool, Refusal> {
        Ok(self.choice(name)?.unwrap_or(false))
    }

    /// Yes or no, or nothing.
    pub(crate) fn choice(&self, name: &str) -> Result<Option<bool>, Refusal> {
        match self.fields.value(name) {
            None => Ok(None),
            Some(Value::Bool(flag)) => Ok(Some(*flag)),
            Some(_) => Err(wrong(name, "a boolean")),
        }
    }

    /// A whole number within bounds.
    pub(crate) fn number(&self, name: &str, least: u64, most: u64) -> Result<Option<u64>, Refusal> {
        match self.fields.value(name) {
            None => Ok(None),
            Some(Value::Number(number)) => match number.as_u64().filter(|number| (least..=most).contains(number)) {
                Some(number) => Ok(Some(number)),
                None if number.is_i64() && number.as_u64().is_none_or(|number| number < least) => {
                    Err(beyond(name, &format!("Member must have value greater than or equal to {least}")))
                }
                None => Err(beyond(name, &format!("Member must have value less than or equal to {most}"))),
            },
            Some(_) => Err(wrong(name, "a number")),
        }
    }

    /// A list of texts; `None` when it was not sent.
    pub(crate) fn texts(&self, name: &str) -> Result<Option<Vec<&'a str>>, Refusal> {
        let Some(items) = self.list(name)? else { return Ok(None) };
        let texts = items.iter().map(|item| item.as_str().ok_or_else(|| wrong(name, "a list of strings")));
        texts.collect::<Result<_, _>>().map(Some)
    }

    /// A list of anything.
    pub(crate) fn list(&self, name: &str) -> Result<Option<&'a Vec<Value>>, Refusal> {
        match self.fields.value(name) {
            None => Ok(None),
            Some(Value::Array(items)) => Ok(Some(items)),
            Some(_) => Err(wrong(name, "a list")),
        }
    }

    /// The secret under `SecretId`.
    pub(crate) fn secret(&self) -> Result<SecretRef, Refusal> {
        self.names.secret(self.need("SecretId")?)
    }

    /// The id of a version.
    pub(crate) fn version_id(&self, name: &str) -> Result<Option<VersionId>, Refusal> {
        let read = |text| {
            let bad = || Refusal::parameter(format!("{name} must be 32-64 characters long."));
            VersionId::parse(text).map_err(|_| bad())
        };
        self.text(name)?.map(read).transpose()
    }

    /// The label under that name.
    pub(crate) fn stage(&self, name: &str) -> Result<Option<Stage>, Refusal> {
        self.text(name)?.map(stage).transpose()
    }
}

/// Reads a label.
pub(crate) fn stage(text: &str) -> Result<Stage, Refusal> {
    match text {
        "AWSCURRENT" => Ok(Stage::Current),
        "AWSPENDING" => Ok(Stage::Pending),
        "AWSPREVIOUS" => Ok(Stage::Previous),
        text if text.is_empty() || text.chars().count() > 256 => Err(Refusal::validation(
            "Value at 'versionStage' failed to satisfy constraint: Member must have length between 1 and 256",
        )),
        text => Ok(Stage::Named(text.to_owned())),
    }
}

/// Writes a label.
pub(crate) fn label(stage: &Stage) -> &str {
    match stage {
        Stage::Current => "AWSCURRENT",
        Stage::Pending => "AWSPENDING",
        Stage::Previous => "AWSPREVIOUS",
        Stage::Named(name) => name,
    }
}

/// A value outside of the model's bounds; members are named with a small letter, as AWS names them.
pub(crate) fn beyond(name: &str, constraint: &str) -> Refusal {
    let mut letters = name.chars();
    let first = letters.next().map(|letter| letter.to_ascii_lowercase());
    let member: String = first.into_iter().chain(letters).collect();
    Refusal::validation(format!("Value at '{member}' failed to satisfy constraint: {constraint}"))
}

pub(crate) fn wrong(name: &str, wanted: &str) -> Refusal {
    Refusal::said("SerializationException", format!("'{name}' must be {wanted}"))
}
