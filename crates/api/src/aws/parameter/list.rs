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
use strongroom_core::secret::Sighting;
use strongroom_core::{Access, Fields, Reply};
use strongroom_model::{Capability, FolderPath, Kind, Kinded, RequestPath, SecretPath};

const LISTING: Passage = Passage { access: Access::Token, asks: asks_folder, act: |call| Box::pin(names(call)) };

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
    let inside = match input.flag("Recursive")? {
        true => call.open.secrets.names_below(call.grant).await.map_err(ours)?,
        false => in_folder(&call, &folder).await?,
    };
    let (page, next) = page(&call, inside, &filters, "data", most).await?;
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
    let inside = call.open.secrets.names_below(call.grant).await.map_err(ours)?;
    let (page, next) = page(&call, inside, &filters, "metadata", most).await?;
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

/// The names directly in a folder.
async fn in_folder(call: &Call<'_>, folder: &FolderPath) -> Result<Vec<SecretPath>, Refusal> {
    let names = call.open.secrets.list(call.grant).await.map_err(ours)?;
    let path = |name: &String| match folder.as_str() {
        "" => SecretPath::parse(name),
        folder => SecretPath::parse(&format!("{folder}/{name}")),
    };
    let names = names.iter().filter(|name| !name.ends_with('/'));
    Ok(names.map(path).collect::<Result<_, _>>().map_err(strongroom_core::CoreError::from)?)
}

/// The parameters of one page, and where the next begins. Places are by name, so that what is made or removed in between
/// neither repeats nor hides others.
async fn page(
    call: &Call<'_>,
    mut inside: Vec<SecretPath>,
    filters: &Filters,
    section: &str,
    most: usize,
) -> Result<(Vec<(SecretPath, Sighting)>, Option<String>), Refusal> {
    let after = call.input.text("NextToken")?.map(|token| place_of(call, token)).transpose()?;
    let now = call.grant.visit().arrived;
    inside.sort_unstable();
    let mut page: Vec<(SecretPath, Sighting)> = Vec::new();
    for path in inside {
        let is_later = after.as_ref().is_none_or(|after| path.as_str() > after.as_str());
        if !is_later || !may_see(call, &path, section) {
            continue;
        }
        let Some(seen) = call.open.secrets.glance(call.grant, &path).await.map_err(ours)? else { continue };
        let current = seen.meta.current().and_then(|number| seen.meta.versions.get(&number));
        let readable = current.is_some_and(|version| !version.is_gone(now));
        if !readable || seen.meta.is_marked() || seen.meta.is_past(now) || !filters.fit(&path, &seen) {
            continue;
        }
        if page.len() == most {
            let mark = page.last().map(|(path, _)| format!("parameters {path}")).unwrap_or_default();
            return Ok((page, Some(call.open.secrets.seal_mark(&mark).map_err(ours)?)));
        }
        page.push((path, seen));
    }
    Ok((page, None))
}

fn place_of(call: &Call<'_>, token: &str) -> Result<String, Refusal> {
    let mark = call.open.secrets.open_mark(token).map_err(ours)?;
    mark.and_then(|mark| mark.strip_prefix("parameters ").map(str::to_owned)).ok_or_else(bad_token)
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
