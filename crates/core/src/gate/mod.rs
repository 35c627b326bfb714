//! The one way in: authenticate, check policy, open the trail entry; and after the act, close the entry before the
//! answer leaves.
//!
//! Invariants: a [`Grant`] is made here and nowhere else; every request leaves exactly one outcome entry; a change
//! leaves an intent entry before it is made; when the trail cannot be written, the request fails and a token or
//! credential just made is revoked. Does not know what the act is: handlers do.

mod credential;
mod grant;
mod note;
mod object;

pub use grant::Grant;
pub(crate) use note::entry_of;
pub use object::{Object, SecretAct};

use crate::access_key::{Narrowing, VerifiedKey, Wish};
use crate::audit::Hmac;
use crate::emergency::Blocks;
use crate::identity::Identity;
use crate::lease::Leases;
use crate::mount::Mount;
use crate::policy::PolicyStore;
use crate::secret::{Deed, Secrets};
use crate::token::{Bearer, TokenKey, Tokens};
use crate::wrapping::{Contents, INVALID};
use crate::{Access, CoreError, Cubbyholes, Fields, Operation, Reply, Veto, Visit, boxed};
use credential::Credential;
use grant::cubbyhole_of;
use note::{note, open_endpoint, secret_note};
use object::{READING, capability, foreign_name, operation_word, policy_path};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;
use strongroom_audit::{DecisionNote, Entry, EntryKind, Outcome, Trail};
use strongroom_model::policy::{Question, Reason::Denied};
use strongroom_model::{Clock, Kind, Kinded, SecretString, Timestamp};

/// A request before the gate.
pub struct Ask {
    /// The request.
    pub visit: Visit,
    /// The token that came with it.
    pub credential: Option<SecretString>,
    /// The mount its path lies in.
    pub mount: Option<Arc<Mount>>,
    /// Who may come to the endpoint.
    pub access: Access,
    /// What it wants to act on.
    pub object: Object,
}

/// The gate of an open strongroom.
pub struct Gate {
    tokens: Arc<Tokens>,
    identity: Arc<Identity>,
    policies: Arc<PolicyStore>,
    secrets: Arc<Secrets>,
    cubbyholes: Arc<Cubbyholes>,
    leases: Arc<Leases>,
    blocks: Arc<Blocks>,
    trail: Arc<Trail>,
    hmac: Arc<Hmac>,
    clock: Arc<dyn Clock>,
}

impl Gate {
    #[allow(clippy::too_many_arguments, reason = "called once, with one value of each type")]
    pub(crate) fn new(
        tokens: Arc<Tokens>,
        identity: Arc<Identity>,
        policies: Arc<PolicyStore>,
        secrets: Arc<Secrets>,
        cubbyholes: Arc<Cubbyholes>,
        leases: Arc<Leases>,
        blocks: Arc<Blocks>,
        trail: Arc<Trail>,
        hmac: Arc<Hmac>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self { tokens, identity, policies, secrets, cubbyholes, leases, blocks, trail, hmac, clock }
    }

    /// Lets a request in, or refuses it; a refusal is already in the trail when this returns.
    pub fn admit<'a>(
        &'a self,
        mut ask: Ask,
        fields: &'a Fields,
    ) -> impl Future<Output = Result<Box<Grant>, CoreError>> + Send + 'a {
        let credential = ask.credential.take().map(|token| {
            let kept = self.tokens.kept_as(&token);
            Credential::Token(token, kept)
        });
        let access = ask.access;
        self.enter(self.begin(ask, credential.as_ref(), None), credential, access, fields)
    }

    /// As [`Gate::admit`], for who signed with an access key instead of sending a token. The wish says what the dialect
    /// calls the act; the trail names it so. Without a key nobody is there.
    pub fn admit_key<'a>(
        &'a self,
        ask: Ask,
        key: Option<&'a VerifiedKey>,
        wish: &'a Wish,
        fields: &'a Fields,
    ) -> impl Future<Output = Result<Box<Grant>, CoreError>> + Send + 'a {
        let (credential, access) = (key.map(|key| Credential::Key(key, wish)), ask.access);
        self.enter(self.begin(ask, credential.as_ref(), Some(wish.action)), credential, access, fields)
    }

    /// What is not a grant until it was checked. Boxed: it goes through many hands, and each that waits would carry room
    /// for it.
    fn begin(&self, ask: Ask, credential: Option<&Credential<'_>>, action: Option<&'static str>) -> Box<Grant> {
        self.leases.visited();
        Box::new(Grant {
            token_hash: credential.and_then(|credential| credential.hash(&self.hmac)),
            action,
            operation: operation_word(ask.visit.operation, Some(true)),
            visit: ask.visit,
            bearer: None,
            principal: None,
            mount: ask.mount,
            object: ask.object,
            decision: Some(open_endpoint()),
            credential: None,
            acl: None,
            intent: false,
            intent_took: Duration::ZERO,
            wrapping: None,
            made: OnceLock::new(),
            ended: OnceLock::new(),
            subject: OnceLock::new(),
            missing: OnceLock::new(),
            found: Mutex::default(),
            is_new: false,
        })
    }

    async fn enter(
        &self,
        mut grant: Box<Grant>,
        credential: Option<Credential<'_>>,
        access: Access,
        fields: &Fields,
    ) -> Result<Box<Grant>, CoreError> {
        let admitted = match self.check(&mut grant, credential, access, fields).await {
            Ok(()) => self.open_entry(&mut grant, fields).await,
            Err(error) => Err(error),
        };
        match admitted {
            Ok(()) => Ok(grant),
            Err(error) => {
                let error = boxed(|| self.refuse(grant, fields, error)).await;
                Err(error)
            }
        }
    }

    /// Closes the entry of a granted request. Only when this returns `Ok` may the answer leave.
    pub fn conclude<'a>(
        &'a self,
        grant: Box<Grant>,
        fields: &'a Fields,
        result: &'a Result<Reply, CoreError>,
    ) -> impl Future<Output = Result<(), CoreError>> + Send + 'a {
        self.conclude_at(self.clock.now(), grant, fields, result)
    }

    /// As [`Gate::conclude`], for who has just read the clock.
    pub async fn conclude_at(
        &self,
        now: Timestamp,
        mut grant: Box<Grant>,
        fields: &Fields,
        result: &Result<Reply, CoreError>,
    ) -> Result<(), CoreError> {
        let spent = grant.bearer.as_ref().filter(|bearer| bearer.is_spent()).and_then(Bearer::key);
        let bare = bare(&grant, result);
        let (entry, made) = self.closing(&mut grant, fields, now, result, bare.as_ref());
        let written = self.trail.append(entry).await;
        if let Some(key) = spent {
            // It has no uses left, so it is powerless with or without its record.
            if let Err(error) = boxed(|| self.tokens.revoke_tree(key)).await {
                tracing::warn!(%error, "a token that was used up could not be removed");
            }
        }
        let lost = grant.made().filter(|_| result.is_err() || written.is_err() || bare.is_some());
        if let Some(made) = lost {
            boxed(|| self.leases.take_back(made)).await?;
        }
        let held_back = match (written, bare) {
            (Ok(_), None) => return Ok(()),
            (Ok(_), Some(bare)) => bare,
            (Err(error), _) => error.into(),
        };
        for key in made {
            boxed(|| self.tokens.revoke_tree(key)).await?;
        }
        Err(held_back)
    }

    /// The entry that says how a granted request ended, and the tokens that must go if it cannot be written.
    fn closing(
        &self,
        grant: &mut Grant,
        fields: &Fields,
        now: Timestamp,
        result: &Result<Reply, CoreError>,
        bare: Option<&CoreError>,
    ) -> (Entry, Vec<TokenKey>) {
        let mut entry = self.outcome(grant, fields, now);
        let mut made = Vec::new();
        entry.subject = grant.subject.take();
        if let Ok(reply) = result {
            entry.warnings.clone_from(&reply.warnings);
            let contents = Contents::of(reply, &self.hmac, &self.tokens);
            made.extend(contents.token);
            made.extend(reply.wrap.as_ref().map(|wrap| self.tokens.key_of(&wrap.token)));
            (entry.version, entry.response_data, entry.response_auth) =
                (contents.version, contents.data, contents.auth);
            entry.lease_id = contents.lease;
            entry.subject = reply.lease.as_ref().map(|lease| lease.subject.clone()).or(entry.subject);
            entry.wrap = reply.wrap.as_ref().map(|wrap| wrap.note(&self.hmac));
        }
        if let Some((id, subject)) = grant.ended.take() {
            (entry.lease_id, entry.subject) = (Some(id), Some(subject));
        }
        if let Some(made) = grant.made() {
            // Also when its answer is wrapped, or could not be.
            (entry.lease_id, entry.subject) = (Some(made.id.clone()), Some(made.subject.clone()));
        }
        let gone = result.as_ref().is_ok_and(|reply| reply.gone);
        let outcome = match result.as_ref().err().or(bare) {
            // Metadata instead of a value: whoever counts who got the value must not count this.
            None if gone => Outcome { result: Kind::NotFound.word().into(), ..Outcome::ok() },
            None => Outcome::ok(),
            Some(error) => Outcome::failed(error.kind(), error.to_string()),
        };
        let missing = grant.missing.get().copied().filter(|_| outcome.result == Kind::NotFound.word());
        entry.outcome = Some(Outcome { missing, ..outcome });
        (entry, made)
    }

    async fn check(
        &self,
        grant: &mut Grant,
        credential: Option<Credential<'_>>,
        access: Access,
        fields: &Fields,
    ) -> Result<(), CoreError> {
        self.not_blocked(grant)?;
        if matches!(grant.object, Object::Wrapping) {
            boxed(|| self.find_wrapping(grant, credential.as_ref().and_then(Credential::token), fields)).await?;
        }
        let Some((credential, bearer)) = self.prove(grant, credential, access).await? else { return Ok(()) };
        grant.principal = Some(bearer.principal());
        let user = credential.user();
        let (only, narrowing) = (credential.only()?, credential.narrowing());
        grant.credential = credential.into_token();
        let exists = self.exists(grant, &bearer).await?;
        grant.operation = operation_word(grant.visit.operation, exists);
        grant.is_new = exists == Some(false) && matches!(grant.object, Object::Secret { .. });
        let acl = match only {
            Some(only) => only,
            None => self.policies.acl(bearer.policies(), bearer.entity(), &self.identity).await?,
        };
        let path = policy_path(grant)?;
        grant.acl = Some(Arc::clone(&acl));
        grant.bearer = Some(bearer);
        if matches!(access, Access::Optional | Access::Lenient) {
            return self.use_token(grant).await;
        }
        let question = Question {
            path: &path,
            capability: capability(grant.visit.operation, exists),
            sudo: access == Access::Sudo,
            parameters: Some(fields.map()),
            wrap_ttl: grant.visit.wrap_ttl,
        };
        let decision = acl.decide(&question);
        let (granted, is_denied) = (decision.granted, decision.reason == Denied);
        grant.decision = Some(note(decision));
        if !granted {
            return Err(if is_denied { CoreError::Forbidden(Veto::Rule) } else { CoreError::Denied });
        }
        if self.is_forbidden(grant, user.as_deref(), fields).await? {
            return forbid(grant, "forbidden by the secret's own policy", Veto::SecretsPolicy);
        }
        if let Some((narrowing, wish)) = narrowing
            && let Some(veto) = boxed(|| self.narrows(grant, narrowing, wish, &question, fields)).await?
        {
            return forbid(grant, "not allowed by the session's own policy", veto);
        }
        self.use_token(grant).await
    }

    /// Who asks; `None` where nobody needs to be known and nobody is.
    async fn prove<'c>(
        &self,
        grant: &mut Grant,
        credential: Option<Credential<'c>>,
        access: Access,
    ) -> Result<Option<(Credential<'c>, Bearer)>, CoreError> {
        let credential = match (access, credential) {
            (Access::Open, _) | (Access::Optional | Access::Lenient, None) => return Ok(None),
            (_, None) => return deny(grant, "no token"),
            (_, Some(credential)) => credential,
        };
        match self.bearer(&credential, &grant.visit).await? {
            Some(bearer) => Ok(Some((credential, bearer))),
            None if access == Access::Lenient => Ok(None),
            None => deny(grant, "bad token"),
        }
    }

    /// Whether what is to be written is there, which tells a creation from an update; `None` where that makes no difference.
    async fn exists(&self, grant: &Grant, bearer: &Bearer) -> Result<Option<bool>, CoreError> {
        Ok(match (&grant.object, grant.visit.operation) {
            // Boxed: reads do without, and would carry room for it.
            (Object::Secret { path, act }, Operation::Write) => {
                let mount = grant.mount()?;
                Some(boxed(|| self.secrets.exists(mount, path, *act)).await?)
            }
            (Object::Cubbyhole { place }, Operation::Write) => {
                let cubbyhole = cubbyhole_of(bearer)?;
                Some(boxed(|| self.cubbyholes.exists(cubbyhole, place)).await?)
            }
            (Object::TokenRole { name }, Operation::Write) => Some(boxed(|| self.tokens.role(name)).await?.is_some()),
            (Object::Path { exists }, _) => *exists,
            _ => None,
        })
    }

    /// How the maker of a session keeps it from doing this, if so.
    async fn narrows(
        &self,
        grant: &Grant,
        narrowing: &Narrowing,
        wish: &Wish,
        question: &Question<'_>,
        fields: &Fields,
    ) -> Result<Option<Veto>, CoreError> {
        let suffix = match (&grant.object, wish.service) {
            // One that is not there has characters that nobody knows.
            (Object::Secret { .. }, "secretsmanager") => {
                Some(self.secrets.granted_suffix(grant).await?.unwrap_or_else(|| "??????".to_owned()))
            }
            _ => None,
        };
        match narrowing.judge(wish, suffix.as_deref(), fields, grant.visit.source.address)? {
            Some(true) => Ok(None),
            Some(false) => Ok(Some(Veto::SessionDenies)),
            None if narrowing.policies().is_empty() => Ok(Some(Veto::SessionLacks)),
            None => {
                let decision = self.policies.acl(narrowing.policies(), None, &self.identity).await?.decide(question);
                let veto = if decision.reason == Denied { Veto::SessionDenies } else { Veto::SessionLacks };
                Ok((!decision.granted).then_some(veto))
            }
        }
    }

    /// Refuses what an incident has cut off, whoever asks; lifting it is under `sys/`, which cannot be.
    fn not_blocked(&self, grant: &mut Grant) -> Result<(), CoreError> {
        let why = if self.blocks.refuses(grant.visit.source.address) {
            "requests from this network are blocked by an incident"
        } else if grant.mount.as_ref().is_some_and(|mount| self.blocks.holds(mount.id)) {
            "requests to this mount are blocked by an incident"
        } else {
            return Ok(());
        };
        deny(grant, why).map_err(|_| CoreError::DeniedBecause(format!("{why}; ask an operator to lift it")))
    }

    /// Whether a policy of the secret's own forbids what policies allow. Those who may change that policy are not
    /// shut out from it.
    async fn is_forbidden(&self, grant: &Grant, user: Option<&str>, fields: &Fields) -> Result<bool, CoreError> {
        let Object::Secret { path, act } = &grant.object else { return Ok(false) };
        if grant.is_new {
            return Ok(false);
        }
        let Some(guard) = self.secrets.guard(grant, path).await? else { return Ok(false) };
        let action = grant.action.unwrap_or_else(|| foreign_name(*act));
        if action.ends_with("ResourcePolicy") {
            return Ok(false);
        }
        let text = |field| fields.text(field).map(|text| text.filter(|text| !text.is_empty()));
        let (stage, version) = (text("VersionStage")?, text("VersionId")?);
        let by_number = fields.has("version") || version.is_some();
        let stage = stage.or_else(|| (action == READING && !by_number).then(|| "AWSCURRENT".to_owned()));
        let entity = grant.bearer.as_ref().and_then(Bearer::entity).map(|entity| format!("user/{}", entity.name));
        let who: Vec<String> = entity.into_iter().chain(user.map(str::to_owned)).collect();
        Ok(guard.denies(&Deed {
            who: &who,
            action: &format!("secretsmanager:{action}"),
            stage: stage.as_deref(),
            version: version.as_deref(),
            address: grant.visit.source.address,
        }))
    }

    /// Who bears a credential, if anybody does.
    async fn bearer(&self, credential: &Credential<'_>, visit: &Visit) -> Result<Option<Bearer>, CoreError> {
        match credential {
            Credential::Token(token, kept) => self.tokens.authenticate_as(token, *kept, &visit.source).await,
            Credential::Key(key, _) => self.tokens.bearer_of(key.stand_in()).await,
        }
    }

    /// Sees that the request names a wrapping token, before all else, as Vault does: who comes too late is told so, and
    /// not that the token that they came with is unknown.
    async fn find_wrapping(
        &self,
        grant: &mut Grant,
        credential: Option<&SecretString>,
        fields: &Fields,
    ) -> Result<(), CoreError> {
        let sent = fields.secret("token")?;
        let Some(token) = sent.as_ref().or(credential) else { return deny(grant, "no token") };
        let key = self.tokens.key_of(token);
        if self.tokens.find_wrapping(key).await?.is_none() {
            return deny(grant, "bad wrapping token").or(Err(INVALID));
        }
        grant.wrapping = Some(key);
        Ok(())
    }

    /// Counts the use of a token that has a limited number. After the check, so that a refusal costs nothing.
    async fn use_token(&self, grant: &mut Grant) -> Result<(), CoreError> {
        match grant.bearer.as_mut() {
            // The act uses this token up, in one commit with what it does.
            Some(bearer) if grant.wrapping.is_some() && grant.wrapping == bearer.key() => Ok(()),
            Some(bearer) if bearer.is_counted() => {
                if boxed(|| self.tokens.count_use(bearer)).await? {
                    Ok(())
                } else {
                    deny(grant, "token has no uses left")
                }
            }
            _ => Ok(()),
        }
    }

    async fn open_entry(&self, grant: &mut Grant, fields: &Fields) -> Result<(), CoreError> {
        if matches!(grant.visit.operation, Operation::Read | Operation::List) {
            return Ok(());
        }
        let begun = self.clock.now();
        self.trail.append(self.intent(grant, fields, begun)).await?;
        grant.intent = true;
        grant.intent_took = self.clock.now().since(begun);
        Ok(())
    }

    async fn refuse(&self, mut grant: Box<Grant>, fields: &Fields, error: CoreError) -> CoreError {
        let mut entry = self.outcome(&mut grant, fields, self.clock.now());
        entry.outcome = Some(Outcome::failed(error.kind(), error.to_string()));
        match self.trail.append(entry).await {
            Ok(_) => error,
            Err(trail) => trail.into(),
        }
    }

    /// The entry before a change: the grant keeps what it says, for the one after.
    fn intent(&self, grant: &Grant, fields: &Fields, now: Timestamp) -> Entry {
        let mut entry = self.entry(grant, EntryKind::Intent, fields, now);
        entry.token_hash = grant.token_hash.clone();
        entry.decision = grant.decision.clone();
        entry
    }

    /// The entry that closes a request: what nobody but the trail needs of the grant goes into it.
    fn outcome(&self, grant: &mut Grant, fields: &Fields, now: Timestamp) -> Entry {
        let mut entry = self.entry(grant, EntryKind::Outcome, fields, now);
        entry.token_hash = grant.token_hash.take();
        entry.decision = grant.decision.take();
        entry
    }

    fn entry(&self, grant: &Grant, kind: EntryKind, fields: &Fields, now: Timestamp) -> Entry {
        let mut entry = entry_of(&grant.visit, kind, grant.action.unwrap_or(grant.operation), now);
        entry.mount = grant.mount.as_deref().map(Mount::note);
        entry.secret = secret_note(&grant.object);
        entry.principal = grant.principal.clone();
        // The parameters stand in the entry that comes first; the outcome of a change need not repeat them.
        if !grant.intent && !fields.map().is_empty() {
            entry.request_data = self.hmac.redact_map(fields.map());
        }
        entry
    }
}

fn deny<T>(grant: &mut Grant, reason: &'static str) -> Result<T, CoreError> {
    let reason = reason.into();
    grant.decision = Some(DecisionNote { granted: false, policy: None, rule: None, line: None, reason });
    Err(CoreError::Denied)
}

fn forbid<T>(grant: &mut Grant, reason: &'static str, veto: Veto) -> Result<T, CoreError> {
    deny(grant, reason).map_err(|_: CoreError| CoreError::Forbidden(veto))
}

/// The last look before an answer leaves: what was to be wrapped and is not, stays here, whoever forgot to wrap it.
fn bare(grant: &Grant, result: &Result<Reply, CoreError>) -> Option<CoreError> {
    let bare = |reply: &&Reply| grant.wrap_ttl().is_some() && reply.has_body() && reply.wrap.is_none();
    let reply = result.as_ref().ok().filter(bare);
    reply.map(|_| CoreError::Internal("an answer that was to be wrapped was not"))
}
