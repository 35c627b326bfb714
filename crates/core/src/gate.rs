//! The one way in: authenticate, check policy, open the trail entry; and after the act, close the entry before the
//! answer leaves.
//!
//! Invariants: a [`Grant`] is made here and nowhere else; every request leaves exactly one outcome entry; a change
//! leaves an intent entry before it is made; when the trail cannot be written, the request fails and a token or
//! credential just made is revoked. Does not know what the act is: handlers do.

use crate::access_key::{Narrowing, VerifiedKey, Wish};
use crate::audit::Hmac;
use crate::emergency::Blocks;
use crate::identity::Identity;
use crate::lease::{Leases, Made};
use crate::mount::Mount;
use crate::policy::PolicyStore;
use crate::secret::{Deed, Secrets};
use crate::token::{Bearer, TokenKey, Tokens};
use crate::wrapping::{Contents, INVALID};
use crate::{Access, CoreError, Cubbyholes, Fields, Operation, Reply, Visit};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use strongroom_audit::{DecisionNote, Entry, EntryKind, MountNote, Outcome, SecretNote, SourceNote, Trail};
use strongroom_model::policy::{Acl, Decision, Question, Reason};
use strongroom_model::{
    Capability, Clock, FolderPath, Kind, Kinded, Principal, RequestPath, SecretPath, SecretString, TokenRoleName,
};

/// What a request wants to act on.
#[derive(Clone)]
pub enum Object {
    /// An endpoint that is its own object. `exists` tells create from update where that matters.
    Path {
        /// Whether what a write would touch is there; `None`: a write is an update.
        exists: Option<bool>,
    },
    /// A versioned secret.
    Secret {
        /// The secret.
        path: SecretPath,
        /// What is to be done with it.
        act: SecretAct,
    },
    /// A folder of secrets, to be listed.
    Folder {
        /// The folder.
        path: FolderPath,
    },
    /// A place in the caller's own cubbyhole: an entry, or a folder to be listed.
    Cubbyhole {
        /// The place.
        place: FolderPath,
    },
    /// A token role.
    TokenRole {
        /// Its name.
        name: TokenRoleName,
    },
    /// The answer under a wrapping token: the one in the field `token`, else the one that came with the request.
    Wrapping,
}

/// What can be done with a versioned secret. Each has its path for policies, spelled as KV version 2 spells it, whatever
/// the dialect the request came through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SecretAct {
    /// Read a version's value.
    Read,
    /// Write a new version.
    Write,
    /// Write a new version from the current one and a merge patch.
    Patch,
    /// Hide the current version.
    DeleteCurrent,
    /// Hide versions by number.
    DeleteVersions,
    /// Bring hidden versions back.
    Undelete,
    /// Shred versions.
    Destroy,
    /// Read names of fields without values.
    Subkeys,
    /// Read the metadata.
    ReadMetadata,
    /// Change the metadata.
    WriteMetadata,
    /// Change parts of the metadata.
    PatchMetadata,
    /// Shred the secret with all versions.
    DeleteAll,
}

impl SecretAct {
    /// The act as the trail names it.
    pub fn word(self) -> &'static str {
        match self {
            SecretAct::Read => "read",
            SecretAct::Write => "write",
            SecretAct::Patch => "patch",
            SecretAct::DeleteCurrent => "delete-current",
            SecretAct::DeleteVersions => "delete-versions",
            SecretAct::Undelete => "undelete",
            SecretAct::Destroy => "destroy",
            SecretAct::Subkeys => "read-subkeys",
            SecretAct::ReadMetadata => "read-metadata",
            SecretAct::WriteMetadata => "write-metadata",
            SecretAct::PatchMetadata => "patch-metadata",
            SecretAct::DeleteAll => "delete-all",
        }
    }

    /// The section of a KV version 2 mount that the act belongs to.
    pub fn section(self) -> &'static str {
        match self {
            SecretAct::Read | SecretAct::Write | SecretAct::Patch | SecretAct::DeleteCurrent => "data",
            SecretAct::DeleteVersions => "delete",
            SecretAct::Undelete => "undelete",
            SecretAct::Destroy => "destroy",
            SecretAct::Subkeys => "subkeys",
            SecretAct::ReadMetadata | SecretAct::WriteMetadata | SecretAct::PatchMetadata | SecretAct::DeleteAll => {
                "metadata"
            }
        }
    }
}

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

/// What somebody shows at the gate.
enum Credential<'a> {
    /// A token, to be looked up.
    Token(SecretString),
    /// A signature that has been proved, and what was signed.
    Key(&'a VerifiedKey, &'a Wish),
}

impl<'a> Credential<'a> {
    fn token(&self) -> Option<&SecretString> {
        match self {
            Credential::Token(token) => Some(token),
            Credential::Key(..) => None,
        }
    }

    /// The name by which a policy of a secret's own may call the caller, where that is no entity.
    fn user(&self) -> Option<String> {
        match self {
            Credential::Token(_) => None,
            Credential::Key(key, _) => Some(key.user()),
        }
    }

    /// What a key that was lent for one secret may do, in place of policies.
    fn only(&self) -> Result<Option<Arc<Acl>>, CoreError> {
        match self {
            Credential::Token(_) => Ok(None),
            Credential::Key(key, _) => key.only(),
        }
    }

    /// What the maker of a session let it do.
    fn narrowing(&self) -> Option<(&'a Narrowing, &'a Wish)> {
        match self {
            Credential::Token(_) => None,
            Credential::Key(key, wish) => Some((key.narrowing()?, wish)),
        }
    }

    fn into_token(self) -> Option<SecretString> {
        match self {
            Credential::Token(token) => Some(token),
            Credential::Key(..) => None,
        }
    }
}

/// Proof that the gate let a request through: who, where, what. Cannot be made elsewhere, cannot be cloned; closing it
/// with [`Gate::conclude`] writes the outcome.
pub struct Grant {
    visit: Visit,
    bearer: Option<Bearer>,
    principal: Option<Principal>,
    mount: Option<Arc<Mount>>,
    object: Object,
    operation: &'static str,
    /// What the dialect calls the act, where the trail should say it in that dialect's words.
    action: Option<&'static str>,
    decision: DecisionNote,
    token_hash: Option<String>,
    credential: Option<SecretString>,
    acl: Option<Arc<Acl>>,
    sudo: bool,
    intent: bool,
    /// How long writing the intent took.
    intent_took: Duration,
    wrapping: Option<TokenKey>,
    /// The lease that the request made.
    made: OnceLock<Made>,
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
        self.principal.as_ref()
    }

    /// The token itself, for endpoints that give it back to its bearer.
    pub fn credential(&self) -> Option<&SecretString> {
        self.credential.as_ref()
    }

    /// Whether the caller's policies give `sudo` on the path, for fields that only operators may set.
    pub fn has_sudo(&self) -> bool {
        self.sudo
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
    pub async fn admit(&self, mut ask: Ask, fields: &Fields) -> Result<Grant, CoreError> {
        let credential = ask.credential.take().map(Credential::Token);
        self.enter(ask, credential, None, fields).await
    }

    /// As [`Gate::admit`], for who signed with an access key instead of sending a token. The wish says what the dialect
    /// calls the act; the trail names it so. Without a key nobody is there.
    pub async fn admit_key(
        &self,
        ask: Ask,
        key: Option<&VerifiedKey>,
        wish: &Wish,
        fields: &Fields,
    ) -> Result<Grant, CoreError> {
        self.enter(ask, key.map(|key| Credential::Key(key, wish)), Some(wish.action), fields).await
    }

    async fn enter(
        &self,
        ask: Ask,
        credential: Option<Credential<'_>>,
        action: Option<&'static str>,
        fields: &Fields,
    ) -> Result<Grant, CoreError> {
        let token = credential.as_ref().and_then(Credential::token);
        let mut grant = Grant {
            token_hash: token.map(|token| self.hmac.text(token.expose().as_bytes())),
            action,
            visit: ask.visit,
            bearer: None,
            principal: None,
            mount: ask.mount,
            object: ask.object,
            operation: "",
            decision: open_endpoint(),
            credential: None,
            acl: None,
            sudo: false,
            intent: false,
            intent_took: Duration::ZERO,
            wrapping: None,
            made: OnceLock::new(),
        };
        grant.operation = operation_word(grant.visit.operation, Some(true));
        let admitted = match self.check(&mut grant, credential, ask.access, fields).await {
            Ok(()) => self.open_entry(&mut grant, fields).await,
            Err(error) => Err(error),
        };
        match admitted {
            Ok(()) => Ok(grant),
            Err(error) => {
                let error = self.refuse(grant, fields, error).await;
                Err(error)
            }
        }
    }

    /// Closes the entry of a granted request. Only when this returns `Ok` may the answer leave.
    pub async fn conclude(
        &self,
        grant: Grant,
        fields: &Fields,
        result: &Result<Reply, CoreError>,
    ) -> Result<(), CoreError> {
        let spent = grant.bearer.as_ref().filter(|bearer| bearer.is_spent()).and_then(Bearer::key);
        let mut entry = self.entry(&grant, EntryKind::Outcome, fields);
        let mut made = Vec::new();
        if let Ok(reply) = result {
            entry.warnings.clone_from(&reply.warnings);
            let contents = Contents::of(reply, &self.hmac, &self.tokens);
            made.extend(contents.token);
            made.extend(reply.wrap.as_ref().map(|wrap| self.tokens.key_of(&wrap.token)));
            (entry.version, entry.response_data, entry.response_auth) =
                (contents.version, contents.data, contents.auth);
            entry.lease_id = contents.lease;
            entry.subject = reply.lease.as_ref().map(|lease| lease.subject.clone());
            entry.wrap = reply.wrap.as_ref().map(|wrap| wrap.note(&self.hmac));
        }
        if let Some(made) = grant.made() {
            // Also when its answer is wrapped, or could not be.
            (entry.lease_id, entry.subject) = (Some(made.id.clone()), Some(made.subject.clone()));
        }
        let bare = bare(&grant, result);
        let gone = result.as_ref().is_ok_and(|reply| reply.gone);
        entry.outcome = Some(match result.as_ref().err().or(bare.as_ref()) {
            // Metadata instead of a value: whoever counts who got the value must not count this.
            None if gone => Outcome { result: Kind::NotFound.word().to_owned(), error: None },
            None => Outcome::ok(),
            Some(error) => Outcome::failed(error.kind(), error.to_string()),
        });
        let written = self.trail.append(entry).await;
        if let Some(key) = spent {
            // It has no uses left, so it is powerless with or without its record.
            if let Err(error) = self.tokens.revoke_tree(key).await {
                tracing::warn!(%error, "a token that was used up could not be removed");
            }
        }
        let lost = grant.made().filter(|_| result.is_err() || written.is_err() || bare.is_some());
        if let Some(made) = lost {
            self.leases.take_back(made).await?;
        }
        let held_back = match (written, bare) {
            (Ok(_), None) => return Ok(()),
            (Ok(_), Some(bare)) => bare,
            (Err(error), _) => error.into(),
        };
        for key in made {
            self.tokens.revoke_tree(key).await?;
        }
        Err(held_back)
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
            self.find_wrapping(grant, credential.as_ref().and_then(Credential::token), fields).await?;
        }
        let credential = match (access, credential) {
            (Access::Open, _) | (Access::Optional | Access::Lenient, None) => return Ok(()),
            (_, None) => return deny(grant, "no token"),
            (_, Some(credential)) => credential,
        };
        let bearer = match self.bearer(&credential, &grant.visit).await {
            Ok(Some(bearer)) => bearer,
            Ok(None) if access == Access::Lenient => return Ok(()),
            Ok(None) => return deny(grant, "bad token"),
            Err(error) => return Err(error),
        };
        grant.principal = Some(bearer.principal());
        let user = credential.user();
        let (only, narrowing) = (credential.only()?, credential.narrowing());
        grant.credential = credential.into_token();
        let exists = match (&grant.object, grant.visit.operation) {
            (Object::Secret { path, act }, Operation::Write) => {
                Some(self.secrets.exists(grant.mount()?, path, *act).await?)
            }
            (Object::Cubbyhole { place }, Operation::Write) => {
                Some(self.cubbyholes.exists(cubbyhole_of(&bearer)?, place).await?)
            }
            (Object::TokenRole { name }, Operation::Write) => Some(self.tokens.role(name).await?.is_some()),
            (Object::Path { exists }, _) => *exists,
            _ => None,
        };
        grant.operation = operation_word(grant.visit.operation, exists);
        let acl = match only {
            Some(only) => only,
            None => self.policies.acl(bearer.policies(), bearer.entity(), &self.identity).await?,
        };
        let path = policy_path(grant)?;
        grant.sudo = acl.is_root() || acl.capabilities(&path).contains(Capability::Sudo);
        grant.acl = Some(Arc::clone(&acl));
        if matches!(access, Access::Optional | Access::Lenient) {
            grant.bearer = Some(bearer);
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
        grant.decision = note(&decision);
        grant.bearer = Some(bearer);
        if decision.granted && self.is_forbidden(grant, user.as_deref(), fields).await? {
            return deny(grant, "forbidden by the secret's own policy");
        }
        if let Some((narrowing, wish)) = narrowing.filter(|_| decision.granted)
            && !self.is_within(grant, narrowing, wish, &question, fields).await?
        {
            return deny(grant, "not allowed by the session's own policy");
        }
        if decision.granted { self.use_token(grant).await } else { Err(CoreError::Denied) }
    }

    /// Whether the maker of a session lets it do this.
    async fn is_within(
        &self,
        grant: &Grant,
        narrowing: &Narrowing,
        wish: &Wish,
        question: &Question<'_>,
        fields: &Fields,
    ) -> Result<bool, CoreError> {
        let suffix = match (&grant.object, wish.service) {
            // One that is not there has characters that nobody knows.
            (Object::Secret { .. }, "secretsmanager") => {
                Some(self.secrets.granted_suffix(grant).await?.unwrap_or_else(|| "??????".to_owned()))
            }
            _ => None,
        };
        match narrowing.judge(wish, suffix.as_deref(), fields, grant.visit.source.address)? {
            Some(verdict) => Ok(verdict),
            None if narrowing.policies().is_empty() => Ok(false),
            None => Ok(self.policies.acl(narrowing.policies(), None, &self.identity).await?.decide(question).granted),
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
        let Some(guard) = self.secrets.guard(grant.mount()?, path).await? else { return Ok(false) };
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
            Credential::Token(token) => self.tokens.authenticate(token, &visit.source).await,
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
                if self.tokens.count_use(bearer).await? {
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
        self.trail.append(self.entry(grant, EntryKind::Intent, fields)).await?;
        grant.intent = true;
        grant.intent_took = self.clock.now().since(begun);
        Ok(())
    }

    async fn refuse(&self, grant: Grant, fields: &Fields, error: CoreError) -> CoreError {
        let mut entry = self.entry(&grant, EntryKind::Outcome, fields);
        entry.outcome = Some(Outcome::failed(error.kind(), error.to_string()));
        match self.trail.append(entry).await {
            Ok(_) => error,
            Err(trail) => trail.into(),
        }
    }

    fn entry(&self, grant: &Grant, kind: EntryKind, fields: &Fields) -> Entry {
        let mut entry = entry_of(&grant.visit, kind, grant.action.unwrap_or(grant.operation), &*self.clock);
        entry.mount = grant.mount.as_deref().map(mount_note);
        entry.secret = secret_note(&grant.object);
        entry.principal = grant.principal.clone();
        entry.token_hash = grant.token_hash.clone();
        entry.decision = Some(grant.decision.clone());
        // The parameters stand in the entry that comes first; the outcome of a change need not repeat them.
        if !grant.intent && !fields.map().is_empty() {
            entry.request_data = self.hmac.redact_map(fields.map());
        }
        entry
    }
}

/// The secret as the trail names it: the same through every dialect.
fn secret_note(object: &Object) -> Option<SecretNote> {
    match object {
        Object::Secret { path, act } => Some(SecretNote { name: path.as_str().to_owned(), act: act.word().to_owned() }),
        _ => None,
    }
}

/// An entry with what every request has.
pub(crate) fn entry_of(visit: &Visit, kind: EntryKind, operation: &str, clock: &dyn Clock) -> Entry {
    let mut entry = Entry::new(kind, visit.request, visit.dialect, operation, visit.path.as_str());
    entry.namespace = visit.namespace.as_str().to_owned();
    entry.typed = visit.typed.clone();
    entry.request_headers = visit.headers.clone();
    entry.source = SourceNote { address: visit.source.text(), port: visit.source.port };
    entry.wrap_ttl = visit.wrap_ttl.map(|ttl| ttl.as_secs());
    entry.duration_us = u64::try_from(clock.now().since(visit.arrived).as_micros()).unwrap_or(u64::MAX);
    entry
}

/// The cubbyhole of a token is kept under the token's name, which a batch token does not have.
fn cubbyhole_of(bearer: &Bearer) -> Result<TokenKey, CoreError> {
    let refused = "cubbyhole operations are only supported by 'service' type tokens";
    bearer.key().ok_or_else(|| CoreError::Invalid(refused.to_owned()))
}

/// The act that policies of secrets themselves speak of when they forbid reading.
const READING: &str = "GetSecretValue";

/// What an act is called in the language of policies of secrets themselves, for dialects with names of their own.
fn foreign_name(act: SecretAct) -> &'static str {
    match act {
        SecretAct::Read | SecretAct::Subkeys => READING,
        SecretAct::Write | SecretAct::Patch => "PutSecretValue",
        SecretAct::DeleteCurrent | SecretAct::DeleteVersions | SecretAct::Destroy | SecretAct::DeleteAll => {
            "DeleteSecret"
        }
        SecretAct::Undelete => "RestoreSecret",
        SecretAct::ReadMetadata => "DescribeSecret",
        SecretAct::WriteMetadata | SecretAct::PatchMetadata => "UpdateSecret",
    }
}

fn deny(grant: &mut Grant, reason: &str) -> Result<(), CoreError> {
    grant.decision = DecisionNote { granted: false, policy: None, rule: None, line: None, reason: reason.to_owned() };
    Err(CoreError::Denied)
}

/// The last look before an answer leaves: what was to be wrapped and is not, stays here, whoever forgot to wrap it.
fn bare(grant: &Grant, result: &Result<Reply, CoreError>) -> Option<CoreError> {
    let bare = |reply: &&Reply| grant.wrap_ttl().is_some() && reply.has_body() && reply.wrap.is_none();
    let reply = result.as_ref().ok().filter(bare);
    reply.map(|_| CoreError::Internal("an answer that was to be wrapped was not"))
}

fn open_endpoint() -> DecisionNote {
    DecisionNote { granted: true, policy: None, rule: None, line: None, reason: "unauthenticated endpoint".to_owned() }
}

/// The path that policies speak of. For secrets it is built from the parsed name, never from what was typed.
fn policy_path(grant: &Grant) -> Result<RequestPath, CoreError> {
    let (section, name) = match &grant.object {
        Object::Path { .. } | Object::Cubbyhole { .. } | Object::TokenRole { .. } | Object::Wrapping => {
            return Ok(grant.visit.path.clone());
        }
        Object::Secret { path, act } => (act.section(), path.as_str()),
        Object::Folder { path } => ("metadata", path.as_str()),
    };
    let mount = grant.mount()?;
    let text = match (mount.is_versioned_kv(), name) {
        (true, "") => format!("{}/{section}", mount.path),
        (true, name) => format!("{}/{section}/{name}", mount.path),
        (false, "") => mount.path.to_string(),
        (false, name) => format!("{}/{name}", mount.path),
    };
    Ok(RequestPath::parse(&text)?)
}

fn capability(operation: Operation, exists: Option<bool>) -> Capability {
    match (operation, exists) {
        (Operation::Read, _) => Capability::Read,
        (Operation::Write, Some(false)) => Capability::Create,
        (Operation::Write, _) => Capability::Update,
        (Operation::Patch, _) => Capability::Patch,
        (Operation::Delete, _) => Capability::Delete,
        (Operation::List, _) => Capability::List,
    }
}

fn operation_word(operation: Operation, exists: Option<bool>) -> &'static str {
    capability(operation, exists).word()
}

pub(crate) fn mount_note(mount: &Mount) -> MountNote {
    MountNote {
        path: mount.path.to_string(),
        kind: mount.kind.clone(),
        accessor: mount.accessor.clone(),
        class: mount.class.word().to_owned(),
    }
}

fn note(decision: &Decision) -> DecisionNote {
    let reason = match &decision.reason {
        Reason::Root => "root".to_owned(),
        Reason::Granted => "granted".to_owned(),
        Reason::NoRule => "no rule".to_owned(),
        Reason::Denied => "denied by rule".to_owned(),
        Reason::Lacks(capability) => format!("lacks {capability}"),
        Reason::Parameter(name) => format!("parameter {name}"),
        Reason::Wrapping => "wrapping".to_owned(),
    };
    DecisionNote {
        granted: decision.granted,
        policy: decision.policy.as_ref().map(ToString::to_string),
        rule: decision.rule.clone(),
        line: decision.line,
        reason,
    }
}
