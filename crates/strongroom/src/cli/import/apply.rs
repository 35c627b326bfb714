//! Writes what was decided. Every write says on top of which version it goes, so that what somebody else wrote in the
//! meantime is not covered: that secret fails and the others go on. Versions go one after the other, secrets side by
//! side.

use super::plan::{Action, Row};
use crate::cli::error::CliError;
use crate::cli::flags::Settings;
use crate::cli::kv::Place;
use crate::cli::path::join;
use crate::cli::pool::{Looked, Pool};
use crate::cli::request::Request;
use serde_json::{Map, Value, json};

/// As many versions as an engine keeps when nobody says otherwise (Vault: 10).
const USUAL_LIMIT: usize = 10;

/// Writes all rows that are to be created or changed; the others stay as they are.
pub(super) fn write(pool: &mut Pool, settings: &Settings, place: &Place, rows: &mut [Row]) -> Result<(), CliError> {
    let mut rows: Vec<&mut Row> =
        rows.iter_mut().filter(|row| matches!(row.action, Action::Create | Action::Change)).collect();
    let most = rows.iter().map(|row| row.item.versions.len()).max().unwrap_or(0);
    for round in 0..most {
        send(pool, settings, &mut rows, |row| value_request(place, row, round))?;
        // After the first version, because only then the secret is known to be ours.
        if round == 0 && place.versioned {
            send(pool, settings, &mut rows, |row| metadata_request(place, row))?;
        }
    }
    Ok(())
}

/// Sends one request for each row that has one and has not failed.
fn send(
    pool: &mut Pool,
    settings: &Settings,
    rows: &mut [&mut Row],
    request: impl Fn(&Row) -> Option<Request>,
) -> Result<(), CliError> {
    let open = rows.iter_mut().filter(|row| row.action != Action::Failed);
    let (mut sending, mut requests) = (Vec::new(), Vec::new());
    for row in open {
        if let Some(request) = request(row) {
            sending.push(row);
            requests.push(request);
        }
    }
    for (row, looked) in sending.into_iter().zip(pool.look_all(settings, &requests)?) {
        note(row, looked);
    }
    Ok(())
}

fn note(row: &mut Row, looked: Looked) {
    let Err(error) = looked else { return };
    row.action = Action::Failed;
    let texts = error.errors().join("; ");
    row.reason = match error.status() {
        Some(400) if texts.contains("check-and-set") => "somebody else wrote it in the meantime".to_owned(),
        Some(code) if texts.is_empty() => format!("the server answered {code}"),
        Some(code) => format!("the server answered {code}: {texts}"),
        None => "no answer came, so it may or may not be written".to_owned(),
    };
}

fn value_request(place: &Place, row: &Row, round: usize) -> Option<Request> {
    let data = Value::Object(row.item.versions.get(round)?.clone());
    let body = match place.versioned {
        true => json!({ "data": data, "options": { "cas": row.on_top_of + round as u64 } }),
        false => data,
    };
    let branch = if place.versioned { "data" } else { "" };
    Some(Request::put(join(&[&place.mount, branch, &row.name]), body))
}

fn metadata_request(place: &Place, row: &Row) -> Option<Request> {
    let mut metadata: Map<String, Value> = row.item.metadata.clone().unwrap_or_default();
    let count = row.item.versions.len();
    let limited = metadata.get("max_versions").and_then(Value::as_u64).is_some();
    if count > USUAL_LIMIT && !limited {
        metadata.insert("max_versions".to_owned(), count.into());
    }
    let path = join(&[&place.mount, "metadata", &row.name]);
    (!metadata.is_empty()).then(|| Request::put(path, Value::Object(metadata)))
}
