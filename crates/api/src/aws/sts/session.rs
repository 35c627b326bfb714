//! What both ways of assuming a role have in common: the parameters that say which session is wanted, and the answer.

use crate::aws::input::Input;
use crate::aws::operation::{Asked, Call, Place};
use crate::aws::refusal::Refusal;
use serde_json::{Value, json};
use strongroom_core::access_key::{AssumableRole, MadeKey, Narrowing};
use strongroom_core::{Auth, CoreError, Operation::Write, Reply};
use strongroom_model::{PolicyName, RoleName, TokenType, Ttl};

/// The session that is wanted.
pub(super) struct Wanted {
    pub(super) name: String,
    pub(super) ttl: Ttl,
    pub(super) narrowing: Option<Narrowing>,
    /// How much of what may be said of a session's policies was said, in percent.
    packed: Option<usize>,
}

const SHORTEST: u64 = 900;
const LONGEST: u64 = 43_200;
const MOST_POLICIES: usize = 10;
const LONGEST_POLICY: usize = 2_048;

pub(super) fn role_path(input: &Input<'_>) -> Result<Asked, Refusal> {
    let role = role_name(input)?;
    Ok(Asked { operation: Write, place: Place::Path(format!("sys/aws/roles/{role}/assume")) })
}

pub(super) fn role_name(input: &Input<'_>) -> Result<RoleName, Refusal> {
    let arn = input.need("RoleArn")?;
    let name = arn.strip_prefix(&format!("arn:aws:iam::{}:role/", input.names.account));
    let name = name.and_then(|name| RoleName::parse(name).ok());
    name.ok_or_else(|| invalid("RoleArn is invalid: it is written arn:aws:iam::ACCOUNT:role/NAME"))
}

impl Wanted {
    /// Reads the parameters. `longest` is how long a session of this caller may last at most.
    pub(super) async fn read(call: &Call<'_>, role: &AssumableRole, longest: u64) -> Result<Self, Refusal> {
        let input = &call.input;
        let name = session_name(input)?;
        let ttl = duration(input, role, longest)?;
        let document = input.text("Policy")?;
        if document.is_some_and(|text| text.is_empty() || text.chars().count() > LONGEST_POLICY) {
            return Err(invalid("Policy must have length between 1 and 2048"));
        }
        let policies = policies(call).await?;
        let packed = document.map(|text| (text.len() * 100).div_ceil(LONGEST_POLICY).min(100));
        let packed = packed.or((!policies.is_empty()).then_some(1));
        let narrowing = Narrowing::new(document.map(str::to_owned), policies);
        let narrowing = narrowing.map_err(|error| {
            Refusal::said("MalformedPolicyDocument", format!("Policy is no session policy: {error}"))
        })?;
        Ok(Self { name, ttl, narrowing, packed })
    }

    /// The answer's members that are the same for both, and what the trail is to say of the session.
    pub(super) fn answer(&self, call: &Call<'_>, role: &AssumableRole, made: MadeKey) -> Result<Reply, Refusal> {
        let (name, account) = (&self.name, &call.tour.settings.account);
        let token = made.session_token.ok_or(CoreError::Internal("a session without a token"))?;
        let expiration = made.key.expires.map(|expires| expires.to_string()).unwrap_or_default();
        let mut data = json!({
            "Credentials": {
                "AccessKeyId": made.key.id, "SecretAccessKey": made.secret.expose(),
                "SessionToken": token.expose(), "Expiration": expiration,
            },
            "AssumedRoleUser": {
                "AssumedRoleId": format!("{}:{name}", made.key.id),
                "Arn": format!("arn:aws:sts::{account}:assumed-role/{}/{name}", role.name),
            },
        });
        if let (Some(packed), Some(map)) = (self.packed, data.as_object_mut()) {
            map.insert("PackedPolicySize".to_owned(), Value::from(packed));
        }
        let session = made.key.session.as_ref();
        let subject =
            session.and_then(|session| session.subject.clone()).map(|subject| ("subject".to_owned(), subject));
        let named = [("role".to_owned(), role.name.to_string()), ("session_name".to_owned(), name.clone())];
        let told = Auth {
            client_token: token,
            made: false,
            accessor: made.key.id.to_string(),
            display_name: format!("access-key-{}", made.key.name),
            token_policies: made.key.policies.clone(),
            identity_policies: Vec::new(),
            metadata: named.into_iter().chain(subject).collect(),
            ttl: made.key.expires.map_or(Ttl::default(), |expires| Ttl(expires.since(made.key.created))),
            renewable: false,
            entity: None,
            token_type: TokenType::Batch,
            orphan: true,
            num_uses: 0,
        };
        Ok(Reply { unseen: Some(told), ..Reply::data(data) })
    }
}

fn session_name(input: &Input<'_>) -> Result<String, Refusal> {
    let name = input.need("RoleSessionName")?;
    let fits = |c: char| c.is_ascii_alphanumeric() || "_+=,.@-".contains(c);
    if (2..=64).contains(&name.len()) && name.chars().all(fits) {
        return Ok(name.to_owned());
    }
    Err(invalid("RoleSessionName has 2 to 64 letters, digits and `_+=,.@-`"))
}

fn duration(input: &Input<'_>, role: &AssumableRole, longest: u64) -> Result<Ttl, Refusal> {
    let Some(text) = input.text("DurationSeconds")? else {
        return Ok(Ttl::from_secs(role.max_session.secs().min(longest).min(3_600)));
    };
    let secs: u64 = text.parse().map_err(|_| Refusal::said("MalformedInput", "DurationSeconds must be a number"))?;
    if secs < SHORTEST {
        return Err(invalid("DurationSeconds must have value greater than or equal to 900"));
    }
    if secs > LONGEST {
        return Err(invalid("DurationSeconds must have value less than or equal to 43200"));
    }
    if secs > role.max_session.secs() {
        return Err(invalid("The requested DurationSeconds exceeds the MaxSessionDuration set for this role."));
    }
    if secs > longest {
        return Err(invalid(
            "The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining",
        ));
    }
    Ok(Ttl::from_secs(secs))
}

/// The policies of ours that `PolicyArns.member.N.arn` names.
async fn policies(call: &Call<'_>) -> Result<Vec<PolicyName>, Refusal> {
    let input = &call.input;
    let is_named = |name: &&String| name.starts_with("PolicyArns.");
    let (sent, mut policies) = (input.fields.map().keys().filter(is_named).count(), Vec::new());
    if sent > MOST_POLICIES {
        return Err(invalid("PolicyArns must have length less than or equal to 10"));
    }
    let prefix = format!("arn:aws:iam::{}:policy/", input.names.account);
    for number in 1..=sent {
        let arn = input.need(&format!("PolicyArns.member.{number}.arn"))?;
        let name = arn.strip_prefix(&prefix).and_then(|name| PolicyName::parse(name).ok());
        let name = name.filter(|name| !name.is_root());
        let name =
            name.ok_or_else(|| invalid(format!("a PolicyArn is written {prefix}NAME, with a policy of the server")))?;
        if call.open.policies.source(&name).await?.is_none() {
            return Err(Refusal::said(
                "MalformedPolicyDocument",
                "a policy among PolicyArns does not exist or is not attachable.",
            ));
        }
        policies.push(name);
    }
    Ok(policies)
}

pub(super) fn invalid(text: impl Into<String>) -> Refusal {
    Refusal::said("ValidationError", text)
}

/// A session of the wrong length, in the words of the core.
pub(super) fn unmade(error: CoreError) -> Refusal {
    match error {
        CoreError::Invalid(text) => invalid(text),
        other => other.into(),
    }
}
