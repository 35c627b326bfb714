//! Rotation: what callers set, and when it begins. The function that an ARN names is one that the operator declared in the
//! configuration file, or one of the ways to rotate that are built in.

use super::write::check_suffix;
use crate::aws::input::Input;
use crate::aws::operation::Call;
use crate::aws::refusal::Refusal;
use serde_json::{Map, Value, json};
use std::time::Duration;
use strongroom_core::rotation::{Called, PlanChange, Reason, Schedule};
use strongroom_core::secret::RotationSetting;
use strongroom_core::{CoreError, Reply};

/// Recorded on AWS.
const NO_FUNCTION: &str = "No Lambda rotation function ARN is associated with this secret.";
/// Recorded on AWS.
const NOT_CALLABLE: &str = "Secrets Manager cannot invoke the specified Lambda function. Ensure that the function policy \
                            grants access to the principal secretsmanager.amazonaws.com.";
/// Recorded on AWS for the other operations; here AWS has another code.
const NO_TOKEN: &str = "You must provide a ClientRequestToken value. We recommend a UUID-type value.";

/// The shortest time between two rotations of a schedule.
const CLOSEST: Duration = Duration::from_secs(4 * 3_600);

/// The text for a rotation that has not ended.
const UNDER_WAY: &str = "A previous rotation isn't complete. That rotation will be reattempted.";

/// `RotateSecret`. With `RotateImmediately` false the step `testSecret` alone is tried, with a version in preparation that
/// goes again; what comes of it stands in the secret's history.
pub(super) async fn rotate(call: Call<'_>) -> Result<Reply, Refusal> {
    let input = &call.input;
    let path = check_suffix(&call).await?;
    let token = input.version_id("ClientRequestToken")?.ok_or_else(|| Refusal::parameter(NO_TOKEN))?;
    let mut setting = call.open.secrets.rotation_of(call.grant).await?.unwrap_or_default();
    read_rules(input, &mut setting)?;
    if let Some(function) = input.bounded("RotationLambdaARN", 2_048)?.filter(|function| !function.is_empty()) {
        setting.function = Some(function.to_owned());
    }
    let function = setting.function.clone().ok_or_else(|| Refusal::request(NO_FUNCTION))?;
    let suffix = call.open.secrets.granted_suffix(call.grant).await?.unwrap_or_default();
    let arn = input.names.arn(&path, &suffix);
    let change = PlanChange {
        method: Some(method(&call, &function)?),
        schedule: Some(schedule(&setting)?),
        called: Some(Called { name: arn.clone(), region: call.input.names.region.to_owned() }),
        shown: Some(function),
        every_days: setting.every_days,
        ..PlanChange::default()
    };
    call.open.rotations.plan(call.grant, change).await?;
    let mut data = Map::new();
    data.insert("ARN".to_owned(), json!(arn));
    data.insert("Name".to_owned(), json!(path.aws_name()));
    if input.fields.flag("RotateImmediately")? != Some(false) {
        let begun = call.open.rotations.start(call.grant, Some(token.clone()), Reason::default()).await;
        begun.map_err(|error| match error {
            CoreError::Unfit(text) if text.contains("under way") => Refusal::request(UNDER_WAY),
            other => other.into(),
        })?;
        data.insert("VersionId".to_owned(), json!(token.as_str()));
    } else {
        call.open.rotations.try_out(call.grant).await?;
    }
    Ok(Reply::data(Value::Object(data)))
}

/// The way to rotate that `arn:aws:lambda:REGION:ACCOUNT:function:NAME` stands for.
fn method(call: &Call<'_>, function: &str) -> Result<String, Refusal> {
    let name = function.rsplit_once(":function:").map_or(function, |(_, name)| name);
    let name = name.split_once(':').map_or(name, |(name, _)| name);
    let declared = format!("function:{name}");
    let known = |name: &str| call.open.rotations.knows(name);
    if known(&declared) {
        return Ok(declared);
    }
    if known(name) { Ok(name.to_owned()) } else { Err(Refusal::denied(NOT_CALLABLE)) }
}

fn schedule(setting: &RotationSetting) -> Result<Option<Schedule>, Refusal> {
    let days = setting.every_days.map(|days| format!("rate({days} days)"));
    let Some(text) = days.or_else(|| setting.schedule.clone()) else { return Ok(None) };
    let read = Schedule::parse(&text, setting.window.as_deref());
    read.map(Some).map_err(|error| match error {
        CoreError::Field { problem, .. } => Refusal::parameter(format!("Duration {problem}.")),
        other => other.into(),
    })
}

/// `CancelRotateSecret`: the function stays known, and nothing rotates any more.
pub(super) async fn cancel(call: Call<'_>) -> Result<Reply, Refusal> {
    let path = check_suffix(&call).await?;
    let seen = call.open.secrets.stop_rotation(call.grant).await?;
    call.open.rotations.cancel(call.grant).await?;
    Ok(Reply::data(json!({ "ARN": call.input.names.arn(&path, &seen.suffix()), "Name": path.aws_name() })))
}

/// `RotationRules` over what is set.
fn read_rules(input: &Input<'_>, setting: &mut RotationSetting) -> Result<(), Refusal> {
    let Some(rules) = input.fields.value("RotationRules") else { return Ok(()) };
    let days = rules.get("AutomaticallyAfterDays").filter(|days| !days.is_null());
    let schedule = rules.get("ScheduleExpression").and_then(Value::as_str);
    let window = rules.get("Duration").and_then(Value::as_str);
    match (days, schedule) {
        (Some(_), Some(_)) => {
            return Err(Refusal::parameter(
                "You can specify AutomaticallyAfterDays or ScheduleExpression, but not both.",
            ));
        }
        (Some(days), None) => {
            let days = days.as_u64().filter(|days| (1..=1_000).contains(days));
            let days = days.ok_or_else(|| Refusal::parameter("AutomaticallyAfterDays must be between 1 and 1000."))?;
            (setting.every_days, setting.schedule) = (u32::try_from(days).ok(), None);
        }
        (None, Some(text)) => {
            check_schedule(text)?;
            check_spacing(text)?;
            (setting.every_days, setting.schedule) = (None, Some(text.to_owned()));
        }
        (None, None) => {}
    }
    if days.is_some() || schedule.is_some() {
        // Rules stand for themselves: what they leave out is not taken from the ones before.
        setting.window = None;
    }
    if let Some(text) = window {
        let hours = text.strip_suffix('h').and_then(|hours| hours.parse::<u32>().ok());
        if hours.is_none_or(|hours| !(1..=24).contains(&hours)) {
            return Err(Refusal::parameter("Duration must be a number of hours, as 3h."));
        }
        setting.window = Some(text.to_owned());
    }
    Ok(())
}

/// The outer form of `rate(...)` and `cron(...)`; who rotates reads the rest.
fn check_schedule(text: &str) -> Result<(), Refusal> {
    let fits = |c: char| c.is_ascii_alphanumeric() || "()#?*-/, ".contains(c);
    let inner = |name: &str| text.strip_prefix(name).and_then(|rest| rest.strip_suffix(')'));
    let well = match (inner("rate("), inner("cron(")) {
        (Some(rate), _) => rate_hours(rate).is_some_and(|hours| hours >= 4),
        (_, Some(cron)) => cron.split(' ').count() == 6 && cron.starts_with("0 ") && cron.ends_with(" *"),
        _ => false,
    };
    if text.len() <= 256 && text.chars().all(fits) && well {
        return Ok(());
    }
    Err(Refusal::parameter(
        "Invalid ScheduleExpression: write rate(N hours) of at least four, rate(N days), or cron(0 HOUR DAY MONTH WEEKDAY *).",
    ))
}

/// AWS rotates a secret every four hours at most (Secrets Manager User Guide, "Rotation schedules"). `rotate schedule` does
/// it more often.
fn check_spacing(text: &str) -> Result<(), Refusal> {
    if !Schedule::parse(text, None)?.comes_within(CLOSEST)? {
        return Ok(());
    }
    Err(Refusal::parameter("Invalid ScheduleExpression: a secret can be rotated as often as every four hours."))
}

fn rate_hours(text: &str) -> Option<u64> {
    let (number, unit) = text.split_once(' ')?;
    let number: u64 = number.parse().ok()?;
    match unit {
        "hour" | "hours" => Some(number),
        "day" | "days" => number.checked_mul(24),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schedules_are_those_of_the_manual() {
        for good in ["rate(4 hours)", "rate(10 days)", "rate(1 day)", "cron(0 8 1 * ? *)", "cron(0 /8 * * ? *)"] {
            assert!(check_schedule(good).is_ok(), "{good}");
        }
        for bad in
            ["", "rate(3 hours)", "rate(x days)", "rate(1 week)", "cron(5 8 1 * ? *)", "cron(0 8 1 * ? 2026)", "daily"]
        {
            assert!(check_schedule(bad).is_err(), "{bad}");
        }
        assert!(check_spacing("cron(0 0/4 * * ? *)").is_ok() && check_spacing("cron(0 8 ? * L *)").is_ok());
        for often in ["cron(0 0/1 * * ? *)", "cron(0 0,22 * * ? *)", "cron(0 8 31 2 ? *)"] {
            assert!(check_spacing(often).is_err(), "{often}");
        }
    }
}
