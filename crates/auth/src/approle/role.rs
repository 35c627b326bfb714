use crate::network::networks;
use crate::sent;
use crate::token_terms::{TokenTerms, replace};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use strongroom_core::{Cidr, CoreError, Fields};
use strongroom_model::{Entropy, RequestId, RoleName, Ttl};

/// One life of a role: made when the role is, never used again. What belongs to a role is kept under this, so that it
/// does not pass to a later role of the same name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Instance(String);

impl Instance {
    /// The instance that no role ever is: where the secret ids of unknown roles are looked for.
    pub(super) fn nobody() -> Self {
        Self("nobody".to_owned())
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

/// A fresh random UUID: the form that Vault's role ids, secret ids and accessors have.
pub(super) fn uuid(entropy: &dyn Entropy) -> String {
    RequestId::random(entropy).to_string()
}

/// A role as it is kept.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Role {
    pub(super) name: RoleName,
    pub(super) instance: Instance,
    /// By what machines name the role when they log in. Not a secret.
    pub(super) role_id: String,
    pub(super) bind_secret_id: bool,
    /// Accepted and given back; there is one site only.
    local_secret_ids: bool,
    pub(super) secret_id_bound_cidrs: Vec<Cidr>,
    pub(super) secret_id_num_uses: u64,
    pub(super) secret_id_ttl: Ttl,
    pub(super) token: TokenTerms,
    /// The policies were set under the older name, which Vault then shows too.
    older_policies: bool,
    /// The same for the period.
    older_period: bool,
}

impl Role {
    /// The fields of a role beside those of its tokens. `policies` and `period` are shown only when they were used.
    const NAMES: [&'static str; 7] = [
        "bind_secret_id",
        "local_secret_ids",
        "secret_id_bound_cidrs",
        "secret_id_num_uses",
        "secret_id_ttl",
        "policies",
        "period",
    ];

    /// A new role from what was sent, with a role id of its own if none was.
    pub(super) fn create(
        name: RoleName,
        sent: &Fields,
        entropy: &dyn Entropy,
    ) -> Result<(Self, Vec<String>), CoreError> {
        let mut role = Self {
            name,
            instance: Instance(uuid(entropy)),
            role_id: uuid(entropy),
            bind_secret_id: true,
            local_secret_ids: sent.flag("local_secret_ids")?.unwrap_or(false),
            secret_id_bound_cidrs: Vec::new(),
            secret_id_num_uses: 0,
            secret_id_ttl: Ttl::ZERO,
            token: TokenTerms::default(),
            older_policies: false,
            older_period: false,
        };
        let warnings = role.update(sent)?;
        Ok((role, warnings))
    }

    /// Takes over what was sent; what was not sent stays. Refuses what contradicts itself.
    pub(super) fn update(&mut self, sent: &Fields) -> Result<Vec<String>, CoreError> {
        if sent.flag("local_secret_ids")?.is_some_and(|local| local != self.local_secret_ids) {
            return Err(CoreError::Invalid("local_secret_ids can only be modified during role creation".to_owned()));
        }
        if sent.has("role_id") {
            self.role_id = sent::id(sent, "role_id")?.ok_or(CoreError::Missing("role_id"))?;
        }
        replace(&mut self.bind_secret_id, sent.flag("bind_secret_id")?);
        let bound = networks(sent, "secret_id_bound_cidrs")?;
        replace(&mut self.secret_id_bound_cidrs, networks(sent, "bound_cidr_list")?);
        replace(&mut self.secret_id_bound_cidrs, bound);
        replace(&mut self.secret_id_num_uses, sent.count("secret_id_num_uses")?);
        replace(&mut self.secret_id_ttl, sent::seconds(sent, "secret_id_ttl")?);
        let warnings = self.token.update(sent)?;
        self.update_older(sent)?;
        self.check()?;
        Ok(warnings)
    }

    /// The older names of two fields. When both are sent, the newer one counts.
    fn update_older(&mut self, sent: &Fields) -> Result<(), CoreError> {
        let (policies, period) = (sent::policies(sent, "policies")?, sent::seconds(sent, "period")?);
        if sent.has("token_policies") || policies.is_some() {
            self.older_policies = policies.is_some();
        }
        if sent.has("token_period") || period.is_some() {
            self.older_period = period.is_some();
        }
        replace(&mut self.token.policies, policies.filter(|_| !sent.has("token_policies")));
        replace(&mut self.token.period, period.filter(|_| !sent.has("token_period")));
        Ok(())
    }

    /// Refuses what contradicts itself. Called before a role is stored, by whatever way it was changed.
    pub(super) fn check(&self) -> Result<(), CoreError> {
        self.token.check()?;
        if self.bind_secret_id || !self.secret_id_bound_cidrs.is_empty() || !self.token.bound_cidrs.is_empty() {
            return Ok(());
        }
        let reason = "at least one constraint should be enabled on the role: leave `bind_secret_id` true, or set \
                      `secret_id_bound_cidrs` or `token_bound_cidrs`";
        Err(CoreError::Invalid(reason.to_owned()))
    }

    /// Forgets the policies under either name.
    pub(super) fn clear_policies(&mut self) {
        self.token.policies.clear();
        self.older_policies = false;
    }

    /// Forgets the period under either name.
    pub(super) fn clear_period(&mut self) {
        self.token.period = Ttl::ZERO;
        self.older_period = false;
    }

    /// The value of one field as Vault shows it; `None` when the role does not show it.
    pub(super) fn show(&self, name: &str) -> Option<Value> {
        Some(match name {
            "bind_secret_id" => json!(self.bind_secret_id),
            "local_secret_ids" => json!(self.local_secret_ids),
            "secret_id_bound_cidrs" | "bound_cidr_list" if self.secret_id_bound_cidrs.is_empty() => Value::Null,
            "secret_id_bound_cidrs" | "bound_cidr_list" => json!(self.secret_id_bound_cidrs),
            "secret_id_num_uses" => json!(self.secret_id_num_uses),
            "secret_id_ttl" => json!(self.secret_id_ttl.secs()),
            "policies" if self.older_policies && !self.token.policies.is_empty() => json!(self.token.policies),
            "period" if self.older_period && !self.token.period.is_zero() => json!(self.token.period.secs()),
            _ => return self.token.show(name),
        })
    }

    /// Every field, as reading a role answers. The role id is not among them: it has a path, and so policies, of its own.
    pub(super) fn shown(&self) -> Value {
        let names = Self::NAMES.iter().chain(&TokenTerms::NAMES);
        let fields = names.filter_map(|name| Some(((*name).to_owned(), self.show(name)?)));
        Value::Object(fields.collect::<Map<_, _>>())
    }
}
