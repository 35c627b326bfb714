//! Hooks: a secret whose other side is a program of the operator's, told of each phase by a signed message.
//!
//! Values leave the house by this, so hooks are declared in the configuration file and nowhere else. The new value is made
//! here; the hook makes it good, proves it, and gives the former one up.

use super::login::{password, with};
use super::option;
use super::remote::Remote;
use async_trait::async_trait;
use serde_json::Value;
use std::sync::Arc;
use std::time::Duration;
use strongroom_core::rotation::{Method, Order, Retired, Rotator, hide};
use strongroom_core::secret::SecretValue;
use strongroom_core::webhook::Answer;
use strongroom_core::{CoreError, Fields};

/// How often a hook is asked again whether a former value can go.
const LOOK: Duration = Duration::from_secs(15);
/// The answer of a hook that cannot give a former value up yet.
const NOT_YET: u16 = 202;

/// What the operator says of a hook.
#[derive(Clone, Debug)]
pub struct HookSpec {
    /// Its name.
    pub name: String,
    /// Where it is.
    pub remote: Remote,
}

/// The method of a hook, as plans call it.
pub fn hook(spec: HookSpec) -> (String, Method) {
    let name = format!("hook:{}", spec.name);
    (name, Method::Own(Arc::new(Hook { called: format!("the rotation hook {}", spec.name), remote: spec.remote })))
}

struct Hook {
    called: String,
    remote: Remote,
}

impl Hook {
    async fn tell(&self, order: &Order<'_>, phase: &str, values: &[(&str, &SecretValue)]) -> Result<Answer, CoreError> {
        // Wiped when it is dropped.
        let mut message = Fields::default();
        for (name, text) in [("phase", phase), ("secret", order.secret), ("version", order.version)] {
            message.map_mut().insert(name.to_owned(), Value::String(text.to_owned()));
        }
        for (name, value) in values {
            message.map_mut().insert((*name).to_owned(), shown(value)?);
        }
        let body = serde_json::to_vec(message.map());
        let body = body.map_err(|_| CoreError::Internal("a message to a hook could not be written"))?;
        let sent = self.remote.send(&self.called, &format!("{}.{phase}", order.version), body).await;
        sent.map_err(|error| match error {
            CoreError::Outside { system, mut why } => {
                values.iter().for_each(|(_, value)| hide(&mut why, value));
                CoreError::Outside { system, why }
            }
            other => other,
        })
    }
}

#[async_trait]
impl Rotator for Hook {
    fn lane(&self, order: &Order<'_>) -> Result<String, CoreError> {
        option::check(order.options, &["password_policy", "field"])?;
        match (order.current, option::text(order.options, "field")?) {
            (SecretValue::Object(_), None) => Err(CoreError::Missing("field: the one of the secret that is to change")),
            (SecretValue::Bytes(_), _) => Err(no_bytes()),
            _ => Ok(self.called.clone()),
        }
    }

    async fn create(&self, order: &Order<'_>) -> Result<SecretValue, CoreError> {
        let new = password(order).await?;
        match option::text(order.options, "field")? {
            Some(field) => with(order.current, &[(&field, new.expose())]),
            None => Ok(SecretValue::Text(new)),
        }
    }

    async fn set(&self, order: &Order<'_>, new: &SecretValue) -> Result<(), CoreError> {
        self.tell(order, "set", &[("current", order.current), ("new", new)]).await.map(|_| ())
    }

    async fn test(&self, order: &Order<'_>, new: &SecretValue) -> Result<(), CoreError> {
        self.tell(order, "test", &[("new", new)]).await.map(|_| ())
    }

    async fn undo(&self, order: &Order<'_>, new: &SecretValue) -> Result<(), CoreError> {
        self.tell(order, "undo", &[("current", order.current), ("new", new)]).await.map(|_| ())
    }

    async fn retire(&self, order: &Order<'_>, former: &SecretValue, _: Duration) -> Result<Retired, CoreError> {
        let answer = self.tell(order, "retire", &[("current", order.current), ("former", former)]).await?;
        Ok(match answer.status {
            NOT_YET => Retired::InUse(format!("{} says that the former value is still in use", self.called), LOOK),
            _ => Retired::Done,
        })
    }

    async fn spoil(&self, order: &Order<'_>, former: &SecretValue) -> Result<(), CoreError> {
        self.tell(order, "spoil", &[("current", order.current), ("former", former)]).await.map(|_| ())
    }
}

/// A value as a hook reads it: an object, or a text.
fn shown(value: &SecretValue) -> Result<Value, CoreError> {
    match value {
        SecretValue::Object(fields) => Ok(Value::Object(fields.map().clone())),
        SecretValue::Text(text) => Ok(Value::String(text.expose().to_owned())),
        SecretValue::Bytes(_) => Err(no_bytes()),
    }
}

fn no_bytes() -> CoreError {
    CoreError::Invalid("a hook takes objects and texts, and this secret is bytes".to_owned())
}
