use super::login::{password, with};
use super::option;
use async_trait::async_trait;
use strongroom_core::CoreError;
use strongroom_core::rotation::{Order, Rotator};
use strongroom_core::secret::SecretValue;

/// A random value that only readers of the secret know: one field of an object, or the whole text.
pub(super) struct Random;

#[async_trait]
impl Rotator for Random {
    fn lane(&self, order: &Order<'_>) -> Result<String, CoreError> {
        option::check(order.options, &["password_policy", "field"])?;
        let field = option::text(order.options, "field")?;
        match (order.current, field) {
            (SecretValue::Object(_), None) => Err(CoreError::Missing("field: the one of the secret that is to change")),
            _ => Ok("random".to_owned()),
        }
    }

    async fn create(&self, order: &Order<'_>) -> Result<SecretValue, CoreError> {
        let new = password(order).await?;
        match option::text(order.options, "field")? {
            Some(field) => with(order.current, &[(&field, new.expose())]),
            None => Ok(SecretValue::Text(new)),
        }
    }

    async fn set(&self, _order: &Order<'_>, _new: &SecretValue) -> Result<(), CoreError> {
        Ok(())
    }

    async fn test(&self, _order: &Order<'_>, _new: &SecretValue) -> Result<(), CoreError> {
        Ok(())
    }

    async fn undo(&self, _order: &Order<'_>, _new: &SecretValue) -> Result<(), CoreError> {
        Ok(())
    }

    /// Who compares with the value in force does not take the former one.
    async fn spoil(&self, _order: &Order<'_>, _former: &SecretValue) -> Result<(), CoreError> {
        Ok(())
    }
}
