//! Lists of secrets, filtered, sorted and in pages. Who may list the mount sees those whose metadata they may read.

use super::describe::{bad_token, entry, read_moment, stages_by_id};
use crate::aws::input::{Input, wrong};
use crate::aws::operation::Call;
use crate::aws::refusal::Refusal;
use serde_json::{Map, Value, json};
use strongroom_core::Reply;
use strongroom_core::secret::Sighting;
use strongroom_model::{Capability, RequestPath, SecretPath, Timestamp};

/// What secrets must have to be listed.
pub(super) struct Filters(Vec<Filter>);

struct Filter {
    field: Field,
    values: Vec<Wanted>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Field {
    Description,
    Name,
    TagKey,
    TagValue,
    PrimaryRegion,
    OwningService,
    All,
}

struct Wanted {
    text: String,
    negated: bool,
}

/// By what a list is sorted.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Order {
    Created,
    Read,
    Changed,
    Name,
}

/// One secret of a list.
struct Listed {
    moment: Timestamp,
    path: SecretPath,
    seen: Sighting,
}

/// `ListSecrets`.
pub(super) async fn list(call: Call<'_>) -> Result<Reply, Refusal> {
    let most = call.input.number("MaxResults", 1, 100)?.unwrap_or(100) as usize;
    let (page, next) = page(&call, most).await?;
    let names = &call.input.names;
    let shown = page.iter().map(|one| {
        let mut data = entry(names, &one.path, &one.seen);
        let stages = stages_by_id(&one.seen);
        if stages.as_object().is_some_and(|stages| !stages.is_empty()) {
            data.insert("SecretVersionsToStages".to_owned(), stages);
        }
        Value::Object(data)
    });
    answer("SecretList", shown.collect(), next)
}

/// The names of one page, for who reads the values next.
pub(super) async fn names(call: Call<'_>) -> Result<Reply, Refusal> {
    let most = call.input.number("MaxResults", 1, 20)?.unwrap_or(20) as usize;
    let (page, next) = page(&call, most).await?;
    answer("Names", page.iter().map(|one| json!(one.path)).collect(), next)
}

fn answer(name: &str, items: Vec<Value>, next: Option<String>) -> Result<Reply, Refusal> {
    let mut data = Map::new();
    data.insert(name.to_owned(), Value::Array(items));
    next.map(|next| data.insert("NextToken".to_owned(), json!(next)));
    Ok(Reply::data(Value::Object(data)))
}

/// The secrets of one page, and where the next begins. Places are by sort key and name, so that what is made or removed
/// in between neither repeats nor hides others.
async fn page(call: &Call<'_>, most: usize) -> Result<(Vec<Listed>, Option<String>), Refusal> {
    let input = &call.input;
    let filters = Filters::read(input)?;
    let (order, descending) = order(input)?;
    let planned = input.flag("IncludePlannedDeletion")?;
    let after = input.text("NextToken")?.map(|token| place_of(call, token)).transpose()?;
    let mut all = Vec::new();
    for path in call.open.secrets.names_below(call.grant).await? {
        if !may_see(call, &path) {
            continue;
        }
        let Some(seen) = call.open.secrets.glance(call.grant, &path).await? else { continue };
        if (planned || !seen.meta.is_marked()) && filters.fit(&path, &seen, input.names.region) {
            all.push(Listed { moment: order.moment(&seen), path, seen });
        }
    }
    all.sort_by(|a, b| (a.moment, &a.path).cmp(&(b.moment, &b.path)));
    if descending {
        all.reverse();
    }
    if let Some((moment, path)) = after {
        let is_later = |one: &Listed| match descending {
            false => (one.moment, one.path.as_str()) > (moment, path.as_str()),
            true => (one.moment, one.path.as_str()) < (moment, path.as_str()),
        };
        all.retain(is_later);
    }
    let more = all.len() > most;
    all.truncate(most);
    let next = match all.last().filter(|_| more) {
        Some(last) => Some(call.open.secrets.seal_mark(&format!("secrets {} {}", last.moment.nanos(), last.path))?),
        None => None,
    };
    Ok((all, next))
}

fn place_of(call: &Call<'_>, token: &str) -> Result<(Timestamp, String), Refusal> {
    let mark = call.open.secrets.open_mark(token)?.ok_or_else(bad_token)?;
    let place = mark.strip_prefix("secrets ").and_then(|rest| rest.split_once(' '));
    let (nanos, path) = place.ok_or_else(bad_token)?;
    let nanos = nanos.parse().map_err(|_| bad_token())?;
    Ok((Timestamp::from_nanos(nanos), path.to_owned()))
}

fn may_see(call: &Call<'_>, path: &SecretPath) -> bool {
    let Ok(mount) = call.grant.mount() else { return false };
    let metadata = RequestPath::parse(&format!("{}/metadata/{path}", mount.path));
    let may = |path: &RequestPath| {
        let Some(acl) = call.grant.acl() else { return false };
        acl.is_root() || acl.capabilities(path).contains(Capability::Read)
    };
    metadata.is_ok_and(|path| may(&path))
}

fn order(input: &Input<'_>) -> Result<(Order, bool), Refusal> {
    let order = match input.text("SortBy")? {
        None | Some("created-date") => Order::Created,
        Some("last-accessed-date") => Order::Read,
        Some("last-changed-date") => Order::Changed,
        Some("name") => Order::Name,
        Some(_) => return Err(unknown("sortBy", "[created-date, last-accessed-date, last-changed-date, name]")),
    };
    match input.text("SortOrder")? {
        None => Ok((order, order != Order::Name)),
        Some("desc") => Ok((order, true)),
        Some("asc") => Ok((order, false)),
        Some(_) => Err(unknown("sortOrder", "[asc, desc]")),
    }
}

impl Order {
    fn moment(self, seen: &Sighting) -> Timestamp {
        match self {
            Order::Created => seen.meta.created,
            Order::Changed => seen.meta.updated,
            Order::Read => read_moment(seen),
            Order::Name => Timestamp::default(),
        }
    }
}

fn unknown(name: &str, values: &str) -> Refusal {
    Refusal::validation(format!(
        "Value at '{name}' failed to satisfy constraint: Member must satisfy enum value set: {values}"
    ))
}

impl Filters {
    /// Reads `Filters`.
    pub(super) fn read(input: &Input<'_>) -> Result<Self, Refusal> {
        let sent = input.list("Filters")?.map(Vec::as_slice).unwrap_or_default();
        if sent.len() > 10 {
            return Err(Refusal::validation(
                "Value at 'filters' failed to satisfy constraint: Member must have length less than or equal to 10",
            ));
        }
        sent.iter().map(Filter::read).collect::<Result<_, _>>().map(Self)
    }

    fn fit(&self, path: &SecretPath, seen: &Sighting, region: &str) -> bool {
        self.0.iter().all(|filter| filter.fits(path, seen, region))
    }
}

impl Filter {
    fn read(filter: &Value) -> Result<Self, Refusal> {
        let shape = || wrong("Filters", "a list of objects with Key and Values");
        let field = match filter.get("Key").and_then(Value::as_str).ok_or_else(shape)? {
            "description" => Field::Description,
            "name" => Field::Name,
            "tag-key" => Field::TagKey,
            "tag-value" => Field::TagValue,
            "primary-region" => Field::PrimaryRegion,
            "owning-service" => Field::OwningService,
            "all" => Field::All,
            _ => {
                let keys = "[all, name, tag-key, description, tag-value, primary-region, owning-service]";
                return Err(unknown("filters.key", keys));
            }
        };
        let values = filter.get("Values").and_then(Value::as_array).ok_or_else(shape)?;
        if values.is_empty() || values.len() > 10 {
            return Err(Refusal::parameter("Invalid filter values: between 1 and 10 are taken."));
        }
        let fits = |c: char| c.is_ascii_alphanumeric() || " :_@/+=.-!".contains(c);
        let read = |value: &Value| {
            let text = value.as_str().ok_or_else(shape)?;
            let (text, negated) = text.strip_prefix('!').map_or((text, false), |rest| (rest, true));
            if text.len() > 512 || !text.chars().all(fits) {
                return Err(Refusal::validation(
                    "Value at 'filters.values' failed to satisfy constraint: Member must satisfy regular expression \
                     pattern: ^\\!?[a-zA-Z0-9 :_@\\/\\+\\=\\.\\-\\!]*$",
                ));
            }
            Ok(Wanted { text: text.to_owned(), negated })
        };
        Ok(Self { field, values: values.iter().map(read).collect::<Result<_, _>>()? })
    }

    fn fits(&self, path: &SecretPath, seen: &Sighting, region: &str) -> bool {
        self.values.iter().any(|wanted| self.field.fits(&wanted.text, path, seen, region) != wanted.negated)
    }
}

impl Field {
    fn fits(self, text: &str, path: &SecretPath, seen: &Sighting, region: &str) -> bool {
        let more = seen.meta.particulars();
        let tags = || more.tags.iter().flatten();
        let lower = text.to_lowercase();
        match self {
            Field::Description => more.description.to_lowercase().starts_with(&lower),
            Field::Name => path.as_str().starts_with(text),
            Field::TagKey => tags().any(|(key, _)| key.starts_with(text)),
            Field::TagValue => tags().any(|(_, value)| value.starts_with(text)),
            Field::PrimaryRegion => region.starts_with(text),
            Field::OwningService => false,
            Field::All => {
                let mut everything = format!("{path} {} ", more.description);
                tags().for_each(|(key, value)| everything.push_str(&format!("{key} {value} ")));
                let everything = everything.to_lowercase();
                lower.split_whitespace().all(|word| everything.contains(word))
            }
        }
    }
}
