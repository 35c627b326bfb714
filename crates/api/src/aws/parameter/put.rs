//! Writing parameters.

use super::name::{self, Named};
use super::note::{Known, TEXT, tier};
use super::policy::{self, Policies};
use super::{check, credential, ours};
use crate::aws::input::Input;
use crate::aws::operation::{Asked, Call, Place};
use crate::aws::refusal::Refusal;
use crate::aws::secrets::tags;
use crate::aws::sts;
use serde_json::json;
use strongroom_core::Operation::Write;
use strongroom_core::secret::{
    NewVersion, ParameterChange, ParameterKind, ParticularsChange, SecretValue, Sighting, VersionId, VersionNotes,
};
use strongroom_core::{CoreError, Reply, SecretAct};
use strongroom_model::{SecretString, Stage};

/// Versions that are kept; what has a label is kept beyond, and stands in the way of the next.
const KEPT: u64 = 100;
/// How often a write is tried again when somebody else was quicker.
const TRIES: usize = 16;

pub(super) fn asks(input: &Input<'_>) -> Result<Asked, Refusal> {
    let path = name::new(input)?.path;
    Ok(Asked { operation: Write, place: Place::Secret { path, act: SecretAct::Write } })
}

/// `PutParameter`.
pub(super) async fn put(call: Call<'_>) -> Result<Reply, Refusal> {
    let named = name::new(&call.input)?;
    for _ in 0..TRIES {
        match attempt(&call, &named).await {
            Err(refusal) if matches!(refusal.cause(), CoreError::Stale(_) | CoreError::Conflict) => continue,
            other => return other,
        }
    }
    Err(ours(CoreError::Conflict))
}

async fn attempt(call: &Call<'_>, named: &Named) -> Result<Reply, Refusal> {
    let (input, secrets) = (&call.input, &call.open.secrets);
    secrets.clear_past(call.grant).await.map_err(ours)?;
    let before = secrets.granted_sight(call.grant).await.map_err(ours)?;
    check_overwrite(input, before.as_ref())?;
    let (change, warnings) = change(call, named, before.as_ref())?;
    if let Some(parameter) = &change.parameter {
        if let Some(end) = parameter.expires {
            secrets.note_end(call.grant, end).await.map_err(ours)?;
        }
        let reminders = policy::reminders(&parameter.policies, call.grant.visit().arrived);
        secrets.note_reminders(call.grant, parameter, reminders).await.map_err(ours)?;
    }
    let value = SecretValue::Text(SecretString::new(input.need("Value")?.to_owned()));
    let version = NewVersion { value, id: version_id(call)?, stages: Vec::new() };
    let staged = match before {
        Some(_) => secrets.put_with(call.grant, &change, &version).await,
        None => secrets.make(call.grant, &change, Some(&version)).await,
    };
    let staged = staged.map_err(|error| match error {
        // Made or removed in between: look again.
        CoreError::Exists(_) | CoreError::Nothing => Refusal::from(CoreError::Conflict),
        error @ (CoreError::Stale(_) | CoreError::Conflict) => error.into(),
        other => ours(other),
    })?;
    let number = staged.number.ok_or(CoreError::Internal("a version just written is not known"))?;
    let data = json!({ "Version": number, "Tier": tier(&staged.secret.parameter(number)) });
    Ok(Reply { version: Some(number.get()), warnings, ..Reply::data(data) })
}

fn check_overwrite(input: &Input<'_>, before: Option<&Sighting>) -> Result<(), Refusal> {
    let overwrite = input.flag("Overwrite")?;
    let has_tags = input.list("Tags")?.is_some_and(|tags| !tags.is_empty());
    if overwrite && has_tags {
        return Err(Refusal::validation(
            "Invalid request: tags and overwrite can't be used together. To create a parameter with tags, please remove \
             overwrite flag. To update tags for an existing parameter, please use AddTagsToResource or \
             RemoveTagsFromResource.",
        ));
    }
    let Some(before) = before else { return Ok(()) };
    if !overwrite {
        let text =
            "The parameter already exists. To overwrite this value, set the overwrite option in the request to true.";
        return Err(Refusal::exists(text).coded("ParameterAlreadyExists"));
    }
    // The version that would go with the next one.
    let stays_from = (before.meta.newest + 2).saturating_sub(KEPT);
    let outside = before.meta.versions.keys().take_while(|number| number.get() < stays_from);
    let mut labelled =
        outside.filter(|number| before.meta.stages_of(**number).iter().any(|s| matches!(s, Stage::Named(_))));
    match labelled.next() {
        None => Ok(()),
        Some(number) => Err(Refusal::said(
            "ParameterMaxVersionLimitExceeded",
            format!(
                "You attempted to create a new version of a parameter by calling the PutParameter API with the overwrite \
                 flag. Version {number}, the oldest version, can't be deleted because it has a label associated with it. \
                 Move the label to another version of the parameter, and try again."
            ),
        )),
    }
}

/// Everything about the write but the value; and what is to be recorded of that.
fn change(
    call: &Call<'_>,
    named: &Named,
    before: Option<&Sighting>,
) -> Result<(ParticularsChange, Vec<String>), Refusal> {
    let input = &call.input;
    let value = input.need("Value")?;
    let known = before.map(Known);
    let earlier = known.as_ref().and_then(Known::latest).map(|(_, notes)| notes);
    let policies = match (input.bounded("Policies", 4_096)?, known.as_ref().and_then(Known::noted)) {
        (Some(text), _) => policy::read(text)?,
        (None, Some(noted)) => Policies { expires: policy::end(&noted.policies), texts: noted.policies.clone() },
        (None, None) => Policies::default(),
    };
    let mut notes = notes(input, earlier.as_ref(), value, &policies)?;
    notes.writer = sts::caller(call.tour).arn;
    if !notes.advanced && !policies.texts.is_empty() {
        return Err(Refusal::validation(
            "Standard tier parameters don't support parameter policies. To use them, upgrade the parameter to use the \
             advanced-parameter tier.",
        ));
    }
    check::value(value, &notes)?;
    let warnings = credential::check(call, &named.text, notes.kind, value)?;
    let parameter = ParameterChange {
        newest: before.map_or(0, |before| before.meta.newest),
        bare: !named.text.starts_with('/'),
        notes,
        expires: policies.expires,
        policies: policies.texts,
    };
    let tags = tags(input)?;
    Ok((ParticularsChange { tags, parameter: Some(parameter), ..ParticularsChange::default() }, warnings))
}

/// What is said of the version: what was sent, else what held before.
fn notes(
    input: &Input<'_>,
    earlier: Option<&VersionNotes>,
    value: &str,
    policies: &Policies,
) -> Result<VersionNotes, Refusal> {
    let kind = match (input.text("Type")?, earlier) {
        (Some("String"), _) => ParameterKind::String,
        (Some("StringList"), _) => ParameterKind::StringList,
        (Some("SecureString"), _) => ParameterKind::SecureString,
        (Some(_), _) => {
            let text = "The parameter type isn't supported. Parameter types are String, StringList and SecureString.";
            return Err(Refusal::said("UnsupportedParameterType", text));
        }
        (None, Some(earlier)) => earlier.kind,
        (None, None) => return Err(Refusal::validation("A parameter type is required when you create a parameter.")),
    };
    let text = |name, longest, earlier: Option<&String>| -> Result<String, Refusal> {
        let sent = input.bounded(name, longest)?;
        Ok(sent.or(earlier.map(String::as_str)).unwrap_or_default().to_owned())
    };
    let key = input.bounded("KeyId", 256)?;
    if key.is_some() && kind != ParameterKind::SecureString {
        return Err(Refusal::validation("Invalid request: KeyId is required for SecureString type parameter only."));
    }
    let same_kind = earlier.filter(|earlier| earlier.kind == kind);
    let data_type = match (input.bounded("DataType", 128)?, same_kind) {
        (Some(sent), _) => sent,
        (None, Some(earlier)) => earlier.data_type.as_str(),
        (None, None) => TEXT,
    };
    Ok(VersionNotes {
        kind,
        data_type: data_type.to_owned(),
        advanced: advanced(input, earlier, value, policies)?,
        description: text("Description", 1_024, earlier.map(|earlier| &earlier.description))?,
        pattern: text("AllowedPattern", 1_024, earlier.map(|earlier| &earlier.pattern))?,
        key: key.or(same_kind.map(|earlier| earlier.key.as_str())).unwrap_or_default().to_owned(),
        writer: String::new(),
    })
}

/// The tier: as sent; a larger one is never left.
fn advanced(
    input: &Input<'_>,
    earlier: Option<&VersionNotes>,
    value: &str,
    policies: &Policies,
) -> Result<bool, Refusal> {
    let was = earlier.is_some_and(|earlier| earlier.advanced);
    match input.text("Tier")? {
        None => Ok(was),
        Some("Advanced") => Ok(true),
        Some("Intelligent-Tiering") => Ok(was || value.len() > check::STANDARD || !policies.texts.is_empty()),
        Some("Standard") if was => Err(Refusal::validation(
            "This parameter uses the advanced-parameter tier. You can't downgrade a parameter from the advanced-parameter \
             tier to the standard-parameter tier. If necessary, you can delete the advanced parameter and recreate it as a \
             standard parameter.",
        )),
        Some("Standard") => Ok(false),
        Some(_) => Err(Refusal::validation(
            "Value at 'tier' failed to satisfy constraint: Member must satisfy enum value set: [Standard, Advanced, \
             Intelligent-Tiering]",
        )),
    }
}

/// An id for the version: clients of parameters have none, and every write is one.
fn version_id(call: &Call<'_>) -> Result<VersionId, Refusal> {
    let id = strongroom_model::RequestId::random(call.tour.strongroom.entropy());
    Ok(VersionId::parse(&id.to_string())?)
}
