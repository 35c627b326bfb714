//! What parameters must have to be shown.

use super::name;
use super::note::{Known, tier, word};
use crate::aws::input::{Input, wrong};
use crate::aws::refusal::Refusal;
use serde_json::Value;
use std::collections::BTreeSet;
use strongroom_core::secret::Sighting;
use strongroom_model::{FolderPath, SecretPath, Stage};

/// Every one must fit.
pub(super) struct Filters(Vec<Filter>);

struct Filter {
    key: Key,
    option: How,
    values: Vec<String>,
}

#[derive(Clone, PartialEq, Eq)]
enum Key {
    Name,
    Type,
    Sealing,
    Path,
    Label,
    Tier,
    DataType,
    Tag(String),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum How {
    Equals,
    BeginsWith,
    Contains,
    OneLevel,
    Recursive,
}

/// Which operation asks.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Asker {
    ByPath,
    Describe,
}

const MOST_VALUES: usize = 50;

impl Filters {
    /// Reads `ParameterFilters`, or the older `Filters`.
    pub(super) fn read(input: &Input<'_>, asker: Asker) -> Result<Self, Refusal> {
        let sent = |name| Ok::<_, Refusal>(input.list(name)?.map(Vec::as_slice).unwrap_or_default());
        let (new, old) = (sent("ParameterFilters")?, if asker == Asker::Describe { sent("Filters")? } else { &[] });
        if !new.is_empty() && !old.is_empty() {
            return Err(Refusal::validation("You can use either Filters or ParameterFilters in a single request."));
        }
        let mut filters: Vec<Filter> = Vec::new();
        for (one, is_old) in new.iter().map(|one| (one, false)).chain(old.iter().map(|one| (one, true))) {
            let filter = Filter::read(one, asker, is_old)?;
            if filters.iter().any(|other| other.key == filter.key) {
                let key = one.get("Key").and_then(Value::as_str).unwrap_or_default();
                return Err(bad_key(format!(
                    "The following filter is duplicated in the request: {key}. A request can contain only one occurrence of \
                     a specific filter."
                )));
            }
            filters.push(filter);
        }
        Ok(Self(filters))
    }

    /// The label that chooses versions, if one does.
    pub(super) fn label(&self) -> Option<&str> {
        let filter = self.0.iter().find(|filter| filter.key == Key::Label)?;
        filter.values.first().map(String::as_str)
    }

    /// The folder that everything shown lies in.
    pub(super) fn folder(&self) -> FolderPath {
        let paths = self.0.iter().find(|filter| filter.key == Key::Path).map(|filter| filter.values.as_slice());
        match paths {
            Some([one]) => name::folder(one).unwrap_or_else(|_| FolderPath::root()),
            _ => FolderPath::root(),
        }
    }

    /// The names that alone can fit, when whole names are asked for and nothing else chooses a folder.
    pub(super) fn exact(&self) -> Option<Vec<SecretPath>> {
        let filter = self.0.iter().find(|filter| filter.key == Key::Name && filter.option == How::Equals)?;
        let granted = self.folder();
        let names =
            filter.values.iter().filter_map(|name| SecretPath::parse(name.strip_prefix('/').unwrap_or(name)).ok());
        let inside = |name: &SecretPath| granted.as_str().is_empty() || lies_in(name, granted.as_str(), true);
        Some(names.filter(inside).collect::<BTreeSet<_>>().into_iter().collect())
    }

    /// The innermost folder, at or below [`Filters::folder`], in which everything lies that can fit.
    pub(super) fn narrowest(&self) -> FolderPath {
        let granted = self.folder();
        let begins = self.0.iter().find(|filter| filter.key == Key::Name && filter.option == How::BeginsWith);
        let Some([prefix]) = begins.map(|filter| filter.values.as_slice()) else { return granted };
        let folder =
            prefix.trim_start_matches('/').rsplit_once('/').and_then(|(folder, _)| FolderPath::parse(folder).ok());
        match folder {
            Some(folder) if folder.as_str().starts_with(&format!("{granted}/")) || granted.as_str().is_empty() => {
                folder
            }
            _ => granted,
        }
    }

    pub(super) fn fit(&self, path: &SecretPath, seen: &Sighting) -> bool {
        self.0.iter().all(|filter| filter.fits(path, seen))
    }
}

impl Filter {
    fn read(one: &Value, asker: Asker, is_old: bool) -> Result<Self, Refusal> {
        let shape = || wrong("ParameterFilters", "a list of objects with Key, Option and Values");
        let name = one.get("Key").and_then(Value::as_str).ok_or_else(shape)?;
        let key = Key::read(name, asker)?;
        let values: Vec<String> = match one.get("Values") {
            None | Some(Value::Null) => Vec::new(),
            Some(Value::Array(items)) => {
                let text = |item: &Value| item.as_str().map(str::to_owned).ok_or_else(shape);
                items.iter().map(text).collect::<Result<_, _>>()?
            }
            Some(_) => return Err(shape()),
        };
        let option = match one.get("Option").and_then(Value::as_str) {
            // The older filters look at how names begin.
            None if is_old => How::BeginsWith,
            None if key == Key::Path => How::OneLevel,
            None => How::Equals,
            Some(word) => How::read(word, &key)?,
        };
        if values.len() > MOST_VALUES || values.iter().any(String::is_empty) {
            return Err(bad_value(format!(
                "The filter {name} takes at most {MOST_VALUES} values, none of them empty."
            )));
        }
        if values.is_empty() && !matches!(key, Key::Tag(_)) {
            return Err(bad_value(format!("The following filter values are missing : null for filter key {name}")));
        }
        let filter = Self { key, option, values };
        filter.check_values()?;
        Ok(filter)
    }

    fn check_values(&self) -> Result<(), Refusal> {
        let of = |words: &[&str]| {
            let unknown = self.values.iter().find(|value| !words.contains(&value.as_str()));
            unknown.map_or(Ok(()), |_| {
                Err(bad_value(format!("A filter value is not valid. Valid values include: [{}].", words.join(", "))))
            })
        };
        match &self.key {
            Key::Type if self.option == How::Equals => of(&["String", "StringList", "SecureString"]),
            Key::Tier => of(&["Standard", "Advanced", "Intelligent-Tiering"]),
            Key::Path => self.values.iter().try_for_each(|path| name::folder(path).map(|_| ())),
            _ => Ok(()),
        }
    }

    fn fits(&self, path: &SecretPath, seen: &Sighting) -> bool {
        let known = Known(seen);
        let Some((_, notes)) = known.latest() else { return false };
        let any = |text: &str| self.values.iter().any(|value| self.option.fits(text, value));
        match &self.key {
            Key::Name => {
                let bare = |value: &String| value.strip_prefix('/').unwrap_or(value).to_owned();
                self.values.iter().map(bare).any(|value| self.option.fits(path.as_str(), &value))
            }
            Key::Type => any(word(notes.kind)),
            Key::Sealing => any(&notes.key),
            Key::Tier => any(tier(&notes)),
            Key::DataType => any(&notes.data_type),
            Key::Label => {
                let has = |value: &String| seen.meta.stages.contains_key(&Stage::Named(value.clone()));
                self.values.iter().any(has)
            }
            Key::Path => self.values.iter().any(|value| lies_in(path, value, self.option == How::Recursive)),
            Key::Tag(name) => {
                let tag = seen.meta.particulars().tags.as_ref().and_then(|tags| tags.get(name));
                tag.is_some_and(|tag| self.values.is_empty() || any(tag))
            }
        }
    }
}

impl Key {
    fn read(name: &str, asker: Asker) -> Result<Self, Refusal> {
        let key = match name {
            "Name" => Key::Name,
            "Type" => Key::Type,
            "KeyId" => Key::Sealing,
            "Path" => Key::Path,
            "Label" => Key::Label,
            "Tier" => Key::Tier,
            "DataType" => Key::DataType,
            other => match other.strip_prefix("tag:").filter(|tag| !tag.is_empty()) {
                Some(tag) => Key::Tag(tag.to_owned()),
                None => {
                    return Err(Refusal::validation(
                        "Value at 'parameterFilters.key' failed to satisfy constraint: Member must satisfy regular \
                         expression pattern: tag:.+|Name|Type|KeyId|Path|Label|Tier|DataType",
                    ));
                }
            },
        };
        let valid = match asker {
            Asker::ByPath => matches!(key, Key::Type | Key::Sealing | Key::Label),
            Asker::Describe => key != Key::Label,
        };
        if valid {
            return Ok(key);
        }
        let keys = match asker {
            Asker::ByPath => "[Type, KeyId, Label]",
            Asker::Describe => "[Path, Name, Type, KeyId, Tier, DataType, tag:KEY]",
        };
        Err(bad_key(format!("The following filter key is not valid: {name}. Valid filter keys include: {keys}.")))
    }
}

impl How {
    fn read(word: &str, key: &Key) -> Result<Self, Refusal> {
        let valid: &[(&str, How)] = match key {
            Key::Path => &[("Recursive", How::Recursive), ("OneLevel", How::OneLevel)],
            Key::Name => &[("BeginsWith", How::BeginsWith), ("Equals", How::Equals), ("Contains", How::Contains)],
            Key::Sealing | Key::Type => &[("BeginsWith", How::BeginsWith), ("Equals", How::Equals)],
            _ => &[("Equals", How::Equals)],
        };
        let found = valid.iter().find(|(name, _)| *name == word).map(|(_, how)| *how);
        found.ok_or_else(|| {
            let names: Vec<&str> = valid.iter().map(|(name, _)| *name).collect();
            let names = names.join(", ");
            let text = format!("The following filter option is not valid: {word}. Valid options include: [{names}].");
            Refusal::said("InvalidFilterOption", text)
        })
    }

    fn fits(self, text: &str, value: &str) -> bool {
        match self {
            How::Equals => text == value,
            How::BeginsWith => text.starts_with(value),
            How::Contains => text.contains(value),
            How::OneLevel | How::Recursive => false,
        }
    }
}

/// Whether a parameter lies in a folder, or anywhere below it.
fn lies_in(path: &SecretPath, folder: &str, deep: bool) -> bool {
    let folder = folder.trim_matches('/');
    let rest = match folder {
        "" => Some(path.as_str()),
        folder => path.as_str().strip_prefix(folder).and_then(|rest| rest.strip_prefix('/')),
    };
    rest.is_some_and(|rest| deep || !rest.contains('/'))
}

fn bad_key(text: String) -> Refusal {
    Refusal::said("InvalidFilterKey", text)
}

fn bad_value(text: String) -> Refusal {
    Refusal::said("InvalidFilterValue", text)
}
