use super::entry::{Token, TokenKey};
use super::store::{Pointer, Tokens, accessor_shelf, token_at};
use crate::{CoreError, Grant};
use strongroom_model::{MountId, RequestPath};

/// Tokens looked at in one go.
const PAGE: usize = 512;

impl Tokens {
    /// Revokes every token whose login was at or below this path, with all that descends from them; says how many were
    /// found. `auth/userpass` takes all of a mount, `auth/userpass/login/ann` those of one user. Tokens that never
    /// expire have no lease and stay, as in Vault.
    ///
    /// Looks at every token once, since none is filed under its mount; what a crash interrupts is asked for again.
    pub async fn revoke_prefix(&self, _grant: &Grant, prefix: &RequestPath) -> Result<usize, CoreError> {
        let mount =
            self.mounts.table().resolve(prefix).filter(|(_, below)| below.is_empty()).map(|(mount, _)| mount.id);
        let (mut found, mut last) = (0, None);
        loop {
            let page = self.records.scan::<Pointer>(&accessor_shelf(), last.as_ref(), PAGE).await?;
            let complete = page.len() < PAGE;
            last = page.last().map(|pointer| accessor_shelf().named(&pointer.name));
            for pointer in page {
                found += usize::from(self.revoke_below(pointer.value.key, prefix, mount).await?);
            }
            if complete {
                return Ok(found);
            }
        }
    }

    async fn revoke_below(
        &self,
        key: TokenKey,
        prefix: &RequestPath,
        mount: Option<MountId>,
    ) -> Result<bool, CoreError> {
        let Some(token) = self.records.get::<Token>(&token_at(key)).await? else { return Ok(false) };
        let token = &token.value;
        let rest = token.path.strip_prefix(prefix.as_str());
        let is_below = rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
        if token.expires.is_none() || !(is_below || (mount.is_some() && token.mount == mount)) {
            return Ok(false);
        }
        self.revoke_tree(key).await?;
        Ok(true)
    }
}
