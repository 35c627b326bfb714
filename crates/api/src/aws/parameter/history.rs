//! Earlier versions of a parameter, oldest first.

use super::note::{Known, tier, word};
use super::{name, ours, policy, value};
use crate::aws::operation::Call;
use crate::aws::refusal::Refusal;
use crate::aws::secrets::epoch;
use serde_json::{Map, Value, json};
use strongroom_core::Reply;
use strongroom_core::secret::{SecretVersion, Sighting};
use strongroom_model::{SecretPath, VersionNumber, VersionSelector};

/// `GetParameterHistory`.
pub(super) async fn history(call: Call<'_>) -> Result<Reply, Refusal> {
    let input = &call.input;
    let path = name::plain(input, "Name")?.path;
    let most = input.number("MaxResults", 1, 50)?.unwrap_or(50) as usize;
    let decrypt = input.flag("WithDecryption")?;
    let after = input.text("NextToken")?.map(|token| place_of(&call, token)).transpose()?.unwrap_or(0);
    let secrets = &call.open.secrets;
    let seen = secrets.granted_sight(call.grant).await.map_err(ours)?.ok_or_else(name::not_found)?;
    let (mut shown, mut next) = (Vec::new(), None);
    let later: Vec<VersionNumber> = seen.meta.versions.keys().copied().filter(|number| number.get() > after).collect();
    let mut last = after;
    for number in later {
        if shown.len() == most {
            next = Some(secrets.seal_mark(&format!("history {last}")).map_err(ours)?);
            break;
        }
        last = number.get();
        // A version that another dialect hid is not there.
        if let Some(version) = secrets.see(call.grant, &VersionSelector::Number(number)).await.map_err(ours)?.version {
            shown.push(rendered(&path, &seen, version, decrypt)?);
        }
    }
    let mut data = Map::new();
    data.insert("Parameters".to_owned(), Value::Array(shown));
    next.map(|next| data.insert("NextToken".to_owned(), json!(next)));
    Ok(Reply::data(Value::Object(data)))
}

fn place_of(call: &Call<'_>, token: &str) -> Result<u64, Refusal> {
    let mark = call.open.secrets.open_mark(token).map_err(ours)?;
    mark.and_then(|mark| mark.strip_prefix("history ")?.parse().ok()).ok_or_else(super::list::bad_token)
}

fn rendered(path: &SecretPath, secret: &Sighting, version: SecretVersion, decrypt: bool) -> Result<Value, Refusal> {
    let number = version.info.number;
    let mut data = described(path, secret, number);
    data.insert("LastModifiedDate".to_owned(), epoch(version.info.version.created));
    data.insert("Labels".to_owned(), json!(secret.labels(number)));
    let kind = Known(secret).notes(number).kind;
    data.insert("Value".to_owned(), value::text(secret, version, kind, decrypt)?);
    Ok(Value::Object(data))
}

/// What histories and descriptions say of a version. What is not set is not there.
pub(super) fn described(path: &SecretPath, secret: &Sighting, number: VersionNumber) -> Map<String, Value> {
    let known = Known(secret);
    let notes = known.notes(number);
    let text = |text: &String| (!text.is_empty()).then(|| json!(text));
    let is_latest = secret.meta.current() == Some(number);
    let policies = known.noted().filter(|_| is_latest).map_or(&[][..], |noted| &noted.policies);
    let mut data = Map::new();
    let mut put = |name: &str, value: Option<Value>| drop(value.map(|value| data.insert(name.to_owned(), value)));
    put("Name", Some(json!(name::shown(path, &known))));
    put("Type", Some(json!(word(notes.kind))));
    put("KeyId", text(&notes.key));
    put("LastModifiedUser", text(&notes.writer));
    put("Description", text(&notes.description));
    put("AllowedPattern", text(&notes.pattern));
    put("Version", Some(json!(number)));
    put("Tier", Some(json!(tier(&notes))));
    put("Policies", Some(policy::shown(policies)));
    put("DataType", Some(json!(notes.data_type)));
    data
}
