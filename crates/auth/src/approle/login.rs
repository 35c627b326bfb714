use super::role::{Instance, Role};
use super::secret_id::SecretId;
use super::secret_ids::SecretKey;
use super::{AppRole, TRIES};
use crate::network::{admits, all_within};
use crate::sent;
use serde_json::{Map, Value, json};
use std::net::IpAddr;
use std::sync::Arc;
use strongroom_core::{Call, CoreError, Login, Stored, Terms};
use strongroom_model::RoleName;

/// What a stranger is told, whichever of the two was wrong.
const WRONG: CoreError = CoreError::BadCredentials("invalid role or secret ID");

/// What a machine shows to be let in.
struct Attempt<'a> {
    role_id: &'a str,
    key: Option<SecretKey>,
    source: Option<IpAddr>,
}

/// What an attempt has shown to be good: what it is let in with, and the secret id that this costs a use.
struct Proven<'a> {
    login: Login,
    used: Option<(&'a SecretKey, Arc<Stored<SecretId>>)>,
}

impl<'a> Proven<'a> {
    /// The secret id whose uses are counted.
    fn counted_by(&self) -> Option<&'a SecretKey> {
        self.used.as_ref().filter(|(_, used)| used.value.uses_left > 0).map(|(key, _)| *key)
    }
}

impl AppRole {
    /// Checks role id, secret id and source address, and counts the use. The use is durable before this returns.
    pub(super) async fn login(&self, call: &Call<'_>) -> Result<Login, CoreError> {
        let role_id = sent::id(call.fields, "role_id")?.ok_or(CoreError::Missing("role_id"))?;
        let key = sent::secret(call.fields, "secret_id")?.map(|secret| self.secret_ids.key(&secret));
        let attempt = Attempt { role_id: &role_id, key, source: call.grant.visit().source.address };
        let limits = self.context.lockout();
        if limits.tuned && !limits.disabled {
            return self.login_in_turn(&attempt).await;
        }
        let role = self.role_of(&attempt).await?;
        let proven = self.prove(&role.value, &attempt).await?;
        let Some(key) = proven.counted_by() else {
            return unless_crowded(self.admit(&attempt, &role, proven).await);
        };
        // Of a crowd with one secret id all but one would come too late each time: one after the other, none does.
        let _turn = self.turns.take(key.text()).await;
        unless_crowded(tried(TRIES, || self.try_login(&attempt)).await)
    }

    /// A login where failures are counted: one at a time under one role id, so that a crowd of guesses cannot all pass
    /// before the first has failed. A conflict is rare in a turn, so it is tried again only so often.
    async fn login_in_turn(&self, attempt: &Attempt<'_>) -> Result<Login, CoreError> {
        // Before and after waiting, as for user names. A role id that no role has takes no turn.
        self.role_of(attempt).await?;
        self.failures.check(attempt.role_id).await?;
        let _turn = self.turns.take(attempt.role_id).await;
        unless_crowded(tried(TRIES, || self.try_counted(attempt)).await)
    }

    async fn try_counted(&self, attempt: &Attempt<'_>) -> Result<Login, CoreError> {
        self.failures.check(attempt.role_id).await?;
        let role = self.role_of(attempt).await?;
        match self.prove(&role.value, attempt).await {
            Err(CoreError::BadCredentials(_)) => Err(self.count(attempt.role_id).await?),
            proven => self.admit(attempt, &role, proven?).await,
        }
    }

    async fn try_login(&self, attempt: &Attempt<'_>) -> Result<Login, CoreError> {
        let role = self.role_of(attempt).await?;
        let proven = self.prove(&role.value, attempt).await?;
        self.admit(attempt, &role, proven).await
    }

    async fn role_of(&self, attempt: &Attempt<'_>) -> Result<Arc<Stored<Role>>, CoreError> {
        match self.roles.by_role_id(attempt.role_id).await? {
            Some(role) => Ok(role),
            None => Err(self.refuse_unknown(attempt.key.as_ref()).await?),
        }
    }

    /// Whether a role lets in who shows this. A wrong secret id is the only thing refused as bad credentials.
    async fn prove<'a>(&self, role: &Role, attempt: &'a Attempt<'_>) -> Result<Proven<'a>, CoreError> {
        let used = if role.bind_secret_id { Some(self.bound_secret(role, attempt).await?) } else { None };
        let secret_id = used.as_ref().map(|(_, used)| &used.value);
        check_source(role, secret_id, attempt.source)?;
        Ok(Proven { login: admitted(role, secret_id)?, used })
    }

    async fn admit(&self, attempt: &Attempt<'_>, role: &Stored<Role>, proven: Proven<'_>) -> Result<Login, CoreError> {
        // Before the use is counted, which must not be done twice when this has to be tried again.
        if self.context.lockout().tuned {
            self.failures.forget(attempt.role_id).await?;
        }
        if let Some((key, used)) = &proven.used {
            self.secret_ids.spend(role, key, used).await?;
        }
        Ok(proven.login)
    }

    /// The refusal for a role id that is not there, after the same work as for one that is.
    async fn refuse_unknown(&self, key: Option<&SecretKey>) -> Result<CoreError, CoreError> {
        let Some(key) = key else { return Ok(CoreError::Missing("secret_id")) };
        self.secret_ids.find(&Instance::nobody(), key).await?;
        Ok(WRONG)
    }

    /// The refusal of a wrong secret id, counted.
    async fn count(&self, role_id: &str) -> Result<CoreError, CoreError> {
        if self.failures.count(role_id).await? {
            tracing::warn!(role_id, "too many failed logins by one role id: it is shut out for a while");
        }
        Ok(WRONG)
    }

    async fn bound_secret<'a>(
        &self,
        role: &Role,
        attempt: &'a Attempt<'_>,
    ) -> Result<(&'a SecretKey, Arc<Stored<SecretId>>), CoreError> {
        let key = attempt.key.as_ref().ok_or(CoreError::Missing("secret_id"))?;
        let found = self.secret_ids.find(&role.instance, key).await?.ok_or(WRONG)?;
        Ok((key, found))
    }

    /// The terms that hold now for a token of this mount.
    pub(super) async fn renewed_terms(&self, note: &Map<String, Value>) -> Result<Terms, CoreError> {
        let name = note.get("role_name").and_then(Value::as_str).unwrap_or_default();
        let role = self.roles.find(&RoleName::parse(name)?).await?;
        let gone = || CoreError::DeniedBecause(format!("role \"{name}\" does not exist during renewal; log in again"));
        Ok(role.ok_or_else(gone)?.value.token.terms())
    }
}

/// Tries again while somebody else is quicker, at most so often.
async fn tried<A>(times: usize, mut attempt: impl FnMut() -> A) -> Result<Login, CoreError>
where
    A: Future<Output = Result<Login, CoreError>>,
{
    for _ in 0..times {
        match attempt().await {
            Err(CoreError::Conflict) => continue,
            other => return other,
        }
    }
    Err(CoreError::Conflict)
}

/// Whoever logs in has read nothing that could be out of date: it is told to come again.
fn unless_crowded(login: Result<Login, CoreError>) -> Result<Login, CoreError> {
    login.map_err(|error| match error {
        CoreError::Conflict => {
            CoreError::Busy("too many logins or changes of this role at once; try again in a moment")
        }
        error => error,
    })
}

/// The caller has shown valid credentials, so it may know what is wrong with where it stands.
fn check_source(role: &Role, used: Option<&SecretId>, source: Option<IpAddr>) -> Result<(), CoreError> {
    let refuse = |of: &str| {
        let shown = source.map_or_else(|| "unix".to_owned(), |address| address.to_string());
        Err(CoreError::Invalid(format!("source address \"{shown}\" unauthorized by CIDR restrictions on the {of}")))
    };
    if !admits(&role.secret_id_bound_cidrs, source) {
        return refuse("role");
    }
    if used.is_some_and(|used| !admits(&used.cidr_list, source)) {
        return refuse("secret ID");
    }
    Ok(())
}

fn admitted(role: &Role, used: Option<&SecretId>) -> Result<Login, CoreError> {
    let mut terms = role.token.terms();
    if let Some(used) = used.filter(|used| !used.token_bound_cidrs.is_empty()) {
        // Checked when the secret id was made, but the role may have been narrowed since. Vault does not look again.
        if !all_within(&used.token_bound_cidrs, &role.token.bound_cidrs) {
            let reason = "the secret ID's token_bound_cidrs are no longer within the role's; generate a new secret ID";
            return Err(CoreError::Invalid(reason.to_owned()));
        }
        terms.bound_cidrs.clone_from(&used.token_bound_cidrs);
    }
    let mut metadata = used.map(|used| used.metadata.clone()).unwrap_or_default();
    // Last, so that who may generate secret ids cannot pretend to another role.
    metadata.insert("role_name".to_owned(), role.name.to_string());
    Ok(Login {
        alias: Some(role.role_id.clone()),
        called: Some(role.name.to_string()),
        display_name: "approle".to_owned(),
        policies: role.token.policies.clone(),
        metadata,
        terms,
        note: [("role_name".to_owned(), json!(role.name))].into_iter().collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::ready;
    use strongroom_model::{Kind, Kinded as _};

    /// Where no failures are counted, a login was tried for ever.
    #[tokio::test]
    async fn a_login_that_always_comes_too_late_is_told_to_come_again() {
        let mut attempts = 0;
        let lost = tried(TRIES, || {
            attempts += 1;
            ready(Err(CoreError::Conflict))
        });
        let refused = unless_crowded(lost.await).err().unwrap();
        assert_eq!((attempts, refused.kind()), (TRIES, Kind::TooMany));
        let other = tried(TRIES, || ready(Err(CoreError::Denied))).await;
        assert!(matches!(unless_crowded(other), Err(CoreError::Denied)));
    }
}
