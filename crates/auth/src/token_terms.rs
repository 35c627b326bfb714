//! The `token_*` fields that the roles of every auth method have, in Vault's words: read, checked, shown, and turned
//! into the terms of a token.

use crate::network::{networks, shown_short};
use crate::sent::{policies, seconds};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use strongroom_core::{Cidr, CoreError, Fields, Terms};
use strongroom_model::{PolicyName, TokenType, Ttl};

/// What tokens of a role are like.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct TokenTerms {
    pub(crate) ttl: Ttl,
    pub(crate) max_ttl: Ttl,
    pub(crate) explicit_max_ttl: Ttl,
    pub(crate) period: Ttl,
    pub(crate) num_uses: u64,
    pub(crate) policies: Vec<PolicyName>,
    pub(crate) no_default_policy: bool,
    pub(crate) bound_cidrs: Vec<Cidr>,
    /// None: as the mount says.
    pub(crate) token_type: Option<TokenType>,
}

impl TokenTerms {
    /// The fields, in the order in which a role shows them.
    pub(crate) const NAMES: [&'static str; 9] = [
        "token_bound_cidrs",
        "token_explicit_max_ttl",
        "token_max_ttl",
        "token_no_default_policy",
        "token_num_uses",
        "token_period",
        "token_policies",
        "token_ttl",
        "token_type",
    ];

    /// Takes over what was sent; what was not sent stays. Gives warnings; see [`TokenTerms::check`] for the rest.
    pub(crate) fn update(&mut self, sent: &Fields) -> Result<Vec<String>, CoreError> {
        replace(&mut self.ttl, seconds(sent, "token_ttl")?);
        replace(&mut self.max_ttl, seconds(sent, "token_max_ttl")?);
        replace(&mut self.explicit_max_ttl, seconds(sent, "token_explicit_max_ttl")?);
        replace(&mut self.period, seconds(sent, "token_period")?);
        replace(&mut self.num_uses, sent.count("token_num_uses")?);
        replace(&mut self.policies, policies(sent, "token_policies")?);
        replace(&mut self.no_default_policy, sent.flag("token_no_default_policy")?);
        replace(&mut self.bound_cidrs, networks(sent, "token_bound_cidrs")?);
        match sent.text("token_type")? {
            Some(word) => self.set_type(&word),
            None => Ok(Vec::new()),
        }
    }

    fn set_type(&mut self, word: &str) -> Result<Vec<String>, CoreError> {
        self.token_type = match word {
            "" | "default" => None,
            "service" | "default-service" => Some(TokenType::Service),
            "batch" | "default-batch" => Some(TokenType::Batch),
            _ => {
                let problem = "must be `service`, `batch` or `default`".to_owned();
                return Err(CoreError::Field { field: "token_type".to_owned(), problem });
            }
        };
        match word.strip_prefix("default-") {
            Some(meant) => Ok(vec![format!("{word} has no useful meaning; adjusting to {meant}")]),
            None => Ok(Vec::new()),
        }
    }

    /// Refuses what contradicts itself, with Vault's reasons.
    pub(crate) fn check(&self) -> Result<(), CoreError> {
        let refuse = |reason: &str| Err(CoreError::Invalid(reason.to_owned()));
        if !self.max_ttl.is_zero() && self.ttl > self.max_ttl {
            return refuse("'token_ttl' cannot be greater than 'token_max_ttl'; shorten the one or lengthen the other");
        }
        if self.token_type != Some(TokenType::Batch) {
            return Ok(());
        }
        if !self.period.is_zero() {
            return refuse("'token_type' cannot be 'batch' when set to generate periodic tokens; unset 'token_period'");
        }
        if self.num_uses != 0 {
            return refuse(
                "'token_type' cannot be 'batch' when set to generate tokens with limited use count; unset 'token_num_uses'",
            );
        }
        Ok(())
    }

    /// The value of one of [`TokenTerms::NAMES`] as Vault shows it.
    pub(crate) fn show(&self, name: &str) -> Option<Value> {
        Some(match name {
            "token_bound_cidrs" => json!(self.bound_cidrs.iter().map(shown_short).collect::<Vec<_>>()),
            "token_explicit_max_ttl" => json!(self.explicit_max_ttl.secs()),
            "token_max_ttl" => json!(self.max_ttl.secs()),
            "token_no_default_policy" => json!(self.no_default_policy),
            "token_num_uses" => json!(self.num_uses),
            "token_period" => json!(self.period.secs()),
            "token_policies" => json!(self.policies),
            "token_ttl" => json!(self.ttl.secs()),
            "token_type" => json!(match self.token_type {
                None => "default",
                Some(TokenType::Service) => "service",
                Some(TokenType::Batch) => "batch",
            }),
            _ => return None,
        })
    }

    /// The terms on which the core makes or renews a token.
    pub(crate) fn terms(&self) -> Terms {
        Terms {
            ttl: self.ttl,
            max_ttl: self.max_ttl,
            explicit_max_ttl: self.explicit_max_ttl,
            period: self.period,
            num_uses: self.num_uses,
            no_default_policy: self.no_default_policy,
            bound_cidrs: self.bound_cidrs.clone(),
            token_type: self.token_type,
        }
    }
}

/// Puts a value in the place of another if there is one.
pub(crate) fn replace<T>(place: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *place = value;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn updated(sent: Value) -> Result<(TokenTerms, Vec<String>), CoreError> {
        let Value::Object(map) = sent else { panic!("an object") };
        let mut terms = TokenTerms::default();
        let warnings = terms.update(&Fields::new(map))?;
        terms.check()?;
        Ok((terms, warnings))
    }

    #[test]
    fn shows_what_was_sent_with_numbers_as_numbers() {
        let (terms, warnings) = updated(json!({
            "token_ttl": "20m", "token_max_ttl": 3600, "token_explicit_max_ttl": "7200", "token_period": "1h",
            "token_num_uses": "5", "token_policies": "b,a", "token_no_default_policy": "true",
            "token_bound_cidrs": ["127.0.0.1/32", "10.0.0.0/8"], "token_type": "service",
        }))
        .unwrap();
        assert!(warnings.is_empty());
        let shown: Vec<_> = TokenTerms::NAMES.iter().map(|name| terms.show(name).unwrap()).collect();
        let expected = [
            json!(["127.0.0.1", "10.0.0.0/8"]),
            json!(7200),
            json!(3600),
            json!(true),
            json!(5),
            json!(3600),
            json!(["b", "a"]),
            json!(1200),
            json!("service"),
        ];
        assert_eq!(shown, expected);
    }

    #[test]
    fn contradictions_are_refused_with_the_fields_named() {
        let refused = |sent| updated(sent).unwrap_err().to_string();
        assert!(refused(json!({"token_ttl": 61, "token_max_ttl": 60})).contains("'token_max_ttl'"));
        assert!(refused(json!({"token_type": "batch", "token_period": 60})).contains("'token_period'"));
        assert!(refused(json!({"token_type": "batch", "token_num_uses": 1})).contains("'token_num_uses'"));
        assert!(refused(json!({"token_type": "bad_token"})).contains("token_type"));
        assert!(refused(json!({"token_num_uses": -1})).contains("negative"));
        assert!(refused(json!({"token_ttl": -1})).contains("negative"));
        assert!(updated(json!({"token_ttl": 60, "token_max_ttl": 60, "token_type": "batch"})).is_ok());
    }

    #[test]
    fn the_words_of_mounts_are_adjusted_with_a_warning() {
        let (terms, warnings) = updated(json!({"token_type": "default-batch"})).unwrap();
        assert_eq!(terms.show("token_type"), Some(json!("batch")));
        assert_eq!(warnings, ["default-batch has no useful meaning; adjusting to batch"]);
    }
}
