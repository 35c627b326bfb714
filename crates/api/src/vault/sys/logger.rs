use crate::log::{LOG_LEVELS, LogControl};
use crate::vault::route::Context;
use serde_json::json;
use strongroom_core::{CoreError, Operation, Reply};

/// `sys/loggers`: the levels of all rooms.
pub(super) async fn all(context: Context<'_>) -> Result<Reply, CoreError> {
    serve(&context, None)
}

/// `sys/loggers/NAME`: the level of one room.
pub(super) async fn one(context: Context<'_>) -> Result<Reply, CoreError> {
    serve(&context, Some(context.captures.get("name")))
}

fn serve(context: &Context<'_>, room: Option<&str>) -> Result<Reply, CoreError> {
    let log = context.vault.log.as_ref();
    let log = log.ok_or(CoreError::Invalid("this server has no log whose level could be changed".to_owned()))?;
    match context.operation {
        Operation::Read => {
            let mut levels = log.levels();
            levels.retain(|name, _| room.is_none_or(|room| room == name));
            Ok(Reply::data(json!(levels)))
        }
        Operation::Delete => set(log, room, &log.configured()),
        _ => set(log, room, &level(context)?),
    }
}

fn set(log: &LogControl, room: Option<&str>, level: &str) -> Result<Reply, CoreError> {
    match log.set(room, level) {
        true => Ok(Reply::empty()),
        false => Err(CoreError::Invalid(format!("logger \"{}\" not found", room.unwrap_or_default()))),
    }
}

fn level(context: &Context<'_>) -> Result<String, CoreError> {
    let fail = |text: &str| CoreError::Invalid(text.to_owned());
    let level = context.fields.text("level")?.ok_or_else(|| fail("level is required"))?.to_ascii_lowercase();
    match level.as_str() {
        "" => Err(fail("level is empty")),
        "notice" => Ok("info".to_owned()),
        "warning" => Ok("warn".to_owned()),
        "err" => Ok("error".to_owned()),
        known if LOG_LEVELS.contains(&known) => Ok(level),
        _ => Err(fail("invalid level provided: use trace, debug, info, warn or error")),
    }
}
