//! `trail/retention`, `trail/archive`, `trail/holds`: how long the trail is kept, and what is kept whatever its age. All of
//! it needs sudo: a hold names paths and people, and what leaves the trail is not asked about any more.

use super::route::{Context, Parameter, Route, itself, parameter};
use super::shipping::{some, wrong};
use super::trail::{needed, to_json, told};
use serde_json::{Value, json};
use std::path::PathBuf;
use strongroom_core::retention::{Archiving, Keeping, NewHold};
use strongroom_core::{Access, CoreError, Endpoint, Fields, Operation, Reply, boxed};
use strongroom_model::Timestamp;

const fn given(name: &'static str, kind: &'static str, about: &'static str) -> Parameter {
    Parameter { name, kind, about, operations: &[Operation::Write] }
}

const KEEPING: &[Parameter] = &[
    given("keep_days", "integer", "Days after which segments leave for archives; 0 for never."),
    given("folder", "string", "Where archives go: an absolute path; among the trail's files when empty."),
    given("archives_keep_days", "integer", "Days after which archives in that folder are removed; 0 for never."),
];
const ARCHIVE: &[Parameter] = &[
    given("before", "string", "What is older leaves, in RFC 3339; when not given, what is old enough by keep_days."),
    given("folder", "string", "Where archives go: an absolute path; by the setting when not given."),
];
const HOLD: &[Parameter] = &[
    given("prefix", "string", "The beginning of paths."),
    given("principal", "string", "A name, id or display name of an entity, or an accessor of a token."),
    given("from", "string", "From this time on, in RFC 3339."),
    given("to", "string", "Before this time, in RFC 3339."),
    parameter("reason", "string", "Why it is placed, or lifted. Needed."),
];

/// The endpoints.
pub(super) const ROUTES: &[Route] = &[
    Route {
        endpoint: Endpoint {
            pattern: "trail/retention",
            operations: &[Operation::Read, Operation::Write],
            access: Access::Sudo,
            help: "Tells or sets how long the trail is kept, and tells how the last round of archiving went.",
        },
        policy: "sys/trail/retention",
        parameters: KEEPING,
        answer: "keep_days, folder, archives_keep_days, absent, last",
        object: itself,
        handler: |context| boxed(|| retention(context)),
    },
    Route {
        endpoint: Endpoint {
            pattern: "trail/archive",
            operations: &[Operation::Write],
            access: Access::Sudo,
            help: "Moves old segments of the trail into signed archives, some of them; `more` tells to ask again.",
        },
        policy: "sys/trail/archive",
        parameters: ARCHIVE,
        answer: "archives, removed, kept, more",
        object: itself,
        handler: |context| boxed(|| archive(context)),
    },
    Route {
        endpoint: Endpoint {
            pattern: "trail/holds",
            operations: &[Operation::Read],
            access: Access::Sudo,
            help: "Lists the legal holds that stand.",
        },
        policy: "sys/trail/holds",
        parameters: &[],
        answer: "holds",
        object: itself,
        handler: |context| boxed(|| holds(context)),
    },
    Route {
        endpoint: Endpoint {
            pattern: "trail/holds/{name}",
            operations: &[Operation::Write, Operation::Delete],
            access: Access::Sudo,
            help: "Places a legal hold, so that nothing that falls under it is removed, or lifts it.",
        },
        policy: "sys/trail/holds/{name}",
        parameters: HOLD,
        answer: "nothing",
        object: itself,
        handler: |context| boxed(|| hold(context)),
    },
];

async fn retention(context: Context<'_>) -> Result<Reply, CoreError> {
    let retention = &context.open.retention;
    if context.operation == Operation::Write {
        retention.keep(context.grant, keeping(context.fields, &retention.keeping())?).await?;
        return Ok(Reply::empty());
    }
    let mut shown = to_json(&*retention.keeping())?;
    if let Value::Object(shown) = &mut shown {
        shown.insert("absent".to_owned(), to_json(&retention.absent(context.grant).await?)?);
        shown.insert("last".to_owned(), to_json(&retention.last())?);
    }
    told(&context, &shown)
}

/// What is not given stays as it is.
fn keeping(fields: &Fields, now: &Keeping) -> Result<Keeping, CoreError> {
    let days =
        |field, now| Ok::<_, CoreError>(fields.count(field)?.map_or(now, |days| Some(days).filter(|days| *days > 0)));
    Ok(Keeping {
        keep_days: days("keep_days", now.keep_days)?,
        folder: match fields.text("folder")? {
            None => now.folder.clone(),
            Some(path) => Some(PathBuf::from(path)).filter(|path| !path.as_os_str().is_empty()),
        },
        archives_keep_days: days("archives_keep_days", now.archives_keep_days)?,
    })
}

async fn archive(context: Context<'_>) -> Result<Reply, CoreError> {
    let before = time(context.fields, "before")?;
    let folder = some(context.fields, "folder")?.map(PathBuf::from);
    let Archiving { made, removed, kept, more } = context.open.retention.archive(context.grant, before, folder).await?;
    let made = made.iter().map(|one| {
        json!({
            "file": one.file, "first": one.first, "next": one.next, "to": one.latest,
        })
    });
    let kept = kept.iter().map(|one| json!({ "first": one.first, "next": one.next, "why": one.why }));
    let shown = json!({
        "archives": made.collect::<Vec<_>>(), "removed": removed, "kept": kept.collect::<Vec<_>>(), "more": more,
    });
    told(&context, &shown)
}

async fn holds(context: Context<'_>) -> Result<Reply, CoreError> {
    let holds = context.open.retention.holds();
    let shown = holds.iter().map(|hold| {
        json!({
            "name": hold.name, "reason": hold.reason, "prefix": hold.prefix, "principal": hold.principal,
            "from": hold.from, "to": hold.to, "placed_by": hold.placed_by, "placed": hold.placed,
        })
    });
    told(&context, &json!({ "holds": shown.collect::<Vec<_>>() }))
}

async fn hold(context: Context<'_>) -> Result<Reply, CoreError> {
    let (open, name, fields) = (context.open, context.captures.get("name"), context.fields);
    let reason = needed(fields, "reason")?;
    if context.operation == Operation::Delete {
        let was_there = open.retention.lift(context.grant, name, &reason).await?;
        return if was_there { Ok(Reply::empty()) } else { Err(CoreError::Nothing) };
    }
    let hold = NewHold {
        name: name.to_owned(),
        reason,
        prefix: some(fields, "prefix")?,
        principal: some(fields, "principal")?,
        from: time(fields, "from")?,
        to: time(fields, "to")?,
    };
    let remark = match &hold.principal {
        Some(word) => open.inquiry.remark_on(context.grant, word).await?,
        None => None,
    };
    open.retention.place(context.grant, &open.inquiry, hold).await?;
    Ok(Reply { warnings: remark.into_iter().collect(), ..Reply::empty() })
}

fn time(fields: &Fields, field: &'static str) -> Result<Option<Timestamp>, CoreError> {
    let Some(text) = some(fields, field)? else { return Ok(None) };
    let time = Timestamp::parse(&text);
    time.map(Some).ok_or_else(|| wrong(field, "must be a time in RFC 3339, such as 2026-04-10T14:00:00Z"))
}
