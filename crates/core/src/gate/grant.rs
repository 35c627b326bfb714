//! The proof that a request was let through.

use super::object::policy_path;
use super::{Object, SecretAct};
use crate::lease::Made;
use crate::mount::Mount;
use crate::secret::Found;
use crate::token::{Bearer, TokenKey};
use crate::{CoreError, Visit};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;
use strongroom_audit::{DecisionNote, Missing, Spelt};
use strongroom_model::policy::Acl;
use strongroom_model::{Capability, FolderPath, Principal, SecretPath, SecretString};

/// Proof that the gate let a request through: who, where, what. Cannot be made elsewhere, cannot be cloned; closing it
/// with [`Gate::conclude`] writes the outcome.
pub struct Grant {
    pub(super) visit: Visit,
    pub(super) bearer: Option<Bearer>,
    pub(super) principal: Option<Spelt<Principal>>,
    pub(super) mount: Option<Arc<Mount>>,
    pub(super) object: Object,
    pub(super) operation: &'static str,
    /// What the dialect calls the act, where the trail should say it in that dialect's words.
    pub(super) action: Option<&'static str>,
    /// What the gate decided; in the outcome's entry once that is made.
    pub(super) decision: Option<DecisionNote>,
    pub(super) token_hash: Option<String>,
    pub(super) credential: Option<SecretString>,
    pub(super) acl: Option<Arc<Acl>>,
    pub(super) intent: bool,
    /// How long writing the intent took.
    pub(super) intent_took: Duration,
    pub(super) wrapping: Option<TokenKey>,
    /// The lease that the request made.
    pub(super) made: OnceLock<Made>,
    /// The lease that the request is to end, and its credential's name.
    pub(super) ended: OnceLock<(String, String)>,
    /// The login of an outside system that the request is about, where no lease says so.
    pub(super) subject: OnceLock<String>,
    /// What was not there, if a value was asked for and not found.
    pub(super) missing: OnceLock<Missing>,
    /// The secret as the gate saw it when it looked for a policy of the secret's own.
    pub(super) found: Mutex<Option<Found>>,
    /// The gate saw that there is no such secret yet.
    pub(super) is_new: bool,
}

impl Grant {
    /// The request.
    pub fn visit(&self) -> &Visit {
        &self.visit
    }

    /// The token it came with; none at endpoints that are open to anybody.
    pub fn bearer(&self) -> Option<&Bearer> {
        self.bearer.as_ref()
    }

    /// The token it came with, or an error at endpoints that need one.
    pub fn require_bearer(&self) -> Result<&Bearer, CoreError> {
        self.bearer.as_ref().ok_or(CoreError::Denied)
    }

    /// How long it took to record that the request is about to be done; `None` for requests that change nothing.
    pub fn intent_took(&self) -> Option<Duration> {
        self.intent.then_some(self.intent_took)
    }

    /// Who asks.
    pub fn principal(&self) -> Option<&Principal> {
        self.principal.as_deref()
    }

    /// The token itself, for endpoints that give it back to its bearer.
    pub fn credential(&self) -> Option<&SecretString> {
        self.credential.as_ref()
    }

    /// Whether the caller's policies give `sudo` on the path, for fields that only operators may set.
    pub fn has_sudo(&self) -> bool {
        let on_path = |acl: &Acl| policy_path(self).is_ok_and(|path| acl.has_sudo(&path));
        self.acl().is_some_and(|acl| acl.is_root() || on_path(acl))
    }

    /// Whether the caller's policies give `update` on the path, for who was let in to make what somebody else made meanwhile.
    pub(crate) fn may_update(&self) -> bool {
        let on_path =
            |acl: &Acl| policy_path(self).is_ok_and(|path| acl.capabilities(&path).contains(Capability::Update));
        self.acl().is_some_and(|acl| acl.is_root() || on_path(acl))
    }

    /// What the caller's policies allow, for answers that show only that. None without a token.
    pub fn acl(&self) -> Option<&Acl> {
        self.acl.as_deref()
    }

    /// As [`Grant::acl`], to be kept beyond the request's own work.
    pub(crate) fn shared_acl(&self) -> Option<Arc<Acl>> {
        self.acl.clone()
    }

    /// The mount, or an error where there must be one.
    pub fn mount(&self) -> Result<&Arc<Mount>, CoreError> {
        self.mount.as_ref().ok_or(CoreError::Internal("a grant without a mount"))
    }

    /// Whether policy took a write as the creation of something new.
    pub fn creates(&self) -> bool {
        self.operation == "create"
    }

    /// Notes the lease that the request made: it goes if the answer cannot leave.
    pub(crate) fn note_made(&self, made: Made) {
        // A request makes at most one.
        let _ = self.made.set(made);
    }

    /// Notes the lease that the request is to end, for the trail.
    pub(crate) fn note_ended(&self, id: String, subject: String) {
        let _ = self.ended.set((id, subject));
    }

    /// Notes the login of an outside system that the request is about, for the trail: whoever asks for that login finds
    /// the request.
    pub fn note_subject(&self, login: &str) {
        let _ = self.subject.set(login.to_owned());
    }

    /// Notes what was not there, for the trail.
    pub(crate) fn note_missing(&self, missing: Missing) {
        let _ = self.missing.set(missing);
    }

    /// Notes the secret as the gate saw it, so that reading it need not look for it again.
    pub(crate) fn note_found(&self, found: Found) {
        *self.found.lock().unwrap_or_else(PoisonError::into_inner) = Some(found);
    }

    /// Whether the gate saw that there is no such secret. There may be one by now; who makes it is told by a conflict.
    pub(crate) fn saw_no_secret(&self) -> bool {
        self.is_new
    }

    /// The secret as the gate saw it, once.
    pub(crate) fn take_found(&self) -> Option<Found> {
        self.found.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// The lease that the request made.
    pub(crate) fn made(&self) -> Option<&Made> {
        self.made.get()
    }

    /// How long the answer is to be wrapped for. `None` also for what is taken out of a wrapping token.
    pub(crate) fn wrap_ttl(&self) -> Option<Duration> {
        self.visit.wrap_ttl.filter(|_| !matches!(self.object, Object::Wrapping))
    }

    /// The wrapping token that the request names; the gate has seen that it is one.
    pub(crate) fn wrapping(&self) -> Result<TokenKey, CoreError> {
        self.wrapping.ok_or(CoreError::Internal("a grant was used for an act it was not given for"))
    }

    /// The place in the caller's own cubbyhole that was granted.
    pub(crate) fn cubbyhole(&self) -> Result<(TokenKey, &FolderPath), CoreError> {
        match &self.object {
            Object::Cubbyhole { place } => Ok((cubbyhole_of(self.require_bearer()?)?, place)),
            _ => Err(CoreError::Internal("a grant was used for an act it was not given for")),
        }
    }

    /// The secret that was granted, if it was granted for this act.
    pub(crate) fn secret(&self, wanted: SecretAct) -> Result<(&Arc<Mount>, &SecretPath), CoreError> {
        match &self.object {
            Object::Secret { path, act } if *act == wanted => Ok((self.mount()?, path)),
            _ => Err(CoreError::Internal("a grant was used for an act it was not given for")),
        }
    }

    /// The secret that was granted, for whatever act: for what tells nothing of its content.
    pub(crate) fn any_secret(&self) -> Result<(&Arc<Mount>, &SecretPath), CoreError> {
        match &self.object {
            Object::Secret { path, .. } => Ok((self.mount()?, path)),
            _ => Err(CoreError::Internal("a grant was used for an act it was not given for")),
        }
    }

    /// The folder that was granted for listing.
    pub(crate) fn folder(&self) -> Result<(&Arc<Mount>, &FolderPath), CoreError> {
        match &self.object {
            Object::Folder { path } => Ok((self.mount()?, path)),
            _ => Err(CoreError::Internal("a grant was used for an act it was not given for")),
        }
    }
}

/// The cubbyhole of a token is kept under the token's name, which a batch token does not have.
pub(super) fn cubbyhole_of(bearer: &Bearer) -> Result<TokenKey, CoreError> {
    let refused = "cubbyhole operations are only supported by 'service' type tokens";
    bearer.key().ok_or_else(|| CoreError::Invalid(refused.to_owned()))
}
