use super::UserPass;
use super::password::{PasswordHash, sent_password};
use super::pool::Place;
use super::user::User;
use crate::network::admits;
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;
use strongroom_core::{Call, CoreError, Grant, Login, Stored, Terms};
use strongroom_model::{PolicyName, RoleName, SecretString};

/// What a stranger is told, whichever of the two was wrong.
const WRONG: CoreError = CoreError::BadCredentials("invalid username or password");

impl UserPass {
    /// Checks name, password and source address. A failure is counted durably before this returns.
    pub(super) async fn login(&self, name: &RoleName, call: &Call<'_>) -> Result<Login, CoreError> {
        let password = sent_password(call.fields)?.ok_or(CoreError::Missing("password"))?;
        // Before and after waiting: who is shut out takes no place in the queue, and who is shut out meanwhile no turn.
        self.failures.check(name.as_str()).await?;
        let place = self.pool.enter()?;
        let _turn = self.turns.take(name.as_str()).await;
        self.failures.check(name.as_str()).await?;
        let user = self.users.find(name).await?;
        let fits = fits(&place, user.as_deref(), password).await?;
        let Some(user) = user.filter(|_| fits) else {
            return Err(self.refuse(name, call.grant).await?);
        };
        // The caller has shown a valid password, so this is no guess to be counted; nor does it end counting.
        if !admits(&user.value.terms.token.bound_cidrs, call.grant.visit().source.address) {
            return Err(CoreError::Denied);
        }
        self.failures.forget(name.as_str()).await?;
        admitted(&user.value, call.grant)
    }

    async fn refuse(&self, name: &RoleName, grant: &Grant) -> Result<CoreError, CoreError> {
        if self.failures.count(name.as_str()).await? {
            // Without the name: some people type their password there.
            let request = grant.visit().request;
            tracing::warn!(%request, "too many failed logins under one name: it is shut out for a while");
        }
        Ok(WRONG)
    }

    /// The terms that hold now for a token of this mount.
    pub(super) async fn renewed_terms(&self, note: &Map<String, Value>) -> Result<Terms, CoreError> {
        let name = note.get("username").and_then(Value::as_str).unwrap_or_default();
        let refuse = |reason: &str| CoreError::DeniedBecause(format!("user \"{name}\" {reason}; log in again"));
        let user = self.users.find(&RoleName::parse(name)?).await?;
        let user = user.ok_or_else(|| refuse("does not exist during renewal"))?;
        let token = &user.value.terms.token;
        let before = note.get("policies").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
        if beside_default(before) != beside_default(token.policies.iter().map(PolicyName::as_str)) {
            return Err(refuse("has other policies than at login: policies have changed, not renewing"));
        }
        Ok(token.terms())
    }
}

/// Whether the password is the user's. As much work when there is no user.
async fn fits(place: &Place<'_>, user: Option<&Stored<User>>, password: SecretString) -> Result<bool, CoreError> {
    let hash = user.map_or_else(PasswordHash::nobody, |user| user.value.password.duplicate());
    let fits = place.compute(move || hash.fits(&password)).await?;
    Ok(fits && user.is_some())
}

fn admitted(user: &User, grant: &Grant) -> Result<Login, CoreError> {
    let token = &user.terms.token;
    let mount = grant.mount()?.path.as_str();
    let mount = mount.strip_prefix("auth/").unwrap_or(mount).replace('/', "-");
    Ok(Login {
        alias: Some(user.name.to_string()),
        called: None,
        display_name: format!("{mount}-{}", user.name),
        policies: token.policies.clone(),
        metadata: [("username".to_owned(), user.name.to_string())].into_iter().collect(),
        terms: token.terms(),
        note: [("username".to_owned(), json!(user.name)), ("policies".to_owned(), json!(token.policies))]
            .into_iter()
            .collect(),
    })
}

/// Policies as Vault compares them: order, repetition and `default` do not count.
fn beside_default<'a>(policies: impl Iterator<Item = &'a str>) -> BTreeSet<&'a str> {
    policies.filter(|policy| *policy != "default").collect()
}
