use crate::vault::route::Context;
use crate::vault::{find, public};
use serde_json::{Value, json};
use strongroom_core::token::Bearer;
use strongroom_core::{Access, CoreError, Operation, Reply, route};
use strongroom_model::policy::{Acl, Decision, Question, Reason};
use strongroom_model::{Capability, EntityName, PolicyName, RequestPath};

/// `sys/strongroom/can-self`: whether the caller may do something, and which rule decides. Ours; Vault has nothing like
/// it.
pub(super) async fn of_self(context: Context<'_>) -> Result<Reply, CoreError> {
    let subject = Subject::of_bearer(&context, context.grant.require_bearer()?).await?;
    answer(&context, &subject)
}

/// `sys/strongroom/can`: the same of a token, the token behind an accessor, an entity, or a set of policies.
pub(super) async fn of_other(context: Context<'_>) -> Result<Reply, CoreError> {
    let subject = Subject::named(&context).await?;
    answer(&context, &subject)
}

/// Who is asked about: whose policies count.
struct Subject {
    kind: &'static str,
    policies: Vec<PolicyName>,
    /// Policies that are named and do not exist, so that they give nothing.
    absent: Vec<String>,
    acl: std::sync::Arc<Acl>,
    /// Why everything is refused, whatever the policies say.
    barred: Option<&'static str>,
}

impl Subject {
    async fn named(context: &Context<'_>) -> Result<Self, CoreError> {
        let fields = context.fields;
        let unknown = || CoreError::Invalid("invalid token: it is unknown, expired or revoked".to_owned());
        if let Some(token) = fields.secret("token")? {
            return Self::of_bearer(context, &context.open.tokens.find(&token).await?.ok_or_else(unknown)?).await;
        }
        if let Some(accessor) = fields.text("accessor")? {
            return Self::of_bearer(context, &context.open.tokens.by_accessor(&accessor).await?.ok_or_else(unknown)?)
                .await;
        }
        if let Some(name) = fields.text("entity")? {
            return Self::of_entity(context, &name).await;
        }
        let Some(names) = fields.list("policies")? else {
            return Err(CoreError::Invalid(
                "nobody is named: send `token`, `accessor`, `entity` (its name) or `policies`".to_owned(),
            ));
        };
        let names: Vec<PolicyName> = names.iter().map(|name| PolicyName::parse(name)).collect::<Result<_, _>>()?;
        let acl = context.open.policies.acl(&names, None, &context.open.identity).await?;
        Self::of_policies(context, "policies", names, acl, None).await
    }

    async fn of_bearer(context: &Context<'_>, bearer: &Bearer) -> Result<Self, CoreError> {
        let open = context.open;
        let acl = open.policies.acl(bearer.policies(), bearer.entity(), &open.identity).await?;
        let barred = bearer.entity().filter(|entity| entity.disabled).map(|_| DISABLED);
        Self::of_policies(context, "token", bearer.policies().to_vec(), acl, barred).await
    }

    async fn of_entity(context: &Context<'_>, name: &str) -> Result<Self, CoreError> {
        let open = context.open;
        let entity = open.identity.by_name(&EntityName::parse(name)?).await?;
        let entity = entity.ok_or_else(|| CoreError::Invalid(format!("there is no entity named \"{name}\"")))?;
        let entity = &entity.value;
        let acl = open.policies.acl(&entity.policies, Some(entity), &open.identity).await?;
        let barred = entity.disabled.then_some(DISABLED);
        Self::of_policies(context, "entity", entity.policies.clone(), acl, barred).await
    }

    async fn of_policies(
        context: &Context<'_>,
        kind: &'static str,
        policies: Vec<PolicyName>,
        acl: std::sync::Arc<Acl>,
        barred: Option<&'static str>,
    ) -> Result<Self, CoreError> {
        let mut absent = Vec::new();
        for name in &policies {
            if context.open.policies.source(name).await?.is_none() {
                absent.push(name.to_string());
            }
        }
        Ok(Self { kind, policies, absent, acl, barred })
    }
}

const DISABLED: &str = "its entity is disabled, so every request is refused: enable it";

/// A path as the gate would see it.
struct Asked {
    path: RequestPath,
    /// Who may come there; `None` when nothing is served there.
    access: Option<Access>,
}

fn answer(context: &Context<'_>, subject: &Subject) -> Result<Reply, CoreError> {
    let typed = context.fields.text("path")?.ok_or(CoreError::Missing("path"))?;
    let word = context.fields.text("capability")?.ok_or(CoreError::Missing("capability"))?;
    let capability =
        Capability::parse(&word).filter(|capability| *capability != Capability::Deny).ok_or_else(|| {
            CoreError::Invalid(
            "capability must be create, read, update, patch, delete, list or sudo; a write is create where nothing is \
             yet, and update elsewhere"
                .to_owned(),
        )
        })?;
    let asked = locate(context, &typed, capability)?;
    let sudo = asked.access == Some(Access::Sudo);
    let question = Question { path: &asked.path, capability, sudo, parameters: None, wrap_ttl: None };
    let decision = subject.acl.decide(&question);
    Ok(Reply::data(shown(subject, &asked, capability, &decision)))
}

/// Finds the endpoint. What people write of a secret with versions (`secret/app`) is taken for what the API calls it
/// (`secret/data/app`): the answer would otherwise be about a path that no request ever has.
fn locate(context: &Context<'_>, typed: &str, capability: Capability) -> Result<Asked, CoreError> {
    let path = RequestPath::parse(typed.trim_matches('/'))?;
    if let Some((line, _)) = route(public::ROUTES, path.as_str()) {
        return Ok(Asked { path, access: Some(line.endpoint.access) });
    }
    let table = context.open.mounts.table();
    let Some((mount, below)) = table.resolve(&path) else { return Ok(Asked { path, access: None }) };
    let found = find(context.open, &mount, below).or_else(|| {
        let branch = if capability == Capability::List { "metadata" } else { "data" };
        mount
            .is_versioned_kv()
            .then(|| find(context.open, &mount, format!("{branch}/{below}").trim_end_matches('/')))?
    });
    let Some((found, mut captures)) = found else { return Ok(Asked { path, access: None }) };
    found.respell(context.open, &mut captures);
    let endpoint = found.endpoint();
    let below = endpoint.path(&captures);
    let whole = if below.is_empty() { mount.path.to_string() } else { format!("{}/{below}", mount.path) };
    let served = operation(capability).is_none_or(|operation| endpoint.operations.contains(&operation));
    Ok(Asked { path: RequestPath::parse(&whole)?, access: served.then_some(endpoint.access) })
}

fn operation(capability: Capability) -> Option<Operation> {
    match capability {
        Capability::Read => Some(Operation::Read),
        Capability::Create | Capability::Update => Some(Operation::Write),
        Capability::Patch => Some(Operation::Patch),
        Capability::Delete => Some(Operation::Delete),
        Capability::List => Some(Operation::List),
        Capability::Sudo | Capability::Deny => None,
    }
}

fn shown(subject: &Subject, asked: &Asked, capability: Capability, decision: &Decision) -> Value {
    let anybody = matches!(asked.access, Some(Access::Open | Access::Optional | Access::Lenient));
    let granted = anybody || (decision.granted && subject.barred.is_none());
    let reason = match (anybody, subject.barred) {
        (true, _) => "this path answers anybody, whatever the policies say".to_owned(),
        (_, Some(barred)) => barred.to_owned(),
        _ => explained(asked, decision),
    };
    let mut notes = Vec::new();
    if asked.access.is_none() {
        notes.push(format!(
            "nothing is served at {} for {capability}, so a request there fails all the same",
            asked.path
        ));
    }
    if subject.kind == "entity" {
        notes.push("an entity's own policies count here; a login may give its token more".to_owned());
    }
    if !subject.absent.is_empty() {
        notes.push(format!("without effect, because there is no such policy: {}", subject.absent.join(", ")));
    }
    json!({
        "granted": granted,
        "capability": capability.word(),
        "path": asked.path.as_str(),
        "needs_sudo": asked.access == Some(Access::Sudo),
        "reason": reason,
        "policy": decision.policy.as_ref().map(ToString::to_string),
        "rule": decision.rule,
        "line": decision.line,
        "subject": subject.kind,
        "policies": subject.policies.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "notes": notes,
    })
}

fn explained(asked: &Asked, decision: &Decision) -> String {
    let text = decision.explain();
    match decision.reason {
        Reason::Lacks(Capability::Sudo) if asked.access == Some(Access::Sudo) => {
            format!("{text}. The path is reserved for operators, so `sudo` is needed beside the capability")
        }
        Reason::Parameter(_) => format!("{text} (asked without parameters)"),
        _ => text,
    }
}
