//! `shipping/`: copies of the trail for collectors of logs. All of it needs sudo: a destination gets every path there is.

use super::route::{Context, Parameter, Route, itself, parameter};
use serde_json::json;
use std::path::PathBuf;
use strongroom_core::shipping::{Facility, FarEnd, NewShipper, Replay, ShipFormat, Transport};
use strongroom_core::{Access, CoreError, Endpoint, Fields, Operation, Reply, boxed};
use strongroom_model::Timestamp;

const fn given(name: &'static str, kind: &'static str, about: &'static str) -> Parameter {
    Parameter { name, kind, about, operations: &[Operation::Write] }
}

const NEW: &[Parameter] = &[
    given("type", "string", "file, syslog, socket or https."),
    given("format", "string", "vault (when not given), ecs, ocsf, cef or trail."),
    given("path", "string", "Of a file, or of a socket of this machine."),
    given("transport", "string", "Of syslog and socket: unix, udp (syslog only), tcp or tls."),
    given("address", "string", "Host and port, for udp, tcp and tls."),
    given("url", "string", "Where batches are posted to."),
    given("ca", "string", "Who vouches for the receiver, in PEM; the machine's authorities when not given."),
    given("key", "string", "What batches are signed with (Standard Webhooks); not signed when not given."),
    given("authorization", "string", "The value of that header, for receivers that want one."),
    given("facility", "string", "Of syslog: auth (when not given), authpriv, audit, daemon, user, local0 to local7."),
    given("tag", "string", "Of syslog: the app-name; strongroom when not given."),
    given("internal", "boolean", "Allows addresses of this machine, its link, and its cloud's metadata."),
    given("from", "string", "The number of an entry or a time in RFC 3339; from now on when not given."),
];
const FROM: &[Parameter] = &[parameter("from", "string", "The number of an entry, or a time in RFC 3339.")];

/// The endpoints.
pub(super) const ROUTES: &[Route] = &[
    Route {
        endpoint: Endpoint {
            pattern: "shipping",
            operations: &[Operation::Read],
            access: Access::Sudo,
            help: "Lists the destinations of copies of the trail, and how far each is.",
        },
        policy: "sys/shipping",
        parameters: &[],
        answer: "destinations",
        object: itself,
        handler: |context| boxed(|| list(context)),
    },
    Route {
        endpoint: Endpoint {
            pattern: "shipping/{name}",
            operations: &[Operation::Write, Operation::Delete],
            access: Access::Sudo,
            help: "Adds a destination of copies of the trail, or removes it.",
        },
        policy: "sys/shipping/{name}",
        parameters: NEW,
        answer: "nothing",
        object: itself,
        handler: |context| boxed(|| change(context)),
    },
    Route {
        endpoint: Endpoint {
            pattern: "shipping/{name}/replay",
            operations: &[Operation::Write],
            access: Access::Sudo,
            help: "Sends entries again from a number or a time on.",
        },
        policy: "sys/shipping/{name}/replay",
        parameters: FROM,
        answer: "from",
        object: itself,
        handler: |context| boxed(|| replay(context)),
    },
];

async fn list(context: Context<'_>) -> Result<Reply, CoreError> {
    Ok(Reply::data(json!({ "destinations": context.open.shipping.status() })))
}

async fn change(context: Context<'_>) -> Result<Reply, CoreError> {
    let (shipping, name) = (&context.open.shipping, context.captures.get("name"));
    if context.operation == Operation::Delete {
        let was_there = shipping.remove(context.grant, name).await?;
        return if was_there { Ok(Reply::empty()) } else { Err(CoreError::Nothing) };
    }
    shipping.add(context.grant, new(name, context.fields)?).await?;
    Ok(Reply::empty())
}

async fn replay(context: Context<'_>) -> Result<Reply, CoreError> {
    let from = from(context.fields)?.ok_or(CoreError::Missing("from"))?;
    let from = context.open.shipping.replay(context.grant, context.captures.get("name"), from).await?;
    Ok(Reply::data(json!({ "from": from })))
}

fn new(name: &str, fields: &Fields) -> Result<NewShipper, CoreError> {
    let needed = |field: &'static str| some(fields, field)?.ok_or(CoreError::Missing(field));
    let to = match needed("type")?.as_str() {
        "file" => FarEnd::File { path: PathBuf::from(needed("path")?) },
        "socket" => FarEnd::Socket { transport: transport(fields)? },
        "syslog" => FarEnd::Syslog {
            transport: transport(fields)?,
            facility: match some(fields, "facility")? {
                None => Facility::default(),
                Some(name) => Facility::parse(&name).ok_or_else(|| wrong("facility", "is none that is known"))?,
            },
            tag: some(fields, "tag")?.unwrap_or_else(|| "strongroom".to_owned()),
        },
        "https" => {
            let url = fields.secret("url")?.ok_or(CoreError::Missing("url"))?;
            FarEnd::https(url, some(fields, "ca")?, fields.secret("key")?, fields.secret("authorization")?)
        }
        _ => return Err(wrong("type", "must be file, syslog, socket or https")),
    };
    let form = match some(fields, "format")? {
        None => ShipFormat::Vault,
        Some(word) => {
            ShipFormat::parse(&word).ok_or_else(|| wrong("format", "must be vault, ecs, ocsf, cef or trail"))?
        }
    };
    let internal = fields.flag("internal")?.unwrap_or_default();
    Ok(NewShipper { name: name.to_owned(), to, form, internal, from: from(fields)? })
}

fn transport(fields: &Fields) -> Result<Transport, CoreError> {
    let address = || some(fields, "address")?.ok_or(CoreError::Missing("address"));
    Ok(match some(fields, "transport")?.as_deref() {
        Some("unix") => {
            Transport::Unix { path: PathBuf::from(some(fields, "path")?.ok_or(CoreError::Missing("path"))?) }
        }
        Some("udp") => Transport::Udp { address: address()? },
        Some("tcp") => Transport::Tcp { address: address()? },
        Some("tls") => Transport::Tls { address: address()?, ca: some(fields, "ca")? },
        Some(_) => return Err(wrong("transport", "must be unix, udp, tcp or tls")),
        None => return Err(CoreError::Missing("transport")),
    })
}

fn from(fields: &Fields) -> Result<Option<Replay>, CoreError> {
    let Some(text) = some(fields, "from")? else { return Ok(None) };
    if let Ok(number) = text.parse() {
        return Ok(Some(Replay::Entry(number)));
    }
    let time = Timestamp::parse(&text);
    time.map(|time| Some(Replay::Time(time)))
        .ok_or_else(|| wrong("from", "must be the number of an entry, or a time such as 2026-04-10T14:00:00Z"))
}

pub(super) fn some(fields: &Fields, field: &str) -> Result<Option<String>, CoreError> {
    Ok(fields.text(field)?.filter(|text| !text.is_empty()))
}

pub(super) fn wrong(field: &str, problem: &str) -> CoreError {
    CoreError::Field { field: field.to_owned(), problem: problem.to_owned() }
}
