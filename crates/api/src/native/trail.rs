//! `trail/`: questions to the audit trail. Answers do not go into the trail once more: that a question was asked, by whom
//! and with which (hashed) filters does.

use super::arn;
use super::route::{Context, Parameter, Route, itself, parameter};
use serde::Serialize;
use serde_json::{Map, Value, json};
use strongroom_core::inquiry::{Answer, Question};
use strongroom_core::{Access, Cidr, CoreError, Endpoint, Fields, Operation, Reply, boxed};
use strongroom_model::{NamespacePath, Timestamp};

const FILTERS: &[Parameter] = &[
    parameter(
        "path",
        "string",
        "Paths in any spelling: as in policies, as on the command line, or ARNs of secrets or parameters; by commas.",
    ),
    parameter("prefix", "string", "Beginnings of paths; by commas."),
    parameter(
        "principal",
        "string",
        "Names, ids or display names of entities, or accessors of tokens; separated by commas.",
    ),
    parameter(
        "operation",
        "string",
        "read, create, update, patch, delete, list, or an act such as read-metadata; by commas.",
    ),
    parameter("outcome", "string", "ok, failed, or the word of an error's kind, such as denied; by commas."),
    parameter("dialect", "string", "vault, aws, native, or internal for what the server met on its own; by commas."),
    parameter("address", "string", "A network, or an address."),
    parameter("lease", "string", "The lease that was handed out, prolonged or ended."),
    parameter("subject", "string", "The name of a login in its outside system; with its events."),
    parameter("request", "string", "The id of a request."),
    parameter("namespace", "string", "The namespace."),
    parameter(
        "kind",
        "string",
        "outcome, intent, event, by commas; outcome when not given, and event with subject or internal.",
    ),
    parameter("from", "string", "From this time on, in RFC 3339."),
    parameter("to", "string", "Before this time, in RFC 3339."),
    parameter("start", "integer", "The page: the `next` of the page before, or an `end` to see what came later."),
    parameter("order", "string", "oldest (when not given) or newest: what comes first."),
    parameter("limit", "integer", "How many entries at most; 100 when not given, 1000 at most, 200 with a proof."),
    parameter("stale", "boolean", "Whether to answer, after a second, as of what the index has reached; see behind."),
    parameter("proof", "boolean", "Whether to prove that the entries stand in the trail; needs sudo."),
];

const PATH: &[Parameter] = &[parameter("path", "string", "The secret by its path or ARN, or the path of an engine.")];
const PRINCIPAL: &[Parameter] =
    &[parameter("principal", "string", "The name, id or display name of an entity, or the accessor of a token.")];
const SINCE: &[Parameter] = &[parameter("since", "string", "Reads before this time count as none; in RFC 3339.")];

/// The endpoints.
pub(super) const ROUTES: &[Route] = &[
    Route {
        endpoint: Endpoint {
            pattern: "trail/query",
            operations: &[Operation::Read],
            access: Access::Token,
            help: "Finds entries of the audit trail: who did what, when, from where, by which rule.",
        },
        policy: "sys/trail/query",
        parameters: FILTERS,
        answer: "entries, next, end, absent, behind, proof",
        object: itself,
        handler: |context| boxed(|| query(context)),
    },
    Route {
        endpoint: Endpoint {
            pattern: "trail/who-reads",
            operations: &[Operation::Read],
            access: Access::Token,
            help: "Tells who reads a secret, how often, from where and how, and who has its current version.",
        },
        policy: "sys/trail/who-reads",
        parameters: PATH,
        answer: "path, object, current_version, current_since, consumers",
        object: itself,
        handler: |context| boxed(|| who_reads(context)),
    },
    Route {
        endpoint: Endpoint {
            pattern: "trail/reads-what",
            operations: &[Operation::Read],
            access: Access::Token,
            help: "Tells which secrets a principal reads, and how.",
        },
        policy: "sys/trail/reads-what",
        parameters: PRINCIPAL,
        answer: "principal, uses",
        object: itself,
        handler: |context| boxed(|| reads_what(context)),
    },
    Route {
        endpoint: Endpoint {
            pattern: "trail/review",
            operations: &[Operation::Read],
            access: Access::Token,
            help: "Reviews access: secrets that nobody reads, rules and rights that nobody uses.",
        },
        policy: "sys/trail/review",
        parameters: SINCE,
        answer: "unused_secrets, unused_rules, unused_access",
        object: itself,
        handler: |context| boxed(|| review(context)),
    },
];

async fn query(context: Context<'_>) -> Result<Reply, CoreError> {
    let question = question(&context)?;
    let answer = match context.fields.flag("proof")? {
        Some(true) => context.open.inquiry.query_proven(context.grant, question).await?,
        _ => context.open.inquiry.query(context.grant, question).await?,
    };
    let Answer { rows, next, end, absent, behind, proof, warnings } = answer;
    let mut data = Map::new();
    data.insert("entries".to_owned(), to_json(&rows)?);
    data.insert("next".to_owned(), json!(next));
    data.insert("end".to_owned(), json!(end));
    if !absent.is_empty() {
        data.insert("absent".to_owned(), to_json(&absent)?);
    }
    if let Some(behind) = behind {
        data.insert("behind".to_owned(), to_json(&behind)?);
    }
    if let Some(proof) = proof {
        data.insert("proof".to_owned(), to_json(&proof)?);
    }
    told_with(&context, &Value::Object(data), &warnings)
}

async fn who_reads(context: Context<'_>) -> Result<Reply, CoreError> {
    let path = arn::path_of(&context.native.aws, needed(context.fields, "path")?)?;
    let readers = context.open.inquiry.who_reads(context.grant, &path).await?;
    told(&context, &readers)
}

async fn reads_what(context: Context<'_>) -> Result<Reply, CoreError> {
    let principal = needed(context.fields, "principal")?;
    let reading = context.open.inquiry.reads_what(context.grant, &principal).await?;
    told_with(&context, &reading, &reading.warnings)
}

async fn review(context: Context<'_>) -> Result<Reply, CoreError> {
    let since = time(context.fields, "since")?;
    let review = context.open.inquiry.review(context.grant, since).await?;
    told(&context, &review)
}

fn question(context: &Context<'_>) -> Result<Question, CoreError> {
    let fields = context.fields;
    let named = |text| arn::path_of(&context.native.aws, text);
    let network = |text: String| Cidr::parse(&text).map_err(|error| wrong("address", format!("is {error}")));
    let backwards = match given(fields, "order")?.as_deref() {
        None | Some("oldest") => false,
        Some("newest") => true,
        Some(_) => return Err(wrong("order", "must be oldest or newest".to_owned())),
    };
    Ok(Question {
        paths: places(fields, "path")?.into_iter().map(named).collect::<Result<_, _>>()?,
        prefixes: places(fields, "prefix")?,
        principals: words(fields, "principal")?,
        operations: words(fields, "operation")?,
        outcomes: words(fields, "outcome")?,
        dialects: words(fields, "dialect")?,
        address: given(fields, "address")?.map(network).transpose()?,
        lease: given(fields, "lease")?,
        subject: given(fields, "subject")?,
        request: given(fields, "request")?,
        // Empty is the namespace at the root.
        namespace: fields.text("namespace")?.map(|text| NamespacePath::parse(&text)).transpose()?,
        kinds: words(fields, "kind")?,
        from: time(fields, "from")?,
        to: time(fields, "to")?,
        start: fields.count("start")?,
        backwards,
        limit: fields.count("limit")?,
        stale: fields.flag("stale")?.unwrap_or_default(),
    })
}

fn wrong(field: &str, problem: String) -> CoreError {
    CoreError::Field { field: field.to_owned(), problem }
}

/// An empty filter would let everything pass, and whoever sent it meant something, as with a variable of a shell that is
/// not set.
fn empty(field: &str) -> CoreError {
    wrong(field, "is empty: say what is sought, or leave it out".to_owned())
}

/// One word or text, if it is there.
fn given(fields: &Fields, field: &str) -> Result<Option<String>, CoreError> {
    match fields.text(field)? {
        Some(text) if text.trim().is_empty() => Err(empty(field)),
        text => Ok(text),
    }
}

/// Paths, if they are there. A path may have a comma itself, so what is in one piece is sought as well.
fn places(fields: &Fields, field: &str) -> Result<Vec<String>, CoreError> {
    let Some(text) = given(fields, field)? else { return Ok(Vec::new()) };
    let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
    let mut places: Vec<String> = parts.map(str::to_owned).collect();
    if !places.contains(&text) && !arn::is_one(&text) {
        places.push(text);
    }
    Ok(places)
}

/// Words, if they are there.
pub(super) fn words(fields: &Fields, field: &str) -> Result<Vec<String>, CoreError> {
    match fields.list(field)? {
        None => Ok(Vec::new()),
        Some(words) if words.iter().all(|word| word.trim().is_empty()) => Err(empty(field)),
        Some(words) => Ok(words),
    }
}

fn time(fields: &Fields, field: &'static str) -> Result<Option<Timestamp>, CoreError> {
    let Some(text) = given(fields, field)? else { return Ok(None) };
    let problem = || "must be a time in RFC 3339, such as 2026-04-10T14:00:00Z".to_owned();
    Timestamp::parse(&text).map(Some).ok_or_else(|| wrong(field, problem()))
}

pub(super) fn needed(fields: &Fields, field: &'static str) -> Result<String, CoreError> {
    fields.text(field)?.filter(|text| !text.is_empty()).ok_or(CoreError::Missing(field))
}

/// The answer in the native envelope, as text: it would fill the trail with itself.
pub(super) fn told(context: &Context<'_>, data: &impl Serialize) -> Result<Reply, CoreError> {
    told_with(context, data, &[])
}

/// As [`told`], with what the caller should know beside it.
fn told_with(context: &Context<'_>, data: &impl Serialize, warnings: &[String]) -> Result<Reply, CoreError> {
    let mut body = json!({ "request": context.grant.visit().request, "data": to_json(data)? });
    if let Some(fields) = body.as_object_mut().filter(|_| !warnings.is_empty()) {
        fields.insert("warnings".to_owned(), json!(warnings));
    }
    Ok(Reply::raw("application/json", format!("{body}\n")))
}

pub(super) fn to_json(value: &impl Serialize) -> Result<Value, CoreError> {
    serde_json::to_value(value).map_err(|_| CoreError::Internal("an answer could not be written as JSON"))
}
