//! Names that refer to Secrets Manager: the secret is read there, by the policies that hold there, and shown as a
//! parameter.

use super::name::{self, REFERENCE};
use crate::aws::operation::{Passage, Service, Tour};
use crate::aws::refusal::Refusal;
use crate::aws::secrets::READING;
use serde_json::{Map, Value, json};
use strongroom_core::Fields;
use strongroom_model::{Kind, Kinded};

const READ: &str = "GetSecretValue";

/// One secret as a parameter. Behind its name may stand the id of a version or a label.
pub(super) async fn get(tour: &Tour<'_>, action: &'static str, sent: &str) -> Result<Value, Refusal> {
    let input = tour.input(tour.fields);
    let refused = match (input.flag("WithDecryption"), tour.settings.mount(tour.region)) {
        (Err(refusal), _) => Err(refusal),
        (Ok(false), _) => {
            Err(Refusal::validation("WithDecryption flag must be True for retrieving a Secret Manager secret."))
        }
        (Ok(true), None) => Err(name::not_found()),
        (Ok(true), Some(mount)) => Ok(mount),
    };
    let mount = match refused {
        Ok(mount) => mount,
        Err(refusal) => return tour.turn_away(action, refusal).await.map(|_| Value::Null),
    };
    let mut visit = tour.visit.clone();
    visit.path = mount;
    let there = Tour { visit: &visit, service: Service::Secrets, ..*tour };
    let (secret, selector) = sent.split_once(':').map_or((sent, None), |(secret, selector)| (secret, Some(selector)));
    let passage: &Passage = &READING;
    let read = there.pass(READ, passage, &fields(secret, selector)).await.map_err(|refusal| {
        if refusal.cause().kind() != Kind::NotFound {
            return refusal;
        }
        let text =
            format!("An error occurred (ParameterNotFound) when referencing Secrets Manager: Secret {REFERENCE}{secret} not found.");
        refusal.coded("ParameterNotFound").reworded(text)
    })?;
    Ok(shown(secret, selector, read.data.unwrap_or_default().into_map()))
}

fn fields(secret: &str, selector: Option<&str>) -> Fields {
    let selector = selector.map(|text| {
        let field = if text.len() >= 32 { "VersionId" } else { "VersionStage" };
        (field.to_owned(), json!(text))
    });
    [("SecretId".to_owned(), json!(secret))].into_iter().chain(selector).collect()
}

fn shown(secret: &str, selector: Option<&str>, mut read: Map<String, Value>) -> Value {
    let value = read.remove("SecretString").or_else(|| read.remove("SecretBinary")).unwrap_or_default();
    let mut data = Map::new();
    let mut put = |name: &str, value: Value| drop(data.insert(name.to_owned(), value));
    put("Name", json!(format!("{REFERENCE}{secret}")));
    put("Type", json!("SecureString"));
    put("Value", value);
    put("Version", json!(0));
    put("DataType", json!("text"));
    put("LastModifiedDate", read.get("CreatedDate").cloned().unwrap_or_default());
    put("ARN", read.get("ARN").cloned().unwrap_or_default());
    // What is left says nothing secret.
    put("SourceResult", json!(Value::Object(read).to_string()));
    if let Some(selector) = selector {
        put("Selector", json!(format!(":{selector}")));
    }
    Value::Object(data)
}
