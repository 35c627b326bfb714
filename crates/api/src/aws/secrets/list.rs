//! Lists of secrets, filtered, sorted and in pages. Who may list the mount sees those whose metadata they may read.

use super::describe::{bad_token, entry, read_moment, stages_by_id};
use crate::aws::input::{Input, wrong};
use crate::aws::operation::Call;
use crate::aws::refusal::Refusal;
use serde_json::{Map, Value, json};
use strongroom_core::Reply;
use strongroom_core::secret::{Listing, Sighting};
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
    answer("Names", page.iter().map(|one| json!(one.path.aws_name())).collect(), next)
}

fn answer(name: &str, items: Vec<Value>, next: Option<String>) -> Result<Reply, Refusal> {
    let mut data = Map::new();
    data.insert(name.to_owned(), Value::Array(items));
    next.map(|next| data.insert("NextToken".to_owned(), json!(next)));
    Ok(Reply::data(Value::Object(data)))
}

/// What is asked for, apart from the page.
struct Wish<'a> {
    filters: Filters,
    order: Order,
    descending: bool,
    planned: bool,
    region: &'a str,
}

/// Where a page begins: the place in the list that is remembered, and what stood before it, should the list be forgotten.
struct Mark {
    listing: u64,
    at: usize,
    moment: Timestamp,
    path: String,
}

/// The secrets of one page, and where the next begins. The list is made for the first page; what is shown of it is looked
/// up for each.
async fn page(call: &Call<'_>, most: usize) -> Result<(Vec<Listed>, Option<String>), Refusal> {
    let (input, secrets) = (&call.input, &call.open.secrets);
    let (order, descending) = order(input)?;
    let planned = input.flag("IncludePlannedDeletion")?;
    let wish = Wish { filters: Filters::read(input)?, order, descending, planned, region: input.names.region };
    let mark = input.text("NextToken")?.map(|token| Mark::open(call, token)).transpose()?;
    let (known, listing, mut at) = begin(call, &wish, mark).await?;
    let mut page = Vec::new();
    while page.len() < most
        && let Some((_, path)) = listing.get(at)
    {
        at += 1;
        if let Some(seen) = wish.look(call, path).await? {
            page.push(Listed { path: path.clone(), seen });
        }
    }
    let (Some((moment, path)), true) = (listing.get(at.saturating_sub(1)), at < listing.len()) else {
        return Ok((page, None));
    };
    let kept = match known {
        Some(kept) => kept,
        None => secrets.keep_listing(call.grant, &listing)?,
    };
    let next = secrets.seal_mark(&format!("secrets {kept} {at} {} {}", moment.nanos(), path.aws_name()))?;
    Ok((page, Some(next)))
}

/// The list, the number under which it is remembered, and where in it to begin.
async fn begin(call: &Call<'_>, wish: &Wish<'_>, mark: Option<Mark>) -> Result<(Option<u64>, Listing, usize), Refusal> {
    let Some(mark) = mark else { return Ok((None, wish.survey(call).await?, 0)) };
    if let Some(listing) = call.open.secrets.kept_listing(call.grant, mark.listing)? {
        return Ok((Some(mark.listing), listing, mark.at));
    }
    let listing = wish.survey(call).await?;
    let is_before = |(moment, path): &(Timestamp, SecretPath)| match wish.descending {
        false => (*moment, path.aws_name().as_ref()) <= (mark.moment, mark.path.as_str()),
        true => (*moment, path.aws_name().as_ref()) >= (mark.moment, mark.path.as_str()),
    };
    let at = listing.partition_point(is_before);
    Ok((None, listing, at))
}

impl Wish<'_> {
    /// Every secret that fits, in order.
    async fn survey(&self, call: &Call<'_>) -> Result<Listing, Refusal> {
        let mut all = Vec::new();
        let by_name_alone = self.order == Order::Name && self.filters.0.is_empty();
        for path in call.open.secrets.names_below(call.grant).await? {
            if by_name_alone {
                all.push((Timestamp::default(), path));
            } else if let Some(seen) = self.look(call, &path).await? {
                all.push((self.order.moment(&seen), path));
            }
        }
        // By the names that are shown.
        all.sort_by(|(moment, path), (other, next)| (moment, path.aws_name()).cmp(&(other, next.aws_name())));
        if self.descending {
            all.reverse();
        }
        Ok(all.into())
    }

    /// A secret, if it is to be shown.
    async fn look(&self, call: &Call<'_>, path: &SecretPath) -> Result<Option<Sighting>, Refusal> {
        if !may_see(call, path) {
            return Ok(None);
        }
        let seen = call.open.secrets.glance(call.grant, path).await?;
        let is_wanted =
            |seen: &Sighting| (self.planned || !seen.meta.is_marked()) && self.filters.fit(path, seen, self.region);
        Ok(seen.filter(is_wanted))
    }
}

impl Mark {
    fn open(call: &Call<'_>, token: &str) -> Result<Self, Refusal> {
        let mark = call.open.secrets.open_mark(token)?.ok_or_else(bad_token)?;
        let read = || {
            let mut parts = mark.strip_prefix("secrets ")?.splitn(4, ' ');
            let (listing, at) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
            let moment = Timestamp::from_nanos(parts.next()?.parse().ok()?);
            Some(Self { listing, at, moment, path: parts.next()?.to_owned() })
        };
        read().ok_or_else(bad_token)
    }
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
            Field::Name => path.aws_name().starts_with(text),
            Field::TagKey => tags().any(|(key, _)| key.starts_with(text)),
            Field::TagValue => tags().any(|(_, value)| value.starts_with(text)),
            Field::PrimaryRegion => region.starts_with(text),
            Field::OwningService => false,
            Field::All => {
                let mut everything = format!("{} {} ", path.aws_name(), more.description);
                tags().for_each(|(key, value)| everything.push_str(&format!("{key} {value} ")));
                let everything = everything.to_lowercase();
                lower.split_whitespace().all(|word| everything.contains(word))
            }
        }
    }
}
