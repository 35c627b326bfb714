//! Rotation: what callers set, and what they are told of it. Nothing rotates yet in this version, so no function can be
//! named; AWS's answer to who names one that cannot be called is the true one.

use super::write::check_suffix;
use crate::aws::input::Input;
use crate::aws::operation::Call;
use crate::aws::refusal::Refusal;
use serde_json::{Value, json};
use strongroom_core::Reply;
use strongroom_core::secret::RotationSetting;

/// Recorded on AWS.
const NO_FUNCTION: &str = "No Lambda rotation function ARN is associated with this secret.";
/// Recorded on AWS.
const NOT_CALLABLE: &str = "Secrets Manager cannot invoke the specified Lambda function. Ensure that the function policy \
                            grants access to the principal secretsmanager.amazonaws.com.";
/// Recorded on AWS for the other operations; here AWS has another code.
const NO_TOKEN: &str = "You must provide a ClientRequestToken value. We recommend a UUID-type value.";

/// `RotateSecret`.
pub(super) async fn rotate(call: Call<'_>) -> Result<Reply, Refusal> {
    let input = &call.input;
    check_suffix(&call).await?;
    input.version_id("ClientRequestToken")?.ok_or_else(|| Refusal::parameter(NO_TOKEN))?;
    let mut setting = call.open.secrets.rotation_of(call.grant).await?.unwrap_or_default();
    read_rules(input, &mut setting)?;
    if let Some(function) = input.bounded("RotationLambdaARN", 2_048)?.filter(|function| !function.is_empty()) {
        setting.function = Some(function.to_owned());
    }
    match setting.function {
        None => Err(Refusal::request(NO_FUNCTION)),
        Some(_) => Err(Refusal::denied(NOT_CALLABLE)),
    }
}

/// `CancelRotateSecret`: the function stays known, and nothing rotates any more.
pub(super) async fn cancel(call: Call<'_>) -> Result<Reply, Refusal> {
    let path = check_suffix(&call).await?;
    let seen = call.open.secrets.stop_rotation(call.grant).await?;
    Ok(Reply::data(json!({ "ARN": call.input.names.arn(&path, &seen.suffix()), "Name": path })))
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
            (setting.every_days, setting.schedule) = (None, Some(text.to_owned()));
        }
        (None, None) => {}
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
    }
}
