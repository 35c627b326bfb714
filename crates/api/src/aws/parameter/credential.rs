//! Credentials do not belong into parameters that are no secrets: a value that looks like one is refused with an
//! explanation, or only recorded, as the operator wants it.

use crate::aws::operation::Call;
use crate::aws::refusal::Refusal;
use strongroom_core::secret::ParameterKind;
use strongroom_scan::{Finding, find_named};

/// What is done with a credential in a parameter that is no secret.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PlainCredentials {
    /// It is refused.
    #[default]
    Refuse,
    /// It is stored, and recorded in the trail and a metric.
    Record,
}

/// Looks at a value that is about to be stored under a name. Gives back what is to be recorded of it.
pub(super) fn check(call: &Call<'_>, name: &str, kind: ParameterKind, value: &str) -> Result<Vec<String>, Refusal> {
    let Some(finding) = look(name, kind, value) else { return Ok(Vec::new()) };
    let refuses = call.tour.settings.plain_credentials == PlainCredentials::Refuse;
    let labels = vec![("kind", finding.kind.word().to_owned()), ("refused", refuses.to_string())];
    call.tour.strongroom.metrics().counter("strongroom_parameter_credentials", labels).add(1);
    let what = format!("the value of {name} looks like a credential ({})", finding.what);
    if !refuses {
        return Ok(vec![format!("{what}, and was stored in a parameter that is no secret")]);
    }
    Err(Refusal::validation(format!(
        "{what}, and a parameter of this type holds configuration. Store it with Type SecureString; or keep it in Secrets \
         Manager, and read it as /aws/reference/secretsmanager/NAME. If it is none, an operator can have such values \
         recorded instead of refused (plain_credentials)."
    )))
}

fn look(name: &str, kind: ParameterKind, value: &str) -> Option<Finding> {
    match kind {
        ParameterKind::SecureString => None,
        ParameterKind::String => find_named(name, value.as_bytes()).into_iter().next(),
        // Each item, and the whole: a connection string may have commas of its own.
        ParameterKind::StringList => {
            let items = value.split(',').chain([value]);
            items.flat_map(|item| find_named(name, item.as_bytes())).next()
        }
    }
}
