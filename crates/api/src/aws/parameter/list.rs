//! Many parameters: the values in a folder, and descriptions. Who may list the folder sees those whose value (for
//! descriptions: whose metadata) the own policies let them read; of others nothing is told.

use super::filter::{Asker, Filters};
use super::history::described;
use super::value::{READING, found};
use super::{name, ours};
use crate::aws::input::Input;
use crate::aws::operation::{Asked, Call, Passage, Place, Tour};
use crate::aws::refusal::Refusal;
use crate::aws::secrets::epoch;
use serde_json::{Map, Value, json};
use strongroom_core::Operation::List;
use strongroom_core::secret::{Sighting, Walk};
use strongroom_core::{Access, CoreError, Fields, Reply, boxed};
use strongroom_model::{Capability, FolderPath, Kind, Kinded, RequestPath, SecretPath};

const LISTING: Passage = Passage { access: Access::Token, asks: asks_folder, act: |call| boxed(|| names(call)) };

/// The operation by which listing and values stand in the trail.
const BY_PATH: &str = "GetParametersByPath";

fn asks_folder(input: &Input<'_>) -> Result<Asked, Refusal> {
    Ok(Asked { operation: List, place: Place::Folder(name::folder(input.need("Path")?)?) })
}

pub(super) fn asks_describe(input: &Input<'_>) -> Result<Asked, Refusal> {
    Ok(Asked { operation: List, place: Place::Folder(Filters::read(input, Asker::Describe)?.folder()) })
}

/// `GetParametersByPath`.
pub(super) async fn by_path(tour: &Tour<'_>) -> Result<Reply, Refusal> {
    let listed = tour.pass(BY_PATH, &LISTING, tour.fields).await?.data.unwrap_or_default();
    let decrypt = tour.fields.value("WithDecryption").cloned().unwrap_or(Value::Bool(false));
    let mut shown = Vec::new();
    for name in listed.list("Names")?.unwrap_or_default() {
        let fields: Fields =
            [("Name".to_owned(), json!(name)), ("WithDecryption".to_owned(), decrypt.clone())].into_iter().collect();
        match tour.pass(BY_PATH, &READING, &fields).await {
            Ok(reply) => shown.push(found(reply)?),
            // Removed in between, or forbidden by a policy of its own.
            Err(refusal) if matches!(refusal.cause().kind(), Kind::NotFound | Kind::Denied) => {}
            Err(refusal) => return Err(refusal),
        }
    }
    let mut data = Map::new();
    data.insert("Parameters".to_owned(), Value::Array(shown));
    listed.text("NextToken")?.map(|next| data.insert("NextToken".to_owned(), json!(next)));
    Ok(Reply::data(Value::Object(data)))
}

/// The names of one page, with the selector of a label where one is asked for; who asked reads the values next.
async fn names(call: Call<'_>) -> Result<Reply, Refusal> {
    let input = &call.input;
    input.flag("WithDecryption")?;
    let filters = Filters::read(input, Asker::ByPath)?;
    let folder = name::folder(input.need("Path")?)?;
    let most = input.number("MaxResults", 1, 10)?.unwrap_or(10) as usize;
    let source = Source::Folder { folder, deep: input.flag("Recursive")? };
    let (page, next) = page(&call, source, &filters, "data", most).await?;
    let label = filters.label().map(|label| format!(":{label}")).unwrap_or_default();
    let names = page.iter().map(|(path, _)| json!(format!("/{path}{label}"))).collect();
    Ok(answer("Names", names, next))
}

/// `DescribeParameters`.
pub(super) async fn describe(call: Call<'_>) -> Result<Reply, Refusal> {
    let input = &call.input;
    let filters = Filters::read(input, Asker::Describe)?;
    let most = input.number("MaxResults", 1, 50)?.unwrap_or(10) as usize;
    // Nothing is shared between accounts here.
    if input.flag("Shared")? {
        return Ok(answer("Parameters", Vec::new(), None));
    }
    let source = match filters.exact() {
        Some(names) => Source::Names(names),
        None => Source::Folder { folder: filters.narrowest(), deep: true },
    };
    let (page, next) = page(&call, source, &filters, "metadata", most).await?;
    let shown = page.iter().filter_map(|(path, seen)| {
        let number = seen.meta.current()?;
        let mut data = described(path, seen, number);
        data.insert("ARN".to_owned(), json!(input.names.parameter_arn(path)));
        let written = seen.meta.versions.get(&number).map(|version| epoch(version.created));
        data.insert("LastModifiedDate".to_owned(), written.unwrap_or_default());
        Some(Value::Object(data))
    });
    Ok(answer("Parameters", shown.collect(), next))
}

fn answer(name: &str, items: Vec<Value>, next: Option<String>) -> Reply {
    let mut data = Map::new();
    data.insert(name.to_owned(), Value::Array(items));
    next.map(|next| data.insert("NextToken".to_owned(), json!(next)));
    Reply::data(Value::Object(data))
}

/// Where the parameters of a page may come from.
enum Source {
    /// Everything in a folder, and below it when `deep`.
    Folder { folder: FolderPath, deep: bool },
    /// These alone.
    Names(Vec<SecretPath>),
}

/// Where a list goes on: after a name, in the order of names or in that of the store.
enum Mark {
    Sorted(SecretPath),
    Stored(SecretPath),
}

impl Source {
    /// As it is gone through from the mark on. A folder with few parameters is sorted as a whole; who began so goes on so.
    async fn from(self, call: &Call<'_>, mark: Option<&Mark>) -> Result<Self, Refusal> {
        let (Source::Folder { folder, deep }, None | Some(Mark::Sorted(_))) = (&self, mark) else { return Ok(self) };
        let most = if mark.is_none() { FEW + 1 } else { usize::MAX };
        let walk = Walk { within: folder, deep: *deep, after: None, most };
        let mut names = call.open.secrets.walk(call.grant, &walk).await.map_err(ours)?;
        if names.len() == most {
            return Ok(self);
        }
        names.sort_unstable();
        Ok(Source::Names(names))
    }

    /// Some more names; none when there are no more.
    async fn more(&mut self, call: &Call<'_>, after: Option<&SecretPath>) -> Result<Vec<SecretPath>, Refusal> {
        match self {
            Source::Names(names) => {
                let is_later = |name: &SecretPath| after.is_none_or(|after| name > after);
                Ok(std::mem::take(names).into_iter().filter(is_later).collect())
            }
            Source::Folder { folder, deep } => {
                let walk = Walk { within: folder, deep: *deep, after, most: AT_ONCE };
                call.open.secrets.walk(call.grant, &walk).await.map_err(|error| match error {
                    CoreError::Invalid(_) => bad_token(),
                    other => ours(other),
                })
            }
        }
    }
}

/// How many names are looked at together, and for one page: a page with rare matches may be short and lead on, as AWS's.
const AT_ONCE: usize = 64;
const FEW: usize = 256;
const MOST_LOOKED_AT: usize = 2_048;

/// The parameters of one page, and where the next begins. Where there are many, pages go in the store's own order, in
/// which each costs the same, and each is sorted for itself. What is made or removed in between neither repeats nor hides
/// others.
async fn page(
    call: &Call<'_>,
    source: Source,
    filters: &Filters,
    section: &str,
    most: usize,
) -> Result<(Vec<(SecretPath, Sighting)>, Option<String>), Refusal> {
    let mark = call.input.text("NextToken")?.map(|token| place_of(call, token)).transpose()?;
    let mut source = source.from(call, mark.as_ref()).await?;
    let order = if matches!(source, Source::Names(_)) { SORTED } else { STORED };
    let mut after = mark.map(|(Mark::Sorted(path) | Mark::Stored(path))| path);
    let (mut page, mut last, mut looked_at) = (Vec::new(), None, 0);
    let more = loop {
        let names = source.more(call, after.as_ref()).await?;
        if names.is_empty() {
            break None;
        }
        let mut found = None;
        for path in names {
            looked_at += 1;
            let seen = look(call, filters, section, &path).await?;
            match seen {
                Some(_) if page.len() == most => {
                    found = last.take();
                    break;
                }
                Some(seen) => {
                    last = Some(path.clone());
                    page.push((path.clone(), seen));
                }
                None => {}
            }
            after = Some(path);
        }
        if found.is_some() {
            break found;
        }
        if looked_at >= MOST_LOOKED_AT {
            break after;
        }
    };
    page.sort_by(|(one, _), (other, _)| one.cmp(other));
    let seal = |path| call.open.secrets.seal_mark(&format!("{order}{path}")).map_err(ours);
    Ok((page, more.map(seal).transpose()?))
}

/// A parameter, if it is to be shown.
async fn look(
    call: &Call<'_>,
    filters: &Filters,
    section: &str,
    path: &SecretPath,
) -> Result<Option<Sighting>, Refusal> {
    if !may_see(call, path, section) {
        return Ok(None);
    }
    let now = call.grant.visit().arrived;
    let Some(seen) = call.open.secrets.glance(call.grant, path).await.map_err(ours)? else { return Ok(None) };
    let current = seen.meta.current().and_then(|number| seen.meta.versions.get(&number));
    let readable = current.is_some_and(|version| !version.is_gone(now));
    let shown = readable && !seen.meta.is_marked() && !seen.meta.is_past(now) && filters.fit(path, &seen);
    Ok(shown.then_some(seen))
}

/// What marks begin with.
const SORTED: &str = "parameters by name ";
const STORED: &str = "parameters as kept ";

fn place_of(call: &Call<'_>, token: &str) -> Result<Mark, Refusal> {
    let mark = call.open.secrets.open_mark(token).map_err(ours)?.unwrap_or_default();
    let path = |text: Option<&str>| text.and_then(|text| SecretPath::parse(text).ok());
    let sorted = path(mark.strip_prefix(SORTED)).map(Mark::Sorted);
    sorted.or(path(mark.strip_prefix(STORED)).map(Mark::Stored)).ok_or_else(bad_token)
}

pub(super) fn bad_token() -> Refusal {
    Refusal::said("InvalidNextToken", "The specified token isn't valid.")
}

fn may_see(call: &Call<'_>, path: &SecretPath, section: &str) -> bool {
    let Ok(mount) = call.grant.mount() else { return false };
    let Some(acl) = call.grant.acl() else { return false };
    let path = RequestPath::parse(&format!("{}/{section}/{path}", mount.path));
    acl.is_root() || path.is_ok_and(|path| acl.capabilities(&path).contains(Capability::Read))
}
