//! Cutting something off, and what that would touch.

use super::arn;
use super::route::{Context, Parameter, Route, itself, parameter};
use super::trail::{needed, to_json, told};
use crate::vault::one_spelling;
use serde_json::json;
use strongroom_core::emergency::Aim;
use strongroom_core::{Access, Cidr, CoreError, Endpoint, Operation, Reply, boxed};
use strongroom_model::RequestPath;

const SECRET: Parameter = parameter("secret", "string", "A secret, whose version in force is put out of use.");
const PRINCIPAL: Parameter = parameter(
    "principal",
    "string",
    "An entity's name or id, the name that the trail prints, a token's accessor, or an access key's id or name.",
);
const LEASES: Parameter = parameter("lease_prefix", "string", "The beginning of ids of leases, whole parts of it.");
const MOUNT: Parameter = parameter("mount", "string", "A mount; `auth/...` for an auth method.");
const ADDRESS: Parameter = parameter("address", "string", "A network, or an address.");

/// The endpoints.
pub(super) const ROUTES: &[Route] = &[
    Route {
        endpoint: Endpoint {
            pattern: "revoke",
            operations: &[Operation::Write],
            access: Access::Sudo,
            help: "Cuts off one secret, principal, beginning of leases, mount or network from everyone, now.",
        },
        policy: "sys/revoke",
        parameters: &[
            SECRET,
            PRINCIPAL,
            LEASES,
            MOUNT,
            ADDRESS,
            parameter("reason", "string", "Why, for those who read the incident later. Needed."),
        ],
        answer: "incident, figures",
        object: itself,
        handler: |context| boxed(|| revoke(context)),
    },
    Route {
        endpoint: Endpoint {
            pattern: "revoke/preview",
            operations: &[Operation::Write],
            access: Access::Sudo,
            help: "Tells what cutting something off would touch, and touches nothing.",
        },
        policy: "sys/revoke/preview",
        parameters: &[SECRET, PRINCIPAL, LEASES, MOUNT, ADDRESS],
        answer: "target, kind, touches",
        object: itself,
        handler: |context| boxed(|| preview(context)),
    },
    Route {
        endpoint: Endpoint {
            pattern: "revoke/blocks",
            operations: &[Operation::Read],
            access: Access::Sudo,
            help: "Lists the networks and mounts that are refused whoever asks, and by which incident.",
        },
        policy: "sys/revoke/blocks",
        parameters: &[],
        answer: "blocks",
        object: itself,
        handler: |context| boxed(|| blocks(context)),
    },
];

async fn revoke(context: Context<'_>) -> Result<Reply, CoreError> {
    let (aim, reason) = (aim(&context)?, needed(context.fields, "reason")?);
    let open = context.open;
    let incident = open.emergency.revoke(&open.incidents, context.grant, &aim, &reason).await?;
    let (incident, figures) = open.incidents.ordered(context.grant, incident).await?;
    told(&context, &json!({ "incident": super::incident::shown(&incident)?, "figures": to_json(&figures)? }))
}

async fn preview(context: Context<'_>) -> Result<Reply, CoreError> {
    let preview = context.open.emergency.preview(context.grant, &aim(&context)?).await?;
    told(&context, &preview)
}

async fn blocks(context: Context<'_>) -> Result<Reply, CoreError> {
    let blocks = context.open.emergency.blocks(context.grant)?;
    let shown = blocks.iter().map(|(block, name)| {
        let kind = if block.network().is_some() { "address" } else { "mount" };
        json!({ "kind": kind, "name": name, "incident": block.incident, "since": block.since })
    });
    told(&context, &json!({ "blocks": shown.collect::<Vec<_>>() }))
}

/// Exactly one of the five.
fn aim(context: &Context<'_>) -> Result<Aim, CoreError> {
    let fields = context.fields;
    let mut aims = Vec::new();
    let some = |name| fields.text(name).map(|text| text.filter(|text| !text.is_empty()));
    let named = |text| arn::path_of(&context.native.aws, text);
    aims.extend(some("secret")?.map(named).transpose()?.map(Aim::Secret));
    aims.extend(some("principal")?.map(Aim::Principal));
    let spelt = |text: String| {
        // Leases are named by the one spelling of their role.
        let path = RequestPath::parse(text.trim_matches('/')).ok();
        path.and_then(|path| one_spelling(context.open, &path)).map_or(text, |path| path.to_string())
    };
    aims.extend(some("lease_prefix")?.map(spelt).map(Aim::LeasePrefix));
    aims.extend(some("mount")?.map(Aim::Mount));
    if let Some(text) = some("address")? {
        let problem = |error| CoreError::Field { field: "address".to_owned(), problem: format!("is {error}") };
        aims.push(Aim::Address(Cidr::parse(&text).map_err(problem)?));
    }
    match (aims.pop(), aims.is_empty()) {
        (Some(aim), true) => Ok(aim),
        _ => {
            Err(CoreError::Invalid("name exactly one of secret, principal, lease_prefix, mount and address".to_owned()))
        }
    }
}
